package db_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wxbridge/db"
)

func newPath(tb testing.TB) string { return filepath.Join(tb.TempDir(), "bridge.db") }

func login(openID, unionID string) db.Login {
	return db.Login{Identity: db.Identity{Provider: db.ProviderMiniProgram, AppID: "wx00000000000000aa",
		OpenID: openID, OpenAccount: "default", UnionID: unionID}}
}

func save(tb testing.TB, store db.Store, l db.Login) db.LoginResult {
	tb.Helper()
	result, err := store.SaveLogin(context.Background(), l)
	if err != nil {
		tb.Fatal(err)
	}
	return result
}

func TestREL01_PragmasOfEveryConnection(t *testing.T) {
	store := open(t, "sqlite://"+newPath(t), time.Now)
	seen := make(map[string]int)
	db.EachConn(t, store, func(name string, pragma func(string) any) {
		seen[name]++
		if timeout, _ := pragma("busy_timeout").(int64); timeout < 5000 {
			t.Errorf("%s: busy_timeout = %v, want at least 5000", name, timeout)
		}
		for setting, want := range map[string]any{
			"journal_mode":  "wal",
			"synchronous":   int64(2), // FULL
			"foreign_keys":  int64(1),
			"secure_delete": int64(1),
			"mmap_size":     int64(0), // mapped pages would count as memory of the process
		} {
			if got := pragma(setting); got != want {
				t.Errorf("%s: %s = %v, want %v", name, setting, got, want)
			}
		}
		if got := pragma("query_only"); (got == int64(1)) != (name == "reader") {
			t.Errorf("%s: query_only = %v", name, got)
		}
	})
	if seen["reader"] != 4 || seen["writer"] != 1 || seen["checkpointer"] != 1 {
		t.Errorf("saw connections %v", seen)
	}
}

func TestREL01_WritersLockBeforeTheyRead(t *testing.T) {
	path := newPath(t)
	store := open(t, "sqlite://"+path, time.Now)
	other, err := sql.Open("sqlite3", path+"?_busy_timeout=0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	db.InWriter(t, store, func(func(string) any) {
		if _, err := other.Exec("DELETE FROM revocations"); err == nil || !strings.Contains(err.Error(), "locked") {
			t.Errorf("another connection wrote inside the writer's transaction: %v", err)
		}
	})
	if _, err := db.Readers(store).Exec("DELETE FROM revocations"); err == nil {
		t.Error("a reader could write")
	}
}

func TestKEY01_FilesAreTheOwnersAlone(t *testing.T) {
	path := newPath(t)
	store := open(t, "sqlite://"+path, time.Now)
	save(t, store, login("oAlice", ""))
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o, want 600", filepath.Base(name), mode)
		}
	}
}

