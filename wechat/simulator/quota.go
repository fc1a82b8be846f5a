package simulator

import (
	"sync"
	"time"
)

// quotas counts the calls of each app to each path, by day and by minute of the simulator's clock.
type quotas struct {
	mu     sync.Mutex
	counts map[quotaKey]*quotaCount
}

type quotaKey struct{ appID, path string }

type quotaCount struct{ day, today, minute, thisMinute int64 }

func (q *quotas) init() { q.counts = map[quotaKey]*quotaCount{} }

// add counts one call and returns how many there were this day and this minute, itself included.
func (q *quotas) add(appID, path string, now time.Time) (today, thisMinute int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	key := quotaKey{appID, path}
	c := q.counts[key]
	if c == nil {
		c = new(quotaCount)
		q.counts[key] = c
	}
	if day := dayOf(now); day != c.day {
		c.day, c.today = day, 0
	}
	if minute := now.Unix() / 60; minute != c.minute {
		c.minute, c.thisMinute = minute, 0
	}
	c.today++
	c.thisMinute++
	return c.today, c.thisMinute
}

// dayLimit is the number of calls a day (wechat-protocol §2.2, §2.5); 0: no limit is known.
func dayLimit(path string, testAccount bool) int64 {
	switch path {
	case pathToken:
		if testAccount {
			return 200 // observed
		}
		return 2000 // observed, new account
	case pathStableToken:
		return 500_000 // documented
	case pathFollower:
		return 5_000_000 // observed, new account
	case pathFollowers:
		return 500 // observed, new account
	}
	return reachDayLimit(path, testAccount)
}

// minuteLimit is the number of calls a minute (documented, wechat-protocol §2.2, §8); 0: none is known.
func minuteLimit(path string) int64 {
	switch path {
	case pathStableToken:
		return 10_000
	case pathTextCheck:
		return 4_000 // §8.7
	case pathResetSession:
		return 60_000 // §8.3
	}
	return 0
}

// countCall counts a good call and refuses it where a quota is used up: the minute's with 45011, the day's with 45009.
func (s *Server) countCall(app *App, path string) int {
	day, minute := s.switches.choice(switchDayQuota), s.switches.choice(switchMinuteQuota)
	today, thisMinute := s.quotas.add(app.AppID, path, s.now())
	limitToday, limitThisMinute := dayLimit(path, day == "test-account"), minuteLimit(path)
	switch {
	case minute == "exhausted", minute != "unlimited" && limitThisMinute > 0 && thisMinute > limitThisMinute:
		return 45011
	case day == "exhausted", day != "unlimited" && limitToday > 0 && today > limitToday:
		return 45009
	}
	return 0
}
