package handlers_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/jwtauth"
)

// gate is a bridge behind a proxy on another host of its domain, and an issuer that signs what the bridge might have.
type gate struct {
	*bridge
	issuer *jwtauth.Issuer
	cfg    handlers.Config
}

func newGate(t testing.TB, change ...func(*handlers.Config)) *gate {
	t.Helper()
	g := &gate{}
	g.bridge = newBridge(t, append([]func(*handlers.Config){func(c *handlers.Config) {
		c.PublicURL = mustURL(t, "https://login.example.com")
		c.ReturnOrigins = []string{"https://app.example.com", "https://elsewhere.example.org", "http://plain.example.com"}
		c.CookieDomain = "example.com"
		c.TrustedProxies = []string{"127.0.0.1"}
	}}, append(change, func(c *handlers.Config) { g.cfg = *c })...)...)
	var err error
	g.issuer, err = jwtauth.NewIssuer(g.cfg.Keys, jwtauth.IssuerConfig{Issuer: g.public, Audience: g.public + "/api",
		ClientID: "wxbridge", TTL: tokenTTL, Now: g.clock.Now})
	must(t, err)
	return g
}

// fan stores a fan who has logged in with the official account.
func (g *gate) fan(openID, nickname string) db.Fan {
	g.t.Helper()
	result, err := g.store.SaveLogin(g.t.Context(), db.Login{Identity: db.Identity{Provider: db.ProviderOfficialAccount,
		AppID: "wx1", OpenID: openID, OpenAccount: "default"}, Profile: &db.Profile{Nickname: nickname}})
	must(g.t, err)
	return result.Fan
}

func (g *gate) claims(fan db.Fan, openID string) jwtauth.Claims {
	return jwtauth.Claims{Subject: fan.ID, SessionID: "session-of-" + openID, AuthTime: g.clock.Now(),
		Provider: db.ProviderOfficialAccount, AppID: "wx1", OpenID: openID, Role: fan.Role}
}

func (g *gate) access(c jwtauth.Claims) string {
	g.t.Helper()
	raw, _, err := g.issuer.AccessToken(c)
	must(g.t, err)
	return raw
}

func (g *gate) id(subject, nickname string) string {
	g.t.Helper()
	raw, err := g.issuer.IDToken(jwtauth.IDClaims{Subject: subject, AuthTime: g.clock.Now(), Nickname: nickname})
	must(g.t, err)
	return raw
}

// ask sends what a proxy asks about a browser's GET of https://app.example.com/page?a=1.
func (g *gate) ask(query string, header ...string) page {
	g.t.Helper()
	return g.askBy("GET", query, header...)
}

func (g *gate) askBy(method, query string, header ...string) page {
	g.t.Helper()
	all := append([]string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.example.com",
		"X-Forwarded-Uri", "/page?a=1&b=2", "X-Forwarded-Method", "GET"}, header...)
	return g.browser("").do(method, "/auth/verify"+query, "", all...)
}

var identityHeaders = []string{"Remote-User", "Remote-Name", "X-Auth-Request-Provider", "X-Auth-Request-Openid", "X-Auth-Request-Role",
	"X-Auth-Request-Departments"}

func expectRefused(t testing.TB, p page, status int, code string) {
	t.Helper()
	if p.StatusCode != status || p.errorOf(t).Error != code {
		t.Fatalf("%d %s, want %d %s", p.StatusCode, p.body, status, code)
	}
	for _, name := range identityHeaders {
		if _, there := p.Header[name]; there {
			t.Errorf("a refusal names somebody: %s", name)
		}
	}
	if p.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q", p.Header.Get("Cache-Control"))
	}
}

