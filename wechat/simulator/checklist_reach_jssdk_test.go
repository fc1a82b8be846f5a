package simulator_test

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"wxbridge/wechat/simulator"
)

// appToken is a global token of an app.
func (w *world) appToken(app simulator.App) string {
	w.t.Helper()
	token, _ := w.stable(app, false).grantedToken(w.t)
	return token
}

func (w *world) ticket() map[string]any {
	w.t.Helper()
	v := w.get("/cgi-bin/ticket/getticket?type=jsapi&access_token=" + w.appToken(w.official)).json(w.t)
	if fmt.Sprint(v["errcode"]) != "0" || v["errmsg"] != "ok" || len(v) != 4 {
		w.t.Fatalf("ticket %v", v)
	}
	return v
}

// sign is the signature of wechat-protocol §3.2, written for these tests.
func sign(ticket, nonce, timestamp, page string) string {
	sum := sha1.Sum([]byte("jsapi_ticket=" + ticket + "&noncestr=" + nonce + "&timestamp=" + timestamp + "&url=" + page))
	return hex.EncodeToString(sum[:])
}

// pageConfig asks what wx.config of a page asks.
func (w *world) pageConfig(body map[string]any) answer {
	w.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do("POST", "/_simulator/jssdk-config", string(text), map[string]string{"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "cross-site"})
}

func (w *world) signedPage(ticket, page string) map[string]any {
	return map[string]any{
		"call": "config", "appId": w.official.AppID, "timestamp": 1414587457, "nonceStr": "Wm3WZYTPz0wzccnW",
		"signature": sign(ticket, "Wm3WZYTPz0wzccnW", "1414587457", page), "url": page,
	}
}

func (w *world) wantConfig(what string, body map[string]any, want string) {
	w.t.Helper()
	if got := w.pageConfig(body).json(w.t)["errMsg"]; got != want {
		w.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestKnownAnswerOfTheJSSDKSignature(t *testing.T) {
	const ticket = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
	const want = "0f9de62fce790f9a083d5c99e95740ceb90c27ed"
	if got := simulator.JSSignature(ticket, "Wm3WZYTPz0wzccnW", "1414587457", "http://mp.weixin.qq.com?params=value"); got != want {
		t.Errorf("the simulator signs %s, want %s", got, want)
	}
	if got := sign(ticket, "Wm3WZYTPz0wzccnW", "1414587457", "http://mp.weixin.qq.com?params=value"); got != want {
		t.Errorf("these tests sign %s, want %s", got, want)
	}
}

func TestChecklist26_TheTicketStaysAndSays7200EachTime(t *testing.T) {
	w := newWorld(t, stoppedClock)
	first := w.ticket()
	w.advance("1h59m59s")
	if again := w.ticket(); again["ticket"] != first["ticket"] || fmt.Sprint(again["expires_in"]) != "7200" {
		t.Errorf("first %v, then %v", first, again)
	}
	w.flip("jsapi-ticket-expires-in", "remaining")
	if again := w.ticket(); fmt.Sprint(again["expires_in"]) != "1" {
		t.Errorf("remaining: %v", again)
	}
	w.advance("1s")
	if later := w.ticket(); later["ticket"] == first["ticket"] || fmt.Sprint(later["expires_in"]) != "7200" {
		t.Errorf("after two hours %v", later)
	}
	if got := len(fmt.Sprint(first["ticket"])); got != 86 {
		t.Errorf("%d characters", got)
	}
}

func TestChecklist26_TheTicketsDoor(t *testing.T) {
	w := newWorld(t)
	token := w.appToken(w.official)
	w.get("/cgi-bin/ticket/getticket?type=jsapi").errcode(t, 41001)
	w.get("/cgi-bin/ticket/getticket?type=jsapi&access_token=nonsense").errcode(t, 40014)
	w.get("/cgi-bin/ticket/getticket?access_token="+token).errcode(t, 40097)
	w.get("/cgi-bin/ticket/getticket?type=jsapi&access_token="+w.appToken(w.mini)).errcode(t, 48001)
	w.do("POST", "/cgi-bin/ticket/getticket?type=jsapi&access_token="+token, "{}", nil).errcode(t, 43001)
	w.fault(map[string]any{"path": "/cgi-bin/ticket/getticket", "errcode": 45009})
	w.get("/cgi-bin/ticket/getticket?type=jsapi&access_token="+token).errcode(t, 45009)
	card := w.get("/cgi-bin/ticket/getticket?type=wx_card&access_token=" + token).json(t)["ticket"]
	if card == nil || card == w.ticket()["ticket"] {
		t.Errorf("wx_card: %v", card)
	}
	w.wantConfig("a page signed with a card ticket", w.signedPage(fmt.Sprint(card), "http://127.0.0.1/"), "config:invalid signature")
}

func TestChecklist26_TheConfigIsRecomputed(t *testing.T) {
	w := newWorld(t, stoppedClock)
	ticket := fmt.Sprint(w.ticket()["ticket"])
	const page = "http://127.0.0.1:8080/shop?a=1&b=%E4%BA%8C&from=singlemessage"
	good := w.signedPage(ticket, page)
	w.wantConfig("a good one", good, "config:ok")
	good["timestamp"] = "1414587457"
	w.wantConfig("a timestamp in text", good, "config:ok")

	for what, change := range map[string]func(map[string]any){
		"another address": func(b map[string]any) { b["url"] = "http://127.0.0.1:8080/shop" },
		"&amp; for &": func(b map[string]any) {
			b["signature"] = sign(ticket, "Wm3WZYTPz0wzccnW", "1414587457", strings.ReplaceAll(page, "&", "&amp;"))
		},
		"http for https":    func(b map[string]any) { b["url"] = strings.Replace(page, "http:", "https:", 1) },
		"another nonce":     func(b map[string]any) { b["nonceStr"] = "x" },
		"another timestamp": func(b map[string]any) { b["timestamp"] = 1 },
		"capital letters":   func(b map[string]any) { b["signature"] = strings.ToUpper(fmt.Sprint(b["signature"])) },
		"no signature":      func(b map[string]any) { delete(b, "signature") },
		"a signed fragment": func(b map[string]any) {
			b["url"], b["signature"] = page+"#x", sign(ticket, "Wm3WZYTPz0wzccnW", "1414587457", page+"#x")
		},
		"another ticket": func(b map[string]any) { b["signature"] = sign("none", "Wm3WZYTPz0wzccnW", "1414587457", page) },
	} {
		body := w.signedPage(ticket, page)
		change(body)
		w.wantConfig(what, body, "config:invalid signature")
	}
	if got := fmt.Sprint(w.pageConfig(map[string]any{"call": "config", "appId": w.official.AppID, "url": page}).json(t)["realAuthUrl"]); got != "["+page+"]" {
		t.Errorf("realAuthUrl %s", got)
	}
	foreign := w.signedPage(ticket, page)
	foreign["appId"] = w.mini.AppID
	w.wantConfig("a mini program's appid", foreign, "config:invalid appid")

	t.Run("an old ticket beside a new one, until it is three hours old", func(t *testing.T) {
		w.advance("2h")
		if fresh := w.ticket()["ticket"]; fresh == ticket {
			t.Fatal("the same ticket")
		}
		w.advance("59m59s")
		w.wantConfig("the old ticket", w.signedPage(ticket, page), "config:ok")
		w.advance("1s")
		w.wantConfig("the old ticket at three hours", w.signedPage(ticket, page), "config:invalid signature")
	})
}

func TestChecklist26_TheDomainIsChecked(t *testing.T) {
	w := newWorld(t, func(c *simulator.Config) { c.Apps[0].JSDomains = []string{"shop.example.com", "Example.org"} })
	ticket := fmt.Sprint(w.ticket()["ticket"])
	const long = "config:fail,Error: 系统错误,错误码:40048,invalid url domain"
	for page, want := range map[string]string{
		"https://shop.example.com/":             "config:ok",
		"http://shop.example.com:8443/x":        "config:ok",
		"https://SHOP.example.com/":             "config:ok",
		"https://example.org/":                  "config:ok",
		"https://a.shop.example.com/":           long,
		"https://example.com/":                  long,
		"https://127.0.0.1/":                    long,
		"https://shop.example.com@evil.example": long,
		"ftp://shop.example.com/":               long,
		"shop.example.com":                      long,
		"https://evilshop.example.com/":         long,
	} {
		w.wantConfig(page, w.signedPage(ticket, page), want)
	}
	w.flip("jssdk-domain", "parent")
	w.wantConfig("a sub-domain", w.signedPage(ticket, "https://a.shop.example.com/"), "config:ok")
	w.wantConfig("no sub-domain", w.signedPage(ticket, "https://evilshop.example.com/"), long)
	for choice, wants := range map[string][2]string{
		"short": {"config:invalid url domain", "config:invalid signature"},
		"long":  {long, "config:fail,Error: 系统错误,错误码:63002,invalid signature"},
	} {
		w.flip("jssdk-wording", choice)
		w.wantConfig(choice, w.signedPage(ticket, "https://example.com/"), wants[0])
		w.wantConfig(choice, w.signedPage("none", "https://shop.example.com/"), wants[1])
	}
}

func TestPagesOfEveryOriginMayAskAndLoadTheScripts(t *testing.T) {
	w := newWorld(t)
	for _, a := range []answer{
		w.pageConfig(map[string]any{"call": "config"}), w.do("OPTIONS", "/_simulator/jssdk-config", "", nil), w.get("/_simulator/jweixin.js"),
	} {
		if a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Access-Control-Allow-Credentials") != "" || a.status/100 != 2 {
			t.Errorf("%d %v", a.status, a.header)
		}
	}
	if got := w.do("POST", "/_simulator/jssdk-config", "{", nil).status; got != http.StatusBadRequest {
		t.Errorf("half a body: %d", got)
	}
	for _, pair := range [][2]string{
		{"/_simulator/jweixin.js", "/open/js/jweixin-1.6.0.js"}, {"/_simulator/wxLogin.js", "/connect/zh_CN/htmledition/js/wxLogin.js"},
	} {
		own, real := w.get(pair[0]), w.get(pair[1])
		if own.body != real.body || len(own.body) < 500 || own.header.Get("Content-Type") != "text/javascript; charset=utf-8" {
			t.Errorf("%v: %d and %d bytes, %s", pair, len(own.body), len(real.body), own.header.Get("Content-Type"))
		}
	}
}
