package simulator

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// wecomSheet is a page that waits for an answer. It is good for one.
type wecomSheet struct {
	link   wecomLink
	person string
}

// memberConsent is what a member answered to an app that asked for private fields. WeCom remembers a refusal too; the
// member changes it in the app's settings (observed, §2.3).
type memberConsent struct {
	refused bool
	allowed []string
}

// asksForCorp says whether a link to the shared authorize page is WeCom's.
func (s *Server) asksForCorp(r *http.Request) bool {
	return s.wecom.corps[r.URL.Query().Get("appid")] != nil
}

// handleWeComAuthorize is /connect/oauth2/authorize with a corpid (§2).
func (s *Server) handleWeComAuthorize(w http.ResponseWriter, r *http.Request) {
	if s.outsideWeCom(r) {
		s.showError(w, pageError{text: "请在企业微信客户端打开链接", hint: "The browser is neither WeCom's nor WeChat's."})
		return
	}
	link, fault := s.parseWeComLink(pathAuthorize, r.URL.RawQuery)
	if fault != nil && fault.text == untrustedDomain {
		w.Header().Set("Location", pathURIConfirm+"?err_type=domain_err&uri="+url.QueryEscape(link.redirect.String()))
		w.WriteHeader(http.StatusFound)
		return
	}
	if fault != nil {
		s.showError(w, *fault)
		return
	}
	person, consent, fault := whoAnswers(r)
	switch {
	case fault != nil:
		s.showError(w, *fault)
	case person == "":
		s.showOrgChooser(w, link)
	default:
		s.decideForMember(w, r, link, person, consent)
	}
}

// whoAnswers reads who holds the phone and what they say to a consent page.
func whoAnswers(r *http.Request) (person, consent string, fault *pageError) {
	if person, fault = holderOf(r); fault != nil {
		return "", "", fault
	}
	consent = r.Header.Get("X-Simulator-Consent")
	if consent != "" && consent != "allow" && consent != "deny" {
		return "", "", &pageError{text: "X-Simulator-Consent", hint: "want allow or deny"}
	}
	return person, consent, nil
}

// outsideWeCom says whether the authorize page must send this browser away. A corp's link works in WeCom and in WeChat
// (observed, §2.3); any other browser passes by default, see outsideWeChat.
func (s *Server) outsideWeCom(r *http.Request) bool {
	if c, err := r.Cookie("simulator_browser"); err == nil {
		switch c.Value {
		case "wechat", "wecom":
			return false
		case "desktop":
			return true
		}
	}
	agent := strings.ToLower(r.UserAgent())
	return s.switches.choice(switchOutsideWeChat) == "refused" &&
		!strings.Contains(agent, "wxwork") && !strings.Contains(agent, "micromessenger")
}

// decideForMember: snsapi_base shows nothing. snsapi_privateinfo asks a member in the visible range once, and shows one
// outside it an error (documented, §2.3); who is no member of the corp has nothing to be asked for (assumed).
func (s *Server) decideForMember(w http.ResponseWriter, r *http.Request, link wecomLink, person, consent string) {
	m := s.memberOf(link.corp, person)
	if !link.private || m.kind != corpMember {
		s.returnWithCode(w, r, link, person, nil)
		return
	}
	if !m.visible {
		s.showError(w, pageError{text: "无权限访问", hint: "The member is outside the visible range of the app."})
		return
	}
	before, answered := s.wecom.consents.get(consentKey(link.agent, m.person))
	switch {
	case consent != "":
		s.answerConsent(w, r, link, m.person, consent == "allow", link.agent.PrivateFields)
	case answered && !before.refused:
		s.returnWithCode(w, r, link, person, before.allowed)
	case answered:
		s.refuseLogin(w, r, link, switchWeComRefusal)
	default:
		s.showPrivateConsent(w, link, m)
	}
}

func consentKey(agent *App, person string) string {
	return agent.AppID + " " + agent.Secret + " " + person // the secret tells apps of one corp apart
}

// answerConsent remembers the answer as the switch says, and goes on.
func (s *Server) answerConsent(w http.ResponseWriter, r *http.Request, link wecomLink, person string, allow bool, fields []string) {
	memory := s.switches.choice(switchWeComConsent)
	if memory != "forgotten" && (allow || memory != "allowed-only") {
		s.wecom.consents.put(consentKey(link.agent, person), memberConsent{refused: !allow, allowed: fields}, s.now())
	}
	if !allow {
		s.refuseLogin(w, r, link, switchWeComRefusal)
		return
	}
	s.returnWithCode(w, r, link, person, fields)
}

