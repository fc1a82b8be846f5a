package handlers_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
)

const firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"

// direct makes the accounts take no pushes, and computers scan all the same: the code is the address of the question.
func direct(c *handlers.Config) { c.DesktopLogin = handlers.DesktopScan }

// computer is a browser that is not WeChat's, held by nobody.
func (b *bridge) computer() *browser {
	w := b.browser("")
	address, err := url.Parse(b.url)
	must(b.t, err)
	w.jar.SetCookies(address, []*http.Cookie{{Name: "simulator_browser", Value: "desktop"}})
	w.agent = firefox
	return w
}

// scanning is a page with a code.
type scanning struct {
	*browser
	page   page
	handle string
	scan   db.Scan
}

var scanHandle = regexp.MustCompile(`data-scan="([A-Z2-7]{8})"`)

// startScan opens the page with the code.
func (w *browser) startScan(query string) *scanning {
	w.t.Helper()
	s := &scanning{browser: w, page: w.visit("/login?" + query)}
	found := scanHandle.FindStringSubmatch(s.page.body)
	if s.page.StatusCode != http.StatusOK || found == nil {
		w.t.Fatalf("%s shows no code: %d %s", s.page.Request.URL, s.page.StatusCode, s.page.body)
	}
	s.handle = found[1]
	s.scan = w.onlyScan(s.handle)
	return s
}

// onlyScan reads the scan with a handle from the store, where a test may look and a person may not.
func (b *bridge) onlyScan(handle string) db.Scan {
	b.t.Helper()
	var found []db.Scan
	for _, id := range b.scanIDs() {
		if scan, err := b.store.Scan(context.Background(), id); err == nil && strings.HasPrefix(id, handle) {
			found = append(found, scan)
		}
	}
	if len(found) != 1 {
		b.t.Fatalf("%d scans for the handle %s", len(found), handle)
	}
	return found[0]
}

// scanIDs are the ids of all scans in the store's file.
func (b *bridge) scanIDs() []string {
	b.t.Helper()
	file, err := sql.Open("sqlite3", "file:"+b.path+"?mode=ro")
	must(b.t, err)
	defer file.Close()
	rows, err := file.Query("SELECT id FROM scans")
	must(b.t, err)
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		must(b.t, rows.Scan(&id))
		ids = append(ids, id)
	}
	must(b.t, rows.Err())
	return ids
}

// state is that of the scan, as the store has it.
func (s *scanning) state() db.ScanState {
	s.t.Helper()
	scan, err := s.store.Scan(context.Background(), s.scan.ID)
	must(s.t, err)
	return scan.State
}

// finish is what the page does once the scan is confirmed.
func (s *scanning) finish(header ...string) page {
	s.t.Helper()
	return s.browser.finishScan(s.handle, header...)
}

func (w *browser) finishScan(handle string, header ...string) page {
	w.t.Helper()
	if len(header) == 0 {
		header = []string{"Origin", w.public}
	}
	return w.do("POST", "/login/scan/finish", fmt.Sprintf(`{"scan":%q}`, handle), append(header, "Content-Type", "application/json")...)
}

// question opens the page on the phone that asks about a scan, over the phone's own login.
func (w *browser) question(scan db.Scan) page {
	w.t.Helper()
	return w.visit("/login/scan/confirm?scan=" + scan.Code)
}

// answer taps a button of that page.
func (w *browser) answer(p page, answer string, header ...string) page {
	w.t.Helper()
	form := url.Values{"answer": {answer}}
	for _, field := range regexp.MustCompile(`<input type="hidden" name="([a-z_]+)" value="([^"]*)">`).FindAllStringSubmatch(p.body, -1) {
		form.Set(field[1], html.UnescapeString(field[2]))
	}
	if len(header) == 0 {
		header = []string{"Origin", w.public}
	}
	return w.do("POST", "/login/scan/confirm", form.Encode(), append(header, "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html")...)
}

func (p page) asks() bool { return strings.Contains(p.body, `id="confirm"`) }

