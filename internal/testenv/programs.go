// Package testenv finds what tests need of the machine beside Go, a browser above all.
package testenv

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Program gives the path of the first of names that is installed. If none is, it says so by [Missing].
func Program(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(t, names[0], names[0])
	return ""
}

// Missing skips the test, which needs what is described, or fails it where WXBRIDGE_TEST_REQUIRE has the name or "all" among
// its words, between which are commas.
func Missing(t testing.TB, name, needs string) {
	t.Helper()
	if Requires(name) || Requires("all") {
		t.Fatalf("needs %s, and WXBRIDGE_TEST_REQUIRE asks for it", needs)
	}
	t.Skipf("skipped: needs %s", needs)
}

// Requires reports whether the word is in WXBRIDGE_TEST_REQUIRE.
func Requires(word string) bool {
	return slices.Contains(strings.Split(os.Getenv("WXBRIDGE_TEST_REQUIRE"), ","), word)
}
