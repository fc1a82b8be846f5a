package simulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"wxbridge/wechat/simulator"
)

// token asks cgi-bin/token, stable asks stable_token.
func (w *world) token(app simulator.App) answer {
	w.t.Helper()
	return w.get("/cgi-bin/token?" + url.Values{"grant_type": {"client_credential"}, "appid": {app.AppID}, "secret": {app.Secret}}.Encode())
}

func (w *world) stable(app simulator.App, force bool) answer {
	w.t.Helper()
	return w.do("POST", "/cgi-bin/stable_token", stableBody(app.AppID, app.Secret, force), nil)
}

func stableBody(appID, secret string, force bool) string {
	body, _ := json.Marshal(map[string]any{"grant_type": "client_credential", "appid": appID, "secret": secret, "force_refresh": force})
	return string(body)
}

// grantedToken reads a token answer.
func (a answer) grantedToken(t *testing.T) (token, expiresIn string) {
	t.Helper()
	v := a.json(t)
	if v["access_token"] == nil || len(v) != 2 {
		t.Fatalf("no token: %s", a.body)
	}
	return fmt.Sprint(v["access_token"]), fmt.Sprint(v["expires_in"])
}

// use calls an API with a token; the errcode is "0" if it takes it.
func (w *world) use(token string) string {
	w.t.Helper()
	if code := w.get("/cgi-bin/user/get?access_token=" + url.QueryEscape(token)).json(w.t)["errcode"]; code != nil {
		return fmt.Sprint(code)
	}
	return "0"
}

func (w *world) wantUse(what, token, errcode string) {
	w.t.Helper()
	if got := w.use(token); got != errcode {
		w.t.Errorf("%s: errcode %s, want %s", what, got, errcode)
	}
}

func TestChecklist13_EveryCallOfTokenRotatesAndTheOneBeforeLivesFiveMoreMinutes(t *testing.T) {
	w := newWorld(t, stoppedClock)
	first, life := w.token(w.official).grantedToken(t)
	second, _ := w.token(w.official).grantedToken(t)
	if first == second || life != "7200" || len(first) > 512 || !regexp.MustCompile(`^[0-9]+_[A-Za-z0-9_-]+$`).MatchString(first) {
		t.Errorf("tokens %q and %q, expires_in %s", first, second, life)
	}
	w.advance("4m59s")
	w.wantUse("the first within five minutes", first, "0")
	w.advance("1s")
	w.wantUse("the first after five minutes", first, "40001")
	w.wantUse("the second", second, "0")
	text := w.get("/cgi-bin/user/get?access_token="+first).errcode(t, 40001)
	const long = "invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r rid: "
	if !strings.HasPrefix(text, long) {
		t.Errorf("errmsg %q", text)
	}
	w.advance("1h54m59s")
	w.wantUse("the second at the end of its life", second, "0")
	w.advance("1s")
	w.wantUse("the second past its life", second, "42001")
	w.get("/cgi-bin/user/get?access_token="+second).errcode(t, 42001)
}

func TestChecklist13_TwoServersThatCallTokenInvalidateEachOther(t *testing.T) {
	w := newWorld(t, stoppedClock)
	production, _ := w.token(w.official).grantedToken(t)
	test, _ := w.token(w.official).grantedToken(t)
	w.wantUse("production's token at first", production, "0")
	w.advance("5m")
	w.wantUse("production's token", production, "40001")
	w.token(w.official)
	w.advance("5m")
	w.wantUse("the test system's, after production asked again", test, "40001")
}

func TestChecklist13_StableTokenStaysAndCountsDownButNeverBelow300(t *testing.T) {
	w := newWorld(t, stoppedClock)
	first, life := w.stable(w.official, false).grantedToken(t)
	if life != "7200" {
		t.Errorf("expires_in %s", life)
	}
	for _, step := range []struct{ advance, life string }{{"1000s", "6200"}, {"5899s", "301"}, {"1s", "300"}} {
		w.advance(step.advance)
		if token, life := w.stable(w.official, false).grantedToken(t); token != first || life != step.life {
			t.Errorf("after %s: another token %t, expires_in %s, want %s", step.advance, token != first, life, step.life)
		}
	}
	w.advance("1s")
	second, life := w.stable(w.official, false).grantedToken(t)
	if second == first || life != "7200" {
		t.Errorf("in the last five minutes: the same token %t, expires_in %s", second == first, life)
	}
	w.wantUse("the old one beside the new one", first, "0")
	w.advance("298s")
	w.wantUse("the old one to its end", first, "0")
	w.advance("1s")
	w.wantUse("the old one after its end", first, "42001")
	w.wantUse("the new one", second, "0")
}

