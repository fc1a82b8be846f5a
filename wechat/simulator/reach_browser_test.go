package simulator_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"wxbridge/internal/testenv"
	"wxbridge/wechat/simulator"
)

// h5 is a site whose pages load the simulator's scripts. Every page says at #cookies what it was sent.
type h5 struct {
	url string
	sim *world
}

func newH5(t *testing.T) (*h5, *world) {
	t.Helper()
	site := &h5{}
	srv := httptest.NewServer(site)
	t.Cleanup(srv.Close)
	site.url = srv.URL
	site.sim = newWorld(t, func(c *simulator.Config) {
		c.BridgeURL, c.MiniProgram = srv.URL, os.DirFS("testdata/program")
		c.PublicURL = atLocalhost(c.PublicURL)
	})
	return site, site.sim
}

func (h *h5) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	sim := atLocalhost(h.sim.url)
	if r.URL.Path == "/entry" {
		http.Redirect(w, r, "/h5?landed", http.StatusFound)
		return
	}
	cookie := ""
	if c, err := r.Cookie("simulator_browser"); err == nil {
		cookie = c.Value
	}
	fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><p id="cookies">browser=%s</p><p id="outcome"></p><div id="login"></div>
<script src="%s/_simulator/jweixin.js"></script><script src="%s/_simulator/wxLogin.js"></script>`, cookie, sim, sim)
	if r.URL.Path == "/embedded" {
		fmt.Fprintf(w, `<script>new WxLogin({id: 'login', appid: %q, scope: 'snsapi_login', redirect_uri: encodeURIComponent(location.origin + '/done'), state: 's',
  self_redirect: %t, onReady: (ok) => document.body.dataset.ready = ok, onQRcodeReady: () => document.body.dataset.qrcode = 'yes'})</script>`, h.sim.website.AppID, r.URL.Query().Has("self"))
	}
	io.WriteString(w, "<script>document.body.dataset.loaded = 'yes'</script>")
}

// configure runs wx.config with a signature over address, and calls an API when it is over.
func configure(w *world, ticket, address string) string {
	return fmt.Sprintf(`(() => {
  const say = (text) => document.getElementById('outcome').append(text + ';');
  wx.ready(() => {
    say('ready');
    wx.updateAppMessageShareData({ title: 't', success: ({ errMsg }) => say(errMsg), complete: () => say('complete') });
    wx.hideOptionMenu({ fail: ({ errMsg }) => say(errMsg) });
    wx.checkJsApi({ jsApiList: ['scanQRCode', 'chooseWXPay'], success: ({ checkResult }) => say(JSON.stringify(checkResult)) });
  });
  wx.error(({ errMsg }) => { say(errMsg); wx.updateAppMessageShareData({ fail: ({ errMsg }) => say(errMsg) }); });
  wx.config({ appId: %q, timestamp: 1414587457, nonceStr: 'n', signature: %q, jsApiList: ['updateAppMessageShareData', 'scanQRCode'] });
})()`, w.official.AppID, sign(ticket, "n", "1414587457", address))
}

func TestChecklist26_InABrowser(t *testing.T) {
	site, w := newH5(t)
	browser := testenv.Chromium(t)
	ticket := fmt.Sprint(w.ticket()["ticket"])
	outcome := func(p *phone, want ...string) {
		t.Helper()
		p.eventually(`document.getElementById('outcome').textContent.length > 30`, "true")
		p.run(p.text("outcome", "#outcome"))
		for _, part := range want {
			if !strings.Contains(p.kept["outcome"], part+";") {
				t.Errorf("outcome %q lacks %q", p.kept["outcome"], part)
			}
		}
	}
	open := func(address string) *phone {
		p := openPhone(t, browser, atLocalhost(w.url))
		p.run(chromedp.Navigate(address), ready(`body[data-loaded]`))
		return p
	}
	const offline = "updateAppMessageShareData:fail, the permission value is offline verifying"

	t.Run("accepted", func(t *testing.T) {
		p := open(site.url + "/h5?a=1&b=2#part")
		p.run(p.eval("", configure(w, ticket, site.url+"/h5?a=1&b=2")))
		outcome(p, "ready", "updateAppMessageShareData:ok", "complete", "hideOptionMenu:fail, the permission value is offline verifying",
			`{"scanQRCode":true,"chooseWXPay":false}`)
	})
	t.Run("a wrong signature", func(t *testing.T) {
		p := open(site.url + "/h5?a=1")
		p.run(p.eval("", configure(w, ticket, site.url+"/h5?a=2")))
		outcome(p, "config:invalid signature", offline)
	})
	t.Run("a foreign domain", func(t *testing.T) {
		address := atLocalhost(site.url) + "/h5"
		p := open(address)
		p.run(p.eval("", configure(w, ticket, address)))
		outcome(p, "config:fail,Error: 系统错误,错误码:40048,invalid url domain", offline)
	})
	t.Run("after pushState the current address counts, on iOS the one the page was entered by", func(t *testing.T) {
		for _, row := range []struct{ agent, signed string }{{"", "/h5/later"}, {agentOf(t, "wechat-ios"), "/h5?landed"}} {
			p := openPhone(t, browser, atLocalhost(w.url))
			if row.agent != "" {
				p.run(callsItself(row.agent))
			}
			p.run(chromedp.Navigate(site.url+"/entry"), ready(`body[data-loaded]`), p.eval("", `history.pushState(null, '', '/h5/later')`),
				p.eval("", configure(w, ticket, site.url+row.signed)))
			outcome(p, "ready")
		}
	})
	t.Run("a desktop browser is told nothing", func(t *testing.T) {
		p := openPhone(t, browser, atLocalhost(w.url))
		p.run(chromedp.Navigate(w.url+"/_simulator/open?browser=desktop&url="+url.QueryEscape(site.url+"/h5")), ready(`body[data-loaded]`),
			p.eval("", configure(w, ticket, site.url+"/h5")), p.eval("settled", `new Promise((done) => setTimeout(() => done(document.getElementById('outcome').textContent), 500))`))
	})
}

// callsItself makes the tab send a User-Agent.
func callsItself(agent string) step {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: agent})
		return err
	})
}

func agentOf(t *testing.T, name string) string {
	t.Helper()
	for _, agent := range simulator.UserAgents() {
		if agent.Name == name {
			return agent.Value
		}
	}
	t.Fatalf("no user agent %s", name)
	return ""
}

func TestChecklist24_InABrowser(t *testing.T) {
	site, w := newH5(t)
	browser := testenv.Chromium(t)
	link := func(redirect string) string {
		return atLocalhost(w.url) + strings.Replace(w.qrconnect(), url.QueryEscape(simulatedSite), url.QueryEscape(redirect), 1)
	}
	// scanned lets bob, on a phone of his own, pick the newest code of the list and allow.
	scanned := func(t *testing.T, answer string) {
		t.Helper()
		p := openPhone(t, browser, atLocalhost(w.url)+"/?lang=en")
		p.run(click(`[data-person="bob"]`), click(`#tab-scan`), click(`#scan-codes [data-kind="website"]`), visible(`#qrconfirm`), p.text("nickname", "#nickname"), click("#"+answer))
		p.eventually(`Boolean(document.querySelector('#qrdone, #refused'))`, "true")
		if p.kept["nickname"] != "Bob 鲍勃" {
			t.Errorf("the phone shows %q", p.kept["nickname"])
		}
	}
	desktop := func(t *testing.T, address, waitsFor string) *phone {
		t.Helper()
		p := openPhone(t, browser, atLocalhost(w.url))
		p.run(chromedp.Navigate(address), ready(waitsFor))
		return p
	}
	t.Run("two windows", func(t *testing.T) {
		p := desktop(t, link(site.url+"/done"), `#qrconnect[data-state="waiting"]`)
		scanned(t, "allow")
		p.eventually(`location.origin + location.pathname`, site.url+"/done")
		p.eventually(`new URLSearchParams(location.search).get('state')`, "s")
	})
	t.Run("refused", func(t *testing.T) {
		p := desktop(t, link(site.url+"/done"), `#qrconnect[data-state="waiting"]`)
		scanned(t, "deny")
		p.run(visible(`#refused`), click(`#again a`), ready(`#qrconnect[data-state="waiting"]`))
	})
	t.Run("in a frame that leaves for the whole window", func(t *testing.T) {
		p := desktop(t, site.url+"/embedded", `body[data-ready="true"][data-qrcode="yes"]`)
		scanned(t, "allow")
		p.eventually(`location.pathname`, "/done")
	})
	t.Run("in a frame that goes on inside", func(t *testing.T) {
		p := desktop(t, site.url+"/embedded?self", `body[data-ready="true"][data-qrcode="yes"]`)
		scanned(t, "allow")
		p.eventually(`(() => { try { return document.querySelector('iframe').contentWindow.location.pathname } catch { return '' } })()`, "/done")
		p.eventually(`location.pathname`, "/embedded")
	})
	t.Run("fast login is one click", func(t *testing.T) {
		w.flip("fast-login", "on")
		p := openPhone(t, browser, atLocalhost(w.url))
		p.run(click(`[data-person="alice"]`), chromedp.Navigate(link(site.url+"/done")), click(`#fast-login`))
		p.eventually(`location.pathname`, "/done")
	})
}