func TestFWD04_EveryIdentityHeaderIsThere(t *testing.T) {
	g := newGate(t)
	fan := g.fan("oAlice", "爱丽丝 & Söhne\r\n")
	claims := g.claims(fan, "oAlice")
	claims.Role, claims.Departments = "shop owner", jwtauth.DepartmentsOf(12, 3)
	token, other := g.access(claims), g.id("01890000-0000-7000-8000-000000000000", "Mallory")
	cookie := "wxbridge_token=" + token
	for _, row := range []struct {
		name, want string
		header     []string
	}{
		{"FWD-05 with the ID token", "%E7%88%B1%E4%B8%BD%E4%B8%9D%20%26%20S%C3%B6hne%0D%0A", []string{"Cookie", cookie + "; wxbridge_id=" + g.id(fan.ID, fan.Nickname)}},
		{"FWD-05 a long name", strings.Repeat("%F0%9F%98%80", 85), []string{"Cookie", cookie + "; wxbridge_id=" + g.id(fan.ID, strings.Repeat("😀", 300))}},
		{"without it", "", []string{"Cookie", cookie}},
		{"another fan's ID token", "", []string{"Cookie", cookie + "; wxbridge_id=" + other}},
		{"a forged ID token", "", []string{"Cookie", cookie + "; wxbridge_id=" + other[:len(other)-4] + "AAAA"}},
		{"TOK-06 the access token as ID token", "", []string{"Cookie", cookie + "; wxbridge_id=" + token}},
		{"two ID tokens", "", []string{"Cookie", cookie + "; wxbridge_id=" + g.id(fan.ID, "a") + "; wxbridge_id=" + g.id(fan.ID, "b")}},
		{"Bearer", "", []string{"Authorization", "Bearer " + token}},
		{"FWD-06 Bearer, and headers of the client's own", "", []string{"Authorization", "Bearer " + token, "Remote-User", "root", "Remote_User", "root", "remote.user", "root",
			"Remote-Name", "root", "X-Auth-Request-Role", "admin", "X-Auth-Request-Departments", "1"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := g.ask("?redirect=1&role=shop+owner", row.header...)
			if p.StatusCode != http.StatusOK || p.body != "" || len(p.Cookies()) != 0 {
				t.Fatalf("%d %q, %d cookies", p.StatusCode, p.body, len(p.Cookies()))
			}
			want := []string{fan.ID, row.want, "official_account", "oAlice", "shop%20owner", "3,12"}
			for i, name := range identityHeaders {
				if got, there := p.Header[name]; !there || len(got) != 1 || got[0] != want[i] {
					t.Errorf("%s is %q, want %q", name, got, want[i])
				}
			}
			if p.Header.Get("Cache-Control") != "no-store" {
				t.Error("TOK-14: may be stored")
			}
		})
	}
	t.Run("unknown values are there and empty", func(t *testing.T) {
		p := g.ask("", "Authorization", "Bearer "+g.access(g.claims(fan, "oAlice")))
		for _, name := range []string{"Remote-Name", "X-Auth-Request-Role", "X-Auth-Request-Departments"} {
			if got, there := p.Header[name]; !there || got[0] != "" {
				t.Errorf("%s is %q", name, got)
			}
		}
	})
}

