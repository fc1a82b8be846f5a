package wechat

import (
	"context"
	"time"
)

// TokenStore keeps app tokens and tickets where a restart, and other processes,
// find them. Whoever can read them can act as the app: an implementation should
// seal them.
//
// A process that must fetch takes a lock, so that the others wait for its token
// instead of fetching their own. The lock is a lease: it ends by itself when its
// holder dies. Nothing is held while WeChat is asked but a mark in the store.
//
// Keys are those of [TokenSourceConfig], such as an appid. An owner is a random text, another one for each fetch. Every
// method may be called by many goroutines and processes at once, and returns
// when its context ends, after a second at the latest. An error of any of them
// costs a fetch, no more.
type TokenStore interface {
	// Load returns the token saved last, over or not; the zero AppToken if there
	// is none.
	Load(ctx context.Context, key string) (AppToken, error)

	// Lock makes owner the holder for the given time and reports true, unless
	// somebody else holds the lock and their time is not over. It does not wait.
	Lock(ctx context.Context, key, owner string, lease time.Duration) (bool, error)

	// Save replaces the token, if owner holds the lock; else it changes nothing,
	// and that is no error. A lock whose time is over but which nobody has taken
	// is still held. The lock stays.
	Save(ctx context.Context, key, owner string, token AppToken) error

	// Unlock ends the lock, if owner holds it; else it changes nothing.
	Unlock(ctx context.Context, key, owner string) error
}

// storeLimit is the time that a store may take for one thing. A store in trouble
// must not keep anybody from a token that WeChat would give.
const storeLimit = time.Second

// boundedStore gives every method of a store its time limit.
type boundedStore struct{ store TokenStore }

func (b boundedStore) Load(ctx context.Context, key string) (AppToken, error) {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	return b.store.Load(ctx, key)
}

func (b boundedStore) Lock(ctx context.Context, key, owner string, lease time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	return b.store.Lock(ctx, key, owner, lease)
}

func (b boundedStore) Save(ctx context.Context, key, owner string, token AppToken) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	return b.store.Save(ctx, key, owner, token)
}

func (b boundedStore) Unlock(ctx context.Context, key, owner string) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	return b.store.Unlock(ctx, key, owner)
}
