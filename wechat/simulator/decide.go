package simulator

import "net/http"

// verdict is what becomes of a good authorize link.
type verdict int

const (
	askFirst   verdict = iota // show the consent sheet
	grantIt                   // straight back with a code
	snapshotIt                // straight back with a code of a virtual account
	refuseIt                  // the person said no
)

// How a person can enter the authorize page, from X-Simulator-Entry or the cookie simulator_entry.
const (
	entryMenu        = "menu"
	entryChat        = "chat"
	entryFullService = "full-service" // the button 使用完整服务 of a snapshot page
)

// decide applies WeChat's rules in this order (wechat-protocol §1.1, §1.7):
//
//  1. snsapi_base shows nothing (documented) and never enters snapshot mode (observed).
//  2. A follower who comes from the account's menu or chat is not asked (documented); no parameter changes that.
//  3. Snapshot mode: for people who get it, and by forceSnapShot unless a recent consent counts (documented). What
//     really triggers it is unpublished.
//  4. A refusal that the caller asks for by header.
//  5. A recent consent, by switch, unless forcePopup (documented; WeChat's window is unpublished).
//  6. Consent by header, then the person's own habit, then the sheet.
func (s *Server) decide(req authorizeRequest, p person, entry, consent string) verdict {
	recent := !req.forcePopup && s.consentedRecently(req.app, p.name)
	irregular := p.snapshot || req.forceSnapshot && !recent
	switch {
	case req.scope == scopeBase:
		return grantIt
	case s.followOf(req.app, p.name).on && (entry == entryMenu || entry == entryChat):
		return grantIt
	case irregular && entry != entryFullService:
		return snapshotIt
	case consent == "deny":
		return refuseIt
	case recent, consent == "allow":
		return grantIt
	case p.refuses:
		return refuseIt
	}
	return askFirst
}

func (s *Server) consentedRecently(app *App, name string) bool {
	if s.switches.choice(switchRecentConsent) != "on" {
		return false
	}
	at, ok := s.consents.get(app.AppID + " " + name)
	return ok && s.now().Sub(at) < s.cfg.ConsentWindow
}

// takeEntry reads how the page was entered. The cookie belongs to one tap and is taken away; full-service waits for
// the userinfo link it is meant for.
func takeEntry(w http.ResponseWriter, r *http.Request, scope string) string {
	if entry := r.Header.Get("X-Simulator-Entry"); entry != "" {
		return entry
	}
	c, err := r.Cookie("simulator_entry")
	if err != nil || c.Value == entryFullService && scope == scopeBase {
		return ""
	}
	http.SetCookie(w, &http.Cookie{Name: "simulator_entry", Path: "/", MaxAge: -1})
	return c.Value
}
