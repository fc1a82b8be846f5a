package simulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/wechat/simulator"
)

// The tests WeCom1 to WeCom14 are the checklist of wecom-protocol §12.

func TestWeCom1Transport(t *testing.T) {
	t.Run("business errors are 200 with the headers of the server", func(t *testing.T) {
		o := newOffice(t)
		a := o.get("/qyapi/cgi-bin/user/get")
		if a.status != 200 || a.header.Get("Content-Type") != "application/json; charset=UTF-8" || a.header.Get("Server") != "nginx" ||
			a.header.Get("Error-Code") != "41001" || !strings.HasPrefix(a.header.Get("Error-Msg"), "access_token missing") ||
			!regexp.MustCompile(`^\d$`).MatchString(a.header.Get("X-W-No")) {
			t.Errorf("%d %v", a.status, a.header)
		}
	})
	t.Run("an unknown path is 404 without a body", func(t *testing.T) {
		o := newOffice(t)
		for _, path := range []string{"/qyapi/cgi-bin/token", "/qyapi/", "/qyapi/sns/userinfo"} {
			if a := o.get(path); a.status != 404 || a.body != "" {
				t.Errorf("%s: %d %q", path, a.status, a.body)
			}
		}
	})
	t.Run("errors keep the empty fields of their path", func(t *testing.T) {
		o := newOffice(t)
		for path, form := range map[string]string{
			"user/get": `^\{"errcode":41001,"errmsg":"access_token missing, hint: .*","department":\[\],"order":\[\],` +
				`"is_leader_in_dept":\[\],"direct_leader":\[\]\}$`,
			"getcallbackip":     `^\{"ip_list":\[\],"errcode":41001,"errmsg":"access_token missing, hint: .*"\}$`,
			"get_api_domain_ip": `^\{"ip_list":\[\],"errcode":41001,`,
			"auth/getuserinfo":  `^\{"errcode":41001,"errmsg":"[^"]*"\}$`,
		} {
			if a := o.get("/qyapi/cgi-bin/" + path); !regexp.MustCompile(form).MatchString(a.body) {
				t.Errorf("%s: %s", path, a.body)
			}
		}
	})
	t.Run("real host names behind a front decide between WeChat and WeCom", func(t *testing.T) {
		o := newOffice(t)
		for header, want := range map[string]int{"qyapi.weixin.qq.com": 41001, "api.weixin.qq.com": 41001} {
			a := o.do("GET", "/cgi-bin/user/get", "", map[string]string{"X-Forwarded-Host": header})
			if got := a.errcode(t, want); strings.Contains(got, "hint: [") != (header == "qyapi.weixin.qq.com") {
				t.Errorf("%s: %s", header, got)
			}
		}
		req, _ := http.NewRequest("GET", o.url+"/cgi-bin/gettoken", nil)
		req.Host = "qyapi.weixin.qq.com:443"
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Header.Get("Error-Code") != "41004" {
			t.Errorf("by Host: %v", resp.Header)
		}
	})
	t.Run("plain http is sent to https by switch", func(t *testing.T) {
		o := newOffice(t)
		o.flip("wecom-plain-http", "301")
		a := o.do("GET", "/cgi-bin/gettoken?corpid=x", "", map[string]string{"X-Forwarded-Host": "qyapi.weixin.qq.com"})
		if a.status != 301 || a.header.Get("Location") != "https://qyapi.weixin.qq.com/cgi-bin/gettoken?corpid=x" {
			t.Errorf("%d %v", a.status, a.header)
		}
		a = o.do("GET", "/cgi-bin/gettoken", "", map[string]string{"X-Forwarded-Host": "qyapi.weixin.qq.com", "X-Forwarded-Proto": "https"})
		a.errcode(t, 41004)
	})
}

