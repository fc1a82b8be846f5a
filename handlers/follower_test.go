package handlers_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
)

const (
	followerPath    = "/cgi-bin/user/info"
	stableTokenPath = "/cgi-bin/stable_token"
)

// registerInMini makes a fan with a profile of somebody who has only ever used the mini program.
func (b *bridge) registerInMini(person string) (fan string) {
	b.t.Helper()
	fan, token := b.miniLogin(person)
	p := b.browser("").do("PATCH", "/me", `{"nickname":"from the mini program"}`, "Content-Type", "application/json", "Authorization", "Bearer "+token)
	if p.StatusCode != http.StatusOK {
		b.t.Fatalf("PATCH /me: %d %s", p.StatusCode, p.body)
	}
	return fan
}

// openID is what an app calls one of the cast.
func (b *bridge) openID(person, appID string) string {
	b.t.Helper()
	response, err := http.Get(b.simURL + "/_simulator/people")
	must(b.t, err)
	defer response.Body.Close()
	var all struct {
		People []struct {
			Name     string
			Accounts []struct{ AppID, OpenID string }
		}
	}
	must(b.t, json.NewDecoder(response.Body).Decode(&all))
	for _, p := range all.People {
		for _, a := range p.Accounts {
			if p.Name == person && a.AppID == appID {
				return a.OpenID
			}
		}
	}
	b.t.Fatalf("the simulator does not know %s", person)
	return ""
}

// lands reports where a base login ends.
func (w *browser) lands() string {
	w.t.Helper()
	return w.visit("/login?return_to=/shop").Request.URL.Path
}

func (b *bridge) subscribed(fan string) (of map[string]*bool) {
	b.t.Helper()
	identities, err := b.store.Identities(b.t.Context(), fan)
	must(b.t, err)
	of = map[string]*bool{}
	for _, i := range identities {
		of[i.Provider] = i.Subscribed
	}
	return of
}

func TestFollower_KnownFromTheMiniProgramIsRecognisedSilently(t *testing.T) {
	b := newBridge(t)
	fan := b.registerInMini("alice")
	w := b.browser("alice")
	if at := w.lands(); at != "/shop" {
		t.Fatalf("a follower who is known ends at %s", at)
	}
	claims := w.mustClaims()
	if claims.Subject != fan || claims.UnionID == "" || claims.Provider != db.ProviderOfficialAccount {
		t.Errorf("claims %+v, want fan %s with a unionid", claims, fan)
	}
	if s := b.subscribed(fan)[db.ProviderOfficialAccount]; s == nil || !*s {
		t.Error("that alice follows the account is not kept")
	}
	var me struct {
		Identities []struct {
			Provider   string
			Subscribed *bool
		}
	}
	must(t, json.Unmarshal([]byte(w.get("/me").body), &me))
	if len(me.Identities) != 2 || me.Identities[1].Subscribed == nil || !*me.Identities[1].Subscribed || me.Identities[0].Subscribed != nil {
		t.Errorf("/me says %+v", me)
	}
	if log := b.log.String(); !strings.Contains(log, `"event":"fan.linked"`) {
		t.Error("REL-17 the link is not in the log")
	}
	asked := b.calls(followerPath)
	if at := b.browser("alice").lands(); at != "/shop" || asked != 1 || b.calls(followerPath) != asked {
		t.Errorf("the next login ends at %s after %d more questions; the first asked %d times", at, b.calls(followerPath)-asked, asked)
	}
}

func TestFollower_WhoCannotBeRecognisedSeesTheRegisterPage(t *testing.T) {
	for name, row := range map[string]struct {
		person string
		before func(b *bridge)
		login  string
	}{
		"a follower whom nobody knows":                {"alice", func(*bridge) {}, "/login"},
		"a guest of the mini program, not a follower": {"bob", func(b *bridge) { b.miniLogin("bob") }, "/login"},
		"somebody known who does not follow":          {"bob", func(b *bridge) { b.registerInMini("bob") }, "/login"},
		"REL-17 a follower of another open account":   {"alice", func(b *bridge) { b.registerInMini("alice") }, "/login?app=second"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBridge(t)
			row.before(b)
			w := b.browser(row.person)
			p := w.visit(row.login)
			if _, ok := w.claims(); ok || p.Request.URL.Path != "/login/register" {
				t.Errorf("ends at %s, logged in: %v", p.Request.URL.Path, ok)
			}
			if n := b.calls(followerPath); n != 1 {
				t.Errorf("%d questions", n)
			}
		})
	}
}

