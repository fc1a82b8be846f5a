package jwtauth_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"wxbridge/jwtauth"
)

// fresh is a key of the algorithm, with a new id.
func freshKey(t testing.TB, alg string) jwtauth.Key {
	t.Helper()
	switch alg {
	case jwtauth.EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		must(t, err)
		return signingKey(t, "ed-"+rand.Text(), private)
	case jwtauth.RS256:
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		must(t, err)
		return signingKey(t, "rsa-"+rand.Text(), private)
	default:
		key, err := jwtauth.GenerateKey(jwtauth.ES256)
		must(t, err)
		return key
	}
}

// movingClock is the real time, shifted at will.
type movingClock struct{ offset atomic.Int64 }

func (c *movingClock) Now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *movingClock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// A bridge rotates under load, from one algorithm to another and back, the way it promises to: a key is published one
// max-age before it signs, and stays until its last token has expired. Then twice more in the two ways it does not:
// signing with a key that nobody has seen. Nobody who checks offline refuses a single token. (KEY-04)
func TestKEY04_RotationUnderLoadFailsNoVerification(t *testing.T) {
	total := int64(20_000)
	if os.Getenv("WXBRIDGE_TEST_SOAK") == "1" {
		total = 100_000
	}
	c := &movingClock{}
	first := freshKey(t, jwtauth.ES256)
	keys, err := jwtauth.NewKeySet(first)
	must(t, err)
	bridge, err := jwtauth.NewIssuer(keys, jwtauth.IssuerConfig{Issuer: issuer, Audience: audience, ClientID: clientID, TTL: 2 * time.Hour, Now: c.Now})
	must(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		_, _ = w.Write(keys.JWKS())
	}))
	defer server.Close()

	var done, failed atomic.Int64
	ctx, stop := context.WithCancel(background)
	var services sync.WaitGroup
	defer services.Wait()
	defer stop()
	for range 2 { // services that know the bridge by its address only
		remote, err := jwtauth.NewRemoteKeySet(server.URL, jwtauth.RemoteOptions{Now: c.Now})
		must(t, err)
		v, err := jwtauth.NewVerifier(remote, jwtauth.Config{Issuer: issuer, Audience: audience, Now: c.Now})
		must(t, err)
		services.Go(func() {
			var old string
			var oldExpires time.Time
			for i := 0; ctx.Err() == nil; i++ {
				a := login()
				a.AuthTime = c.Now()
				raw, claims, err := bridge.AccessToken(a)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := v.Verify(background, raw); err != nil && failed.Add(1) < 10 {
					t.Errorf("a new token: %v", err)
				}
				if old != "" {
					if _, err := v.Verify(background, old); err != nil && c.Now().Before(oldExpires) && failed.Add(1) < 10 {
						t.Errorf("a token with %v to live: %v", oldExpires.Sub(c.Now()), err)
					}
				}
				done.Add(2)
				if i%100 == 0 && !c.Now().Before(oldExpires) {
					old, oldExpires = raw, claims.ExpiresAt
				}
			}
		})
	}

	signing := first
	step := total / 6
	reach := func(n int64) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); done.Load() < n; {
			if time.Now().After(deadline) || t.Failed() {
				t.Fatalf("%d verifications, %d of them failed", done.Load(), failed.Load())
			}
			time.Sleep(time.Millisecond)
		}
	}
	// pass lets time go by in steps that a busy service would notice.
	pass := func(d time.Duration) {
		for end := c.Now().Add(d); c.Now().Before(end); {
			reach(done.Load() + 8)
			c.advance(time.Minute)
		}
	}
	reach(step)
	for i, alg := range []string{jwtauth.EdDSA, jwtauth.RS256, jwtauth.ES256} {
		next := freshKey(t, alg)
		must(t, keys.Replace(signing, next))
		pass(10 * time.Minute)
		must(t, keys.Replace(next, signing))
		reach(int64(i+2) * step)
		pass(2*time.Hour + time.Minute)
		must(t, keys.Replace(next))
		signing = next
	}
	known := []jwtauth.Key{signing}
	for i, alg := range []string{jwtauth.EdDSA, jwtauth.ES256} {
		next := freshKey(t, alg)
		must(t, keys.Replace(next, known...))
		known = append(known, next)
		reach(int64(i+5) * step)
		pass(time.Minute)
	}
	stop()
	services.Wait()
	if n := failed.Load(); n != 0 || done.Load() < total {
		t.Errorf("%d of %d verifications failed", n, done.Load())
	}
}

// slowServer answers what set holds when a request comes, after delay, in synctest's time.
type slowServer struct {
	set     atomic.Pointer[[]byte] // nil: no answer at all
	delay   time.Duration
	fetches atomic.Int64
}

func (s *slowServer) publish(keys *jwtauth.KeySet) {
	document := keys.JWKS()
	s.set.Store(&document)
}

