package handlers_test

import (
	"regexp"
	"sync"
	"testing"
)

func TestRequestIDsAreDifferentAndPlain(t *testing.T) {
	b := newBridge(t)
	shape := regexp.MustCompile(`^[A-Z2-7]{26}$`)
	var mu sync.Mutex
	var wait sync.WaitGroup
	seen := map[string]bool{}
	for range 4 {
		wait.Go(func() {
			w := b.browser("")
			for range 100 {
				id := w.get("/healthz").Header.Get("X-Request-Id")
				mu.Lock()
				if !shape.MatchString(id) || seen[id] {
					t.Errorf("id %q", id)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wait.Wait()
}
