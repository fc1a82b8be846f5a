package handlers

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"wxbridge/db"
)

const (
	scanLook     = 500 * time.Millisecond // between two looks at the store, however many wait
	scanLookTime = 2 * time.Second

	maxScanStreams    = 2_000 // in this process
	maxStreamsOfAScan = 3     // tabs that show the same code
)

// scanWatch tells the streams of this process how far their scans have come. While any of them is open it looks into the store
// now and then, where every process writes: one look serves them all, and reads only the scans that move.
type scanWatch struct {
	store  db.ScanStore
	logger *slog.Logger
	nudge  chan struct{}
	closed chan struct{} // when the process stops: streams end, so that the pages turn to another

	mu      sync.Mutex
	ended   bool
	looking bool
	total   int
	waiting map[string][]*scanStream // by the id of their scan
	failing bool
}

// scanStream is one page that waits.
type scanStream struct {
	id    string
	moved chan db.ScanState // the latest state that was not yet taken
	last  db.ScanState      // what was put there last; only the watch touches it
}

func newScanWatch(store db.ScanStore, logger *slog.Logger) *scanWatch {
	return &scanWatch{store: store, logger: logger, nudge: make(chan struct{}, 1), closed: make(chan struct{}),
		waiting: map[string][]*scanStream{}}
}

// join adds a stream; false if there are too many already.
func (w *scanWatch) join(id string) (*scanStream, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || w.total >= maxScanStreams || len(w.waiting[id]) >= maxStreamsOfAScan {
		return nil, false
	}
	stream := &scanStream{id: id, moved: make(chan db.ScanState, 1), last: db.ScanWaiting}
	w.total++
	w.waiting[id] = append(w.waiting[id], stream)
	if !w.looking {
		w.looking = true
		go w.look()
	}
	return stream, true
}

func (w *scanWatch) leave(stream *scanStream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var rest []*scanStream
	for _, other := range w.waiting[stream.id] {
		if other != stream {
			rest = append(rest, other)
		}
	}
	w.total--
	w.waiting[stream.id] = rest
	if len(rest) == 0 {
		delete(w.waiting, stream.id)
	}
	if w.total == 0 {
		w.wake() // so that look ends before the store is closed
	}
}

// wake makes the next look happen at once: something was written by this process.
func (w *scanWatch) wake() {
	select {
	case w.nudge <- struct{}{}:
	default:
	}
}

// close ends all streams.
func (w *scanWatch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.ended = true
		close(w.closed)
	}
}

// look looks until nobody waits.
func (w *scanWatch) look() {
	tick := time.NewTicker(scanLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-w.nudge:
		}
		w.mu.Lock()
		if w.total == 0 {
			w.looking = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), scanLookTime)
		states, err := w.store.MovedScans(ctx)
		cancel()
		w.tell(states, err)
	}
}

// tell passes on what a look has found. Of a store that fails it speaks once, until it works again.
func (w *scanWatch) tell(states map[string]db.ScanState, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		if !w.failing && w.total > 0 {
			w.logger.Warn("scans cannot be followed until the store works again", "err", err.Error())
		}
		w.failing = true
		return
	}
	w.failing = false
	for id, streams := range w.waiting {
		step, moved := states[id]
		if !moved {
			continue
		}
		for _, stream := range streams {
			if stream.last == step {
				continue
			}
			stream.last = step
			select { // the latest counts
			case <-stream.moved:
			default:
			}
			stream.moved <- step
		}
	}
}
