package db

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ScanState is how far a scan has come. It only ever moves on.
type ScanState string

const (
	ScanWaiting   ScanState = "waiting"   // nobody has scanned the code
	ScanScanned   ScanState = "scanned"   // somebody has, and is being asked
	ScanConfirmed ScanState = "confirmed" // that person lets the browser in
	ScanDeclined  ScanState = "declined"  // that person does not; it ends here
	ScanSpent     ScanState = "spent"     // the browser has gone in; it ends here
)

// Scan is one attempt to log in a computer's browser by a code that is scanned
// with a phone.
type Scan struct {
	ID    string // known to the browser that waits, and to nobody else: whoever has it may spend a confirmed scan
	Code  string // names the scan to the phone; no credential
	AppID string // the official account the person is known by
	Scope string // what the login is to cover

	// What the phone is shown.
	Browser string // "" is not known
	Address string // of the browser; "" is not known

	Network string // what ScanLimits.PerNetwork counts

	State       ScanState
	OpenID      string    // who scanned it first, and nobody else from then on; "" while ScanWaiting
	ConfirmedAt time.Time // zero unless it was confirmed
	CreatedAt   time.Time
	ExpiresAt   time.Time // it is gone then, whatever its state
}

// ScanLimits bound the scans that are kept at a time, by all processes together.
type ScanLimits struct {
	Total      int
	PerNetwork int // of those that have not ended
}

var (
	// ErrTooManyScans: so many scans are open that no other is begun.
	ErrTooManyScans = errors.New("too many scans are open")

	// ErrTooManyOfNetwork: so many are open of one network.
	ErrTooManyOfNetwork = errors.New("too many scans of one network are open")
)

// ScanStore keeps scans for the few minutes they take. Methods that find one get
// ErrNotFound once it has expired.
type ScanStore interface {
	// StartScan keeps a new scan, which waits. It sets State and CreatedAt, and leaves
	// OpenID and ConfirmedAt empty. ErrTooManyScans, ErrTooManyOfNetwork: a limit is
	// reached, and nothing was kept.
	StartScan(ctx context.Context, scan Scan, most ScanLimits) error

	// Scan returns the scan with the id, ScanByCode that with the code.
	Scan(ctx context.Context, id string) (Scan, error)
	ScanByCode(ctx context.Context, code string) (Scan, error)

	// ClaimScan makes a waiting scan that of the person, and lets it live until the
	// given time at least. It returns the scan as it is then: of somebody else, if
	// they came first.
	ClaimScan(ctx context.Context, code, openID string, until time.Time) (Scan, error)

	// AnswerScan confirms or declines a scan of the person's that is ScanScanned, and
	// returns the scan as it is then. Any other stays as it is. at is kept as
	// ConfirmedAt.
	AnswerScan(ctx context.Context, code, openID string, confirm bool, at time.Time) (Scan, error)

	// SpendScan spends a confirmed scan and returns it. Of several calls, in any
	// number of processes, one does; the others get ErrNotFound, as does a call for a
	// scan that is not confirmed.
	SpendScan(ctx context.Context, id string) (Scan, error)

	// DropScan forgets a scan that its browser has given up. None is no error.
	DropScan(ctx context.Context, id string) error

	// MovedScans returns the states of all scans that wait no more, by id.
	MovedScans(ctx context.Context) (map[string]ScanState, error)

	// PruneScans forgets some of the scans that have expired, and returns how many; 0
	// when none is left. One call takes a bounded time.
	PruneScans(ctx context.Context) (int, error)
}

// scanBatch is what one call of PruneScans forgets at most.
const scanBatch = 500

