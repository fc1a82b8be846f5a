package handlers_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/wechat"
	"wxbridge/wechat/simulator"
	"wxbridge/wechat/wecom"
)

const askedPath = "/qyapi/cgi-bin/user/get"

// loggedIn is a member with a fresh cookie.
func (b *bridge) loggedIn(person string) *browser {
	b.t.Helper()
	w := b.member(person)
	w.visit("/login?return_to=/")
	w.mustClaims()
	return w
}

func TestWeCom_ATokenIsRenewedWhileWeComHasConfirmedTheMember(t *testing.T) {
	b := newOffice(t)
	w := b.loggedIn("wei")
	first, asked := w.mustClaims(), b.calls(askedPath)
	b.clock.Advance(tokenTTL * 3 / 4)
	w.get("/", "Accept", "text/html")
	second := w.mustClaims()
	if !second.IssuedAt.After(first.IssuedAt) || second.SessionID != first.SessionID || second.Departments != "2,3" {
		t.Errorf("renewed to %+v", second)
	}
	if n := b.calls(askedPath) - asked; n != 0 {
		t.Errorf("asked %d times about a member confirmed within a token's life", n)
	}
	b.clock.Advance(tokenTTL * 3 / 4)
	for range 3 {
		w.get("/", "Accept", "text/html")
	}
	if third := w.mustClaims(); !third.IssuedAt.After(second.IssuedAt) {
		t.Error("not renewed after WeCom was asked")
	}
	if n := b.calls(askedPath) - asked; n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

func TestWeCom_ARenewedTokenHasTheDepartmentsOfToday(t *testing.T) {
	b := newOffice(t)
	w := b.loggedIn("wei")
	report, err := b.sim.PushWeCom(t.Context(), b.corp.AppID, 0, "wei", simulator.WeComEvent{Name: "change_contact", Change: "update_user", OnlyTell: true})
	must(t, err)
	if !report.Delivered {
		t.Fatalf("%+v", report)
	}
	asked := b.calls(askedPath)
	b.clock.Advance(tokenTTL * 3 / 4)
	w.get("/", "Accept", "text/html")
	if n := b.calls(askedPath) - asked; n != 1 {
		t.Errorf("asked %d times after WeCom had said that something changed", n)
	}
	if claims := w.mustClaims(); claims.Departments != "2,3" {
		t.Errorf("claims %+v", claims)
	}
}

// Without callbacks a leaver is found out at a renewal.
func TestWeCom_WhoLeavesUnheardIsOutAtTheNextQuestion(t *testing.T) {
	for _, status := range []string{"disabled", "left", "deleted", "invisible"} {
		for _, path := range []string{"/", "/me", "/auth/verify"} {
			t.Run(status+path, func(t *testing.T) {
				b := newOffice(t)
				w := b.loggedIn("wei")
				change := simulator.MemberChange{Status: status, Quiet: true}
				if status == "invisible" {
					no := false
					change = simulator.MemberChange{Visible: &no, Quiet: true}
				}
				b.changeMember("wei", change)
				b.clock.Advance(tokenTTL * 3 / 4)
				w.get(path)
				token := w.cookie("wxbridge_token") // renewed: the member was confirmed at the login
				b.clock.Advance(tokenTTL * 3 / 4)
				if b.askAPI(token) != http.StatusOK {
					t.Fatal("the token is over before anybody was asked")
				}
				w.eventually(path, func() bool { return b.askAPI(token) == http.StatusUnauthorized })
				if p := w.get("/me"); p.StatusCode != http.StatusUnauthorized {
					t.Errorf("the cookie still passes: %d", p.StatusCode)
				}
				if p := w.visit("/login"); p.Request.URL.Path != "/login/not-member" {
					t.Errorf("the silent login ends at %s", p.Request.URL)
				}
				if !strings.Contains(b.log.String(), "member.revoked") {
					t.Error("LOG-03 nobody is told")
				}
			})
		}
	}
}

// agentOf is an app of the corp that reaches WeCom through a way of its own, on which member questions meet say once it is set.
func (b *bridge) agentOf(alias string, app simulator.App, say *atomic.Int64) handlers.WeComApp {
	to, err := url.Parse(b.simURL)
	must(b.t, err)
	onward := httputil.NewSingleHostReverseProxy(to)
	way := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if code := say.Load(); code != 0 && r.URL.Path == askedPath {
			fmt.Fprintf(w, `{"errcode":%d,"errmsg":"as the test wants it"}`, code)
			return
		}
		onward.ServeHTTP(w, r)
	}))
	b.t.Cleanup(way.Close)
	api := b.wecomAPI()
	api.BaseURL, err = url.Parse(way.URL + "/qyapi")
	must(b.t, err)
	client, err := wecom.New(api, wecom.App{CorpID: app.AppID, AgentID: strconv.Itoa(app.AgentID), Secret: wechat.Secret(app.Secret)}, wecom.Options{})
	must(b.t, err)
	return handlers.WeComApp{Alias: alias, Client: client}
}

