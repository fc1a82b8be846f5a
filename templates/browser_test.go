package templates_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"wxbridge/internal/testenv"
	"wxbridge/templates"
)

// What static/home.js makes of the ID-token cookie, in a real browser under the real policy.
func TestHomeShowsWhoTheCookieNames(t *testing.T) {
	browser := startBrowser(t)
	site := startSite(t)
	future, past := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
	picture := site.URL + "/picture.svg"
	token := func(claims string, args ...any) string {
		return "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, claims, args...)) + ".c2ln"
	}
	signedOut := homeState{LoginShown: true}
	for _, c := range []struct {
		name     string
		cookie   string
		signedIn bool // as the server sees it
		want     homeState
	}{
		{"name and picture", token(`{"sub":"fan-1","exp":%d,"nickname":"小明🦊","picture":"%s"}`, future, picture), true,
			homeState{Nickname: "小明🦊", LogoutShown: true, FanID: "fan-1", Picture: picture, Letter: "小"}},
		{"a picture that is gone becomes a letter", token(`{"sub":"fan-1","exp":%d,"nickname":"alice","picture":"%s/gone"}`, future, site.URL), true,
			homeState{Nickname: "alice", LogoutShown: true, FanID: "fan-1", Letter: "a"}},
		{"a picture from a host that is not allowed is not asked for", token(`{"sub":"fan-1","exp":%d,"nickname":"bob","picture":"https://evil.example/p.png"}`, future), true,
			homeState{Nickname: "bob", LogoutShown: true, FanID: "fan-1", Letter: "b"}},
		{"nor is a script", token(`{"sub":"fan-1","exp":%d,"nickname":"bob","picture":"javascript:alert(1)"}`, future), true,
			homeState{Nickname: "bob", LogoutShown: true, FanID: "fan-1", Letter: "b"}},
		{"an emoji of several code points is one letter", token(`{"sub":"fan-1","exp":%d,"nickname":"👨‍👩‍👧 family"}`, future), true,
			homeState{Nickname: "👨‍👩‍👧 family", LogoutShown: true, FanID: "fan-1", Letter: "👨‍👩‍👧"}},
		{"WX-18 markup in a nickname is text", token(`{"sub":"<b>1</b>","exp":%d,"nickname":"<svg onload=alert(1)>"}`, future), true,
			homeState{Nickname: "<svg onload=alert(1)>", LogoutShown: true, FanID: "<b>1</b>", Letter: "<"}},
		{"a guest has no name", token(`{"sub":"fan-2","exp":%d,"nickname":""}`, future), true,
			homeState{Nickname: "WeChat user", LogoutShown: true, FanID: "fan-2"}},
		{"the cookie counts when the server has not looked", token(`{"sub":"fan-1","exp":%d,"nickname":"alice"}`, future), false,
			homeState{Nickname: "alice", LogoutShown: true, FanID: "fan-1", Letter: "a"}},
		{"a phone whose clock is wrong believes the server", token(`{"sub":"fan-1","exp":%d,"nickname":"alice"}`, past), true,
			homeState{Nickname: "alice", LogoutShown: true, FanID: "fan-1", Letter: "a"}},
		{"signed in without a readable cookie", "", true, homeState{Nickname: "WeChat user", LogoutShown: true}},
		{"no cookie", "", false, signedOut},
		{"expired", token(`{"sub":"fan-1","exp":%d,"nickname":"alice"}`, past), false, signedOut},
		{"exp in quotes", token(`{"sub":"fan-1","exp":"%d","nickname":"alice"}`, future), false, signedOut},
		{"exp beyond all dates", token(`{"sub":"fan-1","exp":1e300,"nickname":"alice"}`), false, signedOut},
		{"no sub", token(`{"exp":%d,"nickname":"alice"}`, future), false, signedOut},
		{"null", token(`null`), false, signedOut},
		{"not JSON", token(`{"sub":`), false, signedOut},
		{"not UTF-8", "e30." + base64.RawURLEncoding.EncodeToString([]byte("{\"sub\":\"\xff\",\"exp\":4e9}")) + ".c2ln", false, signedOut},
		{"not base64", "e30.***.c2ln", false, signedOut},
		{"two parts", "e30.e30", false, signedOut},
	} {
		t.Run(c.name, func(t *testing.T) {
			view := templates.Home{IDCookieName: idCookie, SignedIn: c.signedIn, ImageHosts: []string{site.URL}}
			site.show(view, c.cookie)
			ctx, cancel := context.WithTimeout(browser.ctx, 20*time.Second)
			defer cancel()
			if err := chromedp.Do(ctx, chromedp.Navigate(site.URL+"/?lang=en")); err != nil {
				t.Fatal(err)
			}
			got, err := chromedp.Run(ctx, chromedp.PollFunction[homeState](readHomeState))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("shown (+), wanted (-):\n%s", diff)
			}
		})
	}
	t.Run("logout posts the form token", func(t *testing.T) {
		site.show(templates.Home{IDCookieName: idCookie, SignedIn: true, FormToken: "t0ken&<>"}, "")
		ctx, cancel := context.WithTimeout(browser.ctx, 20*time.Second)
		defer cancel()
		if err := chromedp.Do(ctx, chromedp.Navigate(site.URL+"/")); err != nil {
			t.Fatal(err)
		}
		if _, err := chromedp.RunResponse(ctx, testenv.Click("#logout-button")); err != nil {
			t.Fatal(err)
		}
		if got := site.posted(); got.Get("form_token") != "t0ken&<>" || len(got) != 1 {
			t.Errorf("posted %v", got)
		}
	})
	browser.checkPolicy(t, site)
}

