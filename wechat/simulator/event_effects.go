package simulator

// happen is what an event changes. Whoever takes back their consent is asked again, and the tokens that came from it are
// void; whoever closes the account also follows nobody any more (assumed for the tokens and for the following).
func (s *Server) happen(e Event, app *App, name string) {
	switch e.Name {
	case eventSubscribe:
		s.setFollow(app, name, follow{on: true, since: s.now(), scene: e.Scene})
		s.clientMenus.take(followKey(app, name)) // the phone asks for the menu anew
	case eventUnsubscribe:
		s.setFollow(app, name, follow{since: s.now()})
	case eventCancellation:
		s.setFollow(app, name, follow{since: s.now()})
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
