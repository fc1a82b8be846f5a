package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"wxbridge/db"
	"wxbridge/internal/keyring"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
)

// memory is a store of rows in memory, in the order a real one gives them.
type memory struct {
	mu   sync.Mutex
	rows []db.KeyRow
	down error // if set, the answer to everything
}

func (m *memory) Keys(context.Context) ([]db.KeyRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.rows), m.down
}

func (m *memory) ChangeKeys(_ context.Context, change func([]db.KeyRow) ([]db.KeyRow, error)) ([]db.KeyRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return nil, m.down
	}
	rows, err := change(slices.Clone(m.rows))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b db.KeyRow) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	m.rows = rows
	return slices.Clone(rows), nil
}

// process is one process on a store: what it signs, what it accepts, what it publishes.
type process struct {
	ring *keyring.Keyring
	o    keyring.Options
}

// issued is a token, as far as keys are concerned.
type issued struct {
	kid     string
	expires time.Time
}

// cached is a key set that a verifier has fetched.
type cached struct {
	kids  []string
	until time.Time
}

// KEY-04, KEY-05: whatever is done to the keys, in whatever order, by processes that are configured differently and look at
// the store at different times: every process accepts every token of every other, and a verifier that respects the
// cache life it was told knows every key it meets, until tokens expire or keys are compromised.
func TestKEY04_NoSequenceOfEventsLeavesAGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := noon
		clock := func() time.Time { return now }
		box, err := seal.New([]byte(strings.Repeat("a", 32)))
		check(t, err)
		store := &memory{}
		secrets := []string{strings.Repeat("s", 20) + "-shared-secret", strings.Repeat("t", 20) + "-shared-secret"}
		draw := func() keyring.Options {
			return keyring.Options{
				Alg:         rapid.SampledFrom([]string{jwtauth.ES256, jwtauth.EdDSA, jwtauth.HS256}).Draw(t, "alg"),
				HS256Secret: []byte(rapid.SampledFrom(secrets).Draw(t, "secret")),
				MaxAge:      rapid.SampledFrom([]time.Duration{0, time.Hour, 5 * time.Hour}).Draw(t, "max age"),
				TokenTTL:    time.Duration(rapid.IntRange(1, 7200).Draw(t, "ttl")) * time.Second,
				JWKSMaxAge:  time.Duration(rapid.IntRange(0, 1200).Draw(t, "jwks")) * time.Second,
				Now:         clock,
			}
		}
		processes := make([]process, 2)
		start := func(i int) {
			o := draw()
			ring, err := keyring.Open(ctx, store, box, o)
			if errors.Is(err, keyring.ErrCompromisedSecret) {
				return // the one before goes on
			}
			check(t, err)
			processes[i] = process{ring, o}
		}
		first := draw()
		for i := range processes {
			ring, err := keyring.Open(ctx, store, box, first)
			check(t, err)
			processes[i] = process{ring, first}
		}
		var tokens []issued
		var caches []cached
		look := func() {
			for _, p := range processes {
				check(t, p.ring.Look(ctx))
			}
		}
		observe := func() {
			signing := ""
			for i, p := range processes {
				set := p.ring.Keys()
				if signing = set.Signing().ID(); signing == "" {
					t.Fatalf("process %d signs with nothing", i)
				}
				tokens = append(tokens, issued{signing, now.Add(p.o.TokenTTL)})
				kids := published(store.rows, set)
				caches = append(caches, cached{kids, now.Add(p.ring.JWKSMaxAge())})
				for _, c := range caches {
					if now.Before(c.until) && set.Signing().Alg() != jwtauth.HS256 && !slices.Contains(c.kids, signing) {
						t.Fatalf("a cache that may be kept until %v lacks the key that signs at %v", c.until, now)
					}
				}
				for _, token := range tokens {
					if _, err := set.Key(ctx, token.kid); err != nil && now.Before(token.expires.Add(jwtauth.MaxLeeway)) {
						t.Fatalf("process %d lacks the key of a token that lives until %v, at %v", i, token.expires, now)
					}
				}
			}
		}
		agree := func() {
			if a, b := processes[0].ring.Keys().Signing().ID(), processes[1].ring.Keys().Signing().ID(); a != b {
				t.Fatalf("two processes sign with %s and %s", a, b)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"start": func(t *rapid.T) { start(rapid.IntRange(0, 1).Draw(t, "process")); look(); observe() },
			"rotate": func(t *rapid.T) {
				_, err := keyring.Rotate(ctx, store, box, draw())
				if err != nil && !errors.Is(err, keyring.ErrNextPublished) && !errors.Is(err, keyring.ErrSameSecret) && !errors.Is(err, keyring.ErrCompromisedSecret) {
					t.Fatal(err)
				}
				look()
				observe()
			},
			"compromised": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
					t.Skip()
				}
				before := slices.Clone(store.rows)
				_, err := keyring.RotateCompromised(ctx, store, box, draw())
				if errors.Is(err, keyring.ErrSameSecret) {
					return
				}
				check(t, err)
				look()
				for i, p := range processes {
					for _, row := range before {
						if _, err := p.ring.Keys().Key(ctx, row.ID); !errors.Is(err, jwtauth.ErrUnknownKey) {
							t.Fatalf("process %d still accepts %s", i, row.ID)
						}
					}
				}
				tokens, caches = nil, nil
				observe()
			},
			"time passes": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "steps") {
					now = now.Add(time.Duration(rapid.IntRange(1, 600_000).Draw(t, "ms")) * time.Millisecond)
					look()
					observe()
				}
			},
			"a process is late": func(t *rapid.T) {
				late := rapid.IntRange(0, 1).Draw(t, "process")
				rotate := rapid.Bool().Draw(t, "rotate")
				for range rapid.IntRange(1, 5).Draw(t, "steps") {
					now = now.Add(time.Duration(rapid.IntRange(1, 5_000).Draw(t, "ms")) * time.Millisecond)
					if rotate {
						_, _ = keyring.Rotate(ctx, store, box, draw())
					}
					check(t, processes[1-late].ring.Look(ctx))
					observe()
				}
				look()
				observe()
			},
			"": func(t *rapid.T) {
				agree()
				signing := 0
				for _, e := range keyring.Schedule(store.rows, now) {
					if e.Phase == keyring.Signing {
						signing++
					}
				}
				if signing != 1 || len(store.rows) > 60 {
					t.Fatalf("%d of %d keys sign", signing, len(store.rows))
				}
			},
		})
	})
}

