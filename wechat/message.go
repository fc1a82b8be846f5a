package wechat

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Message is a push of WeChat's: what a user wrote to the account, or an event
// (wechat-protocol §5.4).
//
// Believe what it says of somebody only if Encrypted is set. The signature of a
// plain push does not cover its body: whoever has seen the URL of one can send
// any other for five minutes.
type Message struct {
	To        string // ToUserName: the account's original id, "gh_" and 12 hex digits
	From      string // FromUserName: the user's openid, except in the events about an authorisation; see User
	CreatedAt time.Time
	Type      string // MsgType: MessageText, MessageEvent, "image" …
	ID        string // MsgId, which a repeat has too; "" for events
	Content   string // of a text

	Event    string // for MessageEvent: EventSubscribe …; upper and lower case count
	EventKey string // key of a menu button, URL of a view, scene of a QR code
	Ticket   string // of the QR code that was scanned

	// Of the events about an authorisation.
	OpenID, UnionID string // whose it is; not every push has a unionid
	AppID           string // the app it was given to
	RevokeInfo      string // what was withdrawn: 201 to 207 for an official account, such as 205, nickname and avatar

	Encrypted bool              // it came in AES mode, and so will the reply
	Fields    map[string]string // every value directly below the root, under WeChat's name
	Raw       []byte            // the plain XML or JSON

	cipher *MessageCipher // that opened it; nil in plain mode
	nonce  string
}

// Types of messages, and the events that this package knows fields of. Others
// come as they are.
const (
	MessageText  = "text"
	MessageEvent = "event"

	EventSubscribe   = "subscribe"   // somebody follows; with a Scene after a scan of a QR code
	EventUnsubscribe = "unsubscribe" // somebody leaves; nothing can be answered
	EventScan        = "SCAN"        // a follower scanned a QR code
	EventClick       = "CLICK"       // a menu button with a key
	EventView        = "VIEW"        // a menu button with a URL

	// The user withdrew an authorisation, closed the WeChat account, or had the
	// profile cleaned by WeChat. They may come a day late.
	EventAuthorizationRevoke       = "user_authorization_revoke"
	EventAuthorizationCancellation = "user_authorization_cancellation"
	EventUserInfoModified          = "user_info_modified"
)

// User is the openid of the person the message is about, never empty. It is From,
// except in the events about an authorisation, which come from an account of the
// platform's and name the person in OpenID.
func (m *Message) User() string {
	if m.aboutAuthorization() {
		return m.OpenID
	}
	return m.From
}

func (m *Message) aboutAuthorization() bool {
	return m.Type == MessageEvent && (m.Event == EventAuthorizationRevoke || m.Event == EventAuthorizationCancellation ||
		m.Event == EventUserInfoModified)
}

// Scene is that of the parametric QR code that was scanned, the same for
// somebody who follows by it and for a follower; "" if none was.
func (m *Message) Scene() string {
	const prefix = "qrscene_"
	switch m.Event {
	case EventScan:
		return m.EventKey
	case EventSubscribe:
		if scene, ok := strings.CutPrefix(m.EventKey, prefix); ok {
			return scene
		}
	}
	return ""
}

// Key is the same for a push and its repeats, and different for any two pushes
// to one account: 64 hex digits. WeChat repeats what was not answered within 5
// seconds (§5.5). It is made of MsgId, or else of FromUserName, CreateTime, Event
// and what sets two events of one second apart.
func (m *Message) Key() string {
	parts := []string{"message", m.ID}
	if m.ID == "" {
		parts = []string{"event", m.From, strconv.FormatInt(m.CreatedAt.Unix(), 10), m.Type, m.Event, m.EventKey,
			m.OpenID, m.RevokeInfo, m.Fields["MsgID"]}
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// CheckReply reports what would make WeChat tell the user that the account is out
// of service instead of showing reply, a passive reply in plain XML (or JSON, where
// m is): it must be one document from m's receiver to its sender (§5.5).
func (m *Message) CheckReply(reply []byte) error {
	f, _, err := readFields(reply)
	switch {
	case err != nil:
		return err
	case f["ToUserName"] != m.From || f["FromUserName"] != m.To:
		return fmt.Errorf("%w: a reply goes from the ToUserName to the FromUserName of its message", ErrMalformed)
	case f["MsgType"] == "" || f["CreateTime"] == "":
		return fmt.Errorf("%w: a reply has a MsgType and a CreateTime", ErrMalformed)
	}
	return nil
}

// ContentType is that of Raw, and of a reply.
func (m *Message) ContentType() string {
	if isJSON(m.Raw) {
		return "application/json; charset=utf-8"
	}
	return "text/xml; charset=utf-8"
}

// parseMessage reads the plain form of a push.
func parseMessage(plain []byte) (*Message, error) {
	f, raw, err := readFields(plain)
	if err != nil {
		return nil, err
	}
	m := &Message{
		To: f["ToUserName"], From: f["FromUserName"], Type: f["MsgType"], Content: f["Content"],
		Event: f["Event"], EventKey: f["EventKey"], Ticket: f["Ticket"],
		OpenID: f["OpenID"], UnionID: f["UnionID"], AppID: f["AppID"], RevokeInfo: f["RevokeInfo"],
		Fields: f, Raw: raw,
	}
	created, err := strconv.ParseInt(strings.TrimSpace(f["CreateTime"]), 10, 64)
	if err != nil || created < 0 || created > maxUnix {
		return nil, fmt.Errorf("%w: it has no CreateTime", ErrMalformed)
	}
	m.CreatedAt = time.Unix(created, 0)
	if id, err := strconv.ParseUint(strings.TrimSpace(f["MsgId"]), 10, 64); err == nil && id > 0 {
		m.ID = strconv.FormatUint(id, 10)
	}
	switch {
	case m.Type == "" || m.Type == MessageEvent && m.Event == "":
		return nil, fmt.Errorf("%w: it has no type", ErrMalformed)
	case !isID(m.From) || !isID(m.User()) || m.To != "" && !isID(m.To) || m.UnionID != "" && !isID(m.UnionID):
		return nil, fmt.Errorf("%w: an id in it has no possible shape", ErrMalformed)
	}
	return m, nil
}

const maxUnix = 1<<40 - 1 // the year 36812: far beyond any message, and no trouble for package time

func isID(s string) bool { return s != "" && len(s) <= maxID && isVisible(s) }
