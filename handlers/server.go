package handlers

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sync/singleflight"

	"wxbridge/db"
	"wxbridge/internal/clients"
	"wxbridge/internal/ratelimit"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
	"wxbridge/templates"
	"wxbridge/wechat"
)

// Config names everything a Server needs. Fields without a comment on a default are required.
type Config struct {
	PublicURL       *url.URL // scheme and host of this service as browsers see it; no path
	ReturnOrigins   []string // origins ("https://h5.example.com") a return_to may name beside our own
	DefaultReturnTo string   // default "/"
	CookieDomain    string   // "" keeps cookies to the host of PublicURL
	TrustedProxies  []string // addresses or networks whose X-Forwarded-For and X-Request-Id are believed; default none
	DomainFiles     string   // folder of MP_verify_*.txt and WW_verify_*.txt; "" serves none

	DesktopLogin DesktopLogin // what /login does for browsers outside WeChat and WeCom; default DesktopAuto

	ProfilePolicy ProfilePolicy
	PrivacyURL    string   // linked from the register page if set
	TermsURL      string   // linked from the register page if set
	ImageOrigins  []string // origins of avatars, which the home page may load

	TokenTTL   time.Duration        // life of an access token, as the Issuer was told
	SessionTTL time.Duration        // how long after a login its cookie may still be renewed
	JWKSMaxAge time.Duration        // what JWKS answers allow caches
	JWKSFresh  func() time.Duration // the same where it depends on the moment; default JWKSMaxAge, always

	OfficialAccounts []OfficialAccount
	MiniPrograms     []MiniProgram
	Websites         []Website
	WeCom            []WeComApp

	// JSSDKScript is where pages load WeChat's JS-SDK from; "" is WeChat's own place.
	JSSDKScript string

	Store       db.Store
	Keys        *jwtauth.KeySet
	Issuer      *jwtauth.Issuer
	Verifier    *jwtauth.Verifier
	Revocations *jwtauth.RevocationSet
	Clients     *clients.Registry // of /oauth/introspect, /oauth/revoke and /internal/app-token; nil knows nobody
	Box         *seal.Box
	Pages       *templates.Pages

	Logger *slog.Logger
	Now    func() time.Time // default time.Now

	// RateLimit is asked on login, callback and token routes, by client address; nil limits nobody.
	RateLimit *ratelimit.Limiter

	// CheckNicknames asks WeChat about each name that people give themselves in a mini program (msg_sec_check).
	CheckNicknames bool

	// Reply, if set, is asked what the account answers to messages, and to events that can be answered.
	Reply Replier

	Observe Observer // hears what happens; the zero value hears nothing

	// Dev counts any browser but WeCom's as WeChat's, and lets the cookie simulator_browser say otherwise.
	Dev bool
}

// DefaultApp is the alias of the app that the environment variables configure.
const DefaultApp = "default"

// OfficialAccount is one official account (公众号) people log in with.
type OfficialAccount struct {
	Alias       string // what app= names it; DefaultApp is used without app=
	OpenAccount string // unionids are compared inside it only
	Client      *wechat.Official
	Tokens      *wechat.AppTokens // of the same app; nil: it is never asked anything that needs an app token
	Tickets     *wechat.Tickets   // of the same app, for the JS-SDK; nil: no pages are signed for it
	Callback    *wechat.Callback  // takes its pushes; nil: /events/official-account does not know the account
}

// MiniProgram is one mini program (小程序) people log in with.
type MiniProgram struct {
	Alias       string
	OpenAccount string
	Client      *wechat.MiniProgram
	Tokens      *wechat.AppTokens // of the same app
}

// ProfilePolicy says whom the base login asks for a profile. The zero value asks unknown fans and guests, once.
type ProfilePolicy struct {
	Never  bool          // nobody: an openid alone makes a guest and lands
	MaxAge time.Duration // also fans whose profile is older; 0 asks no one again
}