func TestChecklist13_ForceRefresh(t *testing.T) {
	t.Run("the old token lives five more minutes", func(t *testing.T) {
		w := newWorld(t, stoppedClock)
		old, _ := w.stable(w.official, false).grantedToken(t)
		fresh, life := w.stable(w.official, true).grantedToken(t)
		if fresh == old || life != "7200" {
			t.Errorf("the same token %t, expires_in %s", fresh == old, life)
		}
		w.advance("299s")
		w.wantUse("old", old, "0")
		w.advance("1s")
		w.wantUse("old", old, "40001")
		w.wantUse("fresh", fresh, "0")
	})
	t.Run("or dies at once, by switch", func(t *testing.T) {
		w := newWorld(t, stoppedClock)
		w.flip("force-refresh", "dies-at-once")
		old, _ := w.stable(w.official, false).grantedToken(t)
		fresh, _ := w.stable(w.official, true).grantedToken(t)
		w.wantUse("old", old, "40001")
		w.wantUse("fresh", fresh, "0")
	})
	t.Run("twice within 30 seconds it refreshes once", func(t *testing.T) {
		w := newWorld(t, stoppedClock)
		first, _ := w.stable(w.official, true).grantedToken(t)
		w.advance("29s")
		if again, life := w.stable(w.official, true).grantedToken(t); again != first || life != "7171" {
			t.Errorf("another token %t, expires_in %s", again != first, life)
		}
		w.advance("1s")
		if later, _ := w.stable(w.official, true).grantedToken(t); later == first {
			t.Error("the same token after 30 seconds")
		}
	})
	t.Run("two forced calls kill a leaked token at once", func(t *testing.T) {
		w := newWorld(t, stoppedClock)
		leaked, _ := w.stable(w.official, false).grantedToken(t)
		between, _ := w.stable(w.official, true).grantedToken(t)
		w.advance("30s")
		w.wantUse("leaked", leaked, "0")
		w.stable(w.official, true)
		w.wantUse("leaked", leaked, "40001")
		w.wantUse("between", between, "0")
	})
	t.Run("20 times a day", func(t *testing.T) {
		w := newWorld(t, stoppedClock)
		for range 20 {
			w.stable(w.official, true).grantedToken(t)
			w.advance("30s")
		}
		w.stable(w.official, true).errcode(t, 45009)
		current, _ := w.stable(w.official, false).grantedToken(t)
		w.wantUse("the current one", current, "0")
		w.advance("24h")
		w.stable(w.official, true).grantedToken(t)
	})
}

func TestChecklist13_TheTwoEndpointsAreIsolated(t *testing.T) {
	w := newWorld(t, stoppedClock)
	plain, _ := w.token(w.official).grantedToken(t)
	stable, _ := w.stable(w.official, false).grantedToken(t)
	for range 3 {
		w.token(w.official)
	}
	w.advance("6m")
	w.wantUse("stable, after calls of token", stable, "0")
	plain2, _ := w.token(w.official).grantedToken(t)
	w.flip("force-refresh", "dies-at-once")
	w.stable(w.official, true)
	w.wantUse("stable, forced", stable, "40001")
	w.wantUse("plain, after a forced call", plain2, "0")
	w.wantUse("plain, rotated", plain, "40001")
	t.Run("and so are two apps", func(t *testing.T) {
		mine, _ := w.token(w.official).grantedToken(t)
		w.token(w.mini)
		w.advance("5m")
		w.wantUse("the official account's", mine, "0")
		minis, _ := w.stable(w.mini, false).grantedToken(t)
		w.wantUse("a mini program's token on the official account's API", minis, "48001")
	})
}

func TestChecklist13_TokensThatWereNeverGiven(t *testing.T) {
	w := newWorld(t, stoppedClock)
	sns := fmt.Sprint(w.exchange(w.granted("alice", "snsapi_userinfo")).json(t)["access_token"])
	w.wantUse("none", "", "41001")
	w.wantUse("nonsense", "hello", "40014")
	w.wantUse("a made-up one", "84_"+strings.Repeat("x", 136), "40001")
	w.wantUse("a person's token", sns, "40001")
}

