package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

var (
	// ErrSameFan: the two are one fan already.
	ErrSameFan = errors.New("the same fan")

	// ErrRolesDiffer: both fans have a role, and not the same.
	ErrRolesDiffer = errors.New("the fans have different roles")
)

// Link is what an operator has linked: the fan Alias was to the fan ID.
type Link struct {
	Alias    string
	FanID    string
	LinkedAt time.Time
	Before   Fan // what the fan Alias was
}

// LinkResult is what came of linking two fans, or of undoing that.
type LinkResult struct {
	Fan   Fan // who survives; after Unlink, as they are without the other
	Other Fan // who was linked to them; after Unlink, a fan of their own again
	Moved []Identity

	// Revoked: a token of these ids may name what they are no longer.
	Revoked []Revoked
}

// LinkStore joins fans of whom an operator says that they are one person, and parts
// them again.
type LinkStore interface {
	// LinkFans merges the fans a and b, by the rules of SaveLogin: the older survives,
	// the younger id becomes an alias. What undoes it is kept. ErrSameFan,
	// ErrRolesDiffer or ErrNotFound. Until is as of RevokeFan: a merge that blocks a
	// fan revokes the tokens.
	LinkFans(ctx context.Context, a, b string, until time.Time) (LinkResult, error)

	// Unlink undoes a link: the alias is a fan again, with the identities and aliases
	// that it brought and the fields that it had, but for a role that was taken from
	// the fan or a profile that was withdrawn since; where the other fan has got a field
	// from it and nobody has changed that since, the field is again what it was. A
	// block of the fan stays a block of both. The tokens of both are revoked.
	// ErrNotFound if the alias was not linked by LinkFans, or the fan is erased.
	Unlink(ctx context.Context, alias string, until time.Time) (LinkResult, error)

	// Links returns the links of the fan that have not been undone, oldest first.
	Links(ctx context.Context, fanID string) ([]Link, error)
}

const (
	insertLink = `INSERT INTO fan_links (alias_id, fan_id, linked_at, undo) VALUES (?1, ?2, ?3, ?4)`
	selectLink = `SELECT fan_id, undo FROM fan_links WHERE alias_id = ?1`
	moveLinks  = `UPDATE fan_links SET fan_id = ?2 WHERE fan_id = ?1`
	deleteLink = `DELETE FROM fan_links WHERE alias_id = ?1`

	deleteLinks = `DELETE FROM fan_links WHERE fan_id = ?1`

	selectLinks = `SELECT alias_id, fan_id, linked_at, undo FROM fan_links WHERE fan_id = ` + survivingID + ` ORDER BY linked_at, alias_id`

	// One that is somebody else's by now stays there.
	moveIdentityBack = `UPDATE identities SET fan_id = ?5 WHERE provider = ?1 AND appid = ?2 AND openid = ?3 AND fan_id = ?4`

	selectUndos = `SELECT alias_id, undo FROM fan_links WHERE fan_id = ?1`
	updateUndo  = `UPDATE fan_links SET undo = ?2 WHERE alias_id = ?1`

	// What was linked to the loser before.
	moveLink = `UPDATE fan_links SET fan_id = ?2 WHERE alias_id = ?1`

	deleteAlias = `DELETE FROM fan_aliases WHERE alias_id = ?1 AND fan_id = ?2`
)

// undo is what a link has to keep. Its JSON is in the database.
type undo struct {
	Survivor   Fan           `json:"survivor"` // before the merge
	Merged     Fan           `json:"merged"`   // after it
	Loser      Fan           `json:"loser"`
	Identities []identityKey `json:"identities"` // of the loser
	Aliases    []string      `json:"aliases"`    // of the loser
}

type identityKey struct {
	Provider string `json:"provider"`
	AppID    string `json:"appid"`
	OpenID   string `json:"openid"`
}

func (s *sqliteStore) LinkFans(ctx context.Context, a, b string, until time.Time) (LinkResult, error) {
	var result LinkResult
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		result, err = tx.linkFans(a, b, until, s.now())
		return err
	})
	if err == nil {
		err = s.revokeInTime(ctx, &result, until)
	}
	if err != nil {
		return LinkResult{}, fmt.Errorf("link fans: %w", err)
	}
	return result, nil
}

