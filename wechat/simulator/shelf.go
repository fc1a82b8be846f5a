package simulator

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// shelf keeps the newest values by key: at most max of them, and none much longer than ttl of the simulator's clock.
// The oldest go first.
type shelf[V any] struct {
	mu    sync.Mutex
	max   int
	ttl   time.Duration
	items map[string]shelved[V]
	queue []queued // oldest first, from head
	head  int
	seq   uint64
}

type shelved[V any] struct {
	value V
	seq   uint64
}

type queued struct {
	key string
	at  int64 // Unix nanoseconds
	seq uint64
}

func newShelf[V any](max int, ttl time.Duration) *shelf[V] {
	return &shelf[V]{max: max, ttl: ttl, items: map[string]shelved[V]{}}
}

// put stores v under key, replacing what was there.
func (s *shelf[V]) put(key string, v V, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	s.items[key] = shelved[V]{value: v, seq: s.seq}
	s.queue = append(s.queue, queued{key: key, at: now.UnixNano(), seq: s.seq})
	s.drop(now)
}

// drop removes what is too old or too many. A key that was put again has a newer entry further back.
func (s *shelf[V]) drop(now time.Time) {
	oldest := now.Add(-s.ttl).UnixNano()
	for s.head < len(s.queue) {
		q := s.queue[s.head]
		if len(s.queue)-s.head <= s.max && q.at >= oldest {
			break
		}
		if item, ok := s.items[q.key]; ok && item.seq == q.seq {
			delete(s.items, q.key)
		}
		s.queue[s.head] = queued{}
		s.head++
	}
	if s.head > 1024 && s.head > len(s.queue)/2 {
		s.queue = append([]queued(nil), s.queue[s.head:]...)
		s.head = 0
	}
}

func (s *shelf[V]) get(key string) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	item, ok := s.items[key]
	return item.value, ok
}

// take removes and returns the value, so that of several callers one gets it.
func (s *shelf[V]) take(key string) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	item, ok := s.items[key]
	delete(s.items, key)
	return item.value, ok
}

// change runs f on the value under the lock and keeps what f made of it. It reports whether the key was there.
func (s *shelf[V]) change(key string, f func(*V)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	item, ok := s.items[key]
	if !ok {
		return false
	}
	f(&item.value)
	s.items[key] = item
	return true
}

// keys lists what is there, in no order.
func (s *shelf[V]) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.items))
}

// changeAll runs f on every value under the lock and keeps what f made of it.
func (s *shelf[V]) changeAll(f func(*V)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, item := range s.items {
		f(&item.value)
		s.items[key] = item
	}
}