func TestWeCom2Suffixes(t *testing.T) {
	o := newOffice(t)
	now := time.Date(2026, 9, 17, 10, 0, 0, 0, time.UTC).Unix()
	text := o.get("/qyapi/cgi-bin/gettoken").errcode(t, 41004)
	want := fmt.Sprintf(`^corpsecret missing, hint: \[%d\d{15}\], from ip: 127\.0\.0\.1, more info at https://open\.work\.weixin\.qq\.com/devtool/query\?e=41004$`, now)
	if !regexp.MustCompile(want).MatchString(text) {
		t.Error(text)
	}
	if text := o.get("/qyapi/cgi-bin/user/get?access_token=x").errcode(t, 40014); text != "invalid access_token" {
		t.Errorf("bare 40014: %q", text)
	}
	if text := o.get("/qyapi/cgi-bin/getcallbackip?access_token=x").errcode(t, 40014); !strings.HasPrefix(text, "invalid access_token, hint: [") {
		t.Errorf("40014 of getcallbackip: %q", text)
	}
	if text := o.api(o.agent, "user/get", "userid", "Yuan").errcode(t, 60011); !strings.HasPrefix(text, "no privilege to access/modify contact/party/agent , hint: [") {
		t.Errorf("60011: %q", text)
	}
}

func TestWeCom3GetToken(t *testing.T) {
	path := "/qyapi/cgi-bin/gettoken?"
	t.Run("order of checks", func(t *testing.T) {
		o := newOffice(t)
		o.get(path).errcode(t, 41004)
		o.get(path+"corpid="+o.agent.AppID).errcode(t, 41004)
		o.get(path+"corpsecret=x").errcode(t, 41002)
		o.get(path+"corpid=ww0000000000000000&corpsecret=x").errcode(t, 40013)
		o.get(path+"corpid="+o.official.AppID+"&corpsecret="+o.official.Secret).errcode(t, 40013)
		o.get(path+"corpid="+o.agent.AppID+"&corpsecret=x").errcode(t, 40001)
	})
	t.Run("secret of another corp", func(t *testing.T) {
		o := newOffice(t)
		o.get(path+"corpid="+o.agent.AppID+"&corpsecret="+o.foreign.Secret).errcode(t, 40001)
		o.flip("wecom-other-corps-secret", "40091")
		o.get(path+"corpid="+o.agent.AppID+"&corpsecret="+o.foreign.Secret).errcode(t, 40091)
		o.get(path+"corpid="+o.agent.AppID+"&corpsecret=x").errcode(t, 40001)
	})
	t.Run("too many wrong secrets ban the address for an hour", func(t *testing.T) {
		o := newOffice(t)
		o.flip("wecom-ban-after", "3")
		good := o.token(o.agent)
		for range 3 {
			o.get(path+"corpid="+o.agent.AppID+"&corpsecret=x").errcode(t, 40001)
		}
		o.gettoken(o.agent).errcode(t, 45009)
		o.gettoken(o.foreign).errcode(t, 45009)
		o.get("/qyapi/cgi-bin/getcallbackip?access_token="+good).errcode(t, 0)
		o.flip("wecom-ban-scope", "everything")
		o.get("/qyapi/cgi-bin/getcallbackip?access_token="+good).errcode(t, 45009)
		o.advance("59m59s")
		o.gettoken(o.agent).errcode(t, 45009)
		o.advance("1s")
		o.gettoken(o.agent).errcode(t, 0)
	})
	t.Run("wrong secrets of more than an hour ago are forgotten", func(t *testing.T) {
		o := newOffice(t)
		o.flip("wecom-ban-after", "3")
		for range 5 {
			o.get(path+"corpid="+o.agent.AppID+"&corpsecret=x").errcode(t, 40001)
			o.get(path+"corpid="+o.agent.AppID+"&corpsecret=x").errcode(t, 40001)
			o.advance("1h")
		}
		o.gettoken(o.agent).errcode(t, 0)
	})
	t.Run("2000 by default", func(t *testing.T) {
		o := newOffice(t)
		wrong := httptest.NewRequest("GET", path+"corpid="+o.agent.AppID+"&corpsecret=x", nil)
		wrong.RemoteAddr = "127.0.0.1:40000"
		for range 1999 {
			o.sim.ServeHTTP(httptest.NewRecorder(), wrong)
		}
		o.gettoken(o.agent).errcode(t, 0)
		o.sim.ServeHTTP(httptest.NewRecorder(), wrong)
		o.gettoken(o.agent).errcode(t, 45009)
	})
	t.Run("a disabled app", func(t *testing.T) {
		o := newOffice(t)
		token := o.token(o.agent)
		o.flip("wecom-app", "disabled")
		o.gettoken(o.agent).errcode(t, 40001)
		o.get("/qyapi/cgi-bin/getcallbackip?access_token="+token).errcode(t, 50003)
	})
}

