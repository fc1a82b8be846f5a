package handlers

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/templates"
	"wxbridge/wechat"
)

// Scan-to-login: a computer shows a code, a phone scans it and asks its person, and the computer is logged in.
//
// Three things keep apart what each side may do. The scan's id is sealed into a cookie of the browser that waits, and nothing
// else spends the scan. The code, which WeChat, the account's chat and the link to the question see, names the scan and grants
// nothing. Who the login is for comes from the phone's own login, never from WeChat's event, which in plain mode anybody could
// forge: the event delivers the link to the question and says who scanned first.

const (
	scanRoute   = "/login/scan"
	scanFlow    = "scan" // Provider of the flow whose State is the id of a scan
	scanPurpose = "wxbridge_login_"

	scanLife     = 3 * time.Minute // to scan the code
	scanAnswer   = 2 * time.Minute // at least, from the scan on, to follow the account, log in on the phone and answer
	scanReusable = time.Minute     // a page that is loaded again shows its code again if that much is left

	createCodeTime = 4 * time.Second
)

// scanLimits are far above what people need: a thousand people who log in within three minutes, or an office full of them
// behind one address.
func scanLimits() db.ScanLimits { return db.ScanLimits{Total: 10_000, PerNetwork: 200} }

var errTooManyScans = &apiError{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", retryAfter: 60,
	description: "Too many logins are waiting for a scan. Try again in a minute."}

// loginScan shows this browser a code that logs it in.
func (s *Server) loginScan(c *gin.Context) error {
	recordOf(c).provider = db.ProviderOfficialAccount
	request, err := s.loginRequest(c)
	if err != nil {
		return err
	}
	p, err := query(c, "new")
	if err != nil {
		return err
	}
	account, err := s.officialAccount(request.app)
	if err != nil {
		return err
	}
	if mode := single(c.Request.Header, "Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		return errCrossSite // an image of another site's, say: each page costs a code of the account's quota
	}
	if !request.force && s.alreadyLoggedIn(c, officialEntrance{s, account}, request.scope) {
		return redirect(c, request.returnTo)
	}
	f, scan, open := s.openScan(c, account, request)
	if open && p["new"] == "1" {
		if err := s.cfg.Store.DropScan(c.Request.Context(), scan.ID); err != nil {
			return err
		}
		s.clearFlow(c, s.flowName(f.State))
	}
	if p["new"] == "1" {
		return redirect(c, scanRoute+"?"+request.query().Encode()) // where a reload keeps the code
	}
	if !open {
		if f, scan, err = s.startScan(c, account, request); err != nil {
			return err
		}
	}
	return s.scanLoginPage(c, request, f, scan)
}

// openScan finds the scan that this browser began for the same login, if there is still time for it.
func (s *Server) openScan(c *gin.Context, account OfficialAccount, request loginRequest) (flow, db.Scan, bool) {
	var newest flow
	for _, cookie := range c.Request.Cookies() {
		f, err := s.openFlow(cookie)
		if err == nil && f.Provider == scanFlow && f.Started >= newest.Started && f.App == account.Alias &&
			f.ReturnTo == request.returnTo && f.Scope == string(request.scope) {
			newest = f
		}
	}
	if newest.State == "" {
		return flow{}, db.Scan{}, false
	}
	scan, err := s.cfg.Store.Scan(c.Request.Context(), newest.State)
	if err != nil || scan.State == db.ScanDeclined || scan.State == db.ScanSpent || s.cfg.Now().Add(scanReusable).After(scan.ExpiresAt) {
		return flow{}, db.Scan{}, false
	}
	return newest, scan, true
}

