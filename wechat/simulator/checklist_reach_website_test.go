package simulator_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func (w *world) qrconnect(changes ...string) string {
	q := []string{"appid=" + w.website.AppID, "redirect_uri=" + url.QueryEscape(site), "response_type=code", "scope=snsapi_login", "state=s"}
	return "/connect/qrconnect?" + strings.Join(append(q, changes...), "&")
}

func (w *world) websiteExchange(code string) map[string]any {
	w.t.Helper()
	return w.get("/sns/oauth2/access_token?" + url.Values{
		"appid": {w.website.AppID}, "secret": {w.website.Secret}, "code": {code}, "grant_type": {"authorization_code"},
	}.Encode()).json(w.t)
}

// waiting opens the page with the QR code and returns what the code says, and how the page learns of its end.
func (w *world) waiting(changes ...string) (says string, state func() map[string]any) {
	w.t.Helper()
	page := w.get(w.qrconnect(changes...))
	page.page(w.t, "qrconnect")
	uuid := page.attributes("<main", "data-uuid")[0]
	return page.attributes("<img", "data-says")[0], func() map[string]any { return w.get("/connect/l/qrconnect?uuid=" + uuid).json(w.t) }
}

func TestChecklist24_ScannedAndConfirmed(t *testing.T) {
	w := newWorld(t)
	page := w.get(w.qrconnect())
	says := page.attributes("<img", "data-says")[0]
	picture := w.get(page.attributes(`<img id="qrcode"`, "src")[0])
	if picture.status != http.StatusOK {
		t.Fatalf("picture: %d", picture.status)
	}
	t.Run("the picture says so", func(t *testing.T) {
		if got := readQR(t, picture.body); got != says {
			t.Errorf("%q, want %q", got, says)
		}
	})
	says, state := w.waiting()
	if got := state(); got["state"] != "waiting" || len(got) != 1 {
		t.Errorf("at first %v", got)
	}
	report := w.scan(map[string]any{"person": "bob", "url": says})
	if got := state(); report.Kind != "website" || report.Open != says || got["state"] != "scanned" || got["nickname"] != "Bob 鲍勃" || got["redirect"] != nil {
		t.Errorf("scanned: %+v, %v", report, got)
	}
	phone := w.as("bob", strings.TrimPrefix(says, w.url))
	phone.page(t, "qrconfirm")
	form := url.Values{"uuid": {phone.attributes(`<input type="hidden" name="uuid"`, "value")[0]}, "answer": {"allow"}}.Encode()
	header := map[string]string{"Content-Type": "application/x-www-form-urlencoded", "X-Simulator-Person": "bob"}
	w.do("POST", "/connect/confirm", form, header).page(t, "qrdone")
	got := state()
	callback, _ := url.Parse(fmt.Sprint(got["redirect"]))
	if got["state"] != "confirmed" || !strings.HasPrefix(callback.String(), site+"?code=") || callback.Query().Get("state") != "s" {
		t.Fatalf("confirmed: %v", got)
	}
	w.do("POST", "/connect/confirm", form, header).errorPage(t, 0, "二维码已过期")

	openid, unionid := w.account("bob", w.website.AppID)
	token := w.websiteExchange(callback.Query().Get("code"))
	if token["scope"] != "snsapi_login" || token["openid"] != openid || token["unionid"] != unionid || token["refresh_token"] == nil {
		t.Errorf("token %v", token)
	}
	if info := w.bearer("/sns/userinfo", token).json(t); info["nickname"] != "Bob 鲍勃" || info["unionid"] != unionid {
		t.Errorf("userinfo %v", info)
	}
	if officialOpenID, officialUnionID := w.account("bob", w.official.AppID); officialOpenID == openid || officialUnionID != unionid {
		t.Error("the same openid in two apps, or two unionids")
	}
	refreshed := w.get("/sns/oauth2/refresh_token?" + url.Values{"appid": {w.website.AppID}, "grant_type": {"refresh_token"}, "refresh_token": {fmt.Sprint(token["refresh_token"])}}.Encode()).json(t)
	if refreshed["access_token"] != token["access_token"] {
		t.Errorf("refresh %v", refreshed)
	}
}

