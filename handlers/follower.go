package handlers

import (
	"context"
	"errors"
	"sync"
	"time"

	"wxbridge/db"
	"wxbridge/wechat"
)

const (
	// followerTime bounds the question whether somebody follows the account, and leaves the callback time to go on without
	// an answer.
	followerTime = 3 * time.Second

	// strangerFor is how long a guest who does not follow the account is not asked about again. An event that says
	// otherwise ends it.
	strangerFor = time.Hour
)

// addFollower asks WeChat whether the person follows the account, and adds what it says to the login: a follower's unionid
// above all, which the base scope never brings (wechat-protocol §6.1, §10). known is what is stored, if anything is. Whatever
// goes wrong, the login goes on as if there were no such question.
func (s *Server) addFollower(ctx context.Context, account OfficialAccount, login *db.Identity, known db.Identity) {
	appID := account.Client.AppID()
	if account.Tokens == nil || known.UnionID != "" || s.askedLately(known) || s.followerPauses.on(appID) {
		return
	}
	limited, cancel := context.WithTimeout(ctx, followerTime)
	defer cancel()
	follower, err := account.Tokens.Follower(limited, login.OpenID)
	if err != nil {
		s.followerFailed(ctx, appID, err)
		return
	}
	login.UnionID, login.Subscribed = follower.UnionID, &follower.Subscribed
	if follower.Subscribed && follower.UnionID == "" {
		s.followerPauses.begin(appID, pauseSettings) // the account is bound to no open account: nobody of it has a unionid
	}
}

// keepFollower adds what the silent login before the register page has learned, unless the store knows better by now.
func (s *Server) keepFollower(ctx context.Context, login *db.Identity) {
	_, known, err := s.cfg.Store.FanByIdentity(ctx, login.Provider, login.AppID, login.OpenID)
	if isNotFound(err) || err == nil && known.Subscribed == nil {
		follows := true
		login.Subscribed = &follows
	}
}

// askedLately reports whether a guest is known not to follow, from a moment ago.
func (s *Server) askedLately(known db.Identity) bool {
	return known.Subscribed != nil && !*known.Subscribed && s.cfg.Now().Sub(known.LastLoginAt) < strangerFor
}

// knownPerson reports whether the login's unionid belongs to a fan who need not register, or may not: within one open
// account, and not one whose role keeps it apart from the guest's, if there is a guest (REL-17).
func (s *Server) knownPerson(ctx context.Context, login db.Identity, guest db.Fan) bool {
	if login.UnionID == "" {
		return false
	}
	fans, err := s.cfg.Store.FansByUnionID(ctx, login.OpenAccount, login.UnionID)
	if err != nil {
		s.cfg.Logger.Error("look for a follower's other accounts", "request_id", requestIDFrom(ctx), "err", err)
		return false
	}
	for _, fan := range fans {
		apart := guest.Role != "" && fan.Role != "" && guest.Role != fan.Role
		if !apart && (fan.Registered() || fan.Status == db.StatusBlocked) {
			return true
		}
	}
	return false
}

// followerFailed says what is wrong, and spares the logins that follow the same wait.
func (s *Server) followerFailed(ctx context.Context, appID string, err error) {
	pause := pauseAfter(err)
	s.followerPauses.begin(appID, pause)
	attrs := []any{"event", "follower.failed", "request_id", requestIDFrom(ctx), "appid", appID, "err", err, "not_asked_for", pause.String()}
	if e, ok := errors.AsType[*wechat.Error](err); ok {
		if cause, fix, known := wechat.Explain(e.Code); known {
			attrs = append(attrs, "meaning", cause, "fix", fix)
		}
	}
	s.cfg.Logger.Warn("WeChat does not say who follows the account; people known from other apps see the register page", attrs...)
}

const (
	pauseBusy     = 10 * time.Second
	pauseMinute   = time.Minute
	pauseSettings = 10 * time.Minute // until an operator has changed something, or another day has begun
)

// pauseAfter is how long an account is not asked about followers after the error. What concerns one person holds up nobody
// else.
func pauseAfter(err error) time.Duration {
	e, _ := errors.AsType[*wechat.Error](err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, wechat.ErrForbidden), e != nil && e.Code == 40003:
		return 0
	case e != nil && e.Code == 45009:
		return pauseSettings
	case errors.Is(err, wechat.ErrRateLimited):
		return pauseMinute
	case errors.Is(err, wechat.ErrMisconfigured): // 48001: the account has no right to ask
		return pauseSettings
	}
	return pauseBusy
}

// pauses remembers what is not asked for a while, by appid.
type pauses struct {
	now func() time.Time

	mu    sync.Mutex
	spans map[string]span
}

type span struct{ since, until time.Time }

func newPauses(now func() time.Time) *pauses { return &pauses{now: now, spans: map[string]span{}} }

// on reports whether a pause is not over. A clock that was set back ends it (REL-15).
func (p *pauses) on(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, s := p.now(), p.spans[key]
	return now.Before(s.until) && !now.Before(s.since)
}

func (p *pauses) begin(key string, d time.Duration) {
	if d <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spans[key] = span{p.now(), p.now().Add(d)}
}