const simulatedSite = site

func TestTheLauncherScansAndShowsThePushedMenu(t *testing.T) {
	browser := testenv.Chromium(t)
	w, in := newInbox(t, simulator.ModePlain, func(c *simulator.Config) { c.BridgeURL = c.PublicURL })
	in.answers(func(rw http.ResponseWriter, r *http.Request, body string) {
		m := parseMessage(t, body)
		if m["Event"] != "SCAN" {
			io.WriteString(rw, "success")
			return
		}
		fmt.Fprintf(rw, "<xml><ToUserName>%s</ToUserName><FromUserName>%s</FromUserName><CreateTime>1</CreateTime><MsgType>text</MsgType>"+
			"<Content><![CDATA[Tap\n<a href=\"%s/login?a=1&b=2\">here</a>]]></Content></xml>", m["FromUserName"], m["ToUserName"], w.url)
	})
	p := openPhone(t, browser, w.url+"/?lang=en")
	_, address := w.qr("login_1")
	t.Run("a stranger sees the account and follows it", func(t *testing.T) {
		p.run(click(`[data-person="bob"]`), click(`#tab-scan`), filled(`#code`, address), typed(`#code`, "\r"), visible(`#scan-follow`))
		if n := len(in.letters()); n != 0 {
			t.Errorf("%d pushes before the tap", n)
		}
		p.run(click(`#scan-follow`), visible(`#follow[aria-pressed="true"]`))
		if m := parseMessage(t, in.last(t).body); m["Event"] != "subscribe" || m["EventKey"] != "qrscene_login_1" {
			t.Errorf("%v", m)
		}
	})
	t.Run("a follower gets the answer in the chat, with its link", func(t *testing.T) {
		p.run(click(`#tab-scan`), click(`#scan-codes [data-kind="account"]`), visible(`#account-events a`),
			p.eval("link", `document.querySelector('#account-events a').href`), p.eval("text", `document.querySelector('#account-events .sim-answered').textContent`))
		if p.kept["link"] != w.url+"/login?a=1&b=2" || p.kept["text"] != "Tap\nhere" {
			t.Errorf("%q to %s", p.kept["text"], p.kept["link"])
		}
		p.eventually(`document.querySelector('#account-events .sim-answered').innerText`, "Tap\nhere") // on two lines, as in WeChat
	})
	t.Run("a code that is made while the tab is open appears", func(t *testing.T) {
		p.run(click(`#tab-scan`), visible(`#scan-codes [data-kind="account"]`))
		w.qr("login_2")
		p.eventually(`document.getElementById('scan-codes').textContent.includes('login_2')`, "true")
	})
	t.Run("nonsense is named", func(t *testing.T) {
		p.run(click(`#tab-scan`), filled(`#code`, "gQnone"), typed(`#code`, "\r"))
		p.eventually(`document.getElementById('scan-result').textContent.startsWith('nothing to scan')`, "true")
	})
	t.Run("the pushed menu takes the place of the launcher's own", func(t *testing.T) {
		w.wantMenu(`{"button":[{"type":"click","name":"今日歌曲","key":"SONG"},{"name":"more","sub_button":[
		  {"type":"view","name":"card","url":"` + w.url + `/login?return_to=/card"},{"type":"scancode_push","name":"scan","key":"S"}]}]}`)
		w.advance("5m")
		p.run(click(`#tab-account`), visible(`#pushed-menu`))
		p.eventually(`document.getElementById('menu').hidden`, "true")
		p.run(click(`#pushed-menu > button`))
		p.eventually(`document.querySelector('#account-events li:last-child')?.textContent`, "CLICK → 200 success")
		if m := parseMessage(t, in.last(t).body); m["EventKey"] != "SONG" {
			t.Errorf("%v", m)
		}
		p.run(click(`.sim-menu-parent > button`), click(`.sim-submenu button`))
		p.eventually(`document.querySelector('#account-events li:last-child')?.textContent`, "The simulator has no such button: scancode_push")
		p.run(click(`.sim-submenu a`))
		p.eventually("location.pathname + location.search", "/login?return_to=/card")
		p.eventually("document.cookie.includes('simulator_entry=menu')", "true")
		if m := parseMessage(t, in.last(t).body); m["Event"] != "VIEW" || m["EventKey"] != w.url+"/login?return_to=/card" {
			t.Errorf("%v", m)
		}
	})
}

