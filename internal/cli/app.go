package cli

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/internal/config"
	"wxbridge/internal/follow"
	"wxbridge/internal/keyring"
	"wxbridge/internal/ratelimit"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
	"wxbridge/templates"
)

// app is a bridge, wired and ready to answer.
type app struct {
	handler *handlers.Server
	store   db.Store
	box     *seal.Box
	keys    *keyring.Keyring
	logger  *slog.Logger
	meters  meters

	revocations *follow.Follower // of what other processes revoke
	notifier    *notifier        // tells backends of events
}

// appOptions is what dev does otherwise than serve.
type appOptions struct {
	dev          bool
	imageOrigins []string // beside WeChat's own
}

// avatarOrigins are the hosts WeChat and WeCom serve avatars from.
func avatarOrigins() []string {
	return []string{"https://thirdwx.qlogo.cn", "https://wx.qlogo.cn", "https://wework.qpic.cn", "https://shp.qpic.cn"}
}

// newApp opens the store and builds everything on top of it and of f, which loadFiles has read. The revocations are loaded before it returns, and so before
// the first request (TOK-10).
func newApp(ctx context.Context, cfg config.Config, f files, logger *slog.Logger, o appOptions) (_ *app, err error) {
	box, err := newBox(cfg)
	if err != nil {
		return nil, err
	}
	warnOfOpenFiles(logger, f.secrets)
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
	keys, err := keyring.Open(ctx, store, box, keyOptions(cfg, logger))
	if err != nil {
		return nil, err
	}
	if o.dev { // a simulator knows no token of another one's, nor of WeChat's
		if err := store.ForgetAppTokens(ctx); err != nil {
			return nil, err
		}
	}
	revocations, follower, err := followRevocations(ctx, store, logger)
	if err != nil {
		return nil, err
	}
	hc, err := handlersConfig(cfg, keys.Keys(), revocations, meters)
	if err != nil {
		return nil, err
	}
	if err := addApps(&hc, cfg.Apps, clientMaker{weChatAPI(cfg, meters.upstream()), weComAPI(cfg, meters.upstream()), tokenStore{store, box}, logger}); err != nil {
		return nil, err
	}
	hc.Store, hc.Box, hc.Logger, hc.Dev = store, box, logger, o.dev
	hc.JWKSFresh = keys.JWKSMaxAge
	hc.Clients = f.clients
	notifier, err := newNotifier(ctx, f.endpoints, store, logger, meters)
	if err != nil {
		return nil, err
	}
	hc.Reply = notifier.reply()
	hc.ImageOrigins = append(avatarOrigins(), o.imageOrigins...)
	meters.watch(hc, follower.Age)
	handler, err := handlers.New(hc)
	if err != nil {
		return nil, err
	}
	return &app{handler: handler, store: store, box: box, keys: keys, logger: logger, meters: meters, revocations: follower,
		notifier: notifier}, nil
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
		DesktopLogin:    handlers.DesktopLogin(cfg.DesktopLogin),
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
		CheckNicknames:  cfg.CheckNickname,
		JSSDKScript:     jssdkScript(cfg),
	}
	if cfg.RateLimit > 0 {
		hc.RateLimit = ratelimit.New(cfg.RateLimit, ratelimit.DefaultEntries, time.Now)
	}
	return hc, nil
}

// pruneEvery is how often what has expired leaves the store.
const pruneEvery = time.Hour

// keepHouse follows what other processes write, and now and then drops from the store what has expired, until ctx ends.
func (a *app) keepHouse(ctx context.Context) {
	var following sync.WaitGroup
	following.Go(func() { a.revocations.Run(ctx) })
	defer following.Wait()
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		if err := a.prune(ctx); err != nil && ctx.Err() == nil {
			a.logger.Warn("what has expired stays in the store for now", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// prune takes one bounded step after another, so that logins get their turn between them (REL-09).
func (a *app) prune(ctx context.Context) error {
	for _, step := range []func(context.Context) (int, error){a.store.PruneRevocations, a.store.PrunePushes, a.store.PruneSpent, a.store.PruneScans, a.pruneOutbox} {
		for n := 1; n > 0; {
			var err error
			if n, err = step(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// inBackground starts keepHouse, follows the keys, tells backends of events, and seals anew what a previous secret has sealed. stop ends it all and
// waits: call it when the last request has been answered and before the
// store is closed. A signal that ends serving does not end it, since requests are still answered then.
func (a *app) inBackground(ctx context.Context, cfg config.Config) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { a.keepHouse(ctx) })
	running.Go(func() { a.followKeys(ctx) })
	running.Go(func() { a.notifier.run(ctx) })
	if cfg.SecretPrevious != "" {
		running.Go(func() { a.reseal(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// close moves everything into the database file and closes it.
func (a *app) close() error {
	if err := a.store.Close(); err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}
