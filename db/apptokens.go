package db

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// AppTokenStore keeps the tokens and tickets of WeChat's apps, sealed by the caller, and
// lets one process at a time fetch a new one: the others see that it is locked.
// A lock is a lease, which ends by itself.
type AppTokenStore interface {
	// SealedAppToken returns what was saved last under the key, nil if nothing was.
	SealedAppToken(ctx context.Context, key string) ([]byte, error)

	// LockAppToken makes owner the holder for the given time and reports true,
	// unless somebody else holds the lock and their time is not over. A lock from
	// the future, which a clock that was set back leaves behind, counts as over.
	LockAppToken(ctx context.Context, key, owner string, lease time.Duration) (bool, error)

	// SaveAppToken replaces what is saved, if owner holds the lock, even past its
	// time; else it changes nothing. The lock stays.
	SaveAppToken(ctx context.Context, key, owner string, sealed []byte) error

	// UnlockAppToken ends the lock, if owner holds it; else it changes nothing.
	UnlockAppToken(ctx context.Context, key, owner string) error

	// ForgetAppTokens drops all that is saved, and every lock.
	ForgetAppTokens(ctx context.Context) error
}

// lockSkew is how far ahead of ours the clock of another process may seem to be,
// in milliseconds.
const lockSkew = 1000

const (
	selectAppToken = `SELECT sealed FROM app_tokens WHERE key = ?1`

	lockAppToken = `
INSERT INTO app_tokens (key, owner, locked_at, locked_until) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, locked_at = excluded.locked_at, locked_until = excluded.locked_until
WHERE owner IN ('', excluded.owner) OR locked_until <= excluded.locked_at OR locked_at > excluded.locked_at + ?5`

	saveAppToken   = `UPDATE app_tokens SET sealed = ?3 WHERE key = ?1 AND owner = ?2`
	unlockAppToken = `UPDATE app_tokens SET owner = '', locked_at = 0, locked_until = 0 WHERE key = ?1 AND owner = ?2`

	forgetAppTokens = `DELETE FROM app_tokens`
)

var errNoOwner = errors.New("an app token's lock needs an owner")

func (s *sqliteStore) SealedAppToken(ctx context.Context, key string) ([]byte, error) {
	sealed, err := one(ctx, s.reads.appToken, func(r scanner) (sealed []byte, err error) {
		err = r.Scan(&sealed)
		return sealed, err
	}, key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("read app token: %w", err)
	}
	return sealed, nil
}

func (s *sqliteStore) LockAppToken(ctx context.Context, key, owner string, lease time.Duration) (bool, error) {
	now := s.now()
	n, err := s.changeAppToken(ctx, owner, func(tx *transaction) (int64, error) {
		return tx.execCount(tx.stmts.lockAppToken, key, owner, millis(now), millis(now.Add(lease)), int64(lockSkew))
	})
	if err != nil {
		return false, fmt.Errorf("lock app token: %w", err)
	}
	return n == 1, nil
}

func (s *sqliteStore) SaveAppToken(ctx context.Context, key, owner string, sealed []byte) error {
	_, err := s.changeAppToken(ctx, owner, func(tx *transaction) (int64, error) {
		return tx.execCount(tx.stmts.saveAppToken, key, owner, sealed)
	})
	if err != nil {
		return fmt.Errorf("save app token: %w", err)
	}
	return nil
}

func (s *sqliteStore) UnlockAppToken(ctx context.Context, key, owner string) error {
	_, err := s.changeAppToken(ctx, owner, func(tx *transaction) (int64, error) {
		return tx.execCount(tx.stmts.unlockAppToken, key, owner)
	})
	if err != nil {
		return fmt.Errorf("unlock app token: %w", err)
	}
	return nil
}

func (s *sqliteStore) ForgetAppTokens(ctx context.Context) error {
	err := s.writer.do(ctx, func(tx *transaction) error { return tx.exec(tx.stmts.forgetAppTokens) })
	if err != nil {
		return fmt.Errorf("forget app tokens: %w", err)
	}
	return nil
}

// changeAppToken runs one statement and returns the number of rows it changed.
func (s *sqliteStore) changeAppToken(ctx context.Context, owner string, run func(*transaction) (int64, error)) (int64, error) {
	if owner == "" { // stands for nobody
		return 0, errNoOwner
	}
	var n int64
	err := s.writer.do(ctx, func(tx *transaction) (err error) {
		n, err = run(tx)
		return err
	})
	if err != nil {
		return 0, err // n may be the writer's still
	}
	return n, nil
}
