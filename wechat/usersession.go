package wechat

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
)

const opCheckSession = "wxa/checksession"

// CheckSession asks whether key is still the session_key of the user with openID
// (wechat-protocol §8.2): nil, or [ErrSession], or what kept WeChat from saying.
// The key itself is not sent. The app must be a mini program.
func (t *AppTokens) CheckSession(ctx context.Context, openID string, key Secret) error {
	switch {
	case !isID(openID):
		return unsendable(opCheckSession, "the openid is malformed")
	case key == "":
		return &Error{Op: opCheckSession, Message: "there is no session_key", kind: ErrSession}
	}
	// The key of the HMAC is the text of the session_key, not the bytes that it is
	// base64 of.
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	signature := hex.EncodeToString(mac.Sum(nil))
	_, err := t.call(ctx, call{
		op:      opCheckSession,
		query:   "openid=" + url.QueryEscape(openID) + "&signature=" + signature + "&sig_method=hmac_sha256",
		private: []string{openID, signature},
	})
	return err
}
