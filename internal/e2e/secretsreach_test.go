package e2e

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"wxbridge/wechat/simulator"
)

const (
	wecomAgent   = wechatAgent + " wxwork/4.1.30 Language/zh"
	desktopAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
)

// What WeCom, scans, phone buttons, tickets and signed pages bring stays inside, also where the upstream fails.
func TestWX01_WX03_LOG01_SecretsOfMembersScansAndPagesStayInside(t *testing.T) {
	rec := &recorder{values: map[string]map[string]bool{}}
	data, corp, official := t.TempDir(), corpOf(t), devOfficial(t)
	p := startServe(t, rec.front, append(wecomEnv(corp), "WXBRIDGE_DATABASE=sqlite://"+filepath.Join(data, "w.db"),
		"WXBRIDGE_DESKTOP_LOGIN=scan", "WXBRIDGE_OFFICIAL_TOKEN="+official.Token, "WXBRIDGE_OFFICIAL_ENCODING_AES_KEY="+official.EncodingAESKey)...)
	spy := new(transcript)
	p.http.Transport = spy
	driveMembers(t, p, rec, corp)
	driveScan(t, p, rec)
	driveMiniProgramData(t, p, rec)
	for _, query := range []string{"", "&app=" + corp.AppID, "&agent=1"} {
		if h := p.phone("bob").once(t, "/jssdk/config?url="+url.QueryEscape(p.bridge+"/?code=kept#x")+query); h.status != http.StatusOK {
			t.Errorf("%v: %s", h, h.body)
		}
	}
	p.end()

	secrets := map[string][]string{"app secret": {p.official.Secret, p.mini.Secret, corp.Secret, corp.EncodingAESKey, p.official.EncodingAESKey}}
	for _, field := range []string{"corpsecret", "code", "js_code", "access_token", "session_key", "ticket", "user_ticket", "webview_ticket", "phone", "scan"} {
		if len(rec.values[field]) == 0 {
			t.Fatalf("no %s passed by; this test shows nothing", field)
		}
		for v := range rec.values[field] {
			secrets[field] = append(secrets[field], v, url.QueryEscape(v))
		}
	}
	log := p.log.String()
	for kind, values := range secrets {
		refuse(t, log, kind, values)
	}
	for v := range rec.values["openid"] {
		refuse(t, log, "openid", []string{v})
	}
	checkLogLines(t, log)
	for _, kind := range []string{"app secret", "corpsecret", "access_token", "session_key", "ticket", "user_ticket", "js_code"} {
		refuse(t, spy.all.String(), kind, secrets[kind])
	}
	delete(secrets, "phone") // is stored, and for that
	delete(secrets, "scan")  // names a scan, and grants nothing
	for _, content := range contentsOf(t, data) {
		for kind, values := range secrets {
			refuse(t, content, kind+" in the database", values)
		}
	}
}

func wecomEnv(corp simulator.App) []string {
	return []string{"WXBRIDGE_WECOM_CORP_ID=" + corp.AppID, "WXBRIDGE_WECOM_AGENT_ID=" + strconv.Itoa(corp.AgentID),
		"WXBRIDGE_WECOM_SECRET=" + corp.Secret, "WXBRIDGE_WECOM_TOKEN=" + corp.Token,
		"WXBRIDGE_WECOM_ENCODING_AES_KEY=" + corp.EncodingAESKey, "WXBRIDGE_WECOM_PRIVATE=true", "WXBRIDGE_WECOM_GUESTS=true"}
}

// devOfficial is the account of the simulator's dev set, before it is started.
func devOfficial(t *testing.T) simulator.App {
	t.Helper()
	p := new(product)
	p.findApps(t, "http://127.0.0.1:1")
	return p.official
}

// driveMembers goes the ways of WeCom, the good and the bad.
func driveMembers(t *testing.T, p *product, rec *recorder, corp simulator.App) {
	t.Helper()
	open := func(person, agent string) {
		ph := p.phone(person)
		ph.header.Set("User-Agent", agent)
		for _, h := range ph.open(t, "/login/wecom?return_to=/%3Ftoken=kept") {
			if code := h.next().Query().Get("code"); len(code) > 20 {
				rec.keep("code", code)
			}
		}
		ph.once(t, "/me")
	}
	mini := func(person string) {
		var js struct{ Code string }
		p.control(t, http.MethodPost, "/_simulator/js-code", map[string]string{"person": person, "appid": corp.AppID}, &js)
		rec.keep("js_code", js.Code)
		for range 2 {
			p.api(t, http.MethodPost, miniLogin, "", `{"code":"`+js.Code+`","app":"`+corp.AppID+`"}`)
		}
	}
	for _, person := range []string{"wei", "dai", "guest", "ke", "lian", "nora"} {
		open(person, wecomAgent)
		open(person, desktopAgent)
	}
	mini("wei")
	for _, path := range []string{"auth/getuserinfo", "user/get", "auth/getuserdetail", "miniprogram/jscode2session"} {
		for _, f := range []fault{{ErrCode: 40029}, {ErrCode: 60020}, {ErrCode: 60011}, {ErrCode: -1}, {ErrCode: 99999}, {Mode: "malformed"},
			{Mode: "truncated"}, {Mode: "reset"}, {Mode: "html502"}} {
			f.Path = "/qyapi/cgi-bin/" + path
			p.fault(t, f.always())
			open("wei", wecomAgent)
			mini("wei")
			p.clearFaults(t)
		}
	}
}

