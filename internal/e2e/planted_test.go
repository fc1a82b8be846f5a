package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
)

// menuLink is what an old menu holds: WeChat's authorize page with the bridge's callback.
func menuLink(p *product, scope, state string) string {
	link := fmt.Sprintf("%s%s?appid=%s&redirect_uri=%s&response_type=code&scope=%s", p.simulator, authorize,
		p.official.AppID, url.QueryEscape(p.bridge+callbackPath), scope)
	if state != "" {
		link += "&state=" + state
	}
	return link + "#wechat_redirect"
}

func TestADirectMenuLinkRestartsTheSilentFlowOnce(t *testing.T) {
	p := startDev(t, nil)
	p.phone("alice").login(t)
	foreign := p.phone("bob").once(t, "/login").next().Query().Get("state")
	for name, link := range map[string]string{
		"state=STATE":        menuLink(p, "snsapi_base", "STATE"),
		"no state":           menuLink(p, "snsapi_base", ""),
		"a state of another": menuLink(p, "snsapi_base", foreign),
		"a userinfo link":    menuLink(p, "snsapi_userinfo", "STATE"),
		"a one-letter state": menuLink(p, "snsapi_base", "x"),
		"a state of 128":     menuLink(p, "snsapi_base", strings.Repeat("a", 128)),
		"a bookmarked code":  p.bridge + callbackPath + "?code=" + strings.Repeat("b", 32) + "&state=" + foreign,
	} {
		t.Run(name, func(t *testing.T) {
			alice := p.phone("alice")
			var tr trail
			n := p.called(t, pathAccessToken, func() { tr = alice.open(t, link) })
			if strings.HasPrefix(link, p.simulator) {
				tr = tr[1:]
			}
			wantPaths(t, tr, callbackPath, authorize, callbackPath, "/")
			restart := tr[1].url.Query()
			if got, want := restart.Get("redirect_uri"), p.bridge+callbackPath+"?again=1"; got != want {
				t.Errorf("the restart comes back to %q, want %q", got, want)
			}
			if restart.Get("scope") != "snsapi_base" || !statePattern.MatchString(restart.Get("state")) ||
				restart.Get("state") == foreign {
				t.Errorf("the restart is not a fresh silent flow: %s", tr[1].url)
			}
			if n != 1 || !tr.grants() {
				t.Errorf("%d exchanges, want the second code's alone; logged in: %v", n, tr.grants())
			}
			if code := codeOf(tr[0].url); name != "a bookmarked code" {
				if _, err := p.exchange(code); err != nil {
					t.Errorf("the first code was spent: %v", err)
				}
			}
		})
	}
	t.Run("an unknown fan meets the register page", func(t *testing.T) {
		bob := p.phone("bob")
		tr := bob.open(t, menuLink(p, "snsapi_base", "STATE"))
		link, err := registerLink(tr.last())
		if err != nil {
			t.Fatalf("%v:%v", err, tr)
		}
		if tr := bob.open(t, link); !tr.grants() || tr.last().url.Path != "/" {
			t.Errorf("registering from a menu link does not land:%v", tr)
		}
	})
}

func codeOf(u *url.URL) string { return u.Query().Get("code") }

func TestLostCookiesEndOnAPageAndNeverInALoop(t *testing.T) {
	p := startDev(t, nil)
	p.phone("alice").login(t)
	for _, start := range []string{"/login", "/login?scope=userinfo", "/login?prompt=login", menuLink(p, "snsapi_base", "STATE")} {
		t.Run(strings.TrimPrefix(start, p.simulator)[:6], func(t *testing.T) {
			amnesiac := p.phone("alice")
			amnesiac.jar = nil
			var tr trail
			n := p.called(t, pathAccessToken, func() { tr = amnesiac.open(t, start) })
			page := tr.last()
			if page.url.Path != "/login/cookies-off" || page.status != http.StatusBadRequest || len(tr) > 7 {
				t.Errorf("want the cookies-off page:%v", tr)
			}
			if n != 0 || tr.grants() {
				t.Errorf("%d exchanges without a flow cookie; logged in: %v", n, tr.grants())
			}
			checkFlowPage(t, p, page)
		})
	}
}

