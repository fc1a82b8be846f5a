package cli_test

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/internal/webhooks"
)

func TestREL14_AFaultyWebhooksFileStopsTheStartAndNamesItsLine(t *testing.T) {
	t.Chdir(t.TempDir())
	file := filepath.Join(t.TempDir(), "webhooks.yaml")
	if err := os.WriteFile(file, []byte("endpoints:\n  - {name: shop, url: 'http://shop.example.com/', secret: hush-hush, events: [login]}\n  - {name: crm, pass: hush-hush}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(t.TempDir(), "w.db")
	got := run(t, append(serveEnviron(t, "http://127.0.0.1:1"), "WXBRIDGE_EVENT_WEBHOOKS="+file, "WXBRIDGE_DATABASE=sqlite://"+database), "serve")
	for _, want := range []string{"6 faults", "WXBRIDGE_EVENT_WEBHOOKS: " + file + " line 2: url is http", file + " line 2: secret does not begin", file + " line 3: there is a field pass", "(example: "} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("no %q in\n%s", want, got.stderr)
		}
	}
	if _, err := os.Stat(database); got.code != 2 || strings.Contains(got.stderr, "hush-hush") || err == nil {
		t.Errorf("exit code %d, database %v\n%s", got.code, err, got.stderr)
	}
}

// All faults, of the variables and of every file, are told at once, and before the port is tried; an app has to be one there is.
func TestREL14_FaultsOfAllFilesComeTogetherAndBeforeAPortInUse(t *testing.T) {
	t.Chdir(t.TempDir())
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	dir := t.TempDir()
	webhooksFile, clientsFile := filepath.Join(dir, "webhooks.yaml"), filepath.Join(dir, "clients.yaml")
	key := "whsec_" + base64.StdEncoding.EncodeToString([]byte("shop-0123456789-abcdefghijklmnopqrstuvwxyz"))
	writeFile(t, webhooksFile, "endpoints:\n- name: shop\n  url: https://shop.example.com/\n  secret: "+key+"\n  events: [login]\n  apps:\n  - default\n  - wxffffffffffffffff\n", 0o600)
	writeFile(t, clientsFile, "clients:\n- id: orders\n  may: [dance]\n", 0o600)
	environ := append(serveEnviron(t, "http://127.0.0.1:1"), "WXBRIDGE_EVENT_WEBHOOKS="+webhooksFile, "WXBRIDGE_CLIENTS_FILE="+clientsFile,
		"WXBRIDGE_LISTEN="+busy.Addr().String())
	got := run(t, environ, "serve")
	for _, want := range []string{"3 faults", webhooksFile + " line 8: entry 2 of apps is no app of this bridge; there are default, wx",
		clientsFile + " line 2: secret_sha256 is missing", clientsFile + " line 3: entry 1 of may is none of"} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("no %q in\n%s", want, got.stderr)
		}
	}
	got = run(t, append(environ, "WXBRIDGE_RATE_LIMIT=many"), "serve")
	if !strings.Contains(got.stderr, "3 faults") || !strings.Contains(got.stderr, "WXBRIDGE_RATE_LIMIT") || !strings.Contains(got.stderr, "line 3: entry 1 of may") {
		t.Errorf("with a fault in a variable:\n%s", got.stderr)
	}
	got = run(t, append(environ, "WXBRIDGE_LISTEN="), "dev", "--listen", busy.Addr().String())
	if got.code != 2 || !strings.Contains(got.stderr, "3 faults") {
		t.Errorf("dev: exit code %d\n%s", got.code, got.stderr)
	}
}

// The example is a file that loads once its secrets are there, and its files are named.
func TestTheExampleOfWebhooksLoads(t *testing.T) {
	text, err := os.ReadFile("../../examples/webhooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	endpoints, files, err := webhooks.Parse(text, webhooks.Known{Events: handlers.EventTypes(), Answered: handlers.AnsweredEvents(),
		Apps: map[string][]string{"default": {"wx0123456789abcdef"}}}, func(name string) ([]byte, error) {
		return []byte("whsec_" + base64.StdEncoding.EncodeToString([]byte((name + "-0123456789-abcdefghijklmnopqrstuvwxyz")[:40])) + "\n"), nil
	})
	if err != nil || len(endpoints) < 2 || len(files) != len(endpoints) {
		t.Errorf("%d endpoints, files %v, error %v", len(endpoints), files, err)
	}
}

