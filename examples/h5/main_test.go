package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"wxbridge/internal/testenv"
	"wxbridge/jwtauth"
	"wxbridge/templates"
)

// bridge publishes keys, signs tokens, and notes who came to log in.
type bridge struct {
	url    string
	issuer *jwtauth.Issuer

	mu     sync.Mutex
	logins []string // the return_to of each
}

func newBridge(t *testing.T) *bridge {
	t.Helper()
	key, err := jwtauth.GenerateKey(jwtauth.ES256)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jwtauth.NewKeySet(key)
	if err != nil {
		t.Fatal(err)
	}
	b := &bridge{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(keys.JWKS())
	})
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.logins = append(b.logins, r.URL.Query().Get("return_to"))
		http.Redirect(w, r, r.URL.Query().Get("return_to"), http.StatusFound) // comes back without a cookie
	})
	scripts := templates.Static()
	mux.HandleFunc("GET /wxbridge.js", func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = "/static/wxbridge.js"
		scripts.ServeHTTP(w, r)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	b.url = server.URL
	jssdk, err := templates.JSSDKScript(b.url, "")
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("GET /jssdk.js", jssdk)
	b.issuer, err = jwtauth.NewIssuer(keys, jwtauth.IssuerConfig{
		Issuer: b.url, Audience: b.url + "/api", ClientID: "wxbridge", TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bridge) accessToken(t *testing.T) string {
	t.Helper()
	raw, _, err := b.issuer.AccessToken(jwtauth.Claims{Subject: "fan-1", SessionID: "s", AuthTime: time.Now(),
		Provider: "official_account", AppID: "wx1", OpenID: "o1"})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (b *bridge) idToken(t *testing.T, nickname, picture string) string {
	t.Helper()
	raw, err := b.issuer.IDToken(jwtauth.IDClaims{Subject: "fan-1", AuthTime: time.Now(), Nickname: nickname, Picture: picture})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (b *bridge) visits() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.logins)
}

func newPage(t *testing.T, b *bridge) string {
	t.Helper()
	handler, err := newHandler(b.url, "")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func TestAPI(t *testing.T) {
	b := newBridge(t)
	page := newPage(t, b)
	good := b.accessToken(t)
	forOthers, err := newHandler(b.url, "https://another.example/api")
	if err != nil {
		t.Fatal(err)
	}
	others := httptest.NewServer(forOthers)
	t.Cleanup(others.Close)

	for _, row := range []struct {
		name, at, header, value string
		want                    int
	}{
		{"a good cookie", page, "Cookie", "wxbridge_token=" + good, http.StatusOK},
		{"a good Bearer header", page, "Authorization", "Bearer " + good, http.StatusOK},
		{"nothing", page, "X", "x", http.StatusUnauthorized},
		{"an ID token as cookie", page, "Cookie", "wxbridge_token=" + b.idToken(t, "n", ""), http.StatusUnauthorized},
		{"an ID token as Bearer", page, "Authorization", "Bearer " + b.idToken(t, "n", ""), http.StatusUnauthorized},
		{"the token under another name", page, "Cookie", "wxbridge_id=" + good, http.StatusUnauthorized},
		{"a damaged token", page, "Cookie", "wxbridge_token=" + good[:len(good)-6] + "AAAAAA", http.StatusUnauthorized},
		{"a token for another audience", others.URL, "Authorization", "Bearer " + good, http.StatusUnauthorized},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, row.at+"/api/hello", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(row.header, row.value)
			reply, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			reply.Body.Close()
			if reply.StatusCode != row.want {
				t.Errorf("status %d, want %d", reply.StatusCode, row.want)
			}
		})
	}
}

func TestCookieNames(t *testing.T) {
	for address, want := range map[string]string{
		"https://login.example.com": "__Host-wxbridge_token,wxbridge_token",
		"http://127.0.0.1:8080":     "wxbridge_token",
	} {
		if got := strings.Join(cookieNames(address), ","); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestPageInABrowser(t *testing.T) {
	browser := testenv.Chromium(t)
	open := func(t *testing.T, b *bridge, page string, cookies map[string]string) context.Context {
		t.Helper()
		ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
		t.Cleanup(cancel)
		ctx, cancel = context.WithTimeout(ctx, 30*time.Second)
		t.Cleanup(cancel)
		actions := []chromedp.Action[chromedp.Void]{chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile)}
		for name, value := range cookies {
			actions = append(actions, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
				_, err := cdp.Call(ctx, target, network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: page})
				return err
			}))
		}
		do(t, ctx, append(actions, chromedp.Navigate(page+"/?a=1&b=二#here"))...)
		return ctx
	}

	t.Run("greets by the ID token, untrusted text stays text, and a picture that fails leaves the letter", func(t *testing.T) {
		b := newBridge(t)
		page := newPage(t, b)
		nickname := `<img src=x onerror=document.title='ran'>二`
		ctx := open(t, b, page, map[string]string{
			"wxbridge_id": b.idToken(t, nickname, b.url+"/no-picture"), "wxbridge_token": b.accessToken(t)})
		do(t, ctx, visible("#signed-in"))
		if got := text(t, ctx, "#greeting"); !strings.HasSuffix(got, nickname) {
			t.Errorf("greeting %q", got)
		}
		if got := text(t, ctx, "#letter"); got != "<" {
			t.Errorf("letter %q", got)
		}
		do(t, ctx, chromedp.WaitNotVisible(chromedp.CSS("#avatar")), testenv.Click("#call-api"), visible("#answer:not(:empty)"))
		if got := text(t, ctx, "#answer"); !strings.Contains(got, `"hello":"fan-1"`) {
			t.Errorf("answer %q", got)
		}
		if n := len(b.visits()); n != 0 {
			t.Errorf("%d logins", n)
		}
	})

	t.Run("the JS-SDK says where it works", func(t *testing.T) {
		b := newBridge(t)
		ctx := open(t, b, newPage(t, b), map[string]string{"wxbridge_id": b.idToken(t, "n", "")})
		do(t, ctx, visible("#signed-in"), testenv.Click("#try-jssdk"), visible("#answer:not(:empty)"))
		if got := text(t, ctx, "#answer"); !strings.Contains(got, "This is not WeChat’s browser") {
			t.Errorf("answer %q", got)
		}
	})

	t.Run("addresses that are no picture are not loaded", func(t *testing.T) {
		b := newBridge(t)
		for _, picture := range []string{"javascript:alert(1)", "data:image/png;base64,AAAA", "/relative", "", "file:///x"} {
			ctx := open(t, b, newPage(t, b), map[string]string{"wxbridge_id": b.idToken(t, "n", picture)})
			do(t, ctx, visible("#signed-in"))
			got, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.getElementById('avatar').hasAttribute('src')`))
			if err != nil || got {
				t.Errorf("picture %q: loaded %t, %v", picture, got, err)
			}
		}
	})

	t.Run("without a cookie it goes to the login once, with its whole address, and then says what is wrong", func(t *testing.T) {
		b := newBridge(t)
		page := newPage(t, b)
		for name, cookies := range map[string]map[string]string{
			"none": nil, "damaged": {"wxbridge_id": "x.y.z"}, "expired": {"wxbridge_id": "e30.eyJleHAiOjF9.x"}} {
			before := len(b.visits())
			ctx := open(t, b, page, cookies)
			do(t, ctx, visible("#login"))
			visits := b.visits()[before:]
			if want := page + "/?a=1&b=" + url.QueryEscape("二") + "#here"; len(visits) != 1 || visits[0] != want {
				t.Errorf("%s: logins %q, want one for %s", name, visits, want)
			}
			if text(t, ctx, "#signed-out-hint") == "" {
				t.Errorf("%s: no hint", name)
			}
		}
	})

	t.Run("a 401 of the API leads to the login once, and is then told", func(t *testing.T) {
		b := newBridge(t)
		ctx := open(t, b, newPage(t, b), map[string]string{"wxbridge_id": b.idToken(t, "n", ""), "wxbridge_token": "ended"})
		do(t, ctx, visible("#signed-in"), testenv.Click("#call-api"))
		for len(b.visits()) == 0 && ctx.Err() == nil {
			_, _ = chromedp.Run(ctx, chromedp.Location())
		}
		do(t, ctx, visible("#signed-in"), testenv.Click("#call-api"), visible("#login"))
		if n := len(b.visits()); n != 1 {
			t.Errorf("%d logins", n)
		}
	})
}

func visible(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitVisible(chromedp.CSS(selector))
}

func do(t *testing.T, ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatalf("browser: %v", err)
	}
}

func text(t *testing.T, ctx context.Context, selector string) string {
	t.Helper()
	got, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS(selector)))
	if err != nil {
		t.Fatalf("text of %s: %v", selector, err)
	}
	return got
}
