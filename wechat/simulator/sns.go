package simulator

import (
	"bytes"
	"net/http"
	"strings"
	"time"
)

const (
	accessLife  = 2 * time.Hour       // documented (wechat-protocol §1.2)
	refreshLife = 30 * 24 * time.Hour // documented; not renewed by use
	expiresIn   = 7200
)

// grant is one consent of one person to one app: the refresh token and the access token that currently belongs to it.
type grant struct {
	app     *App
	who     account
	scope   string
	issued  time.Time
	access  string
	expires time.Time // of access
	revoked bool      // the person has taken their consent back
}

// tokenReply has the order of fields seen in real logs; there is no errcode on success (observed, wechat-protocol §1.2).
type tokenReply struct {
	AccessToken    string `json:"access_token"`
	ExpiresIn      int    `json:"expires_in"`
	RefreshToken   string `json:"refresh_token"`
	OpenID         string `json:"openid"`
	Scope          string `json:"scope"`
	UnionID        string `json:"unionid,omitempty"`
	IsSnapshotUser any    `json:"is_snapshotuser,omitempty"` // only there for a virtual account: 1, or "1" by switch
}

// userInfoReply keeps the fields that went blank in 2021 (observed, wechat-protocol §1.4).
type userInfoReply struct {
	OpenID     string   `json:"openid"`
	Nickname   string   `json:"nickname"`
	Sex        int      `json:"sex"`
	Language   string   `json:"language"`
	City       string   `json:"city"`
	Province   string   `json:"province"`
	Country    string   `json:"country"`
	HeadImgURL string   `json:"headimgurl"`
	Privilege  []string `json:"privilege"`
	UnionID    string   `json:"unionid,omitempty"`
}

// handleAccessToken is GET /sns/oauth2/access_token (wechat-protocol §1.2).
func (s *Server) handleAccessToken(w http.ResponseWriter, r *http.Request) {
	code, errcode := s.redeem(oauthCode, r.URL.Query(), "code")
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	now := s.now()
	g := grant{app: code.app, who: code.who, scope: code.scope, issued: now, access: newToken(), expires: now.Add(accessLife)}
	refresh := newToken()
	s.grants.put(refresh, g, now)
	s.accessKeys.put(g.access, refresh, now)
	writeSNS(w, s.tokenReply(g, refresh))
}

func (s *Server) tokenReply(g grant, refresh string) tokenReply {
	reply := tokenReply{
		AccessToken: g.access, ExpiresIn: expiresIn, RefreshToken: refresh,
		OpenID: g.who.openID(g.app), Scope: s.wireScope(g),
	}
	if g.scope != scopeBase { // documented: a base token brings no unionid (wechat-protocol §10)
		reply.UnionID = g.who.unionID(g.app)
	}
	if g.who.virtual != nil {
		reply.IsSnapshotUser = 1
		if s.switches.choice(switchSnapshotFlag) == "string" {
			reply.IsSnapshotUser = "1"
		}
	}
	return reply
}

// wireScope is the scope asked for, or one of the older forms (observed, wechat-protocol §1.2).
func (s *Server) wireScope(g grant) string {
	switch s.switches.choice(switchTokenScope) {
	case "trailing-comma":
		return g.scope + ","
	case "all-granted":
		if s.everConsented(g.app, g.who.person) {
			return scopeBase + "," + scopeUser + ","
		}
	}
	return g.scope
}

// handleRefresh is GET /sns/oauth2/refresh_token; it takes no secret (documented). An access token that is still good
// keeps its value and gets its time renewed; the refresh token stays what it was (observed, wechat-protocol §1.3).
func (s *Server) handleRefresh(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	refresh := q.Get("refresh_token")
	errcode := s.checkApp(q.Get("appid"))
	if errcode == 0 {
		errcode = checkGrantType(q, "refresh_token")
	}
	if errcode == 0 && refresh == "" {
		errcode = 41003
	}
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	g, errcode := s.renew(refresh, q.Get("appid"))
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	reply := s.tokenReply(g, refresh)
	reply.UnionID, reply.IsSnapshotUser = "", nil // documented: five fields, no unionid
	writeSNS(w, reply)
}

