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
// desktop, wecom.go another, with members.go, which lets a member's session go on only while WeCom says that they are active.
// scan.go logs a desktop in by the code of an official account, scanphone.go asks on the phone. flow.go keeps the sealed flow
// cookies, repeats.go joins the callbacks WeChat sends twice, returnto.go is the one check of every return address.
//
// miniprogram.go logs mini programs in, miniprofile.go and minidata.go take what they know of their users, ticket.go brings
// their session into a web-view; wecommini.go is the same for WeCom's. events.go takes WeChat's pushes and push.go says what
// each means, wecomevents.go takes WeCom's. jssdk.go signs pages for WeChat's JS-SDK, wecompages.go for WeCom's. session.go
// finds out who a request comes from (Bearer header or cookie), csrf.go whether a cookie may change something. me.go,
// logout.go, home.go and ops.go are the other routes.
//
// verify.go is forward-auth, verifyrefuse.go its refusals and where they lead, verifypass.go its short cut for tokens that are
// known.
//
// requestlog.go keeps what a request's one line in the log says, and tells metrics; ratelimit.go is the middleware of routes
// with a budget by client address.
//
// No SQL, no WeChat URL and no cryptography lives here.
package handlers
