package handlers

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
)

const (
	heartbeat   = 15 * time.Second // below the idle times of proxies, which begin at 30 s
	streamWrite = 10 * time.Second // for one event to a slow browser
	streamRetry = 1500             // milliseconds until a browser comes back

	scanGone = "expired" // what the page is told of a scan that is no more
)

var errNoStream = &apiError{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", retryAfter: 5,
	description: "Too many pages are waiting for a scan. Try again in a moment."}

// scanEvents follows a scan of this browser's as server-sent events, until it ends. Every stream begins with the present state,
// so a connection that broke has missed nothing.
func (s *Server) scanEvents(c *gin.Context) error {
	p, err := query(c, "scan")
	if err != nil {
		return err
	}
	f, err := s.scanOf(c.Request, p["scan"])
	switch {
	case err != nil && !isScanHandle(p["scan"]):
		return errScanOver.because(err)
	case err != nil: // the page outlived its cookie: it hears only what a stream says
		_ = openEventStream(c).send("event: state\ndata: " + scanGone) // if the browser has gone, nobody needs to hear it
		return nil
	}
	stream, ok := s.scans.join(f.State)
	if !ok {
		return errNoStream
	}
	defer s.scans.leave(stream)
	step, left, err := s.scanNow(c, stream.id)
	if err != nil {
		return err // while the answer can still say so
	}
	out := openEventStream(c)
	for told := ""; ; {
		if err == nil && step != told {
			if out.send("event: state\ndata: "+step) != nil || endsStream(step) {
				return nil
			}
			told = step
		}
		if !s.awaitScan(c, out, stream, left) {
			return nil
		}
		step, left, err = s.scanNow(c, stream.id)
	}
}

// awaitScan waits until there is a reason to look at the scan again, and sends heartbeats meanwhile. It is false when the
// browser has gone, or the process stops: the page then turns to another.
func (s *Server) awaitScan(c *gin.Context, out eventStream, stream *scanStream, left time.Duration) bool {
	expiry, beat := time.NewTimer(left), time.NewTimer(heartbeat)
	defer expiry.Stop()
	defer beat.Stop()
	select {
	case <-stream.moved:
	case <-expiry.C:
	case <-beat.C:
		return out.send(":") == nil
	case <-c.Request.Context().Done():
		return false
	case <-s.scans.closed:
		return false
	}
	return true
}

// scanNow is what the page is told of a scan, and when to look at it again at the latest.
func (s *Server) scanNow(c *gin.Context, id string) (step string, left time.Duration, err error) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), scanLookTime)
	defer cancel()
	scan, err := s.cfg.Store.Scan(ctx, id)
	switch {
	case isNotFound(err):
		return scanGone, 0, nil
	case err != nil:
		return "", scanLookTime, err
	}
	return string(scan.State), max(scan.ExpiresAt.Sub(s.cfg.Now()), time.Millisecond), nil
}

// endsStream reports whether nothing comes after the state that the page could wait for.
func endsStream(step string) bool {
	return step != string(db.ScanWaiting) && step != string(db.ScanScanned)
}

// eventStream is an answer of server-sent events (WHATWG HTML §9.2).
type eventStream struct {
	c       *gin.Context
	control *http.ResponseController
}

// openEventStream begins the answer. The server's limits on reading and writing are for answers that end: a stream has a limit
// for each event instead.
func openEventStream(c *gin.Context) eventStream {
	out := eventStream{c: c, control: http.NewResponseController(c.Writer)}
	_ = out.control.SetReadDeadline(time.Time{}) // else net/http takes the browser for gone; an error means that there is none
	header := c.Writer.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx passes on each event as it comes
	c.Status(http.StatusOK)
	_ = out.send(fmt.Sprintf("retry: %d", streamRetry)) // if the browser has gone, the next event notices
	return out
}

// send writes one block of lines.
func (o eventStream) send(lines string) error {
	_ = o.control.SetWriteDeadline(time.Now().Add(streamWrite))
	if _, err := o.c.Writer.WriteString(lines + "\n\n"); err != nil {
		return err
	}
	return o.control.Flush()
}
