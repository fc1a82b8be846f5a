package wechat_test

import (
	"errors"
	"testing"

	"wxbridge/wechat"
)

// dialect is that of a server whose 40029 means something else.
func dialect(base string) wechat.Dialect {
	return wechat.Dialect{
		Name: "other", BaseURL: base,
		Meaning: func(string, int) error { return wechat.ErrForbidden },
		Explain: func(e *wechat.Error) (string, string, bool) { return "because", "do " + e.Op, true },
	}
}

func TestRemote_CodesHaveTheMeaningsOfItsDialect(t *testing.T) {
	up := startUpstream(t, answers(`{"errcode":40029,"errmsg":"no `+code+` here, hint: [1]"}`))
	api := up.api(t)
	api.BaseURL = nil
	remote, err := wechat.NewRemote(api, dialect(up.URL.String()))
	if err != nil {
		t.Fatal(err)
	}
	request := wechat.Request{Op: "a/b", Query: "x=" + code, Body: map[string]string{"y": "&"}, Private: []string{code}}
	_, err = remote.Do(t.Context(), request)
	wantOnly(t, err, wechat.ErrForbidden)
	e, _ := errors.AsType[*wechat.Error](err)
	if cause, fix, ok := e.Explain(); !ok || cause != "because" || fix != "do a/b" {
		t.Error(cause, fix, ok)
	}
	if want := "other: a/b: errcode 40029: no [redacted] here, hint: [1]"; e.Error() != want || e.Hint != "" {
		t.Errorf("got %q", e)
	}
	own := remote.Fail(request, wechat.ErrBusy, "about "+code)
	wantOnly(t, own, wechat.ErrBusy)
	if want := "other: a/b: about [redacted]"; own.Error() != want {
		t.Errorf("got %q", own)
	}
}

func TestRemote_ReadsFields(t *testing.T) {
	up := startUpstream(t, answers(`{"text":"a","n":"7","list":[1,"2"],"mixed":[1,"x"]}`))
	remote, err := wechat.NewRemote(up.api(t), dialect("https://example.com"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := remote.Do(t.Context(), wechat.Request{Op: "a/b"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := a.Text("text")
	n, ok := a.Int("n")
	list, listErr := a.Ints("list")
	if err != nil || text != "a" || !ok || n != 7 || listErr != nil || len(list) != 2 || list[1] != 2 {
		t.Error(text, n, list, err, listErr)
	}
	if none, err := a.Ints("none"); err != nil || len(none) != 0 {
		t.Error(none, err)
	}
	for _, name := range []string{"mixed", "text"} {
		if list, err := a.Ints(name); err == nil {
			t.Error(name, list)
		}
	}
}

func TestNewRemote_RefusesWhatCannotWork(t *testing.T) {
	for name, change := range map[string]func(*wechat.Dialect){
		"no name":      func(d *wechat.Dialect) { d.Name = "" },
		"no base URL":  func(d *wechat.Dialect) { d.BaseURL = "" },
		"no meanings":  func(d *wechat.Dialect) { d.Meaning = nil },
		"nothing said": func(d *wechat.Dialect) { d.Explain = nil },
	} {
		d := dialect("https://example.com")
		change(&d)
		if r, err := wechat.NewRemote(&wechat.API{}, d); err == nil || r != nil {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	if r, err := wechat.NewRemote(nil, dialect("https://example.com")); err == nil || r != nil {
		t.Errorf("no API: %v, %v", r, err)
	}
}
