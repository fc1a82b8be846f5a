package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// cookieNames are the names of our cookies. With https, __Host- keeps sub-domains and plain http from planting them; a cookie
// for a whole domain cannot carry that prefix (RFC 6265bis §4.1.3).
type cookieNames struct {
	token  string // the access token, HttpOnly: the credential
	id     string // the ID token, for the page's script: never a credential
	flow   string // prefix of the flow cookies
	ticket string // tells the browsers apart that see the page of a ticket; nothing else hangs on it
	secure bool
	domain string
}

func namesFor(public *url.URL, domain string) cookieNames {
	secure := public.Scheme == "https"
	n := cookieNames{token: "wxbridge_token", id: "wxbridge_id", flow: "wxbridge_flow_", ticket: "wxbridge_ticket", secure: secure, domain: domain}
	if secure {
		n.flow, n.ticket = "__Host-"+n.flow, "__Host-"+n.ticket
		if domain == "" {
			n.token, n.id = "__Host-"+n.token, "__Host-"+n.id
		}
	}
	return n
}

// setCookie completes a cookie with the attributes that all of ours share, and sends it.
func (s *Server) setCookie(c *gin.Context, cookie *http.Cookie) {
	cookie.Path = "/"
	cookie.Secure = s.cookies.secure
	cookie.SameSite = http.SameSiteLaxMode
	http.SetCookie(c.Writer, cookie)
}

func (s *Server) setTokenCookie(c *gin.Context, raw string, life time.Duration) {
	s.setCookie(c, &http.Cookie{Name: s.cookies.token, Value: raw, Domain: s.cookies.domain,
		MaxAge: seconds(life), HttpOnly: true})
}

func (s *Server) setIDCookie(c *gin.Context, raw string, life time.Duration) {
	s.setCookie(c, &http.Cookie{Name: s.cookies.id, Value: raw, Domain: s.cookies.domain, MaxAge: seconds(life)})
}

// clearSession removes both token cookies with the attributes they were set with (WEB-07).
func (s *Server) clearSession(c *gin.Context) {
	s.setCookie(c, &http.Cookie{Name: s.cookies.token, Domain: s.cookies.domain, MaxAge: -1, HttpOnly: true})
	s.setCookie(c, &http.Cookie{Name: s.cookies.id, Domain: s.cookies.domain, MaxAge: -1})
}

// hasOurCookie reports whether the request carries any cookie that could lend it somebody's authority. It looks at the
// header itself: net/http gives no cookies at all of a header that has thousands.
func (s *Server) hasOurCookie(r *http.Request) bool {
	for _, header := range r.Header["Cookie"] {
		for _, name := range []string{s.cookies.token, s.cookies.id, s.cookies.flow} {
			if strings.Contains(header, name) {
				return true
			}
		}
	}
	return false
}

func seconds(d time.Duration) int { return max(1, int(d/time.Second)) }
