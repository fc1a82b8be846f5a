package lazyconn_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"wxbridge/internal/lazyconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gate is a shortcut for GET /quick, which gives an answer unless the request has a header Decline.
type gate struct{ asked, answered atomic.Int64 }

func (g *gate) Knows(head []byte) bool { return strings.HasPrefix(string(head), "GET /quick ") }

func (g *gate) Answer(response []byte, r *http.Request) ([]byte, bool) {
	g.asked.Add(1)
	if r.Header.Get("Decline") != "" {
		return append(response, "half an answer"...), false
	}
	g.answered.Add(1)
	return fmt.Appendf(response, "HTTP/1.1 200 OK\r\nX-Seen: %s\r\nContent-Length: 0\r\n\r\n", seen(r)), true
}

// seen is all that a handler can see of a request.
func seen(r *http.Request) string {
	return fmt.Sprintf("%q", fmt.Sprint(r.Method, r.URL, r.RequestURI, r.Proto, r.Host, r.RemoteAddr, r.Header, r.ContentLength, r.TransferEncoding, r.Trailer))
}

// serveSeen answers what it sees, and echoes bodies, as the gate does.
func serveSeen(w http.ResponseWriter, r *http.Request) {
	w.Header()["Date"] = nil
	w.Header().Set("X-Seen", seen(r))
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
	}
	_, _ = w.Write(body)
}

// pipes is a listener on connections within the process, which a test can follow with a clock of its own.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// stand is a server behind lazy connections.
type stand struct {
	t      *testing.T
	server *http.Server
	pipes  *pipes
}

func newStand(t *testing.T, server *http.Server, s lazyconn.Shortcut) *stand {
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	l := lazyconn.Wrap(p, server, s)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	return &stand{t, server, p}
}

// beginTalk is a connection on which the server has answered a first request, so that the shortcut may take the next.
func beginTalk(t *testing.T) (*gate, *client) {
	t.Helper()
	g := new(gate)
	c := newStand(t, &http.Server{Handler: http.HandlerFunc(serveSeen)}, g).dial()
	c.send(other)
	c.expect(200, "/other")
	return g, c
}

// client is the other end of a connection.
type client struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

func (s *stand) dial() *client {
	here, there := net.Pipe()
	s.pipes.conns <- there
	s.t.Cleanup(func() { _ = here.Close() })
	return &client{here, s.t, bufio.NewReader(here)}
}

// send writes once the server waits: a quicker one would be at times one that pipelines.
func (c *client) send(text string) {
	c.t.Helper()
	synctest.Wait()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// expect reads a response and looks for a text in what was seen of its request, or in its body.
func (c *client) expect(status int, text string) *http.Response {
	c.t.Helper()
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatalf("receive: %v", err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != status || !strings.Contains(r.Header.Get("X-Seen")+string(body), text) {
		c.t.Fatalf("%d %v %q (%v), want %d and %q", r.StatusCode, r.Header, body, err, status, text)
	}
	return r
}

// expectEnd reads to the end, before which net/http may answer 400 to half a request.
func (c *client) expectEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 && !strings.HasPrefix(string(rest), "HTTP/1.1 400 ") {
		c.t.Fatalf("received %q (%v), want the end", rest, err)
	}
}

const (
	other    = "GET /other HTTP/1.1\r\nHost: a\r\n\r\n"
	quick    = "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n"
	declined = "GET /quick HTTP/1.1\r\nHost: a\r\nDecline: 1\r\n\r\n"
)

func TestTheShortcutAnswersAllButTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(gate)
		c := newStand(t, &http.Server{Handler: http.HandlerFunc(serveSeen)}, g).dial()
		for i, row := range []struct {
			request, see string
			answered     int64
		}{
			{quick, "/quick", 0}, {quick, "/quick", 1}, {other, "/other", 1}, {quick, "/quick", 2}, {quick, "/quick", 3},
			{"HEAD /other HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD", 3}, {quick, "/quick", 4},
			{"GET /quick HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "/quick", 5}, {quick, "/quick", 6},
		} {
			c.send(row.request)
			if strings.HasPrefix(row.request, "HEAD") {
				_, err := http.ReadResponse(c.in, &http.Request{Method: "HEAD"})
				if err != nil {
					t.Fatal(err)
				}
			} else {
				c.expect(200, row.see)
			}
			if n := g.answered.Load(); n != row.answered {
				t.Errorf("request %d: the shortcut has answered %d, want %d", i, n, row.answered)
			}
		}
	})
}

