package wechat_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"wxbridge/wechat"
)

func TestErrors_EachCodeHasOneMeaning(t *testing.T) {
	const exchange, refresh, userinfo, login = "sns/oauth2/access_token", "sns/oauth2/refresh_token", "sns/userinfo", "sns/jscode2session"
	const stable, rotating, follower = "cgi-bin/stable_token", "cgi-bin/token", "cgi-bin/user/info"
	everywhere := []string{exchange, refresh, userinfo, login, stable, rotating, follower}
	spending := []string{exchange, login}
	tests := []struct {
		name  string
		codes []int
		ops   []string
		want  error
	}{
		{"codes that WeChat does not take", []int{40029, 40163, 42003, 41008}, everywhere, wechat.ErrInvalidCode},
		{"trouble at WeChat", []int{-1, -1000, 61450}, everywhere, wechat.ErrBusy},
		{"limits", []int{45009, 45011}, everywhere, wechat.ErrRateLimited},
		{"our own faults", []int{40013, 40125, 41002, 41004, 40164, 40243, 48001, 48004, 40002, 40066, 43001, 89503}, everywhere, wechat.ErrMisconfigured},
		{"codes nobody has documented", []int{1, 12345, 99999}, everywhere, wechat.ErrMisconfigured},
		{"users WeChat refuses", []int{40226, 50002, 46004}, everywhere, wechat.ErrForbidden},
		{"stale access tokens", []int{40001, 40014, 42001, 42007, 50001, 40003}, []string{userinfo}, wechat.ErrInvalidToken},
		{"stale refresh tokens", []int{40030, 42002, 42007, 41003, 40001, 40014, 42001, 50001}, []string{refresh}, wechat.ErrInvalidRefreshToken},
		{"a void authorisation met with a code", []int{42007, 50001, 42002}, spending, wechat.ErrInvalidCode},
		{"an app's token, even a fresh one", []int{40001, 40014, 42001, 41001}, []string{follower, "wxa/business/getuserphonenumber"}, wechat.ErrMisconfigured},
		{"an openid of another account", []int{40003}, []string{follower}, wechat.ErrMisconfigured},
		{"40001 where the secret was sent for an app token", []int{40001}, []string{stable, rotating}, wechat.ErrMisconfigured},
		{"40001 beside an app secret means the secret", []int{40001}, spending, wechat.ErrMisconfigured},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, code := range tt.codes {
				for _, op := range tt.ops {
					wantOnly(t, &wechat.Error{Op: op, Code: code, Message: "test"}, tt.want)
				}
			}
		})
	}
}

