package simulator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The forms of a push (documented, wechat-protocol §5.2).
const (
	ModePlain      = "plain"      // 明文: the message as XML; its signature does not cover it
	ModeCompatible = "compatible" // 兼容: the message as XML, and encrypted beside it
	ModeAES        = "aes"        // 安全: the message encrypted alone; replies must be encrypted too
)

// defaultPushTimeout is documented: the whole answer has to be there by then.
const defaultPushTimeout = 5 * time.Second

// PushReport is what became of an event, as POST /_simulator/events answers it.
type PushReport struct {
	Delivered bool          `json:"delivered"`           // the app's server answered 200 in time, whatever it said
	Problem   string        `json:"problem,omitempty"`   // why nothing was delivered
	URL       string        `json:"url,omitempty"`       // where to, without the signature
	Mode      string        `json:"mode,omitempty"`      // plain, compatible or aes
	Message   string        `json:"message"`             // the XML, before encryption
	Attempts  []PushAttempt `json:"attempts"`            // in order; the last one is the one that counts
	Reply     *PushReply    `json:"reply,omitempty"`     // of a delivered push
	Shown     string        `json:"shown,omitempty"`     // what the person sees in the chat for it
	Following bool          `json:"following"`           // whether the person follows the account now
	Note      string        `json:"note,omitempty"`      // that a real phone would not have come here
	Suspended *time.Time    `json:"suspended,omitempty"` // no pushes to this app until then, on the simulator's clock
}

// PushAttempt is one send.
type PushAttempt struct {
	Status     int    `json:"status,omitempty"`  // of the answer; absent if there was none
	Problem    string `json:"problem,omitempty"` // absent if all is well
	DurationMS int64  `json:"duration_ms"`       // in real time
}

// outOfService is what the person sees when the account's server fails (documented, wechat-protocol §5.5).
const outOfService = "该公众号暂时无法提供服务，请稍后再试"

// Push lets an event happen to a person of an app: it changes what it changes in the simulator (see [Server.happen]),
// and then tells the app's server as WeChat does. The error is about the arguments; what goes wrong with the server is
// in the report.
func (s *Server) Push(ctx context.Context, appID, name string, e Event) (PushReport, error) {
	app := s.apps[appID]
	switch {
	case app == nil:
		return PushReport{}, fmt.Errorf("appid %q is not configured", appID)
	case !validName(name):
		return PushReport{}, errBadName
	}
	if err := e.check(app); err != nil {
		return PushReport{}, err
	}
	s.meet(app, name)
	at := s.timeOf(e, app, name)
	message := writeXML(s.elements(e, app, name, at))
	report := PushReport{Message: string(message), Attempts: []PushAttempt{}, Problem: app.unreachable()}
	var p *push
	if report.Problem == "" {
		var err error
		if p, err = s.newPush(app, message, s.openIDInQuery(e, app, name)); err != nil {
			return PushReport{}, err
		}
	}
	if e.needsFollowing() && !s.followOf(app, name).on {
		report.Note = name + " does not follow the account: a real phone shows its chat and menu to followers only, and a scan brings subscribe"
	}
	s.happen(e, app, name, at)
	report.Following = s.followOf(app, name).on
	if p == nil {
		return report, nil
	}
	report.URL, report.Mode = app.EventsURL, p.mode
	s.deliver(ctx, p, &report)
	report.Shown = shownFor(e, report)
	s.cfg.Logger.Info("event pushed", "event", e.Name, "appid", app.AppID, "delivered", report.Delivered, "attempts", len(report.Attempts))
	return report, nil
}

// openIDInQuery is the openid parameter: the person's; that of the platform where that is who the event comes from (assumed).
func (s *Server) openIDInQuery(e Event, app *App, name string) string {
	if e.isAboutConsent() {
		return app.platformOpenID()
	}
	return openID(app.AppID, name)
}

// deliver sends until there is an answer: three times in all, with the same message and the same MsgId and CreateTime
// (documented; that the repeats follow at once, and that an answer other than 200 counts as none, is assumed).
func (s *Server) deliver(ctx context.Context, p *push, report *PushReport) {
	tries := 3
	if s.switches.choice(switchPushAttempts) == "3-resends" {
		tries = 4
	}
	for try := range tries {
		if until, suspended := s.alarms.suspended(p.app.AppID, s.now()); suspended {
			report.Suspended = &until
			report.Problem = orElse(report.Problem, "pushes to this app are suspended after repeated failures")
			return
		}
		if try > 0 && s.switches.choice(switchPushSignature) == "fresh" {
			p.sign(s.now())
		}
		body, attempt := s.send(ctx, p)
		report.Attempts = append(report.Attempts, attempt)
		s.alarms.note(p.app.AppID, attempt.Problem == "", s.now(), s.switches.choice(switchMarkFail) != "off")
		if report.Problem = attempt.Problem; attempt.Problem == "" {
			report.Delivered = true
			reply := p.readReply(body)
			report.Reply = &reply
			return
		}
	}
}

func (s *Server) send(ctx context.Context, p *push) ([]byte, PushAttempt) {
	started := time.Now()
	status, body, err := s.call(ctx, "POST", p.target(), p.body)
	attempt := PushAttempt{Status: status, DurationMS: time.Since(started).Milliseconds()}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		attempt.Problem = fmt.Sprintf("no answer within %v", s.cfg.PushTimeout)
	case err != nil:
		attempt.Problem = err.Error()
	case status != 200:
		attempt.Problem = fmt.Sprintf("answered with status %d, want 200", status)
	}
	return body, attempt
}

// shownFor is what the chat shows: the text of a reply, or that the account is out of service. For a link, a place or a
// withdrawn consent nobody waits for an answer (assumed).
func shownFor(e Event, report PushReport) string {
	unanswerable := []string{eventUnsubscribe, eventRevoke, eventCancellation, eventModified} // documented for unsubscribe
	quiet := append(unanswerable, "VIEW", "view_miniprogram", "LOCATION")
	switch {
	case slices.Contains(unanswerable, e.Name), report.Reply != nil && report.Reply.Kind == ReplyNone:
		return ""
	case report.Reply != nil && report.Reply.Kind == ReplyMessage:
		return report.Reply.shown()
	case slices.Contains(quiet, e.Name):
		return ""
	}
	return outOfService
}
