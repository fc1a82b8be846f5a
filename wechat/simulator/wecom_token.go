package simulator

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"sync"
	"time"
)

const agentTokenLife = 2 * time.Hour // documented, §1.1

// agentToken is an access_token of one app of one corp.
type agentToken struct {
	app     *App
	value   string
	expires time.Time
	revoked bool // early, by Tencent
}

// agentTokens keeps the current token of each app, and all of them by value for as long as a late use may come.
type agentTokens struct {
	mu      sync.Mutex
	current map[*App]agentToken
	byValue *shelf[agentToken]
}

func (t *agentTokens) init() {
	t.current = map[*App]agentToken{}
	t.byValue = newShelf[agentToken](1<<14, 30*24*time.Hour)
}

// get gives the token that the app has, or a new one: asking again within its life changes nothing (documented on older
// pages and observed, §1.1).
func (t *agentTokens) get(app *App, now time.Time) agentToken {
	t.mu.Lock()
	defer t.mu.Unlock()
	if have, ok := t.current[app]; ok && now.Before(have.expires) {
		return have
	}
	made := agentToken{app: app, value: newWeComSecret(160), expires: now.Add(agentTokenLife)} // 214 characters, as observed
	t.current[app] = made
	t.byValue.put(made.value, made, now)
	return made
}

// end makes the app's token useless before its time: revoked, or expired now. It reports whether there was one.
func (t *agentTokens) end(app *App, revoke bool, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	have, ok := t.current[app]
	delete(t.current, app)
	return ok && t.byValue.change(have.value, func(a *agentToken) {
		if a.revoked = revoke; !revoke {
			a.expires = now
		}
	})
}

// check finds the app of a token: 40014 for one that is unknown or was revoked, 42001 for one past its life.
func (t *agentTokens) check(value string, now time.Time) (*App, int) {
	have, ok := t.byValue.get(value)
	switch {
	case value == "":
		return nil, 41001
	case !ok || have.revoked:
		return nil, 40014
	case !now.Before(have.expires):
		return nil, 42001
	}
	return have.app, 0
}

// newWeComSecret is base64url of n random bytes, the look of tokens, codes and tickets (observed, §0.3).
func newWeComSecret(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

// handleGetToken is GET /cgi-bin/gettoken (§1.1).
func (s *Server) handleGetToken(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	app, errcode := s.checkCorpSecret(q.Get("corpid"), q.Get("corpsecret"), callerIP(r))
	if errcode != 0 {
		s.refuseWeCom(w, r, errcode)
		return
	}
	now := s.now()
	token := s.wecom.tokens.get(app, now)
	answerWeCom(w, field{"access_token", token.value}, field{"expires_in", s.expiresIn(token.expires, agentTokenLife, now)})
}

// checkCorpSecret checks in this order (observed for the first and third, §1.1; the place of the ban is assumed): secret
// present, corpid present, address banned, corpid known, secret right, app enabled.
func (s *Server) checkCorpSecret(corpID, secret, ip string) (*App, int) {
	now, ban := s.now(), s.banAfter()
	switch {
	case secret == "":
		return nil, 41004
	case corpID == "":
		return nil, 41002
	case s.wecom.meters.blocked(meterKey{"ban", ip}, now):
		return nil, 45009
	case s.wecom.corps[corpID] == nil:
		return nil, 40013
	}
	app := agentWithSecret(s.wecom.corps[corpID], secret)
	switch {
	case app == nil:
		s.wecom.meters.hit(meterKey{"ban", ip}, ban-1, time.Hour, now)
		if s.switches.choice(switchWeComOtherSecret) == "40091" && s.ownedByAnyCorp(secret) {
			return nil, 40091
		}
		return nil, 40001
	case s.switches.choice(switchWeComApp) == "disabled":
		return nil, 40001
	}
	return app, 0
}

// banAfter is how many wrong secrets an hour are told 40001; the address is banned with the last of them (2000: a forum's
// answer, §1.1).
func (s *Server) banAfter() int {
	switch s.switches.choice(switchWeComBanAfter) {
	case "20":
		return 20
	case "3":
		return 3
	}
	return 2000
}

func agentWithSecret(c *corp, secret string) *App {
	for _, a := range c.agents {
		if subtle.ConstantTimeCompare([]byte(a.Secret), []byte(secret)) == 1 {
			return a
		}
	}
	return nil
}

func (s *Server) ownedByAnyCorp(secret string) bool {
	for _, c := range s.wecom.corps {
		if agentWithSecret(c, secret) != nil {
			return true
		}
	}
	return false
}

// expiresIn is the life that an answer tells.
func (s *Server) expiresIn(expires time.Time, life time.Duration, now time.Time) int {
	if s.switches.choice(switchWeComExpiresIn) == "remaining" {
		life = expires.Sub(now)
	}
	return int(life / time.Second)
}

// callingAgent finds the app whose token a call carries, in its query and nowhere else. The token comes before
// everything else (observed, §0.1), then the caller's address, then how often the call is made (assumed).
func (s *Server) callingAgent(r *http.Request) (*App, int) {
	now, q, ip := s.now(), r.URL.Query(), callerIP(r)
	app, errcode := s.wecom.tokens.check(q.Get("access_token"), now)
	switch {
	case s.switches.choice(switchWeComBanScope) == "everything" && s.wecom.meters.blocked(meterKey{"ban", ip}, now):
		return nil, 45009
	case errcode != 0:
		return nil, errcode
	case s.switches.choice(switchWeComApp) == "disabled":
		return nil, 50003
	case !s.wecom.ipListedAt.listed(s.switches.choice(switchWeComTrustedIP), now):
		return nil, 60020
	case q.Get("debug") == "1" && !s.wecom.meters.hit(meterKey{"debug " + r.URL.Path, app.AppID}, 5, time.Minute, now):
		return nil, 45009
	case r.URL.Path == pathAuthUserInfo || r.URL.Path == pathOldUserInfo: // exempt with a good code (documented, §1.4)
		return app, 0
	}
	return app, s.countWeCom(r.URL.Path, app)
}

// countWeCom counts a call towards the limits of the corp (documented, §1.4).
func (s *Server) countWeCom(path string, app *App) int {
	now := s.now()
	minute := s.wecom.meters.hit(meterKey{"minute " + path, app.AppID}, 10_000, time.Minute, now)
	if hour := s.wecom.meters.hit(meterKey{"hour " + path, app.AppID}, 150_000, time.Hour, now); !minute || !hour {
		return 45009
	}
	return 0
}

// handleDomainIP is GET /cgi-bin/get_api_domain_ip and GET /cgi-bin/getcallbackip: here always this machine (§1.3).
func (s *Server) handleDomainIP(w http.ResponseWriter, r *http.Request) {
	if _, errcode := s.callingAgent(r); errcode != 0 {
		s.refuseWeCom(w, r, errcode)
		return
	}
	answerWeComLast(w, field{"ip_list", []string{"127.0.0.1"}})
}
