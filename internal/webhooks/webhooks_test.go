package webhooks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"wxbridge/internal/webhooks"
)

// memoryQueue keeps deliveries of one endpoint, without order, as long as the test lives.
type memoryQueue struct {
	now func() time.Time

	mu       sync.Mutex
	pending  map[string]*pending
	done     []string
	given    map[string]string // problems of those given up
	disabled bool
	resting  time.Time
	arrived  chan struct{}
}

type pending struct {
	webhooks.Delivery
	due     time.Time
	problem string
}

func newQueue(now func() time.Time, events ...webhooks.Delivery) *memoryQueue {
	q := &memoryQueue{now: now, pending: map[string]*pending{}, given: map[string]string{}, arrived: make(chan struct{}, 1)}
	for _, e := range events {
		e.Receipt = e.ID
		q.pending[e.ID] = &pending{Delivery: e, due: now()}
	}
	return q
}

func (q *memoryQueue) locked() func() { q.mu.Lock(); return q.mu.Unlock }

func (q *memoryQueue) Arrived() <-chan struct{}            { return q.arrived }
func (q *memoryQueue) FanOut(context.Context) (int, error) { return 0, nil }

func (q *memoryQueue) NextDue(context.Context, string) (next time.Time, _ error) {
	defer q.locked()()
	for _, p := range q.pending {
		if !q.disabled && (next.IsZero() || p.due.Before(next)) {
			next = p.due
		}
	}
	return next, nil
}

func (q *memoryQueue) Claim(_ context.Context, _ string, limit int, lease time.Duration) (claimed []webhooks.Delivery, _ error) {
	defer q.locked()()
	for _, p := range q.pending {
		if !q.disabled && !p.due.After(q.now()) && len(claimed) < limit {
			p.due = q.now().Add(lease)
			claimed = append(claimed, p.Delivery)
		}
	}
	return claimed, nil
}

func (q *memoryQueue) ClaimReply(_ context.Context, id, _ string, lease time.Duration) (webhooks.Delivery, error) {
	defer q.locked()()
	p := q.pending[id]
	if p == nil {
		return webhooks.Delivery{}, webhooks.ErrSettled
	}
	p.due = q.now().Add(lease)
	return p.Delivery, nil
}

func (q *memoryQueue) Delivered(_ context.Context, receipt any) error {
	defer q.locked()()
	delete(q.pending, receipt.(string))
	q.done = append(q.done, receipt.(string))
	return nil
}

func (q *memoryQueue) Postpone(_ context.Context, receipt any, until time.Time, problem string) error {
	defer q.locked()()
	p := q.pending[receipt.(string)]
	p.due, p.problem, p.Attempts = until, problem, p.Attempts+1
	return nil
}

func (q *memoryQueue) GiveUp(_ context.Context, receipt any, problem string) error {
	defer q.locked()()
	delete(q.pending, receipt.(string))
	q.given[receipt.(string)] = problem
	return nil
}

func (q *memoryQueue) Hasten(context.Context, string) (int, error) { return 0, nil }

func (q *memoryQueue) Rest(_ context.Context, _ string, until time.Time) error {
	defer q.locked()()
	q.resting = until
	return nil
}

func (q *memoryQueue) Resting(context.Context, string) (time.Time, error) {
	defer q.locked()()
	return q.resting, nil
}

func (q *memoryQueue) Disable(context.Context, string) error {
	defer q.locked()()
	q.disabled = true
	return nil
}

