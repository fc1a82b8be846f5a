package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
)

func TestSession_ACookieIsRenewedPastHalfItsLife(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	first, token := w.mustClaims(), w.cookie("wxbridge_token")

	b.clock.Advance(tokenTTL/2 - time.Minute)
	w.get("/me")
	if w.cookie("wxbridge_token") != token {
		t.Error("renewed before half its life")
	}
	b.clock.Advance(2 * time.Minute)
	p := w.get("/me")
	renewed := w.mustClaims()
	if p.StatusCode != http.StatusOK || w.cookie("wxbridge_token") == token {
		t.Fatalf("not renewed: %d", p.StatusCode)
	}
	if renewed.SessionID != first.SessionID || !renewed.AuthTime.Equal(first.AuthTime) || !renewed.ExpiresAt.After(first.ExpiresAt) {
		t.Errorf("renewed %+v from %+v", renewed, first)
	}
	if n := len(p.Cookies()); n != 2 {
		t.Errorf("/me renews %d cookies, want both", n)
	}
}

func TestSession_ALostIDTokenComesBackWithTheNextLogin(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	for _, path := range []string{"/login?return_to=/shop", "/"} {
		w.jar.SetCookies(mustURL(t, b.url), []*http.Cookie{{Name: "wxbridge_id", MaxAge: -1, Path: "/"}})
		w.get(path)
		if w.cookie("wxbridge_id") == "" {
			t.Errorf("%s: a page that waits for the cookie would wait for ever", path)
		}
	}
}

func TestSession_BearerTokensAreNotRenewed(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	b.clock.Advance(tokenTTL - time.Minute)
	script := b.browser("")
	p := script.get("/me", "Authorization", "Bearer "+w.cookie("wxbridge_token"))
	if p.StatusCode != http.StatusOK || len(p.Cookies()) != 0 {
		t.Errorf("%d with %d cookies", p.StatusCode, len(p.Cookies()))
	}
}

func TestSession_RenewalEndsWithTheSessionTTL(t *testing.T) {
	b := newBridge(t, func(c *handlers.Config) { c.SessionTTL = 3 * time.Hour })
	w := b.browser("alice")
	w.register()
	for range 2 {
		b.clock.Advance(80 * time.Minute)
		w.get("/me")
	}
	last := w.mustClaims()
	b.clock.Advance(80 * time.Minute)
	w.get("/me")
	if now := w.cookie("wxbridge_token"); now != "" {
		if claims, ok := w.claims(); ok && claims.IssuedAt.After(last.IssuedAt) {
			t.Error("renewed beyond the session's life")
		}
	}
}

func TestSession_ABlockedOrErasedFanIsNotRenewed(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	_, err := b.store.UpdateFan(t.Context(), w.mustClaims().Subject, func(f *db.Fan) error {
		f.Status = db.StatusBlocked
		return nil
	})
	must(t, err)
	b.clock.Advance(tokenTTL/2 + time.Minute)
	token := w.cookie("wxbridge_token")
	for _, path := range []string{"/login", "/"} {
		w.get(path)
		if now := w.cookie("wxbridge_token"); now != token && now != "" {
			t.Errorf("%s renews the token of a blocked fan", path)
		}
	}
}

func TestTOK10_LogoutRevokesTheSession(t *testing.T) {
	b := newBridge(t)
	w, elsewhere := b.browser("alice"), b.browser("alice")
	w.register()
	elsewhere.visit("/login")
	token := w.cookie("wxbridge_token")
	if p := w.do("POST", "/logout", "", "Sec-Fetch-Site", "same-origin"); p.StatusCode != http.StatusNoContent {
		t.Fatalf("logout: %d", p.StatusCode)
	}
	if w.cookie("wxbridge_token") != "" || w.cookie("wxbridge_id") != "" {
		t.Error("cookies stay after logout")
	}
	if p := b.browser("").get("/me", "Authorization", "Bearer "+token); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("the token of a session that was logged out: %d", p.StatusCode)
	}
	if p := elsewhere.get("/me"); p.StatusCode != http.StatusOK {
		t.Errorf("another session of the same fan: %d", p.StatusCode)
	}
	rows, err := b.store.Revocations(t.Context())
	must(t, err)
	if len(rows) != 1 || rows[0].Kind != db.RevokedSession {
		t.Errorf("stored: %+v", rows)
	}
}

