package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
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
		Short: "Show what waits for backends, send it now or again, or drop it",
		Long: `Show what waits for the backends in WXBRIDGE_EVENT_WEBHOOKS, have it sent now, also what was given up, or drop it. The
database is the one that the configuration names. The bridge may be running; it does the sending.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	webhooks.PersistentFlags().StringVar(&f.data, "data", "", "`DIR` of wxbridge dev --data, instead of the configuration")
	webhooks.AddCommand(f.webhooksListCommand(), f.webhooksRetryCommand(), f.webhooksDropCommand())
	return webhooks
}

func (f *fansEnv) webhooksListCommand() *cobra.Command {
	var asJSON bool
	var failed int
	list := &cobra.Command{
		Use:   "list [ENDPOINT]",
		Short: "Count what waits and what was given up, by endpoint; of one endpoint, list what was given up",
		Long: `Count what waits (PENDING), what of it has failed before (RETRYING) and what was given up (FAILED), by endpoint; of one
endpoint, list what was given up. NEXT is when the next attempt is due. The state of an endpoint is

    active     its last attempt was acknowledged, or none was made yet, and nothing waits for another attempt
    retrying   its last attempt was acknowledged, but events that it has refused wait for another
    failing    its last attempt failed; FAILING SINCE is the first failure after the last success
    disabled   it has answered 410 Gone and gets nothing until webhooks retry
    removed    it is in the webhooks file no more; what still waits for it is not sent`,
		Args: cobra.MaximumNArgs(1),
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
	State      string     `json:"state"` // active, retrying, failing, disabled or removed
	Pending    int        `json:"pending"`
	Retrying   int        `json:"retrying"` // of the pending
	Failed     int        `json:"failed"`
	OldestAt   *time.Time `json:"oldest_at,omitempty"`
	FailingAt  *time.Time `json:"failing_since,omitempty"`
	NextAt     *time.Time `json:"next_at,omitempty"`
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
	case !e.FailingSince.IsZero():
		state = "failing"
	case e.Retrying > 0:
		state = "retrying"
	}
	return endpointLine{Name: e.Name, State: state, Pending: e.Pending, Retrying: e.Retrying, Failed: e.Failed, OldestAt: whole(e.OldestAt),
		FailingAt: whole(e.FailingSince), NextAt: whole(e.NextAt), DisabledAt: whole(e.DisabledAt), Events: e.Events, AppIDs: e.AppIDs, Replier: e.Replier}
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
	fmt.Fprintln(table, "ENDPOINT\tSTATE\tPENDING\tRETRYING\tFAILED\tOLDEST\tFAILING SINCE\tNEXT")
	for _, l := range lines {
		next := timeOrDash(l.NextAt)
		if l.NextAt != nil && l.NextAt.Before(time.Now()) {
			next = "now"
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", l.Name, l.State, l.Pending, l.Retrying, l.Failed,
			timeOrDash(l.OldestAt), timeOrDash(l.FailingAt), next)
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
		Short: "Send now what waits for an endpoint or was given up, and enable the endpoint",
		Long: `Send now all that waits for an endpoint, also for its next attempt, and again what was given up; or one event of it, with
what has to go before it. Attempts are counted anew. An endpoint that was disabled because it has answered 410 Gone is
enabled. The bridge does the sending: it begins within about a second if it runs.`,
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
	retried, err := store.Retry(ctx, endpoint, event)
	if errors.Is(err, db.ErrNotFound) {
		return noSuchEvent(endpoint, event)
	}
	if err != nil {
		return err
	}
	enabled := !states[0].DisabledAt.IsZero()
	f.event("webhook.retried", "an operator has events sent now", slog.String("endpoint", endpoint), slog.Int("waiting", retried.Waiting),
		slog.Int("given_up", retried.GivenUp), slog.Bool("enabled", enabled))
	if asJSON {
		return writeJSON(f.stdout, map[string]any{"endpoint": endpoint, "hurried": retried.Waiting, "retried": retried.GivenUp, "enabled": enabled})
	}
	if enabled {
		fmt.Fprintf(f.stdout, "%s: enabled\n", endpoint)
	}
	if !states[0].Configured {
		fmt.Fprintf(f.stdout, "%s: is in the webhooks file no more, so nothing is sent to it\n", endpoint)
	}
	_, err = fmt.Fprintf(f.stdout, "%s: %s to be sent now: %d that waited, %d that had been given up\n", endpoint,
		count(retried.Waiting+retried.GivenUp, "event"), retried.Waiting, retried.GivenUp)
	return err
}

func noSuchEvent(endpoint, event string) error {
	return fmt.Errorf("%s has no event %s that waits or was given up", endpoint, safeText(event))
}

func (f *fansEnv) webhooksDropCommand() *cobra.Command {
	var asJSON bool
	var before string
	drop := &cobra.Command{
		Use:   "drop ENDPOINT [EVENT]",
		Short: "Forget what waits for an endpoint or was given up: it is never sent",
		Long: `Forget all that waits for an endpoint or was given up, one event of it, or what was made before a time. The endpoint never
gets it; other endpoints do. What is being sent at that moment stays.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			which := db.Which{}
			if len(args) == 2 {
				which.EventID = args[1]
			}
			if before != "" {
				var err error
				if which.Before, err = timeOrAge(before, time.Now()); err != nil {
					return err
				}
			}
			return f.withStore(cmd.Context(), func(store db.Store) error {
				return f.drop(cmd.Context(), store, args[0], which, asJSON)
			})
		},
	}
	drop.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	drop.Flags().StringVar(&before, "before", "", "only events made before `TIME`, such as 2026-03-01T12:00:00Z, or that are older, such as 2h")
	return drop
}

// timeOrAge reads a moment, or how long ago it was.
func timeOrAge(text string, now time.Time) (time.Time, error) {
	if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		return now.Add(-age), nil
	}
	at, err := time.Parse(time.RFC3339, strings.Replace(text, " ", "T", 1)) // as lists write it
	if err != nil || at.IsZero() {
		return time.Time{}, errors.New("--before is neither a time, such as 2026-03-01T12:00:00Z, nor an age, such as 90m or 48h")
	}
	return at, nil
}

func (f *fansEnv) drop(ctx context.Context, store db.Store, endpoint string, which db.Which, asJSON bool) error {
	if _, err := endpointsOf(ctx, store, []string{endpoint}); err != nil {
		return err
	}
	dropped, err := store.Drop(ctx, endpoint, which)
	switch {
	case err != nil:
		return err
	case which.EventID != "" && dropped == db.Dropped{}:
		return noSuchEvent(endpoint, which.EventID)
	}
	f.event("webhook.dropped", "an operator has events dropped", slog.String("endpoint", endpoint), slog.Int("waiting", dropped.Waiting),
		slog.Int("given_up", dropped.GivenUp))
	if asJSON {
		return writeJSON(f.stdout, map[string]any{"endpoint": endpoint, "waiting": dropped.Waiting, "given_up": dropped.GivenUp, "sending": dropped.Sending})
	}
	if dropped.Sending > 0 {
		fmt.Fprintf(f.stdout, "%s: %s being sent at this moment, and not dropped\n", endpoint, count(dropped.Sending, "event"))
	}
	_, err = fmt.Fprintf(f.stdout, "%s: %s dropped, never to be sent: %d that waited, %d that had been given up\n", endpoint,
		count(dropped.Waiting+dropped.GivenUp, "event"), dropped.Waiting, dropped.GivenUp)
	return err
}
