package dbtest

import (
	"time"

	"wxbridge/db"
)

var mergeTests = []test{
	{"the older fan survives and the younger id stays resolvable", func(f *fixture) {
		older := f.login(withProfile(official("oAlice", "uAlice"), db.Profile{Nickname: "Alice"})).Fan
		younger := f.login(miniProgram("mAlice", "")).Fan
		result := f.login(miniProgram("mAlice", "uAlice"))
		now := f.clock.stored()
		want := older
		want.UpdatedAt, want.LastLoginAt = now, now
		f.same("result", result, db.LoginResult{Fan: want, MergedFrom: younger.ID})
		f.same("by its own id", f.fan(older.ID), want)
		f.same("by the alias", f.fan(younger.ID), want)
		f.same("aliases", f.aliases(older.ID), []string{younger.ID})
		f.same("aliases by the alias", f.aliases(younger.ID), []string{younger.ID})
		f.same("identities by the alias", f.identities(younger.ID), f.identities(older.ID))
		f.same("number of identities", len(f.identities(older.ID)), 2)
	}},

	{"the older fan survives when it is the one that logs in", func(f *fixture) {
		older := f.login(official("oAlice", "")).Fan
		younger := f.login(miniProgram("mAlice", "uAlice")).Fan
		result := f.login(official("oAlice", "uAlice"))
		f.same("survivor", result.Fan.ID, older.ID)
		f.same("merged", result.MergedFrom, younger.ID)
	}},

	{"fans born in one millisecond merge too", func(f *fixture) {
		a, err := f.SaveLogin(f.Context(), official("oAlice", "uAlice"))
		f.is("first login", err, nil)
		b, err := f.SaveLogin(f.Context(), miniProgram("mAlice", ""))
		f.is("second login", err, nil)
		result := f.login(miniProgram("mAlice", "uAlice"))
		f.same("survivor and alias", []string{result.Fan.ID, result.MergedFrom}, []string{a.Fan.ID, b.Fan.ID})
	}},

	{"aliases of a merged fan name the last survivor", func(f *fixture) {
		first := f.login(official("oAlice", "")).Fan
		second := f.login(miniProgram("mAlice", "uAlice")).Fan
		l := miniProgram("m2Alice", "")
		l.Identity.AppID = "wx00000000000000cc"
		third := f.login(l).Fan
		l.Identity.UnionID = "uAlice"
		f.same("first merge", f.login(l).MergedFrom, third.ID)
		f.same("second merge", f.login(official("oAlice", "uAlice")).MergedFrom, second.ID)
		for _, id := range []string{first.ID, second.ID, third.ID} {
			f.same("fan of "+id, f.fan(id).ID, first.ID)
		}
		f.same("aliases", f.aliases(first.ID), []string{second.ID, third.ID})
		f.same("number of identities", len(f.identities(first.ID)), 3)
	}},

	{"the survivor's empty fields are filled, and the newer profile wins", func(f *fixture) {
		older := f.login(withProfile(official("oAlice", "uAlice"), db.Profile{Nickname: "Old", Language: "en"})).Fan
		f.update(older.ID, func(fan *db.Fan) { fan.Phone = "+8613800000000" })
		younger := f.login(withProfile(miniProgram("mAlice", ""), db.Profile{Nickname: "New", AvatarURL: "https://a/new"})).Fan
		f.update(younger.ID, func(fan *db.Fan) { fan.Phone, fan.Role = "+8613900000000", "editor" })
		fan := f.login(miniProgram("mAlice", "uAlice")).Fan
		f.same("fields", []string{fan.ID, fan.Nickname, fan.AvatarURL, fan.Language, fan.Phone, fan.Role},
			[]string{older.ID, "New", "https://a/new", "en", "+8613800000000", "editor"})
		f.same("times", []time.Time{fan.RegisteredAt, fan.ProfileAt, fan.CreatedAt},
			[]time.Time{older.RegisteredAt, younger.ProfileAt, older.CreatedAt})
	}},

	{"an older profile does not displace the survivor's", func(f *fixture) {
		guest := f.login(official("oAlice", "")).Fan
		younger := f.login(withProfile(miniProgram("mAlice", "uAlice"), db.Profile{Nickname: "Old"})).Fan
		f.login(withProfile(official("oAlice", ""), db.Profile{Nickname: "New"}))
		fan := f.login(official("oAlice", "uAlice")).Fan
		f.same("survivor", fan.ID, guest.ID)
		f.same("nickname", fan.Nickname, "New")
		f.same("registered when either first was", fan.RegisteredAt, younger.RegisteredAt)
	}},

	{"a guest merged into a registered fan makes no guest of it", func(f *fixture) {
		f.login(official("oAlice", ""))
		registered := f.login(withProfile(miniProgram("mAlice", "uAlice"), db.Profile{Nickname: "Alice"})).Fan
		fan := f.login(official("oAlice", "uAlice")).Fan
		f.same("nickname", fan.Nickname, "Alice")
		f.same("registered", fan.RegisteredAt, registered.RegisteredAt)
	}},

	{"the latest consent of both is kept", func(f *fixture) {
		l := official("oAlice", "uAlice")
		l.ConsentedAt = f.clock.Now()
		f.login(l)
		l = miniProgram("mAlice", "")
		l.ConsentedAt = f.clock.Now()
		latest := f.clock.stored()
		f.login(l)
		f.same("consent", f.login(miniProgram("mAlice", "uAlice")).Fan.ConsentedAt, latest)
	}},

	{"blocked if the older was", func(f *fixture) { mergeBlocked(f, true, false) }},
	{"blocked if the younger was", func(f *fixture) { mergeBlocked(f, false, true) }},

	{"two different roles are left apart until an operator decides", func(f *fixture) {
		older := f.login(official("oAlice", "uAlice")).Fan
		younger := f.login(miniProgram("mAlice", "")).Fan
		f.update(older.ID, func(fan *db.Fan) { fan.Role = "admin" })
		f.update(younger.ID, func(fan *db.Fan) { fan.Role = "editor" })

		result := f.login(miniProgram("mAlice", "uAlice"))
		f.same("result", []string{result.Fan.ID, result.Fan.Role, result.MergedFrom, result.RoleConflict},
			[]string{younger.ID, "editor", "", older.ID})
		f.same("older keeps its role", f.fan(older.ID).Role, "admin")
		f.same("seen from the other side", f.login(official("oAlice", "uAlice")).RoleConflict, younger.ID)

		third := miniProgram("m2Alice", "uAlice")
		third.Identity.AppID = "wx00000000000000cc"
		result = f.login(third)
		f.same("a third identity joins the older and reports the other",
			[]string{result.Fan.ID, result.RoleConflict}, []string{older.ID, younger.ID})

		f.update(younger.ID, func(fan *db.Fan) { fan.Role = "" })
		result = f.login(miniProgram("mAlice", "uAlice"))
		f.same("merged once the roles agree", []string{result.Fan.ID, result.Fan.Role, result.MergedFrom, result.RoleConflict},
			[]string{older.ID, "admin", younger.ID, ""})
	}},

	{"equal roles merge", func(f *fixture) {
		older := f.login(official("oAlice", "uAlice")).Fan
		younger := f.login(miniProgram("mAlice", "")).Fan
		for _, id := range []string{older.ID, younger.ID} {
			f.update(id, func(fan *db.Fan) { fan.Role = "editor" })
		}
		result := f.login(miniProgram("mAlice", "uAlice"))
		f.same("merged", []string{result.MergedFrom, result.Fan.Role}, []string{younger.ID, "editor"})
	}},

	{"a changed unionid merges with the fan who has the new one", func(f *fixture) {
		older := f.login(official("oAlice", "uOld")).Fan
		younger := f.login(miniProgram("mAlice", "uNew")).Fan
		result := f.login(official("oAlice", "uNew"))
		f.same("merged", []string{result.Fan.ID, result.MergedFrom}, []string{older.ID, younger.ID})
	}},

	{"fans kept apart by roles are all merged when none is left", func(f *fixture) {
		first := f.login(official("oAlice", "uAlice")).Fan
		second := f.login(miniProgram("mAlice", "")).Fan
		f.update(first.ID, func(fan *db.Fan) { fan.Role = "admin" })
		f.update(second.ID, func(fan *db.Fan) { fan.Role = "editor" })
		f.login(miniProgram("mAlice", "uAlice"))
		l := miniProgram("m2Alice", "")
		l.Identity.AppID = "wx00000000000000cc"
		third := f.login(l).Fan
		f.update(first.ID, func(fan *db.Fan) { fan.Role = "" })
		f.update(second.ID, func(fan *db.Fan) { fan.Role = "" })
		l.Identity.UnionID = "uAlice"
		f.same("survivor", f.login(l).Fan.ID, first.ID)
		f.same("aliases", f.aliases(first.ID), []string{second.ID, third.ID})
	}},
}

