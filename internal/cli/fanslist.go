package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"wxbridge/db"
	"wxbridge/handlers"
)

func (f *fansEnv) listCommand() *cobra.Command {
	var filter db.FanFilter
	var status string
	var asJSON bool
	list := &cobra.Command{
		Use:   "list",
		Short: "List fans, the oldest first",
		Long:  "List fans, the oldest first. The line at the end tells how to go on where there are more.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch filter.Status = db.Status(status); filter.Status {
			case "", db.StatusActive, db.StatusBlocked:
			default:
				return fmt.Errorf("--status is %s or %s", db.StatusActive, db.StatusBlocked)
			}
			if filter.Limit < 1 || filter.Limit >= db.MaxFans {
				return fmt.Errorf("--limit lies between 1 and %d", db.MaxFans-1)
			}
			return f.withStore(cmd.Context(), func(store db.Store) error {
				one := filter
				one.Limit++ // tells whether there are more
				fans, err := store.Fans(cmd.Context(), one)
				if err != nil {
					return err
				}
				next := ""
				if len(fans) > filter.Limit {
					fans = fans[:filter.Limit]
					next = fans[len(fans)-1].ID
				}
				if asJSON {
					return writeJSON(f.stdout, listed(fans, next))
				}
				return f.printFans(fans, next)
			})
		},
	}
	list.Flags().IntVar(&filter.Limit, "limit", 50, "at most `N` fans")
	list.Flags().StringVar(&filter.After, "after", "", "go on after this `ID`")
	list.Flags().StringVar(&status, "status", "", "active or blocked")
	list.Flags().StringVar(&filter.Role, "role", "", "fans with this `ROLE`")
	list.Flags().StringVar(&filter.Provider, "provider", "", "fans who have used it: official_account, mini_program, website, wecom")
	list.Flags().StringVar(&filter.Nickname, "nickname", "", "fans whose nickname holds this `TEXT`")
	list.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return list
}

// fanList is the JSON of a page of fans. Next is what --after takes to go on, empty on the last page.
type fanList struct {
	Fans []fanLine `json:"fans"`
	Next string    `json:"next,omitempty"`
}

type fanLine struct {
	ID          string    `json:"id"`
	Nickname    string    `json:"nickname"`
	Status      db.Status `json:"status"`
	Role        string    `json:"role,omitempty"`
	Registered  bool      `json:"registered"`
	CreatedAt   time.Time `json:"created_at"`
	LastLoginAt time.Time `json:"last_login_at"`
}

func listed(fans []db.Fan, next string) fanList {
	l := fanList{Fans: []fanLine{}, Next: next}
	for _, fan := range fans {
		l.Fans = append(l.Fans, fanLine{fan.ID, fan.Nickname, fan.Status, fan.Role, fan.Registered(), fan.CreatedAt, fan.LastLoginAt})
	}
	return l
}

func (f *fansEnv) printFans(fans []db.Fan, next string) error {
	table := tabwriter.NewWriter(f.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSTATUS\tROLE\tLAST LOGIN\tNICKNAME")
	for _, fan := range fans {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", fan.ID, fan.Status, safeText(fan.Role), moment(fan.LastLoginAt), safeText(fan.Nickname))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if next != "" {
		fmt.Fprintf(f.stdout, "more: --after %s\n", next)
	}
	return nil
}

func (f *fansEnv) showCommand() *cobra.Command {
	var asJSON bool
	show := &cobra.Command{
		Use:   "show FAN",
		Short: "Show a fan with its identities and aliases",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.withFan(cmd.Context(), args[0], func(store db.Store, fan db.Fan) error {
				all, err := handlers.ExportOf(cmd.Context(), store, fan)
				if err != nil {
					return err
				}
				for i := range all.Identities {
					all.Identities[i].Profile = nil // WeChat's whole answer belongs into an export
				}
				if asJSON {
					return writeJSON(f.stdout, all)
				}
				return printFan(f.stdout, all)
			})
		},
	}
	show.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return show
}

func printFan(w io.Writer, fan handlers.Export) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, value)
		}
	}
	row("id", fan.ID)
	row("nickname", safeText(fan.Nickname))
	row("status", fan.Status)
	row("role", safeText(fan.Role))
	row("phone", safeText(fan.PhoneNumber))
	row("language", safeText(fan.Language))
	row("avatar", safeText(fan.AvatarURL))
	row("first seen", moment(fan.CreatedAt))
	if fan.RegisteredAt != nil {
		row("registered", moment(*fan.RegisteredAt))
	}
	row("last login", moment(fan.LastLoginAt))
	row("aliases", strings.Join(fan.Aliases, " "))
	for _, i := range fan.Identities {
		row("identity", safeText(i.Provider+":"+i.AppID+":"+i.OpenID))
		if i.UnionID != "" {
			row("  unionid", safeText(i.UnionID)+" in "+safeText(i.OpenAccount))
		}
		row("  scope", safeText(i.Scope))
		row("  departments", string(i.Departments))
		row("  last login", moment(i.LastLoginAt))
	}
	for _, l := range fan.Links {
		row("linked", l.Alias+" at "+moment(l.LinkedAt))
	}
	return table.Flush()
}

// moment is empty for a time that never was.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime) + "Z"
}
