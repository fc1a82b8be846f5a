package simulator

import (
	"crypto/rand"
	"encoding/base64"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	appTokenLife   = 2 * time.Hour    // documented (wechat-protocol §2.1)
	appTokenGrace  = 5 * time.Minute  // documented: old and new work side by side that long
	forceInterval  = 30 * time.Second // documented (wechat-protocol §2.2)
	forcesADay     = 20               // documented
	appTokenPrefix = "84_"            // NN_ (observed, wechat-protocol §0.3)
)

// appToken is one global access_token.
type appToken struct {
	value   string
	app     *App
	expires time.Time // its natural end: from then on 42001
	revoked time.Time // from then on 40001, because a newer one took its place; zero: never
}

// replace lets t work until at most until.
func (t *appToken) replace(until time.Time) {
	if t != nil && (t.revoked.IsZero() || until.Before(t.revoked)) {
		t.revoked = until
	}
}

// appTokens holds the global access_tokens of all apps. The tokens of cgi-bin/token and those of stable_token are two
// families that never touch each other; the APIs take both (documented, wechat-protocol §2.2).
type appTokens struct {
	mu     sync.Mutex
	known  map[string]*appToken // by value; those long dead are dropped
	swept  time.Time
	plain  map[string]*appToken // of cgi-bin/token, by appid
	stable map[string]*stableTokens
}

// stableTokens are those of one app.
type stableTokens struct {
	now, before *appToken
	forced      time.Time // when force_refresh last made a new one
	forcedToday int
	day         int64
}

func (a *appTokens) init() {
	a.known, a.plain, a.stable = map[string]*appToken{}, map[string]*appToken{}, map[string]*stableTokens{}
}

// rotate is cgi-bin/token: every call makes a new token, and the one before works five more minutes (documented). A
// token replaced twice within those minutes keeps the end that its first replacement gave it (assumed).
func (a *appTokens) rotate(app *App, now time.Time) *appToken {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.plain[app.AppID].replace(now.Add(appTokenGrace))
	t := a.make(app, now)
	a.plain[app.AppID] = t
	return t
}

// steady is stable_token: the same token with what is left of its life, until its last five minutes, when a call makes
// the next one and both work to the end of the first (documented; so an answer never has less than 300 seconds). force
// replaces it now, but not within 30 seconds of the last time and not more than 20 times a day (documented): within the
// 30 seconds the call counts as an unforced one, beyond the 20 it is refused (both assumed).
func (a *appTokens) steady(app *App, force, overlap bool, now time.Time) (t *appToken, errcode int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.stable[app.AppID]
	if s == nil {
		s = new(stableTokens)
		a.stable[app.AppID] = s
	}
	force = force && (s.forced.IsZero() || now.Sub(s.forced) >= forceInterval)
	if force {
		if day := dayOf(now); day != s.day {
			s.day, s.forcedToday = day, 0
		}
		if s.forcedToday == forcesADay {
			return nil, 45009
		}
		s.forcedToday++
		s.forced = now
	}
	if !force && s.now != nil && s.now.expires.Sub(now) >= appTokenGrace {
		return s.now, 0
	}
	s.next(a.make(app, now), force, overlap, now)
	return s.now, 0
}

// next puts t in the place of the current token. Two forced calls kill a leaked token (documented), so that only the
// newest two ever work: the one before last dies now.
func (s *stableTokens) next(t *appToken, forced, overlap bool, now time.Time) {
	s.before.replace(now)
	if forced {
		until := now
		if overlap {
			until = now.Add(appTokenGrace)
		}
		s.now.replace(until)
	}
	s.before, s.now = s.now, t
}

func (a *appTokens) make(app *App, now time.Time) *appToken {
	a.sweep(now)
	t := &appToken{value: newAppToken(), app: app, expires: now.Add(appTokenLife)}
	a.known[t.value] = t
	return t
}

// sweep forgets tokens a day after their end, now and then: until then a use of them is still told apart.
func (a *appTokens) sweep(now time.Time) {
	if now.Sub(a.swept) < time.Hour {
		return
	}
	a.swept = now
	for value, t := range a.known {
		if now.Sub(t.expires) > 24*time.Hour {
			delete(a.known, value)
		}
	}
}

// check says whose token it is. A text that cannot be a token is 40014, one that was never given out or has been
// replaced 40001, one that has reached its natural end 42001 (observed codes; which text gives which is assumed).
func (a *appTokens) check(value string, now time.Time) (*App, int) {
	switch {
	case value == "":
		return nil, 41001
	case !looksLikeToken(value):
		return nil, 40014
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.known[value]
	switch {
	case t == nil, !t.revoked.IsZero() && !now.Before(t.revoked):
		return nil, 40001
	case !now.Before(t.expires):
		return nil, 42001
	}
	return t.app, 0
}

func looksLikeToken(value string) bool {
	number, _, ok := strings.Cut(value, "_")
	_, err := strconv.ParseUint(number, 10, 16)
	return ok && err == nil && len(value) >= 64 && len(value) <= 512
}

// newAppToken has 139 characters of base64url after its number; 512 are to be reserved for one (documented).
func newAppToken() string {
	var b [102]byte
	rand.Read(b[:])
	return appTokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// dayOf numbers the days as WeChat counts quotas: from midnight in Beijing (assumed).
func dayOf(t time.Time) int64 { return (t.Unix() + 8*3600) / (24 * 3600) }
