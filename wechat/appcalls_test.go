package wechat_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"wxbridge/wechat"
)

const goldenToken = "24_Qjrq6HjWIs3H62J5QeQI-SaO9dEkinO-YkHFQ9g4" // of app_token.json

// Whatever goes wrong with a call that carries the app token, the error is one and
// shows neither the token nor whom the call is about.
func TestREL12_WX01_AppCallsThatFail(t *testing.T) {
	faults := []struct {
		name   string
		answer http.HandlerFunc
		want   error
	}{
		{"an echo", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			echo, _ := json.Marshal(map[string]any{"errcode": 48004, "errmsg": "bad: " + r.URL.RawQuery + string(body)})
			_, _ = w.Write(echo)
		}, wechat.ErrMisconfigured},
		{"HTML that quotes the request", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "<html>"+r.URL.String()) }, wechat.ErrBusy},
		{"a header that quotes the request", func(w http.ResponseWriter, r *http.Request) {
			hangUp(w, "HTTP/1.1 "+r.URL.RequestURI()+" OK\r\n\r\n")
		}, wechat.ErrBusy},
		{"status 502", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, wechat.ErrBusy},
		{"a reset", func(w http.ResponseWriter, _ *http.Request) { hangUp(w, "") }, wechat.ErrBusy},
		{"a quota", answers(`{"errcode":45009,"errmsg":"reach max api daily quota limit rid: 64b279b3-2eddb111-78605a3e"}`), wechat.ErrRateLimited},
		{"not allowed", answers(`{"errcode":48001,"errmsg":"api unauthorized rid: 64b279b3-2eddb111-78605a3e"}`), wechat.ErrMisconfigured},
		{"a token of another app", answers(`{"errcode":40013,"errmsg":"invalid appid hint: [2gMcmt0sf-QZBxwA] rid: 647049c1-24c44850-1b903a9f"}`), wechat.ErrMisconfigured},
		{"unknown", answers(`{"errcode":99999,"errmsg":"?"}`), wechat.ErrMisconfigured},
	}
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			token := answers(golden(t, "app_token.json"))
			up := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/cgi-bin/stable_token" {
					token(w, r)
					return
				}
				fault.answer(w, r)
			})
			for _, call := range appCalls(t, up.api(t)) {
				before := len(up.seen())
				err := call.do()
				wantOnly(t, err, fault.want)
				wantNone(t, everyText(err), secret, goldenToken, code, openID, "http://")
				if !strings.HasPrefix(err.Error(), "wechat: "+call.op) {
					t.Errorf("%s says %v", call.op, err)
				}
				if got := len(up.seen()) - before; got > 3 { // a token, the call, and net/http repeats a GET on a connection that breaks
					t.Errorf("%s: %d requests", call.op, got)
				}
			}
		})
	}
}

// A refused app token is replaced once, in every call, and never a third request
// sent.
func TestWX17_AppCallsReplaceARefusedToken(t *testing.T) {
	for _, refusal := range []int{40001, 40014, 42001} {
		for _, call := range appCalls(t, &wechat.API{}) { // for their names
			var issued, asked atomic.Int64
			up := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/cgi-bin/stable_token":
					fmt.Fprintf(w, `{"access_token":"24_t%d","expires_in":7200}`, issued.Add(1))
				case r.URL.Query().Get("access_token") != "24_t2":
					asked.Add(1)
					fmt.Fprintf(w, `{"errcode":%d,"errmsg":"invalid credential"}`, refusal)
				default:
					asked.Add(1)
					_, _ = io.WriteString(w, `{"errcode":48004,"errmsg":"not this"}`)
				}
			})
			for _, c := range appCalls(t, up.api(t)) {
				if c.op != call.op {
					continue
				}
				wantOnly(t, c.do(), wechat.ErrMisconfigured)
			}
			if issued.Load() != 2 || asked.Load() != 2 {
				t.Errorf("%s after %d: %d tokens, %d requests", call.op, refusal, issued.Load(), asked.Load())
			}
		}
	}
}

// What spends a code, or costs money, is not sent again when WeChat is busy; what
// only asks is.
func TestAppCalls_WhatIsSentTwice(t *testing.T) {
	up := startUpstream(t, tokenThen(t, `{"errcode":-1,"errmsg":"system error"}`))
	api := up.api(t)
	for _, call := range appCalls(t, api) {
		before := len(up.seen())
		wantOnly(t, call.do(), wechat.ErrBusy)
		want := 3 // the token, and two tries
		if call.spend {
			want = 2
		}
		if got := len(up.seen()) - before; got != want && got != want-1 { // the token is there after the first call
			t.Errorf("%s: %d requests", call.op, got)
		}
	}
}

// lastBody is the body of the last request, and what its query had beside the
// app token.
func lastBody(t testing.TB, up *upstream, path string) (body string, query string) {
	t.Helper()
	seen := up.seen()
	last := seen[len(seen)-1]
	raw, err := io.ReadAll(last.Body)
	if err != nil || last.URL.Path != path || last.URL.Query().Get("access_token") != goldenToken {
		t.Errorf("asked %s, %v", last.URL, err)
	}
	_, query, _ = strings.Cut(last.URL.RawQuery, "&")
	return string(raw), query
}

