package jwtauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"wxbridge/jwtauth"
)

// refusal is one hostile token and the reason it must be refused for: a row
// that is refused for another reason proves nothing. None of them may be
// remembered as good.
type refusal struct {
	name   string
	raw    string
	reason string
}

func checkRefusals(t *testing.T, v *jwtauth.Verifier, rows []refusal) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c, err := v.Verify(background, row.raw)
			if !errors.Is(err, jwtauth.ErrInvalid) {
				t.Fatalf("got %v, want ErrInvalid", err)
			}
			if want := "jwtauth: token is not valid: " + row.reason; err.Error() != want {
				t.Errorf("got  %q\nwant %q", err, want)
			}
			if c != (jwtauth.Claims{}) {
				t.Error("a refused token gave claims")
			}
			known := v.CacheStats()
			if _, again := v.Verify(background, row.raw); again == nil || again.Error() != err.Error() {
				t.Errorf("the second time: %v", again)
			}
			if now := v.CacheStats(); now.Entries != known.Entries || now.Hits != known.Hits {
				t.Errorf("a refused token is remembered: %+v, then %+v", known, now)
			}
		})
	}
}

func TestVerifyAcceptsWhatTheIssuerSigned(t *testing.T) {
	w := newWorld(t)
	raw, issued, err := w.issuer.AccessToken(login())
	must(t, err)
	got, err := w.verifier.Verify(background, raw)
	must(t, err)
	if got != issued {
		t.Errorf("got  %+v\nwant %+v", got, issued)
	}
}

func TestVerifyAccepts(t *testing.T) {
	w := newWorld(t)
	claims := func(f fields) string { return w.sign(t, goodHeader().String(), f.String()) }
	header := func(f fields) string { return w.sign(t, f.String(), goodClaims().String()) }
	for name, raw := range map[string]string{
		"the plain baseline":                         claims(goodClaims()),
		"typ in capitals":                            header(goodHeader().with("typ", `"AT+JWT"`)),
		"typ as a full media type (RFC 9068 §4)":     header(goodHeader().with("typ", `"application/at+jwt"`)),
		"unknown header names that ask for nothing":  header(goodHeader().with("Crit", `["exp"]`).with("x", `{"a":[1,"}"]}`)),
		"aud as an array with ours in it":            claims(goodClaims().with("aud", `["https://other.example","`+audience+`"]`)),
		"a name written with escapes":                claims(goodClaims().without("sub").with(`\u0073ub`, `"fan-1"`)),
		"a value written with escapes":               claims(goodClaims().with("sub", `"fan\u002d1"`)),
		"space around everything":                    w.sign(t, " "+goodHeader().String()+"\n", "\t{ \"x\" : [ 1 , { } ] , "+goodClaims().String()[1:]+" "),
		"a fraction of a second in a date":           claims(goodClaims().with("exp", seconds(noon.Add(time.Hour))+".75")),
		"an exponent in a date":                      claims(goodClaims().with("exp", "2.0E9")),
		"expired within the leeway":                  claims(goodClaims().with("exp", seconds(noon.Add(-4*time.Second)))),
		"issued in the future within the leeway":     claims(goodClaims().with("iat", seconds(noon.Add(5*time.Second)))),
		"nbf in the past":                            claims(goodClaims().with("nbf", seconds(noon.Add(-time.Hour)))),
		"a claim of another case beside the one":     claims(goodClaims().with("Exp", "1").with("EXP", `"x"`)),
		"claims nobody knows, nested and full of }]": claims(goodClaims().with("deep", `{"a":["}","]",{"b":"\\\""}]}`)),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := w.verifier.Verify(background, raw)
			must(t, err)
			if c.Subject != "fan-1" || c.OpenID != "oAbC-1" || c.Audience != audience {
				t.Errorf("got claims %+v", c)
			}
		})
	}
}

