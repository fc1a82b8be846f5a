package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"wxbridge/internal/cli"
)

// backend is somebody's server that is told of events. It checks every signature with the reference library.
type backend struct {
	server *httptest.Server
	secret string

	// answer, if set, decides what the n-th request (from 0) is answered; else it is 204.
	answer atomic.Pointer[func(n int, e received, w http.ResponseWriter)]

	mu     sync.Mutex
	events []received
	wrong  []string
}

type received struct {
	ID     string
	Type   string
	Data   map[string]any
	Body   string
	Wanted bool // an answer is waited for

	Timestamp, Signature string // the headers
}

func webhookSecret(label string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte((label + "-Wq7Zt2mXc9Lf4Rb8Ns6Kd1Hy3Gp5Jv0TuEaQoIiYz")[:40]))
}

func startBackend(t testing.TB, name string) *backend {
	t.Helper()
	b := &backend{secret: webhookSecret(name)}
	b.server = httptest.NewServer(b)
	t.Cleanup(b.server.Close)
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, wrong := range b.wrong {
			t.Error(wrong)
		}
	})
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	verifier, keyErr := standardwebhooks.NewWebhook(b.secret)
	e := received{ID: r.Header.Get("Webhook-Id"), Body: string(body), Wanted: r.Header.Get("Wxbridge-Reply") == "wanted",
		Timestamp: r.Header.Get("Webhook-Timestamp"), Signature: r.Header.Get("Webhook-Signature")}
	var payload struct {
		Type      string
		Timestamp time.Time
		Data      map[string]any
	}
	switch {
	case err != nil || keyErr != nil:
		return // cut off by the end of the bridge
	case verifier.Verify(body, r.Header) != nil:
		b.complain("a bad signature: %v", verifier.Verify(body, r.Header))
	case json.Unmarshal(body, &payload) != nil || payload.Type == "" || payload.Timestamp.IsZero() || payload.Data == nil:
		b.complain("not the payload of an event: %s", body)
	case r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json":
		b.complain("%s with content type %s", r.Method, r.Header.Get("Content-Type"))
	}
	e.Type, e.Data = payload.Type, payload.Data
	b.mu.Lock()
	n := len(b.events)
	b.events = append(b.events, e)
	b.mu.Unlock()
	if answer := b.answer.Load(); answer != nil {
		(*answer)(n, e, w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (b *backend) complain(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, fmt.Sprintf(format, args...))
}

func (b *backend) answers(answer func(n int, e received, w http.ResponseWriter)) {
	b.answer.Store(&answer)
}

func (b *backend) all() []received {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events)
}

func (b *backend) types() []string {
	var types []string
	for _, e := range b.all() {
		types = append(types, e.Type)
	}
	return types
}

// wait waits for n events, counting repeats.
func (b *backend) wait(t testing.TB, n int) []received {
	t.Helper()
	waitFor(t, 30*time.Second, fmt.Sprintf("%d events", n), func() bool { return len(b.all()) >= n })
	return b.all()
}

// webhooksFile writes an endpoints file. Each line is what follows the name, the URL and the secret of the backend.
func webhooksFile(t testing.TB, backends map[string]*backend, more map[string]string) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("endpoints:\n")
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range backends {
			if !yield(name) {
				return
			}
		}
	}) {
		b := backends[name]
		fmt.Fprintf(&text, "  - name: %s\n    url: %s/in?key=hidden-in-the-query\n    secret: %s\n", name, b.server.URL, b.secret)
		for line := range strings.SplitSeq(more[name], "\n") {
			fmt.Fprintf(&text, "    %s\n", line)
		}
	}
	file := filepath.Join(t.TempDir(), "webhooks.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return "WXBRIDGE_EVENT_WEBHOOKS=" + file
}

func text(content string) map[string]string {
	return map[string]string{"name": "text", "content": content}
}

