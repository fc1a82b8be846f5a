package handlers

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/jwtauth"
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

// miniProgramProfile takes what a mini program knows of its user: what the person has typed and chosen, which WeChat's nickname
// keyboard and avatar button give since 2022, or data that WeChat has encrypted with the session key.
func (s *Server) miniProgramProfile(c *gin.Context) error {
	from, fan, err := s.miniProgramCaller(c)
	if err != nil {
		return err
	}
	p, err := body(c, "nickname", "avatar_url")
	if err != nil {
		return err
	}
	return s.saveTypedProfile(c, from, fan, p)
}

// saveTypedProfile stores what the person has typed and chosen. An empty field was not filled in: it changes nothing.
func (s *Server) saveTypedProfile(c *gin.Context, from caller, fan db.Fan, p params) error {
	for name, value := range p {
		if value == "" {
			delete(p, name)
		}
	}
	if len(p) == 0 {
		return invalidRequest("Give a nickname, an avatar_url or both; or encrypted_data, iv, raw_data and signature.")
	}
	if err := checkProfile(p); err != nil {
		return err
	}
	fan, err := s.saveProfile(c.Request.Context(), fan.ID, p)
	if err != nil {
		return err
	}
	return s.answerMe(c, from, fan, true)
}
