package handlers

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/templates"
	"wxbridge/wechat"
	"wxbridge/wechat/wecom"
)

// apiError is an answer of the contract's error table, and an error. Its text is for people and never holds a cause; the
// cause goes to the log alone.
type apiError struct {
	status      int
	code        string // the "error" member, RFC 6749 §5.2
	description string
	detail      templates.Detail // which sentence the error page shows instead of the code's usual one
	errcode     int              // what WeChat answered, if it answered
	retryAfter  int              // seconds
	credential  bool             // 401 only: the request carried a credential (RFC 6750 §3)
	challenge   string           // 401 only: WWW-Authenticate, if it is not Bearer
	cause       error
}

func (e *apiError) Error() string {
	if e.cause != nil {
		return e.code + ": " + e.description + ": " + e.cause.Error()
	}
	return e.code + ": " + e.description
}

func (e *apiError) Unwrap() error { return e.cause }

// because returns the same answer with a cause for the log.
func (e *apiError) because(cause error) *apiError {
	with := *e
	with.cause = cause
	return &with
}

func invalidRequest(description string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: "invalid_request", description: description}
}

func invalidGrant(description string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: "invalid_grant", description: description}
}

var (
	errReturnTo = &apiError{status: http.StatusBadRequest, code: "invalid_request", detail: templates.DetailReturnTo,
		description: "The return address is not allowed."}
	errNotConfigured = &apiError{status: http.StatusBadRequest, code: "invalid_request", detail: templates.DetailProviderNotConfigured,
		description: "This way to log in is not configured. Open the link in WeChat."}
	errOpenInWeCom = &apiError{status: http.StatusBadRequest, code: "invalid_request", detail: templates.DetailOpenInWeCom,
		description: "This way to log in is not configured. Open the link in WeCom."}
	errNoCredential = &apiError{status: http.StatusUnauthorized, code: "invalid_token",
		description: "Log in first."}
	errBadCredential = &apiError{status: http.StatusUnauthorized, code: "invalid_token", credential: true,
		description: "The access token is missing, expired, revoked or not valid."}
	errBlocked = &apiError{status: http.StatusForbidden, code: "access_denied", detail: templates.DetailBlocked,
		description: "This account is blocked."}
	errNotMember = &apiError{status: http.StatusForbidden, code: "access_denied",
		description: "Only members of the organisation who may see this app can log in."}
	errCrossSite = &apiError{status: http.StatusForbidden, code: "access_denied", detail: templates.DetailCrossSite,
		description: "Requests with a cookie must come from this site."}
	errNotFound = &apiError{status: http.StatusNotFound, code: "not_found",
		description: "There is nothing at this address."}
	errMethodNotAllowed = &apiError{status: http.StatusMethodNotAllowed, code: "method_not_allowed",
		description: "This address does not take this method."}
	errTooLarge = &apiError{status: http.StatusRequestEntityTooLarge, code: "invalid_request",
		description: "The body is larger than 64 KiB."}
	errMediaType = &apiError{status: http.StatusUnsupportedMediaType, code: "invalid_request",
		description: "The body has a media type or encoding that is not taken here."}
	errServer = &apiError{status: http.StatusInternalServerError, code: "server_error",
		description: "Something is wrong on our side. The operator finds it in the log by the request id."}
	errUnavailable = &apiError{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", retryAfter: 5,
		description: "The service cannot answer just now. Try again in a moment."}
)

// handlerFunc answers a request, or returns what went wrong. Nothing is written before an error is returned.
type handlerFunc func(c *gin.Context) error

// handle makes a gin handler of h. It is the one place where an error becomes a status and a body.
func (s *Server) handle(h handlerFunc) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := h(c); err != nil {
			s.fail(c, err)
		}
	}
}

