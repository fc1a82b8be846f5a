package db

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// What operators do about deliveries that wait, or were given up. Each step
// takes a bounded time, so that others get their turn between.

func (s *sqliteStore) Retry(ctx context.Context, endpoint, eventID string) (retried Retried, err error) {
	if eventID == "" {
		retried, err = s.retryAll(ctx, endpoint)
	} else {
		retried, err = s.retryOne(ctx, endpoint, eventID)
	}
	if err != nil {
		return Retried{}, fmt.Errorf("retry deliveries: %w", err)
	}
	s.outbox.wake()
	return retried, nil
}

// retryAll counts what waits before it opens what was given up.
func (s *sqliteStore) retryAll(ctx context.Context, endpoint string) (Retried, error) {
	var waiting, givenUp int
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		if err := tx.enable(endpoint); err != nil {
			return err
		}
		waiting, err = tx.count(tx.stmts.countWaiting, endpoint, millis(s.now()))
		return err
	})
	if err != nil {
		return Retried{}, err
	}
	err = s.inSteps(ctx, func(tx *transaction) (int, error) {
		n, err := tx.execCount(tx.stmts.hasten, endpoint, millis(s.now()), int64(outboxBatch), int64(0))
		return int(n), err
	}, func(int) {})
	if err != nil {
		return Retried{}, err
	}
	err = s.inSteps(ctx, func(tx *transaction) (int, error) { return tx.reopen(endpoint, "", s.now()) }, func(n int) { givenUp += n })
	return Retried{Waiting: waiting, GivenUp: givenUp}, err
}

func (s *sqliteStore) retryOne(ctx context.Context, endpoint, eventID string) (retried Retried, err error) {
	err = s.writer.do(ctx, func(tx *transaction) error {
		if err := tx.enable(endpoint); err != nil {
			return err
		}
		n, err := tx.reopen(endpoint, eventID, s.now())
		if retried = (Retried{GivenUp: n}); err != nil || n > 0 {
			return err
		}
		var seq int64
		var order string
		found, err := tx.queryRow(tx.stmts.selectWaiting, func(r scanner) error { return r.Scan(&seq, &order) }, endpoint, eventID)
		switch {
		case err != nil:
			return err
		case !found:
			return ErrNotFound
		}
		retried.Waiting = 1
		return tx.exec(tx.stmts.hastenLine, endpoint, seq, order, millis(s.now()))
	})
	return retried, err
}

func (tx *transaction) enable(endpoint string) error {
	n, err := tx.execCount(tx.stmts.enableEndpoint, endpoint)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// reopen opens some deliveries that were given up, or lets them wait for their
// turn.
func (tx *transaction) reopen(endpoint, eventID string, now time.Time) (int, error) {
	type failed struct {
		seq   int64
		order string
	}
	var all []failed
	err := tx.query(tx.stmts.selectFailed, func(r scanner) error {
		var f failed
		err := r.Scan(&f.seq, &f.order)
		all = append(all, f)
		return err
	}, endpoint, eventID, int64(outboxBatch))
	for _, f := range all {
		if f.order == "" {
			err = tx.exec(tx.stmts.reopenDelivery, f.seq, endpoint, "open", millis(now))
			continue
		}
		tx.exec(tx.stmts.reopenDelivery, f.seq, endpoint, "waiting", millis(now))
		err = tx.exec(tx.stmts.releaseNext, endpoint, f.order, millis(now))
	}
	return len(all), err
}

func (s *sqliteStore) Drop(ctx context.Context, endpoint string, which Which) (Dropped, error) {
	var total, some Dropped
	err := s.inSteps(ctx, func(tx *transaction) (n int, err error) {
		if err := tx.known(endpoint); err != nil {
			return 0, err
		}
		some, err = tx.dropSome(endpoint, which, s.now())
		return some.Waiting + some.GivenUp, err
	}, func(int) {
		total = Dropped{total.Waiting + some.Waiting, total.GivenUp + some.GivenUp, some.Sending}
	})
	if err != nil {
		return Dropped{}, fmt.Errorf("drop deliveries: %w", err)
	}
	return total, nil
}

func (tx *transaction) known(endpoint string) error {
	all, err := tx.endpoints()
	if err == nil && !slices.ContainsFunc(all, func(e EndpointState) bool { return e.Name == endpoint }) {
		err = ErrNotFound
	}
	return err
}

func (tx *transaction) dropSome(endpoint string, which Which, now time.Time) (dropped Dropped, err error) {
	type delivery struct {
		seq          int64
		order, state string
	}
	var all []delivery
	err = tx.query(tx.stmts.selectToDrop, func(r scanner) error {
		var d delivery
		err := r.Scan(&d.seq, &d.order, &d.state)
		all = append(all, d)
		return err
	}, endpoint, millis(now), which.EventID, millis(which.Before), int64(outboxBatch))
	if err != nil {
		return dropped, err
	}
	for _, d := range all {
		tx.exec(tx.stmts.deleteDelivery, d.seq, endpoint)
		tx.exec(tx.stmts.deleteEventIfDone, d.seq)
		if d.state == "failed" {
			dropped.GivenUp++
			continue
		}
		dropped.Waiting++
		tx.exec(tx.stmts.releaseNext, endpoint, d.order, millis(now))
	}
	dropped.Sending, err = tx.count(tx.stmts.countSending, endpoint, millis(now), which.EventID, millis(which.Before))
	return dropped, err
}

// inSteps runs one transaction after another for as long as each handles a whole
// batch. A transaction may be run twice, so what it has handled is told to done,
// once.
func (s *sqliteStore) inSteps(ctx context.Context, step func(tx *transaction) (int, error), done func(n int)) error {
	for n := outboxBatch; n >= outboxBatch; {
		err := s.writer.do(ctx, func(tx *transaction) (err error) {
			n, err = step(tx)
			return err
		})
		if err != nil {
			return err
		}
		done(n)
	}
	return nil
}

func (tx *transaction) count(stmt *statement, args ...any) (int, error) {
	var n int64
	_, err := tx.queryRow(stmt, func(r scanner) error { return r.Scan(&n) }, args...)
	return int(n), err
}
