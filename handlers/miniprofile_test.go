package handlers_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/wechat/simulator"
)

// ask sends a request to one of the simulator's control routes and decodes its answer.
func (b *bridge) ask(path string, body, into any) {
	b.t.Helper()
	raw, err := json.Marshal(body)
	must(b.t, err)
	response, err := http.Post(b.simURL+path, "application/json", strings.NewReader(string(raw)))
	must(b.t, err)
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil || response.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: %d %v", path, response.StatusCode, err)
	}
}

// phoneCode is what the phone button gives a person in a mini program.
func (b *bridge) phoneCode(app simulator.App, person string) string {
	b.t.Helper()
	var answer struct{ Code string }
	b.ask("/_simulator/phone-code", map[string]string{"person": person, "appid": app.AppID}, &answer)
	return answer.Code
}

// userInfo is what wx.getUserInfo gives, as the body of /miniprogram/profile.
func (b *bridge) userInfo(app simulator.App, person string, more ...any) map[string]string {
	b.t.Helper()
	request := map[string]any{"person": person, "appid": app.AppID}
	for i := 0; i+1 < len(more); i += 2 {
		request[more[i].(string)] = more[i+1]
	}
	var answer struct{ RawData, Signature, EncryptedData, IV string }
	b.ask("/_simulator/encrypted-profile", request, &answer)
	return map[string]string{"encrypted_data": answer.EncryptedData, "iv": answer.IV, "raw_data": answer.RawData, "signature": answer.Signature}
}

// set chooses one of the simulator's doubtful behaviours.
func (b *bridge) set(name, choice string) {
	b.t.Helper()
	b.control("PUT", "/_simulator/switches", fmt.Sprintf(`{%q:%q}`, name, choice))
}

// fanOf is the fan of a token as the store has it.
func (b *bridge) fanOf(token string) db.Fan {
	b.t.Helper()
	claims, err := b.verifier.Verify(b.t.Context(), token)
	must(b.t, err)
	fan, err := b.store.Fan(b.t.Context(), claims.Subject)
	must(b.t, err)
	return fan
}

func (b *bridge) wantError(name string, p page, status int, code string) {
	b.t.Helper()
	if p.StatusCode != status || p.errorOf(b.t).Error != code {
		b.t.Errorf("%s: %d %s, want %d %s", name, p.StatusCode, p.body, status, code)
	}
}

const (
	phoneRoute   = "/miniprogram/phone"
	profileRoute = "/miniprogram/profile"
)

func TestPhone_TheNumberIsTheFans(t *testing.T) {
	b := newBridge(t)
	must(t, b.store.SetEndpoints(t.Context(), []db.Endpoint{{Name: "shop", Events: []string{"fan.updated"}}}))
	token := b.miniToken("alice")
	p := b.postJSON(phoneRoute, token, map[string]string{"code": b.phoneCode(b.mini, "alice")})
	var answer map[string]string
	must(t, json.Unmarshal([]byte(p.body), &answer))
	if p.StatusCode != http.StatusOK || len(answer) != 2 || len(answer["phone_number"]) != 11 || answer["country_code"] != "86" ||
		p.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("phone: %d %v %s", p.StatusCode, p.Header, p.body)
	}
	if got := b.fanOf(token).Phone; got != answer["phone_number"] {
		t.Errorf("stored: %q", got)
	}
	if me := b.browser("").get("/me", "Authorization", "Bearer "+token); !strings.Contains(me.body, `"phone_number":"`+answer["phone_number"]+`"`) {
		t.Errorf("/me: %s", me.body)
	}
	for {
		if n, err := b.store.FanOut(t.Context()); err != nil || n == 0 {
			must(t, err)
			break
		}
	}
	told, err := b.store.ClaimDeliveries(t.Context(), "shop", 10, time.Minute)
	must(t, err)
	if len(told) != 1 || !strings.Contains(string(told[0].Data), `"changed":["phone_number"]`) {
		t.Errorf("told: %+v", told)
	}

	t.Run("a number abroad, as a number or as text", func(t *testing.T) {
		for _, choice := range []string{"number", "string"} {
			b.set("phone-country-code", choice)
			token := b.miniToken("odd-abroad")
			p := b.postJSON(phoneRoute, token, map[string]string{"code": b.phoneCode(b.mini, "odd-abroad")})
			if p.StatusCode != http.StatusOK || !strings.Contains(p.body, `"country_code":"852"`) || !strings.HasPrefix(b.fanOf(token).Phone, "852") {
				t.Errorf("%s: %d %s", choice, p.StatusCode, p.body)
			}
		}
	})
	if strings.Contains(b.log.String(), b.fanOf(token).Phone) {
		t.Error("LOG-01 the number is in the log")
	}
}

