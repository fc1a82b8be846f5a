package handlers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/jwtauth"
	"wxbridge/wechat"
)

// Browsers keep SameSite=Lax cookies out of another site's POST, and yet honour the Set-Cookie of its answer: an answer that
// clears cookies logs the visitor out for whoever sent the form.
func TestWEB06_AFormOfAnotherSiteLogsNobodyOut(t *testing.T) {
	b := newBridge(t)
	for name, header := range map[string][]string{
		"a form as browsers send it":  {"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
		"a form of a sibling domain":  {"Origin", "https://sub.example.com", "Sec-Fetch-Site", "same-site"},
		"a form of a sandboxed frame": {"Origin", "null", "Sec-Fetch-Site", "cross-site"},
		"an old browser":              {"Origin", "https://evil.example"},
	} {
		t.Run(name, func(t *testing.T) {
			p := b.browser("").do("POST", "/logout", "", append(header, "Accept", "text/html",
				"Content-Type", "application/x-www-form-urlencoded")...)
			if cookies := p.Cookies(); len(cookies) != 0 {
				t.Errorf("%d, and the browser is told to drop %v", p.StatusCode, cookies)
			}
		})
	}
}

// net/http gives no cookies at all of a header that has thousands.
func TestWEB06_ManyCookiesDoNotHideTheSessionFromTheCheck(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	token := w.cookie("wxbridge_token")
	p := b.browser("").do("POST", "/logout", "", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site",
		"Cookie", "wxbridge_token="+token+strings.Repeat("; a=b", 4000))
	if p.StatusCode != http.StatusForbidden {
		t.Errorf("logout with a cookie, from another site: %d", p.StatusCode)
	}
	if p := b.browser("").get("/me", "Authorization", "Bearer "+token); p.StatusCode != http.StatusOK {
		t.Errorf("the session was revoked: %d", p.StatusCode)
	}
}

// Whoever holds a cookie token must not be able to keep it alive past the session's life.
func TestTOK10_ARequestWithoutTheIDTokenDoesNotProlongTheSession(t *testing.T) {
	const life = 3 * time.Hour
	for _, path := range []string{"/", "/login?return_to=/shop", "/me"} {
		t.Run(path, func(t *testing.T) {
			b := newBridge(t, func(c *handlers.Config) { c.SessionTTL = life })
			w := b.browser("alice")
			w.register()
			login, token := w.mustClaims(), w.cookie("wxbridge_token")
			for range 12 { // 10 hours
				b.clock.Advance(50 * time.Minute)
				p := b.browser("").get(path, "Cookie", "wxbridge_token="+token)
				for _, cookie := range p.Cookies() {
					if cookie.Name == "wxbridge_token" && cookie.MaxAge > 0 {
						token = cookie.Value
					}
				}
			}
			claims, err := b.verifier.Verify(t.Context(), token)
			if err == nil {
				t.Errorf("%v after the login the token is good, issued %v after it", b.clock.Now().Sub(login.AuthTime).Round(time.Minute),
					claims.IssuedAt.Sub(login.AuthTime))
			}
		})
	}
}

// hookedStore calls a function once after it has read a fan.
type hookedStore struct {
	db.Store
	hook atomic.Pointer[func()]
}

func (s *hookedStore) Fan(ctx context.Context, id string) (db.Fan, error) {
	fan, err := s.Store.Fan(ctx, id)
	if hook := s.hook.Swap(nil); hook != nil {
		(*hook)()
	}
	return fan, err
}

func TestTOK10_ARenewalThatCrossesTheErasingGivesNoGoodToken(t *testing.T) {
	for _, path := range []string{"/", "/login?return_to=/shop", "/me"} {
		t.Run(path, func(t *testing.T) {
			var store *hookedStore
			b := newBridge(t, func(c *handlers.Config) {
				store = &hookedStore{Store: c.Store}
				c.Store = store
			})
			w := b.browser("alice")
			w.register()
			token := w.cookie("wxbridge_token")
			b.clock.Advance(tokenTTL/2 + time.Minute)
			erase := func() {
				if p := b.browser("").do("DELETE", "/me", "", "Authorization", "Bearer "+token); p.StatusCode != http.StatusNoContent {
					t.Errorf("erase: %d", p.StatusCode)
				}
			}
			store.hook.Store(&erase)
			w.get(path)
			if store.hook.Load() != nil {
				t.Fatal("the fan was not read, so this shows nothing")
			}
			if claims, ok := w.claims(); ok {
				t.Errorf("a token of the erased fan is good until %v", claims.ExpiresAt)
			}
		})
	}
}

// What a terminal acts on is not only ESC: U+009B starts a control sequence too, and U+202E turns the rest of the line round.
func TestLOG02_NoControlOrBidiCharacterReachesTheLog(t *testing.T) {
	b := newBridge(t)
	for name, text := range map[string]string{
		"ESC": "\x1b[31m", "CR LF": "\r\n", "NUL": "\x00", "DEL": "\x7f", "U+0085 next line": "\u0085", "U+009B CSI": "\u009b31m",
		"U+009D OSC": "\u009d0;title\u009c", "U+2028": "\u2028", "U+2029": "\u2029", "U+202E": "\u202egpj.exe", "U+2066": "\u2066x\u2069",
		"U+200F": "\u200f", "U+FEFF": "\ufeff",
	} {
		t.Run(name, func(t *testing.T) {
			before := len(b.log.String())
			p := b.browser("").get("/login?return_to=" + url.QueryEscape("https://evil.example/"+text))
			line := b.log.String()[before:]
			if p.StatusCode != http.StatusBadRequest || !strings.Contains(line, "return_to.refused") {
				t.Fatalf("%d, logged %q", p.StatusCode, line)
			}
			for _, r := range strings.ReplaceAll(line, "\n", "") {
				if r < 0x20 || r >= 0x7f && r <= 0x9f || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff {
					t.Errorf("%U is in the log as it is: %q", r, line)
				}
			}
		})
	}
}

func TestWEB04_ABadCookieIsNoSessionOnPagesEither(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	good, id := w.cookie("wxbridge_token"), w.cookie("wxbridge_id")
	signedIn := func(cookie string) (pages []string) {
		if p := b.browser("").get("/", "Cookie", cookie); strings.Contains(p.body, `name="form_token"`) {
			pages = append(pages, "/")
		}
		if p := b.browser("").get("/login?return_to=/shop", "Cookie", cookie); p.Header.Get("Location") == "/shop" {
			pages = append(pages, "/login")
		}
		if p := b.browser("").get("/me", "Cookie", cookie); p.StatusCode != http.StatusUnauthorized {
			pages = append(pages, "/me")
		}
		return pages
	}
	if got := signedIn("wxbridge_token=" + good); len(got) != 3 {
		t.Fatalf("a good cookie is taken by %v only", got)
	}
	for name, cookie := range map[string]string{
		"no value":                   "wxbridge_token",
		"empty":                      "wxbridge_token=",
		"a quote":                    `wxbridge_token="`,
		"in quotes":                  `wxbridge_token="` + good + `"`,
		"twice":                      "wxbridge_token=" + good + "; wxbridge_token=" + good,
		"twice, the first empty":     "wxbridge_token=; wxbridge_token=" + good,
		"twice, the first malformed": `wxbridge_token=a"b; wxbridge_token=` + good,
		"twice, the last malformed":  "wxbridge_token=" + good + `; wxbridge_token=a\b`,
		"twice, one without a value": "wxbridge_token; wxbridge_token=" + good,
		"60 KB":                      "wxbridge_token=" + strings.Repeat("A", 60<<10)[:50<<10],
		"another case of the name":   "WXBRIDGE_TOKEN=" + good,
		"with the prefix of https":   "__Host-wxbridge_token=" + good,
		"TOK-06 the ID token":        "wxbridge_token=" + id,
		"TOK-06 the ID token alone":  "wxbridge_id=" + id,
		"a blank inside":             "wxbridge_token=" + good[:20] + " " + good[20:],
	} {
		t.Run(name, func(t *testing.T) {
			if got := signedIn(cookie); len(got) != 0 {
				t.Errorf("taken by %v", got)
			}
		})
	}
}

// slowWeChat answers every call after a while: it refuses codes that begin with "bad" and gives a profile for others.
type slowWeChat struct {
	base  *url.URL
	delay atomic.Int64  // nanoseconds
	asked chan struct{} // closed at the first call
}

func startSlowWeChat(t *testing.T) *slowWeChat {
	s := &slowWeChat{asked: make(chan struct{})}
	tell := sync.OnceFunc(func() { close(s.asked) })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tell()
		select {
		case <-time.After(time.Duration(s.delay.Load())):
		case <-r.Context().Done():
			return
		}
		switch {
		case strings.HasPrefix(r.URL.Query().Get("code"), "bad"):
			fmt.Fprint(w, `{"errcode":40029,"errmsg":"invalid code"}`)
		case r.URL.Path == "/sns/userinfo":
			fmt.Fprint(w, `{"openid":"o-slow","nickname":"slow","headimgurl":""}`)
		default:
			fmt.Fprint(w, `{"access_token":"at","expires_in":7200,"refresh_token":"rt","openid":"o-slow","scope":"snsapi_userinfo"}`)
		}
	}))
	t.Cleanup(server.Close)
	s.base = mustURL(t, server.URL)
	return s
}

