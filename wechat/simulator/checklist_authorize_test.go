package simulator_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"wxbridge/wechat/simulator"
)

func TestChecklist06_LinksThatWeChatRefuses(t *testing.T) {
	website := simulator.App{Provider: "website", AppID: "wx1111111111111111", Secret: "s", OpenAccount: "default"}
	world := func(t *testing.T, switches ...string) *world {
		w := newWorld(t, func(c *simulator.Config) {
			c.Apps = append(c.Apps, website)
			c.Apps[0].RedirectDomain = "www.example.com"
		})
		for i := 0; i < len(switches); i += 2 {
			w.flip(switches[i], switches[i+1])
		}
		return w
	}
	const (
		id       = "APPID" // stands for the official account's
		redirect = "redirect_uri=http%3A%2F%2Fwww.example.com%3A8080%2Fcallback%3Fa%3D1"
		good     = "appid=" + id + "&" + redirect + "&response_type=code&scope=snsapi_base&state=s"
	)
	cases := []struct {
		name, query string
		code        int
		text        string
		switches    []string
	}{
		{"no appid", strings.Replace(good, id, "", 1), 10012, "appid不能为空", nil},
		{"no parameters", "", 10012, "appid不能为空", nil},
		{"empty redirect_uri", "appid=" + id + "&redirect_uri=&response_type=code&scope=snsapi_base", 10011, "redirect_uri不能为空", nil},
		{"empty scope", strings.Replace(good, "snsapi_base", "", 1), 10010, "scope不能为空", nil},
		{"empty state, by switch", strings.TrimSuffix(good, "s"), 10013, "state不能为空", []string{"empty-state", "10013"}},
		{"no state, by switch", strings.TrimSuffix(good, "&state=s"), 10013, "state不能为空", []string{"empty-state", "10013"}},
		{"another host", strings.Replace(good, "www.example.com", "evil.example.com", 1), 10003, "redirect_uri域名与后台配置不一致", nil},
		{"the parent domain", strings.Replace(good, "www.example.com", "example.com", 1), 10003, "redirect_uri域名与后台配置不一致", nil},
		{"a sub-domain", strings.Replace(good, "www.example.com", "a.www.example.com", 1), 10003, "redirect_uri域名与后台配置不一致", nil},
		{"the host as user name", strings.Replace(good, "www.example.com", "www.example.com@evil.com", 1), 10003, "redirect_uri域名与后台配置不一致", nil},
		{"another scheme", strings.Replace(good, "http%3A", "javascript%3A", 1), 10003, "redirect_uri域名与后台配置不一致", nil},
		{"a path", strings.Replace(good, "http%3A%2F%2Fwww.example.com%3A8080", "", 1), 10003, "redirect_uri域名与后台配置不一致", nil},
		{"a scope of website apps", strings.Replace(good, "snsapi_base", "snsapi_login", 1), 10005, "此公众号并没有这些scope的权限", nil},
		{"a website app", strings.Replace(good, id, website.AppID, 1), 10016, "不支持微信开放平台的Appid", nil},
		{"an unknown appid", strings.Replace(good, id, "wx0000000000000000", 1), 40013, "appid 参数错误", nil},
		{"response_type token", strings.Replace(good, "=code", "=token", 1), 0, "该链接无法访问", nil},
		{"no response_type", strings.Replace(good, "&response_type=code", "", 1), 0, "该链接无法访问", nil},
		{"scope first", "scope=snsapi_base&appid=" + id + "&" + redirect + "&response_type=code&state=s", 0, "该链接无法访问", nil},
		{"response_type first", "response_type=code&appid=" + id + "&" + redirect + "&scope=snsapi_base&state=s", 0, "该链接无法访问", nil},
		{"sorted with forcePopup", "appid=" + id + "&forcePopup=true&" + redirect + "&response_type=code&scope=snsapi_base&state=s", 0, "该链接无法访问", nil},
		{"scope before response_type, strict", "appid=" + id + "&" + redirect + "&scope=snsapi_base&response_type=code&state=s", 0, "该链接无法访问", []string{"parameter-order", "strict"}},
		{"extra before state, strict", "appid=" + id + "&" + redirect + "&response_type=code&scope=snsapi_base&connect_redirect=1&state=s", 0, "该链接无法访问", []string{"parameter-order", "strict"}},
		{"state of 129 bytes", good + strings.Repeat("s", 128), 0, "该链接无法访问", nil},
		{"a broken escape", good + "&x=%zz", 0, "该链接无法访问", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := world(t, c.switches...)
			a := w.as("alice", "/connect/oauth2/authorize?"+strings.Replace(c.query, id, w.official.AppID, 1))
			a.errorPage(t, c.code, c.text)
			if a.header.Get("Location") != "" {
				t.Error("an error was sent to the site")
			}
		})
	}
	t.Run("a mini program's appid", func(t *testing.T) {
		w := world(t)
		w.as("alice", "/connect/oauth2/authorize?"+strings.Replace(good, id, w.mini.AppID, 1)).errorPage(t, 10005, "scope")
	})
	accepted := []struct {
		name, query string
		switches    []string
	}{
		{"the documented link", good, nil},
		{"the documented link, strict", good, []string{"parameter-order", "strict"}},
		{"without state, strict", strings.TrimSuffix(good, "&state=s"), []string{"parameter-order", "strict"}},
		{"extras after state, strict", good + "&forcePopup=true&connect_redirect=1", []string{"parameter-order", "strict"}},
		{"scope before response_type", "appid=" + id + "&" + redirect + "&scope=snsapi_base&response_type=code&connect_redirect=1&state=s", nil},
		{"another case of the host", strings.Replace(good, "www.example.com", "WWW.Example.com", 1), nil},
	}
	for _, c := range accepted {
		t.Run("goes through: "+c.name, func(t *testing.T) {
			w := world(t, c.switches...)
			a := w.as("alice", "/connect/oauth2/authorize?"+strings.Replace(c.query, id, w.official.AppID, 1))
			if q := a.back(t); q.Get("code") == "" || q.Get("a") != "1" {
				t.Errorf("sent to %s", a.header.Get("Location"))
			}
		})
	}
}

