package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"wxbridge/internal/testenv"
)

// A real browser in the size of a phone goes the ways people go.
func TestBrowser(t *testing.T) {
	browser := testenv.Chromium(t)
	for name, way := range map[string]func(*testing.T, *tab){
		"a stranger registers from the menu":    strangerRegisters,
		"the second visit shows no page":        secondVisitIsSilent,
		"refusal":                               refusal,
		"snapshot":                              snapshot,
		"Back after login":                      backAfterLogin,
		"a desktop browser sees a code to scan": desktopScans,
		"the mini-program tab":                  miniProgramTab,
		"a callback that arrives twice":         callbackTwice,
	} {
		t.Run(name, func(t *testing.T) { way(t, openTab(t, browser, startDev(t, nil), true)) })
	}
}

// Where callbacks arrive twice as WeChat's clients let them, nobody notices.
func TestBrowserWithHostileWeChat(t *testing.T) {
	p := startDev(t, []string{"--hostile"})
	browser := testenv.Chromium(t)
	visits := 0
	const people = 4
	for i := range people {
		tb := openTab(t, browser, p, true)
		tb.register(fmt.Sprintf("crowd-%d", i))
		tb.forgetSession()
		tb.visit("/login", "#logout")
		visits += countPath(tb.asked(), callbackPath)
	}
	if visits <= 3*people {
		t.Error("no callback arrived twice; this test shows nothing")
	}
}

func strangerRegisters(t *testing.T, tb *tab) {
	p := tb.product
	tb.visit(p.simulator+"/", `[data-person="bob"]`)
	tb.screenshot("launcher")
	tb.tap(`[data-person="bob"]`, "#menu-login")
	tb.tap("#menu-login", "#register")
	tb.screenshot("register")
	tb.tap("#register", "#allow")
	tb.screenshot("consent")
	tb.tap("#allow", "#logout")
	checkHome(t, tb)
	tb.screenshot("home")
	tb.checkClean()
	for _, address := range tb.shown() {
		if u, err := url.Parse(address); err == nil && strings.HasPrefix(address, p.bridge) && (u.Query().Has("code") || u.Query().Has("state")) {
			t.Errorf("FLW-11 code and state stay in the address: %s", address)
		}
	}

	tb.tap("#logout-button", "#login")
	if text := value(tb, "cookies", chromedp.Evaluate[string]("document.cookie")); strings.Contains(text, idCookie) {
		t.Errorf("a cookie is left after logout: %q", text)
	}
	tb.screenshot("logged-out")
	tb.checkClean()
}

// checkHome wants the page to greet the person by the name and picture of the ID-token cookie.
func checkHome(t *testing.T, tb *tab) {
	t.Helper()
	// WeChat's fragment is the browser's to carry through redirects; whoever has one of their own replaces it.
	if got := strings.TrimSuffix(tb.location(), "#wechat_redirect"); got != tb.product.bridge+"/" {
		t.Errorf("the address is %s, want %s/", got, tb.product.bridge)
	}
	raw := value(tb, "ID token", chromedp.Evaluate[string](`(document.cookie.match(/wxbridge_id=([^;]+)/) || [])[1] || ""`))
	claims := tb.product.identity(t, raw)
	if got := tb.text("#nickname"); got == "" || got != claims["nickname"] {
		t.Errorf("the page greets %q, the token names %v", got, claims["nickname"])
	}
	tb.run("wait for the picture", chromedp.WaitVisible(chromedp.CSS("#avatar")))
	waitFor(t, 10*time.Second, "the picture", func() bool {
		return value(tb, "picture", chromedp.Evaluate[bool](`(i => i.complete && i.naturalWidth > 0)(document.querySelector("#avatar"))`))
	})
	if visible := value(tb, "token", chromedp.Evaluate[string]("document.cookie")); strings.Contains(visible, tokenCookie+"=") {
		t.Error("WEB-01 a script of the page can read the access token")
	}
}

