package simulator_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wxbridge/wechat/simulator"
)

func modes() []string {
	return []string{simulator.ModePlain, simulator.ModeCompatible, simulator.ModeAES}
}

func TestChecklist18_APushLooksLikeWeChats(t *testing.T) {
	for _, mode := range modes() {
		t.Run(mode, func(t *testing.T) {
			w, in := newInbox(t, mode)
			openid, _ := w.account("bob", w.official.AppID)
			report := w.push("bob", map[string]any{"name": "text", "content": "你好 ]]> <b>"})
			l := in.last(t)
			if l.method != "POST" || l.proto != "HTTP/1.0" {
				t.Errorf("%s %s", l.method, l.proto)
			}
			want := http.Header{"User-Agent": {"Mozilla/4.0"}, "Accept": {"*/*"}, "Pragma": {"no-cache"}, "Content-Type": {"text/xml"},
				"Content-Length": {fmt.Sprint(len(l.body))}}
			l.header.Del("Cache-Control") // net/http makes it from Pragma
			if diff := cmp.Diff(want, l.header); diff != "" {
				t.Error(diff)
			}
			form := `^signature=[0-9a-f]{40}&timestamp=[0-9]{10}&nonce=[0-9]{1,10}&openid=` + openid
			if mode != simulator.ModePlain {
				form += `&encrypt_type=aes&msg_signature=[0-9a-f]{40}`
			}
			if !regexp.MustCompile(form + "$").MatchString(l.rawQuery) {
				t.Errorf("query %s", l.rawQuery)
			}
			m := in.open(t, l)
			if m["FromUserName"] != openid || m["MsgType"] != "text" || m["Content"] != "你好 ]]> <b>" {
				t.Errorf("message %v", m)
			}
			if !regexp.MustCompile(`^gh_[0-9a-f]{12}$`).MatchString(m["ToUserName"]) || !regexp.MustCompile(`^[0-9]{19}$`).MatchString(m["MsgId"]) {
				t.Errorf("ToUserName %q, MsgId %q", m["ToUserName"], m["MsgId"])
			}
			outside := slices.Sorted(maps.Keys(parseMessage(t, l.body)))
			if got, want := strings.Join(outside, " "), map[string]string{
				simulator.ModePlain:      "Content CreateTime FromUserName MsgId MsgType ToUserName",
				simulator.ModeCompatible: "Content CreateTime Encrypt FromUserName MsgId MsgType ToUserName",
				simulator.ModeAES:        "Encrypt ToUserName",
			}[mode]; got != want {
				t.Errorf("elements %q, want %q", got, want)
			}
			if !report.Delivered || report.Mode != mode || report.Reply.Kind != "none" || len(report.Attempts) != 1 || report.Attempts[0].Status != 200 {
				t.Errorf("report %+v", report)
			}
		})
	}
}

