// Package jwtauth issues and checks the tokens of a login bridge: signed JSON
// Web Tokens that any service can verify offline with a public key.
//
// A service that only checks tokens needs three calls:
//
//	keys, err := jwtauth.NewRemoteKeySet("https://login.example.com/.well-known/jwks.json", jwtauth.RemoteOptions{})
//	verifier, err := jwtauth.NewVerifier(keys, jwtauth.Config{Issuer: "https://login.example.com", Audience: "https://login.example.com/api"})
//	http.Handle("/api/", verifier.Middleware(api)) // in api: jwtauth.FromContext(r.Context())
//
// An [Issuer] signs with a [KeySet]; a [Verifier] takes its keys from a KeySet
// of the same process or from a [RemoteKeySet] over HTTP. There are two kinds of
// token, and neither can stand in for the other: access tokens (RFC 9068, typ
// "at+jwt") are credentials; ID tokens (typ "JWT", another audience) are for a
// page's script to read and are never accepted here ([Issuer.ReadIDToken] reads
// back what they show).
//
// A verifier with [Config].CacheBytes remembers tokens that were good: the next
// request with the same token costs a lookup instead of a signature, about a
// hundredth. What may have changed is asked every time: the clock, the key, the
// revocations. Tokens that were refused are never remembered.
//
// Verifying does no I/O of its own. What is revoked before it expires is known
// to those who hold a [RevocationSet]; an offline verifier learns it when the
// token expires.
//
// The gin middleware is in jwtauth/ginauth; this package needs no web framework.
package jwtauth
