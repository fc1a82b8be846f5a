package wecom

import "wxbridge/wechat"

// Explain tells an operator what an errcode of WeCom's means and what to do about
// it, with the place in WeCom's admin console. Many of WeChat's codes mean something
// else here. ok is false for a code that wecom-protocol §10 does not list.
func Explain(code int) (cause, fix string, ok bool) {
	known, ok := errcodes[code]
	return known.cause, known.fix, ok
}

type errcode struct {
	kind       error
	cause, fix string
}

const codeAddress = 60020

// Where things are in the admin console.
const (
	console    = "WeCom admin console (企业微信管理后台, work.weixin.qq.com) → "
	atApp      = console + "应用管理 → the app"
	atSecret   = atApp + " → Secret"
	atVisible  = atApp + " → 可见范围"
	atAddress  = atApp + " → 开发者接口 → 企业可信IP"
	atDomain   = atApp + " → 开发者接口 → 网页授权及JS-SDK → 可信域名"
	atLogin    = atApp + " → 开发者接口 → 企业微信授权登录 → 授权回调域"
	atCallback = atApp + " → 接收消息 → API接收消息"
	atCorp     = console + "我的企业 → 企业信息 → 企业ID"
	atContacts = console + "通讯录"

	// What the list takes, after the place.
	addressTakes = ". It counts after a minute. The console wants a trusted domain or a callback set first, and takes no address of a third-party provider."

	wait      = "Nothing to set. Calls work again by themselves; if it lasts, look for an outage notice of WeCom's."
	again     = "Nothing to set if it is rare: the member logs in again."
	otherKeys = "Nothing to set: this part of WeCom is for third-party providers, so the app or its secret may be of the wrong kind. A self-built app (自建应用) is needed: " + atSecret + "."
	mistake   = "The request itself is wrong, which no setting cures. Check that the API address points at WeCom and that no proxy changes requests; then report it with the hint of the message."
	tooOften  = "Look for the cause of so many calls, such as another system with the same app. Calls work again after a minute, an hour or a day, the time for which the limit is."
)

