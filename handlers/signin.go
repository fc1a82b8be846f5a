package handlers

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/jwtauth"
	"wxbridge/wechat"
)

// Purpose labels of what is sealed into the store.
const (
	sessionKeyPurpose   = "session_key"
	refreshTokenPurpose = "user_refresh_token"
)

// land exchanges the code and finds how the login ends.
func (s *Server) land(ctx context.Context, account OfficialAccount, f flow, code string) (landing, error) {
	token, err := account.Client.Exchange(ctx, code)
	if err != nil {
		return landing{}, err
	}
	// Before any look at the ids: on a snapshot page they are a virtual account's, or another person's (wechat-protocol §1.7).
	if token.Snapshot {
		recordFrom(ctx).noteLogin("snapshot")
		return landing{outcome: landSnapshot}, nil
	}
	if wechat.Scope(f.Scope) == wechat.ScopeUserinfo {
		return s.landProfile(ctx, account, f, token)
	}
	return s.landBase(ctx, account, token)
}

// landProfile ends a login whose person allowed snsapi_userinfo: the profile is stored.
func (s *Server) landProfile(ctx context.Context, account OfficialAccount, f flow, token wechat.UserToken) (landing, error) {
	token, info, err := userInfo(ctx, account.Client, token)
	if err != nil {
		return landing{}, err
	}
	login := s.profileLogin(account, token, info)
	s.addFollowing(ctx, account, &login.Identity, f.Follower)
	if f.Tapped != 0 {
		login.ConsentedAt = time.Unix(f.Tapped, 0)
	}
	session, err := s.signIn(ctx, login)
	return landing{outcome: landHome, session: session}, err
}

// landBase ends a login that knows the openid only: a fan with a profile is home, and so is a follower of the account who is
// known from another app, with a profile or without; anybody else is asked for a profile.
func (s *Server) landBase(ctx context.Context, account OfficialAccount, token wechat.UserToken) (landing, error) {
	policy := s.cfg.ProfilePolicy
	fan, identity, err := s.cfg.Store.FanByIdentity(ctx, db.ProviderOfficialAccount, account.Client.AppID(), token.OpenID)
	switch {
	case err != nil && !isNotFound(err):
		return landing{}, err
	case err == nil && fan.Status == db.StatusBlocked:
		return landing{}, errBlocked
	}
	login := db.Login{Identity: db.Identity{Provider: db.ProviderOfficialAccount, AppID: account.Client.AppID(),
		OpenID: token.OpenID, OpenAccount: account.OpenAccount, Scope: string(wechat.ScopeBase)}}
	s.addFollower(ctx, account, &login.Identity, identity, fan.Registered())
	end := landHome
	switch {
	case !fan.Registered(): // unknown, or a guest
		if !policy.Never && !s.knownPerson(ctx, account, cmp.Or(login.Identity.UnionID, identity.UnionID), fan) {
			end := toRegister(ctx)
			if follows := login.Identity.Subscribed; follows != nil && *follows {
				end.follower = login.Identity.OpenID
			}
			return end, nil
		}
	case identity.ProfileStale || policy.MaxAge > 0 && s.cfg.Now().Sub(fan.ProfileAt) > policy.MaxAge:
		var fresh *db.Login
		if fresh, end = s.newerProfile(ctx, account, identity); fresh != nil {
			fresh.Identity.Subscribed = login.Identity.Subscribed
			login = *fresh
		}
		if policy.Never {
			end = landHome // nobody is asked, not even for a profile that WeChat calls stale
		}
	}
	session, err := s.signIn(ctx, login)
	switch {
	case err != nil:
		return landing{}, err
	case !policy.Never && session.created: // the other fan has gone meanwhile
		return toRegister(ctx), nil
	case session.unionID == "":
		session.unionID = identity.UnionID // the base scope never brings it
	}
	return landing{outcome: end, session: session}, nil
}

// toRegister sends the person to the register page.
func toRegister(ctx context.Context) landing {
	recordFrom(ctx).noteLogin("register")
	return landing{outcome: landRegister}
}

