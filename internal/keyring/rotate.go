package keyring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"wxbridge/db"
	"wxbridge/internal/seal"
	"wxbridge/jwtauth"
)

var (
	// ErrNoKeys: the store has no key that could be replaced.
	ErrNoKeys = errors.New("the database has no signing key yet; the first start of the bridge makes one")

	// ErrNextPublished: a rotation is under way.
	ErrNextPublished = errors.New("the next signing key is published already and signs soon; try again when it does")

	// ErrSameSecret: with HS256 the key is the configured secret, and it has not changed.
	ErrSameSecret = errors.New("with HS256 the key is WXBRIDGE_JWT_HS256_SECRET: set a new one, here and for the bridge, and its next start rotates")

	// ErrCompromisedSecret: the configured HS256 secret was declared compromised.
	ErrCompromisedSecret = errors.New("WXBRIDGE_JWT_HS256_SECRET is a secret that was declared compromised; set a new one")
)

// Why a key was made, as the log has it.
const (
	becauseFirst       = "first start"
	becauseAge         = "age"
	becauseConfig      = "configuration"
	becauseCommand     = "command"
	becauseCompromised = "compromised"
)

// Rotate publishes a new key, of the algorithm of o, which signs as soon as the
// caches of others must have it. Processes on the store follow by themselves. It
// never makes a second key while one is published that does not sign yet
// ([ErrNextPublished]).
func Rotate(ctx context.Context, store db.KeyStore, box *seal.Box, o Options) ([]Entry, error) {
	return rotateNow(ctx, store, box, o, (*changer).rotate)
}

// RotateCompromised ends all trust in every key there is and makes a new one, of
// the algorithm of o, which signs at once. All tokens signed before are refused
// from then on.
func RotateCompromised(ctx context.Context, store db.KeyStore, box *seal.Box, o Options) ([]Entry, error) {
	return rotateNow(ctx, store, box, o, (*changer).replaceAll)
}

func rotateNow(ctx context.Context, store db.KeyStore, box *seal.Box, o Options,
	how func(*changer, []db.KeyRow) ([]db.KeyRow, error)) ([]Entry, error) {
	o.setDefaults()
	c := newChanger(box, o)
	if o.Alg != jwtauth.HS256 {
		if _, err := c.fresh(o.Alg); err != nil { // takes too long for a transaction
			return nil, err
		}
	}
	rows, err := store.ChangeKeys(ctx, func(rows []db.KeyRow) ([]db.KeyRow, error) {
		c.made = nil
		if len(rows) == 0 {
			return nil, ErrNoKeys
		}
		if err := checkAll(rows, box); err != nil {
			return nil, err // else the next start of the bridge would find two secrets at work
		}
		return how(c, rows)
	})
	if err != nil {
		return nil, err
	}
	c.report(o.Logger)
	return Schedule(rows, c.now), nil
}

// List says what each key in the store does now, in the order in which they sign.
func List(ctx context.Context, store db.KeyStore, now time.Time) ([]Entry, error) {
	rows, err := store.Keys(ctx)
	if err != nil {
		return nil, err
	}
	return Schedule(rows, now), nil
}

// changer is one attempt to change the rows. Its methods compute new rows from old
// ones, inside the store's transaction, and may run more than once.
type changer struct {
	box *seal.Box
	o   Options
	now time.Time

	generated map[string]db.KeyRow // by algorithm: rows of new keys, ready to be used
	made      *made                // what the last run added
}

type made struct{ id, alg, reason string }

func newChanger(box *seal.Box, o Options) *changer {
	return &changer{box: box, o: o, now: stored(o.Now()), generated: map[string]db.KeyRow{}}
}

// fresh is a new key of an algorithm, the same however often it is asked for.
func (c *changer) fresh(alg string) (db.KeyRow, error) {
	if row, ok := c.generated[alg]; ok {
		return row, nil
	}
	var key jwtauth.Key
	var err error
	if alg == jwtauth.HS256 {
		key, err = jwtauth.NewSymmetricKey(c.o.HS256Secret)
	} else {
		key, err = jwtauth.GenerateKey(alg)
	}
	if err != nil {
		return db.KeyRow{}, err
	}
	row, err := newRow(key, c.box)
	if err != nil {
		return db.KeyRow{}, err
	}
	row.TokenTTL, row.JWKSMaxAge = c.o.TokenTTL, c.o.JWKSMaxAge
	c.generated[alg] = row
	return row, nil
}