// startScan keeps a new scan and gives the browser its cookie. The scan is kept first, so that what goes beyond the limits
// costs no code of the account's.
func (s *Server) startScan(c *gin.Context, account OfficialAccount, request loginRequest) (flow, db.Scan, error) {
	ctx, now := c.Request.Context(), s.cfg.Now()
	scan := db.Scan{ID: rand.Text(), Code: rand.Text(), AppID: account.Client.AppID(), Scope: string(request.scope), State: db.ScanWaiting,
		Browser: browserName(c.Request.UserAgent()), Address: s.clientOf(c), Network: networkOf(s.clientOf(c)), ExpiresAt: now.Add(scanLife)}
	err := s.cfg.Store.StartScan(ctx, scan, scanLimits())
	switch {
	case errors.Is(err, db.ErrTooManyOfNetwork):
		recordOf(c).noteEvent("rate_limited", slog.LevelWarn)
		return flow{}, db.Scan{}, tooOften(scanReusable)
	case errors.Is(err, db.ErrTooManyScans):
		return flow{}, db.Scan{}, errTooManyScans.because(err)
	case err != nil:
		return flow{}, db.Scan{}, err
	}
	f := flow{State: scan.ID, ReturnTo: request.returnTo, Provider: scanFlow, App: account.Alias, Scope: string(request.scope),
		Started: now.Unix(), Shows: s.accountCode(c, account, scan.Code)}
	if err := s.putFlow(c, f); err != nil {
		return flow{}, db.Scan{}, err
	}
	s.trimFlows(c, maxFlows-1)
	return f, scan, nil
}

// accountCode makes a code of the account's, which makes followers of those who scan it and tells us by an event. It is "" for
// an account that takes no pushes or may not make codes: the page then shows the address of the question itself.
func (s *Server) accountCode(c *gin.Context, account OfficialAccount, code string) string {
	appID := account.Client.AppID()
	if account.Callback == nil || account.Tokens == nil || s.scanPauses.on(appID) {
		return ""
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), createCodeTime)
	defer cancel()
	made, err := account.Tokens.CreateQRCode(ctx, scanPurpose+code, scanLife)
	if err == nil {
		return made.URL
	}
	pause := pauseAfter(err)
	s.scanPauses.begin(appID, pause)
	attrs := []any{"event", "scan.no_code", "request_id", requestIDOf(c), "appid", appID, "err", err,
		"not_asked_for", pause.String()}
	if e, ok := errors.AsType[*wechat.Error](err); ok {
		if cause, fix, known := wechat.Explain(e.Code); known {
			attrs = append(attrs, "meaning", cause, "fix", fix)
		}
	}
	s.cfg.Logger.Warn("WeChat makes no QR code; the login shows one that leads straight to the bridge", attrs...)
	return ""
}

// scanLoginPage shows the code.
func (s *Server) scanLoginPage(c *gin.Context, request loginRequest, f flow, scan db.Scan) error {
	shows := cmp.Or(f.Shows, s.questionURL(scan.Code))
	code, err := templates.NewQRCode(shows)
	if err != nil {
		return errServer.because(err)
	}
	q := request.query()
	self := scanRoute + "?" + q.Encode()
	q.Set("new", "1")
	view := templates.ScanLogin{QR: code, Direct: f.Shows == "", Handle: handleOf(f), Scanned: scan.State != db.ScanWaiting,
		NewURL: scanRoute + "?" + q.Encode(), SelfURL: self}
	if s.cfg.Dev {
		view.Says = shows
	}
	c.Header("Content-Security-Policy", templates.ScanLoginPolicy())
	return s.page(c, http.StatusOK, view)
}

// questionURL is where the phone is asked about a scan.
func (s *Server) questionURL(code string) string {
	return s.cfg.PublicURL.String() + questionPath(code)
}

// handleOf names a scan in the addresses that the page of its own browser asks: the part of its cookie's name. It is worth
// nothing without the cookie.
func handleOf(f flow) string { return f.State[:8] }

func isScanHandle(handle string) bool { return len(handle) == 8 && only(handle, 8, isAlphanumeric) }

