package db

import (
	"context"
	"errors"
	"time"
)

// The providers of this package's callers; any other non-empty text works too.
const (
	ProviderOfficialAccount = "official_account"
	ProviderMiniProgram     = "mini_program"
	ProviderWebsite         = "website"
	ProviderWeCom           = "wecom" // never takes part in linking by unionid
)

// ScopeUserinfo is the widest scope an official account's user can grant; once
// known it is never lowered.
const ScopeUserinfo = "snsapi_userinfo"

// Status says whether a fan may log in.
type Status string

const (
	StatusActive  Status = "active"
	StatusBlocked Status = "blocked"
)

// Fan is a person the bridge knows. Times are UTC, kept to the millisecond; a
// zero time means it has not happened.
type Fan struct {
	ID           string // UUIDv7 in text form, the sub of every token
	Nickname     string
	AvatarURL    string
	Phone        string
	Language     string
	Role         string
	Status       Status
	RegisteredAt time.Time // first profile; zero for a guest, known by openid only
	ProfileAt    time.Time // when WeChat last gave the profile
	ConsentedAt  time.Time // latest tap on the register page
	CreatedAt    time.Time
	UpdatedAt    time.Time // last change of anything but LastLoginAt
	LastLoginAt  time.Time
}

// Registered reports whether the fan has ever given a profile.
func (f Fan) Registered() bool { return !f.RegisteredAt.IsZero() }

// Identity is one account of a fan: an openid under an appid of a provider.
// The three are the key; an openid alone identifies nobody.
type Identity struct {
	Provider string
	AppID    string
	OpenID   string // case-sensitive

	FanID       string
	OpenAccount string // the open platform account UnionID was seen in
	UnionID     string // case-sensitive, comparable only inside OpenAccount
	Scope       string
	Subscribed  *bool // nil: not known

	SessionKeySealed       []byte
	UserRefreshTokenSealed []byte
	UserRefreshExpiresAt   time.Time
	ProfileJSON            []byte    // the profile as WeChat sent it
	Departments            string    // of a WeCom member: ids with commas between them
	ConfirmedAt            time.Time // when WeCom last said that the member is active; zero: ask
	ProfileStale           bool      // WeChat says that it is no longer the person's; the next profile ends that

	CreatedAt   time.Time
	LastLoginAt time.Time
}

// Profile is what WeChat tells about a person. Empty fields are not known.
type Profile struct {
	Nickname  string
	AvatarURL string
	Language  string
	JSON      []byte // the whole answer, kept on the identity
}

// Login is one successful login with WeChat.
type Login struct {
	// Identity needs Provider, AppID, OpenID and OpenAccount. Any other field
	// left empty keeps what is known; FanID, ProfileStale, Departments and the times are the
	// store's own.
	Identity Identity

	// Profile, if given, makes the fan registered. Its empty fields keep what
	// is known.
	Profile *Profile

	// Member is what WeCom says of a member of a corp; nil of everybody else.
	Member *Membership

	// ConsentedAt is the tap on the register page that led here, zero if none.
	ConsentedAt time.Time

	// RevokeUntil is when the tokens issued so far will have expired: how long
	// the revocations last that this login may bring (LoginResult.Revoked).
	RevokeUntil time.Time
}

// LoginResult says whom a login belongs to and what it changed.
type LoginResult struct {
	Fan     Fan
	Created bool // the fan is new

	// Linked: the identity is new and joined a fan known by its unionid.
	Linked bool

	// MergedFrom is the id that became an alias of Fan.ID, because two fans
	// turned out to be one person. Empty if none did. In the rare login that
	// merges several, it is the last of them.
	MergedFrom string

	// RoleConflict is the id of a fan with the same unionid who was left apart
	// because both have a role and the roles differ. An operator must decide.
	RoleConflict string

	// Revoked: a merge has made an active fan a blocked one, so the tokens of
	// all its ids were revoked with it.
	Revoked Revoked

	// NotBefore, if not zero: tokens of the fan issued earlier are revoked.
	NotBefore time.Time
}

// FanStore keeps fans. Methods that take a fan's id follow aliases: the id of
// a fan that was merged into another stands for the survivor.
type FanStore interface {
	// SaveLogin records a login in one transaction: it creates or refreshes
	// the identity and its fan, and links and merges fans by unionid inside
	// one open account.
	//
	// Of two fans that are one person the older survives and the younger id
	// becomes an alias. Each profile field is taken from the newer profile that
	// has it; the survivor is blocked if either was, and keeps the role either
	// had. With two different roles they stay apart (LoginResult.RoleConflict).
	//
	// A blocked fan is returned as such, with the identity linked but profile,
	// secrets and login times untouched; refusing the login is the caller's part.
	SaveLogin(ctx context.Context, login Login) (LoginResult, error)

	// Fan returns the fan, or ErrNotFound.
	Fan(ctx context.Context, id string) (Fan, error)

	// FanByIdentity returns the identity and its fan, or ErrNotFound.
	FanByIdentity(ctx context.Context, provider, appID, openID string) (Fan, Identity, error)

	// FansByUnionID returns the fans that have an identity with the unionid in
	// that open account, those that a login with it would join or merge with;
	// none if nobody is known by it. More than one means that their roles differ.
	FansByUnionID(ctx context.Context, openAccount, unionID string) ([]Fan, error)

	// Identities returns the fan's identities, oldest first; none for an
	// unknown fan.
	Identities(ctx context.Context, fanID string) ([]Identity, error)

	// Aliases returns the ids that were merged into the fan, sorted; none for
	// an unknown fan.
	Aliases(ctx context.Context, fanID string) ([]string, error)

	// UpdateFan applies change to the fan and returns the result, or
	// ErrNotFound, or the error of change. ID, CreatedAt, UpdatedAt and
	// LastLoginAt are the store's own and stay. When somebody else changes the
	// fan meanwhile, change runs again on the fresh fan.
	UpdateFan(ctx context.Context, id string, change func(*Fan) error) (Fan, error)

	// SetAccess blocks or unblocks a fan, or changes its role. Blocking, and any
	// change of a role the fan had, revokes in the same transaction what was
	// issued to the fan and its aliases, as RevokeFan does, until the given time.
	// UpdateFan can change the same fields but revokes nothing.
	SetAccess(ctx context.Context, id string, a Access, until time.Time) (AccessChange, error)

	// Fans returns the fans that the filter selects, in the order of their ids,
	// which is that of their registration.
	Fans(ctx context.Context, f FanFilter) ([]Fan, error)

	// IdentitiesByOpenID returns the identities of all apps that have the openid.
	// It is for operators: an openid means nothing outside its app. It may take
	// seconds in a store of millions.
	IdentitiesByOpenID(ctx context.Context, openID string) ([]Identity, error)

	// ForgetUserRefreshToken drops the refresh token WeChat no longer takes.
	// ErrNotFound if the identity is unknown.
	ForgetUserRefreshToken(ctx context.Context, provider, appID, openID string) error

	// EraseFan removes the fan with all identities and aliases and, in the same
	// transaction, revokes every token of those ids issued before cut; the
	// revocations last until the given time. It returns the fan's id followed
	// by the aliases, or ErrNotFound.
	EraseFan(ctx context.Context, id string, cut, until time.Time) (ids []string, err error)
}

func (l Login) check() error {
	switch i := l.Identity; {
	case i.Provider == "":
		return errors.New("login without a provider")
	case i.AppID == "":
		return errors.New("login without an appid")
	case i.OpenID == "":
		return errors.New("login without an openid")
	case i.OpenAccount == "":
		return errors.New("login without an open account")
	}
	return nil
}
