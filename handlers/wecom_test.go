package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/wechat"
	"wxbridge/wechat/simulator"
	"wxbridge/wechat/wecom"
)

// Browsers as they call themselves (wecom-protocol §11).
const (
	wecomAgent   = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)  Mobile/15E148 wxwork/4.1.30 MicroMessenger/7.0.1 Language/zh ColorScheme/Light wwmver/3.26.13.714"
	desktopAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)

// newOffice is newBridge with an app of a WeCom corp.
func newOffice(t testing.TB, change ...func(*handlers.Config)) *bridge {
	t.Helper()
	return startBridge(t, newBareOffice(t), "", change)
}

func newBareOffice(t testing.TB) *bridge {
	return &bridge{t: t, clock: &clock{}, log: &lockedBuffer{}, office: true}
}

// trustedCorps lets the WeCom apps trust the bridge and push to it, and gives the first.
func (b *bridge) trustedCorps(apps []simulator.App) (first simulator.App) {
	own, err := url.Parse(b.url)
	must(b.t, err)
	for i := range apps {
		if apps[i].Provider != simulator.ProviderWeCom {
			continue
		}
		apps[i].RedirectDomain = own.Host
		if first.AppID == "" {
			apps[i].EventsURL = b.url + "/events/wecom"
			first = apps[i]
		}
	}
	return first
}

func (b *bridge) wecomAPI() *wecom.API {
	at := func(path string) *url.URL {
		u, err := url.Parse(b.simURL + path)
		must(b.t, err)
		return u
	}
	return &wecom.API{BaseURL: at("/qyapi"), OpenURL: at(""), LoginURL: at("/wwlogin"), HTTP: wechat.NewHTTPClient(), Now: b.clock.Now,
		CallTimeout: b.callTimeout}
}

func (b *bridge) wecomApp(alias string, app simulator.App) handlers.WeComApp {
	agent := strconv.Itoa(app.AgentID)
	client, err := wecom.New(b.wecomAPI(), wecom.App{CorpID: app.AppID, AgentID: agent, Secret: wechat.Secret(app.Secret)}, wecom.Options{})
	must(b.t, err)
	callback, err := wecom.NewCallback(wecom.CallbackConfig{CorpID: app.AppID, AgentID: agent, Token: wechat.Secret(app.Token),
		AESKey: wechat.Secret(app.EncodingAESKey), Now: b.clock.Now})
	must(b.t, err)
	return handlers.WeComApp{Alias: alias, Client: client, Callback: callback}
}

// member is somebody in WeCom's own browser.
func (b *bridge) member(person string) *browser {
	w := b.browser(person)
	w.agent = wecomAgent
	return w
}

// changeMember is what the admin of the corp does to a member.
func (b *bridge) changeMember(person string, change simulator.MemberChange) simulator.MemberReport {
	b.t.Helper()
	report, err := b.sim.ChangeMember(b.t.Context(), b.corp.AppID, person, change)
	must(b.t, err)
	return report
}

func guests(cfg *handlers.Config) { cfg.WeCom[0].Guests = true }

func TestWeCom_AMemberLogsInInsideWeCom(t *testing.T) {
	b := newOffice(t)
	w := b.member("wei")
	p := w.visit("/login?return_to=/wecom-home%3Fa=1")
	if p.Request.URL.RequestURI() != "/wecom-home?a=1" {
		t.Fatalf("the login ends at %s with %d: %s", p.Request.URL, p.StatusCode, p.body)
	}
	claims := w.mustClaims()
	if claims.Provider != "wecom" || claims.AppID != b.corp.AppID || claims.OpenID != "wei" || claims.Departments != "2,3" || claims.UnionID != "" {
		t.Errorf("claims %+v", claims)
	}
	fan, identity, err := b.store.FanByIdentity(t.Context(), "wecom", b.corp.AppID, "wei")
	must(t, err)
	if fan.Nickname != "魏小明" || !fan.Registered() {
		t.Errorf("fan %+v", fan)
	}
	var kept struct {
		UserID     string
		Position   string
		Department []int64
	}
	must(t, json.Unmarshal(identity.ProfileJSON, &kept))
	if kept.UserID != "Wei" || kept.Position != "后台工程师" || len(kept.Department) != 2 {
		t.Errorf("kept %s", identity.ProfileJSON)
	}
	for _, secret := range []string{"mobile", "email"} { // PRV: nothing that nobody needs
		if strings.Contains(string(identity.ProfileJSON), secret) {
			t.Errorf("%s is stored: %s", secret, identity.ProfileJSON)
		}
	}
}

