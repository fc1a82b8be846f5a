package handlers

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/jwtauth"
)

// logout ends the session: the token is revoked and the browser forgets all of ours. It works without a session too.
func (s *Server) logout(c *gin.Context) error {
	form, err := s.logoutForm(c)
	if err != nil {
		return err
	}
	to := s.returnTo.Default()
	if given, ok := form["return_to"]; ok {
		if err := s.checkReturnTo(c, given); err != nil {
			return err
		}
		to = given
	}
	raw, source, _ := jwtauth.TokenFromRequest(c.Request, s.cookies.token)
	claims, verifyErr := s.cfg.Verifier.Verify(c.Request.Context(), raw)
	// Without cookies too: those of SameSite=Lax stay behind when another site posts here, and yet the browser would obey
	// the answer that clears them.
	if source != jwtauth.SourceBearer && (s.hasOurCookie(c.Request) || fromBrowser(c.Request)) {
		if err := s.guard(c, form["form_token"], claims.SessionID); err != nil {
			return err
		}
	}
	if source != jwtauth.SourceNone && verifyErr == nil {
		if err := s.revokeSession(c, claims); err != nil {
			return err
		}
		recordOf(c).noteEvent("logout", slog.LevelInfo)
	}
	if s.hasOurCookie(c.Request) { // else a page that sends no Origin could have the browser drop them unseen
		s.forgetBrowser(c)
	}
	if !wantsHTML(c.Request) {
		c.Header("Cache-Control", "no-store")
		c.Status(http.StatusNoContent)
		return nil
	}
	return seeOther(c, to)
}

// logoutForm reads return_to and form_token from the query and, if there is one, the body.
func (s *Server) logoutForm(c *gin.Context) (params, error) {
	values, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return nil, invalidRequest("The query of this address is malformed.")
	}
	raw, err := readBody(c.Request)
	if err != nil {
		return nil, err
	}
	if len(raw) > 0 {
		given, err := parseBody(c.Request, raw, "return_to", "form_token")
		if err != nil {
			return nil, err
		}
		for name, value := range given {
			values.Add(name, value)
		}
	}
	return pick(values, []string{"return_to", "form_token"})
}

// revokeSession ends the session of a token: in the store first, where other processes see it. It lasts until this token
// and all that renewals may have made of it have expired, also if tokens lived longer before the last restart.
func (s *Server) revokeSession(c *gin.Context, claims jwtauth.Claims) error {
	until := s.revokedUntil()
	if latest := claims.ExpiresAt.Add(revocationMargin); latest.After(until) {
		until = latest
	}
	err := s.cfg.Store.AddRevocation(c.Request.Context(),
		db.Revocation{Kind: db.RevokedSession, Value: claims.SessionID, ExpiresAt: until})
	if err != nil {
		return err
	}
	s.cfg.Revocations.RevokeSession(claims.SessionID, until)
	return nil
}

// logoutEverywhere revokes every token of the caller's fan, on every device and under every alias.
func (s *Server) logoutEverywhere(c *gin.Context) error {
	from, fan, err := s.writer(c)
	if err != nil {
		return err
	}
	until := s.revokedUntil()
	revoked, err := s.cfg.Store.RevokeFan(c.Request.Context(), fan.ID, until)
	if err != nil {
		return missingFan(err)
	}
	s.revoked(revoked, until)
	recordOf(c).noteEvent("logout.everywhere", slog.LevelInfo, slog.String("fan", fan.ID))
	if from.source == jwtauth.SourceCookie {
		s.forgetBrowser(c)
	}
	c.Header("Cache-Control", "no-store")
	c.Status(http.StatusNoContent)
	return nil
}

// forgetBrowser clears every cookie of ours, marks included.
func (s *Server) forgetBrowser(c *gin.Context) {
	s.clearSession(c)
	s.trimFlows(c, 0)
}

func isNotFound(err error) bool { return errors.Is(err, db.ErrNotFound) }