func (s *sqliteStore) Unlink(ctx context.Context, alias string, until time.Time) (LinkResult, error) {
	var result LinkResult
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		result, err = tx.unlink(alias, until, s.now())
		return err
	})
	if err == nil {
		err = s.revokeInTime(ctx, &result, until)
	}
	if err != nil {
		return LinkResult{}, fmt.Errorf("unlink fans: %w", err)
	}
	return result, nil
}

func (s *sqliteStore) revokeInTime(ctx context.Context, result *LinkResult, until time.Time) (err error) {
	for i, revoked := range result.Revoked {
		if !s.inTime(revoked) {
			if result.Revoked[i], err = s.revokeFan(ctx, revoked.Subjects[0], until); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *sqliteStore) Links(ctx context.Context, fanID string) ([]Link, error) {
	links, err := collect(ctx, s.reads.links, func(r scanner) (l Link, err error) {
		var linked int64
		var kept []byte
		if err := r.Scan(&l.Alias, &l.FanID, &linked, &kept); err != nil {
			return Link{}, err
		}
		var u undo
		err = json.Unmarshal(kept, &u)
		l.LinkedAt, l.Before = fromMillis(linked), u.Loser
		return l, err
	}, fanID)
	if err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	return links, nil
}

func (tx *transaction) linkFans(a, b string, until, now time.Time) (LinkResult, error) {
	first, err := tx.fanByAnyID(a)
	if err != nil {
		return LinkResult{}, err
	}
	second, err := tx.fanByAnyID(b)
	switch {
	case err != nil:
		return LinkResult{}, err
	case first.ID == second.ID:
		return LinkResult{}, ErrSameFan
	case rolesDiffer(first, second):
		return LinkResult{}, ErrRolesDiffer
	}
	if older(second, first) {
		first, second = second, first
	}
	kept, err := tx.keep(first, second)
	if err != nil {
		return LinkResult{}, err
	}
	merged, loser := mergeFans(first, second, now)
	kept.Merged = merged
	if err := tx.absorb(merged, loser, now); err != nil {
		return LinkResult{}, err
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return LinkResult{}, err
	}
	result := LinkResult{Fan: merged, Other: second, Moved: kept.moved()}
	if err := tx.exec(tx.stmts.insertLink, loser, merged.ID, millis(now), text); err != nil {
		return LinkResult{}, err
	}
	if first.Status == StatusBlocked || second.Status == StatusBlocked {
		revoked, err := tx.revokeFan(merged.ID, until, now)
		result.Revoked = []Revoked{revoked}
		return result, err
	}
	return result, nil
}

// keep notes what the loser is and has.
func (tx *transaction) keep(survivor, loser Fan) (undo, error) {
	u := undo{Survivor: survivor, Loser: loser, Identities: []identityKey{}}
	err := tx.query(tx.stmts.identityKeys, func(r scanner) error {
		var k identityKey
		err := r.Scan(&k.Provider, &k.AppID, &k.OpenID)
		u.Identities = append(u.Identities, k)
		return err
	}, loser.ID)
	if err != nil {
		return u, err
	}
	u.Aliases, err = tx.allIDs(loser.ID)
	u.Aliases = slices.DeleteFunc(u.Aliases, func(id string) bool { return id == loser.ID })
	return u, err
}

// changeUndos changes what undoes the links of a fan: it must bring back neither
// what may not be kept, nor identities under names that they have no more.
func (tx *transaction) changeUndos(fanID string, change func(*undo)) error {
	kept := map[string]undo{}
	err := tx.query(tx.stmts.selectUndos, func(r scanner) error {
		var alias string
		var text []byte
		if err := r.Scan(&alias, &text); err != nil {
			return err
		}
		var u undo
		err := json.Unmarshal(text, &u)
		kept[alias] = u
		return err
	}, fanID)
	if err != nil {
		return err
	}
	for alias, u := range kept {
		change(&u)
		text, err := json.Marshal(u)
		if err != nil {
			return err
		}
		if err := tx.exec(tx.stmts.updateUndo, alias, text); err != nil {
			return err
		}
	}
	return nil
}

// rename gives an identity its new openid.
func (u *undo) rename(before identityKey, openID string) {
	for i := range u.Identities {
		if u.Identities[i] == before {
			u.Identities[i].OpenID = openID
		}
	}
}

// withdrawProfile leaves guests.
func (u *undo) withdrawProfile() {
	for _, fan := range []*Fan{&u.Survivor, &u.Merged, &u.Loser} {
		fan.withdrawProfile()
	}
}

func (u undo) moved() (moved []Identity) {
	for _, k := range u.Identities {
		moved = append(moved, Identity{Provider: k.Provider, AppID: k.AppID, OpenID: k.OpenID})
	}
	return moved
}

func (tx *transaction) unlink(alias string, until, now time.Time) (LinkResult, error) {
	var fanID string
	var kept []byte
	found, err := tx.queryRow(tx.stmts.selectLink, func(r scanner) error { return r.Scan(&fanID, &kept) }, alias)
	if err == nil && !found {
		err = ErrNotFound
	}
	if err != nil {
		return LinkResult{}, err
	}
	var u undo
	if err := json.Unmarshal(kept, &u); err != nil {
		return LinkResult{}, err
	}
	survivor, err := tx.fan(fanID)
	if err != nil {
		return LinkResult{}, err
	}
	result := LinkResult{Fan: u.without(survivor, now), Other: u.restored(survivor, now)}
	if result.Moved, err = tx.part(survivor, result, u); err != nil {
		return LinkResult{}, err
	}
	for _, fan := range []Fan{result.Fan, result.Other} {
		revoked, err := tx.revokeFan(fan.ID, until, now)
		if err != nil {
			return LinkResult{}, err
		}
		result.Revoked = append(result.Revoked, revoked)
	}
	return result, tx.tellUnlinked(survivor, result, now)
}

// part makes the loser a fan again and gives back what it brought.
func (tx *transaction) part(survivor Fan, result LinkResult, u undo) (moved []Identity, err error) {
	tx.exec(tx.stmts.deleteLink, result.Other.ID)
	tx.exec(tx.stmts.deleteAlias, result.Other.ID, survivor.ID)
	tx.exec(tx.stmts.updateFan, fanArgs(result.Fan)...)
	if err := tx.exec(tx.stmts.insertFan, fanArgs(result.Other)...); err != nil {
		return nil, err
	}
	for _, alias := range u.Aliases {
		n, err := tx.execCount(tx.stmts.deleteAlias, alias, survivor.ID)
		if err == nil && n > 0 {
			tx.exec(tx.stmts.moveLink, alias, result.Other.ID)
			err = tx.exec(tx.stmts.insertAlias, alias, result.Other.ID, millis(result.Other.UpdatedAt))
		}
		if err != nil {
			return nil, err
		}
	}
	for _, i := range u.moved() {
		n, err := tx.execCount(tx.stmts.moveIdentityBack, i.Provider, i.AppID, i.OpenID, survivor.ID, result.Other.ID)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			moved = append(moved, i)
		}
	}
	return moved, nil
}

// without is the survivor with its own fields again, where they are still what the
// merge has made them.
func (u undo) without(now Fan, at time.Time) Fan {
	back := func(field *string, merged, before string) {
		if *field == merged {
			*field = before
		}
	}
	f := now
	back(&f.Nickname, u.Merged.Nickname, u.Survivor.Nickname)
	back(&f.AvatarURL, u.Merged.AvatarURL, u.Survivor.AvatarURL)
	back(&f.Language, u.Merged.Language, u.Survivor.Language)
	back(&f.Phone, u.Merged.Phone, u.Survivor.Phone)
	back(&f.Role, u.Merged.Role, u.Survivor.Role)
	if now.Status == StatusBlocked && u.Survivor.Status == StatusActive && u.Merged.Status == StatusBlocked {
		f.Status = StatusActive // it came with the other; an operator who blocked both since did so to a blocked fan
	}
	for _, t := range []struct{ field, merged, before *time.Time }{
		{&f.RegisteredAt, &u.Merged.RegisteredAt, &u.Survivor.RegisteredAt},
		{&f.ProfileAt, &u.Merged.ProfileAt, &u.Survivor.ProfileAt},
		{&f.ConsentedAt, &u.Merged.ConsentedAt, &u.Survivor.ConsentedAt},
	} {
		if t.field.Equal(*t.merged) {
			*t.field = *t.before
		}
	}
	f.UpdatedAt = stored(at)
	return f
}

// restored is the loser as it was, blocked if the fan has been blocked since, and
// without a role that the fan has no more.
func (u undo) restored(survivor Fan, at time.Time) Fan {
	f := u.Loser
	if survivor.Status == StatusBlocked && u.Merged.Status == StatusActive {
		f.Status = StatusBlocked
	}
	if survivor.Status == StatusActive { // unblocked since, as one person
		f.Status = StatusActive
	}
	if survivor.Role != f.Role {
		f.Role = ""
	}
	f.UpdatedAt = stored(at)
	return f
}
