package wechat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"
)

// caller makes the calls of one client.
type caller struct {
	base    string // "https://api.weixin.qq.com"
	http    *http.Client
	now     func() time.Time
	timeout time.Duration
	observe func(Call) // may be nil
	dialect *Dialect   // of another server than WeChat's; nil for that
}

// call is one request to WeChat: a GET with everything in its query, or, with a
// body, a POST.
type call struct {
	op      string   // path below the base, such as "sns/userinfo"; also Error.Op
	query   string   // encoded
	body    []byte   // JSON; nil makes it a GET
	private []string // values in query and body that no error may show
	once    bool     // the request spends a code: never send it twice
}

const (
	maxAnswer  = 1 << 20 // bytes; the largest documented answer has about 2 KiB
	codeBusy   = -1      // "system error": WeChat's own word for "try again"
	retryFloor = 100 * time.Millisecond
)

// setBody makes the call a POST of v. WeChat has refused escapes such as \u0026
// where they need not be (wechat-protocol §0.1), so nothing is escaped that JSON
// allows as it is. v is made of our own fields and can be written.
func (r *call) setBody(v any) error {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return r.busy("the request cannot be written")
	}
	r.body = bytes.TrimSuffix(body.Bytes(), []byte("\n"))
	return nil
}

// do makes the call and returns the answer, which has no errcode but may
// still lack what the caller needs. All of it, the repeat included, happens
// within one deadline.
func (c *caller) do(ctx context.Context, r call) (answer, error) {
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()

	a, err := c.try(limited, r)
	if err != nil && err.Code == codeBusy && !r.once && pause(limited) {
		a, err = c.try(limited, r)
	}
	if err == nil {
		return a, nil
	}
	if err.Code == 0 && errors.Is(ctx.Err(), context.Canceled) {
		return answer{}, c.own(cancelled(r.op))
	}
	return answer{}, err
}

// own marks an error as one of the server that c calls.
func (c *caller) own(err *Error) *Error {
	err.dialect = c.dialect
	return err
}

// cancelled is the error for a caller who has left; that says nothing about
// WeChat.
func cancelled(op string) *Error {
	return &Error{Op: op, Message: "cancelled by the caller", kind: errCancelled, cause: context.Canceled}
}

// late is the error for an answer that did not come in time.
func late(op string) *Error {
	return &Error{Op: op, Message: "no answer in time", kind: ErrBusy, cause: context.DeadlineExceeded}
}

// pause waits 100 to 200 ms before a repeat, and reports whether there is
// still time for one.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(retryFloor + rand.N(retryFloor))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// try makes one request and tells who listens how it ended.
func (c *caller) try(ctx context.Context, r call) (answer, *Error) {
	if c.observe == nil {
		return c.ask(ctx, r)
	}
	began := time.Now()
	a, err := c.ask(ctx, r)
	c.observe(Call{Path: "/" + r.op, Took: time.Since(began), Err: err})
	return a, err
}

func (c *caller) ask(ctx context.Context, r call) (answer, *Error) {
	body, err := c.fetch(ctx, r)
	if err != nil {
		return answer{}, c.own(r.unreachable(err))
	}
	a, err := parseAnswer(body)
	if err != nil {
		return answer{}, c.own(r.busy(err.Error()))
	}
	code, err := a.errcode()
	if err != nil {
		return answer{}, c.own(r.busy(err.Error()))
	}
	if code != 0 {
		message, _ := a.text("errmsg")
		return answer{}, c.own(r.refused(code, message, c.dialect))
	}
	return a, nil
}

// refused is the error for an answer with an errcode.
func (r call) refused(code int, message string, d *Dialect) *Error {
	err := &Error{Op: r.op, Code: code}
	if d != nil && d.Split != nil {
		message, err.Hint, err.From = d.Split(message)
		err.Hint, err.From = r.clean(err.Hint), r.clean(err.From)
	}
	err.Message = r.clean(message)
	return err
}

func (c *caller) fetch(ctx context.Context, r call) ([]byte, error) {
	req, err := r.request(ctx, c.base)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	var body bytes.Buffer
	body.Grow(int(min(max(resp.ContentLength, 0), maxAnswer)) + bytes.MinRead) // else ReadFrom grows it for nothing
	if _, err := body.ReadFrom(io.LimitReader(resp.Body, maxAnswer+1)); err != nil {
		return nil, err
	}
	if body.Len() > maxAnswer {
		return nil, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return body.Bytes(), nil
}

// request builds the call as it goes over the wire. WeChat does not look at the
// Content-Type of a body (wechat-protocol §0.1); proxies on the way may.
func (r call) request(ctx context.Context, base string) (*http.Request, error) {
	address := base + "/" + r.op
	if r.query != "" {
		address += "?" + r.query
	}
	if r.body == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err == nil && r.once {
			sendOnce(req)
		}
		return req, err
	}
	// A POST that has begun to travel is never repeated by net/http itself.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(r.body))
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, err
}

// sendOnce keeps net/http from sending req again. Its transport repeats a GET
// without a body by itself when a kept-alive connection breaks before the
// answer, which would send a code twice. A body that cannot be rewound forbids
// that; this one is empty, and saying "identity" keeps the transport from
// announcing it or probing its length: what goes over the wire is a plain GET.
func sendOnce(req *http.Request) {
	req.Body = io.NopCloser(strings.NewReader(""))
	req.TransferEncoding = []string{"identity"}
}

// unreachable turns an error of net/http into ours. Its text is kept without
// the URL; the error itself is dropped, since it could print more than we do.
func (r call) unreachable(err error) *Error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if timeout, ok := errors.AsType[net.Error](err); errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout() {
		return late(r.op)
	}
	if _, ok := errors.AsType[textproto.ProtocolError](err); ok {
		return r.busy("the header of the answer is malformed")
	}
	// Between quotes net/http repeats what the other side sent, which may be our
	// own URL.
	text, _, _ := strings.Cut(err.Error(), `"`)
	return r.busy(strings.TrimRight(text, ": "))
}

// busy is the error for an answer that did not come or makes no sense.
func (r call) busy(message string) *Error {
	return &Error{Op: r.op, Message: r.clean(message), kind: ErrBusy}
}

// clean makes text from outside fit for a log line: without characters that
// act on a terminal, without our private values, and short. In this order, so
// that dropping or cutting cannot put a private value together again.
func (r call) clean(text string) string {
	text = printable(text)
	for _, value := range r.private {
		if len(value) < minPrivate {
			continue
		}
		text = strings.ReplaceAll(text, value, redacted)
		text = strings.ReplaceAll(text, url.QueryEscape(value), redacted)
	}
	return shorten(text, maxMessage)
}

const (
	// A real code or secret has 32 characters. Blotting out every occurrence of
	// one or two letters would only spoil the message.
	minPrivate = 4
	maxMessage = 200 // characters of Error.Message
)
