package jwtauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"wxbridge/jwtauth"
)

const (
	issuer   = "https://login.example.com"
	audience = "https://login.example.com/api"
	clientID = "wxbridge"
	kid      = "key-1"
)

// noon is when everything happens unless a test says otherwise.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// world is a bridge with one key, whose private part the test knows too: what a
// test signs with it is what the bridge might have signed.
type world struct {
	private  *ecdsa.PrivateKey
	keys     *jwtauth.KeySet
	issuer   *jwtauth.Issuer
	verifier *jwtauth.Verifier
}

func newWorld(t testing.TB) *world {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return worldWith(t, private)
}

// sameWorld has the key of RFC 7515 A.3: fuzzing runs in several processes, and
// a token must be good in all of them.
func sameWorld(t testing.TB) *world {
	t.Helper()
	d, err := base64.RawURLEncoding.DecodeString("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI")
	must(t, err)
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	must(t, err)
	return worldWith(t, private)
}

func worldWith(t testing.TB, private *ecdsa.PrivateKey) *world {
	t.Helper()
	keys, err := jwtauth.NewKeySet(signingKey(t, kid, private))
	must(t, err)
	return &world{private: private, keys: keys, issuer: newIssuer(t, keys, atNoon), verifier: newVerifier(t, keys)}
}

func newIssuer(t testing.TB, keys *jwtauth.KeySet, now func() time.Time) *jwtauth.Issuer {
	t.Helper()
	i, err := jwtauth.NewIssuer(keys, jwtauth.IssuerConfig{
		Issuer: issuer, Audience: audience, ClientID: clientID, TTL: 2 * time.Hour, Now: now,
	})
	must(t, err)
	return i
}

func newVerifier(t testing.TB, keys jwtauth.KeySource) *jwtauth.Verifier {
	t.Helper()
	v, err := jwtauth.NewVerifier(keys, jwtauth.Config{Issuer: issuer, Audience: audience, Now: atNoon, CacheBytes: 1 << 20})
	must(t, err)
	return v
}

func signingKey(t testing.TB, id string, private any) jwtauth.Key {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	key, err := jwtauth.ParsePrivateKey(id, der)
	must(t, err)
	return key
}

// login is what a handler knows after a login.
func login() jwtauth.Claims {
	return jwtauth.Claims{
		Subject: "fan-1", SessionID: "session-1", AuthTime: noon,
		Provider: "official_account", AppID: "wx1234", OpenID: "oAbC-1", UnionID: "uXyZ", Role: "staff",
	}
}

func (w *world) accessToken(t testing.TB) string {
	t.Helper()
	raw, _, err := w.issuer.AccessToken(login())
	must(t, err)
	return raw
}

// sign signs header and payload as they are, however wrong.
func (w *world) sign(t testing.TB, header, payload string) string {
	t.Helper()
	return signWith(t, jwt.SigningMethodES256, w.private, header, payload)
}

func signWith(t testing.TB, method jwt.SigningMethod, key any, header, payload string) string {
	t.Helper()
	return signText(t, method, key, b64(header)+"."+b64(payload))
}

// signText signs two segments that are encoded already.
func signText(t testing.TB, method jwt.SigningMethod, key any, text string) string {
	t.Helper()
	signature, err := method.Sign(text, key)
	must(t, err)
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// fields are the members of a JSON object as raw text, so that tests can write
// what no encoder would.
type fields [][2]string

func goodHeader() fields {
	return fields{{`alg`, `"ES256"`}, {`kid`, `"key-1"`}, {`typ`, `"at+jwt"`}}
}

func goodClaims() fields {
	return fields{
		{`iss`, `"` + issuer + `"`}, {`sub`, `"fan-1"`}, {`aud`, `"` + audience + `"`}, {`client_id`, `"wxbridge"`},
		{`exp`, seconds(noon.Add(time.Hour))}, {`iat`, seconds(noon)}, {`jti`, `"jti-1"`}, {`sid`, `"session-1"`},
		{`auth_time`, seconds(noon)}, {`provider`, `"official_account"`}, {`appid`, `"wx1234"`}, {`openid`, `"oAbC-1"`},
	}
}

// with replaces a member, or adds it.
func (f fields) with(name, raw string) fields {
	out := f.without(name)
	return append(out, [2]string{name, raw})
}

func (f fields) without(name string) fields {
	var out fields
	for _, m := range f {
		if m[0] != name {
			out = append(out, m)
		}
	}
	return out
}

// twice adds a member beside the one of the same name.
func (f fields) twice(name, raw string) fields {
	return append(append(fields{}, f...), [2]string{name, raw})
}

func (f fields) String() string {
	var members []string
	for _, m := range f {
		members = append(members, `"`+m[0]+`":`+m[1])
	}
	return "{" + strings.Join(members, ",") + "}"
}

func seconds(t time.Time) string {
	s, _ := json.Marshal(t.Unix())
	return string(s)
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func unb64(t testing.TB, s string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	must(t, err)
	return string(b)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var background = context.Background()
