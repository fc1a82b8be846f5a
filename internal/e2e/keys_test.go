package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"wxbridge/internal/cli"
	"wxbridge/jwtauth"
)

const (
	jwksPath   = "/.well-known/jwks.json"
	newSecret  = "Zr8Yq3Lm6Tn1Vb9Xc4Kd7Wf2Hg5Js0PaUeIoOiEy"
	handshake  = "Gt6Rf3Ed9Ws2Qa5Zx8Cv1Bn4Mh7Jk0LpOiUyTrEw" // of HS256
	inOneStore = "WXBRIDGE_DATABASE=sqlite://"
)

// keyLine is what `keys list --json` says of a key.
type keyLine struct {
	KID, Alg, State string
	Since, Until    time.Time
}

// keys runs `wxbridge keys …` beside whatever else uses the database.
func keys(t testing.TB, env []string, args ...string) (lines []keyLine, code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var stdout, stderr logBuffer
	code = cli.Run(ctx, append([]string{"keys"}, args...), env, &stdout, &stderr)
	var answer struct{ Keys []keyLine }
	if code == 0 {
		if err := json.Unmarshal([]byte(stdout.String()), &answer); err != nil {
			t.Fatalf("keys %v: %v: %s", args, err, stdout.String())
		}
	}
	return answer.Keys, code, stdout.String() + stderr.String()
}

func inState(lines []keyLine, state string) (found []keyLine) {
	for _, l := range lines {
		if l.State == state {
			found = append(found, l)
		}
	}
	return found
}

// household is a simulator, a database and the processes of serve on it.
type household struct {
	*testing.T
	simulator *httptest.Server
	public    string // what tokens name as their issuer
	database  string
}

func newHousehold(t *testing.T) *household {
	t.Helper()
	h := &household{T: t, public: "http://" + freeAddress(t), database: filepath.Join(t.TempDir(), "wxbridge.db")}
	h.simulator = startSimulator(t, h.public)
	return h
}

// env is the configuration of a process that listens on address.
func (h *household) env(address string, more ...string) []string {
	p := &product{bridge: h.public, simulator: h.simulator.URL}
	p.findApps(h.T, h.public)
	return append(p.serveEnv(address, h.simulator.URL), append([]string{inOneStore + h.database}, more...)...)
}

// serve starts a process. The first one listens where the public URL says.
func (h *household) serve(first bool, more ...string) *product {
	h.Helper()
	address := strings.TrimPrefix(h.public, "http://")
	if !first {
		address = freeAddress(h.T)
	}
	p := &product{bridge: "http://" + address, simulator: h.simulator.URL, log: new(logBuffer), http: newHTTPClient(h.T)}
	p.findApps(h.T, h.public)
	p.end = runCommand(h.T, p.log, []string{"serve"}, h.env(address, more...), new(logBuffer))
	p.waitReady(h.T)
	return p
}

func (p *product) me(t testing.TB, token string) int {
	t.Helper()
	return p.api(t, http.MethodGet, "/me", token, "").status
}

func TestKEY04_TwoProcessesFollowACompromiseWithinASecond(t *testing.T) {
	h := newHousehold(t)
	a, b := h.serve(true), h.serve(false)
	token := a.miniToken(t, "bob")
	for _, p := range []*product{a, b} {
		if got := p.me(t, token); got != http.StatusOK {
			t.Fatalf("a good token gets %d", got)
		}
	}
	first := string(a.get(t, jwksPath).body)
	if got := string(b.get(t, jwksPath).body); got != first || strings.Count(first, `"kid"`) != 1 {
		t.Errorf("two processes publish %s and %s", first, got)
	}
	lines, code, said := keys(t, h.env("127.0.0.1:0"), "rotate", "--compromised", "--json")
	done := time.Now()
	if code != 0 || len(inState(lines, "signing")) != 1 || len(inState(lines, "compromised")) != 1 || !strings.Contains(said, "key.rotated") {
		t.Fatalf("exit code %d: %s", code, said)
	}
	signing := inState(lines, "signing")[0].KID
	for _, p := range []*product{a, b} {
		waitFor(t, 10*time.Second, "the new key", func() bool {
			return p.me(t, token) == http.StatusUnauthorized && strings.Contains(string(p.get(t, jwksPath).body), signing)
		})
		if late := time.Since(done); late > within(time.Second) {
			t.Errorf("followed after %v", late)
		}
		if got := string(p.get(t, jwksPath).body); strings.Count(got, `"kid"`) != 1 {
			t.Errorf("publishes %s", got)
		}
	}
	fresh := b.miniToken(t, "bob")
	if joseHeader(t, fresh)["kid"] != signing || a.me(t, fresh) != http.StatusOK || b.me(t, fresh) != http.StatusOK {
		t.Errorf("a new token, signed by %v: %d and %d", joseHeader(t, fresh)["kid"], a.me(t, fresh), b.me(t, fresh))
	}
	for _, p := range []*product{a, b} {
		for _, event := range []string{`"event":"key.dropped"`, `"event":"key.activated"`} {
			if !strings.Contains(p.logged(t), event) {
				t.Errorf("LOG-03 the log has no %s", event)
			}
		}
	}
}

