package simulator_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat/simulator"

	"github.com/google/go-cmp/cmp"
)

func TestPeopleHaveTheDocumentedShape(t *testing.T) {
	w := newWorld(t)
	a := w.get("/_simulator/people")
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("content type %q", got)
	}
	var reply struct {
		Apps   []map[string]string `json:"apps"`
		People []struct {
			Name     string              `json:"name"`
			Accounts []map[string]string `json:"accounts"`
		} `json:"people"`
	}
	dec := json.NewDecoder(strings.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&reply); err != nil {
		t.Fatal(err)
	}
	apps := []map[string]string{
		{"provider": "official_account", "appid": w.official.AppID}, {"provider": "mini_program", "appid": w.mini.AppID},
		{"provider": "website", "appid": w.website.AppID},
	}
	wecom := len(apps) // from there on it is corps, which have a test of their own
	if diff := cmp.Diff(apps, reply.Apps[:wecom]); diff != "" {
		t.Error(diff)
	}
	var names []string
	for _, p := range reply.People {
		names = append(names, p.Name)
		for i, account := range p.Accounts[:wecom] {
			if account["appid"] != apps[i]["appid"] || len(account["openid"]) != 28 || len(account["unionid"]) != 28 || len(account) != 4 {
				t.Errorf("%s has %v", p.Name, account)
			}
		}
	}
	if got := strings.Join(names, " "); got != "alice bob sunny nora wei guest dai yuan lian ke" {
		t.Errorf("people %s", got)
	}
	if strings.Contains(a.body, w.official.Secret) {
		t.Error("the answer holds a secret")
	}
}

func TestAnyNameIsAStrangerOnTheSpot(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{}
	for i := range 20 {
		name := fmt.Sprintf("crowd %d 人", i)
		openid, _ := w.account(name, w.official.AppID)
		token := w.exchange(w.as(name, w.link(site, "snsapi_base", "s")).back(t).Get("code")).json(t)
		if token["openid"] != openid || seen[openid] {
			t.Errorf("%s is %v, want %s", name, token["openid"], openid)
		}
		seen[openid] = true
	}
	for _, bad := range []string{strings.Repeat("x", 65), "a\x7f", "tab\tname"} {
		if a := w.get("/_simulator/people?name=" + url.QueryEscape(bad)); a.status != http.StatusBadRequest {
			t.Errorf("name %q: %d", bad, a.status)
		}
	}
}