// A body that looks like a request is none: the client of a proxy could have chosen it. After a body whose length was told
// plainly the shortcut goes on, after any other it does not.
func TestABodyIsNeverTakenForARequest(t *testing.T) {
	for name, row := range map[string]struct {
		head  string
		after int64 // how often the shortcut is asked
	}{
		"length":              {"POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 1},
		"length in odd case":  {"POST /other HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: %d\r\n\r\n", 1},
		"length without room": {"POST /other HTTP/1.1\r\nHost: a\r\nContent-Length:%d\r\n\r\n", 0},
		"length twice":        {"POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: %[1]d\r\nContent-Length: %[1]d\r\n\r\n", 0},
		"length of a GET":     {"GET /other HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: %d\r\n\r\n", 0},
		"length of a PUT":     {"PUT /other HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 0},
		"chunked":             {"POST /other HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", 0},
		"chunked GET":         {"GET /other HTTP/1.1\r\nHost: a\r\nTRANSFER-encoding:chunked\r\n\r\n%x\r\n", 0},
		"chunked and length":  {"POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, c := beginTalk(t)
				c.send(fmt.Sprintf(row.head, 2*len(quick)))
				synctest.Wait()
				c.send(quick)
				synctest.Wait()
				c.send(quick)
				if strings.HasSuffix(row.head, "%x\r\n") {
					c.send("\r\n0\r\n\r\n")
				}
				r := c.expect(200, quick+quick)
				if r.ContentLength != int64(2*len(quick)) || g.asked.Load() != 0 {
					t.Errorf("%d bytes came back, and the shortcut was asked %d times", r.ContentLength, g.asked.Load())
				}
				if !r.Close { // net/http ends what had both a length and chunks
					c.send(quick)
					c.expect(200, "/quick")
				}
				if n := g.asked.Load(); n != row.after {
					t.Errorf("the shortcut was asked %d times, want %d", n, row.after)
				}
			})
		})
	}
}

// The same with answers that do not wait for the body, and bodies of which more is sent than was told.
func TestABodyThatNobodyReads(t *testing.T) {
	for name, row := range map[string]struct {
		pieces []string
		after  int64
	}{
		"at once":      {[]string{"POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"}, 1},
		"later":        {[]string{"POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", "abc"}, 1},
		"in pieces":    {[]string{"POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na", "b", "c"}, 1},
		"none":         {[]string{"POST /deaf HTTP/1.1\r\nHost: a\r\n\r\n"}, 1},
		"a whole more": {[]string{"POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + other}, 0},
		"half more":    {[]string{"POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", "c" + other[:9], other[9:]}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := new(gate)
				c := newStand(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/deaf" {
						serveSeen(w, r)
					}
				})}, g).dial()
				go func() {
					for _, piece := range row.pieces {
						_, _ = io.WriteString(c, piece)
					}
				}()
				c.expect(200, "")
				if strings.Contains(strings.Join(row.pieces, ""), other) {
					c.expect(200, "/other")
				}
				synctest.Wait()
				c.send(quick)
				c.expect(200, "/quick")
				if n := g.answered.Load(); n != row.after {
					t.Errorf("the shortcut answered %d, want %d", n, row.after)
				}
			})
		})
	}
}

// The shortcut answers whole requests alone. It goes on after one that came in pieces, but not once several came together.
func TestRequestsInPiecesAndTogether(t *testing.T) {
	post := fmt.Sprintf("POST /quick HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(quick), quick)
	for name, row := range map[string]struct {
		pieces  []string
		answers int
		asked   int64
	}{
		"in pieces":        {[]string{quick[:20], quick[20:], quick}, 2, 1},
		"byte by byte":     {append(strings.Split(quick, ""), quick), 2, 1},
		"a body, so too":   {append(strings.Split(post, ""), quick), 2, 1},
		"a long line":      {[]string{"GET /quick HTTP/1.1\r\nHost: a\r\nX: ", strings.Repeat("a", 40_000), "\r\n\r\n", quick}, 2, 1},
		"too long a line":  {[]string{"GET /quick HTTP/1.1\r\nHost: a\r\nX: ", strings.Repeat("a", 70_000), "\r\n\r\n", quick}, 2, 0},
		"together":         {[]string{quick + quick, quick}, 3, 0},
		"with half more":   {[]string{quick + quick[:9], quick[9:]}, 2, 0},
		"before a body":    {[]string{quick + post, quick, quick}, 4, 0},
		"with bare LFs":    {[]string{strings.ReplaceAll(quick, "\r", ""), quick}, 2, 0},
		"with a fold":      {[]string{"GET /quick HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", quick}, 2, 0},
		"with a LF inside": {[]string{strings.Replace(quick, "\r\n\r\n", "\n\n", 1) + quick}, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, c := beginTalk(t)
				go func() {
					for _, piece := range row.pieces {
						synctest.Wait()
						_, _ = io.WriteString(c, piece)
					}
				}()
				for range row.answers {
					c.expect(200, "/quick")
				}
				if n := g.asked.Load(); n != row.asked {
					t.Errorf("the shortcut was asked %d times, want %d", n, row.asked)
				}
			})
		})
	}
}