// scanOf finds the scan of this browser that a handle names, or errNoFlow.
func (s *Server) scanOf(r *http.Request, handle string) (flow, error) {
	if !isScanHandle(handle) {
		return flow{}, errNoFlow
	}
	var found *http.Cookie
	for _, cookie := range r.Cookies() {
		if cookie.Name != s.cookies.flow+handle {
			continue
		}
		if found != nil { // WEB-04
			return flow{}, errNoFlow
		}
		found = cookie
	}
	if found == nil {
		return flow{}, errNoFlow
	}
	f, err := s.openFlow(found)
	if err != nil || f.Provider != scanFlow {
		return flow{}, errNoFlow
	}
	return f, nil
}

var errScanOver = invalidGrant("This code is no longer valid. Get a new one.")

// finishScan logs the browser in that a confirmed scan belongs to, once.
func (s *Server) finishScan(c *gin.Context) error {
	recordOf(c).provider = db.ProviderOfficialAccount
	p, err := body(c, "scan")
	if err != nil {
		return err
	}
	if err := s.guard(c, "", ""); err != nil {
		return err
	}
	f, err := s.scanOf(c.Request, p["scan"])
	if err != nil {
		recordOf(c).noteLogin("state_mismatch")
		return errScanOver.because(err)
	}
	account, err := s.officialAccount(f.App)
	if err != nil {
		return err
	}
	session, err := s.spendScan(c, account, f)
	if err != nil {
		return err
	}
	if err := s.setSession(c, *session); err != nil {
		return err
	}
	s.clearFlow(c, s.flowName(f.State))
	return personal(c, http.StatusOK, gin.H{"location": location(f.ReturnTo)})
}

// spendScan spends the scan and opens a session for the person who confirmed it. What has happened to that person since then
// counts: blocked, erased, or logged out everywhere.
func (s *Server) spendScan(c *gin.Context, account OfficialAccount, f flow) (*session, error) {
	// It ends even if the browser goes away: the page asks again, and must find the scan either whole or spent.
	ctx, cancel := detached(c, time.Now().Add(callbackTime))
	defer cancel()
	scan, err := s.cfg.Store.SpendScan(ctx, f.State)
	switch {
	case isNotFound(err):
		recordOf(c).noteEvent(codeReused, slog.LevelInfo)
		recordOf(c).noteLogin("code_reused")
		return nil, errScanOver.because(err)
	case err != nil:
		return nil, err
	case scan.AppID != account.Client.AppID(): // the alias was given to another app meanwhile (FLW-09)
		return nil, errScanOver
	}
	fan, identity, err := s.cfg.Store.FanByIdentity(ctx, db.ProviderOfficialAccount, scan.AppID, scan.OpenID)
	switch {
	case isNotFound(err):
		return nil, errScanOver.because(err)
	case err != nil:
		return nil, err
	case fan.Status == db.StatusBlocked:
		return nil, errBlocked
	}
	revoked, err := s.cfg.Store.Revoked(ctx, "", fan.ID, scan.ConfirmedAt.Truncate(time.Second))
	if err != nil {
		return nil, err
	}
	if revoked {
		return nil, errScanOver.because(errors.New("everything of this fan was revoked after the scan was confirmed"))
	}
	session, err := s.signIn(ctx, db.Login{Identity: db.Identity{Provider: db.ProviderOfficialAccount, AppID: scan.AppID,
		OpenID: scan.OpenID, OpenAccount: account.OpenAccount, Scope: string(wechat.ScopeBase)}})
	if err != nil {
		return nil, err
	}
	if session.fan.ID != fan.ID { // erased, or merged into another, at this very moment
		return nil, errScanOver
	}
	session.unionID = cmp.Or(session.unionID, identity.UnionID)
	return session, nil
}

// networkOf is what one client has at least: an address, or a /64 of IPv6. What is no address shares one.
func networkOf(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	addr = addr.Unmap()
	if addr.Is4() {
		return addr.String()
	}
	network, _ := addr.WithZone("").Prefix(64) // never fails for IPv6
	return network.String()
}
