package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"wxbridge/internal/cli"
	"wxbridge/wechat/simulator"
)

const sealingSecret = "b7Qm2Xw9Zc4Vt6Rk8Ls1Nd3Hf5Gj0PyUaEoIiTq="

// buildDir is where binary puts the program.
var buildDir string

// binary is the program itself, built once, if a test needs it.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "wxbridge")
	if out, err := exec.Command("go", "build", "-o", path, "wxbridge").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "wxbridge-cli-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// outcome is how a command that ends by itself ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// run carries out a command in this process.
func run(t *testing.T, environ []string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := cli.Run(ctx, args, environ, &stdout, &stderr)
	if ctx.Err() != nil {
		t.Fatalf("wxbridge %s did not end by itself; stderr:\n%s", strings.Join(args, " "), &stderr)
	}
	return outcome{code, stdout.String(), stderr.String()}
}

// process is the built program at work.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	ended          chan struct{}
}

// start runs the program in dir. It is killed at the end of the test, if it still runs.
func start(t *testing.T, dir string, environ []string, args ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(path, args...), stdout: newOutput(), stderr: newOutput(), ended: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = append([]string{"TMPDIR=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}, environ...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			lines := strings.SplitAfter(p.stderr.String(), "\n")
			t.Logf("end of stderr of wxbridge %s:\n%s", strings.Join(args, " "), strings.Join(lines[max(0, len(lines)-20):], ""))
		}
	})
	return p
}

// line waits for a line of o that begins with prefix and gives what follows it.
func (p *process) line(t *testing.T, o *output, prefix string) string {
	t.Helper()
	return strings.TrimPrefix(p.await(t, o, func(line string) bool { return strings.HasPrefix(line, prefix) }, prefix), prefix)
}

// lineWith waits for a line of o that holds part and gives it.
func (p *process) lineWith(t *testing.T, o *output, part string) string {
	t.Helper()
	return p.await(t, o, func(line string) bool { return strings.Contains(line, part) }, part)
}

func (p *process) await(t *testing.T, o *output, wanted func(line string) bool, what string) string {
	t.Helper()
	line, ok := o.await(wanted, p.ended)
	if !ok {
		t.Fatalf("no line %q; stdout:\n%s\nstderr:\n%s", what, p.stdout, p.stderr)
	}
	return line
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wait gives the exit code, or -1 if a signal ended the process.
func (p *process) wait(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("the process still runs after %v", limit)
		return 0
	}
}

// stop ends the process as an operator would and expects exit code 0.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t, 20*time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
}

// output collects what a process writes and lets tests wait for lines.
type output struct {
	mu   sync.Mutex
	text []byte
	more chan struct{} // closed and replaced at each write
}

func newOutput() *output { return &output{more: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	close(o.more)
	o.more = make(chan struct{})
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// await gives the first whole line that is wanted, or false if the process ends without one or takes too long.
func (o *output) await(wanted func(line string) bool, ended <-chan struct{}) (string, bool) {
	limit := time.After(30 * time.Second)
	for {
		o.mu.Lock()
		text, more := string(o.text), o.more
		o.mu.Unlock()
		for line := range strings.Lines(text) {
			if whole, ok := strings.CutSuffix(line, "\n"); ok && wanted(whole) {
				return whole, true
			}
		}
		select {
		case <-more:
		case <-ended:
			select {
			case <-more: // written just before the end
			default:
				return "", false
			}
		case <-limit:
			return "", false
		}
	}
}

// weChat is a simulator behind a gate that tests can close.
type weChat struct {
	url  string
	gate func(path string) // called before each request is answered
}

func startWeChat(t *testing.T) *weChat {
	t.Helper()
	sim, err := simulator.New(simulator.Config{Apps: simulator.DevApps("127.0.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	w := &weChat{}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.gate != nil {
			w.gate(r.URL.Path)
		}
		sim.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// jsCode is what wx.login gives that person in the mini program.
func (w *weChat) jsCode(t *testing.T, person, appID string) string {
	t.Helper()
	return jsCode(t, w.url, person, appID)
}

func jsCode(t *testing.T, simulatorURL, person, appID string) string {
	t.Helper()
	var answer struct{ Code string }
	status := postJSON(t, simulatorURL+"/_simulator/js-code", map[string]string{"person": person, "appid": appID}, &answer)
	if status != http.StatusOK || answer.Code == "" {
		t.Fatalf("js-code answered %d", status)
	}
	return answer.Code
}

func devApp(t *testing.T, provider string) simulator.App {
	t.Helper()
	for _, app := range simulator.DevApps("127.0.0.1") {
		if app.Provider == provider {
			return app
		}
	}
	t.Fatalf("the dev set has no %s", provider)
	return simulator.App{}
}

// bridge is `wxbridge serve` at work.
type bridge struct {
	*process
	url, dir string
}

const publicURL = "http://127.0.0.1:8080"

// serveEnviron is a configuration of serve that works, on any free port.
func serveEnviron(t *testing.T, wechatURL string) []string {
	t.Helper()
	official, mini := devApp(t, "official_account"), devApp(t, "mini_program")
	return []string{
		"WXBRIDGE_PUBLIC_URL=" + publicURL,
		"WXBRIDGE_LISTEN=127.0.0.1:0",
		"WXBRIDGE_SECRET=" + sealingSecret,
		"WXBRIDGE_RATE_LIMIT=0", // tests log in from one address more often than people do
		"WXBRIDGE_OFFICIAL_APP_ID=" + official.AppID,
		"WXBRIDGE_OFFICIAL_APP_SECRET=" + official.Secret,
		"WXBRIDGE_MINIPROGRAM_APP_ID=" + mini.AppID,
		"WXBRIDGE_MINIPROGRAM_APP_SECRET=" + mini.Secret,
		"WXBRIDGE_WECHAT_API_URL=" + wechatURL,
		"WXBRIDGE_WECHAT_OPEN_URL=" + wechatURL,
	}
}

// startServe runs serve in dir and waits until it is ready.
func startServe(t *testing.T, dir string, environ []string) *bridge {
	t.Helper()
	b := &bridge{dir: dir, process: start(t, dir, environ, "serve")}
	_, address, found := strings.Cut(b.lineWith(t, b.stderr, `"msg":"serving"`), `"listen":"`)
	address, _, _ = strings.Cut(address, `"`)
	if !found {
		t.Fatal("the start line names no address")
	}
	b.url = "http://" + address
	if status, body := get(t, b.url+"/readyz"); status != http.StatusOK {
		t.Fatalf("/readyz answered %d: %s", status, body)
	}
	return b
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(content)
}

func postJSON(t *testing.T, url string, body, answer any) (status int) {
	t.Helper()
	status, err := tryPostJSON(url, body, answer)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// tryPostJSON is for goroutines that must not end the test.
func tryPostJSON(url string, body, answer any) (status int, err error) {
	content, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	res, err := http.Post(url, "application/json", bytes.NewReader(content))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		err = json.NewDecoder(res.Body).Decode(answer)
	}
	return res.StatusCode, err
}

// loginAnswer is what POST /miniprogram/login gives.
type loginAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
	Fan         struct {
		ID string `json:"id"`
	} `json:"fan"`
}
