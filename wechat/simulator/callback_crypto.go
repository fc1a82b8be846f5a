package simulator

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What follows is the message encryption of callbacks (documented, wechat-protocol §5.1 to §5.3).

// signed is the SHA-1, in lower-case hex, of the parts in the order of their bytes and without anything between them.
func signed(parts ...string) string {
	sorted := slices.Clone(parts)
	slices.Sort(sorted)
	sum := sha1.Sum([]byte(strings.Join(sorted, "")))
	return hex.EncodeToString(sum[:])
}

// callbackKey is an EncodingAESKey decoded: 32 bytes, the first 16 of them the IV.
type callbackKey [32]byte

// errAESKey is what a bad key is told.
var errAESKey = errors.New("encoding_aes_key: want 43 letters and digits")

// parseAESKey decodes 43 characters. The last one stands for four bits and may carry two more that mean nothing; real
// keys do (observed), so they are not looked at.
func parseAESKey(text string) (callbackKey, error) {
	var key callbackKey
	if len(text) != 43 || strings.ContainsFunc(text, notAlphanumeric) {
		return key, errAESKey
	}
	raw, err := base64.StdEncoding.DecodeString(text + "=")
	if err != nil || len(raw) != len(key) {
		return key, errAESKey
	}
	copy(key[:], raw)
	return key, nil
}

func notAlphanumeric(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

const (
	cryptoBlock  = 32 // of the padding, although the cipher's block has 16 bytes
	cryptoRandom = 16
	cryptoHead   = cryptoRandom + 4
)

// newCryptoRandom is what stands before a message: 16 hex digits (observed in the official samples).
func newCryptoRandom() []byte {
	var b [cryptoRandom / 2]byte
	rand.Read(b[:])
	return hex.AppendEncode(nil, b[:])
}

// encrypt seals random ‖ length ‖ message ‖ appid, padded to whole blocks of 32 bytes with 1 to 32 bytes of that value.
func (k callbackKey) encrypt(random, message []byte, appID string) string {
	plain := slices.Clone(random)
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(message)))
	plain = append(append(plain, message...), appID...)
	pad := cryptoBlock - len(plain)%cryptoBlock
	plain = append(plain, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(k.cipher(), k[:aes.BlockSize]).CryptBlocks(plain, plain)
	return base64.StdEncoding.EncodeToString(plain)
}

func (k callbackKey) cipher() cipher.Block {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		panic(fmt.Sprintf("simulator: AES: %v", err)) // 32 bytes are a key
	}
	return block
}

// decrypt opens what encrypt sealed and gives the message, if the appid in it is the one wanted.
func (k callbackKey) decrypt(sealed, appID string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, errors.New("the ciphertext is not base64")
	}
	if len(data) == 0 || len(data)%cryptoBlock != 0 {
		return nil, errors.New("the ciphertext is not a number of whole blocks")
	}
	cipher.NewCBCDecrypter(k.cipher(), k[:aes.BlockSize]).CryptBlocks(data, data)
	pad := int(data[len(data)-1])
	if pad < 1 || pad > cryptoBlock || !bytes.Equal(data[len(data)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, errors.New("the ciphertext has no good padding: is it encrypted with another key?")
	}
	data = data[:len(data)-pad]
	if len(data) < cryptoHead {
		return nil, errors.New("the ciphertext is too short")
	}
	length, rest := uint64(binary.BigEndian.Uint32(data[cryptoRandom:])), data[cryptoHead:]
	if length > uint64(len(rest)) {
		return nil, errors.New("the ciphertext holds a length beyond its end")
	}
	if subtle.ConstantTimeCompare(rest[length:], []byte(appID)) != 1 {
		return nil, errors.New("the ciphertext is for another appid")
	}
	return rest[:length], nil
}
