package templates_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"wxbridge/templates"
)

// Old in-app browsers stop at the first piece of newer syntax.
func TestScriptsForPagesAreES5(t *testing.T) {
	newer := regexp.MustCompile("=>|`|\\b(let|const|class|async|await|of)\\b|\\.\\.\\.|\\?\\.|\\?\\?|\\*\\*")
	code := regexp.MustCompile(`(?m)//.*$|'[^'\n]*'|/(?:\\.|\[[^\]]*\]|[^/\n\\])+/[a-z]*`) // comments, texts and patterns are no syntax
	for _, file := range []string{"static/wxbridge.js", "scripts/jssdk.js"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := newer.FindAllString(code.ReplaceAllString(string(raw), ""), -1); len(found) > 0 {
			t.Errorf("%s: %q", file, found)
		}
	}
}

// h5 is a page of somebody's at one origin, with APIs at three, and a bridge that it loads its scripts from. All are one host,
// so that cookies would reach every one of them.
type h5 struct {
	page, bridge, api, foreign *httptest.Server

	mu      sync.Mutex
	logins  []string        // the return_to of each
	cookies map[string]bool // by address: whether a request came with the cookie
	ended   bool            // the login: APIs answer 401
	hopeful bool            // a login mends it
	signed  []string        // the addresses that were to be signed
	verdict string          // what WeChat says to wx.config: its errMsg, or "ok"
	script  string          // attributes of the script element
	refuse  int             // status of /jssdk/config, if not 200
}

func startH5(t *testing.T) *h5 {
	t.Helper()
	h := &h5{cookies: map[string]bool{}, hopeful: true, verdict: "ok"}
	serve := func(handler http.HandlerFunc) *httptest.Server {
		s := httptest.NewServer(handler)
		t.Cleanup(s.Close)
		return s
	}
	h.api, h.foreign, h.page, h.bridge = serve(h.answerAPI), serve(h.answerAPI), serve(h.showPage), serve(nil)
	jssdk, err := templates.JSSDKScript(h.bridge.URL, h.bridge.URL+"/_simulator/jweixin.js")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	static := templates.Static()
	mux.HandleFunc("GET /wxbridge.js", func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = "/static/wxbridge.js"
		static.ServeHTTP(w, r)
	})
	mux.Handle("GET /jssdk.js", jssdk)
	mux.HandleFunc("GET /_simulator/jweixin.js", h.jweixin)
	mux.HandleFunc("GET /jssdk/config", h.sign)
	mux.HandleFunc("GET /login", h.login)
	h.bridge.Config.Handler = mux
	return h
}

func (h *h5) showPage(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		h.answerAPI(w, r)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `<!DOCTYPE html><title>page</title><script src="%s/jssdk.js"></script><script src="%s/wxbridge.js" %s></script>`, h.bridge.URL, h.bridge.URL, h.script)
}

func (h *h5) answerAPI(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := r.Cookie("wxbridge_token")
	h.cookies[r.Host+r.URL.Path] = err == nil
	w.Header().Set("Access-Control-Allow-Origin", h.page.URL)
	w.Header().Set("Access-Control-Allow-Credentials", "true")
	switch {
	case r.URL.Path == "/api/away":
		http.Redirect(w, r, h.foreign.URL+"/refused", http.StatusFound)
	case h.ended, r.URL.Path == "/refused":
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func (h *h5) login(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	to := r.URL.Query().Get("return_to")
	h.logins = append(h.logins, to)
	if h.hopeful {
		h.ended = false
	}
	http.Redirect(w, r, to, http.StatusFound)
}

func (h *h5) sign(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.signed = append(h.signed, r.URL.Query().Get("url"))
	w.Header().Set("Access-Control-Allow-Origin", h.page.URL)
	if h.refuse != 0 {
		w.WriteHeader(h.refuse)
		fmt.Fprint(w, `{"error":"invalid_request","error_description":"No.","request_id":"R1"}`)
		return
	}
	fmt.Fprint(w, `{"appId":"wx0","timestamp":1,"nonceStr":"n","signature":"s"}`)
}

// jweixin stands for WeChat's script. It says that it is ready after a refusal too, and before it tells of that: the worst that
// WeChat's does.
func (h *h5) jweixin(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.Header().Set("Content-Type", "text/javascript")
	fmt.Fprintf(w, `(function () {
		var verdict = %q, refused, ready;
		window.wx = {
			config: function (given) {
				window.given = given;
				if (verdict === 'silence') return;
				setTimeout(function () {
					if (ready) ready();
					if (verdict !== 'ok' && refused) refused({ errMsg: verdict, realAuthUrl: ['http://checked.example/'] });
				});
			},
			error: function (f) { refused = f; },
			ready: function (f) { ready = f; }
		};
	})();`, h.verdict)
}

func (h *h5) set(change func(*h5)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h)
}

func (h *h5) visits() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.logins)
}

