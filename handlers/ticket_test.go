package handlers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
)

const (
	webViewAgent  = "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.69(0x18004539) NetType/4G Language/zh_CN miniProgram/wx336dcaf6a1ecf632"
	deskViewAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 MicroMessenger/7.0.20.1781(0x6700143B) NetType/WIFI MiniProgramEnv/Windows WindowsWechat/WMPF WindowsWechat(0x63090a13) UnifiedPCWindowsWechat(0xf2540611) XWEB/14199"
	weChatAgent   = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.68(0x1800442b) NetType/WIFI Language/zh_CN"
	chromeAgent   = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/144.0.0.0 Safari/537.36"
)

const sameOrigin = "same-origin"

// miniToken logs a person in from the mini program.
func (b *bridge) miniToken(person string) string {
	b.t.Helper()
	p := b.postJSON("/miniprogram/login", "", map[string]string{"code": b.jsCode(person)})
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(p.body), &answer); err != nil || answer.Token == "" {
		b.t.Fatalf("login of %s: %d %s", person, p.StatusCode, p.body)
	}
	return answer.Token
}

// postJSON is a request of a mini program's.
func (b *bridge) postJSON(path, token string, members map[string]string) page {
	b.t.Helper()
	var raw []byte
	var header []string
	if members != nil {
		var err error
		raw, err = json.Marshal(members)
		must(b.t, err)
		header = []string{"Content-Type", "application/json"}
	}
	if token != "" {
		header = append(header, "Authorization", "Bearer "+token)
	}
	return b.browser("").do("POST", path, string(raw), header...)
}

func (b *bridge) ticket(token string) string {
	b.t.Helper()
	p := b.postJSON("/miniprogram/webview-ticket", token, nil)
	var answer struct {
		Ticket    string
		ExpiresIn int `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(p.body), &answer); err != nil || p.StatusCode != http.StatusOK || answer.Ticket == "" {
		b.t.Fatalf("ticket: %d %s", p.StatusCode, p.body)
	}
	if answer.ExpiresIn != 60 || p.Header.Get("Cache-Control") != "no-store" {
		b.t.Errorf("ticket: %s, Cache-Control %q", p.body, p.Header.Get("Cache-Control"))
	}
	return answer.Ticket
}

// webView is a fresh browser inside the mini program.
func (b *bridge) webView() *browser {
	w := b.browser("")
	w.agent = webViewAgent
	return w
}

func ticketPath(ticket, returnTo string) string {
	return "/login/ticket?" + url.Values{"ticket": {ticket}, "return_to": {returnTo}}.Encode()
}

// postTicket sends the form of the ticket page as a browser that says where from.
func (w *browser) postTicket(form url.Values, site string) page {
	w.t.Helper()
	header := []string{"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html"}
	if site != "" {
		header = append(header, "Sec-Fetch-Site", site)
	}
	return w.do("POST", "/login/ticket", form.Encode(), header...)
}

// useTicket plays a whole web-view: the page, and the tap.
func (w *browser) useTicket(ticket, returnTo string) page {
	w.t.Helper()
	p := w.get(ticketPath(ticket, returnTo), "Accept", "text/html")
	if p.StatusCode != http.StatusOK {
		return p
	}
	return w.postTicket(formOf(w.t, p), sameOrigin)
}

// formOf reads the hidden fields of a page's form.
func formOf(t testing.TB, p page) url.Values {
	t.Helper()
	form := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="(\w+)" value="([^"]*)">`).FindAllStringSubmatch(p.body, -1) {
		form.Set(m[1], strings.NewReplacer("&amp;", "&", "&#43;", "+", "&#34;", `"`).Replace(m[2]))
	}
	if len(form) != 3 {
		t.Fatalf("the page's form has %v: %d %s", form, p.StatusCode, p.body)
	}
	return form
}

// inProduction is a bridge that looks at User-Agents as serve does.
func inProduction(cfg *handlers.Config) { cfg.Dev = false }

