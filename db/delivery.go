package db

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// Delivery is an event on its way to an endpoint, claimed by whoever holds it.
type Delivery struct {
	Receipt   Receipt
	EventID   string
	Type      string
	CreatedAt time.Time
	Data      []byte // JSON object
	Attempts  int    // that have failed before
}

// Receipt says which claim of a delivery is meant. It is good until somebody
// else has claimed the delivery.
type Receipt struct {
	seq      int64
	endpoint string
	claim    string
}

// FailedDelivery is a delivery that was given up.
type FailedDelivery struct {
	EventID   string
	Type      string
	CreatedAt time.Time
	FailedAt  time.Time
	Attempts  int
	Problem   string // of the last attempt
}

// Retried says what Retry has made due.
type Retried struct {
	Waiting int // that waited for their turn or for the next attempt
	GivenUp int // that had been given up
}

// Which deliveries are meant. The zero Which means all.
type Which struct {
	EventID string    // only that of this event
	Before  time.Time // only those of events made before
}

// Dropped says what Drop has forgotten.
type Dropped struct {
	Waiting, GivenUp int
	Sending          int // not forgotten: they are being sent
}

// ErrNotYet: an earlier event of the same key has to be delivered first.
var ErrNotYet = errors.New("an earlier event is still on its way")

// OutboxStore keeps events until every endpoint that wants them has them. Of
// one endpoint and Event.Order at most one delivery is under way at a time, and
// none before an earlier one was acknowledged or given up, but for ClaimReply.
type OutboxStore interface {
	// SetEndpoints says whom events are kept for from now on. All processes on
	// one store set the same. A process that sets none tells those that another
	// has set before it opened the store.
	SetEndpoints(ctx context.Context, endpoints []Endpoint) error

	// Enqueue keeps an event that belongs to nothing else that is written.
	Enqueue(ctx context.Context, e Event) error

	// EventsArrived gives a value after this process has kept new events.
	EventsArrived() <-chan struct{}

	// FanOut turns some of the new events into deliveries and returns how many; 0
	// when none is left. Until then there is nothing to claim.
	FanOut(ctx context.Context) (int, error)

	// NextDue returns when the endpoint's next delivery is due, which may be long
	// past; zero if none is open or the endpoint is disabled.
	NextDue(ctx context.Context, endpoint string) (time.Time, error)

	// ClaimDeliveries returns up to limit deliveries that are due. Nobody else
	// gets them until the lease has run out or they were settled.
	ClaimDeliveries(ctx context.Context, endpoint string, limit int, lease time.Duration) ([]Delivery, error)

	// ClaimReply claims the delivery of an event with ReplyBy to an endpoint that
	// may answer it, ahead of earlier ones that only wait for their next attempt or
	// behind such: somebody waits for the answer. ErrNotYet while an earlier one is
	// being delivered, is due, or is held for an answer itself; ErrNotFound if it is
	// not for the endpoint, is being delivered or was delivered.
	ClaimReply(ctx context.Context, eventID, endpoint string, lease time.Duration) (Delivery, error)

	// Delivered settles a delivery that was acknowledged.
	Delivered(ctx context.Context, r Receipt) error

	// Postpone makes a delivery that was not acknowledged due again, later, and in
	// its turn: after those that ClaimReply has let it go ahead of.
	Postpone(ctx context.Context, r Receipt, until time.Time, problem string) error

	// GiveUp settles a delivery that is not tried again. It is kept for Retry.
	//
	// Delivered, Postpone and GiveUp return ErrNotFound, and do nothing, when the
	// claim is not good any more.
	GiveUp(ctx context.Context, r Receipt, problem string) error

	// Hasten makes deliveries that wait for their next attempt due now, and
	// returns how many; 0 when none is left. One call takes a bounded time.
	Hasten(ctx context.Context, endpoint string) (int, error)

	// DisableEndpoint stops deliveries to an endpoint. They are kept.
	DisableEndpoint(ctx context.Context, endpoint string) error

	// Rest notes until when a bridge leaves an endpoint that fails alone.
	Rest(ctx context.Context, endpoint string, until time.Time) error

	// Resting returns until when; zero after Retry, or when a delivery was
	// acknowledged, in whatever process.
	Resting(ctx context.Context, endpoint string) (time.Time, error)

	// Retry makes deliveries to the endpoint due now, those that wait and those that
	// were given up, all or that of one event, with their attempts counted anew. It
	// enables the endpoint and ends its rest. Of one event, what has to go before it
	// is due too. ErrNotFound if there is no such endpoint or delivery.
	Retry(ctx context.Context, endpoint, eventID string) (Retried, error)

	// Drop forgets deliveries to the endpoint that wait or were given up, but those
	// that are being sent. ErrNotFound if there is no such endpoint.
	Drop(ctx context.Context, endpoint string, which Which) (Dropped, error)

	// Endpoints returns the endpoints that are configured or still have
	// deliveries, by name.
	Endpoints(ctx context.Context) ([]EndpointState, error)

	// FailedDeliveries returns some that were given up, the latest first.
	FailedDeliveries(ctx context.Context, endpoint string, limit int) ([]FailedDelivery, error)

	// PruneOutbox gives up some deliveries of events made before giveUp and drops
	// some that were given up before drop. It returns how many; 0 when none is
	// left. One call takes a bounded time.
	PruneOutbox(ctx context.Context, giveUp, drop time.Time) (int, error)
}

