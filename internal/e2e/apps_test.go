package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// The apps of examples/apps.yaml, beside the two of dev.
const (
	shopID     = "wx5a1d0c77be4f2390" // official account, open account "default"
	shopMiniID = "wx9e3b64a1f05c7d82"
	clubID     = "wxd07c81f26ab3945e" // official account of another open account, with token_api: plain
)

// startApps runs dev with the example's apps file.
func startApps(t *testing.T, env ...string) *product {
	t.Helper()
	return startDev(t, nil, append(env, "WXBRIDGE_APPS_FILE="+filepath.Join("..", "..", "examples", "apps.yaml"))...)
}

// loginWith logs in with the app of that name, by way of the register page if it is shown, and tells whether it was.
func (ph *phone) loginWith(t *testing.T, app string) (claims map[string]any, registered bool) {
	t.Helper()
	tr := ph.open(t, "/login?app="+app)
	if registered = tr.last().url.Path == "/login/register"; registered {
		link, err := registerLink(tr.last())
		if err != nil {
			t.Fatal(err)
		}
		tr = ph.open(t, link)
	}
	if !tr.grants() {
		t.Fatalf("%s is not logged in with %s: %v", ph.person, app, tr)
	}
	return ph.product.access(t, ph.session().access), registered
}

// miniWith logs in with a code of one app to the mini program of that name.
func (p *product) miniWith(t *testing.T, person, codeOf, app string) hop {
	t.Helper()
	var answer struct{ Code string }
	p.control(t, http.MethodPost, "/_simulator/js-code", map[string]string{"person": person, "appid": codeOf}, &answer)
	return p.api(t, http.MethodPost, miniLogin, "", fmt.Sprintf(`{"code":%q,"app":%q}`, answer.Code, app))
}

func TestREL17_OnePersonOverAllAppsOfOneOpenAccount(t *testing.T) {
	p := startApps(t)
	phone := p.phone("alice")
	own, registered := phone.loginWith(t, "default")
	if !registered || own["appid"] != p.official.AppID {
		t.Fatalf("registered: %v, claims %v", registered, own)
	}
	shop, registered := p.phone("alice").loginWith(t, "shop")
	if registered || shop["sub"] != own["sub"] || shop["appid"] != shopID || shop["openid"] == own["openid"] {
		t.Errorf("a follower of another account of the same open account registers: %v, claims %v", registered, shop)
	}
	var mini struct {
		Fan struct{ ID string }
	}
	if err := json.Unmarshal(p.miniWith(t, "alice", shopMiniID, "shop-mini").body, &mini); err != nil || mini.Fan.ID != own["sub"] {
		t.Errorf("the mini program sees %s, want %s (%v)", mini.Fan.ID, own["sub"], err)
	}
	club, registered := p.phone("alice").loginWith(t, "club")
	if !registered || club["sub"] == own["sub"] || club["appid"] != clubID {
		t.Errorf("another open account: registered %v, claims %v", registered, club)
	}
	me := decode(t, p.api(t, http.MethodGet, "/me", phone.session().access, ""))
	if identities := me["identities"].([]any); len(identities) != 3 {
		t.Errorf("/me has %d identities, want 3: %v", len(identities), identities)
	}
	// A stranger to the accounts registers with each: only consent tells who bob is. Then he is one fan.
	first, _ := p.phone("bob").loginWith(t, "shop")
	second, registered := p.phone("bob").loginWith(t, "default")
	if !registered || first["sub"] != second["sub"] {
		t.Errorf("bob registers: %v, and is %v and %v", registered, first["sub"], second["sub"])
	}
}

