package cli_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wxbridge/db"
)

func TestAppTokenShow_SaysWhatItCannotDo(t *testing.T) {
	env := appTokenEnviron(t)
	if o := run(t, env, "apptoken", "show"); o.code != 1 || !strings.Contains(o.stderr, "there is no database at") {
		t.Errorf("without a database: %d\n%s", o.code, o.stderr)
	}
	if o := run(t, append(env, "WXBRIDGE_LISTEN=nowhere"), "apptoken", "show"); o.code != 2 || !strings.Contains(o.stderr, "WXBRIDGE_LISTEN") {
		t.Errorf("with a faulty configuration: %d\n%s", o.code, o.stderr)
	}
	makeDatabase(t, env)
	if o := run(t, env, "apptoken", "show", "--app", "shop\x1b[2J"); o.code != 1 || !strings.Contains(o.stderr, "there is no app") || strings.Contains(o.stderr, "\x1b") {
		t.Errorf("an unknown app: %d\n%q", o.code, o.stderr)
	}
}

// An app that WeChat refuses is told with what to do about it, and the others are shown.
func TestAppTokenShow_OneFaultyAppDoesNotHideTheOthers(t *testing.T) {
	const wrong = "0123456789abcdef0123456789abcdef"
	env := append(appTokenEnviron(t), "WXBRIDGE_MINIPROGRAM_APP_SECRET="+wrong)
	makeDatabase(t, env)
	official, mini := devApp(t, "official_account"), devApp(t, "mini_program")
	o := run(t, env, "apptoken", "show")
	if o.code != 1 || !strings.Contains(o.stdout, official.AppID) || strings.Contains(o.stdout, mini.AppID) ||
		!strings.Contains(o.stderr, "40125") || !strings.Contains(o.stderr, "开发密钥") {
		t.Errorf("%d\n%s\n%s", o.code, o.stdout, o.stderr)
	}
	if strings.Contains(o.stdout+o.stderr, wrong) || strings.Contains(o.stdout+o.stderr, official.Secret) {
		t.Error("WX-01 a secret is shown")
	}
}

func TestAppTokenShow_TheTokenIsShownOnDemandOnly(t *testing.T) {
	env := appTokenEnviron(t)
	makeDatabase(t, env)
	const prefix = "84_" // of the simulator's tokens
	plain := run(t, env, "apptoken", "show")
	if plain.code != 0 || strings.Contains(plain.stdout+plain.stderr, prefix) || strings.Count(plain.stdout, "\n") != 3 {
		t.Errorf("%d\n%s\n%s", plain.code, plain.stdout, plain.stderr)
	}
	shown := run(t, env, "apptoken", "show", "--app", devApp(t, "mini_program").AppID, "--reveal")
	if shown.code != 0 || strings.Count(shown.stdout, prefix) != 1 || strings.Contains(shown.stderr, prefix) {
		t.Errorf("%d\n%s", shown.code, shown.stderr)
	}
	if !strings.Contains(shown.stderr, `"event":"app_token.revealed"`) || strings.Contains(plain.stderr, "revealed") {
		t.Errorf("LOG-03 the log says\n%s", shown.stderr)
	}
}

// An apps file stops the start like any variable: with file and line.
func TestREL14_AFaultyAppsFileStopsTheStart(t *testing.T) {
	env := appTokenEnviron(t)
	file := filepath.Join(t.TempDir(), "apps.yaml")
	if err := os.WriteFile(file, []byte("apps:\n- alias: shop\n  provider: payment\n  secret: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := run(t, append(env, "WXBRIDGE_APPS_FILE="+file, "WXBRIDGE_LISTEN=nowhere"), "serve")
	for _, want := range []string{"3 faults", "WXBRIDGE_LISTEN", file + " line 2: appid", file + " line 3: provider"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("no %q in\n%s", want, o.stderr)
		}
	}
	if o.code != 2 {
		t.Errorf("exit code %d", o.code)
	}
}

// appTokenEnviron is a configuration of the simulator's apps, without a database yet.
func appTokenEnviron(t *testing.T) []string {
	t.Helper()
	t.Chdir(t.TempDir())
	return append(serveEnviron(t, startWeChat(t).url), databaseVariable+filepath.Join(t.TempDir(), "wxbridge.db"))
}

const databaseVariable = "WXBRIDGE_DATABASE=sqlite://"

// makeDatabase does what the first start does.
func makeDatabase(t *testing.T, env []string) {
	t.Helper()
	i := slices.IndexFunc(env, func(v string) bool { return strings.HasPrefix(v, databaseVariable) })
	store, err := db.Open(t.Context(), strings.TrimPrefix(env[i], "WXBRIDGE_DATABASE="), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}