func TestTOK10_ErasingRevokesEveryTokenAndALoginInTheSameSecondWorks(t *testing.T) {
	b := newBridge(t)
	w, elsewhere := b.browser("alice"), b.browser("alice")
	w.register()
	elsewhere.visit("/login")
	first := w.mustClaims()
	token := w.cookie("wxbridge_token")
	if p := w.do("DELETE", "/me", "", "Origin", b.url); p.StatusCode != http.StatusNoContent {
		t.Fatalf("erase: %d %s", p.StatusCode, p.body)
	}
	for _, old := range []string{token, elsewhere.cookie("wxbridge_token")} {
		if p := b.browser("").get("/me", "Authorization", "Bearer "+old); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("a token of an erased fan: %d", p.StatusCode)
		}
	}
	if _, err := b.store.Fan(t.Context(), first.Subject); !errors.Is(err, db.ErrNotFound) {
		t.Errorf("the fan is still there: %v", err)
	}
	again := b.browser("alice")
	again.register()
	if claims := again.mustClaims(); claims.Subject == first.Subject {
		t.Error("an erased fan comes back under the old id")
	}
	if p := again.get("/me"); p.StatusCode != http.StatusOK {
		t.Errorf("the new fan's /me: %d", p.StatusCode)
	}
}

func TestTOK11_TokenSources(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	good := w.cookie("wxbridge_token")
	bare := b.browser("")
	for _, row := range []struct {
		name    string
		with    *browser
		header  []string
		path    string
		status  int
		machine bool // no credential was sent: no error= in the challenge
	}{
		{"nothing", bare, nil, "/me", 401, true},
		{"Bearer", bare, []string{"Authorization", "Bearer " + good}, "/me", 200, false},
		{"bearer in lower case", bare, []string{"Authorization", "bearer " + good}, "/me", 200, false},
		{"cookie", w, nil, "/me", 200, false},
		{"query", bare, nil, "/me?access_token=" + good, 401, true},
		{"a bad Bearer beside a good cookie", w, []string{"Authorization", "Bearer x"}, "/me", 401, false},
		{"an empty Bearer beside a good cookie", w, []string{"Authorization", "Bearer "}, "/me", 401, false},
		{"two Authorization headers", bare, []string{"Authorization", "Bearer " + good, "Authorization", "Bearer " + good}, "/me", 401, false},
		{"TOK-06 the ID token as Bearer", bare, []string{"Authorization", "Bearer " + w.cookie("wxbridge_id")}, "/me", 401, false},
		{"TOK-06 the ID token as cookie", bare, []string{"Cookie", "wxbridge_token=" + w.cookie("wxbridge_id")}, "/me", 401, false},
		{"WEB-04 the cookie twice", bare, []string{"Cookie", "wxbridge_token=" + good + "; wxbridge_token=" + good}, "/me", 401, false},
		{"WEB-04 an empty cookie", bare, []string{"Cookie", "wxbridge_token="}, "/me", 401, true},
		{"WEB-04 a cookie without a value", bare, []string{"Cookie", "wxbridge_token"}, "/me", 401, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := row.with.get(row.path, row.header...)
			if p.StatusCode != row.status {
				t.Fatalf("%d %s", p.StatusCode, p.body)
			}
			if p.StatusCode != http.StatusUnauthorized {
				return
			}
			challenge := p.Header.Get("WWW-Authenticate")
			if !strings.HasPrefix(challenge, "Bearer") || p.errorOf(t).Error != "invalid_token" {
				t.Errorf("challenge %q, body %s", challenge, p.body)
			}
			if row.machine && strings.Contains(challenge, "error=") {
				t.Errorf("no credential was sent, and the challenge is %q", challenge)
			}
		})
	}
}

