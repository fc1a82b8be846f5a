package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"golang.org/x/sync/errgroup"

	"wxbridge/internal/testenv"
)

const androidAgent = "Mozilla/5.0 (Linux; Android 13; 21091116UC Build/TP1A.220624.014; wv) AppleWebKit/537.36 (KHTML, like Gecko) " +
	"Version/4.0 Chrome/111.0.5563.116 Mobile Safari/537.36 XWEB/5307 MMWEBSDK/20230504 MMWEBID/6808 MicroMessenger/8.0.37.2380(0x2800255B) " +
	"WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64"

const pathTicket = "/cgi-bin/ticket/getticket"

// signPage asks for what wx.config takes.
func (p *product) signPage(address string) error {
	h, err := (&phone{product: p}).send(http.MethodGet, p.bridge+"/jssdk/config?url="+url.QueryEscape(address), nil, nil)
	if err != nil {
		return err
	}
	var answer struct {
		AppID, NonceStr, Signature string
		Timestamp                  int64
	}
	if err := json.Unmarshal(h.body, &answer); err != nil || h.status != http.StatusOK || answer.AppID != p.official.AppID || len(answer.Signature) != 40 {
		return fmt.Errorf("%v: %s", h, h.body)
	}
	return nil
}

// crowdOfPages lets each of the bridges sign n pages on the first one's address, all at once.
func crowdOfPages(t *testing.T, n int, bridges ...*product) {
	t.Helper()
	var crowd errgroup.Group
	for i := range n {
		for _, p := range bridges {
			crowd.Go(func() error { return p.signPage(fmt.Sprintf("%s/page?n=%d", bridges[0].bridge, i)) })
		}
	}
	if err := crowd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// wantOneFetch wants one ticket and one app token to have been fetched for what do does.
func wantOneFetch(t *testing.T, p *product, do func()) {
	t.Helper()
	p.fault(t, fault{Path: pathTicket, LatencyMS: 300}) // so that all of them wait for it
	before := p.calls(t)
	do()
	after := p.calls(t)
	if tickets, tokens := after[pathTicket]-before[pathTicket], after[pathStableToken]-before[pathStableToken]; tickets != 1 || tokens != 1 {
		t.Errorf("%d tickets and %d app tokens were fetched, want one of each", tickets, tokens)
	}
}

func TestJSSDK_AThousandPagesOnAColdStartFetchOneTicket(t *testing.T) {
	p := startServe(t, nil)
	wantOneFetch(t, p, func() { crowdOfPages(t, 1000, p) })
}

func TestJSSDK_TwoProcessesOnOneStoreFetchOneTicket(t *testing.T) {
	one, two := startPair(t)
	wantOneFetch(t, one, func() { crowdOfPages(t, 250, one, two) })
}

// A ticket lives in the store, sealed, so that a restart fetches no other.
func TestJSSDK_ARestartFetchesNoOtherTicket(t *testing.T) {
	database := filepath.Join(t.TempDir(), "wxbridge.db")
	env := []string{"WXBRIDGE_DATABASE=sqlite://" + database}
	p := startServe(t, nil, env...)
	if err := p.signPage(p.bridge + "/"); err != nil {
		t.Fatal(err)
	}
	if code := p.end(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	address := freeAddress(t)
	if n := p.called(t, pathTicket, func() {
		again := *p
		again.bridge, again.log = "http://"+address, new(logBuffer)
		again.end = runCommand(t, again.log, []string{"serve"}, append(with(again.serveEnv(address, p.simulator), "WXBRIDGE_LISTEN="+address), env...), io.Discard)
		again.waitReady(t)
		if err := again.signPage(again.bridge + "/"); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%d tickets were fetched after the restart", n)
	}
}

// startH5 runs examples/h5 beside a bridge that knows it under two host names, the second of which is none of the account's.
func startH5(t *testing.T) (p *product, page, otherName string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "h5")
	if out, err := exec.Command("go", "build", "-o", binary, "wxbridge/examples/h5").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	address := freeAddress(t)
	page = "http://" + address
	otherName = strings.Replace(page, "127.0.0.1", "localhost", 1)
	p = startServe(t, nil, "WXBRIDGE_RETURN_ORIGINS="+page+","+otherName)
	ctx, stop := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, binary, "-bridge", p.bridge, "-listen", address)
	command.Stdout, command.Stderr = p.log, p.log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = command.Wait() // killed
	})
	waitFor(t, 20*time.Second, "the page", func() bool {
		res, err := p.http.Get(page + "/style.css")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return p, page, otherName
}

// The example page in a real browser: its login, an API whose login has ended, and wx.config, accepted and refused.
func TestH5Page(t *testing.T) {
	browser := testenv.Chromium(t)
	p, page, otherName := startH5(t)
	tb := openTab(t, browser, p, true)
	tb.run("be WeChat on Android", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: androidAgent, AcceptLanguage: "en"})
		return err
	}))
	tb.hold("bob")

	tb.visit(page+"/?a=1&b=二#/route", "#register") // ensureLogin has left for the login
	tb.tap("#register", "#allow")
	tb.tap("#allow", "#signed-in")
	if got, want := tb.location(), page+"/?a=1&b="+url.QueryEscape("二")+"#/route"; got != want {
		t.Errorf("after the login the page is %s, want %s", got, want)
	}
	tb.screenshot("signed-in")

	tb.tap("#call-api", "#answer:not(:empty)")
	if got := tb.text("#answer"); !strings.Contains(got, `"hello"`) {
		t.Errorf("the API answers %q", got)
	}
	tb.forgetToken()
	tb.forget()
	tb.run("call the API without a credential", testenv.Click("#call-api"))
	waitFor(t, 20*time.Second, "the page to come back from a silent login", func() bool {
		shown, err := chromedp.Run(tb.ctx, chromedp.Evaluate[bool](`!document.querySelector('#signed-in').hidden && document.querySelector('#answer').textContent === ''`))
		return err == nil && shown && countPath(tb.asked(), callbackPath) == 1
	})
	tb.tap("#call-api", "#answer:not(:empty)")
	if got := tb.text("#answer"); !strings.Contains(got, `"hello"`) {
		t.Errorf("after the silent login the API answers %q", got)
	}

	tb.tap("#try-jssdk", "#answer:not(:empty)")
	waitFor(t, 20*time.Second, "wx.config to be accepted", func() bool { return strings.HasPrefix(tb.text("#answer"), "The JS-SDK is ready") })
	tb.screenshot("jssdk")
	tb.checkNoComplaint()

	const verdict = `.then(() => 'accepted', e => e.code + ' ' + e.message)`
	// The address changes between the signature and the check.
	moved := value(tb, "a page that moves", chromedp.Evaluate[string](`(() => { const ready = wxbridge.jssdk({jsApiList: ['chooseImage']});
		history.pushState(null, '', '/?moved=1'); return ready`+verdict+` })()`, chromedp.EvalAwaitPromise))
	if !strings.HasPrefix(moved, "invalid_signature ") || !strings.Contains(moved, page+"/?moved=1") || !strings.Contains(moved, page+"/?a=1") {
		t.Errorf("a page that moves: %s", moved)
	}
	// The host is none of the account's JS接口安全域名.
	tb.visit(otherName+"/", "body")
	foreign := value(tb, "a foreign host", chromedp.Evaluate[string](`wxbridge.jssdk({})`+verdict, chromedp.EvalAwaitPromise))
	if !strings.HasPrefix(foreign, "invalid_url_domain localhost:") || !strings.Contains(foreign, "JS接口安全域名") || !strings.Contains(foreign, p.official.AppID) {
		t.Errorf("a foreign host: %s", foreign)
	}
}

