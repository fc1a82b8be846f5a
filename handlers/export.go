package handlers

import (
	"context"
	"encoding/json"
	"time"

	"wxbridge/db"
	"wxbridge/jwtauth"
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
	Links        []ExportLink     `json:"links,omitempty"`
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

	Departments jwtauth.Departments `json:"departments,omitempty"` // of a WeCom member
	ConfirmedAt *time.Time          `json:"confirmed_at,omitempty"`
}

// ExportLink is what is kept of a fan who was linked to this one, so that the link can be undone.
type ExportLink struct {
	Alias       string    `json:"alias"`
	LinkedAt    time.Time `json:"linked_at"`
	Nickname    string    `json:"nickname,omitempty"`
	AvatarURL   string    `json:"avatar_url,omitempty"`
	PhoneNumber string    `json:"phone_number,omitempty"`
	Language    string    `json:"language,omitempty"`
	Role        string    `json:"role,omitempty"`
}

// ExportOf reads what belongs to the fan: what GET /me/export and the command fans export answer.
func ExportOf(ctx context.Context, store db.Store, fan db.Fan) (Export, error) {
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
			CreatedAt: i.CreatedAt.UTC(), LastLoginAt: i.LastLoginAt.UTC(),
			Departments: jwtauth.Departments(i.Departments), ConfirmedAt: known(i.ConfirmedAt)}
		if json.Valid(i.ProfileJSON) {
			x.Profile = i.ProfileJSON
		}
		e.Identities = append(e.Identities, x)
	}
	links, err := store.Links(ctx, fan.ID)
	if err != nil {
		return Export{}, err
	}
	for _, l := range links {
		e.Links = append(e.Links, ExportLink{Alias: l.Alias, LinkedAt: l.LinkedAt.UTC(), Nickname: l.Before.Nickname, AvatarURL: l.Before.AvatarURL,
			PhoneNumber: l.Before.Phone, Language: l.Before.Language, Role: l.Before.Role})
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
