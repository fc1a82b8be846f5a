package simulator

import (
	"crypto/rand"
	"net/http"
	"net/url"
)

// consentTicket is a consent sheet on show. It is good for one answer.
type consentTicket struct {
	req    authorizeRequest
	person string
}

func (s *Server) showConsent(w http.ResponseWriter, r *http.Request, req authorizeRequest, p person) {
	ticket := rand.Text()
	s.tickets.put(ticket, consentTicket{req: req, person: p.name}, s.now())
	s.pages.show(w, "consent.html", consentPage{
		Ticket: ticket, Person: p.name, Nickname: p.nickname, Avatar: s.avatarURL(r, p),
		AppID: req.app.AppID, Host: req.redirect.Host, Query: req.rawQuery,
	})
}

// handleConfirm takes the answer to a consent sheet: a form with ticket and answer, allow or deny.
func (s *Server) handleConfirm(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	answer := r.PostFormValue("answer")
	if answer != "allow" && answer != "deny" {
		s.showError(w, pageError{text: "操作有误", hint: "the form lacks an answer"})
		return
	}
	t, ok := s.tickets.take(r.PostFormValue("ticket"))
	if !ok {
		s.showError(w, pageError{text: "页面已过期，请重新打开", hint: "this consent sheet was answered already, or is too old"})
		return
	}
	if answer == "deny" {
		s.refuseConsent(w, r, t.req, lookup(t.person))
		return
	}
	s.comeBack(w, r, t.req, account{person: t.person})
}

// refuseConsent is what the site sees of a refusal: nothing, the state alone, or code=authdeny (all observed,
// wechat-protocol §1.1). Nora's phone reports it with authdeny as long as the switch is untouched, so that the cast
// has somebody who shows a site's page for refusals.
func (s *Server) refuseConsent(w http.ResponseWriter, r *http.Request, req authorizeRequest, p person) {
	switch s.refusalOf(p) {
	case "authdeny":
		redirect(w, r, callbackURL(req, "authdeny"))
	case "state-only":
		redirect(w, r, callbackURL(req, ""))
	default:
		s.pages.show(w, "closed.html", nil)
	}
}

// refusalOf is how this person's phone tells of a refusal.
func (s *Server) refusalOf(p person) string {
	choice := s.switches.choice(switchRefusal)
	if choice == "" && p.refuses {
		return "authdeny"
	}
	return choice
}

// handleChoosePerson puts the phone into somebody's hands and reopens the link; an empty person takes it away again.
func (s *Server) handleChoosePerson(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	name := r.PostFormValue("person")
	if name == "" {
		name = r.PostFormValue("other")
	}
	cookie := http.Cookie{Name: "simulator_person", Value: url.PathEscape(name), Path: "/", SameSite: http.SameSiteLaxMode}
	switch {
	case name == "":
		cookie.MaxAge = -1
	case !validName(name):
		s.showError(w, pageError{text: "名字有误", hint: errBadName.Error()})
		return
	}
	http.SetCookie(w, &cookie)
	page := r.PostFormValue("page")
	if page != pathQRConfirm { // no other page may be named
		page = pathAuthorize
	}
	http.Redirect(w, r, page+"?"+r.PostFormValue("query"), http.StatusSeeOther)
}

func (s *Server) showChooser(w http.ResponseWriter, req authorizeRequest) {
	s.showChooserFor(w, pathAuthorize, req.rawQuery)
}

// showChooserFor asks who holds the phone and comes back to the page.
func (s *Server) showChooserFor(w http.ResponseWriter, path, query string) {
	page := chooserPage{Page: path, Query: query}
	for _, name := range castNames() {
		p := lookup(name)
		page.People = append(page.People, chooserPerson{Name: p.name, Nickname: p.nickname, About: p.about})
	}
	s.pages.show(w, "chooser.html", page)
}
