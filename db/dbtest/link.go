package dbtest

import (
	"time"

	"wxbridge/db"
)

var linkTests = []test{
	{"a new identity joins the fan who has its unionid", func(f *fixture) {
		alice := f.login(withProfile(official("oAlice", "uAlice"), db.Profile{Nickname: "Alice"})).Fan
		result := f.login(miniProgram("mAlice", "uAlice"))
		want := alice
		want.LastLoginAt = f.clock.stored()
		f.same("result", result, db.LoginResult{Fan: want, Linked: true})
		identities := f.identities(alice.ID)
		f.same("number of identities", len(identities), 2)
		f.same("oldest first", identities[0].OpenID, "oAlice")
		f.same("aliases", f.aliases(alice.ID), []string{})
	}},

	{"a unionid that comes late joins nobody it does not belong to", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		result := f.login(official("oAlice", "uAlice"))
		f.same("fan", result.Fan.ID, alice.ID)
		f.same("merged", result.MergedFrom, "")
		bob := f.login(miniProgram("mBob", "uBob"))
		f.same("bob is new", bob.Created, true)
	}},

	{"REL-17 a unionid equal in two open accounts is two fans", func(f *fixture) {
		here := f.login(official("oAlice", "uSame")).Fan
		l := miniProgram("mStranger", "uSame")
		l.Identity.OpenAccount = "another company"
		result := f.login(l)
		f.same("created", result.Created, true)
		if result.Fan.ID == here.ID {
			f.Error("joined a fan of another open account")
		}
	}},

	{"empty unionids say nothing", func(f *fixture) {
		a, b := f.login(official("oAlice", "")), f.login(miniProgram("mBob", ""))
		if a.Fan.ID == b.Fan.ID || !b.Created {
			f.Error("two fans without a unionid were joined")
		}
	}},

	{"WeCom never links by unionid", func(f *fixture) {
		member := db.Login{Identity: db.Identity{Provider: "wecom", AppID: "ww0000000000000001", OpenID: "alice",
			OpenAccount: "default", UnionID: "uAlice"}}
		first := f.login(official("oAlice", "uAlice")).Fan
		wecom := f.login(member)
		f.same("member is a fan of their own", wecom.Created && wecom.Fan.ID != first.ID, true)
		mini := f.login(miniProgram("mAlice", "uAlice"))
		f.same("the member does not take part", mini.Fan.ID, first.ID)
		f.same("merged", mini.MergedFrom+mini.RoleConflict, "")
	}},

	{"a changed unionid leaves the identity with its fan", func(f *fixture) {
		alice := f.login(official("oAlice", "uOld")).Fan
		f.login(miniProgram("mAlice", "uOld"))
		f.same("same fan", f.login(official("oAlice", "uNew")).Fan.ID, alice.ID)
		f.same("new unionid", f.identityOf(official("oAlice", "")).UnionID, "uNew")
		website := official("wAlice", "uNew")
		website.Identity.Provider, website.Identity.AppID = "website", "wx00000000000000dd"
		f.same("found by the new", f.login(website).Fan.ID, alice.ID)
		third := miniProgram("m2Alice", "uOld")
		third.Identity.AppID = "wx00000000000000ee"
		f.same("found by the old, which the mini program still has", f.login(third).Fan.ID, alice.ID)
		f.login(miniProgram("mAlice", "uNew"))
		f.login(third)
	}},

	{"a unionid and its open account change together", func(f *fixture) {
		l := official("oAlice", "uAlice")
		f.login(l)
		moved := official("oAlice", "")
		moved.Identity.OpenAccount = "new home"
		f.login(moved)
		identity := f.identityOf(l)
		f.same("pair before a new unionid", []string{identity.OpenAccount, identity.UnionID}, []string{"default", "uAlice"})

		stranger := miniProgram("mStranger", "uAlice")
		stranger.Identity.OpenAccount = "new home"
		f.same("the old unionid means nothing in the new account", f.login(stranger).Created, true)

		moved.Identity.UnionID = "uAlice in new home"
		f.login(moved)
		identity = f.identityOf(l)
		f.same("pair after", []string{identity.OpenAccount, identity.UnionID}, []string{"new home", "uAlice in new home"})
	}},

	{"REL-17 a new identity of a blocked fan finds them blocked", func(f *fixture) {
		alice := f.login(withProfile(official("oAlice", "uAlice"), db.Profile{Nickname: "Alice"})).Fan
		lastLogin := f.clock.stored()
		f.update(alice.ID, func(fan *db.Fan) { fan.Status = db.StatusBlocked })

		l := withProfile(miniProgram("mAlice", "uAlice"), db.Profile{Nickname: "Mallory"})
		l.Identity.SessionKeySealed = []byte("key")
		l.ConsentedAt = f.clock.Now()
		result := f.login(l)
		f.same("status", result.Fan.Status, db.StatusBlocked)
		f.same("fan", result.Fan.ID, alice.ID)
		f.same("stored fan", f.fan(alice.ID), result.Fan)
		f.same("untouched", []any{result.Fan.Nickname, result.Fan.LastLoginAt, result.Fan.ConsentedAt},
			[]any{"Alice", lastLogin, time.Time{}})
		identity := f.identityOf(l)
		f.same("identity", identity, db.Identity{Provider: l.Identity.Provider, AppID: l.Identity.AppID, OpenID: "mAlice",
			FanID: alice.ID, OpenAccount: "default", UnionID: "uAlice", CreatedAt: f.clock.stored()})
	}},

	{"a blocked fan's own login changes nothing", func(f *fixture) {
		l := withProfile(official("oAlice", ""), db.Profile{Nickname: "Alice", JSON: []byte("{}")})
		l.Identity.SessionKeySealed = []byte("key")
		alice := f.login(l).Fan
		before := f.identityOf(l)
		blocked := f.update(alice.ID, func(fan *db.Fan) { fan.Status = db.StatusBlocked })

		l.Profile.Nickname, l.Identity.SessionKeySealed = "Mallory", []byte("other key")
		f.same("result", f.login(l), db.LoginResult{Fan: blocked})
		f.same("stored fan", f.fan(alice.ID), blocked)
		f.same("identity", f.identityOf(l), before)

		f.update(alice.ID, func(fan *db.Fan) { fan.Status = db.StatusActive })
		f.same("nickname once unblocked", f.login(l).Fan.Nickname, "Mallory")
	}},
}