func TestTheLauncherIsOtherBrowsersToo(t *testing.T) {
	site, w := newH5(t)
	browser := testenv.Chromium(t)
	home := atLocalhost(w.url) + "/?lang=en"
	p := openPhone(t, browser, home)
	for _, kind := range []string{"desktop", "webview", "wecom", "wechat"} {
		want := kind
		if kind == "wechat" {
			want = ""
		}
		p.run(chromedp.Navigate(home), p.eval("", `(() => { const s = document.getElementById('browser'); s.value = '`+kind+`'; s.dispatchEvent(new Event('change')) })()`),
			click(`#menu-login`), ready(`body[data-loaded]`))
		p.eventually(`document.getElementById('cookies').textContent`, "browser="+want)
		p.eventually(`location.origin + location.pathname`, site.url+"/login")
	}
	t.Run("the way there leads nowhere else", func(t *testing.T) {
		for _, query := range []string{
			"browser=desktop&url=https://evil.example/", "browser=desktop&url=http://localhost:1/", "browser=desktop&url=/x", "browser=x&url=" + site.url,
			"browser=desktop&url=" + url.QueryEscape("http://evil@127.0.0.1/"), "browser=desktop&url=javascript:alert(1)", "",
		} {
			if a := w.get("/_simulator/open?" + query); a.status != http.StatusBadRequest || a.header.Get("Set-Cookie") != "" {
				t.Errorf("%s: %d %v", query, a.status, a.header)
			}
		}
	})
}