func TestChecklist24_CodesLiveTenMinutes(t *testing.T) {
	w := newWorld(t, stoppedClock)
	code := func() string {
		return w.as("bob", w.qrconnect(), "X-Simulator-Consent", "allow").back(t).Get("code")
	}
	inTime, late := code(), code()
	w.advance("9m59s")
	if token := w.websiteExchange(inTime); token["openid"] == nil {
		t.Errorf("in time: %v", token)
	}
	if again := w.websiteExchange(inTime); fmt.Sprint(again["errcode"]) != "40163" {
		t.Errorf("twice: %v", again)
	}
	w.advance("1s")
	if token := w.websiteExchange(late); fmt.Sprint(token["errcode"]) != "40029" {
		t.Errorf("late: %v", token)
	}
	if got := fmt.Sprint(w.exchange(code()).json(t)["errcode"]); got != "40029" {
		t.Errorf("at another app: %s", got)
	}
	if got, err := w.sim.OAuthCode(w.website.AppID, "bob", "snsapi_login"); err != nil || w.websiteExchange(got)["openid"] == nil {
		t.Errorf("a code from Go: %q %v", got, err)
	}
}

func TestChecklist24_Refusal(t *testing.T) {
	for _, row := range []struct{ person, choice, redirect string }{
		{"bob", "nothing", ""}, {"bob", "state-only", site + "?state=s"}, {"bob", "authdeny", site + "?code=authdeny&state=s"},
		{"nora", "", site + "?code=authdeny&state=s"}, {"bob", "", ""},
	} {
		t.Run(row.person+" "+row.choice, func(t *testing.T) {
			w := newWorld(t)
			if row.choice != "" {
				w.flip("refusal", row.choice)
			}
			says, state := w.waiting()
			w.scan(map[string]any{"person": row.person, "url": says, "consent": "deny"})
			want := row.redirect
			if got := state(); got["state"] != "refused" || got["redirect"] != nil && got["redirect"] != want || got["redirect"] == nil && want != "" {
				t.Errorf("%v, want %s", got, want)
			}
			if report := w.scan(map[string]any{"person": row.person, "url": says}); report.Shown == "" || report.Open != "" {
				t.Errorf("scanned again: %+v", report)
			}
			a := w.as(row.person, w.qrconnect(), "X-Simulator-Consent", "deny")
			if a.header.Get("Location") != want {
				t.Errorf("at once: %s", a.header.Get("Location"))
			}
		})
	}
	t.Run("nora's phone refuses by itself", func(t *testing.T) {
		w := newWorld(t)
		says, state := w.waiting()
		w.as("nora", strings.TrimPrefix(says, w.url)).page(t, "refused")
		if got := state(); got["state"] != "refused" {
			t.Errorf("%v", got)
		}
	})
}

func TestChecklist24_LinksThatAreRefused(t *testing.T) {
	w := newWorld(t)
	good := w.qrconnect()
	w.get(good).page(t, "qrconnect")
	for _, row := range []struct {
		what, link string
		code       int
		text       string
	}{
		{"another domain", strings.Replace(good, "127.0.0.1", "evil.example", 1), 10003, "redirect_uri域名与后台配置不一致"},
		{"a sub-domain", strings.Replace(good, "127.0.0.1", "a.127.0.0.1", 1), 10003, "redirect_uri域名与后台配置不一致"},
		{"another scope", strings.Replace(good, "snsapi_login", "snsapi_userinfo", 1), 10005, "Scope 参数错误或没有 Scope 权限"},
		{"an official account", strings.Replace(good, w.website.AppID, w.official.AppID, 1), 10005, "Scope 参数错误或没有 Scope 权限"},
		{"an unknown app", strings.Replace(good, w.website.AppID, "wx0000000000000000", 1), 40013, "appid"},
		{"no appid", strings.Replace(good, w.website.AppID, "", 1), 10012, "appid不能为空"},
		{"no redirect_uri", strings.Replace(good, url.QueryEscape(site), "", 1), 10011, "redirect_uri不能为空"},
		{"no scope", strings.Replace(good, "snsapi_login", "", 1), 10010, "scope不能为空"},
		{"another response_type", strings.Replace(good, "type=code", "type=token", 1), 0, "该链接无法访问"},
		{"a long state", strings.Replace(good, "state=s", "state="+strings.Repeat("s", 129), 1), 0, "该链接无法访问"},
	} {
		t.Run(row.what, func(t *testing.T) { w.get(row.link).errorPage(t, row.code, row.text) })
	}
	t.Run("a fault", func(t *testing.T) {
		w.fault(map[string]any{"path": "/connect/qrconnect", "errcode": 10009})
		w.get(good).errorPage(t, 10009, "操作太频繁了")
	})
	t.Run("a website app on the account's page", func(t *testing.T) {
		w.as("bob", strings.Replace(w.link(site, "snsapi_base", "s"), w.official.AppID, w.website.AppID, 1)).errorPage(t, 10016, "")
	})
}

