package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// listedEndpoint is an endpoint as webhooks list --json shows it.
type listedEndpoint struct {
	Endpoint, State           string
	Pending, Retrying, Failed int
	FailingSince              *time.Time `json:"failing_since"`
	NextAt                    *time.Time `json:"next_at"`
}

func listEndpoint(t testing.TB, data, name string) (e listedEndpoint) {
	t.Helper()
	out := command(t, 0, nil, "webhooks", "list", name, "--json", "--data", data)
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		t.Fatalf("webhooks list: %s (%v)", out, err)
	}
	return e
}

// A message that the replier failed waits for its next attempt alone: the next ones are answered at once, and it comes later.
func TestAFailedMessageDoesNotSilenceTheNext(t *testing.T) {
	besideOthers(t)
	chat := startBackend(t, "chat")
	chat.answers(func(_ int, e received, w http.ResponseWriter) {
		switch {
		case e.Data["content"] == "poison" && e.Wanted:
			w.WriteHeader(http.StatusBadGateway)
		case e.Wanted:
			w.Header().Set("Content-Type", "text/plain")
			w.Write([]byte("you said " + e.Data["content"].(string)))
		}
	})
	p := startDev(t, nil, webhooksFile(t, map[string]*backend{"chat": chat}, map[string]string{"chat": "events: [official_account.*]\nreplier: true\napps: [default]"}))
	if report := p.push(t, "bob", text("poison")); report.Shown != "" || !report.Delivered {
		t.Errorf("the message that fails: %+v", report)
	}
	for _, said := range []string{"one", "two", "three"} {
		began := time.Now()
		report := p.push(t, "bob", text(said))
		if took := time.Since(began); report.Shown != "you said "+said || took > within(2*time.Second) {
			t.Errorf("%s: shown %q after %v", said, report.Shown, took)
		}
	}
	events := chat.wait(t, 5) // the failed one once more
	if last := events[4]; last.ID != events[0].ID || last.Wanted || last.Data["content"] != "poison" {
		t.Errorf("the last to come is %s %v", last.Type, last.Data["content"])
	}
}

// An operator hurries what waits for an endpoint that has asked for an hour's rest, and drops what is not wanted any more;
// webhooks list says how it stands. All that beside a running bridge.
func TestAnOperatorHurriesAndDrops(t *testing.T) {
	desk := startBackend(t, "desk")
	var broken atomic.Bool
	broken.Store(true)
	desk.answers(func(_ int, _ received, w http.ResponseWriter) {
		if broken.Load() {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	data := t.TempDir()
	p := startDev(t, []string{"--data", data}, webhooksFile(t, map[string]*backend{"desk": desk},
		map[string]string{"desk": "events: [login]\napps:\n- default"}))
	if e := listEndpoint(t, data, "desk"); e.State != "active" || e.FailingSince != nil || e.NextAt != nil {
		t.Errorf("at the start: %+v", e)
	}
	p.miniToken(t, "alice")
	began := time.Now()
	waitFor(t, 10*time.Second, "a failure", func() bool { return listEndpoint(t, data, "desk").State == "failing" })
	p.miniToken(t, "bob")
	waitFor(t, 10*time.Second, "the rest to be listed", func() bool {
		next := listEndpoint(t, data, "desk").NextAt
		return next != nil && next.After(began.Add(50*time.Minute))
	})
	if e := listEndpoint(t, data, "desk"); e.Pending != 2 || e.Retrying != 1 || e.FailingSince == nil || e.FailingSince.Before(began.Add(-2*time.Second)) {
		t.Errorf("while it is down: %+v", e)
	}
	if n := len(desk.all()); n != 1 {
		t.Errorf("%d requests to an endpoint that wants an hour's rest", n)
	}

	broken.Store(false)
	hurried := time.Now()
	out := command(t, 0, nil, "webhooks", "retry", "desk", "--data", data)
	if !strings.Contains(out, "desk: 2 events to be sent now: 2 that waited, 0 that had been given up") {
		t.Errorf("webhooks retry: %s", out)
	}
	desk.wait(t, 3)
	if took := time.Since(hurried); took > within(3*time.Second) {
		t.Errorf("the bridge noticed after %v", took)
	}
	waitFor(t, 10*time.Second, "an endpoint that is well", func() bool { return listEndpoint(t, data, "desk").State == "active" })

	broken.Store(true)
	p.miniToken(t, "carol")
	waitFor(t, 10*time.Second, "another failure", func() bool { return listEndpoint(t, data, "desk").State == "failing" })
	out = command(t, 0, nil, "webhooks", "drop", "desk", "--data", data)
	if !strings.Contains(out, "desk: 1 event dropped, never to be sent: 1 that waited") || listEndpoint(t, data, "desk").Pending != 0 {
		t.Errorf("webhooks drop: %s", out)
	}
	broken.Store(false)
	p.miniToken(t, "dave")
	command(t, 0, nil, "webhooks", "retry", "desk", "--data", data)
	if events := desk.wait(t, 5); events[4].ID == events[3].ID {
		t.Error("what was dropped was sent")
	}
}
