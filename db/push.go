package db

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// PushEffect is what a push changes of the person it is about.
type PushEffect string

const (
	PushTells            PushEffect = ""                  // nothing
	PushSubscribed       PushEffect = "subscribed"        // the person follows the account
	PushUnsubscribed     PushEffect = "unsubscribed"      // the person does not follow it any more
	PushProfileStale     PushEffect = "profile_stale"     // the profile that WeChat gave is no longer the person's
	PushProfileWithdrawn PushEffect = "profile_withdrawn" // the person took back the consent to the profile
	PushAccountClosed    PushEffect = "account_closed"    // the person's WeChat account is no more

	// Of WeCom.
	PushMemberGone    PushEffect = "member_gone"    // the member may not use the app any more
	PushMemberChanged PushEffect = "member_changed" // what was confirmed of the member may be out of date
	PushMemberRenamed PushEffect = "member_renamed" // the member has another userid now
)

// Push is one push of WeChat's to an app: a message or an event.
type Push struct {
	Provider, AppID string // required
	Key             string // the same for a push and its repeats, another for every other push to the app; required
	OpenID          string // whom it is about; required
	NewOpenID       string // of PushMemberRenamed
	SentAt          time.Time
	Effect          PushEffect

	// RevokeUntil is when the tokens issued so far will have expired: an account that
	// is closed ends them all, and so does a member who is gone.
	RevokeUntil time.Time

	// Event, if it has a Type, is told to who wants it; the store sets its Order, its
	// AppID and its Data, which Data gives once it is known whose push it is: the id
	// of the fan, "" of a stranger. It is called inside the transaction, and so does
	// nothing but put its answer together, which becomes JSON.
	Event Event
	Data  func(fanID string) any
}

// PushResult is what came of a push.
type PushResult struct {
	Duplicate bool   // it was taken before: nothing has changed, and all else here is zero
	FanID     string // whom it is about; "" for a stranger, of whom nothing is kept
	Changed   bool   // the fan or the identity is not what it was

	// Erased are the ids that went with a closed account, the fan's own first. Tokens
	// of theirs are revoked whenever they were issued.
	Erased []string

	// Revoked: a member is gone or renamed, so the tokens of all ids were revoked.
	Revoked Revoked
}

// PushStore takes WeChat's pushes, each once.
type PushStore interface {
	// ApplyPush takes a push: that it was seen, and what it changes, are one
	// transaction, so that after a crash either both are on disk or neither. Of
	// several calls with one Key, in any number of processes, exactly one is no
	// Duplicate; a Duplicate returns after that one is on disk.
	//
	// The event for backends is part of the transaction, too.
	//
	// An unsubscription that was sent before the last subscription changes nothing,
	// and the other way round: what WeChat had to repeat may come late. A withdrawn
	// profile leaves a guest, and takes the identity's refresh token and scope with
	// it. A closed account erases the fan, as EraseFan does. A member who is gone or renamed
	// loses every token issued so far, as RevokeFan does.
	ApplyPush(ctx context.Context, p Push) (PushResult, error)

	// PrunePushes forgets some of the pushes that were seen so long ago that no
	// repeat is let in any more, and returns how many; 0 when none is left. One call
	// takes a bounded time.
	PrunePushes(ctx context.Context) (int, error)
}

const (
	// pushMemory is how long a push is remembered. Its signature is good for minutes;
	// the rest is for a clock that is set back by an hour.
	pushMemory = 2 * time.Hour

	pushBatch = 1000 // what one call of PrunePushes forgets at most
)

const (
	insertSeenPush = `INSERT INTO seen_pushes (provider, appid, key, seen_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING`

	prunePushes = `DELETE FROM seen_pushes WHERE (provider, appid, key) IN
  (SELECT provider, appid, key FROM seen_pushes WHERE seen_at <= ?1 ORDER BY seen_at LIMIT ?2)`

	setSubscribed = `UPDATE identities SET subscribed = ?4, subscribed_at = ?5
WHERE provider = ?1 AND appid = ?2 AND openid = ?3 AND subscribed_at <= ?5`

	// A profile that was never given cannot be old, nor be taken back.
	markProfileStale = `UPDATE identities SET profile_stale = 1
WHERE provider = ?1 AND appid = ?2 AND openid = ?3 AND profile_json IS NOT NULL`

	withdrawProfile = `UPDATE identities SET scope = '', profile_json = NULL, profile_stale = 0,
  user_refresh_token_sealed = NULL, user_refresh_expires_at = 0
WHERE provider = ?1 AND appid = ?2 AND openid = ?3
  AND (profile_json IS NOT NULL OR user_refresh_token_sealed IS NOT NULL OR scope = '` + ScopeUserinfo + `')`
)

func (s *sqliteStore) ApplyPush(ctx context.Context, p Push) (PushResult, error) {
	if err := p.check(); err != nil {
		return PushResult{}, fmt.Errorf("apply push: %w", err)
	}
	var result PushResult
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		result, err = tx.applyPush(p, s.now())
		return err
	})
	if err == nil && len(result.Revoked.Subjects) > 0 && !s.inTime(result.Revoked) {
		result.Revoked, err = s.revokeFan(ctx, result.FanID, p.RevokeUntil)
	}
	if err != nil {
		return PushResult{}, fmt.Errorf("apply push: %w", err)
	}
	return result, nil
}

