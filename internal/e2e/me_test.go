package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestMeShowsTheFan(t *testing.T) {
	p := startDev(t, nil)
	bob := p.phone("bob")
	token := bob.login(t).access
	for name, h := range map[string]hop{
		"Bearer":                      p.api(t, http.MethodGet, "/me", token, ""),
		"cookie":                      bob.once(t, "/me"),
		"TOK-11 scheme in lower case": bob.do(t, http.MethodGet, "/me", http.Header{"Authorization": {"bearer " + token}}, ""),
	} {
		t.Run(name, func(t *testing.T) {
			if h.status != http.StatusOK || !strings.Contains(h.header.Get("Cache-Control"), "no-store") {
				t.Fatalf("TOK-14 %v, Cache-Control %q", h, h.header.Get("Cache-Control"))
			}
			me := decode(t, h)
			wantKeys(t, "/me", me, []string{"id", "nickname", "avatar_url", "registered", "created_at", "last_login_at",
				"identities"}, "phone_number", "role", "aliases")
			identity := me["identities"].([]any)[0].(map[string]any)
			wantKeys(t, "identity", identity, []string{"provider", "appid", "openid"}, "unionid", "subscribed")
			known := p.account(t, "bob", "official_account")
			if identity["openid"] != known.OpenID || identity["unionid"] != known.UnionID {
				t.Errorf("identity %v, want %v", identity, known)
			}
			for _, name := range []string{"created_at", "last_login_at"} {
				at, err := time.Parse(time.RFC3339, me[name].(string))
				if err != nil || !strings.HasSuffix(me[name].(string), "Z") || time.Since(at).Abs() > time.Minute {
					t.Errorf("%s is %v", name, me[name])
				}
			}
		})
	}
}

func TestPatchMeChangesOwnNameAndPicture(t *testing.T) {
	p := startDev(t, nil)
	bob := p.phone("bob")
	token := bob.login(t).access
	before := decode(t, bob.once(t, "/me"))
	me := decode(t, p.api(t, http.MethodPatch, "/me", token, `{"nickname":"新名字 <svg onload=1>"}`))
	if me["nickname"] != "新名字 <svg onload=1>" || me["avatar_url"] != before["avatar_url"] || me["id"] != before["id"] {
		t.Errorf("after a new nickname: %v", me)
	}
	me = decode(t, p.api(t, http.MethodPatch, "/me", token, `{"avatar_url":"https://thirdwx.qlogo.cn/x/132"}`))
	if me["avatar_url"] != "https://thirdwx.qlogo.cn/x/132" || me["nickname"] != "新名字 <svg onload=1>" {
		t.Errorf("after a new picture: %v", me)
	}
	if h := p.phone("bob"); h.login(t).id == "" || p.identity(t, h.session().id)["nickname"] == "" {
		t.Error("the next ID token has no nickname")
	}
	for name, body := range map[string]string{
		"not JSON":           `{`,
		"an array":           `[]`,
		"null":               `null`,
		"wrong type":         `{"nickname":5}`,
		"a script as avatar": `{"avatar_url":"javascript:alert(1)"}`,
		"a data: avatar":     `{"avatar_url":"data:image/png;base64,AAAA"}`,
		"two documents":      `{"nickname":"a"}{"nickname":"b"}`,
		"deep":               `{"nickname":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`,
		"bad UTF-8":          "{\"nickname\":\"\xff\"}",
	} {
		h := p.api(t, http.MethodPatch, "/me", token, body)
		if h.status != http.StatusBadRequest {
			t.Errorf("%s: %v: %s", name, h, h.body)
		}
	}
	for name, body := range map[string]string{"id": `{"id":"x"}`, "registered": `{"registered":false}`, "role": `{"role":"admin"}`,
		"phone": `{"phone_number":"1"}`, "status": `{"status":"blocked"}`} {
		h := p.api(t, http.MethodPatch, "/me", token, body)
		if h.status >= 500 {
			t.Errorf("%v", h)
		}
		now := decode(t, p.api(t, http.MethodGet, "/me", token, ""))
		if now["id"] != before["id"] || now["registered"] != true || now["role"] != nil || now["phone_number"] != nil {
			t.Errorf("%s was changed: %v", name, now)
		}
	}
	for _, nickname := range []string{strings.Repeat("长", 65), strings.Repeat("😀", 10_000), "line\r\nbreak", "\u202egnol"} {
		body, _ := json.Marshal(map[string]string{"nickname": nickname})
		h := p.api(t, http.MethodPatch, "/me", token, string(body))
		if h.status != http.StatusBadRequest && h.status != http.StatusOK && h.status != http.StatusRequestEntityTooLarge {
			t.Errorf("WX-18 %v", h)
		}
		me := decode(t, p.api(t, http.MethodGet, "/me", token, ""))
		if n := len([]rune(me["nickname"].(string))); n > 64 {
			t.Errorf("WX-18 a nickname of %d characters is stored", n)
		}
		if c := bob.twin().once(t, "/").setCookie(idCookie); c != nil && len(c.String()) > 4000 {
			t.Errorf("WEB-05 ID-token cookie of %d bytes", len(c.String()))
		}
	}
}

