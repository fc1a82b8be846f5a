// Package keyring turns the store's key rows into the key set that signs and
// verifies: it unseals them and makes the first one.
package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"wxbridge/db"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
)

var (
	// ErrWrongSecret: a stored key does not open. Either the secret is not the one
	// the key was sealed with, or the row is damaged.
	ErrWrongSecret = errors.New("WXBRIDGE_SECRET does not open it (another secret than the one this database was made with, or a damaged row)")

	// ErrNoSigningKey: there are keys, but all have been retired.
	ErrNoSigningKey = errors.New("the store has signing keys, but all are retired")
)

// purpose labels sealed private keys; the key's id is the associated data, so
// that no row can be passed off as another.
const purpose = "signing key"

// Open loads all keys. In an empty store it makes the first one; of several
// processes that do so at once, all end with the same key. It never replaces a
// key: one that cannot be opened is an error ([ErrWrongSecret]) and stays as it
// is, since a new key in its place would log everybody out.
func Open(ctx context.Context, store db.KeyStore, box *seal.Box, now func() time.Time) (*jwtauth.KeySet, error) {
	rows, err := store.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("load signing keys: %w", err)
	}
	if len(rows) == 0 {
		first, err := addFirst(ctx, store, box, now())
		if err != nil {
			return nil, fmt.Errorf("make the first signing key: %w", err)
		}
		rows = []db.KeyRow{first}
	}
	return keySet(rows, box, now())
}

func addFirst(ctx context.Context, store db.KeyStore, box *seal.Box, now time.Time) (db.KeyRow, error) {
	key, err := jwtauth.GenerateKey(jwtauth.ES256)
	if err != nil {
		return db.KeyRow{}, err
	}
	private, err := key.MarshalPrivate()
	if err != nil {
		return db.KeyRow{}, err
	}
	return store.AddFirstKey(ctx, db.KeyRow{
		ID: key.ID(), Alg: key.Alg(), PrivateSealed: box.Seal(purpose, private, []byte(key.ID())),
		CreatedAt: now, ActiveAt: now,
	})
}

// keySet verifies with every row and signs with one.
func keySet(rows []db.KeyRow, box *seal.Box, now time.Time) (*jwtauth.KeySet, error) {
	var all []jwtauth.Key
	signing := -1
	for i, row := range rows {
		key, err := open(row, box)
		if err != nil {
			return nil, fmt.Errorf("signing key %q: %w", row.ID, err)
		}
		all = append(all, key)
		if row.RetiredAt.IsZero() && (signing < 0 || signsBefore(row, rows[signing], now)) {
			signing = i
		}
	}
	if signing < 0 {
		return nil, ErrNoSigningKey
	}
	return jwtauth.NewKeySet(all[signing], all...)
}

// signsBefore prefers the key that became active last. Where none is active yet,
// as after a clock was set back, the next one signs: better than no service.
func signsBefore(a, b db.KeyRow, now time.Time) bool {
	activeA, activeB := !a.ActiveAt.After(now), !b.ActiveAt.After(now)
	if activeA != activeB {
		return activeA
	}
	return a.ActiveAt.After(b.ActiveAt) == activeA
}

func open(row db.KeyRow, box *seal.Box) (jwtauth.Key, error) {
	private, err := box.Open(purpose, row.PrivateSealed, []byte(row.ID))
	if err != nil {
		return jwtauth.Key{}, ErrWrongSecret
	}
	key, err := jwtauth.ParsePrivateKey(row.ID, private)
	if err != nil {
		return jwtauth.Key{}, err
	}
	if key.Alg() != row.Alg {
		return jwtauth.Key{}, fmt.Errorf("is an %s key, but the row says %q", key.Alg(), row.Alg)
	}
	return key, nil
}
