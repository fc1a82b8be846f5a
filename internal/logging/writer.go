package logging

import (
	"io"
	"sync"
	"time"
)

const (
	// flushDelay is how long a line may wait for others. The first line after a pause does not wait.
	flushDelay = 100 * time.Millisecond

	// flushSize is the number of bytes that do not wait for the delay, and maxBuffered the most that are kept.
	flushSize   = 64 << 10
	maxBuffered = 256 << 10

	// maxKept bounds the room for one line that is kept for another.
	maxKept = 16 << 10
)

// Writer collects lines and writes many of them with one call, on a goroutine of its own. It drops none: a caller who finds
// the buffer full writes it out and waits for that. What the underlying writer refuses is lost, and the next lines are tried
// again. It is safe for concurrent use.
type Writer struct {
	out   io.Writer
	lines sync.Pool // of *[]byte, room for a line under construction
	clock secondText

	mu     sync.Mutex // guards next and closed
	next   []byte
	closed bool

	writing sync.Mutex // held during a call of out, which keeps lines in their order; guards spare
	spare   []byte

	wake  chan struct{} // there is something to write
	full  chan struct{} // there is too much to wait for more
	stop  chan struct{}
	ended chan struct{}
}

// NewWriter starts a writer over out. Close ends it.
func NewWriter(out io.Writer) *Writer {
	w := &Writer{out: out, lines: sync.Pool{New: newLine}, wake: make(chan struct{}, 1), full: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{})}
	go w.serve()
	return w
}

func newLine() any {
	line := make([]byte, 0, 512)
	return &line
}

// Write implements io.Writer for what is not a line of the log: p is written before it returns, after all that came before.
func (w *Writer) Write(p []byte) (int, error) {
	w.add(p, true)
	return len(p), nil
}

// Flush writes all that was added before.
func (w *Writer) Flush() {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	lines := w.next
	w.next = w.spare[:0]
	w.mu.Unlock()
	if len(lines) > 0 {
		_, _ = w.out.Write(lines) // there is nowhere to tell of an error
	}
	w.spare = lines
}

// Close writes what is left and ends the goroutine. Later lines are written at once.
func (w *Writer) Close() {
	w.mu.Lock()
	again := w.closed
	w.closed = true
	w.mu.Unlock()
	if !again {
		close(w.stop)
	}
	<-w.ended
	w.Flush()
}

// add appends a line; an urgent one is written before add returns.
func (w *Writer) add(line []byte, urgent bool) {
	for {
		w.mu.Lock()
		before := len(w.next)
		if before == 0 || before+len(line) <= maxBuffered {
			w.next = append(w.next, line...)
			after, closed := len(w.next), w.closed
			w.mu.Unlock()
			switch {
			case urgent || closed:
				w.Flush()
			case before < flushSize && after >= flushSize:
				signal(w.full)
			case before == 0:
				signal(w.wake)
			}
			return
		}
		w.mu.Unlock()
		w.Flush()
	}
}

// serve writes the first line at once, and what comes within the next moment together.
func (w *Writer) serve() {
	defer close(w.ended)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-w.wake:
		case <-w.full:
		case <-w.stop:
			return
		}
		w.Flush()
		pause.Reset(flushDelay)
		select {
		case <-pause.C:
		case <-w.full:
			w.Flush()
		case <-w.stop:
			return
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
