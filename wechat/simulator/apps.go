package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// The providers an app can be of.
const (
	ProviderOfficialAccount = "official_account"
	ProviderMiniProgram     = "mini_program"
	// ProviderWebsite apps log in on /connect/qrconnect; the authorize page refuses them with 10016, as WeChat does.
	ProviderWebsite = "website"
)

// App is one registered application, as WeChat's console would hold it.
type App struct {
	Provider string // one of the Provider constants
	AppID    string // "wx" and 16 hex digits in WeChat; any letters, digits, - and _ here
	Secret   string
	Name     string // what the phone page calls an official account, if there are several; "" leaves the appid

	// RedirectDomain is an account's 网页授权域名 or a website app's 授权回调域: a bare host name. redirect_uri must have
	// exactly this host (documented); its port is not compared (assumed: WeChat's setting has none, and a bridge on
	// loopback has one). Empty: every redirect_uri is refused with 10003.
	RedirectDomain string

	// JSDomains is the account's JS接口安全域名: bare host names, whose pages may use the JS-SDK. Their ports are not
	// compared. Empty: RedirectDomain alone.
	JSDomains []string

	// EventsURL is the server address of the account's message settings, Token the text that signs pushes to it,
	// EncodingAESKey the 43 characters that encrypt them, and EventsMode one of the Mode constants; empty: ModeAES with
	// a key, else ModePlain. Unlike WeChat's console, any host and port will do.
	EventsURL      string
	Token          string
	EncodingAESKey string
	EventsMode     string

	// OpenAccount names the Open Platform account the app is bound to. Apps of one name share unionids; an app
	// without a name is unbound and never shows one.
	OpenAccount string

	// What follows is for WeCom apps alone. Their AppID is the corpid, shared by all apps of a corp; AgentID tells them
	// apart. Their RedirectDomain is the trusted domain (可信域名): host and port, compared as they are written.
	AgentID int
	// LoginDomain is the app's own domain for the login on a PC (授权回调域), besides the trusted domain.
	LoginDomain string
	// PrivateFields are those that the admin lets the app ask members for: gender, avatar, qr_code, mobile, email,
	// biz_mail, address.
	PrivateFields []string
	OldApp        bool // made before 2022-06-20: user/get tells it the private fields without being asked
	ContactEvents bool // is told of change_contact by itself, as apps that manage contacts are
}

// DevApps is the set used when nobody brought their own: an official account, a mini program and a website app, all
// bound to the open account "default", then a WeCom app, another one of the same corp and one of another corp, all without
// an EventsURL. redirectDomain has to have its port, if there is one, for the logins of WeCom. Ids, secrets, token and key
// are derived from fixed labels and therefore the same in every run; they are not secret and not real.
func DevApps(redirectDomain string) []App {
	dev := func(provider string) App {
		return App{
			Provider:    provider,
			AppID:       "wx" + label("appid", provider)[:16],
			Secret:      label("secret", provider)[:32],
			OpenAccount: "default",
		}
	}
	official, mini, website := dev(ProviderOfficialAccount), dev(ProviderMiniProgram), dev(ProviderWebsite)
	official.RedirectDomain, website.RedirectDomain = redirectDomain, redirectDomain
	official.Token, official.EncodingAESKey, official.EventsMode = label("token")[:32], devAESKey(), ModeAES
	return append([]App{official, mini, website}, devCorps(redirectDomain)...)
}

// devAESKey is 43 letters and digits. The last one carries stray low bits, as those of real keys do, so that whoever
// decodes keys strictly finds out here.
func devAESKey() string {
	return (label("encoding aes key") + label("encoding aes key", "more"))[:42] + "R"
}

