package db

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

const (
	fanColumns = `id, nickname, avatar_url, phone, language, role, status,
  registered_at, profile_at, consented_at, fans.created_at, updated_at, ` + lastLogin

	// A login that changes nothing else writes its identity alone, one page
	// instead of two; so fans.last_login_at may lag behind.
	lastLogin = `max(fans.last_login_at,
  coalesce((SELECT max(own.last_login_at) FROM identities AS own WHERE own.fan_id = fans.id), 0))`

	selectFan = `SELECT ` + fanColumns + ` FROM fans WHERE id = ?1`

	insertFan = `INSERT INTO fans (id, nickname, avatar_url, phone, language, role, status,
  registered_at, profile_at, consented_at, created_at, updated_at, last_login_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)`

	updateFan = `UPDATE fans SET nickname = ?2, avatar_url = ?3, phone = ?4, language = ?5, role = ?6, status = ?7,
  registered_at = ?8, profile_at = ?9, consented_at = ?10, created_at = ?11, updated_at = ?12, last_login_at = ?13
WHERE id = ?1`

	deleteFan = `DELETE FROM fans WHERE id = ?1`

	// The large columns of an identity are never read here: a login only
	// replaces them. Nor are other identities asked for the last login, which
	// this one replaces.
	selectKnown = `SELECT identities.rowid, open_account, unionid, scope, subscribed,
  coalesce((SELECT issued_before FROM revocations WHERE kind = 'sub' AND value = fan_id), 0),
  id, nickname, avatar_url, phone, language, role, status,
  registered_at, profile_at, consented_at, fans.created_at, updated_at,
  max(fans.last_login_at, identities.last_login_at)
FROM identities JOIN fans ON id = fan_id WHERE provider = ?1 AND appid = ?2 AND openid = ?3`

	// The conditions on unionid and provider are those of the index identities_union.
	selectLinked = `SELECT DISTINCT fan_id FROM identities
WHERE open_account = ?1 AND unionid = ?2 AND unionid <> '' AND provider <> 'wecom'`

	insertIdentity = `INSERT INTO identities (provider, appid, openid, fan_id, open_account, unionid, scope, subscribed,
  session_key_sealed, user_refresh_token_sealed, user_refresh_expires_at, profile_json, created_at, last_login_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)`

	// Touches no indexed column, so that the usual login leaves the indexes alone.
	updateIdentity = `UPDATE identities SET scope = ?2, subscribed = ?3,
  session_key_sealed = coalesce(?4, session_key_sealed),
  user_refresh_expires_at = CASE WHEN ?5 IS NULL THEN user_refresh_expires_at ELSE ?6 END,
  user_refresh_token_sealed = coalesce(?5, user_refresh_token_sealed),
  profile_json = coalesce(?7, profile_json),
  profile_stale = CASE WHEN ?7 IS NULL THEN profile_stale ELSE 0 END,
  last_login_at = ?8
WHERE rowid = ?1`

	relinkIdentity = `UPDATE identities SET open_account = ?4, unionid = ?5
WHERE provider = ?1 AND appid = ?2 AND openid = ?3`

	moveIdentities = `UPDATE identities SET fan_id = ?2 WHERE fan_id = ?1`
	moveAliases    = `UPDATE fan_aliases SET fan_id = ?2 WHERE fan_id = ?1`
	insertAlias    = `INSERT INTO fan_aliases (alias_id, fan_id, created_at) VALUES (?1, ?2, ?3)`
)

func (s *sqliteStore) SaveLogin(ctx context.Context, login Login) (LoginResult, error) {
	if err := login.check(); err != nil {
		return LoginResult{}, fmt.Errorf("save login: %w", err)
	}
	now := s.now()
	var result LoginResult
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		result, err = tx.saveLogin(login, now)
		return err
	})
	if err == nil && len(result.Revoked.Subjects) > 0 && !s.inTime(result.Revoked) {
		result.Revoked, err = s.revokeFan(ctx, result.Fan.ID, login.RevokeUntil)
	}
	if err != nil {
		return LoginResult{}, fmt.Errorf("save login: %w", err)
	}
	return result, nil
}

