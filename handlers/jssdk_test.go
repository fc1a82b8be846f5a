package handlers_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"wxbridge/handlers"
	"wxbridge/internal/ratelimit"
	"wxbridge/wechat"
)

// withTickets lets the official accounts sign pages.
func withTickets(cfg *handlers.Config) {
	for i, account := range cfg.OfficialAccounts {
		cfg.OfficialAccounts[i].Tickets = wechat.NewJSAPITickets(account.Tokens)
	}
}

func TestJSSDKConfigRefusesPagesOfOthers(t *testing.T) {
	b := newBridge(t, withTickets)
	port := b.url[strings.LastIndex(b.url, ":"):]
	for name, page := range map[string]string{
		"none":                      "",
		"only a fragment":           "#/route",
		"a path":                    "/page",
		"another host":              "https://evil.example/",
		"a sub-domain":              "https://a.h5.example.com/",
		"the domain above":          "https://example.com/",
		"our host as a prefix":      "https://h5.example.com.evil.example/",
		"and with digits":           "https://h5.example.com1/",
		"plain http":                "http://h5.example.com/",
		"a port that is not listed": "https://h5.example.com:8443/",
		"the default port":          "https://h5.example.com:443/",
		"our host without our port": "http://127.0.0.1/",
		"our port and a digit":      "http://127.0.0.1" + port + "0/",
		"userinfo":                  "https://user@h5.example.com/",
		"userinfo with our host":    "https://h5.example.com@evil.example/",
		"userinfo and password":     "https://h5.example.com:secret@evil.example/",
		"a host in capitals":        "https://H5.example.com/",
		"two slashes first":         "//h5.example.com/",
		"a backslash":               "https://h5.example.com\\@evil.example/",
		"a space":                   "https://h5.example.com/a b",
		"a line end":                "https://h5.example.com/\n",
		"a tab in the host":         "https://h5.exam\tple.com/",
		"not UTF-8":                 "https://h5.example.com/\xff",
		"a script":                  "javascript:alert(1)",
		"encoded twice":             "https%3A%2F%2Fh5.example.com%2F",
		"over-long":                 "https://h5.example.com/?" + strings.Repeat("a", 2048),
		"nothing that is a page":    "file:///etc/passwd",
	} {
		t.Run(name, func(t *testing.T) {
			answer := b.browser("").get("/jssdk/config?url=" + url.QueryEscape(page))
			wantError(t, answer, http.StatusBadRequest, "invalid_request")
		})
	}
	for name, query := range map[string]string{
		"no url":                     "",
		"two":                        "url=https://h5.example.com/&url=https://h5.example.com/a",
		"no such app":                "url=https://h5.example.com/&app=nonsense",
		"the app of a mini program":  "url=https://h5.example.com/&app=" + b.mini.AppID,
		"agent, without a WeCom app": "url=https://h5.example.com/&agent=1",
		"agent that is not 1":        "url=https://h5.example.com/&agent=yes",
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, b.browser("").get("/jssdk/config?"+query), http.StatusBadRequest, "invalid_request")
		})
	}
	if n := b.calls("/cgi-bin/ticket/getticket") + b.calls("/cgi-bin/stable_token"); n != 0 {
		t.Errorf("WeChat was asked %d times for pages that are refused", n)
	}
}

func TestJSSDKConfigNeedsAnAppWithTickets(t *testing.T) {
	for name, change := range map[string]func(*handlers.Config){
		"no tickets": func(*handlers.Config) {},
		"no account": func(cfg *handlers.Config) { cfg.OfficialAccounts = nil },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBridge(t, change)
			answer := b.browser("").get("/jssdk/config?url=" + url.QueryEscape(b.url+"/"))
			wantError(t, answer, http.StatusBadRequest, "invalid_request")
			if !strings.Contains(answer.body, "official account") {
				t.Errorf("answered %s", answer.body)
			}
		})
	}
}

// Pages on a listed origin may read the answer, also one that refuses; no other page may (WEB-10).
func TestWEB10_JSSDKConfigIsForListedOriginsOnly(t *testing.T) {
	b := newBridge(t, withTickets)
	for origin, allowed := range map[string]bool{
		"https://h5.example.com": true, b.url: true,
		"https://evil.example": false, "https://a.h5.example.com": false, "http://h5.example.com": false, "https://h5.example.com.": false,
		"https://h5.example.com:443": false, "null": false, "*": false, "": false, "https://H5.EXAMPLE.COM": false,
	} {
		for _, path := range []string{"/jssdk/config", "/jssdk/config?url=https%3A%2F%2Fevil.example"} {
			answer := b.browser("").get(path, "Origin", origin)
			want := ""
			if allowed {
				want = origin
			}
			if got := answer.Header.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%s, Origin %q: Access-Control-Allow-Origin %q", path, origin, got)
			}
			if answer.Header.Get("Access-Control-Allow-Credentials") != "" || !strings.Contains(strings.Join(answer.Header.Values("Vary"), ","), "Origin") {
				t.Errorf("%s, Origin %q: %v", path, origin, answer.Header)
			}
		}
	}
	for _, path := range []string{"/me", "/", "/login", "/.well-known/jwks.json", "/jssdk.js"} {
		if answer := b.browser("").get(path, "Origin", "https://h5.example.com"); answer.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s may be read by other origins", path)
		}
	}
}

func TestSRV04_JSSDKConfigIsLimited(t *testing.T) {
	b := newBridge(t, withTickets, func(cfg *handlers.Config) {
		cfg.RateLimit = ratelimit.New(3, ratelimit.DefaultEntries, time.Now)
	})
	for n := range 5 {
		answer := b.browser("").get("/jssdk/config", "Origin", "https://h5.example.com")
		if n < 3 {
			wantError(t, answer, http.StatusBadRequest, "invalid_request")
			continue
		}
		wantError(t, answer, http.StatusTooManyRequests, "rate_limited")
		if answer.Header.Get("Retry-After") == "" || answer.Header.Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("a page cannot tell why: %v", answer.Header)
		}
	}
}

func TestScriptsForPages(t *testing.T) {
	b := newBridge(t, func(cfg *handlers.Config) { cfg.JSSDKScript = "http://localhost:8090/_simulator/jweixin.js" })
	for path, want := range map[string][]string{
		"/wxbridge.js": {"wxbridge.ensureLogin"},
		"/jssdk.js":    {`"` + b.url + `"`, `"http://localhost:8090/_simulator/jweixin.js"`},
	} {
		answer := b.browser("").get(path)
		tag := answer.Header.Get("ETag")
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || tag == "" ||
			answer.Header.Get("Cache-Control") != "no-cache" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", path, answer.StatusCode, answer.Header)
		}
		for _, text := range want {
			if !strings.Contains(answer.body, text) {
				t.Errorf("%s has no %s", path, text)
			}
		}
		if again := b.browser("").get(path, "If-None-Match", tag); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s unchanged: %d", path, again.StatusCode)
		}
	}
	if answer := newBridge(t).browser("").get("/jssdk.js"); !strings.Contains(answer.body, "'https://res.wx.qq.com/open/js/jweixin-1.6.0.js'") {
		t.Error("without a setting the script is not WeChat's")
	}
}

// wantError checks an answer of the contract's error shape.
func wantError(t *testing.T, p page, status int, code string) {
	t.Helper()
	if e := p.errorOf(t); p.StatusCode != status || e.Error != code {
		t.Errorf("%d %s, want %d %s: %s", p.StatusCode, e.Error, status, code, e.Description)
	}
}
