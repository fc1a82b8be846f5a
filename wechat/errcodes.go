package wechat

// Explain tells an operator what an errcode of WeChat means and what to do
// about it, with the place in WeChat's consoles. It knows the codes of the
// calls in this package and those shown on WeChat's authorize page
// (wechat-protocol §1 to §4, §6 to §8, §11); ok is false for any other.
func Explain(code int) (cause, fix string, ok bool) {
	known, ok := errcodes[code]
	return known.cause, known.fix, ok
}

type errcode struct {
	kind       error
	cause, fix string
}

// Where things are. Tencent is moving developer settings from the older
// consoles to one developer platform; an account sees one of the two.
const (
	atSecret = "WeChat Developer Platform (微信开发者平台, developers.weixin.qq.com) → 我的业务 → the account → 基础信息 → 开发密钥; " +
		"older console: Official Accounts Platform (公众平台, mp.weixin.qq.com) → 设置与开发 → 基本配置, for a mini program 开发管理 → 开发设置"
	atIPList = "WeChat Developer Platform (微信开发者平台, developers.weixin.qq.com) → 我的业务 → the account → 基础信息 → API IP白名单; " +
		"older console: Official Accounts Platform (公众平台, mp.weixin.qq.com) → 设置与开发 → 基本配置 → IP白名单"
	atRights = "WeChat Developer Platform (微信开发者平台, developers.weixin.qq.com) → 我的业务 → the account → 接口管理 → 接口权限与额度; " +
		"older console: Official Accounts Platform (公众平台, mp.weixin.qq.com) → 设置与开发 → 接口权限"
	atDomain = "Official Accounts Platform (公众平台, mp.weixin.qq.com) → 设置与开发 → 账号设置 → 功能设置 → 网页授权域名"
	atLinked = "Official Accounts Platform (公众平台, mp.weixin.qq.com) → 小程序管理 → 关联小程序"
	atPages  = "Official Accounts Platform (公众平台, mp.weixin.qq.com) → 设置与开发 → 账号设置 → 功能设置 → JS接口安全域名"
	atNotice = "Official Accounts Platform (公众平台, mp.weixin.qq.com) → 通知中心"

	wait     = "Nothing to set. Calls work again by themselves; if it lasts, look for an outage notice of WeChat's."
	newCode  = "Nothing to set if it is rare: the user logs in again."
	newToken = "Nothing to set if it is rare: the app token is renewed. If it repeats, another system fetches tokens of the same app: let it ask this one, or both use stable_token."
	newLogin = "Nothing to set: the user authorises again."
	menuFile = "Mend the menu; a menu file is checked before it is sent, so please report a menu that passed."
	report   = "The request itself is wrong, which no setting cures. Check that the API address points at WeChat and that no proxy changes requests; then report it with the rid of the message."
)