func (h *h5) carried(address string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cookies[strings.TrimPrefix(address, "http://")]
}

func (h *h5) addresses() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.signed)
}

// tabOf opens a page in a browser of its own, logged in or not.
func (h *h5) tabOf(t *testing.T, b *browser, address string, loggedIn bool) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 30*time.Second)
	t.Cleanup(cancel)
	if loggedIn {
		h.plant(t, ctx, "wxbridge_token", "credential", "/")
		h.plant(t, ctx, "wxbridge_id", idTokenOf("fan-1"), "/")
	}
	h.open(t, ctx, address)
	return ctx
}

func (h *h5) plant(t *testing.T, ctx context.Context, name, value, path string) {
	t.Helper()
	secure := strings.HasPrefix(name, "__Host-")
	_, err := chromedp.Call(ctx, network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: h.page.URL, Path: path, Secure: &secure})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *h5) open(t *testing.T, ctx context.Context, address string) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
}

func idTokenOf(sub string) string {
	claims := fmt.Sprintf(`{"sub":%q,"exp":%d}`, sub, time.Now().Add(time.Hour).Unix())
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

// eval waits for a promise.
func eval[T any](t *testing.T, ctx context.Context, script string) T {
	t.Helper()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return got
}

// leave runs what should make the page leave for the login, and waits until it is back.
func (h *h5) leave(t *testing.T, ctx context.Context, script string) {
	t.Helper()
	before := len(h.visits())
	eval[bool](t, ctx, script+"; true")
	for len(h.visits()) == before {
		if ctx.Err() != nil {
			t.Fatalf("%s did not lead to the login", script)
		}
		_, _ = chromedp.Run(ctx, chromedp.Location())
	}
	if err := chromedp.Do(ctx, chromedp.WaitReady(chromedp.CSS("title"))); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](`document.readyState === 'complete' && typeof wxbridge === 'object'`)); err != nil {
		t.Fatal(err)
	}
}

func TestPagesKnowWhoIsLoggedIn(t *testing.T) {
	b, h := startBrowser(t), startH5(t)
	who := func(ctx context.Context) string {
		return eval[string](t, ctx, `(wxbridge.current() || {id: ''}).id`)
	}
	ctx := h.tabOf(t, b, h.page.URL+"/sub/page", false)
	if got := who(ctx); got != "" {
		t.Errorf("nobody is %q", got)
	}
	h.plant(t, ctx, "wxbridge_id", idTokenOf("fan-1"), "/")
	if got := who(ctx); got != "fan-1" {
		t.Errorf("fan-1 is %q", got)
	}
	h.plant(t, ctx, "wxbridge_id", idTokenOf("planted"), "/sub")
	if got := who(ctx); got != "" {
		t.Errorf("of a name that is there twice, %q was believed", got)
	}
	h.plant(t, ctx, "__Host-wxbridge_id", idTokenOf("fan-2"), "/")
	if got := who(ctx); got != "fan-2" {
		t.Errorf("the prefixed cookie names fan-2, the script %q", got)
	}
}

