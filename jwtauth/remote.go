package jwtauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	maxJWKSBytes = 1 << 20

	defaultMaxAge = 10 * time.Minute // where the answer names none
	minMaxAge     = time.Minute
	maxMaxAge     = time.Hour // how long a withdrawn key may stay trusted
)

// RemoteKeySet takes its keys from a JWK Set on an HTTP server. It is safe for
// concurrent use, keeps no goroutine, and needs no closing.
//
// The set is fetched at the first question. It is good for its max-age, less its
// Age (10 minutes if it names none, never under a minute or over an hour), and is
// fetched again behind the back of the requests of the last fifth of that time:
// a service that is in use never waits for its keys. A key that is withdrawn,
// such as a stolen one, is refused once that time is over, at the latest.
//
// A token that names an unknown kid has the set fetched at once, and waits for
// it: a bridge may sign with a key that nobody has seen yet. A few such fetches
// may follow each other, and in the long run there is one a
// RemoteOptions.MinInterval, however many ask and whatever kids they make up.
// One fetch serves all who wait, and a caller that gives up does not end it.
//
// An answer that is no JWK Set, or has keys but none that can be used, is a
// failed fetch and replaces nothing. While fetches fail, the last keys are used on
// for RemoteOptions.MaxStale after their time, there is one attempt a MinInterval,
// and nobody waits for it; after that the answer is an error.
type RemoteKeySet struct {
	url    string
	client *http.Client
	o      RemoteOptions

	group      singleflight.Group
	background atomic.Bool   // a fetch nobody waits for is under way
	begun      atomic.Uint64 // fetches begun so far
	current    atomic.Pointer[remoteState]
}

// RemoteOptions tune a [RemoteKeySet]; the zero value is right for most.
type RemoteOptions struct {
	// HTTP makes the requests; redirects to other origins are refused in any case.
	// Nil means a client of its own: TLS 1.2 or later, no proxy from the environment.
	HTTP *http.Client

	Timeout     time.Duration // of one fetch as a whole; default 5 s
	MinInterval time.Duration // between two fetches, in the long run; default 10 s
	MaxStale    time.Duration // use of keys past their max-age while fetches fail; default 1 h

	Now func() time.Time // time.Now if nil
}

// remoteState is what is known after an attempt to fetch; it is never changed.
type remoteState struct {
	keys        map[string]Key // nil: never fetched
	refreshAt   time.Time      // from here on a fetch is worth while
	freshUntil  time.Time
	number      uint64    // of the last attempt: how many had begun
	attemptedAt time.Time // the end of the last attempt
	paidUntil   time.Time // where one fetch a MinInterval would stand by now
	err         error     // of the last attempt
}

