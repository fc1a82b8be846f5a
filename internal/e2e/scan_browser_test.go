package e2e

import (
	"context"
	"html"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"wxbridge/internal/testenv"
	"wxbridge/wechat/simulator"
)

// Two real windows play scan-to-login: a computer that waits, and a phone.
func TestBrowserScanToLogin(t *testing.T) {
	testenv.Program(t, "zbarimg")
	browser := testenv.Chromium(t)
	for name, way := range map[string]func(*testing.T, context.Context){
		"a follower scans and taps":              followerScans,
		"a stranger follows and registers first": strangerScans,
		"a relayed code":                         relayedCode,
		"declined, and another code":             declinedScan,
		"without codes of the account":           scanWithoutCodes,
		"over two processes, one of which stops": scanOverTwoProcesses,
	} {
		t.Run(name, func(t *testing.T) { way(t, browser) })
	}
}

// scanOnDesktops chooses the scan where there is a website app too.
const scanOnDesktops = "WXBRIDGE_DESKTOP_LOGIN=scan"

// openDesktop opens a window in the size of a desktop's, which the bridge takes for none of WeChat's.
func openDesktop(t *testing.T, browser context.Context, p *product) *tab {
	t.Helper()
	tb := openTab(t, browser, p, true)
	tb.run("be a desktop", chromedp.EmulateViewport(1280, 800))
	tb.setCookie("simulator_browser", "desktop", p.bridge)
	return tb
}

// openPhone opens a phone that somebody holds.
func openPhone(t *testing.T, browser context.Context, p *product, person string) *tab {
	t.Helper()
	tb := openTab(t, browser, p, true)
	tb.hold(person)
	tb.run("be WeChat", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: wechatAgent})
		return err
	}))
	return tb
}

func (tb *tab) setCookie(name, value, address string) {
	tb.t.Helper()
	tb.run("set the cookie "+name, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: address})
		return err
	}))
}

// readCode reads the code on the page with an independent reader.
func (tb *tab) readCode() string {
	tb.t.Helper()
	picture := value(tb, "screenshot", chromedp.CaptureScreenshot())
	file := filepath.Join(tb.t.TempDir(), "page.png")
	if err := os.WriteFile(file, picture, 0o600); err != nil {
		tb.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.t.Context(), 20*time.Second)
	defer cancel()
	read, err := exec.CommandContext(ctx, "zbarimg", "--quiet", "--raw", "--nodbus", file).Output()
	if err != nil {
		tb.t.Fatalf("read the code: %v", err)
	}
	return strings.TrimSpace(string(read))
}

// scanned is what the simulator says became of a scan.
type scanned struct {
	Kind, Event, Open, Shown string
}

// scan lets a person scan what a code says.
func (p *product) scan(t *testing.T, person, says string) scanned {
	t.Helper()
	var report scanned
	p.control(t, http.MethodPost, "/_simulator/scan", map[string]string{"person": person, "url": says}, &report)
	return report
}

var chatLink = regexp.MustCompile(`<a href="([^"]+)">`)

// link is the address that the person opens: that in the account's message, or the one in the code itself.
func (s scanned) link(t *testing.T) string {
	t.Helper()
	if found := chatLink.FindStringSubmatch(s.Shown); found != nil {
		return html.UnescapeString(found[1])
	}
	if s.Open == "" {
		t.Fatalf("the scan leads nowhere: %+v", s)
	}
	return s.Open
}

func (tb *tab) loggedIn() bool {
	tb.t.Helper()
	return strings.Contains(value(tb, "cookies", chromedp.Evaluate[string]("document.cookie")), idCookie+"=")
}

