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

// RevocationStore keeps revocations for as long as they matter.
type RevocationStore interface {
	// AddRevocation stores the revocation. Of two for the same kind and value
	// the later Before and the later ExpiresAt stand.
	AddRevocation(ctx context.Context, r Revocation) error

	// Revocations returns all that have not expired.
	Revocations(ctx context.Context) ([]Revocation, error)

	// PruneRevocations drops those that have expired and returns how many.
	PruneRevocations(ctx context.Context) (int, error)
}

const (
	upsertRevocation = `
INSERT INTO revocations (kind, value, issued_before, expires_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (kind, value) DO UPDATE SET
  issued_before = CASE WHEN excluded.issued_before > revocations.issued_before
                       THEN excluded.issued_before ELSE revocations.issued_before END,
  expires_at = CASE WHEN excluded.expires_at > revocations.expires_at
                    THEN excluded.expires_at ELSE revocations.expires_at END`
	selectRevocations = `SELECT kind, value, issued_before, expires_at FROM revocations WHERE expires_at > ?1`
	pruneRevocations  = `DELETE FROM revocations WHERE expires_at <= ?1`
)

func (s *sqliteStore) AddRevocation(ctx context.Context, r Revocation) error {
	err := s.writer.do(ctx, func(tx *transaction) error { return tx.addRevocation(r) })
	if err != nil {
		return fmt.Errorf("add revocation: %w", err)
	}
	return nil
}

func (s *sqliteStore) Revocations(ctx context.Context) ([]Revocation, error) {
	all, err := collect(ctx, s.reads.revocations, scanRevocation, millis(s.now()))
	if err != nil {
		return nil, fmt.Errorf("read revocations: %w", err)
	}
	return all, nil
}

func (s *sqliteStore) PruneRevocations(ctx context.Context) (int, error) {
	now := millis(s.now())
	var pruned int64
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		pruned, err = tx.execCount(tx.stmts.pruneRevocations, now)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune revocations: %w", err)
	}
	return int(pruned), nil
}

func (tx *transaction) addRevocation(r Revocation) error {
	return tx.exec(tx.stmts.upsertRevocation, string(r.Kind), r.Value, millis(r.Before), millis(r.ExpiresAt))
}

func scanRevocation(r scanner) (Revocation, error) {
	var v Revocation
	var kind string
	var before, expires int64
	err := r.Scan(&kind, &v.Value, &before, &expires)
	v.Kind, v.Before, v.ExpiresAt = RevocationKind(kind), fromMillis(before), fromMillis(expires)
	return v, err
}
