package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/internal/config"
	"wxbridge/jwtauth"
	"wxbridge/wechat/wecom"
)

// fansCommand is what operators do about fans. It works on the store itself, beside a bridge that is running: every process
// on the store follows within a second.
func (e *env) fansCommand() *cobra.Command {
	f := &fansEnv{env: e}
	fans := &cobra.Command{
		Use:   "fans",
		Short: "List, show, block, link and erase fans, and give them roles",
		Long: `List, show, export, block, unblock, link and erase fans, and give them roles, in the database that the configuration names. The
bridge may be running; it follows within a second.

FAN is the id of a fan, an id that was merged into another (an alias), an openid or WeCom userid, or provider:appid:openid where one
is known to several apps.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.data.add(fans)
	fans.AddCommand(f.listCommand(), f.showCommand(), f.exportCommand(), f.blockCommand(), f.unblockCommand(), f.roleCommand(), f.eraseCommand(),
		f.linkCommand(), f.unlinkCommand())
	return fans
}

type fansEnv struct {
	*env
	data dataFlag
}

// withStore opens the database for one command.
func (f *fansEnv) withStore(ctx context.Context, do func(db.Store) error) error {
	return f.env.withStore(ctx, f.data, do)
}

// withFan opens the database and finds the fan.
func (f *fansEnv) withFan(ctx context.Context, name string, do func(db.Store, db.Fan) error) error {
	return f.withStore(ctx, func(store db.Store) error {
		fan, err := findFan(ctx, store, name)
		if err != nil {
			return err
		}
		return do(store, fan)
	})
}

// findFan finds a fan by what people may call it.
func findFan(ctx context.Context, store db.Store, name string) (db.Fan, error) {
	if parts := strings.SplitN(name, ":", 3); len(parts) == 3 {
		fan, _, err := store.FanByIdentity(ctx, parts[0], parts[1], parts[2])
		if errors.Is(err, db.ErrNotFound) && parts[0] == db.ProviderWeCom {
			fan, _, err = store.FanByIdentity(ctx, parts[0], parts[1], wecom.FoldUserID(parts[2]))
		}
		return fan, noSuchFan(err, name)
	}
	fan, err := store.Fan(ctx, name)
	if !errors.Is(err, db.ErrNotFound) {
		return fan, err
	}
	identities, err := identitiesCalled(ctx, store, name)
	if err != nil {
		return db.Fan{}, err
	}
	var ids, names []string
	for _, i := range identities {
		if !slices.Contains(ids, i.FanID) {
			ids = append(ids, i.FanID)
		}
		names = append(names, strings.Join([]string{i.Provider, i.AppID, i.OpenID}, ":"))
	}
	switch len(ids) {
	case 0:
		return db.Fan{}, noSuchFan(db.ErrNotFound, name)
	case 1:
		fan, err := store.Fan(ctx, ids[0])
		return fan, noSuchFan(err, name)
	}
	return db.Fan{}, fmt.Errorf("several fans have this openid, each in another app; name one of\n  %s", safeText(strings.Join(names, " ")))
}

// identitiesCalled are those with this openid, and members with this userid, which WeCom spells as it was first written.
func identitiesCalled(ctx context.Context, store db.Store, name string) ([]db.Identity, error) {
	identities, err := store.IdentitiesByOpenID(ctx, name)
	folded := wecom.FoldUserID(name)
	if err != nil || folded == name {
		return identities, err
	}
	members, err := store.IdentitiesByOpenID(ctx, folded)
	for _, m := range members {
		if m.Provider == db.ProviderWeCom {
			identities = append(identities, m)
		}
	}
	return identities, err
}

func noSuchFan(err error, name string) error {
	if errors.Is(err, db.ErrNotFound) {
		return fmt.Errorf("there is no fan %s", safeText(name))
	}
	return err
}

func (f *fansEnv) exportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export FAN",
		Short: "Write everything that is stored about a fan, as JSON",
		Long:  "Write everything that is stored about a fan, as JSON: what GET /me/export answers the fan.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.withFan(cmd.Context(), args[0], func(store db.Store, fan db.Fan) error {
				export, err := handlers.ExportOf(cmd.Context(), store, fan)
				if err != nil {
					return err
				}
				f.event("fan.exported", "an operator exported a fan", slog.String("fan", fan.ID))
				return writeJSON(f.stdout, export)
			})
		},
	}
}

func (f *fansEnv) blockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "block FAN",
		Short: "Keep a fan out: no login, no renewal, and every token is revoked",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.setAccess(cmd.Context(), args[0], db.Access{Status: db.StatusBlocked})
		},
	}
}

func (f *fansEnv) unblockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "unblock FAN",
		Short: "Let a fan log in again",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.setAccess(cmd.Context(), args[0], db.Access{Status: db.StatusActive})
		},
	}
}

func (f *fansEnv) roleCommand() *cobra.Command {
	var none bool
	role := &cobra.Command{
		Use:   "role FAN [ROLE]",
		Short: "Show a fan's role, give one, or take it away with --none",
		Long: `Show a fan's role, give one, or take it away with --none. The role is the claim "role" of the fan's tokens from the next
login or renewal on. Roles have no order, so changing or taking away a role revokes every token that was issued with it; a
fan who had none keeps the tokens.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case none && len(args) == 2:
				return errors.New("give a role or --none, not both")
			case none:
				return f.setRole(cmd.Context(), args[0], "")
			case len(args) == 2 && args[1] == "":
				return errors.New("an empty role: use --none to take the role away")
			case len(args) == 2:
				return f.setRole(cmd.Context(), args[0], args[1])
			}
			return f.withFan(cmd.Context(), args[0], func(_ db.Store, fan db.Fan) error {
				_, err := fmt.Fprintln(f.stdout, safeText(fan.Role))
				return err
			})
		},
	}
	role.Flags().BoolVar(&none, "none", false, "take the role away")
	return role
}