// FLW-02 from the attacker's side: mallory sends her own callback address to a victim.
func TestFLW02_APlantedCodeAndStateNeverLogAnybodyIn(t *testing.T) {
	p := startDev(t, nil)
	mallory := subject(p.phone("mallory").login(t).access)
	victims := make(chan *phone, 16)
	for i := range cap(victims) {
		v := p.phone(fmt.Sprintf("victim-%d", i))
		v.login(t)
		victims <- v
	}
	plants := []func(attacker, victim *phone) (string, error){
		plantIntoAnEmptyBrowser, plantBesideAPendingLogin, plantUnderTheVictimsCookieName, plantAfterTheRestart,
		plantWithoutState, plantAForgedFlowCookie, plantIntoASession,
	}
	var mu sync.Mutex
	var codes []string
	var group errgroup.Group
	group.SetLimit(16)
	for i := range 1000 {
		group.Go(func() error {
			known := <-victims
			defer func() { victims <- known }()
			victim := known.twin()
			planted, err := plants[i%len(plants)](p.phone("mallory"), victim)
			if err != nil {
				return err
			}
			tr, err := victim.walk(planted)
			if err != nil {
				return err
			}
			if tr.last().status >= 500 {
				return fmt.Errorf("try %d: %v", i, tr)
			}
			for _, token := range []string{victim.session().access, victim.session().id} {
				if subject(token) == mallory {
					return fmt.Errorf("try %d logs the victim in as the attacker:%v", i, tr)
				}
			}
			u, err := url.Parse(planted)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			codes = append(codes, codeOf(u))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, code := range codes {
		if _, err := p.exchange(code); err != nil {
			t.Fatalf("a planted code was spent: %v", err)
		}
	}
}

func plantIntoAnEmptyBrowser(attacker, victim *phone) (string, error) {
	victim.jar = newJar()
	return attacker.callback("/login")
}

func plantBesideAPendingLogin(attacker, victim *phone) (string, error) {
	victim.forgetSession()
	if _, err := victim.callback("/login"); err != nil {
		return "", err
	}
	return attacker.callback("/login")
}

// The cookie is named after the first eight characters of the state only.
func plantUnderTheVictimsCookieName(attacker, victim *phone) (string, error) {
	victim.jar = newJar()
	own, err := victim.callback("/login")
	if err != nil {
		return "", err
	}
	u, err := url.Parse(own)
	if err != nil {
		return "", err
	}
	state := u.Query().Get("state")[:8] + strings.Repeat("A", 18)
	return attacker.callback(menuLink(attacker.product, "snsapi_base", state))
}

func plantAfterTheRestart(attacker, victim *phone) (string, error) {
	victim.jar = newJar()
	planted, err := attacker.callback("/login")
	return planted + "&again=1", err
}

func plantWithoutState(attacker, victim *phone) (string, error) {
	victim.forgetSession()
	return attacker.callback(menuLink(attacker.product, "snsapi_base", ""))
}

func plantAForgedFlowCookie(attacker, victim *phone) (string, error) {
	victim.jar = newJar()
	planted, err := attacker.callback("/login")
	if err != nil {
		return "", err
	}
	for _, c := range attacker.flowCookies() {
		flipped := []byte(c.Value)
		flipped[len(flipped)/2] ^= 1
		victim.setCookie(c.Name, string(flipped))
	}
	return planted, nil
}

func plantIntoASession(attacker, _ *phone) (string, error) { return attacker.callback("/login") }

func TestATamperedFlowCookieIsNoFlowCookie(t *testing.T) {
	p := startDev(t, nil)
	p.phone("alice").login(t)
	tamper := map[string]func(string) string{
		"empty":         func(string) string { return "" },
		"one letter":    func(string) string { return "A" },
		"cut":           func(v string) string { return v[:len(v)-1] },
		"cut in half":   func(v string) string { return v[:len(v)/2] },
		"longer":        func(v string) string { return v + "A" },
		"first flipped": func(v string) string { return string(v[0]^1) + v[1:] },
		"last flipped":  func(v string) string { return v[:len(v)-2] + string(v[len(v)-2]^1) + v[len(v)-1:] },
		"padded":        func(v string) string { return v + "==" },
		"its state":     func(string) string { return strings.Repeat("A", 26) },
		"JSON":          func(string) string { return `{state:A,return_to:/}` },
		"3,000 bytes":   func(string) string { return strings.Repeat("A", 3000) },
	}
	for name, change := range tamper {
		t.Run(name, func(t *testing.T) {
			alice := p.phone("alice")
			callback, err := alice.callback("/login")
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range alice.flowCookies() {
				alice.setCookie(c.Name, change(c.Value))
			}
			checkMiss(t, p, alice, callback)
		})
	}
	t.Run("of another login", func(t *testing.T) {
		alice, other := p.phone("alice"), p.phone("alice")
		callback, err := alice.callback("/login")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.callback("/login"); err != nil {
			t.Fatal(err)
		}
		alice.setCookie(alice.flowCookies()[0].Name, other.flowCookies()[0].Value)
		checkMiss(t, p, alice, callback)
	})
	t.Run("an access token in its place", func(t *testing.T) {
		alice := p.phone("alice")
		token := alice.login(t).access
		alice.forgetSession()
		callback, err := alice.callback("/login")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range alice.flowCookies() {
			alice.setCookie(c.Name, token)
		}
		checkMiss(t, p, alice, callback)
	})
	t.Run("a flow cookie as session", func(t *testing.T) {
		alice := p.phone("alice")
		if _, err := alice.callback("/login"); err != nil {
			t.Fatal(err)
		}
		alice.setCookie(tokenCookie, alice.flowCookies()[0].Value)
		if h := alice.once(t, "/me"); h.status != http.StatusUnauthorized {
			t.Errorf("TOK-06 %v", h)
		}
	})
}

// checkMiss wants a callback to spend nothing and to restart.
func checkMiss(t *testing.T, p *product, ph *phone, callback string) {
	t.Helper()
	var h hop
	n := p.called(t, pathAccessToken, func() { h = ph.once(t, callback) })
	if n != 0 || h.grants() || h.status != http.StatusFound || h.next().Path != authorize {
		t.Errorf("want a restart without an exchange (%d): %v", n, h)
	}
}
