package jwtauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"wxbridge/jwtauth"
)

// cached is a verifier that remembers, with a clock and revocations to change.
type cached struct {
	*world
	clock    *clock
	revoked  *jwtauth.RevocationSet
	verifier *jwtauth.Verifier
}

func newCached(t testing.TB, w *world, keys jwtauth.KeySource) *cached {
	t.Helper()
	c := &cached{world: w, clock: newClock()}
	c.revoked = jwtauth.NewRevocationSet(c.clock.Now)
	var err error
	c.verifier, err = jwtauth.NewVerifier(keys, jwtauth.Config{Issuer: issuer, Audience: audience,
		Now: c.clock.Now, Revoked: c.revoked.Revoked, CacheBytes: 1 << 20})
	must(t, err)
	return c
}

// know verifies a token until it is answered from memory.
func (c *cached) know(t testing.TB, raw string) {
	t.Helper()
	before := c.verifier.CacheStats()
	var got [2]jwtauth.Claims
	for i := range got {
		var err error
		got[i], err = c.verifier.Verify(background, raw)
		must(t, err)
	}
	after := c.verifier.CacheStats()
	if after.Hits != before.Hits+1 || after.Entries != before.Entries+1 || after.Bytes <= before.Bytes {
		t.Fatalf("not remembered: %+v, then %+v", before, after)
	}
	if got[0] != got[1] {
		t.Fatalf("claims from memory are %+v, want %+v", got[1], got[0])
	}
}

func (c *cached) expect(t testing.TB, raw string, want error, entries int) {
	t.Helper()
	claims, err := c.verifier.Verify(background, raw)
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Fatalf("got %v, want %v", err, want)
	}
	if err != nil && claims != (jwtauth.Claims{}) {
		t.Error("a refused token gave claims")
	}
	if n := c.verifier.CacheStats().Entries; n != entries {
		t.Errorf("%d entries, want %d", n, entries)
	}
}

func TestCacheEveryHitAsksTheClock(t *testing.T) {
	w := newWorld(t)
	c := newCached(t, w, w.keys)
	raw := w.accessToken(t)
	c.know(t, raw)
	c.clock.advance(2*time.Hour + 4*time.Second)
	c.expect(t, raw, nil, 1) // within the leeway
	c.clock.advance(time.Second)
	_, err := c.verifier.Verify(background, raw)
	var expired *jwtauth.ExpiredError
	if !errors.As(err, &expired) || !expired.ExpiredAt.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("at exp and leeway: %v", err)
	}
	c.expect(t, raw, jwtauth.ErrInvalid, 0)

	again := w.sign(t, goodHeader().String(), goodClaims().with(`exp`, seconds(noon.Add(4*time.Hour))).with(`nbf`, seconds(noon.Add(2*time.Hour))).String())
	c.know(t, again)
	c.clock.advance(-time.Minute) // a clock that was set back stands before nbf
	c.expect(t, again, jwtauth.ErrInvalid, 0)
}

func TestTOK10_CacheEveryHitAsksTheRevocations(t *testing.T) {
	w := newWorld(t)
	c := newCached(t, w, w.keys)
	raw := w.accessToken(t)
	c.know(t, raw)
	c.revoked.RevokeSession("session-1", noon.Add(2*time.Hour))
	c.expect(t, raw, jwtauth.ErrInvalid, 0)
	c.expect(t, raw, jwtauth.ErrInvalid, 0)
}

