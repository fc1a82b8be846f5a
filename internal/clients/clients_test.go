package clients_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wxbridge/internal/clients"
	"wxbridge/internal/yamlfile"
)

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func parse(t *testing.T, text string) *clients.Registry {
	t.Helper()
	r, err := clients.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	ordersSecret = "5b0f3a1de29b4c7788aa90d1f6e2c3b4a5968778695a4b3c2d1e0f9182736455"
	opsSecret    = "a secret with : % + & = and 密"
)

func two(t *testing.T) *clients.Registry {
	return parse(t, "clients:\n  - id: orders\n    secret_sha256: "+strings.ToUpper(hashOf(ordersSecret))+
		"\n    may: [introspect]\n  - {id: ops, secret_sha256: "+hashOf(opsSecret)+", may: [revoke, introspect]}\n")
}

func TestOP10_Authenticate(t *testing.T) {
	r := two(t)
	for name, row := range map[string]struct {
		id, secret string
		ok         bool
	}{
		"orders":                  {"orders", ordersSecret, true},
		"ops":                     {"ops", opsSecret, true},
		"another's secret":        {"orders", opsSecret, false},
		"the hash itself":         {"orders", hashOf(ordersSecret), false},
		"no secret":               {"orders", "", false},
		"a byte more":             {"orders", ordersSecret + "0", false},
		"unknown":                 {"nobody", ordersSecret, false},
		"unknown without secret":  {"nobody", "", false},
		"no id":                   {"", "", false},
		"the id in another case":  {"Orders", ordersSecret, false},
		"the secret in that case": {"orders", strings.ToUpper(ordersSecret), false},
	} {
		client, ok := r.Authenticate(row.id, row.secret)
		if ok != row.ok || ok != (client.ID == row.id && row.id != "") {
			t.Errorf("%s: %v, %q", name, ok, client.ID)
		}
	}
	var none *clients.Registry
	if _, ok := none.Authenticate("orders", ordersSecret); ok || none.Len() != 0 {
		t.Error("no registry knows a client")
	}
}

func TestAClientMayOnlyWhatItsEntrySays(t *testing.T) {
	r := two(t)
	orders, _ := r.Authenticate("orders", ordersSecret)
	ops, _ := r.Authenticate("ops", opsSecret)
	got := []bool{orders.May(clients.Introspect), orders.May(clients.Revoke), ops.May(clients.Introspect), ops.May(clients.Revoke),
		(clients.Client{}).May(clients.Introspect)}
	if diff := cmp.Diff([]bool{true, false, true, true, false}, got); diff != "" {
		t.Error(diff)
	}
}

