package simulator

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// scanRequest is the body of POST /_simulator/scan: somebody points WeChat's camera at a QR code.
type scanRequest struct {
	Person string `json:"person"`
	URL    string `json:"url"`    // what the code says
	Ticket string `json:"ticket"` // or the ticket of a parametric code
	// Consent answers what the scan asks: allow, deny, or wait to look at it and answer nothing yet. Left out, a stranger
	// follows the account they scanned, and the login on a website waits for a tap on the page in Open.
	Consent string `json:"consent"`
}

// The kinds of what a scan can find.
const (
	scanAccount = "account" // a parametric QR code of an official account
	scanWebsite = "website" // the QR code of a website's login
	scanLink    = "link"    // any other http or https address, which the phone opens
)

// ScanReport is what became of a scan.
type ScanReport struct {
	Kind      string      `json:"kind"`
	AppID     string      `json:"appid,omitempty"`
	Following bool        `json:"following"`       // of an account: whether the person follows it now
	Event     string      `json:"event,omitempty"` // subscribe or SCAN; none where nothing is pushed
	Push      *PushReport `json:"push,omitempty"`  // what became of the event
	Open      string      `json:"open,omitempty"`  // the page that the phone opens
	Shown     string      `json:"shown,omitempty"` // what the person sees instead
}

// qrGone is what the phone shows for a code whose time is up. That it shows a notice and that no event is sent is
// assumed (unverified, wechat-protocol §7.3), and so are the words.
const qrGone = "二维码已过期"

// Scan lets a person scan a QR code: text is what it says, or the ticket of a parametric one. consent is allow, deny,
// wait or empty. The error is about the arguments; what goes wrong with the app's server is in the report.
func (s *Server) Scan(ctx context.Context, name, text, consent string) (ScanReport, error) {
	switch {
	case !validName(name):
		return ScanReport{}, errBadName
	case !slices.Contains([]string{"", "allow", "deny", "wait"}, consent):
		return ScanReport{}, errors.New("consent: want allow, deny, wait or nothing")
	}
	if code, ok := s.findQRCode(text); ok {
		return s.scanAccount(ctx, code, name, consent)
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ScanReport{}, errors.New("nothing to scan: want the ticket or the url of a QR code, or an http or https address")
	}
	if login, ok := s.qrLogins.get(u.Query().Get("uuid")); ok && strings.HasSuffix(u.Path, pathQRConfirm) {
		return s.scanWebsite(login, name, text, consent)
	}
	return ScanReport{Kind: scanLink, Open: text}, nil
}

// scanAccount: whoever follows already is pushed as SCAN; anybody else sees the account's page and is pushed as subscribe
// when they tap to follow it (documented, wechat-protocol §7.3).
func (s *Server) scanAccount(ctx context.Context, code qrCode, name, consent string) (ScanReport, error) {
	report := ScanReport{Kind: scanAccount, AppID: code.app.AppID, Following: s.followOf(code.app, name).on}
	switch {
	case s.qrExpired(code):
		report.Shown = qrGone
		return report, nil
	case report.Following:
		report.Event = "SCAN"
	case consent == "deny" || consent == "wait":
		return report, nil
	default:
		report.Event = eventSubscribe
	}
	push, err := s.Push(ctx, code.app.AppID, name, Event{Name: report.Event, Scene: code.scene, Ticket: code.ticket})
	if err != nil {
		return ScanReport{}, err
	}
	report.Following, report.Push, report.Shown = push.Following, &push, push.Shown
	return report, nil
}

// handleScan answers a [ScanReport]. As with events, a push goes on if the caller does not wait for it.
func (s *Server) handleScan(w http.ResponseWriter, r *http.Request) {
	var body scanRequest
	err := readControl(w, r, &body)
	if err == nil && (body.URL == "") == (body.Ticket == "") {
		err = errors.New("want one of url and ticket")
	}
	var report ScanReport
	if err == nil {
		report, err = s.Scan(context.WithoutCancel(r.Context()), body.Person, body.URL+body.Ticket, body.Consent)
	}
	if err != nil {
		badControl(w, err)
		return
	}
	writeControl(w, http.StatusOK, report)
}
