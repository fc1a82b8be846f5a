package cli_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whoever reads the log may end; the bridge goes on.
func TestServeGoesOnWithoutAReaderOfItsLog(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	stdout := newOutput()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(path, "dev", "--listen", "127.0.0.1:0", "--simulator-listen", "127.0.0.1:0"), stdout: stdout, stderr: newOutput(), ended: make(chan struct{})}
	p.cmd.Env = []string{"TMPDIR=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	p.cmd.Stdout, p.cmd.Stderr = stdout, writer
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
	})
	url := p.line(t, stdout, "bridge: ")
	reader.Close()
	for range 20 {
		if status, body := get(t, url+"/me"); status != http.StatusUnauthorized {
			t.Fatalf("%d %s", status, body)
		}
		if status, _ := get(t, url+"/login?return_to=//evil"); status != http.StatusBadRequest { // a warning, which is written at once
			t.Fatalf("%d", status)
		}
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t, 20*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// LOG-03: two starts that differ show which settings were changed, and no secret.
func TestLOG03_AStartTellsItsSettings(t *testing.T) {
	w := startWeChat(t)
	b := startServe(t, t.TempDir(), append(serveEnviron(t, w.url), "WXBRIDGE_JWT_TTL=30m", "WXBRIDGE_RATE_LIMIT=42"))
	var line struct {
		Time    time.Time
		Event   string
		Version string
		Config  map[string]any
	}
	text := b.lineWith(t, b.stderr, `"event":"config.loaded"`)
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatal(err)
	}
	if line.Version == "" || line.Time.IsZero() || line.Config["WXBRIDGE_JWT_TTL"] != "30m" || line.Config["WXBRIDGE_RATE_LIMIT"] != 42.0 ||
		line.Config["WXBRIDGE_SECRET"] != "***" || line.Config["WXBRIDGE_OFFICIAL_APP_SECRET"] != "***" {
		t.Errorf("%s", text)
	}
	b.stop(t)
	if strings.Contains(b.stderr.String(), sealingSecret) {
		t.Error("WX-01 the log holds the secret")
	}
}

// Lines wait for others, but not past the end; and a request's line comes by itself.
func TestServeWritesTheLineOfEveryRequest(t *testing.T) {
	w := startWeChat(t)
	b := startServe(t, t.TempDir(), serveEnviron(t, w.url))
	const requests = 500
	ids := map[string]bool{}
	for range requests {
		res, err := http.Get(b.url + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		ids[res.Header.Get("X-Request-Id")] = true
	}
	b.stop(t)
	for line := range strings.Lines(b.stderr.String()) {
		var entry struct {
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		delete(ids, entry.RequestID)
	}
	if len(ids) != 0 {
		t.Errorf("%d of %d requests have no line", len(ids), requests)
	}
}

func TestRateLimitIsOnInServeAndOffInDev(t *testing.T) {
	w := startWeChat(t)
	b := startServe(t, t.TempDir(), append(serveEnviron(t, w.url), "WXBRIDGE_RATE_LIMIT=3"))
	for i, want := range []int{200, 200, 200, 429} {
		if status, body := get(t, b.url+"/login/refused"); status != want {
			t.Errorf("request %d: %d %s", i+1, status, body)
		}
	}
	dev := start(t, t.TempDir(), nil, "dev", "--listen", "127.0.0.1:0", "--simulator-listen", "127.0.0.1:0")
	url := dev.line(t, dev.stdout, "bridge: ")
	for i := range 700 {
		if status, _ := get(t, url+"/login/refused"); status != 200 {
			t.Fatalf("dev, request %d: %d", i+1, status)
		}
	}
}

// A start says of which apps requests without app= cannot choose, and is quiet where one is the only one or the default.
func TestAStartWarnsOfAppsNoneOfWhichIsTheDefault(t *testing.T) {
	w := startWeChat(t)
	const apps = `apps:
- {alias: shop, provider: official_account, appid: wx5a1d0c77be4f2390, secret: 4c9b1f0e7d2a68533e90bb17a6d4f825}
- {alias: club, provider: official_account, appid: wxd07c81f26ab3945e, secret: 1d6ea2907f4bc8530f9e27ab64c1d83e}
- {alias: shop-mini, provider: mini_program, appid: wx9e3b64a1f05c7d82, secret: 8f27d3c05ab94e16027cd9e1b35af684}
`
	file := filepath.Join(t.TempDir(), "apps.yaml")
	if err := os.WriteFile(file, []byte(apps), 0o600); err != nil {
		t.Fatal(err)
	}
	noDefault := slices.DeleteFunc(serveEnviron(t, w.url), func(v string) bool { return strings.Contains(v, "_APP_") })
	b := startServe(t, t.TempDir(), append(noDefault, "WXBRIDGE_APPS_FILE="+file))
	warning := b.lineWith(t, b.stderr, `"event":"config.no_default_app"`)
	for _, part := range []string{`"level":"WARN"`, `"provider":"official_account"`, `"aliases":"shop club"`, "/login?app=shop", file} {
		if !strings.Contains(warning, part) {
			t.Errorf("no %s in %s", part, warning)
		}
	}
	b.stop(t)
	if n := strings.Count(b.stderr.String(), "config.no_default_app"); n != 1 {
		t.Errorf("%d warnings; the mini program is the only one", n)
	}
	b = startServe(t, t.TempDir(), append(serveEnviron(t, w.url), "WXBRIDGE_APPS_FILE="+file))
	b.stop(t)
	if strings.Contains(b.stderr.String(), "config.no_default_app") {
		t.Error("a warning beside an app named default")
	}
}
