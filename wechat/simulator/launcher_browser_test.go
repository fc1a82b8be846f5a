package simulator_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"wxbridge/internal/testenv"
)

// The example's own files are read from disk: this package imports nothing of the repository.
const exampleProgram = "../../examples/miniprogram"

func TestLauncherInABrowser(t *testing.T) {
	w, _ := newLauncher(t, os.DirFS(exampleProgram))
	home := atLocalhost(w.url)
	browser := testenv.Chromium(t)

	t.Run("the menu opens the login for the person chosen", func(t *testing.T) {
		p := openPhone(t, browser, atLocalhost(w.url)+"/?lang=en")
		p.run(
			click(`[data-person="bob"]`),
			visible(`[data-person="bob"][aria-pressed="true"]`),
			click(`#menu-login`),
			ready(`body`),
		)
		p.eventually("location.pathname", "/login")
		if got := p.cookiesAt(home); got != "simulator_person=bob; simulator_entry=menu" {
			t.Errorf("cookies of the simulator: %q", got)
		}
	})

	t.Run("the choice is the authorize page's choice, for strangers too", func(t *testing.T) {
		p := openPhone(t, browser, home)
		p.run(
			typed(`#another input`, "某 人\r"),
			p.eval("person", `document.body.dataset.person`),
			chromedp.Navigate(home+w.link(site, "snsapi_userinfo", "s")+"#wechat_redirect"),
			p.text("nickname", `#nickname`),
		)
		if p.kept["person"] != "某 人" || p.kept["nickname"] != "某 人" {
			t.Errorf("%v", p.kept)
		}
	})

	t.Run("a link does not count as the menu", func(t *testing.T) {
		p := openPhone(t, browser, home)
		p.run(p.eval("", `(document.cookie = 'simulator_entry=menu; path=/', document.cookie)`))
		p.run(
			click(`#tab-links`),
			filled(`#link`, "/login?scope=userinfo&return_to=/a%3Fb"),
			typed(`#link`, "\r"),
		)
		p.eventually("location.pathname + location.search", "/login?scope=userinfo&return_to=/a%3Fb")
		if got := p.cookiesAt(home); got != "" {
			t.Errorf("cookies of the simulator: %q", got)
		}
	})

	t.Run("after a change of hands the next login asks anew, once", func(t *testing.T) {
		p := openPhone(t, browser, home)
		p.run(click(`[data-person="bob"]`), click(`#menu-login`))
		p.eventually("location.pathname + location.search", "/login")
		p.run(chromedp.Navigate(home), click(`[data-person="alice"]`), chromedp.Navigate(home), click(`#menu-login`))
		p.eventually("location.pathname + location.search", "/login?prompt=login")
		p.run(chromedp.Navigate(home), click(`#menu-login`))
		p.eventually("location.pathname + location.search", "/login")
	})

	t.Run("an address that is no link is refused", func(t *testing.T) {
		p := openPhone(t, browser, home)
		for _, wrong := range []string{"javascript:document.title='ran'", "data:text/html,x", " ", "http://", "ftp://127.0.0.1/"} {
			p.run(
				click(`#tab-links`),
				filled(`#link`, wrong),
				typed(`#link`, "\r"),
				visible(`#wrong-link`),
				p.eval("at", `(document.getElementById('wrong-link').hidden = true, location.pathname + document.title)`),
			)
			if strings.Contains(p.kept["at"], "ran") || !strings.HasPrefix(p.kept["at"], "/") {
				t.Errorf("%q led to %q", wrong, p.kept["at"])
			}
		}
	})
}

