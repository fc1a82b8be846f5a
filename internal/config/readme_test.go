package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"wxbridge/internal/config"
)

// Both READMEs list every setting, with its default, and none that does not exist.
func TestREADMEsListEverySetting(t *testing.T) {
	for _, file := range []string{"../../README.md", "../../README.zh-CN.md"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		listed := map[string]string{} // name → its table row
		for line := range strings.Lines(string(raw)) {
			if !strings.HasPrefix(line, "| `WXBRIDGE_") {
				continue
			}
			for _, name := range regexp.MustCompile("`(WXBRIDGE_[A-Z0-9_]+)`").FindAllStringSubmatch(strings.Split(line, "|")[1], -1) {
				listed[name[1]] = line
			}
		}
		for _, v := range config.Variables() {
			row, ok := listed[v.Name]
			if !ok {
				t.Errorf("%s: %s is not in the table", file, v.Name)
			}
			if ok && v.Default != "" && !strings.HasPrefix(v.Default, "https://") && !strings.Contains(row, "`"+v.Default+"`") {
				t.Errorf("%s: %s: the table does not show the default %s", file, v.Name, v.Default)
			}
			delete(listed, v.Name)
		}
		for name := range listed {
			t.Errorf("%s: %s does not exist", file, name)
		}
	}
}
