package handlers

import (
	"slices"
	"strings"
	"time"

	"wxbridge/db"
	"wxbridge/wechat"
)

// IncomingPush is a push of WeChat's to an official account, under a name of ours.
type IncomingPush struct {
	App     string // the account's alias
	AppID   string
	Type    string // "official_account.subscribe" …
	Message *wechat.Message

	effect db.PushEffect
}

// The types of pushes that have one of their own. Every other event is official_account.event, every message
// official_account.message.
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
	p := IncomingPush{App: account.Alias, AppID: account.Client.AppID(), Message: m}
	p.Type = "official_account." + pushName(m)
	p.effect = p.effectOf()
	return p
}

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

func (p IncomingPush) forStore(revokeUntil time.Time) db.Push {
	return db.Push{Provider: db.ProviderOfficialAccount, AppID: p.AppID, Key: p.Message.Key(), OpenID: p.Message.User(),
		SentAt: p.Message.CreatedAt, Effect: p.effect, RevokeUntil: revokeUntil}
}
