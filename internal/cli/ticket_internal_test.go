package cli

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"wxbridge/wechat"
)

const pathTicket = "/cgi-bin/ticket/getticket"

// A thousand pages want a signature of two processes on a cold start: one ticket and one app token are fetched, and both
// lie sealed in the store (KEY-01).
func TestTickets_AThousandOnAColdStartFetchOne(t *testing.T) {
	h := newHolders(t, false)
	secret := secretOf("a")
	processes := []*wechat.Tickets{wechat.NewJSAPITickets(h.start(secret)), wechat.NewJSAPITickets(h.start(secret))}
	h.simulate(http.MethodPut, "faults", fmt.Sprintf(`{"path":%q,"latency_ms":200}`, pathTicket)) // so that all of them wait for it
	tickets := h.crowd(processes, 1000)
	if tokens, asked := h.calls("/cgi-bin/stable_token"), h.calls(pathTicket); tokens != 1 || asked != 1 || len(tickets) != 1 {
		t.Errorf("%d fetches of a token, %d of a ticket, %d different tickets", tokens, asked, len(tickets))
	}
	for ticket := range tickets {
		for _, suffix := range []string{"", "-wal"} {
			if file, err := os.ReadFile(h.path + suffix); err == nil && bytes.Contains(file, []byte(ticket[:40])) {
				t.Errorf("the ticket stands in %s%s", h.path, suffix)
			}
		}
	}
	// A process that starts later finds both.
	if later := h.crowd([]*wechat.Tickets{wechat.NewJSAPITickets(h.start(secret))}, 10); len(later) != 1 || h.calls(pathTicket) != 1 || h.calls("/cgi-bin/stable_token") != 1 {
		t.Errorf("%d fetches with a later process", h.calls(pathTicket))
	}
}

// The app token is ended from outside before the ticket is asked for: nobody notices.
func TestTickets_OutliveAnEndedAppToken(t *testing.T) {
	for _, life := range []string{"7200", "remaining"} {
		h := newHolders(t, false)
		h.simulate(http.MethodPut, "switches", fmt.Sprintf(`{"jsapi-ticket-expires-in":%q}`, life))
		tokens := h.start(secretOf("a"))
		h.token(tokens)
		if err := h.end(); err != nil {
			t.Fatal(err)
		}
		if got := h.crowd([]*wechat.Tickets{wechat.NewJSAPITickets(tokens)}, 100); len(got) != 1 || h.calls(pathTicket) != 2 {
			t.Errorf("%s: %d different tickets, %d requests, want 1 and 2", life, len(got), h.calls(pathTicket))
		}
	}
}

// crowd asks n times, all at once, and gives the different tickets.
func (h *holders) crowd(processes []*wechat.Tickets, n int) map[string]bool {
	h.t.Helper()
	values := make(chan string, n)
	var crowd errgroup.Group
	for i := range n {
		crowd.Go(func() error {
			ticket, err := processes[i%len(processes)].Ticket(h.t.Context())
			values <- ticket.Value.Reveal()
			return err
		})
	}
	if err := crowd.Wait(); err != nil {
		h.t.Fatal(err)
	}
	close(values)
	different := map[string]bool{}
	for value := range values {
		different[value] = true
	}
	return different
}

// simulate asks the simulator for something.
func (h *holders) simulate(method, path, body string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+"/_simulator/"+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		h.t.Fatalf("%s %s: %s", method, path, response.Status)
	}
}
