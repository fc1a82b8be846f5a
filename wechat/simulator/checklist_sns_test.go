package simulator_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"wxbridge/wechat/simulator"
)

// The tests named TestChecklistNN prove item NN of wechat-protocol §13.

func TestChecklist01_ErrorsAre200TextPlainWithEscapedSlashesAndRawUTF8(t *testing.T) {
	w := newWorld(t)
	token := w.exchange(w.granted("alice", "snsapi_userinfo")).json(t)
	for name, a := range map[string]answer{
		"error":         w.exchange("0nobody"),
		"token":         w.exchange(w.granted("alice", "snsapi_base")),
		"userinfo":      w.bearer("/sns/userinfo", token),
		"auth":          w.bearer("/sns/auth", token),
		"refresh":       w.refresh(token["refresh_token"]),
		"session":       w.session(w.jsCode(w.mini.AppID, "alice")),
		"unknown path":  w.get("/sns/nothing"),
		"session error": w.session("0nobody"),
	} {
		if a.status != http.StatusOK {
			t.Errorf("%s: status %d", name, a.status)
		}
		if got := a.header.Get("Content-Type"); got != "text/plain" {
			t.Errorf("%s: content type %q, want text/plain without a charset", name, got)
		}
	}
	info := w.bearer("/sns/userinfo", token)
	if !strings.Contains(info.body, `"headimgurl":"http:\/\/127.0.0.1`) || regexp.MustCompile(`[^\\]/`).MatchString(info.body) {
		t.Errorf("slashes are not escaped: %s", info.body)
	}
	if !strings.Contains(info.body, `"nickname":"爱丽丝"`) {
		t.Errorf("the nickname is not raw UTF-8: %s", info.body)
	}
}

func TestChecklist02_EverySnsErrorEndsWithItsOwnRid(t *testing.T) {
	w := newWorld(t)
	form := regexp.MustCompile(`^invalid code, rid: ([0-9a-f]{8})-[0-9a-f]{8}-[0-9a-f]{8}$`)
	seen := map[string]bool{}
	for range 3 {
		text := w.exchange("0nobody").errcode(t, 40029)
		m := form.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("errmsg %q", text)
		}
		if seen[text] {
			t.Errorf("the same text twice: %q", text)
		}
		seen[text] = true
		at, _ := strconv.ParseInt(m[1], 16, 64)
		if d := time.Since(time.Unix(at, 0)); d < -time.Minute || d > time.Minute {
			t.Errorf("rid begins with %s, %v away from now", m[1], d)
		}
	}
}

func TestChecklist03_SuccessHasNoErrcodeButAuthHasZero(t *testing.T) {
	w := newWorld(t)
	token := w.exchange(w.granted("bob", "snsapi_userinfo")).json(t)
	for name, v := range map[string]map[string]any{
		"token":    token,
		"refresh":  w.refresh(token["refresh_token"]).json(t),
		"userinfo": w.bearer("/sns/userinfo", token).json(t),
		"session":  w.session(w.jsCode(w.mini.AppID, "bob")).json(t),
	} {
		if _, ok := v["errcode"]; ok {
			t.Errorf("%s carries an errcode: %v", name, v)
		}
	}
	if got := w.bearer("/sns/auth", token).body; got != `{"errcode":0,"errmsg":"ok"}` {
		t.Errorf("auth: %s", got)
	}
}

func TestChecklist04_AppidIsCheckedBeforeSecretAndCode(t *testing.T) {
	type row struct {
		name, appid, secret, code, grant string
		want, wantCodeFirst              int
	}
	w := newWorld(t)
	id, secret := w.official.AppID, w.official.Secret
	rows := []row{
		{"nothing given", "", "", "", "", 41002, 41008},
		{"unknown appid, everything else wrong", "wx0000000000000000", "x", "x", "x", 40013, 40029},
		{"no secret", id, "", "x", "authorization_code", 41004, 40029},
		{"wrong secret", id, "x", "x", "authorization_code", 40125, 40029},
		{"wrong grant type", id, secret, "x", "client_credential", 40002, 40029},
		{"no code", id, secret, "", "authorization_code", 41008, 41008},
		{"unknown code", id, secret, "x", "authorization_code", 40029, 40029},
	}
	for _, codeFirst := range []bool{false, true} {
		if codeFirst {
			w.flip("check-order", "code-first")
		}
		for _, path := range []string{"/sns/oauth2/access_token?code=", "/sns/jscode2session?js_code="} {
			for _, r := range rows {
				want := r.want
				if codeFirst {
					want = r.wantCodeFirst
				}
				q := url.Values{"appid": {r.appid}, "secret": {r.secret}, "grant_type": {r.grant}}
				t.Run(fmt.Sprintf("%s %s code first %t", path, r.name, codeFirst), func(t *testing.T) {
					w.get(path+r.code+"&"+q.Encode()).errcode(t, want)
				})
			}
		}
	}
	t.Run("a failed check spends no code", func(t *testing.T) {
		code := w.granted("bob", "snsapi_base")
		w.get(strings.Replace(w.exchangePath(code), secret, "wrong", 1)).errcode(t, 40125)
		if w.exchange(code).json(t)["openid"] == nil {
			t.Error("the code was spent")
		}
	})
}