func TestTOK01_OnlyTheAlgorithmOfTheKey(t *testing.T) {
	w := newWorld(t)
	var rows []refusal
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "RS256", "RS384", "PS256", "ES384",
		"ES512", "ES256K", "EdDSA", "es256", "ES256 ", " ES256", "ES-256", "A128KW", "dir"} {
		h := goodHeader().with("alg", `"`+alg+`"`).String()
		rows = append(rows,
			refusal{"alg " + alg + " over a good signature", w.sign(t, h, goodClaims().String()), "alg is not that of the key"},
			refusal{"alg " + alg + " without a signature", b64(h) + "." + b64(goodClaims().String()) + ".", "segment is not base64url"},
		)
	}
	for name, secret := range publicKeyForms(t, &w.private.PublicKey, w.keys.JWKS()) {
		for _, method := range []*jwt.SigningMethodHMAC{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
			h := goodHeader().with("alg", `"`+method.Alg()+`"`).String()
			rows = append(rows, refusal{method.Alg() + " keyed with the public key as " + name,
				signWith(t, method, secret, h, goodClaims().String()), "alg is not that of the key"})
			rows = append(rows, refusal{method.Alg() + " keyed with the public key as " + name + " under alg ES256",
				signWith(t, method, secret, goodHeader().String(), goodClaims().String()), "signature does not match"})
		}
	}
	good := w.sign(t, goodHeader().String(), goodClaims().String())
	signed := good[:strings.LastIndexByte(good, '.')]
	for name, signature := range map[string][]byte{
		"of zeros": make([]byte, 64), "one byte short": make([]byte, 63), "one byte long": make([]byte, 65), "in ASN.1": asn1Signature(t, w.private, signed),
	} {
		rows = append(rows, refusal{"a signature " + name, signed + "." + base64.RawURLEncoding.EncodeToString(signature), "signature does not match"})
	}
	rows = append(rows,
		refusal{"alg missing", w.sign(t, goodHeader().without("alg").String(), goodClaims().String()), "alg is missing"},
		refusal{"alg empty", w.sign(t, goodHeader().with("alg", `""`).String(), goodClaims().String()), "alg is not a non-empty string"},
		refusal{"alg null", w.sign(t, goodHeader().with("alg", `null`).String(), goodClaims().String()), "alg is not a non-empty string"},
		refusal{"alg a list", w.sign(t, goodHeader().with("alg", `["ES256"]`).String(), goodClaims().String()), "alg is not a non-empty string"},
		refusal{"alg under another case", w.sign(t, goodHeader().without("alg").with("Alg", `"ES256"`).String(), goodClaims().String()), "alg is missing"},
		refusal{"a changed claim", signed[:len(signed)-2] + "fQ" + good[len(signed):], "signature does not match"},
	)
	checkRefusals(t, w.verifier, rows)
}

