// Package wechat talks with WeChat's servers: typed clients for WeChat's logins,
// web authorisation of an official account (公众号网页授权), the QR code of a website
// (网站应用扫码登录) and the login of a mini program (小程序登录), the source of an
// app's own token and of its tickets, and the receiving end of what WeChat pushes.
// Its one job is to say who somebody is and what they did; it stores nothing and
// knows neither fans nor tokens of ours.
//
//	official account: AuthorizeURL → the browser comes back with a code → Exchange → UserInfo
//	website:          the same
//	mini program:     wx.login gives a code → Login; wx.getUserInfo → CheckRawData, OpenUserData
//	app token:        AppTokens → Do(any call that needs it), Follower, CreateQRCode, the menu,
//	                  PhoneNumber, CheckSession, MsgSecCheck
//	JS-SDK:           NewJSAPITickets → Ticket → SignJSSDK
//	pushes:           Callback → Verify, Open → a Message → Key, TextReply
//
// Every call goes through one request function (call.go) with a deadline, a
// limit on the size of the answer and no redirects. WeChat reports errors
// inside answers with status 200, so success is judged by the payload alone:
// no errcode, and an openid (answer.go).
//
// # Errors
//
// Every failed call returns an [*Error]. Match it with [errors.Is] against
// [ErrInvalidCode], [ErrBusy], [ErrRateLimited], [ErrMisconfigured],
// [ErrInvalidToken], [ErrInvalidRefreshToken], [ErrSession] and [ErrForbidden];
// exactly one of them fits, unless the caller cancelled its context: then only
// [context.Canceled] does. [Explain] tells an operator what a code of WeChat's
// means and where in WeChat's consoles to look.
//
// [AppTokens.Menu] may also say [ErrNoMenu], and what a mini program sends in a
// user's name is [ErrSession], [ErrUserData] or [ErrWatermark]. A [Callback] has
// errors of its own: [ErrSignature], [ErrStale], [ErrMalformed] and [ErrDecrypt].
//
// # Secrets
//
// WeChat wants the app secret in the query of the URL, and the errors of
// net/http print URLs. No error of this package holds the URL of a call, and
// an answer that echoes a secret, code, token or openid is redacted. [Secret]
// prints as "[redacted]" in every verb of fmt, in log/slog and in
// encoding/json.
//
// # What is sent twice, and what never
//
// A code is spent by its first use, so Exchange, Login and PhoneNumber send it at
// most once: this package does not repeat the call, and it keeps net/http from
// repeating it on a connection that breaks. UserInfo reads and Refresh extends
// (the answer to a repeat is the same token, wechat-protocol §1.3); they, and all
// else that spends no code, are tried once more if WeChat answers -1, inside the
// same deadline. A call that is refused because of its app token is made once more
// with the next one, be there a code in it or not: WeChat looks at the token first.
//
// A call takes CallTimeout at most. A login that makes several of them should
// pass a context with a deadline for them all.
//
// Facts about WeChat cite sections of the project's protocol notes as
// "wechat-protocol §1.2".
package wechat