func TestPagesLeaveForTheLoginAndComeBack(t *testing.T) {
	b, h := startBrowser(t), startH5(t)
	ctx := h.tabOf(t, b, h.page.URL+"/page?a=1&b=%E4%BA%8C#/route?x=&y", false)
	h.leave(t, ctx, "wxbridge.ensureLogin(); wxbridge.ensureLogin()")
	if got := h.visits(); len(got) != 1 || got[0] != h.page.URL+"/page?a=1&b=%E4%BA%8C#/route?x=&y" {
		t.Errorf("logins for %q", got)
	}
	refusal := eval[string](t, ctx, `wxbridge.ensureLogin().then(() => 'in', e => e.loginURL)`)
	if want := h.bridge.URL + "/login?return_to=" + url.QueryEscape(h.page.URL+"/page?a=1&b=%E4%BA%8C#/route?x=&y"); refusal != want {
		t.Errorf("a login that brought nothing a moment ago: %s, want %s", refusal, want)
	}

	for name, c := range map[string]struct{ path, want string }{
		"a long fragment goes":  {"/page?a=1#" + strings.Repeat("f", 1024), "/page?a=1"},
		"then a long query":     {"/page?" + strings.Repeat("q", 1024) + "#f", "/page"},
		"then a long path":      {"/" + strings.Repeat("p", 1024), "/"},
		"WeChat's mark is gone": {"/page?a=1#wechat_redirect", "/page?a=1"},
	} {
		ctx := h.tabOf(t, b, h.page.URL+c.path, false)
		got := eval[string](t, ctx, "wxbridge.loginURL()")
		if want := h.bridge.URL + "/login?return_to=" + url.QueryEscape(h.page.URL+c.want); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestPagesLogInAgainOnceWhenALoginHasEnded(t *testing.T) {
	b, h := startBrowser(t), startH5(t)
	ctx := h.tabOf(t, b, h.page.URL+"/page", true)
	h.set(func(h *h5) { h.ended = true })
	h.leave(t, ctx, `for (let i = 0; i < 5; i++) wxbridge.fetch('/api/' + i, {method: i ? 'GET' : 'POST'}).then(r => r.ok || (sessionStorage.heard = 'yes'))`) // a late one may succeed after the login
	if got := h.visits(); len(got) != 1 {
		t.Fatalf("five calls failed, and led to logins %q", got)
	}
	if eval[bool](t, ctx, `'heard' in sessionStorage`) {
		t.Error("a page that is leaving heard of a failure")
	}
	if status := eval[int](t, ctx, `wxbridge.fetch('/api/x').then(r => r.status)`); status != 200 {
		t.Fatalf("after the login: %d", status)
	}

	h.set(func(h *h5) { h.ended, h.hopeful = true, false })
	h.leave(t, ctx, `wxbridge.fetch(new Request('/api/x'))`) // the success in between allows it
	for range 3 {
		if status := eval[int](t, ctx, `wxbridge.fetch('/api/x').then(r => r.status)`); status != 401 {
			t.Errorf("a login that did not help: %d", status)
		}
	}
	if got := h.visits(); len(got) != 2 {
		t.Errorf("logins %q", got)
	}
}

func TestOtherHostsGetNothingFromPages(t *testing.T) {
	b, h := startBrowser(t), startH5(t)
	h.script = `data-apis="` + h.api.URL + `/v1 nonsense:"`
	ctx := h.tabOf(t, b, h.page.URL+"/page", true)
	call := func(address, options string) int {
		return eval[int](t, ctx, fmt.Sprintf(`wxbridge.fetch(%q%s).then(r => r.status)`, address, options))
	}
	for _, c := range []struct {
		address, options string
		status           int
		carried          bool
	}{
		{h.page.URL + "/api/own", "", 200, true},
		{h.page.URL + "/api/own-without", ", {credentials: 'omit'}", 200, false},
		{h.api.URL + "/listed", "", 200, true},
		{h.foreign.URL + "/foreign", "", 200, false},
		{h.foreign.URL + "/insisting", ", {credentials: 'include'}", 200, false},
		{h.foreign.URL + "/refused", "", 401, false},
	} {
		if got := call(c.address, c.options); got != c.status || h.carried(c.address) != c.carried {
			t.Errorf("%s: status %d, with our cookie %t", c.address, got, h.carried(c.address))
		}
	}
	if got := eval[int](t, ctx, `wxbridge.fetch(new Request(`+"`"+h.foreign.URL+"/request`"+`, {credentials: 'include'})).then(r => r.status)`); got != 200 || h.carried(h.foreign.URL+"/request") {
		t.Errorf("a Request to another host: %d, with our cookie %t", got, h.carried(h.foreign.URL+"/request"))
	}
	// The 401 of a host that an own API redirects to says nothing of the login.
	if got := call(h.page.URL+"/api/away", ""); got != 401 {
		t.Errorf("redirected: %d", got)
	}
	if got := h.visits(); len(got) != 0 {
		t.Errorf("other hosts led to logins %q", got)
	}
	h.set(func(h *h5) { h.ended = true })
	h.leave(t, ctx, fmt.Sprintf(`wxbridge.fetch(%q)`, h.api.URL+"/listed"))
}

const iPhone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 " +
	"MicroMessenger/8.0.68(0x1800442b) NetType/WIFI Language/zh_CN"

// On iOS WeChat holds the signature against the address that a page was entered by, elsewhere against the present one
// (wechat-protocol §3.2).
func TestJSSDKSignsTheAddressThatWeChatChecks(t *testing.T) {
	b, h := startBrowser(t), startH5(t)
	for name, c := range map[string]struct{ agent, first, second string }{
		"iOS":       {iPhone, "/page?a=1&b=2", "/page?a=1&b=2"},
		"DevTools":  {iPhone + " wechatdevtools/1.06", "/page?a=1&b=2", "/other?c=3&d=%E4%BA%8C"},
		"elsewhere": {"", "/page?a=1&b=2", "/other?c=3&d=%E4%BA%8C"},
	} {
		t.Run(name, func(t *testing.T) {
			h.set(func(h *h5) { h.signed = nil })
			ctx := h.tabOf(t, b, "about:blank", false)
			if c.agent != "" {
				if _, err := chromedp.Call(ctx, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: c.agent}); err != nil {
					t.Fatal(err)
				}
			}
			h.open(t, ctx, h.page.URL+"/page?a=1&b=2#/entry")
			const call = `wxbridge.jssdk({jsApiList: ['scanQRCode']}).then(wx => wx === window.wx ? given.appId + given.timestamp + given.nonceStr + given.signature + given.jsApiList : '')`
			if got := eval[string](t, ctx, call); got != "wx01nsscanQRCode" {
				t.Errorf("wx.config was given %q", got)
			}
			eval[string](t, ctx, call) // nothing new: nothing is asked
			eval[bool](t, ctx, `history.pushState(null, '', '/other?c=3&d=二#/x'); true`)
			eval[string](t, ctx, call)
			want := []string{h.page.URL + c.first}
			if c.second != c.first {
				want = append(want, h.page.URL+c.second)
			}
			if got := h.addresses(); !slices.Equal(got, want) {
				t.Errorf("signed %q, want %q", got, want)
			}
		})
	}
}

func TestJSSDKSaysWhatToFix(t *testing.T) {
	b, h := startBrowser(t), startH5(t)
	for name, c := range map[string]struct {
		verdict string
		refuse  int
		code    string
		texts   []string
	}{
		"the domain":       {"config:invalid url domain", 0, "invalid_url_domain", []string{"JS接口安全域名", "127.0.0.1", "wx0"}},
		"an older wording": {"config:fail,Error: 系统错误,错误码:40048,invalid url domain", 0, "invalid_url_domain", []string{"40048"}},
		"the signature":    {"config:invalid signature", 0, "invalid_signature", []string{"http://checked.example/", h.page.URL + "/page", "<head>"}},
		"something else":   {"config:invalid appid", 0, "refused", []string{"wx0", "invalid appid"}},
		"the bridge":       {"ok", 400, "bridge", []string{"400", "No.", "R1"}},
	} {
		t.Run(name, func(t *testing.T) {
			h.set(func(h *h5) { h.verdict, h.refuse = c.verdict, c.refuse })
			ctx := h.tabOf(t, b, h.page.URL+"/page", false)
			const call = `(() => { const said = []; console.error = text => said.push(text);
				return wxbridge.jssdk({}).then(() => 'accepted', e => e.code + ' ' + e.message).then(a => a + '\n' + said) })()`
			got := eval[string](t, ctx, call)
			answer, said, _ := strings.Cut(got, "\n")
			if !strings.HasPrefix(answer, c.code+" ") || !strings.HasPrefix(said, "[wxbridge] ") {
				t.Errorf("answer %q, console %q", answer, said)
			}
			for _, text := range c.texts {
				if !strings.Contains(said, text) {
					t.Errorf("the console does not say %s: %s", text, said)
				}
			}
			h.set(func(h *h5) { h.verdict, h.refuse = "ok", 0 })
			if c.refuse != 0 && eval[string](t, ctx, `wxbridge.jssdk({}).then(() => 'accepted', e => e.code)`) != "accepted" {
				t.Error("what failed is not tried anew")
			}
		})
	}
	t.Run("another origin than the bridge knows", func(t *testing.T) {
		ctx := h.tabOf(t, b, strings.Replace(h.page.URL, "127.0.0.1", "localhost", 1)+"/page", false)
		got := eval[string](t, ctx, `wxbridge.jssdk({}).then(() => 'accepted', e => e.code + ' ' + e.message)`)
		if !strings.HasPrefix(got, "bridge ") || !strings.Contains(got, "WXBRIDGE_RETURN_ORIGINS") || !strings.Contains(got, "http://localhost:") {
			t.Errorf("answer %q", got)
		}
	})
}
