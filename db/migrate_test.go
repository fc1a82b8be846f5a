package db_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/db"
)

func TestREL05_ANewerSchemaIsRefusedAndLeftAlone(t *testing.T) {
	path := newPath(t)
	if err := open(t, "sqlite://"+path, time.Now).Close(); err != nil {
		t.Fatal(err)
	}
	change(t, path, `INSERT INTO schema_migrations VALUES (1000, '1000_future.sql', 'x', 0)`)
	before := read(t, path)
	_, err := db.Open(context.Background(), "sqlite://"+path, time.Now)
	if !errors.Is(err, db.ErrNewerSchema) {
		t.Fatalf("Open: %v, want ErrNewerSchema", err)
	}
	for _, says := range []string{path, "1000_future.sql", "newer version"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("error %q does not say %q", err, says)
		}
	}
	if read(t, path) != before {
		t.Error("the file was changed")
	}
}

func TestREL05_AChangedMigrationIsRefused(t *testing.T) {
	path := newPath(t)
	if err := open(t, "sqlite://"+path, time.Now).Close(); err != nil {
		t.Fatal(err)
	}
	change(t, path, `UPDATE schema_migrations SET checksum = 'other' WHERE version = 1`)
	store, err := db.Open(context.Background(), "sqlite://"+path, time.Now)
	if err == nil {
		store.Close()
		t.Fatal("opened")
	}
	if !strings.Contains(err.Error(), "different 0001_init.sql") {
		t.Errorf("error %q does not name the migration", err)
	}
}

func TestREL05_OpeningAgainKeepsWhatIsThere(t *testing.T) {
	path := newPath(t)
	for n := range 3 {
		store := open(t, "sqlite://"+path, time.Now)
		if result := save(t, store, login("oAlice", "")); result.Created != (n == 0) {
			t.Errorf("start %d: created %v", n, result.Created)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestREL05_StoresOpenedAtOnceMigrateOnce(t *testing.T) {
	for range 5 {
		path := newPath(t)
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				store, err := db.Open(context.Background(), "sqlite://"+path, time.Now)
				if err != nil {
					t.Error(err)
					return
				}
				if err := store.Ping(context.Background()); err != nil {
					t.Error(err)
				}
				store.Close()
			})
		}
		all.Wait()
		conn, err := sql.Open("sqlite3", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var steps, highest int
		if err := conn.QueryRow(`SELECT count(*), max(version) FROM schema_migrations`).Scan(&steps, &highest); err != nil {
			t.Fatal(err)
		}
		if files, _ := os.ReadDir("migrations"); steps != len(files) || highest != len(files) {
			t.Errorf("%d steps up to %d recorded, want %d", steps, highest, len(files))
		}
	}
}

func change(t *testing.T, path, statement string) {
	t.Helper()
	conn, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