// maxRole bounds a role, in bytes: it stands in every token and in a header.
const maxRole = 64

func (f *fansEnv) setRole(ctx context.Context, name, role string) error {
	if len(role) > maxRole || strings.ContainsFunc(role, func(r rune) bool { return !strings.ContainsRune(roleCharacters, r) }) {
		return fmt.Errorf("a role is 1 to %d letters, digits, dots, colons, dashes and underscores", maxRole)
	}
	return f.setAccess(ctx, name, db.Access{Role: &role})
}

const roleCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-_"

// revokedUntil outlives every token that a bridge of any configuration has issued: what this command runs with need not be
// what the bridge runs with. The margin is for a clock that is set back.
func revokedUntil() time.Time {
	return time.Now().Add(config.MaxJWTTTL + jwtauth.MaxLeeway + time.Hour)
}

func (f *fansEnv) setAccess(ctx context.Context, name string, a db.Access) error {
	return f.withFan(ctx, name, func(store db.Store, fan db.Fan) error {
		change, err := store.SetAccess(ctx, fan.ID, a, revokedUntil())
		if err != nil {
			return noSuchFan(err, name)
		}
		f.tellChange(change)
		return nil
	})
}

// tellChange writes what a change has done, for people and as security events (LOG-03).
func (f *fansEnv) tellChange(change db.AccessChange) {
	id := slog.String("fan", change.After.ID)
	revoked := slog.Int("revoked_subjects", len(change.Revoked.Subjects))
	switch before, after := change.Before, change.After; {
	case before.Role != after.Role:
		f.event("fan.role_changed", "an operator changed a role", id, slog.String("from", before.Role), slog.String("to", after.Role), revoked)
		fmt.Fprintf(f.stdout, "%s: role %s, was %s\n", after.ID, orNone(after.Role), orNone(before.Role))
	case after.Status == db.StatusBlocked && len(change.Revoked.Subjects) > 0:
		f.event("fan.blocked", "an operator blocked a fan", id, slog.Bool("again", before.Status == after.Status), revoked)
		fmt.Fprintf(f.stdout, "%s: blocked\n", after.ID)
	case before.Status != after.Status:
		f.event("fan.unblocked", "an operator unblocked a fan", id)
		fmt.Fprintf(f.stdout, "%s: active\n", after.ID)
	default:
		fmt.Fprintf(f.stdout, "%s: nothing to change\n", after.ID)
	}
	if len(change.Revoked.Subjects) > 0 {
		fmt.Fprintln(f.stdout, "every token issued so far is revoked")
	}
}

func orNone(role string) string {
	if role == "" {
		return "(none)"
	}
	return safeText(role)
}

func (f *fansEnv) eraseCommand() *cobra.Command {
	var yes bool
	erase := &cobra.Command{
		Use:   "erase FAN",
		Short: "Erase everything that is stored about a fan, and revoke every token",
		Long: `Erase everything that is stored about a fan, and revoke every token. It cannot be undone; fans export keeps a copy. Who
logs in again afterwards is a new fan.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.withFan(cmd.Context(), args[0], func(store db.Store, fan db.Fan) error {
				if !yes && !f.confirmed(cmd.InOrStdin(), fan) {
					return errors.New("nothing was erased; answer yes, or give --yes")
				}
				return f.erase(cmd.Context(), store, fan)
			})
		},
	}
	erase.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return erase
}

func (f *fansEnv) confirmed(stdin io.Reader, fan db.Fan) bool {
	fmt.Fprintf(f.stderr, "Erase %s %s and everything stored about them? This cannot be undone. [yes/no] ", fan.ID, safeText(fan.Nickname))
	answer, _ := bufio.NewReader(io.LimitReader(stdin, 1024)).ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(answer), "yes")
}

// erase refuses tokens of any time, as DELETE /me does: the id never logs in again.
func (f *fansEnv) erase(ctx context.Context, store db.Store, fan db.Fan) error {
	until := revokedUntil()
	ids, err := store.EraseFan(ctx, fan.ID, until, until)
	if err != nil {
		return noSuchFan(err, fan.ID)
	}
	f.event("fan.erased", "an operator erased a fan", slog.String("fan", fan.ID), slog.Int("revoked_subjects", len(ids)))
	_, err = fmt.Fprintf(f.stdout, "%s: erased, and every token is revoked\n", fan.ID)
	return err
}

// event is a security event of the operator's doing, a JSON line on stderr as the bridge writes them.
func (f *fansEnv) event(name, message string, attrs ...slog.Attr) {
	f.logger().LogAttrs(context.Background(), slog.LevelInfo, message, append([]slog.Attr{slog.String("event", name)}, attrs...)...)
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
