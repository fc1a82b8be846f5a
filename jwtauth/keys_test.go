package jwtauth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"wxbridge/jwtauth"
)

func TestGenerateKeyMakesDistinctES256Keys(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		k, err := jwtauth.GenerateKey(jwtauth.ES256)
		must(t, err)
		public, ok := k.Public().(*ecdsa.PublicKey)
		if !ok || public.Curve != elliptic.P256() || k.Alg() != jwtauth.ES256 || seen[k.ID()] || len(k.ID()) != 43 {
			t.Fatalf("got %v (%T)", k, k.Public())
		}
		seen[k.ID()] = true
	}
}

func TestPrivateKeySurvivesStorage(t *testing.T) {
	k, err := jwtauth.GenerateKey(jwtauth.ES256)
	must(t, err)
	der, err := k.MarshalPrivate()
	must(t, err)
	again, err := jwtauth.ParsePrivateKey(k.ID(), der)
	must(t, err)
	if again.ID() != k.ID() || again.Alg() != k.Alg() || !k.Public().(*ecdsa.PublicKey).Equal(again.Public()) {
		t.Errorf("got %v, want %v", again, k)
	}
}

func TestKEY01_KeysThatMustNotSignOrVerifyAreRefused(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	weak.N.Rsh(weak.N, 1) // 2,047 bits
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	for name, public := range map[string]any{
		"RSA of 2,047 bits":        &weak.PublicKey,
		"P-384":                    &p384.PublicKey,
		"half an Ed25519 key":      ed25519.PublicKey(make([]byte, 16)),
		"an HMAC secret":           []byte("0123456789abcdef0123456789abcdef"),
		"nothing":                  nil,
		"a nil EC key":             (*ecdsa.PublicKey)(nil),
		"a nil RSA key":            (*rsa.PublicKey)(nil),
		"an empty EC key":          &ecdsa.PublicKey{},
		"a key by value, not by *": p256.PublicKey,
	} {
		if k, err := jwtauth.NewPublicKey("k", public); err == nil {
			t.Errorf("%s: got %v", name, k)
		}
	}
	for name, id := range map[string]string{"no id": "", "an id of 129 bytes": strings.Repeat("k", 129)} {
		if _, err := jwtauth.NewPublicKey(id, &p256.PublicKey); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	ecDER, err := x509.MarshalECPrivateKey(p256)
	must(t, err)
	for name, der := range map[string][]byte{"nothing": nil, "garbage": []byte("garbage"), "SEC 1 instead of PKCS #8": ecDER} {
		if _, err := jwtauth.ParsePrivateKey("k", der); err == nil {
			t.Errorf("%s: accepted as a private key", name)
		}
	}
}

func TestKEY03_JWKSHasExactlyThePublicMembers(t *testing.T) {
	w := newWorld(t)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	_, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	must(t, w.keys.Replace(w.keys.Signing(), signingKey(t, "rsa", private), signingKey(t, "ed", edPrivate)))

	var set map[string][]map[string]string
	must(t, json.Unmarshal(w.keys.JWKS(), &set))
	if len(set) != 1 || len(set["keys"]) != 3 {
		t.Fatalf("got %s", w.keys.JWKS())
	}
	wantMembers := map[string][]string{
		kid:   {"alg", "crv", "kid", "kty", "use", "x", "y"},
		"rsa": {"alg", "e", "kid", "kty", "n", "use"},
		"ed":  {"alg", "crv", "kid", "kty", "use", "x"},
	}
	for _, key := range set["keys"] {
		if got := slices.Sorted(maps.Keys(key)); !slices.Equal(got, wantMembers[key["kid"]]) {
			t.Errorf("%s: members %v", key["kid"], got)
		}
		if key["use"] != "sig" {
			t.Errorf("%s: use %q", key["kid"], key["use"])
		}
	}
	if set["keys"][0]["kid"] != kid {
		t.Error("the signing key is not the first")
	}
}

// A coordinate that begins with a zero byte is one in 256; each must keep its length.
func TestJWKSCoordinatesAreAlways32Bytes(t *testing.T) {
	for range 600 {
		k, err := jwtauth.GenerateKey(jwtauth.ES256)
		must(t, err)
		keys, err := jwtauth.NewKeySet(k)
		must(t, err)
		var set struct{ Keys []struct{ X, Y string } }
		must(t, json.Unmarshal(keys.JWKS(), &set))
		if len(set.Keys[0].X) != 43 || len(set.Keys[0].Y) != 43 {
			t.Fatalf("got %s", keys.JWKS())
		}
	}
}

func TestKEY03_NoFormattingShowsThePrivateKey(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	secret, err := private.Bytes()
	must(t, err)
	k := signingKey(t, kid, private)
	keys, err := jwtauth.NewKeySet(k)
	must(t, err)
	var out strings.Builder
	for _, v := range []any{k, &k, struct{ K jwtauth.Key }{k}, []jwtauth.Key{k}, keys} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("key", "k", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "k", v)
	}
	for _, form := range []string{
		fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprint(secret), new(big.Int).SetBytes(secret).String(),
		base64.RawURLEncoding.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret),
	} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the private key is in the output as %s", form)
		}
	}
	if !strings.Contains(out.String(), "ES256 key key-1") {
		t.Errorf("a key does not print as algorithm and id:\n%s", out.String())
	}
}

func TestKeySetRefusesWhatCannotWork(t *testing.T) {
	w := newWorld(t)
	public, err := jwtauth.NewPublicKey("k", &w.private.PublicKey)
	must(t, err)
	other, err := jwtauth.GenerateKey(jwtauth.ES256)
	must(t, err)
	der, err := other.MarshalPrivate()
	must(t, err)
	impostor, err := jwtauth.ParsePrivateKey(kid, der)
	must(t, err)
	for name, keys := range map[string][]jwtauth.Key{
		"a signing key without a private part": {public},
		"no key":                               {{}},
		"an empty key among the verifying":     {other, {}},
		"two keys with one id":                 {w.keys.Signing(), impostor},
	} {
		if _, err := jwtauth.NewKeySet(keys[0], keys[1:]...); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if err := w.keys.Replace(keys[0], keys[1:]...); err == nil {
			t.Errorf("%s: replaced", name)
		}
	}
	if w.keys.Signing().ID() != kid {
		t.Error("a failed Replace changed the set")
	}
	if _, err := w.keys.Key(background, other.ID()); !errors.Is(err, jwtauth.ErrUnknownKey) {
		t.Errorf("got %v, want ErrUnknownKey", err)
	}
	if _, err := public.MarshalPrivate(); err == nil {
		t.Error("a public key gave a private part")
	}
	must(t, w.keys.Replace(w.keys.Signing(), w.keys.Signing(), public))
}

func TestJWKSBytesBelongToTheCaller(t *testing.T) {
	w := newWorld(t)
	before := string(w.keys.JWKS())
	clear(w.keys.JWKS())
	if string(w.keys.JWKS()) != before {
		t.Error("a caller changed the set's own bytes")
	}
}
