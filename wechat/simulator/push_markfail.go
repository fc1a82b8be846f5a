package simulator

import (
	"sync"
	"time"
)

const (
	markFailAfter = 5           // failed sends in a row (assumed: the documentation says "repeated")
	markFailPause = time.Minute // documented
)

// alarms counts failed sends in a row and suspends an app's pushes (MarkFail; observed, wechat-protocol §5.5).
type alarms struct {
	mu   sync.Mutex
	apps map[string]*alarm
}

type alarm struct {
	failures int
	until    time.Time
}

func (a *alarms) init(apps map[string]*App) {
	a.apps = make(map[string]*alarm, len(apps))
	for id := range apps {
		a.apps[id] = new(alarm)
	}
}

func (a *alarms) suspended(appID string, now time.Time) (until time.Time, yes bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	until = a.apps[appID].until
	return until, now.Before(until)
}

func (a *alarms) note(appID string, ok bool, now time.Time, on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	alarm := a.apps[appID]
	if alarm.failures++; ok || !on {
		alarm.failures = 0
	}
	if alarm.failures >= markFailAfter {
		alarm.failures, alarm.until = 0, now.Add(markFailPause)
	}
}
