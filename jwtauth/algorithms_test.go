package jwtauth_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"wxbridge/jwtauth"
)

const sharedSecret = "x8Qv2mZr5Lt9Wn4Kc7Hy1Bd6Gf3Jp0Ts"

func symmetricKey(t testing.TB, secret string) jwtauth.Key {
	t.Helper()
	k, err := jwtauth.NewSymmetricKey([]byte(secret))
	must(t, err)
	return k
}

// keyOf makes a key of any algorithm.
func keyOf(t testing.TB, alg string) jwtauth.Key {
	t.Helper()
	if alg == jwtauth.HS256 {
		return symmetricKey(t, sharedSecret)
	}
	k, err := jwtauth.GenerateKey(alg)
	must(t, err)
	return k
}

func TestEveryAlgorithmSignsWhatItVerifies(t *testing.T) {
	for _, alg := range []string{jwtauth.ES256, jwtauth.EdDSA, jwtauth.RS256, jwtauth.HS256} {
		key := keyOf(t, alg)
		keys, err := jwtauth.NewKeySet(key)
		must(t, err)
		raw, claims, err := newIssuer(t, keys, atNoon).AccessToken(login())
		must(t, err)
		got, err := newVerifier(t, keys).Verify(background, raw)
		must(t, err)
		if got != claims {
			t.Errorf("%s: got %+v, want %+v", alg, got, claims)
		}
		header, _, _ := strings.Cut(raw, ".")
		var h map[string]string
		must(t, json.Unmarshal([]byte(unb64(t, header)), &h))
		if h["alg"] != alg || h["kid"] != key.ID() || key.Alg() != alg || len(h) != 3 {
			t.Errorf("%s: header %v", alg, h)
		}
	}
}

// KEY-01: made with crypto/rand, of full strength; a private part survives storage and keeps its algorithm.
func TestKEY01_EveryKindOfKeySurvivesStorage(t *testing.T) {
	for _, alg := range []string{jwtauth.ES256, jwtauth.EdDSA, jwtauth.RS256} {
		a, b := keyOf(t, alg), keyOf(t, alg)
		if a.ID() == b.ID() || len(a.ID()) != 43 {
			t.Errorf("%s: ids %q and %q", alg, a.ID(), b.ID())
		}
		der, err := a.MarshalPrivate()
		must(t, err)
		again, err := jwtauth.ParsePrivateKey(a.ID(), der)
		must(t, err)
		if again.Alg() != alg {
			t.Errorf("%s: comes back as %s", alg, again.Alg())
		}
		// The set refuses two different keys under one id, and takes one key twice.
		if _, err := jwtauth.NewKeySet(a, again); err != nil {
			t.Errorf("%s: not the same key after storage: %v", alg, err)
		}
	}
	if _, err := jwtauth.GenerateKey(jwtauth.HS256); err == nil {
		t.Error("an HS256 secret is chosen by its owners, not made here")
	}
	for _, alg := range []string{"", "none", "es256", "RS384", "PS256", "ES512"} {
		if _, err := jwtauth.GenerateKey(alg); err == nil {
			t.Errorf("%q: a key was made", alg)
		}
	}
}

func TestKEY02_ShortSecretsAreNoKey(t *testing.T) {
	for _, n := range []int{0, 1, 31} {
		if _, err := jwtauth.NewSymmetricKey(make([]byte, n)); err == nil {
			t.Errorf("%d bytes: accepted", n)
		}
	}
	secret := []byte(sharedSecret)
	k, err := jwtauth.NewSymmetricKey(secret)
	must(t, err)
	clear(secret) // the caller's copy
	if kept, err := k.MarshalPrivate(); err != nil || string(kept) != sharedSecret || k.Public() != nil {
		t.Errorf("got %q, %v, public part %v", kept, err, k.Public())
	}
}

// KEY-02, KEY-03: a JWK Set never holds a symmetric key, and nothing about one.
func TestKEY02_TheJWKSIsEmptyWithHS256(t *testing.T) {
	keys, err := jwtauth.NewKeySet(symmetricKey(t, sharedSecret))
	must(t, err)
	if got := string(keys.JWKS()); got != `{"keys":[]}` {
		t.Errorf("got %s", got)
	}
	old := keyOf(t, jwtauth.ES256)
	must(t, keys.Replace(symmetricKey(t, sharedSecret), old))
	if got := string(keys.JWKS()); strings.Count(got, `"kid"`) != 1 || !strings.Contains(got, old.ID()) || strings.Contains(got, "oct") {
		t.Errorf("beside a key that signed before: %s", got)
	}
}

// Both sides of an HS256 key derive its id alone, and it gives nothing of the secret away that a token would not.
func TestTheIDOfASymmetricKey(t *testing.T) {
	mac := hmac.New(sha256.New, []byte(sharedSecret))
	mac.Write([]byte("wxbridge key id"))
	want := "hs-" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
	if got := symmetricKey(t, sharedSecret).ID(); got != want || jwtauth.SymmetricKeyID([]byte(sharedSecret)) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	sum := sha256.Sum256([]byte(sharedSecret))
	for _, plain := range []string{sharedSecret[:8], base64.RawURLEncoding.EncodeToString(sum[:])[:16]} {
		if strings.Contains(want, plain) {
			t.Errorf("the id holds %q", plain)
		}
	}
	if symmetricKey(t, sharedSecret+"x").ID() == want {
		t.Error("another secret has the same id")
	}
}

