package simulator

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"time"
)

// sessionReply has no errcode on success, although the documentation's sample prints one (observed, wechat-protocol §8.1).
type sessionReply struct {
	SessionKey string `json:"session_key"`
	OpenID     string `json:"openid"`
	UnionID    string `json:"unionid,omitempty"`
}

// sessionKey is a user's current key and when it was made.
type sessionKey struct {
	key  string
	made time.Time
}

// sessionKeyPeriod is how long a key stays under the switch choice within-period (assumed: the minimum refresh period
// is real but unpublished).
const sessionKeyPeriod = 5 * time.Minute

// handleSession is GET /sns/jscode2session (wechat-protocol §8.1).
func (s *Server) handleSession(w http.ResponseWriter, r *http.Request) {
	code, errcode := s.redeem(miniProgramCode, r.URL.Query(), "js_code")
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	writeSNS(w, sessionReply{
		SessionKey: s.sessionKeyOf(code),
		OpenID:     code.who.openID(code.app),
		UnionID:    code.who.unionID(code.app), // documented: whenever the app is bound, since 2021 (§10)
	})
}

func (s *Server) sessionKeyOf(code grantedCode) string {
	if s.switches.choice(switchSessionKey) != "within-period" {
		return newSessionKey()
	}
	now, owner := s.now(), code.app.AppID+" "+code.who.person
	if k, ok := s.sessionKeys.get(owner); ok && now.Sub(k.made) < sessionKeyPeriod {
		return k.key
	}
	k := sessionKey{key: newSessionKey(), made: now}
	s.sessionKeys.put(owner, k, now)
	return k.key
}

// newSessionKey is base64 of 16 bytes, 24 characters (observed, wechat-protocol §0.3).
func newSessionKey() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}
