package handlers

import (
	"context"
	"time"

	"wxbridge/db"
	"wxbridge/internal/seal"
)

const (
	// resealBatch is how many identities are sealed again in one transaction: few enough that a login which waits for it
	// does not notice.
	resealBatch = 200

	// resealRest is left to others after each transaction.
	resealRest = 10 * time.Millisecond
)

// ResealReport counts what a [Reseal] has come across.
type ResealReport struct {
	Identities int // that keep something sealed
	Resealed   int // values that the previous secret had sealed
	Unreadable int // values that no secret opens; they are left as they are
}

// Reseal goes once through everything logins have sealed into the store (session keys, refresh tokens) and seals with the
// box's current secret what a previous one has sealed. It works beside logins, in small steps; what a login has replaced
// meanwhile stays. Broken off at any moment, the next run goes on where it matters.
func Reseal(ctx context.Context, store db.SealedStore, box *seal.Box) (ResealReport, error) {
	var report ResealReport
	var after db.SealedIdentity
	for {
		batch, err := store.SealedIdentities(ctx, after, resealBatch)
		if err != nil {
			return report, err
		}
		report.Identities += len(batch)
		if changes := report.reseal(box, batch); len(changes) > 0 {
			n, err := store.ReplaceSealed(ctx, changes)
			if err != nil {
				return report, err
			}
			report.Resealed += n
			if err := rest(ctx, resealRest); err != nil {
				return report, err
			}
		}
		if len(batch) < resealBatch {
			return report, nil
		}
		after = batch[len(batch)-1]
	}
}

// reseal gives the identities of which something must change.
func (r *ResealReport) reseal(box *seal.Box, batch []db.SealedIdentity) []db.SealedChange {
	var changes []db.SealedChange
	for _, old := range batch {
		fresh, changed := old, false
		label := identityLabel(db.Identity{Provider: old.Provider, AppID: old.AppID, OpenID: old.OpenID})
		for _, value := range []struct {
			purpose string
			sealed  *[]byte
		}{{sessionKeyPurpose, &fresh.SessionKeySealed}, {refreshTokenPurpose, &fresh.UserRefreshTokenSealed}} {
			if *value.sealed == nil {
				continue
			}
			again, differs, err := box.Reseal(value.purpose, *value.sealed, label)
			switch {
			case err != nil:
				r.Unreadable++
			case differs:
				*value.sealed, changed = again, true
			}
		}
		if changed {
			changes = append(changes, db.SealedChange{Old: old, New: fresh})
		}
	}
	return changes
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
