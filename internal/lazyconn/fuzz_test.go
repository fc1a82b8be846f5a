package lazyconn_test

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"wxbridge/internal/lazyconn"
)

// Whatever comes over a connection, in whatever pieces, the answers are those of net/http alone.
func FuzzAnswersAreThoseOfNetHTTP(f *testing.F) {
	const post = "POST /quick HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\n\r\n"
	for _, line := range []string{"Host: b", "Host:", "Connection: close", "Connection: keep-alive", "Content-Length: 0", "Content-Length: 0\r\nContent-Length: 0", "Content-Length: 0\r\nContent-Length: 9", "Content-Length:0", "Content-Length: 00", "Content-Length:\t0", "Content-Length : 0", "Content-Length: 0\r\nTransfer-Encoding: chunked", "Content-Length : 3", "Transfer-Encoding: chunked",
		"Transfer-Encoding: identity", " Content-Length: 3", "X:\r\n Content-Length: 3", "Expect: 100-continue", "Expect: something", "Upgrade: h2c", "TE: trailers", "Trailer: X",
		"A B: c", "A(b: c", "A_b: c", "Ä: b", "A: ä", "A: b\rc", "A: \tb\t", "A: \x00", ": a", "A", "Decline: 1", "decline: 1", "Decline : 1", "Authorization: a", "authorization: b", "Pragma: no-cache"} {
		f.Add([]byte(other), []byte("GET /quick HTTP/1.1\r\nHost: a\r\n"+line+"\r\n\r\n"), []byte(quick))
		f.Add([]byte(other), []byte(quick), []byte("GET /quick HTTP/1.1\r\n"+line+"\r\n\r\n"))
		f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n"+line+"\r\n\r\n"), []byte(quick), []byte(quick))
	}
	for _, host := range []string{"a:80", "[::1]:80", "a b", "a/b", "a@b", "", "ä", "a%20b", "A.B-c_d"} {
		f.Add([]byte(other), []byte("GET /quick HTTP/1.1\r\nHost: "+host+"\r\n\r\n"), []byte(quick))
	}
	for _, start := range []string{"GET /quick HTTP/1.0", "GET /quick HTTP/1.2", "GET /quick HTTP/2.0", "GET /quick http/1.1", "GET /quick", "GET  /quick HTTP/1.1", "GET /quick  HTTP/1.1",
		"get /quick HTTP/1.1", "GET /quick HTTP/1.1 ", "HEAD /quick HTTP/1.1", "PRI * HTTP/2.0", "GET http://b/quick HTTP/1.1", "GET /quick HTTP/1.11", "GET /quick HTTP/1.1\r"} {
		f.Add([]byte(other), []byte(start+"\r\nHost: a\r\n\r\n"), []byte(quick))
	}
	f.Add([]byte(other), []byte(quick+quick), []byte(quick))
	f.Add([]byte(post), []byte(quick), []byte(quick))
	f.Add([]byte(post), []byte("12345678901234567890123456789012"), []byte(quick))
	f.Add([]byte(post+"1234567890"), []byte("1234567890123456789012"), []byte(quick))
	f.Add([]byte(post+"12345678901234567890123456789012"), []byte(quick), []byte(quick))
	f.Add([]byte(post), []byte("12345678901234567890123456789012"+quick), []byte(quick))
	for _, line := range []string{"Content-Length: 3", "Content-Length:3", "Content-Length: 03", "Content-Length: +3", "Content-Length: 3 ", "Content-Length: 3\r\nContent-Length: 3", "Content-Length: 3\r\nContent-Length: 0",
		"Content-Length: 0\r\nContent-Length: 3", "Content-Length: 3\r\n 0", "Content-Length: 3\r\nTransfer-Encoding: chunked", "Content-Length: 3\r\nExpect: 100-continue", "X: a\rContent-Length: 3",
		"Content-Length: 3\r\nX: a\nContent-Length: 0", "Content_Length: 3", "Content-Length\t: 3", "Content-Length: 3,3", "Content-Lengthy: 3"} {
		f.Add([]byte(other), []byte("POST /other HTTP/1.1\r\nHost: a\r\n"+line+"\r\n\r\nabc"), []byte(quick))
		f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\n"+line+"\r\n\r\n"), []byte("abc"), []byte(quick))
	}
	f.Add([]byte(other), []byte(post), []byte(quick))
	f.Add([]byte(quick[:9]), []byte(quick[9:]), []byte(quick))
	f.Add([]byte(other), []byte(quick[:9]), []byte(quick[9:]+quick))
	f.Add([]byte("\r\n"+other), []byte("\r\n"+quick), []byte(quick))
	f.Fuzz(func(t *testing.T, first, second, third []byte) {
		if len(first)+len(second)+len(third) > 4000 {
			t.Skip("with its buffer nearly full net/http reads single bytes, which the replay takes for its lookout")
		}
		pieces := [][]byte{first, second, third}
		plain, lazy := exchange(pieces, nil), exchange(pieces, new(gate))
		if plain != lazy {
			t.Errorf("net/http answers\n%s\nwith lazy connections\n%s", plain, lazy)
		}
	})
}