// outboxBatch bounds what one call of Hasten, the steps of Retry and Drop, and PruneOutbox handle.
const outboxBatch = 500

const (
	deliveryColumns = `d.seq, o.id, o.type, o.created_at, o.data, d.attempts`

	selectNextDue = `SELECT coalesce(min(due_at), 0) FROM outbox_deliveries WHERE endpoint = ?1 AND state = 'open'
AND EXISTS (SELECT 1 FROM outbox_endpoints WHERE name = ?1 AND disabled_at = 0)`

	selectDue = `SELECT ` + deliveryColumns + ` FROM outbox_deliveries AS d JOIN outbox AS o ON o.seq = d.seq
WHERE d.endpoint = ?1 AND d.state = 'open' AND d.due_at <= ?2
AND EXISTS (SELECT 1 FROM outbox_endpoints WHERE name = ?1 AND disabled_at = 0)
ORDER BY d.due_at LIMIT ?3`

	selectReply = `SELECT ` + deliveryColumns + `, d.state, d.claim, d.due_at, d.ordering
FROM outbox AS o JOIN outbox_deliveries AS d ON d.seq = o.seq
WHERE o.id = ?1 AND o.reply_by <> 0 AND d.endpoint = ?2
AND EXISTS (SELECT 1 FROM outbox_endpoints WHERE name = ?2 AND disabled_at = 0)`

	claimDelivery = `UPDATE outbox_deliveries SET state = 'open', claim = ?3, due_at = ?4 WHERE seq = ?1 AND endpoint = ?2`

	// What a reply may not go ahead of: what is not waiting for its next attempt, and
	// earlier ones that are held for a reply.
	selectAhead = `SELECT EXISTS (SELECT 1 FROM outbox_deliveries
WHERE endpoint = ?1 AND ordering = ?2 AND ordering <> '' AND (
  state = 'open' AND (claim <> '' OR attempts = 0 OR due_at <= ?4)
  OR state = 'waiting' AND seq < ?3 AND attempts = 0 AND not_before > ?4))`

	// Whoever goes ahead takes the turn; when the next gets it, it is due as before.
	takeTurn = `UPDATE outbox_deliveries SET state = 'waiting', not_before = due_at
WHERE endpoint = ?1 AND ordering = ?2 AND ordering <> '' AND state = 'open'`
	yieldTurn = `UPDATE outbox_deliveries SET state = 'waiting', not_before = due_at
WHERE seq = ?1 AND endpoint = ?2 AND EXISTS (SELECT 1 FROM outbox_deliveries AS e
  WHERE e.endpoint = ?2 AND e.ordering = ?3 AND e.ordering <> '' AND e.state = 'waiting' AND e.seq < ?1)`

	selectClaimed  = `SELECT ordering FROM outbox_deliveries WHERE seq = ?1 AND endpoint = ?2 AND state = 'open' AND claim = ?3`
	deleteDelivery = `DELETE FROM outbox_deliveries WHERE seq = ?1 AND endpoint = ?2`

	postponeDelivery = `UPDATE outbox_deliveries SET claim = '', attempts = attempts + 1, due_at = ?3, problem = ?4
WHERE seq = ?1 AND endpoint = ?2`
	failDelivery = `UPDATE outbox_deliveries SET state = 'failed', claim = '', attempts = attempts + ?5, due_at = ?3, problem = ?4
WHERE seq = ?1 AND endpoint = ?2`

	// Opens the next of a key, if none is open.
	releaseNext = `UPDATE outbox_deliveries SET state = 'open', due_at = max(?3, not_before)
WHERE endpoint = ?1 AND seq = (SELECT min(seq) FROM outbox_deliveries WHERE endpoint = ?1 AND ordering = ?2 AND ordering <> '' AND state = 'waiting')
AND NOT EXISTS (SELECT 1 FROM outbox_deliveries WHERE endpoint = ?1 AND ordering = ?2 AND ordering <> '' AND state = 'open')`

	// Those that are held for a reply, and so were never tried, stay held.
	hastenDeliveries = `UPDATE outbox_deliveries SET due_at = ?2, not_before = min(not_before, ?2), attempts = attempts * ?4
WHERE (seq, endpoint) IN
  (SELECT seq, endpoint FROM outbox_deliveries
   WHERE endpoint = ?1 AND state IN ('open', 'waiting') AND due_at > ?2 AND claim = '' AND (not_before <= ?2 OR attempts > 0) LIMIT ?3)`
	hastenLine = `UPDATE outbox_deliveries SET due_at = ?4, not_before = min(not_before, ?4), attempts = 0
WHERE endpoint = ?1 AND (seq = ?2 OR ordering = ?3 AND ordering <> '') AND state IN ('open', 'waiting')
AND due_at > ?4 AND claim = '' AND (not_before <= ?4 OR attempts > 0)`

	disableEndpoint = `UPDATE outbox_endpoints SET disabled_at = ?2 WHERE name = ?1`
	enableEndpoint  = `UPDATE outbox_endpoints SET disabled_at = 0, resting_until = 0 WHERE name = ?1`
	restEndpoint    = `UPDATE outbox_endpoints SET resting_until = ?2 WHERE name = ?1`
	selectResting   = `SELECT coalesce((SELECT resting_until FROM outbox_endpoints WHERE name = ?1), 0)`

	markFailing = `UPDATE outbox_endpoints SET failing_since = ?2 WHERE name = ?1 AND failing_since = 0`
	markWell    = `UPDATE outbox_endpoints SET failing_since = 0, resting_until = 0
WHERE name = ?1 AND (failing_since <> 0 OR resting_until <> 0)`

	countWaiting = `SELECT count(*) FROM outbox_deliveries
WHERE endpoint = ?1 AND state IN ('waiting', 'open') AND (claim = '' OR due_at <= ?2)`
	countSending = `SELECT count(*) FROM outbox_deliveries AS d JOIN outbox AS o ON o.seq = d.seq
WHERE d.endpoint = ?1 AND d.state = 'open' AND d.claim <> '' AND d.due_at > ?2 AND (?3 = '' OR o.id = ?3) AND (?4 = 0 OR o.created_at < ?4)`

	selectWaiting = `SELECT d.seq, d.ordering FROM outbox_deliveries AS d
WHERE d.endpoint = ?1 AND d.state IN ('waiting', 'open') AND (SELECT id FROM outbox WHERE outbox.seq = d.seq) = ?2`

	selectToDrop = `SELECT d.seq, d.ordering, d.state FROM outbox_deliveries AS d JOIN outbox AS o ON o.seq = d.seq
WHERE d.endpoint = ?1 AND (d.claim = '' OR d.due_at <= ?2) AND (?3 = '' OR o.id = ?3) AND (?4 = 0 OR o.created_at < ?4) LIMIT ?5`

	selectFailed = `SELECT d.seq, d.ordering FROM outbox_deliveries AS d
WHERE d.endpoint = ?1 AND d.state = 'failed'
AND (?2 = '' OR (SELECT id FROM outbox WHERE outbox.seq = d.seq) = ?2)
ORDER BY d.due_at LIMIT ?3`

	// A failed delivery that is tried again waits until its turn is released.
	reopenDelivery = `UPDATE outbox_deliveries SET state = ?3, attempts = 0, due_at = ?4 WHERE seq = ?1 AND endpoint = ?2`

	selectEndpointStates = `SELECT name, events, appids, replier, configured, disabled_at,
  (SELECT count(*) FROM outbox_deliveries WHERE endpoint = name AND state IN ('waiting', 'open')),
  (SELECT count(*) FROM outbox_deliveries WHERE endpoint = name AND state = 'failed'),
  coalesce((SELECT created_at FROM outbox WHERE seq =
    (SELECT min(seq) FROM outbox_deliveries WHERE endpoint = name AND state IN ('waiting', 'open'))), 0),
  (SELECT count(*) FROM outbox_deliveries WHERE endpoint = name AND state IN ('waiting', 'open') AND attempts > 0),
  coalesce((SELECT min(due_at) FROM outbox_deliveries WHERE endpoint = name AND state = 'open' AND claim = ''), 0),
  failing_since, resting_until
FROM outbox_endpoints ORDER BY name`

	selectFailedDeliveries = `SELECT o.id, o.type, o.created_at, d.due_at, d.attempts, d.problem
FROM outbox_deliveries AS d JOIN outbox AS o ON o.seq = d.seq
WHERE d.endpoint = ?1 AND d.state = 'failed' ORDER BY d.due_at DESC LIMIT ?2`

	selectStale = `SELECT d.seq, d.endpoint FROM outbox_deliveries AS d JOIN outbox AS o ON o.seq = d.seq
WHERE d.state IN ('waiting', 'open') AND (d.claim = '' OR d.due_at <= ?3) AND o.created_at <= ?1 ORDER BY d.seq LIMIT ?2`
	selectUnsettled = `SELECT ordering FROM outbox_deliveries
WHERE seq = ?1 AND endpoint = ?2 AND state IN ('waiting', 'open') AND (claim = '' OR due_at <= ?3)`

	selectDropped = `SELECT seq, endpoint FROM outbox_deliveries
WHERE endpoint IN (SELECT name FROM outbox_endpoints) AND state = 'failed' AND due_at <= ?1 LIMIT ?2`
	dropDelivery = `DELETE FROM outbox_deliveries WHERE seq = ?1 AND endpoint = ?2 AND state = 'failed' AND due_at <= ?3`

	dropEndpoints = `DELETE FROM outbox_endpoints WHERE configured = 0
AND NOT EXISTS (SELECT 1 FROM outbox_deliveries WHERE endpoint = name)`
)

