package keyring

import (
	"cmp"
	"slices"
	"time"

	"wxbridge/db"
	"wxbridge/jwtauth"
)

// FollowTime is how much longer than the caches of others a new key is published
// before it signs, and how much longer than its tokens an old one stays: time for
// every process on the store to notice, for clocks that differ a little, and for
// verifiers that look for an unknown key only every so often.
const FollowTime = time.Minute

// Phase is what a key does at some moment.
type Phase string

const (
	Next        Phase = "next"        // published, signs later
	Signing     Phase = "signing"     // signs now
	Verifying   Phase = "verifying"   // signs no more; its tokens are good
	Compromised Phase = "compromised" // trusted no more
	Expired     Phase = "expired"     // its last token has expired
)

// Entry is a key at some moment.
type Entry struct {
	ID, Alg string
	Phase   Phase
	Since   time.Time // when the phase began
	Until   time.Time // when it ends; zero if nothing says so yet

	row db.KeyRow
}

// Schedule says what each key does at a moment. It depends on the rows and the
// moment alone, so that all processes on one store agree, each by itself. The
// order is that in which the keys sign.
//
// Of the keys that may sign, the one that became active last does. Where none is
// active yet, as after a clock was set back, the first to become active signs:
// better than no service. Only if there is no such key does none sign.
func Schedule(rows []db.KeyRow, now time.Time) []Entry {
	signers := signers(rows)
	signing := 0
	for i, row := range signers {
		if !row.ActiveAt.After(now) {
			signing = i
		}
	}
	var all []Entry
	for i, row := range signers {
		e := Entry{ID: row.ID, Alg: row.Alg, row: row}
		following := time.Time{}
		if i+1 < len(signers) {
			following = signers[i+1].ActiveAt
		}
		switch {
		case i < signing:
			e.Phase, e.Since, e.Until = ended(row, following, now)
		case i == signing:
			e.Phase, e.Since, e.Until = Signing, row.ActiveAt, following
		default:
			e.Phase, e.Since, e.Until = Next, row.CreatedAt, row.ActiveAt
		}
		all = append(all, e)
	}
	for _, row := range rows {
		e := Entry{ID: row.ID, Alg: row.Alg, row: row}
		switch {
		case !row.CompromisedAt.IsZero():
			e.Phase, e.Since = Compromised, row.CompromisedAt
		case !row.RetiredAt.IsZero():
			e.Phase, e.Since, e.Until = ended(row, row.RetiredAt, now)
		default:
			continue
		}
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b Entry) int { return bySigning(a.row, b.row) })
	return all
}

// signers are the keys that may sign, now or later, in order. Whichever of two is
// earlier does not depend on who asks.
func signers(rows []db.KeyRow) []db.KeyRow {
	var list []db.KeyRow
	for _, row := range rows {
		if row.RetiredAt.IsZero() && row.CompromisedAt.IsZero() {
			list = append(list, row)
		}
	}
	slices.SortFunc(list, bySigning)
	return list
}

func bySigning(a, b db.KeyRow) int {
	return cmp.Or(a.ActiveAt.Compare(b.ActiveAt), cmp.Compare(a.ID, b.ID))
}

// ended is the phase of a key that signed until some moment.
func ended(row db.KeyRow, signedUntil, now time.Time) (Phase, time.Time, time.Time) {
	if last := lastUse(row, signedUntil); now.Before(last) {
		return Verifying, signedUntil, last
	}
	return Expired, lastUse(row, signedUntil), time.Time{}
}

// lastUse is when nobody accepts any token of the key any more, and no cache holds a
// key set from its time. A token may be dated up to a minute ahead
// ([jwtauth.Issuer.AccessToken]), and a verifier's clock may be as much behind.
func lastUse(row db.KeyRow, signedUntil time.Time) time.Time {
	return signedUntil.Add(FollowTime + max(row.TokenTTL+2*jwtauth.MaxLeeway, row.JWKSMaxAge))
}
