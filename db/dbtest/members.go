package dbtest

import (
	"time"

	"wxbridge/db"
)

const corpID = "ww00000000000000dd"

// member is a login of a WeCom member, confirmed at the present.
func (f *fixture) member(userID, departments string) db.Login {
	return db.Login{Identity: db.Identity{Provider: db.ProviderWeCom, AppID: corpID, OpenID: userID, OpenAccount: "default"},
		Member: &db.Membership{Departments: departments, ConfirmedAt: f.clock.Now()}}
}

func (f *fixture) memberPush(key, userID string, effect db.PushEffect) db.Push {
	return db.Push{Provider: db.ProviderWeCom, AppID: corpID, Key: key, OpenID: userID, SentAt: f.clock.Now(), Effect: effect,
		RevokeUntil: f.clock.Now().Add(3 * time.Hour)}
}

// membership is what the store has of a member: departments, and how long ago they were confirmed.
func (f *fixture) membership(l db.Login) (departments string, age time.Duration) {
	f.Helper()
	i := f.identityOf(l)
	if i.ConfirmedAt.IsZero() {
		return i.Departments, -1
	}
	return i.Departments, f.clock.stored().Sub(i.ConfirmedAt)
}

func (f *fixture) wantMembership(what string, l db.Login, departments string, age time.Duration) {
	f.Helper()
	gotDepartments, gotAge := f.membership(l)
	f.same(what, []any{gotDepartments, gotAge}, []any{departments, age})
}

// revoked reports whether a token issued to the fan at the present is.
func (f *fixture) wantRevoked(what, fanID string, issued time.Time, want bool) {
	f.Helper()
	got, err := f.Revoked(f.Context(), "sid", fanID, issued.Truncate(time.Second))
	f.is(what, err, nil)
	f.same(what, got, want)
}