func (s *sqliteStore) NextDue(ctx context.Context, endpoint string) (time.Time, error) {
	due, err := one(ctx, s.reads.nextDue, scanMillis, endpoint)
	if err != nil {
		return time.Time{}, fmt.Errorf("next delivery: %w", err)
	}
	return due, nil
}

func scanMillis(r scanner) (time.Time, error) {
	var ms int64
	err := r.Scan(&ms)
	return fromMillis(ms), err
}

func (s *sqliteStore) ClaimDeliveries(ctx context.Context, endpoint string, limit int, lease time.Duration) ([]Delivery, error) {
	var claimed []Delivery
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		claimed, err = tx.claimDue(endpoint, limit, s.now(), lease)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim deliveries: %w", err)
	}
	return claimed, nil
}

func (tx *transaction) claimDue(endpoint string, limit int, now time.Time, lease time.Duration) ([]Delivery, error) {
	var due []Delivery
	err := tx.query(tx.stmts.selectDue, func(r scanner) error {
		d, err := scanDelivery(r)
		due = append(due, d)
		return err
	}, endpoint, millis(now), int64(limit))
	if err != nil {
		return nil, err
	}
	claim := rand.Text()
	for i := range due {
		if err := tx.claim(&due[i], endpoint, claim, now.Add(lease)); err != nil {
			return nil, err
		}
	}
	return due, nil
}