// forgetToken deletes the credential alone.
func (tb *tab) forgetToken() {
	tb.t.Helper()
	tb.run("delete the token", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, network.DeleteCookies, network.DeleteCookiesParams{Name: tokenCookie, URL: tb.product.bridge})
		return err
	}))
}

// checkNoComplaint wants a browser that refused nothing, but for 401s that the page knows what to do with.
func (tb *tab) checkNoComplaint() {
	tb.t.Helper()
	for _, problem := range tb.complaints() {
		if !strings.Contains(problem, "401") {
			tb.t.Errorf("the browser complains: %s", problem)
		}
	}
}

// The simulator has no console: in dev it takes the pages of all allowed origins.
func TestJSSDK_DevAcceptsThePagesOfAllowedOrigins(t *testing.T) {
	p := startDev(t, nil, "WXBRIDGE_RETURN_ORIGINS=http://localhost:5173,https://h5.example.com")
	for _, page := range []string{p.bridge + "/", "http://localhost:5173/a?b=1&c=2", "https://h5.example.com/"} {
		h := p.phone("").once(t, "/jssdk/config?url="+url.QueryEscape(page+"#/route"))
		var question map[string]any
		if err := json.Unmarshal(h.body, &question); err != nil || h.status != http.StatusOK {
			t.Fatalf("%v: %s", h, h.body)
		}
		question["call"], question["url"] = "config", page
		var verdict struct{ ErrMsg string }
		p.control(t, http.MethodPost, "/_simulator/jssdk-config", question, &verdict)
		if verdict.ErrMsg != "config:ok" {
			t.Errorf("%s: %s", page, verdict.ErrMsg)
		}
	}
}
