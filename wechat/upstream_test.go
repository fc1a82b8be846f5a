package wechat_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/wechat"
)

const (
	appID  = "wx4f4bc4dec97d474b"
	secret = "5ec4e7d0a1b2c3d4e5f60718293a4b5c"
	code   = "071AdBVI1ZHOd509MKUI1jwjVI1AdBVV"
	openID = "o4Npv5uYBUPKKQFW7pb70JcN9eQo"
)

// upstream stands where WeChat would, and keeps the requests it got.
type upstream struct {
	URL *url.URL

	mu       sync.Mutex
	requests []*http.Request
}

// startUpstream serves handle on a free port until the test ends.
func startUpstream(t testing.TB, handle http.HandlerFunc) *upstream {
	t.Helper()
	up := &upstream{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Only after its body does net/http notice that a client has left.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		kept := r.Clone(r.Context())
		kept.Body, r.Body = io.NopCloser(bytes.NewReader(body)), io.NopCloser(bytes.NewReader(body))
		up.mu.Lock()
		up.requests = append(up.requests, kept)
		up.mu.Unlock()
		handle(w, r)
	}))
	t.Cleanup(server.Close)
	up.URL = mustURL(t, server.URL)
	return up
}

// answers serves the bodies one after the other, then the last one again.
func answers(bodies ...string) http.HandlerFunc {
	var mu sync.Mutex
	next := 0
	return func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		body := bodies[next]
		next = min(next+1, len(bodies)-1)
		mu.Unlock()
		w.Header()["Content-Type"] = []string{"text/plain"} // as sns/* does
		_, _ = io.WriteString(w, body)
	}
}

func (up *upstream) seen() []*http.Request {
	up.mu.Lock()
	defer up.mu.Unlock()
	return append([]*http.Request(nil), up.requests...)
}

func (up *upstream) api(t testing.TB) *wechat.API {
	t.Helper()
	client := wechat.NewHTTPClient()
	t.Cleanup(client.CloseIdleConnections)
	return &wechat.API{BaseURL: up.URL, HTTP: client}
}

