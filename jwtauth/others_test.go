package jwtauth_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwx "github.com/lestrrat-go/jwx/v3/jwt"

	"wxbridge/jwtauth"
)

// others are independent verifiers, told to be as strict as they can be.
type others struct {
	keys   *jwtauth.KeySet
	set    jwk.Set
	parser *jwt.Parser
}

func newOthers(t testing.TB, keys *jwtauth.KeySet) *others {
	t.Helper()
	set, err := jwk.Parse(keys.JWKS())
	must(t, err)
	return &others{keys: keys, set: set, parser: jwt.NewParser(jwt.WithValidMethods([]string{"ES256", "EdDSA", "RS256"}), jwt.WithStrictDecoding(),
		jwt.WithExpirationRequired(), jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithIssuedAt(),
		jwt.WithLeeway(jwtauth.MaxLeeway), jwt.WithTimeFunc(atNoon))}
}

// mustAgree fails the test if one of them refuses what we accept, or reads another person in it.
func (o *others) mustAgree(t testing.TB, raw string, c jwtauth.Claims) {
	t.Helper()
	claims := jwt.MapClaims{}
	_, err := o.parser.ParseWithClaims(raw, claims, func(token *jwt.Token) (any, error) {
		id, _ := token.Header["kid"].(string)
		key, err := o.keys.Key(background, id)
		return key.Public(), err
	})
	switch {
	case err != nil:
		t.Fatalf("golang-jwt refuses what we accept: %v\n%q", err, readable(raw))
	case claims["sub"] != c.Subject || claims["jti"] != c.ID || claims["sid"] != c.SessionID:
		t.Fatalf("golang-jwt reads %v, we read %+v", claims, c)
	}
	if header := readable(raw)[0]; header != strings.TrimSpace(header) {
		return // jwx drops space around a header, and then its signature does not match
	}
	token, err := jwx.ParseString(raw, jwx.WithKeySet(o.set), jwx.WithIssuer(issuer), jwx.WithAudience(audience), jwx.WithRequiredClaim("exp"),
		jwx.WithAcceptableSkew(jwtauth.MaxLeeway), jwx.WithClock(jwx.ClockFunc(atNoon)))
	if err != nil {
		t.Fatalf("jwx refuses what we accept: %v\n%q", err, readable(raw))
	}
	subject, _ := token.Subject()
	id, _ := token.JwtID()
	if subject != c.Subject || id != c.ID {
		t.Fatalf("jwx reads %q, %q, we read %+v", subject, id, c)
	}
}

func readable(raw string) []string {
	var out []string
	for segment := range strings.SplitSeq(raw, ".") {
		text, _ := base64.RawURLEncoding.DecodeString(segment)
		out = append(out, string(text))
	}
	return out
}