// configure makes a bridge ask it, with the time limits of production.
func (s *slowWeChat) configure(t *testing.T) func(*handlers.Config) {
	client, err := wechat.NewOfficial(&wechat.API{BaseURL: s.base, OpenURL: s.base}, wechat.App{ID: "wx0123456789abcdef", Secret: "secret"},
		wechat.OfficialOptions{})
	must(t, err)
	return func(c *handlers.Config) {
		c.OfficialAccounts = []handlers.OfficialAccount{{Alias: handlers.DefaultApp, OpenAccount: "default", Client: client}}
	}
}

// stateOf starts a login and gives its state.
func (w *browser) stateOf(login string) string {
	w.t.Helper()
	to, err := w.get(login).Location()
	must(w.t, err)
	return to.Query().Get("state")
}

// The cookies that a login sets, not only those that a logout clears: behind https, and with a domain.
func TestWEB01_TheCookiesOfALogin(t *testing.T) {
	for name, row := range map[string]struct {
		public, domain, token, id string
		secure                    bool
	}{
		"https":               {"https://login.example.com", "", "__Host-wxbridge_token", "__Host-wxbridge_id", true},
		"https with a domain": {"https://login.example.com", "example.com", "wxbridge_token", "wxbridge_id", true},
		"http on loopback":    {"", "", "wxbridge_token", "wxbridge_id", false},
	} {
		t.Run(name, func(t *testing.T) {
			stand := startSlowWeChat(t)
			b := newBridge(t, stand.configure(t), func(c *handlers.Config) {
				if row.public != "" {
					c.PublicURL = mustURL(t, row.public)
				}
				c.CookieDomain = row.domain
			})
			start := b.browser("").get("/login?scope=userinfo")
			if len(start.Cookies()) != 1 {
				t.Fatalf("a login starts with the cookies %v", start.Cookies())
			}
			to, err := start.Location()
			must(t, err)
			flow := start.Cookies()[0]
			// Not from a jar: it would keep Secure cookies from this test's plain http.
			p := b.browser("").get("/callback/official-account?code=good&state="+to.Query().Get("state"), "Cookie", flow.Name+"="+flow.Value)
			set := map[string]*http.Cookie{}
			for _, cookie := range p.Cookies() {
				if set[cookie.Name] != nil {
					t.Errorf("%s is set twice", cookie.Name)
				}
				set[cookie.Name] = cookie
			}
			for name, httpOnly := range map[string]bool{row.token: true, row.id: false, flow.Name: true} {
				c := set[name]
				if c == nil {
					t.Errorf("%d sets no cookie %s: %v", p.StatusCode, name, p.Cookies())
					continue
				}
				domain := row.domain
				if name == flow.Name {
					domain = ""
				}
				life := int(tokenTTL / time.Second)
				if name == flow.Name {
					life = 600 // WEB-02
				}
				if c.HttpOnly != httpOnly || c.Secure != row.secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" ||
					c.Domain != domain || c.MaxAge <= 0 || c.MaxAge > life || len(c.Raw) > 4000 { // WEB-05
					t.Errorf("%s", c.Raw)
				}
			}
			if len(set) != 3 {
				t.Errorf("%d cookies are set: %v", len(set), p.Cookies())
			}
		})
	}
}

