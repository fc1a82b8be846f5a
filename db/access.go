package db

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Access is what an operator decides about a fan. Zero fields leave it as it is.
type Access struct {
	Status Status
	Role   *string // "" takes the role away
}

// AccessChange is what came of it.
type AccessChange struct {
	Before, After Fan
	Revoked       Revoked // zero if the change takes nothing away
}

// revokes reports whether tokens from before the change say more than the fan
// may do now. Roles have no order, so any change of a role may be a lower one.
func (a Access) revokes(before Fan) bool {
	return a.Status == StatusBlocked || a.Role != nil && before.Role != "" && before.Role != *a.Role
}

func (s *sqliteStore) SetAccess(ctx context.Context, id string, a Access, until time.Time) (AccessChange, error) {
	var change AccessChange
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		change, err = tx.setAccess(id, a, until, s.now())
		return err
	})
	if err == nil && len(change.Revoked.Subjects) > 0 && !s.inTime(change.Revoked) {
		change.Revoked, err = s.revokeFan(ctx, change.After.ID, until)
	}
	if err != nil {
		return AccessChange{}, fmt.Errorf("set access: %w", err)
	}
	return change, nil
}

func (tx *transaction) setAccess(id string, a Access, until, now time.Time) (AccessChange, error) {
	before, err := tx.fanByAnyID(id)
	if err != nil {
		return AccessChange{}, err
	}
	change := AccessChange{Before: before, After: before}
	if a.Status != "" {
		change.After.Status = a.Status
	}
	if a.Role != nil {
		change.After.Role = *a.Role
	}
	if change.After != before {
		change.After.UpdatedAt = stored(now)
		if err := tx.exec(tx.stmts.updateFan, fanArgs(change.After)...); err != nil {
			return AccessChange{}, err
		}
		if err := tx.tellChange(before, change.After, now); err != nil {
			return AccessChange{}, err
		}
	}
	if a.revokes(before) {
		change.Revoked, err = tx.revokeFan(before.ID, until, now)
	}
	return change, err
}

// fanByAnyID is the fan that has the id or the alias, or ErrNotFound.
func (tx *transaction) fanByAnyID(id string) (Fan, error) {
	var fan Fan
	found, err := tx.queryRow(tx.stmts.fanByAnyID, func(r scanner) error { return scanFan(&fan, r) }, id)
	if err == nil && !found {
		err = ErrNotFound
	}
	return fan, err
}

// allIDs are the surviving id of the fan and its aliases.
func (tx *transaction) allIDs(id string) ([]string, error) {
	fan, err := tx.fanByAnyID(id)
	if err != nil {
		return nil, err
	}
	ids := []string{fan.ID}
	err = tx.query(tx.stmts.selectAliases, func(r scanner) error {
		alias, err := scanText(r)
		ids = append(ids, alias)
		return err
	}, fan.ID)
	return ids, err
}

// FanFilter selects fans. Zero fields select all.
type FanFilter struct {
	Status   Status
	Role     string
	Provider string // fans with an identity of this provider
	Nickname string // a part of it; ASCII letters match in either case
	After    string // fans whose id comes after this one
	Limit    int    // at most this many, 1 to MaxFans; required
}

// MaxFans is the most fans one call of Fans returns.
const MaxFans = 1000

const (
	selectFans = `SELECT ` + fanColumns + ` FROM fans WHERE id > ?1
  AND (?2 = '' OR status = ?2) AND (?3 = '' OR role = ?3)
  AND (?4 = '' OR EXISTS (SELECT 1 FROM identities WHERE fan_id = fans.id AND provider = ?4))
  AND (?5 = '' OR instr(lower(nickname), lower(?5)) > 0)
ORDER BY id LIMIT ?6`

	// Reads the whole index, in which the openid comes last: an operator's
	// question, asked rarely, is not worth another index in every login.
	selectByOpenID = `SELECT ` + identityColumns + ` FROM identities AS i WHERE openid = ?1
ORDER BY provider, appid LIMIT ?2`
)

func (s *sqliteStore) Fans(ctx context.Context, f FanFilter) ([]Fan, error) {
	if f.Limit < 1 || f.Limit > MaxFans {
		return nil, fmt.Errorf("list fans: limit %d is not between 1 and %d", f.Limit, MaxFans)
	}
	fans, err := collect(ctx, s.reads.fans, scanFanRow,
		f.After, string(f.Status), f.Role, f.Provider, f.Nickname, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list fans: %w", err)
	}
	return fans, nil
}

func (s *sqliteStore) IdentitiesByOpenID(ctx context.Context, openID string) ([]Identity, error) {
	if openID == "" {
		return nil, errors.New("identities by openid: no openid")
	}
	identities, err := collect(ctx, s.reads.byOpenID, func(r scanner) (Identity, error) {
		return scanIdentity(func(columns []any) error { return r.Scan(columns...) })
	}, openID, MaxFans)
	if err != nil {
		return nil, fmt.Errorf("identities by openid: %w", err)
	}
	return identities, nil
}
