package wecom_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat"
	"wxbridge/wechat/wecom"
)

const (
	detailPath = "/cgi-bin/auth/getuserdetail"
	loginPath  = "/cgi-bin/miniprogram/jscode2session"
)

func TestExchange_ReadsTheAnswers(t *testing.T) {
	tests := []struct {
		name, answer string
		want         wecom.Visitor
	}{
		{"a member", `{"errcode":0,"errmsg":"ok","userid":"ZhangSan"}`, wecom.Visitor{UserID: "ZhangSan"}},
		{"a member who was asked", `{"errcode":0,"errmsg":"ok","userid":"zhangsan","user_ticket":"` + ticket + `"}`,
			wecom.Visitor{UserID: "zhangsan", Ticket: ticket}},
		{"no member", `{"errcode":0,"errmsg":"ok","openid":"oDOGms-6yCnGrRovBj2yHij5JL6E"}`, wecom.Visitor{OpenID: "oDOGms-6yCnGrRovBj2yHij5JL6E"}},
		{"a customer", `{"errcode":0,"errmsg":"ok","openid":"oDOGms-6yCnGrRovBj2yHij5JL6E","external_userid":"wmEXTERNALUSERID"}`,
			wecom.Visitor{OpenID: "oDOGms-6yCnGrRovBj2yHij5JL6E", ExternalUserID: "wmEXTERNALUSERID"}},
		{"a parent of a school", `{"errcode":0,"errmsg":"ok","external_userid":"wmPARENT","parent_userid":"p1"}`, wecom.Visitor{ExternalUserID: "wmPARENT"}},
		{"a member of a linked organisation", `{"errcode":0,"errmsg":"ok","userid":"ww0123456789abcdef/zhangsan"}`,
			wecom.Visitor{LinkedUserID: "ww0123456789abcdef/zhangsan"}},
		{"errcode last, fields unknown to us, empty ones", `{"new":[{}],"openid":"","userid":"a@b.c_-1","user_ticket":"","errmsg":"ok","errcode":0}`,
			wecom.Visitor{UserID: "a@b.c_-1"}},
		{"no errcode", `{"userid":"zhangsan"}`, wecom.Visitor{UserID: "zhangsan"}},
		{"a ticket that could not be sent", `{"errcode":0,"userid":"zhangsan","user_ticket":"a b"}`, wecom.Visitor{UserID: "zhangsan"}},
		{"a member has no other identity", `{"errcode":0,"userid":"zhangsan","openid":"oDOGms","external_userid":"wm1"}`, wecom.Visitor{UserID: "zhangsan"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := startQYAPI(t)
			q.answer(exchangePath, tt.answer)
			got, err := q.client(t).Exchange(t.Context(), code)
			if err != nil || got != tt.want || got.IsMember() != (tt.want.UserID != "") {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// An answer that names nobody, or whose fields are the empty ones of an error, is no
// login (§0.1, rule 7).
func TestWX05_AnAnswerThatNamesNobodyIsNoLogin(t *testing.T) {
	for body, want := range map[string]error{
		`{}`:                                                       wechat.ErrBusy,
		`{"errcode":0,"errmsg":"ok"}`:                              wechat.ErrBusy,
		`{"errcode":0,"userid":""}`:                                wechat.ErrBusy,
		`{"errcode":0,"UserId":"zhangsan"}`:                        wechat.ErrBusy, // of the older endpoint; names are case-sensitive
		`{"errcode":0,"userid":7}`:                                 wechat.ErrBusy,
		`{"errcode":0,"userid":"../../x"}`:                         wechat.ErrBusy,
		`{"errcode":0,"userid":"/zhangsan"}`:                       wechat.ErrBusy,
		`{"errcode":0,"userid":"a/b/c"}`:                           wechat.ErrBusy,
		`{"errcode":0,"userid":"zhang san"}`:                       wechat.ErrBusy,
		`{"errcode":0,"openid":"o\u0000x"}`:                        wechat.ErrBusy,
		`{"errcode":"zero","userid":"z"}`:                          wechat.ErrBusy,
		`[{"errcode":0,"userid":"zhangsan"}]`:                      wechat.ErrBusy,
		`{"errcode":0,"userid":"zhangsan"`:                         wechat.ErrBusy,
		`{"errcode":0,"userid":"zhangsan"} {}`:                     wechat.ErrBusy,
		`{"errcode":0,"userid":"` + strings.Repeat("z", 65) + `"}`: wechat.ErrBusy,
		`{"errcode":40029,"errmsg":"invalid code","userid":"zhangsan","parents":[]}`: wechat.ErrInvalidCode,
		`{"userid":"zhangsan","errcode":60020,"errmsg":"not allow"}`:                 wechat.ErrMisconfigured,
		refusal(40029, "invalid code"):                                               wechat.ErrInvalidCode,
		refusal(50001, "redirect_uri unauthorized"):                                  wechat.ErrMisconfigured,
		refusal(45033, "api concurrent out of limit"):                                wechat.ErrRateLimited,
		`{"errcode":-1,"errmsg":"system error"}`:                                     wechat.ErrBusy,
		"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>": wechat.ErrBusy,
	} {
		q := startQYAPI(t)
		q.answer(exchangePath, body)
		got, err := q.client(t).Exchange(t.Context(), code)
		if err == nil || got != (wecom.Visitor{}) {
			t.Errorf("%s: got %+v, %v", body, got, err)
			continue
		}
		wantOnly(t, err, want)
		if n := len(q.seen(exchangePath)); n != 1 {
			t.Errorf("%s: the code was sent %d times", body, n)
		}
	}
}

func TestWX02_AMalformedCodeNeverReachesWeCom(t *testing.T) {
	q := startQYAPI(t)
	c := q.client(t)
	for _, bad := range []string{"", "a&corpsecret=b", `"abc"`, "../", "a b", "a\n", "码", strings.Repeat("x", 513)} {
		_, err := c.Exchange(t.Context(), bad)
		wantOnly(t, err, wechat.ErrInvalidCode)
		_, err = c.Login(t.Context(), bad)
		wantOnly(t, err, wechat.ErrInvalidCode)
	}
	for _, bad := range []string{"", "a b", "a&b", "../x", "corp/member", "成员", strings.Repeat("x", 65)} {
		_, err := c.Member(t.Context(), bad)
		wantOnly(t, err, wecom.ErrNotMember)
	}
	for _, bad := range []wecom.Visitor{{}, {UserID: userID}, {OpenID: "o1", Ticket: ticket}, {UserID: userID, Ticket: "a b"},
		{UserID: userID, Ticket: wechat.Secret(strings.Repeat("x", 513))}} {
		_, err := c.Detail(t.Context(), bad)
		wantOnly(t, err, wechat.ErrInvalidToken)
	}
	if n := len(q.requests); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestDetail(t *testing.T) {
	q := startQYAPI(t)
	c := q.client(t)
	v := wecom.Visitor{UserID: "LiSi", Ticket: ticket}

	q.answer(detailPath, `{"errcode":0,"errmsg":"ok","userid":"lisi","gender":"1","avatar":"http://shp.qpic.cn/bizmp/x/0",
		"qr_code":"https://open.work.weixin.qq.com/wwopen/userQRCode?vcode=x","mobile":"13800000000","email":"zhangsan@gzdev.com",
		"biz_mail":"zhangsan@qyycs2.wecom.work","address":"广州市海珠区新港中路"}`)
	got, err := c.Detail(t.Context(), v)
	want := wecom.Detail{UserID: "lisi", Gender: wecom.GenderMale, Avatar: "http://shp.qpic.cn/bizmp/x/0",
		QRCode: "https://open.work.weixin.qq.com/wwopen/userQRCode?vcode=x", Mobile: "13800000000", Email: "zhangsan@gzdev.com",
		BizMail: "zhangsan@qyycs2.wecom.work", Address: "广州市海珠区新港中路"}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	sent := q.seen(detailPath)[0]
	if body, _ := io.ReadAll(sent.Body); sent.Method != "POST" || string(body) != `{"user_ticket":"`+ticket+`"}` || strings.Contains(sent.URL.RawQuery, ticket) {
		t.Errorf("sent %s %s %s", sent.Method, sent.URL, body)
	}

	q.answer(detailPath, `{"errcode":0,"errmsg":"ok","userid":"lisi","gender":"0","avatar":"http://default/0"}`)
	if got, err := c.Detail(t.Context(), v); err != nil || got != (wecom.Detail{UserID: "lisi", Avatar: "http://default/0"}) {
		t.Errorf("without consent: %+v, %v", got, err)
	}
	for body, want := range map[string]error{
		`{"errcode":0,"errmsg":"ok","userid":"wangwu"}`: wechat.ErrBusy, // somebody else
		`{"errcode":0,"errmsg":"ok"}`:                   wechat.ErrBusy,
		refusal(84014, "expired"):                       wechat.ErrInvalidToken,
		refusal(84015, "invalid"):                       wechat.ErrInvalidToken,
		refusal(50002, "no privilege"):                  wecom.ErrNotMember,
	} {
		q.answer(detailPath, body)
		_, err := c.Detail(t.Context(), v)
		wantOnly(t, err, want)
	}
}

func TestMember(t *testing.T) {
	q := startQYAPI(t)
	c := q.client(t)
	q.answer(memberPath, `{"errcode":0,"errmsg":"ok","userid":"zhangsan","name":"张三","department":[1,2],"order":[1,4294967295],"position":"后台工程师",
		"mobile":"13800000000","gender":"1","is_leader_in_dept":[1,0],"direct_leader":["lisi"],"avatar":"http://wx.qlogo.cn/mmopen/x/0",
		"alias":"jackzhang","main_department":1,"extattr":{"attrs":[{"type":0}]},"status":1,"external_profile":{"wechat_channels":{"status":1}}}`)
	got, err := c.Member(t.Context(), "ZhangSan")
	want := wecom.Member{UserID: "zhangsan", Name: "张三", Alias: "jackzhang", Departments: []int64{1, 2}, MainDepartment: 1,
		Position: "后台工程师", Avatar: "http://wx.qlogo.cn/mmopen/x/0", Status: wecom.StatusActive}
	if err != nil || !reflect.DeepEqual(got, want) || !got.Active() {
		t.Errorf("got %+v, %v", got, err)
	}
	if sent := q.seen(memberPath)[0].URL.Query(); sent.Get("userid") != "ZhangSan" {
		t.Errorf("asked for %q", sent.Get("userid"))
	}

	for status, active := range map[int]bool{1: true, 2: false, 4: false, 5: false, 3: false, 99: false} {
		q.answer(memberPath, fmt.Sprintf(`{"errcode":0,"errmsg":"ok","userid":"zhangsan","name":"","department":[],"status":%d}`, status))
		if got, err := c.Member(t.Context(), userID); err != nil || got.Active() != active {
			t.Errorf("status %d: %+v, %v", status, got, err)
		}
	}
	for body, want := range map[string]error{
		`{"errcode":0,"errmsg":"ok","userid":"lisi","status":1}`:                        wechat.ErrBusy, // somebody else
		`{"errcode":0,"errmsg":"ok","userid":"","status":1}`:                            wechat.ErrBusy,
		`{"errcode":0,"errmsg":"ok","userid":"zhangsan"}`:                               wechat.ErrBusy, // no status
		`{"errcode":0,"errmsg":"ok","userid":"zhangsan","status":1,"department":"1"}`:   wechat.ErrBusy,
		`{"errcode":0,"errmsg":"ok","userid":"zhangsan","status":1,"department":["a"]}`: wechat.ErrBusy,
		refusal(60111, "userid not found"):                                              wecom.ErrNotMember,
		`{"errcode":60011,"errmsg":"no privilege to access/modify contact/party/agent , hint: [1646185148234890469598501], from ip: 1.2.3.4, more info at x","department":[],"order":[]}`: wecom.ErrNotMember,
		`{"errcode":60020,"errmsg":"not allow","department":[],"order":[],"is_leader_in_dept":[],"direct_leader":[],"userid":"zhangsan","status":1}`:                                      wechat.ErrMisconfigured,
		refusal(48009, "x"): wechat.ErrMisconfigured,
	} {
		q.answer(memberPath, body)
		got, err := c.Member(t.Context(), userID)
		if err == nil {
			t.Errorf("%s: got %+v", body, got)
			continue
		}
		wantOnly(t, err, want)
	}
}

func TestMember_BusyIsTriedOnceMore(t *testing.T) {
	q := startQYAPI(t)
	q.answer(memberPath, `{"errcode":-1,"errmsg":"system error"}`)
	_, err := q.client(t).Member(t.Context(), userID)
	wantOnly(t, err, wechat.ErrBusy)
	if n := len(q.seen(memberPath)); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestLogin(t *testing.T) {
	q := startQYAPI(t)
	c := q.client(t)
	q.answer(loginPath, `{"corpid":"`+corpID+`","userid":"ZhangSan","session_key":"kJtdi6RF+Dv67QkbLlPGjw==","deviceid":"","errcode":0,"errmsg":"ok"}`)
	got, err := c.Login(t.Context(), code)
	if err != nil || got.UserID != "ZhangSan" || got.Key != "kJtdi6RF+Dv67QkbLlPGjw==" {
		t.Errorf("got %+v, %v", got, err)
	}
	want := url.Values{"access_token": {q.current}, "js_code": {code}, "grant_type": {"authorization_code"}}
	if sent := q.seen(loginPath)[0].URL.Query(); !reflect.DeepEqual(sent, want) {
		t.Errorf("sent %v", sent)
	}
	for body, want := range map[string]error{
		// WX-09: another organisation that has linked the same mini program
		`{"corpid":"ww0123456789abcdef","userid":"woZA1BCgAA03jDotNLBqH4kQoA1lxYZg","session_key":"x","errcode":0,"errmsg":"ok"}`: wecom.ErrOtherCorp,
		`{"corpid":"` + strings.ToUpper(corpID) + `","userid":"zhangsan","session_key":"x","errcode":0}`:                          wecom.ErrOtherCorp,
		`{"userid":"zhangsan","session_key":"x","errcode":0,"errmsg":"ok"}`:                                                       wechat.ErrBusy,
		`{"corpid":"` + corpID + `","userid":"","errcode":0,"errmsg":"ok"}`:                                                       wechat.ErrBusy,
		refusal(40029, "invalid code"):          wechat.ErrInvalidCode,
		refusal(48002, "api forbidden"):         wechat.ErrMisconfigured,
		refusal(90208, "appid not linked"):      wechat.ErrMisconfigured,
		`{"errcode":42013,"errmsg":"no login"}`: wechat.ErrInvalidCode,
	} {
		q.answer(loginPath, body)
		_, err := c.Login(t.Context(), code)
		wantOnly(t, err, want)
		if strings.Contains(err.Error(), "woZA1BC") {
			t.Errorf("a foreign member is shown in %q", err)
		}
	}
}

func TestWX03_ASessionKeyDoesNotPrint(t *testing.T) {
	s := wecom.Session{UserID: "zhangsan", Key: "kJtdi6RF+Dv67QkbLlPGjw=="}
	text, err := json.Marshal(s)
	if all := fmt.Sprintf("%v %+v %#v %s", s, s, s, text); err != nil || strings.Contains(all, "kJtdi6RF") {
		t.Error(all)
	}
}

func TestFoldUserID(t *testing.T) {
	for given, want := range map[string]string{"ZhangSan": "zhangsan", "zhangsan": "zhangsan", "A_b-C.d@E9": "a_b-c.d@e9", "": ""} {
		if got := wecom.FoldUserID(given); got != want {
			t.Errorf("%q folds to %q", given, got)
		}
	}
}

func TestLinks(t *testing.T) {
	c := newClient(t, &wecom.API{}, app(), wecom.Options{})
	const back = "https://login.example.com:8443/callback/wecom?again=1&x=é"
	const escaped = "https%3A%2F%2Flogin.example.com%3A8443%2Fcallback%2Fwecom%3Fagain%3D1%26x%3D%C3%A9"
	for got, want := range map[string]string{
		c.AuthorizeURL(back, wecom.ScopeBase, "s7aTe"): "https://open.weixin.qq.com/connect/oauth2/authorize?appid=" + corpID + "&redirect_uri=" + escaped +
			"&response_type=code&scope=snsapi_base&state=s7aTe&agentid=1000002#wechat_redirect",
		c.AuthorizeURL(back, wecom.ScopePrivateInfo, "a#b&c"): "https://open.weixin.qq.com/connect/oauth2/authorize?appid=" + corpID + "&redirect_uri=" + escaped +
			"&response_type=code&scope=snsapi_privateinfo&state=a%23b%26c&agentid=1000002#wechat_redirect",
		c.QRLoginURL(back, "s7aTe", "en"): "https://login.work.weixin.qq.com/wwlogin/sso/login?login_type=CorpApp&appid=" + corpID +
			"&agentid=1000002&redirect_uri=" + escaped + "&state=s7aTe&lang=en",
		c.QRLoginURL(back, "s7aTe", "zh-CN"): "https://login.work.weixin.qq.com/wwlogin/sso/login?login_type=CorpApp&appid=" + corpID +
			"&agentid=1000002&redirect_uri=" + escaped + "&state=s7aTe",
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	local := newClient(t, &wecom.API{OpenURL: mustURL(t, "http://localhost:8090/"), LoginURL: mustURL(t, "http://localhost:8090/wwlogin")}, app(), wecom.Options{})
	if got := local.AuthorizeURL("x", wecom.ScopeBase, "s"); !strings.HasPrefix(got, "http://localhost:8090/connect/oauth2/authorize?appid=") {
		t.Error(got)
	}
	if got := local.QRLoginURL("x", "s", ""); !strings.HasPrefix(got, "http://localhost:8090/wwlogin/wwlogin/sso/login?login_type=") {
		t.Error(got)
	}
}

func TestNew_RefusesWhatCannotWork(t *testing.T) {
	with := func(change func(*wecom.App)) wecom.App { a := app(); change(&a); return a }
	for name, row := range map[string]struct {
		api *wecom.API
		app wecom.App
	}{
		"no API":                    {nil, app()},
		"a base URL with a query":   {&wecom.API{BaseURL: mustURL(t, "https://qyapi.weixin.qq.com/?a=b")}, app()},
		"an open URL without host":  {&wecom.API{OpenURL: mustURL(t, "/connect")}, app()},
		"a login URL that is ftp":   {&wecom.API{LoginURL: mustURL(t, "ftp://login.work.weixin.qq.com")}, app()},
		"calls that never end":      {&wecom.API{CallTimeout: time.Minute}, app()},
		"no corpid":                 {&wecom.API{}, with(func(a *wecom.App) { a.CorpID = "" })},
		"a corpid with a query":     {&wecom.API{}, with(func(a *wecom.App) { a.CorpID = "ww1&x=y" })},
		"no agentid":                {&wecom.API{}, with(func(a *wecom.App) { a.AgentID = "" })},
		"an agentid with letters":   {&wecom.API{}, with(func(a *wecom.App) { a.AgentID = "ww1" })},
		"no secret":                 {&wecom.API{}, with(func(a *wecom.App) { a.Secret = "" })},
		"a secret with a line feed": {&wecom.API{}, with(func(a *wecom.App) { a.Secret = secret + "\n" })},
	} {
		if c, err := wecom.New(row.api, row.app, wecom.Options{}); err == nil || c != nil {
			t.Errorf("%s: %v, %v", name, c, err)
		} else {
			wantNothingPrivate(t, err.Error())
		}
	}
}

// WX-01: token, secret, code and ticket reach no error, whatever happens on the way
// and whatever WeCom repeats of them.
func TestWX01_NothingPrivateIsShown(t *testing.T) {
	q := startQYAPI(t)
	echo := fmt.Sprintf("bad %s and %s and %s and %%s", code, url.QueryEscape(ticket), secret)
	gone := httptest.NewServer(nil)
	gone.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	t.Cleanup(secure.Close)
	hangs, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hangs.Close() })
	for name, base := range map[string]string{"an echo": q.URL.String(), "nobody listens": gone.URL, "a strange certificate": secure.URL,
		"no answer": "http://" + hangs.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			api := q.api(t)
			api.BaseURL, api.CallTimeout = mustURL(t, base), 200*time.Millisecond
			c := newClient(t, api, app(), wecom.Options{})
			if _, err := c.Tokens().Token(t.Context()); err == nil { // the echo
				for _, path := range []string{exchangePath, detailPath, memberPath, loginPath} {
					q.answer(path, refusal(40058, fmt.Sprintf(echo, q.current)))
				}
			}
			for _, do := range []func() error{
				func() error { _, err := c.Exchange(t.Context(), code); return err },
				func() error { _, err := c.Login(t.Context(), code); return err },
				func() error { _, err := c.Member(t.Context(), userID); return err },
				func() error {
					_, err := c.Detail(t.Context(), wecom.Visitor{UserID: userID, Ticket: ticket})
					return err
				},
				func() error { _, err := c.CorpTickets().Ticket(t.Context()); return err },
				func() error { _, err := c.Tokens().Token(t.Context()); return err },
			} {
				err := do()
				if err == nil {
					continue // the token, where only the other calls fail
				}
				var out bytes.Buffer
				slog.New(slog.NewJSONHandler(&out, nil)).Error("failed", "err", err, "client", c, "tokens", c.Tokens(), "tickets", c.CorpTickets())
				text := out.String() + fmt.Sprintf("%v %+v %#v %v %+v %#v", err, err, err, c, *c, c)
				for _, private := range privateIn(err) {
					if strings.Contains(text, private) {
						t.Errorf("%q is shown in %s", private, text)
					}
				}
			}
		})
	}
}

// privateIn are the values that the call of err carried: an errmsg with a value from
// elsewhere shows nothing that WeCom did not know already.
func privateIn(err error) []string {
	e, _ := errors.AsType[*wechat.Error](err)
	always := []string{"lent-token", "access_token=", "corpsecret=", "user_ticket="}
	switch e.Op {
	case "cgi-bin/auth/getuserinfo", "cgi-bin/miniprogram/jscode2session":
		return append(always, code)
	case "cgi-bin/auth/getuserdetail":
		return append(always, ticket)
	case "cgi-bin/gettoken":
		return append(always, secret)
	}
	return always
}

func TestREL12_ASlowWeComIsCutOffInTime(t *testing.T) {
	q := startQYAPI(t)
	q.answer(exchangePath, memberAnswer)
	api := q.api(t)
	api.CallTimeout = 100 * time.Millisecond
	c := newClient(t, api, app(), wecom.Options{})
	if _, err := c.Tokens().Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	open := q.stop(exchangePath)
	defer open()
	_, err := c.Exchange(t.Context(), code)
	wantOnly(t, err, wechat.ErrBusy)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
	if n := len(q.seen(exchangePath)); n != 1 {
		t.Errorf("the code was sent %d times", n)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := c.Exchange(gone, code); !errors.Is(err, context.Canceled) || errors.Is(err, wechat.ErrBusy) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
