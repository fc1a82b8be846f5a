package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// WebhookAttempt counts an attempt to deliver an event to an endpoint, and how it ended.
func (m *Metrics) WebhookAttempt(endpoint, outcome string, took time.Duration) {
	m.webhooks.WithLabelValues(endpoint, outcome).Inc()
	m.webhookSeconds.WithLabelValues(endpoint).Observe(took.Seconds())
}

// WebhookQueue tells how much waits for each endpoint, how much was given up, and how old the oldest that waits is. read
// calls each for every endpoint.
func (m *Metrics) WebhookQueue(read func(each func(endpoint string, pending, failed int, oldest time.Duration))) {
	label := []string{"endpoint"}
	m.registry.MustRegister(&webhookQueue{read: read,
		pending: prometheus.NewDesc("wxbridge_webhook_queue_events", "Events that wait for an endpoint.", label, nil),
		failed:  prometheus.NewDesc("wxbridge_webhook_failed_events", "Events that were given up and can be retried.", label, nil),
		oldest:  prometheus.NewDesc("wxbridge_webhook_queue_oldest_seconds", "Age of the oldest event that waits; 0 if none does.", label, nil)})
}

// webhookQueue reads the numbers of all endpoints together.
type webhookQueue struct {
	read                    func(each func(endpoint string, pending, failed int, oldest time.Duration))
	pending, failed, oldest *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (q *webhookQueue) Describe(out chan<- *prometheus.Desc) {
	out <- q.pending
	out <- q.failed
	out <- q.oldest
}

// Collect implements prometheus.Collector.
func (q *webhookQueue) Collect(out chan<- prometheus.Metric) {
	q.read(func(endpoint string, pending, failed int, oldest time.Duration) {
		out <- prometheus.MustNewConstMetric(q.pending, prometheus.GaugeValue, float64(pending), endpoint)
		out <- prometheus.MustNewConstMetric(q.failed, prometheus.GaugeValue, float64(failed), endpoint)
		out <- prometheus.MustNewConstMetric(q.oldest, prometheus.GaugeValue, oldest.Seconds(), endpoint)
	})
}
