package templates_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wxbridge/templates"
)

func TestTranslationsHaveTheSameKeys(t *testing.T) {
	chinese, english := words(t, templates.Chinese), words(t, templates.English)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(chinese)), slices.Sorted(maps.Keys(english))); diff != "" {
		t.Errorf("zh-CN and en differ:\n%s", diff)
	}
	for key, sentence := range english {
		if strings.TrimSpace(sentence) == "" || strings.TrimSpace(chinese[key]) == "" {
			t.Errorf("%s is empty", key)
		}
		if key != "other_language" && !strings.ContainsRune(sentence, '“') && regexp.MustCompile(`\p{Han}`).MatchString(sentence) {
			t.Errorf("%s is Chinese in en.json: %q", key, sentence)
		}
	}
}

func TestEverySentenceIsUsedAndEveryUsedOneExists(t *testing.T) {
	used := map[string]bool{}
	literal := regexp.MustCompile(`\.T "([^"]+)"`)
	files, err := filepath.Glob("pages/*.html")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	for _, file := range append(files, "views.go", "scanviews.go") { // views.go names the titles
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range literal.FindAllSubmatch(source, -1) {
			used[string(m[1])] = true
		}
		for _, m := range regexp.MustCompile(`"(\w+\.\w*title)"`).FindAllSubmatch(source, -1) {
			used[string(m[1])] = true
		}
	}
	for _, kind := range errorKinds {
		used["error."+kind+".title"], used["error."+kind+".text"] = true, true
	}
	for _, detail := range details {
		used["error.detail."+string(detail)+".text"] = true
	}
	for _, detail := range []templates.Detail{templates.DetailProviderNotConfigured, templates.DetailOpenInWeCom, templates.DetailTicket, templates.DetailWebViewOnly,
		templates.DetailAppUnnamed, templates.DetailAppUnknown, templates.DetailAppKind} {
		used["error.detail."+string(detail)+".title"] = true
	}
	for _, kind := range scanEnds {
		used["scan_end."+string(kind)+".title"], used["scan_end."+string(kind)+".text"] = true, true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(used)), slices.Sorted(maps.Keys(words(t, templates.English)))); diff != "" {
		t.Errorf("used (-) and translated (+) differ:\n%s", diff)
	}
}

func words(t *testing.T, lang string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("translations/" + lang + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var words map[string]string
	if err := json.Unmarshal(raw, &words); err != nil {
		t.Fatal(err)
	}
	return words
}
