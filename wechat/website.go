package wechat

import "net/url"

// Website is the client for logins of a website app of the Open Platform: a
// desktop browser shows a QR code of WeChat's, and the user confirms on the phone
// (wechat-protocol §9). Its appid and openids are its own; what comes after the
// code is the same as for an [Official]. It is safe for concurrent use.
//
// Snapshot is never set, and a code lives for 10 minutes. Who refuses stays on
// WeChat's page, or comes back with the state alone.
type Website struct {
	webLogin
	authorize string // the link up to the value of redirect_uri
}

// NewWebsite returns a client for app, or an error that says what is wrong with
// api or app.
func NewWebsite(api *API, app App) (*Website, error) {
	login, open, err := newWebLogin(api, app)
	if err != nil {
		return nil, err
	}
	return &Website{login, open + "/connect/qrconnect?appid=" + app.ID + "&redirect_uri="}, nil
}

// AuthorizeURL returns the link to send the browser to, with its parameters in
// the documented order. The host of redirectURI must be the domain configured at
// WeChat, and state is as for [Official.AuthorizeURL]. WeChat's page is in English
// if lang is "en", else in Chinese.
func (w *Website) AuthorizeURL(redirectURI, state, lang string) string {
	if lang != "en" {
		lang = "cn"
	}
	return w.authorize + url.QueryEscape(redirectURI) + "&response_type=code&scope=" + string(ScopeLogin) +
		"&state=" + url.QueryEscape(state) + "&lang=" + lang + "#wechat_redirect"
}
