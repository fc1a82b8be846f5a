package e2e

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/internal/keyring"
	"wxbridge/internal/seal"
	"wxbridge/internal/testenv"
	"wxbridge/jwtauth"
)

// What forward-auth may cost, as shares of what bare handlers on the same machine do.
const (
	leastKnownRate = 0.85 // of gin answering 200
	leastNewRate   = 0.95 // of gin around golang-jwt
	mostP99        = 1.3  // times that of gin answering 200
	mostAfterwards = 50 << 10
)

// The rate of /auth/verify over real connections, as shipped: access log and metrics on, in a process of its own, beside a
// process of bare handlers. wrk asks them in turn, on 64 connections; the figures are the raw ones. A long run on a machine
// that does nothing else:
//
//	WXBRIDGE_TEST_SOAK=1 go test ./internal/e2e -run TestVerifyRate -v
//
// WXBRIDGE_TEST_RATE_ALG names algorithms, WXBRIDGE_TEST_RATE_SECONDS how long each of the rounds lasts, default 10.
func TestVerifyRate(t *testing.T) {
	if !soak() {
		t.Skip("set WXBRIDGE_TEST_SOAK=1 to measure the rate of forward-auth")
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		testenv.Missing(t, "wrk", "wrk (Debian's package)")
	}
	binary, bare := buildAs(t, "wxbridge"), buildAs(t, "wxbridge/internal/e2e/testdata/bare")
	algs := strings.Fields(os.Getenv("WXBRIDGE_TEST_RATE_ALG"))
	if len(algs) == 0 {
		algs = []string{jwtauth.ES256}
	}
	for _, alg := range algs {
		t.Run(alg, func(t *testing.T) { measureVerify(t, binary, bare, alg) })
	}
}

func measureVerify(t *testing.T, binary, bare, alg string) {
	r := startRate(t, binary, bare, alg)
	known, unseen := r.tokens(t, 1000), r.tokens(t, 30_000)
	for _, form := range []string{"bearer", "cookie"} {
		t.Run("known "+form, func(t *testing.T) {
			script := r.script(t, form, known)
			r.wrk(t, r.bridge+"/auth/verify", script, time.Second) // every token is known from here on
			var rate, p99 ratio
			for range 3 {
				base, ours := r.wrk(t, r.bare+"/bare", script, r.round), r.wrk(t, r.bridge+"/auth/verify", script, r.round)
				rate.add(ours.rate, base.rate)
				p99.add(ours.p99, base.p99)
			}
			t.Logf("rate %.3f of bare gin, p99 %.2f times its; resident %d KiB", rate.value(), p99.value(), memory(t, r.serve, "VmRSS"))
			if rate.value() < leastKnownRate || p99.value() > mostP99 {
				t.Errorf("rate %.3f, want %.2f; p99 %.2f, want at most %.2f", rate.value(), leastKnownRate, p99.value(), mostP99)
			}
		})
	}
	t.Run("never seen", func(t *testing.T) {
		script := r.script(t, "bearer", unseen)
		var rate ratio
		for range 3 {
			base := r.wrk(t, r.bare+"/auth/verify", script, r.round)
			rate.add(r.wrk(t, r.bridge+"/auth/verify", script, r.round).rate, base.rate)
		}
		t.Logf("rate %.3f of gin around golang-jwt", rate.value())
		if rate.value() < leastNewRate {
			t.Errorf("rate %.3f, want %.2f", rate.value(), leastNewRate)
		}
	})
	if resident := memory(t, r.serve, "VmRSS"); resident > mostAfterwards {
		t.Errorf("%d KiB resident afterwards", resident)
	} else {
		t.Logf("%d KiB resident afterwards", resident)
	}
}

// ratio collects pairs of figures from rounds in turn.
type ratio struct{ ours, base float64 }

func (r *ratio) add(ours, base float64) { r.ours += ours; r.base += base }
func (r *ratio) value() float64         { return r.ours / r.base }

// rate is a bridge and a process of bare handlers that trust the same key.
type rate struct {
	bridge, bare string // origins
	serve        *child
	barePID      int
	issuer       *jwtauth.Issuer
	round        time.Duration
}

