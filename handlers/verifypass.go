package handlers

import (
	"bytes"
	"log/slog"
	"net/http"
	"time"

	"wxbridge/jwtauth"
)

// pass is what nearly every request to /auth/verify ends with: its token is good, and there is nothing to renew.
type pass struct {
	start    time.Time
	provider string
	identity [identityValues]string
}

// findPass finds out whether a request passes, without a router's and middleware's share of the work. It leaves all else to the
// route: every refusal, for which the signature is not checked again, and every panic, which the route will meet as well.
func (s *Server) findPass(r *http.Request) (p pass, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	if r.Method != http.MethodGet || r.URL.Path != verifyRoute {
		return p, false
	}
	need, err := parseVerifyQuery(r.URL.RawQuery)
	if err != nil {
		return p, false
	}
	p.start = s.cfg.Now()
	claims, source, err := s.cfg.Verifier.VerifyRequest(r, s.cookies.token)
	if err != nil || !need.met(claims) {
		return p, false
	}
	var cookies cookieState
	if source == jwtauth.SourceCookie {
		if cookies = s.cookieState(r, claims, p.start); cookies.renewAccess || cookies.renewID {
			return p, false
		}
	}
	p.provider = claims.Provider
	p.identity, err = identityOf(claims, cookies.name)
	return p, err == nil
}

// passQuickly answers a request that passes, and no other.
func (s *Server) passQuickly(w http.ResponseWriter, r *http.Request) bool {
	p, ok := s.findPass(r)
	if !ok {
		return false
	}
	header := w.Header()
	header["Cache-Control"] = noStore
	setIdentity(header, &p.identity)
	w.WriteHeader(http.StatusOK)
	s.notePass(r, p)
	return true
}

// ForwardAuth answers requests that pass before an HTTP server sees them. It is a shortcut for package lazyconn.
type ForwardAuth struct{ server *Server }

// ForwardAuth is what answers /auth/verify of this server.
func (s *Server) ForwardAuth() ForwardAuth { return ForwardAuth{s} }

// Knows reports whether the bytes that begin an HTTP/1 request ask for /auth/verify. Its answer waits for nothing but, where a
// session is renewed, the store, and that for a moment only.
func (ForwardAuth) Knows(head []byte) bool {
	rest, ok := bytes.CutPrefix(head, []byte(http.MethodGet+" "+verifyRoute))
	return ok && len(rest) > 0 && (rest[0] == ' ' || rest[0] == '?')
}

// Answer appends the response to a request that passes. false: the server has to answer.
func (f ForwardAuth) Answer(response []byte, r *http.Request) ([]byte, bool) {
	p, ok := f.server.findPass(r)
	if !ok {
		return response, false
	}
	response = append(response, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n"...)
	for i, value := range p.identity {
		response = append(response, identityHeaders[i]...)
		response = append(response, ": "...)
		response = append(response, value...)
		response = append(response, "\r\n"...)
	}
	response = append(response, "Date: "...)
	response = p.start.UTC().AppendFormat(response, http.TimeFormat)
	response = append(response, "\r\nContent-Length: 0\r\n\r\n"...)
	f.server.notePass(r, p)
	return response, true
}

// notePass does for a pass what accessLog does for a request.
func (s *Server) notePass(r *http.Request, p pass) {
	end := s.cfg.Now()
	took := end.Sub(p.start)
	if observe := s.observers[verifyRoute]; observe != nil {
		observe(http.StatusOK, took)
	}
	if !s.passLog.Enabled(r.Context(), slog.LevelInfo) {
		return
	}
	line := slog.NewRecord(end, slog.LevelInfo, requestLine, 0)
	line.AddAttrs(slog.String("request_id", s.idFor(r)), slog.Int64("duration_us", took.Microseconds()),
		slog.String("client", s.clientAddress(r)), slog.String("provider", p.provider))
	_ = s.passLog.Handle(r.Context(), line)
}

// passAttrs are what the log lines of all passes have in common, so that they are encoded once.
func passAttrs() []slog.Attr {
	return []slog.Attr{slog.String("method", http.MethodGet), slog.String("route", verifyRoute), slog.Int("status", http.StatusOK)}
}