func TestTOK12_EveryCauseGivesOneBody(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	good := w.cookie("wxbridge_token")
	bodies := map[string]bool{}
	for _, token := range []string{"x", good + "x", w.cookie("wxbridge_id"), good[:len(good)-4] + "AAAA", strings.Repeat(".", 1000)} {
		p := b.browser("").get("/me", "Authorization", "Bearer "+token)
		e := p.errorOf(t)
		bodies[e.Error+e.Description] = true
		if p.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d", p.StatusCode)
		}
	}
	if len(bodies) != 1 {
		t.Errorf("bodies differ: %v", bodies)
	}
}

func TestWEB06_ACookieChangesNothingForAnotherSite(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	id := w.mustClaims().Subject
	for name, header := range map[string][]string{
		"neither header":        nil,
		"cross-site":            {"Sec-Fetch-Site", "cross-site"},
		"same-site":             {"Sec-Fetch-Site", "same-site", "Origin", "https://sub.example.com"},
		"a foreign origin":      {"Origin", "https://evil.example"},
		"origin null":           {"Origin", "null"},
		"another port":          {"Origin", "http://127.0.0.1:1"},
		"no-cors form":          {"Content-Type", "text/plain", "Sec-Fetch-Site", "cross-site"},
		"a foreign Host header": {"X-Forwarded-Host", "evil.example", "Origin", "http://evil.example"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, change := range [][2]string{{"DELETE", "/me"}, {"PATCH", "/me"}, {"POST", "/logout"}} {
				p := w.do(change[0], change[1], "", header...)
				if p.StatusCode != http.StatusForbidden || p.errorOf(t).Error != "access_denied" {
					t.Errorf("%s %s: %d %s", change[0], change[1], p.StatusCode, p.body)
				}
			}
			if w.mustClaims().Subject != id {
				t.Error("something changed")
			}
		})
	}
	if p := w.get("/logout"); p.StatusCode != http.StatusMethodNotAllowed { // WEB-07
		t.Errorf("GET /logout: %d", p.StatusCode)
	}
	w.mustClaims()
	if p := w.do("PATCH", "/me", `{"nickname":"爱丽丝"}`, "Content-Type", "application/json",
		"Authorization", "Bearer "+w.cookie("wxbridge_token")); p.StatusCode != http.StatusOK {
		t.Errorf("a Bearer request needs no origin: %d", p.StatusCode)
	}
}

func TestWEB06_AFormTokenStandsInForTheOrigin(t *testing.T) {
	b := newBridge(t)
	w, other := b.browser("alice"), b.browser("bob")
	w.register()
	other.register()
	form := func(p page) string {
		_, rest, _ := strings.Cut(p.body, `name="form_token" value="`)
		token, _, _ := strings.Cut(rest, `"`)
		return url.Values{"form_token": {token}}.Encode()
	}
	const kind = "application/x-www-form-urlencoded"
	foreign := form(other.visit("/"))
	if p := w.do("POST", "/logout", foreign, "Content-Type", kind); p.StatusCode != http.StatusForbidden {
		t.Errorf("another session's form token: %d", p.StatusCode)
	}
	own := form(w.visit("/"))
	p := w.do("POST", "/logout", own+"&return_to=/bye", "Content-Type", kind, "Accept", "text/html")
	if p.StatusCode != http.StatusSeeOther || p.Header.Get("Location") != "/bye" { // RET-09
		t.Errorf("own form token: %d to %q", p.StatusCode, p.Header.Get("Location"))
	}
}

func TestWEB07_LogoutWorksWithoutASession(t *testing.T) {
	b := newBridge(t)
	w := b.browser("")
	if p := w.do("POST", "/logout", ""); p.StatusCode != http.StatusNoContent {
		t.Errorf("without cookies: %d", p.StatusCode)
	}
	p := w.do("POST", "/logout?return_to=https://evil.example/", "", "Accept", "text/html")
	if p.StatusCode != http.StatusBadRequest { // RET-07
		t.Errorf("a foreign return address: %d", p.StatusCode)
	}
	w.get("/login")
	p = w.do("POST", "/logout", "", "Origin", b.url, "Cookie", "wxbridge_token=expired; wxbridge_id=x")
	if p.StatusCode != http.StatusNoContent || len(w.jar.Cookies(mustURL(t, b.url))) != 0 {
		t.Errorf("with a bad cookie: %d, left %v", p.StatusCode, w.jar.Cookies(mustURL(t, b.url)))
	}
}

