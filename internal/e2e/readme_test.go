package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"wxbridge/internal/testenv"
)

// The README's snippets for other languages are run as they stand, against a running bridge: the access token passes, and
// the ID token, which any script can read, does not.
func TestREADME_SnippetsCheckTokens(t *testing.T) {
	p := startDev(t, nil)
	s := p.phone("bob").login(t)
	for language, row := range map[string]struct {
		fence, file string
		run         func(t *testing.T, file, token string) (output string, err error)
	}{
		"Node":   {"```js\nimport", "fan.mjs", runNode},
		"Python": {"```python\n", "fan.py", runPython},
	} {
		t.Run(language, func(t *testing.T) {
			folder := t.TempDir()
			snippet := strings.ReplaceAll(readmeSnippet(t, row.fence), "https://login.example.com", p.bridge)
			file := filepath.Join(folder, row.file)
			if err := os.WriteFile(file, []byte(snippet), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := row.run(t, file, s.access); err != nil || strings.TrimSpace(out) != subject(s.access) {
				t.Errorf("the access token: %v\n%s", err, out)
			}
			for what, token := range map[string]string{"the ID token": s.id, "an altered token": alter(s.access), "nothing": ""} {
				if out, err := row.run(t, file, token); err == nil {
					t.Errorf("%s passes: %s", what, out)
				}
			}
		})
	}
}

// alter changes one character in the middle of a token's signature.
func alter(token string) string {
	at := len(token) - 20
	c := byte('A')
	if token[at] == c {
		c = 'B'
	}
	return token[:at] + string(c) + token[at+1:]
}

func readmeSnippet(t *testing.T, fence string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), fence)
	snippet, _, closed := strings.Cut(rest, "\n```")
	if !found || !closed {
		t.Fatalf("README.md has no snippet that begins %q", fence)
	}
	return strings.TrimPrefix(fence[strings.Index(fence, "\n")+1:], "\n") + snippet + "\n"
}

func runNode(t *testing.T, file, token string) (string, error) {
	node, folder := need(t, "node", "node"), filepath.Dir(file)
	linkNodeModules(t, folder)
	script := filepath.Join(folder, "main.mjs")
	content := "import { fanOf } from './fan.mjs';\nconsole.log(await fanOf(process.argv[2]));\n"
	if err := os.WriteFile(script, []byte(content), 0o600); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(t.Context(), node, script, token).CombinedOutput()
	return string(out), err
}

// linkNodeModules lets programs in the folder import the npm package jose.
func linkNodeModules(t *testing.T, folder string) {
	t.Helper()
	modules := os.Getenv("WXBRIDGE_TEST_NODE_MODULES")
	if _, err := os.Stat(filepath.Join(modules, "jose")); modules == "" || err != nil {
		testenv.Missing(t, "node", "a folder with the npm package jose named by WXBRIDGE_TEST_NODE_MODULES")
	}
	if err := os.Symlink(modules, filepath.Join(folder, "node_modules")); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
}

func runPython(t *testing.T, file, token string) (string, error) {
	script := "import sys; sys.path.insert(0, sys.argv[1]); from fan import fan_of; print(fan_of(sys.argv[2]))"
	out, err := exec.CommandContext(t.Context(), pythonWithJWT(t), "-c", script, filepath.Dir(file), token).CombinedOutput()
	return string(out), err
}

// pythonWithJWT finds a Python that has PyJWT.
func pythonWithJWT(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		python, err := exec.LookPath(name)
		if err == nil && exec.CommandContext(t.Context(), python, "-c", "import jwt, cryptography").Run() == nil {
			return python
		}
	}
	testenv.Missing(t, "python3", "python3 with PyJWT and cryptography")
	return ""
}