func label(parts ...string) string {
	sum := sha256.Sum256([]byte("wxbridge simulator\x00" + strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// indexApps checks and normalises the apps and files them by appid.
func indexApps(apps []App) (map[string]*App, error) {
	if len(apps) == 0 {
		return nil, errors.New("no app configured")
	}
	index := make(map[string]*App, len(apps))
	for i, app := range apps {
		if err := app.check(); err != nil {
			return nil, fmt.Errorf("app %d: %w", i+1, err)
		}
		if app.Provider == ProviderWeCom {
			continue // see indexCorps
		}
		if index[app.AppID] != nil {
			return nil, fmt.Errorf("app %d: appid %q appears twice", i+1, app.AppID)
		}
		app.RedirectDomain, app.EventsMode = hostOnly(app.RedirectDomain), app.mode()
		app.JSDomains = app.jsDomains()
		index[app.AppID] = &app
	}
	return index, checkAgents(apps)
}

func (a App) check() error {
	switch a.Provider {
	case ProviderOfficialAccount, ProviderMiniProgram, ProviderWebsite, ProviderWeCom:
	default:
		return fmt.Errorf("provider %q: want %s, %s, %s or %s", a.Provider,
			ProviderOfficialAccount, ProviderMiniProgram, ProviderWebsite, ProviderWeCom)
	}
	if err := a.checkWeCom(); err != nil {
		return err
	}
	if !plainID(a.AppID) {
		return fmt.Errorf("appid %q: want 1 to 64 letters, digits, - or _", a.AppID)
	}
	if a.Secret == "" || len(a.Secret) > 128 {
		return errors.New("secret: want 1 to 128 characters")
	}
	if strings.ContainsAny(a.RedirectDomain, "/?#@ ") {
		return fmt.Errorf("redirect_domain %q: want a bare host name such as www.example.com", a.RedirectDomain)
	}
	for _, domain := range a.JSDomains {
		if domain == "" || strings.ContainsAny(domain, "/?#@ ") {
			return fmt.Errorf("js_domains: %q: want a bare host name such as www.example.com", domain)
		}
	}
	return a.checkEvents()
}

// checkEvents checks the message settings. WeChat's token has 3 to 32 letters and digits (unverified, wechat-protocol §5.1).
func (a App) checkEvents() error {
	if a.EventsURL != "" {
		if u, err := url.Parse(a.EventsURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return fmt.Errorf("events_url %q: want an absolute http or https URL", a.EventsURL)
		}
	}
	if a.Token != "" && (len(a.Token) < 3 || len(a.Token) > 32 || strings.ContainsFunc(a.Token, notAlphanumeric)) {
		return errors.New("token: want 3 to 32 letters and digits")
	}
	switch a.EventsMode {
	case "", ModePlain, ModeCompatible, ModeAES:
	default:
		return fmt.Errorf("events_mode %q: want %s, %s or %s", a.EventsMode, ModePlain, ModeCompatible, ModeAES)
	}
	if a.EncodingAESKey != "" || a.mode() != ModePlain {
		if _, err := parseAESKey(a.EncodingAESKey); err != nil {
			return err
		}
	}
	return nil
}

// unreachable says why nothing can be pushed to the app's server; "" if something can.
func (a App) unreachable() string {
	switch {
	case a.EventsURL == "":
		return "the app has no events_url"
	case a.Token == "":
		return "the app has no token to sign pushes with"
	}
	return ""
}

// jsDomains is the list that pages are checked against.
func (a App) jsDomains() []string {
	configured := a.JSDomains
	if len(configured) == 0 && a.RedirectDomain != "" {
		configured = []string{a.RedirectDomain}
	}
	domains := make([]string, len(configured))
	for i, domain := range configured {
		domains[i] = hostOnly(domain)
	}
	return domains
}

func (a App) mode() string {
	switch {
	case a.EventsMode != "":
		return a.EventsMode
	case a.EncodingAESKey != "":
		return ModeAES
	}
	return ModePlain
}

func plainID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		ok := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_'
		if !ok {
			return false
		}
	}
	return true
}

// hostOnly drops a port and folds case: "LocalHost:8080" → "localhost".
func hostOnly(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		hostport = host
	}
	return strings.ToLower(strings.Trim(hostport, "[]"))
}

// sortedApps is the configured order, normalised, without WeCom's.
func (s *Server) sortedApps() []*App {
	var apps []*App
	for _, app := range s.cfg.Apps {
		if app.Provider != ProviderWeCom {
			apps = append(apps, s.apps[app.AppID])
		}
	}
	return apps
}
