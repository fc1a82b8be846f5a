package wechat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Ticket is what signatures for pages are made with: a jsapi_ticket, or another
// ticket that comes and goes as one does.
type Ticket struct {
	Value     Secret
	FetchedAt time.Time // by our clock, before the request left
	ExpiresAt time.Time // FetchedAt and the seconds that WeChat named, which may be later than in truth
}

// Tickets is the source of one ticket, which all that sign pages of an app share.
// It is safe for concurrent use.
//
// WeChat gives the same ticket again and again until it ends, and says 7200
// seconds each time (wechat-protocol §3.1). A ticket that was fetched late ends
// long before our clock knows, so another one is fetched every 20 minutes,
// whatever WeChat said. For the rest see [TokenSource]: one fetch however many
// wait, and one for all processes on the same store.
type Tickets struct{ source *TokenSource }

// TicketConfig says what a [Tickets] keeps. Key, Op, Fetch and FetchTimeout are
// required; the fields are those of [TokenSourceConfig]. A WeCom app has two
// tickets, such as "wecom_jsapi:ww…" of its corp and "wecom_agent_config:ww…:1000002"
// of its own.
type TicketConfig struct {
	Key, Op      string
	Fetch        func(ctx context.Context) (Ticket, error)
	FetchTimeout time.Duration

	Now         func() time.Time
	Store       TokenStore
	StoreFailed func(error)
}

const (
	opTicket = "cgi-bin/ticket/getticket"

	ticketAge  = 20 * time.Minute
	leastLife  = time.Minute // of a ticket without a sensible expires_in
	maxTicket  = 512         // bytes; real ones have 86
	jsapiStore = "jsapi:"    // and the appid: the key of an official account's ticket
)

// NewTickets returns a source, or an error that says what c lacks. It does no
// I/O.
func NewTickets(c TicketConfig) (*Tickets, error) {
	if c.Fetch == nil {
		return nil, errors.New("wechat: a source of tickets needs a fetch")
	}
	source, err := NewTokenSource(TokenSourceConfig{
		Key: c.Key,
		Op:  c.Op,
		Fetch: func(ctx context.Context, _ bool) (AppToken, error) {
			ticket, err := c.Fetch(ctx)
			return AppToken(ticket), err
		},
		FetchTimeout: c.FetchTimeout,
		RenewAfter:   ticketAge,
		Now:          c.Now,
		Store:        c.Store,
		StoreFailed:  c.StoreFailed,
	})
	if err != nil {
		return nil, err
	}
	return &Tickets{source}, nil
}

// NewJSAPITickets returns the source of the jsapi_ticket of the official account
// that tokens is of, kept in the same store. Make one for each account.
func NewJSAPITickets(tokens *AppTokens) *Tickets {
	c := tokens.config
	// Each of token and ticket may be fetched twice: see TokenSource.Do. That takes
	// no longer than this, or it is given up.
	tickets, err := NewTickets(TicketConfig{Key: jsapiStore + tokens.appID, Op: opTicket, Fetch: tokens.fetchTicket,
		FetchTimeout: 2 * tokens.caller.timeout, Now: c.Now, Store: c.Store, StoreFailed: c.StoreFailed})
	if err != nil {
		panic(err) // nothing in it is missing
	}
	return tickets
}

// Format prints the key, whatever the verb.
func (t Tickets) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "tickets of "+t.source.config.Key)
}

// Ticket returns the ticket. Where there is none yet, or it is too old to be
// trusted, it waits for the fetch as long as ctx allows.
func (t *Tickets) Ticket(ctx context.Context) (Ticket, error) {
	token, err := t.source.Token(ctx)
	return Ticket(token), err
}

// Drop says that WeChat refused a signature that was made with the ticket, so
// that the next one is fetched at once. Drop reports whether Ticket would now
// fetch: after the first time in four minutes it takes 10 seconds, then ever
// longer, so that a page that cries wolf cannot eat a quota.
func (t *Tickets) Drop(refused Secret) bool { return t.source.Drop(refused) }

// fetchTicket asks for the jsapi_ticket.
func (t *AppTokens) fetchTicket(ctx context.Context) (Ticket, error) {
	now := t.caller.now()
	r := call{op: opTicket, query: "type=jsapi"}
	a, err := t.call(ctx, r)
	if err != nil {
		return Ticket{}, err
	}
	ticket, err := a.ticket(now)
	if err != nil {
		return Ticket{}, r.busy(err.Error())
	}
	return ticket, nil
}

// ticket reads the answer of wechat-protocol §3.1.
func (a answer) ticket(now time.Time) (Ticket, error) {
	value, err := a.text("ticket")
	switch {
	case err != nil:
		return Ticket{}, err
	case value == "":
		return Ticket{}, errors.New("the answer has no ticket")
	case len(value) > maxTicket || !isVisible(value):
		return Ticket{}, errors.New("the answer's ticket has no possible shape")
	}
	life := a.lifetime("expires_in")
	if life <= 0 {
		life = leastLife
	}
	return Ticket{Value: Secret(value), FetchedAt: now, ExpiresAt: now.Add(life)}, nil
}
