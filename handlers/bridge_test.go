package handlers_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/internal/keyring"
	"wxbridge/internal/lazyconn"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
	"wxbridge/templates"
	"wxbridge/wechat"
	"wxbridge/wechat/simulator"
)

const (
	sessionTTL = 30 * 24 * time.Hour
	tokenTTL   = 2 * time.Hour
)

// bridge is a whole server over real HTTP: the real handlers, a real SQLite file and the real simulator.
type bridge struct {
	t        testing.TB
	url      string
	public   string // what the bridge takes for its own address
	sim      *simulator.Server
	simURL   string
	official simulator.App
	second   simulator.App // another official account, of no open account
	mini     simulator.App
	mini2    simulator.App // another mini program, which no bridge of these tests serves unless it says so
	site     simulator.App // a website app
	corp     simulator.App // a WeCom app, which the bridge knows if it is an office
	office   bool
	store    db.Store
	path     string // of the store's file
	verifier *jwtauth.Verifier
	clock    *clock
	log      *lockedBuffer
	handler  *handlers.Server
	cfg      handlers.Config // of handler
	ring     *keyring.Keyring

	callTimeout time.Duration // of a call upstream; 0: what it is by itself

	shortcuts atomic.Int64 // answers of /auth/verify that the HTTP server never saw
}

// countedShortcut counts its answers.
type countedShortcut struct {
	handlers.ForwardAuth
	answers *atomic.Int64
}

func (c countedShortcut) Answer(response []byte, r *http.Request) ([]byte, bool) {
	response, ok := c.ForwardAuth.Answer(response, r)
	if ok {
		c.answers.Add(1)
	}
	return response, ok
}

// clock is a clock that tests move. It starts at the real time, which cookie jars look at.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newBridge starts a bridge. change may alter its configuration before that.
func newBridge(t testing.TB, change ...func(*handlers.Config)) *bridge {
	t.Helper()
	return newBridgeWithEvents(t, "", append([]func(*handlers.Config){withoutWebsites}, change...)...)
}

// withoutWebsites takes the website app away: with one, /login leads a desktop to it.
func withoutWebsites(c *handlers.Config) { c.Websites = nil }

// newWebsiteBridge is newBridge with a website app too.
func newWebsiteBridge(t testing.TB, change ...func(*handlers.Config)) *bridge {
	t.Helper()
	return newBridgeWithEvents(t, "", change...)
}

// newBridgeWithEvents is newWebsiteBridge with an address to which the simulator pushes events.
func newBridgeWithEvents(t testing.TB, eventsURL string, change ...func(*handlers.Config)) *bridge {
	t.Helper()
	return startBridge(t, &bridge{t: t, clock: &clock{}, log: &lockedBuffer{}}, eventsURL, change)
}

func startBridge(t testing.TB, b *bridge, eventsURL string, change []func(*handlers.Config)) *bridge {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	b.url = "http://" + server.Listener.Addr().String()
	b.startSimulator(eventsURL)

	public, err := url.Parse(b.url)
	must(t, err)
	ctx := context.Background()
	b.path = filepath.Join(t.TempDir(), "wxbridge.db")
	b.store, err = db.Open(ctx, "sqlite://"+b.path, b.clock.Now)
	must(t, err)
	t.Cleanup(func() { _ = b.store.Close() })
	box, err := seal.New([]byte(strings.Repeat("0123456789abcdef", 2)))
	must(t, err)
	b.ring, err = keyring.Open(ctx, b.store, box, keyring.Options{TokenTTL: tokenTTL, JWKSMaxAge: 10 * time.Minute, Now: b.clock.Now})
	must(t, err)
	keys := b.ring.Keys()
	pages, err := templates.New()
	must(t, err)

	cfg := handlers.Config{
		PublicURL: public, ReturnOrigins: []string{"https://h5.example.com"},
		TokenTTL: tokenTTL, SessionTTL: sessionTTL, JWKSMaxAge: 10 * time.Minute,
		OfficialAccounts: []handlers.OfficialAccount{b.officialAccount(handlers.DefaultApp, b.official)},
		MiniPrograms:     []handlers.MiniProgram{b.miniProgram(handlers.DefaultApp, b.mini)},
		Websites:         []handlers.Website{b.website(handlers.DefaultApp, b.site)},
		Store:            b.store, Keys: keys, Revocations: jwtauth.NewRevocationSet(b.clock.Now),
		Box: box, Pages: pages, Logger: slog.New(slog.NewJSONHandler(b.log, nil)), Now: b.clock.Now, Dev: true,
	}
	if b.office {
		cfg.WeCom = []handlers.WeComApp{b.wecomApp(handlers.DefaultApp, b.corp)}
	}
	second := b.officialAccount("second", b.second)
	second.OpenAccount = "other"
	cfg.OfficialAccounts = append(cfg.OfficialAccounts, second)
	for _, c := range change {
		c(&cfg)
	}
	if cfg.JWKSMaxAge == 10*time.Minute { // as the keyring was told
		cfg.JWKSFresh = b.ring.JWKSMaxAge
	}
	b.public = cfg.PublicURL.String()
	cfg.Issuer, err = jwtauth.NewIssuer(keys, jwtauth.IssuerConfig{Issuer: b.public, Audience: b.public + "/api",
		ClientID: "wxbridge", TTL: cfg.TokenTTL, CacheBytes: 1 << 20, Now: b.clock.Now})
	must(t, err)
	b.verifier, err = jwtauth.NewVerifier(keys, jwtauth.Config{Issuer: b.public, Audience: b.public + "/api",
		Now: b.clock.Now, Revoked: cfg.Revocations.Revoked, CacheBytes: 1 << 20})
	must(t, err)
	cfg.Verifier = b.verifier
	b.cfg = cfg
	b.handler, err = handlers.New(cfg)
	must(t, err)
	server.Config.Handler = b.handler
	server.Listener = lazyconn.Wrap(server.Listener, server.Config, countedShortcut{b.handler.ForwardAuth(), &b.shortcuts})
	server.Start()
	t.Cleanup(server.Close)
	return b
}

