package handlers_test

import (
	"net/http"
	"strings"
	"testing"

	"wxbridge/handlers"
)

// A link that names no app, an unknown one or one of another kind says so, in words and without a button that would lead here again.
func TestALinkWithAWrongAppSaysWhatItLacks(t *testing.T) {
	b := newWebsiteBridge(t, func(c *handlers.Config) {
		c.OfficialAccounts[0].Alias, c.MiniPrograms[0].Alias, c.Websites[0].Alias = "shop", "shop-mini", "shop-site"
	})
	for link, want := range map[string]string{
		"/login": "the parameter app must name one",
		"/login/official-account?return_to=/shop":  "the parameter app must name one",
		"/login?app=nothing":                       "There is no app of this name",
		"/login?app=shop-mini":                     "is a mini program, and this needs a WeChat official account",
		"/login?app=" + b.mini.AppID:               "is a mini program, and this needs a WeChat official account",
		"/login?app=shop-site":                     "is a website app, and this needs a WeChat official account",
		"/login/website?app=shop":                  "is a WeChat official account, and this needs a website app",
		"/jssdk/config?app=shop-mini&url=" + b.url: "There is no official account",
	} {
		w := b.browser("alice")
		p := w.get(link)
		if e := p.errorOf(t); p.StatusCode != http.StatusBadRequest || e.Error != "invalid_request" || !strings.Contains(e.Description, want) {
			t.Errorf("%s: %d %s, want %q", link, p.StatusCode, e.Description, want)
		}
		if !strings.HasPrefix(link, "/login") {
			continue
		}
		p = w.get(link, "Accept", "text/html", "Accept-Language", "en")
		if p.StatusCode != http.StatusBadRequest || !strings.Contains(p.body, "app=") || strings.Contains(p.body, `href="/login`) || strings.Contains(p.body, `id="home"`) {
			t.Errorf("%s: %d, and the page says\n%s", link, p.StatusCode, p.body)
		}
		_, query, _ := strings.Cut(link, "?")
		if strings.HasPrefix(query, "app=") && !strings.Contains(p.body, `href="?`+query+`&amp;lang=zh-CN"`) {
			t.Errorf("%s: the language link does not keep the app:\n%s", link, p.body)
		}
	}
	p := b.browser("").do("POST", "/miniprogram/login", `{"code":"abc","app":"shop"}`, "Content-Type", "application/json")
	if e := p.errorOf(t); p.StatusCode != http.StatusBadRequest || !strings.Contains(e.Description, "is a WeChat official account, and this needs a mini program") {
		t.Errorf("a mini program's login with an account: %d %s", p.StatusCode, p.body)
	}
	if p := b.browser("alice").visit("/login/website"); p.StatusCode != http.StatusOK { // the only one of its kind
		t.Errorf("the only website app: %d %s", p.StatusCode, p.body)
	}
}
