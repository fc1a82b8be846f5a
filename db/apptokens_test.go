package db_test

import (
	"context"
	"sync"
	"testing"
	"time"
)

// A caller may give up while the writer is at their operation, of which the race detector then tells what both touch.
func TestCallersOfAppTokensWhoGiveUp(t *testing.T) {
	store := open(t, "sqlite://"+newPath(t), time.Now)
	var all sync.WaitGroup
	for caller := range 8 {
		all.Go(func() {
			for n := range 100 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(n*20)*time.Microsecond)
				_ = store.UnlockAppToken(ctx, "key", "owner")
				_ = store.SaveAppToken(ctx, "key", string(rune('a'+caller)), []byte("sealed"))
				cancel()
			}
		})
	}
	all.Wait()
}
