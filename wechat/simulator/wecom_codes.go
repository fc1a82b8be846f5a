package simulator

import (
	"fmt"
	"slices"
	"time"
)

// wecomCodeLife is documented for OAuth codes and js_codes (§2.3, §7).
const wecomCodeLife = 5 * time.Minute

type wecomCodeKind uint8

const (
	corpOAuthCode wecomCodeKind = iota
	webLoginCode
	qyLoginCode
)

// wecomCode is what a code stands for.
type wecomCode struct {
	kind    wecomCodeKind
	corp    *corp
	apps    []*App // which may redeem it: the one named by agentid, else those that trust the domain
	person  string
	private bool     // the member was asked for their private fields
	allowed []string // which of them they allow
	issued  time.Time
	used    bool
}

func (s *Server) issueWeCom(c wecomCode) string {
	c.issued = s.now()
	s.meetMember(c.corp, s.memberOf(c.corp, c.person))
	code := newWeComSecret(32) // 43 characters, as observed
	s.wecom.codes.put(code, c, c.issued)
	return code
}

// wecomJSCode gives what wx.qy.login() gives in a mini program of WeCom. Only members have WeCom.
func (s *Server) wecomJSCode(c *corp, name string) (string, error) {
	if !validName(name) {
		return "", errBadName
	}
	if m := s.memberOf(c, name); m.kind != corpMember {
		return "", fmt.Errorf("%s is no member of corp %s; wx.qy.login needs one", name, c.id)
	}
	return s.issueWeCom(wecomCode{kind: qyLoginCode, corp: c, apps: c.agents[:1], person: name}), nil
}

// wecomStaleness is 40029 for a code that is used or too old, or its own code by switch (§3.1).
func (s *Server) wecomStaleness(c wecomCode) int {
	own := s.switches.choice(switchWeComDeadCode) == "own-codes"
	switch old := s.now().Sub(c.issued) >= wecomCodeLife; {
	case own && c.used:
		return 42022
	case own && old:
		return 42003
	case c.used || old:
		return 40029
	}
	return 0
}

// redeemWeCom spends a code of one of the kinds for app. Order: code present, known, unused, fresh, then whose it is
// (§12.5). A code that another app tried is spent or not by switch. Of several callers at once one gets it.
func (s *Server) redeemWeCom(app *App, code string, kinds ...wecomCodeKind) (redeemed wecomCode, errcode int) {
	if code == "" {
		return wecomCode{}, 41008
	}
	errcode = 40029
	s.wecom.codes.change(code, func(c *wecomCode) {
		if !slices.Contains(kinds, c.kind) {
			return
		}
		if errcode = s.wecomStaleness(*c); errcode != 0 {
			return
		}
		if errcode = s.ownership(*c, app); errcode == 0 || s.switches.choice(switchWeComForeignCode) == "spent" {
			c.used = true
		}
		redeemed = *c
	})
	if errcode != 0 {
		return wecomCode{}, errcode
	}
	return redeemed, 0
}

// ownership is 0 for an app that may redeem the code. A js_code is different: another corp that links the mini program
// may redeem it too, and is told whose member it is (documented, §7), but another app of the same corp may not.
func (s *Server) ownership(c wecomCode, app *App) int {
	linkedElsewhere := s.wecom.corps[app.AppID].agents[0] == app
	switch {
	case slices.Contains(c.apps, app):
		return 0
	case c.kind != qyLoginCode:
		return 50001
	case app.AppID != c.corp.id && linkedElsewhere:
		return 0
	case s.switches.choice(switchWeComJSApp) == "40014":
		return 40014
	}
	return 48002
}
