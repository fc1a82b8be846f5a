package db

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Membership is what WeCom says of a member of a corp who is active.
type Membership struct {
	Departments string    // ids with commas between them
	ConfirmedAt time.Time // when WeCom was asked
}

// MemberStore keeps what is known of members of WeCom corps.
type MemberStore interface {
	// ConfirmMember records that WeCom has said again that the member is active. An
	// older answer than the one recorded changes nothing. ErrNotFound if there is no
	// such identity.
	ConfirmMember(ctx context.Context, appID, openID string, m Membership) error

	// RevokeMember records that WeCom has said that the member is not active any
	// more, or not a member: nothing confirms them, and every token of the fan is
	// revoked, as RevokeFan does. ErrNotFound if there is no such identity.
	RevokeMember(ctx context.Context, appID, openID string, until time.Time) (Revoked, error)
}

const (
	confirmMember = `UPDATE identities SET departments = ?4, confirmed_at = ?5
WHERE provider = ?1 AND appid = ?2 AND openid = ?3 AND confirmed_at <= ?5`

	// Departments of somebody who is gone are nobody's business.
	unconfirmMember = `UPDATE identities SET departments = '', confirmed_at = 0
WHERE provider = ?1 AND appid = ?2 AND openid = ?3`

	recheckMember = `UPDATE identities SET confirmed_at = 0 WHERE provider = ?1 AND appid = ?2 AND openid = ?3`

	// A session key is sealed for the old name.
	renameMember = `UPDATE identities SET openid = ?4, confirmed_at = 0, session_key_sealed = NULL
WHERE provider = ?1 AND appid = ?2 AND openid = ?3`
)

func (s *sqliteStore) ConfirmMember(ctx context.Context, appID, openID string, m Membership) error {
	err := s.writer.do(ctx, func(tx *transaction) error {
		_, found, err := tx.knownIdentity(Identity{Provider: ProviderWeCom, AppID: appID, OpenID: openID})
		if err == nil && !found {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return tx.exec(tx.stmts.confirmMember, ProviderWeCom, appID, openID, m.Departments, millis(m.ConfirmedAt))
	})
	if err != nil {
		return fmt.Errorf("confirm member: %w", err)
	}
	return nil
}

func (s *sqliteStore) RevokeMember(ctx context.Context, appID, openID string, until time.Time) (Revoked, error) {
	var fanID string
	var revoked Revoked
	err := s.writer.do(ctx, func(tx *transaction) error {
		known, found, err := tx.knownIdentity(Identity{Provider: ProviderWeCom, AppID: appID, OpenID: openID})
		if err == nil && !found {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		fanID = known.fan.ID
		tx.exec(tx.stmts.unconfirmMember, ProviderWeCom, appID, openID)
		revoked, err = tx.revokeFan(known.fan.ID, until, s.now())
		return err
	})
	if err == nil && !s.inTime(revoked) {
		revoked, err = s.revokeFan(ctx, fanID, until)
	}
	if err != nil {
		return Revoked{}, fmt.Errorf("revoke member: %w", err)
	}
	return revoked, nil
}

// memberGone ends what the fan was issued: also as somebody else, if an operator has
// linked the two, for a token does not tell which of them it is needed as.
func (tx *transaction) memberGone(p Push, fanID string, now time.Time) (PushResult, error) {
	tx.exec(tx.stmts.setSubscribed, p.Provider, p.AppID, p.OpenID, false, millis(p.SentAt))
	tx.exec(tx.stmts.unconfirmMember, p.Provider, p.AppID, p.OpenID)
	revoked, err := tx.revokeFan(fanID, p.RevokeUntil, now)
	return PushResult{FanID: fanID, Changed: true, Revoked: revoked}, err
}

// memberRenamed gives the identity its new name. Tokens name the old one, so they
// are revoked. If somebody has that name already, which they can only have logged in
// with before this push came, the old one is gone.
func (tx *transaction) memberRenamed(p Push, fanID string, now time.Time) (PushResult, error) {
	renamed := Identity{Provider: p.Provider, AppID: p.AppID, OpenID: p.NewOpenID}
	_, taken, err := tx.knownIdentity(renamed)
	if err != nil {
		return PushResult{}, err
	}
	if taken {
		return tx.memberGone(p, fanID, now)
	}
	tx.exec(tx.stmts.renameMember, p.Provider, p.AppID, p.OpenID, p.NewOpenID)
	before := identityKey{p.Provider, p.AppID, p.OpenID}
	if err := tx.changeUndos(fanID, func(u *undo) { u.rename(before, p.NewOpenID) }); err != nil {
		return PushResult{}, err
	}
	if err := tx.rekeyEvents(OpenIDKey(p.Provider, p.AppID, p.NewOpenID), fanID, now); err != nil {
		return PushResult{}, err
	}
	fan, err := tx.fan(fanID)
	if err != nil {
		return PushResult{}, err
	}
	if err := tx.tellUpdated(fan, fan, true, identityDataOf(renamed), now); err != nil {
		return PushResult{}, err
	}
	revoked, err := tx.revokeFan(fanID, p.RevokeUntil, now)
	return PushResult{FanID: fanID, Changed: true, Revoked: revoked}, err
}

func (p Push) checkRename() error {
	if (p.Effect == PushMemberRenamed) != (p.NewOpenID != "") {
		return errors.New("exactly a push of a rename needs a new openid")
	}
	return nil
}
