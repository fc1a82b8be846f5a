package jwtauth

import (
	"context"
	"strings"
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
	payload, key, err := openSigned(ctx, i.keys, raw, typID)
	if err != nil {
		return IDClaims{}, err
	}
	c, err := i.parseIDClaims(payload)
	if err != nil {
		return IDClaims{}, err
	}
	now := i.c.Now()
	if err := checkIDTimes(&c, time.Time{}, now); err != nil {
		return IDClaims{}, err
	}
	if i.memory != nil {
		i.rememberID(raw, key, c, now)
	}
	return c, nil
}

// ReadIDTokenStats tells how the memory of ID tokens does; zero without one.
func (i *Issuer) ReadIDTokenStats() CacheStats { return i.memory.stats() }

func (i *Issuer) rememberID(raw string, key Key, c IDClaims, now time.Time) {
	e := &remembered[IDClaims]{raw: strings.Clone(raw), claims: c, expires: c.ExpiresAt.Add(defaultLeeway)}
	e.size = entryBytes + len(raw) + len(c.Subject) + len(c.Nickname) + len(c.Picture)
	e.key.Store(key.m)
	i.memory.put(e, now)
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
	c.Issuer = i.c.Issuer // equal, and shared by all
	return c, nil
}

func checkIDTimes(c *IDClaims, notBefore, now time.Time) error {
	return checkTimes(now, defaultLeeway, c.IssuedAt, c.AuthTime, notBefore, c.ExpiresAt)
}
