package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
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
	// The tests that run beside others wait most of their time. -parallel, which is read later, has the last word.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
