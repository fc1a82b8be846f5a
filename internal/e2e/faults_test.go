package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

func afterMillis(n int) <-chan time.Time { return time.After(time.Duration(n) * time.Millisecond) }

func newServer(t *testing.T, handler http.HandlerFunc) (origin string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// within10 is the longest a request may take whatever WeChat does (REL-12).
func within10(t testing.TB, do func()) {
	t.Helper()
	begun := time.Now()
	do()
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("REL-12 took %v", took)
	}
}

// expectation is what the table of design §4 answers to a fault.
type expectation struct {
	fault  fault
	status int
	code   string
}

func upstreamTable() []expectation {
	return []expectation{
		{fault{ErrCode: -1}, 503, "temporarily_unavailable"},
		{fault{ErrCode: 45009}, 429, "rate_limited"},
		{fault{ErrCode: 45011}, 429, "rate_limited"},
		{fault{ErrCode: 40013}, 500, "server_error"},
		{fault{ErrCode: 40125}, 500, "server_error"},
		{fault{ErrCode: 40164}, 500, "server_error"},
		{fault{ErrCode: 41002}, 500, "server_error"},
		{fault{ErrCode: 41004}, 500, "server_error"},
		{fault{Mode: "malformed"}, 503, "temporarily_unavailable"},
		{fault{Mode: "truncated"}, 503, "temporarily_unavailable"},
		{fault{Mode: "reset"}, 503, "temporarily_unavailable"},
		{fault{Mode: "html502"}, 503, "temporarily_unavailable"},
		{fault{Mode: "malformed", After: true}, 503, "temporarily_unavailable"},
		{fault{Mode: "reset", After: true}, 503, "temporarily_unavailable"},
		{fault{LatencyMS: 12_000}, 503, "temporarily_unavailable"},
		{fault{LatencyMS: 12_000, After: true}, 503, "temporarily_unavailable"},
	}
}

func TestFaultsOfMiniProgramLogin(t *testing.T) {
	t.Parallel()
	var waiting waiters
	defer waiting.Wait()
	table := append(upstreamTable(),
		expectation{fault{ErrCode: 40029}, 400, "invalid_grant"},
		expectation{fault{ErrCode: 40163}, 400, "invalid_grant"},
		expectation{fault{ErrCode: 41008}, 400, "invalid_grant"},
		expectation{fault{ErrCode: 40226}, 403, "access_denied"},
		expectation{fault{ErrCode: 50002}, 403, "access_denied"},
	)
	for _, c := range table {
		c.fault.Path = pathJSCode
		waiting.run(t, c.fault.LatencyMS > 0, c.fault.String(), func(t *testing.T) {
			p := startDev(t, nil)
			code := p.jsCode(t, "bob")
			p.fault(t, c.fault.always())
			var h hop
			within10(t, func() {
				if n := p.called(t, pathJSCode, func() { h = p.api(t, http.MethodPost, miniLogin, "", `{"code":"`+code+`"}`) }); n != 1 {
					t.Errorf("the code was sent %d times", n)
				}
			})
			answer := wantError(t, h, c.status, c.code)
			if c.fault.ErrCode != 0 && c.status != 500 && answer["wechat_errcode"] != float64(c.fault.ErrCode) {
				t.Errorf("wechat_errcode is %v, want %d", answer["wechat_errcode"], c.fault.ErrCode)
			}
			refuse(t, string(h.body)+p.logged(t), "secret", append(devSecrets("127.0.0.1"), code))
			if n := p.called(t, pathJSCode, func() { p.api(t, http.MethodPost, miniLogin, "", `{"code":"`+code+`"}`) }); n != 0 {
				t.Error("the same code was sent to WeChat again")
			}
			p.clearFaults(t)
			p.miniToken(t, "bob")
		})
	}
}

func TestFLW12_FaultsOfTheCodeExchange(t *testing.T) {
	t.Parallel()
	var waiting waiters
	defer waiting.Wait()
	table := append(upstreamTable(),
		expectation{fault{ErrCode: 50002}, 403, "access_denied"},
		expectation{fault{ErrCode: 40226}, 403, "access_denied"},
	)
	for _, c := range table {
		c.fault.Path = pathAccessToken
		waiting.run(t, c.fault.LatencyMS > 0, c.fault.String(), func(t *testing.T) {
			p := startDev(t, nil)
			p.phone("alice").login(t)
			alice := p.phone("alice")
			callback, err := alice.callback("/login?return_to=%2Fshop")
			if err != nil {
				t.Fatal(err)
			}
			p.fault(t, c.fault.always())
			n := p.called(t, pathAccessToken, func() {
				within10(t, func() { checkFailedFlow(t, p, alice.twin(), callback, c) })
				within10(t, func() { // the person reloads
					if h := alice.twin().once(t, callback); h.grants() {
						t.Errorf("a reload after the fault logs in: %v", h)
					}
				})
			})
			if n != 1 {
				t.Errorf("the code was sent %d times", n)
			}
			p.clearFaults(t)
			alice.login(t)
		})
	}
}

// checkFailedFlow opens a callback that must end on the table's page, with no token.
func checkFailedFlow(t *testing.T, p *product, ph *phone, callback string, c expectation) {
	t.Helper()
	tr := ph.open(t, callback)
	h := tr.last()
	if h.status != c.status || tr.grants() {
		t.Errorf("want the page of %d %s:%v", c.status, c.code, tr)
	}
	checkFlowPage(t, p, h)
	if !leadsTo(h, "/login") && !leadsTo(h, "/") && len(links(h)) == 0 {
		t.Errorf("the page leads nowhere: %q", links(h))
	}
	if (c.status == 503 || c.status == 429) && h.header.Get("Retry-After") == "" {
		t.Errorf("%v: no Retry-After", h)
	}
	u, _ := url.Parse(callback)
	refuse(t, string(h.body)+p.logged(t), "secret", append(devSecrets("127.0.0.1"), codeOf(u), u.Query().Get("state")))
}

