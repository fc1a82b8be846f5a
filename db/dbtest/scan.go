package dbtest

import (
	"fmt"
	"sync/atomic"
	"time"

	"wxbridge/db"
)

const (
	scanApp  = "wx00000000000000aa" // that of official
	scanLife = 3 * time.Minute
)

var someScans = db.ScanLimits{Total: 100, PerNetwork: 100}

var scanTests = []test{
	{"a scan goes from code to login", func(f *fixture) {
		want := f.startScan("1")
		want.State, want.CreatedAt = db.ScanWaiting, f.clock.stored()
		f.sameScan(want)
		f.moved(map[string]db.ScanState{})

		want.State, want.OpenID = db.ScanScanned, "oAlice"
		f.same("claimed", f.claimScan("1", "oAlice", time.Minute), want)
		f.sameScan(want)
		f.moved(map[string]db.ScanState{"id-1": db.ScanScanned})

		f.clock.advance(time.Second)
		want.State, want.ConfirmedAt = db.ScanConfirmed, f.clock.stored()
		f.same("confirmed", f.answerScan("1", "oAlice", true), want)
		f.sameScan(want)

		want.State = db.ScanSpent
		f.same("spent", f.spendScan("1", nil), want)
		f.sameScan(want)
		f.moved(map[string]db.ScanState{"id-1": db.ScanSpent})
		f.spendScan("1", db.ErrNotFound)
	}},

	{"nothing is skipped, and nothing goes back", func(f *fixture) {
		f.startScan("1")
		f.spendScan("1", db.ErrNotFound)
		f.same("answered before it was scanned", f.answerScan("1", "oAlice", true).State, db.ScanWaiting)
		f.claimScan("1", "oAlice", time.Minute)
		f.spendScan("1", db.ErrNotFound)
		f.same("declined", f.answerScan("1", "oAlice", false).State, db.ScanDeclined)
		f.same("confirmed after that", f.answerScan("1", "oAlice", true).State, db.ScanDeclined)
		f.same("claimed after that", f.claimScan("1", "oBob", time.Minute).OpenID, "oAlice")
		f.spendScan("1", db.ErrNotFound)
	}},

	{"the first to scan it has it, and nobody else may answer", func(f *fixture) {
		f.startScan("1")
		f.claimScan("1", "oAlice", time.Minute)
		f.same("of the second", f.claimScan("1", "oBob", time.Hour).OpenID, "oAlice")
		f.same("answered by the second", f.answerScan("1", "oBob", true).State, db.ScanScanned)
		f.same("by another spelling", f.answerScan("1", "oalice", true).State, db.ScanScanned)
		f.same("of the first again", f.claimScan("1", "oAlice", time.Minute).State, db.ScanScanned)
		f.same("by the first", f.answerScan("1", "oAlice", true).State, db.ScanConfirmed)
	}},

	{"of many at once one claims and one spends", func(f *fixture) {
		f.startScan("1")
		owners := atOnce(f, 30, func(n int) (string, error) {
			scan, err := f.ClaimScan(f.Context(), "code-1", fmt.Sprint("o", n), f.clock.Now().Add(time.Minute))
			return scan.OpenID, err
		})
		for _, owner := range owners {
			f.same("owner", owner, owners[0])
		}
		f.answerScan("1", owners[0], true)
		var spent atomic.Int32
		atOnce(f, 30, func(int) (bool, error) {
			if _, err := f.SpendScan(f.Context(), "id-1"); err == nil {
				spent.Add(1)
			}
			return true, nil
		})
		f.same("times spent", spent.Load(), int32(1))
	}},

	{"a scan expires in every state, and a claim lets it live longer", func(f *fixture) {
		f.startScan("1")
		f.startScan("2")
		f.clock.advance(scanLife - time.Second)
		longer := f.claimScan("2", "oAlice", time.Minute)
		f.same("end", longer.ExpiresAt, f.clock.stored().Add(time.Minute))
		f.clock.advance(time.Second)
		_, err := f.Scan(f.Context(), "id-1")
		f.is("Scan", err, db.ErrNotFound)
		_, err = f.ScanByCode(f.Context(), "code-1")
		f.is("ScanByCode", err, db.ErrNotFound)
		_, err = f.ClaimScan(f.Context(), "code-1", "oAlice", f.clock.Now().Add(time.Hour))
		f.is("ClaimScan", err, db.ErrNotFound)
		f.answerScan("2", "oAlice", true)
		f.clock.advance(time.Minute)
		f.spendScan("2", db.ErrNotFound)
		_, err = f.AnswerScan(f.Context(), "code-2", "oAlice", false, f.clock.Now())
		f.is("AnswerScan", err, db.ErrNotFound)
		f.moved(map[string]db.ScanState{})
		f.same("pruned", f.pruneScans(), 2)
		f.same("pruned again", f.pruneScans(), 0)
	}},

	{"a claim never shortens a scan", func(f *fixture) {
		scan := f.startScan("1")
		f.same("end", f.claimScan("1", "oAlice", time.Second).ExpiresAt, scan.ExpiresAt)
	}},

	{"SRV-04 the number of open scans is bounded, in all and by network", func(f *fixture) {
		limits := db.ScanLimits{Total: 3, PerNetwork: 2}
		start := func(name, network string) error {
			scan := f.newScan(name)
			scan.Network = network
			return f.StartScan(f.Context(), scan, limits)
		}
		f.is("1", start("1", "a"), nil)
		f.is("2", start("2", "a"), nil)
		f.is("third of a network", start("3", "a"), db.ErrTooManyOfNetwork)
		f.is("4", start("4", "b"), nil)
		f.is("fourth of all", start("5", "c"), db.ErrTooManyScans)
		f.is("given up", f.DropScan(f.Context(), "id-1"), nil)
		f.is("given up twice", f.DropScan(f.Context(), "id-1"), nil)
		f.is("its place is free", start("6", "a"), nil)
		f.is("full again", start("7", "a"), db.ErrTooManyOfNetwork)
		f.claimScan("2", "oAlice", time.Second)
		f.answerScan("2", "oAlice", false)
		f.is("one that has ended still takes its place of all", start("7", "a"), db.ErrTooManyScans)
		f.is("given up", f.DropScan(f.Context(), "id-4"), nil)
		f.is("but not of its network", start("7", "a"), nil)
		f.is("full", start("8", "a"), db.ErrTooManyOfNetwork)
		f.clock.advance(scanLife)
		f.is("so are those of the expired", start("8", "a"), nil)
		f.same("and they are gone", f.pruneScans(), 0)
	}},

	{"ids and codes are unique, and a scan needs both", func(f *fixture) {
		f.startScan("1")
		same := f.newScan("2")
		same.Code = "code-1"
		if err := f.StartScan(f.Context(), same, someScans); err == nil {
			f.Error("two scans have one code")
		}
		for _, change := range []func(*db.Scan){
			func(s *db.Scan) { s.ID = "" }, func(s *db.Scan) { s.Code = "" },
			func(s *db.Scan) { s.AppID = "" }, func(s *db.Scan) { s.ExpiresAt = time.Time{} },
		} {
			scan := f.newScan("3")
			change(&scan)
			if err := f.StartScan(f.Context(), scan, someScans); err == nil {
				f.Errorf("started %+v", scan)
			}
		}
		if _, err := f.ClaimScan(f.Context(), "code-1", "", f.clock.Now()); err == nil {
			f.Error("nobody claimed a scan")
		}
		if _, err := f.AnswerScan(f.Context(), "code-1", "", true, f.clock.Now()); err == nil {
			f.Error("nobody confirmed a scan")
		}
	}},

	{"LOG-04 erasing a fan erases its scans", func(f *fixture) {
		alice := f.login(official("oAlice", "")).Fan
		f.login(official("oBob", ""))
		for name, person := range map[string]string{"1": "oAlice", "2": "oBob"} {
			f.startScan(name)
			f.claimScan(name, person, time.Minute)
		}
		_, err := f.EraseFan(f.Context(), alice.ID, f.clock.Now(), f.clock.Now().Add(time.Hour))
		f.is("EraseFan", err, nil)
		f.moved(map[string]db.ScanState{"id-2": db.ScanScanned})
	}},
}

