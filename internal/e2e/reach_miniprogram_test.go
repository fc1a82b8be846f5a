package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"golang.org/x/sync/errgroup"

	"wxbridge/internal/testenv"
)

const (
	miniPhone   = "/miniprogram/phone"
	miniProfile = "/miniprogram/profile"
	miniTicket  = "/miniprogram/webview-ticket"
	loginTicket = "/login/ticket"

	webViewAgent = "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) " +
		"Mobile/15E148 MicroMessenger/8.0.69(0x18004539) NetType/4G Language/zh_CN miniProgram/wx336dcaf6a1ecf632"
)

// phoneCode is what the phone button gives that person.
func (p *product) phoneCode(t testing.TB, person string) string {
	t.Helper()
	var answer struct{ Code string }
	p.control(t, http.MethodPost, "/_simulator/phone-code", map[string]string{"person": person, "appid": p.mini.AppID}, &answer)
	return answer.Code
}

// userInfo is what wx.getUserInfo gives that person, as the bridge wants it.
func (p *product) userInfo(t testing.TB, person string) string {
	t.Helper()
	var answer struct{ RawData, Signature, EncryptedData, IV string }
	p.control(t, http.MethodPost, "/_simulator/encrypted-profile", map[string]string{"person": person, "appid": p.mini.AppID}, &answer)
	return mustJSON(t, map[string]string{"encrypted_data": answer.EncryptedData, "iv": answer.IV, "raw_data": answer.RawData, "signature": answer.Signature})
}

func (p *product) ticket(t testing.TB, token string) string {
	t.Helper()
	h := p.api(t, http.MethodPost, miniTicket, token, "")
	answer := decode(t, h)
	if h.status != http.StatusOK || answer["expires_in"] != 60.0 {
		t.Fatalf("%v: %s", h, h.body)
	}
	wantKeys(t, "ticket", answer, []string{"ticket", "expires_in"})
	return answer["ticket"].(string)
}

// tapTicket sends the form of the ticket page as a web-view does.
func (p *product) tapTicket(ticket, returnTo string) (hop, error) {
	form := url.Values{"ticket": {ticket}, "return_to": {returnTo}}
	return (&phone{product: p}).send(http.MethodPost, p.bridge+loginTicket, http.Header{"Content-Type": {"application/x-www-form-urlencoded"},
		"Accept": {"text/html"}, "User-Agent": {webViewAgent}, "Sec-Fetch-Site": {"same-origin"}}, []byte(form.Encode()))
}

func TestMiniProgramData(t *testing.T) {
	one, two := startPair(t)
	token := one.miniToken(t, "alice")
	number := decode(t, one.api(t, http.MethodPost, miniPhone, token, `{"code":"`+one.phoneCode(t, "alice")+`"}`))
	wantKeys(t, "phone", number, []string{"phone_number", "country_code"})

	// Whichever process a request reaches has the same session key, and the same fan.
	one.set(t, "profile-data", "real")
	me := decode(t, two.api(t, http.MethodPost, miniProfile, token, one.userInfo(t, "alice")))
	if me["phone_number"] != number["phone_number"] || me["nickname"] == "" || me["registered"] != true {
		t.Errorf("me: %v", me)
	}
	one.jsCode(t, "alice") // a login that the bridge does not see
	answer := wantError(t, two.api(t, http.MethodPost, miniProfile, token, one.userInfo(t, "alice")), http.StatusBadRequest, "invalid_grant")
	if !strings.Contains(fmt.Sprint(answer["error_description"]), "Log in again") {
		t.Errorf("stale session: %v", answer)
	}
	again := two.miniToken(t, "alice")
	if h := one.api(t, http.MethodPost, miniProfile, again, one.userInfo(t, "alice")); h.status != http.StatusOK {
		t.Errorf("%v: %s", h, h.body)
	}
	for _, route := range []string{miniPhone, miniProfile, miniTicket} {
		wantError(t, one.api(t, http.MethodPost, route, one.phone("bob").login(t).access, `{"code":"x"}`), http.StatusForbidden, "access_denied")
	}
}

