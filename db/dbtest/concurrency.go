package dbtest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"wxbridge/db"
)

var concurrencyTests = []test{
	{"fifty first logins of one openid make one fan", func(f *fixture) {
		results := atOnce(f, 50, func(int) (db.LoginResult, error) {
			return f.SaveLogin(f.Context(), withProfile(official("oAlice", "uAlice"), db.Profile{Nickname: "Alice"}))
		})
		created, ids := 0, make(map[string]bool)
		for _, result := range results {
			ids[result.Fan.ID] = true
			if result.Created {
				created++
			}
		}
		f.same("fans and creations", []int{len(ids), created}, []int{1, 1})
		f.same("identities", len(f.identities(results[0].Fan.ID)), 1)
	}},

	{"first logins of one person in many apps make one fan", func(f *fixture) {
		results := atOnce(f, 40, func(n int) (db.LoginResult, error) {
			l := official(fmt.Sprintf("o%d", n), "uAlice")
			l.Identity.AppID = fmt.Sprintf("wx%016d", n)
			return f.SaveLogin(f.Context(), l)
		})
		ids := make(map[string]bool)
		for _, result := range results {
			ids[result.Fan.ID] = true
		}
		f.same("fans", len(ids), 1)
		f.same("identities", len(f.identities(results[0].Fan.ID)), 40)
	}},

	{"guests of one person in many apps become one fan", func(f *fixture) {
		login := func(unionID string) []db.LoginResult {
			return atOnce(f, 20, func(n int) (db.LoginResult, error) {
				l := miniProgram(fmt.Sprintf("m%d", n), unionID)
				l.Identity.AppID = fmt.Sprintf("wx%016d", n)
				return f.SaveLogin(f.Context(), l)
			})
		}
		guests := login("")
		login("uAlice")
		survivor := f.fan(guests[0].Fan.ID).ID
		for _, guest := range guests {
			f.same("fan of "+guest.Fan.ID, f.fan(guest.Fan.ID).ID, survivor)
		}
		f.same("aliases", len(f.aliases(survivor)), 19)
		f.same("identities", len(f.identities(survivor)), 20)
	}},

	{"REL-02 two hundred logins at once are all stored", func(f *fixture) {
		results := atOnce(f, 200, func(n int) (db.LoginResult, error) {
			return f.SaveLogin(f.Context(), miniProgram(fmt.Sprintf("m%d", n), ""))
		})
		for n, result := range results {
			f.same("fan", f.identityOf(miniProgram(fmt.Sprintf("m%d", n), "")).FanID, result.Fan.ID)
		}
	}},

	{"changes at once are all applied", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		atOnce(f, 30, func(n int) (db.Fan, error) {
			return f.UpdateFan(f.Context(), alice.ID, func(fan *db.Fan) error {
				fan.Nickname += fmt.Sprintf("<%d>", n)
				return nil
			})
		})
		nickname := f.fan(alice.ID).Nickname
		for n := range 30 {
			f.same(fmt.Sprintf("times change %d was applied", n), strings.Count(nickname, fmt.Sprintf("<%d>", n)), 1)
		}
	}},

	{"a fan erased during logins is erased whole", func(f *fixture) {
		alice := f.login(official("oAlice", "uAlice")).Fan
		atOnce(f, 20, func(n int) (any, error) {
			if n == 10 {
				return f.EraseFan(f.Context(), alice.ID, f.clock.Now(), f.clock.Now().Add(time.Hour))
			}
			return f.SaveLogin(f.Context(), miniProgram(fmt.Sprintf("m%d", n), "uAlice"))
		})
		_, err := f.Fan(f.Context(), alice.ID)
		f.is("Fan", err, db.ErrNotFound)
		for n := range 20 {
			_, identity, err := f.FanByIdentity(f.Context(), db.ProviderMiniProgram, "wx00000000000000bb", fmt.Sprintf("m%d", n))
			if err == nil && identity.FanID == alice.ID {
				f.Errorf("identity m%d still names the erased fan", n)
			}
		}
	}},

	{"callers who give up spoil nothing for the others", func(f *fixture) {
		gone, cancel := context.WithCancel(f.Context())
		cancel()
		atOnce(f, 60, func(n int) (any, error) {
			if n%3 != 0 {
				return f.SaveLogin(f.Context(), official(fmt.Sprintf("o%d", n), ""))
			}
			ctx, cancel := context.WithCancel(f.Context())
			if n%2 == 0 {
				ctx = gone
			}
			time.AfterFunc(time.Duration(n)*time.Microsecond, cancel)
			_, err := f.SaveLogin(ctx, official(fmt.Sprintf("o%d", n), ""))
			if err != nil {
				f.is("SaveLogin of a caller who gave up", err, context.Canceled)
			}
			return nil, nil
		})
		for n := range 60 {
			if n%3 != 0 {
				f.identityOf(official(fmt.Sprintf("o%d", n), ""))
			}
		}
	}},

	{"a caller who has given up before is told so", func(f *fixture) {
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		_, err := f.SaveLogin(ctx, official("oAlice", ""))
		f.is("SaveLogin", err, context.Canceled)
		_, err = f.Fan(ctx, "nobody")
		f.is("Fan", err, context.Canceled)
		f.is("Ping", f.Ping(ctx), context.Canceled)
	}},
}