func (s *slowServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.fetches.Add(1)
	document := s.set.Load()
	if document == nil {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	select {
	case <-time.After(s.delay):
		return answer(*document), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (s *slowServer) remote(t *testing.T) *jwtauth.RemoteKeySet {
	t.Helper()
	remote, err := jwtauth.NewRemoteKeySet("https://login.example.com/jwks", jwtauth.RemoteOptions{HTTP: &http.Client{Transport: s}})
	must(t, err)
	return remote
}

func TestABusyServiceNeverWaitsForItsKeys(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		server := &slowServer{delay: 4 * time.Second}
		server.publish(w.keys)
		remote := server.remote(t)
		must(t, remote.Ready(background))
		for second := range 2 * 60 * 60 {
			begun := time.Now()
			_, err := remote.Key(background, kid)
			must(t, err)
			if waited := time.Since(begun); waited != 0 {
				t.Fatalf("waited %v after %d seconds", waited, second)
			}
			time.Sleep(time.Second)
		}
		if n := server.fetches.Load(); n < 12 || n > 17 {
			t.Errorf("%d fetches in two hours of a max-age of ten minutes", n)
		}
	})
}

func TestABusyServiceNeverWaitsForABridgeThatHangs(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		server := &slowServer{}
		server.publish(w.keys)
		remote := server.remote(t)
		must(t, remote.Ready(background))
		server.set.Store(nil)
		server.fetches.Store(0)
		begun := time.Now()
		for time.Since(begun) < 70*time.Minute-10*time.Second { // max-age and MaxStale
			asked := time.Now()
			if _, err := remote.Key(background, kid); err != nil || time.Since(asked) != 0 {
				t.Fatalf("after %v: waited %v, %v", asked.Sub(begun), time.Since(asked), err)
			}
			time.Sleep(time.Second)
		}
		if n := server.fetches.Load(); n > 62*60/10 {
			t.Errorf("%d attempts in 62 minutes", n)
		}
		time.Sleep(10 * time.Second)
		if _, err := remote.Key(background, kid); err == nil || errors.Is(err, jwtauth.ErrUnknownKey) {
			t.Errorf("an hour past max-age: %v", err)
		}
		if err := remote.Ready(background); err == nil {
			t.Error("ready without keys")
		}
	})
}

func TestAKeyPublishedWhileAFetchIsUnderWayIsFound(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		server := &slowServer{delay: time.Second}
		server.publish(w.keys)
		remote := server.remote(t)
		must(t, remote.Ready(background))
		first := make(chan error)
		go func() { _, err := remote.Key(background, "made-up"); first <- err }()
		time.Sleep(time.Second / 2) // the answer to this fetch is on its way
		next, err := jwtauth.GenerateKey(jwtauth.ES256)
		must(t, err)
		must(t, w.keys.Replace(next, w.keys.Signing()))
		server.publish(w.keys)
		if _, err := remote.Key(background, next.ID()); err != nil {
			t.Errorf("got %v", err)
		}
		if err := <-first; !errors.Is(err, jwtauth.ErrUnknownKey) {
			t.Errorf("the made-up kid: %v", err)
		}
		if n := server.fetches.Load(); n != 3 {
			t.Errorf("%d fetches, want 3", n)
		}
	})
}

func TestAQuestionWaitsNoLongerThanItsDeadline(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		server := &slowServer{}
		server.publish(w.keys)
		remote := server.remote(t)
		must(t, remote.Ready(background))
		server.set.Store(nil)
		ctx, cancel := context.WithTimeout(background, 300*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, err := newVerifierAt(t, remote, time.Now).Verify(ctx, w.sign(t, goodHeader().with("kid", `"new"`).String(), goodClaims().String()))
		if !errors.Is(err, jwtauth.ErrUnavailable) || time.Since(begun) != 300*time.Millisecond {
			t.Errorf("got %v after %v, want ErrUnavailable at the deadline", err, time.Since(begun))
		}
		time.Sleep(5 * time.Second) // the fetch has failed by now
		if _, err := remote.Key(background, "new"); err == nil || errors.Is(err, jwtauth.ErrUnknownKey) {
			t.Errorf("an unknown kid while the bridge cannot be asked: %v, want no verdict", err)
		}
		if _, err := remote.Key(background, kid); err != nil {
			t.Errorf("a known kid meanwhile: %v", err)
		}
	})
}

func newVerifierAt(t testing.TB, keys jwtauth.KeySource, now func() time.Time) *jwtauth.Verifier {
	t.Helper()
	v, err := jwtauth.NewVerifier(keys, jwtauth.Config{Issuer: issuer, Audience: audience, Now: now})
	must(t, err)
	return v
}

func TestAWithdrawnKeyIsRefusedWithinMaxAgeByABusyService(t *testing.T) {
	w := newWorld(t)
	b := &bridge{}
	b.publish(w.keys, "max-age=600")
	remote, c := b.start(t, jwtauth.RemoteOptions{})
	must(t, remote.Ready(background))
	next, err := jwtauth.GenerateKey(jwtauth.ES256)
	must(t, err)
	must(t, w.keys.Replace(next))
	waitUntil(t, func() bool {
		c.advance(time.Second)
		_, err := remote.Key(background, kid)
		return errors.Is(err, jwtauth.ErrUnknownKey)
	})
	if after := c.Now().Sub(noon); after > 10*time.Minute {
		t.Errorf("refused after %v only", after)
	}
}

