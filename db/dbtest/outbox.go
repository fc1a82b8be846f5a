package dbtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"wxbridge/db"
)

const lease = 30 * time.Second

var outboxTests = []test{
	{"without an endpoint nothing is kept", func(f *fixture) {
		f.login(official("oAlice", ""))
		f.enqueue("message.text", "k", 1)
		f.same("new events", f.fanOut(), 0)
		f.listen(all("shop"))
		f.same("new events", f.fanOut(), 0)
	}},

	{"a login tells who is new, what has changed, and that it happened", func(f *fixture) {
		f.listen(all("shop"))
		first := f.login(withProfile(official("oAlice", "uAlice"), db.Profile{Nickname: "Alice"}))
		f.login(official("oAlice", ""))
		f.login(withProfile(official("oAlice", ""), db.Profile{Nickname: "Alicia"}))
		linked := f.login(miniProgram("mAlice", "uAlice"))
		f.same("fan", linked.Fan.ID, first.Fan.ID)
		told := f.drain("shop")
		f.same("types", types(told), []string{"fan.registered", "login", "login", "fan.updated", "login", "fan.updated", "login"})
		f.same("registered", told[0].data["fan"], map[string]any{"id": first.Fan.ID, "nickname": "Alice", "avatar_url": "",
			"registered": true, "status": "active"})
		f.same("account", told[0].data["identity"], map[string]any{"provider": "official_account", "appid": "wx00000000000000aa",
			"openid": "oAlice", "unionid": "uAlice"})
		f.same("account of a login that says less", told[2].data["identity"], told[0].data["identity"])
		f.same("created", []any{told[1].data["created"], told[2].data["created"]}, []any{true, false})
		f.same("changed", told[3].data["changed"], []any{"nickname"})
		f.same("linked", told[5].data["changed"], []any{"identities"})
	}},

	{"changes of an operator and of the fan are told, a phone number is not", func(f *fixture) {
		fan := f.login(official("oAlice", "")).Fan
		f.listen(endpoint("shop", "fan.*"))
		f.update(fan.ID, func(fan *db.Fan) { fan.Phone = "+8613800000000" })
		f.update(fan.ID, func(*db.Fan) {})
		_, err := f.SetAccess(f.Context(), fan.ID, db.Access{Status: db.StatusBlocked}, f.clock.stored().Add(time.Hour))
		f.is("SetAccess", err, nil)
		f.login(official("oAlice", ""))
		told := f.drain("shop")
		f.same("types", types(told), []string{"fan.updated", "fan.updated"})
		f.same("changed", []any{told[0].data["changed"], told[1].data["changed"]}, []any{[]any{"phone_number"}, []any{"status"}})
		f.same("the number is told", strings.Contains(told[0].raw, "138"), false)
	}},

	{"a blocked fan's login is none", func(f *fixture) {
		fan := f.login(official("oAlice", "")).Fan
		_, err := f.SetAccess(f.Context(), fan.ID, db.Access{Status: db.StatusBlocked}, f.clock.stored().Add(time.Hour))
		f.is("SetAccess", err, nil)
		f.listen(all("shop"))
		f.login(official("oAlice", ""))
		f.same("told", len(f.drain("shop")), 0)
	}},

	{"a merge is told with both ids, and what is told of both stays in line", func(f *fixture) {
		f.listen(all("shop"))
		old := f.login(miniProgram("mAlice", "")).Fan
		young := f.login(official("oAlice", "uAlice")).Fan
		f.fanOutAll()
		f.update(young.ID, func(fan *db.Fan) { fan.Nickname = "not a delivery yet" })
		merged := f.login(miniProgram("mAlice", "uAlice"))
		f.same("merged", []string{merged.Fan.ID, merged.MergedFrom}, []string{old.ID, young.ID})
		var order []string
		for {
			f.fanOutAll()
			got := f.claim("shop", 10)
			if len(got) == 0 {
				break
			}
			f.same("at a time", len(got), 1)
			order = append(order, got[0].Type)
			if got[0].Type == db.EventFanMerged {
				f.same("ids", string(got[0].Data), fmt.Sprintf(`{"from":%q,"to":%q}`, young.ID, old.ID))
			}
			f.is("Delivered", f.Delivered(f.Context(), got[0].Receipt), nil)
		}
		f.same("order", order, []string{"fan.registered", "login", "fan.registered", "login", "fan.updated", "fan.merged", "fan.updated", "login"})
	}},

	{"LOG-04 what is still to be told of an erased fan is forgotten", func(f *fixture) {
		f.listen(all("shop"), all("crm"))
		stranger := db.OpenIDKey(db.ProviderOfficialAccount, "wx00000000000000aa", "oAlice")
		f.enqueueJSON("message.text", stranger, `{"content":"secret wish"}`)
		f.fanOutAll()
		fan := f.login(withProfile(official("oAlice", ""), db.Profile{Nickname: "Alice", AvatarURL: "https://a/1"})).Fan
		f.enqueueJSON("message.text", fan.ID, `{"content":"another wish"}`)
		for _, d := range f.claim("crm", 10) {
			f.is("GiveUp", f.GiveUp(f.Context(), d.Receipt, "status 500"), nil)
		}
		f.login(withProfile(official("oAlice", ""), db.Profile{Nickname: "Alicia"})) // not a delivery yet
		_, err := f.EraseFan(f.Context(), fan.ID, f.clock.stored(), f.clock.stored().Add(time.Hour))
		f.is("EraseFan", err, nil)
		_, err = f.Retry(f.Context(), "crm", "")
		f.is("Retry", err, nil)
		for _, name := range []string{"shop", "crm"} {
			told := f.drain(name)
			f.same("number", len(told), 7)
			for i, e := range told[:6] {
				if e.raw != `{"fan":{"id":"`+fan.ID+`"},"erased":true}` {
					f.Errorf("%s: event %d, %s, says %s", name, i, e.Type, e.raw)
				}
			}
			f.same("last", []string{told[6].Type, told[6].raw}, []string{"fan.erased", `{"fan":{"id":"` + fan.ID + `"},"aliases":[]}`})
		}
	}},

	{"an endpoint gets what it has asked for, of its apps", func(f *fixture) {
		f.listen(endpoint("a", "fan.*"), endpoint("b", "login"), db.Endpoint{Name: "c", Events: []string{"*"}, AppIDs: []string{"wx-other"}})
		f.login(official("oAlice", ""))
		f.same("a", types(f.drain("a")), []string{"fan.registered"})
		f.same("b", types(f.drain("b")), []string{"login"})
		f.same("c", len(f.drain("c")), 0)
		f.same("nothing is left", f.pending(), map[string]int{"a": 0, "b": 0, "c": 0})
	}},

	{"events of one key go out one after another, others beside them", func(f *fixture) {
		f.listen(all("shop"))
		for n := range 3 {
			f.enqueue("t", "alice", n)
			f.enqueue("t", "bob", n)
			f.enqueue("t", "", n)
		}
		f.fanOutAll()
		got := f.claim("shop", 10)
		f.same("first", numbers(got), []string{"0", "0", "0", "1", "2"})
		f.same("again", len(f.claim("shop", 10)), 0)
		f.is("Delivered", f.Delivered(f.Context(), got[0].Receipt), nil)
		f.same("next of alice", numbers(f.claim("shop", 10)), []string{"1"})
		f.is("GiveUp", f.GiveUp(f.Context(), got[1].Receipt, "status 500"), nil)
		f.same("next of bob", numbers(f.claim("shop", 10)), []string{"1"})
	}},

	{"endpoints do not wait for each other", func(f *fixture) {
		f.listen(all("slow"), all("quick"))
		f.enqueue("t", "alice", 0)
		f.enqueue("t", "alice", 1)
		f.fanOutAll()
		f.claim("slow", 10)
		f.same("quick", len(f.drain("quick")), 2)
		f.same("pending", f.pending(), map[string]int{"slow": 2, "quick": 0})
	}},

	{"a delivery that is postponed holds up its key alone, until it is due", func(f *fixture) {
		f.listen(all("shop"))
		f.enqueue("t", "alice", 0)
		f.enqueue("t", "alice", 1)
		f.fanOutAll()
		d := f.claim("shop", 10)[0]
		f.is("Postpone", f.Postpone(f.Context(), d.Receipt, f.clock.stored().Add(20*time.Second), "status 500"), nil)
		f.enqueue("t", "bob", 2)
		f.fanOutAll()
		f.same("others", numbers(f.claim("shop", 10)), []string{"2"})
		f.clock.advance(20*time.Second - time.Millisecond)
		f.same("too early", len(f.claim("shop", 1)), 0)
		f.clock.advance(time.Millisecond)
		again := f.claim("shop", 10)
		f.same("due", numbers(again), []string{"0"})
		f.same("attempts", again[0].Attempts, 1)
		f.same("id", again[0].EventID, d.EventID)
	}},

	{"a claim ends with its lease, and then settles nothing", func(f *fixture) {
		f.listen(all("shop"))
		f.enqueue("t", "alice", 0)
		f.fanOutAll()
		dead := f.claim("shop", 10)[0]
		f.clock.advance(lease)
		alive := f.claim("shop", 10)
		f.same("again", len(alive), 1)
		f.is("Delivered late", f.Delivered(f.Context(), dead.Receipt), db.ErrNotFound)
		f.is("Postpone late", f.Postpone(f.Context(), dead.Receipt, f.clock.stored(), ""), db.ErrNotFound)
		f.is("GiveUp late", f.GiveUp(f.Context(), dead.Receipt, ""), db.ErrNotFound)
		f.is("Delivered", f.Delivered(f.Context(), alive[0].Receipt), nil)
		f.same("pending", f.pending(), map[string]int{"shop": 0})
	}},

	{"what was given up is kept, and can be tried again", func(f *fixture) {
		f.listen(all("shop"))
		for n := range 3 {
			f.enqueue("t", "alice", n)
		}
		f.fanOutAll()
		for range 3 {
			f.clock.advance(time.Second)
			f.is("GiveUp", f.GiveUp(f.Context(), f.claim("shop", 10)[0].Receipt, "status 418"), nil)
		}
		failed, err := f.FailedDeliveries(f.Context(), "shop", 10)
		f.is("FailedDeliveries", err, nil)
		f.same("failed", []any{len(failed), failed[0].Problem, failed[0].Attempts, failed[0].FailedAt}, []any{3, "status 418", 1, f.clock.stored()})
		n, err := f.Retry(f.Context(), "shop", failed[0].EventID)
		f.is("Retry one", err, nil)
		f.same("one", n, db.Retried{GivenUp: 1})
		n, err = f.Retry(f.Context(), "shop", failed[0].EventID)
		f.is("Retry it again", err, nil)
		f.same("again", n, db.Retried{Waiting: 1})
		_, err = f.Retry(f.Context(), "shop", "evt_unknown")
		f.is("Retry of nothing", err, db.ErrNotFound)
		_, err = f.Retry(f.Context(), "nobody", "")
		f.is("Retry of nobody", err, db.ErrNotFound)
		n, err = f.Retry(f.Context(), "shop", "")
		f.is("Retry the rest", err, nil)
		f.same("the rest", n, db.Retried{Waiting: 1, GivenUp: 2})
		f.same("all", len(f.drain("shop")), 3)
		n, err = f.Retry(f.Context(), "shop", "")
		f.is("Retry nothing", err, nil)
		f.same("nothing", n, db.Retried{})
	}},

	{"a disabled endpoint keeps its deliveries until it is enabled", func(f *fixture) {
		f.listen(all("shop"))
		f.enqueue("t", "alice", 0)
		f.fanOutAll()
		f.is("DisableEndpoint", f.DisableEndpoint(f.Context(), "shop"), nil)
		f.listen(all("shop")) // a start does not enable it
		f.enqueue("t", "bob", 1)
		f.fanOutAll()
		f.same("claimed", len(f.claim("shop", 10)), 0)
		f.same("due", f.nextDue("shop"), time.Time{})
		states, err := f.Endpoints(f.Context())
		f.is("Endpoints", err, nil)
		f.same("state", []any{states[0].DisabledAt, states[0].Pending}, []any{f.clock.stored(), 2})
		_, err = f.Retry(f.Context(), "shop", "")
		f.is("Retry", err, nil)
		f.same("claimed", len(f.claim("shop", 10)), 2)
	}},

	{"waiting for the next attempt can be cut short", func(f *fixture) {
		f.listen(all("shop"))
		f.enqueue("t", "alice", 0)
		f.enqueue("t", "bob", 1)
		f.fanOutAll()
		got := f.claim("shop", 10)
		f.is("Postpone", f.Postpone(f.Context(), got[0].Receipt, f.clock.stored().Add(time.Hour), ""), nil)
		f.same("due", f.nextDue("shop"), f.clock.stored().Add(lease))
		n, err := f.Hasten(f.Context(), "shop")
		f.is("Hasten", err, nil)
		f.same("hastened", n, 1) // who is being sent is left alone
		f.same("due", f.nextDue("shop"), f.clock.stored())
		f.same("claimed", numbers(f.claim("shop", 10)), []string{"0"})
	}},

	{"an event that may be answered is held back for who may answer", func(f *fixture) {
		answers := all("chat")
		answers.Replier = true
		f.listen(answers, all("log"))
		for n := range 2 {
			f.is("Enqueue", f.Enqueue(f.Context(), db.Event{ID: fmt.Sprintf("evt_%d", n), Type: "message.text", Order: "alice",
				ReplyBy: f.clock.stored().Add(5 * time.Second), Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))}), nil)
		}
		_, err := f.ClaimReply(f.Context(), "evt_1", "chat", lease) // finds what is no delivery yet
		f.is("the second first", err, db.ErrNotYet)
		f.same("held", len(f.claim("chat", 10)), 0)
		f.same("who does not answer", len(f.drain("log")), 2)
		first, err := f.ClaimReply(f.Context(), "evt_0", "chat", lease)
		f.is("ClaimReply", err, nil)
		_, err = f.ClaimReply(f.Context(), "evt_0", "chat", lease)
		f.is("twice", err, db.ErrNotFound)
		f.is("Delivered", f.Delivered(f.Context(), first.Receipt), nil)
		_, err = f.ClaimReply(f.Context(), "evt_0", "chat", lease)
		f.is("after", err, db.ErrNotFound)
		f.same("still held", len(f.claim("chat", 10)), 0)
		f.clock.advance(5 * time.Second)
		f.same("nobody has asked", numbers(f.claim("chat", 10)), []string{"1"})
	}},

	{"somebody who waits for an answer does not wait for the next attempt of what came before", func(f *fixture) {
		answers := all("chat")
		answers.Replier = true
		f.listen(answers)
		f.ask(0, 1)
		first := f.mayAnswer(0)
		f.is("the second while the first is asked", f.cannotAnswer(1), db.ErrNotYet)
		again := f.clock.stored().Add(time.Hour)
		f.is("Postpone", f.Postpone(f.Context(), first.Receipt, again, "status 502"), nil)
		f.enqueue("fan.updated", "alice", 2)
		f.ask(3)
		f.is("the fourth before the second", f.cannotAnswer(3), db.ErrNotYet)
		second := f.mayAnswer(1)
		f.is("the fourth while the second is asked", f.cannotAnswer(3), db.ErrNotYet)
		f.same("nothing else is under way", len(f.claim("chat", 10)), 0)
		f.is("Delivered", f.Delivered(f.Context(), second.Receipt), nil)
		fourth := f.mayAnswer(3)
		f.is("Postpone", f.Postpone(f.Context(), fourth.Receipt, f.clock.stored().Add(time.Minute), "status 502"), nil)
		f.same("the first is due as before", f.nextDue("chat"), again)
		f.clock.advance(59 * time.Minute)
		f.same("nothing goes before it", len(f.claim("chat", 10)), 0)
		f.clock.advance(time.Minute)
		f.same("in order again", numbersInOrder(f.drain("chat")), []string{"0", "2", "3"})
	}},

	{"what has made way for an answer can be hastened, and is due in time after a clock was set back", func(f *fixture) {
		answers := all("chat")
		answers.Replier = true
		f.listen(answers)
		f.ask(0)
		first := f.mayAnswer(0)
		f.is("Postpone", f.Postpone(f.Context(), first.Receipt, f.clock.stored().Add(time.Hour), ""), nil)
		f.ask(1)
		second := f.mayAnswer(1)
		n, err := f.Hasten(f.Context(), "chat")
		f.is("Hasten", err, nil)
		f.same("hastened", n, 1)
		f.is("Delivered", f.Delivered(f.Context(), second.Receipt), nil)
		f.same("due", f.nextDue("chat"), f.clock.stored())
		f.same("and held as ever", numbersInOrder(f.drain("chat")), []string{"0"})
	}},

	{"an operator hurries what waits, of an endpoint or of one person", func(f *fixture) {
		f.listen(all("shop"))
		for n := range 2 {
			f.enqueue("t", "alice", n)
			f.enqueue("t", "bob", 10+n)
		}
		f.fanOutAll()
		for _, d := range f.claim("shop", 10) {
			f.is("Postpone", f.Postpone(f.Context(), d.Receipt, f.clock.stored().Add(12*time.Hour), "status 502"), nil)
		}
		f.is("Rest", f.Rest(f.Context(), "shop", f.clock.stored().Add(time.Hour)), nil)
		f.same("state", f.health("shop"), health{4, 2, f.clock.stored(), f.clock.stored().Add(12 * time.Hour)})
		ids, err := f.Retry(f.Context(), "shop", numbered(11))
		f.is("Retry of bob's second", err, nil)
		f.same("of bob's second", ids, db.Retried{Waiting: 1})
		until, err := f.Resting(f.Context(), "shop")
		f.is("Resting", err, nil)
		f.same("resting until", until, time.Time{})
		got := f.claim("shop", 10)
		f.same("bob's first", numbers(got), []string{"10"})
		f.same("attempts", got[0].Attempts, 0)
		n, err := f.Retry(f.Context(), "shop", "")
		f.is("Retry", err, nil)
		f.same("all but what is being sent", n, db.Retried{Waiting: 3})
		f.same("alice's first", numbers(f.claim("shop", 10)), []string{"0"})
		f.is("Delivered", f.Delivered(f.Context(), got[0].Receipt), nil)
		f.same("state", f.health("shop"), health{3, 0, time.Time{}, f.clock.stored()})
	}},

	{"an operator drops what waits or was given up, all, before a time, or one", func(f *fixture) {
		f.listen(all("shop"), all("crm"))
		for n := range 3 {
			f.enqueue("t", "alice", n)
			f.enqueue("t", "", 10+n)
			f.clock.advance(time.Minute)
		}
		f.fanOutAll()
		sent := f.claim("shop", 1)
		f.same("being sent", numbers(sent), []string{"0"})
		f.is("GiveUp", f.GiveUp(f.Context(), f.claim("shop", 1)[0].Receipt, ""), nil)
		_, err := f.Drop(f.Context(), "nobody", db.Which{})
		f.is("Drop of nobody", err, db.ErrNotFound)
		n, err := f.Drop(f.Context(), "shop", db.Which{Before: f.clock.stored().Add(-90 * time.Second)})
		f.is("Drop", err, nil)
		f.same("before the third", n, db.Dropped{Waiting: 2, GivenUp: 1, Sending: 1})
		n, err = f.Drop(f.Context(), "shop", db.Which{EventID: numbered(12)})
		f.is("Drop", err, nil)
		f.same("one", n, db.Dropped{Waiting: 1})
		n, err = f.Drop(f.Context(), "shop", db.Which{EventID: numbered(12)})
		f.is("Drop", err, nil)
		f.same("again", n, db.Dropped{})
		f.is("Delivered", f.Delivered(f.Context(), sent[0].Receipt), nil)
		f.same("the line goes on", numbers(f.claim("shop", 10)), []string{"2"})
		n, err = f.Drop(f.Context(), "shop", db.Which{})
		f.is("Drop", err, nil)
		f.same("what is being sent stays", n, db.Dropped{Sending: 1})
		f.same("others have all", len(f.drain("crm")), 6)
	}},

	{"more is hurried and dropped than one step takes", func(f *fixture) {
		f.listen(all("shop"))
		const many = 1203
		for n := range many {
			f.enqueue("t", fmt.Sprint("fan", n%700), n)
		}
		f.fanOutAll()
		for _, d := range f.claim("shop", many) {
			f.is("Postpone", f.Postpone(f.Context(), d.Receipt, f.clock.stored().Add(time.Hour), ""), nil)
		}
		n, err := f.Retry(f.Context(), "shop", "")
		f.is("Retry", err, nil)
		f.same("hurried", n, db.Retried{Waiting: many})
		f.same("due", len(f.claim("shop", many)), 700)
		f.clock.advance(lease)
		d, err := f.Drop(f.Context(), "shop", db.Which{})
		f.is("Drop", err, nil)
		f.same("dropped", d, db.Dropped{Waiting: many})
		f.same("left", f.pending(), map[string]int{"shop": 0})
	}},

	{"an endpoint that is no more gets nothing new, and goes when it is through", func(f *fixture) {
		f.listen(all("old"), all("new"))
		f.enqueue("t", "alice", 0)
		f.fanOutAll()
		f.listen(all("new"))
		f.enqueue("t", "alice", 1)
		f.fanOutAll()
		f.same("pending", f.pending(), map[string]int{"new": 2, "old": 1})
		f.clock.advance(time.Hour)
		f.prune(time.Hour, 24*time.Hour)
		f.same("given up", f.pending(), map[string]int{"new": 0, "old": 0})
		f.clock.advance(24 * time.Hour)
		f.prune(time.Hour, 24*time.Hour)
		f.same("gone", f.pending(), map[string]int{"new": 0})
		failed, err := f.FailedDeliveries(f.Context(), "new", 10)
		f.is("FailedDeliveries", err, nil)
		f.same("failed", len(failed), 0)
	}},

	{"REL-09 pruning gives up what is old, drops what was kept long enough, and nothing else", func(f *fixture) {
		f.listen(all("shop"))
		f.enqueue("t", "alice", 0)
		f.enqueue("t", "alice", 1)
		f.fanOutAll()
		f.clock.advance(time.Hour)
		f.enqueue("t", "alice", 2)
		f.fanOutAll()
		f.prune(time.Hour, 24*time.Hour)
		f.same("pending", f.pending(), map[string]int{"shop": 1})
		f.same("the young one's turn", numbers(f.claim("shop", 10)), []string{"2"})
		failed, err := f.FailedDeliveries(f.Context(), "shop", 10)
		f.is("FailedDeliveries", err, nil)
		f.same("failed", []any{len(failed), failed[0].Attempts}, []any{2, 0})
	}},

	{"events arrive with a signal", func(f *fixture) {
		f.listen(all("shop"))
		f.login(official("oAlice", ""))
		select {
		case <-f.EventsArrived():
		case <-time.After(5 * time.Second):
			f.Error("no signal")
		}
	}},

	{"many who claim at once get each delivery once", func(f *fixture) {
		f.listen(all("shop"))
		const events = 300
		for n := range events {
			f.enqueue("t", fmt.Sprint(n), n)
		}
		f.fanOutAll()
		var got []string
		for _, claimed := range atOnce(f, 30, func(int) ([]db.Delivery, error) {
			return f.ClaimDeliveries(f.Context(), "shop", 20, lease)
		}) {
			got = append(got, numbers(claimed)...)
		}
		f.same("claimed", len(got), events)
		slices.Sort(got)
		f.same("distinct", len(slices.Compact(got)), events)
	}},
}

