package handlers

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/jwtauth"
)

// refuseVerify answers a request that may not pass. It is always JSON: a page of ours would be shown on another host, where
// neither its links nor its styles lead anywhere.
func (s *Server) refuseVerify(c *gin.Context, need verifyQuery, source jwtauth.Source, cause error) error {
	s.secureHeaders(c)
	answer := asAPIError(cause)
	if answer.status != http.StatusUnauthorized {
		return s.failVerify(c, answer, "")
	}
	login, returns := s.loginURLFor(c)
	// A login mends a missing or expired cookie. It does not mend a bad header, nor a cookie that stands there twice: a
	// browser sent there would go round in circles.
	if need.redirect && returns && source != jwtauth.SourceBearer && isNavigation(c.Request) && !s.repeatsCookie(c.Request) {
		return redirect(c, login)
	}
	c.Writer.Header().Set("X-Login-Url", login)
	return s.failVerify(c, answer, login)
}

func (s *Server) failVerify(c *gin.Context, answer *apiError, login string) error {
	if answer.status != http.StatusUnauthorized || answer.credential {
		s.logFailure(c, answer)
	}
	setFailureHeaders(c.Writer.Header(), answer)
	c.JSON(answer.status, struct {
		errorBody
		LoginURL string `json:"login_url,omitempty"`
	}{errorBody{answer.code, answer.description, answer.errcode, requestIDOf(c)}, login})
	return nil
}

// isNavigation reports whether a person waits for a page, who can be sent to the login. Browsers say so; of those that do
// not, one that wants HTML and is no script is taken for one.
func isNavigation(r *http.Request) bool {
	switch method := r.Header.Get("X-Forwarded-Method"); {
	case r.Method != http.MethodGet && r.Method != http.MethodHead,
		method != "" && method != http.MethodGet && method != http.MethodHead:
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return wantsHTML(r) && !strings.EqualFold(r.Header.Get("X-Requested-With"), "XMLHttpRequest")
}

// loginURLFor is where to log in for the request that the proxy was asked. returns tells whether the login leads back to it,
// with a cookie that then arrives there: only such a login ends the refusals (FWD-08).
func (s *Server) loginURLFor(c *gin.Context) (login string, returns bool) {
	login = s.returnTo.Origin() + "/login"
	target, why := s.originalURL(c.Request)
	if why != "" {
		s.warnVerify(why, "request_id", requestIDOf(c), "peer", c.RemoteIP(),
			"forwarded_proto", quoted(c.GetHeader("X-Forwarded-Proto")), "forwarded_host", quoted(c.GetHeader("X-Forwarded-Host")))
	}
	if target == "" {
		return login, false
	}
	return login + "?return_to=" + url.QueryEscape(target), true
}

// originalURL is the address that the proxy was asked for, if the proxy is believed and the address is one that a login may
// return to. Otherwise why says what the operator has to change; it is empty too where no proxy says anything.
func (s *Server) originalURL(r *http.Request) (target, why string) {
	if len(r.Header["X-Forwarded-Host"]) == 0 {
		return "", ""
	}
	if !s.fromTrustedProxy(r) {
		return "", "forward-auth cannot lead back: the proxy's address is not in WXBRIDGE_TRUSTED_PROXIES"
	}
	proto, host := strings.ToLower(single(r.Header, "X-Forwarded-Proto")), strings.ToLower(single(r.Header, "X-Forwarded-Host"))
	if proto != "http" && proto != "https" || host == "" {
		return "", "forward-auth cannot lead back: the proxy must send one X-Forwarded-Proto and one X-Forwarded-Host"
	}
	defaultPort := ":443"
	if proto == "http" {
		defaultPort = ":80"
	}
	origin := proto + "://" + strings.TrimSuffix(host, defaultPort)
	if !s.returnTo.Lists(origin) {
		return "", "forward-auth cannot lead back: the origin is neither WXBRIDGE_PUBLIC_URL nor in WXBRIDGE_RETURN_ORIGINS"
	}
	if !s.cookies.reach(s.cfg.PublicURL, proto, host) {
		return "", "forward-auth cannot lead back: the session cookie cannot reach this host; serve it under the host of " +
			"WXBRIDGE_PUBLIC_URL, or under WXBRIDGE_COOKIE_DOMAIN by https"
	}
	path := single(r.Header, "X-Forwarded-Uri")
	if !strings.HasPrefix(path, "/") || s.returnTo.Check(origin+path) != nil {
		path = "/" // too long, or nothing a browser asks for: the front page
	}
	return origin + path, ""
}

// reach reports whether a browser sends the session cookie along to a host.
func (n cookieNames) reach(public *url.URL, proto, host string) bool {
	if n.secure && proto != "https" {
		return false
	}
	name := (&url.URL{Host: host}).Hostname()
	return name == public.Hostname() || n.domain != "" && (name == n.domain || strings.HasSuffix(name, "."+n.domain))
}

// repeatsCookie reports whether the browser holds more than one session cookie, which count as none.
func (s *Server) repeatsCookie(r *http.Request) bool {
	seen := 0
	for _, header := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(header, ";") {
			if name, _, _ := strings.Cut(pair, "="); strings.Trim(name, " \t") == s.cookies.token {
				seen++
			}
		}
	}
	return seen > 1
}

// warnVerifyEvery bounds warnings that every request of a badly configured site would repeat.
const warnVerifyEvery = time.Minute

// seldom remembers when each of a few fixed messages was written last.
type seldom struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// due reports whether message may be written again, and remembers that it is.
func (o *seldom) due(message string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if last, written := o.last[message]; written && now.Sub(last).Abs() < warnVerifyEvery {
		return false
	}
	if o.last == nil {
		o.last = map[string]time.Time{}
	}
	o.last[message] = now
	return true
}

// warnVerify logs a fault that the operator can mend, each message at most once a minute.
func (s *Server) warnVerify(message string, attrs ...any) {
	if s.verifyWarned.due(message, s.cfg.Now()) {
		s.cfg.Logger.Warn(message, attrs...)
	}
}

func quoted(text string) string { return strconv.QuoteToASCII(clip(text, 256)) }
