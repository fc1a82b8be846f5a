package jwtauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"wxbridge/jwtauth"
)

// greet answers with the subject of the token.
func greet(w http.ResponseWriter, r *http.Request) {
	c, _ := jwtauth.FromContext(r.Context())
	_, _ = io.WriteString(w, "hello "+c.Subject)
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestMiddlewareLetsAGoodTokenThrough(t *testing.T) {
	w := newWorld(t)
	got := serve(w.verifier.Middleware(http.HandlerFunc(greet)), request("Authorization: Bearer "+w.accessToken(t)))
	if got.Code != http.StatusOK || got.Body.String() != "hello fan-1" {
		t.Errorf("got %d %q", got.Code, got.Body)
	}
}

func TestTOK12_AllCausesGiveOneAnswer(t *testing.T) {
	w := newWorld(t)
	set := jwtauth.NewRevocationSet(atNoon)
	set.RevokeSession("session-1", noon.Add(time.Hour))
	v, err := jwtauth.NewVerifier(w.keys, jwtauth.Config{Issuer: issuer, Audience: audience, Now: atNoon, Revoked: set.Revoked})
	must(t, err)
	h := jwtauth.Gate{Verifier: v, CookieNames: []string{cookie}}.Handler(http.HandlerFunc(greet))
	good := w.accessToken(t)
	bad := func(f fields) string { return w.sign(t, goodHeader().String(), f.String()) }

	for name, headers := range map[string][]string{
		"revoked":               {"Authorization: Bearer " + good},
		"revoked, in a cookie":  {"Cookie: " + cookie + "=" + good},
		"garbage":               {"Authorization: Bearer x"},
		"no token at all":       {"Authorization: Bearer"},
		"a bad signature":       {"Authorization: Bearer " + good[:len(good)-10] + "AAAAAAAAAA"},
		"expired":               {"Authorization: Bearer " + bad(goodClaims().with("exp", "1"))},
		"another audience":      {"Authorization: Bearer " + bad(goodClaims().with("aud", `"x"`))},
		"another issuer":        {"Authorization: Bearer " + bad(goodClaims().with("iss", `"x"`))},
		"an unknown key":        {"Authorization: Bearer " + w.sign(t, goodHeader().with("kid", `"x"`).String(), goodClaims().String())},
		"two headers":           {"Authorization: Bearer x", "Authorization: Bearer y"},
		"bad beside a cookie":   {"Authorization: Bearer x", "Cookie: " + cookie + "=" + good},
		"a cookie with garbage": {"Cookie: " + cookie + "=x"},
	} {
		t.Run(name, func(t *testing.T) {
			checkUnauthorized(t, serve(h, request(headers...)), `Bearer error="invalid_token"`)
		})
	}
	for name, headers := range map[string][]string{
		"no credential":             nil,
		"another scheme":            {"Authorization: Basic YTpi"},
		"WEB-04 an empty cookie":    {"Cookie: " + cookie + "="},
		"WEB-04 a malformed cookie": {"Cookie: " + cookie + `="`},
		"WEB-04 a repeated cookie":  {"Cookie: " + cookie + "=" + good + "; " + cookie + "=" + good},
	} {
		t.Run(name, func(t *testing.T) { checkUnauthorized(t, serve(h, request(headers...)), "Bearer") })
	}
}

func checkUnauthorized(t *testing.T, got *httptest.ResponseRecorder, challenge string) {
	t.Helper()
	const body = `{"error":"invalid_token","error_description":"The access token is missing, expired, revoked or not valid."}` + "\n"
	if got.Code != http.StatusUnauthorized || got.Body.String() != body {
		t.Errorf("got %d %q", got.Code, got.Body)
	}
	for name, value := range map[string]string{"WWW-Authenticate": challenge, "Cache-Control": "no-store", "Content-Type": "application/json"} {
		if v := got.Header().Values(name); len(v) != 1 || v[0] != value {
			t.Errorf("%s: got %q, want %q", name, v, value)
		}
	}
}

func TestUnreachableKeysAre503(t *testing.T) {
	w := newWorld(t)
	v := newVerifier(t, keySourceFunc(func(context.Context, string) (jwtauth.Key, error) { return jwtauth.Key{}, errors.New("secret cause") }))
	got := serve(v.Middleware(http.HandlerFunc(greet)), request("Authorization: Bearer "+w.accessToken(t)))
	var body map[string]string
	must(t, json.Unmarshal(got.Body.Bytes(), &body))
	if got.Code != http.StatusServiceUnavailable || body["error"] != "temporarily_unavailable" || got.Header().Get("Retry-After") == "" || got.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("got %d %v %v", got.Code, got.Header(), body)
	}
}

func TestGateTakesCookiesOnlyWhereAsked(t *testing.T) {
	w := newWorld(t)
	r := func() *http.Request { return request("Cookie: " + cookie + "=" + w.accessToken(t)) }
	if got := serve(w.verifier.Middleware(http.HandlerFunc(greet)), r()); got.Code != http.StatusUnauthorized {
		t.Errorf("without cookie names: %d", got.Code)
	}
	g := jwtauth.Gate{Verifier: w.verifier, CookieNames: []string{cookie}}
	if got := serve(g.Handler(http.HandlerFunc(greet)), r()); got.Code != http.StatusOK {
		t.Errorf("with cookie names: %d", got.Code)
	}
}

func TestGateLetsTheServiceWriteItsOwnAnswer(t *testing.T) {
	w := newWorld(t)
	var seen error
	g := jwtauth.Gate{Verifier: w.verifier, Fail: func(w http.ResponseWriter, _ *http.Request, err error) {
		seen = err
		w.WriteHeader(http.StatusTeapot)
	}}
	if got := serve(g.Handler(http.HandlerFunc(greet)), request()); got.Code != http.StatusTeapot || !errors.Is(seen, jwtauth.ErrNoToken) {
		t.Errorf("got %d, %v", got.Code, seen)
	}
}

func TestFromContextIsFalseWhereNoMiddlewareRan(t *testing.T) {
	if c, ok := jwtauth.FromContext(background); ok {
		t.Errorf("got %+v", c)
	}
}