func (tb *tab) waitVisible(selector string) {
	tb.t.Helper()
	tb.run("wait for "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
}

// part is the selector of what the waiting page shows in a state.
func part(state string) string { return `[data-when="` + state + `"]:not([hidden])` }

func followerScans(t *testing.T, browser context.Context) {
	p := startDev(t, nil, scanOnDesktops)
	desk, phone := openDesktop(t, browser, p), openPhone(t, browser, p, "alice")
	phone.visit("/login", "#register") // known from before
	phone.tap("#register", "#logout, #allow")
	if !strings.HasPrefix(phone.location(), p.bridge) {
		phone.tap("#allow", "#logout")
	}
	name := phone.text("#nickname")

	for _, lang := range []string{"zh-CN", "en"} {
		desk.visit("/login/scan?return_to=%2F%3Ffrom%3Dscan&lang="+lang, "#qr")
		desk.screenshot("desktop-waiting-" + lang)
	}
	says := desk.readCode()
	if strings.HasPrefix(says, p.bridge) {
		t.Fatalf("the code is not the account's: %s", says)
	}
	report := p.scan(t, "alice", says)
	if report.Event != "SCAN" {
		t.Errorf("%+v", report)
	}
	desk.waitVisible(part("scanned"))
	desk.screenshot("desktop-scanned")
	if desk.loggedIn() {
		t.Fatal("logged in before the tap")
	}
	for _, lang := range []string{"zh-CN", "en"} {
		phone.visit(report.link(t)+"&lang="+lang, "#confirm")
		phone.screenshot("phone-question-" + lang)
	}
	if got := phone.text("#nickname"); got != name {
		t.Errorf("the question is about %q, want %q", got, name)
	}
	if got := phone.text("#browser"); !strings.Contains(got, "Chrome") || !strings.Contains(phone.text("#address"), "127.0.0.1") {
		t.Errorf("the question shows %q and %q", got, phone.text("#address"))
	}
	if started := phone.text("#started"); strings.Contains(started, "UTC") || started == "" {
		t.Errorf("the time is not in the phone's zone: %q", started)
	}
	phone.tap("#confirm", "#message")
	phone.screenshot("phone-confirmed")
	desk.waitVisible("#logout")
	if got := strings.TrimPrefix(desk.location(), p.bridge); got != "/?from=scan" {
		t.Errorf("the desktop lands at %s", got)
	}
	if got := desk.text("#nickname"); got != name {
		t.Errorf("the desktop greets %q, want %q", got, name)
	}
	desk.screenshot("desktop-home")
	desk.checkClean()
	phone.checkClean()
}

func strangerScans(t *testing.T, browser context.Context) {
	p := startDev(t, nil, scanOnDesktops)
	desk, phone := openDesktop(t, browser, p), openPhone(t, browser, p, "bob")
	desk.visit("/login", "#qr")
	report := p.scan(t, "bob", desk.readCode())
	if report.Event != "subscribe" {
		t.Errorf("%+v", report)
	}
	phone.visit(report.link(t), "#register")
	phone.tap("#register", "#allow, #confirm")
	if !strings.HasPrefix(phone.location(), p.bridge) {
		phone.tap("#allow", "#confirm")
	}
	phone.tap("#confirm", "#message")
	desk.waitVisible("#logout")
	desk.checkClean()
	phone.checkClean()
}

// An attacker shows their own code to a victim.
func relayedCode(t *testing.T, browser context.Context) {
	p := startDev(t, nil, scanOnDesktops)
	attacker, victim, other := openDesktop(t, browser, p), openPhone(t, browser, p, "bob"), openDesktop(t, browser, p)
	victim.register("bob")
	attacker.visit("/login", "#qr")
	other.visit("/login", "#qr")
	report := p.scan(t, "bob", attacker.readCode())
	attacker.waitVisible(part("scanned"))
	victim.visit(report.link(t), "#confirm")
	for range 5 {
		attacker.visit("/login", part("scanned"))
		if attacker.loggedIn() || other.loggedIn() {
			t.Fatal("a relayed code logs in without a tap")
		}
	}
	victim.tap("#confirm", "#message")
	attacker.waitVisible("#logout")
	other.visit("/login", "#qr")
	if other.loggedIn() {
		t.Error("another browser is logged in")
	}
}

func declinedScan(t *testing.T, browser context.Context) {
	p := startDev(t, nil, scanOnDesktops)
	desk, phone := openDesktop(t, browser, p), openPhone(t, browser, p, "bob")
	phone.register("bob")
	desk.visit("/login", "#qr")
	first := desk.readCode()
	phone.visit(p.scan(t, "bob", first).link(t), "#decline")
	phone.tap("#decline", "#message")
	phone.screenshot("phone-declined")
	desk.waitVisible("#new")
	desk.screenshot("desktop-declined")
	desk.tap("#new", "#qr")
	if second := desk.readCode(); second == first {
		t.Error("the same code again")
	}
	if again := p.scan(t, "bob", first); strings.Contains(again.Shown, "<a") || again.Shown == "" {
		t.Errorf("a code that was declined is answered %q", again.Shown)
	}
	phone.visit("/login/scan/confirm?lang=en&scan="+strings.Repeat("A", 26), "#message")
	phone.screenshot("phone-over")
	phone.visit(p.scan(t, "bob", desk.readCode()).link(t), "#confirm")
	phone.tap("#confirm", "#message")
	desk.waitVisible("#logout")
	desk.checkClean()
}

func scanWithoutCodes(t *testing.T, browser context.Context) {
	p := startDev(t, nil, scanOnDesktops)
	p.fault(t, fault{Path: "/cgi-bin/qrcode/create", ErrCode: 48001}.always())
	desk, phone := openDesktop(t, browser, p), openPhone(t, browser, p, "bob")
	phone.register("bob")
	desk.visit("/login?lang=en", "#qr")
	desk.screenshot("desktop-direct")
	report := p.scan(t, "bob", desk.readCode())
	if !strings.HasPrefix(report.Open, p.bridge+"/login/scan/confirm?") {
		t.Fatalf("the code says %+v", report)
	}
	phone.visit(report.link(t), "#confirm")
	phone.tap("#confirm", "#message")
	desk.waitVisible("#logout")
}

// devEventEnv lets a serve take the pushes of the simulator's dev set.
func devEventEnv() []string {
	p := product{official: simulator.DevApps("")[0]}
	return p.eventEnv()
}

// The computer waits at one process, the phone and WeChat talk to the other; the first is stopped and started again while the
// computer waits.
func scanOverTwoProcesses(t *testing.T, browser context.Context) {
	one, two := startPair(t, append(devEventEnv(), scanOnDesktops)...)
	desk, phone := openDesktop(t, browser, two), openPhone(t, browser, one, "bob")
	phone.register("bob")
	desk.visit("/login", "#qr")
	report := one.scan(t, "bob", desk.readCode())
	desk.waitVisible(part("scanned"))

	if code := two.end(); code != 0 {
		t.Fatalf("the process ended with %d", code)
	}
	desk.waitVisible("#offline")
	two.end = runCommand(t, two.log, []string{"serve"}, two.env, io.Discard)
	two.waitReady(t)
	waitFor(t, 20*time.Second, "the page to come back", func() bool {
		return value(desk, "offline", chromedp.Evaluate[bool](`document.getElementById("offline").hidden`))
	})

	phone.visit(report.link(t), "#confirm")
	phone.tap("#confirm", "#message")
	desk.waitVisible("#logout")
	if !strings.HasPrefix(desk.location(), two.bridge) {
		t.Errorf("the desktop is at %s", desk.location())
	}
}
