package db

import (
	"context"
	"fmt"
	"time"
)

// KeyRow is a signing key as it is stored. Times are UTC, kept to the millisecond.
type KeyRow struct {
	ID            string // kid
	Alg           string // JWS name, such as ES256
	PrivateSealed []byte // the private key, sealed by the caller
	CreatedAt     time.Time
	ActiveAt      time.Time // signs from here on
	RetiredAt     time.Time // zero while it may sign
}

// KeyStore keeps signing keys.
type KeyStore interface {
	// Keys returns all keys, oldest first; none in a new store.
	Keys(ctx context.Context) ([]KeyRow, error)

	// AddFirstKey stores the key if there is none yet, and returns the first
	// key there is: this one, or the one somebody else was quicker with.
	AddFirstKey(ctx context.Context, key KeyRow) (KeyRow, error)
}

const (
	keyColumns   = `id, alg, private_sealed, created_at, active_at, retired_at`
	selectKeys   = `SELECT ` + keyColumns + ` FROM signing_keys ORDER BY created_at, id`
	insertKey    = `INSERT INTO signing_keys (` + keyColumns + `) VALUES (?1, ?2, ?3, ?4, ?5, ?6)`
	selectOneKey = selectKeys + ` LIMIT 1`
)

func (s *sqliteStore) Keys(ctx context.Context) ([]KeyRow, error) {
	keys, err := collect(ctx, s.reads.keys, scanKey)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return keys, nil
}

func (s *sqliteStore) AddFirstKey(ctx context.Context, key KeyRow) (KeyRow, error) {
	var first KeyRow
	err := s.writer.do(ctx, func(tx *transaction) error {
		found, err := tx.queryRow(tx.stmts.firstKey, func(r scanner) (err error) {
			first, err = scanKey(r)
			return err
		})
		if err != nil || found {
			return err
		}
		first = key.normal()
		return tx.exec(tx.stmts.insertKey, key.ID, key.Alg, key.PrivateSealed,
			millis(key.CreatedAt), millis(key.ActiveAt), millis(key.RetiredAt))
	})
	if err != nil {
		return KeyRow{}, fmt.Errorf("add first key: %w", err)
	}
	return first, nil
}

// normal is the key as reading it back gives it.
func (k KeyRow) normal() KeyRow {
	k.CreatedAt, k.ActiveAt, k.RetiredAt = stored(k.CreatedAt), stored(k.ActiveAt), stored(k.RetiredAt)
	return k
}

func scanKey(r scanner) (KeyRow, error) {
	var k KeyRow
	var created, active, retired int64
	err := r.Scan(&k.ID, &k.Alg, &k.PrivateSealed, &created, &active, &retired)
	k.CreatedAt, k.ActiveAt, k.RetiredAt = fromMillis(created), fromMillis(active), fromMillis(retired)
	return k, err
}
