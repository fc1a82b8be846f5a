package wechat_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"wxbridge/wechat"
)

func TestAuthorizeURL(t *testing.T) {
	const callback = "https://login.example.com/callback/official-account"
	tests := []struct {
		name     string
		options  wechat.OfficialOptions
		redirect string
		scope    wechat.Scope
		want     string
	}{
		{"base asks for nothing but the openid", wechat.OfficialOptions{}, callback, wechat.ScopeBase,
			"https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx4f4bc4dec97d474b&redirect_uri=https%3A%2F%2Flogin.example.com%2Fcallback%2Fofficial-account&response_type=code&scope=snsapi_base&state=S7A7E#wechat_redirect"},
		{"userinfo asks the user", wechat.OfficialOptions{}, callback, wechat.ScopeUserinfo,
			"https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx4f4bc4dec97d474b&redirect_uri=https%3A%2F%2Flogin.example.com%2Fcallback%2Fofficial-account&response_type=code&scope=snsapi_userinfo&state=S7A7E#wechat_redirect"},
		{"the query of a callback stays one value", wechat.OfficialOptions{}, callback + "?again=1&x=ä b", wechat.ScopeBase,
			"https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx4f4bc4dec97d474b&redirect_uri=https%3A%2F%2Flogin.example.com%2Fcallback%2Fofficial-account%3Fagain%3D1%26x%3D%C3%A4+b&response_type=code&scope=snsapi_base&state=S7A7E#wechat_redirect"},
		{"forcePopup comes after state", wechat.OfficialOptions{ForcePopup: true}, callback, wechat.ScopeUserinfo,
			"https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx4f4bc4dec97d474b&redirect_uri=https%3A%2F%2Flogin.example.com%2Fcallback%2Fofficial-account&response_type=code&scope=snsapi_userinfo&state=S7A7E&forcePopup=true#wechat_redirect"},
		{"connect_redirect comes last", wechat.OfficialOptions{ForcePopup: true, ConnectRedirect: true}, callback, wechat.ScopeUserinfo,
			"https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx4f4bc4dec97d474b&redirect_uri=https%3A%2F%2Flogin.example.com%2Fcallback%2Fofficial-account&response_type=code&scope=snsapi_userinfo&state=S7A7E&forcePopup=true&connect_redirect=1#wechat_redirect"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := wechat.NewOfficial(&wechat.API{}, wechat.App{ID: appID, Secret: secret}, tt.options)
			if err != nil {
				t.Fatal(err)
			}
			if got := o.AuthorizeURL(tt.redirect, tt.scope, "S7A7E"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAuthorizeURL_OnAnotherHost(t *testing.T) {
	for _, open := range []string{"http://localhost:8090/wx", "http://localhost:8090/wx/"} {
		o := newOfficial(t, &wechat.API{OpenURL: mustURL(t, open)})
		const want = "http://localhost:8090/wx/connect/oauth2/authorize?appid=" + appID + "&redirect_uri="
		if got := o.AuthorizeURL("https://h/cb", wechat.ScopeBase, "s"); !strings.HasPrefix(got, want) {
			t.Errorf("OpenURL %s: got %s", open, got)
		}
	}
}

// authorizeLink is the form WeChat's check asks for (wechat-protocol §1.1).
var authorizeLink = regexp.MustCompile(`^https://open\.weixin\.qq\.com/connect/oauth2/authorize` +
	`\?appid=wx[0-9a-f]{16}&redirect_uri=[^&#?/: ]*&response_type=code&scope=[^&#]*&state=[^&#]*` +
	`(&forcePopup=true)?(&connect_redirect=1)?#wechat_redirect$`)

func FuzzAuthorizeURL(f *testing.F) {
	f.Add("https://login.example.com/callback?again=1", "snsapi_base", "S7A7E", false, false)
	f.Add("https://h/cb?a=b&state=evil#frag", "snsapi_userinfo", "", true, false)
	f.Add("", "x&scope=y", "s#wechat_redirect", false, true)
	f.Add("https://汉字.example/路径?q=%2F+ ", "snsapi_base", "&response_type=token", true, true)
	f.Add("\x00\n\xff", "\r", "\t", true, true)
	f.Fuzz(func(t *testing.T, redirect, scope, state string, popup, connect bool) {
		o, err := wechat.NewOfficial(&wechat.API{}, wechat.App{ID: appID, Secret: secret},
			wechat.OfficialOptions{ForcePopup: popup, ConnectRedirect: connect})
		if err != nil {
			t.Fatal(err)
		}
		link := o.AuthorizeURL(redirect, wechat.Scope(scope), state)
		if !authorizeLink.MatchString(link) {
			t.Fatalf("WeChat would refuse %s", link)
		}
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		query, err := url.ParseQuery(u.RawQuery)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"appid": appID, "redirect_uri": redirect, "response_type": "code", "scope": scope, "state": state}
		if popup {
			want["forcePopup"] = "true"
		}
		if connect {
			want["connect_redirect"] = "1"
		}
		for name, value := range want {
			if got := query[name]; len(got) != 1 || got[0] != value {
				t.Errorf("%s reads back as %q, want %q", name, got, value)
			}
		}
		if len(query) != len(want) {
			t.Errorf("the link has parameters nobody asked for: %s", link)
		}
	})
}