func TestChecklist05_Codes(t *testing.T) {
	form := regexp.MustCompile(`^0[0-9A-Za-z]{31}$`)
	for _, kind := range []string{"OAuth code", "js_code"} {
		fresh := func(w *world) string {
			if kind == "js_code" {
				return w.jsCode(w.mini.AppID, "bob")
			}
			return w.granted("bob", "snsapi_base")
		}
		spend := func(w *world, code string) answer {
			if kind == "js_code" {
				return w.session(code)
			}
			return w.exchange(code)
		}
		t.Run(kind+" has 32 characters and differs each time", func(t *testing.T) {
			w := newWorld(t)
			a, b := fresh(w), fresh(w)
			if !form.MatchString(a) || a == b {
				t.Errorf("codes %q, %q", a, b)
			}
		})
		t.Run(kind+" is spent by its first use", func(t *testing.T) {
			w := newWorld(t)
			code := fresh(w)
			if spend(w, code).json(t)["openid"] == nil {
				t.Fatal("first use failed")
			}
			if text := spend(w, code).errcode(t, 40163); !strings.HasPrefix(text, "code been used, rid: ") {
				t.Errorf("errmsg %q", text)
			}
		})
		t.Run(kind+" used 20 times at once is spent once", func(t *testing.T) {
			w := newWorld(t)
			code := fresh(w)
			var (
				group sync.WaitGroup
				mu    sync.Mutex
				wins  int
			)
			for range 20 {
				group.Go(func() {
					if strings.Contains(spend(w, code).body, `"openid"`) {
						mu.Lock()
						wins++
						mu.Unlock()
					}
				})
			}
			group.Wait()
			if wins != 1 {
				t.Errorf("%d exchanges succeeded, want 1", wins)
			}
		})
		t.Run(kind+" lives five minutes", func(t *testing.T) {
			w := newWorld(t)
			young, old := fresh(w), fresh(w)
			w.advance("4m50s")
			if spend(w, young).json(t)["openid"] == nil {
				t.Error("refused before five minutes")
			}
			w.advance("10s")
			spend(w, old).errcode(t, 40029)
		})
		t.Run(kind+" that is empty is missing", func(t *testing.T) {
			spend(newWorld(t), "").errcode(t, 41008)
		})
	}
	t.Run("an expired OAuth code is 42003 by switch", func(t *testing.T) {
		w := newWorld(t)
		w.flip("expired-code", "42003")
		code := w.granted("bob", "snsapi_base")
		w.advance("6m")
		w.exchange(code).errcode(t, 42003)
	})
	t.Run("a code belongs to one app and one flow", func(t *testing.T) {
		w := newWorld(t)
		w.session(w.granted("bob", "snsapi_base")).errcode(t, 40029)
		w.exchange(w.jsCode(w.mini.AppID, "bob")).errcode(t, 40029)
	})
	t.Run("a code keeps the scope it was given for", func(t *testing.T) {
		w := newWorld(t)
		for _, scope := range []string{"snsapi_base", "snsapi_userinfo"} {
			if got := w.exchange(w.granted("bob", scope)).json(t)["scope"]; got != scope {
				t.Errorf("scope %v, want %s", got, scope)
			}
		}
	})
}

func TestChecklist11_BaseTokensCarryNoUnionidAndReadNoProfile(t *testing.T) {
	w := newWorld(t)
	base := w.exchange(w.granted("bob", "snsapi_base")).json(t)
	if _, ok := base["unionid"]; ok {
		t.Errorf("a base answer carries a unionid: %v", base)
	}
	if text := w.bearer("/sns/userinfo", base).errcode(t, 48001); !strings.HasPrefix(text, "api unauthorized, rid: ") {
		t.Errorf("errmsg %q", text)
	}
	w.flip("base-userinfo", "data")
	w.bearer("/sns/userinfo", base).errcode(t, 48001) // bob never allowed userinfo
	w.granted("bob", "snsapi_userinfo")
	if got := w.bearer("/sns/userinfo", base).json(t)["nickname"]; got != "Bob 鲍勃" {
		t.Errorf("nickname %v after an earlier consent, by switch", got)
	}
}