// homeState is what a visitor sees of the home page; hidden parts are empty.
type homeState struct {
	Nickname, FanID, Picture, Letter string
	LoginShown, LogoutShown          bool
}

// readHomeState waits until the picture has loaded or failed, so that it reads a page at rest.
const readHomeState = `() => {
	const element = id => document.getElementById(id);
	const shown = id => element(id).closest('[hidden]') === null;
	const image = element('avatar');
	if (image.hasAttribute('src') && !image.complete) return false;
	if (image.complete && image.naturalWidth > 0 && image.hidden) return false;
	return {
		Nickname: shown('nickname') ? element('nickname').textContent : '',
		FanID: shown('fan-id') ? element('fan-id').textContent : '',
		Picture: shown('avatar') ? image.src : '',
		Letter: shown('avatar-letter') ? element('avatar-letter').textContent : '',
		LoginShown: shown('login') && shown('signed-out'),
		LogoutShown: shown('logout') && shown('signed-in'),
	};
}`

func TestPagesFitTheirScreens(t *testing.T) {
	browser := startBrowser(t)
	site := startSite(t)
	screens := []struct {
		name          string
		width, height int64
		scheme        string
		background    string
	}{
		{"phone, light", 390, 844, "light", "rgb(255, 255, 255)"},
		{"phone, dark", 390, 844, "dark", "rgb(25, 25, 25)"},
		{"desktop, light", 1280, 800, "light", "rgb(237, 237, 237)"},
		{"desktop, dark", 1280, 800, "dark", "rgb(17, 17, 17)"},
	}
	for name, view := range everyPage(t) {
		for _, lang := range bothLanguages {
			t.Run(name+" in "+lang, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(browser.ctx, 20*time.Second)
				defer cancel()
				site.show(view, "")
				if err := chromedp.Do(ctx, chromedp.Navigate(site.URL+"/?lang="+lang)); err != nil {
					t.Fatal(err)
				}
				for _, screen := range screens {
					emulate(t, ctx, screen.width, screen.height, screen.scheme)
					got, err := chromedp.Run(ctx, chromedp.Evaluate[layout](readLayout))
					if err != nil {
						t.Fatal(err)
					}
					if got.Right > float64(screen.width) || got.Bottom > float64(screen.height) {
						t.Errorf("%s: the content ends at %v, %v", screen.name, got.Right, got.Bottom)
					}
					if off := got.Left - (float64(screen.width) - got.MainRight); off < -1 || off > 1 {
						t.Errorf("%s: %v pixels off the centre", screen.name, off)
					}
					if got.Background != screen.background {
						t.Errorf("%s: background %s", screen.name, got.Background)
					}
				}
			})
		}
	}
	browser.checkPolicy(t, site)
}