func TestTOK01_EveryKindOfKeyHasOneAlgorithm(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	w := newWorld(t)
	rsaKey, err := jwtauth.NewPublicKey("rsa", &private.PublicKey)
	must(t, err)
	edKey, err := jwtauth.NewPublicKey("ed", edPublic)
	must(t, err)
	must(t, w.keys.Replace(w.keys.Signing(), rsaKey, edKey))

	token := func(method jwt.SigningMethod, key any, kid string) string {
		h := goodHeader().with("alg", `"`+method.Alg()+`"`).with("kid", `"`+kid+`"`)
		return signWith(t, method, key, h.String(), goodClaims().String())
	}
	for name, raw := range map[string]string{
		"RS256": token(jwt.SigningMethodRS256, private, "rsa"), "EdDSA": token(jwt.SigningMethodEdDSA, edPrivate, "ed"),
	} {
		if _, err := w.verifier.Verify(background, raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	checkRefusals(t, w.verifier, []refusal{
		{"RS384 with the RSA key", token(jwt.SigningMethodRS384, private, "rsa"), "alg is not that of the key"},
		{"RS512 with the RSA key", token(jwt.SigningMethodRS512, private, "rsa"), "alg is not that of the key"},
		{"PS256 with the RSA key", token(jwt.SigningMethodPS256, private, "rsa"), "alg is not that of the key"},
		{"ES256 under the kid of the RSA key", token(jwt.SigningMethodES256, w.private, "rsa"), "alg is not that of the key"},
		{"EdDSA under the kid of the ES256 key", token(jwt.SigningMethodEdDSA, edPrivate, kid), "alg is not that of the key"},
	})
}

func TestTOK02_TheKeyComesFromOurSetByExactKid(t *testing.T) {
	var fetched atomic.Int64
	listener := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Add(1) }))
	defer listener.Close()
	w := newWorld(t)
	attacker, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	byAttacker := func(f fields) string {
		return signWith(t, jwt.SigningMethodES256, attacker, f.String(), goodClaims().String())
	}
	theirs := signingKey(t, kid, attacker)
	their, err := jwtauth.NewKeySet(theirs)
	must(t, err)
	jwk := strings.TrimSuffix(strings.TrimPrefix(string(their.JWKS()), `{"keys":[`), `]}`)
	url := `"` + listener.URL + `/keys"`

	rows := []refusal{
		{"the attacker's signature under our kid", byAttacker(goodHeader()), "signature does not match"},
		{"the attacker's key in jwk", byAttacker(goodHeader().with("jwk", jwk)), "signature does not match"},
		{"the attacker's set in jku", byAttacker(goodHeader().with("jku", url)), "signature does not match"},
		{"the attacker's certificate in x5u", byAttacker(goodHeader().with("x5u", url)), "signature does not match"},
		{"the attacker's certificate in x5c", byAttacker(goodHeader().with("x5c", `["MIIB"]`)), "signature does not match"},
		{"jwk and no kid", byAttacker(goodHeader().without("kid").with("jwk", jwk)), "kid is missing"},
		{"our signature without kid", w.sign(t, goodHeader().without("kid").String(), goodClaims().String()), "kid is missing"},
	}
	for _, raw := range []string{`1`, `0`, `null`, `true`, `["key-1"]`, `{"kid":"key-1"}`, `""`} {
		rows = append(rows, refusal{"kid is " + raw, w.sign(t, goodHeader().with("kid", raw).String(), goodClaims().String()), "kid is not a non-empty string"})
	}
	for _, id := range []string{"key-2", "KEY-1", "key-1 ", " key-1", "key-1\\u0000", "../../etc/passwd", "/dev/null", "file:///dev/null",
		"key-1' OR '1'='1", "x' UNION SELECT 'k", "key-1; DROP TABLE signing_keys", "%6bey-1", "http://169.254.169.254/", strings.Repeat("k", 128)} {
		rows = append(rows, refusal{"kid is " + id, w.sign(t, goodHeader().with("kid", `"`+id+`"`).String(), goodClaims().String()), "unknown kid"})
	}
	rows = append(rows, refusal{"kid too long", w.sign(t, goodHeader().with("kid", `"`+strings.Repeat("k", 129)+`"`).String(), goodClaims().String()), "kid is too long"})
	rows = append(rows, refusal{"kid with half a surrogate", w.sign(t, goodHeader().with("kid", `"key-1\ud800"`).String(), goodClaims().String()), "kid is not a non-empty string"})
	checkRefusals(t, w.verifier, rows)
	if n := fetched.Load(); n != 0 {
		t.Errorf("%d requests reached the attacker", n)
	}
}

func TestTOK02_AKeySourceThatAnswersAnotherKeyIsNotBelieved(t *testing.T) {
	w := newWorld(t)
	for name, answer := range map[string]jwtauth.Key{"no key": {}, "another key": signingKey(t, "key-2", w.private)} {
		v := newVerifier(t, keySourceFunc(func(context.Context, string) (jwtauth.Key, error) { return answer, nil }))
		checkRefusals(t, v, []refusal{{name, w.accessToken(t), "key source answered another key"}})
	}
}

func TestVerifyTellsAnUnreachableKeySourceFromABadToken(t *testing.T) {
	w := newWorld(t)
	down := errors.New("connection refused")
	v := newVerifier(t, keySourceFunc(func(context.Context, string) (jwtauth.Key, error) { return jwtauth.Key{}, down }))
	_, err := v.Verify(background, w.accessToken(t))
	if !errors.Is(err, jwtauth.ErrUnavailable) || !errors.Is(err, down) || errors.Is(err, jwtauth.ErrInvalid) {
		t.Errorf("got %v, want ErrUnavailable with its cause, and not ErrInvalid", err)
	}
}

func TestTOK03_CritZipAndB64AreRefused(t *testing.T) {
	w := newWorld(t)
	var rows []refusal
	for name, values := range map[string][]string{
		"crit": {`[]`, `["exp"]`, `["b64"]`, `["alg"]`, `[""]`, `[1]`, `"exp"`, `null`, `{}`, `0`, `false`, `["http://example.com/x"]`},
		"zip":  {`"DEF"`, `null`, `""`},
		"b64":  {`false`, `true`, `null`},
	} {
		for _, value := range values {
			rows = append(rows, refusal{name + " is " + value,
				w.sign(t, goodHeader().with(name, value).String(), goodClaims().String()), "header asks for an extension"})
		}
	}
	rows = append(rows, refusal{"crit written with an escape", w.sign(t, goodHeader().with(`cr\u0069t`, `["exp"]`).String(), goodClaims().String()), "header asks for an extension"})
	checkRefusals(t, w.verifier, rows)
}

