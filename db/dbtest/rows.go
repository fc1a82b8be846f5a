package dbtest

import (
	"slices"
	"strings"
	"time"

	"wxbridge/db"
)

var revocationTests = []test{
	{"revocations come back until they expire", func(f *fixture) {
		session := db.Revocation{Kind: db.RevokedSession, Value: "sid-1", ExpiresAt: f.clock.stored().Add(time.Hour)}
		subject := db.Revocation{Kind: db.RevokedSubject, Value: "sub-1", Before: f.clock.stored(),
			ExpiresAt: f.clock.stored().Add(2 * time.Hour)}
		f.revoke(session)
		f.revoke(subject)
		f.same("both", f.sortedRevocations(), []db.Revocation{session, subject})
		f.clock.advance(time.Hour)
		f.same("the session has expired", f.sortedRevocations(), []db.Revocation{subject})
		f.clock.advance(time.Hour)
		f.same("both have", f.sortedRevocations(), []db.Revocation{})
	}},

	{"of two the later times stand", func(f *fixture) {
		at := func(before, expires int) db.Revocation {
			return db.Revocation{Kind: db.RevokedSubject, Value: "sub-1",
				Before:    f.clock.stored().Add(time.Duration(before) * time.Minute),
				ExpiresAt: f.clock.stored().Add(time.Duration(expires) * time.Minute)}
		}
		f.revoke(at(10, 100))
		f.revoke(at(5, 120))
		f.same("later expiry", f.revocations(), []db.Revocation{at(10, 120)})
		f.revoke(at(20, 90))
		f.same("later cut", f.revocations(), []db.Revocation{at(20, 120)})
	}},

	{"a session and a subject of one name are two", func(f *fixture) {
		expires := f.clock.stored().Add(time.Hour)
		f.revoke(db.Revocation{Kind: db.RevokedSession, Value: "same", ExpiresAt: expires})
		f.revoke(db.Revocation{Kind: db.RevokedSubject, Value: "same", ExpiresAt: expires})
		f.same("number", len(f.revocations()), 2)
	}},

	{"pruning drops what has expired and nothing else", func(f *fixture) {
		for value, life := range map[string]time.Duration{"a": time.Minute, "b": time.Hour, "c": time.Hour + time.Millisecond} {
			f.revoke(db.Revocation{Kind: db.RevokedSession, Value: value, ExpiresAt: f.clock.stored().Add(life)})
		}
		f.clock.advance(time.Hour)
		for _, want := range []int{2, 0} {
			pruned, err := f.PruneRevocations(f.Context())
			f.is("PruneRevocations", err, nil)
			f.same("pruned", pruned, want)
		}
		left := f.revocations()
		f.same("number left", len(left), 1)
		f.same("left", left[0].Value, "c")
	}},

	{"a revocation after its pruning stands again", func(f *fixture) {
		f.revoke(db.Revocation{Kind: db.RevokedSession, Value: "sid", ExpiresAt: f.clock.stored()})
		_, err := f.PruneRevocations(f.Context())
		f.is("PruneRevocations", err, nil)
		f.revoke(db.Revocation{Kind: db.RevokedSession, Value: "sid", ExpiresAt: f.clock.stored().Add(time.Hour)})
		f.same("number", len(f.revocations()), 1)
	}},
}

func (f *fixture) revoke(r db.Revocation) {
	f.Helper()
	if err := f.AddRevocation(f.Context(), r); err != nil {
		f.Fatalf("AddRevocation(%+v): %v", r, err)
	}
}

func (f *fixture) sortedRevocations() []db.Revocation {
	f.Helper()
	all := f.revocations()
	slices.SortFunc(all, func(a, b db.Revocation) int { return strings.Compare(a.Value, b.Value) })
	return all
}
