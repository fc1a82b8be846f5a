package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/jwtauth"
)

// Bounds of what people may call themselves (WX-18): runes of a nickname, bytes of an avatar's address.
const (
	maxNickname  = 64
	maxAvatarURL = 512
)

// getMe answers who the caller is.
func (s *Server) getMe(c *gin.Context) error {
	from, fan, err := s.reader(c)
	if err != nil {
		return err
	}
	return s.answerMe(c, from, fan, false)
}

// patchMe changes the caller's own nickname and avatar.
func (s *Server) patchMe(c *gin.Context) error {
	from, fan, err := s.writer(c)
	if err != nil {
		return err
	}
	p, err := jsonBody(c, "nickname", "avatar_url")
	if err != nil {
		return err
	}
	if len(p) == 0 {
		return invalidRequest("Give a nickname, an avatar_url or both.")
	}
	if err := checkProfile(p); err != nil {
		return err
	}
	if err := s.checkNickname(c, from, fan, p); err != nil {
		return err
	}
	fan, err = s.saveProfile(c.Request.Context(), fan.ID, p)
	if err != nil {
		return err
	}
	return s.answerMe(c, from, fan, true)
}

// saveProfile stores what is given of a checked nickname and avatar_url. A name makes a guest registered.
func (s *Server) saveProfile(ctx context.Context, id string, p params) (db.Fan, error) {
	now := s.cfg.Now()
	fan, err := s.cfg.Store.UpdateFan(ctx, id, func(f *db.Fan) error {
		if nickname, given := p["nickname"]; given {
			f.Nickname = nickname
		}
		if avatar, given := p["avatar_url"]; given {
			f.AvatarURL = avatar
		}
		if f.RegisteredAt.IsZero() && f.Nickname != "" {
			f.RegisteredAt = now
		}
		return nil
	})
	return fan, missingFan(err)
}

func checkProfile(p params) error {
	if nickname, given := p["nickname"]; given {
		runes := utf8.RuneCountInString(nickname)
		if strings.TrimSpace(nickname) == "" || runes > maxNickname || strings.ContainsFunc(nickname, unicode.IsControl) {
			return invalidRequest("A nickname has 1 to 64 characters, none of them control characters.")
		}
	}
	if avatar := p["avatar_url"]; avatar != "" {
		u, err := url.Parse(avatar)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || len(avatar) > maxAvatarURL || hasForbiddenByte(avatar) {
			return invalidRequest("An avatar_url is an https URL of at most 512 bytes, or empty.")
		}
	}
	return nil
}

// deleteMe erases the caller: everything stored goes, and every token of the fan is revoked.
func (s *Server) deleteMe(c *gin.Context) error {
	_, fan, err := s.writer(c)
	if err != nil {
		return err
	}
	// The id never logs in again, so tokens of any time are refused, also one that is being signed at this moment.
	until := s.revokedUntil()
	ids, err := s.cfg.Store.EraseFan(c.Request.Context(), fan.ID, until, until)
	if err != nil {
		return missingFan(err)
	}
	for _, id := range ids {
		s.cfg.Revocations.RevokeSubject(id, until, until)
	}
	recordOf(c).noteEvent("fan.erased", slog.LevelInfo, slog.String("fan", fan.ID))
	s.forgetBrowser(c)
	c.Header("Cache-Control", "no-store")
	c.Status(http.StatusNoContent)
	return nil
}

// exportMe answers everything that is stored about the caller. Session keys and WeChat's tokens are secrets shared with
// WeChat, not data about the person: only that they are there is told.
func (s *Server) exportMe(c *gin.Context) error {
	from, fan, err := s.reader(c)
	if err != nil {
		return err
	}
	export, err := ExportOf(c.Request.Context(), s.cfg.Store, fan)
	if err != nil {
		return err
	}
	if err := s.renewCaller(c, from, fan, false); err != nil {
		return err
	}
	c.Header("Content-Disposition", `attachment; filename="wxbridge-export.json"`)
	return personal(c, http.StatusOK, export)
}

// answerMe answers the fan as it is now. A caller with a cookie gets it renewed when it is due, or at once if what the ID
// token shows has changed.
func (s *Server) answerMe(c *gin.Context, from caller, fan db.Fan, changed bool) error {
	ctx := c.Request.Context()
	identities, err := s.cfg.Store.Identities(ctx, fan.ID)
	if err != nil {
		return err
	}
	aliases, err := s.cfg.Store.Aliases(ctx, fan.ID)
	if err != nil {
		return err
	}
	if err := s.renewCaller(c, from, fan, changed); err != nil {
		return err
	}
	return personal(c, http.StatusOK, meOf(fan, identities, aliases))
}

func (s *Server) renewCaller(c *gin.Context, from caller, fan db.Fan, changed bool) error {
	if from.source != jwtauth.SourceCookie || !changed && !s.due(from.claims) {
		return nil
	}
	if !s.due(from.claims) {
		return s.setIDToken(c, sessionOf(from.claims, fan))
	}
	err := s.setSession(c, sessionOf(from.claims, fan))
	if errors.Is(err, errNotConfirmed) { // the token runs on
		return s.setIDToken(c, sessionOf(from.claims, fan))
	}
	return err
}

// missingFan turns a fan that is gone into a token that is no good any more.
func missingFan(err error) error {
	if isNotFound(err) {
		return errBadCredential.because(err)
	}
	return err
}

type me struct {
	briefFan
	PhoneNumber string       `json:"phone_number,omitempty"`
	Role        string       `json:"role,omitempty"`
	Aliases     []string     `json:"aliases,omitempty"`
	CreatedAt   time.Time    `json:"created_at"`
	LastLoginAt time.Time    `json:"last_login_at"`
	Identities  []meIdentity `json:"identities"`
}

type meIdentity struct {
	Provider   string `json:"provider"`
	AppID      string `json:"appid"`
	OpenID     string `json:"openid"`
	UnionID    string `json:"unionid,omitempty"`
	Subscribed *bool  `json:"subscribed,omitempty"`
}

func meOf(fan db.Fan, identities []db.Identity, aliases []string) me {
	m := me{briefFan: briefOf(fan), PhoneNumber: fan.Phone, Role: fan.Role, Aliases: aliases,
		CreatedAt: fan.CreatedAt.UTC(), LastLoginAt: fan.LastLoginAt.UTC(), Identities: []meIdentity{}}
	for _, i := range identities {
		m.Identities = append(m.Identities, meIdentity{i.Provider, i.AppID, i.OpenID, i.UnionID, i.Subscribed})
	}
	return m
}

// clip cuts text to at most n runes.
func clip(text string, n int) string {
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}

// fitting is the address, or nothing if it is too long: half an address leads nowhere.
func fitting(address string, longest int) string {
	if len(address) > longest {
		return ""
	}
	return address
}
