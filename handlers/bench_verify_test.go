package handlers_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/internal/logging"
	"wxbridge/internal/metrics"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
	"wxbridge/templates"
)

// benchTokens is how many tokens are in use at once.
const benchTokens = 1000

// BenchmarkAuthVerify measures /auth/verify with a thousand tokens in rotation, beside a bare gin handler that answers 200;
// and tokens never seen before, beside a gin handler around bare golang-jwt. It leaves the network out: what is left is the
// work and the allocations that the bridge adds. The numbers over real connections are those of TestVerifyRate in
// internal/e2e.
//
//	go test ./handlers -run '^$' -bench AuthVerify -count 5
func BenchmarkAuthVerify(b *testing.B) {
	b.Run("bare gin", func(b *testing.B) { newVerifyBench(b, jwtauth.ES256).known(b, bareGin(), bearer) })
	for _, alg := range []string{jwtauth.ES256, jwtauth.EdDSA, jwtauth.RS256} {
		b.Run(alg, func(b *testing.B) {
			bench := newVerifyBench(b, alg)
			bridge := bench.bridge(b)
			b.Run("known, Bearer", func(b *testing.B) { bench.known(b, bridge, bearer) })
			b.Run("known, cookie", func(b *testing.B) { bench.known(b, bridge, cookie) })
			b.Run("known, both cookies", func(b *testing.B) { bench.known(b, bridge, bothCookies) })
			b.Run("known, shortcut", func(b *testing.B) { bench.shortcut(b, bridge) })
			b.Run("new", func(b *testing.B) { bench.unseen(b, bridge) })
			b.Run("new, golang-jwt", func(b *testing.B) { bench.unseen(b, bench.bareJWT()) })
		})
	}
}

// TestAuthVerify_Allocations holds what a known token may cost: 3 allocations more than the bare handler, which are the
// header's first entry, the identity headers and the request's id; and the encoded name, where there is one. Before the HTTP
// server sees the request, it is the id alone.
func TestAuthVerify_Allocations(t *testing.T) {
	bench := newVerifyBench(t, jwtauth.ES256)
	bare := bench.allocations(t, bareGin(), bearer)
	bridge := bench.bridge(t)
	for _, row := range []struct {
		name       string
		credential credential
		more       float64
	}{{"Bearer", bearer, 3}, {"cookie", cookie, 3}, {"both cookies", bothCookies, 4}} {
		if n := bench.allocations(t, bridge, row.credential); n > bare+row.more {
			t.Errorf("%s: %v allocations, the bare handler has %v", row.name, n, bare)
		}
	}
	request := bench.requests(bearer)[0]
	response := make([]byte, 0, 1024)
	n := testing.AllocsPerRun(1000, func() {
		if _, ok := bridge.ForwardAuth().Answer(response, request); !ok {
			t.Fatal("no answer")
		}
	})
	if n > 1 {
		t.Errorf("before the HTTP server: %v allocations", n)
	}
}

type verifyBench struct {
	alg     string
	private any
	keys    *jwtauth.KeySet
	issuer  *jwtauth.Issuer
	tokens  []string
	ids     []string
}

const benchIssuer = "https://login.example.com"

func newVerifyBench(t testing.TB, alg string) *verifyBench {
	t.Helper()
	v := &verifyBench{alg: alg}
	var err error
	switch alg {
	case jwtauth.ES256:
		v.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jwtauth.EdDSA:
		_, v.private, err = ed25519.GenerateKey(rand.Reader)
	case jwtauth.RS256:
		v.private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(v.private)
	must(t, err)
	key, err := jwtauth.ParsePrivateKey("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", der)
	must(t, err)
	v.keys, err = jwtauth.NewKeySet(key)
	must(t, err)
	v.issuer, err = jwtauth.NewIssuer(v.keys, jwtauth.IssuerConfig{Issuer: benchIssuer, Audience: benchIssuer + "/api",
		ClientID: "wxbridge", TTL: tokenTTL, CacheBytes: 4 << 20})
	must(t, err)
	for i := range benchTokens {
		v.tokens = append(v.tokens, v.token(t, i))
		id, err := v.issuer.IDToken(jwtauth.IDClaims{Subject: benchSubject(i), AuthTime: time.Now(), Nickname: "小红", Picture: "https://thirdwx.qlogo.cn/mmopen/x/132"})
		must(t, err)
		v.ids = append(v.ids, id)
	}
	return v
}

func benchSubject(i int) string { return fmt.Sprintf("01890000-0000-7000-8000-%012d", i) }

func (v *verifyBench) token(t testing.TB, i int) string {
	raw, _, err := v.issuer.AccessToken(jwtauth.Claims{Subject: benchSubject(i), SessionID: rand.Text(), AuthTime: time.Now(),
		Provider: db.ProviderOfficialAccount, AppID: "wx0123456789abcdef", OpenID: fmt.Sprintf("o%027d", i), UnionID: fmt.Sprintf("u%027d", i)})
	must(t, err)
	return raw
}

// bridge is the whole server with log and metrics as shipped; the log goes into a file that takes everything.
func (v *verifyBench) bridge(t testing.TB) *handlers.Server {
	store, err := db.Open(context.Background(), "sqlite://"+filepath.Join(t.TempDir(), "bench.db"), time.Now)
	must(t, err)
	t.Cleanup(func() { _ = store.Close() })
	box, err := seal.New([]byte(strings.Repeat("0123456789abcdef", 2)))
	must(t, err)
	pages, err := templates.New()
	must(t, err)
	revocations := jwtauth.NewRevocationSet(time.Now)
	revocations.RevokeSession("another", time.Now().Add(tokenTTL))
	verifier, err := jwtauth.NewVerifier(v.keys, jwtauth.Config{Issuer: benchIssuer, Audience: benchIssuer + "/api",
		Revoked: revocations.Revoked, CacheBytes: 8 << 20})
	must(t, err)
	log, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	must(t, err)
	lines := logging.NewWriter(log)
	t.Cleanup(func() { lines.Close(); _ = log.Close() })
	server, err := handlers.New(handlers.Config{PublicURL: mustURL(t, benchIssuer), TokenTTL: tokenTTL, SessionTTL: sessionTTL,
		JWKSMaxAge: time.Minute, Store: store, Keys: v.keys, Issuer: v.issuer, Verifier: verifier, Revocations: revocations,
		Box: box, Pages: pages, CookieDomain: "example.com", Logger: slog.New(logging.NewHandler(lines, slog.LevelInfo)),
		Observe: handlers.Observer{Route: metrics.New("test").Route}})
	must(t, err)
	return server
}

func bareGin() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.GET("/auth/verify", func(c *gin.Context) { c.Status(http.StatusOK) })
	return engine
}