func TestWeCom_OnAPCByTheCode(t *testing.T) {
	b := newOffice(t, func(cfg *handlers.Config) { cfg.Dev = false })
	w := b.browser("wei")
	w.agent = desktopAgent
	p := w.get("/login/wecom?return_to=/")
	to, err := p.Location()
	must(t, err)
	q := to.Query()
	if to.Path != "/wwlogin/wwlogin/sso/login" || q.Get("login_type") != "CorpApp" || q.Get("agentid") != strconv.Itoa(b.corp.AgentID) || q.Get("lang") != "zh" {
		t.Fatalf("sent to %s", to)
	}
	if p := w.visit("/login/wecom?return_to=/"); p.Request.URL.Path != "/" {
		t.Fatalf("ends at %s with %d: %s", p.Request.URL, p.StatusCode, p.body)
	}
	if claims := w.mustClaims(); claims.OpenID != "wei" {
		t.Errorf("claims %+v", claims)
	}
}

func TestWeCom_LoginPicksWeComByItsBrowser(t *testing.T) {
	b := newOffice(t, func(cfg *handlers.Config) { cfg.Dev = false })
	w := b.member("wei")
	to, err := w.get("/login").Location()
	must(t, err)
	if q := to.Query(); q.Get("appid") != b.corp.AppID || q.Get("scope") != "snsapi_base" || to.Fragment != "wechat_redirect" {
		t.Errorf("sent to %s", to)
	}
}

func TestWeCom_AloneIsWhatADesktopGets(t *testing.T) {
	b := newOffice(t, withoutWebsites, func(cfg *handlers.Config) { cfg.Dev, cfg.OfficialAccounts = false, nil })
	w := b.browser("wei")
	w.agent = desktopAgent
	if to, err := w.get("/login").Location(); err != nil || !strings.HasSuffix(to.Path, "/sso/login") {
		t.Errorf("sent to %v, %v", to, err)
	}
}

// onlyWeCom is a bridge of a company that has nothing of WeChat's.
func onlyWeCom(cfg *handlers.Config) {
	cfg.Dev, cfg.OfficialAccounts, cfg.Websites, cfg.MiniPrograms = false, nil, nil, nil
}

func TestWeCom_AloneSendsWeChatsBrowserToWeCom(t *testing.T) {
	b := newOffice(t, onlyWeCom)
	w := b.browser("wei")
	w.agent = "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Mobile/15E148 MicroMessenger/8.0.10(0x18000a24) NetType/WIFI Language/zh_CN"
	for _, path := range []string{"/login", "/login/official-account", "/login/website"} {
		p := w.get(path, "Accept", "text/html")
		if p.StatusCode != http.StatusBadRequest || !strings.Contains(p.body, "请在企业微信中打开") {
			t.Errorf("%s: %d %s", path, p.StatusCode, p.body)
		}
		if english := w.get(path, "Accept", "text/html", "Accept-Language", "en"); !strings.Contains(english.body, "Open this in WeCom") {
			t.Errorf("%s in English: %s", path, english.body)
		}
		if p := w.get(path); p.errorOf(t).Error != "invalid_request" || !strings.Contains(p.body, "WeCom") {
			t.Errorf("%s: %s", path, p.body)
		}
	}
}

// The home page names what people log in with.
func TestWeCom_HomeSpeaksOfWeCom(t *testing.T) {
	const signedOut, signedIn = "用企业微信登录", "你已通过企业微信登录"
	both, alone := newOffice(t), newOffice(t, onlyWeCom)
	member := both.member("wei")
	desktop := alone.browser("wei")
	desktop.agent = desktopAgent
	for name, w := range map[string]*browser{"in WeCom": member, "nothing but WeCom": desktop} {
		if p := w.get("/", "Accept", "text/html"); !strings.Contains(p.body, signedOut) {
			t.Errorf("%s, signed out: %s", name, p.body)
		}
		w.visit("/login?return_to=/")
		if p := w.get("/", "Accept", "text/html"); !strings.Contains(p.body, signedIn) {
			t.Errorf("%s, signed in: %s", name, p.body)
		}
	}
	fan := both.browser("alice")
	if p := fan.get("/", "Accept", "text/html"); strings.Contains(p.body, "企业微信") {
		t.Errorf("in WeChat: %s", p.body)
	}
	fan.register()
	if p := fan.get("/", "Accept", "text/html"); strings.Contains(p.body, "企业微信") {
		t.Errorf("in WeChat, signed in: %s", p.body)
	}
}

