package jwtauth

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// memory remembers tokens whose signature and claims have been checked, so that
// the next request with the same text costs a map lookup. It is bounded in bytes,
// and with that in entries.
//
// What can change from one request to the next is not remembered but asked each
// time: the clock, the key, the revocations. Only tokens that passed every check
// come in, so nobody without tokens of the issuer can fill it or push others out.
// A token is found by its whole text; there is no hash to collide.
//
// When it is full a hand goes round the entries and drops the first that has not
// been used since it last came by ("second chance"). So tokens in use outlive any
// number of tokens seen once, and a hit writes one flag at most. The text of the
// tokens is held in the clear, as it is in the requests they come in.
type memory[C any] struct {
	keys     KeySource
	now      func() time.Time
	unpack   func(*packed) C
	checkNow func(c C, notBefore, now time.Time) error // asks what depends on the moment

	shardBytes int
	shards     [memoryShards]shard
}

const (
	memoryShards = 1 << tailBits
	tailBits     = 4

	// entryBytes is what an entry costs beside its text: itself, its places in map
	// and ring. The allocator rounds texts up, by an eighth at most.
	entryBytes = 192
)

type shard struct {
	mu    sync.RWMutex
	byRaw map[string]*remembered
	ring  []*remembered
	hand  int // index into ring
	bytes int

	hits, misses atomic.Uint64
	_            [64]byte // keeps the counters of two shards off one cache line
}

// remembered is one token that was good. All but place, key and used never change.
type remembered struct {
	packed
	expires int64 // Unix seconds from which on no verifier accepts it
	size    int   // bytes

	place int                         // in the ring; the shard's lock guards it
	used  atomic.Bool                 // since the hand came by
	key   atomic.Pointer[keyMaterial] // that made the signature
}

// CacheStats tells how a memory of checked tokens does.
type CacheStats struct {
	Hits, Misses uint64 // since the start, of good tokens: known, or verified from their text
	Entries      int
	Bytes        int // estimated
}

// newMemory makes a memory of at most so many bytes; nil, which remembers
// nothing, if bytes is 0.
func newMemory[C any](bytes int, keys KeySource, now func() time.Time, unpack func(*packed) C, checkNow func(c C, notBefore, now time.Time) error) *memory[C] {
	if bytes <= 0 {
		return nil
	}
	m := &memory[C]{keys: keys, now: now, unpack: unpack, checkNow: checkNow, shardBytes: bytes / memoryShards}
	for i := range m.shards {
		m.shards[i].byRaw = map[string]*remembered{}
	}
	return m
}

func (m *memory[C]) shardOf(raw string) *shard { return &m.shards[tailHash(raw)] }

// tailHash is a number below memoryShards, made of the end of a token, which is a
// signature's and so random.
func tailHash(raw string) uint64 {
	if len(raw) < 8 {
		return 0
	}
	return binary.LittleEndian.Uint64([]byte(raw[len(raw)-8:])) * 0x9E3779B97F4A7C15 >> (64 - tailBits)
}

// recall answers for a token that was good before, if it is known. A refusal of a
// known token is final, and ends its entry.
func (m *memory[C]) recall(ctx context.Context, raw string) (c C, known bool, err error) {
	if m == nil {
		return c, false, nil
	}
	s := m.shardOf(raw)
	s.mu.RLock()
	e := s.byRaw[raw]
	s.mu.RUnlock()
	if e == nil {
		return c, false, nil
	}
	good, err := e.keyStillGood(ctx, m.keys)
	if err == nil && !good {
		m.forget(e)
		return c, false, nil
	}
	if err == nil {
		c = m.unpack(&e.packed)
		err = m.checkNow(c, e.time(notBefore), m.now())
	}
	if err != nil {
		if errors.Is(err, ErrInvalid) {
			m.forget(e)
		}
		var none C
		return none, true, err
	}
	s.hits.Add(1)
	if !e.used.Load() {
		e.used.Store(true)
	}
	return c, true, nil
}

// put takes in a token that the key made and that was not known, which is a miss,
// at the cost of others if need be. One that is larger than a shard is left out.
func (m *memory[C]) put(p packed, key Key, leeway time.Duration, now time.Time) {
	e := &remembered{packed: p, expires: p.time(expiresAt).Add(leeway).Unix(), size: entryBytes + len(p.text)*9/8}
	e.key.Store(key.m)
	s := m.shardOf(e.raw())
	s.misses.Add(1)
	if e.size > m.shardBytes {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.byRaw[e.raw()]; there {
		return
	}
	for s.bytes+e.size > m.shardBytes {
		s.dropOne(now.Unix())
	}
	e.place = len(s.ring)
	s.ring = append(s.ring, e)
	s.byRaw[e.raw()] = e
	s.bytes += e.size
}

// dropOne moves the hand to an entry that has expired or was not used since it
// last came by, and drops it.
func (s *shard) dropOne(now int64) {
	for {
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		e := s.ring[s.hand]
		if !e.used.Load() || now >= e.expires {
			s.remove(e)
			s.hand++ // past the newest, which took its place
			return
		}
		e.used.Store(false)
		s.hand++
	}
}

// forget drops an entry that is no good any more.
func (m *memory[C]) forget(e *remembered) {
	s := m.shardOf(e.raw())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byRaw[e.raw()] == e {
		s.remove(e)
	}
}

func (s *shard) remove(e *remembered) {
	last := len(s.ring) - 1
	s.ring[e.place] = s.ring[last]
	s.ring[e.place].place = e.place
	s.ring[last] = nil
	s.ring = s.ring[:last]
	delete(s.byRaw, e.raw())
	s.bytes -= e.size
}

func (m *memory[C]) stats() CacheStats {
	var sum CacheStats
	if m == nil {
		return sum
	}
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.RLock()
		sum.Entries += len(s.ring)
		sum.Bytes += s.bytes
		s.mu.RUnlock()
		sum.Hits += s.hits.Load()
		sum.Misses += s.misses.Load()
	}
	return sum
}

// keyStillGood reports whether the key that made an entry's signature is still
// the one its kid names. An error is what a verification would end with now.
func (e *remembered) keyStillGood(ctx context.Context, keys KeySource) (bool, error) {
	made := e.key.Load()
	key, err := findKey(ctx, keys, header{kid: made.id, alg: made.method.Alg()})
	switch {
	case err != nil:
		return false, err
	case key.m == made:
		return true, nil
	case !sameKey(Key{made}, key):
		return false, nil
	}
	e.key.Store(key.m) // the same key, read anew
	return true, nil
}
