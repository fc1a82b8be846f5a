package handlers

import (
	"context"
	"errors"
	"time"

	"wxbridge/db"
	"wxbridge/jwtauth"
	"wxbridge/wechat/wecom"
)

// Without callbacks nobody reports who has left a corp, and with them a push may be lost. So a token of a member is renewed
// only if WeCom has said within one life of a token that the member is active; who cannot be asked about keeps the token to
// its end. A leaver is thus out after two lives at most, and after none if the push arrives.

// errNotConfirmed says that nobody can tell now whether a member still is one.
var errNotConfirmed = errors.New("WeCom has not confirmed the member")

// memberTime bounds one question about a member, to all apps of the corp. Requests wait no longer than their own deadlines.
const memberTime = 4 * time.Second

// maxMemberWait is how long a request waits for the answer at most; one that comes later serves the next.
const maxMemberWait = 2 * time.Second

// confirmMember lets a session be renewed whose member WeCom has confirmed lately, and takes over the departments. Else WeCom
// is asked, once at a time about each member.
func (s *Server) confirmMember(ctx context.Context, n *session) error {
	if isCorpGuest(n.provider, n.openID) {
		return s.confirmGuest(n.appID)
	}
	for asked := false; ; asked = true {
		fan, identity, err := s.cfg.Store.FanByIdentity(ctx, n.provider, n.appID, n.openID)
		switch {
		case isNotFound(err), err == nil && fan.ID != n.fan.ID: // renamed, or parted from this fan
			return errBadCredential.because(errors.New("the member's identity is not this fan's"))
		case err != nil:
			return err
		case s.cfg.Now().Sub(identity.ConfirmedAt).Abs() < s.cfg.TokenTTL:
			n.depts = jwtauth.Departments(identity.Departments)
			return nil
		case asked:
			return errNotConfirmed
		}
		if err := s.askMember(ctx, identity); err != nil {
			return err
		}
	}
}

// confirmGuest lets the session of a guest be renewed while any app of the corp takes guests: WeCom knows nothing of them.
func (s *Server) confirmGuest(corpID string) error {
	for _, app := range s.cfg.WeCom {
		if app.Guests && app.Client.CorpID() == corpID {
			return nil
		}
	}
	return errBadCredential.because(errors.New("no guests are let in any more"))
}

// askMember has WeCom asked about a member, and waits a while. Many requests share one question.
func (s *Server) askMember(ctx context.Context, identity db.Identity) error {
	if s.memberPauses.on(identity.AppID) {
		return errNotConfirmed
	}
	answer := s.memberAsks.DoChan(identity.AppID+"|"+identity.OpenID, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), memberTime)
		defer cancel()
		return nil, s.checkMember(ctx, identity)
	})
	patience := time.NewTimer(maxMemberWait)
	defer patience.Stop()
	select {
	case told := <-answer:
		return told.Err
	case <-patience.C:
		return errNotConfirmed
	case <-ctx.Done():
		return errors.Join(errNotConfirmed, ctx.Err())
	}
}

// checkMember asks WeCom and stores what it says. errBadCredential: no member any more.
func (s *Server) checkMember(ctx context.Context, identity db.Identity) error {
	asked := s.cfg.Now()
	member, gone, err := s.memberAnywhere(ctx, identity)
	switch {
	case err != nil:
		s.memberPauses.begin(identity.AppID, pauseAfter(err))
		s.cfg.Logger.Warn("WeCom does not say whether a member is still one; the token runs to its end", "event", "member.not_confirmed",
			"corpid", identity.AppID, "err", err)
		return errNotConfirmed
	case gone:
		if err := s.revokeMember(ctx, identity); err != nil {
			return err
		}
		return errBadCredential.because(errors.New("no longer a member"))
	}
	departments := jwtauth.DepartmentsOf(member.Departments...)
	return s.cfg.Store.ConfirmMember(ctx, identity.AppID, identity.OpenID,
		db.Membership{Departments: string(departments), ConfirmedAt: asked})
}

// memberAnywhere asks the apps of the corp one after another until one says that the member is active. gone: all have said
// that they are not.
func (s *Server) memberAnywhere(ctx context.Context, identity db.Identity) (member wecom.Member, gone bool, err error) {
	err = errNotConfigured
	for _, app := range s.cfg.WeCom {
		if app.Client.CorpID() != identity.AppID {
			continue
		}
		m, failed := app.Client.Member(ctx, identity.OpenID)
		switch {
		case notActive(m, failed):
			if errors.Is(err, errNotConfigured) {
				gone, err = true, nil
			}
		case failed != nil:
			gone, err = false, failed
		default:
			return m, false, nil
		}
	}
	return wecom.Member{}, gone, err
}

// notActive reports whether WeCom has said that somebody is no member who may work.
func notActive(m wecom.Member, err error) bool {
	return errors.Is(err, wecom.ErrNotMember) || err == nil && !m.Active()
}

// memberBarred revokes what a member was issued whom WeCom has refused at a login, unless another app of the corp knows them.
func (s *Server) memberBarred(ctx context.Context, identity db.Identity) error {
	_, _, err := s.cfg.Store.FanByIdentity(ctx, identity.Provider, identity.AppID, identity.OpenID)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	switch _, gone, err := s.memberAnywhere(ctx, identity); {
	case err != nil || !gone: // the renewal will ask again
		return nil
	}
	return s.revokeMember(ctx, identity)
}

// revokeMember ends what somebody was issued who is no member any more.
func (s *Server) revokeMember(ctx context.Context, identity db.Identity) error {
	until := s.revokedUntil()
	revoked, err := s.cfg.Store.RevokeMember(ctx, identity.AppID, identity.OpenID, until)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	s.revoked(revoked, until)
	s.cfg.Logger.Info("somebody is no member of a corp any more; every token is revoked", "event", "member.revoked",
		"corpid", identity.AppID, "fan", revoked.Subjects[0])
	return nil
}
