package cli_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// minimal is the smallest environment that serve starts with.
func minimal(more ...string) []string {
	return append([]string{
		"WXBRIDGE_PUBLIC_URL=http://127.0.0.1:8080",
		"WXBRIDGE_LISTEN=127.0.0.1:0",
		"WXBRIDGE_SECRET=" + sealingSecret,
		"WXBRIDGE_OFFICIAL_APP_ID=wx1c2d3e4f5a6b7c8d",
		"WXBRIDGE_OFFICIAL_APP_SECRET=5f4dcc3b5aa765d61d8327deb882cf99",
	}, more...)
}

func TestServeRefusesAFaultyConfigurationAndSaysWhatToDo(t *testing.T) {
	for _, row := range []struct {
		name    string
		environ []string
		want    []string
	}{
		{"nothing is set", nil, []string{"3 faults", "WXBRIDGE_PUBLIC_URL: is not set", "WXBRIDGE_SECRET: is not set; make one with `openssl rand -base64 32`", "WXBRIDGE_OFFICIAL_APP_ID: is not set", "no app is configured"}},
		{"KEY-02 no secret", minimal("WXBRIDGE_SECRET="), []string{"1 fault ", "WXBRIDGE_SECRET: is not set; make one with `openssl rand -base64 32`"}},
		{"KEY-02 a secret of 31 bytes", minimal("WXBRIDGE_SECRET=" + sealingSecret[:31]), []string{"WXBRIDGE_SECRET: has 31 bytes", "openssl rand -base64 32"}},
		{"KEY-02 the word secret", minimal("WXBRIDGE_SECRET=secret"), []string{"WXBRIDGE_SECRET: has 6 bytes"}},
		{"KEY-02 a placeholder", minimal("WXBRIDGE_SECRET=changeme-changeme-changeme-changeme"), []string{"WXBRIDGE_SECRET: is a placeholder", "openssl rand -base64 32"}},
		{"no app", minimal("WXBRIDGE_OFFICIAL_APP_ID=", "WXBRIDGE_OFFICIAL_APP_SECRET="), []string{"no app is configured"}},
		{"REL-14 an unknown variable", minimal("WXBRIDGE_RETURN_ORIGIN=https://a.example"), []string{"WXBRIDGE_RETURN_ORIGIN: is not a setting of wxbridge; did you mean WXBRIDGE_RETURN_ORIGINS?"}},
		{"REL-14 a bad list entry", minimal("WXBRIDGE_RETURN_ORIGINS=https://*.example"), []string{"WXBRIDGE_RETURN_ORIGINS: entry 1 has a wildcard", "example: WXBRIDGE_RETURN_ORIGINS=https://"}},
		{"WEB-03 plain http", minimal("WXBRIDGE_PUBLIC_URL=http://login.example.com"), []string{"WXBRIDGE_PUBLIC_URL: is plain http"}},
		{"REL-18 a simulator behind https", minimal("WXBRIDGE_PUBLIC_URL=https://login.example.com", "WXBRIDGE_WECHAT_API_URL=http://localhost:8090"), []string{"WXBRIDGE_WECHAT_API_URL: ", "simulator"}},
		{"SRV-03 a wrong proxy", minimal("WXBRIDGE_TRUSTED_PROXIES=everyone"), []string{"WXBRIDGE_TRUSTED_PROXIES: entry 1"}},
		{"TOK-06 equal audiences", minimal("WXBRIDGE_JWT_AUDIENCE=wxbridge"), []string{"WXBRIDGE_JWT_AUDIENCE: ", "ID token"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			got := run(t, row.environ, "serve")
			if got.code != 2 || got.stdout != "" {
				t.Errorf("exit code %d and stdout %q, want 2 and nothing", got.code, got.stdout)
			}
			for _, want := range row.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("stderr lacks %q:\n%s", want, got.stderr)
				}
			}
			if entries, _ := os.ReadDir("."); len(entries) != 0 {
				t.Errorf("a start that was refused left %v behind", entries)
			}
		})
	}
}

