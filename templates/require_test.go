package templates_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// program finds the first of names that is installed. If none is, the test is skipped, or fails where WXBRIDGE_TEST_REQUIRE
// names it or says all.
func program(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	required := strings.Split(os.Getenv("WXBRIDGE_TEST_REQUIRE"), ",")
	if slices.Contains(required, "all") || slices.Contains(required, names[0]) {
		t.Fatalf("%s is not installed, and WXBRIDGE_TEST_REQUIRE asks for it", names[0])
	}
	t.Skipf("%s is not installed", names[0])
	return ""
}
