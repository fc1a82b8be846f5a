package handlers_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wxbridge/internal/keyring"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
)

// countingTransport counts what a verifier fetches.
type countingTransport struct{ n atomic.Int64 }

func (c *countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return http.DefaultTransport.RoundTrip(r)
}

// KEY-04, KEY-05: two processes sign through three rotations, which change the algorithm too; verifiers that have only the
// JWKS, and fetch it no more often than its Cache-Control says, refuse no token.
func TestKEY04_VerifiersWithOnlyTheJWKSSeeNoGap(t *testing.T) {
	wanted := 12_000
	if os.Getenv("WXBRIDGE_TEST_SOAK") == "1" {
		wanted = 100_000
	}
	b := newBridge(t)
	ctx := context.Background()
	box, err := seal.New([]byte(strings.Repeat("0123456789abcdef", 2)))
	must(t, err)
	o := keyring.Options{TokenTTL: tokenTTL, JWKSMaxAge: 10 * time.Minute, Now: b.clock.Now}
	second, err := keyring.Open(ctx, b.store, box, o)
	must(t, err)
	rings := []*keyring.Keyring{b.ring, second}
	issuers := make([]*jwtauth.Issuer, len(rings))
	for i, ring := range rings {
		issuers[i], err = jwtauth.NewIssuer(ring.Keys(), jwtauth.IssuerConfig{Issuer: b.public, Audience: b.public + "/api",
			ClientID: "wxbridge", TTL: tokenTTL, Now: b.clock.Now})
		must(t, err)
	}
	verifiers := make([]*jwtauth.Verifier, 8)
	fetches := make([]countingTransport, len(verifiers))
	for i := range verifiers {
		keys, err := jwtauth.NewRemoteKeySet(b.url+"/.well-known/jwks.json", jwtauth.RemoteOptions{
			HTTP: &http.Client{Transport: &fetches[i]}, Now: b.clock.Now})
		must(t, err)
		verifiers[i], err = jwtauth.NewVerifier(keys, jwtauth.Config{Issuer: b.public, Audience: b.public + "/api", Now: b.clock.Now})
		must(t, err)
	}

	const step = 5 * time.Second
	rotations := []string{jwtauth.EdDSA, jwtauth.RS256, jwtauth.ES256}
	between := int(12 * time.Minute / step)
	steps := (len(rotations) + 1) * between
	each := wanted/steps + 1
	began, verified := b.clock.Now(), 0
	var tokens []string
	signedBy := map[string]bool{}
	for n := range steps {
		b.clock.Advance(step)
		if n%between == 0 && n > 0 {
			o.Alg, rotations = rotations[0], rotations[1:]
			_, err := keyring.Rotate(ctx, b.store, box, o)
			must(t, err)
		}
		for i, ring := range rings {
			if rand.IntN(3) > 0 { // else it is a little late
				must(t, ring.Look(ctx))
			}
			signedBy[ring.Keys().Signing().Alg()] = true
			raw, _, err := issuers[i].AccessToken(jwtauth.Claims{Subject: "fan", SessionID: "s", AuthTime: began, Provider: "p", AppID: "a", OpenID: "o"})
			must(t, err)
			tokens = append(tokens, raw)
		}
		for k := range each {
			raw := tokens[len(tokens)-1-k%2] // the newest of each process, and now and then an older one
			if k%4 == 3 {
				raw = tokens[rand.IntN(len(tokens))]
			}
			if _, err := verifiers[(n+k)%(1+n*len(verifiers)/steps)].Verify(ctx, raw); err != nil { // verifiers start one after the other
				t.Fatalf("step %d, %v after the beginning: %v", n, b.clock.Now().Sub(began), err)
			}
			verified++
		}
	}
	if len(signedBy) != 3 || len(rotations) != 0 || verified < wanted {
		t.Fatalf("%d verifications, signed by %v", verified, signedBy)
	}
	most := int64(b.clock.Now().Sub(began)/(8*time.Minute)) + 1 // in the last fifth of the ten minutes it is fetched ahead
	for i := range fetches {
		if got := fetches[i].n.Load(); got == 0 || got > most {
			t.Errorf("verifier %d fetched the JWKS %d times, more than %d", i, got, most)
		}
	}
	t.Logf("%d verifications, none failed", verified)
}

// KEY-05: the header follows what the keyring allows.
func TestKEY05_CacheControlOfTheJWKS(t *testing.T) {
	b := newBridge(t)
	for _, want := range []string{"public, max-age=600", "public, max-age=0"} {
		response, err := http.Get(b.url + "/.well-known/jwks.json")
		must(t, err)
		response.Body.Close()
		if got := response.Header.Get("Cache-Control"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		b.clock.Advance(time.Hour) // without a look at the store
	}
}