// That a stranger follows is kept once they register; whoever else takes the phone in between starts from nothing.
func TestFollower_WhoRegistersIsKnownToFollow(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	if s := b.subscribed(w.mustClaims().Subject)[db.ProviderOfficialAccount]; s == nil || !*s {
		t.Error("alice follows, which is not kept")
	}
	if n := b.calls(followerPath); n != 1 {
		t.Errorf("%d questions about alice, whose silent login had the answer", n)
	}
	w = b.browser("bob")
	w.register()
	if s := b.subscribed(w.mustClaims().Subject)[db.ProviderOfficialAccount]; s == nil || *s {
		t.Errorf("that bob does not follow is not kept: %v", s)
	}

	other := newBridge(t)
	w = other.browser("alice")
	w.visit("/login")
	w.person = "bob"
	w.visit("/login/official-account?scope=userinfo")
	if s := other.subscribed(w.mustClaims().Subject)[db.ProviderOfficialAccount]; s == nil || *s {
		t.Errorf("another person's answer was kept: %v", s)
	}
}

// subscribedInMe is what /me says of the official account; nil: nothing.
func (w *browser) subscribedInMe() (follows *bool) {
	w.t.Helper()
	var me struct {
		Identities []struct {
			Provider   string
			Subscribed *bool
		}
	}
	must(w.t, json.Unmarshal([]byte(w.get("/me").body), &me))
	for _, i := range me.Identities {
		if i.Provider == db.ProviderOfficialAccount {
			follows = i.Subscribed
		}
	}
	return follows
}

// Every way to log in with the official account learns who follows it; whose state is known costs no question.
func TestFollower_EveryLoginLearnsWhoFollows(t *testing.T) {
	for person, follows := range map[string]bool{"alice": true, "bob": false} {
		t.Run(person, func(t *testing.T) {
			b := newBridge(t)
			w := b.browser(person)
			if at := w.visit("/login?scope=userinfo&return_to=/shop").Request.URL.Path; at != "/shop" {
				t.Fatalf("ends at %s", at)
			}
			if s := w.subscribedInMe(); s == nil || *s != follows {
				t.Errorf("/me does not know who follows: %v", s)
			}
			for _, login := range []string{"/login?prompt=login", "/login?scope=userinfo&prompt=login"} {
				if w.visit(login); b.calls(followerPath) != 1 {
					t.Errorf("%s: %d questions about somebody known", login, b.calls(followerPath)-1)
				}
			}
		})
	}
}

// A fan of old, of whom nobody knows whether they follow, is asked about once.
func TestFollower_AReturningFanOfUnknownStateIsAskedAboutOnce(t *testing.T) {
	b := newBridge(t)
	b.fault(`{"path":"` + followerPath + `","errcode":48001,"times":0}`)
	w := b.browser("alice")
	w.register()
	if s := w.subscribedInMe(); s != nil {
		t.Fatalf("nobody could know, and /me says %v", *s)
	}
	b.control("DELETE", "/_simulator/faults", "")
	b.clock.Advance(11 * time.Minute)
	asked := b.calls(followerPath)
	for range 2 {
		again := b.browser("alice")
		if at := again.lands(); at != "/shop" {
			t.Fatalf("ends at %s", at)
		}
		if s := again.subscribedInMe(); s == nil || !*s {
			t.Errorf("/me still does not know that alice follows: %v", s)
		}
	}
	if n := b.calls(followerPath) - asked; n != 1 {
		t.Errorf("%d questions, want one", n)
	}
}

// An account that sends no pushes tells nobody who leaves: what was so a day ago is asked again.
func TestFollower_WithoutPushesAnAnswerIsGoodForADay(t *testing.T) {
	b := newBridge(t)
	w := b.browser("alice")
	w.register()
	b.control("POST", "/_simulator/events", `{"person":"alice","appid":"`+b.official.AppID+`","event":"unsubscribe"}`)
	b.clock.Advance(23 * time.Hour)
	w = b.browser("alice")
	if w.lands(); b.calls(followerPath) != 1 {
		t.Errorf("%d questions within a day", b.calls(followerPath)-1)
	}
	b.clock.Advance(25 * time.Hour)
	w = b.browser("alice")
	w.lands()
	if s := w.subscribedInMe(); s == nil || *s {
		t.Errorf("after a day /me says of who left: %v", s)
	}
}

