package handlers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/internal/seal"
)

// boxes are those of the bridge under test: with its own secret, with a new one beside it, with the new one alone.
func boxes(t testing.TB) (old, both, fresh *seal.Box) {
	t.Helper()
	secretA, secretB := []byte(strings.Repeat("0123456789abcdef", 2)), bytes.Repeat([]byte("n"), 32)
	var err error
	old, err = seal.New(secretA)
	must(t, err)
	both, err = seal.New(secretB, secretA)
	must(t, err)
	fresh, err = seal.New(secretB)
	must(t, err)
	return old, both, fresh
}

func TestLoginsAreSealedAgainWithTheNewSecret(t *testing.T) {
	b := newBridge(t)
	for _, person := range []string{"bob", "carol", "dora"} {
		b.browser(person).register() // keeps a refresh token
	}
	for _, person := range []string{"bob", "emil"} { // keep session keys
		p := b.browser("").do("POST", "/miniprogram/login", fmt.Sprintf(`{"code":%q}`, b.jsCode(person)), "Content-Type", "application/json")
		if p.StatusCode != 200 {
			t.Fatalf("login: %d %s", p.StatusCode, p.body)
		}
	}
	ctx := context.Background()
	_, both, fresh := boxes(t)
	stranger, err := seal.New(bytes.Repeat([]byte("x"), 32))
	must(t, err)
	for _, pass := range []struct {
		name string
		box  *seal.Box
		want handlers.ResealReport
	}{
		{"a stranger's secret", stranger, handlers.ResealReport{Identities: 5, Unreadable: 5}},
		{"the new secret alone, too early", fresh, handlers.ResealReport{Identities: 5, Unreadable: 5}},
		{"both", both, handlers.ResealReport{Identities: 5, Resealed: 5}},
		{"both, again", both, handlers.ResealReport{Identities: 5}},
		{"the new secret alone", fresh, handlers.ResealReport{Identities: 5}},
	} {
		got, err := handlers.Reseal(ctx, b.store, pass.box)
		if err != nil || got != pass.want {
			t.Errorf("%s: got %+v, %v; want %+v", pass.name, got, err, pass.want)
		}
	}
}

