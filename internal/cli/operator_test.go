package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every command of operators works on what dev --data keeps, with that dev's simulator for WeChat, beside it or after it.
func TestOperatorsWorkOnTheFolderOfDev(t *testing.T) {
	data := t.TempDir()
	d := startDev(t, t.TempDir(), nil, "--data", data)
	mini := devApp(t, "mini_program")
	login := d.login(t, "alice", mini.AppID)
	operate := func(code int, args ...string) outcome {
		t.Helper()
		o := run(t, nil, append(args, "--data", data)...)
		if o.code != code {
			t.Fatalf("%v: %d\n%s%s", args, o.code, o.stdout, o.stderr)
		}
		return o
	}
	if o := operate(0, "apptoken", "show"); strings.Count(o.stdout, "\n") != 4 { // and its heading
		t.Errorf("apptoken show:\n%s", o.stdout)
	}
	for provider, alone := range map[string]string{"mini_program": mini.AppID, "official_account": devApp(t, "official_account").AppID, "wecom": devApp(t, "wecom").AppID} {
		o := operate(0, "apptoken", "show", "--app", "default", "--provider", provider)
		if strings.Count(o.stdout, "\n") != 2 || !strings.Contains(o.stdout, alone) {
			t.Errorf("the default app of %s:\n%s", provider, o.stdout)
		}
	}
	if o := operate(1, "apptoken", "show", "--provider", "website"); !strings.Contains(o.stderr, "official_account, mini_program, wecom") {
		t.Errorf("apptoken show --provider website:\n%s", o.stderr)
	}
	if o := operate(1, "apptoken", "show", "--app", "shop", "--provider", "wecom"); !strings.Contains(o.stderr, "there is no app shop of wecom") {
		t.Errorf("an app that there is not:\n%s", o.stderr)
	}

	menu := filepath.Join(t.TempDir(), "menu.yaml")
	writeFile(t, menu, "buttons:\n  - name: Member\n    login: /member\n", 0o600)
	operate(0, "menu", "push", "--file", menu)
	if o := operate(0, "menu", "show"); !strings.Contains(o.stdout, "login: /member") {
		t.Errorf("menu show:\n%s", o.stdout)
	}
	if _, body := get(t, d.simulator+"/_simulator/menu?person=alice&appid="+devApp(t, "official_account").AppID); !strings.Contains(body, d.bridge+"/login?return_to=%2Fmember") {
		t.Errorf("the menu leads to\n%s", body)
	}
	if o := operate(0, "token", "inspect", login.AccessToken); !strings.Contains(o.stdout, "good, by a key of") {
		t.Errorf("token inspect:\n%s", o.stdout)
	}
	d.stop(t)

	if o := operate(0, "keys", "list"); !strings.Contains(o.stdout, "ES256") {
		t.Errorf("keys list:\n%s", o.stdout)
	}
	operate(0, "keys", "rotate")
	operate(0, "webhooks", "list")
	if o := operate(0, "fans", "show", login.Fan.ID); !strings.Contains(o.stdout, login.Fan.ID) {
		t.Errorf("fans show:\n%s", o.stdout)
	}
	for _, args := range [][]string{{"apptoken", "show"}, {"menu", "show"}} {
		if o := operate(1, args...); !strings.Contains(o.stderr, "is not running") {
			t.Errorf("%v without the simulator:\n%s", args, o.stderr)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(data, "running.json")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A folder that dev never used is none, and stays as it was.
func TestOperatorsMakeNothingInAFolder(t *testing.T) {
	for _, args := range [][]string{{"keys", "list"}, {"keys", "rotate"}, {"fans", "list"}, {"webhooks", "list"}, {"token", "inspect", "a.b.c"}} {
		dir := t.TempDir()
		if o := run(t, nil, append(args, "--data", dir)...); o.code != 1 || !strings.Contains(o.stderr, "there is no database ") {
			t.Errorf("%v: %d %s", args, o.code, o.stderr)
		}
		if made, _ := os.ReadDir(dir); len(made) != 0 {
			t.Errorf("%v made %v", args, made)
		}
	}
}
