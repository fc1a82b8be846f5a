package webhooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 64 << 10

	// maxRetryAfter bounds how long an endpoint may ask to be left alone.
	maxRetryAfter = time.Hour

	// maxProblem bounds the text of a problem, in bytes.
	maxProblem = 200
)

// NewHTTPClient makes a client as deliveries want it: no redirects, no proxy of the environment, TLS 1.2 or newer, and few
// connections that stay open (SRV-08). The time of a request is bounded by its context.
func NewHTTPClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    5 * time.Second,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // an answer is small, and a bomb is not read
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what an endpoint said, or why it said nothing.
type answer struct {
	status      int // 0: none
	contentType string
	body        []byte // of at most maxAnswer bytes
	truncated   bool
	retryAfter  time.Duration // 0: it has not asked for one
	problem     string        // "" if it was acknowledged; says nothing of the URL
}

func (a answer) acknowledged() bool { return a.status >= 200 && a.status <= 299 }

// Body is what an endpoint receives for the delivery. It is the same in every attempt.
func (d Delivery) Body() ([]byte, error) {
	return json.Marshal(struct {
		Type      string          `json:"type"`
		Timestamp time.Time       `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{d.Type, d.CreatedAt.UTC(), d.Data})
}

// post makes one attempt. wanted: somebody waits for the answer.
func (d *Dispatcher) post(ctx context.Context, e Endpoint, m Delivery, wanted bool) answer {
	body, err := m.Body()
	if err != nil {
		return answer{problem: "the event is not JSON"}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL.String(), bytes.NewReader(body))
	if err != nil {
		return answer{problem: "the request cannot be made"}
	}
	now := d.Now()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", d.UserAgent)
	r.Header.Set("Webhook-Id", m.ID)
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	r.Header.Set("Webhook-Signature", signatures(e.Secrets, m.ID, now, body))
	if wanted {
		r.Header.Set("Wxbridge-Reply", "wanted")
	}
	response, err := d.Client.Do(r)
	if err != nil {
		return answer{problem: problemOf(err)}
	}
	defer response.Body.Close()
	return d.read(response)
}

func (d *Dispatcher) read(response *http.Response) answer {
	a := answer{status: response.StatusCode, contentType: response.Header.Get("Content-Type")}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if len(body) > maxAnswer {
		body, a.truncated = body[:maxAnswer], true
	}
	a.body = body
	switch {
	case a.acknowledged():
		a.truncated = a.truncated || err != nil // the status was all it took
	case a.status >= 300 && a.status <= 399:
		a.problem = fmt.Sprintf("status %d; redirects are not followed", a.status)
	default:
		a.problem = fmt.Sprintf("status %d", a.status)
		a.retryAfter = retryAfter(response.Header.Get("Retry-After"), d.Now())
	}
	return a
}

// retryAfter reads the header in seconds or as a date (RFC 9110 §10.2.3).
func retryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	var wait time.Duration
	if seconds, err := strconv.Atoi(value); err == nil {
		wait = time.Duration(min(max(seconds, 0), int(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// problemOf leaves out the URL, whose query may hold a secret.
func problemOf(err error) string {
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err
	}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return "the bridge was stopped meanwhile"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, err.Error())
	return text[:min(len(text), maxProblem)]
}
