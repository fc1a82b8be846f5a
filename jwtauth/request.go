package jwtauth

import (
	"net/http"
	"strings"
)

// Source says where in a request a token was found.
type Source int

const (
	SourceNone   Source = iota // no credential
	SourceBearer               // Authorization: Bearer
	SourceCookie               // one of the cookies asked for
)

func (s Source) String() string {
	switch s {
	case SourceBearer:
		return "bearer"
	case SourceCookie:
		return "cookie"
	default:
		return "none"
	}
}

// TokenFromRequest finds the token of a request. It does not verify it.
//
// A Bearer header (RFC 6750 §2.1, scheme in any case) decides alone: if it is
// malformed, empty or too long the answer is an error matching [ErrInvalid] and
// [SourceBearer], even beside a good cookie. More than one Authorization header
// is such an error too. Other schemes are not ours and are passed over.
//
// Without a Bearer header the cookies are looked at in the order given, and the
// first name that is present decides. A value that is empty, repeated, too long
// or has a character no token has counts as no credential. Tokens in queries and
// bodies are never looked at.
func TokenFromRequest(r *http.Request, cookieNames ...string) (raw string, source Source, err error) {
	raw, source, err = findToken(r, cookieNames)
	if err != nil || source == SourceNone || isTokenText(raw) {
		return raw, source, err
	}
	if source == SourceBearer {
		return "", SourceBearer, refusal("malformed Bearer header")
	}
	return "", SourceNone, nil
}

// VerifyRequest finds the token of a request as [TokenFromRequest] does, and
// verifies it. A request without one is [ErrNoToken].
func (v *Verifier) VerifyRequest(r *http.Request, cookieNames ...string) (c Claims, source Source, err error) {
	raw, source, err := findToken(r, cookieNames)
	if err != nil {
		return Claims{}, source, err
	}
	// What was a token before needs no look at its letters.
	if c, known, err := v.memory.recall(r.Context(), raw); known {
		return c, source, err
	}
	switch {
	case source == SourceNone, source == SourceCookie && !isTokenText(raw):
		return Claims{}, SourceNone, ErrNoToken
	case !isTokenText(raw):
		return Claims{}, source, refusal("malformed Bearer header")
	}
	c, err = v.verifyNew(r.Context(), raw)
	return c, source, err
}

// findToken picks the text that has to be the token, whatever it looks like.
func findToken(r *http.Request, cookieNames []string) (raw string, source Source, err error) {
	raw, present, err := bearerToken(r.Header["Authorization"])
	if present {
		return raw, SourceBearer, err
	}
	for _, name := range cookieNames {
		if raw, present := cookieToken(r.Header["Cookie"], name); present {
			if raw == "" {
				return "", SourceNone, nil
			}
			return raw, SourceCookie, nil
		}
	}
	return "", SourceNone, nil
}

// TokenFromAuthorization finds the token among the values that a carrier other
// than net/http has under the name "authorization", such as gRPC metadata or the
// headers of a message. The rules are those of the header in [TokenFromRequest]:
// exactly one value, "Bearer" and the token. No value, or one of another scheme,
// is [ErrNoToken]; several values, or a malformed one, match [ErrInvalid].
func TokenFromAuthorization(values []string) (raw string, err error) {
	raw, present, err := bearerToken(values)
	switch {
	case err != nil:
		return "", err
	case !present:
		return "", ErrNoToken
	case !isTokenText(raw):
		return "", refusal("malformed authorization")
	}
	return raw, nil
}

// CookieToken returns the value of one cookie if it could be a token: it is there
// once, and has a length and characters that tokens have. It is not verified.
func CookieToken(r *http.Request, name string) (raw string, ok bool) {
	raw, _ = cookieToken(r.Header["Cookie"], name)
	if !isTokenText(raw) {
		return "", false
	}
	return raw, true
}

func bearerToken(headers []string) (token string, present bool, err error) {
	if len(headers) > 1 {
		return "", true, refusal("more than one Authorization header")
	}
	if len(headers) == 0 {
		return "", false, nil
	}
	const scheme = "bearer"
	value := strings.TrimSpace(headers[0])
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", false, nil
	}
	rest := value[len(scheme):]
	if rest != "" && isSchemeByte(rest[0]) {
		return "", false, nil // a longer scheme name
	}
	return strings.TrimLeft(rest, " "), true, nil
}

// cookieToken reads the Cookie headers itself: net/http drops malformed cookies
// silently, so that of a bad and a good one of the same name it would show the
// good one only.
func cookieToken(headers []string, name string) (token string, present bool) {
	for _, header := range headers {
		for pair := range strings.SplitSeq(header, ";") {
			n, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			if strings.TrimRight(n, " \t") != name {
				continue
			}
			if present {
				return "", true
			}
			present = true
			token = value
		}
	}
	return token, present
}

// isTokenText reports whether s has only the characters of a compact JWS, and a
// length a verifier takes.
func isTokenText(s string) bool {
	if s == "" || len(s) > MaxTokenBytes {
		return false
	}
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return true
}

// isTokenByte reports whether c can be part of a compact JWS: base64url or a dot.
// In the two sets each bit is a character. A processor has nothing to guess here,
// as it would have of each byte of a token if classes were compared in turn.
func isTokenByte(c byte) bool {
	const (
		below64 uint64 = 1<<'-' | 1<<'.' | (1<<10-1)<<'0'
		from64  uint64 = (1<<26-1)<<('A'-64) | 1<<('_'-64) | (1<<26-1)<<('a'-64)
	)
	set := below64
	if c >= 64 {
		set = from64
	}
	return c < 128 && set>>(c&63)&1 != 0
}

// isSchemeByte reports whether c can be part of a scheme's name (RFC 9110 §5.6.2).
func isSchemeByte(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}
