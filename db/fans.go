package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	// An alias is never the id of a fan, so either lookup gives the survivor.
	survivingID = `coalesce((SELECT fan_id FROM fan_aliases WHERE alias_id = ?1), ?1)`

	selectFanByAnyID = `SELECT ` + fanColumns + ` FROM fans WHERE id = ` + survivingID

	identityColumns = `provider, appid, openid, fan_id, open_account, unionid, scope, subscribed,
  session_key_sealed, user_refresh_token_sealed, user_refresh_expires_at, profile_json, profile_stale,
  departments, confirmed_at, i.created_at, i.last_login_at`

	selectIdentities = `SELECT ` + identityColumns + ` FROM identities AS i WHERE fan_id = ` + survivingID + `
ORDER BY i.created_at, provider, appid, openid`

	selectFanByIdentity = `SELECT ` + identityColumns + `, ` + fanColumns + `
FROM identities AS i JOIN fans ON id = fan_id WHERE provider = ?1 AND appid = ?2 AND openid = ?3`

	// The conditions on unionid and provider are those of the index identities_union.
	selectFansByUnionID = `SELECT ` + fanColumns + ` FROM fans WHERE id IN (SELECT fan_id FROM identities
WHERE open_account = ?1 AND unionid = ?2 AND unionid <> '' AND provider <> 'wecom') ORDER BY fans.created_at, id`

	selectAliases = `SELECT alias_id FROM fan_aliases WHERE fan_id = ` + survivingID + ` ORDER BY alias_id`

	forgetRefreshToken = `UPDATE identities SET user_refresh_token_sealed = NULL, user_refresh_expires_at = 0
WHERE provider = ?1 AND appid = ?2 AND openid = ?3`

	deleteIdentities = `DELETE FROM identities WHERE fan_id = ?1`
	deleteAliases    = `DELETE FROM fan_aliases WHERE fan_id = ?1`
)

func (s *sqliteStore) Fan(ctx context.Context, id string) (Fan, error) {
	fan, err := one(ctx, s.reads.fan, scanFanRow, id)
	if err != nil {
		return Fan{}, fmt.Errorf("read fan: %w", err)
	}
	return fan, nil
}

func (s *sqliteStore) FanByIdentity(ctx context.Context, provider, appID, openID string) (Fan, Identity, error) {
	type both struct {
		Fan
		Identity
	}
	found, err := one(ctx, s.reads.fanByIdentity, func(r scanner) (b both, err error) {
		b.Identity, err = scanIdentity(func(columns []any) error { return scanFan(&b.Fan, r, columns...) })
		return b, err
	}, provider, appID, openID)
	if err != nil {
		return Fan{}, Identity{}, fmt.Errorf("read fan by identity: %w", err)
	}
	return found.Fan, found.Identity, nil
}

func (s *sqliteStore) FansByUnionID(ctx context.Context, openAccount, unionID string) ([]Fan, error) {
	fans, err := collect(ctx, s.reads.fansByUnionID, scanFanRow, openAccount, unionID)
	if err != nil {
		return nil, fmt.Errorf("read fans by unionid: %w", err)
	}
	return fans, nil
}

func (s *sqliteStore) Identities(ctx context.Context, fanID string) ([]Identity, error) {
	identities, err := collect(ctx, s.reads.identities, func(r scanner) (Identity, error) {
		return scanIdentity(func(columns []any) error { return r.Scan(columns...) })
	}, fanID)
	if err != nil {
		return nil, fmt.Errorf("read identities: %w", err)
	}
	return identities, nil
}

func (s *sqliteStore) Aliases(ctx context.Context, fanID string) ([]string, error) {
	aliases, err := collect(ctx, s.reads.aliases, scanText, fanID)
	if err != nil {
		return nil, fmt.Errorf("read aliases: %w", err)
	}
	return aliases, nil
}

// UpdateFan runs change in the caller's goroutine, outside any transaction, and
// writes only if the fan is still the one that change was given. So a slow or
// panicking change holds up nobody else.
func (s *sqliteStore) UpdateFan(ctx context.Context, id string, change func(*Fan) error) (Fan, error) {
	for {
		before, err := s.Fan(ctx, id)
		if err != nil {
			return Fan{}, fmt.Errorf("update fan: %w", err)
		}
		after := before
		if err := change(&after); err != nil {
			return Fan{}, fmt.Errorf("update fan: %w", err)
		}
		after = after.keepOwn(before)
		if after == before {
			return before, nil
		}
		after.UpdatedAt = stored(s.now())
		err = s.writer.do(ctx, func(tx *transaction) error { return tx.swapFan(before, after, s.now()) })
		if errors.Is(err, errFanMoved) {
			continue
		}
		if err != nil {
			return Fan{}, fmt.Errorf("update fan: %w", err)
		}
		return after, nil
	}
}

