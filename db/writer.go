package db

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattn/go-sqlite3"
)

const (
	// queueSize bounds the callers that wait for the writer.
	queueSize = 4096

	// groupSize bounds the operations of one commit, and so how long the first
	// of them waits for the others.
	groupSize = 512

	// smallGroup is how many operations a commit serves before it leaves to the
	// next one what still waits.
	smallGroup = 24

	// company is how many operations the commits of late must have served, on
	// average, for the writer to wait gatherTime for more before the next one.
	company    = 2.5
	gatherTime = time.Millisecond

	// lateCommits is how many commits "of late" are. The size of the last one alone
	// would tell nothing: without waiting, commits under full load follow each
	// other so fast that some of them serve only two or three.
	lateCommits = 8
)

var (
	errClosed   = fmt.Errorf("%w: closed", ErrUnavailable)
	errOverfull = fmt.Errorf("%w: too many writes are waiting", ErrUnavailable)
)

// writer is the one connection that writes. Its goroutine takes what callers
// have queued, runs it in one transaction, commits, and only then answers each
// of them: one wait for the disk serves them all.
type writer struct {
	conn  *sqlite3.SQLiteConn
	stmts *writeStatements
	log   *logStatements

	checkpointer  *checkpointer
	checkpointing bool

	mu     sync.RWMutex // guards closed, and queue against closing during a send
	closed bool
	queue  chan *operation
	ended  chan struct{}

	outbox  *outbox
	observe func(Commit) // may be nil
	began   time.Time    // of the commit under way

	served  float64     // operations of a commit of late
	failing atomic.Bool // the last attempt to write did not succeed
}

// operation is what one caller wants done inside the writer's transaction. It
// may run more than once; only the last run counts.
type operation struct {
	ctx  context.Context
	run  func(*transaction) error
	err  error      // of the last run
	done chan error // the answer, buffered
}

func startWriter(conn *sqlite3.SQLiteConn, c *checkpointer, o *outbox, observe func(Commit)) (*writer, error) {
	w := &writer{
		conn:         conn,
		checkpointer: c,
		outbox:       o,
		observe:      observe,
		queue:        make(chan *operation, queueSize),
		ended:        make(chan struct{}),
	}
	var err error
	if w.stmts, err = prepareWrites(conn); err != nil {
		return nil, err
	}
	if w.log, err = prepareLog(conn); err != nil {
		return nil, errors.Join(err, w.stmts.close())
	}
	go w.serve()
	return w, nil
}

// do runs the operation and returns once it is on disk. When ctx ends first, do
// returns its error at once; run may then still happen, so its results must not
// be read.
func (w *writer) do(ctx context.Context, run func(*transaction) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	op := &operation{ctx: ctx, run: run, done: make(chan error, 1)}
	if err := w.enqueue(op); err != nil {
		return err
	}
	select {
	case err := <-op.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *writer) enqueue(op *operation) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return errClosed
	}
	select {
	case w.queue <- op:
		return nil
	default:
		return errOverfull
	}
}

// stop refuses further operations and returns when the queued ones are done.
func (w *writer) stop() {
	w.mu.Lock()
	w.closed = true
	close(w.queue)
	w.mu.Unlock()
	<-w.ended
}

// close ends a stopped writer. It leaves an empty write-ahead log, unless
// another process is using the database.
func (w *writer) close() error {
	_, err := w.conn.Exec("PRAGMA wal_checkpoint(TRUNCATE)", nil)
	return errors.Join(err, w.stmts.close(), w.log.close(), w.conn.Close())
}

func (w *writer) serve() {
	defer close(w.ended)
	for op := range w.queue {
		// A commit costs about the same for one and for thirty. Callers who come
		// in numbers are served by fewer commits if the writer waits a moment; a
		// caller who comes alone never waits.
		if w.served >= company && len(w.queue) < smallGroup {
			time.Sleep(gatherTime)
		}
		group := []*operation{op}
		for len(group) > 0 {
			group = w.commit(group)
		}
	}
}

