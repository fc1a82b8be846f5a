package ginauth_test

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/jwtauth"
	"wxbridge/jwtauth/ginauth"
)

const issuer, audience = "https://login.example.com", "https://login.example.com/api"

func newVerifier(t *testing.T) (*jwtauth.Verifier, string) {
	t.Helper()
	key, err := jwtauth.GenerateKey(jwtauth.ES256)
	must(t, err)
	keys, err := jwtauth.NewKeySet(key)
	must(t, err)
	i, err := jwtauth.NewIssuer(keys, jwtauth.IssuerConfig{Issuer: issuer, Audience: audience, ClientID: "wxbridge", TTL: time.Hour})
	must(t, err)
	raw, _, err := i.AccessToken(jwtauth.Claims{Subject: "fan-1", SessionID: "s", AuthTime: time.Now(), Provider: "mini_program", AppID: "wx1", OpenID: "o1"})
	must(t, err)
	v, err := jwtauth.NewVerifier(keys, jwtauth.Config{Issuer: issuer, Audience: audience})
	must(t, err)
	return v, raw
}

func router(guard gin.HandlerFunc) (*gin.Engine, *int) {
	gin.SetMode(gin.TestMode)
	reached := 0
	r := gin.New()
	r.GET("/me", guard, func(c *gin.Context) {
		reached++
		claims, ok := ginauth.Claims(c)
		if !ok {
			c.Status(http.StatusTeapot)
			return
		}
		c.String(http.StatusOK, claims.Subject)
	})
	return r, &reached
}

func get(h http.Handler, name, value string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/me", nil)
	if name != "" {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRequireLetsAGoodTokenThrough(t *testing.T) {
	v, raw := newVerifier(t)
	r, _ := router(ginauth.Require(v))
	if got := get(r, "Authorization", "Bearer "+raw); got.Code != http.StatusOK || got.Body.String() != "fan-1" {
		t.Errorf("got %d %q", got.Code, got.Body)
	}
}

func TestTOK12_RequireAnswersAsNetHTTPDoesAndStops(t *testing.T) {
	v, raw := newVerifier(t)
	r, reached := router(ginauth.Require(v))
	plain := v.Middleware(http.NotFoundHandler())
	for name, header := range map[string][2]string{
		"no credential": {"", ""}, "a bad token": {"Authorization", "Bearer x"}, "a token in a cookie nobody asked for": {"Cookie", "t=" + raw},
	} {
		got, want := get(r, header[0], header[1]), get(plain, header[0], header[1])
		if got.Code != http.StatusUnauthorized || got.Body.String() != want.Body.String() ||
			got.Header().Get("WWW-Authenticate") != want.Header().Get("WWW-Authenticate") || got.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %d %v %q", name, got.Code, got.Header(), got.Body)
		}
	}
	if *reached != 0 {
		t.Error("a refused request reached the handler")
	}
}

func TestGateTakesCookiesAndAnswersOfOnesOwn(t *testing.T) {
	v, raw := newVerifier(t)
	r, _ := router(ginauth.Gate(jwtauth.Gate{Verifier: v, CookieNames: []string{"t"}, Fail: func(w http.ResponseWriter, _ *http.Request, _ error) {
		w.WriteHeader(http.StatusPaymentRequired)
	}}))
	if got := get(r, "Cookie", "t="+raw); got.Code != http.StatusOK {
		t.Errorf("with the cookie: %d", got.Code)
	}
	if got := get(r, "", ""); got.Code != http.StatusPaymentRequired {
		t.Errorf("without: %d", got.Code)
	}
}

func TestClaimsAreFalseWhereRequireDidNotRun(t *testing.T) {
	r, _ := router(func(*gin.Context) {})
	if got := get(r, "", ""); got.Code != http.StatusTeapot {
		t.Errorf("got %d", got.Code)
	}
}

// A service that imports jwtauth alone must not compile gin.
func TestJWTAuthItselfNeedsNoGin(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "wxbridge/jwtauth").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for pkg := range strings.Lines(string(out)) {
		if strings.HasPrefix(pkg, "github.com/gin-gonic/") {
			t.Errorf("jwtauth depends on %s", pkg)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