// The apps of a corp see different people. One that calls the member active is enough for a renewal; who is active for none is
// gone, and nobody is as long as one of the apps cannot say.
func TestWeCom_OneOfSeveralAppsOfTheCorpIsEnough(t *testing.T) {
	const active, out, silent = 0, 60011, -1
	for _, row := range []struct {
		name          string
		first, second int64 // what user/get answers to each; 0 the truth
		renewed, gone bool
	}{
		{"the first calls them active", active, out, true, false},
		{"the second calls them active", out, active, true, false},
		{"the first cannot say, the second calls them active", silent, active, true, false},
		{"neither may look at them", out, out, false, true},
		{"the first may not look, the second cannot say", out, silent, false, false},
		{"the first cannot say, the second may not look", silent, out, false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var first, second atomic.Int64
			b := newBareOffice(t)
			startBridge(t, b, "", []func(*handlers.Config){func(cfg *handlers.Config) {
				cfg.WeCom = []handlers.WeComApp{b.agentOf(handlers.DefaultApp, b.corp, &first)}
				for _, app := range simulator.DevApps("") {
					if app.AppID == b.corp.AppID && app.AgentID != b.corp.AgentID {
						cfg.WeCom = append(cfg.WeCom, b.agentOf("second", app, &second))
					}
				}
			}})
			if len(b.cfg.WeCom) != 2 {
				t.Fatalf("%d apps of the corp", len(b.cfg.WeCom))
			}
			w := b.loggedIn("wei")
			b.clock.Advance(tokenTTL * 3 / 4)
			w.get("/", "Accept", "text/html") // renewed: confirmed at the login
			before := w.mustClaims()
			b.clock.Advance(tokenTTL * 3 / 4)
			first.Store(row.first)
			second.Store(row.second)
			p := w.get("/me")
			if gone := p.StatusCode == http.StatusUnauthorized; gone != row.gone || gone != strings.Contains(b.log.String(), `"member.revoked"`) {
				t.Errorf("%d %s", p.StatusCode, p.body)
			}
			if row.gone {
				return
			}
			if now := w.mustClaims(); now.IssuedAt.After(before.IssuedAt) != row.renewed || now.Departments != "2,3" {
				t.Errorf("renewed from %v to %+v", before.IssuedAt, now)
			}
		})
	}
}

// Who may not see one app of the corp is turned away there, and goes on in the other.
func TestWeCom_BarredFromOneAppAlone(t *testing.T) {
	var first, second atomic.Int64
	b := newBareOffice(t)
	startBridge(t, b, "", []func(*handlers.Config){func(cfg *handlers.Config) {
		cfg.WeCom = []handlers.WeComApp{b.agentOf(handlers.DefaultApp, b.corp, &first), b.agentOf("second", b.corp, &second)}
	}})
	w := b.loggedIn("wei")
	second.Store(60011)
	if p := w.visit("/login/wecom?app=second&prompt=login"); p.Request.URL.Path != "/login/not-member" {
		t.Errorf("ends at %s", p.Request.URL)
	}
	if p := w.get("/me"); p.StatusCode != http.StatusOK {
		t.Errorf("out of the other app too: %d", p.StatusCode)
	}
	first.Store(60011)
	if p := w.visit("/login/wecom?app=second&prompt=login"); p.Request.URL.Path != "/login/not-member" {
		t.Errorf("ends at %s", p.Request.URL)
	}
	if p := w.get("/me"); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("gone, and still in: %d", p.StatusCode)
	}
}

