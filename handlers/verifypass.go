package handlers

import (
	"log/slog"
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
	claims, source, known := s.cfg.Verifier.Recall(r, start, s.cookies.token)
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
func (s *Server) notePass(r *http.Request, provider string, start time.Time) {
	end := s.cfg.Now()
	took := end.Sub(start)
	if observe := s.observers[verifyRoute]; observe != nil {
		observe(http.StatusOK, took)
	}
	if !s.passLog.Enabled(r.Context(), slog.LevelInfo) {
		return
	}
	line := slog.NewRecord(end, slog.LevelInfo, requestLine, 0)
	line.AddAttrs(slog.String("request_id", s.idFor(r)), slog.Int64("duration_us", took.Microseconds()),
		slog.String("client", s.clientAddress(r)), slog.String("provider", provider))
	_ = s.passLog.Handle(r.Context(), line)
}

// passAttrs are what the log lines of all passes have in common, so that they are encoded once.
func passAttrs() []slog.Attr {
	return []slog.Attr{slog.String("method", http.MethodGet), slog.String("route", verifyRoute), slog.Int("status", http.StatusOK)}
}
