package wechat_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/wechat"
)

// ticketServer is a tokenServer that gives tickets too.
type ticketServer struct {
	*tokenServer
	fetches int    // of a ticket, refused ones too
	ticket  string // what WeChat gives now
	reply   string // to every fetch of a ticket, if not ""
	life    int    // expires_in
	hold    chan struct{}
}

func startTicketServer(t testing.TB) *ticketServer {
	t.Helper()
	s := &ticketServer{tokenServer: &tokenServer{life: 7200}, ticket: "sM4AOVdWfPE4DxkXGEs8-1", life: 7200}
	s.upstream = startUpstream(t, s.serve)
	return s
}

func (s *ticketServer) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/cgi-bin/ticket/getticket" {
		s.tokenServer.serve(w, r)
		return
	}
	s.mu.Lock()
	hold := s.hold
	s.fetches++
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch query := r.URL.Query(); {
	case s.reply != "":
		_, _ = io.WriteString(w, s.reply)
	case query.Get("access_token") != s.current:
		_, _ = io.WriteString(w, `{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest rid: 64c66038-6952db2e-4df155c2"}`)
	case r.Method != http.MethodGet || query.Get("type") != "jsapi" || len(query) != 2:
		_, _ = io.WriteString(w, `{"errcode":40097,"errmsg":"invalid args"}`)
	default:
		fmt.Fprintf(w, `{"errcode":0,"errmsg":"ok","ticket":"%s","expires_in":%d}`, s.ticket, s.life)
	}
}

func (s *ticketServer) wantFetches(t testing.TB, want int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetches != want {
		t.Errorf("%d fetches of a ticket, want %d", s.fetches, want)
	}
}

func (s *ticketServer) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

// tickets is a process's source.
func (s *ticketServer) tickets(t testing.TB, c *movingClock, store wechat.TokenStore) *wechat.Tickets {
	t.Helper()
	return wechat.NewJSAPITickets(s.source(t, c, wechat.AppTokenOptions{Store: store}))
}

func wantTicket(t testing.TB, tickets *wechat.Tickets, want string) wechat.Ticket {
	t.Helper()
	got, err := tickets.Ticket(t.Context())
	if err != nil || got.Value.Reveal() != want {
		t.Errorf("got %s, %v, want %s", got.Value.Reveal(), err, want)
	}
	return got
}

