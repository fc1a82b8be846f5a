package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Store is everything the bridge keeps. All methods may be called from many
// goroutines. A method whose context ends while it waits returns the context's
// error; what it was asked to write may or may not have been written.
type Store interface {
	FanStore
	MemberStore
	LinkStore
	KeyStore
	SealedStore
	RevocationStore
	AppTokenStore
	PushStore
	ScanStore
	OutboxStore
	SpentStore

	// Ping reports whether the store can read and write right now; the error
	// is ErrUnavailable or the context's.
	Ping(ctx context.Context) error

	// Close finishes the writes already accepted, moves everything into the
	// database file and closes it. Later calls of other methods get
	// ErrUnavailable.
	Close() error
}

var (
	// ErrNotFound: there is no such fan or identity.
	ErrNotFound = errors.New("not found")

	// ErrUnavailable: the store cannot do it now (busy, overloaded, disk full,
	// read-only, i/o error, closed). Nothing was written; trying again later
	// may help. It wraps the cause.
	ErrUnavailable = errors.New("store unavailable")

	// ErrNewerSchema: the database was written by a newer version of the
	// program, and this one will not touch it.
	ErrNewerSchema = errors.New("database schema is newer than this program")
)

// Open opens the store a URL names, creating it if need be, and brings its
// schema up to date. The only scheme is sqlite: sqlite:///var/lib/bridge.db is
// an absolute path, sqlite://bridge.db a relative one, both taken literally.
// A new file has mode 0600. Several processes may use one file; within a process
// open it once. The context bounds the opening alone. The clock gives the times
// of the rows.
func Open(ctx context.Context, url string, now func() time.Time, options ...Option) (Store, error) {
	path, err := sqlitePath(url)
	if err != nil {
		return nil, err
	}
	var o openOptions
	for _, option := range options {
		option(&o)
	}
	store, err := openSQLite(ctx, path, now, o)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	return store, nil
}

func sqlitePath(url string) (string, error) {
	const example = "such as sqlite:///var/lib/wxbridge/wxbridge.db or sqlite://wxbridge.db"
	path, ok := strings.CutPrefix(url, "sqlite://")
	switch {
	case !ok:
		return "", fmt.Errorf("database URL must start with sqlite://, %s", example)
	case path == "" || strings.HasSuffix(path, "/"):
		return "", fmt.Errorf("database URL names no file, expected one %s", example)
	case strings.ContainsAny(path, "?#\x00"):
		return "", fmt.Errorf("database URL takes no parameters, expected a plain path %s", example)
	case strings.HasPrefix(path, ":"):
		return "", fmt.Errorf("database URL must name a file on disk, %s", example)
	}
	return path, nil
}

// Times are stored as milliseconds since 1970 UTC; 0 stands for the zero time.

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// stored is the time as reading it back gives it.
func stored(t time.Time) time.Time { return fromMillis(millis(t)) }
