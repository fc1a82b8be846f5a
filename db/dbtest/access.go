package dbtest

import (
	"fmt"
	"slices"
	"time"

	"wxbridge/db"
)

var accessTests = []test{
	{"TOK-10 blocking revokes the fan and its aliases", func(f *fixture) {
		alice, alias := f.merged()
		change := f.setAccess(alias, db.Access{Status: db.StatusBlocked})
		f.same("before", change.Before, alice)
		want := alice
		want.Status, want.UpdatedAt = db.StatusBlocked, f.clock.stored()
		f.same("after", change.After, want)
		f.same("stored", f.fan(alice.ID), want)
		f.same("revoked", change.Revoked, db.Revoked{Subjects: []string{alice.ID, alias}, Before: f.nextSecond()})
		f.subjectsAreCut(change.Revoked, f.clock.stored().Add(time.Hour))
	}},

	{"blocking again revokes again, and unblocking revokes nothing", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		first := f.setAccess(alice.ID, db.Access{Status: db.StatusBlocked})
		f.clock.advance(time.Minute)
		again := f.setAccess(alice.ID, db.Access{Status: db.StatusBlocked})
		f.same("revoked again", again.Revoked.Before, f.nextSecond())
		f.same("otherwise nothing changed", again.After, first.After)
		unblocked := f.setAccess(alice.ID, db.Access{Status: db.StatusActive})
		f.same("unblocked", unblocked.After.Status, db.StatusActive)
		f.same("revoked", unblocked.Revoked, db.Revoked{})
		f.same("the cut stands", f.cut(alice.ID), again.Revoked.Before)
	}},

	{"TOK-10 a role that is replaced or taken away revokes, a first role does not", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		for _, step := range []struct {
			role    string
			revokes bool
		}{{"editor", false}, {"editor", false}, {"admin", true}, {"", true}, {"", false}, {"editor", false}} {
			f.clock.advance(time.Minute)
			change := f.setAccess(alice.ID, db.Access{Role: &step.role})
			f.same("role", []string{change.After.Role, f.fan(alice.ID).Role}, []string{step.role, step.role})
			f.same(fmt.Sprintf("%q after %q revokes", step.role, change.Before.Role), len(change.Revoked.Subjects) > 0, step.revokes)
		}
	}},

	{"status and role change at once", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		role := "editor"
		change := f.setAccess(alice.ID, db.Access{Status: db.StatusBlocked, Role: &role})
		f.same("after", []string{string(change.After.Status), change.After.Role}, []string{"blocked", "editor"})
	}},

	{"an unknown fan is neither changed nor revoked", func(f *fixture) {
		_, err := f.SetAccess(f.Context(), "nobody", db.Access{Status: db.StatusBlocked}, f.clock.Now().Add(time.Hour))
		f.is("SetAccess", err, db.ErrNotFound)
		_, err = f.RevokeFan(f.Context(), "nobody", f.clock.Now().Add(time.Hour))
		f.is("RevokeFan", err, db.ErrNotFound)
		f.same("revocations", f.revocations(), []db.Revocation{})
	}},

	{"a status that does not exist is refused and revokes nothing", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		_, err := f.SetAccess(f.Context(), alice.ID, db.Access{Status: "imaginary"}, f.clock.Now().Add(time.Hour))
		if err == nil {
			f.Error("SetAccess took the status imaginary")
		}
		f.same("stored", f.fan(alice.ID), alice)
		f.same("revocations", f.revocations(), []db.Revocation{})
	}},

	{"revoking a fan leaves it as it is", func(f *fixture) {
		alice, alias := f.merged()
		revoked, err := f.RevokeFan(f.Context(), alias, f.clock.Now().Add(time.Hour))
		f.is("RevokeFan", err, nil)
		f.same("revoked", revoked, db.Revoked{Subjects: []string{alice.ID, alias}, Before: f.nextSecond()})
		f.subjectsAreCut(revoked, f.clock.stored().Add(time.Hour))
		f.same("stored", f.fan(alice.ID), alice)
	}},

	{"a second cut in one second lies behind the tokens of the first", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		first, err := f.RevokeFan(f.Context(), alice.ID, f.clock.Now().Add(time.Hour))
		f.is("first", err, nil)
		second, err := f.RevokeFan(f.Context(), alice.ID, f.clock.Now().Add(time.Hour))
		f.is("second", err, nil)
		f.same("cuts", second.Before, first.Before.Add(time.Second))
	}},

	{"a login learns from when on its tokens are good", func(f *fixture) {
		alice := f.login(official("oAlice", ""))
		f.same("at first", alice.NotBefore, time.Time{})
		revoked, err := f.RevokeFan(f.Context(), alice.Fan.ID, f.clock.Now().Add(time.Hour))
		f.is("RevokeFan", err, nil)
		again, err := f.SaveLogin(f.Context(), official("oAlice", ""))
		f.is("SaveLogin", err, nil)
		f.same("after the cut", again.NotBefore, revoked.Before)
	}},
}

