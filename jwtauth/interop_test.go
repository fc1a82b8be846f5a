package jwtauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"wxbridge/jwtauth"
)

func TestJWXVerifiesOurTokensWithOurJWKS(t *testing.T) {
	w := newWorld(t)
	next, err := jwtauth.GenerateKey(jwtauth.ES256)
	must(t, err)
	must(t, w.keys.Replace(next, w.keys.Signing()))
	set, err := jwk.Parse(w.keys.JWKS())
	must(t, err)
	id, err := w.issuer.IDToken(jwtauth.IDClaims{Subject: "fan-1", AuthTime: noon, Nickname: "小红", Picture: "https://thx.qlogo.cn/a"})
	must(t, err)
	for name, row := range map[string]struct{ raw, audience string }{
		"access token": {w.accessToken(t), audience}, "ID token": {id, clientID},
	} {
		token, err := jwt.Parse([]byte(row.raw), jwt.WithKeySet(set), jwt.WithIssuer(issuer), jwt.WithAudience(row.audience),
			jwt.WithClock(jwt.ClockFunc(atNoon)), jwt.WithRequiredClaim("exp"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if sub, _ := token.Subject(); sub != "fan-1" {
			t.Errorf("%s: sub %q", name, sub)
		}
	}
}

func TestOurKidIsTheThumbprintJWXComputes(t *testing.T) {
	for _, alg := range []string{jwtauth.ES256, jwtauth.EdDSA, jwtauth.RS256} {
		key, err := jwtauth.GenerateKey(alg)
		must(t, err)
		theirs, err := jwk.Import(key.Public())
		must(t, err)
		sum, err := theirs.Thumbprint(crypto.SHA256)
		must(t, err)
		if want := base64.RawURLEncoding.EncodeToString(sum); key.ID() != want {
			t.Errorf("%s: got %s, want %s", alg, key.ID(), want)
		}
	}
}

// Standard clients know the address of the JWK Set and nothing else of the keys, whatever algorithm signs.
func TestStandardClientsNeedOnlyTheJWKSURL(t *testing.T) {
	es, ed, rs := freshKey(t, jwtauth.ES256), freshKey(t, jwtauth.EdDSA), freshKey(t, jwtauth.RS256)
	for _, signing := range []jwtauth.Key{es, ed, rs} {
		t.Run(signing.Alg(), func(t *testing.T) {
			keys, err := jwtauth.NewKeySet(signing, es, ed, rs)
			must(t, err)
			b := &bridge{}
			b.publish(keys, "max-age=600")
			server := httptest.NewServer(b)
			defer server.Close()
			i := newIssuer(t, keys, atNoon)
			access, _, err := i.AccessToken(login())
			must(t, err)
			id, err := i.IDToken(jwtauth.IDClaims{Subject: "fan-1", AuthTime: noon, Nickname: "小红"})
			must(t, err)
			for name, row := range map[string]struct{ raw, audience, other string }{
				"access token": {access, audience, clientID}, "ID token": {id, clientID, audience},
			} {
				for client, verify := range standardClients(server.URL, signing.Alg()) {
					sub, err := verify(row.raw, row.audience)
					if err != nil || sub != "fan-1" {
						t.Errorf("%s, %s: %q, %v", client, name, sub, err)
					}
					if _, err := verify(row.raw, row.other); err == nil {
						t.Errorf("%s, %s: accepted for another audience", client, name)
					}
					if _, err := verify(row.raw[:len(row.raw)-8]+"AAAAAAAA", row.audience); err == nil {
						t.Errorf("%s, %s: accepted with a changed signature", client, name)
					}
				}
			}
		})
	}
}

// standardClients verify a token for an audience and give its subject.
func standardClients(jwksURL, alg string) map[string]func(raw, audience string) (string, error) {
	goOIDC := oidc.NewRemoteKeySet(background, jwksURL)
	return map[string]func(raw, audience string) (string, error){
		"go-oidc": func(raw, audience string) (string, error) {
			token, err := oidc.NewVerifier(issuer, goOIDC, &oidc.Config{ClientID: audience, SupportedSigningAlgs: []string{alg}, Now: atNoon}).
				Verify(background, raw)
			if err != nil {
				return "", err
			}
			return token.Subject, nil
		},
		"jwx": func(raw, audience string) (string, error) {
			set, err := jwk.Fetch(background, jwksURL)
			if err != nil {
				return "", err
			}
			token, err := jwt.Parse([]byte(raw), jwt.WithKeySet(set), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
				jwt.WithClock(jwt.ClockFunc(atNoon)), jwt.WithRequiredClaim("exp"))
			if err != nil {
				return "", err
			}
			sub, _ := token.Subject()
			return sub, nil
		},
	}
}

func TestWeVerifyTokensAndJWKSOfJWX(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	set := jwk.NewSet()
	tokens := map[string]string{}
	for _, row := range []struct {
		alg     jwa.SignatureAlgorithm
		private any
	}{{jwa.ES256(), ec}, {jwa.EdDSA(), ed}, {jwa.RS256(), rsaKey}} {
		key, err := jwk.Import(row.private)
		must(t, err)
		must(t, key.Set(jwk.KeyIDKey, "kid-"+row.alg.String()))
		must(t, key.Set(jwk.AlgorithmKey, row.alg))
		must(t, key.Set(jwk.KeyUsageKey, "sig"))
		public, err := key.PublicKey()
		must(t, err)
		must(t, set.AddKey(public))
		tokens[row.alg.String()] = jwxToken(t, row.alg, key)
	}
	document, err := json.Marshal(set)
	must(t, err)
	b := &bridge{}
	b.set(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(document) })
	remote, _ := b.start(t, jwtauth.RemoteOptions{})
	v := newVerifier(t, remote)
	for alg, raw := range tokens {
		c, err := v.Verify(background, raw)
		if err != nil || c.Subject != "fan-1" || c.Role != "staff" {
			t.Errorf("%s: %+v, %v", alg, c, err)
		}
	}
}

func jwxToken(t *testing.T, alg jwa.SignatureAlgorithm, key jwk.Key) string {
	t.Helper()
	token, err := jwt.NewBuilder().Issuer(issuer).Subject("fan-1").Audience([]string{audience}).JwtID("jti-1").
		IssuedAt(noon).NotBefore(noon).Expiration(noon.Add(time.Hour)).
		Claim("client_id", clientID).Claim("sid", "session-1").Claim("auth_time", noon.Unix()).Claim("role", "staff").Build()
	must(t, err)
	headers := jws.NewHeaders()
	must(t, headers.Set(jws.TypeKey, "at+jwt"))
	raw, err := jwt.Sign(token, jwt.WithKey(alg, key, jws.WithProtectedHeaders(headers)))
	must(t, err)
	return string(raw)
}
