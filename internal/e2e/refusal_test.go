package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// toRegister walks a stranger up to the register page and gives the link to tap.
func toRegister(t testing.TB, ph *phone, returnTo string) string {
	t.Helper()
	tr := ph.open(t, "/login?return_to="+returnTo)
	link, err := registerLink(tr.last())
	if err != nil {
		t.Fatalf("%v:%v", err, tr)
	}
	return link
}

func TestFLW07_RefusalEndsOnAPageThatOffersToRegister(t *testing.T) {
	for _, choice := range []string{"the person's habit", "state-only", "authdeny"} {
		t.Run(choice, func(t *testing.T) {
			p := startDev(t, nil)
			person := p.phone("bob")
			person.consent = "deny"
			if choice == "the person's habit" {
				person = p.phone("nora")
				person.consent = ""
			} else {
				p.set(t, "refusal", choice)
			}
			link := toRegister(t, person, "%2Fshop")
			var tr trail
			if n := p.called(t, pathAccessToken, func() { tr = person.open(t, link) }); n != 0 {
				t.Errorf("a refusal cost %d exchanges", n)
			}
			page := tr.last()
			if page.url.Path != "/login/refused" || page.status != http.StatusOK || tr.grants() {
				t.Fatalf("want the refusal page:%v", tr)
			}
			checkFlowPage(t, p, page)

			person.consent = "allow"
			tr = person.open(t, leadsToRegister(t, page))
			link, err := registerLink(tr.last())
			if err != nil {
				t.Fatalf("the refusal page does not lead to the register page: %v", tr)
			}
			if tr = person.open(t, link); !tr.grants() || tr.last().url.Path != "/shop" {
				t.Errorf("allowing in the end does not land:%v", tr)
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		p := startDev(t, nil)
		p.set(t, "refusal", "nothing")
		person := p.phone("bob")
		link := toRegister(t, person, "%2Fshop")
		person.consent = "deny"
		if tr := person.open(t, link); strings.HasPrefix(tr.last().url.String(), p.bridge) {
			t.Errorf("WeChat was to keep the person:%v", tr)
		}
		person.consent = "allow"
		link, err := registerLink(person.once(t, "/login/register"))
		if err != nil {
			t.Fatalf("back on the register page: %v", err)
		}
		if tr := person.open(t, link); !tr.grants() || tr.last().url.Path != "/shop" {
			t.Errorf("allowing in the end does not land:%v", tr)
		}
	})
}

// leadsToRegister is the refusal page's link to the register page.
func leadsToRegister(t testing.TB, page hop) string {
	t.Helper()
	for _, link := range links(page) {
		if strings.HasPrefix(link, "/login/register") || strings.HasPrefix(link, "/login/official-account") {
			return link
		}
	}
	t.Fatalf("no way on from %v: %q", page, links(page))
	return ""
}

func TestFLW07_ACallbackWithoutACodeIsARefusal(t *testing.T) {
	p := startDev(t, nil)
	for name, query := range map[string]string{
		"no code":            "state=%s",
		"an empty code":      "code=&state=%s",
		"authdeny":           "code=authdeny&state=%s",
		"an error beside":    "state=%s&error=access_denied",
		"authdeny, reversed": "state=%s&code=authdeny",
	} {
		t.Run(name, func(t *testing.T) {
			ph := p.phone("bob")
			state := ph.once(t, "/login").next().Query().Get("state")
			var tr trail
			n := p.called(t, pathAccessToken, func() {
				tr = ph.open(t, callbackPath+"?"+strings.Replace(query, "%s", state, 1))
			})
			if tr[0].status != http.StatusFound || tr.last().url.Path != "/login/refused" || n != 0 {
				t.Errorf("want the refusal page without an exchange (%d):%v", n, tr)
			}
		})
	}
}

func TestWX06_ASnapshotUserIsNeverStoredAndGetsNoToken(t *testing.T) {
	for _, c := range []struct{ name, choice string }{
		{"", ""}, {"snapshot-ids", "shared-unionid"}, {"snapshot-ids", "real-ids"}, {"snapshot-flag", "string"},
	} {
		t.Run(c.name+" "+c.choice, func(t *testing.T) {
			p := startDev(t, nil)
			if c.name != "" {
				p.set(t, c.name, c.choice)
			}
			sunny := p.phone("sunny")
			sunny.consent = ""
			tr := sunny.open(t, toRegister(t, sunny, "%2Fshop"))
			page := tr.last()
			if tr.grants() || sunny.session() != (session{}) {
				t.Fatalf("a snapshot user got a token:%v", tr)
			}
			if page.url.Path != "/login/snapshot" || page.status != http.StatusForbidden {
				t.Fatalf("want the snapshot page:%v", tr)
			}
			checkFlowPage(t, p, page)
			if tr := sunny.open(t, "/login"); tr.last().url.Path != "/login/register" {
				t.Errorf("the snapshot user is known:%v", tr)
			}
		})
	}
	t.Run("without the browser's cookies", func(t *testing.T) {
		p := startDev(t, nil)
		p.fault(t, fault{Path: authorize, Mode: "snapshot_jar"}.always())
		bob := p.phone("bob")
		link := ""
		if tr := bob.open(t, "/login"); tr.last().url.Path == "/login/register" {
			link, _ = registerLink(tr.last())
		}
		tr := bob.open(t, link)
		if tr.grants() || bob.session() != (session{}) {
			t.Fatalf("a snapshot user got a token:%v", tr)
		}
		p.clearFaults(t)
		if s := p.phone("bob").login(t); s.access == "" {
			t.Error("the next login does not work")
		}
	})
}
