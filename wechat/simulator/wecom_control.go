package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// mountWeComControl adds the control routes of WeCom. js-code, events and events/verify are shared with WeChat: there a
// corpid as appid makes them WeCom's.
func (s *Server) mountWeComControl(mux *http.ServeMux) {
	mux.HandleFunc("GET /_simulator/wecom/members", s.handleListMembers)
	mux.HandleFunc("POST /_simulator/wecom/members", ownPagesOnly(s.handleChangeMember))
	mux.HandleFunc("POST /_simulator/wecom/tokens", ownPagesOnly(s.handleEndToken))
	mux.HandleFunc("DELETE /_simulator/wecom/consents", ownPagesOnly(s.handleForgetConsents))
}

// forCorp sends a request whose JSON names a corpid as appid to another handler.
func (s *Server) forCorp(wecom, otherwise http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		const limit = 64 << 10 // that of readControl, which complains of more
		body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
		if err != nil {
			badControl(w, fmt.Errorf("body: %w", err))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var named struct {
			AppID string `json:"appid"`
		}
		if json.Unmarshal(body, &named) == nil && s.wecom.corps[named.AppID] != nil {
			wecom(w, r)
			return
		}
		otherwise(w, r)
	}
}

// handleWeComEvent is POST {"person", "appid", "agentid"?, "event"} with a corpid; see [WeComEvent].
func (s *Server) handleWeComEvent(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Person  string     `json:"person"`
		AppID   string     `json:"appid"`
		AgentID int        `json:"agentid"`
		Event   WeComEvent `json:"event"`
	}
	if err := readControl(w, r, &body); err != nil {
		badControl(w, err)
		return
	}
	report, err := s.PushWeCom(context.WithoutCancel(r.Context()), body.AppID, body.AgentID, body.Person, body.Event)
	if err != nil {
		badControl(w, err)
		return
	}
	writeControl(w, http.StatusOK, report)
}

// handleWeComVerify is POST {"appid", "agentid"?}.
func (s *Server) handleWeComVerify(w http.ResponseWriter, r *http.Request) {
	var body struct {
		AppID   string `json:"appid"`
		AgentID int    `json:"agentid"`
	}
	if err := readControl(w, r, &body); err != nil {
		badControl(w, err)
		return
	}
	report, err := s.VerifyWeComCallback(r.Context(), body.AppID, body.AgentID)
	if err != nil {
		badControl(w, err)
		return
	}
	writeControl(w, http.StatusOK, report)
}

// MemberChange is what the admin of a corp does to a member, as in POST /_simulator/wecom/members. What is left out stays.
type MemberChange struct {
	Status  string `json:"status,omitempty"`  // active, disabled, not-activated, left or deleted
	Visible *bool  `json:"visible,omitempty"` // whether the apps of the corp have them in their visible range
	UserID  string `json:"userid,omitempty"`  // a new userid
	Quiet   bool   `json:"quiet,omitempty"`   // no app is told
}

// MemberReport is a member after a change, and what the corp's apps were told of it.
type MemberReport struct {
	Person  string            `json:"person"`
	UserID  string            `json:"userid"`
	Status  int               `json:"status"`
	Visible bool              `json:"visible"`
	Deleted bool              `json:"deleted"`
	Events  []WeComPushReport `json:"events"`
}

func memberStatuses() map[string]int {
	return map[string]int{"active": memberActive, "disabled": memberDisabled, "not-activated": memberNotActivated, "left": memberLeft}
}

// ChangeMember changes a member and tells the apps of the corp that have a callback address: unsubscribe when the member
// leaves the visible range or the corp or is disabled, subscribe when it is the other way round, and change_contact to
// apps that get it (documented, §9.7).
func (s *Server) ChangeMember(ctx context.Context, corpID, name string, change MemberChange) (MemberReport, error) {
	c := s.wecom.corps[corpID]
	status, known := memberStatuses()[change.Status]
	switch {
	case c == nil:
		return MemberReport{}, fmt.Errorf("corpid %q is not configured", corpID)
	case !validName(name):
		return MemberReport{}, errBadName
	case change.Status != "" && change.Status != "deleted" && !known:
		return MemberReport{}, fmt.Errorf("status %q: want active, disabled, not-activated, left or deleted", change.Status)
	case change.UserID != "" && !validUserID(change.UserID):
		return MemberReport{}, errors.New("userid: want 1 to 64 letters, digits and any of ._-@")
	case change == MemberChange{Quiet: change.Quiet}:
		return MemberReport{}, errors.New("want one of status, visible and userid")
	}
	before := s.memberOf(c, name)
	after, err := s.changeMember(c, name, func(m *memberState) {
		if known {
			m.status, m.deleted = status, false
		}
		if change.Status == "deleted" {
			m.deleted = true
		}
		if change.Visible != nil {
			m.visible = *change.Visible
		}
		if change.UserID != "" {
			m.userID = change.UserID
		}
	})
	if err != nil {
		return MemberReport{}, err
	}
	report := reportOf(name, after)
	if !change.Quiet {
		report.Events, err = s.tellOfChange(ctx, c, before, after)
	}
	return report, err
}

