package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"wxbridge/jwtauth"
)

// Node's jose, told nothing but the address of the JWK Set, takes tokens of every algorithm, from one set. (For go-oidc and jwx
// the same is proved in jwtauth.)
func TestNodeJoseNeedsOnlyTheJWKSURL(t *testing.T) {
	node, folder := need(t, "node", "node"), t.TempDir()
	linkNodeModules(t, folder)
	keys := oneKeyOfEachKind(t)
	set, err := jwtauth.NewKeySet(keys[0], keys...)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(set.JWKS())
	}))
	defer server.Close()
	issuer, err := jwtauth.NewIssuer(set, jwtauth.IssuerConfig{Issuer: server.URL, Audience: server.URL + "/api", ClientID: "wxbridge", TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var tokens []string
	for _, key := range keys {
		if err := set.Replace(key, keys...); err != nil {
			t.Fatal(err)
		}
		access, _, err := issuer.AccessToken(jwtauth.Claims{Subject: "fan-" + key.Alg(), SessionID: "s", AuthTime: time.Now(), Provider: "official_account", AppID: "wx1", OpenID: "o"})
		if err != nil {
			t.Fatal(err)
		}
		id, err := issuer.IDToken(jwtauth.IDClaims{Subject: "fan-" + key.Alg(), AuthTime: time.Now(), Nickname: "小红"})
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, access, id, alter(access))
	}
	writeFile(t, filepath.Join(folder, "main.mjs"), `import { createRemoteJWKSet, jwtVerify } from 'jose';
const [issuer, ...tokens] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(issuer + '/.well-known/jwks.json'));
for (const token of tokens) {
  try { console.log('ok', (await jwtVerify(token, keys, { issuer, audience: issuer + '/api', typ: 'at+jwt' })).payload.sub); } catch { console.log('refused'); }
}`)
	verdicts := judge(t, tokens, node, filepath.Join(folder, "main.mjs"), server.URL)
	if len(verdicts) != len(tokens) {
		t.Fatalf("%d verdicts on %d tokens: %q", len(verdicts), len(tokens), verdicts)
	}
	for i, key := range keys {
		if got := verdicts[3*i]; got != "ok fan-"+key.Alg() {
			t.Errorf("%s: %q", key.Alg(), got)
		}
		if verdicts[3*i+1] != "refused" || verdicts[3*i+2] != "refused" {
			t.Errorf("%s: the ID token %q, an altered token %q, want both refused", key.Alg(), verdicts[3*i+1], verdicts[3*i+2])
		}
	}
}

func oneKeyOfEachKind(t *testing.T) []jwtauth.Key {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var keys []jwtauth.Key
	for id, private := range map[string]crypto.Signer{"ec": ec, "ed": ed, "rsa": rs} {
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		key, err := jwtauth.ParsePrivateKey(id, der)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}
