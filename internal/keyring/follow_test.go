package keyring_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/internal/keyring"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
)

// clock is a clock that tests move.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(noon.UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// site is one database, and the processes on it.
type site struct {
	*testing.T
	path  string
	clock *clock
	log   lockedBuffer
}

// lockedBuffer is a log that several processes write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take gives what was written and forgets it.
func (l *lockedBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

func newSite(t *testing.T) *site {
	return &site{T: t, path: filepath.Join(t.TempDir(), "bridge.db"), clock: newClock()}
}

func (s *site) options() keyring.Options {
	return keyring.Options{TokenTTL: 2 * time.Hour, JWKSMaxAge: 10 * time.Minute, MaxAge: 90 * 24 * time.Hour, Now: s.clock.now,
		Logger: slog.New(slog.NewJSONHandler(&s.log, nil))}
}

// start opens the database as another process does.
func (s *site) start(change ...func(*keyring.Options)) *running {
	s.Helper()
	return s.startWith(newBox(s.T, "a"), change...)
}

func (s *site) startWith(box *seal.Box, change ...func(*keyring.Options)) *running {
	s.Helper()
	o := s.options()
	for _, c := range change {
		c(&o)
	}
	store := openStore(s.T, s.path)
	ring, err := keyring.Open(ctx, store, box, o)
	must(s.T, err)
	return &running{T: s.T, Keyring: ring, store: store, o: o}
}

func (s *site) rotate(o keyring.Options) error {
	_, err := keyring.Rotate(ctx, openStore(s.T, s.path), newBox(s.T, "a"), o)
	return err
}

// events gives the logged events of a kind, and forgets them all.
func (s *site) events(name string) (found []map[string]any) {
	for line := range strings.Lines(s.log.take()) {
		var e map[string]any
		must(s.T, json.Unmarshal([]byte(line), &e))
		if e["event"] == name {
			found = append(found, e)
		}
	}
	return found
}

// running is a process.
type running struct {
	*testing.T
	*keyring.Keyring
	store db.Store
	o     keyring.Options
}

func (r *running) look() {
	r.Helper()
	must(r.T, r.Look(ctx))
}

func (r *running) token() string {
	r.Helper()
	issuer, err := jwtauth.NewIssuer(r.Keys(), jwtauth.IssuerConfig{Issuer: "https://b.example", Audience: "api", ClientID: "wxbridge", TTL: r.o.TokenTTL, Now: r.o.Now})
	must(r.T, err)
	raw, _, err := issuer.AccessToken(jwtauth.Claims{Subject: "fan", SessionID: "s", AuthTime: r.o.Now(), Provider: "p", AppID: "a", OpenID: "o"})
	must(r.T, err)
	return raw
}

func (r *running) verify(raw string) error {
	v, err := jwtauth.NewVerifier(r.Keys(), jwtauth.Config{Issuer: "https://b.example", Audience: "api", Now: r.o.Now})
	must(r.T, err)
	_, err = v.Verify(ctx, raw)
	return err
}

func (r *running) publishes(kid string) bool { return bytes.Contains(r.Keys().JWKS(), []byte(kid)) }

func TestKEY04_ARotationIsPublishedThenSignsThenRetires(t *testing.T) {
	s := newSite(t)
	a, b := s.start(), s.start()
	old := a.Keys().Signing().ID()
	if got := s.events("key.rotated"); len(got) != 1 || got[0]["reason"] != "first start" {
		t.Errorf("LOG-03 key.rotated at the first of two starts: %v", got)
	}
	s.clock.advance(time.Hour)
	must(t, s.rotate(s.options()))
	if err := s.rotate(s.options()); !errors.Is(err, keyring.ErrNextPublished) {
		t.Errorf("a second rotation: %v", err)
	}
	if got := s.events("key.rotated"); len(got) != 1 || got[0]["alg"] != "ES256" || got[0]["kid"] == nil || got[0]["reason"] != "command" {
		t.Errorf("LOG-03 key.rotated: %v", got)
	}
	a.look()
	b.look()
	if got := s.events("key.published"); len(got) != 2 {
		t.Errorf("LOG-03 key.published by two processes: %v", got)
	}
	rows, err := a.store.Keys(ctx)
	must(t, err)
	next := rows[1].ID
	for _, p := range []*running{a, b} {
		if p.Keys().Signing().ID() != old || !p.publishes(next) {
			t.Fatalf("signs with %s, publishes %s", p.Keys().Signing(), p.Keys().JWKS())
		}
	}

	s.clock.advance(11*time.Minute - time.Millisecond) // a cache life and the time to follow
	a.look()
	if a.Keys().Signing().ID() != old {
		t.Error("signs too early")
	}
	last := a.token()
	s.clock.advance(time.Millisecond)
	a.look()
	b.look()
	if a.Keys().Signing().ID() != next || b.Keys().Signing().ID() != next {
		t.Errorf("sign with %v and %v, want %s", a.Keys().Signing(), b.Keys().Signing(), next)
	}
	if got := s.events("key.activated"); len(got) != 2 || got[0]["kid"] != next {
		t.Errorf("LOG-03 key.activated: %v", got)
	}

	s.clock.advance(2*time.Hour + 3*time.Second) // the last moment at which the old key's last token is good
	a.look()
	b.look()
	for _, p := range []*running{a, b, s.start()} {
		must(t, p.verify(last))
	}
	s.clock.advance(4 * time.Minute)
	a.look()
	b.look()
	for _, p := range []*running{a, b} {
		if p.publishes(old) || p.verify(last) == nil {
			t.Errorf("still there: %s", p.Keys().JWKS())
		}
	}
	if got := s.events("key.dropped"); len(got) != 2 || got[0]["kid"] != old || got[0]["reason"] != "expired" {
		t.Errorf("LOG-03 key.dropped: %v", got)
	}
	if rows, err = a.store.Keys(ctx); err != nil || len(rows) != 1 || rows[0].ID != next {
		t.Errorf("rows left: %v, %v", rows, err)
	}
}

// A private part is needed for a minute after the last signature, its public part for hours.
func TestKEY01_PrivatePartsAreDestroyedWhenTheySignNoMore(t *testing.T) {
	for _, alg := range []string{jwtauth.ES256, jwtauth.EdDSA, jwtauth.RS256} {
		s := newSite(t)
		a := s.start(func(o *keyring.Options) { o.Alg = alg })
		raw := a.token()
		old := a.Keys().Signing().ID()
		must(t, s.rotate(s.options()))
		s.clock.advance(12 * time.Minute)
		a.look()
		rows, err := a.store.Keys(ctx)
		must(t, err)
		row := rows[slices.IndexFunc(rows, func(r db.KeyRow) bool { return r.ID == old })]
		if row.RetiredAt.IsZero() {
			t.Fatalf("%s: got %+v", alg, row)
		}
		box := newBox(t, "a")
		if _, err := box.Open("signing key", row.Sealed, []byte(old)); err == nil {
			t.Errorf("%s: the private part is still stored", alg)
		}
		der, err := box.Open("verifying key", row.Sealed, []byte(old))
		must(t, err)
		if _, err := x509.ParsePKIXPublicKey(der); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if key, err := a.Keys().Key(ctx, old); err != nil {
			t.Errorf("%s: %v", alg, err)
		} else if _, err := key.MarshalPrivate(); err == nil {
			t.Errorf("%s: the private part is still in memory", alg)
		}
		for _, p := range []*running{a, s.start()} {
			if err := p.verify(raw); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
		}
	}
}

func TestKEY04_AKeyIsReplacedByAgeOnceHoweverManyLook(t *testing.T) {
	s := newSite(t)
	a, b := s.start(), s.start()
	s.log.take()
	s.clock.advance(90*24*time.Hour - 11*time.Minute - time.Second)
	a.look()
	b.look()
	if rows, _ := a.store.Keys(ctx); len(rows) != 1 {
		t.Fatalf("replaced too early: %v", rows)
	}
	s.clock.advance(time.Second)
	done := make(chan error, 2)
	for _, p := range []*running{a, b} {
		go func() { done <- p.Look(ctx) }()
	}
	must(t, <-done)
	must(t, <-done)
	rows, err := a.store.Keys(ctx)
	must(t, err)
	if len(rows) != 2 || !rows[1].ActiveAt.Equal(noon.Add(90*24*time.Hour)) {
		t.Fatalf("got %+v", rows)
	}
	if got := s.events("key.rotated"); len(got) != 1 || got[0]["reason"] != "age" {
		t.Errorf("got %v", got)
	}
}

func TestChangingTheAlgorithmIsARotation(t *testing.T) {
	algs := []string{jwtauth.ES256, jwtauth.EdDSA, jwtauth.RS256, jwtauth.HS256, jwtauth.ES256}
	s := newSite(t)
	var tokens []string
	var running *running
	for _, alg := range algs {
		running = s.start(func(o *keyring.Options) {
			o.Alg, o.HS256Secret, o.TokenTTL = alg, []byte(strings.Repeat("s", 32)), 24*time.Hour
		})
		if n := len(tokens); n > 0 && running.Keys().Signing().Alg() == alg {
			t.Errorf("%s signs before it was published", alg)
		}
		s.clock.advance(11 * time.Minute)
		running.look()
		if got := running.Keys().Signing().Alg(); got != alg {
			t.Fatalf("%s is configured, %s signs", alg, got)
		}
		if alg == jwtauth.HS256 && running.publishes(running.Keys().Signing().ID()) {
			t.Error("KEY-02 the JWKS names the secret")
		}
		tokens = append(tokens, running.token())
		for i, raw := range tokens {
			if err := running.verify(raw); err != nil {
				t.Errorf("with %s, the token of %s: %v", alg, algs[i], err)
			}
		}
	}
	// A process that was not started again keeps to what the store says.
	rows, err := running.store.Keys(ctx)
	must(t, err)
	must(t, s.start(func(o *keyring.Options) { o.Alg = jwtauth.ES256 }).Look(ctx))
	after, err := running.store.Keys(ctx)
	must(t, err)
	if len(after) != len(rows) {
		t.Errorf("the same algorithm again made a key")
	}
}

func TestHS256SecretsRotateByConfiguration(t *testing.T) {
	s := newSite(t)
	first, second := strings.Repeat("f", 32), strings.Repeat("g", 32)
	with := func(secret string) func(*keyring.Options) {
		return func(o *keyring.Options) { o.Alg, o.HS256Secret = jwtauth.HS256, []byte(secret) }
	}
	options := func(secret string) keyring.Options {
		o := s.options()
		with(secret)(&o)
		return o
	}
	a := s.start(with(first))
	raw := a.token()
	if err := s.rotate(options(first)); !errors.Is(err, keyring.ErrSameSecret) {
		t.Errorf("the same secret: %v", err)
	}
	s.start(with(second))
	a.look()
	if a.Keys().Signing().ID() != jwtauth.SymmetricKeyID([]byte(first)) {
		t.Error("the new secret signs before the other process can know it")
	}
	s.clock.advance(time.Minute)
	a.look()
	if a.Keys().Signing().ID() != jwtauth.SymmetricKeyID([]byte(second)) {
		t.Error("the new secret does not sign after a minute")
	}
	must(t, a.verify(raw))
	back := s.start(with(first)) // a change of mind
	s.clock.advance(time.Minute)
	back.look()
	if back.Keys().Signing().ID() != jwtauth.SymmetricKeyID([]byte(first)) {
		t.Error("the first secret does not sign again")
	}
	if _, err := keyring.RotateCompromised(ctx, a.store, newBox(t, "a"), options(first)); !errors.Is(err, keyring.ErrSameSecret) {
		t.Errorf("compromised without a new secret: %v", err)
	}
	_, err := keyring.RotateCompromised(ctx, a.store, newBox(t, "a"), options(strings.Repeat("h", 32)))
	must(t, err)
	s.clock.advance(1000 * time.Hour)
	a.look()
	if _, err := keyring.Open(ctx, a.store, newBox(t, "a"), options(first)); !errors.Is(err, keyring.ErrCompromisedSecret) {
		t.Errorf("a compromised secret comes back: %v", err)
	}
	s.clock.advance(91 * 24 * time.Hour)
	s.log.take()
	a.look()
	a.look()
	if got := s.events("key.overdue"); len(got) != 1 {
		t.Errorf("an old secret is told of %d times", len(got))
	}
}

func TestCompromisedKeysDieAtOnce(t *testing.T) {
	s := newSite(t)
	a, b := s.start(), s.start()
	before := a.token()
	must(t, s.rotate(s.options()))
	a.look()
	b.look()
	entries, err := keyring.RotateCompromised(ctx, openStore(t, s.path), newBox(t, "a"), s.options())
	must(t, err)
	signing := ""
	for _, e := range entries {
		if e.Phase == keyring.Signing {
			signing = e.ID
		}
	}
	a.look()
	b.look()
	for _, p := range []*running{a, b, s.start()} {
		if p.Keys().Signing().ID() != signing || signing == "" {
			t.Errorf("%v signs, want %s", p.Keys().Signing(), signing)
		}
		if err := p.verify(before); !errors.Is(err, jwtauth.ErrInvalid) {
			t.Errorf("an old token: %v", err)
		}
		if strings.Count(string(p.Keys().JWKS()), `"kid"`) != 1 {
			t.Errorf("the key set: %s", p.Keys().JWKS())
		}
		must(t, p.verify(a.token()))
	}
	rows, err := a.store.Keys(ctx)
	must(t, err)
	for _, row := range rows {
		if !row.CompromisedAt.IsZero() && len(row.Sealed) != 0 {
			t.Errorf("the store still holds %s", row.ID)
		}
	}
	if got := s.events("key.dropped"); len(got) != 4 || got[0]["reason"] != "compromised" {
		t.Errorf("LOG-03 key.dropped: %v", got)
	}
	s.clock.advance(3 * time.Hour)
	a.look()
	if rows, _ := a.store.Keys(ctx); len(rows) != 1 {
		t.Errorf("rows left: %v", rows)
	}
}

// Tokens that were made to live longer than the configuration now says stay good.
func TestKEY04_ALoweredTTLCutsNoTokenShort(t *testing.T) {
	s := newSite(t)
	long := s.start(func(o *keyring.Options) { o.TokenTTL = 48 * time.Hour })
	raw := long.token()
	short := s.start(func(o *keyring.Options) { o.TokenTTL = time.Minute })
	must(t, s.rotate(short.o))
	for range 47 {
		s.clock.advance(time.Hour)
		short.look()
	}
	must(t, short.verify(raw))
	s.clock.advance(2 * time.Hour)
	short.look()
	if rows, _ := short.store.Keys(ctx); len(rows) != 1 {
		t.Errorf("rows left: %v", rows)
	}
	// And the other way round: a process that lets tokens live longer says so in the row before it signs.
	longer := s.start(func(o *keyring.Options) { o.TokenTTL = 100 * time.Hour })
	raw = longer.token()
	must(t, s.rotate(short.o))
	s.clock.advance(99 * time.Hour)
	short.look()
	must(t, short.verify(raw))
}

// The caches of one process count for the rotations of another, and for those of an operator who has other settings.
func TestKEY05_TheLongestCacheCounts(t *testing.T) {
	s := newSite(t)
	s.start(func(o *keyring.Options) { o.JWKSMaxAge = 3 * time.Hour })
	o := s.options()
	o.JWKSMaxAge = 0
	s.clock.advance(time.Second)
	must(t, s.rotate(o))
	rows, err := openStore(t, s.path).Keys(ctx)
	must(t, err)
	if got := rows[1].ActiveAt.Sub(rows[1].CreatedAt); got != 3*time.Hour+keyring.FollowTime {
		t.Errorf("published %v before it signs", got)
	}
}

// KEY-05: a process that cannot read the store lets nobody cache beyond the moment at which an unknown key may sign.
func TestKEY05_CacheLifeShrinksWhileTheStoreIsAway(t *testing.T) {
	store := &memory{}
	c := newClock()
	ring, err := keyring.Open(ctx, store, newBox(t, "a"), keyring.Options{JWKSMaxAge: 10 * time.Minute, Now: c.now})
	must(t, err)
	store.down = db.ErrUnavailable
	for _, row := range []struct{ after, want time.Duration }{
		{0, 10 * time.Minute}, {30 * time.Second, 10 * time.Minute}, {31 * time.Second, 10*time.Minute - time.Second},
		{5 * time.Minute, 5*time.Minute + 30*time.Second}, {11 * time.Minute, 0}, {100 * time.Hour, 0}, {-time.Hour, 10 * time.Minute},
	} {
		c.ns.Store(noon.Add(row.after).UnixNano())
		if err := ring.Look(ctx); !errors.Is(err, db.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		if got := ring.JWKSMaxAge(); got != row.want {
			t.Errorf("after %v: %v, want %v", row.after, got, row.want)
		}
	}
	store.down = nil
	must(t, ring.Look(ctx))
	if got := ring.JWKSMaxAge(); got != 10*time.Minute {
		t.Errorf("with the store back: %v", got)
	}
}

// FWD-01: a lost store takes no key away, and a key that was to sign does so on time.
func TestFollowGoesOnWithoutTheStore(t *testing.T) {
	store, c := &memory{}, newClock()
	var log bytes.Buffer
	o := keyring.Options{JWKSMaxAge: 10 * time.Minute, TokenTTL: time.Hour, Now: c.now}
	_, err := keyring.Open(ctx, store, newBox(t, "a"), o)
	must(t, err)
	_, err = keyring.Rotate(ctx, store, newBox(t, "a"), o)
	must(t, err)
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	ring, err := keyring.Open(ctx, store, newBox(t, "a"), o)
	must(t, err)
	old := ring.Keys().Signing().ID()
	store.mu.Lock()
	store.down = db.ErrUnavailable
	store.mu.Unlock()
	following, stop := context.WithCancel(ctx)
	tick, ended := make(chan time.Time), make(chan struct{})
	go func() { ring.Follow(following, tick); close(ended) }()
	for range 3 {
		tick <- c.now()
	}
	c.advance(11 * time.Minute)
	tick <- c.now()
	tick <- c.now() // taken only when the look before is over
	if got := ring.Keys().Signing().ID(); got == old {
		t.Error("the next key does not sign on time")
	}
	if _, err := ring.Keys().Key(ctx, old); err != nil {
		t.Errorf("the old key: %v", err)
	}
	store.mu.Lock()
	store.down = nil
	store.mu.Unlock()
	tick <- c.now()
	tick <- c.now()
	stop()
	<-ended
	if text := log.String(); strings.Count(text, "not followed") != 1 || strings.Count(text, "followed again") != 1 {
		t.Errorf("the log:\n%s", text)
	}
}

// REL-15: a clock that jumps back an hour, in the middle of a rotation or after it, leaves a key that signs.
func TestREL15_AClockSetBackLeavesAKeyThatSigns(t *testing.T) {
	s := newSite(t)
	a := s.start()
	must(t, s.rotate(s.options()))
	s.clock.advance(11 * time.Minute)
	a.look()
	raw := a.token()
	for range 2 {
		s.clock.advance(-time.Hour)
		a.look()
		b := s.start()
		if got, want := b.Keys().Signing().ID(), a.Keys().Signing().ID(); got != want {
			t.Errorf("a start then signs with %s, the other with %s", got, want)
		}
		must(t, b.verify(b.token()))
		s.clock.advance(time.Hour + 2*time.Minute) // by now the old key has no private part
		a.look()
		must(t, a.verify(raw))
	}
}

// A row that is damaged while a process runs takes nothing from it; the next start refuses.
func TestKEY06_DamageWhileRunning(t *testing.T) {
	s := newSite(t)
	a := s.start()
	raw, signing := a.token(), a.Keys().Signing().ID()
	good, err := a.store.Keys(ctx)
	must(t, err)
	bad := good[0]
	bad.Sealed = append([]byte{}, bad.Sealed...)
	bad.Sealed[20] ^= 1
	put(t, a.store, bad)
	for range 3 {
		s.clock.advance(40 * 24 * time.Hour) // a rotation by age would be due
		a.look()
	}
	if a.Keys().Signing().ID() != signing {
		t.Error("the key was replaced")
	}
	if err := a.verify(raw); errors.Is(err, jwtauth.ErrUnknownKey) {
		t.Error("the key was dropped")
	}
	rows, err := a.store.Keys(ctx)
	must(t, err)
	if len(rows) != 1 || !bytes.Equal(rows[0].Sealed, bad.Sealed) {
		t.Errorf("the row was changed: %v", rows)
	}
	if got := s.events("key.unreadable"); len(got) != 1 {
		t.Errorf("told %d times", len(got))
	}
	if _, err := keyring.Open(ctx, a.store, newBox(t, "a"), s.options()); !errors.Is(err, keyring.ErrWrongSecret) {
		t.Errorf("the next start: %v", err)
	}
	if err := s.rotate(s.options()); !errors.Is(err, keyring.ErrWrongSecret) {
		t.Errorf("keys rotate: %v", err)
	}
	put(t, a.store, good[0])
	a.look()
	if rows, _ := a.store.Keys(ctx); len(rows) != 2 {
		t.Errorf("once it opens again, the rotation that was due is not made: %v", rows)
	}
}

func TestASecretChangesWhileProcessesRun(t *testing.T) {
	s := newSite(t)
	secretA, secretB := bytes.Repeat([]byte("a"), 32), bytes.Repeat([]byte("b"), 32)
	both, err := seal.New(secretB, secretA)
	must(t, err)
	old := s.start()
	must(t, s.rotate(s.options()))
	s.clock.advance(12 * time.Minute)
	old.look() // one key signs, one is retired
	raw := old.token()

	fresh := s.startWith(both)
	if got := s.rows(); len(got) != 2 {
		t.Fatalf("got %v", got)
	}
	for _, row := range s.rows() {
		purpose := "signing key"
		if !row.RetiredAt.IsZero() {
			purpose = "verifying key"
		}
		if _, err := newBox(t, "b").Open(purpose, row.Sealed, []byte(row.ID)); err != nil {
			t.Errorf("%s is not sealed with the new secret", row.ID)
		}
	}
	old.look() // it cannot open them any more, and goes on with what it has
	must(t, old.verify(fresh.token()))
	must(t, fresh.verify(old.token()))
	must(t, fresh.verify(raw))
	must(t, s.startWith(newBox(t, "b")).verify(raw)) // the previous secret is needed no more
	if _, err := keyring.Open(ctx, old.store, newBox(t, "a"), s.options()); !errors.Is(err, keyring.ErrWrongSecret) || !strings.Contains(err.Error(), "WXBRIDGE_SECRET_PREVIOUS") {
		t.Errorf("a start with the previous secret alone: %v", err)
	}

	// The old process cannot open a key that is new, so it lets nobody cache its own key set until that one signs (KEY-05);
	// and it hears that one is compromised, and then signs nothing.
	_, err = keyring.Rotate(ctx, old.store, both, s.options())
	must(t, err)
	for range 11 {
		s.clock.advance(time.Minute)
		old.look()
		fresh.look()
	}
	if got := []time.Duration{old.JWKSMaxAge(), fresh.JWKSMaxAge()}; got[0] != 0 || got[1] != 10*time.Minute {
		t.Errorf("cache lives: %v", got)
	}
	must(t, old.verify(old.token()))
	_, err = keyring.RotateCompromised(ctx, old.store, both, s.options())
	must(t, err)
	old.look()
	if old.verify(raw) == nil {
		t.Error("accepts a compromised key")
	}
	if old.Keys().Signing().ID() != "" || strings.Contains(string(old.Keys().JWKS()), "kid") {
		t.Errorf("signs with %v, publishes %s", old.Keys().Signing(), old.Keys().JWKS())
	}
	fresh.look()
	must(t, fresh.verify(fresh.token()))
}

func (s *site) rows() []db.KeyRow {
	s.Helper()
	rows, err := openStore(s.T, s.path).Keys(ctx)
	must(s.T, err)
	return rows
}

func TestLookingDoesNotMakeAKey(t *testing.T) {
	store := newStore(t)
	for what, look := range map[string]func() error{
		"Load": func() error { _, err := keyring.Load(ctx, store, newBox(t, "a"), atNoon); return err },
		"Rotate": func() error {
			_, err := keyring.Rotate(ctx, store, newBox(t, "a"), keyring.Options{Now: atNoon})
			return err
		},
	} {
		if err := look(); !errors.Is(err, keyring.ErrNoKeys) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if entries, err := keyring.List(ctx, store, noon); err != nil || len(entries) != 0 {
		t.Errorf("List: %v, %v", entries, err)
	}
	ring, err := keyring.Open(ctx, store, newBox(t, "a"), keyring.Options{Now: atNoon})
	must(t, err)
	loaded, err := keyring.Load(ctx, store, newBox(t, "a"), atNoon)
	must(t, err)
	if fmt.Sprint(loaded.Signing()) != fmt.Sprint(ring.Keys().Signing()) {
		t.Errorf("Load gives %v", loaded.Signing())
	}
}
