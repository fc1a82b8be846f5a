package db

import (
	"crypto/sha256"
	"database/sql/driver"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one step of the schema: a file NNNN_name.sql, numbered from 1
// without gaps, never changed once released.
type migration struct {
	version  int64
	name     string
	text     string
	checksum string
}

const createMigrations = `CREATE TABLE IF NOT EXISTS schema_migrations (
  version    INTEGER NOT NULL PRIMARY KEY,
  name       TEXT    NOT NULL,
  checksum   TEXT    NOT NULL, -- SHA-256 of the file, hex
  applied_at INTEGER NOT NULL
) STRICT`

// migrate brings the schema up to date. Every step is one transaction that
// takes the write lock before it looks, so processes that start together do
// each step once.
func migrate(conn *sqlite3.SQLiteConn, now func() time.Time) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	for done := false; !done; {
		err := inTransaction(conn, func() (err error) {
			done, err = migrateOnce(conn, steps, now)
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
	}
	return nil
}

// migrateOnce applies the first step that is missing.
func migrateOnce(conn *sqlite3.SQLiteConn, steps []migration, now func() time.Time) (done bool, err error) {
	if _, err := conn.Exec(createMigrations, nil); err != nil {
		return false, storeError(err)
	}
	applied, err := appliedMigrations(conn)
	if err != nil {
		return false, err
	}
	if err := checkApplied(applied, steps); err != nil {
		return false, err
	}
	if len(applied) == len(steps) {
		return true, nil
	}
	next := steps[len(applied)]
	if _, err := conn.Exec(next.text, nil); err != nil {
		return false, fmt.Errorf("%s: %w", next.name, storeError(err))
	}
	_, err = conn.Exec(`INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)`,
		[]driver.Value{next.version, next.name, next.checksum, millis(now())})
	return false, storeError(err)
}

// checkApplied compares what the database has seen with what this program knows.
func checkApplied(applied, steps []migration) error {
	for i, seen := range applied {
		switch {
		case i >= len(steps):
			return fmt.Errorf("%w: it is at version %d (%s), this program knows %d; run the newer version again",
				ErrNewerSchema, applied[len(applied)-1].version, applied[len(applied)-1].name, len(steps))
		case seen.version != steps[i].version || seen.checksum != steps[i].checksum:
			return fmt.Errorf("schema version %d (%s) was made by a different %s than the one in this program",
				seen.version, seen.name, steps[i].name)
		}
	}
	return nil
}

func appliedMigrations(conn *sqlite3.SQLiteConn) ([]migration, error) {
	stmt, err := prepare(conn, `SELECT version, name, checksum FROM schema_migrations ORDER BY version`)
	if err != nil {
		return nil, storeError(err)
	}
	defer stmt.close()
	var applied []migration
	err = stmt.query(func(r scanner) error {
		var m migration
		err := r.Scan(&m.version, &m.name, &m.checksum)
		applied = append(applied, m)
		return err
	})
	return applied, err
}

func inTransaction(conn *sqlite3.SQLiteConn, do func() error) error {
	if _, err := conn.Exec("BEGIN IMMEDIATE", nil); err != nil {
		return storeError(err)
	}
	err := do()
	if err == nil {
		_, err = conn.Exec("COMMIT", nil)
		err = storeError(err)
	}
	if err != nil && !conn.AutoCommit() {
		_, undo := conn.Exec("ROLLBACK", nil)
		err = errors.Join(err, undo)
	}
	return err
}

func migrations() ([]migration, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	steps := make([]migration, len(names))
	for i, name := range names {
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		number, _, _ := strings.Cut(path.Base(name), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil || version != int64(i+1) {
			return nil, fmt.Errorf("migration %s is out of order", name)
		}
		sum := sha256.Sum256(text)
		steps[i] = migration{version: version, name: path.Base(name), text: string(text), checksum: hex.EncodeToString(sum[:])}
	}
	return steps, nil
}