func (s *sqliteStore) PrunePushes(ctx context.Context) (int, error) {
	before := millis(s.now().Add(-pushMemory))
	var pruned int64
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		pruned, err = tx.execCount(tx.stmts.prunePushes, before, int64(pushBatch))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune pushes: %w", err)
	}
	return int(pruned), nil
}

func (p Push) check() error {
	if p.Provider == "" || p.AppID == "" || p.Key == "" || p.OpenID == "" {
		return errors.New("a push needs provider, appid, key and openid")
	}
	switch p.Effect {
	case PushTells, PushSubscribed, PushUnsubscribed, PushProfileStale, PushProfileWithdrawn, PushAccountClosed,
		PushMemberGone, PushMemberChanged, PushMemberRenamed:
		return p.checkRename()
	}
	return fmt.Errorf("a push has no effect %q", p.Effect)
}

func (tx *transaction) applyPush(p Push, now time.Time) (PushResult, error) {
	first, err := tx.execCount(tx.stmts.insertSeenPush, p.Provider, p.AppID, p.Key, millis(now))
	if err != nil || first == 0 {
		return PushResult{Duplicate: err == nil}, err
	}
	before, known, err := tx.knownIdentity(Identity{Provider: p.Provider, AppID: p.AppID, OpenID: p.OpenID})
	if err != nil {
		return PushResult{}, err
	}
	result := PushResult{}
	if known {
		if result, err = tx.applyEffect(p, before.fan.ID, now); err != nil {
			return PushResult{}, err
		}
	}
	if err := tx.tellPush(p, result.FanID, now); err != nil || len(result.Erased) == 0 {
		return result, err
	}
	return result, tx.tellErased(result.Erased, now) // the last that is ever told of the fan
}

func (tx *transaction) applyEffect(p Push, fanID string, now time.Time) (result PushResult, err error) {
	result.FanID = fanID
	switch p.Effect {
	case PushSubscribed, PushUnsubscribed:
		result.Changed, err = tx.changeIdentity(p, tx.stmts.setSubscribed, p.Effect == PushSubscribed, millis(p.SentAt))
	case PushProfileStale:
		result.Changed, err = tx.changeIdentity(p, tx.stmts.markProfileStale)
	case PushProfileWithdrawn:
		result.Changed, err = tx.withdrawProfile(p, fanID, now)
	case PushAccountClosed:
		result.Erased, err = tx.forgetFan(fanID, p.RevokeUntil, p.RevokeUntil)
		result.Changed = true
	case PushMemberGone:
		return tx.memberGone(p, fanID, now)
	case PushMemberChanged:
		result.Changed, err = tx.changeIdentity(p, tx.stmts.recheckMember)
	case PushMemberRenamed:
		return tx.memberRenamed(p, fanID, now)
	}
	return result, err
}

// tellPush keeps the event of a push, in line with what else is told of the person.
func (tx *transaction) tellPush(p Push, fanID string, now time.Time) error {
	if p.Event.Type == "" || p.Data == nil {
		return nil
	}
	e := p.Event
	e.AppID, e.Order = p.AppID, fanID
	if fanID == "" {
		e.Order = OpenIDKey(p.Provider, p.AppID, p.OpenID)
	}
	return tx.enqueueJSON(e, p.Data(fanID), now)
}

// changeIdentity runs a statement on the push's identity; more are its arguments
// after the key.
func (tx *transaction) changeIdentity(p Push, stmt *statement, more ...any) (changed bool, err error) {
	n, err := tx.execCount(stmt, append([]any{p.Provider, p.AppID, p.OpenID}, more...)...)
	return n > 0, err
}

// withdrawProfile makes the fan a guest. Which of several apps a field of the fan
// came from is not kept, so all go; whoever still allows another app is asked
// again.
func (tx *transaction) withdrawProfile(p Push, fanID string, now time.Time) (changed bool, err error) {
	if changed, err = tx.changeIdentity(p, tx.stmts.withdrawProfile); err != nil || !changed {
		return false, err
	}
	fan, err := tx.fan(fanID) // with its true last login
	if err != nil {
		return false, err
	}
	before := fan
	fan.withdrawProfile()
	fan.UpdatedAt = stored(now)
	if err := tx.changeUndos(fanID, (*undo).withdrawProfile); err != nil {
		return false, err
	}
	if err := tx.exec(tx.stmts.updateFan, fanArgs(fan)...); err != nil {
		return false, err
	}
	return true, tx.tellChange(before, fan, now)
}

// withdrawProfile leaves a guest.
func (f *Fan) withdrawProfile() {
	f.Nickname, f.AvatarURL, f.Language = "", "", ""
	f.RegisteredAt, f.ProfileAt, f.ConsentedAt = time.Time{}, time.Time{}, time.Time{}
}
