package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/mattn/go-sqlite3"
)

// The page caches bound the memory of the process: they fill up under load.
const (
	readerCount         = 4
	readerCacheKB       = 1000
	writerCacheKB       = 5000
	checkpointerCacheKB = 100

	// busyTimeout is how long a statement waits for another process's lock.
	busyTimeout = 5 * time.Second
)

// sqliteStore is the store in one SQLite file: one writer, readers beside it,
// and a checkpointer that keeps the writer from waiting.
type sqliteStore struct {
	now          func() time.Time
	writer       *writer
	checkpointer *checkpointer
	readers      *sql.DB
	reads        readStatements
	outbox       *outbox

	closeOnce sync.Once
	closeErr  error
}

func openSQLite(ctx context.Context, path string, now func() time.Time, o openOptions) (*sqliteStore, error) {
	if err := createPrivate(path); err != nil {
		return nil, err
	}
	conn, err := connectWaiting(ctx, path, writerCacheKB)
	if err != nil {
		return nil, err
	}
	if err := migrate(conn, now); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s := &sqliteStore{now: now, readers: openReaders(path), outbox: newOutbox()}
	if s.reads, err = prepareReads(ctx, s.readers); err == nil {
		err = s.loadEndpoints(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.readers.Close(), conn.Close())
	}
	if s.checkpointer, err = startCheckpointer(path); err != nil {
		return nil, errors.Join(err, s.readers.Close(), conn.Close())
	}
	if s.writer, err = startWriter(conn, s.checkpointer, s.outbox, o.commits); err != nil {
		return nil, errors.Join(err, s.checkpointer.stop(), s.readers.Close(), conn.Close(), s.checkpointer.close())
	}
	return s, nil
}

