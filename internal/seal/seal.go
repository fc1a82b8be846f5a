// Package seal encrypts bytes for ourselves: flow cookies, session keys, private
// signing keys.
//
// Everything sealed carries a purpose label, and each purpose has a key of its
// own, so that what was sealed for one purpose never opens as another. Data that
// belongs to the sealed bytes but travels beside them, such as a key id, is given
// as ad and must be the same when they are opened.
//
// Sealed bytes are: version 1 (one byte), nonce (12), ciphertext, tag (16).
// The cipher is AES-256-GCM with random nonces under the key
// HKDF-SHA256(secret, info "wxbridge/seal/1/"+purpose); one purpose may seal
// 2^32 times under one secret.
//
// A secret is changed by giving the box the new one and, for as long as anything
// sealed with it is still about, the previous one, which opens and never seals.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// MinSecretBytes is the length below which a secret is refused.
const MinSecretBytes = 32

// Overhead is how many bytes longer sealed bytes are than plain ones.
const Overhead = 1 + 12 + 16

// ErrOpen is the answer to everything that does not open: another secret,
// another purpose, another ad, damage, or no sealed bytes at all.
var ErrOpen = errors.New("seal: cannot be opened")

const (
	version     = 1
	infoVersion = "wxbridge/seal/1/"
)

// Box seals under one secret and opens under that and previous ones. It is safe
// for concurrent use and prints nothing of the secrets.
type Box struct {
	roots []*root // the current one first
}

// root is one secret at work.
type root struct {
	key   []byte   // HKDF's pseudorandom key
	aeads sync.Map // purpose → cipher.AEAD
}

// New makes a Box from secrets of at least [MinSecretBytes] random bytes each.
func New(current []byte, previous ...[]byte) (*Box, error) {
	b := &Box{}
	for _, secret := range append([][]byte{current}, previous...) {
		if len(secret) < MinSecretBytes {
			return nil, fmt.Errorf("seal: secret must have at least %d bytes", MinSecretBytes)
		}
		key, err := hkdf.Extract(sha256.New, secret, nil)
		if err != nil {
			return nil, fmt.Errorf("seal: derive key: %w", err)
		}
		b.roots = append(b.roots, &root{key: key})
	}
	return b, nil
}

// Seal encrypts plain for a purpose. Purposes are constants of the program, never
// made from outside input.
func (b *Box) Seal(purpose string, plain, ad []byte) []byte {
	sealed := make([]byte, 1, Overhead+len(plain))
	sealed[0] = version
	return b.roots[0].aead(purpose).Seal(sealed, nil, plain, ad)
}

// Open reverses [Box.Seal], or returns [ErrOpen].
func (b *Box) Open(purpose string, sealed, ad []byte) ([]byte, error) {
	plain, _, err := b.open(purpose, sealed, ad)
	return plain, err
}

// Reseal gives what is sealed under the current secret: the bytes themselves if
// they are (fresh is false), else their content sealed again (fresh is true). What
// does not open is [ErrOpen].
func (b *Box) Reseal(purpose string, sealed, ad []byte) (current []byte, fresh bool, err error) {
	plain, by, err := b.open(purpose, sealed, ad)
	if err != nil || by == 0 {
		return sealed, false, err
	}
	return b.Seal(purpose, plain, ad), true, nil
}

// open says which secret opened it.
func (b *Box) open(purpose string, sealed, ad []byte) (plain []byte, by int, err error) {
	if len(sealed) < Overhead || sealed[0] != version {
		return nil, 0, ErrOpen
	}
	for i, r := range b.roots {
		if plain, err := r.aead(purpose).Open(nil, nil, sealed[1:], ad); err == nil {
			return plain, i, nil
		}
	}
	return nil, 0, ErrOpen
}

// SealText is [Box.Seal] as base64url without padding, fit for a cookie.
func (b *Box) SealText(purpose string, plain, ad []byte) string {
	return base64.RawURLEncoding.EncodeToString(b.Seal(purpose, plain, ad))
}

// OpenText reverses [Box.SealText], or returns [ErrOpen]. Only the one text that
// SealText wrote opens: no padding, no spare bits, no line ends.
func (b *Box) OpenText(purpose, text string, ad []byte) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") { // which the decoder would skip
		return nil, ErrOpen
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, ErrOpen
	}
	return b.Open(purpose, sealed, ad)
}

// Format prints no part of the secret under any verb.
func (b *Box) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "seal.Box") }

func (r *root) aead(purpose string) cipher.AEAD {
	if known, ok := r.aeads.Load(purpose); ok {
		return known.(cipher.AEAD)
	}
	made, _ := r.aeads.LoadOrStore(purpose, newAEAD(r.key, purpose))
	return made.(cipher.AEAD)
}

// newAEAD cannot fail: the lengths are constants.
func newAEAD(key []byte, purpose string) cipher.AEAD {
	key, err := hkdf.Expand(sha256.New, key, infoVersion+purpose, 32)
	if err != nil {
		panic("seal: " + err.Error())
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("seal: " + err.Error())
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("seal: " + err.Error())
	}
	return aead
}
