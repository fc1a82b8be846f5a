package handlers_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
)

const desktop = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36"

// desk is somebody before a desktop browser, whose phone answers as they do.
func (b *bridge) desk(person string) *browser {
	w := b.browser(person)
	w.agent = desktop
	return w
}

func TestWebsite_TheScanBringsTheProfile(t *testing.T) {
	b := newWebsiteBridge(t)
	w := b.desk(stranger())
	link, err := w.get("/login/website?return_to=/shop%3Fa%3D1%26b%3D2&scope=base").Location()
	must(t, err)
	if want := b.url + "/callback/website"; link.Path != "/connect/qrconnect" || link.Query().Get("scope") != "snsapi_login" ||
		link.Query().Get("redirect_uri") != want || link.Query().Get("appid") != b.site.AppID || link.Fragment != "wechat_redirect" ||
		!regexp.MustCompile(`^[A-Z2-7]{26}$`).MatchString(link.Query().Get("state")) {
		t.Fatalf("the login leads to %s", link)
	}
	if end := w.visit(link.String()); end.Request.URL.RequestURI() != "/shop?a=1&b=2" {
		t.Fatalf("after the scan the browser is at %s with %d", end.Request.URL, end.StatusCode)
	}
	claims := w.mustClaims()
	fan, identity, err := b.store.FanByIdentity(t.Context(), db.ProviderWebsite, b.site.AppID, claims.OpenID)
	must(t, err)
	if !fan.Registered() || fan.Nickname == "" || fan.AvatarURL == "" || claims.Provider != "website" || claims.AppID != b.site.AppID ||
		claims.UnionID == "" || identity.Scope != "snsapi_login" || fan.ID != claims.Subject {
		t.Errorf("stored %+v, %+v; claims %+v", fan, identity, claims)
	}
	if len(identity.UserRefreshTokenSealed) != 0 {
		t.Error("a refresh token is kept that nobody uses")
	}
	if calls := b.calls(exchangePath); calls != 1 {
		t.Errorf("%d exchanges", calls)
	}

	expectLocation(t, w.get("/login/website?return_to=/there"), "/there") // is logged in already
	if link, _ := w.get("/login/website?prompt=login").Location(); link == nil || link.Path != "/connect/qrconnect" {
		t.Errorf("prompt=login leads to %v", link)
	}
	if link, _ := w.get("/login/website?prompt=login&lang=en").Location(); link == nil || link.Query().Get("lang") != "en" {
		t.Errorf("in English the login leads to %v", link)
	}
}

func TestWebsite_JoinsThePersonByUnionID(t *testing.T) {
	for account, joins := range map[string]bool{"default": true, "other": false} {
		b := newWebsiteBridge(t, func(c *handlers.Config) { c.Websites[0].OpenAccount = account })
		phone := b.browser("alice")
		phone.register()
		w := b.desk("alice")
		w.visit("/login/website")
		if got := w.mustClaims().Subject == phone.mustClaims().Subject; got != joins {
			t.Errorf("in the open account %s, the person of the official account is the same: %t", account, got)
		}
		other := b.desk("bob")
		other.visit("/login/website")
		if other.mustClaims().Subject == w.mustClaims().Subject {
			t.Error("somebody else is that person, too")
		}
	}
}

func TestFLW02_AWebsitesCodeWorksInItsOwnBrowserOnly(t *testing.T) {
	b := newWebsiteBridge(t)
	planted := b.desk("alice").callback("/login/website?return_to=/trap")
	victim := b.desk("bob")
	for _, address := range []string{planted, strings.Replace(planted, "state=", "state=X", 1), b.url + "/callback/website?code=" + strings.Repeat("a", 32)} {
		link, err := victim.get(address).Location()
		must(t, err)
		back := mustURL(t, link.Query().Get("redirect_uri"))
		if link.Path != "/connect/qrconnect" || back.Path != "/callback/website" || back.RawQuery != "again=1" {
			t.Errorf("%s leads to %s", address, link)
		}
		if _, ok := victim.claims(); ok {
			t.Error("the victim is logged in")
		}
	}
	expectLocation(t, victim.get(planted+"&again=1"), "/login/cookies-off")
	if calls := b.calls(exchangePath); calls != 0 {
		t.Errorf("%d exchanges", calls)
	}
	if p := victim.get("/callback/website?state=" + strings.Repeat("A", 26)); p.StatusCode != http.StatusFound || p.Header.Get("Location") != "/login/refused" {
		t.Errorf("a stray refusal: %d to %s", p.StatusCode, p.Header.Get("Location"))
	}
}