// events reads the stream of a scan until it ends.
func (s *scanning) events() *eventReader {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, "GET", s.url+"/login/scan/events?scan="+s.handle, nil)
	must(s.t, err)
	response, err := s.client.Do(request)
	must(s.t, err)
	r := &eventReader{t: s.t, response: response, lines: make(chan string, 100), drop: cancel}
	s.t.Cleanup(r.drop)
	go func() {
		defer close(r.lines)
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			r.lines <- lines.Text()
		}
	}()
	return r
}

type eventReader struct {
	t        testing.TB
	response *http.Response
	lines    chan string
	drop     context.CancelFunc
}

// next is the next state that the stream tells, "" at its end.
func (r *eventReader) next() string {
	r.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case line, open := <-r.lines:
			if state, ok := strings.CutPrefix(line, "data: "); ok || !open {
				return state
			}
		case <-deadline:
			r.t.Fatal("the stream says nothing")
		}
	}
}

func (r *eventReader) want(states ...string) {
	r.t.Helper()
	for _, state := range states {
		if got := r.next(); got != state {
			r.t.Fatalf("the stream says %q, want %q", got, state)
		}
	}
}

func TestScanLogsTheComputerInOnceThePhoneAgrees(t *testing.T) {
	b := newBridge(t, direct)
	phone, computer := b.browser("bob"), b.computer()
	phone.register()
	desk := computer.startScan("return_to=https%3A%2F%2Fh5.example.com%2Fcart%3Fa%3D1")
	stream := desk.events()
	stream.want("waiting")

	p := phone.question(desk.scan)
	stream.want("scanned")
	fan, err := b.store.Fan(t.Context(), phone.mustClaims().Subject)
	must(t, err)
	for _, shown := range []string{"Firefox · Windows", "127.0.0.1", desk.scan.CreatedAt.Format(time.RFC3339), fan.Nickname} {
		if !strings.Contains(p.body, shown) {
			t.Errorf("the question does not show %q", shown)
		}
	}
	if got := desk.finish(); got.StatusCode != http.StatusBadRequest || got.errorOf(t).Error != "invalid_grant" {
		t.Errorf("logged in before the tap: %d %s", got.StatusCode, got.body)
	}
	if p := phone.answer(p, "confirm"); p.StatusCode != http.StatusOK {
		t.Fatalf("confirm: %d %s", p.StatusCode, p.body)
	}
	stream.want("confirmed", "")

	if n := strings.Count(b.log.String(), `"event":"scan.confirmed"`); n != 1 {
		t.Errorf("LOG-03 %d lines tell of the tap", n)
	}
	logins := strings.Count(b.log.String(), `"event":"login.ok"`)
	answer := desk.finish()
	var to struct{ Location string }
	if err := json.Unmarshal([]byte(answer.body), &to); err != nil || to.Location != "https://h5.example.com/cart?a=1" {
		t.Fatalf("finish: %d %s", answer.StatusCode, answer.body)
	}
	if answer.Header.Get("Cache-Control") != "no-store" { // TOK-14
		t.Error("the answer may be stored")
	}
	own, other := phone.mustClaims(), computer.mustClaims()
	if own.Subject != other.Subject || own.OpenID != other.OpenID || other.Provider != db.ProviderOfficialAccount {
		t.Errorf("the phone is %+v, the computer %+v", own, other)
	}
	if own.SessionID == other.SessionID || own.ID == other.ID {
		t.Error("FLW-10 the computer has the phone's own session")
	}
	if again := computer.visit("/login?return_to=/x"); again.Request.URL.Path != "/x" {
		t.Errorf("who is logged in is asked again at %s", again.Request.URL)
	}
	if n := strings.Count(b.log.String(), `"event":"login.ok"`); n != logins+1 {
		t.Errorf("LOG-03 %d lines tell of the computer's login", n-logins)
	}
}

