package handlers_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
)

const (
	exchangePath = "/sns/oauth2/access_token"
	refreshPath  = "/sns/oauth2/refresh_token"
	userinfoPath = "/sns/userinfo"
	sessionPath  = "/sns/jscode2session"
)

func TestLogin_StrangerRegistersAndComesBackSilently(t *testing.T) {
	b := newBridge(t)
	bob := b.browser("bob")

	p := bob.visit("/login?return_to=/shop%3Fa%3D1%26b%3D2")
	if p.Request.URL.Path != "/login/register" || p.StatusCode != http.StatusOK {
		t.Fatalf("a stranger's base login ends at %s with %d", p.Request.URL, p.StatusCode)
	}
	if _, ok := bob.claims(); ok {
		t.Fatal("the register page comes with a token")
	}
	p = bob.visit(registerLink(t, p))
	if got := p.Request.URL.RequestURI(); got != "/shop?a=1&b=2" {
		t.Fatalf("after consent the browser is at %s", got)
	}
	claims := bob.mustClaims()
	fan, identity, err := b.store.FanByIdentity(t.Context(), claims.Provider, claims.AppID, claims.OpenID)
	must(t, err)
	if !fan.Registered() || fan.Nickname == "" || identity.Scope != "snsapi_userinfo" || fan.ID != claims.Subject {
		t.Errorf("stored: %+v", fan)
	}
	if fan.ConsentedAt.IsZero() {
		t.Error("the time of the tap on the register page is not kept")
	}

	again := b.browser("bob")
	p = again.visit("/login")
	if p.Request.URL.Path != "/" || again.mustClaims().Subject != claims.Subject {
		t.Errorf("the second visit ends at %s", p.Request.URL)
	}
	if got := again.mustClaims().UnionID; got == "" || got != claims.UnionID {
		t.Errorf("a silent login's token has the unionid %q, want the known one", got)
	}
	for _, hop := range p.hops {
		if strings.Contains(hop, "register") {
			t.Errorf("a known fan meets the register page: %v", p.hops)
		}
	}
}

func registerLink(t testing.TB, p page) string {
	t.Helper()
	const mark = `href="/login/official-account?`
	if strings.Count(p.body, mark) != 1 {
		t.Fatalf("the register page has %d links to the consent:\n%s", strings.Count(p.body, mark), p.body)
	}
	_, rest, _ := strings.Cut(p.body, mark)
	query, _, _ := strings.Cut(rest, `"`)
	return "/login/official-account?" + strings.ReplaceAll(query, "&amp;", "&")
}

func TestFLW02_CallbackFromAnotherBrowserNeverSpendsItsCode(t *testing.T) {
	b := newBridge(t)
	b.browser("alice").register()
	victim := b.browser("bob")
	victim.register()
	planted := b.browser("alice").callback("/login?prompt=login")
	before := b.calls(exchangePath)

	p := victim.get(planted)
	to, err := p.Location()
	must(t, err)
	if p.StatusCode != http.StatusFound || to.Path != "/connect/oauth2/authorize" {
		t.Fatalf("a planted callback answers %d to %s", p.StatusCode, to)
	}
	if b.calls(exchangePath) != before {
		t.Error("the planted code was exchanged")
	}
	redirect, err := url.Parse(to.Query().Get("redirect_uri"))
	must(t, err)
	if redirect.Path != "/callback/official-account" || redirect.RawQuery != "again=1" || to.Query().Get("scope") != "snsapi_base" {
		t.Errorf("the restart asks for %s", to)
	}
	own := victim.mustClaims().OpenID
	if end := victim.visit(to.String()); end.Request.URL.Path != "/" || victim.mustClaims().OpenID != own {
		t.Errorf("the victim ends at %s as somebody else", end.Request.URL)
	}
	if b.calls(exchangePath) != before+1 {
		t.Error("the planted code was exchanged")
	}
}

func TestFLW02_ABrowserWithoutCookiesMeetsThePageAndNoLoop(t *testing.T) {
	b := newBridge(t)
	b.browser("alice").register()
	before := b.calls(exchangePath)
	forgetful := b.browser("alice")
	forgetful.client.Jar = nil
	p := forgetful.visit("/login")
	if p.Request.URL.Path != "/login/cookies-off" || p.StatusCode != http.StatusBadRequest {
		t.Errorf("ends at %s with %d after %v", p.Request.URL, p.StatusCode, p.hops)
	}
	if b.calls(exchangePath) != before {
		t.Error("a code was spent")
	}
}

