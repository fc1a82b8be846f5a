package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/wechat"
)

func TestRET04_LocationIsTheCheckedText(t *testing.T) {
	b := newBridge(t)
	b.browser("alice").register()
	for given, want := range map[string]string{
		"/shop?a=1&b=2#part":           "/shop?a=1&b=2#part",
		"/a%252e%252e/b":               "/a%252e%252e/b",
		"/%0d%0aSet-Cookie:%20x=y":     "/%0d%0aSet-Cookie:%20x=y",
		"/商店?名=爱":                      "/%E5%95%86%E5%BA%97?%E5%90%8D=%E7%88%B1",
		"https://h5.example.com/a?b#c": "https://h5.example.com/a?b#c",
	} {
		w := b.browser("alice")
		p := w.get(w.callback("/login?return_to=" + url.QueryEscape(given)))
		expectLocation(t, p, want)
	}
}

func TestRET05_TheCallbackTakesNoReturnAddress(t *testing.T) {
	b := newBridge(t)
	b.browser("alice").register()
	w := b.browser("alice")
	callback := w.callback("/login?return_to=/shop")
	expectLocation(t, w.get(callback+"&return_to=https://h5.example.com/"), "/shop")
}

func TestRET06_ARefusedReturnAddressStartsNoLoginAndIsLogged(t *testing.T) {
	b := newBridge(t)
	const evil = "https://evil.example/\"quoted\"\u2028x"
	for _, path := range []string{"/login", "/login/official-account"} {
		p := b.browser("alice").get(path + "?return_to=" + url.QueryEscape(evil))
		if p.StatusCode != http.StatusBadRequest || p.errorOf(t).Error != "invalid_request" || len(p.Cookies()) != 0 {
			t.Errorf("%s: %d, cookies %v", path, p.StatusCode, p.Cookies())
		}
	}
	if !strings.Contains(b.log.String(), `\"https://evil.example/\\\"quoted\\\"\\u2028x\"`) {
		t.Errorf("the value is not in the log, quoted")
	}
}

func TestRET10_AbsoluteURLsComeFromThePublicURL(t *testing.T) {
	b := newBridge(t)
	p := b.browser("alice").get("/login", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https",
		"Forwarded", "host=evil.example", "X-Original-Host", "evil.example")
	to, err := p.Location()
	must(t, err)
	if got := to.Query().Get("redirect_uri"); got != b.url+"/callback/official-account" {
		t.Errorf("redirect_uri is %s", got)
	}
	request, err := http.NewRequest("GET", b.url+"/login", nil)
	must(t, err)
	request.Host = "evil.example"
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	must(t, err)
	defer answer.Body.Close()
	if strings.Contains(answer.Header.Get("Location"), "evil") {
		t.Errorf("Host decides: %s", answer.Header.Get("Location"))
	}
}

func TestFLW01_StatesAreUniqueAndPlain(t *testing.T) {
	b := newBridge(t)
	seen := map[string]bool{}
	for range 10_000 {
		answer := httptest.NewRecorder()
		b.handler.ServeHTTP(answer, httptest.NewRequest("GET", "/login", nil))
		to, err := answer.Result().Location()
		must(t, err)
		state := to.Query().Get("state")
		if len(state) != 26 || strings.Trim(state, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" || seen[state] {
			t.Fatalf("state %q", state)
		}
		seen[state] = true
	}
}

func TestWX02_AMalformedCodeReachesNobody(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	state := mustURL(t, w.callback("/login")).Query().Get("state")
	exchanges, sessions := b.calls(exchangePath), b.calls(sessionPath)
	for _, code := range []string{"a&secret=b", `"abc"`, "../", strings.Repeat("a", 600), "a b", "a\x00b", "ä", "a%26b", "a/b", "a+b"} {
		p := w.get("/callback/official-account?state=" + state + "&code=" + url.QueryEscape(code))
		if p.StatusCode != http.StatusBadRequest || p.errorOf(t).Error != "invalid_request" {
			t.Errorf("callback, code %q: %d", code, p.StatusCode)
		}
		body, err := json.Marshal(map[string]string{"code": code})
		must(t, err)
		p = w.do("POST", "/miniprogram/login", string(body), "Content-Type", "application/json")
		if p.StatusCode != http.StatusBadRequest || p.errorOf(t).Error != "invalid_request" {
			t.Errorf("mini program, code %q: %d", code, p.StatusCode)
		}
	}
	if b.calls(exchangePath) != exchanges || b.calls(sessionPath) != sessions {
		t.Error("WeChat was asked")
	}
}