func TestKeysListAndRotate(t *testing.T) {
	h := newHousehold(t)
	env := h.env("127.0.0.1:0")
	for _, args := range [][]string{{"list"}, {"rotate"}, {"rotate", "--compromised"}} {
		if _, code, said := keys(t, env, args...); code != 1 || !strings.Contains(said, h.database) {
			t.Errorf("keys %v without a database: exit code %d: %s", args, code, said)
		}
	}
	p := h.serve(true)
	token := p.miniToken(t, "bob")
	lines, _, _ := keys(t, env, "list", "--json")
	if len(lines) != 1 || lines[0].State != "signing" || lines[0].Alg != "ES256" || lines[0].KID != joseHeader(t, token)["kid"] || !lines[0].Until.IsZero() {
		t.Fatalf("after the first start: %+v", lines)
	}
	lines, code, said := keys(t, env, "rotate", "--json")
	next := inState(lines, "next")
	if code != 0 || len(next) != 1 || len(inState(lines, "signing")) != 1 || next[0].Until.Sub(next[0].Since) < 10*time.Minute {
		t.Fatalf("exit code %d, %+v, %s", code, lines, said)
	}
	if _, code, said := keys(t, env, "rotate"); code != 1 || !strings.Contains(said, "published already") {
		t.Errorf("a second rotation: exit code %d: %s", code, said)
	}
	waitFor(t, 10*time.Second, "the next key in the JWKS", func() bool { return strings.Contains(string(p.get(t, jwksPath).body), next[0].KID) })
	if again := p.miniToken(t, "bob"); joseHeader(t, again)["kid"] == next[0].KID || p.me(t, token) != http.StatusOK {
		t.Error("a new key signs before its time")
	}
	p.end()
	if lines, code, said = keys(t, env, "list", "--json"); code != 0 || len(lines) != 2 {
		t.Errorf("beside no process: exit code %d: %s", code, said)
	}
	var table logBuffer
	if code := cli.Run(t.Context(), []string{"keys", "list"}, env, &table, &table); code != 0 || !strings.HasPrefix(table.String(), "KID ") ||
		strings.Count(table.String(), "\n") != 3 || !strings.Contains(table.String(), next[0].KID) {
		t.Errorf("exit code %d:\n%s", code, table.String())
	}
	wrong := append(env, "WXBRIDGE_SECRET="+newSecret)
	if _, code, said := keys(t, wrong, "rotate", "--compromised"); code != 1 || !strings.Contains(said, "WXBRIDGE_SECRET does not open it") {
		t.Errorf("with another secret: exit code %d: %s", code, said)
	}
	if after, _, _ := keys(t, env, "list", "--json"); len(inState(after, "signing")) != 1 || inState(after, "signing")[0].KID != lines[0].KID {
		t.Errorf("then: %+v", after)
	}
}

