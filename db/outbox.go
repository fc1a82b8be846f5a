package db

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Event is something that backends are told. It is kept, in the transaction of
// what it tells, only if an endpoint wants it.
type Event struct {
	// ID is the same in every attempt to deliver it. Empty: the store makes one.
	ID string

	Type string // "fan.registered"; dots part its words

	// Order is the key inside which events are delivered in the order they were
	// made in: the id of the fan, or OpenIDKey of somebody who is no fan. Events
	// with the empty key have no order.
	Order string

	AppID string // the app it is about; "" for none

	// CreatedAt defaults to the store's present.
	CreatedAt time.Time

	// ReplyBy, if set: endpoints that answer for the account get it only by
	// ClaimReply until then, and as any other event from then on.
	ReplyBy time.Time

	Data json.RawMessage // a JSON object; ids and what has changed, never secrets
}

// NewEventID makes an ID for an event.
func NewEventID() string { return "evt_" + rand.Text() }

// OpenIDKey is the ordering key of events about an account that belongs to no
// fan (yet).
func OpenIDKey(provider, appID, openID string) string {
	return provider + ":" + appID + ":" + openID
}

// Endpoint is somebody who is told, as far as the store has to know.
type Endpoint struct {
	Name    string
	Events  []string // patterns: "login", "fan.*", "*"
	AppIDs  []string // events about other apps are not for it; none: all are
	Replier bool     // it may answer events that have a ReplyBy
}

// Wants reports whether an event of the type, about the app, is for the endpoint.
func (e Endpoint) Wants(eventType, appID string) bool {
	if appID != "" && len(e.AppIDs) > 0 && !slices.Contains(e.AppIDs, appID) {
		return false
	}
	return slices.ContainsFunc(e.Events, func(pattern string) bool { return matches(pattern, eventType) })
}

// matches: a star stands for the rest, dots included.
func matches(pattern, eventType string) bool {
	if prefix, open := strings.CutSuffix(pattern, "*"); open {
		return strings.HasPrefix(eventType, prefix)
	}
	return pattern == eventType
}

func (e Endpoint) equal(other Endpoint) bool {
	return e.Name == other.Name && slices.Equal(e.Events, other.Events) && slices.Equal(e.AppIDs, other.AppIDs) && e.Replier == other.Replier
}

// outbox is what all transactions of a store know about events.
type outbox struct {
	endpoints atomic.Pointer[[]Endpoint]
	arrived   chan struct{} // holds one when there may be new events
}

func newOutbox() *outbox {
	o := &outbox{arrived: make(chan struct{}, 1)}
	o.endpoints.Store(&[]Endpoint{})
	return o
}

func (o *outbox) wants(eventType, appID string) bool {
	return slices.ContainsFunc(*o.endpoints.Load(), func(e Endpoint) bool { return e.Wants(eventType, appID) })
}

func (o *outbox) wake() {
	select {
	case o.arrived <- struct{}{}:
	default:
	}
}

const (
	// Events go only after the mark has passed them, so a number above both is
	// new; AUTOINCREMENT would write one more row for it.
	insertEvent = `INSERT INTO outbox (seq, id, type, ordering, appid, created_at, reply_by, data) VALUES
  (max(coalesce((SELECT max(seq) FROM outbox), 0), (SELECT seq FROM outbox_mark WHERE one = 1)) + 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)`

	updateMark = `UPDATE outbox_mark SET seq = ?1 WHERE one = 1`

	selectNewEvents = `SELECT seq, type, ordering, appid, reply_by FROM outbox
WHERE seq > (SELECT seq FROM outbox_mark WHERE one = 1) ORDER BY seq LIMIT ?1`

	deleteEventIfDone = `DELETE FROM outbox WHERE seq = ?1
AND NOT EXISTS (SELECT 1 FROM outbox_deliveries WHERE seq = ?1)`

	insertDelivery = `INSERT INTO outbox_deliveries (seq, endpoint, ordering, state, due_at, not_before, claim, attempts, problem)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, '', 0, '')`

	// Waiting ones have an open one before them, so either is a reason to wait.
	selectQueued = `SELECT EXISTS (SELECT 1 FROM outbox_deliveries
WHERE endpoint = ?1 AND ordering = ?2 AND ordering <> '' AND state = 'open')`

	selectEndpoints = `SELECT name, events, appids, replier, configured, disabled_at FROM outbox_endpoints ORDER BY name`
	upsertEndpoint  = `INSERT INTO outbox_endpoints (name, events, appids, replier, configured, disabled_at)
VALUES (?1, ?2, ?3, ?4, 1, 0)
ON CONFLICT (name) DO UPDATE SET events = excluded.events, appids = excluded.appids, replier = excluded.replier, configured = 1`
	retireEndpoint = `UPDATE outbox_endpoints SET configured = 0 WHERE name = ?1`
)

