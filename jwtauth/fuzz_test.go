package jwtauth_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"wxbridge/jwtauth"
)

// Whatever the text, Verify answers a refusal or the claims of a token that
// other libraries, told to be strict, read the same way.
func FuzzVerify(f *testing.F) {
	w := sameWorld(f)
	good := w.accessToken(f)
	for _, seed := range []string{
		good, "", "..", good + ".", strings.ToUpper(good), good[:len(good)-1], good + "=", "\n" + good,
		w.sign(f, `{"alg":"none"}`, `{}`), w.sign(f, goodHeader().with("crit", "[]").String(), goodClaims().String()),
		w.sign(f, goodHeader().String(), "null"), w.sign(f, goodHeader().String(), goodClaims().with("exp", `"1"`).String()),
	} {
		f.Add(seed)
	}
	others := newOthers(f, w.keys)
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := w.verifier.Verify(background, raw)
		if err != nil {
			if !errors.Is(err, jwtauth.ErrInvalid) || c != (jwtauth.Claims{}) {
				t.Fatalf("got %v with claims %+v", err, c)
			}
			return
		}
		others.mustAgree(t, raw, c)
	})
}

// The same for header and payload behind a good signature, where a fuzzer
// cannot come by itself.
func FuzzVerifySigned(f *testing.F) {
	w := sameWorld(f)
	others := newOthers(f, w.keys)
	header, claims := goodHeader().String(), goodClaims().String()
	for _, seed := range [][2]string{
		{header, claims}, {header, "null"}, {header, "{}"}, {"{}", claims}, {header, claims + claims},
		{header, goodClaims().twice("exp", "1").String()}, {header, goodClaims().with("aud", `["a",{"b":"}"}]`).String()},
		{header, `{"a":"\\","b":"\"","c":[{"d":"]"}],"e":-1.5e+3 , "f" : null }`}, {header, `{"\ud800":1}`}, {header, " {\n\"a\" :\t1\r} "},
		{goodHeader().with("crit", `["a"]`).String(), claims}, {goodHeader().with("kid", "1").String(), claims},
		{header, goodClaims().with(`s\u0075b`, `"x"`).String()}, {header, goodClaims().with("sub", `"\ud83d\ude00"`).String()},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, header, payload string) {
		raw := w.sign(t, header, payload)
		c, err := w.verifier.Verify(background, raw)
		if err != nil {
			if !errors.Is(err, jwtauth.ErrInvalid) {
				t.Fatalf("got %v", err)
			}
			return
		}
		// The standard library's map keeps the spelling of names and the last of
		// repeated ones: where all are different both must agree.
		var std map[string]any
		if err := json.Unmarshal([]byte(payload), &std); err != nil || !utf8.ValidString(payload) {
			t.Fatalf("accepted a payload that is not JSON: %v", err)
		}
		if std["sub"] != c.Subject || std["jti"] != c.ID || std["iss"] != issuer || c.Subject == "" {
			t.Fatalf("encoding/json reads %v, we read %+v", std, c)
		}
		others.mustAgree(t, raw, c)
	})
}

// What comes out is something a header or a lone cookie really said, made of a
// token's characters only.
func FuzzTokenFromRequest(f *testing.F) {
	for _, seed := range [][3]string{
		{"Bearer a.b.c", "", ""}, {"bearer  a", "", "wxbridge_token=c"}, {"Basic x", "", "wxbridge_token=c; wxbridge_token=d"},
		{"Bearer", "Bearer a", ""}, {"", "", `wxbridge_token="`}, {"", "", "wxbridge_token"}, {"Bearer\ta", "", ";;=;wxbridge_token=a="},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, first, second, cookies string) {
		r := &http.Request{Header: http.Header{}}
		for _, h := range []string{first, second} {
			if h != "" {
				r.Header["Authorization"] = append(r.Header["Authorization"], h)
			}
		}
		r.Header["Cookie"] = []string{cookies}
		raw, source, err := jwtauth.TokenFromRequest(r, cookie)
		if err != nil {
			if raw != "" || source != jwtauth.SourceBearer || !errors.Is(err, jwtauth.ErrInvalid) {
				t.Fatalf("got %q, %v, %v", raw, source, err)
			}
			return
		}
		if (raw == "") != (source == jwtauth.SourceNone) || len(raw) > jwtauth.MaxTokenBytes || strings.ContainsAny(raw, " \t\r\n\",;=%") {
			t.Fatalf("got %q, %v", raw, source)
		}
		switch source {
		case jwtauth.SourceBearer:
			if second != "" && first != "" || !strings.HasSuffix(strings.TrimSpace(first+second), raw) {
				t.Fatalf("got %q from %q and %q", raw, first, second)
			}
		case jwtauth.SourceCookie:
			if std := r.CookiesNamed(cookie); len(std) != 1 || std[0].Value != raw {
				t.Fatalf("got %q from %q, net/http reads %v", raw, cookies, std)
			}
		}
	})
}

func FuzzDecodeJWKS(f *testing.F) {
	w := sameWorld(f)
	for _, seed := range []string{string(w.keys.JWKS()), `{"keys":[]}`, `{"keys":[null,{}]}`, `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"k"}]}`, "null", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		keys, err := jwtauth.DecodeJWKS(document)
		for id, k := range keys {
			if err != nil || id == "" || k.ID() != id || k.Alg() == "" || k.Public() == nil {
				t.Fatalf("got key %q as %v, %v", id, k, err)
			}
			if _, err := k.MarshalPrivate(); err == nil {
				t.Fatal("a fetched key has a private part")
			}
		}
	})
}