func TestWeCom4Tokens(t *testing.T) {
	t.Run("the same until it expires, then another; the old one is 42001", func(t *testing.T) {
		o := newOffice(t)
		first := o.gettoken(o.agent)
		token := fmt.Sprint(first.json(t)["access_token"])
		if !regexp.MustCompile(`^[A-Za-z0-9_-]{214}$`).MatchString(token) || fmt.Sprint(first.json(t)["expires_in"]) != "7200" ||
			first.keys() != "errcode errmsg access_token expires_in" {
			t.Errorf("%s", first.body)
		}
		o.advance("1h59m59s")
		again := o.gettoken(o.agent).json(t)
		if again["access_token"] != token || fmt.Sprint(again["expires_in"]) != "7200" {
			t.Errorf("asked again: %v", again)
		}
		o.flip("wecom-expires-in", "remaining")
		if again := o.gettoken(o.agent).json(t); fmt.Sprint(again["expires_in"]) != "1" {
			t.Errorf("remaining: %v", again)
		}
		o.get("/qyapi/cgi-bin/getcallbackip?access_token="+token).errcode(t, 0)
		o.advance("1s")
		o.get("/qyapi/cgi-bin/getcallbackip?access_token="+token).errcode(t, 42001)
		if o.token(o.agent) == token {
			t.Error("the expired token was given again")
		}
	})
	t.Run("each app has its own", func(t *testing.T) {
		o := newOffice(t)
		seen := map[string]bool{o.token(o.agent): true, o.token(o.second): true, o.token(o.foreign): true}
		if len(seen) != 3 {
			t.Error("two apps share a token")
		}
	})
	t.Run("revoked is 40014, expired 42001, and the next one is another", func(t *testing.T) {
		for end, want := range map[string]int{"revoke": 40014, "expire": 42001} {
			o := newOffice(t)
			token := o.token(o.agent)
			a := o.control("POST", "wecom/tokens", map[string]any{"appid": o.agent.AppID, "agentid": o.agent.AgentID, "end": end})
			if a.json(t)["ended"] != true {
				t.Errorf("%s: %s", end, a.body)
			}
			o.get("/qyapi/cgi-bin/getcallbackip?access_token="+token).errcode(t, want)
			if o.token(o.agent) == token {
				t.Errorf("%s: given again", end)
			}
			a = o.control("POST", "wecom/tokens", map[string]any{"appid": o.foreign.AppID, "end": end})
			if a.json(t)["ended"] != false {
				t.Errorf("%s where there is none: %s", end, a.body)
			}
		}
	})
	t.Run("only in the query, and before everything else", func(t *testing.T) {
		o := newOffice(t)
		token := o.token(o.agent)
		o.do("GET", "/qyapi/cgi-bin/user/get?userid=Wei", "", map[string]string{"Authorization": "Bearer " + token}).errcode(t, 41001)
		o.do("POST", "/qyapi/cgi-bin/auth/getuserdetail", `{"access_token":"`+token+`"}`, nil).errcode(t, 41001)
		for _, path := range []string{"auth/getuserinfo", "user/getuserinfo", "auth/getuserdetail", "user/get",
			"miniprogram/jscode2session", "get_jsapi_ticket", "ticket/get", "getcallbackip"} {
			o.get("/qyapi/cgi-bin/"+path+"?access_token=bad").errcode(t, 40014)
		}
	})
	t.Run("many at once get one token", func(t *testing.T) {
		o := newOffice(t)
		var mu sync.Mutex
		seen := map[string]bool{}
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				token := o.token(o.agent)
				mu.Lock()
				defer mu.Unlock()
				seen[token] = true
			})
		}
		group.Wait()
		if len(seen) != 1 {
			t.Errorf("%d tokens", len(seen))
		}
	})
}