func TestFLW04_AFlowIsOverAfterTenMinutes(t *testing.T) {
	b := newBridge(t)
	b.browser("alice").register()
	w := b.browser("alice")
	callback := w.callback("/login")
	before := b.calls(exchangePath)
	b.clock.Advance(10 * time.Minute)
	to, err := w.get(callback).Location()
	must(t, err)
	if to.Path != "/connect/oauth2/authorize" || b.calls(exchangePath) != before {
		t.Errorf("an expired flow leads to %s, exchanges %d", to, b.calls(exchangePath)-before)
	}
}

func TestFLW05_TheSameCallbackManyTimesIsExchangedOnce(t *testing.T) {
	b := newBridge(t)
	b.browser("alice").register()
	w := b.browser("alice")
	callback := w.callback("/login?return_to=/shop")
	cookies := w.jar.Cookies(mustURL(t, b.url))
	before := b.calls(exchangePath)
	b.fault(`{"path":"` + exchangePath + `","latency_ms":300}`)

	hit := func() page {
		// Each request carries the unspent flow cookie, as WeChat's two requests do.
		again := b.browser("alice")
		again.jar.SetCookies(mustURL(t, b.url), cookies)
		p := again.get(callback)
		if _, ok := again.claims(); !ok {
			t.Errorf("a repeat is not logged in: %d %s", p.StatusCode, p.body)
		}
		return p
	}
	var wait sync.WaitGroup
	for range 10 {
		wait.Go(func() { expectLocation(t, hit(), "/shop") })
	}
	wait.Wait()
	for range 3 {
		expectLocation(t, hit(), "/shop")
	}
	if got := b.calls(exchangePath) - before; got != 1 {
		t.Errorf("exchanged %d times", got)
	}
}

func TestFLW06_TheMemoryOfAFlowEndsWithItsCookie(t *testing.T) {
	b := newBridge(t)
	b.browser("alice").register()
	w := b.browser("alice")
	callback := w.callback("/login")
	cookies := w.jar.Cookies(mustURL(t, b.url))
	w.visit(callback)

	other := b.browser("alice")
	expectAuthorize(t, other.get(callback), "another jar")

	late := b.browser("alice")
	late.jar.SetCookies(mustURL(t, b.url), cookies)
	b.clock.Advance(10 * time.Minute)
	expectAuthorize(t, late.get(callback), "after the cookie's life")
	if _, ok := late.claims(); ok {
		t.Error("logged in by a late repeat")
	}
}

func TestCallback_AMemoryDoesNotOutliveTheLogout(t *testing.T) {
	b := newBridge(t)
	b.browser("alice").register()
	w := b.browser("alice")
	callback := w.callback("/login")
	cookies := w.jar.Cookies(mustURL(t, b.url))
	w.visit(callback)
	if p := w.do("POST", "/logout", "", "Origin", b.url); p.StatusCode != http.StatusNoContent {
		t.Fatalf("logout: %d", p.StatusCode)
	}
	repeat := b.browser("alice")
	repeat.jar.SetCookies(mustURL(t, b.url), cookies)
	expectAuthorize(t, repeat.get(callback), "a repeat after logout")
}

func TestCallback_ASecondCodeIsTriedOnlyAfterTheFirstWasRefused(t *testing.T) {
	b := newBridge(t)
	b.browser("alice").register()

	// Two codes for one state: the second is authorised with the first one's link.
	w := b.browser("alice")
	authorize, err := w.get("/login?return_to=/shop").Location()
	must(t, err)
	first, err := w.get(authorize.String()).Location()
	must(t, err)
	second, err := w.get(authorize.String()).Location()
	must(t, err)
	cookies := w.jar.Cookies(mustURL(t, b.url))
	before := b.calls(exchangePath)

	b.fault(`{"path":"` + exchangePath + `","latency_ms":300}`)
	var wait sync.WaitGroup
	for _, callback := range []*url.URL{first, second} {
		wait.Go(func() {
			again := b.browser("alice")
			again.jar.SetCookies(mustURL(t, b.url), cookies)
			expectLocation(t, again.get(callback.String()), "/shop")
		})
	}
	wait.Wait()
	if got := b.calls(exchangePath) - before; got != 1 {
		t.Errorf("two codes, both good: exchanged %d times", got)
	}

	// The first code is refused: now the second counts.
	w = b.browser("alice")
	authorize, err = w.get("/login?return_to=/shop").Location()
	must(t, err)
	good, err := w.get(authorize.String()).Location()
	must(t, err)
	bad := *good
	q := bad.Query()
	q.Set("code", "0"+strings.Repeat("A", 31))
	bad.RawQuery = q.Encode()
	cookies = w.jar.Cookies(mustURL(t, b.url))
	before = b.calls(exchangePath)
	refused := b.browser("alice")
	refused.jar.SetCookies(mustURL(t, b.url), cookies)
	expectAuthorize(t, refused.get(bad.String()), "a refused code")
	expectLocation(t, w.get(good.String()), "/shop")
	expectLocation(t, w.get(bad.String()), "/shop")
	if got := b.calls(exchangePath) - before; got != 2 {
		t.Errorf("one bad and one good code: exchanged %d times", got)
	}
}