func TestKEY03_NoFormattingShowsASecret(t *testing.T) {
	k := symmetricKey(t, sharedSecret)
	keys, err := jwtauth.NewKeySet(k)
	must(t, err)
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%q"} {
		fmt.Fprintf(&out, verb+verb+"\n", k, []jwtauth.Key{k})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("key", "k", k, "s", keys.Signing())
	slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "k", k)
	asJSON, err := json.Marshal(map[string]any{"key": k})
	must(t, err)
	out.Write(asJSON)
	text := out.String()
	for _, form := range []string{sharedSecret, fmt.Sprintf("%x", sharedSecret), fmt.Sprint([]byte(sharedSecret)), base64.StdEncoding.EncodeToString([]byte(sharedSecret))} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
			t.Errorf("shows the secret: %s", text)
		}
	}
}

// TOK-01: whatever form of a public key an attacker takes for an HMAC secret, and whatever kid they name, an HS256
// token passes only under the HS256 key.
func TestTOK01_PublicKeysAreNeverSecrets(t *testing.T) {
	for _, alg := range []string{jwtauth.ES256, jwtauth.EdDSA, jwtauth.RS256} {
		signing, hs := keyOf(t, alg), symmetricKey(t, sharedSecret)
		keys, err := jwtauth.NewKeySet(signing, hs)
		must(t, err)
		v := newVerifier(t, keys)
		der, err := x509.MarshalPKIXPublicKey(signing.Public())
		must(t, err)
		var rows []refusal
		for name, form := range map[string][]byte{
			"PKIX DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
			"PEM without the last line end": bytes.TrimSpace(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
			"the JWKS":                      keys.JWKS(), "the kid": []byte(signing.ID()), "the HS256 kid": []byte(hs.ID()), "nothing": {},
		} {
			for _, id := range []string{signing.ID(), hs.ID()} {
				for _, method := range []*jwt.SigningMethodHMAC{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
					header := goodHeader().with("alg", `"`+method.Alg()+`"`).with("kid", `"`+id+`"`)
					want := "alg is not that of the key"
					if id == hs.ID() && method == jwt.SigningMethodHS256 {
						want = "signature does not match"
					}
					rows = append(rows, refusal{alg + ": " + method.Alg() + " with " + name + " under " + id,
						signWith(t, method, form, header.String(), goodClaims().String()), want})
				}
			}
		}
		// The other way round: the shared secret signs under its own kid and algorithm only.
		for _, method := range []*jwt.SigningMethodHMAC{jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
			header := goodHeader().with("alg", `"`+method.Alg()+`"`).with("kid", `"`+hs.ID()+`"`)
			rows = append(rows, refusal{"the secret with " + method.Alg(), signWith(t, method, []byte(sharedSecret), header.String(), goodClaims().String()), "alg is not that of the key"})
		}
		header := goodHeader().with("alg", `"HS256"`).with("kid", `"`+signing.ID()+`"`)
		rows = append(rows, refusal{"the secret under the kid of " + alg, signWith(t, jwt.SigningMethodHS256, []byte(sharedSecret), header.String(), goodClaims().String()), "alg is not that of the key"})
		checkRefusals(t, v, rows)

		good := goodHeader().with("alg", `"HS256"`).with("kid", `"`+hs.ID()+`"`)
		if _, err := v.Verify(background, signWith(t, jwt.SigningMethodHS256, []byte(sharedSecret), good.String(), goodClaims().String())); err != nil {
			t.Errorf("a good HS256 token: %v", err)
		}
	}
}

// A change of algorithm is a rotation like any other: tokens of the old one stay good.
func TestTokensOfTheOldAlgorithmStayGood(t *testing.T) {
	algs := []string{jwtauth.ES256, jwtauth.EdDSA, jwtauth.RS256, jwtauth.HS256}
	keys, err := jwtauth.NewKeySet(keyOf(t, jwtauth.ES256))
	must(t, err)
	issuer, verifier := newIssuer(t, keys, atNoon), newVerifier(t, keys)
	all, tokens := []jwtauth.Key{keys.Signing()}, []string{}
	for _, alg := range append(algs, jwtauth.ES256) {
		next := keyOf(t, alg)
		must(t, keys.Replace(keys.Signing(), append(all, next)...)) // published
		must(t, keys.Replace(next, all...))                         // signs
		all = append(all, next)
		raw, _, err := issuer.AccessToken(login())
		must(t, err)
		for i, raw := range append(tokens, raw) {
			if _, err := verifier.Verify(background, raw); err != nil {
				t.Errorf("with %s signing, token %d: %v", alg, i, err)
			}
		}
		tokens = append(tokens, raw)
	}
}

func TestTwoSecretsUnderOneIDAreRefused(t *testing.T) {
	// Ids are derived from secrets, so this takes a public key that was given the id of a secret.
	public, err := jwtauth.NewPublicKey(jwtauth.SymmetricKeyID([]byte(sharedSecret)), keyOf(t, jwtauth.ES256).Public())
	must(t, err)
	if _, err := jwtauth.NewKeySet(symmetricKey(t, sharedSecret), public); err == nil {
		t.Error("a public key and a secret share an id")
	}
	if _, err := jwtauth.NewKeySet(symmetricKey(t, sharedSecret), symmetricKey(t, sharedSecret)); err != nil {
		t.Errorf("the same secret twice: %v", err)
	}
}
