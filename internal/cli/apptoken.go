package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"wxbridge/db"
	"wxbridge/internal/config"
	"wxbridge/wechat"
)

func (e *env) appTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apptoken",
		Short: "Show the app tokens that the bridge holds",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(e.appTokenShowCommand())
	return cmd
}

// appTokenFlags are the options of `wxbridge apptoken show`.
type appTokenFlags struct {
	app, provider  string
	data           dataFlag
	reveal, asJSON bool
}

func (e *env) appTokenShowCommand() *cobra.Command {
	var f appTokenFlags
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the current app tokens: of which app, how old, until when",
		Long: `Show the current app tokens (WeChat's global access_token): of which app, how old and until when. The configuration and
the database are those of serve, which may be running. A token that is missing or nearly over is fetched and kept, so that
the bridge uses the same one.

The token itself is shown with --reveal only: whoever has it can act as the app.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.provider != "" && !slices.Contains(tokenProviders(), f.provider) {
				return fmt.Errorf("--provider is one of %s", strings.Join(tokenProviders(), ", "))
			}
			if err := f.data.requireWeChat(); err != nil {
				return err
			}
			return e.withDatabase(cmd.Context(), f.data, func(cfg config.Config, store db.Store) error {
				return e.showAppTokens(cmd.Context(), cfg, store, f)
			})
		},
	}
	cmd.Flags().StringVar(&f.app, "app", "", "only the `APP` of this alias or appid (default: all)")
	cmd.Flags().StringVar(&f.provider, "provider", "", "only apps of this `PROVIDER`: apps of several may have the alias default")
	f.data.add(cmd)
	cmd.Flags().BoolVar(&f.reveal, "reveal", false, "show the tokens too")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "write JSON")
	return cmd
}

// appTokenLine is an app token as it is shown.
type appTokenLine struct {
	Provider  string     `json:"provider"`
	App       string     `json:"app"`
	AppID     string     `json:"appid"`
	FetchedAt *time.Time `json:"fetched_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	Token     string     `json:"access_token,omitempty"`

	age time.Duration
}

// showAppTokens shows what it can get before it tells what it could not.
func (e *env) showAppTokens(ctx context.Context, cfg config.Config, store db.Store, f appTokenFlags) error {
	box, err := newBox(cfg)
	if err != nil {
		return err
	}
	maker := clientMaker{weChatAPI(cfg, nil), weComAPI(cfg, nil), tokenStore{store, box}, e.logger()}
	lines, known, failed := []appTokenLine{}, false, error(nil)
	for _, a := range cfg.Apps {
		if !slices.Contains(tokenProviders(), a.Provider) || f.provider != "" && f.provider != a.Provider || f.app != "" && f.app != a.Alias && f.app != a.ID {
			continue
		}
		known = true
		line, err := appTokenOf(ctx, maker, a)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s %s (%s): %w", a.Provider, a.Alias, a.ID, err))
			continue
		}
		if !f.reveal {
			line.Token = ""
		} else {
			e.logger().Info("an operator was shown an app token", slog.String("event", "app_token.revealed"), slog.String("appid", a.ID))
		}
		lines = append(lines, line)
	}
	if !known {
		return fmt.Errorf("there is no app%s%s that has app tokens", after(" ", safeText(f.app)), after(" of ", f.provider))
	}
	if f.asJSON {
		return errors.Join(writeJSON(e.stdout, map[string]any{"app_tokens": lines}), failed)
	}
	return errors.Join(writeAppTokens(e.stdout, lines, f.reveal), failed)
}

// tokenProviders are those whose apps have app tokens: all but website.
func tokenProviders() []string {
	return slices.DeleteFunc(config.Providers(), func(p string) bool { return p == config.ProviderWebsite })
}

// after puts words before a text, if there is one.
func after(words, text string) string {
	if text == "" {
		return ""
	}
	return words + text
}

// tokenSource is where the app token of an app of any provider that has one comes from.
func (m clientMaker) tokenSource(a config.NamedApp) (interface {
	Token(context.Context) (wechat.AppToken, error)
}, error) {
	if a.Provider != config.ProviderWeCom {
		return m.tokens(a)
	}
	app, err := m.wecomApp(a)
	if err != nil {
		return nil, err
	}
	return app.Client.Tokens(), nil
}

func appTokenOf(ctx context.Context, m clientMaker, a config.NamedApp) (appTokenLine, error) {
	source, err := m.tokenSource(a)
	if err != nil {
		return appTokenLine{}, err
	}
	token, err := source.Token(ctx)
	if err != nil {
		return appTokenLine{}, explained(err)
	}
	return appTokenLine{Provider: a.Provider, App: a.Alias, AppID: a.ID, FetchedAt: whole(token.FetchedAt), ExpiresAt: whole(token.ExpiresAt),
		Token: token.Value.Reveal(), age: m.api.Now().Sub(token.FetchedAt)}, nil
}

// explained adds what an errcode of WeChat means and how to mend it.
func explained(err error) error {
	if e, ok := errors.AsType[*wechat.Error](err); ok {
		if cause, fix, known := e.Explain(); known {
			return fmt.Errorf("%w\n  %s %s", err, cause, fix)
		}
	}
	return err
}

func writeAppTokens(w io.Writer, lines []appTokenLine, reveal bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "PROVIDER\tAPP\tAPPID\tAGE\tEXPIRES")
	if reveal {
		fmt.Fprint(table, "\tTOKEN")
	}
	fmt.Fprintln(table)
	for _, l := range lines {
		fmt.Fprintf(table, "%s\t%s\t%s\t%v\t%s", l.Provider, l.App, l.AppID, max(0, l.age.Round(time.Second)), timeOrDash(l.ExpiresAt))
		if reveal {
			fmt.Fprintf(table, "\t%s", l.Token)
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}