func TestCallback_AtMostThreeExchangesAFlow(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	callback := mustURL(t, w.callback("/login"))
	cookies := w.jar.Cookies(mustURL(t, b.url))
	before := b.calls(exchangePath)
	for i := range 6 {
		again := b.browser("alice")
		again.jar.SetCookies(mustURL(t, b.url), cookies)
		q := callback.Query()
		q.Set("code", "0"+strings.Repeat("A", 30)+string(rune('0'+i)))
		callback.RawQuery = q.Encode()
		expectAuthorize(t, again.get(callback.String()), "a made-up code")
	}
	if got := b.calls(exchangePath) - before; got != 3 {
		t.Errorf("exchanged %d times", got)
	}
}

func TestFLW12_AnExchangeWithoutAnswerIsNotRepeated(t *testing.T) {
	b := newBridge(t)
	b.browser("alice").register()
	w := b.browser("alice")
	callback := w.callback("/login")
	before := b.calls(exchangePath)
	b.fault(`{"path":"` + exchangePath + `","mode":"reset","after":true}`)
	p := w.get(callback)
	if p.StatusCode != http.StatusServiceUnavailable || p.Header.Get("Retry-After") == "" {
		t.Errorf("answers %d", p.StatusCode)
	}
	expectAuthorize(t, w.get(callback), "the same callback once more")
	if got := b.calls(exchangePath) - before; got != 1 {
		t.Errorf("exchanged %d times", got)
	}
	w.visit("/login")
	w.mustClaims()
}

func TestCallback_AnExpiredCodeRestartsOnce(t *testing.T) {
	b := newBridge(t)
	b.browser("alice").register()
	w := b.browser("alice")
	callback := w.callback("/login?return_to=/shop")
	b.sim.Advance(6 * time.Minute)
	p := w.get(callback)
	expectAuthorize(t, p, "an expired code")
	to, err := p.Location()
	must(t, err)
	if !strings.Contains(to.Query().Get("redirect_uri"), "again=1") {
		t.Errorf("the restart has no marker: %s", to)
	}
	restarted, err := w.get(to.String()).Location()
	must(t, err)
	b.fault(`{"path":"` + exchangePath + `","errcode":40029}`)
	p = w.get(restarted.String())
	if p.StatusCode != http.StatusBadRequest || p.errorOf(t).Error != "invalid_grant" {
		t.Errorf("a second refusal answers %d %s", p.StatusCode, p.body)
	}
	if p = w.visit("/login?return_to=/shop"); p.Request.URL.Path != "/shop" {
		t.Errorf("the next login ends at %s", p.Request.URL)
	}
}

func TestFLW03_AtMostThreeFlowsABrowserAndTheOldestGo(t *testing.T) {
	b := newBridge(t)
	b.browser("alice").register()
	w := b.browser("alice")
	two := []string{w.callback("/login?return_to=/one"), w.callback("/login?return_to=/two")}
	expectLocation(t, w.get(two[1]), "/two")
	expectLocation(t, w.get(two[0]), "/one")

	long := "/login?prompt=login&return_to=/" + strings.Repeat("x", 1000)
	var last string
	for range 50 {
		last = w.callback(long)
		b.clock.Advance(time.Second)
	}
	flows, bytes := 0, 0
	for _, cookie := range w.jar.Cookies(mustURL(t, b.url)) {
		bytes += len(cookie.Name) + len(cookie.Value) + 3
		if strings.HasPrefix(cookie.Name, "wxbridge_flow_") {
			flows++
		}
	}
	if flows > 3 || bytes > 8<<10 {
		t.Errorf("%d flow cookies, a Cookie header of %d bytes", flows, bytes)
	}
	expectLocation(t, w.get(last), "/"+strings.Repeat("x", 1000))
}

