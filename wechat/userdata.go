package wechat

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// What is wrong with data that a mini program sends in a user's name, beside
// [ErrSession]: the session_key is not the one that the data was made with, because
// another wx.login has replaced it, or the data was changed. Exactly one of the
// three fits. Who answers the mini program should give one answer for all of them,
// "log in again": a finer one would tell a forger how near he is.
var (
	// ErrUserData: not what wx.getUserInfo gives: no base64, of an impossible
	// length, or without what it must hold.
	ErrUserData = errors.New("wechat: user data: malformed")
	// ErrWatermark: made for another app, or more than UserDataAge ago.
	ErrWatermark = errors.New("wechat: user data: of another app or too old")
)

const (
	// MaxUserData is the limit on encryptedData and on rawData, in bytes. Real ones
	// have about 600 and 300.
	MaxUserData = 16 << 10
	// UserDataAge is how old user data may be, and how far ahead of ours WeChat's
	// clock.
	UserDataAge = 10 * time.Minute

	sessionKeySize = 16 // bytes: AES-128
)

// UserData is what encryptedData holds (wechat-protocol §8.5). Since 2022 the
// names and avatars in it are the same for everybody.
//
// AES-CBC protects its secrecy and nothing else: the mini program's user can bend
// what is in it. Compare OpenID, if there is one, with that of the login, and take
// neither OpenID nor UnionID from here.
type UserData struct {
	OpenID    string // "" in what wx.getUserProfile gives
	UnionID   string
	Nickname  string
	AvatarURL string
	At        time.Time       // of the watermark
	Raw       json.RawMessage // one JSON object
}

// OpenUserData decrypts the encryptedData of wx.getUserInfo and its kin with the
// session_key of the user's latest login. data and iv are base64 as the mini
// program got them; a "+" must not have become a space on the way. Its errors
// are ErrSession, ErrUserData and ErrWatermark.
func (m *MiniProgram) OpenUserData(key Secret, data, iv string) (UserData, error) {
	plain, err := decryptUserData(key, data, iv)
	if err != nil {
		return UserData{}, err
	}
	// Another key makes garbage, so what does not read as an object is that.
	a := answer{raw: plain}
	if err := json.Unmarshal(plain, &a.fields); err != nil || a.fields == nil || !utf8.Valid(plain) {
		return UserData{}, fmt.Errorf("%w: it does not decrypt", ErrSession)
	}
	d, mark, err := a.userData()
	if err != nil {
		return UserData{}, fmt.Errorf("%w: %w", ErrUserData, err)
	}
	age := m.caller.now().Sub(mark.at)
	switch {
	case subtle.ConstantTimeCompare([]byte(mark.appID), []byte(m.appID)) != 1:
		return UserData{}, fmt.Errorf("%w: it is not for %s", ErrWatermark, m.appID)
	case age > UserDataAge || age < -UserDataAge:
		return UserData{}, fmt.Errorf("%w: it is not of the last %v", ErrWatermark, UserDataAge)
	}
	return d, nil
}

// CheckRawData checks the signature that wx.getUserInfo gives beside rawData:
// the hex SHA-1 of rawData and the session_key. rawData must have the very bytes
// that the mini program got. The error is ErrSession, or ErrUserData where the
// signature is none.
func CheckRawData(key Secret, rawData, signature string) error {
	given, err := hex.DecodeString(signature)
	switch {
	case err != nil || len(given) != sha1.Size || len(rawData) > MaxUserData:
		return fmt.Errorf("%w: the signature is not 40 hexadecimal digits, or rawData is too long", ErrUserData)
	case key == "":
		return fmt.Errorf("%w: there is no session_key", ErrSession)
	}
	want := sha1.Sum([]byte(rawData + key.Reveal()))
	if subtle.ConstantTimeCompare(given, want[:]) != 1 {
		return fmt.Errorf("%w: the signature of rawData is of another session_key", ErrSession)
	}
	return nil
}

// decryptUserData is AES-128-CBC with PKCS #7.
func decryptUserData(key Secret, data, iv string) ([]byte, error) {
	secret, err := base64.StdEncoding.DecodeString(key.Reveal())
	if err != nil || len(secret) != sessionKeySize {
		return nil, fmt.Errorf("%w: there is no session_key of %d bytes", ErrSession, sessionKeySize)
	}
	if len(data) > MaxUserData || len(iv) > MaxUserData {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrUserData, MaxUserData)
	}
	text, err := base64.StdEncoding.DecodeString(data)
	if err != nil || len(text) == 0 || len(text)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("%w: the encryptedData is not base64 of whole blocks", ErrUserData)
	}
	start, err := base64.StdEncoding.DecodeString(iv)
	if err != nil || len(start) != aes.BlockSize {
		return nil, fmt.Errorf("%w: the iv is not base64 of %d bytes", ErrUserData, aes.BlockSize)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSession, err)
	}
	cipher.NewCBCDecrypter(block, start).CryptBlocks(text, text)
	pad := int(text[len(text)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, fmt.Errorf("%w: it does not decrypt", ErrSession)
	}
	plain := text[:len(text)-pad]
	for _, b := range text[len(plain):] {
		if int(b) != pad {
			return nil, fmt.Errorf("%w: it does not decrypt", ErrSession)
		}
	}
	return plain, nil
}

// userData reads the plain text. Its names are in camel case, unlike those of
// WeChat's answers.
func (a answer) userData() (UserData, watermark, error) {
	mark, err := a.watermark()
	if err != nil {
		return UserData{}, watermark{}, err
	}
	var r reading
	d := UserData{
		OpenID:    r.keep(a.id("openId")),
		UnionID:   r.keep(a.id("unionId")),
		Nickname:  r.keep(a.text("nickName")),
		AvatarURL: r.keep(a.text("avatarUrl")),
		At:        mark.at,
		Raw:       a.raw,
	}
	return d, mark, r.err
}

// watermark says what app data of a user was made for, and when.
type watermark struct {
	appID string
	at    time.Time
}

func (a answer) watermark() (watermark, error) {
	mark, err := a.object("watermark")
	if err != nil {
		return watermark{}, err
	}
	appID, err := mark.text("appid")
	if err != nil {
		return watermark{}, err
	}
	seconds, ok := mark.number("timestamp")
	if !ok || appID == "" || seconds <= 0 || seconds > maxUnix {
		return watermark{}, errors.New("the watermark has no appid or no timestamp")
	}
	return watermark{appID, time.Unix(seconds, 0)}, nil
}