// newerProfileTime leaves the rest of the callback time enough to land with the stored profile.
const newerProfileTime = 4 * time.Second

// newerProfile asks WeChat for a known fan's profile with the stored refresh token, without a page. Only if WeChat refuses is
// the person asked; if WeChat cannot answer, the stored profile will do.
func (s *Server) newerProfile(ctx context.Context, account OfficialAccount, identity db.Identity) (*db.Login, landingKind) {
	if len(identity.UserRefreshTokenSealed) == 0 || !s.cfg.Now().Before(identity.UserRefreshExpiresAt) {
		return nil, landRegister
	}
	refresh, err := s.cfg.Box.Open(refreshTokenPurpose, identity.UserRefreshTokenSealed, identityLabel(identity))
	if err != nil {
		s.cfg.Logger.Error("open stored refresh token", "err", err)
		return nil, landRegister
	}
	ctx, cancel := context.WithTimeout(ctx, newerProfileTime)
	defer cancel()
	token, err := account.Client.Refresh(ctx, wechat.Secret(refresh))
	var info wechat.UserInfo
	if err == nil && token.OpenID == identity.OpenID {
		info, err = account.Client.UserInfo(ctx, token, "")
	}
	switch {
	case err == nil && info.OpenID == identity.OpenID:
		login := s.profileLogin(account, token, info)
		// The refresh token lives thirty days from the consent; a refresh does not prolong it.
		login.Identity.UserRefreshExpiresAt = identity.UserRefreshExpiresAt
		return &login, landHome
	case err == nil, errors.Is(err, wechat.ErrInvalidRefreshToken), errors.Is(err, wechat.ErrInvalidToken),
		errors.Is(err, wechat.ErrForbidden):
		if err := s.cfg.Store.ForgetUserRefreshToken(ctx, identity.Provider, identity.AppID, identity.OpenID); err != nil {
			s.cfg.Logger.Error("forget refused refresh token", "err", err)
		}
		return nil, landRegister
	}
	s.cfg.Logger.Warn("newer profile not to be had; the stored one is used", "request_id", requestIDFrom(ctx), "err", err)
	return nil, landHome
}

// profileClient is a client of an app whose people allow their profile to be read.
type profileClient interface {
	Refresh(ctx context.Context, refreshToken wechat.Secret) (wechat.UserToken, error)
	UserInfo(ctx context.Context, t wechat.UserToken, lang string) (wechat.UserInfo, error)
}

// userInfo reads the profile. A token that WeChat calls stale is refreshed, and the call repeated, once. Its answer must
// be about the person the code was for.
func userInfo(ctx context.Context, client profileClient, token wechat.UserToken) (wechat.UserToken, wechat.UserInfo, error) {
	info, err := client.UserInfo(ctx, token, "")
	if errors.Is(err, wechat.ErrInvalidToken) {
		fresh, refreshErr := client.Refresh(ctx, token.RefreshToken)
		if refreshErr != nil {
			return token, info, refreshErr
		}
		if fresh.OpenID != token.OpenID {
			return token, info, errUnavailable.because(errors.New("refreshed token is another person's"))
		}
		fresh.UnionID = token.UnionID
		token = fresh
		info, err = client.UserInfo(ctx, token, "")
	}
	if err == nil && info.OpenID != token.OpenID {
		err = errUnavailable.because(errors.New("profile is another person's"))
	}
	return token, info, err
}

// userRefreshLife is how long WeChat keeps a user's refresh token from the consent on (wechat-protocol §1.3).
const userRefreshLife = 30 * 24 * time.Hour