// A code that is photographed or relayed logs nobody in without a tap, and with it nobody but the browser that was named.
func TestScanRelayedLogsInOnlyTheBrowserThatIsNamed(t *testing.T) {
	b := newBridge(t, direct)
	attacker, victim := b.computer().startScan(""), b.browser("bob")
	victim.register()
	stranger := b.computer()
	others := b.computer().startScan("")

	p := victim.question(attacker.scan)
	for range 5 {
		attacker.finish()
		stranger.finishScan(attacker.handle)
		others.finish()
	}
	for name, w := range map[string]*browser{"the attacker": attacker.browser, "a stranger": stranger, "another page": others.browser} {
		if _, ok := w.claims(); ok {
			t.Errorf("%s is logged in without a tap", name)
		}
	}
	victim.answer(p, "confirm")
	stranger.finishScan(attacker.handle)
	others.browser.finishScan(attacker.handle)
	others.finish()
	for name, w := range map[string]*browser{"a stranger": stranger, "another page": others.browser} {
		if _, ok := w.claims(); ok {
			t.Errorf("FLW-02 %s is logged in", name)
		}
	}
	attacker.finish()
	if attacker.mustClaims().Subject != victim.mustClaims().Subject {
		t.Error("the browser that was named is not logged in as who tapped")
	}
}

func TestScanDeclined(t *testing.T) {
	b := newBridge(t, direct)
	phone, desk := b.browser("bob"), b.computer().startScan("")
	phone.register()
	stream := desk.events()
	stream.want("waiting")
	p := phone.question(desk.scan)
	stream.want("scanned")
	if p := phone.answer(p, "decline"); p.StatusCode != http.StatusOK {
		t.Errorf("decline: %d", p.StatusCode)
	}
	stream.want("declined", "")
	if n := strings.Count(b.log.String(), `"event":"scan.declined"`); n != 1 {
		t.Errorf("LOG-03 %d lines tell of the refusal", n)
	}
	if again := phone.answer(p, "confirm"); again.StatusCode != http.StatusOK || desk.state() != db.ScanDeclined {
		t.Errorf("confirmed after that: %d, %s", again.StatusCode, desk.state())
	}
	desk.finish()
	if _, ok := desk.claims(); ok {
		t.Error("a declined scan logs in")
	}
	if next := desk.startScan(""); next.scan.ID == desk.scan.ID {
		t.Error("the same code is shown again")
	}
}

// Whoever scans first has the code, and a stranger learns nothing from it.
func TestScanBelongsToTheFirstWhoScans(t *testing.T) {
	b := newBridge(t, direct)
	first, second, desk := b.browser("bob"), b.browser("alice"), b.computer().startScan("")
	first.register()
	second.register()
	p := first.question(desk.scan)
	taken := second.question(desk.scan)
	if taken.asks() || taken.StatusCode != http.StatusBadRequest || strings.Contains(taken.body, "Firefox") {
		t.Errorf("the second is asked: %d %s", taken.StatusCode, taken.body)
	}
	second.answer(p, "confirm") // with the form of the first
	second.answer(p, "decline")
	if desk.state() != db.ScanScanned {
		t.Errorf("the second has answered: %s", desk.state())
	}
	first.answer(p, "confirm")
	desk.finish()
	if desk.mustClaims().Subject != first.mustClaims().Subject {
		t.Error("the computer is not the first's")
	}
}

func TestScanIsSpentOnce(t *testing.T) {
	b := newBridge(t, direct)
	phone, desk := b.browser("bob"), b.computer().startScan("")
	phone.register()
	phone.answer(phone.question(desk.scan), "confirm")
	cookies := desk.cookieHeader()
	var all sync.WaitGroup
	var mu sync.Mutex
	ok := 0
	for range 20 {
		all.Go(func() {
			request, _ := http.NewRequest("POST", b.url+"/login/scan/finish", strings.NewReader(fmt.Sprintf(`{"scan":%q}`, desk.handle)))
			request.Header = http.Header{"Content-Type": {"application/json"}, "Origin": {b.public}, "Cookie": {cookies}}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			if response.StatusCode == http.StatusOK {
				ok++
			} else if response.StatusCode != http.StatusBadRequest || len(response.Header["Set-Cookie"]) > 0 {
				t.Errorf("%d, %q", response.StatusCode, response.Header["Set-Cookie"])
			}
		})
	}
	all.Wait()
	if ok != 1 {
		t.Errorf("%d of 20 were logged in", ok)
	}
	if p := phone.question(desk.scan); p.asks() {
		t.Error("the phone is asked about a scan that is spent")
	}
}

