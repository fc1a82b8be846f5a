package e2e

import (
	"encoding/json"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

var (
	loadPattern = regexp.MustCompile(`<(?:script|link|img|iframe|form|source|video|object|embed|base|use|image)\b[^>]*\s(?:src|href|action|data|srcset)="([^"]*)"`)
	inline      = regexp.MustCompile(`(?i)<script(?:\s+type="[^"]*")?\s*>|<style|\sstyle="|\son[a-z]+="|javascript:`)
)

// checkFlowPage examines what every HTML page of the product must have.
func checkFlowPage(t testing.TB, p *product, h hop) {
	t.Helper()
	if !isHTML(h) {
		t.Errorf("%v: Content-Type %q, want a page", h, h.header.Get("Content-Type"))
		return
	}
	csp := h.header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src", "frame-ancestors 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("WEB-08 %s: Content-Security-Policy %q lacks %s", h.url.Path, csp, want)
		}
	}
	if strings.Contains(csp, "unsafe-") || !strings.Contains(csp, "default-src 'self'") && !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("WEB-08 %s: Content-Security-Policy %q", h.url.Path, csp)
	}
	for name, want := range map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
		"Referrer-Policy": "no-referrer"} {
		if got := h.header.Get(name); got != want {
			t.Errorf("WEB-08 %s: %s is %q, want %q", h.url.Path, name, got, want)
		}
	}
	page := string(h.body)
	for _, m := range loadPattern.FindAllStringSubmatch(page, -1) {
		if strings.Contains(m[1], "//") && !strings.HasPrefix(m[1], p.bridge+"/") {
			t.Errorf("FLW-11 %s loads %s", h.url.Path, m[1])
		}
	}
	if found := inline.FindString(page); found != "" {
		t.Errorf("WEB-08 %s has %q, which its policy forbids", h.url.Path, found)
	}
	if !strings.Contains(page, `<html lang="`) || !strings.Contains(page, `name="viewport"`) {
		t.Errorf("%s: no language or no viewport", h.url.Path)
	}
}

// wantError checks the one shape of all errors and gives the body.
func wantError(t testing.TB, h hop, status int, code string) map[string]any {
	t.Helper()
	if h.status != status {
		t.Errorf("%v, want %d %s: %.300s", h, status, code, h.body)
		return nil
	}
	var answer map[string]any
	if err := json.Unmarshal(h.body, &answer); err != nil {
		t.Errorf("%v: not JSON: %.300s", h, h.body)
		return nil
	}
	wantKeys(t, "error", answer, []string{"error", "error_description", "request_id"}, "wechat_errcode")
	if answer["error"] != code {
		t.Errorf("%v: error %v, want %s", h, answer["error"], code)
	}
	for _, name := range []string{"error_description", "request_id"} {
		if s, ok := answer[name].(string); !ok || s == "" {
			t.Errorf("%v: %s is %v", h, name, answer[name])
		}
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		if h.header.Get("Retry-After") == "" {
			t.Errorf("%v: no Retry-After", h)
		}
	}
	return answer
}

