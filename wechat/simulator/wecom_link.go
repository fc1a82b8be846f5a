package simulator

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const scopePrivate = "snsapi_privateinfo"

// wecomLink is a link to one of WeCom's login pages that passed its checks.
type wecomLink struct {
	path     string // of the page
	rawQuery string // of the link, to reopen it
	corp     *corp
	agent    *App   // named by agentid; nil without one
	apps     []*App // those that may redeem the code; none if the domain is to fail only then
	redirect *url.URL
	state    string
	private  bool // snsapi_privateinfo
}

// web says whether this is the login on a PC.
func (l wecomLink) web() bool { return l.path != pathAuthorize }

// parseWeComLink checks a link of the authorize page (§2.1) or of the web login (§6). No order of parameters is wanted:
// Tencent's own pages use two.
func (s *Server) parseWeComLink(path, rawQuery string) (wecomLink, *pageError) {
	q, err := url.ParseQuery(rawQuery)
	if err != nil {
		return wecomLink{}, badLink("the query is malformed")
	}
	l := wecomLink{path: path, rawQuery: rawQuery, corp: s.wecom.corps[q.Get("appid")], state: q.Get("state")}
	if l.corp == nil {
		return wecomLink{}, badLink("no corp with this appid is configured; appid is the corpid")
	}
	if l.redirect, err = url.Parse(q.Get("redirect_uri")); err != nil || l.redirect.Host == "" || l.redirect.User != nil ||
		l.redirect.Scheme != "http" && l.redirect.Scheme != "https" {
		return wecomLink{}, badLink("redirect_uri is not an absolute http or https URL")
	}
	check := s.checkOAuth
	if l.web() {
		check = s.checkWebLogin
	}
	fault := check(&l, q)
	return l, fault
}

// checkOAuth looks at what the authorize page alone has. What becomes of a state beyond 128 letters and digits is not
// known (§2.1): it comes back as it was.
func (s *Server) checkOAuth(l *wecomLink, q url.Values) *pageError {
	scope := q.Get("scope")
	if q.Get("response_type") != "code" {
		return badLink("response_type must be code")
	}
	if scope != scopeBase && scope != scopePrivate {
		return badLink("scope must be " + scopeBase + " or " + scopePrivate)
	}
	l.private = scope == scopePrivate
	if fault := l.nameAgent(q.Get("agentid")); fault != nil {
		return fault
	}
	if l.private && l.agent == nil { // both documented, on one page (§2.1)
		if s.switches.choice(switchWeComNoAgentID) == "error" {
			return badLink("agentid is missing; " + scopePrivate + " needs it")
		}
		l.private = false
	}
	return s.trustRedirect(l, func(a *App) bool { return a.hasDomain(l.redirect.Host) })
}

// checkWebLogin looks at what the web login alone has. Its redirect_uri may also be on the app's own login domain.
func (s *Server) checkWebLogin(l *wecomLink, q url.Values) *pageError {
	if l.path == pathWebLogin && q.Get("login_type") != "CorpApp" {
		return badLink("login_type must be CorpApp for an app of a corp")
	}
	if fault := l.nameAgent(q.Get("agentid")); fault != nil {
		return fault
	}
	if l.agent == nil {
		return badLink("agentid is missing")
	}
	return s.trustRedirect(l, func(a *App) bool {
		return a.hasDomain(l.redirect.Host) || a.LoginDomain != "" && strings.EqualFold(l.redirect.Host, a.LoginDomain)
	})
}

// nameAgent finds the app of agentid, if there is one (observed wording, §2.1).
func (l *wecomLink) nameAgent(text string) *pageError {
	if text == "" {
		return nil
	}
	id, err := strconv.Atoi(text)
	if err == nil && id > 0 {
		l.agent = l.corp.agent(id)
	}
	if l.agent == nil {
		return &pageError{text: "invalid agentid", hint: fmt.Sprintf("corp %s has no agentid %.20s", l.corp.id, text)}
	}
	return nil
}

// trustRedirect finds the apps that trust redirect_uri: the one of agentid, or any of the corp. By switch the link passes
// all the same and the code is refused when it is redeemed (§2.2).
func (s *Server) trustRedirect(l *wecomLink, trusted func(*App) bool) *pageError {
	candidates := l.corp.agents
	if l.agent != nil {
		candidates = []*App{l.agent}
	}
	for _, a := range candidates {
		if trusted(a) {
			l.apps = append(l.apps, a)
		}
	}
	if l.apps != nil || s.switches.choice(switchWeComDomain) == "redemption" {
		return nil
	}
	return &pageError{text: untrustedDomain, hint: "trusted: " + orNone(domainsOf(candidates)) + ", redirect_uri: " + l.redirect.Host +
		"; host and port are compared as they are written"}
}

const untrustedDomain = "redirect_uri需使用应用可信域名" // observed, §2.2

func domainsOf(apps []*App) string {
	var list []string
	for _, a := range apps {
		if a.RedirectDomain != "" && !slices.Contains(list, a.RedirectDomain) {
			list = append(list, a.RedirectDomain)
		}
	}
	return strings.Join(list, ", ")
}

// back is redirect_uri with code and state, before its fragment; without a state there is still a state= (documented,
// §2.3). The web login adds an appid (observed with the older page, §6.1), and a refusal has no code.
func (s *Server) back(l wecomLink, code string) string {
	u := *l.redirect
	added := "state=" + url.QueryEscape(l.state)
	if code != "" {
		added = "code=" + code + "&" + added
		if l.web() && s.switches.choice(switchWeComScanAppID) != "absent" {
			added += "&appid=" + l.corp.id
		}
	}
	if u.RawQuery != "" {
		added = u.RawQuery + "&" + added
	}
	u.RawQuery = added
	return u.String()
}

// returnWithCode ends a login: usually a redirect, by a fault or in hostile mode something nastier.
func (s *Server) returnWithCode(w http.ResponseWriter, r *http.Request, l wecomLink, person string, allowed []string) {
	kind := corpOAuthCode
	if l.web() {
		kind = webLoginCode
	}
	callback := func() string {
		return s.back(l, s.issueWeCom(wecomCode{
			kind: kind, corp: l.corp, apps: l.apps, person: person, private: l.private, allowed: allowed,
		}))
	}
	first, mode := callback(), ""
	if !l.web() {
		mode = s.comebackMode()
	}
	switch mode {
	case "":
		redirect(w, r, first)
	case ModeTwoCodes:
		s.showVisits(w, r, mode, []string{first, callback()})
	default:
		s.showVisits(w, r, mode, []string{first, first})
	}
}
