package simulator_test

import (
	"regexp"
	"strings"
	"testing"

	"wxbridge/wechat/simulator"

	"github.com/google/go-cmp/cmp"
)

func TestDevAppsAreTheSameInEveryRun(t *testing.T) {
	var apps []simulator.App // WeCom's have a test of their own
	for _, app := range simulator.DevApps("127.0.0.1") {
		if app.Provider != simulator.ProviderWeCom {
			apps = append(apps, app)
		}
	}
	want := []simulator.App{
		{Provider: "official_account", AppID: "wx8f999280bae6d68e", Secret: "96763c0a6442c62838aa29d6cf816914", RedirectDomain: "127.0.0.1", OpenAccount: "default",
			Token: "46ab177ea1ef9bf7642b1101d4f0b9c7", EncodingAESKey: "ecba25d8d69b8806e020840fb51e9112a37f234d9eR", EventsMode: "aes"},
		{Provider: "mini_program", AppID: "wx9120784c3cb23386", Secret: "6847d7bb6f14beffb67201a3c56e486e", OpenAccount: "default"},
		{Provider: "website", AppID: "wxf0ee9dfa432ec01a", Secret: "b95c18774075198b0d1a0af7137aa949", RedirectDomain: "127.0.0.1", OpenAccount: "default"},
	}
	if diff := cmp.Diff(want, apps); diff != "" {
		t.Error(diff)
	}
	for _, app := range apps {
		if !regexp.MustCompile(`^wx[0-9a-f]{16}$`).MatchString(app.AppID) || !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(app.Secret) {
			t.Errorf("%s: appid %q", app.Provider, app.AppID)
		}
	}
}

func TestLoadApps(t *testing.T) {
	apps, err := simulator.LoadApps(strings.NewReader(`# two apps
apps:
  - provider: official_account
    appid: wx0123456789abcdef
    secret: 0123456789abcdef0123456789abcdef
    redirect_domain: www.example.com
    events_url: https://www.example.com/events/official-account
    token: pamtest
    encoding_aes_key: abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG
    events_mode: compatible
    open_account: default
  - {provider: mini_program, appid: wxfedcba9876543210, secret: s}
`))
	want := []simulator.App{
		{Provider: "official_account", AppID: "wx0123456789abcdef", Secret: "0123456789abcdef0123456789abcdef", RedirectDomain: "www.example.com",
			EventsURL: "https://www.example.com/events/official-account", Token: "pamtest",
			EncodingAESKey: "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", EventsMode: "compatible", OpenAccount: "default"},
		{Provider: "mini_program", AppID: "wxfedcba9876543210", Secret: "s"},
	}
	if diff := cmp.Diff(want, apps); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if _, err := simulator.New(simulator.Config{Apps: apps}); err != nil {
		t.Errorf("New: %v", err)
	}
}

func TestLoadAppsNamesTheLineOfEveryFault(t *testing.T) {
	const official = "  - provider: official_account\n    appid: wx1\n    secret: s\n    redirect_domain: a.example\n"
	for name, c := range map[string]struct {
		text  string
		wants []string
	}{
		"empty file":           {"", []string{"empty"}},
		"no list":              {"apps:\n", []string{"no app"}},
		"not YAML":             {"apps: [\n", []string{"apps file", "1:"}},
		"unknown field":        {"apps:\n" + official + "    appsecret: x\n", []string{"[6:", "appsecret"}},
		"unknown field on top": {"app: []\n", []string{"[1:", "app"}},
		"a text for the list":  {"apps: hello\n", []string{"[1:"}},
		"repeated key":         {"apps:\n" + official + "    secret: x\n", []string{"[6:", "secret"}},
		"several faults": {"apps:\n" + official + "  - provider: wechat\n    appid: wx2\n    secret: s\n" +
			"  - provider: official_account\n    appid: wx1\n    secret: s\n",
			[]string{`line 6: provider "wechat"`, `line 9: appid "wx1" is already on line 2`, "line 9: redirect_domain is missing"}},
		"no secret":   {"apps:\n  - {provider: mini_program, appid: wx1}\n", []string{"line 2: secret"}},
		"bad appid":   {"apps:\n  - {provider: mini_program, appid: 'wx 1', secret: s}\n", []string{`line 2: appid "wx 1"`}},
		"bad domain":  {"apps:\n  - {provider: official_account, appid: wx1, secret: s, redirect_domain: 'https://a.example/'}\n", []string{"line 2: redirect_domain"}},
		"bad events":  {"apps:\n" + official + "    events_url: nowhere\n", []string{"line 2: events_url"}},
		"short token": {"apps:\n" + official + "    token: ab\n", []string{"line 2: token: want 3 to 32"}},
		"odd token":   {"apps:\n" + official + "    token: a-b-c\n", []string{"line 2: token: want 3 to 32"}},
		"short key":   {"apps:\n" + official + "    encoding_aes_key: abc\n", []string{"line 2: encoding_aes_key: want 43"}},
		"odd key":     {"apps:\n" + official + "    encoding_aes_key: " + strings.Repeat("+", 43) + "\n", []string{"line 2: encoding_aes_key"}},
		"bad mode":    {"apps:\n" + official + "    events_mode: secure\n", []string{"line 2: events_mode \"secure\""}},
		"no key":      {"apps:\n" + official + "    token: abc\n    events_mode: aes\n", []string{"line 2: encoding_aes_key"}},
		"a huge file": {strings.Repeat("#", 2<<20), []string{"1 MiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			apps, err := simulator.LoadApps(strings.NewReader(c.text))
			if err == nil {
				t.Fatalf("accepted: %+v", apps)
			}
			for _, want := range c.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("want %q in\n%v", want, err)
				}
			}
		})
	}
}

func FuzzLoadApps(f *testing.F) {
	f.Add("apps:\n  - {provider: mini_program, appid: wx1, secret: s}\n")
	f.Add("apps:\n  - provider: official_account\n    appid: wx1\n    secret: s\n    redirect_domain: a.example:80\n")
	f.Add("apps: [[]]")
	f.Fuzz(func(t *testing.T, text string) {
		apps, err := simulator.LoadApps(strings.NewReader(text))
		if err != nil {
			return
		}
		if _, err := simulator.New(simulator.Config{Apps: apps}); err != nil {
			t.Errorf("LoadApps took what New refuses: %v", err)
		}
	})
}
