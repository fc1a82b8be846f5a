package wechat

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
)

// AppTokens is the source of one app's token, the "global access_token" that
// calls below cgi-bin and wxa carry (wechat-protocol §2). It is safe for
// concurrent use.
//
// A token is fetched when somebody first asks, and again a little before it
// ends: then those who ask meanwhile get the old one, which is still good. One
// fetch serves all who wait; a caller that gives up does not end it. A fetch
// that fails is not repeated for a moment (half a second, longer while WeChat
// stays away, and until the next minute or for ten minutes where a quota is used
// up); who asks in that time gets the same error, unless the old token still
// lives.
//
// Everything that uses an app's token should ask one AppTokens, or several that
// share a [TokenStore]: WeChat lets a new token of cgi-bin/token end the one
// before, so two that fetch by themselves fight.
type AppTokens struct {
	appID    string
	caller   *caller
	secret   *Secret // a pointer, so that printing an AppTokens cannot show it
	rotating bool
	store    TokenStore
	report   func(error)

	flight *singleflight.Group
	state  *tokenState
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

	// stable_token hands out the old token until its last five minutes (§2.2);
	// asking before that gains nothing.
	renewEarly = 4 * time.Minute

	leaseMargin = 3 * time.Second       // for what the store does around a fetch
	storePoll   = 50 * time.Millisecond // how often a process looks for another's token
)

// NewAppTokens returns the source for app, or an error that says what is wrong
// with api or app. It does no I/O.
func NewAppTokens(api *API, app App, o AppTokenOptions) (*AppTokens, error) {
	caller, err := api.caller()
	if err != nil {
		return nil, err
	}
	if err := app.check(); err != nil {
		return nil, err
	}
	t := &AppTokens{
		appID:    app.ID,
		caller:   caller,
		secret:   &app.Secret,
		rotating: o.Rotating,
		report:   o.StoreFailed,
		flight:   new(singleflight.Group),
		state:    new(tokenState),
	}
	if o.Store != nil {
		t.store = boundedStore{o.Store}
	}
	return t, nil
}

// AppID returns the appid.
func (t *AppTokens) AppID() string { return t.appID }

// Format prints the appid, whatever the verb: the rest is in motion.
func (t AppTokens) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "app tokens of "+t.appID) }

// Token returns a token that lives, by our clock. WeChat may have ended it
// early all the same: [AppTokens.Do] copes with that. Where there is none yet it
// waits for the fetch, or for that of another process on the same store, as long
// as ctx allows.
func (t *AppTokens) Token(ctx context.Context) (AppToken, error) {
	token, renew, err := t.state.look(t.caller.now())
	if err != nil {
		return AppToken{}, err
	}
	if !renew {
		return token, nil
	}
	done := t.flight.DoChan("", func() (any, error) { return t.renew() })
	if token.Value != "" {
		return token, nil // good for some minutes yet: nobody waits for the next one
	}
	select {
	case r := <-done:
		if r.Err != nil {
			return AppToken{}, r.Err
		}
		return r.Val.(AppToken), nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return AppToken{}, cancelled(t.op())
		}
		return AppToken{}, late(t.op())
	}
}

// Do runs use with the app's token. If use fails because WeChat does not accept
// the token (an [*Error] with code 40001, 40014 or 42001), exactly that token is
// dropped and use runs once more with the next one; never a third time. WeChat
// looks at the token before anything else, so a call that was refused for it has
// spent no code (§2.4).
//
// WeChat ends a token early when somebody else fetches from cgi-bin/token, or
// forces a refresh of stable_token. Asking stable_token plainly then gives the
// one that took its place. Should it give the refused one again, and that be
// refused again, the next fetch forces a refresh, which WeChat grants 20 times
// a day; we ask once in two hours at most.
//
// An app token that is refused as soon as it is fetched is not replaced at once
// each time: first after 10 seconds, then after ever longer up to 4 minutes, so
// that no fault, ours or WeChat's, can eat a day's quota. Until then the error
// is that of use.
func (t *AppTokens) Do(ctx context.Context, use func(ctx context.Context, token Secret) error) error {
	token, err := t.Token(ctx)
	if err != nil {
		return err
	}
	err = use(ctx, token.Value)
	if !refusesToken(err) || !t.Drop(token.Value) {
		return err
	}
	if token, err = t.Token(ctx); err != nil {
		return err
	}
	return use(ctx, token.Value)
}