// saveLogin reads before it writes: whose identity is it, who else has its
// unionid, who of them survives. All writers take their turn, in this process
// by the queue and across processes by BEGIN IMMEDIATE, so what it has read
// holds until it commits.
func (tx *transaction) saveLogin(l Login, now time.Time) (LoginResult, error) {
	var result LoginResult
	before, known, err := tx.knownIdentity(l.Identity)
	if err != nil {
		return result, err
	}
	fan := before.fan
	met := fan
	others, err := tx.fansLinkedTo(l.Identity, fan.ID)
	if err != nil {
		return result, err
	}
	switch {
	case known:
	case len(others) > 0:
		fan, others, result.Linked = others[0], others[1:], true
		met = fan
	default:
		result.Created = true
		if fan, err = newFan(now); err != nil {
			return result, err
		}
	}
	if fan, err = tx.mergeAll(fan, others, &result, now); err != nil {
		return result, err
	}
	if err := tx.applyCuts(fan, before, l.RevokeUntil, &result, now); err != nil {
		return result, err
	}

	if fan.Status == StatusBlocked {
		if fan, err = tx.fan(fan.ID); err != nil { // with its true last login, which stays
			return result, err
		}
		result.Fan = fan
	} else {
		result.Fan = fan.afterLogin(l, now)
	}
	if err := tx.saveFan(fan, result.Fan, result.Created); err != nil {
		return result, err
	}
	if known {
		err = tx.refreshIdentity(before, l, result.Fan, now)
	} else {
		err = tx.addIdentity(l, result.Fan, now)
		if err == nil {
			err = tx.rekeyEvents(OpenIDKey(l.Identity.Provider, l.Identity.AppID, l.Identity.OpenID), result.Fan.ID, now)
		}
	}
	if err == nil && l.Member != nil && result.Fan.Status == StatusActive {
		err = tx.exec(tx.stmts.confirmMember, l.Identity.Provider, l.Identity.AppID, l.Identity.OpenID,
			l.Member.Departments, millis(l.Member.ConfirmedAt))
	}
	if err != nil {
		return result, err
	}
	l.Identity.UnionID = before.identity.seen(l.Identity).UnionID // a silent login does not name it
	return result, tx.tellLogin(l, met, result, now)
}

// knownIdentity is an identity, without its key and its secrets, and whose it is.
type knownIdentity struct {
	row      int64
	identity Identity
	fan      Fan
	cut      time.Time // before which tokens of the fan are revoked; zero if none are
}

// knownIdentity finds the identity.
func (tx *transaction) knownIdentity(key Identity) (k knownIdentity, found bool, err error) {
	r, err := tx.first(tx.stmts.selectKnown, key.Provider, key.AppID, key.OpenID)
	if err != nil || r == nil {
		return k, false, err
	}
	v := values{row: r}
	k.row = v.integer()
	k.identity.OpenAccount, k.identity.UnionID, k.identity.Scope, k.identity.Subscribed = v.text(), v.text(), v.text(), v.boolean()
	k.cut = v.time()
	k.fan = v.fan()
	return k, true, v.err
}