func (q *memoryQueue) state(id string) (attempts int, wait time.Duration, problem string) {
	defer q.locked()()
	p := q.pending[id]
	if p == nil {
		return 0, 0, q.given[id]
	}
	return p.Attempts, p.due.Sub(q.now()), p.problem
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func event(id string) webhooks.Delivery {
	return webhooks.Delivery{ID: id, Type: "login", CreatedAt: noon, Data: json.RawMessage(`{"fan":{"id":"<f&1>"}}`)}
}

// stand is a dispatcher with one endpoint at a handler.
type stand struct {
	queue *memoryQueue
	log   bytes.Buffer
	c     webhooks.Config
	d     *webhooks.Dispatcher
}

func newStand(t *testing.T, handler http.Handler, now func() time.Time, change func(*webhooks.Config), events ...webhooks.Delivery) *stand {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	endpoints, _, err := webhooks.Parse(fmt.Appendf(nil, "endpoints:\n  - {name: shop, url: '%s/in?key=hidden', secret: %s, secret_previous: %s, events: [login, official_account.message], replier: true}\n",
		server.URL, secret("new"), secret("old")), known, noFiles)
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{queue: newQueue(now, events...)}
	policy := webhooks.DefaultPolicy()
	policy.Poll = 10 * time.Millisecond
	s.c = webhooks.Config{Queue: s.queue, Endpoints: endpoints, Logger: slog.New(slog.NewJSONHandler(&s.log, nil)),
		UserAgent: "wxbridge/test", Policy: policy, Now: now, Random: func() float64 { return 0.5 }}
	if change != nil {
		change(&s.c)
	}
	if s.d, err = webhooks.New(s.c); err != nil {
		t.Fatal(err)
	}
	return s
}

// run lets the dispatcher work until done says so.
func (s *stand) run(t *testing.T, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.d.Run(ctx)
	}()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Error("waited for 20 s")
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	cancel()
	<-ended
}

func still() time.Time { return noon }

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestTheReferenceLibraryTakesOurSignatures(t *testing.T) {
	type request struct {
		header http.Header
		body   []byte
	}
	got := make(chan request, 1)
	s := newStand(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- request{r.Header, body}
	}), time.Now, nil, event("evt_1"))
	s.run(t, func() bool { _, wait, _ := s.queue.state("evt_1"); return wait == 0 })
	r := <-got
	if want := `{"type":"login","timestamp":"2026-03-01T12:00:00Z","data":{"fan":{"id":"\u003cf\u00261\u003e"}}}`; string(r.body) != want {
		t.Errorf("body %s, want %s", r.body, want)
	}
	for _, label := range []string{"new", "old"} {
		verifier, err := standardwebhooks.NewWebhook(secret(label))
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.Verify(r.body, r.header); err != nil {
			t.Errorf("with the %s secret: %v", label, err)
		}
		if verifier.Verify(append(r.body, ' '), r.header) == nil {
			t.Error("another body passes")
		}
	}
	stranger, _ := standardwebhooks.NewWebhook(secret("stranger"))
	if stranger.Verify(r.body, r.header) == nil {
		t.Error("a stranger's secret passes")
	}
	if agent := r.header.Get("User-Agent"); agent != "wxbridge/test" {
		t.Errorf("user agent %s", agent)
	}
}

// What is not 2xx is tried again; the log and the queue say why, and never the URL's query.
func TestWhatIsNoSuccessIsTriedAgain(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		problem string
		wait    time.Duration // in the middle of its range
	}{
		"500": {status(500), "status 500", 5 * time.Second},
		"404": {status(404), "status 404", 5 * time.Second},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "status 307; redirects are not followed", 5 * time.Second},
		"hangs": {func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() }, "no answer in time", 5 * time.Second},
		"reset": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF", 5 * time.Second},
		"retry after seconds": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "77")
			w.WriteHeader(429)
		}, "status 429", 77 * time.Second},
		"retry after a date": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", noon.Add(90*time.Second).Format(http.TimeFormat))
			w.WriteHeader(503)
		}, "status 503", 90 * time.Second},
		"retry after years": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "999999999999")
			w.WriteHeader(503)
		}, "status 503", time.Hour},
		"retry after nonsense": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "soon")
			w.WriteHeader(503)
		}, "status 503", 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, row.handler, still, func(c *webhooks.Config) { c.Policy.Timeout = 300 * time.Millisecond }, event("evt_1"))
			s.run(t, func() bool { attempts, _, _ := s.queue.state("evt_1"); return attempts > 0 })
			attempts, wait, problem := s.queue.state("evt_1")
			if attempts != 1 || wait != row.wait || problem != row.problem {
				t.Errorf("%d attempts, %q, again in %v; want 1, %q, %v", attempts, problem, wait, row.problem, row.wait)
			}
			log := s.log.String()
			if !strings.Contains(log, `"event":"webhook.failed"`) || !strings.Contains(log, "evt_1") || strings.Contains(log, "hidden") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func TestAnEndpointThatIsNotThere(t *testing.T) {
	s := newStand(t, status(200), still, func(c *webhooks.Config) {
		closed := httptest.NewServer(nil)
		closed.Close()
		c.Endpoints[0].URL.Host = strings.TrimPrefix(closed.URL, "http://")
	}, event("evt_1"))
	s.run(t, func() bool { attempts, _, _ := s.queue.state("evt_1"); return attempts > 0 })
	if _, _, problem := s.queue.state("evt_1"); !strings.Contains(problem, "connection refused") || strings.Contains(problem, "hidden") {
		t.Errorf("problem %q", problem)
	}
}