func TestChecklist18_Events(t *testing.T) {
	w, in := newInbox(t, simulator.ModeAES, stoppedClock)
	openid, unionid := w.account("bob", w.official.AppID)
	type fields = map[string]any
	for n, c := range []struct {
		event any
		want  string // the elements after MsgType, as the XML has them
	}{
		{"subscribe", `<Event><![CDATA[subscribe]]></Event><EventKey><![CDATA[]]></EventKey>`},
		{"unsubscribe", `<Event><![CDATA[unsubscribe]]></Event><EventKey><![CDATA[]]></EventKey>`},
		{fields{"name": "subscribe", "scene": "login_1", "ticket": "T"}, `<Event><![CDATA[subscribe]]></Event><EventKey><![CDATA[qrscene_login_1]]></EventKey><Ticket><![CDATA[T]]></Ticket>`},
		{fields{"name": "SCAN", "scene": "login_1", "ticket": "T"}, `<Event><![CDATA[SCAN]]></Event><EventKey><![CDATA[login_1]]></EventKey><Ticket><![CDATA[T]]></Ticket>`},
		{fields{"name": "CLICK", "key": "V1001_GOOD"}, `<Event><![CDATA[CLICK]]></Event><EventKey><![CDATA[V1001_GOOD]]></EventKey>`},
		{fields{"name": "LOCATION", "latitude": 23.137466, "longitude": "113.352425", "precision": 119.38504}, `<Event><![CDATA[LOCATION]]></Event><Latitude>23.137466</Latitude><Longitude>113.352425</Longitude><Precision>119.38504</Precision>`},
		{fields{"name": "TEMPLATESENDJOBFINISH", "fields": fields{"MsgID": "200163836", "Status": "success"}}, `<Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event><MsgID><![CDATA[200163836]]></MsgID><Status><![CDATA[success]]></Status>`},
		{fields{"name": "CLICK", "key": "x", "fields": fields{"EventKey": "y", "Extra": "z"}}, `<Event><![CDATA[CLICK]]></Event><EventKey><![CDATA[y]]></EventKey><Extra><![CDATA[z]]></Extra>`},
	} {
		report := w.push("bob", c.event)
		m := in.open(t, in.last(t))
		at := 1789639200
		if n < 3 { // following and leaving take a second each
			at += n
		}
		want := fmt.Sprintf("<xml><ToUserName><![CDATA[%s]]></ToUserName><FromUserName><![CDATA[%s]]></FromUserName><CreateTime>%d</CreateTime><MsgType><![CDATA[event]]></MsgType>%s</xml>",
			m["ToUserName"], openid, at, c.want)
		if report.Message != want {
			t.Errorf("got\n%s, want\n%s", report.Message, want)
		}
		if _, has := m["MsgId"]; has {
			t.Errorf("an event with a MsgId: %v", m)
		}
	}
	t.Run("menu links carry a MenuId", func(t *testing.T) {
		for event, key := range map[string]fields{
			"https://a.example/?x=1&y=2": {"name": "VIEW", "url": "https://a.example/?x=1&y=2"},
			"pages/a/b":                  {"name": "view_miniprogram", "path": "pages/a/b"},
		} {
			w.push("bob", key)
			if m := in.open(t, in.last(t)); m["EventKey"] != event || !regexp.MustCompile(`^[1-9][0-9]{8}$`).MatchString(m["MenuId"]) {
				t.Errorf("%v", m)
			}
		}
	})
	t.Run("a scene's ticket is always the same and has no plus", func(t *testing.T) {
		w.push("bob", fields{"name": "SCAN", "scene": "s"})
		scan := in.open(t, in.last(t))["Ticket"]
		w.push("carol", fields{"name": "subscribe", "scene": "s"})
		if again := in.open(t, in.last(t))["Ticket"]; again != scan || len(scan) < 64 || strings.Contains(scan, "+") {
			t.Errorf("tickets %q and %q", scan, again)
		}
	})
	t.Run("messages", func(t *testing.T) {
		w.push("bob", fields{"name": "image", "url": "http://mmbiz.qpic.cn/x"})
		if m := in.open(t, in.last(t)); m["MsgType"] != "image" || m["PicUrl"] == "" || m["MediaId"] == "" || m["MsgId"] == "" || m["Event"] != "" {
			t.Errorf("%v", m)
		}
		w.push("bob", "voice")
		if m := in.open(t, in.last(t)); m["MsgType"] != "voice" || m["Format"] != "amr" || m["MsgId"] == "" {
			t.Errorf("%v", m)
		}
	})
	t.Run("events about consent name the person in OpenID", func(t *testing.T) {
		for _, name := range []string{"user_authorization_revoke", "user_authorization_cancellation", "user_info_modified"} {
			w.push("bob", name)
			m := in.open(t, in.last(t))
			if m["Event"] != name || m["OpenID"] != openid || m["AppID"] != w.official.AppID || m["RevokeInfo"] != "205" || m["UnionID"] != unionid {
				t.Errorf("%v", m)
			}
			if m["FromUserName"] == openid || in.last(t).query.Get("openid") == openid {
				t.Errorf("%s comes from the person", name)
			}
		}
	})
	t.Run("no EventKey, by switch", func(t *testing.T) {
		w.flip("subscribe-event-key", "absent")
		w.push("bob", "subscribe")
		if _, has := in.open(t, in.last(t))["EventKey"]; has {
			t.Error("there is one")
		}
	})
}

// slowInbox gives a push little time and never answers in it.
func slowInbox(t *testing.T, changes ...func(*simulator.Config)) (*world, *inbox) {
	w, in := newInbox(t, simulator.ModeCompatible, append(changes, func(c *simulator.Config) { c.PushTimeout = 100 * time.Millisecond })...)
	in.answers(func(_ http.ResponseWriter, r *http.Request, _ string) { <-r.Context().Done() })
	return w, in
}

