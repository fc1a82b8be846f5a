package simulator

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"time"
)

const (
	codeLife    = 5 * time.Minute  // documented for all but one (wechat-protocol §1.1, §8.1, §8.4)
	websiteLife = 10 * time.Minute // documented for website apps (§9)
	scopeBase   = "snsapi_base"
	scopeUser   = "snsapi_userinfo"
	scopeLogin  = "snsapi_login" // of website apps; includes what snsapi_userinfo gives
	codeLength  = 32
	tokenBytes  = 78 // 104 characters of base64url, near the observed 100 to 110
	tokenPrefix = "61_"
)

// codeKind keeps codes of one flow from being used in another.
type codeKind uint8

const (
	oauthCode codeKind = iota
	miniProgramCode
	phoneCode
)

// grantedCode is what a code stands for.
type grantedCode struct {
	kind   codeKind
	app    *App
	who    account
	scope  string // of an OAuth code
	key    string // session_key that comes with a mini program's login
	issued time.Time
	used   bool
}

func (c grantedCode) life() time.Duration {
	if c.scope == scopeLogin {
		return websiteLife
	}
	return codeLife
}

// JSCode gives what wx.login() gives in the mini program appID when name holds the phone; with a corpid, what
// wx.qy.login() gives.
func (s *Server) JSCode(appID, name string) (string, error) {
	if c := s.wecom.corps[appID]; c != nil {
		return s.wecomJSCode(c, name)
	}
	app, err := s.appOf(appID, ProviderMiniProgram)
	if err != nil {
		return "", err
	}
	if !validName(name) {
		return "", errBadName
	}
	return s.issue(grantedCode{kind: miniProgramCode, app: app, who: account{person: name}, key: s.newSession(app, name)}), nil
}

// OAuthCode gives the code that the authorize page of appID would send back for name after their consent. Scope is
// snsapi_base or snsapi_userinfo for an official account, snsapi_login for a website app.
func (s *Server) OAuthCode(appID, name, scope string) (string, error) {
	provider := ProviderOfficialAccount
	if scope == scopeLogin {
		provider = ProviderWebsite
	}
	app, err := s.appOf(appID, provider)
	if err != nil {
		return "", err
	}
	if !validName(name) {
		return "", errBadName
	}
	if scope != scopeBase && scope != scopeUser && scope != scopeLogin {
		return "", fmt.Errorf("unknown scope %q", scope)
	}
	return s.issueOAuth(app, account{person: name}, scope), nil
}

var errBadName = errors.New("person: want a name of 1 to 64 printable bytes")

func (s *Server) appOf(appID, provider string) (*App, error) {
	app := s.apps[appID]
	if app == nil {
		return nil, fmt.Errorf("appid %q is not configured", appID)
	}
	if app.Provider != provider {
		return nil, fmt.Errorf("appid %q is a %s, not a %s", appID, app.Provider, provider)
	}
	return app, nil
}

// issueOAuth makes a code and, for userinfo, remembers that the person agreed.
func (s *Server) issueOAuth(app *App, who account, scope string) string {
	if scope == scopeUser && who.virtual == nil {
		s.consents.put(app.AppID+" "+who.person, s.now(), s.now())
	}
	return s.issue(grantedCode{kind: oauthCode, app: app, who: who, scope: scope})
}

func (s *Server) issue(c grantedCode) string {
	c.issued = s.now()
	if c.who.virtual == nil {
		s.meet(c.app, c.who.person)
	}
	code := newCode()
	s.codes.put(code, c, c.issued)
	return code
}

// redeem checks an exchange request and spends its code. The errcode is 0 if all is well; nothing is spent otherwise.
// Order (observed for the appid, assumed for the rest; wechat-protocol §1.2): appid present, appid known, secret,
// grant_type, code present, code known, used, expired. The switch check-order puts the code first.
func (s *Server) redeem(kind codeKind, q url.Values, codeParam string) (c grantedCode, errcode int) {
	code, appID := q.Get(codeParam), q.Get("appid")
	checks := []func() int{
		func() int { return s.checkClient(appID, q.Get("secret")) },
		func() int { return checkGrantType(q, "authorization_code") },
		func() int { return s.checkCode(kind, appID, code) },
	}
	if s.switches.choice(switchCheckOrder) == "code-first" {
		checks[0], checks[1], checks[2] = checks[2], checks[0], checks[1]
	}
	for _, check := range checks {
		if errcode := check(); errcode != 0 {
			return grantedCode{}, errcode
		}
	}
	return s.spend(code)
}

func (s *Server) checkClient(appID, secret string) int {
	if errcode := s.checkApp(appID); errcode != 0 {
		return errcode
	}
	switch {
	case secret == "":
		return 41004
	case subtle.ConstantTimeCompare([]byte(secret), []byte(s.apps[appID].Secret)) != 1:
		return 40125
	}
	return 0
}

func (s *Server) checkApp(appID string) int {
	switch {
	case appID == "":
		return 41002
	case s.apps[appID] == nil:
		return 40013
	}
	return 0
}

func checkGrantType(q url.Values, want string) int {
	if q.Get("grant_type") != want {
		return 40002
	}
	return 0
}

func (s *Server) checkCode(kind codeKind, appID, code string) int {
	if code == "" {
		return 41008
	}
	c, ok := s.codes.get(code)
	if !ok || c.kind != kind || c.app.AppID != appID {
		return 40029
	}
	return s.staleness(c)
}

func (s *Server) staleness(c grantedCode) int {
	switch {
	case c.used:
		return 40163
	case s.now().Sub(c.issued) < c.life():
		return 0
	case c.kind == oauthCode && s.switches.choice(switchExpiredCode) == "42003":
		return 42003
	}
	return 40029
}

// spend marks the code used; of several callers at once one gets it and the others 40163.
func (s *Server) spend(code string) (spent grantedCode, errcode int) {
	known := s.codes.change(code, func(c *grantedCode) {
		if errcode = s.staleness(*c); errcode == 0 {
			c.used = true
			spent = *c
		}
	})
	if !known {
		return grantedCode{}, 40029
	}
	return spent, errcode
}

// newCode is 32 letters and digits after a leading 0 (observed, wechat-protocol §0.3).
func newCode() string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	code := make([]byte, 1, codeLength)
	code[0] = '0'
	var random [48]byte
	for len(code) < codeLength {
		rand.Read(random[:])
		for _, b := range random {
			if int(b) < 4*len(alphabet) && len(code) < codeLength { // 248: no letter is likelier than another
				code = append(code, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(code)
}

func newToken() string {
	var b [tokenBytes]byte
	rand.Read(b[:])
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}
