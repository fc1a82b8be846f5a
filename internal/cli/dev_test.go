package cli_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wxbridge/internal/cli"
)

// devProcess is `wxbridge dev` on free ports.
type devProcess struct {
	*process
	bridge, simulator string
}

func startDev(t *testing.T, dir string, environ []string, args ...string) *devProcess {
	t.Helper()
	p := start(t, dir, environ, append([]string{"dev", "--listen", "127.0.0.1:0", "--simulator-listen", "127.0.0.1:0"}, args...)...)
	return &devProcess{process: p, bridge: p.line(t, p.stdout, "bridge: "), simulator: p.line(t, p.stdout, "simulator: ")}
}

func (d *devProcess) login(t *testing.T, person, appID string) loginAnswer {
	t.Helper()
	var answer loginAnswer
	code := jsCode(t, d.simulator, person, appID)
	if status := postJSON(t, d.bridge+"/miniprogram/login", map[string]string{"code": code}, &answer); status != http.StatusOK {
		t.Fatalf("login answered %d", status)
	}
	return answer
}

func TestDevPrintsTwoLinesAndBothAnswer(t *testing.T) {
	temp := t.TempDir()
	d := startDev(t, t.TempDir(), []string{"TMPDIR=" + temp})
	if status, body := get(t, d.bridge+"/readyz"); status != http.StatusOK {
		t.Errorf("the bridge answered %d: %s", status, body)
	}
	if status, body := get(t, d.simulator+"/_simulator/people"); status != http.StatusOK {
		t.Errorf("the simulator answered %d: %s", status, body)
	}
	if answer := d.login(t, "alice", devApp(t, "mini_program").AppID); answer.AccessToken == "" {
		t.Error("a login gave no token")
	}
	if made, _ := filepath.Glob(filepath.Join(temp, "wxbridge-dev-*")); len(made) != 1 {
		t.Errorf("temporary folders while it runs: %v, want one", made)
	}
	d.signal(t, os.Interrupt)
	if code := d.wait(t, 10*time.Second); code != 0 {
		t.Errorf("exit code %d after an interrupt, want 0", code)
	}
	if !regexp.MustCompile(`^bridge: http://127\.0\.0\.1:[0-9]+\nsimulator: http://localhost:[0-9]+\n$`).MatchString(d.stdout.String()) {
		t.Errorf("stdout is %q", d.stdout)
	}
	if !strings.Contains(d.stderr.String(), "Open "+d.simulator) {
		t.Error("stderr does not say what to open")
	}
	if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestDevLeavesNothingRunning runs the command in this process.
func TestDevLeavesNothingRunning(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	p := &process{stdout: newOutput(), stderr: newOutput(), ended: make(chan struct{})}
	var code int
	go func() {
		defer close(p.ended)
		code = cli.Run(ctx, []string{"dev", "--listen", "127.0.0.1:0", "--simulator-listen", "127.0.0.1:0"}, nil, p.stdout, p.stderr)
	}()
	d := &devProcess{process: p, bridge: p.line(t, p.stdout, "bridge: "), simulator: p.line(t, p.stdout, "simulator: ")}
	d.login(t, "alice", devApp(t, "mini_program").AppID)
	cancel()
	<-p.ended
	if code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.stderr)
	}
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, before)
}

func TestDevKeepsItsDataFolder(t *testing.T) {
	data := filepath.Join(t.TempDir(), "new", "data")
	mini := devApp(t, "mini_program").AppID
	visit := func() (keys string, fan string) {
		d := startDev(t, t.TempDir(), []string{"WXBRIDGE_DATABASE=sqlite://elsewhere.db"}, "--data", data)
		defer d.stop(t)
		_, keys = get(t, d.bridge+"/.well-known/jwks.json")
		return keys, d.login(t, "alice", mini).Fan.ID
	}
	keys, fan := visit()
	secret, err := os.ReadFile(filepath.Join(data, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	keysAgain, fanAgain := visit()
	if keys != keysAgain || fan != fanAgain {
		t.Errorf("the second run has other keys or another fan: %s and %s, then %s and %s", keys, fan, keysAgain, fanAgain)
	}
	if again, _ := os.ReadFile(filepath.Join(data, "secret")); string(again) != string(secret) {
		t.Error("the secret was replaced")
	}
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(secret))); err != nil || len(raw) != 32 {
		t.Errorf("the secret is not 32 bytes in base64: %v", err)
	}
	entries, err := os.ReadDir(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("KEY-01 %s has mode %v, want 0600 (%v)", e.Name(), info.Mode(), err)
		}
	}
	if len(entries) != 2 {
		t.Errorf("the data folder holds %v, want secret and wxbridge.db", entries)
	}
}

