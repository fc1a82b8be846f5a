package db

import (
	"context"
	"crypto/hmac"
	"fmt"
	"time"
)

// KeyRow is a signing key as it is stored. Times are UTC, kept to the
// millisecond; lives too.
type KeyRow struct {
	ID            string // kid
	Alg           string // JWS name, such as ES256
	Sealed        []byte // the key, sealed by the caller; the private part only while it may sign
	CreatedAt     time.Time
	ActiveAt      time.Time // signs from here on
	RetiredAt     time.Time // zero while it may sign
	CompromisedAt time.Time // zero while it is trusted

	TokenTTL   time.Duration // the longest life of a token that it signed
	JWKSMaxAge time.Duration // the longest time that others may cache the key set it signs beside
}

// KeyStore keeps signing keys.
type KeyStore interface {
	// Keys returns all keys, oldest first; none in a new store.
	Keys(ctx context.Context) ([]KeyRow, error)

	// ChangeKeys gives change all keys, oldest first, and stores what it returns
	// in their place: the whole of it or nothing, and nobody else changes keys in
	// between. It returns what is stored then. An error of change leaves all as it
	// was and is returned. change may run more than once, and must be quick, leave
	// the rows it is given as they are, and not use the store.
	ChangeKeys(ctx context.Context, change func([]KeyRow) ([]KeyRow, error)) ([]KeyRow, error)
}

const (
	keyColumns = `id, alg, sealed, created_at, active_at, retired_at, compromised_at, token_ttl, jwks_max_age`
	selectKeys = `SELECT ` + keyColumns + ` FROM signing_keys ORDER BY created_at, id`
	upsertKey  = `
INSERT INTO signing_keys (` + keyColumns + `) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (id) DO UPDATE SET
  alg = excluded.alg, sealed = excluded.sealed, created_at = excluded.created_at, active_at = excluded.active_at,
  retired_at = excluded.retired_at, compromised_at = excluded.compromised_at, token_ttl = excluded.token_ttl,
  jwks_max_age = excluded.jwks_max_age`
	deleteKey = `DELETE FROM signing_keys WHERE id = ?1`
)

func (s *sqliteStore) Keys(ctx context.Context) ([]KeyRow, error) {
	keys, err := collect(ctx, s.reads.keys, scanKey)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return keys, nil
}

func (s *sqliteStore) ChangeKeys(ctx context.Context, change func([]KeyRow) ([]KeyRow, error)) ([]KeyRow, error) {
	var after []KeyRow
	err := s.writer.do(ctx, func(tx *transaction) error {
		before, err := tx.keys()
		if err != nil {
			return err
		}
		wanted, err := change(before)
		if err != nil {
			return err
		}
		if err := tx.putKeys(before, wanted); err != nil {
			return err
		}
		after, err = tx.keys()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("change keys: %w", err)
	}
	return after, nil
}

func (tx *transaction) keys() ([]KeyRow, error) {
	var all []KeyRow
	err := tx.query(tx.stmts.selectKeys, func(r scanner) error {
		k, err := scanKey(r)
		all = append(all, k)
		return err
	})
	return all, err
}

// putKeys writes what differs.
func (tx *transaction) putKeys(before, wanted []KeyRow) error {
	old := make(map[string]KeyRow, len(before))
	for _, k := range before {
		old[k.ID] = k
	}
	for _, k := range wanted {
		known, ok := old[k.ID]
		delete(old, k.ID)
		if ok && known.Equal(k) {
			continue
		}
		err := tx.exec(tx.stmts.upsertKey, k.ID, k.Alg, k.Sealed, millis(k.CreatedAt), millis(k.ActiveAt),
			millis(k.RetiredAt), millis(k.CompromisedAt), k.TokenTTL.Milliseconds(), k.JWKSMaxAge.Milliseconds())
		if err != nil {
			return err
		}
	}
	for id := range old {
		if err := tx.exec(tx.stmts.deleteKey, id); err != nil {
			return err
		}
	}
	return nil
}

// Equal reports whether both rows are the same once they are stored.
func (k KeyRow) Equal(other KeyRow) bool {
	return k.ID == other.ID && k.Alg == other.Alg && hmac.Equal(k.Sealed, other.Sealed) &&
		millis(k.CreatedAt) == millis(other.CreatedAt) && millis(k.ActiveAt) == millis(other.ActiveAt) &&
		millis(k.RetiredAt) == millis(other.RetiredAt) && millis(k.CompromisedAt) == millis(other.CompromisedAt) &&
		k.TokenTTL.Milliseconds() == other.TokenTTL.Milliseconds() && k.JWKSMaxAge.Milliseconds() == other.JWKSMaxAge.Milliseconds()
}

func scanKey(r scanner) (KeyRow, error) {
	var k KeyRow
	var created, active, retired, compromised, ttl, maxAge int64
	err := r.Scan(&k.ID, &k.Alg, &k.Sealed, &created, &active, &retired, &compromised, &ttl, &maxAge)
	k.CreatedAt, k.ActiveAt, k.RetiredAt = fromMillis(created), fromMillis(active), fromMillis(retired)
	k.CompromisedAt = fromMillis(compromised)
	k.TokenTTL, k.JWKSMaxAge = time.Duration(ttl)*time.Millisecond, time.Duration(maxAge)*time.Millisecond
	return k, err
}
