package templates

import "golang.org/x/text/language"

// The languages of the pages, as Language and the lang attribute name them.
const (
	Chinese = "zh-CN"
	English = "en"
)

// Language picks the visitor's language: ?lang= first, then the language cookie, then Accept-Language, else Chinese. A
// value that names neither language counts as absent.
func Language(query, cookie, acceptLanguage string) string {
	for _, wish := range []string{query, cookie, acceptLanguage} {
		if lang, ok := match(wish); ok {
			return lang
		}
	}
	return Chinese
}

var (
	languages = [...]string{Chinese, English}
	// The pages' Chinese is simplified; who prefers traditional Chinese to English gets it too.
	matcher = language.NewMatcher([]language.Tag{language.SimplifiedChinese, language.English, language.TraditionalChinese})
	matched = [...]string{Chinese, English, Chinese} // in the order of the matcher
)

// longestWish bounds the work done for one header; browsers send under 200 bytes.
const longestWish = 512

func match(wish string) (string, bool) {
	if wish == "" || len(wish) > longestWish {
		return "", false
	}
	tags, _, err := language.ParseAcceptLanguage(wish)
	if err != nil || len(tags) == 0 {
		return "", false
	}
	_, index, confidence := matcher.Match(tags...)
	return matched[index], confidence != language.No
}
