package jwtauth_test

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"wxbridge/jwtauth"
)

// bareClaims are our access token's claims, the way a user of bare golang-jwt
// would declare them.
type bareClaims struct {
	jwt.RegisteredClaims
	ClientID  string `json:"client_id"`
	SessionID string `json:"sid"`
	AuthTime  int64  `json:"auth_time"`
	Provider  string `json:"provider"`
	AppID     string `json:"appid"`
	OpenID    string `json:"openid"`
	UnionID   string `json:"unionid"`
	Role      string `json:"role"`
}

func newBareClaims() bareClaims {
	return bareClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Subject: "fan-1", Audience: jwt.ClaimStrings{audience}, ID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
			IssuedAt: jwt.NewNumericDate(noon), ExpiresAt: jwt.NewNumericDate(noon.Add(2 * time.Hour)),
		},
		ClientID: clientID, SessionID: "session-1", AuthTime: noon.Unix(),
		Provider: "official_account", AppID: "wx1234", OpenID: "oAbC-1", UnionID: "uXyZ", Role: "staff",
	}
}

func BenchmarkSign(b *testing.B) {
	w := newWorld(b)
	b.Run("jwtauth", func(b *testing.B) {
		b.ReportAllocs()
		c := login()
		for b.Loop() {
			if _, _, err := w.issuer.AccessToken(c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("golang-jwt", func(b *testing.B) {
		b.ReportAllocs()
		c := newBareClaims()
		for b.Loop() {
			t := jwt.NewWithClaims(jwt.SigningMethodES256, c)
			t.Header["kid"] = kid
			if _, err := t.SignedString(w.private); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	raw := w.accessToken(b)
	plain, err := jwtauth.NewVerifier(w.keys, jwtauth.Config{Issuer: issuer, Audience: audience, Now: atNoon})
	must(b, err)
	for name, v := range map[string]*jwtauth.Verifier{"jwtauth": plain, "jwtauth from memory": w.verifier} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(background, raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("jwtauth with a revocation set", func(b *testing.B) {
		set := jwtauth.NewRevocationSet(atNoon)
		for _, sid := range []string{"a", "b", "c"} {
			set.RevokeSession(sid, noon.Add(time.Hour))
		}
		v, err := jwtauth.NewVerifier(w.keys, jwtauth.Config{Issuer: issuer, Audience: audience, Now: atNoon, Revoked: set.Revoked})
		must(b, err)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(background, raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding(), jwt.WithTimeFunc(atNoon))
	key := func(*jwt.Token) (any, error) { return &w.private.PublicKey, nil }
	b.Run("golang-jwt", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var c bareClaims
			if _, err := parser.ParseWithClaims(raw, &c, key); err != nil {
				b.Fatal(err)
			}
		}
	})
}
