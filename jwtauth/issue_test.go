package jwtauth_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"wxbridge/jwtauth"
)

// decode reads header and claims of a token without checking it.
func decode(t testing.TB, raw string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(raw, ".")
	must(t, json.Unmarshal([]byte(unb64(t, parts[0])), &header))
	must(t, json.Unmarshal([]byte(unb64(t, parts[1])), &claims))
	return header, claims
}

func TestTOK07_TOK13_AccessTokenCarriesExactlyTheseClaims(t *testing.T) {
	w := newWorld(t)
	header, claims := decode(t, w.accessToken(t))
	want(t, header, map[string]any{"alg": "ES256", "kid": kid, "typ": "at+jwt"})
	jti, _ := claims["jti"].(string)
	if len(jti) < 26 {
		t.Errorf("jti %q is too short to be unique", jti)
	}
	delete(claims, "jti")
	want(t, claims, map[string]any{
		"iss": issuer, "sub": "fan-1", "aud": audience, "client_id": clientID, "sid": "session-1",
		"iat": unix(noon), "exp": unix(noon.Add(2 * time.Hour)), "auth_time": unix(noon),
		"provider": "official_account", "appid": "wx1234", "openid": "oAbC-1", "unionid": "uXyZ", "role": "staff",
	})
}

func TestAccessTokenLeavesOutWhatIsNotKnown(t *testing.T) {
	w := newWorld(t)
	c := login()
	c.UnionID, c.Role = "", ""
	raw, _, err := w.issuer.AccessToken(c)
	must(t, err)
	_, claims := decode(t, raw)
	for _, name := range []string{"unionid", "role", "nbf"} {
		if v, ok := claims[name]; ok {
			t.Errorf("%s is there: %v", name, v)
		}
	}
	if _, err := w.verifier.Verify(background, raw); err != nil {
		t.Error(err)
	}
}

func TestTOK07_IDTokenCarriesExactlyTheseClaims(t *testing.T) {
	w := newWorld(t)
	raw, err := w.issuer.IDToken(jwtauth.IDClaims{Subject: "fan-1", AuthTime: noon.Add(-time.Hour), Nickname: "小红 <b>&\"", Picture: "https://thx.qlogo.cn/a?x=1&y=2"})
	must(t, err)
	header, claims := decode(t, raw)
	want(t, header, map[string]any{"alg": "ES256", "kid": kid, "typ": "JWT"})
	want(t, claims, map[string]any{
		"iss": issuer, "sub": "fan-1", "aud": clientID, "iat": unix(noon), "exp": unix(noon.Add(2 * time.Hour)),
		"auth_time": unix(noon.Add(-time.Hour)), "nickname": "小红 <b>&\"", "picture": "https://thx.qlogo.cn/a?x=1&y=2",
	})
}

func TestTOK07_EveryTokenHasItsOwnJTI(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{}
	for range 1000 {
		_, c, err := w.issuer.AccessToken(login())
		must(t, err)
		if seen[c.ID] {
			t.Fatalf("jti %q came twice", c.ID)
		}
		seen[c.ID] = true
	}
}

