package jwtauth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// counting is ES256 that takes the signature "good" and counts what it is asked.
type counting struct{ asked int }

func (c *counting) Alg() string                      { return jwt.SigningMethodES256.Alg() }
func (c *counting) Sign(string, any) ([]byte, error) { return nil, errors.New("not here") }
func (c *counting) Verify(_ string, signature []byte, _ any) error {
	c.asked++
	if string(signature[:4]) != "good" {
		return errors.New("bad")
	}
	return nil
}

type oneKey struct{ *keyMaterial }

func (o oneKey) Key(context.Context, string) (Key, error) { return Key{o.keyMaterial}, nil }

func TestARefusedTokenCostsItsSignatureOnce(t *testing.T) {
	method := new(counting)
	keys := &oneKey{&keyMaterial{id: "k", method: method}}
	now := time.Unix(1_800_000_000, 0)
	revoked := false
	v, err := NewVerifier(keys, Config{Issuer: "i", Audience: "a", CacheBytes: 1 << 20, Now: func() time.Time { return now }, Revoked: func(Claims) bool { return revoked }})
	if err != nil {
		t.Fatal(err)
	}
	part := base64.RawURLEncoding.EncodeToString
	token := func(iat int64, signature string) string {
		return part([]byte(`{"alg":"ES256","kid":"k","typ":"at+jwt"}`)) + "." + part(fmt.Appendf(nil,
			`{"iss":"i","aud":"a","sub":"s","client_id":"c","jti":"j","sid":"d","iat":%d,"exp":%d}`, iat, iat+60)) + "." + part([]byte(signature+" signature of many bytes"))
	}
	verify := func(raw string, asks int, want bool) {
		t.Helper()
		before := method.asked
		if _, err := v.Verify(t.Context(), raw); (err == nil) != want || method.asked-before != asks {
			t.Errorf("%v after %d checks of the signature, want %v after %d", err, method.asked-before, want, asks)
		}
	}
	forged, expired, early := token(now.Unix(), "evil"), token(now.Unix()-1000, "good"), token(now.Unix()+1000, "good")
	verify(forged, 1, false)
	verify(forged, 0, false)
	verify(expired, 1, false)
	verify(expired, 0, false)
	verify(early, 1, false)
	verify(early, 0, false)
	now = now.Add(1001 * time.Second) // all else is asked again
	verify(early, 0, true)
	revoked = true
	verify(early, 0, false) // its claims are in memory, for the last time
	verify(early, 0, false)

	another := token(now.Unix(), "evil")
	another = another[:len(another)-20] + "AAAA" + another[len(another)-16:] // in the same place, but another token
	verify(token(now.Unix(), "evil"), 1, false)
	verify(another, 1, false)
	verify(another, 0, false)
	keys.keyMaterial = &keyMaterial{id: "k", method: method} // another key under the same id
	verify(another, 1, false)

	v.signed = nil
	verify(another, 1, false)
}
