// Package ratelimit counts what each client address asks for, in bounded memory.
//
// Every address has a budget that refills evenly; it is kept by the generic cell rate algorithm (GCRA, ITU-T I.371) as one
// number, the time at which the budget is whole again. When the table is full, the address whose budget is whole first is
// forgotten: that forgives the least. Whoever wants to be forgotten must spend more from other addresses, all at once, than
// the forgotten budget is worth, so a crowd of addresses that each ask once resets nobody.
package ratelimit

import (
	"container/heap"
	"net/netip"
	"sync"
	"time"
)

// window is what a budget is counted in, and how long an empty one takes to refill.
const window = time.Minute

// DefaultEntries bounds the table at about 7 MB.
const DefaultEntries = 1 << 16

// Limiter is a table of budgets. It is safe for concurrent use.
type Limiter struct {
	interval time.Duration // what one request costs
	entries  int
	now      func() time.Time
	start    time.Time

	mu    sync.Mutex
	table map[key]*budget
	order byWhole
}

// key is a masked address in its 16-byte form.
type key [16]byte

// budget is one address's. Times count from the limiter's start.
type budget struct {
	key     key
	whole   time.Duration // when nothing of it is spent any more
	place   int           // in order
	quiet   time.Duration // no report before
	refused int           // since the last report
}

// New makes a limiter that lets through perMinute requests a minute and address; a client that was quiet may send them all
// at once. entries bounds the addresses known at a time.
func New(perMinute, entries int, now func() time.Time) *Limiter {
	return &Limiter{interval: window / time.Duration(perMinute), entries: entries, now: now, start: now(), table: map[key]*budget{}}
}

// Decision is the answer to one request.
type Decision struct {
	OK         bool
	RetryAfter time.Duration // if not OK: when the next request will be

	// Report asks for a line in the log: the first refusal of an address, and then one a minute at most. Refused counts
	// the refusals it stands for, itself included.
	Report  bool
	Refused int
}

// Allow decides about one request of the client and counts it if it is let through.
func (l *Limiter) Allow(client netip.Addr) Decision {
	k := keyOf(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now().Sub(l.start)
	for range 2 { // two for each that may come: the table gets smaller by itself
		if len(l.order) > 0 && l.order[0].whole <= now {
			l.forgetFirst()
		}
	}
	b := l.table[k]
	if b == nil {
		b = l.add(k, now)
	}
	if b.whole > now+window { // the clock was set back; nobody is locked out for longer than it takes to refill
		b.whole, b.quiet = now+window, now
	}
	whole := max(b.whole, now) + l.interval
	if wait := whole - now - window; wait > 0 {
		return b.refuse(now, wait)
	}
	b.whole = whole
	heap.Fix(&l.order, b.place)
	return Decision{OK: true}
}

// Len is how many addresses are known.
func (l *Limiter) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.table)
}

// add makes a whole budget, in the place of the next to be so if the table is full.
func (l *Limiter) add(k key, now time.Duration) *budget {
	if len(l.order) >= l.entries {
		l.forgetFirst()
	}
	b := &budget{key: k, whole: now, quiet: now}
	heap.Push(&l.order, b)
	l.table[k] = b
	return b
}

func (l *Limiter) forgetFirst() { delete(l.table, heap.Pop(&l.order).(*budget).key) }

func (b *budget) refuse(now, wait time.Duration) Decision {
	d := Decision{RetryAfter: wait}
	b.refused++
	if now >= b.quiet {
		d.Report, d.Refused = true, b.refused
		b.refused, b.quiet = 0, now+window
	}
	return d
}

// keyOf masks an address to what one client has at least: a /64 of IPv6. An IPv4 address in IPv6 form is that IPv4 address.
// What is no address shares one budget.
func keyOf(client netip.Addr) key {
	if !client.IsValid() {
		return key{}
	}
	k := key(client.As16())
	if client.Is6() && !client.Is4In6() {
		clear(k[8:])
	}
	return k
}

// byWhole is a heap of budgets, the one that is whole first at its root.
type byWhole []*budget

func (h byWhole) Len() int           { return len(h) }
func (h byWhole) Less(i, j int) bool { return h[i].whole < h[j].whole }
func (h byWhole) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements heap.Interface.
func (h *byWhole) Push(x any) {
	b := x.(*budget)
	b.place = len(*h)
	*h = append(*h, b)
}

// Pop implements heap.Interface.
func (h *byWhole) Pop() any {
	last := len(*h) - 1
	b := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return b
}