// errFanMoved: the fan is no longer what the caller has read.
var errFanMoved = errors.New("fan has changed meanwhile")

func (tx *transaction) swapFan(before, after Fan, now time.Time) error {
	stored, err := tx.fan(before.ID)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && stored != before:
		return errFanMoved
	case err != nil:
		return err
	}
	if err := tx.exec(tx.stmts.updateFan, fanArgs(after)...); err != nil {
		return err
	}
	return tx.tellChange(before, after, now)
}

// keepOwn undoes changes to what is the store's own and gives times the form
// in which they are read back.
func (f Fan) keepOwn(before Fan) Fan {
	f.ID, f.CreatedAt, f.UpdatedAt, f.LastLoginAt = before.ID, before.CreatedAt, before.UpdatedAt, before.LastLoginAt
	f.RegisteredAt, f.ProfileAt, f.ConsentedAt = stored(f.RegisteredAt), stored(f.ProfileAt), stored(f.ConsentedAt)
	return f
}

func (s *sqliteStore) ForgetUserRefreshToken(ctx context.Context, provider, appID, openID string) error {
	err := s.writer.do(ctx, func(tx *transaction) error {
		n, err := tx.execCount(tx.stmts.forgetRefreshToken, provider, appID, openID)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("forget user refresh token: %w", err)
	}
	return nil
}

func (s *sqliteStore) EraseFan(ctx context.Context, id string, cut, until time.Time) ([]string, error) {
	var ids []string
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		ids, err = tx.eraseFan(id, cut, until, s.now())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("erase fan: %w", err)
	}
	return ids, nil
}

func (tx *transaction) eraseFan(id string, cut, until, now time.Time) ([]string, error) {
	ids, err := tx.forgetFan(id, cut, until)
	if err != nil {
		return nil, err
	}
	return ids, tx.tellErased(ids, now)
}

// forgetFan is eraseFan, of which nobody is told yet.
func (tx *transaction) forgetFan(id string, cut, until time.Time) ([]string, error) {
	ids, err := tx.allIDs(id)
	if err != nil {
		return nil, err
	}
	keys, err := tx.eventKeys(ids)
	if err != nil {
		return nil, err
	}
	if err := tx.eraseEvents(ids[0], keys); err != nil {
		return nil, err
	}
	for _, erased := range ids {
		tx.addRevocation(Revocation{Kind: RevokedSubject, Value: erased, Before: cut, ExpiresAt: until})
	}
	tx.exec(tx.stmts.eraseScans, ids[0]) // while the identities tell whose they are
	tx.exec(tx.stmts.deleteLinks, ids[0])
	tx.exec(tx.stmts.deleteAliases, ids[0])
	tx.exec(tx.stmts.deleteIdentities, ids[0])
	return ids, tx.exec(tx.stmts.deleteFan, ids[0])
}

func scanFanRow(r scanner) (f Fan, err error) {
	err = scanFan(&f, r)
	return f, err
}

// scanIdentity hands the places of identityColumns to scan, which reads them,
// alone or before others of the row.
func scanIdentity(scan func(columns []any) error) (Identity, error) {
	var i Identity
	var subscribed sql.NullBool
	var expires, stale, confirmed, created, lastLogin int64
	err := scan([]any{&i.Provider, &i.AppID, &i.OpenID, &i.FanID, &i.OpenAccount, &i.UnionID, &i.Scope, &subscribed,
		&i.SessionKeySealed, &i.UserRefreshTokenSealed, &expires, &i.ProfileJSON, &stale,
		&i.Departments, &confirmed, &created, &lastLogin})
	i.ProfileStale = stale != 0
	if subscribed.Valid {
		i.Subscribed = &subscribed.Bool
	}
	i.UserRefreshExpiresAt = fromMillis(expires)
	i.ConfirmedAt = fromMillis(confirmed)
	i.CreatedAt, i.LastLoginAt = fromMillis(created), fromMillis(lastLogin)
	return i, err
}

func scanText(r scanner) (text string, err error) {
	err = r.Scan(&text)
	return text, err
}