func TestPausesGrowAndEndAfterThreeDays(t *testing.T) {
	policy := webhooks.DefaultPolicy()
	var last time.Duration
	for attempts := range 40 {
		for _, spread := range []float64{0, 0.999999} {
			e := event("evt_1")
			e.Attempts = attempts
			s := newStand(t, status(500), still, func(c *webhooks.Config) { c.Random = func() float64 { return spread } }, e)
			s.run(t, func() bool { n, _, _ := s.queue.state("evt_1"); return n > attempts })
			_, wait, _ := s.queue.state("evt_1")
			middle := policy.Pauses[min(attempts, len(policy.Pauses)-1)]
			if low, high := middle*4/5, middle*6/5; wait < low || wait > high || spread == 0 && wait != low {
				t.Errorf("after %d failures: %v, want %v to %v", attempts+1, wait, low, high)
			}
			if middle < last {
				t.Errorf("the pause after %d failures is shorter than the one before", attempts+1)
			}
			last = middle
		}
		if attempts > len(policy.Pauses) {
			break
		}
	}
	old := event("evt_1")
	old.CreatedAt = noon.Add(-72 * time.Hour)
	s := newStand(t, status(500), still, nil, old)
	s.run(t, func() bool { n, _, problem := s.queue.state("evt_1"); return n == 0 && problem != "" })
	if !strings.Contains(s.log.String(), `"event":"webhook.given_up"`) {
		t.Errorf("log: %s", s.log.String())
	}
}

func TestGoneDisables(t *testing.T) {
	s := newStand(t, status(http.StatusGone), still, nil, event("evt_1"))
	s.run(t, func() bool { attempts, _, _ := s.queue.state("evt_1"); return attempts > 0 })
	if !s.queue.disabled || !strings.Contains(s.log.String(), `"event":"webhook.disabled"`) {
		t.Errorf("disabled %v; log: %s", s.queue.disabled, s.log.String())
	}
}

// SRV-08: of an answer without end no more is read than a bound, and the status counts.
func TestAnAnswerWithoutEndIsCut(t *testing.T) {
	s := newStand(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(bytes.Repeat([]byte("x"), 64<<10)); err != nil {
				return
			}
		}
	}), still, nil, event("evt_1"))
	s.run(t, func() bool { defer s.queue.locked()(); return len(s.queue.done) == 1 })
}

