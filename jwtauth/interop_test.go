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

func TestGoOIDCVerifiesOurTokensOverHTTP(t *testing.T) {
	w := newWorld(t)
	b := &bridge{}
	b.publish(w.keys, "max-age=600")
	server := httptest.NewServer(b)
	defer server.Close()
	keys := oidc.NewRemoteKeySet(background, server.URL)
	id, err := w.issuer.IDToken(jwtauth.IDClaims{Subject: "fan-1", AuthTime: noon, Nickname: "小红"})
	must(t, err)
	for name, row := range map[string]struct{ raw, audience string }{
		"access token": {w.accessToken(t), audience}, "ID token": {id, clientID},
	} {
		token, err := oidc.NewVerifier(issuer, keys, &oidc.Config{ClientID: row.audience, SupportedSigningAlgs: []string{"ES256"}, Now: atNoon}).
			Verify(background, row.raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if token.Subject != "fan-1" || !token.Expiry.Equal(noon.Add(2*time.Hour)) {
			t.Errorf("%s: got %+v", name, token)
		}
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