// commit runs a group, with those who join it while it runs, in one transaction
// and answers everybody. When an operation fails halfway the others are
// returned, to be run again without it.
func (w *writer) commit(group []*operation) (again []*operation) {
	w.began = time.Now()
	if _, err := w.stmts.begin.exec(); err != nil {
		return w.fail(w.waiting(group), fmt.Errorf("begin: %w", err))
	}
	wrote, enqueued := false, false
	for i := 0; i < len(group); i++ {
		tx := &transaction{stmts: w.stmts, outbox: w.outbox}
		op := group[i]
		op.err = op.runIn(tx)
		switch {
		case errors.Is(op.err, ErrUnavailable):
			w.rollback()
			return w.fail(group, op.err)
		case op.err != nil && tx.wrote:
			w.rollback()
			op.done <- op.err
			return append(group[:i], group[i+1:]...)
		}
		wrote, enqueued = wrote || tx.wrote, enqueued || tx.enqueued
		if i == len(group)-1 && w.hasRoom(len(group)) {
			group = w.join(group)
		}
	}
	if _, err := w.stmts.commit.exec(); err != nil {
		w.rollback()
		return w.fail(group, fmt.Errorf("commit: %w", err))
	}
	w.served += (float64(len(group)) - w.served) / lateCommits
	if enqueued {
		w.outbox.wake()
	}
	if wrote {
		w.tell(len(group), nil)
	}
	for _, op := range group {
		op.done <- op.err
	}
	if wrote {
		w.failing.Store(false)
		w.checkpointing = w.checkpointer.tend(w.log, w.checkpointing)
	}
	return nil
}

// hasRoom tells whether a group may grow. Callers who all wait for the same
// commit leave the processors nothing to do during it, and then need them all at
// once; so it leaves some of them to the next, unless very many wait.
func (w *writer) hasRoom(group int) bool {
	return group < smallGroup || group < groupSize && len(w.queue) > 2*smallGroup
}

// join adds one operation, if one is waiting.
func (w *writer) join(group []*operation) []*operation {
	select {
	case op, ok := <-w.queue:
		if ok {
			return append(group, op)
		}
	default:
	}
	return group
}

// waiting is the group with all who wait now. When the database could not even
// be locked, they have waited as long as the group has.
func (w *writer) waiting(group []*operation) []*operation {
	for {
		more := w.join(group)
		if len(more) == len(group) {
			return group
		}
		group = more
	}
}

// fail answers the whole group with one error.
func (w *writer) fail(group []*operation, err error) (again []*operation) {
	w.failing.Store(true)
	w.tell(len(group), err)
	for _, op := range group {
		op.done <- err
	}
	return nil
}

func (w *writer) tell(operations int, err error) {
	if w.observe != nil {
		w.observe(Commit{Operations: operations, Took: time.Since(w.began), Err: err})
	}
}

// rollback ends the transaction; SQLite may have done so itself.
func (w *writer) rollback() {
	if !w.conn.AutoCommit() {
		w.stmts.rollback.exec()
	}
}

// runIn runs the operation, unless nobody waits for it any more. A panic is the
// caller's failure, not the end of the writer.
func (op *operation) runIn(tx *transaction) (err error) {
	if err := op.ctx.Err(); err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a store operation: %v\n%s", p, debug.Stack())
		}
	}()
	return op.run(tx)
}

// transaction is what an operation may do inside the writer's transaction.
type transaction struct {
	stmts    *writeStatements
	outbox   *outbox
	wrote    bool
	enqueued bool  // there is a new event
	err      error // of the first statement that failed
}

// exec runs a statement that writes. Once a statement has failed the later ones
// of the operation do nothing and return the same error, so a sequence needs
// one check, after its last.
func (tx *transaction) exec(stmt *statement, args ...any) error {
	_, err := tx.execCount(stmt, args...)
	return err
}

// execCount is exec and returns the number of rows changed.
func (tx *transaction) execCount(stmt *statement, args ...any) (int64, error) {
	if tx.err != nil {
		return 0, tx.err
	}
	tx.wrote = true
	n, err := stmt.exec(args...)
	tx.err = err
	return n, err
}

// query calls each for every row.
func (tx *transaction) query(stmt *statement, each func(scanner) error, args ...any) error {
	if tx.err != nil {
		return tx.err
	}
	tx.err = stmt.query(each, args...)
	return tx.err
}

// first returns the first row, nil if there is none, as statement.first does.
func (tx *transaction) first(stmt *statement, args ...any) (row, error) {
	if tx.err != nil {
		return nil, tx.err
	}
	var r row
	r, tx.err = stmt.first(args...)
	return r, tx.err
}

// queryRow calls scan for the first row, if there is one.
func (tx *transaction) queryRow(stmt *statement, scan func(scanner) error, args ...any) (found bool, err error) {
	err = tx.query(stmt, func(r scanner) error {
		found = true
		return scan(r)
	}, args...)
	return found, err
}
