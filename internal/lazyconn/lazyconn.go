// Package lazyconn makes small requests cheap on connections that carry many of them, as those of a reverse proxy do.
//
// net/http does to a connection, around every request, what may matter to a slow one: it sets eight deadlines, each of them
// work for the runtime's network poller, and looks out for the client's leaving while the request is answered. Here a
// deadline goes to the poller only when a Read or Write has to obey it, nobody looks out while an answer is made that waits
// for nothing, and a request whose whole answer is known at once is answered before the server sees it.
package lazyconn

import (
	"cmp"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Shortcut answers requests that wait for nothing. Its methods are called from many goroutines.
type Shortcut interface {
	// Knows reports whether these bytes, which it may neither change nor keep, begin a request of the kind. Where the server
	// answers such a request, its context does not end when the client leaves.
	Knows(head []byte) bool

	// Answer appends the whole response, in HTTP/1.1 and with its length, to a request without a body, which it must not
	// keep. With false the server answers, as if nobody else had been asked; what was appended is dropped.
	Answer(response []byte, r *http.Request) ([]byte, bool)
}

// Wrap makes the connections of a listener lazy. They are for this server alone, which must not serve yet: Wrap adds to its
// ConnState. The deadlines that the server sets may be late by [Lateness].
func Wrap(l net.Listener, server *http.Server, s Shortcut) net.Listener {
	before := server.ConnState
	server.ConnState = func(c net.Conn, state http.ConnState) {
		if c, ok := c.(*conn); ok {
			c.idle.Store(state == http.StateIdle)
		}
		if before != nil {
			before(c, state)
		}
	}
	return &listener{Listener: l, server: server, shortcut: s, scratches: sync.Pool{New: newScratch}}
}

type listener struct {
	net.Listener
	server    *http.Server
	shortcut  Shortcut
	scratches sync.Pool // of *scratch
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, listener: l, client: inner.RemoteAddr().String()}
	c.read.tell, c.write.tell = inner.SetReadDeadline, inner.SetWriteDeadline
	return c, nil
}

type conn struct {
	net.Conn
	listener    *listener
	client      string // its address
	read, write side

	idle  atomic.Bool // the server waits for a request, and was given nothing of it
	quick atomic.Bool // what it was given last was a request that waits for nothing

	// Of Reads, which follow one another:
	course course
	pause  pause
}

// Read implements net.Conn.
//
// net/http looks out for the client by a Read of one byte, in a goroutine of its own which it later interrupts. After a quick
// request the first such Read ends at once, without a byte and without an error, as io.Reader allows.
func (c *conn) Read(p []byte) (int, error) {
	if c.quick.Load() {
		c.quick.Store(false)
		if len(p) == 1 {
			return 0, nil
		}
	}
	for {
		c.read.begin()
		n, err := c.Conn.Read(p)
		c.read.end()
		if n == 0 || err != nil {
			if n > 0 {
				c.course.owed = lost // whatever comes after an error
			}
			return n, err
		}
		answered, err := c.takeShortcut(p[:n])
		if err != nil {
			return 0, err
		}
		if !answered {
			return n, nil
		}
	}
}

// takeShortcut answers what was read if it can. What it does not answer is for the server.
//
// A request begins where the one before has ended, and nowhere else: a part of a body might look like one.
func (c *conn) takeShortcut(read []byte) (answered bool, err error) {
	whole := c.course.take(read)
	known := c.listener.shortcut.Knows(read)
	if known && whole && c.idle.Load() && !c.pause.holds() {
		answered, err = c.answer(read)
		c.pause.note(answered)
	}
	if !answered {
		c.idle.Store(false)
		c.quick.Store(known)
	}
	return answered, err
}

func (c *conn) answer(request []byte) (answered bool, err error) {
	s := c.listener.scratches.Get().(*scratch)
	defer c.listener.scratches.Put(s)
	r := s.parse(request)
	if r == nil {
		return false, nil
	}
	r.RemoteAddr = c.client
	response, ok := c.listener.shortcut.Answer(s.response[:0], r)
	s.response = response
	if !ok {
		return false, nil
	}
	c.setDeadlines()
	_, err = c.Write(response)
	return true, err
}

// setDeadlines sets what the server would set for a response, and for the time until the next request.
func (c *conn) setDeadlines() {
	server, now := c.listener.server, time.Now()
	_ = c.write.set(deadline(now, server.WriteTimeout)) // nothing is settled here, so nothing can fail
	_ = c.read.set(deadline(now, cmp.Or(server.IdleTimeout, server.ReadTimeout)))
}

func deadline(now time.Time, timeout time.Duration) time.Time {
	if timeout <= 0 {
		return time.Time{}
	}
	return now.Add(timeout)
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.write.begin()
	defer c.write.end()
	return c.Conn.Write(p)
}

// CloseWrite is for net/http, which so ends a response that its client may not have read yet.
func (c *conn) CloseWrite() error {
	if inner, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return inner.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error { return errors.Join(c.read.set(t), c.write.set(t)) }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.read.set(t) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.write.set(t) }

// pause keeps requests from the shortcut for a while, up to 63 in a row, when it had no answer for those before: asking it
// was work for nothing.
type pause struct{ left, next uint8 }

func (p *pause) holds() bool {
	if p.left == 0 {
		return false
	}
	p.left--
	return true
}

func (p *pause) note(answered bool) {
	if answered {
		p.next = 0
		return
	}
	p.left, p.next = p.next, min(2*p.next+1, 63)
}
