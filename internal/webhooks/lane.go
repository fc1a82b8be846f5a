package webhooks

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// lane delivers to one endpoint. Endpoints share nothing but the queue, so none waits for another.
type lane struct {
	d        *Dispatcher
	endpoint Endpoint
	health   health
	wake     chan struct{} // holds one when there may be something to do

	rest struct { // what the queue was told
		sync.Mutex
		until time.Time
	}

	mu   sync.Mutex
	busy int
	seen time.Time // the latest the clock has shown
}

func newLane(d *Dispatcher, e Endpoint) *lane {
	return &lane{d: d, endpoint: e, health: health{policy: d.Policy}, wake: make(chan struct{}, 1)}
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run delivers until ctx ends; attempts under way end with the context of that name.
func (l *lane) run(ctx, attempts context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	failing := false
	for ctx.Err() == nil {
		claimed, wait, err := l.next(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			l.log(slog.LevelError, "webhook.queue_failed", "deliveries cannot be read; they stay in the queue", slog.String("error", err.Error()))
		}
		failing = err != nil
		for _, m := range claimed {
			l.begin()
			running.Go(func() {
				defer l.end()
				l.deliver(attempts, m)
			})
		}
		if len(claimed) == 0 {
			pause(ctx, wait, l.wake)
		}
	}
}

// next claims what there is room for. If there is nothing to do, it says for how long.
func (l *lane) next(ctx context.Context) ([]Delivery, time.Duration, error) {
	now, policy := l.d.Now(), l.d.Policy
	if l.setBack(now) {
		l.hasten(ctx)
	}
	room, again := l.health.room(now, l.inFlight(), policy.Workers)
	if room <= 0 {
		if again.IsZero() { // until one ends
			return nil, policy.Lease, nil
		}
		if l.isHurried(ctx, again) {
			l.health.hurry()
			return nil, 0, nil
		}
		return nil, min(again.Sub(now), policy.Poll), nil
	}
	due, err := l.d.Queue.NextDue(ctx, l.endpoint.Name)
	if err != nil || due.IsZero() || due.After(now) {
		wait := policy.Poll
		if !due.IsZero() && err == nil {
			wait = min(wait, due.Sub(now))
		}
		return nil, wait, err
	}
	claimed, err := l.d.Queue.Claim(ctx, l.endpoint.Name, room, policy.Lease)
	return claimed, policy.Poll, err
}

// isHurried reports that the queue was told of the rest until then, and does not know of it any more.
func (l *lane) isHurried(ctx context.Context, again time.Time) bool {
	l.rest.Lock()
	told := l.rest.until.Equal(again)
	l.rest.Unlock()
	if !told {
		return false
	}
	until, err := l.d.Queue.Resting(ctx, l.endpoint.Name)
	return err == nil && until.IsZero()
}

// tellRest lets others see, and cut short, the rest that the endpoint has. Without that it only takes its time.
func (l *lane) tellRest(ctx context.Context) {
	l.rest.Lock()
	defer l.rest.Unlock()
	until := l.health.resting()
	if until.IsZero() || until.Equal(l.rest.until) {
		return
	}
	if l.d.Queue.Rest(ctx, l.endpoint.Name, until) == nil {
		l.rest.until = until
	}
}

// setBack reports that the clock went backwards: then what is due in a minute would be so much later (REL-15).
func (l *lane) setBack(now time.Time) bool {
	back := now.Round(0).Before(l.seen.Add(-10 * time.Second))
	if back || now.Round(0).After(l.seen) {
		l.seen = now.Round(0)
	}
	return back
}

// hasten makes due what waits for its next attempt.
func (l *lane) hasten(ctx context.Context) {
	for n := 1; n > 0; {
		var err error
		if n, err = l.d.Queue.Hasten(ctx, l.endpoint.Name); err != nil {
			return // they become due in time
		}
	}
}

func (l *lane) begin() {
	l.mu.Lock()
	l.busy++
	l.mu.Unlock()
}

func (l *lane) end() {
	l.mu.Lock()
	l.busy--
	l.mu.Unlock()
	l.nudge()
}

// mayAsk reports whether somebody may wait for the endpoint's answer. One that is down is asked only when it is time to look
// whether it is back, and then by nobody else until done is called.
func (l *lane) mayAsk() (done func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.health.down() {
		return func() {}, true
	}
	if room, _ := l.health.room(l.d.Now(), l.busy, 1); room <= 0 {
		return nil, false
	}
	l.busy++
	return l.end, true
}

func (l *lane) inFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy
}