func (w *browser) cookieHeader() string {
	address, err := url.Parse(w.url)
	must(w.t, err)
	var all []string
	for _, cookie := range w.jar.Cookies(address) {
		all = append(all, cookie.Name+"="+cookie.Value)
	}
	return strings.Join(all, "; ")
}

func TestScanExpires(t *testing.T) {
	b := newBridge(t, direct)
	phone, desk := b.browser("bob"), b.computer().startScan("")
	phone.register()
	late := b.computer().startScan("")
	p := phone.question(late.scan)
	b.clock.Advance(3*time.Minute + time.Second)
	if p := phone.question(desk.scan); p.asks() || p.StatusCode != http.StatusBadRequest {
		t.Errorf("a stale code asks: %d", p.StatusCode)
	}
	if p := phone.answer(p, "confirm"); p.StatusCode != http.StatusBadRequest {
		t.Errorf("a stale answer: %d", p.StatusCode)
	}
	desk.events().want("expired", "")
	if got := desk.finish(); got.StatusCode != http.StatusBadRequest {
		t.Errorf("finish: %d", got.StatusCode)
	}
	if next := desk.startScan(""); next.scan.ID == desk.scan.ID {
		t.Error("the stale code is shown again")
	}
}

// From the scan on, there is time enough to register and to answer.
func TestScanWaitsForWhoScannedAtTheLastMoment(t *testing.T) {
	b := newBridge(t, direct)
	phone, desk := b.browser("bob"), b.computer().startScan("")
	phone.register()
	b.clock.Advance(3*time.Minute - time.Second)
	p := phone.question(desk.scan)
	b.clock.Advance(2*time.Minute - 2*time.Second)
	if p := phone.answer(p, "confirm"); p.StatusCode != http.StatusOK {
		t.Errorf("confirm: %d", p.StatusCode)
	}
	if desk.finish(); desk.mustClaims().Subject != phone.mustClaims().Subject {
		t.Error("not logged in")
	}
}

// A stranger registers on the phone, and comes back to the question.
func TestScanByAStranger(t *testing.T) {
	b := newBridge(t, direct)
	phone, desk := b.browser(stranger()), b.computer().startScan("")
	if p := phone.question(desk.scan); p.Request.URL.Path != "/login/register" {
		t.Fatalf("a stranger sees %s", p.Request.URL)
	}
	if desk.state() != db.ScanWaiting {
		t.Error("somebody has the scan who is not known yet")
	}
	link := regexp.MustCompile(`id="register" [^>]*href="([^"]+)"`).FindStringSubmatch(phone.visit("/login/register").body)
	if link == nil {
		t.Fatal("no register link")
	}
	p := phone.visit(html.UnescapeString(link[1]))
	if !p.asks() {
		t.Fatalf("after registering: %s %s", p.Request.URL, p.body)
	}
	phone.answer(p, "confirm")
	if desk.finish(); desk.mustClaims().Subject != phone.mustClaims().Subject {
		t.Error("not logged in")
	}
}