type layout struct {
	Left, MainRight float64 // edges of the column
	Right, Bottom   float64 // where the last thing on the page ends
	Background      string
}

const readLayout = `(() => {
	const column = document.querySelector('main').getBoundingClientRect();
	const boxes = [...document.querySelectorAll('main *')].filter(e => !e.closest('svg, [hidden]')).map(e => e.getBoundingClientRect());
	return {
		Left: column.left, MainRight: column.right,
		Right: Math.max(document.scrollingElement.scrollWidth, ...boxes.map(b => b.right)),
		Bottom: Math.max(...boxes.map(b => b.bottom)),
		Background: getComputedStyle(document.body).backgroundColor,
	};
})()`

const idCookie = "wxbridge_id"

// site shows one page at a time under the policy of the real pages.
type site struct {
	*httptest.Server
	mu     sync.Mutex
	view   templates.View
	cookie string
	form   url.Values
}

func startSite(t *testing.T) *site {
	t.Helper()
	pages := newPages(t)
	s := &site{}
	mux := http.NewServeMux()
	mux.Handle("/static/", templates.Static())
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", templates.ContentSecurityPolicy(s.URL))
		if _, ok := s.view.(templates.ScanLogin); ok {
			w.Header().Set("Content-Security-Policy", templates.ScanLoginPolicy())
		}
		w.Header().Add("Set-Cookie", (&http.Cookie{Name: idCookie, Path: "/", MaxAge: -1}).String())
		if s.cookie != "" {
			w.Header().Set("Set-Cookie", idCookie+"="+s.cookie+"; Path=/")
		}
		if err := pages.Render(w, r.URL.Query().Get("lang"), s.view); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("GET /picture.svg", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "image/svg+xml")
		fmt.Fprint(w, `<svg xmlns="http://www.w3.org/2000/svg" width="132" height="132"><rect width="132" height="132"/></svg>`)
	})
	mux.HandleFunc("GET /inline", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", templates.ContentSecurityPolicy())
		fmt.Fprint(w, `<!DOCTYPE html><title>inline</title><script>document.title = 'ran'</script>`)
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		s.form = r.PostForm
		w.Header().Set("Content-Type", "text/html")
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// show makes view, with an ID-token cookie, what / answers.
func (s *site) show(view templates.View, cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view, s.cookie = view, cookie
}

func (s *site) posted() url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.form
}

// browser is one tab of a Chromium, and what it complained about.
type browser struct {
	ctx        context.Context
	violations chan string
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	ctx := testenv.Chromium(t)
	b := &browser{ctx: ctx, violations: make(chan string, 1000)}
	err := chromedp.Listen(ctx, func(event any) {
		if added, ok := event.(*log.EventEntryAdded); ok && strings.Contains(added.Entry.Text, "Content Security Policy") {
			b.violations <- added.Entry.Text
		}
	})
	if err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return b
}

func emulate(t *testing.T, ctx context.Context, width, height int64, scheme string) {
	t.Helper()
	_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600})
	if err == nil {
		_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// checkPolicy fails if a page did what its policy forbids. It breaks the policy once itself, to know that complaints arrive,
// and that all earlier ones have.
func (b *browser) checkPolicy(t *testing.T, s *site) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(s.URL+"/inline")); err != nil {
		t.Fatal(err)
	}
	select {
	case first := <-b.violations:
		if !strings.Contains(first, "inline script") {
			t.Errorf("a page broke the policy: %s", first)
		}
	case <-ctx.Done():
		t.Fatal("the browser did not report an inline script")
	}
}