// Everything that is told of one person arrives, signed, in order, and says nothing secret.
func TestWebhooksTellWhatHappens(t *testing.T) {
	shop, crm := startBackend(t, "shop"), startBackend(t, "crm")
	p := startDev(t, nil, webhooksFile(t, map[string]*backend{"shop": shop, "crm": crm},
		map[string]string{"shop": "events: ['*']", "crm": "events: [fan.*]"}))

	if report := p.push(t, "bob", "subscribe"); !report.Delivered {
		t.Fatalf("the simulator's push: %+v", report)
	}
	shop.wait(t, 1) // a stranger's: no order yet with the mini program's fan
	p.miniToken(t, "bob")
	session := p.phone("bob").login(t)
	id := subject(session.access)
	p.api(t, http.MethodPatch, "/me", session.access, `{"nickname":"Robert"}`)
	p.push(t, "bob", text("hello"))
	shop.wait(t, 7)
	p.api(t, http.MethodDelete, "/me", session.access, "")
	shop.wait(t, 8)
	if diff := cmp.Diff([]string{"official_account.subscribe", "fan.registered", "login", "fan.updated", "login", "fan.updated",
		"official_account.message", "fan.erased"}, shop.types()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"fan.registered", "fan.updated", "fan.updated", "fan.erased"}, crm.types()); diff != "" {
		t.Errorf("told who wants to hear of fans only (-want +got):\n%s", diff)
	}
	checkFacts(t, p, id, shop.all())
	for _, e := range append(shop.all(), crm.all()...) {
		for _, secret := range []string{session.access, session.id, p.official.Secret, p.mini.Secret, "session_key", "refresh_token", "access_token"} {
			if strings.Contains(e.Body, secret) {
				t.Errorf("%s tells a secret: %s", e.Type, e.Body)
			}
		}
	}
}

// checkFacts looks at what the events of TestWebhooksTellWhatHappens say.
func checkFacts(t *testing.T, p *product, id string, events []received) {
	t.Helper()
	bob := p.account(t, "bob", "official_account")
	openID := func(data map[string]any) any { return data["identity"].(map[string]any)["openid"] }
	fanID := func(data map[string]any) any { return data["fan"].(map[string]any)["id"] }
	ids := map[string]bool{}
	for i, e := range events {
		ids[e.ID] = true
		if i > 0 && fanID(e.Data) != id {
			t.Errorf("%s is about fan %v, want %s", e.Type, fanID(e.Data), id)
		}
	}
	if len(ids) != len(events) {
		t.Errorf("%d events have %d ids", len(events), len(ids))
	}
	for i, want := range map[int]string{0: bob.OpenID, 4: bob.OpenID, 6: bob.OpenID} {
		if got := openID(events[i].Data); got != want {
			t.Errorf("%s names the account %v, want %s", events[i].Type, got, want)
		}
	}
	// Bob follows the account, so he was recognised as the mini program's guest, and has his first profile from himself.
	if diff := cmp.Diff([]any{"nickname", "registered"}, events[5].Data["changed"]); diff != "" || events[6].Data["content"] != "hello" {
		t.Errorf("changed (-want +got):\n%s\nmessage: %s", diff, events[6].Body)
	}
}

// An endpoint that fails, slowly, holds up neither people nor other endpoints, and its log lines do not show its query.
func TestAFailingBackendBlocksNobody(t *testing.T) {
	good, bad := startBackend(t, "good"), startBackend(t, "bad")
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	bad.answers(func(n int, _ received, w http.ResponseWriter) {
		if n%2 == 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		<-release
	})
	p := startDev(t, nil, webhooksFile(t, map[string]*backend{"good": good, "bad": bad},
		map[string]string{"good": "events: [login]", "bad": "events: [login]"}))
	const people = 60
	for n := range people {
		began := time.Now()
		p.miniToken(t, fmt.Sprintf("somebody-%d", n))
		if took := time.Since(began); took > within(time.Second) {
			t.Errorf("a login took %v", took)
		}
	}
	good.wait(t, people)
	if n := len(bad.all()); n > 16+5 {
		t.Errorf("the endpoint that fails was tried %d times at once", n)
	}
	waitFor(t, 10*time.Second, "a line about the failure", func() bool { return strings.Contains(p.logged(t), `"event":"webhook.failed"`) })
	if strings.Contains(p.logged(t), "hidden-in-the-query") {
		t.Error("the log shows the query of an endpoint's URL")
	}
}