func TestTicket_TheWebViewIsTheSameSession(t *testing.T) {
	b := newBridge(t, inProduction)
	token := b.miniToken("alice")
	must(t, b.nickname(token, "小明🦊"))
	ticket := b.ticket(token)
	w := b.webView()
	const returnTo = "https://h5.example.com/shop?a=1&b=é#top"
	p := w.get(ticketPath(ticket, returnTo), "Accept", "text/html", "Accept-Language", "en")
	if p.StatusCode != http.StatusOK || !strings.Contains(p.body, "Continue as") || !strings.Contains(p.body, "小明🦊") {
		t.Fatalf("page: %d %s", p.StatusCode, p.body)
	}
	if w.cookie("wxbridge_token") != "" {
		t.Error("looking at the page logs in")
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"} {
		if got := p.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	// A browser holds the redirect after a form to form-action too.
	if policy := p.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https://h5.example.com;") {
		t.Errorf("policy: %s", policy)
	}
	for range 3 { // spends nothing
		p = w.get(ticketPath(ticket, returnTo), "Accept", "text/html")
	}
	p = w.postTicket(formOf(t, p), sameOrigin)
	if p.StatusCode != http.StatusSeeOther || p.Header.Get("Location") != "https://h5.example.com/shop?a=1&b=%C3%A9#top" ||
		p.Header.Get("Cache-Control") != "no-store" || p.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Fatalf("tap: %d %v %s", p.StatusCode, p.Header, p.body)
	}
	mini, err := b.verifier.Verify(context.Background(), token)
	must(t, err)
	got := w.mustClaims()
	if got.ID == mini.ID {
		t.Error("the cookie is the mini program's own token")
	}
	got.ID, got.IssuedAt, got.ExpiresAt = mini.ID, mini.IssuedAt, mini.ExpiresAt
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", mini) {
		t.Errorf("the cookie is of another session:\n%+v\n%+v", got, mini)
	}
	if w.cookie("wxbridge_id") == "" {
		t.Error("no ID token")
	}
	if p := w.get("/me"); p.StatusCode != http.StatusOK {
		t.Errorf("/me: %d", p.StatusCode)
	}
}

// nickname gives the fan of a token a name.
func (b *bridge) nickname(token, name string) error {
	if p := b.postJSON("/miniprogram/profile", token, map[string]string{"nickname": name}); p.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %d %s", p.StatusCode, p.body)
	}
	return nil
}

