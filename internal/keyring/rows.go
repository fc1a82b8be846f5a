package keyring

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"wxbridge/db"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
)

// Purpose labels of sealed keys; the key's id is the associated data, so that no
// row can be passed off as another. Public parts are sealed too: whoever could
// write one into the store could otherwise sign for us.
const (
	signingPurpose   = "signing key"
	verifyingPurpose = "verifying key"
)

func purposeOf(row db.KeyRow) string {
	if row.RetiredAt.IsZero() {
		return signingPurpose
	}
	return verifyingPurpose
}

// newRow seals a key that will sign.
func newRow(key jwtauth.Key, box *seal.Box) (db.KeyRow, error) {
	private, err := key.MarshalPrivate()
	if err != nil {
		return db.KeyRow{}, err
	}
	return db.KeyRow{ID: key.ID(), Alg: key.Alg(), Sealed: box.Seal(signingPurpose, private, []byte(key.ID()))}, nil
}

// open gives a row's key. One that is retired verifies only, unless it is HS256.
func open(row db.KeyRow, box *seal.Box) (jwtauth.Key, error) {
	content, err := box.Open(purposeOf(row), row.Sealed, []byte(row.ID))
	if err != nil {
		return jwtauth.Key{}, ErrWrongSecret
	}
	var key jwtauth.Key
	switch {
	case row.Alg == jwtauth.HS256:
		key, err = jwtauth.NewSymmetricKey(content)
	case row.RetiredAt.IsZero():
		key, err = jwtauth.ParsePrivateKey(row.ID, content)
	default:
		key, err = parsePublic(row.ID, content)
	}
	switch {
	case err != nil:
		return jwtauth.Key{}, err
	case key.Alg() != row.Alg:
		return jwtauth.Key{}, fmt.Errorf("is an %s key, but the row says %q", key.Alg(), row.Alg)
	case key.ID() != row.ID:
		return jwtauth.Key{}, errors.New("is a secret with another id")
	}
	return key, nil
}

func parsePublic(kid string, der []byte) (jwtauth.Key, error) {
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return jwtauth.Key{}, errors.New("is not a public key")
	}
	return jwtauth.NewPublicKey(kid, public)
}

// retire destroys the private part of a key that signed until some moment. An
// HS256 secret is still needed to verify.
func retire(row db.KeyRow, signedUntil time.Time, box *seal.Box) (db.KeyRow, error) {
	key, err := open(row, box)
	if err != nil {
		return row, fmt.Errorf("signing key %q: %w", row.ID, err)
	}
	var content []byte
	if key.Public() == nil {
		content, err = key.MarshalPrivate()
	} else {
		content, err = x509.MarshalPKIXPublicKey(key.Public())
	}
	if err != nil {
		return row, fmt.Errorf("signing key %q: %w", row.ID, err)
	}
	row.RetiredAt = signedUntil
	row.Sealed = box.Seal(verifyingPurpose, content, []byte(row.ID))
	return row, nil
}

// compromise ends all trust in a key and destroys what is stored of it.
func compromise(row db.KeyRow, now time.Time) db.KeyRow {
	if row.CompromisedAt.IsZero() {
		row.CompromisedAt = now
	}
	row.Sealed = []byte{}
	return row
}

// checkAll opens every row that is still trusted.
func checkAll(rows []db.KeyRow, box *seal.Box) error {
	for _, row := range rows {
		if !row.CompromisedAt.IsZero() {
			continue
		}
		if _, err := open(row, box); err != nil {
			return fmt.Errorf("signing key %q: %w", row.ID, err)
		}
	}
	return nil
}

// byAge is the order in which the store gives keys.
func byAge(a, b db.KeyRow) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

func equalRows(a, b []db.KeyRow) bool { return slices.EqualFunc(a, b, db.KeyRow.Equal) }

// stored is the time as the store keeps it, so that what is decided now is what
// other processes read.
func stored(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
