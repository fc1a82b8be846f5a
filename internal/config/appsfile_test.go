package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wxbridge/internal/config"
)

const (
	shopID     = "wx5a1d0c77be4f2390"
	clubID     = "wxd07c81f26ab3945e"
	shopSecret = "4c9b1f0e7d2a68533e90bb17a6d4f825"
	corpID     = "ww0123456789abcdef"
	shopAESKey = "q8Zt3LmXw0Vb7Ky5Rn1Pc9Gd2Hf6Js4TuAeIoUlBvCx"
)

// withApps is an environment whose apps file has this text, with the files secret and empty beside it.
func withApps(t *testing.T, environ map[string]string, text string) map[string]string {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "apps.yaml")
	for name, content := range map[string]string{"apps.yaml": text, "secret": shopSecret + "\n", "empty": "\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	environ = maps.Clone(environ)
	environ["WXBRIDGE_APPS_FILE"] = path
	return environ
}

func TestAppsFile(t *testing.T) {
	c := load(t, withApps(t, minimal(), `
apps:
  - alias: shop
    provider: official_account
    appid: `+shopID+`
    secret_file: secret
    open_account: big-shop
    callback_token: abc123
    encoding_aes_key: `+shopAESKey+`
    token_api: plain
    connect_redirect: true
  - {alias: mini, provider: mini_program, appid: `+clubID+`, secret: 12345678901234567890123456789012, token_api: stable}
`))
	want := []config.NamedApp{
		{Alias: "default", Provider: "official_account", App: config.App{ID: "wx1c2d3e4f5a6b7c8d", Secret: goodOfficialSecret}, OpenAccount: "default"},
		{Alias: "shop", Provider: "official_account", App: config.App{ID: shopID, Secret: shopSecret}, OpenAccount: "big-shop",
			CallbackToken: "abc123", EncodingAESKey: shopAESKey, RotatingToken: true, ConnectRedirect: true},
		{Alias: "mini", Provider: "mini_program", App: config.App{ID: clubID, Secret: "12345678901234567890123456789012"}, OpenAccount: "default"},
	}
	if diff := cmp.Diff(reveal(want), reveal(c.Apps)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if official := c.AppsOf(config.ProviderOfficialAccount); len(official) != 2 || official[1].Alias != "shop" {
		t.Errorf("official accounts: %v", official)
	}
	if got := c.SecretFiles; len(got) != 2 || got[0] != c.AppsFile || filepath.Base(got[1]) != "secret" {
		t.Errorf("SecretFiles = %q: their modes would not be looked at", got)
	}
	if dump := fmt.Sprintf("%v %+v %#v", c, c.Apps, c.Apps); strings.Contains(dump, shopSecret) || strings.Contains(dump, shopAESKey) || strings.Contains(dump, "abc123") {
		t.Errorf("KEY-07 a dump shows a secret: %s", dump)
	}
}

// reveal makes secrets comparable in a message that tells them apart.
func reveal(apps []config.NamedApp) (plain []string) {
	for _, a := range apps {
		plain = append(plain, fmt.Sprintf("%s %s %s %s %s %q %q %v %v %v", a.Alias, a.Provider, a.ID, a.Secret.Reveal(), a.OpenAccount,
			a.CallbackToken.Reveal(), a.EncodingAESKey.Reveal(), a.RotatingToken, a.ConnectRedirect, a.ForcePopup))
	}
	return plain
}

func TestAnAppsFileIsEnough(t *testing.T) {
	c := load(t, withApps(t, without("OFFICIAL_APP_ID", "OFFICIAL_APP_SECRET"),
		"apps:\n- {alias: default, provider: mini_program, appid: "+shopID+", secret: "+shopSecret+"}\n"))
	if len(c.Apps) != 1 || c.Apps[0].Alias != "default" || c.MiniProgram.Configured() {
		t.Errorf("apps: %v", c.Apps)
	}
}

// The example is a file that loads, in two open accounts.
func TestTheExampleAppsFileLoads(t *testing.T) {
	environ := minimal()
	environ["WXBRIDGE_APPS_FILE"] = filepath.Join("..", "..", "examples", "apps.yaml")
	c := load(t, environ)
	accounts := map[string]bool{}
	for _, a := range c.Apps {
		accounts[a.OpenAccount] = true
	}
	if len(c.Apps) < 4 || len(c.AppsOf(config.ProviderMiniProgram)) == 0 || len(accounts) != 2 || c.Apps[1].EncodingAESKey == "" {
		t.Errorf("the example shows too little: %v", c.Apps)
	}
}

func TestREL14_EveryFaultOfAnAppsFileHasItsLineAndQuotesNothing(t *testing.T) {
	const marked = "M4RK3D"
	shop := "- alias: shop\n  provider: official_account\n  appid: " + shopID + "\n  secret: " + shopSecret + "\n"
	club := "{alias: club, provider: official_account, appid: " + clubID + ", secret: " + shopSecret
	corp := "{alias: corp, provider: wecom, appid: " + corpID + ", agent_id: 1000002, secret: " + shopSecret
	mini := "{alias: mini, provider: mini_program, appid: " + clubID + ", secret: " + shopSecret
	for name, row := range map[string]struct {
		text string
		want []string // line and what is said; line 0 is the whole file
	}{
		"empty":                      {"", []string{"0 has no app in a list named apps"}},
		"comments only":              {"# none\n", []string{"0 has no app"}},
		"no list":                    {"apps:\n", []string{"0 has no app"}},
		"an empty list":              {"apps: []\n", []string{"0 has no app"}},
		"not YAML":                   {"apps: [\n", []string{"1 is not YAML: sequence end token"}},
		"a tab":                      {"apps:\n\t- " + marked + "\n", []string{"2 is not YAML"}},
		"a text":                     {marked, []string{"1 is not a list named apps"}},
		"a list":                     {"\n- " + marked, []string{"2 is not a list named apps"}},
		"another name":               {"app:\n" + shop, []string{"1 there is a field app beside"}},
		"a field beside":             {"apps:\n" + shop + marked + ": 1\n", []string{"6 there is a field beside"}},
		"the list twice":             {"apps:\n" + shop + "apps:\n" + shop, []string{"6 the list named apps is repeated"}},
		"two documents":              {"apps:\n" + shop + "---\napps: []\n", []string{"7 a second document"}},
		"a text for the list":        {"apps: " + marked + "\n", []string{"1 apps is not a list"}},
		"a mapping for the list":     {"apps:\n  alias: shop\n", []string{"1 apps is not a list"}},
		"a text for an app":          {"apps:\n" + shop + "- " + marked + "\n", []string{"6 each app is a set of fields"}},
		"an anchor":                  {"apps:\n" + strings.Replace(shop, "secret: ", "secret: &a ", 1), []string{"5 secret is not one text"}},
		"an alias of nothing":        {"apps:\n" + strings.Replace(shop, shopSecret, "*a", 1), []string{"5 secret is not one text"}},
		"a list for a text":          {"apps:\n" + strings.Replace(shop, shopSecret, "[a]", 1), []string{"5 secret is not one text"}},
		"a merge":                    {"apps:\n" + shop + "- <<: *shop\n  alias: x\n", []string{"6 there is a field, which no app has; it has alias", "6 provider", "6 appid", "6 secret and secret_file"}},
		"an unknown field":           {"apps:\n" + shop + "  app_secret: " + marked + "\n", []string{"6 there is a field app_secret, which no app has; it has alias"}},
		"a field in another case":    {"apps:\n" + strings.Replace(shop, "alias", "Alias", 1), []string{"2 there is a field", "2 alias is missing"}},
		"a field twice":              {"apps:\n" + shop + "  secret: " + marked + "\n", []string{"6 secret is repeated"}},
		"no alias":                   {"apps:\n" + strings.Replace(shop, "alias: shop", "open_account: a", 1), []string{"2 alias is missing"}},
		"a bad alias":                {"apps:\n" + strings.Replace(shop, "alias: shop", "alias: Mein Laden", 1), []string{"2 alias is missing or is not 1 to 32"}},
		"an appid for an alias":      {"apps:\n" + strings.Replace(shop, "alias: shop", "alias: "+clubID, 1), []string{"2 alias looks like an appid"}},
		"an alias twice":             {"apps:\n" + shop + "- " + strings.Replace(club, "club", "shop", 1) + "}\n", []string{"6 alias is already that of the app on line 2"}},
		"the alias of variables":     {"apps:\n- " + strings.Replace(club, "club", "default", 1) + "}\n", []string{"2 alias is already that of an app that variables configure"}},
		"no provider":                {"apps:\n" + strings.Replace(shop, "provider: official_account", "open_account: a", 1), []string{"2 provider is missing"}},
		"an unknown provider":        {"apps:\n" + strings.Replace(shop, "official_account", marked, 1), []string{"3 provider is missing or is none of"}},
		"a provider of later":        {"apps:\n" + strings.Replace(shop, "official_account", "payment", 1), []string{"3 provider is missing or is none of official_account, mini_program, website and wecom"}},
		"no appid":                   {"apps:\n" + strings.Replace(shop, "appid: "+shopID, "open_account: a", 1), []string{"2 appid is missing"}},
		"a bad appid":                {"apps:\n" + strings.Replace(shop, shopID, "wx5A1D0C77BE4F2390", 1), []string{"4 appid is missing or is not wx"}},
		"an appid twice":             {"apps:\n" + shop + "- " + strings.Replace(club, clubID, shopID, 1) + "}\n", []string{"6 appid is already that of the app on line 2"}},
		"the appid of variables":     {"apps:\n- " + strings.Replace(club, clubID, "wx1c2d3e4f5a6b7c8d", 1) + "}\n", []string{"2 appid is already that of an app that variables"}},
		"no secret":                  {"apps:\n" + strings.Replace(shop, "secret: "+shopSecret, "open_account: a", 1), []string{"2 secret and secret_file are missing"}},
		"an empty secret":            {"apps:\n" + strings.Replace(shop, shopSecret, "", 1), []string{"5 secret is empty"}},
		"KEY-02 a placeholder":       {"apps:\n" + strings.Replace(shop, shopSecret, "replace-me-"+marked, 1), []string{"5 secret is a placeholder"}},
		"a secret with a space":      {"apps:\n" + strings.Replace(shop, shopSecret, marked+" x", 1), []string{"5 secret has a space"}},
		"a secret of two lines":      {"apps:\n" + strings.Replace(shop, shopSecret, "|\n    "+marked+"\n    x", 1), []string{"5 secret has a space"}},
		"a long secret":              {"apps:\n" + strings.Replace(shop, shopSecret, strings.Repeat("aB1", 100), 1), []string{"5 secret has more than 256 bytes"}},
		"secret and file":            {"apps:\n" + shop + "  secret_file: secret\n", []string{"6 secret_file is given together with secret"}},
		"no such file":               {"apps:\n" + strings.Replace(shop, "secret: "+shopSecret, "secret_file: "+marked, 1), []string{"5 secret_file names a file that cannot be read (no such file)"}},
		"an empty file":              {"apps:\n" + strings.Replace(shop, "secret: "+shopSecret, "secret_file: empty", 1), []string{"5 secret_file names an empty file"}},
		"no file":                    {"apps:\n" + strings.Replace(shop, "secret: "+shopSecret, "secret_file:", 1), []string{"5 secret_file is empty"}},
		"a bad open account":         {"apps:\n" + shop + "  open_account: a b\n", []string{"6 open_account is not"}},
		"an empty open account":      {"apps:\n" + shop + "  open_account:\n", []string{"6 open_account is not"}},
		"a bad token":                {"apps:\n" + shop + "  callback_token: ä-" + marked + "\n", []string{"6 callback_token is not 3 to 32"}},
		"a bad AES key":              {"apps:\n" + shop + "  callback_token: abc\n  encoding_aes_key: " + marked + "\n", []string{"7 encoding_aes_key is not 43"}},
		"a bad AES key in a file":    {"apps:\n" + shop + "  callback_token: abc\n  encoding_aes_key_file: secret\n", []string{"7 encoding_aes_key_file is not 43"}},
		"an AES key without a token": {"apps:\n" + shop + "  encoding_aes_key: " + shopAESKey + "\n", []string{"6 encoding_aes_key is given without callback_token"}},
		"another token API":          {"apps:\n" + shop + "  token_api: " + marked + "\n", []string{"6 token_api is neither stable nor plain"}},
		"yes for true":               {"apps:\n" + shop + "  force_popup: yes\n", []string{"6 force_popup is neither true nor false"}},
		"events of a mini program":   {"apps:\n- " + mini + ", callback_token: abc, encoding_aes_key: " + shopAESKey + "}\n", []string{"2 callback_token is for official accounts and WeCom apps only", "2 encoding_aes_key is for official accounts and WeCom apps only"}},
		"a corpid of an account":     {"apps:\n" + strings.Replace(shop, shopID, corpID, 1), []string{"4 appid is missing or is not wx"}},
		"an appid of a corp":         {"apps:\n- {alias: corp, provider: wecom, appid: wx0, secret: " + shopSecret + ", agent_id: 1000002}\n", []string{"2 appid is missing or is not a corpid"}},
		"a corp without an agent":    {"apps:\n- {alias: corp, provider: wecom, appid: " + corpID + ", secret: " + shopSecret + "}\n", []string{"2 agent_id is missing or is not an AgentId"}},
		"one agent twice":            {"apps:\n- " + corp + "}\n- " + strings.Replace(corp, "corp", "sales", 1) + "}\n", []string{"3 appid is already that of the app on line 2"}},
		"a corp in plain mode":       {"apps:\n- " + corp + ", callback_token: abc}\n", []string{"2 callback_token is given without encoding_aes_key"}},
		"a corp with WeChat's":       {"apps:\n- " + corp + ", open_account: a, token_api: plain, force_popup: true}\n", []string{"2 open_account is for apps of WeChat only", "2 token_api is for official accounts and mini programs only", "2 force_popup is for official"}},
		"an account with WeCom's":    {"apps:\n" + shop + "  agent_id: 7\n  private: true\n  guests: maybe\n", []string{"6 agent_id is for WeCom apps only", "7 private is for WeCom apps only", "8 guests is neither true nor false"}},
		"what a website app has not": {"apps:\n- " + strings.Replace(mini, "mini_program", "website", 1) + ", callback_token: abc, token_api: stable}\n", []string{"2 callback_token is for official accounts and WeCom apps only", "2 token_api is for official accounts and mini programs only"}},
		"several, in order":          {"apps:\n" + shop + "  x: 1\n- {alias: b}\n- " + marked + "\n- " + strings.Replace(club, "club", "shop", 1) + "}\n", []string{"6 there is a field", "7 provider", "7 appid", "7 secret and", "8 each app is a set", "9 alias is already"}},
	} {
		t.Run(name, func(t *testing.T) {
			faults := faultsOf(t, withApps(t, minimal(), row.text))
			if len(faults) != len(row.want) {
				t.Fatalf("%d faults, want %d:\n%v", len(faults), len(row.want), faults)
			}
			for i, want := range row.want {
				line, problem, _ := strings.Cut(want, " ")
				where := "apps.yaml line " + line + ": "
				if line == "0" {
					where = "apps.yaml: "
				}
				if f := faults[i]; f.Variable != "WXBRIDGE_APPS_FILE" || !strings.Contains(f.Problem, where+problem) {
					t.Errorf("%q, want %q", f, where+problem)
				}
			}
			if text := faults.Error(); strings.Contains(text, marked) || strings.Contains(text, shopSecret) {
				t.Errorf("a fault quotes the file: %s", text)
			}
		})
	}
}

// Faults of variables and of the file are told together.
func TestREL14_FaultsOfTheAppsFileComeWithAllOthers(t *testing.T) {
	environ := withApps(t, with("LISTEN=nowhere"), "apps:\n- {alias: x}\n")
	faults := faultsOf(t, environ)
	if len(faults) != 4 || faults[0].Variable != "WXBRIDGE_LISTEN" || faults[3].Variable != "WXBRIDGE_APPS_FILE" {
		t.Errorf("%v", faults)
	}
}

func FuzzAppsFile(f *testing.F) {
	f.Add("apps:\n- {alias: x, provider: mini_program, appid: " + shopID + ", secret: " + shopSecret + "}\n")
	f.Add("apps: [&a [*a]]")
	f.Add("apps:\n  - secret: |\n      a\n    <<: *b\n--- !!x\n")
	f.Add("? a\n: b\n")
	environ := minimal()
	environ["WXBRIDGE_APPS_FILE"] = "apps.yaml"
	f.Fuzz(func(t *testing.T, text string) {
		_, err := config.Load(environ, func(name string) ([]byte, error) {
			if name == "apps.yaml" {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		})
		var faults config.Faults
		if err != nil && !errors.As(err, &faults) {
			t.Errorf("error %v", err)
		}
	})
}
