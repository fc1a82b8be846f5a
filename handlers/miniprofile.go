package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/jwtauth"
	"wxbridge/wechat"
)

var (
	errNotMiniProgram = &apiError{status: http.StatusForbidden, code: "access_denied",
		description: "This takes the access token of a mini program's login; yours is of another provider."}
	errAppGone = &apiError{status: http.StatusForbidden, code: "access_denied",
		description: "The mini program this token was issued in is not configured here any more."}
)

// miniProgramCaller authenticates somebody who logged in from a mini program: the token alone says from which one, and as
// whom. A cookie is none of a mini program's.
func (s *Server) miniProgramCaller(c *gin.Context) (caller, db.Fan, error) {
	from, err := s.authenticate(c)
	switch {
	case err != nil:
		return caller{}, db.Fan{}, err
	case from.source != jwtauth.SourceBearer:
		return caller{}, db.Fan{}, errNoCredential
	case from.claims.Provider != db.ProviderMiniProgram:
		return caller{}, db.Fan{}, errNotMiniProgram
	}
	return s.fanOf(c, from)
}

// miniProgramOf is the mini program of a caller.
func (s *Server) miniProgramOf(from caller) (MiniProgram, error) {
	for _, program := range s.cfg.MiniPrograms {
		if program.Client.AppID() == from.claims.AppID {
			return program, nil
		}
	}
	return MiniProgram{}, errAppGone
}

// miniProgramPhone turns the code of the phone button into the number, and stores it. The code is another than that of wx.login.
func (s *Server) miniProgramPhone(c *gin.Context) error {
	from, fan, err := s.miniProgramCaller(c)
	if err != nil {
		return err
	}
	p, err := body(c, "code")
	switch {
	case err != nil:
		return err
	case p["code"] == "":
		return invalidRequest("The code that the button with open-type getPhoneNumber gives is missing.")
	case !only(p["code"], 512, isCodeByte):
		return invalidRequest("The code is malformed.")
	}
	program, err := s.miniProgramOf(from)
	if err != nil {
		return err
	}
	// WeChat's answer is stored even if the client has gone: the code is spent, and paid for.
	ctx, cancel := detached(c, time.Now().Add(callbackTime))
	defer cancel()
	phone, err := program.Tokens.PhoneNumber(ctx, p["code"], from.claims.OpenID)
	if err != nil {
		return phoneRefused(err)
	}
	_, err = s.cfg.Store.UpdateFan(ctx, fan.ID, func(f *db.Fan) error {
		f.Phone = phone.Number
		return nil
	})
	if err != nil {
		return missingFan(err)
	}
	return personal(c, http.StatusOK, phoneAnswer{PhoneNumber: phone.Number, CountryCode: phone.CountryCode})
}

type phoneAnswer struct {
	PhoneNumber string `json:"phone_number"` // as /me has it; abroad with the country code before it
	CountryCode string `json:"country_code"` // digits, "86"
}

// phoneRefused finds what WeChat has against a code. Of one that another mini program's button gave it speaks as of a wrong
// appid, and of another user's as of a wrong openid (wechat-protocol §8.4).
func phoneRefused(err error) error {
	var upstream *wechat.Error
	if errors.As(err, &upstream) && (upstream.Code == 40013 || upstream.Code == 40003) || errors.Is(err, wechat.ErrInvalidCode) {
		answer := invalidGrant("WeChat does not accept this code, or no longer. The person must tap the phone button again.").because(err)
		if upstream != nil {
			answer.errcode = upstream.Code
		}
		return answer
	}
	return err
}

// miniProgramProfile takes what a mini program knows of its user: what the person has typed and chosen, which WeChat's nickname
// keyboard and avatar button give since 2022, or data that WeChat has encrypted with the session key.
func (s *Server) miniProgramProfile(c *gin.Context) error {
	from, fan, err := s.miniProgramCaller(c)
	if err != nil {
		return err
	}
	p, err := body(c, "nickname", "avatar_url", "encrypted_data", "iv", "raw_data", "signature")
	if err != nil {
		return err
	}
	for name, value := range p { // a field that was not filled in
		if value == "" {
			delete(p, name)
		}
	}
	switch encrypted := p.has("encrypted_data", "iv", "raw_data", "signature"); {
	case encrypted > 0 && p.has("nickname", "avatar_url") > 0:
		return invalidRequest("Give either what the person has typed and chosen, or what WeChat has encrypted.")
	case encrypted == 4:
		return s.saveEncryptedProfile(c, from, fan, p)
	case encrypted > 0:
		return invalidRequest("encrypted_data, iv, raw_data and signature belong together; wx.getUserInfo with withCredentials gives all four.")
	}
	return s.saveTypedProfile(c, from, fan, p)
}

// has counts which of the named parameters were given.
func (p params) has(names ...string) (n int) {
	for _, name := range names {
		if _, given := p[name]; given {
			n++
		}
	}
	return n
}

// saveTypedProfile stores what the person has typed and chosen. What is missing changes nothing.
func (s *Server) saveTypedProfile(c *gin.Context, from caller, fan db.Fan, p params) error {
	if len(p) == 0 {
		return invalidRequest("Give a nickname, an avatar_url or both; or encrypted_data, iv, raw_data and signature.")
	}
	if err := checkChosenAvatar(p["avatar_url"]); err != nil {
		return err
	}
	if err := checkProfile(p); err != nil {
		return err
	}
	if err := s.checkNickname(c, from, fan, p); err != nil {
		return err
	}
	fan, err := s.saveProfile(c.Request.Context(), fan.ID, p)
	if err != nil {
		return err
	}
	return s.answerMe(c, from, fan, true)
}

// checkChosenAvatar meets the file on the phone that the avatar button gives: nobody else can load it.
func checkChosenAvatar(avatar string) error {
	if strings.HasPrefix(avatar, "wxfile:") || strings.HasPrefix(avatar, "http://tmp/") {
		return invalidRequest("This avatar_url is a file on the phone. Upload it to your own storage (wx.uploadFile) and give the https URL it has there.")
	}
	return nil
}

// checkNickname asks WeChat about a name that the person has typed in a mini program, where the configuration says so. A name
// that a human should look at does not pass: there is none here who could.
func (s *Server) checkNickname(c *gin.Context, from caller, fan db.Fan, p params) error {
	nickname := p["nickname"]
	if !s.cfg.CheckNicknames || from.claims.Provider != db.ProviderMiniProgram || nickname == "" || nickname == fan.Nickname {
		return nil
	}
	program, err := s.miniProgramOf(from)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), callbackTime)
	defer cancel()
	verdict, err := program.Tokens.MsgSecCheck(ctx,
		wechat.UserText{OpenID: from.claims.OpenID, Scene: wechat.TextProfile, Content: nickname, Nickname: nickname})
	var upstream *wechat.Error
	switch {
	case errors.As(err, &upstream) && upstream.Code == riskyText:
		verdict = wechat.Verdict{Suggest: "risky"}
	case err != nil:
		return err
	case verdict.Pass():
		return nil
	}
	recordOf(c).noteEvent("nickname.refused", slog.LevelInfo, slog.String("suggest", verdict.Suggest), slog.Int("label", verdict.Label),
		slog.String("trace_id", verdict.TraceID))
	return invalidRequest("WeChat does not let this nickname pass. Choose another one.")
}

// riskyText is how the first version of msg_sec_check refuses a text (wechat-protocol §8.7).
const riskyText = 87014
