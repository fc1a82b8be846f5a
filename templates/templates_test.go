package templates_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"wxbridge/templates"
)

var bothLanguages = []string{templates.Chinese, templates.English}

// everyPage gives each page in each of its shapes.
func everyPage(t *testing.T) map[string]templates.View {
	t.Helper()
	code, err := templates.NewQRCode("https://login.example.com/login")
	if err != nil {
		t.Fatal(err)
	}
	const consent = "/login/official-account?scope=userinfo&return_to=%2Fshop%3Fa%3D1%26b%3D2"
	views := map[string]templates.View{
		"register":                        templates.Register{LoginURL: consent},
		"register with policies":          templates.Register{LoginURL: consent, PrivacyURL: "https://example.com/privacy", TermsURL: "https://example.com/terms"},
		"register with a privacy policy":  templates.Register{LoginURL: consent, PrivacyURL: "https://example.com/privacy"},
		"register for an aged profile":    templates.Register{LoginURL: consent, NotNowURL: "/shop"},
		"register without a flow":         templates.Register{PrivacyURL: "https://example.com/privacy"},
		"refused":                         templates.Refused{RegisterURL: "/login/register"},
		"refused without a flow":          templates.Refused{},
		"snapshot":                        templates.Snapshot{},
		"a member refused":                templates.Refused{Member: true, LoginURL: "/login/wecom"},
		"a member refused on a PC":        templates.Refused{Member: true, Outside: true, LoginURL: "/login/wecom"},
		"not a member":                    templates.NotMember{},
		"a member without access":         templates.NotMember{Member: true},
		"cookies off":                     templates.CookiesOff{},
		"scan":                            templates.Scan{URL: "https://login.example.com/login", QR: code, SelfURL: "/login?return_to=%2Fa"},
		"scan of an address without code": templates.Scan{URL: "https://login.example.com/login"},
		"ticket":                          templates.Ticket{Nickname: "小明🦊", Ticket: "t1cket", ReturnTo: "/shop?a=1&b=2", FormToken: "t0ken", SelfURL: "/login/ticket?ticket=t1cket&return_to=%2Fshop"},
		"ticket of a guest":               templates.Ticket{Ticket: "t1cket", ReturnTo: "/", FormToken: "t0ken", SelfURL: "/login/ticket?ticket=t1cket&return_to=%2F"},
		"scan login":                      templates.ScanLogin{QR: code, Handle: "ABCDEFGH", NewURL: "/login/scan?new=1", SelfURL: "/login/scan?return_to=%2Fa"},
		"scan login that asks itself":     templates.ScanLogin{QR: code, Says: "http://127.0.0.1/login/scan/confirm?scan=x", Direct: true, Scanned: true, Handle: "ABCDEFGH", NewURL: "/login/scan?new=1"},
		"scan confirm": templates.ScanConfirm{Code: "C0DE", FormToken: "t0ken", Site: "login.example.com", Nickname: "小明", Browser: "Firefox · Windows",
			Address: "2001:db8:1234:5678:9abc:def0:1234:5678", StartedAt: time.Date(2031, 12, 31, 23, 59, 58, 0, time.UTC)},
		"scan confirm of little": templates.ScanConfirm{Code: "C0DE", FormToken: "t0ken", Site: "login.example.com"},
		"scan that is unknown":   templates.ScanEnd{Kind: "imaginary"},
		"home signed in":         templates.Home{IDCookieName: "wxbridge_id", FormToken: "t0ken", SignedIn: true, ImageHosts: []string{"https://thirdwx.qlogo.cn", "https://wx.qlogo.cn"}},
		"home signed out":        templates.Home{IDCookieName: "wxbridge_id"},
		"home of WeCom":          templates.Home{IDCookieName: "wxbridge_id", WeCom: true},
		"home of a member":       templates.Home{IDCookieName: "wxbridge_id", FormToken: "t0ken", SignedIn: true, WeCom: true},
	}
	for _, kind := range errorKinds {
		views["error "+kind] = templates.Error{Status: 400, Kind: kind, RequestID: "ABC"}
	}
	for _, detail := range details {
		views["error "+string(detail)] = templates.Error{Status: 403, Kind: "access_denied", Detail: detail}
	}
	for _, kind := range scanEnds {
		views["scan "+string(kind)] = templates.ScanEnd{Kind: kind}
	}
	return views
}

