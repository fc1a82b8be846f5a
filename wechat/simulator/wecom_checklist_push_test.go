package simulator_test

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat/simulator"
)

// newMailbox is an office whose app has a server, which is written from the protocol facts alone.
func newMailbox(t *testing.T, changes ...func(*simulator.Config)) (*office, *inbox) {
	t.Helper()
	in := &inbox{answer: func(http.ResponseWriter, *http.Request, string) {}}
	srv := httptest.NewServer(http.HandlerFunc(in.serve))
	t.Cleanup(srv.Close)
	in.url = srv.URL + "/events/wecom"
	o := newOffice(t, append([]func(*simulator.Config){onAgent(func(a *simulator.App) { a.EventsURL = in.url })}, changes...)...)
	in.app = o.agent
	return o, in
}

func (o *office) tell(person string, event any) simulator.WeComPushReport {
	o.t.Helper()
	a := o.control("POST", "events", map[string]any{"person": person, "appid": o.agent.AppID, "event": event})
	var report simulator.WeComPushReport
	if err := json.Unmarshal([]byte(a.body), &report); err != nil {
		o.t.Fatalf("%v in %s", err, a.body)
	}
	return report
}

// unseal checks a push of WeCom's and decrypts it.
func (in *inbox) unseal(t *testing.T, l letter) (m message, envelope message, pad byte) {
	t.Helper()
	envelope = parseMessage(t, l.body)
	q := l.query
	if want := sha1Of(in.app.Token, q.Get("timestamp"), q.Get("nonce"), envelope["Encrypt"]); q.Get("msg_signature") != want {
		t.Errorf("msg_signature %q, want %s", q.Get("msg_signature"), want)
	}
	if q.Has("signature") || q.Has("openid") || envelope["ToUserName"] != in.app.AppID {
		t.Errorf("query %v, envelope %v", q, envelope)
	}
	plain, pad := in.decrypt(t, envelope["Encrypt"])
	return parseMessage(t, plain), envelope, pad
}