func newOfficial(t testing.TB, api *wechat.API) *wechat.Official {
	t.Helper()
	o, err := wechat.NewOfficial(api, wechat.App{ID: appID, Secret: secret}, wechat.OfficialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func newMiniProgram(t testing.TB, api *wechat.API) *wechat.MiniProgram {
	t.Helper()
	m, err := wechat.NewMiniProgram(api, wechat.App{ID: appID, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newWebsite(t testing.TB, api *wechat.API) *wechat.Website {
	t.Helper()
	w, err := wechat.NewWebsite(api, wechat.App{ID: appID, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newAppTokens(t testing.TB, api *wechat.API, o wechat.AppTokenOptions) *wechat.AppTokens {
	t.Helper()
	tokens, err := wechat.NewAppTokens(api, wechat.App{ID: appID, Secret: secret}, o)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// userToken is what an earlier exchange left.
func userToken() wechat.UserToken {
	return wechat.UserToken{
		AccessToken:  "61_userinfoKN8ZZAtlHw0aPAW",
		RefreshToken: "61_REFRESHEW6dJmYropYY6LcF",
		ExpiresAt:    time.Unix(1_700_000_000, 0),
		OpenID:       openID,
		Scopes:       []wechat.Scope{wechat.ScopeUserinfo},
	}
}

// calls are all calls of the package, for what must hold for each of them.
func calls(t testing.TB, api *wechat.API) []namedCall {
	o, m, w := newOfficial(t, api), newMiniProgram(t, api), newWebsite(t, api)
	stable, rotating := newAppTokens(t, api, wechat.AppTokenOptions{}), newAppTokens(t, api, wechat.AppTokenOptions{Rotating: true})
	return []namedCall{
		{"sns/oauth2/access_token", true, func() error { _, err := o.Exchange(t.Context(), code); return err }},
		{"sns/oauth2/refresh_token", false, func() error { _, err := o.Refresh(t.Context(), userToken().RefreshToken); return err }},
		{"sns/userinfo", false, func() error { _, err := o.UserInfo(t.Context(), userToken(), "zh_CN"); return err }},
		{"sns/oauth2/access_token", true, func() error { _, err := w.Exchange(t.Context(), code); return err }},
		{"sns/jscode2session", true, func() error { _, err := m.Login(t.Context(), code); return err }},
		{"cgi-bin/stable_token", false, func() error { _, err := stable.Token(t.Context()); return err }},
		{"cgi-bin/token", false, func() error { _, err := rotating.Token(t.Context()); return err }},
	}
}

// appCalls are all calls that go with an app token.
func appCalls(t testing.TB, api *wechat.API) []namedCall {
	tokens := newAppTokens(t, api, wechat.AppTokenOptions{})
	return []namedCall{
		{"cgi-bin/user/info", false, func() error { _, err := tokens.Follower(t.Context(), openID); return err }},
		{"cgi-bin/ticket/getticket", false, func() error { _, err := wechat.NewJSAPITickets(tokens).Ticket(t.Context()); return err }},
		{"cgi-bin/qrcode/create", false, func() error { _, err := tokens.CreateQRCode(t.Context(), code, time.Minute); return err }},
		{"cgi-bin/menu/get", false, func() error { _, err := tokens.Menu(t.Context()); return err }},
		{"cgi-bin/get_current_selfmenu_info", false, func() error { _, err := tokens.CurrentMenu(t.Context()); return err }},
		{"cgi-bin/menu/create", false, func() error {
			return tokens.CreateMenu(t.Context(), []wechat.MenuButton{{Type: "click", Name: "a", Key: "b"}})
		}},
		{"cgi-bin/menu/delete", false, func() error { return tokens.DeleteMenu(t.Context()) }},
		{"wxa/checksession", false, func() error { return tokens.CheckSession(t.Context(), openID, sampleKey) }},
		{"wxa/msg_sec_check", false, func() error {
			_, err := tokens.MsgSecCheck(t.Context(), wechat.UserText{OpenID: openID, Scene: wechat.TextProfile, Content: code})
			return err
		}},
		{"wxa/business/getuserphonenumber", true, func() error { _, err := tokens.PhoneNumber(t.Context(), code, openID); return err }},
	}
}

type namedCall struct {
	op    string
	spend bool // it spends a code
	do    func() error
}

// sentinels are the meanings of a failed call; exactly one fits each.
func sentinels() map[string]error {
	return map[string]error{
		"ErrInvalidCode":         wechat.ErrInvalidCode,
		"ErrBusy":                wechat.ErrBusy,
		"ErrRateLimited":         wechat.ErrRateLimited,
		"ErrMisconfigured":       wechat.ErrMisconfigured,
		"ErrInvalidToken":        wechat.ErrInvalidToken,
		"ErrInvalidRefreshToken": wechat.ErrInvalidRefreshToken,
		"ErrForbidden":           wechat.ErrForbidden,
		"ErrSession":             wechat.ErrSession,
	}
}

// wantOnly fails the test unless err is a *wechat.Error that means want and
// nothing else.
func wantOnly(t testing.TB, err, want error) {
	t.Helper()
	if _, ok := errors.AsType[*wechat.Error](err); !ok {
		t.Fatalf("got %T %v, want a *wechat.Error", err, err)
	}
	for name, sentinel := range sentinels() {
		if got := errors.Is(err, sentinel); got != (sentinel == want) {
			t.Errorf("errors.Is(%q, %s) = %t, want only %v", err, name, got, want)
		}
	}
}

func golden(t testing.TB, name string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func mustURL(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// wantNoSecrets fails if text shows a value that must stay private, or a URL
// that holds such values.
func wantNoSecrets(t testing.TB, text string) {
	t.Helper()
	token := userToken()
	wantNone(t, text, secret, code, openID, token.AccessToken.Reveal(), token.RefreshToken.Reveal(),
		"secret=", "grant_type", "http://", "https://")
}

func wantNone(t testing.TB, text string, private ...string) {
	t.Helper()
	for _, value := range private {
		if strings.Contains(text, value) {
			t.Errorf("%q is shown in %q", value, text)
		}
	}
}
