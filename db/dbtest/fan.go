package dbtest

import (
	"errors"
	"slices"
	"time"

	"wxbridge/db"
)

var fanTests = []test{
	{"an unknown fan or identity is not found", func(f *fixture) {
		f.login(official("oAlice", ""))
		_, err := f.Fan(f.Context(), "nobody")
		f.is("Fan", err, db.ErrNotFound)
		_, _, err = f.FanByIdentity(f.Context(), db.ProviderMiniProgram, "wx00000000000000aa", "oAlice")
		f.is("FanByIdentity", err, db.ErrNotFound)
		_, err = f.UpdateFan(f.Context(), "nobody", func(*db.Fan) error { f.Error("change was called"); return nil })
		f.is("UpdateFan", err, db.ErrNotFound)
		f.same("Identities", f.identities("nobody"), []db.Identity{})
		f.same("Aliases", f.aliases("nobody"), []string{})
	}},

	{"a change is stored and returned", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		f.clock.advance(time.Minute)
		registered := f.clock.Now()
		got := f.update(alice.ID, func(fan *db.Fan) {
			fan.Nickname, fan.AvatarURL, fan.Phone = "Alice", "https://a/1", "+8613800000000"
			fan.Language, fan.Role, fan.Status = "en", "editor", db.StatusBlocked
			fan.RegisteredAt, fan.ProfileAt, fan.ConsentedAt = registered, registered, registered
		})
		now := f.clock.stored()
		want := db.Fan{ID: alice.ID, Nickname: "Alice", AvatarURL: "https://a/1", Phone: "+8613800000000", Language: "en",
			Role: "editor", Status: db.StatusBlocked, RegisteredAt: now, ProfileAt: now, ConsentedAt: now,
			CreatedAt: alice.CreatedAt, UpdatedAt: now, LastLoginAt: alice.LastLoginAt}
		f.same("returned", got, want)
		f.same("stored", f.fan(alice.ID), want)
	}},

	{"what is the store's own stays", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		f.clock.advance(time.Minute)
		got := f.update(alice.ID, func(fan *db.Fan) {
			fan.ID = "other"
			fan.CreatedAt, fan.UpdatedAt, fan.LastLoginAt = time.Time{}, time.Time{}, time.Time{}
		})
		f.same("returned", got, alice)
		f.same("stored", f.fan(alice.ID), alice)
	}},

	{"an error of the change stores nothing and comes back", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		refused := errors.New("refused")
		_, err := f.UpdateFan(f.Context(), alice.ID, func(fan *db.Fan) error {
			fan.Nickname = "Mallory"
			return refused
		})
		f.is("UpdateFan", err, refused)
		f.same("stored", f.fan(alice.ID), alice)
	}},

	{"a status that does not exist is refused", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		_, err := f.UpdateFan(f.Context(), alice.ID, func(fan *db.Fan) error {
			fan.Status = "imaginary"
			return nil
		})
		if err == nil || errors.Is(err, db.ErrUnavailable) {
			f.Errorf("UpdateFan: error %v, want one that does not blame the store", err)
		}
		f.same("stored", f.fan(alice.ID), alice)
		f.same("the store goes on", f.login(official("oBob", "")).Created, true)
	}},

	{"a panicking change is the caller's", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		func() {
			defer func() {
				if recover() == nil {
					f.Error("the panic did not reach the caller")
				}
			}()
			f.UpdateFan(f.Context(), alice.ID, func(*db.Fan) error { panic("in change") })
		}()
		f.same("the store goes on", f.login(official("oBob", "")).Created, true)
	}},

	{"a change may use the store", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		bob := f.login(official("oBob", "")).Fan
		f.update(alice.ID, func(fan *db.Fan) {
			f.update(bob.ID, func(fan *db.Fan) { fan.Nickname = "Bob" })
			fan.Nickname = "Alice, friend of " + f.fan(bob.ID).Nickname
		})
		f.same("nickname", f.fan(alice.ID).Nickname, "Alice, friend of Bob")
	}},

	{"a change of an alias changes the survivor", func(f *fixture) {
		alice := f.login(official("oAlice", "uAlice")).Fan
		alias := f.login(miniProgram("mAlice", "")).Fan
		f.login(miniProgram("mAlice", "uAlice"))
		f.same("fan", f.update(alias.ID, func(fan *db.Fan) { fan.Nickname = "Alice" }).ID, alice.ID)
		f.same("nickname", f.fan(alice.ID).Nickname, "Alice")
	}},

	{"a refresh token is forgotten with its expiry", func(f *fixture) {
		l := official("oAlice", "")
		l.Identity.UserRefreshTokenSealed, l.Identity.UserRefreshExpiresAt = []byte("token"), f.clock.Now()
		l.Identity.SessionKeySealed = []byte("key")
		f.login(l)
		want := f.identityOf(l)
		want.UserRefreshTokenSealed, want.UserRefreshExpiresAt = nil, time.Time{}
		forget := func(openID string) error {
			return f.ForgetUserRefreshToken(f.Context(), l.Identity.Provider, l.Identity.AppID, openID)
		}
		f.is("first time", forget("oAlice"), nil)
		f.same("identity", f.identityOf(l), want)
		f.is("second time", forget("oAlice"), nil)
		f.is("unknown identity", forget("oNobody"), db.ErrNotFound)
	}},
}

