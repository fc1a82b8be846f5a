// Package jwtauth issues and checks the tokens of a login bridge: signed JSON
// Web Tokens that any service can verify offline with a public key. A service
// that only checks tokens can import it alone; it needs no web framework.
//
// # Checking tokens
//
// A service knows two things about the bridge: its public URL, which is the
// issuer of its tokens, and the audience of access tokens, which is that URL and
// "/api" unless the bridge was configured otherwise (WXBRIDGE_JWT_AUDIENCE).
//
//	keys, err := jwtauth.NewRemoteKeySet("https://login.example.com/.well-known/jwks.json", jwtauth.RemoteOptions{})
//	verifier, err := jwtauth.NewVerifier(keys, jwtauth.Config{
//		Issuer:   "https://login.example.com",
//		Audience: "https://login.example.com/api",
//	})
//	http.Handle("/api/", verifier.Middleware(api)) // in api: jwtauth.FromContext(r.Context())
//
// Make both once, at the start, and share them: they are safe for concurrent
// use. [Verifier.Middleware] takes Bearer tokens; a [Gate] also takes the
// cookies of a browser and lets you write your own refusals; the gin middleware is
// in jwtauth/ginauth; for gRPC and other carriers see [TokenFromAuthorization];
// everything else can call [Verifier.Verify]. The examples are complete programs.
//
// A verifier with [Config].CacheBytes remembers tokens that were good: the next
// request with the same token costs a lookup instead of a signature, about a
// hundredth. What may have changed is asked every time: the clock, the key, the
// revocations. Tokens that were refused are never remembered.
//
// A token passes only if all of this holds: its header's typ is "at+jwt" and
// names no extension; kid names a key of the bridge, alg is that key's one
// algorithm, and the signature is good; iss and aud are the configured ones; sub,
// client_id, jti and sid are there; exp lies ahead, and iat, auth_time and nbf do
// not. Nothing in a token chooses a key or an algorithm by itself, and a header
// with jwk, jku, x5u or x5c never causes a request.
//
// There are two kinds of token, and neither can stand in for the other: access
// tokens (RFC 9068) are credentials; ID tokens (typ "JWT", another audience) are
// for a page's script to read and are never accepted here ([Issuer.ReadIDToken]
// reads back what they show).
//
// # Who it is, and what they may do
//
// [Claims].Subject is the person: an opaque id that stays the same in every app
// and at every login. Use it as the key of your own records. OpenID is unique
// inside one (Provider, AppID) only and never a key by itself; UnionID is there
// where WeChat gave one. Where the bridge has found two persons to be one, later
// tokens carry the surviving id; the bridge's GET /me tells the other as aliases.
//
// [Claims].Role is what an operator of the bridge gave the person, "" if nothing.
// A middleware only says who it is: what a role may do is decided by your
// handlers, and a handler that forgets to ask lets everybody in who can log in.
// Compare exactly, allow what you know, and answer 403, not 401, to a good token
// that is not enough:
//
//	if claims.Role != "staff" {
//		http.Error(w, "staff only", http.StatusForbidden)
//		return
//	}
//
// [Claims].Departments are the departments of a member of a WeCom corp, as WeCom
// told them at the login or at the last renewal.
//
// # Refusals
//
// Every refusal matches [ErrInvalid], an [ExpiredError] among them, or is
// [ErrNoToken]: answer 401. [ErrUnavailable] means that the keys could not be had
// and nothing is known about the token: answer 503. The text of an error names
// the reason and never quotes the token, so it may be logged; [WriteError] tells
// the caller none of it.
//
// # Revocation, and how long to believe a token
//
// Verifying does no I/O but fetching keys now and then. So a service that checks
// offline does not hear that somebody logged out, was blocked, or lost a role: for
// it a token is good until it expires, two hours after it was issued unless the
// bridge was configured otherwise (WXBRIDGE_JWT_TTL). Where that is too long for
// an operation, ask the bridge's GET /me with the same token before doing it, or
// keep a [RevocationSet] of your own and put its Revoked method into [Config].
//
// [Config].Leeway is how far the clocks of bridge and service may differ, 5
// seconds by default and a minute at most. A longer one is no cure for a wrong
// clock; it makes every token live longer.
//
// # Keys and their rotation
//
// A [RemoteKeySet] follows the bridge's keys by itself; see there for how long it
// believes what. A rotation fails no request: the bridge publishes a key before it
// signs, the set is fetched again before its time is over, and a token with a kid
// nobody has seen has it fetched at once. A key that was withdrawn is refused after
// the max-age of the set (10 minutes by default, an hour at most) or, while the
// bridge cannot be reached, an hour later than that.
//
// # Testing a service
//
// No bridge is needed: make a key with [GenerateKey], give one [KeySet] of it to
// both a [NewIssuer] and the service's [NewVerifier], and sign what the test
// needs. The Now of both configurations takes a clock of your own.
//
// # Issuing
//
// An [Issuer] signs with a [KeySet], whose JWKS method is what a bridge serves. A
// service that only checks tokens never needs either outside its tests.
package jwtauth
