package simulator_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"wxbridge/wechat/simulator"
)

func TestWeCom5CodesAndWhoMayRedeemThem(t *testing.T) {
	redeem := func(o *office, app simulator.App, code string) answer {
		return o.api(app, "auth/getuserinfo", "code", code)
	}
	t.Run("token, address, code", func(t *testing.T) {
		o := newOffice(t)
		o.get("/qyapi/cgi-bin/auth/getuserinfo").errcode(t, 41001)
		o.flip("wecom-trusted-ip", "not-listed")
		o.api(o.agent, "auth/getuserinfo").errcode(t, 60020)
		o.flip("wecom-trusted-ip", "listed")
		o.advance("1m")
		o.api(o.agent, "auth/getuserinfo").errcode(t, 41008)
		redeem(o, o.agent, "nonsense").errcode(t, 40029)
	})
	t.Run("once, however many try at the same time", func(t *testing.T) {
		o := newOffice(t)
		path := o.apiPath(o.agent, "auth/getuserinfo", "code", o.code(o.agent, "wei", "snsapi_base"))
		var good atomic.Int32
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				if a := o.get(path); strings.Contains(a.body, `"userid":"Wei"`) {
					good.Add(1)
				} else {
					a.errcode(t, 40029)
				}
			})
		}
		group.Wait()
		if good.Load() != 1 {
			t.Errorf("%d got the member", good.Load())
		}
	})
	t.Run("a bad token does not spend the code", func(t *testing.T) {
		o := newOffice(t)
		code := o.code(o.agent, "wei", "snsapi_base")
		o.get("/qyapi/cgi-bin/auth/getuserinfo?access_token=x&code="+code).errcode(t, 40014)
		redeem(o, o.agent, code).errcode(t, 0)
	})
	t.Run("another app's code is 50001, and kept or spent", func(t *testing.T) {
		o := newOffice(t)
		code := o.code(o.agent, "wei", "snsapi_base")
		redeem(o, o.second, code).errcode(t, 50001)
		redeem(o, o.foreign, code).errcode(t, 50001)
		redeem(o, o.agent, code).errcode(t, 0)
		o.flip("wecom-foreign-code", "spent")
		code = o.code(o.agent, "wei", "snsapi_base")
		redeem(o, o.second, code).errcode(t, 50001)
		redeem(o, o.agent, code).errcode(t, 40029)
	})
	t.Run("without agentid any app that trusts the domain may redeem it", func(t *testing.T) {
		o := newOffice(t, onAgent(func(a *simulator.App) { a.RedirectDomain = "elsewhere.example.com" }))
		link := strings.Split(o.oauth(o.agent, "snsapi_base", site, "s"), "&agentid=")[0]
		code := o.as("wei", link).back(t).Get("code")
		redeem(o, o.agent, code).errcode(t, 50001)
		redeem(o, o.second, code).errcode(t, 0)
	})
	t.Run("an untrusted domain may show at the redemption only", func(t *testing.T) {
		o := newOffice(t)
		o.flip("wecom-domain-check", "redemption")
		code := o.as("wei", o.oauth(o.agent, "snsapi_base", "http://127.0.0.1/cb", "s")).back(t).Get("code")
		text := redeem(o, o.agent, code).errcode(t, 50001)
		if !strings.HasPrefix(text, "redirect_uri unauthorized, hint: [") {
			t.Error(text)
		}
	})
}

