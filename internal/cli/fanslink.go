package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"wxbridge/db"
)

func (f *fansEnv) linkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "link FAN OTHER",
		Short: "Say that two fans are one person, such as a WeChat fan and a WeCom member",
		Long: `Say that two fans are one person, such as somebody in WeChat and the same person as a member in WeCom, whom nothing links
by itself. The older fan survives with all identities of both, the other's id becomes an alias, and backends are told
fan.merged. Two fans with different roles are not linked: take one role away first. fans unlink undoes it.

Whoever may say so gives each of the two the other's access: make sure that they are the same person.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return f.link(cmd.Context(), args[0], args[1]) },
	}
}

func (f *fansEnv) unlinkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "unlink FAN",
		Short: "Undo fans link: make the linked fan a fan of its own again",
		Long: `Undo fans link. FAN is the id that became an alias, or any name of the fan if only one was linked to it. It gets back the
identities that it brought and the profile, role and status that it had; what has come since stays with the other, and a role
that was taken away or a profile that was withdrawn since is nobody's. Both have to log in again, and backends are told
fan.unlinked.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.unlink(cmd.Context(), args[0]) },
	}
}

func (f *fansEnv) link(ctx context.Context, a, b string) error {
	return f.withStore(ctx, func(store db.Store) error {
		first, err := findFan(ctx, store, a)
		if err != nil {
			return err
		}
		second, err := findFan(ctx, store, b)
		if err != nil {
			return err
		}
		result, err := store.LinkFans(ctx, first.ID, second.ID, revokedUntil())
		switch {
		case errors.Is(err, db.ErrSameFan):
			return fmt.Errorf("%s and %s are one fan already, %s", safeText(a), safeText(b), first.ID)
		case errors.Is(err, db.ErrRolesDiffer):
			return fmt.Errorf("the fans have different roles, %s and %s; take one away with wxbridge fans role FAN --none", safeText(first.Role), safeText(second.Role))
		case err != nil:
			return err
		}
		f.event("fan.linked_by_operator", "an operator linked two fans", slog.String("fan", result.Fan.ID), slog.String("from", result.Other.ID),
			slog.Any("identities", identityNames(result.Moved)))
		fmt.Fprintf(f.stdout, "%s: has %s now, with %s\nundo: wxbridge fans unlink %s\n", result.Fan.ID, result.Other.ID,
			safeText(strings.Join(identityNames(result.Moved), " ")), result.Other.ID)
		if result.Fan.Status == db.StatusBlocked {
			fmt.Fprintln(f.stdout, "one of them was blocked, so the fan is; every token issued so far is revoked")
		}
		return nil
	})
}

func (f *fansEnv) unlink(ctx context.Context, name string) error {
	return f.withStore(ctx, func(store db.Store) error {
		alias, err := linkedAlias(ctx, store, name)
		if err != nil {
			return err
		}
		result, err := store.Unlink(ctx, alias, revokedUntil())
		if err != nil {
			return noSuchFan(err, name)
		}
		f.event("fan.unlinked", "an operator undid a link of two fans", slog.String("fan", result.Other.ID), slog.String("from", result.Fan.ID),
			slog.Any("identities", identityNames(result.Moved)))
		fmt.Fprintf(f.stdout, "%s: a fan of its own again, with %s\n%s: goes on without\nevery token of both issued so far is revoked\n",
			result.Other.ID, safeText(strings.Join(identityNames(result.Moved), " ")), result.Fan.ID)
		return nil
	})
}

// linkedAlias finds the link that is meant: that of the id itself, or the only one of the fan.
func linkedAlias(ctx context.Context, store db.Store, name string) (string, error) {
	fan, err := findFan(ctx, store, name)
	if err != nil {
		return "", err
	}
	links, err := store.Links(ctx, fan.ID)
	if err != nil {
		return "", err
	}
	var aliases []string
	for _, link := range links {
		if link.Alias == name {
			return name, nil
		}
		aliases = append(aliases, link.Alias)
	}
	switch len(aliases) {
	case 0:
		return "", fmt.Errorf("nobody was linked to %s by wxbridge fans link", safeText(name))
	case 1:
		return aliases[0], nil
	}
	return "", fmt.Errorf("several were linked to this fan; name one of\n  %s", strings.Join(aliases, " "))
}

func identityNames(identities []db.Identity) []string {
	names := []string{}
	for _, i := range identities {
		names = append(names, strings.Join([]string{i.Provider, i.AppID, i.OpenID}, ":"))
	}
	return names
}
