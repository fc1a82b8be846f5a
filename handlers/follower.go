package handlers

import (
	"context"
	"errors"
	"slices"
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

	// answerKept is how long an answer is good for an account that sends no pushes, which would say what has changed.
	answerKept = 24 * time.Hour
)

// addFollower asks WeChat whether the person follows the account, if that or a guest's unionid is not known, and adds what it
// says to the login: a follower's unionid, which the base scope never brings, too (wechat-protocol §6.1, §10). known is what is
// stored, if anything is. Whatever goes wrong, the login goes on as if there were no such question, and in time.
func (s *Server) addFollower(ctx context.Context, account OfficialAccount, login *db.Identity, known db.Identity, registered bool) {
	appID := account.Client.AppID()
	if account.Tokens == nil || s.followerPauses.on(appID) || s.knownToFollow(account, known) && (registered || !s.unionMayCome(appID, known)) {
		return
	}
	allowed := followerTimeIn(ctx)
	if allowed <= 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, allowed)
	defer cancel()
	follower, err := account.Tokens.Follower(limited, login.OpenID)
	if err != nil {
		s.followerFailed(ctx, appID, err)
		return
	}
	login.Subscribed = &follower.Subscribed
	if follower.UnionID != "" {
		login.UnionID = follower.UnionID
	}
	if follower.Subscribed && follower.UnionID == "" {
		s.followerPauses.begin(unboundKey(appID), pauseSettings)
	}
}

// knownToFollow reports whether the store knows if the person follows. Of an account that sends no pushes it knows what was so
// at the last login, which says little after a day.
func (s *Server) knownToFollow(account OfficialAccount, known db.Identity) bool {
	return known.Subscribed != nil && (account.Callback != nil || s.cfg.Now().Sub(known.LastLoginAt) < answerKept)
}

// unionMayCome reports whether another question may bring a guest's unionid: of a follower, who was no follower a moment ago, and
// of an account that is bound to an open account.
func (s *Server) unionMayCome(appID string, known db.Identity) bool {
	return known.UnionID == "" && !s.askedLately(known) && !s.followerPauses.on(unboundKey(appID))
}

// unboundKey names the pause of an account that is bound to no open account: nobody of it has a unionid.
func unboundKey(appID string) string { return "unbound " + appID }

// followerTimeIn is followerTime, or less where the deadline of ctx is near: to store the login takes some time, too.
func followerTimeIn(ctx context.Context) time.Duration {
	const toStore = 2 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		return min(followerTime, time.Until(deadline)-toStore)
	}
	return followerTime
}

// addFollowing adds to a login that has its unionid whether the person follows. told is the openid of a follower whom the silent
// login before the register page has met.
func (s *Server) addFollowing(ctx context.Context, account OfficialAccount, login *db.Identity, told string) {
	_, known, err := s.cfg.Store.FanByIdentity(ctx, login.Provider, login.AppID, login.OpenID)
	switch {
	case err != nil && !isNotFound(err): // to store the login fails next, or it does not
	case known.Subscribed == nil && told == login.OpenID:
		follows := true
		login.Subscribed = &follows
	default:
		s.addFollower(ctx, account, login, known, true)
	}
}

// askedLately reports whether a guest is known not to follow, from a moment ago.
func (s *Server) askedLately(known db.Identity) bool {
	return known.Subscribed != nil && !*known.Subscribed && s.cfg.Now().Sub(known.LastLoginAt) < strangerFor
}

// knownPerson reports whether the unionid belongs to a fan who need not register, or may not: one with a profile, or one who is
// known from another app, with or without a profile. That holds within one open account, and not for a fan whose role keeps
// it apart from the guest's, if there is a guest (REL-17).
func (s *Server) knownPerson(ctx context.Context, account OfficialAccount, unionID string, guest db.Fan) bool {
	if unionID == "" {
		return false
	}
	fans, err := s.cfg.Store.FansByUnionID(ctx, account.OpenAccount, unionID)
	if err != nil {
		s.cfg.Logger.Error("look for a follower's other accounts", "request_id", requestIDFrom(ctx), "err", err)
		return false
	}
	for _, fan := range fans {
		apart := guest.Role != "" && fan.Role != "" && guest.Role != fan.Role
		if !apart && (fan.Registered() || fan.Status == db.StatusBlocked || fan.ID != guest.ID || s.knownElsewhere(ctx, account, unionID, fan.ID)) {
			return true
		}
	}
	return false
}

// knownElsewhere reports whether the fan uses another app of the account's open account, by the same unionid.
func (s *Server) knownElsewhere(ctx context.Context, account OfficialAccount, unionID, fanID string) bool {
	identities, err := s.cfg.Store.Identities(ctx, fanID)
	if err != nil {
		s.cfg.Logger.Error("look for a guest's other accounts", "request_id", requestIDFrom(ctx), "err", err)
		return false
	}
	return slices.ContainsFunc(identities, func(i db.Identity) bool {
		return i.AppID != account.Client.AppID() && i.OpenAccount == account.OpenAccount && i.UnionID == unionID && i.Provider != db.ProviderWeCom
	})
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
	s.cfg.Logger.Warn("WeChat does not say who follows the account; people known from other apps see the register page, and /me does not say who is subscribed", attrs...)
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
