package simulator_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"wxbridge/internal/testenv"
	"wxbridge/wechat/simulator"
)

// TestAccountInABrowser: what somebody does in the account's chat reaches the account's server, and its answers are shown.
func TestAccountInABrowser(t *testing.T) {
	browser := testenv.Chromium(t)
	w, in := newInbox(t, simulator.ModeAES, func(c *simulator.Config) { c.BridgeURL = c.PublicURL })
	in.answers(func(rw http.ResponseWriter, r *http.Request, body string) {
		m := in.open(t, letter{query: r.URL.Query(), body: body})
		if m["MsgType"] != "text" {
			io.WriteString(rw, "success")
			return
		}
		io.WriteString(rw, in.seal(t, fmt.Sprintf("<xml><ToUserName>%s</ToUserName><FromUserName>%s</FromUserName><CreateTime>1</CreateTime>"+
			"<MsgType>text</MsgType><Content><![CDATA[echo: %s]]></Content></xml>", m["FromUserName"], m["ToUserName"], m["Content"]), in.app.AppID))
	})
	p := openPhone(t, browser, w.url+"/?lang=en")
	p.run(visible(`#account-hint`), click(`[data-person="bob"]`), visible(`#follow[aria-pressed="false"]`), visible(`#follow-hint`),
		chromedp.WaitNotVisible(`#say`), chromedp.WaitNotVisible(`#menu-click`))

	lastEvent := `document.querySelector('#account-events li:last-child')?.textContent`
	p.run(click(`#follow`), visible(`#follow[aria-pressed="true"]`), chromedp.WaitNotVisible(`#follow-hint`))
	p.eventually(lastEvent, "subscribe → 200 success")
	p.run(click(`#menu-click`))
	p.eventually(lastEvent, "CLICK → 200 success")
	if m := in.open(t, in.last(t)); m["Event"] != "CLICK" || m["EventKey"] != "HELLO" {
		t.Errorf("%v", m)
	}
	p.run(typed(`#say input`, "你好 <b>\r"))
	p.eventually(lastEvent, "echo: 你好 <b>")
	t.Run("the menu's links are told before they open", func(t *testing.T) {
		before := len(in.letters())
		p.run(click(`#menu-login`))
		p.eventually("location.pathname", "/login")
		for deadline := time.Now().Add(20 * time.Second); len(in.letters()) == before; p.eventually("document.readyState", "complete") {
			if time.Now().After(deadline) {
				t.Fatal("no event")
			}
		}
		if m := in.open(t, in.last(t)); m["Event"] != "VIEW" || m["EventKey"] != w.url+"/login" {
			t.Errorf("%v", m)
		}
	})
	t.Run("each person has a chat of their own", func(t *testing.T) {
		p.run(chromedp.Navigate(w.url+"/?lang=en"), visible(`#follow[aria-pressed="true"]`), click(`[data-person="nora"]`), visible(`#follow[aria-pressed="false"]`),
			click(`[data-person="alice"]`), visible(`#follow[aria-pressed="true"]`), click(`#follow`), visible(`#follow[aria-pressed="false"]`))
		p.eventually(lastEvent, "unsubscribe → 200 success")
	})
	t.Run("a server that fails is named", func(t *testing.T) {
		p.run(click(`#follow`), visible(`#menu-click`))
		p.eventually(lastEvent, "subscribe → 200 success")
		in.answers(func(w http.ResponseWriter, r *http.Request, _ string) { http.NotFound(w, r) })
		p.run(click(`#menu-click`))
		p.eventually(`document.querySelector('#account-events .sim-answered')?.textContent`, "该公众号暂时无法提供服务，请稍后再试")
		p.eventually(`document.querySelectorAll('#account-events .sim-happened')[2]?.textContent`, "CLICK → 404 ×3: answered with status 404, want 200")
	})
}

// TestAccountsInABrowser: with several official accounts the phone page has the menu and the chat of the one that was chosen, also
// after a scan of another one's code, and its links name it to the bridge.
func TestAccountsInABrowser(t *testing.T) {
	browser := testenv.Chromium(t)
	const club = "wxd07c81f26ab3945e"
	w := newWorld(t, func(c *simulator.Config) {
		c.BridgeURL = "http://127.0.0.1:9"
		c.Apps[0].Name = "shop"
		c.Apps = append(c.Apps, simulator.App{Provider: simulator.ProviderOfficialAccount, AppID: club, Secret: "another-secret", Name: "club", RedirectDomain: "127.0.0.1"})
	})
	p := openPhone(t, browser, w.url+"/?lang=en")
	p.run(click(`[data-person="alice"]`), visible(`#follow[aria-pressed="true"]`))
	shop := w.official.AppID
	expect := func(appid, title string) {
		t.Helper()
		p.eventually(`document.querySelector('#account').value`, appid)
		p.eventually(`document.querySelector('#bar-title').textContent`, title)
		p.eventually(`document.querySelector('#menu-login').href`, "http://127.0.0.1:9/login?app="+appid)
		p.eventually(`document.querySelector('#menu-profile').href`, "http://127.0.0.1:9/login?app="+appid+"&scope=userinfo")
		p.eventually(`new URL(document.querySelector('#menu-direct').href).searchParams.get('redirect_uri')`, "http://127.0.0.1:9/callback/official-account?app="+appid)
	}
	expect(shop, "shop")
	p.run(p.eval("", `[document.querySelector('#account').value = '`+club+`', document.querySelector('#account').dispatchEvent(new Event('change'))]`))
	expect(club, "club")
	p.run(visible(`#follow[aria-pressed="true"]`), click(`#follow`), visible(`#follow[aria-pressed="false"]`))
	for appid, follows := range map[string]string{club: `{"following":false}`, shop: `{"following":true}`} {
		if a := w.do("GET", "/_simulator/following?person=alice&appid="+appid, "", nil); strings.TrimSpace(a.body) != follows {
			t.Errorf("%s: %s", appid, a.body)
		}
	}

	ticket, _ := w.qr("hello")
	p.run(click(`#tab-scan`), typed(`#code`, ticket+"\r"))
	expect(shop, "shop")
	p.eventually(`document.querySelector('#account-events li:last-child')?.textContent.slice(0, 4)`, "SCAN")
}
