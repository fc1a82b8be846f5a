package simulator

import (
	"crypto/subtle"
	"net/http"
	"time"
)

// appTokenReply has no errcode on success (observed, wechat-protocol §0.1).
type appTokenReply struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
}

// appCredentials are what both token endpoints ask for: in the query of one, in the JSON of the other.
type appCredentials struct {
	GrantType    string `json:"grant_type"`
	AppID        string `json:"appid"`
	Secret       string `json:"secret"`
	ForceRefresh bool   `json:"force_refresh"` // stable_token only
}

// handleToken is GET /cgi-bin/token (wechat-protocol §2.1).
func (s *Server) handleToken(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	c := appCredentials{GrantType: q.Get("grant_type"), AppID: q.Get("appid"), Secret: q.Get("secret")}
	if errcode := s.checkAppCredentials(c, r.URL.Path); errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	t := s.appTokens.rotate(s.apps[c.AppID], s.now())
	writeCGI(w, appTokenReply{AccessToken: t.value, ExpiresIn: int(appTokenLife / time.Second)})
}

// handleStableToken is POST /cgi-bin/stable_token, with JSON only (wechat-protocol §2.2).
func (s *Server) handleStableToken(w http.ResponseWriter, r *http.Request) {
	var c appCredentials
	errcode := readPost(w, r, &c)
	if errcode == 0 {
		errcode = s.checkAppCredentials(c, r.URL.Path)
	}
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	now := s.now()
	overlap := s.switches.choice(switchForceRefresh) != "dies-at-once"
	t, errcode := s.appTokens.steady(s.apps[c.AppID], c.ForceRefresh, overlap, now)
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	writeCGI(w, appTokenReply{AccessToken: t.value, ExpiresIn: int(t.expires.Sub(now) / time.Second)})
}

// checkAppCredentials checks in this order: appid present, appid known (observed to come first, even without a
// grant_type; wechat-protocol §2.3), secret, frozen secret, grant_type, the caller's address, quotas (assumed). What is
// refused before the quotas does not count towards them (assumed).
func (s *Server) checkAppCredentials(c appCredentials, path string) int {
	if errcode := s.checkApp(c.AppID); errcode != 0 {
		return errcode
	}
	app := s.apps[c.AppID]
	switch {
	case app.Provider == ProviderWebsite: // assumed: a website app has no global token
		return 40013
	case c.Secret == "":
		return 41004
	case subtle.ConstantTimeCompare([]byte(c.Secret), []byte(app.Secret)) != 1:
		if s.switches.choice(switchWrongSecret) == "40001" {
			return 40001
		}
		return 40125
	case s.switches.choice(switchSecretState) == "frozen":
		return 40243
	case c.GrantType != "client_credential":
		return 40002
	case !s.ipListed(app):
		return 40164
	}
	return s.countCall(app, path)
}

// ipListed is what the switch ip-whitelist says. Mini programs are exempt unless their console asks for a whitelist
// (observed, wechat-protocol §2.1).
func (s *Server) ipListed(app *App) bool {
	switch s.switches.choice(switchIPWhitelist) {
	case "not-listed":
		return app.Provider != ProviderOfficialAccount
	case "not-listed-anywhere":
		return false
	}
	return true
}

// callingApp finds the app whose global token a cgi-bin call carries. The token is checked before anything else
// (observed, wechat-protocol §2.4) and then the call is counted.
func (s *Server) callingApp(r *http.Request) (*App, int) {
	app, errcode := s.appTokens.check(r.URL.Query().Get("access_token"), s.now())
	if errcode != 0 {
		return nil, errcode
	}
	return app, s.countCall(app, r.URL.Path)
}

// callingAccount is callingApp for calls that only official accounts have; others are answered 48001 (assumed).
func (s *Server) callingAccount(r *http.Request) (*App, int) {
	app, errcode := s.callingApp(r)
	if errcode == 0 && app.Provider != ProviderOfficialAccount {
		return nil, 48001
	}
	return app, errcode
}