func TestServeReadsDotEnvBelowTheEnvironment(t *testing.T) {
	t.Run("faults of .env stop the start", func(t *testing.T) {
		t.Chdir(t.TempDir())
		writeFile(t, ".env", strings.Join(minimal("WXBRIDGE_JWT_TTL=often", "WXBRIDGE_SESION_TTL=1h"), "\n"), 0o600)
		got := run(t, nil, "serve")
		if got.code != 2 || !strings.Contains(got.stderr, "2 faults") || !strings.Contains(got.stderr, "WXBRIDGE_JWT_TTL: ") || !strings.Contains(got.stderr, "did you mean WXBRIDGE_SESSION_TTL?") {
			t.Errorf("exit code %d:\n%s", got.code, got.stderr)
		}
	})
	t.Run("the environment wins", func(t *testing.T) {
		t.Chdir(t.TempDir())
		writeFile(t, ".env", strings.Join(minimal("WXBRIDGE_JWT_TTL=often"), "\n"), 0o600)
		got := run(t, []string{"WXBRIDGE_JWT_TTL=1h", "WXBRIDGE_JWKS_MAX_AGE=never"}, "serve")
		if got.code != 2 || !strings.Contains(got.stderr, "1 fault ") || !strings.Contains(got.stderr, "WXBRIDGE_JWKS_MAX_AGE: ") {
			t.Errorf("exit code %d:\n%s", got.code, got.stderr)
		}
	})
	t.Run("an unreadable line is named and not shown", func(t *testing.T) {
		t.Chdir(t.TempDir())
		writeFile(t, ".env", "WXBRIDGE_LISTEN=:1\nWXBRIDGE SECRET!"+sealingSecret+"\n", 0o600)
		got := run(t, nil, "serve")
		if got.code != 2 || !strings.Contains(got.stderr, ".env: line 2 ") || strings.Contains(got.stderr, sealingSecret) {
			t.Errorf("exit code %d:\n%s", got.code, got.stderr)
		}
	})
	t.Run("a .env that is a folder", func(t *testing.T) {
		t.Chdir(t.TempDir())
		if err := os.Mkdir(".env", 0o700); err != nil {
			t.Fatal(err)
		}
		if got := run(t, minimal(), "serve"); got.code != 2 || !strings.Contains(got.stderr, ".env: cannot be read") {
			t.Errorf("exit code %d:\n%s", got.code, got.stderr)
		}
	})
	t.Run("a bridge runs on .env alone", func(t *testing.T) {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, ".env"), strings.Join(serveEnviron(t, startWeChat(t).url), "\n"), 0o600)
		startServe(t, dir, nil).stop(t)
	})
}

func writeFile(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestServeSaysThatAnAddressIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Chdir(t.TempDir())
	got := run(t, minimal("WXBRIDGE_LISTEN="+l.Addr().String()), "serve")
	if got.code != 1 || !strings.Contains(got.stderr, "another program is using it") || !strings.Contains(got.stderr, "WXBRIDGE_LISTEN") {
		t.Errorf("exit code %d:\n%s", got.code, got.stderr)
	}
}

func TestREL10_SIGTERMFinishesRequestsInFlight(t *testing.T) {
	wechat := startWeChat(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	wechat.gate = func(path string) {
		if path == "/sns/jscode2session" {
			close(arrived)
			<-release
		}
	}
	b := startServe(t, t.TempDir(), serveEnviron(t, wechat.url))
	code := wechat.jsCode(t, "alice", devApp(t, "mini_program").AppID)

	type result struct {
		status int
		answer loginAnswer
		err    error
	}
	answered := make(chan result, 1)
	go func() {
		var r result
		r.status, r.err = tryPostJSON(b.url+"/miniprogram/login", map[string]string{"code": code}, &r.answer)
		answered <- r
	}()
	<-arrived
	b.signal(t, syscall.SIGTERM)
	awaitNotReady(t, b)
	select {
	case <-b.ended:
		t.Fatal("the process ended with a request in flight")
	default:
	}
	close(release)

	r := <-answered
	if r.err != nil || r.status != http.StatusOK || r.answer.AccessToken == "" {
		t.Errorf("the request in flight was answered %d, error %v", r.status, r.err)
	}
	if code := b.wait(t, 10*time.Second); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if info, err := os.Stat(filepath.Join(b.dir, "wxbridge.db-wal")); err == nil && info.Size() > 0 {
		t.Errorf("%d bytes were left in the WAL", info.Size())
	}
	if !strings.Contains(b.stderr.String(), `"msg":"stopped"`) {
		t.Error("the log does not say that the bridge stopped")
	}
}

// awaitNotReady waits until /readyz answers 503 or no more connections are taken. Each try is a connection of its own,
// as a load balancer's may be.
func awaitNotReady(t *testing.T, b *bridge) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		res, err := client.Get(b.url + "/readyz")
		if err != nil {
			return
		}
		res.Body.Close()
		if res.StatusCode == http.StatusServiceUnavailable {
			return
		}
	}
	t.Fatal("the bridge still says that it is ready")
}

