package db

import "time"

// afterLogin is the fan once the login has been recorded at the given time.
func (f Fan) afterLogin(l Login, now time.Time) Fan {
	before := f
	if p := l.Profile; p != nil {
		f.Nickname = known(p.Nickname, f.Nickname)
		f.AvatarURL = known(p.AvatarURL, f.AvatarURL)
		f.Language = known(p.Language, f.Language)
		f.ProfileAt = stored(now)
		if !f.Registered() {
			f.RegisteredAt = stored(now)
		}
	}
	f.ConsentedAt = later(f.ConsentedAt, stored(l.ConsentedAt))
	if f != before {
		f.UpdatedAt = stored(now)
	}
	f.LastLoginAt = stored(now)
	return f
}

// mergeFans joins two fans who are one person. The older survives; the other's
// id is to become its alias.
//
// Profile fields come from the newer profile where it has them. A phone number
// and a role are kept whoever has them, and a block stands.
func mergeFans(a, b Fan, now time.Time) (survivor Fan, loser string) {
	if older(b, a) {
		a, b = b, a
	}
	newer, other := a, b
	if b.ProfileAt.After(a.ProfileAt) {
		newer, other = b, a
	}
	a.Nickname = known(newer.Nickname, other.Nickname)
	a.AvatarURL = known(newer.AvatarURL, other.AvatarURL)
	a.Language = known(newer.Language, other.Language)
	a.Phone = known(a.Phone, b.Phone)
	a.Role = known(a.Role, b.Role)
	if b.Status == StatusBlocked {
		a.Status = StatusBlocked
	}
	a.RegisteredAt = earlier(a.RegisteredAt, b.RegisteredAt)
	a.ProfileAt = later(a.ProfileAt, b.ProfileAt)
	a.ConsentedAt = later(a.ConsentedAt, b.ConsentedAt)
	a.LastLoginAt = later(a.LastLoginAt, b.LastLoginAt)
	a.UpdatedAt = stored(now)
	return a, b.ID
}

// rolesDiffer reports whether merging would have to pick one of two roles.
func rolesDiffer(a, b Fan) bool { return a.Role != "" && b.Role != "" && a.Role != b.Role }

func older(a, b Fan) bool {
	if a.CreatedAt.Equal(b.CreatedAt) {
		return a.ID < b.ID // UUIDv7 sorts by birth
	}
	return a.CreatedAt.Before(b.CreatedAt)
}

// links reports whether a login can lead to other fans. A WeCom member id and
// a WeChat unionid say nothing about each other.
func (i Identity) links() bool { return i.UnionID != "" && i.Provider != ProviderWeCom }

// seen takes what a login says about the identity; what it leaves empty stays.
// Open account and unionid change together: a unionid means nothing outside
// the open account it was seen in, so an app that has moved to another one
// keeps the old pair until a login brings the new.
func (i Identity) seen(login Identity) Identity {
	if login.UnionID != "" || i.UnionID == "" {
		i.OpenAccount, i.UnionID = login.OpenAccount, login.UnionID
	}
	if i.Scope != ScopeUserinfo {
		i.Scope = known(login.Scope, i.Scope)
	}
	if login.Subscribed != nil {
		i.Subscribed = login.Subscribed
	}
	return i
}

func known(value, otherwise string) string {
	if value != "" {
		return value
	}
	return otherwise
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// earlier is the earlier of two times, of which a zero one does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
