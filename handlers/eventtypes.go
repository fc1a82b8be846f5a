package handlers

import (
	"maps"
	"slices"

	"wxbridge/db"
)

// EventTypes lists the types of all events that backends can be told, the store's own first.
func EventTypes() []string {
	types := []string{db.EventLogin, db.EventFanRegistered, db.EventFanUpdated, db.EventFanMerged, db.EventFanUnlinked, db.EventFanErased}
	names := append(slices.Sorted(maps.Values(pushTypes)), "message", "event")
	for _, name := range names {
		types = append(types, pushPrefix+name)
	}
	for _, name := range append(slices.Sorted(maps.Values(memberTypes)), "message", "event") {
		types = append(types, memberPrefix+name)
	}
	return types
}

// AnsweredEvents lists the types of events whose person is shown a reply.
func AnsweredEvents() []string {
	unanswered := []string{"unsubscribe", "authorization_revoke", "authorization_cancellation", "user_info_modified"}
	types := []string{pushPrefix + "message", memberPrefix + "message", pushPrefix + "event"}
	for _, name := range slices.Sorted(maps.Values(pushTypes)) {
		if !slices.Contains(unanswered, name) {
			types = append(types, pushPrefix+name)
		}
	}
	return types
}
