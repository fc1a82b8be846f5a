package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/wechat/simulator"
)

// pushStand is a bridge as a process of its own, with a simulator that pushes to it and with endpoints.
type pushStand struct {
	*product
	binary, dir string
	env         []string
	bridge      *child
}

func startPushStand(t *testing.T, webhooks string) *pushStand {
	t.Helper()
	address := freeAddress(t)
	s := &pushStand{product: &product{bridge: "http://" + address, log: new(logBuffer), http: newHTTPClient(t)}, binary: buildBinary(t), dir: t.TempDir()}
	s.findApps(t, s.product.bridge)
	s.simulator = startPushingSimulator(t, s.product.bridge)
	s.env = append(s.serveEnv(address, s.simulator), webhooks, "WXBRIDGE_DATABASE=sqlite://"+filepath.Join(s.dir, "wxbridge.db"),
		"WXBRIDGE_OFFICIAL_TOKEN="+s.official.Token, "WXBRIDGE_OFFICIAL_ENCODING_AES_KEY="+s.official.EncodingAESKey)
	s.bridge = startChild(t, s.product, s.binary, s.dir, s.env)
	return s
}

// startPushingSimulator is startSimulator with the bridge as the server of the official account.
func startPushingSimulator(t *testing.T, bridge string) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	origin := fmt.Sprintf("http://localhost:%d", server.Listener.Addr().(*net.TCPAddr).Port)
	apps := simulator.DevApps(hostOf(t, bridge))
	for i := range apps {
		if apps[i].Provider == simulator.ProviderOfficialAccount {
			apps[i].EventsURL = bridge + "/events/official-account"
		}
	}
	sim, err := simulator.New(simulator.Config{Apps: apps, PublicURL: origin, BridgeURL: bridge})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = sim
	server.Start()
	t.Cleanup(server.Close)
	return origin
}

// restart kills the bridge with SIGKILL and starts it again.
func (s *pushStand) restart(t *testing.T) {
	t.Helper()
	s.bridge.kill(t)
	s.bridge = startChild(t, s.product, s.binary, s.dir, s.env)
}

// say lets people write numbered messages at a rate, each person one after the other, and returns for each person the
// numbers that WeChat has seen acknowledged.
func (s *pushStand) say(t *testing.T, people, messages int, rate float64) (acknowledged map[string][]int, slowest time.Duration) {
	t.Helper()
	acknowledged = map[string][]int{}
	queues := make([]chan int, people)
	var mu sync.Mutex
	var group sync.WaitGroup
	for n := range people {
		person := fmt.Sprintf("talker-%d", n)
		queues[n] = make(chan int, messages)
		group.Go(func() {
			for number := range queues[n] {
				var report pushed
				err := s.tryControl(http.MethodPost, "/_simulator/events", map[string]any{"person": person, "appid": s.official.AppID,
					"event": text(fmt.Sprint(number))}, &report)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				if report.Delivered {
					acknowledged[person] = append(acknowledged[person], number)
				}
				for _, a := range report.Attempts {
					if a.Status == http.StatusOK {
						slowest = max(slowest, time.Duration(a.DurationMS)*time.Millisecond)
					}
				}
				mu.Unlock()
			}
		})
	}
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	for n := range messages {
		<-tick.C
		queues[n%people] <- n
	}
	tick.Stop()
	for _, q := range queues {
		close(q)
	}
	group.Wait()
	return acknowledged, slowest
}

// checkTold waits until all that was acknowledged has arrived and checks the order of each person's. The first arrival of a
// message counts: a repeat may come later.
func checkTold(t *testing.T, p *product, b *backend, acknowledged map[string][]int) {
	t.Helper()
	missing := func() (n int) {
		contents := map[string]bool{}
		for _, e := range b.all() {
			if content, ok := e.Data["content"].(string); ok {
				contents[content] = true // of an event that was not acknowledged, too
			}
		}
		for _, numbers := range acknowledged {
			for _, number := range numbers {
				if !contents[fmt.Sprint(number)] {
					n++
				}
			}
		}
		return n
	}
	want := 0
	for _, numbers := range acknowledged {
		want += len(numbers)
	}
	waitFor(t, 100*time.Second, fmt.Sprintf("all %d acknowledged messages", want), func() bool { return missing() == 0 })
	checkOrder(t, b)
	t.Logf("%d messages acknowledged, %d deliveries", want, len(b.all()))
}