// Changing the algorithm is a rotation: tokens of the old one stay good, beside one process with the old configuration and
// after a restart.
func TestTheAlgorithmChangesWithoutAGap(t *testing.T) {
	h := newHousehold(t)
	a := h.serve(true)
	token := a.miniToken(t, "bob")
	b := h.serve(false, "WXBRIDGE_JWT_ALG=RS256")
	waitFor(t, 10*time.Second, "both to publish both", func() bool {
		x, y := string(a.get(t, jwksPath).body), string(b.get(t, jwksPath).body)
		return strings.Contains(x, "RS256") && strings.Contains(x, "ES256") && strings.Contains(y, "RS256") && strings.Contains(y, "ES256")
	})
	if alg := joseHeader(t, b.miniToken(t, "bob"))["alg"]; alg != "ES256" {
		t.Errorf("%s signs before it was published", alg)
	}
	a.end()
	a = h.serve(true, "WXBRIDGE_JWT_ALG=RS256")
	lines, _, said := keys(t, h.env("127.0.0.1:0"), "list", "--json")
	if len(lines) != 2 || lines[0].State != "signing" || lines[1].Alg != "RS256" || lines[1].State != "next" {
		t.Errorf("a third start made another key: %s", said)
	}
	for _, p := range []*product{a, b} {
		if got := p.me(t, token); got != http.StatusOK {
			t.Errorf("the old token gets %d", got)
		}
	}
	// At once, where the operator wants it so.
	if _, code, said := keys(t, h.env("127.0.0.1:0", "WXBRIDGE_JWT_ALG=EdDSA"), "rotate", "--compromised", "--json"); code != 0 {
		t.Fatal(said)
	}
	waitFor(t, 10*time.Second, "EdDSA", func() bool { return joseHeader(t, a.miniToken(t, "bob"))["alg"] == "EdDSA" })
	fresh := a.miniToken(t, "bob")
	waitFor(t, 10*time.Second, "the other process", func() bool { return b.me(t, fresh) == http.StatusOK && b.me(t, token) == http.StatusUnauthorized })
}

// KEY-02, TOK-01: with HS256 the JWKS is empty, and the backend that shares the secret needs nothing else.
func TestKEY02_HS256IsForOneBackendThatSharesTheSecret(t *testing.T) {
	p := startDev(t, nil, "WXBRIDGE_JWT_ALG=HS256", "WXBRIDGE_JWT_HS256_SECRET="+handshake)
	if got := string(p.get(t, jwksPath).body); got != `{"keys":[]}` {
		t.Errorf("the JWKS is %s", got)
	}
	session := p.phone("bob").login(t)
	if got := p.me(t, session.access); got != http.StatusOK {
		t.Errorf("the bridge itself answers %d", got)
	}
	shared, err := jwtauth.NewSymmetricKey([]byte(handshake))
	if err != nil {
		t.Fatal(err)
	}
	set, err := jwtauth.NewVerifyingKeySet(shared)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := jwtauth.NewVerifier(set, jwtauth.Config{Issuer: p.bridge, Audience: p.bridge + "/api"})
	if err != nil {
		t.Fatal(err)
	}
	if claims, err := verifier.Verify(t.Context(), session.access); err != nil || claims.Subject != subject(session.access) {
		t.Errorf("jwtauth with the secret: %v", err)
	}
	if _, err := verifier.Verify(t.Context(), session.id); err == nil {
		t.Error("an ID token passes as a credential")
	}
	for _, raw := range []string{session.access, session.id} {
		if _, err := jwt.Parse([]byte(raw), jwt.WithKey(jwa.HS256(), []byte(handshake)), jwt.WithIssuer(p.bridge)); err != nil {
			t.Errorf("another library with the secret: %v", err)
		}
	}
	if strings.Contains(p.logged(t), handshake) {
		t.Error("the log holds the secret")
	}
}