func TestREL14_EveryFaultHasItsLineAndQuotesNothing(t *testing.T) {
	good := "  - id: orders\n    secret_sha256: " + hashOf(ordersSecret) + "\n    may: [introspect]\n"
	const plain = "a-secret-put-where-its-hash-belongs"
	for name, row := range map[string]struct {
		text string
		want []string
	}{
		"empty":                    {"", []string{"0: has no client"}},
		"comments only":            {"# nobody\n", []string{"0: has no client"}},
		"no list":                  {"clients:\n", []string{"0: has no client"}},
		"an empty list":            {"clients: []\n", []string{"0: has no client"}},
		"not YAML":                 {"clients: [\n", []string{"1: is not YAML: sequence end token ']' not found"}},
		"a text":                   {plain, []string{"1: is not a list named clients"}},
		"a text for the list":      {"clients: " + plain + "\n", []string{"1: clients is not a list"}},
		"a text for a client":      {"clients:\n" + good + "  - " + plain + "\n", []string{"5: each client is a set of fields: id, "}},
		"another list":             {"client:\n" + good, []string{"1: there is a field client beside the list named clients"}},
		"an unknown field":         {"clients:\n" + good + "    secret: " + plain + "\n", []string{"5: there is a field secret, which no client has; it has id, secret_sha256, may"}},
		"a field twice":            {"clients:\n" + good + "    id: " + plain + "\n", []string{"5: id is repeated"}},
		"two documents' worth":     {"clients:\n" + good + "clients:\n" + good, []string{"5: the list named clients is repeated"}},
		"no id":                    {"clients:\n  - {secret_sha256: " + hashOf("x1") + ", may: [revoke]}\n", []string{"2: id is missing"}},
		"a bad id":                 {"clients:\n  - {id: 'a b', secret_sha256: " + hashOf("x1") + ", may: [revoke]}\n", []string{"2: id is not 1 to 64"}},
		"the secret for its hash":  {"clients:\n  - {id: a, secret_sha256: " + plain + ", may: [revoke]}\n", []string{"2: secret_sha256 is no SHA-256, but maybe the secret itself"}},
		"a shorter hash":           {"clients:\n  - {id: a, secret_sha256: " + hashOf("x1")[:40] + ", may: [revoke]}\n", []string{"2: secret_sha256 has 40 hexadecimal digits, not 64; it is the 64"}},
		"the hash of nothing":      {"clients:\n  - {id: a, secret_sha256: " + hashOf("") + ", may: [revoke]}\n", []string{"2: secret_sha256 is the hash of nothing"}},
		"the hash of a line end":   {"clients:\n  - {id: a, secret_sha256: " + hashOf("\n") + ", may: [revoke]}\n", []string{"2: secret_sha256 is the hash of nothing"}},
		"KEY-02 a placeholder":     {"clients:\n  - {id: a, secret_sha256: " + hashOf("changeme") + ", may: [revoke]}\n", []string{"2: secret_sha256 is the hash of nothing"}},
		"may nothing":              {"clients:\n  - {id: a, secret_sha256: " + hashOf("x1") + ", may: []}\n", []string{"2: may is missing"}},
		"an unknown permission":    {"clients:\n  - {id: a, secret_sha256: " + hashOf("x1") + ", may: [everything]}\n", []string{"2: entry 1 of may is none of introspect, revoke, app-token"}},
		"a permission twice":       {"clients:\n  - {id: a, secret_sha256: " + hashOf("x1") + ", may: [revoke, revoke]}\n", []string{"2: entry 2 of may is there twice"}},
		"a permission alone":       {"clients:\n  - {id: a, secret_sha256: " + hashOf("x1") + ", may: revoke}\n", []string{"2: may is not a list, such as [introspect, revoke]"}},
		"one id twice":             {"clients:\n" + good + "  - {id: orders, secret_sha256: " + hashOf("x1") + ", may: [revoke]}\n", []string{"5: id is already that of the client on line 2"}},
		"one secret twice":         {"clients:\n" + good + "  - {id: b, secret_sha256: " + hashOf(ordersSecret) + ", may: [revoke]}\n", []string{"5: secret_sha256 is that of the client on line 2"}},
		"several, each on its own": {"clients:\n  - {id: a}\n" + good + "    x: 1\n  - {id: orders, may: [introspect]}\n", []string{"2: secret_sha256 is missing", "2: may is missing", "6: there is a field x", "7: id is already", "7: secret_sha256 is missing"}},
		"each on its field's line": {"clients:\n  - id: a b\n    secret_sha256:\n      " + plain + "\n    may:\n      - revoke\n      - {}\n      - everything\n",
			[]string{"2: id is not", "3: secret_sha256 is no SHA-256", "7: entry 2 of may is not one text", "8: entry 3 of may is none of"}},
		"what sha256sum writes": {"clients:\n  - {id: a, secret_sha256: " + hashOf("x1") + "  -, may: [revoke]}\n", []string{"2: secret_sha256 has more than the hash; keep its 64 digits alone"}},
		"what openssl writes":   {"clients:\n  - {id: a, secret_sha256: SHA2-256(stdin)= " + hashOf("x1") + ", may: [revoke]}\n", []string{"2: secret_sha256 has more than the hash"}},
		"an empty hash":         {"clients:\n  - {id: a, secret_sha256: , may: [revoke]}\n", []string{"2: secret_sha256 is empty"}},
		"a secret for a field":  {"clients:\n  - {id: a, secret_sha256: " + hashOf("x1") + ", may: [revoke]}\n    " + "\n  - " + ordersSecret + ": x\n    id: b\n", []string{"4: there is a field, which no client has", "4: secret_sha256 is missing", "4: may is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := clients.Parse([]byte(row.text))
			var faults yamlfile.Faults
			if !errors.As(err, &faults) || r != nil {
				t.Fatalf("Parse: %v", err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(row.want) {
				t.Fatalf("%d faults, want %d:\n%v", len(lines), len(row.want), err)
			}
			for i, want := range row.want {
				if !strings.HasPrefix(lines[i], "line "+want) {
					t.Errorf("%q, want %q", lines[i], want)
				}
			}
			if strings.Contains(err.Error(), plain) || strings.Contains(err.Error(), ordersSecret) || strings.Contains(err.Error(), hashOf("x1")) {
				t.Errorf("the fault quotes the file: %v", err)
			}
		})
	}
}

// The example is a file that loads, and nobody knows the secrets of its clients.
func TestTheExampleLoads(t *testing.T) {
	text, err := os.ReadFile("../../examples/clients.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if parse(t, string(text)).Len() < 2 {
		t.Error("the example shows fewer than two clients")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("clients:\n  - {id: a, secret_sha256: " + hashOf("x1") + ", may: [revoke]}\n")
	f.Add("clients: [&a [*a]]")
	f.Add("clients:\n  - id: a\n    <<: *b\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := clients.Parse([]byte(text))
		var faults yamlfile.Faults
		if err == nil && r.Len() == 0 || err != nil && !errors.As(err, &faults) {
			t.Errorf("%d clients, error %v", r.Len(), err)
		}
	})
}
