package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
)

const miniLogin = "/miniprogram/login"

// miniToken logs a person in from the mini program.
func (p *product) miniToken(t testing.TB, person string) string {
	t.Helper()
	token, err := p.tryMiniLogin(person)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (p *product) tryMiniLogin(person string) (string, error) {
	code, err := p.newJSCode(person)
	if err != nil {
		return "", err
	}
	h, err := p.tryAPI(http.MethodPost, miniLogin, "", `{"code":"`+code+`"}`)
	if err != nil {
		return "", err
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(h.body, &answer); err != nil || h.status != http.StatusOK || answer.Token == "" {
		return "", fmt.Errorf("%v: %s", h, h.body)
	}
	return answer.Token, nil
}

func TestMiniProgramLoginMakesAGuest(t *testing.T) {
	p := startDev(t, nil)
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	jsonBody := http.Header{"Content-Type": {"application/json; charset=utf-8"}, "Accept": {"*/*"}}
	known := p.account(t, "bob", "mini_program")
	var ids []any
	for _, c := range []struct {
		name   string
		header http.Header
		body   string
	}{
		{"JSON", jsonBody, `{"code":"%s"}`},
		{"form", form, "code=%s"},
		{"WX-07 an openid in the JSON body is ignored", jsonBody,
			`{"code":"%s","openid":"` + p.account(t, "alice", "mini_program").OpenID + `","unionid":"x"}`},
		{"WX-07 an openid in the form is ignored", form, "code=%s&openid=" + p.account(t, "alice", "mini_program").OpenID},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := strings.ReplaceAll(c.body, "%s", p.jsCode(t, "bob"))
			var h hop
			if n := p.called(t, pathJSCode, func() { h = (&phone{product: p}).do(t, http.MethodPost, p.bridge+miniLogin, c.header, body) }); n != 1 {
				t.Errorf("%d upstream calls for a login, want 1", n)
			}
			if h.status != http.StatusOK || !strings.HasPrefix(h.header.Get("Content-Type"), "application/json") {
				t.Fatalf("%v: %s", h, h.body)
			}
			if got := h.header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
				t.Errorf("TOK-14 Cache-Control is %q", got)
			}
			if len(h.header["Set-Cookie"]) > 0 {
				t.Errorf("a mini program gets cookies: %q", h.header["Set-Cookie"])
			}
			answer := decode(t, h)
			wantKeys(t, "answer", answer, []string{"access_token", "token_type", "expires_in", "fan"})
			fan := answer["fan"].(map[string]any)
			wantKeys(t, "fan", fan, []string{"id", "nickname", "avatar_url", "registered"})
			if answer["token_type"] != "Bearer" || answer["expires_in"] != 7200.0 || fan["registered"] != false {
				t.Errorf("answer %v", answer)
			}
			claims := p.access(t, answer["access_token"].(string))
			for name, want := range map[string]any{"provider": "mini_program", "appid": known.AppID, "openid": known.OpenID,
				"unionid": known.UnionID, "sub": fan["id"]} {
				if claims[name] != want {
					t.Errorf("%s is %v, want %v", name, claims[name], want)
				}
			}
			wantKeys(t, "TOK-07 access token", claims, []string{"iss", "sub", "aud", "client_id", "exp", "iat", "jti", "sid",
				"auth_time", "provider", "appid", "openid", "unionid"})
			ids = append(ids, fan["id"])
		})
	}
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("bob became several fans: %v", ids)
		}
	}
}

func TestWX07_TheCodeComesFromTheBodyOnly(t *testing.T) {
	p := startDev(t, nil)
	code := p.jsCode(t, "bob")
	if n := p.called(t, pathJSCode, func() {
		for _, h := range []hop{
			p.api(t, http.MethodPost, miniLogin+"?code="+code, "", `{}`),
			p.api(t, http.MethodPost, miniLogin+"?code="+code, "", ""),
		} {
			if h.status != http.StatusBadRequest && h.status != http.StatusUnsupportedMediaType {
				t.Errorf("%v", h)
			}
		}
		if h := p.get(t, miniLogin+"?code="+code); h.status != http.StatusMethodNotAllowed {
			t.Errorf("%v", h)
		}
	}); n != 0 {
		t.Errorf("%d upstream calls", n)
	}
}

func TestACodeSeenBeforeIsRefusedWithoutAnUpstreamCall(t *testing.T) {
	p := startDev(t, nil)
	code := p.jsCode(t, "bob")
	body := `{"code":"` + code + `"}`
	if h := p.api(t, http.MethodPost, miniLogin, "", body); h.status != http.StatusOK {
		t.Fatalf("%v: %s", h, h.body)
	}
	if n := p.called(t, pathJSCode, func() {
		wantError(t, p.api(t, http.MethodPost, miniLogin, "", body), http.StatusBadRequest, "invalid_grant")
	}); n != 0 {
		t.Errorf("%d upstream calls for a code seen before", n)
	}
	t.Run("a hundred times at once", func(t *testing.T) {
		body := `{"code":"` + p.jsCode(t, "bob") + `"}`
		var good atomic.Int32
		n := p.called(t, pathJSCode, func() {
			var group errgroup.Group
			for range 100 {
				group.Go(func() error {
					h, err := p.tryAPI(http.MethodPost, miniLogin, "", body)
					if h.status == http.StatusOK {
						good.Add(1)
					} else if err == nil && h.status != http.StatusBadRequest {
						err = fmt.Errorf("%v: %s", h, h.body)
					}
					return err
				})
			}
			if err := group.Wait(); err != nil {
				t.Error(err)
			}
		})
		if n != 1 || good.Load() != 1 {
			t.Errorf("%d upstream calls and %d logins for one code", n, good.Load())
		}
	})
}

