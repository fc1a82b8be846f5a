package simulator

import (
	"crypto/rand"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// comeBack ends an authorization with a code: usually a redirect, by a fault or in hostile mode something nastier.
func (s *Server) comeBack(w http.ResponseWriter, r *http.Request, req authorizeRequest, who account) {
	mode, first := s.comebackMode(), s.callbackWithCode(req, who)
	switch mode {
	case "":
		redirect(w, r, first)
	case ModeTwoCodes:
		s.showVisits(w, r, mode, []string{first, s.callbackWithCode(req, who)})
	default:
		s.showVisits(w, r, mode, []string{first, first})
	}
}

// comebackMode is the armed fault, else in hostile mode a draw: one time in four each, pattern A or B.
func (s *Server) comebackMode() string {
	if f, ok := s.faults.draw(pathAuthorize, onTheWayBack); ok {
		return f.Mode
	}
	if s.cfg.Hostile {
		return []string{ModeDuplicateCallback, ModeTwoCodes, "", ""}[s.dice.draw(4)]
	}
	return ""
}

func (s *Server) callbackWithCode(req authorizeRequest, who account) string {
	return callbackURL(req, s.issueOAuth(req.app, who, req.scope))
}

// callbackURL adds code and state to redirect_uri: after a ?, or after & if it has a query, and before a fragment
// (observed, wechat-protocol §1.1). The state comes back as it was, escaped. An empty code is left out.
func callbackURL(req authorizeRequest, code string) string {
	u := *req.redirect
	added := "state=" + url.QueryEscape(req.state)
	if code != "" {
		added = "code=" + code + "&" + added
	}
	if u.RawQuery != "" {
		added = u.RawQuery + "&" + added
	}
	u.RawQuery = added
	return u.String()
}

// redirect sends the browser away with 302; after a form with 303, so that it is a GET in any case.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	status := http.StatusFound
	if r.Method == http.MethodPost {
		status = http.StatusSeeOther
	}
	w.Header().Set("Location", to)
	w.WriteHeader(status)
}

// showVisits answers with a page whose script visits the callback twice (observed, wechat-protocol §1.6). The
// addresses stand in the page as links, in order, for programs that run no script.
//
// For the first visit to carry the site's SameSite=Lax cookies the page must be of the site's own site. A browser
// takes two ports of one loopback host for one site, so where the site is on 127.0.0.1 and this page on localhost (or
// the reverse) the script first moves over to the site's host name on the simulator's port. For other hosts the first
// visit comes without those cookies.
func (s *Server) showVisits(w http.ResponseWriter, r *http.Request, mode string, callbacks []string) {
	ticket := rand.Text()
	s.visits.put(ticket, append([]string{mode}, callbacks...), s.now())
	page := visitsPage{Mode: mode, Callbacks: callbacks}
	if host := siteHost(r, callbacks[0]); host != "" {
		page.Hop = "http://" + host + "/connect/oauth2/return?ticket=" + ticket
	}
	s.pages.show(w, "visits.html", page)
}

// handleReturn is the page of showVisits under the site's host name.
func (s *Server) handleReturn(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	visit, ok := s.visits.get(r.URL.Query().Get("ticket"))
	if !ok {
		s.showError(w, pageError{text: "页面已过期，请重新打开"})
		return
	}
	s.pages.show(w, "visits.html", visitsPage{Mode: visit[0], Callbacks: visit[1:]})
}

// siteHost is the callback's host name with the port this request came to, if both are plain-http loopback names of
// the same machine and differ; else "".
func siteHost(r *http.Request, callback string) string {
	u, err := url.Parse(callback)
	here, port, splitErr := net.SplitHostPort(r.Host)
	if err != nil || splitErr != nil || r.TLS != nil || u.Scheme != "http" {
		return ""
	}
	names := []string{"localhost", "127.0.0.1"}
	there := strings.ToLower(u.Hostname())
	if !slices.Contains(names, here) || !slices.Contains(names, there) || here == there {
		return ""
	}
	return net.JoinHostPort(there, port)
}