// wants reports whether an event would be kept, so that nobody makes one in vain.
func (tx *transaction) wants(eventType, appID string) bool {
	return tx.outbox.wants(eventType, appID)
}

// enqueue keeps an event for the endpoints that want it, together with whatever
// else the transaction writes. Without such an endpoint it does nothing.
func (tx *transaction) enqueue(e Event, now time.Time) error {
	if !tx.wants(e.Type, e.AppID) {
		return nil
	}
	if e.ID == "" {
		e.ID = NewEventID()
	}
	if e.CreatedAt.IsZero() {
		e.CreatedAt = now
	}
	tx.enqueued = true
	return tx.exec(tx.stmts.insertEvent, e.ID, e.Type, e.Order, e.AppID, millis(e.CreatedAt), millis(e.ReplyBy), []byte(e.Data))
}

// enqueueJSON is enqueue with the data still to be encoded, which happens only
// if somebody wants the event.
func (tx *transaction) enqueueJSON(e Event, data any, now time.Time) error {
	if !tx.wants(e.Type, e.AppID) {
		return nil
	}
	var err error
	if e.Data, err = json.Marshal(data); err != nil {
		return fmt.Errorf("event %s: %w", e.Type, err)
	}
	return tx.enqueue(e, now)
}

func (s *sqliteStore) Enqueue(ctx context.Context, e Event) error {
	if !json.Valid(e.Data) || e.Type == "" {
		return errors.New("enqueue: an event needs a type and data that is JSON")
	}
	if !s.outbox.wants(e.Type, e.AppID) {
		return nil
	}
	now := s.now()
	if err := s.writer.do(ctx, func(tx *transaction) error { return tx.enqueue(e, now) }); err != nil {
		return fmt.Errorf("enqueue: %w", err)
	}
	return nil
}

func (s *sqliteStore) EventsArrived() <-chan struct{} { return s.outbox.arrived }

// fanOutBatch bounds what one call of FanOut handles.
const fanOutBatch = 500

