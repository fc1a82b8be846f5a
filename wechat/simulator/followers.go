package simulator

import (
	"slices"
	"strings"
	"time"
)

// follow is how somebody stands to one official account since an event changed it.
type follow struct {
	on    bool
	since time.Time // of the latest follow
	scene string    // of the QR code they came by, or ""
}

// alwaysFollowed is the subscribe_time of people who follow from the start, the sample's of wechat-protocol §6.1.
func alwaysFollowed() time.Time { return time.Unix(1636450232, 0) }

// followOf is how a person stands to an app: what the last event said, else what the person is like.
func (s *Server) followOf(app *App, name string) follow {
	if app.Provider != ProviderOfficialAccount {
		return follow{}
	}
	if f, ok := s.follows.get(followKey(app, name)); ok {
		return f
	}
	return follow{on: lookup(name).follower, since: alwaysFollowed()}
}

func followKey(app *App, name string) string { return app.AppID + " " + name }

// setFollow is the effect of subscribe and unsubscribe. Following again is a new follow (documented: subscribe_time is
// the latest).
func (s *Server) setFollow(app *App, name string, f follow) {
	s.follows.put(followKey(app, name), f, s.now())
}

// meet remembers whose openid of an app this is. Openids are made from names and cannot be turned back, so only those
// that were given out are known.
func (s *Server) meet(app *App, name string) string {
	id := openID(app.AppID, name)
	key := app.AppID + " " + id
	if _, known := s.faces.get(key); !known {
		s.faces.put(key, name, s.now())
	}
	return id
}

// nameOf is the person behind an openid of the app.
func (s *Server) nameOf(app *App, id string) (string, bool) {
	if name, ok := s.faces.get(app.AppID + " " + id); ok {
		return name, true
	}
	for _, name := range castNames() {
		if openID(app.AppID, name) == id {
			return name, true
		}
	}
	return "", false
}

// followerIDs lists the openids of an app's followers, those who follow longest first.
func (s *Server) followerIDs(app *App) []string {
	type entry struct {
		id    string
		since time.Time
	}
	var list []entry
	add := func(name string) {
		if f := s.followOf(app, name); f.on {
			list = append(list, entry{id: openID(app.AppID, name), since: f.since})
		}
	}
	seen := map[string]bool{}
	for _, key := range s.follows.keys() {
		if name, ok := strings.CutPrefix(key, app.AppID+" "); ok {
			seen[name] = true
			add(name)
		}
	}
	for _, name := range castNames() {
		if !seen[name] {
			add(name)
		}
	}
	slices.SortFunc(list, func(a, b entry) int {
		if c := a.since.Compare(b.since); c != 0 {
			return c
		}
		return strings.Compare(a.id, b.id)
	})
	ids := make([]string, len(list))
	for i, e := range list {
		ids[i] = e.id
	}
	return ids
}
