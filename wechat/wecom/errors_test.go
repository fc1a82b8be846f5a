package wecom_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"wxbridge/wechat"
	"wxbridge/wechat/wecom"
)

func failWith(t *testing.T, body string) *wechat.Error {
	t.Helper()
	q := startQYAPI(t)
	q.answer(exchangePath, body)
	_, err := q.client(t).Exchange(t.Context(), code)
	e, ok := errors.AsType[*wechat.Error](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	return e
}

// The forms of wecom-protocol §0.2.
func TestErrors_KeepHintAndAddress(t *testing.T) {
	tests := []struct{ errmsg, message, hint, from string }{
		{"invalid code, hint: [1686838812640290159432749], from ip: 203.0.113.163, more info at https://open.work.weixin.qq.com/devtool/query?e=40029",
			"invalid code", "1686838812640290159432749", "203.0.113.163"},
		{"redirect_uri unauthorized, hint: [1623227348_147_fab41b73942e87ef6f2e803d8d28d006], from ip: 203.0.113.5, more info at https://x",
			"redirect_uri unauthorized", "1623227348_147_fab41b73942e87ef6f2e803d8d28d006", "203.0.113.5"},
		{"invalid corpid, hint: [1508227348_fab41b73942e87ef6f2e803d8d28d006], more info at https://x", "invalid corpid",
			"1508227348_fab41b73942e87ef6f2e803d8d28d006", ""},
		{"no privilege to access/modify contact/party/agent , hint: [1646185148234890469598501], from ip: 2001:db8::7, more info at https://x",
			"no privilege to access/modify contact/party/agent", "1646185148234890469598501", "2001:db8::7"},
		{"not allow operate another agent with this accesstoken., hint: [1646185148234890469598501], from ip: 1.2.3.4",
			"not allow operate another agent with this accesstoken", "1646185148234890469598501", "1.2.3.4"},
		{"invalid access_token", "invalid access_token", "", ""},
		{"invalid code, hint: [], from ip: 1.2.3.4", "invalid code", "", ""},
		{"invalid code, hint: [<script>], from ip: 1.2.3.4", "invalid code", "", ""},
		{"invalid code, hint: [1], from ip: 999.1.1.1, more", "invalid code", "1", ""},
		{"", "", "", ""},
	}
	for _, tt := range tests {
		e := failWith(t, fmt.Sprintf(`{"errcode":40029,"errmsg":%q}`, tt.errmsg))
		if e.Code != 40029 || e.Op != "cgi-bin/auth/getuserinfo" || e.Message != tt.message || e.Hint != tt.hint || e.From != tt.from {
			t.Errorf("%q: %+q %+q %+q", tt.errmsg, e.Message, e.Hint, e.From)
		}
	}
	const want = "wecom: cgi-bin/auth/getuserinfo: errcode 40029: invalid code, hint 1686838812640290159432749, from 203.0.113.163"
	if got := failWith(t, refusal(40029, "invalid code")).Error(); got != want {
		t.Errorf("got %q", got)
	}
}

func TestErrors_A60020SaysWhichAddressToAddAndWhere(t *testing.T) {
	e := failWith(t, refusal(60020, "not allow to access from your ip"))
	cause, fix, ok := e.Explain()
	if !ok || !errors.Is(e, wechat.ErrMisconfigured) || !strings.Contains(cause, "203.0.113.163") || !strings.Contains(fix, "203.0.113.163") ||
		!strings.Contains(fix, "企业可信IP") {
		t.Errorf("%q %q %t", cause, fix, ok)
	}
	e = failWith(t, `{"errcode":60020,"errmsg":"not allow to access from your ip"}`)
	if cause, fix, ok := e.Explain(); !ok || strings.Contains(cause+fix, "203.0.113") || !strings.Contains(fix, "企业可信IP") {
		t.Errorf("%q %q %t", cause, fix, ok)
	}
}

// The codes of wecom-protocol §10 whose class is R, U, L or S, and some of class C.
func TestErrors_EachCodeHasOneMeaning(t *testing.T) {
	for want, codes := range map[error][]int{
		wechat.ErrBusy:          {-1, 6000},
		wechat.ErrInvalidCode:   {40029, 40078, 40207, 42003, 42013, 42022, 43016, 90210},
		wechat.ErrInvalidToken:  {84014, 84015},
		wechat.ErrRateLimited:   {45009, 45033},
		wecom.ErrNotMember:      {46004, 60011, 60111, 50002},
		wechat.ErrMisconfigured: {40001, 40013, 40014, 40091, 41001, 42001, 48002, 50001, 50003, 60020, 301002, 85005, 1, 40163, 99999},
	} {
		for _, errcode := range codes {
			wantOnly(t, failWith(t, refusal(errcode, "test")), want)
		}
	}
}

func TestExplain_KnowsTheCodesOfTheProtocol(t *testing.T) {
	for _, code := range []int{-1, 6000, 40001, 40003, 40013, 40014, 40029, 40031, 40035, 40056, 40057, 40058, 40063, 40068, 40078, 40082, 40084, 40091,
		40093, 40094, 40096, 40127, 40133, 40207, 40208, 40209, 40210, 41001, 41002, 41004, 41008, 41009, 41011, 41022, 41035, 42001, 42003, 42009, 42012,
		42013, 42022, 43004, 43009, 43016, 44001, 45009, 45024, 45029, 45033, 46004, 48001, 48002, 48004, 48005, 48006, 48009, 50001, 50002, 50003, 60011,
		60020, 60102, 60104, 60111, 60123, 80001, 81013, 82001, 84014, 84015, 85005, 90208, 90210, 90211, 90212, 93000, 301002, 301007, 301021, 301042,
		670001, 2000002} {
		cause, fix, ok := wecom.Explain(code)
		if !ok || cause == "" || fix == "" || !strings.HasSuffix(cause, ".") && !strings.HasSuffix(cause, "\".") || !strings.HasSuffix(fix, ".") {
			t.Errorf("%d: %q, %q, %t", code, cause, fix, ok)
		}
	}
	for _, code := range []int{0, 1, 40163, 43001, 43002, 44002, 47001, 61004, 63002} { // WeChat's, and no code of WeCom's (§10)
		if _, _, ok := wecom.Explain(code); ok {
			t.Errorf("%d is explained", code)
		}
	}
}

// One number, two servers, two meanings.
func TestExplain_IsNotWeChats(t *testing.T) {
	for _, code := range []int{40001, 50001, 50002, 40003, 48006} {
		theirs, _, _ := wechat.Explain(code)
		ours, _, ok := failWith(t, refusal(code, "test")).Explain()
		if !ok || ours == theirs {
			t.Errorf("%d: %q", code, ours)
		}
	}
	plain := &wechat.Error{Op: "sns/userinfo", Code: 50001}
	if cause, _, _ := plain.Explain(); cause == "" || !errors.Is(plain, wechat.ErrInvalidToken) {
		t.Errorf("WeChat's own 50001: %q", cause)
	}
}

func TestLOG02_AnErrmsgIsFitForALog(t *testing.T) {
	e := failWith(t, `{"errcode":40058,"errmsg":"a\r\nb\u001b[2J\u202e`+strings.Repeat("x", 5000)+`, hint: [1\n2], from ip: 1.2.3.4"}`)
	if text := e.Error(); len(text) > 400 || bytes.ContainsAny([]byte(text), "\r\n\x1b") || strings.ContainsRune(text, '\u202e') || e.Hint != "" {
		t.Errorf("%q", text)
	}
}
