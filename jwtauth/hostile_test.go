package jwtauth_test

import (
	"crypto"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"wxbridge/internal/hostiletoken"
	"wxbridge/jwtauth"
)

// hostileWorld is a bridge with a key of each kind, a forger who knows them all, and verifiers of every make.
type hostileWorld struct {
	forger    *hostiletoken.Forger
	keys      *jwtauth.KeySet
	verifiers map[string]*jwtauth.Verifier
	trapped   atomic.Int64 // requests that a token brought about
}

func newHostileWorld(t testing.TB) *hostileWorld {
	t.Helper()
	h := &hostileWorld{}
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { h.trapped.Add(1) }))
	t.Cleanup(trap.Close)
	keys := []jwtauth.Key{freshKey(t, jwtauth.ES256), freshKey(t, jwtauth.EdDSA), freshKey(t, jwtauth.RS256)}
	var err error
	h.keys, err = jwtauth.NewKeySet(keys[0], keys...)
	must(t, err)
	i := newIssuer(t, h.keys, atNoon)
	access, _, err := i.AccessToken(login())
	must(t, err)
	id, err := i.IDToken(jwtauth.IDClaims{Subject: "fan-1", AuthTime: noon, Nickname: "Alice"})
	must(t, err)
	h.forger = &hostiletoken.Forger{Access: access, ID: id, JWKS: h.keys.JWKS(), Now: noon, Trap: trap.URL}
	for _, k := range keys {
		h.forger.Keys = append(h.forger.Keys, forgersKey(t, k))
	}
	b := &bridge{}
	b.publish(h.keys, "max-age=600")
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	remote, err := jwtauth.NewRemoteKeySet(server.URL, jwtauth.RemoteOptions{Now: atNoon})
	must(t, err)
	must(t, remote.Ready(background))
	h.verifiers = map[string]*jwtauth.Verifier{"with a key set": newVerifier(t, h.keys), "with a remote key set": newVerifier(t, remote)}
	return h
}

func forgersKey(t testing.TB, k jwtauth.Key) hostiletoken.Key {
	t.Helper()
	der, err := k.MarshalPrivate()
	must(t, err)
	private, err := x509.ParsePKCS8PrivateKey(der)
	must(t, err)
	return hostiletoken.Key{ID: k.ID(), Private: private.(crypto.Signer)}
}

// None of the tricks known from RFC 8725 and the faults of other libraries is accepted, and none costs memory: TOK-01 to
// TOK-06, TOK-08, TOK-09. How long they take is measured by BenchmarkHostileTokens.
func TestHostileTokens(t *testing.T) {
	h := newHostileWorld(t)
	good, err := h.forger.Good()
	must(t, err)
	hostile, err := h.forger.All()
	must(t, err)
	if len(hostile) < 1500 {
		t.Errorf("only %d hostile tokens", len(hostile))
	}
	others := newOthers(t, h.keys)
	for make, v := range h.verifiers {
		for _, token := range good {
			c, err := v.Verify(background, token.Raw)
			if err != nil || c.Subject != "fan-1" {
				t.Fatalf("%s: %s: %v, and so its likes prove nothing", make, token.Name, err)
			}
			others.mustAgree(t, token.Raw, c)
		}
		for _, token := range hostile {
			c, err := v.Verify(background, token.Raw)
			if !errors.Is(err, jwtauth.ErrInvalid) || c != (jwtauth.Claims{}) {
				t.Errorf("%s: %s: got %v, want a refusal\n%.300s", make, token.Name, err, token.Raw)
			}
			if n := allocated(func() { _, _ = v.Verify(background, token.Raw) }); n > 64<<10 {
				t.Errorf("%s: %s costs %d bytes", make, token.Name, n)
			}
		}
	}
	if n := h.trapped.Load(); n != 0 {
		t.Errorf("TOK-02: %d requests went where a token pointed", n)
	}
	t.Logf("%d hostile tokens, %d good ones", len(hostile), len(good))
}

// allocated is how many bytes f allocates: the least of a few runs, since others allocate too.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// BenchmarkHostileTokens refuses them all in turn; worst-ns/token is the most expensive one, the best of five tries each.
func BenchmarkHostileTokens(b *testing.B) {
	h := newHostileWorld(b)
	hostile, err := h.forger.All()
	must(b, err)
	v := h.verifiers["with a key set"]
	var worst time.Duration
	var name string
	for _, token := range hostile {
		best := time.Hour
		for range 5 {
			begun := time.Now()
			_, _ = v.Verify(background, token.Raw)
			best = min(best, time.Since(begun))
		}
		if best > worst {
			worst, name = best, token.Name
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		_, _ = v.Verify(background, hostile[i%len(hostile)].Raw)
		i++
	}
	b.ReportMetric(float64(worst.Nanoseconds()), "worst-ns/token")
	b.Logf("the most expensive: %s, %v", name, worst)
}