func (s *Server) fail(c *gin.Context, err error) {
	answer := asAPIError(err)
	if answer.detail == templates.DetailProviderNotConfigured && s.onlyWeCom() {
		answer = errOpenInWeCom
	}
	s.logFailure(c, answer)
	setFailureHeaders(c.Writer.Header(), answer)
	if !wantsHTML(c.Request) {
		c.JSON(answer.status, errorBody{answer.code, answer.description, answer.errcode, requestIDOf(c)})
		return
	}
	view := templates.Error{Status: answer.status, Kind: answer.code, Detail: answer.detail,
		RequestID: requestIDOf(c), SelfURL: errorSelf(c.Request)}
	if route := routeOf(c); route == "/login/wecom" || route == "/callback/wecom" {
		view.LoginURL = "/login/wecom"
		if view.Kind == errUnavailable.code {
			view.Detail = templates.DetailWeComUnavailable
		}
	}
	if err := s.page(c, answer.status, view); err != nil {
		s.cfg.Logger.Error("render error page", "request_id", requestIDOf(c), "err", err)
		c.AbortWithStatus(http.StatusInternalServerError)
	}
}

// errorSelf is the address of an error page for its language link, relative to itself: of the query it keeps the app, which
// the way to log in depends on, and no code or state.
func errorSelf(r *http.Request) string {
	app := r.URL.Query().Get("app")
	if r.Method != http.MethodGet || app == "" {
		return ""
	}
	return "?" + url.Values{"app": {app}}.Encode()
}

// setFailureHeaders sets what a failure says beside its body.
func setFailureHeaders(header http.Header, answer *apiError) {
	header.Set("Cache-Control", "no-store")
	if answer.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(answer.retryAfter))
	}
	if answer.status == http.StatusUnauthorized {
		challenge := "Bearer"
		if answer.credential {
			challenge = `Bearer error="invalid_token"`
		}
		if answer.challenge != "" {
			challenge = answer.challenge
		}
		header.Set("WWW-Authenticate", challenge)
	}
}

type errorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Errcode     int    `json:"wechat_errcode,omitempty"`
	RequestID   string `json:"request_id"`
}

// asAPIError finds the row of the contract's table that an error belongs to. What has no row is our fault: 500.
func asAPIError(err error) *apiError {
	var answer *apiError
	var upstream *wechat.Error
	switch {
	case errors.As(err, &answer):
		return answer
	case errors.As(err, &upstream), errors.Is(err, wechat.ErrBusy), errors.Is(err, wechat.ErrInvalidCode):
		return asUpstreamError(err, upstream)
	case errors.Is(err, db.ErrUnavailable), errors.Is(err, errNotConfirmed), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return errUnavailable.because(err)
	}
	return errServer.because(err)
}

func asUpstreamError(err error, upstream *wechat.Error) *apiError {
	var answer *apiError
	switch {
	case errors.Is(err, wechat.ErrInvalidCode):
		answer = invalidGrant("WeChat does not accept this code, or no longer. Log in again.").because(err)
	case errors.Is(err, wechat.ErrSession):
		answer = invalidGrant("The session with WeChat is over. Log in again.").because(err)
	case errors.Is(err, wechat.ErrRateLimited):
		answer = &apiError{status: http.StatusTooManyRequests, code: "rate_limited", retryAfter: 60, cause: err,
			description: "WeChat limits how often it may be asked. Try again in a minute."}
	case errors.Is(err, wechat.ErrMisconfigured):
		answer = errServer.because(err)
	case errors.Is(err, wecom.ErrNotMember), errors.Is(err, wecom.ErrOtherCorp):
		answer = errNotMember.because(err)
	case errors.Is(err, wechat.ErrForbidden):
		answer = &apiError{status: http.StatusForbidden, code: "access_denied", cause: err,
			description: "WeChat does not let this account log in."}
	default:
		answer = errUnavailable.because(err)
	}
	if upstream != nil {
		answer.errcode = upstream.Code
	}
	return answer
}

