package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/jwtauth"
)

// verifyRoute is asked for every request of every site that a proxy protects.
const verifyRoute = "/auth/verify"

// verify is forward-auth: a reverse proxy asks it whether a request may pass, and who sends it. It answers 2xx for a valid
// token and for nothing else (FWD-01). The token alone decides, so that it works without the store (FWD-09); what the proxy
// says of the original request only shapes the refusal (FWD-02).
func (s *Server) verify(c *gin.Context) error {
	c.Writer.Header()["Cache-Control"] = noStore
	need, err := parseVerifyQuery(c.Request.URL.RawQuery)
	if err != nil {
		return s.refuseVerify(c, need, jwtauth.SourceNone, err)
	}
	from, err := s.authenticate(c)
	if err != nil {
		return s.refuseVerify(c, need, from.source, err)
	}
	if !need.met(from.claims) {
		return s.refuseVerify(c, need, from.source, errRequirement)
	}
	name := ""
	if from.source == jwtauth.SourceCookie {
		if name, err = s.keepAlive(c, from.claims); err != nil {
			return s.refuseVerify(c, need, from.source, err)
		}
	}
	identity, err := identityOf(from.claims, name)
	if err != nil {
		return s.refuseVerify(c, need, from.source, err)
	}
	setIdentity(c.Writer.Header(), &identity)
	c.Status(http.StatusOK)
	return nil
}

// noStore is the value of Cache-Control on every answer of the route. Nobody changes it.
var noStore = []string{"no-store"}

var errRequirement = &apiError{status: http.StatusForbidden, code: "access_denied",
	description: "This account may not open this page."}

// verifyQuery is what the proxy's configuration asks for in the query of /auth/verify.
type verifyQuery struct {
	redirect  bool     // send browsers to the login
	roles     []string // any of them will do; none: any role or no role
	providers []string // the same
}

// parseVerifyQuery refuses what it does not know, so that a misspelled requirement never lets everybody in.
func parseVerifyQuery(raw string) (verifyQuery, error) {
	var q verifyQuery
	if raw == "" {
		return q, nil
	}
	if len(raw) > maxVerifyQuery {
		return q, invalidRequest("The query of this address is too long.")
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, invalidRequest("The query of this address is malformed.")
	}
	for name, given := range values {
		switch name {
		case "redirect":
			if len(given) != 1 || given[0] != "1" {
				return verifyQuery{}, invalidRequest("The only value of redirect is 1.")
			}
			q.redirect = true
		case "role":
			q.roles, err = anyOf(given)
		case "provider":
			q.providers, err = anyOf(given)
		default:
			return verifyQuery{}, invalidRequest("The parameters known here are redirect, role and provider.")
		}
		if err != nil {
			return verifyQuery{}, err
		}
	}
	return q, nil
}

// maxVerifyQuery is room for more roles than a configuration names, in bytes.
const maxVerifyQuery = 1024

// anyOf takes role=a&role=b and role=a,b for the same.
func anyOf(given []string) ([]string, error) {
	var all []string
	for _, list := range given {
		for item := range strings.SplitSeq(list, ",") {
			if item == "" {
				return nil, invalidRequest("A role or provider that is required is empty.")
			}
			all = append(all, item)
		}
	}
	return all, nil
}

// met reports whether a caller has what is asked for. Who asks for WeCom asks for members of the corp: its guests, who may be
// anybody, pass only where no provider is asked for.
func (q verifyQuery) met(claims jwtauth.Claims) bool {
	return (q.roles == nil || slices.Contains(q.roles, claims.Role)) &&
		(q.providers == nil || slices.Contains(q.providers, claims.Provider) && !isCorpGuest(claims.Provider, claims.OpenID))
}

// cookieState is what the cookies of a caller say beside who it is.
type cookieState struct {
	name                 string // "" if no good ID token of the same fan stands beside the access token
	renewAccess, renewID bool   // which of the two is past half its life
}

func (s *Server) cookieState(r *http.Request, claims jwtauth.Claims, now time.Time) cookieState {
	state := cookieState{renewAccess: s.halfOver(now, claims.IssuedAt, claims.ExpiresAt, claims.AuthTime)}
	if raw, ok := jwtauth.CookieToken(r, s.cookies.id); ok {
		id, err := s.cfg.Issuer.ReadIDToken(r.Context(), raw)
		if err == nil && id.Subject == claims.Subject {
			state.name = id.Nickname
			state.renewID = s.halfOver(now, id.IssuedAt, id.ExpiresAt, id.AuthTime)
		}
	}
	return state
}

