package simulator

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// wecomVerifyTimeout is documented: the echostr has to be back by then (§9.2).
const wecomVerifyTimeout = time.Second

// WeComPushReport is what became of an event of a corp.
type WeComPushReport struct {
	AgentID   int           `json:"agentid"`
	Delivered bool          `json:"delivered"`         // every copy was answered in time
	Problem   string        `json:"problem,omitempty"` // why not
	URL       string        `json:"url,omitempty"`     // where to, without the signature
	Message   string        `json:"message"`           // the XML, before encryption
	Attempts  []PushAttempt `json:"attempts"`          // in order, those of all copies
	Reply     *PushReply    `json:"reply,omitempty"`   // to the last copy
}

// wecomPush is one message on its way to one app. WeCom encrypts every one (documented, §9).
type wecomPush struct {
	app       *App
	key       callbackKey
	userID    string // whom a reply goes to
	envelope  []byte
	sealed    string
	at, nonce string
	signature string
	address   *url.URL
}

// PushWeCom lets an event happen to a member and tells the app's server as WeCom does. AgentID 0 is the corp's first
// app. The error is about the arguments; what goes wrong with the server is in the report.
func (s *Server) PushWeCom(ctx context.Context, corpID string, agentID int, name string, e WeComEvent) (WeComPushReport, error) {
	app, err := s.corpAgent(corpID, agentID)
	if err != nil {
		return WeComPushReport{}, err
	}
	if !validName(name) {
		return WeComPushReport{}, errBadName
	}
	if err := e.check(); err != nil {
		return WeComPushReport{}, err
	}
	c := s.wecom.corps[corpID]
	m := s.memberOf(c, name)
	if castMember(name).kind != corpMember {
		return WeComPushReport{}, fmt.Errorf("%s is no member of a corp; WeCom tells of members only", name)
	}
	if !e.OnlyTell {
		if err := s.happenInCorp(e, c, name); err != nil {
			return WeComPushReport{}, err
		}
		if e.Change == contactCreate {
			m = s.memberOf(c, name)
		}
	}
	return s.tell(ctx, app, m, e)
}

// tell pushes an event without its effects.
func (s *Server) tell(ctx context.Context, app *App, m member, e WeComEvent) (WeComPushReport, error) {
	message := writeXML(s.wecomElements(e, app, m))
	if e.FullPad {
		message = padded(message, len(app.AppID))
	}
	report := WeComPushReport{AgentID: app.AgentID, Message: string(message), Attempts: []PushAttempt{}, Problem: app.unreachableWeCom()}
	if report.Problem != "" {
		return report, nil
	}
	p, err := s.newWeComPush(app, m, e, message)
	if err != nil {
		return WeComPushReport{}, err
	}
	report.URL, report.Delivered = app.EventsURL, true
	for range max(e.Copies, 1) {
		if !s.deliverWeCom(ctx, p, e, &report) {
			report.Delivered = false
		}
	}
	s.cfg.Logger.Info("WeCom event pushed", "event", e.Name, "corpid", app.AppID, "agentid", app.AgentID,
		"delivered", report.Delivered, "attempts", len(report.Attempts))
	return report, nil
}

// padded adds blanks inside the root until the plaintext is a whole number of blocks, so that a full block is padded.
func padded(message []byte, receiver int) []byte {
	const end = "</xml>"
	missing := (cryptoBlock - (cryptoHead+len(message)+receiver)%cryptoBlock) % cryptoBlock
	head := message[:len(message)-len(end)]
	return append(append(bytes.Clone(head), bytes.Repeat([]byte(" "), missing)...), end...)
}

// newWeComPush encrypts a message, for another corp or with another key if it is to be wrong in that way.
func (s *Server) newWeComPush(app *App, m member, e WeComEvent, message []byte) (*wecomPush, error) {
	key, err := parseAESKey(app.EncodingAESKey)
	if err != nil {
		return nil, fmt.Errorf("corpid %s, agentid %d: %w", app.AppID, app.AgentID, err) // New has checked it
	}
	p := &wecomPush{app: app, key: key, userID: m.userID}
	if p.address, err = url.Parse(app.EventsURL); err != nil {
		return nil, fmt.Errorf("events_url: %w", err)
	}
	receiver := app.AppID
	switch e.Wrong {
	case "receiveid":
		receiver = "ww" + label("corpid", "nobody")[:16]
	case "key":
		key[0] ^= 0xff
	}
	p.sealed = key.encrypt(newCryptoRandom(), message, receiver)
	p.envelope = wecomEnvelope(app, e, p.sealed)
	p.sign(s.now(), e.Wrong)
	return p, nil
}

// wecomEnvelope has AgentID for what is about an app, and none for what is about members (documented, §9.3).
func wecomEnvelope(app *App, e WeComEvent, sealed string) []byte {
	list := []element{{name: "ToUserName", text: app.AppID}, {name: "Encrypt", text: sealed}}
	if e.AgentID != "absent" && (e.AgentID != "" || e.Name != eventContact) {
		list = append(list, element{name: "AgentID", text: strconv.Itoa(app.AgentID), bare: e.AgentID == "bare"})
	}
	return writeXML(list)
}

func (p *wecomPush) sign(now time.Time, wrong string) {
	if wrong == "timestamp" {
		now = now.Add(-time.Hour)
	}
	p.at, p.nonce = strconv.FormatInt(now.Unix(), 10), newNonce()
	p.signature = signed(p.app.Token, p.at, p.nonce, p.sealed)
	if wrong == "signature" {
		p.signature = signed(p.app.Token, p.at, p.nonce, p.sealed, "x")
	}
}

