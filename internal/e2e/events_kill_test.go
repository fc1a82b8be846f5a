package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// REL-03, WX-13, WX-14: the process is killed again and again while WeChat pushes. What was not answered comes again, as from
// WeChat; in the end every push was applied once and a backend was told of every one, at least once.
func TestREL03_EveryPushIsAppliedOnceThroughKill9(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary and kills it")
	}
	besideOthers(t)
	binary := buildBinary(t)
	address := freeAddress(t)
	p := &product{bridge: "http://" + address, log: new(logBuffer), http: newHTTPClient(t)}
	p.findApps(t, p.bridge)
	p.simulator = startSimulator(t, p.bridge).URL
	p.set(t, "mark-fail", "off")
	shop := startBackend(t, "shop")
	data := t.TempDir()
	env := append(p.serveEnv(address, p.simulator), p.eventEnv()...)
	env = append(env, "WXBRIDGE_DATABASE=sqlite://"+filepath.Join(data, "wxbridge.db"),
		webhooksFile(t, map[string]*backend{"shop": shop}, map[string]string{"shop": "events: ['*']"}))

	serve := startChild(t, p, binary, data, env)
	token := p.phone("bob").login(t).access
	// 50 a second for a soak of 200 seconds; a short run pushes as many in a second, but fewer.
	storm := &storm{product: p, count: times(400, 10_000), every: 20 * time.Millisecond, base: time.Now().Unix() - 200}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		storm.run()
	}()
	for kill := range 3 {
		at := int64(storm.count) * int64(kill+1) / 4
		waitFor(t, 5*time.Minute, "pushes", func() bool { return storm.answered.Load() >= at })
		serve.kill(t)
		serve = startChild(t, p, binary, data, env)
	}
	<-ended
	storm.check(t)
	checkPushesTold(t, shop, storm.count)
	// Following and leaving took turns, and the last push of them is the newest.
	if got, want := p.subscribed(t, token), storm.lastFollows(); got != want {
		t.Errorf("/me says %v, want %v", got, want)
	}
	serve.kill(t)
}

// storm pushes at a steady pace, whatever becomes of the pushes before.
type storm struct {
	product *product
	count   int
	every   time.Duration
	base    int64 // CreateTime of the first

	answered atomic.Int64
	slowest  atomic.Int64 // ms
	repeats  atomic.Int64
	mu       sync.Mutex
	faults   []string
}

// follows tells the pushes about following, which are of bob, from the messages, which are of a crowd.
func (s *storm) follows(i int) bool { return i%5 == 0 }

func (s *storm) lastFollows() bool { return (s.count-1)/5%2 == 0 }

// event is the push number i, the same however often it is sent.
func (s *storm) event(i int) (person string, event map[string]any) {
	at := fmt.Sprint(s.base + int64(i)*200/int64(s.count))
	if !s.follows(i) {
		return fmt.Sprint("crowd-", i%40), map[string]any{"name": "text", "content": fmt.Sprint("push ", i),
			"fields": map[string]string{"MsgId": fmt.Sprint(1<<62 + i), "CreateTime": at}}
	}
	name := "subscribe"
	if i/5%2 == 1 {
		name = "unsubscribe"
	}
	return "bob", map[string]any{"name": name, "fields": map[string]string{"CreateTime": at, "EventKey": fmt.Sprint("push ", i)}}
}

func (s *storm) run() {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	var all sync.WaitGroup
	for i := range s.count {
		<-tick.C
		all.Go(func() { s.send(i) })
	}
	all.Wait()
}

// send repeats a push until it is answered, and every tenth once more after that.
func (s *storm) send(i int) {
	person, event := s.event(i)
	for deadline := time.Now().Add(time.Minute); ; {
		report, err := s.product.tryPush(person, event)
		switch {
		case err != nil:
			s.fault("push %d: %v", i, err)
			return
		case report.Delivered:
			s.note(report)
			if s.answered.Add(1)%10 == 0 {
				s.repeats.Add(1)
				_, _ = s.product.tryPush(person, event)
			}
			return
		case time.Now().After(deadline):
			s.fault("push %d was not taken in a minute: %s", i, report.Problem)
			return
		}
		<-afterMillis(50)
	}
}

func (s *storm) note(report pushed) {
	took := report.Attempts[len(report.Attempts)-1].DurationMS
	for {
		slowest := s.slowest.Load()
		if took <= slowest || s.slowest.CompareAndSwap(slowest, took) {
			return
		}
	}
}

func (s *storm) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

func (s *storm) check(t *testing.T) {
	t.Helper()
	for _, f := range s.faults {
		t.Error(f)
	}
	if got := s.answered.Load(); got != int64(s.count) {
		t.Errorf("%d of %d pushes were answered", got, s.count)
	}
	if slowest := s.slowest.Load(); slowest >= 1000 {
		t.Errorf("an answer took %d ms", slowest)
	}
	t.Logf("%d pushes, %d of them repeated after their answer; the slowest answer took %d ms", s.count, s.repeats.Load(), s.slowest.Load())
}

// checkPushesTold waits until the backend was told of every push, and looks for pushes that became two events.
func checkPushesTold(t *testing.T, b *backend, count int) {
	t.Helper()
	var told map[string]map[string]bool // push → ids of its events
	requests := 0
	waitFor(t, 2*time.Minute, "the backend to be told of everything", func() bool {
		told, requests = map[string]map[string]bool{}, 0
		for _, e := range b.all() {
			if !strings.HasPrefix(e.Type, "official_account.") {
				continue
			}
			requests++
			push := markOf(e)
			if told[push] == nil {
				told[push] = map[string]bool{}
			}
			told[push][e.ID] = true
		}
		return len(told) >= count
	})
	for push, events := range told {
		if !strings.HasPrefix(push, "push ") || len(events) != 1 {
			t.Errorf("%s was applied %d times", push, len(events))
		}
	}
	if len(told) != count {
		t.Errorf("told of %d pushes, want %d", len(told), count)
	}
	t.Logf("the backend was told of %d pushes in %d requests", len(told), requests)
}

// markOf is the mark that storm has put into a push: the text of a message, the key of an event.
func markOf(e received) string {
	if content, ok := e.Data["content"].(string); ok {
		return content
	}
	raw, _ := e.Data["raw"].(string)
	_, mark, _ := strings.Cut(raw, "<EventKey><![CDATA[")
	mark, _, _ = strings.Cut(mark, "]]>")
	return mark
}
