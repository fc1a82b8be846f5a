package simulator_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"wxbridge/wechat/simulator"
)

// call sends a line to the SDK and gives its result.
func (s *sdk) call(line map[string]any) map[string]any {
	s.t.Helper()
	text, _ := json.Marshal(line)
	if _, err := s.stdin.Write(append(text, '\n')); err != nil {
		s.t.Fatal(err)
	}
	return s.next().Result
}

// officeFor is an office whose app has the SDK's server; its clock runs, because SDKs look at theirs.
func officeFor(t *testing.T, s *sdk) *office {
	t.Helper()
	return newOffice(t, func(c *simulator.Config) { c.Now = nil }, onAgent(func(a *simulator.App) { a.EventsURL = s.url + "/wecom" }))
}

func devAgent(t *testing.T) simulator.App {
	t.Helper()
	for _, app := range simulator.DevApps("127.0.0.1:9") {
		if app.Provider == simulator.ProviderWeCom {
			return app
		}
	}
	t.Fatal("the dev set has no WeCom app")
	return simulator.App{}
}

// TestSDKsTakeTheSimulatorForWeCom: libraries that know nothing of it get tokens, log members in, sign pages, and take
// what it pushes.
func TestSDKsTakeTheSimulatorForWeCom(t *testing.T) {
	t.Run("node-easywechat", func(t *testing.T) {
		t.Parallel()
		s := startSDK(t, "wecom-easywechat.cjs", []string{"node-easywechat"}, devAgent(t), simulator.ModeAES)
		o := officeFor(t, s)
		get := func(path string, params map[string]string) map[string]any {
			return s.call(map[string]any{"simulator": o.url, "path": path, "params": params})
		}
		login := get("cgi-bin/auth/getuserinfo", map[string]string{"code": o.code(o.agent, "wei", "snsapi_privateinfo")})
		if login["userid"] != "Wei" || login["user_ticket"] == "" {
			t.Errorf("login %v", login)
		}
		if user := get("cgi-bin/user/get", map[string]string{"userid": "WEI"}); user["name"] != "魏小明" || user["status"] != 1.0 {
			t.Errorf("member %v", user)
		}
		page := "http://127.0.0.1:9/page?a=1&b=2"
		config := s.call(map[string]any{"simulator": o.url, "sign": page})
		config["call"], config["url"] = "config", page
		if v := o.control("POST", "jssdk-config", config).json(t); v["errMsg"] != "config:ok" {
			t.Errorf("signature %v: %v", config, v)
		}
		s.takesWeComPushes(o, simulator.ReplyNone)
		if calls := o.sim.Calls()["/qyapi/cgi-bin/gettoken"]; calls > 3 { // one of them is the SDK's
			t.Errorf("%d calls of gettoken", calls)
		}
	})
	t.Run("@wecom/crypto", func(t *testing.T) {
		t.Parallel()
		s := startSDK(t, "wecom-crypto.cjs", []string{"@wecom/crypto"}, devAgent(t), simulator.ModeAES)
		o := officeFor(t, s)
		s.takesWeComPushes(o, simulator.ReplyMessage)
		page := "http://127.0.0.1:9/"
		ticket := o.api(o.agent, "ticket/get", "type", "agent_config").json(t)["ticket"]
		config := s.call(map[string]any{"url": page, "ticket": ticket})
		config["call"], config["url"], config["appId"], config["agentid"] = "agentConfig", page, o.agent.AppID, o.agent.AgentID
		if v := o.control("POST", "jssdk-config", config).json(t); v["errMsg"] != "agentConfig:ok" {
			t.Errorf("signature %v: %v", config, v)
		}
	})
	t.Run("@logto/connector-wecom", func(t *testing.T) {
		t.Parallel()
		s := startSDK(t, "wecom-logto.cjs", []string{"@logto/connector-wecom"}, devAgent(t), simulator.ModeAES)
		o := officeFor(t, s)
		login := func(agent, consent string) url.Values {
			link := s.call(map[string]any{"simulator": o.url, "agentid": fmt.Sprint(o.agent.AgentID),
				"start": map[string]string{"state": "state1", "redirectUri": site, "userAgent": agent}})["link"].(string)
			u, err := url.Parse(link)
			if err != nil || u.Fragment != "wechat_redirect" {
				t.Fatalf("%s: %v", link, err)
			}
			return o.as("wei", u.RequestURI(), "X-Forwarded-Host", u.Host, "User-Agent", agent, "X-Simulator-Consent", consent).back(t)
		}
		for _, agent := range []string{"Mozilla/5.0 wxwork/4.1.30 MicroMessenger/7.0.1", "Mozilla/5.0 (X11; Linux x86_64)"} {
			back := login(agent, "allow")
			user := s.call(map[string]any{"simulator": o.url, "agentid": fmt.Sprint(o.agent.AgentID), "code": back.Get("code")})
			if back.Get("state") != "state1" || user["id"] != "Wei" || user["name"] != "魏小明" {
				t.Errorf("%s: %v", agent, user)
			}
		}
		if back := login("Mozilla/5.0 (X11; Linux x86_64)", "deny"); back.Has("code") {
			t.Errorf("refused: %v", back)
		}
	})
}

// takesWeComPushes verifies the SDK's address and pushes events of many lengths, so that all paddings occur.
func (s *sdk) takesWeComPushes(o *office, reply string) {
	t := s.t
	if v := o.control("POST", "events/verify", map[string]any{"appid": o.agent.AppID}).json(t); v["verified"] != true {
		t.Errorf("verification: %v", v)
	}
	for n := range 32 {
		event := map[string]any{"name": "enter_agent", "fields": map[string]string{"Filler": strings.Repeat("x", n)}}
		report := o.tell("wei", event)
		if !report.Delivered || report.Reply.Kind != reply || len(report.Attempts) != 1 {
			t.Fatalf("report %+v, reply %+v", report, report.Reply)
		}
		if m := s.next().Message; m["FromUserName"] != "Wei" || m["Event"] != "enter_agent" {
			t.Errorf("the SDK read %v", m)
		}
	}
}