func TestFLW07_ARefusalIsAPageAndNoCall(t *testing.T) {
	b := newBridge(t)
	for name, query := range map[string]string{"code missing": "", "code empty": "&code=", "authdeny": "&code=authdeny"} {
		t.Run(name, func(t *testing.T) {
			w := b.browser(stranger())
			callback := mustURL(t, w.callback("/login/official-account?scope=userinfo"))
			before := b.calls(exchangePath)
			callback.RawQuery = "state=" + callback.Query().Get("state") + query
			p := w.visit(callback.String())
			if p.Request.URL.Path != "/login/refused" || p.StatusCode != http.StatusOK || !strings.Contains(p.body, "/login/register") {
				t.Errorf("ends at %s with %d", p.Request.URL, p.StatusCode)
			}
			if b.calls(exchangePath) != before {
				t.Error("WeChat was asked")
			}
		})
	}
}

func TestFLW08_ARepeatedParameterIsRefused(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	callback := w.callback("/login")
	before := b.calls(exchangePath)
	for _, address := range []string{
		"/login?return_to=/&return_to=/", "/login?scope=base&scope=userinfo", "/login?app=default&app=default",
		"/login?prompt=login&prompt=login", callback + "&code=x", callback + "&state=x", callback + "&again=1&again=1",
	} {
		if p := w.get(address); p.StatusCode != http.StatusBadRequest || p.errorOf(t).Error != "invalid_request" {
			t.Errorf("%s: %d", address, p.StatusCode)
		}
	}
	if b.calls(exchangePath) != before {
		t.Error("a code was exchanged")
	}
}

func TestFLW09_TheStatesOfTwoAppsDoNotMix(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	one := mustURL(t, w.callback("/login?prompt=login"))
	two := mustURL(t, w.callback("/login?prompt=login&app=second"))
	before := b.calls(exchangePath)

	crossed := func(callback, state *url.URL) string {
		q := callback.Query()
		q.Set("state", state.Query().Get("state"))
		c := *callback
		c.RawQuery = q.Encode()
		return c.String()
	}
	expectAuthorize(t, w.get(crossed(one, two)), "the second app's state with the first one's code")
	expectAuthorize(t, w.get(crossed(two, one)), "the first app's state with the second one's code")
	if b.calls(exchangePath) != before {
		t.Error("a code was exchanged")
	}
	if p := w.get("/login?app=third"); p.StatusCode != http.StatusBadRequest || p.errorOf(t).Error != "invalid_request" {
		t.Errorf("an unknown app: %d", p.StatusCode)
	}
}

func TestFLW10_EveryLoginMakesANewSession(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	first := w.mustClaims()
	planted := w.cookie("wxbridge_token")
	w.visit("/login?prompt=login")
	second := w.mustClaims()
	if second.SessionID == first.SessionID || second.ID == first.ID || w.cookie("wxbridge_token") == planted {
		t.Error("a login keeps what the browser brought")
	}
}

func TestWX06_SnapshotUsersAreNeverStored(t *testing.T) {
	b := newBridge(t)
	for _, row := range [][2]string{
		{"snapshot-ids", "new-pair"}, {"snapshot-ids", "shared-unionid"}, {"snapshot-ids", "real-ids"},
		{"snapshot-flag", "number"}, {"snapshot-flag", "string"},
	} {
		b.control("PUT", "/_simulator/switches", `{"`+row[0]+`":"`+row[1]+`"}`)
		w := b.browser("sunny")
		p := w.visit("/login/official-account?scope=userinfo")
		if p.Request.URL.Path != "/login/snapshot" || p.StatusCode != http.StatusForbidden {
			t.Errorf("%s: ends at %s with %d", row, p.Request.URL, p.StatusCode)
		}
		if _, ok := w.claims(); ok {
			t.Error("a snapshot user has a token")
		}
	}
	if strings.Contains(b.log.String(), "login.ok") {
		t.Error("a snapshot user was stored")
	}
}

// TestEveryChoiceOfTheSimulator plays the logins under each behaviour of WeChat that sources disagree on.
func TestEveryChoiceOfTheSimulator(t *testing.T) {
	b := newWebsiteBridge(t, func(c *handlers.Config) { c.ProfilePolicy.MaxAge = 24 * time.Hour })
	for _, row := range b.switches() {
		for _, choice := range row.Choices {
			t.Run(row.Name+" "+choice, func(t *testing.T) {
				b.control("PUT", "/_simulator/switches", `{"`+row.Name+`":"`+choice+`"}`)
				defer b.control("PUT", "/_simulator/switches", `{"`+row.Name+`":"`+row.Choices[0]+`"}`)
				playEveryLogin(t, b)
			})
		}
	}
}

