package e2e

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"wxbridge/internal/testenv"
)

// realBrowser lets Chromium go the whole way, to which names the proxy and not a resolver leads it: cookies of a whole domain
// and __Host- cookies are as it sees them.
func realBrowser(t *testing.T, s *stand) {
	host, port, _ := net.SplitHostPort(s.address)
	var rules []string
	for _, name := range []string{"www", "app", "login"} {
		rules = append(rules, "MAP "+name+".example.com:443 "+host+":"+port)
	}
	browser := testenv.Chromium(t, chromedp.Flag("host-resolver-rules", strings.Join(rules, ",")),
		chromedp.Flag("ignore-certificate-errors", true))
	tb := openTab(t, browser, s.product, true)
	tb.hold("bob-in-" + s.proxy)
	s.site.forget()
	tb.visit(s.layout.site+orderPage, "#register")
	if n := len(s.site.requests()); n != 0 {
		t.Fatalf("%d requests reached the site before the login", n)
	}
	tb.screenshot("register")
	tb.tap("#register", "#allow")
	tb.tap("#allow", "#page")
	if got := strings.TrimSuffix(tb.location(), "#wechat_redirect"); got != s.layout.site+orderPage {
		t.Errorf("the login ends at %s, want %s", got, s.layout.site+orderPage)
	}
	user := tb.text("#page")
	if user == "" || s.site.last(t).Header.Get("Remote-User") != user {
		t.Errorf("the page greets %q", user)
	}

	// The page's own scripts: fetch, and a WebSocket.
	if got := tb.script(`fetch("/data").then(r => r.status + " " + r.headers.get("content-type"))`); got != "200 application/json" {
		t.Errorf("fetch of somebody logged in: %s", got)
	}
	if got := tb.script(`new Promise((ok, no) => { const s = new WebSocket("wss://" + location.host + "/socket");
		s.onmessage = m => { s.close(); ok(m.data) }; s.onerror = () => ok("no socket") })`); got != "hello "+user {
		t.Errorf("the WebSocket says %q", got)
	}
	tb.run("forget all cookies", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, network.ClearBrowserCookies, cdp.Empty{})
		return err
	}))
	stranger := tb.script(`fetch("/data?x=1").then(async r => r.status + " " + (await r.json()).login_url)`)
	if !strings.HasPrefix(stranger, "401 "+s.layout.bridge+"/login?return_to=") {
		t.Errorf("FWD-07 fetch of a stranger: %s", stranger)
	}
	for _, problem := range tb.complaints() {
		if strings.Contains(problem, "Content Security Policy") || strings.Contains(problem, "Uncaught") {
			t.Errorf("the browser complains: %s", problem)
		}
	}
}

// script runs an expression in the page and waits for its promise.
func (tb *tab) script(expression string) string {
	tb.t.Helper()
	return value(tb, "script", chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
}
