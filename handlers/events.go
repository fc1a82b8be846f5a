package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/wechat"
)

// WeChat waits 5 seconds for an answer, its own way here and back included, and then sends the push again, three times in
// all (wechat-protocol §5.5).
const (
	pushTime      = 4500 * time.Millisecond // for the whole answer
	pushStoreTime = 3 * time.Second         // for the store, which leaves a replier some time
)

// Replier is asked what the account answers to a push, once that is stored. It must return when ctx ends; its errors are
// logged, and no answer is given.
type Replier func(ctx context.Context, p IncomingPush) (Reply, error)

// Reply is what the account says to who wrote to it. The zero Reply says nothing.
type Reply struct {
	Text string // a text message
	XML  []byte // else any passive reply in WeChat's own words, not encrypted
}

// verifyEvents answers WeChat's console, which tries the address before it saves it.
func (s *Server) verifyEvents(c *gin.Context) error {
	account, values, err := s.eventAccount(c)
	if err != nil {
		return err
	}
	echo, err := account.Callback.Verify(values)
	if err != nil {
		return refusedPush(c, err)
	}
	return plainText(c, "text/plain; charset=utf-8", []byte(echo))
}

// takeEvent takes one push: what it changes is stored, and only then it is answered.
//
// A store that is slow or down is answered with 503, never with "success": that WeChat takes for good, and what was not
// stored would be lost, whereas what it had no good answer for it sends again. Was it stored after all, then the repeat is a
// duplicate.
func (s *Server) takeEvent(c *gin.Context) error {
	// The work goes on if WeChat hangs up meanwhile: it may not ask a fourth time.
	ctx, cancel := detached(c, time.Now().Add(pushTime))
	defer cancel()
	account, values, err := s.eventAccount(c)
	if err != nil {
		return err
	}
	message, err := openPush(c, account.Callback, values)
	if err != nil {
		return refusedPush(c, err)
	}
	push := incoming(account, message)
	code, scanned := scannedCode(message) // of our own login, which no backend can answer
	asked := s.cfg.Reply != nil && push.answerable() && !scanned
	result, err := s.storePush(ctx, push, asked)
	if err != nil {
		return err
	}
	s.logPush(recordOf(c), push, result)
	if scanned {
		reply, err := s.answerScan(ctx, account, push, code)
		if err != nil {
			return err
		}
		return plainText(c, message.ContentType(), reply)
	}
	if result.Duplicate || !asked {
		return plainText(c, "text/plain; charset=utf-8", []byte(wechat.CallbackSuccess))
	}
	return plainText(c, message.ContentType(), s.replyTo(ctx, officialReplies{account.Callback, message}, push))
}

// eventAccount finds the account whose pushes come here. One without a callback token has no such address.
func (s *Server) eventAccount(c *gin.Context) (OfficialAccount, url.Values, error) {
	recordOf(c).provider = db.ProviderOfficialAccount
	values, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return OfficialAccount{}, nil, invalidRequest("The query of this address is malformed.")
	}
	p, err := pick(values, []string{"app"})
	if err != nil {
		return OfficialAccount{}, nil, err
	}
	name := DefaultApp
	if app, given := p["app"]; given {
		name = app
	}
	account, err := s.officialAccount(name)
	if err != nil || account.Callback == nil {
		return OfficialAccount{}, nil, errNotFound.because(err)
	}
	return account, values, nil
}

// openPush checks the signature before the body is read (WX-10), and then the body.
func openPush(c *gin.Context, callback *wechat.Callback, values url.Values) (*wechat.Message, error) {
	if err := callback.Authenticate(values); err != nil {
		return nil, err
	}
	if encoding := c.GetHeader("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, errMediaType
	}
	raw, err := readBody(c.Request)
	if err != nil {
		return nil, err
	}
	return callback.Open(values, raw)
}

