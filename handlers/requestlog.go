package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// Observer hears what happens, for metrics. Functions that are nil hear nothing; the others are called from many goroutines.
type Observer struct {
	// Route is asked once for every route, and "none"; what it gives hears of each request that ends there.
	Route func(pattern string) func(status int, took time.Duration)

	// Login hears how an attempt to log in ended: "ok", "register" (a stranger is asked for a profile), "snapshot", "refused",
	// "blocked", "not_member", "barred", "state_mismatch", "code_refused", "code_reused", or the error code of the answer.
	Login func(provider, outcome string)

	// RateLimited hears of each request that is refused for its client's rate.
	RateLimited func()
}

// record is what is known of one request while it is answered, and what its line in the log will say. Only the request's own
// goroutine touches it.
//
// It takes the place of gin's ResponseWriter, which passes through it: so it is at hand wherever the request is, for one
// allocation.
type record struct {
	gin.ResponseWriter

	start   time.Time
	id      string
	headers [1]string // the id again, as a header's values

	client string // "" until asked for

	provider string
	event    string // the security event that this request is (LOG-03)
	login    string // how an attempt to log in ended
	level    slog.Level
	attrs    []slog.Attr
	line     [8]slog.Attr // room for what every line says
}

// Unwrap lets http.ResponseController reach the connection.
func (r *record) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func recordOf(c *gin.Context) *record { return c.Writer.(*record) }

type recordInContext struct{}

// recordFrom finds the record of the request that a detached context is for.
func recordFrom(ctx context.Context) *record { return ctx.Value(recordInContext{}).(*record) }

// note adds attributes to the request's line in the log.
func (r *record) note(attrs ...slog.Attr) { r.attrs = append(r.attrs, attrs...) }

// noteEvent names the security event that the request is. The first name stays: later ones are what follows from it.
func (r *record) noteEvent(name string, level slog.Level, attrs ...slog.Attr) {
	if r.event == "" {
		r.event = name
	}
	r.level = max(r.level, level)
	r.note(attrs...)
}

// noteLogin says how an attempt to log in ended. The first outcome stays.
func (r *record) noteLogin(outcome string) {
	if r.login == "" {
		r.login = outcome
	}
}

// accessLog writes one line a request: the route, never the path or the query, which may hold a code.
func (s *Server) accessLog(c *gin.Context) {
	r := recordOf(c)
	c.Next()
	end := s.cfg.Now()
	route, status := routeOf(c), c.Writer.Status()
	if observe := s.observers[route]; observe != nil {
		observe(status, end.Sub(r.start))
	}
	if r.login != "" && s.cfg.Observe.Login != nil {
		s.cfg.Observe.Login(r.provider, r.login)
	}
	ctx, handler := c.Request.Context(), s.cfg.Logger.Handler()
	if !handler.Enabled(ctx, r.level) {
		return
	}
	line := slog.NewRecord(end, r.level, requestLine, 0) // not LogAttrs, which would look up its caller
	attrs := append(r.line[:0],
		slog.String("request_id", r.id),
		slog.String("method", loggable(c.Request.Method)),
		slog.String("route", route),
		slog.Int("status", status),
		slog.Int64("duration_us", end.Sub(r.start).Microseconds()),
		slog.String("client", s.clientOf(c)))
	if r.provider != "" {
		attrs = append(attrs, slog.String("provider", r.provider))
	}
	if r.event != "" {
		attrs = append(attrs, slog.String("event", r.event))
	}
	line.AddAttrs(slog.Attr{Value: slog.GroupValue(attrs...)}) // a group without a name: its members stand in the line itself
	line.AddAttrs(r.attrs...)
	_ = handler.Handle(ctx, line) // a log that cannot be written is no reason to fail a request
}

// routeOf is the pattern that matched, so that a hostile path cannot write into the log.
func routeOf(c *gin.Context) string {
	if route := c.FullPath(); route != "" {
		return route
	}
	return noRoute
}

const noRoute = "none"

// requestLine is the message of the one line a request has.
const requestLine = "request"

func loggable(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// clientOf is the address of the request's client, looked up once.
func (s *Server) clientOf(c *gin.Context) string {
	r := recordOf(c)
	if r.client == "" {
		r.client = s.clientAddress(c.Request)
	}
	return r.client
}

// clientAddress is the peer's address or, where the peer is a trusted proxy, the last one in X-Forwarded-For that is no
// trusted proxy's (SRV-03).
func (s *Server) clientAddress(r *http.Request) string {
	client := peerOf(r)
	if !s.fromTrustedProxy(r) {
		return client
	}
	for _, line := range slices.Backward(r.Header["X-Forwarded-For"]) {
		for line != "" {
			last := strings.LastIndexByte(line, ',')
			text := strings.TrimSpace(line[last+1:])
			line = line[:max(last, 0)]
			addr, err := netip.ParseAddr(text)
			if err != nil || addr.Zone() != "" {
				return peerOf(r)
			}
			client = text
			if !s.trusts(addr) {
				return client
			}
		}
	}
	return client
}

// peerOf is the address of the other end of the connection, without a copy, or "".
func peerOf(r *http.Request) string {
	end := strings.LastIndexByte(r.RemoteAddr, ':')
	if end < 0 {
		return ""
	}
	host := r.RemoteAddr[:end]
	if len(host) > 2 && host[0] == '[' && host[end-1] == ']' {
		host = host[1 : end-1]
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return ""
	}
	return host
}

// observeRoutes asks for the observers of all routes, once they are known.
func (s *Server) observeRoutes() {
	s.observers = map[string]func(int, time.Duration){}
	if s.cfg.Observe.Route == nil {
		return
	}
	s.observers[noRoute] = s.cfg.Observe.Route(noRoute)
	for _, route := range s.engine.Routes() {
		if s.observers[route.Path] == nil {
			s.observers[route.Path] = s.cfg.Observe.Route(route.Path)
		}
	}
}
