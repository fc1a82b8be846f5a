package handlers

import (
	"slices"
	"strings"
	"time"

	"wxbridge/db"
	"wxbridge/wechat"
	"wxbridge/wechat/wecom"
)

// IncomingPush is a push of WeChat's to an official account, under a name of ours.
type IncomingPush struct {
	App     string // the account's alias
	AppID   string
	Type    string // "official_account.subscribe" …
	EventID string // of the event that backends are told
	Message *wechat.Message

	provider string
	key      string // the same for repeats
	about    string // openid; "" of a push about nobody
	renamed  string // the new openid of a member who was renamed
	effect   db.PushEffect
	member   *wecom.Message // of WeCom
}

// pushData is what backends are told of a push. Fields that a push does not have are left out.
type pushData struct {
	Fan       *pushFan     `json:"fan,omitempty"` // absent: a stranger
	Identity  pushIdentity `json:"identity"`
	App       string       `json:"app"`       // alias
	Encrypted bool         `json:"encrypted"` // false: plain mode, in which whoever saw one push can forge others

	Event       string `json:"event,omitempty"` // WeChat's name of it
	MessageType string `json:"message_type,omitempty"`
	MessageID   string `json:"message_id,omitempty"` // text: it does not fit the numbers of JavaScript
	Content     string `json:"content,omitempty"`
	Key         string `json:"key,omitempty"` // of a menu button
	URL         string `json:"url,omitempty"`
	Path        string `json:"path,omitempty"`  // of a page in a mini program
	Scene       string `json:"scene,omitempty"` // of a QR code, without WeChat's prefix
	Ticket      string `json:"ticket,omitempty"`
	Latitude    string `json:"latitude,omitempty"`
	Longitude   string `json:"longitude,omitempty"`
	Precision   string `json:"precision,omitempty"`
	RevokeInfo  string `json:"revoke_info,omitempty"`

	// Of WeCom.
	AgentID     string  `json:"agent_id,omitempty"`
	Change      string  `json:"change,omitempty"` // of the directory: create_user, update_user, delete_user …
	NewOpenID   string  `json:"new_openid,omitempty"`
	Status      int     `json:"status,omitempty"`
	Departments []int64 `json:"departments,omitempty"`

	Raw string `json:"raw"` // the whole push as WeChat sent it, decrypted
}

type pushFan struct {
	ID string `json:"id"`
}

type pushIdentity struct {
	Provider string `json:"provider"`
	AppID    string `json:"appid"`
	OpenID   string `json:"openid"`
	UnionID  string `json:"unionid,omitempty"`
}

// The types of pushes that have one of their own. Every other event is official_account.event, every message
// official_account.message. The map is never changed.
var pushTypes = map[string]string{
	wechat.EventSubscribe:                 "subscribe",
	wechat.EventUnsubscribe:               "unsubscribe",
	wechat.EventScan:                      "scan",
	wechat.EventClick:                     "click",
	wechat.EventView:                      "view",
	"view_miniprogram":                    "view_miniprogram",
	"LOCATION":                            "location",
	wechat.EventAuthorizationRevoke:       "authorization_revoke",
	wechat.EventAuthorizationCancellation: "authorization_cancellation",
	wechat.EventUserInfoModified:          "user_info_modified",
}

func incoming(account OfficialAccount, m *wechat.Message) IncomingPush {
	p := IncomingPush{App: account.Alias, AppID: account.Client.AppID(), EventID: db.NewEventID(), Message: m,
		provider: db.ProviderOfficialAccount, key: m.Key(), about: m.User()}
	p.Type = pushPrefix + pushName(m)
	p.effect = p.effectOf()
	return p
}

// pushPrefix begins the type of every push to an official account.
const pushPrefix = "official_account."

func pushName(m *wechat.Message) string {
	if m.Type != wechat.MessageEvent {
		return "message"
	}
	if name, known := pushTypes[m.Event]; known {
		return name
	}
	return "event"
}