// After a fault the way on is WeCom's again, though a browser without WeCom would get another login from /login.
func TestWeCom_AFaultLeadsBackToWeCom(t *testing.T) {
	b := newOffice(t, func(cfg *handlers.Config) { cfg.Dev = false })
	b.fault(`{"path":"/qyapi/cgi-bin/auth/getuserinfo","errcode":-1,"times":0}`)
	w := b.browser("wei")
	w.agent = desktopAgent
	p := w.get(w.callback("/login/wecom"), "Accept", "text/html")
	if p.StatusCode != http.StatusServiceUnavailable || !strings.Contains(p.body, `href="/login/wecom"`) || !strings.Contains(p.body, "企业微信或我们的服务") {
		t.Errorf("%d %s", p.StatusCode, p.body)
	}
}

// Who does not confirm the scan has nothing to change in WeCom; who keeps private fields to themselves has.
func TestWeCom_ARefusalSaysWhatToDo(t *testing.T) {
	for _, row := range []struct {
		name, agent, want, not string
	}{
		{"inside WeCom", wecomAgent, "个人敏感信息授权管理", "再扫一次"},
		{"by a code on a PC", desktopAgent, "再扫一次", "个人敏感信息授权管理"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newOffice(t, func(cfg *handlers.Config) { cfg.Dev, cfg.WeCom[0].Private = false, true })
			w := b.browser("wei")
			w.agent, w.consent = row.agent, "deny"
			p := w.visit("/login/wecom?return_to=/x")
			if p.Request.URL.Path != "/login/refused" || !strings.Contains(p.body, row.want) || strings.Contains(p.body, row.not) {
				t.Errorf("%s: %s", p.Request.URL, p.body)
			}
			if !strings.Contains(p.body, "/login/wecom?return_to=%2Fx") {
				t.Errorf("no way back in %s", p.body)
			}
		})
	}
}

// WX-09: openid, external_userid and a linked corp's member in place of a userid, and a member who may not.
func TestWeCom_WhoMayNotComeInMeetsAKindPage(t *testing.T) {
	b := newOffice(t)
	for person, row := range map[string]struct{ english, chinese string }{
		"guest": {"not a member of the organisation", "仅限企业成员"},
		"ke":    {"not a member of the organisation", "仅限企业成员"}, // a customer: openid and external_userid
		"lian":  {"not a member of the organisation", "仅限企业成员"}, // a member of a linked corp
		"dai":   {"Your account is disabled", "你不能使用这个应用"},
		"yuan":  {"has not been opened to you", "你不能使用这个应用"}, // outside the visible range
	} {
		t.Run(person, func(t *testing.T) {
			w := b.member(person)
			p := w.visit("/login?return_to=/wecom-home")
			if p.StatusCode != http.StatusForbidden || p.Request.URL.RequestURI() != "/login/not-member" || !strings.Contains(p.body, row.chinese) {
				t.Fatalf("ends at %s with %d: %s", p.Request.URL, p.StatusCode, p.body)
			}
			if english := w.get("/login/not-member?lang=en", "Accept", "text/html"); !strings.Contains(english.body, row.english) {
				t.Errorf("in English: %s", english.body)
			}
			if again := `href="/login/wecom?return_to=%2Fwecom-home"`; !strings.Contains(p.body, again) {
				t.Errorf("no way to try again in %s", p.body)
			}
			if w.cookie("wxbridge_token") != "" {
				t.Error("there is a token")
			}
		})
	}
	fans, err := b.store.Fans(t.Context(), db.FanFilter{Limit: 10})
	must(t, err)
	if len(fans) != 0 {
		t.Errorf("kept of people who may not log in: %+v", fans)
	}
}