func (s *Server) profileLogin(account OfficialAccount, token wechat.UserToken, info wechat.UserInfo) db.Login {
	identity := db.Identity{Provider: db.ProviderOfficialAccount, AppID: account.Client.AppID(), OpenID: token.OpenID,
		OpenAccount: account.OpenAccount, UnionID: unionOf(token, info), Scope: string(wechat.ScopeUserinfo)}
	if refresh := token.RefreshToken.Reveal(); refresh != "" {
		identity.UserRefreshTokenSealed = s.cfg.Box.Seal(refreshTokenPurpose, []byte(refresh), identityLabel(identity))
		identity.UserRefreshExpiresAt = s.cfg.Now().Add(userRefreshLife)
	}
	return db.Login{Identity: identity, Profile: profileOf(info)}
}

// unionOf is the unionid that WeChat told, in one of two places; "" if in none.
func unionOf(token wechat.UserToken, info wechat.UserInfo) string {
	if info.UnionID != "" {
		return info.UnionID
	}
	return token.UnionID
}

func profileOf(info wechat.UserInfo) *db.Profile {
	return &db.Profile{
		Nickname:  clip(info.Nickname, maxNickname),
		AvatarURL: fitting(info.AvatarURL, maxAvatarURL),
		Language:  clip(info.Language, 16),
		JSON:      info.Raw,
	}
}

// identityLabel binds what is sealed for one identity to it.
func identityLabel(i db.Identity) []byte {
	return []byte(i.Provider + "|" + i.AppID + "|" + i.OpenID)
}

// session is somebody logged in: what both tokens are made of.
type session struct {
	fan      db.Fan
	provider string
	appID    string
	openID   string
	unionID  string
	depts    jwtauth.Departments
	id       string    // sid: made at login, kept through renewals
	authTime time.Time // of the login

	// subject and since are sub and iat of the token this goes on from: what revoked that one ends this session. For a
	// login they are the fan's id and the time before the fan was read.
	subject string
	since   time.Time

	fresh   bool // straight from a login: nobody can have ended it by its id yet
	created bool // by this very login: the fan was unknown
}

// signIn stores the login and opens a session for its fan. Every provider's login ends here.
func (s *Server) signIn(ctx context.Context, login db.Login) (*session, error) {
	now := s.cfg.Now()
	login.RevokeUntil = s.revokedUntil()
	result, err := s.cfg.Store.SaveLogin(ctx, login)
	if err != nil {
		return nil, err
	}
	s.revoked(result.Revoked, login.RevokeUntil)
	s.logLogin(recordFrom(ctx), login, result)
	if result.Fan.Status == db.StatusBlocked {
		return nil, errBlocked
	}
	if result.NotBefore.Sub(now) > maxCutAhead {
		return nil, errUnavailable.because(fmt.Errorf("everything of this fan is revoked until %v; was the clock set back?", result.NotBefore))
	}
	return &session{fan: result.Fan, provider: login.Identity.Provider, appID: login.Identity.AppID,
		openID: login.Identity.OpenID, unionID: login.Identity.UnionID, depts: departmentsOf(login),
		id: rand.Text(), authTime: now, subject: result.Fan.ID, since: afterCut(result.NotBefore, now), fresh: true, created: result.Created}, nil
}

// logLogin notes the login in its request's line. What it changed between fans has lines of its own.
func (s *Server) logLogin(r *record, login db.Login, result db.LoginResult) {
	requestID := r.id
	if result.Linked {
		s.cfg.Logger.Info("a new identity joined a fan by its unionid", "event", "fan.linked", "request_id", requestID, "fan", result.Fan.ID,
			"provider", login.Identity.Provider)
	}
	if result.MergedFrom != "" {
		s.cfg.Logger.Info("two fans are one person", "event", "fan.merged", "request_id", requestID, "fan", result.Fan.ID, "from", result.MergedFrom)
	}
	if result.RoleConflict != "" {
		s.cfg.Logger.Warn("two fans share a unionid and differ in role; an operator decides", "event", "fan.role_conflict",
			"request_id", requestID, "fan", result.Fan.ID, "other", result.RoleConflict)
	}
	r.note(slog.String("fan", result.Fan.ID), slog.Bool("created", result.Created))
	if result.Fan.Status == db.StatusBlocked {
		r.noteLogin("blocked")
		return
	}
	r.noteEvent("login.ok", slog.LevelInfo)
	r.noteLogin("ok")
}