func TestREL03_DevStartsAgainAfterKill(t *testing.T) {
	data := t.TempDir()
	mini := devApp(t, "mini_program").AppID
	first := startDev(t, t.TempDir(), nil, "--data", data)
	fan := first.login(t, "zoe", mini).Fan.ID
	first.signal(t, syscall.SIGKILL)
	first.wait(t, 10*time.Second)
	second := startDev(t, t.TempDir(), nil, "--data", data)
	if again := second.login(t, "zoe", mini).Fan.ID; again != fan {
		t.Errorf("after a kill zoe is fan %s, before it she was %s", again, fan)
	}
}

func TestDevTakesVariablesButNotDotEnv(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, ".env"), "WXBRIDGE_NONSENSE=1\nWXBRIDGE_JWT_TTL=5m\n", 0o600)
	d := startDev(t, dir, []string{
		"WXBRIDGE_JWT_TTL=10m",
		"WXBRIDGE_JWT_AUDIENCE=shop",
		"WXBRIDGE_PUBLIC_URL=https://login.example.com",
		"WXBRIDGE_WECHAT_API_URL=https://api.weixin.qq.com",
		"WXBRIDGE_MINIPROGRAM_APP_ID=wx00112233445566ff",
		"WXBRIDGE_MINIPROGRAM_APP_SECRET=e10adc3949ba59abbe56e057f20f883e",
	})
	answer := d.login(t, "alice", "wx00112233445566ff")
	if answer.ExpiresIn != 600 {
		t.Errorf("expires_in is %d, want 600", answer.ExpiresIn)
	}
	claims := payload(t, answer.AccessToken)
	if claims["aud"] != "shop" || claims["iss"] != "https://login.example.com" {
		t.Errorf("aud %v, iss %v", claims["aud"], claims["iss"])
	}
}

// TestDevPushesEventsToItsBridge also where the bridge is known to browsers by another address.
func TestDevPushesEventsToItsBridge(t *testing.T) {
	d := startDev(t, t.TempDir(), []string{"WXBRIDGE_PUBLIC_URL=https://login.example.com"})
	var report struct {
		URL      string
		Attempts []struct{ Status int }
	}
	event := map[string]string{"person": "bob", "appid": devApp(t, "official_account").AppID, "event": "subscribe"}
	if status := postJSON(t, d.simulator+"/_simulator/events", event, &report); status != http.StatusOK {
		t.Fatalf("the simulator answered %d", status)
	}
	if report.URL != d.bridge+"/events/official-account" || len(report.Attempts) == 0 || report.Attempts[0].Status == 0 {
		t.Errorf("the event went to %s: %+v; the bridge is %s", report.URL, report.Attempts, d.bridge)
	}
}