const (
	scanColumns = `id, code, appid, scope, browser, address, network, state, openid, confirmed_at, created_at, expires_at`

	insertScan = `INSERT INTO scans (` + scanColumns + `)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'waiting', '', 0, ?8, ?9)`

	countScans = `SELECT count(*), count(*) FILTER (WHERE network = ?1 AND state NOT IN ('declined', 'spent'))
FROM scans WHERE expires_at > ?2`
	selectScan       = `SELECT ` + scanColumns + ` FROM scans WHERE id = ?1 AND expires_at > ?2`
	selectScanByCode = `SELECT ` + scanColumns + ` FROM scans WHERE code = ?1 AND expires_at > ?2`
	selectMovedScans = `SELECT id, state FROM scans WHERE state <> 'waiting' AND expires_at > ?1`

	claimScan = `UPDATE scans SET state = 'scanned', openid = ?2, expires_at = max(expires_at, ?3)
WHERE code = ?1 AND state = 'waiting' AND expires_at > ?4`

	answerScan = `UPDATE scans SET state = ?3, confirmed_at = ?4
WHERE code = ?1 AND openid = ?2 AND state = 'scanned' AND expires_at > ?5`

	spendScan = `UPDATE scans SET state = 'spent' WHERE id = ?1 AND state = 'confirmed' AND expires_at > ?2`
	dropScan  = `DELETE FROM scans WHERE id = ?1`

	pruneScans = `DELETE FROM scans WHERE id IN (SELECT id FROM scans WHERE expires_at <= ?1 LIMIT ?2)`

	eraseScans = `DELETE FROM scans WHERE openid <> '' AND (appid, openid) IN
  (SELECT appid, openid FROM identities WHERE fan_id = ?1 AND provider = '` + ProviderOfficialAccount + `')`
)

func (s *sqliteStore) StartScan(ctx context.Context, scan Scan, most ScanLimits) error {
	if scan.ID == "" || scan.Code == "" || scan.AppID == "" || scan.ExpiresAt.IsZero() {
		return errors.New("start scan: it needs an id, a code, an appid and an end")
	}
	err := s.writer.do(ctx, func(tx *transaction) error { return tx.startScan(scan, most, s.now()) })
	if err != nil {
		return fmt.Errorf("start scan: %w", err)
	}
	return nil
}

// startScan takes away what has expired, too, so that addresses and openids are not
// kept for longer than people log in.
func (tx *transaction) startScan(scan Scan, most ScanLimits, now time.Time) error {
	var total, ofNetwork int64
	_, err := tx.queryRow(tx.stmts.countScans, func(r scanner) error { return r.Scan(&total, &ofNetwork) }, scan.Network, millis(now))
	switch {
	case err != nil:
		return err
	case ofNetwork >= int64(most.PerNetwork):
		return ErrTooManyOfNetwork
	case total >= int64(most.Total):
		return ErrTooManyScans
	}
	if err := tx.exec(tx.stmts.pruneScans, millis(now), int64(scanBatch)); err != nil {
		return err
	}
	return tx.exec(tx.stmts.insertScan, scan.ID, scan.Code, scan.AppID, scan.Scope, scan.Browser, scan.Address, scan.Network,
		millis(now), millis(scan.ExpiresAt))
}

func (s *sqliteStore) Scan(ctx context.Context, id string) (Scan, error) {
	scan, err := one(ctx, s.reads.scan, scanScan, id, millis(s.now()))
	if err != nil {
		return Scan{}, fmt.Errorf("read scan: %w", err)
	}
	return scan, nil
}

func (s *sqliteStore) ScanByCode(ctx context.Context, code string) (Scan, error) {
	scan, err := one(ctx, s.reads.scanByCode, scanScan, code, millis(s.now()))
	if err != nil {
		return Scan{}, fmt.Errorf("read scan by code: %w", err)
	}
	return scan, nil
}

func (s *sqliteStore) ClaimScan(ctx context.Context, code, openID string, until time.Time) (Scan, error) {
	if openID == "" {
		return Scan{}, errors.New("claim scan: nobody scanned it")
	}
	scan, err := s.moveScan(ctx, code, func(tx *transaction, now time.Time) error {
		return tx.exec(tx.stmts.claimScan, code, openID, millis(until), millis(now))
	})
	if err != nil {
		return Scan{}, fmt.Errorf("claim scan: %w", err)
	}
	return scan, nil
}

