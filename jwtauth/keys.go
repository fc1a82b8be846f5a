package jwtauth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/golang-jwt/jwt/v5"
)

// The signature algorithms of RFC 7518 and RFC 8037 that a [Verifier] knows. A
// key has exactly one of them, and a token must name the one of its key.
const (
	ES256 = "ES256" // ECDSA on P-256
	EdDSA = "EdDSA" // Ed25519
	RS256 = "RS256" // RSA of 2,048 to 8,192 bits, PKCS #1 v1.5
	HS256 = "HS256" // HMAC with SHA-256, under a secret both sides hold
)

// MinSecretBytes is the length below which an HS256 secret is refused (RFC 7518
// §3.2).
const MinSecretBytes = 32

// maxKeyIDBytes bounds kid, in keys and in tokens.
const maxKeyIDBytes = 128

// KeySource finds the key a token names. [KeySet] and [RemoteKeySet] are the two
// kinds there are.
type KeySource interface {
	// Key returns the key whose id is exactly kid. A kid nobody has published is
	// [ErrUnknownKey]; any other error means that the question has no answer now.
	Key(ctx context.Context, kid string) (Key, error)
}

// Key is a public key with its id and algorithm, and the private key too where
// this process signs with it; or an HS256 secret, which does both. It is
// immutable, cheap to copy, and prints as its algorithm and id only. The zero
// Key is no key.
type Key struct {
	m *keyMaterial // behind a pointer, so that no formatting verb can reach the private key
}

type keyMaterial struct {
	id      string
	method  jwt.SigningMethod
	public  crypto.PublicKey // nil: symmetric
	private crypto.Signer    // nil: verifies only, or symmetric
	secret  []byte           // nil: asymmetric

	accessHeader, idHeader string // encoded JOSE headers, empty unless private is set
}

// rsaBits is the size of the RSA keys made here. Larger ones make every token
// longer and every signature slower.
const rsaBits = 2048

// GenerateKey makes a key of one of the asymmetric algorithms, such as [ES256].
// Its id is its thumbprint (RFC 7638).
func GenerateKey(alg string) (Key, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case RS256:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		return Key{}, fmt.Errorf("jwtauth: no keys are made for %q", alg)
	}
	if err != nil {
		return Key{}, fmt.Errorf("jwtauth: generate key: %w", err)
	}
	kid, err := thumbprint(private.Public())
	if err != nil {
		return Key{}, err
	}
	return newKey(kid, private.Public(), private)
}

// NewSymmetricKey makes an HS256 key from a secret of at least [MinSecretBytes]
// random bytes. Whoever holds it can sign as well as verify, so share it with one
// backend at most, and never with a page or an app. Its id is [SymmetricKeyID],
// which two sides that share the secret so need not exchange. It never appears in
// a JWK Set.
func NewSymmetricKey(secret []byte) (Key, error) {
	if len(secret) < MinSecretBytes {
		return Key{}, fmt.Errorf("jwtauth: HS256 secret must have at least %d bytes", MinSecretBytes)
	}
	m := &keyMaterial{id: SymmetricKeyID(secret), method: jwt.SigningMethodHS256, secret: bytes.Clone(secret)}
	if err := m.encodeHeaders(); err != nil {
		return Key{}, err
	}
	return Key{m}, nil
}

// SymmetricKeyID is the kid of an HS256 key: HMAC-SHA256 of "wxbridge key id"
// under the secret, cut to 128 bits, in base64url after "hs-". It tells no more of
// the secret than any token signed with it does: a random secret cannot be found
// from it, a guessable one could be found from either.
func SymmetricKeyID(secret []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("wxbridge key id")) // has no dot, so it is never what a token's signature covers
	return "hs-" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// ParsePrivateKey reads a signing key from the PKCS #8 DER that
// [Key.MarshalPrivate] writes.
func ParsePrivateKey(kid string, pkcs8 []byte) (Key, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		// The cause could describe the key's bytes; its kind is all a log needs.
		return Key{}, errors.New("jwtauth: private key is not PKCS #8")
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return Key{}, fmt.Errorf("jwtauth: %T cannot sign", parsed)
	}
	return newKey(kid, private.Public(), private)
}

// NewPublicKey makes a key that verifies only, for a service that holds a public
// key instead of fetching it: *ecdsa.PublicKey on P-256, ed25519.PublicKey, or
// *rsa.PublicKey of 2,048 to 8,192 bits.
func NewPublicKey(kid string, public crypto.PublicKey) (Key, error) {
	return newKey(kid, public, nil)
}

func newKey(kid string, public crypto.PublicKey, private crypto.Signer) (Key, error) {
	if kid == "" || len(kid) > maxKeyIDBytes {
		return Key{}, fmt.Errorf("jwtauth: key id must have 1 to %d bytes", maxKeyIDBytes)
	}
	method, err := methodFor(public)
	if err != nil {
		return Key{}, err
	}
	m := &keyMaterial{id: kid, method: method, public: public, private: private}
	if private != nil {
		if err := m.encodeHeaders(); err != nil {
			return Key{}, err
		}
	}
	return Key{m}, nil
}

func (m *keyMaterial) encodeHeaders() (err error) {
	if m.accessHeader, err = encodeHeader(m.method.Alg(), m.id, typAccess); err != nil {
		return err
	}
	m.idHeader, err = encodeHeader(m.method.Alg(), m.id, typID)
	return err
}

// verify checks a signature with the key's one algorithm. Which kind of key that
// takes is a property of the key, never of the token, so public bytes are never
// an HMAC secret.
func (m *keyMaterial) verify(signed string, signature []byte) error {
	if m.secret != nil {
		return m.method.Verify(signed, signature, m.secret)
	}
	return m.method.Verify(signed, signature, m.public)
}