func TestFLW05_AWebsitesCallbackManyTimesIsExchangedOnce(t *testing.T) {
	b := newWebsiteBridge(t)
	w := b.desk("alice")
	callback := w.callback("/login/website?return_to=/shop")
	cookies := w.jar.Cookies(mustURL(t, b.url))
	b.fault(`{"path":"` + exchangePath + `","latency_ms":300}`)
	var wait sync.WaitGroup
	for range 10 {
		wait.Go(func() {
			again := b.desk("alice")
			again.jar.SetCookies(mustURL(t, b.url), cookies)
			expectLocation(t, again.get(callback), "/shop")
			if _, ok := again.claims(); !ok {
				t.Error("a repeat is not logged in")
			}
		})
	}
	wait.Wait()
	if got := b.calls(exchangePath); got != 1 {
		t.Errorf("exchanged %d times", got)
	}
}

func TestFLW09_TheStatesOfTwoProvidersDoNotMix(t *testing.T) {
	b := newWebsiteBridge(t)
	w := b.desk("alice")
	site := mustURL(t, w.callback("/login/website"))
	official := mustURL(t, w.callback("/login/official-account"))
	before := b.calls(exchangePath)
	for name, c := range map[string]struct{ from, at string }{
		"the website's at the account's":       {site.RawQuery, "/callback/official-account"},
		"the account's at the website's":       {official.RawQuery, "/callback/website"},
		"the website's at another app of its":  {site.RawQuery + "&app=second", "/callback/website"},
		"the account's at its second app's":    {official.RawQuery + "&app=second", "/callback/official-account"},
		"with the account's state, its code's": {"code=" + site.Query().Get("code") + "&state=" + official.Query().Get("state"), "/callback/website"},
	} {
		p := w.get(c.at + "?" + c.from)
		if to := p.Header.Get("Location"); p.StatusCode == http.StatusFound && !strings.HasPrefix(to, b.simURL+"/connect/") {
			t.Errorf("%s: %d to %s", name, p.StatusCode, to)
		}
		if _, ok := w.claims(); ok {
			t.Errorf("%s: logged in", name)
		}
	}
	if got := b.calls(exchangePath) - before; got != 0 {
		t.Errorf("%d codes were exchanged", got)
	}
	if end := w.visit(site.String()); end.Request.URL.Path != "/" {
		t.Errorf("the login itself ends at %s", end.Request.URL)
	}
}

// A refusal tells the website nothing, its state alone, or code=authdeny (wechat-protocol §9).
func TestFLW07_WhoRefusesAWebsiteMayChangeTheirMind(t *testing.T) {
	b := newWebsiteBridge(t)
	for _, choice := range []string{"state-only", "authdeny"} {
		t.Run(choice, func(t *testing.T) {
			b.control("PUT", "/_simulator/switches", `{"refusal":"`+choice+`"}`)
			w := b.desk(stranger())
			w.consent = "deny"
			before := b.calls(exchangePath)
			p := w.visit("/login/website?return_to=/shop")
			again := regexp.MustCompile(`id="login"[^>]* href="([^"]+)"`).FindStringSubmatch(p.body)
			if p.Request.URL.Path != "/login/refused" || p.StatusCode != http.StatusOK || len(again) == 0 || b.calls(exchangePath) != before {
				t.Fatalf("ends at %s with %d:\n%s", p.Request.URL, p.StatusCode, p.body)
			}
			w.consent = "allow"
			if end := w.visit(strings.ReplaceAll(again[1], "&amp;", "&")); end.Request.URL.Path != "/shop" {
				t.Errorf("the button %s leads to %s", again[1], end.Request.URL)
			}
			w.mustClaims()
		})
	}
}