func TestChecklist12_Refresh(t *testing.T) {
	t.Run("an access token that is still good keeps its value and lives on", func(t *testing.T) {
		w := newWorld(t)
		first := w.exchange(w.granted("bob", "snsapi_userinfo")).json(t)
		w.advance("1h59m")
		second := w.refresh(first["refresh_token"]).json(t)
		if second["access_token"] != first["access_token"] || second["refresh_token"] != first["refresh_token"] {
			t.Errorf("tokens changed: %v, %v", first, second)
		}
		if len(second) != 5 || second["openid"] != first["openid"] || fmt.Sprint(second["expires_in"]) != "7200" {
			t.Errorf("answer %v", second)
		}
		w.advance("1h59m")
		w.bearer("/sns/auth", second).errcode(t, 0)
	})
	t.Run("an expired access token is replaced", func(t *testing.T) {
		w := newWorld(t)
		first := w.exchange(w.granted("bob", "snsapi_userinfo")).json(t)
		w.advance("2h")
		w.bearer("/sns/userinfo", first).errcode(t, 42001)
		second := w.refresh(first["refresh_token"]).json(t)
		if second["access_token"] == first["access_token"] || second["refresh_token"] != first["refresh_token"] {
			t.Errorf("tokens %v, %v", first, second)
		}
		w.bearer("/sns/userinfo", first).errcode(t, 40001)
		w.bearer("/sns/auth", second).errcode(t, 0)
	})
	for choice, want := range map[string]int{"42002": 42002, "40030": 40030, "42007": 42007} {
		t.Run("a refresh token lives 30 days whatever its use, then "+choice, func(t *testing.T) {
			w := newWorld(t)
			w.flip("failed-refresh", choice)
			first := w.exchange(w.granted("bob", "snsapi_userinfo")).json(t)
			w.advance("719h")
			if w.refresh(first["refresh_token"]).json(t)["openid"] != first["openid"] {
				t.Error("refused before 30 days")
			}
			w.advance("1h")
			w.refresh(first["refresh_token"]).errcode(t, want)
		})
	}
	t.Run("what is not a refresh token of the app is refused", func(t *testing.T) {
		w := newWorld(t)
		w.refresh("61_nothing").errcode(t, 40030)
		w.refresh("").errcode(t, 41003)
		w.get("/sns/oauth2/refresh_token?grant_type=refresh_token&refresh_token=x").errcode(t, 41002)
		w.get("/sns/oauth2/refresh_token?appid=wx0&grant_type=refresh_token&refresh_token=x").errcode(t, 40013)
		token := w.exchange(w.granted("bob", "snsapi_userinfo")).json(t)
		w.get(fmt.Sprintf("/sns/oauth2/refresh_token?appid=%s&grant_type=refresh_token&refresh_token=%s",
			w.mini.AppID, token["refresh_token"])).errcode(t, 40030)
	})
}

