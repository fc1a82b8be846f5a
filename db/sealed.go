package db

import (
	"context"
	"crypto/hmac"
	"fmt"
)

// SealedIdentity is what one identity keeps sealed, by the caller.
type SealedIdentity struct {
	Provider, AppID, OpenID string

	SessionKeySealed       []byte // nil: none
	UserRefreshTokenSealed []byte // nil: none
}

// SealedChange replaces what an identity keeps sealed.
type SealedChange struct{ Old, New SealedIdentity }

// SealedStore lets what is sealed be sealed again, under another secret.
type SealedStore interface {
	// SealedIdentities returns up to limit identities that keep something sealed,
	// in an order of its own, beginning behind the one given; the zero one begins
	// at the first. Fewer than limit are the last.
	SealedIdentities(ctx context.Context, after SealedIdentity, limit int) ([]SealedIdentity, error)

	// ReplaceSealed writes each sealed value of New that differs, where the identity still keeps
	// that of Old, and leaves what has changed or is gone meanwhile. It returns
	// how many values it wrote.
	ReplaceSealed(ctx context.Context, changes []SealedChange) (int, error)
}

const (
	selectSealed = `
SELECT provider, appid, openid, session_key_sealed, user_refresh_token_sealed FROM identities
WHERE (provider, appid, openid) > (?1, ?2, ?3)
  AND (session_key_sealed IS NOT NULL OR user_refresh_token_sealed IS NOT NULL)
ORDER BY provider, appid, openid LIMIT ?4`
	resealSessionKey = `
UPDATE identities SET session_key_sealed = ?5
WHERE provider = ?1 AND appid = ?2 AND openid = ?3 AND session_key_sealed = ?4`
	resealRefreshToken = `
UPDATE identities SET user_refresh_token_sealed = ?5
WHERE provider = ?1 AND appid = ?2 AND openid = ?3 AND user_refresh_token_sealed = ?4`
)

func (s *sqliteStore) SealedIdentities(ctx context.Context, after SealedIdentity, limit int) ([]SealedIdentity, error) {
	all, err := collect(ctx, s.reads.sealed, scanSealed, after.Provider, after.AppID, after.OpenID, limit)
	if err != nil {
		return nil, fmt.Errorf("read what is sealed: %w", err)
	}
	return all, nil
}

func (s *sqliteStore) ReplaceSealed(ctx context.Context, changes []SealedChange) (int, error) {
	var written int64
	err := s.writer.do(ctx, func(tx *transaction) error {
		written = 0
		for _, c := range changes {
			for _, column := range []struct {
				stmt     *statement
				old, new []byte
			}{
				{tx.stmts.resealSessionKey, c.Old.SessionKeySealed, c.New.SessionKeySealed},
				{tx.stmts.resealRefreshToken, c.Old.UserRefreshTokenSealed, c.New.UserRefreshTokenSealed},
			} {
				if column.old == nil || column.new == nil || hmac.Equal(column.old, column.new) {
					continue
				}
				n, err := tx.execCount(column.stmt, c.Old.Provider, c.Old.AppID, c.Old.OpenID, column.old, column.new)
				if err != nil {
					return err
				}
				written += n
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("replace what is sealed: %w", err)
	}
	return int(written), nil
}

func scanSealed(r scanner) (SealedIdentity, error) {
	var i SealedIdentity
	err := r.Scan(&i.Provider, &i.AppID, &i.OpenID, &i.SessionKeySealed, &i.UserRefreshTokenSealed)
	return i, err
}
