package wechat

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a failed call means to the caller. Exactly one of these fits an Error,
// unless the caller cancelled.
var (
	// ErrInvalidCode: the code is malformed, unknown, spent or expired; the user
	// must authorise (or call wx.login) again.
	ErrInvalidCode = errors.New("wechat: code not accepted")
	// ErrBusy: WeChat is busy, slow or down, or answered something that is no
	// documented answer. Later it may work, with a new code.
	ErrBusy = errors.New("wechat: temporarily unavailable")
	// ErrRateLimited: a quota of the app, or of this user, is used up.
	ErrRateLimited = errors.New("wechat: rate limited")
	// ErrMisconfigured: our side is at fault, WeChat refuses even a fresh app
	// token, or it answered a code unknown to us; an operator must look. See
	// Explain.
	ErrMisconfigured = errors.New("wechat: misconfigured")
	// ErrInvalidToken: the user's access token is no longer good. Refresh it
	// once, or let the user authorise again.
	ErrInvalidToken = errors.New("wechat: user access token not accepted")
	// ErrInvalidRefreshToken: the user must authorise again.
	ErrInvalidRefreshToken = errors.New("wechat: refresh token not accepted")
	// ErrForbidden: WeChat refuses this user for good.
	ErrForbidden = errors.New("wechat: user refused")

	// ErrSession: the user's session_key is not the current one, or the user has
	// been away too long; the user must call wx.login again.
	ErrSession = errors.New("wechat: the user's session is over, log in again")

	errCancelled = errors.New("wechat: cancelled by the caller")
)

// Error is a failed call. It is safe to log: Message holds no secret, code,
// token or openid of the call, nor its URL.
type Error struct {
	Op      string // the remote method, such as "sns/jscode2session"
	Code    int    // WeChat's errcode; 0 if WeChat gave none
	Message string // its errmsg, cleaned and shortened, or what went wrong on the way

	// Of WeCom, which adds them to errmsg; else empty.
	Hint string // by which Tencent's support finds the call
	From string // the address that the call came from, as WeCom saw it

	kind    error    // overrules the meaning of Code
	cause   error    // an error of package context, or nil
	dialect *Dialect // of the server, where that is not WeChat's
}

func (e *Error) Error() string {
	text := "wechat: " + e.Op + ": "
	if e.dialect != nil {
		text = e.dialect.Name + ": " + e.Op + ": "
	}
	if e.Code != 0 {
		text += "errcode " + strconv.Itoa(e.Code) + ": "
	}
	text += e.Message
	if e.Hint != "" {
		text += ", hint " + e.Hint
	}
	if e.From != "" {
		text += ", from " + e.From
	}
	return text
}

// Is reports whether target is the sentinel that fits e.
func (e *Error) Is(target error) bool {
	switch {
	case e.kind != nil:
		return target == e.kind
	case e.dialect != nil && e.Code != 0:
		return target == e.dialect.Meaning(e.Op, e.Code)
	}
	return target == meaning(e.Op, e.Code)
}

// Explain is [Explain] for this very error: in the terms of the server it came
// from, whose codes may have other meanings, and with what the error knows itself.
func (e *Error) Explain() (cause, fix string, ok bool) {
	if e.dialect != nil {
		return e.dialect.Explain(e)
	}
	return Explain(e.Code)
}

// Unwrap gives context.Canceled if the caller cancelled, and
// context.DeadlineExceeded if the answer took too long.
func (e *Error) Unwrap() error { return e.cause }

// meaning is the sentinel for an errcode. What a code says about a credential
// depends on which one was sent: for sns methods a stale token means another
// token, or else a new authorisation (wechat-protocol §11). Other methods carry
// the app's own token or secret, and no user can mend those.
func meaning(op string, code int) error {
	if code == 0 {
		return ErrBusy
	}
	kind := ErrMisconfigured
	if known, ok := errcodes[code]; ok {
		kind = known.kind
	}
	if kind != ErrInvalidToken && kind != ErrInvalidRefreshToken {
		return kind
	}
	switch op {
	case opUserInfo:
		return ErrInvalidToken
	case opRefresh:
		return ErrInvalidRefreshToken
	case opExchange, opLogin:
		if code == 40001 { // there is no token in these calls: it is the secret
			return ErrMisconfigured
		}
		return ErrInvalidCode
	}
	return ErrMisconfigured
}

// printable drops what acts on a terminal or turns text around: control,
// format, private-use and line-separating characters, and broken UTF-8.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp) {
			return -1
		}
		return r
	}, text)
}

// shorten keeps at most limit characters.
func shorten(text string, limit int) string {
	count := 0
	for i := range text {
		if count == limit {
			return text[:i] + "…"
		}
		count++
	}
	return text
}
