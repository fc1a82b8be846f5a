package jwtauth

import "errors"

// VerifySignature checks a JWS and nothing else: the published vectors have
// neither kid nor our claims.
func VerifySignature(k Key, raw string) error {
	p, err := splitToken(raw)
	if err != nil {
		return errors.Join(errors.New("not a JWS"), err)
	}
	return k.m.verify(p.signed, p.signature)
}

// DecodeJWKS is what a RemoteKeySet does with an answer.
func DecodeJWKS(document []byte) (map[string]Key, error) { return decodeJWKS(document) }
