package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"wxbridge/examples"
	"wxbridge/wechat/simulator"
)

// simulatorFlags are the options of `wxbridge simulator`.
type simulatorFlags struct {
	listen   string
	apps     string
	bridge   string
	switches map[string]string
	hostile  bool
}

func (e *env) simulatorCommand() *cobra.Command {
	var f simulatorFlags
	cmd := &cobra.Command{
		Use:   "simulator",
		Short: "Run the simulated WeChat alone, for any WeChat backend in any language",
		Long: `Run the simulated WeChat alone. It keeps everything in memory and listens on loopback only.

Stdout has the apps as lines for an env file: the first of each kind, and further ones as a comment, for WXBRIDGE_APPS_FILE.
Without --apps there are an official account, a mini program, a website app and a few WeCom apps, the same in every run.
examples/simulator-apps.yaml shows what a file of apps may say, and README.md lists the fields.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return e.simulate(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", defaultSimulatorListen, "loopback address, port 0 for any free one")
	flags.StringVar(&f.apps, "apps", "", "YAML `FILE` with the apps instead of the dev set; see examples/simulator-apps.yaml")
	flags.StringVar(&f.bridge, "bridge", "http://"+defaultListen, "`URL` of the login server under test, for the phone page")
	flags.StringToStringVar(&f.switches, "switch", nil, "set a doubtful behaviour, `name=choice`; may be repeated")
	flags.BoolVar(&f.hostile, "hostile", false, "visit callbacks twice, as WeChat's clients do now and then")
	return cmd
}

func (e *env) simulate(ctx context.Context, f simulatorFlags) error {
	if err := requireLoopback("--listen", f.listen); err != nil {
		return err
	}
	bridge, err := url.Parse(f.bridge)
	if err != nil || bridge.Host == "" || bridge.Scheme != "http" && bridge.Scheme != "https" {
		return fmt.Errorf("--bridge: want an http or https URL, such as http://%s", defaultListen)
	}
	apps, err := loadApps(f.apps, bridge)
	if err != nil {
		return err
	}
	listener, err := listen(ctx, f.listen, "--listen")
	if err != nil {
		return err
	}
	defer listener.Close()
	ownURL := "http://localhost:" + portOf(listener)
	logger := e.logger()
	sim, err := simulator.New(simulator.Config{
		Apps:        apps,
		PublicURL:   ownURL,
		BridgeURL:   f.bridge,
		MiniProgram: examples.MiniProgram(),
		Hostile:     f.hostile,
		Switches:    f.switches,
		Logger:      logger,
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, `
  ****************************************************************
  *  This is a SIMULATED WeChat, for development and tests only. *
  *  Anybody can be anybody here, and nothing is kept.           *
  ****************************************************************
  The phone page: %s   Stop with Ctrl-C.

`, ownURL)
	e.sayCallbacks(apps)
	printEnvLines(e.stdout, apps, ownURL)
	return serveSites(ctx, logger, 0, site{listener: listener, server: newSimulatorServer(sim, logger)})
}

// newSimulatorServer allows for the latency that faults may ask for.
func newSimulatorServer(sim http.Handler, logger *slog.Logger) *http.Server {
	server := newHTTPServer(sim, logger)
	server.WriteTimeout = 5 * time.Minute
	return server
}

// loadApps reads the apps file, or gives the dev set, whose logins return to the bridge and whose events go there.
func loadApps(path string, bridge *url.URL) ([]simulator.App, error) {
	if path == "" {
		return withEvents(simulator.DevApps(bridge.Host), bridge.String()), nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--apps: %w", err)
	}
	defer file.Close()
	apps, err := simulator.LoadApps(file)
	if err != nil {
		return nil, fmt.Errorf("--apps %s: %w", path, err)
	}
	return apps, nil
}

// withEvents sends the pushes of official accounts, and of the first WeCom app, to the bridge.
func withEvents(apps []simulator.App, bridge string) []simulator.App {
	for i := range apps {
		if apps[i].Provider == simulator.ProviderOfficialAccount {
			apps[i].EventsURL = eventsURL(bridge)
		}
	}
	if app := wecomApp(apps); app != nil {
		app.EventsURL = wecomEventsURL(bridge)
	}
	return apps
}

// eventsURL is where a bridge takes the pushes of its default official account.
func eventsURL(bridge string) string {
	return strings.TrimSuffix(bridge, "/") + "/events/official-account"
}

// sayCallbacks tells whoever runs a backend of their own where pushes go, and what they are signed and encrypted with.
func (e *env) sayCallbacks(apps []simulator.App) {
	for _, app := range apps {
		if app.EventsURL != "" && app.Token != "" {
			fmt.Fprintf(e.stderr, "  Events of %s go to %s\n  token %s   EncodingAESKey %s\n\n", app.AppID, app.EventsURL, app.Token, app.EncodingAESKey)
		}
	}
}
