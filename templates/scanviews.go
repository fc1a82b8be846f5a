package templates

import (
	"fmt"
	"time"
)

// ScanLogin shows a computer's browser the code that logs it in once a phone has scanned it and its person has agreed.
// static/scan.js follows what the phone does.
type ScanLogin struct {
	QR      QRCode
	Says    string // what the code says, for a developer whose phone is a simulator; else "", since a text is copied and sent on
	Direct  bool   // the code leads straight to the question; else to the account, which sends a message with the link
	Handle  string // names the scan in what the script asks; no secret
	Scanned bool   // the code was scanned before this page was made
	NewURL  string // this page with another code (#new, #other)
	SelfURL string // path and query of this page, so that the language switch keeps them; "" keeps the path alone
}

// ScanConfirm asks the person who scanned a code whether that computer may be logged in as them.
type ScanConfirm struct {
	Code      string // names the scan: hidden field scan of #answer
	FormToken string // hidden field form_token of #answer
	Site      string // host that the computer logs in to
	Nickname  string // whom it will be logged in as; "" of a guest
	Browser   string // the computer's, such as "Firefox · Windows"; "" is not known
	Address   string // its network address; "" is not known
	StartedAt time.Time
	SelfURL   string // path and query of this page, as of ScanLogin
}

// ScanEnd tells the phone how a scan ended.
type ScanEnd struct {
	Kind    ScanEndKind // an unknown one reads as ScanExpired
	SelfURL string      // path and query of this page, as of ScanLogin
}

// ScanEndKind is how a scan ended for the phone.
type ScanEndKind string

// How a scan may end for the phone.
const (
	ScanConfirmed ScanEndKind = "confirmed" // the computer is being logged in
	ScanDeclined  ScanEndKind = "declined"  // it is not
	ScanTaken     ScanEndKind = "taken"     // somebody else has scanned this code
	ScanExpired   ScanEndKind = "expired"   // the code is too old, used or unknown
	ScanElsewhere ScanEndKind = "elsewhere" // this browser is not WeChat's
)

// ScanLoginPolicy is the Content-Security-Policy of ScanLogin, whose script asks the server.
func ScanLoginPolicy() string { return ContentSecurityPolicy() + "; connect-src 'self'" }

func (ScanLogin) page() string   { return "scan_login" }
func (ScanConfirm) page() string { return "scan_confirm" }
func (ScanEnd) page() string     { return "scan_end" }

func (ScanLogin) titles() []string   { return []string{"scan_login.title"} }
func (ScanConfirm) titles() []string { return []string{"scan_confirm.title"} }
func (s ScanEnd) titles() []string {
	return []string{"scan_end." + string(s.Kind) + ".title", "scan_end.expired.title"}
}

func (s ScanLogin) self() string   { return s.SelfURL }
func (s ScanConfirm) self() string { return s.SelfURL }
func (s ScanEnd) self() string     { return s.SelfURL }

// Started is StartedAt for machines, StartedText for people, until the page's script has put it into their own time.
func (s ScanConfirm) Started() string     { return s.StartedAt.UTC().Format(time.RFC3339) }
func (s ScanConfirm) StartedText() string { return s.StartedAt.UTC().Format("15:04:05 UTC") }

// ScanMessage is what the account answers in the chat to somebody who scanned a code. Which language they read is not known
// there, so it is in both. link is needed for ScanConfirmed alone: to the question.
func ScanMessage(kind ScanEndKind, site, link string) string {
	switch kind {
	case ScanConfirmed:
		return fmt.Sprintf("有一台电脑请求用你的微信登录 %[1]s。\n<a href=\"%[2]s\">查看并确认</a>\n不是你本人操作？不用理会这条消息。\n\n"+
			"A computer asks to log in to %[1]s as you.\n<a href=\"%[2]s\">Look and confirm</a>\nNot you? Then ignore this message.", site, link)
	case ScanTaken:
		return "这个二维码已经被别人扫过，请在电脑上换一个新的。\n\nSomebody else has scanned this code. Please get a new one on the computer."
	}
	return "这个二维码已经失效，请在电脑上换一个新的。\n\nThis code is no longer valid. Please get a new one on the computer."
}
