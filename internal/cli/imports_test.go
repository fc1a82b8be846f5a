package cli_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// packageInfo is what `go list` says of a package.
type packageInfo struct {
	ImportPath string
	Imports    []string // without those of tests
}

// listPackages asks the Go tool about every package of this module.
func listPackages(t *testing.T) []packageInfo {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "wxbridge/...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var list []packageInfo
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p packageInfo
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// allowed says which packages of ours a package may import. A login reads as one straight line, handlers → wechat →
// db → jwtauth, and nothing calls back up that line.
func allowed() map[string][]string {
	return map[string][]string{
		"":                  {"internal/cli"},
		"internal/cli":      {"*"},
		"internal/config":   {"internal/listfile"},
		"internal/clients":  {"internal/listfile"},
		"internal/webhooks": {"internal/listfile"},
		"internal/listfile": {"internal/yamlfile"},
		"internal/menufile": {"internal/yamlfile"},
		"internal/seal":     nil,
		"internal/keyring":  {"db", "jwtauth", "internal/seal"},
		"handlers":          {"wechat", "wechat/wecom", "db", "jwtauth", "templates", "internal/seal"},
		"wechat":            nil,
		"wechat/simulator":  nil,
		"wechat/wecom":      {"wechat"},
		"db":                nil,
		"db/dbtest":         {"db"},
		"jwtauth":           nil,
		"jwtauth/ginauth":   {"jwtauth"},
		"templates":         nil,
		"examples":          nil,
		"examples/h5":       {"jwtauth"}, // a service of its own, which imports what a stranger's would
		"examples/site":     nil,
	}
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	rules := allowed()
	seen := map[string]bool{}
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "wxbridge"), "/")
		seen[name] = true
		may, known := rules[name]
		if !known && strings.HasPrefix(name, "internal/") { // a leaf: a small part with one job
			known = true
		}
		if !known {
			t.Errorf("package %s has no place in the layout", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			ours, ok := strings.CutPrefix(imported, "wxbridge/")
			isLeaf := strings.HasPrefix(ours, "internal/") && !slices.Contains([]string{"internal/cli", "internal/config", "internal/keyring"}, ours)
			switch {
			case !ok || slices.Contains(may, "*") || slices.Contains(may, ours):
			case name == "handlers" && isLeaf:
			default:
				t.Errorf("%s must not import %s", p.ImportPath, imported)
			}
		}
	}
	for _, name := range []string{"", "internal/cli", "internal/config", "internal/seal", "internal/keyring", "handlers", "wechat",
		"wechat/simulator", "wechat/wecom", "db", "db/dbtest", "jwtauth", "jwtauth/ginauth", "templates", "examples"} {
		if !seen[name] {
			t.Errorf("package wxbridge/%s is missing, so its rule proves nothing", name)
		}
	}
}

// TestLibrariesStayWhereTheyBelong keeps the web framework, SQL and cryptography out of packages that have no business
// with them.
func TestLibrariesStayWhereTheyBelong(t *testing.T) {
	only := map[string][]string{
		"github.com/gin-gonic/gin":     {"handlers", "jwtauth/ginauth"},
		"github.com/mattn/go-sqlite3":  {"db"},
		"database/sql":                 {"db"},
		"github.com/golang-jwt/jwt/v5": {"jwtauth", "internal/cli"},
		"github.com/spf13/cobra":       {"internal/cli"},
		"github.com/caarlos0/env/v11":  {"internal/config"},
		"github.com/joho/godotenv":     {"internal/config"},
		"github.com/goccy/go-yaml":     {"internal/yamlfile", "wechat/simulator"},
		"math/rand":                    nil,
		"math/rand/v2":                 {"wechat/simulator", "wechat", "internal/webhooks"},
		"net/http/pprof":               nil,

		"github.com/prometheus/client_golang/prometheus":          {"internal/metrics"},
		"github.com/prometheus/client_golang/prometheus/promhttp": {"internal/metrics"},
	}
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, "wxbridge/")
		for _, imported := range p.Imports {
			if homes, guarded := only[imported]; guarded && !slices.Contains(homes, name) {
				t.Errorf("%s must not import %s", p.ImportPath, imported)
			}
			if name == "handlers" && (strings.HasPrefix(imported, "crypto/") || strings.HasPrefix(imported, "golang.org/x/crypto")) &&
				!slices.Contains([]string{"crypto/rand", "crypto/subtle"}, imported) {
				t.Errorf("handlers must not import %s: cryptography is the job of jwtauth and internal/seal", imported)
			}
		}
	}
}