func TestPhoneNumber(t *testing.T) {
	const phoneCode = "e31968a7f94cc5ee25fafc2aef2773f0bb8c3937b22520eb8ee345274d00c144"
	answer := func(country, appid string) string {
		return `{"errcode":0,"errmsg":"ok","phone_info":{"phoneNumber":"19916545450","purePhoneNumber":"19916545450","countryCode":` + country +
			`,"watermark":{"timestamp":1716818136,"appid":"` + appid + `"}}}`
	}
	chinese := wechat.Phone{Number: "19916545450", PureNumber: "19916545450", CountryCode: "86"}
	tests := []struct {
		name, answer string
		want         wechat.Phone
		err          error
	}{
		{"the country as text", answer(`"86"`, appID), chinese, nil},
		{"the country as a number", answer(`86`, appID), chinese, nil},
		{"abroad", `{"errcode":0,"phone_info":{"phoneNumber":"+44 7700 900123","purePhoneNumber":"7700900123","countryCode":"44","watermark":{"appid":"` + appID + `","timestamp":1}}}`,
			wechat.Phone{Number: "+44 7700 900123", PureNumber: "7700900123", CountryCode: "44"}, nil},
		{"no watermark", `{"errcode":0,"phone_info":{"phoneNumber":"1","purePhoneNumber":"1","countryCode":"86"}}`,
			wechat.Phone{Number: "1", PureNumber: "1", CountryCode: "86"}, nil},
		{"another app", answer(`"86"`, "wx4f4bc4dec97d474c"), wechat.Phone{}, wechat.ErrBusy},
		{"no phone_info", `{"errcode":0,"errmsg":"ok"}`, wechat.Phone{}, wechat.ErrBusy},
		{"no country", answer(`null`, appID), wechat.Phone{}, wechat.ErrBusy},
		{"a country that is a list", answer(`["86"]`, appID), wechat.Phone{}, wechat.ErrBusy},
		{"no digits", `{"errcode":0,"phone_info":{"phoneNumber":"<b>","purePhoneNumber":"1","countryCode":"86"}}`, wechat.Phone{}, wechat.ErrBusy},
		{"far too many digits", `{"errcode":0,"phone_info":{"phoneNumber":"` + strings.Repeat("1", 33) + `","purePhoneNumber":"1","countryCode":"86"}}`, wechat.Phone{}, wechat.ErrBusy},
		{"a code that is spent or of wx.login", `{"errcode":40029,"errmsg":"invalid code hint: [hElexSDNRa-XiBFgA] rid: 632d16be-15ad5486-1e378de4"}`, wechat.Phone{}, wechat.ErrInvalidCode},
		{"a code of another app", `{"errcode":40013,"errmsg":"invalid appid hint: [2gMcmt0sf-QZBxwA] rid: 647049c1-24c44850-1b903a9f"}`, wechat.Phone{}, wechat.ErrMisconfigured},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := startUpstream(t, tokenThen(t, tt.answer))
			got, err := newAppTokens(t, up.api(t), wechat.AppTokenOptions{}).PhoneNumber(t.Context(), phoneCode, "")
			if got != tt.want {
				t.Errorf("got %+v, %v", got, err)
			}
			if tt.err != nil {
				wantOnly(t, err, tt.err)
				wantNone(t, everyText(err), phoneCode, "19916545450", goldenToken)
			} else if err != nil {
				t.Error(err)
			}
			if body, query := lastBody(t, up, "/wxa/business/getuserphonenumber"); body != `{"code":"`+phoneCode+`"}` || query != "" {
				t.Errorf("sent %s and %s", body, query)
			}
		})
	}
	t.Run("with the user it has to be of", func(t *testing.T) {
		up := startUpstream(t, tokenThen(t, answer(`"86"`, appID)))
		if _, err := newAppTokens(t, up.api(t), wechat.AppTokenOptions{}).PhoneNumber(t.Context(), phoneCode, openID); err != nil {
			t.Error(err)
		}
		if body, _ := lastBody(t, up, "/wxa/business/getuserphonenumber"); body != `{"code":"`+phoneCode+`","openid":"`+openID+`"}` {
			t.Errorf("sent %s", body)
		}
	})
	t.Run("WX-02 a malformed code or openid is not sent", func(t *testing.T) {
		up := startUpstream(t, tokenThen(t, answer(`"86"`, appID)))
		tokens := newAppTokens(t, up.api(t), wechat.AppTokenOptions{})
		for _, bad := range []string{"", `"`, "a b", "a&b", strings.Repeat("a", 513)} {
			_, err := tokens.PhoneNumber(t.Context(), bad, "")
			wantOnly(t, err, wechat.ErrInvalidCode)
		}
		_, err := tokens.PhoneNumber(t.Context(), phoneCode, "o 1")
		wantOnly(t, err, wechat.ErrMisconfigured)
		wantCalls(t, up, 0)
	})
}

