package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/internal/cli"
	"wxbridge/wechat/simulator"
)

// product is a running bridge with the WeChat simulator it talks to.
type product struct {
	bridge    string // origin, without a slash at the end
	simulator string
	official  simulator.App
	mini      simulator.App
	website   simulator.App

	env []string // of a serve that shares its database with others

	log  *logBuffer // what the bridge's process wrote to stderr
	http *http.Client
	end  func() int // stops the commands and gives their exit code; safe to call again
}

// startDev runs the command dev on free ports. extra is more of its command line, env more of its environment.
func startDev(t testing.TB, extra []string, env ...string) *product {
	t.Helper()
	args := append([]string{"dev"}, extra...)
	if !slices.Contains(extra, "--listen") {
		args = append(args, "--listen", "127.0.0.1:0")
	}
	args = append(args, "--simulator-listen", "127.0.0.1:0")
	p := &product{log: new(logBuffer)}
	lines := newLineWriter()
	p.end = runCommand(t, p.log, args, env, lines)
	p.http = newHTTPClient(t) // its connections are closed before the command ends
	p.bridge = lines.after(t, "bridge: ", p.log)
	p.simulator = lines.after(t, "simulator: ", p.log)
	p.findApps(t, p.bridge)
	return p
}

// startServe runs the command serve against a simulator of this test. front, if not nil, stands between the two on
// the calls a bridge makes (sns/*): a place to record and to break answers.
func startServe(t testing.TB, front func(http.Handler) http.Handler, env ...string) *product {
	t.Helper()
	p := &product{log: new(logBuffer)}
	address := freeAddress(t)
	p.bridge = "http://" + address
	p.findApps(t, p.bridge)
	upstream := startSimulator(t, p.bridge)
	p.simulator = upstream.URL
	api := upstream
	if front != nil {
		api = httptest.NewServer(front(upstream.Config.Handler))
		t.Cleanup(api.Close)
	}
	database := "WXBRIDGE_DATABASE=sqlite://" + filepath.Join(t.TempDir(), "wxbridge.db") // unless env names another
	env = append(append(p.serveEnv(address, api.URL), database,
		"WXBRIDGE_WECOM_API_URL="+api.URL+"/qyapi", "WXBRIDGE_WECOM_LOGIN_URL="+p.simulator+"/wwlogin"), env...)
	p.end = runCommand(t, p.log, []string{"serve"}, env, io.Discard)
	p.http = newHTTPClient(t)
	p.waitReady(t)
	return p
}

// serveEnv is a working configuration for the command serve. A later entry of the same name is meant to win.
func (p *product) serveEnv(address, api string) []string {
	return []string{
		"WXBRIDGE_LISTEN=" + address,
		"WXBRIDGE_PUBLIC_URL=" + p.bridge,
		"WXBRIDGE_SECRET=" + sealingSecret,
		"WXBRIDGE_RATE_LIMIT=0", // tests log in from one address more often than people do
		"WXBRIDGE_OFFICIAL_APP_ID=" + p.official.AppID,
		"WXBRIDGE_OFFICIAL_APP_SECRET=" + p.official.Secret,
		"WXBRIDGE_MINIPROGRAM_APP_ID=" + p.mini.AppID,
		"WXBRIDGE_MINIPROGRAM_APP_SECRET=" + p.mini.Secret,
		"WXBRIDGE_WEBSITE_APP_ID=" + p.website.AppID,
		"WXBRIDGE_WEBSITE_APP_SECRET=" + p.website.Secret,
		"WXBRIDGE_WECHAT_API_URL=" + api,
		"WXBRIDGE_WECHAT_OPEN_URL=" + p.simulator,
	}
}

const sealingSecret = "Wq7Zt2mXc9Lf4Rb8Ns6Kd1Hy3Gp5Jv0TuEaQoIiYz"

// startSimulator serves the simulator's dev set under the host name localhost.
func startSimulator(t testing.TB, bridge string) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	origin := fmt.Sprintf("http://localhost:%d", server.Listener.Addr().(*net.TCPAddr).Port)
	apps := simulator.DevApps(hostOf(t, bridge))
	apps[0].EventsURL = bridge + eventsPath // for a bridge that is told the token
	for i := range apps {
		if apps[i].Provider == simulator.ProviderWeCom { // whose domains have a port
			apps[i].RedirectDomain = strings.TrimPrefix(bridge, "http://")
		}
	}
	sim, err := simulator.New(simulator.Config{
		Apps:      apps,
		PublicURL: origin,
		BridgeURL: bridge,
	})
	if err != nil {
		t.Fatalf("make a simulator: %v", err)
	}
	server.Config.Handler = sim
	server.Start()
	t.Cleanup(server.Close)
	server.URL = origin
	return server
}

