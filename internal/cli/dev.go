package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"wxbridge/examples"
	"wxbridge/internal/config"
	"wxbridge/wechat/simulator"
)

// devFlags are the options of `wxbridge dev`.
type devFlags struct {
	listen, simulatorListen string
	data                    string
	switches                map[string]string
	hostile                 bool
}

const (
	defaultListen          = "127.0.0.1:8080"
	defaultSimulatorListen = "127.0.0.1:8090"
)

func (e *env) devCommand() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run the bridge with a simulated WeChat, to try it and to develop against it",
		Long: `Run the bridge and a simulated WeChat in one process. It needs no account, no file and no setting.

WXBRIDGE_… variables apply, but .env is not read and WeChat is always the simulator. Stdout has two lines, "bridge: URL"
and "simulator: URL", once both answer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("listen") && e.environ[config.Prefix+"LISTEN"] != "" {
				f.listen = e.environ[config.Prefix+"LISTEN"]
			}
			return e.dev(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", defaultListen, "address of the bridge, port 0 for any free one")
	flags.StringVar(&f.data, "data", "", "folder that keeps wxbridge.db and secret (default: a temporary one, removed at the end)")
	flags.StringVar(&f.simulatorListen, "simulator-listen", defaultSimulatorListen, "loopback address of the simulator, port 0 for any free one")
	flags.StringToStringVar(&f.switches, "switch", nil, "set a doubtful behaviour of the simulator, `name=choice`; may be repeated")
	flags.BoolVar(&f.hostile, "hostile", false, "let the simulator visit callbacks twice, as WeChat's clients do now and then")
	return cmd
}

func (e *env) dev(ctx context.Context, f devFlags) (err error) {
	environ, remove, err := devEnviron(e.environ, f.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	environ[config.Prefix+"LISTEN"] = f.listen
	cfg, err := devConfig(environ, "http://"+defaultListen)
	files, err := loadFiles(cfg, err)
	if err != nil {
		return err // every fault, before anything is opened
	}
	if err := requireLoopback("--simulator-listen", f.simulatorListen); err != nil {
		return err
	}
	bridge, err := listen(ctx, f.listen, "--listen")
	if err != nil {
		return err
	}
	defer bridge.Close()
	simulated, err := listen(ctx, f.simulatorListen, "--simulator-listen")
	if err != nil {
		return err
	}
	defer simulated.Close()
	cfg, err = devConfig(environ, urlOf(bridge))
	if err != nil {
		return err
	}
	return e.serveDev(ctx, cfg, files, f, bridge, simulated)
}

func (e *env) serveDev(ctx context.Context, cfg config.Config, files files, f devFlags, bridge, simulated net.Listener) error {
	logger := e.logger()
	simulatorURL := "http://localhost:" + portOf(simulated) // another site than the bridge's 127.0.0.1, so that SameSite counts
	cfg = withSimulator(cfg, &url.URL{Scheme: "http", Host: simulated.Addr().String()}, &url.URL{Scheme: "http", Host: "localhost:" + portOf(simulated)})

	sim, err := simulator.New(simulator.Config{
		Apps:        devApps(cfg, urlOf(bridge)),
		PublicURL:   simulatorURL,
		BridgeURL:   cfg.PublicURL.String(),
		MiniProgram: examples.MiniProgram(),
		Hostile:     f.hostile,
		Switches:    f.switches,
		Logger:      logger,
	})
	if err != nil {
		return err
	}
	app, err := newApp(ctx, cfg, files, logger, appOptions{dev: true, imageOrigins: []string{simulatorURL}})
	if err != nil {
		return err
	}
	metrics, err := app.metricsSite(ctx, cfg)
	if err != nil {
		return errors.Join(err, app.close())
	}
	warnOfOpenFiles(logger, append([]string{databasePath(cfg)}, cfg.SecretFiles...))
	logStart(logger, cfg, bridge)
	e.sayWhatToOpen(urlOf(bridge), simulatorURL, f.data)

	if f.data != "" {
		forget, err := existingDataFolder(f.data).announce(devAddresses{urlOf(bridge), simulatorURL})
		if err != nil {
			return errors.Join(err, app.close())
		}
		defer func() { _ = forget() }()
	}
	stop := app.inBackground(ctx, cfg)
	fmt.Fprintf(e.stdout, "bridge: %s\nsimulator: %s\n", urlOf(bridge), simulatorURL) // both listeners take connections by now
	sites := []site{
		bridgeSite(bridge, app.handler, logger),
		{listener: simulated, server: newSimulatorServer(sim, logger)}, // after the bridge, whose open requests still ask it
	}
	err = serveSites(ctx, logger, 0, append(sites, metrics...)...)
	stop()
	return errors.Join(err, app.close())
}

func (e *env) sayWhatToOpen(bridgeURL, simulatorURL, data string) {
	kept := "in a temporary folder, removed at the end; --data DIR keeps it"
	if data != "" {
		kept = "in " + data
	}
	fmt.Fprintf(e.stderr, `
  Open %s and be one of the people: tap the menu, or run the mini program.
  The bridge itself is %s; a login starts at %s/login.
  Everybody here is simulated; anybody who reaches these addresses can log in as anybody.
  Data is %s. Stop with Ctrl-C.

