package e2e

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

var statePattern = regexp.MustCompile(`^[A-Z2-7]{26}$`)

func TestAStrangerRegistersAndLandsWithBothTokens(t *testing.T) {
	p := startDev(t, nil)
	bob := p.phone("bob")

	tr := bob.open(t, "/login?return_to=%2F%3Ffrom%3Dmenu")
	wantPaths(t, tr, "/login", authorize, callbackPath, "/login/register")
	start := checkStart(t, p, tr[0], "snsapi_base")
	if tr.grants() {
		t.Errorf("a stranger got a token before registering:%v", tr)
	}
	if h := tr[2]; h.status != http.StatusFound || h.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("FLW-11 callback answers %v, Referrer-Policy %q", h, h.header.Get("Referrer-Policy"))
	}
	link, err := registerLink(tr.last())
	if err != nil {
		t.Fatal(err)
	}

	tr = bob.open(t, link)
	wantPaths(t, tr, "/login/official-account", authorize, callbackPath, "/")
	tap := checkStart(t, p, tr[0], "snsapi_userinfo")
	if start == tap {
		t.Error("the tap on the register page reuses the state")
	}
	if got := tr.last().url.RequestURI(); got != "/?from=menu" {
		t.Errorf("landed on %s, want /?from=menu", got)
	}
	landing := tr[2]
	checkTokenCookies(t, landing)
	if got := landing.header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
		t.Errorf("TOK-14 Cache-Control of the callback is %q", got)
	}
	checkTokens(t, p, bob)
}

// checkStart examines the redirect to WeChat and gives its state.
func checkStart(t *testing.T, p *product, h hop, scope string) string {
	t.Helper()
	next := h.next()
	q := next.Query()
	if h.status != http.StatusFound || !strings.HasPrefix(next.String(), p.simulator+authorize+"?") {
		t.Fatalf("%v: not a redirect to the authorize page", h)
	}
	order := regexp.MustCompile(`^appid=[^&]+&redirect_uri=[^&]+&response_type=code&scope=[^&]+&state=[^&]+$`)
	if !order.MatchString(next.RawQuery) || next.Fragment != "wechat_redirect" {
		t.Errorf("WeChat checks the order of %s", next)
	}
	want := url.Values{"appid": {p.official.AppID}, "redirect_uri": {p.bridge + callbackPath}, "response_type": {"code"},
		"scope": {scope}, "state": q["state"]}
	if q.Encode() != want.Encode() {
		t.Errorf("authorize query\n got %s\nwant %s", q.Encode(), want.Encode())
	}
	state := q.Get("state")
	if !statePattern.MatchString(state) {
		t.Fatalf("FLW-01 state is %q", state)
	}
	c := h.setCookie(flowPrefix + state[:8])
	if c == nil {
		t.Fatalf("FLW-02 no flow cookie for the state: %q", h.header["Set-Cookie"])
	}
	if !c.HttpOnly || c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" ||
		c.MaxAge < 1 || c.MaxAge > 600 {
		t.Errorf("WEB-02 flow cookie attributes: %s", c)
	}
	if strings.Contains(c.Value, state) {
		t.Error("the flow cookie shows its state")
	}
	return state
}

func checkTokenCookies(t *testing.T, landing hop) {
	t.Helper()
	for name, httpOnly := range map[string]bool{tokenCookie: true, idCookie: false} {
		c := landing.setCookie(name)
		if c == nil {
			t.Fatalf("%v: sets no %s", landing, name)
		}
		if c.HttpOnly != httpOnly || c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("WEB-01 %s: attributes of %s", name, strings.Replace(c.String(), c.Value, "…", 1))
		}
		if n := len(c.String()); n > 4000 {
			t.Errorf("WEB-05 %s: Set-Cookie of %d bytes", name, n)
		}
	}
}