// checkOrder: what arrives of one person for the first time is never older than what has arrived before. One event has one
// id, in every delivery.
func checkOrder(t *testing.T, b *backend) {
	t.Helper()
	last, ids := map[any]int{}, map[string]string{}
	for _, e := range b.all() {
		content, ok := e.Data["content"].(string)
		if !ok {
			continue
		}
		if seen, again := ids[content]; again {
			if seen != e.ID {
				t.Errorf("message %s was told as %s and as %s", content, seen, e.ID)
			}
			continue
		}
		ids[content] = e.ID
		var n int
		fmt.Sscan(content, &n)
		who := e.Data["identity"].(map[string]any)["openid"]
		if before, ok := last[who]; ok && n < before {
			t.Errorf("message %d of %v came after %d", n, who, before)
		}
		last[who] = n
	}
}

// Messages at 50 a second, and the bridge killed in the middle of them: what was acknowledged arrives, in order. In a soak
// run it is 10,000 messages and a kill every 70 seconds: after some failures WeChat sends nothing for a minute.
func TestREL03_NoAcknowledgedEventIsLostByKill9(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary and kills it")
	}
	besideOthers(t)
	shop := startBackend(t, "shop")
	s := startPushStand(t, webhooksFile(t, map[string]*backend{"shop": shop}, map[string]string{"shop": "events: ['*']"}))
	messages := times(400, 10_000)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-time.After(time.Duration(times(3, 70)) * time.Second):
				s.restart(t)
			case <-stop:
				return
			}
		}
	}()
	acknowledged, slowest := s.say(t, 20, messages, 50)
	close(stop)
	<-stopped
	checkTold(t, s.product, shop, acknowledged)
	if slowest > within(time.Second) {
		t.Errorf("the slowest answer took %v", slowest)
	}
	s.bridge.kill(t)
	checkIntegrity(t, filepath.Join(s.dir, "wxbridge.db"), nil)
}

// A backend that is down for a while loses nothing and blocks nobody, and gets what it has missed soon after it is back. In a
// soak run it is a minute of 50 messages a second, and another kill while the backend is down.
func TestABackendThatIsDownLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	besideOthers(t)
	shop, other := startBackend(t, "shop"), startBackend(t, "other")
	s := startPushStand(t, webhooksFile(t, map[string]*backend{"shop": shop, "other": other},
		map[string]string{"shop": "events: ['*']", "other": "events: ['*']"}))
	before := memory(t, s.bridge, "VmRSS")
	address := shop.server.Listener.Addr().String()
	shop.server.Close() // refuses connections
	acknowledged, slowest := s.say(t, 20, times(300, 3000), float64(times(100, 50)))
	if soak() {
		s.restart(t)
	}
	if slowest > within(time.Second) {
		t.Errorf("the slowest answer took %v while an endpoint was down", slowest)
	}
	checkTold(t, s.product, other, acknowledged)
	if n := len(shop.all()); n > 0 {
		t.Errorf("an endpoint that was closed got %d", n)
	}
	if after := memory(t, s.bridge, "VmRSS"); after > before+32<<10 {
		t.Errorf("the bridge has %d KiB, %d before", after, before)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("somebody else has taken the address of the endpoint: %v", err)
	}
	again := &http.Server{Handler: shop}
	go again.Serve(listener)
	defer again.Close()
	back := time.Now()
	checkTold(t, s.product, shop, acknowledged)
	t.Logf("all had arrived %v after the endpoint was back", time.Since(back).Round(time.Second))
	if !strings.Contains(s.logged(t), `"event":"webhook.endpoint_up"`) && !soak() {
		t.Error("the log does not say that the endpoint is back")
	}
}

// Two processes on one store deliver together: each event once, and in order.
func TestREL07_TwoProcessesDeliverEachEventOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	besideOthers(t)
	shop := startBackend(t, "shop")
	shop.answers(func(n int, _ received, w http.ResponseWriter) {
		time.Sleep(time.Duration(n%7) * time.Millisecond) // a backend that takes its time
	})
	s := startPushStand(t, webhooksFile(t, map[string]*backend{"shop": shop}, map[string]string{"shop": "events: ['*']"}))
	second := freeAddress(t)
	twin := &product{bridge: "http://" + second, log: s.log, http: s.http}
	startChild(t, twin, s.binary, s.dir, append(s.env, "WXBRIDGE_LISTEN="+second))
	acknowledged, _ := s.say(t, 10, times(300, 3000), 100)
	checkTold(t, s.product, shop, acknowledged)
	told := len(shop.all())
	if told != times(300, 3000) {
		t.Errorf("%d deliveries of %d events", told, times(300, 3000))
	}

	// What the first has taken and could not deliver, the second delivers.
	shop.answers(func(_ int, _ received, w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) })
	s.push(t, "last-talker", text("1000000"))
	waitFor(t, 20*time.Second, "an attempt", func() bool { return len(shop.all()) > told })
	s.bridge.kill(t)
	refused := len(shop.all())
	shop.answers(func(int, received, http.ResponseWriter) {})
	waitFor(t, 60*time.Second, "the other process to deliver", func() bool { return len(shop.all()) > refused })
}
