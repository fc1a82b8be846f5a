package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"wxbridge/internal/seal"
)

var secret = []byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f")

func newBox(t testing.TB, secret []byte) *seal.Box {
	t.Helper()
	b, err := seal.New(secret)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatWasSealedOpens(t *testing.T) {
	b := newBox(t, secret)
	for name, plain := range map[string][]byte{"text": []byte("session key"), "nothing": nil, "a zero byte": {0}, "64 KiB": bytes.Repeat([]byte{7}, 64<<10)} {
		for adName, ad := range map[string][]byte{"without ad": nil, "with ad": []byte("key-1")} {
			sealed := b.Seal("p", plain, ad)
			if len(sealed) != len(plain)+seal.Overhead {
				t.Errorf("%s %s: %d bytes", name, adName, len(sealed))
			}
			got, err := b.Open("p", sealed, ad)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s %s: got %d bytes, %v", name, adName, len(got), err)
			}
			got, err = b.OpenText("p", b.SealText("p", plain, ad), ad)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s %s as text: got %d bytes, %v", name, adName, len(got), err)
			}
		}
	}
}

// known is "attack at dawn" sealed for "flow cookie" with ad "key-1", made with
// another implementation of HKDF and AES-GCM.
const known = "01a0a1a2a3a4a5a6a7a8a9aaab0198252de79b297a4d24b955eb54f461da828e3f9223f72ef7fc6760b045"

// What is stored today must open with every later version.
func TestTheFormatStaysWhatItIs(t *testing.T) {
	sealed, err := hex.DecodeString(known)
	if err != nil {
		t.Fatal(err)
	}
	got, err := newBox(t, secret).Open("flow cookie", sealed, []byte("key-1"))
	if err != nil || string(got) != "attack at dawn" {
		t.Errorf("got %q, %v", got, err)
	}
	if now := newBox(t, secret).Seal("flow cookie", []byte("attack at dawn"), []byte("key-1")); len(now) != len(sealed) || now[0] != sealed[0] {
		t.Errorf("sealing now gives version %d and %d bytes", now[0], len(now))
	}
}