// The vector of wechat-protocol §8.2.
func TestKnownAnswers_CheckSession(t *testing.T) {
	const signature = "7154f9f8b4b76b92f541cbf0e37d48840fa06e5e42da92a6f80168a1516a4735"
	for _, row := range []struct {
		answer string
		key    wechat.Secret
		want   error
	}{
		{`{"errcode":0,"errmsg":"ok"}`, sampleKey, nil},
		{`{"errcode":87009,"errmsg":"invalid signature"}`, sampleKey, wechat.ErrSession},
		{`{"errcode":40003,"errmsg":"invalid openid"}`, sampleKey, wechat.ErrMisconfigured},
	} {
		up := startUpstream(t, tokenThen(t, row.answer))
		err := newAppTokens(t, up.api(t), wechat.AppTokenOptions{}).CheckSession(t.Context(), openID, row.key)
		if row.want != nil {
			wantOnly(t, err, row.want)
			wantNone(t, everyText(err), sampleKey, openID, signature)
		} else if err != nil {
			t.Error(err)
		}
		if _, query := lastBody(t, up, "/wxa/checksession"); query != "openid="+openID+"&signature="+signature+"&sig_method=hmac_sha256" {
			t.Errorf("sent %s", query)
		}
	}
	up := startUpstream(t, tokenThen(t, `{"errcode":0}`))
	tokens := newAppTokens(t, up.api(t), wechat.AppTokenOptions{})
	wantOnly(t, tokens.CheckSession(t.Context(), openID, ""), wechat.ErrSession)
	wantOnly(t, tokens.CheckSession(t.Context(), "", sampleKey), wechat.ErrMisconfigured)
	wantCalls(t, up, 0)
}

func TestMsgSecCheck(t *testing.T) {
	const passed = `{"errcode":0,"errmsg":"ok","result":{"suggest":"pass","label":100},"detail":[{"strategy":"content_model","errcode":0,"suggest":"pass","label":100,"prob":90}],"trace_id":"60ae120f-371d5872-7941a05b"}`
	tests := []struct {
		name, answer string
		want         wechat.Verdict
		pass         bool
		err          error
	}{
		{"nothing against it", passed, wechat.Verdict{Suggest: "pass", Label: 100, TraceID: "60ae120f-371d5872-7941a05b"}, true, nil},
		{"risky", `{"errcode":0,"errmsg":"ok","result":{"suggest":"risky","label":20001},"trace_id":"x"}`, wechat.Verdict{Suggest: "risky", Label: 20001, TraceID: "x"}, false, nil},
		{"a human should look", `{"errcode":0,"result":{"suggest":"review","label":21000}}`, wechat.Verdict{Suggest: "review", Label: 21000}, false, nil},
		{"no verdict", `{"errcode":0,"errmsg":"ok"}`, wechat.Verdict{}, false, wechat.ErrBusy},
		{"an empty one", `{"errcode":0,"result":{}}`, wechat.Verdict{}, false, wechat.ErrBusy},
		{"away for too long", `{"errcode":61010,"errmsg":"user access record timeout"}`, wechat.Verdict{}, false, wechat.ErrSession},
		{"a scene that is none", `{"errcode":40129,"errmsg":"invalid scene"}`, wechat.Verdict{}, false, wechat.ErrMisconfigured},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := startUpstream(t, tokenThen(t, tt.answer))
			got, err := newAppTokens(t, up.api(t), wechat.AppTokenOptions{}).MsgSecCheck(t.Context(),
				wechat.UserText{OpenID: openID, Scene: wechat.TextProfile, Content: "小明 & <b>"})
			if got != tt.want || got.Pass() != tt.pass {
				t.Errorf("got %+v, %v", got, err)
			}
			if tt.err != nil {
				wantOnly(t, err, tt.err)
			} else if err != nil {
				t.Error(err)
			}
			if body, _ := lastBody(t, up, "/wxa/msg_sec_check"); body != `{"version":2,"openid":"`+openID+`","scene":1,"content":"小明 & <b>"}` {
				t.Errorf("sent %s", body)
			}
		})
	}
	up := startUpstream(t, tokenThen(t, passed))
	tokens := newAppTokens(t, up.api(t), wechat.AppTokenOptions{})
	for _, text := range []wechat.UserText{{OpenID: openID}, {OpenID: "", Content: "a"}, {OpenID: openID, Content: "\xff"},
		{OpenID: openID, Content: strings.Repeat("字", 2501)}} {
		_, err := tokens.MsgSecCheck(t.Context(), text)
		wantOnly(t, err, wechat.ErrMisconfigured)
	}
	wantCalls(t, up, 0)
	if _, err := tokens.MsgSecCheck(t.Context(), wechat.UserText{OpenID: openID, Scene: 1, Content: strings.Repeat("字", 2500)}); err != nil {
		t.Error(err)
	}
}
