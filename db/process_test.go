package db_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"wxbridge/db"
)

// The tests of this file start the test binary again as another process, whose
// part WXBRIDGE_TEST_CHILD names.

func TestMain(m *testing.M) {
	part, path, _ := strings.Cut(os.Getenv("WXBRIDGE_TEST_CHILD"), ":")
	play, ok := map[string]func(db.Store) error{
		"logins":   loginsWithoutEnd,
		"firstkey": addFirstKey,
		"fulldisk": fillTheDisk,
	}[part]
	if !ok {
		os.Exit(m.Run())
	}
	store, err := db.Open(context.Background(), "sqlite://"+path, time.Now)
	if err == nil {
		err = errors.Join(play(store), store.Close())
	}
	if err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
}

func child(t *testing.T, part, path string) (cmd *exec.Cmd, stdout *bufio.Scanner) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "WXBRIDGE_TEST_CHILD="+part+":"+path)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, bufio.NewScanner(pipe)
}

func soak() bool { return os.Getenv("WXBRIDGE_TEST_SOAK") == "1" }

// TestREL03_NothingAnsweredIsLostByKill kills a process in the middle of
// thousands of logins, again and again.
func TestREL03_NothingAnsweredIsLostByKill(t *testing.T) {
	if !soak() {
		killAgainAndAgain(t, 5, 3_000)
		return
	}
	for range 10 {
		killAgainAndAgain(t, 20, 20_000) // enough for several checkpoints
	}
}

// killAgainAndAgain uses one database for all kills, each after at most so many
// answers.
func killAgainAndAgain(t *testing.T, kills, most int) {
	path := newPath(t)
	answered := make(map[string]string) // fan by openid
	for range kills {
		cmd, lines := child(t, "logins", path)
		before, moment := len(answered), rand.IntN(most)
		for lines.Scan() {
			openID, fanID, ok := strings.Cut(lines.Text(), " ")
			if !ok {
				t.Fatalf("child says %q", lines.Text())
			}
			answered[openID] = fanID
			if len(answered) == before+moment+1 {
				cmd.Process.Kill() // what it has written still comes
			}
		}
		cmd.Wait()
		if len(answered) <= before {
			t.Fatal("child answered nothing")
		}
		checkAll(t, path, answered)
	}
	t.Logf("%d kills, %d logins answered", kills, len(answered))

	store := open(t, "sqlite://"+path, time.Now)
	checked := 0
	for openID, fanID := range answered {
		if result := save(t, store, login(openID, "u"+openID)); result.Created || result.Fan.ID != fanID {
			t.Errorf("%s, who was %s, comes back as %+v", openID, fanID, result)
		}
		if checked++; checked == 1000 {
			break
		}
	}
}

// loginsWithoutEnd prints each login once it has been answered.
func loginsWithoutEnd(store db.Store) error {
	run := rand.Uint64()
	failed := make(chan error)
	for caller := range 32 {
		go func() {
			for n := 0; ; n++ {
				openID := fmt.Sprintf("o%08x-%x-%d-%d", rand.Uint32(), run, caller, n)
				l := login(openID, "u"+openID)
				l.Profile = &db.Profile{Nickname: openID}
				result, err := store.SaveLogin(context.Background(), l)
				if err != nil {
					failed <- err
					return
				}
				fmt.Fprintf(os.Stdout, "%s %s\n", openID, result.Fan.ID) // one write, at once
			}
		}()
	}
	return <-failed
}

