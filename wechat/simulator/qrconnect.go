package simulator

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// The login of websites (wechat-protocol §9): the page with the QR code, the picture, what the page asks while it waits,
// and the page on the phone. The paths of the last three are the simulator's own.
const (
	pathQRConnect = "/connect/qrconnect"
	pathQRPicture = "/connect/qrcode/{uuid}"
	pathQRState   = "/connect/l/qrconnect"
	pathQRConfirm = "/connect/confirm"
)

// qrLoginLife is how long a QR code waits for somebody (assumed).
const qrLoginLife = 5 * time.Minute

// The states of a login on a website.
const (
	qrWaiting   = "waiting"
	qrScanned   = "scanned"
	qrConfirmed = "confirmed"
	qrRefused   = "refused"
	qrExpired   = "expired"
)

// qrLogin is one page with a QR code.
type qrLogin struct {
	uuid    string
	req     authorizeRequest
	expires time.Time

	mu       sync.Mutex
	state    string
	person   string // who scanned last
	redirect string // where the page goes when it is over
}

func (s *Server) mountQRConnect(mux *http.ServeMux) {
	mux.HandleFunc(pathQRConnect, s.wechat(pathQRConnect, s.handleQRConnect))
	mux.HandleFunc("GET "+pathQRPicture, s.handleQRPicture)
	mux.HandleFunc("GET "+pathQRState, s.handleQRState)
	mux.HandleFunc("POST "+pathQRConnect+"/fast", s.handleFastLogin)
	mux.HandleFunc("GET "+pathQRConfirm, s.handleQRConfirmPage)
	mux.HandleFunc("POST "+pathQRConfirm, s.handleQRConfirm)
}

// handleQRConnect is GET /connect/qrconnect. The header X-Simulator-Consent with X-Simulator-Person plays the whole of
// scanning and tapping at once, so that a program without a browser can log in.
func (s *Server) handleQRConnect(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	req, fault := s.parseQRConnect(r.URL.RawQuery)
	if fault != nil {
		s.showError(w, *fault)
		return
	}
	login := &qrLogin{uuid: rand.Text(), req: req, expires: s.now().Add(qrLoginLife), state: qrWaiting}
	holder, fault := holderOf(r)
	if fault != nil {
		s.showError(w, *fault)
		return
	}
	if consent := r.Header.Get("X-Simulator-Consent"); holder != "" && (consent == "allow" || consent == "deny") {
		s.answerQRLogin(login, lookup(holder), consent == "allow")
		if login.redirect == "" {
			s.pages.show(w, "closed.html", nil)
			return
		}
		redirect(w, r, login.redirect)
		return
	}
	s.qrLogins.put(login.uuid, login, s.now())
	s.showQRLogin(w, r, login, holder)
}

// parseQRConnect checks a link, in the order of [Server.parseAuthorize] (assumed). The order of the parameters does not
// matter here (assumed).
func (s *Server) parseQRConnect(rawQuery string) (authorizeRequest, *pageError) {
	q, err := url.ParseQuery(rawQuery)
	if err != nil {
		return authorizeRequest{}, badLink("the query is malformed")
	}
	if fault := s.checkPresent(q); fault != nil {
		return authorizeRequest{}, fault
	}
	req := authorizeRequest{app: s.apps[q.Get("appid")], scope: q.Get("scope"), state: q.Get("state"), rawQuery: rawQuery}
	switch {
	case q.Get("response_type") != "code":
		return authorizeRequest{}, badLink("response_type must be code")
	case len(req.state) > 128:
		return authorizeRequest{}, badLink("state is longer than 128 bytes")
	case req.app == nil: // assumed wording
		return authorizeRequest{}, &pageError{code: 40013, text: "appid 参数错误", hint: "no app with this appid is configured"}
	case req.app.Provider != ProviderWebsite || req.scope != scopeLogin:
		return authorizeRequest{}, &pageError{code: 10005, text: "Scope 参数错误或没有 Scope 权限", hint: "want snsapi_login and the appid of a website app"}
	}
	redirect, fault := checkRedirect(req.app, q.Get("redirect_uri"))
	req.redirect = redirect
	return req, fault
}

func (s *Server) showQRLogin(w http.ResponseWriter, r *http.Request, login *qrLogin, holder string) {
	q, _ := url.ParseQuery(login.req.rawQuery) // parsed before
	page := qrConnectPage{
		UUID: login.uuid, Host: login.req.redirect.Host, AppID: login.req.app.AppID, Query: login.req.rawQuery,
		Says: s.qrLoginAddress(r, login), English: q.Get("lang") == "en",
		Framed: q.Get("login_type") == "jssdk", SelfRedirect: q.Get("self_redirect") == "true",
	}
	if holder != "" && s.switches.choice(switchFastLogin) == "on" && q.Get("fast_login") != "0" {
		p := lookup(holder)
		page.Person, page.Nickname, page.Avatar = p.name, p.nickname, s.avatarURL(r, p)
	}
	s.pages.show(w, "qrconnect.html", page)
}

// qrLoginAddress is what the QR code says: the page on the phone.
func (s *Server) qrLoginAddress(r *http.Request, login *qrLogin) string {
	return s.publicURL(r) + pathQRConfirm + "?uuid=" + login.uuid
}

