package handlers

import (
	"context"
	"strings"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/wechat"
)

// entrance is one app that people log in with in a browser. Flow cookie, callback, repeats and restart are the same for every
// provider; an entrance is what differs.
type entrance interface {
	provider() string // of its identities, such as db.ProviderOfficialAccount
	alias() string
	appID() string

	// scope is the scope that a login which asks for wanted has here.
	scope(wanted wechat.Scope) wechat.Scope

	// address is WeChat's page that asks the person, in lang if it has several. It leads back to callback, which may have a query.
	address(callback string, f flow, lang string) string

	// land exchanges the code and finds how the login ends. A code that is not accepted is wechat.ErrInvalidCode.
	land(ctx context.Context, f flow, code string) (landing, error)
}

// entrance finds the app of a provider by its alias or its appid.
func (s *Server) entrance(provider, app string) (entrance, error) {
	switch provider {
	case db.ProviderOfficialAccount:
		account, err := s.officialAccount(app)
		return officialEntrance{s, account}, err
	case db.ProviderWebsite:
		site, err := s.website(app)
		return websiteEntrance{s, site}, err
	case db.ProviderWeCom:
		app, err := s.wecomApp(app)
		return wecomEntrance{s, app}, err
	}
	return nil, errNotConfigured
}

// entrancePath is what a provider is called in our addresses: /login/official-account, /callback/official-account.
func entrancePath(provider string) string { return strings.ReplaceAll(provider, "_", "-") }

// loginWith is the route that logs in with the provider whatever the browser says it is.
func (s *Server) loginWith(provider string) handlerFunc {
	return func(c *gin.Context) error {
		request, err := s.loginRequest(c)
		if err != nil {
			return err
		}
		return s.logIn(c, provider, request)
	}
}

// officialEntrance logs in with an official account, inside WeChat.
type officialEntrance struct {
	s       *Server
	account OfficialAccount
}

func (e officialEntrance) provider() string { return db.ProviderOfficialAccount }
func (e officialEntrance) alias() string    { return e.account.Alias }
func (e officialEntrance) appID() string    { return e.account.Client.AppID() }

func (e officialEntrance) scope(wanted wechat.Scope) wechat.Scope { return wanted }

func (e officialEntrance) address(callback string, f flow, _ string) string {
	return e.account.Client.AuthorizeURL(callback, wechat.Scope(f.Scope), f.State)
}

func (e officialEntrance) land(ctx context.Context, f flow, code string) (landing, error) {
	return e.s.land(ctx, e.account, f, code)
}