`, simulatorURL, bridgeURL, bridgeURL, kept)
}

// devEnviron adds what dev needs no one to set: a secret, a database and the simulator's apps. --data wins over the
// variables, as options do. remove deletes what was temporary.
func devEnviron(environ map[string]string, data string) (_ map[string]string, remove func() error, err error) {
	remove = func() error { return nil }
	environ = maps.Clone(environ)
	for _, name := range []string{"WECHAT_API_URL", "WECHAT_OPEN_URL", "WECHAT_MP_URL", "WECOM_API_URL", "WECOM_LOGIN_URL"} {
		delete(environ, config.Prefix+name)
	}
	for kind, provider := range map[string]string{"OFFICIAL": simulator.ProviderOfficialAccount, "MINIPROGRAM": simulator.ProviderMiniProgram,
		"WEBSITE": simulator.ProviderWebsite} {
		app := devApp(provider)
		id, secret := config.Prefix+kind+"_APP_ID", config.Prefix+kind+"_APP_SECRET"
		if environ[id] == "" && environ[secret] == "" && environ[secret+"_FILE"] == "" {
			environ[id], environ[secret] = app.AppID, app.Secret
		}
	}
	token, key := config.Prefix+"OFFICIAL_TOKEN", config.Prefix+"OFFICIAL_ENCODING_AES_KEY"
	if environ[token] == "" && environ[token+"_FILE"] == "" && environ[key] == "" && environ[key+"_FILE"] == "" {
		app := devApp(simulator.ProviderOfficialAccount)
		environ[token], environ[key] = app.Token, app.EncodingAESKey
	}
	devWeCom(environ)
	if environ[config.Prefix+"RATE_LIMIT"] == "" {
		environ[config.Prefix+"RATE_LIMIT"] = "0"
	}
	if data == "" && environ[config.Prefix+"DATABASE"] != "" {
		return environ, remove, nil // its keys are sealed with a secret that only its owner knows
	}
	ownSecret := data == "" && (environ[config.Prefix+"SECRET"] != "" || environ[config.Prefix+"SECRET_FILE"] != "")
	if data == "" {
		if data, err = os.MkdirTemp("", "wxbridge-dev-"); err != nil {
			return nil, remove, fmt.Errorf("make a temporary folder: %w", err)
		}
		temporary := data
		remove = func() error { return os.RemoveAll(temporary) }
	}
	folder, err := openDataFolder(data)
	if err != nil {
		return nil, remove, errors.Join(err, remove())
	}
	environ[config.Prefix+"DATABASE"] = "sqlite://" + folder.database
	if !ownSecret {
		delete(environ, config.Prefix+"SECRET")
		environ[config.Prefix+"SECRET_FILE"] = folder.secret
	}
	return environ, remove, nil
}

// devWeCom adds the simulator's corp, and what its pushes are signed and encrypted with, unless there is one.
func devWeCom(environ map[string]string) {
	app := devApp(simulator.ProviderWeCom)
	given := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			return environ[config.Prefix+"WECOM_"+name] != "" || environ[config.Prefix+"WECOM_"+name+"_FILE"] != ""
		})
	}
	set := func(name, value string) { environ[config.Prefix+"WECOM_"+name] = value }
	if !given("CORP_ID", "AGENT_ID", "SECRET") {
		set("CORP_ID", app.AppID)
		set("AGENT_ID", strconv.Itoa(app.AgentID))
		set("SECRET", app.Secret)
	}
	if !given("TOKEN", "ENCODING_AES_KEY") {
		set("TOKEN", app.Token)
		set("ENCODING_AES_KEY", app.EncodingAESKey)
	}
}

// devConfig loads the configuration, with publicURL where none is set.
func devConfig(environ map[string]string, publicURL string) (config.Config, error) {
	environ = maps.Clone(environ)
	if environ[config.Prefix+"PUBLIC_URL"] == "" {
		environ[config.Prefix+"PUBLIC_URL"] = publicURL
	}
	return config.Load(environ, readFile)
}

func devApp(provider string) simulator.App {
	for _, app := range simulator.DevApps("") {
		if app.Provider == provider {
			return app
		}
	}
	return simulator.App{}
}

// devApps makes the simulator know the apps that the bridge at this address is configured with.
func devApps(cfg config.Config, bridge string) []simulator.App {
	apps := simulator.DevApps(cfg.PublicURL.Host)
	domains := pageDomains(cfg)
	apps = withWeCom(apps, cfg)
	for i := range apps {
		switch apps[i].Provider {
		case simulator.ProviderOfficialAccount:
			apps[i].JSDomains = domains
			apps[i].AppID, apps[i].Secret = cfg.Official.ID, cfg.Official.Secret.Reveal()
			apps[i].Token, apps[i].EncodingAESKey = cfg.Official.Token.Reveal(), cfg.Official.EncodingAESKey.Reveal()
			apps[i].Name, apps[i].EventsMode = config.DefaultApp, "" // encrypted, if there is a key
		case simulator.ProviderMiniProgram:
			apps[i].AppID, apps[i].Secret = cfg.MiniProgram.ID, cfg.MiniProgram.Secret.Reveal()
		case simulator.ProviderWebsite:
			apps[i].AppID, apps[i].Secret = cfg.Website.ID, cfg.Website.Secret.Reveal()
		}
	}
	apps = withEvents(apps, bridge)
	for _, a := range cfg.Apps {
		if a.ID == cfg.Official.ID || a.ID == cfg.MiniProgram.ID || a.ID == cfg.Website.ID || a.Provider == config.ProviderWeCom && a.ID == cfg.WeCom.ID && a.AgentID == cfg.WeCom.AgentID {
			continue
		}
		app := simulator.App{Provider: a.Provider, AppID: a.ID, Name: a.Alias, Secret: a.Secret.Reveal(), RedirectDomain: cfg.PublicURL.Host,
			Token: a.CallbackToken.Reveal(), EncodingAESKey: a.EncodingAESKey.Reveal(), OpenAccount: a.OpenAccount}
		if a.Provider == config.ProviderWeCom {
			app.OpenAccount, app.AgentID, app.EventsURL = "", int(a.AgentID), wecomEventsURL(bridge)+"?app="+a.Alias
		}
		if a.Provider == config.ProviderOfficialAccount {
			app.EventsURL = eventsURL(bridge) + "?app=" + a.Alias
			app.JSDomains = domains
		}
		apps = append(apps, app)
	}
	return apps
}

// pageDomains are the hosts of all pages that the bridge may sign, so that the simulator, which has no console, takes them all
// for JS接口安全域名.
func pageDomains(cfg config.Config) []string {
	domains := []string{cfg.PublicURL.Hostname()}
	for _, origin := range cfg.ReturnOrigins {
		if u, err := url.Parse(origin); err == nil && !slices.Contains(domains, u.Hostname()) {
			domains = append(domains, u.Hostname())
		}
	}
	return domains
}

// withWeCom makes the first of the simulator's WeCom apps the one that the bridge is configured with.
func withWeCom(apps []simulator.App, cfg config.Config) []simulator.App {
	i := slices.IndexFunc(apps, func(a simulator.App) bool { return a.Provider == simulator.ProviderWeCom })
	apps[i].AppID, apps[i].AgentID, apps[i].Secret = cfg.WeCom.ID, int(cfg.WeCom.AgentID), cfg.WeCom.Secret.Reveal()
	apps[i].Token, apps[i].EncodingAESKey = cfg.WeCom.Token.Reveal(), cfg.WeCom.EncodingAESKey.Reveal()
	named := func(a simulator.App) bool {
		return a.Provider == simulator.ProviderWeCom && slices.ContainsFunc(cfg.Apps, func(b config.NamedApp) bool {
			return b.ID == a.AppID && int(b.AgentID) == a.AgentID
		})
	}
	return append(apps[:i+1], slices.DeleteFunc(apps[i+1:], named)...) // those that the bridge has come with its settings
}

func urlOf(l net.Listener) string { return "http://" + net.JoinHostPort(hostOf(l), portOf(l)) }

// requireLoopback keeps the simulator, which lets anybody be anybody, from the network.
func requireLoopback(flag, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s %s: want host:port, such as %s", flag, address, defaultSimulatorListen)
	}
	if !isLoopback(host) {
		return fmt.Errorf("%s %s: the simulator listens on loopback addresses only, such as %s", flag, address, defaultSimulatorListen)
	}
	return nil
}
