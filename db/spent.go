package db

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// SpentStore remembers what may be used once. An id is of the caller's making and
// long enough to be nobody else's.
type SpentStore interface {
	// Spend marks id as used until the given time, after which its user must refuse
	// it by its age. Of several calls with one id, in any number of processes, exactly
	// one reports first; it returns when that is on disk.
	Spend(ctx context.Context, id string, until time.Time) (first bool, err error)

	// Spent reports whether id was used.
	Spent(ctx context.Context, id string) (bool, error)

	// PruneSpent forgets some of the ids that no longer matter and returns how many;
	// 0 when none is left. One call takes a bounded time.
	PruneSpent(ctx context.Context) (int, error)
}

const (
	// spentMargin is for a clock that is set back by an hour.
	spentMargin = time.Hour

	spentBatch = 1000 // what one call of PruneSpent forgets at most
)

const (
	insertSpent = `INSERT INTO spent (id, expires_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING`

	selectSpent = `SELECT EXISTS (SELECT 1 FROM spent WHERE id = ?1)`

	pruneSpent = `DELETE FROM spent WHERE id IN
  (SELECT id FROM spent WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)`
)

func (s *sqliteStore) Spend(ctx context.Context, id string, until time.Time) (bool, error) {
	if id == "" {
		return false, errors.New("spend: no id")
	}
	var added int64
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		added, err = tx.execCount(tx.stmts.insertSpent, id, millis(until))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("spend: %w", err)
	}
	return added == 1, nil
}

func (s *sqliteStore) Spent(ctx context.Context, id string) (bool, error) {
	spent, err := one(ctx, s.reads.spent, func(r scanner) (yes bool, err error) {
		err = r.Scan(&yes)
		return yes, err
	}, id)
	if err != nil {
		return false, fmt.Errorf("read whether it is spent: %w", err)
	}
	return spent, nil
}

func (s *sqliteStore) PruneSpent(ctx context.Context) (int, error) {
	before := millis(s.now().Add(-spentMargin))
	var pruned int64
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		pruned, err = tx.execCount(tx.stmts.pruneSpent, before, int64(spentBatch))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune what is spent: %w", err)
	}
	return int(pruned), nil
}