func TestChecklist06_TheWayBackKeepsQueryFragmentAndState(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ name, redirect, state, want string }{
		{"plain", "http://127.0.0.1/cb", "abc123", `^http://127\.0\.0\.1/cb\?code=0\w{31}&state=abc123$`},
		{"query", "http://127.0.0.1/cb?again=1", "s", `^http://127\.0\.0\.1/cb\?again=1&code=0\w{31}&state=s$`},
		{"fragment", "https://127.0.0.1:8443/#/route", "s", `^https://127\.0\.0\.1:8443/\?code=0\w{31}&state=s#/route$`},
		{"odd state", "http://127.0.0.1/cb", "a%3D%2F%3A", `&state=a%3D%2F%3A$`},
	} {
		a := w.as("alice", w.link(c.redirect, "snsapi_base", c.state))
		if got := a.header.Get("Location"); a.status != http.StatusFound || !regexp.MustCompile(c.want).MatchString(got) {
			t.Errorf("%s: %d %s", c.name, a.status, got)
		}
		if a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: the redirect may be cached", c.name)
		}
	}
}

func TestChecklist07_DuplicateCallbacks(t *testing.T) {
	for _, c := range []struct {
		mode      string
		sameCodes bool
	}{
		{"duplicate_callback", true}, {"late_callback", true}, {"concurrent_callback", true}, {"two_codes", false},
	} {
		for _, scope := range []string{"snsapi_base", "snsapi_userinfo"} {
			t.Run(c.mode+" "+scope, func(t *testing.T) {
				w := newWorld(t)
				w.fault(map[string]any{"path": "/connect/oauth2/authorize", "mode": c.mode})
				a := w.as("alice", w.link(site+"?x=1&y=2", scope, "state1"), "X-Simulator-Consent", "allow")
				a.page(t, "visits")
				visits := a.attributes("a data-callback", "href")
				if len(visits) != 2 {
					t.Fatalf("the page visits %q", visits)
				}
				first, second := mustQuery(t, visits[0]), mustQuery(t, visits[1])
				if first.Get("state") != "state1" || second.Get("state") != "state1" || first.Get("y") != "2" {
					t.Errorf("visits %q", visits)
				}
				if (first.Get("code") == second.Get("code")) != c.sameCodes {
					t.Errorf("codes %q and %q", first.Get("code"), second.Get("code"))
				}
				if w.exchange(first.Get("code")).json(t)["openid"] == nil {
					t.Error("the first code is no good")
				}
				if again := w.exchange(second.Get("code")); c.sameCodes {
					again.errcode(t, 40163)
				} else if again.json(t)["openid"] == nil {
					t.Error("the second code is no good")
				}
				w.as("alice", w.link(site, "snsapi_base", "s")).back(t) // the fault is over
			})
		}
	}
	t.Run("the fault waits for the tap on the consent sheet", func(t *testing.T) {
		w := newWorld(t)
		w.fault(map[string]any{"path": "/connect/oauth2/authorize", "mode": "two_codes"})
		w.get(w.link(site, "snsapi_userinfo", "s")).page(t, "chooser")
		sheet := w.as("bob", w.link(site, "snsapi_userinfo", "s"))
		sheet.page(t, "consent")
		w.tap(sheet, "allow").page(t, "visits")
	})
	t.Run("hostile draws A and B from its seed", func(t *testing.T) {
		draws := func() (modes []string) {
			w := newWorld(t, func(c *simulator.Config) { c.Hostile, c.Seed = true, 7 })
			if w.sim.Seed() != 7 {
				t.Errorf("seed %d", w.sim.Seed())
			}
			for range 40 {
				a := w.as("alice", w.link(site, "snsapi_base", "s"))
				modes = append(modes, strings.Join(a.attributes(`main id="visits"`, "data-mode"), ""))
			}
			return modes
		}
		modes := draws()
		for _, want := range []string{"", "duplicate_callback", "two_codes"} {
			if !slices.Contains(modes, want) {
				t.Errorf("%q is never drawn: %q", want, modes)
			}
		}
		if again := draws(); !slices.Equal(modes, again) {
			t.Error("the same seed draws differently")
		}
	})
}

