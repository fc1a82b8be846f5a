package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"wxbridge/internal/testenv"
	"wxbridge/wechat/simulator"
)

// A real browser goes the ways of WeCom's members, and of people who are none.
func TestWeComBrowser(t *testing.T) {
	browser := testenv.Chromium(t)
	for name, way := range map[string]func(*testing.T, *tab){
		"a member inside WeCom sees no page":  memberInWeCom,
		"a member on a PC scans a code":       memberOnAPC,
		"a refusal on a PC leads back":        memberRefuses,
		"who is no member meets a kind page":  noMember,
		"a disabled member meets a kind page": disabledMember,
		"a member who is disabled is out":     memberIsDisabled,
	} {
		t.Run(name, func(t *testing.T) { way(t, openTab(t, browser, startDev(t, nil), true)) })
	}
}

// as makes the tab one of the browsers that dev knows, for bridge and simulator.
func (tb *tab) as(kind string) {
	tb.t.Helper()
	for _, origin := range []string{tb.product.bridge, tb.product.simulator} {
		tb.run("be "+kind, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, network.SetCookie, network.SetCookieParams{Name: "simulator_browser", Value: kind, URL: origin})
			return err
		}))
	}
}

func (tb *tab) idClaims() map[string]any {
	tb.t.Helper()
	raw := value(tb, "ID token", chromedp.Evaluate[string](`(document.cookie.match(/wxbridge_id=([^;]+)/) || [])[1] || ""`))
	return tb.product.identity(tb.t, raw)
}

func memberInWeCom(t *testing.T, tb *tab) {
	tb.as("wecom")
	tb.hold("wei")
	tb.visit("/login?return_to=/", "#logout")
	if name := tb.idClaims()["nickname"]; name != "魏小明" || tb.text("#nickname") != name {
		t.Errorf("the page greets %q, the token names %v", tb.text("#nickname"), name)
	}
	for _, address := range tb.shown() {
		if !strings.HasPrefix(address, tb.product.bridge+"/#") && address != tb.product.bridge+"/" && address != "about:blank" {
			t.Errorf("a page on the way: %s", address)
		}
	}
	tb.checkClean()
}

func memberOnAPC(t *testing.T, tb *tab) {
	tb.as("desktop")
	tb.visit("/login/wecom?return_to=/", `[data-person="wei"]`)
	tb.tap(`[data-person="wei"]`, "#allow")
	tb.screenshot("pc-confirm")
	tb.tap("#allow", "#logout")
	if name := tb.idClaims()["nickname"]; name != "魏小明" {
		t.Errorf("the token names %v", name)
	}
	if at := tb.location(); strings.Contains(at, "code=") || strings.Contains(at, "state=") || strings.Contains(at, "appid=") {
		t.Errorf("FLW-11 %s stays in the address", at)
	}
	tb.checkClean()
}

func memberRefuses(t *testing.T, tb *tab) {
	tb.as("desktop")
	tb.visit("/login/wecom?return_to=/", `[data-person="wei"]`)
	tb.tap(`[data-person="wei"]`, "#deny")
	tb.tap("#deny", "#login")
	if at := tb.location(); at != tb.product.bridge+"/login/refused" {
		t.Errorf("a refusal ends at %s", at)
	}
	tb.screenshot("refused")
	tb.tap("#login", "#allow")
	tb.tap("#allow", "#logout")
	tb.checkClean()
}

func noMember(t *testing.T, tb *tab) {
	turnedAway(t, tb, "guest", "不是这家企业的成员", "not a member")
}

func disabledMember(t *testing.T, tb *tab) { turnedAway(t, tb, "dai", "已被禁用", "is disabled") }

func turnedAway(t *testing.T, tb *tab, person, chinese, english string) {
	tb.as("wecom")
	tb.hold(person)
	tb.visit("/login?return_to=/me", "#message")
	if at := strings.TrimSuffix(tb.location(), "#wechat_redirect"); at != tb.product.bridge+"/login/not-member" {
		t.Errorf("turned away to %s", at)
	}
	for lang, want := range map[string]string{"zh-CN": chinese, "en": english} {
		tb.visit("/login/not-member?lang="+lang, "#message")
		if text := tb.text("#message"); !strings.Contains(text, want) {
			t.Errorf("told %q", text)
		}
		tb.screenshot(lang)
	}
	if cookies := value(tb, "cookies", chromedp.Evaluate[string]("document.cookie")); strings.Contains(cookies, idCookie) {
		t.Error("there is a token")
	}
	// Somebody else takes the phone and tries again.
	tb.hold("wei")
	tb.run("try again", testenv.Click("#login"))
	tb.run("wait", chromedp.WaitVisible(chromedp.CSS("pre")))
	if at := strings.TrimSuffix(tb.location(), "#wechat_redirect"); at != tb.product.bridge+"/me" {
		t.Errorf("the second try ends at %s", at)
	}
	tb.checkClean()
}

// What the administrator does in the console is heard at once.
func memberIsDisabled(t *testing.T, tb *tab) {
	tb.as("wecom")
	tb.hold("wei")
	tb.visit("/login?return_to=/", "#logout")
	var report simulator.MemberReport
	tb.product.control(t, http.MethodPost, "/_simulator/wecom/members", map[string]string{"appid": corpOf(t).AppID, "person": "wei",
		"status": "disabled"}, &report)
	if len(report.Events) == 0 || !report.Events[0].Delivered {
		t.Fatalf("%+v", report)
	}
	tb.visit("/", "#login")
	tb.visit("/login?return_to=/", "#message")
	if at := strings.TrimSuffix(tb.location(), "#wechat_redirect"); at != tb.product.bridge+"/login/not-member" {
		t.Errorf("comes back to %s", at)
	}
}

// corpOf is the WeCom app of the command dev.
func corpOf(t testing.TB) simulator.App {
	t.Helper()
	for _, app := range simulator.DevApps("") {
		if app.Provider == simulator.ProviderWeCom {
			return app
		}
	}
	t.Fatal("the dev set has no WeCom app")
	return simulator.App{}
}

// dev brings a corp: the mini program's way, without a browser.
func TestWeComMiniProgram(t *testing.T) {
	p := startDev(t, nil)
	corp := corpOf(t)
	var js struct{ Code string }
	p.control(t, http.MethodPost, "/_simulator/js-code", map[string]string{"person": "wei", "appid": corp.AppID}, &js)
	res := p.api(t, http.MethodPost, "/miniprogram/login", "", `{"code":"`+js.Code+`","app":"`+corp.AppID+`"}`)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(res.body, &answer); err != nil || res.status != http.StatusOK {
		t.Fatalf("%v %s", res, res.body)
	}
	claims := p.access(t, answer.AccessToken)
	departments, _ := claims["departments"].([]any)
	if claims["provider"] != "wecom" || claims["appid"] != corp.AppID || claims["openid"] != "wei" || len(departments) != 2 || departments[0] != 2.0 {
		t.Errorf("claims %v", claims)
	}
}

// The console tries the address, and the bridge's log stays free of codes and tokens of WeCom's.
func TestWeComCallbackVerification(t *testing.T) {
	p := startDev(t, nil)
	var report simulator.VerifyReport
	p.control(t, http.MethodPost, "/_simulator/events/verify", map[string]any{"appid": corpOf(t).AppID, "agentid": corpOf(t).AgentID}, &report)
	if !report.Verified {
		t.Errorf("%+v", report)
	}
	if log := p.logged(t); strings.Contains(log, "echostr") || strings.Contains(log, strconv.Quote(corpOf(t).Secret)) {
		t.Error("LOG-02 the log has what it must not have")
	}
}