func TestWX05_AnAnswerWithoutAnOpenIDLogsNobodyIn(t *testing.T) {
	var answer string
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
	t.Cleanup(upstream.Close)
	b := newBridge(t, func(c *handlers.Config) {
		base := mustURL(t, upstream.URL)
		client, err := wechat.NewMiniProgram(&wechat.API{BaseURL: base, OpenURL: base}, wechat.App{ID: "wx0123456789abcdef", Secret: "secret"})
		must(t, err)
		c.MiniPrograms[0].Client = client
	})
	for i, row := range []struct {
		answer string
		status int
	}{
		{`{}`, 503}, {`{"openid":""}`, 503}, {`{"errcode":0}`, 503}, {`{"errcode":40029,"errmsg":"invalid code"}`, 400},
		{`{"openid":null,"session_key":"x"}`, 503}, {`{"openid":7}`, 503}, {`[]`, 503}, {``, 503}, {`<html>`, 503},
		{`{"errcode":"40029"}`, 400}, {`{"errcode":40125}`, 500}, {`{"errcode":40226}`, 403}, {`{"errcode":45011}`, 429},
	} {
		answer = row.answer
		p := b.browser("").do("POST", "/miniprogram/login", fmt.Sprintf(`{"code":"code%d"}`, i), "Content-Type", "application/json")
		if p.StatusCode != row.status || p.errorOf(t).Error == "" || strings.Contains(p.body, "access_token") {
			t.Errorf("WeChat says %s: %d %s", row.answer, p.StatusCode, p.body)
		}
	}
	if strings.Contains(b.log.String(), "login.ok") {
		t.Error("somebody was stored")
	}
}

