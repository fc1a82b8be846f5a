package simulator

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// sessionReply has no errcode on success, although the documentation's sample prints one (observed, wechat-protocol §8.1).
type sessionReply struct {
	SessionKey string `json:"session_key"`
	OpenID     string `json:"openid"`
	UnionID    string `json:"unionid,omitempty"`
}

// sessionKey is a user's session in a mini program. There is one at a time (documented, wechat-protocol §8.1).
type sessionKey struct {
	key, previous string
	made          time.Time // a reset does not change it: the new key inherits the expiry (documented, §8.3)
	opened        time.Time // the last wx.login
	resets        int       // in the minute of lastReset
	lastReset     time.Time
}

const (
	// sessionKeyPeriod is how long a key stays under the switch choice within-period (assumed: the minimum refresh period
	// is real but unpublished).
	sessionKeyPeriod = 5 * time.Minute
	// sessionKeyLife is when a session ends by itself. WeChat says that it depends on how active the user is (documented)
	// and no more.
	sessionKeyLife = 30 * 24 * time.Hour
)

// newSession is what wx.login() does to the person's session: it gets a new key, and the old one is no longer good
// (documented: may be replaced), even before the code is exchanged (assumed). By switch a young key stays.
func (s *Server) newSession(app *App, name string) string {
	now, owner := s.now(), app.AppID+" "+name
	old, ok := s.session(app, name)
	if ok && s.switches.choice(switchSessionKey) == "within-period" && now.Sub(old.made) < sessionKeyPeriod {
		s.sessionKeys.change(owner, func(k *sessionKey) { k.opened = now })
		return old.key
	}
	k := sessionKey{key: newSessionKey(), previous: old.key, made: now, opened: now}
	s.sessionKeys.put(owner, k, now)
	return k.key
}

// session is the person's session in a mini program, if there is one that has not ended.
func (s *Server) session(app *App, name string) (sessionKey, bool) {
	k, ok := s.sessionKeys.get(app.AppID + " " + name)
	return k, ok && s.now().Sub(k.made) < sessionKeyLife
}

// handleSession is GET /sns/jscode2session (wechat-protocol §8.1). It gives the key of the login that the code is from,
// which a later login may have replaced.
func (s *Server) handleSession(w http.ResponseWriter, r *http.Request) {
	code, errcode := s.redeem(miniProgramCode, r.URL.Query(), "js_code")
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	writeSNS(w, sessionReply{
		SessionKey: code.key,
		OpenID:     code.who.openID(code.app),
		UnionID:    code.who.unionID(code.app), // documented: whenever the app is bound, since 2021 (§10)
	})
}

// newSessionKey is base64 of 16 bytes, 24 characters (observed, wechat-protocol §0.3).
func newSessionKey() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// holder is the body of control routes that are about one person in one mini program.
type holder struct {
	Person string `json:"person"`
	AppID  string `json:"appid"`
}

// miniProgramOf checks both.
func (s *Server) miniProgramOf(h holder) (*App, error) {
	app, err := s.appOf(h.AppID, ProviderMiniProgram)
	if err == nil && !validName(h.Person) {
		err = errBadName
	}
	return app, err
}

var errNoSession = errors.New("the person has no session in this mini program: wx.login first")

// handleSessionState is POST /_simulator/session {"person", "appid"} → {"valid"}: what wx.checkSession asks.
func (s *Server) handleSessionState(w http.ResponseWriter, r *http.Request) {
	var body holder
	err := readControl(w, r, &body)
	var app *App
	if err == nil {
		app, err = s.miniProgramOf(body)
	}
	if err != nil {
		badControl(w, err)
		return
	}
	_, valid := s.session(app, body.Person)
	writeControl(w, http.StatusOK, struct {
		Valid bool `json:"valid"`
	}{valid})
}

// sealingKey is the key that the phone encrypts data with: the current one, or by switch the one before.
func (s *Server) sealingKey(app *App, name string) (text string, raw []byte, err error) {
	k, ok := s.session(app, name)
	if !ok {
		return "", nil, errNoSession
	}
	text = k.key
	if s.switches.choice(switchEncryptionKey) == "previous" && k.previous != "" {
		text = k.previous
	}
	if raw, err = base64.StdEncoding.DecodeString(text); err != nil {
		return "", nil, fmt.Errorf("session_key: %w", err) // cannot be: it was made here
	}
	return text, raw, nil
}
