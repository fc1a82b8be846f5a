// Package keyring turns the store's key rows into the key set that signs and
// verifies: it makes the first key, unseals, rotates, and follows what other
// processes on the store do.
//
// Every process decides alone, from the rows and its clock, which key signs
// ([Schedule]); no process leads. Rows change in single transactions, so a process
// that dies at any moment leaves rows that work.
package keyring

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"wxbridge/db"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
)

var (
	// ErrWrongSecret: a stored key does not open. Either the secret is not the one
	// the key was sealed with, or the row is damaged.
	ErrWrongSecret = errors.New("WXBRIDGE_SECRET does not open it (another secret than the one this database was made with, or a damaged row); " +
		"if the secret was changed, give the one before in WXBRIDGE_SECRET_PREVIOUS")

	// ErrNoSigningKey: there are keys, but none may sign.
	ErrNoSigningKey = errors.New("the store has signing keys, but all are retired")
)

// PollEvery is how often a process should look at the store, and so how late it
// follows.
const PollEvery = 500 * time.Millisecond

// Options say how keys are made and replaced. Now is required.
type Options struct {
	Alg         string // of new keys; "" means ES256
	HS256Secret []byte // the key where Alg is HS256

	MaxAge     time.Duration // age at which a key is replaced; 0: never
	TokenTTL   time.Duration // life of the tokens this process signs
	JWKSMaxAge time.Duration // how long this process lets others cache the key set

	Now    func() time.Time
	Logger *slog.Logger // nil: no log
}

func (o *Options) setDefaults() {
	if o.Alg == "" {
		o.Alg = jwtauth.ES256
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Keyring keeps a key set as the store wants it.
type Keyring struct {
	store db.KeyStore
	box   *seal.Box
	o     Options
	keys  *jwtauth.KeySet

	mu       sync.Mutex
	rows     []db.KeyRow          // as they were at the last look that succeeded
	lookedAt time.Time            // when the key set was last all that the store had
	opened   map[string]openedKey // by id
	phases   map[string]Phase     // by id: what was last logged
	blocked  bool                 // a row does not open: this process changes none
	missing  bool                 // and its key was never known: the key set lacks it
	signing  jwtauth.Key          // what the key set was last made of
	others   []jwtauth.Key
	overdue  bool // it was logged that the HS256 secret is old
}

// openedKey is a key and the sealed bytes it was last looked for in. If they do not
// open, it is what was known before, or empty.
type openedKey struct {
	sealed []byte
	key    jwtauth.Key
	opens  bool
}

// Open loads all keys, makes the first one in an empty store, and begins a rotation
// if the configured algorithm is not that of the newest key. Of several processes
// that start at once, all end with the same keys. It never replaces a key that
// cannot be opened: that is an error ([ErrWrongSecret]), and the row stays as it is,
// since a new key in its place would log everybody out.
func Open(ctx context.Context, store db.KeyStore, box *seal.Box, o Options) (*Keyring, error) {
	o.setDefaults()
	k := newKeyring(store, box, o)
	rows, err := store.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("load signing keys: %w", err)
	}
	if rows, err = k.change(ctx, rows, (*changer).start); err != nil {
		return nil, err
	}
	k.lookedAt = o.Now()
	if err := k.take(rows); err != nil {
		return nil, err
	}
	return k, nil
}

func newKeyring(store db.KeyStore, box *seal.Box, o Options) *Keyring {
	return &Keyring{store: store, box: box, o: o, keys: new(jwtauth.KeySet), opened: map[string]openedKey{}, phases: map[string]Phase{}}
}

// Load reads the keys of a store as they are now and changes nothing.
func Load(ctx context.Context, store db.KeyStore, box *seal.Box, now func() time.Time) (*jwtauth.KeySet, error) {
	rows, err := store.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("load signing keys: %w", err)
	}
	if len(rows) == 0 {
		return nil, ErrNoKeys
	}
	if err := checkAll(rows, box); err != nil {
		return nil, err
	}
	if len(signers(rows)) == 0 {
		return nil, ErrNoSigningKey
	}
	o := Options{Now: now}
	o.setDefaults()
	k := newKeyring(store, box, o)
	if err := k.take(rows); err != nil {
		return nil, err
	}
	return k.keys, nil
}

// Keys returns the key set, which changes as the keyring looks at the store.
func (k *Keyring) Keys() *jwtauth.KeySet { return k.keys }

// JWKSMaxAge is how long others may cache the key set from now on: as long as this
// process was told, but never into a time for which a key may have been published
// that this process lacks, because it cannot read the store or that key (KEY-05).
func (k *Keyring) JWKSMaxAge() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	certain := k.lookedAt.Add(k.o.JWKSMaxAge + FollowTime/2).Sub(k.o.Now())
	return max(0, min(k.o.JWKSMaxAge, certain))
}

// Follow looks at the store at every tick until ctx ends. While the store cannot be
// read, the keys of the last look are used on, each from and until its time.
func (k *Keyring) Follow(ctx context.Context, tick <-chan time.Time) {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		err := k.Look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			k.o.Logger.Warn("signing keys are not followed for now; those at hand are used on", "error", err.Error())
		case err == nil && failing:
			k.o.Logger.Info("signing keys are followed again")
		}
		failing = err != nil
	}
}

