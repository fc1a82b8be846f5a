package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"wxbridge/db"
	"wxbridge/internal/follow"
	"wxbridge/jwtauth"
)

const (
	// followEvery makes a revocation known to every process on the store within a second: to wait for the next look, to
	// read, and a margin for a machine that is busy.
	followEvery = 300 * time.Millisecond

	// followLimit is how long one look may take. The first one may have a whole set to read.
	followLimit = 10 * time.Second
)

// followRevocations makes a set that follows the store. It is loaded when this returns, and so before the first request
// (TOK-10); from then on the follower keeps it in step with what other processes revoke.
func followRevocations(ctx context.Context, store db.RevocationStore, logger *slog.Logger) (*jwtauth.RevocationSet, *follow.Follower, error) {
	set := jwtauth.NewRevocationSet(time.Now)
	reader := &revocationReader{store: store, set: set}
	follower, err := follow.New(follow.Config{What: "revocations", Look: reader.look,
		Every: followEvery, Limit: followLimit, Logger: logger, Now: time.Now})
	if err != nil {
		return nil, nil, err
	}
	if err := follower.Sync(ctx); err != nil {
		return nil, nil, err
	}
	return set, follower, nil
}

// revocationReader remembers how far it has read.
type revocationReader struct {
	store db.RevocationStore
	set   *jwtauth.RevocationSet
	mark  int64
}

// look adds what is new. Where nothing is, that is one look at the end of an index.
func (r *revocationReader) look(ctx context.Context) error {
	for {
		added, next, err := r.store.RevocationsAfter(ctx, r.mark)
		if err != nil || len(added) == 0 {
			return err
		}
		for _, revocation := range added {
			if err := apply(r.set, revocation); err != nil {
				return err
			}
		}
		r.mark = next
	}
}

func apply(set *jwtauth.RevocationSet, r db.Revocation) error {
	switch r.Kind {
	case db.RevokedSession:
		set.RevokeSession(r.Value, r.ExpiresAt)
	case db.RevokedSubject:
		set.RevokeSubject(r.Value, r.Before, r.ExpiresAt)
	default:
		return fmt.Errorf("a revocation of the kind %q is not known to this version", r.Kind)
	}
	return nil
}
