package wechat_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wxbridge/wechat"
)

func TestExchange_SendsTheDocumentedRequest(t *testing.T) {
	up := startUpstream(t, answers(golden(t, "token_base.json")))
	if _, err := newOfficial(t, up.api(t)).Exchange(t.Context(), code); err != nil {
		t.Fatal(err)
	}
	wantRequest(t, up, "/sns/oauth2/access_token", url.Values{
		"appid": {appID}, "secret": {secret}, "code": {code}, "grant_type": {"authorization_code"},
	})
}

func TestExchange_ReadsTheAnswer(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	tests := []struct {
		name, file string
		want       wechat.UserToken
	}{
		{"base gives no unionid", "token_base.json", wechat.UserToken{
			AccessToken:  "61_baseZXHYKN8ZZAtlHw0aPAW_lmdw2lH6k3St3W0gH05NjhSjPyNLJ4TcbXKilZLHAOktOViHRKW9WKZ3bdccbsFO-LgLt2BmRTmLt4z-VqA8",
			RefreshToken: "61_BASECLYEW6dJmYropYY6LcFzKV85yxctP0asZMJtW7d1fAuzxBN2Upjp2KDNrSfMHI_I3JHcJ7CWeXL_Ku836yPFb1Le-1-mjHnkSMnuU7ow",
			ExpiresAt:    now.Add(2 * time.Hour), OpenID: openID, Scopes: []wechat.Scope{wechat.ScopeBase},
		}},
		{"userinfo gives a unionid, and scopes with a comma at their end", "token_userinfo.json", wechat.UserToken{
			AccessToken:  "61_userinfoKN8ZZAtlHw0aPAW_lmdw2lH6k3St3W0gH05NjhSjPyNLJ4TcbXKilZLHAOktOViHRKW9WKZ3bdccbsFO-LgLt2BmRTmLt4z",
			RefreshToken: "61_REFRESHEW6dJmYropYY6LcFzKV85yxctP0asZMJtW7d1fAuzxBN2Upjp2KDNrSfMHI_I3JHcJ7CWeXL_Ku836yPFb1Le-1-mjHnkSMnuU7",
			ExpiresAt:    now.Add(2 * time.Hour), OpenID: openID, UnionID: "oLW1-5lyrV-yC45pnZAvPJUd0GlY",
			Scopes: []wechat.Scope{wechat.ScopeBase, wechat.ScopeUserinfo},
		}},
		{"a snapshot page's virtual account is marked", "token_snapshot.json", wechat.UserToken{
			AccessToken:  "61_snapshotKN8ZZAtlHw0aPAW_lmdw2lH6k3St3W0gH05NjhSjPyNLJ4TcbXKilZLHAOktOViHRKW9WKZ3bdccbsFO",
			RefreshToken: "61_SNAPSHOTEW6dJmYropYY6LcFzKV85yxctP0asZMJtW7d1fAuzxBN2Upjp2KDNrSfMHI",
			ExpiresAt:    now.Add(2 * time.Hour), OpenID: "o4NpvVIRTUALPKKQFW7pb70JcN9e", UnionID: "oLW1VIRTUALyrVyC45pnZAvPJUd0",
			Scopes: []wechat.Scope{wechat.ScopeUserinfo}, Snapshot: true,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := startUpstream(t, answers(golden(t, tt.file))).api(t)
			api.Now = func() time.Time { return now }
			got, err := newOfficial(t, api).Exchange(t.Context(), code)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(revealed(tt.want), revealed(got)); diff != "" {
				t.Errorf("token (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExchange_ReadsScopesOfEveryForm(t *testing.T) {
	tests := []struct {
		scope          string
		base, userinfo bool
	}{
		{`"snsapi_userinfo"`, false, true},
		{`"snsapi_userinfo,"`, false, true},
		{`"snsapi_base,snsapi_userinfo,"`, true, true},
		{`" snsapi_base , snsapi_userinfo "`, true, true},
		{`",,"`, false, false},
		{`""`, false, false},
		{`null`, false, false},
		{`"snsapi_userinfos"`, false, false},
		{`"SNSAPI_USERINFO"`, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.scope, func(t *testing.T) {
			got := exchange(t, `"scope":`+tt.scope)
			if got.Has(wechat.ScopeBase) != tt.base || got.Has(wechat.ScopeUserinfo) != tt.userinfo {
				t.Errorf("scopes are %q, want base %t, userinfo %t", got.Scopes, tt.base, tt.userinfo)
			}
		})
	}
}

func TestExchange_MarksSnapshotUsersInEveryForm(t *testing.T) {
	tests := map[string]bool{
		`1`: true, `"1"`: true, `true`: true, `"true"`: true, `2`: true, `{}`: true, `"yes"`: true,
		`0`: false, `"0"`: false, `false`: false, `"false"`: false, `null`: false, `""`: false,
	}
	for value, want := range tests {
		t.Run(value, func(t *testing.T) {
			if got := exchange(t, `"is_snapshotuser":`+value); got.Snapshot != want {
				t.Errorf("Snapshot is %t, want %t", got.Snapshot, want)
			}
		})
	}
}

func TestExchange_ReadsLifetimesOfEveryForm(t *testing.T) {
	const month = 30 * 24 * time.Hour
	tests := map[string]time.Duration{
		`7200`: 2 * time.Hour, `"7200"`: 2 * time.Hour, `0`: 0, `-5`: 0, `null`: 0, `"soon"`: 0, `[]`: 0,
		`9223372036854775807`: month, `99999999999999999999`: 0,
	}
	for value, want := range tests {
		t.Run(value, func(t *testing.T) {
			if got := exchange(t, `"expires_in":`+value).ExpiresAt.Sub(clock()); got != want {
				t.Errorf("expires in %v, want %v", got, want)
			}
		})
	}
}

func TestRefresh(t *testing.T) {
	t.Run("sends the documented request, without the secret", func(t *testing.T) {
		up := startUpstream(t, answers(golden(t, "refresh.json")))
		got, err := newOfficial(t, up.api(t)).Refresh(t.Context(), "61_R+/&=%")
		if err != nil {
			t.Fatal(err)
		}
		wantRequest(t, up, "/sns/oauth2/refresh_token", url.Values{
			"appid": {appID}, "grant_type": {"refresh_token"}, "refresh_token": {"61_R+/&=%"},
		})
		if got.OpenID != openID || !strings.HasPrefix(got.AccessToken.Reveal(), "61_refreshed") || !strings.HasPrefix(got.RefreshToken.Reveal(), "61_REFRESH") {
			t.Errorf("got %+v", revealed(got))
		}
	})
	t.Run("keeps the refresh token if the answer has none", func(t *testing.T) {
		up := startUpstream(t, answers(`{"access_token":"61_a","expires_in":7200,"openid":"oA","scope":"snsapi_userinfo"}`))
		got, err := newOfficial(t, up.api(t)).Refresh(t.Context(), "61_old")
		if err != nil || got.RefreshToken.Reveal() != "61_old" {
			t.Errorf("got %q, %v", got.RefreshToken.Reveal(), err)
		}
	})
	t.Run("an empty token is refused without a call", func(t *testing.T) {
		up := startUpstream(t, answers(golden(t, "refresh.json")))
		_, err := newOfficial(t, up.api(t)).Refresh(t.Context(), "")
		wantOnly(t, err, wechat.ErrInvalidRefreshToken)
		wantCalls(t, up, 0)
	})
}

func TestUserInfo_SendsTheDocumentedRequest(t *testing.T) {
	tests := map[string]string{
		"zh_CN": "zh_CN", "zh-CN": "zh_CN", "zh_TW": "zh_TW", "zh-TW": "zh_TW", "en": "en",
		"": "zh_CN", "fr": "zh_CN", "en&openid=x": "zh_CN",
	}
	for lang, want := range tests {
		t.Run("lang "+lang, func(t *testing.T) {
			up := startUpstream(t, answers(golden(t, "userinfo.json")))
			if _, err := newOfficial(t, up.api(t)).UserInfo(t.Context(), userToken(), lang); err != nil {
				t.Fatal(err)
			}
			wantRequest(t, up, "/sns/userinfo", url.Values{
				"access_token": {userToken().AccessToken.Reveal()}, "openid": {openID}, "lang": {want},
			})
		})
	}
}

func TestUserInfo_ReadsTheAnswer(t *testing.T) {
	tests := []struct {
		name, file string
		want       wechat.UserInfo
	}{
		{"a profile with escaped slashes and blanks", "userinfo.json", wechat.UserInfo{
			OpenID: openID, UnionID: "oLW1-5lyrV-yC45pnZAvPJUd0GlY", Nickname: "归零",
			AvatarURL: "https://thirdwx.qlogo.cn/mmopen/vi_32/DYAIOgq83erocXUbjVsGKaA6a4jwgAfaRjnxVGzqwCNw0Ce36G1Q2RrDDvNT80FStWJKCUT7hg5K2gHkdZMnlg/132",
		}},
		{"emoji and direction marks are passed on, no avatar, no unionid", "userinfo_unbound.json", wechat.UserInfo{
			OpenID: openID, Nickname: "👩\u200d👧\u200f🌶", Language: "zh_CN",
		}},
		{"raw control characters do not fail the login", "userinfo_control.json", wechat.UserInfo{
			OpenID: openID, Nickname: "a\x01b\tc\"d\\\x1be",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := startUpstream(t, answers(golden(t, tt.file)))
			got, err := newOfficial(t, up.api(t)).UserInfo(t.Context(), userToken(), "zh_CN")
			if err != nil {
				t.Fatal(err)
			}
			var raw struct{ Nickname string }
			if err := json.Unmarshal(got.Raw, &raw); err != nil || raw.Nickname != tt.want.Nickname {
				t.Errorf("Raw reads back as %q, %v", raw.Nickname, err)
			}
			got.Raw = nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("profile (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUserInfo_ReadsOddNicknames(t *testing.T) {
	tests := []struct{ name, wire, want string }{
		{"empty", `""`, ""},
		{"null", `null`, ""},
		{"broken UTF-8 becomes the replacement character", "\"a\xffb\"", "a\uFFFDb"},
		{"half a surrogate pair becomes the replacement character", `"\ud83d"`, "\uFFFD"},
		{"line feed and NUL inside the string", "\"a\nb\x00c\"", "a\nb\x00c"},
		{"quotes and backslashes around a control character", "\"\\\"\x02\\\\\x03\\\"\"", "\"\x02\\\x03\""},
		{"markup", `"<svg onload=alert(1)>"`, "<svg onload=alert(1)>"},
		{"private use, as old emoji were sent", "\"\ue13c\"", "\ue13c"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := startUpstream(t, answers("\uFEFF \n{\"openid\":\""+openID+"\",\n\t\"nickname\":"+tt.wire+"}\r\n"))
			got, err := newOfficial(t, up.api(t)).UserInfo(t.Context(), userToken(), "zh_CN")
			if err != nil || got.Nickname != tt.want {
				t.Errorf("got %q, %v, want %q", got.Nickname, err, tt.want)
			}
		})
	}
}

func TestUserInfo_RefusesWhatIsNotThisUser(t *testing.T) {
	t.Run("another openid in the answer", func(t *testing.T) {
		up := startUpstream(t, answers(`{"openid":"oSomebodyElse","nickname":"x"}`))
		_, err := newOfficial(t, up.api(t)).UserInfo(t.Context(), userToken(), "zh_CN")
		wantOnly(t, err, wechat.ErrBusy)
	})
	t.Run("an empty token, without a call", func(t *testing.T) {
		up := startUpstream(t, answers(golden(t, "userinfo.json")))
		for _, token := range []wechat.UserToken{{}, {OpenID: openID}, {AccessToken: "61_x"}} {
			_, err := newOfficial(t, up.api(t)).UserInfo(t.Context(), token, "zh_CN")
			wantOnly(t, err, wechat.ErrInvalidToken)
		}
		wantCalls(t, up, 0)
	})
}

// exchange answers an exchange with one more member and returns the token.
func exchange(t *testing.T, member string) wechat.UserToken {
	t.Helper()
	api := startUpstream(t, answers(`{"access_token":"61_a","openid":"oA",`+member+`}`)).api(t)
	api.Now = clock
	token, err := newOfficial(t, api).Exchange(t.Context(), code)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func clock() time.Time { return time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC) }

// plainToken is a UserToken that a failed comparison can show.
type plainToken struct {
	Access, Refresh, OpenID, UnionID string
	ExpiresAt                        time.Time
	Scopes                           []wechat.Scope
	Snapshot                         bool
}

func revealed(t wechat.UserToken) plainToken {
	return plainToken{t.AccessToken.Reveal(), t.RefreshToken.Reveal(), t.OpenID, t.UnionID, t.ExpiresAt, t.Scopes, t.Snapshot}
}

// wantRequest fails unless up got exactly one request, a bare GET of path with
// query and no parameter twice.
func wantRequest(t *testing.T, up *upstream, path string, query url.Values) {
	t.Helper()
	wantCalls(t, up, 1)
	r := up.seen()[0]
	if r.Method != http.MethodGet || r.URL.Path != path || r.ContentLength != 0 || len(r.TransferEncoding) != 0 {
		t.Errorf("got %s %s with length %d and encoding %q", r.Method, r.URL.Path, r.ContentLength, r.TransferEncoding)
	}
	if diff := cmp.Diff(query, r.URL.Query()); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
}

func wantCalls(t *testing.T, up *upstream, want int) {
	t.Helper()
	if got := len(up.seen()); got != want {
		t.Fatalf("WeChat got %d calls, want %d", got, want)
	}
}