// ask enqueues messages of alice's that may be answered.
func (f *fixture) ask(numbers ...int) {
	f.Helper()
	for _, n := range numbers {
		f.is("Enqueue", f.Enqueue(f.Context(), db.Event{ID: fmt.Sprintf("evt_%d", n), Type: "message.text", Order: "alice",
			ReplyBy: f.clock.stored().Add(5 * time.Second), Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))}), nil)
	}
}

func (f *fixture) mayAnswer(n int) db.Delivery {
	f.Helper()
	d, err := f.ClaimReply(f.Context(), fmt.Sprintf("evt_%d", n), "chat", lease)
	f.is("ClaimReply", err, nil)
	return d
}

func (f *fixture) cannotAnswer(n int) error {
	f.Helper()
	_, err := f.ClaimReply(f.Context(), fmt.Sprintf("evt_%d", n), "chat", lease)
	return err
}

// numbered is the id of the event that enqueue makes.
func numbered(n int) string { return fmt.Sprintf("evt_n%d", n) }

// health is how an endpoint fares.
type health struct {
	Pending, Retrying    int
	FailingSince, NextAt time.Time
}

func (f *fixture) health(endpoint string) health {
	f.Helper()
	states, err := f.Endpoints(f.Context())
	f.is("Endpoints", err, nil)
	for _, e := range states {
		if e.Name == endpoint {
			return health{e.Pending, e.Retrying, e.FailingSince, e.NextAt}
		}
	}
	return health{}
}

