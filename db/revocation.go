package db

import (
	"context"
	"fmt"
	"time"
)

// RevocationKind says what a revocation is about.
type RevocationKind string

const (
	RevokedSession RevocationKind = "sid" // one login and its renewals
	RevokedSubject RevocationKind = "sub" // all of a fan's tokens issued before a moment
)

// Revocation ends tokens before they expire. Times are UTC, kept to the millisecond.
type Revocation struct {
	Kind      RevocationKind
	Value     string    // a sid or a sub
	Before    time.Time // of a subject: tokens issued earlier are refused
	ExpiresAt time.Time // from here on every token meant has expired anyway
}

// Revoked says which subjects an operation has revoked: their tokens issued
// before Before. The zero value revoked nothing.
type Revoked struct {
	Subjects []string // the fan's id, then its aliases
	Before   time.Time
}

// RevocationStore keeps revocations for as long as they matter.
type RevocationStore interface {
	// AddRevocation stores the revocation. Of two for the same kind and value
	// the later Before and the later ExpiresAt stand.
	AddRevocation(ctx context.Context, r Revocation) error

	// RevokeFan revokes every token of the fan and its aliases that anybody has
	// issued by the time it returns, and none that is issued with Revoked.Before
	// as its time. Before is a whole second, at most two ahead, since tokens tell
	// their time of issue in seconds; only after a clock was set back it may lie
	// further ahead. The revocations last until the given time. ErrNotFound if
	// there is no such fan.
	RevokeFan(ctx context.Context, id string, until time.Time) (Revoked, error)

	// Revocations returns all that have not expired.
	Revocations(ctx context.Context) ([]Revocation, error)

	// RevocationsAfter returns those added or widened after mark that have not
	// expired, oldest first, and the mark to go on from. The first mark is 0. One
	// call returns a bounded number; when it returns none, there are no more.
	RevocationsAfter(ctx context.Context, mark int64) (added []Revocation, next int64, err error)

	// Revoked reports whether a token with this sid, sub and iat is revoked by
	// what any process has stored.
	Revoked(ctx context.Context, sid, sub string, issuedAt time.Time) (bool, error)

	// PruneRevocations drops some of those that have expired and returns how
	// many; 0 when none is left. One call takes a bounded time.
	PruneRevocations(ctx context.Context) (int, error)
}

// revocationBatch bounds what one call of RevocationsAfter or PruneRevocations
// handles.
const revocationBatch = 1000

const (
	nextRevocation = `UPDATE revocation_sequence SET last = last + 1`

	upsertRevocation = `
INSERT INTO revocations (kind, value, issued_before, expires_at, seq)
VALUES (?1, ?2, ?3, ?4, (SELECT last FROM revocation_sequence WHERE one = 1))
ON CONFLICT (kind, value) DO UPDATE SET
  issued_before = CASE WHEN excluded.issued_before > revocations.issued_before
                       THEN excluded.issued_before ELSE revocations.issued_before END,
  expires_at = CASE WHEN excluded.expires_at > revocations.expires_at
                    THEN excluded.expires_at ELSE revocations.expires_at END,
  seq = excluded.seq`

	selectRevocations = `SELECT kind, value, issued_before, expires_at FROM revocations WHERE expires_at > ?1`

	selectNewRevocations = `SELECT kind, value, issued_before, expires_at, seq FROM revocations
WHERE seq > ?1 AND expires_at > ?2 ORDER BY seq LIMIT ?3`

	selectRevoked = `SELECT EXISTS (SELECT 1 FROM revocations WHERE kind = 'sid' AND value = ?1)
OR EXISTS (SELECT 1 FROM revocations WHERE kind = 'sub' AND value = ?2 AND issued_before > ?3)`

	selectCut = `SELECT issued_before FROM revocations WHERE kind = 'sub' AND value = ?1`

	pruneRevocations = `DELETE FROM revocations WHERE (kind, value) IN
  (SELECT kind, value FROM revocations WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)`
)

func (s *sqliteStore) AddRevocation(ctx context.Context, r Revocation) error {
	err := s.writer.do(ctx, func(tx *transaction) error { return tx.addRevocation(r) })
	if err != nil {
		return fmt.Errorf("add revocation: %w", err)
	}
	return nil
}

func (s *sqliteStore) RevokeFan(ctx context.Context, id string, until time.Time) (Revoked, error) {
	revoked, err := s.revokeFan(ctx, id, until)
	if err != nil {
		return Revoked{}, fmt.Errorf("revoke fan: %w", err)
	}
	return revoked, nil
}