// Who protects a site with provider=wecom means members.
func TestWX09_AGuestOfACorpIsNoneWhereItsMembersAreAskedFor(t *testing.T) {
	b := newOffice(t, guests)
	for person, want := range map[string]int{"wei": http.StatusOK, "guest": http.StatusForbidden, "ke": http.StatusForbidden} {
		w := b.member(person)
		w.visit("/login?return_to=/")
		token := w.cookie("wxbridge_token")
		for range 2 { // a token that is known takes a short cut
			for query, want := range map[string]int{"?provider=wecom": want, "?provider=official_account,wecom&redirect=1": want, "": http.StatusOK} {
				if p := b.browser("").get("/auth/verify"+query, "Authorization", "Bearer "+token); p.StatusCode != want {
					t.Errorf("%s passes %q with %d, want %d", person, query, p.StatusCode, want)
				}
			}
		}
	}
}

func TestWX09_GuestsEndWhereTheyAreWelcomeNoMore(t *testing.T) {
	var apps []handlers.WeComApp
	b := newOffice(t, guests, func(cfg *handlers.Config) { apps = cfg.WeCom })
	w := b.member("guest")
	w.visit("/login?return_to=/")
	before := w.mustClaims()
	apps[0].Guests = false // as after a restart with other settings
	b.clock.Advance(tokenTTL * 3 / 4)
	w.get("/", "Accept", "text/html")
	if after, in := w.claims(); in && after.IssuedAt.After(before.IssuedAt) {
		t.Error("a guest's token is renewed where no guests are welcome")
	}
	if p := w.visit("/login?return_to=/"); p.Request.URL.Path != "/login/not-member" {
		t.Errorf("the guest is logged in at %s", p.Request.URL)
	}
}

func TestWeCom_GuestsWhereTheyAreWelcome(t *testing.T) {
	b := newOffice(t, guests)
	for _, person := range []string{"guest", "ke", "lian"} {
		w := b.member(person)
		w.visit("/login?return_to=/")
		claims := w.mustClaims()
		// Nobody who checks openid for a userid takes a guest for a member.
		if !strings.HasPrefix(claims.OpenID, "guest~") || len(claims.OpenID) < 10 || claims.Departments != "" {
			t.Errorf("%s: claims %+v", person, claims)
		}
		if fan, err := b.store.Fan(t.Context(), claims.Subject); err != nil || fan.Registered() {
			t.Errorf("%s: fan %+v, %v", person, fan, err)
		}
		b.clock.Advance(tokenTTL * 3 / 4)
		w.get("/", "Accept", "text/html")
		if renewed := w.mustClaims(); !renewed.IssuedAt.After(claims.IssuedAt) {
			t.Errorf("%s: not renewed", person)
		}
	}
	if p := b.member("dai").visit("/login"); p.Request.URL.Path != "/login/not-member" {
		t.Errorf("a disabled member becomes a guest at %s", p.Request.URL)
	}
}

// WX-09: who came in as a guest is out again when guests are welcome no more, though the token has not run out.
func TestWeCom_GuestsWhoAreWelcomeNoMore(t *testing.T) {
	for _, path := range []string{"/auth/verify", "/me", "/"} {
		t.Run(path, func(t *testing.T) {
			b := newOffice(t, guests)
			w := b.member("guest")
			w.visit("/login?return_to=/")
			cfg := b.cfg
			cfg.WeCom = slices.Clone(cfg.WeCom)
			cfg.WeCom[0].Guests = false
			restarted, err := handlers.New(cfg)
			must(t, err)
			b.clock.Advance(tokenTTL * 3 / 4)
			request := httptest.NewRequest("GET", b.url+path, nil)
			request.Header.Set("Cookie", "wxbridge_token="+w.cookie("wxbridge_token"))
			answer := httptest.NewRecorder()
			restarted.ServeHTTP(answer, request)
			for _, cookie := range answer.Result().Cookies() {
				if cookie.Name == "wxbridge_token" && cookie.MaxAge >= 0 {
					t.Errorf("renewed: %v", cookie)
				}
			}
			if path != "/" && answer.Code != http.StatusUnauthorized {
				t.Errorf("%d %s", answer.Code, answer.Body)
			}
		})
	}
}

func TestWeCom_UseridsThatDifferByCaseAreOneMember(t *testing.T) {
	b := newOffice(t)
	first := b.member("member-zhang")
	first.visit("/login?return_to=/")
	second := b.member("MEMBER-Zhang")
	second.visit("/login?return_to=/")
	a, c := first.mustClaims(), second.mustClaims()
	if a.Subject != c.Subject || a.OpenID != "member-zhang" || c.OpenID != "member-zhang" {
		t.Errorf("%+v\n%+v", a, c)
	}
}

