package cli

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/internal/config"
	"wxbridge/internal/metrics"
	"wxbridge/internal/webhooks"
	"wxbridge/wechat"
)

// meters connects what happens in the bridge to its metrics. Without a listener for them there are none, and every function
// it gives is nil.
type meters struct{ *metrics.Metrics }

func newMeters(cfg config.Config) meters {
	if cfg.MetricsListen == "" {
		return meters{}
	}
	return meters{metrics.New(moduleVersion())}
}

func (m meters) on() bool { return m.Metrics != nil }

// store gives the options that let the store tell of its commits.
func (m meters) store() []db.Option {
	if !m.on() {
		return nil
	}
	return []db.Option{db.ObserveCommits(func(c db.Commit) { m.Commit(c.Operations, c.Took, c.Err != nil) })}
}

// upstream hears of each request to WeChat.
func (m meters) upstream() func(wechat.Call) {
	if !m.on() {
		return nil
	}
	return func(c wechat.Call) { m.Upstream(c.Path, errcodeOf(c), c.Took) }
}

// errcodeOf is the label of an answer. Codes that nobody has described are one value, since WeChat may send any number.
func errcodeOf(c wechat.Call) string {
	switch {
	case c.Err == nil:
		return "0"
	case c.Err.Code == 0:
		return "none"
	}
	if _, _, known := c.Err.Explain(); !known {
		return "other"
	}
	return strconv.Itoa(c.Err.Code)
}

// requests hears of requests and logins.
func (m meters) requests() handlers.Observer {
	if !m.on() {
		return handlers.Observer{}
	}
	return handlers.Observer{Route: m.Route, Login: m.Login, RateLimited: m.RateLimited}
}

// webhooks hears of attempts to deliver events.
func (m meters) webhooks() func(webhooks.Result) {
	if !m.on() {
		return nil
	}
	return func(r webhooks.Result) { m.WebhookAttempt(r.Endpoint, string(r.Outcome), r.Took) }
}

// watch reads the numbers that are asked for when somebody looks.
func (m meters) watch(hc handlers.Config, revocationsAge func() time.Duration) {
	if !m.on() {
		return
	}
	if hc.RateLimit != nil {
		m.RateLimitAddresses(hc.RateLimit.Len)
	}
	m.TokenCache(func() (hits, misses uint64, entries, bytes int) {
		c := hc.Verifier.CacheStats()
		return c.Hits, c.Misses, c.Entries, c.Bytes
	})
	m.Revocations(hc.Revocations.Len, revocationsAge)
}

// metricsSite opens the listener for metrics, if there is to be one. Anybody who reaches it can read them.
func (a *app) metricsSite(ctx context.Context, cfg config.Config) ([]site, error) {
	if !a.meters.on() {
		return nil, nil
	}
	listener, err := listen(ctx, cfg.MetricsListen, config.Prefix+"METRICS_LISTEN")
	if err != nil {
		return nil, err
	}
	if host, _, err := net.SplitHostPort(cfg.MetricsListen); err == nil && !isLoopback(host) {
		a.logger.Warn("metrics are served beyond this machine; whoever reaches the address reads them", "listen", listener.Addr().String())
	}
	a.logger.Info("serving metrics", slog.String("listen", listener.Addr().String()))
	return []site{{listener: listener, server: newHTTPServer(a.meters.Handler(), a.logger)}}, nil
}
