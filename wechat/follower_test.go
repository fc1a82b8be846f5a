package wechat_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat"
)

// tokenThen answers a fetch of the app token, and everything else with body.
func tokenThen(t testing.TB, body string) http.HandlerFunc {
	token := answers(golden(t, "app_token.json"))
	other := answers(body)
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cgi-bin/stable_token" {
			token(w, r)
			return
		}
		other(w, r)
	}
}

func TestFollower(t *testing.T) {
	tests := []struct {
		file string
		want wechat.Follower
	}{
		{"follower.json", wechat.Follower{UnionID: "oLW1-5lyrV-yC45pnZAvPJUd0GlY", Subscribed: true,
			SubscribedAt: time.Unix(1636450232, 0), Language: "zh_CN", Scene: "ADD_SCENE_QR_CODE"}},
		{"follower_blanks.json", wechat.Follower{Subscribed: true, SubscribedAt: time.Unix(1636450232, 0), Scene: "ADD_SCENE_OTHERS"}},
		{"stranger.json", wechat.Follower{}},
		{"stranger_blanks.json", wechat.Follower{Language: "zh_CN"}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			up := startUpstream(t, tokenThen(t, golden(t, tt.file)))
			got, err := newAppTokens(t, up.api(t), wechat.AppTokenOptions{}).Follower(t.Context(), openID)
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid(got.Raw) {
				t.Errorf("raw is %q", got.Raw)
			}
			raw := got.Raw
			got.Raw = nil
			tt.want.OpenID = openID
			if !got.SubscribedAt.Equal(tt.want.SubscribedAt) {
				t.Errorf("followed at %v", got.SubscribedAt)
			}
			got.SubscribedAt, tt.want.SubscribedAt = time.Time{}, time.Time{}
			if got.OpenID != tt.want.OpenID || got.UnionID != tt.want.UnionID || got.Subscribed != tt.want.Subscribed ||
				got.Language != tt.want.Language || got.Scene != tt.want.Scene {
				t.Errorf("got %+v of %s, want %+v", got, raw, tt.want)
			}
			last := up.seen()[1]
			if want := "/cgi-bin/user/info?access_token=24_Qjrq6HjWIs3H62J5QeQI-SaO9dEkinO-YkHFQ9g4&openid=" + openID + "&lang=zh_CN"; last.URL.String() != want {
				t.Errorf("asked %s, want %s", last.URL, want)
			}
		})
	}
}

func TestFollower_AnswersThatSayNothing(t *testing.T) {
	tests := []struct {
		body string
		want error
	}{
		{`{}`, wechat.ErrBusy},
		{`{"openid":"` + openID + `"}`, wechat.ErrBusy},
		{`{"openid":"` + openID + `","subscribe":"yes"}`, wechat.ErrBusy},
		{`{"openid":"` + openID + `","subscribe":{}}`, wechat.ErrBusy},
		{`{"subscribe":1}`, wechat.ErrBusy},
		{`{"subscribe":1,"openid":"oSomebodyElse"}`, wechat.ErrBusy},
		{`{"subscribe":1,"openid":"` + openID + `","unionid":7}`, wechat.ErrBusy},
		{`{"errcode":40003,"errmsg":"invalid openid rid: 62308e5d-0b0b697e-1db652eb"}`, wechat.ErrMisconfigured},
		{`{"errcode":48001,"errmsg":"api unauthorized rid: 62308e5d-0b0b697e-1db652eb"}`, wechat.ErrMisconfigured},
		{`{"errcode":45009,"errmsg":"reach max api daily quota limit"}`, wechat.ErrRateLimited},
		{`{"errcode":-1,"errmsg":"system error"}`, wechat.ErrBusy},
	}
	for _, tt := range tests {
		t.Run(tt.body, func(t *testing.T) {
			up := startUpstream(t, tokenThen(t, tt.body))
			got, err := newAppTokens(t, up.api(t), wechat.AppTokenOptions{}).Follower(t.Context(), openID)
			wantOnly(t, err, tt.want)
			wantNone(t, everyText(err), openID, "24_Qjrq6Hj", secret)
			if got.Subscribed || got.OpenID != "" {
				t.Errorf("an error and %+v", got)
			}
		})
	}
}

func TestWX02_AMalformedOpenIDNeverReachesWeChat(t *testing.T) {
	up := startUpstream(t, tokenThen(t, golden(t, "follower.json")))
	tokens := newAppTokens(t, up.api(t), wechat.AppTokenOptions{})
	for _, id := range []string{"", "o 1", "o\r\n1", "o\x00", "ö", strings.Repeat("o", 129)} {
		_, err := tokens.Follower(t.Context(), id)
		wantOnly(t, err, wechat.ErrMisconfigured)
	}
	wantCalls(t, up, 0)

	_, err := tokens.Follower(t.Context(), "o&access_token=x#")
	wantOnly(t, err, wechat.ErrBusy) // another openid than asked for
	if got := up.seen()[1].URL.Query(); len(got["access_token"]) != 1 || got.Get("openid") != "o&access_token=x#" {
		t.Errorf("sent %v", got)
	}
}

func TestFollower_BusyIsTriedOnceMore(t *testing.T) {
	first := true
	good, busy := tokenThen(t, golden(t, "follower.json")), answers(`{"errcode":-1,"errmsg":"system error"}`)
	up := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if first && r.URL.Path == "/cgi-bin/user/info" {
			first = false
			busy(w, r)
			return
		}
		good(w, r)
	})
	got, err := newAppTokens(t, up.api(t), wechat.AppTokenOptions{}).Follower(t.Context(), openID)
	if err != nil || !got.Subscribed {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, ours := errors.AsType[*wechat.Error](err); ours {
		t.Error(err)
	}
	wantCalls(t, up, 3)
}