var listTests = []test{
	{"fans are listed page by page in the order of their ids", func(f *fixture) {
		var ids []string
		for n := range 7 {
			ids = append(ids, f.login(official(fmt.Sprintf("o%d", n), "")).Fan.ID)
		}
		var listed []string
		for after := ""; ; after = listed[len(listed)-1] {
			page := f.list(db.FanFilter{After: after, Limit: 3})
			if len(page) == 0 {
				break
			}
			listed = append(listed, page...)
		}
		f.same("ids", listed, ids)
	}},

	{"a list is filtered by status, role, provider and nickname", func(f *fixture) {
		alice := f.login(withProfile(official("oAlice", "uAlice"), db.Profile{Nickname: "爱丽丝 Alice"})).Fan.ID
		f.login(miniProgram("mAlice", "uAlice"))
		bob := f.login(withProfile(miniProgram("mBob", ""), db.Profile{Nickname: "Bob 100%"})).Fan.ID
		carol := f.login(official("oCarol", "")).Fan.ID
		role := "editor"
		f.setAccess(bob, db.Access{Role: &role})
		f.setAccess(carol, db.Access{Status: db.StatusBlocked})
		for name, row := range map[string]struct {
			filter db.FanFilter
			want   []string
		}{
			"all":                   {db.FanFilter{}, []string{alice, bob, carol}},
			"blocked":               {db.FanFilter{Status: db.StatusBlocked}, []string{carol}},
			"active":                {db.FanFilter{Status: db.StatusActive}, []string{alice, bob}},
			"role":                  {db.FanFilter{Role: "editor"}, []string{bob}},
			"another role":          {db.FanFilter{Role: "Editor"}, nil},
			"mini program":          {db.FanFilter{Provider: db.ProviderMiniProgram}, []string{alice, bob}},
			"official account":      {db.FanFilter{Provider: db.ProviderOfficialAccount}, []string{alice, carol}},
			"nickname, any case":    {db.FanFilter{Nickname: "aLICE"}, []string{alice}},
			"Chinese nickname":      {db.FanFilter{Nickname: "丽"}, []string{alice}},
			"no wildcard":           {db.FanFilter{Nickname: "%"}, []string{bob}},
			"all that is asked":     {db.FanFilter{Role: "editor", Provider: db.ProviderMiniProgram, Status: db.StatusActive}, []string{bob}},
			"one that does not":     {db.FanFilter{Role: "editor", Status: db.StatusBlocked}, nil},
			"after the filtered":    {db.FanFilter{Status: db.StatusActive, After: alice}, []string{bob}},
			"after somebody erased": {db.FanFilter{After: alice + "0"}, []string{bob, carol}},
		} {
			row.filter.Limit = 10
			f.same(name, f.list(row.filter), row.want)
		}
	}},

	{"a list needs a limit that is bounded", func(f *fixture) {
		for _, limit := range []int{0, -1, db.MaxFans + 1} {
			if _, err := f.Fans(f.Context(), db.FanFilter{Limit: limit}); err == nil {
				f.Errorf("limit %d was taken", limit)
			}
		}
	}},

	{"WX-04 an openid names identities of every app", func(f *fixture) {
		one, two := f.login(official("oSame", "")).Fan.ID, f.login(miniProgram("oSame", "")).Fan.ID
		f.login(official("osame", ""))
		identities, err := f.IdentitiesByOpenID(f.Context(), "oSame")
		f.is("IdentitiesByOpenID", err, nil)
		f.same("number", len(identities), 2)
		f.same("fans", []string{identities[0].FanID, identities[1].FanID}, []string{two, one})
		none, err := f.IdentitiesByOpenID(f.Context(), "oNobody")
		f.is("unknown", err, nil)
		f.same("unknown", none, []db.Identity{})
	}},
}

