package jwtauth

import (
	"context"
	"errors"
	"io"
	"net/http"
)

// Middleware lets requests with a good Bearer token through and answers the
// others with [WriteError]. Handlers find the claims with [FromContext]. For
// tokens in cookies, or answers of your own, use a [Gate].
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	return Gate{Verifier: v}.Handler(next)
}

// Gate is middleware with its choices spelled out. Only Verifier is required.
type Gate struct {
	Verifier *Verifier

	// CookieNames are the cookies that may hold the token, besides the Bearer
	// header; see [TokenFromRequest]. A browser sends cookies for other sites'
	// requests too: a handler behind them that changes something checks the origin
	// itself.
	CookieNames []string

	// Fail answers a request that is refused; [WriteError] if nil. err matches
	// [ErrNoToken], [ErrInvalid] or [ErrUnavailable].
	Fail func(w http.ResponseWriter, r *http.Request, err error)
}

// Handler wraps next.
func (g Gate) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, err := g.Authenticate(r)
		if err != nil {
			g.Refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(NewContext(r.Context(), claims)))
	})
}

// Authenticate finds and verifies the token of a request.
func (g Gate) Authenticate(r *http.Request) (Claims, error) {
	claims, _, err := g.Verifier.VerifyRequest(r, g.CookieNames...)
	return claims, err
}

// Refuse answers with Fail, or with [WriteError].
func (g Gate) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	if g.Fail != nil {
		g.Fail(w, r, err)
		return
	}
	WriteError(w, err)
}

// WriteError answers a refused request as RFC 6750 §3 says: 401, with an error
// code in WWW-Authenticate only if a credential was sent. The answer never tells
// one cause from another. [ErrUnavailable] is 503 with Retry-After.
func WriteError(w http.ResponseWriter, err error) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if errors.Is(err, ErrUnavailable) {
		h.Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"error":"temporarily_unavailable","error_description":"The access token cannot be checked at the moment."}`+"\n")
		return
	}
	challenge := `Bearer error="invalid_token"`
	if errors.Is(err, ErrNoToken) {
		challenge = "Bearer"
	}
	h.Set("WWW-Authenticate", challenge)
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, `{"error":"invalid_token","error_description":"The access token is missing, expired, revoked or not valid."}`+"\n")
}

type contextKey struct{}

// NewContext returns a context that carries the claims of a verified token.
func NewContext(ctx context.Context, c Claims) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// FromContext returns the claims a middleware put there. They are false where no
// middleware ran: check it, or a route that was left out of it is open.
func FromContext(ctx context.Context) (Claims, bool) {
	c, ok := ctx.Value(contextKey{}).(Claims)
	return c, ok
}
