package wechat

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/singleflight"
)

// TokenSource keeps one token that WeChat or WeCom lends an app for a time: the
// part that [AppTokens] and [Tickets] share, for any other token of the kind. It
// is safe for concurrent use.
//
// A token is fetched when somebody first asks, and again a little before it
// ends: then those who ask meanwhile get the old one, which is still good. One
// fetch serves all who wait; a caller that gives up does not end it. A fetch
// that fails is not repeated for a moment (half a second, longer while WeChat
// stays away, and until the next minute or for ten minutes where a quota is used
// up); who asks in that time gets the same error, unless the old token still
// lives.
type TokenSource struct {
	config TokenSourceConfig
	store  TokenStore // nil: none
	flight *singleflight.Group
	state  *tokenState
}

// TokenSourceConfig says what a [TokenSource] keeps. Key, Op, Fetch and
// FetchTimeout are required.
type TokenSourceConfig struct {
	// Key names the token in the store, where each has another one: the appid for
	// an app token, "jsapi:" and the appid for its ticket.
	Key string
	// Op names the remote method in errors, such as "cgi-bin/stable_token".
	Op string

	// Fetch asks for the token. It returns when ctx ends, which is FetchTimeout
	// after the call and has nothing to do with who waits. force is true if WeChat
	// gave a token, refused it, gave it again and refused it again; that is once in
	// two hours at most. What it returns lives: Value is not empty and ExpiresAt is
	// to come.
	Fetch        func(ctx context.Context, force bool) (AppToken, error)
	FetchTimeout time.Duration

	// RenewAfter, if not 0, is the age at which another token is fetched, however
	// long this one has to live. Who asks within a minute after that still gets the
	// old one; later everybody waits for the new one, and gets the old one only if
	// the fetch fails.
	RenewAfter time.Duration

	// Refused reports whether an error means that the token is not valid any more;
	// nil is for WeChat's 40001, 40014 and 42001 in an [*Error].
	Refused func(error) bool

	// Pause is how long nobody asks after a fetch that failed, failed times in a row;
	// nil is for WeChat's quotas. Who asks in that time gets err.
	Pause func(err error, failed int) time.Duration

	Now         func() time.Time // default time.Now
	Store       TokenStore       // spares a restart and other processes the fetch; may be nil
	StoreFailed func(error)      // is told when the store does not work; may be nil
}

const (
	// stable_token hands out the old token until its last five minutes (§2.2);
	// asking before that gains nothing.
	renewEarly = 4 * time.Minute

	renewGrace = time.Minute // in which an aged token is handed out while the next one is fetched

	leaseMargin = 3 * time.Second       // for what the store does around a fetch
	storePoll   = 50 * time.Millisecond // how often a process looks for another's token
)

// NewTokenSource returns a source, or an error that says what c lacks. It does
// no I/O.
func NewTokenSource(c TokenSourceConfig) (*TokenSource, error) {
	switch {
	case c.Key == "" || c.Op == "" || c.Fetch == nil:
		return nil, errors.New("wechat: a source of tokens needs a key, an op and a fetch")
	case c.FetchTimeout <= 0 || c.RenewAfter < 0:
		return nil, fmt.Errorf("wechat: the source of %s needs a FetchTimeout above 0 and no negative RenewAfter", c.Key)
	}
	if c.Refused == nil {
		c.Refused = refusesToken
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &TokenSource{config: c, flight: new(singleflight.Group), state: &tokenState{renewAfter: c.RenewAfter, pause: c.Pause}}
	if c.Store != nil {
		s.store = boundedStore{c.Store}
	}
	return s, nil
}

// Format prints the key, whatever the verb: the rest is in motion.
func (s TokenSource) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "tokens of "+s.config.Key) }

// Token returns a token that lives, by our clock. WeChat may have ended it
// early all the same: [TokenSource.Do] copes with that. Where there is none yet it
// waits for the fetch, or for that of another process on the same store, as long
// as ctx allows.
func (s *TokenSource) Token(ctx context.Context) (AppToken, error) {
	now := s.config.Now()
	token, renew, err := s.state.look(now)
	if err != nil {
		return AppToken{}, err
	}
	if !renew {
		return token, nil
	}
	done := s.flight.DoChan("", func() (any, error) { return s.renew() })
	if token.Value != "" && !s.state.overdue(token, now) {
		return token, nil // good for some minutes yet: nobody waits for the next one
	}
	select {
	case r := <-done:
		if r.Err == nil {
			return r.Val.(AppToken), nil
		}
		err = r.Err
	case <-ctx.Done():
		err = late(s.config.Op)
		if errors.Is(ctx.Err(), context.Canceled) {
			return AppToken{}, cancelled(s.config.Op)
		}
	}
	if token.Value != "" {
		return token, nil
	}
	return AppToken{}, err
}

