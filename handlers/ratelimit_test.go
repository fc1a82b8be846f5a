package handlers_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wxbridge/handlers"
	"wxbridge/internal/ratelimit"
)

// standing is a clock that moves only when it is told to, so that a budget refills only then.
type standing struct{ nanoseconds atomic.Int64 }

func (s *standing) Now() time.Time { return time.Unix(1_800_000_000, s.nanoseconds.Load()) }

// limited starts a bridge that lets through so many requests a minute and address.
func limited(t *testing.T, perMinute int, proxies ...string) (*bridge, *standing) {
	clock := new(standing)
	b := newBridge(t, func(c *handlers.Config) {
		c.RateLimit = ratelimit.New(perMinute, 1000, clock.Now)
		c.TrustedProxies = proxies
	})
	return b, clock
}

// from sends a request to the handler as if it came over a connection from that address.
func (b *bridge) from(peer, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = net.JoinHostPort(peer, "4711")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

func TestSRV04_The601stRequestOfAMinuteIsRefused(t *testing.T) {
	b, clock := limited(t, 600)
	w := b.browser("")
	for i := range 600 {
		if p := w.get("/login/refused"); p.StatusCode != http.StatusOK {
			t.Fatalf("request %d: %d", i+1, p.StatusCode)
		}
	}
	p := w.get("/login/official-account")
	e := p.errorOf(t)
	if p.StatusCode != http.StatusTooManyRequests || e.Error != "rate_limited" || p.Header.Get("Retry-After") != "1" ||
		p.Header.Get("Cache-Control") != "no-store" || len(p.Cookies()) != 0 {
		t.Errorf("the 601st: %d %v %v", p.StatusCode, p.Header, e)
	}
	page := w.get("/login", "Accept", "text/html")
	if page.StatusCode != http.StatusTooManyRequests || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") ||
		!strings.Contains(page.body, page.Header.Get("X-Request-Id")) || page.Header.Get("Retry-After") == "" {
		t.Errorf("a browser is shown %d %s", page.StatusCode, page.body)
	}
	clock.nanoseconds.Add(int64(time.Second)) // what Retry-After said
	if p := w.get("/login/refused"); p.StatusCode != http.StatusOK {
		t.Errorf("after the wait: %d", p.StatusCode)
	}
}

// A slow limit tells a wait of its own, in whole seconds that are long enough.
func TestSRV04_RetryAfterIsLongEnough(t *testing.T) {
	b, clock := limited(t, 7) // one in 8.57 s
	for range 7 {
		b.from("203.0.113.9", "GET", "/login/refused")
	}
	after, err := strconv.Atoi(b.from("203.0.113.9", "GET", "/login/refused").Header().Get("Retry-After"))
	if err != nil || after != 9 {
		t.Fatalf("Retry-After %d (%v), want 9", after, err)
	}
	clock.nanoseconds.Add(int64(after) * int64(time.Second))
	if w := b.from("203.0.113.9", "GET", "/login/refused"); w.Code != http.StatusOK {
		t.Errorf("after the wait: %d", w.Code)
	}
}

// limitedRoutes have one budget together; the others never look at it.
func TestSRV04_WhichRoutesAreLimited(t *testing.T) {
	b, _ := limited(t, 1)
	const client = "203.0.113.9"
	if w := b.from(client, "GET", "/login/refused"); w.Code != http.StatusOK {
		t.Fatalf("the one request: %d", w.Code)
	}
	for _, route := range []string{"GET /login", "GET /login/official-account", "GET /login/register", "GET /login/refused", "GET /login/snapshot",
		"GET /login/cookies-off", "GET /callback/official-account", "POST /miniprogram/login"} {
		method, path, _ := strings.Cut(route, " ")
		if w := b.from(client, method, path); w.Code != http.StatusTooManyRequests {
			t.Errorf("%s: %d", route, w.Code)
		}
	}
	for _, route := range []string{"GET /", "GET /me", "PATCH /me", "DELETE /me", "GET /me/export", "POST /logout", "GET /auth/verify", "HEAD /auth/verify", "GET /.well-known/jwks.json",
		"HEAD /.well-known/jwks.json", "GET /healthz", "GET /readyz", "GET /static/wxbridge.css", "GET /MP_verify_x.txt", "GET /nothing"} {
		method, path, _ := strings.Cut(route, " ")
		for range 3 {
			if w := b.from(client, method, path); w.Code == http.StatusTooManyRequests {
				t.Errorf("%s: %d", route, w.Code)
			}
		}
	}
}

func TestSRV03_SRV04_WhoCountsAsOneClient(t *testing.T) {
	for name, row := range map[string]struct {
		proxies          []string
		first, second    string   // peers
		header1, header2 []string // of their requests
		same             bool
	}{
		"one address":                      {first: "203.0.113.9", second: "203.0.113.9", same: true},
		"two addresses":                    {first: "203.0.113.9", second: "203.0.113.10"},
		"one /64":                          {first: "2001:db8:1:2::1", second: "2001:db8:1:2:aaaa::1", same: true},
		"two /64":                          {first: "2001:db8:1:2::1", second: "2001:db8:1:3::1"},
		"IPv4 in IPv6 form":                {first: "203.0.113.9", second: "::ffff:203.0.113.9", same: true},
		"IPv6 with zones":                  {first: "fe80::1%eth0", second: "fe80::2%eth1", same: true},
		"a spoofed X-Forwarded-For":        {first: "203.0.113.9", second: "203.0.113.9", header2: []string{"X-Forwarded-For", "198.51.100.1"}, same: true},
		"a spoofed X-Real-IP":              {first: "203.0.113.9", second: "203.0.113.9", header2: []string{"X-Real-IP", "198.51.100.1"}, same: true},
		"a spoofed Forwarded":              {first: "203.0.113.9", second: "203.0.113.9", header2: []string{"Forwarded", "for=198.51.100.1"}, same: true},
		"spoofed beside another's proxy":   {proxies: []string{"10.0.0.0/8"}, first: "203.0.113.9", second: "203.0.113.9", header2: []string{"X-Forwarded-For", "198.51.100.1"}, same: true},
		"two clients of a trusted proxy":   {proxies: []string{"10.0.0.0/8"}, first: "10.0.0.1", second: "10.0.0.1", header1: []string{"X-Forwarded-For", "198.51.100.1"}, header2: []string{"X-Forwarded-For", "198.51.100.2"}},
		"one client of two proxies":        {proxies: []string{"10.0.0.0/8"}, first: "10.0.0.1", second: "10.0.0.2", header1: []string{"X-Forwarded-For", "198.51.100.1"}, header2: []string{"X-Forwarded-For", "198.51.100.1"}, same: true},
		"what the client put before":       {proxies: []string{"10.0.0.0/8"}, first: "10.0.0.1", second: "10.0.0.1", header1: []string{"X-Forwarded-For", "1.1.1.1, 198.51.100.1"}, header2: []string{"X-Forwarded-For", "2.2.2.2, 198.51.100.1"}, same: true},
		"X-Real-IP through a proxy":        {proxies: []string{"10.0.0.0/8"}, first: "10.0.0.1", second: "10.0.0.1", header1: []string{"X-Real-IP", "1.1.1.1"}, header2: []string{"X-Real-IP", "2.2.2.2"}, same: true},
		"one /64 behind a trusted proxy":   {proxies: []string{"::1"}, first: "::1", second: "::1", header1: []string{"X-Forwarded-For", "2001:db8::1"}, header2: []string{"X-Forwarded-For", "2001:db8::2"}, same: true},
		"neither name nor number":          {proxies: []string{"10.0.0.0/8"}, first: "10.0.0.1", second: "10.0.0.1", header1: []string{"X-Forwarded-For", "unknown"}, header2: []string{"X-Forwarded-For", "_hidden"}, same: true},
		"a proxy that is not told to us":   {first: "10.0.0.1", second: "10.0.0.1", header1: []string{"X-Forwarded-For", "198.51.100.1"}, header2: []string{"X-Forwarded-For", "198.51.100.2"}, same: true},
		"the trusted proxy itself":         {proxies: []string{"10.0.0.1"}, first: "10.0.0.1", second: "10.0.0.2", header2: []string{"X-Forwarded-For", "10.0.0.1"}},
		"IPv6 in brackets through a proxy": {proxies: []string{"10.0.0.1"}, first: "10.0.0.1", second: "10.0.0.1", header2: []string{"X-Forwarded-For", "[2001:db8::1]:443"}, same: true},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := limited(t, 1, row.proxies...)
			if w := b.from(row.first, "GET", "/login/refused", row.header1...); w.Code != http.StatusOK {
				t.Fatalf("the first: %d", w.Code)
			}
			if w := b.from(row.second, "GET", "/login/refused", row.header2...); (w.Code == http.StatusTooManyRequests) != row.same {
				t.Errorf("the second: %d, one client: %v", w.Code, row.same)
			}
		})
	}
}