func TestTickets_OneFetchHoweverManyWait(t *testing.T) {
	s, c := startTicketServer(t), newClock()
	s.hold = make(chan struct{})
	tickets := s.tickets(t, c, nil)
	results := make(chan error)
	for range 1000 {
		go func() {
			got, err := tickets.Ticket(t.Context())
			if err == nil && got.Value != "sM4AOVdWfPE4DxkXGEs8-1" {
				err = errors.New("another ticket")
			}
			results <- err
		}()
	}
	waitUntil(t, "the fetch has begun", func() bool { return s.asked() == 1 })
	close(s.hold)
	for range 1000 {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	s.wantFetches(t, 1)
	s.wantIssued(t, 1)
}

func TestTickets_AWaiterWhoGivesUpDoesNotEndTheFetch(t *testing.T) {
	s, c := startTicketServer(t), newClock()
	s.hold = make(chan struct{})
	tickets := s.tickets(t, c, nil)
	hasty, giveUp := context.WithCancel(t.Context())
	gone, patient := make(chan error, 1), make(chan error, 1)
	go func() { _, err := tickets.Ticket(hasty); gone <- err }()
	waitUntil(t, "the fetch has begun", func() bool { return s.asked() == 1 })
	go func() { _, err := tickets.Ticket(t.Context()); patient <- err }()
	giveUp()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	close(s.hold)
	if err := <-patient; err != nil {
		t.Errorf("the patient one got %v", err)
	}
	s.wantFetches(t, 1)
}

func TestTickets_AreFetchedEvery20MinutesWhateverExpiresInSays(t *testing.T) {
	for _, life := range []int{7200, 30 * 24 * 3600, 900} {
		t.Run(fmt.Sprint(life), func(t *testing.T) {
			s, c := startTicketServer(t), newClock()
			s.life = life
			tickets := s.tickets(t, c, nil)
			first := wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-1")
			if got := first.ExpiresAt.Sub(first.FetchedAt); got != time.Duration(life)*time.Second {
				t.Errorf("lives for %v", got)
			}
			s.set(func() { s.ticket = "sM4AOVdWfPE4DxkXGEs8-2" })
			if life > 1200 {
				c.advance(20*time.Minute - time.Second)
				wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-1")
				s.wantFetches(t, 1)
				c.advance(time.Second)
			} else { // in its last quarter
				c.advance(time.Duration(life)*time.Second*3/4 + time.Second)
			}
			wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-1") // nobody waits
			waitUntil(t, "the next ticket is here", func() bool {
				got, err := tickets.Ticket(t.Context())
				return err == nil && got.Value == "sM4AOVdWfPE4DxkXGEs8-2"
			})
			s.wantFetches(t, 2)
		})
	}
}

// A ticket that lay idle may have ended long ago: nobody gets it any more, unless
// there is no other.
func TestTickets_AfterAnIdleHourTheNewOneIsWaitedFor(t *testing.T) {
	s, c := startTicketServer(t), newClock()
	tickets := s.tickets(t, c, nil)
	wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-1")
	c.advance(time.Hour)
	s.set(func() { s.ticket = "sM4AOVdWfPE4DxkXGEs8-2" })
	wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-2")
	s.wantFetches(t, 2)

	c.advance(time.Hour)
	s.set(func() { s.reply = `{"errcode":45009,"errmsg":"reach max api daily quota limit"}` })
	wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-2") // better than none
	wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-2")
	s.wantFetches(t, 3) // a used-up quota is left alone for ten minutes
	c.advance(2 * time.Hour)
	if _, err := tickets.Ticket(t.Context()); !errors.Is(err, wechat.ErrRateLimited) {
		t.Errorf("got %v of a ticket that is over", err)
	}
}

func TestTickets_AClockThatWasSetBackTrustsNoTicket(t *testing.T) {
	s, c := startTicketServer(t), newClock()
	tickets := s.tickets(t, c, nil)
	wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-1")
	c.advance(-30 * time.Second)
	wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-1")
	s.wantFetches(t, 1)
	c.advance(-time.Hour)
	s.set(func() { s.ticket = "sM4AOVdWfPE4DxkXGEs8-2" })
	wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-2")
}

func TestTickets_ADroppedTicketIsFetchedAgain(t *testing.T) {
	s, c := startTicketServer(t), newClock()
	store := newMemoryStore(c.Now)
	tickets := s.tickets(t, c, store)
	first := wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-1")
	if !tickets.Drop("sM4AOVdWfPE4DxkXGEs8-0") {
		t.Error("a ticket we do not hold: there is another one already")
	}
	s.wantFetches(t, 1)
	s.set(func() { s.ticket = "sM4AOVdWfPE4DxkXGEs8-2" })
	if !tickets.Drop(first.Value) {
		t.Error("the first refusal is not believed")
	}
	second := wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-2") // not the one in the store
	s.wantFetches(t, 2)

	// A page that goes on complaining does not get another fetch each time.
	if tickets.Drop(second.Value) {
		t.Error("the second refusal in a moment is believed")
	}
	wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-2")
	s.wantFetches(t, 2)
	c.advance(11 * time.Second)
	if !tickets.Drop(second.Value) {
		t.Error("a refusal after 11 seconds is not believed")
	}
	wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-2") // WeChat gives the same again
	s.wantFetches(t, 3)
}

func TestTickets_ProcessesOnOneStoreShareAFetch(t *testing.T) {
	s, c := startTicketServer(t), newClock()
	store := newMemoryStore(c.Now)
	var processes []*wechat.Tickets
	for range 5 {
		processes = append(processes, s.tickets(t, c, store))
	}
	for round := range 3 {
		s.set(func() { s.ticket = fmt.Sprint("sM4AOVdWfPE4DxkXGEs8-", round) })
		var group sync.WaitGroup
		for _, tickets := range processes {
			for range 20 {
				group.Go(func() { wantTicket(t, tickets, fmt.Sprint("sM4AOVdWfPE4DxkXGEs8-", round)) })
			}
		}
		group.Wait()
		s.wantFetches(t, round+1)
		c.advance(25 * time.Minute)
	}
	s.wantIssued(t, 1)
	if got := store.tokens["jsapi:"+appID].Value; got != "sM4AOVdWfPE4DxkXGEs8-2" {
		t.Errorf("the store has %q", got.Reveal())
	}
}

// The app token that a ticket is asked for with may have been ended: exactly that
// is replaced, and the ticket asked for once more.
func TestTickets_AStaleAppTokenIsReplacedOnce(t *testing.T) {
	s, c := startTicketServer(t), newClock()
	tickets := s.tickets(t, c, nil)
	wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-1")
	s.invalidate()
	c.advance(time.Hour)
	wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-1")
	s.wantFetches(t, 3)
	s.wantIssued(t, 2)
}

func TestTickets_AnswersThatAreNone(t *testing.T) {
	for _, row := range []struct {
		body string
		want error
	}{
		{`{}`, wechat.ErrBusy},
		{`{"errcode":0,"errmsg":"ok"}`, wechat.ErrBusy},
		{`{"errcode":0,"errmsg":"ok","ticket":""}`, wechat.ErrBusy},
		{`{"errcode":0,"errmsg":"ok","ticket":7,"expires_in":7200}`, wechat.ErrBusy},
		{`{"errcode":0,"errmsg":"ok","ticket":"a b","expires_in":7200}`, wechat.ErrBusy},
		{`{"errcode":0,"errmsg":"ok","ticket":"` + strings.Repeat("x", 513) + `","expires_in":7200}`, wechat.ErrBusy},
		{`{"errcode":48001,"errmsg":"api unauthorized rid: 62308e5d-0b0b697e-1db652eb"}`, wechat.ErrMisconfigured},
		{`{"errcode":45011,"errmsg":"api minute-quota reach limit"}`, wechat.ErrRateLimited},
		{`<html>`, wechat.ErrBusy},
	} {
		s, c := startTicketServer(t), newClock()
		s.reply = row.body
		tickets := s.tickets(t, c, nil)
		got, err := tickets.Ticket(t.Context())
		wantOnly(t, err, row.want)
		wantNone(t, everyText(err), secret, "24_token-1")
		if got != (wechat.Ticket{}) {
			t.Errorf("an error and %v", got)
		}
		if _, again := tickets.Ticket(t.Context()); again == nil || s.asked() != 1 {
			t.Errorf("after %q: %v, %d fetches", row.body, again, s.asked())
		}
	}
}

func TestTickets_WithoutALifetimeAreTrustedForAMinute(t *testing.T) {
	s, c := startTicketServer(t), newClock()
	s.reply = `{"errcode":0,"errmsg":"ok","ticket":"sM4AOVdWfPE4DxkXGEs8-1","expires_in":0}`
	tickets := s.tickets(t, c, nil)
	for range 3 {
		wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-1")
	}
	s.wantFetches(t, 1)
	c.advance(time.Minute)
	wantTicket(t, tickets, "sM4AOVdWfPE4DxkXGEs8-1")
	s.wantFetches(t, 2)
}

// A source for tickets of another kind, such as WeCom's, is made of a fetch.
func TestTickets_OfAnotherKind(t *testing.T) {
	c, fetched := newClock(), 0
	tickets, err := wechat.NewTickets(wechat.TicketConfig{
		Key: "wecom_agent_config:ww5f4bc4dec97d474b:1000002", Op: "cgi-bin/ticket/get", FetchTimeout: time.Second, Now: c.Now,
		Fetch: func(ctx context.Context) (wechat.Ticket, error) {
			if _, limited := ctx.Deadline(); !limited {
				t.Error("a fetch without a deadline")
			}
			fetched++
			return wechat.Ticket{Value: "XEdpT1cKeT==", FetchedAt: c.Now(), ExpiresAt: c.Now().Add(2 * time.Hour)}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		wantTicket(t, tickets, "XEdpT1cKeT==")
	}
	if fetched != 1 {
		t.Errorf("%d fetches", fetched)
	}
	for _, shown := range []any{tickets, *tickets} {
		if got := fmt.Sprintf("%v %+v %#v %s", shown, shown, shown, shown); strings.Contains(got, "XEdp") {
			t.Errorf("the ticket is shown in %s", got)
		}
	}
	if _, err := wechat.NewTickets(wechat.TicketConfig{Key: "a", Op: "b", FetchTimeout: time.Second}); err == nil {
		t.Error("a source without a fetch")
	}
}
