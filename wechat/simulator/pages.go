package simulator

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
)

//go:embed pages/*.html
var pageFiles embed.FS

// The data of each page in pages/.
type (
	chooserPage struct {
		Page   string // to come back to: the authorize page, or that of a website's login
		Query  string // of its link
		People []chooserPerson
	}
	chooserPerson struct{ Name, Nickname, About string }

	consentPage struct {
		Ticket                   string
		Person, Nickname, Avatar string
		AppID, Host, Query       string
	}

	qrConnectPage struct {
		UUID, Host, AppID, Query string
		Says                     string // what the QR code says
		English                  bool
		Framed, SelfRedirect     bool   // by wxLogin.js
		Person, Nickname, Avatar string // for one click instead of a scan; "" where there is none
	}

	qrConfirmPage struct {
		UUID                     string
		Person, Nickname, Avatar string
		AppID, Host, Query       string
	}

	visitsPage struct {
		Mode      string
		Callbacks []string
		Hop       string // this page under the site's own host name; "" if it is there, or cannot be
	}

	snapshotPage struct {
		Steps   []step
		Cookies []string // names the site left in the snapshot's jar
		Content string   // HTML of the site, for a sandboxed srcdoc frame
		Problem string
		Ticket  string
	}

	errorPage struct {
		Code int
		Text string
		Hint string
	}
)

// pageError is a failure shown to the person. Code 0 shows none.
type pageError struct {
	code int
	text string
	hint string // in English, for the developer; WeChat has none
}

type pages struct{ templates *template.Template }

func parsePages() (*pages, error) {
	t, err := template.ParseFS(pageFiles, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse pages: %w", err)
	}
	return &pages{templates: t}, nil
}

// show renders a page with status 200, as WeChat does for errors too (assumed).
func (p *pages) show(w http.ResponseWriter, name string, data any) {
	var buf bytes.Buffer
	if err := p.templates.ExecuteTemplate(&buf, name, data); err != nil {
		http.Error(w, "simulator: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.Write(buf.Bytes())
}

func (s *Server) showError(w http.ResponseWriter, e pageError) {
	s.pages.show(w, "error.html", errorPage{Code: e.code, Text: e.text, Hint: e.hint})
}
