package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Fault is one thing that goes wrong on one path, as in PUT /_simulator/faults.
type Fault struct {
	Path      string `json:"path"`
	ErrCode   int    `json:"errcode,omitempty"`    // the answer is this error, worded as that path words it
	LatencyMS int    `json:"latency_ms,omitempty"` // wait this long in real time; alone: the right answer, late
	Mode      string `json:"mode,omitempty"`       // one of the Mode constants
	Times     *int   `json:"times,omitempty"`      // default 1; 0: until the faults are deleted
	After     bool   `json:"after,omitempty"`      // the request is carried out first (the code is spent), then the fault
}

// The modes of a fault.
const (
	ModeMalformed        = "malformed"          // JSON with a fault in it
	ModeTruncated        = "truncated"          // the connection ends in the middle of the announced body
	ModeReset            = "reset"              // TCP reset instead of an answer
	ModeHTML502          = "html502"            // a gateway's error page, status 502
	ModeHTML200          = "html200"            // a captive portal's page, status 200
	ModeWrongContentType = "wrong_content_type" // the right answer, labelled text/html

	// The rest are for the authorize path only. The callbacks happen when the browser is sent back with a code
	// (comeback.go), the snapshot in place of the consent sheet of a
	// userinfo link (snapshot.go).
	ModeDuplicateCallback  = "duplicate_callback"  // A: the same code twice, a moment apart
	ModeTwoCodes           = "two_codes"           // B: two codes with one state
	ModeLateCallback       = "late_callback"       // C: the same code again, after the first was answered
	ModeConcurrentCallback = "concurrent_callback" // D: the same code twice at the same time
	ModeSnapshotJar        = "snapshot_jar"        // the callback is visited from a separate, empty cookie jar
)

func answerModes() []string {
	return []string{ModeMalformed, ModeTruncated, ModeReset, ModeHTML502, ModeHTML200, ModeWrongContentType}
}

func comebackModes() []string {
	return []string{ModeDuplicateCallback, ModeTwoCodes, ModeLateCallback, ModeConcurrentCallback}
}

// moment is when in an authorization a fault strikes.
type moment int

const (
	onArrival moment = iota
	insteadOfConsent
	onTheWayBack
)

func (f Fault) moment() moment {
	switch {
	case f.Mode == ModeSnapshotJar:
		return insteadOfConsent
	case slices.Contains(comebackModes(), f.Mode):
		return onTheWayBack
	}
	return onArrival
}

const maxLatency = 2 * time.Minute

func (f Fault) check() error {
	modes := answerModes()
	if f.Path == pathAuthorize {
		modes = append(append(modes, comebackModes()...), ModeSnapshotJar)
	}
	switch {
	case f.Path == "":
		return errors.New("path is missing")
	case !slices.Contains(wechatPaths(), f.Path):
		return fmt.Errorf("path %q: want one of %s", f.Path, strings.Join(wechatPaths(), ", "))
	case f.Mode != "" && !slices.Contains(modes, f.Mode):
		return fmt.Errorf("mode %q on %s: want one of %s", f.Mode, f.Path, strings.Join(modes, ", "))
	case f.ErrCode != 0 && f.Mode != "":
		return errors.New("errcode and mode exclude each other")
	case f.ErrCode == 0 && f.Mode == "" && f.LatencyMS == 0:
		return errors.New("want one of errcode, mode and latency_ms")
	case f.LatencyMS < 0 || time.Duration(f.LatencyMS)*time.Millisecond > maxLatency:
		return fmt.Errorf("latency_ms %d: want 0 to %d", f.LatencyMS, maxLatency.Milliseconds())
	case f.Times != nil && *f.Times < 0:
		return fmt.Errorf("times %d: want 0 (until deleted) or more", *f.Times)
	}
	return nil
}

// faults holds one fault a path.
type faults struct {
	set  atomic.Bool // any fault at all; keeps the common case free of the lock
	mu   sync.Mutex
	list map[string]*armed
}

type armed struct {
	Fault
	left int // < 0: until deleted
}

