package handlers_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/handlers"
	"wxbridge/wechat"
)

// heldTokens is a store of app tokens in which a process that hangs holds every lock.
type heldTokens struct{}

func (heldTokens) Load(context.Context, string) (wechat.AppToken, error) {
	return wechat.AppToken{}, nil
}
func (heldTokens) Lock(context.Context, string, string, time.Duration) (bool, error) {
	return false, nil
}
func (heldTokens) Save(context.Context, string, string, wechat.AppToken) error { return nil }
func (heldTokens) Unlock(context.Context, string, string) error                { return nil }

// withHeldTokens gives account and mini program app tokens that nobody gets in time.
func withHeldTokens(t *testing.T) func(*handlers.Config) {
	nowhere := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	tokens := func(appID string) *wechat.AppTokens {
		held, err := wechat.NewAppTokens(&wechat.API{BaseURL: nowhere}, wechat.App{ID: appID, Secret: "0123456789abcdef0123456789abcdef"},
			wechat.AppTokenOptions{Store: heldTokens{}})
		must(t, err)
		return held
	}
	return func(c *handlers.Config) {
		account, program := &c.OfficialAccounts[0], &c.MiniPrograms[0]
		account.Tokens = tokens(account.Client.AppID())
		account.Tickets = wechat.NewJSAPITickets(account.Tokens)
		program.Tokens = tokens(program.Client.AppID())
		c.CheckNicknames = true
	}
}

// The wait for an avatar does not cost the login that a slow WeCom has granted.
func TestREL12_ASlowAvatarIsNo5xx(t *testing.T) {
	t.Parallel()
	b := newOffice(t, func(c *handlers.Config) { c.WeCom[0].Private = true })
	for _, path := range []string{"auth/getuserinfo", "user/get", "auth/getuserdetail"} { // each call is within its limit, all three are not
		b.fault(`{"path":"/qyapi/cgi-bin/` + path + `","latency_ms":3200,"times":0}`)
	}
	begun := time.Now()
	w := b.member("wei")
	p := w.visit("/login?return_to=/")
	if took := time.Since(begun); p.StatusCode >= 500 || took > 10*time.Second {
		t.Fatalf("%d after %v: %s", p.StatusCode, took.Round(100*time.Millisecond), p.body)
	}
	w.mustClaims()
}

// Whatever needs an app token gives up in time where another process has the lock and hangs.
func TestREL12_RequestsThatNeedAnAppTokenEndWithinTenSeconds(t *testing.T) {
	t.Parallel()
	b := newBridge(t, withHeldTokens(t), withTokenClient(t))
	token := b.miniToken("alice")
	foreign := b.userInfo(b.mini, "alice")
	foreign["signature"] = strings.Repeat("0", 40)
	var group sync.WaitGroup
	for name, row := range map[string]struct {
		status int
		ask    func() page
	}{
		"a signature for a page": {http.StatusServiceUnavailable, func() page {
			return b.browser("").get("/jssdk/config?url=" + url.QueryEscape(b.public+"/"))
		}},
		"an app token": {http.StatusServiceUnavailable, func() page {
			return b.browser("").get(appTokenPath, "Authorization", basic("desk", clientSecret))
		}},
		"a nickname that WeChat checks": {http.StatusServiceUnavailable, func() page {
			return b.postJSON(profileRoute, token, map[string]string{"nickname": "Ann"})
		}},
		"data of another session": {http.StatusBadRequest, func() page { return b.postJSON(profileRoute, token, foreign) }},
	} {
		group.Go(func() {
			begun := time.Now()
			p := row.ask()
			if took := time.Since(begun); p.StatusCode != row.status || took > 10*time.Second {
				t.Errorf("%s: %d after %v: %s", name, p.StatusCode, took.Round(100*time.Millisecond), p.body)
			}
		})
	}
	group.Wait()
}