func TestREL12_CodesThatWaitForOneAnotherEndWithinTenSeconds(t *testing.T) {
	t.Parallel()
	slow := startSlowWeChat(t)
	slow.delay.Store(int64(3600 * time.Millisecond))
	b := newBridge(t, slow.configure(t))
	w := b.browser("")
	state := w.stateOf("/login?scope=userinfo")
	var group sync.WaitGroup
	for i, code := range []string{"bad1", "bad2", "good"} { // WeChat's clients come back with several codes for one state
		if i > 0 {
			<-slow.asked
		}
		group.Go(func() {
			begun := time.Now()
			p := w.get("/callback/official-account?state=" + state + "&code=" + code)
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("code %s: %d after %v", code, p.StatusCode, took.Round(100*time.Millisecond))
			}
		})
	}
	group.Wait()
}

func TestREL12_ASlowProfileOfAKnownFanIsNo5xx(t *testing.T) {
	t.Parallel()
	slow := startSlowWeChat(t)
	b := newBridge(t, slow.configure(t), func(c *handlers.Config) { c.ProfilePolicy.MaxAge = time.Hour })
	w := b.browser("")
	w.get("/callback/official-account?code=first&state=" + w.stateOf("/login?scope=userinfo"))
	w.mustClaims()
	b.clock.Advance(3 * time.Hour)
	slow.delay.Store(int64(3200 * time.Millisecond)) // each call is within its limit, all three are not
	w = b.browser("")
	begun := time.Now()
	p := w.get("/callback/official-account?code=second&state=" + w.stateOf("/login"))
	if took := time.Since(begun); p.StatusCode >= 500 || took > 10*time.Second {
		t.Errorf("%d after %v: %s", p.StatusCode, took.Round(100*time.Millisecond), p.body)
	}
}