// A computer that waits and the phone are windows of one browser, as a rule: what is tapped in the chat must not open as the
// computer's.
func TestTheChatIsInWeChatWhateverBrowserLinksOpenIn(t *testing.T) {
	site := &h5{}
	srv := httptest.NewServer(site)
	t.Cleanup(srv.Close)
	w, in := newInbox(t, simulator.ModePlain, func(c *simulator.Config) {
		c.BridgeURL, c.PublicURL = srv.URL, atLocalhost(c.PublicURL)
	})
	site.url, site.sim = srv.URL, w
	in.answers(func(rw http.ResponseWriter, r *http.Request, body string) {
		m := parseMessage(t, body)
		fmt.Fprintf(rw, "<xml><ToUserName>%s</ToUserName><FromUserName>%s</FromUserName><CreateTime>1</CreateTime><MsgType>text</MsgType>"+
			"<Content><![CDATA[<a href=\"%s/login\">here</a>]]></Content></xml>", m["FromUserName"], m["ToUserName"], srv.URL)
	})
	home := atLocalhost(w.url) + "/?lang=en"
	p := openPhone(t, testenv.Chromium(t), home)
	p.run(click(`[data-person="alice"]`), p.eval("", `(() => { const s = document.getElementById('browser'); s.value = 'desktop'; s.dispatchEvent(new Event('change')) })()`))
	for range 2 {
		p.run(click(`#tab-links`), click(`#link-login`), ready(`body[data-loaded]`))
		p.eventually(`document.getElementById('cookies').textContent`, "browser=desktop")
		p.run(chromedp.Navigate(home), click(`#tab-account`), filled(`#say [name="text"]`, "hello"), typed(`#say [name="text"]`, "\r"),
			click(`#account-events .sim-answered a`), ready(`body[data-loaded]`))
		p.eventually(`document.getElementById('cookies').textContent`, "browser=")
		p.run(chromedp.Navigate(atLocalhost(w.url)+"/connect/oauth2/authorize?appid="+w.official.AppID+"&redirect_uri="+url.QueryEscape(srv.URL+"/h5")+
			"&response_type=code&scope=snsapi_base&state=x#wechat_redirect"), ready(`body[data-loaded]`)) // where the page's login leads
		p.eventually("location.origin + location.pathname", site.url+"/h5")
		p.run(chromedp.Navigate(home), visible(`#tab-links`))
		p.eventually(`document.getElementById('browser').value`, "desktop") // the choice stays
	}
}

