package simulator

import "time"

// timeOf is when an event happens. Nobody follows and leaves within one second (assumed), so that these events of one person
// never look like repeats of each other: events are told apart by FromUserName and CreateTime (documented, wechat-protocol §5.5).
func (s *Server) timeOf(e Event, app *App, name string) time.Time {
	const aheadMax = time.Minute // a script that never stops is not followed into the future
	now := s.now()
	if e.Name != eventSubscribe && e.Name != eventUnsubscribe {
		return now
	}
	last, changed := s.follows.get(followKey(app, name))
	next := last.since.Truncate(time.Second).Add(time.Second)
	if !changed || !now.Before(next) || next.Sub(now) > aheadMax {
		return now
	}
	return next
}

// happen is what an event changes. Whoever takes back their consent is asked again, and the tokens that came from it are
// void; whoever closes the account also follows nobody any more (assumed for the tokens and for the following).
func (s *Server) happen(e Event, app *App, name string, at time.Time) {
	switch e.Name {
	case eventSubscribe:
		s.setFollow(app, name, follow{on: true, since: at, scene: e.Scene})
		s.clientMenus.take(followKey(app, name)) // the phone asks for the menu anew
	case eventUnsubscribe:
		s.setFollow(app, name, follow{since: at})
	case eventCancellation:
		s.setFollow(app, name, follow{since: at})
		s.withdrawConsent(app, name)
	case eventRevoke:
		s.withdrawConsent(app, name)
	}
}

func (s *Server) withdrawConsent(app *App, name string) {
	s.consents.take(app.AppID + " " + name)
	s.grants.changeAll(func(g *grant) {
		if g.app == app && g.who.person == name && g.who.virtual == nil {
			g.revoked = true
		}
	})
}