func reportOf(name string, m member) MemberReport {
	return MemberReport{Person: name, UserID: m.userID, Status: m.status, Visible: m.visible, Deleted: m.deleted, Events: []WeComPushReport{}}
}

// reached says whether the apps of the corp have the member.
func (m member) reached() bool { return !m.deleted && m.visible && m.status == memberActive }

func (s *Server) tellOfChange(ctx context.Context, c *corp, before, after member) ([]WeComPushReport, error) {
	reports := []WeComPushReport{}
	for _, app := range c.agents {
		if app.unreachableWeCom() != "" {
			continue
		}
		for _, e := range eventsOfChange(app, before, after) {
			about := before
			if e.Change == contactCreate || e.Name == eventSubscribe {
				about = after
			}
			if e.Change == contactUpdate {
				about.status = after.status
			}
			report, err := s.tell(ctx, app, about, e)
			if err != nil {
				return nil, err
			}
			reports = append(reports, report)
		}
	}
	return reports, nil
}

func eventsOfChange(app *App, before, after member) []WeComEvent {
	var events []WeComEvent
	switch was, is := before.reached(), after.reached(); {
	case was && !is:
		events = append(events, WeComEvent{Name: eventUnsubscribe})
	case is && !was:
		events = append(events, WeComEvent{Name: eventSubscribe})
	}
	if !app.ContactEvents {
		return events
	}
	update := WeComEvent{Name: eventContact, Change: contactUpdate}
	if before.userID != after.userID {
		update.NewUserID = after.userID
	}
	switch {
	case after.deleted && !before.deleted:
		events = append(events, WeComEvent{Name: eventContact, Change: contactDelete})
	case before.deleted && !after.deleted:
		events = append(events, WeComEvent{Name: eventContact, Change: contactCreate})
	case before.status != after.status || update.NewUserID != "":
		events = append(events, update)
	}
	return events
}

// handleChangeMember is POST {"person", "appid", …}; see [MemberChange].
func (s *Server) handleChangeMember(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Person string `json:"person"`
		AppID  string `json:"appid"`
		MemberChange
	}
	if err := readControl(w, r, &body); err != nil {
		badControl(w, err)
		return
	}
	report, err := s.ChangeMember(context.WithoutCancel(r.Context()), body.AppID, body.Person, body.MemberChange)
	if err != nil {
		badControl(w, err)
		return
	}
	writeControl(w, http.StatusOK, report)
}

// handleListMembers is GET ?appid=: the members of the cast; ?person=, once or more, adds others.
func (s *Server) handleListMembers(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	c := s.wecom.corps[q.Get("appid")]
	if c == nil {
		badControl(w, fmt.Errorf("corpid %q is not configured", q.Get("appid")))
		return
	}
	list := []MemberReport{}
	for _, name := range append(orgNames(), q["person"]...) {
		if validName(name) && castMember(name).kind == corpMember {
			list = append(list, reportOf(name, s.memberOf(c, name)))
		}
	}
	writeControl(w, http.StatusOK, struct {
		Members []MemberReport `json:"members"`
	}{list})
}

// handleEndToken is POST {"appid", "agentid"?, "end"}: revoke makes the app's current token 40014, expire 42001.
func (s *Server) handleEndToken(w http.ResponseWriter, r *http.Request) {
	var body struct {
		AppID   string `json:"appid"`
		AgentID int    `json:"agentid"`
		End     string `json:"end"`
	}
	err := readControl(w, r, &body)
	if err == nil && body.End != "revoke" && body.End != "expire" {
		err = fmt.Errorf("end %q: want revoke or expire", body.End)
	}
	var app *App
	if err == nil {
		app, err = s.corpAgent(body.AppID, body.AgentID)
	}
	if err != nil {
		badControl(w, err)
		return
	}
	writeControl(w, http.StatusOK, struct {
		Ended bool `json:"ended"` // false: the app has no token
	}{s.wecom.tokens.end(app, body.End == "revoke", s.now())})
}

// handleForgetConsents is DELETE: what members answered to consent pages is forgotten.
func (s *Server) handleForgetConsents(w http.ResponseWriter, _ *http.Request) {
	for _, key := range s.wecom.consents.keys() {
		s.wecom.consents.take(key)
	}
	w.WriteHeader(http.StatusNoContent)
}

// corpAccounts are a person's accounts for GET /_simulator/people: in each corp the userid of a member, the openid of
// anybody else.
func (s *Server) corpAccounts(name string) []accountReply {
	var list []accountReply
	for _, c := range s.sortedCorps() {
		m := s.memberOf(c, name)
		s.meetMember(c, m)
		id := m.userID
		if m.kind != corpMember && m.kind != linkedMember {
			id = m.openID(c)
		}
		list = append(list, accountReply{Provider: ProviderWeCom, AppID: c.id, OpenID: id})
	}
	return list
}