var (
	scanEnds = []templates.ScanEndKind{templates.ScanConfirmed, templates.ScanDeclined, templates.ScanTaken, templates.ScanExpired, templates.ScanElsewhere}

	// the codes of the contract's error table
	errorKinds = []string{"invalid_request", "invalid_grant", "invalid_token", "access_denied", "not_found", "method_not_allowed",
		"rate_limited", "server_error", "temporarily_unavailable"}
	details = []templates.Detail{templates.DetailProviderNotConfigured, templates.DetailBlocked, templates.DetailReturnTo, templates.DetailCrossSite,
		templates.DetailTicket, templates.DetailWebViewOnly, templates.DetailAppUnnamed, templates.DetailAppUnknown, templates.DetailAppKind,
		templates.DetailOpenInWeCom, templates.DetailWeComUnavailable}
)

func newPages(t *testing.T) *templates.Pages {
	t.Helper()
	pages, err := templates.New()
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func render(t *testing.T, lang string, view templates.View) string {
	t.Helper()
	var page bytes.Buffer
	if err := newPages(t).Render(&page, lang, view); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

func TestEveryPageIsWellFormedAndSpeaksItsLanguage(t *testing.T) {
	for name, view := range everyPage(t) {
		for _, lang := range bothLanguages {
			t.Run(name+" in "+lang, func(t *testing.T) {
				page := render(t, lang, view)
				if !strings.HasPrefix(page, "<!DOCTYPE html>\n") {
					t.Errorf("starts with %.40q", page)
				}
				if unbalanced := unbalancedTags(page); unbalanced != "" {
					t.Error(unbalanced)
				}
				if got := attr(t, page, "html", "lang"); got != lang {
					t.Errorf("html lang = %q", got)
				}
				chinese := regexp.MustCompile(`\p{Han}`).MatchString(textOf(t, page, "h1"))
				if chinese != (lang == templates.Chinese) {
					t.Errorf("heading in %s: %q", lang, textOf(t, page, "h1"))
				}
				if ids := repeatedIDs(page); len(ids) > 0 {
					t.Errorf("ids used twice: %q", ids)
				}
			})
		}
	}
}

// A policy without unsafe-inline would silently drop inline styles and scripts.
func TestWEB08_PagesHoldNothingInline(t *testing.T) {
	for name, view := range everyPage(t) {
		page := render(t, templates.English, view)
		for _, tag := range tags(page) {
			for _, a := range tag.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") || strings.HasPrefix(strings.ToLower(a.Val), "javascript:") {
					t.Errorf("%s: <%s %s=%q>", name, tag.Data, a.Key, a.Val)
				}
			}
			if tag.Data == "style" {
				t.Errorf("%s: has a <style>", name)
			}
			if tag.Data == "script" && !strings.HasPrefix(attrOf(tag, "src"), "/static/") {
				t.Errorf("%s: has an inline <script>", name)
			}
		}
	}
}

func TestFLW11_PagesLoadNothingFromOtherOrigins(t *testing.T) {
	for name, view := range everyPage(t) {
		page := render(t, templates.Chinese, view)
		for _, tag := range tags(page) {
			for _, a := range tag.Attr {
				loads := a.Key == "src" || a.Key == "srcset" || a.Key == "href" && tag.Data != "a" || a.Key == "action" || a.Key == "xlink:href"
				if loads && (!strings.HasPrefix(a.Val, "/") || strings.HasPrefix(a.Val, "//")) {
					t.Errorf("%s: <%s %s=%q>", name, tag.Data, a.Key, a.Val)
				}
			}
		}
		if !strings.Contains(page, `<meta name="referrer" content="no-referrer">`) {
			t.Errorf("%s: sends a Referer", name)
		}
	}
	policy := templates.ContentSecurityPolicy()
	if strings.Contains(policy, "http") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("policy of the flow pages: %s", policy)
	}
}