// eventually goes to a path until ok holds.
func (w *browser) eventually(path string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		w.get(path)
		if ok() {
			return
		}
	}
	w.t.Fatal("it never happens")
}

// askAPI sends a token as an API's client does.
func (b *bridge) askAPI(token string) int {
	b.t.Helper()
	return b.browser("").get("/me", "Authorization", "Bearer "+token).StatusCode
}

// WeCom out of reach is no confirmation, and holds nobody up: the token runs to its end.
func TestWeCom_WithoutAnAnswerTheTokenRunsOut(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{`"errcode":-1`, `"mode":"reset"`, `"mode":"html502"`, `"errcode":60020`, `"errcode":45009`, `"latency_ms":9000`} {
		t.Run(fault, func(t *testing.T) {
			b := newOffice(t)
			w := b.loggedIn("wei")
			first := w.mustClaims()
			b.clock.Advance(tokenTTL * 3 / 4)
			w.get("/", "Accept", "text/html") // renewed: confirmed at the login
			second := w.mustClaims()
			b.fault(`{"path":"` + askedPath + `",` + fault + `,"times":0}`)
			b.clock.Advance(tokenTTL * 3 / 4)
			for _, path := range []string{"/auth/verify", "/", "/me"} {
				start := time.Now()
				p := w.get(path)
				if took := time.Since(start); p.StatusCode != http.StatusOK || took > 7*time.Second || path == "/auth/verify" && took > 3*time.Second {
					t.Errorf("%s: %d after %v", path, p.StatusCode, took)
				}
			}
			if now := w.mustClaims(); !now.ExpiresAt.Equal(second.ExpiresAt) || !second.ExpiresAt.After(first.ExpiresAt) {
				t.Errorf("expires at %v, was %v", now.ExpiresAt, second.ExpiresAt)
			}
			if p := w.do("PATCH", "/me", `{"nickname":"x"}`, "Content-Type", "application/json", "Origin", b.url); p.StatusCode != http.StatusOK {
				t.Errorf("PATCH /me: %d %s", p.StatusCode, p.body)
			}
			b.clock.Advance(tokenTTL / 2)
			if p := w.get("/me"); p.StatusCode != http.StatusUnauthorized {
				t.Errorf("after its end: %d", p.StatusCode)
			}
		})
	}
}

func TestWeCom_OneQuestionAboutAMemberAtATime(t *testing.T) {
	b := newOffice(t)
	w := b.loggedIn("wei")
	b.clock.Advance(tokenTTL * 3 / 4)
	w.get("/", "Accept", "text/html")
	b.clock.Advance(tokenTTL * 3 / 4)
	b.fault(`{"path":"` + askedPath + `","latency_ms":300,"times":0}`)
	asked := b.calls(askedPath)
	cookie := "wxbridge_token=" + w.cookie("wxbridge_token")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if p := b.browser("").get("/me", "Cookie", cookie); p.StatusCode != http.StatusOK {
				t.Errorf("%d %s", p.StatusCode, p.body)
			}
		})
	}
	all.Wait()
	if n := b.calls(askedPath) - asked; n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestWeCom_AnEventThatSomebodyIsGoneRevokesAtOnce(t *testing.T) {
	for name, event := range map[string]simulator.WeComEvent{
		"unsubscribe": {Name: "unsubscribe"},
		"deleted":     {Name: "change_contact", Change: "delete_user"},
		"disabled":    {Name: "change_contact", Change: "update_user", Fields: map[string]string{"Status": "2"}, OnlyTell: true},
		"left":        {Name: "change_contact", Change: "update_user", Fields: map[string]string{"Status": "5"}, OnlyTell: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newOffice(t)
			w, other := b.loggedIn("wei"), b.loggedIn("member-other")
			token := w.cookie("wxbridge_token")
			report, err := b.sim.PushWeCom(t.Context(), b.corp.AppID, 0, "wei", event)
			must(t, err)
			if !report.Delivered {
				t.Fatalf("%+v", report)
			}
			if status := b.askAPI(token); status != http.StatusUnauthorized {
				t.Errorf("the token still passes: %d", status)
			}
			if p := w.get("/auth/verify"); p.StatusCode != http.StatusUnauthorized {
				t.Errorf("the cookie still passes: %d", p.StatusCode)
			}
			if p := other.get("/me"); p.StatusCode != http.StatusOK {
				t.Errorf("somebody else's: %d", p.StatusCode)
			}
			if !strings.Contains(b.log.String(), `"event":"member.revoked"`) {
				t.Error("LOG-03 nobody is told")
			}
		})
	}
}