var followTests = []test{
	{"what is added is read once", func(f *fixture) {
		mark := f.follow(0)
		a := f.session("a", time.Hour)
		b := db.Revocation{Kind: db.RevokedSubject, Value: "b", Before: f.clock.stored(), ExpiresAt: f.clock.stored().Add(time.Hour)}
		f.revoke(b)
		mark = f.follow(mark, a, b)
		mark = f.follow(mark)
		c := f.session("c", time.Hour)
		f.follow(mark, c)
		f.follow(0, a, b, c)
	}},

	{"what is widened is read again", func(f *fixture) {
		f.session("a", time.Hour)
		b := f.session("b", time.Hour)
		mark := f.follow(0, f.revocations()...)
		a := f.session("a", 2*time.Hour)
		f.follow(mark, a)
		f.follow(0, b, a)
	}},

	{"erasing, blocking and revoking a fan are followed", func(f *fixture) {
		alice, bob, carol := f.login(official("oAlice", "")).Fan.ID, f.login(official("oBob", "")).Fan.ID, f.login(official("oCarol", "")).Fan.ID
		mark := f.follow(0)
		until := f.clock.Now().Add(time.Hour)
		_, err := f.EraseFan(f.Context(), alice, until, until)
		f.is("EraseFan", err, nil)
		f.setAccess(bob, db.Access{Status: db.StatusBlocked})
		_, err = f.RevokeFan(f.Context(), carol, until)
		f.is("RevokeFan", err, nil)
		added, _, err := f.RevocationsAfter(f.Context(), mark)
		f.is("RevocationsAfter", err, nil)
		var subjects []string
		for _, r := range added {
			subjects = append(subjects, r.Value)
		}
		f.same("subjects", subjects, []string{alice, bob, carol})
	}},

	{"a mark outlives pruning", func(f *fixture) {
		f.session("a", time.Minute)
		f.session("b", time.Minute)
		_, mark, err := f.RevocationsAfter(f.Context(), 0)
		f.is("RevocationsAfter", err, nil)
		f.clock.advance(time.Hour)
		pruned, err := f.PruneRevocations(f.Context())
		f.is("PruneRevocations", err, nil)
		f.same("pruned", pruned, 2)
		c := f.session("c", time.Hour) // its number must not be one that was used before
		f.follow(mark, c)
	}},

	{"expired ones are not read", func(f *fixture) {
		f.session("a", time.Minute)
		f.clock.advance(time.Hour)
		f.follow(0)
	}},

	{"many come in bounded pieces", func(f *fixture) {
		const n = 2345
		for i := range n {
			f.session(fmt.Sprintf("s%d", i), time.Hour)
		}
		seen, mark, calls := map[string]bool{}, int64(0), 0
		for {
			added, next, err := f.RevocationsAfter(f.Context(), mark)
			f.is("RevocationsAfter", err, nil)
			if len(added) == 0 {
				break
			}
			for _, r := range added {
				seen[r.Value] = true
			}
			mark, calls = next, calls+1
		}
		f.same("read", len(seen), n)
		if calls < 2 {
			f.Errorf("%d came in one piece", n)
		}
		f.clock.advance(2 * time.Hour)
		pruned, calls := 0, 0
		for {
			n, err := f.PruneRevocations(f.Context())
			f.is("PruneRevocations", err, nil)
			if n == 0 {
				break
			}
			pruned, calls = pruned+n, calls+1
		}
		f.same("pruned", pruned, n)
		if calls < 2 {
			f.Errorf("REL-09: %d were pruned in one piece", n)
		}
	}},

	{"a token is revoked by its session, or by its subject if it is older than the cut", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan.ID
		f.session("gone", time.Hour)
		revoked, err := f.RevokeFan(f.Context(), alice, f.clock.Now().Add(time.Hour))
		f.is("RevokeFan", err, nil)
		old, fresh := revoked.Before.Add(-time.Second), revoked.Before
		for name, row := range map[string]struct {
			sid, sub string
			issued   time.Time
			want     bool
		}{
			"nobody's":           {"sid", "nobody", old, false},
			"its session":        {"gone", "nobody", fresh, true},
			"its subject, old":   {"sid", alice, old, true},
			"its subject, fresh": {"sid", alice, fresh, false},
			"the session as sub": {"sid", "gone", old, false},
			"the subject as sid": {alice, "nobody", old, false},
			"no session, no sub": {"", "", old, false},
			"both":               {"gone", alice, old, true},
		} {
			got, err := f.Revoked(f.Context(), row.sid, row.sub, row.issued)
			f.is("Revoked", err, nil)
			f.same(name, got, row.want)
		}
	}},
}