func TestLOG03_RateLimitIsAnEventOnceAMinute(t *testing.T) {
	b, clock := limited(t, 60)
	for range 60 + 50 {
		b.from("10.0.0.1", "GET", "/login/refused", "X-Forwarded-For", "198.51.100.1")
	}
	if lines := b.events("rate_limited"); len(lines) != 1 || lines[0].Client != "10.0.0.1" || lines[0].Level != "WARN" ||
		lines[0].RequestID == "" || !strings.Contains(lines[0].Fix, "WXBRIDGE_TRUSTED_PROXIES") {
		t.Fatalf("%+v", lines)
	}
	clock.nanoseconds.Add(int64(59 * time.Second))
	for range 59 + 50 {
		b.from("10.0.0.1", "GET", "/login/refused")
	}
	if lines := b.events("rate_limited"); len(lines) != 1 {
		t.Fatalf("within a minute: %+v", lines)
	}
	clock.nanoseconds.Add(int64(time.Second))
	for range 1 + 1 {
		b.from("10.0.0.1", "GET", "/login/refused")
	}
	if lines := b.events("rate_limited"); len(lines) != 2 || lines[1].Refused != 49+50+1 || lines[1].Fix != "" {
		t.Errorf("%+v", lines)
	}
}

func TestSRV04_ParallelRequestsOverHTTP(t *testing.T) {
	b, _ := limited(t, 100)
	var through, refused atomic.Int64
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for range 25 {
				switch status := b.browser("").get("/login/refused").StatusCode; status {
				case http.StatusOK:
					through.Add(1)
				case http.StatusTooManyRequests:
					refused.Add(1)
				default:
					t.Errorf("%d", status)
				}
			}
		})
	}
	group.Wait()
	if through.Load() != 100 || refused.Load() != 300 {
		t.Errorf("%d are let through, %d refused", through.Load(), refused.Load())
	}
}

func TestSRV04_WithoutALimiterNobodyIsLimited(t *testing.T) {
	b := newBridge(t)
	for i := range 700 {
		if w := b.from("203.0.113.9", "GET", "/login/refused"); w.Code != http.StatusOK {
			t.Fatal(fmt.Sprint(i, w.Code))
		}
	}
}
