package handlers

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/jwtauth"
	"wxbridge/templates"
)

const (
	ticketLife    = time.Minute // FLW-14
	ticketPurpose = "webview_ticket"
	maxTicket     = 2048 // characters: many times what the longest ids need
)

// ticket hands the session of a mini program to the H5 pages in its web-view, which have no way to send a header. It is sealed
// and kept nowhere: what the store keeps is only which tickets were used.
//
// It continues the session instead of opening another: one login has one sid and one auth_time, so a logout on either side ends
// both, and the pages' cookies are renewed no longer than the login itself would allow.
type ticket struct {
	ID        string `json:"i"` // random, 130 bits; what the store knows a used ticket by
	Subject   string `json:"s"`
	SessionID string `json:"d"`
	AppID     string `json:"a"`
	OpenID    string `json:"o"`
	UnionID   string `json:"u,omitempty"`
	AuthTime  int64  `json:"l"` // Unix seconds, as in the token
	IssuedAt  int64  `json:"t"` // iat of the token: what revokes that ends the ticket
	Expires   int64  `json:"e"` // Unix milliseconds
}

var (
	errTicket = &apiError{status: http.StatusBadRequest, code: "invalid_grant", detail: templates.DetailTicket,
		description: "This ticket was used, has expired or is not ours. Go back to the mini program and open the page again."}
	errTicketUsed     = errors.New("used before")
	errOutsideWebView = &apiError{status: http.StatusForbidden, code: "access_denied", detail: templates.DetailWebViewOnly,
		description: "A ticket logs in the pages inside a mini program, and nobody else."}
)

// newWebViewTicket gives the mini program a ticket for its web-view.
func (s *Server) newWebViewTicket(c *gin.Context) error {
	from, _, err := s.miniProgramCaller(c)
	if err != nil {
		return err
	}
	raw, err := s.sealTicket(from.claims)
	if err != nil {
		return err
	}
	return personal(c, http.StatusOK, ticketAnswer{Ticket: raw, ExpiresIn: int64(ticketLife / time.Second)})
}

type ticketAnswer struct {
	Ticket    string `json:"ticket"`
	ExpiresIn int64  `json:"expires_in"`
}

func (s *Server) sealTicket(claims jwtauth.Claims) (string, error) {
	plain, err := json.Marshal(ticket{ID: rand.Text(), Subject: claims.Subject, SessionID: claims.SessionID, AppID: claims.AppID,
		OpenID: claims.OpenID, UnionID: claims.UnionID, AuthTime: claims.AuthTime.Unix(), IssuedAt: claims.IssuedAt.Unix(),
		Expires: s.cfg.Now().Add(ticketLife).UnixMilli()})
	if err != nil {
		return "", errServer.because(err)
	}
	return s.cfg.Box.SealText(ticketPurpose, plain, nil), nil
}

// ticketPage asks the person in the web-view whether to go on as the one the ticket names, and changes nothing: whoever is sent
// a link with somebody else's ticket sees whose it is before anything happens.
func (s *Server) ticketPage(c *gin.Context) error {
	if !s.inWebView(c.Request) {
		return errOutsideWebView
	}
	p, err := query(c, "ticket", "return_to")
	if err != nil {
		return err
	}
	t, to, err := s.readTicket(c, p)
	if err != nil {
		return err
	}
	session, err := s.ticketSession(c, t)
	switch {
	case (err == nil || wantsHTML(c.Request)) && s.continues(c, t, session):
		return redirect(c, to)
	case err != nil:
		return refusedTicket(c, err)
	}
	self := url.URL{Path: "/login/ticket", RawQuery: url.Values{"ticket": {p["ticket"]}, "return_to": {to}}.Encode()}
	c.Header("Content-Security-Policy", templates.ContentSecurityPolicyOfForm(s.originOf(to)))
	return s.page(c, http.StatusOK, templates.Ticket{Nickname: session.fan.Nickname, Ticket: p["ticket"], ReturnTo: to,
		FormToken: s.formToken(s.ticketBrowser(c)), SelfURL: self.String()})
}

// useTicket spends the ticket after the tap, and gives the browser the cookies of its session.
func (s *Server) useTicket(c *gin.Context) error {
	if !s.inWebView(c.Request) {
		return errOutsideWebView
	}
	p, err := body(c, "ticket", "return_to", "form_token")
	if err != nil {
		return err
	}
	if err := s.guard(c, p["form_token"], ticketBrowserOf(c.Request, s.cookies.ticket)); err != nil {
		return err
	}
	t, to, err := s.readTicket(c, p)
	if err != nil {
		return err
	}
	session, err := s.spendTicket(c, t)
	if err != nil {
		if wantsHTML(c.Request) && s.continues(c, t, session) { // a second tap
			return seeOther(c, to)
		}
		return refusedTicket(c, err)
	}
	if err := s.setSession(c, session); err != nil {
		return endedTicket(err)
	}
	recordOf(c).note(slog.String("fan", session.fan.ID))
	recordOf(c).noteEvent("login.ok", slog.LevelInfo)
	recordOf(c).noteLogin("ok")
	return seeOther(c, to)
}

// spendTicket spends a ticket that is still good, once.
func (s *Server) spendTicket(c *gin.Context, t ticket) (session, error) {
	session, err := s.ticketSession(c, t)
	if err != nil {
		return session, err
	}
	first, err := s.cfg.Store.Spend(c.Request.Context(), t.ID, time.UnixMilli(t.Expires))
	if err == nil && !first {
		err = errTicket.because(errTicketUsed)
	}
	return session, err
}