// What the admin does in the console is enough: WeCom tells the app.
func TestWeCom_DisabledInTheConsole(t *testing.T) {
	b := newOffice(t)
	w := b.loggedIn("wei")
	if report := b.changeMember("wei", simulator.MemberChange{Status: "disabled"}); len(report.Events) == 0 || !report.Events[0].Delivered {
		t.Fatalf("%+v", report)
	}
	if p := w.get("/me"); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("%d", p.StatusCode)
	}
	if p := w.visit("/login"); p.Request.URL.Path != "/login/not-member" {
		t.Errorf("the login ends at %s", p.Request.URL)
	}
	b.changeMember("wei", simulator.MemberChange{Status: "active"})
	b.clock.Advance(3 * time.Second)
	if w.visit("/login?return_to=/"); w.mustClaims().OpenID != "wei" {
		t.Error("does not come back")
	}
}

func TestWeCom_ARenamedMemberStaysTheFan(t *testing.T) {
	b := newOffice(t)
	w := b.loggedIn("wei")
	fan := w.mustClaims().Subject
	report, err := b.sim.PushWeCom(t.Context(), b.corp.AppID, 0, "wei", simulator.WeComEvent{Name: "change_contact", Change: "update_user", NewUserID: "WeiXiaoMing"})
	must(t, err)
	if !report.Delivered {
		t.Fatalf("%+v", report)
	}
	if p := w.get("/me"); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old name still passes: %d", p.StatusCode)
	}
	b.clock.Advance(3 * time.Second)
	w.visit("/login?return_to=/")
	if claims := w.mustClaims(); claims.Subject != fan || claims.OpenID != "weixiaoming" {
		t.Errorf("claims %+v", claims)
	}
}

func TestWeCom_SubscribeIsKeptAndToldToBackends(t *testing.T) {
	b := newOffice(t)
	must(t, b.store.SetEndpoints(t.Context(), []db.Endpoint{{Name: "shop", Events: []string{"wecom.*"}}}))
	b.loggedIn("wei")
	for _, name := range []string{"subscribe", "enter_agent"} {
		report, err := b.sim.PushWeCom(t.Context(), b.corp.AppID, 0, "wei", simulator.WeComEvent{Name: name, Copies: 2})
		must(t, err)
		if !report.Delivered || report.Reply != nil && report.Reply.Problem != "" {
			t.Fatalf("%+v", report)
		}
	}
	_, identity, err := b.store.FanByIdentity(t.Context(), "wecom", b.corp.AppID, "wei")
	must(t, err)
	if identity.Subscribed == nil || !*identity.Subscribed {
		t.Error("not kept")
	}
	told := b.deliveries("shop")
	if len(told) != 2 || told[0].Type != "wecom.subscribe" || told[1].Type != "wecom.enter_agent" {
		t.Fatalf("told %v", told)
	}
	for _, want := range []string{`"provider":"wecom"`, `"openid":"wei"`, `"app":"default"`, `"encrypted":true`, fmt.Sprintf(`"agent_id":"%d"`, b.corp.AgentID), `"fan":{"id":`} {
		if !strings.Contains(string(told[0].Data), want) {
			t.Errorf("no %s in %s", want, told[0].Data)
		}
	}
}

