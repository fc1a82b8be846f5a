package cli_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHelpListsTheCommandsThereAre(t *testing.T) {
	got := run(t, nil, "--help")
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("exit code %d, stderr %s", got.code, got.stderr)
	}
	_, list, _ := strings.Cut(got.stdout, "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var commands []string
	for line := range strings.Lines(list) {
		commands = append(commands, strings.Fields(line)[0])
	}
	if diff := cmp.Diff([]string{"apptoken", "dev", "fans", "help", "keys", "menu", "serve", "simulator", "token", "version", "webhooks"}, commands); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

func TestWrongCommandLinesExitWith2(t *testing.T) {
	for _, row := range []struct{ line, want string }{
		{"serv", "serve"},
		{"keys lst", "unknown command"},
		{"menu pull", "unknown command"},
		{"keys rotate now", "unknown command"},
		{"keys list --all", "--all"},
		{"token inspekt", "unknown command"},
		{"serve now", "now"},
		{"serve --port 80", "--port"},
		{"token inspect a b", "arg"},
		{"version --short", "--short"},
	} {
		t.Run(row.line, func(t *testing.T) {
			got := run(t, nil, strings.Fields(row.line)...)
			if got.code != 2 || got.stdout != "" || !strings.Contains(got.stderr, row.want) || !strings.Contains(got.stderr, "--help") {
				t.Errorf("exit code %d, stdout %q, stderr:\n%s", got.code, got.stdout, got.stderr)
			}
		})
	}
}

func TestCommandsExplainThemselves(t *testing.T) {
	for _, line := range []string{"", "serve --help", "dev --help", "simulator --help", "keys", "keys list --help", "keys rotate --help", "token", "token --help", "token inspect --help", "version --help"} {
		if got := run(t, nil, strings.Fields(line)...); got.code != 0 || len(got.stdout) < 80 || got.stderr != "" {
			t.Errorf("wxbridge %s: exit code %d, stdout %q, stderr %q", line, got.code, got.stdout, got.stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	got := run(t, nil, "version")
	if got.code != 0 || !regexp.MustCompile(`^wxbridge \S+( [0-9a-f]{12}(\+changes)?)? go1\.\S+ \w+/\w+\n$`).MatchString(got.stdout) {
		t.Errorf("exit code %d, stdout %q", got.code, got.stdout)
	}
}
