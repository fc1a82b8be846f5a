package wechat_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wxbridge/wechat"
)

// memoryStore is a wechat.TokenStore that several sources share as processes
// would share a database.
type memoryStore struct {
	now func() time.Time

	mu     sync.Mutex
	tokens map[string]wechat.AppToken
	owner  map[string]string
	until  map[string]time.Time
	fail   error // of every method, if not nil
	hang   bool  // every method waits for the end of its context
}

func newMemoryStore(now func() time.Time) *memoryStore {
	return &memoryStore{now: now, tokens: map[string]wechat.AppToken{}, owner: map[string]string{}, until: map[string]time.Time{}}
}

func (s *memoryStore) enter(ctx context.Context) error {
	if s.hang {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.fail
}

func (s *memoryStore) Load(ctx context.Context, key string) (wechat.AppToken, error) {
	if err := s.enter(ctx); err != nil {
		return wechat.AppToken{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[key], nil
}

func (s *memoryStore) Lock(ctx context.Context, key, owner string, lease time.Duration) (bool, error) {
	if err := s.enter(ctx); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner[key] != "" && s.owner[key] != owner && s.now().Before(s.until[key]) {
		return false, nil
	}
	s.owner[key], s.until[key] = owner, s.now().Add(lease)
	return true, nil
}

func (s *memoryStore) Save(ctx context.Context, key, owner string, token wechat.AppToken) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner[key] == owner {
		s.tokens[key] = token
	}
	return nil
}

func (s *memoryStore) Unlock(ctx context.Context, key, owner string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner[key] == owner {
		delete(s.owner, key)
	}
	return nil
}

func (s *memoryStore) locked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.owner) > 0
}

