package cli

import (
	"context"
	"encoding/json"
	"time"

	"wxbridge/db"
	"wxbridge/internal/seal"
	"wxbridge/wechat"
)

// appTokenPurpose labels sealed app tokens; each is bound to its key.
const appTokenPurpose = "app_token"

// tokenStore keeps app tokens in the database, sealed. It implements wechat.TokenStore.
type tokenStore struct {
	db  db.AppTokenStore
	box *seal.Box
}

// storedToken is what is sealed. Times are milliseconds since 1970.
type storedToken struct {
	Value     string `json:"v"`
	FetchedAt int64  `json:"f"`
	ExpiresAt int64  `json:"e"`
}

// Load gives no token for what does not open, sealed with a secret that is gone, say: another is fetched in its place.
func (s tokenStore) Load(ctx context.Context, key string) (wechat.AppToken, error) {
	sealed, err := s.db.SealedAppToken(ctx, key)
	if err != nil || sealed == nil {
		return wechat.AppToken{}, err
	}
	plain, err := s.box.Open(appTokenPurpose, sealed, []byte(key))
	if err != nil {
		return wechat.AppToken{}, nil
	}
	var t storedToken
	if err := json.Unmarshal(plain, &t); err != nil {
		return wechat.AppToken{}, nil
	}
	return wechat.AppToken{Value: wechat.Secret(t.Value), FetchedAt: time.UnixMilli(t.FetchedAt), ExpiresAt: time.UnixMilli(t.ExpiresAt)}, nil
}

func (s tokenStore) Lock(ctx context.Context, key, owner string, lease time.Duration) (bool, error) {
	return s.db.LockAppToken(ctx, key, owner, lease)
}

func (s tokenStore) Save(ctx context.Context, key, owner string, token wechat.AppToken) error {
	plain, err := json.Marshal(storedToken{token.Value.Reveal(), token.FetchedAt.UnixMilli(), token.ExpiresAt.UnixMilli()})
	if err != nil {
		return err
	}
	return s.db.SaveAppToken(ctx, key, owner, s.box.Seal(appTokenPurpose, plain, []byte(key)))
}

func (s tokenStore) Unlock(ctx context.Context, key, owner string) error {
	return s.db.UnlockAppToken(ctx, key, owner)
}