func TestFWD01_OnlyAValidTokenPasses(t *testing.T) {
	g := newGate(t)
	fan := g.fan("oAlice", "Alice")
	claims := g.claims(fan, "oAlice")
	good := g.access(claims)
	revoked := claims
	revoked.SessionID = "logged-out"
	out := g.access(revoked)
	g.cfg.Revocations.RevokeSession("logged-out", g.clock.Now().Add(tokenTTL))
	for _, row := range []struct {
		name   string
		header []string
		sent   bool // a credential was sent
	}{
		{"nothing", nil, false},
		{"a good cookie beside a bad Bearer header", []string{"Authorization", "Bearer x", "Cookie", "wxbridge_token=" + good}, true},
		{"a good cookie beside an empty Bearer header", []string{"Authorization", "Bearer", "Cookie", "wxbridge_token=" + good}, true},
		{"TOK-11 two Authorization headers", []string{"Authorization", "Bearer " + good, "Authorization", "Bearer " + good}, true},
		{"revoked", []string{"Authorization", "Bearer " + out}, true},
		{"TOK-06 the ID token", []string{"Cookie", "wxbridge_token=" + g.id(fan.ID, "Alice")}, true},
		{"WEB-04 an empty cookie", []string{"Cookie", "wxbridge_token="}, false},
		{"WEB-04 a cookie without a value", []string{"Cookie", "wxbridge_token"}, false},
		{"WEB-04 a quote for a cookie", []string{"Cookie", `wxbridge_token="`}, false},
		{"WEB-04 a quoted cookie", []string{"Cookie", `wxbridge_token="` + good + `"`}, false},
		{"WEB-04 the cookie twice", []string{"Cookie", "wxbridge_token=" + good + "; wxbridge_token=" + good}, false},
		{"WEB-04 the cookie in two headers", []string{"Cookie", "wxbridge_token=" + good, "Cookie", "wxbridge_token=" + good}, false},
		{"WEB-04 a long cookie", []string{"Cookie", "wxbridge_token=" + strings.Repeat("a", 20<<10)}, false},
		{"FWD-03 a health check", []string{"User-Agent", "GoogleHC/1.0"}, false},
		{"FWD-03 kube-probe", []string{"User-Agent", "kube-probe/1.30", "X-Real-Ip", "127.0.0.1", "X-Forwarded-For", "127.0.0.1"}, false},
		{"FWD-03 an origin", []string{"Origin", "https://login.example.com", "Sec-Fetch-Site", "same-origin"}, false},
		{"FWD-02 paths", []string{"X-Original-Url", "/healthz", "X-Original-Uri", "/healthz", "X-Rewrite-Url", "/healthz"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := g.ask("", row.header...)
			expectRefused(t, p, http.StatusUnauthorized, "invalid_token")
			if challenge := p.Header.Get("Www-Authenticate"); challenge != map[bool]string{true: `Bearer error="invalid_token"`, false: "Bearer"}[row.sent] {
				t.Errorf("TOK-12: challenge %q", challenge)
			}
		})
	}
	for _, query := range []string{"?access_token=" + good, "?token=" + good} {
		expectRefused(t, g.ask(query), http.StatusBadRequest, "invalid_request")
	}
	if p := g.ask("", "Cookie", "wxbridge_token="+good); p.StatusCode != http.StatusOK {
		t.Errorf("the good token itself: %d", p.StatusCode)
	}
	g.clock.Advance(tokenTTL + time.Minute)
	expectRefused(t, g.ask("", "Cookie", "wxbridge_token="+good), http.StatusUnauthorized, "invalid_token")
}

func TestFWD02_TheForwardedRequestDecidesNothing(t *testing.T) {
	g := newGate(t)
	for _, uri := range []string{"/healthz", "/a/../healthz", "/%2e%2e/healthz", "/healthz;x", "/#/healthz", "/login", "", "*"} {
		for _, method := range []string{"GET", "OPTIONS", "HEAD", "PROPFIND"} {
			p := g.browser("").get("/auth/verify", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.example.com",
				"X-Forwarded-Uri", uri, "X-Forwarded-Method", method, "X-Original-Method", method)
			expectRefused(t, p, http.StatusUnauthorized, "invalid_token")
		}
	}
}

func TestFWD03_OtherMethodsAreNoPass(t *testing.T) {
	g := newGate(t)
	good := "Bearer " + g.access(g.claims(g.fan("oAlice", ""), "oAlice"))
	for _, method := range []string{"OPTIONS", "POST", "PUT", "DELETE", "TRACE", "PROPFIND"} {
		for _, credential := range []string{"", good} {
			if p := g.browser("").do(method, "/auth/verify", "", "Authorization", credential); p.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s: %d", method, p.StatusCode)
			}
		}
	}
	if p := g.browser("").do("HEAD", "/auth/verify", ""); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("HEAD without a token: %d", p.StatusCode)
	}
	if p := g.browser("").do("HEAD", "/auth/verify", "", "Authorization", good); p.StatusCode != http.StatusOK || p.Header.Get("Remote-User") == "" {
		t.Errorf("HEAD with a token: %d", p.StatusCode)
	}
}

