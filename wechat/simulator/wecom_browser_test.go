package simulator_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"wxbridge/internal/testenv"
	"wxbridge/wechat/simulator"
)

// portal is an internal page of a company, with its own host and port: whatever is opened says where it is, and /sdk
// runs the script of the test beside the simulator's JS-SDK.
func portal(t *testing.T) (*office, *httptest.Server, func(script string)) {
	t.Helper()
	var script string
	srv := httptest.NewUnstartedServer(nil)
	o := newOffice(t, onAgent(func(a *simulator.App) { a.RedirectDomain = srv.Listener.Addr().String() }),
		func(c *simulator.Config) { c.BridgeURL = "http://" + srv.Listener.Addr().String() })
	o.agent.RedirectDomain = srv.Listener.Addr().String()
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		switch r.URL.Path {
		case "/sdk":
			fmt.Fprintf(w, `<link rel="icon" href="data:,"><p id="bar-title">sdk</p><script src="%s/_simulator/jweixin.js"></script><script>%s</script>`, o.url, script)
		default:
			browser, _ := r.Cookie("simulator_browser")
			fmt.Fprintf(w, `<link rel="icon" href="data:,"><p id="bar-title">portal</p><p id="query">%s</p><p id="cookie">%v</p>`, url.QueryEscape(r.URL.RawQuery), browser)
		}
	})
	srv.Start()
	t.Cleanup(srv.Close)
	return o, srv, func(s string) { script = s }
}

func TestWeComInABrowser(t *testing.T) {
	browser := testenv.Chromium(t)
	back := func(p *phone) url.Values {
		p.run(p.text("query", "#query"))
		raw, _ := url.QueryUnescape(p.kept["query"])
		q, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}

	t.Run("in WeCom: choose, consent to some fields, come back", func(t *testing.T) {
		o, srv, _ := portal(t)
		p := openPhone(t, browser, atLocalhost(o.url)+"/")
		p.run(chromedp.Navigate(atLocalhost(o.url)+o.oauth(o.agent, "snsapi_privateinfo", srv.URL+"/cb", "s")+"#wechat_redirect"),
			click(`[data-person="wei"]`), visible(`#allow`), click(`input[value="mobile"]`))
		p.run(click(`#allow`), visible(`#query`))
		q := back(p)
		ticket := o.api(o.agent, "auth/getuserinfo", "code", q.Get("code")).json(t)["user_ticket"]
		if a := o.detail(o.agent, ticket); strings.Contains(a.body, `"mobile"`) || !strings.Contains(a.body, `"email"`) {
			t.Error(a.body)
		}
	})
	t.Run("in WeCom: refusal, and nobody of the corp", func(t *testing.T) {
		o, srv, _ := portal(t)
		p := openPhone(t, browser, atLocalhost(o.url)+"/")
		link := atLocalhost(o.url) + o.oauth(o.agent, "snsapi_privateinfo", srv.URL+"/cb", "s") + "#wechat_redirect"
		p.run(chromedp.Navigate(link), click(`[data-person="wei"]`), visible(`#deny`), click(`#deny`), visible(`#query`))
		if q := back(p); q.Encode() != "state=s" {
			t.Errorf("%v", q)
		}
		p.run(chromedp.Navigate(atLocalhost(o.url)), click(`[data-person="guest"]`), chromedp.Navigate(link), visible(`#query`))
		if v := o.api(o.agent, "auth/getuserinfo", "code", back(p).Get("code")).json(t); v["openid"] == nil || v["userid"] != nil {
			t.Errorf("%v", v)
		}
	})
	t.Run("on a PC: scan, confirm, refuse, out of sight", func(t *testing.T) {
		o, srv, _ := portal(t)
		p := openPhone(t, browser, atLocalhost(o.url)+"/")
		link := atLocalhost(o.url) + o.webLink(o.agent, srv.URL+"/cb", "s")
		p.run(chromedp.Navigate(link), visible(`[data-person="wei"]`))
		p.run(click(`[data-person="wei"]`), visible(`#scanned-by`))
		p.run(click(`#allow`), visible(`#query`))
		if v := o.api(o.agent, "auth/getuserinfo", "code", back(p).Get("code")).json(t); v["userid"] != "Wei" {
			t.Errorf("%v", v)
		}
		p.run(chromedp.Navigate(link), click(`#deny`), visible(`#query`))
		if q := back(p); q.Encode() != "state=s" {
			t.Errorf("%v", q)
		}
		p.run(chromedp.Navigate(link), click(`#switch-person`), click(`[data-person="yuan"]`), visible(`#error`))
	})
	t.Run("the launcher: WeCom's browser and the people of the organisation", func(t *testing.T) {
		o, _, _ := portal(t)
		p := openPhone(t, browser, atLocalhost(o.url)+"/?lang=en")
		p.run(p.eval("before", `document.querySelector('[data-person="yuan"]').hidden`),
			chromedp.SetValue(chromedp.CSS(`#browser`), "wecom"),
			p.eval("", `document.querySelector('#browser').dispatchEvent(new Event('change'))`),
			visible(`[data-person="yuan"]`), click(`[data-person="yuan"]`))
		p.run(click(`#tab-links`), click(`#link-wecom`), visible(`#cookie`), p.text("cookie", `#cookie`))
		if p.kept["before"] != "true" || p.kept["cookie"] != "simulator_browser=wecom" {
			t.Errorf("%v", p.kept)
		}
		p.eventually("location.pathname", "/login/wecom")
	})
	t.Run("wx.config, then wx.agentConfig", func(t *testing.T) {
		o, srv, setScript := portal(t)
		corp := o.api(o.agent, "get_jsapi_ticket").json(t)["ticket"].(string)
		agent := o.api(o.agent, "ticket/get", "type", "agent_config").json(t)["ticket"].(string)
		sign := func(ticket string) string {
			return fmt.Sprintf(`timestamp:"1414587457",nonceStr:"n",signature:%q`,
				sha1Hex("jsapi_ticket="+ticket+"&noncestr=n&timestamp=1414587457&url="+srv.URL+"/sdk"))
		}
		configure := func(corpTicket, agentTicket string) string {
			return fmt.Sprintf(`
				const done = (text) => { document.body.dataset.done = text; };
				wx.config({beta:true, appId:%[1]q, jsApiList:["getNetworkType"], %[2]s});
				wx.error((e) => done("error " + e.errMsg));
				wx.ready(() => wx.agentConfig({corpid:%[1]q, agentid:"%[3]d", jsApiList:["hideOptionMenu"], %[4]s,
					fail: (e) => done("fail " + e.errMsg),
					success: (ok) => wx.hideOptionMenu({success: (e) => done(ok.errMsg + " " + e.errMsg)})}));`,
				o.agent.AppID, sign(corpTicket), o.agent.AgentID, sign(agentTicket))
		}
		for _, c := range []struct{ corp, agent, want string }{
			{corp, agent, "agentConfig:ok hideOptionMenu:ok"},
			{corp, corp, "fail agentConfig:jsapi_ticket invalid more info at https://open.work.weixin.qq.com/devtool/query?e=42012"},
			{"wrong", agent, "error config:invalid signature more info at https://open.work.weixin.qq.com/devtool/query?e=40093"},
		} {
			setScript(configure(c.corp, c.agent))
			p := openPhone(t, browser, srv.URL+"/sdk")
			p.eventually("document.body.dataset.done", c.want)
		}
	})
}
