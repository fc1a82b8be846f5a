package wecom_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/wechat"
	"wxbridge/wechat/simulator"
	"wxbridge/wechat/wecom"
)

// The client meets the simulator here. Each was written from the protocol facts and
// neither from the other, so what they agree on is in the facts, or assumed by both.

const site = "https://127.0.0.1:9/callback/wecom"

// stand is the simulator over TLS on loopback, with an app of a corp, a second one
// beside it and one of another corp.
type stand struct {
	t       *testing.T
	sim     *simulator.Server
	server  *httptest.Server
	clock   *movingClock
	choices map[string]string

	apps   []simulator.App // the three
	inbox  *inbox
	client *wecom.Client
}

func newStand(t *testing.T, choices map[string]string) *stand {
	t.Helper()
	s := &stand{t: t, clock: newClock(), choices: choices}
	apps := simulator.DevApps("127.0.0.1:9")
	s.inbox = newInbox(t)
	for i := range apps {
		if apps[i].Provider == simulator.ProviderWeCom {
			apps[i].EventsURL, apps[i].ContactEvents = s.inbox.server.URL+"/events", len(s.apps) == 0
			s.apps = append(s.apps, apps[i])
		}
	}
	sim, err := simulator.New(simulator.Config{Apps: apps, Now: s.clock.Now, Switches: choices})
	if err != nil {
		t.Fatal(err)
	}
	s.sim = sim
	s.server = httptest.NewTLSServer(sim)
	s.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	t.Cleanup(s.server.Close)
	s.client = s.clientOf(s.apps[0], wecom.Options{})
	s.inbox.callback(t, s.apps[0], s.clock.Now)
	return s
}

func credentials(a simulator.App) wecom.App {
	return wecom.App{CorpID: a.AppID, AgentID: strconv.Itoa(a.AgentID), Secret: wechat.Secret(a.Secret)}
}

func (s *stand) api() *wecom.API {
	s.t.Helper()
	return &wecom.API{BaseURL: mustURL(s.t, s.server.URL+"/qyapi"), OpenURL: mustURL(s.t, s.server.URL), LoginURL: mustURL(s.t, s.server.URL+"/wwlogin"),
		HTTP: s.server.Client(), Now: s.clock.Now, CallTimeout: 5 * time.Second}
}

func (s *stand) clientOf(a simulator.App, o wecom.Options) *wecom.Client {
	s.t.Helper()
	return newClient(s.t, s.api(), credentials(a), o)
}

