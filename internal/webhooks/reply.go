package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Reply asks the endpoint that answers for the app for its answer to the event, which is in the queue and held back for it,
// and returns the text to answer with. An endpoint that acknowledges the event in time does not get it again.
//
// No text: nobody answers for the app, or not in time, or with nothing, or it is down and was tried a moment ago. Then the
// event, unless it was acknowledged, goes its way as any other.
func (d *Dispatcher) Reply(ctx context.Context, eventID, appID string) (text string, ok bool) {
	l := d.replier(appID)
	if l == nil {
		return "", false
	}
	done, ok := l.mayAsk()
	if !ok {
		return "", false
	}
	defer done()
	select {
	case d.replies <- struct{}{}:
		defer func() { <-d.replies }()
	default: // as many are waited for already as may be
		return "", false
	}
	ctx, cancel := context.WithTimeout(ctx, d.Policy.ReplyTimeout)
	defer cancel()
	m, err := l.claimReply(ctx, eventID)
	if err != nil {
		return "", false
	}
	began := time.Now()
	a := d.post(ctx, l.endpoint, m, true)
	l.settle(ctx, m, a, time.Since(began))
	l.nudge()
	if !a.acknowledged() {
		return "", false
	}
	text, err = replyText(a)
	if err != nil {
		l.log(slog.LevelWarn, "webhook.reply_unusable", "an endpoint's reply cannot be used", slog.String("webhook_id", m.ID), slog.String("problem", err.Error()))
	}
	return text, err == nil && text != ""
}

func (d *Dispatcher) replier(appID string) *lane {
	for _, l := range d.lanes {
		if l.endpoint.Replier && (len(l.endpoint.AppIDs) == 0 || slices.Contains(l.endpoint.AppIDs, appID)) {
			return l
		}
	}
	return nil
}

// replyPoll is how often it is asked whether the person's earlier events are out of the way.
const replyPoll = 20 * time.Millisecond

// claimReply waits for the person's earlier events that are being delivered, as long as there is time.
func (l *lane) claimReply(ctx context.Context, eventID string) (Delivery, error) {
	for {
		m, err := l.d.Queue.ClaimReply(ctx, eventID, l.endpoint.Name, l.d.Policy.Lease)
		if !errors.Is(err, ErrNotYet) {
			return m, err
		}
		pause(ctx, replyPoll, nil)
		if ctx.Err() != nil {
			return Delivery{}, ctx.Err()
		}
	}
}

// maxReply is the longest text that WeChat shows, in bytes.
const maxReply = 2048

// replyText reads {"type":"text","content":"…"}, or plain text. Nothing is no reply; nor is what frameworks answer by
// themselves: a page, or the word OK.
func replyText(a answer) (string, error) {
	if len(a.body) == 0 {
		return "", nil
	}
	if a.truncated {
		return "", errors.New("it is cut off or too long")
	}
	text := ""
	switch kind, _, _ := mime.ParseMediaType(a.contentType); kind {
	case "text/plain":
		text = strings.TrimRight(string(a.body), "\r\n")
		if word := strings.ToLower(text); word == "ok" || word == "success" {
			return "", nil
		}
	case "application/json":
		var reply struct {
			Type    string `json:"type"`
			Content string `json:"content"`
		}
		if err := json.Unmarshal(a.body, &reply); err != nil {
			return "", errors.New("it is not the JSON of a reply")
		}
		if reply.Type == "" && reply.Content == "" {
			return "", nil // {} or {"ok":true}
		}
		if reply.Type != "text" {
			return "", errors.New("its type is not text")
		}
		text = reply.Content
	default:
		return "", nil
	}
	switch {
	case !utf8.ValidString(text):
		return "", errors.New("it is not UTF-8")
	case len(text) > maxReply:
		return "", errors.New("its text is longer than 2048 bytes")
	}
	return text, nil
}
