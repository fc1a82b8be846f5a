package jwtauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

// maxRemoteKeys is far above what a rotation needs; a longer set is a mistake.
const maxRemoteKeys = 100

// strictBase64 is base64url without padding (RFC 7515 §2) and without spare bits.
var strictBase64 = base64.RawURLEncoding.Strict()

// encodeJWKS writes a JWK Set of public keys (RFC 7517 §5). Symmetric keys have no
// public part and are left out.
func encodeJWKS(keys []Key) ([]byte, error) {
	set := struct {
		Keys []publicJWK `json:"keys"`
	}{Keys: make([]publicJWK, 0, len(keys))}
	for _, k := range keys {
		if k.m.public == nil {
			continue
		}
		j, err := newPublicJWK(k.m.public)
		if err != nil {
			return nil, err
		}
		j.Kid, j.Alg, j.Use = k.ID(), k.Alg(), "sig"
		set.Keys = append(set.Keys, j)
	}
	return json.Marshal(set)
}

// publicJWK has no member that could hold a private part (RFC 7518 §6).
type publicJWK struct {
	Kid string `json:"kid,omitempty"`
	Kty string `json:"kty"`
	Alg string `json:"alg,omitempty"`
	Use string `json:"use,omitempty"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
}

func newPublicJWK(public crypto.PublicKey) (publicJWK, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 0x04, X, Y; both padded to 32 bytes
		if err != nil || len(point) != 65 {
			return publicJWK{}, errors.New("jwtauth: cannot encode elliptic-curve key")
		}
		return publicJWK{Kty: "EC", Crv: "P-256", X: b64(point[1:33]), Y: b64(point[33:])}, nil
	case ed25519.PublicKey:
		return publicJWK{Kty: "OKP", Crv: "Ed25519", X: b64(k)}, nil
	case *rsa.PublicKey:
		return publicJWK{Kty: "RSA", N: b64(k.N.Bytes()), E: b64(big.NewInt(int64(k.E)).Bytes())}, nil
	default:
		return publicJWK{}, fmt.Errorf("jwtauth: cannot encode %T", public)
	}
}

// thumbprint is RFC 7638: the hash of the required members in alphabetical order.
func thumbprint(public crypto.PublicKey) (string, error) {
	j, err := newPublicJWK(public)
	if err != nil {
		return "", err
	}
	var members string
	switch j.Kty {
	case "EC":
		members = `{"crv":"` + j.Crv + `","kty":"EC","x":"` + j.X + `","y":"` + j.Y + `"}`
	case "OKP": // RFC 8037 §2
		members = `{"crv":"` + j.Crv + `","kty":"OKP","x":"` + j.X + `"}`
	case "RSA":
		members = `{"e":"` + j.E + `","kty":"RSA","n":"` + j.N + `"}`
	}
	sum := sha256.Sum256([]byte(members))
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// decodeJWKS reads the usable keys of a JWK Set. Keys it does not understand are
// passed over (RFC 7517 §5), as are those that must not be here: symmetric ones,
// ones with a private part, ones not meant for signatures, weak ones. Of two
// keys with one id the first counts. An empty set says that all keys are
// withdrawn; a set of nothing but unusable keys is an error.
func decodeJWKS(document []byte) (map[string]Key, error) {
	var set struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, errors.New("jwtauth: answer is not a JWK Set")
	}
	if set.Keys == nil {
		return nil, errors.New("jwtauth: answer has no keys member")
	}
	if len(set.Keys) > maxRemoteKeys {
		return nil, fmt.Errorf("jwtauth: JWK Set has more than %d keys", maxRemoteKeys)
	}
	keys := make(map[string]Key, len(set.Keys))
	for _, members := range set.Keys {
		k, err := decodeJWK(members)
		if err != nil {
			continue
		}
		if _, taken := keys[k.ID()]; !taken {
			keys[k.ID()] = k
		}
	}
	if len(keys) == 0 && len(set.Keys) > 0 {
		return nil, errors.New("jwtauth: JWK Set has no usable key")
	}
	return keys, nil
}

// decodeJWK takes a map, not a struct: encoding/json would match the members of
// a struct without regard to case.
func decodeJWK(members map[string]json.RawMessage) (Key, error) {
	for _, private := range [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, ok := members[private]; ok {
			return Key{}, errors.New("jwtauth: JWK has a private member")
		}
	}
	if use := stringMember(members, "use"); members["use"] != nil && use != "sig" {
		return Key{}, errors.New("jwtauth: JWK is not for signatures")
	}
	if members["key_ops"] != nil && !allowsVerify(members["key_ops"]) {
		return Key{}, errors.New("jwtauth: JWK is not for verifying")
	}
	public, err := decodePublic(members)
	if err != nil {
		return Key{}, err
	}
	k, err := NewPublicKey(stringMember(members, "kid"), public)
	if err != nil {
		return Key{}, err
	}
	if members["alg"] != nil && stringMember(members, "alg") != k.Alg() {
		return Key{}, errors.New("jwtauth: JWK names another algorithm")
	}
	return k, nil
}

func decodePublic(members map[string]json.RawMessage) (crypto.PublicKey, error) {
	switch kty, crv := stringMember(members, "kty"), stringMember(members, "crv"); {
	case kty == "EC" && crv == "P-256":
		x, y := bytesMember(members, "x"), bytesMember(members, "y")
		if len(x) != 32 || len(y) != 32 {
			return nil, errors.New("jwtauth: JWK coordinate has the wrong length")
		}
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	case kty == "OKP" && crv == "Ed25519":
		return ed25519.PublicKey(bytesMember(members, "x")), nil
	case kty == "RSA":
		n, e := bytesMember(members, "n"), new(big.Int).SetBytes(bytesMember(members, "e"))
		if len(n) > 1024 || e.BitLen() > 31 || e.Int64() < 3 || e.Bit(0) == 0 {
			return nil, errors.New("jwtauth: JWK modulus or exponent out of bounds")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(e.Int64())}, nil
	default:
		return nil, errors.New("jwtauth: JWK of a kind not supported")
	}
}

// stringMember returns "" for a member that is missing or not a string.
func stringMember(members map[string]json.RawMessage, name string) string {
	var s string
	if json.Unmarshal(members[name], &s) != nil {
		return ""
	}
	return s
}

// bytesMember returns nil for a member that is missing or not strict base64url.
func bytesMember(members map[string]json.RawMessage, name string) []byte {
	b, err := decodeSegment(stringMember(members, name))
	if err != nil {
		return nil
	}
	return b
}

func allowsVerify(raw json.RawMessage) bool {
	var ops []string
	if json.Unmarshal(raw, &ops) != nil {
		return false
	}
	for _, op := range ops {
		if op == "verify" {
			return true
		}
	}
	return false
}
