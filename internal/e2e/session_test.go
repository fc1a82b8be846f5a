package e2e

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestLogoutEndsTheSession(t *testing.T) {
	p := startDev(t, nil)
	for name, c := range map[string]struct {
		header http.Header
		query  string
		status int
		to     string
	}{
		"204 for scripts":            {http.Header{"Sec-Fetch-Site": {"same-origin"}, "Accept": {"application/json"}}, "", 204, ""},
		"RET-09 303 for forms":       {http.Header{"Sec-Fetch-Site": {"same-origin"}, "Accept": {"text/html"}}, "?return_to=%2Fbye%3Fx%3D1", 303, "/bye?x=1"},
		"Origin instead":             {http.Header{"Origin": {p.bridge}, "Accept": {"*/*"}}, "", 204, ""},
		"the default return address": {http.Header{"Origin": {p.bridge}, "Accept": {"text/html"}}, "", 303, "/"},
	} {
		t.Run(name, func(t *testing.T) {
			bob := p.phone("bob")
			token := bob.login(t).access
			if _, err := bob.callback("/login?prompt=login"); err != nil { // a flow cookie to be cleared
				t.Fatal(err)
			}
			h := bob.do(t, http.MethodPost, "/logout"+c.query, c.header, "")
			if h.status != c.status || h.header.Get("Location") != c.to {
				t.Errorf("%v, want %d %s", h, c.status, c.to)
			}
			for _, name := range []string{tokenCookie, idCookie} {
				if cookie := h.setCookie(name); cookie == nil || cookie.MaxAge >= 0 || cookie.Path != "/" ||
					cookie.HttpOnly != (name == tokenCookie) || cookie.SameSite != http.SameSiteLaxMode {
					t.Errorf("WEB-07 %s is not cleared with its own attributes: %v", name, cookie)
				}
			}
			if left := bob.bridgeCookies(); len(left) > 0 {
				t.Errorf("cookies are left: %v", left)
			}
			wantError(t, p.api(t, http.MethodGet, "/me", token, ""), http.StatusUnauthorized, "invalid_token")
		})
	}
	t.Run("WEB-07 without a session too", func(t *testing.T) {
		for _, header := range []http.Header{{"Accept": {"application/json"}}, {"Accept": {"application/json"}, "Origin": {p.bridge}}} {
			if h := p.phone("bob").do(t, http.MethodPost, "/logout", header, ""); h.status != http.StatusNoContent {
				t.Errorf("%v: %s", h, h.body)
			}
		}
	})
	t.Run("WEB-07 never by GET", func(t *testing.T) {
		bob := p.phone("bob")
		bob.login(t)
		if h := bob.once(t, "/logout"); h.status != http.StatusMethodNotAllowed || len(h.header["Set-Cookie"]) > 0 {
			t.Errorf("%v", h)
		}
		if h := bob.once(t, "/me"); h.status != http.StatusOK {
			t.Errorf("the session is gone: %v", h)
		}
	})
	t.Run("one session of two", func(t *testing.T) {
		one, two := p.phone("bob"), p.phone("bob")
		ended, stays := one.login(t).access, two.login(t).access
		p.api(t, http.MethodPost, "/logout", ended, "")
		wantError(t, p.api(t, http.MethodGet, "/me", ended, ""), http.StatusUnauthorized, "invalid_token")
		if h := p.api(t, http.MethodGet, "/me", stays, ""); h.status != http.StatusOK {
			t.Errorf("the other session is gone: %v", h)
		}
	})
}

func TestTOK10_RevocationsAndKeysSurviveARestart(t *testing.T) {
	args := []string{"--data", t.TempDir(), "--listen", freeAddress(t)}
	p := startDev(t, args)
	gone, erased, stays := p.phone("bob").login(t).access, p.phone("carol").login(t).access, p.phone("dave").login(t).access
	keys := string(p.get(t, "/.well-known/jwks.json").body)
	p.api(t, http.MethodPost, "/logout", gone, "")
	p.api(t, http.MethodDelete, "/me", erased, "")
	if code := p.end(); code != 0 {
		t.Fatalf("dev ended with %d", code)
	}

	p = startDev(t, args)
	if again := string(p.get(t, "/.well-known/jwks.json").body); again != keys {
		t.Errorf("the keys changed:\n%s\n%s", keys, again)
	}
	if h := p.api(t, http.MethodGet, "/me", stays, ""); h.status != http.StatusOK {
		t.Errorf("a good token is refused after a restart: %v: %s", h, h.body)
	}
	for name, token := range map[string]string{"logged out": gone, "erased": erased} {
		t.Run(name, func(t *testing.T) {
			wantError(t, p.api(t, http.MethodGet, "/me", token, ""), http.StatusUnauthorized, "invalid_token")
			ph := p.phone("bob")
			ph.setCookie(tokenCookie, token)
			if h := ph.once(t, "/"); h.grants() {
				t.Error("a revoked cookie is renewed")
			}
		})
	}
}

