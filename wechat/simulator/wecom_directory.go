package simulator

import (
	"net/http"
)

// isOldApp says whether an app was made before 2022-06-20 20:00 and still gets a member's private fields from the
// directory (documented, §5.1).
func (s *Server) isOldApp(app *App) bool {
	switch s.switches.choice(switchWeComAppAge) {
	case "old":
		return true
	case "new":
		return false
	}
	return app.OldApp
}

// handleMember is GET /cgi-bin/user/get (§5.1).
func (s *Server) handleMember(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingAgent(r)
	if errcode != 0 {
		s.refuseWeCom(w, r, errcode)
		return
	}
	m, errcode := s.seenBy(app, r.URL.Query().Get("userid"))
	if errcode != 0 {
		s.refuseWeCom(w, r, errcode)
		return
	}
	answerWeCom(w, s.memberFields(r, app, m)...)
}

// seenBy finds a member as an app sees them. The error pages give both 60011 and 60111 for a member outside the visible
// range, so there is a switch.
func (s *Server) seenBy(app *App, userID string) (member, int) {
	switch {
	case userID == "":
		return member{}, 41009
	case !validUserID(userID):
		return member{}, 40003
	}
	m, known := s.memberByID(s.wecom.corps[app.AppID], userID)
	switch {
	case !known, m.status == memberLeft && s.switches.choice(switchWeComLeft) != "status-5":
		return member{}, 60111
	case !m.visible && s.switches.choice(switchWeComInvisible) == "60111":
		return member{}, 60111
	case !m.visible:
		return member{}, 60011
	}
	return m, 0
}

// memberFields are those of the documentation, in its order. The userid is told as it is stored (assumed). What a new
// app does not get is absent, or empty by switch.
func (s *Server) memberFields(r *http.Request, app *App, m member) []field {
	old, empty := s.isOldApp(app), s.switches.choice(switchWeComWithheld) == "empty"
	var fields []field
	add := func(f field) { fields = append(fields, f) }
	private := func(name, value string) {
		switch {
		case old:
			add(field{name, value})
		case empty:
			add(field{name, ""})
		}
	}
	zeros := make([]int, len(m.depts))
	add(field{"userid", m.userID})
	add(field{"name", m.name})
	add(field{"department", m.depts})
	add(field{"order", zeros})
	add(field{"position", m.position})
	private("mobile", m.mobile())
	private("gender", m.gender)
	private("email", m.email())
	private("biz_mail", m.bizMail())
	add(field{"is_leader_in_dept", zeros})
	add(field{"direct_leader", []string{}})
	private("avatar", s.memberAvatar(r, m, "0"))
	private("thumb_avatar", s.memberAvatar(r, m, "100"))
	add(field{"telephone", ""})
	add(field{"alias", ""})
	private("address", m.address())
	add(field{"main_department", m.depts[0]})
	add(field{"extattr", struct {
		Attrs []string `json:"attrs"`
	}{[]string{}}})
	add(field{"status", m.status})
	private("qr_code", m.qrCode())
	add(field{"external_position", ""})
	return fields
}
