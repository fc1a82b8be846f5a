package handlers

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
)

const formPurpose = "form"

// guard lets a request change something on the strength of a cookie only if our own page sent it: the browser says so, or
// the form brings our token (WEB-06). Requests with a Bearer header need none: no other site can make a browser send one.
func (s *Server) guard(c *gin.Context, formToken, sessionID string) error {
	origin := s.cfg.PublicURL.Scheme + "://" + s.cfg.PublicURL.Host
	switch {
	case single(c.Request.Header, "Sec-Fetch-Site") == "same-origin", single(c.Request.Header, "Origin") == origin:
		return nil
	case s.goodFormToken(formToken, sessionID):
		return nil
	}
	return errCrossSite
}

// fromBrowser reports whether a browser says where the request comes from.
func fromBrowser(r *http.Request) bool {
	return len(r.Header.Values("Origin")) > 0 || len(r.Header.Values("Sec-Fetch-Site")) > 0
}

// single is the value of a header that was sent once.
func single(h http.Header, name string) string {
	if values := h.Values(name); len(values) == 1 {
		return values[0]
	}
	return ""
}

// formToken is for the forms of our pages: old in-app browsers post them without an Origin. It belongs to one session.
func (s *Server) formToken(sessionID string) string {
	expires := strconv.FormatInt(s.cfg.Now().Add(s.cfg.TokenTTL).Unix(), 10)
	return s.cfg.Box.SealText(formPurpose, []byte(expires), []byte(sessionID))
}

func (s *Server) goodFormToken(token, sessionID string) bool {
	if token == "" || sessionID == "" {
		return false
	}
	plain, err := s.cfg.Box.OpenText(formPurpose, token, []byte(sessionID))
	if err != nil {
		return false
	}
	expires, err := strconv.ParseInt(string(plain), 10, 64)
	return err == nil && s.cfg.Now().Before(time.Unix(expires, 0))
}
