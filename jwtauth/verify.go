package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// MaxTokenBytes is the longest token a [Verifier] looks at.
	MaxTokenBytes = 8 << 10

	// MaxLeeway bounds the difference of clocks that a [Verifier] may tolerate.
	MaxLeeway = time.Minute

	defaultLeeway = 5 * time.Second
)

// Config says what a [Verifier] accepts. Issuer and Audience are required.
type Config struct {
	Issuer   string // the only iss accepted, compared exactly
	Audience string // must be the token's aud or among them

	// Leeway is how far the clocks of issuer and verifier may differ: 1 s to
	// [MaxLeeway], 0 means 5 s. It applies to exp, nbf and iat.
	Leeway time.Duration

	// Revoked, if set, is asked last, about claims that passed every check. See
	// [RevocationSet.Revoked].
	Revoked func(Claims) bool

	// CacheBytes is how much memory tokens that were good may take, about 1½ KiB
	// each, so that the next request with the same token costs a lookup instead of
	// a signature. 0 is none. Expiry, key and revocation are asked every time.
	CacheBytes int

	Now func() time.Time // time.Now if nil
}

// Verifier checks access tokens. It is safe for concurrent use and, with a
// [KeySet], does no I/O.
type Verifier struct {
	keys   KeySource
	c      Config
	memory *memory[Claims] // nil: remembers nothing
	signed *signatures     // the same
}