func TestWeCom12Pushes(t *testing.T) {
	t.Run("verification", func(t *testing.T) {
		o, in := newMailbox(t)
		verify := func() map[string]any {
			return o.control("POST", "events/verify", map[string]any{"appid": o.agent.AppID}).json(t)
		}
		in.answers(func(w http.ResponseWriter, r *http.Request, _ string) {
			plain, _ := in.decrypt(t, r.URL.Query().Get("echostr"))
			io.WriteString(w, plain)
		})
		if v := verify(); v["verified"] != true {
			t.Fatalf("%v", v)
		}
		l := in.last(t)
		q := l.query
		if want := sha1Of(in.app.Token, q.Get("timestamp"), q.Get("nonce"), q.Get("echostr")); l.method != "GET" || q.Get("msg_signature") != want {
			t.Errorf("%s %v", l.method, q)
		}
		if strings.ContainsAny(strings.SplitAfter(l.rawQuery, "echostr=")[1], "+/=") {
			t.Errorf("echostr is not escaped: %s", l.rawQuery)
		}
		in.answers(func(w http.ResponseWriter, r *http.Request, _ string) {
			plain, _ := in.decrypt(t, r.URL.Query().Get("echostr"))
			io.WriteString(w, plain+"\n")
		})
		if v := verify(); v["verified"] != false || !strings.Contains(fmt.Sprint(v["problem"]), "newline") {
			t.Errorf("with a newline: %v", v)
		}
		in.answers(func(_ http.ResponseWriter, r *http.Request, _ string) { <-r.Context().Done() })
		began := time.Now()
		v := verify()
		if took := time.Since(began); v["verified"] != false || v["problem"] != "no answer within 1s" || took < 900*time.Millisecond || took > 4*time.Second {
			t.Errorf("after %v: %v", took, v)
		}
	})
	t.Run("the samples of the documentation", func(t *testing.T) {
		o, in := newMailbox(t)
		for _, c := range []struct {
			event any
			want  string
		}{
			{"subscribe", `<xml><ToUserName><![CDATA[CORP]]></ToUserName><FromUserName><![CDATA[Wei]]></FromUserName><CreateTime>TIME</CreateTime>` +
				`<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[subscribe]]></Event><AgentID>1000002</AgentID></xml>`},
			{"enter_agent", `<xml><ToUserName><![CDATA[CORP]]></ToUserName><FromUserName><![CDATA[Wei]]></FromUserName><CreateTime>TIME</CreateTime>` +
				`<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[enter_agent]]></Event><EventKey><![CDATA[]]></EventKey><AgentID>1000002</AgentID></xml>`},
			{map[string]any{"name": "change_contact", "change": "delete_user", "only_tell": true},
				`<xml><ToUserName><![CDATA[CORP]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName><CreateTime>TIME</CreateTime>` +
					`<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[change_contact]]></Event><ChangeType><![CDATA[delete_user]]></ChangeType>` +
					`<UserID><![CDATA[Wei]]></UserID></xml>`},
			{map[string]any{"name": "change_contact", "change": "update_user", "new_userid": "Wei2", "only_tell": true},
				`<xml><ToUserName><![CDATA[CORP]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName><CreateTime>TIME</CreateTime>` +
					`<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[change_contact]]></Event><ChangeType>update_user</ChangeType>` +
					`<UserID><![CDATA[Wei]]></UserID><NewUserID><![CDATA[Wei2]]></NewUserID><Department><![CDATA[2,3]]></Department></xml>`},
		} {
			report := o.tell("wei", c.event)
			want := strings.NewReplacer("CORP", o.agent.AppID, "TIME", fmt.Sprint(fixedTime)).Replace(c.want)
			if report.Message != want || !report.Delivered || report.Reply.Kind != simulator.ReplyNone || len(report.Attempts) != 1 {
				t.Errorf("%v:\n%s\n%+v", c.event, report.Message, report)
			}
			m, _, _ := in.unseal(t, in.last(t))
			if m["CreateTime"] != fmt.Sprint(fixedTime) {
				t.Errorf("%v", m)
			}
		}
		o.flip("wecom-contact-fields", "full")
		o.tell("wei", map[string]any{"name": "change_contact", "change": "create_user"})
		if m, _, _ := in.unseal(t, in.last(t)); m["Name"] != "魏小明" || m["Status"] != "1" || m["MainDepartment"] != "2" || m["IsLeaderInDept"] != "0,0" {
			t.Errorf("%v", m)
		}
	})
	t.Run("three attempts, or four", func(t *testing.T) {
		o, in := newMailbox(t, func(c *simulator.Config) { c.PushTimeout = 50 * time.Millisecond })
		in.answers(func(_ http.ResponseWriter, r *http.Request, _ string) { <-r.Context().Done() })
		report := o.tell("wei", "subscribe")
		if report.Delivered || len(report.Attempts) != 3 || report.Problem != "no answer within 50ms" {
			t.Errorf("%+v", report)
		}
		all := in.letters()
		if all[0].rawQuery != all[2].rawQuery || all[0].body != all[2].body {
			t.Error("the repeats differ")
		}
		o.flip("push-attempts", "3-resends")
		o.flip("push-signature", "fresh")
		if report := o.tell("wei", "subscribe"); len(report.Attempts) != 4 || in.last(t).rawQuery == in.letters()[3].rawQuery {
			t.Errorf("%+v", report)
		}
		in.answers(func(w http.ResponseWriter, _ *http.Request, _ string) { w.WriteHeader(500) })
		o.flip("wecom-push-retry", "network-only")
		if report := o.tell("wei", "subscribe"); len(report.Attempts) != 1 || report.Attempts[0].Status != 500 {
			t.Errorf("%+v", report)
		}
	})
	t.Run("duplicates, late, badly signed, for others, padded and bare", func(t *testing.T) {
		o, in := newMailbox(t)
		o.tell("wei", map[string]any{"name": "subscribe", "copies": 3})
		if all := in.letters(); len(all) != 3 || all[0].body != all[2].body {
			t.Errorf("%d letters", len(all))
		}
		o.tell("wei", map[string]any{"name": "unsubscribe", "age": "90s", "full_pad": true, "agentid": "bare", "only_tell": true})
		m, _, pad := in.unseal(t, in.last(t))
		if m["CreateTime"] != fmt.Sprint(fixedTime-90) || pad != 32 || !strings.Contains(in.last(t).body, "<AgentID>1000002</AgentID>") {
			t.Errorf("%v, pad %d", m, pad)
		}
		o.tell("wei", map[string]any{"name": "subscribe", "agentid": "absent"})
		if _, envelope, _ := in.unseal(t, in.last(t)); envelope["AgentID"] != "" {
			t.Errorf("%v", envelope)
		}
		o.tell("wei", map[string]any{"name": "subscribe", "wrong": "signature"})
		bad := in.last(t)
		if parsed := parseMessage(t, bad.body); bad.query.Get("msg_signature") == sha1Of(in.app.Token, bad.query.Get("timestamp"), bad.query.Get("nonce"), parsed["Encrypt"]) {
			t.Error("the signature is right")
		}
		o.tell("wei", map[string]any{"name": "subscribe", "wrong": "timestamp"})
		if _, _, _ = in.unseal(t, in.last(t)); in.last(t).query.Get("timestamp") != fmt.Sprint(fixedTime-3600) {
			t.Error("the timestamp is fresh")
		}
		o.tell("wei", map[string]any{"name": "subscribe", "wrong": "receiveid"})
		if parsed := parseMessage(t, in.last(t).body); parsed["ToUserName"] != o.agent.AppID {
			t.Errorf("%v", parsed)
		}
		if receiver := in.receiver(t, parseMessage(t, in.last(t).body)["Encrypt"]); receiver == o.agent.AppID || len(receiver) != 18 {
			t.Errorf("receiveid %s", receiver)
		}
	})
	t.Run("replies", func(t *testing.T) {
		o, in := newMailbox(t)
		text := "<xml><ToUserName><![CDATA[Wei]]></ToUserName><FromUserName><![CDATA[" + o.agent.AppID + "]]></FromUserName>" +
			"<CreateTime>1348831860</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[this is a test]]></Content></xml>"
		for answer, want := range map[string]string{
			"": "none", "success": "none", "ok": "invalid", text: "invalid",
			in.seal(t, text, o.agent.AppID):                                                             "message",
			strings.ReplaceAll(in.seal(t, text, o.agent.AppID), "TimeStamp", "Timestamp"):               "message",
			in.seal(t, text, o.foreign.AppID):                                                           "invalid",
			in.seal(t, strings.Replace(text, "[Wei]", "[Dai]", 1), o.agent.AppID):                       "invalid",
			strings.Replace(in.seal(t, text, o.agent.AppID), "<Nonce>n</Nonce>", "<Nonce>m</Nonce>", 1): "invalid",
		} {
			in.replies(answer)
			if report := o.tell("wei", "enter_agent"); report.Reply.Kind != want || (want == "message") != (report.Reply.Content == "this is a test") {
				t.Errorf("%s: %+v", answer, report.Reply)
			}
		}
	})
	t.Run("events change what they say", func(t *testing.T) {
		o, _ := newMailbox(t)
		get := func() answer { return o.api(o.agent, "user/get", "userid", "Wei") }
		o.tell("wei", "unsubscribe")
		get().errcode(t, 60011)
		o.tell("wei", "subscribe")
		get().errcode(t, 0)
		o.tell("wei", map[string]any{"name": "change_contact", "change": "delete_user"})
		get().errcode(t, 60111)
		o.tell("wei", map[string]any{"name": "change_contact", "change": "create_user"})
		get().errcode(t, 0)
		o.tell("wei", map[string]any{"name": "change_contact", "change": "update_user", "new_userid": "Wei2"})
		get().errcode(t, 60111)
	})
	t.Run("a change of a member tells the apps", func(t *testing.T) {
		change := func(o *office, person string, c map[string]any) (events []string) {
			c["person"], c["appid"] = person, o.agent.AppID
			var report simulator.MemberReport
			if err := json.Unmarshal([]byte(o.control("POST", "wecom/members", c).body), &report); err != nil {
				t.Fatal(err)
			}
			for _, e := range report.Events {
				m := parseMessage(t, e.Message)
				events = append(events, strings.TrimSpace(m["Event"]+" "+m["ChangeType"]))
				if !e.Delivered {
					t.Errorf("%+v", e)
				}
			}
			return events
		}
		o, _ := newMailbox(t)
		for _, c := range []struct {
			change map[string]any
			want   string
		}{
			{map[string]any{"status": "disabled"}, "unsubscribe"}, {map[string]any{"visible": false}, ""},
			{map[string]any{"status": "active"}, ""}, {map[string]any{"visible": true}, "subscribe"},
			{map[string]any{"userid": "Wei9"}, ""}, {map[string]any{"status": "deleted"}, "unsubscribe"},
			{map[string]any{"status": "active", "quiet": true}, ""}, {map[string]any{"status": "left"}, "unsubscribe"},
		} {
			if got := strings.Join(change(o, "wei", c.change), ", "); got != c.want {
				t.Errorf("%v: %q, want %q", c.change, got, c.want)
			}
		}
		o, _ = newMailbox(t, onAgent(func(a *simulator.App) { a.ContactEvents = true }))
		for _, c := range []struct {
			change map[string]any
			want   string
		}{
			{map[string]any{"status": "disabled"}, "unsubscribe, change_contact update_user"},
			{map[string]any{"userid": "Wei9"}, "change_contact update_user"},
			{map[string]any{"status": "deleted"}, "change_contact delete_user"},
			{map[string]any{"status": "active"}, "subscribe, change_contact create_user"},
		} {
			if got := strings.Join(change(o, "wei", c.change), ", "); got != c.want {
				t.Errorf("contact app, %v: %q, want %q", c.change, got, c.want)
			}
		}
	})
	t.Run("what cannot be pushed", func(t *testing.T) {
		o, _ := newMailbox(t)
		for _, body := range []string{
			`{"person":"guest","appid":"CORP","event":"subscribe"}`, `{"person":"wei","appid":"CORP","event":"SCAN"}`,
			`{"person":"wei","appid":"CORP","event":"change_contact"}`, `{"person":"wei","appid":"CORP","agentid":9,"event":"subscribe"}`,
			`{"person":"wei","appid":"CORP","event":{"name":"subscribe","wrong":"x"}}`, `{"person":"wei","appid":"CORP","event":{"name":"subscribe","odd":1}}`,
			`{"person":"wei","appid":"CORP","event":{"name":"subscribe","copies":11}}`, `{"person":"wei","appid":"CORP","event":{"name":"subscribe","age":"-1s"}}`,
			`{"person":"wei","appid":"CORP","event":{"name":"subscribe","fields":{"a b":"c"}}}`,
		} {
			if a := o.do("POST", "/_simulator/events", strings.ReplaceAll(body, "CORP", o.agent.AppID), nil); a.status != 400 {
				t.Errorf("%s: %d %s", body, a.status, a.body)
			}
		}
		o = newOffice(t)
		if report := o.tell("wei", "subscribe"); report.Delivered || report.Problem != "the app has no events_url" {
			t.Errorf("%+v", report)
		}
	})
}

var fixedTime = time.Date(2026, 9, 17, 10, 0, 0, 0, time.UTC).Unix() // that of stoppedClock

// receiver is the receiveid inside, whosever it is.
func (in *inbox) receiver(t *testing.T, sealed string) string {
	t.Helper()
	key := in.key(t)
	data, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(data)%32 != 0 {
		t.Fatalf("%d bytes: %v", len(data), err)
	}
	block, _ := aes.NewCipher(key)
	cipher.NewCBCDecrypter(block, key[:16]).CryptBlocks(data, data)
	data = data[:len(data)-int(data[len(data)-1])]
	return string(data[20+binary.BigEndian.Uint32(data[16:20]):])
}