// The secret changes over a restart: nobody is logged out, a login in flight goes on, and what was sealed is sealed again.
func TestTheSecretChangesOverARestart(t *testing.T) {
	h := newHousehold(t)
	p := h.serve(true, "WXBRIDGE_PROFILE_POLICY=1s")
	bob := p.phone("bob")
	token := bob.login(t).access // keeps a refresh token
	p.miniToken(t, "carol")      // keeps a session key
	dora := p.phone("dora")
	sheet := dora.once(t, toRegister(t, dora, "%2F")) // on her way to WeChat, with a flow cookie of the old secret
	p.end()

	changed := []string{"WXBRIDGE_PROFILE_POLICY=1s", "WXBRIDGE_SECRET=" + newSecret}
	p.log = new(logBuffer)
	p.end = runCommand(t, p.log, []string{"serve"}, h.env(strings.TrimPrefix(h.public, "http://"), append(changed, "WXBRIDGE_SECRET_PREVIOUS="+sealingSecret)...), new(logBuffer))
	p.waitReady(t)
	if got := p.me(t, token); got != http.StatusOK {
		t.Errorf("an old token gets %d", got)
	}
	tr, err := dora.walk(sheet.next().String())
	if err != nil || !tr.grants() {
		t.Errorf("a login that was under way: %v %v", err, tr)
	}
	waitFor(t, 20*time.Second, "everything to be sealed again", func() bool {
		return strings.Contains(p.log.String(), `"event":"secret.resealed"`) && strings.Contains(p.log.String(), `"unreadable":0`)
	})
	if !strings.Contains(p.log.String(), `"resealed":2`) || !strings.Contains(p.log.String(), "WXBRIDGE_SECRET_PREVIOUS can go") {
		t.Errorf("the log:\n%s", p.log.tail(20))
	}
	p.end()

	p.log = new(logBuffer)
	p.end = runCommand(t, p.log, []string{"serve"}, h.env(strings.TrimPrefix(h.public, "http://"), changed...), new(logBuffer))
	p.waitReady(t)
	if got := p.me(t, token); got != http.StatusOK {
		t.Errorf("without the previous secret, an old token gets %d", got)
	}
	// Once his profile is older than the policy allows, the stored refresh token fetches a newer one, without a page.
	waitFor(t, 10*time.Second, "the refresh token that was sealed again to be used", func() bool {
		return p.called(t, "/sns/oauth2/refresh_token", func() { bob.open(t, "/login?prompt=login") }) == 1
	})
	if strings.Contains(p.logged(t), "open stored refresh token") {
		t.Errorf("the log:\n%s", p.log.tail(10))
	}
}

// KEY-04 in real time: three rotations under load, verifiers with only the JWKS. It takes more than six minutes.
func TestKEY04_RotationsUnderLoadInRealTime(t *testing.T) {
	if !soak() {
		t.Skip("takes more than six minutes; WXBRIDGE_TEST_SOAK=1 runs it")
	}
	h := newHousehold(t)
	settings := []string{"WXBRIDGE_JWKS_MAX_AGE=1m"}
	processes := []*product{h.serve(true, settings...), h.serve(false, settings...)}
	verifiers := make([]*jwtauth.Verifier, 4)
	for i := range verifiers {
		set, err := jwtauth.NewRemoteKeySet(processes[i%2].bridge+jwksPath, jwtauth.RemoteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if verifiers[i], err = jwtauth.NewVerifier(set, jwtauth.Config{Issuer: h.public, Audience: h.public + "/api"}); err != nil {
			t.Fatal(err)
		}
	}
	seen, verified := map[any]bool{}, 0
	var tokens []string
	rotated := time.Time{}
	for n := 0; len(seen) < 4 || verified < 100_000; n++ {
		if time.Since(rotated) > 130*time.Second && len(seen) < 4 {
			if _, code, said := keys(t, h.env("127.0.0.1:0", settings...), "rotate", "--json"); code != 0 {
				t.Fatal(said)
			}
			rotated = time.Now()
		}
		token := processes[n%2].miniToken(t, "bob")
		seen[joseHeader(t, token)["kid"]] = true
		tokens = append(tokens, token)
		for k := range 20 {
			raw := token
			if k%2 == 1 {
				raw = tokens[(n*7+k)%len(tokens)]
			}
			if _, err := verifiers[k%len(verifiers)].Verify(t.Context(), raw); err != nil {
				t.Fatalf("after %d verifications with %d keys: %v", verified, len(seen), err)
			}
			verified++
		}
	}
	t.Logf("%d verifications with %d keys, none failed", verified, len(seen))
}