// FLW-14: twice, twenty at once, after its time, made by nobody, altered.
func TestFLW14_ATicketWorksOnceAndForAMinute(t *testing.T) {
	b := newBridge(t, inProduction)
	token := b.miniToken("alice")
	refused := func(name string, p page) {
		t.Helper()
		if p.StatusCode != http.StatusBadRequest || p.Header.Get("Set-Cookie") != "" || !strings.Contains(p.body, "请重新打开页面") {
			t.Errorf("%s: %d %v %s", name, p.StatusCode, p.Header, p.body)
		}
	}
	form := func(ticket string) url.Values { return url.Values{"ticket": {ticket}, "return_to": {"/"}} }

	used := b.ticket(token)
	if p := b.webView().useTicket(used, "/"); p.StatusCode != http.StatusSeeOther {
		t.Fatalf("first use: %d %s", p.StatusCode, p.body)
	}
	refused("page of a used ticket", b.webView().get(ticketPath(used, "/"), "Accept", "text/html"))
	refused("second use", b.webView().postTicket(form(used), sameOrigin))
	if n := strings.Count(b.log.String(), `"event":"login.code_reused"`); n != 2 {
		t.Errorf("LOG-03 %d lines tell of a used ticket", n)
	}

	raced := b.ticket(token)
	var won atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if p := b.webView().postTicket(form(raced), sameOrigin); p.StatusCode == http.StatusSeeOther {
				won.Add(1)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("one ticket logged in %d times of 20 at once", won.Load())
	}

	old := b.ticket(token)
	b.clock.Advance(59 * time.Second)
	if p := b.webView().get(ticketPath(old, "/"), "Accept", "text/html"); p.StatusCode != http.StatusOK {
		t.Errorf("after 59 s: %d", p.StatusCode)
	}
	b.clock.Advance(2 * time.Second)
	refused("page after 61 s", b.webView().get(ticketPath(old, "/"), "Accept", "text/html"))
	refused("after 61 s", b.webView().postTicket(form(old), sameOrigin))

	fresh := b.ticket(token)
	refused("altered", b.webView().postTicket(form(fresh[:len(fresh)-2]+"AA"), sameOrigin))
	refused("an access token for a ticket", b.webView().postTicket(form(token), sameOrigin))
	refused("a form token for a ticket", b.webView().postTicket(form(formOf(t, b.webView().get(ticketPath(fresh, "/"))).Get("form_token")), sameOrigin))
	refused("nonsense", b.webView().postTicket(form("x"), sameOrigin))
	for name, values := range map[string]url.Values{
		"missing":       {"return_to": {"/"}},
		"over-long":     {"ticket": {strings.Repeat("x", 4000)}},
		"given twice":   {"ticket": {fresh, fresh}},
		"foreign place": {"ticket": {fresh}, "return_to": {"https://evil.example/"}},
	} {
		for _, p := range []page{b.webView().get("/login/ticket?" + values.Encode()),
			b.webView().do("POST", "/login/ticket", values.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", sameOrigin)} {
			if e := p.errorOf(t); p.StatusCode != http.StatusBadRequest || e.Error != "invalid_request" {
				t.Errorf("%s: %d %s", name, p.StatusCode, p.body)
			}
		}
	}
	if p := b.webView().useTicket(fresh, "/"); p.StatusCode != http.StatusSeeOther {
		t.Errorf("the refusals have spent the ticket: %d %s", p.StatusCode, p.body)
	}
}

// A link with a ticket must not log anybody in by itself (login CSRF): only a tap on our own page does.
func TestWEB06_ATicketIsUsedByATapOnOurPageAlone(t *testing.T) {
	b := newBridge(t, inProduction)
	token := b.miniToken("mallory")
	ticket := b.ticket(token)
	victim := b.webView()
	attacker := b.webView()
	stolen := formOf(t, attacker.get(ticketPath(ticket, "/"))) // with a form token of the attacker's browser
	own := formOf(t, victim.get(ticketPath(ticket, "/")))
	for name, try := range map[string]func() page{
		"cross-site form":                   func() page { return victim.postTicket(stolen, "cross-site") },
		"same-site form":                    func() page { return victim.postTicket(stolen, "same-site") },
		"form that says nothing":            func() page { return victim.postTicket(stolen, "") },
		"form without a token":              func() page { return victim.postTicket(url.Values{"ticket": {ticket}}, "") },
		"form token before any page":        func() page { return b.webView().postTicket(own, "") },
		"the page's address as the address": func() page { return victim.do("POST", ticketPath(ticket, "/"), "", "Sec-Fetch-Site", "cross-site") },
		"null origin": func() page {
			return victim.do("POST", "/login/ticket", stolen.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", "null")
		},
		"another origin": func() page {
			return victim.do("POST", "/login/ticket", stolen.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://evil.example")
		},
	} {
		if p := try(); p.StatusCode == http.StatusSeeOther || strings.Contains(fmt.Sprint(p.Header["Set-Cookie"]), "wxbridge_token") {
			t.Errorf("%s: %d %v", name, p.StatusCode, p.Header["Set-Cookie"])
		}
	}
	if _, ok := victim.claims(); ok {
		t.Fatal("logged in without a tap")
	}
	// An in-app browser that sends neither header, with the token of its own page.
	if p := victim.postTicket(own, ""); p.StatusCode != http.StatusSeeOther {
		t.Errorf("tap in an old browser: %d %s", p.StatusCode, p.body)
	}
	// One that does say.
	b.clock.Advance(time.Second)
	again := url.Values{"ticket": {b.ticket(token)}}
	if p := b.webView().do("POST", "/login/ticket", again.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", b.url); p.StatusCode != http.StatusSeeOther {
		t.Errorf("tap with an Origin: %d %s", p.StatusCode, p.body)
	}
}

func TestTicket_OutsideAWebViewIs403(t *testing.T) {
	b := newBridge(t, inProduction)
	ticket := b.ticket(b.miniToken("alice"))
	for name, c := range map[string]struct {
		agent string
		want  int
	}{
		"phone":           {webViewAgent, http.StatusOK},
		"computer":        {deskViewAgent, http.StatusOK},
		"WeChat":          {weChatAgent, http.StatusForbidden},
		"desktop browser": {chromeAgent, http.StatusForbidden},
	} {
		w := b.browser("")
		w.agent = c.agent
		p := w.get(ticketPath(ticket, "/"), "Accept", "text/html")
		if p.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", name, p.StatusCode, c.want)
		}
		if c.want == http.StatusForbidden {
			if !strings.Contains(p.body, "请在小程序中打开") {
				t.Errorf("%s: %s", name, p.body)
			}
			if p := w.postTicket(url.Values{"ticket": {ticket}}, sameOrigin); p.StatusCode != http.StatusForbidden {
				t.Errorf("%s, tap: %d", name, p.StatusCode)
			}
		}
	}
	if p := b.webView().useTicket(ticket, "/"); p.StatusCode != http.StatusSeeOther {
		t.Errorf("the refusals have spent the ticket: %d", p.StatusCode)
	}

	t.Run("in dev the cookie says which browser it is", func(t *testing.T) {
		b := newBridge(t)
		ticket := b.ticket(b.miniToken("alice"))
		for kind, want := range map[string]int{"": http.StatusForbidden, "webview": http.StatusOK, "wechat": http.StatusForbidden,
			"desktop": http.StatusForbidden, "wecom": http.StatusForbidden} {
			w := b.browser("")
			w.agent = chromeAgent
			header := []string{"Accept", "text/html"}
			if kind != "" {
				header = append(header, "Cookie", "simulator_browser="+kind)
			}
			if p := w.get(ticketPath(ticket, "/"), header...); p.StatusCode != want {
				t.Errorf("%q: %d, want %d", kind, p.StatusCode, want)
			}
		}
	})
}

// WeChat loads a web-view again from the address it was opened with, Back leads there, and people tap twice: for who is logged in
// as the ticket's fan already, a ticket that is used or too old asks nothing and gives nothing.
func TestTicket_WhoIsLoggedInGoesOnWhateverBecameOfTheTicket(t *testing.T) {
	b := newBridge(t, inProduction)
	token := b.miniToken("alice")
	html := []string{"Accept", "text/html"}
	used, old := b.ticket(token), b.ticket(token)
	w := b.webView()
	form := formOf(t, w.get(ticketPath(used, "/orders"), html...))
	if p := w.postTicket(form, sameOrigin); p.StatusCode != http.StatusSeeOther {
		t.Fatalf("tap: %d %s", p.StatusCode, p.body)
	}
	goesOn := func(name string, p page, status int) {
		t.Helper()
		if p.StatusCode != status || p.Header.Get("Location") != "/orders" || p.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v %s", name, p.StatusCode, p.Header, p.body)
		}
	}
	refused := func(name string, p page) {
		t.Helper()
		if p.StatusCode != http.StatusBadRequest || strings.Contains(fmt.Sprint(p.Header["Set-Cookie"]), "wxbridge_token") {
			t.Errorf("%s: %d %v", name, p.StatusCode, p.Header["Set-Cookie"])
		}
	}
	goesOn("Back", w.get(ticketPath(used, "/orders"), html...), http.StatusFound)
	goesOn("second tap", w.postTicket(form, sameOrigin), http.StatusSeeOther)
	b.clock.Advance(2 * time.Minute)
	goesOn("loaded again later", w.get(ticketPath(old, "/orders"), html...), http.StatusFound)

	if strings.Contains(b.log.String(), "login.code_reused") {
		t.Error("Back is logged as an attack")
	}
	if p := w.get(ticketPath(used, "https://evil.example/"), html...); p.StatusCode != http.StatusBadRequest {
		t.Errorf("a foreign address: %d", p.StatusCode)
	}
	refused("altered", w.get(ticketPath(used[1:], "/orders"), html...))
	refused("nobody is logged in", b.webView().get(ticketPath(used, "/orders"), html...))
	other := b.webView()
	other.useTicket(b.ticket(b.miniToken("bob")), "/")
	refused("somebody else is", other.get(ticketPath(used, "/orders"), html...))
	refused("somebody else taps", other.postTicket(form, sameOrigin))
	if p := b.postJSON("/logout", token, nil); p.StatusCode != http.StatusNoContent {
		t.Fatalf("logout: %d %s", p.StatusCode, p.body)
	}
	refused("logged out meanwhile", w.get(ticketPath(used, "/orders"), html...))
}

// What ends the session between the ticket and the tap ends the ticket.
func TestTicket_OfASessionThatHasEnded(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*testing.T, *bridge, string)
		want int
	}{
		"logged out": {func(t *testing.T, b *bridge, token string) {
			if p := b.postJSON("/logout", token, nil); p.StatusCode != http.StatusNoContent {
				t.Fatalf("logout: %d %s", p.StatusCode, p.body)
			}
		}, http.StatusBadRequest},
		"logged out everywhere": {func(t *testing.T, b *bridge, token string) {
			if p := b.postJSON("/me/logout-everywhere", token, nil); p.StatusCode != http.StatusNoContent {
				t.Fatalf("logout: %d %s", p.StatusCode, p.body)
			}
		}, http.StatusBadRequest},
		"erased": {func(t *testing.T, b *bridge, token string) {
			if p := b.browser("").do("DELETE", "/me", "", "Authorization", "Bearer "+token); p.StatusCode != http.StatusNoContent {
				t.Fatalf("erase: %d %s", p.StatusCode, p.body)
			}
		}, http.StatusBadRequest},
		"blocked by another process": {func(t *testing.T, b *bridge, token string) {
			claims, err := b.verifier.Verify(t.Context(), token)
			must(t, err)
			_, err = b.store.SetAccess(t.Context(), claims.Subject, db.Access{Status: db.StatusBlocked}, b.clock.Now().Add(3*time.Hour))
			must(t, err)
		}, http.StatusForbidden},
		"logged out by another process": {func(t *testing.T, b *bridge, token string) {
			claims, err := b.verifier.Verify(t.Context(), token)
			must(t, err)
			must(t, b.store.AddRevocation(t.Context(), db.Revocation{Kind: db.RevokedSession, Value: claims.SessionID, ExpiresAt: b.clock.Now().Add(3 * time.Hour)}))
		}, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBridge(t, inProduction)
			token := b.miniToken("alice")
			ticket := b.ticket(token)
			w := b.webView()
			form := formOf(t, w.get(ticketPath(ticket, "/")))
			c.end(t, b, token)
			for what, p := range map[string]page{"page": w.get(ticketPath(ticket, "/")), "tap": w.postTicket(form, sameOrigin)} {
				if p.StatusCode != c.want {
					t.Errorf("%s: %d %s, want %d", what, p.StatusCode, p.body, c.want)
				}
			}
			if _, ok := w.claims(); ok || w.cookie("wxbridge_token") != "" {
				t.Error("logged in")
			}
		})
	}
}

