// Package config reads the bridge's settings from the environment, checks every one of them and reports all
// faults at once. It starts nothing and connects to nothing.
//
// A setting is a variable named WXBRIDGE_…; variables.go lists them all. Load turns them into a Config whose values
// are normalised and safe to use as they are: whoever holds a Config need not check again.
package config

import (
	"net/url"
	"time"
)

// Prefix begins the name of every variable that is ours.
const Prefix = "WXBRIDGE_"

// Config is a checked configuration.
type Config struct {
	PublicURL *url.URL // scheme and host as browsers see them, lower case, without path, default port or trailing slash
	Listen    string   // host:port
	Database  string   // "sqlite://PATH"
	Secret    Secret   // at least 32 bytes; seals flow cookies, session keys and signing keys

	SecretPrevious Secret // what Secret was before: opens what it sealed; "" has none

	ReturnOrigins   []string // origins a return_to may name, "https://h5.example.com"
	DefaultReturnTo string   // a path of ours, or a URL on the origin of PublicURL or one of ReturnOrigins
	CookieDomain    string   // "" keeps cookies to the host of PublicURL
	TrustedProxies  []string // networks in CIDR form whose X-Forwarded-* is believed
	DomainFiles     string   // folder of WeChat's domain ownership files; "" has none

	ProfilePolicy ProfilePolicy
	DesktopLogin  string // DesktopAuto, DesktopWebsite, DesktopScan or DesktopQRCode
	PrivacyURL    string // "" has none
	TermsURL      string // "" has none
	SessionTTL    time.Duration

	Official    OfficialApp // zero: not configured
	MiniProgram App         // zero: not configured
	Website     App         // zero: not configured
	WeCom       WeComApp    // zero: not configured

	CheckNickname bool // WeChat is asked about each name that people give themselves in a mini program

	// Apps are all apps: Official, MiniProgram and Website under the alias DefaultApp, then those of AppsFile.
	Apps     []NamedApp
	AppsFile string // "" has none

	JWTTTL      time.Duration
	JWTAudience string // aud of access tokens; never ClientID
	JWKSMaxAge  time.Duration

	JWTAlg         string        // ES256, EdDSA, RS256 or HS256
	JWTHS256Secret Secret        // at least 32 bytes; "" only if JWTAlg is not HS256
	KeyMaxAge      time.Duration // age at which a signing key is replaced
	RateLimit      int           // requests a minute and client address on login, callback and token routes; 0 has no limit
	MetricsListen  string        // host:port of the listener for metrics; "" has none
	ClientsFile    string        // of services that may introspect and revoke tokens, readable; "" has none
	EventWebhooks  string        // file of the backends that are told of events, readable; "" has none

	WeChatAPIURL  *url.URL // https://api.weixin.qq.com
	WeChatOpenURL *url.URL // https://open.weixin.qq.com
	WeChatMPURL   *url.URL // https://mp.weixin.qq.com

	WeComAPIURL   *url.URL // https://qyapi.weixin.qq.com
	WeComLoginURL *url.URL // https://login.work.weixin.qq.com

	// SecretFiles names ClientsFile, AppsFile, EventWebhooks and the files that secrets were read from, so that the start can
	// look at their modes.
	SecretFiles []string
}

// MaxJWTTTL bounds JWTTTL: no token of any configuration lives longer.
const MaxJWTTTL = 30 * 24 * time.Hour

// ClientID is the client_id of access tokens and the aud of ID tokens.
const ClientID = "wxbridge"

// App is an appid with its secret.
type App struct {
	ID     string // "wx" and 16 hexadecimal digits
	Secret Secret
}

// Configured reports whether the app was named in the environment.
func (a App) Configured() bool { return a.ID != "" }

// OfficialApp is an official account and how its authorize links look.
type OfficialApp struct {
	App
	Token           Secret // signs WeChat's pushes; "" takes none
	EncodingAESKey  Secret // encrypts them, 43 letters and digits; "" is plain mode
	ConnectRedirect bool   // adds connect_redirect=1
	ForcePopup      bool   // adds forcePopup=true
}

// ProfilePolicy says which known fans are asked for their profile again. The zero value, "unknown", asks only
// unknown fans and guests.
type ProfilePolicy struct {
	Never  bool          // nobody is asked
	MaxAge time.Duration // fans whose profile is older are asked too; 0 asks none of them
}

