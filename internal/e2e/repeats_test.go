package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// WeChat visits the callback twice (wechat-protocol §1.6). Each kind below is tried a thousand times, sixteen at once;
// every answer must be a login, and every code is exchanged at most once.

func TestFLW05_EqualCodeConcurrently(t *testing.T) {
	p := startDev(t, nil)
	used := repeat(t, p, func(ph *phone) (int, error) {
		callback, err := ph.callback("/login?return_to=%2Fshop")
		if err != nil {
			return 0, err
		}
		return 1, atOnce(ph, callback, callback, callback)
	})
	if used.exchanges != used.codes {
		t.Errorf("%d codes, %d exchanges: want one each", used.codes, used.exchanges)
	}
}

func TestFLW05_EqualCodeLate(t *testing.T) {
	p := startDev(t, nil)
	used := repeat(t, p, func(ph *phone) (int, error) {
		callback, err := ph.callback("/login?return_to=%2Fshop")
		if err != nil {
			return 0, err
		}
		lostAnswer := ph.twin() // still has the unspent flow cookie
		if err := atOnce(ph, callback); err != nil {
			return 0, err
		}
		if err := atOnce(lostAnswer, callback); err != nil {
			return 0, fmt.Errorf("the first answer was lost: %w", err)
		}
		h, err := ph.send(http.MethodGet, callback, nil, nil)
		if err != nil {
			return 0, err
		}
		if h.status != http.StatusFound || h.next().Path != "/shop" {
			return 0, fmt.Errorf("reload after success: %v", h)
		}
		return 1, nil
	})
	if used.exchanges != used.codes {
		t.Errorf("%d codes, %d exchanges: want one each", used.codes, used.exchanges)
	}
}

func TestFLW05_TwoCodesWithOneState(t *testing.T) {
	p := startDev(t, nil)
	used := repeat(t, p, func(ph *phone) (int, error) {
		start, err := ph.send(http.MethodGet, p.bridge+"/login?return_to=%2Fshop", nil, nil)
		if err != nil {
			return 0, err
		}
		page := start.next().String()
		first, err := ph.callback(page)
		if err != nil {
			return 0, err
		}
		second, err := ph.callback(page)
		if err != nil {
			return 0, err
		}
		if first == second {
			return 0, fmt.Errorf("the simulator gave one code twice")
		}
		return 1, atOnce(ph, first, second)
	})
	if used.exchanges != used.codes {
		t.Errorf("%d logins, %d exchanges: a second code is tried only if the first is refused", used.codes, used.exchanges)
	}
}

type usage struct{ codes, exchanges int }