func TestVerify_Requirements(t *testing.T) {
	g := newGate(t)
	fan := g.fan("oAlice", "")
	editor := g.claims(fan, "oAlice")
	editor.Role = "editor"
	plain := g.claims(fan, "oAlice")
	for _, row := range []struct {
		query  string
		claims jwtauth.Claims
		status int
	}{
		{"?role=editor", editor, 200},
		{"?role=admin&role=editor", editor, 200},
		{"?role=admin,editor", editor, 200},
		{"?role=%65ditor", editor, 200},
		{"?provider=official_account", plain, 200},
		{"?provider=website,official_account&role=editor", editor, 200},
		{"?role=admin", editor, 403},
		{"?role=Editor", editor, 403},
		{"?role=edit", editor, 403},
		{"?role=editor", plain, 403},
		{"?provider=mini_program", editor, 403},
		{"?provider=mini_program&role=editor", editor, 403},
		{"?role=", plain, 400},
		{"?role", plain, 400},
		{"?role=editor,", editor, 400},
		{"?provider=", plain, 400},
		{"?roles=editor", editor, 400},
		{"?Role=editor", editor, 400},
		{"?role=editor;provider=x", editor, 400},
		{"?role=%zz", editor, 400},
		{"?redirect=yes", editor, 400},
		{"?redirect=1&redirect=1", editor, 400},
		{"?x", editor, 400},
	} {
		p := g.ask(row.query, "Authorization", "Bearer "+g.access(row.claims), "Accept", "text/html", "Sec-Fetch-Mode", "navigate")
		switch {
		case row.status == http.StatusForbidden:
			expectRefused(t, p, row.status, "access_denied")
		case row.status == http.StatusBadRequest:
			expectRefused(t, p, row.status, "invalid_request")
		case p.StatusCode != row.status:
			t.Errorf("%s: %d %s", row.query, p.StatusCode, p.body)
		}
	}
}

const loginBack = "https://login.example.com/login?return_to=https%3A%2F%2Fapp.example.com%2Fpage%3Fa%3D1%26b%3D2"

func TestFWD07_WhoIsSentToTheLogin(t *testing.T) {
	g := newGate(t)
	good := g.access(g.claims(g.fan("oAlice", ""), "oAlice"))
	for _, row := range []struct {
		name, query string
		header      []string
		redirect    bool
	}{
		{"a navigation", "?redirect=1", []string{"Sec-Fetch-Mode", "navigate"}, true},
		{"a navigation with an expired token", "?redirect=1", []string{"Sec-Fetch-Mode", "navigate", "Cookie", "wxbridge_token=a.b.c"}, true},
		{"a browser that does not say", "?redirect=1", []string{"Accept", "text/html,*/*;q=0.8"}, true},
		{"not asked for", "", []string{"Sec-Fetch-Mode", "navigate", "Accept", "text/html"}, false},
		{"a fetch", "?redirect=1", []string{"Sec-Fetch-Mode", "cors", "Accept", "text/html"}, false},
		{"an XHR", "?redirect=1", []string{"X-Requested-With", "XMLHttpRequest", "Accept", "text/html"}, false},
		{"an API client", "?redirect=1", []string{"Accept", "application/json"}, false},
		{"a bad Bearer header, which no login mends", "?redirect=1", []string{"Sec-Fetch-Mode", "navigate", "Authorization", "Bearer x"}, false},
		{"two cookies, which no login mends", "?redirect=1", []string{"Sec-Fetch-Mode", "navigate", "Cookie", "wxbridge_token=" + good + "; wxbridge_token=" + good}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := g.ask(row.query, row.header...)
			if row.redirect {
				if p.StatusCode != http.StatusFound || p.Header.Get("Location") != loginBack || p.Header.Get("Cache-Control") != "no-store" {
					t.Fatalf("%d to %q", p.StatusCode, p.Header.Get("Location"))
				}
				return
			}
			expectRefused(t, p, http.StatusUnauthorized, "invalid_token")
			var answer struct {
				LoginURL string `json:"login_url"`
			}
			must(t, json.Unmarshal([]byte(p.body), &answer))
			if answer.LoginURL != loginBack || p.Header.Get("X-Login-Url") != loginBack {
				t.Errorf("login at %q and %q", answer.LoginURL, p.Header.Get("X-Login-Url"))
			}
		})
	}
	p := g.browser("").get("/auth/verify?redirect=1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.example.com",
		"X-Forwarded-Uri", "/page", "X-Forwarded-Method", "POST", "Sec-Fetch-Mode", "navigate")
	expectRefused(t, p, http.StatusUnauthorized, "invalid_token")
}

