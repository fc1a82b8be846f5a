package db_test

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
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

// Callers who come together are not all served by the same commit: some go on while the others wait for the disk. Only a crowd
// is served at once, to all but what two commits can serve.
func TestObserveCommits_ACommitLeavesSomeToTheNext(t *testing.T) {
	for callers, want := range map[int][]int{ // the first of a commit is the one who kept the writer busy
		db.SmallGroup / 2:  {db.SmallGroup/2 + 1},
		2 * db.SmallGroup:  {db.SmallGroup, db.SmallGroup, 1},
		10 * db.SmallGroup: {8*db.SmallGroup + 1, db.SmallGroup, db.SmallGroup},
	} {
		t.Run(strconv.Itoa(callers), func(t *testing.T) {
			heard := make(chan db.Commit, callers)
			store, err := db.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "w.db"), time.Now, db.ObserveCommits(func(c db.Commit) { heard <- c }))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			var group sync.WaitGroup
			db.InWriter(t, store, func(func(string) any) {
				for i := range callers {
					group.Go(func() {
						r := db.Revocation{Kind: db.RevokedSession, Value: strconv.Itoa(i), ExpiresAt: time.Now().Add(time.Hour)}
						if err := store.AddRevocation(context.Background(), r); err != nil {
							t.Error(err)
						}
					})
				}
				for db.Waiting(store) < callers && t.Context().Err() == nil {
					runtime.Gosched()
				}
			})
			group.Wait() // who is answered has been told of
			close(heard)
			var got []int
			for c := range heard {
				got = append(got, c.Operations)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d callers were served by commits of %v, want %v", callers, got, want)
			}
		})
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
