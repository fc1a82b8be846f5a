package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/internal/clients"
	"wxbridge/templates"
	"wxbridge/wechat"
)

// appToken hands the app token to a registered client, so that all systems of one app share one (WX-17). The token is in the
// answer and nowhere else.
func (s *Server) appToken(c *gin.Context) error {
	client, err := s.tokenClient(c)
	if err != nil {
		return err
	}
	p, err := query(c, "app", "provider")
	if err != nil {
		return err
	}
	holder, err := s.tokenHolder(p["app"], p["provider"])
	if err != nil {
		return err
	}
	return s.answerAppToken(c, client, holder)
}

// refusedAppToken takes a client's word that WeChat refuses a token, and answers the one to use from now on. Exactly that token
// is dropped, if it is the one we hold; a token that has been replaced meanwhile costs nothing. A token that is refused again
// as soon as it was replaced is not replaced at once each time, so that no client can use up the quota of fetches.
func (s *Server) refusedAppToken(c *gin.Context) error {
	client, err := s.tokenClient(c)
	if err != nil {
		return err
	}
	p, err := body(c, "refused", "app", "provider")
	if err != nil {
		return err
	}
	const longest = 2048
	if refused := p["refused"]; refused == "" || len(refused) > longest {
		return invalidRequest("The token that WeChat refused is missing in the member refused, or no token at all.")
	}
	holder, err := s.tokenHolder(p["app"], p["provider"])
	if err != nil {
		return err
	}
	recordOf(c).noteEvent("app_token.reported", slog.LevelInfo)
	if !holder.Tokens.Drop(wechat.Secret(p["refused"])) {
		return &apiError{status: http.StatusTooManyRequests, code: "rate_limited", retryAfter: seconds(holder.Tokens.DropAfter() + time.Second - 1),
			description: "This token is a new one already, and is not replaced again so soon. If WeChat refuses it too, see what its errcode says."}
	}
	return s.answerAppToken(c, client, holder)
}

// tokenClient is the client, by the Authorization header alone, if it may have app tokens.
func (s *Server) tokenClient(c *gin.Context) (clients.Client, error) {
	client, err := s.client(c, nil)
	if err != nil {
		return clients.Client{}, err
	}
	return client, s.permitted(c, client, clients.AppToken)
}

func (s *Server) answerAppToken(c *gin.Context, client clients.Client, holder tokenHolder) error {
	recordOf(c).note(slog.String("client_id", client.ID), slog.String("appid", holder.Tokens.AppID()))
	ctx, cancel := context.WithTimeout(c.Request.Context(), callbackTime)
	defer cancel()
	token, err := holder.Tokens.Token(ctx)
	if err != nil {
		return err
	}
	return personal(c, http.StatusOK, appTokenAnswer{
		AccessToken: token.Value.Reveal(),
		ExpiresIn:   max(0, int64(token.ExpiresAt.Sub(s.cfg.Now())/time.Second)),
		Provider:    holder.Provider,
		App:         holder.Alias,
		AppID:       holder.Tokens.AppID(),
	})
}

// appTokenAnswer has the names of WeChat's own answer, and beside them whose token it is.
type appTokenAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
	Provider    string `json:"provider"`
	App         string `json:"app"`
	AppID       string `json:"appid"`
}

// tokenHolder is an app of any provider and the source of its token.
type tokenHolder struct {
	Provider, Alias string
	Tokens          *wechat.AppTokens
}

// tokenHolder finds an app by alias or appid; "" is the default one. Where an official account and a mini program have the
// same alias, as the two that environment variables configure, it means the official account, unless provider says otherwise.
func (s *Server) tokenHolder(name, provider string) (tokenHolder, error) {
	switch provider {
	case db.ProviderOfficialAccount, db.ProviderMiniProgram:
	case "":
		if name == "" && len(s.cfg.OfficialAccounts) > 0 {
			provider = db.ProviderOfficialAccount // and not what is merely the only mini program
		}
	default:
		return tokenHolder{}, invalidRequest("The provider is official_account or mini_program.")
	}
	if name == "" {
		name = DefaultApp
	}
	var why error
	if provider != db.ProviderMiniProgram {
		account, err := s.officialAccount(name)
		if err == nil && account.Tokens != nil {
			return tokenHolder{db.ProviderOfficialAccount, account.Alias, account.Tokens}, nil
		}
		why = err
	}
	if provider != db.ProviderOfficialAccount {
		program, err := s.miniProgram(name)
		if err == nil && program.Tokens != nil {
			return tokenHolder{db.ProviderMiniProgram, program.Alias, program.Tokens}, nil
		}
		why = err
	}
	if answer, ok := errors.AsType[*apiError](why); ok && answer.detail == templates.DetailAppUnnamed {
		return tokenHolder{}, answer
	}
	return tokenHolder{}, errNoSuchApp
}
