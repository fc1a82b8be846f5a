// Package follow keeps a copy in memory in step with a source that others write to: it looks again on a beat, keeps what
// it has while the source cannot be read, says so once, and knows how old the copy is.
package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Config describes a copy and how it is brought up to date. All fields are required.
type Config struct {
	What  string                          // what is followed, for the log: "revocations"
	Look  func(ctx context.Context) error // brings the copy up to date; never called twice at once
	Every time.Duration                   // from the end of one look to the start of the next

	// Limit is how long one look may take.
	Limit time.Duration

	Logger *slog.Logger
	Now    func() time.Time
}

// Follower looks again and again. It is safe for concurrent use.
type Follower struct {
	c       Config
	looking sync.Mutex // held during a look

	mu       sync.Mutex
	since    time.Time // when the copy was last known to be up to date; zero before the first look
	looks    uint64
	failures uint64
	failing  bool
}

// New makes a follower that has not looked yet.
func New(c Config) (*Follower, error) {
	if c.What == "" || c.Look == nil || c.Every <= 0 || c.Limit <= 0 || c.Logger == nil || c.Now == nil {
		return nil, errors.New("follow: every field of the configuration is required")
	}
	return &Follower{c: c}, nil
}

// Sync looks once, now. Call it before the copy is first used.
func (f *Follower) Sync(ctx context.Context) error {
	f.looking.Lock()
	defer f.looking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, f.c.Limit)
	defer cancel()
	began := f.c.Now()
	err := f.c.Look(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	if err != nil {
		f.failures++
		return fmt.Errorf("follow %s: %w", f.c.What, err)
	}
	f.since = began // what was written later may not have been seen
	return nil
}

// Run looks until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	timer := time.NewTimer(f.c.Every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := f.Sync(ctx)
		if ctx.Err() != nil {
			return
		}
		f.tell(err)
		timer.Reset(f.c.Every)
	}
}

// tell logs the first failure of several, and the recovery.
func (f *Follower) tell(err error) {
	age := f.Age()
	f.mu.Lock()
	was := f.failing
	f.failing = err != nil
	f.mu.Unlock()
	switch {
	case err != nil && !was:
		f.c.Logger.Error("cannot be followed; what is known stays in force", "what", f.c.What,
			"age", age.Round(time.Millisecond).String(), "error", err.Error())
	case err == nil && was:
		f.c.Logger.Info("followed again", "what", f.c.What)
	}
}

// Age is how long ago the copy was last known to be up to date; 0 before the first look that succeeded.
func (f *Follower) Age() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.since.IsZero() {
		return 0
	}
	return f.c.Now().Sub(f.since)
}

// Looks counts the looks so far, and those of them that failed.
func (f *Follower) Looks() (all, failed uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looks, f.failures
}