func TestREL15_ABackwardJumpOfTheClockRevivesNothingAndStopsNothing(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	jumps := []time.Duration{-time.Hour, time.Hour} // and time catches up again
	logout := func(token string) {
		if p := b.browser("").do("POST", "/logout", "", "Authorization", "Bearer "+token); p.StatusCode != http.StatusNoContent {
			t.Fatalf("logout: %d", p.StatusCode)
		}
	}
	t.Run("a spent code of the mini program", func(t *testing.T) {
		body := fmt.Sprintf(`{"code":%q}`, b.jsCode("bob"))
		login := func() page {
			return b.browser("").do("POST", "/miniprogram/login", body, "Content-Type", "application/json")
		}
		if p := login(); p.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", p.StatusCode, p.body)
		}
		for _, jump := range jumps {
			b.clock.Advance(jump)
			if p := login(); p.StatusCode != http.StatusBadRequest {
				t.Errorf("after %v: %d %s", jump, p.StatusCode, p.body)
			}
		}
	})
	t.Run("a revoked token", func(t *testing.T) {
		w := b.browser("alice")
		w.visit("/login")
		token := w.cookie("wxbridge_token")
		w.mustClaims()
		logout(token)
		for _, jump := range jumps {
			b.clock.Advance(jump)
			if p := b.browser("").get("/me", "Authorization", "Bearer "+token); p.StatusCode != http.StatusUnauthorized {
				t.Errorf("after %v: %d", jump, p.StatusCode)
			}
		}
	})
	t.Run("a used callback", func(t *testing.T) {
		w := b.browser("alice")
		callback := w.callback("/login")
		w.get(callback)
		w.mustClaims()
		for _, jump := range jumps {
			b.clock.Advance(jump)
			other := b.browser("bob")
			if p := other.get(callback); p.StatusCode != http.StatusFound || other.cookie("wxbridge_token") != "" {
				t.Errorf("after %v: %d", jump, p.StatusCode)
			}
		}
	})
	t.Run("logins go on", func(t *testing.T) {
		for _, jump := range jumps {
			b.clock.Advance(jump)
			w := b.browser("alice")
			w.visit("/login")
			w.mustClaims()
		}
	})
	t.Run("a revocation that was forgotten while the clock was ahead", func(t *testing.T) {
		w, other := b.browser("alice"), b.browser("alice")
		w.visit("/login")
		token := w.cookie("wxbridge_token")
		w.mustClaims()
		logout(token)
		b.clock.Advance(tokenTTL + 5*time.Minute)
		other.visit("/login")
		logout(other.cookie("wxbridge_token")) // adding one drops those that are over
		_, err := b.store.PruneRevocations(t.Context())
		must(t, err)
		b.clock.Advance(-time.Hour)
		if p := b.browser("").get("/me", "Authorization", "Bearer "+token); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("the token of a session that was logged out is good again: %d", p.StatusCode)
		}
	})
}

