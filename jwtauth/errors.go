package jwtauth

import (
	"errors"
	"time"
)

var (
	// ErrInvalid is what every token that must not be trusted is refused with.
	// The error's text names the reason for a log; the outside is told none of
	// them, see [WriteError].
	ErrInvalid = errors.New("jwtauth: token is not valid")

	// ErrNoToken says that a request carried no credential at all.
	ErrNoToken = errors.New("jwtauth: no token in the request")

	// ErrUnknownKey is a [KeySource]'s answer for a kid it has no key for.
	ErrUnknownKey = errors.New("jwtauth: unknown key")

	// ErrNoSigningKey is an [Issuer]'s answer while its key set has no key to sign
	// with.
	ErrNoSigningKey = errors.New("jwtauth: no signing key")

	// ErrUnavailable says that a token could not be judged because its key could
	// not be fetched. It is no verdict on the token: answer 503, not 401.
	ErrUnavailable = errors.New("jwtauth: keys are unavailable")
)

// ExpiredError refuses a token that was good in every other respect: signature,
// kind, issuer, audience and claims have been checked. It matches [ErrInvalid].
type ExpiredError struct {
	ExpiredAt time.Time // the token's exp
}

func (e *ExpiredError) Error() string {
	return "jwtauth: token expired at " + e.ExpiredAt.UTC().Format(time.RFC3339)
}

func (e *ExpiredError) Is(target error) bool { return target == ErrInvalid }

// refusal is a reason to call a token invalid. It never quotes the token.
type refusal string

func (r refusal) Error() string        { return "jwtauth: token is not valid: " + string(r) }
func (r refusal) Is(target error) bool { return target == ErrInvalid }