func TestMiniProgramInABrowser(t *testing.T) {
	w, b := newLauncher(t, os.DirFS(exampleProgram))
	browser := testenv.Chromium(t)
	openid, _ := w.account("bob", w.mini.AppID)
	storageKey := "wx:" + w.mini.AppID + ":bob:wxbridge.session"

	p := openPhone(t, browser, atLocalhost(w.url)+"/?lang=en")
	p.run(click(`#tab-miniprogram`), visible(`#miniprogram-hint`))
	if b.requests() != 0 {
		t.Error("the program ran before somebody held the phone")
	}

	t.Run("it logs in, keeps the token and calls the API", func(t *testing.T) {
		p.run(
			click(`[data-person="bob"]`),
			visible(`#miniprogram-view [data-state="in"] #greeting`),
			p.text("greeting", `#greeting`),
			p.text("fan", `#fan-id`),
			ready(`#miniprogram-view[data-person="bob"][data-page="pages/index/index"][data-stored="wxbridge.session"]`),
			p.eval("token", `JSON.parse(localStorage.getItem(`+quoted(storageKey)+`)).data.token`),
			p.text("calls", `#miniprogram-calls`),
			p.text("title", `#bar-title`),
		)
		for name, want := range map[string]string{
			"greeting": "Hello, WeChat user", "fan": "fan-of-" + openid, "token": openid, "title": "wxbridge",
			"calls": "wx.login code\nwx.request POST /miniprogram/login → 200\nwx.request GET /me → 200",
		} {
			if p.kept[name] != want {
				t.Errorf("%s: %q, want %q", name, p.kept[name], want)
			}
		}
		if n := b.loginCount(); n != 1 {
			t.Errorf("%d logins", n)
		}
	})

	t.Run("after a reload the kept token is used", func(t *testing.T) {
		p.run(chromedp.Reload(), visible(`#greeting`))
		if n := b.loginCount(); n != 1 {
			t.Errorf("%d logins", n)
		}
	})

	t.Run("a token that is refused is replaced silently", func(t *testing.T) {
		b.mu.Lock()
		b.good = "another"
		b.mu.Unlock()
		p.run(click(`#read-me`), visible(`#miniprogram-toast`))
		p.eventually(`document.getElementById('miniprogram-toast').textContent`, "Up to date")
		if n := b.loginCount(); n != 2 {
			t.Errorf("%d logins", n)
		}
	})

	t.Run("another person is another phone", func(t *testing.T) {
		alice, _ := w.account("alice", w.mini.AppID)
		p.run(
			click(`[data-person="alice"]`),
			visible(`#miniprogram-view[data-person="alice"] #fan-id`),
			p.text("fan", `#fan-id`),
		)
		if p.kept["fan"] != "fan-of-"+alice {
			t.Errorf("alice sees %s", p.kept["fan"])
		}
		p.run(click(`[data-person="bob"]`), visible(`#miniprogram-view[data-person="bob"] #fan-id`))
	})

	t.Run("logging out removes the token", func(t *testing.T) {
		p.run(
			click(`#log-out`),
			visible(`#miniprogram-view [data-state="out"] #log-in`),
			ready(`#miniprogram-view[data-stored=""]`),
			p.eval("kept", `String(localStorage.getItem(`+quoted(storageKey)+`))`),
		)
		if p.kept["kept"] != "null" {
			t.Errorf("kept: %s", p.kept["kept"])
		}
		p.run(click(`#log-in`), visible(`#greeting`))
	})

	t.Run("an error of the bridge is shown and can be retried", func(t *testing.T) {
		w.fault(map[string]any{"path": "/sns/jscode2session", "errcode": 40029})
		p.run(
			click(`#log-out`), visible(`#log-in`),
			click(`#log-in`), visible(`#miniprogram-view [data-state="failed"]`),
			p.text("problem", `#problem`),
			click(`#log-in`), visible(`#greeting`),
		)
		if !strings.HasPrefix(p.kept["problem"], "invalid_grant") {
			t.Errorf("problem: %q", p.kept["problem"])
		}
	})
}

// A program of every kind of markup and call that the launcher knows, written for this test.
func TestMiniProgramRuntime(t *testing.T) {
	w, _ := newLauncher(t, os.DirFS("testdata/program"))
	p := openPhone(t, testenv.Chromium(t), atLocalhost(w.url)+"/?lang=zh-CN#miniprogram")
	p.run(click(`[data-person="bob"]`), visible(`#done`), p.text("results", `#results`))
	for line := range strings.Lines(p.kept["results"]) {
		if !strings.HasPrefix(line, "ok ") {
			t.Errorf("%s", line)
		}
	}
	if got := strings.Count(p.kept["results"], "ok "); got < 25 {
		t.Errorf("%d results:\n%s", got, p.kept["results"])
	}

	t.Run("taps bubble unless caught, and bring the data of the element", func(t *testing.T) {
		p.run(click(`#inner`), click(`#caught`))
		p.eventually(`document.getElementById('taps').textContent`, `inner:{"id":7} outer:{} caught:{"longName":"x"}`)
	})

	t.Run("styles are in rpx and stay inside the phone", func(t *testing.T) {
		p.run(p.eval("style", `getComputedStyle(document.getElementById('half')).width + ' ' + getComputedStyle(document.body).color`))
		if !strings.HasPrefix(p.kept["style"], "195px ") || strings.Contains(p.kept["style"], "rgb(1, 2, 3)") {
			t.Errorf("width and colour: %s", p.kept["style"])
		}
	})

	t.Run("a modal is answered", func(t *testing.T) {
		p.run(click(`#ask`), visible(`#miniprogram-modal`), click(`#modal-confirm`))
		p.eventually(`document.getElementById('answer').textContent`, "confirmed")
	})

	t.Run("what the program throws is shown", func(t *testing.T) {
		p.run(click(`#throw`), visible(`#miniprogram-error`), p.text("error", `#miniprogram-error`))
		if p.kept["error"] != "thrown on purpose" {
			t.Errorf("error: %q", p.kept["error"])
		}
		p.complaints() // the same, in the console
	})
}