func TestWeCom6Authorize(t *testing.T) {
	t.Run("the browser", func(t *testing.T) {
		o := newOffice(t)
		o.flip("outside-wechat", "refused")
		link := o.oauth(o.agent, "snsapi_base", site, "s")
		o.as("wei", link, "User-Agent", "Mozilla/5.0").errorPage(t, 0, "请在企业微信客户端打开链接")
		for _, agent := range simulator.UserAgents() {
			if strings.HasPrefix(agent.Name, "wecom-") || agent.Name == "wechat-ios" {
				o.as("wei", link, "User-Agent", agent.Value).back(t)
			}
		}
		o.as("wei", link, "User-Agent", "Mozilla/5.0", "Cookie", "simulator_browser=wecom").back(t)
		o.flip("outside-wechat", "allowed")
		o.as("wei", link, "Cookie", "simulator_browser=desktop").errorPage(t, 0, "请在企业微信客户端打开链接")
	})
	t.Run("host and port are compared exactly", func(t *testing.T) {
		o := newOffice(t)
		for _, bad := range []string{"http://127.0.0.1/cb", "http://127.0.0.1:90/cb", "http://a.127.0.0.1:9/", "https://localhost:9/"} {
			a := o.as("wei", o.oauth(o.agent, "snsapi_base", bad, "s"))
			to := a.header.Get("Location")
			if a.status != 302 || to != "/wwopen/uriconfirm?err_type=domain_err&uri="+url.QueryEscape(bad) {
				t.Fatalf("%s: %d %s", bad, a.status, to)
			}
			o.get(to).errorPage(t, 0, "redirect_uri需使用应用可信域名")
		}
		o.as("wei", o.oauth(o.agent, "snsapi_base", "https://127.0.0.1:9/any/path", "s")).back(t)
	})
	t.Run("state and query", func(t *testing.T) {
		o := newOffice(t)
		for redirect, form := range map[string]string{
			"http://127.0.0.1:9/cb":            `^http://127\.0\.0\.1:9/cb\?code=[A-Za-z0-9_-]{43}&state=$`,
			"http://127.0.0.1:9/cb?action=get": `^http://127\.0\.0\.1:9/cb\?action=get&code=[A-Za-z0-9_-]{43}&state=$`,
			"http://127.0.0.1:9/#/login":       `^http://127\.0\.0\.1:9/\?code=[A-Za-z0-9_-]{43}&state=#/login$`,
		} {
			if to := o.as("wei", o.oauth(o.agent, "snsapi_base", redirect, "")).header.Get("Location"); !regexp.MustCompile(form).MatchString(to) {
				t.Errorf("%s: %s", redirect, to)
			}
		}
		if got := o.as("wei", o.oauth(o.agent, "snsapi_base", site, "%2Fpath%3Fa")).back(t).Get("state"); got != "/path?a" {
			t.Errorf("state %q", got)
		}
	})
	t.Run("bad links", func(t *testing.T) {
		o := newOffice(t)
		good := o.oauth(o.agent, "snsapi_base", site, "s")
		o.as("wei", strings.Replace(good, "response_type=code", "response_type=token", 1)).errorPage(t, 0, "该链接无法访问")
		o.as("wei", strings.Replace(good, "snsapi_base", "snsapi_userinfo", 1)).errorPage(t, 0, "该链接无法访问")
		o.as("wei", o.oauth(o.agent, "snsapi_base", "//127.0.0.1:9/", "s")).errorPage(t, 0, "该链接无法访问")
		o.as("wei", strings.Replace(good, "agentid=1000002", "agentid=42", 1)).errorPage(t, 0, "invalid agentid")
		o.as("wei", strings.Replace(good, "agentid=1000002", "agentid=x", 1)).errorPage(t, 0, "invalid agentid")
	})
	t.Run("privateinfo without agentid", func(t *testing.T) {
		o := newOffice(t)
		link := strings.Split(o.oauth(o.agent, "snsapi_privateinfo", site, "s"), "&agentid=")[0]
		code := o.as("wei", link).back(t).Get("code") // treated as base: no consent page
		if a := o.api(o.agent, "auth/getuserinfo", "code", code); a.keys() != "errcode errmsg userid" {
			t.Error(a.body)
		}
		o.flip("wecom-private-without-agentid", "error")
		o.as("wei", link).errorPage(t, 0, "该链接无法访问")
	})
	t.Run("privateinfo outside the visible range is an error page", func(t *testing.T) {
		o := newOffice(t)
		o.as("yuan", o.oauth(o.agent, "snsapi_privateinfo", site, "s"), "X-Simulator-Consent", "allow").errorPage(t, 0, "无权限访问")
	})
	t.Run("consent, and its memory", func(t *testing.T) {
		o := newOffice(t)
		link := o.oauth(o.agent, "snsapi_privateinfo", site, "s1")
		page := o.as("wei", link)
		page.page(t, "wecom-consent")
		answerPage := func(page answer, values url.Values) answer {
			values.Set("ticket", page.attributes("input", "value")[0])
			return o.do("POST", "/connect/oauth2/wecom-confirm", values.Encode(), map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
		}
		allowed := answerPage(page, url.Values{"answer": {"allow"}, "field": {"mobile", "gender"}})
		if back := allowed.back(t); back.Get("code") == "" || back.Get("state") != "s1" {
			t.Errorf("allowed: %v", back)
		}
		answerPage(page, url.Values{"answer": {"allow"}}).errorPage(t, 0, "页面已过期")
		if o.as("wei", link).back(t).Get("code") == "" { // remembered, with the fields that were ticked
			t.Error("asked again")
		}
		refused := answerPage(o.as("member-1", link), url.Values{"answer": {"deny"}}).back(t)
		if refused.Has("code") || refused.Get("state") != "s1" {
			t.Errorf("refused: %v", refused)
		}
		if again := o.as("member-1", link).back(t); again.Has("code") {
			t.Errorf("the refusal was forgotten: %v", again)
		}
		o.control("DELETE", "wecom/consents", nil)
		o.as("member-1", link).page(t, "wecom-consent")
		o.flip("wecom-refusal", "nothing")
		o.as("member-1", link, "X-Simulator-Consent", "deny").page(t, "refused")
		o.flip("wecom-consent-memory", "forgotten")
		o.as("member-2", link, "X-Simulator-Consent", "allow").back(t)
		o.as("member-2", link).page(t, "wecom-consent")
	})
	t.Run("nobody holds the phone", func(t *testing.T) {
		o := newOffice(t)
		a := o.get(o.oauth(o.agent, "snsapi_base", site, "s"))
		a.page(t, "chooser")
		if got := strings.Join(a.attributes("button", "data-person"), " "); got != "wei dai yuan lian ke guest" {
			t.Errorf("people %s", got)
		}
	})
	t.Run("callbacks that arrive twice", func(t *testing.T) {
		o := newOffice(t)
		for mode, same := range map[string]bool{"duplicate_callback": true, "two_codes": false} {
			o.fault(map[string]any{"path": "/connect/oauth2/authorize", "mode": mode})
			a := o.as("wei", o.oauth(o.agent, "snsapi_base", site, "s"))
			a.page(t, "visits")
			if links := a.attributes("a", "href"); len(links) != 2 || (links[0] == links[1]) != same {
				t.Errorf("%s: %v", mode, links)
			}
		}
	})
}

func TestWeCom7WebLogin(t *testing.T) {
	t.Run("scan and confirm", func(t *testing.T) {
		o := newOffice(t)
		link := o.webLink(o.agent, site, "web_login%40gyoss9")
		first := o.get(link)
		first.page(t, "wecom-web")
		form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
		values := url.Values{"path": {first.attributes("input", "value")[0]}, "query": {first.attributes("input", "value")[1]}, "person": {"wei"}}
		scanned := o.do("POST", "/wwlogin/person", values.Encode(), form)
		if scanned.status != 303 || scanned.header.Get("Location") != link {
			t.Fatalf("%d %s", scanned.status, scanned.header.Get("Location"))
		}
		confirm := o.as("wei", link)
		confirm.page(t, "scanned-by")
		back := o.do("POST", "/wwlogin/confirm", url.Values{"ticket": {confirm.attributes("input", "value")[0]}, "answer": {"allow"}}.Encode(), form).back(t)
		if back.Get("state") != "web_login@gyoss9" || back.Get("appid") != o.agent.AppID {
			t.Errorf("back %v", back)
		}
		if a := o.api(o.agent, "auth/getuserinfo", "code", back.Get("code")); a.body != `{"errcode":0,"errmsg":"ok","userid":"Wei"}` {
			t.Error(a.body)
		}
	})
	t.Run("every address it may have", func(t *testing.T) {
		o := newOffice(t)
		link := o.webLink(o.agent, site, "s")
		o.as("wei", "/wwlogin"+link, "X-Simulator-Consent", "allow").back(t)
		o.as("wei", link, "X-Simulator-Consent", "allow", "X-Forwarded-Host", "login.work.weixin.qq.com").back(t)
		old := strings.Replace(link, "/wwlogin/sso/login?login_type=CorpApp&", "/wwopen/sso/qrConnect?", 1)
		o.as("wei", old, "X-Simulator-Consent", "allow").back(t)
	})
	t.Run("a refusal has a state and no code, or says nothing", func(t *testing.T) {
		o := newOffice(t)
		if back := o.as("wei", o.webLink(o.agent, site, "s"), "X-Simulator-Consent", "deny").back(t); back.Encode() != "state=s" {
			t.Errorf("back %v", back)
		}
		o.flip("wecom-web-refusal", "nothing")
		o.as("wei", o.webLink(o.agent, site, "s"), "X-Simulator-Consent", "deny").page(t, "refused")
	})
	t.Run("who is not in the visible range gets a message and no redirect", func(t *testing.T) {
		o := newOffice(t)
		for _, name := range []string{"yuan", "lian", "ke", "guest", "alice"} {
			o.as(name, o.webLink(o.agent, site, "s"), "X-Simulator-Consent", "allow").errorPage(t, 0, "你无权限登录此应用")
		}
	})
	t.Run("the extra appid can be absent", func(t *testing.T) {
		o := newOffice(t)
		o.flip("wecom-web-appid", "absent")
		if back := o.as("wei", o.webLink(o.agent, site, "s"), "X-Simulator-Consent", "allow").back(t); back.Has("appid") {
			t.Errorf("back %v", back)
		}
	})
	t.Run("a login domain besides the trusted one", func(t *testing.T) {
		o := newOffice(t, onAgent(func(a *simulator.App) { a.LoginDomain = "pc.example.com:8443" }))
		o.as("wei", o.webLink(o.agent, "https://pc.example.com:8443/cb", "s"), "X-Simulator-Consent", "allow").back(t)
		o.as("wei", o.webLink(o.agent, "https://pc.example.com/cb", "s")).errorPage(t, 0, "redirect_uri需使用应用可信域名")
		o.as("wei", o.oauth(o.agent, "snsapi_base", "https://pc.example.com:8443/cb", "s")).back(t) // to uriconfirm
	})
	t.Run("bad links", func(t *testing.T) {
		o := newOffice(t)
		good := o.webLink(o.agent, site, "s")
		o.as("wei", strings.Replace(good, "CorpApp", "ServiceApp", 1)).errorPage(t, 0, "该链接无法访问")
		o.as("wei", strings.Replace(good, "&agentid=1000002", "", 1)).errorPage(t, 0, "该链接无法访问")
		o.as("wei", strings.Replace(good, "=1000002", "=7", 1)).errorPage(t, 0, "invalid agentid")
		o.as("wei", strings.Replace(good, o.agent.AppID, "ww0000000000000000", 1)).errorPage(t, 0, "该链接无法访问")
	})
}

func TestWeCom8WhoLoggedIn(t *testing.T) {
	o := newOffice(t)
	redeem := func(path, name, scope string) answer {
		t.Helper()
		return o.api(o.agent, path, "code", o.code(o.agent, name, scope))
	}
	t.Run("the new endpoint", func(t *testing.T) {
		for name, want := range map[string]string{
			"wei": "errcode errmsg userid", "dai": "errcode errmsg userid", "yuan": "errcode errmsg userid",
			"lian": "errcode errmsg userid", "ke": "errcode errmsg openid external_userid", "guest": "errcode errmsg openid",
			"member-42": "errcode errmsg userid", "anybody 人": "errcode errmsg openid",
		} {
			if a := redeem("auth/getuserinfo", name, "snsapi_base"); a.keys() != want {
				t.Errorf("%s: %s", name, a.body)
			}
		}
		if a := redeem("auth/getuserinfo", "wei", "snsapi_privateinfo"); a.keys() != "errcode errmsg userid user_ticket" {
			t.Error(a.body)
		}
		if a := redeem("auth/getuserinfo", "guest", "snsapi_privateinfo"); a.keys() != "errcode errmsg openid" {
			t.Error(a.body)
		}
	})
	t.Run("the old endpoint has capitals", func(t *testing.T) {
		for name, want := range map[string]string{
			"wei": "errcode errmsg UserId DeviceId", "guest": "errcode errmsg OpenId DeviceId", "ke": "errcode errmsg OpenId DeviceId external_userid",
		} {
			if a := redeem("user/getuserinfo", name, "snsapi_base"); a.keys() != want {
				t.Errorf("%s: %s", name, a.body)
			}
		}
		a := redeem("user/getuserinfo", "wei", "snsapi_privateinfo")
		if a.keys() != "errcode errmsg UserId DeviceId user_ticket expires_in" || fmt.Sprint(a.json(t)["expires_in"]) != "7200" {
			t.Error(a.body)
		}
	})
	t.Run("the shapes of the ids, as in people", func(t *testing.T) {
		for name, form := range map[string]string{
			"wei": `^Wei$`, "lian": `^ww[0-9a-f]{16}/Lian$`, "guest": `^o[A-Za-z0-9_-]{27}$`, "member-7": `^Member-7$`, "member-张": `^U[0-9a-f]{15}$`,
		} {
			v := o.who(name, "snsapi_base")
			id, _ := v["userid"].(string)
			if id == "" {
				id = v["openid"].(string)
			}
			if known, _ := o.account(name, o.agent.AppID); id != known || !regexp.MustCompile(form).MatchString(id) {
				t.Errorf("%s is %s, in people %s", name, id, known)
			}
		}
		if id := o.who("ke", "snsapi_base")["external_userid"]; !regexp.MustCompile(`^wm[0-9a-f]{30}$`).MatchString(fmt.Sprint(id)) {
			t.Errorf("external_userid %v", id)
		}
	})
	t.Run("codes do not cross between logins and mini programs", func(t *testing.T) {
		js := o.jsCode(o.agent.AppID, "wei")
		o.api(o.agent, "auth/getuserinfo", "code", js).errcode(t, 40029)
		o.session(o.agent, js).errcode(t, 0)
		o.session(o.agent, o.code(o.agent, "wei", "snsapi_base")).errcode(t, 40029)
	})
	t.Run("the mini program", func(t *testing.T) {
		a := o.session(o.agent, o.jsCode(o.agent.AppID, "wei"))
		v := a.json(t)
		key, err := base64.StdEncoding.DecodeString(fmt.Sprint(v["session_key"]))
		if a.keys() != "corpid userid session_key deviceid errcode errmsg" || v["corpid"] != o.agent.AppID || v["userid"] != "Wei" ||
			err != nil || len(key) != 16 {
			t.Error(a.body)
		}
		o.session(o.agent, "nonsense").errcode(t, 40029)
		o.session(o.second, o.jsCode(o.agent.AppID, "wei")).errcode(t, 48002)
		o.flip("wecom-js-unlinked-app", "40014")
		o.session(o.second, o.jsCode(o.agent.AppID, "wei")).errcode(t, 40014)
		other := o.session(o.agent, o.jsCode(o.foreign.AppID, "wei")).json(t) // one mini program of two corps
		if other["corpid"] != o.foreign.AppID {
			t.Errorf("corpid %v", other["corpid"])
		}
		o.flip("wecom-js-userid", "encrypted")
		if id := o.session(o.agent, o.jsCode(o.agent.AppID, "wei")).json(t)["userid"]; !strings.HasPrefix(fmt.Sprint(id), "wo") {
			t.Errorf("encrypted userid %v", id)
		}
		if a := o.do("POST", "/_simulator/js-code", `{"person":"guest","appid":"`+o.agent.AppID+`"}`, nil); a.status != 400 {
			t.Errorf("a stranger's wx.qy.login: %d %s", a.status, a.body)
		}
	})
}

func TestWeCom9Details(t *testing.T) {
	o := newOffice(t, onAgent(func(a *simulator.App) { a.PrivateFields = []string{"gender", "avatar", "mobile", "email"} }))
	ticket := o.who("wei", "snsapi_privateinfo")["user_ticket"]
	a := o.detail(o.agent, ticket)
	v := a.json(t)
	if a.keys() != "errcode errmsg userid gender avatar mobile email" || v["userid"] != "Wei" || v["gender"] != "1" ||
		!regexp.MustCompile(`^138\d{8}$`).MatchString(fmt.Sprint(v["mobile"])) {
		t.Error(a.body)
	}
	avatar := fmt.Sprint(v["avatar"])
	if pic := o.get(strings.TrimPrefix(avatar, o.url)); pic.header.Get("Content-Type") != "image/png" || !strings.HasSuffix(avatar, "/0") {
		t.Errorf("avatar %s: %d", avatar, pic.status)
	}
	if small := o.get(strings.TrimPrefix(avatar[:len(avatar)-1]+"100", o.url)); small.status != 200 {
		t.Errorf("small avatar: %d", small.status)
	}
	o.detail(o.agent, ticket).errcode(t, 0) // again, within its life
	if a := o.do("POST", o.apiPath(o.agent, "user/getuserdetail"), fmt.Sprintf(`{"user_ticket":%q}`, ticket), nil); a.json(t)["userid"] != "Wei" {
		t.Errorf("the old path: %s", a.body)
	}
	t.Run("what the member did not tick", func(t *testing.T) {
		page := o.as("member-1", o.oauth(o.agent, "snsapi_privateinfo", site, "s"))
		form := url.Values{"ticket": {page.attributes("input", "value")[0]}, "answer": {"allow"}, "field": {"mobile", "address"}}
		code := o.do("POST", "/connect/oauth2/wecom-confirm", form.Encode(), map[string]string{"Content-Type": "application/x-www-form-urlencoded"}).back(t).Get("code")
		ticket := o.api(o.agent, "auth/getuserinfo", "code", code).json(t)["user_ticket"]
		a := o.detail(o.agent, ticket)
		v := a.json(t)
		if a.keys() != "errcode errmsg userid gender avatar mobile" || v["gender"] != "0" || !strings.HasSuffix(fmt.Sprint(v["avatar"]), "/grey/0") {
			t.Error(a.body)
		}
	})
	t.Run("refusals", func(t *testing.T) {
		o.detail(o.agent, "nonsense").errcode(t, 84015)
		o.detail(o.second, ticket).errcode(t, 84015)
		o.detail(o.agent, "").errcode(t, 40063)
		o.do("POST", o.apiPath(o.agent, "auth/getuserdetail"), "", nil).errcode(t, 40058)
		o.api(o.agent, "auth/getuserdetail").errcode(t, 40058)
		o.control("POST", "wecom/members", map[string]any{"person": "wei", "appid": o.agent.AppID, "visible": false})
		o.detail(o.agent, ticket).errcode(t, 60011)
	})
	t.Run("older apps get the name", func(t *testing.T) {
		o := newOffice(t, onAgent(func(a *simulator.App) { a.OldApp = true }))
		if v := o.detail(o.agent, o.who("wei", "snsapi_privateinfo")["user_ticket"]).json(t); v["name"] != "魏小明" {
			t.Errorf("%v", v)
		}
	})
}

func TestWeCom10Directory(t *testing.T) {
	o := newOffice(t)
	get := func(userid string) answer { t.Helper(); return o.api(o.agent, "user/get", "userid", userid) }
	member := func(person string, change map[string]any) {
		t.Helper()
		change["person"], change["appid"] = person, o.agent.AppID
		o.control("POST", "wecom/members", change)
	}
	private := []string{"avatar", "thumb_avatar", "gender", "mobile", "email", "biz_mail", "qr_code", "address"}
	t.Run("a new app and an old one", func(t *testing.T) {
		v := get("wEi").json(t) // without regard to case; the answer has the stored one
		if v["userid"] != "Wei" || v["name"] != "魏小明" || fmt.Sprint(v["department"]) != "[2 3]" || fmt.Sprint(v["status"]) != "1" ||
			fmt.Sprint(v["main_department"]) != "2" || v["position"] != "后台工程师" {
			t.Errorf("%v", v)
		}
		for choice, present := range map[string]bool{"old": true, "new": false} {
			o.flip("wecom-app-age", choice)
			v := get("Wei").json(t)
			for _, name := range private {
				if _, has := v[name]; has != present {
					t.Errorf("%s app: %s present %v", choice, name, has)
				}
			}
		}
		o.flip("wecom-app-age", "new")
		o.flip("wecom-withheld-fields", "empty")
		v = get("Wei").json(t)
		for _, name := range private {
			if v[name] != "" {
				t.Errorf("%s withheld: %v", name, v[name])
			}
		}
		o.flip("wecom-app-age", "configured")
	})
	t.Run("statuses", func(t *testing.T) {
		if v := get("dai").json(t); fmt.Sprint(v["status"]) != "2" {
			t.Errorf("disabled: %v", v)
		}
		member("member-1", map[string]any{"status": "not-activated"})
		if v := get("Member-1").json(t); fmt.Sprint(v["status"]) != "4" {
			t.Errorf("not activated: %v", v)
		}
		member("member-1", map[string]any{"status": "left"})
		get("Member-1").errcode(t, 60111)
		o.flip("wecom-left-member", "status-5")
		if v := get("Member-1").json(t); fmt.Sprint(v["status"]) != "5" {
			t.Errorf("left: %v", v)
		}
		member("member-1", map[string]any{"status": "deleted"})
		get("Member-1").errcode(t, 60111)
		if v := o.who("member-1", "snsapi_base"); v["userid"] != nil || v["openid"] == nil {
			t.Errorf("a deleted member logs in as %v", v)
		}
		member("member-1", map[string]any{"status": "active"})
		if v := get("Member-1").json(t); fmt.Sprint(v["status"]) != "1" {
			t.Errorf("back again: %v", v)
		}
	})
	t.Run("a new userid", func(t *testing.T) {
		member("member-2", map[string]any{"userid": "Renamed_2"})
		get("Member-2").errcode(t, 60111)
		if v := get("renamed_2").json(t); v["userid"] != "Renamed_2" {
			t.Errorf("%v", v)
		}
		if v := o.who("member-2", "snsapi_base"); v["userid"] != "Renamed_2" {
			t.Errorf("%v", v)
		}
	})
	t.Run("refusals", func(t *testing.T) {
		get("").errcode(t, 41009)
		get("-x").errcode(t, 40003)
		get("a b").errcode(t, 40003)
		get("nobody").errcode(t, 60111)
		get("guest").errcode(t, 60111)
		get("Yuan").errcode(t, 60011)
		o.flip("wecom-invisible-member", "60111")
		a := get("Yuan")
		a.errcode(t, 60111)
		if !strings.HasSuffix(a.body, `,"department":[],"order":[],"is_leader_in_dept":[],"direct_leader":[]}`) {
			t.Error(a.body)
		}
	})
	t.Run("another corp has its own members", func(t *testing.T) {
		member("wei", map[string]any{"status": "disabled"})
		if v := o.api(o.foreign, "user/get", "userid", "Wei").json(t); fmt.Sprint(v["status"]) != "1" {
			t.Errorf("%v", v)
		}
	})
}
