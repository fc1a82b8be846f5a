package jwtauth_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"wxbridge/jwtauth"
)

// clock is a clock that a test moves; it may be read from many goroutines.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: noon} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func TestTOK10_RevocationSet(t *testing.T) {
	set := jwtauth.NewRevocationSet(newClock().Now)
	until := noon.Add(2 * time.Hour)
	set.RevokeSession("s-1", until)
	set.RevokeSubject("fan-2", noon.Add(time.Second), until)
	for _, row := range []struct {
		name    string
		claims  jwtauth.Claims
		revoked bool
	}{
		{"a token of the session", jwtauth.Claims{SessionID: "s-1", Subject: "fan-1", IssuedAt: noon}, true},
		{"a renewed token of the session", jwtauth.Claims{SessionID: "s-1", Subject: "fan-1", IssuedAt: noon.Add(time.Hour)}, true},
		{"another session of the fan", jwtauth.Claims{SessionID: "s-9", Subject: "fan-1", IssuedAt: noon}, false},
		{"a token of the subject before the cut", jwtauth.Claims{SessionID: "s-2", Subject: "fan-2", IssuedAt: noon}, true},
		{"a token of the subject at the cut", jwtauth.Claims{SessionID: "s-3", Subject: "fan-2", IssuedAt: noon.Add(time.Second)}, false},
		{"another subject", jwtauth.Claims{SessionID: "s-2", Subject: "fan-3", IssuedAt: noon}, false},
		{"a session named like the subject", jwtauth.Claims{SessionID: "fan-2", Subject: "x", IssuedAt: noon}, false},
		{"a subject named like the session", jwtauth.Claims{SessionID: "x", Subject: "s-1", IssuedAt: noon}, false},
	} {
		if got := set.Revoked(row.claims); got != row.revoked {
			t.Errorf("%s: revoked is %v", row.name, got)
		}
	}
	if cut, ok := set.SubjectCut("fan-2"); !ok || !cut.Equal(noon.Add(time.Second)) {
		t.Errorf("got cut %v, %v", cut, ok)
	}
	if cut, ok := set.SubjectCut("fan-1"); ok {
		t.Errorf("a subject that was never revoked has cut %v", cut)
	}
}

func TestTOK10_ARevocationLastsAsLongAsItsTokensCanBeAccepted(t *testing.T) {
	c := newClock()
	set := jwtauth.NewRevocationSet(c.Now)
	claims := jwtauth.Claims{SessionID: "s-1", Subject: "fan-1", IssuedAt: noon.Add(-time.Hour)}
	set.RevokeSession("s-1", noon.Add(time.Hour))
	set.RevokeSubject("fan-1", noon, noon.Add(time.Hour))

	c.advance(time.Hour + jwtauth.MaxLeeway - time.Second)
	if !set.Revoked(claims) || set.Len() != 2 {
		t.Errorf("within the leeway: revoked %v, %d entries", set.Revoked(claims), set.Len())
	}
	c.advance(time.Second)
	if set.Revoked(claims) {
		t.Error("still revoked when no verifier would accept the token")
	}
	if _, ok := set.SubjectCut("fan-1"); ok || set.Len() != 0 {
		t.Errorf("%d entries left", set.Len())
	}
}

func TestOfTwoRevocationsTheWiderHolds(t *testing.T) {
	c := newClock()
	set := jwtauth.NewRevocationSet(c.Now)
	set.RevokeSubject("fan", noon.Add(10*time.Second), noon.Add(time.Hour))
	set.RevokeSubject("fan", noon.Add(5*time.Second), noon.Add(3*time.Hour)) // an older cut, a longer life
	set.RevokeSubject("fan", noon, noon)
	if cut, _ := set.SubjectCut("fan"); !cut.Equal(noon.Add(10 * time.Second)) {
		t.Errorf("got cut %v", cut)
	}
	c.advance(2 * time.Hour)
	if !set.Revoked(jwtauth.Claims{Subject: "fan", IssuedAt: noon.Add(9 * time.Second)}) || set.Len() != 1 {
		t.Errorf("the shorter life won; %d entries", set.Len())
	}
	c.advance(2 * time.Hour)
	if set.Len() != 0 {
		t.Errorf("%d entries left", set.Len())
	}
}

func TestRevocationSetIsBoundedByExpiry(t *testing.T) {
	c := newClock()
	set := jwtauth.NewRevocationSet(c.Now)
	for i := range 20_000 {
		set.RevokeSession(fmt.Sprint("s-", i), c.Now().Add(10*time.Second))
		set.RevokeSubject(fmt.Sprint("f-", i%7), c.Now(), c.Now().Add(10*time.Second))
		c.advance(time.Second)
	}
	if n := set.Len(); n > 80 {
		t.Errorf("%d entries after 20,000 short-lived ones", n)
	}
}

func TestRevocationSetIsSafeForManyAtOnce(t *testing.T) {
	c := newClock()
	set := jwtauth.NewRevocationSet(c.Now)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				id := fmt.Sprint(g, "-", i)
				set.RevokeSession(id, noon.Add(time.Hour))
				if !set.Revoked(jwtauth.Claims{SessionID: id}) {
					t.Errorf("session %s is not revoked", id)
				}
				set.SubjectCut(id)
			}
		})
	}
	wg.Wait()
	if set.Len() != 4000 {
		t.Errorf("got %d entries", set.Len())
	}
}
