package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"
)

// EachConn calls do for the writer's and the checkpointer's connection and for
// as many readers as the pool opens, all of them open at once.
func EachConn(t *testing.T, store Store, do func(name string, pragma func(string) any)) {
	t.Helper()
	s := store.(*sqliteStore)
	for i := range readerCount {
		conn, err := s.readers.Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		do("reader", func(name string) (value any) {
			if err := conn.QueryRowContext(context.Background(), "PRAGMA "+name).Scan(&value); err != nil {
				t.Errorf("reader %d: PRAGMA %s: %v", i, name, err)
			}
			return value
		})
	}
	do("checkpointer", func(name string) any {
		stmt, err := prepare(s.checkpointer.conn, "PRAGMA "+name)
		if err != nil {
			t.Fatal(err)
		}
		defer stmt.close()
		return firstValue(t, stmt)
	})
	InWriter(t, store, func(pragma func(string) any) { do("writer", pragma) })
}

// InWriter calls do in the writer's goroutine; pragma runs on its connection.
func InWriter(t *testing.T, store Store, do func(pragma func(string) any)) {
	t.Helper()
	w := store.(*sqliteStore).writer
	err := w.do(context.Background(), func(*transaction) error {
		do(func(name string) any {
			stmt, err := prepare(w.conn, "PRAGMA "+name)
			if err != nil {
				t.Error(err)
				return nil
			}
			defer stmt.close()
			return firstValue(t, stmt)
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func firstValue(t *testing.T, stmt *statement) (value driver.Value) {
	err := stmt.query(func(r scanner) error {
		value = r.(row)[0]
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return value
}

// Readers returns the pool of readers.
func Readers(store Store) *sql.DB { return store.(*sqliteStore).readers }

// FailHalfway writes what the login writes and then fails with err, as an
// operation does whose last statement is refused.
func FailHalfway(store Store, login Login, err error) error {
	s := store.(*sqliteStore)
	return s.writer.do(context.Background(), func(tx *transaction) error {
		if _, err := tx.saveLogin(login, s.now()); err != nil {
			return err
		}
		return err
	})
}

// Panic panics in the writer's goroutine after writing what the login writes.
func Panic(store Store, login Login) error {
	s := store.(*sqliteStore)
	return s.writer.do(context.Background(), func(tx *transaction) error {
		if _, err := tx.saveLogin(login, s.now()); err != nil {
			return err
		}
		panic("in an operation")
	})
}

// QueueSize is the number of callers that may wait for the writer.
const QueueSize = queueSize

// Statements returns the SQL text of every prepared statement that reads or
// changes fans, by what it does.
func Statements() map[string]string {
	return map[string]string{
		"fan": selectFan, "fan by any id": selectFanByAnyID, "fan by identity": selectFanByIdentity,
		"known identity": selectKnown, "linked fans": selectLinked, "identities": selectIdentities,
		"aliases": selectAliases, "update fan": updateFan, "update identity": updateIdentity,
		"relink identity": relinkIdentity, "move identities": moveIdentities, "move aliases": moveAliases,
		"forget refresh token": forgetRefreshToken, "delete identities": deleteIdentities,
		"delete aliases": deleteAliases, "delete fan": deleteFan, "prune revocations": pruneRevocations,
		"sealed": selectSealed, "reseal session key": resealSessionKey, "reseal refresh token": resealRefreshToken,
		"revocations": selectRevocations, "new revocations": selectNewRevocations, "revoked": selectRevoked,
		"new events": selectNewEvents, "insert delivery": insertDelivery, "queued": selectQueued,
		"next due": selectNextDue, "due": selectDue, "reply": selectReply, "claim": claimDelivery, "claimed": selectClaimed,
		"delete delivery": deleteDelivery, "delete event": deleteEventIfDone, "postpone": postponeDelivery, "fail": failDelivery,
		"release": releaseNext, "hasten": hastenDeliveries, "failed": selectFailed, "reopen": reopenDelivery,
		"failed deliveries": selectFailedDeliveries, "erase queued": eraseQueued, "erase new": eraseNew,
		"rekey queued": rekeyQueued, "rekey new": rekeyNew, "park": parkDeliveries, "identity keys": selectIdentityKeys,
		"ahead": selectAhead, "take turn": takeTurn, "yield turn": yieldTurn, "hasten line": hastenLine, "waiting event": selectWaiting,
		"count waiting": countWaiting, "count sending": countSending, "to drop": selectToDrop, "mark failing": markFailing,
		"mark well": markWell, "rest": restEndpoint, "resting": selectResting, "enable": enableEndpoint,
		"cut": selectCut, "upsert revocation": upsertRevocation, "list fans": selectFans,
		"confirm member": confirmMember, "unconfirm member": unconfirmMember, "recheck member": recheckMember, "rename member": renameMember,
		"links": selectLinks, "link": selectLink, "move links": moveLinks, "move link": moveLink, "delete link": deleteLink, "delete links": deleteLinks,
		"move identity back": moveIdentityBack, "delete alias": deleteAlias,
	}
}

// SmallGroup is the size of a usual commit.
const SmallGroup = smallGroup

// Waiting is the number of operations that wait for the writer.
func Waiting(store Store) int { return len(store.(*sqliteStore).writer.queue) }