// driveScan logs a computer in by a phone.
func driveScan(t *testing.T, p *product, rec *recorder) {
	t.Helper()
	ph, desk := p.phone("alice"), p.phone("nobody")
	ph.login(t)
	desk.header.Set("User-Agent", desktopAgent)
	page := desk.open(t, "/login?return_to=/").last()
	handle := scanHandle.FindStringSubmatch(string(page.body))
	says := rec.only(t, "url")
	if handle == nil {
		t.Fatalf("no code: %v", page)
	}
	link := p.scan(t, "alice", says).link(t)
	question := ph.open(t, link).last()
	form := url.Values{"answer": {"confirm"}}
	for _, field := range regexp.MustCompile(`<input type="hidden" name="([a-z_]+)" value="([^"]*)">`).FindAllStringSubmatch(string(question.body), -1) {
		form.Set(field[1], html.UnescapeString(field[2]))
	}
	rec.keep("scan", form.Get("scan"))
	ph.do(t, http.MethodPost, "/login/scan/confirm", http.Header{"Content-Type": {"application/x-www-form-urlencoded"},
		"Sec-Fetch-Site": {"same-origin"}}, form.Encode())
	h := desk.do(t, http.MethodPost, "/login/scan/finish", http.Header{"Content-Type": {"application/json"}, "Sec-Fetch-Site": {"same-origin"}},
		`{"scan":"`+handle[1]+`"}`)
	if h.status != http.StatusOK || !h.grants() {
		t.Fatalf("%v: %s", h, h.body)
	}
}

// only is the one value that a field had.
func (r *recorder) only(t *testing.T, field string) string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.values[field]) != 1 {
		t.Fatalf("%d values of %s", len(r.values[field]), field)
	}
	for v := range r.values[field] {
		return v
	}
	return ""
}

// driveMiniProgramData sends phone codes, encrypted data and tickets, the good and the bad.
func driveMiniProgramData(t *testing.T, p *product, rec *recorder) {
	t.Helper()
	token := p.miniToken(t, "alice")
	code := p.phoneCode(t, "alice")
	rec.keep("code", code)
	var number struct {
		Number string `json:"phone_number"`
	}
	for n := range 2 {
		h := p.api(t, http.MethodPost, miniPhone, token, `{"code":"`+code+`"}`)
		if n == 0 && (json.Unmarshal(h.body, &number) != nil || number.Number == "") {
			t.Fatalf("%v: %s", h, h.body)
		}
	}
	rec.keep("phone", number.Number)
	p.api(t, http.MethodPost, miniProfile, token, p.userInfo(t, "alice"))
	p.jsCode(t, "alice") // a login that the bridge does not see
	p.api(t, http.MethodPost, miniProfile, token, p.userInfo(t, "alice"))
	for _, f := range []fault{{ErrCode: 40029}, {ErrCode: 40013}, {ErrCode: 48001}, {Mode: "malformed"}, {Mode: "reset"}} {
		f.Path = "/wxa/business/getuserphonenumber"
		p.fault(t, f.always())
		code := p.phoneCode(t, "alice")
		rec.keep("code", code)
		p.api(t, http.MethodPost, miniPhone, token, `{"code":"`+code+`"}`)
		p.clearFaults(t)
	}
	ticket := p.ticket(t, token)
	rec.keep("webview_ticket", ticket)
	ph := p.phone("alice")
	ph.header.Set("User-Agent", webViewAgent)
	ph.open(t, loginTicket+"?ticket="+url.QueryEscape(ticket))
	for range 2 {
		if _, err := p.tapTicket(ticket, "/"); err != nil {
			t.Fatal(err)
		}
	}
	ph.open(t, loginTicket+"?ticket="+strings.Repeat("x", 40))
}