func TestChecklist14_QuotasWhitelistAndFrozenSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		name, choice string
		errcode      int
		text         string // of errmsg, up to the rid
	}{
		"day":    {"day-quota", "exhausted", 45009, "reach max api daily quota limit"},
		"minute": {"minute-quota", "exhausted", 45011, "api minute-quota reach limit mustslower retry next minute"},
		"ip":     {"ip-whitelist", "not-listed", 40164, "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist"},
		"frozen": {"app-secret", "frozen", 40243, "appsecret is frozen"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.flip(c.name, c.choice)
			form := regexp.MustCompile("^" + regexp.QuoteMeta(c.text) + ` rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$`)
			for _, a := range []answer{w.token(w.official), w.stable(w.official, false)} {
				if text := a.errcode(t, c.errcode); !form.MatchString(text) {
					t.Errorf("errmsg %q", text)
				}
			}
		})
	}
	t.Run("mini programs need no whitelist, unless they asked for one", func(t *testing.T) {
		w := newWorld(t)
		w.flip("ip-whitelist", "not-listed")
		w.token(w.mini).grantedToken(t)
		w.flip("ip-whitelist", "not-listed-anywhere")
		w.token(w.mini).errcode(t, 40164)
	})
	t.Run("calls are counted by app, path and day", func(t *testing.T) {
		w := newWorld(t)
		w.flip("day-quota", "test-account")
		for range 200 {
			w.token(w.official)
		}
		w.token(w.official).errcode(t, 45009)
		w.token(w.mini).grantedToken(t)
		w.stable(w.official, false).grantedToken(t)
		w.advance("24h")
		w.token(w.official).grantedToken(t)
	})
	t.Run("a new account has 2000 a day", func(t *testing.T) {
		w := newWorld(t)
		for range 2000 {
			w.token(w.official)
		}
		w.token(w.official).errcode(t, 45009)
		w.flip("day-quota", "unlimited")
		w.token(w.official).grantedToken(t)
	})
}

func TestChecklist14_FaultsOnCgiBin(t *testing.T) {
	path := "/cgi-bin/token"
	t.Run("a burst of -1", func(t *testing.T) {
		w := newWorld(t)
		w.fault(map[string]any{"path": path, "errcode": -1, "times": 3})
		for range 3 {
			if text := w.token(w.official).errcode(t, -1); !strings.HasPrefix(text, "system error rid: ") {
				t.Errorf("errmsg %q", text)
			}
		}
		w.token(w.official).grantedToken(t)
	})
	t.Run("any code of the token endpoints", func(t *testing.T) {
		w := newWorld(t)
		for _, code := range []int{89501, 89503, 89506, 89507, 50002} {
			w.fault(map[string]any{"path": path, "errcode": code})
			w.token(w.official).errcode(t, code)
		}
	})
	t.Run("latency", func(t *testing.T) {
		w := newWorld(t)
		w.fault(map[string]any{"path": path, "latency_ms": 1})
		w.token(w.official).grantedToken(t)
	})
	t.Run("resets", func(t *testing.T) {
		w := newWorld(t)
		w.fault(map[string]any{"path": path, "mode": "reset"})
		if a, err := w.try("GET", path, "", nil); err == nil {
			t.Errorf("an answer: %+v", a)
		}
	})
	t.Run("a gateway's page", func(t *testing.T) {
		w := newWorld(t)
		w.fault(map[string]any{"path": path, "mode": "html502"})
		if a := w.token(w.official); a.status != http.StatusBadGateway || !strings.HasPrefix(a.body, "<html>") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("one stale token, then none", func(t *testing.T) {
		w := newWorld(t)
		token, _ := w.stable(w.official, false).grantedToken(t)
		w.fault(map[string]any{"path": "/cgi-bin/user/get", "errcode": 40001})
		w.wantUse("first", token, "40001")
		w.wantUse("second", token, "0")
	})
}

// TestAppTokenChecksComeInOrder: appid before everything, then the secret (item 4), with cgi-bin's wording (item 2).
func TestAppTokenChecksComeInOrder(t *testing.T) {
	w := newWorld(t)
	id, secret := w.official.AppID, w.official.Secret
	const rid = ` rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$`
	for _, c := range []struct {
		name, appid, secret, grant string
		errcode                    int
		text                       string
	}{
		{"nothing", "", "", "", 41002, `^appid missing`},
		{"an unknown appid, without grant_type", "wx0000000000000000", "", "", 40013, `^invalid appid`},
		{"no secret, without grant_type", id, "", "", 41004, `^appsecret missing`},
		{"a wrong secret, without grant_type", id, "x", "", 40125, `^invalid appsecret, view more at http://t.cn/RAEkdVq hint: \[[\w-]{16}\]`},
		{"another app's secret", id, w.mini.Secret, "client_credential", 40125, `^invalid appsecret, view more at .*\]`},
		{"a wrong grant_type", id, secret, "authorization_code", 40002, `^invalid grant_type`},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := url.Values{"appid": {c.appid}, "secret": {c.secret}, "grant_type": {c.grant}}
			body, _ := json.Marshal(map[string]string{"appid": c.appid, "secret": c.secret, "grant_type": c.grant})
			for _, a := range []answer{w.get("/cgi-bin/token?" + q.Encode()), w.do("POST", "/cgi-bin/stable_token", string(body), nil)} {
				if text := a.errcode(t, c.errcode); !regexp.MustCompile(c.text + rid).MatchString(text) {
					t.Errorf("errmsg %q", text)
				}
				if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json; encoding=utf-8" {
					t.Errorf("status %d, content type %q", a.status, a.header.Get("Content-Type"))
				}
			}
		})
	}
	t.Run("bodies of stable_token", func(t *testing.T) {
		w.do("GET", "/cgi-bin/stable_token?"+url.Values{"appid": {id}, "secret": {secret}, "grant_type": {"client_credential"}}.Encode(), "", nil).errcode(t, 43002)
		w.do("POST", "/cgi-bin/token?appid="+id, "", nil).errcode(t, 43001)
		w.do("POST", "/cgi-bin/stable_token", "", nil).errcode(t, 44002)
		w.do("POST", "/cgi-bin/stable_token", "appid="+id, nil).errcode(t, 47001)
		w.do("POST", "/cgi-bin/stable_token", `{"force_refresh":"true"}`, nil).errcode(t, 47001)
		w.do("POST", "/cgi-bin/stable_token", `"`+strings.Repeat("x", 1<<20)+`"`, nil).errcode(t, 47001)
		w.do("POST", "/cgi-bin/stable_token", stableBody(id, secret, false), map[string]string{"Content-Type": "text/plain"}).grantedToken(t)
	})
	t.Run("a wrong secret is 40001 by switch", func(t *testing.T) {
		w.flip("wrong-secret", "40001")
		w.get("/cgi-bin/token?grant_type=client_credential&secret=x&appid="+id).errcode(t, 40001)
	})
	w.get("/cgi-bin/nothing?access_token=x").errcode(t, 40066)
}