// Bad input of issue and protocol: codes used twice, of others, of another kind, too old, malformed.
func TestPhone_ACodeThatIsNotGood(t *testing.T) {
	b := newBridge(t)
	token := b.miniToken("alice")
	b.miniToken("bob")
	send := func(code string) page { return b.postJSON(phoneRoute, token, map[string]string{"code": code}) }
	used := b.phoneCode(b.mini, "alice")
	if p := send(used); p.StatusCode != http.StatusOK {
		t.Fatalf("first use: %d %s", p.StatusCode, p.body)
	}
	number := b.fanOf(token).Phone
	old := b.phoneCode(b.mini, "alice")
	b.control("POST", "/_simulator/clock", `{"advance":"6m"}`)
	for name, code := range map[string]string{
		"used twice":         used,
		"too old":            old,
		"of somebody else":   b.phoneCode(b.mini, "bob"),
		"of another app":     b.phoneCode(b.mini2, "alice"),
		"of wx.login":        b.jsCode("alice"),
		"of nobody":          strings.Repeat("0", 64),
		"with odd alphabets": "a-_Z",
	} {
		b.wantError(name, send(code), http.StatusBadRequest, "invalid_grant")
	}
	if got := b.fanOf(token).Phone; got != number {
		t.Errorf("a refusal changed the number: %q", got)
	}
	calls := b.calls("/wxa/business/getuserphonenumber")
	for name, p := range map[string]page{
		"missing":   b.postJSON(phoneRoute, token, map[string]string{}),
		"empty":     send(""),
		"over-long": send(strings.Repeat("a", 513)),
		"a quote":   send(`"`),
		"a number":  b.browser("").do("POST", phoneRoute, `{"code":1}`, "Content-Type", "application/json", "Authorization", "Bearer "+token),
		"twice":     b.browser("").do("POST", phoneRoute, "code=a&code=b", "Content-Type", "application/x-www-form-urlencoded", "Authorization", "Bearer "+token),
	} {
		b.wantError(name, p, http.StatusBadRequest, "invalid_request")
	}
	if now := b.calls("/wxa/business/getuserphonenumber"); now != calls {
		t.Errorf("%d calls for malformed codes", now-calls)
	}
	b.fault(`{"path":"/wxa/business/getuserphonenumber","errcode":-1,"times":0}`)
	b.wantError("WeChat is busy", send(b.phoneCode(b.mini, "alice")), http.StatusServiceUnavailable, "temporarily_unavailable")
}

// One code at once from many requests is one number and no more.
func TestPhone_ACodeAtOnceIsUsedOnce(t *testing.T) {
	b := newBridge(t)
	token := b.miniToken("alice")
	code := b.phoneCode(b.mini, "alice")
	statuses := map[int]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			p := b.postJSON(phoneRoute, token, map[string]string{"code": code})
			mu.Lock()
			defer mu.Unlock()
			statuses[p.StatusCode]++
		})
	}
	all.Wait()
	if statuses[200] != 1 || statuses[400] != 9 {
		t.Errorf("statuses: %v", statuses)
	}
}