// A request that comes while the one before is answered gives its first byte to the server's lookout.
func TestTheShortcutGoesOnAfterALookout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(gate)
		c := newStand(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				time.Sleep(time.Second)
			}
			serveSeen(w, r)
		})}, g).dial()
		c.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
		go func() { c.send(quick) }()
		c.expect(200, "/slow")
		c.expect(200, "/quick")
		c.send(quick)
		c.expect(200, "/quick")
		if n := g.asked.Load(); n != 1 {
			t.Errorf("the shortcut was asked %d times, want 1", n)
		}
	})
}

// Requests about as long as net/http's buffer, which it then fills by a last Read of a byte or two.
func TestLongRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for length := 4090; length < 4100; length++ {
			g := new(gate)
			c := newStand(t, &http.Server{Handler: http.HandlerFunc(serveSeen)}, g).dial()
			long := strings.TrimSuffix(quick, "\r\n") + "X: "
			long += strings.Repeat("a", length-len(long)-4) + "\r\n\r\n"
			for _, request := range []string{long, quick, long, long, quick} {
				c.send(request)
				c.expect(200, "/quick")
			}
			if want := map[bool]int64{true: 4, false: 2}[length <= 4096]; g.answered.Load() != want {
				t.Errorf("%d bytes: the shortcut answered %d, want %d", length, g.answered.Load(), want)
			}
		}
	})
}

// A client that sends its next request while it reads the answer may meet the server's lookout.
func TestPipelining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(gate)
		c := newStand(t, &http.Server{Handler: http.HandlerFunc(serveSeen)}, g).dial()
		go func() {
			for range 200 {
				_, _ = io.WriteString(c, quick)
				_, _ = io.WriteString(c, other)
			}
		}()
		for range 200 {
			c.expect(200, "/quick")
			c.expect(200, "/other")
		}
	})
}

// What the shortcut declines is answered as if it were not there, and after some time it is asked less.
func TestTheShortcutIsAskedLessIfItDeclines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(gate)
		c := newStand(t, &http.Server{Handler: http.HandlerFunc(serveSeen)}, g).dial()
		for range 1 + 640 {
			c.send(declined)
			c.expect(200, "Decline")
		}
		if n := g.asked.Load(); n < 10 || n > 20 {
			t.Errorf("asked %d times of 640", n)
		}
		for g.answered.Load() == 0 {
			c.send(quick)
			c.expect(200, "/quick")
		}
		c.send(declined)
		c.expect(200, "Decline")
		c.send(quick) // one that is declined among many costs nothing
		c.expect(200, "/quick")
		if n := g.answered.Load(); n != 2 {
			t.Errorf("answered %d", n)
		}
	})
}

func TestDeadlinesEndAConnection(t *testing.T) {
	server := func() *http.Server {
		return &http.Server{Handler: http.HandlerFunc(serveSeen), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 20 * time.Second,
			WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	}
	for name, row := range map[string]struct {
		talk func(c *client)
		want time.Duration
	}{
		"nothing is asked":        {func(*client) {}, 10 * time.Second},
		"half a header":           {func(c *client) { c.send(quick[:20]) }, 10 * time.Second},
		"half a header, later on": {func(c *client) { c.send(other); c.expect(200, ""); c.send(quick[:20]) }, 10 * time.Second},
		"after the shortcut":      {func(c *client) { c.twice(quick); c.send(quick[:20]) }, 10 * time.Second},
		"idle":                    {func(c *client) { c.send(other); c.expect(200, "") }, 2 * time.Minute},
		"idle after the shortcut": {func(c *client) { c.twice(quick); time.Sleep(time.Minute); c.send(quick); c.expect(200, "") }, 3 * time.Minute},
		"idle after many of them": {func(c *client) { c.often(quick, 1000, 300*time.Millisecond) }, 7*time.Minute - 300*time.Millisecond},
		"half a body": {func(c *client) {
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
			c.expect(400, "")
		}, 20 * time.Second},
		"an answer nobody reads":   {func(c *client) { c.send(other) }, 30 * time.Second},
		"a shortcut's nobody read": {func(c *client) { c.send(quick); c.expect(200, ""); c.send(quick) }, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newStand(t, server(), new(gate)).dial()
				begun := time.Now()
				row.talk(c)
				if strings.Contains(name, "nobody read") {
					time.Sleep(row.want + 2*lazyconn.Lateness)
					c.expectEnd()
					return
				}
				c.expectEnd()
				if took := time.Since(begun); took < row.want || took > row.want+lazyconn.Lateness {
					t.Errorf("ended after %v, want %v", took, row.want)
				}
			})
		})
	}
}