func TestWhoHoldsThePhone(t *testing.T) {
	w := newWorld(t)
	link := w.link(site, "snsapi_base", "s")
	openidOf := func(a answer) string { return fmt.Sprint(w.exchange(a.back(t).Get("code")).json(t)["openid"]) }
	alice, _ := w.account("alice", w.official.AppID)
	bob, _ := w.account("bob", w.official.AppID)

	chooser := w.get(link)
	chooser.page(t, "chooser")
	if got := chooser.attributes("button", "data-person"); strings.Join(got, " ") != "alice bob sunny nora wei guest" {
		t.Errorf("chooser offers %q", got)
	}
	if got := openidOf(w.do("GET", link, "", map[string]string{"Cookie": "simulator_person=alice"})); got != alice {
		t.Error("the cookie does not name the person")
	}
	if got := openidOf(w.as("bob", link, "Cookie", "simulator_person=alice")); got != bob {
		t.Error("the header does not win over the cookie")
	}
	w.as(strings.Repeat("x", 65), link).errorPage(t, 0, "X-Simulator-Person")
	w.as("bob", link, "X-Simulator-Consent", "perhaps").errorPage(t, 0, "X-Simulator-Consent")

	t.Run("the chooser's form sets the cookie and reopens the link", func(t *testing.T) {
		query := chooser.attributes(`input type="hidden" name="query"`, "value")[0]
		for form, want := range map[string]string{"person=bob": "bob", "other=" + url.QueryEscape("小明 1"): "小明 1"} {
			a := w.do("POST", "/connect/oauth2/person", form+"&query="+url.QueryEscape(query),
				map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
			if a.status != http.StatusSeeOther || a.header.Get("Location") != link {
				t.Fatalf("%d %v", a.status, a.header)
			}
			cookie := strings.Split(a.header.Get("Set-Cookie"), ";")[0]
			openid, _ := w.account(want, w.official.AppID)
			if got := openidOf(w.do("GET", link, "", map[string]string{"Cookie": cookie})); got != openid {
				t.Errorf("cookie %q logs in %s", cookie, got)
			}
		}
	})
}

func TestControlRoutesRefuseBadInput(t *testing.T) {
	w := newWorld(t)
	official := w.official.AppID
	cases := []struct{ method, path, body, want string }{
		{"POST", "js-code", ``, "got nothing"},
		{"POST", "js-code", `{`, "body"},
		{"POST", "js-code", `[]`, "body"},
		{"POST", "js-code", `{"person":"bob","appid":"wx0"}`, `appid "wx0" is not configured`},
		{"POST", "js-code", `{"person":"bob","appid":"` + official + `"}`, "is a official_account, not a mini_program"},
		{"POST", "js-code", `{"person":"","appid":"` + w.mini.AppID + `"}`, "person"},
		{"POST", "js-code", `{"person":"bob","appid":"` + w.mini.AppID + `","x":1}`, "x"},
		{"POST", "js-code", `{"person":"bob","appid":"` + w.mini.AppID + `"} {}`, "more than one"},
		{"POST", "js-code", `{"person":"` + strings.Repeat("x", 70000) + `"}`, "body"},
		{"POST", "clock", `{"advance":"soon"}`, "advance"},
		{"POST", "clock", `{"advance":"-1h"}`, "advance"},
		{"POST", "clock", `{"advance":"0s"}`, "advance"},
		{"POST", "clock", `{"advance":5}`, "body"},
		{"PUT", "switches", `{}`, "no switch"},
		{"PUT", "switches", `{"refusal":"maybe"}`, "nothing, state-only, authdeny"},
		{"PUT", "switches", `{"refusal":"authdeny","nonsense":"x"}`, `unknown switch "nonsense"`},
		{"PUT", "switches", `{"refusal":1}`, "body"},
		{"PUT", "faults", `{}`, "path is missing"},
		{"PUT", "faults", `{"path":"/sns/userinfo"}`, "want one of errcode, mode and latency_ms"},
		{"PUT", "faults", `{"path":"/sns/nothing","errcode":-1}`, "want one of /connect/oauth2/authorize"},
		{"PUT", "faults", `{"path":"/sns/userinfo","mode":"explode"}`, "malformed"},
		{"PUT", "faults", `{"path":"/sns/userinfo","mode":"two_codes"}`, "two_codes"},
		{"PUT", "faults", `{"path":"/sns/userinfo","mode":"reset","errcode":-1}`, "exclude"},
		{"PUT", "faults", `{"path":"/sns/userinfo","errcode":-1,"times":-1}`, "times"},
		{"PUT", "faults", `{"path":"/sns/userinfo","latency_ms":-5}`, "latency_ms"},
		{"PUT", "faults", `{"path":"/sns/userinfo","latency_ms":999999999}`, "latency_ms"},
		{"PUT", "faults", `{"path":"/sns/userinfo","errcode":"-1"}`, "body"},
	}
	for _, c := range cases {
		a := w.do(c.method, "/_simulator/"+c.path, c.body, nil)
		if text := fmt.Sprint(a.json(t)["error"]); a.status != http.StatusBadRequest || !strings.Contains(text, c.want) {
			t.Errorf("%s %s %.80s: %d %q, want 400 with %q", c.method, c.path, c.body, a.status, text, c.want)
		}
	}
	if a := w.do("PUT", "/_simulator/switches", `{"refusal":"authdeny"}`, map[string]string{"Sec-Fetch-Site": "cross-site"}); a.status != http.StatusForbidden {
		t.Errorf("a page of another site changed a switch: %d", a.status)
	}
	if a := w.get("/_simulator/faults"); a.body != "{\"faults\":[]}\n" {
		t.Errorf("bad input left faults: %s", a.body)
	}
	for _, sw := range w.switches() {
		if sw.Choice != sw.Choices[0] {
			t.Errorf("bad input set %s to %s", sw.Name, sw.Choice)
		}
	}
}

func (w *world) switches() []simulator.Switch {
	var reply struct{ Switches []simulator.Switch }
	if err := json.Unmarshal([]byte(w.get("/_simulator/switches").body), &reply); err != nil {
		w.t.Fatal(err)
	}
	return reply.Switches
}

func TestSwitchesAreListedAndSet(t *testing.T) {
	w := newWorld(t, func(c *simulator.Config) { c.Switches = map[string]string{"refusal": "state-only"} })
	if a := w.control("PUT", "switches", map[string]string{"expired-code": "42003"}); a.status != http.StatusNoContent {
		t.Errorf("PUT: %d", a.status)
	}
	chosen := map[string]string{}
	for _, sw := range w.switches() {
		if sw.About == "" || len(sw.Choices) < 2 {
			t.Errorf("switch %+v", sw)
		}
		chosen[sw.Name] = sw.Choice
	}
	if chosen["refusal"] != "state-only" || chosen["expired-code"] != "42003" || chosen["check-order"] != "appid-first" {
		t.Errorf("chosen %v", chosen)
	}
	if _, err := simulator.New(simulator.Config{Apps: simulator.DevApps("x"), Switches: map[string]string{"refusal": "no"}}); err == nil ||
		!strings.Contains(err.Error(), "refusal") {
		t.Errorf("New took a bad switch: %v", err)
	}
}

func TestFaultsReplaceAndRunOut(t *testing.T) {
	w := newWorld(t)
	w.fault(map[string]any{"path": "/sns/auth", "errcode": -1, "times": 5})
	w.fault(map[string]any{"path": "/sns/auth", "errcode": 45011, "times": 2})
	w.fault(map[string]any{"path": "/sns/userinfo", "errcode": -1, "times": 0})
	var list struct{ Faults []simulator.Fault }
	if err := json.Unmarshal([]byte(w.get("/_simulator/faults").body), &list); err != nil || len(list.Faults) != 2 {
		t.Fatalf("faults %+v, %v", list, err)
	}
	w.get("/sns/auth").errcode(t, 45011)
	w.get("/sns/userinfo").errcode(t, -1)
	w.get("/sns/auth").errcode(t, 45011)
	w.get("/sns/auth").errcode(t, 41001)
	w.get("/sns/userinfo").errcode(t, -1)
}

func TestFaultsOnTheAuthorizePageAreItsErrorPages(t *testing.T) {
	w := newWorld(t)
	for code, text := range map[int]string{10004: "此公众号被封禁", 10006: "必须关注此测试号", 10009: "操作太频繁了", 10015: "公众号未授权第三方平台", -1: "系统错误"} {
		w.fault(map[string]any{"path": "/connect/oauth2/authorize", "errcode": code})
		w.as("bob", w.link(site, "snsapi_base", "s")).errorPage(t, code, text)
	}
	w.as("bob", w.link(site, "snsapi_base", "s")).back(t)
}

func TestALateAnswerNobodyWaitsForSpendsNothing(t *testing.T) {
	w := newWorld(t)
	w.fault(map[string]any{"path": "/sns/oauth2/access_token", "latency_ms": 60000})
	code := w.granted("bob", "snsapi_base")
	client := &http.Client{Timeout: 50 * time.Millisecond}
	if _, err := client.Get(w.url + w.exchangePath(code)); err == nil {
		t.Fatal("answered at once")
	}
	if w.exchange(code).json(t)["openid"] == nil {
		t.Error("the code was spent although nobody waited")
	}
}

func TestCallsCountEveryPathOfWeChat(t *testing.T) {
	w := newWorld(t)
	w.get("/sns/auth")
	w.fault(map[string]any{"path": "/sns/auth", "mode": "html502"})
	w.get("/sns/auth")
	w.granted("bob", "snsapi_base")
	w.session("x")
	var counts map[string]int
	if err := json.Unmarshal([]byte(w.get("/_simulator/calls").body), &counts); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{
		"/connect/oauth2/authorize": 1, "/sns/auth": 2, "/sns/jscode2session": 1,
		"/sns/oauth2/access_token": 0, "/sns/oauth2/refresh_token": 0, "/sns/userinfo": 0,
		"/cgi-bin/token": 0, "/cgi-bin/stable_token": 0, "/cgi-bin/user/info": 0, "/cgi-bin/user/info/batchget": 0,
		"/cgi-bin/user/get": 0, "/cgi-bin/getcallbackip": 0,
		"/cgi-bin/menu/create": 0, "/cgi-bin/menu/get": 0, "/cgi-bin/menu/delete": 0, "/cgi-bin/get_current_selfmenu_info": 0,
		"/cgi-bin/ticket/getticket": 0, "/cgi-bin/qrcode/create": 0, "/cgi-bin/showqrcode": 0, "/connect/qrconnect": 0,
		"/wxa/business/getuserphonenumber": 0, "/wxa/checksession": 0, "/wxa/resetusersessionkey": 0, "/wxa/msg_sec_check": 0,
	}
	maps.DeleteFunc(counts, func(path string, _ int) bool { // WeCom's have a test of their own
		return strings.HasPrefix(path, "/qyapi/") || strings.HasPrefix(path, "/ww")
	})
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Error(diff)
	}
}

