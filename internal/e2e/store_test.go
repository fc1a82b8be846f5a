package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestREL17_ABlockedFanStaysOutEveryWay(t *testing.T) {
	data := t.TempDir()
	p := startDev(t, []string{"--data", data})
	bob := p.phone("bob")
	fan := subject(bob.login(t).access)
	p.miniToken(t, "alice")
	operate(t, nil, "fans", "block", "--data", data, fan)

	bob.forgetSession()
	tr := bob.open(t, "/login?return_to=%2Fshop")
	if tr.grants() || tr.last().status != http.StatusForbidden || !isHTML(tr.last()) {
		t.Errorf("the official account: want a 403 page:%v", tr)
	}
	checkFlowPage(t, p, tr.last())
	tr = p.phone("bob").open(t, "/login?scope=userinfo")
	if tr.grants() || tr.last().status != http.StatusForbidden {
		t.Errorf("with userinfo: want a 403 page:%v", tr)
	}
	h := p.api(t, http.MethodPost, miniLogin, "", `{"code":"`+p.jsCode(t, "bob")+`"}`)
	wantError(t, h, http.StatusForbidden, "access_denied") // the mini program's unionid joins the blocked fan
	p.miniToken(t, "alice")
}

func TestTheTapOnTheRegisterPageIsKept(t *testing.T) {
	p := startDev(t, nil)
	bob := p.phone("bob")
	token := bob.login(t).access
	export := string(p.api(t, http.MethodGet, "/me/export", token, "").body)
	m := regexp.MustCompile(`"[a-z_]*consent[a-z_]*"\s*:\s*"([^"]+)"`).FindStringSubmatch(export)
	if m == nil {
		t.Fatalf("no time of consent in %s", export)
	}
	if at, err := time.Parse(time.RFC3339, m[1]); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("the time of consent is %q", m[1])
	}
	guest := p.miniToken(t, "carol")
	export = string(p.api(t, http.MethodGet, "/me/export", guest, "").body)
	if regexp.MustCompile(`consent[a-z_]*"\s*:\s*"2`).MatchString(export) {
		t.Errorf("a guest consented: %s", export)
	}
}

// KEY-06: whatever happens during a first start, there is one key in the end.
func TestKEY06_FirstStarts(t *testing.T) {
	besideOthers(t)
	t.Run("three at once", func(t *testing.T) {
		database := filepath.Join(t.TempDir(), "w.db")
		keys := map[string]bool{}
		var mu sync.Mutex
		var group sync.WaitGroup
		for range 3 {
			address := freeAddress(t)
			p := &product{bridge: "http://" + address, log: new(logBuffer), http: newHTTPClient(t)}
			p.findApps(t, p.bridge)
			env := append(p.serveEnv(address, "http://localhost:1"), "WXBRIDGE_DATABASE=sqlite://"+database, "WXBRIDGE_WECHAT_OPEN_URL=http://localhost:1")
			group.Go(func() { runCommand(t, p.log, []string{"serve"}, env, new(logBuffer)) })
			group.Go(func() {
				for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-afterMillis(20) {
					if h, err := p.tryAPI(http.MethodGet, "/.well-known/jwks.json", "", ""); err == nil && h.status == http.StatusOK {
						mu.Lock()
						keys[string(h.body)] = true
						mu.Unlock()
						return
					}
				}
				t.Errorf("one of them never answers:\n%s", p.log.tail(5))
			})
		}
		group.Wait()
		if len(keys) != 1 {
			t.Errorf("%d sets of keys", len(keys))
		}
	})
	t.Run("killed again and again", func(t *testing.T) {
		if testing.Short() {
			t.Skip("builds the binary and kills it")
		}
		binary := buildBinary(t)
		address := freeAddress(t)
		p := &product{bridge: "http://" + address, simulator: "http://localhost:1", log: new(logBuffer), http: newHTTPClient(t)}
		p.findApps(t, p.bridge)
		for range times(10, 100) {
			data := t.TempDir()
			env := append(p.serveEnv(address, "http://localhost:1"), "WXBRIDGE_DATABASE=sqlite://"+filepath.Join(data, "w.db"))
			first := spawn(t, p, binary, data, env)
			<-time.After(time.Duration(rand.IntN(60)) * time.Millisecond)
			first.kill(t)
			second := startChild(t, p, binary, data, env)
			var keys struct{ Keys []json.RawMessage }
			if err := json.Unmarshal(p.get(t, "/.well-known/jwks.json").body, &keys); err != nil || len(keys.Keys) != 1 {
				t.Errorf("%d keys after a killed first start (%v)", len(keys.Keys), err)
			}
			second.kill(t)
		}
	})
}

func TestREL02_TwoHundredAtOnce(t *testing.T) {
	p := startDev(t, nil)
	var logins, next atomic.Int64
	stop := time.After(time.Duration(times(2, 60)) * time.Second)
	ended := make(chan struct{})
	var group sync.WaitGroup
	for range 200 {
		group.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				person := fmt.Sprintf("crowd-%d", next.Add(1)%5000)
				if _, err := p.tryMiniLogin(person); err != nil {
					t.Errorf("%s: %v", person, err)
					return
				}
				logins.Add(1)
			}
		})
	}
	<-stop
	close(ended)
	group.Wait()
	if log := p.logged(t); strings.Contains(log, "database is locked") {
		t.Error("the log says: database is locked")
	}
	t.Logf("%d logins", logins.Load())
}
