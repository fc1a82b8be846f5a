package simulator_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"wxbridge/internal/testenv"
	"wxbridge/wechat/simulator"
)

// TestDebiansSocialAuthLogsIn: the WeChat backends of python3-social-auth-core, of which only the addresses are the simulator's,
// log in with a website app and inside WeChat. They read a nickname right only if its answer names no charset, as WeChat's does.
func TestDebiansSocialAuthLogsIn(t *testing.T) {
	python := debiansPython(t)
	w := newWorld(t)
	for backend, c := range map[string]struct {
		app   simulator.App
		scope string
		path  string
	}{
		"website": {w.website, "snsapi_login", "/connect/qrconnect"},
		"app":     {w.official, "snsapi_userinfo", "/connect/oauth2/authorize"},
	} {
		t.Run(backend, func(t *testing.T) {
			settings, _ := json.Marshal(map[string]any{"backend": backend, "simulator": w.url, "appid": c.app.AppID, "secret": c.app.Secret,
				"scope": []string{c.scope}, "redirect_uri": site})
			cmd := exec.CommandContext(t.Context(), python, "testdata/sdk/socialauth.py", string(settings))
			cmd.Env = append(os.Environ(), "http_proxy=", "https_proxy=", "HTTP_PROXY=", "HTTPS_PROXY=")
			cmd.Stderr = t.Output()
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { stdin.Close(); cmd.Wait() })
			lines := bufio.NewReader(stdout)

			var asked struct{ URL string }
			readLine(t, lines, &asked)
			_, query, found := strings.Cut(asked.URL, c.path+"?")
			if !found {
				t.Fatalf("the login begins at %s", asked.URL)
			}
			query, _, _ = strings.Cut(query, "#")
			callback := w.as("alice", c.path+"?"+query, "X-Simulator-Consent", "allow").back(t)
			line, _ := json.Marshal(map[string]string{"code": callback.Get("code"), "state": callback.Get("state")})
			fmt.Fprintf(stdin, "%s\n", line)

			var got struct{ Result map[string]any }
			readLine(t, lines, &got)
			openid, unionid := w.account("alice", c.app.AppID)
			if r := got.Result; r["uid"] != openid || r["unionid"] != unionid || r["username"] != "爱丽丝" {
				t.Errorf("it read %v, want %s, %s, 爱丽丝", r, openid, unionid)
			}
		})
	}
}

// debiansPython is a Python that has the package.
func debiansPython(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import social_core.backends.weixin").Run() == nil {
			return python
		}
	}
	testenv.Missing(t, "python3-social-auth-core", "a python3 that can import social_core")
	return ""
}

func readLine(t *testing.T, from *bufio.Reader, into any) {
	t.Helper()
	line, err := from.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, into)
	}
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
}
