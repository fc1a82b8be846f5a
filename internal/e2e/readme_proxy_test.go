package e2e

import (
	"os"
	"strings"
	"testing"
)

// The lines of proxy configuration that both READMEs show are lines of the tested files.
func TestREADME_ProxyLinesAreTheTestedOnes(t *testing.T) {
	for fence, file := range map[string]string{"```nginx\n": "nginx/sub-domain.conf", "```caddyfile\n": "caddy/sub-domain.Caddyfile",
		"```yaml\n": "traefik/sub-domain.yml"} {
		shipped, err := os.ReadFile("../../examples/" + file)
		if err != nil {
			t.Fatal(err)
		}
		lines := map[string]bool{}
		for line := range strings.SplitSeq(string(shipped), "\n") {
			lines[strings.TrimSpace(line)] = true
		}
		for _, readme := range []string{"README.md", "README.zh-CN.md"} {
			text, err := os.ReadFile("../../" + readme)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, found := strings.Cut(string(text), fence)
			shown, _, closed := strings.Cut(rest, "```")
			if !found || !closed {
				t.Fatalf("%s has no %q", readme, fence)
			}
			for line := range strings.SplitSeq(strings.TrimSpace(shown), "\n") {
				if !lines[strings.TrimSpace(line)] {
					t.Errorf("%s shows a line that %s does not have: %s", readme, file, line)
				}
			}
		}
	}
}