func TestChecklist08_Refusals(t *testing.T) {
	ways := map[string]func(w *world) answer{
		"by header": func(w *world) answer {
			return w.as("bob", w.link(site, "snsapi_userinfo", "s1"), "X-Simulator-Consent", "deny")
		},
		"by tap": func(w *world) answer {
			return w.tap(w.as("bob", w.link(site, "snsapi_userinfo", "s1")), "deny")
		},
		"by habit": func(w *world) answer { return w.as("nora", w.link(site, "snsapi_userinfo", "s1")) },
	}
	for name, refuse := range ways {
		t.Run(name+": nothing", func(t *testing.T) {
			w := newWorld(t)
			w.flip("refusal", "nothing")
			refuse(w).page(t, "refused")
		})
		t.Run(name+": state alone", func(t *testing.T) {
			w := newWorld(t)
			w.flip("refusal", "state-only")
			if q := refuse(w).back(t); q.Has("code") || q.Get("state") != "s1" {
				t.Errorf("query %v", q)
			}
		})
		t.Run(name+": authdeny", func(t *testing.T) {
			w := newWorld(t)
			w.flip("refusal", "authdeny")
			if q := refuse(w).back(t); q.Get("code") != "authdeny" || q.Get("state") != "s1" {
				t.Errorf("query %v", q)
			}
		})
	}
	t.Run("untouched, the site is told nothing, except by nora", func(t *testing.T) {
		w := newWorld(t)
		ways["by header"](w).page(t, "refused")
		if q := ways["by habit"](w).back(t); q.Get("code") != "authdeny" {
			t.Errorf("query %v", q)
		}
	})
	t.Run("a header overrides nora's habit", func(t *testing.T) {
		w := newWorld(t)
		q := w.as("nora", w.link(site, "snsapi_userinfo", "s"), "X-Simulator-Consent", "allow").back(t)
		if w.exchange(q.Get("code")).json(t)["scope"] != "snsapi_userinfo" {
			t.Error("no grant")
		}
	})
	t.Run("nora is not asked for snsapi_base", func(t *testing.T) {
		w := newWorld(t)
		if code := w.as("nora", w.link(site, "snsapi_base", "s")).back(t).Get("code"); len(code) != 32 {
			t.Errorf("code %q", code)
		}
	})
	t.Run("a sheet is answered once", func(t *testing.T) {
		w := newWorld(t)
		sheet := w.as("bob", w.link(site, "snsapi_userinfo", "s"))
		w.tap(sheet, "allow").back(t)
		w.tap(sheet, "allow").errorPage(t, 0, "页面已过期")
		w.tap(sheet, "maybe").errorPage(t, 0, "操作有误")
	})
}