func TestFWD08_WhereALoginLeadsBack(t *testing.T) {
	g := newGate(t)
	for _, row := range []struct {
		proto, host, uri string
		want             string // the return address; "" is none and no redirect
		log              string
	}{
		{"https", "app.example.com", "/", "https://app.example.com/", ""},
		{"HTTPS", "App.Example.com:443", "/x", "https://app.example.com/x", ""},
		{"https", "login.example.com", "/shop?x=1", "https://login.example.com/shop?x=1", ""},
		{"https", "app.example.com", "", "https://app.example.com/", ""},
		{"https", "app.example.com", "//evil.example/", "https://app.example.com/", ""},
		{"https", "app.example.com", "@evil.example/", "https://app.example.com/", ""},
		{"https", "app.example.com", `/\evil.example`, "https://app.example.com/", ""},
		{"https", "app.example.com", "/a/../b", "https://app.example.com/", ""},
		{"https", "app.example.com", "/" + strings.Repeat("a", 1100), "https://app.example.com/", ""},
		{"https", "app.example.com", "/%0d%0aSet-Cookie:x", "https://app.example.com/%0d%0aSet-Cookie:x", ""},
		{"https", "evil.example", "/", "", "RETURN_ORIGINS"},
		{"https", "app.example.com.evil.example", "/", "", "RETURN_ORIGINS"},
		{"https", "app.example.com@evil.example", "/", "", "RETURN_ORIGINS"},
		{"https", "app.example.com:8443", "/", "", "RETURN_ORIGINS"},
		{"http", "app.example.com", "/", "", "RETURN_ORIGINS"},
		{"https", "app.example.com, evil.example", "/", "", "RETURN_ORIGINS"},
		{"https", "elsewhere.example.org", "/", "", "COOKIE_DOMAIN"},
		{"http", "plain.example.com", "/", "", "COOKIE_DOMAIN"},
		{"", "app.example.com", "/", "", "X-Forwarded-Proto"},
		{"javascript", "app.example.com", "/", "", "X-Forwarded-Proto"},
		{"https", "", "/", "", "X-Forwarded-Host"},
	} {
		g.clock.Advance(2 * time.Minute)
		before := len(g.log.String())
		p := g.browser("").get("/auth/verify?redirect=1", "Sec-Fetch-Mode", "navigate", "X-Forwarded-Proto", row.proto,
			"X-Forwarded-Host", row.host, "X-Forwarded-Uri", row.uri)
		name := row.proto + "://" + row.host + row.uri
		if row.want != "" {
			to, err := p.Location()
			if err != nil || to.Query().Get("return_to") != row.want || !strings.HasPrefix(to.String(), "https://login.example.com/login?return_to=") {
				t.Errorf("%s: %d to %v", name, p.StatusCode, to)
			}
			continue
		}
		expectRefused(t, p, http.StatusUnauthorized, "invalid_token")
		if got := p.Header.Get("X-Login-Url"); got != "https://login.example.com/login" {
			t.Errorf("%s: login at %q", name, got)
		}
		if line := g.log.String()[before:]; !strings.Contains(line, row.log) {
			t.Errorf("%s: the log does not name %s: %s", name, row.log, line)
		}
	}
}

func TestFWD08_ForwardedHeadersOfStrangers(t *testing.T) {
	g := newGate(t, func(c *handlers.Config) { c.TrustedProxies = nil })
	for range 3 {
		p := g.ask("?redirect=1", "Sec-Fetch-Mode", "navigate")
		expectRefused(t, p, http.StatusUnauthorized, "invalid_token")
		if got := p.Header.Get("X-Login-Url"); got != "https://login.example.com/login" {
			t.Errorf("login at %q", got)
		}
	}
	if n := strings.Count(g.log.String(), "WXBRIDGE_TRUSTED_PROXIES"); n != 1 {
		t.Errorf("the log says %d times that the proxy is not trusted, want once a minute", n)
	}
}

