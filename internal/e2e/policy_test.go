package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestPolicyNeverMakesGuests(t *testing.T) {
	p := startDev(t, nil, "WXBRIDGE_PROFILE_POLICY=never")
	bob := p.phone("bob")
	var tr trail
	before := p.calls(t)
	tr = bob.open(t, "/login?return_to=%2Fshop")
	wantPaths(t, tr, "/login", authorize, callbackPath, "/shop")
	after := p.calls(t)
	if after[pathAccessToken]-before[pathAccessToken] != 1 || after[pathUserInfo] != before[pathUserInfo] {
		t.Errorf("a silent login makes other calls: %v → %v", before, after)
	}
	me := decode(t, p.api(t, http.MethodGet, "/me", bob.session().access, ""))
	if me["registered"] != false || me["nickname"] != "" {
		t.Errorf("want a guest, /me says %v", me)
	}
	if access := p.access(t, bob.session().access); access["openid"] != p.account(t, "bob", "official_account").OpenID {
		t.Errorf("openid is %v", access["openid"])
	}

	t.Run("userinfo on request asks", func(t *testing.T) {
		tr := bob.open(t, "/login?scope=userinfo&return_to=%2Fshop")
		if len(tr.on(authorize)) != 1 || tr.last().url.Path != "/shop" {
			t.Fatalf("want WeChat asked for the profile:%v", tr)
		}
		more := decode(t, p.api(t, http.MethodGet, "/me", bob.session().access, ""))
		if more["registered"] != true || more["nickname"] == "" || more["id"] != me["id"] {
			t.Errorf("the guest %v became %v", me["id"], more)
		}
	})
}

func TestPolicyUnknownAsksGuestsAgain(t *testing.T) {
	data := t.TempDir()
	address := freeAddress(t)
	args := []string{"--data", data, "--listen", address}
	p := startDev(t, args, "WXBRIDGE_PROFILE_POLICY=never")
	bob := p.phone("bob")
	guest := subject(bob.login(t).access)
	p.end()

	p = startDev(t, args)
	bob = p.phone("bob")
	tr := bob.open(t, toRegister(t, bob, "%2F"))
	if !tr.grants() || subject(bob.session().access) != guest {
		t.Errorf("the guest %s registers as %s:%v", guest, subject(bob.session().access), tr)
	}
}

// agedProfile is a bridge that wants profiles refreshed after a second, and somebody whose profile is older.
func agedProfile(t *testing.T) (*product, *phone) {
	t.Helper()
	p := startDev(t, nil, "WXBRIDGE_PROFILE_POLICY=2s")
	bob := p.phone("bob")
	bob.login(t)
	bob.forgetSession()
	// The bridge's clock is the world's: two seconds must pass.
	<-time.After(3 * time.Second)
	return p, bob
}

func TestPolicyAgeRefreshesSilently(t *testing.T) {
	t.Parallel()
	p, bob := agedProfile(t)
	before := p.calls(t)
	tr := bob.open(t, "/login?return_to=%2Fshop")
	wantPaths(t, tr, "/login", authorize, callbackPath, "/shop")
	after := p.calls(t)
	for path, want := range map[string]int{pathAccessToken: 1, pathRefresh: 1, pathUserInfo: 1} {
		if got := after[path] - before[path]; got != want {
			t.Errorf("%d calls of %s, want %d", got, path, want)
		}
	}
	bob.forgetSession()
	if n := p.called(t, pathRefresh, func() { bob.login(t) }); n != 0 {
		t.Error("a fresh profile is refreshed")
	}
	t.Run("again after base logins", func(t *testing.T) {
		// The refresh token is the userinfo exchange's; base exchanges in between must not overwrite it.
		bob.forgetSession()
		<-time.After(3 * time.Second)
		tr := bob.open(t, "/login?return_to=%2Fshop")
		wantPaths(t, tr, "/login", authorize, callbackPath, "/shop")
	})
}