func (b *bridge) startSimulator(eventsURL string) {
	apps := simulator.DevApps("127.0.0.1")
	b.official, b.mini, b.site, b.second = apps[0], apps[1], apps[2], apps[0]
	b.corp = b.trustedCorps(apps)
	b.second.AppID, b.second.Secret, b.second.OpenAccount = "wx0123456789abcdef", "another-secret", ""
	b.mini2 = b.mini
	b.mini2.AppID, b.mini2.Secret, b.mini2.OpenAccount = "wxfedcba9876543210", "a-third-secret", ""
	if eventsURL != "" {
		apps[0].EventsURL, b.second.EventsURL = eventsURL, eventsURL+"?app=second"
	}
	apps = append(apps, b.second, b.mini2)
	server := httptest.NewUnstartedServer(nil)
	b.simURL = "http://" + server.Listener.Addr().String()
	var err error
	b.sim, err = simulator.New(simulator.Config{Apps: apps, PublicURL: b.simURL, BridgeURL: b.url, Now: b.clock.Now})
	must(b.t, err)
	server.Config.Handler = b.sim
	server.Start()
	b.t.Cleanup(server.Close)
}

func (b *bridge) api() *wechat.API {
	base, err := url.Parse(b.simURL)
	must(b.t, err)
	return &wechat.API{BaseURL: base, OpenURL: base, HTTP: wechat.NewHTTPClient(), Now: b.clock.Now, CallTimeout: b.callTimeout}
}

func (b *bridge) officialAccount(alias string, app simulator.App) handlers.OfficialAccount {
	client, err := wechat.NewOfficial(b.api(), wechat.App{ID: app.AppID, Secret: wechat.Secret(app.Secret)}, wechat.OfficialOptions{})
	must(b.t, err)
	tokens := b.tokens(app)
	return handlers.OfficialAccount{Alias: alias, OpenAccount: "default", Client: client, Tokens: tokens, Tickets: wechat.NewJSAPITickets(tokens)}
}

func (b *bridge) website(alias string, app simulator.App) handlers.Website {
	client, err := wechat.NewWebsite(b.api(), wechat.App{ID: app.AppID, Secret: wechat.Secret(app.Secret)})
	must(b.t, err)
	return handlers.Website{Alias: alias, OpenAccount: "default", Client: client}
}

func (b *bridge) miniProgram(alias string, app simulator.App) handlers.MiniProgram {
	client, err := wechat.NewMiniProgram(b.api(), wechat.App{ID: app.AppID, Secret: wechat.Secret(app.Secret)})
	must(b.t, err)
	return handlers.MiniProgram{Alias: alias, OpenAccount: "default", Client: client, Tokens: b.tokens(app)}
}

func (b *bridge) tokens(app simulator.App) *wechat.AppTokens {
	tokens, err := wechat.NewAppTokens(b.api(), wechat.App{ID: app.AppID, Secret: wechat.Secret(app.Secret)}, wechat.AppTokenOptions{})
	must(b.t, err)
	return tokens
}

// calls is how often the simulator was asked at a path.
func (b *bridge) calls(path string) int {
	b.t.Helper()
	response, err := http.Get(b.simURL + "/_simulator/calls")
	must(b.t, err)
	defer response.Body.Close()
	var calls map[string]int
	must(b.t, json.NewDecoder(response.Body).Decode(&calls))
	return calls[path]
}

// control sends a request to one of the simulator's control routes.
func (b *bridge) control(method, path, body string) {
	b.t.Helper()
	request, err := http.NewRequest(method, b.simURL+path, strings.NewReader(body))
	must(b.t, err)
	response, err := http.DefaultClient.Do(request)
	must(b.t, err)
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		answer, _ := io.ReadAll(response.Body)
		b.t.Fatalf("%s %s: %d %s", method, path, response.StatusCode, answer)
	}
}

// simulatorSwitch is a behaviour of WeChat that sources disagree on. The first choice is the default.
type simulatorSwitch struct {
	Name    string
	Choices []string
}

