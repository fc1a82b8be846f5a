package keyring_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/internal/keyring"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
)

var (
	ctx  = context.Background()
	noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

func atNoon() time.Time { return noon }

func newBox(t *testing.T, letter string) *seal.Box {
	t.Helper()
	b, err := seal.New([]byte(strings.Repeat(letter, 32)))
	must(t, err)
	return b
}

// openKeys is a start with default settings.
func openKeys(store db.KeyStore, box *seal.Box, now func() time.Time) (*jwtauth.KeySet, error) {
	ring, err := keyring.Open(ctx, store, box, keyring.Options{Now: now})
	if err != nil {
		return nil, err
	}
	return ring.Keys(), nil
}

// put stores rows as they are.
func put(t *testing.T, store db.KeyStore, rows ...db.KeyRow) {
	t.Helper()
	_, err := store.ChangeKeys(ctx, func([]db.KeyRow) ([]db.KeyRow, error) { return rows, nil })
	must(t, err)
}

func openStore(t *testing.T, path string) db.Store {
	t.Helper()
	s, err := db.Open(ctx, "sqlite://"+path, atNoon)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newStore(t *testing.T) db.Store {
	return openStore(t, filepath.Join(t.TempDir(), "bridge.db"))
}

func TestTheFirstStartMakesAKeyAndLaterStartsKeepIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bridge.db")
	store := openStore(t, path)
	first, err := openKeys(store, newBox(t, "a"), atNoon)
	must(t, err)
	must(t, store.Close())

	again, err := openKeys(openStore(t, path), newBox(t, "a"), atNoon)
	must(t, err)
	if again.Signing().ID() != first.Signing().ID() || !bytes.Equal(again.JWKS(), first.JWKS()) {
		t.Errorf("got %v, want %v", again.Signing(), first.Signing())
	}
}

func TestKEY01_TheDatabaseHoldsNoPrivateKey(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, filepath.Join(dir, "bridge.db"))
	keys, err := openKeys(store, newBox(t, "a"), atNoon)
	must(t, err)
	pkcs8, err := keys.Signing().MarshalPrivate()
	must(t, err)
	private := privateScalar(t, keys.Signing())
	must(t, store.Close())

	files, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	if len(files) == 0 {
		t.Fatal("no database file")
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		must(t, err)
		if !bytes.Contains(content, []byte(keys.Signing().ID())) {
			t.Errorf("%s does not even hold the key's id: the search below proves nothing", filepath.Base(file))
		}
		for name, form := range map[string][]byte{
			"PKCS #8": pkcs8, "its algorithm header": pkcs8[:27], "the scalar": private, "the scalar in hex": []byte(hex.EncodeToString(private)),
			"the JWK member d": []byte(base64.RawURLEncoding.EncodeToString(private)), "a JWK with d": []byte(`"d":`), "PEM": []byte("PRIVATE KEY"),
			"base64 of PKCS #8": []byte(base64.StdEncoding.EncodeToString(pkcs8)[:40]),
		} {
			if bytes.Contains(content, form) {
				t.Errorf("%s holds %s", filepath.Base(file), name)
			}
		}
		info, err := os.Stat(file)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", filepath.Base(file), info.Mode())
		}
	}
}

func TestKEY01_AnotherSecretStopsTheStartAndReplacesNothing(t *testing.T) {
	store := newStore(t)
	_, err := openKeys(store, newBox(t, "a"), atNoon)
	must(t, err)
	before, err := store.Keys(ctx)
	must(t, err)

	_, err = openKeys(store, newBox(t, "b"), atNoon)
	if !errors.Is(err, keyring.ErrWrongSecret) {
		t.Fatalf("got %v, want ErrWrongSecret", err)
	}
	if line := err.Error(); !strings.Contains(line, "WXBRIDGE_SECRET") || !strings.Contains(line, before[0].ID) || strings.Contains(line, "\n") {
		t.Errorf("not one clear line: %s", line)
	}
	after, err := store.Keys(ctx)
	must(t, err)
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the rows changed:\n%v\n%v", before, after)
	}
	if _, err := openKeys(store, newBox(t, "a"), atNoon); err != nil {
		t.Errorf("the right secret afterwards: %v", err)
	}
}