// keepAlive gives the caller's name, and renews whichever of its two cookies is past half its life: one an answer, since
// proxies such as nginx pass only one Set-Cookie on.
func (s *Server) keepAlive(c *gin.Context, claims jwtauth.Claims) (name string, err error) {
	state := s.cookieState(c.Request, claims, recordOf(c).start)
	if !state.renewAccess && !state.renewID {
		return state.name, nil
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), verifyStoreTime)
	defer cancel()
	fan, err := s.cfg.Store.Fan(ctx, claims.Subject)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return "", errBadCredential.because(err)
	case err != nil:
		s.warnVerify("a session could not be renewed for want of the store; its token goes on to its end", "cause", err.Error())
		return state.name, nil
	case fan.Status == db.StatusBlocked:
		return "", errBlocked
	}
	err = s.renewOne(ctx, c, sessionOf(claims, fan), state.renewAccess)
	var refused *apiError
	switch {
	case errors.As(err, &refused) && refused.status == http.StatusUnauthorized: // revoked at this moment
		return "", err
	case errors.Is(err, errNotConfirmed): // logged where WeCom was asked, or the answer is on its way for the next request
	case err != nil:
		s.warnVerify("a session could not be renewed; its token goes on to its end", "cause", err.Error())
	}
	return fan.Nickname, nil
}

func (s *Server) renewOne(ctx context.Context, c *gin.Context, n session, access bool) error {
	if !access {
		return s.setIDToken(c, n)
	}
	raw, _, err := s.accessToken(ctx, n)
	if err == nil {
		s.setTokenCookie(c, raw, s.cfg.TokenTTL)
	}
	return err
}

// verifyStoreTime bounds the wait for a store in trouble: the request would pass without it.
const verifyStoreTime = 250 * time.Millisecond

// identityHeaders are what a proxy copies to the application.
var identityHeaders = [identityValues]string{"Remote-User", "Remote-Name", "X-Auth-Request-Provider", "X-Auth-Request-Openid",
	"X-Auth-Request-Role", "X-Auth-Request-Departments"}

const identityValues = 6

// identityOf has the values of the identity headers, safe for a header.
func identityOf(claims jwtauth.Claims, name string) ([identityValues]string, error) {
	values := [identityValues]string{claims.Subject, clipEncoded(name), claims.Provider, claims.OpenID, claims.Role, string(claims.Departments)}
	for i, value := range values {
		if i == 1 || i == departmentsValue || headerSafe(value) {
			continue
		}
		if values[i] = percentEncode(value); len(values[i]) > maxIdentity {
			return values, errServer.because(errors.New("a claim is too long for an identity header"))
		}
	}
	return values, nil
}

// setIdentity sets all identity headers always, or a client's own would get through where one is missing (FWD-04).
func setIdentity(header http.Header, identity *[identityValues]string) {
	values := *identity
	for i, name := range identityHeaders {
		header[name] = values[i : i+1 : i+1]
	}
}

// departmentsValue is the place of the departments among the identity's values: digits and commas, never longer than the others.
const departmentsValue = 5

// maxIdentity bounds the value of an identity header, in bytes (FWD-05).
const maxIdentity = 1024

// headerSafe reports whether a value stands for itself in an identity header.
func headerSafe(value string) bool {
	for i := range len(value) {
		if !unreserved(value[i]) {
			return false
		}
	}
	return len(value) <= maxIdentity
}

// unreserved are the characters that need no encoding in a URI (RFC 3986 §2.3), as a bit for each of the first 64 and second
// 64 characters of ASCII: this is asked for every byte of every identity.
func unreserved(c byte) bool {
	const (
		low  = 1<<'-' | 1<<'.' | (1<<10-1)<<'0'
		high = 1<<('_'-64) | 1<<('~'-64) | (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64)
	)
	return uint64(low)>>c&1 != 0 || c >= 64 && uint64(high)>>(c-64)&1 != 0
}

func percentEncode(value string) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, 3*len(value))
	for i := range len(value) {
		if c := value[i]; unreserved(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// clipEncoded percent-encodes a name and drops the characters that do not fit.
func clipEncoded(name string) string {
	if headerSafe(name) {
		return name
	}
	for len(name) > maxIdentity {
		name = clip(name, utf8.RuneCountInString(name)/2)
	}
	encoded := percentEncode(name)
	for len(encoded) > maxIdentity {
		_, last := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-last]
		encoded = percentEncode(name)
	}
	return encoded
}