func TestTheClockMovesOnAlone(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	w := newWorld(t, func(c *simulator.Config) { c.Now = func() time.Time { return start } })
	w.advance("6m")
	w.advance("1h")
	if got := w.get("/_simulator/clock").json(t)["now"]; got != "2026-11-21T13:06:00Z" {
		t.Errorf("now %v", got)
	}
	rid := w.exchange("x").errcode(t, 40029)
	if want := fmt.Sprintf("rid: %08x-", start.Add(66*time.Minute).Unix()); !strings.Contains(rid, want) {
		t.Errorf("%q, want %s", rid, want)
	}
}

func TestGoHelpersGiveWorkingCodes(t *testing.T) {
	w := newWorld(t)
	js, err := w.sim.JSCode(w.mini.AppID, "bob")
	if err != nil || w.session(js).json(t)["openid"] == nil {
		t.Errorf("js_code %v", err)
	}
	code, err := w.sim.OAuthCode(w.official.AppID, "bob", "snsapi_userinfo")
	if err != nil || w.exchange(code).json(t)["unionid"] == nil {
		t.Errorf("code %v", err)
	}
	for _, bad := range [][3]string{
		{w.mini.AppID, "bob", "snsapi_base"}, {w.official.AppID, "", "snsapi_base"}, {w.official.AppID, "bob", "snsapi_login"},
	} {
		if _, err := w.sim.OAuthCode(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("OAuthCode%q succeeded", bad)
		}
	}
}