func TestKEY06_FiveAtOnceEndWithOneKey(t *testing.T) {
	for round := range 20 {
		path := filepath.Join(t.TempDir(), "bridge.db")
		var wg sync.WaitGroup
		ids := make([]string, 5)
		for i := range ids {
			wg.Go(func() {
				store, err := db.Open(ctx, "sqlite://"+path, atNoon) // a connection of its own, as another process has
				if err != nil {
					t.Errorf("round %d: %v", round, err)
					return
				}
				defer store.Close()
				keys, err := openKeys(store, newBox(t, "a"), atNoon)
				if err != nil {
					t.Errorf("round %d: %v", round, err)
					return
				}
				ids[i] = keys.Signing().ID()
			})
		}
		wg.Wait()
		rows, err := openStore(t, path).Keys(ctx)
		must(t, err)
		if len(rows) != 1 {
			t.Fatalf("round %d: %d keys in the store", round, len(rows))
		}
		for _, id := range ids {
			if id != rows[0].ID {
				t.Errorf("round %d: one signs with %q, the store has %q", round, id, rows[0].ID)
			}
		}
	}
}

// childPath, when set, makes this test binary one first start of the program.
const childPath = "WXBRIDGE_TEST_FIRST_START"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		os.Exit(firstStart(path))
	}
	if path := os.Getenv(rotatingPath); path != "" {
		os.Exit(rotateForEver(path))
	}
	os.Exit(m.Run())
}

func firstStart(path string) int {
	fmt.Println("starting")
	store, err := db.Open(ctx, "sqlite://"+path, time.Now)
	if err != nil {
		return 1
	}
	box, err := seal.New([]byte(strings.Repeat("a", 32)))
	if err != nil {
		return 1
	}
	keys, err := openKeys(store, box, time.Now)
	if err != nil {
		return 1
	}
	fmt.Println(keys.Signing().ID())
	select {} // until it is killed
}

func TestKEY06_AFirstStartKilledAtAnyMomentLeavesAStoreThatStarts(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	finished := 0
	for round := range 100 {
		path := filepath.Join(t.TempDir(), "bridge.db")
		child := exec.Command(self)
		child.Env = append(os.Environ(), childPath+"="+path)
		out, err := child.StdoutPipe()
		must(t, err)
		must(t, child.Start())
		lines := bufio.NewScanner(out)
		lines.Scan() // it has begun
		kill := time.AfterFunc(time.Duration(round)*120*time.Microsecond, func() { _ = child.Process.Kill() })
		answered := ""
		if lines.Scan() {
			answered = lines.Text()
			finished++
		}
		_ = child.Wait()
		kill.Stop()

		store := openStore(t, path)
		keys, err := openKeys(store, newBox(t, "a"), time.Now)
		if err != nil {
			t.Fatalf("round %d: the next start: %v", round, err)
		}
		if answered != "" && keys.Signing().ID() != answered {
			t.Errorf("round %d: the key %s was in use and is gone", round, answered)
		}
		must(t, store.Close())
	}
	t.Logf("%d of 100 had finished when they were killed", finished)
}

func TestKEY06_ADamagedRowFailsTheStart(t *testing.T) {
	good := newRow(t, noon)
	for name, row := range map[string]struct {
		damage func(*db.KeyRow)
		want   error
	}{
		"a changed byte":       {func(r *db.KeyRow) { r.Sealed[20] ^= 1 }, keyring.ErrWrongSecret},
		"cut short":            {func(r *db.KeyRow) { r.Sealed = r.Sealed[:30] }, keyring.ErrWrongSecret},
		"empty":                {func(r *db.KeyRow) { r.Sealed = []byte{} }, keyring.ErrWrongSecret},
		"under another id":     {func(r *db.KeyRow) { r.ID = "another" }, keyring.ErrWrongSecret},
		"with another alg":     {func(r *db.KeyRow) { r.Alg = "RS256" }, nil},
		"sealed, but no key":   {func(r *db.KeyRow) { r.Sealed = newBox(t, "a").Seal("signing key", []byte("x"), []byte(r.ID)) }, nil},
		"of another purpose":   {func(r *db.KeyRow) { r.Sealed = newBox(t, "a").Seal("flow", []byte("x"), []byte(r.ID)) }, keyring.ErrWrongSecret},
		"retired by hand":      {func(r *db.KeyRow) { r.RetiredAt = noon }, keyring.ErrWrongSecret},
		"compromised, no next": {func(r *db.KeyRow) { r.CompromisedAt, r.Sealed = noon, []byte{} }, keyring.ErrNoSigningKey},
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			bad.Sealed = bytes.Clone(good.Sealed)
			row.damage(&bad)
			store := newStore(t)
			put(t, store, bad)
			_, err := openKeys(store, newBox(t, "a"), atNoon)
			if err == nil || row.want != nil && !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			rows, err := store.Keys(ctx)
			must(t, err)
			if len(rows) != 1 || rows[0].ID != bad.ID || !bytes.Equal(rows[0].Sealed, bad.Sealed) {
				t.Errorf("the row was replaced: %+v", rows)
			}
		})
	}
}

