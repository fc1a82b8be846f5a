package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"wxbridge/internal/testenv"
)

// tab is a phone-sized tab with cookies of its own.
type tab struct {
	t       *testing.T
	product *product
	ctx     context.Context

	mu       sync.Mutex
	requests []string // addresses of everything asked for, in order
	seen     []string // addresses of pages that were shown in the top window
	problems []string // what the browser complained about
}

// openTab opens a tab of that browser. own gives it cookies of its own, which only a browser without special
// preferences can do.
func openTab(t *testing.T, browser context.Context, p *product, own bool) *tab {
	t.Helper()
	var options []chromedp.ContextOption
	if own {
		options = append(options, chromedp.WithNewBrowserContext())
	}
	ctx, cancel := chromedp.NewContext(browser, options...)
	tb := &tab{t: t, product: p, ctx: ctx}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2))); err != nil {
		cancel()
		t.Fatalf("open a tab: %v", err)
	}
	var listeners sync.WaitGroup
	tb.listen(&listeners)
	t.Cleanup(func() {
		if t.Failed() {
			tb.screenshot("failed")
			t.Logf("pages shown: %q\ncomplaints: %q", tb.shown(), tb.complaints())
		}
		cancel()
		listeners.Wait()
	})
	return tb
}

func (tb *tab) listen(wg *sync.WaitGroup) {
	requests := chromedp.Events(tb.ctx, network.RequestWillBeSent)
	shown := chromedp.Events(tb.ctx, page.FrameNavigated)
	entries := chromedp.Events(tb.ctx, cdplog.EntryAdded)
	wg.Go(func() {
		for e, err := range requests {
			if err != nil {
				return
			}
			tb.keep(&tb.requests, e.Request.URL)
		}
	})
	wg.Go(func() {
		for e, err := range shown {
			if err != nil {
				return
			}
			if e.Frame.ParentID == "" {
				tb.keep(&tb.seen, e.Frame.URL)
			}
		}
	})
	wg.Go(func() {
		for e, err := range entries {
			if err != nil {
				return
			}
			if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Source == cdplog.EntrySourceSecurity {
				tb.keep(&tb.problems, e.Entry.Text+" "+e.Entry.URL)
			}
		}
	})
}

func (tb *tab) keep(list *[]string, s string) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	*list = append(*list, s)
}

func (tb *tab) shown() []string { tb.mu.Lock(); defer tb.mu.Unlock(); return slices.Clone(tb.seen) }
func (tb *tab) complaints() []string {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	return slices.Clone(tb.problems)
}
func (tb *tab) asked() []string { tb.mu.Lock(); defer tb.mu.Unlock(); return slices.Clone(tb.requests) }

func (tb *tab) forget() {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.requests, tb.seen, tb.problems = nil, nil, nil
}

// run does the steps within 20 seconds.
func (tb *tab) run(what string, steps ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		tb.t.Fatalf("%s: %v", what, err)
	}
}

func value[T any](tb *tab, what string, action chromedp.Action[T]) T {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, 20*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		tb.t.Fatalf("%s: %v", what, err)
	}
	return v
}

// tap taps an element; the next one must show up.
func (tb *tab) tap(selector, next string) {
	tb.t.Helper()
	tb.run("tap "+selector+" and wait for "+next, chromedp.WaitVisible(chromedp.CSS(selector)),
		testenv.Click(selector), chromedp.WaitVisible(chromedp.CSS(next)))
}

// visit opens an address; an element must show up.
func (tb *tab) visit(address, element string) {
	tb.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = tb.product.bridge + address
	}
	tb.run("open "+address+" and wait for "+element, chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS(element)))
}

func (tb *tab) text(selector string) string {
	tb.t.Helper()
	return strings.TrimSpace(value(tb, "text of "+selector, chromedp.Text(chromedp.CSS(selector))))
}

func (tb *tab) location() string {
	tb.t.Helper()
	return value(tb, "location", chromedp.Location())
}

// back taps Back, and waits for the address to change: a page from the browser's cache has no load event.
func (tb *tab) back() {
	tb.t.Helper()
	history := value(tb, "history", chromedp.NavigationEntries())
	if history.CurrentIndex == 0 {
		return
	}
	tb.run("Back", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.NavigateToHistoryEntry,
			page.NavigateToHistoryEntryParams{EntryID: history.Entries[history.CurrentIndex-1].ID})
		return err
	}))
	waitFor(tb.t, 15*time.Second, "the page before", func() bool {
		// While one page takes the place of another the browser may have no active one to ask.
		now, err := chromedp.Run(tb.ctx, chromedp.NavigationEntries())
		return err == nil && now.CurrentIndex < history.CurrentIndex
	})
}

// hold makes this phone somebody's.
func (tb *tab) hold(person string) {
	tb.t.Helper()
	tb.run("hold the phone", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, network.SetCookie,
			network.SetCookieParams{Name: "simulator_person", Value: person, URL: tb.product.simulator})
		return err
	}))
}

// forgetSession deletes the tokens as their end of life does.
func (tb *tab) forgetSession() {
	tb.t.Helper()
	for _, name := range []string{tokenCookie, idCookie} {
		tb.run("delete "+name, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, network.DeleteCookies, network.DeleteCookiesParams{Name: name, URL: tb.product.bridge})
			return err
		}))
	}
}

// screenshot keeps a picture where WXBRIDGE_TEST_SCREENSHOTS asks for it.
func (tb *tab) screenshot(name string) {
	dir := os.Getenv("WXBRIDGE_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(tb.ctx, 20*time.Second)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		file := strings.NewReplacer("/", "-", " ", "-").Replace(tb.t.Name() + "-" + name + ".png")
		err = os.WriteFile(filepath.Join(dir, file), picture, 0o644)
	}
	if err != nil {
		tb.t.Logf("screenshot %s: %v", name, err)
	}
}

// checkClean wants a browser that asked nobody else for anything and had nothing to complain about.
func (tb *tab) checkClean() {
	tb.t.Helper()
	for _, address := range tb.asked() {
		sameSimulator := strings.Replace(tb.product.simulator, "localhost", "127.0.0.1", 1)
		known := strings.HasPrefix(address, sameSimulator+"/") || strings.HasPrefix(address, tb.product.bridge+"/") || strings.HasPrefix(address, tb.product.simulator+"/") ||
			strings.HasPrefix(address, "data:") || address == "about:blank"
		if !known {
			tb.t.Errorf("FLW-11 the browser was sent to %s", address)
		}
	}
	for _, problem := range tb.complaints() {
		if strings.Contains(problem, "Content Security Policy") || strings.Contains(problem, "Uncaught") {
			tb.t.Errorf("WEB-08 the browser complains: %s", problem)
		}
	}
}
