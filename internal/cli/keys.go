package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"wxbridge/db"
	"wxbridge/internal/config"
	"wxbridge/internal/keyring"
	"wxbridge/internal/seal"
)

// newBox seals with the configured secret and opens with the previous one too.
func newBox(cfg config.Config) (*seal.Box, error) {
	var previous [][]byte
	if cfg.SecretPrevious != "" {
		previous = [][]byte{[]byte(cfg.SecretPrevious.Reveal())}
	}
	box, err := seal.New([]byte(cfg.Secret.Reveal()), previous...)
	if err != nil {
		return nil, fmt.Errorf("use %sSECRET: %w", config.Prefix, err)
	}
	return box, nil
}

func keyOptions(cfg config.Config, logger *slog.Logger) keyring.Options {
	return keyring.Options{
		Alg:         cfg.JWTAlg,
		HS256Secret: []byte(cfg.JWTHS256Secret.Reveal()),
		MaxAge:      cfg.KeyMaxAge,
		TokenTTL:    cfg.JWTTTL,
		JWKSMaxAge:  cfg.JWKSMaxAge,
		Now:         time.Now,
		Logger:      logger,
	}
}

// followKeys keeps the keys as the store wants them, until ctx ends.
func (a *app) followKeys(ctx context.Context) {
	tick := time.NewTicker(keyring.PollEvery)
	defer tick.Stop()
	a.keys.Follow(ctx, tick.C)
}

func (e *env) keysCommand() *cobra.Command {
	var data dataFlag
	keys := &cobra.Command{
		Use:   "keys",
		Short: "List and replace the keys that sign tokens",
		Long: `List and replace the keys that sign tokens. The configuration is that of serve. A bridge that runs on the same database
follows by itself, within a second; it need not run.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	data.add(keys)
	keys.AddCommand(e.keysListCommand(&data), e.keysRotateCommand(&data))
	return keys
}

func (e *env) keysListCommand(data *dataFlag) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the keys: which signs, which will, which only verify",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withDatabase(cmd.Context(), *data, func(_ config.Config, store db.Store) error {
				entries, err := keyring.List(cmd.Context(), store, time.Now())
				if err != nil {
					return err
				}
				return writeKeys(e.stdout, entries, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func (e *env) keysRotateCommand(data *dataFlag) *cobra.Command {
	var asJSON, compromised bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the key that signs",
		Long: `Replace the key that signs. The new one, of the algorithm in WXBRIDGE_JWT_ALG, is published at once and signs a minute
after the last cache of the key set has run out (WXBRIDGE_JWKS_MAX_AGE). The old one stays until its last token has expired.
Nobody notices.

With --compromised the new key signs at once, and all others are trusted no more: every token signed so far is refused by
the bridge at once and by others when they fetch the key set again. Everybody has to log in again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withDatabase(cmd.Context(), *data, func(cfg config.Config, store db.Store) error {
				box, err := newBox(cfg)
				if err != nil {
					return err
				}
				rotate := keyring.Rotate
				if compromised {
					rotate = keyring.RotateCompromised
				}
				entries, err := rotate(cmd.Context(), store, box, keyOptions(cfg, e.logger()))
				if err != nil {
					return err
				}
				return writeKeys(e.stdout, entries, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	cmd.Flags().BoolVar(&compromised, "compromised", false, "sign with a new key at once, and refuse what all others have signed")
	return cmd
}

// keyLine is a key as it is listed.
type keyLine struct {
	KID   string     `json:"kid"`
	Alg   string     `json:"alg"`
	State string     `json:"state"`
	Since *time.Time `json:"since"`
	Until *time.Time `json:"until,omitempty"`
}

func writeKeys(w io.Writer, entries []keyring.Entry, asJSON bool) error {
	lines := make([]keyLine, len(entries))
	for i, e := range entries {
		lines[i] = keyLine{KID: e.ID, Alg: e.Alg, State: string(e.Phase), Since: whole(e.Since), Until: whole(e.Until)}
	}
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"keys": lines})
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KID\tALG\tSTATE\tSINCE\tUNTIL")
	for _, l := range lines {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", l.KID, l.Alg, l.State, timeOrDash(l.Since), timeOrDash(l.Until))
	}
	return table.Flush()
}

func whole(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

func timeOrDash(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format(time.RFC3339)
}
