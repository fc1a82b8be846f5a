package db_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"wxbridge/db"
)

// TestAnySequenceKeepsTheFansWhole runs random logins, role changes, blocks and
// erasures of a few people in a few apps, and checks after each what must
// always hold.
func TestAnySequenceKeepsTheFansWhole(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		now := time.UnixMilli(1_900_000_000_000)
		store, err := db.Open(context.Background(), "sqlite://"+filepath.Join(dir, fmt.Sprintf("%d.db", runs)),
			func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		w := &world{T: t, Store: store, ctx: context.Background(), keys: make(map[account]bool)}
		t.Repeat(map[string]func(*rapid.T){
			"login":  func(t *rapid.T) { w.login(t) },
			"login ": func(t *rapid.T) { w.login(t) }, // twice as often as the rest
			"role": func(t *rapid.T) {
				role := rapid.SampledFrom([]string{"", "", "admin", "editor"}).Draw(t, "role")
				w.change(t, func(fan *db.Fan) { fan.Role = role })
			},
			"block": func(t *rapid.T) { w.change(t, func(fan *db.Fan) { fan.Status = db.StatusBlocked }) },
			"erase": func(t *rapid.T) { w.erase(t) },
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) { w.check(t) },
		})
	})
}

type account struct{ provider, appID, openID string }

// world is what the test knows beside the store.
type world struct {
	*rapid.T
	db.Store
	ctx    context.Context
	keys   map[account]bool // the identities that must exist
	ids    []string         // every id ever given out
	erased map[string]bool
}

func (w *world) login(t *rapid.T) {
	app := rapid.IntRange(0, 3).Draw(t, "app")
	key := account{
		provider: []string{db.ProviderOfficialAccount, db.ProviderMiniProgram, "website", "wecom"}[app],
		appID:    fmt.Sprintf("wx%d", app),
		openID:   rapid.SampledFrom([]string{"o1", "o2", "o3"}).Draw(t, "openid"),
	}
	l := db.Login{Identity: db.Identity{Provider: key.provider, AppID: key.appID, OpenID: key.openID}}
	l.Identity.OpenAccount = rapid.SampledFrom([]string{"here", "here", "here", "there"}).Draw(t, "open account")
	l.Identity.UnionID = rapid.SampledFrom([]string{"", "u1", "u2"}).Draw(t, "unionid")
	if rapid.Bool().Draw(t, "with profile") {
		l.Profile = &db.Profile{Nickname: rapid.SampledFrom([]string{"", "A", "B"}).Draw(t, "nickname")}
	}
	_, before, err := w.FanByIdentity(w.ctx, key.provider, key.appID, key.openID)
	known := err == nil
	result, err := w.SaveLogin(w.ctx, l)
	if err != nil {
		t.Fatal(err)
	}
	w.keys[key] = true
	if result.Created {
		w.ids = append(w.ids, result.Fan.ID)
	}
	fan, identity, err := w.FanByIdentity(w.ctx, key.provider, key.appID, key.openID)
	if err != nil || fan != result.Fan || identity.FanID != fan.ID {
		t.Fatalf("login gives %+v, then the store has %+v of %s (%v)", result.Fan, fan, identity.FanID, err)
	}
	if known && (result.Created || result.Linked) || result.Created && result.Linked {
		t.Fatalf("known %v, but created %v, linked %v", known, result.Created, result.Linked)
	}
	if known && before.FanID != fan.ID && result.MergedFrom == "" {
		t.Fatalf("identity went from %s to %s without a merge", before.FanID, fan.ID)
	}
	if l.Identity.UnionID != "" && (identity.UnionID != l.Identity.UnionID || identity.OpenAccount != l.Identity.OpenAccount) {
		t.Fatalf("identity has %s/%s after a login with %s/%s", identity.OpenAccount, identity.UnionID,
			l.Identity.OpenAccount, l.Identity.UnionID)
	}
	if l.Profile != nil && fan.Status == db.StatusActive && !fan.Registered() {
		t.Fatal("a profile did not register the fan")
	}
	w.checkLinked(t, result, l.Identity)
}