// bareJWT checks what a careful user of golang-jwt checks.
func (v *verifyBench) bareJWT() http.Handler {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{v.alg}), jwt.WithIssuer(benchIssuer), jwt.WithAudience(benchIssuer+"/api"),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding())
	public := v.keys.Signing().Public()
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.GET("/auth/verify", func(c *gin.Context) {
		raw, ok := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
		if !ok {
			c.Status(http.StatusUnauthorized)
			return
		}
		claims := jwt.MapClaims{}
		_, err := parser.ParseWithClaims(raw, claims, func(t *jwt.Token) (any, error) {
			if t.Header["kid"] != v.keys.Signing().ID() || t.Header["typ"] != "at+jwt" {
				return nil, errors.New("another key")
			}
			return public, nil
		})
		if err != nil {
			c.Status(http.StatusUnauthorized)
			return
		}
		c.Header("Remote-User", claims["sub"].(string))
		c.Status(http.StatusOK)
	})
	return engine
}

// credential puts the n-th token into a request.
type credential func(v *verifyBench, h http.Header, n int)

func bearer(v *verifyBench, h http.Header, n int) { h.Set("Authorization", "Bearer "+v.tokens[n]) }
func cookie(v *verifyBench, h http.Header, n int) { h.Set("Cookie", "wxbridge_token="+v.tokens[n]) }
func bothCookies(v *verifyBench, h http.Header, n int) {
	h.Set("Cookie", "lang=zh; wxbridge_token="+v.tokens[n]+"; wxbridge_id="+v.ids[n])
}

// requests are one for each token, as a proxy sends them.
func (v *verifyBench) requests(put credential) []*http.Request {
	var all []*http.Request
	for n := range v.tokens {
		r := httptest.NewRequest(http.MethodGet, "/auth/verify", nil)
		r.Header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) MicroMessenger/8.0.50")
		r.Header.Set("Accept", "text/html,application/xhtml+xml")
		put(v, r.Header, n)
		all = append(all, r)
	}
	return all
}

// nowhere is a response that is thrown away. Like net/http it has a new header map each time.
type nowhere struct {
	header http.Header
	status int
}

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) WriteHeader(status int)      { w.status = status }
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }

func ask(t testing.TB, h http.Handler, r *http.Request) {
	w := nowhere{header: http.Header{}, status: http.StatusOK}
	h.ServeHTTP(&w, r)
	if w.status != http.StatusOK {
		t.Fatalf("status %d", w.status)
	}
}

func (v *verifyBench) known(b *testing.B, h http.Handler, put credential) {
	requests := v.requests(put)
	for _, r := range requests {
		ask(b, h, r)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		ask(b, h, requests[n%len(requests)])
		n++
	}
}

// shortcut is known for requests that no HTTP server sees.
func (v *verifyBench) shortcut(b *testing.B, server *handlers.Server) {
	f := server.ForwardAuth()
	requests := v.requests(bearer)
	for _, r := range requests {
		ask(b, server, r)
	}
	b.ReportAllocs()
	var response []byte
	n := 0
	for b.Loop() {
		var ok bool
		if response, ok = f.Answer(response[:0], requests[n%len(requests)]); !ok {
			b.Fatal("no answer")
		}
		n++
	}
}

func (v *verifyBench) unseen(b *testing.B, h http.Handler) {
	r := v.requests(bearer)[0]
	defer func(known []string) { v.tokens = known }(v.tokens)
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		if n%4096 == 0 {
			b.StopTimer()
			tokens := make([]string, min(4096, b.N-n))
			for i := range tokens {
				tokens[i] = "Bearer " + v.token(b, n+i)
			}
			v.tokens = tokens
			b.StartTimer()
		}
		r.Header["Authorization"] = v.tokens[n%4096 : n%4096+1]
		ask(b, h, r)
	}
}

func (v *verifyBench) allocations(t *testing.T, h http.Handler, put credential) float64 {
	requests := v.requests(put)
	for _, r := range requests {
		ask(t, h, r)
	}
	n := 0
	return testing.AllocsPerRun(len(requests), func() {
		ask(t, h, requests[n%len(requests)])
		n++
	})
}