func TestVerify_RenewsOneCookieAnAnswer(t *testing.T) {
	g := newGate(t)
	fan := g.fan("oAlice", "Alice")
	first := g.claims(fan, "oAlice")
	cookies := map[string]string{"wxbridge_token": g.access(first), "wxbridge_id": g.id(fan.ID, "Alice")}
	ask := func() page {
		p := g.ask("", "Cookie", "wxbridge_token="+cookies["wxbridge_token"]+"; wxbridge_id="+cookies["wxbridge_id"])
		if p.StatusCode != http.StatusOK || p.Header.Get("Remote-Name") != "Alice" {
			t.Fatalf("%d for %q", p.StatusCode, p.Header.Get("Remote-Name"))
		}
		for _, cookie := range p.Cookies() {
			cookies[cookie.Name] = cookie.Value
		}
		return p
	}
	g.clock.Advance(tokenTTL/2 - time.Minute)
	if n := len(ask().Cookies()); n != 0 {
		t.Errorf("%d cookies before half the life", n)
	}
	g.clock.Advance(2 * time.Minute)
	for _, name := range []string{"wxbridge_token", "wxbridge_id"} {
		p := ask()
		if len(p.Cookies()) != 1 || p.Cookies()[0].Name != name || p.Cookies()[0].Domain != "example.com" || !p.Cookies()[0].Secure {
			t.Fatalf("%v, want %s alone", p.Cookies(), name)
		}
	}
	if n := len(ask().Cookies()); n != 0 {
		t.Errorf("%d cookies after both were renewed", n)
	}
	claims, err := g.verifier.Verify(t.Context(), cookies["wxbridge_token"])
	must(t, err)
	if claims.SessionID != first.SessionID || !claims.AuthTime.Equal(first.AuthTime.Truncate(time.Second).UTC()) {
		t.Errorf("another session: %+v", claims)
	}
	g.clock.Advance(tokenTTL/2 + time.Minute)
	if p := g.ask("", "Authorization", "Bearer "+cookies["wxbridge_token"]); p.StatusCode != http.StatusOK || len(p.Cookies()) != 0 {
		t.Errorf("Bearer: %d, %d cookies", p.StatusCode, len(p.Cookies()))
	}
}

func TestVerify_ABlockedOrErasedFanIsNotRenewed(t *testing.T) {
	g := newGate(t)
	blocked, erased := g.fan("oBlocked", ""), g.fan("oErased", "")
	_, err := g.store.UpdateFan(t.Context(), blocked.ID, func(f *db.Fan) error { f.Status = db.StatusBlocked; return nil })
	must(t, err)
	_, err = g.store.EraseFan(t.Context(), erased.ID, g.clock.Now(), g.clock.Now())
	must(t, err)
	tokens := []string{g.access(g.claims(blocked, "oBlocked")), g.access(g.claims(erased, "oErased"))}
	g.clock.Advance(tokenTTL/2 + time.Minute)
	expectRefused(t, g.ask("", "Cookie", "wxbridge_token="+tokens[0]), http.StatusForbidden, "access_denied")
	expectRefused(t, g.ask("", "Cookie", "wxbridge_token="+tokens[1]), http.StatusUnauthorized, "invalid_token")
}

func TestFWD09_WithoutTheStore(t *testing.T) {
	g := newGate(t)
	fan := g.fan("oAlice", "Alice")
	cookie := "wxbridge_token=" + g.access(g.claims(fan, "oAlice")) + "; wxbridge_id=" + g.id(fan.ID, "Alice")
	must(t, g.store.Close())
	for _, age := range []time.Duration{0, tokenTTL/2 + time.Minute} {
		g.clock.Advance(age)
		p := g.ask("", "Cookie", cookie)
		if p.StatusCode != http.StatusOK || p.Header.Get("Remote-Name") != "Alice" || len(p.Cookies()) != 0 {
			t.Errorf("at age %v: %d, %v", age, p.StatusCode, p.Header)
		}
	}
	expectRefused(t, g.ask("", "Cookie", "wxbridge_token=a.b.c"), http.StatusUnauthorized, "invalid_token")
	if !strings.Contains(g.log.String(), "could not be renewed") {
		t.Error("the log does not say that renewal was skipped")
	}
}

