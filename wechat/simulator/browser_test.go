package simulator_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat/simulator"

	"github.com/chromedp/chromedp"
)

// step is one action of a browser script.
type step = chromedp.Action[chromedp.Void]

// TestInARealBrowser uses two names of one loopback, localhost for WeChat and 127.0.0.1 for the site, so that the
// browser applies its SameSite rules as between two sites.
func TestInARealBrowser(t *testing.T) {
	browser := chromium(t)
	for _, mode := range []string{"duplicate_callback", "two_codes", "late_callback", "concurrent_callback"} {
		t.Run(mode+": both visits carry the site's Lax cookie", func(t *testing.T) {
			t.Parallel()
			w, s := browserWorld(t)
			if err := w.sim.SetFault(simulator.Fault{Path: "/connect/oauth2/authorize", Mode: mode}); err != nil {
				t.Fatal(err)
			}
			browser(t, s, "alice", chromedp.Navigate(s.URL+"/start?scope=snsapi_base"))
			seen := s.visits()
			if len(seen) != 2 {
				t.Fatalf("the site saw %+v, want two visits", seen)
			}
			for _, v := range seen {
				if v.cookie != "started" || v.state != "s" || v.code == "" {
					t.Errorf("visit %+v", v)
				}
			}
			if (seen[0].code == seen[1].code) != (mode != "two_codes") {
				t.Errorf("codes %+v", seen)
			}
		})
	}
	t.Run("consent by tap, after choosing who holds the phone", func(t *testing.T) {
		t.Parallel()
		w, s := browserWorld(t)
		browser(t, s, "",
			chromedp.Navigate(s.URL+"/start?scope=snsapi_userinfo"),
			chromedp.Click(chromedp.CSS(`[data-person="bob"]`)),
			chromedp.WaitVisible(chromedp.CSS("#allow")),
			chromedp.WaitNotVisible(chromedp.CSS("#fragment-warning")),
			chromedp.Click(chromedp.CSS("#allow")),
		)
		seen := s.visits()
		if len(seen) != 1 || seen[0].cookie != "started" {
			t.Fatalf("the site saw %+v", seen)
		}
		if openid, _ := w.account("bob", w.official.AppID); w.exchange(seen[0].code).json(t)["openid"] != openid {
			t.Error("somebody else logged in")
		}
	})
	t.Run("the snapshot shows the site's page and its button enters for real", func(t *testing.T) {
		t.Parallel()
		w, s := browserWorld(t)
		if err := w.sim.SetFault(simulator.Fault{Path: "/connect/oauth2/authorize", Mode: "snapshot_jar"}); err != nil {
			t.Fatal(err)
		}
		browser(t, s, "bob",
			chromedp.Navigate(s.URL+"/start?scope=snsapi_userinfo"),
			chromedp.WaitVisible(chromedp.CSS("#snapshot-bar")),
			chromedp.Click(chromedp.CSS("#full-service")),
			chromedp.Click(chromedp.CSS("#allow")),
		)
		seen := s.visits()
		if n := len(seen); n < 2 || seen[0].cookie != "" || seen[n-1].cookie != "started" {
			t.Errorf("the site saw %+v", seen)
		}
	})
}

// browserWorld is a simulator under localhost and a site under 127.0.0.1 whose /start begins a login.
func browserWorld(t *testing.T) (*world, *loginSite) {
	w := newWorld(t, func(c *simulator.Config) {
		c.PublicURL = strings.Replace(c.PublicURL, "127.0.0.1", "localhost", 1)
	})
	s := newLoginSite(t)
	public := strings.Replace(w.url, "127.0.0.1", "localhost", 1)
	s.authorize = public + w.link(s.URL+"/callback", "snsapi_base", "again") + "#wechat_redirect"
	s.start = func(scope string) string {
		return public + w.link(s.URL+"/callback", scope, "s") + "#wechat_redirect"
	}
	return w, s
}

// chromium returns a function that runs actions in a fresh browser profile until it has landed on the site.
func chromium(t *testing.T) func(t *testing.T, s *loginSite, person string, actions ...step) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		if required := os.Getenv("WXBRIDGE_TEST_REQUIRE"); required == "all" || slices.Contains(strings.Split(required, ","), "chromium") {
			t.Fatal("chromium is required but not installed")
		}
		t.Skip("chromium is not installed: the simulator's pages are not tried in a real browser")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(390, 844))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	main, stopMain := chromedp.NewContext(allocator)
	t.Cleanup(stopMain)
	if err := chromedp.Do(main); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return func(t *testing.T, s *loginSite, person string, actions ...step) {
		ctx, cancel := chromedp.NewContext(main, chromedp.WithNewBrowserContext())
		defer cancel()
		ctx, cancelTimeout := context.WithTimeout(ctx, 40*time.Second)
		defer cancelTimeout()
		if person != "" {
			sim := s.authorize[:strings.Index(s.authorize, "/connect/")]
			actions = append([]step{
				chromedp.Navigate(sim + "/_simulator/clock"),
				chromedp.Evaluate[chromedp.Void](`document.cookie = "simulator_person=` + person + `; path=/"`),
			}, actions...)
		}
		actions = append(actions, chromedp.WaitVisible(chromedp.CSS("#landed")))
		if err := chromedp.Do(ctx, actions...); err != nil {
			t.Fatalf("browser: %v", err)
		}
	}
}