func TestChecklist23_InABrowser(t *testing.T) {
	_, w := newH5(t)
	p := openPhone(t, testenv.Chromium(t), atLocalhost(w.url)+"/?lang=en#miniprogram")
	log := func(want string) {
		t.Helper()
		p.eventually(`document.querySelector('page:not([hidden]) #log').textContent`, want)
	}
	p.run(click(`[data-person="bob"]`), visible(`#done`), click(`#to-form`), visible(`#form-page`))
	p.eventually(`document.getElementById('form-page').textContent`, `{"a":"1","b":"%26"} 1 1`)
	p.eventually(`document.getElementById('bar-title').textContent + getComputedStyle(document.getElementById('form-page')).color`, "form titlergb(4, 5, 6)")

	t.Run("the nickname is free text, and a bad one is cleared", func(t *testing.T) {
		p.eventually(`document.getElementById('nickname').value + document.getElementById('nicknames').firstChild.value`, "givenBob 鲍勃")
		p.run(p.eval("", `document.getElementById('nickname').value = ''`), typed(`#nickname`, "小明"), typed(`#plain`, "x"), click(`#save`))
		log(`submit {"nickname":"小明","plain":"x"}`)
		p.run(p.eval("", `document.getElementById('nickname').value = ''`), typed(`#nickname`, "违规"), click(`#plain`))
		p.eventually(`document.getElementById('nickname').value`, "")
	})
	t.Run("an avatar is a temporary path", func(t *testing.T) {
		p.run(click(`#avatar`), visible(`#picture`))
		p.eventually(`/^picture "http:..tmp.[-0-9a-f]{36}.jpeg"$/.test(document.getElementById('log').textContent)`, "true")
	})
	t.Run("the phone number's code", func(t *testing.T) {
		p.run(click(`#phone`))
		log(`getphonenumber ["getPhoneNumber:ok",64]`)
	})
	t.Run("profiles are anonymous and want a login first", func(t *testing.T) {
		w.advance("720h") // the session that the first page made has ended
		p.run(click(`#profile`))
		const none = "getUserProfile:fail the person has no session in this mini program: wx.login first"
		log(`profile ["getUserProfile:fail parameter error: parameter.desc should be String instead of Undefined;","` + none + `","getUserProfile:ok","微信用户","getUserInfo:ok","微信用户"]`)
		p.run(click(`#user`))
		log(`user ["getUserInfo:ok","encryptedData,errMsg,iv,rawData,signature,userInfo"]`)
	})
	t.Run("a page that is not there", func(t *testing.T) {
		p.run(click(`#nowhere`))
		log(`nowhere "navigateTo:fail page \"pages/none/none\" is not found"`)
	})
	t.Run("a web-view takes the window and knows what it is", func(t *testing.T) {
		p.run(click(`#to-web`))
		p.eventually(`document.getElementById('cookies')?.textContent`, "browser=webview")
		p.eventually(`location.search + window.__wxjs_environment`, "?in=programminiprogram")
		p.run(p.eval("env", `new Promise((done) => wx.miniProgram.getEnv(({ miniprogram }) => done(miniprogram)))`))
		p.run(p.eval("", `wx.miniProgram.postMessage({ data: { n: 1 } }), wx.miniProgram.postMessage({ data: '二' }), wx.miniProgram.navigateBack()`))
		p.eventually(`document.getElementById('bar-title')?.textContent`, "form title")
		p.eventually(`Object.entries(localStorage).find(([key]) => key.endsWith(':told'))?.[1]`, `{"data":[{"n":1},"二"]}`)
		p.eventually(`document.getElementById('form-page').textContent + location.search`, `{"a":"1","b":"%26"} 1 2`)
		p.run(click(`#bar-back`), visible(`#to-form`))
		p.eventually(`document.getElementById('bar-back').hidden`, "true")
	})
	t.Run("somebody who refuses", func(t *testing.T) {
		p.run(click(`[data-person="nora"]`), visible(`#done`), click(`#to-form`), click(`#phone`))
		log(`getphonenumber ["getPhoneNumber:fail user deny",0]`)
	})
}