// refusedPush answers a push that is not taken, and names the security event that it is (LOG-03).
func refusedPush(c *gin.Context, err error) error {
	refused := &apiError{status: http.StatusForbidden, code: "access_denied", description: "The signature is not accepted.", cause: err}
	event := ""
	switch {
	case errors.Is(err, wechat.ErrSignature):
		event = "message.bad_signature"
	case errors.Is(err, wechat.ErrStale):
		event = "message.stale"
	case errors.Is(err, wechat.ErrDecrypt):
		event = "message.undecryptable"
		refused.description = "The message cannot be decrypted."
	case errors.Is(err, wechat.ErrMalformed):
		event = "message.malformed"
		refused = invalidRequest("The message is malformed.").because(err)
	default:
		return err
	}
	recordOf(c).noteEvent(event, slog.LevelWarn)
	return refused
}

func (s *Server) storePush(ctx context.Context, push IncomingPush, asked bool) (db.PushResult, error) {
	ctx, cancel := context.WithTimeout(ctx, pushStoreTime)
	defer cancel()
	until, replyBy := s.revokedUntil(), time.Time{}
	if asked {
		replyBy = s.cfg.Now().Add(pushTime)
	}
	result, err := s.cfg.Store.ApplyPush(ctx, push.forStore(until, replyBy))
	for _, id := range result.Erased {
		s.cfg.Revocations.RevokeSubject(id, until, until)
	}
	s.revoked(result.Revoked, until)
	return result, err
}

func (s *Server) logPush(r *record, push IncomingPush, result db.PushResult) {
	r.note(slog.String("push", push.Type), slog.Bool("encrypted", push.Message.Encrypted), slog.Bool("duplicate", result.Duplicate))
	switch {
	case result.Duplicate:
	case len(result.Revoked.Subjects) > 0:
		r.noteEvent("member.revoked", slog.LevelInfo, slog.String("fan", result.FanID))
	case len(result.Erased) > 0:
		r.noteEvent("fan.erased", slog.LevelInfo, slog.String("fan", result.FanID))
	case result.Changed && push.effect == db.PushProfileWithdrawn:
		r.noteEvent("fan.profile_withdrawn", slog.LevelInfo, slog.String("fan", result.FanID))
	case push.unbelievable() && result.FanID != "":
		r.noteEvent("message.not_believed", slog.LevelWarn, slog.String("fan", result.FanID), slog.String("fix",
			"a push in plain mode can be forged, so nothing was erased; set an EncodingAESKey here and 安全模式 in the console, and see to this fan yourself"))
	}
}

// replies makes the answer to one push, encrypted exactly if the push was.
type replies interface {
	text(content string) ([]byte, error)
	seal(xml []byte) ([]byte, error)
}

type officialReplies struct {
	callback *wechat.Callback
	message  *wechat.Message
}

func (r officialReplies) text(content string) ([]byte, error) {
	return r.callback.TextReply(r.message, content)
}
func (r officialReplies) seal(xml []byte) ([]byte, error) { return r.callback.Seal(r.message, xml) }

// replyTo is the answer to a push: the replier's, encrypted exactly if the push was, or "success", which says nothing.
func (s *Server) replyTo(ctx context.Context, replies replies, push IncomingPush) []byte {
	body, err := s.replyBody(ctx, replies, push)
	if err != nil {
		s.cfg.Logger.Warn("no reply was given", "request_id", requestIDFrom(ctx), "push", push.Type, "err", err.Error())
	}
	if err != nil || body == nil {
		return []byte(wechat.CallbackSuccess)
	}
	return body
}

func (s *Server) replyBody(ctx context.Context, replies replies, push IncomingPush) ([]byte, error) {
	reply, err := s.cfg.Reply(ctx, push)
	switch {
	case err != nil:
		return nil, err
	case reply.Text != "":
		return replies.text(reply.Text)
	case len(reply.XML) > 0:
		if err := push.Message.CheckReply(reply.XML); err != nil {
			return nil, err
		}
		return replies.seal(reply.XML)
	}
	return nil, nil
}

// plainText answers a body as it is.
func plainText(c *gin.Context, contentType string, body []byte) error {
	c.Header("Cache-Control", "no-store")
	c.Data(http.StatusOK, contentType, body)
	return nil
}