// The seeds of the fuzz test would prove nothing if the shortcut were never taken.
func TestTheFuzzTestTakesTheShortcut(t *testing.T) {
	g := new(gate)
	exchange([][]byte{[]byte(other), []byte(quick), []byte(quick)}, g)
	if n := g.answered.Load(); n != 2 {
		t.Errorf("taken %d times of 2", n)
	}
}

// exchange is what a server answers to these pieces, until it or they end.
func exchange(pieces [][]byte, s lazyconn.Shortcut) string {
	c := &replay{pieces: slices.Clone(pieces), past: make(chan struct{}), closed: make(chan struct{})}
	server := &http.Server{Handler: http.HandlerFunc(serveSeen), ErrorLog: log.New(io.Discard, "", 0), ReadTimeout: time.Hour, WriteTimeout: time.Hour, IdleTimeout: time.Hour}
	var l net.Listener = &once{conn: c, done: make(chan struct{})}
	if s != nil {
		l = lazyconn.Wrap(l, server, s)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	<-c.closed
	_ = server.Close()
	<-ended
	return c.answers.String()
}

// once is a listener with one connection.
type once struct {
	conn net.Conn
	done chan struct{}
	stop sync.Once
}

func (o *once) Accept() (net.Conn, error) {
	if c := o.conn; c != nil {
		o.conn = nil
		return c, nil
	}
	<-o.done
	return nil, net.ErrClosed
}
func (o *once) Close() error   { o.stop.Do(func() { close(o.done) }); return nil }
func (o *once) Addr() net.Addr { return &net.TCPAddr{} }

// replay is a connection whose client sends a piece whenever the server reads, but nothing while the server looks out for it.
type replay struct {
	pieces [][]byte

	mu      sync.Mutex
	past    chan struct{} // closed while the deadline of Reads lies in the past
	isPast  bool
	answers bytes.Buffer
	closed  chan struct{}
	close   sync.Once
}

func (r *replay) Read(p []byte) (int, error) {
	if len(p) == 1 {
		r.mu.Lock()
		past := r.past
		r.mu.Unlock()
		select {
		case <-past:
			return 0, os.ErrDeadlineExceeded
		case <-r.closed:
			return 0, net.ErrClosed
		}
	}
	for len(r.pieces) > 0 {
		if len(r.pieces[0]) == 0 {
			r.pieces = r.pieces[1:]
			continue
		}
		n := copy(p, r.pieces[0])
		r.pieces[0] = r.pieces[0][n:]
		return n, nil
	}
	return 0, io.EOF
}

func (r *replay) Write(p []byte) (int, error) { return r.answers.Write(p) }

func (r *replay) SetReadDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	isPast := !t.IsZero() && t.Before(time.Now())
	if isPast && !r.isPast {
		close(r.past)
	} else if !isPast && r.isPast {
		r.past = make(chan struct{})
	}
	r.isPast = isPast
	return nil
}

func (r *replay) SetWriteDeadline(time.Time) error { return nil }
func (r *replay) SetDeadline(t time.Time) error    { return r.SetReadDeadline(t) }
func (r *replay) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (r *replay) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }
func (r *replay) Close() error                     { r.close.Do(func() { close(r.closed) }); return nil }
