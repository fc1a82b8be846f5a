package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/internal/clients"
	"wxbridge/wechat"
)

// appToken hands the app token to a registered client, so that all systems of one app share one (WX-17). The token is in the
// answer and nowhere else.
func (s *Server) appToken(c *gin.Context) error {
	client, err := s.client(c, nil)
	if err != nil {
		return err
	}
	if err := s.permitted(c, client, clients.AppToken); err != nil {
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
	if provider != db.ProviderMiniProgram {
		if account, err := s.officialAccount(name); err == nil && account.Tokens != nil {
			return tokenHolder{db.ProviderOfficialAccount, account.Alias, account.Tokens}, nil
		}
	}
	if provider != db.ProviderOfficialAccount {
		if program, err := s.miniProgram(name); err == nil && program.Tokens != nil {
			return tokenHolder{db.ProviderMiniProgram, program.Alias, program.Tokens}, nil
		}
	}
	return tokenHolder{}, errNoSuchApp
}