func playEveryLogin(t *testing.T, b *bridge) {
	const agent = "Mozilla/5.0 (iPhone) Mobile/15E148 MicroMessenger/8.0.68(0x1800442b) NetType/WIFI Language/zh_CN"
	phone := func(person string) *browser {
		w := b.browser(person)
		w.agent = agent
		return w
	}
	person := stranger()
	first := phone(person)
	first.register()
	id := first.mustClaims().Subject

	again := phone(person)
	if p := again.visit("/login"); p.Request.URL.Path != "/" || again.mustClaims().Subject != id {
		t.Errorf("a fan who comes back ends at %s", p.Request.URL)
	}
	late := phone(person)
	callback := late.callback("/login")
	b.sim.Advance(6 * time.Minute)
	if p := late.visit(callback); p.Request.URL.Path != "/" || late.mustClaims().Subject != id {
		t.Errorf("with an expired code the login ends at %s", p.Request.URL)
	}
	body := `{"code":"` + b.jsCode(person) + `"}`
	if p := b.browser("").do("POST", "/miniprogram/login", body, "Content-Type", "application/json"); p.StatusCode != http.StatusOK ||
		!strings.Contains(p.body, id) {
		t.Errorf("mini program: %d %s", p.StatusCode, p.body)
	}
	desk := b.desk(person)
	if p := desk.visit("/login/website"); p.Request.URL.Path != "/" || desk.mustClaims().Subject != id {
		t.Errorf("the website login ends at %s", p.Request.URL)
	}
	// The refresh token's thirty days end at WeChat: the fan with an old profile is asked, and logged in.
	b.clock.Advance(25 * time.Hour)
	b.sim.Advance(31 * 24 * time.Hour)
	old := phone(person)
	if p := old.visit("/login"); p.Request.URL.Path != "/login/register" || old.mustClaims().Subject != id {
		t.Errorf("with an old profile the login ends at %s with %d", p.Request.URL, p.StatusCode)
	}
	if p := phone("sunny").visit("/login/official-account?scope=userinfo"); p.Request.URL.Path != "/login/snapshot" {
		t.Errorf("a snapshot user ends at %s", p.Request.URL)
	}
}

func TestREL17_ABlockedFanStaysOut(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	_, err := b.store.UpdateFan(t.Context(), w.mustClaims().Subject, func(f *db.Fan) error {
		f.Status = db.StatusBlocked
		return nil
	})
	must(t, err)
	for _, login := range []string{"/login?prompt=login", "/login/official-account?scope=userinfo&prompt=login"} {
		fresh := b.browser("alice")
		p := fresh.visit(login)
		if p.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", login, p.StatusCode)
		}
		if _, ok := fresh.claims(); ok {
			t.Error("a blocked fan has a token")
		}
	}
	if p := w.get("/me"); p.StatusCode != http.StatusForbidden {
		t.Errorf("/me: %d", p.StatusCode)
	}
}

func TestProfilePolicy_NeverMakesAGuestOfAnOpenID(t *testing.T) {
	b := newBridge(t, func(c *handlers.Config) { c.ProfilePolicy.Never = true })
	w := b.browser("bob")
	p := w.visit("/login")
	fan, err := b.store.Fan(t.Context(), w.mustClaims().Subject)
	must(t, err)
	if p.Request.URL.Path != "/" || fan.Registered() {
		t.Errorf("ends at %s as %+v", p.Request.URL, fan)
	}
}

func TestProfilePolicy_AnOldProfileIsRenewedSilently(t *testing.T) {
	b := newBridge(t, func(c *handlers.Config) { c.ProfilePolicy.MaxAge = 24 * time.Hour })
	b.browser("alice").register()
	b.clock.Advance(25 * time.Hour)
	before := b.calls(refreshPath)
	w := b.browser("alice")
	p := w.visit("/login")
	fan, err := b.store.Fan(t.Context(), w.mustClaims().Subject)
	must(t, err)
	if p.Request.URL.Path != "/" || b.calls(refreshPath) != before+1 || b.clock.Now().Sub(fan.ProfileAt) > time.Minute {
		t.Errorf("ends at %s, %d refreshes, profile of %s", p.Request.URL, b.calls(refreshPath)-before, fan.ProfileAt)
	}
	again := b.browser("alice")
	again.visit("/login")
	if b.calls(refreshPath) != before+1 {
		t.Error("a fresh profile is renewed again")
	}
}