func (b *bridge) switches() []simulatorSwitch {
	b.t.Helper()
	response, err := http.Get(b.simURL + "/_simulator/switches")
	must(b.t, err)
	defer response.Body.Close()
	var answer struct{ Switches []simulatorSwitch }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || len(answer.Switches) == 0 {
		b.t.Fatalf("no switches: %v", err)
	}
	return answer.Switches
}

func (b *bridge) fault(body string) { b.control("PUT", "/_simulator/faults", body) }

func (b *bridge) jsCode(person string) string {
	b.t.Helper()
	body := fmt.Sprintf(`{"person":%q,"appid":%q}`, person, b.mini.AppID)
	response, err := http.Post(b.simURL+"/_simulator/js-code", "application/json", strings.NewReader(body))
	must(b.t, err)
	defer response.Body.Close()
	var answer struct{ Code string }
	must(b.t, json.NewDecoder(response.Body).Decode(&answer))
	return answer.Code
}

// browser is one person's phone: a cookie jar and whoever holds it. It follows no redirect by itself.
type browser struct {
	*bridge
	client  *http.Client
	jar     *cookiejar.Jar
	person  string
	consent string
	agent   string
}

func (b *bridge) browser(person string) *browser {
	jar, err := cookiejar.New(nil)
	must(b.t, err)
	return &browser{bridge: b, person: person, consent: "allow", jar: jar, client: &http.Client{Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// page is an answer, read to its end.
type page struct {
	*http.Response
	body string
	hops []string // addresses visited before this one, oldest first
}

// get fetches one address of the bridge (a path) or any other, without following redirects.
func (w *browser) get(address string, header ...string) page {
	w.t.Helper()
	return w.do("GET", address, "", header...)
}

func (w *browser) do(method, address, body string, header ...string) page {
	w.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = w.url + address
	}
	request, err := http.NewRequest(method, address, strings.NewReader(body))
	must(w.t, err)
	if w.person != "" {
		request.Header.Set("X-Simulator-Person", w.person)
		request.Header.Set("X-Simulator-Consent", w.consent)
	}
	if w.agent != "" {
		request.Header.Set("User-Agent", w.agent)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	response, err := w.client.Do(request)
	must(w.t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	must(w.t, err)
	return page{Response: response, body: string(content)}
}

// visit goes to an address and follows redirects until a page answers.
func (w *browser) visit(address string) page {
	w.t.Helper()
	var hops []string
	for range 12 {
		p := w.get(address, "Accept", "text/html")
		if p.StatusCode != http.StatusFound && p.StatusCode != http.StatusSeeOther {
			p.hops = hops
			return p
		}
		hops = append(hops, p.Request.URL.String())
		next, err := p.Location()
		must(w.t, err)
		address = next.String()
	}
	w.t.Fatalf("redirects do not end: %q", hops)
	return page{}
}

// callback starts a login and answers the address WeChat sends the browser back to, without going there.
func (w *browser) callback(login string) string {
	w.t.Helper()
	p := w.get(login)
	for range 6 {
		next, err := p.Location()
		if err != nil {
			w.t.Fatalf("%s ended with %d: %s", login, p.StatusCode, p.body)
		}
		if strings.HasPrefix(next.Path, "/callback/") {
			return next.String()
		}
		p = w.get(next.String())
	}
	w.t.Fatalf("%s leads to no callback", login)
	return ""
}

// register logs the browser's person in for the first time, over the register page.
func (w *browser) register() {
	w.t.Helper()
	w.visit("/login")
	if p := w.visit("/login/official-account?scope=userinfo"); p.StatusCode != http.StatusOK || p.Request.URL.Path != "/" {
		w.t.Fatalf("registering %s ended at %s with %d", w.person, p.Request.URL, p.StatusCode)
	}
}

// cookie is the value of one of the browser's cookies for the bridge, or "".
func (w *browser) cookie(name string) string {
	address, err := url.Parse(w.url)
	must(w.t, err)
	for _, cookie := range w.jar.Cookies(address) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

// claims are those of the browser's access token; ok tells whether it has a good one.
func (w *browser) claims() (claims jwtauth.Claims, ok bool) {
	claims, err := w.verifier.Verify(context.Background(), w.cookie("wxbridge_token"))
	return claims, err == nil
}

// mustClaims are the claims of a browser that must be logged in.
func (w *browser) mustClaims() jwtauth.Claims {
	w.t.Helper()
	claims, ok := w.claims()
	if !ok {
		w.t.Fatalf("%s is not logged in", w.person)
	}
	return claims
}

// errorOf decodes an answer of the contract's error shape.
func (p page) errorOf(t testing.TB) (e struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Errcode     int    `json:"wechat_errcode"`
	RequestID   string `json:"request_id"`
}) {
	t.Helper()
	if err := json.Unmarshal([]byte(p.body), &e); err != nil || e.Error == "" || e.Description == "" || e.RequestID == "" {
		t.Fatalf("status %d: not an error of the contract: %s", p.StatusCode, p.body)
	}
	return e
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stranger is the name of a person nobody has met.
func stranger() string { return "p" + strings.ToLower(rand.Text()) }
