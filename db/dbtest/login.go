package dbtest

import (
	"strings"
	"time"

	"wxbridge/db"
)

var loginTests = []test{
	{"an unknown openid makes a guest", func(f *fixture) {
		l := miniProgram("oGuest", "")
		result := f.login(l)
		now := f.clock.stored()
		f.same("result", result, db.LoginResult{Created: true, Fan: db.Fan{ID: result.Fan.ID, Status: db.StatusActive,
			CreatedAt: now, UpdatedAt: now, LastLoginAt: now}})
		if result.Fan.Registered() {
			f.Error("a guest is registered")
		}
		f.same("stored fan", f.fan(result.Fan.ID), result.Fan)
		f.same("stored identity", f.identityOf(l), db.Identity{Provider: l.Identity.Provider, AppID: l.Identity.AppID,
			OpenID: "oGuest", FanID: result.Fan.ID, OpenAccount: "default", CreatedAt: now, LastLoginAt: now})
	}},

	{"a profile registers the fan", func(f *fixture) {
		guest := f.login(official("oAlice", "")).Fan
		l := withProfile(official("oAlice", ""), db.Profile{Nickname: "爱丽丝", AvatarURL: "https://thirdwx.qlogo.cn/a/132",
			Language: "zh_CN", JSON: []byte(`{"nickname":"爱丽丝"}`)})
		l.ConsentedAt = f.clock.Now()
		consented := f.clock.stored()
		fan := f.login(l).Fan
		now := f.clock.stored()
		want := guest
		want.Nickname, want.AvatarURL, want.Language = "爱丽丝", "https://thirdwx.qlogo.cn/a/132", "zh_CN"
		want.RegisteredAt, want.ProfileAt, want.ConsentedAt = now, now, consented
		want.UpdatedAt, want.LastLoginAt = now, now
		f.same("fan", fan, want)
		f.same("stored fan", f.fan(fan.ID), want)
		f.same("profile as sent", string(f.identityOf(l).ProfileJSON), `{"nickname":"爱丽丝"}`)
	}},

	{"a profile without fields registers too", func(f *fixture) {
		if fan := f.login(withProfile(official("oBlank", ""), db.Profile{})).Fan; !fan.Registered() {
			f.Error("not registered")
		}
	}},

	{"a known fan only moves the login times", func(f *fixture) {
		before := f.login(withProfile(official("oAlice", ""), db.Profile{Nickname: "Alice"})).Fan
		born := f.clock.stored()
		result := f.login(official("oAlice", ""))
		want := before
		want.LastLoginAt = f.clock.stored()
		f.same("result", result, db.LoginResult{Fan: want})
		f.same("stored fan", f.fan(before.ID), want)
		identity := f.identityOf(official("oAlice", ""))
		f.same("identity's times", []time.Time{identity.CreatedAt, identity.LastLoginAt},
			[]time.Time{born, f.clock.stored()})
	}},

	{"empty profile fields keep what is known", func(f *fixture) {
		f.login(withProfile(official("oAlice", ""), db.Profile{Nickname: "Alice", AvatarURL: "https://a/1",
			Language: "en", JSON: []byte(`{"a":1}`)}))
		registered := f.clock.stored()
		fan := f.login(withProfile(official("oAlice", ""), db.Profile{AvatarURL: "https://a/2"})).Fan
		f.same("profile", []string{fan.Nickname, fan.AvatarURL, fan.Language}, []string{"Alice", "https://a/2", "en"})
		f.same("times", []time.Time{fan.RegisteredAt, fan.ProfileAt}, []time.Time{registered, f.clock.stored()})
		f.same("stored fan", f.fan(fan.ID), fan)
		f.same("profile as sent", string(f.identityOf(official("oAlice", "")).ProfileJSON), `{"a":1}`)
	}},

	{"empty identity fields keep what is known", func(f *fixture) {
		l := official("oAlice", "uAlice")
		l.Identity.Scope, l.Identity.Subscribed = db.ScopeUserinfo, new(bool)
		l.Identity.SessionKeySealed, l.Identity.UserRefreshTokenSealed = []byte("key"), []byte("token")
		l.Identity.UserRefreshExpiresAt = f.clock.Now().Add(time.Hour)
		f.login(l)
		before := f.identityOf(l)
		if before.Subscribed == nil || *before.Subscribed {
			f.Errorf("subscribed is %v, want a known false", before.Subscribed)
		}
		bare := official("oAlice", "")
		bare.Identity.UserRefreshExpiresAt = f.clock.Now().Add(9 * time.Hour) // of no token
		f.login(bare)
		want := before
		want.LastLoginAt = f.clock.stored()
		f.same("identity", f.identityOf(l), want)
	}},

	{"new identity fields replace the known ones", func(f *fixture) {
		l := official("oAlice", "uAlice")
		l.Identity.SessionKeySealed, l.Identity.UserRefreshTokenSealed = []byte("key"), []byte("token")
		l.Identity.Scope, l.Identity.UserRefreshExpiresAt = "snsapi_base", f.clock.Now().Add(time.Hour)
		f.login(l)
		subscribed := true
		l.Identity.SessionKeySealed, l.Identity.UserRefreshTokenSealed = []byte("key 2"), []byte("token 2")
		l.Identity.Scope, l.Identity.Subscribed = db.ScopeUserinfo, &subscribed
		l.Identity.UserRefreshExpiresAt = f.clock.Now().Add(2 * time.Hour)
		born, expires := f.clock.stored(), f.clock.stored().Add(2*time.Hour)
		fan := f.login(l).Fan
		want := l.Identity
		want.FanID, want.CreatedAt, want.LastLoginAt = fan.ID, born, f.clock.stored()
		want.UserRefreshExpiresAt = expires
		f.same("identity", f.identityOf(l), want)
	}},

	{"a base login does not lower the scope", func(f *fixture) {
		l := official("oAlice", "")
		for _, scope := range []string{"snsapi_base", db.ScopeUserinfo, "snsapi_base", ""} {
			l.Identity.Scope = scope
			f.login(l)
		}
		f.same("scope", f.identityOf(l).Scope, db.ScopeUserinfo)
	}},

	{"the latest tap on the register page is kept", func(f *fixture) {
		l := official("oAlice", "")
		latest := f.clock.stored().Add(time.Hour)
		for _, tap := range []time.Time{f.clock.stored(), latest, f.clock.stored(), {}} {
			l.ConsentedAt = tap
			f.same("consent", !f.login(l).Fan.ConsentedAt.IsZero(), true)
		}
		f.same("consent", f.fan(f.identityOf(l).FanID).ConsentedAt, latest)
	}},

	{"WX-04 an openid under two apps is two fans", func(f *fixture) {
		first := official("oSame", "")
		otherApp, otherProvider := first, first
		otherApp.Identity.AppID = "wx00000000000000cc"
		otherProvider.Identity.Provider = db.ProviderMiniProgram
		fans := make(map[string]bool)
		for _, l := range []db.Login{first, otherApp, otherProvider} {
			fans[f.login(l).Fan.ID] = true
		}
		f.same("number of fans", len(fans), 3)
	}},

	{"openids and unionids are case-sensitive", func(f *fixture) {
		fans := make(map[string]bool)
		for _, l := range []db.Login{official("oCase", "uCase"), official("ocase", "ucase"), miniProgram("OCASE", "UCASE")} {
			fans[f.login(l).Fan.ID] = true
		}
		f.same("number of fans", len(fans), 3)
	}},

	{"times come back in UTC, to the millisecond", func(f *fixture) {
		l := withProfile(official("oAlice", ""), db.Profile{Nickname: "Alice"})
		l.ConsentedAt = f.clock.Now()
		l.Identity.UserRefreshTokenSealed, l.Identity.UserRefreshExpiresAt = []byte("token"), f.clock.Now()
		saved := f.login(l).Fan
		stored, identity := f.fan(saved.ID), f.identityOf(l)
		for name, at := range map[string]time.Time{
			"registered": stored.RegisteredAt, "profile": stored.ProfileAt, "consented": stored.ConsentedAt,
			"created": stored.CreatedAt, "updated": stored.UpdatedAt, "last login": stored.LastLoginAt,
			"refresh token expires": identity.UserRefreshExpiresAt,
			"identity created":      identity.CreatedAt, "identity's last login": identity.LastLoginAt,
		} {
			if at.Location() != time.UTC || at.IsZero() || !at.Equal(at.Truncate(time.Millisecond)) {
				f.Errorf("%s: %v", name, at)
			}
		}
		if saved != stored {
			f.Errorf("SaveLogin gives %+v, Fan gives %+v", saved, stored)
		}
	}},

	{"long and odd text comes back as it went in", func(f *fixture) {
		for name, text := range map[string]string{
			"quotes and SQL":  `Robert'); DROP TABLE fans;--"` + "`$1 ?1 :a @b",
			"emoji":           "👩‍👩‍👧‍👦🏳️‍🌈 Zoë e\u0301",
			"right to left":   "\u202eمرحبا\u202c שלום",
			"a NUL inside":    "before\x00after",
			"not UTF-8":       "\xff\xfe\x80 end",
			"only spaces":     " \t\r\n ",
			"looks a number":  "007",
			"looks a time":    "2031-12-31 23:59:58",
			"64 KiB":          strings.Repeat("长", 64<<10/3),
			"a megabyte":      strings.Repeat("0123456789abcdef", 1<<16),
			"percent escapes": "%00%27%s%!d(MISSING)",
		} {
			l := withProfile(official("o"+text, "u"+text), db.Profile{Nickname: text, AvatarURL: text, Language: text,
				JSON: []byte(text)})
			l.Identity.Scope, l.Identity.SessionKeySealed = text, []byte(text)
			fan := f.login(l).Fan
			stored, identity := f.fan(fan.ID), f.identityOf(l)
			for _, got := range []string{stored.Nickname, stored.AvatarURL, stored.Language, identity.Scope,
				string(identity.ProfileJSON), string(identity.SessionKeySealed), identity.OpenID[1:], identity.UnionID[1:]} {
				if got != text {
					f.Errorf("%s: %.80q came back as %.80q", name, text, got)
				}
			}
		}
	}},

	{"a login without its key is refused", func(f *fixture) {
		for name, strip := range map[string]func(*db.Identity){
			"provider":     func(i *db.Identity) { i.Provider = "" },
			"appid":        func(i *db.Identity) { i.AppID = "" },
			"openid":       func(i *db.Identity) { i.OpenID = "" },
			"open account": func(i *db.Identity) { i.OpenAccount = "" },
		} {
			l := official("oAlice", "uAlice")
			strip(&l.Identity)
			if result, err := f.SaveLogin(f.Context(), l); err == nil {
				f.Errorf("without its %s: stored as %+v", name, result)
			}
		}
	}},
}
