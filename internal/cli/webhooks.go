package cli

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/internal/follow"
	"wxbridge/internal/webhooks"
)

// keepFailed is how long an event that was given up can still be retried.
const keepFailed = 30 * 24 * time.Hour

// notifier tells backends of events.
type notifier struct {
	dispatcher *webhooks.Dispatcher
	states     *follow.Follower // of the queue, for the metrics; nil: nobody asks
	replies    bool             // one of the endpoints answers for an account
}

// newNotifier makes the store keep events for the endpoints, and delivers them once it runs.
func newNotifier(ctx context.Context, endpoints []webhooks.Endpoint, store db.Store, logger *slog.Logger, m meters) (*notifier, error) {
	n := &notifier{}
	wanted := []db.Endpoint{}
	for _, e := range endpoints {
		wanted = append(wanted, db.Endpoint{Name: e.Name, Events: e.Events, AppIDs: e.AppIDs, Replier: e.Replier})
		n.replies = n.replies || e.Replier
	}
	if err := store.SetEndpoints(ctx, wanted); err != nil {
		return nil, err
	}
	var err error
	n.dispatcher, err = webhooks.New(webhooks.Config{Queue: outboxQueue{store}, Endpoints: endpoints, Logger: logger,
		UserAgent: "wxbridge/" + moduleVersion(), Now: time.Now, Observe: m.webhooks()})
	if err != nil {
		return nil, err
	}
	if len(endpoints) > 0 && m.on() {
		n.states, err = watchQueue(store, logger, m)
	}
	warnOfDisabled(ctx, store, logger)
	return n, err
}

// warnOfDisabled reminds of endpoints that get nothing.
func warnOfDisabled(ctx context.Context, store db.Store, logger *slog.Logger) {
	states, err := store.Endpoints(ctx)
	if err != nil {
		return // the next to ask the store will say so
	}
	for _, e := range states {
		if e.Configured && !e.DisabledAt.IsZero() {
			logger.Warn("an endpoint has answered 410 Gone and gets nothing until wxbridge webhooks retry enables it",
				"event", "webhook.disabled", "endpoint", e.Name, "since", e.DisabledAt.Format(time.RFC3339))
		}
	}
}

// watchEvery is how often the lengths of the queues are read for the metrics.
const watchEvery = 10 * time.Second

// watchQueue keeps what the metrics tell of the queue: counting takes too long to do it whenever somebody looks.
func watchQueue(store db.Store, logger *slog.Logger, m meters) (*follow.Follower, error) {
	var latest atomic.Pointer[[]db.EndpointState]
	follower, err := follow.New(follow.Config{What: "webhook queue", Every: watchEvery, Limit: watchEvery, Logger: logger, Now: time.Now,
		Look: func(ctx context.Context) error {
			states, err := store.Endpoints(ctx)
			if err == nil {
				latest.Store(&states)
			}
			return err
		}})
	if err != nil {
		return nil, err
	}
	m.WebhookQueue(func(each func(endpoint string, pending, failed int, oldest time.Duration)) {
		states := latest.Load()
		if states == nil {
			return
		}
		for _, e := range *states {
			age := time.Duration(0)
			if !e.OldestAt.IsZero() {
				age = max(0, time.Since(e.OldestAt))
			}
			each(e.Name, e.Pending, e.Failed, age)
		}
	})
	return follower, nil
}

// run delivers until ctx ends.
func (n *notifier) run(ctx context.Context) {
	if n.states == nil {
		n.dispatcher.Run(ctx)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = n.states.Sync(ctx) // Run tells of what goes on failing
		n.states.Run(ctx)
	}()
	n.dispatcher.Run(ctx)
	cancel()
	<-done
}

// reply gives the routes the function that asks the replier; nil if there is none.
func (n *notifier) reply() handlers.Replier {
	if !n.replies {
		return nil
	}
	return func(ctx context.Context, p handlers.IncomingPush) (handlers.Reply, error) {
		text, _ := n.dispatcher.Reply(ctx, p.EventID, p.AppID)
		return handlers.Reply{Text: text}, nil
	}
}

// outboxQueue is the store's outbox as the dispatcher knows it.
type outboxQueue struct{ store db.OutboxStore }

func (q outboxQueue) Arrived() <-chan struct{} { return q.store.EventsArrived() }

func (q outboxQueue) FanOut(ctx context.Context) (int, error) { return q.store.FanOut(ctx) }

func (q outboxQueue) NextDue(ctx context.Context, endpoint string) (time.Time, error) {
	return q.store.NextDue(ctx, endpoint)
}

func (q outboxQueue) Claim(ctx context.Context, endpoint string, limit int, lease time.Duration) ([]webhooks.Delivery, error) {
	claimed, err := q.store.ClaimDeliveries(ctx, endpoint, limit, lease)
	all := make([]webhooks.Delivery, len(claimed))
	for i, d := range claimed {
		all[i] = deliveryOf(d)
	}
	return all, err
}

func deliveryOf(d db.Delivery) webhooks.Delivery {
	return webhooks.Delivery{Receipt: d.Receipt, ID: d.EventID, Type: d.Type, CreatedAt: d.CreatedAt, Data: d.Data, Attempts: d.Attempts}
}

func (q outboxQueue) ClaimReply(ctx context.Context, eventID, endpoint string, lease time.Duration) (webhooks.Delivery, error) {
	d, err := q.store.ClaimReply(ctx, eventID, endpoint, lease)
	if errors.Is(err, db.ErrNotYet) {
		err = webhooks.ErrNotYet
	}
	return deliveryOf(d), settled(err)
}

func (q outboxQueue) Delivered(ctx context.Context, receipt any) error {
	return settled(q.store.Delivered(ctx, receipt.(db.Receipt)))
}

func (q outboxQueue) Postpone(ctx context.Context, receipt any, until time.Time, problem string) error {
	return settled(q.store.Postpone(ctx, receipt.(db.Receipt), until, problem))
}

func (q outboxQueue) GiveUp(ctx context.Context, receipt any, problem string) error {
	return settled(q.store.GiveUp(ctx, receipt.(db.Receipt), problem))
}

func (q outboxQueue) Hasten(ctx context.Context, endpoint string) (int, error) {
	return q.store.Hasten(ctx, endpoint)
}

func (q outboxQueue) Rest(ctx context.Context, endpoint string, until time.Time) error {
	return q.store.Rest(ctx, endpoint, until)
}

func (q outboxQueue) Resting(ctx context.Context, endpoint string) (time.Time, error) {
	return q.store.Resting(ctx, endpoint)
}

func (q outboxQueue) Disable(ctx context.Context, endpoint string) error {
	return q.store.DisableEndpoint(ctx, endpoint)
}

func settled(err error) error {
	if errors.Is(err, db.ErrNotFound) {
		return webhooks.ErrSettled
	}
	return err
}

// pruneOutbox gives up what could not be delivered in time, and drops what was given up long ago.
func (a *app) pruneOutbox(ctx context.Context) (int, error) {
	now := time.Now()
	return a.store.PruneOutbox(ctx, now.Add(-webhooks.DefaultPolicy().GiveUpAfter), now.Add(-keepFailed))
}