func (tx *transaction) claim(d *Delivery, endpoint, claim string, until time.Time) error {
	d.Receipt.endpoint, d.Receipt.claim = endpoint, claim
	return tx.exec(tx.stmts.claimDelivery, d.Receipt.seq, endpoint, claim, millis(until))
}

func scanDelivery(r scanner, others ...any) (Delivery, error) {
	var d Delivery
	var created, attempts int64
	err := r.Scan(append([]any{&d.Receipt.seq, &d.EventID, &d.Type, &created, &d.Data, &attempts}, others...)...)
	d.CreatedAt, d.Attempts = fromMillis(created), int(attempts)
	return d, err
}

func (s *sqliteStore) ClaimReply(ctx context.Context, eventID, endpoint string, lease time.Duration) (Delivery, error) {
	var d Delivery
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		now := s.now()
		for n := 1; n > 0 && err == nil; {
			n, err = tx.fanOut(now)
		}
		if err == nil {
			d, err = tx.claimReply(eventID, endpoint, now, lease)
		}
		return err
	})
	if err != nil {
		return Delivery{}, fmt.Errorf("claim a delivery to answer: %w", err)
	}
	return d, nil
}

func (tx *transaction) claimReply(eventID, endpoint string, now time.Time, lease time.Duration) (d Delivery, err error) {
	var state, claim, order string
	var due int64
	found, err := tx.queryRow(tx.stmts.selectReply, func(r scanner) (err error) {
		d, err = scanDelivery(r, &state, &claim, &due, &order)
		return err
	}, eventID, endpoint)
	switch {
	case err != nil:
		return d, err
	case !found || state == "failed" || state == "open" && claim != "" && due > millis(now):
		return d, ErrNotFound
	case state == "waiting":
		if err := tx.goAhead(endpoint, order, d.Receipt.seq, now); err != nil {
			return d, err
		}
	}
	return d, tx.claim(&d, endpoint, rand.Text(), now.Add(lease))
}

