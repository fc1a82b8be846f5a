package dbtest

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"wxbridge/db"
)

func (f *fixture) linkFans(a, b string) db.LinkResult {
	f.Helper()
	f.clock.advance(time.Second)
	result, err := f.LinkFans(f.Context(), a, b, f.clock.Now().Add(time.Hour))
	if err != nil {
		f.Fatalf("LinkFans: %v", err)
	}
	return result
}

func (f *fixture) unlink(alias string) db.LinkResult {
	f.Helper()
	f.clock.advance(time.Second)
	result, err := f.Unlink(f.Context(), alias, f.clock.Now().Add(time.Hour))
	if err != nil {
		f.Fatalf("Unlink: %v", err)
	}
	return result
}

// openIDs are those of a fan, sorted.
func (f *fixture) openIDs(fanID string) (ids []string) {
	f.Helper()
	for _, i := range f.identities(fanID) {
		ids = append(ids, i.OpenID)
	}
	slices.Sort(ids)
	return ids
}

// timeless is the fan without the times that every write changes.
func timeless(fan db.Fan) db.Fan {
	fan.UpdatedAt, fan.LastLoginAt = time.Time{}, time.Time{}
	return fan
}

var fanLinkTests = []test{
	{"two fans of whom an operator says so are one, the older", func(f *fixture) {
		alice := f.login(withProfile(official("oAlice", "uAlice"), db.Profile{Nickname: "Alice", AvatarURL: "https://a/1"})).Fan
		member := f.login(withProfile(f.member("alice", "1"), db.Profile{Nickname: "李爱丽"})).Fan
		result := f.linkFans(member.ID, alice.ID)
		f.same("survivor and other", []string{result.Fan.ID, result.Other.ID}, []string{alice.ID, member.ID})
		f.same("moved", len(result.Moved), 1)
		f.same("the newer profile", []string{f.fan(alice.ID).Nickname, f.fan(alice.ID).AvatarURL}, []string{"李爱丽", "https://a/1"})
		f.same("identities", f.openIDs(alice.ID), []string{"alice", "oAlice"})
		f.same("by the alias", f.fan(member.ID).ID, alice.ID)
		f.same("revocations", len(f.revocations()), 0)
		links, err := f.Links(f.Context(), member.ID)
		f.is("Links", err, nil)
		f.same("links", links, []db.Link{{Alias: member.ID, FanID: alice.ID, LinkedAt: f.clock.stored(), Before: member}})
	}},

	{"undone, both are what they were, with new tokens only", func(f *fixture) {
		alice := f.login(withProfile(official("oAlice", "uAlice"), db.Profile{Nickname: "Alice", Language: "en"})).Fan
		member := f.login(withProfile(f.member("alice", "1"), db.Profile{Nickname: "李爱丽"})).Fan
		alice = f.update(alice.ID, func(fan *db.Fan) { fan.Role = "buyer" })
		member = f.update(member.ID, func(fan *db.Fan) { fan.Phone = "+8613800000000" })
		f.linkFans(alice.ID, member.ID)
		issued := f.clock.Now()
		result := f.unlink(member.ID)
		f.same("the older", timeless(f.fan(alice.ID)), timeless(alice))
		f.same("the younger", timeless(f.fan(member.ID)), timeless(member))
		f.same("result", []string{result.Fan.ID, result.Other.ID, result.Moved[0].OpenID}, []string{alice.ID, member.ID, "alice"})
		f.same("identities", [][]string{f.openIDs(alice.ID), f.openIDs(member.ID)}, [][]string{{"oAlice"}, {"alice"}})
		f.same("aliases", f.aliases(alice.ID), []string{})
		f.wantRevoked("token of the older", alice.ID, issued, true)
		f.wantRevoked("token of the younger", member.ID, issued, true)
		f.same("a login in WeCom", f.login(f.member("alice", "1")).Fan.ID, member.ID)
		_, err := f.Unlink(f.Context(), member.ID, f.clock.Now())
		f.is("twice", err, db.ErrNotFound)
	}},

	{"what was changed since the link stays with the older", func(f *fixture) {
		alice := f.login(withProfile(official("oAlice", ""), db.Profile{Nickname: "Alice"})).Fan
		member := f.login(withProfile(f.member("alice", "1"), db.Profile{Nickname: "李爱丽", AvatarURL: "https://a/member"})).Fan
		f.linkFans(alice.ID, member.ID)
		f.update(alice.ID, func(fan *db.Fan) { fan.Nickname = "Chosen" })
		f.unlink(member.ID)
		f.same("the older", []string{f.fan(alice.ID).Nickname, f.fan(alice.ID).AvatarURL}, []string{"Chosen", ""})
		f.same("the younger", f.fan(member.ID).Nickname, "李爱丽")
	}},

	{"an identity that came after the link stays with the older", func(f *fixture) {
		alice := f.login(official("oAlice", "uAlice")).Fan
		member := f.login(f.member("alice", "1")).Fan
		f.linkFans(alice.ID, member.ID)
		f.login(miniProgram("mAlice", "uAlice"))
		f.unlink(member.ID)
		f.same("identities", [][]string{f.openIDs(alice.ID), f.openIDs(member.ID)}, [][]string{{"mAlice", "oAlice"}, {"alice"}})
	}},

	{"links of a linked fan come back with it", func(f *fixture) {
		first := f.login(official("oAlice", "")).Fan
		second := f.login(miniProgram("mAlice", "")).Fan
		third := f.login(f.member("alice", "1")).Fan
		f.linkFans(second.ID, third.ID)
		f.linkFans(first.ID, second.ID)
		f.same("all", f.openIDs(first.ID), []string{"alice", "mAlice", "oAlice"})
		f.same("aliases", len(f.aliases(first.ID)), 2)
		f.unlink(second.ID)
		f.same("apart", [][]string{f.openIDs(first.ID), f.openIDs(third.ID)}, [][]string{{"oAlice"}, {"alice", "mAlice"}})
		f.same("still an alias", f.fan(third.ID).ID, second.ID)
		f.unlink(third.ID)
		f.same("all apart", [][]string{f.openIDs(second.ID), f.openIDs(third.ID)}, [][]string{{"mAlice"}, {"alice"}})
	}},

	{"undone in the order they were made", func(f *fixture) {
		first := f.login(official("oAlice", "")).Fan
		second := f.login(miniProgram("mAlice", "")).Fan
		third := f.login(f.member("alice", "1")).Fan
		f.linkFans(second.ID, third.ID)
		f.linkFans(first.ID, second.ID)
		f.unlink(third.ID)
		f.unlink(second.ID)
		f.same("all apart", [][]string{f.openIDs(first.ID), f.openIDs(second.ID), f.openIDs(third.ID)}, [][]string{{"oAlice"}, {"mAlice"}, {"alice"}})
		f.same("aliases", [][]string{f.aliases(first.ID), f.aliases(second.ID)}, [][]string{nil, nil})
	}},

	{"a link survives a merge by unionid", func(f *fixture) {
		first := f.login(miniProgram("mAlice", "")).Fan
		second := f.login(official("oAlice", "uAlice")).Fan
		member := f.login(f.member("alice", "1")).Fan
		f.linkFans(second.ID, member.ID)
		f.same("merged", f.login(miniProgram("mAlice", "uAlice")).MergedFrom, second.ID)
		f.unlink(member.ID)
		f.same("apart", [][]string{f.openIDs(first.ID), f.openIDs(member.ID)}, [][]string{{"mAlice", "oAlice"}, {"alice"}})
	}},

	{"a block stands, before and after", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		member := f.login(f.member("alice", "1")).Fan
		f.update(member.ID, func(fan *db.Fan) { fan.Status = db.StatusBlocked })
		result := f.linkFans(alice.ID, member.ID)
		f.same("linked", f.fan(alice.ID).Status, db.StatusBlocked)
		f.same("revoked", result.Revoked[0].Subjects, []string{alice.ID, member.ID})
		f.unlink(member.ID)
		f.same("apart", []db.Status{f.fan(alice.ID).Status, f.fan(member.ID).Status}, []db.Status{db.StatusActive, db.StatusBlocked})
		f.update(member.ID, func(fan *db.Fan) { fan.Status = db.StatusActive })
		f.linkFans(alice.ID, member.ID)
		f.update(alice.ID, func(fan *db.Fan) { fan.Status = db.StatusBlocked })
		f.unlink(member.ID)
		f.same("blocked as one", []db.Status{f.fan(alice.ID).Status, f.fan(member.ID).Status}, []db.Status{db.StatusBlocked, db.StatusBlocked})
	}},

	{"a member who was renamed goes back under the new name", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		member := f.login(f.member("temp001", "1")).Fan
		f.linkFans(alice.ID, member.ID)
		p := f.memberPush("k", "temp001", db.PushMemberRenamed)
		p.NewOpenID = "alice"
		f.apply(p)
		f.same("moved", len(f.unlink(member.ID).Moved), 1)
		f.same("apart", [][]string{f.openIDs(alice.ID), f.openIDs(member.ID)}, [][]string{{"oAlice"}, {"alice"}})
	}},

	{"a profile that was withdrawn is not kept for undoing a link, nor brought back by it", func(f *fixture) {
		l := withProfile(official("oAlice", ""), db.Profile{Nickname: "Alice", AvatarURL: "https://a/1", Language: "zh_CN", JSON: []byte(`{}`)})
		l.ConsentedAt = f.clock.Now()
		member := f.login(withProfile(f.member("alice", "1"), db.Profile{Nickname: "李爱丽"})).Fan
		alice := f.login(l).Fan
		f.linkFans(member.ID, alice.ID)
		f.same("withdrawn", f.push("k", "oAlice", db.PushProfileWithdrawn, f.clock.Now()).Changed, true)
		links, err := f.Links(f.Context(), member.ID)
		f.is("Links", err, nil)
		text, err := json.Marshal(links)
		f.is("JSON", err, nil)
		for _, gone := range []string{"Alice", "https://a/1", "zh_CN"} {
			f.same(gone+" is kept", strings.Contains(string(text), gone), false)
		}
		f.unlink(alice.ID)
		f.same("a guest again", []any{f.fan(alice.ID).Nickname, f.fan(alice.ID).Registered()}, []any{"", false})
		f.same("and the other too", []any{f.fan(member.ID).Nickname, f.fan(member.ID).Registered()}, []any{"", false})
	}},

	{"a role that was taken away does not come back", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		member := f.login(f.member("alice", "1")).Fan
		f.update(member.ID, func(fan *db.Fan) { fan.Role = "admin" })
		f.linkFans(alice.ID, member.ID)
		f.same("linked", f.fan(alice.ID).Role, "admin")
		f.update(alice.ID, func(fan *db.Fan) { fan.Role = "" })
		f.unlink(member.ID)
		f.same("apart", []string{f.fan(alice.ID).Role, f.fan(member.ID).Role}, []string{"", ""})
	}},

	{"what cannot be linked is said", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		member := f.login(f.member("alice", "1")).Fan
		_, err := f.LinkFans(f.Context(), alice.ID, "nobody", f.clock.Now())
		f.is("nobody", err, db.ErrNotFound)
		_, err = f.LinkFans(f.Context(), alice.ID, alice.ID, f.clock.Now())
		f.is("the same", err, db.ErrSameFan)
		f.update(alice.ID, func(fan *db.Fan) { fan.Role = "buyer" })
		f.update(member.ID, func(fan *db.Fan) { fan.Role = "staff" })
		_, err = f.LinkFans(f.Context(), alice.ID, member.ID, f.clock.Now())
		f.is("two roles", err, db.ErrRolesDiffer)
		f.same("still two", f.fan(member.ID).ID, member.ID)
		_, err = f.Unlink(f.Context(), alice.ID, f.clock.Now())
		f.is("never linked", err, db.ErrNotFound)
	}},

	{"an erased fan leaves nothing to undo", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		member := f.login(withProfile(f.member("alice", "1"), db.Profile{Nickname: "李爱丽"})).Fan
		f.linkFans(alice.ID, member.ID)
		_, err := f.EraseFan(f.Context(), alice.ID, f.clock.Now(), f.clock.Now().Add(time.Hour))
		f.is("EraseFan", err, nil)
		links, err := f.Links(f.Context(), alice.ID)
		f.is("Links", err, nil)
		f.same("links", len(links), 0)
		_, err = f.Unlink(f.Context(), member.ID, f.clock.Now())
		f.is("Unlink", err, db.ErrNotFound)
	}},

	{"backends are told of both", func(f *fixture) {
		f.is("SetEndpoints", f.SetEndpoints(f.Context(), []db.Endpoint{{Name: "shop", Events: []string{"fan.merged", "fan.unlinked"}}}), nil)
		alice := f.login(official("oAlice", "")).Fan
		member := f.login(f.member("alice", "1")).Fan
		f.linkFans(alice.ID, member.ID)
		f.unlink(member.ID)
		var told []string
		for range 2 { // one after another: they are in one line
			f.fanOutAll()
			due, err := f.ClaimDeliveries(f.Context(), "shop", 10, time.Minute)
			f.is("ClaimDeliveries", err, nil)
			for _, d := range due {
				var data any
				f.is("JSON", json.Unmarshal(d.Data, &data), nil)
				told = append(told, d.Type+" "+string(d.Data))
				f.is("Delivered", f.Delivered(f.Context(), d.Receipt), nil)
			}
		}
		f.same("told", strings.Join(told, "\n"), `fan.merged {"from":"`+member.ID+`","to":"`+alice.ID+`"}`+"\n"+
			`fan.unlinked {"fan":{"id":"`+member.ID+`"},"from":{"id":"`+alice.ID+`"}}`)
	}},
}