func TestWEB01_CookieAttributes(t *testing.T) {
	for name, row := range map[string]struct {
		public, domain, token, id, flow string
		secure                          bool
	}{
		"https":               {"https://login.example.com", "", "__Host-wxbridge_token", "__Host-wxbridge_id", "__Host-wxbridge_flow_", true},
		"https with a domain": {"https://login.example.com", "example.com", "wxbridge_token", "wxbridge_id", "__Host-wxbridge_flow_", true},
		"http on loopback":    {"", "", "wxbridge_token", "wxbridge_id", "wxbridge_flow_", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBridge(t, func(c *handlers.Config) {
				if row.public != "" {
					c.PublicURL = mustURL(t, row.public)
				}
				c.CookieDomain = row.domain
			})
			// The simulator takes 127.0.0.1 only, so the redirect is not followed: what is set at start and at landing counts.
			start := b.browser("alice").get("/login")
			checkCookie(t, start.Cookies(), row.flow, "", row.secure, true)
			out := b.browser("").do("POST", "/logout", "", "Origin", b.public, "Cookie", row.token+"=x")
			checkCookie(t, out.Cookies(), row.token, row.domain, row.secure, true)
			checkCookie(t, out.Cookies(), row.id, row.domain, row.secure, false)
		})
	}
}

func checkCookie(t *testing.T, cookies []*http.Cookie, prefix, domain string, secure, httpOnly bool) {
	t.Helper()
	for _, c := range cookies {
		if strings.HasPrefix(c.Name, prefix) {
			if c.Path != "/" || c.SameSite != http.SameSiteLaxMode || c.Secure != secure || c.HttpOnly != httpOnly || c.Domain != domain {
				t.Errorf("%s", c.Raw)
			}
			if strings.HasSuffix(prefix, "flow_") && (c.MaxAge <= 0 || c.MaxAge > 600) { // WEB-02
				t.Errorf("a flow cookie lives %d s", c.MaxAge)
			}
			return
		}
	}
	t.Errorf("no cookie %s among %v", prefix, cookies)
}

func TestMe_OnePersonOfTwoAppsIsOneFan(t *testing.T) {
	b := newBridge(t)
	// The mini program meets alice first, without the official account knowing.
	p := b.browser("").do("POST", "/miniprogram/login", `{"code":"`+b.jsCode("alice")+`"}`, "Content-Type", "application/json")
	var login struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
		Fan         struct {
			ID         string `json:"id"`
			Registered bool   `json:"registered"`
		} `json:"fan"`
	}
	must(t, json.Unmarshal([]byte(p.body), &login))
	if p.StatusCode != http.StatusOK || login.ExpiresIn != int(tokenTTL/time.Second) || login.Fan.Registered {
		t.Fatalf("%d %s", p.StatusCode, p.body)
	}
	w := b.browser("alice")
	w.register()
	if got := w.mustClaims().Subject; got != login.Fan.ID {
		t.Errorf("one person is two fans: %s and %s", got, login.Fan.ID)
	}
	var me struct {
		ID         string `json:"id"`
		Registered bool   `json:"registered"`
		Identities []struct {
			Provider, OpenID, UnionID string
		} `json:"identities"`
	}
	p = b.browser("").get("/me", "Authorization", "Bearer "+login.AccessToken)
	must(t, json.Unmarshal([]byte(p.body), &me))
	if !me.Registered || len(me.Identities) != 2 || me.Identities[0].UnionID != me.Identities[1].UnionID {
		t.Errorf("%s", p.body)
	}
}

