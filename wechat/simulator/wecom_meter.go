package simulator

import (
	"sync"
	"time"
)

// meters counts calls in windows. Whoever makes too many is refused for as long as the window is (documented, §1.4).
type meters struct {
	mu    sync.Mutex
	byKey map[meterKey]*meter
}

// meterKey is what is counted and of whom: a path of a corp, say.
type meterKey struct{ what, whose string }

type meter struct {
	began   time.Time
	count   int
	blocked time.Time // refused until then
}

func (m *meters) init() { m.byKey = map[meterKey]*meter{} }

// hit counts one call and says whether it is within the limit.
func (m *meters) hit(key meterKey, limit int, window time.Duration, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.byKey[key]
	if have == nil {
		have = new(meter)
		m.byKey[key] = have
	}
	if now.Before(have.blocked) {
		return false
	}
	if now.Sub(have.began) >= window {
		have.began, have.count = now, 0
	}
	if have.count++; have.count > limit {
		have.blocked = now.Add(window)
		have.count = 0
		return false
	}
	return true
}

// blocked says whether key is being refused, without counting.
func (m *meters) blocked(key meterKey, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.byKey[key]
	return have != nil && now.Before(have.blocked)
}