func TestCacheEveryHitAsksTheKey(t *testing.T) {
	other := func(id string) jwtauth.Key {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		return signingKey(t, id, private)
	}
	for _, row := range []struct {
		name    string
		replace func(w *world) error
		want    error
	}{
		{"the key is gone", func(w *world) error { return w.keys.Replace(other("key-2")) }, jwtauth.ErrInvalid},
		{"another key has its id", func(w *world) error { return w.keys.Replace(other(kid)) }, jwtauth.ErrInvalid},
		{"another kind of key has its id", func(w *world) error {
			_, private, err := ed25519.GenerateKey(rand.Reader)
			must(t, err)
			return w.keys.Replace(signingKey(t, kid, private))
		}, jwtauth.ErrInvalid},
		{"the key verifies on beside a new one", func(w *world) error {
			return w.keys.Replace(other("key-2"), signingKey(t, kid, w.private))
		}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			c := newCached(t, w, w.keys)
			raw := w.accessToken(t)
			c.know(t, raw)
			must(t, row.replace(w))
			hits := c.verifier.CacheStats().Hits
			if row.want != nil {
				c.expect(t, raw, row.want, 0)
				return
			}
			for range 2 {
				c.expect(t, raw, nil, 1)
			}
			if now := c.verifier.CacheStats().Hits; now != hits+2 {
				t.Errorf("the same key read anew costs hits: %d, want %d", now, hits+2)
			}
		})
	}
}

func TestCacheOverARemoteKeySet(t *testing.T) {
	w := newWorld(t)
	b := &bridge{}
	b.publish(w.keys, "max-age=600")
	server := httptest.NewServer(b)
	defer server.Close()
	c := newCached(t, w, nopKeys{})
	remote, err := jwtauth.NewRemoteKeySet(server.URL, jwtauth.RemoteOptions{HTTP: server.Client(), Now: c.clock.Now, MaxStale: time.Minute})
	must(t, err)
	c.verifier, err = jwtauth.NewVerifier(remote, jwtauth.Config{Issuer: issuer, Audience: audience, Now: c.clock.Now, CacheBytes: 1 << 20})
	must(t, err)
	raw := w.accessToken(t)
	c.know(t, raw)
	if n := b.fetches.Load(); n != 1 {
		t.Errorf("%d fetches for two verifications", n)
	}
	b.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	c.clock.advance(12 * time.Minute) // past max-age and MaxStale: nothing is known about the key
	c.expect(t, raw, jwtauth.ErrUnavailable, 1)
	b.publish(w.keys, "max-age=600")
	c.clock.advance(time.Minute)
	c.expect(t, raw, nil, 1) // the fetched key is the same
	fresh, err := jwtauth.GenerateKey(jwtauth.ES256)
	must(t, err)
	must(t, w.keys.Replace(fresh))
	c.clock.advance(11 * time.Minute)
	c.expect(t, raw, jwtauth.ErrInvalid, 0) // withdrawn
}

type nopKeys struct{}

func (nopKeys) Key(context.Context, string) (jwtauth.Key, error) {
	return jwtauth.Key{}, jwtauth.ErrUnknownKey
}

