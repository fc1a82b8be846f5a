package wechat

import (
	"errors"
	"sync"
	"time"
)

// tokenState is what a TokenSource remembers. Each method takes the time once and
// does no I/O. Tokens are behind pointers, since fmt asks no methods of what is
// in unexported fields.
type tokenState struct {
	renewAfter time.Duration // of TokenSourceConfig
	pause      func(err error, failed int) time.Duration

	mu       sync.Mutex
	token    *AppToken // nil: none
	refused  *AppToken // the one that WeChat refused last, not taken back from a store; nil: none
	twice    bool      // refused was refused, came back from WeChat, and was refused again
	forcedAt time.Time
	failure  failure
	drops    pace
}

// look returns the token, unless there is none or it is over, and whether it is
// time to fetch another. err is that of a fetch that failed a moment ago, if
// there is no token to go on with.
func (s *tokenState) look(now time.Time) (token AppToken, renew bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != nil && s.token.alive(now) {
		token = *s.token
	}
	switch {
	case s.fresh(token, now):
		return token, false, nil
	case !s.failure.holds(now):
		return token, true, nil
	case token.Value != "":
		return token, false, nil
	}
	return AppToken{}, false, s.failure.err
}

// alive reports whether t is worth sending.
func (t AppToken) alive(now time.Time) bool { return t.Value != "" && now.Before(t.ExpiresAt) }

// fresh reports whether it is too early to ask for another. A token of a short
// life is renewed in its last quarter. Where age counts, one from the future,
// which a clock that was set back leaves behind, has none that could be known.
func (s *tokenState) fresh(t AppToken, now time.Time) bool {
	age, life := now.Sub(t.FetchedAt), t.ExpiresAt.Sub(t.FetchedAt)
	if s.renewAfter > 0 && (age < -renewGrace || age >= s.renewAfter) {
		return false
	}
	return t.Value != "" && age < life-min(renewEarly, life/4)
}

// overdue reports whether t is so old that it is handed out for want of a new one
// only.
func (s *tokenState) overdue(t AppToken, now time.Time) bool {
	age := now.Sub(t.FetchedAt)
	return s.renewAfter > 0 && (age < -renewGrace || age >= s.renewAfter+renewGrace)
}

// accepts reports whether a stored token spares us the fetch.
func (s *tokenState) accepts(token AppToken, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fresh(token, now) && !s.refused.is(token.Value)
}

// again gives a token that was fetched before it ended the end it had: some
// methods hand out the old one then, with a whole new life that it does not have.
func (s *tokenState) again(token AppToken, now time.Time) AppToken {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.is(token.Value) && s.token.alive(now) && s.token.ExpiresAt.Before(token.ExpiresAt) {
		token.ExpiresAt = s.token.ExpiresAt
	}
	return token
}

func (s *tokenState) keep(token AppToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.failure = &token, failure{}
}

func (s *tokenState) failed(err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure.add(err, now, s.pause)
}

// drop forgets the token if it is the refused one; see TokenSource.Drop.
func (s *tokenState) drop(refused Secret, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.token.is(refused) {
		return true
	}
	if !s.drops.allow(now) {
		return false
	}
	s.twice = s.refused.is(refused)
	s.refused, s.token = s.token, nil
	return true
}

func (t *AppToken) is(value Secret) bool { return t != nil && t.Value == value }

// mayForce reports whether the next fetch should end the token that WeChat hands
// out and refuses, and counts it as done.
func (s *tokenState) mayForce(now time.Time) bool {
	const between = 2 * time.Hour
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.twice || !s.forcedAt.IsZero() && now.Sub(s.forcedAt) < between {
		return false
	}
	s.twice, s.forcedAt = false, now
	return true
}

// failure is the memory of fetches that failed, so that a WeChat in trouble, or
// a used-up quota, is not asked by every caller in turn.
type failure struct {
	err   error
	count int // one after the other
	at    time.Time
	until time.Time
}

// holds reports whether it is too early to try again. A clock that went back
// ends it, lest it hold for the hours that the clock went back.
func (f failure) holds(now time.Time) bool {
	return f.err != nil && !now.Before(f.at) && now.Before(f.until)
}

func (f *failure) add(err error, now time.Time, pause func(error, int) time.Duration) {
	f.err, f.at = err, now
	f.count++
	if pause != nil {
		f.until = now.Add(pause(err, f.count))
		return
	}
	f.until = now.Add(f.pause(now))
}

// pause is the time to wait after the error (wechat-protocol §11, retry
// guidance).
func (f failure) pause(now time.Time) time.Duration {
	const (
		daily    = 10 * time.Minute // a quota ends with the day, or when an operator clears it
		settings = 10 * time.Second // somebody is mending them, and watches
		busy     = 500 * time.Millisecond
		longest  = 15 * time.Second
	)
	e, ok := errors.AsType[*Error](f.err)
	switch {
	case ok && e.Code == 45009:
		return daily
	case errors.Is(f.err, ErrRateLimited):
		return now.Truncate(time.Minute).Add(time.Minute).Sub(now)
	case !errors.Is(f.err, ErrBusy):
		return settings
	}
	return min(busy<<min(f.count-1, 8), longest)
}

// dropAfter is how long drop will not let go of the token.
func (s *tokenState) dropAfter(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drops.left(now)
}

// pace keeps a token that is refused again and again from being fetched without
// end: the first fetch at once, the next after 10 seconds, then ever later. In a
// fight with another system a token lives five minutes (wechat-protocol §2.1),
// longer than the longest wait.
type pace struct {
	last time.Time
	wait time.Duration
}

func (p *pace) allow(now time.Time) bool {
	const shortest, longest = 10 * time.Second, 4 * time.Minute
	if p.left(now) > 0 {
		return false
	}
	since := now.Sub(p.last)
	if since < 0 || since > longest {
		p.wait = 0
	}
	p.last, p.wait = now, min(max(2*p.wait, shortest), longest)
	return true
}

// left is how long allow will say no; 0 after a clock has gone back.
func (p *pace) left(now time.Time) time.Duration {
	if since := now.Sub(p.last); 0 <= since && since < p.wait {
		return p.wait - since
	}
	return 0
}
