package handlers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/internal/seal"
	"wxbridge/templates"
	"wxbridge/wechat/simulator"
)

// scanReport is what the simulator tells of a scan.
type scanReport struct {
	Kind, Event, Open, Shown string
	Following                bool
}

// scanCode lets a person scan what a code says, with consent "allow", "deny" or "".
func (b *bridge) scanCode(person, says, consent string) scanReport {
	b.t.Helper()
	body, err := json.Marshal(map[string]string{"person": person, "url": says, "consent": consent})
	must(b.t, err)
	response, err := http.Post(b.simURL+"/_simulator/scan", "application/json", strings.NewReader(string(body)))
	must(b.t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	must(b.t, err)
	var report scanReport
	if err := json.Unmarshal(content, &report); err != nil || response.StatusCode != http.StatusOK {
		b.t.Fatalf("scan: %d %s", response.StatusCode, content)
	}
	return report
}

// drawn is what the code on the page says: what its cookie holds, or else the address of the question.
func (s *scanning) drawn() string {
	s.t.Helper()
	box, err := seal.New([]byte(strings.Repeat("0123456789abcdef", 2)))
	must(s.t, err)
	name := "wxbridge_flow_" + s.handle
	plain, err := box.OpenText("flow", s.cookie(name), []byte(name))
	must(s.t, err)
	var flow struct {
		Says string `json:"q"`
	}
	must(s.t, json.Unmarshal(plain, &flow))
	if flow.Says == "" {
		flow.Says = s.public + "/login/scan/confirm?scan=" + s.scan.Code
	}
	code, err := templates.NewQRCode(flow.Says)
	must(s.t, err)
	if !strings.Contains(s.page.body, code.Path) {
		s.t.Fatalf("the page does not show the code of %s", flow.Says)
	}
	return flow.Says
}

var chatLink = regexp.MustCompile(`<a href="([^"]+)">`)

// tapChat opens the link in a message of the account's.
func (w *browser) tapChat(message string) page {
	w.t.Helper()
	link := chatLink.FindStringSubmatch(message)
	if link == nil {
		w.t.Fatalf("no link in %q", message)
	}
	return w.visit(html.UnescapeString(link[1]))
}

func TestScanByTheAccountsCode(t *testing.T) {
	for _, mode := range pushModes {
		t.Run(mode, func(t *testing.T) {
			e := newEventBridge(t, mode)
			for _, c := range []struct{ person, event string }{{"alice", "SCAN"}, {"bob", "subscribe"}} {
				phone, desk := e.browser(c.person), e.computer().startScan("")
				phone.register()
				stream := desk.events()
				stream.want("waiting")
				says := desk.drawn()
				report := e.scanCode(c.person, says, "")
				if report.Kind != "account" || report.Event != c.event || !report.Following {
					t.Fatalf("%s: %+v", c.person, report)
				}
				stream.want("scanned")
				p := phone.tapChat(report.Shown)
				if !p.asks() {
					t.Fatalf("%s is not asked: %d %s", c.person, p.StatusCode, p.body)
				}
				phone.answer(p, "confirm")
				stream.want("confirmed", "")
				desk.finish()
				if desk.mustClaims().Subject != phone.mustClaims().Subject {
					t.Errorf("%s: the computer is somebody else's", c.person)
				}
				if again := e.scanCode(c.person, says, ""); strings.Contains(again.Shown, "<a") || again.Shown == "" {
					t.Errorf("a spent code is answered %q", again.Shown)
				}
			}
		})
	}
}

func TestScanByTheAccountsCodeBelongsToTheFirst(t *testing.T) {
	e := newEventBridge(t, simulator.ModeAES)
	first, second, desk := e.browser("alice"), e.browser("bob"), e.computer().startScan("")
	first.register()
	second.register()
	report := e.scanCode("alice", desk.drawn(), "")
	if taken := e.scanCode("bob", desk.drawn(), ""); strings.Contains(taken.Shown, "<a") || !strings.Contains(taken.Shown, "Somebody else") {
		t.Errorf("the second reads %q", taken.Shown)
	}
	if p := second.tapChat(report.Shown); p.asks() || p.StatusCode != http.StatusBadRequest { // the link relayed
		t.Errorf("the second is asked: %d", p.StatusCode)
	}
	if again := e.scanCode("alice", desk.drawn(), ""); again.Shown != report.Shown {
		t.Errorf("the first, again, reads %q", again.Shown)
	}
	first.answer(first.tapChat(report.Shown), "confirm")
	desk.finish()
	if desk.mustClaims().Subject != first.mustClaims().Subject {
		t.Error("the computer is not the first's")
	}
}

// A phone that is still logged in as somebody else is asked by WeChat who holds it now.
func TestScanByAPhoneWithAnOldLogin(t *testing.T) {
	e := newEventBridge(t, simulator.ModeAES)
	phone, desk := e.browser("bob"), e.computer().startScan("")
	phone.register()
	alice := e.browser("alice")
	alice.register()
	phone.person = "alice"
	p := phone.tapChat(e.scanCode("alice", desk.drawn(), "").Shown)
	if !p.asks() {
		t.Fatalf("%d %s", p.StatusCode, p.body)
	}
	phone.answer(p, "confirm")
	desk.finish()
	if desk.mustClaims().Subject != alice.mustClaims().Subject {
		t.Error("the computer is not who scanned's")
	}
}

// A push in plain mode can be forged by whoever has seen one. It logs nobody in.
func TestScanByAForgedPushLogsNobodyIn(t *testing.T) {
	e := newEventBridge(t, simulator.ModePlain)
	victim, desk := e.browser("alice"), e.computer().startScan("")
	victim.register()
	e.scanCode("bob", e.computer().startScan("").drawn(), "") // the attacker's own push, whose address they saw
	query := e.last().query
	forged := fmt.Sprintf("<xml><ToUserName>gh_0123456789ab</ToUserName><FromUserName>%s</FromUserName><CreateTime>%d</CreateTime>"+
		"<MsgType>event</MsgType><Event>SCAN</Event><EventKey>wxbridge_login_%s</EventKey><Ticket>x</Ticket></xml>",
		victim.mustClaims().OpenID, e.clock.Now().Unix(), desk.scan.Code)
	if answer := e.send("POST", query, forged); answer.status != http.StatusOK {
		t.Fatalf("%d %s", answer.status, answer.body)
	}
	if desk.state() != db.ScanScanned {
		t.Fatalf("the forgery was not believed at all (%s); this test shows nothing", desk.state())
	}
	attacker := e.browser("bob")
	attacker.register()
	if p := attacker.question(desk.scan); p.asks() {
		t.Error("the attacker is asked")
	}
	desk.finish()
	if _, ok := desk.claims(); ok {
		t.Error("a forged push logs in")
	}
}

// The backend that answers in the account's chat is not asked about our scans, and is about others.
func TestScanIsAnsweredByTheBridge(t *testing.T) {
	asked := make(chan string, 10)
	e := newEventBridge(t, simulator.ModeAES, func(c *handlers.Config) {
		c.Reply = func(_ context.Context, p handlers.IncomingPush) (handlers.Reply, error) {
			asked <- p.Message.Scene()
			return handlers.Reply{Text: "welcome"}, nil
		}
	})
	desk := e.computer().startScan("")
	if report := e.scanCode("alice", desk.drawn(), ""); !strings.Contains(report.Shown, "/login/scan/confirm") {
		t.Errorf("our scan is answered %q", report.Shown)
	}
	e.control("POST", "/_simulator/events", fmt.Sprintf(`{"person":"alice","appid":%q,"event":{"name":"SCAN","scene":"poster-7"}}`, e.official.AppID))
	if scene := <-asked; scene != "poster-7" || len(asked) > 0 {
		t.Errorf("the backend was asked about %q first", scene)
	}
}

// WeChat shows the answer that arrives in time, which may be that to a repeat.
func TestWX13_ARepeatedScanGetsTheSameAnswer(t *testing.T) {
	e := newEventBridge(t, simulator.ModePlain)
	e.mu.Lock()
	e.copies = 4
	e.mu.Unlock()
	desk := e.computer().startScan("")
	e.scanCode("alice", desk.drawn(), "")
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, answer := range e.answers {
		if answer.status != http.StatusOK || !strings.Contains(answer.body, desk.scan.Code) {
			t.Errorf("%d %s", answer.status, answer.body)
		}
	}
}

// Without the right to make codes, or while WeChat has trouble, the code leads straight to the question.
func TestScanWithoutCodesOfTheAccount(t *testing.T) {
	const create = "/cgi-bin/qrcode/create"
	for name, fault := range map[string]string{
		"no permission": `{"path":"` + create + `","errcode":48001,"times":0}`,
		"busy":          `{"path":"` + create + `","errcode":-1,"times":0}`,
		"quota":         `{"path":"` + create + `","errcode":45009,"times":0}`,
		"malformed":     `{"path":"` + create + `","mode":"malformed","times":0}`,
	} {
		t.Run(name, func(t *testing.T) {
			e := newEventBridge(t, simulator.ModeAES)
			e.fault(fault)
			desk := e.computer().startScan("")
			report := e.scanCode("alice", desk.drawn(), "")
			if report.Kind != "link" || !strings.HasPrefix(report.Open, e.public+"/login/scan/confirm?") {
				t.Fatalf("%+v", report)
			}
			phone := e.browser("alice")
			phone.register()
			phone.answer(phone.visit(report.Open), "confirm")
			desk.finish()
			desk.mustClaims()
			before := e.calls(create)
			e.computer().startScan("")
			if n := e.calls(create) - before; n != 0 {
				t.Errorf("WeChat is asked again %d times at once", n)
			}
			if !strings.Contains(e.log.String(), `"event":"scan.no_code"`) {
				t.Error("the log does not say why")
			}
		})
	}
}

// A code is made for each page that is opened anew, not for each that is loaded again, nor beyond the limits.
func TestScanSparesTheAccountsQuota(t *testing.T) {
	e := newEventBridge(t, simulator.ModeAES)
	computer := e.computer()
	for range 5 {
		computer.startScan("")
	}
	if n := e.calls("/cgi-bin/qrcode/create"); n != 1 {
		t.Errorf("%d codes for one page", n)
	}
	for range 5 {
		e.computer().get("/login/scan", "Sec-Fetch-Mode", "no-cors")
	}
	if n := e.calls("/cgi-bin/qrcode/create"); n != 1 {
		t.Errorf("%d codes after images of other sites'", n)
	}
}

func TestDesktopLoginChoosesByConfiguration(t *testing.T) {
	const scan, website, code = "/login/scan", "/login/website", ""
	pushes := func(c *handlers.Config) {
		e := &eventBridge{mode: simulator.ModeAES}
		c.OfficialAccounts[0].Callback = e.callback(t, c.OfficialAccounts[0].Client.AppID(), c.Now)
	}
	var site handlers.Website
	webApp := func(c *handlers.Config) {
		shop, blog := site, site
		shop.Alias, blog.Alias = "shop", "blog"
		c.Websites = []handlers.Website{shop, blog}
	}
	choose := func(choice handlers.DesktopLogin) func(*handlers.Config) {
		return func(c *handlers.Config) { c.DesktopLogin = choice }
	}
	for name, c := range map[string]struct {
		change []func(*handlers.Config)
		app    string
		want   string
	}{
		"an account without pushes":               {nil, "default", code},
		"an account with pushes":                  {[]func(*handlers.Config){pushes}, "default", scan},
		"another account, without pushes":         {[]func(*handlers.Config){pushes}, "second", code},
		"a website app":                           {[]func(*handlers.Config){pushes, webApp}, "shop", website},
		"an account beside a website app":         {[]func(*handlers.Config){pushes, webApp}, "default", scan},
		"scan, whatever the pushes":               {[]func(*handlers.Config){choose(handlers.DesktopScan)}, "default", scan},
		"qrcode, whatever the pushes":             {[]func(*handlers.Config){pushes, webApp, choose(handlers.DesktopQRCode)}, "default", code},
		"scan, whatever the website":              {[]func(*handlers.Config){pushes, webApp, choose(handlers.DesktopScan)}, "default", scan},
		"website, whatever the account":           {[]func(*handlers.Config){pushes, webApp, choose(handlers.DesktopWebsite)}, "shop", website},
		"auto is the default, and may be said so": {[]func(*handlers.Config){pushes, choose(handlers.DesktopAuto)}, "default", scan},
	} {
		t.Run(name, func(t *testing.T) {
			b := newWebsiteBridge(t, append([]func(*handlers.Config){func(c *handlers.Config) {
				site, c.Websites, c.Dev = c.Websites[0], nil, false
			}}, c.change...)...)
			phone := b.computer()
			phone.agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
			if p := phone.get("/login?app=default"); strings.Contains(name, "an account with") && p.StatusCode != http.StatusOK {
				t.Errorf("a phone outside WeChat is to scan its own screen: %d", p.StatusCode)
			}
			p := b.computer().get("/login?prompt=login&scope=userinfo&return_to=/a%3Fb%3D1%26c&app=" + c.app)
			if c.want == code {
				if p.StatusCode != http.StatusOK || !strings.Contains(p.body, `id="url"`) {
					t.Errorf("%d %s", p.StatusCode, p.Header.Get("Location"))
				}
				return
			}
			to, err := p.Location()
			must(t, err)
			q := to.Query()
			if to.Path != c.want || q.Get("return_to") != "/a?b=1&c" || q.Get("scope") != "userinfo" || q.Get("prompt") != "login" ||
				(c.app == "default") == q.Has("app") {
				t.Errorf("leads to %s", to)
			}
		})
	}
}

// The phone's browser of an account that is not the default one comes back to the right app.
func TestScanOfAnotherApp(t *testing.T) {
	e := newEventBridge(t, simulator.ModeAES)
	phone, desk := e.browser("carol"), e.computer().startScan("app=second&return_to=/x")
	if desk.scan.AppID != e.second.AppID {
		t.Fatalf("the scan is of %s", desk.scan.AppID)
	}
	phone.visit("/login?app=second")
	phone.visit("/login/official-account?scope=userinfo&app=second")
	report := e.scanCode("carol", desk.drawn(), "")
	phone.answer(phone.tapChat(report.Shown), "confirm")
	desk.finish()
	if got := desk.mustClaims(); got.AppID != e.second.AppID || got.OpenID != phone.mustClaims().OpenID {
		t.Errorf("%+v", got)
	}
}