func TestProfilePolicy_WhenWeChatRefusesTheFanMaySayNotNow(t *testing.T) {
	b := newBridge(t, func(c *handlers.Config) { c.ProfilePolicy.MaxAge = 24 * time.Hour })
	b.browser("alice").register()
	b.clock.Advance(25 * time.Hour)
	b.fault(`{"path":"` + refreshPath + `","errcode":42002}`)
	w := b.browser("alice")
	p := w.visit("/login?return_to=/shop")
	if p.Request.URL.Path != "/login/register" || !strings.Contains(p.body, `id="not-now"`) || !strings.Contains(p.body, `href="/shop"`) {
		t.Fatalf("ends at %s: %s", p.Request.URL, p.body)
	}
	w.mustClaims() // "not now" is only a link
	before := b.calls(refreshPath)

	// A refusal lands with the stored profile too.
	refusing := b.browser("alice")
	p = refusing.visit("/login?return_to=/shop")
	callback := mustURL(t, refusing.callback(registerLink(t, p)))
	callback.RawQuery = "code=authdeny&state=" + callback.Query().Get("state")
	if p = refusing.visit(callback.String()); p.Request.URL.Path != "/shop" {
		t.Errorf("a refusal ends at %s", p.Request.URL)
	}
	refusing.mustClaims()
	if b.calls(refreshPath) != before {
		t.Error("a refused refresh token is tried again")
	}

	// The tap asks WeChat, though the fan is logged in.
	willing := b.browser("alice")
	p = willing.visit(registerLink(t, willing.visit("/login?return_to=/shop")))
	fan, err := b.store.Fan(t.Context(), willing.mustClaims().Subject)
	must(t, err)
	if p.Request.URL.Path != "/shop" || b.clock.Now().Sub(fan.ProfileAt) > time.Minute {
		t.Errorf("ends at %s with a profile of %s", p.Request.URL, fan.ProfileAt)
	}
}

func TestProfilePolicy_NeverA5xx(t *testing.T) {
	b := newBridge(t, func(c *handlers.Config) { c.ProfilePolicy.MaxAge = 24 * time.Hour })
	b.browser("alice").register()
	b.clock.Advance(25 * time.Hour)
	for _, fault := range []string{
		`{"path":"` + refreshPath + `","mode":"reset"}`, `{"path":"` + refreshPath + `","mode":"malformed"}`,
		`{"path":"` + refreshPath + `","errcode":-1,"times":2}`, `{"path":"` + refreshPath + `","errcode":45011}`,
		`{"path":"` + userinfoPath + `","mode":"html502"}`, `{"path":"` + userinfoPath + `","errcode":40125}`,
	} {
		b.fault(fault)
		w := b.browser("alice")
		if p := w.visit("/login?return_to=/shop"); p.Request.URL.Path != "/shop" {
			t.Errorf("%s: ends at %s with %d", fault, p.Request.URL, p.StatusCode)
		}
		w.mustClaims()
		b.control("DELETE", "/_simulator/faults", "")
	}
}

func TestUserinfo_AStaleTokenIsRefreshedOnce(t *testing.T) {
	b := newBridge(t)
	for _, errcode := range []string{"40001", "42001"} {
		b.fault(`{"path":"` + userinfoPath + `","errcode":` + errcode + `}`)
		w := b.browser(stranger())
		refreshes, calls := b.calls(refreshPath), b.calls(userinfoPath)
		w.register()
		w.mustClaims()
		if b.calls(refreshPath) != refreshes+1 || b.calls(userinfoPath) != calls+2 {
			t.Errorf("%s: %d refreshes, %d calls", errcode, b.calls(refreshPath)-refreshes, b.calls(userinfoPath)-calls)
		}
	}
}

func expectLocation(t testing.TB, p page, want string) {
	t.Helper()
	if got := p.Header.Get("Location"); p.StatusCode != http.StatusFound || got != want {
		t.Errorf("answers %d to %q, want 302 to %q: %s", p.StatusCode, got, want, p.body)
	}
}

func expectAuthorize(t testing.TB, p page, what string) {
	t.Helper()
	to, err := p.Location()
	if err != nil || p.StatusCode != http.StatusFound || to.Path != "/connect/oauth2/authorize" {
		t.Errorf("%s: answers %d to %v, want 302 to WeChat: %s", what, p.StatusCode, to, p.body)
	}
}

func mustURL(t testing.TB, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	return u
}