func TestOnlyTheSameSecretPurposeAndADOpen(t *testing.T) {
	b := newBox(t, secret)
	other := newBox(t, append([]byte{1}, secret[1:]...))
	sealed := b.Seal("flow cookie", []byte("plain"), []byte("ad"))
	for name, open := range map[string]func() ([]byte, error){
		"another secret":                func() ([]byte, error) { return other.Open("flow cookie", sealed, []byte("ad")) },
		"another purpose":               func() ([]byte, error) { return b.Open("session key", sealed, []byte("ad")) },
		"a purpose that begins with it": func() ([]byte, error) { return b.Open("flow cookies", sealed, []byte("ad")) },
		"no purpose":                    func() ([]byte, error) { return b.Open("", sealed, []byte("ad")) },
		"another ad":                    func() ([]byte, error) { return b.Open("flow cookie", sealed, []byte("Ad")) },
		"no ad":                         func() ([]byte, error) { return b.Open("flow cookie", sealed, nil) },
		"ad moved into the purpose":     func() ([]byte, error) { return b.Open("flow cookiead", sealed, nil) },
	} {
		if got, err := open(); !errors.Is(err, seal.ErrOpen) || got != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestAnyChangedByteIsNoticed(t *testing.T) {
	b := newBox(t, secret)
	sealed := b.Seal("p", []byte("plain text"), nil)
	for i := range sealed {
		for bit := range 8 {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1 << bit
			if _, err := b.Open("p", bad, nil); !errors.Is(err, seal.ErrOpen) {
				t.Errorf("byte %d, bit %d changed: %v", i, bit, err)
			}
		}
	}
	for n := range sealed {
		if _, err := b.Open("p", sealed[:n], nil); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := b.Open("p", append(bytes.Clone(sealed), 0), nil); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("one byte longer: %v", err)
	}
}

func TestTextHasOneForm(t *testing.T) {
	b := newBox(t, secret)
	text := b.SealText("p", []byte("12"), nil) // 31 bytes: the last letter has two spare bits
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if strings.Trim(text, alphabet) != "" {
		t.Fatalf("%q cannot stand in a cookie", text)
	}
	last := strings.IndexByte(alphabet, text[len(text)-1])
	std := base64.StdEncoding.EncodeToString(b.Seal("p", bytes.Repeat([]byte("x"), 500), nil))
	for name, bad := range map[string]string{
		"empty": "", "padded": text + "=", "with spare bits": text[:len(text)-1] + string(alphabet[last+1]), "with a line end": text[:9] + "\r\n" + text[9:],
		"with a line end at the end": text + "\n", "with a space": " " + text, "not base64": "!!!!", "standard base64": std, "cut short": text[:len(text)-4],
	} {
		if _, err := b.OpenText("p", bad, nil); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSealingTwiceGivesDifferentBytes(t *testing.T) {
	b := newBox(t, secret)
	seen := map[string]bool{}
	for range 10_000 {
		nonce := string(b.Seal("p", nil, nil)[1:13])
		if seen[nonce] {
			t.Fatal("a nonce came twice")
		}
		seen[nonce] = true
	}
}

func TestShortSecretsAreRefused(t *testing.T) {
	for _, n := range []int{0, 1, 31} {
		if _, err := seal.New(make([]byte, n)); err == nil {
			t.Errorf("%d bytes: accepted", n)
		}
	}
	if _, err := seal.New(make([]byte, 64)); err != nil {
		t.Errorf("64 bytes: %v", err)
	}
}

func TestTheSecretMayBeWipedAfterNew(t *testing.T) {
	s := bytes.Clone(secret)
	b := newBox(t, s)
	clear(s)
	if _, err := newBox(t, secret).Open("p", b.Seal("p", []byte("x"), nil), nil); err != nil {
		t.Error(err)
	}
}

func TestABoxPrintsNothingOfItsSecret(t *testing.T) {
	b := newBox(t, secret)
	b.Seal("p", nil, nil)
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		fmt.Fprintf(&out, verb, b)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("box", "b", b)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("box", "b", b)
	if got := strings.Count(out.String(), "seal.Box"); got != 8 || len(out.String()) > 400 {
		t.Errorf("got %q", out.String())
	}
}

func TestABoxServesManyAtOnce(t *testing.T) {
	b := newBox(t, secret)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			purpose := fmt.Sprint("purpose-", g%3)
			for range 200 {
				if got, err := b.OpenText(purpose, b.SealText(purpose, []byte(purpose), nil), nil); err != nil || string(got) != purpose {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

// No text but one that was sealed opens, and no text makes it panic.
func FuzzOpenText(f *testing.F) {
	b := newBox(f, secret)
	// The same in every worker process, which freshly sealed text would not be.
	sealed, err := hex.DecodeString(known)
	if err != nil {
		f.Fatal(err)
	}
	good := base64.RawURLEncoding.EncodeToString(sealed)
	for _, seed := range []string{good, "", "AQ", good + "=", good[1:], strings.ToLower(good), "\n" + good} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		plain, err := b.OpenText("flow cookie", text, []byte("key-1"))
		if text == good {
			if err != nil || string(plain) != "attack at dawn" {
				t.Fatalf("the sealed text gave %q, %v", plain, err)
			}
			return
		}
		if !errors.Is(err, seal.ErrOpen) || plain != nil {
			t.Fatalf("%q gave %q, %v", text, plain, err)
		}
	})
}

func BenchmarkSealText(b *testing.B) {
	box := newBox(b, secret)
	plain := bytes.Repeat([]byte{7}, 200)
	b.ReportAllocs()
	for b.Loop() {
		box.SealText("flow cookie", plain, nil)
	}
}