// Do runs use with the token. If use fails because the token is not accepted (an
// [*Error] with code 40001, 40014 or 42001, unless the source was told
// otherwise), exactly that token is dropped and use runs once more with the next
// one; never a third time. WeChat looks at the token before anything else, so a
// call that was refused for it has spent no code (§2.4).
//
// WeChat ends an app's token early when somebody else fetches from
// cgi-bin/token, or forces a refresh of stable_token. Asking stable_token plainly
// then gives the one that took its place. Should it give the refused one again,
// and that be refused again, the next fetch forces a refresh, which WeChat grants
// 20 times a day; we ask once in two hours at most.
//
// A token that is refused as soon as it is fetched is not replaced at once each
// time: first after 10 seconds, then after ever longer up to 4 minutes, so that
// no fault, ours or WeChat's, can eat a day's quota. Until then the error is that
// of use.
func (s *TokenSource) Do(ctx context.Context, use func(ctx context.Context, token Secret) error) error {
	token, err := s.Token(ctx)
	if err != nil {
		return err
	}
	err = use(ctx, token.Value)
	if !s.config.Refused(err) || !s.Drop(token.Value) {
		return err
	}
	if token, err = s.Token(ctx); err != nil {
		return err
	}
	return use(ctx, token.Value)
}

// Drop says that WeChat refused a token, as [TokenSource.Do] does by itself. If it
// is the one we hold, nobody gets it again, unless WeChat itself gives it again;
// if it has been replaced meanwhile, nothing happens. Drop reports whether Token
// would now give another one: not if tokens are refused faster than it is wise to
// fetch them.
func (s *TokenSource) Drop(refused Secret) bool { return s.state.drop(refused, s.config.Now()) }

// DropAfter is how long Drop will still report false of the token we hold.
func (s *TokenSource) DropAfter() time.Duration { return s.state.dropAfter(s.config.Now()) }

// refusesToken reports whether err is WeChat's word that the app token is not
// valid any more (§2.4).
func refusesToken(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Code == 40001 || e.Code == 40014 || e.Code == 42001)
}

// renew is run by one caller at a time, detached from any of them.
func (s *TokenSource) renew() (AppToken, error) {
	token, renew, err := s.state.look(s.config.Now())
	if err != nil || !renew {
		return token, err // somebody else got it, or failed, between the question and now
	}
	if token, err = s.obtain(); err != nil {
		s.state.failed(err, s.config.Now())
		return AppToken{}, err
	}
	s.state.keep(token)
	return token, nil
}

// obtain takes the token from the store if a good one is there, and else
// fetches it, one process at a time. Each step has a time limit of its own.
func (s *TokenSource) obtain() (AppToken, error) {
	if s.store == nil {
		return s.fetch()
	}
	owner := rand.Text()
	token, err := s.await(owner)
	if err != nil {
		s.failing(err)
		return s.fetch()
	}
	if token.Value != "" {
		return token, nil
	}
	defer s.unlock(owner)
	if token, err = s.fetch(); err == nil {
		s.failing(s.store.Save(context.Background(), s.config.Key, owner, token))
	}
	return token, err
}

// await returns the stored token once it is good, or none when the lock has
// become ours. It outwaits the lease of a holder that died.
func (s *TokenSource) await(owner string) (AppToken, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.lease()+leaseMargin)
	defer cancel()
	locked := false
	for {
		token, err := s.store.Load(ctx, s.config.Key)
		good := err == nil && s.state.accepts(token, s.config.Now())
		if locked && (good || err != nil) {
			s.unlock(owner)
		}
		switch {
		case good:
			return token, nil
		case err != nil || locked:
			return AppToken{}, err
		}
		if locked, err = s.store.Lock(ctx, s.config.Key, owner, s.lease()); err != nil {
			return AppToken{}, err
		}
		if locked {
			continue // look again: the holder before us may have saved in between
		}
		select {
		case <-time.After(storePoll):
		case <-ctx.Done():
			return AppToken{}, ctx.Err()
		}
	}
}

// lease is how long a fetch may hold the lock: the time of the call, and some for
// the store.
func (s *TokenSource) lease() time.Duration { return s.config.FetchTimeout + leaseMargin }

func (s *TokenSource) unlock(owner string) {
	s.failing(s.store.Unlock(context.Background(), s.config.Key, owner))
}

func (s *TokenSource) failing(err error) {
	if err != nil && s.config.StoreFailed != nil {
		s.config.StoreFailed(err)
	}
}

// fetch asks WeChat.
func (s *TokenSource) fetch() (AppToken, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.FetchTimeout)
	defer cancel()
	now := s.config.Now()
	token, err := s.config.Fetch(ctx, s.state.mayForce(now))
	if err != nil {
		return AppToken{}, err
	}
	return s.state.again(token, now), nil
}