// Server answers wxbridge's routes. It is safe for concurrent use.
type Server struct {
	cfg        Config
	engine     *gin.Engine
	returnTo   *ReturnPolicy
	cookies    cookieNames
	policy     string // Content-Security-Policy
	homePolicy string // the same with avatars
	repeats    *repeats
	codes      *seenCodes
	trusted    []netip.Prefix
	draining   atomic.Bool
	observers  map[string]func(status int, took time.Duration) // by route

	verifyWarned seldom
	ids          requestIDs
	passLog      slog.Handler // for notePass

	followerPauses *pauses
	memberPauses   *pauses // by corpid
	memberAsks     singleflight.Group

	jssdkScript http.Handler // of /jssdk.js
	scans       *scanWatch
	scanPauses  *pauses // of accounts that make no codes
}

// New checks the configuration and builds the routes.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("handlers: %w", err)
	}
	returnTo, err := NewReturnPolicy(cfg.PublicURL, cfg.ReturnOrigins, cfg.DefaultReturnTo)
	if err != nil {
		return nil, fmt.Errorf("handlers: %w", err)
	}
	trusted, err := parseTrusted(cfg.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("handlers: %w", err)
	}
	jssdkScript, err := templates.JSSDKScript(returnTo.Origin(), cfg.JSSDKScript)
	if err != nil {
		return nil, fmt.Errorf("handlers: %w", err)
	}
	s := &Server{
		cfg:        cfg,
		trusted:    trusted,
		returnTo:   returnTo,
		cookies:    namesFor(cfg.PublicURL, cfg.CookieDomain),
		policy:     templates.ContentSecurityPolicy(),
		passLog:    cfg.Logger.Handler().WithAttrs(passAttrs()),
		homePolicy: templates.ContentSecurityPolicy(cfg.ImageOrigins...),
		repeats:    newRepeats(cfg.Now),
		codes:      newSeenCodes(cfg.Now),

		followerPauses: newPauses(cfg.Now),
		memberPauses:   newPauses(cfg.Now),
		jssdkScript:    jssdkScript,

		scans:      newScanWatch(cfg.Store, cfg.Logger),
		scanPauses: newPauses(cfg.Now),
	}
	gin.SetMode(gin.ReleaseMode) // else it prints every route, and headers when a handler panics
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false
	engine.RemoteIPHeaders = []string{"X-Forwarded-For"} // and no other that a client might send through the proxy
	if err := engine.SetTrustedProxies(cfg.TrustedProxies); err != nil {
		return nil, fmt.Errorf("handlers: trusted proxies: %w", err)
	}
	s.engine = engine
	s.routes()
	s.observeRoutes()
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == verifyRoute && s.passQuickly(w, r) {
		return
	}
	s.engine.ServeHTTP(w, r)
}

// Drain makes /readyz answer 503, so that load balancers send no more requests while open ones finish.
// Pages that wait for a scan are sent to another process.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.scans.close()
}