func TestWeCom_AvatarByConsentOrWithout(t *testing.T) {
	private := func(cfg *handlers.Config) { cfg.WeCom[0].Private = true }
	t.Run("allowed", func(t *testing.T) {
		b := newOffice(t, private)
		w := b.member("wei")
		w.visit("/login?return_to=/")
		fan, err := b.store.Fan(t.Context(), w.mustClaims().Subject)
		must(t, err)
		if picture := w.get(fan.AvatarURL); picture.StatusCode != http.StatusOK || !strings.HasPrefix(picture.Header.Get("Content-Type"), "image/") {
			t.Errorf("%s is no picture: %d", fan.AvatarURL, picture.StatusCode)
		}
	})
	t.Run("by https for pages by https", func(t *testing.T) {
		b := newOffice(t, func(cfg *handlers.Config) {
			cfg.Dev, cfg.PublicURL = false, &url.URL{Scheme: "https", Host: "login.example.com"}
		})
		b.control("PUT", "/_simulator/switches", `{"wecom-app-age":"old"}`)
		if p := b.wecomMini(b.wecomJSCode("wei"), b.corp.AppID); p.StatusCode != http.StatusOK || !strings.Contains(p.body, `"avatar_url":"https://`) {
			t.Errorf("%d %s", p.StatusCode, p.body)
		}
	})
	t.Run("refused", func(t *testing.T) {
		b := newOffice(t, private)
		w := b.member("wei")
		w.consent = "deny"
		if p := w.visit("/login?return_to=/"); p.Request.URL.Path != "/login/refused" || p.StatusCode != http.StatusOK {
			t.Fatalf("ends at %s with %d", p.Request.URL, p.StatusCode)
		}
	})
	for _, errcode := range []int{84014, 84015, 60011, -1} { // the ticket is over, of no use, or the call fails
		t.Run(strconv.Itoa(errcode), func(t *testing.T) {
			b := newOffice(t, private)
			b.fault(fmt.Sprintf(`{"path":"/qyapi/cgi-bin/auth/getuserdetail","errcode":%d,"times":0}`, errcode))
			w := b.member("wei")
			w.visit("/login?return_to=/")
			if claims := w.mustClaims(); claims.OpenID != "wei" {
				t.Errorf("claims %+v", claims)
			}
			if !strings.Contains(b.log.String(), "member.private_failed") {
				t.Error("nobody is told")
			}
		})
	}
}

// FLW-05, FLW-06 and what else the official account's callback promises.
func TestWeCom_TheCallbackKeepsThePromisesOfTheOfficialAccounts(t *testing.T) {
	t.Run("twice", func(t *testing.T) {
		b := newOffice(t)
		w := b.member("wei")
		back := w.callback("/login?return_to=/x")
		for range 2 {
			if to := w.get(back).Header.Get("Location"); to != "/x" {
				t.Fatalf("leads to %s", to)
			}
		}
		if n := b.calls("/qyapi/cgi-bin/auth/getuserinfo"); n != 1 {
			t.Errorf("%d exchanges", n)
		}
	})
	t.Run("planted", func(t *testing.T) {
		b := newOffice(t)
		back := b.member("wei").callback("/login?return_to=/x")
		victim := b.member("member-victim")
		to, err := victim.get(back).Location()
		must(t, err)
		if !strings.Contains(to.String(), "/connect/oauth2/authorize") || !strings.Contains(to.Query().Get("redirect_uri"), "again=1") {
			t.Errorf("sent to %s", to)
		}
		if n := b.calls("/qyapi/cgi-bin/auth/getuserinfo"); n != 0 {
			t.Errorf("the planted code was spent, %d times", n)
		}
	})
	t.Run("without cookies", func(t *testing.T) {
		b := newOffice(t)
		w := b.member("wei")
		w.client.Jar = nil
		if p := w.visit("/login"); p.Request.URL.Path != "/login/cookies-off" {
			t.Errorf("ends at %s", p.Request.URL)
		}
	})
	t.Run("a code that WeCom refuses restarts once", func(t *testing.T) {
		b := newOffice(t)
		b.fault(`{"path":"/qyapi/cgi-bin/auth/getuserinfo","errcode":40029}`)
		w := b.member("wei")
		if p := w.visit("/login?return_to=/"); p.Request.URL.Path != "/" {
			t.Errorf("ends at %s", p.Request.URL)
		}
		b.fault(`{"path":"/qyapi/cgi-bin/auth/getuserinfo","errcode":40029,"times":0}`)
		p := b.member("wei").visit("/login")
		if p.StatusCode != http.StatusBadRequest {
			t.Errorf("ends with %d", p.StatusCode)
		}
	})
	t.Run("state alone is a refusal", func(t *testing.T) {
		b := newOffice(t)
		w := b.member("wei")
		to, err := w.get("/login?return_to=/x").Location()
		must(t, err)
		p := w.get("/callback/wecom?state=" + to.Query().Get("state"))
		if p.Header.Get("Location") != "/login/refused" {
			t.Fatalf("leads to %s", p.Header.Get("Location"))
		}
		if page := w.get("/login/refused", "Accept", "text/html"); !strings.Contains(page.body, "/login/wecom?return_to=%2Fx") {
			t.Errorf("no way back in %s", page.body)
		}
	})
	t.Run("another provider's flow is not taken", func(t *testing.T) {
		b := newOffice(t)
		w := b.member("wei")
		back, err := url.Parse(w.callback("/login?return_to=/x"))
		must(t, err)
		back.Path = "/callback/official-account"
		if to := w.get(back.String()).Header.Get("Location"); !strings.Contains(to, "appid="+b.official.AppID) {
			t.Errorf("leads to %s", to)
		}
	})
}