func TestFWD01_APanicIsNoPass(t *testing.T) {
	g := newGate(t)
	token := g.access(g.claims(g.fan("oAlice", ""), "oAlice"))
	intact := true
	verifier, err := jwtauth.NewVerifier(g.cfg.Keys, jwtauth.Config{Issuer: g.public, Audience: g.public + "/api", Now: g.clock.Now,
		CacheBytes: 1 << 20, Revoked: func(jwtauth.Claims) bool {
			if intact {
				return false
			}
			panic("revocations are broken")
		}})
	must(t, err)
	cfg := g.cfg
	cfg.Verifier, cfg.Issuer = verifier, g.issuer
	broken, err := handlers.New(cfg)
	must(t, err)
	if answer := serve(broken, "/auth/verify", "Bearer "+token); answer.Code != http.StatusOK {
		t.Fatalf("before: %d", answer.Code)
	}
	intact = false
	for _, token := range []string{token, g.access(g.claims(g.fan("oBob", ""), "oBob"))} { // one that is known, one that is not
		if answer := serve(broken, "/auth/verify", "Bearer "+token); answer.Code != http.StatusInternalServerError || answer.Header().Get("Remote-User") != "" {
			t.Errorf("%d %v", answer.Code, answer.Header())
		}
		request := httptest.NewRequest(http.MethodGet, "/auth/verify", nil)
		request.Header.Set("Authorization", "Bearer "+token)
		if response, ok := broken.ForwardAuth().Answer(nil, request); ok {
			t.Errorf("before the HTTP server: %s", response)
		}
	}
}

// A good token takes a short cut, which HEAD does not. Nobody can tell.
func TestVerify_TheShortCutLeadsToTheSamePlace(t *testing.T) {
	g := newGate(t)
	fan := g.fan("oAlice", "爱丽丝")
	claims := g.claims(fan, "oAlice")
	claims.Role = "editor"
	for _, row := range []struct{ name, query, header, value string }{
		{"Bearer", "", "Authorization", "Bearer " + g.access(claims)},
		{"cookie", "?redirect=1&role=editor", "Cookie", "wxbridge_token=" + g.access(claims)},
		{"both cookies", "?provider=official_account", "Cookie", "wxbridge_token=" + g.access(claims) + "; wxbridge_id=" + g.id(fan.ID, "爱丽丝")},
	} {
		t.Run(row.name, func(t *testing.T) {
			hits, shortcuts := g.verifier.CacheStats().Hits, g.shortcuts.Load()
			var answers [4]page // of the route, and of the two ways round it
			var lines [4]map[string]any
			g.ask("", "Connection", "close") // the next has a connection of its own
			for i := range answers {
				before := len(g.log.String())
				method := "GET"
				if i == 0 {
					method = "HEAD"
				}
				if answers[i] = g.askBy(method, row.query, row.header, row.value); i == 1 {
					http.DefaultClient.CloseIdleConnections()
				}
				answers[i].Header.Del("Date")
				answers[i].Header.Del("Content-Length") // net/http knows none of HEAD
				must(t, json.Unmarshal([]byte(g.log.String()[before:]), &lines[i]))
				if lines[i]["method"] != method {
					t.Errorf("logged as %v", lines[i]["method"])
				}
				for _, differs := range []string{"time", "request_id", "duration_us", "method"} {
					if lines[i][differs] == nil {
						t.Errorf("the log line has no %s: %v", differs, lines[i])
					}
					delete(lines[i], differs)
				}
			}
			if got, direct := g.verifier.CacheStats().Hits-hits, g.shortcuts.Load()-shortcuts; got != 3 || direct == 0 || direct == 3 {
				t.Fatalf("%d of 4 from memory, %d before the HTTP server saw them", got, direct)
			}
			for i := 1; i < len(answers); i++ {
				if answers[i].StatusCode != 200 || !reflect.DeepEqual(answers[i].Header, answers[0].Header) || answers[i].body != answers[0].body {
					t.Errorf("%d %v\nfirst %d %v", answers[i].StatusCode, answers[i].Header, answers[0].StatusCode, answers[0].Header)
				}
				if !reflect.DeepEqual(lines[i], lines[0]) {
					t.Errorf("logged %v\nfirst  %v", lines[i], lines[0])
				}
			}
		})
	}
	token := g.access(claims)
	for _, want := range []int{200, 200, 401} {
		if want == 401 {
			g.cfg.Revocations.RevokeSession(claims.SessionID, g.clock.Now().Add(tokenTTL))
		}
		if p := g.ask("", "Authorization", "Bearer "+token); p.StatusCode != want {
			t.Errorf("%d, want %d", p.StatusCode, want)
		}
	}
	for name, query := range map[string]string{"an unknown parameter": "?x", "a role not held": "?role=admin"} {
		known := g.access(g.claims(fan, "oAlice"))
		g.ask("", "Authorization", "Bearer "+known)
		if p := g.ask(query, "Authorization", "Bearer "+known); p.StatusCode < 400 {
			t.Errorf("%s passes with a known token", name)
		}
	}
}

