package wecom

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"wxbridge/wechat"
)

// Message is a push of WeCom's (wecom-protocol §9.7): From is the userid of the
// member, or "sys" for what happens in the directory.
type Message struct {
	*wechat.Message
	AgentID string // the app it is for; "" for what happens in the directory

	// UserID is whom the message is about, in WeCom's spelling; "" for events about
	// departments and tags.
	UserID string

	// Of EventChangeContact.
	Change      Change
	NewUserID   string  // what UserID was changed to; "" if it was not
	Status      Status  // after the change; 0 if WeCom does not say
	Departments []int64 // after the change; nil if WeCom does not say
}

// Events that this package knows fields of. Others come as they are.
const (
	EventSubscribe     = wechat.EventSubscribe   // the member sees the app from now on
	EventUnsubscribe   = wechat.EventUnsubscribe // sees it no more: taken off the app, left, deleted or disabled
	EventEnterAgent    = "enter_agent"           // opens the app
	EventChangeContact = "change_contact"        // a change in the directory; few apps get these
)

// Change is the ChangeType of an EventChangeContact.
type Change string

const (
	ChangeCreateUser Change = "create_user"
	ChangeUpdateUser Change = "update_user"
	ChangeDeleteUser Change = "delete_user"
)

const sender = "sys" // of what happens in the directory

// Gone reports whether the message says that UserID may not use the app any more.
func (m *Message) Gone() bool {
	switch {
	case m.Type != wechat.MessageEvent || m.UserID == "":
		return false
	case m.Event == EventUnsubscribe:
		return true
	case m.Event != EventChangeContact:
		return false
	}
	return m.Change == ChangeDeleteUser || m.Change == ChangeUpdateUser && (m.Status == StatusDisabled || m.Status == StatusLeft)
}

func (m *Message) aboutDirectory() bool {
	return m.Type == wechat.MessageEvent && m.Event == EventChangeContact
}

// Key is the same for a push and its repeats, and different for any two pushes to
// one app: 64 hex digits. All events about the directory have one sender, and several
// may come in a second, also about one member: what they say tells them apart.
func (m *Message) Key() string {
	if !m.aboutDirectory() {
		return m.Message.Key()
	}
	parts := []string{"change"}
	for _, name := range slices.Sorted(maps.Keys(m.Fields)) {
		parts = append(parts, name, m.Fields[name])
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// readMessage reads what WeCom adds to a push. A number or list that makes no sense
// counts as not said: no message is worth losing for it.
func readMessage(pushed *wechat.Message) (*Message, error) {
	f := pushed.Fields
	m := &Message{Message: pushed, AgentID: strings.TrimSpace(f["AgentID"]), UserID: pushed.From}
	if m.AgentID != "" && !within(m.AgentID, 20, isDigit) {
		return nil, fmt.Errorf("%w: its AgentID is no number", wechat.ErrMalformed)
	}
	if m.aboutDirectory() {
		m.UserID, m.NewUserID, m.Change = f["UserID"], f["NewUserID"], Change(strings.TrimSpace(f["ChangeType"]))
		if status, err := strconv.Atoi(strings.TrimSpace(f["Status"])); err == nil {
			m.Status = Status(status)
		}
		m.Departments = departments(f["Department"])
	} else if m.UserID == sender {
		m.UserID = ""
	}
	for _, id := range []string{m.UserID, m.NewUserID} {
		if id != "" && !isUserID(id) {
			return nil, fmt.Errorf("%w: a userid in it has no possible shape", wechat.ErrMalformed)
		}
	}
	return m, nil
}

// departments reads "1,2,3".
func departments(list string) []int64 {
	if strings.TrimSpace(list) == "" {
		return nil
	}
	var ids []int64
	for part := range strings.SplitSeq(list, ",") {
		id, err := strconv.ParseInt(strings.TrimSpace(part), 10, 64)
		if err != nil {
			return nil
		}
		ids = append(ids, id)
	}
	return ids
}