func TestChecklist18_AnUnansweredPushIsSentThreeTimesTheSame(t *testing.T) {
	for name, c := range map[string]struct {
		switches map[string]string
		sends    int
		fresh    bool
	}{
		"three in all":        {nil, 3, false},
		"three re-sends":      {map[string]string{"push-attempts": "3-resends"}, 4, false},
		"with new signatures": {map[string]string{"push-signature": "fresh"}, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, in := slowInbox(t, func(c2 *simulator.Config) { c2.Switches = c.switches })
			report := w.push("bob", map[string]any{"name": "text", "content": "hello"})
			mail := in.letters()
			if len(mail) != c.sends || len(report.Attempts) != c.sends || report.Delivered || report.Shown != "该公众号暂时无法提供服务，请稍后再试" {
				t.Fatalf("%d requests, report %+v", len(mail), report)
			}
			for i, l := range mail {
				if l.body != mail[0].body {
					t.Errorf("send %d has another body", i+1)
				}
				if i > 0 && (l.query.Get("nonce") != mail[0].query.Get("nonce")) != c.fresh {
					t.Errorf("send %d: nonce %s after %s", i+1, l.query.Get("nonce"), mail[0].query.Get("nonce"))
				}
				in.open(t, l)
				if a := report.Attempts[i]; a.Problem != "no answer within 100ms" || a.DurationMS < 90 {
					t.Errorf("attempt %+v", a)
				}
			}
		})
	}
	t.Run("the deadline is five seconds unless a test says otherwise", func(t *testing.T) {
		if testing.Short() {
			t.Skip("takes five seconds")
		}
		t.Parallel()
		w, in := newInbox(t, simulator.ModePlain)
		in.answers(func(_ http.ResponseWriter, r *http.Request, _ string) {
			if len(in.letters()) == 1 {
				<-r.Context().Done()
			}
		})
		report := w.push("bob", "subscribe")
		if d := report.Attempts[0].DurationMS; d < 4_900 || d > 6_000 || len(report.Attempts) != 2 || !report.Delivered {
			t.Errorf("report %+v", report)
		}
	})
	t.Run("an answer that is begun but not ended is late too", func(t *testing.T) {
		w, in := slowInbox(t)
		in.answers(func(rw http.ResponseWriter, r *http.Request, _ string) {
			io.WriteString(rw, "succ")
			http.NewResponseController(rw).Flush()
			<-r.Context().Done()
		})
		if report := w.push("bob", "subscribe"); report.Delivered || report.Problem != "no answer within 100ms" {
			t.Errorf("report %+v", report)
		}
	})
}

func TestChecklist18_FailuresAreReported(t *testing.T) {
	w, in := newInbox(t, simulator.ModePlain, func(c *simulator.Config) { c.Switches = map[string]string{"mark-fail": "off"} })
	for name, c := range map[string]struct {
		answer  func(w http.ResponseWriter, r *http.Request, body string)
		problem string
	}{
		"404":      {func(w http.ResponseWriter, r *http.Request, _ string) { http.NotFound(w, r) }, "answered with status 404, want 200"},
		"redirect": {func(w http.ResponseWriter, r *http.Request, _ string) { http.Redirect(w, r, "/", http.StatusFound) }, "answered with status 302, want 200"},
		"hang up":  {func(http.ResponseWriter, *http.Request, string) { panic(http.ErrAbortHandler) }, "the connection ended before the answer"},
		"endless":  {func(w http.ResponseWriter, _ *http.Request, _ string) { io.WriteString(w, strings.Repeat("x", 2<<20)) }, "the answer is larger than 1 MiB"},
	} {
		in.answers(c.answer)
		before := len(in.letters())
		report := w.push("bob", map[string]any{"name": "CLICK", "key": "k"})
		if report.Delivered || report.Problem != c.problem || len(report.Attempts) != 3 || len(in.letters())-before != 3 || report.Reply != nil {
			t.Errorf("%s: report %+v", name, report)
		}
	}
	t.Run("nobody there", func(t *testing.T) {
		w := newWorld(t, func(c *simulator.Config) { c.Apps[0].EventsURL = "http://127.0.0.1:1/" })
		if report := w.push("bob", "subscribe"); report.Problem != "nothing listens there" || len(report.Attempts) != 3 || !report.Following {
			t.Errorf("report %+v", report)
		}
	})
	t.Run("nowhere to push to", func(t *testing.T) {
		w := newWorld(t)
		if report := w.push("bob", "subscribe"); report.Problem != "the app has no events_url" || len(report.Attempts) != 0 || !report.Following {
			t.Errorf("report %+v", report)
		}
		w = newWorld(t, func(c *simulator.Config) { c.Apps[0].EventsURL, c.Apps[0].Token = "http://127.0.0.1:1/", "" })
		if report := w.push("bob", "subscribe"); report.Problem != "the app has no token to sign pushes with" {
			t.Errorf("report %+v", report)
		}
	})
}