func TestMe_AfterAMergeTheYoungerIDIsAnAlias(t *testing.T) {
	b := newBridge(t, func(c *handlers.Config) { c.ProfilePolicy.Never = true })
	phone := b.browser("bob")
	phone.visit("/login") // a guest: the base scope brings no unionid
	older := phone.mustClaims().Subject
	b.clock.Advance(time.Minute)
	p := b.browser("").do("POST", "/miniprogram/login", `{"code":"`+b.jsCode("bob")+`"}`, "Content-Type", "application/json")
	var login struct {
		AccessToken string `json:"access_token"`
		Fan         struct{ ID string }
	}
	must(t, json.Unmarshal([]byte(p.body), &login))
	if login.Fan.ID == older {
		t.Fatal("one fan before the official account has shown a unionid")
	}
	// With the younger fan's token in a cookie, renewal leads to the survivor.
	young := b.browser("")
	young.jar.SetCookies(mustURL(t, b.url), []*http.Cookie{{Name: "wxbridge_token", Value: login.AccessToken, Path: "/"}})

	phone.visit("/login/official-account?scope=userinfo")
	if got := phone.mustClaims().Subject; got != older {
		t.Errorf("the surviving fan is %s, want the older %s", got, older)
	}
	b.clock.Advance(tokenTTL / 2)
	p = young.get("/me")
	var me struct {
		ID      string   `json:"id"`
		Aliases []string `json:"aliases"`
	}
	must(t, json.Unmarshal([]byte(p.body), &me))
	if me.ID != older || len(me.Aliases) != 1 || me.Aliases[0] != login.Fan.ID {
		t.Errorf("/me with the alias's token: %s", p.body)
	}
	if got := young.mustClaims().Subject; got != older {
		t.Errorf("renewal issues %s, want the surviving %s", got, older)
	}
	if !strings.Contains(b.log.String(), `"event":"fan.merged"`) {
		t.Error("the merge is not logged")
	}
}

// brokenStore fails as a store does whose disk is gone, from the moment it is told to.
type brokenStore struct {
	db.Store
	fan func(ctx context.Context, id string) (db.Fan, error)
}

func (s brokenStore) Fan(ctx context.Context, id string) (db.Fan, error) { return s.fan(ctx, id) }
func (s brokenStore) SaveLogin(context.Context, db.Login) (db.LoginResult, error) {
	return db.LoginResult{}, db.ErrUnavailable
}
func (s brokenStore) Ping(context.Context) error { return db.ErrUnavailable }

func TestStoreUnavailable_Is503AndNoSession(t *testing.T) {
	b := newBridge(t, func(c *handlers.Config) {
		c.Store = brokenStore{c.Store, func(context.Context, string) (db.Fan, error) { return db.Fan{}, db.ErrUnavailable }}
		c.ProfilePolicy.Never = true
	})
	w := b.browser("alice")
	if p := w.visit("/login"); p.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("login: %d", p.StatusCode)
	}
	p := w.do("POST", "/miniprogram/login", `{"code":"`+b.jsCode("bob")+`"}`, "Content-Type", "application/json")
	if p.StatusCode != http.StatusServiceUnavailable || p.errorOf(t).Error != "temporarily_unavailable" || p.Header.Get("Retry-After") == "" {
		t.Errorf("mini program: %d %s", p.StatusCode, p.body)
	}
	if p := w.get("/readyz"); p.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d", p.StatusCode)
	}
	if p := w.get("/healthz"); p.StatusCode != http.StatusOK {
		t.Errorf("healthz: %d", p.StatusCode)
	}
}

func TestSRV06_APanicIsA500WithARequestIDAndTheProcessGoesOn(t *testing.T) {
	b := newBridge(t, func(c *handlers.Config) {
		c.Store = panickingStore{c.Store}
	})
	w := b.browser("")
	p := w.do("POST", "/miniprogram/login", `{"code":"`+b.jsCode("bob")+`"}`, "Content-Type", "application/json")
	e := p.errorOf(t)
	if p.StatusCode != http.StatusInternalServerError || e.Error != "server_error" || strings.Contains(p.body, "marmalade") {
		t.Errorf("%d %s", p.StatusCode, p.body)
	}
	if !strings.Contains(b.log.String(), e.RequestID) || !strings.Contains(b.log.String(), "marmalade") {
		t.Error("the log does not tell what happened")
	}
	if p := w.get("/healthz"); p.StatusCode != http.StatusOK {
		t.Errorf("healthz after a panic: %d", p.StatusCode)
	}
}

type panickingStore struct{ db.Store }

func (panickingStore) SaveLogin(context.Context, db.Login) (db.LoginResult, error) {
	panic("marmalade")
}