func TestWEB08_EveryPageHasItsHeadersAndLoadsNothingForeign(t *testing.T) {
	p := startDev(t, nil, "WXBRIDGE_PRIVACY_URL=https://example.com/privacy", "WXBRIDGE_TERMS_URL=https://example.com/terms")
	stranger := p.phone("bob")
	register := stranger.open(t, "/login").last()
	for _, link := range []string{"https://example.com/privacy", "https://example.com/terms"} {
		if !strings.Contains(string(register.body), link) {
			t.Errorf("the register page does not link to %s", link)
		}
	}
	desktop, webView := p.phone("bob"), p.phone("bob")
	desktop.setCookie("simulator_browser", "desktop")
	webView.setCookie("simulator_browser", "webview")
	ticketPage := loginTicket + "?ticket=" + p.ticket(t, p.miniToken(t, "bob"))
	asked := p.phone("alice")
	asked.login(t)
	code := regexp.MustCompile(`<p id="says"[^>]*>([^<]+)<`).FindSubmatch(desktop.open(t, "/login/scan?return_to=/asked").last().body)
	if code == nil {
		t.Fatal("the page does not say what its code says")
	}
	question := asked.open(t, p.scan(t, "alice", html.UnescapeString(string(code[1]))).link(t)).last()
	if !strings.Contains(string(question.body), `id="confirm"`) {
		t.Errorf("alice is not asked: %v", question)
	}
	pages := map[string]hop{
		"register":                   stranger.once(t, "/login/register"),
		"register without a flow":    p.phone("bob").once(t, "/login/register"),
		"refused without a flow":     p.phone("bob").once(t, "/login/refused"),
		"snapshot without a flow":    p.phone("bob").once(t, "/login/snapshot"),
		"cookies-off":                p.phone("bob").once(t, "/login/cookies-off"),
		"scan me":                    desktop.once(t, "/login/scan"),
		"scan question that is over": p.phone("bob").once(t, "/login/scan/confirm?scan=x"),
		"scan question":              question,
		"ticket":                     webView.once(t, ticketPage),
		"ticket that is none":        webView.once(t, ticketPage+"x"),
		"ticket outside a web-view":  desktop.once(t, ticketPage),
		"home":                       p.phone("bob").once(t, "/"),
		"refused return_to":          p.phone("bob").once(t, "/login?return_to=https://evil.example/"),
		"not found":                  p.phone("bob").once(t, "/nowhere"),
		"bad callback":               p.phone("bob").once(t, callbackPath+"?code=a&code=b"),
		"401":                        p.phone("bob").once(t, "/me"),
	}
	for name, want := range map[string]int{"register": 200, "register without a flow": 200, "refused without a flow": 200,
		"snapshot without a flow": 403, "cookies-off": 400, "scan me": 200, "scan question that is over": 400, "scan question": 200, "ticket": 200,
		"ticket that is none": 400, "ticket outside a web-view": 403, "home": 200, "refused return_to": 400,
		"not found": 404, "bad callback": 400, "401": 401} {
		t.Run(name, func(t *testing.T) {
			h := pages[name]
			if h.status != want {
				t.Errorf("%v, want %d", h, want)
			}
			checkFlowPage(t, p, h)
			if strings.Contains(name, "without a flow") && !leadsTo(h, "/login") {
				t.Errorf("no button to /login: %q", links(h))
			}
		})
	}
}

func leadsTo(h hop, path string) bool {
	for _, link := range links(h) {
		if link == path || strings.HasPrefix(link, path+"?") {
			return true
		}
	}
	return false
}

func TestErrorsSpeakTheCallersLanguageAndFormat(t *testing.T) {
	p := startDev(t, nil)
	const bad = "/login?return_to=https://evil.example/"
	for _, c := range []struct {
		name, path, accept, language, cookie string
		want                                 string // the page's language
	}{
		{"default", bad, "text/html", "", "", "zh-CN"},
		{"query", bad + "&lang=en", "text/html", "zh-CN", "", "en"},
		{"Accept-Language", bad, "text/html", "en-GB,en;q=0.8", "", "en"},
		{"Accept-Language, Chinese first", bad, "text/html", "zh-TW,en;q=0.5", "", "zh-CN"},
		{"an unknown language", bad + "&lang=xx", "text/html", "", "", "zh-CN"},
		{"markup as language", bad + "&lang=%22%3E%3Csvg%20onload%3D1%3E", "text/html", "", "", "zh-CN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ph := p.phone("bob")
			header := http.Header{"Accept": {c.accept}, "Accept-Language": {c.language}}
			h := ph.do(t, http.MethodGet, c.path, header, "")
			if h.status != http.StatusBadRequest || !strings.Contains(string(h.body), `<html lang="`+c.want+`"`) {
				t.Errorf("%v: want a page in %s: %.200s", h, c.want, h.body)
			}
			if strings.Contains(string(h.body), "<svg onload") {
				t.Error("WEB-09 the page echoes its query")
			}
		})
	}
	t.Run("JSON unless text/html is named", func(t *testing.T) {
		for accept, page := range map[string]bool{"": false, "*/*": false, "application/json": false, "text/html": true,
			"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8": true, "image/png": false} {
			h := p.phone("bob").do(t, http.MethodGet, "/me", http.Header{"Accept": {accept}}, "")
			if isHTML(h) != page || h.status != http.StatusUnauthorized {
				t.Errorf("Accept %q answers %q", accept, h.header.Get("Content-Type"))
			}
			if !page {
				wantError(t, h, http.StatusUnauthorized, "invalid_token")
			}
		}
	})
	t.Run("a page shows its request id", func(t *testing.T) {
		first, second := p.phone("bob").once(t, bad), p.phone("bob").once(t, bad)
		if string(first.body) == string(second.body) {
			t.Error("two error pages are the same to the letter: no request id")
		}
		if !leadsTo(first, "/login") && !leadsTo(first, "/") {
			t.Errorf("no button that leads on: %q", links(first))
		}
	})
	t.Run("request ids differ and are no caller's choice", func(t *testing.T) {
		header := http.Header{"X-Request-Id": {"chosen"}, "Accept": {"application/json"}}
		a := wantError(t, p.phone("bob").do(t, http.MethodGet, "/me", header, ""), 401, "invalid_token")
		b := wantError(t, p.phone("bob").do(t, http.MethodGet, "/me", header, ""), 401, "invalid_token")
		if a["request_id"] == b["request_id"] || a["request_id"] == "chosen" {
			t.Errorf("request ids %v and %v", a["request_id"], b["request_id"])
		}
	})
}

