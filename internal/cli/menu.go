package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/internal/config"
	"wxbridge/internal/menufile"
	"wxbridge/internal/yamlfile"
	"wxbridge/wechat"
)

// menuFlags are the options of `wxbridge menu`.
type menuFlags struct {
	app, file string
	replace   bool
	data      dataFlag
}

func (e *env) menuCommand() *cobra.Command {
	var f menuFlags
	menu := &cobra.Command{
		Use:   "menu",
		Short: "Show and change the menu of an official account",
		Long: `Show and change the menu of an official account, as a file describes it (examples/menu.yaml). The configuration and the
database are those of serve, which may be running: both use the same app token.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	menu.PersistentFlags().StringVar(&f.app, "app", "", "the official account `APP`, an alias or appid (default: the one there is, or the one named default)")
	f.data.add(menu)

	show := &cobra.Command{
		Use:   "show",
		Short: "Write the menu that WeChat has, as a menu file",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withMenu(cmd.Context(), f, (*menuEnv).show)
		},
	}
	diff := &cobra.Command{
		Use:   "diff",
		Short: "Show what push would change; the exit code is 0 for nothing, 1 for something and 2 for trouble",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := e.withMenu(cmd.Context(), f, (*menuEnv).diff)
			if _, coded := errors.AsType[*exitError](err); err == nil || coded {
				return err
			}
			return &exitError{code: 2, err: err}
		},
	}
	push := &cobra.Command{
		Use:   "push",
		Short: "Make the menu at WeChat that of the file, and show what changes",
		Long: `Make the menu at WeChat that of the file, and show what changes; what goes is shown with a "-", so that it can be had back.
Where nothing changes, nothing is sent. The file is checked first, with WeChat's limits, and every fault is shown with its line.

People see the new menu within five minutes, when they open the account anew.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withMenu(cmd.Context(), f, (*menuEnv).push)
		},
	}
	for _, cmd := range []*cobra.Command{diff, push} {
		cmd.Flags().StringVar(&f.file, "file", "menu.yaml", "the menu `FILE`")
	}
	push.Flags().BoolVar(&f.replace, "replace", false, "replace even a menu with buttons that a file cannot bring back, such as WeChat's console makes")
	menu.AddCommand(show, diff, push)
	return menu
}

// menuEnv is one account and its menu file.
type menuEnv struct {
	*env
	flags  menuFlags
	app    config.NamedApp
	tokens *wechat.AppTokens
	links  loginLinks
}

func (e *env) withMenu(ctx context.Context, f menuFlags, do func(*menuEnv, context.Context) error) error {
	if err := f.data.requireWeChat(); err != nil {
		return err
	}
	return e.withDatabase(ctx, f.data, func(cfg config.Config, store db.Store) error {
		app, err := officialAccount(cfg, f.app)
		if err != nil {
			return err
		}
		box, err := newBox(cfg)
		if err != nil {
			return err
		}
		tokens, err := clientMaker{weChatAPI(cfg, nil), weComAPI(cfg, nil), tokenStore{store, box}, e.logger()}.tokens(app)
		if err != nil {
			return err
		}
		links, err := newLoginLinks(cfg, app)
		if err != nil {
			return err
		}
		return do(&menuEnv{e, f, app, tokens, links}, ctx)
	})
}

// officialAccount finds the account that is meant; name is an alias, an appid or "".
func officialAccount(cfg config.Config, name string) (config.NamedApp, error) {
	accounts := cfg.AppsOf(config.ProviderOfficialAccount)
	if len(accounts) == 0 {
		return config.NamedApp{}, errors.New("no official account is configured")
	}
	var aliases []string
	for _, a := range accounts {
		if name == a.Alias || name == a.ID || name == "" && (a.Alias == config.DefaultApp || len(accounts) == 1) {
			return a, nil
		}
		aliases = append(aliases, a.Alias)
	}
	if name == "" {
		return config.NamedApp{}, fmt.Errorf("which official account? Name one with --app: %s", strings.Join(aliases, ", "))
	}
	return config.NamedApp{}, fmt.Errorf("there is no official account %s; there are %s", safeText(name), strings.Join(aliases, ", "))
}

func (m *menuEnv) show(ctx context.Context) error {
	menu, err := m.current(ctx)
	if err != nil {
		return err
	}
	if len(menu.Buttons) == 0 {
		return fmt.Errorf("the official account %s has no menu", m.app.Alias)
	}
	_, err = m.stdout.Write(menufile.Write(menu, m.links.to))
	return err
}

func (m *menuEnv) diff(ctx context.Context) error {
	_, _, changes, err := m.compare(ctx)
	switch {
	case err != nil:
		return err
	case changes == "":
		fmt.Fprintf(m.stderr, "the menu of %s is that of %s\n", m.app.Alias, safeText(m.flags.file))
		return nil
	}
	if _, err := fmt.Fprint(m.stdout, changes); err != nil {
		return err
	}
	return &exitError{code: 1}
}

func (m *menuEnv) push(ctx context.Context) error {
	wanted, current, changes, err := m.compare(ctx)
	switch {
	case err != nil:
		return err
	case changes == "":
		fmt.Fprintf(m.stderr, "the menu of %s is that of %s already; nothing was sent\n", m.app.Alias, safeText(m.flags.file))
		return nil
	}
	if _, err := fmt.Fprint(m.stdout, changes); err != nil {
		return err
	}
	if current.Foreign() && !m.flags.replace {
		return errors.New("the menu has buttons that no menu file can bring back; nothing was sent. Replace it with --replace")
	}
	if err := m.tokens.CreateMenu(ctx, toWeChat(wanted.Buttons)); err != nil {
		return explained(err)
	}
	m.logger().Info("an operator pushed a menu", slog.String("event", "menu.pushed"), slog.String("appid", m.app.ID))
	return nil
}

