package wecom

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"wxbridge/wechat"
)

// API says where WeCom is and how to reach it. The zero value of each field has a
// default, so &API{} talks to the real hosts.
type API struct {
	BaseURL  *url.URL     // server calls; default https://qyapi.weixin.qq.com
	OpenURL  *url.URL     // the authorize page inside WeCom; default https://open.weixin.qq.com
	LoginURL *url.URL     // the QR code for a PC; default https://login.work.weixin.qq.com
	HTTP     *http.Client // default wechat.NewHTTPClient(); its redirect policy is replaced by "none"

	Now         func() time.Time  // default time.Now
	CallTimeout time.Duration     // for one call, a repeat included; default 4 s, at most 5 s
	Observe     func(wechat.Call) // hears of each request when it has ended; may be nil
}

// App is one app of one organisation, as WeCom's admin console shows it.
type App struct {
	CorpID  string // "ww" or "wx" and 16 hex digits
	AgentID string // digits, such as "1000002"
	Secret  wechat.Secret
}

// Options tune a [Client]; the zero value works.
type Options struct {
	Store       wechat.TokenStore // spares a restart and other processes the fetch of token and tickets
	StoreFailed func(error)       // is told when the store does not work; may be nil
}

// Client makes the calls of one app. It is safe for concurrent use.
type Client struct {
	corpID, agentID string
	remote          *wechat.Remote
	secret          *wechat.Secret // a pointer, so that printing a Client cannot show it
	authorize       string         // the authorize link up to the value of redirect_uri
	qrLogin         string         // the link of the QR code up to the value of redirect_uri
	tokens          *wechat.TokenSource
	corpTickets     *wechat.Tickets
	agentTickets    *wechat.Tickets
}

const (
	defaultBaseURL  = "https://qyapi.weixin.qq.com"
	defaultOpenURL  = "https://open.weixin.qq.com"
	defaultLoginURL = "https://login.work.weixin.qq.com"
)

// New returns the client of an app, or an error that says what is wrong with api
// or app. It does no I/O.
func New(api *API, app App, o Options) (*Client, error) {
	if api == nil {
		return nil, errors.New("wecom: API is nil")
	}
	if err := app.check(); err != nil {
		return nil, err
	}
	remote, err := wechat.NewRemote(&wechat.API{BaseURL: api.BaseURL, HTTP: api.HTTP, Now: api.Now, CallTimeout: api.CallTimeout,
		Observe: api.Observe}, dialect())
	if err != nil {
		return nil, err
	}
	open, err := wechat.PublicURL("OpenURL", api.OpenURL, defaultOpenURL)
	if err != nil {
		return nil, err
	}
	login, err := wechat.PublicURL("LoginURL", api.LoginURL, defaultLoginURL)
	if err != nil {
		return nil, err
	}
	c := &Client{
		corpID:    app.CorpID,
		agentID:   app.AgentID,
		remote:    remote,
		secret:    &app.Secret,
		authorize: open + "/connect/oauth2/authorize?appid=" + app.CorpID + "&redirect_uri=",
		qrLogin:   login + "/wwlogin/sso/login?login_type=CorpApp&appid=" + app.CorpID + "&agentid=" + app.AgentID + "&redirect_uri=",
	}
	return c, c.keep(o)
}

// keep makes the sources of token and tickets.
func (c *Client) keep(o Options) (err error) {
	if c.tokens, err = c.newTokens(o); err != nil {
		return err
	}
	if c.corpTickets, err = c.newTickets(o, "wecom_jsapi:", opCorpTicket, ""); err != nil {
		return err
	}
	c.agentTickets, err = c.newTickets(o, "wecom_agent_config:", opAgentTicket, "type=agent_config")
	return err
}

// check refuses what could never work.
func (a App) check() error {
	switch s := a.Secret.Reveal(); {
	case !within(a.CorpID, 64, isAlnum):
		return fmt.Errorf("wecom: corpid %q is not 1 to 64 letters and digits", a.CorpID)
	case !within(a.AgentID, 20, isDigit):
		return fmt.Errorf("wecom: agentid %q is no number", a.AgentID)
	case s == "":
		return fmt.Errorf("wecom: the secret of agent %s is empty", a.AgentID)
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("wecom: the secret of agent %s begins or ends with white space", a.AgentID)
	}
	return nil
}

// CorpID returns the corpid.
func (c *Client) CorpID() string { return c.corpID }

// AgentID returns the agentid, in digits.
func (c *Client) AgentID() string { return c.agentID }

// Format prints corpid and agentid, whatever the verb.
func (c Client) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "wecom app %s of %s", c.agentID, c.corpID)
}

// key is the name of what belongs to this corp and this secret, and does not show
// the secret, which is too long to be guessed: a token of another secret is
// another app's (wecom-protocol §1.1).
func (c *Client) key(kind string) string {
	sum := sha256.Sum256([]byte(c.corpID + "\x00" + c.secret.Reveal()))
	return kind + c.corpID + ":" + c.agentID + ":" + hex.EncodeToString(sum[:8])
}

// call makes a call with the app's token in its query, the only place where WeCom
// looks for it (wecom-protocol §0.1). WeCom checks it first, so that a code is not
// spent by a call that was refused for its token.
func (c *Client) call(ctx context.Context, r wechat.Request) (a wechat.Answer, err error) {
	query, private := r.Query, r.Private
	err = c.tokens.Do(ctx, func(ctx context.Context, token wechat.Secret) error {
		r.Query = strings.TrimSuffix("access_token="+url.QueryEscape(token.Reveal())+"&"+query, "&")
		r.Private = append([]string{token.Reveal()}, private...)
		a, err = c.remote.Do(ctx, r)
		return err
	})
	return a, err
}

// useless is the error for an answer that makes no sense.
func (c *Client) useless(r wechat.Request, why error) error {
	return c.remote.Fail(r, wechat.ErrBusy, why.Error())
}