// tap answers the consent sheet as a browser without JavaScript does.
func (w *world) tap(sheet answer, choice string) answer {
	w.t.Helper()
	tickets := sheet.attributes(`input type="hidden" name="ticket"`, "value")
	if len(tickets) != 1 {
		w.t.Fatalf("want one consent ticket in\n%s", sheet.body)
	}
	form := url.Values{"ticket": tickets, "answer": {choice}}.Encode()
	return w.do("POST", "/connect/oauth2/confirm", form, map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
}

func TestChecklist09_SilentCases(t *testing.T) {
	userinfo := func(w *world) string { return w.link(site, "snsapi_userinfo", "s") }
	t.Run("base is always silent", func(t *testing.T) {
		w := newWorld(t)
		w.as("stranger-1", w.link(site, "snsapi_base", "s")).back(t)
	})
	t.Run("userinfo asks, with buttons that need no script", func(t *testing.T) {
		w := newWorld(t)
		for _, name := range []string{"alice", "bob", "stranger-1"} {
			sheet := w.as(name, userinfo(w))
			sheet.page(t, "allow")
			sheet.page(t, "deny")
			if w.exchange(w.tap(sheet, "allow").back(t).Get("code")).json(t)["scope"] != "snsapi_userinfo" {
				t.Errorf("%s got no token", name)
			}
		}
	})
	for _, entry := range []string{"menu", "chat"} {
		t.Run("a follower from the "+entry+" is not asked, whatever forcePopup says", func(t *testing.T) {
			w := newWorld(t)
			w.as("alice", userinfo(w)+"&forcePopup=true", "X-Simulator-Entry", entry).back(t)
			w.as("bob", userinfo(w), "X-Simulator-Entry", entry).page(t, "consent")
		})
	}
	t.Run("the entry cookie is spent by the first link", func(t *testing.T) {
		w := newWorld(t)
		a := w.as("alice", userinfo(w), "Cookie", "simulator_entry=menu")
		a.back(t)
		if got := a.header.Get("Set-Cookie"); !strings.HasPrefix(got, "simulator_entry=;") || !strings.Contains(got, "Max-Age=0") {
			t.Errorf("Set-Cookie %q", got)
		}
	})
	t.Run("a recent consent counts by switch, for its window, unless forcePopup", func(t *testing.T) {
		w := newWorld(t)
		w.granted("bob", "snsapi_userinfo")
		w.as("bob", userinfo(w)).page(t, "consent")
		w.flip("recent-consent", "on")
		w.as("bob", userinfo(w)).back(t)
		w.as("carol", userinfo(w)).page(t, "consent")
		w.as("bob", userinfo(w)+"&forcePopup=true").page(t, "consent")
		w.as("bob", userinfo(w), "X-Simulator-Consent", "deny").page(t, "refused")
		w.advance("31m")
		w.as("bob", userinfo(w)).page(t, "consent")
	})
}

func TestChecklist10_SnapshotUserInTheBrowsersOwnJar(t *testing.T) {
	w := newWorld(t)
	realOpenID, realUnionID := w.account("sunny", w.official.AppID)
	visit := func(extra ...string) map[string]any {
		a := w.as("sunny", w.link(site, "snsapi_userinfo", "s", extra...), "X-Simulator-Consent", "allow")
		return w.exchange(a.back(t).Get("code")).json(t)
	}

	base := w.exchange(w.granted("sunny", "snsapi_base")).json(t)
	if base["openid"] != realOpenID || base["is_snapshotuser"] != nil {
		t.Errorf("base entered snapshot mode: %v", base)
	}
	first, second := visit(), visit()
	if !strings.Contains(w.exchange(w.granted("sunny", "snsapi_userinfo")).body, `"is_snapshotuser":1}`) {
		t.Error("no number 1 as the last field")
	}
	for _, field := range []string{"openid", "unionid"} {
		if first[field] == second[field] || first[field] == realOpenID || first[field] == realUnionID || first[field] == nil {
			t.Errorf("%s: %v, then %v", field, first[field], second[field])
		}
	}
	info := w.bearer("/sns/userinfo", first)
	if v := info.json(t); v["nickname"] != "微信用户" || v["openid"] != first["openid"] || v["is_snapshotuser"] != nil {
		t.Errorf("userinfo %s", info.body)
	}
	grey := w.get(strings.TrimPrefix(info.json(t)["headimgurl"].(string), w.url))
	if grey.status != 200 {
		t.Errorf("the grey avatar: %d", grey.status)
	}

	t.Run("one virtual unionid, by switch", func(t *testing.T) {
		w.flip("snapshot-ids", "shared-unionid")
		a, b := visit(), visit()
		if a["openid"] == b["openid"] || a["unionid"] != b["unionid"] || a["unionid"] == realUnionID {
			t.Errorf("%v, %v", a, b)
		}
	})
	t.Run("real ids beside the flag, by switch", func(t *testing.T) {
		w.flip("snapshot-ids", "real-ids")
		if a := visit(); a["openid"] != realOpenID || a["unionid"] != realUnionID || a["is_snapshotuser"] == nil {
			t.Errorf("%v", a)
		}
		w.flip("snapshot-ids", "new-pair")
	})
	t.Run("the flag as text, by switch", func(t *testing.T) {
		w.flip("snapshot-flag", "string")
		if a := visit(); a["is_snapshotuser"] != "1" {
			t.Errorf("%v", a)
		}
	})
	t.Run("forceSnapShot puts anybody there, unless silent", func(t *testing.T) {
		w := newWorld(t)
		link := w.link(site, "snsapi_userinfo", "s", "forceSnapShot=true")
		if v := w.exchange(w.as("bob", link).back(t).Get("code")).json(t); v["is_snapshotuser"] == nil {
			t.Errorf("%v", v)
		}
		v := w.exchange(w.as("alice", link, "X-Simulator-Entry", "menu").back(t).Get("code")).json(t)
		if v["is_snapshotuser"] != nil {
			t.Errorf("a follower from the menu: %v", v)
		}
	})
	t.Run("the full-service button brings the sheet and the real person", func(t *testing.T) {
		link := w.link(site, "snsapi_userinfo", "s")
		sheet := w.as("sunny", link, "Cookie", "simulator_entry=full-service")
		sheet.page(t, "consent")
		v := w.exchange(w.tap(sheet, "allow").back(t).Get("code")).json(t)
		if v["openid"] != realOpenID || v["is_snapshotuser"] != nil {
			t.Errorf("%v", v)
		}
		a := w.as("sunny", w.link(site, "snsapi_base", "s"), "Cookie", "simulator_entry=full-service")
		if a.header.Get("Set-Cookie") != "" {
			t.Error("a base link used up the full-service cookie")
		}
	})
}

func TestChecklist10_SnapshotJarComesBackWithoutCookies(t *testing.T) {
	t.Run("the site's restart, and the way out", func(t *testing.T) {
		s := newLoginSite(t)
		w := newWorld(t)
		s.authorize = w.url + w.link(s.URL+"/callback?again=1", "snsapi_base", "again")
		w.fault(map[string]any{"path": "/connect/oauth2/authorize", "mode": "snapshot_jar"})
		w.as("bob", w.link(s.URL+"/callback", "snsapi_base", "base")).back(t) // the fault waits for userinfo
		a := w.as("bob", w.link(s.URL+"/callback", "snsapi_userinfo", "first"), "Cookie", "flow=first")
		a.page(t, "snapshot")

		// The site saw the callback without a cookie, restarted, and then had the snapshot's own cookie.
		seen := s.visits()
		if len(seen) != 2 || seen[0].cookie != "" || seen[0].state != "first" || seen[1].cookie != "restarted" || seen[1].state != "again" {
			t.Fatalf("the site saw %+v", seen)
		}
		for _, v := range seen {
			if token := w.exchange(v.code).json(t); token["is_snapshotuser"] == nil {
				t.Errorf("a code of the snapshot logs in a real person: %v", token)
			}
		}
		steps := a.attributes("li", "data-step")
		if want := []string{"/callback", "/connect/oauth2/authorize", "/callback", "/landed"}; !slices.Equal(steps, want) {
			t.Errorf("steps %q, want %q", steps, want)
		}
		if got := a.attributes("code", "data-cookie"); !slices.Equal(got, []string{"flow"}) {
			t.Errorf("cookies in the snapshot's jar %q", got)
		}
		if strings.Contains(a.body, seen[0].code) || len(a.header.Values("Set-Cookie")) != 0 {
			t.Error("the page gives away the code or the cookies")
		}
		if !strings.Contains(a.body, "该网页需获取个人信息才可使用完整服务") || !strings.Contains(a.body, "&lt;p id=landed&gt;landed&lt;/p&gt;") {
			t.Errorf("page\n%s", a.body)
		}

		// 使用完整服务: consent, then the first callback for real.
		button := a.attributes(`a class="button primary" id="full-service"`, "href")
		q := w.tap(w.get(button[0]), "allow").back(t)
		openid, _ := w.account("bob", w.official.AppID)
		token := w.exchange(q.Get("code")).json(t)
		if q.Get("state") != "first" || token["openid"] != openid || token["is_snapshotuser"] != nil {
			t.Errorf("full service came back with %v and %v", q, token)
		}
		w.get(button[0]).errorPage(t, 0, "页面已过期")
	})
	t.Run("a site that is down, loops or leads elsewhere is shown as that", func(t *testing.T) {
		s := newLoginSite(t)
		w := newWorld(t)
		for path, problem := range map[string]string{
			"http://127.0.0.1:9/down": "the site did not answer", s.URL + "/loop": "too many redirects", s.URL + "/away": "another host",
		} {
			w.fault(map[string]any{"path": "/connect/oauth2/authorize", "mode": "snapshot_jar"})
			a := w.as("bob", w.link(path, "snsapi_userinfo", "s"))
			a.page(t, "problem")
			if !strings.Contains(a.body, problem) {
				t.Errorf("%s: want %q in\n%s", path, problem, a.body)
			}
		}
	})
}

// loginSite is a site with a login: a callback without its cookie starts the login over.
type loginSite struct {
	*httptest.Server
	authorize string                    // where a callback without its cookie is sent
	start     func(scope string) string // where /start sends a browser, with a cookie

	mu   sync.Mutex
	seen []siteVisit
}

type siteVisit struct{ code, state, cookie string }

func newLoginSite(t *testing.T) *loginSite {
	s := &loginSite{}
	mux := http.NewServeMux()
	mux.HandleFunc("/start", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "flow", Value: "started", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.Redirect(w, r, s.start(r.FormValue("scope")), http.StatusFound)
	})
	mux.HandleFunc("/callback", s.callback)
	mux.HandleFunc("/landed", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<p id=landed>landed</p>")) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://other.test/", http.StatusFound)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *loginSite) callback(w http.ResponseWriter, r *http.Request) {
	v := siteVisit{code: r.FormValue("code"), state: r.FormValue("state")}
	if c, err := r.Cookie("flow"); err == nil {
		v.cookie = c.Value
	}
	s.mu.Lock()
	s.seen = append(s.seen, v)
	s.mu.Unlock()
	if v.cookie == "" {
		http.SetCookie(w, &http.Cookie{Name: "flow", Value: "restarted", Path: "/"})
		http.Redirect(w, r, s.authorize, http.StatusFound)
		return
	}
	http.Redirect(w, r, "/landed", http.StatusFound)
}