// merged is a fan and the alias that a merge has left.
func (f *fixture) merged() (fan db.Fan, alias string) {
	f.Helper()
	f.login(official("oAlice", "uAlice"))
	alias = f.login(miniProgram("mAlice", "")).Fan.ID
	return f.login(miniProgram("mAlice", "uAlice")).Fan, alias
}

func (f *fixture) setAccess(id string, a db.Access) db.AccessChange {
	f.Helper()
	change, err := f.SetAccess(f.Context(), id, a, f.clock.Now().Add(time.Hour))
	if err != nil {
		f.Fatalf("SetAccess(%s, %+v): %v", id, a, err)
	}
	return change
}

// nextSecond is where a cut made now lies.
func (f *fixture) nextSecond() time.Time {
	return f.clock.stored().Truncate(time.Second).Add(time.Second)
}

// subjectsAreCut checks that exactly these revocations are stored.
func (f *fixture) subjectsAreCut(r db.Revoked, until time.Time) {
	f.Helper()
	var want []db.Revocation
	for _, id := range r.Subjects {
		want = append(want, db.Revocation{Kind: db.RevokedSubject, Value: id, Before: r.Before, ExpiresAt: until})
	}
	got := f.revocations()
	slices.SortFunc(got, func(a, b db.Revocation) int {
		return slices.Index(r.Subjects, a.Value) - slices.Index(r.Subjects, b.Value)
	})
	f.same("stored revocations", got, want)
}

func (f *fixture) cut(sub string) time.Time {
	f.Helper()
	for _, r := range f.revocations() {
		if r.Kind == db.RevokedSubject && r.Value == sub {
			return r.Before
		}
	}
	return time.Time{}
}

// session revokes a session.
func (f *fixture) session(sid string, life time.Duration) db.Revocation {
	f.Helper()
	r := db.Revocation{Kind: db.RevokedSession, Value: sid, ExpiresAt: f.clock.stored().Add(life)}
	f.revoke(r)
	return r
}

// follow reads what is new after mark, which must be want in this order.
func (f *fixture) follow(mark int64, want ...db.Revocation) (next int64) {
	f.Helper()
	added, next, err := f.RevocationsAfter(f.Context(), mark)
	if err != nil {
		f.Fatalf("RevocationsAfter(%d): %v", mark, err)
	}
	f.same("new", added, want)
	return next
}

func (f *fixture) list(filter db.FanFilter) (ids []string) {
	f.Helper()
	fans, err := f.Fans(f.Context(), filter)
	if err != nil {
		f.Fatalf("Fans(%+v): %v", filter, err)
	}
	for _, fan := range fans {
		ids = append(ids, fan.ID)
	}
	return ids
}
