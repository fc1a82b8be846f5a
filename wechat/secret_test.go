package wechat_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat"
)

func TestWX01_SecretsDoNotPrint(t *testing.T) {
	const value = "hunter2hunter2"
	s := wechat.Secret(value)
	api := &wechat.API{}
	app := wechat.App{ID: appID, Secret: s}
	official, err := wechat.NewOfficial(api, app, wechat.OfficialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mini, err := wechat.NewMiniProgram(api, app)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := wechat.NewAppTokens(&wechat.API{HTTP: canned([]byte(`{"access_token":"` + value + `","expires_in":7200}`))}, app,
		wechat.AppTokenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := tokens.Token(t.Context())
	if err != nil || token.Value.Reveal() != value {
		t.Fatalf("got %v, %v", token, err)
	}
	website, err := wechat.NewWebsite(api, app)
	if err != nil {
		t.Fatal(err)
	}
	tickets, err := wechat.NewTickets(wechat.TicketConfig{Key: "jsapi:" + appID, Op: "cgi-bin/ticket/getticket", FetchTimeout: time.Second,
		Fetch: func(context.Context) (wechat.Ticket, error) {
			return wechat.Ticket{Value: value, FetchedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := tickets.Ticket(t.Context())
	if err != nil || ticket.Value.Reveal() != value {
		t.Fatalf("got %v, %v", ticket, err)
	}
	carriers := map[string]any{
		"a secret":            s,
		"a pointer to one":    &s,
		"an app":              app,
		"a list of apps":      []wechat.App{app},
		"a map of secrets":    map[string]wechat.Secret{"s": s},
		"a token":             wechat.UserToken{AccessToken: s, RefreshToken: s},
		"a session":           &wechat.Session{OpenID: "o", Key: s},
		"an official account": official,
		"its value":           *official,
		"a mini program":      mini,
		"its value too":       *mini,
		"an app token":        token,
		"a source of them":    tokens,
		"its value also":      *tokens,
		"a website":           website,
		"its value again":     *website,
		"a ticket":            ticket,
		"a source of tickets": tickets,
		"its value, at last":  *tickets,
	}
	for name, carrier := range carriers {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3v", "%T"} {
				fmt.Fprintf(&out, verb+"\n", carrier)
			}
			fmt.Fprintln(&out, carrier)
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "carrier", carrier)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "carrier", carrier)
			if text, err := json.Marshal(carrier); err == nil {
				out.Write(text)
			}
			if text, err := xml.Marshal(carrier); err == nil {
				out.Write(text)
			}
			hexed := fmt.Sprintf("%x", value)
			if got := out.String(); strings.Contains(got, value) || strings.Contains(strings.ToLower(got), hexed) {
				t.Errorf("the value is shown:\n%s", got)
			}
		})
	}
	if s.Reveal() != value {
		t.Errorf("Reveal gives %q", s.Reveal())
	}
	if got := fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s); got != strings.TrimSpace(strings.Repeat("[redacted] ", 5)) {
		t.Errorf("got %q", got)
	}
}