// readTicket opens a ticket, however old, and checks where it leads.
func (s *Server) readTicket(c *gin.Context, p params) (t ticket, returnTo string, err error) {
	recordOf(c).provider = db.ProviderMiniProgram
	returnTo = s.returnTo.Default()
	if given, ok := p["return_to"]; ok {
		if err := s.checkReturnTo(c, given); err != nil {
			return ticket{}, "", err
		}
		returnTo = given
	}
	raw := p["ticket"]
	switch {
	case raw == "":
		return ticket{}, "", invalidRequest("The ticket is missing.")
	case len(raw) > maxTicket:
		return ticket{}, "", invalidRequest("The ticket is malformed.")
	}
	plain, err := s.cfg.Box.OpenText(ticketPurpose, raw, nil)
	if err == nil {
		err = json.Unmarshal(plain, &t)
	}
	if err != nil {
		return ticket{}, "", errTicket.because(err)
	}
	return t, returnTo, nil
}

// ticketSession finds the fan of the ticket, and whether it may still be used: it has not expired and was not used, and nothing
// has ended its session.
func (s *Server) ticketSession(c *gin.Context, t ticket) (session, error) {
	if left := time.UnixMilli(t.Expires).Sub(s.cfg.Now()); left <= 0 || left > ticketLife+time.Minute {
		return session{}, errTicket.because(errors.New("expired"))
	}
	ctx := c.Request.Context()
	fan, err := s.cfg.Store.Fan(ctx, t.Subject)
	switch {
	case isNotFound(err):
		return session{}, errTicket.because(err)
	case err != nil:
		return session{}, err
	case fan.Status == db.StatusBlocked:
		return session{}, errBlocked
	}
	spent, err := s.cfg.Store.Spent(ctx, t.ID)
	if err != nil {
		return session{}, err
	}
	n := session{fan: fan, provider: db.ProviderMiniProgram, appID: t.AppID, openID: t.OpenID, unionID: t.UnionID, id: t.SessionID,
		authTime: time.Unix(t.AuthTime, 0), subject: t.Subject, since: time.Unix(t.IssuedAt, 0)}
	revoked, err := s.cfg.Store.Revoked(ctx, n.id, n.subject, n.since)
	switch {
	case err != nil:
		return session{}, err
	case spent:
		return session{}, errTicket.because(errTicketUsed)
	case revoked:
		return session{}, errTicket.because(errors.New("the session has ended"))
	}
	return n, nil
}

// refusedTicket notes a ticket that was used, which is a security event (LOG-03).
func refusedTicket(c *gin.Context, err error) error {
	if errors.Is(err, errTicketUsed) {
		recordOf(c).noteEvent(codeReused, slog.LevelWarn)
		recordOf(c).noteLogin("code_reused")
	}
	return err
}

// endedTicket turns a session that ended at this moment into a ticket that is no good any more.
func endedTicket(err error) error {
	var answer *apiError
	if errors.As(err, &answer) && answer.code == errBadCredential.code {
		return errTicket.because(err)
	}
	return err
}

// continues reports whether the browser is logged in already as what the ticket would make it. Then there is nothing to ask, and
// a person sees no error for a ticket that is used or too old: Back leads to its page, WeChat loads it again, people tap twice.
// n is the session the ticket would give, if it still would.
func (s *Server) continues(c *gin.Context, t ticket, n session) bool {
	claims, ok := s.miniProgramCookie(c)
	return ok && (claims.Subject == t.Subject || claims.Subject == n.fan.ID) && claims.AppID == t.AppID && claims.OpenID == t.OpenID
}

// miniProgramCookie is the good cookie of a session that began in a mini program, if the browser has one; it is renewed if it is
// due.
func (s *Server) miniProgramCookie(c *gin.Context) (jwtauth.Claims, bool) {
	claims, err := s.cookieClaims(c)
	if err != nil || claims.Provider != db.ProviderMiniProgram {
		return jwtauth.Claims{}, false
	}
	return claims, s.keepFresh(c, claims) == nil
}

// ticketBrowser gives the browser a cookie that the form token of the ticket page belongs to. The page has to have a token,
// since in-app browsers may post its form without saying where from; and a token without the cookie would let anybody who has
// seen the page post the form from elsewhere.
func (s *Server) ticketBrowser(c *gin.Context) string {
	if known := ticketBrowserOf(c.Request, s.cookies.ticket); known != "" {
		return known
	}
	value := rand.Text()
	s.setCookie(c, &http.Cookie{Name: s.cookies.ticket, Value: value, MaxAge: seconds(10 * ticketLife), HttpOnly: true})
	return ticketFormLabel + value
}

const ticketFormLabel = "ticket|"

func ticketBrowserOf(r *http.Request, name string) string {
	cookies := r.CookiesNamed(name)
	if len(cookies) != 1 || len(cookies[0].Value) != len(rand.Text()) {
		return ""
	}
	return ticketFormLabel + cookies[0].Value
}

// originOf is the origin a checked return address names, "" if it is ours.
func (s *Server) originOf(returnTo string) string {
	u, err := url.Parse(returnTo)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// inWebView reports whether the browser says it is a mini program's web-view: "… miniProgram/wx…" on phones, "…
// MiniProgramEnv/Windows …" on computers (wechat-protocol §12.1).
func (s *Server) inWebView(r *http.Request) bool {
	if s.cfg.Dev {
		if cookie, err := r.Cookie(simulatorBrowser); err == nil {
			return cookie.Value == "webview"
		}
	}
	return strings.Contains(strings.ToLower(r.UserAgent()), "miniprogram")
}
