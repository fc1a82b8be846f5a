package cli_test

import (
	"encoding/json"
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
	for _, path := range []string{"/events/official-account", "/events/wecom"} {
		p.lineWith(t, p.stderr, "go to http://127.0.0.1:8080"+path)
	}
	for _, value := range values {
		p.lineWith(t, p.stderr, value)
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
	want := "WXBRIDGE_MINIPROGRAM_APP_ID=wx00112233445566ff\nWXBRIDGE_MINIPROGRAM_APP_SECRET=e10adc3949ba59abbe56e057f20f883e\n" +
		"WXBRIDGE_WECOM_CORP_ID=ww0123456789abcdef\nWXBRIDGE_WECOM_AGENT_ID=1000002\nWXBRIDGE_WECOM_SECRET=not-a-real-secret\n" +
		"WXBRIDGE_WECOM_API_URL=" + url + "/qyapi\nWXBRIDGE_WECOM_LOGIN_URL=" + url + "/wwlogin\n" +
		"WXBRIDGE_WECHAT_API_URL=" + url + "\nWXBRIDGE_WECHAT_OPEN_URL=" + url + "\nWXBRIDGE_WECHAT_MP_URL=" + url + "\n"
	p.stop(t)
	if p.stdout.String() != want {
		t.Errorf("stdout:\n%s\nwant\n%s", p.stdout, want)
	}
}

// The example says what an apps file may hold. What is printed of it serves a bridge, with the comment as its apps file.
func TestSimulatorPrintsTheLinesOfTheExampleApps(t *testing.T) {
	example, err := filepath.Abs("../../examples/simulator-apps.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, t.TempDir(), nil, "simulator", "--listen", "127.0.0.1:0", "--apps", example)
	simulatorURL := p.line(t, p.stdout, "WXBRIDGE_WECHAT_MP_URL=")
	settings, further := "", ""
	for line := range strings.Lines(p.stdout.String()) {
		if comment, is := strings.CutPrefix(line, "# "); !is {
			settings += line
		} else if further != "" || strings.HasPrefix(comment, "apps:") {
			further += comment
		}
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "apps.yaml"), further, 0o600)
	writeFile(t, filepath.Join(dir, ".env"), settings, 0o600)
	b := startServe(t, dir, []string{"WXBRIDGE_PUBLIC_URL=" + publicURL, "WXBRIDGE_LISTEN=127.0.0.1:0", "WXBRIDGE_SECRET=" + sealingSecret, "WXBRIDGE_APPS_FILE=apps.yaml"})
	var people struct {
		Apps []struct{ Provider, AppID string }
	}
	_, body := get(t, simulatorURL+"/_simulator/people")
	if err := json.Unmarshal([]byte(body), &people); err != nil {
		t.Fatal(err)
	}
	programs, accounts := 0, 0
	serving := b.lineWith(t, b.stderr, `"msg":"serving"`)
	for _, app := range people.Apps {
		if !strings.Contains(serving, app.AppID) {
			t.Errorf("the bridge does not serve %s %s:\n%s", app.Provider, app.AppID, serving)
		}
		switch app.Provider {
		case "official_account":
			accounts++
		case "mini_program":
			programs++
			var answer loginAnswer
			login := map[string]string{"code": jsCode(t, simulatorURL, "alice", app.AppID), "app": app.AppID}
			if status := postJSON(t, b.url+"/miniprogram/login", login, &answer); status != http.StatusOK {
				t.Errorf("a login with %s: %d", app.AppID, status)
			}
		}
	}
	if programs < 1 || accounts < 2 {
		t.Errorf("the example has %d mini programs and %d official accounts", programs, accounts)
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