func TestMiniProgram_ACodeIsSentOnceAndIdentityFieldsAreIgnored(t *testing.T) {
	b := newBridge(t)
	w := b.browser("")
	before := b.calls(sessionPath)
	code := b.jsCode("bob")
	body := `{"code":"` + code + `","openid":"oALICE","unionid":"x","extra":{"code":[1,{"code":2}]},"b":"\\",":":"\":"}` // WX-07
	p := w.do("POST", "/miniprogram/login", body, "Content-Type", "application/json; charset=utf-8")
	if p.StatusCode != http.StatusOK || p.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", p.StatusCode, p.body)
	}
	p = w.do("POST", "/miniprogram/login", url.Values{"code": {code}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if p.StatusCode != http.StatusBadRequest || p.errorOf(t).Error != "invalid_grant" {
		t.Errorf("the same code again: %d %s", p.StatusCode, p.body)
	}
	if got := b.calls(sessionPath) - before; got != 1 {
		t.Errorf("asked WeChat %d times", got)
	}
	p = w.do("POST", "/miniprogram/login", url.Values{"code": {b.jsCode("bob")}, "app": {b.mini.AppID}}.Encode(),
		"Content-Type", "application/x-www-form-urlencoded")
	if p.StatusCode != http.StatusOK {
		t.Errorf("form: %d %s", p.StatusCode, p.body)
	}
}

func TestSRV02_BodiesAreBoundedAndOfAKnownType(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	token := "Bearer " + w.cookie("wxbridge_token")
	for _, row := range []struct {
		name, body string
		header     []string
		status     int
	}{
		{"10 MB", `{"code":"` + strings.Repeat("a", 10<<20) + `"}`, []string{"Content-Type", "application/json"}, 413},
		{"20,000 levels", `{"nickname":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, []string{"Content-Type", "application/json"}, 400},
		{"gzip", `{}`, []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, 415},
		{"no type", `{"code":"x"}`, nil, 415},
		{"text", `{"code":"x"}`, []string{"Content-Type", "text/plain"}, 415}, // WEB-11
		{"multipart", `x`, []string{"Content-Type", "multipart/form-data; boundary=x"}, 415},
		{"another charset", `{}`, []string{"Content-Type", "application/json; charset=utf-16"}, 415},
		{"empty", ``, []string{"Content-Type", "application/json"}, 400},
		{"not JSON", `code=x`, []string{"Content-Type", "application/json"}, 400},
		{"an array", `["x"]`, []string{"Content-Type", "application/json"}, 400},
		{"null", `null`, []string{"Content-Type", "application/json"}, 400},
		{"two objects", `{} {}`, []string{"Content-Type", "application/json"}, 400},
		{"cut off", `{"code":"x"`, []string{"Content-Type", "application/json"}, 400},
		{"not UTF-8", "{\"code\":\"\xff\"}", []string{"Content-Type", "application/json"}, 400},
		{"a member twice", `{"code":"x","code":"y","nickname":"x","nickname":"y"}`, []string{"Content-Type", "application/json"}, 400},
		{"a member twice in two spellings", `{"code":"x","Code":"y","nickname":"x","Nickname":"y"}`, []string{"Content-Type", "application/json"}, 400},
		{"a member twice, once escaped", `{"code":"x","c\u006fde":"y","nickname":"x","n\u0069ckname":"y"}`, []string{"Content-Type", "application/json"}, 400},
		{"a member twice that nobody asks for", `{"code":"x","nickname":"x","a":{"b":"\":{"},"A":1}`, []string{"Content-Type", "application/json"}, 400},
		{"null", `null`, []string{"Content-Type", "application/json"}, 400},
		{"a number", `{"code":1,"nickname":1}`, []string{"Content-Type", "application/json"}, 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, route := range [][2]string{{"POST", "/miniprogram/login"}, {"PATCH", "/me"}} {
				p := w.do(route[0], route[1], row.body, append([]string{"Authorization", token}, row.header...)...)
				if p.StatusCode != row.status || p.errorOf(t).Error != "invalid_request" {
					t.Errorf("%s %s: %d %.200s", route[0], route[1], p.StatusCode, p.body)
				}
			}
		})
	}
}

func TestPatchMe(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	before := w.cookie("wxbridge_id")
	patch := func(body string) page {
		return w.do("PATCH", "/me", body, "Content-Type", "application/json", "Origin", b.url)
	}
	p := patch(`{"nickname":"爱丽丝 😀","avatar_url":"https://img.example.com/a.png"}`)
	var me struct {
		Nickname  string `json:"nickname"`
		AvatarURL string `json:"avatar_url"`
	}
	must(t, json.Unmarshal([]byte(p.body), &me))
	if p.StatusCode != http.StatusOK || me.Nickname != "爱丽丝 😀" || me.AvatarURL != "https://img.example.com/a.png" {
		t.Errorf("%d %s", p.StatusCode, p.body)
	}
	if w.cookie("wxbridge_id") == before {
		t.Error("the ID token still shows the old name")
	}
	for _, body := range []string{
		`{}`, `{"nickname":""}`, `{"nickname":" "}`, `{"nickname":"a\u0000b"}`, `{"nickname":"a\nb"}`, `{"nickname":"` + strings.Repeat("爱", 65) + `"}`,
		`{"avatar_url":"http://img.example.com/a.png"}`, `{"avatar_url":"javascript:alert(1)"}`, `{"avatar_url":"https://"}`,
		`{"avatar_url":"https://u:p@img.example.com/"}`, `{"avatar_url":"https://img.example.com/` + strings.Repeat("a", 512) + `"}`,
		`{"role":"admin"}`, `{"nickname":"x","status":"active"}`, `{"nickname":null}`,
	} {
		if p := patch(body); p.StatusCode != http.StatusBadRequest || p.errorOf(t).Error != "invalid_request" {
			t.Errorf("%s: %d", body, p.StatusCode)
		}
	}
}

// TestLOG01_NothingSecretReachesTheLog drives the flows and looks for every value that must not be there.
func TestLOG01_NothingSecretReachesTheLog(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	callback := w.callback("/login")
	w.visit(callback)
	w.register()
	code := b.jsCode("bob")
	w.do("POST", "/miniprogram/login", `{"code":"`+code+`"}`, "Content-Type", "application/json")
	for _, fault := range []string{"reset", "malformed", "truncated", "html502"} {
		b.fault(`{"path":"` + exchangePath + `","mode":"` + fault + `"}`)
		again := b.browser("alice")
		again.visit(again.callback("/login?prompt=login"))
	}
	w.get("/me", "Authorization", "Bearer "+w.cookie("wxbridge_id"))
	w.get("/me?access_token=" + w.cookie("wxbridge_token"))
	w.get("/no/such/path-with-" + code)

	fan, identity, err := b.store.FanByIdentity(t.Context(), db.ProviderOfficialAccount, b.official.AppID, w.mustClaims().OpenID)
	must(t, err)
	log := b.log.String()
	q := mustURL(t, callback).Query()
	for name, secret := range map[string]string{
		"code": q.Get("code"), "state": q.Get("state"), "js_code": code, "app secret": b.official.Secret, "mini secret": b.mini.Secret,
		"access token": w.cookie("wxbridge_token"), "ID token": w.cookie("wxbridge_id"), "openid": identity.OpenID,
		"unionid": identity.UnionID, "nickname": fan.Nickname,
	} {
		if secret == "" {
			t.Fatalf("no %s to look for", name)
		}
		if strings.Contains(log, secret) {
			t.Errorf("the log holds the %s", name)
		}
	}
	for _, secret := range []string{b.official.Secret, b.mini.Secret} { // WX-01
		if strings.Contains(log, secret) {
			t.Error("the log holds an app secret")
		}
	}
}

func TestLOG02_ALogLineStaysOneLine(t *testing.T) {
	b := newBridge(t)
	w := b.browser("")
	w.get("/login?return_to="+url.QueryEscape("/x\r\n{\"level\":\"fatal\"}\u2028\x1b[31m"), "User-Agent", `x","level":"fatal`,
		"X-Request-Id", "evil\",\"level\":\"fatal")
	lines := strings.Split(strings.TrimSpace(b.log.String()), "\n")
	for _, line := range lines {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil || fields["level"] == "fatal" || strings.ContainsAny(line, "\x1b\u2028") {
			t.Errorf("line %q: %v", line, err)
		}
	}
	if len(lines) == 0 {
		t.Error("nothing was logged")
	}
}

func TestSRV03_ForwardedHeadersAreBelievedFromTrustedProxiesOnly(t *testing.T) {
	const client, id = "203.0.113.9", "request-id-of-the-proxy"
	for name, row := range map[string]struct {
		trusted []string
		believe bool
	}{"by default from nobody": {nil, false}, "from a listed proxy": {[]string{"127.0.0.0/8"}, true}, "not from another": {[]string{"10.0.0.1"}, false}} {
		t.Run(name, func(t *testing.T) {
			b := newBridge(t, func(c *handlers.Config) { c.TrustedProxies = row.trusted })
			p := b.browser("").get("/healthz", "X-Forwarded-For", client, "X-Request-Id", id)
			if got := p.Header.Get("X-Request-Id") == id; got != row.believe {
				t.Errorf("request id believed: %v", got)
			}
			if got := strings.Contains(b.log.String(), client); got != row.believe {
				t.Errorf("address believed: %v", got)
			}
		})
	}
}

func TestWEB10_NoCORS(t *testing.T) {
	b := newBridge(t)
	for _, path := range []string{"/me", "/.well-known/jwks.json", "/", "/login"} {
		for _, method := range []string{"GET", "OPTIONS"} {
			p := b.browser("").do(method, path, "", "Origin", "https://h5.example.com", "Access-Control-Request-Method", "PATCH")
			for name := range p.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s %s answers %s", method, path, name)
				}
			}
		}
	}
}

func TestREL11_ReadinessTurnsFalseWhenDraining(t *testing.T) {
	b := newBridge(t)
	if p := b.browser("").get("/readyz"); p.StatusCode != http.StatusOK {
		t.Fatalf("%d", p.StatusCode)
	}
	b.handler.Drain()
	if p := b.browser("").get("/readyz"); p.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("draining: %d", p.StatusCode)
	}
	if p := b.browser("").get("/healthz"); p.StatusCode != http.StatusOK {
		t.Errorf("alive: %d", p.StatusCode)
	}
}

func TestScanPage_ShowsTheLoginAsACode(t *testing.T) {
	b := newBridge(t, func(c *handlers.Config) { c.Dev = false })
	desktop := b.browser("")
	desktop.agent = "Mozilla/5.0 (X11; Linux x86_64) Chrome/132.0.0.0 Safari/537.36"
	p := desktop.get("/login?return_to=/shop%3Fa%3D1", "Accept", "text/html")
	if p.StatusCode != http.StatusOK || !strings.Contains(p.body, "<svg") || !strings.Contains(p.body, b.url+"/login?return_to=") {
		t.Errorf("%d %s", p.StatusCode, p.body)
	}
	long := "/login?return_to=/" + strings.Repeat("%25aa", 320)
	if p := desktop.get(long); p.StatusCode != http.StatusOK {
		t.Errorf("an address too long for a code: %d", p.StatusCode)
	}
	wecom := b.browser("")
	wecom.agent = "Mozilla/5.0 (iPhone) wxwork/4.1.30 MicroMessenger/7.0.1"
	if p := wecom.get("/login"); p.StatusCode != http.StatusBadRequest || p.errorOf(t).Error != "invalid_request" {
		t.Errorf("WeCom: %d", p.StatusCode)
	}
	phone := b.browser("alice")
	phone.agent = "Mozilla/5.0 (iPhone) MicroMessenger/8.0.68"
	expectAuthorize(t, phone.get("/login"), "WeChat's browser")
}

func TestSRV02_LogoutReadsItsBodyLikeTheOthers(t *testing.T) {
	b := newBridge(t)
	const form = "application/x-www-form-urlencoded"
	for _, row := range []struct {
		body   string
		header []string
		status int
	}{
		{"", nil, 204}, {"{}", []string{"Content-Type", "application/json"}, 204}, {"return_to=/", []string{"Content-Type", form}, 204},
		{strings.Repeat("a", 10<<20), []string{"Content-Type", form}, 413}, {"x", []string{"Content-Type", "text/plain"}, 415},
		{"return_to=/", []string{"Content-Type", form, "Content-Encoding", "gzip"}, 415}, {"[]", []string{"Content-Type", "application/json"}, 400},
		{"return_to=/&return_to=/", []string{"Content-Type", form}, 400}, {"return_to=%zz", []string{"Content-Type", form}, 400},
	} {
		if p := b.browser("").do("POST", "/logout", row.body, row.header...); p.StatusCode != row.status {
			t.Errorf("%.20q %v: %d, want %d", row.body, row.header, p.StatusCode, row.status)
		}
	}
}

func TestLOG03_SecurityEventsHaveFixedNames(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	w.get("/login?return_to=https://evil.example")
	w.get("/callback/official-account?code=stray&state=abcdefgh")
	expired := b.browser("alice")
	callback := expired.callback("/login")
	b.sim.Advance(6 * time.Minute)
	again := b.browser("alice")
	again.jar.SetCookies(mustURL(t, b.url), expired.jar.Cookies(mustURL(t, b.url)))
	expired.get(callback)
	again.get(callback)
	w.do("DELETE", "/me", "")
	w.do("POST", "/miniprogram/login", `{"code":"0x"}`, "Content-Type", "application/json")
	w.do("POST", "/logout", "", "Origin", b.url)
	for _, event := range []string{"login.ok", "return_to.refused", "login.state_mismatch", "login.code_refused", "login.code_reused",
		"access.refused", "login.failed", "logout"} {
		found := false
		for line := range strings.Lines(b.log.String()) {
			var fields struct {
				Event     string `json:"event"`
				RequestID string `json:"request_id"`
				Time      string `json:"time"`
			}
			must(t, json.Unmarshal([]byte(line), &fields))
			found = found || fields.Event == event && fields.RequestID != "" && fields.Time != ""
		}
		if !found {
			t.Errorf("no event %s with its request in the log", event)
		}
	}
}

func FuzzCallback(f *testing.F) {
	b := newBridge(f)
	for _, seed := range []string{"", "code=x&state=y", "code=x&code=y", "code=%zz", "state=%00", "code=authdeny&state=abc", "again=1", ";"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		request := httptest.NewRequest("GET", "/callback/official-account", nil)
		request.URL.RawQuery = query
		answer := httptest.NewRecorder()
		b.handler.ServeHTTP(answer, request)
		if answer.Code >= 500 || len(answer.Result().Cookies()) > 1 {
			t.Fatalf("%q: %d %s", query, answer.Code, answer.Body)
		}
		for _, cookie := range answer.Result().Cookies() {
			if cookie.Name == "wxbridge_token" {
				t.Fatalf("%q sets a token", query)
			}
		}
	})
}

func FuzzBodies(f *testing.F) {
	b := newBridge(f)
	for _, seed := range []string{`{"code":"x"}`, `{"code":"x","code":"y"}`, `{`, `[]`, `{"code":"\ud800"}`, `code=x`, "\xff"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, body string, form bool) {
		request := httptest.NewRequest("POST", "/miniprogram/login", strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		if form {
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		answer := httptest.NewRecorder()
		b.handler.ServeHTTP(answer, request)
		if answer.Code < 400 || answer.Code >= 500 {
			t.Fatalf("%q: %d %s", body, answer.Code, answer.Body)
		}
	})
}