// Ping reads, and takes a turn at writing. The turn changes nothing unless the
// last attempt of anybody to write has failed: then it writes, since only that
// shows whether there is room on the disk again.
func (s *sqliteStore) Ping(ctx context.Context) error {
	if _, err := one(ctx, s.reads.ping, scanText); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	err := s.writer.do(ctx, func(tx *transaction) error {
		if s.writer.failing.Load() {
			return tx.exec(tx.stmts.probe)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

func (s *sqliteStore) Close() error {
	s.closeOnce.Do(func() {
		s.writer.stop()
		s.closeErr = errors.Join(s.checkpointer.stop(), s.readers.Close(), s.writer.close(), s.checkpointer.close())
	})
	return s.closeErr
}

// createPrivate makes a new file readable by its owner alone; SQLite gives the
// files beside it the same mode. An existing file is left as it is, and not
// even opened: closing it again would drop the locks this process holds on it.
func createPrivate(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return errors.Join(file.Close(), setPageSize(path))
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	return err
}

// pageSize is half of what SQLite takes by itself. A login changes a row here
// and a row there, and a commit writes, sums and syncs whole pages.
const pageSize = 2048

// setPageSize settles the size of an empty file's pages, which stays. Another
// process may be faster or in the way; then the file has SQLite's size, and works.
func setPageSize(path string) error {
	conn, err := (&sqlite3.SQLiteDriver{}).Open("file:" + (&url.URL{Path: path}).EscapedPath() + "?_busy_timeout=" +
		fmt.Sprint(busyTimeout.Milliseconds()))
	if err != nil {
		return storeError(err)
	}
	_, err = conn.(*sqlite3.SQLiteConn).Exec(fmt.Sprintf("PRAGMA page_size = %d; PRAGMA journal_mode = WAL", pageSize), nil)
	var refused sqlite3.Error
	if errors.As(err, &refused) && refused.Code == sqlite3.ErrBusy {
		err = nil
	}
	return errors.Join(storeError(err), conn.Close())
}

// dsn sets up a connection. The driver applies busy_timeout before the rest,
// so that connections opened together wait for each other.
//
// secure_delete overwrites what is deleted. _mutex=no: a connection is used by
// one goroutine at a time.
func dsn(path string, cacheKB int, extra url.Values) string {
	settings := url.Values{
		"_busy_timeout":  {fmt.Sprint(busyTimeout.Milliseconds())},
		"_journal_mode":  {"WAL"},
		"_synchronous":   {"FULL"},
		"_foreign_keys":  {"on"},
		"_txlock":        {"immediate"},
		"_secure_delete": {"on"},
		"_cache_size":    {fmt.Sprint(-cacheKB)},
		"_mutex":         {"no"},
	}
	for name, value := range extra {
		settings[name] = value
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + settings.Encode()
}

// connect opens a connection that may write. It leaves copying the write-ahead
// log to the checkpointer.
func connect(path string, cacheKB int) (*sqlite3.SQLiteConn, error) {
	d := &sqlite3.SQLiteDriver{ConnectHook: func(conn *sqlite3.SQLiteConn) error {
		_, err := conn.Exec(fmt.Sprintf("PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = %d", logSizeLimit), nil)
		return err
	}}
	conn, err := d.Open(dsn(path, cacheKB, nil))
	if err != nil {
		return nil, storeError(err)
	}
	return conn.(*sqlite3.SQLiteConn), nil
}

// connectWaiting is connect for a file that other processes may be creating:
// turning on WAL does not wait for their locks as other statements do.
func connectWaiting(ctx context.Context, path string, cacheKB int) (*sqlite3.SQLiteConn, error) {
	ctx, cancel := context.WithTimeout(ctx, busyTimeout)
	defer cancel()
	for {
		conn, err := connect(path, cacheKB)
		var refused sqlite3.Error
		if !errors.As(err, &refused) || refused.Code != sqlite3.ErrBusy {
			return conn, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func openReaders(path string) *sql.DB {
	readers := sql.OpenDB(readerConnector{dsn(path, readerCacheKB, url.Values{"_query_only": {"on"}})})
	readers.SetMaxOpenConns(readerCount)
	readers.SetMaxIdleConns(readerCount)
	return readers
}

// readerConnector opens connections without registering a driver by name.
type readerConnector struct{ dsn string }

func (c readerConnector) Connect(context.Context) (driver.Conn, error) { return c.Driver().Open(c.dsn) }
func (c readerConnector) Driver() driver.Driver                        { return &sqlite3.SQLiteDriver{} }

// readStatements are prepared once, for all readers.
type readStatements struct {
	ping, fan, fanByIdentity, identities, aliases, keys, revocations *sql.Stmt
	sealed                                                           *sql.Stmt
	newRevocations, revoked, fans, byOpenID                          *sql.Stmt
	appToken, fansByUnionID                                          *sql.Stmt
	newEvents, nextDue, endpoints, endpointStates                    *sql.Stmt
	failedDeliveries, stale, dropped, resting                        *sql.Stmt
	spent                                                            *sql.Stmt
	scan, scanByCode, movedScans                                     *sql.Stmt
	links                                                            *sql.Stmt
}

func prepareReads(ctx context.Context, readers *sql.DB) (s readStatements, err error) {
	for text, place := range map[string]**sql.Stmt{
		`SELECT name FROM schema_migrations WHERE version = 1`: &s.ping,

		selectFanByAnyID:    &s.fan,
		selectFanByIdentity: &s.fanByIdentity,
		selectIdentities:    &s.identities,
		selectAliases:       &s.aliases,
		selectKeys:          &s.keys,
		selectSealed:        &s.sealed,
		selectRevocations:   &s.revocations,

		selectNewRevocations: &s.newRevocations,
		selectRevoked:        &s.revoked,
		selectFans:           &s.fans,
		selectLinks:          &s.links,
		selectByOpenID:       &s.byOpenID,

		selectAppToken:         &s.appToken,
		selectFansByUnionID:    &s.fansByUnionID,
		selectNewEvents:        &s.newEvents,
		selectNextDue:          &s.nextDue,
		selectEndpoints:        &s.endpoints,
		selectEndpointStates:   &s.endpointStates,
		selectFailedDeliveries: &s.failedDeliveries,
		selectResting:          &s.resting,
		selectStale:            &s.stale,
		selectDropped:          &s.dropped,
		selectSpent:            &s.spent,
		selectScan:             &s.scan,
		selectScanByCode:       &s.scanByCode,
		selectMovedScans:       &s.movedScans,
	} {
		if *place, err = readers.PrepareContext(ctx, text); err != nil {
			return s, readError(ctx, err)
		}
	}
	return s, nil
}

// writeStatements are prepared once, on the writer's connection.
type writeStatements struct {
	all []*statement

	begin, commit, rollback, probe *statement

	selectFan, fanByAnyID, insertFan, updateFan, deleteFan         *statement
	selectKnown, selectLinked, identityKeys                        *statement
	insertIdentity, updateIdentity, relinkIdentity, moveIdentities *statement
	forgetRefreshToken, deleteIdentities                           *statement
	selectAliases, insertAlias, moveAliases, deleteAliases         *statement
	upsertRevocation, pruneRevocations                             *statement
	selectKeys, upsertKey, deleteKey                               *statement
	resealSessionKey, resealRefreshToken                           *statement
	nextRevocation, selectCut                                      *statement
	lockAppToken, saveAppToken, unlockAppToken, forgetAppTokens    *statement
	insertSeenPush, prunePushes                                    *statement
	setSubscribed, markProfileStale, withdrawProfile               *statement
	insertSpent, pruneSpent                                        *statement
	insertScan, countScans, scan, scanByCode, claimScan            *statement
	answerScan, spendScan, dropScan, pruneScans, eraseScans        *statement
	confirmMember, unconfirmMember, recheckMember, renameMember    *statement
	insertLink, selectLink, moveLinks, deleteLinks, deleteLink     *statement
	moveIdentityBack, deleteAlias, moveLink                        *statement
	selectUndos, updateUndo                                        *statement

	insertEvent, newEvents, updateMark, deleteEventIfDone             *statement
	insertDelivery, selectQueued, releaseNext                         *statement
	selectDue, selectReply, claimDelivery, selectClaimed              *statement
	deleteDelivery, postponeDelivery, failDelivery, hasten            *statement
	selectFailed, reopenDelivery, selectUnsettled, dropDelivery       *statement
	selectEndpoints, upsertEndpoint, retireEndpoint, disableEndpoint  *statement
	dropEndpoints, eraseQueued, eraseNew, rekeyNew, rekeyQueued, park *statement
	selectAhead, takeTurn, yieldTurn, hastenLine                      *statement
	enableEndpoint, restEndpoint, markFailing, markWell               *statement
	countWaiting, countSending, selectWaiting, selectToDrop           *statement
}

func prepareWrites(conn *sqlite3.SQLiteConn) (*writeStatements, error) {
	var s writeStatements
	for text, place := range map[string]**statement{
		"BEGIN IMMEDIATE": &s.begin,
		"COMMIT":          &s.commit,
		"ROLLBACK":        &s.rollback,

		"PRAGMA user_version = 0": &s.probe, // writes even though nothing changes

		selectFan:          &s.selectFan,
		selectFanByAnyID:   &s.fanByAnyID,
		insertFan:          &s.insertFan,
		updateFan:          &s.updateFan,
		deleteFan:          &s.deleteFan,
		selectKnown:        &s.selectKnown,
		selectLinked:       &s.selectLinked,
		selectIdentityKeys: &s.identityKeys,
		insertIdentity:     &s.insertIdentity,
		updateIdentity:     &s.updateIdentity,
		relinkIdentity:     &s.relinkIdentity,
		moveIdentities:     &s.moveIdentities,
		forgetRefreshToken: &s.forgetRefreshToken,
		deleteIdentities:   &s.deleteIdentities,
		selectAliases:      &s.selectAliases,
		insertAlias:        &s.insertAlias,
		moveAliases:        &s.moveAliases,
		deleteAliases:      &s.deleteAliases,
		selectKeys:         &s.selectKeys,
		upsertKey:          &s.upsertKey,
		deleteKey:          &s.deleteKey,
		resealSessionKey:   &s.resealSessionKey,
		resealRefreshToken: &s.resealRefreshToken,
		upsertRevocation:   &s.upsertRevocation,
		pruneRevocations:   &s.pruneRevocations,
		nextRevocation:     &s.nextRevocation,
		selectCut:          &s.selectCut,
		lockAppToken:       &s.lockAppToken,
		saveAppToken:       &s.saveAppToken,
		unlockAppToken:     &s.unlockAppToken,
		forgetAppTokens:    &s.forgetAppTokens,
		insertSeenPush:     &s.insertSeenPush,
		prunePushes:        &s.prunePushes,
		setSubscribed:      &s.setSubscribed,
		markProfileStale:   &s.markProfileStale,
		withdrawProfile:    &s.withdrawProfile,
		insertSpent:        &s.insertSpent,
		pruneSpent:         &s.pruneSpent,
		insertScan:         &s.insertScan,
		countScans:         &s.countScans,
		selectScan:         &s.scan,
		selectScanByCode:   &s.scanByCode,
		claimScan:          &s.claimScan,
		answerScan:         &s.answerScan,
		spendScan:          &s.spendScan,
		dropScan:           &s.dropScan,
		pruneScans:         &s.pruneScans,
		eraseScans:         &s.eraseScans,
		confirmMember:      &s.confirmMember,
		unconfirmMember:    &s.unconfirmMember,
		recheckMember:      &s.recheckMember,
		renameMember:       &s.renameMember,
		insertLink:         &s.insertLink,
		selectLink:         &s.selectLink,
		moveLinks:          &s.moveLinks,
		deleteLinks:        &s.deleteLinks,
		deleteLink:         &s.deleteLink,
		moveIdentityBack:   &s.moveIdentityBack,
		moveLink:           &s.moveLink,
		selectUndos:        &s.selectUndos,
		updateUndo:         &s.updateUndo,
		deleteAlias:        &s.deleteAlias,

		insertEvent:       &s.insertEvent,
		selectNewEvents:   &s.newEvents,
		updateMark:        &s.updateMark,
		deleteEventIfDone: &s.deleteEventIfDone,
		insertDelivery:    &s.insertDelivery,
		selectQueued:      &s.selectQueued,
		releaseNext:       &s.releaseNext,
		selectDue:         &s.selectDue,
		selectReply:       &s.selectReply,
		claimDelivery:     &s.claimDelivery,
		selectClaimed:     &s.selectClaimed,
		deleteDelivery:    &s.deleteDelivery,
		postponeDelivery:  &s.postponeDelivery,
		failDelivery:      &s.failDelivery,
		hastenDeliveries:  &s.hasten,
		selectFailed:      &s.selectFailed,
		reopenDelivery:    &s.reopenDelivery,
		selectUnsettled:   &s.selectUnsettled,
		dropDelivery:      &s.dropDelivery,
		selectEndpoints:   &s.selectEndpoints,
		upsertEndpoint:    &s.upsertEndpoint,
		retireEndpoint:    &s.retireEndpoint,
		disableEndpoint:   &s.disableEndpoint,
		dropEndpoints:     &s.dropEndpoints,
		eraseQueued:       &s.eraseQueued,
		eraseNew:          &s.eraseNew,
		rekeyNew:          &s.rekeyNew,
		rekeyQueued:       &s.rekeyQueued,
		parkDeliveries:    &s.park,
		selectAhead:       &s.selectAhead,
		takeTurn:          &s.takeTurn,
		yieldTurn:         &s.yieldTurn,
		hastenLine:        &s.hastenLine,
		enableEndpoint:    &s.enableEndpoint,
		restEndpoint:      &s.restEndpoint,
		markFailing:       &s.markFailing,
		markWell:          &s.markWell,
		countWaiting:      &s.countWaiting,
		countSending:      &s.countSending,
		selectWaiting:     &s.selectWaiting,
		selectToDrop:      &s.selectToDrop,
	} {
		var err error
		if *place, err = prepare(conn, text); err != nil {
			return nil, errors.Join(storeError(err), s.close())
		}
		s.all = append(s.all, *place)
	}
	return &s, nil
}

func (s *writeStatements) close() error {
	var err error
	for _, stmt := range s.all {
		err = errors.Join(err, stmt.close())
	}
	return err
}
