package simulator

import "sync/atomic"

// calls counts requests per path, faulted ones included. The set of paths is fixed, so counting takes no lock.
type calls struct{ byPath map[string]*atomic.Int64 }

func (c *calls) init(paths []string) {
	c.byPath = make(map[string]*atomic.Int64, len(paths))
	for _, p := range paths {
		c.byPath[p] = new(atomic.Int64)
	}
}

func (c *calls) add(path string) {
	if n := c.byPath[path]; n != nil {
		n.Add(1)
	}
}

func (c *calls) counts() map[string]int64 {
	counts := make(map[string]int64, len(c.byPath))
	for path, n := range c.byPath {
		counts[path] = n.Load()
	}
	return counts
}

// Calls is what GET /_simulator/calls answers: requests per path of WeChat's since the start.
func (s *Server) Calls() map[string]int64 { return s.calls.counts() }
