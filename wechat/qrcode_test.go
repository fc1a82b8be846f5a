package wechat_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat"
)

const sampleQR = `{"ticket":"gQGA8DwAAAAAAAAAAS5odHRwOi8vd2VpeGluLnFxLmNvbS9xLzAyd1BGS0JtUEpmdTIxUVFQSXh5Y0cAAgS0IetiAwSAUQEA","expire_seconds":300,"url":"http:\/\/weixin.qq.com\/q\/02wPFKBmPJfu21QQPIxycG"}`

func TestCreateQRCode(t *testing.T) {
	const ticket = "gQGA8DwAAAAAAAAAAS5odHRwOi8vd2VpeGluLnFxLmNvbS9xLzAyd1BGS0JtUEpmdTIxUVFQSXh5Y0cAAgS0IetiAwSAUQEA"
	c := newClock()
	up := startUpstream(t, tokenThen(t, sampleQR))
	api := up.api(t)
	api.Now, api.MPURL = c.Now, mustURL(t, "http://localhost:8090/")
	got, err := newAppTokens(t, api, wechat.AppTokenOptions{}).CreateQRCode(t.Context(), "login_9f2c&<汉>", 5*time.Minute)
	want := wechat.QRCode{Ticket: ticket, URL: "http://weixin.qq.com/q/02wPFKBmPJfu21QQPIxycG",
		ImageURL: "http://localhost:8090/cgi-bin/showqrcode?ticket=" + ticket, ExpiresAt: c.Now().Add(5 * time.Minute)}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	body, query := lastBody(t, up, "/cgi-bin/qrcode/create")
	if body != `{"expire_seconds":300,"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"login_9f2c&<汉>"}}}` || query != "" {
		t.Errorf("sent %s and %s", body, query)
	}
}

func TestCreateQRCode_TheRealHostAndATicketThatNeedsEscaping(t *testing.T) {
	up := startUpstream(t, tokenThen(t, `{"ticket":"gQ+/A==","url":"http://weixin.qq.com/q/x"}`))
	api, c := up.api(t), newClock()
	api.Now = c.Now
	got, err := newAppTokens(t, api, wechat.AppTokenOptions{}).CreateQRCode(t.Context(), "s", time.Minute)
	if err != nil || got.ImageURL != "https://mp.weixin.qq.com/cgi-bin/showqrcode?ticket=gQ%2B%2FA%3D%3D" || !got.ExpiresAt.Equal(c.Now().Add(time.Minute)) {
		t.Errorf("got %+v, %v", got, err)
	}
	if u, err := url.Parse(got.ImageURL); err != nil || u.Query().Get("ticket") != "gQ+/A==" {
		t.Errorf("the address reads back as %v, %v", u, err)
	}
}

func TestCreateQRCode_LivesNoLongerThanWeChatSays(t *testing.T) {
	for answer, want := range map[string]time.Duration{
		`"expire_seconds":60,`:   time.Minute,
		`"expire_seconds":"60",`: time.Minute,
		`"expire_seconds":9999,`: 5 * time.Minute,
		`"expire_seconds":0,`:    5 * time.Minute,
		``:                       5 * time.Minute,
	} {
		c := newClock()
		api := startUpstream(t, tokenThen(t, `{`+answer+`"ticket":"gQ","url":"http://weixin.qq.com/q/x"}`)).api(t)
		api.Now = c.Now
		got, err := newAppTokens(t, api, wechat.AppTokenOptions{}).CreateQRCode(t.Context(), "s", 5*time.Minute+time.Millisecond)
		if life := got.ExpiresAt.Sub(c.Now()); err != nil || life != want {
			t.Errorf("%q: lives for %v, %v", answer, life, err)
		}
	}
}

func TestCreateQRCode_WhatIsRefused(t *testing.T) {
	up := startUpstream(t, tokenThen(t, sampleQR))
	tokens := newAppTokens(t, up.api(t), wechat.AppTokenOptions{})
	for _, row := range []struct {
		scene string
		life  time.Duration
	}{
		{"", time.Minute}, {strings.Repeat("字", 65), time.Minute}, {"\xff", time.Minute},
		{"s", 0}, {"s", 999 * time.Millisecond}, {"s", -time.Minute}, {"s", 30*24*time.Hour + time.Second},
	} {
		_, err := tokens.CreateQRCode(t.Context(), row.scene, row.life)
		wantOnly(t, err, wechat.ErrMisconfigured)
	}
	wantCalls(t, up, 0)
	for _, answer := range []string{`{}`, `{"ticket":"gQ"}`, `{"url":"http://weixin.qq.com/q/x"}`, `{"ticket":1,"url":"u"}`,
		`{"ticket":"a b","url":"u"}`, `{"ticket":"gQ","url":"` + strings.Repeat("u", 1025) + `"}`} {
		up := startUpstream(t, tokenThen(t, answer))
		got, err := newAppTokens(t, up.api(t), wechat.AppTokenOptions{}).CreateQRCode(t.Context(), "scene_of_somebody", time.Minute)
		wantOnly(t, err, wechat.ErrBusy)
		if wantNone(t, everyText(err), "scene_of_somebody"); got != (wechat.QRCode{}) {
			t.Errorf("an error and %+v", got)
		}
	}
	if _, err := wechat.NewAppTokens(&wechat.API{MPURL: mustURL(t, "http://user@h/")}, wechat.App{ID: appID, Secret: secret}, wechat.AppTokenOptions{}); err == nil {
		t.Error("an MPURL with a user")
	}
}