func (f *fixture) newScan(name string) db.Scan {
	return db.Scan{ID: "id-" + name, Code: "code-" + name, AppID: scanApp, Scope: "snsapi_base", Browser: "Firefox",
		Address: "192.0.2.7", Network: "192.0.2.7", ExpiresAt: f.clock.stored().Add(scanLife)}
}

func (f *fixture) startScan(name string) db.Scan {
	f.Helper()
	scan := f.newScan(name)
	f.is("StartScan", f.StartScan(f.Context(), scan, someScans), nil)
	return scan
}

func (f *fixture) sameScan(want db.Scan) {
	f.Helper()
	got, err := f.Scan(f.Context(), want.ID)
	f.is("Scan", err, nil)
	f.same("by id", got, want)
	got, err = f.ScanByCode(f.Context(), want.Code)
	f.is("ScanByCode", err, nil)
	f.same("by code", got, want)
}

func (f *fixture) claimScan(name, person string, life time.Duration) db.Scan {
	f.Helper()
	scan, err := f.ClaimScan(f.Context(), "code-"+name, person, f.clock.Now().Add(life))
	f.is("ClaimScan", err, nil)
	return scan
}

func (f *fixture) answerScan(name, person string, confirm bool) db.Scan {
	f.Helper()
	scan, err := f.AnswerScan(f.Context(), "code-"+name, person, confirm, f.clock.Now())
	f.is("AnswerScan", err, nil)
	return scan
}

func (f *fixture) spendScan(name string, want error) db.Scan {
	f.Helper()
	scan, err := f.SpendScan(f.Context(), "id-"+name)
	f.is("SpendScan", err, want)
	return scan
}

func (f *fixture) moved(want map[string]db.ScanState) {
	f.Helper()
	got, err := f.MovedScans(f.Context())
	f.is("MovedScans", err, nil)
	f.same("moved", got, want)
}

func (f *fixture) pruneScans() int {
	f.Helper()
	n, err := f.PruneScans(f.Context())
	f.is("PruneScans", err, nil)
	return n
}
