package handlers

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/internal/clients"
	"wxbridge/jwtauth"
)

var errInvalidClient = &apiError{status: http.StatusUnauthorized, code: "invalid_client", challenge: `Basic realm="wxbridge"`,
	description: "The client is unknown, its secret is wrong, or neither was sent."}

// introspect answers whether a token is good right now, and whose it is (RFC 7662). It is the online check: beside what
// every verifier looks at it asks the store whether anybody has revoked the token and what its fan is now.
func (s *Server) introspect(c *gin.Context) error {
	_, raw, err := s.tokenRequest(c, clients.Introspect)
	if err != nil {
		return err
	}
	answer, err := s.introspection(c, raw)
	if err != nil {
		return err
	}
	return personal(c, http.StatusOK, answer)
}

// introspection is what RFC 7662 §2.2 answers, with claims of our own. Times are seconds since 1970.
type introspection struct {
	Active    bool     `json:"active"`
	ClientID  string   `json:"client_id,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	Username  string   `json:"username,omitempty"` // the fan's nickname
	Issuer    string   `json:"iss,omitempty"`
	Subject   string   `json:"sub,omitempty"` // the surviving id, also for a token of an alias
	Audience  string   `json:"aud,omitempty"`
	ExpiresAt int64    `json:"exp,omitempty"`
	IssuedAt  int64    `json:"iat,omitempty"`
	ID        string   `json:"jti,omitempty"`
	SessionID string   `json:"sid,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"`
	Provider  string   `json:"provider,omitempty"`
	AppID     string   `json:"appid,omitempty"`
	OpenID    string   `json:"openid,omitempty"`
	UnionID   string   `json:"unionid,omitempty"`
	Role      string   `json:"role,omitempty"` // as it is now
	Aliases   []string `json:"aliases,omitempty"`

	Departments jwtauth.Departments `json:"departments,omitempty"` // as the token has them
}

// introspection looks at a token. Whatever is wrong with it, the answer is the same, and says nothing else (RFC 7662 §2.2).
func (s *Server) introspection(c *gin.Context, raw string) (introspection, error) {
	ctx := c.Request.Context()
	claims, err := s.cfg.Verifier.Verify(ctx, raw)
	switch {
	case errors.Is(err, jwtauth.ErrInvalid):
		return introspection{}, nil
	case err != nil:
		return introspection{}, errUnavailable.because(err)
	case !s.cfg.Now().Before(claims.ExpiresAt): // no leeway: clients compare exp themselves
		return introspection{}, nil
	}
	revoked, err := s.cfg.Store.Revoked(ctx, claims.SessionID, claims.Subject, claims.IssuedAt)
	if err != nil || revoked {
		return introspection{}, err
	}
	fan, err := s.cfg.Store.Fan(ctx, claims.Subject)
	switch {
	case isNotFound(err), err == nil && fan.Status != db.StatusActive:
		return introspection{}, nil
	case err != nil:
		return introspection{}, err
	}
	aliases, err := s.cfg.Store.Aliases(ctx, fan.ID)
	if err != nil {
		return introspection{}, err
	}
	return introspection{Active: true, ClientID: claims.ClientID, TokenType: "Bearer", Username: fan.Nickname,
		Issuer: claims.Issuer, Subject: fan.ID, Audience: claims.Audience, ExpiresAt: claims.ExpiresAt.Unix(),
		IssuedAt: claims.IssuedAt.Unix(), ID: claims.ID, SessionID: claims.SessionID, AuthTime: claims.AuthTime.Unix(),
		Provider: claims.Provider, AppID: claims.AppID, OpenID: claims.OpenID, UnionID: claims.UnionID,
		Role: fan.Role, Aliases: aliases, Departments: claims.Departments}, nil
}

// revokeToken ends the session of a token (RFC 7009): this token and all that renewals have made of it. A token that is no
// good needs no ending, so that is a success too (§2.2).
func (s *Server) revokeToken(c *gin.Context) error {
	client, raw, err := s.tokenRequest(c, clients.Revoke)
	if err != nil {
		return err
	}
	claims, err := s.cfg.Verifier.Verify(c.Request.Context(), raw)
	switch {
	case err == nil:
		if err := s.revokeSession(c, claims); err != nil {
			return err
		}
		recordOf(c).noteEvent("token.revoked", slog.LevelInfo, slog.String("client_id", client.ID), slog.String("fan", claims.Subject))
	case !errors.Is(err, jwtauth.ErrInvalid):
		return errUnavailable.because(err)
	}
	c.Header("Cache-Control", "no-store")
	c.Status(http.StatusOK)
	return nil
}

// tokenRequest reads a request of a registered client about a token: a form, and the client's credentials in it or in the
// Authorization header.
func (s *Server) tokenRequest(c *gin.Context, needed clients.Permission) (clients.Client, string, error) {
	form, err := onceForm(c)
	if err != nil {
		return clients.Client{}, "", err
	}
	client, err := s.client(c, form)
	switch {
	case err != nil:
		return clients.Client{}, "", err
	case form["token"] == "": // token_type_hint is only a hint, and there is one type (RFC 7662 §2.1, RFC 7009 §2.1)
		return clients.Client{}, "", invalidRequest("The parameter token is missing.")
	}
	return client, form["token"], s.permitted(c, client, needed)
}

// permitted refuses what the client is not registered for.
func (s *Server) permitted(c *gin.Context, client clients.Client, needed clients.Permission) error {
	if client.May(needed) {
		return nil
	}
	s.refusedClient(c, client.ID, "may not "+string(needed))
	return &apiError{status: http.StatusForbidden, code: "access_denied",
		description: "This client is not registered for " + string(needed) + "."}
}

// onceForm reads a form in which nothing is given twice (RFC 6749 §3.1).
func onceForm(c *gin.Context) (params, error) {
	kind, err := bodyType(c.Request)
	if err != nil {
		return nil, err
	}
	if kind != "application/x-www-form-urlencoded" {
		return nil, errMediaType
	}
	raw, err := readBody(c.Request)
	if err != nil {
		return nil, err
	}
	values, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, invalidRequest("The form is malformed.")
	}
	for _, given := range values {
		if len(given) > 1 {
			return nil, invalidRequest("A parameter is given more than once.")
		}
	}
	return pick(values, []string{"token", "token_type_hint", "client_id", "client_secret"})
}

// client authenticates the client by client_secret_basic or client_secret_post, never both (RFC 6749 §2.3).
func (s *Server) client(c *gin.Context, form params) (clients.Client, error) {
	id, secret := form["client_id"], form["client_secret"]
	if headers := c.Request.Header.Values("Authorization"); len(headers) > 0 {
		if secret != "" {
			return clients.Client{}, invalidRequest("The client authenticates in two ways; use one.")
		}
		var ok bool
		if id, secret, ok = basicCredentials(headers); !ok {
			s.refusedClient(c, "", "malformed credentials")
			return clients.Client{}, errInvalidClient
		}
		if named, given := form["client_id"]; given && named != id {
			return clients.Client{}, invalidRequest("The form names another client than the Authorization header.")
		}
	}
	client, ok := s.cfg.Clients.Authenticate(id, secret)
	if !ok {
		s.refusedClient(c, "", "unknown client or wrong secret")
		return clients.Client{}, errInvalidClient
	}
	return client, nil
}

// basicCredentials takes an Authorization header apart. Id and secret were form-encoded before they were joined, so that a
// colon may stand in either (RFC 6749 §2.3.1).
func basicCredentials(headers []string) (id, secret string, ok bool) {
	if len(headers) != 1 {
		return "", "", false
	}
	scheme, encoded, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", "", false
	}
	left, right, found := strings.Cut(string(decoded), ":")
	id, idErr := url.QueryUnescape(left)
	secret, secretErr := url.QueryUnescape(right)
	return id, secret, found && idErr == nil && secretErr == nil && utf8.ValidString(id) && utf8.ValidString(secret)
}

// refusedClient is the security event (LOG-03). What was sent is not logged: people put secrets into the wrong field.
func (s *Server) refusedClient(c *gin.Context, known, reason string) {
	recordOf(c).noteEvent("client.refused", slog.LevelWarn, slog.String("client_id", known), slog.String("reason", reason))
}
