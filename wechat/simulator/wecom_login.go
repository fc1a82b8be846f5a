package simulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

const userTicketLife = 1800 * time.Second // documented, §3.1

// userTicket opens a member's private fields.
type userTicket struct {
	app     *App
	corp    *corp
	person  string
	allowed []string
	expires time.Time
}

// redeemLogin takes the code of a call to either getuserinfo. Only calls with a good code are free of the limits.
func (s *Server) redeemLogin(r *http.Request) (wecomCode, member, *App, int) {
	app, errcode := s.callingAgent(r)
	if errcode != 0 {
		return wecomCode{}, member{}, nil, errcode
	}
	code, errcode := s.redeemWeCom(app, r.URL.Query().Get("code"), corpOAuthCode, webLoginCode)
	if errcode != 0 {
		if limit := s.countWeCom(r.URL.Path, app); limit != 0 {
			errcode = limit
		}
		return wecomCode{}, member{}, nil, errcode
	}
	return code, s.memberOf(code.corp, code.person), app, 0
}

// handleAuthUserInfo is GET /cgi-bin/auth/getuserinfo (§3.1). The userid is told of members outside the visible range
// too (documented).
func (s *Server) handleAuthUserInfo(w http.ResponseWriter, r *http.Request) {
	code, m, app, errcode := s.redeemLogin(r)
	if errcode != 0 {
		s.refuseWeCom(w, r, errcode)
		return
	}
	var fields []field
	switch m.kind {
	case corpMember, linkedMember:
		fields = append(fields, field{"userid", m.userID})
	case customer:
		fields = append(fields, field{"openid", m.openID(code.corp)}, field{"external_userid", m.externalUserID(code.corp)})
	default:
		fields = append(fields, field{"openid", m.openID(code.corp)})
	}
	if ticket := s.newUserTicket(app, code, m); ticket != "" {
		fields = append(fields, field{"user_ticket", ticket})
	}
	answerWeCom(w, fields...)
}

// handleOldUserInfo is GET /cgi-bin/user/getuserinfo, with capitals in its keys, but not in all (observed, §3.2).
func (s *Server) handleOldUserInfo(w http.ResponseWriter, r *http.Request) {
	code, m, app, errcode := s.redeemLogin(r)
	if errcode != 0 {
		s.refuseWeCom(w, r, errcode)
		return
	}
	id := field{"OpenId", m.openID(code.corp)}
	if m.kind == corpMember || m.kind == linkedMember {
		id = field{"UserId", m.userID}
	}
	fields := []field{id, {"DeviceId", m.deviceID()}}
	if m.kind == customer {
		fields = append(fields, field{"external_userid", m.externalUserID(code.corp)})
	}
	if ticket := s.newUserTicket(app, code, m); ticket != "" {
		fields = append(fields, field{"user_ticket", ticket}, field{"expires_in", 7200})
	}
	answerWeCom(w, fields...)
}

// newUserTicket makes a ticket for a member in the visible range whose login asked for private fields; the web login
// never does (documented, §3.1). Otherwise it is "".
func (s *Server) newUserTicket(app *App, code wecomCode, m member) string {
	if !code.private || code.kind == webLoginCode || m.kind != corpMember || !m.visible {
		return ""
	}
	ticket := newWeComSecret(48)
	now := s.now()
	s.wecom.userTickets.put(ticket, userTicket{
		app: app, corp: code.corp, person: code.person, allowed: code.allowed, expires: now.Add(userTicketLife),
	}, now)
	return ticket
}

// handleUserDetail is POST /cgi-bin/auth/getuserdetail, and its older path (§4). A ticket can be used again within its
// life (assumed).
func (s *Server) handleUserDetail(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingAgent(r)
	if errcode != 0 {
		s.refuseWeCom(w, r, errcode)
		return
	}
	var body struct {
		Ticket string `json:"user_ticket"`
	}
	switch errcode := readWeComPost(w, r, &body); {
	case errcode != 0:
		s.refuseWeCom(w, r, errcode)
		return
	case body.Ticket == "":
		s.refuseWeCom(w, r, 40063)
		return
	}
	ticket, known := s.wecom.userTickets.get(body.Ticket)
	if !known || ticket.app != app {
		s.refuseWeCom(w, r, 84015)
		return
	}
	if !s.now().Before(ticket.expires) {
		s.refuseWeCom(w, r, 84014)
		return
	}
	m := s.memberOf(ticket.corp, ticket.person)
	if m.kind != corpMember || !m.visible {
		s.refuseWeCom(w, r, 60011)
		return
	}
	answerWeCom(w, s.privateFields(r, app, m, ticket.allowed)...)
}

// privateFields are those that the admin chose for the app and the member allowed; a field that is missing from either
// is withheld, gender and avatar by a blank value (documented, §4).
func (s *Server) privateFields(r *http.Request, app *App, m member, allowed []string) []field {
	may := func(name string) bool {
		return slices.Contains(app.PrivateFields, name) && slices.Contains(allowed, name)
	}
	fields := []field{{"userid", m.userID}}
	if s.isOldApp(app) { // observed: apps from before June 2022 get the name
		fields = append(fields, field{"name", m.name})
	}
	gender, avatar := "0", s.publicURL(r)+"/mmopen/vi_32/"+greyAvatarID+"/0"
	if may("gender") {
		gender = m.gender
	}
	if may("avatar") {
		avatar = s.memberAvatar(r, m, "0")
	}
	fields = append(fields, field{"gender", gender}, field{"avatar", avatar})
	for _, f := range []field{
		{"qr_code", m.qrCode()}, {"mobile", m.mobile()}, {"email", m.email()}, {"biz_mail", m.bizMail()}, {"address", m.address()},
	} {
		if may(f.name) {
			fields = append(fields, f)
		}
	}
	return fields
}

// memberAvatar ends in its size: 0 for the original, 100 for the small one (documented).
func (s *Server) memberAvatar(r *http.Request, m member, size string) string {
	return strings.TrimSuffix(s.avatarURL(r, person{name: "member " + m.person}), "132") + size
}

// readWeComPost decodes the JSON of a POST: 40058 for anything else (observed, §10).
func readWeComPost(w http.ResponseWriter, r *http.Request, into any) int {
	const limit = 1 << 20
	if r.Method != http.MethodPost || json.NewDecoder(http.MaxBytesReader(w, r.Body, limit)).Decode(into) != nil {
		return 40058
	}
	return 0
}

// handleWeComSession is GET /cgi-bin/miniprogram/jscode2session (§7). It answers the corp whose member it is, which need
// not be the one that asks.
func (s *Server) handleWeComSession(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingAgent(r)
	if errcode != 0 {
		s.refuseWeCom(w, r, errcode)
		return
	}
	q := r.URL.Query()
	if q.Get("grant_type") != "authorization_code" { // assumed
		s.refuseWeCom(w, r, 40063)
		return
	}
	code, errcode := s.redeemWeCom(app, q.Get("js_code"), qyLoginCode)
	if errcode != 0 {
		s.refuseWeCom(w, r, errcode)
		return
	}
	m := s.memberOf(code.corp, code.person)
	userID := m.userID
	if s.switches.choice(switchWeComJSUserID) == "encrypted" {
		userID = "wo" + label("encrypted userid", code.corp.id, m.person)[:30] // the look of woZA1BCgAA03jDotNLBqH4kQoA1lxYZg
	}
	answerWeComLast(w, field{"corpid", code.corp.id}, field{"userid", userID},
		field{"session_key", newSessionKey()}, field{"deviceid", ""})
}