func TestAccessTokenClaimsSurviveHostileText(t *testing.T) {
	w := newWorld(t)
	for _, text := range []string{`"`, `\`, "a\nb", "\x00", "\u2028", "<&>", "名", "😀", `","sub":"other`, strings.Repeat("é", 500), "\ufffd", "\ufffd\""} {
		c := login()
		c.Subject, c.OpenID = text, text
		raw, _, err := w.issuer.AccessToken(c)
		must(t, err)
		got, err := w.verifier.Verify(background, raw)
		if err != nil || got.Subject != text || got.OpenID != text {
			t.Errorf("%q: got %q, %q, %v", text, got.Subject, got.OpenID, err)
		}
	}
}

func TestAccessTokenNeedsWhatItsReadersRelyOn(t *testing.T) {
	w := newWorld(t)
	for name, spoil := range map[string]func(*jwtauth.Claims){
		"no subject":                  func(c *jwtauth.Claims) { c.Subject = "" },
		"no session":                  func(c *jwtauth.Claims) { c.SessionID = "" },
		"no time of login":            func(c *jwtauth.Claims) { c.AuthTime = time.Time{} },
		"no provider":                 func(c *jwtauth.Claims) { c.Provider = "" },
		"no app":                      func(c *jwtauth.Claims) { c.AppID = "" },
		"no openid":                   func(c *jwtauth.Claims) { c.OpenID = "" },
		"an openid that is not UTF-8": func(c *jwtauth.Claims) { c.OpenID = "a\xff" },
		"an issue time far ahead":     func(c *jwtauth.Claims) { c.IssuedAt = noon.Add(2 * time.Minute) },
		"more than a verifier takes":  func(c *jwtauth.Claims) { c.Role = strings.Repeat("r", jwtauth.MaxTokenBytes) },
	} {
		c := login()
		spoil(&c)
		if raw, _, err := w.issuer.AccessToken(c); err == nil || raw != "" {
			t.Errorf("%s: got a token", name)
		}
	}
}

func TestTimeOfIssueFollowsTheCutButNeverThePast(t *testing.T) {
	w := newWorld(t)
	for _, row := range []struct {
		name       string
		given, iat time.Time
	}{
		{"nothing given: now", time.Time{}, noon},
		{"the next whole second, a revocation cut", noon.Add(time.Second), noon.Add(time.Second)},
		{"the time of an older token, renewed", noon.Add(-time.Hour), noon},
	} {
		c := login()
		c.IssuedAt = row.given
		_, out, err := w.issuer.AccessToken(c)
		must(t, err)
		if !out.IssuedAt.Equal(row.iat) || !out.ExpiresAt.Equal(row.iat.Add(2*time.Hour)) {
			t.Errorf("%s: got iat %v, exp %v", row.name, out.IssuedAt, out.ExpiresAt)
		}
	}
}

func TestTOK10_TokenInsideTheCutPassesAndOlderOnesDoNot(t *testing.T) {
	now := noon.Add(400 * time.Millisecond)
	w := newWorld(t)
	clock := func() time.Time { return now }
	set := jwtauth.NewRevocationSet(clock)
	v, err := jwtauth.NewVerifier(w.keys, jwtauth.Config{Issuer: issuer, Audience: audience, Now: clock, Revoked: set.Revoked})
	must(t, err)
	i := newIssuer(t, w.keys, clock)
	before, _, err := i.AccessToken(login())
	must(t, err)

	set.RevokeSubject("fan-1", noon.Add(time.Second), noon.Add(3*time.Hour))
	again := login()
	again.IssuedAt, _ = set.SubjectCut("fan-1")
	after, _, err := i.AccessToken(again)
	must(t, err)

	checkRefusals(t, v, []refusal{{"issued in the same second, before the cut", before, "revoked"}})
	if _, err := v.Verify(background, after); err != nil {
		t.Errorf("issued at the cut: %v", err)
	}
}

func TestWEB05_AnIDTokenAlwaysFitsACookie(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]jwtauth.IDClaims{
		"64 emoji and 512 letters":      {Nickname: strings.Repeat("😀", 64), Picture: "https://thx.qlogo.cn/" + strings.Repeat("a", 491)},
		"64 quotes and 512 ampersands":  {Nickname: strings.Repeat(`"`, 64), Picture: strings.Repeat("&", 512)},
		"512 line separators":           {Picture: strings.Repeat("\u2028", 512)},
		"64 control characters":         {Nickname: strings.Repeat("\x01", 64), Picture: "https://thx.qlogo.cn/a"},
		"a picture of 100 KB":           {Nickname: "Alice", Picture: strings.Repeat("a", 100<<10)},
		"a nickname and picture of 1MB": {Nickname: strings.Repeat("n", 1<<20), Picture: strings.Repeat("a", 1<<20)},
	} {
		c.Subject, c.AuthTime = "0190c5a0-0000-7000-8000-000000000000", noon
		raw, err := w.issuer.IDToken(c)
		must(t, err)
		_, claims := decode(t, raw)
		if len(raw) > jwtauth.MaxIDTokenBytes || claims["sub"] != c.Subject {
			t.Errorf("%s: %d bytes, sub %v", name, len(raw), claims["sub"])
		}
		if len(c.Nickname) < 1000 && claims["nickname"] != c.Nickname {
			t.Errorf("%s: nickname was dropped though it fits", name)
		}
		if len(c.Picture) < 520 && claims["picture"] != c.Picture {
			t.Errorf("%s: picture was dropped though it fits", name)
		}
	}
	long := jwtauth.IDClaims{Subject: strings.Repeat("s", 4000), AuthTime: noon}
	if raw, err := w.issuer.IDToken(long); err == nil {
		t.Errorf("a subject of 4,000 bytes gave a token of %d", len(raw))
	}
}