// register logs a person in and leaves the tab on the home page.
func (tb *tab) register(person string) {
	tb.t.Helper()
	tb.hold(person)
	tb.visit("/login", "#register")
	tb.tap("#register", "#allow")
	tb.tap("#allow", "#logout")
}

func secondVisitIsSilent(t *testing.T, tb *tab) {
	tb.register("bob")
	tb.forgetSession()
	tb.visit("about:blank", "body")
	tb.forget()
	tb.visit("/login", "#logout")
	checkHome(t, tb)
	if shown := tb.shown(); len(shown) != 1 || shown[0] != tb.product.bridge+"/" {
		t.Errorf("pages seen on the way: %q", shown)
	}
	if calls := tb.product.calls(t)[pathAccessToken]; calls != 3 {
		t.Errorf("%d exchanges, want 2 of the registration and 1 of the visit", calls)
	}
	tb.forget()
	tb.visit("/login", "#logout")
	for _, address := range tb.asked() {
		if strings.Contains(address, authorize) {
			t.Errorf("already logged in, and sent to WeChat: %s", address)
		}
	}
}

func refusal(t *testing.T, tb *tab) {
	tb.product.set(t, "refusal", "authdeny")
	tb.hold("bob")
	tb.visit("/login", "#register")
	tb.tap("#register", "#deny")
	tb.tap("#deny", "#again")
	if got := tb.location(); got != tb.product.bridge+"/login/refused" {
		t.Errorf("a refusal ends at %s", got)
	}
	tb.screenshot("refused")
	tb.tap("#again", "#register, #allow")
	if !strings.HasPrefix(tb.location(), tb.product.simulator) {
		tb.tap("#register", "#allow")
	}
	tb.tap("#allow", "#logout")
	checkHome(t, tb)
	tb.checkClean()
}

func snapshot(t *testing.T, tb *tab) {
	tb.hold("sunny")
	tb.visit("/login", "#register")
	tb.run("tap", testenv.Click("#register"))
	waitFor(t, 15*time.Second, "the snapshot page", func() bool {
		return strings.Contains(value(tb, "page", chromedp.Evaluate[string]("location.href + ' ' + document.readyState + ' ' + [...document.querySelectorAll('iframe')].map(f => f.src)")), "/login/snapshot") ||
			asked(tb, "/login/snapshot")
	})
	tb.screenshot("snapshot")
	if cookies := value(tb, "cookies", chromedp.Evaluate[string]("document.cookie")); strings.Contains(cookies, idCookie) {
		t.Error("WX-06 a snapshot user has a token")
	}
	tb.visit("/", "#login")
	tb.checkClean()
}

func asked(tb *tab, path string) bool {
	for _, address := range tb.asked() {
		if u, err := url.Parse(address); err == nil && u.Path == path {
			return true
		}
	}
	return false
}

func backAfterLogin(t *testing.T, tb *tab) {
	tb.visit(tb.product.simulator+"/", `[data-person="bob"]`)
	tb.tap(`[data-person="bob"]`, "#menu-login")
	tb.tap("#menu-login", "#register")
	tb.tap("#register", "#allow")
	tb.tap("#allow", "#logout")
	var callbacks []string
	for _, address := range tb.asked() {
		if u, err := url.Parse(address); err == nil && u.Path == callbackPath {
			callbacks = append(callbacks, address)
		}
	}
	if len(callbacks) < 2 {
		t.Fatalf("the browser came back %d times", len(callbacks))
	}
	exchanges := tb.product.called(t, pathAccessToken, func() {
		tb.visit(callbacks[len(callbacks)-1], "#logout") // what Back does in WeChat on Android
		checkHome(t, tb)
	})
	if exchanges != 0 {
		t.Errorf("Back costs %d exchanges", exchanges)
	}
	for range 3 {
		tb.back()
		if title := value(tb, "title", chromedp.Title()); strings.Contains(title, "400") || strings.Contains(title, "500") {
			t.Errorf("Back shows %q at %s", title, tb.location())
		}
	}
	tb.visit("/", "#logout")
	checkHome(t, tb)
}