// FLW-14: a ticket is used once, also where it meets several processes at once.
func TestFLW14_TicketsOfSeveralProcesses(t *testing.T) {
	one, two := startPair(t)
	token := one.miniToken(t, "alice")
	for range 5 {
		ticket := one.ticket(t, token)
		var landed atomic.Int32
		var group errgroup.Group
		for n := range 20 {
			group.Go(func() error {
				h, err := []*product{one, two}[n%2].tapTicket(ticket, "/shop")
				switch {
				case err != nil:
					return err
				case h.status == http.StatusSeeOther && h.grants() && h.header.Get("Location") == "/shop":
					landed.Add(1)
				case h.status != http.StatusBadRequest || h.grants():
					return fmt.Errorf("%v: %s", h, h.body)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if landed.Load() != 1 {
			t.Fatalf("a ticket logged in %d times", landed.Load())
		}
	}

	// What ends the session on one process ends its tickets on the other at once.
	ticket := one.ticket(t, token)
	if h := one.api(t, http.MethodPost, "/logout", token, ""); h.status != http.StatusNoContent {
		t.Fatalf("%v: %s", h, h.body)
	}
	if h, err := two.tapTicket(ticket, "/"); err != nil || h.status != http.StatusBadRequest || h.grants() {
		t.Errorf("%v: %v", h, err)
	}
}

// The example mini program in the launcher, and the web-view it opens, in a real browser.
func TestBrowserMiniProgram(t *testing.T) {
	browser := testenv.Chromium(t)
	for name, way := range map[string]func(*testing.T, *tab){
		"phone on the first tap, logins racing": phoneOnTheFirstTap,
		"the nickname form":                     nicknameForm,
		"the web-view":                          webView,
	} {
		t.Run(name, func(t *testing.T) { way(t, openTab(t, browser, startDev(t, nil), true)) })
	}
}

// openProgram runs the mini program as somebody.
func (tb *tab) openProgram(person string) {
	tb.t.Helper()
	tb.visit(tb.product.simulator+"/", `[data-person="`+person+`"]`)
	tb.tap(`[data-person="`+person+`"]`, "#tab-miniprogram")
	tb.tap("#tab-miniprogram", "#miniprogram-view #read-me")
}

// startAndTap starts the program anew, taps the phone button as soon as it is there, and tells what the page says then.
const startAndTap = `(async () => {
	const shown = async (what) => {
		const deadline = Date.now() + 8000;
		for (;;) {
			const element = document.querySelector('#miniprogram-view ' + what);
			if (element && element.textContent.trim() !== '') return element;
			if (Date.now() > deadline) return { textContent: 'no ' + what + ': ' + document.querySelector('#miniprogram-view').textContent, click() {} };
			await new Promise((resolve) => setTimeout(resolve, 5));
		}
	};
	document.querySelector('#miniprogram-restart').click();
	(await shown('#phone')).click();
	return (await shown('#note')).textContent;
})()`

// storedToken is what the program keeps.
const storedToken = `JSON.parse(localStorage[Object.keys(localStorage).find((key) => key.endsWith(':wxbridge.session'))]).data.token`

func phoneOnTheFirstTap(t *testing.T, tb *tab) {
	p := tb.product
	tb.openProgram("alice")
	tb.screenshot("index")
	for try := range 100 {
		token := value(tb, "token", chromedp.Evaluate[string](storedToken))
		var racing errgroup.Group
		racing.Go(func() error { // on another device: a new session key; and now and then the end of this one's token
			_, err := p.tryMiniLogin("alice")
			if err == nil && try%2 == 0 {
				_, err = p.tryAPI(http.MethodPost, "/logout", token, "")
			}
			return err
		})
		says := value(tb, "tap", chromedp.Evaluate[string](startAndTap, chromedp.EvalAwaitPromise))
		if err := racing.Wait(); err != nil {
			t.Fatal(err)
		}
		if says != "已保存" && says != "Saved" {
			t.Fatalf("try %d: the page says %q", try, says)
		}
	}
	if got := tb.text("#phone-number"); len(got) != 11 {
		t.Errorf("the page shows the number %q", got)
	}
	tb.screenshot("phone")
	tb.checkClean()
}

func nicknameForm(t *testing.T, tb *tab) {
	tb.openProgram("bob")
	tb.run("type a name", chromedp.SendKeys(chromedp.CSS("#miniprogram-view #nickname"), "小明🦊"))
	tb.tap("#miniprogram-view #save", "#note")
	waitFor(t, 10*time.Second, "the greeting", func() bool { return strings.Contains(tb.text("#greeting"), "小明🦊") })
	tb.screenshot("nickname")
	tb.checkClean()
}

func webView(t *testing.T, tb *tab) {
	p := tb.product
	tb.openProgram("bob")
	fan := tb.text("#fan-id")
	tb.run("type a name", chromedp.SendKeys(chromedp.CSS("#miniprogram-view #nickname"), "小明🦊"))
	tb.tap("#miniprogram-view #save", "#note")
	tb.tap("#miniprogram-view #open-web", "#continue")
	if got := tb.text("#nickname"); got != "小明🦊" || !strings.HasPrefix(tb.location(), p.bridge+loginTicket) {
		t.Errorf("%s asks about %q", tb.location(), got)
	}
	tb.screenshot("ticket")
	if h := tb.cookies(); strings.Contains(h, idCookie) {
		t.Errorf("logged in before the tap: %s", h)
	}
	ticketPage := tb.location()
	tb.tap("#lang", "#continue")
	tb.screenshot("ticket-other-language")
	tb.tap("#continue", "#logout")
	if claims := p.identity(t, tb.idToken()); tb.location() != p.bridge+"/" || claims["sub"] != fan || tb.text("#nickname") != "小明🦊" {
		t.Errorf("%s is %v, the mini program %s", tb.location(), claims, fan)
	}
	tb.screenshot("home")
	tb.visit(ticketPage, "#logout") // Back, or WeChat loads the web-view again: the ticket is spent, and nobody has to know
	for _, address := range tb.shown() {
		if u, err := url.Parse(address); err == nil && u.Query().Has("ticket") && u.Path != loginTicket {
			t.Errorf("FLW-14 the ticket stays in the address: %s", address)
		}
	}

	// Once more: the browser is this fan already, so nobody is asked.
	tb.openProgram("bob")
	tb.tap("#miniprogram-view #open-web", "#logout")

	// A spent ticket in a browser that is logged out.
	tb.tap("#logout", "#login")
	tb.visit(ticketPage, "#request-id")
	tb.screenshot("spent")

	// The link in a browser that is no web-view.
	ticket := p.ticket(t, p.miniToken(t, "bob"))
	tb.run("be WeChat's browser", chromedp.Evaluate[chromedp.Void](`document.cookie = "simulator_browser=wechat; path=/"; document.cookie`))
	tb.visit(loginTicket+"?ticket="+url.QueryEscape(ticket), "#home")
	tb.screenshot("outside")
	tb.checkClean()
}

func (tb *tab) cookies() string {
	tb.t.Helper()
	return value(tb, "cookies", chromedp.Evaluate[string]("document.cookie"))
}

func (tb *tab) idToken() string {
	tb.t.Helper()
	return value(tb, "ID token", chromedp.Evaluate[string](`(document.cookie.match(/wxbridge_id=([^;]+)/) || [])[1] || ""`))
}