// numbersInOrder are the n of what was told.
func numbersInOrder(all []told) (numbers []string) {
	for _, t := range all {
		numbers = append(numbers, fmt.Sprint(t.data["n"]))
	}
	return numbers
}

func all(name string) db.Endpoint { return endpoint(name, "*") }

func endpoint(name string, events ...string) db.Endpoint {
	return db.Endpoint{Name: name, Events: events}
}

func (f *fixture) listen(endpoints ...db.Endpoint) {
	f.Helper()
	f.is("SetEndpoints", f.SetEndpoints(f.Context(), endpoints), nil)
}

func (f *fixture) enqueue(eventType, key string, n int) {
	f.Helper()
	f.is("Enqueue", f.Enqueue(f.Context(), db.Event{ID: numbered(n), Type: eventType, Order: key, Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))}), nil)
}

func (f *fixture) enqueueJSON(eventType, key, data string) {
	f.Helper()
	f.is("Enqueue", f.Enqueue(f.Context(), db.Event{Type: eventType, Order: key, Data: json.RawMessage(data)}), nil)
}

func (f *fixture) fanOut() int {
	f.Helper()
	n, err := f.FanOut(f.Context())
	f.is("FanOut", err, nil)
	return n
}

func (f *fixture) claim(endpoint string, limit int) []db.Delivery {
	f.Helper()
	got, err := f.ClaimDeliveries(f.Context(), endpoint, limit, lease)
	f.is("ClaimDeliveries", err, nil)
	return got
}