func (s *sqliteStore) revokeFan(ctx context.Context, id string, until time.Time) (Revoked, error) {
	for {
		var revoked Revoked
		err := s.writer.do(ctx, func(tx *transaction) (err error) {
			revoked, err = tx.revokeFan(id, until, s.now())
			return err
		})
		if err != nil || s.inTime(revoked) {
			return revoked, err
		}
	}
}

// inTime reports whether a revocation, now on disk, was there before its cut.
// Else somebody who could not see it yet may have issued a token after the cut.
func (s *sqliteStore) inTime(r Revoked) bool { return s.now().Before(r.Before) }

func (s *sqliteStore) Revocations(ctx context.Context) ([]Revocation, error) {
	all, err := collect(ctx, s.reads.revocations, scanRevocation, millis(s.now()))
	if err != nil {
		return nil, fmt.Errorf("read revocations: %w", err)
	}
	return all, nil
}

func (s *sqliteStore) RevocationsAfter(ctx context.Context, mark int64) ([]Revocation, int64, error) {
	added, err := collect(ctx, s.reads.newRevocations, func(r scanner) (Revocation, error) {
		return scanRevocationAnd(r, &mark)
	}, mark, millis(s.now()), revocationBatch)
	if err != nil {
		return nil, 0, fmt.Errorf("read new revocations: %w", err)
	}
	return added, mark, nil
}

func (s *sqliteStore) Revoked(ctx context.Context, sid, sub string, issuedAt time.Time) (bool, error) {
	revoked, err := one(ctx, s.reads.revoked, func(r scanner) (yes bool, err error) {
		err = r.Scan(&yes)
		return yes, err
	}, sid, sub, millis(issuedAt))
	if err != nil {
		return false, fmt.Errorf("read whether a token is revoked: %w", err)
	}
	return revoked, nil
}

func (s *sqliteStore) PruneRevocations(ctx context.Context) (int, error) {
	now := millis(s.now())
	var pruned int64
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		pruned, err = tx.execCount(tx.stmts.pruneRevocations, now, int64(revocationBatch))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune revocations: %w", err)
	}
	return int(pruned), nil
}

func (tx *transaction) addRevocation(r Revocation) error {
	tx.exec(tx.stmts.nextRevocation)
	return tx.exec(tx.stmts.upsertRevocation, string(r.Kind), r.Value, millis(r.Before), millis(r.ExpiresAt))
}

// revokeFan revokes what was issued to the fan and its aliases.
func (tx *transaction) revokeFan(id string, until, now time.Time) (Revoked, error) {
	ids, err := tx.allIDs(id)
	if err != nil {
		return Revoked{}, err
	}
	return tx.revokeSubjects(ids, until, now)
}

// revokeSubjects cuts at the next whole second. Where an earlier cut is that far
// ahead already, a token may carry it as its time of issue, so the new cut lies
// a second later.
func (tx *transaction) revokeSubjects(ids []string, until, now time.Time) (Revoked, error) {
	before := stored(now).Truncate(time.Second).Add(time.Second)
	for _, id := range ids {
		cut, err := tx.cutOf(id)
		if err != nil {
			return Revoked{}, err
		}
		if !cut.Before(before) {
			before = cut.Truncate(time.Second).Add(time.Second)
		}
	}
	var err error
	for _, id := range ids {
		err = tx.addRevocation(Revocation{Kind: RevokedSubject, Value: id, Before: before, ExpiresAt: until})
	}
	return Revoked{Subjects: ids, Before: before}, err
}

// cutOf is the time before which tokens of the subject are revoked, zero if none is.
func (tx *transaction) cutOf(id string) (time.Time, error) {
	var cut int64
	_, err := tx.queryRow(tx.stmts.selectCut, func(r scanner) error { return r.Scan(&cut) }, id)
	return fromMillis(cut), err
}

func scanRevocation(r scanner) (Revocation, error) { return scanRevocationAnd(r) }

// scanRevocationAnd reads a row of a revocation followed by the others.
func scanRevocationAnd(r scanner, others ...any) (Revocation, error) {
	var v Revocation
	var kind string
	var before, expires int64
	err := r.Scan(append([]any{&kind, &v.Value, &before, &expires}, others...)...)
	v.Kind, v.Before, v.ExpiresAt = RevocationKind(kind), fromMillis(before), fromMillis(expires)
	return v, err
}
