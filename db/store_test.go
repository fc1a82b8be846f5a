package db_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/db/dbtest"
)

func TestSQLite(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, now func() time.Time) db.Store {
		return open(t, "sqlite://"+filepath.Join(t.TempDir(), "bridge.db"), now)
	})
}

func open(tb testing.TB, url string, now func() time.Time) db.Store {
	tb.Helper()
	store, err := db.Open(context.Background(), url, now)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
	})
	return store
}