// effectOf is what the push changes. The signature of a push in plain mode does not cover its body: whoever has seen the
// address of one could send any other for five minutes. So what such a push says about following is kept, as what it is, but
// nobody is erased for it, nor asked for the profile again (WX-11).
func (p IncomingPush) effectOf() db.PushEffect {
	m := p.Message
	if m.Type != wechat.MessageEvent || p.unbelievable() || m.AppID != "" && m.AppID != p.AppID {
		return db.PushTells // an openid means nothing at another app
	}
	switch m.Event {
	case wechat.EventSubscribe:
		return db.PushSubscribed
	case wechat.EventUnsubscribe:
		return db.PushUnsubscribed
	case wechat.EventUserInfoModified:
		return db.PushProfileStale
	case wechat.EventAuthorizationRevoke:
		if withdrawsProfile(m.RevokeInfo) {
			return db.PushProfileWithdrawn
		}
	case wechat.EventAuthorizationCancellation:
		return db.PushAccountClosed
	}
	return db.PushTells
}

// unbelievable tells the pushes whose effect would do harm if they were forged, and which may be.
func (p IncomingPush) unbelievable() bool { return p.aboutAuthorization() && !p.Message.Encrypted }

func (p IncomingPush) aboutAuthorization() bool {
	return p.Message.Type == wechat.MessageEvent && slices.Contains([]string{wechat.EventAuthorizationRevoke,
		wechat.EventAuthorizationCancellation, wechat.EventUserInfoModified}, p.Message.Event)
}

// withdrawsProfile reads what was withdrawn: 205 is nickname and avatar, the other numbers from 201 to 207 are what the bridge
// never asks for (wechat-protocol §5.4). A number nobody has described counts as the profile: who still allows it is asked
// again, but what was withdrawn may not be kept.
func withdrawsProfile(revokeInfo string) bool {
	codes := strings.FieldsFunc(revokeInfo, func(r rune) bool { return r < '0' || r > '9' })
	others := []string{"201", "202", "203", "204", "206", "207"}
	return len(codes) == 0 || slices.ContainsFunc(codes, func(code string) bool { return !slices.Contains(others, code) })
}

// answerable reports whether WeChat shows the person a reply to the push.
func (p IncomingPush) answerable() bool {
	return !p.aboutAuthorization() && (p.Message.Type != wechat.MessageEvent || p.Message.Event != wechat.EventUnsubscribe)
}

// forStore is the push as the store takes it. Until replyBy, if that is set, a replier's answer is waited for.
func (p IncomingPush) forStore(revokeUntil, replyBy time.Time) db.Push {
	about := p.about
	if about == "" {
		about = "-" // nobody's openid
	}
	return db.Push{Provider: p.provider, AppID: p.AppID, Key: p.key, OpenID: about, NewOpenID: p.renamed,
		SentAt: p.Message.CreatedAt, Effect: p.effect, RevokeUntil: revokeUntil,
		Event: db.Event{ID: p.EventID, Type: p.Type, CreatedAt: p.Message.CreatedAt, ReplyBy: replyBy}, Data: p.data}
}

func (p IncomingPush) data(fanID string) any {
	m := p.Message
	data := pushData{
		Identity: pushIdentity{p.provider, p.AppID, p.about, m.UnionID},
		App:      p.App, Encrypted: m.Encrypted, MessageID: m.ID, Content: m.Content, Scene: m.Scene(), Ticket: m.Ticket,
		Latitude: m.Fields["Latitude"], Longitude: m.Fields["Longitude"], Precision: m.Fields["Precision"],
		RevokeInfo: m.RevokeInfo, Raw: string(m.Raw),
	}
	if fanID != "" {
		data.Fan = &pushFan{fanID}
	}
	if p.member != nil {
		data.addMember(p)
	}
	if m.Type != wechat.MessageEvent {
		data.MessageType = m.Type
		return data
	}
	data.Event = m.Event
	switch m.Event {
	case wechat.EventSubscribe, wechat.EventUnsubscribe, wechat.EventScan: // their key is the scene
	case wechat.EventView:
		data.URL = m.EventKey
	case "view_miniprogram":
		data.Path = m.EventKey
	default:
		data.Key = m.EventKey
	}
	return data
}