func (s *sqliteStore) FanOut(ctx context.Context) (int, error) {
	waiting, err := collect(ctx, s.reads.newEvents, scanNewEvent, 1)
	if err == nil && len(waiting) == 0 {
		return 0, nil // the usual answer, without the writer
	}
	var n int
	if err == nil {
		err = s.writer.do(ctx, func(tx *transaction) (err error) {
			n, err = tx.fanOut(s.now())
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("fan out events: %w", err)
	}
	return n, nil
}

type newEvent struct {
	seq                   int64
	eventType, key, appID string
	replyBy               int64
}

func scanNewEvent(r scanner) (e newEvent, err error) {
	err = r.Scan(&e.seq, &e.eventType, &e.key, &e.appID, &e.replyBy)
	return e, err
}

func (tx *transaction) fanOut(now time.Time) (int, error) {
	var events []newEvent
	err := tx.query(tx.stmts.newEvents, func(r scanner) error {
		e, err := scanNewEvent(r)
		events = append(events, e)
		return err
	}, int64(fanOutBatch))
	if err != nil || len(events) == 0 {
		return 0, err
	}
	endpoints, err := tx.endpoints()
	if err != nil {
		return 0, err
	}
	for _, e := range events {
		wanted := false
		for _, endpoint := range endpoints {
			if !endpoint.Configured || !endpoint.Wants(e.eventType, e.appID) {
				continue
			}
			wanted = true
			if err := tx.addDelivery(e, endpoint, now); err != nil {
				return 0, err
			}
		}
		if !wanted {
			tx.exec(tx.stmts.deleteEventIfDone, e.seq)
		}
	}
	return len(events), tx.exec(tx.stmts.updateMark, events[len(events)-1].seq)
}

func (tx *transaction) addDelivery(e newEvent, endpoint EndpointState, now time.Time) error {
	queued := int64(0)
	if e.key != "" {
		if _, err := tx.queryRow(tx.stmts.selectQueued, func(r scanner) error { return r.Scan(&queued) }, endpoint.Name, e.key); err != nil {
			return err
		}
	}
	state, notBefore := "open", int64(0)
	if queued != 0 {
		state = "waiting"
	}
	if endpoint.Replier {
		notBefore = e.replyBy
	}
	return tx.exec(tx.stmts.insertDelivery, e.seq, endpoint.Name, e.key, state, max(millis(now), notBefore), notBefore)
}

// EndpointState is an endpoint as the store knows it.
type EndpointState struct {
	Endpoint
	Configured bool      // it is in the last SetEndpoints of any process
	DisabledAt time.Time // zero: it takes deliveries

	Pending  int       // deliveries that were neither acknowledged nor given up
	Retrying int       // of these, those that have failed before
	Failed   int       // deliveries that were given up
	OldestAt time.Time // when the oldest pending event was made; zero if none is

	// FailingSince is the first failure after the latest acknowledgement; zero if
	// there was none.
	FailingSince time.Time

	// NextAt is when the next attempt is due, which may be past; zero if none is.
	NextAt time.Time
}

func (tx *transaction) endpoints() ([]EndpointState, error) {
	var all []EndpointState
	err := tx.query(tx.stmts.selectEndpoints, func(r scanner) error {
		e, err := scanEndpoint(r)
		all = append(all, e)
		return err
	})
	return all, err
}

func scanEndpoint(r scanner, others ...any) (EndpointState, error) {
	var e EndpointState
	var events, appIDs string
	var replier, configured, disabled int64
	err := r.Scan(append([]any{&e.Name, &events, &appIDs, &replier, &configured, &disabled}, others...)...)
	e.Events, e.AppIDs = strings.Fields(events), strings.Fields(appIDs)
	e.Replier, e.Configured, e.DisabledAt = replier != 0, configured != 0, fromMillis(disabled)
	return e, err
}

func (s *sqliteStore) SetEndpoints(ctx context.Context, endpoints []Endpoint) error {
	err := s.writer.do(ctx, func(tx *transaction) error { return tx.setEndpoints(endpoints) })
	if err != nil {
		return fmt.Errorf("set endpoints: %w", err)
	}
	s.outbox.endpoints.Store(&endpoints)
	return nil
}

// setEndpoints writes what differs.
func (tx *transaction) setEndpoints(endpoints []Endpoint) error {
	before, err := tx.endpoints()
	if err != nil {
		return err
	}
	old := make(map[string]EndpointState, len(before))
	for _, e := range before {
		old[e.Name] = e
	}
	for _, e := range endpoints {
		was := old[e.Name]
		delete(old, e.Name)
		if was.Configured && was.equal(e) {
			continue
		}
		if err := tx.exec(tx.stmts.upsertEndpoint, e.Name, strings.Join(e.Events, " "), strings.Join(e.AppIDs, " "), intArg(e.Replier)); err != nil {
			return err
		}
	}
	for _, e := range old {
		if !e.Configured {
			continue
		}
		if err := tx.exec(tx.stmts.retireEndpoint, e.Name); err != nil {
			return err
		}
	}
	return nil
}

func intArg(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// loadEndpoints makes a process that sets none, such as a command of an
// operator's, tell those that the others have set.
func (s *sqliteStore) loadEndpoints(ctx context.Context) error {
	all, err := collect(ctx, s.reads.endpoints, func(r scanner) (EndpointState, error) { return scanEndpoint(r) })
	if err != nil {
		return err
	}
	var endpoints []Endpoint
	for _, e := range all {
		if e.Configured {
			endpoints = append(endpoints, e.Endpoint)
		}
	}
	s.outbox.endpoints.Store(&endpoints)
	return nil
}
