package cli_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"wxbridge/internal/config"
)

func TestSimulatorPrintsLinesThatABridgeStartsWith(t *testing.T) {
	p := start(t, t.TempDir(), nil, "simulator", "--listen", "127.0.0.1:0")
	url := p.line(t, p.stdout, "WXBRIDGE_WECHAT_MP_URL=")
	environ, err := config.WithDotEnv(map[string]string{
		"WXBRIDGE_PUBLIC_URL": "http://127.0.0.1:8080",
		"WXBRIDGE_SECRET":     sealingSecret,
	}, []byte(p.stdout.String()))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(environ, nil)
	if err != nil {
		t.Fatalf("the lines do not load: %v", err)
	}
	if !cfg.Official.Configured() || !cfg.MiniProgram.Configured() || cfg.WeChatAPIURL.String() != url || cfg.WeChatOpenURL.String() != url {
		t.Errorf("the lines load as %s", cfg)
	}
	official := devApp(t, "official_account")
	values := map[string]string{"WXBRIDGE_OFFICIAL_TOKEN": official.Token, "WXBRIDGE_OFFICIAL_ENCODING_AES_KEY": official.EncodingAESKey}
	wecom := devApp(t, "wecom")
	for name, value := range map[string]string{"CORP_ID": wecom.AppID, "AGENT_ID": strconv.Itoa(wecom.AgentID), "SECRET": wecom.Secret,
		"TOKEN": wecom.Token, "ENCODING_AES_KEY": wecom.EncodingAESKey, "API_URL": url + "/qyapi", "LOGIN_URL": url + "/wwlogin"} {
		if line := "WXBRIDGE_WECOM_" + name + "=" + value + "\n"; knownSetting("WECOM_"+name) && strings.Count(p.stdout.String(), line) != 1 {
			t.Errorf("stdout does not have %s once", line)
		}
	}
	for _, v := range config.Variables() {
		if want := values[v.Name]; want != "" && !strings.Contains(p.stdout.String(), v.Name+"="+want+"\n") {
			t.Errorf("stdout lacks %s", v.Name)
		}
	}
	p.line(t, p.stderr, "  token ") // written after stdout's lines
	for name, value := range values {
		if !strings.Contains(p.stderr.String(), value) {
			t.Errorf("stderr does not tell the value of %s", name)
		}
	}
	for _, path := range []string{"/events/official-account", "/events/wecom"} {
		if !strings.Contains(p.stderr.String(), "go to http://127.0.0.1:8080"+path) {
			t.Errorf("stderr does not say that events go to %s", path)
		}
	}
	if status, _ := get(t, url+"/_simulator/people"); status != http.StatusOK {
		t.Errorf("the simulator answered %d", status)
	}
	if !strings.Contains(p.stderr.String(), "SIMULATED WeChat") {
		t.Error("the simulator does not say loudly what it is")
	}
	p.stop(t)
}

func knownSetting(name string) bool {
	return slices.ContainsFunc(config.Variables(), func(v config.Variable) bool { return v.Name == config.Prefix+name })
}

func TestSimulatorReadsAnAppsFile(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "apps.yaml"), `apps:
  - provider: mini_program
    appid: wx00112233445566ff
    secret: e10adc3949ba59abbe56e057f20f883e
  - provider: wecom
    appid: ww0123456789abcdef
    agentid: 1000002
    secret: not-a-real-secret
    redirect_domain: 127.0.0.1:8080
`, 0o600)
	p := start(t, dir, nil, "simulator", "--listen", "127.0.0.1:0", "--apps", "apps.yaml", "--hostile", "--switch", "session-key=within-period", "--switch", "avatars=gone")
	url := strings.Fields(p.line(t, p.stderr, "  The phone page: "))[0]
	if code := jsCode(t, url, "alice", "wx00112233445566ff"); code == "" {
		t.Error("the app of the file is not known")
	}
	if code := jsCode(t, url, "wei", "ww0123456789abcdef"); code == "" {
		t.Error("the corp of the file is not known")
	}
	p.stop(t)
	if p.stdout.String() != "" {
		t.Errorf("stdout: %s", p.stdout)
	}
}

func TestSimulatorRefusals(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "bad.yaml"), "apps:\n  - provider: teapot\n    appid: x\n    secret: y\n", 0o600)
	for _, row := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"REL-18 an address for the network", []string{"--listen", "0.0.0.0:0"}, 1, "loopback addresses only"},
		{"REL-18 a host name", []string{"--listen", "example.com:0"}, 1, "loopback addresses only"},
		{"no such file", []string{"--listen", "127.0.0.1:0", "--apps", filepath.Join(dir, "none.yaml")}, 1, "--apps"},
		{"a wrong file", []string{"--listen", "127.0.0.1:0", "--apps", filepath.Join(dir, "bad.yaml")}, 1, "teapot"},
		{"a bridge that is no URL", []string{"--listen", "127.0.0.1:0", "--bridge", "localhost"}, 1, "--bridge"},
		{"an unknown option", []string{"--port", "1"}, 2, "--port"},
	} {
		t.Run(row.name, func(t *testing.T) {
			started := time.Now()
			got := run(t, nil, append([]string{"simulator"}, row.args...)...)
			if got.code != row.code || !strings.Contains(got.stderr, row.want) || got.stdout != "" {
				t.Errorf("after %v: exit code %d, want %d, and stderr with %q:\n%s", time.Since(started), got.code, row.code, row.want, got.stderr)
			}
		})
	}
}