// Every string of every view is filled with something hostile: the page must have exactly the tags and attributes that it
// has with something harmless.
func TestWEB09_HostileDataChangesNoMarkup(t *testing.T) {
	hostile := []string{
		`<svg onload=alert(1)>`, `"><svg onload=alert(1)>`, `' onmouseover='alert(1)`, `" style="color:red`, `</script><script>alert(1)</script>`,
		`javascript:alert(1)`, "java\tscript:alert(1)", `data:text/html,<script>alert(1)</script>`, `//evil.example/`, `\\evil.example`,
		"\u202emoc.elpmaxe", "a\r\nSet-Cookie: x=1", "a\x00b", "{{.}}", `{{template "top"}}`, "&lt;svg&gt;", strings.Repeat("👨‍👩‍👧", 5000),
	}
	for name, view := range everyPage(t) {
		harmless := render(t, templates.Chinese, filled(view, "x"))
		for _, payload := range hostile {
			page := render(t, templates.Chinese, filled(view, payload))
			if diff := cmp.Diff(shape(harmless), shape(page)); diff != "" {
				t.Errorf("%s with %.40q: markup changed:\n%s", name, payload, diff)
			}
			for _, tag := range tags(page) {
				for _, a := range tag.Attr {
					link := a.Key == "href" || a.Key == "action" || a.Key == "src"
					if link && regexp.MustCompile(`(?i)^[\s\x00]*(java\s*script|data|vbscript):`).MatchString(a.Val) {
						t.Errorf("%s with %.40q: <%s %s=%q>", name, payload, tag.Data, a.Key, a.Val)
					}
				}
			}
		}
	}
}

func TestWX18_UntrustedTextIsShownAsItIs(t *testing.T) {
	const name = `<svg onload=alert(1)>&"'`
	page := render(t, templates.English, templates.Error{Status: 400, Kind: "invalid_request", RequestID: name})
	if got := textOf(t, page, "code"); got != name {
		t.Errorf("shown as %q", got)
	}
}

func TestWEB09_NoCastsAroundTheEscaping(t *testing.T) {
	forbidden := regexp.MustCompile(`template\.(HTML|HTMLAttr|JS|JSStr|URL|CSS|Srcset)\b|"text/template"|` +
		`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function`)
	checked := 0
	for _, pattern := range []string{"*.go", "static/*.js", "pages/*.html"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if found := forbidden.Find(source); found != nil {
				t.Errorf("%s uses %s", file, found)
			}
			checked++
		}
	}
	if checked < 10 {
		t.Errorf("only %d files checked", checked)
	}
}

