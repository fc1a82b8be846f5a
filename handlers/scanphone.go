package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/jwtauth"
	"wxbridge/templates"
	"wxbridge/wechat"
)

const confirmRoute = "/login/scan/confirm"

// scannedCode is the code of the scan that a push is about, if it is about one.
func scannedCode(m *wechat.Message) (string, bool) {
	if m.Type != wechat.MessageEvent {
		return "", false
	}
	code, ours := strings.CutPrefix(m.Scene(), scanPurpose)
	return code, ours && isScanCode(code)
}

// isScanCode tells what could be a code of ours (rand.Text) from what is none.
func isScanCode(code string) bool { return len(code) == 26 && only(code, 26, isAlphanumeric) }

// answerScan says in the account's chat where to confirm. A repeat of the push gets the same answer: WeChat shows only the one
// that arrives in time.
func (s *Server) answerScan(ctx context.Context, account OfficialAccount, push IncomingPush, code string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, pushStoreTime)
	defer cancel()
	scan, err := s.cfg.Store.ClaimScan(ctx, code, push.Message.User(), s.cfg.Now().Add(scanAnswer))
	kind := templates.ScanConfirmed
	switch {
	case isNotFound(err):
		kind = templates.ScanExpired
	case err != nil:
		return nil, err
	case scan.AppID != push.AppID, scan.OpenID == push.Message.User() && scan.State != db.ScanScanned:
		kind = templates.ScanExpired
	case scan.OpenID != push.Message.User():
		kind = templates.ScanTaken
	}
	s.scans.wake()
	reply, err := account.Callback.TextReply(push.Message, templates.ScanMessage(kind, s.cfg.PublicURL.Host, s.questionURL(code)))
	if err != nil {
		return nil, errServer.because(err)
	}
	return reply, nil
}

// question is a scan as the phone asks about it.
type question struct {
	scan   db.Scan
	claims jwtauth.Claims // of the phone's own login
	fan    db.Fan
}

// errNotYet leads the phone to its own login first.
var errNotYet = errors.New("the phone is not logged in as who scanned")

// askScan is the page on the phone that asks about a scan. The phone must be logged in, through WeChat and to the account of the
// scan; the first whom that finds has the scan from then on.
func (s *Server) askScan(c *gin.Context) error {
	recordOf(c).provider = db.ProviderOfficialAccount
	p, err := query(c, "scan", "again")
	if err != nil {
		return err
	}
	if s.browserOf(c.Request) != browserWeChat {
		return s.page(c, http.StatusOK, templates.ScanEnd{Kind: templates.ScanElsewhere, SelfURL: questionPath(p["scan"])})
	}
	q, end, err := s.question(c, p["scan"])
	switch {
	case errors.Is(err, errNotYet):
		return s.loginForQuestion(c, q.scan, p["again"] == "1")
	case err != nil:
		return err
	case end == templates.ScanTaken && p["again"] != "1": // by this phone's earlier owner, perhaps
		return s.loginForQuestion(c, q.scan, false)
	case end != "":
		return s.scanEnd(c, end, p["scan"])
	}
	view := templates.ScanConfirm{Code: q.scan.Code, FormToken: s.formToken(q.claims.SessionID), Site: s.cfg.PublicURL.Host,
		Nickname: q.fan.Nickname, Browser: q.scan.Browser, Address: q.scan.Address, StartedAt: q.scan.CreatedAt,
		SelfURL: questionPath(q.scan.Code)}
	return s.page(c, http.StatusOK, view)
}

// question finds the scan and who is asked. end is set if there is nothing to ask any more.
func (s *Server) question(c *gin.Context, code string) (question, templates.ScanEndKind, error) {
	ctx := c.Request.Context()
	if !isScanCode(code) {
		return question{}, templates.ScanExpired, nil
	}
	scan, err := s.cfg.Store.ScanByCode(ctx, code)
	switch {
	case isNotFound(err):
		return question{}, templates.ScanExpired, nil
	case err != nil:
		return question{}, "", err
	}
	q := question{scan: scan}
	account, err := s.officialAccount(scan.AppID)
	if err != nil {
		return question{}, templates.ScanExpired, nil // of an app that is configured no more
	}
	if !s.alreadyLoggedIn(c, officialEntrance{s, account}, wechat.Scope(scan.Scope)) {
		return q, "", errNotYet
	}
	if q.claims, err = s.cookieClaims(c); err != nil {
		return q, "", errNotYet
	}
	if _, q.fan, err = s.fanOf(c, caller{claims: q.claims}); err != nil {
		if errors.Is(err, db.ErrNotFound) {
			return q, "", errNotYet
		}
		return question{}, "", err
	}
	if q.scan.State == db.ScanWaiting {
		q.scan, err = s.cfg.Store.ClaimScan(ctx, code, q.claims.OpenID, s.cfg.Now().Add(scanAnswer))
		s.scans.wake()
	}
	switch {
	case isNotFound(err):
		return question{}, templates.ScanExpired, nil
	case err != nil:
		return question{}, "", err
	case q.scan.OpenID != q.claims.OpenID:
		return q, templates.ScanTaken, nil
	}
	return q, endOf(q.scan.State), nil
}

