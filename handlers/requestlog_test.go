package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
)

// logLine is a line of the log as a reader of it sees it.
type logLine struct {
	Time      time.Time
	Level     string
	Msg       string
	RequestID string `json:"request_id"`
	Method    string
	Route     string
	Status    int
	Took      *int64 `json:"duration_us"`
	Client    string
	Provider  string
	Event     string
	Fan       string
	Created   *bool
	Error     string
	Cause     string
	ReturnTo  string `json:"return_to"`
	Refused   int
	Fix       string
}

// lines reads the log.
func (b *bridge) lines() (lines []logLine) {
	b.t.Helper()
	for text := range strings.Lines(b.log.String()) {
		var line logLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			b.t.Fatalf("%q: %v", text, err)
		}
		lines = append(lines, line)
	}
	return lines
}

func (b *bridge) events(name string) (lines []logLine) {
	b.t.Helper()
	for _, line := range b.lines() {
		if line.Event == name {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestLOG01_ARequestIsOneLine(t *testing.T) {
	b := newBridge(t)
	var ids []string
	request := func(p page) { ids = append(ids, p.Header.Get("X-Request-Id")) }
	w := b.browser("alice")
	w.register()
	before := len(b.lines())
	request(w.get("/me?code=secret"))
	request(w.get("/login?return_to=https://evil.example"))
	request(w.get("/no/such/path"))
	request(w.do("BREW", "/me", ""))
	request(b.browser("").get("/me", "Accept", "text/html"))
	request(w.do("POST", "/miniprogram/login", `{"code":"0x"}`, "Content-Type", "application/json"))
	request(w.do("POST", "/miniprogram/login", `{"code":"`+b.jsCode("bob")+`"}`, "Content-Type", "application/json"))
	lines := b.lines()[before:]
	if len(lines) != len(ids) {
		t.Fatalf("%d lines for %d requests: %+v", len(lines), len(ids), lines)
	}
	for i, want := range []logLine{
		{Level: "INFO", Method: "GET", Route: "/me", Status: 200, Provider: "official_account"},
		{Level: "WARN", Method: "GET", Route: "/login", Status: 400, Event: "return_to.refused", Error: "invalid_request"},
		{Level: "INFO", Method: "GET", Route: "none", Status: 404, Error: "not_found"},
		{Level: "INFO", Method: "other", Route: "none", Status: 405, Error: "method_not_allowed"},
		{Level: "INFO", Method: "GET", Route: "/me", Status: 401, Event: "access.refused", Error: "invalid_token"},
		{Level: "INFO", Method: "POST", Route: "/miniprogram/login", Status: 400, Provider: "mini_program", Event: "login.failed", Error: "invalid_grant"},
		{Level: "INFO", Method: "POST", Route: "/miniprogram/login", Status: 200, Provider: "mini_program", Event: "login.ok"},
	} {
		got := lines[i]
		if got.Msg != "request" || got.RequestID != ids[i] || got.Client != "127.0.0.1" || got.Took == nil || *got.Took <= 0 || time.Since(got.Time) > time.Minute {
			t.Errorf("line %d lacks something: %+v", i, got)
		}
		if got.Level != want.Level || got.Method != want.Method || got.Route != want.Route || got.Status != want.Status ||
			got.Provider != want.Provider || got.Event != want.Event || got.Error != want.Error {
			t.Errorf("line %d is %+v, want %+v", i, got, want)
		}
	}
	if login := lines[len(lines)-1]; login.Fan == "" || login.Created == nil || !*login.Created {
		t.Errorf("the login's line is %+v", login)
	}
}

// Events of the table in docs/operations.md, by what makes them happen; rate_limited, config.loaded and those of two fans
// have tests of their own.
func TestLOG03_EachSecurityEventHasItsName(t *testing.T) {
	operations, err := os.ReadFile("../docs/operations.md")
	must(t, err)
	for name, cause := range map[string]func(b *bridge, w *browser){
		"login.ok":     func(b *bridge, w *browser) {},
		"logout":       func(b *bridge, w *browser) { w.do("POST", "/logout", "", "Origin", b.url) },
		"fan.erased":   func(b *bridge, w *browser) { w.do("DELETE", "/me", "", "Origin", b.url) },
		"login.failed": func(b *bridge, w *browser) { w.get("/callback/official-account?code=a&code=b&state=abcdefgh") },
		"login.state_mismatch": func(b *bridge, w *browser) {
			w.get("/callback/official-account?code=stray&state=abcdefgh")
		},
		"login.code_refused": func(b *bridge, w *browser) {
			callback := w.callback("/login?prompt=login")
			b.sim.Advance(6 * time.Minute)
			w.get(callback)
		},
		"login.code_reused": func(b *bridge, w *browser) {
			body := `{"code":"` + b.jsCode("bob") + `"}`
			for range 2 {
				w.do("POST", "/miniprogram/login", body, "Content-Type", "application/json")
			}
		},
		"return_to.refused": func(b *bridge, w *browser) { w.get("/login?return_to=//evil.example") },
		"access.refused":    func(b *bridge, w *browser) { w.get("/me", "Authorization", "Bearer x") },
		"fan.linked": func(b *bridge, w *browser) {
			w.do("POST", "/miniprogram/login", `{"code":"`+b.jsCode("alice")+`"}`, "Content-Type", "application/json")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBridge(t)
			w := b.browser("alice")
			w.register()
			before := len(b.events(name))
			cause(b, w)
			events := b.events(name)
			if !strings.Contains(string(operations), "`"+name+"`") {
				t.Errorf("docs/operations.md does not name it")
			}
			if name != "login.ok" {
				events = events[before:]
			}
			if len(events) != 1 || events[0].RequestID == "" || events[0].Time.IsZero() {
				t.Fatalf("%d events: %+v", len(events), events)
			}
			if strings.HasPrefix(name, "fan.l") { // about a fan; the login's own line has the client
				return
			}
			if events[0].Client != "127.0.0.1" || events[0].Route == "" || events[0].Status == 0 {
				t.Errorf("%+v", events[0])
			}
		})
	}
}

// A refused return address is in the log as it came, and cannot write into it (RET-06, LOG-02).
func TestRET06_TheRefusedAddressIsQuotedInTheLog(t *testing.T) {
	b := newBridge(t)
	b.browser("").get("/login?return_to=%2F%2Fevil%0A%E2%80%AE")
	if lines := b.events("return_to.refused"); len(lines) != 1 || lines[0].ReturnTo != `"//evil\n\u202e"` {
		t.Errorf("%+v", lines)
	}
}

func TestLOG03_ABlockedFanIsNoLogin(t *testing.T) {
	heard := &heard{}
	b := newBridge(t, func(c *handlers.Config) {
		c.Store = blockingStore{c.Store}
		c.Observe = heard.observer()
	})
	for range 2 {
		p := b.browser("").do("POST", "/miniprogram/login", `{"code":"`+b.jsCode("bob")+`"}`, "Content-Type", "application/json")
		if p.StatusCode != http.StatusForbidden {
			t.Fatalf("%d %s", p.StatusCode, p.body)
		}
	}
	if ok, failed := b.events("login.ok"), b.events("login.failed"); len(ok) != 0 || len(failed) != 2 || failed[0].Fan == "" {
		t.Errorf("ok %+v, failed %+v", ok, failed)
	}
	if got := heard.logins(); got["mini_program blocked"] != 2 || len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// blockingStore has every fan blocked.
type blockingStore struct{ db.Store }

func (s blockingStore) SaveLogin(ctx context.Context, l db.Login) (db.LoginResult, error) {
	result, err := s.Store.SaveLogin(ctx, l)
	result.Fan.Status = db.StatusBlocked
	return result, err
}

// heard keeps what an Observer is told.
type heard struct {
	mu      sync.Mutex
	login   map[string]int // "provider outcome"
	request map[string]int // "route class"
}

func (h *heard) count(in *map[string]int, what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if *in == nil {
		*in = map[string]int{}
	}
	(*in)[what]++
}

func (h *heard) observer() handlers.Observer {
	return handlers.Observer{
		Login: func(provider, outcome string) { h.count(&h.login, provider+" "+outcome) },
		Route: func(pattern string) func(int, time.Duration) {
			return func(status int, took time.Duration) {
				if took <= 0 {
					panic(errors.New("it took no time"))
				}
				h.count(&h.request, pattern+" "+http.StatusText(status))
			}
		},
	}
}

func (h *heard) logins() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.login)
}

func TestObserver_HearsHowEachLoginEnds(t *testing.T) {
	h := &heard{}
	b := newBridge(t, func(c *handlers.Config) { c.Observe = h.observer() })
	alice := b.browser("alice")
	callback := alice.callback("/login")
	alice.visit(callback)                                                 // register
	alice.visit(alice.callback("/login/official-account?scope=userinfo")) // ok
	alice.get(callback)                                                   // a late repeat: nothing ends
	b.browser("alice").visit("/login")                                    // ok
	b.browser("sunny").visit("/login/official-account?scope=userinfo")    // snapshot
	b.browser("").get("/callback/official-account?code=stray&state=abcdefgh&again=1")
	nora := b.browser("nora")
	nora.get(strings.Replace(nora.callback("/login"), "code=", "code=authdeny&x=", 1))
	body := `{"code":"` + b.jsCode("bob") + `"}`
	for range 2 { // ok, code_reused
		b.browser("").do("POST", "/miniprogram/login", body, "Content-Type", "application/json")
	}
	b.browser("").do("POST", "/miniprogram/login", `{"code":"0bad"}`, "Content-Type", "application/json")
	b.fault(`{"path":"/sns/jscode2session","errcode":40125}`)
	b.browser("").do("POST", "/miniprogram/login", `{"code":"`+b.jsCode("bob")+`"}`, "Content-Type", "application/json")
	b.fault(`{"path":"/sns/jscode2session","mode":"html502"}`)
	b.browser("").do("POST", "/miniprogram/login", `{"code":"`+b.jsCode("bob")+`"}`, "Content-Type", "application/json")
	got := h.logins()
	want := map[string]int{"official_account register": 1, "official_account ok": 2, "official_account snapshot": 1,
		"official_account state_mismatch": 1, "official_account refused": 1, "mini_program ok": 1, "mini_program code_reused": 1,
		"mini_program invalid_grant": 1, "mini_program server_error": 1, "mini_program temporarily_unavailable": 1}
	for _, what := range slices.Sorted(maps.Keys(want)) {
		if got[what] != want[what] {
			t.Errorf("%s: %d, want %d", what, got[what], want[what])
		}
		delete(got, what)
	}
	if len(got) != 0 {
		t.Errorf("and %v", got)
	}
}

// Metrics name routes by their pattern: nobody can make a new series by asking for a new path.
func TestObserver_HearsOfRoutesByPattern(t *testing.T) {
	h := &heard{}
	b := newBridge(t, func(c *handlers.Config) { c.Observe = h.observer() })
	w := b.browser("")
	w.get("/static/wxbridge.css")
	w.get("/static/nothing")
	w.get("/MP_verify_a.txt")
	w.get("/x/y")
	w.do("BREW", "/me", "")
	w.get("/me")
	h.mu.Lock()
	defer h.mu.Unlock()
	want := map[string]int{"/static/*file OK": 1, "/static/*file Not Found": 1, "none Not Found": 2, "none Method Not Allowed": 1, "/me Unauthorized": 1}
	if !maps.Equal(h.request, want) {
		t.Errorf("%v, want %v", h.request, want)
	}
}
