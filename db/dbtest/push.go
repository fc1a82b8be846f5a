package dbtest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"wxbridge/db"
)

var pushTests = []test{
	{"WX-13 a push is applied once", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		sent := f.clock.Now()
		f.same("first", f.push("k1", "oAlice", db.PushSubscribed, sent), db.PushResult{FanID: alice.ID, Changed: true})
		f.same("subscribed", f.subscribed("oAlice"), true)
		f.push("k2", "oAlice", db.PushUnsubscribed, sent)
		f.same("again", f.push("k1", "oAlice", db.PushSubscribed, sent), db.PushResult{Duplicate: true})
		f.same("subscribed after the repeat", f.subscribed("oAlice"), false)
	}},

	{"WX-13 of many calls at once exactly one applies", func(f *fixture) {
		f.login(official("oAlice", ""))
		var applied atomic.Int64
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if !f.push("k", "oAlice", db.PushSubscribed, f.clock.Now()).Duplicate {
					applied.Add(1)
				}
			})
		}
		all.Wait()
		f.same("applied", applied.Load(), int64(1))
	}},

	{"the event of a push is kept with it, once, in line with the rest about the person", func(f *fixture) {
		f.is("SetEndpoints", f.SetEndpoints(f.Context(), []db.Endpoint{{Name: "shop", Events: []string{"official_account.*"}}}), nil)
		alice := f.login(official("oAlice", "")).Fan
		sent := f.clock.stored().Add(-time.Minute)
		for n, openID := range []string{"oAlice", "oStranger", "oAlice"} {
			p := f.pushOf("k"+openID, openID, db.PushSubscribed, sent)
			p.Event = db.Event{ID: fmt.Sprint("evt", n), Type: "official_account.subscribe", CreatedAt: sent, Order: "not ours", AppID: "not ours"}
			p.Data = func(fanID string) any { return map[string]string{"fan": fanID} }
			f.apply(p)
		}
		f.fanOutAll()
		told, err := f.ClaimDeliveries(f.Context(), "shop", 10, time.Minute)
		f.is("ClaimDeliveries", err, nil)
		var got []string
		for _, d := range told {
			got = append(got, fmt.Sprint(d.EventID, " ", d.Type, " ", d.CreatedAt.Equal(sent), " ", string(d.Data)))
		}
		slices.Sort(got)
		f.same("told", got, []string{
			`evt0 official_account.subscribe true {"fan":"` + alice.ID + `"}`,
			`evt1 official_account.subscribe true {"fan":""}`,
		})
	}},

	{"the same key at another app is another push", func(f *fixture) {
		f.push("k", "oAlice", db.PushTells, f.clock.Now())
		p := f.pushOf("k", "oAlice", db.PushTells, f.clock.Now())
		p.AppID = "wx00000000000000cc"
		f.same("other app", f.apply(p).Duplicate, false)
		p = f.pushOf("k", "oAlice", db.PushTells, f.clock.Now())
		p.Provider = "wecom"
		f.same("other provider", f.apply(p).Duplicate, false)
	}},

	{"nothing is kept of a stranger", func(f *fixture) {
		for _, effect := range []db.PushEffect{db.PushTells, db.PushSubscribed, db.PushUnsubscribed, db.PushProfileStale,
			db.PushProfileWithdrawn, db.PushAccountClosed} {
			f.same(string(effect), f.push("k"+string(effect), "oStranger", effect, f.clock.Now()), db.PushResult{})
		}
		_, _, err := f.FanByIdentity(f.Context(), db.ProviderOfficialAccount, "wx00000000000000aa", "oStranger")
		f.is("FanByIdentity", err, db.ErrNotFound)
	}},

	{"a subscription that comes late changes nothing", func(f *fixture) {
		f.login(official("oAlice", ""))
		now := f.clock.Now()
		f.push("left", "oAlice", db.PushUnsubscribed, now)
		f.same("older", f.push("came", "oAlice", db.PushSubscribed, now.Add(-time.Second)).Changed, false)
		f.same("subscribed", f.subscribed("oAlice"), false)
		f.push("same second", "oAlice", db.PushSubscribed, now)
		f.same("same second", f.subscribed("oAlice"), true)
		f.push("later", "oAlice", db.PushUnsubscribed, now.Add(time.Second))
		f.same("later", f.subscribed("oAlice"), false)
	}},

	{"a stale profile stays so until there is a new one", func(f *fixture) {
		base := official("oAlice", "")
		with := withProfile(base, db.Profile{Nickname: "Alice", JSON: []byte(`{}`)})
		f.login(base)
		f.same("no profile yet", f.push("k0", "oAlice", db.PushProfileStale, f.clock.Now()).Changed, false)
		f.login(with)
		f.same("fresh", f.identityOf(base).ProfileStale, false)
		f.same("marked", f.push("k1", "oAlice", db.PushProfileStale, f.clock.Now()).Changed, true)
		f.same("stale", f.identityOf(base).ProfileStale, true)
		f.login(base)
		f.same("after a base login", f.identityOf(base).ProfileStale, true)
		f.login(with)
		f.same("after a profile", f.identityOf(base).ProfileStale, false)
	}},

	{"a withdrawn profile leaves a guest", func(f *fixture) {
		l := withProfile(official("oAlice", "uAlice"), db.Profile{Nickname: "Alice", AvatarURL: "https://a/b", Language: "zh_CN", JSON: []byte(`{}`)})
		l.Identity.Scope = db.ScopeUserinfo
		l.Identity.UserRefreshTokenSealed, l.Identity.UserRefreshExpiresAt = []byte("token"), f.clock.Now()
		l.ConsentedAt = f.clock.Now()
		f.login(l)
		mini := miniProgram("mAlice", "uAlice")
		mini.Identity.SessionKeySealed = []byte("key")
		before := f.login(mini).Fan
		keptMini := f.identityOf(mini)
		f.clock.advance(time.Hour)

		result := f.push("k", "oAlice", db.PushProfileWithdrawn, f.clock.Now())
		f.same("result", result, db.PushResult{FanID: before.ID, Changed: true})
		want := before
		want.Nickname, want.AvatarURL, want.Language = "", "", ""
		want.RegisteredAt, want.ProfileAt, want.ConsentedAt = time.Time{}, time.Time{}, time.Time{}
		want.UpdatedAt = f.clock.stored()
		f.same("fan", f.fan(before.ID), want)
		identity := f.identityOf(l)
		f.same("scope, profile and token", []any{identity.Scope, identity.ProfileJSON, identity.UserRefreshTokenSealed, identity.UserRefreshExpiresAt},
			[]any{"", []byte(nil), []byte(nil), time.Time{}})
		f.same("unionid", identity.UnionID, "uAlice")
		f.same("the mini program's identity", f.identityOf(mini), keptMini)
		f.same("revocations", f.revocations(), []db.Revocation{})
	}},

	{"who never gave a profile has none to withdraw", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		alice = f.update(alice.ID, func(fan *db.Fan) { fan.Nickname, fan.RegisteredAt = "chosen", f.clock.Now() })
		f.same("result", f.push("k", "oAlice", db.PushProfileWithdrawn, f.clock.Now()), db.PushResult{FanID: alice.ID})
		f.same("fan", f.fan(alice.ID), alice)
	}},

	{"a closed account erases the fan and revokes every id", func(f *fixture) {
		alice, alias := f.merged()
		bob := f.login(official("oBob", "")).Fan
		p := f.pushOf("k", "oAlice", db.PushAccountClosed, f.clock.Now())
		p.RevokeUntil = f.clock.Now().Add(3 * time.Hour)
		f.same("result", f.apply(p), db.PushResult{FanID: alice.ID, Changed: true, Erased: []string{alice.ID, alias}})
		_, err := f.Fan(f.Context(), alias)
		f.is("Fan", err, db.ErrNotFound)
		until := f.clock.stored().Add(3 * time.Hour)
		f.subjectsAreCut(db.Revoked{Subjects: []string{alice.ID, alias}, Before: until}, until)
		f.same("others stay", f.fan(bob.ID), bob)
		f.same("again", f.apply(p), db.PushResult{Duplicate: true})
	}},

	{"of a closed account the push is told whole, then that the fan is erased, and nothing after it", func(f *fixture) {
		f.listen(all("shop"))
		alice := f.login(official("oAlice", "")).Fan
		p := f.pushOf("k", "oAlice", db.PushAccountClosed, f.clock.Now())
		p.Event = db.Event{Type: "official_account.authorization_cancellation"}
		p.Data = func(fanID string) any { return map[string]string{"fan": fanID, "openid": "oAlice"} }
		f.apply(p)
		told := f.drain("shop")
		f.same("types", types(told), []string{"fan.registered", "login", "official_account.authorization_cancellation", "fan.erased"})
		f.same("the push", told[2].raw, `{"fan":"`+alice.ID+`","openid":"oAlice"}`)
		f.same("before it", told[1].data["erased"], true)
	}},

	{"a push that says too little, or asks for what there is not, is refused and not remembered", func(f *fixture) {
		for name, change := range map[string]func(*db.Push){
			"provider": func(p *db.Push) { p.Provider = "" }, "appid": func(p *db.Push) { p.AppID = "" },
			"key": func(p *db.Push) { p.Key = "" }, "openid": func(p *db.Push) { p.OpenID = "" },
			"effect": func(p *db.Push) { p.Effect = "imaginary" },
		} {
			p := f.pushOf("k", "oAlice", db.PushTells, f.clock.Now())
			change(&p)
			if _, err := f.ApplyPush(f.Context(), p); err == nil {
				f.Errorf("%s: taken", name)
			}
		}
		f.same("not remembered", f.push("k", "oAlice", db.PushTells, f.clock.Now()).Duplicate, false)
	}},

	{"REL-09, REL-15 pushes are forgotten in bounded pieces, and not too early", func(f *fixture) {
		const n = 2345
		for i := range n {
			f.push(fmt.Sprintf("k%d", i), "oAlice", db.PushTells, f.clock.Now())
		}
		f.clock.advance(time.Hour + 10*time.Minute) // longer than a signature is good for, on a clock that goes back by an hour
		f.same("pruned early", f.prunePushes(), 0)
		f.same("still known", f.push("k7", "oAlice", db.PushTells, f.clock.Now()).Duplicate, true)
		f.push("young", "oAlice", db.PushTells, f.clock.Now())
		f.clock.advance(time.Hour)
		pruned, calls := 0, 0
		for {
			n := f.prunePushes()
			if n == 0 {
				break
			}
			pruned, calls = pruned+n, calls+1
		}
		f.same("pruned", pruned, n)
		if calls < 2 {
			f.Errorf("%d were pruned in one piece", n)
		}
		f.same("young one", f.push("young", "oAlice", db.PushTells, f.clock.Now()).Duplicate, true)
	}},
}

