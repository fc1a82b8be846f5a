package handlers

import (
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/jwtauth"
)

// caller is who a request of the API comes from.
type caller struct {
	claims jwtauth.Claims
	source jwtauth.Source
}

// authenticate finds the caller: a Bearer header, else the cookie. A bad header is refused even beside a good cookie. Of a
// caller that is refused only the source is told.
func (s *Server) authenticate(c *gin.Context) (caller, error) {
	claims, source, err := s.cfg.Verifier.VerifyRequest(c.Request, s.cookies.token)
	switch {
	case errors.Is(err, jwtauth.ErrNoToken):
		return caller{}, errNoCredential
	case err != nil:
		return caller{source: source}, errBadCredential.because(err)
	}
	recordOf(c).provider = claims.Provider
	return caller{claims, source}, nil
}

// reader authenticates a caller who only reads, and finds its fan.
func (s *Server) reader(c *gin.Context) (caller, db.Fan, error) {
	from, err := s.authenticate(c)
	if err != nil {
		return caller{}, db.Fan{}, err
	}
	return s.fanOf(c, from)
}

// writer authenticates a caller who wants to change something, and finds its fan.
func (s *Server) writer(c *gin.Context) (caller, db.Fan, error) {
	from, err := s.authenticate(c)
	if err != nil {
		return caller{}, db.Fan{}, err
	}
	if from.source != jwtauth.SourceBearer {
		if err := s.guard(c, "", ""); err != nil {
			return caller{}, db.Fan{}, err
		}
	}
	return s.fanOf(c, from)
}

// fanOf finds the fan of a caller. A fan that is gone takes its tokens along.
func (s *Server) fanOf(c *gin.Context, from caller) (caller, db.Fan, error) {
	fan, err := s.cfg.Store.Fan(c.Request.Context(), from.claims.Subject)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return caller{}, db.Fan{}, errBadCredential.because(err)
	case err != nil:
		return caller{}, db.Fan{}, err
	case fan.Status == db.StatusBlocked:
		return caller{}, db.Fan{}, errBlocked
	}
	return from, fan, nil
}

// cookieClaims verifies the session cookie alone. A cookie that is malformed or repeated counts as none (WEB-04).
func (s *Server) cookieClaims(c *gin.Context) (jwtauth.Claims, error) {
	cookies := &http.Request{Header: http.Header{"Cookie": c.Request.Header["Cookie"]}}
	raw, source, err := jwtauth.TokenFromRequest(cookies, s.cookies.token)
	if err != nil || source == jwtauth.SourceNone {
		return jwtauth.Claims{}, errNoCredential
	}
	return s.cfg.Verifier.Verify(c.Request.Context(), raw)
}

// due reports whether a cookie's token is past half its life, and its login young enough to go on.
func (s *Server) due(claims jwtauth.Claims) bool {
	return s.halfOver(s.cfg.Now(), claims.IssuedAt, claims.ExpiresAt, claims.AuthTime)
}

func (s *Server) halfOver(now, issued, expires, login time.Time) bool {
	return now.After(issued.Add(expires.Sub(issued)/2)) && now.Before(login.Add(s.cfg.SessionTTL))
}

// keepFresh renews both cookies of a token that is due, and the ID token alone if the browser has lost it, after a look at
// the fan. Without the store the token goes on as it is. errBlocked or errBadCredential: the fan may not go on.
func (s *Server) keepFresh(c *gin.Context, claims jwtauth.Claims) error {
	due := s.due(claims)
	if _, err := c.Request.Cookie(s.cookies.id); err == nil && !due {
		return nil
	}
	fan, err := s.cfg.Store.Fan(c.Request.Context(), claims.Subject)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return errBadCredential.because(err)
	case err == nil && fan.Status == db.StatusBlocked:
		return errBlocked
	case err == nil && due:
		err = s.setSession(c, sessionOf(claims, fan))
	case err == nil:
		err = s.setIDToken(c, sessionOf(claims, fan))
	}
	var answer *apiError
	switch {
	case err == nil, errors.As(err, &answer):
		return err
	case errors.Is(err, errNotConfirmed): // logged where WeCom was asked
		return nil
	}
	s.cfg.Logger.Warn("session not renewed", "request_id", requestIDOf(c), "err", err)
	return nil
}

// sessionOf continues the session of a token with what its fan is now: after a merge, the surviving fan.
func sessionOf(claims jwtauth.Claims, fan db.Fan) session {
	return session{fan: fan, provider: claims.Provider, appID: claims.AppID, openID: claims.OpenID, unionID: claims.UnionID,
		depts: claims.Departments, id: claims.SessionID, authTime: claims.AuthTime, subject: claims.Subject, since: claims.IssuedAt}
}

// revocationMargin outlives the clock differences that verifiers allow, and a clock that is set back by an hour (REL-15).
const revocationMargin = jwtauth.MaxLeeway + time.Hour

// revokedUntil is when the last token signed before now has expired for good.
func (s *Server) revokedUntil() time.Time { return s.cfg.Now().Add(s.cfg.TokenTTL + revocationMargin) }

// revoked takes over what the store has just revoked, ahead of the follower.
func (s *Server) revoked(r db.Revoked, until time.Time) {
	for _, id := range r.Subjects {
		s.cfg.Revocations.RevokeSubject(id, r.Before, until)
	}
}
