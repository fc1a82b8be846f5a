package simulator_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wxbridge/internal/testenv"
	"wxbridge/wechat/simulator"
)

// sdk is a script of testdata/sdk: somebody else's WeChat library, which knows nothing of a simulator but its address.
type sdk struct {
	t     *testing.T
	url   string // of its message server
	stdin io.Writer
	lines chan sdkLine
}

// sdkLine is one line of its output.
type sdkLine struct {
	URL     string
	Message map[string]any
	Result  map[string]any
	Error   string
}

func startSDK(t *testing.T, script string, packages []string, app simulator.App, mode string) *sdk {
	t.Helper()
	node, err := exec.LookPath("node")
	modules := os.Getenv("WXBRIDGE_TEST_NODE_MODULES")
	for _, name := range packages {
		if _, statErr := os.Stat(filepath.Join(modules, name)); err != nil || modules == "" || statErr != nil {
			testenv.Missing(t, "node", "a folder with the npm packages "+strings.Join(packages, ", ")+" named by WXBRIDGE_TEST_NODE_MODULES")
		}
	}
	settings := map[string]string{"appid": app.AppID, "secret": app.Secret, "token": app.Token, "aesKey": app.EncodingAESKey, "folder": t.TempDir()}
	if mode == simulator.ModePlain {
		settings["aesKey"] = ""
	}
	text, _ := json.Marshal(settings)
	cmd := exec.CommandContext(t.Context(), node, "--no-deprecation", filepath.Join("testdata/sdk", script), string(text))
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules, "http_proxy=", "https_proxy=", "HTTP_PROXY=", "HTTPS_PROXY=")
	cmd.Stderr = t.Output()
	s := &sdk{t: t, lines: make(chan sdkLine, 100)}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdin = stdin
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() { defer close(read); s.read(stdout) }()
	t.Cleanup(func() {
		stdin.Close()
		<-read
		cmd.Wait()
	})
	s.url = s.next().URL
	return s
}

func (s *sdk) read(stdout io.Reader) {
	defer close(s.lines)
	for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
		var line sdkLine
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			line.Error = err.Error() + ": " + scanner.Text()
		}
		s.lines <- line
	}
}

func (s *sdk) next() sdkLine {
	s.t.Helper()
	select {
	case line := <-s.lines:
		if line.Error != "" {
			s.t.Fatal(line.Error)
		}
		return line
	case <-time.After(30 * time.Second):
		s.t.Fatal("the SDK said nothing for 30 seconds")
		return sdkLine{}
	}
}

// user asks the SDK to ask the simulator about somebody.
func (s *sdk) user(simulator, openid string) map[string]any {
	s.t.Helper()
	s.ask(simulator, openid)
	return s.next().Result
}

func (s *sdk) ask(simulator, openid string) {
	s.t.Helper()
	line, _ := json.Marshal(map[string]string{"simulator": simulator, "openid": openid})
	if _, err := s.stdin.Write(append(line, '\n')); err != nil {
		s.t.Fatal(err)
	}
}

// TestSDKsTakeTheSimulatorForWeChat: libraries that know nothing of it get tokens and followers, verify its signatures,
// decrypt its pushes, and encrypt replies that it understands.
func TestSDKsTakeTheSimulatorForWeChat(t *testing.T) {
	for script, packages := range map[string][]string{
		"wechat.cjs":     {"wechat", "wechat-api"},
		"easywechat.cjs": {"node-easywechat"},
	} {
		for _, mode := range modes() {
			t.Run(script+" "+mode, func(t *testing.T) {
				t.Parallel()
				s := startSDK(t, script, packages, simulator.DevApps("")[0], mode)
				w := newWorld(t, func(c *simulator.Config) { c.Apps[0].EventsURL, c.Apps[0].EventsMode = s.url+"/wechat", mode })
				openid, unionid := w.account("alice", w.official.AppID)

				if user := s.user(w.url, openid); user["subscribe"] != 1.0 || user["openid"] != openid || user["unionid"] != unionid {
					t.Errorf("user/info: %v", user)
				}
				if report, err := w.sim.VerifyCallback(t.Context(), w.official.AppID); err != nil || !report.Verified {
					t.Errorf("verification: %+v, %v", report, err)
				}
				s.takesPushes(w, mode, openid)
			})
		}
	}
}

// takesPushes sends texts of every length up to a block, so that all paddings occur, and one event.
func (s *sdk) takesPushes(w *world, mode, openid string) {
	t := s.t
	for n := 1; n <= 32; n++ {
		content := strings.Repeat("x", n-1) + "你"
		report := w.push("alice", map[string]any{"name": "text", "content": content})
		if !report.Delivered || report.Reply.Kind != simulator.ReplyMessage || report.Reply.Content != "echo: "+content ||
			report.Reply.Encrypted != (mode != simulator.ModePlain) {
			t.Fatalf("report %+v, reply %+v", report, report.Reply)
		}
		if m := s.next().Message; m["FromUserName"] != openid || m["Content"] != content {
			t.Errorf("the SDK read %v", m)
		}
	}
	report := w.push("alice", "unsubscribe")
	if m := s.next().Message; m["Event"] != "unsubscribe" || m["FromUserName"] != openid || report.Reply.Kind != simulator.ReplyNone {
		t.Errorf("the SDK read %v, reply %+v", m, report.Reply)
	}
}

// TestATokenFightReachesAnSDK: another system's fetch makes the token that the SDK holds stale after five minutes, as it
// does in production.
func TestATokenFightReachesAnSDK(t *testing.T) {
	w := newWorld(t)
	s := startSDK(t, "wechat.cjs", []string{"wechat", "wechat-api"}, w.official, simulator.ModeAES)
	openid, _ := w.account("alice", w.official.AppID)
	s.user(w.url, openid)
	w.token(w.official)
	if user := s.user(w.url, openid); user["openid"] != openid {
		t.Errorf("within five minutes: %v", user)
	}
	w.advance("5m")
	s.ask(w.url, openid)
	if line := <-s.lines; !strings.Contains(line.Error, "WeChatAPIError: invalid credential, access_token is invalid or not latest") {
		t.Errorf("after five minutes: %+v", line)
	}
}