// checkLinked: whoever has the unionid just shown is the same fan, unless their
// role differs, and then one of them is reported.
func (w *world) checkLinked(t *rapid.T, result db.LoginResult, shown db.Identity) {
	apart := make(map[string]bool)
	for key := range w.keys {
		fan, other, err := w.FanByIdentity(w.ctx, key.provider, key.appID, key.openID)
		if err != nil {
			t.Fatal(err)
		}
		linked := shown.UnionID != "" && other.UnionID == shown.UnionID && other.OpenAccount == shown.OpenAccount &&
			shown.Provider != "wecom" && other.Provider != "wecom"
		if !linked || fan.ID == result.Fan.ID {
			continue
		}
		if fan.Role == "" || result.Fan.Role == "" || fan.Role == result.Fan.Role {
			t.Fatalf("%s (%q) and %s (%q) share a unionid and no role keeps them apart", fan.ID, fan.Role,
				result.Fan.ID, result.Fan.Role)
		}
		apart[fan.ID] = true
	}
	if (len(apart) > 0) != (result.RoleConflict != "") || result.RoleConflict != "" && !apart[result.RoleConflict] {
		t.Fatalf("conflict with %q reported, apart are %v", result.RoleConflict, apart)
	}
}

func (w *world) change(t *rapid.T, change func(*db.Fan)) {
	if len(w.ids) == 0 {
		t.Skip("nobody yet")
	}
	id := rapid.SampledFrom(w.ids).Draw(t, "id")
	_, err := w.UpdateFan(w.ctx, id, func(fan *db.Fan) error {
		change(fan)
		return nil
	})
	if w.erased[id] != errors.Is(err, db.ErrNotFound) || err != nil && !w.erased[id] {
		t.Fatalf("UpdateFan(%s), erased %v: %v", id, w.erased[id], err)
	}
}

func (w *world) erase(t *rapid.T) {
	if len(w.ids) == 0 {
		t.Skip("nobody yet")
	}
	id := rapid.SampledFrom(w.ids).Draw(t, "id")
	identities, err := w.Identities(w.ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := w.EraseFan(w.ctx, id, time.Now(), time.Now())
	if w.erased[id] {
		if !errors.Is(err, db.ErrNotFound) {
			t.Fatalf("erased %s twice: %v", id, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range identities {
		delete(w.keys, account{i.Provider, i.AppID, i.OpenID})
	}
	if w.erased == nil {
		w.erased = make(map[string]bool)
	}
	for _, id := range gone {
		w.erased[id] = true
	}
}

// check: every identity has one fan, every id given out leads to a fan in one
// step or was erased, and fans have no other identities.
func (w *world) check(t *rapid.T) {
	found := make(map[account]bool)
	seen := make(map[string]bool)
	for _, id := range w.ids {
		fan, err := w.Fan(w.ctx, id)
		if w.erased[id] {
			if !errors.Is(err, db.ErrNotFound) {
				t.Fatalf("erased %s is %+v, %v", id, fan, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("fan %s: %v", id, err)
		}
		aliases, err := w.Aliases(w.ctx, fan.ID)
		if err != nil {
			t.Fatal(err)
		}
		if isAlias := slices.Contains(aliases, id); isAlias == (fan.ID == id) {
			t.Fatalf("%s leads to %s, whose aliases are %v", id, fan.ID, aliases)
		}
		if seen[fan.ID] {
			continue
		}
		seen[fan.ID] = true
		identities, err := w.Identities(w.ctx, fan.ID)
		if err != nil || len(identities) == 0 {
			t.Fatalf("fan %s has identities %v, %v", fan.ID, identities, err)
		}
		for _, i := range identities {
			key := account{i.Provider, i.AppID, i.OpenID}
			if found[key] || i.FanID != fan.ID {
				t.Fatalf("identity %+v of %s belongs to %s", key, fan.ID, i.FanID)
			}
			found[key] = true
		}
	}
	if len(found) != len(w.keys) {
		t.Fatalf("fans have %d identities, %d were stored", len(found), len(w.keys))
	}
}