func TestChecklist14_SnsQuotaNetworkAndConfigurationFaults(t *testing.T) {
	texts := map[int]string{
		-1:    `system error, rid: `,
		45009: `reach max api daily quota limit, rid: `,
		45011: `api minute-quota reach limit, must slower, retry next minute, rid: `,
		40164: `invalid ip 127\.0\.0\.1 ipv6 ::ffff:127\.0\.0\.1, not in whitelist, rid: `,
		40243: `appsecret is frozen, rid: `,
		40226: `code blocked, rid: `,
	}
	for code, text := range texts {
		t.Run(fmt.Sprint("errcode ", code), func(t *testing.T) {
			w := newWorld(t)
			w.fault(map[string]any{"path": "/sns/oauth2/access_token", "errcode": code})
			oauth := w.granted("bob", "snsapi_base")
			if got := w.exchange(oauth).errcode(t, code); !regexp.MustCompile("^" + text).MatchString(got) {
				t.Errorf("errmsg %q, want %s", got, text)
			}
			if w.exchange(oauth).json(t)["openid"] == nil {
				t.Error("the fault happened twice, or spent the code")
			}
		})
	}
	t.Run("a burst of -1 lasts as long as asked for", func(t *testing.T) {
		w := newWorld(t)
		w.fault(map[string]any{"path": "/sns/jscode2session", "errcode": -1, "times": 3})
		code := w.jsCode(w.mini.AppID, "bob")
		for range 3 {
			w.session(code).errcode(t, -1)
		}
		if w.session(code).json(t)["openid"] == nil {
			t.Error("the burst does not end")
		}
	})
	t.Run("the mini program's minute limit has its own spacing", func(t *testing.T) {
		w := newWorld(t)
		w.fault(map[string]any{"path": "/sns/jscode2session", "errcode": 45011})
		if got := w.session("x").errcode(t, 45011); !strings.Contains(got, "limit  mustslower  retry") {
			t.Errorf("errmsg %q", got)
		}
	})
	t.Run("times 0 lasts until the faults are deleted", func(t *testing.T) {
		w := newWorld(t)
		w.fault(map[string]any{"path": "/sns/userinfo", "errcode": 40001, "times": 0})
		token := w.exchange(w.granted("bob", "snsapi_userinfo")).json(t)
		for range 5 {
			w.bearer("/sns/userinfo", token).errcode(t, 40001)
		}
		if a := w.do("DELETE", "/_simulator/faults", "", nil); a.status != http.StatusNoContent {
			t.Errorf("DELETE: %d", a.status)
		}
		if w.bearer("/sns/userinfo", token).json(t)["nickname"] == nil {
			t.Error("the fault is still there")
		}
	})
}

func TestChecklist14_SnsBrokenAnswers(t *testing.T) {
	const path = "/sns/oauth2/access_token"
	type check func(t *testing.T, a answer, err error)
	cases := []struct {
		name  string
		fault map[string]any
		check check
		spent bool // the code was used up by the faulted call
	}{
		{"malformed", map[string]any{"mode": "malformed"}, func(t *testing.T, a answer, err error) {
			if err != nil || a.status != 200 || !strings.HasSuffix(a.body, ",,") {
				t.Errorf("%v %v", a, err)
			}
		}, false},
		{"truncated", map[string]any{"mode": "truncated"}, func(t *testing.T, a answer, err error) {
			if err == nil || !strings.Contains(err.Error(), "unexpected EOF") {
				t.Errorf("want a body cut short, got %v %v", a, err)
			}
		}, false},
		{"truncated after the exchange", map[string]any{"mode": "truncated", "after": true}, func(t *testing.T, a answer, err error) {
			if err == nil || !strings.HasPrefix(a.body, `{"access_token":"61_`) {
				t.Errorf("want half an answer, got %v %v", a, err)
			}
		}, true},
		{"reset", map[string]any{"mode": "reset"}, func(t *testing.T, _ answer, err error) {
			if err == nil || !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "EOF") {
				t.Errorf("want a reset, got %v", err)
			}
		}, false},
		{"reset after the exchange", map[string]any{"mode": "reset", "after": true}, func(t *testing.T, _ answer, err error) {
			if err == nil {
				t.Error("want a reset")
			}
		}, true},
		{"a gateway's 502", map[string]any{"mode": "html502"}, func(t *testing.T, a answer, err error) {
			if err != nil || a.status != 502 || !strings.Contains(a.body, "<h1>502 Bad Gateway</h1>") || a.header.Get("Content-Type") != "text/html" {
				t.Errorf("%v %v", a, err)
			}
		}, false},
		{"a captive portal's 200", map[string]any{"mode": "html200"}, func(t *testing.T, a answer, err error) {
			if err != nil || a.status != 200 || !strings.HasPrefix(a.body, "<html>") {
				t.Errorf("%v %v", a, err)
			}
		}, false},
		{"the right answer as text/html", map[string]any{"mode": "wrong_content_type"}, func(t *testing.T, a answer, err error) {
			if err != nil || a.header.Get("Content-Type") != "text/html; charset=utf-8" || a.json(t)["openid"] == nil {
				t.Errorf("%v %v", a, err)
			}
		}, true},
		{"-1 after the exchange", map[string]any{"errcode": -1, "after": true}, func(t *testing.T, a answer, err error) {
			if err != nil {
				t.Fatal(err)
			}
			a.errcode(t, -1)
		}, true},
		{"a late right answer", map[string]any{"latency_ms": 60}, func(t *testing.T, a answer, err error) {
			if err != nil || a.json(t)["openid"] == nil {
				t.Errorf("%v %v", a, err)
			}
		}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.fault["path"] = path
			w.fault(c.fault)
			code := w.granted("bob", "snsapi_base")
			started := time.Now()
			a, err := w.try("GET", w.exchangePath(code), "", nil)
			c.check(t, a, err)
			if ms, ok := c.fault["latency_ms"].(int); ok && time.Since(started) < time.Duration(ms)*time.Millisecond {
				t.Errorf("answered after %v", time.Since(started))
			}
			again := w.exchange(code)
			if c.spent {
				again.errcode(t, 40163)
			} else if again.json(t)["openid"] == nil {
				t.Errorf("the faulted call spent the code: %s", again.body)
			}
			if got := w.sim.Calls()[path]; got != 2 {
				t.Errorf("%d calls counted, want 2, the faulted one among them", got)
			}
		})
	}
}