func TestCacheKnowsATokenByItsWholeText(t *testing.T) {
	w := newWorld(t)
	c := newCached(t, w, w.keys)
	raw := w.accessToken(t)
	c.know(t, raw)
	for i := range len(raw) {
		changed := []byte(raw)
		if changed[i] ^= 1; changed[i] == raw[i] {
			continue
		}
		if _, err := c.verifier.Verify(background, string(changed)); !errors.Is(err, jwtauth.ErrInvalid) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for _, near := range []string{"", raw[1:], raw[:len(raw)-1], raw + "A", " " + raw, raw + ".", strings.ToUpper(raw)} {
		if _, err := c.verifier.Verify(background, near); !errors.Is(err, jwtauth.ErrInvalid) {
			t.Errorf("%.20q…: %v", near, err)
		}
	}
	if n := c.verifier.CacheStats().Entries; n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestCacheHoldsNoMoreThanItIsAllowed(t *testing.T) {
	w := newWorld(t)
	const allowed = 1 << 20
	c := newCached(t, w, w.keys)
	hot := w.accessToken(t)
	for i := range 3000 {
		session := login()
		session.OpenID = fmt.Sprintf("o%027d", i)
		raw, _, err := w.issuer.AccessToken(session)
		must(t, err)
		for _, token := range []string{raw, hot} {
			if _, err := c.verifier.Verify(background, token); err != nil {
				t.Fatal(err)
			}
		}
	}
	stats := c.verifier.CacheStats()
	if stats.Bytes > allowed || stats.Bytes < allowed*3/4 || stats.Entries > allowed/512 {
		t.Errorf("%+v of %d bytes", stats, allowed)
	}
	// What is used all the time outlives any number of tokens that are used once.
	if misses := stats.Misses - 3001; stats.Hits < 2990 || misses > 10 {
		t.Errorf("a token in use was pushed out: %+v", stats)
	}
}

// A bad token says nothing about the size of the cache, however often it comes.
func TestCacheCountsGoodTokensOnly(t *testing.T) {
	w := newWorld(t)
	c := newCached(t, w, w.keys)
	good := w.accessToken(t)
	c.know(t, good)
	before := c.verifier.CacheStats()
	for _, bad := range []string{good[:len(good)-8] + "AAAAAAAA", "a.b.c", ""} {
		for range 3 {
			if _, err := c.verifier.Verify(background, bad); err == nil {
				t.Errorf("%q is good", bad)
			}
		}
	}
	if after := c.verifier.CacheStats(); after != before || before.Hits != 1 || before.Misses != 1 {
		t.Errorf("%+v, after bad ones %+v", before, after)
	}
}

// The bytes a cache is allowed are what it really takes.
func TestCacheCountsItsMemoryHonestly(t *testing.T) {
	w := newWorld(t)
	const allowed = 8 << 20
	v, err := jwtauth.NewVerifier(w.keys, jwtauth.Config{Issuer: issuer, Audience: audience, Now: atNoon, CacheBytes: allowed})
	must(t, err)
	before := heap()
	for i := range 8000 {
		session := login()
		session.Subject = fmt.Sprintf("01890000-0000-7000-8000-%012d", i)
		session.OpenID = fmt.Sprintf("o%027d", i)
		raw, _, err := w.issuer.AccessToken(session)
		must(t, err)
		_, err = v.Verify(background, strings.Repeat(" ", 4000)[:0]+raw)
		must(t, err)
	}
	grown := heap() - before
	stats := v.CacheStats()
	t.Logf("%d entries, %d bytes counted, %d bytes of heap", stats.Entries, stats.Bytes, grown)
	if grown > allowed*11/10 {
		t.Errorf("the heap grew by %d bytes for a cache of %d", grown, allowed)
	}
	runtime.KeepAlive(v)
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestCacheAHitAllocatesNothing(t *testing.T) {
	w := newWorld(t)
	c := newCached(t, w, w.keys)
	raw := w.accessToken(t)
	c.know(t, raw)
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Header.Set("Cookie", "theme=dark; session="+raw+"; lang=zh")
	for name, verify := range map[string]func() error{
		"Verify":        func() error { _, err := c.verifier.Verify(background, raw); return err },
		"VerifyRequest": func() error { _, _, err := c.verifier.VerifyRequest(request, "session"); return err },
	} {
		if n := testing.AllocsPerRun(100, func() { must(t, verify()) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestCacheIsOffUnlessAskedFor(t *testing.T) {
	w := newWorld(t)
	v, err := jwtauth.NewVerifier(w.keys, jwtauth.Config{Issuer: issuer, Audience: audience, Now: atNoon})
	must(t, err)
	raw := w.accessToken(t)
	for range 2 {
		_, err := v.Verify(background, raw)
		must(t, err)
	}
	if stats := v.CacheStats(); stats != (jwtauth.CacheStats{}) {
		t.Errorf("%+v", stats)
	}
	if _, err := jwtauth.NewVerifier(w.keys, jwtauth.Config{Issuer: issuer, Audience: audience, CacheBytes: -1}); err == nil {
		t.Error("a negative size is taken")
	}
}

func TestTOK11_VerifyRequestJudgesAsTokenFromRequestDoes(t *testing.T) {
	w := newWorld(t)
	c := newCached(t, w, w.keys)
	raw := w.accessToken(t)
	for round := range 2 { // the second time the token is known
		for _, row := range []struct {
			name   string
			header http.Header
			source jwtauth.Source
			want   error
		}{
			{"nothing", http.Header{}, jwtauth.SourceNone, jwtauth.ErrNoToken},
			{"Bearer", http.Header{"Authorization": {"bearer  " + raw}}, jwtauth.SourceBearer, nil},
			{"cookie", http.Header{"Cookie": {"a=b; session=" + raw}}, jwtauth.SourceCookie, nil},
			{"another scheme beside a cookie", http.Header{"Authorization": {"Basic eA=="}, "Cookie": {"session=" + raw}}, jwtauth.SourceCookie, nil},
			{"a bad Bearer header beside a good cookie", http.Header{"Authorization": {"Bearer x y"}, "Cookie": {"session=" + raw}}, jwtauth.SourceBearer, jwtauth.ErrInvalid},
			{"an empty Bearer header beside a good cookie", http.Header{"Authorization": {"Bearer"}, "Cookie": {"session=" + raw}}, jwtauth.SourceBearer, jwtauth.ErrInvalid},
			{"two Bearer headers", http.Header{"Authorization": {"Bearer " + raw, "Bearer " + raw}}, jwtauth.SourceBearer, jwtauth.ErrInvalid},
			{"a long Bearer header", http.Header{"Authorization": {"Bearer " + strings.Repeat("a", 9000)}}, jwtauth.SourceBearer, jwtauth.ErrInvalid},
			{"WEB-04 the cookie twice", http.Header{"Cookie": {"session=" + raw + "; session=" + raw}}, jwtauth.SourceNone, jwtauth.ErrNoToken},
			{"WEB-04 the cookie in two headers", http.Header{"Cookie": {"session=" + raw, "session=" + raw}}, jwtauth.SourceNone, jwtauth.ErrNoToken},
			{"WEB-04 a quoted cookie", http.Header{"Cookie": {`session="` + raw + `"`}}, jwtauth.SourceNone, jwtauth.ErrNoToken},
			{"WEB-04 a long cookie", http.Header{"Cookie": {"session=" + strings.Repeat("a", 9000)}}, jwtauth.SourceNone, jwtauth.ErrNoToken},
			{"WEB-04 an empty cookie, then the good one of the other name", http.Header{"Cookie": {"session=; old=" + raw}}, jwtauth.SourceNone, jwtauth.ErrNoToken},
			{"the second name", http.Header{"Cookie": {"old=" + raw}}, jwtauth.SourceCookie, nil},
		} {
			_, source, err := c.verifier.VerifyRequest(&http.Request{Header: row.header}, "session", "old")
			if source != row.source || !errors.Is(err, row.want) || row.want == nil && err != nil {
				t.Errorf("round %d, %s: %v %v, want %v %v", round, row.name, source, err, row.source, row.want)
			}
			found, foundSource, findErr := jwtauth.TokenFromRequest(&http.Request{Header: row.header}, "session", "old")
			if foundSource != source || (found == raw) != (err == nil) || (findErr != nil) != errors.Is(err, jwtauth.ErrInvalid) {
				t.Errorf("%s: TokenFromRequest judges otherwise: %v %v", row.name, foundSource, findErr)
			}
		}
	}
}

// Verifications, a rotation and revocations at once; the race detector watches.
func TestCacheUnderRotationAndRevocation(t *testing.T) {
	w := newWorld(t)
	c := newCached(t, w, w.keys)
	var tokens []string
	for i := range 64 {
		session := login()
		session.SessionID = fmt.Sprint("session-", i)
		raw, _, err := w.issuer.AccessToken(session)
		must(t, err)
		tokens = append(tokens, raw)
	}
	old := signingKey(t, kid, w.private)
	var wait sync.WaitGroup
	for start := range 4 {
		wait.Go(func() {
			for i := range 4000 {
				n := (start*17 + i) % 64
				_, err := c.verifier.Verify(background, tokens[n])
				if n%2 == 0 && err != nil { // even sessions are never revoked
					t.Errorf("token %d: %v", n, err)
					return
				}
			}
		})
	}
	for i := range 32 {
		next, err := jwtauth.GenerateKey(jwtauth.ES256)
		must(t, err)
		must(t, w.keys.Replace(next, old))
		c.revoked.RevokeSession(fmt.Sprint("session-", 2*i+1), noon.Add(2*time.Hour))
		if _, err := c.verifier.Verify(background, tokens[2*i+1]); !errors.Is(err, jwtauth.ErrInvalid) {
			t.Errorf("just revoked: %v", err)
		}
	}
	wait.Wait()
}

func TestReadIDToken(t *testing.T) {
	w := newWorld(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	clock := newClock()
	i, err := jwtauth.NewIssuer(w.keys, jwtauth.IssuerConfig{Issuer: issuer, Audience: audience, ClientID: clientID,
		TTL: 2 * time.Hour, CacheBytes: 1 << 20, Now: clock.Now})
	must(t, err)
	raw, err := i.IDToken(jwtauth.IDClaims{Subject: "fan-1", AuthTime: noon, Nickname: "小红"})
	must(t, err)
	for range 2 {
		c, err := i.ReadIDToken(background, raw)
		if err != nil || c.Subject != "fan-1" || c.Nickname != "小红" || c.Picture != "" || !c.ExpiresAt.Equal(noon.Add(2*time.Hour)) {
			t.Fatalf("%+v %v", c, err)
		}
	}
	if stats := i.ReadIDTokenStats(); stats.Hits != 1 || stats.Entries != 1 {
		t.Errorf("%+v", stats)
	}
	header := fields{{`alg`, `"ES256"`}, {`kid`, `"key-1"`}, {`typ`, `"JWT"`}}
	claims := fields{{`iss`, `"` + issuer + `"`}, {`sub`, `"fan-1"`}, {`aud`, `"wxbridge"`}, {`exp`, seconds(noon.Add(time.Hour))},
		{`iat`, seconds(noon)}, {`auth_time`, seconds(noon)}, {`nickname`, `"x"`}}
	if _, err := i.ReadIDToken(background, w.sign(t, header.String(), claims.String())); err != nil {
		t.Fatalf("the token that the bad ones differ from: %v", err)
	}
	known := i.ReadIDTokenStats().Entries
	for name, bad := range map[string]string{
		"TOK-06 the access token": w.accessToken(t),
		"another issuer":          w.sign(t, header.String(), claims.with(`iss`, `"https://evil.example"`).String()),
		"another audience":        w.sign(t, header.String(), claims.with(`aud`, `"`+audience+`"`).String()),
		"no subject":              w.sign(t, header.String(), claims.without(`sub`).String()),
		"a number for a name":     w.sign(t, header.String(), claims.with(`nickname`, `1`).String()),
		"expired":                 w.sign(t, header.String(), claims.with(`exp`, seconds(noon.Add(-time.Hour))).String()),
		"issued in the future":    w.sign(t, header.String(), claims.with(`iat`, seconds(noon.Add(time.Hour))).String()),
		"another key":             signWith(t, jwt.SigningMethodRS256, rsaKey, header.String(), claims.String()),
		"crit":                    w.sign(t, header.with(`crit`, `["b64"]`).String(), claims.String()),
		"empty":                   "",
	} {
		if c, err := i.ReadIDToken(background, bad); !errors.Is(err, jwtauth.ErrInvalid) || c != (jwtauth.IDClaims{}) {
			t.Errorf("%s: %+v %v", name, c, err)
		}
	}
	if now := i.ReadIDTokenStats().Entries; now != known {
		t.Errorf("%d entries, %d before the bad ones", now, known)
	}
	clock.advance(3 * time.Hour)
	if _, err := i.ReadIDToken(background, raw); !errors.Is(err, jwtauth.ErrInvalid) {
		t.Errorf("a known token that expired: %v", err)
	}
}
