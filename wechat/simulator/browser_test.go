package simulator_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"wxbridge/internal/testenv"
	"wxbridge/wechat/simulator"
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
			testenv.Click(`[data-person="bob"]`),
			chromedp.WaitVisible(chromedp.CSS("#allow")),
			chromedp.WaitNotVisible(chromedp.CSS("#fragment-warning")),
			testenv.Click("#allow"),
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
			testenv.Click("#full-service"),
			testenv.Click("#allow"),
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
	main := testenv.Chromium(t, chromedp.WindowSize(390, 844))
	return func(t *testing.T, s *loginSite, person string, actions ...step) {
		ctx, cancel := chromedp.NewContext(main, chromedp.WithNewBrowserContext())
		defer cancel()
		ctx, cancelTimeout := context.WithTimeout(ctx, 40*time.Second)
		defer cancelTimeout()
		if person != "" {
			sim := s.authorize[:strings.Index(s.authorize, "/connect/")]
			actions = append([]step{
				chromedp.Navigate(sim + "/_simulator/clock"),
				chromedp.Evaluate[chromedp.Void](`document.cookie = "simulator_person=` + person + `; path=/"; document.cookie`),
			}, actions...)
		}
		actions = append(actions, chromedp.WaitVisible(chromedp.CSS("#landed")))
		if err := chromedp.Do(ctx, actions...); err != nil {
			t.Fatalf("browser: %v", err)
		}
	}
}
