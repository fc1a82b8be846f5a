package simulator

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io/fs"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config says which apps exist and how the simulator behaves. The zero value of every field but Apps is usable.
type Config struct {
	Apps []App // at least one; see DevApps and LoadApps

	PublicURL   string // own address, for avatars and links ("http://localhost:8090"); empty: the Host of each request
	BridgeURL   string // the login server under test, for the launcher; may be empty
	MiniProgram fs.FS  // a native mini-program project, for the launcher; may be nil

	Now      func() time.Time  // default time.Now; POST /_simulator/clock adds to it
	Switches map[string]string // choices other than the defaults, as in PUT /_simulator/switches

	Hostile bool   // callbacks may arrive twice (patterns A and B) without a fault being set
	Seed    uint64 // drives what Hostile draws; 0: drawn at start. It is logged, so that a run can be repeated

	// ConsentWindow is how long a consent is remembered when the switch recent-consent is on (default 30 minutes;
	// WeChat's own window is not published).
	ConsentWindow time.Duration

	// PushTimeout is how long an app's server may take to answer a push, in real time (default 5 seconds, as WeChat).
	PushTimeout time.Duration

	Logger *slog.Logger // default: discards
}

// Server is the simulator. It is an http.Handler and safe for concurrent use.
type Server struct {
	cfg  Config
	apps map[string]*App // by appid
	mux  *http.ServeMux

	clockOffset atomic.Int64 // nanoseconds
	switches    switchboard
	faults      faults
	calls       calls
	dice        dice

	codes       *shelf[grantedCode]   // OAuth codes and js_codes
	grants      *shelf[grant]         // by refresh token
	accessKeys  *shelf[string]        // access token → refresh token
	consents    *shelf[time.Time]     // appid and person → last userinfo consent
	sessionKeys *shelf[sessionKey]    // appid and person → the key of their mini-program session
	tickets     *shelf[consentTicket] // consent sheets on show
	visits      *shelf[[]string]      // pages that visit the callback twice
	follows     *shelf[follow]        // appid and person → what the last event made of it
	faces       *shelf[string]        // appid and openid → person
	jsTickets   *shelf[[]jsTicket]    // appid and type → tickets, newest first
	menus       *shelf[menu]          // appid → the menu that was pushed
	clientMenus *shelf[clientMenu]    // appid and person → their phone's copy of it
	qrCodes     *shelf[qrCode]        // ticket → parametric QR code
	qrAddresses *shelf[string]        // what a parametric QR code says → ticket
	qrLogins    *shelf[*qrLogin]      // uuid → login on a website in progress

	jsTicketMaking sync.Mutex
	qrQuota        foreverCount

	wecom *wecomState

	appTokens appTokens
	quotas    quotas
	alarms    alarms

	pages   *pages
	visitor http.RoundTripper // used by the snapshot jar
}

// New checks the configuration and builds a Server. The error names the first fault found.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: withDefaults(cfg)}
	apps, err := indexApps(s.cfg.Apps)
	if err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	s.apps = apps
	if _, err := url.Parse(s.cfg.PublicURL); err != nil {
		return nil, fmt.Errorf("simulator: public URL: %w", err)
	}
	if err := s.switches.init(s.cfg.Switches); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	if s.pages, err = parsePages(); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	s.keepInMemory()
	s.initWeCom()
	s.appTokens.init()
	s.quotas.init()
	s.alarms.init(s.apps)
	s.calls.init(wechatPaths())
	s.visitor = &http.Transport{MaxIdleConnsPerHost: 4, DisableKeepAlives: true}
	s.dice.init(s.cfg.Seed)
	if s.cfg.Hostile {
		s.cfg.Logger.Info("simulator is hostile: callbacks may arrive twice", "seed", s.cfg.Seed)
	}
	s.mux = s.routes()
	return s, nil
}

func withDefaults(c Config) Config {
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.ConsentWindow <= 0 {
		c.ConsentWindow = 30 * time.Minute
	}
	if c.PushTimeout <= 0 {
		c.PushTimeout = defaultPushTimeout
	}
	for c.Seed == 0 {
		var b [8]byte
		rand.Read(b[:]) // never fails (crypto/rand)
		c.Seed = binary.LittleEndian.Uint64(b[:])
	}
	return c
}

