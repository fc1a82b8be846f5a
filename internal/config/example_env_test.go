package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wxbridge/internal/config"
)

var assignment = regexp.MustCompile(`(?m)^(# )?(WXBRIDGE_[A-Z0-9_]+)=(.*)$`)

func envExample(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestEnvExampleHasEveryVariableOnceWithItsDefault(t *testing.T) {
	text := envExample(t)
	shown := map[string]string{}
	for _, m := range assignment.FindAllStringSubmatch(text, -1) {
		if _, twice := shown[m[2]]; twice {
			t.Errorf("%s stands twice in .env.example", m[2])
		}
		shown[m[2]] = m[3]
	}
	for _, v := range config.Variables() {
		value, ok := shown[v.Name]
		switch {
		case !ok:
			t.Errorf("%s is not in .env.example", v.Name)
		case v.Default != "" && value != v.Default:
			t.Errorf("%s is %q in .env.example, its default is %q", v.Name, value, v.Default)
		case v.Secret && !strings.Contains(text, v.Name+"_FILE"):
			t.Errorf("%s_FILE is not mentioned in .env.example", v.Name)
		}
		delete(shown, v.Name)
	}
	for name := range shown {
		t.Errorf("%s stands in .env.example but is no setting", name)
	}
}

// TestKEY02_EnvExampleLoadsButForItsPlaceholders reads the file as it is, and with every line in use.
func TestKEY02_EnvExampleLoadsButForItsPlaceholders(t *testing.T) {
	text := envExample(t)
	apps, err := os.ReadFile(filepath.Join("..", "..", "examples", "apps.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("apps.yaml", apps, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("domain-files", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"clients.yaml", "webhooks.yaml"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name, text string
		want       []string
	}{
		{"as it is", text, []string{"SECRET", "OFFICIAL_APP_SECRET"}},
		{"every line in use", assignment.ReplaceAllString(text, "$2=$3"), []string{"SECRET", "SECRET_PREVIOUS", "OFFICIAL_APP_SECRET", "OFFICIAL_TOKEN", "OFFICIAL_ENCODING_AES_KEY", "MINIPROGRAM_APP_SECRET", "WEBSITE_APP_SECRET",
			"WECOM_SECRET", "WECOM_TOKEN", "WECOM_ENCODING_AES_KEY", "JWT_HS256_SECRET"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			environ, err := config.WithDotEnv(nil, []byte(row.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range faultsOf(t, environ) {
				got = append(got, strings.TrimPrefix(f.Variable, "WXBRIDGE_"))
				if !strings.Contains(f.Problem, "is a placeholder") {
					t.Errorf("unexpected fault: %s", f)
				}
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("faulty variables (-want +got):\n%s", diff)
			}
			for name, value := range map[string]string{"SECRET": goodSecret, "SECRET_PREVIOUS": otherSecret, "JWT_HS256_SECRET": otherSecret + "2", "OFFICIAL_APP_SECRET": goodOfficialSecret,
				"OFFICIAL_TOKEN": goodToken, "OFFICIAL_ENCODING_AES_KEY": goodAESKey, "MINIPROGRAM_APP_SECRET": goodMiniSecret, "WEBSITE_APP_SECRET": goodWebsiteSecret,
				"WECOM_SECRET": goodMiniSecret, "WECOM_TOKEN": goodToken, "WECOM_ENCODING_AES_KEY": goodAESKey} {
				if environ["WXBRIDGE_"+name] != "" {
					environ["WXBRIDGE_"+name] = value
				}
			}
			load(t, environ)
		})
	}
}
