package simulator_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"wxbridge/wechat/simulator"

	"github.com/google/go-cmp/cmp"
)

func TestTheDevSetHasTwoCorps(t *testing.T) {
	var apps []simulator.App
	for _, app := range simulator.DevApps("localhost:8080") {
		if app.Provider == simulator.ProviderWeCom {
			apps = append(apps, app)
		}
	}
	if len(apps) != 3 || apps[0].AppID != apps[1].AppID || apps[0].AgentID == apps[1].AgentID || apps[0].AppID == apps[2].AppID {
		t.Fatalf("%+v", apps)
	}
	if apps[0].AppID != "wwec0c0c79d7f1bf9e" || apps[0].AgentID != 1000002 || apps[0].Secret != "9fe735a15d1ad2ed9f82ef000133fad403887b8c706" {
		t.Errorf("the first app has changed: %+v", apps[0])
	}
	seen := map[string]bool{}
	for _, app := range apps {
		for _, secret := range []string{app.Secret, app.Token, app.EncodingAESKey} {
			if seen[secret] {
				t.Errorf("%s is used twice", secret)
			}
			seen[secret] = true
		}
		if len(app.Secret) != 43 || len(app.EncodingAESKey) != 43 || app.RedirectDomain != "localhost:8080" ||
			!regexp.MustCompile(`^ww[0-9a-f]{16}$`).MatchString(app.AppID) {
			t.Errorf("%+v", app)
		}
	}
}

func TestLoadAppsOfWeCom(t *testing.T) {
	const good = `apps:
  - provider: wecom
    appid: ww0123456789abcdef
    agentid: 1000002
    secret: one
    redirect_domain: Work.example.com:8443
    login_domain: pc.example.com
    private_fields: [mobile, email]
    old_app: true
    contact_events: true
    events_url: https://work.example.com/events/wecom
    token: pamtest
    encoding_aes_key: jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C
  - provider: wecom
    appid: ww0123456789abcdef
    agentid: 1000003
    secret: two
    redirect_domain: work.example.com
`
	apps, err := simulator.LoadApps(strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	want := []simulator.App{
		{Provider: "wecom", AppID: "ww0123456789abcdef", AgentID: 1000002, Secret: "one", RedirectDomain: "Work.example.com:8443",
			LoginDomain: "pc.example.com", PrivateFields: []string{"mobile", "email"}, OldApp: true, ContactEvents: true,
			EventsURL: "https://work.example.com/events/wecom", Token: "pamtest", EncodingAESKey: "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"},
		{Provider: "wecom", AppID: "ww0123456789abcdef", AgentID: 1000003, Secret: "two", RedirectDomain: "work.example.com"},
	}
	if diff := cmp.Diff(want, apps); diff != "" {
		t.Error(diff)
	}
	if _, err := simulator.New(simulator.Config{Apps: apps}); err != nil {
		t.Errorf("corps alone: %v", err)
	}
	for name, c := range map[string]struct{ old, bad, want string }{
		"no agentid":           {"    agentid: 1000003\n", "", "line 14: agentid 0: want a number"},
		"an agentid twice":     {"agentid: 1000003", "agentid: 1000002", "line 14: appid \"ww0123456789abcdef\" is already on line 2"},
		"a secret twice":       {"secret: two", "secret: one", "has one secret for two apps"},
		"no trusted domain":    {"    redirect_domain: work.example.com\n", "", "line 14: redirect_domain is missing"},
		"an unknown field":     {"[mobile, email]", "[mobile, salary]", `"salary": want some of gender, avatar`},
		"an open account":      {"secret: two", "secret: two\n    open_account: default", "a WeCom app is bound to none"},
		"plain events":         {"secret: two", "secret: two\n    events_mode: plain", "WeCom encrypts always"},
		"a path as domain":     {"pc.example.com", "pc.example.com/x", `login_domain "pc.example.com/x"`},
		"agentid of WeChat's":  {"appid: ww0123456789abcdef\n    agentid: 1000003", "appid: wx1\n    agentid: 1", ""},
		"a corpid as an appid": {"provider: wecom\n    appid: ww0123456789abcdef\n    agentid: 1000003", "provider: official_account\n    appid: ww0123456789abcdef", "is a corpid and an appid"},
		"agentid elsewhere":    {"provider: wecom\n    appid: ww0123456789abcdef\n    agentid: 1000003", "provider: official_account\n    appid: wx1\n    agentid: 1", "for provider wecom only"},
	} {
		_, err := simulator.LoadApps(strings.NewReader(strings.Replace(good, c.old, c.bad, 1)))
		if name == "no agentid" || name == "no trusted domain" { // the last of several
			i := strings.LastIndex(good, c.old)
			_, err = simulator.LoadApps(strings.NewReader(good[:i] + good[i+len(c.old):]))
		}
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestPeopleHaveAccountsInEveryCorp(t *testing.T) {
	o := newOffice(t)
	var reply struct {
		Apps   []struct{ Provider, AppID string }
		People []struct {
			Name     string
			Accounts []map[string]string
		}
	}
	if err := json.Unmarshal([]byte(o.get("/_simulator/people?name=member-9").body), &reply); err != nil {
		t.Fatal(err)
	}
	if last := reply.Apps[len(reply.Apps)-1]; last.Provider != "wecom" || last.AppID != o.foreign.AppID {
		t.Errorf("apps %v", reply.Apps)
	}
	ids := map[string]string{}
	for _, p := range reply.People {
		for _, a := range p.Accounts {
			if a["provider"] == "wecom" && a["appid"] == o.agent.AppID {
				ids[p.Name] = a["openid"]
				if _, has := a["unionid"]; has {
					t.Errorf("%s has a unionid in WeCom", p.Name)
				}
			}
		}
	}
	if ids["wei"] != "Wei" || ids["dai"] != "Dai" || ids["member-9"] != "Member-9" || len(ids["guest"]) != 28 || len(ids["alice"]) != 28 {
		t.Errorf("%v", ids)
	}
}