// keepInMemory makes the shelves. The sizes bound the memory of a run that never ends; the times are longer than
// anything kept on them is valid, so that a late second use still gets the answer for a late second use.
func (s *Server) keepInMemory() {
	s.codes = newShelf[grantedCode](1<<17, time.Hour)
	s.grants = newShelf[grant](1<<16, 40*24*time.Hour)
	s.accessKeys = newShelf[string](1<<16, 40*24*time.Hour)
	s.consents = newShelf[time.Time](1<<16, 40*24*time.Hour)
	s.sessionKeys = newShelf[sessionKey](1<<16, sessionKeyLife)
	s.tickets = newShelf[consentTicket](1<<12, 30*time.Minute)
	s.visits = newShelf[[]string](1<<12, 30*time.Minute)
	s.follows = newShelf[follow](1<<17, 100*365*24*time.Hour)
	s.faces = newShelf[string](1<<17, 100*365*24*time.Hour)
	s.keepReachInMemory()
}

// The paths that WeChat itself has: counted by GET /_simulator/calls, and open to faults.
const (
	pathAuthorize   = "/connect/oauth2/authorize"
	pathAccessToken = "/sns/oauth2/access_token"
	pathRefresh     = "/sns/oauth2/refresh_token"
	pathUserInfo    = "/sns/userinfo"
	pathAuth        = "/sns/auth"
	pathSession     = "/sns/jscode2session"
)

func wechatPaths() []string {
	return append([]string{
		pathAuthorize, pathAccessToken, pathRefresh, pathUserInfo, pathAuth, pathSession,
		pathToken, pathStableToken, pathFollower, pathFollowerBatch, pathFollowers, pathCallbackIP,
		pathMenuCreate, pathMenuGet, pathMenuDelete, pathMenuCurrent, pathTicket, pathQRCreate, pathQRShow,
		pathPhoneNumber, pathCheckSession, pathResetSession, pathTextCheck, pathQRConnect,
	}, wecomPaths()...)
}

// routes lists every address. Those of WeChat have no method in their pattern, because WeChat answers a wrong method
// with an errcode.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()

	mux.HandleFunc(pathAuthorize, s.wechat(pathAuthorize, s.handleAuthorize))
	mux.HandleFunc("POST /connect/oauth2/person", s.handleChoosePerson)
	mux.HandleFunc("POST /connect/oauth2/confirm", s.handleConfirm)
	mux.HandleFunc("GET /connect/oauth2/full-service", s.handleFullService)
	mux.HandleFunc("GET /connect/oauth2/return", s.handleReturn)

	mux.HandleFunc(pathAccessToken, s.wechat(pathAccessToken, s.getOnly(s.handleAccessToken)))
	mux.HandleFunc(pathRefresh, s.wechat(pathRefresh, s.getOnly(s.handleRefresh)))
	mux.HandleFunc(pathUserInfo, s.wechat(pathUserInfo, s.getOnly(s.handleUserInfo)))
	mux.HandleFunc(pathAuth, s.wechat(pathAuth, s.getOnly(s.handleAuth)))
	mux.HandleFunc(pathSession, s.wechat(pathSession, s.getOnly(s.handleSession)))
	mux.HandleFunc("/sns/", func(w http.ResponseWriter, r *http.Request) { s.refuse(w, r, 40066) })
	s.mountCGI(mux)
	s.mountWeCom(mux)
	s.mountAccount(mux)
	s.mountWXA(mux)
	s.mountQRConnect(mux)
	mux.HandleFunc("GET /mmopen/vi_32/{id}/{size}", s.handleAvatar)

	s.mountControl(mux)
	s.mountEvents(mux)
	s.mountReachControl(mux)
	s.mountLauncher(mux)
	return mux
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, toWeCom(r)) }

// Seed is what a hostile simulator draws from; the same seed and the same order of requests give the same draws.
func (s *Server) Seed() uint64 { return s.cfg.Seed }

// Advance moves the simulator's clock on, as POST /_simulator/clock does.
func (s *Server) Advance(d time.Duration) { s.clockOffset.Add(int64(d)) }

func (s *Server) now() time.Time {
	return s.cfg.Now().Add(time.Duration(s.clockOffset.Load()))
}

// publicURL is the address under which the caller knows the simulator.
func (s *Server) publicURL(r *http.Request) string {
	if s.cfg.PublicURL != "" {
		return s.cfg.PublicURL
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// getOnly answers 43001 to anything but GET and HEAD (documented, wechat-protocol §0.1).
func (s *Server) getOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			s.refuse(w, r, 43001)
			return
		}
		next(w, r)
	}
}

// callerIP is the address 40164 complains about.
func callerIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return "127.0.0.1" // ::1: WeChat's text always has an IPv4 address
	}
	return host
}

// dice is the seeded source behind Config.Hostile.
type dice struct {
	mu  sync.Mutex
	rnd *mathrand.Rand
}

func (d *dice) init(seed uint64) { d.rnd = mathrand.New(mathrand.NewPCG(seed, seed)) }

func (d *dice) draw(sides int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rnd.IntN(sides)
}