func TestChecklist18_MarkFailStopsPushesForAMinute(t *testing.T) {
	w, in := newInbox(t, simulator.ModeAES, stoppedClock)
	in.answers(func(w http.ResponseWriter, r *http.Request, _ string) { http.Error(w, "down", http.StatusBadGateway) })
	w.push("bob", "subscribe")
	report := w.push("bob", "unsubscribe")
	if n := len(in.letters()); n != 5 || report.Suspended == nil || len(report.Attempts) != 2 {
		t.Fatalf("%d requests, report %+v", n, report)
	}
	in.replies("success")
	w.advance("59s")
	report = w.push("bob", "subscribe")
	if len(in.letters()) != 5 || report.Delivered || report.Suspended == nil || !strings.Contains(report.Problem, "suspended") || !report.Following {
		t.Errorf("within the minute: %+v", report)
	}
	w.advance("1s")
	if report = w.push("bob", "subscribe"); !report.Delivered || len(in.letters()) != 6 {
		t.Errorf("after the minute: %+v", report)
	}
	t.Run("only failures in a row count", func(t *testing.T) {
		before := len(in.letters())
		in.answers(func(w http.ResponseWriter, r *http.Request, _ string) {
			if (len(in.letters())-before)%3 != 0 {
				http.Error(w, "down", http.StatusBadGateway)
			}
		})
		for range 4 {
			if report := w.push("bob", "subscribe"); !report.Delivered || len(report.Attempts) != 3 {
				t.Errorf("report %+v", report)
			}
		}
	})
}

func TestChecklist18_VerificationSendsAPlainEchostrInEveryMode(t *testing.T) {
	for _, mode := range modes() {
		t.Run(mode, func(t *testing.T) {
			w, in := newInbox(t, mode)
			verify := func() (answer, letter) {
				a := w.control("POST", "events/verify", map[string]string{"appid": w.official.AppID})
				return a, in.last(t)
			}
			in.answers(func(w http.ResponseWriter, r *http.Request, _ string) {
				io.WriteString(w, r.URL.Query().Get("echostr"))
			})
			a, l := verify()
			if want := fmt.Sprintf(`{"verified":true,"url":%q,"status":200}`+"\n", in.url); a.body != want {
				t.Errorf("%s, want %s", a.body, want)
			}
			q := l.query
			if l.method != "GET" || len(q) != 4 || !regexp.MustCompile(`^[0-9]{1,19}$`).MatchString(q.Get("echostr")) ||
				q.Get("signature") != sha1Of(w.official.Token, q.Get("timestamp"), q.Get("nonce")) {
				t.Errorf("%s %s", l.method, l.rawQuery)
			}
			for _, wrong := range []string{"", "\ufeff%s", `"%s"`, "%s\n", "success"} {
				in.answers(func(w http.ResponseWriter, r *http.Request, _ string) {
					io.WriteString(w, strings.ReplaceAll(wrong, "%s", r.URL.Query().Get("echostr")))
				})
				if a, _ := verify(); !strings.Contains(a.body, `"verified":false,"problem":"the body is not the echostr and nothing else"`) {
					t.Errorf("%q: %s", wrong, a.body)
				}
			}
		})
	}
}

