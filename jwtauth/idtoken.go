package jwtauth

import (
	"context"
	"time"
)

// ReadIDToken returns what an ID token of this issuer says. It is for showing
// who is logged in, never for letting anybody in: the token is readable by
// scripts and its claims grant nothing. Signature, kind, issuer, audience and
// times are checked as a [Verifier] checks them; refusals match [ErrInvalid].
func (i *Issuer) ReadIDToken(ctx context.Context, raw string) (IDClaims, error) {
	if c, known, err := i.memory.recall(ctx, raw); known {
		return c, err
	}
	payload, key, err := openSigned(ctx, i.keys, nil, raw, typID)
	if err != nil {
		return IDClaims{}, err
	}
	c, err := i.parseIDClaims(payload)
	if err != nil {
		return IDClaims{}, err
	}
	now := i.c.Now()
	if err := checkIDTimes(c, time.Time{}, now); err != nil {
		return IDClaims{}, err
	}
	if i.memory != nil {
		times := [packedTimes]time.Time{issuedAt: c.IssuedAt, expiresAt: c.ExpiresAt, authTime: c.AuthTime}
		i.memory.put(pack(raw, times, c.Subject, c.Nickname, c.Picture), key, defaultLeeway, now)
	}
	return c, nil
}

// ReadIDTokenStats tells how the memory of ID tokens does; zero without one.
func (i *Issuer) ReadIDTokenStats() CacheStats { return i.memory.stats() }

func (i *Issuer) unpackIDClaims(p *packed) IDClaims {
	return IDClaims{
		Issuer: i.c.Issuer, Audience: i.c.ClientID, Subject: p.string(0), Nickname: p.string(1), Picture: p.string(2),
		IssuedAt: p.time(issuedAt), ExpiresAt: p.time(expiresAt), AuthTime: p.time(authTime),
	}
}

func (i *Issuer) parseIDClaims(payload []byte) (IDClaims, error) {
	o, err := parseObject(payload)
	if err != nil {
		return IDClaims{}, err
	}
	r := reader{object: o}
	c := IDClaims{
		Issuer: r.required("iss"), Subject: r.required("sub"), Audience: i.c.ClientID,
		IssuedAt: r.requiredTime("iat"), ExpiresAt: r.requiredTime("exp"), AuthTime: r.requiredTime("auth_time"),
		Nickname: r.text("nickname"), Picture: r.text("picture"),
	}
	r.audience("aud", i.c.ClientID)
	if r.err == nil && c.Issuer != i.c.Issuer {
		r.err = refusal("another issuer")
	}
	if r.err != nil {
		return IDClaims{}, r.err
	}
	return c, nil
}

func checkIDTimes(c IDClaims, notBefore, now time.Time) error {
	return checkTimes(now, defaultLeeway, c.IssuedAt, c.AuthTime, notBefore, c.ExpiresAt)
}