func TestWebsite_AnExpiredCodeRestartsOnce(t *testing.T) {
	b := newWebsiteBridge(t)
	w := b.desk("alice")
	callback := w.callback("/login/website?return_to=/shop")
	b.sim.Advance(11 * time.Minute) // a website's code lives for ten
	p := w.get(callback)
	link, err := p.Location()
	must(t, err)
	if link.Path != "/connect/qrconnect" || !strings.Contains(link.Query().Get("redirect_uri"), "again=1") {
		t.Fatalf("an expired code leads to %s", link)
	}
	again := w.get(link.String()).Header.Get("Location")
	b.sim.Advance(11 * time.Minute)
	if p := w.get(again); p.StatusCode != http.StatusBadRequest || p.errorOf(t).Error != "invalid_grant" {
		t.Errorf("the second time: %d %s", p.StatusCode, p.body)
	}
	if _, ok := w.claims(); ok {
		t.Error("logged in by an expired code")
	}
}

func TestWebsite_BadCallbacks(t *testing.T) {
	b := newWebsiteBridge(t)
	w := b.desk("alice")
	callback := w.callback("/login/website")
	for _, query := range []string{"", "code=", callback[strings.Index(callback, "?")+1:] + "&code=x", "code=a b&state=A", "code=a&state=A-B",
		"code=" + strings.Repeat("a", 513) + "&state=A", "code=a&state=" + strings.Repeat("A", 129), "code=%zz"} {
		if p := w.get("/callback/website?" + strings.ReplaceAll(query, " ", "%20")); p.StatusCode != http.StatusBadRequest || p.errorOf(t).Error != "invalid_request" {
			t.Errorf("%.60q: %d", query, p.StatusCode)
		}
	}
	if b.calls(exchangePath) != 0 {
		t.Error("a code was exchanged")
	}
}

func TestWebsite_BlockedUnknownAndNotConfigured(t *testing.T) {
	b := newWebsiteBridge(t)
	w := b.desk("alice")
	w.visit("/login/website")
	_, err := b.store.UpdateFan(t.Context(), w.mustClaims().Subject, func(f *db.Fan) error {
		f.Status = db.StatusBlocked
		return nil
	})
	must(t, err)
	if p := b.desk("alice").visit("/login/website"); p.StatusCode != http.StatusForbidden {
		t.Errorf("REL-17 a blocked fan: %d", p.StatusCode)
	}
	for _, query := range []string{"?app=nonsense", "?app=" + b.official.AppID, "?return_to=https://evil.example/", "?scope=snsapi_login"} {
		if p := w.get("/login/website" + query); p.StatusCode != http.StatusBadRequest || p.errorOf(t).Error != "invalid_request" {
			t.Errorf("%s: %d", query, p.StatusCode)
		}
	}
	without := newWebsiteBridge(t, func(c *handlers.Config) { c.Websites = nil }).desk("alice")
	for _, path := range []string{"/login/website", "/callback/website?code=a&state=" + strings.Repeat("A", 26)} {
		if p := without.get(path, "Accept", "text/html"); p.StatusCode != http.StatusBadRequest || p.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s without an app: %d", path, p.StatusCode)
		}
	}
}

func TestWebsite_TroubleAtWeChatIsNoLogin(t *testing.T) {
	b := newWebsiteBridge(t)
	for _, c := range []struct {
		path, fault string
		status      int
	}{
		{exchangePath, `"errcode":40125`, 500}, {exchangePath, `"errcode":-1`, 503}, {exchangePath, `"mode":"malformed"`, 503},
		{userinfoPath, `"errcode":48001,"times":0`, 500}, {userinfoPath, `"mode":"html502","times":0`, 503}, {exchangePath, `"errcode":45011`, 429},
	} {
		b.fault(`{"path":"` + c.path + `",` + c.fault + `}`)
		w := b.desk("alice")
		if p := w.get(w.callback("/login/website")); p.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d", c.path, c.fault, p.StatusCode, c.status)
		}
		if _, ok := w.claims(); ok {
			t.Errorf("%s %s: logged in", c.path, c.fault)
		}
		b.control("DELETE", "/_simulator/faults", "")
	}
}