// The token alone says which app and whom: cookies, other providers and apps that are gone have no part in it.
func TestMiniProgramRoutes_WhoMayCall(t *testing.T) {
	b := newBridge(t)
	phone := b.browser("bob")
	phone.register()
	token := b.miniToken("alice")
	w := b.webView()
	w.useTicket(b.ticket(token), "/")
	w.mustClaims()
	for _, route := range []string{phoneRoute, profileRoute, "/miniprogram/webview-ticket"} {
		b.wantError(route+": official account", b.postJSON(route, phone.cookie("wxbridge_token"), map[string]string{"code": "x"}), http.StatusForbidden, "access_denied")
		b.wantError(route+": nobody", b.postJSON(route, "", map[string]string{"code": "x"}), http.StatusUnauthorized, "invalid_token")
		b.wantError(route+": nonsense", b.postJSON(route, "x.y.z", map[string]string{"code": "x"}), http.StatusUnauthorized, "invalid_token")
		b.wantError(route+": cookie", w.do("POST", route, `{"code":"x"}`, "Content-Type", "application/json", "Sec-Fetch-Site", sameOrigin),
			http.StatusUnauthorized, "invalid_token")
		b.wantError(route+": GET", b.browser("").get(route, "Authorization", "Bearer "+token), http.StatusMethodNotAllowed, "method_not_allowed")
	}
	claims, err := b.verifier.Verify(t.Context(), token)
	must(t, err)
	_, err = b.store.SetAccess(t.Context(), claims.Subject, db.Access{Status: db.StatusBlocked}, b.clock.Now())
	must(t, err)
	b.wantError("blocked", b.postJSON(phoneRoute, token, map[string]string{"code": b.phoneCode(b.mini, "alice")}), http.StatusForbidden, "access_denied")
}

func TestProfile_TypedAndChosen(t *testing.T) {
	b := newBridge(t)
	token := b.miniToken("alice")
	send := func(members map[string]string) page { return b.postJSON(profileRoute, token, members) }
	p := send(map[string]string{"nickname": "小明🦊", "avatar_url": "https://cdn.example.com/a.png"})
	var me struct {
		ID, Nickname string
		AvatarURL    string `json:"avatar_url"`
		Registered   bool
	}
	must(t, json.Unmarshal([]byte(p.body), &me))
	if p.StatusCode != http.StatusOK || me.Nickname != "小明🦊" || me.AvatarURL != "https://cdn.example.com/a.png" || !me.Registered || me.ID != b.fanOf(token).ID {
		t.Fatalf("profile: %d %s", p.StatusCode, p.body)
	}
	// An empty field was not filled in.
	for _, members := range []map[string]string{{"nickname": "Ann", "avatar_url": ""}, {"nickname": "", "avatar_url": "https://cdn.example.com/b.png"}} {
		if p := send(members); p.StatusCode != http.StatusOK {
			t.Errorf("%v: %d %s", members, p.StatusCode, p.body)
		}
	}
	if fan := b.fanOf(token); fan.Nickname != "Ann" || fan.AvatarURL != "https://cdn.example.com/b.png" {
		t.Errorf("stored: %+v", fan)
	}
	if p := b.browser("").do("POST", profileRoute, "nickname=Form", "Content-Type", "application/x-www-form-urlencoded",
		"Authorization", "Bearer "+token); p.StatusCode != http.StatusOK {
		t.Errorf("form: %d %s", p.StatusCode, p.body)
	}
	for name, members := range map[string]map[string]string{
		"nothing":           {},
		"nothing filled in": {"nickname": "", "avatar_url": ""},
		"blank":             {"nickname": "  "},
		"too long":          {"nickname": strings.Repeat("长", 65)},
		"control character": {"nickname": "a\u0007b"},
		"plain http":        {"avatar_url": "http://cdn.example.com/a.png"},
		"script":            {"avatar_url": "javascript:alert(1)"},
		"credentials":       {"avatar_url": "https://u:p@cdn.example.com/a.png"},
		"address too long":  {"avatar_url": "https://cdn.example.com/" + strings.Repeat("a", 512)},
		"half of one form":  {"encrypted_data": "AAAA", "iv": "AAAA"},
		"both forms":        {"nickname": "Ann", "encrypted_data": "A", "iv": "A", "raw_data": "{}", "signature": "a"},
	} {
		b.wantError(name, send(members), http.StatusBadRequest, "invalid_request")
	}
	for _, file := range []string{"http://tmp/bnMmEbfpqclV.jpeg", "wxfile://tmp_a.png"} {
		p := send(map[string]string{"avatar_url": file})
		b.wantError(file, p, http.StatusBadRequest, "invalid_request")
		if !strings.Contains(p.body, "wx.uploadFile") {
			t.Errorf("%s: does not say what to do: %s", file, p.body)
		}
	}
	if fan := b.fanOf(token); fan.Nickname != "Form" || fan.AvatarURL != "https://cdn.example.com/b.png" {
		t.Errorf("a refusal changed the fan: %+v", fan)
	}
}