func TestACookieTokenIsRenewedPastHalfItsLife(t *testing.T) {
	t.Parallel()
	p := startDev(t, nil, "WXBRIDGE_JWT_TTL=6s")
	bob := p.phone("bob")
	first := bob.login(t)
	if h := bob.once(t, "/me"); h.grants() {
		t.Error("a fresh token is renewed")
	}
	var h hop
	waitFor(t, 6*time.Second, "a renewal", func() bool { h = bob.once(t, "/me"); return h.grants() })
	before, after := payload(t, first.access), p.access(t, bob.session().access)
	for _, name := range []string{"sid", "sub", "auth_time", "provider", "appid", "openid"} {
		if before[name] != after[name] {
			t.Errorf("%s changes from %v to %v", name, before[name], after[name])
		}
	}
	if before["jti"] == after["jti"] || after["exp"].(float64) <= before["exp"].(float64) {
		t.Errorf("not a new token: %v → %v", before, after)
	}
	if c := h.setCookie(tokenCookie); !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
		t.Errorf("WEB-01 the renewed cookie has attributes %s", strings.Replace(c.String(), c.Value, "…", 1))
	}
	if h.setCookie(idCookie) == nil {
		t.Error("/me does not renew the ID token beside it")
	}
	var n int
	for _, line := range h.header["Set-Cookie"] {
		if strings.HasPrefix(line, tokenCookie+"=") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d access-token cookies in one answer", n)
	}
	t.Run("a Bearer token is not", func(t *testing.T) {
		token := p.miniToken(t, "bob")
		for deadline := time.After(4 * time.Second); ; {
			if h := p.api(t, http.MethodGet, "/me", token, ""); len(h.header["Set-Cookie"]) > 0 {
				t.Fatalf("a Bearer request is answered with cookies: %v", h)
			}
			select {
			case <-deadline:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	t.Run("an expired token is none", func(t *testing.T) {
		waitFor(t, 70*time.Second, "the first token's end", func() bool {
			return p.api(t, http.MethodGet, "/me", first.access, "").status == http.StatusUnauthorized
		})
	})
}

func TestAuthTimeBoundsRenewal(t *testing.T) {
	t.Parallel()
	p := startDev(t, nil, "WXBRIDGE_JWT_TTL=4s", "WXBRIDGE_SESSION_TTL=1s")
	bob := p.phone("bob")
	bob.login(t)
	for deadline := time.After(5 * time.Second); ; {
		if h := bob.once(t, "/me"); h.grants() {
			t.Fatal("a session past SESSION_TTL is renewed")
		}
		select {
		case <-deadline:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Browsers that send neither Sec-Fetch-Site nor Origin log out by the form of the home page.
func TestWEB06_AFormTokenStandsForTheOrigin(t *testing.T) {
	p := startDev(t, nil)
	bob, carol := p.phone("bob"), p.phone("carol")
	token := bob.login(t).access
	carol.login(t)
	field := regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]+)"`)
	form := func(ph *phone) string {
		m := field.FindStringSubmatch(string(ph.once(t, "/").body))
		if m == nil {
			t.Fatal("the home page's form has no token")
		}
		return url.QueryEscape(m[1]) + "=" + url.QueryEscape(m[2])
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"text/html"}}
	for name, body := range map[string]string{"none": "", "empty": "form_token=", "another person's": form(carol), "cut": form(bob)[:20]} {
		if h := bob.twin().do(t, http.MethodPost, "/logout", header, body); h.status != http.StatusForbidden {
			t.Errorf("form token %s: %v", name, h)
		}
	}
	if h := p.api(t, http.MethodGet, "/me", token, ""); h.status != http.StatusOK {
		t.Fatalf("a refused form ended the session: %v", h)
	}
	if h := bob.do(t, http.MethodPost, "/logout", header, form(bob)); h.status != http.StatusSeeOther {
		t.Errorf("form token: %v: %.200s", h, h.body)
	}
	wantError(t, p.api(t, http.MethodGet, "/me", token, ""), http.StatusUnauthorized, "invalid_token")
}
