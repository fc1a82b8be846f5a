package keyring_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/internal/keyring"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
)

// rotatingPath, when set, makes this test binary a process that does nothing but rotate.
const rotatingPath = "WXBRIDGE_TEST_ROTATING"

// rotateForEver rotates in every way there is, on a clock that runs fast, and prints the key that signs after each step.
func rotateForEver(path string) int {
	began := time.Now()
	start := began
	if last, err := os.ReadFile(path + ".clock"); err == nil && start.UnmarshalText(last) == nil {
		start = start.Add(time.Hour) // a rotation by age is due, and old keys have expired
	}
	now := func() time.Time { return start.Add(time.Since(began) * 1000) }
	store, err := db.Open(ctx, "sqlite://"+path, now)
	if err != nil {
		return 1
	}
	box, err := seal.New([]byte(strings.Repeat("a", 32)))
	if err != nil {
		return 1
	}
	o := keyring.Options{MaxAge: time.Hour, TokenTTL: 10 * time.Minute, JWKSMaxAge: 10 * time.Minute, Now: now, Alg: jwtauth.ES256}
	ring, err := keyring.Open(ctx, store, box, o)
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	for n := 0; ; n++ {
		switch n % 7 {
		case 2:
			_, err = keyring.Rotate(ctx, store, box, o)
		case 5:
			_, err = keyring.RotateCompromised(ctx, store, box, o)
		default:
			err = ring.Look(ctx)
		}
		if err == nil {
			err = ring.Look(ctx)
		}
		if err != nil && !errors.Is(err, keyring.ErrNextPublished) {
			fmt.Println("error", err)
			return 1
		}
		text, _ := now().MarshalText()
		fmt.Printf("%s %s\n", ring.Keys().Signing().ID(), text)
	}
}

// A process that is killed at any moment of a rotation leaves keys that work: the next start has the key that was last
// said to sign, unless a later step had replaced it, and everything opens.
func TestKEY04_AKillInTheMiddleOfARotationLeavesAUsableKeySet(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	path := filepath.Join(t.TempDir(), "bridge.db")
	steps := 0
	for round := range times(40, 1000) {
		child := exec.Command(self)
		child.Env = append(os.Environ(), rotatingPath+"="+path)
		out, err := child.StdoutPipe()
		must(t, err)
		must(t, child.Start())
		lines, last := bufio.NewScanner(out), ""
		var kill *time.Timer
		for lines.Scan() {
			if last == "" {
				kill = time.AfterFunc(time.Duration(rand.IntN(40_000))*time.Microsecond, func() { _ = child.Process.Kill() })
			}
			last = lines.Text()
			steps++
		}
		_ = child.Wait()
		if kill != nil {
			kill.Stop()
		}
		kid, at, _ := strings.Cut(last, " ")
		if kid == "" || kid == "error" {
			t.Fatalf("round %d: the process said %q", round, last)
		}
		var now time.Time
		must(t, now.UnmarshalText([]byte(at)))
		must(t, os.WriteFile(path+".clock", []byte(at), 0o600)) // where the next one goes on

		store := openStore(t, path)
		rows, err := store.Keys(ctx)
		must(t, err)
		entries := keyring.Schedule(rows, now)
		keys, err := keyring.Load(ctx, store, newBox(t, "a"), func() time.Time { return now })
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		known := false
		for _, e := range entries {
			known = known || e.ID == kid
			if _, err := keys.Key(ctx, e.ID); err != nil && e.Phase != keyring.Compromised && e.Phase != keyring.Expired {
				t.Errorf("round %d: %s, which is %s, does not verify: %v", round, e.ID, e.Phase, err)
			}
		}
		if keys.Signing().ID() == "" || !known {
			t.Errorf("round %d: %s signed last and is gone: %v", round, kid, entries)
		}
		ring, err := keyring.Open(ctx, store, newBox(t, "a"), keyring.Options{MaxAge: time.Hour, Now: func() time.Time { return now }})
		must(t, err)
		must(t, ring.Look(ctx))
		must(t, store.Close())
	}
	t.Logf("%d steps", steps)
}

func times(n, inSoak int) int {
	if os.Getenv("WXBRIDGE_TEST_SOAK") == "1" {
		return inSoak
	}
	return n
}