// Whatever is wrong upstream, a login with the profile goes on without the answer, and in time.
func TestFollower_AFailureFailsNoLoginWithTheProfile(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{`"errcode":48001`, `"errcode":45009`, `"mode":"reset"`, `"mode":"html502"`, `"latency_ms":9000`} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			b := newBridge(t)
			b.fault(`{"path":"` + followerPath + `","times":0,` + fault + `}`)
			w, start := b.browser("alice"), time.Now()
			if at := w.visit("/login?scope=userinfo&return_to=/shop").Request.URL.Path; at != "/shop" {
				t.Fatalf("ends at %s", at)
			}
			if s := w.subscribedInMe(); s != nil {
				t.Errorf("/me says %v, which nobody knows", *s)
			}
			if took := time.Since(start); took > 7*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// Somebody known from the mini program is recognised though they never gave a profile, and is again at the next login.
func TestFollower_AGuestOfTheMiniProgramIsRecognisedSilently(t *testing.T) {
	b := newBridge(t)
	fan, _ := b.miniLogin("alice")
	for n := range 2 {
		w := b.browser("alice")
		if at := w.lands(); at != "/shop" {
			t.Fatalf("login %d ends at %s", n+1, at)
		}
		if claims := w.mustClaims(); claims.Subject != fan || claims.UnionID == "" {
			t.Errorf("login %d: claims %+v, want fan %s with a unionid", n+1, claims, fan)
		}
	}
	if n := b.calls(followerPath); n != 1 {
		t.Errorf("%d questions", n)
	}
	w := b.browser("alice") // who wants to be known by name asks for it
	if w.visit("/login?scope=userinfo"); w.mustClaims().Subject != fan {
		t.Error("the profile went to another fan")
	}
}

func TestFollower_ABlockedPersonIsRefused(t *testing.T) {
	b := newBridge(t)
	fan := b.registerInMini("alice")
	_, err := b.store.SetAccess(t.Context(), fan, db.Access{Status: db.StatusBlocked}, time.Now().Add(time.Hour))
	must(t, err)
	w := b.browser("alice")
	if p := w.visit("/login"); p.StatusCode != http.StatusForbidden {
		t.Errorf("REL-17 a blocked fan's new identity: %d", p.StatusCode)
	}
	if _, ok := w.claims(); ok {
		t.Error("REL-17 a blocked fan has a token")
	}
}

// Two roles are never merged silently: the guest of one role stays apart from the fan of another, and registers.
func TestREL17_AGuestOfAnotherRoleIsNotRecognised(t *testing.T) {
	b := newBridge(t)
	guest, err := b.store.SaveLogin(t.Context(), db.Login{Identity: db.Identity{Provider: db.ProviderOfficialAccount, AppID: b.official.AppID,
		OpenID: b.openID("alice", b.official.AppID), OpenAccount: "default"}})
	must(t, err)
	for id, role := range map[string]string{guest.Fan.ID: "editor", b.registerInMini("alice"): "owner"} {
		_, err := b.store.SetAccess(t.Context(), id, db.Access{Role: &role}, time.Now().Add(time.Hour))
		must(t, err)
	}
	w := b.browser("alice")
	if at := w.lands(); at != "/login/register" {
		t.Errorf("ends at %s", at)
	}
	if _, ok := w.claims(); ok {
		t.Error("the guest is logged in as somebody")
	}
}

// Whatever goes wrong, the login ends on the register page as it did before, and in time; and an account that WeChat tells
// nothing is not asked by every login.
func TestFollower_EveryFailureEndsOnTheRegisterPage(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		fault string
		again time.Duration // after which WeChat is asked again; 0: at once
	}{
		"WX-17 no right to ask":     {`{"path":"` + followerPath + `","errcode":48001,"times":0}`, 10 * time.Minute},
		"a token always refused":    {`{"path":"` + followerPath + `","errcode":40001,"times":0}`, 10 * time.Minute},
		"a day's quota is used up":  {`{"path":"` + followerPath + `","errcode":45009,"times":0}`, 10 * time.Minute},
		"a minute's quota":          {`{"path":"` + followerPath + `","errcode":45011,"times":0}`, time.Minute},
		"an openid of another app":  {`{"path":"` + followerPath + `","errcode":40003,"times":0}`, 0},
		"busy":                      {`{"path":"` + followerPath + `","errcode":-1,"times":0}`, 10 * time.Second},
		"slow":                      {`{"path":"` + followerPath + `","latency_ms":9000,"times":0}`, 10 * time.Second},
		"no answer":                 {`{"path":"` + followerPath + `","mode":"reset","times":0}`, 10 * time.Second},
		"no JSON":                   {`{"path":"` + followerPath + `","mode":"html502","times":0}`, 10 * time.Second},
		"no token: IP not listed":   {`{"path":"` + stableTokenPath + `","errcode":40164,"times":0}`, 10 * time.Minute},
		"no token: a wrong secret":  {`{"path":"` + stableTokenPath + `","errcode":40125,"times":0}`, 10 * time.Minute},
		"no token: WeChat is slow":  {`{"path":"` + stableTokenPath + `","latency_ms":9000,"times":0}`, 10 * time.Second},
		"no token: a broken answer": {`{"path":"` + stableTokenPath + `","mode":"truncated","times":0}`, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// No fetch of a token may outlive the wait for it: its failure would be of a time to which this clock has moved since.
			b := startBridge(t, &bridge{t: t, clock: &clock{}, log: &lockedBuffer{}, callTimeout: time.Second}, "",
				[]func(*handlers.Config){withoutWebsites})
			b.registerInMini("alice")
			b.fault(row.fault)
			start := time.Now()
			w := b.browser("alice")
			if at := w.lands(); at != "/login/register" {
				t.Fatalf("ends at %s", at)
			}
			if took := time.Since(start); took > 7*time.Second {
				t.Errorf("took %v", took)
			}
			if log := b.log.String(); !strings.Contains(log, `"event":"follower.failed"`) || strings.Contains(log, b.official.Secret) {
				t.Errorf("the log says\n%s", log)
			}
			b.control("DELETE", "/_simulator/faults", "")
			wait := row.again
			if wait > 0 {
				b.clock.Advance(wait / 2)
				if at := b.browser("alice").lands(); at != "/login/register" {
					t.Errorf("asked again before %v had passed: ends at %s", wait, at)
				}
				b.clock.Advance(wait/2 + 10*time.Second) // and more than AppTokens waits after a failure
			}
			if at := b.browser("alice").lands(); at != "/shop" {
				t.Errorf("ends at %s once WeChat answers again", at)
			}
		})
	}
}