// refuseLogin is what the site sees of a refusal: the state alone, or nothing at all (§2.3, §6.1; which one is unverified).
func (s *Server) refuseLogin(w http.ResponseWriter, r *http.Request, link wecomLink, by string) {
	if s.switches.choice(by) == "nothing" {
		s.pages.show(w, "closed.html", nil)
		return
	}
	redirect(w, r, s.back(link, ""))
}

// The data of wecom-consent.html.
type privateConsentPage struct {
	Ticket, Person, Name, CorpID, Host, Query string
	AgentID                                   int
	Fields                                    []privateField
}

type privateField struct{ Name, Label string }

func (s *Server) showPrivateConsent(w http.ResponseWriter, link wecomLink, m member) {
	labels := map[string]string{"gender": "性别", "avatar": "头像", "qr_code": "个人二维码", "mobile": "手机号",
		"email": "邮箱", "biz_mail": "企业邮箱", "address": "地址"}
	page := privateConsentPage{
		Ticket: s.newSheet(link, m.person), Person: m.person, Name: m.name,
		CorpID: link.corp.id, AgentID: link.agent.AgentID, Host: link.redirect.Host, Query: link.rawQuery,
	}
	for _, name := range link.agent.PrivateFields {
		page.Fields = append(page.Fields, privateField{name, labels[name]})
	}
	s.pages.show(w, "wecom-consent.html", page)
}

func (s *Server) newSheet(link wecomLink, person string) string {
	ticket := rand.Text()
	s.wecom.sheets.put(ticket, wecomSheet{link: link, person: person}, s.now())
	return ticket
}

// takeSheet reads the answer to a sheet, allow or deny, and spends the sheet. It shows what is wrong.
func (s *Server) takeSheet(w http.ResponseWriter, r *http.Request) (sheet wecomSheet, allow, ok bool) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	answer := r.PostFormValue("answer")
	if answer != "allow" && answer != "deny" {
		s.showError(w, pageError{text: "操作有误", hint: "the form lacks an answer"})
		return wecomSheet{}, false, false
	}
	if sheet, ok = s.wecom.sheets.take(r.PostFormValue("ticket")); !ok {
		s.showError(w, pageError{text: "页面已过期，请重新打开", hint: "this page was answered already, or is too old"})
		return wecomSheet{}, false, false
	}
	return sheet, answer == "allow", true
}

// handleWeComConfirm takes the answer to a consent page: a form with ticket, answer and the fields that are ticked.
func (s *Server) handleWeComConfirm(w http.ResponseWriter, r *http.Request) {
	sheet, allow, ok := s.takeSheet(w, r)
	if !ok {
		return
	}
	if sheet.link.agent == nil {
		s.showError(w, pageError{text: "操作有误", hint: "the ticket is of another page"})
		return
	}
	fields := slices.DeleteFunc(slices.Clone(sheet.link.agent.PrivateFields), func(name string) bool {
		return !slices.Contains(r.PostForm["field"], name)
	})
	s.answerConsent(w, r, sheet.link, sheet.person, allow, fields)
}

func (s *Server) showOrgChooser(w http.ResponseWriter, link wecomLink) {
	page := chooserPage{Page: pathAuthorize, Query: link.rawQuery}
	for _, name := range append(orgNames(), "guest") {
		m := s.memberOf(link.corp, name)
		page.People = append(page.People, chooserPerson{Name: name, Nickname: m.name, About: m.about()})
	}
	s.pages.show(w, "chooser.html", page)
}

// about says in English what somebody is to the corp.
func (m member) about() string {
	switch {
	case m.kind == customer:
		return "a customer of the corp"
	case m.kind == linkedMember:
		return "a member of a linked corp"
	case m.kind == stranger:
		return "no member"
	case m.status == memberDisabled:
		return "a disabled member"
	case m.status == memberNotActivated:
		return "a member who has not joined yet"
	case m.status == memberLeft:
		return "has left the corp"
	case !m.visible:
		return "a member outside the visible range"
	}
	return "a member"
}

// handleURIConfirm is the page for a redirect_uri outside the trusted domain (observed, §2.2).
func (s *Server) handleURIConfirm(w http.ResponseWriter, r *http.Request) {
	hint := "not a trusted domain of the app"
	if u, err := url.Parse(r.URL.Query().Get("uri")); err == nil && u.Host != "" {
		hint += ": " + u.Host + "; host and port are compared as they are written"
	}
	s.showError(w, pageError{text: untrustedDomain, hint: hint})
}
