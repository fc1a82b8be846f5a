package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"wxbridge/internal/config"
)

func (e *env) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the bridge",
		Long: `Run the bridge. Everything is set by environment variables named WXBRIDGE_…, which may also stand in a file
.env in the working directory; the environment wins. .env.example lists them all.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return e.serve(cmd.Context()) },
	}
}

func (e *env) serve(ctx context.Context) error {
	cfg, err := e.loadConfig()
	files, err := loadFiles(cfg, err)
	if err != nil {
		return err // every fault, before anything is opened
	}
	logger := e.logger()
	listener, err := listen(ctx, cfg.Listen, config.Prefix+"LISTEN")
	if err != nil {
		return err
	}
	defer listener.Close()
	return e.serveBridge(ctx, cfg, files, listener, logger)
}

// spareHeap is memory that nobody ever writes to, and so takes none: the garbage collector counts it as in use, and comes when
// as much again has been allocated. What is really in use is so little that it would come every few milliseconds under load.
// GOGC and GOMEMLIMIT work as ever.
func spareHeap() []byte { return make([]byte, 4<<20) }

func (e *env) serveBridge(ctx context.Context, cfg config.Config, f files, listener net.Listener, logger *slog.Logger) error {
	app, err := newApp(ctx, cfg, f, logger, appOptions{})
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(spareHeap())
	metrics, err := app.metricsSite(ctx, cfg)
	if err != nil {
		return errors.Join(err, app.close())
	}
	warnOfOpenFiles(logger, append([]string{".env", databasePath(cfg)}, cfg.SecretFiles...))
	logStart(logger, cfg, listener)

	stop := app.inBackground(ctx, cfg)
	forgetStart()
	bridge := bridgeSite(listener, app.handler, logger)
	err = serveSites(ctx, logger, drainPause, append([]site{bridge}, metrics...)...)
	stop()
	err = errors.Join(err, app.close())
	if err == nil {
		logger.Info("stopped")
	}
	return err
}

// loadConfig reads the environment and, below it, .env.
func (e *env) loadConfig() (config.Config, error) {
	environ := maps.Clone(e.environ)
	dotenv, err := readFile(".env")
	if err == nil {
		environ, err = config.WithDotEnv(environ, dotenv)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	} else {
		err = config.Faults{{Variable: ".env", Problem: "cannot be read: " + err.Error()}}
	}
	if err != nil {
		return config.Config{}, err
	}
	return config.Load(environ, readFile)
}

// maxConfigFile bounds .env and secret files, in bytes, so that a device or a log named by mistake is a fault.
const maxConfigFile = 64 << 10

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxConfigFile+1))
	if err == nil && len(content) > maxConfigFile {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("larger than %d bytes", maxConfigFile)}
	}
	return content, err
}

// logStart says what is served, and with which settings: two starts that differ show what was changed (LOG-03).
func logStart(logger *slog.Logger, cfg config.Config, listener net.Listener) {
	logger.Info("configuration", slog.String("event", "config.loaded"), slog.String("version", moduleVersion()), slog.Any("config", cfg))
	attrs := []any{
		slog.String("public_url", cfg.PublicURL.String()),
		slog.String("listen", listener.Addr().String()),
	}
	for _, provider := range config.Providers() {
		var ids []string
		for _, a := range cfg.AppsOf(provider) {
			ids = append(ids, a.ID)
		}
		if len(ids) > 0 {
			attrs = append(attrs, slog.String(provider, strings.Join(ids, " ")))
		}
	}
	attrs = append(attrs, slog.String("instances", "several processes of this machine may share the database; a login's callbacks belong to one of them"))
	logger.Info("serving", attrs...)
	warnOfPlainMode(logger, cfg)
	warnOfNoDefault(logger, cfg)
}

// warnOfNoDefault tells of apps of one kind among which requests without app= cannot choose.
func warnOfNoDefault(logger *slog.Logger, cfg config.Config) {
	for _, provider := range config.Providers() {
		var aliases []string
		for _, a := range cfg.AppsOf(provider) {
			aliases = append(aliases, a.Alias)
		}
		if len(aliases) < 2 || slices.Contains(aliases, config.DefaultApp) {
			continue
		}
		example := "/login?app=" + aliases[0]
		switch provider {
		case config.ProviderMiniProgram:
			example = `{"code":…,"app":"` + aliases[0] + `"} for /miniprogram/login`
		case config.ProviderWebsite, config.ProviderWeCom:
			example = "/login/" + provider + "?app=" + aliases[0]
		}
		logger.Warn("several apps of one kind, and none is named default: requests that do not name one with app= are refused",
			"event", "config.no_default_app", "provider", provider, "aliases", strings.Join(aliases, " "),
			"fix", "add app= to every link, such as "+example+", or give the app that is meant without it the alias default in "+cfg.AppsFile)
	}
}

// warnOfPlainMode recommends encrypted pushes (WX-11).
func warnOfPlainMode(logger *slog.Logger, cfg config.Config) {
	for _, a := range cfg.Apps {
		if a.CallbackToken == "" || a.EncodingAESKey != "" {
			continue
		}
		setting := "encoding_aes_key in " + cfg.AppsFile
		if a.ID == cfg.Official.ID {
			setting = config.Prefix + "OFFICIAL_ENCODING_AES_KEY"
		}
		logger.Warn("WeChat's pushes come in plain mode, where anybody who sees the address of one can forge others for five minutes",
			"app", a.Alias, "setting", setting,
			"fix", "set it, and choose 安全模式 in WeChat's console (基本配置 → 服务器配置); until then no push erases anybody")
	}
}

// warnOfOpenFiles tells of files that hold secrets and that others on the machine can read or write (KEY-01).
func warnOfOpenFiles(logger *slog.Logger, paths []string) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
			continue
		}
		logger.Warn("a file with secrets is open to other users of this machine; run chmod 600 on it",
			"file", path, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
	}
}

func databasePath(cfg config.Config) string { return strings.TrimPrefix(cfg.Database, "sqlite://") }
