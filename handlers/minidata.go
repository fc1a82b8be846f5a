package handlers

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/wechat"
)

// errData is the one answer to encrypted data that do not fit: another key, another padding, another mark, another person. The
// cure is the same for all, and telling them apart would help nobody but a forger.
var errData = invalidGrant("WeChat has replaced the session key, or these data are not of it. Log in again, then get the data again.")

// saveEncryptedProfile stores the name and picture in data that WeChat has encrypted with the session key of the caller's own
// latest login.
func (s *Server) saveEncryptedProfile(c *gin.Context, from caller, fan db.Fan, p params) error {
	if err := checkUserData(p); err != nil {
		return err
	}
	program, err := s.miniProgramOf(from)
	if err != nil {
		return err
	}
	key, err := s.sessionKey(c.Request.Context(), from)
	if err != nil {
		return err
	}
	data, err := openUserData(program, from, key, p)
	if err != nil {
		s.noteSession(c, program, from, key)
		return errData.because(err)
	}
	given := realProfile(data)
	if len(given) > 0 {
		if fan, err = s.saveProfile(c.Request.Context(), fan.ID, given); err != nil {
			return err
		}
	}
	return s.answerMe(c, from, fan, true)
}

// checkUserData refuses what no session key could make sense of.
func checkUserData(p params) error {
	for _, name := range []string{"encrypted_data", "raw_data"} {
		if len(p[name]) > wechat.MaxUserData {
			return invalidRequest(fmt.Sprintf("The member %s is longer than %d bytes.", name, wechat.MaxUserData))
		}
	}
	data, err := base64.StdEncoding.DecodeString(p["encrypted_data"])
	if err != nil || len(data) == 0 || len(data)%16 != 0 {
		return invalidRequest("encrypted_data is not base64 of whole blocks. Send JSON: in a form, a + that is not escaped becomes a space.")
	}
	iv, err := base64.StdEncoding.DecodeString(p["iv"])
	if err != nil || len(iv) != 16 {
		return invalidRequest("iv is not base64 of 16 bytes.")
	}
	if !only(p["signature"], 40, isAlphanumeric) || len(p["signature"]) != 40 {
		return invalidRequest("signature is not 40 hexadecimal digits.")
	}
	return nil
}

// sessionKey is that of the identity the token names, and of no other.
func (s *Server) sessionKey(ctx context.Context, from caller) (wechat.Secret, error) {
	_, identity, err := s.cfg.Store.FanByIdentity(ctx, from.claims.Provider, from.claims.AppID, from.claims.OpenID)
	switch {
	case err != nil:
		return "", missingFan(err)
	case len(identity.SessionKeySealed) == 0:
		return "", errData.because(errors.New("no session key is stored"))
	}
	key, err := s.cfg.Box.Open(sessionKeyPurpose, identity.SessionKeySealed, identityLabel(identity))
	if err != nil {
		return "", errData.because(err) // sealed by a secret that is gone: the next login stores another
	}
	return wechat.Secret(key), nil
}

// openUserData checks the signature of raw_data and decrypts the rest. The data may name whom they are about: it must be the
// caller.
func openUserData(program MiniProgram, from caller, key wechat.Secret, p params) (wechat.UserData, error) {
	if err := wechat.CheckRawData(key, p["raw_data"], p["signature"]); err != nil {
		return wechat.UserData{}, err
	}
	data, err := program.Client.OpenUserData(key, p["encrypted_data"], p["iv"])
	if err == nil && data.OpenID != "" && data.OpenID != from.claims.OpenID {
		err = errors.New("the data are another person's")
	}
	return data, err
}

// noteTime is how long an answer waits for what only the log is told.
const noteTime = 2 * time.Second

// noteSession asks WeChat, for the log, whether the key is at fault or the data are.
func (s *Server) noteSession(c *gin.Context, program MiniProgram, from caller, key wechat.Secret) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), noteTime)
	defer cancel()
	state := "current"
	switch err := program.Tokens.CheckSession(ctx, from.claims.OpenID, key); {
	case errors.Is(err, wechat.ErrSession):
		state = "replaced"
	case err != nil:
		state = "unknown"
	}
	recordOf(c).note(slog.String("session_key", state))
}

// nobodysName is what WeChat calls everybody since 2022, with a grey picture: such a profile says nothing about the person
// (wechat-protocol §8.6).
const nobodysName = "微信用户"

// realProfile is what the data tell about the person. The unionid in them is not used: the encryption keeps nobody from bending
// what is in it, and a unionid decides who somebody is.
func realProfile(data wechat.UserData) params {
	given := params{}
	if data.Nickname == nobodysName {
		return given
	}
	if nickname := clip(data.Nickname, maxNickname); nickname != "" {
		given["nickname"] = nickname
	}
	if avatar := fitting(data.AvatarURL, maxAvatarURL); avatar != "" {
		given["avatar_url"] = avatar
	}
	return given
}