// What was given up is listed with its reason, and sent again by event or altogether.
func TestWebhooksListAndRetry(t *testing.T) {
	data := t.TempDir()
	database := filepath.Join(data, "wxbridge.db")
	store, err := db.Open(t.Context(), "sqlite://"+database, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.SetEndpoints(t.Context(), []db.Endpoint{{Name: "shop", Events: []string{"*"}}, {Name: "crm", Events: []string{"fan.*"}, Replier: true}}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"evt_A", "evt_B", "evt_C"} {
		if err := store.Enqueue(t.Context(), db.Event{ID: id, Type: "login", Data: json.RawMessage(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.FanOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	claimed, err := store.ClaimDeliveries(t.Context(), "shop", 2, time.Minute)
	if err != nil || len(claimed) != 2 {
		t.Fatal(len(claimed), err)
	}
	for _, d := range claimed {
		if err := store.GiveUp(t.Context(), d.Receipt, "status 500 \x1b[31m"); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Enqueue(t.Context(), db.Event{ID: "evt_D", Type: "fan.erased", Data: json.RawMessage(`{}`)}); err != nil {
		t.Fatal(err) // and nobody has looked at it yet
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}

	got := run(t, nil, "webhooks", "list", "--data", data)
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	if len(lines) != 3 || strings.Join(strings.Fields(lines[1])[:5], " ") != "crm active 1 0 0" || strings.Join(strings.Fields(lines[2])[:5], " ") != "shop failing 2 0 2" {
		t.Errorf("list:\n%s%s", got.stdout, got.stderr)
	}
	got = run(t, nil, "webhooks", "list", "shop", "--data", data)
	if !strings.Contains(got.stdout, "evt_A") || !strings.Contains(got.stdout, "evt_B") || !strings.Contains(got.stdout, "status 500") || strings.Contains(got.stdout, "\x1b") {
		t.Errorf("list shop:\n%q", got.stdout)
	}
	var one struct {
		Endpoint        string
		Pending, Failed int
		FailedEvents    []struct {
			ID, Type, Problem string
			Attempts          int
		} `json:"failed_events"`
	}
	got = run(t, nil, "webhooks", "list", "shop", "--json", "--limit", "1", "--data", data)
	if err := json.Unmarshal([]byte(got.stdout), &one); err != nil || one.Endpoint != "shop" || one.Failed != 2 || len(one.FailedEvents) != 1 || one.FailedEvents[0].Attempts != 1 {
		t.Errorf("list shop --json: %s (%v)", got.stdout, err)
	}
	for _, row := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"retry", "shop", "evt_A"}, 0, "shop: 1 event to be sent now: 0 that waited, 1 that had been given up"},
		{[]string{"retry", "shop", "evt_A"}, 0, "shop: 1 event to be sent now: 1 that waited, 0 that had been given up"},
		{[]string{"retry", "shop", "evt_Z"}, 1, "has no event evt_Z that waits or was given up"},
		{[]string{"retry", "nobody"}, 1, "there is no endpoint nobody"},
		{[]string{"list", "nobody"}, 1, "there is no endpoint nobody"},
		{[]string{"list", "shop", "--limit", "0"}, 1, "--limit lies between"},
		{[]string{"retry", "shop", "--json"}, 0, `"retried": 1`},
		{[]string{"retry", "shop"}, 0, "shop: 4 events to be sent now: 4 that waited, 0 that had been given up"},
		{[]string{"drop", "nobody"}, 1, "there is no endpoint nobody"},
		{[]string{"drop", "shop", "evt_Z"}, 1, "has no event evt_Z that waits or was given up"},
		{[]string{"drop", "shop", "--before", "yesterday"}, 1, "--before is neither a time"},
		{[]string{"drop", "shop", "--before", "1h"}, 0, "shop: 0 events dropped"},
		{[]string{"drop", "shop", "evt_B"}, 0, "shop: 1 event dropped, never to be sent: 1 that waited, 0 that had been given up"},
		{[]string{"drop", "shop", "--before", "2999-01-01T00:00:00Z", "--json"}, 0, `"waiting": 3`},
		{[]string{"drop", "shop"}, 0, "shop: 0 events dropped"},
		{[]string{"list"}, 0, "crm       active   1        0         0       "},
	} {
		got := run(t, nil, append(append([]string{"webhooks"}, row.args...), "--data", data)...)
		if got.code != row.code || !strings.Contains(got.stdout+got.stderr, row.says) {
			t.Errorf("webhooks %s: exit code %d: %s%s", strings.Join(row.args, " "), got.code, got.stdout, got.stderr)
		}
	}
}