var closeTests = []test{
	{"an open store answers a ping", func(f *fixture) { f.is("Ping", f.Ping(f.Context()), nil) }},

	{"a closed store is unavailable", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		f.is("Close", f.Close(), nil)
		f.is("Close again", f.Close(), nil)
		f.is("Ping", f.Ping(f.Context()), db.ErrUnavailable)
		_, err := f.SaveLogin(f.Context(), official("oAlice", ""))
		f.is("SaveLogin", err, db.ErrUnavailable)
		_, err = f.Fan(f.Context(), alice.ID)
		f.is("Fan", err, db.ErrUnavailable)
		_, _, err = f.FanByIdentity(f.Context(), "p", "a", "o")
		f.is("FanByIdentity", err, db.ErrUnavailable)
		_, err = f.UpdateFan(f.Context(), alice.ID, func(*db.Fan) error { return nil })
		f.is("UpdateFan", err, db.ErrUnavailable)
		_, err = f.EraseFan(f.Context(), alice.ID, f.clock.Now(), f.clock.Now())
		f.is("EraseFan", err, db.ErrUnavailable)
		_, err = f.Keys(f.Context())
		f.is("Keys", err, db.ErrUnavailable)
		_, err = f.Revocations(f.Context())
		f.is("Revocations", err, db.ErrUnavailable)
		_, err = f.PruneRevocations(f.Context())
		f.is("PruneRevocations", err, db.ErrUnavailable)
		_, err = f.Spend(f.Context(), "a", f.clock.Now())
		f.is("Spend", err, db.ErrUnavailable)
		_, err = f.Spent(f.Context(), "a")
		f.is("Spent", err, db.ErrUnavailable)
	}},

	{"logins accepted before the close are answered", func(f *fixture) {
		var accepted sync.WaitGroup
		for n := range 50 {
			accepted.Go(func() {
				_, err := f.SaveLogin(f.Context(), official(fmt.Sprintf("o%d", n), ""))
				if err != nil {
					f.is("SaveLogin", err, db.ErrUnavailable)
				}
			})
		}
		f.is("Close", f.Close(), nil)
		accepted.Wait()
	}},
}

// atOnce calls do from n goroutines that start together, and fails the test for
// each error.
func atOnce[T any](f *fixture, n int, do func(n int) (T, error)) []T {
	f.Helper()
	results := make([]T, n)
	var ready, all sync.WaitGroup
	ready.Add(n)
	for i := range n {
		all.Go(func() {
			ready.Done()
			ready.Wait()
			result, err := do(i)
			if err != nil {
				f.Errorf("call %d: %v", i, err)
			}
			results[i] = result
		})
	}
	all.Wait()
	return results
}