// fansLinkedTo returns the fans other than own that have the identity's
// unionid, oldest first. More than one means that an earlier merge was held up
// by their roles.
func (tx *transaction) fansLinkedTo(i Identity, own string) ([]Fan, error) {
	if !i.links() {
		return nil, nil
	}
	var fans []Fan
	err := tx.query(tx.stmts.selectLinked, func(r scanner) error {
		var id string
		err := r.Scan(&id)
		if id != own {
			fans = append(fans, Fan{ID: id})
		}
		return err
	}, i.OpenAccount, i.UnionID)
	if err != nil {
		return nil, err
	}
	for n := range fans {
		if fans[n], err = tx.fan(fans[n].ID); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(fans, func(a, b Fan) int {
		if older(a, b) {
			return -1
		}
		return 1
	})
	return fans, nil
}

// mergeAll merges the fan with each of the others that its role allows.
func (tx *transaction) mergeAll(fan Fan, others []Fan, result *LoginResult, now time.Time) (Fan, error) {
	for _, other := range others {
		if rolesDiffer(fan, other) {
			result.RoleConflict = known(result.RoleConflict, other.ID)
			continue
		}
		fan, result.MergedFrom = mergeFans(fan, other, now)
		if err := tx.absorb(fan, result.MergedFrom, now); err != nil {
			return Fan{}, err
		}
	}
	return fan, nil
}

// applyCuts revokes what an active fan was issued before a merge blocked it, and
// tells from when on a known fan's tokens are good.
func (tx *transaction) applyCuts(fan Fan, before knownIdentity, until time.Time, result *LoginResult, now time.Time) (err error) {
	if result.MergedFrom != "" && fan.Status == StatusBlocked {
		if result.Revoked, err = tx.revokeFan(fan.ID, until, now); err != nil {
			return err
		}
	}
	switch {
	case result.Created:
	case result.MergedFrom == "" && fan.ID == before.fan.ID:
		result.NotBefore = before.cut
	default:
		result.NotBefore, err = tx.cutOf(fan.ID)
	}
	return err
}

// absorb gives all that the loser has to the survivor. Aliases stay one step
// long: those of the loser now name the survivor.
func (tx *transaction) absorb(survivor Fan, loser string, now time.Time) error {
	tx.exec(tx.stmts.moveIdentities, loser, survivor.ID)
	tx.exec(tx.stmts.moveAliases, loser, survivor.ID)
	tx.exec(tx.stmts.moveLinks, loser, survivor.ID)
	tx.exec(tx.stmts.deleteFan, loser)
	tx.exec(tx.stmts.insertAlias, loser, survivor.ID, millis(now))
	tx.exec(tx.stmts.updateFan, fanArgs(survivor)...)
	return tx.tellMerged(loser, survivor.ID, now)
}

func newFan(now time.Time) (Fan, error) {
	id, err := uuid.NewV7() // increasing within a process: rows append
	if err != nil {
		return Fan{}, fmt.Errorf("make a fan id: %w", err)
	}
	return Fan{ID: id.String(), Status: StatusActive, CreatedAt: stored(now), UpdatedAt: stored(now)}, nil
}

func (tx *transaction) saveFan(before, after Fan, created bool) error {
	if created {
		return tx.exec(tx.stmts.insertFan, fanArgs(after)...)
	}
	before.LastLoginAt = after.LastLoginAt // the identity's row keeps it
	if after == before {
		return nil
	}
	return tx.exec(tx.stmts.updateFan, fanArgs(after)...)
}

// addIdentity stores a new identity. Of a blocked fan it keeps only whose it
// is and what it links to.
func (tx *transaction) addIdentity(l Login, fan Fan, now time.Time) error {
	i := l.Identity
	seen := Identity{}.seen(i)
	if fan.Status == StatusBlocked {
		return tx.exec(tx.stmts.insertIdentity, i.Provider, i.AppID, i.OpenID, fan.ID, seen.OpenAccount, seen.UnionID,
			"", nil, nil, nil, int64(0), nil, millis(now), int64(0))
	}
	token, expires := refreshTokenArgs(i)
	return tx.exec(tx.stmts.insertIdentity, i.Provider, i.AppID, i.OpenID, fan.ID, seen.OpenAccount, seen.UnionID,
		seen.Scope, boolArg(seen.Subscribed), blobArg(i.SessionKeySealed), token, expires, profileArg(l),
		millis(now), millis(now))
}

func (tx *transaction) refreshIdentity(before knownIdentity, l Login, fan Fan, now time.Time) error {
	i := l.Identity
	seen := before.identity.seen(i)
	if seen.OpenAccount != before.identity.OpenAccount || seen.UnionID != before.identity.UnionID {
		if err := tx.exec(tx.stmts.relinkIdentity, i.Provider, i.AppID, i.OpenID,
			seen.OpenAccount, seen.UnionID); err != nil {
			return err
		}
	}
	if fan.Status == StatusBlocked {
		return nil
	}
	token, expires := refreshTokenArgs(i)
	return tx.exec(tx.stmts.updateIdentity, before.row, seen.Scope, boolArg(seen.Subscribed),
		blobArg(i.SessionKeySealed), token, expires, profileArg(l), millis(now))
}

func (tx *transaction) fan(id string) (Fan, error) {
	var f Fan
	found, err := tx.queryRow(tx.stmts.selectFan, func(r scanner) error { return scanFan(&f, r) }, id)
	if err == nil && !found {
		err = ErrNotFound
	}
	return f, err
}

// fanArgs are the values of fanColumns.
func fanArgs(f Fan) []any {
	return []any{f.ID, f.Nickname, f.AvatarURL, f.Phone, f.Language, f.Role, string(f.Status),
		millis(f.RegisteredAt), millis(f.ProfileAt), millis(f.ConsentedAt),
		millis(f.CreatedAt), millis(f.UpdatedAt), millis(f.LastLoginAt)}
}

// scanFan reads a row of the given other columns followed by fanColumns.
func scanFan(f *Fan, r scanner, others ...any) error {
	var status string
	var registered, profile, consented, created, updated, lastLogin int64
	err := r.Scan(append(others, &f.ID, &f.Nickname, &f.AvatarURL, &f.Phone, &f.Language, &f.Role, &status,
		&registered, &profile, &consented, &created, &updated, &lastLogin)...)
	f.Status = Status(status)
	f.RegisteredAt, f.ProfileAt, f.ConsentedAt = fromMillis(registered), fromMillis(profile), fromMillis(consented)
	f.CreatedAt, f.UpdatedAt, f.LastLoginAt = fromMillis(created), fromMillis(updated), fromMillis(lastLogin)
	return err
}

// fan takes fanColumns.
func (v *values) fan() (f Fan) {
	f.ID, f.Nickname, f.AvatarURL, f.Phone, f.Language, f.Role = v.text(), v.text(), v.text(), v.text(), v.text(), v.text()
	f.Status = Status(v.text())
	f.RegisteredAt, f.ProfileAt, f.ConsentedAt = v.time(), v.time(), v.time()
	f.CreatedAt, f.UpdatedAt, f.LastLoginAt = v.time(), v.time(), v.time()
	return f
}

// An empty value is stored as null, which keeps what is known.

func blobArg(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

func boolArg(b *bool) any {
	if b == nil {
		return nil
	}
	return *b
}

func profileArg(l Login) any {
	if l.Profile == nil {
		return nil
	}
	return blobArg(l.Profile.JSON)
}

// refreshTokenArgs keeps the expiry with its token: neither changes alone.
func refreshTokenArgs(i Identity) (token, expires any) {
	if len(i.UserRefreshTokenSealed) == 0 {
		return nil, int64(0)
	}
	return i.UserRefreshTokenSealed, millis(i.UserRefreshExpiresAt)
}