func TestErrors_CarryCodeAndMessage(t *testing.T) {
	tests := []struct {
		file, text string
		code       int
	}{
		{"used_code.json", "wechat: sns/jscode2session: errcode 40163: code been used, rid: 62308e5d-0b0b697e-1db652eb", 40163},
		{"used_code_2017.json", "wechat: sns/jscode2session: errcode 40163: code been used, hints: [ req_id: plAv90053th21 ]", 40163},
		{"invalid_code_string.json", "wechat: sns/jscode2session: errcode 40029: invalid code, rid: 62308e5d-0b0b697e-1db652eb", 40029},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			up := startUpstream(t, answers(golden(t, tt.file)))
			_, err := newMiniProgram(t, up.api(t)).Login(t.Context(), code)
			wantOnly(t, err, wechat.ErrInvalidCode)
			e, ok := errors.AsType[*wechat.Error](err)
			if !ok || e.Op != "sns/jscode2session" || e.Code != tt.code || e.Error() != tt.text {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestWX01_AnEchoInErrmsgIsRedacted(t *testing.T) {
	token := userToken()
	echo, err := json.Marshal(map[string]any{"errcode": 40013, "errmsg": fmt.Sprintf("bad: %s %s %s %s %s",
		secret, code, openID, token.AccessToken.Reveal(), token.RefreshToken.Reveal())})
	if err != nil {
		t.Fatal(err)
	}
	api := startUpstream(t, answers(string(echo))).api(t)
	private := map[string][]string{
		"sns/oauth2/access_token":  {secret, code},
		"sns/oauth2/refresh_token": {token.RefreshToken.Reveal()},
		"sns/userinfo":             {token.AccessToken.Reveal(), openID},
		"sns/jscode2session":       {secret, code},
		"cgi-bin/stable_token":     {secret},
		"cgi-bin/token":            {secret},
	}
	for _, call := range calls(t, api) {
		err := call.do()
		wantOnly(t, err, wechat.ErrMisconfigured)
		wantNone(t, everyText(err), private[call.op]...)
		if !strings.Contains(err.Error(), "bad: ") || strings.Count(err.Error(), "[redacted]") != len(private[call.op]) {
			t.Errorf("%s: more or less than the private values is gone from %q", call.op, err)
		}
	}
}

func TestWX01_EscapedEchoesAreRedactedToo(t *testing.T) {
	refresh := wechat.Secret("61_R+/==&x")
	up := startUpstream(t, answers(`{"errcode":40030,"errmsg":"invalid refresh_token=61_R%2B%2F%3D%3D%26x or 61_R+/==&x"}`))
	_, err := newOfficial(t, up.api(t)).Refresh(t.Context(), refresh)
	wantOnly(t, err, wechat.ErrInvalidRefreshToken)
	if e, ok := errors.AsType[*wechat.Error](err); !ok || e.Message != "invalid refresh_token=[redacted] or [redacted]" {
		t.Errorf("got %q", err)
	}
}

func TestWX01_CleaningDoesNotPutASecretTogether(t *testing.T) {
	split := secret[:10] + `\u0000` + secret[10:20] + `\u200b` + secret[20:]
	up := startUpstream(t, answers(`{"errcode":40125,"errmsg":"invalid appsecret `+split+`"}`))
	_, err := newMiniProgram(t, up.api(t)).Login(t.Context(), code)
	wantOnly(t, err, wechat.ErrMisconfigured)
	wantNone(t, everyText(err), secret)
}

func TestErrors_MessagesAreFitForALog(t *testing.T) {
	tests := []struct{ name, errmsg, want string }{
		{"control characters go", `"a\u0000b\r\nc\u001b[31md\u007f"`, "abc[31md"},
		{"raw control characters go", "\"a\nb\"", "ab"},
		{"what turns text around goes", `"a\u202Eb\u2066c\u200Fd\u2028e"`, "abcde"},
		{"Chinese stays", `"redirect_uri域名与后台配置不一致"`, "redirect_uri域名与后台配置不一致"},
		{"broken UTF-8 goes", "\"a\xff\xfeb\"", "ab"},
		{"a message of another type is none", `{"a":1}`, ""},
		{"200 characters stay", `"` + strings.Repeat("界", 200) + `"`, strings.Repeat("界", 200)},
		{"the rest of a long message goes", `"` + strings.Repeat("界", 5000) + `"`, strings.Repeat("界", 200) + "…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := startUpstream(t, answers(`{"errcode":40013,"errmsg":`+tt.errmsg+`}`))
			_, err := newMiniProgram(t, up.api(t)).Login(t.Context(), code)
			e, ok := errors.AsType[*wechat.Error](err)
			if !ok || e.Message != tt.want || !utf8.ValidString(e.Message) {
				t.Errorf("got %q, want %q", e.Message, tt.want)
			}
		})
	}
}

func TestExplain_KnowsTheCodesOfTheseCalls(t *testing.T) {
	// wechat-protocol §1.1 to §1.4, §2.3, §2.4, §3.3, §4.1, §6.1, §7.1 and §8.
	documented := []int{
		-1, 40001, 40002, 40003, 40013, 40014, 40029, 40030, 40125, 40163, 40164, 40226, 40243, 41001, 41002, 41003, 41004,
		41008, 41009, 42001, 42002, 42003, 42007, 43001, 43002, 43003, 45009, 45011, 48001, 50001, 50002,
		89501, 89503, 89506, 89507, 44002, 47001, 48006, 61024,
		40007, 40015, 40016, 40017, 40018, 40019, 40020, 40022, 40023, 40024, 40025, 40026, 40027, 40033, 40048, 40052, 40053, 40054,
		40055, 40119, 40120, 40129, 40155, 41007, 45010, 45064, 46003, 61010, 65316, 65317, 87009,
		10003, 10004, 10005, 10006, 10009, 10010, 10011, 10012, 10013, 10015, 10016,
	}
	for _, code := range documented {
		if cause, fix, ok := wechat.Explain(code); !ok || cause == "" || fix == "" {
			t.Errorf("Explain(%d) = %q, %q, %t", code, cause, fix, ok)
		}
	}
	for _, code := range []int{0, 1, 40028, 99999} {
		if cause, fix, ok := wechat.Explain(code); ok || cause != "" || fix != "" {
			t.Errorf("Explain(%d) = %q, %q, %t for an unknown code", code, cause, fix, ok)
		}
	}
}

func TestExplain_NamesThePlaceInTheConsole(t *testing.T) {
	places := map[int]string{
		40125: "开发密钥", 40013: "公众平台", 40164: "API IP白名单", 48001: "接口权限", 10003: "网页授权域名", 45009: "接口权限与额度",
		40048: "JS接口安全域名", 45064: "关联小程序",
	}
	for code, place := range places {
		if _, fix, _ := wechat.Explain(code); !strings.Contains(fix, place) {
			t.Errorf("the fix of %d does not name %s: %s", code, place, fix)
		}
	}
}

// everyText is all that careless printing of err could show: every verb, and
// every error it wraps.
func everyText(err error) string {
	var all strings.Builder
	for ; err != nil; err = errors.Unwrap(err) {
		fmt.Fprintf(&all, "%v\n%+v\n%#v\n%s\n%q\n", err, err, err, err, err)
		slog.New(slog.NewJSONHandler(&all, nil)).Error("failed", "err", err)
		if text, jsonErr := json.Marshal(err); jsonErr == nil {
			all.Write(text)
		}
	}
	return all.String()
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