func (m *keyMaterial) sign(text string) ([]byte, error) {
	if m.secret != nil {
		return m.method.Sign(text, m.secret)
	}
	return m.method.Sign(text, m.private)
}

// methodFor is the one place where a kind of public key gets its algorithm.
func methodFor(public crypto.PublicKey) (jwt.SigningMethod, error) {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k == nil || k.Curve != elliptic.P256() {
			return nil, errors.New("jwtauth: elliptic-curve key is not on P-256")
		}
		if _, err := k.Bytes(); err != nil {
			return nil, errors.New("jwtauth: elliptic-curve key is not a point of P-256")
		}
		return jwt.SigningMethodES256, nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return nil, errors.New("jwtauth: Ed25519 key has the wrong length")
		}
		return jwt.SigningMethodEdDSA, nil
	case *rsa.PublicKey:
		if k == nil || k.N == nil || k.N.BitLen() < 2048 || k.N.BitLen() > 8192 {
			return nil, errors.New("jwtauth: RSA key must have 2,048 to 8,192 bits")
		}
		return jwt.SigningMethodRS256, nil
	default:
		return nil, fmt.Errorf("jwtauth: unsupported key type %T", public)
	}
}

// ID returns the key id, the kid of the tokens it signs.
func (k Key) ID() string {
	if k.m == nil {
		return ""
	}
	return k.m.id
}

// Alg returns the key's one algorithm, such as [ES256].
func (k Key) Alg() string {
	if k.m == nil {
		return ""
	}
	return k.m.method.Alg()
}

// Public returns the public key in the standard library's type, nil for HS256.
func (k Key) Public() crypto.PublicKey {
	if k.m == nil {
		return nil
	}
	return k.m.public
}

// MarshalPrivate returns the private key as PKCS #8 DER, or the HS256 secret as
// it is; in the clear: seal it before it is stored. It fails for a key that
// verifies only.
func (k Key) MarshalPrivate() ([]byte, error) {
	if !k.canSign() {
		return nil, errors.New("jwtauth: key has no private part")
	}
	if k.m.secret != nil {
		return bytes.Clone(k.m.secret), nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.m.private)
	if err != nil {
		return nil, fmt.Errorf("jwtauth: marshal private key: %w", err)
	}
	return der, nil
}

// Format prints the algorithm and the id under every verb.
func (k Key) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, k.Alg()+" key "+k.ID())
}

func (k Key) canSign() bool { return k.m != nil && (k.m.private != nil || k.m.secret != nil) }

// KeySet is the key a process signs with and all keys it accepts. It is safe for
// concurrent use, and [KeySet.Replace] changes it as a whole.
type KeySet struct {
	current atomic.Pointer[keySetState]
}

type keySetState struct {
	signing Key
	byID    map[string]Key
	jwks    []byte
}

// NewKeySet makes a set that signs with one key and verifies with it and all
// others given: those that signed before, and those that are published before
// they sign. It fails if signing has no private part or two different keys share
// an id.
func NewKeySet(signing Key, verifying ...Key) (*KeySet, error) {
	s := &KeySet{}
	if err := s.Replace(signing, verifying...); err != nil {
		return nil, err
	}
	return s, nil
}

// NewVerifyingKeySet makes a set that verifies only, for a service that is given
// its keys instead of fetching them.
func NewVerifyingKeySet(keys ...Key) (*KeySet, error) {
	s := &KeySet{}
	if err := s.ReplaceVerifying(keys...); err != nil {
		return nil, err
	}
	return s, nil
}

// Replace exchanges all keys at once. On an error the set stays as it was.
func (s *KeySet) Replace(signing Key, verifying ...Key) error {
	if !signing.canSign() {
		return errors.New("jwtauth: signing key has no private part")
	}
	return s.replace(signing, append([]Key{signing}, verifying...))
}

// ReplaceVerifying is Replace for a process that has lost its signing key: until
// the next Replace, issuers fail with [ErrNoSigningKey].
func (s *KeySet) ReplaceVerifying(verifying ...Key) error { return s.replace(Key{}, verifying) }

func (s *KeySet) replace(signing Key, keys []Key) error {
	state := &keySetState{signing: signing, byID: map[string]Key{}}
	var all []Key
	for _, k := range keys {
		if k.m == nil {
			return errors.New("jwtauth: empty key in key set")
		}
		known, ok := state.byID[k.ID()]
		if ok && !sameKey(known, k) {
			return fmt.Errorf("jwtauth: two keys share the id %q", k.ID())
		}
		if !ok {
			state.byID[k.ID()] = k
			all = append(all, k)
		}
	}
	jwks, err := encodeJWKS(all)
	if err != nil {
		return err
	}
	state.jwks = jwks
	s.current.Store(state)
	return nil
}

// Key returns the key with exactly this id, or [ErrUnknownKey].
func (s *KeySet) Key(_ context.Context, kid string) (Key, error) {
	k, ok := s.current.Load().byID[kid]
	if !ok {
		return Key{}, ErrUnknownKey
	}
	return k, nil
}

// Signing returns the key that signs now; the zero Key if there is none.
func (s *KeySet) Signing() Key { return s.current.Load().signing }

// JWKS returns the set's public keys as a JWK Set (RFC 7517), the signing key
// first. HS256 keys are not in it. The caller owns the bytes.
func (s *KeySet) JWKS() []byte { return append([]byte(nil), s.current.Load().jwks...) }

func sameKey(a, b Key) bool {
	if a.m.secret != nil || b.m.secret != nil {
		return hmac.Equal(a.m.secret, b.m.secret)
	}
	p, ok := a.m.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && p.Equal(b.m.public)
}