func TestChecklist18_FollowingAndConsentChangeWithTheEvents(t *testing.T) {
	w, _ := newInbox(t, simulator.ModeAES)
	subscribe := func(name string) any {
		openid, _ := w.account(name, w.official.AppID)
		token, _ := w.stable(w.official, false).grantedToken(t)
		return w.get("/cgi-bin/user/info?access_token=" + token + "&openid=" + openid).json(t)["subscribe"]
	}
	menu := func(name string) answer { // a follower who comes from the menu is not asked
		return w.as(name, w.link(site, "snsapi_userinfo", "s"), "X-Simulator-Entry", "menu")
	}
	t.Run("subscribe", func(t *testing.T) {
		menu("bob").page(t, "consent")
		if report := w.push("bob", "subscribe"); !report.Following || fmt.Sprint(subscribe("bob")) != "1" {
			t.Errorf("report %+v", report)
		}
		if menu("bob").back(t).Get("code") == "" {
			t.Error("no code")
		}
		if got := w.get("/_simulator/following?person=bob&appid=" + w.official.AppID).body; got != `{"following":true}`+"\n" {
			t.Errorf("following: %s", got)
		}
	})
	t.Run("unsubscribe", func(t *testing.T) {
		if report := w.push("alice", "unsubscribe"); report.Following || fmt.Sprint(subscribe("alice")) != "0" {
			t.Errorf("report %+v", report)
		}
		menu("alice").page(t, "consent")
	})
	t.Run("the QR code somebody came by is remembered", func(t *testing.T) {
		w.push("carol", map[string]any{"name": "subscribe", "scene": "poster"})
		w.push("dan", map[string]any{"name": "subscribe", "scene": "123"})
		token, _ := w.stable(w.official, false).grantedToken(t)
		for name, want := range map[string]string{"carol": "ADD_SCENE_QR_CODE 0 poster", "dan": "ADD_SCENE_QR_CODE 123 "} {
			openid, _ := w.account(name, w.official.AppID)
			v := w.get("/cgi-bin/user/info?access_token=" + token + "&openid=" + openid).json(t)
			if got := fmt.Sprint(v["subscribe_scene"], " ", v["qr_scene"], " ", v["qr_scene_str"]); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	})
	for _, event := range []string{"user_authorization_revoke", "user_authorization_cancellation"} {
		t.Run(event+" ends the consent", func(t *testing.T) {
			w, _ := newInbox(t, simulator.ModeAES, func(c *simulator.Config) { c.Switches = map[string]string{"recent-consent": "on"} })
			token := w.exchange(w.granted("bob", "snsapi_userinfo")).json(t)
			other := w.exchange(w.granted("carol", "snsapi_userinfo")).json(t)
			w.as("bob", w.link(site, "snsapi_userinfo", "s")).back(t) // not asked again
			w.push("bob", event)
			w.as("bob", w.link(site, "snsapi_userinfo", "s")).page(t, "consent")
			w.bearer("/sns/userinfo", token).errcode(t, 40001)
			w.refresh(token["refresh_token"]).errcode(t, 42007)
			if w.bearer("/sns/userinfo", other).json(t)["openid"] == nil {
				t.Error("somebody else's consent is gone too")
			}
		})
	}
	t.Run("who closes the account follows no more", func(t *testing.T) {
		if report := w.push("bob", "user_authorization_cancellation"); report.Following {
			t.Errorf("report %+v", report)
		}
	})
}

func TestChecklist18_PassiveReplies(t *testing.T) {
	reply := func(to, from, rest string) string {
		return fmt.Sprintf("<xml><ToUserName><![CDATA[%s]]></ToUserName><FromUserName><![CDATA[%s]]></FromUserName><CreateTime>1409304348</CreateTime>%s</xml>", to, from, rest)
	}
	const text = "<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[你好]]></Content>"
	for _, mode := range modes() {
		t.Run(mode, func(t *testing.T) {
			w, in := newInbox(t, mode)
			w.push("bob", "subscribe")
			m := in.open(t, in.last(t))
			user, account := m["FromUserName"], m["ToUserName"]
			good := reply(user, account, text)
			for name, c := range map[string]struct {
				body      string
				encrypted bool
				problem   string // "" is a good reply
			}{
				"plain":               {good, false, map[string]string{simulator.ModeAES: "not encrypted"}[mode]},
				"encrypted":           {in.seal(t, good, w.official.AppID), true, map[string]string{simulator.ModePlain: "the push was plain"}[mode]},
				"for another app":     {in.seal(t, good, "wx0"), true, map[string]string{simulator.ModePlain: "plain"}[mode] + "|another appid"},
				"a wrong signature":   {strings.Replace(in.seal(t, good, w.official.AppID), "<Nonce>n", "<Nonce>m", 1), true, "MsgSignature|plain"},
				"HTML":                {"<html><body>ok</body></html>", false, "not one <xml>"},
				"JSON":                {`{"errcode":0}`, false, "text beside|neither"},
				"another word":        {"ok", false, "text beside|neither"},
				"success with a tail": {"success\n", false, "text beside|neither"},
			} {
				in.replies(c.body)
				report := w.push("bob", map[string]any{"name": "text", "content": "hi"})
				good := c.problem == "" && report.Reply.Kind == "message" && report.Reply.Content == "你好" && report.Shown == "你好" && report.Reply.Type == "text"
				bad := c.problem != "" && report.Reply.Kind == "invalid" && regexp.MustCompile(strings.TrimPrefix(c.problem, "|")).MatchString(report.Reply.Problem) &&
					strings.HasPrefix(report.Shown, "该公众号")
				if !good && !bad || report.Reply.Encrypted != c.encrypted || !report.Delivered || len(report.Attempts) != 1 {
					t.Errorf("%s: %+v", name, report.Reply)
				}
			}
		})
	}
	t.Run("what is wrong with a reply", func(t *testing.T) {
		w, in := newInbox(t, simulator.ModePlain)
		w.push("bob", "subscribe")
		m := in.open(t, in.last(t))
		user, account := m["FromUserName"], m["ToUserName"]
		for body, problem := range map[string]string{
			reply(account, user, text):                                            "ToUserName is not the FromUserName",
			reply(user, user, text):                                               "FromUserName is not the ToUserName",
			reply(user, account, "<MsgType>event</MsgType>"):                      `MsgType "event" cannot be a reply`,
			reply(user, account, "<MsgType>text</MsgType>"):                       "Content is missing",
			reply(user, account, "<MsgType>image</MsgType><MediaId>x</MediaId>"):  "Image/MediaId is missing",
			reply(user, account, text+"<Content>again</Content>"):                 "Content is repeated",
			strings.Replace(reply(user, account, text), "1409304348", "now", 1):   "CreateTime is not a number",
			`<!DOCTYPE xml [<!ENTITY e "x">]>` + reply(user, account, text):       "a document type",
			reply(user, account, "<MsgType>text</MsgType><Content>&e;</Content>"): "neither",
			reply(user, account, text) + "<xml></xml>":                            "not one <xml>",
			reply(user, account, text)[:100]:                                      "neither",
			"<xml>" + strings.Repeat("<a>", 20) + strings.Repeat("</a>", 20):      "too many",
			"\xff\xfe": "not UTF-8",
		} {
			in.replies(body)
			if report := w.push("bob", "subscribe"); report.Reply.Kind != "invalid" || !strings.Contains(report.Reply.Problem, problem) {
				t.Errorf("%s\nwant %q, got %+v", body, problem, report.Reply)
			}
		}
		for body, shown := range map[string]string{
			"": "",
			`<?xml version="1.0"?>` + reply(user, account, text):                                                                           "你好",
			reply(user, account, "<MsgType>image</MsgType><Image><MediaId>m</MediaId></Image>"):                                            "[image]",
			reply(user, account, "<MsgType>transfer_customer_service</MsgType>"):                                                           "[transfer_customer_service]",
			reply(user, account, "<MsgType>news</MsgType><Articles><item><Title>a</Title></item><item><Title>b</Title></item></Articles>"): "[news]",
		} {
			in.replies(body)
			if report := w.push("bob", "subscribe"); report.Reply.Kind == "invalid" || report.Shown != shown {
				t.Errorf("%s: %+v", body, report.Reply)
			}
		}
	})
	t.Run("nobody reads the reply to an unsubscribe", func(t *testing.T) {
		w, in := newInbox(t, simulator.ModePlain)
		in.replies("ok")
		if report := w.push("bob", "unsubscribe"); report.Shown != "" {
			t.Errorf("report %+v", report)
		}
	})
}

func TestChecklist19_PaddingsBeyond16AndAKeyWithADirtyLastCharacter(t *testing.T) {
	w, in := newInbox(t, simulator.ModeAES)
	if last := w.official.EncodingAESKey[42:]; !strings.ContainsAny(last, "BCDFGHJKLNOPRSTVWXZabdefhijlmnpqrtuvxyz123567") {
		t.Errorf("the key ends in %q, whose low bits are clean", last)
	}
	seen := map[byte]bool{}
	for n := range 32 {
		content := strings.Repeat("x", n+1)
		w.push("bob", map[string]any{"name": "text", "content": content})
		l := in.last(t)
		if m := in.open(t, l); m["Content"] != content {
			t.Errorf("content %q", m["Content"])
		}
		_, pad := in.decrypt(t, parseMessage(t, l.body)["Encrypt"])
		seen[pad] = true
	}
	for pad := byte(1); pad <= 32; pad++ {
		if !seen[pad] {
			t.Errorf("no push was padded with %d bytes", pad)
		}
	}
}

func TestPushesFollowTheirConfiguration(t *testing.T) {
	t.Run("an address with a query keeps it", func(t *testing.T) {
		w, in := newInbox(t, simulator.ModePlain, func(c *simulator.Config) { c.Apps[0].EventsURL += "?app=second" })
		w.push("bob", "subscribe")
		if l := in.last(t); !strings.HasPrefix(l.rawQuery, "app=second&signature=") {
			t.Errorf("query %s", l.rawQuery)
		}
	})
	t.Run("a switch sets one mode for all", func(t *testing.T) {
		w, in := newInbox(t, simulator.ModeAES)
		for _, mode := range modes() {
			w.flip("push-mode", mode)
			if report := w.push("bob", "subscribe"); report.Mode != mode {
				t.Errorf("mode %s, want %s", report.Mode, mode)
			}
			in.open(t, in.last(t))
		}
	})
	t.Run("AES without a key is refused, and nothing has happened", func(t *testing.T) {
		w, _ := newInbox(t, simulator.ModePlain, func(c *simulator.Config) { c.Apps[0].EncodingAESKey = "" })
		w.flip("push-mode", "aes")
		a := w.do("POST", "/_simulator/events", `{"person":"bob","appid":"`+w.official.AppID+`","event":"subscribe"}`, nil)
		if a.status != http.StatusBadRequest || !strings.Contains(a.body, "encoding_aes_key") {
			t.Errorf("%d %s", a.status, a.body)
		}
		if got := w.get("/_simulator/following?person=bob&appid=" + w.official.AppID).body; got != `{"following":false}`+"\n" {
			t.Errorf("following: %s", got)
		}
	})
	t.Run("each push has its own MsgId and nonce", func(t *testing.T) {
		w, in := newInbox(t, simulator.ModeAES)
		seen := map[string]bool{}
		for range 20 {
			w.push("bob", map[string]any{"name": "text", "content": "x"})
			l := in.last(t)
			seen[in.open(t, l)["MsgId"]], seen["nonce "+l.query.Get("nonce")] = true, true
		}
		if len(seen) != 40 {
			t.Errorf("%d different values, want 40", len(seen))
		}
	})
	t.Run("the push goes on when the caller leaves", func(t *testing.T) {
		w, in := newInbox(t, simulator.ModePlain)
		arrived, leave := make(chan struct{}), make(chan struct{})
		in.answers(func(w http.ResponseWriter, r *http.Request, _ string) {
			if len(in.letters()) == 1 {
				close(arrived)
				<-leave
				http.Error(w, "again", http.StatusBadGateway)
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "POST", w.url+"/_simulator/events", strings.NewReader(`{"person":"bob","appid":"`+w.official.AppID+`","event":"subscribe"}`))
		done := make(chan struct{})
		go func() { defer close(done); http.DefaultClient.Do(req) }()
		<-arrived
		cancel()
		<-done
		close(leave)
		for deadline := time.Now().Add(10 * time.Second); len(in.letters()) < 2; {
			if time.Now().After(deadline) {
				t.Fatal("it was not sent again")
			}
			<-time.After(5 * time.Millisecond)
		}
	})
	t.Run("to mini programs and website apps only news of consent is pushed", func(t *testing.T) {
		w, in := newInbox(t, simulator.ModePlain, func(c *simulator.Config) {
			c.Apps[1].EventsURL, c.Apps[1].Token = c.Apps[0].EventsURL, c.Apps[0].Token
		})
		a := w.control("POST", "events", map[string]any{"person": "bob", "appid": w.mini.AppID, "event": "user_authorization_revoke"})
		if m := in.open(t, in.last(t)); m["RevokeInfo"] != "1" || m["AppID"] != w.mini.AppID || !strings.Contains(a.body, `"delivered":true`) {
			t.Errorf("%v, %s", m, a.body)
		}
	})
}

func TestEventsRefuseBadInput(t *testing.T) {
	w, in := newInbox(t, simulator.ModePlain)
	for body, want := range map[string]string{
		`{"person":"bob","appid":"wx0","event":"subscribe"}`:                                                   `appid "wx0" is not configured`,
		`{"person":"","appid":"APP","event":"subscribe"}`:                                                      "person",
		`{"person":"bob","appid":"APP"}`:                                                                       "the name is missing",
		`{"person":"bob","appid":"APP","event":"Subscribe"}`:                                                   "case-sensitive",
		`{"person":"bob","appid":"APP","event":7}`:                                                             "event: want a name, or an object",
		`{"person":"bob","appid":"APP","event":{"name":"CLICK"}}`:                                              "event CLICK: key is missing",
		`{"person":"bob","appid":"APP","event":{"name":"SCAN"}}`:                                               "event SCAN: scene is missing",
		`{"person":"bob","appid":"APP","event":{"name":"VIEW"}}`:                                               "event VIEW: url is missing",
		`{"person":"bob","appid":"APP","event":{"name":"text"}}`:                                               "event text: content is missing",
		`{"person":"bob","appid":"APP","event":{"name":"CLICK","kye":"x"}}`:                                    "kye",
		`{"person":"bob","appid":"APP","event":{"name":"a b","fields":{"A":"x"}}}`:                             "want letters",
		`{"person":"bob","appid":"APP","event":{"name":"A","fields":{"A b":"x"}}}`:                             "cannot be the name of an element",
		`{"person":"bob","appid":"APP","event":{"name":"text","content":"a\u0007b"}}`:                          "XML cannot carry",
		`{"person":"bob","appid":"APP","event":{"name":"A","fields":{"A":"\ufffe"}}}`:                          "XML cannot carry",
		`{"person":"bob","appid":"APP","event":{"name":"text","content":"` + strings.Repeat("x", 2049) + `"}}`: "longer than 2048",
		`{"person":"bob","appid":"MINI","event":"subscribe"}`:                                                  "only official accounts",
		`{"person":"bob","appid":"APP","event":"subscribe","wait":true}`:                                       "wait",
	} {
		body = strings.NewReplacer("APP", w.official.AppID, "MINI", w.mini.AppID).Replace(body)
		a := w.do("POST", "/_simulator/events", body, nil)
		if a.status != http.StatusBadRequest || !strings.Contains(fmt.Sprint(a.json(t)["error"]), want) {
			t.Errorf("%s: %d %s, want %q", body, a.status, a.body, want)
		}
	}
	if n := len(in.letters()); n != 0 {
		t.Errorf("%d pushes", n)
	}
	for _, path := range []string{"/_simulator/following?person=bob&appid=wx0", "/_simulator/following?person=&appid=" + w.official.AppID,
		"/_simulator/following?person=bob&appid=" + w.mini.AppID} {
		if a := w.get(path); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a := w.do("POST", "/_simulator/events/verify", `{"appid":"wx0"}`, nil); a.status != http.StatusBadRequest {
		t.Errorf("verify: %d", a.status)
	}
	if a := w.do("POST", "/_simulator/events", `{}`, map[string]string{"Sec-Fetch-Site": "cross-site"}); a.status != http.StatusForbidden {
		t.Errorf("from another site: %d", a.status)
	}
}

// Follow, leave and follow again within a second are no repeats of each other for a server that knows them by FromUserName and
// CreateTime; and subscribe_time is that of the last.
func TestChecklist18_FollowingAndLeavingAtOnceAreDifferentEvents(t *testing.T) {
	w, in := newInbox(t, simulator.ModeAES, stoppedClock)
	var times []string
	for _, event := range []string{"subscribe", "unsubscribe", "subscribe", "unsubscribe"} {
		w.push("bob", event)
		times = append(times, in.open(t, in.last(t))["CreateTime"])
	}
	if !slices.IsSorted(times) || len(slices.Compact(slices.Clone(times))) != len(times) {
		t.Errorf("CreateTimes %v", times)
	}
	for range 100 {
		w.push("bob", "subscribe")
	}
	first, err := strconv.Atoi(times[0])
	if err != nil {
		t.Fatal(err)
	}
	if last, err := strconv.Atoi(in.open(t, in.last(t))["CreateTime"]); err != nil || last-first > 61 {
		t.Errorf("a script that never stops has come %d seconds ahead", last-first)
	}
}

// Only followers have the account's chat and menu. The push is made all the same, and says so.
func TestChecklist18_APushOfAStrangerSaysThatItIsUnlikely(t *testing.T) {
	w, _ := newInbox(t, simulator.ModeAES)
	for _, event := range []any{map[string]any{"name": "CLICK", "key": "V1"}, map[string]any{"name": "text", "content": "hello"}, map[string]any{"name": "SCAN", "scene": "x"}} {
		if report := w.push("bob", event); !report.Delivered || !strings.Contains(report.Note, "bob does not follow") {
			t.Errorf("bob: %+v", report)
		}
		if report := w.push("alice", event); !report.Delivered || report.Note != "" {
			t.Errorf("alice: %+v", report)
		}
	}
	for _, event := range []string{"unsubscribe", "subscribe", "user_info_modified"} {
		if report := w.push("bob", event); report.Note != "" {
			t.Errorf("%s: %+v", event, report)
		}
	}
}