func (p *product) findApps(t testing.TB, bridge string) {
	t.Helper()
	for _, app := range simulator.DevApps(hostOf(t, bridge)) {
		switch app.Provider {
		case "official_account":
			p.official = app
		case "mini_program":
			p.mini = app
		case "website":
			p.website = app
		}
	}
	if p.official.AppID == "" || p.mini.AppID == "" || p.website.AppID == "" {
		t.Fatal("the simulator's dev set lacks an official account, a mini program or a website app")
	}
}

func (p *product) waitReady(t testing.TB) {
	t.Helper()
	waitFor(t, 20*time.Second, "the bridge to be ready", func() bool {
		res, err := p.http.Get(p.bridge + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// runCommand runs one command of the product in this process and stops it when the test ends.
func runCommand(t testing.TB, log *logBuffer, args, env []string, stdout io.Writer) (end func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- cli.Run(ctx, args, env, stdout, log) }()
	end = sync.OnceValue(func() int {
		cancel()
		select {
		case c := <-code:
			return c
		case <-time.After(30 * time.Second):
			return -1
		}
	})
	t.Cleanup(func() {
		if c := end(); c != 0 {
			t.Errorf("%s ended with %d, want 0", args[0], c)
		}
		if t.Failed() {
			t.Logf("end of the log of %s:\n%s", args[0], log.tail(40))
		}
	})
	return end
}

// logged is the log once all that has happened so far is in it. Lines may wait a moment for others, but keep their order.
func (p *product) logged(t testing.TB) string {
	t.Helper()
	id := p.get(t, "/healthz").header.Get("X-Request-Id")
	waitFor(t, 10*time.Second, "the log", func() bool { return id != "" && strings.Contains(p.log.String(), id) })
	return p.log.String()
}

// logBuffer keeps everything written to it.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBuffer) tail(n int) string {
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// lineWriter hands over what is written to it line by line.
type lineWriter struct {
	mu      sync.Mutex
	partial []byte
	lines   chan string
}

func newLineWriter() *lineWriter { return &lineWriter{lines: make(chan string, 64)} }

func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.partial = append(w.partial, p...)
	for {
		line, rest, ok := bytes.Cut(w.partial, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		select {
		case w.lines <- string(line):
		default:
			return 0, fmt.Errorf("more lines on stdout than anybody asked for: %s", line)
		}
		w.partial = bytes.Clone(rest)
	}
}

// after reads the next line, which must begin with prefix.
func (w *lineWriter) after(t testing.TB, prefix string, log *logBuffer) string {
	t.Helper()
	select {
	case line := <-w.lines:
		value, ok := strings.CutPrefix(line, prefix)
		if !ok {
			t.Fatalf("stdout says %q, want a line that begins with %q", line, prefix)
		}
		return value
	case <-time.After(30 * time.Second):
		t.Fatalf("no line %q on stdout; the log:\n%s", prefix, log.tail(20))
		return ""
	}
}

// waitFor polls until ok says so.
func waitFor(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v for %s", limit, what)
		}
	}
}

// givenAddresses are those that freeAddress gave: whoever was given one may not listen there yet.
var givenAddresses sync.Map

// freeAddress is a loopback address nobody listens on at this moment.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		// Below the ports that the system hands out by itself, so that no other test's listener takes it in between.
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		if _, given := givenAddresses.LoadOrStore(address, true); given {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

// newHTTPClient keeps connections, follows no redirect and has no cookie jar.
func newHTTPClient(t testing.TB) *http.Client {
	transport := &http.Transport{MaxIdleConns: 512, MaxIdleConnsPerHost: 256, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       25 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func soak() bool { return os.Getenv("WXBRIDGE_TEST_SOAK") == "1" }

// waiters runs subtests that mostly wait, all at once whatever -parallel says. Its owner waits for them.
type waiters struct{ sync.WaitGroup }

// run runs a subtest: beside the others if it waits, else at once.
func (w *waiters) run(t *testing.T, waits bool, name string, test func(*testing.T)) {
	if waits {
		w.Go(func() { t.Run(name, test) })
		return
	}
	t.Run(name, test)
}

// times is n, or many more in a soak run.
func times(n, inSoak int) int {
	if soak() {
		return inSoak
	}
	return n
}

// within is how long a test waits for what is promised in that time: exactly that in a soak run, which has the machine for itself,
// and else two seconds more, since the other packages' tests run at the same time.
func within(promised time.Duration) time.Duration {
	return promised + time.Duration(times(2, 0))*time.Second
}

// besideOthers lets a test run beside others, but not in a soak run, where it has the machine for itself.
func besideOthers(t *testing.T) {
	if !soak() {
		t.Parallel()
	}
}
