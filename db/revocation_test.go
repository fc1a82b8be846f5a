package db_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"os"
	"testing"
	"time"

	"wxbridge/db"
)

// TOK-10: whoever cannot see a revocation yet issues tokens before its cut, however long the commit takes.
func TestTOK10_ACutLiesAfterItsOwnCommit(t *testing.T) {
	slow := 0
	start := time.Date(2031, 5, 6, 7, 8, 9, 900_000_000, time.UTC)
	now := func() time.Time { // each look at the clock takes more than a second, until it is quick again
		slow++
		return start.Add(time.Duration(min(slow, 20)) * 1100 * time.Millisecond)
	}
	store := open(t, "sqlite://"+newPath(t), now)
	alice, bob := save(t, store, login("oAlice", "")).Fan, save(t, store, login("oBob", "")).Fan
	until := start.Add(time.Hour)
	for name, revoke := range map[string]func() (db.Revoked, error){
		"RevokeFan": func() (db.Revoked, error) { return store.RevokeFan(t.Context(), alice.ID, until) },
		"SetAccess": func() (db.Revoked, error) {
			change, err := store.SetAccess(t.Context(), bob.ID, db.Access{Status: db.StatusBlocked}, until)
			return change.Revoked, err
		},
	} {
		slow = 0
		revoked, err := revoke()
		if err != nil {
			t.Fatal(err)
		}
		if returned := now(); slow < 20 || !returned.Before(revoked.Before) {
			t.Errorf("%s returns at %v with the cut %v", name, returned, revoked.Before)
		}
	}
}

// What a database of schema version 1 has revoked is followed after the migration.
func TestREL05_RevocationsOfTheFirstSchemaAreFollowed(t *testing.T) {
	path := newPath(t)
	first, err := os.ReadFile("migrations/0001_init.sql")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(first)
	conn, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour).UnixMilli()
	for _, statement := range []string{
		string(first),
		`CREATE TABLE schema_migrations (version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT`,
		`INSERT INTO schema_migrations VALUES (1, '0001_init.sql', '` + hex.EncodeToString(sum[:]) + `', 0)`,
	} {
		if _, err := conn.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, sid := range []string{"c", "a", "b"} {
		if _, err := conn.Exec(`INSERT INTO revocations VALUES ('sid', ?1, 0, ?2)`, sid, later); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()

	store := open(t, "sqlite://"+path, time.Now)
	ctx := context.Background()
	found, mark, err := store.RevocationsAfter(ctx, 0)
	if err != nil || len(found) != 3 {
		t.Fatalf("%d of 3 are followed (%v)", len(found), err)
	}
	if err := store.AddRevocation(ctx, db.Revocation{Kind: db.RevokedSession, Value: "d", ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	found, _, err = store.RevocationsAfter(ctx, mark)
	if err != nil || len(found) != 1 || found[0].Value != "d" {
		t.Errorf("after them: %v (%v)", found, err)
	}
}

// Two stores on one file: what one adds, the other reads next.
func TestTOK10_AnotherProcessFollows(t *testing.T) {
	path := newPath(t)
	one, two := open(t, "sqlite://"+path, time.Now), open(t, "sqlite://"+path, time.Now)
	ctx := context.Background()
	_, mark, err := two.RevocationsAfter(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	alice := save(t, one, login("oAlice", "")).Fan
	revoked, err := one.RevokeFan(ctx, alice.ID, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	added, _, err := two.RevocationsAfter(ctx, mark)
	if err != nil || len(added) != 1 || added[0].Value != alice.ID || !added[0].Before.Equal(revoked.Before) {
		t.Errorf("the other process reads %+v (%v)", added, err)
	}
	if yes, err := two.Revoked(ctx, "sid", alice.ID, revoked.Before.Add(-time.Second)); !yes || err != nil {
		t.Errorf("the other process is told %v (%v)", yes, err)
	}
}