func TestWeCom11Tickets(t *testing.T) {
	ticketOf := func(o *office, app simulator.App, path string, more ...string) string {
		a := o.api(app, path, more...)
		a.errcode(o.t, 0)
		if a.keys() != "errcode errmsg ticket expires_in" || fmt.Sprint(a.json(o.t)["expires_in"]) != "7200" {
			o.t.Errorf("%s", a.body)
		}
		return a.json(o.t)["ticket"].(string)
	}
	agentType := []string{"type", "agent_config"}
	t.Run("the corp's is one for all its apps, an app's is its own", func(t *testing.T) {
		o := newOffice(t)
		corp := ticketOf(o, o.agent, "get_jsapi_ticket")
		if !regexp.MustCompile(`^[A-Za-z0-9_-]{86}$`).MatchString(corp) || corp != ticketOf(o, o.second, "get_jsapi_ticket") {
			t.Errorf("corp ticket %s", corp)
		}
		seen := map[string]bool{corp: true, ticketOf(o, o.foreign, "get_jsapi_ticket"): true,
			ticketOf(o, o.agent, "ticket/get", agentType...): true, ticketOf(o, o.second, "ticket/get", agentType...): true}
		if len(seen) != 4 {
			t.Error("two owners share a ticket")
		}
		o.api(o.agent, "ticket/get", "type", "jsapi").errcode(t, 40058)
		o.flip("wecom-ticket-repeat", "fresh")
		if ticketOf(o, o.agent, "get_jsapi_ticket") == corp {
			t.Error("fresh gave the same")
		}
	})
	t.Run("100 an hour for an app, 400 for a corp", func(t *testing.T) {
		o := newOffice(t)
		for range 100 {
			o.api(o.agent, "get_jsapi_ticket").errcode(t, 0)
		}
		o.api(o.agent, "get_jsapi_ticket").errcode(t, 45009)
		o.api(o.agent, "ticket/get", agentType...).errcode(t, 45009)
		o.api(o.second, "get_jsapi_ticket").errcode(t, 0)
		o.advance("1h")
		o.api(o.agent, "get_jsapi_ticket").errcode(t, 0)
	})
	t.Run("signatures", func(t *testing.T) {
		o := newOffice(t)
		corp, agent := ticketOf(o, o.agent, "get_jsapi_ticket"), ticketOf(o, o.agent, "ticket/get", agentType...)
		second := ticketOf(o, o.second, "ticket/get", agentType...)
		check := func(agentID int, ticket, page, said string, want int) {
			t.Helper()
			c := map[string]any{"call": "config", "appId": o.agent.AppID, "timestamp": "1414587457", "nonceStr": "Wm3WZYTPz0wzccnW", "url": page}
			if agentID != 0 {
				c["call"], c["agentid"], c["timestamp"] = "agentConfig", agentID, 1414587457
			}
			c["signature"] = sha1Hex("jsapi_ticket=" + ticket + "&noncestr=Wm3WZYTPz0wzccnW&timestamp=1414587457&url=" + strings.Split(page, "#")[0])
			v := o.control("POST", "jssdk-config", c).json(t)
			if got, _ := v["errcode"].(json.Number); (want != 0 || got != "") && string(got) != fmt.Sprint(want) || !strings.HasPrefix(fmt.Sprint(v["errMsg"]), said) {
				t.Errorf("agentid %d on %s: %v", agentID, page, v)
			}
		}
		page := "http://127.0.0.1:9/cb?code=abc%2B1&state=xyz"
		id := o.agent.AgentID
		check(0, corp, page, "config:ok", 0)
		check(0, corp, page+"#/menu", "config:ok", 0)
		check(id, agent, page, "agentConfig:ok", 0)
		check(0, agent, page, "config:jsapi_ticket invalid", 42012)
		check(id, corp, page, "agentConfig:jsapi_ticket invalid", 42012)
		check(id, second, page, "agentConfig:jsapi_ticket invalid", 42012)
		check(0, "nonsense", page, "config:invalid signature", 40093)
		check(0, corp, "http://127.0.0.1/", "config:invalid url domain", 80001)
		check(99, agent, page, "agentConfig:invalid agentid", 40056)
		o.advance("2h")
		check(0, corp, page, "config:invalid signature", 40093)
	})
}

