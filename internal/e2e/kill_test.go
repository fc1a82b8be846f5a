package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"
)

// REL-03: the process is killed again and again while strangers register. Whoever got an answer is there afterwards.
func TestREL03_EveryAnsweredRegistrationSurvivesKill9(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary and kills it")
	}
	besideOthers(t)
	binary := buildBinary(t)
	address := freeAddress(t)
	p := &product{bridge: "http://" + address, log: new(logBuffer), http: newHTTPClient(t)}
	p.findApps(t, p.bridge)
	p.simulator = startSimulator(t, p.bridge).URL
	data := t.TempDir()
	database := filepath.Join(data, "wxbridge.db")
	env := append(p.serveEnv(address, p.simulator), "WXBRIDGE_DATABASE=sqlite://"+database)

	crowd := &crowd{product: p}
	for round := range times(5, 200) {
		serve := startChild(t, p, binary, data, env)
		crowd.checkSample(t, round)
		before := len(crowd.answered)
		crowd.registerUntil(t, func() {
			// The blow falls at another moment each time: after some hundred answers, somewhere inside the next ones.
			waitFor(t, 60*time.Second, "registrations", func() bool { return crowd.count.Load() > int64(600+37*(round%11)) })
			serve.kill(t)
		})
		if got := len(crowd.answered) - before; got < 600 {
			t.Fatalf("round %d: only %d registrations", round, got)
		}
		checkIntegrity(t, database, crowd.answered)
	}
	serve := startChild(t, p, binary, data, env)
	crowd.checkAll(t)
	serve.kill(t)
	t.Logf("%d registrations were answered, none is lost", len(crowd.answered))
}

// registration is what the bridge answered somebody.
type registration struct{ person, code, id, token string }

type crowd struct {
	product  *product
	count    atomic.Int64
	answered []registration
	next     int
}

// registerUntil registers strangers, 32 at a time, until strike has killed the server.
func (c *crowd) registerUntil(t *testing.T, strike func()) {
	t.Helper()
	c.count.Store(0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				c.next++
				person := fmt.Sprintf("crowd-%d", c.next)
				mu.Unlock()
				r, err := c.register(person)
				if err != nil {
					continue // killed in the middle: nobody was promised anything
				}
				c.count.Add(1)
				mu.Lock()
				c.answered = append(c.answered, r)
				mu.Unlock()
			}
		})
	}
	strike()
	cancel()
	group.Wait()
}

func (c *crowd) register(person string) (registration, error) {
	code, err := c.product.newJSCode(person)
	if err != nil {
		return registration{}, err
	}
	h, err := c.product.tryAPI(http.MethodPost, miniLogin, "", `{"code":"`+code+`"}`)
	if err != nil {
		return registration{}, err
	}
	var answer struct {
		Token string `json:"access_token"`
		Fan   struct{ ID string }
	}
	if err := json.Unmarshal(h.body, &answer); err != nil || h.status != http.StatusOK || answer.Fan.ID == "" {
		return registration{}, fmt.Errorf("%v: %s", h, h.body)
	}
	return registration{person, code, answer.Fan.ID, answer.Token}, nil
}

// checkSample looks some of the answered people up over HTTP after a restart; their codes stay used.
func (c *crowd) checkSample(t *testing.T, round int) {
	t.Helper()
	for i := range min(20, len(c.answered)) {
		r := c.answered[len(c.answered)-1-i]
		c.check(t, r)
		if h := c.product.api(t, http.MethodPost, miniLogin, "", `{"code":"`+r.code+`"}`); h.status != http.StatusBadRequest {
			t.Errorf("round %d: a used code answers %v: %s", round, h, h.body)
		}
	}
	if len(c.answered) > 0 {
		r := c.answered[len(c.answered)-1]
		again, err := c.register(r.person)
		if err != nil || again.id != r.id {
			t.Errorf("round %d: %s was fan %s and is now %s (%v)", round, r.person, r.id, again.id, err)
		}
	}
}

func (c *crowd) checkAll(t *testing.T) {
	t.Helper()
	for _, r := range c.answered {
		c.check(t, r)
	}
}

func (c *crowd) check(t *testing.T, r registration) {
	t.Helper()
	h := c.product.api(t, http.MethodGet, "/me", r.token, "")
	if h.status != http.StatusOK || decode(t, h)["id"] != r.id {
		t.Fatalf("%s was answered as fan %s: %v: %s", r.person, r.id, h, h.body)
	}
}

// checkIntegrity opens the file as the kill left it, on a copy, so that nothing but the product recovers it.
func checkIntegrity(t *testing.T, database string, answered []registration) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy.db")
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(database + suffix)
		if err == nil {
			err = os.WriteFile(copied+suffix, content, 0o600)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite3", "file:"+copied)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Fatalf("integrity_check: %s (%v)", verdict, err)
	}
	rows, err := db.Query("SELECT id FROM fans")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	stored := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		stored[id] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, r := range answered {
		if !stored[r.id] {
			t.Fatalf("%s was answered as fan %s, who is not in the database", r.person, r.id)
		}
	}
}

// child is the product as a process of its own.
type child struct {
	cmd    *exec.Cmd
	exited chan error
}

// buildBinary gives the product as its users build it; it is built for the first test that asks.
func buildBinary(t *testing.T) string {
	t.Helper()
	binary, err := theBinary()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// startChild runs the command serve until it is ready.
func startChild(t *testing.T, p *product, binary, dir string, env []string) *child {
	t.Helper()
	c := spawn(t, p, binary, dir, env)
	p.waitReady(t)
	return c
}

func spawn(t *testing.T, p *product, binary, dir string, env []string) *child {
	t.Helper()
	cmd := exec.Command(binary, "serve")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, io.Discard, p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, exited: make(chan error, 1)}
	go func() { c.exited <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return c
}

func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-c.exited
}

// REL-10 as the system asks for it.
func TestREL10_SIGTERMEndsInOrder(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	besideOthers(t)
	binary := buildBinary(t)
	address := freeAddress(t)
	p := &product{bridge: "http://" + address, log: new(logBuffer), http: newHTTPClient(t)}
	p.findApps(t, p.bridge)
	p.simulator = startSimulator(t, p.bridge).URL
	data := t.TempDir()
	database := filepath.Join(data, "wxbridge.db")
	serve := startChild(t, p, binary, data, append(p.serveEnv(address, p.simulator), "WXBRIDGE_DATABASE=sqlite://"+database))
	p.miniToken(t, "bob")
	p.fault(t, fault{Path: pathJSCode, LatencyMS: 1000})
	code := p.jsCode(t, "carol")
	before := p.calls(t)[pathJSCode]
	answered := make(chan hop, 1)
	go func() {
		h, _ := p.tryAPI(http.MethodPost, miniLogin, "", `{"code":"`+code+`"}`)
		answered <- h
	}()
	waitFor(t, 5*time.Second, "the request to be upstream", func() bool { return p.calls(t)[pathJSCode] > before })
	if err := serve.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if h := <-answered; h.status != http.StatusOK {
		t.Errorf("the request in flight got %v: %s", h, h.body)
	}
	select {
	case err := <-serve.exited:
		if err != nil {
			t.Errorf("exit: %v, want 0", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("still there after 20 s")
	}
	if info, err := os.Stat(database + "-wal"); err == nil && info.Size() > 0 {
		t.Errorf("the WAL was not checkpointed: %d bytes", info.Size())
	}
}
