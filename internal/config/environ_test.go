package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wxbridge/internal/config"
)

func TestEnvironKeepsTheLastOfEqualNames(t *testing.T) {
	got := config.Environ([]string{"A=1", "B=x=y", "A=2", "C=", "D"})
	if diff := cmp.Diff(map[string]string{"A": "2", "B": "x=y", "C": "", "D": ""}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDotEnvIsReadBelowTheEnvironment(t *testing.T) {
	got, err := config.WithDotEnv(map[string]string{"WXBRIDGE_LISTEN": ":1", "PATH": "/bin"},
		[]byte("\ufeff# a comment\nWXBRIDGE_LISTEN=:2\nexport WXBRIDGE_JWT_TTL=1h # another\r\nWXBRIDGE_SECRET='a$b\"c'\n\nOTHER=x\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"WXBRIDGE_LISTEN": ":1", "PATH": "/bin", "WXBRIDGE_JWT_TTL": "1h", "WXBRIDGE_SECRET": `a$b"c`, "OTHER": "x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDotEnvFaultsNameTheLineAndShowNothing(t *testing.T) {
	for _, row := range []struct{ name, file, want string }{
		{"a line without a name", "A=1\nB=2\n!M4RK3D\nC=3\n", "line 3 "},
		{"a quote that never ends", "A=1\nB=\"M4RK3D\nC=3\n", "line 2 "},
		{"the first line", "M4RK3D-M4RK3D\n", "line 1 "},
		{"after a quoted value of two lines", "A=\"x\ny\"\nB=1\nM4RK3D!\n", "line 4 "},
		{"the last line without an end", "A=1\n?M4RK3D", "line 2 "},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := config.WithDotEnv(nil, []byte(row.file))
			if err == nil || !strings.HasPrefix(err.Error(), ".env: "+row.want) || strings.Contains(err.Error(), "M4RK3D") {
				t.Errorf("error = %v, want %q and no content", err, row.want)
			}
		})
	}
}