// endOf is how a scan has ended for the person it belongs to; "" if it has not.
func endOf(state db.ScanState) templates.ScanEndKind {
	switch state {
	case db.ScanConfirmed, db.ScanSpent:
		return templates.ScanConfirmed
	case db.ScanDeclined:
		return templates.ScanDeclined
	}
	return ""
}

// loginForQuestion logs the phone in and comes back. WeChat is asked even if the phone is logged in as somebody else.
func (s *Server) loginForQuestion(c *gin.Context, scan db.Scan, again bool) error {
	if again { // it has just come from there
		return errNoCredential
	}
	account, err := s.officialAccount(scan.AppID)
	if err != nil {
		return err
	}
	q := loginQuery(account.Alias, questionPath(scan.Code)+"&again=1", wechat.Scope(scan.Scope))
	q.Set("prompt", "login")
	return redirect(c, "/login/official-account?"+q.Encode())
}

// takeScanAnswer takes what the person tapped.
func (s *Server) takeScanAnswer(c *gin.Context) error {
	recordOf(c).provider = db.ProviderOfficialAccount
	p, err := body(c, "scan", "answer", "form_token")
	if err != nil {
		return err
	}
	if p["answer"] != "confirm" && p["answer"] != "decline" {
		return invalidRequest("The answer is confirm or decline.")
	}
	claims, err := s.cookieClaims(c)
	if err != nil {
		return errNoCredential.because(err)
	}
	if err := s.guard(c, p["form_token"], claims.SessionID); err != nil {
		return err
	}
	q, end, err := s.question(c, p["scan"])
	switch {
	case errors.Is(err, errNotYet):
		return errNoCredential
	case err != nil:
		return err
	case end != "":
		return s.scanEnd(c, end, p["scan"])
	}
	return s.settleScan(c, q, p["answer"] == "confirm")
}

// settleScan stores the answer. The store is asked once more whether the phone's login still stands: another process may have
// ended it a moment ago.
func (s *Server) settleScan(c *gin.Context, q question, confirm bool) error {
	ctx := c.Request.Context()
	revoked, err := s.cfg.Store.Revoked(ctx, q.claims.SessionID, q.claims.Subject, q.claims.IssuedAt)
	switch {
	case err != nil:
		return err
	case revoked:
		return errBadCredential
	}
	at := s.cfg.Now()
	if q.claims.IssuedAt.After(at) { // after a cut in this very second
		at = q.claims.IssuedAt
	}
	scan, err := s.cfg.Store.AnswerScan(ctx, q.scan.Code, q.claims.OpenID, confirm, at)
	switch {
	case isNotFound(err):
		return s.scanEnd(c, templates.ScanExpired, q.scan.Code)
	case err != nil:
		return err
	}
	s.scans.wake()
	recordOf(c).noteEvent("scan."+string(scan.State), slog.LevelInfo, slog.String("fan", q.fan.ID))
	return s.scanEnd(c, endOf(scan.State), q.scan.Code)
}

// questionPath is the address of the question among our own. What cannot be a code is left out of it.
func questionPath(code string) string {
	if !isScanCode(code) {
		return confirmRoute
	}
	return confirmRoute + "?" + url.Values{"scan": {code}}.Encode()
}

func (s *Server) scanEnd(c *gin.Context, kind templates.ScanEndKind, code string) error {
	status := http.StatusOK
	if kind == templates.ScanExpired || kind == templates.ScanTaken {
		status = http.StatusBadRequest
	}
	return s.page(c, status, templates.ScanEnd{Kind: kind, SelfURL: questionPath(code)})
}