func (l *lane) deliver(ctx context.Context, m Delivery) {
	attempt, cancel := context.WithTimeout(ctx, l.d.Policy.Timeout)
	defer cancel()
	began := time.Now()
	a := l.d.post(attempt, l.endpoint, m, false)
	l.settle(ctx, m, a, time.Since(began))
}

// settle tells the queue, the log and the metrics what became of an attempt.
func (l *lane) settle(ctx context.Context, m Delivery, a answer, took time.Duration) {
	ctx = context.WithoutCancel(ctx) // what was done is told, also at the end
	outcome := Acknowledged
	switch {
	case a.acknowledged():
		l.report(m, l.keepTrying(ctx, func(ctx context.Context) error { return l.d.Queue.Delivered(ctx, m.Receipt) }))
		if l.health.good() {
			l.log(slog.LevelInfo, "webhook.endpoint_up", "an endpoint takes deliveries again")
			l.hasten(ctx)
		}
	case a.status == http.StatusGone:
		outcome = Gone
		l.disable(ctx, m, a)
	default:
		outcome = l.failed(ctx, m, a)
	}
	l.d.Observe(Result{Endpoint: l.endpoint.Name, Outcome: outcome, Took: took})
}

// failed puts the delivery back, or gives it up when its time is over.
func (l *lane) failed(ctx context.Context, m Delivery, a answer) Outcome {
	now, policy := l.d.Now(), l.d.Policy
	wait := jitter(policy.Pauses[min(m.Attempts, len(policy.Pauses)-1)], l.d.Random())
	wait = max(wait, a.retryAfter)
	attrs := []slog.Attr{slog.String("webhook_id", m.ID), slog.String("type", m.Type), slog.Int("attempt", m.Attempts+1),
		slog.String("problem", a.problem)}
	outcome := Retried
	if now.Add(wait).Sub(m.CreatedAt) > policy.GiveUpAfter {
		outcome = GivenUp
		l.log(slog.LevelError, "webhook.given_up", "an event was not delivered in time; wxbridge webhooks retry sends it again", attrs...)
		l.report(m, l.keepTrying(ctx, func(ctx context.Context) error { return l.d.Queue.GiveUp(ctx, m.Receipt, a.problem) }))
	} else {
		attrs = append(attrs, slog.String("next_in", wait.Round(time.Second).String()))
		l.log(slog.LevelWarn, "webhook.failed", "an event was not delivered; it is tried again", attrs...)
		l.report(m, l.keepTrying(ctx, func(ctx context.Context) error {
			return l.d.Queue.Postpone(ctx, m.Receipt, now.Add(wait), a.problem)
		}))
	}
	if l.health.bad(l.d.Now(), l.d.Random(), a.retryAfter) {
		l.log(slog.LevelError, "webhook.endpoint_down", "an endpoint fails again and again; its events wait in the queue", slog.String("problem", a.problem))
	}
	l.tellRest(ctx)
	return outcome
}

// disable follows the endpoint's word that it is gone. Its events are kept.
func (l *lane) disable(ctx context.Context, m Delivery, a answer) {
	l.log(slog.LevelError, "webhook.disabled", "an endpoint has answered 410 Gone and gets nothing more until wxbridge webhooks retry enables it")
	l.report(m, l.keepTrying(ctx, func(ctx context.Context) error { return l.d.Queue.Disable(ctx, l.endpoint.Name) }))
	l.report(m, l.keepTrying(ctx, func(ctx context.Context) error {
		return l.d.Queue.Postpone(ctx, m.Receipt, l.d.Now(), a.problem)
	}))
}

// keepTrying repeats what the queue cannot do at the moment for as long as the claim lasts.
func (l *lane) keepTrying(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, l.d.Policy.Lease-l.d.Policy.Timeout)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil || errors.Is(err, ErrSettled) || ctx.Err() != nil {
			return err
		}
		pause(ctx, l.d.Policy.Poll, nil)
	}
}

// report tells of a delivery that could not be settled: it is made again when the claim runs out.
func (l *lane) report(m Delivery, err error) {
	if err != nil {
		l.log(slog.LevelError, "webhook.queue_failed", "the queue does not know what became of a delivery; it may be made again",
			slog.String("webhook_id", m.ID), slog.String("error", err.Error()))
	}
}

func (l *lane) log(level slog.Level, event, message string, attrs ...slog.Attr) {
	attrs = append([]slog.Attr{slog.String("event", event), slog.String("endpoint", l.endpoint.Name),
		slog.String("url", l.endpoint.Address())}, attrs...)
	l.d.Logger.LogAttrs(context.Background(), level, message, attrs...)
}