func TestWX17_TwoProcessesOnOneStoreFetchOnce(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	gate := make(chan struct{})
	s.gate = gate
	store := newMemoryStore(c.Now)
	results := make(chan error)
	const processes, callers = 5, 20
	for range processes {
		tokens := s.source(t, c, wechat.AppTokenOptions{Store: store})
		for range callers {
			go func() {
				got, err := tokens.Token(t.Context())
				if err == nil && got.Value != "24_token-1" {
					err = errors.New("another token")
				}
				results <- err
			}()
		}
	}
	waitUntil(t, "a fetch has begun", func() bool { return len(s.seen()) == 1 })
	close(gate)
	for range processes * callers {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	s.wantIssued(t, 1)
	waitUntil(t, "the lock is given up", func() bool { return !store.locked() })

	t.Run("and a restart not at all", func(t *testing.T) {
		wantToken(t, s.source(t, c, wechat.AppTokenOptions{Store: store}), "24_token-1")
		s.wantIssued(t, 1)
	})
	t.Run("nor does a token ended from outside cost more than one fetch", func(t *testing.T) {
		one, two := s.source(t, c, wechat.AppTokenOptions{Store: store}), s.source(t, c, wechat.AppTokenOptions{Store: store})
		wantToken(t, one, "24_token-1")
		wantToken(t, two, "24_token-1")
		s.invalidate()
		var group sync.WaitGroup
		for _, tokens := range []*wechat.AppTokens{one, two} {
			for range 10 {
				group.Go(func() {
					if _, err := tokens.Follower(t.Context(), openID); err != nil {
						t.Error(err)
					}
				})
			}
		}
		group.Wait()
		s.wantIssued(t, 2)
	})
	t.Run("an old token in the store is not used", func(t *testing.T) {
		c.advance(2 * time.Hour)
		wantToken(t, s.source(t, c, wechat.AppTokenOptions{Store: store}), "24_token-3")
		s.wantIssued(t, 3)
	})
}

// The other process saves and leaves just between our look and our lock.
func TestTokenStore_WhatWasSavedBeforeTheLockIsTaken(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	store := newMemoryStore(c.Now)
	theirs := wechat.AppToken{Value: "24_theirs", FetchedAt: c.Now(), ExpiresAt: c.Now().Add(2 * time.Hour)}
	late := lateStore{store, func() { store.tokens[appID] = theirs }}
	wantToken(t, s.source(t, c, wechat.AppTokenOptions{Store: late}), "24_theirs")
	s.wantIssued(t, 0)
	if store.locked() {
		t.Error("the lock is held on")
	}
}

func TestREL04_ALockIsGivenUpWhenTheStoreFailsAfterIt(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	store := newMemoryStore(c.Now)
	failing := &failingLoads{memoryStore: store, good: 1}
	wantToken(t, s.source(t, c, wechat.AppTokenOptions{Store: failing}), "24_token-1")
	if store.locked() {
		t.Error("the lock is held on")
	}
}

// failingLoads fails every Load after the first good ones.
type failingLoads struct {
	*memoryStore
	good int
}

func (s *failingLoads) Load(ctx context.Context, key string) (wechat.AppToken, error) {
	if s.good--; s.good < 0 {
		return wechat.AppToken{}, errors.New("disk full")
	}
	return s.memoryStore.Load(ctx, key)
}

// lateStore lets something happen just before each lock.
type lateStore struct {
	*memoryStore
	before func()
}

func (s lateStore) Lock(ctx context.Context, key, owner string, lease time.Duration) (bool, error) {
	s.before()
	return s.memoryStore.Lock(ctx, key, owner, lease)
}

func TestTokenStore_AHolderThatDiedIsOutwaited(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	store := newMemoryStore(c.Now)
	if ok, err := store.Lock(t.Context(), appID, "the dead", 7*time.Second); !ok || err != nil {
		t.Fatal(ok, err)
	}
	done := make(chan error, 1)
	var looks atomic.Int64
	tokens := s.source(t, c, wechat.AppTokenOptions{Store: countingStore{store, &looks}})
	go func() { _, err := tokens.Token(t.Context()); done <- err }()
	waitUntil(t, "the other process waits", func() bool { return looks.Load() >= 2 })
	s.wantIssued(t, 0)
	c.advance(7 * time.Second)
	if err := <-done; err != nil {
		t.Error(err)
	}
	s.wantIssued(t, 1)
}

// countingStore counts the attempts to lock.
type countingStore struct {
	*memoryStore
	locks *atomic.Int64
}

func (s countingStore) Lock(ctx context.Context, key, owner string, lease time.Duration) (bool, error) {
	s.locks.Add(1)
	return s.memoryStore.Lock(ctx, key, owner, lease)
}

func TestREL04_AStoreInTroubleCostsAFetchNoMore(t *testing.T) {
	broken := errors.New("disk full")
	s, c := startTokenServer(t), newClock()
	store := newMemoryStore(c.Now)
	store.fail = broken
	var told []error
	tokens := s.source(t, c, wechat.AppTokenOptions{Store: store, StoreFailed: func(err error) { told = append(told, err) }})
	for range 3 {
		wantToken(t, tokens, "24_token-1")
	}
	s.wantIssued(t, 1)
	if len(told) != 1 || !errors.Is(told[0], broken) {
		t.Errorf("told %v, want the error of the store once", told)
	}
	wantToken(t, s.source(t, c, wechat.AppTokenOptions{Store: store}), "24_token-2") // nobody to tell
}

func TestREL04_AStoreThatHangsDelaysTheTokenByASecond(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	store := newMemoryStore(c.Now)
	store.hang = true
	var told []error
	tokens := s.source(t, c, wechat.AppTokenOptions{Store: store, StoreFailed: func(err error) { told = append(told, err) }})
	start := time.Now()
	wantToken(t, tokens, "24_token-1")
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	if len(told) != 1 || !errors.Is(told[0], context.DeadlineExceeded) {
		t.Errorf("told %v", told)
	}
}

func TestTokenStore_AFailedFetchGivesTheLockUp(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	store := newMemoryStore(c.Now)
	s.failing = `{"errcode":40125,"errmsg":"invalid appsecret"}`
	_, err := s.source(t, c, wechat.AppTokenOptions{Store: store}).Token(t.Context())
	wantOnly(t, err, wechat.ErrMisconfigured)
	if store.locked() {
		t.Error("the lock is held on")
	}
	s.set(func() { s.failing = "" })
	wantToken(t, s.source(t, c, wechat.AppTokenOptions{Store: store}), "24_token-2")
}
