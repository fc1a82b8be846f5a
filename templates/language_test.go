package templates_test

import (
	"strings"
	"testing"

	"wxbridge/templates"
)

func TestLanguage(t *testing.T) {
	for name, c := range map[string]struct{ query, cookie, accept, want string }{
		"nothing known is Chinese":                {"", "", "", "zh-CN"},
		"the query wins":                          {"en", "zh-CN", "zh-CN", "en"},
		"then the cookie":                         {"", "en", "zh-CN,zh;q=0.9", "en"},
		"then the browser":                        {"", "", "en-GB,en;q=0.9", "en"},
		"WeChat on a Chinese phone":               {"", "", "zh-CN,zh;q=0.9,en-US;q=0.8,en;q=0.7", "zh-CN"},
		"the browser's order counts":              {"", "", "en-US,en;q=0.9,zh-CN;q=0.8", "en"},
		"weights count more than order":           {"", "", "en;q=0.2,zh;q=0.9", "zh-CN"},
		"a language we lack is passed over":       {"", "", "fr-FR,fr;q=0.9,en;q=0.5", "en"},
		"only languages we lack":                  {"", "", "fr-FR,fr;q=0.9", "zh-CN"},
		"traditional readers get Chinese":         {"", "", "zh-TW,zh-Hant;q=0.9", "zh-CN"},
		"Hong Kong":                               {"", "", "zh-HK", "zh-CN"},
		"WeChat's spelling":                       {"zh_CN", "", "en", "zh-CN"},
		"a query in a language we lack is absent": {"fr", "en", "zh-CN", "en"},
		"an ill-formed query is absent":           {"<svg onload>", "en", "", "en"},
		"an over-long wish is absent":             {"", "", strings.Repeat("en,", 1000), "zh-CN"},
		"a wildcard":                              {"", "", "*", "zh-CN"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := templates.Language(c.query, c.cookie, c.accept); got != c.want {
				t.Errorf("Language(%q, %q, %q) = %s, want %s", c.query, c.cookie, c.accept, got, c.want)
			}
		})
	}
}

func FuzzLanguage(f *testing.F) {
	f.Add("en", "zh-CN", "zh-CN,zh;q=0.9")
	f.Add("x-klingon", "zh-Hant-TW-u-co-stroke", "en;q=NaN, *;q=0.1, ;;;,")
	f.Add("\xff", "en-", "en;q=1.00000000000000000000000001")
	f.Fuzz(func(t *testing.T, query, cookie, accept string) {
		if got := templates.Language(query, cookie, accept); got != templates.Chinese && got != templates.English {
			t.Errorf("Language(%q, %q, %q) = %q", query, cookie, accept, got)
		}
	})
}
