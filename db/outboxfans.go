package db

import (
	"encoding/json"
	"fmt"
	"time"
)

// What becomes of the events of fans who are merged or erased while their
// events are on the way.

const (
	// The events that say so stay: nothing but ids is in them.
	keepsData = `type NOT IN ('` + EventFanMerged + `', '` + EventFanErased + `', '` + EventFanUnlinked + `')`

	selectIdentityKeys = `SELECT provider, appid, openid FROM identities WHERE fan_id = ?1`

	eraseNew    = `UPDATE outbox SET data = ?2 WHERE seq > (SELECT seq FROM outbox_mark WHERE one = 1) AND ordering = ?1 AND ` + keepsData
	eraseQueued = `UPDATE outbox SET data = ?3 WHERE seq IN
  (SELECT seq FROM outbox_deliveries WHERE endpoint = ?1 AND ordering = ?2 AND ordering <> '') AND ` + keepsData

	rekeyNew    = `UPDATE outbox SET ordering = ?2 WHERE seq > (SELECT seq FROM outbox_mark WHERE one = 1) AND ordering = ?1`
	rekeyQueued = `UPDATE outbox_deliveries SET ordering = ?3 WHERE endpoint = ?1 AND ordering = ?2 AND ordering <> ''`

	// Of several open ones the first stays, and who is being sent already.
	parkDeliveries = `UPDATE outbox_deliveries SET state = 'waiting'
WHERE endpoint = ?1 AND ordering = ?2 AND ordering <> '' AND state = 'open' AND (claim = '' OR due_at <= ?3)
AND seq > (SELECT min(seq) FROM outbox_deliveries WHERE endpoint = ?1 AND ordering = ?2 AND ordering <> '' AND state IN ('waiting', 'open'))`
)

// rekeyEvents puts what is still to be told under one key in one line with what
// is to be told under another: of a fan who was merged, of an account that has
// become a fan's.
func (tx *transaction) rekeyEvents(from, to string, now time.Time) error {
	if len(*tx.outbox.endpoints.Load()) == 0 {
		return nil
	}
	endpoints, err := tx.endpoints()
	if err != nil {
		return err
	}
	for _, e := range endpoints {
		tx.exec(tx.stmts.rekeyQueued, e.Name, from, to)
		tx.exec(tx.stmts.park, e.Name, to, millis(now))
		tx.exec(tx.stmts.releaseNext, e.Name, to, millis(now))
	}
	return tx.exec(tx.stmts.rekeyNew, from, to)
}

// eraseEvents leaves of what is still to be told of a fan nothing but that there
// was something: type, time and the id of the fan.
func (tx *transaction) eraseEvents(fanID string, keys []string) error {
	endpoints, err := tx.endpoints()
	if err != nil || len(endpoints) == 0 {
		return err
	}
	data, err := json.Marshal(struct {
		Fan    fanRef `json:"fan"`
		Erased bool   `json:"erased"`
	}{fanRef{fanID}, true})
	if err != nil {
		return fmt.Errorf("erase events: %w", err)
	}
	for _, key := range keys {
		for _, e := range endpoints {
			tx.exec(tx.stmts.eraseQueued, e.Name, key, data)
		}
		err = tx.exec(tx.stmts.eraseNew, key, data)
	}
	return err
}

// eventKeys are the keys under which something may still be to be told of the
// fan: its ids, and its accounts, from before it was one.
func (tx *transaction) eventKeys(ids []string) ([]string, error) {
	keys := append([]string{}, ids...)
	err := tx.query(tx.stmts.identityKeys, func(r scanner) error {
		var provider, appID, openID string
		err := r.Scan(&provider, &appID, &openID)
		keys = append(keys, OpenIDKey(provider, appID, openID))
		return err
	}, ids[0])
	return keys, err
}