func TestTheKeyThatBecameActiveLastSigns(t *testing.T) {
	row := func(active time.Time) db.KeyRow {
		r := newRow(t, active)
		r.TokenTTL = 72 * time.Hour
		return r
	}
	old, current, next := row(noon.Add(-48*time.Hour)), row(noon.Add(-time.Hour)), row(noon.Add(time.Hour))
	for _, c := range []struct {
		name  string
		rows  []db.KeyRow
		signs string
	}{
		{"one", []db.KeyRow{old}, old.ID},
		{"two", []db.KeyRow{old, current}, current.ID},
		{"one is not active yet", []db.KeyRow{old, current, next}, current.ID},
		{"none is active, the clock was set back", []db.KeyRow{next, row(noon.Add(2 * time.Hour))}, next.ID},
	} {
		slices.Reverse(c.rows)
		store := newStore(t)
		put(t, store, c.rows...)
		keys, err := openKeys(store, newBox(t, "a"), atNoon)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if keys.Signing().ID() != c.signs {
			t.Errorf("%s: the wrong one signs", c.name)
		}
		for _, r := range c.rows {
			if _, err := keys.Key(ctx, r.ID); err != nil {
				t.Errorf("%s: a stored key does not verify: %v", c.name, err)
			}
		}
	}
}

func TestAStoreThatFailsFailsTheStart(t *testing.T) {
	_, err := openKeys(rowsOnly{err: db.ErrUnavailable}, newBox(t, "a"), atNoon)
	if !errors.Is(err, db.ErrUnavailable) || errors.Is(err, keyring.ErrWrongSecret) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if _, err := openKeys(rowsOnly{}, newBox(t, "a"), atNoon); !errors.Is(err, errReadOnly) {
		t.Errorf("got %v, want the store's error", err)
	}
}

var errReadOnly = errors.New("read-only")

// rowsOnly is a store that has these rows and takes no others.
type rowsOnly struct {
	rows []db.KeyRow
	err  error
}

func (r rowsOnly) Keys(context.Context) ([]db.KeyRow, error) { return r.rows, r.err }
func (r rowsOnly) ChangeKeys(context.Context, func([]db.KeyRow) ([]db.KeyRow, error)) ([]db.KeyRow, error) {
	return nil, errReadOnly
}

// newRow is a row as the program itself stores it, active since then.
func newRow(t *testing.T, active time.Time) db.KeyRow {
	t.Helper()
	store := newStore(t)
	_, err := openKeys(store, newBox(t, "a"), func() time.Time { return active })
	must(t, err)
	rows, err := store.Keys(ctx)
	must(t, err)
	if len(rows) != 1 || !rows[0].ActiveAt.Equal(active) || rows[0].Alg != jwtauth.ES256 || !rows[0].RetiredAt.IsZero() {
		t.Fatalf("got rows %+v", rows)
	}
	return rows[0]
}

func privateScalar(t *testing.T, k jwtauth.Key) []byte {
	t.Helper()
	der, err := k.MarshalPrivate()
	must(t, err)
	parsed := parsePKCS8(t, der)
	b, err := parsed.Bytes()
	must(t, err)
	return b
}

func parsePKCS8(t *testing.T, der []byte) *ecdsa.PrivateKey {
	t.Helper()
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	must(t, err)
	return parsed.(*ecdsa.PrivateKey)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