func (s *Server) routes() {
	r := s.engine
	r.Use(s.requestID, s.accessLog, s.recoverPanic)
	both(r, verifyRoute, s.handle(s.verify)) // asked for every request of other sites, by a proxy: its passes go without what browsers need
	r.Use(s.secureHeaders, s.limitBody)
	r.NoRoute(s.handle(s.domainFile))
	r.NoMethod(s.handle(func(*gin.Context) error { return errMethodNotAllowed }))

	// Browser login.
	r.GET("/login", s.limitRate, s.handle(s.login))
	r.GET("/login/official-account", s.limitRate, s.handle(s.loginWith(db.ProviderOfficialAccount)))
	r.GET("/callback/official-account", s.limitRate, s.handle(s.callback(db.ProviderOfficialAccount)))
	r.GET("/login/website", s.limitRate, s.handle(s.loginWith(db.ProviderWebsite)))
	r.GET("/callback/website", s.limitRate, s.handle(s.callback(db.ProviderWebsite)))
	r.GET(scanRoute, s.limitRate, s.handle(s.loginScan))
	r.GET(scanRoute+"/events", s.limitRate, s.handle(s.scanEvents))
	r.POST(scanRoute+"/finish", s.limitRate, s.handle(s.finishScan))
	r.GET(confirmRoute, s.limitRate, s.handle(s.askScan))
	r.POST(confirmRoute, s.limitRate, s.handle(s.takeScanAnswer))
	r.GET("/login/wecom", s.limitRate, s.handle(s.loginWith(db.ProviderWeCom)))
	r.GET("/callback/wecom", s.limitRate, s.handle(s.callback(db.ProviderWeCom)))
	r.GET("/login/not-member", s.limitRate, s.handle(s.notMemberPage))
	r.GET("/login/register", s.limitRate, s.handle(s.registerPage))
	r.GET("/login/refused", s.limitRate, s.handle(s.refusedPage))
	r.GET("/login/snapshot", s.limitRate, s.handle(s.snapshotPage))
	r.GET("/login/cookies-off", s.limitRate, s.handle(s.cookiesOffPage))
	r.POST("/logout", s.handle(s.logout))
	both(r, "/", s.handle(s.home))

	// Pages.
	both(r, "/wxbridge.js", s.handle(s.staticFile("wxbridge.js")))
	both(r, "/jssdk.js", gin.WrapH(s.jssdkScript))
	r.GET("/jssdk/config", s.allowPages, s.limitRate, s.handle(s.jssdkConfig))

	// Mini program.
	r.POST("/miniprogram/login", s.limitRate, s.handle(s.miniProgramLogin))
	r.POST("/miniprogram/phone", s.limitRate, s.handle(s.miniProgramPhone))
	r.POST("/miniprogram/profile", s.limitRate, s.handle(s.miniProgramProfile))
	r.POST("/miniprogram/webview-ticket", s.limitRate, s.handle(s.newWebViewTicket))
	r.GET("/login/ticket", s.limitRate, s.handle(s.ticketPage))
	r.POST("/login/ticket", s.limitRate, s.handle(s.useTicket))

	// Pushes of WeChat's, which all come from a few addresses: they are never limited (SRV-04).
	r.GET("/events/official-account", s.handle(s.verifyEvents))
	r.POST("/events/official-account", s.handle(s.takeEvent))
	r.GET("/events/wecom", s.handle(s.verifyWeComEvents))
	r.POST("/events/wecom", s.handle(s.takeWeComEvent))

	// Tokens and APIs.
	r.GET("/me", s.handle(s.getMe))
	r.PATCH("/me", s.handle(s.patchMe))
	r.DELETE("/me", s.handle(s.deleteMe))
	r.GET("/me/export", s.handle(s.exportMe))
	r.POST("/me/logout-everywhere", s.handle(s.logoutEverywhere))
	r.POST("/oauth/introspect", s.limitRate, s.handle(s.introspect))
	r.POST("/oauth/revoke", s.limitRate, s.handle(s.revokeToken))
	r.GET("/internal/app-token", s.limitRate, s.handle(s.appToken))
	r.POST("/internal/app-token", s.limitRate, s.handle(s.refusedAppToken))
	both(r, "/.well-known/jwks.json", s.handle(s.jwks))

	// Operations.
	both(r, "/healthz", s.handle(s.healthz))
	both(r, "/readyz", s.handle(s.readyz))
	both(r, "/static/*file", s.handle(s.static()))
}

// both registers GET and HEAD, for routes without side effects.
func both(r *gin.Engine, path string, h gin.HandlerFunc) {
	r.GET(path, h)
	r.HEAD(path, h)
}

func (c *Config) check() error {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.DefaultReturnTo == "" {
		c.DefaultReturnTo = "/"
	}
	if c.JWKSFresh == nil {
		fixed := c.JWKSMaxAge
		c.JWKSFresh = func() time.Duration { return fixed }
	}
	var faults []error
	require := func(ok bool, what string) {
		if !ok {
			faults = append(faults, errors.New(what+" is missing"))
		}
	}
	require(c.PublicURL != nil, "PublicURL")
	require(c.TokenTTL > 0, "TokenTTL")
	require(c.SessionTTL > 0, "SessionTTL")
	require(c.Store != nil, "Store")
	require(c.Keys != nil, "Keys")
	require(c.Issuer != nil, "Issuer")
	require(c.Verifier != nil, "Verifier")
	require(c.Revocations != nil, "Revocations")
	require(c.Box != nil, "Box")
	require(c.Pages != nil, "Pages")
	require(c.Logger != nil, "Logger")
	return errors.Join(faults...)
}
