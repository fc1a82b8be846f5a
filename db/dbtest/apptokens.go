package dbtest

import (
	"fmt"
	"time"

	"wxbridge/db"
)

const appTokenLease = 10 * time.Second

var appTokenTests = []test{
	{"a key without a token has none, locked or not", func(f *fixture) {
		f.hasToken("wx1", "")
		f.locks("wx1", "a", true)
		f.hasToken("wx1", "")
	}},

	{"the holder saves, and what is saved stays", func(f *fixture) {
		f.locks("wx1", "a", true)
		f.saves("wx1", "a", "one")
		f.saves("wx1", "a", "two")
		f.unlocks("wx1", "a")
		f.hasToken("wx1", "two")
		f.hasToken("wx2", "")
		f.locks("wx1", "b", true)
		f.hasToken("wx1", "two")
	}},

	{"WX-17 a lock keeps others out, each key by itself", func(f *fixture) {
		f.locks("wx1", "a", true)
		f.locks("wx1", "b", false)
		f.locks("wx2", "b", true)
		f.saves("wx1", "b", "of somebody else")
		f.hasToken("wx1", "")
		f.unlocks("wx1", "b")
		f.locks("wx1", "c", false)
		f.locks("wx1", "a", true) // its own holder may prolong it
		f.unlocks("wx1", "a")
		f.locks("wx1", "c", true)
	}},

	{"a holder that died is outlived", func(f *fixture) {
		f.locks("wx1", "a", true)
		f.clock.advance(appTokenLease - time.Millisecond)
		f.locks("wx1", "b", false)
		f.clock.advance(time.Millisecond)
		f.saves("wx1", "a", "late but not overtaken")
		f.hasToken("wx1", "late but not overtaken")
		f.locks("wx1", "b", true)
		f.saves("wx1", "a", "overtaken")
		f.unlocks("wx1", "a")
		f.locks("wx1", "c", false)
		f.hasToken("wx1", "late but not overtaken")
	}},

	{"what is forgotten is gone, locks too", func(f *fixture) {
		for _, key := range []string{"wx1", "jsapi:wx1"} {
			f.locks(key, "a", true)
			f.saves(key, "a", "one")
		}
		f.is("ForgetAppTokens", f.ForgetAppTokens(f.Context()), nil)
		f.hasToken("wx1", "")
		f.hasToken("jsapi:wx1", "")
		f.locks("wx1", "b", true)
		f.saves("wx1", "a", "of the holder before")
		f.hasToken("wx1", "")
	}},

	{"REL-15 a clock that was set back leaves no lock for long", func(f *fixture) {
		f.locks("wx1", "a", true)
		f.clock.advance(-500 * time.Millisecond) // two clocks that differ a little
		f.locks("wx1", "b", false)
		f.clock.advance(-time.Hour)
		f.locks("wx1", "b", true)
	}},

	{"WX-17 of many at once one gets the lock", func(f *fixture) {
		got := atOnce(f, 50, func(n int) (bool, error) {
			return f.LockAppToken(f.Context(), "wx1", fmt.Sprint("owner ", n), appTokenLease)
		})
		holders := 0
		for _, locked := range got {
			if locked {
				holders++
			}
		}
		f.same("holders", holders, 1)
	}},

	{"nobody is no owner", func(f *fixture) {
		if _, err := f.LockAppToken(f.Context(), "wx1", "", appTokenLease); err == nil {
			f.Error("a lock without an owner")
		}
		if err := f.SaveAppToken(f.Context(), "wx1", "", []byte("x")); err == nil {
			f.Error("saved without an owner")
		}
	}},
}

func (f *fixture) locks(key, owner string, want bool) {
	f.Helper()
	got, err := f.LockAppToken(f.Context(), key, owner, appTokenLease)
	f.is("LockAppToken", err, nil)
	f.same("lock of "+key+" for "+owner, got, want)
}

func (f *fixture) saves(key, owner, sealed string) {
	f.Helper()
	f.is("SaveAppToken", f.SaveAppToken(f.Context(), key, owner, []byte(sealed)), nil)
}

func (f *fixture) unlocks(key, owner string) {
	f.Helper()
	f.is("UnlockAppToken", f.UnlockAppToken(f.Context(), key, owner), nil)
}

func (f *fixture) hasToken(key, want string) {
	f.Helper()
	got, err := f.SealedAppToken(f.Context(), key)
	f.is("SealedAppToken", err, nil)
	f.same("saved under "+key, string(got), want)
}

var unionTests = []test{
	{"fans are found by a unionid of their open account", func(f *fixture) {
		guest := f.login(miniProgram("mAlice", "uAlice")).Fan
		f.login(miniProgram("mBob", "uBob"))
		f.login(miniProgram("mNobody", ""))
		f.byUnionID("default", "uAlice", guest.ID)
		f.byUnionID("default", "uCarol")
		f.byUnionID("default", "ualice")
		f.byUnionID("default", "")
		f.byUnionID("another company", "uAlice") // REL-17
		f.login(official("oAlice", "uAlice"))
		f.byUnionID("default", "uAlice", guest.ID)
	}},

	{"fans whose roles keep them apart are both found, the older first", func(f *fixture) {
		one, two := f.login(official("oAlice", "")).Fan, f.login(miniProgram("mAlice", "uAlice")).Fan
		f.update(one.ID, func(fan *db.Fan) { fan.Role = "editor" })
		f.update(two.ID, func(fan *db.Fan) { fan.Role = "owner" })
		f.login(official("oAlice", "uAlice"))
		f.byUnionID("default", "uAlice", one.ID, two.ID)
	}},
}

func (f *fixture) byUnionID(openAccount, unionID string, want ...string) {
	f.Helper()
	fans, err := f.FansByUnionID(f.Context(), openAccount, unionID)
	f.is("FansByUnionID", err, nil)
	var ids []string
	for _, fan := range fans {
		f.same("fan", fan, f.fan(fan.ID))
		ids = append(ids, fan.ID)
	}
	f.same("fans of "+unionID+" in "+openAccount, ids, want)
}
