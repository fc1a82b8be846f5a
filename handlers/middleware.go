package handlers

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

// maxBody bounds every request body (SRV-02).
const maxBody = 64 << 10

// requestID names the request in the log, in every error and, by secureHeaders, in the answer. An id that came in is kept only if a trusted proxy sent it.
func (s *Server) requestID(c *gin.Context) {
	id := s.idFor(c.Request)
	r := &record{ResponseWriter: c.Writer, start: s.cfg.Now(), id: id}
	r.headers[0] = id
	c.Writer = r
}

func (s *Server) idFor(r *http.Request) string {
	given := r.Header["X-Request-Id"]
	if len(given) > 0 && plausibleRequestID(given[0]) && s.fromTrustedProxy(r) {
		return given[0]
	}
	return s.ids.next()
}

// requestIDs makes ids that no other request has, of 26 random letters. It asks for the randomness of many at a time, which
// makes one three times cheaper than rand.Text.
type requestIDs struct{ pool sync.Pool } // of *randomness

type randomness struct {
	bytes [512]byte
	used  int
}

func (q *requestIDs) next() string {
	r, _ := q.pool.Get().(*randomness)
	if r == nil {
		r = &randomness{used: len(r.bytes)}
	}
	if r.used == len(r.bytes) {
		_, _ = rand.Read(r.bytes[:]) // never fails
		r.used = 0
	}
	first, second := binary.LittleEndian.Uint64(r.bytes[r.used:]), binary.LittleEndian.Uint64(r.bytes[r.used+8:])
	r.used += 16
	q.pool.Put(r)
	var id [26]byte
	for i := range len(id) / 2 { // 13 letters are 65 bits: the last of them has 4
		id[i] = idAlphabet[first>>(5*i)&31]
		id[i+len(id)/2] = idAlphabet[second>>(5*i)&31]
	}
	return string(id[:])
}

const idAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // RFC 4648 §6

func requestIDOf(c *gin.Context) string { return recordOf(c).id }

// detached is a context for work that must end even if the client goes away, until the deadline. It carries the request's
// record for the log.
func detached(c *gin.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	ctx := context.WithValue(context.WithoutCancel(c.Request.Context()), recordInContext{}, recordOf(c))
	return context.WithDeadline(ctx, deadline)
}

func requestIDFrom(ctx context.Context) string { return recordFrom(ctx).id }

func plausibleRequestID(id string) bool {
	if len(id) < 8 || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

func (s *Server) fromTrustedProxy(r *http.Request) bool {
	if len(s.trusted) == 0 {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	return s.trusts(peer.Addr())
}

func (s *Server) trusts(addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, network := range s.trusted {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// parseTrusted reads addresses and networks as gin does.
func parseTrusted(proxies []string) ([]netip.Prefix, error) {
	var trusted []netip.Prefix
	for _, proxy := range proxies {
		if !strings.Contains(proxy, "/") {
			addr, err := netip.ParseAddr(proxy)
			if err != nil {
				return nil, fmt.Errorf("trusted proxy %q: %w", proxy, err)
			}
			trusted = append(trusted, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		network, err := netip.ParsePrefix(proxy)
		if err != nil {
			return nil, fmt.Errorf("trusted proxy %q: %w", proxy, err)
		}
		trusted = append(trusted, network.Masked())
	}
	return trusted, nil
}

// recoverPanic answers 500 and goes on (SRV-06). The stack goes to the log; headers, which hold cookies, do not.
func (s *Server) recoverPanic(c *gin.Context) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if cause == http.ErrAbortHandler {
			panic(cause)
		}
		s.cfg.Logger.Error("panic", "request_id", requestIDOf(c), "route", routeOf(c),
			"cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
		c.Abort()
		if !c.Writer.Written() {
			s.secureHeaders(c)
			s.fail(c, errServer)
		}
	}()
	c.Next()
}

// secureHeaders sets what every answer says. Pages say more, see page.
func (s *Server) secureHeaders(c *gin.Context) {
	header := c.Writer.Header()
	header["X-Request-Id"] = recordOf(c).headers[:1:1]
	header["X-Content-Type-Options"] = nosniff
	header["Referrer-Policy"] = noReferrer
}

// Header values that many answers share. They are never changed.
var (
	nosniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
)

func (s *Server) limitBody(c *gin.Context) {
	if c.Request.Body != nil && c.Request.Body != http.NoBody {
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
	}
}
