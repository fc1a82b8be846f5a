package wechat_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"wxbridge/wechat"
)

func TestWebsite_AuthorizeURL(t *testing.T) {
	const link = "https://open.weixin.qq.com/connect/qrconnect?appid=wx4f4bc4dec97d474b&redirect_uri=https%3A%2F%2Flogin.example.com%2Fcallback%2Fwebsite&response_type=code&scope=snsapi_login&state=S7A7E&lang="
	w := newWebsite(t, &wechat.API{})
	for lang, want := range map[string]string{"": "cn", "zh-CN": "cn", "en": "en", "en&scope=x": "cn"} {
		if got := w.AuthorizeURL("https://login.example.com/callback/website", "S7A7E", lang); got != link+want+"#wechat_redirect" {
			t.Errorf("in %q: got %s", lang, got)
		}
	}
	w = newWebsite(t, &wechat.API{OpenURL: mustURL(t, "http://localhost:8090/")})
	if got := w.AuthorizeURL("https://h/cb", "s", ""); !strings.HasPrefix(got, "http://localhost:8090/connect/qrconnect?appid="+appID+"&redirect_uri=") {
		t.Errorf("got %s", got)
	}
}

// Who logs in on a website has an openid of its own, and the unionid that the
// account knows.
func TestWebsite_FromCodeToProfile(t *testing.T) {
	up := startUpstream(t, answers(
		`{"access_token":"61_w","expires_in":7200,"refresh_token":"61_r","openid":"`+openID+`","scope":"snsapi_login","unionid":"oLW1-5lyrV-yC45pnZAvPJUd0GlY"}`,
		`{"openid":"`+openID+`","nickname":"归零","sex":0,"language":"","city":"","province":"","country":"","headimgurl":"https:\/\/thirdwx.qlogo.cn\/x\/132","privilege":[],"unionid":"oLW1-5lyrV-yC45pnZAvPJUd0GlY"}`))
	w := newWebsite(t, up.api(t))
	token, err := w.Exchange(t.Context(), code)
	if err != nil || token.OpenID != openID || token.UnionID != "oLW1-5lyrV-yC45pnZAvPJUd0GlY" || !token.Has(wechat.ScopeLogin) || token.Snapshot {
		t.Fatalf("got %+v, %v", token, err)
	}
	if got := up.seen()[0].URL.String(); got != "/sns/oauth2/access_token?appid="+appID+"&secret="+secret+"&code="+code+"&grant_type=authorization_code" {
		t.Errorf("asked %s", got)
	}
	info, err := w.UserInfo(t.Context(), token, "en")
	if err != nil || info.Nickname != "归零" || info.AvatarURL != "https://thirdwx.qlogo.cn/x/132" || w.AppID() != appID {
		t.Errorf("got %+v, %v", info, err)
	}
}

var qrconnectLink = regexp.MustCompile(`^https://open\.weixin\.qq\.com/connect/qrconnect` +
	`\?appid=wx[0-9a-f]{16}&redirect_uri=[^&#?/: ]*&response_type=code&scope=snsapi_login&state=[^&#]*&lang=(cn|en)#wechat_redirect$`)

func FuzzWebsiteAuthorizeURL(f *testing.F) {
	f.Add("https://login.example.com/callback/website?again=1", "S7A7E", "en")
	f.Add("https://h/cb?a=b&state=evil#frag", "s#wechat_redirect", "cn#")
	f.Add("\x00\n\xff", "&lang=x", "\t")
	f.Fuzz(func(t *testing.T, redirect, state, lang string) {
		link := newWebsite(t, &wechat.API{}).AuthorizeURL(redirect, state, lang)
		u, err := url.Parse(link)
		if !qrconnectLink.MatchString(link) || err != nil {
			t.Fatalf("%s, %v", link, err)
		}
		query, err := url.ParseQuery(u.RawQuery)
		if err != nil || len(query) != 6 || query.Get("redirect_uri") != redirect || query.Get("state") != state {
			t.Errorf("reads back as %v, %v", query, err)
		}
	})
}
