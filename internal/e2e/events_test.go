package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const eventsPath = "/events/official-account"

// pushed is what the simulator says became of an event.
type pushed struct {
	Delivered bool
	Problem   string
	Mode      string
	Shown     string
	Attempts  []struct {
		Status     int
		DurationMS int64 `json:"duration_ms"`
	}
}

// eventEnv lets a serve take the simulator's pushes, in AES mode.
func (p *product) eventEnv() []string {
	return []string{"WXBRIDGE_OFFICIAL_TOKEN=" + p.official.Token, "WXBRIDGE_OFFICIAL_ENCODING_AES_KEY=" + p.official.EncodingAESKey}
}

// push lets an event happen to a person. event is a name or an object.
func (p *product) push(t testing.TB, person string, event any) pushed {
	t.Helper()
	report, err := p.tryPush(person, event)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func (p *product) tryPush(person string, event any) (report pushed, err error) {
	err = p.tryControl(http.MethodPost, "/_simulator/events", map[string]any{"person": person, "appid": p.official.AppID, "event": event}, &report)
	return report, err
}

// subscribed is what /me says of the official account.
func (p *product) subscribed(t testing.TB, token string) any {
	t.Helper()
	h := p.api(t, http.MethodGet, "/me", token, "")
	for _, i := range decode(t, h)["identities"].([]any) {
		if identity := i.(map[string]any); identity["provider"] == "official_account" {
			return identity["subscribed"]
		}
	}
	t.Fatalf("no official account in %s", h.body)
	return nil
}

func TestEventsReachTheBridgeOfDev(t *testing.T) {
	for mode, env := range map[string][]string{"aes": nil, "plain": {"WXBRIDGE_OFFICIAL_TOKEN=7c1f0a9be3d24865"}} {
		t.Run(mode, func(t *testing.T) {
			p := startDev(t, nil, env...)
			token := p.phone("bob").login(t).access
			var verified struct{ Verified bool }
			p.control(t, http.MethodPost, "/_simulator/events/verify", map[string]string{"appid": p.official.AppID}, &verified)
			if !verified.Verified {
				t.Error("the console would not save the address")
			}
			for _, step := range []struct {
				event string
				want  bool
			}{{"subscribe", true}, {"unsubscribe", false}} {
				if report := p.push(t, "bob", step.event); !report.Delivered || report.Mode != mode {
					t.Fatalf("%s: %+v", step.event, report)
				}
				if got := p.subscribed(t, token); got != step.want {
					t.Errorf("after %s /me says %v", step.event, got)
				}
			}
			p.push(t, "bob", "user_authorization_cancellation")
			want := map[string]int{"aes": http.StatusUnauthorized, "plain": http.StatusOK}[mode]
			if h := p.api(t, http.MethodGet, "/me", token, ""); h.status != want {
				t.Errorf("after the account was closed /me answers %d, want %d", h.status, want)
			}
			if warned := strings.Contains(p.logged(t), "plain mode, where anybody"); warned != (mode == "plain") {
				t.Errorf("WX-11: the start recommends AES mode: %v", warned)
			}
		})
	}
}

// WX-14 with the real store: another process holds its lock. WeChat is not told that all is well, sends again, and the push
// has its effect once.
func TestWX14_AStoreThatHangsIsAnsweredInTimeAndNothingIsLost(t *testing.T) {
	besideOthers(t)
	database := filepath.Join(t.TempDir(), "w.db")
	env := append((&product{}).withApps(t).eventEnv(), "WXBRIDGE_DATABASE=sqlite://"+database)
	p := startServe(t, nil, env...)
	token := p.phone("bob").login(t).access
	release := holdLock(t, database)
	answered := make(chan pushed, 1)
	go func() {
		report, _ := p.tryPush("bob", "subscribe")
		answered <- report
	}()
	waitFor(t, 10*time.Second, "the first refusal", func() bool { return strings.Contains(p.log.String(), `"route":"`+eventsPath+`","status":503`) })
	release()
	report := <-answered
	if !report.Delivered || len(report.Attempts) != 2 || report.Attempts[0].Status != http.StatusServiceUnavailable {
		t.Errorf("%+v", report)
	}
	for _, a := range report.Attempts {
		if a.DurationMS > 5000 {
			t.Errorf("answered after %d ms", a.DurationMS)
		}
	}
	if got := p.subscribed(t, token); got != true {
		t.Errorf("/me says %v", got)
	}
}

// withApps finds the simulator's apps before there is a bridge.
func (p *product) withApps(t testing.TB) *product {
	p.findApps(t, "http://127.0.0.1")
	return p
}

// holdLock keeps every other process from writing, until release.
func holdLock(t *testing.T, database string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+database+"?_txlock=immediate&_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		_ = tx.Rollback()
		_ = db.Close()
	})
	t.Cleanup(release)
	return release
}

