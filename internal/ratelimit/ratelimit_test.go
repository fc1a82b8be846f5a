package ratelimit_test

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wxbridge/internal/ratelimit"
)

// clock is moved by tests.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func address(n uint32) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], n)
	return netip.AddrFrom4(a)
}

// spend asks n times and tells how often it was let through.
func spend(l *ratelimit.Limiter, client netip.Addr, n int) (through int) {
	for range n {
		if l.Allow(client).OK {
			through++
		}
	}
	return through
}

func TestSRV04_ABudgetIsSpentAndRefillsEvenly(t *testing.T) {
	c := newClock()
	l := ratelimit.New(600, 100, c.Now)
	client := netip.MustParseAddr("203.0.113.9")
	if got := spend(l, client, 600); got != 600 {
		t.Fatalf("%d of 600 are let through", got)
	}
	d := l.Allow(client)
	if d.OK || d.RetryAfter != 100*time.Millisecond {
		t.Errorf("the 601st: %+v", d)
	}
	c.Advance(d.RetryAfter)
	if got := spend(l, client, 2); got != 1 {
		t.Errorf("after the wait %d are let through, want 1", got)
	}
	c.Advance(30 * time.Second)
	if got := spend(l, client, 600); got != 300 {
		t.Errorf("after half a minute %d are let through, want 300", got)
	}
	c.Advance(time.Hour)
	if got := spend(l, client, 700); got != 600 {
		t.Errorf("after an hour %d are let through, want 600: a budget does not pile up", got)
	}
}

func TestSRV04_OneClientIsOneBudget(t *testing.T) {
	for name, row := range map[string]struct {
		a, b string
		same bool
	}{
		"IPv4":                           {"203.0.113.9", "203.0.113.9", true},
		"IPv4 neighbours":                {"203.0.113.9", "203.0.113.8", false},
		"IPv4 in IPv6 form":              {"203.0.113.9", "::ffff:203.0.113.9", true},
		"neighbours in IPv6 form":        {"::ffff:203.0.113.9", "::ffff:203.0.113.8", false},
		"one /64":                        {"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
		"another /64":                    {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		"a zone changes nothing":         {"fe80::1%eth0", "fe80::2%eth1", true},
		"IPv6 of zeros is no IPv4":       {"::1", "0.0.0.1", false},
		"an IPv4 address as an IPv6 one": {"::203.0.113.9", "203.0.113.9", false},
	} {
		t.Run(name, func(t *testing.T) {
			l := ratelimit.New(1, 100, newClock().Now)
			spend(l, netip.MustParseAddr(row.a), 1)
			if got := !l.Allow(netip.MustParseAddr(row.b)).OK; got != row.same {
				t.Errorf("one budget: %v, want %v", got, row.same)
			}
		})
	}
	l := ratelimit.New(1, 100, newClock().Now)
	if first, second := l.Allow(netip.Addr{}), l.Allow(netip.Addr{}); !first.OK || second.OK {
		t.Error("clients without an address do not share one budget")
	}
}

// Many addresses that ask once cannot make the table forget one that has spent its budget.
func TestSRV04_ACrowdOfAddressesResetsNobody(t *testing.T) {
	c := newClock()
	l := ratelimit.New(600, 1000, c.Now)
	attacker := netip.MustParseAddr("203.0.113.9")
	spend(l, attacker, 600)
	for n := range uint32(100_000) {
		l.Allow(address(n))
		if n%1000 == 0 {
			c.Advance(time.Millisecond)
		}
	}
	if got := spend(l, attacker, 600); got > 2 { // 100 ms have passed
		t.Errorf("%d more requests are let through", got)
	}
	if l.Len() > 1000 {
		t.Errorf("%d addresses are known, want at most 1000", l.Len())
	}
}

func TestSRV04_AMillionAddressesLeaveMemoryFlat(t *testing.T) {
	c := newClock()
	l := ratelimit.New(600, ratelimit.DefaultEntries, c.Now)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for n := range uint32(1_000_000) {
		l.Allow(address(n))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if l.Len() != ratelimit.DefaultEntries {
		t.Errorf("%d addresses are known", l.Len())
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("the table holds %d bytes", grown)
	} else {
		t.Logf("the table holds %d bytes", grown)
	}
	c.Advance(time.Minute)
	for n := range uint32(30_000) {
		l.Allow(address(n))
	}
	if l.Len() > 30_000 {
		t.Errorf("%d addresses are known, of which 30,000 asked in the last minute", l.Len())
	}
}

// REL-15: a clock that is set back locks nobody out for longer than a budget takes to refill.
func TestREL15_AClockThatIsSetBack(t *testing.T) {
	c := newClock()
	l := ratelimit.New(60, 100, c.Now)
	client := netip.MustParseAddr("203.0.113.9")
	spend(l, client, 60)
	c.Advance(-time.Hour)
	if d := l.Allow(client); d.OK || d.RetryAfter > time.Minute {
		t.Errorf("%+v", d)
	}
	c.Advance(time.Minute)
	if got := spend(l, client, 60); got != 60 {
		t.Errorf("a minute later %d are let through", got)
	}
}

func TestLOG03_RefusalsAreReportedOnceAMinute(t *testing.T) {
	c := newClock()
	l := ratelimit.New(60, 100, c.Now)
	client := netip.MustParseAddr("203.0.113.9")
	spend(l, client, 60)
	var reports []int
	for range 10 * 180 { // 3 minutes of ten requests a second
		if d := l.Allow(client); d.Report {
			reports = append(reports, d.Refused)
		}
		c.Advance(100 * time.Millisecond)
	}
	if len(reports) != 3 || reports[0] != 1 || reports[1] < 500 {
		t.Errorf("reports %v, want three, the first at once", reports)
	}
}

func TestSRV04_ParallelRequestsSpendOneBudget(t *testing.T) {
	c := newClock()
	l := ratelimit.New(600, 8, c.Now)
	var through atomic.Int64
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			for n := range 100 {
				if l.Allow(netip.MustParseAddr("203.0.113.9")).OK {
					through.Add(1)
				}
				l.Allow(address(uint32(i*100 + n)))
			}
		})
	}
	group.Wait()
	if through.Load() != 600 {
		t.Errorf("%d are let through", through.Load())
	}
}

func BenchmarkAllow(b *testing.B) {
	l := ratelimit.New(600, ratelimit.DefaultEntries, time.Now)
	n := uint32(0)
	b.ReportAllocs()
	for b.Loop() {
		l.Allow(address(n * 7919 % 1_000_000))
		n++
	}
}