func (s *loginSite) visits() []siteVisit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func TestChecklist25_UserAgents(t *testing.T) {
	w := newWorld(t)
	link := w.link(site, "snsapi_base", "s")
	agents := simulator.UserAgents()
	if len(agents) < 8 {
		t.Fatalf("%d presets", len(agents))
	}
	for _, agent := range agents {
		t.Run(agent.Name, func(t *testing.T) {
			a := w.as("alice", link, "User-Agent", agent.Value)
			if strings.HasPrefix(agent.Name, "wecom") {
				a.errorPage(t, 0, "请在微信客户端打开链接")
				return
			}
			a.back(t)
			w.flip("outside-wechat", "refused")
			defer w.flip("outside-wechat", "allowed")
			w.as("alice", link, "User-Agent", agent.Value).back(t)
		})
	}
	t.Run("a desktop browser passes unless the switch says no", func(t *testing.T) {
		const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
		w.as("alice", link, "User-Agent", chrome).back(t)
		w.flip("outside-wechat", "refused")
		w.as("alice", link, "User-Agent", chrome).errorPage(t, 0, "请在微信客户端打开链接")
		w.as("alice", link, "User-Agent", chrome, "Cookie", "simulator_browser=wechat").back(t)
		w.as("alice", link, "User-Agent", agents[0].Value, "Cookie", "simulator_browser=wecom").errorPage(t, 0, "请在微信客户端打开链接")
	})
}

func mustQuery(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}