var memberTests = []test{
	{"a login says which departments a member has, and that they are active", func(f *fixture) {
		l := f.member("zhangsan", "1,7")
		f.login(l)
		f.wantMembership("after the first login", l, "1,7", time.Second)
		l = f.member("zhangsan", "")
		f.login(l)
		f.wantMembership("in no department any more", l, "", time.Second)
	}},

	{"a blocked fan is not confirmed", func(f *fixture) {
		l := f.member("zhangsan", "1")
		fan := f.login(l).Fan
		f.update(fan.ID, func(fan *db.Fan) { fan.Status = db.StatusBlocked })
		f.clock.advance(time.Hour)
		f.login(f.member("zhangsan", "2"))
		f.wantMembership("after the refused login", l, "1", time.Hour+2*time.Second)
	}},

	{"a member is confirmed again, by the newest answer", func(f *fixture) {
		l := f.member("zhangsan", "1")
		f.login(l)
		early := f.clock.Now()
		f.clock.advance(time.Hour)
		f.is("confirm", f.ConfirmMember(f.Context(), corpID, "zhangsan", db.Membership{Departments: "2", ConfirmedAt: f.clock.Now()}), nil)
		f.is("late answer", f.ConfirmMember(f.Context(), corpID, "zhangsan", db.Membership{Departments: "3", ConfirmedAt: early}), nil)
		f.wantMembership("after both", l, "2", 0)
		f.is("a stranger", f.ConfirmMember(f.Context(), corpID, "nobody", db.Membership{}), db.ErrNotFound)
	}},

	{"two who differ by case are two, to the store", func(f *fixture) {
		a, b := f.login(f.member("zhangsan", "")).Fan, f.login(f.member("ZhangSan", "")).Fan
		f.same("one fan", a.ID == b.ID, false) // who stores userids folds them
	}},

	{"a revoked member has no tokens and nothing confirmed", func(f *fixture) {
		l := f.member("zhangsan", "1")
		fan := f.login(l).Fan
		issued := f.clock.Now()
		revoked, err := f.RevokeMember(f.Context(), corpID, "zhangsan", f.clock.Now().Add(time.Hour))
		f.is("RevokeMember", err, nil)
		f.same("whom", revoked.Subjects, []string{fan.ID})
		f.wantRevoked("the old token", fan.ID, issued, true)
		f.wantRevoked("a new one", fan.ID, revoked.Before, false)
		f.wantMembership("afterwards", l, "", -1)
		_, err = f.RevokeMember(f.Context(), corpID, "nobody", f.clock.Now())
		f.is("a stranger", err, db.ErrNotFound)
	}},

	{"a push that a member is gone revokes every token, once", func(f *fixture) {
		l := f.member("zhangsan", "1")
		fan := f.login(l).Fan
		issued := f.clock.Now()
		result := f.apply(f.memberPush("k", "zhangsan", db.PushMemberGone))
		f.same("result", []any{result.FanID, result.Changed, result.Revoked.Subjects}, []any{fan.ID, true, []string{fan.ID}})
		f.wantRevoked("the token", fan.ID, issued, true)
		f.wantMembership("afterwards", l, "", -1)
		f.same("subscribed", *f.identityOf(l).Subscribed, false)
		f.same("the repeat", f.apply(f.memberPush("k", "zhangsan", db.PushMemberGone)), db.PushResult{Duplicate: true})
		f.same("a stranger", f.apply(f.memberPush("k2", "lisi", db.PushMemberGone)), db.PushResult{})
	}},

	{"a push that something has changed asks for a confirmation", func(f *fixture) {
		l := f.member("zhangsan", "1")
		fan := f.login(l).Fan
		f.same("result", f.apply(f.memberPush("k", "zhangsan", db.PushMemberChanged)), db.PushResult{FanID: fan.ID, Changed: true})
		f.wantMembership("afterwards", l, "1", -1)
		f.same("revocations", len(f.revocations()), 0)
	}},

	{"a renamed member stays the same fan, without the old tokens", func(f *fixture) {
		l := f.member("temp001", "1")
		fan := f.login(l).Fan
		issued := f.clock.Now()
		p := f.memberPush("k", "temp001", db.PushMemberRenamed)
		p.NewOpenID = "lisi"
		result := f.apply(p)
		f.same("result", []any{result.FanID, result.Revoked.Subjects}, []any{fan.ID, []string{fan.ID}})
		f.wantRevoked("the token", fan.ID, issued, true)
		f.same("the new name", f.identityOf(f.member("lisi", "")).FanID, fan.ID)
		_, _, err := f.FanByIdentity(f.Context(), db.ProviderWeCom, corpID, "temp001")
		f.is("the old name", err, db.ErrNotFound)
		f.same("a login by the new name", f.login(f.member("lisi", "1")).Fan.ID, fan.ID)
	}},

	{"a rename to a name that is taken leaves two fans, the old without tokens", func(f *fixture) {
		old, new := f.login(f.member("temp001", "1")).Fan, f.login(f.member("lisi", "1")).Fan
		p := f.memberPush("k", "temp001", db.PushMemberRenamed)
		p.NewOpenID = "lisi"
		f.same("revoked", f.apply(p).Revoked.Subjects, []string{old.ID})
		f.same("the name", f.identityOf(f.member("lisi", "")).FanID, new.ID)
		f.wantMembership("the old name", f.member("temp001", ""), "", -1)
	}},

	{"a rename needs a name, and nothing else has one", func(f *fixture) {
		_, err := f.ApplyPush(f.Context(), f.memberPush("k", "a", db.PushMemberRenamed))
		f.same("without a name", err != nil, true)
		p := f.memberPush("k", "a", db.PushMemberGone)
		p.NewOpenID = "b"
		_, err = f.ApplyPush(f.Context(), p)
		f.same("with one too many", err != nil, true)
	}},

	{"WeCom never links by unionid", func(f *fixture) {
		alice := f.login(official("oAlice", "uAlice")).Fan
		l := f.member("alice", "1")
		l.Identity.UnionID = "uAlice"
		f.same("one fan", f.login(l).Fan.ID == alice.ID, false)
	}},
}