// compare reads the file, then asks WeChat, so that a faulty file costs no call.
func (m *menuEnv) compare(ctx context.Context) (wanted, current menufile.Menu, changes string, err error) {
	if wanted, err = m.readFile(); err != nil {
		return wanted, current, "", err
	}
	if current, err = m.current(ctx); err != nil {
		return wanted, current, "", err
	}
	before := []byte(nil)
	if len(current.Buttons) > 0 {
		before = menufile.Write(current, m.links.to)
	}
	changes = menufile.Diff(before, menufile.Write(wanted, m.links.to))
	if changes != "" {
		changes = fmt.Sprintf("--- WeChat: %s (%s)\n+++ %s\n", m.app.Alias, m.app.ID, safeText(m.flags.file)) + changes
	}
	return wanted, current, changes, nil
}

func (m *menuEnv) readFile() (menufile.Menu, error) {
	name := safeText(m.flags.file)
	text, err := os.ReadFile(m.flags.file)
	if err != nil {
		return menufile.Menu{}, &exitError{code: 2, err: fmt.Errorf("%s cannot be read: %w", name, errors.Unwrap(err))}
	}
	menu, err := menufile.Parse(text, m.links.from)
	faults, ok := errors.AsType[yamlfile.Faults](err)
	if !ok {
		return menu, err
	}
	var lines []string
	for _, f := range faults {
		where := name
		if f.Line > 0 {
			where = fmt.Sprintf("%s line %d", name, f.Line)
		}
		lines = append(lines, where+": "+f.Problem)
	}
	return menufile.Menu{}, &exitError{code: 2, err: fmt.Errorf("%s in the menu file; nothing was sent\n%s", count(len(faults), "fault"), strings.Join(lines, "\n"))}
}

// current is what WeChat has: the menu of calls, or else that of WeChat's console.
func (m *menuEnv) current(ctx context.Context) (menufile.Menu, error) {
	menu, err := m.tokens.Menu(ctx)
	switch {
	case errors.Is(err, wechat.ErrNoMenu):
		made, err := m.tokens.CurrentMenu(ctx)
		if err != nil || !made.Open {
			return menufile.Menu{}, explained(err)
		}
		return menufile.Menu{Buttons: fromWeChat(made.Buttons)}, nil
	case err != nil:
		return menufile.Menu{}, explained(err)
	}
	if menu.Conditional > 0 {
		fmt.Fprintf(m.stderr, "menus for some people only (conditional menus) are neither shown nor changed; there are %d\n", menu.Conditional)
	}
	return menufile.Menu{Buttons: fromWeChat(menu.Buttons)}, nil
}

func fromWeChat(buttons []wechat.MenuButton) (out []menufile.Button) {
	for _, b := range buttons {
		out = append(out, menufile.Button{Name: b.Name, Type: b.Type, Key: b.Key, URL: b.URL, AppID: b.AppID, PagePath: b.PagePath,
			MediaID: b.MediaID, ArticleID: b.ArticleID, Sub: fromWeChat(b.Sub), Foreign: b.Value})
	}
	return out
}

func toWeChat(buttons []menufile.Button) (out []wechat.MenuButton) {
	for _, b := range buttons {
		out = append(out, wechat.MenuButton{Name: b.Name, Type: b.Type, Key: b.Key, URL: b.URL, AppID: b.AppID, PagePath: b.PagePath,
			MediaID: b.MediaID, ArticleID: b.ArticleID, Sub: toWeChat(b.Sub)})
	}
	return out
}

// loginLinks makes the links of a menu's login buttons. They lead to our /login and not straight to WeChat: there the state
// and its cookie are made, anew at each tap, and who is logged in is not asked again.
type loginLinks struct {
	policy *handlers.ReturnPolicy
	base   string // up to the value of return_to
}

func newLoginLinks(cfg config.Config, app config.NamedApp) (loginLinks, error) {
	policy, err := handlers.NewReturnPolicy(cfg.PublicURL, cfg.ReturnOrigins, cfg.DefaultReturnTo)
	if err != nil {
		return loginLinks{}, err
	}
	base := cfg.PublicURL.String() + "/login?"
	if app.Alias != config.DefaultApp {
		base += "app=" + url.QueryEscape(app.Alias) + "&"
	}
	return loginLinks{policy, base + "return_to="}, nil
}

// from makes the link.
func (l loginLinks) from(to string) (string, error) {
	if err := l.policy.Check(to); err != nil {
		return "", fmt.Errorf("leads to an address that is not allowed: it is a path such as /member, or a URL on %sPUBLIC_URL or %sRETURN_ORIGINS",
			config.Prefix, config.Prefix)
	}
	return l.base + url.QueryEscape(to), nil
}

// to reads a link that from could have made.
func (l loginLinks) to(link string) (string, bool) {
	value, ok := strings.CutPrefix(link, l.base)
	to, err := url.QueryUnescape(value)
	if !ok || err != nil {
		return "", false
	}
	again, err := l.from(to)
	return to, err == nil && again == link
}
