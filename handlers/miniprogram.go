package handlers

import (
	"cmp"
	"context"
	"hash/maphash"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
)

// miniProgramLogin exchanges the code of wx.login for an access token. The session key stays here, sealed.
func (s *Server) miniProgramLogin(c *gin.Context) error {
	recordOf(c).provider = db.ProviderMiniProgram
	name, code, err := readMiniProgramLogin(c)
	if err != nil {
		return err
	}
	if app, is := s.wecomMiniProgram(name); is {
		return s.wecomMiniProgramLogin(c, app, code)
	}
	program, err := s.miniProgram(name)
	if err != nil {
		return err
	}
	if err := s.firstUse(c, program.Alias, code); err != nil {
		return err
	}
	// WeChat's answer is stored even if the client has gone: the code is spent.
	ctx, cancel := detached(c, time.Now().Add(callbackTime))
	defer cancel()
	answer, err := program.Client.Login(ctx, code)
	if err != nil {
		return err
	}
	identity := db.Identity{Provider: db.ProviderMiniProgram, AppID: program.Client.AppID(), OpenID: answer.OpenID,
		OpenAccount: program.OpenAccount, UnionID: answer.UnionID}
	if key := answer.Key.Reveal(); key != "" {
		identity.SessionKeySealed = s.cfg.Box.Seal(sessionKeyPurpose, []byte(key), identityLabel(identity))
	}
	session, err := s.signIn(ctx, db.Login{Identity: identity})
	if err != nil {
		return err
	}
	return s.answerToken(ctx, c, session)
}

// firstUse refuses a code that was seen before, without a question to WeChat.
func (s *Server) firstUse(c *gin.Context, app, code string) error {
	if s.codes.first(app, code) {
		return nil
	}
	recordOf(c).noteEvent(codeReused, slog.LevelWarn)
	recordOf(c).noteLogin("code_reused")
	return invalidGrant("This code was used before. Call wx.login again (in WeCom, wx.qy.login).")
}

// answerToken answers a login with an access token for the Authorization header.
func (s *Server) answerToken(ctx context.Context, c *gin.Context, session *session) error {
	access, claims, err := s.accessToken(ctx, *session)
	if err != nil {
		return err
	}
	return personal(c, http.StatusOK, tokenAnswer{
		AccessToken: access,
		TokenType:   "Bearer",
		ExpiresIn:   int64(claims.ExpiresAt.Sub(claims.IssuedAt) / time.Second),
		Fan:         briefOf(session.fan),
	})
}

func readMiniProgramLogin(c *gin.Context) (app, code string, err error) {
	p, err := body(c, "code", "app")
	if err != nil {
		return "", "", err
	}
	if p["code"] == "" {
		return "", "", invalidRequest("The code that wx.login (in WeCom, wx.qy.login) gives is missing.")
	}
	if !only(p["code"], 512, isCodeByte) {
		return "", "", invalidRequest("The code is malformed.")
	}
	return p["app"], p["code"], nil
}

// miniProgram finds a mini program by its alias or its appid. "" is DefaultApp, which means the only one, whatever its alias.
func (s *Server) miniProgram(name string) (MiniProgram, error) {
	return findApp(s, db.ProviderMiniProgram, s.cfg.MiniPrograms, cmp.Or(name, DefaultApp),
		func(p MiniProgram) (string, string) { return p.Alias, p.Client.AppID() })
}

// tokenAnswer is a token response (RFC 6749 §5.1) with the fan beside it.
type tokenAnswer struct {
	AccessToken string   `json:"access_token"`
	TokenType   string   `json:"token_type"`
	ExpiresIn   int64    `json:"expires_in"`
	Fan         briefFan `json:"fan"`
}

type briefFan struct {
	ID         string `json:"id"`
	Nickname   string `json:"nickname"`
	AvatarURL  string `json:"avatar_url"`
	Registered bool   `json:"registered"`
}

func briefOf(f db.Fan) briefFan {
	return briefFan{ID: f.ID, Nickname: f.Nickname, AvatarURL: f.AvatarURL, Registered: f.Registered()}
}

const (
	codeMemory   = 10 * time.Minute
	maxSeenCodes = 1 << 16 // a generation; older codes are refused by WeChat itself
)

// seenCodes remembers the codes of the last ten minutes as hashes, in two generations: memory stays bounded, and forgetting
// costs nothing.
type seenCodes struct {
	now  func() time.Time
	seed maphash.Seed

	mu       sync.Mutex
	since    time.Time
	new, old map[uint64]struct{}
}

func newSeenCodes(now func() time.Time) *seenCodes {
	return &seenCodes{now: now, seed: maphash.MakeSeed(), since: now(), new: map[uint64]struct{}{}}
}

// first reports whether the code of this app is seen for the first time, and remembers it.
func (s *seenCodes) first(app, code string) bool {
	hash := maphash.String(s.seed, app+"|"+code)
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); len(s.new) >= maxSeenCodes || now.Sub(s.since) >= codeMemory {
		if now.Sub(s.since) >= 2*codeMemory {
			s.new = nil
		}
		s.old, s.new, s.since = s.new, map[uint64]struct{}{}, now
	}
	if _, seen := s.old[hash]; seen {
		return false
	}
	if _, seen := s.new[hash]; seen {
		return false
	}
	s.new[hash] = struct{}{}
	return true
}