func TestProfile_Encrypted(t *testing.T) {
	b := newBridge(t)
	b.set("profile-data", "real")
	token := b.miniToken("alice")
	p := b.postJSON(profileRoute, token, b.userInfo(b.mini, "alice"))
	if fan := b.fanOf(token); p.StatusCode != http.StatusOK || fan.Nickname == "" || fan.AvatarURL == "" || !fan.Registered() ||
		!strings.Contains(p.body, fmt.Sprintf(`"nickname":%q`, fan.Nickname)) {
		t.Fatalf("profile: %d %s", p.StatusCode, p.body)
	}
	must(t, b.nickname(token, "Ann"))

	// What everybody is called since 2022 says nothing about anybody.
	b.set("profile-data", "anonymous")
	for _, api := range []string{"getUserInfo", "getUserProfile"} {
		if p := b.postJSON(profileRoute, token, b.userInfo(b.mini, "alice", "api", api)); p.StatusCode != http.StatusOK || !strings.Contains(p.body, `"nickname":"Ann"`) {
			t.Errorf("%s: %d %s", api, p.StatusCode, p.body)
		}
	}
	guest := b.miniToken("bob")
	if p := b.postJSON(profileRoute, guest, b.userInfo(b.mini, "bob")); p.StatusCode != http.StatusOK || !strings.Contains(p.body, `"registered":false`) {
		t.Errorf("a guest without a name: %d %s", p.StatusCode, p.body)
	}
}

// The session key is that of the latest login of the token's own identity, and of no other.
func TestWX08_EncryptedDataOfAnotherSession(t *testing.T) {
	b := newBridge(t)
	b.set("profile-data", "real")
	token := b.miniToken("alice")
	b.miniToken("bob")
	logInElsewhere := func() { // the bridge never sees the code
		b.jsCode("alice")
	}
	good := func() map[string]string { return b.userInfo(b.mini, "alice") }
	with := func(name, value string) map[string]string {
		data := good()
		data[name] = value
		return data
	}
	for name, data := range map[string]map[string]string{
		"of another person":        b.userInfo(b.mini, "bob"),
		"raw data of another":      with("raw_data", `{"nickName":"Mallory"}`),
		"signature of another":     with("signature", strings.Repeat("0", 40)),
		"another iv":               with("iv", base64.StdEncoding.EncodeToString(make([]byte, 16))),
		"other blocks":             with("encrypted_data", base64.StdEncoding.EncodeToString(make([]byte, 64))),
		"watermark of another app": b.userInfo(b.mini, "alice", "watermark", map[string]any{"appid": b.mini2.AppID}),
		"made yesterday":           b.userInfo(b.mini, "alice", "watermark", map[string]any{"timestamp": time.Now().Add(-24 * time.Hour).Unix()}),
		"made tomorrow":            b.userInfo(b.mini, "alice", "watermark", map[string]any{"timestamp": time.Now().Add(24 * time.Hour).Unix()}),
	} {
		p := b.postJSON(profileRoute, token, data)
		b.wantError(name, p, http.StatusBadRequest, "invalid_grant")
		if !strings.Contains(p.body, "Log in again") {
			t.Errorf("%s: does not say what to do: %s", name, p.body)
		}
	}
	if !strings.Contains(b.log.String(), `"session_key":"current"`) {
		t.Error("the log does not say that the key was not at fault")
	}
	for name, data := range map[string]map[string]string{
		"not base64":        with("encrypted_data", "%%%"),
		"plus lost":         with("encrypted_data", strings.Repeat("A ", 32)),
		"half a block":      with("encrypted_data", base64.StdEncoding.EncodeToString(make([]byte, 24))),
		"iv of 12 bytes":    with("iv", base64.StdEncoding.EncodeToString(make([]byte, 12))),
		"half a signature":  with("signature", strings.Repeat("0", 20)),
		"data too long":     with("encrypted_data", strings.Repeat("A", 20<<10)),
		"raw data too long": with("raw_data", strings.Repeat("A", 20<<10)),
	} {
		b.wantError(name, b.postJSON(profileRoute, token, data), http.StatusBadRequest, "invalid_request")
	}
	b.wantError("far too long", b.postJSON(profileRoute, token, with("raw_data", strings.Repeat("A", 80<<10))), http.StatusRequestEntityTooLarge, "invalid_request")
	if fan := b.fanOf(token); fan.Nickname != "" {
		t.Errorf("a refusal changed the fan: %+v", fan)
	}

	logInElsewhere()
	b.wantError("stale key", b.postJSON(profileRoute, token, good()), http.StatusBadRequest, "invalid_grant")
	if !strings.Contains(b.log.String(), `"session_key":"replaced"`) {
		t.Error("the log does not say that the key was replaced")
	}
	data := good()
	again := b.miniToken("alice") // another login: now even data made a moment ago are void
	b.wantError("data from before the login", b.postJSON(profileRoute, again, data), http.StatusBadRequest, "invalid_grant")
	if p := b.postJSON(profileRoute, token, good()); p.StatusCode != http.StatusOK { // the key is the person's, not the token's
		t.Errorf("after logging in again: %d %s", p.StatusCode, p.body)
	}
	b.set("encrypted-data-key", "previous")
	b.wantError("made with the key before", b.postJSON(profileRoute, again, good()), http.StatusBadRequest, "invalid_grant")
}