func waitUntil(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("waited for 30 seconds")
		}
	}
}

// Trouble long ago is no reason to believe in old keys today.
func TestAnIdleServiceAsksBeforeItUsesOldKeys(t *testing.T) {
	w := newWorld(t)
	b := &bridge{}
	b.publish(w.keys, "max-age=600")
	remote, c := b.start(t, jwtauth.RemoteOptions{})
	must(t, remote.Ready(background))
	b.fail()
	c.advance(10 * time.Minute)
	_, err := remote.Key(background, kid)
	must(t, err) // the bridge is down
	next, err := jwtauth.GenerateKey(jwtauth.ES256)
	must(t, err)
	must(t, w.keys.Replace(next))
	b.publish(w.keys, "max-age=600")
	c.advance(30 * time.Minute)
	if _, err := remote.Key(background, kid); !errors.Is(err, jwtauth.ErrUnknownKey) {
		t.Errorf("a key withdrawn while nobody asked: %v, want ErrUnknownKey", err)
	}
}

func TestJunkNeverReplacesGoodKeys(t *testing.T) {
	w := newWorld(t)
	b := &bridge{}
	b.publish(w.keys, "max-age=600")
	remote, c := b.start(t, jwtauth.RemoteOptions{})
	v := newVerifier(t, remote)
	raw := w.accessToken(t)
	_, err := v.Verify(background, raw)
	must(t, err)
	for _, junk := range []string{"", "<html>", "null", "{}", `{"keys":null}`, `{"keys":[{}]}`, `{"keys":[{"kid":"key-1","kty":"oct","k":"AAAA"}]}`,
		`{"error":"temporarily_unavailable"}`, `{"keys":[{"kid":"key-1","kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}]}`} {
		b.set(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, junk) })
		before := b.fetches.Load()
		c.advance(2 * time.Minute)
		_, _ = remote.Key(background, "made-up")
		if b.fetches.Load() == before {
			t.Fatalf("%s: was not fetched", junk)
		}
		if _, err := v.Verify(background, raw); err != nil {
			t.Errorf("after %q: %v", junk, err)
		}
	}
}

// A cache on the way keeps an answer for a part of its life (RFC 9111 §5.1).
func TestAgeIsTakenOffMaxAge(t *testing.T) {
	for age, fresh := range map[string]time.Duration{
		"0": 10 * time.Minute, "240": 6 * time.Minute, "599": time.Minute, "99999": time.Minute, "-5": 10 * time.Minute, "x": 10 * time.Minute,
	} {
		w := newWorld(t)
		b := &bridge{}
		b.set(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Cache-Control", "max-age=600")
			rw.Header().Set("Age", age)
			_, _ = rw.Write(w.keys.JWKS())
		})
		remote, c := b.start(t, jwtauth.RemoteOptions{})
		must(t, remote.Ready(background))
		next, err := jwtauth.GenerateKey(jwtauth.ES256)
		must(t, err)
		must(t, w.keys.Replace(next))
		c.advance(fresh - time.Nanosecond)
		if _, err := remote.Key(background, kid); err != nil {
			t.Errorf("Age %s: fetched too early: %v", age, err)
		}
		c.advance(time.Nanosecond)
		if _, err := remote.Key(background, kid); !errors.Is(err, jwtauth.ErrUnknownKey) {
			t.Errorf("Age %s: a withdrawn key after %v: %v", age, fresh, err)
		}
	}
}

func TestReadyTellsAWrongAddressAtTheStart(t *testing.T) {
	w := newWorld(t)
	b := &bridge{}
	b.fail()
	remote, c := b.start(t, jwtauth.RemoteOptions{})
	if err := remote.Ready(background); err == nil {
		t.Error("ready though the answer was 500")
	}
	for range 100 {
		if err := remote.Ready(background); err == nil {
			t.Error("ready though the answer was 500")
		}
	}
	if n := b.fetches.Load(); n != 1 {
		t.Errorf("%d fetches by an impatient probe", n)
	}
	b.publish(w.keys, "max-age=600")
	c.advance(time.Minute)
	must(t, remote.Ready(background))
	must(t, remote.Ready(background))
	if n := b.fetches.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
}

func TestWaitingForAFetchInTheBackgroundCostsAQuestionNothing(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		server := &slowServer{}
		server.publish(w.keys)
		remote := server.remote(t)
		must(t, remote.Ready(background))
		server.set.Store(nil)
		time.Sleep(9 * time.Minute)
		_, err := remote.Key(background, kid)
		must(t, err)
		synctest.Wait() // the fetch hangs
		if n := testing.AllocsPerRun(1000, func() { _, _ = remote.Key(background, kid) }); n != 0 {
			t.Errorf("%v allocations a question", n)
		}
		if n := server.fetches.Load(); n != 2 {
			t.Errorf("%d fetches", n)
		}
		time.Sleep(5 * time.Second)
	})
}

func ExampleRemoteKeySet_Ready() {
	jwksURL, _ := exampleBridge()
	keys, err := jwtauth.NewRemoteKeySet(jwksURL, jwtauth.RemoteOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(keys.Ready(ctx))
	// Output: <nil>
}