// visit opens a link in the browser of a person, who consents to what is asked, and
// returns the query of the callback. It is nil if the person does not come back.
func (s *stand) visit(person, link, consent string) url.Values {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, link, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Simulator-Person", person)
	req.Header.Set("X-Simulator-Consent", consent)
	req.Header.Set("User-Agent", "Mozilla/5.0 (Linux; Android 14) wxwork/4.1.20 MicroMessenger/7.0.1")
	browser := &http.Client{Transport: s.server.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	back, err := resp.Location()
	if err != nil || !strings.HasPrefix(back.String(), site+"?") {
		return nil
	}
	return back.Query()
}

// code logs a person in by a link and returns the code that came back.
func (s *stand) code(person, link string) string {
	s.t.Helper()
	back := s.visit(person, link, "allow")
	if back.Get("code") == "" || back.Get("state") != "s7aTe" {
		s.t.Fatalf("%s came back with %v from %s", person, back, link)
	}
	return back.Get("code")
}

func (s *stand) base() string    { return s.client.AuthorizeURL(site, wecom.ScopeBase, "s7aTe") }
func (s *stand) private() string { return s.client.AuthorizeURL(site, wecom.ScopePrivateInfo, "s7aTe") }
func (s *stand) web() string     { return s.client.QRLoginURL(site, "s7aTe", "zh") }

func (s *stand) exchange(person, link string) wecom.Visitor {
	s.t.Helper()
	v, err := s.client.Exchange(s.t.Context(), s.code(person, link))
	if err != nil {
		s.t.Fatalf("%s: %v", person, err)
	}
	return v
}

// control calls one of the simulator's own routes.
func (s *stand) control(path, body string) {
	s.t.Helper()
	resp, err := s.server.Client().Post(s.server.URL+"/_simulator/"+path, "application/json", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		s.t.Fatalf("%s %s: %d %s", path, body, resp.StatusCode, text)
	}
}

func (s *stand) fetches() int64 { return s.sim.Calls()["/qyapi/cgi-bin/gettoken"] }

// inbox is the app's server: it opens what is pushed and answers by a text.
type inbox struct {
	server *httptest.Server

	mu       sync.Mutex
	pushes   *wecom.Callback
	messages []*wecom.Message
	failures []error
}

func newInbox(t *testing.T) *inbox {
	t.Helper()
	b := &inbox{}
	b.server = httptest.NewServer(b)
	t.Cleanup(b.server.Close)
	return b
}

func (b *inbox) callback(t *testing.T, a simulator.App, now func() time.Time) {
	t.Helper()
	c, err := wecom.NewCallback(wecom.CallbackConfig{CorpID: a.AppID, AgentID: strconv.Itoa(a.AgentID), Token: wechat.Secret(a.Token),
		AESKey: wechat.Secret(a.EncodingAESKey), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pushes = c
}

func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	answer, err := b.answer(r)
	if err != nil {
		b.failures = append(b.failures, err)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	_, _ = w.Write(answer)
}

func (b *inbox) answer(r *http.Request) ([]byte, error) {
	if r.Method == http.MethodGet {
		echo, err := b.pushes.Verify(r.URL.Query())
		return []byte(echo), err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	m, err := b.pushes.Open(r.URL.Query(), body)
	if err != nil {
		return nil, err
	}
	b.messages = append(b.messages, m)
	if m.Event == wecom.EventChangeContact { // whose sender is nobody
		return []byte(wechat.CallbackSuccess), nil
	}
	return b.pushes.TextReply(m, "你好 & ]]>")
}

// take returns what has come since the last time.
func (b *inbox) take() (messages []*wecom.Message, failures []error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	messages, failures = b.messages, b.failures
	b.messages, b.failures = nil, nil
	return messages, failures
}

// Every choice of every doubtful behaviour, one at a time.
func TestSimulator_EveryLoginUnderEverySwitch(t *testing.T) {
	for _, sw := range simulator.Switches() {
		if !strings.HasPrefix(sw.Name, "wecom-") {
			continue
		}
		for _, choice := range sw.Choices {
			if sw.Name == "wecom-app" && choice == "disabled" || sw.Name == "wecom-trusted-ip" && choice == "not-listed" {
				continue // nobody logs in then: TestSimulator_FaultsOfTheConsole
			}
			t.Run(sw.Name+"="+choice, func(t *testing.T) {
				s := newStand(t, map[string]string{sw.Name: choice})
				s.logins()
				s.strangers()
				s.deadCodes()
				s.leavers()
				s.tickets()
				s.pushes()
			})
		}
	}
}

// logins: the member wei, by every door.
func (s *stand) logins() {
	t := s.t
	for name, link := range map[string]string{"in WeCom": s.base(), "on a PC": s.web()} {
		if v := s.exchange("wei", link); v != (wecom.Visitor{UserID: "Wei"}) {
			t.Errorf("%s: %+v", name, v)
		}
	}
	v := s.exchange("wei", s.private())
	if v.UserID != "Wei" || v.Ticket == "" {
		t.Fatalf("privateinfo: %+v", v)
	}
	for range 2 { // a ticket is good for half an hour
		d, err := s.client.Detail(t.Context(), v)
		if err != nil || d.UserID != "Wei" || d.Gender != wecom.GenderMale || d.Mobile == "" || d.Email == "" || !strings.HasPrefix(d.Avatar, "http") {
			t.Errorf("detail: %+v, %v", d, err)
		}
	}
	for _, spelling := range []string{"Wei", "wei", "WEI"} {
		m, err := s.client.Member(t.Context(), spelling)
		if err != nil || wecom.FoldUserID(m.UserID) != "wei" || m.Name != "魏小明" || !m.Active() || len(m.Departments) != 2 || m.MainDepartment == 0 || m.Position != "后台工程师" {
			t.Errorf("member %s: %+v, %v", spelling, m, err)
		}
	}
	js, err := s.sim.JSCode(s.apps[0].AppID, "wei")
	if err != nil {
		t.Fatal(err)
	}
	session, err := s.client.Login(t.Context(), js)
	encrypted := s.choices["wecom-js-userid"] == "encrypted"
	if err != nil || session.Key == "" || (session.UserID != "Wei") != encrypted {
		t.Errorf("mini program: %+v, %v", session, err)
	}
	s.clock.advance(31 * time.Minute)
	if _, err := s.client.Detail(t.Context(), v); !errors.Is(err, wechat.ErrInvalidToken) {
		t.Errorf("a ticket of 31 minutes: %v", err)
	}
	if s.fetches() != 1 {
		t.Errorf("%d calls of gettoken", s.fetches())
	}
}

// strangers: those who are no member, or not here.
func (s *stand) strangers() {
	t := s.t
	if v := s.exchange("guest", s.base()); v.IsMember() || v.OpenID == "" || v.ExternalUserID != "" {
		t.Errorf("guest: %+v", v)
	}
	if v := s.exchange("ke", s.base()); v.IsMember() || v.OpenID == "" || !strings.HasPrefix(v.ExternalUserID, "wm") {
		t.Errorf("a customer: %+v", v)
	}
	if v := s.exchange("lian", s.base()); v.IsMember() || v.OpenID != "" || !strings.HasSuffix(v.LinkedUserID, "/Lian") {
		t.Errorf("a member of a linked corp: %+v", v)
	}
	if v := s.exchange("yuan", s.base()); v.UserID != "Yuan" {
		t.Errorf("a member who may not see the app: %+v", v)
	}
	if _, err := s.client.Member(t.Context(), "Yuan"); !errors.Is(err, wecom.ErrNotMember) {
		t.Errorf("member yuan: %v", err)
	}
	if m, err := s.client.Member(t.Context(), s.exchange("dai", s.base()).UserID); err != nil || m.Active() || m.Status != wecom.StatusDisabled {
		t.Errorf("member dai: %+v, %v", m, err)
	}
	if _, err := s.client.Member(t.Context(), "Nobody"); !errors.Is(err, wecom.ErrNotMember) {
		t.Errorf("member nobody: %v", err)
	}
	other, err := s.sim.JSCode(s.apps[2].AppID, "wei")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Login(t.Context(), other); !errors.Is(err, wecom.ErrOtherCorp) { // WX-09
		t.Errorf("the mini program's code of another corp: %v", err)
	}
}

func (s *stand) deadCodes() {
	t := s.t
	used := s.code("wei", s.base())
	if _, err := s.client.Exchange(t.Context(), used); err != nil {
		t.Fatal(err)
	}
	old := s.code("wei", s.base())
	s.clock.advance(5*time.Minute + time.Second)
	js, err := s.sim.JSCode(s.apps[0].AppID, "wei")
	if err != nil {
		t.Fatal(err)
	}
	for name, dead := range map[string]string{"used": used, "too old": old, "unknown": "nobody-ever-made-this-code", "of a mini program": js} {
		_, err := s.client.Exchange(t.Context(), dead)
		if !errors.Is(err, wechat.ErrInvalidCode) {
			t.Errorf("a code that is %s: %v", name, err)
		}
		if e, ok := errors.AsType[*wechat.Error](err); !ok || e.Hint == "" || e.From != "127.0.0.1" {
			t.Errorf("a code that is %s: %+v", name, e)
		}
	}
	if _, err := s.client.Login(t.Context(), s.code("wei", s.base())); !errors.Is(err, wechat.ErrInvalidCode) {
		t.Errorf("a page's code in place of a mini program's: %v", err)
	}
	second := s.clientOf(s.apps[1], wecom.Options{})
	if _, err := second.Exchange(t.Context(), s.code("wei", s.base())); !errors.Is(err, wechat.ErrMisconfigured) { // 50001
		t.Errorf("a code of another app: %v", err)
	}
	if js, err = s.sim.JSCode(s.apps[0].AppID, "wei"); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Login(t.Context(), js); !errors.Is(err, wechat.ErrMisconfigured) { // 48002 or 40014
		t.Errorf("a mini program's code with another app's token: %v", err)
	}
}

// leavers: members who were at work a moment ago.
func (s *stand) leavers() {
	t := s.t
	for person, status := range map[string]string{"member-1": "disabled", "member-2": "left", "member-3": "deleted", "member-4": "not-activated"} {
		v := s.exchange(person, s.base())
		if m, err := s.client.Member(t.Context(), v.UserID); err != nil || !m.Active() {
			t.Errorf("%s: %+v, %v", person, m, err)
		}
		s.inbox.take()
		if _, err := s.sim.ChangeMember(context.WithoutCancel(t.Context()), s.apps[0].AppID, person, simulator.MemberChange{Status: status}); err != nil {
			t.Fatal(err)
		}
		if m, err := s.client.Member(t.Context(), v.UserID); err == nil && m.Active() || err != nil && !errors.Is(err, wecom.ErrNotMember) {
			t.Errorf("%s, %s: %+v, %v", person, status, m, err)
		}
		// Both apps of the corp have one address here: of what is for the second, nothing is believed.
		messages, failures := s.inbox.take()
		gone := 0
		for _, m := range messages {
			if m.Gone() && wecom.FoldUserID(m.UserID) == wecom.FoldUserID(v.UserID) {
				gone++
			}
		}
		if gone == 0 || len(failures) == 0 {
			t.Errorf("%s, %s: %d messages say so, %d are for others", person, status, gone, len(failures))
		}
		for _, err := range failures {
			if !errors.Is(err, wechat.ErrSignature) {
				t.Errorf("a push for another app: %v", err)
			}
		}
	}
}

func (s *stand) tickets() {
	t := s.t
	corp, err := s.client.CorpTickets().Ticket(t.Context())
	if err != nil || corp.Value == "" {
		t.Fatal(err)
	}
	agent, err := s.client.AgentTickets().Ticket(t.Context())
	if err != nil || agent.Value == "" || agent.Value == corp.Value {
		t.Fatal(err)
	}
	calls := s.sim.Calls()
	if calls["/qyapi/cgi-bin/get_jsapi_ticket"] != 1 || calls["/qyapi/cgi-bin/ticket/get"] != 1 {
		t.Errorf("%v", calls)
	}
}

// pushes: what WeCom sends, in every shape it has.
func (s *stand) pushes() {
	t := s.t
	ctx := context.WithoutCancel(t.Context())
	if r, err := s.sim.VerifyWeComCallback(ctx, s.apps[0].AppID, 0); err != nil || r.Problem != "" || r.Status != http.StatusOK {
		t.Errorf("verification: %+v, %v", r, err)
	}
	for _, e := range []simulator.WeComEvent{
		{Name: "enter_agent"}, {Name: "subscribe", AgentID: "bare"}, {Name: "subscribe", AgentID: "absent"}, {Name: "enter_agent", FullPad: true},
		{Name: "enter_agent", Age: "90s"}, {Name: "unsubscribe", OnlyTell: true},
		{Name: "change_contact", Change: "update_user", NewUserID: "wei-2", OnlyTell: true},
		{Name: "change_contact", Change: "create_user", OnlyTell: true}, {Name: "change_contact", Change: "delete_user", OnlyTell: true},
	} {
		s.inbox.take()
		r, err := s.sim.PushWeCom(ctx, s.apps[0].AppID, 0, "wei", e)
		messages, failures := s.inbox.take()
		if err != nil || !r.Delivered || len(failures) > 0 || len(messages) != 1 || r.Reply == nil {
			t.Errorf("%s %s: %s, %v, %v", e.Name, e.Change, r.Problem, err, failures)
			continue
		}
		if e.Change == "" && (r.Reply.Kind != simulator.ReplyMessage || !r.Reply.Encrypted || r.Reply.Content != "你好 & ]]>") {
			t.Errorf("%s: the reply is %+v", e.Name, r.Reply)
		}
		m := messages[0]
		if m.Event != e.Name || m.UserID != "Wei" || string(m.Change) != e.Change || m.NewUserID != e.NewUserID || m.To != s.apps[0].AppID ||
			m.Gone() != (e.Name == "unsubscribe" || e.Change == "delete_user") || e.Change == "create_user" && len(m.Departments) != 2 {
			t.Errorf("%+v: %+v", e, m)
		}
	}
	for wrong, want := range map[string]error{"signature": wechat.ErrSignature, "receiveid": wechat.ErrDecrypt, "key": wechat.ErrDecrypt, "timestamp": wechat.ErrStale} {
		s.inbox.take()
		if _, err := s.sim.PushWeCom(ctx, s.apps[0].AppID, 0, "wei", simulator.WeComEvent{Name: "enter_agent", Wrong: wrong}); err != nil {
			t.Fatal(err)
		}
		messages, failures := s.inbox.take()
		if len(messages) > 0 || len(failures) == 0 {
			t.Errorf("a wrong %s: %d accepted", wrong, len(messages))
		}
		for _, err := range failures {
			if !errors.Is(err, want) {
				t.Errorf("a wrong %s: %v", wrong, err)
			}
		}
	}
	s.inbox.take()
	if _, err := s.sim.PushWeCom(ctx, s.apps[0].AppID, 0, "wei", simulator.WeComEvent{Name: "enter_agent", Copies: 3}); err != nil {
		t.Fatal(err)
	}
	messages, _ := s.inbox.take()
	keys := map[string]bool{}
	for _, m := range messages {
		keys[m.Key()] = true
	}
	if len(messages) != 3 || len(keys) != 1 { // WX-13
		t.Errorf("%d copies have %d keys", len(messages), len(keys))
	}
}

// What an operator has set wrong is named, with the place where to put it right.
func TestSimulator_FaultsOfTheConsole(t *testing.T) {
	tests := []struct {
		name    string
		choices map[string]string
		change  func(*wecom.App)
		code    int
		says    string
	}{
		{"a wrong secret", nil, func(a *wecom.App) { a.Secret = "wrong" }, 40001, "Secret"},
		{"an unknown corpid", nil, func(a *wecom.App) { a.CorpID = "ww0000000000000000" }, 40013, "企业ID"},
		{"a disabled app", map[string]string{"wecom-app": "disabled"}, func(*wecom.App) {}, 40001, "enabled"},
		{"an address that is not listed", map[string]string{"wecom-trusted-ip": "not-listed"}, func(*wecom.App) {}, 60020, "127.0.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStand(t, tt.choices)
			a := credentials(s.apps[0])
			tt.change(&a)
			c := newClient(t, s.api(), a, wecom.Options{})
			for range 20 {
				_, err := c.Exchange(t.Context(), "some-code")
				wantOnly(t, err, wechat.ErrMisconfigured)
				e, _ := errors.AsType[*wechat.Error](err)
				_, fix, ok := e.Explain()
				if e.Code != tt.code || e.Hint == "" || e.From != "127.0.0.1" || !ok || !strings.Contains(fix, tt.says) {
					t.Fatalf("%v: %s", err, fix)
				}
			}
			if s.fetches() != 1 {
				t.Errorf("%d calls of gettoken", s.fetches())
			}
		})
	}
	t.Run("plain http", func(t *testing.T) {
		s := newStand(t, map[string]string{"wecom-plain-http": "301"})
		plain := httptest.NewServer(s.sim)
		t.Cleanup(plain.Close)
		api := s.api()
		api.BaseURL = mustURL(t, plain.URL+"/qyapi")
		_, err := newClient(t, api, credentials(s.apps[0]), wecom.Options{}).Exchange(t.Context(), "some-code")
		wantOnly(t, err, wechat.ErrBusy) // and no redirect was followed with the secret in it
	})
	t.Run("a domain that is not trusted", func(t *testing.T) {
		for _, choice := range []string{"authorize", "redemption"} {
			s := newStand(t, map[string]string{"wecom-domain-check": choice})
			link := s.client.AuthorizeURL("https://127.0.0.1:9443/callback", wecom.ScopeBase, "s7aTe")
			if back := s.visit("wei", link, "allow"); back != nil {
				t.Errorf("%s: wei came back with %v", choice, back)
			}
		}
	})
}

// A token that the corp ended early, or that is over, costs no login and one fetch.
func TestSimulator_WX17_TokensThatEnd(t *testing.T) {
	for _, expires := range []string{"7200", "remaining"} {
		for _, end := range []string{"revoke", "expire"} {
			t.Run(expires+", "+end, func(t *testing.T) {
				s := newStand(t, map[string]string{"wecom-expires-in": expires})
				s.exchange("wei", s.base())
				codes := make([]string, 40)
				for i := range codes {
					codes[i] = s.code(fmt.Sprintf("member-%d", i), s.base())
				}
				s.control("wecom/tokens", fmt.Sprintf(`{"appid":%q,"end":%q}`, s.apps[0].AppID, end))
				var group sync.WaitGroup
				for i, code := range codes {
					group.Go(func() {
						if v, err := s.client.Exchange(t.Context(), code); err != nil || v.UserID != fmt.Sprintf("Member-%d", i) {
							t.Errorf("%+v, %v", v, err)
						}
					})
				}
				group.Wait()
				if s.fetches() != 2 {
					t.Errorf("%d calls of gettoken", s.fetches())
				}
			})
		}
	}
}

func TestSimulator_WX17_500FirstLoginsOverTwoProcesses(t *testing.T) {
	s := newStand(t, nil)
	plain := httptest.NewServer(s.sim) // 500 handshakes at once are another matter
	t.Cleanup(plain.Close)
	store, api := newMemoryStore(), s.api()
	api.BaseURL, api.HTTP, api.CallTimeout = mustURL(t, plain.URL+"/qyapi"), wechat.NewHTTPClient(), 5*time.Second
	t.Cleanup(api.HTTP.CloseIdleConnections)
	var processes []*wecom.Client
	for range 2 {
		processes = append(processes, newClient(t, api, credentials(s.apps[0]), wecom.Options{Store: store}))
	}
	codes := make([]string, 500)
	for i := range codes {
		codes[i] = s.code(fmt.Sprintf("member-%d", i), s.base())
	}
	var group sync.WaitGroup
	for i, code := range codes {
		group.Go(func() {
			if v, err := processes[i%2].Exchange(t.Context(), code); err != nil || v.UserID != fmt.Sprintf("Member-%d", i) {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
	group.Wait()
	if s.fetches() != 1 {
		t.Errorf("%d calls of gettoken", s.fetches())
	}
}

// Whoever sends a wrong secret too often is locked out; at our pace nobody is.
func TestSimulator_WX17_AWrongSecretLocksNobodyOut(t *testing.T) {
	s := newStand(t, map[string]string{"wecom-ban-after": "20"})
	a := credentials(s.apps[0])
	a.Secret = "wrong"
	c := newClient(t, s.api(), a, wecom.Options{})
	for range 10 * 60 {
		for range 3 {
			_, err := c.Exchange(t.Context(), "some-code")
			wantOnly(t, err, wechat.ErrMisconfigured)
		}
		s.clock.advance(time.Second)
	}
	if n := s.fetches(); n > 11 {
		t.Errorf("%d calls of gettoken in ten minutes", n)
	}
	s.exchange("wei", s.base()) // with the right secret from the same address
}

// What a refusal leaves, by either door.
func TestSimulator_Refusals(t *testing.T) {
	for _, choice := range []string{"state-only", "nothing"} {
		s := newStand(t, map[string]string{"wecom-refusal": choice, "wecom-web-refusal": choice})
		for _, link := range []string{s.private(), s.web()} {
			back := s.visit("wei", link, "deny")
			if back.Has("code") || (back == nil) != (choice == "nothing") || back != nil && back.Get("state") != "s7aTe" {
				t.Errorf("%s: %v", choice, back)
			}
		}
	}
}

// WX-01: at the highest log level nothing of a whole login is private.
func TestSimulator_WX01_LoginsLeaveNothingPrivateInALog(t *testing.T) {
	s := newStand(t, nil)
	var out bytes.Buffer
	var mu sync.Mutex
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	api := s.api()
	api.Observe = func(c wechat.Call) {
		mu.Lock()
		defer mu.Unlock()
		log.Debug("call", "call", c, "err", c.Err)
	}
	s.client = newClient(t, api, credentials(s.apps[0]), wecom.Options{})
	code := s.code("wei", s.private())
	v, err := s.client.Exchange(t.Context(), code)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.client.Detail(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	_, again := s.client.Exchange(t.Context(), code)
	token, err := s.client.Tokens().Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	corp, err := s.client.CorpTickets().Ticket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("all", "visitor", v, "err", again, "token", token, "ticket", corp, "client", s.client)
	mu.Lock()
	defer mu.Unlock()
	for name, private := range map[string]string{"the secret": s.apps[0].Secret, "the code": code, "the user_ticket": v.Ticket.Reveal(),
		"the token": token.Value.Reveal(), "the ticket": corp.Value.Reveal(), "the mobile number": d.Mobile} {
		if private == "" || strings.Contains(out.String(), private) {
			t.Errorf("%s is %q and in the log", name, private)
		}
	}
	if n := strings.Count(out.String(), "/cgi-bin/"); n < 5 {
		t.Errorf("only %d calls were heard of: %s", n, &out)
	}
}

// WeCom in trouble: what was lost with a code in it is not sent again, and what can be
// asked again is.
func TestSimulator_REL12_Faults(t *testing.T) {
	s := newStand(t, nil)
	const exchangeAt, memberAt = "/qyapi/cgi-bin/auth/getuserinfo", "/qyapi/cgi-bin/user/get"
	fault := func(f simulator.Fault) {
		t.Helper()
		if err := s.sim.SetFault(f); err != nil {
			t.Fatal(err)
		}
	}
	for _, mode := range []string{"malformed", "truncated", "reset", "html502"} {
		code := s.code("wei", s.base())
		before := s.sim.Calls()[exchangeAt]
		fault(simulator.Fault{Path: exchangeAt, Mode: mode, After: true})
		_, err := s.client.Exchange(t.Context(), code)
		wantOnly(t, err, wechat.ErrBusy)
		if n := s.sim.Calls()[exchangeAt] - before; n != 1 {
			t.Errorf("%s: the code was sent %d times", mode, n)
		}
		_, err = s.client.Exchange(t.Context(), code) // as a caller may who wants to be sure
		wantOnly(t, err, wechat.ErrInvalidCode)
	}
	fault(simulator.Fault{Path: memberAt, ErrCode: -1})
	if m, err := s.client.Member(t.Context(), "wei"); err != nil || !m.Active() {
		t.Errorf("busy once: %+v, %v", m, err)
	}
	fault(simulator.Fault{Path: memberAt, ErrCode: 45033})
	_, err := s.client.Member(t.Context(), "wei")
	wantOnly(t, err, wechat.ErrRateLimited)
	if s.fetches() != 1 {
		t.Errorf("%d calls of gettoken", s.fetches())
	}
}
