package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"wxbridge/db"
)

// webhooksCommand is what operators do about events that backends have not taken. It works on the store itself, beside a
// bridge that is running, which does the delivering.
func (e *env) webhooksCommand() *cobra.Command {
	f := &fansEnv{env: e}
	webhooks := &cobra.Command{
		Use:   "webhooks",
		Short: "Show what waits for backends, and send again what was given up",
		Long: `Show what waits for the backends in WXBRIDGE_EVENT_WEBHOOKS, and send again what was given up. The database is the one that
the configuration names. The bridge may be running; it does the sending.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.data.add(webhooks)
	webhooks.AddCommand(f.webhooksListCommand(), f.webhooksRetryCommand())
	return webhooks
}

func (f *fansEnv) webhooksListCommand() *cobra.Command {
	var asJSON bool
	var failed int
	list := &cobra.Command{
		Use:   "list [ENDPOINT]",
		Short: "Count what waits and what was given up, by endpoint; of one endpoint, list what was given up",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if failed < 1 || failed > maxFailedShown {
				return fmt.Errorf("--limit lies between 1 and %d", maxFailedShown)
			}
			return f.withStore(cmd.Context(), func(store db.Store) error {
				endpoints, err := endpointsOf(cmd.Context(), store, args)
				if err != nil {
					return err
				}
				if len(args) == 1 {
					return f.listFailed(cmd.Context(), store, endpoints[0], failed, asJSON)
				}
				return writeEndpoints(f.stdout, endpoints, asJSON)
			})
		},
	}
	list.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	list.Flags().IntVar(&failed, "limit", 50, "of one endpoint, at most `N` events that were given up, the latest first")
	return list
}

const maxFailedShown = 1000

// endpointsOf counts the deliveries of all endpoints, or of the one that is named. Events that no process has looked at yet
// are counted too.
func endpointsOf(ctx context.Context, store db.Store, names []string) ([]db.EndpointState, error) {
	for n := 1; n > 0; {
		var err error
		if n, err = store.FanOut(ctx); err != nil {
			return nil, err
		}
	}
	all, err := store.Endpoints(ctx)
	if err != nil || len(names) == 0 {
		return all, err
	}
	for _, e := range all {
		if e.Name == names[0] {
			return []db.EndpointState{e}, nil
		}
	}
	return nil, noSuchEndpoint(names[0])
}

func noSuchEndpoint(name string) error {
	return fmt.Errorf("there is no endpoint %s; wxbridge webhooks list shows them", safeText(name))
}

// endpointLine is an endpoint as it is listed.
type endpointLine struct {
	Name       string     `json:"endpoint"`
	State      string     `json:"state"` // active, disabled or removed
	Pending    int        `json:"pending"`
	Failed     int        `json:"failed"`
	OldestAt   *time.Time `json:"oldest_at,omitempty"`
	DisabledAt *time.Time `json:"disabled_at,omitempty"`
	Events     []string   `json:"events"`
	AppIDs     []string   `json:"apps,omitempty"`
	Replier    bool       `json:"replier,omitempty"`
}

func endpointLineOf(e db.EndpointState) endpointLine {
	state := "active"
	switch {
	case !e.Configured:
		state = "removed"
	case !e.DisabledAt.IsZero():
		state = "disabled"
	}
	return endpointLine{Name: e.Name, State: state, Pending: e.Pending, Failed: e.Failed, OldestAt: whole(e.OldestAt),
		DisabledAt: whole(e.DisabledAt), Events: e.Events, AppIDs: e.AppIDs, Replier: e.Replier}
}

func writeEndpoints(w io.Writer, endpoints []db.EndpointState, asJSON bool) error {
	lines := make([]endpointLine, len(endpoints))
	for i, e := range endpoints {
		lines[i] = endpointLineOf(e)
	}
	if asJSON {
		return writeJSON(w, map[string]any{"endpoints": lines})
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ENDPOINT\tSTATE\tPENDING\tFAILED\tOLDEST")
	for _, l := range lines {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\n", l.Name, l.State, l.Pending, l.Failed, timeOrDash(l.OldestAt))
	}
	return table.Flush()
}

// failedLine is an event that an endpoint did not take.
type failedLine struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	CreatedAt time.Time `json:"created_at"`
	FailedAt  time.Time `json:"failed_at"`
	Attempts  int       `json:"attempts"`
	Problem   string    `json:"problem"`
}

func (f *fansEnv) listFailed(ctx context.Context, store db.Store, endpoint db.EndpointState, limit int, asJSON bool) error {
	failed, err := store.FailedDeliveries(ctx, endpoint.Name, limit)
	if err != nil {
		return err
	}
	lines := []failedLine{}
	for _, d := range failed {
		lines = append(lines, failedLine{d.EventID, d.Type, d.CreatedAt, d.FailedAt, d.Attempts, d.Problem})
	}
	if asJSON {
		return writeJSON(f.stdout, struct {
			endpointLine
			FailedEvents []failedLine `json:"failed_events"`
		}{endpointLineOf(endpoint), lines})
	}
	if err := writeEndpoints(f.stdout, []db.EndpointState{endpoint}, false); err != nil || len(lines) == 0 {
		return err
	}
	table := tabwriter.NewWriter(f.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nID\tTYPE\tMADE\tGIVEN UP\tATTEMPTS\tPROBLEM")
	for _, l := range lines {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\n", l.ID, safeText(l.Type), moment(l.CreatedAt), moment(l.FailedAt), l.Attempts, safeText(l.Problem))
	}
	return table.Flush()
}

func (f *fansEnv) webhooksRetryCommand() *cobra.Command {
	var asJSON bool
	retry := &cobra.Command{
		Use:   "retry ENDPOINT [EVENT]",
		Short: "Send again what an endpoint did not take, and enable the endpoint",
		Long: `Send again all that was given up for an endpoint, or one event of it. An endpoint that was disabled because it has answered
410 Gone is enabled. The bridge does the sending, within a second if it runs.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			event := ""
			if len(args) == 2 {
				event = args[1]
			}
			return f.withStore(cmd.Context(), func(store db.Store) error {
				return f.retry(cmd.Context(), store, args[0], event, asJSON)
			})
		},
	}
	retry.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return retry
}

func (f *fansEnv) retry(ctx context.Context, store db.Store, endpoint, event string, asJSON bool) error {
	states, err := endpointsOf(ctx, store, []string{endpoint})
	if err != nil {
		return err
	}
	n, err := store.Retry(ctx, endpoint, event)
	if errors.Is(err, db.ErrNotFound) {
		return fmt.Errorf("%s has no event %s that was given up", endpoint, safeText(event))
	}
	if err != nil {
		return err
	}
	enabled := !states[0].DisabledAt.IsZero()
	f.event("webhook.retried", "an operator has events sent again", slog.String("endpoint", endpoint), slog.Int("events", n), slog.Bool("enabled", enabled))
	if asJSON {
		return writeJSON(f.stdout, map[string]any{"endpoint": endpoint, "retried": n, "enabled": enabled})
	}
	if enabled {
		fmt.Fprintf(f.stdout, "%s: enabled\n", endpoint)
	}
	_, err = fmt.Fprintf(f.stdout, "%s: %s to be sent again\n", endpoint, count(n, "event"))
	return err
}