func TestKEY05_TheJWKSMayBeCachedAsLongAsConfigured(t *testing.T) {
	for _, age := range []time.Duration{time.Minute, 10 * time.Minute, time.Hour} {
		b := newBridge(t, func(c *handlers.Config) { c.JWKSMaxAge = age })
		for _, method := range []string{"GET", "HEAD"} {
			p := b.browser("").do(method, "/.well-known/jwks.json", "")
			if want := fmt.Sprintf("public, max-age=%d", int(age/time.Second)); p.StatusCode != http.StatusOK || p.Header.Get("Cache-Control") != want {
				t.Errorf("%s: %d, Cache-Control %q, want %q", method, p.StatusCode, p.Header.Get("Cache-Control"), want)
			}
		}
	}
}

func TestREL17_AnIdentityThatJoinsAFanByUnionIDIsLogged(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	fan := w.mustClaims().Subject
	before := len(b.log.String())
	p := b.browser("").do("POST", "/miniprogram/login", fmt.Sprintf(`{"code":%q}`, b.jsCode("alice")), "Content-Type", "application/json")
	var answer struct{ Fan struct{ ID string } }
	if err := json.Unmarshal([]byte(p.body), &answer); err != nil || answer.Fan.ID != fan {
		t.Fatalf("the mini program's login is fan %q, want %q: %s", answer.Fan.ID, fan, p.body)
	}
	for line := range strings.Lines(b.log.String()[before:]) {
		var entry struct{ Event, Fan string }
		if json.Unmarshal([]byte(line), &entry) == nil && strings.HasPrefix(entry.Event, "fan.") && entry.Fan == fan {
			return
		}
	}
	t.Errorf("no event tells that an identity joined the fan:\n%s", b.log.String()[before:])
}

func TestSRV03_ATrustedProxyThatIsNoAddressStopsTheStart(t *testing.T) {
	var good handlers.Config
	b := newBridge(t, func(c *handlers.Config) { good = *c })
	issuer, err := jwtauth.NewIssuer(good.Keys, jwtauth.IssuerConfig{Issuer: b.public, Audience: b.public + "/api", ClientID: "wxbridge", TTL: time.Hour})
	must(t, err)
	good.Issuer, good.Verifier = issuer, b.verifier
	if _, err := handlers.New(good); err != nil {
		t.Fatalf("the configuration is wrong anyway: %v", err)
	}
	for name, proxies := range map[string][]string{"words": {"nonsense"}, "a host name": {"proxy.example"}, "a port": {"10.0.0.1:80"},
		"a wildcard": {"*"}, "a cut network": {"10.0.0.0/"}, "a good one beside it": {"10.0.0.1", "x"}} {
		bad := good
		bad.TrustedProxies = proxies
		if _, err := handlers.New(bad); err == nil || !strings.Contains(err.Error(), "prox") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
