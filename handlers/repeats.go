package handlers

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"wxbridge/db"
	"wxbridge/wechat"
)

const (
	maxExchanges = 3     // codes tried for one flow
	maxJoined    = 10000 // flows remembered, at about half a KiB; the oldest go first
)

// errSpent says that a code was tried before, or that the flow has tried enough.
var errSpent = errors.New("code spent")

// landing is how a flow ended, remembered so that a repeat of its callback ends the same way without an exchange (FLW-05).
// session is nil where nobody was logged in.
type landing struct {
	outcome landingKind
	session *session

	follower string // openid of who is to register, if WeChat has said that they follow the account
}

// remembered is the landing without its fan's profile, which a repeat reads anew.
func (l landing) remembered() landing {
	if l.session == nil {
		return l
	}
	session := *l.session
	session.fan, session.fresh = db.Fan{ID: session.fan.ID}, false
	return landing{outcome: l.outcome, session: &session}
}

type landingKind int

const (
	landHome     landingKind = iota // to return_to
	landRegister                    // to the register page
	landSnapshot                    // to the page for snapshot users
	landStranger                    // to the page for people who are not of the corp
	landBarred                      // to the page for members who may not
)

// repeats joins the callbacks of one flow: WeChat sends the same one twice, or two codes for one state. Each code is exchanged
// once however many requests wait for it, and a second code only after the first was refused.
//
// It is reached only with the flow's own cookie, so that it never logs in another browser (FLW-06).
type repeats struct {
	now func() time.Time

	mu    sync.Mutex
	flows map[string]*list.Element // by state
	order *list.List               // of *joined, oldest first
}

type joined struct {
	state   string
	expires time.Time
	tried   map[string]bool
	current *attempt // the exchange under way
	landing *landing
	failed  bool // an exchange ended without an answer: what WeChat made of the code is not known
}

type attempt struct {
	code    string
	done    chan struct{}
	landing landing
	err     error
}

func newRepeats(now func() time.Time) *repeats {
	return &repeats{now: now, flows: map[string]*list.Element{}, order: list.New()}
}

// do answers the callback of f with code: from memory, from the exchange another request has under way, or by exchange.
// repeated tells that exchange was not called for this request. errSpent asks for a new login.
func (r *repeats) do(ctx context.Context, f flow, code string, exchange func() (landing, error)) (l landing, repeated bool, err error) {
	for {
		r.mu.Lock()
		j := r.join(f)
		if j.landing != nil {
			defer r.mu.Unlock()
			return *j.landing, true, nil
		}
		other := j.current
		if other == nil {
			if j.failed || j.tried[code] || len(j.tried) >= maxExchanges {
				r.mu.Unlock()
				return landing{}, true, errSpent
			}
			own := &attempt{code: code, done: make(chan struct{})}
			j.current, j.tried[code] = own, true
			r.mu.Unlock()
			l, err := r.run(j, own, exchange)
			return l, false, err
		}
		r.mu.Unlock()

		select {
		case <-other.done:
		case <-ctx.Done():
			return landing{}, true, ctx.Err()
		}
		if other.err == nil {
			return other.landing, true, nil
		}
		if !errors.Is(other.err, wechat.ErrInvalidCode) || other.code == code {
			return landing{}, true, other.err
		}
	}
}

// run makes the exchange and tells those who wait, also when it panics.
func (r *repeats) run(j *joined, own *attempt, exchange func() (landing, error)) (landing, error) {
	own.err = errUnavailable
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		j.current = nil
		switch {
		case own.err == nil:
			j.landing = &own.landing
		case !errors.Is(own.err, wechat.ErrInvalidCode):
			j.failed = true
		}
		close(own.done)
	}()
	l, err := exchange()
	own.landing, own.err = l.remembered(), err
	return l, err
}

// forget drops what is remembered of a flow.
func (r *repeats) forget(state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if element, ok := r.flows[state]; ok {
		r.remove(element)
	}
}

// join finds or makes the memory of a flow. It lasts as long as the flow's cookie.
func (r *repeats) join(f flow) *joined {
	now := r.now()
	for front := r.order.Front(); front != nil; front = r.order.Front() {
		oldest := front.Value.(*joined)
		if r.order.Len() < maxJoined && now.Before(oldest.expires) {
			break
		}
		r.remove(front)
	}
	if element, ok := r.flows[f.State]; ok {
		return element.Value.(*joined)
	}
	j := &joined{state: f.State, expires: time.Unix(f.Started, 0).Add(flowLife), tried: map[string]bool{}}
	r.flows[f.State] = r.order.PushBack(j)
	return j
}

func (r *repeats) remove(element *list.Element) {
	delete(r.flows, element.Value.(*joined).state)
	r.order.Remove(element)
}