func TestTOK04_EveryClaimIsChecked(t *testing.T) {
	w := newWorld(t)
	claims := func(f fields) string { return w.sign(t, goodHeader().String(), f.String()) }
	rows := []refusal{
		{"another issuer", claims(goodClaims().with("iss", `"https://evil.example"`)), "another issuer"},
		{"the issuer with a slash", claims(goodClaims().with("iss", `"`+issuer+`/"`)), "another issuer"},
		{"the issuer in capitals", claims(goodClaims().with("iss", `"HTTPS://login.example.com"`)), "another issuer"},
		{"an issuer that begins with ours", claims(goodClaims().with("iss", `"`+issuer+`.evil.example"`)), "another issuer"},
		{"the issuer as a list", claims(goodClaims().with("iss", `["`+issuer+`"]`)), "iss is not a non-empty string"},

		{"no aud", claims(goodClaims().without("aud")), "aud is missing or malformed"},
		{"another aud", claims(goodClaims().with("aud", `"https://other.example"`)), "another audience"},
		{"aud that begins with ours", claims(goodClaims().with("aud", `"`+audience+`/v2"`)), "another audience"},
		{"aud empty", claims(goodClaims().with("aud", `""`)), "aud is missing or malformed"},
		{"aud null", claims(goodClaims().with("aud", `null`)), "aud is missing or malformed"},
		{"aud an object", claims(goodClaims().with("aud", `{"`+audience+`":1}`)), "aud is missing or malformed"},
		{"aud an empty list", claims(goodClaims().with("aud", `[]`)), "another audience"},
		{"aud a list without ours", claims(goodClaims().with("aud", `["a","b"]`)), "another audience"},
		{"aud a list with ours and a number", claims(goodClaims().with("aud", `["`+audience+`",1]`)), "aud is malformed"},
		{"aud a nested list", claims(goodClaims().with("aud", `[["`+audience+`"]]`)), "aud is malformed"},

		{"no exp", claims(goodClaims().without("exp")), "exp is missing"},
		{"no iat", claims(goodClaims().without("iat")), "iat is missing"},
		{"iat in the future", claims(goodClaims().with("iat", seconds(noon.Add(6*time.Second)))), "iat is in the future"},
		{"iat far in the future", claims(goodClaims().with("iat", "253402300799")), "iat is in the future"},
		{"nbf in the future", claims(goodClaims().with("nbf", seconds(noon.Add(6*time.Second)))), "nbf is in the future"},
		{"auth_time in the future", claims(goodClaims().with("auth_time", seconds(noon.Add(time.Minute)))), "auth_time is in the future"},
	}
	for _, name := range []string{"iss", "sub", "client_id", "jti", "sid"} {
		rows = append(rows, refusal{"no " + name, claims(goodClaims().without(name)), name + " is missing"})
	}
	for _, name := range []string{"iss", "sub", "client_id", "jti", "sid", "provider", "appid", "openid", "unionid", "role"} {
		for _, value := range []string{`""`, `null`, `7`, `true`, `["x"]`, `{}`, `"\ud800"`, `"\udc00x"`} {
			rows = append(rows, refusal{name + " is " + value, claims(goodClaims().with(name, value)), name + " is not a non-empty string"})
		}
	}
	checkRefusals(t, w.verifier, rows)
}

func TestTOK04_ExpiredIsSaidOnlyOfTokensThatAreGoodOtherwise(t *testing.T) {
	w := newWorld(t)
	past := goodClaims().with("exp", seconds(noon.Add(-5*time.Second)))
	for name, f := range map[string]fields{
		"just past the leeway": past, "an exp of zero": goodClaims().with("exp", "0"), "an exp of minus zero": goodClaims().with("exp", "-0"),
	} {
		_, err := w.verifier.Verify(background, w.sign(t, goodHeader().String(), f.String()))
		var expired *jwtauth.ExpiredError
		if !errors.As(err, &expired) || !errors.Is(err, jwtauth.ErrInvalid) {
			t.Errorf("%s: got %v, want an ExpiredError that is ErrInvalid", name, err)
		}
	}
	_, err := w.verifier.Verify(background, w.sign(t, goodHeader().String(), past.String()))
	var expired *jwtauth.ExpiredError
	if !errors.As(err, &expired) || !expired.ExpiredAt.Equal(noon.Add(-5*time.Second)) {
		t.Errorf("got %v, want the token's exp", err)
	}
	checkRefusals(t, w.verifier, []refusal{
		{"expired and of another issuer", w.sign(t, goodHeader().String(), past.with("iss", `"x"`).String()), "another issuer"},
		{"expired and badly signed", signWith(t, jwt.SigningMethodES256, newWorld(t).private, goodHeader().String(), past.String()), "signature does not match"},
	})
}

