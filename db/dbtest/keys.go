package dbtest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"wxbridge/db"
)

var keyTests = []test{
	{"a new store has no key", func(f *fixture) {
		keys, err := f.Keys(f.Context())
		f.is("Keys", err, nil)
		f.same("keys", keys, []db.KeyRow{})
		f.changeKeys("nothing to nothing", func(rows []db.KeyRow) []db.KeyRow { return rows })
	}},

	{"keys come back as they went in, oldest first", func(f *fixture) {
		at := f.clock.Now
		f.setKeys(
			db.KeyRow{ID: "b", Alg: "RS256", Sealed: []byte("\x00sealed\xff"), CreatedAt: at().Add(time.Hour), ActiveAt: at().Add(2 * time.Hour),
				TokenTTL: 90*time.Minute + time.Millisecond, JWKSMaxAge: 0},
			db.KeyRow{ID: "c", Alg: "ES256", Sealed: []byte{}, CreatedAt: at(), ActiveAt: at(), RetiredAt: at().Add(time.Minute),
				CompromisedAt: at().Add(time.Second), TokenTTL: 30 * 24 * time.Hour, JWKSMaxAge: 24 * time.Hour},
			db.KeyRow{ID: "a", Alg: "HS256", Sealed: []byte("x"), CreatedAt: at().Add(time.Hour), ActiveAt: at()},
		)
		stored := f.clock.stored
		f.same("stored", f.keys(), []db.KeyRow{
			{ID: "c", Alg: "ES256", Sealed: []byte{}, CreatedAt: stored(), ActiveAt: stored(), RetiredAt: stored().Add(time.Minute),
				CompromisedAt: stored().Add(time.Second), TokenTTL: 30 * 24 * time.Hour, JWKSMaxAge: 24 * time.Hour},
			{ID: "a", Alg: "HS256", Sealed: []byte("x"), CreatedAt: stored().Add(time.Hour), ActiveAt: stored()},
			{ID: "b", Alg: "RS256", Sealed: []byte("\x00sealed\xff"), CreatedAt: stored().Add(time.Hour), ActiveAt: stored().Add(2 * time.Hour),
				TokenTTL: 90*time.Minute + time.Millisecond},
		})
	}},

	{"a change adds, changes and drops at once", func(f *fixture) {
		f.setKeys(f.key("kept"), f.key("changed"), f.key("dropped"))
		f.clock.advance(time.Minute)
		f.changeKeys("all three", func(rows []db.KeyRow) []db.KeyRow {
			f.same("given", ids(rows), []string{"changed", "dropped", "kept"})
			rows = slices.DeleteFunc(slices.Clone(rows), func(r db.KeyRow) bool { return r.ID == "dropped" })
			rows[0].RetiredAt, rows[0].Sealed = f.clock.Now(), []byte("public part")
			return append(rows, f.key("added"))
		})
		keys := f.keys()
		f.same("ids", ids(keys), []string{"changed", "kept", "added"})
		f.same("changed", []any{keys[0].RetiredAt, string(keys[0].Sealed)}, []any{f.clock.stored(), "public part"})
		f.same("kept", keys[1].RetiredAt, time.Time{})
	}},

	{"a change that fails changes nothing", func(f *fixture) {
		f.setKeys(f.key("one"))
		before, refused := f.keys(), errors.New("refused")
		_, err := f.ChangeKeys(f.Context(), func([]db.KeyRow) ([]db.KeyRow, error) { return []db.KeyRow{f.key("two")}, refused })
		f.is("ChangeKeys", err, refused)
		f.same("stored", f.keys(), before)
		_, err = f.ChangeKeys(f.Context(), func(rows []db.KeyRow) ([]db.KeyRow, error) {
			twin := f.key("two")
			return []db.KeyRow{twin, {ID: "three", Alg: "ES256"}}, nil // Sealed is nil, which no store takes
		})
		if err == nil {
			f.Error("a key without content was stored")
		}
		f.same("stored after the second", f.keys(), before)
	}},

	// KEY-04, KEY-06: whoever is first decides, whoever comes later sees it.
	{"of changes at once each sees the ones before", func(f *fixture) {
		results := atOnce(f, 20, func(n int) ([]db.KeyRow, error) {
			return f.ChangeKeys(f.Context(), func(rows []db.KeyRow) ([]db.KeyRow, error) {
				if len(rows) > 0 {
					return rows, nil
				}
				return []db.KeyRow{f.key(fmt.Sprintf("kid-%d", n))}, nil
			})
		})
		stored := f.keys()
		f.same("number stored", len(stored), 1)
		for _, got := range results {
			f.same("returned", got, stored)
		}
		atOnce(f, 20, func(n int) ([]db.KeyRow, error) {
			return f.ChangeKeys(f.Context(), func(rows []db.KeyRow) ([]db.KeyRow, error) {
				rows = slices.Clone(rows)
				rows[0].TokenTTL += time.Second
				return rows, nil
			})
		})
		f.same("none is lost", f.keys()[0].TokenTTL, 20*time.Second)
	}},
}