// repeat runs one login after another, 16 at a time, each in a browser of its own of somebody who is known. login
// gives how many exchanges it is worth.
func repeat(t *testing.T, p *product, login func(*phone) (int, error)) usage {
	t.Helper()
	people := make(chan string, 16)
	for i := range cap(people) {
		name := fmt.Sprintf("crowd-%d", i)
		p.phone(name).login(t)
		people <- name
	}
	before := p.calls(t)[pathAccessToken]
	codes := make([]int, times(1000, 10_000))
	var group errgroup.Group
	group.SetLimit(cap(people))
	for i := range codes {
		group.Go(func() error {
			name := <-people
			defer func() { people <- name }()
			n, err := login(p.phone(name))
			codes[i] = n
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	used := usage{exchanges: p.calls(t)[pathAccessToken] - before}
	for _, n := range codes {
		used.codes += n
	}
	return used
}

// atOnce opens callbacks in one browser at the same moment. All must log in and lead to /shop.
func atOnce(ph *phone, callbacks ...string) error {
	visitors := make([]*phone, len(callbacks))
	for i := range callbacks {
		visitors[i] = ph.twin()
	}
	var group errgroup.Group
	for i, callback := range callbacks {
		group.Go(func() error {
			h, err := visitors[i].send(http.MethodGet, callback, nil, nil)
			if err != nil {
				return err
			}
			if h.status != http.StatusFound || h.next().Path != "/shop" || !h.grants() || h.setCookie(idCookie) == nil {
				return fmt.Errorf("no login: %v, cookies %q", h, h.header["Set-Cookie"])
			}
			u, _ := url.Parse(ph.product.bridge)
			ph.jar.SetCookies(u, (&http.Response{Header: h.header}).Cookies())
			return nil
		})
	}
	return group.Wait()
}

func TestARepeatedCallbackOfAStrangerLeadsToTheRegisterPage(t *testing.T) {
	p := startDev(t, nil)
	bob := p.phone("bob")
	callback, err := bob.callback("/login")
	if err != nil {
		t.Fatal(err)
	}
	lost := bob.twin()
	n := p.called(t, pathAccessToken, func() {
		for i, ph := range []*phone{bob, lost, bob} { // at first, with the answer lost, Back from the register page
			if h := ph.once(t, callback); h.next().Path != "/login/register" {
				t.Errorf("visit %d: %v", i, h)
			}
		}
	})
	if n != 1 {
		t.Errorf("%d exchanges, want 1", n)
	}
	link, err := registerLink(bob.once(t, "/login/register"))
	if err != nil {
		t.Fatal(err)
	}
	if tr := bob.open(t, link); !tr.grants() {
		t.Errorf("cannot register after Back:%v", tr)
	}
}

func TestARefusedCodeLetsTheOtherCodeOfItsStateIn(t *testing.T) {
	p := startDev(t, nil)
	p.phone("alice").login(t)
	alice := p.phone("alice")
	good, err := alice.callback("/login?return_to=%2Fshop")
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(good)
	bad := p.bridge + callbackPath + "?code=" + strings.Repeat("b", 32) + "&state=" + u.Query().Get("state")
	n := p.called(t, pathAccessToken, func() {
		var group errgroup.Group
		lost := alice.twin()
		group.Go(func() error { _, err := lost.send(http.MethodGet, bad, nil, nil); return err })
		group.Go(func() error { return atOnce(alice, good) })
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	if n > 2 {
		t.Errorf("%d exchanges for two codes", n)
	}
}

func TestAFlowExchangesAtMostThreeCodesAndNoneTwice(t *testing.T) {
	p := startDev(t, nil)
	alice := p.phone("alice")
	state := alice.once(t, "/login").next().Query().Get("state")
	n := p.called(t, pathAccessToken, func() {
		for _, letter := range []string{"a", "a", "b", "a", "c", "b", "d", "e", "f", "g"} {
			h := alice.twin().once(t, callbackPath+"?code="+strings.Repeat(letter, 32)+"&state="+state)
			if h.grants() || h.status >= 500 {
				t.Errorf("a made-up code answers %v", h)
			}
		}
	})
	if n > 3 || n == 0 {
		t.Errorf("%d exchanges in one flow, want 1 to 3", n)
	}
}

func TestBackAfterLoginLandsWithoutAnExchange(t *testing.T) {
	p := startDev(t, nil)
	bob := p.phone("bob")
	first, err := bob.callback("/login?return_to=%2Fshop")
	if err != nil {
		t.Fatal(err)
	}
	link, err := registerLink(bob.open(t, first).last())
	if err != nil {
		t.Fatal(err)
	}
	second, err := bob.callback(link)
	if err != nil {
		t.Fatal(err)
	}
	lost := bob.twin()
	if tr := bob.open(t, second); tr.last().url.Path != "/shop" || !tr.grants() {
		t.Fatalf("the login does not land:%v", tr)
	}
	marked := bob.twin()
	if n := p.called(t, pathAccessToken, func() {
		for range 3 {
			if h := bob.once(t, second); h.status != http.StatusFound || h.next().Path != "/shop" {
				t.Errorf("Back to the callback: %v", h)
			}
		}
		if tr := bob.open(t, first); tr.last().url.Path == "/login/cookies-off" || tr.last().status >= 500 {
			t.Errorf("Back to the first callback:%v", tr)
		}
	}); n != 0 {
		t.Errorf("Back costs %d exchanges", n)
	}

	t.Run("FLW-06 the address in another browser is no login link", func(t *testing.T) {
		other := p.phone("carol")
		checkMiss(t, p, other, second)
	})
	t.Run("a mark without a token restarts", func(t *testing.T) {
		ph := marked.twin()
		ph.forgetSession()
		checkMiss(t, p, ph, second)
	})
	t.Run("logout ends marks and memory", func(t *testing.T) {
		withMark := marked.twin()
		header := http.Header{"Sec-Fetch-Site": {"same-origin"}, "Accept": {"application/json"}}
		if h := marked.do(t, http.MethodPost, "/logout", header, ""); h.status != http.StatusNoContent {
			t.Fatalf("logout: %v", h)
		}
		checkMiss(t, p, withMark, second)
		withMark.forgetSession()
		checkMiss(t, p, withMark, second)
		checkMiss(t, p, lost, second)
	})
}

func TestErasingEndsTheMemoryOfALogin(t *testing.T) {
	p := startDev(t, nil)
	p.phone("bob").login(t)
	bob := p.phone("bob")
	callback, err := bob.callback("/login")
	if err != nil {
		t.Fatal(err)
	}
	lost := bob.twin()
	bob.open(t, callback)
	if h := p.api(t, http.MethodDelete, "/me", bob.session().access, ""); h.status != http.StatusNoContent {
		t.Fatalf("erase: %v", h)
	}
	checkMiss(t, p, lost, callback)
	checkMiss(t, p, bob, callback)
}

func TestAnExpiredCodeRestartsOnce(t *testing.T) {
	for _, choice := range []string{"40029", "42003"} {
		t.Run(choice, func(t *testing.T) {
			p := startDev(t, nil)
			p.set(t, "expired-code", choice)
			p.phone("alice").login(t)
			alice := p.phone("alice")
			callback, err := alice.callback("/login?return_to=%2Fshop")
			if err != nil {
				t.Fatal(err)
			}
			p.advance(t, "6m")
			var tr trail
			n := p.called(t, pathAccessToken, func() { tr = alice.open(t, callback) })
			wantPaths(t, tr, callbackPath, authorize, callbackPath, tr.last().url.Path)
			if !tr.grants() || n != 2 {
				t.Errorf("want a login after 2 exchanges, %d made:%v", n, tr)
			}
		})
	}
	t.Run("a code used elsewhere", func(t *testing.T) {
		p := startDev(t, nil)
		p.phone("alice").login(t)
		alice := p.phone("alice")
		callback, err := alice.callback("/login")
		if err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse(callback)
		if _, err := p.exchange(codeOf(u)); err != nil {
			t.Fatal(err)
		}
		if tr := alice.open(t, callback); !tr.grants() || len(tr.on(authorize)) != 1 {
			t.Errorf("want one restart and a login:%v", tr)
		}
	})
	t.Run("never in a loop", func(t *testing.T) {
		p := startDev(t, nil)
		p.fault(t, fault{Path: pathAccessToken, ErrCode: 40029}.always())
		tr := p.phone("alice").open(t, "/login")
		if h := tr.last(); h.status/100 != 4 || tr.grants() || len(tr.on(authorize)) > 2 {
			t.Errorf("want a page after one restart:%v", tr)
		}
	})
}

func TestFLW03_LoginsInManyTabs(t *testing.T) {
	p := startDev(t, nil)
	p.phone("alice").login(t)
	t.Run("two at the same time", func(t *testing.T) {
		alice := p.phone("alice")
		var callbacks []string
		for _, to := range []string{"%2Fone", "%2Ftwo"} {
			callback, err := alice.callback("/login?return_to=" + to)
			if err != nil {
				t.Fatal(err)
			}
			callbacks = append(callbacks, callback)
		}
		for i, want := range []string{"/one", "/two"} {
			if h := alice.once(t, callbacks[i]); h.next().Path != want || !h.grants() {
				t.Errorf("tab %d: %v, want %s", i, h, want)
			}
		}
	})
	t.Run("fifty starts", func(t *testing.T) {
		alice := p.phone("alice")
		var last string
		for range 50 {
			callback, err := alice.callback("/login?return_to=" + url.QueryEscape("/"+strings.Repeat("长", 340)))
			if err != nil {
				t.Fatal(err)
			}
			last = callback
			if n := len(alice.flowCookies()); n > 3 {
				t.Fatalf("%d flow cookies, want at most 3", n)
			}
		}
		h := alice.once(t, last)
		if len(h.sent) >= 8<<10 {
			t.Errorf("the Cookie header has %d bytes", len(h.sent))
		}
		if !h.grants() {
			t.Errorf("the newest login does not finish: %v", h)
		}
	})
}

func TestFLW01_StatesAreFreshAndRandom(t *testing.T) {
	p := startDev(t, nil)
	const n = 10_000
	states := make([]string, n)
	var group errgroup.Group
	group.SetLimit(16)
	for i := range states {
		group.Go(func() error {
			h, err := (&phone{product: p}).send(http.MethodGet, p.bridge+"/login", nil, nil)
			if err == nil {
				states[i] = h.next().Query().Get("state")
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool, n)
	for _, s := range states {
		if seen[s] || !statePattern.MatchString(s) {
			t.Fatalf("state %q is a repeat or misshapen", s)
		}
		seen[s] = true
	}
}

func TestFLW08_ParametersOfTheCallbackAreChecked(t *testing.T) {
	p := startDev(t, nil)
	for name, change := range map[string]func(q string) string{
		"code twice":          func(q string) string { return q + "&code=" + strings.Repeat("a", 32) },
		"the same code twice": func(q string) string { u, _ := url.ParseQuery(q); return q + "&code=" + u.Get("code") },
		"state twice":         func(q string) string { return q + "&state=x" },
		"WX-02 & in code":     withCode("a%26secret%3Db"),
		"WX-02 quotes":        withCode("%22abc%22"),
		"WX-02 path":          withCode("..%2F"),
		"WX-02 too long":      withCode(strings.Repeat("a", 513)),
		"WX-02 NUL":           withCode("a%00"),
		"WX-02 non-ASCII":     withCode("%E7%A0%81"),
		"WX-02 bad UTF-8":     withCode("%ff"),
		"WX-02 blank":         withCode("a+b"),
		"state with dash":     withState("abc-def"),
		"state of 129":        withState(strings.Repeat("a", 129)),
		"state non-ASCII":     withState("%E7"),
		"bad escape":          func(q string) string { return q + "&x=%zz" },
	} {
		t.Run(name, func(t *testing.T) {
			ph := p.phone("bob")
			callback, err := ph.callback("/login")
			if err != nil {
				t.Fatal(err)
			}
			base, query, _ := strings.Cut(callback, "?")
			var h hop
			n := p.called(t, pathAccessToken, func() { h = ph.once(t, base+"?"+change(query)) })
			if h.status != http.StatusBadRequest || n != 0 || h.grants() {
				t.Errorf("want 400 and no exchange (%d): %v", n, h)
			}
		})
	}
}

func withCode(escaped string) func(string) string {
	return func(q string) string {
		u, _ := url.ParseQuery(q)
		return "code=" + escaped + "&state=" + u.Get("state")
	}
}

func withState(escaped string) func(string) string {
	return func(q string) string {
		u, _ := url.ParseQuery(q)
		return "code=" + u.Get("code") + "&state=" + escaped
	}
}

// REL-12: one person's slow login keeps nobody else waiting.
func TestREL12_ASlowLoginBlocksNobodyElse(t *testing.T) {
	t.Parallel()
	p := startDev(t, nil)
	p.phone("alice").login(t)
	carol := p.phone("carol")
	slow, err := carol.callback("/login")
	if err != nil {
		t.Fatal(err)
	}
	p.fault(t, fault{Path: pathAccessToken, LatencyMS: 3600})
	done := make(chan struct{})
	before := p.calls(t)[pathAccessToken]
	go func() {
		defer close(done)
		_, _ = carol.walk(slow)
	}()
	waitFor(t, 5*time.Second, "the slow exchange to begin", func() bool { return p.calls(t)[pathAccessToken] > before })
	begun := time.Now()
	p.phone("alice").login(t)
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("another login took %v", took)
	}
	select {
	case <-done:
		t.Error("the slow login was not slow; this test shows nothing")
	default:
	}
	<-done
}