func TestTOK04_LeewayIsBounded(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []time.Duration{-time.Second, time.Millisecond, time.Minute + 1, time.Hour} {
		if _, err := jwtauth.NewVerifier(w.keys, jwtauth.Config{Issuer: issuer, Audience: audience, Leeway: bad}); err == nil {
			t.Errorf("a leeway of %v was accepted", bad)
		}
	}
	v, err := jwtauth.NewVerifier(w.keys, jwtauth.Config{Issuer: issuer, Audience: audience, Leeway: time.Minute, Now: atNoon})
	must(t, err)
	if _, err := v.Verify(background, w.sign(t, goodHeader().String(), goodClaims().with("exp", seconds(noon.Add(-59*time.Second))).String())); err != nil {
		t.Errorf("a leeway of a minute: %v", err)
	}
}

func TestVerifierNeedsKeysIssuerAndAudience(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]jwtauth.Config{"no issuer": {Audience: audience}, "no audience": {Issuer: issuer}} {
		if _, err := jwtauth.NewVerifier(w.keys, c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := jwtauth.NewVerifier(nil, jwtauth.Config{Issuer: issuer, Audience: audience}); err == nil {
		t.Error("no keys: accepted")
	}
}

func TestTOK05_ClaimNamesAreCaseSensitiveAndDatesAreNumbers(t *testing.T) {
	w := newWorld(t)
	claims := func(f fields) string { return w.sign(t, goodHeader().String(), f.String()) }
	var rows []refusal
	for _, name := range []string{"iss", "sub", "client_id", "exp", "iat", "jti", "sid"} {
		for _, other := range []string{strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:]} {
			value := `"x"`
			if name == "exp" || name == "iat" {
				value = seconds(noon)
			}
			rows = append(rows, refusal{other + " is not " + name, claims(goodClaims().without(name).with(other, value)), name + " is missing"})
		}
	}
	rows = append(rows, refusal{"AUD is not aud", claims(goodClaims().without("aud").with("AUD", `"`+audience+`"`)), "aud is missing or malformed"})
	for _, name := range []string{"exp", "iat", "nbf", "auth_time"} {
		for _, value := range []string{`"1893456000"`, `""`, `null`, `true`, `[1893456000]`, `{}`, `"NaN"`, `-1`, `-1e300`, `1e300`, `1e400`, `-1e400`,
			`9223372036854775807`, `9223372036854775808`, `18446744073709551616`, `253402300800`, `1` + strings.Repeat("0", 400)} {
			rows = append(rows, refusal{"TOK-05 " + name + " is " + value[:min(len(value), 30)], claims(goodClaims().with(name, value)), name + " is not a date"})
		}
	}
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "jti", "sid", "x"} {
		rows = append(rows, refusal{name + " twice", claims(goodClaims().with(name, `"a"`).twice(name, `"a"`)), "repeated or too many members"})
	}
	rows = append(rows,
		refusal{"exp twice, once with an escape", claims(goodClaims().twice(`\u0065xp`, "4102444800")), "repeated or too many members"},
		refusal{"alg twice", w.sign(t, goodHeader().twice("alg", `"none"`).String(), goodClaims().String()), "repeated or too many members"},
		refusal{"kid twice", w.sign(t, goodHeader().twice("kid", `"key-2"`).String(), goodClaims().String()), "repeated or too many members"},
		refusal{"a name with half a surrogate", claims(goodClaims().with(`\ud800`, "1")), "malformed member name"},
		refusal{"65 claims", claims(manyClaims(65)), "repeated or too many members"},
	)
	for _, number := range []string{"NaN", "Infinity", "-Infinity", "+1", "01", "1.", ".5", "0x10", "1_000", "1e"} {
		rows = append(rows, refusal{"exp is the non-JSON " + number, claims(goodClaims().with("exp", number)), "segment is not JSON"})
	}
	checkRefusals(t, w.verifier, rows)
}