// What a replier answers in time is what the account answers; the queue does not deliver it again.
func TestAReplierAnswersForTheAccount(t *testing.T) {
	chat, audit := startBackend(t, "chat"), startBackend(t, "audit")
	chat.answers(func(_ int, e received, w http.ResponseWriter) {
		if e.Wanted {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"type":"text","content":"you said: %s"}`, e.Data["content"])
		}
	})
	p := startDev(t, nil, webhooksFile(t, map[string]*backend{"chat": chat, "audit": audit},
		map[string]string{"chat": "events: [official_account.*]\nreplier: true", "audit": "events: ['*']"}))
	p.push(t, "bob", "subscribe")
	for n := range 5 {
		said := fmt.Sprintf("word %d", n)
		if report := p.push(t, "bob", text(said)); report.Shown != "you said: "+said || len(report.Attempts) != 1 {
			t.Errorf("shown %q after %d attempts", report.Shown, len(report.Attempts))
		}
	}
	audit.wait(t, 6)
	events := chat.all()
	if len(events) != 6 {
		t.Errorf("the replier heard %d events, want 6: %v", len(events), chat.types())
	}
	for i, e := range events {
		if !e.Wanted {
			t.Errorf("event %d, %s, was delivered without waiting for its answer", i, e.Type)
		}
	}
}

// A replier that is too slow, says nothing or something odd, gets "success" answered for it in time, and the event again
// only if it has not acknowledged it.
func TestAReplierThatFailsCostsNothing(t *testing.T) {
	besideOthers(t)
	chat := startBackend(t, "chat")
	gone := make(chan struct{})
	t.Cleanup(func() { close(gone) })
	chat.answers(func(_ int, e received, w http.ResponseWriter) {
		switch content, _ := e.Data["content"].(string); {
		case !e.Wanted:
		case content == "slow":
			<-gone
		case content == "broken":
			w.WriteHeader(http.StatusBadGateway)
		case content == "page":
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<h1>hello</h1>")
		case content == "ok":
			io.WriteString(w, "OK")
		case content == "plain":
			io.WriteString(w, "a plain text\n")
		case content == "endless":
			io.WriteString(w, strings.Repeat("x", 100<<10))
		}
	})
	p := startDev(t, nil, webhooksFile(t, map[string]*backend{"chat": chat}, map[string]string{"chat": "events: ['*']\nreplier: true"}))
	var group waiters
	defer group.Wait()
	for _, row := range []struct {
		says, shown string
		again       bool
	}{
		{"slow", "", true}, {"broken", "", true}, {"page", "", false}, {"ok", "", false}, {"endless", "", false},
		{"plain", "a plain text", false},
	} {
		group.run(t, row.again, row.says, func(t *testing.T) {
			person := "who-says-" + row.says
			began := time.Now()
			report := p.push(t, person, text(row.says))
			if took := time.Since(began); took > within(4900*time.Millisecond) || !report.Delivered || len(report.Attempts) != 1 || report.Shown != row.shown {
				t.Errorf("after %v: %+v", took, report)
			}
			count := func() (n int) {
				for _, e := range chat.all() {
					if e.Data["content"] == row.says {
						n++
					}
				}
				return n
			}
			if row.again {
				waitFor(t, 20*time.Second, "the event to come again", func() bool { return count() == 2 })
			} else if n := count(); n != 1 {
				t.Errorf("delivered %d times", n)
			}
		})
	}
}

// 410 ends deliveries until an operator retries; both are told on the command line.
func TestGoneDisablesUntilRetry(t *testing.T) {
	shop := startBackend(t, "shop")
	shop.answers(func(_ int, _ received, w http.ResponseWriter) { w.WriteHeader(http.StatusGone) })
	data := t.TempDir()
	p := startDev(t, []string{"--data", data}, webhooksFile(t, map[string]*backend{"shop": shop}, map[string]string{"shop": "events: [login]"}))
	list := func() (e struct {
		State           string
		Pending, Failed int
		OldestAt        *time.Time `json:"oldest_at"`
	}) {
		var answer struct{ Endpoints []json.RawMessage }
		out := command(t, 0, nil, "webhooks", "list", "--json", "--data", data)
		if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer.Endpoints) != 1 {
			t.Fatalf("webhooks list: %s (%v)", out, err)
		}
		if err := json.Unmarshal(answer.Endpoints[0], &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	p.miniToken(t, "alice")
	waitFor(t, 10*time.Second, "the endpoint to be disabled", func() bool { return list().State == "disabled" })
	p.miniToken(t, "bob")
	if got := list(); got.Pending != 2 || got.Failed != 0 || got.OldestAt == nil {
		t.Errorf("listed: %+v", got)
	}
	if n := len(shop.all()); n != 1 {
		t.Errorf("%d requests to an endpoint that was gone after the first", n)
	}
	shop.answers(func(_ int, _ received, w http.ResponseWriter) {})
	if out := command(t, 0, nil, "webhooks", "retry", "shop", "--data", data); !strings.Contains(out, "shop: enabled") {
		t.Errorf("webhooks retry: %s", out)
	}
	shop.wait(t, 3)
	waitFor(t, 10*time.Second, "an empty queue", func() bool { return list().Pending == 0 && list().State == "active" })
	command(t, 1, nil, "webhooks", "retry", "nobody", "--data", data)
	command(t, 1, nil, "webhooks", "retry", "shop", "evt_UNKNOWN", "--data", data)
}

// command runs a command that ends by itself and returns what it wrote to stdout.
func command(t testing.TB, code int, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var stdout, stderr logBuffer
	if got := cli.Run(ctx, args, env, &stdout, &stderr); got != code {
		t.Fatalf("wxbridge %s: exit code %d, want %d: %s%s", strings.Join(args, " "), got, code, stdout.String(), stderr.String())
	}
	return stdout.String()
}