// Load checks the variables of environ whose names begin with Prefix; others are ignored. readFile reads the file a
// …_FILE variable names. Every fault found is in the error, which is of type Faults; it never holds a value. With an error, the
// Config is what could be read, good for finding faults elsewhere and for nothing more.
func Load(environ map[string]string, readFile func(name string) ([]byte, error)) (Config, error) {
	l := &loader{}
	settings, secretFiles := l.resolve(environ, readFile)
	v := l.parse(settings)

	c := Config{SecretFiles: secretFiles}
	c.PublicURL = l.publicURL(v.PublicURL)
	c.Listen = l.listen("LISTEN", v.Listen)
	c.Database = l.database(v.Database)
	c.Secret = l.strongSecret("SECRET", v.Secret)
	c.SecretPrevious = l.previousSecret(v)

	c.ReturnOrigins = l.returnOrigins(v.ReturnOrigins)
	c.DefaultReturnTo = l.defaultReturnTo(v.DefaultReturnTo, c.PublicURL, c.ReturnOrigins)
	c.CookieDomain = l.cookieDomain(v.CookieDomain, c.PublicURL)
	c.TrustedProxies = l.trustedProxies(v.TrustedProxies)
	c.DomainFiles = l.folder("DOMAIN_FILES", v.DomainFiles)

	c.ProfilePolicy = l.profilePolicy(v.ProfilePolicy)
	c.PrivacyURL = l.link("PRIVACY_URL", v.PrivacyURL)
	c.TermsURL = l.link("TERMS_URL", v.TermsURL)
	c.SessionTTL = l.duration("SESSION_TTL", v.SessionTTL, time.Second, 400*24*time.Hour)

	c.Official = OfficialApp{
		App:             l.app("OFFICIAL", v.OfficialAppID, v.OfficialAppSecret),
		Token:           l.callbackToken("OFFICIAL", v.OfficialAppID, v.OfficialToken),
		EncodingAESKey:  l.encodingAESKey("OFFICIAL", v.OfficialToken, v.OfficialEncodingAESKey),
		ConnectRedirect: v.OfficialConnectRedirect,
		ForcePopup:      v.OfficialForcePopup,
	}
	c.MiniProgram = l.app("MINIPROGRAM", v.MiniProgramAppID, v.MiniProgramAppSecret)
	c.CheckNickname = v.MiniProgramCheckNick
	c.Website = l.app("WEBSITE", v.WebsiteAppID, v.WebsiteAppSecret)
	c.WeCom = l.wecom(v)
	l.apps(v)
	c.AppsFile, c.Apps = v.AppsFile, c.environmentApps()
	named, files := l.appsFile(v.AppsFile, c.Apps, readFile)
	c.Apps, c.SecretFiles = append(c.Apps, named...), append(c.SecretFiles, files...)

	c.DesktopLogin = l.desktopLogin(v.DesktopLogin, c)

	c.JWTTTL = l.duration("JWT_TTL", v.JWTTTL, time.Second, MaxJWTTTL)
	c.JWTAudience = l.audience(v.JWTAudience, c.PublicURL)
	c.JWKSMaxAge = l.duration("JWKS_MAX_AGE", v.JWKSMaxAge, 0, 24*time.Hour)
	c.JWTAlg = l.algorithm(v.JWTAlg)
	c.JWTHS256Secret = l.sharedSecret(v)
	c.KeyMaxAge = l.keyMaxAge(v)

	c.RateLimit = l.rateLimit(v.RateLimit)
	c.MetricsListen = l.metricsListen(v.MetricsListen, c.Listen)

	c.ClientsFile = l.readable("CLIENTS_FILE", v.ClientsFile, readFile)
	if c.ClientsFile != "" {
		c.SecretFiles = append(c.SecretFiles, c.ClientsFile)
	}
	c.EventWebhooks = l.readable("EVENT_WEBHOOKS", v.EventWebhooks, readFile)
	if c.EventWebhooks != "" {
		c.SecretFiles = append(c.SecretFiles, c.EventWebhooks)
	}

	c.WeChatAPIURL = l.upstream("WECHAT_API_URL", v.WeChatAPIURL, c.PublicURL)
	c.WeChatOpenURL = l.upstream("WECHAT_OPEN_URL", v.WeChatOpenURL, c.PublicURL)
	c.WeChatMPURL = l.upstream("WECHAT_MP_URL", v.WeChatMPURL, c.PublicURL)
	c.WeComAPIURL = l.upstream("WECOM_API_URL", v.WeComAPIURL, c.PublicURL)
	c.WeComLoginURL = l.upstream("WECOM_LOGIN_URL", v.WeComLoginURL, c.PublicURL)

	return c, l.err()
}
