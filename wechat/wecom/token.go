package wecom

import (
	"context"
	"errors"
	"net/url"
	"time"

	"wxbridge/wechat"
)

const (
	opToken       = "cgi-bin/gettoken"
	opCorpTicket  = "cgi-bin/get_jsapi_ticket"
	opAgentTicket = "cgi-bin/ticket/get"

	maxLent  = 2048 // bytes of a token or ticket; WeCom says 512
	longest  = 24 * time.Hour
	shortest = 5 * time.Second
)

// Tokens is the source of the app's token, for calls that this package does not
// have.
func (c *Client) Tokens() *wechat.TokenSource { return c.tokens }

// CorpTickets is the source of the ticket that wx.config is signed with, by
// [wechat.SignJSSDK].
func (c *Client) CorpTickets() *wechat.Tickets { return c.corpTickets }

// AgentTickets is the source of the ticket that wx.agentConfig is signed with, by
// [wechat.SignJSSDK].
func (c *Client) AgentTickets() *wechat.Tickets { return c.agentTickets }

func (c *Client) newTokens(o Options) (*wechat.TokenSource, error) {
	return wechat.NewTokenSource(wechat.TokenSourceConfig{
		Key:          c.key("wecom:"),
		Op:           opToken,
		Fetch:        func(ctx context.Context, _ bool) (wechat.AppToken, error) { return c.fetchToken(ctx) },
		FetchTimeout: c.remote.Timeout(),
		Refused:      refusesToken,
		Pause:        pause,
		Now:          c.remote.Now,
		Store:        o.Store,
		StoreFailed:  o.StoreFailed,
	})
}

// refusesToken reports whether err is WeCom's word that a token is over. It says
// 40001 of secrets only, and to try those again brings the lock nearer.
func refusesToken(err error) bool {
	e, ok := errors.AsType[*wechat.Error](err)
	return ok && (e.Code == 40014 || e.Code == 42001)
}

// pause is the time to wait after a fetch that failed, the failed-th in a row.
func pause(err error, failed int) time.Duration {
	const (
		settings   = time.Minute // and so a wrong secret is sent at most twice in any minute
		window     = time.Minute // the shortest of those for which WeCom locks an address; others last an hour and more
		lockedOut  = 15 * time.Minute
		crowded    = time.Second
		unanswered = 500 * time.Millisecond
		away       = 15 * time.Second
	)
	e, ok := errors.AsType[*wechat.Error](err)
	switch {
	case ok && e.Code == 45033:
		return doubled(crowded, failed, away)
	case errors.Is(err, wechat.ErrRateLimited):
		return doubled(window, failed, lockedOut)
	case !errors.Is(err, wechat.ErrBusy):
		return settings
	}
	return doubled(unanswered, failed, away)
}

// doubled is first for the first time, and twice as much each time after.
func doubled(first time.Duration, times int, most time.Duration) time.Duration {
	return min(first<<min(max(times-1, 0), 8), most)
}

// fetchToken asks for the app's token (wecom-protocol §1.1). Until the old one
// ends WeCom gives it again.
func (c *Client) fetchToken(ctx context.Context) (wechat.AppToken, error) {
	r := wechat.Request{
		Op:      opToken,
		Query:   "corpid=" + c.corpID + "&corpsecret=" + url.QueryEscape(c.secret.Reveal()),
		Private: []string{c.secret.Reveal()},
	}
	now := c.remote.Now()
	a, err := c.remote.Do(ctx, r)
	if err != nil {
		return wechat.AppToken{}, err
	}
	return c.lent(r, a, "access_token", now)
}

// newTickets makes the source of a ticket; the two of an app have methods of their
// own. Each of token and ticket may be fetched twice, which takes no longer than
// the time given, or is given up.
func (c *Client) newTickets(o Options, kind, op, query string) (*wechat.Tickets, error) {
	fetch := func(ctx context.Context) (wechat.Ticket, error) {
		r := wechat.Request{Op: op, Query: query}
		now := c.remote.Now()
		a, err := c.call(ctx, r)
		if err != nil {
			return wechat.Ticket{}, err
		}
		t, err := c.lent(r, a, "ticket", now)
		return wechat.Ticket(t), err
	}
	return wechat.NewTickets(wechat.TicketConfig{Key: c.key(kind), Op: op, Fetch: fetch, FetchTimeout: 2 * c.remote.Timeout(),
		Now: c.remote.Now, Store: o.Store, StoreFailed: o.StoreFailed})
}

// lent reads a token or ticket. One in its last moments may have 0 seconds left: it
// is asked for again soon, but not at every call.
func (c *Client) lent(r wechat.Request, a wechat.Answer, name string, now time.Time) (wechat.AppToken, error) {
	value, err := a.Text(name)
	if err == nil && !within(value, maxLent, isVisible) {
		err = errors.New("the answer has no " + name + " of a possible shape")
	}
	seconds, ok := a.Int("expires_in")
	if err == nil && (!ok || seconds < 0) {
		err = errors.New("the answer's expires_in is no number of seconds")
	}
	if err != nil {
		return wechat.AppToken{}, c.useless(r, err)
	}
	life := max(time.Duration(min(seconds, int64(longest/time.Second)))*time.Second, shortest)
	return wechat.AppToken{Value: wechat.Secret(value), FetchedAt: now, ExpiresAt: now.Add(life)}, nil
}
