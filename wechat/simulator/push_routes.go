package simulator

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// VerifyReport is what became of a verification, as POST /_simulator/events/verify answers it.
type VerifyReport struct {
	Verified bool   `json:"verified"`
	Problem  string `json:"problem,omitempty"`
	URL      string `json:"url,omitempty"`
	Status   int    `json:"status,omitempty"`
}

// VerifyCallback asks the app's server the way WeChat does when somebody saves the server's address: a signed GET whose
// echostr has to come back, in plain text in every mode (documented, wechat-protocol §5.1). A failure changes nothing
// here; in WeChat the address is then not saved.
func (s *Server) VerifyCallback(ctx context.Context, appID string) (VerifyReport, error) {
	app := s.apps[appID]
	if app == nil {
		return VerifyReport{}, fmt.Errorf("appid %q is not configured", appID)
	}
	if problem := app.unreachable(); problem != "" {
		return VerifyReport{Problem: problem}, nil
	}
	address, err := url.Parse(app.EventsURL)
	if err != nil {
		return VerifyReport{}, fmt.Errorf("events_url: %w", err)
	}
	at, nonce, echo := strconv.FormatInt(s.now().Unix(), 10), newNonce(), newEcho()
	query := "signature=" + signed(app.Token, at, nonce) + "&echostr=" + echo + "&timestamp=" + at + "&nonce=" + nonce
	status, body, err := s.call(ctx, http.MethodGet, withQuery(address, query), nil)
	report := VerifyReport{URL: app.EventsURL, Status: status}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		report.Problem = fmt.Sprintf("no answer within %v", s.cfg.PushTimeout)
	case err != nil:
		report.Problem = err.Error()
	case status != http.StatusOK:
		report.Problem = fmt.Sprintf("answered with status %d, want 200", status)
	case string(body) != echo:
		report.Problem = "the body is not the echostr and nothing else"
	default:
		report.Verified = true
	}
	return report, nil
}

// newEcho is a number of up to 19 digits, as in the official sample.
func newEcho() string {
	var b [8]byte
	rand.Read(b[:])
	return strconv.FormatUint(binary.BigEndian.Uint64(b[:])>>1, 10)
}

// mountEvents adds the control routes of events.
func (s *Server) mountEvents(mux *http.ServeMux) {
	mux.HandleFunc("POST /_simulator/events", ownPagesOnly(s.forCorp(s.handleWeComEvent, s.handleEvent)))
	mux.HandleFunc("POST /_simulator/events/verify", ownPagesOnly(s.forCorp(s.handleWeComVerify, s.handleVerify)))
	mux.HandleFunc("GET /_simulator/following", s.handleFollowing)
}

// handleEvent is POST {"person", "appid", "event"}; see [Event]. It answers a [PushReport] when the last send has ended.
// The push goes on if the caller does not wait for that, as a page does not that is being left.
func (s *Server) handleEvent(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Person string `json:"person"`
		AppID  string `json:"appid"`
		Event  Event  `json:"event"`
	}
	if err := readControl(w, r, &body); err != nil {
		badControl(w, err)
		return
	}
	report, err := s.Push(context.WithoutCancel(r.Context()), body.AppID, body.Person, body.Event)
	if err != nil {
		badControl(w, err)
		return
	}
	writeControl(w, http.StatusOK, report)
}

// handleVerify is POST {"appid"}.
func (s *Server) handleVerify(w http.ResponseWriter, r *http.Request) {
	var body struct {
		AppID string `json:"appid"`
	}
	if err := readControl(w, r, &body); err != nil {
		badControl(w, err)
		return
	}
	report, err := s.VerifyCallback(r.Context(), body.AppID)
	if err != nil {
		badControl(w, err)
		return
	}
	writeControl(w, http.StatusOK, report)
}

// handleFollowing is GET ?person=&appid=: whether the person follows the account.
func (s *Server) handleFollowing(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	app, err := s.appOf(q.Get("appid"), ProviderOfficialAccount)
	if err == nil && !validName(q.Get("person")) {
		err = errBadName
	}
	if err != nil {
		badControl(w, err)
		return
	}
	writeControl(w, http.StatusOK, struct {
		Following bool `json:"following"`
	}{s.followOf(app, q.Get("person")).on})
}