func TestWeCom13Faults(t *testing.T) {
	o := newOffice(t)
	path := "/qyapi/cgi-bin/auth/getuserinfo"
	for _, errcode := range []int{-1, 45033} {
		o.fault(map[string]any{"path": path, "errcode": errcode, "times": 2})
		code := o.code(o.agent, "wei", "snsapi_base")
		o.api(o.agent, "auth/getuserinfo", "code", code).errcode(t, errcode)
		o.api(o.agent, "auth/getuserinfo", "code", code).errcode(t, errcode)
		o.api(o.agent, "auth/getuserinfo", "code", code).errcode(t, 0)
	}
	code := o.code(o.agent, "wei", "snsapi_base")
	spent := o.apiPath(o.agent, "auth/getuserinfo", "code", code)
	o.fault(map[string]any{"path": path, "mode": "reset", "after": true})
	if _, err := o.try("GET", spent, "", nil); err == nil {
		t.Error("the connection was not reset")
	}
	o.get(spent).errcode(t, 40029)
	if calls := o.get("/_simulator/calls").json(t); fmt.Sprint(calls[path]) != "8" {
		t.Errorf("calls: %v", calls[path])
	}
	t.Run("trusted IP", func(t *testing.T) {
		o := newOffice(t)
		o.flip("wecom-trusted-ip", "not-listed")
		text := o.api(o.agent, "getcallbackip").errcode(t, 60020) // gettoken itself is free
		if !strings.HasPrefix(text, "not allow to access from your ip, hint: [") || !strings.Contains(text, "from ip: 127.0.0.1,") {
			t.Error(text)
		}
		code := o.code(o.agent, "wei", "snsapi_base")
		o.api(o.agent, "auth/getuserinfo", "code", code).errcode(t, 60020)
		o.flip("wecom-trusted-ip", "listed")
		o.advance("59s")
		o.api(o.agent, "getcallbackip").errcode(t, 60020)
		o.advance("1s")
		o.api(o.agent, "auth/getuserinfo", "code", code).errcode(t, 0)
	})
	t.Run("limits", func(t *testing.T) {
		o := newOffice(t)
		for range 5 {
			o.api(o.agent, "getcallbackip", "debug", "1").errcode(t, 0)
		}
		o.api(o.agent, "getcallbackip", "debug", "1").errcode(t, 45009)
		o.api(o.agent, "getcallbackip").errcode(t, 0)
		o.advance("1m")
		o.api(o.agent, "getcallbackip", "debug", "1").errcode(t, 0)
	})
}

func TestWeCom14Clock(t *testing.T) {
	o := newOffice(t)
	code := o.code(o.agent, "wei", "snsapi_base")
	late := o.code(o.agent, "wei", "snsapi_base")
	o.advance("4m59s")
	o.api(o.agent, "auth/getuserinfo", "code", code).errcode(t, 0)
	o.advance("1s")
	o.api(o.agent, "auth/getuserinfo", "code", late).errcode(t, 40029)
	o.flip("wecom-dead-code", "own-codes")
	o.api(o.agent, "auth/getuserinfo", "code", late).errcode(t, 42003)
	o.api(o.agent, "auth/getuserinfo", "code", code).errcode(t, 42022)
	ticket := o.who("wei", "snsapi_privateinfo")["user_ticket"]
	o.advance("29m59s")
	o.detail(o.agent, ticket).errcode(t, 0)
	o.advance("1s")
	o.detail(o.agent, ticket).errcode(t, 84014)
}