func startRate(t *testing.T, binary, bare, alg string) *rate {
	t.Helper()
	data := t.TempDir()
	database := "sqlite://" + filepath.Join(data, "wxbridge.db")
	address := freeAddress(t)
	p := &product{bridge: "http://" + address, simulator: "http://localhost:1", log: new(logBuffer), http: newHTTPClient(t)}
	p.findApps(t, p.bridge)
	env := append(p.serveEnv(address, "http://localhost:1"), "WXBRIDGE_DATABASE="+database, "WXBRIDGE_METRICS_LISTEN="+freeAddress(t))
	if alg != jwtauth.ES256 {
		env = append(env, "WXBRIDGE_JWT_ALG="+alg)
	}
	r := &rate{bridge: p.bridge, round: 10 * time.Second}
	if seconds, err := strconv.Atoi(os.Getenv("WXBRIDGE_TEST_RATE_SECONDS")); err == nil {
		r.round = time.Duration(seconds) * time.Second
	}
	r.serve = spawnLogging(t, binary, data, env)
	p.waitReady(t)

	key := r.sign(t, database, alg)
	if key.Alg() != alg {
		t.Fatalf("the bridge signs with %s, want %s", key.Alg(), alg)
	}
	keyFile := filepath.Join(data, "key.pem")
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	must(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))
	bareAddress := freeAddress(t)
	r.bare = "http://" + bareAddress
	cmd := exec.Command(bare, bareAddress, p.bridge, key.ID(), keyFile)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	r.barePID = cmd.Process.Pid
	waitFor(t, 20*time.Second, "the bare handlers to answer", func() bool {
		response, err := p.http.Get(r.bare + "/bare")
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
	return r
}

// spawnLogging runs serve with its log in a file, as a service manager does: a pipe into this process would be work for it.
func spawnLogging(t *testing.T, binary, dir string, env []string) *child {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	cmd := exec.Command(binary, "serve")
	cmd.Dir, cmd.Env, cmd.Stderr = dir, env, log
	must(t, cmd.Start())
	c := &child{cmd: cmd, exited: make(chan error, 1)}
	go func() { c.exited <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-c.exited; _ = log.Close() })
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sign opens the bridge's own keys, so that tokens can be made faster than by logging in.
func (r *rate) sign(t *testing.T, database, alg string) jwtauth.Key {
	t.Helper()
	store, err := db.Open(t.Context(), database, time.Now)
	must(t, err)
	defer store.Close()
	box, err := seal.New([]byte(sealingSecret))
	must(t, err)
	keys, err := keyring.Open(t.Context(), store, box, keyring.Options{Alg: alg, TokenTTL: 2 * time.Hour, Now: time.Now})
	must(t, err)
	r.issuer, err = jwtauth.NewIssuer(keys.Keys(), jwtauth.IssuerConfig{Issuer: r.bridge, Audience: r.bridge + "/api", ClientID: "wxbridge", TTL: 2 * time.Hour})
	must(t, err)
	return keys.Keys().Signing()
}

func (r *rate) tokens(t *testing.T, n int) []string {
	t.Helper()
	tokens := make([]string, n)
	for i := range tokens {
		raw, _, err := r.issuer.AccessToken(jwtauth.Claims{Subject: fmt.Sprintf("01890000-0000-7000-8000-%012d", i),
			SessionID: fmt.Sprintf("SESSIONABCDEFGHIJKLM%06d", i), AuthTime: time.Now(), Provider: db.ProviderOfficialAccount,
			AppID: "wx0123456789abcdef", OpenID: fmt.Sprintf("o%027d", i), UnionID: fmt.Sprintf("u%027d", i)})
		must(t, err)
		tokens[i] = raw
	}
	return tokens
}

// script writes a program for wrk that sends the tokens in turn. Its threads begin at different ones.
func (r *rate) script(t *testing.T, form string, tokens []string) string {
	t.Helper()
	prefix := "Authorization: Bearer "
	if form == "cookie" {
		prefix = "Cookie: wxbridge_token="
	}
	folder := t.TempDir()
	list, script := filepath.Join(folder, "tokens"), filepath.Join(folder, "ask.lua")
	must(t, os.WriteFile(list, []byte(strings.Join(tokens, "\n")), 0o600))
	must(t, os.WriteFile(script, []byte(fmt.Sprintf(`
local threads = 0
function setup(thread) thread:set("id", threads); threads = threads + 1 end
function init(args)
  requests = {}
  for token in io.lines(%q) do
    requests[#requests + 1] = "GET " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.host .. "\r\nUser-Agent: Mozilla/5.0 (iPhone) MicroMessenger/8.0.50\r\n" ..
      "Accept: text/html\r\n" .. %q .. token .. "\r\n\r\n"
  end
  at = id * math.floor(#requests / 2)
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
function done(summary, latency)
  io.write(string.format("RESULT %%.1f %%d %%d\n", summary.requests / (summary.duration / 1e6), latency:percentile(99), summary.errors.status +
    summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
`, list, prefix)), 0o600))
	return script
}

type wrkResult struct {
	rate float64 // requests a second
	p99  float64 // microseconds
}

var wrkLine = regexp.MustCompile(`RESULT ([0-9.]+) ([0-9]+) ([0-9]+)`)

func (r *rate) wrk(t *testing.T, url, script string, d time.Duration) wrkResult {
	t.Helper()
	before := r.cpu(t, url)
	out, err := exec.Command("wrk", "-t2", "-c64", "-d"+strconv.Itoa(int(d.Seconds()))+"s", "-s", script, url).CombinedOutput()
	found := wrkLine.FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("wrk: %v\n%s", err, out)
	}
	var result wrkResult
	result.rate, _ = strconv.ParseFloat(string(found[1]), 64)
	result.p99, _ = strconv.ParseFloat(string(found[2]), 64)
	if string(found[3]) != "0" {
		t.Errorf("%s: %s requests failed", url, found[3])
	}
	cpu := r.cpu(t, url) - before
	t.Logf("%-45s %8.0f requests/s, p99 %6.0f µs, %5.2f µs of the server's processor time each", url, result.rate, result.p99,
		cpu.Seconds()*1e6/(result.rate*d.Seconds()))
	return result
}

// cpu is the processor time that the process behind an address has used, in ticks of 10 ms. On a machine that does other
// things too it says more than a rate.
func (r *rate) cpu(t *testing.T, url string) time.Duration {
	t.Helper()
	pid := r.serve.cmd.Process.Pid
	if strings.HasPrefix(url, r.bare) {
		pid = r.barePID
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// buildAs builds a program the way the README says.
func buildAs(t *testing.T, program string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), filepath.Base(program))
	if out, err := exec.Command("go", "build", "-tags", "nomsgpack", "-o", binary, program).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}
