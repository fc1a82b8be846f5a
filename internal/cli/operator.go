package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"wxbridge/db"
	"wxbridge/internal/config"
)

// dataFlag makes the commands of operators work on what `wxbridge dev --data DIR` keeps, instead of what serve is configured with.
type dataFlag struct{ dir string }

func (d *dataFlag) add(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&d.dir, "data", "", "`DIR` of wxbridge dev --data, instead of the configuration of serve")
}

// configFor is the configuration that a command works with: that of serve, or what dev has with the folder. WeChat is the
// simulator of the dev that runs on it.
func (e *env) configFor(d dataFlag) (config.Config, error) {
	if d.dir == "" {
		return e.loadConfig()
	}
	folder := existingDataFolder(d.dir)
	for _, file := range []string{folder.database, folder.secret} { // dev would make them
		if _, err := os.Stat(file); err != nil {
			return config.Config{}, fmt.Errorf("there is no database with its secret in %s, as wxbridge dev --data makes them: %w", d.dir, err)
		}
	}
	environ, _, err := devEnviron(e.environ, d.dir)
	if err != nil {
		return config.Config{}, err
	}
	at, err := folder.addresses()
	if err != nil {
		at = devAddresses{bridge: "http://" + defaultListen, simulator: "http://" + defaultSimulatorListen}
	}
	cfg, err := devConfig(environ, at.bridge)
	if err != nil {
		return config.Config{}, err
	}
	simulator, err := url.Parse(at.simulator)
	if err != nil {
		return config.Config{}, fmt.Errorf("read the addresses of wxbridge dev --data %s: %w", d.dir, err)
	}
	return withSimulator(cfg, simulator, simulator), nil
}

// requireWeChat tells of a dev that is not running to those who need its simulator, which keeps everything in memory.
func (d dataFlag) requireWeChat() error {
	if d.dir == "" {
		return nil
	}
	if _, err := existingDataFolder(d.dir).addresses(); err != nil {
		return fmt.Errorf("wxbridge dev --data %s is not running, and what WeChat has (app tokens, menus) is its simulator's", d.dir)
	}
	return nil
}

// withSimulator makes WeChat and WeCom the simulator: api is its address for programs, open that for browsers.
func withSimulator(cfg config.Config, api, open *url.URL) config.Config {
	cfg.WeChatAPIURL, cfg.WeChatOpenURL, cfg.WeChatMPURL = api, open, open
	cfg.WeComAPIURL, cfg.WeComLoginURL = api.JoinPath("/qyapi"), open.JoinPath("/wwlogin")
	return cfg
}

// withDatabase opens the database of a command that needs the configuration, too.
func (e *env) withDatabase(ctx context.Context, d dataFlag, do func(config.Config, db.Store) error) error {
	cfg, err := e.configFor(d)
	if err != nil {
		return err
	}
	return openDatabase(ctx, databasePath(cfg), func(store db.Store) error { return do(cfg, store) })
}

// withStore opens the database of a command that needs nothing else.
func (e *env) withStore(ctx context.Context, d dataFlag, do func(db.Store) error) error {
	if d.dir != "" {
		return openDatabase(ctx, existingDataFolder(d.dir).database, do)
	}
	return e.withDatabase(ctx, d, func(_ config.Config, store db.Store) error { return do(store) })
}

// openDatabase opens a database that must exist: a command that looks makes none.
func openDatabase(ctx context.Context, path string, do func(db.Store) error) (err error) {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("there is no database at %s; the first start of the bridge makes it. Run this where the bridge's configuration is, or name the folder of wxbridge dev with --data", path)
	}
	store, err := db.Open(ctx, "sqlite://"+path, time.Now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return do(store)
}