func TestChecklist16_FollowersAndOthers(t *testing.T) {
	w := newWorld(t)
	token, _ := w.stable(w.official, false).grantedToken(t)
	info := func(openid string) answer {
		return w.get("/cgi-bin/user/info?" + url.Values{"access_token": {token}, "openid": {openid}, "lang": {"zh_CN"}}.Encode())
	}
	alice, aliceUnion := w.account("alice", w.official.AppID)
	bob, _ := w.account("bob", w.official.AppID)
	t.Run("a follower", func(t *testing.T) {
		want := fmt.Sprintf(`{"subscribe":1,"openid":%q,"language":"zh_CN","subscribe_time":1636450232,"unionid":%q,"remark":"","groupid":0,`+
			`"tagid_list":[],"subscribe_scene":"ADD_SCENE_SEARCH","qr_scene":0,"qr_scene_str":""}`, alice, aliceUnion)
		if got := info(alice).body; got != want {
			t.Errorf("got\n%s, want\n%s", got, want)
		}
	})
	t.Run("somebody else has subscribe 0 and no unionid", func(t *testing.T) {
		want := fmt.Sprintf(`{"subscribe":0,"openid":%q,"nickname":"","sex":0,"language":"zh_CN","city":"","province":"","country":"","headimgurl":"","tagid_list":[]}`, bob)
		if got := info(bob).body; got != want {
			t.Errorf("got\n%s, want\n%s", got, want)
		}
		w.flip("user-info-keys", "absent")
		if got, want := info(bob).body, fmt.Sprintf(`{"subscribe":0,"openid":%q,"tagid_list":[]}`, bob); got != want {
			t.Errorf("without blank keys:\n%s, want\n%s", got, want)
		}
	})
	t.Run("openids of nobody, and of another account", func(t *testing.T) {
		elsewhere, _ := w.account("alice", w.mini.AppID)
		for _, id := range []string{"x", elsewhere, strings.ToUpper(alice)} {
			info(id).errcode(t, 40003)
		}
		info("").errcode(t, 41009)
	})
	t.Run("a menu that was never made", func(t *testing.T) {
		if text := w.get("/cgi-bin/menu/get?access_token="+token).errcode(t, 46003); !strings.HasPrefix(text, "menu no exist rid: ") {
			t.Errorf("errmsg %q", text)
		}
	})
}