// Faults of the operator's: vague outside, clear in the log.
func TestWeCom_TheLogSaysWhatToFix(t *testing.T) {
	for _, row := range []struct {
		name, path string
		errcode    int
		status     int
		log        []string
	}{
		{"an address that is not trusted", "/qyapi/cgi-bin/auth/getuserinfo", 60020, 500, []string{"127.0.0.1", "企业可信IP", "hint"}},
		{"code of another app", "/qyapi/cgi-bin/auth/getuserinfo", 50001, 500, []string{"50001", `"fix"`}},
		{"no right to read", "/qyapi/cgi-bin/user/get", 48002, 500, []string{`"fix"`}},
		{"too often", "/qyapi/cgi-bin/user/get", 45009, 429, []string{"45009"}},
		{"busy", "/qyapi/cgi-bin/user/get", -1, 503, nil},
		{"a wrong secret", "/qyapi/cgi-bin/gettoken", 40001, 500, []string{"40001", `"fix"`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newOffice(t)
			b.fault(fmt.Sprintf(`{"path":%q,"errcode":%d,"times":0}`, row.path, row.errcode))
			w := b.member("wei")
			back := w.callback("/login?return_to=/x")
			p := w.get(back)
			if p.StatusCode != row.status {
				t.Fatalf("%d %s", p.StatusCode, p.body)
			}
			for _, want := range row.log {
				if !strings.Contains(b.log.String(), want) {
					t.Errorf("the log has no %q", want)
				}
			}
			if strings.Contains(b.log.String(), b.corp.Secret) || strings.Contains(p.body, "127.0.0.1") {
				t.Error("KEY-07 a secret in the log, or too much outside")
			}
		})
	}
}

// WX-09: a code that WeCom gave for another app of the corp is not ours to spend: 50001.
func TestWeCom_CodeOfAnotherApp(t *testing.T) {
	b := newOffice(t)
	w := b.member("wei")
	to, err := w.get("/login").Location()
	must(t, err)
	q := to.Query()
	for _, app := range simulator.DevApps("") {
		if app.AppID == b.corp.AppID && app.AgentID != b.corp.AgentID {
			q.Set("agentid", strconv.Itoa(app.AgentID))
		}
	}
	to.RawQuery = q.Encode()
	p := w.visit(to.String())
	if p.StatusCode != http.StatusInternalServerError || !strings.Contains(b.log.String(), "50001") || w.cookie("wxbridge_token") != "" {
		t.Errorf("%d at %s: %s", p.StatusCode, p.Request.URL, p.body)
	}
}

