package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"wxbridge/internal/seal"
)

func TestAPreviousSecretOpensAndNeverSeals(t *testing.T) {
	oldSecret, newSecret := bytes.Repeat([]byte("o"), 32), bytes.Repeat([]byte("n"), 32)
	old, current := newBox(t, oldSecret), newBox(t, newSecret)
	both, err := seal.New(newSecret, oldSecret)
	if err != nil {
		t.Fatal(err)
	}
	ad := []byte("key-1")
	for name, box := range map[string]*seal.Box{"the previous": old, "the current": current} {
		if got, err := both.OpenText("p", box.SealText("p", []byte("plain"), ad), ad); err != nil || string(got) != "plain" {
			t.Errorf("sealed with %s secret: got %q, %v", name, got, err)
		}
		sealed := box.Seal("p", []byte("plain"), ad)
		for what, open := range map[string]func() ([]byte, error){
			"another purpose": func() ([]byte, error) { return both.Open("q", sealed, ad) },
			"another ad":      func() ([]byte, error) { return both.Open("p", sealed, nil) },
			"a changed byte":  func() ([]byte, error) { return both.Open("p", append([]byte{1, 2}, sealed[2:]...), ad) },
		} {
			if got, err := open(); !errors.Is(err, seal.ErrOpen) || got != nil {
				t.Errorf("%s, %s: got %q, %v", name, what, got, err)
			}
		}
	}
	sealed := both.Seal("p", []byte("plain"), ad)
	if _, err := current.Open("p", sealed, ad); err != nil {
		t.Errorf("does not seal with the current secret: %v", err)
	}
	if _, err := old.Open("p", sealed, ad); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("the previous secret opens what is new: %v", err)
	}
}

func TestResealChangesOnlyWhatThePreviousSecretSealed(t *testing.T) {
	oldSecret, newSecret := bytes.Repeat([]byte("o"), 32), bytes.Repeat([]byte("n"), 32)
	old, current, stranger := newBox(t, oldSecret), newBox(t, newSecret), newBox(t, bytes.Repeat([]byte("s"), 32))
	both, err := seal.New(newSecret, oldSecret)
	if err != nil {
		t.Fatal(err)
	}
	ad := []byte("ad")
	fresh, changed, err := both.Reseal("p", old.Seal("p", []byte("plain"), ad), ad)
	if err != nil || !changed {
		t.Fatalf("got %v, %v", changed, err)
	}
	if got, err := current.Open("p", fresh, ad); err != nil || string(got) != "plain" {
		t.Errorf("resealed: %q, %v", got, err)
	}
	again, changed, err := both.Reseal("p", fresh, ad)
	if err != nil || changed || !bytes.Equal(again, fresh) {
		t.Errorf("a second time: changed %v, %v", changed, err)
	}
	for name, sealed := range map[string][]byte{"a stranger's": stranger.Seal("p", nil, ad), "nothing": nil, "another purpose's": old.Seal("q", nil, ad)} {
		if _, changed, err := both.Reseal("p", sealed, ad); changed || !errors.Is(err, seal.ErrOpen) {
			t.Errorf("%s: changed %v, %v", name, changed, err)
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%v %+v %#v %s", both, both, both, both)
	if out.String() != "seal.Box seal.Box seal.Box seal.Box" {
		t.Errorf("prints %s", out.String())
	}
	if _, err := seal.New(newSecret, oldSecret[:31]); err == nil {
		t.Error("a short previous secret is accepted")
	}
}