// A value that no secret opens is counted and left; everything else is sealed again all the same.
func TestResealLeavesWhatItCannotOpen(t *testing.T) {
	store := fullStore(t, 3*200+7) // more than one batch
	ctx := context.Background()
	all := sealedOf(t, store)
	broken := all[250]
	broken.SessionKeySealed = bytes.Clone(broken.SessionKeySealed)
	broken.SessionKeySealed[15] ^= 1
	_, err := store.ReplaceSealed(ctx, []db.SealedChange{{Old: all[250], New: broken}})
	must(t, err)
	_, both, fresh := boxes(t)

	// Broken off after the first batch, and begun again.
	first := &brokenOff{Store: store, after: 1}
	if _, err := handlers.Reseal(ctx, first, both); !errors.Is(err, db.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	report, err := handlers.Reseal(ctx, store, both)
	must(t, err)
	want := handlers.ResealReport{Identities: 607, Resealed: 607*2 - 1 - first.written, Unreadable: 1}
	if report != want || first.written != 400 {
		t.Errorf("got %+v after %d, want %+v", report, first.written, want)
	}
	report, err = handlers.Reseal(ctx, store, fresh)
	if err != nil || report.Unreadable != 1 {
		t.Errorf("the new secret alone: %+v, %v", report, err)
	}
	if now := sealedOf(t, store)[250]; !bytes.Equal(now.SessionKeySealed, broken.SessionKeySealed) {
		t.Error("what does not open was changed")
	}
}

// brokenOff is a store that fails after some writes.
type brokenOff struct {
	db.Store
	after, written int
}

func (s *brokenOff) ReplaceSealed(ctx context.Context, changes []db.SealedChange) (int, error) {
	if s.after == 0 {
		return 0, db.ErrUnavailable
	}
	s.after--
	n, err := s.Store.ReplaceSealed(ctx, changes)
	s.written += n
	return n, err
}

// fullStore is a store of people who logged in while the old secret was the current one.
func fullStore(t testing.TB, people int) db.Store {
	t.Helper()
	store, err := db.Open(context.Background(), "sqlite://"+filepath.Join(t.TempDir(), "wxbridge.db"), time.Now)
	must(t, err)
	t.Cleanup(func() { _ = store.Close() })
	old, _, _ := boxes(t)
	var group sync.WaitGroup
	for g := range 64 {
		group.Go(func() {
			for n := g; n < people; n += 64 {
				if _, err := store.SaveLogin(context.Background(), sealedLogin(old, fmt.Sprintf("o%07d", n))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	return store
}

// sealedLogin is a login as the handlers store it.
func sealedLogin(box *seal.Box, openID string) db.Login {
	label := []byte(db.ProviderMiniProgram + "|wx0123456789abcdef|" + openID)
	return db.Login{Identity: db.Identity{Provider: db.ProviderMiniProgram, AppID: "wx0123456789abcdef", OpenID: openID, OpenAccount: "default",
		SessionKeySealed:       box.Seal("session_key", []byte("key of "+openID), label),
		UserRefreshTokenSealed: box.Seal("user_refresh_token", []byte("token of "+openID), label), UserRefreshExpiresAt: time.Now().Add(time.Hour)}}
}

func sealedOf(t testing.TB, store db.SealedStore) (all []db.SealedIdentity) {
	t.Helper()
	var after db.SealedIdentity
	for {
		batch, err := store.SealedIdentities(context.Background(), after, 1000)
		must(t, err)
		if all = append(all, batch...); len(batch) < 1000 {
			return all
		}
		after = batch[len(batch)-1]
	}
}

// Logins go on while a store is sealed again, at nearly their usual pace, and what they write stays.
func TestResealDoesNotHoldUpLogins(t *testing.T) {
	people, limit := 5_000, 500*time.Millisecond
	if os.Getenv("WXBRIDGE_TEST_SOAK") == "1" {
		people = 1_000_000
	}
	store := fullStore(t, people)
	_, both, _ := boxes(t)
	ctx := t.Context()
	done := make(chan error, 1)
	began := time.Now()
	go func() {
		report, err := handlers.Reseal(ctx, store, both)
		if err == nil && (report.Resealed == 0 || report.Unreadable > 0) {
			err = fmt.Errorf("the report says %+v", report)
		}
		done <- err
	}()
	var took []time.Duration
	for n := 0; ; n++ {
		select {
		case err := <-done:
			must(t, err)
			slices.Sort(took)
			if len(took) < 10 {
				t.Skipf("only %d logins fitted beside it", len(took))
			}
			t.Logf("%d identities in %v; beside it %d logins, half of them within %v, 99 of 100 within %v, the slowest %v", people,
				time.Since(began).Round(time.Millisecond), len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
			if p99 := took[len(took)*99/100]; p99 > limit {
				t.Errorf("a login takes %v", p99)
			}
			for i := range min(n, people) {
				login := sealedLogin(both, fmt.Sprintf("o%07d", i))
				_, identity, err := store.FanByIdentity(context.Background(), login.Identity.Provider, login.Identity.AppID, login.Identity.OpenID)
				must(t, err)
				label := []byte(login.Identity.Provider + "|" + login.Identity.AppID + "|" + login.Identity.OpenID)
				if got, err := both.Open("session_key", identity.SessionKeySealed, label); err != nil || string(got) != "new key" {
					t.Fatalf("what a login wrote meanwhile is gone: %q, %v", got, err)
				}
			}
			return
		default:
		}
		login := sealedLogin(both, fmt.Sprintf("o%07d", n%people))
		login.Identity.SessionKeySealed = both.Seal("session_key", []byte("new key"), []byte(login.Identity.Provider+"|"+login.Identity.AppID+"|"+login.Identity.OpenID))
		start := time.Now()
		_, err := store.SaveLogin(ctx, login)
		must(t, err)
		took = append(took, time.Since(start))
	}
}