// start is what a starting process does: the first key, and the algorithm that is
// configured.
func (c *changer) start(rows []db.KeyRow) ([]db.KeyRow, error) {
	c.made = nil
	if len(rows) == 0 {
		return c.add(nil, c.o.Alg, c.now, becauseFirst)
	}
	if err := checkAll(rows, c.box); err != nil {
		return nil, err
	}
	if len(signers(rows)) == 0 {
		return nil, ErrNoSigningKey
	}
	rows, err := c.tidy(rows)
	if err != nil {
		return nil, err
	}
	last := lastOf(signers(rows))
	if last.Alg != c.o.Alg || last.Alg == jwtauth.HS256 && last.ID != jwtauth.SymmetricKeyID(c.o.HS256Secret) {
		return c.schedule(rows, c.o.Alg, becauseConfig)
	}
	return c.replaceOld(rows)
}

// tend is what every process does now and then; whoever is first does it for all.
func (c *changer) tend(rows []db.KeyRow) ([]db.KeyRow, error) {
	c.made = nil
	rows, err := c.tidy(rows)
	if err != nil {
		return nil, err
	}
	return c.replaceOld(rows)
}

// replaceOld replaces the newest key by age, with one of its own algorithm: what
// this process was configured with may be outdated, since another algorithm takes
// a start. An HS256 secret only its owner can replace.
func (c *changer) replaceOld(rows []db.KeyRow) ([]db.KeyRow, error) {
	signers := signers(rows)
	if len(signers) == 0 || c.o.MaxAge == 0 {
		return rows, nil
	}
	last := lastOf(signers)
	if last.Alg == jwtauth.HS256 || c.now.Before(last.ActiveAt.Add(c.o.MaxAge-c.lead(last.Alg, rows))) {
		return rows, nil
	}
	return c.schedule(rows, last.Alg, becauseAge)
}

// tidy drops expired keys, destroys private parts that are needed no more, notes
// how long this process lets tokens and caches live, and seals with the current
// secret what the previous one has sealed.
func (c *changer) tidy(rows []db.KeyRow) ([]db.KeyRow, error) {
	var kept []db.KeyRow
	for _, e := range Schedule(rows, c.now) {
		row, keep, err := c.tidyOne(e)
		if err != nil {
			return nil, err
		}
		if keep {
			kept = append(kept, row)
		}
	}
	slices.SortFunc(kept, byAge)
	return kept, nil
}

func (c *changer) tidyOne(e Entry) (row db.KeyRow, keep bool, err error) {
	row = e.row
	switch e.Phase {
	case Expired:
		return row, false, nil
	case Compromised:
		// The id of a secret stays, so that the secret is never taken again.
		return row, row.Alg == jwtauth.HS256 || c.now.Before(lastUse(row, row.CompromisedAt)), nil
	case Next, Signing:
		row.TokenTTL, row.JWKSMaxAge = max(row.TokenTTL, c.o.TokenTTL), max(row.JWKSMaxAge, c.o.JWKSMaxAge)
	case Verifying:
		if row.RetiredAt.IsZero() && !c.now.Before(e.Since.Add(FollowTime)) {
			row, err = retire(row, e.Since, c.box)
			return row, true, err
		}
	}
	row.Sealed, _, err = c.box.Reseal(purposeOf(row), row.Sealed, []byte(row.ID))
	if err != nil {
		return row, false, fmt.Errorf("signing key %q: %w", row.ID, ErrWrongSecret)
	}
	return row, true, nil
}

// rotate adds a key that signs once everybody can know it.
func (c *changer) rotate(rows []db.KeyRow) ([]db.KeyRow, error) {
	signers := signers(rows)
	if len(signers) > 0 && lastOf(signers).ActiveAt.After(c.now) {
		return nil, ErrNextPublished
	}
	if c.o.Alg == jwtauth.HS256 && len(signers) > 0 && lastOf(signers).ID == jwtauth.SymmetricKeyID(c.o.HS256Secret) {
		return nil, ErrSameSecret
	}
	return c.schedule(rows, c.o.Alg, becauseCommand)
}

