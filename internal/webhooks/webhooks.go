// Package webhooks tells backends what has happened. It takes events from a queue that outlives the process, signs each as
// Standard Webhooks describes (https://www.standardwebhooks.com), sends it, and tells the queue what became of it.
//
// It knows neither what events mean nor how the queue keeps them; it only asks of the queue that two deliveries of one key
// are never out at once, and that a claim runs out when nobody settles it. So an event arrives at least once, and the events
// of one person in order, whatever ends the process. Only a message whose answer a person waits for goes ahead of those that
// wait for another attempt.
//
// Where to look:
//
//	file.go      endpoints, from a YAML file
//	sign.go      secrets and signatures
//	send.go      one attempt over HTTP
//	lane.go      the deliveries of one endpoint, a bounded number at a time
//	health.go    when an endpoint is down, and when to look again
//	reply.go     the one event whose answer somebody waits for
package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Delivery is an event on its way to one endpoint, claimed by this process.
type Delivery struct {
	Receipt   any // the queue's own: it gets it back when the delivery is settled
	ID        string
	Type      string
	CreatedAt time.Time
	Data      json.RawMessage
	Attempts  int // that have failed before
}

// Queue keeps deliveries. Its methods may be called from many goroutines.
type Queue interface {
	// Arrived gives a value when this process has put new events into the queue.
	Arrived() <-chan struct{}

	// FanOut makes deliveries of some new events and returns how many events; 0 when there are no more.
	FanOut(ctx context.Context) (int, error)

	// NextDue is when the endpoint's next delivery is due, zero if there is none.
	NextDue(ctx context.Context, endpoint string) (time.Time, error)

	// Claim returns up to limit deliveries that are due, and that nobody else gets before the lease has run out.
	Claim(ctx context.Context, endpoint string, limit int, lease time.Duration) ([]Delivery, error)

	// ClaimReply claims one delivery that is held back for its answer: ErrNotYet while others come first that are being
	// delivered or asked, ErrSettled if there is none. What waits for another attempt lets it go ahead.
	ClaimReply(ctx context.Context, eventID, endpoint string, lease time.Duration) (Delivery, error)

	// Delivered, Postpone and GiveUp settle a claimed delivery; ErrSettled if the claim is not good any more.
	Delivered(ctx context.Context, receipt any) error
	Postpone(ctx context.Context, receipt any, until time.Time, problem string) error
	GiveUp(ctx context.Context, receipt any, problem string) error

	// Hasten makes some deliveries due that wait for their next attempt, and returns how many; 0 when there are no more.
	Hasten(ctx context.Context, endpoint string) (int, error)

	// Rest notes until when the endpoint is left alone; Resting reads it. It is zero if somebody has asked for an attempt
	// now, or if another process has had one acknowledged.
	Rest(ctx context.Context, endpoint string, until time.Time) error
	Resting(ctx context.Context, endpoint string) (time.Time, error)

	// Disable keeps the endpoint's deliveries back until somebody enables it.
	Disable(ctx context.Context, endpoint string) error
}

var (
	// ErrNotYet: an earlier event of the same key is still on its way.
	ErrNotYet = errors.New("an earlier event is still on its way")

	// ErrSettled: the delivery is somebody else's, or done.
	ErrSettled = errors.New("the delivery is not claimed any more")
)

// Policy is how deliveries are made.
type Policy struct {
	Workers int           // deliveries to one endpoint under way at a time
	Timeout time.Duration // of one attempt
	Lease   time.Duration // of a claim; well above Timeout
	Poll    time.Duration // how often the queue is looked at for what other processes have put in

	// Pauses are the times between attempts, the last one again and again. Each is drawn from the range of four to six
	// fifths of it.
	Pauses []time.Duration

	GiveUpAfter time.Duration // no attempt is made later than this after the event

	DownAfter int           // failures in a row after which an endpoint is down, and tried by one delivery at a time
	DownPause time.Duration // between these, at first; each time it doubles
	MaxPause  time.Duration // up to this

	ReplyTimeout time.Duration // for an answer that somebody waits for
	Replies      int           // such deliveries under way at a time
	Drain        time.Duration // how long attempts under way are waited for at the end
}

// DefaultPolicy is what the documentation promises.
func DefaultPolicy() Policy {
	return Policy{
		Workers:      16,
		Timeout:      15 * time.Second,
		Lease:        30 * time.Second,
		Poll:         time.Second,
		Pauses:       []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour},
		GiveUpAfter:  72 * time.Hour,
		DownAfter:    5,
		DownPause:    time.Second,
		MaxPause:     15 * time.Second,
		ReplyTimeout: 4 * time.Second,
		Replies:      64,
		Drain:        3 * time.Second,
	}
}

// Result is what became of one attempt.
type Result struct {
	Endpoint string
	Outcome  Outcome
	Took     time.Duration
}

// Outcome is one of few words, for metrics.
type Outcome string

const (
	Acknowledged Outcome = "acknowledged"
	Retried      Outcome = "retried"  // it will be tried again
	GivenUp      Outcome = "given_up" // it will not
	Gone         Outcome = "gone"     // the endpoint has answered 410 and is disabled
)

// Config names what a Dispatcher needs. Fields without a comment on a default are required.
type Config struct {
	Queue     Queue
	Endpoints []Endpoint
	Logger    *slog.Logger
	UserAgent string
	Policy    Policy           // default DefaultPolicy
	Client    *http.Client     // default NewHTTPClient
	Now       func() time.Time // default time.Now
	Random    func() float64   // in [0, 1), spreads attempts; default math/rand
	Observe   func(Result)     // may be nil
}

// Dispatcher delivers what is in the queue. It is safe for concurrent use.
type Dispatcher struct {
	Config
	lanes   []*lane
	replies chan struct{} // holds one for each reply under way
}

// New makes a dispatcher, which does nothing before Run.
func New(c Config) (*Dispatcher, error) {
	if c.Queue == nil || c.Logger == nil {
		return nil, errors.New("webhooks: a queue and a logger are required")
	}
	if c.Policy.Workers == 0 {
		c.Policy = DefaultPolicy()
	}
	if c.Client == nil {
		c.Client = NewHTTPClient()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	if c.Observe == nil {
		c.Observe = func(Result) {}
	}
	d := &Dispatcher{Config: c, replies: make(chan struct{}, c.Policy.Replies)}
	for _, e := range c.Endpoints {
		d.lanes = append(d.lanes, newLane(d, e))
	}
	return d, nil
}

// Run delivers until ctx ends, then waits a moment for the attempts under way. Without endpoints it returns at once.
func (d *Dispatcher) Run(ctx context.Context) {
	if len(d.lanes) == 0 {
		return
	}
	attempts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d.Policy.Drain, cancel) })
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { d.fanOut(ctx) })
	for _, l := range d.lanes {
		running.Go(func() { l.run(ctx, attempts) })
	}
	running.Wait()
	d.Client.CloseIdleConnections()
}

// fanOut makes deliveries of new events as they arrive.
func (d *Dispatcher) fanOut(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		n, err := d.Queue.FanOut(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			d.Logger.Error("new events cannot be read; they stay in the queue", "event", "webhook.queue_failed", "error", err.Error())
		}
		failing = err != nil
		if n > 0 {
			for _, l := range d.lanes {
				l.nudge()
			}
			continue
		}
		pause(ctx, d.Policy.Poll, d.Queue.Arrived())
	}
}

// pause waits for the time, a signal or the end of ctx.
func pause(ctx context.Context, d time.Duration, signal <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-signal:
	}
}
