// Package simulator is a stand-in for WeChat's login servers that runs on the developer's own machine: same paths,
// fields, error codes and wording, the same habit of answering errors with HTTP 200. It is written from the protocol
// facts and shares no type with any client, so that a client and the simulator cannot share a mistake.
//
// It is for development and tests only. It knows no real person, keeps everything in memory, hands out an identity to
// whoever asks for one, and must never be reachable from outside the machine.
//
// # What is simulated
//
//   - The official account's web authorisation: GET /connect/oauth2/authorize with its error pages, the consent sheet,
//     the silent cases, refusals, snapshot mode, and callbacks that arrive twice (authorize.go, decide.go, comeback.go,
//     snapshot.go).
//   - GET /sns/oauth2/access_token, /sns/oauth2/refresh_token, /sns/userinfo, /sns/auth (sns.go) and
//     GET /sns/jscode2session (session.go).
//   - Global access tokens: GET /cgi-bin/token and POST /cgi-bin/stable_token, with what invalidates what, quotas and the
//     IP whitelist (apptoken.go, apptoken_routes.go, quota.go).
//   - Followers: GET /cgi-bin/user/info, POST /cgi-bin/user/info/batchget, GET /cgi-bin/user/get (followers.go).
//   - Pushes to an app's server: events and messages in plain, compatible and AES mode, with deadline, repeats, MarkFail,
//     verification and passive replies (event.go, push.go, push_reply.go, callback_crypto.go).
//   - The JS-SDK: GET /cgi-bin/ticket/getticket, and a jweixin.js whose wx.config has its signature and domain checked
//     (jssdk.go, scripts/jweixin.js).
//   - Menus: POST /cgi-bin/menu/create, GET /cgi-bin/menu/get, menu/delete and get_current_selfmenu_info, and the copy of
//     a menu that each phone keeps for five minutes (menu.go, menu_routes.go).
//   - Parametric QR codes: POST /cgi-bin/qrcode/create, GET /cgi-bin/showqrcode, and people who scan (qrcode.go, scan.go).
//   - Mini programs: POST /wxa/business/getuserphonenumber, GET /wxa/checksession and /wxa/resetusersessionkey, POST
//     /wxa/msg_sec_check, encrypted and signed profiles (wxa.go, phone.go, profile.go, session.go).
//   - The login of websites: GET /connect/qrconnect with a QR code to scan, and wxLogin.js (qrconnect.go,
//     scripts/wxLogin.js).
//   - WeCom (企业微信), in the files wecom_*.go: its API under /qyapi or the host name qyapi.weixin.qq.com, the login inside
//     WeCom and on a PC, members, mini programs, tickets, and encrypted pushes to the apps of a corp. It is written from
//     "wecom-protocol", whose section numbers stand there. Its people are those of memberOf: every corp has the same.
//   - A cast of people (people.go), faults (faults.go), a clock, counters and switches, all under /_simulator/
//     (control.go), and a phone-like launcher page (launcher.go).
//
// # What is not simulated
//
// Conditional menus and menus made in the console, customer messages, checks of pictures, payment, and of the JS-SDK
// whatever needs a phone; of WeCom, service providers and their suites, second verification, messages, the userid ↔ openid
// conversion and every list of the directory. Rate limits are counted on cgi-bin and wxa only, where they are known;
// elsewhere a fault gives 45009 or 45011 on demand. A mini program's web-view takes the launcher's window and shares its
// cookies, and coming back from it starts the program anew, with the pages it had. The fragment #wechat_redirect is
// invisible to a server: the pages warn in the browser
// when it is missing, a silent redirect cannot. TLS, WeChat's own browser and its cookie jar are those of whoever calls,
// except in the snapshot_jar fault, which brings its own jar. Consent and snapshot mode depend on the person and on
// markers (see [Config] and the headers below), not on WeChat's unpublished rules. Whether an event makes sense is not
// asked: somebody who does not follow can still tap the menu.
//
// # Who holds the phone
//
// On /connect/ the header X-Simulator-Person, else the cookie simulator_person, names the person; with neither a
// chooser page is shown. X-Simulator-Consent: allow|deny answers the consent sheet without a click. X-Simulator-Entry,
// else the cookie simulator_entry, says how the page was entered: menu or chat (a follower is then not asked), or
// full-service (leaves snapshot mode). The cookie is spent by the link it was set for. On /connect/qrconnect the two
// headers together scan and answer at once; without them the page waits for a scan, from the launcher or POST
// /_simulator/scan.
//
// What browser a page is in is told by the User-Agent, or by the cookie simulator_browser: wechat, webview, wecom or
// desktop. The launcher sets it under the host name of the page it opens.
//
// # How sure it is
//
// Comments mark each behaviour: "documented" by Tencent, "observed" in logs and reports of integrators, or "assumed"
// here. Where sources disagree there is a switch (switches.go), whose first choice is the default. The section
// numbers are those of the protocol facts ("wechat-protocol §1.2").
package simulator