func desktopScans(t *testing.T, tb *tab) {
	tb.visit("/", "#login")
	value(tb, "be a desktop browser", chromedp.Evaluate[string](`document.cookie = "simulator_browser=desktop; path=/"; document.cookie`))
	tb.visit("/login/scan", "#qr")
	tb.screenshot("scan")
	tb.checkClean()
}

func callbackTwice(t *testing.T, tb *tab) {
	for _, mode := range []string{"duplicate_callback", "two_codes"} {
		tb.product.fault(t, fault{Path: authorize, Mode: mode}.always())
		tb.hold("bob")
		if mode == "duplicate_callback" {
			tb.visit("/login", "#register")
			tb.product.clearFaults(t)
			tb.tap("#register", "#allow")
			tb.tap("#allow", "#logout")
			continue
		}
		tb.forgetSession()
		tb.forget()
		tb.visit("/login", "#logout")
		checkHome(t, tb)
		if n := countPath(tb.asked(), callbackPath); n < 2 {
			t.Errorf("%s: the callback was visited %d times", mode, n)
		}
	}
}

func countPath(addresses []string, path string) (n int) {
	for _, address := range addresses {
		if u, err := url.Parse(address); err == nil && u.Path == path {
			n++
		}
	}
	return n
}

func miniProgramTab(t *testing.T, tb *tab) {
	tb.register("bob")
	name := tb.text("#logout")
	tb.visit(tb.product.simulator+"/", `[data-person="bob"]`)
	tb.tap(`[data-person="bob"]`, "#tab-miniprogram")
	logins := tb.product.called(t, pathJSCode, func() {
		tb.tap("#tab-miniprogram", "#miniprogram-view")
		waitFor(t, 15*time.Second, "the mini program to greet "+name, func() bool { return strings.Contains(tb.text("#miniprogram-view"), name) })
	})
	if logins != 1 {
		t.Errorf("%d logins in the mini program, want 1", logins)
	}
	if asked(tb, miniLogin) {
		t.Error("the browser itself called the bridge; requests go through the simulator")
	}
	if !asked(tb, "/_simulator/wx-request") {
		t.Error("no wx.request was made")
	}
	tb.screenshot("mini-program")
	tb.checkClean()
}

func TestBrowserWithCookiesDisabled(t *testing.T) {
	p := startDev(t, nil)
	profile := t.TempDir()
	if err := os.Mkdir(filepath.Join(profile, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(profile, "Default", "Preferences"), `{"profile":{"default_content_setting_values":{"cookies":2}}}`)
	browser := testenv.Chromium(t, chromedp.UserDataDir(profile))
	tb := openTab(t, browser, p, false)
	tb.run("hold the phone without a cookie", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, network.SetExtraHTTPHeaders,
			network.SetExtraHTTPHeadersParams{Headers: network.Headers{"X-Simulator-Person": "bob"}})
		return err
	}))
	exchanges := p.called(t, pathAccessToken, func() { tb.visit("/login", "#login") })
	if got := strings.TrimSuffix(tb.location(), "#wechat_redirect"); got != p.bridge+"/login/cookies-off" {
		t.Errorf("ended at %s, want /login/cookies-off", got)
	}
	if kept := value(tb, "cookies", chromedp.Evaluate[string](`document.cookie = "x=1; path=/", document.cookie`)); kept != "" {
		t.Error("the browser keeps cookies; this test shows nothing")
	}
	tb.screenshot("cookies-off")
	if exchanges != 0 {
		t.Errorf("%d exchanges without cookies", exchanges)
	}
	if h := p.phone("bob").once(t, "/login/cookies-off"); h.status != http.StatusBadRequest {
		t.Errorf("%v", h)
	}
}