// replaceAll adds a key that signs at once and compromises all others.
func (c *changer) replaceAll(rows []db.KeyRow) ([]db.KeyRow, error) {
	var kept []db.KeyRow
	for _, row := range rows {
		if c.o.Alg == jwtauth.HS256 && row.ID == jwtauth.SymmetricKeyID(c.o.HS256Secret) {
			return nil, ErrSameSecret
		}
		kept = append(kept, compromise(row, c.now))
	}
	return c.add(kept, c.o.Alg, c.now, becauseCompromised)
}

// schedule adds a key that signs after all others, and not before everybody can
// know it.
func (c *changer) schedule(rows []db.KeyRow, alg, reason string) ([]db.KeyRow, error) {
	active := c.now
	if signers := signers(rows); len(signers) > 0 {
		active = c.now.Add(c.lead(alg, rows))
		if last := lastOf(signers).ActiveAt; !active.After(last) {
			active = last.Add(time.Millisecond)
		}
	}
	return c.add(rows, alg, active, reason)
}

// lead is how long a new key is known before it signs: as long as any process may
// have told others to keep the key set, and then as long as processes need to
// follow. An HS256 key is in no key set.
func (c *changer) lead(alg string, rows []db.KeyRow) time.Duration {
	if alg == jwtauth.HS256 {
		return FollowTime
	}
	longest := c.o.JWKSMaxAge
	for _, row := range rows {
		longest = max(longest, row.JWKSMaxAge)
	}
	return longest + FollowTime
}

// add adds a key.
func (c *changer) add(rows []db.KeyRow, alg string, active time.Time, reason string) ([]db.KeyRow, error) {
	fresh, err := c.fresh(alg)
	if err != nil {
		return nil, err
	}
	fresh.CreatedAt, fresh.ActiveAt = c.now, active
	c.made = &made{id: fresh.ID, alg: alg, reason: reason}
	i := slices.IndexFunc(rows, func(r db.KeyRow) bool { return r.ID == fresh.ID })
	if i < 0 {
		return append(slices.Clip(rows), fresh), nil
	}
	return c.addAgain(rows, i, fresh)
}

// addAgain lets an HS256 secret that was in use before sign again; of no other kind
// of key does an id come twice.
func (c *changer) addAgain(rows []db.KeyRow, i int, fresh db.KeyRow) ([]db.KeyRow, error) {
	if !rows[i].CompromisedAt.IsZero() {
		return nil, ErrCompromisedSecret
	}
	for _, e := range Schedule(rows, c.now) {
		if e.ID == fresh.ID && e.Phase == Signing {
			return c.withdrawNext(rows)
		}
	}
	rows = slices.Clone(rows)
	fresh.TokenTTL, fresh.JWKSMaxAge = max(fresh.TokenTTL, rows[i].TokenTTL), max(fresh.JWKSMaxAge, rows[i].JWKSMaxAge)
	rows[i] = fresh
	return rows, nil
}

// withdrawNext lets the key that signs now go on, by retiring those that were to
// follow. They still verify: one may have signed before, or on a clock that is ahead.
func (c *changer) withdrawNext(rows []db.KeyRow) (kept []db.KeyRow, err error) {
	c.made = nil
	for _, e := range Schedule(rows, c.now) {
		row := e.row
		if e.Phase == Next {
			if row, err = retire(row, c.now, c.box); err != nil {
				return nil, err
			}
		}
		kept = append(kept, row)
	}
	slices.SortFunc(kept, byAge)
	return kept, nil
}

// report logs what was made (LOG-03).
func (c *changer) report(logger *slog.Logger) {
	if c.made != nil {
		logger.Info("a new signing key", "event", "key.rotated", "kid", c.made.id, "alg", c.made.alg, "reason", c.made.reason)
	}
}

func lastOf(signers []db.KeyRow) db.KeyRow { return signers[len(signers)-1] }
