package simulator

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// element is one element of a push, in the order it is sent. Numbers stand bare, everything else in CDATA (documented).
type element struct {
	name, text string
	bare       bool
}

// originalID is the account's name in messages: gh_ and 12 hex digits (observed, wechat-protocol §0.3).
func (a *App) originalID() string { return "gh_" + label("original id", a.AppID)[:12] }

// platformOpenID is who events about consent come from. That it is "a platform account" is documented, which is not.
func (a *App) platformOpenID() string { return derivedID("platform", a.AppID, "") }

// elements writes an event down as WeChat would tell it of a person of an app.
func (s *Server) elements(e Event, app *App, name string, now time.Time) []element {
	from := openID(app.AppID, name)
	if e.isAboutConsent() {
		from = app.platformOpenID()
	}
	list := []element{
		{name: "ToUserName", text: app.originalID()},
		{name: "FromUserName", text: from},
		{name: "CreateTime", text: strconv.FormatInt(now.Unix(), 10), bare: true},
	}
	if e.isMessage() {
		list = append(list, element{name: "MsgType", text: e.Name})
		list = append(append(list, e.messageElements()...), element{name: "MsgId", text: newMsgID(), bare: true})
	} else {
		list = append(list, element{name: "MsgType", text: "event"}, element{name: "Event", text: e.Name})
		list = append(list, s.eventElements(e, app, name)...)
	}
	return override(list, e.Fields)
}

func (e Event) messageElements() []element {
	media := element{name: "MediaId", text: orElse(e.MediaID, "media-"+label("media", e.Name)[:24])}
	switch e.Name {
	case "image":
		return []element{{name: "PicUrl", text: e.URL}, media}
	case "voice":
		return []element{media, {name: "Format", text: orElse(e.Format, "amr")}}
	}
	return []element{{name: "Content", text: e.Content}}
}

// eventElements are those after Event (documented unless a comment says otherwise, wechat-protocol §5.4).
func (s *Server) eventElements(e Event, app *App, name string) []element {
	menu := element{name: "MenuId", text: menuID(app), bare: true} // of VIEW: assumed
	switch e.Name {
	case eventSubscribe, eventUnsubscribe:
		return s.followElements(e)
	case "SCAN":
		return []element{{name: "EventKey", text: e.Scene}, {name: "Ticket", text: ticketOf(e)}}
	case "CLICK":
		return []element{{name: "EventKey", text: e.Key}}
	case "VIEW":
		return []element{{name: "EventKey", text: e.URL}, menu}
	case "view_miniprogram":
		return []element{{name: "EventKey", text: e.Path}, menu}
	case "LOCATION":
		return []element{
			{name: "Latitude", text: e.Latitude.String(), bare: true}, {name: "Longitude", text: e.Longitude.String(), bare: true},
			{name: "Precision", text: orElse(e.Precision.String(), "40.000000"), bare: true},
		}
	case eventRevoke, eventCancellation, eventModified:
		return consentElements(e, app, name)
	}
	return nil
}

// followElements: only a follow by QR code has a key and a ticket; otherwise the key is seen empty, and is not in the
// official sample.
func (s *Server) followElements(e Event) []element {
	switch {
	case e.Name == eventSubscribe && e.Scene != "":
		return []element{{name: "EventKey", text: "qrscene_" + e.Scene}, {name: "Ticket", text: ticketOf(e)}}
	case s.switches.choice(switchSubscribeKey) == "absent":
		return nil
	}
	return []element{{name: "EventKey"}}
}

// consentElements name the person in OpenID. RevokeInfo says what was withdrawn, by default nickname and avatar: 205 at
// an official account, 301 at a website app, 1 at a mini program (documented ranges). UnionID is on newer pages only.
func consentElements(e Event, app *App, name string) []element {
	usual := map[string]string{ProviderOfficialAccount: "205", ProviderWebsite: "301", ProviderMiniProgram: "1"}
	list := []element{
		{name: "OpenID", text: openID(app.AppID, name)}, {name: "AppID", text: app.AppID},
		{name: "RevokeInfo", text: orElse(e.RevokeInfo, usual[app.Provider])},
	}
	if id := (account{person: name}).unionID(app); id != "" {
		list = append(list, element{name: "UnionID", text: id})
	}
	return list
}

// override puts the caller's own elements over those of the event, new ones at the end.
func override(list []element, fields map[string]string) []element {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		at := slices.IndexFunc(list, func(e element) bool { return e.name == name })
		if at < 0 {
			list = append(list, element{name: name, text: fields[name]})
		} else {
			list[at].text, list[at].bare = fields[name], false
		}
	}
	return list
}

// writeXML puts the elements into one root. "]]>" inside a text would end its CDATA section and is split over two.
func writeXML(list []element) []byte {
	var b strings.Builder
	b.WriteString("<xml>")
	for _, e := range list {
		b.WriteString("<" + e.name + ">")
		if e.bare && plainWord(e.text) {
			b.WriteString(e.text)
		} else {
			b.WriteString("<![CDATA[" + strings.ReplaceAll(e.text, "]]>", "]]]]><![CDATA[>") + "]]>")
		}
		b.WriteString("</" + e.name + ">")
	}
	b.WriteString("</xml>")
	return []byte(b.String())
}

// plainWord keeps a caller's text from becoming markup.
func plainWord(text string) bool {
	return text != "" && strings.Trim(text, "0123456789.-_abcdefghijklmnopqrstuvwxyz") == ""
}

// newMsgID is a 64-bit number beyond what a float holds (observed, wechat-protocol §0.3).
func newMsgID() string {
	var b [8]byte
	rand.Read(b[:])
	return strconv.FormatUint(1<<62|binary.BigEndian.Uint64(b[:])>>2, 10)
}

// newNonce is a decimal number of up to ten digits, as in the official samples.
func newNonce() string {
	var b [4]byte
	rand.Read(b[:])
	return strconv.FormatUint(uint64(binary.BigEndian.Uint32(b[:])), 10)
}

// menuID is a number of nine digits (observed, wechat-protocol §5.4).
func menuID(app *App) string {
	raw, _ := hex.DecodeString(label("menu id", app.AppID)[:8]) // label is hex
	return strconv.FormatUint(uint64(binary.BigEndian.Uint32(raw))%900_000_000+100_000_000, 10)
}

// ticketOf is the ticket of the event's QR code; without one it is made from the scene, in the look of a real one and
// without +, which some SDKs do not escape (wechat-protocol §7.1).
func ticketOf(e Event) string {
	if e.Ticket != "" {
		return e.Ticket
	}
	raw := []byte(label("ticket", e.Scene) + label("ticket", e.Scene, "more"))[:66]
	return "gQ" + base64.StdEncoding.EncodeToString(raw) + "AgAAAAQAAA==" // hex digits give no +
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