var eraseTests = []test{
	{"a fan goes with identities and aliases, and every id is revoked", func(f *fixture) {
		alice := f.login(official("oAlice", "uAlice")).Fan
		alias := f.login(miniProgram("mAlice", "")).Fan
		f.login(miniProgram("mAlice", "uAlice"))
		bob := f.login(official("oBob", "")).Fan

		cut, until := f.clock.Now().Add(time.Second), f.clock.Now().Add(2*time.Hour)
		ids, err := f.EraseFan(f.Context(), alice.ID, cut, until)
		f.is("EraseFan", err, nil)
		f.same("ids", ids, []string{alice.ID, alias.ID})

		for _, id := range ids {
			_, err := f.Fan(f.Context(), id)
			f.is("Fan", err, db.ErrNotFound)
			f.same("identities", f.identities(id), []db.Identity{})
			f.same("aliases", f.aliases(id), []string{})
		}
		for _, l := range []db.Login{official("oAlice", ""), miniProgram("mAlice", "")} {
			_, _, err := f.FanByIdentity(f.Context(), l.Identity.Provider, l.Identity.AppID, l.Identity.OpenID)
			f.is("FanByIdentity", err, db.ErrNotFound)
		}
		revoked := f.revocations()
		slices.SortFunc(revoked, func(a, b db.Revocation) int { return slices.Index(ids, a.Value) - slices.Index(ids, b.Value) })
		before, expires := f.clock.stored().Add(time.Second), f.clock.stored().Add(2*time.Hour)
		f.same("revocations", revoked, []db.Revocation{
			{Kind: db.RevokedSubject, Value: alice.ID, Before: before, ExpiresAt: expires},
			{Kind: db.RevokedSubject, Value: alias.ID, Before: before, ExpiresAt: expires},
		})
		f.same("others stay", f.fan(bob.ID), bob)
	}},

	{"an alias erases its survivor", func(f *fixture) {
		alice := f.login(official("oAlice", "uAlice")).Fan
		alias := f.login(miniProgram("mAlice", "")).Fan
		f.login(miniProgram("mAlice", "uAlice"))
		ids, err := f.EraseFan(f.Context(), alias.ID, f.clock.Now(), f.clock.Now())
		f.is("EraseFan", err, nil)
		f.same("ids", ids, []string{alice.ID, alias.ID})
	}},

	{"an unknown fan is not found, nor revoked", func(f *fixture) {
		_, err := f.EraseFan(f.Context(), "nobody", f.clock.Now(), f.clock.Now().Add(time.Hour))
		f.is("EraseFan", err, db.ErrNotFound)
		f.same("revocations", f.revocations(), []db.Revocation{})
	}},

	{"who comes back is a new fan", func(f *fixture) {
		alice := f.login(withProfile(official("oAlice", "uAlice"), db.Profile{Nickname: "Alice"})).Fan
		_, err := f.EraseFan(f.Context(), alice.ID, f.clock.Now(), f.clock.Now().Add(time.Hour))
		f.is("EraseFan", err, nil)
		again := f.login(official("oAlice", "uAlice"))
		if !again.Created || again.Fan.ID == alice.ID || again.Fan.Nickname != "" {
			f.Errorf("came back as %+v", again)
		}
	}},
}