// A code is good once: what comes a second time with a flow of its own is refused, and the login starts again.
func TestWeCom_ReusedCode(t *testing.T) {
	b := newOffice(t)
	first := b.member("wei")
	used, err := url.Parse(first.callback("/login?return_to=/"))
	must(t, err)
	first.get(used.String())
	second := b.member("member-second")
	fresh, err := url.Parse(second.callback("/login?return_to=/"))
	must(t, err)
	q := fresh.Query()
	q.Set("code", used.Query().Get("code"))
	fresh.RawQuery = q.Encode()
	second.visit(fresh.String())
	if claims := second.mustClaims(); claims.OpenID != "member-second" {
		t.Errorf("somebody else's code logged in as %s", claims.OpenID)
	}
}

// WX-09.
func TestWeCom_AgentOfAnotherCorp(t *testing.T) {
	b := newOffice(t)
	w := b.member("wei")
	to, err := w.get("/login").Location()
	must(t, err)
	q := to.Query()
	q.Set("agentid", "1999999")
	to.RawQuery = q.Encode()
	if p := w.get(to.String()); p.StatusCode == http.StatusFound {
		t.Errorf("WeCom sends %s back for an agent it does not know", p.Header.Get("Location"))
	}
}

// WX-17: first logins that come at once ask for one token.
func TestWeCom_AThunderingHerdFetchesOneToken(t *testing.T) {
	b := newOffice(t)
	var all sync.WaitGroup
	gate := make(chan struct{})
	var failed sync.Map
	backs := make([]*browser, herd)
	links := make([]string, len(backs))
	for i := range backs {
		backs[i] = b.member(fmt.Sprintf("member-%d", i))
		links[i] = backs[i].callback("/login?return_to=/x")
	}
	for i, w := range backs {
		all.Go(func() {
			<-gate
			if p := w.get(links[i]); p.Header.Get("Location") != "/x" {
				failed.Store(i, fmt.Sprint(p.StatusCode, p.body))
			}
		})
	}
	close(gate)
	all.Wait()
	failed.Range(func(i, why any) bool { t.Errorf("member-%v: %v", i, why); return false })
	if n := b.calls("/qyapi/cgi-bin/gettoken"); n != 1 {
		t.Errorf("%d calls of gettoken", n)
	}
}

// WX-17: a wrong secret is not tried again and again: WeCom locks the address of who does.
func TestWeCom_AWrongSecretIsAskedForTwiceAMinuteAtMost(t *testing.T) {
	b := newOffice(t)
	b.fault(`{"path":"/qyapi/cgi-bin/gettoken","errcode":40001,"times":0}`)
	for range 3 {
		before := b.calls("/qyapi/cgi-bin/gettoken")
		var all sync.WaitGroup
		for i := range 60 {
			all.Go(func() {
				w := b.member(fmt.Sprintf("member-%d", i))
				w.get(w.callback("/login"))
				b.clock.Advance(time.Second)
			})
		}
		all.Wait()
		if n := b.calls("/qyapi/cgi-bin/gettoken") - before; n > 2 {
			t.Errorf("%d calls of gettoken within a minute of logins", n)
		}
	}
}

func TestWeCom_TheSamePersonInWeChatStaysAnotherFan(t *testing.T) {
	b := newOffice(t)
	phone, work := b.browser("wei"), b.member("wei")
	phone.register()
	work.visit("/login?return_to=/")
	if a, c := phone.mustClaims().Subject, work.mustClaims().Subject; a == c {
		t.Fatal("one fan, though nobody has linked them")
	}
	work.visit("/login?return_to=/&prompt=login")
	if work.mustClaims().Subject == phone.mustClaims().Subject {
		t.Fatal("linked by a second login")
	}
}

func (b *bridge) wecomJSCode(person string) string {
	b.t.Helper()
	code, err := b.sim.JSCode(b.corp.AppID, person)
	must(b.t, err)
	return code
}