// pushOf is a push to the app of official.
func (f *fixture) pushOf(key, openID string, effect db.PushEffect, sent time.Time) db.Push {
	return db.Push{Provider: db.ProviderOfficialAccount, AppID: "wx00000000000000aa", Key: key, OpenID: openID, SentAt: sent,
		Effect: effect, RevokeUntil: f.clock.Now().Add(time.Hour)}
}

func (f *fixture) push(key, openID string, effect db.PushEffect, sent time.Time) db.PushResult {
	f.Helper()
	return f.apply(f.pushOf(key, openID, effect, sent))
}

func (f *fixture) apply(p db.Push) db.PushResult {
	f.Helper()
	result, err := f.ApplyPush(f.Context(), p)
	if err != nil {
		f.Errorf("ApplyPush(%+v): %v", p, err)
	}
	return result
}

// subscribed is what is known of who follows.
func (f *fixture) subscribed(openID string) bool {
	f.Helper()
	i := f.identityOf(official(openID, ""))
	if i.Subscribed == nil {
		f.Fatalf("not known whether %s follows", openID)
	}
	return *i.Subscribed
}

func (f *fixture) fanOutAll() {
	f.Helper()
	for n, err := 1, error(nil); n > 0; {
		n, err = f.FanOut(f.Context())
		f.is("FanOut", err, nil)
	}
}

func (f *fixture) prunePushes() int {
	f.Helper()
	n, err := f.PrunePushes(f.Context())
	f.is("PrunePushes", err, nil)
	return n
}