func TestWX03_TheSessionKeyGoesNowhere(t *testing.T) {
	b := newBridge(t)
	token := b.miniToken("alice")
	data := b.userInfo(b.mini, "alice")
	p := b.postJSON(profileRoute, token, data)
	claims, err := b.verifier.Verify(t.Context(), token)
	must(t, err)
	_, identity, err := b.store.FanByIdentity(t.Context(), claims.Provider, claims.AppID, claims.OpenID)
	must(t, err)
	if len(identity.SessionKeySealed) == 0 {
		t.Fatal("no session key is stored; this test shows nothing")
	}
	for what, text := range map[string]string{"answer": p.body, "log": b.log.String()} {
		for _, secret := range []string{data["encrypted_data"], data["iv"], data["signature"], claims.OpenID + `"`} {
			if what == "log" && strings.Contains(text, secret) {
				t.Errorf("the %s has %q", what, secret)
			}
		}
		if strings.Contains(text, "session_key") {
			t.Errorf("the %s speaks of session_key: %s", what, text)
		}
	}
}

func TestNickname_IsCheckedWhereTheConfigurationSaysSo(t *testing.T) {
	b := newBridge(t, func(c *handlers.Config) { c.CheckNicknames = true })
	token := b.miniToken("alice")
	patch := func(name string) page {
		return b.browser("").do("PATCH", "/me", fmt.Sprintf(`{"nickname":%q}`, name), "Content-Type", "application/json", "Authorization", "Bearer "+token)
	}
	if p := b.postJSON(profileRoute, token, map[string]string{"nickname": "Ann"}); p.StatusCode != http.StatusOK {
		t.Fatalf("a good name: %d %s", p.StatusCode, p.body)
	}
	for _, version := range []string{"v2", "v1"} {
		b.set("text-check", version)
		for _, name := range []string{"违规", "a risky name", "疑似"} {
			b.wantError(version+" "+name, b.postJSON(profileRoute, token, map[string]string{"nickname": name}), http.StatusBadRequest, "invalid_request")
			b.wantError(version+" "+name+" by PATCH", patch(name), http.StatusBadRequest, "invalid_request")
		}
	}
	if got := b.fanOf(token).Nickname; got != "Ann" {
		t.Errorf("stored: %q", got)
	}
	calls := b.calls("/wxa/msg_sec_check")
	b.postJSON(profileRoute, token, map[string]string{"nickname": "Ann", "avatar_url": "https://cdn.example.com/a.png"})
	if now := b.calls("/wxa/msg_sec_check"); now != calls {
		t.Error("a name that stays is checked")
	}
	b.fault(`{"path":"/wxa/msg_sec_check","errcode":61010,"times":1}`)
	b.wantError("away too long", b.postJSON(profileRoute, token, map[string]string{"nickname": "Bea"}), http.StatusBadRequest, "invalid_grant")
	b.fault(`{"path":"/wxa/msg_sec_check","errcode":-1,"times":0}`)
	b.wantError("WeChat is busy", b.postJSON(profileRoute, token, map[string]string{"nickname": "Bea"}), http.StatusServiceUnavailable, "temporarily_unavailable")

	off := newBridge(t)
	must(t, off.nickname(off.miniToken("alice"), "a risky name"))
	if off.calls("/wxa/msg_sec_check") != 0 {
		t.Error("asked without being told to")
	}
}
