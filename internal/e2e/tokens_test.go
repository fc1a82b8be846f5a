package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

// access checks an access token with a library that knows nothing of this product, and gives its claims.
func (p *product) access(t testing.TB, raw string) map[string]any {
	t.Helper()
	keys, err := jwk.Parse(p.get(t, "/.well-known/jwks.json").body)
	if err != nil {
		t.Fatalf("read the JWKS: %v", err)
	}
	message, err := jws.Parse([]byte(raw))
	if err != nil {
		t.Fatalf("parse the access token: %v", err)
	}
	if typ, _ := message.Signatures()[0].ProtectedHeaders().Type(); typ != "at+jwt" {
		t.Errorf("access token has typ %q, want at+jwt", typ)
	}
	if alg, _ := message.Signatures()[0].ProtectedHeaders().Algorithm(); alg.String() != "ES256" {
		t.Errorf("access token has alg %q, want ES256", alg)
	}
	_, err = jwt.Parse([]byte(raw), jwt.WithKeySet(keys), jwt.WithValidate(true),
		jwt.WithIssuer(p.bridge), jwt.WithAudience(p.bridge+"/api"), jwt.WithRequiredClaim("exp"))
	if err != nil {
		t.Fatalf("verify the access token: %v", err)
	}
	return payload(t, raw)
}

// identity checks an ID token with an OpenID client, and gives its claims.
func (p *product) identity(t testing.TB, raw string) map[string]any {
	t.Helper()
	ctx := oidc.ClientContext(context.Background(), p.http)
	verifier := oidc.NewVerifier(p.bridge, oidc.NewRemoteKeySet(ctx, p.bridge+"/.well-known/jwks.json"),
		&oidc.Config{ClientID: "wxbridge", SupportedSigningAlgs: []string{oidc.ES256}})
	if _, err := verifier.Verify(ctx, raw); err != nil {
		t.Fatalf("verify the ID token: %v", err)
	}
	if typ := joseHeader(t, raw)["typ"]; typ != "JWT" {
		t.Errorf("ID token has typ %v, want JWT", typ)
	}
	return payload(t, raw)
}

func joseHeader(t testing.TB, raw string) map[string]any { return jwtPart(t, raw, 0) }
func payload(t testing.TB, raw string) map[string]any    { return jwtPart(t, raw, 1) }

func jwtPart(t testing.TB, raw string, i int) map[string]any {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %d parts", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// subject is who an unchecked token speaks of; "" for no token.
func subject(raw string) string {
	_, rest, _ := strings.Cut(raw, ".")
	middle, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(middle)
	if err != nil {
		return ""
	}
	var claims struct{ Sub string }
	if json.Unmarshal(text, &claims) != nil {
		return ""
	}
	return claims.Sub
}

func numericDate(t testing.TB, claims map[string]any, name string) time.Time {
	t.Helper()
	n, ok := claims[name].(float64)
	if !ok || n != float64(int64(n)) {
		t.Fatalf("%s is %v, want whole seconds", name, claims[name])
	}
	return time.Unix(int64(n), 0)
}

func wantKeys(t testing.TB, what string, object map[string]any, required []string, optional ...string) {
	t.Helper()
	for _, name := range required {
		if _, ok := object[name]; !ok {
			t.Errorf("%s lacks %q: %v", what, name, object)
		}
	}
	for name := range object {
		if !slices.Contains(required, name) && !slices.Contains(optional, name) {
			t.Errorf("%s has %q, which nobody promised", what, name)
		}
	}
}

// get is a plain GET by an API client: no cookies, JSON wanted.
func (p *product) get(t testing.TB, path string) hop {
	t.Helper()
	return p.api(t, http.MethodGet, path, "", "")
}

// api sends a request with an optional Bearer token and an optional JSON body.
func (p *product) api(t testing.TB, method, path, token, body string) hop {
	t.Helper()
	h, err := p.tryAPI(method, path, token, body)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (p *product) tryAPI(method, path, token, body string) (hop, error) {
	header := http.Header{"Accept": {"application/json"}, "User-Agent": {"e2e"}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		header.Set("Content-Type", "application/json")
	}
	return (&phone{product: p}).send(method, p.bridge+path, header, []byte(body))
}

func decode(t testing.TB, h hop) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(h.body, &out); err != nil {
		t.Fatalf("%v: not a JSON object: %v: %s", h, err, h.body)
	}
	return out
}
