package lazyconn

import (
	"sync"
	"time"
)

// Lateness is how much later than its deadline a Read or Write may end, so that one deadline in the poller does for all that
// are set within that time.
const Lateness = time.Second

// side is the deadline of a connection's Reads or of its Writes.
type side struct {
	tell func(time.Time) error // sets the deadline that the poller knows

	mu   sync.Mutex
	want time.Time // zero: none
	told time.Time // what the poller knows
	busy int       // Reads or Writes that have begun and not ended
}

func (s *side) set(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.want = t
	if s.busy == 0 {
		return nil // the next one settles it
	}
	return s.settle()
}

func (s *side) begin() {
	s.mu.Lock()
	s.busy++
	_ = s.settle() // fails on a closed connection, which what begins will say itself
	s.mu.Unlock()
}

func (s *side) end() {
	s.mu.Lock()
	s.busy--
	s.mu.Unlock()
}

// settle tells the poller what is wanted, unless what it knows will do. What it knows is never earlier than what is wanted:
// so a deadline that it has passed meanwhile has passed indeed.
func (s *side) settle() error {
	deadline := s.want
	if !deadline.IsZero() {
		if late := s.told.Sub(deadline); late >= 0 && late <= Lateness {
			return nil
		}
		deadline = deadline.Add(Lateness)
	} else if s.told.IsZero() {
		return nil
	}
	s.told = deadline
	return s.tell(deadline)
}