func TestFollowersInLists(t *testing.T) {
	w := newWorld(t)
	token, _ := w.stable(w.official, false).grantedToken(t)
	alice, _ := w.account("alice", w.official.AppID)
	bob, _ := w.account("bob", w.official.AppID)
	zoe, _ := w.account("zoe", w.official.AppID)
	batch := func(body string) answer {
		return w.do("POST", "/cgi-bin/user/info/batchget?access_token="+token, body, nil)
	}
	t.Run("batchget", func(t *testing.T) {
		var reply struct {
			List []struct {
				Subscribe int    `json:"subscribe"`
				OpenID    string `json:"openid"`
				Language  string `json:"language"`
			} `json:"user_info_list"`
		}
		a := batch(fmt.Sprintf(`{"user_list":[{"openid":%q,"lang":"en"},{"openid":%q}]}`, alice, bob))
		if err := json.Unmarshal([]byte(a.body), &reply); err != nil || len(reply.List) != 2 {
			t.Fatalf("%v: %s", err, a.body)
		}
		if l := reply.List; l[0].Subscribe != 1 || l[0].OpenID != alice || l[0].Language != "en" || l[1].Subscribe != 0 || l[1].OpenID != bob {
			t.Errorf("%+v", l)
		}
		batch(`{"user_list":[]}`).errcode(t, 40031)
		batch(`{"user_list":[`+strings.TrimSuffix(strings.Repeat(fmt.Sprintf(`{"openid":%q},`, bob), 101), ",")+`]}`).errcode(t, 40032)
		batch(`{"user_list":[{"openid":"x"}]}`).errcode(t, 40003)
		batch(`{"user_list":[{}]}`).errcode(t, 40003)
		batch("").errcode(t, 44002)
		batch("x").errcode(t, 47001)
	})
	list := func(after string) string {
		return w.get("/cgi-bin/user/get?" + url.Values{"access_token": {token}, "next_openid": {after}}.Encode()).body
	}
	t.Run("get", func(t *testing.T) {
		if got, want := list(""), fmt.Sprintf(`{"total":1,"count":1,"data":{"openid":[%q]},"next_openid":%q}`, alice, alice); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got, want := list(alice), `{"total":1,"count":0,"next_openid":""}`; got != want {
			t.Errorf("after the last: %s, want %s", got, want)
		}
		w.push("zoe", "subscribe")
		w.push("alice", "unsubscribe")
		if got, want := list(""), fmt.Sprintf(`{"total":1,"count":1,"data":{"openid":[%q]},"next_openid":%q}`, zoe, zoe); got != want {
			t.Errorf("after events: %s, want %s", got, want)
		}
		w.get("/cgi-bin/user/get?access_token="+token+"&next_openid="+bob).errcode(t, 40003)
	})
	t.Run("a crowd comes in pages of 10000", func(t *testing.T) {
		if testing.Short() {
			t.Skip("makes 10,001 people")
		}
		for i := range 10_000 {
			if _, err := w.sim.Push(t.Context(), w.official.AppID, fmt.Sprint("fan ", i), simulator.Event{Name: "subscribe"}); err != nil {
				t.Fatal(err)
			}
		}
		var page struct {
			Total, Count int
			Data         struct{ OpenID []string }
			Next         string `json:"next_openid"`
		}
		if err := json.Unmarshal([]byte(list("")), &page); err != nil || page.Total != 10_001 || page.Count != 10_000 || page.Next != page.Data.OpenID[9_999] {
			t.Fatalf("%v: %d, %d", err, page.Total, page.Count)
		}
		if got := list(page.Next); !strings.HasPrefix(got, `{"total":10001,"count":1,"data":{"openid":["o`) {
			t.Errorf("the second page: %.80s", got)
		}
	})
	t.Run("the rest of the API's doors want a token too", func(t *testing.T) {
		for _, path := range []string{"user/info", "user/get", "menu/get", "getcallbackip"} {
			w.get("/cgi-bin/"+path).errcode(t, 41001)
		}
		w.do("POST", "/cgi-bin/user/info/batchget", `{}`, nil).errcode(t, 41001)
		if got := w.get("/cgi-bin/getcallbackip?access_token=" + token).body; got != `{"ip_list":["127.0.0.1"]}` {
			t.Errorf("getcallbackip: %s", got)
		}
	})
}