// deliveries are all that a backend is to be told, in order.
func (b *bridge) deliveries(endpoint string) (told []db.Delivery) {
	b.t.Helper()
	ctx := b.t.Context()
	for {
		for n := 1; n > 0; {
			var err error
			n, err = b.store.FanOut(ctx)
			must(b.t, err)
		}
		due, err := b.store.ClaimDeliveries(ctx, endpoint, 10, time.Minute)
		must(b.t, err)
		if len(due) == 0 {
			return told
		}
		for _, d := range due {
			must(b.t, b.store.Delivered(ctx, d.Receipt))
		}
		told = append(told, due...)
	}
}

func TestWeCom_TheConsoleVerifiesTheAddressWithinASecond(t *testing.T) {
	b := newOffice(t)
	report, err := b.sim.VerifyWeComCallback(t.Context(), b.corp.AppID, 0)
	must(t, err)
	if !report.Verified {
		t.Fatalf("%+v", report)
	}
	for name, query := range map[string]string{
		"WX-10 garbage":      "?msg_signature=0&timestamp=1&nonce=2&echostr=%00garbage",
		"WX-10 no signature": "?timestamp=1&nonce=2&echostr=abc",
		"WX-10 twice":        "?msg_signature=a&msg_signature=b&timestamp=1&nonce=2&echostr=abc",
		"nothing":            "",
	} {
		if p := b.browser("").get("/events/wecom" + query); p.StatusCode != http.StatusForbidden && p.StatusCode != http.StatusBadRequest || p.body == "abc" {
			t.Errorf("%s: %d %q", name, p.StatusCode, p.body)
		}
	}
	if p := b.browser("").get("/events/wecom?app=nobody"); p.StatusCode != http.StatusNotFound {
		t.Errorf("an app that is not there: %d", p.StatusCode)
	}
}

// WX-10, WX-12: forged, replayed and misdirected pushes change nothing.
func TestWeCom_PushesThatAreNotWeComs(t *testing.T) {
	for _, wrong := range []string{"signature", "receiveid", "key", "timestamp"} {
		t.Run(wrong, func(t *testing.T) {
			b := newOffice(t)
			w := b.loggedIn("wei")
			report, err := b.sim.PushWeCom(t.Context(), b.corp.AppID, 0, "wei", simulator.WeComEvent{Name: "unsubscribe", Wrong: wrong, OnlyTell: true})
			must(t, err)
			if report.Delivered || report.Attempts[0].Status != http.StatusForbidden {
				t.Errorf("%+v", report.Attempts)
			}
			if p := w.get("/me"); p.StatusCode != http.StatusOK {
				t.Errorf("it revoked: %d", p.StatusCode)
			}
		})
	}
	b := newOffice(t)
	for name, body := range map[string]string{
		"plain":   `<xml><ToUserName>x</ToUserName><FromUserName>wei</FromUserName><MsgType>event</MsgType><Event>unsubscribe</Event></xml>`,
		"garbage": "\x00\x01", "empty": "",
	} {
		p := b.browser("").do("POST", "/events/wecom?"+url.Values{"msg_signature": {strings.Repeat("0", 40)}, "timestamp": {fmt.Sprint(b.clock.Now().Unix())},
			"nonce": {"1"}}.Encode(), body)
		if p.StatusCode != http.StatusForbidden && p.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, p.StatusCode, p.body)
		}
	}
}

// WX-14: WeCom hears within its five seconds that a push was not stored, and sends it again.
func TestWeCom_APushThatCannotBeStoredIsNotTaken(t *testing.T) {
	t.Parallel()
	for name, failing := range map[string]error{"slow": nil, "down": db.ErrUnavailable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newOffice(t, func(cfg *handlers.Config) { cfg.Store = heldStore{cfg.Store, failing} })
			w := b.loggedIn("wei")
			start := time.Now()
			report, err := b.sim.PushWeCom(t.Context(), b.corp.AppID, 0, "wei", simulator.WeComEvent{Name: "unsubscribe", OnlyTell: true})
			must(t, err)
			if report.Delivered || len(report.Attempts) != 3 || time.Since(start) > 3*5*time.Second {
				t.Errorf("%+v", report)
			}
			for _, a := range report.Attempts {
				if a.Status != http.StatusServiceUnavailable || a.DurationMS > 5000 {
					t.Errorf("%+v", a)
				}
			}
			if p := w.get("/me"); p.StatusCode != http.StatusOK {
				t.Errorf("taken in part: %d", p.StatusCode)
			}
		})
	}
}

