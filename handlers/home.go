package handlers

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/templates"
)

// home shows who is logged in. The page's own script reads the ID-token cookie; the server only keeps both cookies fresh, and
// takes away an ID token whose session has ended.
func (s *Server) home(c *gin.Context) error {
	view := templates.Home{IDCookieName: s.cookies.id, ImageHosts: s.cfg.ImageOrigins, WeCom: s.leadsToWeCom(c.Request)}
	claims, err := s.cookieClaims(c)
	if err == nil {
		err = s.keepFresh(c, claims)
	}
	switch {
	case err == nil:
		view.SignedIn, view.FormToken, view.WeCom = true, s.formToken(claims.SessionID), claims.Provider == db.ProviderWeCom
	case s.hasOurCookie(c.Request):
		s.clearSession(c)
	}
	c.Header("Content-Security-Policy", s.homePolicy)
	return s.page(c, http.StatusOK, view)
}
