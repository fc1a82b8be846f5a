package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wxbridge/handlers"
)

// The events in docs/webhooks.md are what a backend gets: every field that is shown comes, and no other. Both languages show
// the same.
func TestDocs_TheEventsAreTheDocumentedOnes(t *testing.T) {
	shown := documentedEvents(t, "../../docs/webhooks.md")
	if diff := cmp.Diff(shown, documentedEvents(t, "../../docs/webhooks.zh-CN.md")); diff != "" {
		t.Errorf("the languages differ:\n%s", diff)
	}
	shop := startBackend(t, "shop")
	p := startDev(t, nil, webhooksFile(t, map[string]*backend{"shop": shop}, map[string]string{"shop": "events: ['*']"}),
		"WXBRIDGE_PROFILE_POLICY=never")
	ph := p.phone("bob")
	ph.open(t, "/login?return_to=/") // a guest of the official account, whose unionid is not known
	program := subject(p.miniToken(t, "bob"))
	ph.open(t, "/login?scope=userinfo&prompt=login&return_to=/") // brings the unionid: both are one
	survivor := subject(ph.session().access)
	if survivor == program {
		t.Fatal("the guest was not merged into the older fan")
	}
	p.api(t, http.MethodPatch, "/me", ph.session().access, `{"nickname":"Robert"}`)
	shop.wait(t, 8)
	p.api(t, http.MethodDelete, "/me", ph.session().access, "")
	events := shop.wait(t, 9)

	fields := map[string]map[string]bool{}
	for _, e := range events {
		if fields[e.Type] == nil {
			fields[e.Type] = map[string]bool{}
		}
		collect(fields[e.Type], "", e.Data)
		if e.Type == "fan.merged" && (e.Data["from"] != program || e.Data["to"] != survivor) {
			t.Errorf("merged: %s", e.Body)
		}
	}
	delete(shown["fan.updated"], "fan.role") // which nobody has here
	for eventType, want := range shown {
		got := fields[eventType]
		if eventType == "fan.updated" {
			delete(got, "identity") // of a linked account, told of beside the example
			maps.DeleteFunc(got, func(name string, _ bool) bool { return strings.HasPrefix(name, "identity.") })
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("%s (-documented +told):\n%s", eventType, diff)
		}
	}
}

// documentedEvents are the fields of the data that the examples of a page show, by type.
func documentedEvents(t *testing.T, file string) map[string]map[string]bool {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	events := map[string]map[string]bool{}
	for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(content), -1) {
		var e struct {
			Type string
			Data map[string]any
		}
		if err := json.Unmarshal([]byte(block[1]), &e); err != nil {
			t.Fatalf("%s: %v in %s", file, err, block[1])
		}
		events[e.Type] = map[string]bool{}
		collect(events[e.Type], "", e.Data)
	}
	if len(events) != 5 {
		t.Fatalf("%s shows %d events", file, len(events))
	}
	return events
}

func collect(names map[string]bool, prefix string, data map[string]any) {
	for name, value := range data {
		names[prefix+name] = true
		if inner, ok := value.(map[string]any); ok {
			collect(names, prefix+name+".", inner)
		}
	}
}

// Every type there is stands in the documentation.
func TestDocs_EveryEventIsDocumented(t *testing.T) {
	var pages strings.Builder
	for _, file := range []string{"../../docs/webhooks.md", "../../docs/events.md"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pages.Write(content)
	}
	for _, eventType := range handlers.EventTypes() {
		if !strings.Contains(pages.String(), "| `"+eventType+"` |") {
			t.Errorf("%s is not documented", eventType)
		}
	}
}

// The Python of docs/webhooks.md takes what the bridge signs, and nothing else.
func TestDocs_ThePythonOfWebhooksRuns(t *testing.T) {
	python := need(t, "python3", "python3")
	content, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```python\n(.*?)```").FindStringSubmatch(string(content))
	if block == nil {
		t.Fatal("no Python in docs/webhooks.md")
	}
	chinese, err := os.ReadFile("../../docs/webhooks.zh-CN.md")
	if err != nil || !strings.Contains(string(chinese), block[0]) {
		t.Errorf("docs/webhooks.zh-CN.md shows other code (%v)", err)
	}
	type message struct {
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	got := make(chan message, 1)
	shop := startBackend(t, "shop")
	shop.answers(func(_ int, e received, _ http.ResponseWriter) {
		got <- message{map[string]string{"webhook-id": e.ID, "webhook-timestamp": e.Timestamp, "webhook-signature": e.Signature}, e.Body}
	})
	p := startDev(t, nil, webhooksFile(t, map[string]*backend{"shop": shop}, map[string]string{"shop": "events: [login]"}))
	p.miniToken(t, "bob")
	input, err := json.Marshal(<-got)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "check.py")
	text := block[1] + fmt.Sprintf(`
import json, sys
m = json.load(sys.stdin)
h, body, secret = m["headers"], m["body"].encode(), %q
print(verify(secret, h, body), verify(secret, h, body + b" "), verify(%q, h, body),
      verify(secret, {**h, "webhook-id": "evt_other"}, body), verify(secret, {**h, "webhook-timestamp": "1000000000"}, body))
`, shop.secret, webhookSecret("other"))
	if err := os.WriteFile(program, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, program)
	cmd.Stdin = strings.NewReader(string(input))
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "True False False False False" {
		t.Errorf("%s (%v)", out, err)
	}
}
