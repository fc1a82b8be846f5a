package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/chromedp"
)

// Chromium starts a browser with a profile of its own and gives its first tab, or skips the test where there is none. It
// asks nobody for anything but what its pages do.
func Chromium(t testing.TB, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	path := Program(t, "chromium", "chromium-browser", "google-chrome")
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.Headless, chromedp.NoFirstRun,
		chromedp.NoSandbox, // tests may run as root
		chromedp.UserDataDir(t.TempDir())}
	for _, flag := range []string{"disable-gpu", "disable-quic", "disable-background-networking", "disable-component-update",
		"disable-sync", "disable-dev-shm-usage", "disable-default-apps", "no-default-browser-check"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(options, more...)...)
	t.Cleanup(stop)
	browser, closeBrowser := chromedp.NewContext(allocator)
	t.Cleanup(closeBrowser)
	if err := chromedp.Do(browser, chromedp.Navigate("about:blank")); err != nil { // without a deadline, which would be the browser's
		t.Fatalf("start chromium: %v", err)
	}
	return browser
}

// Click clicks on the first element of a CSS selector until the page hears it: while a page is still being built, elements
// move and are replaced between the look at them and the click.
func Click(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		for {
			err := clickOnce(ctx, tab, selector)
			var gone *cdproto.Error
			if !errors.As(err, &gone) && !errors.As(err, new(unheard)) || ctx.Err() != nil {
				return err
			}
		}
	})
}

type unheard struct{ selector string }

func (u unheard) Error() string { return "the page did not hear the click on " + u.selector }

func clickOnce(ctx context.Context, tab *chromedp.Target, selector string) error {
	text, err := json.Marshal(selector)
	if err != nil {
		return err
	}
	listen := chromedp.Evaluate[chromedp.Void](`(() => {
		const click = window.testedClick = { heard: false };
		addEventListener('click', (event) => { click.heard ||= event.target.closest?.(` + string(text) + `) != null; }, { capture: true });
	})()`)
	for _, step := range []chromedp.Action[chromedp.Void]{chromedp.WaitVisible(chromedp.CSS(selector)), listen, chromedp.Click(chromedp.CSS(selector))} {
		if _, err := step(ctx, tab); err != nil {
			return err
		}
	}
	// A page that is gone has heard it.
	if heard, err := chromedp.Evaluate[bool](`window.testedClick?.heard !== false`)(ctx, tab); err == nil && !heard {
		return unheard{selector}
	}
	return nil
}
