package wechat

import (
	"context"
	"net/url"
)

// MiniProgram is the client for logins of a mini program (wechat-protocol
// §8.1). It is safe for concurrent use.
type MiniProgram struct {
	appID  string
	caller *caller
	secret *Secret // a pointer, so that printing a MiniProgram cannot show it
}

// Session is the answer to a mini-program login.
type Session struct {
	OpenID  string // never empty
	UnionID string // "" unless the mini program is bound to an Open Platform account
	Key     Secret // session_key; must never leave the server
}

const opLogin = "sns/jscode2session"

// NewMiniProgram returns a client for app, or an error that says what is wrong
// with api or app.
func NewMiniProgram(api *API, app App) (*MiniProgram, error) {
	caller, err := api.caller()
	if err != nil {
		return nil, err
	}
	if err := app.check(); err != nil {
		return nil, err
	}
	return &MiniProgram{appID: app.ID, caller: caller, secret: &app.Secret}, nil
}

// AppID returns the appid.
func (m *MiniProgram) AppID() string { return m.appID }

// Login turns a code of wx.login into the user's openid. The code is spent by
// it, so it is sent at most once, whatever happens; one outside
// [A-Za-z0-9_-]{1,512} is ErrInvalidCode without a call.
func (m *MiniProgram) Login(ctx context.Context, code string) (Session, error) {
	if !isCode(code) {
		return Session{}, malformedCode(opLogin)
	}
	r := call{
		op: opLogin,
		query: "appid=" + m.appID + "&secret=" + url.QueryEscape(m.secret.Reveal()) +
			"&js_code=" + code + "&grant_type=authorization_code",
		private: []string{m.secret.Reveal(), code},
		once:    true,
	}
	a, err := m.caller.do(ctx, r)
	if err != nil {
		return Session{}, err
	}
	s, err := a.session()
	if err != nil {
		return Session{}, r.busy(err.Error())
	}
	return s, nil
}

// session reads the answer of wechat-protocol §8.1. A session_key that is
// missing does no harm to a login; an openid that is missing ends it.
func (a answer) session() (Session, error) {
	var r reading
	s := Session{
		OpenID:  r.keep(a.openID()),
		UnionID: r.keep(a.id("unionid")),
		Key:     Secret(r.keep(a.text("session_key"))),
	}
	return s, r.err
}

// isCode reports whether code may go to WeChat: 1 to 512 characters of
// [A-Za-z0-9_-], which need no escaping in a query. Real ones have 32.
func isCode(code string) bool { return isToken(code, 512) }

func malformedCode(op string) *Error {
	return &Error{Op: op, Message: "the code is malformed, WeChat was not asked", kind: ErrInvalidCode}
}
