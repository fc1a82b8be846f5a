package cli

import (
	"log/slog"
	"strconv"
	"time"

	"wxbridge/handlers"
	"wxbridge/internal/config"
	"wxbridge/wechat"
	"wxbridge/wechat/wecom"
)

// weChatAPI is where WeChat is. Clients that share it share its connections.
func weChatAPI(cfg config.Config, observe func(wechat.Call)) *wechat.API {
	return &wechat.API{BaseURL: cfg.WeChatAPIURL, OpenURL: cfg.WeChatOpenURL, MPURL: cfg.WeChatMPURL, HTTP: wechat.NewHTTPClient(), Now: time.Now, Observe: observe}
}

// clientMaker makes the WeChat clients of apps.
type clientMaker struct {
	api    *wechat.API
	wecom  *wecom.API
	store  tokenStore
	logger *slog.Logger
}

// tokens makes the source of an app's tokens, which everything in this process shares.
func (m clientMaker) tokens(a config.NamedApp) (*wechat.AppTokens, error) {
	return wechat.NewAppTokens(m.api, credentials(a), wechat.AppTokenOptions{
		Rotating:    a.RotatingToken,
		Store:       m.store,
		StoreFailed: m.storeFailed(a),
	})
}

func (m clientMaker) storeFailed(a config.NamedApp) func(error) {
	return func(err error) {
		m.logger.Warn("the store of app tokens does not work; tokens are fetched without it", "event", "app_token.store_failed",
			"appid", a.ID, "error", err.Error())
	}
}

// weComAPI is where WeCom is.
func weComAPI(cfg config.Config, observe func(wechat.Call)) *wecom.API {
	return &wecom.API{BaseURL: cfg.WeComAPIURL, OpenURL: cfg.WeChatOpenURL, LoginURL: cfg.WeComLoginURL, HTTP: wechat.NewHTTPClient(),
		Now: time.Now, Observe: observe}
}

// wecomApp makes the client of a WeCom app, and what takes its pushes if it has a token for them.
func (m clientMaker) wecomApp(a config.NamedApp) (handlers.WeComApp, error) {
	agent, secret := strconv.FormatInt(a.AgentID, 10), wechat.Secret(a.Secret.Reveal())
	client, err := wecom.New(m.wecom, wecom.App{CorpID: a.ID, AgentID: agent, Secret: secret},
		wecom.Options{Store: m.store, StoreFailed: m.storeFailed(a)})
	if err != nil {
		return handlers.WeComApp{}, err
	}
	app := handlers.WeComApp{Alias: a.Alias, Client: client, Private: a.Private, Guests: a.Guests}
	if a.CallbackToken != "" {
		app.Callback, err = wecom.NewCallback(wecom.CallbackConfig{CorpID: a.ID, AgentID: agent,
			Token: wechat.Secret(a.CallbackToken.Reveal()), AESKey: wechat.Secret(a.EncodingAESKey.Reveal()), Now: time.Now})
	}
	return app, err
}

func credentials(a config.NamedApp) wechat.App {
	return wechat.App{ID: a.ID, Secret: wechat.Secret(a.Secret.Reveal())}
}

// addApps makes the clients of all apps.
func addApps(hc *handlers.Config, apps []config.NamedApp, m clientMaker) error {
	for _, a := range apps {
		if a.Provider == config.ProviderWeCom {
			app, err := m.wecomApp(a)
			if err != nil {
				return err
			}
			hc.WeCom = append(hc.WeCom, app)
			continue
		}
		if a.Provider == config.ProviderWebsite { // has no app token
			client, err := wechat.NewWebsite(m.api, credentials(a))
			if err != nil {
				return err
			}
			hc.Websites = append(hc.Websites, handlers.Website{Alias: a.Alias, OpenAccount: a.OpenAccount, Client: client})
			continue
		}
		tokens, err := m.tokens(a)
		if err != nil {
			return err
		}
		switch a.Provider {
		case config.ProviderOfficialAccount:
			client, err := wechat.NewOfficial(m.api, credentials(a), wechat.OfficialOptions{ConnectRedirect: a.ConnectRedirect, ForcePopup: a.ForcePopup})
			if err != nil {
				return err
			}
			callback, err := newCallback(a.ID, a.CallbackToken, a.EncodingAESKey)
			if err != nil {
				return err
			}
			hc.OfficialAccounts = append(hc.OfficialAccounts, handlers.OfficialAccount{Alias: a.Alias, OpenAccount: a.OpenAccount, Client: client,
				Callback: callback, Tokens: tokens, Tickets: wechat.NewJSAPITickets(tokens)})
		case config.ProviderMiniProgram:
			client, err := wechat.NewMiniProgram(m.api, credentials(a))
			if err != nil {
				return err
			}
			hc.MiniPrograms = append(hc.MiniPrograms, handlers.MiniProgram{Alias: a.Alias, OpenAccount: a.OpenAccount, Client: client, Tokens: tokens})
		}
	}
	return nil
}

// jssdkScript is where pages load WeChat's JS-SDK from: its own place, or where a simulator takes WeChat's part, that one's.
// WeChat is never reached over plain http.
func jssdkScript(cfg config.Config) string {
	if cfg.WeChatOpenURL.Scheme == "https" {
		return ""
	}
	return cfg.WeChatOpenURL.JoinPath("/_simulator/jweixin.js").String()
}

// newCallback takes the pushes of an app, if it has a token for them.
func newCallback(appID string, token, aesKey config.Secret) (*wechat.Callback, error) {
	if token == "" {
		return nil, nil
	}
	return wechat.NewCallback(wechat.CallbackConfig{AppID: appID, Token: wechat.Secret(token.Reveal()),
		AESKey: wechat.Secret(aesKey.Reveal()), Now: time.Now})
}