func TestUnknownPathsAndMethods(t *testing.T) {
	p := startDev(t, nil)
	for path, allowed := range map[string][]string{
		"/login": {"GET"}, "/login/official-account": {"GET"}, callbackPath: {"GET"}, "/login/register": {"GET"},
		"/login/scan": {"GET"}, "/login/scan/events": {"GET"}, "/login/scan/finish": {"POST"}, "/login/scan/confirm": {"GET", "POST"},
		"/login/refused": {"GET"}, "/login/snapshot": {"GET"}, "/login/cookies-off": {"GET"}, "/logout": {"POST"},
		"/": {"GET"}, miniLogin: {"POST"}, "/me": {"GET", "PATCH", "DELETE"}, "/me/export": {"GET"},
		"/login/website": {"GET"}, websiteCallback: {"GET"}, "/wxbridge.js": {"GET"}, "/jssdk.js": {"GET"}, "/jssdk/config": {"GET"},
		"/login/ticket": {"GET", "POST"}, "/miniprogram/phone": {"POST"}, "/miniprogram/profile": {"POST"},
		"/miniprogram/webview-ticket": {"POST"}, "/login/wecom": {"GET"}, "/callback/wecom": {"GET"}, "/login/not-member": {"GET"},
		"/.well-known/jwks.json": {"GET"}, "/healthz": {"GET"}, "/readyz": {"GET"},
	} {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X"} {
			h := p.api(t, method, path, "", "")
			if strings.Contains(strings.Join(allowed, " "), method) && method != "X" {
				if h.status == http.StatusMethodNotAllowed || h.status == http.StatusNotFound {
					t.Errorf("%v", h)
				}
				continue
			}
			if h.status != http.StatusMethodNotAllowed || h.header.Get("Allow") == "" {
				t.Errorf("%v, Allow %q: want 405", h, h.header.Get("Allow"))
				continue
			}
			wantError(t, h, http.StatusMethodNotAllowed, "method_not_allowed")
		}
		if h := p.api(t, http.MethodHead, path, "", ""); h.status >= 500 {
			t.Errorf("%v", h)
		}
	}
	for _, path := range []string{"/nowhere", "/login/", "/me/", "/ME", "/callback", "/jssdk", "/jssdk/",
		"/metrics", "/debug/pprof/", "/.env",
		"/wxbridge.db", "/static/", "/static/../go.mod", "/_simulator/people", "/index.html", "/.git/config", "/secret",
		"/.well-known/openid-configuration", "/MP_verify_x.txt", "/%2e%2e/go.mod", "//evil.example/%2f..", "/login%00"} {
		h := p.api(t, http.MethodGet, path, "", "")
		if h.status != http.StatusNotFound {
			t.Errorf("WEB-12 %v, want 404", h)
			continue
		}
		wantError(t, h, http.StatusNotFound, "not_found")
	}
}
