package wechat

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"
)

// webLogin is what [Official] and [Website] have in common: everything after the
// browser has come back with a code (wechat-protocol §1.2 to §1.5, §9).
type webLogin struct {
	appID  string
	caller *caller
	secret *Secret // a pointer, so that printing a client cannot show it
}

// Scope is what a user is asked to allow.
type Scope string

const (
	ScopeBase     Scope = "snsapi_base"     // the user sees nothing; gives the openid only
	ScopeUserinfo Scope = "snsapi_userinfo" // the user is asked; gives unionid and profile too
	ScopeLogin    Scope = "snsapi_login"    // of a [Website]: the user confirms on the phone; gives unionid and profile too
)

// UserToken is the answer to an exchange or refresh.
type UserToken struct {
	AccessToken  Secret    // for UserInfo; 2 hours
	RefreshToken Secret    // for Refresh; 30 days from the exchange, not renewed
	ExpiresAt    time.Time // of AccessToken
	OpenID       string    // never empty
	UnionID      string    // not with ScopeBase, and only for accounts bound to an Open Platform account
	Scopes       []Scope   // may list scopes allowed earlier; ask Has, never compare
	Snapshot     bool      // the visitor is a virtual account: store nothing, log nobody in (§1.7)
}

// Has reports whether the token covers s.
func (t UserToken) Has(s Scope) bool { return slices.Contains(t.Scopes, s) }

// UserInfo is a user's profile. Nickname and AvatarURL are chosen by the user
// and passed on as they are; both may be empty.
type UserInfo struct {
	OpenID, UnionID string
	Nickname        string
	AvatarURL       string // dies when the user changes the avatar
	Language        string // nearly always "" since October 2021
	Raw             json.RawMessage
}

const (
	opExchange = "sns/oauth2/access_token"
	opRefresh  = "sns/oauth2/refresh_token"
	opUserInfo = "sns/userinfo"
)

// newWebLogin checks api and app, and returns the base of pages for browsers
// too.
func newWebLogin(api *API, app App) (login webLogin, open string, err error) {
	caller, err := api.caller()
	if err != nil {
		return webLogin{}, "", err
	}
	if open, err = baseURL("OpenURL", api.OpenURL, defaultOpenURL); err != nil {
		return webLogin{}, "", err
	}
	if err := app.check(); err != nil {
		return webLogin{}, "", err
	}
	return webLogin{appID: app.ID, caller: caller, secret: &app.Secret}, open, nil
}

// AppID returns the appid.
func (w *webLogin) AppID() string { return w.appID }

// Exchange turns the code of a callback into a token and the visitor's openid.
// The code is spent by it, so it is sent at most once, whatever happens; one
// outside [A-Za-z0-9_-]{1,512} is ErrInvalidCode without a call.
//
// Look at Snapshot before anything else.
func (w *webLogin) Exchange(ctx context.Context, code string) (UserToken, error) {
	if !isCode(code) {
		return UserToken{}, malformedCode(opExchange)
	}
	return w.token(ctx, call{
		op: opExchange,
		query: "appid=" + w.appID + "&secret=" + url.QueryEscape(w.secret.Reveal()) +
			"&code=" + code + "&grant_type=authorization_code",
		private: []string{w.secret.Reveal(), code},
		once:    true,
	})
}

// Refresh prolongs a user's access token, or gives a new one if it has
// expired. The answer has no unionid, and its RefreshToken lives no longer
// than the old one (wechat-protocol §1.3). Asking twice gives the same token,
// so a -1 is tried once more.
func (w *webLogin) Refresh(ctx context.Context, refreshToken Secret) (UserToken, error) {
	if refreshToken == "" {
		return UserToken{}, &Error{Op: opRefresh, Message: "the refresh token is empty", kind: ErrInvalidRefreshToken}
	}
	t, err := w.token(ctx, call{
		op: opRefresh,
		query: "appid=" + w.appID + "&grant_type=refresh_token&refresh_token=" +
			url.QueryEscape(refreshToken.Reveal()),
		private: []string{refreshToken.Reveal()},
	})
	if err == nil && t.RefreshToken == "" {
		t.RefreshToken = refreshToken
	}
	return t, err
}

// UserInfo fetches the profile of the token's user, who must have allowed
// ScopeUserinfo or ScopeLogin. lang is "zh_CN", "zh_TW" or "en" ("zh-CN" and "zh-TW" do as
// well); anything else means "zh_CN". A -1 is tried once more.
//
// ErrInvalidToken is worth one Refresh and one more try.
func (w *webLogin) UserInfo(ctx context.Context, t UserToken, lang string) (UserInfo, error) {
	if t.AccessToken == "" || t.OpenID == "" {
		return UserInfo{}, &Error{Op: opUserInfo, Message: "the token is empty", kind: ErrInvalidToken}
	}
	r := call{
		op: opUserInfo,
		query: "access_token=" + url.QueryEscape(t.AccessToken.Reveal()) +
			"&openid=" + url.QueryEscape(t.OpenID) + "&lang=" + language(lang),
		private: []string{t.AccessToken.Reveal(), t.OpenID},
	}
	a, err := w.caller.do(ctx, r)
	if err != nil {
		return UserInfo{}, err
	}
	info, err := a.userInfo()
	if err != nil {
		return UserInfo{}, r.busy(err.Error())
	}
	if info.OpenID != t.OpenID {
		return UserInfo{}, r.busy("the answer is about another openid")
	}
	return info, nil
}

func (w *webLogin) token(ctx context.Context, r call) (UserToken, error) {
	a, err := w.caller.do(ctx, r)
	if err != nil {
		return UserToken{}, err
	}
	t, err := a.userToken(w.caller.now())
	if err != nil {
		return UserToken{}, r.busy(err.Error())
	}
	return t, nil
}

// userToken reads the answer of wechat-protocol §1.2 and §1.3.
func (a answer) userToken(now time.Time) (UserToken, error) {
	var r reading
	t := UserToken{
		OpenID:       r.keep(a.openID()),
		UnionID:      r.keep(a.id("unionid")),
		AccessToken:  Secret(r.keep(a.text("access_token"))),
		RefreshToken: Secret(r.keep(a.text("refresh_token"))),
		Scopes:       splitScopes(r.keep(a.text("scope"))),
		ExpiresAt:    now.Add(a.lifetime("expires_in")),
		Snapshot:     a.flag("is_snapshotuser"),
	}
	if r.err == nil && t.AccessToken == "" {
		r.err = errNoToken
	}
	return t, r.err
}

// userInfo reads the answer of wechat-protocol §1.4.
func (a answer) userInfo() (UserInfo, error) {
	var r reading
	info := UserInfo{
		OpenID:    r.keep(a.openID()),
		UnionID:   r.keep(a.id("unionid")),
		Nickname:  r.keep(a.text("nickname")),
		AvatarURL: r.keep(a.text("headimgurl")),
		Language:  r.keep(a.text("language")),
		Raw:       a.raw,
	}
	return info, r.err
}

// splitScopes reads "snsapi_base,snsapi_userinfo,": older answers end with a
// comma (wechat-protocol §1.2).
func splitScopes(list string) []Scope {
	var scopes []Scope
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			scopes = append(scopes, Scope(name))
		}
	}
	return scopes
}

func language(lang string) string {
	switch lang {
	case "en":
		return "en"
	case "zh_TW", "zh-TW":
		return "zh_TW"
	}
	return "zh_CN"
}