func checkTokens(t *testing.T, p *product, ph *phone) {
	t.Helper()
	s := ph.session()
	access, id := p.access(t, s.access), p.identity(t, s.id)
	known := p.account(t, ph.person, "official_account")
	wantKeys(t, "TOK-07 access token", access, []string{"iss", "sub", "aud", "client_id", "exp", "iat", "jti", "sid",
		"auth_time", "provider", "appid", "openid", "unionid"})
	wantKeys(t, "ID token", id, []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nickname", "picture"})
	for name, want := range map[string]any{"client_id": "wxbridge", "aud": p.bridge + "/api", "provider": "official_account",
		"appid": known.AppID, "openid": known.OpenID, "unionid": known.UnionID} {
		if access[name] != want {
			t.Errorf("access token says %s %v, want %v", name, access[name], want)
		}
	}
	if life := numericDate(t, access, "exp").Sub(numericDate(t, access, "iat")); life != 2*time.Hour {
		t.Errorf("TOK-10 an access token lives %v, want 2 h", life)
	}
	if access["sub"] != id["sub"] {
		t.Errorf("tokens of two people: %v and %v", access["sub"], id["sub"])
	}
	me := decode(t, p.api(t, http.MethodGet, "/me", s.access, ""))
	if me["id"] != access["sub"] || me["nickname"] != id["nickname"] || me["avatar_url"] != id["picture"] ||
		me["nickname"] == "" || me["registered"] != true {
		t.Errorf("/me says %v, the ID token %v", me, id)
	}
}

func TestASecondVisitLandsWithoutAPage(t *testing.T) {
	p := startDev(t, nil)
	alice := p.phone("alice")
	first := alice.login(t)
	alice.forgetSession()

	var tr trail
	exchanges := p.called(t, pathAccessToken, func() { tr = alice.open(t, "/login?return_to=%2F%3Fsecond") })
	wantPaths(t, tr, "/login", authorize, callbackPath, "/")
	for _, h := range tr[:3] {
		if h.status != http.StatusFound {
			t.Errorf("%v: a page was seen", h)
		}
	}
	second := alice.session()
	if subject(second.access) != subject(first.access) || second.access == first.access {
		t.Error("FLW-10 the second visit wants another token of the same fan")
	}
	if exchanges != 1 {
		t.Errorf("%d exchanges for one visit, want 1", exchanges)
	}
	if payload(t, first.access)["sid"] == payload(t, second.access)["sid"] {
		t.Error("two logins share a sid")
	}
}

func TestAlreadyLoggedIn(t *testing.T) {
	p := startDev(t, nil)
	bob := p.phone("bob")
	session := bob.login(t)
	guestToken := p.miniToken(t, "bob")

	for _, c := range []struct {
		name, path string
		change     func(*phone)
		silent     bool // straight to return_to
	}{
		{"a valid token goes straight on", "/login?return_to=%2Fx", nil, true},
		{"named provider too", "/login/official-account?return_to=%2Fx", nil, true},
		{"userinfo was granted before", "/login?scope=userinfo&return_to=%2Fx", nil, true},
		{"prompt=login asks again", "/login?prompt=login&return_to=%2Fx", nil, false},
		{"TOK-06 an ID token is no credential", "/login?return_to=%2Fx",
			func(ph *phone) { ph.setCookie(tokenCookie, session.id) }, false},
		{"a tampered token is none", "/login?return_to=%2Fx",
			func(ph *phone) { ph.setCookie(tokenCookie, session.access[:len(session.access)-8]+"AAAAAAAA") }, false},
		{"a mini program's token is of another provider", "/login?return_to=%2Fx",
			func(ph *phone) { ph.setCookie(tokenCookie, guestToken) }, false},
		{"FLW-10 a planted value is replaced", "/login?return_to=%2Fx",
			func(ph *phone) { ph.setCookie(tokenCookie, "planted") }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			visitor := bob.twin()
			if c.change != nil {
				c.change(visitor)
			}
			before := visitor.session().access
			tr := visitor.open(t, c.path)
			if visited := len(tr.on(authorize)) > 0; visited == c.silent {
				t.Errorf("went to WeChat: %v, want %v:%v", visited, !c.silent, tr)
			}
			if tr.last().url.Path != "/x" {
				t.Errorf("ended at %v, want /x", tr.last())
			}
			if changed := visitor.session().access != before; changed == c.silent {
				t.Errorf("token replaced: %v, want %v", changed, !c.silent)
			}
		})
	}
	t.Run("a revoked token is none", func(t *testing.T) {
		visitor := bob.twin()
		p.api(t, http.MethodPost, "/logout", session.access, "")
		if tr := visitor.open(t, "/login?return_to=%2Fx"); len(tr.on(authorize)) == 0 {
			t.Errorf("a revoked token counts as logged in:%v", tr)
		}
	})
}

func TestScopeAndAppParameters(t *testing.T) {
	p := startDev(t, nil)
	for path, status := range map[string]int{
		"/login?scope=base":                        http.StatusFound,
		"/login?scope=userinfo":                    http.StatusFound,
		"/login?scope=snsapi_userinfo":             http.StatusBadRequest,
		"/login?scope=":                            0,
		"/login?app=wx0000000000000000":            http.StatusBadRequest,
		"/login?app=" + p.mini.AppID:               http.StatusBadRequest,
		"/login/website":                           http.StatusFound,
		"/login/wecom":                             http.StatusFound,
		"/login/wecom?app=" + p.mini.AppID:         http.StatusBadRequest,
		"/login/official-account?scope=userinfo":   http.StatusFound,
		"/login?scope=base&scope=userinfo":         http.StatusBadRequest,
		"/login?prompt=login&prompt=login":         http.StatusBadRequest,
		"/login?return_to=%2F&return_to=%2F":       http.StatusBadRequest,
		"/login/official-account?app=" + "x%00y":   http.StatusBadRequest,
		"/login?scope=" + strings.Repeat("a", 5e3): http.StatusBadRequest,
	} {
		h := p.phone("bob").once(t, path)
		if h.status != status && status != 0 || h.status >= 500 {
			t.Errorf("%.80s answers %d, want %d", path, h.status, status)
		}
	}
	if q := p.phone("bob").once(t, "/login?scope=userinfo").next().Query(); q.Get("scope") != "snsapi_userinfo" {
		t.Errorf("scope=userinfo asks WeChat for %q", q.Get("scope"))
	}
}

