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
	payload, _, err := openSigned(ctx, i.keys, raw, typID)
	if err != nil {
		return IDClaims{}, err
	}
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
	return c, i.checkIDTimes(c)
}

func (i *Issuer) checkIDTimes(c IDClaims) error {
	return checkTimes(i.c.Now(), defaultLeeway, c.IssuedAt, c.AuthTime, time.Time{}, c.ExpiresAt)
}
