package simulator

import (
	"net/http"
	"net/url"
)

// webLoginPage is the data of wecom-web.html: who scans the code, then whether they confirm on the phone.
type webLoginPage struct {
	Path, Query  string // of the link, to reopen it
	CorpID, Host string
	AgentID      int
	People       []chooserPerson
	Ticket       string // of the question; "" while nobody has scanned
	Person, Name string
}

// handleWebLogin is the page with the QR code: /wwlogin/sso/login and the older /wwopen/sso/qrConnect (§6). It is scanned
// by the person of the header or cookie, else by one that is picked here; X-Simulator-Consent answers for the phone.
func (s *Server) handleWebLogin(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	link, fault := s.parseWeComLink(r.URL.Path, r.URL.RawQuery)
	if fault != nil {
		s.showError(w, *fault)
		return
	}
	person, consent, fault := whoAnswers(r)
	switch {
	case fault != nil:
		s.showError(w, *fault)
	case person == "":
		s.showWebLogin(w, link, "")
	case !s.mayScan(link, person):
		s.showError(w, pageError{text: "你无权限登录此应用", hint: person + " is no member within the visible range of the app"})
	case consent != "":
		s.answerWebLogin(w, r, link, person, consent == "allow")
	default:
		s.showWebLogin(w, link, person)
	}
}

// mayScan: the scan itself tells who is outside the visible range that they have no permission (documented, §6.1).
func (s *Server) mayScan(link wecomLink, person string) bool {
	m := s.memberOf(link.corp, person)
	return m.kind == corpMember && m.visible
}

func (s *Server) answerWebLogin(w http.ResponseWriter, r *http.Request, link wecomLink, person string, allow bool) {
	if !allow {
		s.refuseLogin(w, r, link, switchWeComScanRefusal)
		return
	}
	s.returnWithCode(w, r, link, person, nil)
}

func (s *Server) showWebLogin(w http.ResponseWriter, link wecomLink, person string) {
	page := webLoginPage{Path: link.path, Query: link.rawQuery, CorpID: link.corp.id, AgentID: link.agent.AgentID, Host: link.redirect.Host}
	for _, name := range append(orgNames(), "guest") {
		m := s.memberOf(link.corp, name)
		page.People = append(page.People, chooserPerson{Name: name, Nickname: m.name, About: m.about()})
	}
	if person != "" {
		page.Ticket, page.Person, page.Name = s.newSheet(link, person), person, s.memberOf(link.corp, person).name
	}
	s.pages.show(w, "wecom-web.html", page)
}

// handleWebLoginPerson puts the phone into somebody's hands and reopens the page; an empty person takes it away again.
func (s *Server) handleWebLoginPerson(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	name, path := r.PostFormValue("person"), r.PostFormValue("path")
	if name == "" {
		name = r.PostFormValue("other")
	}
	cookie := http.Cookie{Name: "simulator_person", Value: url.PathEscape(name), Path: "/", SameSite: http.SameSiteLaxMode}
	switch {
	case path != pathWebLogin && path != pathOldWebLogin:
		s.showError(w, pageError{text: "操作有误", hint: "the form is of another page"})
		return
	case name == "":
		cookie.MaxAge = -1
	case !validName(name):
		s.showError(w, pageError{text: "名字有误", hint: errBadName.Error()})
		return
	}
	http.SetCookie(w, &cookie)
	http.Redirect(w, r, path+"?"+r.PostFormValue("query"), http.StatusSeeOther)
}

// handleWebLoginAnswer takes the answer given on the phone.
func (s *Server) handleWebLoginAnswer(w http.ResponseWriter, r *http.Request) {
	sheet, allow, ok := s.takeSheet(w, r)
	if !ok {
		return
	}
	if !sheet.link.web() {
		s.showError(w, pageError{text: "操作有误", hint: "the ticket is of another page"})
		return
	}
	s.answerWebLogin(w, r, sheet.link, sheet.person, allow)
}
