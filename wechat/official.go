package wechat

import "net/url"

// Official is the client for logins through an official account, in WeChat's
// own browser (wechat-protocol §1). It is safe for concurrent use.
type Official struct {
	webLogin
	authorize string // the authorize link up to the value of redirect_uri
	extra     string // what the options add after state
}

// OfficialOptions add undocumented or rare parameters to the authorize link.
type OfficialOptions struct {
	ConnectRedirect bool // connect_redirect=1, which spares some clients a second callback (§1.1)
	ForcePopup      bool // forcePopup=true: ask even a user who recently allowed it
}

// NewOfficial returns a client for app, or an error that says what is wrong
// with api or app.
func NewOfficial(api *API, app App, o OfficialOptions) (*Official, error) {
	login, open, err := newWebLogin(api, app)
	if err != nil {
		return nil, err
	}
	extra := ""
	if o.ForcePopup {
		extra += "&forcePopup=true"
	}
	if o.ConnectRedirect {
		extra += "&connect_redirect=1"
	}
	return &Official{
		webLogin:  login,
		authorize: open + "/connect/oauth2/authorize?appid=" + app.ID + "&redirect_uri=",
		extra:     extra,
	}, nil
}

// AuthorizeURL returns the link to send the browser to. WeChat checks links by
// a regular expression: appid, redirect_uri, response_type, scope, state in
// this order, anything else after them, and #wechat_redirect at the end
// (wechat-protocol §1.1). url.Values would sort forcePopup to the front.
//
// The host of redirectURI must be the domain configured at WeChat. WeChat
// takes only letters and digits in state, at most 128, and gives it back
// unchanged beside the code.
func (o *Official) AuthorizeURL(redirectURI string, s Scope, state string) string {
	return o.authorize + url.QueryEscape(redirectURI) +
		"&response_type=code&scope=" + url.QueryEscape(string(s)) +
		"&state=" + url.QueryEscape(state) + o.extra + "#wechat_redirect"
}
