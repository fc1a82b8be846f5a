package follow_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wxbridge/internal/follow"
)

// source fails while it is told to.
type source struct {
	looks  atomic.Int64
	broken atomic.Bool
}

func (s *source) look(context.Context) error {
	s.looks.Add(1)
	if s.broken.Load() {
		return errors.New("the disk is gone")
	}
	return nil
}

type clock struct{ offset atomic.Int64 }

func (c *clock) Now() time.Time { return time.Unix(0, 0).Add(time.Duration(c.offset.Load())) }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newFollower(t *testing.T, s *source, c *clock, log *lockedBuffer) *follow.Follower {
	t.Helper()
	f, err := follow.New(follow.Config{What: "revocations", Look: s.look, Every: time.Millisecond, Limit: time.Second,
		Logger: slog.New(slog.NewJSONHandler(log, nil)), Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTOK10_AFailureIsToldOnceAndRecoveredFrom(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var s source
	var c clock
	var log lockedBuffer
	f := newFollower(t, &s, &c, &log)
	if err := f.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })

	more := func(n int64) {
		t.Helper()
		for deadline, from := time.Now().Add(10*time.Second), s.looks.Load(); s.looks.Load() < from+n; {
			if time.Now().After(deadline) {
				t.Fatal("it does not look any more")
			}
			<-time.After(time.Millisecond)
		}
	}
	more(3)
	s.broken.Store(true)
	more(2)
	c.offset.Add(int64(time.Minute))
	more(10)
	if age := f.Age(); age < time.Minute {
		t.Errorf("age %v of a copy that has not been read for a minute", age)
	}
	if n := strings.Count(log.String(), `"level":"ERROR"`); n != 1 {
		t.Errorf("%d lines for one failure:\n%s", n, log.String())
	}
	s.broken.Store(false)
	more(3)
	if age := f.Age(); age != 0 {
		t.Errorf("age %v after a look that succeeded", age)
	}
	if !strings.Contains(log.String(), "followed again") {
		t.Errorf("the recovery is not told:\n%s", log.String())
	}
	if all, failed := f.Looks(); failed < 10 || failed >= all {
		t.Errorf("%d of %d looks failed", failed, all)
	}
	cancel()
	running.Wait()
}

func TestALookIsBoundedInTime(t *testing.T) {
	f, err := follow.New(follow.Config{What: "x", Every: time.Hour, Limit: time.Millisecond,
		Look:   func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Sync: %v", err)
	}
}

func TestAnIncompleteConfigurationIsRefused(t *testing.T) {
	if _, err := follow.New(follow.Config{What: "x"}); err == nil {
		t.Error("made a follower that cannot look")
	}
}
