// Package dbtest holds the suite that every engine of package db passes. It is
// written from the comments of db's interfaces, and opens stores only through
// the function it is given.
package dbtest

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"wxbridge/db"
)

// Run runs the suite. Each test opens an empty store of its own; open should
// register the store's Close with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T, now func() time.Time) db.Store) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"login", loginTests},
		{"link", linkTests},
		{"merge", mergeTests},
		{"fan", fanTests},
		{"erase", eraseTests},
		{"key", keyTests},
		{"sealed", sealedTests},
		{"app token", appTokenTests},
		{"unionid", unionTests},
		{"revocation", revocationTests},
		{"follow", followTests},
		{"access", accessTests},
		{"list", listTests},
		{"outbox", outboxTests},
		{"push", pushTests},
		{"spent", spentTests},
		{"scan", scanTests},
		{"member", memberTests},
		{"fan link", fanLinkTests},
		{"concurrency", concurrencyTests},
		{"close", closeTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					clock := newClock()
					test.run(&fixture{T: t, Store: open(t, clock.Now), clock: clock})
				})
			}
		})
	}
}

type test struct {
	name string
	run  func(*fixture)
}

// fixture is one test's empty store and the clock it reads.
type fixture struct {
	*testing.T
	db.Store
	clock *clock
}

// clock stands still until it is told to move.
type clock struct{ ms atomic.Int64 }

// newClock starts at an odd time in an odd zone, with a fraction the stores drop.
func newClock() *clock {
	c := &clock{}
	c.ms.Store(time.Date(2031, 12, 31, 23, 59, 58, 765_000_000, time.UTC).UnixMilli())
	return c
}

func (c *clock) Now() time.Time {
	return time.UnixMilli(c.ms.Load()).Add(432 * time.Microsecond).In(time.FixedZone("odd", -(9*3600 + 1800)))
}

// stored is the present as a store gives it back.
func (c *clock) stored() time.Time { return time.UnixMilli(c.ms.Load()).UTC() }

func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// official and miniProgram are logins of two apps under one open account.

func official(openID, unionID string) db.Login {
	return db.Login{Identity: db.Identity{Provider: db.ProviderOfficialAccount, AppID: "wx00000000000000aa",
		OpenID: openID, OpenAccount: "default", UnionID: unionID}}
}

func miniProgram(openID, unionID string) db.Login {
	return db.Login{Identity: db.Identity{Provider: db.ProviderMiniProgram, AppID: "wx00000000000000bb",
		OpenID: openID, OpenAccount: "default", UnionID: unionID}}
}

func withProfile(l db.Login, p db.Profile) db.Login {
	l.Profile = &p
	return l
}

// login saves a login, a second after the one before.
func (f *fixture) login(l db.Login) db.LoginResult {
	f.Helper()
	f.clock.advance(time.Second)
	result, err := f.SaveLogin(f.Context(), l)
	if err != nil {
		f.Fatalf("SaveLogin(%+v): %v", l.Identity, err)
	}
	return result
}

func (f *fixture) fan(id string) db.Fan {
	f.Helper()
	fan, err := f.Fan(f.Context(), id)
	if err != nil {
		f.Fatalf("Fan(%s): %v", id, err)
	}
	return fan
}

func (f *fixture) identityOf(l db.Login) db.Identity {
	f.Helper()
	fan, identity, err := f.FanByIdentity(f.Context(), l.Identity.Provider, l.Identity.AppID, l.Identity.OpenID)
	if err != nil {
		f.Fatalf("FanByIdentity(%+v): %v", l.Identity, err)
	}
	if fan != f.fan(identity.FanID) {
		f.Errorf("FanByIdentity gives %+v and an identity of %s", fan, identity.FanID)
	}
	return identity
}

func (f *fixture) identities(fanID string) []db.Identity {
	f.Helper()
	identities, err := f.Identities(f.Context(), fanID)
	if err != nil {
		f.Fatalf("Identities(%s): %v", fanID, err)
	}
	return identities
}

func (f *fixture) aliases(fanID string) []string {
	f.Helper()
	aliases, err := f.Aliases(f.Context(), fanID)
	if err != nil {
		f.Fatalf("Aliases(%s): %v", fanID, err)
	}
	return aliases
}

func (f *fixture) update(id string, change func(*db.Fan)) db.Fan {
	f.Helper()
	fan, err := f.UpdateFan(f.Context(), id, func(fan *db.Fan) error {
		change(fan)
		return nil
	})
	if err != nil {
		f.Fatalf("UpdateFan(%s): %v", id, err)
	}
	return fan
}

func (f *fixture) revocations() []db.Revocation {
	f.Helper()
	all, err := f.Revocations(f.Context())
	if err != nil {
		f.Fatalf("Revocations: %v", err)
	}
	return all
}

// same reports a difference between two values; empty and nil are one.
func (f *fixture) same(what string, got, want any) {
	f.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		f.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (f *fixture) is(what string, err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Errorf("%s: error %v, want %v", what, err, want)
	}
}
