package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/internal/config"
	"wxbridge/internal/keyring"
	"wxbridge/internal/ratelimit"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
	"wxbridge/templates"
	"wxbridge/wechat"
)

// app is a bridge, wired and ready to answer.
type app struct {
	handler *handlers.Server
	store   db.Store
	logger  *slog.Logger
	meters  meters
}

// appOptions is what dev does otherwise than serve.
type appOptions struct {
	dev          bool
	imageOrigins []string // beside WeChat's own
}

// defaultOpenAccount is the open account of apps that are configured by environment variables.
const defaultOpenAccount = "default"

// avatarOrigins are the hosts WeChat serves avatars from.
func avatarOrigins() []string { return []string{"https://thirdwx.qlogo.cn", "https://wx.qlogo.cn"} }

// newApp opens the store and builds everything on top of it. The revocations are loaded before it returns, and so before
// the first request (TOK-10).
func newApp(ctx context.Context, cfg config.Config, logger *slog.Logger, o appOptions) (_ *app, err error) {
	box, err := seal.New([]byte(cfg.Secret.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("use %sSECRET: %w", config.Prefix, err)
	}
	meters := newMeters(cfg)
	store, err := db.Open(ctx, cfg.Database, time.Now, meters.store()...)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			store.Close()
		}
	}()
	keys, err := keyring.Open(ctx, store, box, time.Now)
	if err != nil {
		return nil, err
	}
	revocations, err := loadRevocations(ctx, store)
	if err != nil {
		return nil, err
	}
	hc, err := handlersConfig(cfg, keys, revocations, meters)
	if err != nil {
		return nil, err
	}
	hc.Store, hc.Box, hc.Logger, hc.Dev = store, box, logger, o.dev
	hc.ImageOrigins = append(avatarOrigins(), o.imageOrigins...)
	meters.watch(hc)
	handler, err := handlers.New(hc)
	if err != nil {
		return nil, err
	}
	return &app{handler: handler, store: store, logger: logger, meters: meters}, nil
}

// Memory for tokens already verified, in bytes: about 2,800 access tokens and 1,000 ID tokens.
const (
	accessTokenCache = 3 << 20
	idTokenCache     = 1 << 20
)

// handlersConfig translates the configuration.
func handlersConfig(cfg config.Config, keys *jwtauth.KeySet, revocations *jwtauth.RevocationSet, meters meters) (handlers.Config, error) {
	issuer, err := jwtauth.NewIssuer(keys, jwtauth.IssuerConfig{
		Issuer:   cfg.PublicURL.String(),
		Audience: cfg.JWTAudience,
		ClientID: config.ClientID,
		TTL:      cfg.JWTTTL,

		CacheBytes: idTokenCache,
		Now:        time.Now,
	})
	if err != nil {
		return handlers.Config{}, err
	}
	verifier, err := jwtauth.NewVerifier(keys, jwtauth.Config{
		Issuer:   cfg.PublicURL.String(),
		Audience: cfg.JWTAudience,
		Revoked:  revocations.Revoked,

		CacheBytes: accessTokenCache,
		Now:        time.Now,
	})
	if err != nil {
		return handlers.Config{}, err
	}
	pages, err := templates.New()
	if err != nil {
		return handlers.Config{}, err
	}
	hc := handlers.Config{
		PublicURL:       cfg.PublicURL,
		ReturnOrigins:   cfg.ReturnOrigins,
		DefaultReturnTo: cfg.DefaultReturnTo,
		CookieDomain:    cfg.CookieDomain,
		TrustedProxies:  cfg.TrustedProxies,
		DomainFiles:     cfg.DomainFiles,
		ProfilePolicy:   handlers.ProfilePolicy{Never: cfg.ProfilePolicy.Never, MaxAge: cfg.ProfilePolicy.MaxAge},
		PrivacyURL:      cfg.PrivacyURL,
		TermsURL:        cfg.TermsURL,
		TokenTTL:        cfg.JWTTTL,
		SessionTTL:      cfg.SessionTTL,
		JWKSMaxAge:      cfg.JWKSMaxAge,
		Keys:            keys,
		Issuer:          issuer,
		Verifier:        verifier,
		Revocations:     revocations,
		Pages:           pages,
		Now:             time.Now,
		Observe:         meters.requests(),
	}
	if cfg.RateLimit > 0 {
		hc.RateLimit = ratelimit.New(cfg.RateLimit, ratelimit.DefaultEntries, time.Now)
	}
	if err := addApps(&hc, cfg, meters.upstream()); err != nil {
		return handlers.Config{}, err
	}
	return hc, nil
}

// addApps makes the WeChat clients, which share one pool of connections.
func addApps(hc *handlers.Config, cfg config.Config, observe func(wechat.Call)) error {
	api := &wechat.API{BaseURL: cfg.WeChatAPIURL, OpenURL: cfg.WeChatOpenURL, HTTP: wechat.NewHTTPClient(), Now: time.Now, Observe: observe}
	if a := cfg.Official; a.Configured() {
		client, err := wechat.NewOfficial(api, wechat.App{ID: a.ID, Secret: wechat.Secret(a.Secret.Reveal())},
			wechat.OfficialOptions{ConnectRedirect: a.ConnectRedirect, ForcePopup: a.ForcePopup})
		if err != nil {
			return err
		}
		hc.OfficialAccounts = []handlers.OfficialAccount{{Alias: handlers.DefaultApp, OpenAccount: defaultOpenAccount, Client: client}}
	}
	if a := cfg.MiniProgram; a.Configured() {
		client, err := wechat.NewMiniProgram(api, wechat.App{ID: a.ID, Secret: wechat.Secret(a.Secret.Reveal())})
		if err != nil {
			return err
		}
		hc.MiniPrograms = []handlers.MiniProgram{{Alias: handlers.DefaultApp, OpenAccount: defaultOpenAccount, Client: client}}
	}
	return nil
}

func loadRevocations(ctx context.Context, store db.RevocationStore) (*jwtauth.RevocationSet, error) {
	set := jwtauth.NewRevocationSet(time.Now)
	rows, err := store.Revocations(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		switch r.Kind {
		case db.RevokedSession:
			set.RevokeSession(r.Value, r.ExpiresAt)
		case db.RevokedSubject:
			set.RevokeSubject(r.Value, r.Before, r.ExpiresAt)
		default:
			return nil, fmt.Errorf("load revocations: kind %q is unknown", r.Kind)
		}
	}
	return set, nil
}

// pruneEvery is how often expired revocations leave the store.
const pruneEvery = time.Hour

// keepHouse drops what has expired from the store, now and then, until ctx ends.
func (a *app) keepHouse(ctx context.Context) {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		if _, err := a.store.PruneRevocations(ctx); err != nil && ctx.Err() == nil {
			a.logger.Warn("expired revocations stay in the store for now", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// close moves everything into the database file and closes it.
func (a *app) close() error {
	if err := a.store.Close(); err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}