func TestChecklist15_UserinfoBlanksOddNamesAndAvatars(t *testing.T) {
	w := newWorld(t)
	info := func(name string) answer {
		return w.bearer("/sns/userinfo", w.exchange(w.granted(name, "snsapi_userinfo")).json(t))
	}
	t.Run("fields of before 2021 are blank but there", func(t *testing.T) {
		openid, unionid := w.account("alice", w.official.AppID)
		blank := `{"openid":"` + openid + `","nickname":"爱丽丝","sex":0,"language":"","city":"","province":"","country":"","headimgurl":"`
		if a := info("alice"); !strings.HasPrefix(a.body, blank) || !strings.HasSuffix(a.body, `","privilege":[],"unionid":"`+unionid+`"}`) {
			t.Errorf("userinfo %s", a.body)
		}
	})
	for name, want := range map[string]string{
		"odd-zwj": "👩🏽‍💻\u200d\u200b🏳️‍🌈", "odd-rtl": "\u202eمرحبا\u202c abc", "odd-control": "tab\there\u0007\u007f",
		"odd-private": "\ue13c旧表情", "odd-empty": "", "crowd-17": "crowd-17", "odd-markup": `</script><img src=x onerror=alert(1)>"'&`,
	} {
		t.Run("nickname of "+name, func(t *testing.T) {
			if got := info(name).json(t)["nickname"]; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
	t.Run("bytes that are neither JSON nor UTF-8", func(t *testing.T) {
		if a := info("odd-raw"); utf8.ValidString(a.body) || !strings.Contains(a.body, "\"nickname\":\"ra\x01w") {
			t.Errorf("%q", a.body)
		}
	})
	t.Run("no avatar is an empty string", func(t *testing.T) {
		if got := info("odd-empty").json(t)["headimgurl"]; got != "" {
			t.Errorf("headimgurl %v", got)
		}
	})
	t.Run("an avatar is a picture until it is gone", func(t *testing.T) {
		address := strings.TrimPrefix(info("alice").json(t)["headimgurl"].(string), w.url)
		if !regexp.MustCompile(`^/mmopen/vi_32/[\w-]+/132$`).MatchString(address) {
			t.Fatalf("avatar at %q", address)
		}
		picture := w.get(address)
		if picture.status != 200 || picture.header.Get("Content-Type") != "image/png" || !strings.HasPrefix(picture.body, "\x89PNG") {
			t.Errorf("avatar: %d %v", picture.status, picture.header)
		}
		if w.get(address).body != picture.body {
			t.Error("the picture changes")
		}
		if other := info("bob").json(t)["headimgurl"].(string); w.get(strings.TrimPrefix(other, w.url)).body == picture.body {
			t.Error("two people have one picture")
		}
		for _, bad := range []string{strings.TrimSuffix(address, "132") + "133", "/mmopen/vi_32/x/132", "/mmopen/vi_32/!!/0"} {
			if a := w.get(bad); a.status != http.StatusNotFound {
				t.Errorf("%s: %d", bad, a.status)
			}
		}
		w.flip("avatars", "gone")
		if a := w.get(address); a.status != http.StatusNotFound {
			t.Errorf("a gone avatar answers %d", a.status)
		}
	})
}

func TestChecklist21_SessionKeys(t *testing.T) {
	keyForm := regexp.MustCompile(`^[A-Za-z0-9+/]{22}==$`)
	key := func(w *world, name string) string {
		k := w.session(w.jsCode(w.mini.AppID, name)).json(t)["session_key"].(string)
		if !keyForm.MatchString(k) {
			t.Errorf("session_key %q", k)
		}
		return k
	}
	t.Run("every login brings a new key", func(t *testing.T) {
		w := newWorld(t)
		if first := key(w, "bob"); key(w, "bob") == first {
			t.Error("the key stayed")
		}
	})
	t.Run("by switch the key stays for a while", func(t *testing.T) {
		w := newWorld(t)
		w.flip("session-key", "within-period")
		first := key(w, "bob")
		if key(w, "bob") != first {
			t.Error("the key changed at once")
		}
		if key(w, "alice") == first {
			t.Error("two people share a key")
		}
		w.advance("5m")
		if key(w, "bob") == first {
			t.Error("the key never changes")
		}
	})
	t.Run("the answer has openid, and unionid of the bound app", func(t *testing.T) {
		w := newWorld(t)
		openid, unionid := w.account("bob", w.mini.AppID)
		v := w.session(w.jsCode(w.mini.AppID, "bob")).json(t)
		if v["openid"] != openid || v["unionid"] != unionid || len(v) != 3 {
			t.Errorf("answer %v", v)
		}
	})
}

func TestChecklist27_OnePersonAcrossApps(t *testing.T) {
	unbound := simulator.App{Provider: "official_account", AppID: "wxfedcba9876543210", Secret: "s", RedirectDomain: "127.0.0.1"}
	elsewhere := simulator.App{Provider: "mini_program", AppID: "wx00000000000000aa", Secret: "s", OpenAccount: "other"}
	w := newWorld(t, func(c *simulator.Config) { c.Apps = append(c.Apps, unbound, elsewhere) })
	officialID, officialUnion := w.account("alice", w.official.AppID)
	miniID, miniUnion := w.account("alice", w.mini.AppID)
	_, otherUnion := w.account("alice", elsewhere.AppID)
	_, noUnion := w.account("alice", unbound.AppID)

	form := regexp.MustCompile(`^o[A-Za-z0-9_-]{27}$`)
	for _, id := range []string{officialID, miniID, officialUnion, otherUnion} {
		if !form.MatchString(id) {
			t.Errorf("id %q", id)
		}
	}
	if officialID == miniID {
		t.Error("one openid in two apps")
	}
	if officialUnion != miniUnion || officialUnion == otherUnion || noUnion != "" {
		t.Errorf("unionids %q %q, other account %q, unbound %q", officialUnion, miniUnion, otherUnion, noUnion)
	}
	if again, _ := newWorld(t).account("alice", w.official.AppID); again != officialID {
		t.Error("ids differ from run to run")
	}

	token := w.exchange(w.granted("alice", "snsapi_userinfo")).json(t)
	session := w.session(w.jsCode(w.mini.AppID, "alice")).json(t)
	if token["openid"] != officialID || token["unionid"] != officialUnion || session["unionid"] != officialUnion {
		t.Errorf("logins brought %v and %v", token, session)
	}
	w.official = unbound
	token = w.exchange(w.granted("alice", "snsapi_userinfo")).json(t)
	info := w.bearer("/sns/userinfo", token).json(t)
	if token["unionid"] != nil || info["unionid"] != nil || info["nickname"] != "爱丽丝" {
		t.Errorf("an unbound app saw %v, %v", token, info)
	}
}

func TestSnsBearerErrors(t *testing.T) {
	w := newWorld(t)
	alice := w.exchange(w.granted("alice", "snsapi_userinfo")).json(t)
	bob := w.exchange(w.granted("bob", "snsapi_userinfo")).json(t)
	for _, path := range []string{"/sns/userinfo", "/sns/auth"} {
		w.get(path).errcode(t, 41001)
		w.get(path+"?access_token=61_x").errcode(t, 41009)
		w.get(path+"?access_token=61_x&openid=o").errcode(t, 40001)
		w.get(path+"?access_token=nonsense&openid=o").errcode(t, 40001)
		w.bearer(path, map[string]any{"access_token": alice["access_token"], "openid": bob["openid"]}).errcode(t, 40003)
		w.do("POST", path, "", nil).errcode(t, 43001)
	}
}

func TestSwitchTokenScope(t *testing.T) {
	w := newWorld(t)
	w.granted("bob", "snsapi_userinfo")
	for choice, want := range map[string]string{
		"plain": "snsapi_base", "trailing-comma": "snsapi_base,", "all-granted": "snsapi_base,snsapi_userinfo,",
	} {
		w.flip("token-scope", choice)
		if got := w.exchange(w.granted("bob", "snsapi_base")).json(t)["scope"]; got != want {
			t.Errorf("%s: scope %v, want %s", choice, got, want)
		}
	}
}
