package simulator

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// The statuses of a member (§5.1).
const (
	memberActive       = 1
	memberDisabled     = 2
	memberNotActivated = 4
	memberLeft         = 5
)

// Every corp has the same cast, so that one userid exists in two corps and means two people:
//
//	wei     a member, active, in two departments
//	dai     a member who is disabled
//	yuan    a member outside the visible range of every app
//	lian    a member of a linked corp: their userid is CorpId/userid
//	ke      no member, but a customer of the corp: openid and external_userid
//	guest   no member: openid only, like anybody else
//
// A name that begins with member- is an active member on the spot, so that scripts can have crowds of them:
// member-1 has the userid Member-1. Case does not tell members apart.
func orgNames() []string { return []string{"wei", "dai", "yuan", "lian", "ke"} }

const crowdPrefix = "member-"

// personKind is what somebody is to a corp.
type personKind int

const (
	stranger personKind = iota
	customer
	linkedMember
	corpMember
)

// member is somebody of a corp's directory, or who else came to its door.
type member struct {
	person   string // folded, for members
	kind     personKind
	userID   string // "" for who is no member
	name     string
	status   int
	visible  bool // within the visible range of the corp's apps
	position string
	gender   string // "1" male, "2" female
	depts    []int
	deleted  bool
}

// memberState is what has changed about a member since the start.
type memberState struct {
	status  int
	visible bool
	userID  string
	deleted bool
}

// memberOf is what a person is to a corp now.
func (s *Server) memberOf(c *corp, name string) member {
	m := castMember(name)
	if m.kind != corpMember {
		return m
	}
	if have, changed := s.wecom.members.get(memberKey(c, m.person)); changed {
		m.status, m.visible, m.userID, m.deleted = have.status, have.visible, have.userID, have.deleted
	}
	if m.deleted { // whoever was deleted is like anybody who never was a member
		m.kind = stranger
	}
	return m
}

func memberKey(c *corp, person string) string { return c.id + " " + person }

// castMember is what a person is to every corp at the start.
func castMember(name string) member {
	folded := strings.ToLower(name)
	m := member{person: folded, kind: corpMember, userID: userIDOf(folded), status: memberActive, visible: true, gender: "2", depts: []int{2}}
	switch folded {
	case "wei":
		m.name, m.position, m.gender, m.depts = "魏小明", "后台工程师", "1", []int{2, 3}
	case "dai":
		m.name, m.position, m.status = "戴丽", "前台", memberDisabled
	case "yuan":
		m.name, m.position, m.visible, m.depts = "袁航", "财务", false, []int{4}
	case "lian":
		m.name, m.kind, m.visible = "连心", linkedMember, false
		m.userID = "ww" + label("corpid", "linked")[:16] + "/" + m.userID
	case "ke":
		return member{person: name, kind: customer, name: "柯先生", gender: "1"}
	default:
		rest, isMember := strings.CutPrefix(folded, crowdPrefix)
		if !isMember || rest == "" {
			return member{person: name, kind: stranger, name: lookup(name).nickname, gender: "0"}
		}
		m.name, m.position = crowdName(name), "员工"
	}
	return m
}

// crowdName is the rest of the name; member-odd-markup is called what odd-markup is called.
func crowdName(name string) string {
	if rest := name[len(crowdPrefix):]; strings.HasPrefix(rest, "odd-") {
		return lookup(rest).nickname
	}
	return name
}

// userIDOf begins with a capital, so that whoever compares userids with case finds out here. A name that has other
// characters than userids have (§0.3) gets one made from it.
func userIDOf(folded string) string {
	if validUserID(folded) {
		return strings.ToUpper(folded[:1]) + folded[1:]
	}
	return "U" + label("userid", folded)[:15]
}

// validUserID says whether a text can be a userid: 1 to 64 letters, digits, _ - @ and ., the first a letter or digit.
func validUserID(text string) bool {
	for i, c := range []byte(text) {
		alphanumeric := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alphanumeric && (i == 0 || !strings.ContainsRune("_-@.", rune(c))) {
			return false
		}
	}
	return text != "" && len(text) <= 64
}

// meetMember remembers a userid that does not tell its person.
func (s *Server) meetMember(c *corp, m member) {
	if m.kind == corpMember && strings.ToLower(m.userID) != m.person {
		s.wecom.userIDs.put(userIDKey(c, m.userID), m.person, s.now())
	}
}

func userIDKey(c *corp, userID string) string { return c.id + " " + strings.ToLower(userID) }

// memberByID finds a member by userid, without regard to case (documented, §5.1).
func (s *Server) memberByID(c *corp, userID string) (member, bool) {
	person, known := s.wecom.userIDs.get(userIDKey(c, userID))
	if !known {
		person = strings.ToLower(userID)
	}
	m := s.memberOf(c, person)
	if m.kind != corpMember || !strings.EqualFold(m.userID, userID) {
		return member{}, false
	}
	return m, true
}

// changeMember keeps what change makes of a member; a renamed member is found by the new userid alone.
func (s *Server) changeMember(c *corp, name string, change func(*memberState)) (member, error) {
	m := castMember(name)
	if m.kind != corpMember {
		return member{}, fmt.Errorf("%s is no member of a corp; members are wei, dai, yuan and names that begin with %s", name, crowdPrefix)
	}
	state := memberState{status: m.status, visible: m.visible, userID: m.userID}
	if have, ok := s.wecom.members.get(memberKey(c, m.person)); ok {
		state = have
	}
	change(&state)
	s.wecom.members.put(memberKey(c, m.person), state, s.now())
	m = s.memberOf(c, name)
	s.meetMember(c, m)
	return m, nil
}

// The addresses and numbers of a member are made from their userid.

func (m member) mobile() string {
	raw, _ := hex.DecodeString(label("mobile", m.person)[:16]) // label is hex
	digits := make([]byte, 8)
	for i := range digits {
		digits[i] = '0' + raw[i]%10
	}
	return "138" + string(digits)
}

func (m member) email() string   { return strings.ToLower(m.userID) + "@mail.example.com" }
func (m member) bizMail() string { return strings.ToLower(m.userID) + "@corp.example.com" }
func (m member) address() string { return "广州市海珠区新港中路" }

func (m member) qrCode() string {
	return "https://open.work.weixin.qq.com/wwopen/userQRCode?vcode=vc" + label("qr code", m.person)[:17]
}

// The ids of who is no member (§0.3). An openid belongs to a corp.

func (m member) openID(c *corp) string { return derivedID("wecom openid", c.id, m.person) }

// externalUserID is the customer's, if the member who looks after them is visible to the app, which is so here; wm marks
// somebody from WeChat (documented).
func (m member) externalUserID(c *corp) string {
	return "wm" + label("external userid", c.id, m.person)[:30]
}

// deviceID is that of the phone the app is installed on.
func (m member) deviceID() string { return label("device", m.person)[:32] }
