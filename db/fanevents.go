package db

import "time"

// Types of the events that the store makes itself.
const (
	EventFanRegistered = "fan.registered" // a person is known who was not; a guest too
	EventFanUpdated    = "fan.updated"    // what is known about a fan has changed
	EventFanMerged     = "fan.merged"     // two fans are one person
	EventFanErased     = "fan.erased"     // nothing is known any more
	EventFanUnlinked   = "fan.unlinked"   // one fan is two again, who an operator had linked
	EventLogin         = "login"          // somebody who is not blocked has logged in
)

// fanData is a fan in an event. Whoever needs a phone number asks for it
// elsewhere: an event says only that it has changed.
type fanData struct {
	ID         string `json:"id"`
	Nickname   string `json:"nickname"`
	AvatarURL  string `json:"avatar_url"`
	Registered bool   `json:"registered"`
	Role       string `json:"role,omitempty"`
	Status     Status `json:"status"`
}

// fanRef is a fan of whom only the id matters.
type fanRef struct {
	ID string `json:"id"`
}

// identityData is an account in an event.
type identityData struct {
	Provider string `json:"provider"`
	AppID    string `json:"appid"`
	OpenID   string `json:"openid"`
	UnionID  string `json:"unionid,omitempty"`
}

type registeredData struct {
	Fan      fanData      `json:"fan"`
	Identity identityData `json:"identity"`
}

type updatedData struct {
	Fan      fanData       `json:"fan"`
	Changed  []string      `json:"changed"`
	Identity *identityData `json:"identity,omitempty"` // the one that was linked
}

type mergedData struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type erasedData struct {
	Fan     fanRef   `json:"fan"`
	Aliases []string `json:"aliases"`
}

type loginData struct {
	Fan      fanRef       `json:"fan"`
	Identity identityData `json:"identity"`
	Created  bool         `json:"created"`
}

func fanDataOf(f Fan) fanData {
	return fanData{f.ID, f.Nickname, f.AvatarURL, f.Registered(), f.Role, f.Status}
}

func identityDataOf(i Identity) identityData {
	return identityData{i.Provider, i.AppID, i.OpenID, i.UnionID}
}

// changes names what of a fan others can see to be different.
func changes(before, after Fan) []string {
	var names []string
	for _, field := range []struct {
		name    string
		changed bool
	}{
		{"nickname", before.Nickname != after.Nickname},
		{"avatar_url", before.AvatarURL != after.AvatarURL},
		{"registered", before.Registered() != after.Registered()},
		{"phone_number", before.Phone != after.Phone},
		{"language", before.Language != after.Language},
		{"role", before.Role != after.Role},
		{"status", before.Status != after.Status},
	} {
		if field.changed {
			names = append(names, field.name)
		}
	}
	return names
}

// tellLogin keeps the events of a login. Before is the fan that it met, after
// what it has made of the fan.
func (tx *transaction) tellLogin(l Login, before Fan, result LoginResult, now time.Time) error {
	after, identity := result.Fan, identityDataOf(l.Identity)
	e := Event{Order: after.ID, AppID: l.Identity.AppID}
	if result.Created {
		e.Type = EventFanRegistered
		if err := tx.enqueueJSON(e, registeredData{fanDataOf(after), identity}, now); err != nil {
			return err
		}
	} else if err := tx.tellUpdated(before, after, result.Linked, identity, now); err != nil {
		return err
	}
	if after.Status == StatusBlocked {
		return nil
	}
	e.Type = EventLogin
	return tx.enqueueJSON(e, loginData{fanRef{after.ID}, identity, result.Created}, now)
}

func (tx *transaction) tellUpdated(before, after Fan, linked bool, identity identityData, now time.Time) error {
	data := updatedData{Fan: fanDataOf(after), Changed: changes(before, after)}
	if linked {
		data.Changed, data.Identity = append(data.Changed, "identities"), &identity
	}
	if len(data.Changed) == 0 {
		return nil
	}
	return tx.enqueueJSON(Event{Type: EventFanUpdated, Order: after.ID}, data, now)
}

// tellChange keeps the event of a change that is no login.
func (tx *transaction) tellChange(before, after Fan, now time.Time) error {
	return tx.tellUpdated(before, after, false, identityData{}, now)
}

func (tx *transaction) tellMerged(from, to string, now time.Time) error {
	if err := tx.rekeyEvents(from, to, now); err != nil {
		return err
	}
	return tx.enqueueJSON(Event{Type: EventFanMerged, Order: to}, mergedData{from, to}, now)
}

func (tx *transaction) tellErased(ids []string, now time.Time) error {
	aliases := ids[1:]
	return tx.enqueueJSON(Event{Type: EventFanErased, Order: ids[0]}, erasedData{fanRef{ids[0]}, append([]string{}, aliases...)}, now)
}

type unlinkedData struct {
	Fan  fanRef `json:"fan"`  // who is a fan of their own again
	From fanRef `json:"from"` // whom they were linked to
}

// tellUnlinked keeps the events of a link that was undone: who is a fan again, in line
// with what is told of the fan that had been two, and what both are now.
func (tx *transaction) tellUnlinked(before Fan, r LinkResult, now time.Time) error {
	if err := tx.enqueueJSON(Event{Type: EventFanUnlinked, Order: r.Fan.ID}, unlinkedData{fanRef{r.Other.ID}, fanRef{r.Fan.ID}}, now); err != nil {
		return err
	}
	moved := []string{"identities"}
	err := tx.enqueueJSON(Event{Type: EventFanUpdated, Order: r.Fan.ID}, updatedData{Fan: fanDataOf(r.Fan), Changed: append(changes(before, r.Fan), moved...)}, now)
	if err != nil {
		return err
	}
	return tx.enqueueJSON(Event{Type: EventFanUpdated, Order: r.Other.ID}, updatedData{Fan: fanDataOf(r.Other), Changed: moved}, now)
}