// The connections that a proxy keeps carry all that the bridge is asked for.
func TestVerify_TheShortCutIsTakenAmongOtherRequests(t *testing.T) {
	g := newGate(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	must(t, err)
	defer conn.Close()
	in := bufio.NewReader(conn)
	type question struct {
		request string
		want    int
	}
	for _, row := range []question{
		{"POST /miniprogram/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", 400},
		{"POST /logout HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 204},
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200},
		{"GET /auth/verify HTTP/1.1\r\nHost: a\r\n\r\n", 401},
	} {
		token := g.access(g.claims(g.fan("oAlice", "爱丽丝"), "oAlice"))
		good := question{"GET /auth/verify HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + token + "\r\n\r\n", 200}
		before := g.shortcuts.Load()
		for n := 0; n < 200 && g.shortcuts.Load() == before; n++ { // a question that the server is not ready for yet goes the longer way
			each := good
			if n == 0 {
				each = row
			}
			_, err := io.WriteString(conn, each.request)
			must(t, err)
			res, err := http.ReadResponse(in, nil)
			must(t, err)
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != each.want {
				t.Fatalf("%.40q: %d (%v), want %d", each.request, res.StatusCode, err, each.want)
			}
		}
		if g.shortcuts.Load() == before {
			t.Errorf("after %.40q the short cut is not taken", row.request)
		}
	}
}

func TestVerify_OneHostWithoutACookieDomain(t *testing.T) {
	g := newGate(t, func(c *handlers.Config) { c.CookieDomain = "" })
	for host, want := range map[string]bool{"login.example.com": true, "app.example.com": false} {
		p := g.browser("").get("/auth/verify?redirect=1", "Sec-Fetch-Mode", "navigate", "X-Forwarded-Proto", "https",
			"X-Forwarded-Host", host, "X-Forwarded-Uri", "/")
		if redirected := p.StatusCode == http.StatusFound; redirected != want {
			t.Errorf("%s: %d", host, p.StatusCode)
		}
	}
	fan := g.fan("oAlice", "Alice")
	p := g.ask("", "Cookie", "__Host-wxbridge_token="+g.access(g.claims(fan, "oAlice"))+"; __Host-wxbridge_id="+g.id(fan.ID, "Alice"))
	if p.StatusCode != http.StatusOK || p.Header.Get("Remote-Name") != "Alice" {
		t.Errorf("__Host- cookies: %d %v", p.StatusCode, p.Header)
	}
}

// A stranger opens a page behind the proxy, logs in with the simulator, and gets it.
func TestVerify_TheWholeWay(t *testing.T) {
	b := newBridge(t, func(c *handlers.Config) { c.TrustedProxies = []string{"127.0.0.1"} })
	w := b.browser("alice")
	host := strings.TrimPrefix(b.url, "http://")
	open := func() page {
		return w.get("/auth/verify?redirect=1", "Sec-Fetch-Mode", "navigate", "X-Forwarded-Proto", "http",
			"X-Forwarded-Host", host, "X-Forwarded-Uri", "/static/style.css?from=proxy")
	}
	w.register()
	w.do("POST", "/logout", "", "Sec-Fetch-Site", "same-origin")
	p := open()
	to, err := p.Location()
	must(t, err)
	end := w.visit(to.String())
	if want := b.url + "/static/style.css?from=proxy"; end.Request.URL.String() != want {
		t.Fatalf("the login ended at %s, want %s", end.Request.URL, want)
	}
	p = open()
	name, err := url.PathUnescape(p.Header.Get("Remote-Name"))
	if p.StatusCode != http.StatusOK || p.Header.Get("Remote-User") != w.mustClaims().Subject || err != nil || name == "" {
		t.Errorf("%d %v", p.StatusCode, p.Header)
	}
}

func serve(h http.Handler, path, authorization string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, path, nil)
	request.Header.Set("Authorization", authorization)
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, request)
	return answer
}