// maxCutAhead is how far ahead of now a token's iat may lie. Verifiers tolerate clocks that differ by five seconds.
const maxCutAhead = 3 * time.Second

// afterCut is the iat of a token made now. After everything of the fan was revoked it waits for the next whole second, which
// is where the cut was made. A cut further ahead (an erased id, a clock that was set back) is not waited for.
func afterCut(cut, now time.Time) time.Time {
	if cut.After(now) && cut.Sub(now) <= maxCutAhead {
		return cut
	}
	return now
}

// issueTime is the iat of a token for the session made now, as far as this process has heard of revocations.
func (s *Server) issueTime(n session) time.Time {
	now := s.cfg.Now()
	if cut, ok := s.cfg.Revocations.SubjectCut(n.fan.ID); ok {
		now = afterCut(cut, now)
	}
	if n.since.After(now) {
		return afterCut(n.since, now)
	}
	return now
}

func (n *session) claims() jwtauth.Claims {
	return jwtauth.Claims{Subject: n.fan.ID, SessionID: n.id, AuthTime: n.authTime, IssuedAt: n.since,
		Provider: n.provider, AppID: n.appID, OpenID: n.openID, UnionID: n.unionID, Role: n.fan.Role,
		Departments: n.depts}
}

// accessToken signs a new access token for the session, if the session still stands.
//
// It asks the store, where a revocation by another process shows at once, and asks it after signing: a revocation on disk by
// then is seen here, and one that comes later has its cut after this token's iat. So no token outlives a block, an erasure or
// a logout that happens while it is being made. errBadCredential: the session was revoked.
// errNotConfirmed: nobody can say now whether a member of a corp still is one.
//
// The token of a login has that without asking, if it is signed in the second the login began in: whatever has ended the
// login since then was cut later.
func (s *Server) accessToken(ctx context.Context, n session) (string, jwtauth.Claims, error) {
	if !n.fresh && n.provider == db.ProviderWeCom {
		if err := s.confirmMember(ctx, &n); err != nil {
			return "", jwtauth.Claims{}, err
		}
	}
	claims := n.claims()
	claims.IssuedAt = s.issueTime(n)
	raw, claims, err := s.cfg.Issuer.AccessToken(claims)
	if err != nil {
		return "", jwtauth.Claims{}, errServer.because(err)
	}
	if n.fresh && !claims.IssuedAt.After(n.since) {
		return raw, claims, nil
	}
	revoked, err := s.cfg.Store.Revoked(ctx, n.id, n.subject, n.since.Truncate(time.Second))
	if err != nil {
		return "", jwtauth.Claims{}, err
	}
	if revoked {
		return "", jwtauth.Claims{}, errBadCredential.because(errors.New("revoked while a token was made"))
	}
	return raw, claims, nil
}

// idToken signs a new ID token for the session: what pages show, never a credential.
func (s *Server) idToken(n session) (string, error) {
	raw, err := s.cfg.Issuer.IDToken(jwtauth.IDClaims{Subject: n.fan.ID, AuthTime: n.authTime,
		IssuedAt: s.issueTime(n), Nickname: n.fan.Nickname, Picture: n.fan.AvatarURL})
	if err != nil {
		return "", errServer.because(err)
	}
	return raw, nil
}

// setSession gives the browser both tokens of the session, freshly signed.
func (s *Server) setSession(c *gin.Context, n session) error {
	access, _, err := s.accessToken(c.Request.Context(), n)
	if err != nil {
		return err
	}
	if err := s.setIDToken(c, n); err != nil {
		return err
	}
	s.setTokenCookie(c, access, s.cfg.TokenTTL)
	return nil
}

// setIDToken gives the browser the ID token alone.
func (s *Server) setIDToken(c *gin.Context, n session) error {
	id, err := s.idToken(n)
	if err != nil {
		return err
	}
	s.setIDCookie(c, id, s.cfg.TokenTTL)
	return nil
}