// Drop says that WeChat refused a token, as [AppTokens.Do] does by itself. If it
// is the one we hold, nobody gets it again; if it has been replaced meanwhile,
// nothing happens. Drop reports whether Token would now give another one: not if
// tokens are refused faster than it is wise to fetch them.
func (t *AppTokens) Drop(refused Secret) bool { return t.state.drop(refused, t.caller.now()) }

// refusesToken reports whether err is WeChat's word that the app token is not
// valid any more (§2.4).
func refusesToken(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Code == 40001 || e.Code == 40014 || e.Code == 42001)
}

// call makes a call below cgi-bin: r with the token added to its query.
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

// renew is run by one caller at a time, detached from any of them.
func (t *AppTokens) renew() (AppToken, error) {
	token, renew, err := t.state.look(t.caller.now())
	if err != nil || !renew {
		return token, err // somebody else got it, or failed, between the question and now
	}
	if token, err = t.obtain(); err != nil {
		t.state.failed(err, t.caller.now())
		return AppToken{}, err
	}
	t.state.keep(token)
	return token, nil
}

// obtain takes the token from the store if a good one is there, and else
// fetches it, one process at a time. Each step has a time limit of its own.
func (t *AppTokens) obtain() (AppToken, error) {
	if t.store == nil {
		return t.fetch()
	}
	owner := rand.Text()
	token, err := t.await(owner)
	if err != nil {
		t.failing(err)
		return t.fetch()
	}
	if token.Value != "" {
		return token, nil
	}
	defer t.unlock(owner)
	if token, err = t.fetch(); err == nil {
		t.failing(t.store.Save(context.Background(), t.appID, owner, token))
	}
	return token, err
}

// await returns the stored token once it is good, or none when the lock has
// become ours. It outwaits the lease of a holder that died.
func (t *AppTokens) await(owner string) (AppToken, error) {
	ctx, cancel := context.WithTimeout(context.Background(), t.lease()+leaseMargin)
	defer cancel()
	locked := false
	for {
		token, err := t.store.Load(ctx, t.appID)
		good := err == nil && t.state.accepts(token, t.caller.now())
		if locked && (good || err != nil) {
			t.unlock(owner)
		}
		switch {
		case good:
			return token, nil
		case err != nil || locked:
			return AppToken{}, err
		}
		if locked, err = t.store.Lock(ctx, t.appID, owner, t.lease()); err != nil {
			return AppToken{}, err
		}
		if locked {
			continue // look again: the holder before us may have saved in between
		}
		select {
		case <-time.After(storePoll):
		case <-ctx.Done():
			return AppToken{}, ctx.Err()
		}
	}
}

// lease is how long a fetch may hold the lock: the time of the call, and some for
// the store.
func (t *AppTokens) lease() time.Duration { return t.caller.timeout + leaseMargin }

func (t *AppTokens) unlock(owner string) {
	t.failing(t.store.Unlock(context.Background(), t.appID, owner))
}

func (t *AppTokens) failing(err error) {
	if err != nil && t.report != nil {
		t.report(err)
	}
}

// fetch asks WeChat.
func (t *AppTokens) fetch() (AppToken, error) {
	now := t.caller.now()
	r, err := t.request(!t.rotating && t.state.mayForce(now))
	if err != nil {
		return AppToken{}, err
	}
	a, err := t.caller.do(context.Background(), r) // within CallTimeout
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
	body, err := json.Marshal(struct {
		GrantType string `json:"grant_type"`
		AppID     string `json:"appid"`
		Secret    string `json:"secret"`
		Force     bool   `json:"force_refresh,omitempty"`
	}{"client_credential", t.appID, t.secret.Reveal(), force})
	if err != nil {
		return call{}, r.busy("the request cannot be written")
	}
	r.body = body
	return r, nil
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
