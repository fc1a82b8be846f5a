package db_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"wxbridge/db"
)

func TestObserveCommits_HearsOfWritesAndFailures(t *testing.T) {
	var mu sync.Mutex
	var heard []db.Commit
	commits := func() []db.Commit {
		mu.Lock()
		defer mu.Unlock()
		return append([]db.Commit(nil), heard...)
	}
	path := filepath.Join(t.TempDir(), "w.db")
	store, err := db.Open(t.Context(), "sqlite://"+path, time.Now, db.ObserveCommits(func(c db.Commit) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, c)
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	revoke := func(ctx context.Context, id string) error {
		return store.AddRevocation(ctx, db.Revocation{Kind: db.RevokedSession, Value: id, ExpiresAt: time.Now().Add(time.Hour)})
	}
	if err := store.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := commits(); len(got) != 0 {
		t.Errorf("a turn that wrote nothing is told of: %+v", got)
	}

	const writers = 40
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			if err := revoke(t.Context(), "same"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	operations := 0
	for _, c := range commits() {
		operations += c.Operations
		if c.Err != nil || c.Took <= 0 || c.Took > time.Minute || c.Operations < 1 {
			t.Errorf("%+v", c)
		}
	}
	if operations != writers {
		t.Errorf("%d operations are told of, want %d", operations, writers)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := len(commits())
	if err := revoke(ctx, "cancelled"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := commits()[before:]; len(got) != 0 {
		t.Errorf("a caller who left is told of as %+v", got)
	}
}

// Another process holds the lock, so that no write gets through.
func TestObserveCommits_HearsOfALockedDatabase(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the busy time of five seconds")
	}
	t.Parallel()
	heard := make(chan db.Commit, 16)
	path := filepath.Join(t.TempDir(), "w.db")
	store, err := db.Open(t.Context(), "sqlite://"+path, time.Now, db.ObserveCommits(func(c db.Commit) { heard <- c }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	release := lock(t, path)
	defer release()
	err = store.AddRevocation(t.Context(), db.Revocation{Kind: db.RevokedSession, Value: "x", ExpiresAt: time.Now().Add(time.Hour)})
	if !errors.Is(err, db.ErrUnavailable) {
		t.Fatalf("%v", err)
	}
	if c := <-heard; !errors.Is(c.Err, db.ErrUnavailable) || c.Operations != 1 {
		t.Errorf("%+v", c)
	}
}