func (s *Server) handleQRPicture(w http.ResponseWriter, r *http.Request) {
	login, ok := s.qrLogins.get(r.PathValue("uuid"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeQRPicture(w, s.qrLoginAddress(r, login))
}

// qrState is what the waiting page is told.
type qrState struct {
	State    string `json:"state"`
	Nickname string `json:"nickname,omitempty"` // of whoever scanned
	Avatar   string `json:"avatar,omitempty"`
	Redirect string `json:"redirect,omitempty"`
}

// handleQRState is GET ?uuid=, which the page asks about every second.
func (s *Server) handleQRState(w http.ResponseWriter, r *http.Request) {
	login, ok := s.qrLogins.get(r.URL.Query().Get("uuid"))
	if !ok {
		writeControl(w, http.StatusOK, qrState{State: qrExpired})
		return
	}
	login.mu.Lock()
	state := qrState{State: s.qrLoginState(login), Redirect: login.redirect}
	person := login.person
	login.mu.Unlock()
	if person != "" {
		p := lookup(person)
		state.Nickname, state.Avatar = p.nickname, s.avatarURL(r, p)
	}
	writeControl(w, http.StatusOK, state)
}

// qrLoginState is the state now; login.mu is held.
func (s *Server) qrLoginState(login *qrLogin) string {
	open := login.state == qrWaiting || login.state == qrScanned
	if open && !s.now().Before(login.expires) {
		return qrExpired
	}
	return login.state
}

// qrLoginOpen says whether a scan can still lead to a login.
func (s *Server) qrLoginOpen(login *qrLogin) bool {
	login.mu.Lock()
	defer login.mu.Unlock()
	state := s.qrLoginState(login)
	return state == qrWaiting || state == qrScanned
}

// scanQRLogin notes that somebody looks at the page on their phone. It is false if there is nothing left to confirm.
func (s *Server) scanQRLogin(login *qrLogin, name string) bool {
	login.mu.Lock()
	defer login.mu.Unlock()
	switch s.qrLoginState(login) {
	case qrWaiting, qrScanned:
		login.state, login.person = qrScanned, name
		return true
	}
	return false
}

// answerQRLogin ends a login; it is false if it had ended before. A refusal tells the website nothing, or its state alone, or
// code=authdeny (documented and observed, wechat-protocol §9); see [Server.refusalOf].
func (s *Server) answerQRLogin(login *qrLogin, p person, allow bool) bool {
	login.mu.Lock()
	defer login.mu.Unlock()
	if state := s.qrLoginState(login); state != qrWaiting && state != qrScanned {
		return false
	}
	login.person = p.name
	if allow {
		login.state, login.redirect = qrConfirmed, s.callbackWithCode(login.req, account{person: p.name})
		return true
	}
	login.state = qrRefused
	switch s.refusalOf(p) {
	case "authdeny":
		login.redirect = callbackURL(login.req, "authdeny")
	case "state-only":
		login.redirect = callbackURL(login.req, "")
	}
	return true
}

// scanWebsite is the scan of a website's QR code.
func (s *Server) scanWebsite(login *qrLogin, name, address, consent string) (ScanReport, error) {
	report := ScanReport{Kind: scanWebsite, AppID: login.req.app.AppID}
	if !s.scanQRLogin(login, name) {
		report.Shown = qrGone
		return report, nil
	}
	if consent == "" || consent == "wait" {
		report.Open = address
		return report, nil
	}
	s.answerQRLogin(login, lookup(name), consent == "allow")
	return report, nil
}

// handleQRConfirmPage is the page on the phone. Somebody who refuses by habit does so at once.
func (s *Server) handleQRConfirmPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	login, ok := s.qrLogins.get(r.URL.Query().Get("uuid"))
	holder, fault := holderOf(r)
	switch {
	case fault != nil:
		s.showError(w, *fault)
	case !ok:
		s.showError(w, pageError{text: qrGone})
	case holder == "":
		s.showChooserFor(w, pathQRConfirm, r.URL.RawQuery)
	case !s.scanQRLogin(login, holder):
		s.showError(w, pageError{text: qrGone})
	case lookup(holder).refuses:
		s.answerQRLogin(login, lookup(holder), false)
		s.pages.show(w, "closed.html", nil)
	default:
		p := lookup(holder)
		s.pages.show(w, "qrconfirm.html", qrConfirmPage{
			UUID: login.uuid, Person: p.name, Nickname: p.nickname, Avatar: s.avatarURL(r, p),
			AppID: login.req.app.AppID, Host: login.req.redirect.Host, Query: r.URL.RawQuery,
		})
	}
}

// handleQRConfirm takes the tap on the phone: a form with uuid and answer, allow or deny.
func (s *Server) handleQRConfirm(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	answer := r.PostFormValue("answer")
	login, ok := s.qrLogins.get(r.PostFormValue("uuid"))
	holder, fault := holderOf(r)
	switch {
	case fault != nil:
		s.showError(w, *fault)
	case answer != "allow" && answer != "deny" || holder == "":
		s.showError(w, pageError{text: "操作有误", hint: "the form lacks an answer, or nobody holds the phone"})
	case !ok || !s.answerQRLogin(login, lookup(holder), answer == "allow"):
		s.showError(w, pageError{text: qrGone})
	case answer == "deny":
		s.pages.show(w, "closed.html", nil)
	default:
		s.pages.show(w, "qrdone.html", nil)
	}
}

// handleFastLogin is the one click that stands in for the scan where desktop WeChat runs (documented).
func (s *Server) handleFastLogin(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	login, ok := s.qrLogins.get(r.PostFormValue("uuid"))
	holder, fault := holderOf(r)
	switch {
	case fault != nil || holder == "" || s.switches.choice(switchFastLogin) != "on":
		http.Error(w, "no fast login here", http.StatusForbidden)
	case !ok || !s.answerQRLogin(login, lookup(holder), !lookup(holder).refuses):
		writeControl(w, http.StatusOK, qrState{State: qrExpired})
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