func (s *sqliteStore) AnswerScan(ctx context.Context, code, openID string, confirm bool, at time.Time) (Scan, error) {
	if openID == "" {
		return Scan{}, errors.New("answer scan: nobody answers")
	}
	state, confirmedAt := ScanDeclined, int64(0)
	if confirm {
		state, confirmedAt = ScanConfirmed, millis(at)
	}
	scan, err := s.moveScan(ctx, code, func(tx *transaction, now time.Time) error {
		return tx.exec(tx.stmts.answerScan, code, openID, string(state), confirmedAt, millis(now))
	})
	if err != nil {
		return Scan{}, fmt.Errorf("answer scan: %w", err)
	}
	return scan, nil
}

// moveScan runs a change and returns the scan with the code as it is then.
func (s *sqliteStore) moveScan(ctx context.Context, code string, change func(*transaction, time.Time) error) (Scan, error) {
	return s.writeScan(ctx, func(tx *transaction, read func(scanner) error) (bool, error) {
		now := s.now()
		if err := change(tx, now); err != nil {
			return false, err
		}
		return tx.queryRow(tx.stmts.scanByCode, read, code, millis(now))
	})
}

// writeScan runs an operation that reads a scan. That there is none becomes an error
// only after the commit: inside, it would undo what others write in the same.
func (s *sqliteStore) writeScan(ctx context.Context, run func(*transaction, func(scanner) error) (found bool, err error)) (Scan, error) {
	var scan Scan
	found := false
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		found, err = run(tx, func(r scanner) (err error) {
			scan, err = scanScan(r)
			return err
		})
		return err
	})
	switch {
	case err != nil:
		return Scan{}, err
	case !found:
		return Scan{}, ErrNotFound
	}
	return scan, nil
}

func (s *sqliteStore) SpendScan(ctx context.Context, id string) (Scan, error) {
	scan, err := s.writeScan(ctx, func(tx *transaction, read func(scanner) error) (bool, error) {
		now := millis(s.now())
		spent, err := tx.execCount(tx.stmts.spendScan, id, now)
		if err != nil || spent == 0 {
			return false, err
		}
		return tx.queryRow(tx.stmts.scan, read, id, now)
	})
	if err != nil {
		return Scan{}, fmt.Errorf("spend scan: %w", err)
	}
	return scan, nil
}

func (s *sqliteStore) DropScan(ctx context.Context, id string) error {
	err := s.writer.do(ctx, func(tx *transaction) error { return tx.exec(tx.stmts.dropScan, id) })
	if err != nil {
		return fmt.Errorf("drop scan: %w", err)
	}
	return nil
}

func (s *sqliteStore) MovedScans(ctx context.Context) (map[string]ScanState, error) {
	type moved struct{ id, state string }
	all, err := collect(ctx, s.reads.movedScans, func(r scanner) (m moved, err error) {
		err = r.Scan(&m.id, &m.state)
		return m, err
	}, millis(s.now()))
	if err != nil {
		return nil, fmt.Errorf("read scans that moved: %w", err)
	}
	states := make(map[string]ScanState, len(all))
	for _, m := range all {
		states[m.id] = ScanState(m.state)
	}
	return states, nil
}

func (s *sqliteStore) PruneScans(ctx context.Context) (int, error) {
	var pruned int64
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		pruned, err = tx.execCount(tx.stmts.pruneScans, millis(s.now()), int64(scanBatch))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune scans: %w", err)
	}
	return int(pruned), nil
}

func scanScan(r scanner) (Scan, error) {
	var s Scan
	var state string
	var confirmed, created, expires int64
	err := r.Scan(&s.ID, &s.Code, &s.AppID, &s.Scope, &s.Browser, &s.Address, &s.Network, &state, &s.OpenID,
		&confirmed, &created, &expires)
	s.State = ScanState(state)
	s.ConfirmedAt, s.CreatedAt, s.ExpiresAt = fromMillis(confirmed), fromMillis(created), fromMillis(expires)
	return s, err
}
