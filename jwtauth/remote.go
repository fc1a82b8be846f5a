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
// concurrent use.
//
// The set is fetched at the first question and again when its max-age is over
// (10 minutes if it names none, never under a minute or over an hour) or when a
// token names an unknown kid, but never sooner than RemoteOptions.MinInterval
// after the last attempt, however many ask and whatever kids they make up. One
// fetch serves all who wait, and a caller that gives up does not end it.
//
// While fetches fail, the last keys are used on for RemoteOptions.MaxStale after
// their max-age, and nobody waits for an attempt; after that the answer is an
// error.
type RemoteKeySet struct {
	url    string
	client *http.Client
	o      RemoteOptions

	group   singleflight.Group
	current atomic.Pointer[remoteState]
}

// RemoteOptions tune a [RemoteKeySet]; the zero value is right for most.
type RemoteOptions struct {
	// HTTP makes the requests; redirects to other origins are refused in any case.
	// Nil means a client of its own: TLS 1.2 or later, no proxy from the environment.
	HTTP *http.Client

	Timeout     time.Duration // of one fetch as a whole; default 5 s
	MinInterval time.Duration // between two fetches; default 10 s
	MaxStale    time.Duration // use of keys past their max-age while fetches fail; default 1 h

	Now func() time.Time // time.Now if nil
}

// remoteState is what is known after an attempt to fetch; it is never changed.
type remoteState struct {
	keys        map[string]Key // nil: never fetched
	freshUntil  time.Time
	attemptedAt time.Time // the end of the last attempt
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
	switch {
	case known && s.fresh(now):
		return key, nil
	case known && s.err != nil && r.usable(s, now):
		// The server is known to be in trouble: go on with what we have, and let
		// nobody wait for the next attempt.
		if r.due(s, now) {
			r.group.DoChan("", r.refetch)
		}
		return key, nil
	case r.due(s, now):
		done := r.group.DoChan("", r.refetch)
		select {
		case <-done:
		case <-ctx.Done():
			return Key{}, fmt.Errorf("jwtauth: wait for keys: %w", ctx.Err())
		}
		s, now = r.current.Load(), r.o.Now()
	}
	if !r.usable(s, now) {
		return Key{}, fmt.Errorf("jwtauth: no keys: %w", s.err)
	}
	if key, known = s.keys[kid]; !known {
		return Key{}, ErrUnknownKey
	}
	return key, nil
}

func (s *remoteState) fresh(now time.Time) bool { return s.keys != nil && now.Before(s.freshUntil) }

func (r *RemoteKeySet) usable(s *remoteState, now time.Time) bool {
	return s.keys != nil && (s.err == nil || now.Before(s.freshUntil.Add(r.o.MaxStale)))
}

// due says whether the floor between fetches has been passed.
func (r *RemoteKeySet) due(s *remoteState, now time.Time) bool {
	return s.attemptedAt.IsZero() || now.Sub(s.attemptedAt) >= r.o.MinInterval
}

// refetch is run by one caller at a time, detached from any of them.
func (r *RemoteKeySet) refetch() (any, error) {
	old := r.current.Load()
	if !r.due(old, r.o.Now()) {
		return nil, nil // somebody fetched between the question and now
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.o.Timeout)
	defer cancel()
	keys, maxAge, err := r.fetch(ctx)
	now := r.o.Now()
	next := &remoteState{keys: keys, freshUntil: now.Add(maxAge), attemptedAt: now}
	if err != nil {
		next = &remoteState{keys: old.keys, freshUntil: old.freshUntil, attemptedAt: now, err: err}
	}
	r.current.Store(next)
	return nil, nil
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
	return keys, maxAgeOf(resp.Header.Get("Cache-Control")), err
}

// maxAgeOf reads Cache-Control (RFC 9111 §5.2.2) within our bounds.
func maxAgeOf(cacheControl string) time.Duration {
	age := defaultMaxAge
	for directive := range strings.SplitSeq(cacheControl, ",") {
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