func TestWhereToOpenTheLink(t *testing.T) {
	p := startDev(t, nil)
	t.Run("a desktop browser gets WeChat's page for websites", func(t *testing.T) {
		desktop := p.phone("bob")
		desktop.setCookie("simulator_browser", "desktop")
		if to := desktop.once(t, "/login?return_to=%2Fx").header.Get("Location"); to != "/login/website?return_to=%2Fx" {
			t.Errorf("/login leads to %q", to)
		}
	})
	t.Run("or a page to scan, as configured", func(t *testing.T) {
		p := startDev(t, nil, scanOnDesktops)
		desktop := p.phone("bob")
		desktop.setCookie("simulator_browser", "desktop")
		if to := desktop.once(t, "/login?return_to=%2Fx").header.Get("Location"); to != "/login/scan?return_to=%2Fx" {
			t.Errorf("/login leads to %q", to)
		}
		h := desktop.once(t, "/login/scan?return_to=%2Fx")
		if h.status != http.StatusOK || !strings.Contains(string(h.body), "<svg") || !strings.Contains(h.header.Get("Set-Cookie"), flowPrefix) {
			t.Errorf("%v: want a page with a QR code", h)
		}
	})
	t.Run("or one with the login address, as configured", func(t *testing.T) {
		p := startDev(t, nil, "WXBRIDGE_DESKTOP_LOGIN=qrcode")
		desktop := p.phone("bob")
		desktop.setCookie("simulator_browser", "desktop")
		h := desktop.once(t, "/login?return_to=%2Fx")
		if h.status != http.StatusOK || !strings.Contains(string(h.body), "<svg") || strings.Contains(h.header.Get("Set-Cookie"), flowPrefix) {
			t.Errorf("%v: want a page with a QR code", h)
		}
		if page := string(h.body); !strings.Contains(page, "/login") {
			t.Errorf("the page does not show the login address: %s", page)
		}
	})
	t.Run("WeCom's browser gets WeCom's page", func(t *testing.T) {
		member := p.phone("wei")
		member.header.Set("User-Agent", wechatAgent+" wxwork/4.1.22 MicroMessenger/7.0.1")
		to := member.once(t, "/login").next()
		if q := to.Query(); to.Path != "/connect/oauth2/authorize" || !strings.HasPrefix(q.Get("appid"), "ww") {
			t.Errorf("/login leads to %s", to)
		}
	})
	t.Run("serve tells browsers apart by User-Agent alone", func(t *testing.T) {
		p := startServe(t, nil, "WXBRIDGE_DATABASE=sqlite://"+t.TempDir()+"/w.db")
		desktop := p.phone("bob")
		desktop.header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36")
		if h := desktop.once(t, "/login"); h.header.Get("Location") != "/login/website?return_to=%2F" {
			t.Errorf("desktop: %v: want the website login", h)
		}
		spoof := p.phone("bob")
		spoof.setCookie("simulator_browser", "desktop")
		if h := spoof.once(t, "/login"); h.status != http.StatusFound {
			t.Errorf("REL-18 the simulator's cookie works in serve: %v", h)
		}
		if h := p.get(t, "/_simulator/people"); h.status != http.StatusNotFound {
			t.Errorf("REL-18 /_simulator/people on serve: %v", h)
		}
	})
}

func TestRET10_AddressesComeFromThePublicURL(t *testing.T) {
	p := startDev(t, nil)
	ph := p.phone("bob")
	ph.header.Set("X-Forwarded-Host", "evil.example")
	ph.header.Set("X-Forwarded-Proto", "https")
	ph.header.Set("Forwarded", "host=evil.example;proto=https")
	checkStart(t, p, ph.once(t, "/login"), "snsapi_base")

	req, err := http.NewRequest(http.MethodGet, p.bridge+"/login", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	res, err := p.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if location := res.Header.Get("Location"); strings.Contains(location, "evil") {
		t.Errorf("Host decides the callback: %s", location)
	}
	tr := ph.open(t, "/login?return_to=%2Fx")
	if strings.Contains(tr.String(), "evil") {
		t.Errorf("a header decides an address:%v", tr)
	}
}

func wantPaths(t testing.TB, tr trail, paths ...string) {
	t.Helper()
	if len(tr) != len(paths) {
		t.Fatalf("walked %d hops, want %q:%v", len(tr), paths, tr)
	}
	for i, h := range tr {
		if h.url.Path != paths[i] {
			t.Fatalf("hop %d is %s, want %s:%v", i, h.url.Path, paths[i], tr)
		}
	}
}

func isHTML(h hop) bool { return strings.HasPrefix(h.header.Get("Content-Type"), "text/html") }