// REL-07, WX-13: what one process has taken, another knows.
func TestWX13_TwoProcessesTakeAPushOnce(t *testing.T) {
	database := filepath.Join(t.TempDir(), "w.db")
	env := append((&product{}).withApps(t).eventEnv(), "WXBRIDGE_DATABASE=sqlite://"+database)
	one := startServe(t, nil, env...)
	two := startServe(t, nil, env...)
	token := one.phone("bob").login(t).access
	now := time.Now().Unix()
	event := func(name string, at int64) map[string]any {
		return map[string]any{"name": name, "fields": map[string]string{"CreateTime": fmt.Sprint(at)}}
	}
	one.push(t, "bob", event("subscribe", now-2))
	two.push(t, "bob", event("unsubscribe", now-2))
	two.push(t, "bob", event("subscribe", now-2)) // the repeat of the first
	if got := one.subscribed(t, token); got != false {
		t.Errorf("the repeat at the other process had an effect: /me says %v", got)
	}
	if !strings.Contains(two.logged(t), `"duplicate":true`) {
		t.Error("the log does not tell the duplicate")
	}
}

// Each account of the apps file has an address, a token and a mode of its own.
func TestEventsOfSeveralAccounts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "apps.yaml")
	err := os.WriteFile(file, []byte(`apps:
  - {alias: shop, provider: official_account, appid: wx00112233445566aa, secret: 5f4dcc3b5aa765d61d8327deb882cf99, callback_token: shopToken1, encoding_aes_key: abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG}
  - {alias: news, provider: official_account, appid: wx00112233445566bb, secret: 5f4dcc3b5aa765d61d8327deb882cf98, callback_token: newsToken2}
  - {alias: mute, provider: official_account, appid: wx00112233445566cc, secret: 5f4dcc3b5aa765d61d8327deb882cf97}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	shop := startBackend(t, "shop")
	p := startDev(t, nil, "WXBRIDGE_APPS_FILE="+file, webhooksFile(t, map[string]*backend{"shop": shop}, map[string]string{"shop": "events: ['official_account.*']"}))
	for appID, mode := range map[string]string{p.official.AppID: "aes", "wx00112233445566aa": "aes", "wx00112233445566bb": "plain"} {
		var report pushed
		p.control(t, http.MethodPost, "/_simulator/events", map[string]any{"person": "bob", "appid": appID, "event": "subscribe"}, &report)
		if !report.Delivered || report.Mode != mode {
			t.Errorf("%s: %+v", appID, report)
		}
	}
	apps := map[any]any{}
	for _, e := range shop.wait(t, 3) {
		apps[e.Data["app"]] = e.Data["encrypted"]
	}
	if diff := cmp.Diff(map[any]any{"default": true, "shop": true, "news": false}, apps); diff != "" {
		t.Errorf("app and whether encrypted (-want +got):\n%s", diff)
	}
	if h := p.get(t, eventsPath+"?app=mute"); h.status != http.StatusNotFound {
		t.Errorf("an account without a token: %v", h)
	}
	log := p.logged(t)
	if !strings.Contains(log, `"app":"news"`) || strings.Contains(log, `"app":"shop"`) {
		t.Error("WX-11: the start does not recommend AES mode to the one account that lacks it")
	}
}
