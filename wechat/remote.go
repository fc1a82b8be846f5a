package wechat

import (
	"context"
	"errors"
	"net/url"
	"time"
)

// Remote makes calls to a server of Tencent's that keeps WeChat's ways (JSON
// with an errcode and status 200 for errors) but has paths and codes of its own,
// as WeCom's does. It gives the packages that know such a server what all calls
// of this package have: one deadline, a limit on the answer, no redirects, and
// errors that show nothing private. It is safe for concurrent use.
type Remote struct{ caller *caller }

// Dialect is what sets such a server apart. BaseURL, Meaning and Explain are
// required.
type Dialect struct {
	Name    string // begins the text of its errors, such as "wecom"
	BaseURL string // the default of API.BaseURL

	// Meaning is the sentinel that fits an errcode other than 0; see [Error.Is].
	Meaning func(op string, code int) error
	// Explain does for the server's errors what [Explain] does for WeChat's.
	Explain func(*Error) (cause, fix string, ok bool)
	// Split, if there is one, takes an errmsg apart; see [Error]. What it returns is
	// cleaned afterwards.
	Split func(errmsg string) (message, hint, from string)
}

// Request is one call of a [Remote].
type Request struct {
	Op      string   // path below the base URL, such as "cgi-bin/user/get"; also Error.Op
	Query   string   // encoded
	Body    any      // sent as JSON; nil makes it a GET
	Private []string // values in Query and Body that no error may show
	Once    bool     // it spends a code: never send it twice
}

// NewRemote returns a Remote, or an error that says what is wrong with api.
func NewRemote(api *API, d Dialect) (*Remote, error) {
	if d.Name == "" || d.BaseURL == "" || d.Meaning == nil || d.Explain == nil {
		return nil, errors.New("wechat: a dialect lacks its name, base URL or codes")
	}
	caller, err := api.caller()
	if err != nil {
		return nil, err
	}
	if api.BaseURL == nil {
		caller.base = d.BaseURL
	}
	caller.dialect = &d
	return &Remote{caller}, nil
}

// Do makes the call. The answer has no errcode but may still lack what is asked
// for. Every error is an [*Error]; a -1 is tried once more unless a code is spent.
func (r *Remote) Do(ctx context.Context, req Request) (Answer, error) {
	c := call{op: req.Op, query: req.Query, private: req.Private, once: req.Once}
	if req.Body != nil {
		if err := c.setBody(req.Body); err != nil {
			return Answer{}, err
		}
	}
	a, err := r.caller.do(ctx, c)
	return Answer{a}, err
}

// Fail is the error of a call that is wrong before it is made, or whose answer is
// of no use. kind is the one sentinel that fits it.
func (r *Remote) Fail(req Request, kind error, message string) *Error {
	return r.caller.own(&Error{Op: req.Op, Message: call{private: req.Private}.clean(message), kind: kind})
}

// Now is the time by the clock of the API.
func (r *Remote) Now() time.Time { return r.caller.now() }

// Timeout is the time that a call takes at most.
func (r *Remote) Timeout() time.Duration { return r.caller.timeout }

// Answer is what a [Remote] answered. Names of fields are case-sensitive.
type Answer struct{ a answer }

// Text returns a string field; absent and null are "".
func (a Answer) Text(name string) (string, error) { return a.a.text(name) }

// Int returns an integer given as a number or as a string; absent and null are
// 0. ok is false for anything else.
func (a Answer) Int(name string) (n int64, ok bool) { return a.a.number(name) }

// Ints returns an array of integers; absent and null are empty.
func (a Answer) Ints(name string) ([]int64, error) { return a.a.numbers(name) }

// PublicURL returns u, or the default if it is nil, without a slash at its end. The
// error names the field.
func PublicURL(field string, u *url.URL, byDefault string) (string, error) {
	return baseURL(field, u, byDefault)
}
