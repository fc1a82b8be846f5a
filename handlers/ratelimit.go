package handlers

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/gin-gonic/gin"
)

// limitRate is the middleware of routes on which a client may only ask so often: those that start or end a login or take
// credentials (SRV-04). Forward-auth, message callbacks, keys, health and static files never have it.
func (s *Server) limitRate(c *gin.Context) {
	if s.cfg.RateLimit == nil {
		return
	}
	client, err := netip.ParseAddr(s.clientOf(c))
	if err != nil {
		client = netip.Addr{}
	}
	decision := s.cfg.RateLimit.Allow(client)
	if decision.OK {
		return
	}
	if s.cfg.Observe.RateLimited != nil {
		s.cfg.Observe.RateLimited()
	}
	if decision.Report {
		recordOf(c).noteEvent("rate_limited", slog.LevelWarn, slog.Int("refused", decision.Refused))
		if c.GetHeader("X-Forwarded-For") != "" && !s.fromTrustedProxy(c.Request) {
			recordOf(c).note(slog.String("fix", "If this client is a proxy of yours, name it in WXBRIDGE_TRUSTED_PROXIES: until then all its clients count as one."))
		}
	}
	s.fail(c, tooOften(decision.RetryAfter))
	c.Abort()
}

func tooOften(wait time.Duration) *apiError {
	return &apiError{status: http.StatusTooManyRequests, code: "rate_limited", retryAfter: seconds(wait + time.Second - 1),
		description: "Too many requests from this address. Try again in a moment."}
}
