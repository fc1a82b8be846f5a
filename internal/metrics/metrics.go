// Package metrics counts what the bridge does, for Prometheus. It knows nothing of the bridge: whoever wires it tells it what
// happened, or where to read a number when it is asked for.
//
// Every label has few values. Nothing here takes a fan, a path as it was asked for, or text of somebody else's.
package metrics

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is a registry of its own. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	requests       *prometheus.CounterVec
	requestSeconds *prometheus.HistogramVec
	logins         *prometheus.CounterVec
	limited        prometheus.Counter

	upstream        *prometheus.CounterVec
	upstreamSeconds *prometheus.HistogramVec

	commitSeconds    prometheus.Histogram
	commitOperations prometheus.Histogram
	commitFailures   prometheus.Counter

	webhooks       *prometheus.CounterVec
	webhookSeconds *prometheus.HistogramVec
}

// New makes the metrics of a program of that version.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "wxbridge_http_requests_total",
			Help: "Requests answered, by route and class of status."}, []string{"route", "status"}),
		requestSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "wxbridge_http_request_duration_seconds",
			Help:    "Time to answer a request.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1, 5}}, []string{"route"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "wxbridge_logins_total",
			Help: "Attempts to log in, by provider and how they ended."}, []string{"provider", "outcome"}),
		limited: prometheus.NewCounter(prometheus.CounterOpts{Name: "wxbridge_rate_limited_total",
			Help: "Requests refused because their client address asked too often."}),
		upstream: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "wxbridge_upstream_requests_total",
			Help: "Requests to WeChat, by path and errcode; 0 is success, none is no usable answer."}, []string{"path", "errcode"}),
		upstreamSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "wxbridge_upstream_request_duration_seconds",
			Help:    "Time until WeChat had answered.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}}, []string{"path"}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "wxbridge_store_commit_duration_seconds",
			Help:    "Time of a commit that wrote, until it was on disk.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1, 5}}),
		commitOperations: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "wxbridge_store_commit_operations",
			Help:    "Operations that one commit served.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}}),
		commitFailures: prometheus.NewCounter(prometheus.CounterOpts{Name: "wxbridge_store_commit_failures_total",
			Help: "Commits that failed; nothing of them was written."}),
		webhooks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "wxbridge_webhook_attempts_total",
			Help: "Attempts to deliver an event, by endpoint and what became of them."}, []string{"endpoint", "outcome"}),
		webhookSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "wxbridge_webhook_attempt_duration_seconds",
			Help:    "Time until an endpoint had answered, or had not.",
			Buckets: []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 15}}, []string{"endpoint"}),
	}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "wxbridge_build_info", Help: "Always 1.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()}}, func() float64 { return 1 })
	m.registry.MustRegister(m.requests, m.requestSeconds, m.logins, m.limited, m.upstream, m.upstreamSeconds,
		m.commitSeconds, m.commitOperations, m.commitFailures, m.webhooks, m.webhookSeconds, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// scrapes bounds how many readers are served at a time.
const scrapes = 4

// Handler answers GET /metrics, and nothing else.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapes,
		DisableCompression:  true, // an answer is small, a compressor is not
	}))
	return mux
}

// Route gives the function that hears of each request that a route has answered. Its counters are looked up here, once.
func (m *Metrics) Route(pattern string) func(status int, took time.Duration) {
	var classes [6]prometheus.Counter
	for class := 2; class < len(classes); class++ {
		classes[class] = m.requests.WithLabelValues(pattern, strconv.Itoa(class)+"xx")
	}
	seconds := m.requestSeconds.WithLabelValues(pattern)
	return func(status int, took time.Duration) {
		classes[min(max(status/100, 2), 5)].Inc()
		seconds.Observe(took.Seconds())
	}
}

// Login counts an attempt to log in that ended.
func (m *Metrics) Login(provider, outcome string) { m.logins.WithLabelValues(provider, outcome).Inc() }

// RateLimited counts a request that was refused for its client's rate.
func (m *Metrics) RateLimited() { m.limited.Inc() }

// Upstream counts a request to WeChat. errcode is "0" for success, and one of few values.
func (m *Metrics) Upstream(path, errcode string, took time.Duration) {
	m.upstream.WithLabelValues(path, errcode).Inc()
	m.upstreamSeconds.WithLabelValues(path).Observe(took.Seconds())
}

// Commit counts an attempt of the store to write.
func (m *Metrics) Commit(operations int, took time.Duration, failed bool) {
	if failed {
		m.commitFailures.Inc()
		return
	}
	m.commitSeconds.Observe(took.Seconds())
	m.commitOperations.Observe(float64(operations))
}

// RateLimitAddresses tells how many addresses the rate limiter knows.
func (m *Metrics) RateLimitAddresses(count func() int) {
	m.gauge("wxbridge_rate_limit_addresses", "Client addresses whose rate is counted.", func() float64 { return float64(count()) })
}

// Revocations tells how many revocations are in force, and how long ago they were last known to be complete.
func (m *Metrics) Revocations(count func() int, age func() time.Duration) {
	m.gauge("wxbridge_revocations", "Revocations in force.", func() float64 { return float64(count()) })
	m.gauge("wxbridge_revocations_age_seconds", "Time since the revocations were last known to be those of the store.",
		func() float64 { return age().Seconds() })
}

func (m *Metrics) gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// TokenCache tells how the memory of verified tokens does: hits and misses since the start, entries and bytes now.
func (m *Metrics) TokenCache(read func() (hits, misses uint64, entries, bytes int)) {
	m.registry.MustRegister(&tokenCache{read: read,
		lookups: prometheus.NewDesc("wxbridge_token_cache_lookups_total", "Good tokens looked up in the memory of verified ones.", []string{"result"}, nil),
		entries: prometheus.NewDesc("wxbridge_token_cache_entries", "Tokens in the memory of verified ones.", nil, nil),
		bytes:   prometheus.NewDesc("wxbridge_token_cache_bytes", "Size of the memory of verified tokens.", nil, nil)})
}

// tokenCache reads its four numbers together.
type tokenCache struct {
	read                    func() (hits, misses uint64, entries, bytes int)
	lookups, entries, bytes *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (t *tokenCache) Describe(out chan<- *prometheus.Desc) {
	out <- t.lookups
	out <- t.entries
	out <- t.bytes
}

// Collect implements prometheus.Collector.
func (t *tokenCache) Collect(out chan<- prometheus.Metric) {
	hits, misses, entries, bytes := t.read()
	out <- prometheus.MustNewConstMetric(t.lookups, prometheus.CounterValue, float64(hits), "hit")
	out <- prometheus.MustNewConstMetric(t.lookups, prometheus.CounterValue, float64(misses), "miss")
	out <- prometheus.MustNewConstMetric(t.entries, prometheus.GaugeValue, float64(entries))
	out <- prometheus.MustNewConstMetric(t.bytes, prometheus.GaugeValue, float64(bytes))
}