func TestWEB06_ChangesByCookieNeedTheSameOrigin(t *testing.T) {
	p := startDev(t, nil)
	patch := func(t *testing.T, bob *phone, header http.Header) hop {
		t.Helper()
		header = header.Clone()
		header.Set("Content-Type", "application/json")
		header.Set("Accept", "application/json")
		return bob.do(t, http.MethodPatch, "/me", header, `{"nickname":"x"}`)
	}
	for name, header := range map[string]http.Header{
		"neither header":                {},
		"cross-site":                    {"Sec-Fetch-Site": {"cross-site"}},
		"same-site":                     {"Sec-Fetch-Site": {"same-site"}},
		"none":                          {"Sec-Fetch-Site": {"none"}},
		"foreign Origin":                {"Origin": {"https://evil.example"}},
		"Origin null":                   {"Origin": {"null"}},
		"the simulator's Origin":        {"Origin": {p.simulator}},
		"our host, other scheme":        {"Origin": {strings.Replace(p.bridge, "http:", "https:", 1)}},
		"our Origin with a path":        {"Origin": {p.bridge + "/"}},
		"same-origin, foreign Origin":   {"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}},
		"our Referer":                   {"Referer": {p.bridge + "/"}},
		"two Origins":                   {"Origin": {p.bridge, "https://evil.example"}},
		"Sec-Fetch-Site in upper case":  {"Sec-Fetch-Site": {"SAME-ORIGIN"}},
		"Origin of the Host we claimed": {"Origin": {"http://evil.example"}, "X-Forwarded-Host": {"evil.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			bob := p.phone("bob")
			token := bob.login(t).access
			wantError(t, patch(t, bob, header), http.StatusForbidden, "access_denied")
			for _, c := range []struct{ method, path string }{{http.MethodDelete, "/me"}, {http.MethodPost, "/logout"}} {
				h := header.Clone()
				h.Set("Accept", "application/json")
				wantError(t, bob.do(t, c.method, c.path, h, ""), http.StatusForbidden, "access_denied")
			}
			if h := p.api(t, http.MethodGet, "/me", token, ""); h.status != http.StatusOK || decode(t, h)["nickname"] == "x" {
				t.Errorf("a refused request changed something: %v: %s", h, h.body)
			}
		})
	}
	bob := p.phone("bob")
	token := bob.login(t).access
	for name, header := range map[string]http.Header{
		"same-origin": {"Sec-Fetch-Site": {"same-origin"}},
		"our Origin":  {"Origin": {p.bridge}},
	} {
		if h := patch(t, bob, header); h.status != http.StatusOK {
			t.Errorf("%s: %v: %s", name, h, h.body)
		}
	}
	header := http.Header{"Authorization": {"Bearer " + token}, "Origin": {"https://evil.example"},
		"Sec-Fetch-Site": {"cross-site"}, "Content-Type": {"application/json"}}
	h := (&phone{product: p}).do(t, http.MethodPatch, p.bridge+"/me", header, `{"nickname":"y"}`)
	if h.status != http.StatusOK {
		t.Errorf("a Bearer request needs no such header: %v", h)
	}
	if h.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("WEB-10 CORS is on")
	}
}

func TestEraseForgetsTheFan(t *testing.T) {
	p := startDev(t, nil)
	bob := p.phone("bob")
	first := bob.login(t)
	mini := p.miniToken(t, "bob")
	second := p.phone("bob").login(t)
	header := http.Header{"Sec-Fetch-Site": {"same-origin"}, "Accept": {"application/json"}}
	h := bob.do(t, http.MethodDelete, "/me", header, "")
	if h.status != http.StatusNoContent {
		t.Fatalf("%v: %s", h, h.body)
	}
	for _, name := range []string{tokenCookie, idCookie} {
		if c := h.setCookie(name); c == nil || c.MaxAge >= 0 || c.Path != "/" {
			t.Errorf("%s is not cleared: %v", name, c)
		}
	}
	for name, token := range map[string]string{"own": first.access, "mini program": mini, "another browser": second.access} {
		for _, path := range []string{"/me", "/me/export"} {
			t.Run("TOK-10 "+name+path, func(t *testing.T) {
				wantError(t, p.api(t, http.MethodGet, path, token, ""), http.StatusUnauthorized, "invalid_token")
			})
		}
	}
	again := p.phone("bob")
	link := toRegister(t, again, "%2F")
	if tr := again.open(t, link); !tr.grants() {
		t.Fatalf("an erased fan cannot register again:%v", tr)
	}
	if now := subject(again.session().access); now == subject(first.access) {
		t.Error("LOG-04 the erased fan came back with the same id")
	}
	if h := again.once(t, "/me"); h.status != http.StatusOK {
		t.Errorf("a login right after the erasure is refused: %v", h)
	}
}

