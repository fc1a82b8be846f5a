package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wxbridge/db"
)

// Resident memory of serve, in KiB.
const (
	mostIdle   = 30 << 10
	mostLoaded = 64 << 10
)

// The process stays small: idle, and while people log in at a million fans. A long run; it needs Linux's /proc.
func TestMemory_StaysSmallAtAMillionFans(t *testing.T) {
	if !soak() {
		t.Skip("set WXBRIDGE_TEST_SOAK=1 to store a million fans and measure memory")
	}
	data := t.TempDir()
	database := filepath.Join(data, "wxbridge.db")
	storeFans(t, database, 1_000_000)

	address := freeAddress(t)
	p := &product{bridge: "http://" + address, simulator: "http://localhost:1", log: new(logBuffer), http: newHTTPClient(t)}
	p.findApps(t, p.bridge)
	var calls atomic.Int64
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		person, _, _ := strings.Cut(r.FormValue("js_code"), "x")
		calls.Add(1)
		fmt.Fprintf(w, `{"session_key":"tiihtNczf5v6AKRyjwEUhQ==","openid":"%s"}`, fanOpenID(person))
	}))
	defer upstream.Close()
	serve := startChild(t, p, buildBinary(t), data, append(p.serveEnv(address, upstream.URL), "WXBRIDGE_DATABASE=sqlite://"+database))
	defer serve.kill(t)

	if idle := memory(t, serve, "VmRSS"); idle > mostIdle {
		t.Errorf("idle: %d KiB", idle)
	} else {
		t.Logf("idle: %d KiB", idle)
	}
	var next atomic.Int64
	var wait sync.WaitGroup
	start := time.Now()
	const logins = 60_000
	for range 64 {
		wait.Go(func() {
			for n := next.Add(1); n <= logins; n = next.Add(1) {
				// Two who come back for one who is new.
				person := strconv.FormatInt(n*7919%1_000_000, 10)
				if n%3 == 0 {
					person = "new" + person
				}
				body := fmt.Sprintf(`{"code":"%sx%d"}`, person, n)
				if h := p.api(t, http.MethodPost, miniLogin, "", body); h.status != http.StatusOK {
					t.Errorf("login: %v %s", h, h.body)
					return
				}
			}
		})
	}
	wait.Wait()
	if peak := memory(t, serve, "VmHWM"); peak > mostLoaded {
		t.Errorf("while logging in: %d KiB at most", peak)
	} else {
		t.Logf("while logging in: %d KiB at most; %.0f logins a second, %d upstream calls", peak, logins/time.Since(start).Seconds(), calls.Load())
	}
}

func fanOpenID(person string) string { return "o" + strings.Repeat("0", 27-len(person)) + person }

func storeFans(t *testing.T, database string, fans int) {
	t.Helper()
	store, err := db.Open(t.Context(), "sqlite://"+database, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	app := (&product{}).miniApp(t)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range 512 {
		wait.Go(func() {
			for n := int(next.Add(1)) - 1; n < fans; n = int(next.Add(1)) - 1 {
				_, err := store.SaveLogin(t.Context(), db.Login{Identity: db.Identity{Provider: db.ProviderMiniProgram,
					AppID: app, OpenID: fanOpenID(strconv.Itoa(n)), OpenAccount: "default"}})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// miniApp is the appid of the simulator's mini program.
func (p *product) miniApp(t *testing.T) string {
	p.findApps(t, "http://127.0.0.1")
	return p.mini.AppID
}

// memory reads a line of /proc/PID/status, in KiB.
func memory(t *testing.T, c *child, field string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %s", field, status)
	return 0
}