func TestFLW09_CodesAndStatesOfOneAppAreNotUsedWithAnother(t *testing.T) {
	p := startApps(t)
	phone := p.phone("alice")
	phone.loginWith(t, "default")
	callbacks := map[string]*url.URL{}
	for _, app := range []string{"default", "shop", "club"} {
		address, err := phone.callback("/login?prompt=login&app=" + app)
		if err != nil {
			t.Fatal(err)
		}
		callbacks[app], _ = url.Parse(address)
	}
	n := p.called(t, pathAccessToken, func() {
		for app, one := range callbacks {
			for other, two := range callbacks {
				if app == other {
					continue
				}
				crossed := *one // this app's callback with the other's state, then with the other's name
				q := one.Query()
				q.Set("state", two.Query().Get("state"))
				crossed.RawQuery = q.Encode()
				renamed := *one
				q = one.Query()
				q.Set("app", other)
				renamed.RawQuery = q.Encode()
				for _, address := range []string{crossed.String(), renamed.String()} {
					h := phone.twin().once(t, address)
					if h.grants() || !h.redirects() || !strings.Contains(h.header.Get("Location"), "/connect/oauth2/authorize") {
						t.Errorf("%s with %s: %v", app, other, h)
					}
				}
			}
		}
	})
	if n != 0 {
		t.Errorf("%d codes were exchanged", n)
	}
	for app, callback := range callbacks { // and each is good where it belongs
		if tr := phone.open(t, callback.String()); app == "default" && !tr.grants() {
			t.Errorf("%s: %v", app, tr)
		}
	}
	wantError(t, p.miniWith(t, "alice", shopMiniID, "default"), http.StatusBadRequest, "invalid_grant")
	wantError(t, p.miniWith(t, "alice", p.mini.AppID, "shop-mini"), http.StatusBadRequest, "invalid_grant")
	wantError(t, p.miniWith(t, "alice", shopMiniID, "shop"), http.StatusBadRequest, "invalid_request")
	wantError(t, p.api(t, http.MethodGet, "/login?app=shop-mini", "", ""), http.StatusBadRequest, "invalid_request")
}

func TestEveryAppHasAnAppTokenOfItsOwn(t *testing.T) {
	p := startApps(t, "WXBRIDGE_CLIENTS_FILE="+writeClients(t))
	var tokens []string
	stable, plain := p.called(t, pathStableToken, func() {
		for range 2 {
			for _, query := range []string{"", "?provider=mini_program", "?app=shop", "?app=shop-mini"} {
				token, err := p.appToken(query)
				if err != nil {
					t.Fatal(err)
				}
				tokens = append(tokens, token)
			}
		}
	}), p.called(t, pathToken, func() {
		for range 2 {
			token, err := p.appToken("?app=club")
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, token)
		}
	})
	different := map[string]bool{}
	for _, token := range tokens {
		different[token] = true
	}
	if stable != 4 || plain != 1 || len(different) != 5 {
		t.Errorf("%d and %d fetches, %d different tokens, want 4, 1 and 5", stable, plain, len(different))
	}
	if log := p.logged(t); strings.Contains(log, tokens[0]) {
		t.Error("LOG-01 an app token is in the log")
	}
}

// Pushes reach the app that ?app= of its server address names. Following makes somebody who was a stranger to the account
// known to it.
func TestPushesOfAnAppFromTheFileAreItsOwn(t *testing.T) {
	p := startApps(t)
	bob := p.phone("bob")
	own, _ := bob.loginWith(t, "default")
	var report struct{ Delivered bool }
	push := func(appID, event string) {
		t.Helper()
		p.control(t, http.MethodPost, "/_simulator/events", map[string]any{"person": "bob", "appid": appID, "event": event}, &report)
		if !report.Delivered {
			t.Fatalf("%s of %s was not taken", event, appID)
		}
	}
	push(shopID, "subscribe")
	shop, registered := p.phone("bob").loginWith(t, "shop")
	if registered || shop["sub"] != own["sub"] {
		t.Errorf("a new follower of the shop registers: %v, claims %v", registered, shop)
	}
	subscribed := func() map[any]any {
		t.Helper()
		of := map[any]any{}
		for _, i := range decode(t, p.api(t, http.MethodGet, "/me", bob.session().access, ""))["identities"].([]any) {
			identity := i.(map[string]any)
			of[identity["appid"]] = identity["subscribed"]
		}
		return of
	}
	if of := subscribed(); of[shopID] != true || of[p.official.AppID] != false {
		t.Errorf("/me says %v", of)
	}
	push(p.official.AppID, "subscribe")
	push(shopID, "unsubscribe")
	if of := subscribed(); of[shopID] != false || of[p.official.AppID] != true {
		t.Errorf("/me says %v", of)
	}
}