func (f *fixture) nextDue(endpoint string) time.Time {
	f.Helper()
	due, err := f.NextDue(f.Context(), endpoint)
	f.is("NextDue", err, nil)
	return due
}

func (f *fixture) prune(giveUp, drop time.Duration) {
	f.Helper()
	for n := 1; n > 0; {
		var err error
		n, err = f.PruneOutbox(f.Context(), f.clock.stored().Add(-giveUp), f.clock.stored().Add(-drop))
		f.is("PruneOutbox", err, nil)
	}
}

// pending is the number of deliveries on the way, by endpoint.
func (f *fixture) pending() map[string]int {
	f.Helper()
	states, err := f.Endpoints(f.Context())
	f.is("Endpoints", err, nil)
	counts := map[string]int{}
	for _, e := range states {
		counts[e.Name] = e.Pending
	}
	return counts
}

type told struct {
	db.Delivery
	raw  string
	data map[string]any
}

// drain takes and acknowledges all that is there for the endpoint.
func (f *fixture) drain(endpoint string) []told {
	f.Helper()
	f.fanOutAll()
	var all []told
	for {
		got := f.claim(endpoint, 10)
		if len(got) == 0 {
			return all
		}
		for _, d := range got {
			t := told{Delivery: d, raw: string(d.Data)}
			f.is("data", json.Unmarshal(d.Data, &t.data), nil)
			f.is("Delivered", f.Delivered(f.Context(), d.Receipt), nil)
			all = append(all, t)
		}
	}
}

func types(all []told) []string {
	var types []string
	for _, t := range all {
		types = append(types, t.Type)
	}
	return types
}

// numbers are the n of the deliveries' data, sorted.
func numbers(all []db.Delivery) []string {
	var numbers []string
	for _, d := range all {
		var data struct{ N json.Number }
		if err := json.Unmarshal(d.Data, &data); err != nil {
			numbers = append(numbers, err.Error())
		}
		numbers = append(numbers, data.N.String())
	}
	slices.Sort(numbers)
	return numbers
}
