package handlers

import (
	"context"
	"encoding/json"
	"time"

	"wxbridge/db"
)

// Export is all that the store holds about one fan, as JSON. Session keys and WeChat's tokens are secrets shared with WeChat,
// not data about the person: only that they are there is told.
type Export struct {
	me
	Language     string           `json:"language,omitempty"`
	Status       string           `json:"status"`
	UpdatedAt    time.Time        `json:"updated_at"`
	RegisteredAt *time.Time       `json:"registered_at,omitempty"`
	ProfileAt    *time.Time       `json:"profile_at,omitempty"`
	ConsentedAt  *time.Time       `json:"consented_at,omitempty"`
	Identities   []ExportIdentity `json:"identities"`
}

// ExportIdentity is one identity of an Export.
type ExportIdentity struct {
	meIdentity
	OpenAccount          string          `json:"open_account"`
	Scope                string          `json:"scope,omitempty"`
	Profile              json.RawMessage `json:"profile,omitempty"`
	HasSessionKey        bool            `json:"has_session_key"`
	HasUserRefreshToken  bool            `json:"has_user_refresh_token"`
	UserRefreshExpiresAt *time.Time      `json:"user_refresh_expires_at,omitempty"`
	CreatedAt            time.Time       `json:"created_at"`
	LastLoginAt          time.Time       `json:"last_login_at"`
}

// ExportOf reads what belongs to the fan: what GET /me/export and the command fans export answer.
func ExportOf(ctx context.Context, store db.FanStore, fan db.Fan) (Export, error) {
	identities, err := store.Identities(ctx, fan.ID)
	if err != nil {
		return Export{}, err
	}
	aliases, err := store.Aliases(ctx, fan.ID)
	if err != nil {
		return Export{}, err
	}
	e := Export{me: meOf(fan, nil, aliases), Language: fan.Language, Status: string(fan.Status),
		UpdatedAt: fan.UpdatedAt.UTC(), RegisteredAt: known(fan.RegisteredAt), ProfileAt: known(fan.ProfileAt),
		ConsentedAt: known(fan.ConsentedAt), Identities: []ExportIdentity{}}
	for _, i := range identities {
		x := ExportIdentity{meIdentity: meIdentity{i.Provider, i.AppID, i.OpenID, i.UnionID, i.Subscribed},
			OpenAccount: i.OpenAccount, Scope: i.Scope, HasSessionKey: len(i.SessionKeySealed) > 0,
			HasUserRefreshToken: len(i.UserRefreshTokenSealed) > 0, UserRefreshExpiresAt: known(i.UserRefreshExpiresAt),
			CreatedAt: i.CreatedAt.UTC(), LastLoginAt: i.LastLoginAt.UTC()}
		if json.Valid(i.ProfileJSON) {
			x.Profile = i.ProfileJSON
		}
		e.Identities = append(e.Identities, x)
	}
	return e, nil
}

// known is nil for a time that never was.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
