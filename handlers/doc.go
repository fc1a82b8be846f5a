// Package handlers is wxbridge's HTTP surface: one file a flow, each a straight line from the request over WeChat
// ("who is it?"), the store ("which fan?") and the issuer ("sign") to the answer.
//
// The browser login, in the order a request meets it:
//
//	GET /login                      login.go     pick the provider, set a flow cookie, 302 to WeChat
//	GET /callback/official-account  callback.go  the flow cookie proves the browser; the code is exchanged once
//	    known fan, or userinfo ───▶ signin.go    save the login, sign both tokens, 302 to return_to
//	    unknown fan ──────────────▶ register.go  /login/register: one tap asks for snsapi_userinfo
//	    refused, snapshot, no cookies ─────────▶ the page that says what to do
//
// entrance.go is what differs between the providers that a browser logs in with; website.go is one, with WeChat's QR code on a
// desktop. flow.go keeps the sealed flow cookies, repeats.go joins the callbacks WeChat sends twice, returnto.go is the one check
// of every return address. jssdk.go signs pages for WeChat's JS-SDK. session.go finds out who a request comes from (Bearer header or cookie), csrf.go whether a
// cookie may change something. events.go takes WeChat's pushes, push.go says what each
// means. wecom.go logs members of a WeCom corp in, members.go lets their sessions go on only while WeCom says that they are
// active, wecomevents.go takes its pushes; wecommini.go and wecompages.go are its mini program and JS-SDK. miniprogram.go, me.go, logout.go, home.go and ops.go are the other routes.
//
// verify.go is forward-auth, verifyrefuse.go its refusals and where they lead, verifypass.go its short cut for tokens that are
// known.
//
// requestlog.go keeps what a request's one line in the log says, and tells metrics; ratelimit.go is the middleware of routes
// with a budget by client address.
//
// No SQL, no WeChat URL and no cryptography lives here.
package handlers