func payload(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("the token has %d parts", len(parts))
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(data, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestDevRefusals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := []string{"--listen", "127.0.0.1:0", "--simulator-listen", "127.0.0.1:0"}
	for _, row := range []struct {
		name    string
		environ []string
		args    []string
		code    int
		want    string
	}{
		{"the bridge's port is taken", nil, []string{"--listen", taken.Addr().String(), "--simulator-listen", "127.0.0.1:0"}, 1, "another program is using it; choose another address with --listen"},
		{"the simulator's port is taken", nil, []string{"--listen", "127.0.0.1:0", "--simulator-listen", taken.Addr().String()}, 1, "choose another address with --simulator-listen"},
		{"the port of WXBRIDGE_LISTEN is taken", []string{"WXBRIDGE_LISTEN=" + taken.Addr().String()}, []string{"--simulator-listen", "127.0.0.1:0"}, 1, taken.Addr().String()},
		{"REL-18 a simulator for the network", nil, []string{"--simulator-listen", "0.0.0.0:0"}, 1, "loopback addresses only"},
		{"REL-18 a simulator for all interfaces", nil, []string{"--simulator-listen", ":8090"}, 1, "loopback addresses only"},
		{"an address without a port", nil, []string{"--listen", "127.0.0.1"}, 2, "WXBRIDGE_LISTEN: is not host:port"},
		{"a simulator address without a port", nil, []string{"--simulator-listen", "localhost"}, 1, "want host:port"},
		{"an unknown switch", nil, append(free, "--switch", "weather=rain"), 1, "weather"},
		{"a switch without a choice", nil, append(free, "--switch", "refusal"), 2, "refusal"},
		{"a wrong variable", []string{"WXBRIDGE_JWT_TTL=soon", "WXBRIDGE_PROFILE_POLICY=x"}, free, 2, "2 faults"},
		{"half an app", []string{"WXBRIDGE_OFFICIAL_APP_ID=wx0123456789abcdef"}, free, 2, "WXBRIDGE_OFFICIAL_APP_SECRET: is not set"},
		{"a weak secret", []string{"WXBRIDGE_SECRET=secret"}, free, 2, "WXBRIDGE_SECRET: has 6 bytes"},
		{"somebody's database without its secret", []string{"WXBRIDGE_DATABASE=sqlite://mine.db"}, free, 2, "WXBRIDGE_SECRET: is not set"},
		{"a data folder below a file", nil, append(free, "--data", "/dev/null/x"), 1, "data folder"},
		{"an argument", nil, append(free, "now"), 2, "now"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			got := run(t, row.environ, append([]string{"dev"}, row.args...)...)
			if got.code != row.code || !strings.Contains(got.stderr, row.want) {
				t.Errorf("exit code %d, want %d, and stderr with %q:\n%s", got.code, row.code, row.want, got.stderr)
			}
			if got.stdout != "" {
				t.Errorf("stdout: %s", got.stdout)
			}
			if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestDevDataFolderWithABrokenSecretIsNotReplaced(t *testing.T) {
	data := t.TempDir()
	writeFile(t, filepath.Join(data, "secret"), "short\n", 0o600)
	got := run(t, nil, "dev", "--data", data, "--listen", "127.0.0.1:0", "--simulator-listen", "127.0.0.1:0")
	if got.code != 2 || !strings.Contains(got.stderr, "WXBRIDGE_SECRET: has 5 bytes") {
		t.Errorf("exit code %d:\n%s", got.code, got.stderr)
	}
	if content, _ := os.ReadFile(filepath.Join(data, "secret")); string(content) != "short\n" {
		t.Error("the file was overwritten")
	}
}

// The simulator of another run knows no token of the last one's, though its openids and appids are the same.
func TestDevForgetsTheAppTokensOfTheSimulatorBefore(t *testing.T) {
	data, clientsFile := t.TempDir(), filepath.Join(t.TempDir(), "clients.yaml")
	sum := sha256.Sum256([]byte("a secret of the desk"))
	registry := "clients:\n- {id: desk, secret_sha256: " + hex.EncodeToString(sum[:]) + ", may: [app-token]}\n"
	if err := os.WriteFile(clientsFile, []byte(registry), 0o600); err != nil {
		t.Fatal(err)
	}
	for run := range 2 {
		d := startDev(t, t.TempDir(), []string{"WXBRIDGE_CLIENTS_FILE=" + clientsFile}, "--data", data)
		request, err := http.NewRequest(http.MethodGet, d.bridge+"/internal/app-token", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth("desk", "a+secret+of+the+desk")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var token struct {
			Value string `json:"access_token"`
		}
		err = json.NewDecoder(response.Body).Decode(&token)
		response.Body.Close()
		if err != nil || token.Value == "" {
			t.Fatalf("run %d: %d %v", run+1, response.StatusCode, err)
		}
		if _, body := get(t, d.simulator+"/cgi-bin/getcallbackip?access_token="+url.QueryEscape(token.Value)); !strings.Contains(body, "ip_list") {
			t.Errorf("run %d: WeChat says to the token of the bridge: %s", run+1, body)
		}
		d.stop(t)
	}
}
