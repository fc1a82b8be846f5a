package handlers_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/internal/keyring"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
	"wxbridge/templates"
	"wxbridge/wechat"
)

const benchConnections = 64

// BenchmarkMiniProgramLogin measures whole logins over HTTP on 64 connections, against an upstream without latency, beside a
// bare handler that only calls the same upstream and signs with the same algorithm. "new" fans are seen for the first time,
// "returning" ones are in the store already. Both handlers take turns, a block of logins each, so that a machine that is
// faster now and slower then weighs on both alike. The upstream counts its calls: exactly one a login.
//
//	go test ./handlers -run '^$' -bench MiniProgramLogin -benchtime 60000x
//
// Reported: the logins a second of both, their ratio, and the processor time a login took of both, with clients and upstream.
// WXBRIDGE_TEST_SOAK=1 adds the same at a million fans.
func BenchmarkMiniProgramLogin(b *testing.B) {
	upstream := newBenchUpstream(b)
	sizes := []int{10_000}
	if os.Getenv("WXBRIDGE_TEST_SOAK") != "" {
		sizes = append(sizes, 1_000_000)
	}
	for _, fans := range sizes {
		b.Run(fmt.Sprintf("fans=%d", fans), func(b *testing.B) {
			bridge := benchBridge(b, upstream.URL, fans)
			b.Run("new", func(b *testing.B) { upstream.compare(b, bridge, "new", 0) })
			b.Run("returning", func(b *testing.B) { upstream.compare(b, bridge, "fan", fans) })
		})
	}
}

// compare logs b.N people in with the bare handler and as many with the bridge.
func (u *benchUpstream) compare(b *testing.B, bridge http.Handler, kind string, pool int) {
	const block = 1000
	var bare, ours benchTotal
	bareServer, ourServer := httptest.NewServer(bareHandler(b, u.URL)), httptest.NewServer(bridge)
	defer bareServer.Close()
	defer ourServer.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchConnections, MaxConnsPerHost: benchConnections}}
	defer client.CloseIdleConnections()
	for _, server := range []string{bareServer.URL, ourServer.URL} { // connects
		u.logIn(b, client, server, "warm", 0, 10*benchConnections)
	}
	b.ResetTimer()
	for left := b.N; left > 0; left -= block {
		bare.add(u.logIn(b, client, bareServer.URL, "bare", 0, min(left, block)))
		ours.add(u.logIn(b, client, ourServer.URL, kind, pool, min(left, block)))
	}
	b.ReportMetric(0, "ns/op") // of both together, which says nothing
	b.ReportMetric(bare.rate(), "bare-logins/s")
	b.ReportMetric(ours.rate(), "logins/s")
	b.ReportMetric(ours.rate()/bare.rate(), "of-bare")
	b.ReportMetric(bare.cpuEach(), "bare-cpu-µs/login")
	b.ReportMetric(ours.cpuEach(), "cpu-µs/login")
}

type benchTotal struct {
	logins       int
	elapsed, cpu time.Duration
}

func (t *benchTotal) add(other benchTotal) {
	t.logins += other.logins
	t.elapsed += other.elapsed
	t.cpu += other.cpu
}

func (t *benchTotal) rate() float64    { return float64(t.logins) / t.elapsed.Seconds() }
func (t *benchTotal) cpuEach() float64 { return float64(t.cpu.Microseconds()) / float64(t.logins) }

// benchUpstream answers jscode2session at once. A code "0fan17x3" is of the person "fan17".
type benchUpstream struct {
	*httptest.Server
	calls atomic.Int64
	next  atomic.Int64
}

func newBenchUpstream(b *testing.B) *benchUpstream {
	u := &benchUpstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.calls.Add(1)
		person, _, _ := strings.Cut(r.FormValue("js_code"), "x")
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, `{"session_key":"tiihtNczf5v6AKRyjwEUhQ==","openid":"o%027s"}`, strings.TrimPrefix(person, "0"))
	}))
	b.Cleanup(u.Close)
	return u
}