// SetFault arms a fault, replacing the one its path had. See [Fault].
func (s *Server) SetFault(f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	a := &armed{Fault: f, left: 1}
	if f.Times != nil {
		a.left = *f.Times
		if a.left == 0 {
			a.left = -1
		}
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if s.faults.list == nil {
		s.faults.list = map[string]*armed{}
	}
	s.faults.list[f.Path] = a
	s.faults.set.Store(true)
	return nil
}

// ClearFaults disarms them all.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = nil
	s.faults.set.Store(false)
}

// draw takes one turn of the path's fault, if this is its moment.
func (f *faults) draw(path string, now moment) (Fault, bool) {
	if !f.set.Load() {
		return Fault{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.list[path]
	if a == nil || a.moment() != now {
		return Fault{}, false
	}
	if a.left > 0 {
		if a.left--; a.left == 0 {
			delete(f.list, path)
			f.set.Store(len(f.list) > 0)
		}
	}
	return a.Fault, true
}

// wechat wraps a path of WeChat's own: counted, and open to faults.
func (s *Server) wechat(path string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.calls.add(path)
		if f, ok := s.faults.draw(path, onArrival); ok {
			s.play(f, next, w, r)
			return
		}
		next(w, r)
	}
}

// play answers a request with a fault. Without After the request is not carried out, so a code in it stays good,
// unless the fault is a late or mislabelled answer, which is a right one.
func (s *Server) play(f Fault, next http.HandlerFunc, w http.ResponseWriter, r *http.Request) {
	real := &recorder{header: http.Header{}}
	if f.After {
		next(real, r)
	}
	if !pause(r, time.Duration(f.LatencyMS)*time.Millisecond) {
		return // the caller has gone
	}
	rightAnswer := f.ErrCode == 0 && (f.Mode == "" || f.Mode == ModeWrongContentType)
	if rightAnswer && !f.After {
		next(real, r)
	}
	switch {
	case f.ErrCode != 0 && (r.URL.Path == pathAuthorize || r.URL.Path == pathQRConnect):
		s.showError(w, faultPage(f.ErrCode))
	case f.ErrCode != 0:
		s.refuse(w, r, f.ErrCode)
	case rightAnswer:
		if f.Mode == ModeWrongContentType {
			real.header.Set("Content-Type", "text/html; charset=utf-8")
		}
		real.replay(w)
	default:
		breakAnswer(f.Mode, w, real.bodyOr(`{"access_token":"`+newToken()+`","expires_in":7200,"refresh_token":"`))
	}
}

// breakAnswer writes what is left of an answer after mode has been at it. It does not return from truncated and reset.
func breakAnswer(mode string, w http.ResponseWriter, body []byte) {
	const page = "<html>\r\n<head><title>%s</title></head>\r\n<body>\r\n<center><h1>%s</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	switch mode {
	case ModeMalformed:
		writeWire(w, append(bytes.TrimSuffix(body, []byte("}")), ",,"...))
	case ModeTruncated:
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body[:len(body)/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case ModeReset:
		reset(w)
	case ModeHTML502:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprintf(w, page, "502 Bad Gateway", "502 Bad Gateway")
	case ModeHTML200:
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, page, "Welcome", "Sign in to the network")
	}
}

// reset ends the connection with a TCP RST where the server allows it, else by dropping it.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// pause waits in real time; false if the caller gave up meanwhile.
func pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// recorder keeps an answer back.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (rec *recorder) Header() http.Header { return rec.header }

func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 {
		rec.status = status
	}
}

func (rec *recorder) Write(b []byte) (int, error) {
	rec.WriteHeader(http.StatusOK)
	return rec.body.Write(b)
}

func (rec *recorder) replay(w http.ResponseWriter) {
	for name, values := range rec.header {
		w.Header()[name] = values
	}
	if rec.status != 0 {
		w.WriteHeader(rec.status)
	}
	w.Write(rec.body.Bytes())
}

func (rec *recorder) bodyOr(substitute string) []byte {
	if rec.body.Len() > 0 {
		return rec.body.Bytes()
	}
	return []byte(substitute)
}