func (p *wecomPush) target() *url.URL {
	return withQuery(p.address, "msg_signature="+p.signature+"&timestamp="+p.at+"&nonce="+p.nonce)
}

// deliverWeCom sends one copy until it is answered: three times in all (documented, §9.3; or three times again, by the
// switch push-attempts).
func (s *Server) deliverWeCom(ctx context.Context, p *wecomPush, e WeComEvent, report *WeComPushReport) bool {
	tries := 3
	if s.switches.choice(switchPushAttempts) == "3-resends" {
		tries = 4
	}
	for try := range tries {
		if try > 0 && s.switches.choice(switchPushSignature) == "fresh" {
			p.sign(s.now(), e.Wrong)
		}
		body, attempt, again := s.sendWeCom(ctx, p)
		report.Attempts = append(report.Attempts, attempt)
		report.Problem = attempt.Problem
		if attempt.Problem == "" {
			reply := p.readReply(body)
			report.Reply = &reply
			return true
		}
		if !again {
			return false
		}
	}
	return false
}

// sendWeCom sends once. again says whether the failure is one that is sent again: pages differ on answers other than 200.
func (s *Server) sendWeCom(ctx context.Context, p *wecomPush) (body []byte, attempt PushAttempt, again bool) {
	started := time.Now()
	status, body, err := s.call(ctx, http.MethodPost, p.target(), p.envelope)
	attempt = PushAttempt{Status: status, DurationMS: time.Since(started).Milliseconds()}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		attempt.Problem = fmt.Sprintf("no answer within %v", s.cfg.PushTimeout)
	case err != nil:
		attempt.Problem = err.Error()
	case status != http.StatusOK:
		attempt.Problem = fmt.Sprintf("answered with status %d, want 200", status)
		return body, attempt, s.switches.choice(switchWeComPushRetry) != "network-only"
	}
	return body, attempt, true
}

// readReply judges the body of an answer: nothing, success, or an encrypted reply (documented, §9.3, §9.5).
func (p *wecomPush) readReply(body []byte) PushReply {
	if len(body) == 0 || string(body) == "success" {
		return PushReply{Kind: ReplyNone}
	}
	reply := PushReply{Kind: ReplyInvalid}
	fields, err := readXML(body)
	if err == nil {
		_, reply.Encrypted = fields["Encrypt"]
		fields, err = p.openReply(fields)
	}
	switch {
	case err != nil:
		reply.Problem = err.Error()
	case fields["ToUserName"] != p.userID:
		reply.Problem = "ToUserName is not the FromUserName of the push"
	case fields["FromUserName"] != p.app.AppID:
		reply.Problem = "FromUserName is not the corpid"
	default:
		reply.Kind, reply.Fields, reply.Type, reply.Content = ReplyMessage, fields, fields["MsgType"], fields["Content"]
	}
	return reply
}

// openReply checks and decrypts the envelope of a reply. SDKs write TimeStamp and Timestamp.
func (p *wecomPush) openReply(fields map[string]string) (map[string]string, error) {
	sealed, at := fields["Encrypt"], orElse(fields["TimeStamp"], fields["Timestamp"])
	if sealed == "" {
		return nil, errors.New("the reply is not encrypted, as it must be")
	}
	want := signed(p.app.Token, at, fields["Nonce"], sealed)
	if subtle.ConstantTimeCompare([]byte(want), []byte(fields["MsgSignature"])) != 1 {
		return nil, errors.New("MsgSignature is wrong")
	}
	message, err := p.key.decrypt(sealed, p.app.AppID)
	if err != nil {
		return nil, err
	}
	return readXML(message)
}

// VerifyWeComCallback asks an app's server what WeCom asks when its address is saved: a signed GET with an encrypted
// echostr, whose plain text and nothing else has to be back within a second (documented, §9.2).
func (s *Server) VerifyWeComCallback(ctx context.Context, corpID string, agentID int) (VerifyReport, error) {
	app, err := s.corpAgent(corpID, agentID)
	if err != nil {
		return VerifyReport{}, err
	}
	if problem := app.unreachableWeCom(); problem != "" {
		return VerifyReport{Problem: problem}, nil
	}
	address, err := url.Parse(app.EventsURL)
	if err != nil {
		return VerifyReport{}, fmt.Errorf("events_url: %w", err)
	}
	key, err := parseAESKey(app.EncodingAESKey)
	if err != nil {
		return VerifyReport{}, err
	}
	echo := newEcho()
	sealed := key.encrypt(newCryptoRandom(), []byte(echo), app.AppID)
	at, nonce := strconv.FormatInt(s.now().Unix(), 10), newNonce()
	query := "msg_signature=" + signed(app.Token, at, nonce, sealed) + "&timestamp=" + at + "&nonce=" + nonce +
		"&echostr=" + url.QueryEscape(sealed)
	limit := min(wecomVerifyTimeout, s.cfg.PushTimeout)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	status, body, err := s.call(ctx, http.MethodGet, withQuery(address, query), nil)
	report := VerifyReport{URL: app.EventsURL, Status: status}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		report.Problem = fmt.Sprintf("no answer within %v", limit)
	case err != nil:
		report.Problem = err.Error()
	case status != http.StatusOK:
		report.Problem = fmt.Sprintf("answered with status %d, want 200", status)
	case strings.TrimSpace(string(body)) == echo && string(body) != echo:
		report.Problem = "there are blanks or a newline around the plain echostr"
	case string(body) != echo:
		report.Problem = "the body is not the plain echostr and nothing else"
	default:
		report.Verified = true
	}
	return report, nil
}
