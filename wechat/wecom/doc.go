// Package wecom talks with WeCom's servers (企业微信): who a member of an
// organisation is, on the pages of one of its apps, and what WeCom pushes. Its one
// job is to say who somebody is to the organisation; like package wechat, on whose
// calls, errors and tokens it builds, it stores nothing.
//
//	in WeCom:      AuthorizeURL → the browser comes back with a code → Exchange → Detail, Member
//	on a PC:       QRLoginURL → the same
//	mini program:  wx.qy.login gives a code → Login
//	pages' JS-SDK: CorpTickets for wx.config, AgentTickets for wx.agentConfig
//	pushes:        Callback → Verify, Open → a Message
//
// # Tokens
//
// Every call carries the app's token, which is fetched once however many ask, kept
// in a [wechat.TokenStore] for other processes, and replaced when WeCom says that
// it ended it (40014, 42001). A wrong secret is tried once a minute at most: WeCom
// locks the address of who sends it too often (wecom-protocol §1.1).
//
// # Errors
//
// Every failed call returns a [*wechat.Error], which fits exactly one of the
// sentinels of package wechat, [ErrNotMember] and [ErrOtherCorp]; see [Explain] for
// what WeCom's codes mean. It keeps the hint, by which Tencent's support finds the
// call, and the address that WeCom saw it come from, which is what an operator must
// enter when WeCom answers 60020.
//
// # What is sent twice
//
// A code is sent once, unless WeCom refuses the token beside it, at which it looks
// first (wecom-protocol §0.1). Other calls are tried once more if WeCom answers -1.
//
// A member's userid is compared without case ([FoldUserID]). Facts about WeCom cite
// sections of the project's protocol notes as "wecom-protocol §3.1".
package wecom
