package db_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wxbridge/db"
)

// LOG-04: what was told of an erased fan, and what was delivered, is in no file of the store.
func TestLOG04_EventsLeaveNothingBehind(t *testing.T) {
	path := newPath(t)
	store := open(t, "sqlite://"+path, time.Now)
	if err := store.SetEndpoints(t.Context(), []db.Endpoint{{Name: "shop", Events: []string{"*"}}}); err != nil {
		t.Fatal(err)
	}
	fan := save(t, store, login("oAlice", "")).Fan
	for key, text := range map[string]string{fan.ID: "wish-of-alice", "": "wish-of-nobody"} {
		data, _ := json.Marshal(map[string]string{"content": strings.Repeat(text+" ", 40)})
		if err := store.Enqueue(t.Context(), db.Event{Type: "message", Order: key, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.FanOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	claimed, err := store.ClaimDeliveries(t.Context(), "shop", 10, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range claimed {
		if d.Type == "message" { // of nobody: alice's waits behind her login
			if err := store.Delivered(t.Context(), d.Receipt); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := store.EraseFan(t.Context(), fan.ID, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		for _, text := range []string{"wish-of-alice", "wish-of-nobody", "oAlice"} {
			if strings.Contains(read(t, file), text) {
				t.Errorf("%s holds %s", filepath.Base(file), text)
			}
		}
	}
}

// A command that sets no endpoints keeps events for those of the bridge.
func TestAnotherProcessTellsTheSameEndpoints(t *testing.T) {
	path := newPath(t)
	bridge := open(t, "sqlite://"+path, time.Now)
	if err := bridge.SetEndpoints(t.Context(), []db.Endpoint{{Name: "shop", Events: []string{"fan.*"}}}); err != nil {
		t.Fatal(err)
	}
	fan := save(t, bridge, login("oAlice", "")).Fan
	command := open(t, "sqlite://"+path, time.Now)
	if _, err := command.EraseFan(t.Context(), fan.ID, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n, err := bridge.FanOut(context.Background()); n != 2 || err != nil {
		t.Errorf("%d events (%v), want the registration and the erasure", n, err)
	}
}