// phone is one tab of the size of a phone with cookies of its own. What the browser complains about fails the test.
type phone struct {
	t    *testing.T
	ctx  context.Context
	kept map[string]string // what text and eval have read

	mu       sync.Mutex
	problems []string
}

func openPhone(t *testing.T, browser context.Context, address string) *phone {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	p := &phone{t: t, ctx: ctx, kept: map[string]string{}}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile)); err != nil {
		cancel()
		t.Fatalf("open a tab: %v", err)
	}
	var listeners sync.WaitGroup
	p.listen(&listeners)
	t.Cleanup(func() {
		cancel()
		listeners.Wait()
		for _, problem := range p.complaints() {
			t.Errorf("the browser complains: %s", problem)
		}
	})
	p.run(chromedp.Navigate(address), visible(`#bar-title`))
	return p
}

func (p *phone) listen(wg *sync.WaitGroup) {
	entries := chromedp.Events(p.ctx, cdplog.EntryAdded)
	exceptions := chromedp.Events(p.ctx, runtime.ExceptionThrown)
	wg.Go(func() {
		for e, err := range entries {
			if err != nil {
				return
			}
			if !strings.Contains(e.Entry.Text, "status of 4") { // refused on purpose; the page says so
				p.complain(e.Entry.Text + " " + e.Entry.URL)
			}
		}
	})
	wg.Go(func() {
		for e, err := range exceptions {
			if err != nil {
				return
			}
			p.complain(e.ExceptionDetails.Text)
		}
	})
}

func (p *phone) complain(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, text)
}

// complaints gives what was complained about since it was last asked.
func (p *phone) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	problems := p.problems
	p.problems = nil
	return problems
}

// run does the steps within 20 seconds.
func (p *phone) run(steps ...step) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("browser: %v\n%s", err, p.now())
	}
}

// now is the page's text, for the log of a failure.
func (p *phone) now() string {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	return text
}

// eventually waits until an expression has a value, across navigations.
func (p *phone) eventually(expression, want string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	got := ""
	for ctx.Err() == nil {
		now, err := chromedp.Run(ctx, chromedp.Evaluate[string](`String(`+expression+`)`))
		if err == nil && now == want {
			return
		}
		if err == nil {
			got = now
		}
	}
	p.t.Fatalf("%s is %q, want %q\n%s", expression, got, want, p.now())
}

// text and eval keep what they read in p.kept[name].
func (p *phone) text(name, selector string) step {
	return p.keep(name, chromedp.Text(chromedp.CSS(selector)))
}

func (p *phone) eval(name, expression string) step {
	return p.keep(name, chromedp.Evaluate[string](`String(`+expression+`)`))
}

func (p *phone) keep(name string, read chromedp.Action[string]) step {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		text, err := read(ctx, target)
		p.kept[name] = text
		return err
	})
}

// cookiesAt opens an address and gives the cookies that a script can see there.
func (p *phone) cookiesAt(address string) string {
	p.t.Helper()
	p.run(chromedp.Navigate(address), p.eval("cookies", "document.cookie"))
	return p.kept["cookies"]
}

// atLocalhost is the simulator's other name: its cookies are then not the bridge's.
func atLocalhost(address string) string { return strings.Replace(address, "127.0.0.1", "localhost", 1) }

func click(selector string) step   { return testenv.Click(selector) }
func visible(selector string) step { return chromedp.WaitVisible(chromedp.CSS(selector)) }
func ready(selector string) step   { return chromedp.WaitReady(chromedp.CSS(selector)) }

func typed(selector, text string) step { return chromedp.SendKeys(chromedp.CSS(selector), text) }

func filled(selector, text string) step {
	return chromedp.Steps(visible(selector), chromedp.SetValue(chromedp.CSS(selector), text))
}

func quoted(s string) string {
	raw, _ := json.Marshal(s)
	return string(raw)
}
