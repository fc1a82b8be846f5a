package jwtauth

import (
	"container/heap"
	"sync"
	"time"
)

// RevocationSet remembers which tokens are refused before they expire, by
// session or by subject. Its answers come from memory; who fills it, and from
// where, is the caller's business. It is safe for concurrent use.
//
// Entries go when the tokens they concern have expired: a [MaxLeeway] after
// their until, since a verifier may accept a token that long after its exp.
type RevocationSet struct {
	now func() time.Time

	mu       sync.RWMutex
	sessions map[string]revocation
	subjects map[string]revocation
	expiries expiryHeap
}

type revocation struct {
	before time.Time // of a subject: tokens issued earlier are refused
	until  time.Time
}

// NewRevocationSet makes an empty set. now is time.Now if nil.
func NewRevocationSet(now func() time.Time) *RevocationSet {
	if now == nil {
		now = time.Now
	}
	return &RevocationSet{now: now, sessions: map[string]revocation{}, subjects: map[string]revocation{}}
}

// RevokeSession refuses every token with this sid. until is when the last of
// them expires.
func (s *RevocationSet) RevokeSession(sid string, until time.Time) {
	s.add(s.sessions, expiry{session: true, value: sid}, revocation{until: until})
}

// RevokeSubject refuses every token of this sub whose iat lies before before,
// a whole second. until is when the last of them expires.
func (s *RevocationSet) RevokeSubject(sub string, before, until time.Time) {
	s.add(s.subjects, expiry{value: sub}, revocation{before: before, until: until})
}

// Revoked reports whether a token with these claims is refused. It is a
// [Config].Revoked.
func (s *RevocationSet) Revoked(c Claims) bool {
	s.mu.RLock()
	session, bySession := s.sessions[c.SessionID]
	subject, bySubject := s.subjects[c.Subject]
	s.mu.RUnlock()
	if !bySession && !bySubject {
		return false // as a rule: nobody has to look at the clock
	}
	oldest := s.now().Add(-MaxLeeway)
	return bySession && session.until.After(oldest) ||
		bySubject && subject.until.After(oldest) && c.IssuedAt.Before(subject.before)
}

// SubjectCut returns the time before which tokens of sub are refused. A login
// that happens before it (a cut is the next whole second) gives its token this
// time as iat, or the token would be refused.
func (s *RevocationSet) SubjectCut(sub string) (time.Time, bool) {
	oldest := s.now().Add(-MaxLeeway)
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.subjects[sub]
	if !ok || !r.until.After(oldest) {
		return time.Time{}, false
	}
	return r.before, true
}

// Len returns how many revocations are in force.
func (s *RevocationSet) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
	return len(s.sessions) + len(s.subjects)
}

// add never shortens what is there: of two revocations the wider one holds.
func (s *RevocationSet) add(to map[string]revocation, e expiry, r revocation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
	if known, ok := to[e.value]; ok {
		if known.before.After(r.before) {
			r.before = known.before
		}
		if !r.until.After(known.until) {
			r.until = known.until
			to[e.value] = r
			return // its place in the heap is right
		}
	}
	to[e.value] = r
	e.until = r.until
	heap.Push(&s.expiries, e)
}

// drop removes what has expired; each entry is removed once, so that adding
// stays cheap however many there are.
func (s *RevocationSet) drop() {
	oldest := s.now().Add(-MaxLeeway)
	for len(s.expiries) > 0 && !s.expiries[0].until.After(oldest) {
		e := heap.Pop(&s.expiries).(expiry)
		from := s.subjects
		if e.session {
			from = s.sessions
		}
		if !from[e.value].until.After(oldest) { // else it was prolonged
			delete(from, e.value)
		}
	}
}

type expiry struct {
	until   time.Time
	session bool
	value   string
}

// expiryHeap has the earliest expiry first.
type expiryHeap []expiry

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].until.Before(h[j].until) }
func (h expiryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *expiryHeap) Push(x any)        { *h = append(*h, x.(expiry)) }
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = expiry{}
	*h = (*h)[:last]
	return e
}
