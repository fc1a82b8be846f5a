package simulator

import (
	"net/http"
	"net/url"
	"strings"
)

// authorizeRequest is a link to the authorize page that passed its checks (wechat-protocol §1.1).
type authorizeRequest struct {
	app           *App
	redirect      *url.URL
	scope         string
	state         string
	forcePopup    bool
	forceSnapshot bool
	rawQuery      string
}

// handleAuthorize is GET /connect/oauth2/authorize: check the link, see who holds the phone, decide, and send the
// browser back or show a page.
func (s *Server) handleAuthorize(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if s.asksForCorp(r) {
		s.handleWeComAuthorize(w, r)
		return
	}
	if s.outsideWeChat(r) {
		s.showError(w, pageError{text: "请在微信客户端打开链接", hint: "The browser is not WeChat's."})
		return
	}
	req, fault := s.parseAuthorize(r.URL.RawQuery)
	if fault != nil {
		s.showError(w, *fault)
		return
	}
	holder, fault := holderOf(r)
	if fault != nil {
		s.showError(w, *fault)
		return
	}
	if holder == "" {
		s.showChooser(w, req)
		return
	}
	consent := r.Header.Get("X-Simulator-Consent")
	if consent != "" && consent != "allow" && consent != "deny" {
		s.showError(w, pageError{text: "X-Simulator-Consent", hint: "want allow or deny"})
		return
	}
	if req.scope == scopeUser {
		if _, ok := s.faults.draw(pathAuthorize, insteadOfConsent); ok {
			s.showSnapshot(w, r, req, holder)
			return
		}
	}
	switch p := lookup(holder); s.decide(req, p, takeEntry(w, r, req.scope), consent) {
	case grantIt:
		s.comeBack(w, r, req, account{person: p.name})
	case snapshotIt:
		s.comeBack(w, r, req, s.newVirtual(req.app, p.name))
	case refuseIt:
		s.refuseConsent(w, r, req, p)
	default:
		s.showConsent(w, r, req, p)
	}
}

// parseAuthorize checks a link. Failures are pages for the person, never redirects (documented). The order of checks
// is assumed: empty parameters, form of the link, appid, scope, domain.
func (s *Server) parseAuthorize(rawQuery string) (authorizeRequest, *pageError) {
	q, err := url.ParseQuery(rawQuery)
	if err != nil {
		return authorizeRequest{}, badLink("the query is malformed")
	}
	if fault := s.checkPresent(q); fault != nil {
		return authorizeRequest{}, fault
	}
	if fault := s.checkForm(rawQuery, q); fault != nil {
		return authorizeRequest{}, fault
	}
	req := authorizeRequest{
		app: s.apps[q.Get("appid")], scope: q.Get("scope"), state: q.Get("state"), rawQuery: rawQuery,
		forcePopup: q.Get("forcePopup") == "true", forceSnapshot: q.Get("forceSnapShot") == "true",
	}
	if fault := checkAppAndScope(req); fault != nil {
		return authorizeRequest{}, fault
	}
	redirect, fault := checkRedirect(req.app, q.Get("redirect_uri"))
	req.redirect = redirect
	return req, fault
}

// checkPresent answers 10010 to 10013 (documented); 10013 only by switch, because links without state are seen to work.
func (s *Server) checkPresent(q url.Values) *pageError {
	switch {
	case q.Get("appid") == "":
		return &pageError{code: 10012, text: "appid不能为空"}
	case q.Get("redirect_uri") == "":
		return &pageError{code: 10011, text: "redirect_uri不能为空"}
	case q.Get("scope") == "":
		return &pageError{code: 10010, text: "scope不能为空"}
	case q.Get("state") == "" && s.switches.choice(switchEmptyState) == "10013":
		return &pageError{code: 10013, text: "state不能为空"}
	}
	return nil
}

// checkForm refuses what WeChat's regular expression for the link refuses. Documented is the whole order; observed are
// clients that swap scope and response_type and work, so only the first two names are required unless the switch
// parameter-order says strict (wechat-protocol §1.1). Extra parameters stand after state.
func (s *Server) checkForm(rawQuery string, q url.Values) *pageError {
	var names []string
	for pair := range strings.SplitSeq(rawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		names = append(names, name)
	}
	want := []string{"appid", "redirect_uri"}
	if s.switches.choice(switchParameterOrder) == "strict" {
		want = []string{"appid", "redirect_uri", "response_type", "scope"}
		if q.Has("state") {
			want = append(want, "state")
		}
	}
	for i, name := range want {
		if i >= len(names) || names[i] != name {
			return badLink("the parameters must begin " + strings.Join(want, ", ") + ", in this order")
		}
	}
	switch {
	case q.Get("response_type") != "code":
		return badLink("response_type must be code")
	case len(q.Get("state")) > 128: // documented limit; that the link is then refused is assumed
		return badLink("state is longer than 128 bytes")
	}
	return nil
}

func badLink(hint string) *pageError { return &pageError{text: "该链接无法访问", hint: hint} }

func checkAppAndScope(req authorizeRequest) *pageError {
	switch {
	case req.app == nil: // assumed wording
		return &pageError{code: 40013, text: "appid 参数错误", hint: "no app with this appid is configured"}
	case req.app.Provider == ProviderWebsite:
		return &pageError{code: 10016, text: "不支持微信开放平台的Appid，请使用公众号Appid"}
	case req.app.Provider != ProviderOfficialAccount, req.scope != scopeBase && req.scope != scopeUser:
		return &pageError{code: 10005, text: "此公众号并没有这些scope的权限"}
	}
	return nil
}

// checkRedirect compares the whole host, not a suffix of it (documented). Ports are left out; see App.RedirectDomain.
func checkRedirect(app *App, raw string) (*url.URL, *pageError) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, &pageError{code: 10003, text: "redirect_uri域名与后台配置不一致", hint: "redirect_uri is not an absolute http or https URL"}
	}
	if host := strings.ToLower(u.Hostname()); app.RedirectDomain == "" || host != app.RedirectDomain {
		return nil, &pageError{code: 10003, text: "redirect_uri域名与后台配置不一致",
			hint: "configured: " + orNone(app.RedirectDomain) + ", redirect_uri: " + host}
	}
	return u, nil
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// holderOf names the person who holds the phone: the header, else the cookie, else nobody.
func holderOf(r *http.Request) (string, *pageError) {
	name := r.Header.Get("X-Simulator-Person")
	if name == "" {
		c, err := r.Cookie("simulator_person")
		if err != nil || c.Value == "" {
			return "", nil
		}
		if name, err = url.PathUnescape(c.Value); err != nil {
			name = c.Value
		}
	}
	if !validName(name) {
		return "", &pageError{text: "X-Simulator-Person", hint: errBadName.Error()}
	}
	return name, nil
}

// faultPage is the error page for a fault's errcode (texts documented, wechat-protocol §1.1).
func faultPage(code int) pageError {
	texts := map[int]string{
		10003: "redirect_uri域名与后台配置不一致", 10004: "此公众号被封禁", 10005: "此公众号并没有这些scope的权限",
		10006: "必须关注此测试号", 10009: "操作太频繁了，请稍后重试", 10010: "scope不能为空", 10011: "redirect_uri不能为空",
		10012: "appid不能为空", 10013: "state不能为空", 10015: "公众号未授权第三方平台，请检查授权状态",
		10016: "不支持微信开放平台的Appid，请使用公众号Appid",
	}
	if text, ok := texts[code]; ok {
		return pageError{code: code, text: text}
	}
	return pageError{code: code, text: "系统错误"}
}
