package wechat

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// MessageSignature is the signature of WeChat's pushes: the lower-case hex SHA-1
// of token and parts, sorted and joined (wechat-protocol §5.1). The parts are
// timestamp and nonce, and for msg_signature the ciphertext too.
func MessageSignature(token Secret, parts ...string) string {
	all := append([]string{token.Reveal()}, parts...)
	slices.Sort(all)
	sum := sha1.Sum([]byte(strings.Join(all, "")))
	return hex.EncodeToString(sum[:])
}

// MessageCipher opens and seals the messages of a callback in AES mode
// (wechat-protocol §5.3): AES-256-CBC over 16 random bytes, the length of the
// message, the message and the receiver. There is no integrity in it; that comes
// from msg_signature. It is safe for concurrent use.
type MessageCipher struct {
	key      *[messageKeySize]byte // a pointer, so that printing a MessageCipher cannot show it
	receiver string
}

const (
	messageKeySize  = 32
	encodedKeySize  = 43 // base64 of the key without its "="
	messageRandom   = 16
	messagePrefix   = messageRandom + 4 // and the length
	messageMaxPad   = 32                // PKCS #7 with blocks of 32, not of AES's 16
	messageMinBlock = aes.BlockSize
)

// NewMessageCipher takes the EncodingAESKey as the console shows it, 43
// characters, and the receiver's id: the appid, for WeCom the corpid. The bits
// that the last character has too many are ignored, as WeChat does.
func NewMessageCipher(encodingAESKey Secret, receiver string) (*MessageCipher, error) {
	if receiver == "" {
		return nil, errors.New("wechat: the receiver of encrypted messages is empty")
	}
	key, err := base64.StdEncoding.DecodeString(encodingAESKey.Reveal() + "=")
	if err != nil || len(encodingAESKey) != encodedKeySize || len(key) != messageKeySize {
		return nil, fmt.Errorf("wechat: the EncodingAESKey is not %d letters and digits", encodedKeySize)
	}
	return &MessageCipher{key: (*[messageKeySize]byte)(key), receiver: receiver}, nil
}

// Format prints the receiver, whatever the verb.
func (c MessageCipher) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "message cipher of "+c.receiver)
}

// Open returns the message in ciphertext, which is base64. Every error is
// [ErrDecrypt]: another key, another receiver, or damage.
func (c *MessageCipher) Open(ciphertext string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(ciphertext)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: it is not base64", ErrDecrypt)
	case len(data) == 0 || len(data)%messageMinBlock != 0:
		return nil, fmt.Errorf("%w: its length is no multiple of the block", ErrDecrypt)
	}
	block, err := aes.NewCipher(c.key[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecrypt, err)
	}
	cipher.NewCBCDecrypter(block, c.key[:aes.BlockSize]).CryptBlocks(data, data)
	if data, err = unpad(data); err != nil {
		return nil, err
	}
	if len(data) < messagePrefix {
		return nil, fmt.Errorf("%w: it is too short", ErrDecrypt)
	}
	size, rest := binary.BigEndian.Uint32(data[messageRandom:messagePrefix]), data[messagePrefix:]
	if uint64(size) > uint64(len(rest)) {
		return nil, fmt.Errorf("%w: it is shorter than it says", ErrDecrypt)
	}
	message, receiver := rest[:size:size], rest[size:]
	if subtle.ConstantTimeCompare(receiver, []byte(c.receiver)) != 1 {
		return nil, fmt.Errorf("%w: it is for another receiver than %s", ErrDecrypt, c.receiver)
	}
	return message, nil
}

// Seal is the reverse of Open. random must be different for every message;
// letters and digits are what WeChat itself uses.
func (c *MessageCipher) Seal(message []byte, random [16]byte) (string, error) {
	if len(message) > MaxCallbackBody {
		return "", errors.New("wechat: the message to encrypt is too long")
	}
	block, err := aes.NewCipher(c.key[:])
	if err != nil {
		return "", fmt.Errorf("wechat: encrypt a message: %w", err)
	}
	size := messagePrefix + len(message) + len(c.receiver)
	pad := messageMaxPad - size%messageMaxPad
	data := make([]byte, 0, size+pad)
	data = append(data, random[:]...)
	data = binary.BigEndian.AppendUint32(data, uint32(len(message)))
	data = append(data, message...)
	data = append(data, c.receiver...)
	data = append(data, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, c.key[:aes.BlockSize]).CryptBlocks(data, data)
	return base64.StdEncoding.EncodeToString(data), nil
}

// unpad takes PKCS #7 padding of 1 to 32 bytes off. An oracle it is not: only
// who knows the token gets here.
func unpad(data []byte) ([]byte, error) {
	pad := int(data[len(data)-1])
	if pad < 1 || pad > messageMaxPad || pad > len(data) {
		return nil, fmt.Errorf("%w: its padding is wrong", ErrDecrypt)
	}
	content := data[:len(data)-pad]
	for _, b := range data[len(content):] {
		if int(b) != pad {
			return nil, fmt.Errorf("%w: its padding is wrong", ErrDecrypt)
		}
	}
	return content, nil
}