// logFailure notes what the answer leaves out. WeChat's configuration faults say what to fix, and where in its console.
func (s *Server) logFailure(c *gin.Context, answer *apiError) {
	r := recordOf(c)
	if answer.status >= http.StatusInternalServerError {
		r.level = slog.LevelError
	}
	if event := failureEvent(routeOf(c)); event != "" && answer.status != http.StatusTooManyRequests {
		r.noteEvent(event, r.level)
		if event == loginFailed && answer.detail == templates.DetailBlocked {
			r.noteLogin("blocked")
		} else if event == loginFailed {
			r.noteLogin(answer.code)
		}
	}
	r.note(slog.String("error", answer.code))
	if answer.detail != "" {
		r.note(slog.String("detail", string(answer.detail)))
	}
	if answer.cause != nil {
		r.note(slog.String("cause", answer.cause.Error()))
	}
	if upstream, ok := errors.AsType[*wechat.Error](answer.cause); ok {
		if cause, fix, known := upstream.Explain(); known {
			r.note(slog.String("meaning", cause), slog.String("fix", fix))
		}
	}
}

const loginFailed = "login.failed"

// failureEvent names the security event that a failure on this route is (LOG-03).
func failureEvent(route string) string {
	switch route {
	case "/callback/official-account", "/callback/website", "/callback/wecom", "/miniprogram/login", "/login/ticket", scanRoute + "/finish":
		return loginFailed
	case "/logout", "/me", "/miniprogram/phone", "/miniprogram/profile", "/miniprogram/webview-ticket", verifyRoute, confirmRoute:
		return "access.refused"
	}
	return ""
}

// page answers with one of the pages. Pages of the flow are never stored: they belong to one browser and one moment. The
// policy lets in nothing from other origins (WEB-08, FLW-11).
func (s *Server) page(c *gin.Context, status int, view templates.View) error {
	lang := s.language(c)
	var body bytes.Buffer
	if err := s.cfg.Pages.Render(&body, lang, view); err != nil {
		return errServer.because(err)
	}
	header := c.Writer.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Frame-Options", "DENY")
	if header.Get("Content-Security-Policy") == "" {
		header.Set("Content-Security-Policy", s.policy)
	}
	header.Set("Content-Language", lang)
	header.Add("Vary", "Accept, Accept-Language, Cookie")
	c.Data(status, "text/html; charset=utf-8", body.Bytes())
	return nil
}

const languageCookie = "wxbridge_lang"

// language picks the page's language. A choice made by ?lang= is remembered.
func (s *Server) language(c *gin.Context) string {
	chosen := c.Query("lang")
	remembered, _ := c.Cookie(languageCookie)
	lang := templates.Language(chosen, remembered, c.GetHeader("Accept-Language"))
	if chosen == lang && remembered != lang {
		s.setCookie(c, &http.Cookie{Name: languageCookie, Value: lang, MaxAge: 365 * 24 * 3600})
	}
	return lang
}

// redirect answers 302 with an address that never stays in a cache.
func redirect(c *gin.Context, to string) error {
	c.Header("Cache-Control", "no-store")
	c.Header("Location", location(to))
	c.Status(http.StatusFound)
	c.Writer.WriteHeaderNow()
	return nil
}

// seeOther leads on after a form (RET-09).
func seeOther(c *gin.Context, to string) error {
	c.Header("Cache-Control", "no-store")
	c.Header("Location", location(to))
	c.Status(http.StatusSeeOther)
	c.Writer.WriteHeaderNow()
	return nil
}

// personal answers JSON that must not be stored (TOK-14).
func personal(c *gin.Context, status int, value any) error {
	c.Header("Cache-Control", "no-store")
	c.JSON(status, value)
	return nil
}

// wantsHTML reports whether the request's Accept names text/html.
func wantsHTML(r *http.Request) bool {
	for _, accept := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			kind, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(kind), "text/html") {
				return true
			}
		}
	}
	return false
}