func TestLOG04_ExportHoldsEverythingStored(t *testing.T) {
	p := startDev(t, nil)
	bob := p.phone("bob")
	token := bob.login(t).access
	p.miniToken(t, "bob")
	h := p.api(t, http.MethodGet, "/me/export", token, "")
	if h.status != http.StatusOK || !strings.Contains(h.header.Get("Cache-Control"), "no-store") {
		t.Fatalf("%v", h)
	}
	me := decode(t, p.api(t, http.MethodGet, "/me", token, ""))
	text := string(h.body)
	for _, want := range []string{me["id"].(string), me["nickname"].(string), p.account(t, "bob", "official_account").OpenID,
		p.account(t, "bob", "mini_program").OpenID, p.account(t, "bob", "mini_program").UnionID} {
		if !strings.Contains(text, want) {
			t.Errorf("the export lacks %q: %s", want, text)
		}
	}
	decode(t, h)
	wantError(t, p.get(t, "/me/export"), http.StatusUnauthorized, "invalid_token")
}

func TestTOK12_RefusedCredentials(t *testing.T) {
	p := startDev(t, nil)
	bob := p.phone("bob")
	s := bob.login(t)
	other := startDev(t, nil)
	foreign := other.phone("bob").login(t).access
	bearer := func(v string) http.Header { return http.Header{"Authorization": {"Bearer " + v}} }
	parts := strings.Split(s.access, ".")
	bodies := map[string]bool{}
	for name, header := range map[string]http.Header{
		"rubbish":                 bearer("rubbish"),
		"TOK-06 ID token":         bearer(s.id),
		"another bridge's token":  bearer(foreign),
		"no signature":            bearer(parts[0] + "." + parts[1] + "."),
		"TOK-09 padding":          bearer(s.access + "=="),
		"TOK-09 a line end":       bearer(s.access + "%0a"),
		"TOK-08 500,000 dots":     bearer(strings.Repeat(".", 500_000)[:60_000]),
		"TOK-08 9 KiB":            bearer(strings.Repeat("A", 9<<10)),
		"TOK-01 alg none":         bearer("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + parts[1] + "."),
		"TOK-01 alg none, signed": bearer("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + parts[1] + "." + parts[2]),
		"no token":                bearer(""),
		"TOK-11 two headers":      {"Authorization": {"Bearer " + s.access, "Bearer " + s.access}},
		"two tokens in one":       bearer(s.access + " " + s.access),
	} {
		t.Run(name, func(t *testing.T) {
			for _, ph := range []*phone{{product: p}, bob} { // a bad Bearer is 401 even beside a good cookie
				header := header.Clone()
				header.Set("Accept", "application/json")
				h := ph.do(t, http.MethodGet, p.bridge+"/me", header, "")
				answer := wantError(t, h, http.StatusUnauthorized, "invalid_token")
				if got := h.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") || !strings.Contains(got, `error="invalid_token"`) {
					t.Errorf("WWW-Authenticate is %q", got)
				}
				if answer != nil {
					bodies[answer["error_description"].(string)] = true
				}
			}
		})
	}
	if len(bodies) != 1 {
		t.Errorf("TOK-12 the reason can be told from the answer: %v", bodies)
	}
	t.Run("no credential", func(t *testing.T) {
		for name, h := range map[string]hop{"nothing": p.get(t, "/me"), "TOK-11 in the query": p.get(t, "/me?access_token="+s.access)} {
			wantError(t, h, http.StatusUnauthorized, "invalid_token")
			if got := h.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") || strings.Contains(got, "error=") {
				t.Errorf("%s: WWW-Authenticate is %q", name, got)
			}
		}
	})
	t.Run("WEB-04 cookies that are none", func(t *testing.T) {
		for name, cookie := range map[string]string{
			"empty":          tokenCookie + "=",
			"name only":      tokenCookie,
			"a quote":        tokenCookie + `="`,
			"quoted":         tokenCookie + `="` + s.access + `"`,
			"twice":          tokenCookie + "=" + s.access + "; " + tokenCookie + "=" + s.access,
			"good and bad":   tokenCookie + "=" + s.access + "; " + tokenCookie + "=x",
			"too long":       tokenCookie + "=" + strings.Repeat("A", 30_000),
			"ID token":       tokenCookie + "=" + s.id,
			"other case":     "WXBRIDGE_TOKEN=" + s.access,
			"__Host-":        "__Host-wxbridge_token=" + s.access,
			"in wxbridge_id": idCookie + "=" + s.access,
		} {
			h := (&phone{product: p}).do(t, http.MethodGet, p.bridge+"/me", http.Header{"Cookie": {cookie}, "Accept": {"*/*"}}, "")
			if h.status != http.StatusUnauthorized {
				t.Errorf("%s: %v", name, h)
			}
		}
		h := (&phone{product: p}).do(t, http.MethodGet, p.bridge+"/me",
			http.Header{"Cookie": {tokenCookie + "=" + strings.Repeat("A", 100<<10)}}, "")
		if h.status/100 != 4 {
			t.Errorf("100 KB: %v", h)
		}
	})
}
