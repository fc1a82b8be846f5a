package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/wechat"
	"wxbridge/wechat/wecom"
)

// WeCom's pushes are always signed and encrypted. They take the way of an official account's (events.go): stored with what
// they change, once, and only then answered.

// verifyWeComEvents answers WeCom's console, which tries the address before it saves it and waits one second. Nothing here
// asks the store or WeCom.
func (s *Server) verifyWeComEvents(c *gin.Context) error {
	app, values, err := s.wecomEvents(c)
	if err != nil {
		return err
	}
	echo, err := app.Callback.Verify(values)
	if err != nil {
		return refusedPush(c, err)
	}
	return plainText(c, "text/plain; charset=utf-8", []byte(echo))
}

// takeWeComEvent takes one push.
func (s *Server) takeWeComEvent(c *gin.Context) error {
	ctx, cancel := detached(c, time.Now().Add(pushTime))
	defer cancel()
	app, values, err := s.wecomEvents(c)
	if err != nil {
		return err
	}
	message, err := openWeComPush(c, app.Callback, values)
	if err != nil {
		return refusedPush(c, err)
	}
	push := incomingMember(app, message)
	asked := s.cfg.Reply != nil && message.Type != wechat.MessageEvent
	result, err := s.storePush(ctx, push, asked)
	if err != nil {
		return err
	}
	s.logPush(recordOf(c), push, result)
	if result.Duplicate || !asked {
		return wecomTaken(c)
	}
	body, err := s.replyBody(ctx, memberReplies{app.Callback, message}, push)
	if err != nil {
		s.cfg.Logger.Warn("no reply was given", "request_id", requestIDFrom(ctx), "push", push.Type, "err", err.Error())
	}
	if err != nil || body == nil {
		return wecomTaken(c)
	}
	return plainText(c, message.ContentType(), body)
}

// wecomTaken says that a push was taken, and nothing else: an empty answer (wecom-protocol §9.3).
func wecomTaken(c *gin.Context) error {
	return plainText(c, "text/plain; charset=utf-8", nil)
}

// wecomEvents finds the app whose pushes come here. One without a token has no such address.
func (s *Server) wecomEvents(c *gin.Context) (WeComApp, url.Values, error) {
	recordOf(c).provider = db.ProviderWeCom
	values, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return WeComApp{}, nil, invalidRequest("The query of this address is malformed.")
	}
	p, err := pick(values, []string{"app"})
	if err != nil {
		return WeComApp{}, nil, err
	}
	name := DefaultApp
	if app, given := p["app"]; given {
		name = app
	}
	app, err := s.wecomApp(name)
	if err != nil || app.Callback == nil {
		return WeComApp{}, nil, errNotFound.because(err)
	}
	return app, values, nil
}

// openWeComPush reads the body and checks it. The signature covers what is encrypted in it, and so cannot be checked before.
func openWeComPush(c *gin.Context, callback *wecom.Callback, values url.Values) (*wecom.Message, error) {
	if encoding := c.GetHeader("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, errMediaType
	}
	if len(values["msg_signature"]) != 1 {
		return nil, &apiError{status: http.StatusForbidden, code: "access_denied", description: "The signature is not accepted.",
			cause: wechat.ErrSignature}
	}
	raw, err := readBody(c.Request)
	if err != nil {
		return nil, err
	}
	return callback.Open(values, raw)
}

// The types of WeCom's pushes that have one of their own. Every other event is wecom.event, every message wecom.message. The
// map is never changed.
var memberTypes = map[string]string{
	wecom.EventSubscribe:     "subscribe",
	wecom.EventUnsubscribe:   "unsubscribe",
	wecom.EventEnterAgent:    "enter_agent",
	wecom.EventChangeContact: "change_contact",
}

const memberPrefix = "wecom."

func incomingMember(app WeComApp, m *wecom.Message) IncomingPush {
	p := IncomingPush{App: app.Alias, AppID: app.Client.CorpID(), EventID: db.NewEventID(), Message: m.Message, member: m,
		provider: db.ProviderWeCom, key: m.AgentID + ":" + m.Key(), about: wecom.FoldUserID(m.UserID), Type: memberPrefix + "message"}
	if m.Type == wechat.MessageEvent {
		p.Type = memberPrefix + "event"
		if name, known := memberTypes[m.Event]; known {
			p.Type = memberPrefix + name
		}
	}
	p.effect = memberEffect(m)
	if p.effect == db.PushMemberRenamed {
		p.renamed = wecom.FoldUserID(m.NewUserID)
	}
	return p
}

// memberEffect is what a push changes of the member it is about.
func memberEffect(m *wecom.Message) db.PushEffect {
	switch {
	case m.UserID == "" || m.Type != wechat.MessageEvent:
		return db.PushTells
	case m.Gone():
		return db.PushMemberGone
	case m.Event == wecom.EventSubscribe:
		return db.PushSubscribed
	case m.Event == wecom.EventChangeContact && m.NewUserID != "" && wecom.FoldUserID(m.NewUserID) != wecom.FoldUserID(m.UserID):
		return db.PushMemberRenamed
	case m.Event == wecom.EventChangeContact: // departments may be others, and a status may not be told
		return db.PushMemberChanged
	}
	return db.PushTells
}

// addMember adds what only WeCom's pushes have.
func (d *pushData) addMember(p IncomingPush) {
	m := p.member
	d.AgentID, d.Change, d.Status, d.Departments = m.AgentID, string(m.Change), int(m.Status), m.Departments
	if m.NewUserID != "" {
		d.NewOpenID = wecom.FoldUserID(m.NewUserID)
	}
}

// memberReplies answers messages of members.
type memberReplies struct {
	callback *wecom.Callback
	message  *wecom.Message
}

func (r memberReplies) text(content string) ([]byte, error) {
	return r.callback.TextReply(r.message, content)
}
func (r memberReplies) seal(xml []byte) ([]byte, error) { return r.callback.Seal(r.message, xml) }