func TestRegisterPageHasOneLinkToConsent(t *testing.T) {
	const consent = "/login/official-account?scope=userinfo&return_to=%2Fshop%3Fa%3D1%26b%3D2"
	for name, c := range map[string]struct {
		view templates.Register
		want map[string]string // id → href
	}{
		"an unknown fan": {
			templates.Register{LoginURL: consent},
			map[string]string{"register": consent, "lang": "?lang=en"}},
		"with privacy policy and terms": {
			templates.Register{LoginURL: consent, PrivacyURL: "https://example.com/p", TermsURL: "https://example.com/t"},
			map[string]string{"register": consent, "privacy": "https://example.com/p", "terms": "https://example.com/t", "lang": "?lang=en"}},
		"a known fan may say not now": {
			templates.Register{LoginURL: consent, NotNowURL: "/shop"},
			map[string]string{"register": consent, "not-now": "/shop", "lang": "?lang=en"}},
		"without a flow there is one button to /login": {
			templates.Register{PrivacyURL: "https://example.com/p", TermsURL: "https://example.com/t"},
			map[string]string{"login": "/login", "lang": "?lang=en"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, links(render(t, templates.Chinese, c.view))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEveryOtherPageLeadsOn(t *testing.T) {
	for name, c := range map[string]struct {
		view templates.View
		want map[string]string
	}{
		"refused offers the register page":         {templates.Refused{RegisterURL: "/login/register"}, map[string]string{"again": "/login/register"}},
		"refused without a flow":                   {templates.Refused{}, map[string]string{"login": "/login"}},
		"not a member":                             {templates.NotMember{LoginURL: "/login/wecom?return_to=%2Fa"}, map[string]string{"login": "/login/wecom?return_to=%2Fa"}},
		"snapshot":                                 {templates.Snapshot{LoginURL: "/login?return_to=%2Fa"}, map[string]string{"login": "/login?return_to=%2Fa"}},
		"cookies off":                              {templates.CookiesOff{}, map[string]string{"login": "/login"}},
		"a bad request leads to a new login":       {templates.Error{Status: 400, Kind: "invalid_request"}, map[string]string{"login": "/login"}},
		"a spent code leads to a new login":        {templates.Error{Status: 400, Kind: "invalid_grant", LoginURL: "/login?app=b"}, map[string]string{"login": "/login?app=b"}},
		"a busy WeChat leads to another try":       {templates.Error{Status: 503, Kind: "temporarily_unavailable"}, map[string]string{"login": "/login"}},
		"a blocked fan is not sent round in rings": {templates.Error{Status: 403, Kind: "access_denied", Detail: templates.DetailBlocked}, map[string]string{"home": "/"}},
		"nor a browser without a login":            {templates.Error{Status: 400, Kind: "invalid_request", Detail: templates.DetailProviderNotConfigured}, map[string]string{"home": "/"}},
		"nor one that is not WeCom's":              {templates.Error{Status: 400, Kind: "invalid_request", Detail: templates.DetailOpenInWeCom}, map[string]string{"home": "/"}},
		"a link without its app is no ring":        {templates.Error{Status: 400, Kind: "invalid_request", Detail: templates.DetailAppUnnamed}, map[string]string{}},
		"nor one with a wrong app":                 {templates.Error{Status: 400, Kind: "invalid_request", Detail: templates.DetailAppKind}, map[string]string{}},
		"a missing page leads home":                {templates.Error{Status: 404, Kind: "not_found"}, map[string]string{"home": "/"}},
		"home":                                     {templates.Home{}, map[string]string{"login": "/login?return_to=/"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := links(render(t, templates.Chinese, c.view))
			delete(got, "lang")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestErrorPageSaysWhatTheCodeMeans(t *testing.T) {
	seen := map[string]string{}
	for _, lang := range bothLanguages {
		for name, view := range everyPage(t) {
			e, ok := view.(templates.Error)
			if !ok {
				continue
			}
			sentence := textOf(t, render(t, lang, e), "p")
			if other := seen[sentence]; other != "" || sentence == "" {
				t.Errorf("%s in %s reads %q like %s", name, lang, sentence, other)
			}
			seen[sentence] = name + " in " + lang
		}
	}
	t.Run("unknown code and detail read as server_error", func(t *testing.T) {
		unknown := render(t, templates.English, templates.Error{Status: 500, Kind: "teapot", Detail: "brewing"})
		known := render(t, templates.English, templates.Error{Status: 500, Kind: "server_error"})
		if textOf(t, unknown, "p") != textOf(t, known, "p") {
			t.Errorf("%q", textOf(t, unknown, "p"))
		}
	})
	t.Run("request id", func(t *testing.T) {
		page := render(t, templates.English, templates.Error{Status: 500, Kind: "server_error", RequestID: "0M4QZ7PS"})
		if !strings.Contains(page, `<code id="request-id">0M4QZ7PS</code>`) {
			t.Error("the request id is missing")
		}
	})
}

func TestLanguageSwitch(t *testing.T) {
	for name, c := range map[string]struct {
		view       templates.View
		lang, want string
	}{
		"to English":                          {templates.Snapshot{}, "zh-CN", "?lang=en"},
		"to Chinese":                          {templates.Snapshot{}, "en", "?lang=zh-CN"},
		"an unknown language counts as zh-CN": {templates.Snapshot{}, "fr", "?lang=en"},
		"the scan page keeps its own query": {templates.Scan{SelfURL: "/login?return_to=%2Fa%3Fb%3D1&lang=zh-CN"}, "zh-CN",
			"/login?lang=en&return_to=%2Fa%3Fb%3D1"},
		"an error page keeps its app": {templates.Error{Status: 400, Kind: "invalid_request", SelfURL: "?app=b"}, "zh-CN", "?app=b&lang=en"},
		"by pointer too":              {&templates.Scan{SelfURL: "/login?app=b"}, "zh-CN", "/login?app=b&lang=en"},
		"never to another host":       {templates.Scan{SelfURL: "//evil.example/login"}, "zh-CN", "?lang=en"},
		"nor to another host's path":  {templates.Scan{SelfURL: "https://evil.example/login"}, "zh-CN", "?lang=en"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := links(render(t, c.lang, c.view))["lang"]; got != c.want {
				t.Errorf("switch leads to %q, want %q", got, c.want)
			}
		})
	}
}

func TestHomeWorksWithoutScript(t *testing.T) {
	in := render(t, templates.English, templates.Home{IDCookieName: "c", FormToken: "t0ken", SignedIn: true})
	out := render(t, templates.English, templates.Home{IDCookieName: "c"})
	for _, c := range []struct {
		page, id string
		hidden   bool
	}{
		{in, "signed-in", false}, {in, "logout", false}, {in, "signed-out", true}, {in, "login", true},
		{out, "signed-in", true}, {out, "logout", true}, {out, "signed-out", false}, {out, "login", false},
	} {
		tag := byID(t, c.page, c.id)
		if hidden := slices.ContainsFunc(tag.Attr, func(a html.Attribute) bool { return a.Key == "hidden" }); hidden != c.hidden {
			t.Errorf("#%s hidden = %v, want %v", c.id, hidden, c.hidden)
		}
	}
	form := byID(t, in, "logout")
	if attrOf(form, "method") != "post" || attrOf(form, "action") != "/logout" {
		t.Errorf("logout form: %v", form.Attr)
	}
	if !strings.Contains(in, `<input type="hidden" name="form_token" value="t0ken">`) {
		t.Error("the form token is missing")
	}
	if !strings.Contains(in, "<noscript>") {
		t.Error("no word for browsers without script")
	}
}

func TestRenderReportsAFailingWriter(t *testing.T) {
	if err := newPages(t).Render(failingWriter{}, templates.Chinese, templates.Snapshot{}); err == nil {
		t.Error("no error")
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// filled gives the view with every string in it, nested ones too, set to s; flags and numbers stay.
func filled(view templates.View, s string) templates.View {
	v := reflect.New(reflect.TypeOf(view)).Elem()
	v.Set(reflect.ValueOf(view))
	fill(v, s)
	return v.Interface().(templates.View)
}

func fill(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), s)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), s)
	}
}

// tags lists the start tags of a page.
func tags(page string) []html.Token {
	var found []html.Token
	for z := html.NewTokenizer(strings.NewReader(page)); z.Next() != html.ErrorToken; {
		if token := z.Token(); token.Type == html.StartTagToken || token.Type == html.SelfClosingTagToken {
			found = append(found, token)
		}
	}
	return found
}

// shape is a page's tags and the names of their attributes, without any content.
func shape(page string) []string {
	var lines []string
	for _, tag := range tags(page) {
		line := tag.Data
		for _, a := range tag.Attr {
			line += " " + a.Key
		}
		lines = append(lines, line)
	}
	return lines
}

// unbalancedTags describes the first tag that is not closed where it should be; "" if there is none.
func unbalancedTags(page string) string {
	void := []string{"meta", "link", "img", "input", "br"}
	var open []string
	for z := html.NewTokenizer(strings.NewReader(page)); z.Next() != html.ErrorToken; {
		switch token := z.Token(); token.Type {
		case html.StartTagToken:
			if !slices.Contains(void, token.Data) {
				open = append(open, token.Data)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != token.Data {
				return fmt.Sprintf("</%s> closes %q", token.Data, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return fmt.Sprintf("never closed: %q", open)
	}
	return ""
}

func repeatedIDs(page string) []string {
	count := map[string]int{}
	for _, tag := range tags(page) {
		if id := attrOf(tag, "id"); id != "" {
			count[id]++
		}
	}
	maps.DeleteFunc(count, func(_ string, n int) bool { return n == 1 })
	return slices.Sorted(maps.Keys(count))
}

// links gives the address of every <a>, by id.
func links(page string) map[string]string {
	found := map[string]string{}
	for _, tag := range tags(page) {
		if tag.Data == "a" {
			found[attrOf(tag, "id")] = attrOf(tag, "href")
		}
	}
	return found
}

func byID(t *testing.T, page, id string) html.Token {
	t.Helper()
	for _, tag := range tags(page) {
		if attrOf(tag, "id") == id {
			return tag
		}
	}
	t.Fatalf("no #%s", id)
	return html.Token{}
}

func attr(t *testing.T, page, tagName, key string) string {
	t.Helper()
	for _, tag := range tags(page) {
		if tag.Data == tagName {
			return attrOf(tag, key)
		}
	}
	t.Fatalf("no <%s>", tagName)
	return ""
}

func attrOf(tag html.Token, key string) string {
	for _, a := range tag.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// textOf is the text at the start of the first such element.
func textOf(t *testing.T, page, tagName string) string {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(page))
	for z.Next() != html.ErrorToken {
		if token := z.Token(); token.Type == html.StartTagToken && token.Data == tagName {
			z.Next()
			return z.Token().Data
		}
	}
	t.Fatalf("no <%s>", tagName)
	return ""
}