// logIn logs people in, one after the other on each connection. With a pool, they are picked from the pool's first people.
func (u *benchUpstream) logIn(b *testing.B, client *http.Client, server, kind string, pool, people int) benchTotal {
	calls := u.calls.Load()
	var taken atomic.Int64
	var wait sync.WaitGroup
	cpu, start := cpuTime(b), time.Now()
	for range benchConnections {
		wait.Go(func() {
			for taken.Add(1) <= int64(people) {
				n := u.next.Add(1)
				person := n
				if pool > 0 {
					person = (n * 7919) % int64(pool)
				}
				if err := benchLogin(client, server, fmt.Sprintf("0%s%dx%d", kind, person, n)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	total := benchTotal{people, time.Since(start), cpuTime(b) - cpu}
	if made := u.calls.Load() - calls; made != int64(people) {
		b.Errorf("%d upstream calls for %d logins", made, people)
	}
	return total
}

// cpuTime is what this process, upstream and clients included, has used of the processors.
func cpuTime(b *testing.B) time.Duration {
	var use syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

func benchLogin(client *http.Client, url, code string) error {
	response, err := client.Post(url+"/miniprogram/login", "application/json", strings.NewReader(`{"code":"`+code+`"}`))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("access_token")) {
		return fmt.Errorf("login: %d %s %v", response.StatusCode, body, err)
	}
	return nil
}

// bareHandler does the least a login can do: ask WeChat, sign, answer.
func bareHandler(b *testing.B, upstream string) http.Handler {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(b, err)
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Code string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		response, err := client.Get(upstream + "/sns/jscode2session?appid=wx0123456789abcdef&secret=secret&js_code=" + in.Code + "&grant_type=authorization_code")
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		defer response.Body.Close()
		var session struct{ OpenID string }
		if err := json.NewDecoder(response.Body).Decode(&session); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		now := time.Now()
		token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": "https://login.example.com", "sub": session.OpenID,
			"aud": "https://login.example.com/api", "iat": now.Unix(), "exp": now.Add(tokenTTL).Unix()})
		raw, err := token.SignedString(key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": raw, "token_type": "Bearer", "expires_in": 7200})
	})
}

// benchBridge is the whole bridge on a SQLite file that holds fans already.
func benchBridge(b *testing.B, upstream string, fans int) http.Handler {
	ctx := context.Background()
	store, err := db.Open(ctx, "sqlite://"+filepath.Join(b.TempDir(), "bench.db"), time.Now)
	must(b, err)
	b.Cleanup(func() { _ = store.Close() })
	box, err := seal.New([]byte(strings.Repeat("0123456789abcdef", 2)))
	must(b, err)
	fill(b, store, box, fans)
	syscall.Sync() // so that writing back these rows is over before the clock starts

	ring, err := keyring.Open(ctx, store, box, keyring.Options{Now: time.Now})
	must(b, err)
	keys := ring.Keys()
	pages, err := templates.New()
	must(b, err)
	base := mustURL(b, upstream)
	client, err := wechat.NewMiniProgram(&wechat.API{BaseURL: base, OpenURL: base, HTTP: wechat.NewHTTPClient(), Now: time.Now},
		wechat.App{ID: "wx0123456789abcdef", Secret: "secret"})
	must(b, err)
	revocations := jwtauth.NewRevocationSet(time.Now)
	issuer, err := jwtauth.NewIssuer(keys, jwtauth.IssuerConfig{Issuer: "https://login.example.com",
		Audience: "https://login.example.com/api", ClientID: "wxbridge", TTL: tokenTTL, Now: time.Now})
	must(b, err)
	verifier, err := jwtauth.NewVerifier(keys, jwtauth.Config{Issuer: "https://login.example.com",
		Audience: "https://login.example.com/api", Now: time.Now, Revoked: revocations.Revoked})
	must(b, err)
	log, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	must(b, err)
	b.Cleanup(func() { _ = log.Close() })
	server, err := handlers.New(handlers.Config{
		PublicURL: mustURL(b, "https://login.example.com"), TokenTTL: tokenTTL, SessionTTL: sessionTTL, JWKSMaxAge: time.Minute,
		MiniPrograms: []handlers.MiniProgram{{Alias: handlers.DefaultApp, OpenAccount: "default", Client: client}},
		Store:        store, Keys: keys, Issuer: issuer, Verifier: verifier, Revocations: revocations, Box: box, Pages: pages,
		Logger: slog.New(slog.NewJSONHandler(log, nil)),
	})
	must(b, err)
	return server
}

// fill stores the people "fan0", "fan1" … as logins would: with a session key, since a row that only got one now would grow
// out of its page.
func fill(b *testing.B, store db.Store, box *seal.Box, fans int) {
	sessionKey := box.Seal("bench", []byte("tiihtNczf5v6AKRyjwEUhQ=="), nil)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range 512 {
		wait.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= int64(fans) {
					return
				}
				_, err := store.SaveLogin(context.Background(), db.Login{Identity: db.Identity{Provider: db.ProviderMiniProgram,
					AppID: "wx0123456789abcdef", OpenID: fmt.Sprintf("o%027s", "fan"+strconv.FormatInt(n, 10)), OpenAccount: "default",
					SessionKeySealed: sessionKey}})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}
