package metrics_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/internal/metrics"
)

func scrape(t testing.TB, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatal(w.Code, err)
	}
	return string(body)
}

func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
}

func TestWhatHappensIsCounted(t *testing.T) {
	m := metrics.New("v1.2.3")
	verify := m.Route("/auth/verify")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 1000 {
				verify(200, 200*time.Microsecond)
			}
		})
	}
	group.Wait()
	verify(401, time.Millisecond)
	verify(0, time.Second) // what no handler answers
	m.Login("mini_program", "ok")
	m.RateLimited()
	m.Upstream("/sns/userinfo", "48001", 30*time.Millisecond)
	m.Commit(3, 2*time.Millisecond, false)
	m.Commit(5, time.Second, true)
	m.WebhookAttempt("shop", "retried", 300*time.Millisecond)
	wantLines(t, scrape(t, m),
		`wxbridge_http_requests_total{route="/auth/verify",status="2xx"} 8001`,
		`wxbridge_http_requests_total{route="/auth/verify",status="4xx"} 1`,
		`wxbridge_http_requests_total{route="/auth/verify",status="5xx"} 0`,
		`wxbridge_http_request_duration_seconds_bucket{route="/auth/verify",le="0.0001"} 0`,
		`wxbridge_http_request_duration_seconds_bucket{route="/auth/verify",le="0.00025"} 8000`,
		`wxbridge_http_request_duration_seconds_count{route="/auth/verify"} 8002`,
		`wxbridge_logins_total{outcome="ok",provider="mini_program"} 1`,
		`wxbridge_rate_limited_total 1`,
		`wxbridge_upstream_requests_total{errcode="48001",path="/sns/userinfo"} 1`,
		`wxbridge_upstream_request_duration_seconds_bucket{path="/sns/userinfo",le="0.05"} 1`,
		`wxbridge_store_commit_operations_sum 3`,
		`wxbridge_store_commit_operations_count 1`,
		`wxbridge_store_commit_duration_seconds_count 1`,
		`wxbridge_store_commit_failures_total 1`,
		`wxbridge_webhook_attempts_total{endpoint="shop",outcome="retried"} 1`,
		`wxbridge_webhook_attempt_duration_seconds_bucket{endpoint="shop",le="0.5"} 1`,
	)
}

func TestNumbersAreReadWhenSomebodyLooks(t *testing.T) {
	m := metrics.New("v1.2.3")
	looks := uint64(0)
	m.TokenCache(func() (hits, misses uint64, entries, bytes int) {
		looks++
		return 10 * looks, looks, 7, 4096
	})
	m.Revocations(func() int { return 12 }, func() time.Duration { return 1500 * time.Millisecond })
	m.RateLimitAddresses(func() int { return 3 })
	m.WebhookQueue(func(each func(string, int, int, time.Duration)) {
		each("shop", 7, 2, 90*time.Second)
		each("crm", 0, 0, 0)
	})
	scrape(t, m)
	wantLines(t, scrape(t, m),
		`wxbridge_token_cache_lookups_total{result="hit"} 20`,
		`wxbridge_token_cache_lookups_total{result="miss"} 2`,
		`wxbridge_token_cache_entries 7`,
		`wxbridge_token_cache_bytes 4096`,
		`wxbridge_revocations 12`,
		`wxbridge_revocations_age_seconds 1.5`,
		`wxbridge_rate_limit_addresses 3`,
		`wxbridge_webhook_queue_events{endpoint="shop"} 7`,
		`wxbridge_webhook_failed_events{endpoint="shop"} 2`,
		`wxbridge_webhook_queue_oldest_seconds{endpoint="shop"} 90`,
		`wxbridge_webhook_queue_oldest_seconds{endpoint="crm"} 0`,
	)
}

// Two sets of metrics in one process do not meet: there is no registry that all share.
func TestTwoSetsDoNotMeet(t *testing.T) {
	a, b := metrics.New("a"), metrics.New("b")
	a.RateLimited()
	wantLines(t, scrape(t, a), `wxbridge_rate_limited_total 1`)
	wantLines(t, scrape(t, b), `wxbridge_rate_limited_total 0`)
}

// Names and help texts are as Prometheus' own linter wants them.
func TestNamesFollowTheConventions(t *testing.T) {
	m := metrics.New("v1.2.3")
	m.TokenCache(func() (uint64, uint64, int, int) { return 1, 1, 1, 1 })
	m.Revocations(func() int { return 1 }, func() time.Duration { return time.Second })
	m.RateLimitAddresses(func() int { return 1 })
	m.Login("a", "b")
	m.Upstream("/a", "0", time.Second)
	m.Route("/")(200, time.Second)
	m.WebhookAttempt("shop", "retried", time.Second)
	m.WebhookQueue(func(each func(string, int, int, time.Duration)) { each("shop", 1, 1, time.Second) })
	problems, err := metrics.Lint(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
}

func BenchmarkRoute(b *testing.B) {
	observe := metrics.New("v1.2.3").Route("/auth/verify")
	b.ReportAllocs()
	for b.Loop() {
		observe(200, 50*time.Microsecond)
	}
}