// One login has one sid: a logout in the page ends the mini program's token, and the other way round.
func TestTicket_ALogoutEndsBothSides(t *testing.T) {
	b := newBridge(t, inProduction)
	for _, inPage := range []bool{true, false} {
		b.clock.Advance(time.Second)
		token := b.miniToken("alice")
		w := b.webView()
		w.useTicket(b.ticket(token), "/")
		w.mustClaims()
		if inPage {
			w.do("POST", "/logout", "", "Origin", b.url)
		} else {
			b.postJSON("/logout", token, nil)
		}
		if p := w.get("/me"); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("in the page %v: the page still has %d", inPage, p.StatusCode)
		}
		if p := b.postJSON("/miniprogram/webview-ticket", token, nil); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("in the page %v: the mini program still has %d", inPage, p.StatusCode)
		}
	}
}

func TestTicket_WhoMayHaveOne(t *testing.T) {
	b := newBridge(t)
	phone := b.browser("bob")
	phone.register()
	official := phone.cookie("wxbridge_token")
	if p := b.postJSON("/miniprogram/webview-ticket", official, nil); p.StatusCode != http.StatusForbidden || p.errorOf(t).Error != "access_denied" {
		t.Errorf("token of the official account: %d %s", p.StatusCode, p.body)
	}
	if p := b.postJSON("/miniprogram/webview-ticket", "", nil); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("nobody: %d", p.StatusCode)
	}
	w := b.webView()
	w.useTicket(b.ticket(b.miniToken("alice")), "/")
	if p := w.do("POST", "/miniprogram/webview-ticket", "", "Sec-Fetch-Site", sameOrigin); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("cookie: %d %s", p.StatusCode, p.body)
	}
}