func TestWhatWeChatSaysOfACode(t *testing.T) {
	p := startDev(t, nil)
	expired := p.jsCode(t, "bob")
	p.advance(t, "6m")
	spent := p.jsCode(t, "bob")
	if _, err := p.ask(pathJSCode, url.Values{"appid": {p.mini.AppID}, "secret": {p.mini.Secret}, "js_code": {spent},
		"grant_type": {"authorization_code"}}); err != nil {
		t.Fatal(err)
	}
	official, err := p.phone("bob").callback("/login")
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(official)
	for name, c := range map[string]struct {
		code    string
		errcode float64
	}{
		"unknown":                {strings.Repeat("x", 32), 40029},
		"expired":                {expired, 0},
		"spent elsewhere":        {spent, 40163},
		"of an official account": {codeOf(u), 40029},
	} {
		t.Run(name, func(t *testing.T) {
			h := p.api(t, http.MethodPost, miniLogin, "", `{"code":"`+c.code+`"}`)
			answer := wantError(t, h, http.StatusBadRequest, "invalid_grant")
			if c.errcode != 0 && answer["wechat_errcode"] != c.errcode {
				t.Errorf("wechat_errcode is %v, want %v", answer["wechat_errcode"], c.errcode)
			}
		})
	}
}

func TestOnePersonIsOneFan(t *testing.T) {
	t.Run("official account first", func(t *testing.T) {
		p := startDev(t, nil)
		fan := subject(p.phone("alice").login(t).access)
		if got := subject(p.miniToken(t, "alice")); got != fan {
			t.Errorf("the mini program sees %s, want %s", got, fan)
		}
	})
	t.Run("mini program first, and a follower", func(t *testing.T) {
		p := startDev(t, nil)
		guest := p.miniToken(t, "alice")
		alice := p.phone("alice")
		alice.open(t, "/login?return_to=%2Fx") // silent: WeChat tells a follower's unionid
		if got := subject(alice.session().access); got != subject(guest) {
			t.Errorf("the official account sees %s, want %s", got, subject(guest))
		}
		me := decode(t, p.api(t, http.MethodGet, "/me", guest, ""))
		if me["registered"] != false || len(me["identities"].([]any)) != 2 {
			t.Errorf("the guest's /me says %v", me)
		}
	})
	t.Run("mini program first, and a stranger to the account", func(t *testing.T) {
		p := startDev(t, nil)
		guest := p.miniToken(t, "bob")
		bob := p.phone("bob")
		if got := subject(bob.login(t).access); got != subject(guest) {
			t.Errorf("the official account sees %s, want %s", got, subject(guest))
		}
		me := decode(t, p.api(t, http.MethodGet, "/me", guest, ""))
		if me["registered"] != true || len(me["identities"].([]any)) != 2 {
			t.Errorf("the guest's /me says %v", me)
		}
	})
	t.Run("two fans become one, the younger id an alias", func(t *testing.T) {
		p := startDev(t, nil, "WXBRIDGE_PROFILE_POLICY=never")
		bob := p.phone("bob")
		older := subject(bob.login(t).access) // base, and no follower: no unionid seen yet
		guest := p.miniToken(t, "bob")
		younger := subject(guest)
		if older == younger {
			t.Fatal("linked without a unionid; this test shows nothing")
		}
		bob.open(t, "/login?scope=userinfo") // brings the unionid
		for name, token := range map[string]string{"official account": bob.session().access, "mini program, old token": guest} {
			me := decode(t, p.api(t, http.MethodGet, "/me", token, ""))
			if me["id"] != older || fmt.Sprint(me["aliases"]) != "["+younger+"]" || len(me["identities"].([]any)) != 2 {
				t.Errorf("%s: /me says %v, want id %s and alias %s", name, me, older, younger)
			}
		}
		if got := subject(p.miniToken(t, "bob")); got != older {
			t.Errorf("the mini program now sees %s, want %s", got, older)
		}
		if log := p.logged(t); !strings.Contains(log, younger) || !strings.Contains(log, older) {
			t.Error("REL-17 the merge is not in the log")
		}
		t.Run("erasing ends the tokens of both ids", func(t *testing.T) {
			if h := p.api(t, http.MethodDelete, "/me", bob.session().access, ""); h.status != http.StatusNoContent {
				t.Fatalf("%v: %s", h, h.body)
			}
			wantError(t, p.api(t, http.MethodGet, "/me", guest, ""), http.StatusUnauthorized, "invalid_token")
			wantError(t, p.api(t, http.MethodGet, "/me", bob.session().access, ""), http.StatusUnauthorized, "invalid_token")
		})
	})
	t.Run("WX-04 two people are two fans", func(t *testing.T) {
		p := startDev(t, nil)
		seen := map[string]string{}
		for _, person := range []string{"alice", "bob", "crowd-1", "crowd-2"} {
			sub := subject(p.miniToken(t, person))
			if other := seen[sub]; other != "" || sub == "" {
				t.Errorf("%s and %s are both %q", person, other, sub)
			}
			seen[sub] = person
		}
	})
}