// told counts the deadlines that reach a connection.
type told struct {
	net.Conn
	deadlines *int
}

func (c told) SetReadDeadline(t time.Time) error {
	*c.deadlines++
	return c.Conn.SetReadDeadline(t)
}

func (c told) SetWriteDeadline(t time.Time) error {
	*c.deadlines++
	return c.Conn.SetWriteDeadline(t)
}

// What all this is for: a second of requests needs a deadline or two, however many they are.
func TestDeadlinesAreToldOnceASecond(t *testing.T) {
	for _, request := range []string{quick, declined} {
		synctest.Test(t, func(t *testing.T) {
			deadlines := 0
			s := newStand(t, &http.Server{Handler: http.HandlerFunc(serveSeen), ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: time.Hour}, new(gate))
			here, there := net.Pipe()
			s.pipes.conns <- told{there, &deadlines}
			c := &client{here, t, bufio.NewReader(here)}
			c.often(request, 990, time.Millisecond)
			_ = here.Close()
			synctest.Wait()
			if deadlines == 0 || deadlines > 10 {
				t.Errorf("%q: %d for 990 requests in a second", request, deadlines)
			}
		})
	}
}

func TestWithoutAnIdleTimeoutTheReadTimeoutEndsAConnection(t *testing.T) {
	for _, row := range []struct{ idle, read, want time.Duration }{{0, time.Hour, time.Hour}, {-1, time.Hour, 0}, {0, 0, 0}} {
		synctest.Test(t, func(t *testing.T) {
			c := newStand(t, &http.Server{Handler: http.HandlerFunc(serveSeen), IdleTimeout: row.idle, ReadTimeout: row.read}, new(gate)).dial()
			c.twice(quick)
			if row.want == 0 {
				time.Sleep(24 * time.Hour)
				c.twice(quick)
				return
			}
			begun := time.Now()
			c.expectEnd()
			if took := time.Since(begun); took < row.want || took > row.want+lazyconn.Lateness {
				t.Errorf("ended after %v, want %v", took, row.want)
			}
		})
	}
}

func (c *client) twice(request string) { c.often(request, 2, 0) }

func (c *client) often(request string, times int, pause time.Duration) {
	for range times {
		c.send(request)
		c.expect(200, "")
		time.Sleep(pause)
	}
}

// The context of a request ends with its connection, unless it is one of those that wait for nothing.
func TestAClientThatLeaves(t *testing.T) {
	for request, ends := range map[string]bool{other: true, declined: false} {
		synctest.Test(t, func(t *testing.T) {
			left := make(chan bool, 1)
			handler := func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-r.Context().Done():
					left <- true
				case <-time.After(time.Minute):
					left <- false
				}
			}
			c := newStand(t, &http.Server{Handler: http.HandlerFunc(handler)}, new(gate)).dial()
			c.send(request)
			synctest.Wait()
			_ = c.Close()
			if got := <-left; got != ends {
				t.Errorf("%q: the context ended: %v, want %v", request, got, ends)
			}
		})
	}
}

// An idle connection is closed at once when the server shuts down, whoever answered on it.
func TestShutdownEndsIdleConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, &http.Server{Handler: http.HandlerFunc(serveSeen), IdleTimeout: time.Hour}, new(gate))
		c := s.dial()
		c.often(quick, 3, time.Second)
		begun := time.Now()
		if err := s.server.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.expectEnd()
		if took := time.Since(begun); took > time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// The hook that the server had is called as before.
func TestConnStateIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states []string
		server := &http.Server{Handler: http.HandlerFunc(serveSeen), ConnState: func(_ net.Conn, s http.ConnState) { states = append(states, s.String()) }}
		c := newStand(t, server, new(gate)).dial()
		c.send(other)
		c.expect(200, "")
		_ = c.Close()
		synctest.Wait()
		if got := strings.Join(states, " "); got != "new active idle closed" {
			t.Errorf("%s", got)
		}
	})
}