// errcodes is never written to.
var errcodes = map[int]errcode{
	-1:    {ErrBusy, "WeChat is busy.", wait},
	-1000: {ErrBusy, "WeChat is busy (an older form of -1).", wait},
	61450: {ErrBusy, "WeChat is busy (system error).", wait},

	40029: {ErrInvalidCode, "The code is unknown or expired (5 minutes), or belongs to another appid.",
		newCode + " If every login fails, the page or mini program that got the code uses another appid than the configured one: compare with project.config.json, and sign in to the DevTools with a real appid, not as a tourist (游客模式)."},
	40163: {ErrInvalidCode, "The code was used before: WeChat visits a callback twice at times, or the user went Back to it.", newCode},
	42003: {ErrInvalidCode, "The code has expired (5 minutes).", newCode},
	41008: {ErrInvalidCode, "The request had no code.", newCode},

	40226: {ErrForbidden, "WeChat blocks logins of this user as high-risk.", "Nothing to set: only WeChat can lift it."},
	50002: {ErrForbidden, "WeChat has limited or frozen this user or account.", "If it hits one user, only WeChat can lift it. If it hits all, see the notices of the account: " + atNotice + "."},
	46004: {ErrForbidden, "The user does not exist any more.", "Nothing to set."},

	45009: {ErrRateLimited, "The app has used up its daily quota for this method, such as the 2000 fetches of cgi-bin/token.", "Look for the cause of so many calls and ask for a larger quota: " + atRights + "."},
	48006: {ErrRateLimited, "The quota was cleared as often as a month allows (10 times).", "Wait for the new month, or for the new day of the quota itself."},
	45011: {ErrRateLimited, "Too many calls in this minute: of the app, or for a mini program of one user (100 a minute).", "Nothing to set; it ends with the minute. If it repeats, look for a page or mini program that logs in again and again."},

	40001: {ErrInvalidToken, "The access token is not valid any more: a user's was replaced, or the app's was ended early by somebody else's fetch. On a call that carries the app secret: the secret is wrong or of another account.",
		newToken + " If every call fails, compare appid and secret: " + atSecret + "."},
	40003: {ErrInvalidToken, "The openid does not belong to the token or to this appid.", newLogin},
	40014: {ErrInvalidToken, "The access token is malformed or unknown.", "Nothing to set if it is rare: the app's is renewed, and with a user's the user authorises again."},
	41001: {ErrInvalidToken, "The request had no access token.", newLogin},
	41009: {ErrInvalidToken, "The request had no openid.", newLogin},
	42001: {ErrInvalidToken, "The access token has expired (2 hours).", "Nothing to set: it is renewed. If it repeats, compare the clock of this server."},
	50001: {ErrInvalidToken, "The user has withdrawn the authorisation.", newLogin},

	87009: {ErrSession, "The session_key is not the user's current one.", newLogin},
	61010: {ErrSession, "The user has not been in the mini program in the last two hours.", newLogin},

	40030: {ErrInvalidRefreshToken, "The refresh token is not valid.", newLogin},
	41003: {ErrInvalidRefreshToken, "The request had no refresh token.", newLogin},
	42002: {ErrInvalidRefreshToken, "The refresh token has expired (30 days).", newLogin},
	42007: {ErrInvalidRefreshToken, "The user changed the WeChat password or withdrew the authorisation; both tokens are void.", newLogin},

	40013: {ErrMisconfigured, "WeChat does not know the appid, or it is not of the kind this call needs.", "Compare the configured appid with the console; a website app or mini program has another one than the official account: " + atSecret + "."},
	40125: {ErrMisconfigured, "The app secret is wrong, or was reset.", "Reset it and configure the new one (the old one dies at once, and it is shown only once): " + atSecret + "."},
	40164: {ErrMisconfigured, "The address this server calls from is not on the IP list of the account; the message names it.", "Add it: " + atIPList + "."},
	40243: {ErrMisconfigured, "The app secret is frozen.", "Unfreeze or reset it: " + atSecret + "."},
	41002: {ErrMisconfigured, "The request had no appid.", "Configure the appid: " + atSecret + "."},
	41004: {ErrMisconfigured, "The request had no app secret.", "Configure the secret: " + atSecret + "."},
	48001: {ErrMisconfigured, "The account may not use this call; asked for a user's profile, it can also mean that the user gave snsapi_base alone.", "Most calls need a verified service account (已认证服务号). See what this account may do: " + atRights + "."},
	48004: {ErrMisconfigured, "WeChat has barred the account from this call for breaking its rules.", "Read the notice and appeal: " + atNotice + "."},
	89501: {ErrMisconfigured, "An administrator has yet to confirm the address this server calls from.", "The administrator confirms it in WeChat; or add it: " + atIPList + "."},
	89503: {ErrMisconfigured, "An administrator must confirm the address this server calls from.", "The administrator confirms it in WeChat; or add it: " + atIPList + "."},
	89506: {ErrMisconfigured, "An administrator refused the address this server calls from twice; it is banned for 24 hours.", "Wait for the ban to end, then add the address: " + atIPList + "."},
	89507: {ErrMisconfigured, "An administrator refused the address this server calls from; it is banned for an hour.", "Wait for the ban to end, then add the address: " + atIPList + "."},
	61004: {ErrMisconfigured, "The address this server calls from is not registered (third-party platform).", "Add it: " + atIPList + "."},
	61007: {ErrMisconfigured, "The account has not authorised the third-party platform to make this call.", "Check the authorisation: Official Accounts Platform (公众平台, mp.weixin.qq.com) → 设置与开发 → 账号设置 → 授权管理."},
	61024: {ErrMisconfigured, "The appid is one of a third-party platform, whose token comes by another call.", "Configure the appid of the account itself: " + atSecret + "."},
	40002: {ErrMisconfigured, "WeChat does not accept the grant_type.", report},
	40035: {ErrMisconfigured, "WeChat does not accept a parameter.", report},
	40066: {ErrMisconfigured, "The path of the call is wrong.", report},
	40097: {ErrMisconfigured, "WeChat does not accept the arguments.", report},
	43001: {ErrMisconfigured, "The call must be a GET.", report},
	43002: {ErrMisconfigured, "The call must be a POST.", report},
	40038: {ErrMisconfigured, "WeChat does not accept the format of the request.", report},
	44002: {ErrMisconfigured, "The POST arrived without its body.", report},
	47001: {ErrMisconfigured, "WeChat cannot read the body of the POST.", report},
	61451: {ErrMisconfigured, "WeChat does not accept a parameter.", report},
	43003: {ErrMisconfigured, "The call must use https.", "Set the API address to one that begins with https://."},

	// Of mini programs (§8) and QR codes (§7).
	40129: {ErrMisconfigured, "WeChat does not accept the scene of the text to check.", report},
	40052: {ErrMisconfigured, "WeChat does not accept the kind of QR code.", report},
	40053: {ErrMisconfigured, "WeChat does not accept the scene of the QR code, or all permanent ones (100,000) are used up.", report},

	// Of JS-SDK configs, shown by WeChat on the page (§3.3).
	40048: {ErrMisconfigured, "The host of the page is not listed for the JS-SDK (invalid url domain).", "Enter the host of the page, without scheme and path; every host by itself: " + atPages + "."},

	// Of menus (§4).
	40007: {ErrMisconfigured, "A media_id in the menu is unknown or not a permanent one.", menuFile},
	40015: {ErrMisconfigured, "WeChat does not accept the type of a button in the menu.", menuFile},
	40016: {ErrMisconfigured, "The menu has not 1 to 3 buttons.", menuFile},
	40017: {ErrMisconfigured, "WeChat does not accept the type of a button in the menu.", menuFile},
	40018: {ErrMisconfigured, "A button's name is too long (16 bytes) or missing.", menuFile},
	40019: {ErrMisconfigured, "A button's key is too long (128 bytes) or missing.", menuFile},
	40020: {ErrMisconfigured, "A button's URL is too long (1024 bytes) or missing.", menuFile},
	40022: {ErrMisconfigured, "The menu has more than two levels.", menuFile},
	40023: {ErrMisconfigured, "A button has not 1 to 5 buttons below it.", menuFile},
	40024: {ErrMisconfigured, "WeChat does not accept the type of a button of the second level.", menuFile},
	40025: {ErrMisconfigured, "The name of a button of the second level is too long (60 bytes) or missing.", menuFile},
	40026: {ErrMisconfigured, "The key of a button of the second level is too long (128 bytes) or missing.", menuFile},
	40027: {ErrMisconfigured, "The URL of a button of the second level is too long (1024 bytes) or missing.", menuFile},
	40033: {ErrMisconfigured, "The menu has a character, or an escape of one, that menus cannot have.", menuFile},
	40054: {ErrMisconfigured, "WeChat does not accept the domain of a button's URL.", menuFile},
	40055: {ErrMisconfigured, "WeChat does not accept the domain of a button's URL.", menuFile},
	40119: {ErrMisconfigured, "The account may not use a button of this type.", menuFile},
	40120: {ErrMisconfigured, "The account may not use a button of this type.", menuFile},
	40155: {ErrMisconfigured, "A button links to the home page of another account, which WeChat forbids.", menuFile},
	41007: {ErrMisconfigured, "The menu has no buttons.", menuFile},
	45010: {ErrMisconfigured, "The account has too many menus.", "Delete menus for some users (conditional menus) that are not needed."},
	45064: {ErrMisconfigured, "The menu has a mini program that is not linked to the account.", "Link it: " + atLinked + "."},
	46003: {ErrMisconfigured, "The account has no menu.", "Nothing to set: push one."},
	65316: {ErrMisconfigured, "The menu links to more than 3 domains that are not the account's own.", menuFile},
	65317: {ErrMisconfigured, "A URL in the menu is not valid.", menuFile},

	// Shown to users on WeChat's authorize page, never sent to us (wechat-protocol §1.1).
	10003: {ErrMisconfigured, "The host of redirect_uri is not the one configured at WeChat (redirect_uri域名与后台配置不一致).", "Enter the host of the public address, without scheme, port and path: " + atDomain + "."},
	10004: {ErrMisconfigured, "The official account is banned (此公众号被封禁).", "Read the notice and appeal: " + atNotice + "."},
	10005: {ErrMisconfigured, "The account may not use this scope (没有这些scope的权限).", "The account must be a verified service account (已认证服务号) with 网页授权 allowed: " + atRights + "."},
	10006: {ErrMisconfigured, "The user must follow this test account first (必须关注此测试号).", "Scan the test account's QR code with the WeChat account you test with: mp.weixin.qq.com/debug/cgi-bin/sandbox → 测试号二维码."},
	10009: {ErrRateLimited, "Too many authorisations in a short time (操作太频繁了).", "Nothing to set; look for a page that redirects to WeChat again and again."},
	10010: {ErrMisconfigured, "The link has no scope (scope不能为空).", "Check hand-written links, such as those in the account's menu."},
	10011: {ErrMisconfigured, "The link has no redirect_uri (redirect_uri不能为空).", "Check hand-written links, such as those in the account's menu."},
	10012: {ErrMisconfigured, "The link has no appid (appid不能为空).", "Check hand-written links, such as those in the account's menu."},
	10013: {ErrMisconfigured, "The link has no state (state不能为空).", "Check hand-written links, such as those in the account's menu."},
	10015: {ErrMisconfigured, "The official account has not authorised the third-party platform (公众号未授权第三方平台).", "Check the authorisation: Official Accounts Platform (公众平台, mp.weixin.qq.com) → 设置与开发 → 账号设置 → 授权管理."},
	10016: {ErrMisconfigured, "The appid is one of an Open Platform app (不支持微信开放平台的Appid).", "Configure the appid of the official account: " + atSecret + "."},
}