func (b *bridge) wecomMini(code, app string) page {
	return b.browser("").do("POST", "/miniprogram/login", url.Values{"code": {code}, "app": {app}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

func TestWeCom_MiniProgram(t *testing.T) {
	b := newOffice(t)
	code := b.wecomJSCode("wei")
	p := b.wecomMini(code, b.corp.AppID)
	var answer struct {
		AccessToken string `json:"access_token"`
		Fan         struct{ Nickname string }
	}
	if err := json.Unmarshal([]byte(p.body), &answer); err != nil || p.StatusCode != 200 || answer.Fan.Nickname != "魏小明" {
		t.Fatalf("%d %s", p.StatusCode, p.body)
	}
	claims, err := b.verifier.Verify(t.Context(), answer.AccessToken)
	must(t, err)
	if claims.Provider != "wecom" || claims.OpenID != "wei" || claims.Departments != "2,3" {
		t.Errorf("claims %+v", claims)
	}
	_, identity, err := b.store.FanByIdentity(t.Context(), "wecom", b.corp.AppID, "wei")
	must(t, err)
	if len(identity.SessionKeySealed) != 0 || strings.Contains(p.body, "session_key") {
		t.Error("WX-03 the session key, which nothing here needs, is kept, or not kept back")
	}
	before := b.calls("/qyapi/cgi-bin/miniprogram/jscode2session")
	if p := b.wecomMini(code, b.corp.AppID); p.errorOf(t).Error != "invalid_grant" || b.calls("/qyapi/cgi-bin/miniprogram/jscode2session") != before {
		t.Errorf("a second time: %d %s", p.StatusCode, p.body)
	}
	for person, want := range map[string]string{"dai": "access_denied", "yuan": "access_denied"} {
		if p := b.wecomMini(b.wecomJSCode(person), b.corp.AppID); p.StatusCode != 403 || p.errorOf(t).Error != want {
			t.Errorf("%s: %d %s", person, p.StatusCode, p.body)
		}
	}
	if p := b.wecomMini("not-a-code", b.corp.AppID); p.errorOf(t).Error != "invalid_grant" {
		t.Errorf("garbage: %d %s", p.StatusCode, p.body)
	}
	if p := b.wecomMini(b.jsCode("alice"), ""); p.StatusCode != 200 {
		t.Errorf("WeChat's mini program: %d %s", p.StatusCode, p.body)
	}
}

// WX-09: several corps can link one mini program; the corpid that WeCom answers must be ours.
func TestWeCom_MiniProgramOfAnotherCorp(t *testing.T) {
	b := newOffice(t)
	other := simulator.App{}
	for _, app := range simulator.DevApps("") {
		if app.Provider == simulator.ProviderWeCom && app.AppID != b.corp.AppID {
			other = app
		}
	}
	code, err := b.sim.JSCode(other.AppID, "wei")
	must(t, err)
	if p := b.wecomMini(code, b.corp.AppID); p.StatusCode != 403 || p.errorOf(t).Error != "access_denied" {
		t.Errorf("%d %s", p.StatusCode, p.body)
	}
}

func TestWeCom_JSSDK(t *testing.T) {
	b := newOffice(t)
	page := b.url + "/page?a=1&b=2"
	for _, agent := range []bool{false, true} {
		address := "/jssdk/config?app=" + b.corp.AppID + "&url=" + url.QueryEscape(page+"#top")
		if agent {
			address += "&agent=1"
		}
		p := b.browser("").get(address)
		var signed struct {
			AppID, CorpID, AgentID, NonceStr, Signature string
			Timestamp                                   int64
		}
		must(t, json.Unmarshal([]byte(p.body), &signed))
		call := map[string]any{"call": "config", "appId": signed.AppID, "timestamp": signed.Timestamp, "nonceStr": signed.NonceStr,
			"signature": signed.Signature, "url": page}
		if agent {
			call["call"], call["appId"], call["agentid"] = "agentConfig", signed.CorpID, signed.AgentID
		}
		text, err := json.Marshal(call)
		must(t, err)
		verdict := b.browser("").do("POST", b.simURL+"/_simulator/jssdk-config", string(text), "Content-Type", "application/json")
		if !strings.Contains(verdict.body, `:ok"`) {
			t.Errorf("agent %v: %s of %s", agent, verdict.body, p.body)
		}
	}
	if p := b.browser("").get("/jssdk/config?agent=1&app=nobody&url=" + url.QueryEscape(page)); p.StatusCode != 400 {
		t.Errorf("%d %s", p.StatusCode, p.body)
	}
}

func TestWeCom_ForwardAuthTellsDepartments(t *testing.T) {
	b := newOffice(t)
	w := b.member("wei")
	w.visit("/login?return_to=/")
	for range 2 { // the second answer comes from memory
		p := w.get("/auth/verify?provider=wecom")
		if p.StatusCode != 200 || p.Header.Get("X-Auth-Request-Departments") != "2,3" || p.Header.Get("X-Auth-Request-Openid") != "wei" {
			t.Errorf("%d %v", p.StatusCode, p.Header)
		}
	}
}
