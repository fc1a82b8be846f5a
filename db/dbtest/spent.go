package dbtest

import (
	"fmt"
	"time"
)

var spentTests = []test{
	{"FLW-14 an id is spent once, whatever until says", func(f *fixture) {
		until := f.clock.Now().Add(time.Minute)
		f.same("before", f.isSpent("a"), false)
		f.same("first", f.spend("a", until), true)
		f.same("second", f.spend("a", until), false)
		f.same("later", f.spend("a", until.Add(time.Hour)), false)
		f.same("spent", f.isSpent("a"), true)
		f.same("another", f.isSpent("b"), false)
		f.same("in another case", f.spend("A", until), true)
	}},

	{"FLW-14 of many calls at once exactly one is first", func(f *fixture) {
		firsts := 0
		for _, first := range atOnce(f, 20, func(int) (bool, error) { return f.Spend(f.Context(), "a", f.clock.Now()) }) {
			if first {
				firsts++
			}
		}
		f.same("first", firsts, 1)
	}},

	{"what is pruned has not mattered for an hour", func(f *fixture) {
		for n := range 3 {
			f.spend(fmt.Sprint(n), f.clock.Now().Add(time.Duration(n)*time.Minute))
		}
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{0, 0}, {59 * time.Minute, 0}, {time.Minute, 1}, {0, 0}, {2 * time.Minute, 2}, {0, 0}} {
			f.clock.advance(step.wait)
			pruned, err := f.PruneSpent(f.Context())
			f.is("PruneSpent", err, nil)
			f.same("pruned", pruned, step.want)
		}
		f.same("forgotten", f.isSpent("0"), false)
	}},

	{"no id is a fault", func(f *fixture) {
		if _, err := f.Spend(f.Context(), "", f.clock.Now()); err == nil {
			f.Error("an empty id was spent")
		}
	}},
}

func (f *fixture) spend(id string, until time.Time) bool {
	f.Helper()
	first, err := f.Spend(f.Context(), id, until)
	f.is("Spend", err, nil)
	return first
}

func (f *fixture) isSpent(id string) bool {
	f.Helper()
	spent, err := f.Spent(f.Context(), id)
	f.is("Spent", err, nil)
	return spent
}