func TestREL10_ASecondSignalEndsAtOnce(t *testing.T) {
	wechat := startWeChat(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(release) })
	wechat.gate = func(path string) {
		if path == "/sns/jscode2session" {
			close(arrived)
			<-release
		}
	}
	b := startServe(t, t.TempDir(), serveEnviron(t, wechat.url))
	code := wechat.jsCode(t, "alice", devApp(t, "mini_program").AppID)
	go tryPostJSON(b.url+"/miniprogram/login", map[string]string{"code": code}, new(loginAnswer))
	<-arrived
	b.signal(t, syscall.SIGTERM)
	awaitNotReady(t, b)
	b.signal(t, syscall.SIGTERM)
	if code := b.wait(t, 2*time.Second); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}

func TestREL18_ServeHasNoSimulator(t *testing.T) {
	b := startServe(t, t.TempDir(), serveEnviron(t, startWeChat(t).url))
	for _, path := range []string{
		"/_simulator", "/_simulator/", "/_simulator/people", "/_simulator/js-code", "/_simulator/phone-code", "/_simulator/encrypted-profile",
		"/_simulator/events", "/_simulator/faults", "/_simulator/clock", "/_simulator/calls", "/_simulator/switches", "/_simulator/wx-request",
		"/%5fsimulator/people", "//_simulator/people", "/connect/oauth2/authorize", "/sns/oauth2/access_token", "/sns/userinfo",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			req, err := http.NewRequest(method, b.url+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("X-Simulator-Person", "alice")
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s answered %d, want 404", method, path, res.StatusCode)
			}
		}
	}
}

func TestWEB13_NoDebugRoutesOnThePublicListener(t *testing.T) {
	b := startServe(t, t.TempDir(), serveEnviron(t, startWeChat(t).url))
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/metrics", "/.env", "/wxbridge.db", "/static/", "/secret"} {
		if status, _ := get(t, b.url+path); status != http.StatusNotFound {
			t.Errorf("GET %s answered %d, want 404", path, status)
		}
	}
	if out := b.stdout.String(); out != "" {
		t.Errorf("serve writes to stdout: %s", out)
	}
}

func TestSRV01_HeadersOver64KiBAreRefused(t *testing.T) {
	b := startServe(t, t.TempDir(), serveEnviron(t, startWeChat(t).url))
	for _, row := range []struct{ size, want int }{{16 << 10, http.StatusOK}, {65 << 10, http.StatusRequestHeaderFieldsTooLarge}} {
		req, err := http.NewRequest("GET", b.url+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Padding", strings.Repeat("a", row.size))
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != row.want {
			t.Errorf("a header of %d bytes was answered %d, want %d", row.size, res.StatusCode, row.want)
		}
	}
}

func TestSRV01_SlowHeadersAreCutOff(t *testing.T) {
	t.Parallel()
	b := startServe(t, t.TempDir(), serveEnviron(t, startWeChat(t).url))
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now()
	conn.SetDeadline(start.Add(20 * time.Second))
	fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatalf("the connection was not closed: %v", err)
	}
	if took := time.Since(start); took > 12*time.Second {
		t.Errorf("the connection was held for %v", took)
	}
}

