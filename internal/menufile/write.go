package menufile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Write gives the menu in the form that Parse reads, always the same for the same menu. loginOf tells a link that a `login:`
// made, and where it leads. What no menu file can say becomes a comment.
func Write(m Menu, loginOf func(link string) (to string, ok bool)) []byte {
	w := &writer{loginOf: loginOf}
	w.line("", "buttons:")
	w.list(m.Buttons, "  ")
	return w.out.Bytes()
}

type writer struct {
	out     bytes.Buffer
	loginOf func(string) (string, bool)
}

func (w *writer) line(indent, format string, args ...any) {
	fmt.Fprintf(&w.out, indent+format+"\n", args...)
}

func (w *writer) list(buttons []Button, indent string) {
	for _, b := range buttons {
		w.line(indent, "- name: %s", quote(b.Name))
		w.kind(b, indent+"  ")
	}
}

func (w *writer) kind(b Button, indent string) {
	switch {
	case len(b.Sub) > 0:
		w.line(indent, "buttons:")
		w.list(b.Sub, indent+"  ")
	case b.Type == kindView:
		if to, ok := w.loginOf(b.URL); ok {
			w.line(indent, "login: %s", quote(to))
			return
		}
		w.line(indent, "view: %s", quote(b.URL))
	case b.Type == kindMiniProgram:
		w.line(indent, "miniprogram:")
		w.line(indent, "  appid: %s", quote(b.AppID))
		w.line(indent, "  path: %s", quote(b.PagePath))
		w.line(indent, "  url: %s", quote(b.URL))
	case slices.Contains(keyKinds(), b.Type):
		w.line(indent, "%s: %s", b.Type, quote(b.Key))
	case slices.Contains(mediaKinds(), b.Type):
		w.line(indent, "%s: %s", b.Type, quote(b.MediaID))
	case slices.Contains(articleKinds(), b.Type):
		w.line(indent, "%s: %s", b.Type, quote(b.ArticleID))
	default:
		w.line(indent, "# %s, which a menu file cannot say", quote(strings.TrimSpace(b.Type+" "+b.Foreign)))
	}
}

// Foreign reports whether the menu has a button that Write turns into a comment.
func (m Menu) Foreign() bool {
	foreign := func(b Button) bool { return len(b.Sub) == 0 && !slices.Contains(kinds(), b.Type) }
	return slices.ContainsFunc(m.Buttons, func(b Button) bool { return foreign(b) || slices.ContainsFunc(b.Sub, foreign) })
}

// plain is a text that is the same without quotation marks, in every YAML.
var plain = regexp.MustCompile(`^[\p{L}/][\p{L}\p{N}_./?=&;%+~()（），。·-]*(:[\p{L}\p{N}_./?=&;%+~-]+)*$`)

// words mean something else than themselves.
var words = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|true|false|null)$`)

// quote writes a text as YAML. What is not plain is written as JSON, which YAML reads alike.
func quote(text string) string {
	if plain.MatchString(text) && !words.MatchString(text) {
		return text
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string always can be
	return escape(strings.TrimSuffix(out.String(), "\n"))
}

// escape writes as numbers what acts on a terminal or turns text around, but not what joins the parts of an emoji.
func escape(quoted string) string {
	const joiner = '\u200d'
	var out strings.Builder
	for _, c := range quoted {
		switch {
		case c == joiner || !unicode.In(c, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp):
			out.WriteRune(c)
		case c > 0xFFFF:
			fmt.Fprintf(&out, `\U%08x`, c)
		default:
			fmt.Fprintf(&out, `\u%04x`, c)
		}
	}
	return out.String()
}
