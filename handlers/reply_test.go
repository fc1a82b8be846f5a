package handlers_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wxbridge/handlers"
	"wxbridge/wechat/simulator"
)

// replying is a bridge whose account answers by reply.
func replying(t *testing.T, mode string, reply handlers.Replier) *eventBridge {
	t.Helper()
	return newEventBridge(t, mode, func(c *handlers.Config) { c.Reply = reply })
}

// WX-16: the person sees the reply, encrypted exactly if the push was, whatever is in it.
func TestWX16_AReplyReachesThePerson(t *testing.T) {
	const text = "你好 ]]><x>&amp; \x00\x1b😀"
	for _, mode := range pushModes {
		for name, event := range map[string]simulator.Event{
			"text": {Name: "text", Content: "]]><x>"}, "click": {Name: "CLICK", Key: "k"}, "subscribe": {Name: "subscribe"},
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				var asked handlers.IncomingPush
				e := replying(t, mode, func(_ context.Context, p handlers.IncomingPush) (handlers.Reply, error) {
					asked = p
					return handlers.Reply{Text: text}, nil
				})
				report := e.delivered("bob", event)
				if report.Shown != "你好 ]]><x>&amp; 😀" || report.Reply.Encrypted != (mode != simulator.ModePlain) {
					t.Errorf("shown %q, %+v", report.Shown, report.Reply)
				}
				if asked.Message.From != e.openID("bob") || asked.App != "default" || asked.EventID == "" {
					t.Errorf("asked with %+v", asked)
				}
				if a := e.send("POST", e.last().query, e.last().body); a.body != "success" {
					t.Errorf("WX-13: a repeat was answered %s", a.body)
				}
			})
		}
	}
}

func TestWX16_ARepliersOwnXMLIsCheckedBeforeItIsSent(t *testing.T) {
	image := func(p handlers.IncomingPush) string {
		return "<xml><ToUserName>" + p.Message.From + "</ToUserName><FromUserName>" + p.Message.To + "</FromUserName><CreateTime>1</CreateTime>" +
			"<MsgType>image</MsgType><Image><MediaId>m1</MediaId></Image></xml>"
	}
	for name, row := range map[string]struct {
		xml   func(p handlers.IncomingPush) string
		shown string
	}{
		"an image":          {image, "[image]"},
		"to somebody else":  {func(p handlers.IncomingPush) string { return strings.ReplaceAll(image(p), p.Message.From, "oOther") }, ""},
		"from another":      {func(p handlers.IncomingPush) string { return strings.ReplaceAll(image(p), p.Message.To, "gh_other") }, ""},
		"without a type":    {func(p handlers.IncomingPush) string { return strings.ReplaceAll(image(p), "MsgType", "Kind") }, ""},
		"a page":            {func(handlers.IncomingPush) string { return "<html><body>502</body></html>" }, ""},
		"with a doctype":    {func(p handlers.IncomingPush) string { return "<!DOCTYPE xml>" + image(p) }, ""},
		"nothing but space": {func(handlers.IncomingPush) string { return "  " }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := replying(t, simulator.ModeAES, func(_ context.Context, p handlers.IncomingPush) (handlers.Reply, error) {
				return handlers.Reply{XML: []byte(row.xml(p))}, nil
			})
			if report := e.delivered("bob", simulator.Event{Name: "text", Content: "hi"}); report.Shown != row.shown {
				t.Errorf("shown %q, want %q: %+v", report.Shown, row.shown, report.Reply)
			}
		})
	}
}

// WX-14: the person is told nothing rather than that the account is out of service.
func TestWX14_WithoutAReplyInTimeSuccessIsAnswered(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]handlers.Replier{
		"nothing to say": func(context.Context, handlers.IncomingPush) (handlers.Reply, error) { return handlers.Reply{}, nil },
		"an error": func(context.Context, handlers.IncomingPush) (handlers.Reply, error) {
			return handlers.Reply{Text: "half"}, errors.New("backend down")
		},
		"ten seconds": func(ctx context.Context, _ handlers.IncomingPush) (handlers.Reply, error) {
			select {
			case <-ctx.Done():
				return handlers.Reply{}, ctx.Err()
			case <-time.After(10 * time.Second):
				return handlers.Reply{Text: "late"}, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := replying(t, simulator.ModeAES, reply)
			report := e.delivered("bob", simulator.Event{Name: "text", Content: "hi"})
			if report.Shown != "" || e.answers[0].body != "success" || e.answers[0].status != http.StatusOK || e.answers[0].took > 5*time.Second {
				t.Errorf("shown %q, answered %+v", report.Shown, e.answers[0])
			}
		})
	}
}

func TestEvents_NobodyIsAskedForAReplyThatWouldNotBeShown(t *testing.T) {
	var asked atomic.Int64
	e := replying(t, simulator.ModeAES, func(context.Context, handlers.IncomingPush) (handlers.Reply, error) {
		asked.Add(1)
		return handlers.Reply{Text: "bye"}, nil
	})
	for _, name := range []string{"unsubscribe", "user_info_modified", "user_authorization_revoke", "user_authorization_cancellation"} {
		e.delivered("bob", simulator.Event{Name: name})
	}
	if asked.Load() != 0 {
		t.Errorf("asked %d times", asked.Load())
	}
}
