package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mattn/go-sqlite3"
)

// scanner is a row: *sql.Row, *sql.Rows or a row of the writer.
type scanner interface{ Scan(dest ...any) error }

// one reads one row from the pool; ErrNotFound if there is none.
func one[T any](ctx context.Context, stmt *sql.Stmt, scan func(scanner) (T, error), args ...any) (T, error) {
	value, err := scan(stmt.QueryRowContext(ctx, args...))
	if err != nil {
		var none T
		return none, readError(ctx, err)
	}
	return value, nil
}

// collect reads all rows from the pool.
func collect[T any](ctx context.Context, stmt *sql.Stmt, scan func(scanner) (T, error), args ...any) ([]T, error) {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, readError(ctx, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		value, err := scan(rows)
		if err != nil {
			return nil, readError(ctx, err)
		}
		all = append(all, value)
	}
	if err := rows.Err(); err != nil {
		return nil, readError(ctx, err)
	}
	return all, nil
}

// readError sorts an error of the pool. What is neither the caller's doing nor
// SQLite's word comes from the pool itself: it is closed, or cannot connect.
func readError(ctx context.Context, err error) error {
	var refused sqlite3.Error
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &refused):
		return storeError(err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// storeError marks as ErrUnavailable what a healthy store would not have said.
// The rest (a constraint, a malformed statement) is a fault of this package.
func storeError(err error) error {
	var refused sqlite3.Error
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Code {
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrFull, sqlite3.ErrIoErr, sqlite3.ErrReadonly,
		sqlite3.ErrCantOpen, sqlite3.ErrPerm, sqlite3.ErrProtocol, sqlite3.ErrNomem, sqlite3.ErrInterrupt,
		sqlite3.ErrNoLFS, sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// statement is a prepared statement of one connection, used straight through
// the driver: a writer that has its connection for itself needs no pool, nor
// the locks and conversions of one. Not for concurrent use.
type statement struct {
	stmt driver.Stmt
	args []driver.NamedValue
	row  row
}

func prepare(conn *sqlite3.SQLiteConn, text string) (*statement, error) {
	stmt, err := conn.Prepare(text)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", text, err)
	}
	args := make([]driver.NamedValue, stmt.NumInput())
	for i := range args {
		args[i].Ordinal = i + 1
	}
	return &statement{stmt: stmt, args: args}, nil
}

// bind takes the types of driver.Value except time.Time.
func (s *statement) bind(args []any) []driver.NamedValue {
	for i := range s.args {
		s.args[i].Value = args[i]
	}
	return s.args
}

func (s *statement) exec(args ...any) (changed int64, err error) {
	result, err := s.stmt.(driver.StmtExecContext).ExecContext(context.Background(), s.bind(args))
	if err != nil {
		return 0, storeError(err)
	}
	return result.RowsAffected()
}

func (s *statement) close() error { return s.stmt.Close() }

// first returns the first row, nil if there is none. It holds until the
// statement runs again.
func (s *statement) first(args ...any) (row, error) {
	rows, err := s.open(args)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return s.next(rows)
}

// query calls each for every row.
func (s *statement) query(each func(scanner) error, args ...any) error {
	rows, err := s.open(args)
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		r, err := s.next(rows)
		if err != nil || r == nil {
			return err
		}
		if err := each(r); err != nil {
			return err
		}
	}
}

func (s *statement) open(args []any) (driver.Rows, error) {
	rows, err := s.stmt.(driver.StmtQueryContext).QueryContext(context.Background(), s.bind(args))
	if err != nil {
		return nil, storeError(err)
	}
	if s.row == nil {
		s.row = make(row, len(rows.Columns()))
	}
	return rows, nil
}

// next returns the next row, nil after the last.
func (s *statement) next(rows driver.Rows) (row, error) {
	switch err := rows.Next(s.row); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, storeError(err)
	}
	return s.row, nil
}

// row is one row as the driver gives it.
type row []driver.Value

// Scan copies the row into pointers of the few types this package reads.
func (r row) Scan(dest ...any) error {
	if len(dest) != len(r) {
		return fmt.Errorf("scan %d columns into %d places", len(r), len(dest))
	}
	for i, to := range dest {
		ok := true
		switch to := to.(type) {
		case *string:
			*to, ok = r[i].(string)
		case *int64:
			*to, ok = r[i].(int64)
		case *[]byte:
			*to, _ = r[i].([]byte) // null: nil
		default:
			ok = false
		}
		if !ok {
			return fmt.Errorf("scan column %d: %T into %T", i, r[i], to)
		}
	}
	return nil
}

// values takes one column of a row after the other. The first that is of
// another type than it is taken for ends up in err.
type values struct {
	row row
	n   int
	err error
}

func take[T any](v *values) (value T) {
	value, ok := v.row[v.n].(T)
	if !ok && v.err == nil {
		v.err = fmt.Errorf("column %d is %T, not %T", v.n, v.row[v.n], value)
	}
	v.n++
	return value
}

func (v *values) text() string    { return take[string](v) }
func (v *values) integer() int64  { return take[int64](v) }
func (v *values) time() time.Time { return fromMillis(v.integer()) }

// boolean takes 0, 1 or null.
func (v *values) boolean() *bool {
	if v.row[v.n] == nil {
		v.n++
		return nil
	}
	b := v.integer() != 0
	return &b
}
