package wecom_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/wechat"
	"wxbridge/wechat/wecom"
)

const (
	corpID  = "ww5f3a9c1e7b2d4068"
	agentID = "1000002"
	secret  = "Q9xV4mT7zR2kL8nB5wY1cH6dJ3fG0sA-pE_uXoIvKtM"
	code    = "fQ3-kZbq1e5jR_0tYxW8uVnMlPoIhGdSaAcBnEwTyUk"
	ticket  = "uSeRtIcKeT-0123456789abcdefghijklmnopqrstuvw"
	userID  = "ZhangSan"
)

// suffix is what WeCom adds to errmsg since 2022 (wecom-protocol §0.2).
func suffix(errcode int) string {
	return fmt.Sprintf(", hint: [1686838812640290159432749], from ip: 203.0.113.163, more info at https://open.work.weixin.qq.com/devtool/query?e=%d", errcode)
}

func refusal(errcode int, message string) string {
	return fmt.Sprintf(`{"errcode":%d,"errmsg":"%s%s"}`, errcode, message, suffix(errcode))
}

// qyapi stands where WeCom would. It lends tokens, looks at the token of a call
// before anything else, and answers the rest as it is told.
type qyapi struct {
	URL   *url.URL
	clock *movingClock

	mu       sync.Mutex
	requests []*http.Request
	fetches  []time.Time // of tokens, by the clock
	lent     int
	current  string
	ends     time.Time
	failing  string                   // answers every fetch, if not ""
	gates    map[string]chan struct{} // by path: a call waits until its gate is closed
	whole    bool                     // expires_in is 7200 for a token that is given again, too
	stale    int                      // the errcode for a token that is over
	answers  map[string]string        // by path
}

func startQYAPI(t testing.TB) *qyapi {
	t.Helper()
	q := &qyapi{clock: newClock(), stale: 42001, answers: map[string]string{}, gates: map[string]chan struct{}{}}
	server := httptest.NewServer(q)
	t.Cleanup(server.Close)
	q.URL = mustURL(t, server.URL)
	return q
}

func (q *qyapi) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	kept := r.Clone(r.Context())
	kept.Body = io.NopCloser(strings.NewReader(string(body)))
	q.mu.Lock()
	q.requests = append(q.requests, kept)
	gate := q.gates[r.URL.Path]
	q.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.URL.Path == "/cgi-bin/gettoken" {
		_, _ = io.WriteString(w, q.lend(r.URL.RawQuery))
		return
	}
	answer, known := q.answers[r.URL.Path]
	switch token := r.URL.Query().Get("access_token"); {
	case !known:
		w.WriteHeader(http.StatusNotFound) // and no body (§0.1)
	case token == "":
		_, _ = io.WriteString(w, refusal(41001, "access_token missing"))
	case token != q.current || !q.clock.Now().Before(q.ends):
		_, _ = fmt.Fprintf(w, `{"errcode":%d,"errmsg":"access_token over","department":[],"order":[]}`, q.stale)
	default:
		_, _ = io.WriteString(w, answer)
	}
}

// lend gives the same token until it ends (§1.1).
func (q *qyapi) lend(query string) string {
	now := q.clock.Now()
	q.fetches = append(q.fetches, now)
	if q.failing != "" {
		return q.failing
	}
	if query != "corpid="+corpID+"&corpsecret="+secret {
		return refusal(40001, "invalid credential")
	}
	if q.current == "" || !now.Before(q.ends) {
		q.lent++
		q.current, q.ends = fmt.Sprintf("lent-token-%d-%s", q.lent, strings.Repeat("x", 200)), now.Add(2*time.Hour)
	}
	left := q.ends.Sub(now)
	if q.whole {
		left = 2 * time.Hour
	}
	return fmt.Sprintf(`{"errcode":0,"errmsg":"ok","access_token":"%s","expires_in":%d}`, q.current, int(left/time.Second))
}

// set changes what the server does from now on.
func (q *qyapi) set(change func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	change()
}

// stop lets all calls of a path wait until open is called.
func (q *qyapi) stop(path string) (open func()) {
	gate := make(chan struct{})
	q.set(func() { q.gates[path] = gate })
	return func() {
		q.set(func() { delete(q.gates, path) })
		close(gate)
	}
}

// revoke ends the current token early.
func (q *qyapi) revoke() { q.set(func() { q.current = "" }) }

func (q *qyapi) answer(path, body string) { q.set(func() { q.answers[path] = body }) }

func (q *qyapi) seen(path string) (found []*http.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range q.requests {
		if r.URL.Path == path {
			found = append(found, r)
		}
	}
	return found
}

func (q *qyapi) fetched() []time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]time.Time(nil), q.fetches...)
}

func (q *qyapi) wantFetches(t testing.TB, want int) {
	t.Helper()
	if got := len(q.fetched()); got != want {
		t.Errorf("%d calls of gettoken, want %d", got, want)
	}
}

func (q *qyapi) api(t testing.TB) *wecom.API {
	t.Helper()
	client := wechat.NewHTTPClient()
	t.Cleanup(client.CloseIdleConnections)
	return &wecom.API{BaseURL: q.URL, HTTP: client, Now: q.clock.Now}
}

func app() wecom.App { return wecom.App{CorpID: corpID, AgentID: agentID, Secret: secret} }

func (q *qyapi) client(t testing.TB) *wecom.Client {
	return newClient(t, q.api(t), app(), wecom.Options{})
}

func newClient(t testing.TB, api *wecom.API, app wecom.App, o wecom.Options) *wecom.Client {
	t.Helper()
	c, err := wecom.New(api, app, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// movingClock is a time that only moves when told to.
type movingClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *movingClock {
	return &movingClock{now: time.Date(2026, 11, 21, 12, 0, 10, 0, time.UTC)}
}

func (c *movingClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *movingClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// sentinels are the meanings of a failed call; exactly one fits each.
func sentinels() []error {
	return []error{wechat.ErrInvalidCode, wechat.ErrBusy, wechat.ErrRateLimited, wechat.ErrMisconfigured, wechat.ErrInvalidToken,
		wechat.ErrInvalidRefreshToken, wechat.ErrForbidden, wecom.ErrNotMember, wecom.ErrOtherCorp}
}

// wantOnly fails the test unless err is a *wechat.Error that means want and nothing
// else, and shows nothing private.
func wantOnly(t testing.TB, err, want error) {
	t.Helper()
	if _, ok := errors.AsType[*wechat.Error](err); !ok {
		t.Fatalf("got %T %v, want a *wechat.Error", err, err)
	}
	for _, sentinel := range sentinels() {
		if got := errors.Is(err, sentinel); got != (sentinel == want) {
			t.Errorf("errors.Is(%q, %v) = %t, want only %v", err, sentinel, got, want)
		}
	}
	wantNothingPrivate(t, fmt.Sprintf("%v %+v %#v", err, err, err))
}

func wantNothingPrivate(t testing.TB, text string) {
	t.Helper()
	for _, private := range []string{secret, code, ticket, "lent-token", "corpsecret=", "access_token=", "http://"} {
		if strings.Contains(text, private) {
			t.Errorf("%q is shown in %q", private, text)
		}
	}
}

func mustURL(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func waitUntil(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in 10 seconds", what)
		}
	}
}