func (f *fixture) key(id string) db.KeyRow {
	return db.KeyRow{ID: id, Alg: "ES256", Sealed: []byte("sealed"), CreatedAt: f.clock.stored(), ActiveAt: f.clock.stored()}
}

func (f *fixture) keys() []db.KeyRow {
	f.Helper()
	keys, err := f.Keys(f.Context())
	if err != nil {
		f.Fatalf("Keys: %v", err)
	}
	return keys
}

func (f *fixture) setKeys(keys ...db.KeyRow) {
	f.Helper()
	f.changeKeys("set", func([]db.KeyRow) []db.KeyRow { return keys })
}

// changeKeys changes the keys and expects to be told what is stored then.
func (f *fixture) changeKeys(what string, change func([]db.KeyRow) []db.KeyRow) {
	f.Helper()
	got, err := f.ChangeKeys(f.Context(), func(rows []db.KeyRow) ([]db.KeyRow, error) { return change(rows), nil })
	if err != nil {
		f.Fatalf("ChangeKeys (%s): %v", what, err)
	}
	f.same(what+": returned", got, f.keys())
}

func ids(keys []db.KeyRow) []string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.ID
	}
	return all
}

var sealedTests = []test{
	{"what is sealed is given in batches, each once", func(f *fixture) {
		want := map[string]db.SealedIdentity{}
		for n := range 25 {
			l := official(fmt.Sprintf("o%02d", n), "")
			if n%2 == 0 {
				l = miniProgram(fmt.Sprintf("m%02d", n), "")
			}
			if n%3 != 0 {
				l.Identity.SessionKeySealed = fmt.Appendf(nil, "session key %d", n)
			}
			if n%5 == 0 {
				l.Identity.UserRefreshTokenSealed, l.Identity.UserRefreshExpiresAt = fmt.Appendf(nil, "refresh token %d", n), f.clock.Now().Add(time.Hour)
			}
			f.login(l)
			if i := l.Identity; i.SessionKeySealed != nil || i.UserRefreshTokenSealed != nil {
				want[i.OpenID] = db.SealedIdentity{Provider: i.Provider, AppID: i.AppID, OpenID: i.OpenID,
					SessionKeySealed: i.SessionKeySealed, UserRefreshTokenSealed: i.UserRefreshTokenSealed}
			}
		}
		for _, limit := range []int{1, 3, 20, 100} {
			got := map[string]db.SealedIdentity{}
			for after, full := (db.SealedIdentity{}), true; full; {
				batch, err := f.SealedIdentities(f.Context(), after, limit)
				f.is("SealedIdentities", err, nil)
				if full = len(batch) == limit; len(batch) > limit {
					f.Fatalf("%d given, asked for %d", len(batch), limit)
				}
				for _, i := range batch {
					if _, twice := got[i.OpenID]; twice {
						f.Errorf("%s is given twice", i.OpenID)
					}
					got[i.OpenID], after = i, i
				}
			}
			f.same(fmt.Sprintf("in batches of %d", limit), got, want)
		}
	}},

	{"only what is unchanged is replaced", func(f *fixture) {
		l := miniProgram("m1", "")
		l.Identity.SessionKeySealed, l.Identity.UserRefreshTokenSealed = []byte("key 1"), []byte("token 1")
		l.Identity.UserRefreshExpiresAt = f.clock.Now().Add(time.Hour)
		f.login(l)
		f.login(miniProgram("m2", ""))
		seen, err := f.SealedIdentities(f.Context(), db.SealedIdentity{}, 10)
		f.is("SealedIdentities", err, nil)
		f.same("number", len(seen), 1)
		fresh := seen[0]
		fresh.SessionKeySealed, fresh.UserRefreshTokenSealed = []byte("key 1 again"), []byte("token 1 again")

		l.Identity.SessionKeySealed = []byte("key 2") // a login in between
		f.login(l)
		gone := db.SealedChange{Old: db.SealedIdentity{Provider: "x", AppID: "y", OpenID: "z", SessionKeySealed: []byte("a")},
			New: db.SealedIdentity{SessionKeySealed: []byte("b")}}
		for _, want := range []int{1, 0} { // a second time finds nothing
			n, err := f.ReplaceSealed(f.Context(), []db.SealedChange{{Old: seen[0], New: fresh}, gone})
			f.is("ReplaceSealed", err, nil)
			f.same("written", n, want)
		}
		identity := f.identityOf(l)
		f.same("session key", string(identity.SessionKeySealed), "key 2")
		f.same("refresh token", string(identity.UserRefreshTokenSealed), "token 1 again")
	}},
}