// REL-15: a clock that is set back ends a pause.
func TestREL15_APauseEndsWhenTheClockGoesBack(t *testing.T) {
	b := newBridge(t)
	b.registerInMini("alice")
	b.fault(`{"path":"` + followerPath + `","errcode":48001}`)
	if at := b.browser("alice").lands(); at != "/login/register" {
		t.Fatalf("ends at %s", at)
	}
	b.clock.Advance(-time.Minute)
	if at := b.browser("alice").lands(); at != "/shop" {
		t.Errorf("ends at %s", at)
	}
}

func TestFollower_PolicyNeverLinksAGuestAndAsksSeldom(t *testing.T) {
	b := newBridge(t, func(c *handlers.Config) { c.ProfilePolicy.Never = true })
	fan, _ := b.miniLogin("alice")
	w := b.browser("alice")
	if at := w.lands(); at != "/shop" || w.mustClaims().Subject != fan {
		t.Errorf("a follower ends at %s as %s, want fan %s", at, w.mustClaims().Subject, fan)
	}
	b.browser("alice").lands()
	if n := b.calls(followerPath); n != 1 {
		t.Errorf("%d questions about somebody whose unionid is known", n)
	}
	for range 3 {
		b.browser("bob").lands()
	}
	if n := b.calls(followerPath); n != 2 {
		t.Errorf("%d questions, want one about bob", n-1)
	}
	b.clock.Advance(2 * time.Hour)
	b.browser("bob").lands()
	if n := b.calls(followerPath); n != 3 {
		t.Errorf("%d questions, want another about bob after two hours", n-1)
	}
}

// An account that is bound to no open account has nothing to tell.
func TestFollower_AnUnboundAccountIsSeldomAsked(t *testing.T) {
	b := newBridge(t, func(c *handlers.Config) { c.ProfilePolicy.Never = true })
	for range 3 {
		b.browser("alice").visit("/login?app=second")
	}
	if n := b.calls(followerPath); n != 1 {
		t.Errorf("%d questions", n)
	}
}
