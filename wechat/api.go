package wechat

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// API says where WeChat is and how to reach it. The zero value of each field
// has a default, so &API{} talks to the real hosts. Set HTTP to let several
// clients share its connections; left nil, each makes its own.
type API struct {
	BaseURL *url.URL     // server calls; default https://api.weixin.qq.com
	OpenURL *url.URL     // pages for browsers; default https://open.weixin.qq.com
	MPURL   *url.URL     // pictures of QR codes; default https://mp.weixin.qq.com
	HTTP    *http.Client // default NewHTTPClient(); its redirect policy is replaced by "none"

	Now         func() time.Time // default time.Now
	CallTimeout time.Duration    // for one call, a repeat included; default 4 s, at most 5 s

	// Observe hears of each request to WeChat when it has ended, from many goroutines. A call that is repeated is two. May be nil.
	Observe func(Call)
}

// Call is one request to WeChat that has ended.
type Call struct {
	Path string        // "/sns/jscode2session"
	Took time.Duration // until the answer was read
	Err  *Error        // nil: an answer without an errcode
}

// App is an account at WeChat as its console shows it: appid ("wx" and 16 hex
// digits) and AppSecret.
type App struct {
	ID     string
	Secret Secret
}

const (
	defaultBaseURL     = "https://api.weixin.qq.com"
	defaultOpenURL     = "https://open.weixin.qq.com"
	defaultMPURL       = "https://mp.weixin.qq.com"
	defaultCallTimeout = 4 * time.Second
	maxCallTimeout     = 5 * time.Second

	// One connection carries one call (HTTP/1.1), so this is also the number of
	// calls in flight. Idle ones are kept in the same number: net/http's default
	// of two would open a connection for nearly every login under load.
	maxConnections = 256
)

// NewHTTPClient returns a client fit for calls to WeChat: verified TLS 1.2 or
// newer, no proxy from the environment, no redirects, a bounded number of
// connections, and a time limit on a whole call.
func NewHTTPClient() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		Timeout:       maxCallTimeout,
		CheckRedirect: refuseRedirects,
		Transport: &http.Transport{
			Proxy:                  nil, // never http.ProxyFromEnvironment
			Protocols:              protocols,
			DialContext:            (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    3 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			MaxConnsPerHost:        maxConnections,
			MaxIdleConnsPerHost:    maxConnections,
			// Short, because a code is not sent again when the server closes an
			// idle connection at the very moment we pick it.
			IdleConnTimeout:    30 * time.Second,
			DisableCompression: true, // answers are small; nothing to unpack, nothing to bomb
		},
	}
}

// refuseRedirects makes a 3xx an answer like any other; being no 200, it is
// ErrBusy. WeChat's server calls never redirect.
func refuseRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// caller checks api and fills in its defaults.
func (api *API) caller() (*caller, error) {
	if api == nil {
		return nil, errors.New("wechat: API is nil")
	}
	base, err := baseURL("BaseURL", api.BaseURL, defaultBaseURL)
	if err != nil {
		return nil, err
	}
	c := &caller{base: base, now: api.Now, timeout: api.CallTimeout, observe: api.Observe}
	switch {
	case c.timeout == 0:
		c.timeout = defaultCallTimeout
	case c.timeout < 0 || c.timeout > maxCallTimeout:
		return nil, fmt.Errorf("wechat: CallTimeout is %v, must be between 0 and %v", c.timeout, maxCallTimeout)
	}
	if c.now == nil {
		c.now = time.Now
	}
	client := api.HTTP
	if client == nil {
		client = NewHTTPClient()
	}
	own := *client // shares the transport, not the redirect policy
	own.CheckRedirect = refuseRedirects
	if own.Timeout >= c.timeout {
		own.Timeout = 0 // each call has a deadline that is no later; a second one is only work
	}
	c.http = &own
	return c, nil
}

// baseURL returns u, or the default, as a string without a slash at its end.
func baseURL(field string, u *url.URL, byDefault string) (string, error) {
	switch {
	case u == nil:
		return byDefault, nil
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.User != nil, u.RawQuery != "", u.Fragment != "":
		return "", fmt.Errorf("wechat: %s must be scheme, host and perhaps a path, such as %s", field, byDefault)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// check refuses what could never work. The shape of an appid is left to
// WeChat, but not characters that no appid has.
func (a App) check() error {
	if !isToken(a.ID, 64) {
		return fmt.Errorf("wechat: appid %q is not 1 to 64 letters and digits", a.ID)
	}
	if a.Secret == "" {
		return fmt.Errorf("wechat: the secret of app %s is empty", a.ID)
	}
	if s := a.Secret.Reveal(); strings.TrimSpace(s) != s {
		return fmt.Errorf("wechat: the secret of app %s begins or ends with white space", a.ID)
	}
	return nil
}

// isToken reports whether s has 1 to limit characters of [A-Za-z0-9_-].
func isToken(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
