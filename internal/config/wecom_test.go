package config_test

import (
	"slices"
	"strings"
	"testing"

	"wxbridge/internal/config"
)

func TestWeComApps(t *testing.T) {
	environ := withApps(t, with("WECOM_CORP_ID="+corpID, "WECOM_AGENT_ID=1000002", "WECOM_SECRET="+goodMiniSecret, "WECOM_PRIVATE=1", "WECOM_GUESTS=1"), `
apps:
  - {alias: sales, provider: wecom, appid: `+corpID+`, agent_id: 1000003, secret: `+shopSecret+`, callback_token: abc123, encoding_aes_key: `+shopAESKey+`}
  - {alias: old-corp, provider: wecom, appid: wx00000000000000aa, agent_id: "7", secret_file: secret, private: true, guests: false}
`)
	apps := load(t, environ).AppsOf(config.ProviderWeCom)
	if len(apps) != 3 {
		t.Fatalf("%d apps", len(apps))
	}
	first, sales, old := apps[0], apps[1], apps[2]
	if first.Alias != "default" || first.ID != corpID || first.AgentID != 1000002 || !first.Private || !first.Guests || first.CallbackToken != "" {
		t.Errorf("of the variables: %+v", first)
	}
	if sales.ID != corpID || sales.AgentID != 1000003 || sales.Private || sales.EncodingAESKey.Reveal() != shopAESKey {
		t.Errorf("a second app of the corp: %+v", sales)
	}
	if old.ID != "wx00000000000000aa" || old.AgentID != 7 || old.Secret.Reveal() != shopSecret || !old.Private || old.Guests {
		t.Errorf("an old corp: %+v", old)
	}
}

func TestAWeComAppAloneIsEnough(t *testing.T) {
	environ := without("OFFICIAL_APP_ID", "OFFICIAL_APP_SECRET")
	for name, value := range map[string]string{"CORP_ID": corpID, "AGENT_ID": "1000002", "SECRET": goodMiniSecret} {
		environ["WXBRIDGE_WECOM_"+name] = value
	}
	if c := load(t, environ); len(c.Apps) != 1 || c.WeCom.AgentID != 1000002 {
		t.Errorf("apps: %v", c.Apps)
	}
}

// REL-14: what belongs together is asked for together, each in a line of its own.
func TestREL14_HalfAWeComAppIsFaulted(t *testing.T) {
	for set, want := range map[string][]string{
		"CORP_ID=" + corpID:               {"WECOM_AGENT_ID", "WECOM_SECRET"},
		"AGENT_ID=1000002":                {"WECOM_CORP_ID", "WECOM_SECRET"},
		"SECRET=" + goodMiniSecret:        {"WECOM_CORP_ID", "WECOM_AGENT_ID"},
		"TOKEN=abc123":                    {"WECOM_TOKEN"},
		"ENCODING_AES_KEY=" + shopAESKey:  {"WECOM_TOKEN"},
		"SECRET_FILE=/no/such/file/wecom": {"WECOM_CORP_ID", "WECOM_AGENT_ID", "WECOM_SECRET_FILE"},
	} {
		var got []string
		for _, f := range faultsOf(t, with("WECOM_"+set)) {
			got = append(got, strings.TrimPrefix(f.Variable, "WXBRIDGE_"))
			if f.Example == "" {
				t.Errorf("%s: no example in %v", set, f)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: faults of %v, want %v", set, got, want)
		}
	}
	whole := []string{"WECOM_CORP_ID=" + corpID, "WECOM_AGENT_ID=1000002", "WECOM_SECRET=" + goodMiniSecret}
	for half, want := range map[string]string{"WECOM_TOKEN=abc123": "WECOM_ENCODING_AES_KEY", "WECOM_ENCODING_AES_KEY=" + shopAESKey: "WECOM_TOKEN"} {
		if faults := faultsOf(t, with(append(whole, half)...)); len(faults) != 1 || faults[0].Variable != "WXBRIDGE_"+want {
			t.Errorf("%s: %v", half, faults)
		}
	}
}
