package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"wxbridge/handlers"
	"wxbridge/internal/lazyconn"
)

// site is one HTTP server on a listener that is open already.
type site struct {
	listener net.Listener
	server   *http.Server
	drain    func() // called before the listener closes; may be nil
}

// silent keeps the connections on which nothing has been asked yet. Browsers open them ahead of need, and Shutdown
// would wait five seconds for each.
type silent struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
	count atomic.Int64 // of conns
}

// silentGrace is for a request that is on its way at that moment.
const silentGrace = 500 * time.Millisecond

func (s *silent) watch(c net.Conn, state http.ConnState) {
	if state != http.StateNew && s.count.Load() == 0 {
		return // every request comes by here twice, and as a rule nobody is silent
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateNew {
		s.conns[c] = true
	} else {
		delete(s.conns, c)
	}
	s.count.Store(int64(len(s.conns)))
}

func (s *silent) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

const (
	// graceTime is how long open requests may take to finish after a signal (REL-10).
	graceTime = 15 * time.Second

	// drainPause is how long the bridge still takes requests after it began to say that it is not ready, so that a
	// load balancer's requests on their way arrive.
	drainPause = 250 * time.Millisecond
)

// newHTTPServer sets the limits that keep slow and oversized requests from holding connections (SRV-01). A login may
// take ten seconds, so writing has thirty.
func newHTTPServer(handler http.Handler, logger *slog.Logger) *http.Server {
	unasked := &silent{conns: map[net.Conn]bool{}}
	server := &http.Server{
		ConnState:         unasked.watch,
		Handler:           handler,
		ReadHeaderTimeout: 10*time.Second - lazyconn.Lateness, // SRV-01 allows ten
		ReadTimeout:       10*time.Second - lazyconn.Lateness,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    60 << 10, // net/http allows 4 KiB more
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	server.RegisterOnShutdown(func() { time.AfterFunc(silentGrace, unasked.close) })
	return server
}

// bridgeSite is the bridge itself on a listener.
func bridgeSite(l net.Listener, handler *handlers.Server, logger *slog.Logger) site {
	server := newHTTPServer(handler, logger)
	return site{listener: lazyconn.Wrap(l, server, handler.ForwardAuth()), server: server, drain: handler.Drain}
}

// serveSites serves until ctx ends or a listener fails, then shuts the sites down in their order: each stops taking
// requests and finishes the open ones before the next is touched.
func serveSites(ctx context.Context, logger *slog.Logger, pause time.Duration, sites ...site) error {
	failed := make(chan error, len(sites))
	for _, s := range sites {
		go func() { failed <- s.server.Serve(s.listener) }()
	}
	var failure error
	running := len(sites)
	select {
	case <-ctx.Done():
	case failure = <-failed:
		running--
	}
	shutDown(logger, pause, sites)
	for range running {
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			failure = errors.Join(failure, err)
		}
	}
	if failure != nil {
		return fmt.Errorf("serve: %w", failure)
	}
	return nil
}

func shutDown(logger *slog.Logger, pause time.Duration, sites []site) {
	draining := false
	for _, s := range sites {
		if s.drain != nil {
			s.drain()
			draining = true
		}
	}
	if draining {
		time.Sleep(pause)
	}
	grace, cancel := context.WithTimeout(context.Background(), graceTime)
	defer cancel()
	for _, s := range sites {
		if err := s.server.Shutdown(grace); err != nil {
			logger.Warn("requests were cut off at the end of the grace time", "listen", s.listener.Addr().String())
			s.server.Close()
		}
	}
}

// listen opens a TCP listener. flag is the option that would choose another address, for the error text.
func listen(ctx context.Context, address, flag string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("cannot listen on %s: another program is using it; choose another address with %s, or port 0 for any free one", address, flag)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s (see %s): %w", address, flag, err)
	}
	return l, nil
}

// portOf is the port a listener really has.
func portOf(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String()) // a TCP address always splits
	return port
}

// hostOf is the host under which this machine reaches a listener: its address, or 127.0.0.1 where it listens on all.
func hostOf(l net.Listener) string {
	host, _, _ := net.SplitHostPort(l.Addr().String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		return "127.0.0.1"
	}
	return host
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