// WX-13: the same push five times at once has one effect. Pushes of one second are the same.
func TestWeCom_FiveCopiesAtOnce(t *testing.T) {
	b := newOffice(t)
	must(t, b.store.SetEndpoints(t.Context(), []db.Endpoint{{Name: "shop", Events: []string{"wecom.*"}}}))
	for round := range 10 {
		person := fmt.Sprintf("member-%d", round)
		w := b.loggedIn(person)
		b.clock.Advance(time.Second - time.Duration(b.clock.Now().Nanosecond())) // to the start of a second
		second := b.clock.Now().Unix()
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				report, err := b.sim.PushWeCom(t.Context(), b.corp.AppID, 0, person, simulator.WeComEvent{Name: "unsubscribe", OnlyTell: true})
				if err != nil || !report.Delivered {
					t.Errorf("%+v %v", report, err)
				}
			})
		}
		all.Wait()
		told := b.deliveries("shop")
		if b.clock.Now().Unix() != second {
			continue // too slow to say
		}
		if len(told) != 1 {
			t.Errorf("told %d times", len(told))
		}
		if p := w.get("/me"); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d", p.StatusCode)
		}
		return
	}
	t.Fatal("no five pushes arrive within a second")
}

// WX-13.
func TestWeCom_ARepeatOfAPushIsTakenOnce(t *testing.T) {
	b := newOffice(t)
	w := b.loggedIn("wei")
	report, err := b.sim.PushWeCom(t.Context(), b.corp.AppID, 0, "wei", simulator.WeComEvent{Name: "unsubscribe", Copies: 3, OnlyTell: true})
	must(t, err)
	if !report.Delivered || strings.Count(b.log.String(), `"event":"member.revoked"`) != 1 {
		t.Errorf("%+v", report)
	}
	if p := w.get("/me"); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("%d", p.StatusCode)
	}
}

// An operator who links a member with a WeChat fan changes nothing about when the member's tokens are renewed.
func TestWeCom_LinkedAndParted(t *testing.T) {
	b := newOffice(t)
	phone, work := b.browser("wei"), b.loggedIn("wei")
	phone.register()
	older, younger := work.mustClaims().Subject, phone.mustClaims().Subject
	until := b.clock.Now().Add(tokenTTL)
	_, err := b.store.LinkFans(t.Context(), younger, older, until)
	must(t, err)
	b.clock.Advance(3 * time.Second)
	for _, w := range []*browser{phone, work} {
		w.visit("/login?return_to=/&prompt=login")
		if sub := w.mustClaims().Subject; sub != older {
			t.Errorf("linked, but %s logs in, want %s", sub, older)
		}
	}
	_, err = b.store.Unlink(t.Context(), younger, until)
	must(t, err)
	for name, w := range map[string]*browser{"phone": phone, "work": work} {
		token := w.cookie("wxbridge_token")
		if claims, err := b.verifier.Verify(t.Context(), token); err == nil {
			if revoked, err := b.store.Revoked(t.Context(), claims.SessionID, claims.Subject, claims.IssuedAt); err != nil || !revoked {
				t.Errorf("%s: a token of the time together is not revoked: %v", name, err)
			}
		}
	}
	b.clock.Advance(3 * time.Second)
	phone.visit("/login?return_to=/&prompt=login")
	work.visit("/login?return_to=/&prompt=login")
	if a, c := phone.mustClaims().Subject, work.mustClaims().Subject; a != younger || c != older {
		t.Errorf("parted, %s and %s log in, want %s and %s", a, c, younger, older)
	}
}