// The signature is the one that WeChat computes, for the address without its fragment (wechat-protocol §3.2).
func TestJSSDKConfig_WeChatAcceptsTheSignature(t *testing.T) {
	b := newWebsiteBridge(t)
	w := b.browser("alice")
	page := b.url + "/shop?a=1&b=%E4%BA%8C&from=singlemessage&isappinstalled=0"
	answer := w.get("/jssdk/config?url=" + url.QueryEscape(page+"#/route?x=1"))
	var signed map[string]any
	must(t, json.Unmarshal([]byte(answer.body), &signed))
	if answer.Header.Get("Cache-Control") != "no-store" || len(signed) != 4 || signed["appId"] != b.official.AppID {
		t.Fatalf("answered %v %s", answer.Header, answer.body)
	}
	if timestamp, ok := signed["timestamp"].(float64); !ok || timestamp != float64(int64(timestamp)) {
		t.Errorf("timestamp %v is not a number of seconds", signed["timestamp"])
	}
	verdict := func(address string) string {
		signed["call"], signed["url"] = "config", address
		question, err := json.Marshal(signed)
		must(t, err)
		return w.do("POST", b.simURL+"/_simulator/jssdk-config", string(question)).body
	}
	if got := verdict(page); !strings.Contains(got, `"config:ok"`) {
		t.Errorf("WeChat says %s", got)
	}
	if got := verdict(page + "&c=3"); !strings.Contains(got, "invalid signature") {
		t.Errorf("of another page WeChat says %s", got)
	}
	second := w.get("/jssdk/config?app=second&url=" + url.QueryEscape(page))
	if !strings.Contains(second.body, `"`+b.second.AppID+`"`) {
		t.Errorf("app=second: %s", second.body)
	}
	if strings.Contains(b.log.String(), "singlemessage") {
		t.Error("LOG-01 the log has the page's address")
	}
}

// Many pages at once cost one ticket and one app token; so do those of the next twenty minutes, and of the next two hours
// one more for each twenty minutes (wechat-protocol §3.1).
func TestJSSDKConfig_OneTicketForAll(t *testing.T) {
	b := newWebsiteBridge(t)
	b.fault(`{"path":"` + getTicketPath + `","latency_ms":300}`)
	ask := func() page { return b.browser("").get("/jssdk/config?url=" + url.QueryEscape(b.url+"/")) }
	var wait sync.WaitGroup
	for range 100 {
		wait.Go(func() {
			if p := ask(); p.StatusCode != http.StatusOK {
				t.Errorf("%d %s", p.StatusCode, p.body)
			}
		})
	}
	wait.Wait()
	if tickets, tokens := b.calls(getTicketPath), b.calls("/cgi-bin/stable_token"); tickets != 1 || tokens != 1 {
		t.Fatalf("%d tickets and %d tokens were fetched", tickets, tokens)
	}
	for range 60 { // an hour
		b.clock.Advance(time.Minute)
		ask()
	}
	if tickets := b.calls(getTicketPath); tickets < 3 || tickets > 4 {
		t.Errorf("%d tickets in an hour and a bit", tickets)
	}
}

const getTicketPath = "/cgi-bin/ticket/getticket"

func TestJSSDKConfig_TroubleAtWeChat(t *testing.T) {
	for fault, want := range map[string]int{`"errcode":48001`: 500, `"errcode":-1,"times":0`: 503, `"mode":"reset","times":0`: 503, `"errcode":45009`: 429,
		`"mode":"truncated","times":0`: 503, `"errcode":45011`: 429, `"errcode":40001`: 200, `"errcode":42001`: 200} {
		b := newWebsiteBridge(t)
		b.fault(`{"path":"` + getTicketPath + `",` + fault + `}`)
		p := b.browser("").get("/jssdk/config?url="+url.QueryEscape(b.url+"/"), "Origin", b.url)
		if p.StatusCode != want || p.Header.Get("Access-Control-Allow-Origin") != b.url || p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", fault, p.StatusCode, p.Header)
		}
		if want != 200 {
			p.errorOf(t)
		}
	}
}