// checkAll reads what a killed process has left.
func checkAll(t *testing.T, path string, answered map[string]string) {
	t.Helper()
	conn, err := sql.Open("sqlite3", "file:"+path+"?_foreign_keys=on&_query_only=on")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, pragma := range []string{"integrity_check", "foreign_key_check"} {
		var verdict string
		err := conn.QueryRow("PRAGMA " + pragma).Scan(&verdict)
		if verdict != "ok" && !errors.Is(err, sql.ErrNoRows) {
			t.Fatalf("%s: %s, %v", pragma, verdict, err)
		}
	}
	rows, err := conn.Query(`SELECT openid, fan_id FROM identities JOIN fans ON id = fan_id AND nickname = openid`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	stored := make(map[string]string)
	for rows.Next() {
		var openID, fanID string
		if err := rows.Scan(&openID, &fanID); err != nil {
			t.Fatal(err)
		}
		stored[openID] = fanID
	}
	for openID, fanID := range answered {
		if stored[openID] != fanID {
			t.Errorf("login of %s as %s was answered, but the store has %q", openID, fanID, stored[openID])
		}
	}
}

func TestKEY06_ProcessesStartedAtOnceAgreeOnTheFirstKey(t *testing.T) {
	for range 20 {
		path := newPath(t)
		ids := make([]string, 5)
		var all sync.WaitGroup
		for i := range ids {
			cmd, lines := child(t, "firstkey", path)
			all.Go(func() {
				for lines.Scan() {
					ids[i] = lines.Text()
				}
				if err := cmd.Wait(); err != nil {
					t.Errorf("child: %v: %s", err, ids[i])
				}
			})
		}
		all.Wait()
		for _, id := range ids {
			if id != ids[0] || id == "" {
				t.Fatalf("first keys: %v", ids)
			}
		}
		keys, err := open(t, "sqlite://"+path, time.Now).Keys(context.Background())
		if err != nil || len(keys) != 1 || keys[0].ID != ids[0] {
			t.Fatalf("stored: %+v, %v", keys, err)
		}
	}
}

func addFirstKey(store db.Store) error {
	key, err := firstKey(store, db.KeyRow{ID: fmt.Sprintf("kid-%d", os.Getpid()), Alg: "ES256",
		Sealed: []byte("sealed"), CreatedAt: time.Now(), ActiveAt: time.Now()})
	fmt.Println(key.ID)
	return err
}

// firstKey stores the key if there is none yet, and returns the first there is.
func firstKey(store db.Store, key db.KeyRow) (db.KeyRow, error) {
	keys, err := store.ChangeKeys(context.Background(), func(rows []db.KeyRow) ([]db.KeyRow, error) {
		if len(rows) == 0 {
			rows = []db.KeyRow{key}
		}
		return rows, nil
	})
	if err != nil {
		return db.KeyRow{}, err
	}
	return keys[0], nil
}

func TestKEY06_AKillDuringTheFirstStartLeavesAStoreThatStarts(t *testing.T) {
	for range 100 {
		path := newPath(t)
		cmd, lines := child(t, "firstkey", path)
		// From before its first step to after its last.
		timer := time.AfterFunc(time.Duration(rand.IntN(20_000))*time.Microsecond, func() { cmd.Process.Kill() })
		printed := ""
		for lines.Scan() {
			printed = lines.Text()
		}
		cmd.Wait()
		timer.Stop()
		store := open(t, "sqlite://"+path, time.Now)
		key, err := firstKey(store, db.KeyRow{ID: "mine", Alg: "ES256", Sealed: []byte("sealed"),
			CreatedAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if printed != "" && key.ID != printed {
			t.Errorf("the first start answered key %s, the next has %s", printed, key.ID)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestREL04_AFailingDiskIsUnavailableUntilItWritesAgain(t *testing.T) {
	cmd, lines := child(t, "fulldisk", newPath(t))
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("child: %v: %q", err, said)
	}
}

// fillTheDisk lets no file grow, which fails a commit as a full disk does, and
// then takes the limit away.
func fillTheDisk(store db.Store) error {
	ctx := context.Background()
	if _, err := store.SaveLogin(ctx, login("oBefore", "")); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	none := limit
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &none); err != nil {
		return err
	}
	var all sync.WaitGroup
	answers := make([]error, 50)
	for n := range answers {
		all.Go(func() { _, answers[n] = store.SaveLogin(ctx, login(fmt.Sprintf("o%d", n), "")) })
	}
	all.Wait()
	for _, err := range answers {
		if !errors.Is(err, db.ErrUnavailable) {
			return fmt.Errorf("SaveLogin without a byte of room: %w", err)
		}
	}
	if err := store.Ping(ctx); !errors.Is(err, db.ErrUnavailable) {
		return fmt.Errorf("Ping without a byte of room: %w", err)
	}
	if _, _, err := store.FanByIdentity(ctx, db.ProviderMiniProgram, "wx00000000000000aa", "oBefore"); err != nil {
		return fmt.Errorf("reading without a byte of room: %w", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if err := store.Ping(ctx); err != nil {
		return fmt.Errorf("Ping once there is room: %w", err)
	}
	for n := range answers {
		result, err := store.SaveLogin(ctx, login(fmt.Sprintf("o%d", n), ""))
		if err != nil || !result.Created {
			return fmt.Errorf("login once there is room: %+v, %w", result, err)
		}
	}
	return nil
}

func TestREL02_ManyCallersForLong(t *testing.T) {
	const callers = 200
	long := 2 * time.Second
	if soak() {
		long = time.Minute
	}
	store := open(t, "sqlite://"+newPath(t), time.Now)
	ctx := context.Background()
	end := time.Now().Add(long)
	logins := make([]int, callers)
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for time.Now().Before(end) {
				l := login(fmt.Sprintf("o%d-%d", caller, logins[caller]), "")
				result, err := store.SaveLogin(ctx, l)
				if err != nil {
					t.Errorf("SaveLogin: %v", err)
					return
				}
				logins[caller]++
				fan, _, err := store.FanByIdentity(ctx, l.Identity.Provider, l.Identity.AppID, l.Identity.OpenID)
				if err != nil || fan.ID != result.Fan.ID {
					t.Errorf("read after its login was answered: %+v, %v", fan, err)
					return
				}
			}
		})
	}
	all.Wait()
	total := 0
	for caller, n := range logins {
		total += n
		for i := range n {
			if result := save(t, store, login(fmt.Sprintf("o%d-%d", caller, i), "")); result.Created {
				t.Fatalf("login %d of caller %d is lost", i, caller)
			}
			if !soak() {
				break // one each
			}
		}
	}
	t.Logf("%d logins by %d callers in %v", total, callers, long)
}