// errcodes is never written to.
var errcodes = map[int]errcode{
	-1:   {wechat.ErrBusy, "WeCom is busy.", wait},
	6000: {wechat.ErrBusy, "Two calls changed the same thing at once.", wait},

	40029: {wechat.ErrInvalidCode, "The code is unknown, used or older than 5 minutes, or one of a mini program where one of a page is expected, or the other way round.",
		again + " If every login fails, pages or mini program are of another organisation: compare the corpid: " + atCorp + "."},
	40078: {wechat.ErrInvalidCode, "The auth_code is unknown or used.", again},
	42003: {wechat.ErrInvalidCode, "The code has expired (5 minutes).", again},
	42022: {wechat.ErrInvalidCode, "The code was used before.", again},
	42013: {wechat.ErrInvalidCode, "The mini program has no login of this member, or no longer.", again},
	43016: {wechat.ErrInvalidCode, "WeCom knows no login of this member.", again},
	90210: {wechat.ErrInvalidCode, "The member has yet to allow this.", again},
	40207: {wechat.ErrInvalidCode, "The code of a second verification is not valid.", again},

	84014: {wechat.ErrInvalidToken, "The user_ticket has expired (30 minutes).", again},
	84015: {wechat.ErrInvalidToken, "The user_ticket is not valid.", again},

	60111: {ErrNotMember, "There is no member of this userid: never was, has left, was deleted, or may not see the app.",
		"If the member should get in, add the member or a department: " + atVisible + "; or see whether the member is there at all: " + atContacts + "."},
	60011: {ErrNotMember, "The member may not see the app, or the app may not look at the member.", "Add the member or a department: " + atVisible + "."},
	50002: {ErrNotMember, "The member is outside of what the app may see.", "Add the member or a department: " + atVisible + "."},
	46004: {ErrNotMember, "There is no such member.", "See whether the member is there: " + atContacts + "."},

	45009: {wechat.ErrRateLimited, "Calls came too often; for gettoken also: a wrong secret was sent too often, and WeCom locks out this server's address for an hour.",
		tooOften + " If it is gettoken, first correct the secret: " + atSecret + "."},
	45033: {wechat.ErrRateLimited, "Too many calls at the same time.", "Nothing to set. If it repeats, look for the cause of so many calls, such as another system with the same app."},

	40001: {wechat.ErrMisconfigured, "The secret is wrong, was reset, or the app is disabled.",
		"Look the secret up, configure it, and see that the app is enabled: " + atSecret + "."},
	40013: {wechat.ErrMisconfigured, "WeCom does not know the corpid.", "Compare it: " + atCorp + ". The appid of a mini program or official account is none."},
	40014: {wechat.ErrMisconfigured, "WeCom refuses a token that it has just given: the call is for another app than the one of the secret.",
		"Configure the secret of this very app, for a mini program of the app it is linked with: " + atSecret + "."},
	40056: {wechat.ErrMisconfigured, "The agentid is none of this organisation's.", "Compare it: " + atApp + " → AgentId."},
	40057: {wechat.ErrMisconfigured, "The console could not verify the callback address.", "Compare address, Token and EncodingAESKey: " + atCallback + "."},
	40091: {wechat.ErrMisconfigured, "The secret is one of another organisation.", "Compare corpid and secret: " + atCorp + "; " + atSecret + "."},
	40093: {wechat.ErrMisconfigured, "The signature of a page is wrong: another ticket, address or timestamp went into it.",
		"Let the page send its address encoded and without what follows #, and ask for a signature on every page."},
	40133: {wechat.ErrMisconfigured, "The organisation does not let members authorise by themselves.", "An administrator must allow it: " + atApp + "."},
	40208: {wechat.ErrMisconfigured, "The member needs no second verification.", "Check its scope: " + console + "安全与管理."},
	40209: {wechat.ErrMisconfigured, "The host of the link is not the one of the second verification.", "Check its address: " + console + "安全与管理."},
	40210: {wechat.ErrMisconfigured, "There is no address for the second verification.", "Enter one: " + console + "安全与管理."},
	42001: {wechat.ErrMisconfigured, "The token has expired, although it was fetched a moment ago.", "Compare the clock of this server."},
	42012: {wechat.ErrMisconfigured, "The ticket is of another kind, or of another app.", "Sign wx.agentConfig with agent=1, and with the app whose agentid the page names."},
	43004: {wechat.ErrMisconfigured, "The member has not bound WeChat to WeCom, so there is no openid.", "Nothing to set: the userid is what a member is known by."},
	43009: {wechat.ErrMisconfigured, "The organisation is not verified.", "Have it verified: " + console + "我的企业 → 企业信息."},
	45024: {wechat.ErrMisconfigured, "The organisation has as many members as it may.", "Ask for more: " + console + "我的企业 → 企业信息."},
	48001: {wechat.ErrMisconfigured, "The call is not enabled for this organisation.", "See what the app may do: " + atApp + "."},
	48002: {wechat.ErrMisconfigured, "The app may not use this call: its secret is of another kind, such as 通讯录同步, or the mini program is not linked with this app.",
		"Configure the secret of the app itself, for a mini program of the app it is linked with: " + atSecret + "."},
	48004: {wechat.ErrMisconfigured, "The authorisation of the app is not valid any more.", "Authorise it again: " + atApp + "."},
	48006: {wechat.ErrMisconfigured, "The app has not been used for long and has lost its rights.", "An administrator must enable it again: " + atApp + "."},
	48009: {wechat.ErrMisconfigured, "The secret is that of 通讯录同步, which may not read members from new addresses.", "Configure the secret of the app itself: " + atSecret + "."},
	50001: {wechat.ErrMisconfigured, "The host of redirect_uri is not a trusted domain of the app, or the code is one of another app.",
		"Enter the host of the public address, with its port if it has one: " + atDomain + "; for the QR code on a PC: " + atLogin + ". Compare agentid and secret too: " + atSecret + "."},
	50003: {wechat.ErrMisconfigured, "The app is disabled.", "Enable it: " + atApp + "."},
	codeAddress: {wechat.ErrMisconfigured, "The address this server calls from is not one of the app's trusted ones; the message names it after \"from\".",
		"Add it: " + atAddress + addressTakes},
	80001: {wechat.ErrMisconfigured, "The trusted domain is wrong or has no ICP record.", "Enter another one: " + atDomain + "."},
	81013: {wechat.ErrMisconfigured, "None of the receivers may see the app.", "Add them: " + atVisible + "."},
	85005: {wechat.ErrMisconfigured, "The trusted domain has not been proved to be the organisation's: logins work, the JS-SDK does not.",
		"Put the file WW_verify_….txt into the folder of domain files and press the button: " + atDomain + "."},
	90208:  {wechat.ErrMisconfigured, "The mini program is not linked with the organisation.", "Link it: " + console + "应用管理 → 小程序 → 关联小程序."},
	301002: {wechat.ErrMisconfigured, "The agentid is not the one of the secret.", "Compare agentid and secret: " + atSecret + "."},
	301007: {wechat.ErrMisconfigured, "The organisation is dissolved or barred.", "Read its notices: " + console + "我的企业."},
	301042: {wechat.ErrMisconfigured, "The address this server calls from is not on the list of the chat archive.", "Add it: " + console + "管理工具 → 会话内容存档."},
	670001: {wechat.ErrMisconfigured, "The app is not shared with that organisation.", "Share it: " + console + "上下游."},

	2000002: {wechat.ErrMisconfigured, "There is no such corpid.", "Compare it: " + atCorp + "."},

	40082: {wechat.ErrMisconfigured, "The suite_access_token is not valid.", otherKeys},
	40084: {wechat.ErrMisconfigured, "The permanent_code is not valid.", otherKeys},
	41022: {wechat.ErrMisconfigured, "There is no suite_access_token.", otherKeys},
	42009: {wechat.ErrMisconfigured, "The suite_access_token has expired.", otherKeys},
	90211: {wechat.ErrMisconfigured, "The mini program logs in for a suite that does not exist.", otherKeys},
	90212: {wechat.ErrMisconfigured, "The mini program logs in for another suite than the linked app's.", otherKeys},

	40003:  {wechat.ErrMisconfigured, "The userid has no possible shape.", mistake},
	40031:  {wechat.ErrMisconfigured, "A list of userids is wrong.", mistake},
	40035:  {wechat.ErrMisconfigured, "WeCom does not accept a parameter.", mistake},
	40058:  {wechat.ErrMisconfigured, "WeCom does not accept the request.", mistake},
	40063:  {wechat.ErrMisconfigured, "A parameter is empty.", mistake},
	40068:  {wechat.ErrMisconfigured, "The id of a tag is wrong.", mistake},
	40094:  {wechat.ErrMisconfigured, "A URL is neither http nor https.", mistake},
	40096:  {wechat.ErrMisconfigured, "The external_userid is wrong.", mistake},
	40127:  {wechat.ErrMisconfigured, "WeCom does not accept the scheme of a URL.", mistake},
	41001:  {wechat.ErrMisconfigured, "The request had no access_token in its query.", mistake},
	41002:  {wechat.ErrMisconfigured, "The request had no corpid.", "Configure the corpid: " + atCorp + "."},
	41004:  {wechat.ErrMisconfigured, "The request had no secret.", "Configure the secret: " + atSecret + "."},
	41008:  {wechat.ErrMisconfigured, "The request had no code.", mistake},
	41009:  {wechat.ErrMisconfigured, "The request had no userid.", mistake},
	41011:  {wechat.ErrMisconfigured, "The request had no agentid.", mistake},
	41035:  {wechat.ErrMisconfigured, "The request had no external_userid.", mistake},
	44001:  {wechat.ErrMisconfigured, "The request had no file.", mistake},
	45029:  {wechat.ErrMisconfigured, "The answer would be too large.", mistake},
	48005:  {wechat.ErrMisconfigured, "WeCom has taken the call out of service.", mistake},
	60102:  {wechat.ErrMisconfigured, "The userid is taken.", mistake},
	60104:  {wechat.ErrMisconfigured, "The mobile number is taken.", mistake},
	60123:  {wechat.ErrMisconfigured, "The id of a department is wrong.", mistake},
	82001:  {wechat.ErrMisconfigured, "The message has no receivers.", mistake},
	93000:  {wechat.ErrMisconfigured, "The key of a group robot is wrong.", mistake},
	301021: {wechat.ErrMisconfigured, "The userid is not in the directory.", mistake},
}
