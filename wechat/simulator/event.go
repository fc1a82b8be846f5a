package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Event is something that WeChat tells an app about a person, as in POST /_simulator/events. In JSON it is its name
// alone, "subscribe", or an object, {"name": "SCAN", "scene": "login_1"}. Names are WeChat's own, in its own case
// (wechat-protocol §5.4):
//
//	subscribe                         scene?, ticket?      with a scene: by a parametric QR code
//	unsubscribe
//	SCAN                              scene, ticket?       a follower scans a parametric QR code
//	CLICK                             key                  a menu button
//	VIEW                              url                  a menu link
//	view_miniprogram                  path                 a menu link into a mini program
//	LOCATION                          latitude, longitude, precision?
//	text                              content              a message, with a MsgId, like the next two
//	image                             url, media_id?
//	voice                             media_id?, format?
//	user_authorization_revoke         revoke_info?         the person takes their consent back
//	user_authorization_cancellation   revoke_info?         the person closes their account
//	user_info_modified                revoke_info?         WeChat cleaned the person's profile
//
// Any other event is sent as well if fields lists its elements, in no order: {"name": "TEMPLATESENDJOBFINISH",
// "fields": {"MsgID": "200163836", "Status": "success"}}. With a known name, fields adds to its elements or replaces them.
type Event struct {
	Name       string      `json:"name"`
	Scene      string      `json:"scene,omitempty"`
	Ticket     string      `json:"ticket,omitempty"` // made from the scene if empty
	Key        string      `json:"key,omitempty"`
	URL        string      `json:"url,omitempty"`
	Path       string      `json:"path,omitempty"`
	Content    string      `json:"content,omitempty"`
	MediaID    string      `json:"media_id,omitempty"`
	Format     string      `json:"format,omitempty"` // default amr
	Latitude   json.Number `json:"latitude,omitempty"`
	Longitude  json.Number `json:"longitude,omitempty"`
	Precision  json.Number `json:"precision,omitempty"`   // default 40.000000
	RevokeInfo string      `json:"revoke_info,omitempty"` // default: nickname and avatar

	Fields map[string]string `json:"fields,omitempty"`
}

// The events that change something in the simulator.
const (
	eventSubscribe    = "subscribe"
	eventUnsubscribe  = "unsubscribe"
	eventRevoke       = "user_authorization_revoke"
	eventCancellation = "user_authorization_cancellation"
	eventModified     = "user_info_modified"
)

// UnmarshalJSON takes a name or an object; unknown fields are refused.
func (e *Event) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &e.Name) == nil {
		return nil
	}
	type plain Event
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode((*plain)(e)); err != nil {
		return fmt.Errorf(`event: want a name, or an object such as {"name": "CLICK", "key": "V1001"}: %w`, err)
	}
	return nil
}

// isMessage tells messages, which have a MsgId, from events, which have none (documented).
func (e Event) isMessage() bool { return slices.Contains([]string{"text", "image", "voice"}, e.Name) }

// isAboutConsent tells the events that name the person in OpenID and come from the platform itself (documented).
func (e Event) isAboutConsent() bool {
	return slices.Contains([]string{eventRevoke, eventCancellation, eventModified}, e.Name)
}

// needsFollowing tells what only followers do: write to the account, tap its menu (assumed), and scan without following by it
// (documented, wechat-protocol §7). Such a push is made all the same, for servers that must survive it.
func (e Event) needsFollowing() bool {
	return e.isMessage() || slices.Contains([]string{"SCAN", "CLICK", "VIEW", "view_miniprogram", "LOCATION"}, e.Name)
}

// needs lists the fields that an event cannot go without; known is false for names that are not listed above.
func (e Event) needs() (fields map[string]string, known bool) {
	switch e.Name {
	case eventSubscribe, eventUnsubscribe, eventRevoke, eventCancellation, eventModified, "voice":
		return nil, true
	case "SCAN":
		return map[string]string{"scene": e.Scene}, true
	case "CLICK":
		return map[string]string{"key": e.Key}, true
	case "VIEW", "image":
		return map[string]string{"url": e.URL}, true
	case "view_miniprogram":
		return map[string]string{"path": e.Path}, true
	case "LOCATION":
		return map[string]string{"latitude": e.Latitude.String(), "longitude": e.Longitude.String()}, true
	case "text":
		return map[string]string{"content": e.Content}, true
	}
	return nil, false
}

var elementName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

const eventTextMax = 2048 // bytes of one field; WeChat's own limits are below it

func (e Event) check(app *App) error {
	if e.Name == "" {
		return errors.New(`event: the name is missing; want one such as "subscribe"`)
	}
	needs, known := e.needs()
	switch {
	case !known && len(e.Fields) == 0:
		return fmt.Errorf("event %q is not known; names are case-sensitive, and an event of your own needs fields", e.Name)
	case !elementName.MatchString(e.Name):
		return fmt.Errorf("event %q: want letters, digits and _", e.Name)
	case app.Provider != ProviderOfficialAccount && !e.isAboutConsent():
		return fmt.Errorf("event %s: appid %s is a %s; only official accounts get it", e.Name, app.AppID, app.Provider)
	}
	for _, field := range slices.Sorted(maps.Keys(needs)) {
		if needs[field] == "" {
			return fmt.Errorf("event %s: %s is missing", e.Name, field)
		}
	}
	for _, text := range []string{e.Scene, e.Ticket, e.Key, e.URL, e.Path, e.Content, e.MediaID, e.Format, e.RevokeInfo} {
		if err := checkElement("Text", text); err != nil {
			return err
		}
	}
	for name, text := range e.Fields {
		if err := checkElement(name, text); err != nil {
			return err
		}
	}
	return nil
}

func checkElement(name, text string) error {
	switch {
	case !elementName.MatchString(name):
		return fmt.Errorf("event: fields: %q cannot be the name of an element", name)
	case len(text) > eventTextMax:
		return fmt.Errorf("event: a text is longer than %d bytes", eventTextMax)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, notInXML):
		return errors.New("event: a text has characters that XML cannot carry")
	}
	return nil
}

// notInXML tells the characters that XML 1.0 §2.2 leaves out.
func notInXML(r rune) bool {
	return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r >= 0xD800 && r < 0xE000 || r == 0xFFFE || r == 0xFFFF
}