func TestPolicyAgeFallsBackToTheRegisterPage(t *testing.T) {
	t.Parallel()
	p, bob := agedProfile(t)
	for _, c := range []struct {
		name string
		give fault
	}{
		{"expired", fault{Path: pathRefresh, ErrCode: 42002}},
		{"unknown", fault{Path: pathRefresh, ErrCode: 40030}},
		{"password changed", fault{Path: pathRefresh, ErrCode: 42007}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.fault(t, c.give.always())
			defer p.clearFaults(t)

			page := openAged(t, bob)
			checkFlowPage(t, p, page)
			link := linkWithID(page, "not-now")
			if link == "" {
				t.Fatalf("the register page offers no \"not now\": %q", links(page))
			}
			if tr := bob.open(t, link); bob.session().access == "" || tr.last().url.Path != "/shop" {
				t.Errorf("\"not now\" does not land:%v", tr)
			}

			page = openAged(t, bob)
			link, err := registerLink(page)
			if err != nil {
				t.Fatal(err)
			}
			p.set(t, "refusal", "authdeny")
			bob.consent = "deny"
			defer func() { bob.consent = "allow" }()
			if tr := bob.open(t, link); bob.session().access == "" || tr.last().url.Path != "/shop" {
				t.Errorf("a refusal does not land with the stored profile:%v", tr)
			}
			me := decode(t, p.api(t, http.MethodGet, "/me", bob.session().access, ""))
			if me["nickname"] == "" || me["registered"] != true {
				t.Errorf("the stored profile is gone: %v", me)
			}
		})
	}
	t.Run("allowing lands with a fresh profile", func(t *testing.T) {
		p.fault(t, fault{Path: pathRefresh, ErrCode: 42002}.always())
		defer p.clearFaults(t)
		link, err := registerLink(openAged(t, bob))
		if err != nil {
			t.Fatal(err)
		}
		if tr := bob.open(t, link); !tr.grants() || tr.last().url.Path != "/shop" {
			t.Errorf("allowing does not land:%v", tr)
		}
	})
}

// openAged starts a login that ends on the register page.
func openAged(t *testing.T, ph *phone) hop {
	t.Helper()
	ph.forgetSession()
	tr := ph.open(t, "/login?return_to=%2Fshop")
	page := tr.last()
	if page.url.Path != "/login/register" || page.status != http.StatusOK {
		t.Fatalf("want the register page:%v", tr)
	}
	return page
}

func TestPolicyAgeNeverAnswers5xx(t *testing.T) {
	t.Parallel()
	p, bob := agedProfile(t)
	for _, f := range []fault{
		{Path: pathRefresh, ErrCode: -1}, {Path: pathRefresh, Mode: "reset"}, {Path: pathRefresh, Mode: "malformed"},
		{Path: pathRefresh, Mode: "truncated"}, {Path: pathRefresh, Mode: "html502"}, {Path: pathRefresh, ErrCode: 45011},
		{Path: pathRefresh, ErrCode: 40013}, {Path: pathRefresh, LatencyMS: 9000}, {Path: pathUserInfo, ErrCode: 48001},
		{Path: pathUserInfo, ErrCode: -1}, {Path: pathUserInfo, Mode: "html502"},
	} {
		t.Run(f.String(), func(t *testing.T) {
			p.fault(t, f.always())
			defer p.clearFaults(t)
			bob.forgetSession()
			begun := time.Now()
			tr := bob.open(t, "/login?return_to=%2Fshop")
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("REL-12 took %v", took)
			}
			h := tr.last()
			if landed := h.url.Path == "/shop" && bob.session().access != ""; !landed && h.url.Path != "/login/register" {
				t.Errorf("want the register page or a landing:%v", tr)
			}
			for _, h := range tr {
				if h.status >= 500 {
					t.Errorf("a silent refresh that fails answers %v", h)
				}
			}
		})
	}
}

func TestEverySwitchOfTheSimulatorLetsEverybodyIn(t *testing.T) {
	p := startDev(t, nil)
	var listed struct {
		Switches []struct {
			Name    string   `json:"name"`
			Choices []string `json:"choices"`
		} `json:"switches"`
	}
	p.control(t, http.MethodGet, "/_simulator/switches", nil, &listed)
	if len(listed.Switches) < 5 {
		t.Fatalf("the simulator lists %d switches", len(listed.Switches))
	}
	for _, sw := range listed.Switches {
		for _, choice := range sw.Choices {
			name := sw.Name + " " + choice
			t.Run(name, func(t *testing.T) {
				p.set(t, sw.Name, choice)
				defer p.set(t, sw.Name, sw.Choices[0])
				ph := p.phone(strings.ReplaceAll(name, " ", "-"))
				first := ph.login(t)
				ph.forgetSession()
				tr := ph.open(t, "/login?return_to=%2Fshop")
				wantPaths(t, tr, "/login", authorize, callbackPath, "/shop")
				if subject(first.access) != subject(ph.session().access) {
					t.Error("the second login is another fan")
				}
				if sub := payload(t, p.miniToken(t, ph.person))["sub"]; sub != subject(first.access) {
					t.Errorf("the mini program knows another fan: %v", sub)
				}
			})
		}
	}
}