func TestScanByWhoMayNotLogIn(t *testing.T) {
	b := newBridge(t, direct)
	block := func(w *browser) {
		_, err := b.store.SetAccess(context.Background(), w.mustClaims().Subject, db.Access{Status: db.StatusBlocked}, b.clock.Now().Add(time.Hour))
		must(t, err)
	}
	t.Run("a snapshot user sees what to tap (WX-06)", func(t *testing.T) {
		desk := b.computer().startScan("")
		phone := b.browser("sunny")
		phone.question(desk.scan)
		if p := phone.visit("/login/official-account?scope=userinfo&return_to=/login/scan/confirm%3Fscan=" + desk.scan.Code); p.StatusCode != http.StatusForbidden || p.Request.URL.Path != "/login/snapshot" {
			t.Errorf("%d at %s", p.StatusCode, p.Request.URL)
		}
		if desk.state() != db.ScanWaiting {
			t.Error("a snapshot user has the scan")
		}
	})
	t.Run("a blocked fan", func(t *testing.T) {
		phone, desk := b.browser("blocked"), b.computer().startScan("")
		phone.register()
		block(phone)
		if p := phone.question(desk.scan); p.StatusCode != http.StatusForbidden || p.asks() {
			t.Errorf("%d", p.StatusCode)
		}
	})
	t.Run("blocked between the tap and the login", func(t *testing.T) {
		phone, desk := b.browser("blocked-later"), b.computer().startScan("")
		phone.register()
		phone.answer(phone.question(desk.scan), "confirm")
		block(phone)
		if got := desk.finish(); got.StatusCode != http.StatusForbidden || got.errorOf(t).Error != "access_denied" {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
		if _, ok := desk.claims(); ok {
			t.Error("logged in")
		}
	})
	t.Run("LOG-04 erased between the tap and the login", func(t *testing.T) {
		phone, desk := b.browser("erased"), b.computer().startScan("")
		phone.register()
		phone.answer(phone.question(desk.scan), "confirm")
		if p := phone.do("DELETE", "/me", "", "Origin", b.public); p.StatusCode != http.StatusNoContent {
			t.Fatalf("erase: %d", p.StatusCode)
		}
		if got := desk.finish(); got.StatusCode != http.StatusBadRequest {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
	})
	t.Run("TOK-10 logged out everywhere between the tap and the login", func(t *testing.T) {
		phone, desk := b.browser("gone"), b.computer().startScan("")
		phone.register()
		phone.answer(phone.question(desk.scan), "confirm")
		if p := phone.do("POST", "/me/logout-everywhere", "", "Origin", b.public); p.StatusCode != http.StatusNoContent {
			t.Fatalf("log out: %d", p.StatusCode)
		}
		if got := desk.finish(); got.StatusCode != http.StatusBadRequest {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
	})
}

func TestWEB06_ScanAnswersComeFromOurPages(t *testing.T) {
	b := newBridge(t, direct)
	phone, desk := b.browser("bob"), b.computer().startScan("")
	phone.register()
	p := phone.question(desk.scan)
	for name, header := range map[string][]string{
		"another site":  {"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
		"a sub-domain":  {"Origin", "https://evil.example", "Sec-Fetch-Site", "same-site"},
		"nothing known": {"X-Nothing", "1"},
	} {
		stripped := page{body: regexp.MustCompile(`name="form_token" value="[^"]*"`).ReplaceAllString(p.body, `name="form_token" value="x"`)}
		if got := phone.answer(stripped, "confirm", header...); got.StatusCode != http.StatusForbidden || desk.state() != db.ScanScanned {
			t.Errorf("%s: %d, %s", name, got.StatusCode, desk.state())
		}
	}
	if got := phone.answer(p, "confirm", "X-Nothing", "1"); got.StatusCode != http.StatusOK {
		t.Errorf("an old browser with a form token: %d", got.StatusCode)
	}
	for name, header := range map[string][]string{
		"another site": {"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, "nothing known": {"X-Nothing", "1"},
	} {
		if got := desk.finish(header...); got.StatusCode != http.StatusForbidden || desk.state() != db.ScanConfirmed {
			t.Errorf("finish from %s: %d, %s", name, got.StatusCode, desk.state())
		}
	}
	if got := phone.get("/login/scan/finish"); got.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET finish: %d", got.StatusCode)
	}
}

func TestSRV07_MalformedScans(t *testing.T) {
	b := newBridge(t, direct)
	phone, desk := b.browser("bob"), b.computer().startScan("")
	phone.register()
	for _, code := range []string{"", "x", strings.Repeat("A", 26), strings.Repeat("A", 5000), "../../etc", "%00", "%ff", desk.scan.Code + "A", strings.ToLower(desk.scan.Code), desk.scan.ID} {
		if p := phone.visit("/login/scan/confirm?scan=" + code); p.StatusCode != http.StatusBadRequest || p.asks() {
			t.Errorf("confirm?scan=%.40s: %d", code, p.StatusCode)
		}
		if p := desk.get("/login/scan/events?scan=" + code); p.StatusCode != http.StatusBadRequest {
			t.Errorf("events?scan=%.40s: %d", code, p.StatusCode)
		}
		if p := desk.finishScan(code); p.StatusCode != http.StatusBadRequest {
			t.Errorf("finish of %.40s: %d", code, p.StatusCode)
		}
	}
	if p := phone.visit("/login/scan/confirm?scan=" + desk.scan.Code + "&scan=" + desk.scan.Code); p.StatusCode != http.StatusBadRequest { // FLW-08
		t.Errorf("twice: %d", p.StatusCode)
	}
	if p := phone.answer(phone.question(desk.scan), "perhaps"); p.StatusCode != http.StatusBadRequest || desk.state() != db.ScanScanned {
		t.Errorf("answered perhaps: %d", p.StatusCode)
	}
	if p := b.computer().get("/login/scan", "Sec-Fetch-Mode", "no-cors"); p.StatusCode != http.StatusForbidden {
		t.Errorf("an image of another site's: %d", p.StatusCode)
	}
}

// With the simulator there is no camera: the page of dev says in words what its code says.
func TestScanPageOfDevSaysWhatTheCodeSays(t *testing.T) {
	says := regexp.MustCompile(`<p id="says"[^>]*>([^<]+)</p>`)
	straight := newBridge(t, direct)
	desk := straight.computer().startScan("")
	if found := says.FindStringSubmatch(desk.page.body); found == nil || found[1] != straight.url+"/login/scan/confirm?scan="+desk.scan.Code {
		t.Errorf("%v in %s", found, desk.page.body)
	}
	account := newEventBridge(t, pushModes[0])
	if found := says.FindStringSubmatch(account.computer().startScan("").page.body); found == nil || !strings.HasPrefix(found[1], "http://weixin.qq.com/q/") {
		t.Errorf("%v", found)
	}
	public := newBridge(t, direct, inProduction)
	if desk := public.computer().startScan(""); says.MatchString(desk.page.body) || strings.Contains(desk.page.body, desk.scan.Code) {
		t.Error("it does so in production")
	}
}

func TestScanPage(t *testing.T) {
	b := newBridge(t, direct, inProduction)
	computer := b.computer()
	desk := computer.startScan("return_to=/a&prompt=login")
	if policy := desk.page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "connect-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Errorf("WEB-08 %s", policy)
	}
	if strings.Contains(desk.page.body, desk.scan.ID) || strings.Contains(desk.page.body, desk.scan.Code) {
		t.Error("the page's text holds what only the cookie, or the code, may")
	}
	for what, query := range map[string]string{"loaded again": "return_to=/a&prompt=login", "in the other language": "return_to=/a&prompt=login&lang=en"} {
		if again := computer.startScan(query); again.scan.ID != desk.scan.ID {
			t.Errorf("%s it shows another code", what)
		}
	}
	if other := computer.startScan("return_to=/b&prompt=login"); other.scan.ID == desk.scan.ID {
		t.Error("another login has the same code")
	}
	link := regexp.MustCompile(`id="new" [^>]*href="([^"]+)"`).FindStringSubmatch(desk.page.body)
	if link == nil {
		t.Fatal("no link to a new code")
	}
	fresh := computer.visit(html.UnescapeString(link[1]))
	if found := scanHandle.FindStringSubmatch(fresh.body); found == nil || found[1] == desk.handle {
		t.Error("a new code is the old one")
	}
	if _, err := b.store.Scan(context.Background(), desk.scan.ID); err == nil {
		t.Error("a code that was given up still works")
	}
	elsewhere := b.computer()
	if p := elsewhere.visit("/login/scan/confirm?scan=" + desk.scan.Code); p.StatusCode != http.StatusOK || p.asks() {
		t.Errorf("outside WeChat: %d", p.StatusCode)
	}
}

func TestScanQuestionInTheOtherLanguage(t *testing.T) {
	b := newBridge(t, direct)
	phone, desk := b.browser("bob"), b.computer().startScan("")
	phone.register()
	other := regexp.MustCompile(`id="lang" [^>]*href="([^"]+)"`)
	p := phone.question(desk.scan)
	switched := phone.visit(html.UnescapeString(other.FindStringSubmatch(p.body)[1]))
	if !switched.asks() || switched.Header.Get("Content-Language") == p.Header.Get("Content-Language") {
		t.Errorf("%d in %s", switched.StatusCode, switched.Header.Get("Content-Language"))
	}
	end := phone.answer(switched, "confirm")
	if again := phone.visit(html.UnescapeString(other.FindStringSubmatch(end.body)[1])); again.StatusCode != http.StatusOK {
		t.Errorf("after the answer: %d", again.StatusCode)
	}
}

func TestSRV04_ScansOfOneAddressAreBounded(t *testing.T) {
	b := newBridge(t, direct)
	for range 200 {
		b.computer().startScan("")
	}
	if p := b.computer().get("/login/scan"); p.StatusCode != http.StatusTooManyRequests || p.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %d", p.StatusCode)
	}
	if len(b.scanIDs()) != 200 {
		t.Errorf("%d scans", len(b.scanIDs()))
	}
	b.clock.Advance(4 * time.Minute)
	b.computer().startScan("")
	if n := len(b.scanIDs()); n != 1 {
		t.Errorf("%d scans are kept once they have expired", n)
	}
}

func TestScanStreamsEndWithTheProcessAndAreBounded(t *testing.T) {
	b := newBridge(t, direct)
	desk := b.computer().startScan("")
	var streams []*eventReader
	for range 3 {
		stream := desk.events()
		stream.want("waiting")
		streams = append(streams, stream)
	}
	if p := desk.get("/login/scan/events?scan=" + desk.handle); p.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a fourth stream of one scan: %d", p.StatusCode)
	}
	streams[0].drop()
	waitUntil(t, "the place of a dropped stream", func() bool {
		stream := desk.events()
		defer stream.drop()
		return stream.response.StatusCode == http.StatusOK
	})
	for header, want := range map[string]string{"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := streams[1].response.Header.Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	b.handler.Drain()
	streams[1].want("")
	streams[2].want("")
	if p := desk.get("/login/scan/events?scan=" + desk.handle); p.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a stream of a process that stops: %d", p.StatusCode)
	}
}

// A stream that was dropped in between has missed nothing.
func TestScanStreamComesBack(t *testing.T) {
	b := newBridge(t, direct)
	phone, desk := b.browser("bob"), b.computer().startScan("")
	phone.register()
	first := desk.events()
	first.want("waiting")
	first.drop()
	phone.answer(phone.question(desk.scan), "confirm")
	desk.events().want("confirmed", "")
	desk.events().want("confirmed", "") // and again, until it is spent
	desk.finish()
	desk.mustClaims()
}

// A computer that was asleep has lost the cookie of its scan when it wakes: its page says so, and offers another code.
func TestScanPageWithoutItsCookieLearnsThatItIsOver(t *testing.T) {
	b := newBridge(t, direct)
	desk := b.computer().startScan("")
	b.clock.Advance(11 * time.Minute)
	desk.events().want("expired", "")
	other := &scanning{browser: b.computer(), handle: desk.handle} // who has no cookie at all is told nothing else
	other.events().want("expired", "")
}

func waitUntil(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s", what)
		}
	}
}

func TestScanTellsBrowsersApart(t *testing.T) {
	b := newBridge(t, direct)
	for agent, want := range map[string]string{
		firefox: "Firefox · Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36":               "Chrome · Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0": "Edge · Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15":         "Safari · macOS",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36":                "Chrome · ChromeOS",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 OPR/120.0.0.0":           "Opera · Linux",
		"curl/8.15.0": "curl",
		"You have won! Tap the green button <b>now</b>": "",
		strings.Repeat("x", 600) + " Firefox/140.0":     "",
	} {
		computer := b.computer()
		computer.agent = agent
		if got := computer.startScan("").scan.Browser; got != want {
			t.Errorf("%.60s is %q, want %q", agent, got, want)
		}
	}
}