func TestTOK06_EqualAudiencesAreRefused(t *testing.T) {
	w := newWorld(t)
	good := jwtauth.IssuerConfig{Issuer: issuer, Audience: audience, ClientID: clientID, TTL: time.Hour}
	for name, spoil := range map[string]func(*jwtauth.IssuerConfig){
		"TOK-06 audience equal to client id": func(c *jwtauth.IssuerConfig) { c.Audience = clientID },
		"no issuer":                          func(c *jwtauth.IssuerConfig) { c.Issuer = "" },
		"no audience":                        func(c *jwtauth.IssuerConfig) { c.Audience = "" },
		"no client id":                       func(c *jwtauth.IssuerConfig) { c.ClientID = "" },
		"no life":                            func(c *jwtauth.IssuerConfig) { c.TTL = 0 },
		"a negative life":                    func(c *jwtauth.IssuerConfig) { c.TTL = -time.Hour },
	} {
		c := good
		spoil(&c)
		if _, err := jwtauth.NewIssuer(w.keys, c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := jwtauth.NewIssuer(nil, good); err == nil {
		t.Error("no keys: accepted")
	}
	if _, err := jwtauth.NewIssuer(w.keys, good); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
}

func TestIssuerSignsWithTheKeyOfTheMoment(t *testing.T) {
	w := newWorld(t)
	before := w.accessToken(t)
	next, err := jwtauth.GenerateKey(jwtauth.ES256)
	must(t, err)
	must(t, w.keys.Replace(next, w.keys.Signing()))
	after := w.accessToken(t)
	header, _ := decode(t, after)
	if header["kid"] != next.ID() {
		t.Errorf("got kid %v, want %v", header["kid"], next.ID())
	}
	for name, raw := range map[string]string{"before": before, "after": after} {
		if _, err := w.verifier.Verify(background, raw); err != nil {
			t.Errorf("%s the change of keys: %v", name, err)
		}
	}
	must(t, w.keys.Replace(next))
	checkRefusals(t, w.verifier, []refusal{{"after the old key was dropped", before, "unknown kid"}})
}

// golang-jwt itself must read what we write by hand.
func TestGolangJWTReadsOurTokens(t *testing.T) {
	w := newWorld(t)
	var claims jwt.RegisteredClaims
	token, err := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithStrictDecoding(), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(atNoon)).ParseWithClaims(w.accessToken(t), &claims, func(*jwt.Token) (any, error) {
		return &w.private.PublicKey, nil
	})
	must(t, err)
	if !token.Valid || claims.Subject != "fan-1" {
		t.Errorf("got %+v", claims)
	}
}

func want(t *testing.T, got, want map[string]any) {
	t.Helper()
	names := slices.Sorted(maps.Keys(got))
	if !maps.Equal(got, want) {
		t.Errorf("got  %v (%v)\nwant %v", got, names, want)
	}
}

func unix(t time.Time) any { return float64(t.Unix()) }
