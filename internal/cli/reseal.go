package cli

import (
	"context"
	"time"

	"wxbridge/handlers"
)

const (
	// resealEvery is how often the store is looked through while the previous secret is configured: a process that was
	// not started again yet still seals with it.
	resealEvery = time.Hour

	// resealRetry is how soon a run that failed is repeated.
	resealRetry = 10 * time.Second
)

// reseal seals with the current secret what logins have sealed with the previous one, beside everything else, until ctx
// ends. Its log line says when the previous secret is needed no more. (Signing keys were sealed again at the start.)
func (a *app) reseal(ctx context.Context) {
	for {
		wait := resealEvery
		report, err := handlers.Reseal(ctx, a.store, a.box)
		if ctx.Err() != nil {
			return
		}
		counts := []any{"event", "secret.resealed", "identities", report.Identities, "resealed", report.Resealed, "unreadable", report.Unreadable}
		switch {
		case err != nil:
			wait = resealRetry
			a.logger.Warn("sealing with the current secret is interrupted and goes on later", "error", err.Error())
		case report.Unreadable > 0:
			a.logger.Warn("everything that opens is sealed with the current secret; some values open with neither secret and are left as they are", counts...)
		default:
			a.logger.Info("everything in the store is sealed with the current secret; WXBRIDGE_SECRET_PREVIOUS can go ten minutes after "+
				"the last process that knows only the previous one has ended", counts...)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}
