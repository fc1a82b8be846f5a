package e2e

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"wxbridge/internal/testenv"
)

const websiteCallback = "/callback/website"

// A desktop browser shows WeChat's QR code, and a phone scans it: two windows without a cookie in common.
func TestWebsiteLoginInTwoWindows(t *testing.T) {
	browser := testenv.Chromium(t)
	p := startDev(t, nil)
	known := p.phone("bob").login(t)
	desktop, phone := openDesktop(t, browser, p), openTab(t, browser, p, true)
	phone.hold("bob")

	desktop.visit("/login/website?return_to=/%3Fa%3D1%26b%3D2", "#qrconnect")
	desktop.screenshot("code")
	phone.visit(desktop.text("#says"), "#allow")
	phone.screenshot("confirm")
	if got := desktop.location(); !strings.HasPrefix(got, p.simulator+"/connect/qrconnect?") {
		t.Errorf("nobody has confirmed, and the desktop is at %s", got)
	}
	phone.run("confirm", testenv.Click("#allow"))
	desktop.run("wait for the login", chromedp.WaitVisible(chromedp.CSS("#logout")))
	desktop.screenshot("home")
	if got := strings.TrimSuffix(desktop.location(), "#wechat_redirect"); got != p.bridge+"/?a=1&b=2" {
		t.Errorf("the desktop is at %s", got)
	}
	raw := value(desktop, "ID token", chromedp.Evaluate[string](`(document.cookie.match(/wxbridge_id=([^;]+)/) || [])[1] || ""`))
	if claims := p.identity(t, raw); claims["sub"] != p.access(t, known.access)["sub"] {
		t.Errorf("the desktop greets %v, the phone was logged in as %v", claims, known)
	}
	if text := value(phone, "cookies of the phone", chromedp.Evaluate[string]("document.cookie")); strings.Contains(text, "wxbridge") {
		t.Errorf("the phone has %q", text)
	}
	desktop.checkClean()
	for _, address := range desktop.shown() {
		if u, err := url.Parse(address); err == nil && strings.HasPrefix(address, p.bridge) && (u.Query().Has("code") || u.Query().Has("state")) {
			t.Errorf("FLW-11 code and state stay in the address: %s", address)
		}
	}
}

// Whoever refuses on the phone is told so on the desktop, by WeChat or by us.
func TestWebsiteRefusalInTwoWindows(t *testing.T) {
	browser := testenv.Chromium(t)
	p := startDev(t, nil)
	desktop, phone := openDesktop(t, browser, p), openTab(t, browser, p, true)
	phone.hold("bob")
	refuse := func() {
		desktop.visit("/login/website?return_to=/%3Fa%3D1", "#qrconnect")
		phone.visit(desktop.text("#says"), "#deny")
		phone.run("refuse", testenv.Click("#deny"))
	}
	refuse() // documented: nothing comes back
	desktop.run("WeChat's own word", chromedp.WaitVisible(chromedp.CSS("#refused")))
	p.set(t, "refusal", "state-only")
	refuse()
	desktop.run("our page", chromedp.WaitVisible(chromedp.CSS("#login")))
	if got := strings.TrimSuffix(desktop.location(), "#wechat_redirect"); got != p.bridge+"/login/refused" {
		t.Errorf("a refusal ends at %s", got)
	}
	desktop.screenshot("refused")
	desktop.tap("#login", "#qrconnect")
	phone.visit(desktop.text("#says"), "#allow")
	phone.run("confirm", testenv.Click("#allow"))
	desktop.run("wait for the login", chromedp.WaitVisible(chromedp.CSS("#logout")))
	if got := strings.TrimSuffix(desktop.location(), "#wechat_redirect"); got != p.bridge+"/?a=1" {
		t.Errorf("the desktop is at %s", got)
	}
}

// FLW-02: a website's callback in another browser than the one that started logs nobody in, and spends nothing.
func TestFLW02_APlantedWebsiteCodeLogsNobodyIn(t *testing.T) {
	p := startDev(t, nil)
	attacker, victim := p.phone("bob"), p.phone("alice")
	attacker.consent, victim.consent = "allow", ""
	isWebsiteCallback := func(u *url.URL) bool { return u.Path == websiteCallback }
	tr, err := attacker.walkUntil(p.bridge+"/login/website", isWebsiteCallback)
	if err != nil {
		t.Fatal(err)
	}
	planted := tr.last().next().String()
	if n := p.called(t, pathAccessToken, func() {
		tr := victim.open(t, planted)
		if tr.grants() || !strings.Contains(tr.last().url.Path, "/connect/qrconnect") {
			t.Errorf("the victim: %v", tr)
		}
		h := victim.once(t, planted+"&again=1")
		if h.status != http.StatusFound || h.next().Path != "/login/cookies-off" {
			t.Errorf("the second time: %v", h)
		}
	}); n != 0 {
		t.Errorf("the planted code was exchanged %d times", n)
	}
	if tr := attacker.open(t, planted); !tr.grants() {
		t.Errorf("in its own browser the code is worth nothing: %v", tr)
	}
}

// A website app of the apps file is chosen by app=, and its callback says so.
func TestWebsiteAppOfTheAppsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "apps.yaml")
	const appID = "wx89abcdef01234567"
	text := "apps:\n- {alias: club-site, provider: website, appid: " + appID + ", secret: 8f27d3c05ab94e16027cd9e1b35af684, open_account: club}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startDev(t, nil, "WXBRIDGE_APPS_FILE="+file)
	first, second := p.phone("bob"), p.phone("bob")
	first.open(t, "/login/website")
	tr := second.open(t, "/login/website?app=club-site&return_to=/there")
	if last := tr.last(); last.url.Path != "/there" || len(tr.on(websiteCallback)) != 1 || tr.on(websiteCallback)[0].url.Query().Get("app") != "club-site" {
		t.Fatalf("%v", tr)
	}
	one, two := p.access(t, first.session().access), p.access(t, second.session().access)
	if two["appid"] != appID || two["provider"] != "website" || one["sub"] == two["sub"] || one["unionid"] == two["unionid"] {
		t.Errorf("in two open accounts: %v and %v", one, two)
	}
}