func TestOpenTakesTheseURLs(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("sub", 0o700); err != nil {
		t.Fatal(err)
	}
	for url, file := range map[string]string{
		"sqlite://relative.db":                         "relative.db",
		"sqlite://sub/relative.db":                     "sub/relative.db",
		"sqlite://./dotted.db":                         "dotted.db",
		"sqlite://" + dir + "/absolute.db":             "absolute.db",
		"sqlite://" + dir + "/odd 100% näme&x=1+2;.db": "odd 100% näme&x=1+2;.db",
	} {
		save(t, open(t, url, time.Now), login("oAlice", ""))
		if _, err := os.Stat(file); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestOpenRefusesTheseURLs(t *testing.T) {
	dir := t.TempDir()
	notADatabase := filepath.Join(dir, "text.db")
	if err := os.WriteFile(notADatabase, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, url, says string }{
		{"empty", "", "must start with sqlite://"},
		{"another scheme", "postgres://localhost/bridge", "must start with sqlite://"},
		{"a bare path", "/var/lib/bridge.db", "must start with sqlite://"},
		{"one slash", "sqlite:/bridge.db", "must start with sqlite://"},
		{"no path", "sqlite://", "names no file"},
		{"a folder by its slash", "sqlite://" + dir + "/", "names no file"},
		{"a folder", "sqlite://" + dir, "not a regular file"},
		{"memory", "sqlite://:memory:", "must name a file on disk"},
		{"parameters", "sqlite://bridge.db?mode=ro", "takes no parameters"},
		{"a fragment", "sqlite://bridge.db#x", "takes no parameters"},
		{"a folder that is missing", "sqlite://" + dir + "/missing/bridge.db", "no such file or directory"},
		{"a file that is no database", "sqlite://" + notADatabase, "not a database"},
	} {
		store, err := db.Open(context.Background(), row.url, time.Now)
		if err == nil {
			store.Close()
			t.Errorf("%s: %q was opened", row.name, row.url)
		} else if !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: error %q does not say %q", row.name, err, row.says)
		}
	}
}

func TestREL10_CloseMovesTheLogIntoTheDatabase(t *testing.T) {
	path := newPath(t)
	store := open(t, "sqlite://"+path, time.Now)
	save(t, store, login("oAlice", ""))
	// With another connection open, the last one's own clean-up does not happen.
	other, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var fans int
	if err := other.QueryRow("SELECT count(*) FROM fans").Scan(&fans); err != nil || fans != 1 {
		t.Fatal(err)
	}
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 {
		t.Fatalf("before: log %v, %v; want one with content", info, err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		t.Errorf("after: the log still has %d bytes", info.Size())
	}
	if content, err := os.ReadFile(path); err != nil || !bytes.Contains(content, []byte("oAlice")) {
		t.Errorf("after: the database file has no oAlice (%v)", err)
	}
}

func TestTheLogStaysShortWhileLoginsGoOn(t *testing.T) {
	path := newPath(t)
	store := open(t, "sqlite://"+path, time.Now)
	profile := bytes.Repeat([]byte("0123456789abcdef"), 16<<10) // 64 pages of 4 KiB
	const logins = 1200
	for n := range logins {
		l := login(fmt.Sprintf("o%d", n), "")
		l.Profile = &db.Profile{JSON: profile}
		save(t, store, l)
	}
	written := int64(logins * len(profile))
	file, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	// How far the checkpoints are behind depends on the disk; that they happen, and the bound, do not.
	const started, bound = 16_000 * 4096, 5*16_000*4096 + 16<<20
	if log.Size() > bound || file.Size() < started {
		t.Errorf("after %d MiB the log has %d MiB, the database %d MiB", written>>20, log.Size()>>20, file.Size()>>20)
	}
}

func TestLOG04_ErasedDataIsGoneFromTheFile(t *testing.T) {
	const marker = "ERASE-ME"
	path := newPath(t)
	store := open(t, "sqlite://"+path, time.Now)
	var erased []string
	for n := range 300 {
		l := login(fmt.Sprintf("o%d", n), "")
		if n%10 == 0 {
			l = login(fmt.Sprintf("o-%s-%d", marker, n), "u"+marker+fmt.Sprint(n))
			text := strings.Repeat(marker, 1+n*3) // from one cell to several pages
			l.Profile = &db.Profile{Nickname: marker, AvatarURL: text, JSON: []byte(text)}
			l.Identity.SessionKeySealed = []byte(marker)
		}
		result := save(t, store, l)
		if n%10 == 0 {
			erased = append(erased, result.Fan.ID)
		}
	}
	for _, id := range erased {
		if _, err := store.EraseFan(context.Background(), id, time.Now(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	vacuum(t, path)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(content, []byte(marker)); n > 0 {
		t.Errorf("the erased text is still there %d times", n)
	}
	if !bytes.Contains(content, []byte("o299")) {
		t.Error("a fan who was not erased is gone")
	}
}

func vacuum(t *testing.T, path string) {
	t.Helper()
	conn, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Exec("VACUUM"); err != nil {
		t.Fatal(err)
	}
}

func TestEveryStatementUsesAnIndex(t *testing.T) {
	store := open(t, "sqlite://"+newPath(t), time.Now)
	for name, statement := range db.Statements() {
		args := make([]any, 0, 13)
		for n := 1; strings.Contains(statement, fmt.Sprintf("?%d", n)); n++ {
			args = append(args, "x")
		}
		rows, err := db.Readers(store).Query("EXPLAIN QUERY PLAN "+statement, args...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(detail, "SCAN") && detail != "SCAN CONSTANT ROW" {
				t.Errorf("%s: %s", name, detail)
			}
		}
		rows.Close()
	}
}

func TestNothingRunsAfterClose(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	store, err := db.Open(context.Background(), "sqlite://"+newPath(t), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	save(t, store, login("oAlice", ""))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOneFailureSpoilsNothingForTheOthers(t *testing.T) {
	store := open(t, "sqlite://"+newPath(t), time.Now)
	ctx := context.Background()
	refused := errors.New("refused")
	alice := save(t, store, login("oAlice", "")).Fan
	const callers = 300
	fails := map[int]func(db.Login) error{
		0: func(l db.Login) error { return db.FailHalfway(store, l, refused) },
		1: func(l db.Login) error { return db.Panic(store, l) },
		2: func(db.Login) error { // refused by the table
			_, err := store.UpdateFan(ctx, alice.ID, func(fan *db.Fan) error {
				fan.Status = "imaginary"
				return nil
			})
			return err
		},
	}
	var all sync.WaitGroup
	for n := range callers {
		all.Go(func() {
			l := login(fmt.Sprintf("o%d", n), "")
			if fail, ok := fails[n%10]; ok {
				if err := fail(l); err == nil || errors.Is(err, db.ErrUnavailable) || n%10 == 0 && !errors.Is(err, refused) {
					t.Errorf("call %d was to fail: %v", n, err)
				}
				return
			}
			if _, err := store.SaveLogin(ctx, l); err != nil {
				t.Errorf("login %d: %v", n, err)
			}
		})
	}
	all.Wait()
	for n := range callers {
		_, _, err := store.FanByIdentity(ctx, db.ProviderMiniProgram, "wx00000000000000aa", fmt.Sprintf("o%d", n))
		if _, fails := fails[n%10]; fails != errors.Is(err, db.ErrNotFound) || !fails && err != nil {
			t.Errorf("fan %d, who fails %v: %v", n, fails, err)
		}
	}
	if fan, err := store.Fan(ctx, alice.ID); err != nil || fan != alice {
		t.Errorf("the fan nobody could change is %+v, %v", fan, err)
	}
}

func TestREL04_AFullDiskIsUnavailableUntilThereIsRoom(t *testing.T) {
	store := open(t, "sqlite://"+newPath(t), time.Now)
	fan := save(t, store, login("oAlice", "")).Fan
	limit := func(pages int64) {
		db.InWriter(t, store, func(pragma func(string) any) { pragma(fmt.Sprintf("max_page_count = %d", pages)) })
	}
	limit(1) // as many as there are
	big := login("oBig", "")
	big.Profile = &db.Profile{JSON: bytes.Repeat([]byte("x"), 1<<20)}
	for range 3 {
		if _, err := store.SaveLogin(context.Background(), big); !errors.Is(err, db.ErrUnavailable) {
			t.Fatalf("SaveLogin on a full disk: %v, want ErrUnavailable", err)
		}
	}
	if got, err := store.Fan(context.Background(), fan.ID); err != nil || got != fan {
		t.Errorf("reading on a full disk: %+v, %v", got, err)
	}
	limit(1 << 30)
	if err := store.Ping(context.Background()); err != nil {
		t.Errorf("Ping once there is room: %v", err)
	}
	if !save(t, store, big).Created {
		t.Error("a part of the failed login was stored")
	}
}

func TestREL04_AnUnavailableStoreKeepsNothingHalfDone(t *testing.T) {
	store := open(t, "sqlite://"+newPath(t), time.Now)
	if err := db.FailHalfway(store, login("oHalf", ""), db.ErrUnavailable); !errors.Is(err, db.ErrUnavailable) {
		t.Fatalf("error %v, want ErrUnavailable", err)
	}
	for range 2 { // the writer is ready for the next
		save(t, store, login("oAlice", ""))
	}
	if !save(t, store, login("oHalf", "")).Created {
		t.Error("a part of the failed login was stored")
	}
}

func TestAWaitingCallerKeepsToTheirDeadline(t *testing.T) {
	path := newPath(t)
	store := open(t, "sqlite://"+path, time.Now)
	release := lock(t, path)
	for name, call := range map[string]func(context.Context) error{
		"SaveLogin": func(ctx context.Context) error { _, err := store.SaveLogin(ctx, login("oAlice", "")); return err },
		"Ping":      store.Ping,
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		start := time.Now()
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s while another process has the lock: %v, want the deadline", name, err)
		}
		if waited := time.Since(start); waited > 2*time.Second {
			t.Errorf("%s waited %v", name, waited)
		}
		cancel()
	}
	release()
	save(t, store, login("oBob", ""))
	if err := store.Ping(context.Background()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func TestTooManyWaitingCallersAreTurnedAway(t *testing.T) {
	path := newPath(t)
	store := open(t, "sqlite://"+path, time.Now)
	release := lock(t, path)
	const callers = db.QueueSize + 200
	answers := make(chan error, callers)
	for n := range callers {
		go func() {
			_, err := store.SaveLogin(context.Background(), login(fmt.Sprintf("o%d", n), ""))
			answers <- err
		}()
	}
	// Only those who are turned away get an answer while the lock is held. One
	// caller more than the queue holds may be waiting: the writer's own.
	for range callers - db.QueueSize - 1 {
		if err := <-answers; !errors.Is(err, db.ErrUnavailable) {
			t.Fatalf("a caller too many: %v, want ErrUnavailable", err)
		}
	}
	release()
	turnedAway := 0
	for range db.QueueSize + 1 {
		switch err := <-answers; {
		case errors.Is(err, db.ErrUnavailable):
			turnedAway++
		case err != nil:
			t.Fatalf("a caller who waited: %v", err)
		}
	}
	if turnedAway > 1 {
		t.Errorf("%d callers were turned away with room in the queue", turnedAway-1)
	}
}

// lock takes the write lock as another process would.
func lock(t *testing.T, path string) (release func()) {
	t.Helper()
	other, err := sql.Open("sqlite3", path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		tx.Rollback()
		other.Close()
	}
}

func TestALockThatStaysIsUnavailable(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for five seconds")
	}
	path := newPath(t)
	store := open(t, "sqlite://"+path, time.Now)
	release := lock(t, path)
	var all sync.WaitGroup
	start := time.Now()
	for n := range 3 {
		all.Go(func() {
			if _, err := store.SaveLogin(context.Background(), login(fmt.Sprintf("o%d", n), "")); !errors.Is(err, db.ErrUnavailable) {
				t.Errorf("SaveLogin: %v, want ErrUnavailable", err)
			}
		})
	}
	all.Wait()
	if waited := time.Since(start); waited > 9*time.Second {
		t.Errorf("callers waited %v for one lock", waited)
	}
	release()
	save(t, store, login("oAlice", ""))
}