func TestChecklist24_ACodeToScanExpires(t *testing.T) {
	w := newWorld(t, stoppedClock)
	says, state := w.waiting()
	w.scan(map[string]any{"person": "bob", "url": says})
	w.advance("5m")
	if got := state(); got["state"] != "expired" {
		t.Errorf("%v", got)
	}
	if report := w.scan(map[string]any{"person": "bob", "url": says, "consent": "allow"}); report.Shown == "" || state()["redirect"] != nil {
		t.Errorf("%+v", report)
	}
	w.as("bob", strings.TrimPrefix(says, w.url)).errorPage(t, 0, "二维码已过期")
	w.as("bob", "/connect/confirm?uuid=none").errorPage(t, 0, "二维码已过期")
	if got := w.get("/connect/l/qrconnect?uuid=none").json(t)["state"]; got != "expired" {
		t.Error(got)
	}
	if got := w.get("/connect/qrcode/none").status; got != http.StatusNotFound {
		t.Error(got)
	}
}

func TestChecklist24_FastLoginIsOffered(t *testing.T) {
	w := newWorld(t)
	cookie := map[string]string{"Cookie": "simulator_person=alice", "Content-Type": "application/x-www-form-urlencoded"}
	open := func(changes ...string) (answer, string) {
		page := w.do("GET", w.qrconnect(changes...), "", cookie)
		return page, page.attributes("<main", "data-uuid")[0]
	}
	page, uuid := open()
	if strings.Contains(page.body, `id="fast-login"`) || w.do("POST", "/connect/qrconnect/fast", "uuid="+uuid, cookie).status != http.StatusForbidden {
		t.Error("offered without the switch")
	}
	w.flip("fast-login", "on")
	if page, _ := open("fast_login=0"); strings.Contains(page.body, `id="fast-login"`) {
		t.Error("offered in spite of fast_login=0")
	}
	page, uuid = open()
	if !strings.Contains(page.body, `id="fast-login"`) || !strings.Contains(page.body, "爱丽丝") {
		t.Error("not offered")
	}
	if got := w.do("POST", "/connect/qrconnect/fast", "uuid="+uuid, cookie).status; got != http.StatusNoContent {
		t.Errorf("the click: %d", got)
	}
	if got := w.get("/connect/l/qrconnect?uuid=" + uuid).json(t); got["state"] != "confirmed" || got["redirect"] == nil {
		t.Errorf("%v", got)
	}
}

func TestWebsiteLoginAsksWhoHoldsThePhone(t *testing.T) {
	w := newWorld(t)
	says, _ := w.waiting()
	chooser := w.get(strings.TrimPrefix(says, w.url))
	chooser.page(t, "chooser")
	form := url.Values{"person": {"bob"}, "page": {chooser.attributes(`<input type="hidden" name="page"`, "value")[0]}, "query": {chooser.attributes(`<input type="hidden" name="query"`, "value")[0]}}
	header := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	chosen := w.do("POST", "/connect/oauth2/person", form.Encode(), header)
	if to := chosen.header.Get("Location"); w.url+to != says {
		t.Errorf("back to %s, want %s", to, says)
	}
	form.Set("page", "https://evil.example/")
	if to := w.do("POST", "/connect/oauth2/person", form.Encode(), header).header.Get("Location"); !strings.HasPrefix(to, "/connect/oauth2/authorize?") {
		t.Errorf("led to %s", to)
	}
}
