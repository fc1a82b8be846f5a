package handlers

import (
	"net/http"
	"time"

	"wxbridge/jwtauth"
)

// passKnown is the short cut of /auth/verify for what nearly every request there is: a GET with a token that was good before
// and is good now, with nothing to renew. It does what the route does, without a router's and middleware's share of the work.
// It answers whatever it takes on; all else, every refusal among it, it leaves to the route, untouched.
func (s *Server) passKnown(w http.ResponseWriter, r *http.Request) (passed bool) {
	if r.Method != http.MethodGet {
		return false
	}
	defer func() {
		if !passed && recover() != nil { // the route will meet the same, and answers 500
			passed = false
		}
	}()
	need, err := parseVerifyQuery(r.URL.RawQuery)
	if err != nil {
		return false
	}
	start := s.cfg.Now()
	claims, source, known := s.cfg.Verifier.Recall(r, s.cookies.token)
	if !known || !need.met(claims) {
		return false
	}
	var cookies cookieState
	if source == jwtauth.SourceCookie {
		if cookies = s.cookieState(r, claims, start); cookies.renewAccess || cookies.renewID {
			return false
		}
	}
	header := w.Header()
	if setIdentity(header, claims, cookies.name) != nil {
		return false
	}
	header["Cache-Control"] = noStore
	passed = true
	w.WriteHeader(http.StatusOK)
	s.notePass(r, claims.Provider, start)
	return passed
}

// notePass does for a pass what accessLog does for a request.
func (s *Server) notePass(q *http.Request, provider string, start time.Time) {
	end := s.cfg.Now()
	if observe := s.observers[verifyRoute]; observe != nil {
		observe(http.StatusOK, end.Sub(start))
	}
	r, _ := s.passes.Get().(*record)
	if r == nil {
		r = &record{}
	}
	r.start, r.id, r.client, r.provider = start, s.idFor(q), s.clientAddress(q), provider
	s.writeLine(q, r, verifyRoute, http.StatusOK, end)
	s.passes.Put(r)
}