func TestMemoryIsBoundedByForgettingTheOldestCodes(t *testing.T) {
	w := newWorld(t)
	first, err := w.sim.JSCode(w.mini.AppID, "first")
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for range 1 << 17 {
		if last, err = w.sim.JSCode(w.mini.AppID, "crowd"); err != nil {
			t.Fatal(err)
		}
	}
	w.session(first).errcode(t, 40029)
	if w.session(last).json(t)["openid"] == nil {
		t.Error("the newest code is forgotten")
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	mini := simulator.App{Provider: "mini_program", AppID: "wx1", Secret: "s"}
	for want, c := range map[string]simulator.Config{
		"no app configured": {},
		"appears twice":     {Apps: []simulator.App{mini, mini}},
		"provider \"x\"":    {Apps: []simulator.App{{Provider: "x", AppID: "wx1", Secret: "s"}}},
		"public URL":        {Apps: []simulator.App{mini}, PublicURL: "http://a b"},
	} {
		if _, err := simulator.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func BenchmarkMiniProgramLogin(b *testing.B) {
	apps := simulator.DevApps("127.0.0.1")
	sim, err := simulator.New(simulator.Config{Apps: apps})
	if err != nil {
		b.Fatal(err)
	}
	query := "/sns/jscode2session?grant_type=authorization_code&appid=" + apps[1].AppID + "&secret=" + apps[1].Secret + "&js_code="
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		code, err := sim.JSCode(apps[1].AppID, fmt.Sprint("crowd-", i))
		if err != nil {
			b.Fatal(err)
		}
		r, _ := http.NewRequest("GET", query+code, nil)
		w := &discard{header: http.Header{}}
		sim.ServeHTTP(w, r)
		if w.n < 100 {
			b.Fatal("no session")
		}
	}
}

type discard struct {
	header http.Header
	n      int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { d.n += len(p); return len(p), nil }