// An endpoint that fails again and again is left alone but for one attempt at a time, so that events keep their attempts.
func TestAnEndpointThatIsDownGetsOneAttemptAtATime(t *testing.T) {
	var events []webhooks.Delivery
	for n := range 500 {
		events = append(events, event(fmt.Sprintf("evt_%d", n)))
	}
	var mu sync.Mutex
	requests, down := 0, true
	var at time.Time
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return noon.Add(time.Since(at))
	}
	at = time.Now()
	s := newStand(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		requests++
		if down {
			w.WriteHeader(503)
		}
	}), now, nil, events...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.d.Run(ctx) }()
	look := func() int { mu.Lock(); defer mu.Unlock(); return requests }
	deadline := time.Now().Add(20 * time.Second)
	for look() < 17 && time.Now().Before(deadline) { // a first probe
		time.Sleep(5 * time.Millisecond)
	}
	if n := look(); n > 16+4+1 { // those at once, those in place of the first four that failed, and a probe
		t.Errorf("%d requests to an endpoint that is down", n)
	}
	mu.Lock()
	down = false
	mu.Unlock()
	for len(s.delivered()) < 480 && time.Now().Before(deadline) { // those that have failed wait for their turn
		time.Sleep(5 * time.Millisecond)
	}
	if n := len(s.delivered()); n < 480 {
		t.Errorf("%d delivered after the endpoint was back", n)
	}
	cancel()
	<-ended
	for _, line := range []string{"webhook.endpoint_down", "webhook.endpoint_up"} {
		if strings.Count(s.log.String(), line) != 1 {
			t.Errorf("the log says %s %d times", line, strings.Count(s.log.String(), line))
		}
	}
}

func (s *stand) delivered() []string {
	defer s.queue.locked()()
	return append([]string{}, s.queue.done...)
}

// At the end an attempt under way is waited for, a little, and then put back.
func TestTheEndWaitsALittle(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for name, row := range map[string]struct {
		takes time.Duration
		done  bool
	}{"quick": {300 * time.Millisecond, true}, "slow": {time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			began := make(chan struct{})
			s := newStand(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body) // else the server does not see the client go
				close(began)
				select {
				case <-time.After(row.takes):
				case <-r.Context().Done():
				}
			}), still, func(c *webhooks.Config) { c.Policy.Drain = time.Second }, event("evt_1"))
			s.run(t, func() bool { <-began; return true })
			attempts, _, problem := s.queue.state("evt_1")
			if done := len(s.delivered()) == 1; done != row.done || !done && (attempts != 1 || problem != "the bridge was stopped meanwhile") {
				t.Errorf("delivered %v, %d attempts, %q", done, attempts, problem)
			}
		})
	}
}

// An endpoint that has asked to be left alone for an hour is tried at once when an operator wants it.
func TestAnOperatorCutsARestShort(t *testing.T) {
	var requests atomic.Int32
	s := newStand(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(503)
		}
	}), still, nil, event("evt_1"))
	hurried := false
	s.run(t, func() bool {
		defer s.queue.locked()()
		if p := s.queue.pending["evt_1"]; p != nil && !s.queue.resting.IsZero() && !hurried {
			if !s.queue.resting.Equal(noon.Add(time.Hour)) {
				t.Errorf("rests until %v", s.queue.resting)
			}
			p.due, s.queue.resting, hurried = noon, time.Time{}, true
		}
		return len(s.queue.done) == 1
	})
}

// REL-15: a clock that is set back by an hour does not stop deliveries for an hour.
func TestAClockThatIsSetBack(t *testing.T) {
	var mu sync.Mutex
	at := noon
	now := func() time.Time { mu.Lock(); defer mu.Unlock(); return at }
	fail := true
	s := newStand(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if fail {
			w.WriteHeader(500)
		}
	}), now, func(c *webhooks.Config) { c.Policy.DownAfter = 1 }, event("evt_1"))
	s.c.Queue = hastyQueue{s.queue}
	var err error
	if s.d, err = webhooks.New(s.c); err != nil {
		t.Fatal(err)
	}
	s.run(t, func() bool {
		if attempts, _, _ := s.queue.state("evt_1"); attempts == 1 {
			mu.Lock()
			fail, at = false, noon.Add(-time.Hour)
			mu.Unlock()
		}
		return len(s.delivered()) == 1
	})
}

// hastyQueue makes everything due when it is hastened.
type hastyQueue struct{ *memoryQueue }