// A web-view that is logged in already as what the ticket would make it is asked nothing, and spends nothing.
func TestTicket_ABrowserThatIsThisFanAlreadyGoesOn(t *testing.T) {
	b := newBridge(t, inProduction)
	token := b.miniToken("alice")
	w := b.webView()
	w.useTicket(b.ticket(token), "/")
	next := b.ticket(token)
	if p := w.get(ticketPath(next, "/shop")); p.StatusCode != http.StatusFound || p.Header.Get("Location") != "/shop" {
		t.Errorf("same fan: %d %v", p.StatusCode, p.Header)
	}
	if p := b.webView().useTicket(next, "/"); p.StatusCode != http.StatusSeeOther {
		t.Errorf("it was spent: %d", p.StatusCode)
	}
	if p := w.get(ticketPath(next, "/shop")); p.StatusCode != http.StatusBadRequest {
		t.Errorf("a program is not told that the ticket is used: %d", p.StatusCode)
	}
	if p := w.get(ticketPath(b.ticket(b.miniToken("bob")), "/shop")); p.StatusCode != http.StatusOK {
		t.Errorf("ticket of another fan: %d", p.StatusCode)
	}
	if p := w.get("/login?return_to=/shop"); p.StatusCode != http.StatusFound || p.Header.Get("Location") != "/shop" {
		t.Errorf("/login in the web-view: %d %v", p.StatusCode, p.Header)
	}
	w.agent = weChatAgent
	if p := w.get("/login?return_to=/shop"); !strings.Contains(p.Header.Get("Location"), "/connect/oauth2/authorize") {
		t.Errorf("/login in WeChat's browser: %d %v", p.StatusCode, p.Header)
	}
}

// LOG-01: the ticket is in a query, and in no line of the log.
func TestLOG01_NoTicketInTheLog(t *testing.T) {
	b := newBridge(t, inProduction)
	ticket := b.ticket(b.miniToken("alice"))
	b.webView().useTicket(ticket, "/")
	b.webView().useTicket(ticket, "/")
	b.browser("").get(ticketPath(ticket, "/"))
	log := b.log.String()
	if !strings.Contains(log, `"/login/ticket"`) || strings.Contains(log, ticket[:24]) {
		t.Errorf("log: %s", log)
	}
}

// FLW-14: two bridges on one store.
func TestFLW14_ATicketWorksOnceForAllProcesses(t *testing.T) {
	b := newBridge(t, inProduction)
	other := newBridge(t, inProduction, func(c *handlers.Config) { c.Store = b.store })
	ticket := b.ticket(b.miniToken("alice"))
	var won atomic.Int32
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			w := b.webView()
			if n%2 == 0 {
				w = other.webView()
			}
			if p := w.postTicket(url.Values{"ticket": {ticket}}, sameOrigin); p.StatusCode == http.StatusSeeOther {
				won.Add(1)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("one ticket logged in %d times", won.Load())
	}
}
