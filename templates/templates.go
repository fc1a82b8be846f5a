// Package templates holds what people see of wxbridge: the pages, their words in Chinese and English, and the
// static files, all embedded.
//
// A handler fills in one of the views (Register, Refused, Snapshot, CookiesOff, Error, Scan, Ticket, Home), asks Language which
// language the visitor reads, and calls Pages.Render. Static serves the style sheets and scripts that the pages link to.
// The pages work under a Content-Security-Policy without unsafe-inline: see ContentSecurityPolicy.
package templates

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/url"
)

// Pages renders every page in every language. It is safe for concurrent use.
type Pages struct {
	tree  *template.Template
	words map[string]map[string]string // language, key → sentence
}

// New parses the embedded pages and translations. An error means a broken build.
func New() (*Pages, error) {
	versioned, err := versionedAssets()
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	tree, err := template.New("").Funcs(template.FuncMap{"asset": versioned.url}).ParseFS(pageFiles, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("templates: parse pages: %w", err)
	}
	p := &Pages{tree: tree, words: map[string]map[string]string{}}
	for _, lang := range languages {
		raw, err := translations.ReadFile("translations/" + lang + ".json")
		if err != nil {
			return nil, fmt.Errorf("templates: read translation: %w", err)
		}
		var words map[string]string
		if err := json.Unmarshal(raw, &words); err != nil {
			return nil, fmt.Errorf("templates: parse %s.json: %w", lang, err)
		}
		p.words[lang] = words
	}
	return p, nil
}

// Render writes the page of the view in lang, as Language answers it; any other lang is rendered in Chinese. It writes
// piecemeal: a caller that wants to choose the status by the outcome renders into a buffer. An error is w's or a
// programming fault, never the visitor's doing.
func (p *Pages) Render(w io.Writer, lang string, view View) error {
	if p.words[lang] == nil {
		lang = Chinese
	}
	c := content{View: view, Lang: lang, words: p.words[lang]}
	if err := p.tree.ExecuteTemplate(w, view.page()+".html", c); err != nil {
		return fmt.Errorf("templates: render %s page: %w", view.page(), err)
	}
	return nil
}

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed translations/*.json
var translations embed.FS

// content is the dot of every page.
type content struct {
	View  View
	Lang  string
	words map[string]string
}

// T gives the sentence of a key. An unknown key is a programming fault.
func (c content) T(key string) (string, error) { return c.First(key) }

// First gives the sentence of the first key that has one, for sentences that depend on data.
func (c content) First(keys ...string) (string, error) {
	for _, key := range keys {
		if s, ok := c.words[key]; ok {
			return s, nil
		}
	}
	return "", fmt.Errorf("no sentence for %q in %s", keys, c.Lang)
}

// Title is the page's title and heading.
func (c content) Title() (string, error) { return c.First(c.View.titles()...) }

// OtherLang is the language that the switch on the page leads to.
func (c content) OtherLang() string {
	if c.Lang == Chinese {
		return English
	}
	return Chinese
}

// OtherLangURL leads to this page in the other language. It keeps the path and drops the query, which may hold what
// must not be repeated, unless the view knows its own address.
func (c content) OtherLangURL() string {
	self := &url.URL{}
	if view, ok := c.View.(interface{ self() string }); ok {
		if u, err := url.Parse(view.self()); err == nil && u.Host == "" && u.Scheme == "" {
			self = &url.URL{Path: u.Path, RawQuery: u.RawQuery}
		}
	}
	query := self.Query()
	query.Set("lang", c.OtherLang())
	self.RawQuery = query.Encode()
	return self.String()
}
