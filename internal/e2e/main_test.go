package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// theBinary builds the product once for all tests: linking it takes seconds.
var theBinary func() (path string, err error)

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	dir, err := os.MkdirTemp("", "wxbridge-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	theBinary = sync.OnceValues(func() (string, error) {
		path := filepath.Join(dir, "wxbridge")
		if said, err := exec.Command("go", "build", "-o", path, "wxbridge").CombinedOutput(); err != nil {
			return "", fmt.Errorf("build: %w\n%s", err, said)
		}
		return path, nil
	})
	return m.Run()
}
