package db

import (
	"errors"
	"math"
	"os"

	"github.com/mattn/go-sqlite3"
)

const (
	// checkpointFrames starts a checkpoint: 48 MiB of log, in pages of 2 KiB.
	// The longer the log, the more of its pages lie beside each other in the file
	// and are written at once. But it should soon be as long as it gets: syncing a
	// file that still grows takes the disk nearly twice as long.
	checkpointFrames = 24_000

	// remainderFrames are few enough for the writer to stop for them.
	remainderFrames = 400

	// checkpointPasses bounds the passes made beside the writer.
	checkpointPasses = 5

	// maxFrames makes the writer wait for a checkpoint that cannot keep up.
	maxFrames = 8 * checkpointFrames

	// logSizeLimit is the size to which a log that has grown beyond it is cut
	// when it starts again.
	logSizeLimit = 2 * checkpointFrames * pageSize
)

// checkpointer copies the write-ahead log into the database file while the
// writer goes on writing. The pages of many fans lie all over the file, so that
// waiting for the disk takes far longer here than in a commit; in the writer it
// would hold up every caller.
//
// The log starts again at its beginning only when all of it has been copied
// between two commits. So the checkpointer makes passes until little is left,
// and the writer copies that.
type checkpointer struct {
	conn *sqlite3.SQLiteConn
	log  *logStatements

	// SQLite waits for the disk only in a pass that has copied everything. To
	// leave the writer little to wait for, the other passes wait here. The file
	// is closed after all connections: closing it drops their locks.
	file *os.File

	start  chan struct{}
	passed chan struct{}
	ended  chan struct{}
}

func startCheckpointer(path string) (*checkpointer, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	c := &checkpointer{
		file:   file,
		start:  make(chan struct{}, 1),
		passed: make(chan struct{}, 1),
		ended:  make(chan struct{}),
	}
	if c.conn, err = connect(path, checkpointerCacheKB); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if c.log, err = prepareLog(c.conn); err != nil {
		return nil, errors.Join(err, c.conn.Close(), file.Close())
	}
	go c.serve()
	return c, nil
}

func (c *checkpointer) serve() {
	defer close(c.ended)
	for range c.start {
		c.passes()
		c.passed <- struct{}{}
	}
}

// passes goes on for as long as each pass leaves less to the next.
func (c *checkpointer) passes() {
	before := int64(math.MaxInt64)
	for range checkpointPasses {
		if c.log.copy() != nil || c.file.Sync() != nil {
			return
		}
		left := c.log.left()
		if left <= remainderFrames || left >= before {
			return
		}
		before = left
	}
}

// stop ends the passes. The file stays open until close.
func (c *checkpointer) stop() error {
	close(c.start)
	<-c.ended
	return errors.Join(c.log.close(), c.conn.Close())
}

func (c *checkpointer) close() error { return c.file.Close() }

// tend is called by the writer after each commit, with its own view of the log.
// It starts the checkpointer when there is enough to copy, and copies the rest
// when the checkpointer is through.
func (c *checkpointer) tend(log *logStatements, running bool) (stillRunning bool) {
	left := log.left()
	if !running {
		if left < checkpointFrames {
			return false
		}
		c.start <- struct{}{}
		return true
	}
	if left < maxFrames {
		select {
		case <-c.passed:
		default:
			return true
		}
	} else {
		<-c.passed
	}
	log.copy()
	return false
}

// logStatements are one connection's view of the write-ahead log.
type logStatements struct{ pass, look *statement }

func prepareLog(conn *sqlite3.SQLiteConn) (*logStatements, error) {
	pass, err := prepare(conn, "PRAGMA wal_checkpoint(PASSIVE)")
	if err != nil {
		return nil, storeError(err)
	}
	look, err := prepare(conn, "PRAGMA wal_checkpoint(NOOP)")
	if err != nil {
		return nil, errors.Join(storeError(err), pass.close())
	}
	return &logStatements{pass, look}, nil
}

// copy copies as much as nobody is in the way of. What fails (the disk is full,
// another process is copying) is left in the log for the next time.
func (l *logStatements) copy() error {
	return l.pass.query(func(scanner) error { return nil })
}

// left is the number of frames that are not in the database file yet.
func (l *logStatements) left() (frames int64) {
	var busy, size, copied int64
	err := l.look.query(func(r scanner) error { return r.Scan(&busy, &size, &copied) })
	if err != nil {
		return 0
	}
	return size - copied
}

func (l *logStatements) close() error { return errors.Join(l.pass.close(), l.look.close()) }