func TestFaultsOfUserInfo(t *testing.T) {
	t.Parallel()
	var waiting waiters
	defer waiting.Wait()
	table := append(upstreamTable(), expectation{fault{ErrCode: 48001}, 500, "server_error"})
	for _, c := range table {
		if c.fault.After || c.fault.ErrCode == 41002 || c.fault.ErrCode == 41004 {
			continue // userinfo has no code, appid or secret
		}
		c.fault.Path = pathUserInfo
		waiting.run(t, c.fault.LatencyMS > 0, c.fault.String(), func(t *testing.T) {
			p := startDev(t, nil)
			bob := p.phone("bob")
			callback, err := bob.callback(toRegister(t, bob, "%2Fshop"))
			if err != nil {
				t.Fatal(err)
			}
			p.fault(t, c.fault.always())
			before := p.calls(t)
			within10(t, func() { checkFailedFlow(t, p, bob.twin(), callback, c) })
			after := p.calls(t)
			want := 1
			if c.fault.ErrCode == -1 {
				want = 2
			}
			if got := after[pathUserInfo] - before[pathUserInfo]; got != want && (c.fault.ErrCode != 0 || got > 2) {
				t.Errorf("%d userinfo calls, want %d", got, want)
			}
			if got := after[pathAccessToken] - before[pathAccessToken]; got != 1 {
				t.Errorf("the code was sent %d times", got)
			}
			p.clearFaults(t)
			bob.login(t)
		})
	}
	t.Run("-1 once is retried once", func(t *testing.T) {
		p := startDev(t, nil)
		bob := p.phone("bob")
		link := toRegister(t, bob, "%2Fshop")
		p.fault(t, fault{Path: pathUserInfo, ErrCode: -1})
		var tr trail
		if n := p.called(t, pathUserInfo, func() { tr = bob.open(t, link) }); n != 2 || !tr.grants() {
			t.Errorf("%d userinfo calls, want 2 and a login:%v", n, tr)
		}
	})
	for _, errcode := range []int{40001, 42001} {
		t.Run(fmt.Sprintf("%d: one refresh, one retry", errcode), func(t *testing.T) {
			p := startDev(t, nil)
			bob := p.phone("bob")
			link := toRegister(t, bob, "%2Fshop")
			p.fault(t, fault{Path: pathUserInfo, ErrCode: errcode})
			before := p.calls(t)
			tr := bob.open(t, link)
			after := p.calls(t)
			if !tr.grants() || after[pathUserInfo]-before[pathUserInfo] != 2 || after[pathRefresh]-before[pathRefresh] != 1 {
				t.Errorf("want a login after one refresh and one retry, calls %v → %v:%v", before, after, tr)
			}
		})
		t.Run(fmt.Sprintf("%d for ever", errcode), func(t *testing.T) {
			p := startDev(t, nil)
			bob := p.phone("bob")
			link := toRegister(t, bob, "%2Fshop")
			p.fault(t, fault{Path: pathUserInfo, ErrCode: errcode}.always())
			before := p.calls(t)
			tr := bob.open(t, link)
			after := p.calls(t)
			if tr.grants() || tr.last().status < 400 || after[pathUserInfo]-before[pathUserInfo] > 4 {
				t.Errorf("want a page and an end, calls %v → %v:%v", before, after, tr)
			}
			p.clearFaults(t)
			bob.login(t)
		})
	}
}

// REL-12 with a WeChat that fails three times in ten: a session only ever follows a good answer.
func TestREL12_SessionsFollowGoodAnswersOnly(t *testing.T) {
	t.Parallel()
	var good atomic.Int64
	random := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a := newAnswer(next, r)
			switch n := rand.IntN(100); {
			case n >= 30:
				if r.URL.Path == pathJSCode && !strings.Contains(string(a.body), "errcode") {
					good.Add(1)
				}
			case n < 5:
				a.status, a.body = http.StatusInternalServerError, nil
			case n < 10:
				a.header.Set("Content-Type", "text/html")
				a.status, a.body = http.StatusBadGateway, []byte("<html>bad gateway</html>")
			case n < 15:
				a.body = a.body[:len(a.body)/2]
			case n < 20:
				a.body = []byte(`{"errcode":45011,"errmsg":"api minute-quota reach limit"}`)
			case n < 25:
				a.body = []byte(`{"openid":["o"],"session_key":{},"access_token":1}`)
			default:
				panic(http.ErrAbortHandler)
			}
			a.send(w)
		})
	}
	p := startServe(t, random, "WXBRIDGE_DATABASE=sqlite://"+t.TempDir()+"/w.db")
	var sessions atomic.Int64
	var group errgroup.Group
	group.SetLimit(16)
	for i := range times(600, 20_000) {
		group.Go(func() error {
			code, err := p.newJSCode(fmt.Sprintf("crowd-%d", i))
			if err != nil {
				return err
			}
			h, err := p.tryAPI(http.MethodPost, miniLogin, "", `{"code":"`+code+`"}`)
			if err != nil {
				return err
			}
			switch h.status {
			case http.StatusOK:
				sessions.Add(1)
			case http.StatusServiceUnavailable, http.StatusTooManyRequests:
			default:
				return fmt.Errorf("%v: %s", h, h.body)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if sessions.Load() != good.Load() || good.Load() == 0 {
		t.Errorf("%d good answers of WeChat, %d sessions", good.Load(), sessions.Load())
	}
}