func mergeBlocked(f *fixture, older, younger bool) {
	a := f.login(withProfile(official("oAlice", "uAlice"), db.Profile{Nickname: "Alice"})).Fan
	b := f.login(miniProgram("mAlice", "")).Fan
	for id, blocked := range map[string]bool{a.ID: older, b.ID: younger} {
		if blocked {
			f.update(id, func(fan *db.Fan) { fan.Status = db.StatusBlocked })
		}
	}
	last := withProfile(miniProgram("mAlice", "uAlice"), db.Profile{Nickname: "Mallory"})
	last.RevokeUntil = f.clock.stored().Add(time.Hour)
	result := f.login(last)
	f.same("revoked", result.Revoked, db.Revoked{Subjects: []string{a.ID, b.ID}, Before: f.nextSecond()}) // TOK-10
	f.subjectsAreCut(result.Revoked, last.RevokeUntil)
	f.same("status", result.Fan.Status, db.StatusBlocked)
	f.same("merged", []string{result.Fan.ID, result.MergedFrom}, []string{a.ID, b.ID})
	f.same("the next login revokes no more", f.login(last).Revoked, db.Revoked{})
	f.same("nickname", result.Fan.Nickname, "Alice")
	f.same("stored", f.fan(a.ID), result.Fan)
	f.same("last login", result.Fan.LastLoginAt, b.LastLoginAt)
}