// NewRemoteKeySet checks the address and does no I/O. The address is https, or
// http on a loopback host.
func NewRemoteKeySet(jwksURL string, o RemoteOptions) (*RemoteKeySet, error) {
	u, err := url.Parse(jwksURL)
	if err != nil {
		return nil, errors.New("jwtauth: address of the JWK Set is not a URL")
	}
	if u.Host == "" || u.User != nil || u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return nil, errors.New("jwtauth: address of the JWK Set must be https, or http on a loopback host")
	}
	if o.Timeout < 0 || o.MinInterval < 0 || o.MaxStale < 0 {
		return nil, errors.New("jwtauth: times of a remote key set must not be negative")
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.MinInterval == 0 {
		o.MinInterval = 10 * time.Second
	}
	if o.MaxStale == 0 {
		o.MaxStale = time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &RemoteKeySet{url: u.String(), client: jwksClient(o.HTTP, u), o: o}
	r.current.Store(&remoteState{})
	return r, nil
}

// Key returns the key with exactly this id. A kid that the set does not have is
// [ErrUnknownKey]; any other error says that the set cannot be had, or that ctx
// ended first.
func (r *RemoteKeySet) Key(ctx context.Context, kid string) (Key, error) {
	s, now := r.current.Load(), r.o.Now()
	key, known := s.keys[kid]
	if known && (s.fresh(now) || s.failing(now) && r.usable(s, now)) {
		r.refetchInBackground(s, now)
		return key, nil
	}
	s, err := r.wait(ctx, kid)
	if err != nil {
		return Key{}, err
	}
	key, known = s.keys[kid]
	switch {
	case !r.usable(s, r.o.Now()), !known && s.err != nil: // it may be a key that we failed to hear of
		return Key{}, fmt.Errorf("jwtauth: no keys: %w", s.err)
	case !known:
		return Key{}, ErrUnknownKey
	}
	return key, nil
}

// Ready fetches the keys if they are not known or past their time, and says why
// they cannot be had. Nothing needs it: it is for a service that wants to see a
// wrong address at its start, or in its readiness probe.
func (r *RemoteKeySet) Ready(ctx context.Context) error {
	s, now := r.current.Load(), r.o.Now()
	if !s.fresh(now) && !s.failing(now) {
		var err error
		if s, err = r.wait(ctx, ""); err != nil {
			return err
		}
	}
	if !r.usable(s, r.o.Now()) {
		return fmt.Errorf("jwtauth: no keys: %w", s.err)
	}
	return nil
}

// wait waits for a fetch that can have the answer, if one is due, and returns
// what is known then. A fetch under way when the question came may have been
// answered before the key was published, so there may be a second one.
func (r *RemoteKeySet) wait(ctx context.Context, kid string) (*remoteState, error) {
	begun := r.begun.Load()
	s := r.current.Load()
	for range 2 {
		if !r.due(s, r.o.Now()) {
			return s, nil
		}
		done := r.group.DoChan("", func() (any, error) { r.refetch(begun); return nil, nil })
		select {
		case <-done:
		case <-ctx.Done():
			return nil, fmt.Errorf("jwtauth: wait for keys: %w", ctx.Err())
		}
		s = r.current.Load()
		if _, known := s.keys[kid]; known && s.err == nil || s.number > begun {
			return s, nil
		}
	}
	return s, nil
}

func (s *remoteState) fresh(now time.Time) bool { return s.keys != nil && now.Before(s.freshUntil) }

// failing says that the server was in trouble a moment ago: there is no point in
// letting a request wait for the next attempt.
func (s *remoteState) failing(now time.Time) bool {
	return s.err != nil && now.Sub(s.attemptedAt) < time.Minute
}

func (r *RemoteKeySet) usable(s *remoteState, now time.Time) bool {
	return s.keys != nil && (s.err == nil || now.Before(s.freshUntil.Add(r.o.MaxStale)))
}

// burst is how many fetches may follow each other at once. Two suffice for one
// sudden change of keys; made-up kids may have used some up.
const burst = 4

// due says whether there may be a fetch now. A server in trouble is asked no
// sooner than MinInterval after the last attempt.
func (r *RemoteKeySet) due(s *remoteState, now time.Time) bool {
	if s.err != nil {
		return now.Sub(s.attemptedAt) >= r.o.MinInterval
	}
	return !s.paidUntil.After(now.Add((burst - 1) * r.o.MinInterval))
}

// refetchInBackground starts a fetch if it is time for one and none was started
// here. Nobody waits for it, so the many requests of a busy service pass by.
func (r *RemoteKeySet) refetchInBackground(s *remoteState, now time.Time) {
	if now.Before(s.refreshAt) || !r.due(s, now) || !r.background.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer r.background.Store(false)
		_, _, _ = r.group.Do("", func() (any, error) { r.refetch(s.number); return nil, nil })
	}()
}

// refetch is run by one caller at a time, detached from any of them. It leaves
// alone what a later fetch than number seen has brought.
func (r *RemoteKeySet) refetch(seen uint64) {
	old, begun := r.current.Load(), r.o.Now()
	if old.number > seen || !r.due(old, begun) {
		return
	}
	number := r.begun.Add(1)
	ctx, cancel := context.WithTimeout(context.Background(), r.o.Timeout)
	defer cancel()
	keys, maxAge, err := r.fetch(ctx)
	next := *old
	next.number, next.attemptedAt, next.err = number, r.o.Now(), err
	if next.paidUntil.Before(begun) {
		next.paidUntil = begun
	}
	next.paidUntil = next.paidUntil.Add(r.o.MinInterval)
	if err == nil {
		next.keys, next.refreshAt, next.freshUntil = keys, begun.Add(maxAge-maxAge/5), begun.Add(maxAge)
	}
	r.current.Store(&next)
}

func (r *RemoteKeySet) fetch(ctx context.Context) (keys map[string]Key, maxAge time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("jwtauth: fetch keys: %w", err)
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("jwtauth: fetch keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("jwtauth: fetch keys: status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxJWKSBytes+1))
	if err != nil {
		return nil, 0, fmt.Errorf("jwtauth: fetch keys: %w", err)
	}
	if len(body) > maxJWKSBytes {
		return nil, 0, fmt.Errorf("jwtauth: fetch keys: answer has more than %d bytes", maxJWKSBytes)
	}
	keys, err = decodeJWKS(body)
	return keys, maxAgeOf(resp.Header), err
}

// maxAgeOf reads Cache-Control and what Age says was used up on the way (RFC 9111
// §5.2.2, §5.1), within our bounds.
func maxAgeOf(h http.Header) time.Duration {
	age := defaultMaxAge
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch {
		case strings.EqualFold(name, "no-store"), strings.EqualFold(name, "no-cache"):
			return minMaxAge
		case strings.EqualFold(name, "max-age"):
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				age = time.Duration(seconds) * time.Second
			}
		}
	}
	if used, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		age -= time.Duration(used) * time.Second
	}
	return min(max(age, minMaxAge), maxMaxAge)
}

// jwksClient adds our rule for redirects to a copy of base.
func jwksClient(base *http.Client, origin *url.URL) *http.Client {
	client := http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 5 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
	}}
	if base != nil {
		client = *base
	}
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > 3 || req.URL.Scheme != origin.Scheme || req.URL.Host != origin.Host {
			return errors.New("redirect refused")
		}
		return nil
	}
	return &client
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