func (s *Server) renew(refresh, appID string) (renewed grant, errcode int) {
	now := s.now()
	known := s.grants.change(refresh, func(g *grant) {
		switch {
		case g.app.AppID != appID:
			errcode = 40030 // assumed: as unknown
			return
		case g.revoked:
			errcode = 42007 // assumed, after "authorization void" (wechat-protocol §11)
			return
		case !now.Before(g.issued.Add(refreshLife)):
			errcode = s.failedRefresh()
			return
		case !now.Before(g.expires):
			g.access = newToken()
		}
		g.expires = now.Add(accessLife)
		renewed = *g
	})
	if !known {
		return grant{}, 40030
	}
	if errcode == 0 {
		s.accessKeys.put(renewed.access, refresh, now)
	}
	return renewed, errcode
}

func (s *Server) failedRefresh() int {
	switch s.switches.choice(switchFailedRefresh) {
	case "40030":
		return 40030
	case "42007":
		return 42007
	}
	return 42002
}

// handleUserInfo is GET /sns/userinfo (wechat-protocol §1.4). is_snapshotuser is not in its answer (observed).
func (s *Server) handleUserInfo(w http.ResponseWriter, r *http.Request) {
	g, errcode := s.bearer(r)
	if errcode == 0 && g.scope == scopeBase && !s.baseMayRead(g) {
		errcode = 48001
	}
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	p := lookup(g.who.person)
	reply := userInfoReply{
		OpenID: g.who.openID(g.app), UnionID: g.who.unionID(g.app),
		Nickname: p.nickname, HeadImgURL: s.avatarURL(r, p), Privilege: []string{},
	}
	if g.who.virtual != nil {
		p.rawName = nil
		reply.Nickname, reply.HeadImgURL = "微信用户", s.publicURL(r)+greyAvatarPath // assumed values (wechat-protocol §1.7)
	}
	body := wireJSON(reply)
	if p.rawName != nil {
		body = bytes.Replace(body, []byte(`"nickname":"`+p.nickname+`"`), append(append([]byte(`"nickname":"`), p.rawName...), '"'), 1)
	}
	writeWire(w, body)
}

func (s *Server) baseMayRead(g grant) bool {
	return s.switches.choice(switchBaseUserInfo) == "data" && g.who.virtual == nil && s.everConsented(g.app, g.who.person)
}

func (s *Server) everConsented(app *App, name string) bool {
	_, ok := s.consents.get(app.AppID + " " + name)
	return ok
}

// handleAuth is GET /sns/auth: the one sns answer that says errcode 0 (documented, wechat-protocol §1.5).
func (s *Server) handleAuth(w http.ResponseWriter, r *http.Request) {
	if _, errcode := s.bearer(r); errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	writeSNS(w, errorReply{ErrCode: 0, ErrMsg: "ok"})
}

// bearer finds the grant of the access_token and openid of a request. An access token that a refresh has replaced is
// no longer valid (assumed).
func (s *Server) bearer(r *http.Request) (grant, int) {
	q := r.URL.Query()
	token, openID := q.Get("access_token"), q.Get("openid")
	switch {
	case token == "":
		return grant{}, 41001
	case openID == "":
		return grant{}, 41009
	case !strings.HasPrefix(token, tokenPrefix):
		return grant{}, 40001
	}
	refresh, _ := s.accessKeys.get(token)
	g, ok := s.grants.get(refresh)
	switch {
	case !ok || g.access != token || g.revoked: // that a withdrawn consent ends the token is assumed
		return grant{}, 40001
	case !s.now().Before(g.expires):
		return grant{}, 42001
	case g.who.openID(g.app) != openID:
		return grant{}, 40003
	}
	return g, 0
}