// published is what the key set offers to others.
func published(rows []db.KeyRow, set *jwtauth.KeySet) []string {
	var kids []string
	for _, row := range rows {
		if strings.Contains(string(set.JWKS()), fmt.Sprintf("%q", row.ID)) {
			kids = append(kids, row.ID)
		}
	}
	return kids
}

// What is due is done once: looking again at the same moment changes nothing, and rows that are given in any order make one
// schedule.
func TestScheduleDependsOnRowsAndMomentAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := func(name string) time.Time {
			return noon.Add(time.Duration(rapid.IntRange(-100, 100).Draw(t, name)) * time.Minute)
		}
		var rows []db.KeyRow
		for i := range rapid.IntRange(0, 6).Draw(t, "keys") {
			row := db.KeyRow{ID: fmt.Sprintf("k%d", i), Alg: "ES256", CreatedAt: at("created"), ActiveAt: at("active"), TokenTTL: time.Hour}
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				row.RetiredAt = at("retired")
			case 1:
				row.CompromisedAt = at("compromised")
			}
			rows = append(rows, row)
		}
		want := keyring.Schedule(rows, noon)
		shuffled := rapid.Permutation(rows).Draw(t, "order")
		if got := keyring.Schedule(shuffled, noon); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
		may, signs := 0, 0
		for _, e := range want {
			if e.Phase == keyring.Signing || e.Phase == keyring.Next || e.Phase == keyring.Verifying {
				may++
			}
			if e.Phase == keyring.Signing {
				signs++
			}
		}
		trusted := slices.ContainsFunc(rows, func(r db.KeyRow) bool { return r.RetiredAt.IsZero() && r.CompromisedAt.IsZero() })
		if len(want) != len(rows) || trusted != (signs == 1) || signs > 1 {
			t.Fatalf("%d rows make %d entries, %d sign: %v", len(rows), len(want), signs, want)
		}
	})
}

func check(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