// goAhead makes way for a delivery whose answer somebody waits for, if those of
// its key only wait for another attempt.
func (tx *transaction) goAhead(endpoint, order string, seq int64, now time.Time) error {
	ahead := int64(0)
	_, err := tx.queryRow(tx.stmts.selectAhead, func(r scanner) error { return r.Scan(&ahead) }, endpoint, order, seq, millis(now))
	switch {
	case err != nil:
		return err
	case ahead != 0:
		return ErrNotYet
	}
	return tx.exec(tx.stmts.takeTurn, endpoint, order)
}

func (s *sqliteStore) Delivered(ctx context.Context, r Receipt) error {
	return s.settle(ctx, "settle a delivery", r, func(tx *transaction, now time.Time, order string) error {
		tx.exec(tx.stmts.deleteDelivery, r.seq, r.endpoint)
		tx.exec(tx.stmts.deleteEventIfDone, r.seq)
		tx.exec(tx.stmts.markWell, r.endpoint)
		return tx.exec(tx.stmts.releaseNext, r.endpoint, order, millis(now))
	})
}

func (s *sqliteStore) Postpone(ctx context.Context, r Receipt, until time.Time, problem string) error {
	return s.settle(ctx, "postpone a delivery", r, func(tx *transaction, now time.Time, order string) error {
		tx.exec(tx.stmts.postponeDelivery, r.seq, r.endpoint, millis(until), problem)
		tx.exec(tx.stmts.yieldTurn, r.seq, r.endpoint, order)
		tx.exec(tx.stmts.releaseNext, r.endpoint, order, millis(now))
		return tx.exec(tx.stmts.markFailing, r.endpoint, millis(now))
	})
}

func (s *sqliteStore) GiveUp(ctx context.Context, r Receipt, problem string) error {
	return s.settle(ctx, "give a delivery up", r, func(tx *transaction, now time.Time, order string) error {
		tx.exec(tx.stmts.failDelivery, r.seq, r.endpoint, millis(now), problem, int64(1))
		tx.exec(tx.stmts.markFailing, r.endpoint, millis(now))
		return tx.exec(tx.stmts.releaseNext, r.endpoint, order, millis(now))
	})
}

