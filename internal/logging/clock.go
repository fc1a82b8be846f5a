package logging

import (
	"sync/atomic"
	"time"
)

// secondText writes times as RFC 3339 in UTC with microseconds. It remembers the text of the last second, which is most of
// the work and the same for many lines.
type secondText struct {
	last atomic.Pointer[second]
}

type second struct {
	unix int64
	text string // "2026-11-02T10:00:00."
}

func (s *secondText) append(line []byte, t time.Time) []byte {
	last, unix := s.last.Load(), t.Unix()
	if last == nil || last.unix != unix {
		last = &second{unix, t.UTC().Format("2006-01-02T15:04:05.")}
		s.last.Store(last)
	}
	line = append(line, last.text...)
	micro := t.Nanosecond() / 1000
	var digits [6]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + micro%10)
		micro /= 10
	}
	line = append(line, digits[:]...)
	return append(line, 'Z')
}
