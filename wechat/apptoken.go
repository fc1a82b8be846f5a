package wechat

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"
)

// AppTokens is the source of one app's token, the "global access_token" that
// calls below cgi-bin and wxa carry (wechat-protocol §2), and makes those calls.
// It is safe for concurrent use.
//
// Everything that uses an app's token should ask one AppTokens, or several that
// share a [TokenStore]: WeChat lets a new token of cgi-bin/token end the one
// before, so two that fetch by themselves fight. How a token is kept, see
// [TokenSource].
type AppTokens struct {
	*TokenSource

	appID    string
	caller   *caller
	secret   *Secret // a pointer, so that printing an AppTokens cannot show it
	showQR   string  // the address of a QR code's picture, up to its ticket
	rotating bool
}

// AppToken is an app's token. Reserve 512 characters for its value (§2.2).
type AppToken struct {
	Value     Secret
	FetchedAt time.Time // by our clock, before the request left
	ExpiresAt time.Time // FetchedAt and the seconds that WeChat named: never later than in truth
}

// AppTokenOptions tune an [AppTokens]; the zero value is right for most.
type AppTokenOptions struct {
	// Rotating asks cgi-bin/token instead of cgi-bin/stable_token. Each of its
	// fetches ends the token before, five minutes later, and a day has 2000 of
	// them (§2.1). The two methods do not touch each other's tokens.
	Rotating bool

	// Store, if there is one, spares a restart and other processes the fetch.
	Store TokenStore

	// StoreFailed is told when the store does not work; the token is fetched
	// without it then. Nil means that nobody wants to know.
	StoreFailed func(error)
}

const (
	opStableToken = "cgi-bin/stable_token"
	opToken       = "cgi-bin/token"
)

// NewAppTokens returns the source for app, or an error that says what is wrong
// with api or app. It does no I/O.
func NewAppTokens(api *API, app App, o AppTokenOptions) (*AppTokens, error) {
	caller, err := api.caller()
	if err != nil {
		return nil, err
	}
	mp, err := baseURL("MPURL", api.MPURL, defaultMPURL)
	if err != nil {
		return nil, err
	}
	if err := app.check(); err != nil {
		return nil, err
	}
	t := &AppTokens{appID: app.ID, caller: caller, secret: &app.Secret, showQR: mp + "/cgi-bin/showqrcode?ticket=", rotating: o.Rotating}
	t.TokenSource, err = NewTokenSource(TokenSourceConfig{
		Key:          app.ID,
		Op:           t.op(),
		Fetch:        t.fetchToken,
		FetchTimeout: caller.timeout,
		Now:          caller.now,
		Store:        o.Store,
		StoreFailed:  o.StoreFailed,
	})
	return t, err
}

// AppID returns the appid.
func (t *AppTokens) AppID() string { return t.appID }

// call makes a call below cgi-bin or wxa: r with the token added to its query.
func (t *AppTokens) call(ctx context.Context, r call) (a answer, err error) {
	query, private := r.query, r.private
	err = t.Do(ctx, func(ctx context.Context, token Secret) error {
		r.query = strings.TrimSuffix("access_token="+url.QueryEscape(token.Reveal())+"&"+query, "&")
		r.private = append([]string{token.Reveal()}, private...)
		a, err = t.caller.do(ctx, r)
		return err
	})
	return a, err
}

// op names the method that tokens are fetched by.
func (t *AppTokens) op() string {
	if t.rotating {
		return opToken
	}
	return opStableToken
}

// fetchToken asks WeChat for a token.
func (t *AppTokens) fetchToken(ctx context.Context, force bool) (AppToken, error) {
	now := t.caller.now()
	r, err := t.request(force && !t.rotating)
	if err != nil {
		return AppToken{}, err
	}
	a, err := t.caller.do(ctx, r)
	if err != nil {
		return AppToken{}, err
	}
	token, err := a.appToken(now)
	if err != nil {
		return AppToken{}, r.busy(err.Error())
	}
	return token, nil
}

// request builds the call of wechat-protocol §2.1 or §2.2.
func (t *AppTokens) request(force bool) (call, error) {
	r := call{op: t.op(), private: []string{t.secret.Reveal()}}
	if t.rotating {
		r.query = "grant_type=client_credential&appid=" + t.appID + "&secret=" + url.QueryEscape(t.secret.Reveal())
		return r, nil
	}
	err := r.setBody(struct {
		GrantType string `json:"grant_type"`
		AppID     string `json:"appid"`
		Secret    string `json:"secret"`
		Force     bool   `json:"force_refresh,omitempty"`
	}{"client_credential", t.appID, t.secret.Reveal(), force})
	return r, err
}

// appToken reads the answer of wechat-protocol §2.1 and §2.2. Without a
// lifetime a token would be fetched for every call, so one is asked for.
func (a answer) appToken(now time.Time) (AppToken, error) {
	const longest = 2048
	value, err := a.text("access_token")
	if err != nil {
		return AppToken{}, err
	}
	life := a.lifetime("expires_in")
	switch {
	case value == "":
		return AppToken{}, errNoToken
	case len(value) > longest || !isVisible(value):
		return AppToken{}, errors.New("the answer's access_token has no possible shape")
	case life <= 0:
		return AppToken{}, errors.New("the answer has no expires_in")
	}
	return AppToken{Value: Secret(value), FetchedAt: now, ExpiresAt: now.Add(life)}, nil
}
