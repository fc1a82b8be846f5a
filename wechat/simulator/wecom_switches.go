package simulator

import (
	"sync/atomic"
	"time"
)

// The switches of WeCom: behaviour on which sources disagree or are silent.
const (
	switchWeComPlainHTTP   = "wecom-plain-http"
	switchWeComExpiresIn   = "wecom-expires-in"
	switchWeComOtherSecret = "wecom-other-corps-secret"
	switchWeComBanAfter    = "wecom-ban-after"
	switchWeComBanScope    = "wecom-ban-scope"
	switchWeComApp         = "wecom-app"
	switchWeComTrustedIP   = "wecom-trusted-ip"
	switchWeComDeadCode    = "wecom-dead-code"
	switchWeComForeignCode = "wecom-foreign-code"
	switchWeComDomain      = "wecom-domain-check"
	switchWeComNoAgentID   = "wecom-private-without-agentid"
	switchWeComConsent     = "wecom-consent-memory"
	switchWeComRefusal     = "wecom-refusal"
	switchWeComScanRefusal = "wecom-web-refusal"
	switchWeComScanAppID   = "wecom-web-appid"
	switchWeComInvisible   = "wecom-invisible-member"
	switchWeComLeft        = "wecom-left-member"
	switchWeComAppAge      = "wecom-app-age"
	switchWeComWithheld    = "wecom-withheld-fields"
	switchWeComJSUserID    = "wecom-js-userid"
	switchWeComJSApp       = "wecom-js-unlinked-app"
	switchWeComTicket      = "wecom-ticket-repeat"
	switchWeComPushRetry   = "wecom-push-retry"
	switchWeComContact     = "wecom-contact-fields"
)

func wecomSwitches() []Switch {
	return append(append(wecomAPISwitches(), wecomLoginSwitches()...), wecomMemberSwitches()...)
}

func wecomAPISwitches() []Switch {
	return []Switch{
		{Name: switchWeComPlainHTTP, Choices: []string{"answered", "301"},
			About: "plain HTTP to WeCom's addresses: answered, or sent away to https as WeCom does"},
		{Name: switchWeComExpiresIn, Choices: []string{"7200", "remaining"},
			About: "expires_in of a token or ticket that is fetched again: 7200 in any case, or the seconds that are left"},
		{Name: switchWeComOtherSecret, Choices: []string{"40001", "40091"},
			About: "gettoken with the secret of another corp"},
		{Name: switchWeComBanAfter, Choices: []string{"2000", "20", "3"},
			About: "wrong secrets within an hour after which the caller's address is refused with 45009 for an hour"},
		{Name: switchWeComBanScope, Choices: []string{"gettoken", "everything"},
			About: "what a banned address is refused: gettoken, or every call"},
		{Name: switchWeComApp, Choices: []string{"enabled", "disabled"},
			About: "whether the apps are disabled in the console: 40001 at gettoken, 50003 elsewhere"},
		{Name: switchWeComTrustedIP, Choices: []string{"listed", "not-listed"},
			About: "the caller's address in the apps' trusted IPs; without it 60020. It works one minute after it was listed again"},
		{Name: switchWeComTicket, Choices: []string{"same", "fresh"},
			About: "a jsapi_ticket that is fetched again: the same one, or another, beside which the first stays good"},
		{Name: switchWeComPushRetry, Choices: []string{"non-200", "network-only"},
			About: "what makes WeCom send a push again: no answer or a status other than 200, or no answer alone"},
		{Name: switchWeComContact, Choices: []string{"ids-only", "full"},
			About: "change_contact of created and updated members: UserID and Department alone, or everything"},
	}
}

func wecomLoginSwitches() []Switch {
	return []Switch{
		{Name: switchWeComDeadCode, Choices: []string{"40029", "own-codes"},
			About: "a code that is used or too old: 40029, or 42022 and 42003"},
		{Name: switchWeComForeignCode, Choices: []string{"kept", "spent"},
			About: "a code that was tried with another app's token (50001): still good for its own app, or spent"},
		{Name: switchWeComDomain, Choices: []string{"authorize", "redemption"},
			About: "where a redirect_uri outside the trusted domain fails: at the authorize page, or with 50001 when the code is redeemed"},
		{Name: switchWeComNoAgentID, Choices: []string{"base", "error"},
			About: "snsapi_privateinfo without agentid: treated as snsapi_base, or an error page"},
		{Name: switchWeComConsent, Choices: []string{"remembered", "allowed-only", "forgotten"},
			About: "the answer to a consent page: remembered, only a consent remembered, or asked for every time"},
		{Name: switchWeComRefusal, Choices: []string{"state-only", "nothing"},
			About: "what the site is told when a member refuses snsapi_privateinfo"},
		{Name: switchWeComScanRefusal, Choices: []string{"state-only", "nothing"},
			About: "what the site is told when a member refuses the web login"},
		{Name: switchWeComScanAppID, Choices: []string{"present", "absent"},
			About: "an extra parameter appid in the callback of the web login"},
		{Name: switchWeComJSUserID, Choices: []string{"plain", "encrypted"},
			About: "userid of jscode2session: plain as for a corp's own mini program, or encrypted"},
		{Name: switchWeComJSApp, Choices: []string{"48002", "40014"},
			About: "jscode2session with the token of an app that is not linked to the mini program"},
	}
}

func wecomMemberSwitches() []Switch {
	return []Switch{
		{Name: switchWeComInvisible, Choices: []string{"60011", "60111"},
			About: "user/get of a member outside the app's visible range"},
		{Name: switchWeComLeft, Choices: []string{"60111", "status-5"},
			About: "user/get of a member who left: not found, or found with status 5"},
		{Name: switchWeComAppAge, Choices: []string{"configured", "old", "new"},
			About: "whether user/get tells the apps avatar, gender, mobile, email, address and code, as those made before 2022-06-20"},
		{Name: switchWeComWithheld, Choices: []string{"absent", "empty"},
			About: "fields that user/get withholds: no such keys, or empty texts"},
	}
}

// lateSwitch keeps when the caller's address was listed again: that works one minute later (documented, §1.2).
type lateSwitch struct{ listedAgain atomic.Int64 } // Unix nanoseconds, 0 for never

const trustedIPDelay = time.Minute

// note is told of every change of a switch.
func (l *lateSwitch) note(before, after string, now time.Time) {
	if before == "not-listed" && after == "listed" {
		l.listedAgain.Store(now.UnixNano())
	}
}

func (l *lateSwitch) listed(choice string, now time.Time) bool {
	since := l.listedAgain.Load()
	return choice != "not-listed" && (since == 0 || now.Sub(time.Unix(0, since)) >= trustedIPDelay)
}
