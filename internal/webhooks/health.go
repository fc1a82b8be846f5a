package webhooks

import (
	"sync"
	"time"
)

// health says how many deliveries an endpoint can take. After several failures in a row it is down: then one delivery at a
// time goes out, with growing pauses, and the others wait in the queue instead of spending their attempts.
type health struct {
	policy Policy

	mu       sync.Mutex
	failures int           // in a row
	wait     time.Duration // between probes
	since    time.Time     // of the last probe
	again    time.Time     // the next one
}

// room is how many of the free workers may be used now, and if none, when to ask again.
func (h *health) room(now time.Time, busy, workers int) (n int, again time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.failures < h.policy.DownAfter:
		return workers - busy, time.Time{}
	case busy > 0:
		return 0, time.Time{}
	case now.Before(h.again) && !now.Before(h.since): // else the clock was set back
		return 0, h.again
	}
	return 1, time.Time{}
}

func (h *health) down() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failures >= h.policy.DownAfter
}

// bad tells of a failure and reports whether the endpoint went down by it. spread is in [0, 1). rest, if not zero, is how
// long the endpoint wants to be left alone.
func (h *health) bad(now time.Time, spread float64, rest time.Duration) (wentDown bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures++
	if rest > 0 {
		h.failures = max(h.failures, h.policy.DownAfter)
	}
	if h.failures < h.policy.DownAfter {
		return false
	}
	wentDown = h.wait == 0
	if wentDown || !now.Before(h.again) { // else it was sent before the endpoint was known to be down
		h.wait = min(max(2*h.wait, h.policy.DownPause), h.policy.MaxPause)
		h.since, h.again = now, now.Add(jitter(h.wait, spread))
	}
	if until := now.Add(rest); until.After(h.again) {
		h.again = until
	}
	return wentDown
}

// resting is until when a down endpoint is left alone; zero if it is not down.
func (h *health) resting() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failures < h.policy.DownAfter {
		return time.Time{}
	}
	return h.again
}

// hurry makes the next probe due.
func (h *health) hurry() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.again = time.Time{}
}

// good tells of a success and reports whether the endpoint was down until then.
func (h *health) good() (wasDown bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wasDown = h.wait > 0
	h.failures, h.wait = 0, 0
	return wasDown
}

// jitter draws from the range of four to six fifths, so that what failed together does not come back together.
func jitter(d time.Duration, spread float64) time.Duration {
	return time.Duration((0.8 + 0.4*spread) * float64(d))
}
