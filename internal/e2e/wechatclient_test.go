package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat"
	"wxbridge/wechat/simulator"
)

// The client and the simulator are each written from the protocol notes alone. Here they meet, call by call, under every
// choice of the switches that concern a call.

// wechatAt gives the app's tokens at a product's simulator.
func (p *product) wechatAt(t testing.TB, app simulator.App) (*wechat.API, *wechat.AppTokens) {
	t.Helper()
	base, err := url.Parse(p.simulator)
	if err != nil {
		t.Fatal(err)
	}
	client := wechat.NewHTTPClient()
	t.Cleanup(client.CloseIdleConnections)
	api := &wechat.API{BaseURL: base, OpenURL: base, MPURL: base, HTTP: client}
	tokens, err := wechat.NewAppTokens(api, wechat.App{ID: app.AppID, Secret: wechat.Secret(app.Secret)}, wechat.AppTokenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return api, tokens
}

func (p *product) miniProgramAt(t testing.TB) (*wechat.MiniProgram, *wechat.AppTokens) {
	t.Helper()
	api, tokens := p.wechatAt(t, p.mini)
	program, err := wechat.NewMiniProgram(api, wechat.App{ID: p.mini.AppID, Secret: wechat.Secret(p.mini.Secret)})
	if err != nil {
		t.Fatal(err)
	}
	return program, tokens
}

// session logs a person in to the mini program.
func (p *product) session(t testing.TB, program *wechat.MiniProgram, person string) wechat.Session {
	t.Helper()
	s, err := program.Login(t.Context(), p.jsCode(t, person))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestClientMeetsSimulator_PhoneNumbers(t *testing.T) {
	p := startServe(t, nil)
	program, tokens := p.miniProgramAt(t)
	alice := p.session(t, program, "alice")
	phoneCode := func() string {
		var answer struct{ Code string }
		p.control(t, http.MethodPost, "/_simulator/phone-code", map[string]string{"person": "alice", "appid": p.mini.AppID}, &answer)
		return answer.Code
	}
	for _, form := range []string{"string", "number"} {
		p.set(t, "phone-country-code", form)
		code := phoneCode()
		phone, err := tokens.PhoneNumber(t.Context(), code, "")
		if err != nil || phone.CountryCode != "86" || phone.PureNumber == "" {
			t.Errorf("country as %s: %+v, %v", form, phone, err)
		}
		if _, err := tokens.PhoneNumber(t.Context(), code, ""); !errors.Is(err, wechat.ErrInvalidCode) {
			t.Errorf("the same code again: %v", err)
		}
	}
	if _, err := tokens.PhoneNumber(t.Context(), phoneCode(), alice.OpenID); err != nil {
		t.Errorf("of the user it is of: %v", err)
	}
	if _, err := tokens.PhoneNumber(t.Context(), phoneCode(), p.session(t, program, "bob").OpenID); err == nil {
		t.Error("alice's number is bob's")
	}
	if _, err := tokens.PhoneNumber(t.Context(), p.jsCode(t, "alice"), ""); !errors.Is(err, wechat.ErrInvalidCode) {
		t.Errorf("a code of wx.login: %v", err)
	}
	_, foreign := p.wechatAt(t, p.official)
	if _, err := foreign.PhoneNumber(t.Context(), phoneCode(), ""); !errors.Is(err, wechat.ErrMisconfigured) {
		t.Errorf("with another app's token: %v", err)
	}
	code := phoneCode()
	p.advance(t, "6m")
	if _, err := tokens.PhoneNumber(t.Context(), code, ""); !errors.Is(err, wechat.ErrInvalidCode) {
		t.Errorf("an old code: %v", err)
	}
}

// encryptedProfile is what wx.getUserInfo gives.
type encryptedProfile struct {
	RawData, Signature, EncryptedData, IV string
}

func (p *product) encryptedProfile(t testing.TB, more map[string]any) (got encryptedProfile) {
	t.Helper()
	body := map[string]any{"person": "alice", "appid": p.mini.AppID}
	for name, value := range more {
		body[name] = value
	}
	p.control(t, http.MethodPost, "/_simulator/encrypted-profile", body, &got)
	return got
}

func TestClientMeetsSimulator_UserData(t *testing.T) {
	p := startServe(t, nil)
	program, tokens := p.miniProgramAt(t)
	first := p.session(t, program, "alice")
	for _, names := range []string{"anonymous", "real"} {
		p.set(t, "profile-data", names)
		sealed := p.encryptedProfile(t, nil)
		data, err := program.OpenUserData(first.Key, sealed.EncryptedData, sealed.IV)
		if err != nil || data.OpenID != first.OpenID || data.UnionID != first.UnionID || data.Nickname == "" || time.Since(data.At).Abs() > time.Minute {
			t.Errorf("%s: %+v, %v", names, data, err)
		}
		if err := wechat.CheckRawData(first.Key, sealed.RawData, sealed.Signature); err != nil {
			t.Error(err)
		}
		if err := wechat.CheckRawData(first.Key, sealed.RawData+" ", sealed.Signature); !errors.Is(err, wechat.ErrSession) {
			t.Errorf("changed raw data: %v", err)
		}
	}
	sealed := p.encryptedProfile(t, map[string]any{"api": "getUserProfile"})
	if data, err := program.OpenUserData(first.Key, sealed.EncryptedData, sealed.IV); err != nil || data.OpenID != "" || data.UnionID != "" {
		t.Errorf("getUserProfile: %+v, %v", data, err)
	}
	for name, mark := range map[string]map[string]any{
		"another app": {"appid": p.official.AppID},
		"an old one":  {"timestamp": time.Now().Add(-time.Hour).Unix()},
	} {
		sealed := p.encryptedProfile(t, map[string]any{"watermark": mark})
		if _, err := program.OpenUserData(first.Key, sealed.EncryptedData, sealed.IV); !errors.Is(err, wechat.ErrWatermark) {
			t.Errorf("WX-08 %s: %v", name, err)
		}
	}
	if err := tokens.CheckSession(t.Context(), first.OpenID, first.Key); err != nil {
		t.Error(err)
	}

	// Another login takes the key away.
	second := p.session(t, program, "alice")
	sealed = p.encryptedProfile(t, nil)
	if second.Key == first.Key {
		t.Fatal("the key has not changed")
	}
	if _, err := program.OpenUserData(first.Key, sealed.EncryptedData, sealed.IV); !errors.Is(err, wechat.ErrSession) {
		t.Errorf("with the key before: %v", err)
	}
	if _, err := program.OpenUserData(second.Key, sealed.EncryptedData, sealed.IV); err != nil {
		t.Errorf("with the key now: %v", err)
	}
	if err := wechat.CheckRawData(first.Key, sealed.RawData, sealed.Signature); !errors.Is(err, wechat.ErrSession) {
		t.Errorf("the signature with the key before: %v", err)
	}
	if err := tokens.CheckSession(t.Context(), first.OpenID, first.Key); !errors.Is(err, wechat.ErrSession) {
		t.Errorf("the session before: %v", err)
	}
	p.set(t, "encrypted-data-key", "previous")
	sealed = p.encryptedProfile(t, nil)
	if _, err := program.OpenUserData(second.Key, sealed.EncryptedData, sealed.IV); !errors.Is(err, wechat.ErrSession) {
		t.Errorf("made with the key before: %v", err)
	}
}

func TestClientMeetsSimulator_TextChecks(t *testing.T) {
	p := startServe(t, nil)
	program, tokens := p.miniProgramAt(t)
	alice := p.session(t, program, "alice")
	for _, version := range []string{"v2", "v1"} {
		p.set(t, "text-check", version)
		for text, pass := range map[string]bool{"小明 & <b>": true, "违规": false, "😀": true} {
			verdict, err := tokens.MsgSecCheck(t.Context(), wechat.UserText{OpenID: alice.OpenID, Scene: wechat.TextProfile, Content: text})
			if err != nil || verdict.Pass() != pass {
				t.Errorf("%s: %q: %+v, %v", version, text, verdict, err)
			}
		}
	}
	p.advance(t, "3h")
	if _, err := tokens.MsgSecCheck(t.Context(), wechat.UserText{OpenID: alice.OpenID, Scene: wechat.TextProfile, Content: "a"}); !errors.Is(err, wechat.ErrSession) {
		t.Errorf("away for three hours: %v", err)
	}
}

func TestClientMeetsSimulator_JSSDK(t *testing.T) {
	p := startServe(t, nil)
	_, tokens := p.wechatAt(t, p.official)
	tickets := wechat.NewJSAPITickets(tokens)
	page := p.bridge + "/?a=1&b=汉%20字"
	for _, life := range []string{"7200", "remaining"} {
		p.set(t, "jsapi-ticket-expires-in", life)
		ticket, err := tickets.Ticket(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		verdict := func(signature, page string) string {
			var answer struct{ ErrMsg string }
			p.control(t, http.MethodPost, "/_simulator/jssdk-config", map[string]any{"call": "config", "appId": p.official.AppID,
				"timestamp": 1414587457, "nonceStr": "Wm3WZYTPz0wzccnW", "signature": signature, "url": page}, &answer)
			return answer.ErrMsg
		}
		good := wechat.SignJSSDK(ticket.Value, "Wm3WZYTPz0wzccnW", 1414587457, page+"#/route")
		if got := verdict(good, page); got != "config:ok" {
			t.Errorf("%s: %s", life, got)
		}
		if got := verdict(good, page+"&from=singlemessage"); !strings.Contains(got, "invalid signature") {
			t.Errorf("another page: %s", got)
		}
		p.advance(t, "100m")
		tickets.Drop(ticket.Value) // WeChat gives the same one again, with 7200 seconds or what is left
	}
}

func TestClientMeetsSimulator_QRCodes(t *testing.T) {
	p := startServe(t, nil)
	_, tokens := p.wechatAt(t, p.official)
	code, err := tokens.CreateQRCode(t.Context(), "login_9f2c"+strings.Repeat("x", 54), 5*time.Minute)
	if err != nil || !strings.HasPrefix(code.ImageURL, p.simulator+"/cgi-bin/showqrcode?ticket=") || code.URL == "" ||
		time.Until(code.ExpiresAt) < 4*time.Minute {
		t.Fatalf("%+v, %v", code, err)
	}
	show := func() (int, string) {
		response, err := p.http.Get(code.ImageURL)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode, response.Header.Get("Content-Type")
	}
	if status, kind := show(); status != http.StatusOK || !strings.HasPrefix(kind, "image/") {
		t.Errorf("the picture: %d %s", status, kind)
	}
	code.ImageURL += "x"
	if status, _ := show(); status != http.StatusNotFound {
		t.Errorf("the picture of no code: %d", status)
	}
	_, mini := p.wechatAt(t, p.mini)
	if _, err := mini.CreateQRCode(t.Context(), "s", time.Minute); !errors.Is(err, wechat.ErrMisconfigured) {
		t.Errorf("of a mini program: %v", err)
	}
}

func TestClientMeetsSimulator_Menus(t *testing.T) {
	p := startServe(t, nil)
	_, tokens := p.wechatAt(t, p.official)
	if _, err := tokens.Menu(t.Context()); !errors.Is(err, wechat.ErrNoMenu) {
		t.Errorf("before the first: %v", err)
	}
	if current, err := tokens.CurrentMenu(t.Context()); err != nil || current.Open || len(current.Buttons) != 0 {
		t.Errorf("before the first: %+v, %v", current, err)
	}
	wanted := []wechat.MenuButton{
		{Type: "click", Name: "今日歌曲", Key: "V1001"},
		{Name: "菜单", Sub: []wechat.MenuButton{
			{Type: "view", Name: "搜索 <1>", URL: "https://www.example.com/?a=1&b=2"},
			{Type: "miniprogram", Name: "小程序", URL: "https://www.example.com/", AppID: p.mini.AppID, PagePath: "pages/index"},
			{Type: "scancode_push", Name: "扫", Key: `a\u0026"b`},
		}},
	}
	if err := tokens.CreateMenu(t.Context(), wanted); err != nil {
		t.Fatal(err)
	}
	menu, err := tokens.Menu(t.Context())
	current, err2 := tokens.CurrentMenu(t.Context())
	want, _ := json.Marshal(wanted)
	for _, buttons := range [][]wechat.MenuButton{menu.Buttons, current.Buttons} {
		if got, _ := json.Marshal(buttons); string(got) != string(want) || err != nil || err2 != nil {
			t.Errorf("read back: %s, %v, %v\nwant %s", got, err, err2, want)
		}
	}
	// WeChat's own refusals, of menus that no file gets past its check.
	for errcode, b := range map[int]wechat.MenuButton{
		40018: {Type: "click", Name: strings.Repeat("a", 17), Key: "k"},
		40019: {Type: "click", Name: "a", Key: strings.Repeat("k", 129)},
		40020: {Type: "view", Name: "a", URL: "https://e.com/" + strings.Repeat("u", 1024)},
		40017: {Type: "nothing", Name: "a"},
		45064: {Type: "miniprogram", Name: "a", URL: "https://e.com/", AppID: "wx0123456789abcdef", PagePath: "p"},
	} {
		err := tokens.CreateMenu(t.Context(), []wechat.MenuButton{b})
		if e, ok := errors.AsType[*wechat.Error](err); !ok || e.Code != errcode || !errors.Is(err, wechat.ErrMisconfigured) {
			t.Errorf("want %d: %v", errcode, err)
		}
	}
	if err := tokens.DeleteMenu(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := tokens.Menu(t.Context()); !errors.Is(err, wechat.ErrNoMenu) {
		t.Errorf("after the last: %v", err)
	}
}