func (q hastyQueue) Hasten(context.Context, string) (n int, _ error) {
	defer q.locked()()
	for _, p := range q.pending {
		if p.due.After(q.now()) {
			p.due = q.now()
			n++
		}
	}
	return n, nil
}

func TestReplies(t *testing.T) {
	for name, row := range map[string]struct {
		contentType, body, want string
		odd                     bool // and told of
	}{
		"JSON":                {"application/json", `{"type":"text","content":"你好"}`, "你好", false},
		"JSON with a charset": {"application/json; charset=utf-8", `{"type":"text","content":"hi"}`, "hi", false},
		"plain text":          {"text/plain; charset=utf-8", "hi\r\n", "hi", false},
		"nothing":             {"application/json", "", "", false},
		"an empty object":     {"application/json", "{}", "", false},
		"an acknowledgement":  {"application/json", `{"ok":true}`, "", false},
		"a word":              {"text/plain", "OK", "", false},
		"another word":        {"text/plain", "success", "", false},
		"a page":              {"text/html", "<p>hi</p>", "", false},
		"no type":             {"", "hi", "", false},
		"an empty text":       {"application/json", `{"type":"text","content":""}`, "", false},
		"another kind":        {"application/json", `{"type":"image","media_id":"x"}`, "", true},
		"not JSON":            {"application/json", `hi`, "", true},
		"not UTF-8":           {"text/plain", "\xff", "", true},
		"too long":            {"text/plain", strings.Repeat("x", 2049), "", true},
		"as long as may be":   {"text/plain", strings.Repeat("x", 2048), strings.Repeat("x", 2048), false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Wxbridge-Reply") != "wanted" {
					t.Error("the endpoint is not told that an answer is waited for")
				}
				w.Header()["Content-Type"] = nil // no guess
				if row.contentType != "" {
					w.Header().Set("Content-Type", row.contentType)
				}
				io.WriteString(w, row.body)
			}), time.Now, nil, event("evt_1"))
			got, ok := s.d.Reply(t.Context(), "evt_1", "wx0123456789abcdef")
			if got != row.want || ok != (row.want != "") {
				t.Errorf("reply %q, %v; want %q", got, ok, row.want)
			}
			if odd := strings.Contains(s.log.String(), "webhook.reply_unusable"); odd != row.odd || len(s.delivered()) != 1 {
				t.Errorf("told of %v, delivered %v", odd, s.delivered())
			}
		})
	}
}

// A replier that is down is asked again when it is time to look whether it is back, and not by everybody before.
func TestAReplierThatIsDownIsFoundToBeBackByAMessage(t *testing.T) {
	var mu sync.Mutex
	at, broken, requests := noon, true, 0
	now := func() time.Time { mu.Lock(); defer mu.Unlock(); return at }
	s := newStand(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if requests++; broken {
			w.WriteHeader(502)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "here again")
	}), now, func(c *webhooks.Config) { c.Policy.DownAfter = 2 }, event("evt_1"), event("evt_2"), event("evt_3"), event("evt_4"))
	ask := func(id string) string {
		text, _ := s.d.Reply(t.Context(), id, "wx0123456789abcdef")
		return text
	}
	ask("evt_1")
	ask("evt_2")
	mu.Lock()
	broken = false
	mu.Unlock()
	if got := ask("evt_3"); got != "" || requests != 2 {
		t.Errorf("a moment after it went down: %q, %d requests", got, requests)
	}
	mu.Lock()
	at = noon.Add(2 * time.Second)
	mu.Unlock()
	if got := ask("evt_3"); got != "here again" {
		t.Errorf("when it is time to look: %q", got)
	}
	if got := ask("evt_4"); got != "here again" {
		t.Errorf("the next: %q", got)
	}
}

func TestNoReplyWithoutADelivery(t *testing.T) {
	s := newStand(t, status(200), time.Now, nil)
	if text, ok := s.d.Reply(t.Context(), "evt_unknown", ""); ok || text != "" {
		t.Errorf("a reply to nothing: %q", text)
	}
}