func TestLOG02_TheLogIsJSONLinesWithoutSecrets(t *testing.T) {
	wechat := startWeChat(t)
	b := startServe(t, t.TempDir(), serveEnviron(t, wechat.url))
	mini := devApp(t, "mini_program")
	code := wechat.jsCode(t, "alice", mini.AppID)
	var login loginAnswer
	if status := postJSON(t, b.url+"/miniprogram/login", map[string]string{"code": code}, &login); status != http.StatusOK {
		t.Fatalf("login answered %d", status)
	}
	b.stop(t)

	lines := bufio.NewScanner(strings.NewReader(b.stderr.String()))
	var startLine map[string]any
	for lines.Scan() {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Errorf("not JSON: %s", lines.Text())
		}
		if line["msg"] == "serving" {
			startLine = line
		}
	}
	for key, want := range map[string]string{"public_url": publicURL, "official_account": devApp(t, "official_account").AppID, "mini_program": mini.AppID} {
		if startLine[key] != want {
			t.Errorf("the start line says %s=%v, want %s", key, startLine[key], want)
		}
	}
	if instances, _ := startLine["instances"].(string); !strings.Contains(instances, "share the database") { // REL-07
		t.Errorf("the start line does not say what may run beside it: %v", startLine)
	}
	for what, secret := range map[string]string{"sealing secret": sealingSecret, "AppSecret": mini.Secret, "code": code, "token": login.AccessToken} {
		if strings.Contains(b.stderr.String(), secret) {
			t.Errorf("the log shows the %s", what)
		}
	}
}

func TestKEY01_FilesOpenToOthersAreWarnedOf(t *testing.T) {
	wechat := startWeChat(t)
	t.Run("new files are private", func(t *testing.T) {
		b := startServe(t, t.TempDir(), serveEnviron(t, wechat.url))
		info, err := os.Stat(filepath.Join(b.dir, "wxbridge.db"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("wxbridge.db: %v, %v; want mode 0600", info.Mode(), err)
		}
		b.stop(t)
		if strings.Contains(b.stderr.String(), "open to other users") {
			t.Error("a warning without a reason")
		}
	})
	t.Run("open files are named", func(t *testing.T) {
		dir := t.TempDir()
		environ := serveEnviron(t, wechat.url)
		secret := filepath.Join(dir, "secret")
		writeFile(t, secret, sealingSecret+"\n", 0o640)
		writeFile(t, filepath.Join(dir, ".env"), strings.Join(append(environ, "WXBRIDGE_SECRET=", "WXBRIDGE_SECRET_FILE="+secret), "\n"), 0o644)
		writeFile(t, filepath.Join(dir, "wxbridge.db"), "", 0o604)
		b := startServe(t, dir, nil)
		b.stop(t)
		for _, file := range []string{`"file":".env","mode":"0644"`, `"file":"` + secret + `","mode":"0640"`, `"file":"wxbridge.db","mode":"0604"`} {
			if !strings.Contains(b.stderr.String(), file) {
				t.Errorf("no warning with %s", file)
			}
		}
	})
}

func TestKEY06_AnotherSecretStopsTheStartAndReplacesNothing(t *testing.T) {
	wechat := startWeChat(t)
	environ := serveEnviron(t, wechat.url)
	dir := t.TempDir()
	keys := func() string {
		b := startServe(t, dir, environ)
		defer b.stop(t)
		_, body := get(t, b.url+"/.well-known/jwks.json")
		return body
	}
	before := keys()
	t.Chdir(dir)
	got := run(t, append(environ, "WXBRIDGE_SECRET=another-"+sealingSecret), "serve")
	if got.code != 1 || !strings.Contains(got.stderr, "WXBRIDGE_SECRET") {
		t.Errorf("exit code %d, want 1 and a line that names WXBRIDGE_SECRET:\n%s", got.code, got.stderr)
	}
	if after := keys(); after != before {
		t.Errorf("the keys changed from %s to %s", before, after)
	}
}