func TestTOK06_OtherKindsOfTokenAreNoAccessTokens(t *testing.T) {
	w := newWorld(t)
	id, err := w.issuer.IDToken(jwtauth.IDClaims{Subject: "fan-1", AuthTime: noon, Nickname: "Alice"})
	must(t, err)
	rows := []refusal{
		{"the ID token", id, "not an access token"},
		{"no typ", w.sign(t, goodHeader().without("typ").String(), goodClaims().String()), "typ is missing"},
		{"an ID token's claims under the right typ", w.sign(t, goodHeader().String(), goodClaims().with("aud", `"wxbridge"`).String()), "another audience"},
		{"typ a number", w.sign(t, goodHeader().with("typ", "1").String(), goodClaims().String()), "typ is not a non-empty string"},
	}
	for _, typ := range []string{"JWT", "jwt", "at", "at+jwt ", "x-at+jwt", "application/jwt", "application/at+jwt; charset=utf-8", "logout+jwt", "text/at+jwt"} {
		rows = append(rows, refusal{"typ " + typ, w.sign(t, goodHeader().with("typ", `"`+typ+`"`).String(), goodClaims().String()), "not an access token"})
	}
	checkRefusals(t, w.verifier, rows)
}

func TestTOK08_LengthAndDotsAreCheckedBeforeDecoding(t *testing.T) {
	w := newWorld(t)
	good := w.accessToken(t)
	rows := []refusal{
		{"a token of 1 MB", strings.Repeat("a", 1<<20), "too long"},
		{"500,000 dots", strings.Repeat(".", 500_000), "too long"},
		{"one byte too long", good + strings.Repeat("A", jwtauth.MaxTokenBytes-len(good)+1), "too long"},
		{"8,192 dots", strings.Repeat(".", 8192), "not three segments"},
		{"empty", "", "not three segments"},
		{"no dot", strings.ReplaceAll(good, ".", ""), "not three segments"},
		{"one dot", good[:strings.LastIndexByte(good, '.')], "not three segments"},
		{"three dots", good + ".", "not three segments"},
		{"five segments, as an encrypted token", "e30.a.b.c.d", "not three segments"},
		{"dots alone", "..", "segment is not base64url"},
	}
	checkRefusals(t, w.verifier, rows)

	// However long, such a token costs no memory that grows with it.
	for _, row := range rows[:5] {
		if n := testing.AllocsPerRun(100, func() { _, _ = w.verifier.Verify(background, row.raw) }); n > 2 {
			t.Errorf("%s: %v allocations", row.name, n)
		}
	}
	deep := w.sign(t, goodHeader().String(), `{"x":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)+`,`+goodClaims().String()[1:])
	if _, err := w.verifier.Verify(background, deep); err != nil {
		t.Errorf("deep nesting inside the limit: %v", err)
	}
}

func TestTOK09_OneTextForOneToken(t *testing.T) {
	w := newWorld(t)
	good := w.accessToken(t)
	parts := strings.Split(good, ".")
	join := func(h, p, s string) string { return h + "." + p + "." + s }
	header, payload := goodHeader().String(), goodClaims().String()
	var rows []refusal
	for i, segment := range []string{"header", "payload", "signature"} {
		change := func(f func(string) string) string {
			changed := append([]string{}, parts...)
			changed[i] = f(changed[i])
			return join(changed[0], changed[1], changed[2])
		}
		for name, f := range map[string]func(string) string{
			"with padding":          func(s string) string { return s + "=" },
			"with double padding":   func(s string) string { return s + "==" },
			"with a line feed":      func(s string) string { return s[:4] + "\n" + s[4:] },
			"with CR LF at the end": func(s string) string { return s + "\r\n" },
			"with a space":          func(s string) string { return s + " " },
			"with a plus":           func(s string) string { return "+" + s[1:] },
			"with a slash":          func(s string) string { return "/" + s[1:] },
			"with a NUL":            func(s string) string { return s + "\x00" },
			"with a non-ASCII byte": func(s string) string { return s + "é" },
			"percent-encoded":       func(s string) string { return "%65" + s[1:] },
			"empty":                 func(string) string { return "" },
		} {
			rows = append(rows, refusal{segment + " " + name, change(f), "segment is not base64url"})
		}
	}
	rows = append(rows, refusal{"signature with spare bits", good[:len(good)-1] + nextLetter(good[len(good)-1]), "segment is not base64url"})
	for name, text := range map[string]string{
		"header with spare bits":             spareBits(header) + "." + b64(payload),
		"payload with spare bits":            b64(header) + "." + spareBits(payload),
		"payload with a line end, signed so": b64(header) + "." + b64(payload)[:8] + "\n" + b64(payload)[8:],
		"payload in standard base64":         b64(header) + "." + base64.StdEncoding.EncodeToString([]byte(payload+" ")),
	} {
		rows = append(rows, refusal{name, signText(t, jwt.SigningMethodES256, w.private, text), "segment is not base64url"})
	}
	for name, text := range map[string]string{
		"nothing but space": " ", "invalid UTF-8": goodClaims().with("x", "\"\xff\"").String(), "an overlong UTF-8 sequence": goodClaims().with("x", "\"\xc0\xaf\"").String(),
		"two objects": payload + payload, "an object and a comma": payload + ",", "an object cut short": payload[:len(payload)-1],
		"a byte order mark": "\ufeff" + payload, "a comment": payload + "//x", "a trailing comma": payload[:len(payload)-1] + ",}",
		"single quotes": `{'sub':'x'}`, "a NUL at the end": payload + "\x00", "a raw line end in a string": goodClaims().with("x", "\"a\nb\"").String(), "garbage": "garbage",
	} {
		rows = append(rows, refusal{"payload is " + name, w.sign(t, header, text), "segment is not JSON"})
	}
	for name, text := range map[string]string{"null": "null", "a list": "[" + payload + "]", "a string": `"x"`, "a number": "1", "true": "true"} {
		rows = append(rows,
			refusal{"payload is " + name, w.sign(t, header, text), "segment is not a JSON object"},
			refusal{"header is " + name, w.sign(t, text, payload), "segment is not a JSON object"})
	}
	rows = append(rows,
		refusal{"payload is an empty object", w.sign(t, header, "{}"), "iss is missing"},
		refusal{"payload is an empty object with space", w.sign(t, header, " { } "), "iss is missing"},
		refusal{"header is an empty object", w.sign(t, "{}", payload), "alg is missing"},
		refusal{"header is two objects", w.sign(t, header+header, payload), "segment is not JSON"},
	)
	checkRefusals(t, w.verifier, rows)
}

func TestTOK10_RevokedTokensAreRefused(t *testing.T) {
	w := newWorld(t)
	set := jwtauth.NewRevocationSet(atNoon)
	v, err := jwtauth.NewVerifier(w.keys, jwtauth.Config{Issuer: issuer, Audience: audience, Now: atNoon, Revoked: set.Revoked})
	must(t, err)
	raw := w.accessToken(t)
	if _, err := v.Verify(background, raw); err != nil {
		t.Fatalf("before: %v", err)
	}
	set.RevokeSession("session-1", noon.Add(2*time.Hour))
	checkRefusals(t, v, []refusal{{"after its session was revoked", raw, "revoked"}})
}

type keySourceFunc func(context.Context, string) (jwtauth.Key, error)

func (f keySourceFunc) Key(ctx context.Context, kid string) (jwtauth.Key, error) { return f(ctx, kid) }

// publicKeyForms are the bytes an attacker might hope to be used as HMAC key.
func publicKeyForms(t *testing.T, public *ecdsa.PublicKey, jwks []byte) map[string][]byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	must(t, err)
	point, err := public.Bytes()
	must(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return map[string][]byte{
		"DER": der, "PEM": text, "PEM without the last line end": text[:len(text)-1], "base64 of the DER": []byte(base64.StdEncoding.EncodeToString(der)),
		"the point": point, "x": point[1:33], "x and y": point[1:], "the JWK Set": jwks, "the kid": []byte(kid), "nothing": {},
	}
}

func asn1Signature(t *testing.T, private *ecdsa.PrivateKey, text string) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte(text))
	der, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
	must(t, err)
	return der
}

func manyClaims(n int) fields {
	f := goodClaims()
	for i := len(f); i < n; i++ {
		f = append(f, [2]string{"x" + strings.Repeat("y", i), "1"})
	}
	return f
}

// spareBits encodes s so that the unused bits of the last letter are not zero.
func spareBits(s string) string {
	for len(s)%3 == 0 {
		s += " "
	}
	text := b64(s)
	return text[:len(text)-1] + nextLetter(text[len(text)-1])
}

func nextLetter(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)+1])
}
