package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WeComEvent is something that WeCom tells an app of a corp about a member, as in POST /_simulator/events with a corpid as
// appid. In JSON it is its name alone, "subscribe", or an object (§9.7):
//
//	subscribe, unsubscribe    the member came into the visible range, or left it or the corp
//	enter_agent               the member opened the app
//	change_contact            change: create_user, update_user or delete_user; new_userid? with update_user
//
// Fields adds elements to the message or replaces them. The rest is how the push goes wrong.
type WeComEvent struct {
	Name      string            `json:"name"`
	Change    string            `json:"change,omitempty"`
	NewUserID string            `json:"new_userid,omitempty"`
	Fields    map[string]string `json:"fields,omitempty"`

	OnlyTell bool   `json:"only_tell,omitempty"` // nothing changes in the simulator
	Copies   int    `json:"copies,omitempty"`    // the same message several times, 1 to 10
	Age      string `json:"age,omitempty"`       // how long ago it happened, "90s": so it can arrive out of order
	Wrong    string `json:"wrong,omitempty"`     // signature, receiveid, key or timestamp (an hour old, well signed)
	AgentID  string `json:"agentid,omitempty"`   // in the envelope: cdata (default), bare or absent
	FullPad  bool   `json:"full_pad,omitempty"`  // blanks make the padding a whole block of 32
}

const (
	eventEnterAgent = "enter_agent"
	eventContact    = "change_contact"

	contactCreate = "create_user"
	contactUpdate = "update_user"
	contactDelete = "delete_user"
)

// UnmarshalJSON takes a name or an object; unknown fields are refused.
func (e *WeComEvent) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &e.Name) == nil {
		return nil
	}
	type plain WeComEvent
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode((*plain)(e)); err != nil {
		return fmt.Errorf(`event: want a name, or an object such as {"name": "change_contact", "change": "delete_user"}: %w`, err)
	}
	return nil
}

func (e WeComEvent) check() error {
	names := []string{eventSubscribe, eventUnsubscribe, eventEnterAgent, eventContact}
	changes := []string{contactCreate, contactUpdate, contactDelete}
	_, err := e.age()
	switch {
	case !slices.Contains(names, e.Name):
		return fmt.Errorf("event %q: WeCom's are %s", e.Name, strings.Join(names, ", "))
	case (e.Name == eventContact) != slices.Contains(changes, e.Change):
		return fmt.Errorf("event %s: change %q: want one of %s with change_contact, and none else", e.Name, e.Change, strings.Join(changes, ", "))
	case e.NewUserID != "" && (e.Change != contactUpdate || !validUserID(e.NewUserID)):
		return errors.New("event: new_userid: want a userid, with update_user")
	case e.Copies < 0 || e.Copies > 10:
		return fmt.Errorf("event: copies %d: want 1 to 10", e.Copies)
	case err != nil:
		return fmt.Errorf(`event: age %q: want a duration such as "90s"`, e.Age)
	case !slices.Contains([]string{"", "signature", "receiveid", "key", "timestamp"}, e.Wrong):
		return fmt.Errorf("event: wrong %q: want signature, receiveid, key or timestamp", e.Wrong)
	case !slices.Contains([]string{"", "cdata", "bare", "absent"}, e.AgentID):
		return fmt.Errorf("event: agentid %q: want cdata, bare or absent", e.AgentID)
	}
	for name, text := range e.Fields {
		if err := checkElement(name, text); err != nil {
			return err
		}
	}
	return nil
}

func (e WeComEvent) age() (time.Duration, error) {
	if e.Age == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(e.Age)
	if err == nil && d < 0 {
		err = errors.New("negative")
	}
	return d, err
}

// wecomElements writes an event down as WeCom tells it of a member (documented samples, §9.7): those about members come
// from sys and name no app, the others from the member.
func (s *Server) wecomElements(e WeComEvent, app *App, m member) []element {
	age, _ := e.age() // check has seen it
	from := m.userID
	if e.Name == eventContact {
		from = "sys"
	}
	list := []element{
		{name: "ToUserName", text: app.AppID},
		{name: "FromUserName", text: from},
		{name: "CreateTime", text: strconv.FormatInt(s.now().Add(-age).Unix(), 10), bare: true},
		{name: "MsgType", text: "event"},
		{name: "Event", text: e.Name},
	}
	agentID := element{name: "AgentID", text: strconv.Itoa(app.AgentID), bare: true}
	switch e.Name {
	case eventContact:
		list = append(list, s.contactElements(e, m)...)
	case eventEnterAgent:
		list = append(list, element{name: "EventKey"}, agentID)
	default:
		list = append(list, agentID)
	}
	return override(list, e.Fields)
}

// contactElements: the kind of change stands bare in the official sample of update_user and in CDATA in the others. New
// callback addresses are told UserID and Department alone (documented); that a new userid is told all the same is assumed.
func (s *Server) contactElements(e WeComEvent, m member) []element {
	list := []element{
		{name: "ChangeType", text: e.Change, bare: e.Change == contactUpdate},
		{name: "UserID", text: m.userID},
	}
	if e.NewUserID != "" {
		list = append(list, element{name: "NewUserID", text: e.NewUserID})
	}
	full := s.switches.choice(switchWeComContact) == "full"
	status := element{name: "Status", text: strconv.Itoa(m.status), bare: true}
	switch {
	case e.Change == contactDelete:
		return list
	case e.Change == contactUpdate && full: // what has changed alone
		return append(list, status)
	}
	list = append(list, element{name: "Department", text: commaList(m.depts)})
	if !full {
		return list
	}
	leads := make([]int, len(m.depts))
	return append(list,
		element{name: "Name", text: m.name}, element{name: "MainDepartment", text: strconv.Itoa(m.depts[0]), bare: true},
		element{name: "IsLeaderInDept", text: commaList(leads)}, element{name: "Position", text: m.position},
		element{name: "Mobile", text: m.mobile()}, element{name: "Gender", text: m.gender, bare: true},
		element{name: "Email", text: m.email()}, element{name: "BizMail", text: m.bizMail()}, status,
		element{name: "Address", text: m.address()})
}

// commaList is like 1,2,3.
func commaList(numbers []int) string {
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = strconv.Itoa(n)
	}
	return strings.Join(texts, ",")
}

// happenInCorp is what an event changes: who is in the visible range, and who is a member.
func (s *Server) happenInCorp(e WeComEvent, c *corp, name string) error {
	_, err := s.changeMember(c, name, func(m *memberState) {
		switch {
		case e.Name == eventSubscribe:
			m.visible = true
		case e.Name == eventUnsubscribe:
			m.visible = false
		case e.Change == contactDelete:
			m.deleted = true
		case e.Change == contactCreate:
			m.deleted, m.status = false, memberActive
		case e.NewUserID != "":
			m.userID = e.NewUserID
		}
	})
	return err
}