// settle runs what ends a claim, if the claim is still good. The key is that of
// now: a merge may have changed it since the claim.
func (s *sqliteStore) settle(ctx context.Context, what string, r Receipt, do func(tx *transaction, now time.Time, order string) error) error {
	now := s.now()
	err := s.writer.do(ctx, func(tx *transaction) error {
		var order string
		found, err := tx.queryRow(tx.stmts.selectClaimed, func(row scanner) error { return row.Scan(&order) }, r.seq, r.endpoint, r.claim)
		switch {
		case err != nil:
			return err
		case !found:
			return ErrNotFound
		}
		return do(tx, now, order)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (s *sqliteStore) Hasten(ctx context.Context, endpoint string) (int, error) {
	now := millis(s.now())
	var n int64
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		n, err = tx.execCount(tx.stmts.hasten, endpoint, now, int64(outboxBatch), int64(1))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("hasten deliveries: %w", err)
	}
	return int(n), nil
}

func (s *sqliteStore) DisableEndpoint(ctx context.Context, endpoint string) error {
	now := millis(s.now())
	err := s.writer.do(ctx, func(tx *transaction) error { return tx.exec(tx.stmts.disableEndpoint, endpoint, now) })
	if err != nil {
		return fmt.Errorf("disable an endpoint: %w", err)
	}
	return nil
}

func (s *sqliteStore) Rest(ctx context.Context, endpoint string, until time.Time) error {
	err := s.writer.do(ctx, func(tx *transaction) error { return tx.exec(tx.stmts.restEndpoint, endpoint, millis(until)) })
	if err != nil {
		return fmt.Errorf("rest an endpoint: %w", err)
	}
	return nil
}

func (s *sqliteStore) Resting(ctx context.Context, endpoint string) (time.Time, error) {
	until, err := one(ctx, s.reads.resting, scanMillis, endpoint)
	if err != nil {
		return time.Time{}, fmt.Errorf("resting endpoint: %w", err)
	}
	return until, nil
}
func (s *sqliteStore) Endpoints(ctx context.Context) ([]EndpointState, error) {
	all, err := collect(ctx, s.reads.endpointStates, func(r scanner) (EndpointState, error) {
		var pending, failed, oldest, retrying, due, failing, resting int64
		e, err := scanEndpoint(r, &pending, &failed, &oldest, &retrying, &due, &failing, &resting)
		e.Pending, e.Failed, e.OldestAt = int(pending), int(failed), fromMillis(oldest)
		e.Retrying, e.FailingSince = int(retrying), fromMillis(failing)
		if due != 0 && e.Configured && e.DisabledAt.IsZero() {
			e.NextAt = fromMillis(max(due, resting))
		}
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("read endpoints: %w", err)
	}
	return all, nil
}

func (s *sqliteStore) FailedDeliveries(ctx context.Context, endpoint string, limit int) ([]FailedDelivery, error) {
	all, err := collect(ctx, s.reads.failedDeliveries, func(r scanner) (FailedDelivery, error) {
		var f FailedDelivery
		var created, failed, attempts int64
		err := r.Scan(&f.EventID, &f.Type, &created, &failed, &attempts, &f.Problem)
		f.CreatedAt, f.FailedAt, f.Attempts = fromMillis(created), fromMillis(failed), int(attempts)
		return f, err
	}, endpoint, limit)
	if err != nil {
		return nil, fmt.Errorf("read failed deliveries: %w", err)
	}
	return all, nil
}

// staleDelivery names a delivery that has waited or was kept for too long.
type staleDelivery struct {
	seq      int64
	endpoint string
}

func scanStale(r scanner) (d staleDelivery, err error) {
	err = r.Scan(&d.seq, &d.endpoint)
	return d, err
}

// PruneOutbox looks through the queue beside the writer, which only gets to
// know what was found.
func (s *sqliteStore) PruneOutbox(ctx context.Context, giveUp, drop time.Time) (int, error) {
	stale, err := collect(ctx, s.reads.stale, scanStale, millis(giveUp), outboxBatch, millis(s.now()))
	if err != nil {
		return 0, fmt.Errorf("prune events: %w", err)
	}
	dropped, err := collect(ctx, s.reads.dropped, scanStale, millis(drop), outboxBatch)
	if err != nil {
		return 0, fmt.Errorf("prune events: %w", err)
	}
	err = s.writer.do(ctx, func(tx *transaction) error {
		for _, d := range stale {
			if err := tx.giveUpStale(d, s.now()); err != nil {
				return err
			}
		}
		for _, d := range dropped {
			tx.exec(tx.stmts.dropDelivery, d.seq, d.endpoint, millis(drop))
			tx.exec(tx.stmts.deleteEventIfDone, d.seq)
		}
		return tx.exec(tx.stmts.dropEndpoints)
	})
	if err != nil {
		return 0, fmt.Errorf("prune events: %w", err)
	}
	return len(stale) + len(dropped), nil
}

func (tx *transaction) giveUpStale(d staleDelivery, now time.Time) error {
	var order string
	found, err := tx.queryRow(tx.stmts.selectUnsettled, func(r scanner) error { return r.Scan(&order) }, d.seq, d.endpoint, millis(now))
	if err != nil || !found { // somebody is at it
		return err
	}
	tx.exec(tx.stmts.failDelivery, d.seq, d.endpoint, millis(now), "not delivered in time", int64(0))
	return tx.exec(tx.stmts.releaseNext, d.endpoint, order, millis(now))
}