// NewVerifier checks the configuration. A verifier without issuer or audience
// would accept tokens made for others, so both are required.
func NewVerifier(keys KeySource, c Config) (*Verifier, error) {
	switch {
	case keys == nil:
		return nil, errors.New("jwtauth: verifier needs keys")
	case c.Issuer == "" || c.Audience == "":
		return nil, errors.New("jwtauth: verifier needs issuer and audience")
	case c.CacheBytes < 0:
		return nil, errors.New("jwtauth: size of the cache must not be negative")
	case c.Leeway != 0 && (c.Leeway < time.Second || c.Leeway > MaxLeeway):
		return nil, fmt.Errorf("jwtauth: leeway must lie between 1s and %v", MaxLeeway)
	}
	if c.Leeway == 0 {
		c.Leeway = defaultLeeway
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	v := &Verifier{keys: keys, c: c}
	if v.memory = newMemory(c.CacheBytes, keys, c.Now, v.unpackClaims, v.checkNow); v.memory != nil {
		v.signed = new(signatures)
	}
	return v, nil
}

// Verify checks an access token in compact form and returns its claims.
//
// In this order: length and shape; header (typ "at+jwt", no crit, zip or b64);
// key by kid, and the token's alg is that key's; signature; issuer and audience;
// subject, client, session and token id; times; revocation. Every refusal
// matches [ErrInvalid], an *[ExpiredError] too; [ErrUnavailable] means that the
// key could not be had and nothing is known about the token.
func (v *Verifier) Verify(ctx context.Context, raw string) (Claims, error) {
	if claims, known, err := v.memory.recall(ctx, raw); known {
		return claims, err
	}
	return v.verifyNew(ctx, raw)
}

// verifyNew verifies a token from its text, and remembers it if it is good.
func (v *Verifier) verifyNew(ctx context.Context, raw string) (Claims, error) {
	payload, key, err := openSigned(ctx, v.keys, v.signed, raw, typAccess)
	if err != nil {
		return Claims{}, err
	}
	now := v.c.Now()
	claims, notBefore, err := v.parseClaims(payload)
	if err == nil {
		err = v.checkNow(claims, notBefore, now)
	}
	if err != nil {
		v.signed.note(raw, key.m, nil)
		return Claims{}, err
	}
	if v.memory != nil {
		v.memory.put(packClaims(raw, &claims, notBefore), key, v.c.Leeway, now)
	}
	return claims, nil
}

func packClaims(raw string, c *Claims, nbf time.Time) packed {
	return pack(raw, [packedTimes]time.Time{issuedAt: c.IssuedAt, expiresAt: c.ExpiresAt, authTime: c.AuthTime, notBefore: nbf},
		c.Subject, c.ClientID, c.ID, c.SessionID, c.Provider, c.AppID, c.OpenID, c.UnionID, c.Role, string(c.Departments))
}

func (v *Verifier) unpackClaims(p *packed) Claims {
	return Claims{
		Issuer: v.c.Issuer, Audience: v.c.Audience,
		Subject: p.string(0), ClientID: p.string(1), ID: p.string(2), SessionID: p.string(3),
		Provider: p.string(4), AppID: p.string(5), OpenID: p.string(6), UnionID: p.string(7), Role: p.string(8),
		Departments: Departments(p.string(9)),
		IssuedAt:    p.time(issuedAt), ExpiresAt: p.time(expiresAt), AuthTime: p.time(authTime),
	}
}

// CacheStats tells how the memory of verified tokens does; zero without one.
func (v *Verifier) CacheStats() CacheStats { return v.memory.stats() }

// openSigned returns the payload of a token of the kind typ whose signature is
// good, and the key that made it.
func openSigned(ctx context.Context, keys KeySource, checked *signatures, raw, typ string) (payload []byte, key Key, err error) {
	parts, err := splitToken(raw)
	if err != nil {
		return nil, Key{}, err
	}
	h, err := parseHeader(parts.header, typ)
	if err != nil {
		return nil, Key{}, err
	}
	if key, err = findKey(ctx, keys, h); err != nil {
		return nil, Key{}, err
	}
	if err := checked.check(raw, parts, key.m); err != nil {
		return nil, Key{}, refusal("signature does not match")
	}
	return parts.payload, key, nil
}

// findKey finds the key that kid names and holds the token to that key's algorithm.
// Keys are only ever HS256 or of the kinds methodFor lists, so the algorithms are a
// fixed list that no token can extend (RFC 8725 §3.1).
func findKey(ctx context.Context, keys KeySource, h header) (Key, error) {
	key, err := keys.Key(ctx, h.kid)
	switch {
	case errors.Is(err, ErrUnknownKey):
		return Key{}, refusal("unknown kid")
	case err != nil:
		return Key{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case key.m == nil || key.ID() != h.kid:
		return Key{}, refusal("key source answered another key")
	case key.Alg() != h.alg:
		return Key{}, refusal("alg is not that of the key")
	}
	return key, nil
}

// checkNow asks what depends on the moment: times, then revocation.
func (v *Verifier) checkNow(c Claims, notBefore, now time.Time) error {
	if err := checkTimes(now, v.c.Leeway, c.IssuedAt, c.AuthTime, notBefore, c.ExpiresAt); err != nil {
		return err
	}
	if v.c.Revoked != nil && v.c.Revoked(c) {
		return refusal("revoked")
	}
	return nil
}

// checkTimes looks at exp last, so that an ExpiredError means that nothing else
// is wrong.
func checkTimes(now time.Time, leeway time.Duration, issuedAt, authTime, notBefore, expiresAt time.Time) error {
	latest := now.Add(leeway)
	switch {
	case issuedAt.After(latest):
		return refusal("iat is in the future")
	case authTime.After(latest):
		return refusal("auth_time is in the future")
	case notBefore.After(latest):
		return refusal("nbf is in the future")
	case !now.Before(expiresAt.Add(leeway)):
		return &ExpiredError{ExpiredAt: expiresAt}
	}
	return nil
}

// parseClaims reads the payload and checks everything in it but times.
func (v *Verifier) parseClaims(payload []byte) (c Claims, notBefore time.Time, err error) {
	o, err := parseObject(payload)
	if err != nil {
		return Claims{}, time.Time{}, err
	}
	r := reader{object: o}
	c = Claims{
		Issuer: r.required("iss"), Subject: r.required("sub"), ClientID: r.required("client_id"),
		ID: r.required("jti"), SessionID: r.required("sid"),
		IssuedAt: r.requiredTime("iat"), ExpiresAt: r.requiredTime("exp"), AuthTime: r.optionalTime("auth_time"),
		Provider: r.optional("provider"), AppID: r.optional("appid"), OpenID: r.optional("openid"),
		UnionID: r.optional("unionid"), Role: r.optional("role"),
		Departments: r.departments("departments"),
	}
	notBefore = r.optionalTime("nbf")
	r.audience("aud", v.c.Audience)
	c.Audience = v.c.Audience
	if r.err == nil && c.Issuer != v.c.Issuer {
		r.err = refusal("another issuer")
	}
	if r.err != nil {
		return Claims{}, time.Time{}, r.err
	}
	return c, notBefore, nil
}

// parts are the segments of a compact JWS, decoded.
type parts struct {
	header, payload, signature []byte
	signed                     string // what the signature covers
}

// splitToken refuses by length and by the number of dots before it decodes
// anything, so that a hostile token costs nothing.
func splitToken(raw string) (parts, error) {
	if len(raw) > MaxTokenBytes {
		return parts{}, refusal("too long")
	}
	if strings.Count(raw, ".") != 2 {
		return parts{}, refusal("not three segments")
	}
	first, last := strings.IndexByte(raw, '.'), strings.LastIndexByte(raw, '.')
	p := parts{signed: raw[:last]}
	for _, segment := range []struct {
		text string
		into *[]byte
	}{{raw[:first], &p.header}, {raw[first+1 : last], &p.payload}, {raw[last+1:], &p.signature}} {
		decoded, err := decodeSegment(segment.text)
		if err != nil {
			return parts{}, err
		}
		*segment.into = decoded
	}
	return p, nil
}

// decodeSegment takes base64url in its one canonical form. The standard decoder
// skips line ends even when strict; here they are refused (RFC 7515 §2).
func decodeSegment(text string) ([]byte, error) {
	if text == "" || strings.ContainsAny(text, "\r\n") {
		return nil, refusal("segment is not base64url")
	}
	decoded, err := strictBase64.DecodeString(text)
	if err != nil {
		return nil, refusal("segment is not base64url")
	}
	return decoded, nil
}

// header is what the JOSE header may say to us. Everything else in it, such as
// jwk, jku, x5u and x5c, is never looked at.
type header struct{ alg, kid string }

func parseHeader(data []byte, kind string) (header, error) {
	o, err := parseObject(data)
	if err != nil {
		return header{}, err
	}
	// No extension is understood, so crit can only ask for what we do not do (RFC
	// 7515 §4.1.11), whatever its value; b64 and zip would change what was signed.
	for _, name := range [...]string{"crit", "b64", "zip"} {
		if _, ok := o.member(name); ok {
			return header{}, refusal("header asks for an extension")
		}
	}
	r := reader{object: o}
	h := header{alg: r.required("alg"), kid: r.required("kid")}
	typ := r.required("typ")
	switch {
	case r.err != nil:
		return header{}, r.err
	case len(h.kid) > maxKeyIDBytes:
		return header{}, refusal("kid is too long")
	case !strings.EqualFold(typ, kind) && !strings.EqualFold(typ, "application/"+kind): // RFC 9068 §4
		if kind == typAccess {
			return header{}, refusal("not an access token")
		}
		return header{}, refusal("another kind of token")
	}
	return h, nil
}