// Look brings the key set to what the store says now, and does in the store what is
// due: a new key for an old one, private parts destroyed, expired keys dropped.
func (k *Keyring) Look(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	rows, err := k.store.Keys(ctx)
	if err != nil {
		return errors.Join(err, k.take(k.rows))
	}
	if len(signers(rows)) == 0 { // somebody emptied the table
		return errors.Join(ErrNoSigningKey, k.take(k.rows))
	}
	if err := k.take(rows); err != nil {
		return err
	}
	if !k.missing {
		k.lookedAt = k.o.Now()
	}
	if k.blocked {
		return nil
	}
	changed, err := k.change(ctx, rows, (*changer).tend)
	if err != nil {
		return err
	}
	return k.take(changed)
}

// change applies a change if it makes a difference.
func (k *Keyring) change(ctx context.Context, rows []db.KeyRow, how func(*changer, []db.KeyRow) ([]db.KeyRow, error)) ([]db.KeyRow, error) {
	c := newChanger(k.box, k.o)
	wanted, err := how(c, rows)
	if err != nil || equalRows(rows, wanted) {
		return rows, err
	}
	rows, err = k.store.ChangeKeys(ctx, func(rows []db.KeyRow) ([]db.KeyRow, error) { return how(c, rows) })
	if err != nil {
		return nil, fmt.Errorf("change signing keys: %w", err)
	}
	c.report(k.o.Logger)
	return rows, nil
}

// take makes the key set of the rows, at this moment.
func (k *Keyring) take(rows []db.KeyRow) error {
	var signing jwtauth.Key
	var others []jwtauth.Key
	k.blocked, k.missing = false, false
	entries := Schedule(rows, k.o.Now())
	for _, e := range entries {
		if e.Phase == Compromised || e.Phase == Expired {
			delete(k.opened, e.ID)
			continue
		}
		key, ok := k.open(e)
		switch {
		case !ok:
			k.missing = true
		case e.Phase == Signing:
			signing = key
		default:
			others = append(others, key)
		}
	}
	if signing.ID() == "" && slices.Contains(others, k.signing) {
		signing = k.signing // the one that should sign does not open here
	}
	if err := k.replace(signing, others); err != nil {
		return err
	}
	k.logChanges(entries)
	k.rows = rows
	return nil
}

// open gives the key of a row, from memory if it is the one that was opened last. A
// row that does not open now but did before keeps its key: another process has
// sealed it again, with a secret that this one will have after its next start.
func (k *Keyring) open(e Entry) (key jwtauth.Key, ok bool) {
	known, seen := k.opened[e.ID]
	if !seen || !hmac.Equal(known.sealed, e.row.Sealed) {
		fresh, err := open(e.row, k.box)
		if err != nil {
			k.o.Logger.Error("a signing key in the store cannot be opened; until it can, this process changes no keys", "event", "key.unreadable",
				"kid", e.ID, "alg", e.Alg, "known", known.key.ID() != "", "error", err.Error())
			fresh = known.key
		}
		known = openedKey{sealed: e.row.Sealed, key: fresh, opens: err == nil}
		k.opened[e.ID] = known
	}
	k.blocked = k.blocked || !known.opens
	return known.key, known.key.ID() != ""
}

// replace changes the key set if it must. Without a key to sign with, nothing is
// signed: better than with one that is not trusted.
func (k *Keyring) replace(signing jwtauth.Key, others []jwtauth.Key) error {
	if k.rows != nil && signing == k.signing && slices.Equal(others, k.others) {
		return nil
	}
	var err error
	if signing.ID() == "" {
		err = k.keys.ReplaceVerifying(others...)
	} else {
		err = k.keys.Replace(signing, others...)
	}
	if err == nil {
		k.signing, k.others = signing, others
	}
	return err
}

// logChanges tells what has changed since the last time, by fixed names (LOG-03).
// A start tells nothing.
func (k *Keyring) logChanges(entries []Entry) {
	phases := map[string]Phase{}
	for _, e := range entries {
		before, known := k.phases[e.ID]
		phases[e.ID] = e.Phase
		attrs := []any{"kid", e.ID, "alg", e.Alg}
		switch {
		case k.rows == nil || before == e.Phase:
		case e.Phase == Next:
			k.o.Logger.Info("a new signing key is published", append(attrs, "event", "key.published", "signs_from", e.Until)...)
		case e.Phase == Signing:
			k.o.Logger.Info("another key signs from now on", append(attrs, "event", "key.activated")...)
		case e.Phase == Compromised && known:
			k.o.Logger.Warn("a signing key is trusted no more; its tokens are refused", append(attrs, "event", "key.dropped", "reason", "compromised")...)
		case e.Phase == Expired && known:
			k.o.Logger.Info("the last token of an old signing key has expired", append(attrs, "event", "key.dropped", "reason", "expired")...)
		}
		if e.Phase == Signing {
			k.warnOfAge(e)
		}
	}
	for id, before := range k.phases {
		if _, there := phases[id]; !there && before != Compromised && before != Expired {
			k.o.Logger.Warn("a signing key has gone from the store; its tokens are refused", "event", "key.dropped", "kid", id, "reason", "gone")
		}
	}
	k.phases = phases
}

// warnOfAge tells, once, that an HS256 secret is old: nobody but its owner can
// replace it.
func (k *Keyring) warnOfAge(e Entry) {
	age := k.o.Now().Sub(e.Since)
	if e.Alg != jwtauth.HS256 || k.o.MaxAge == 0 || age < k.o.MaxAge || k.overdue {
		return
	}
	k.overdue = true
	k.o.Logger.Warn("the HS256 secret is older than WXBRIDGE_KEY_MAX_AGE; set a new one in WXBRIDGE_JWT_HS256_SECRET",
		"event", "key.overdue", "kid", e.ID, "age", age.String())
}
