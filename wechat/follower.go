package wechat

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"
)

// Follower is what an official account may know of a user by the openid alone
// (wechat-protocol §6.1). There are no names and avatars in it since December
// 2021.
type Follower struct {
	OpenID     string // never empty
	UnionID    string // only of a follower, and of an account bound to an Open Platform account
	Subscribed bool   // follows the account now; if not, nothing else is known

	SubscribedAt time.Time // the latest follow; zero if WeChat does not say
	Language     string    // nearly always ""
	Scene        string    // how the follower came, such as "ADD_SCENE_QR_CODE"; may be ""
	Raw          json.RawMessage
}

const opFollower = "cgi-bin/user/info"

// Follower asks who the owner of openID is to the account, which must be an
// official account. Somebody who does not follow it is an answer too. A token
// that WeChat has ended is replaced once (see [AppTokens.Do]), and a -1 is tried
// once more.
func (t *AppTokens) Follower(ctx context.Context, openID string) (Follower, error) {
	if !isID(openID) {
		return Follower{}, unsendable(opFollower, "the openid is malformed")
	}
	r := call{
		op:      opFollower,
		query:   "openid=" + url.QueryEscape(openID) + "&lang=zh_CN",
		private: []string{openID},
	}
	a, err := t.call(ctx, r)
	if err != nil {
		return Follower{}, err
	}
	f, err := a.follower()
	if err != nil {
		return Follower{}, r.busy(err.Error())
	}
	if f.OpenID != openID {
		return Follower{}, r.busy("the answer is about another openid")
	}
	return f, nil
}

// follower reads the answer of wechat-protocol §6.1. Only subscribe tells a
// follower: the blanks beside it differ from account to account.
func (a answer) follower() (Follower, error) {
	subscribe, ok := a.number("subscribe")
	if _, given := a.fields["subscribe"]; !given || !ok {
		return Follower{}, errors.New("the answer's subscribe is not a number")
	}
	var r reading
	f := Follower{
		OpenID:     r.keep(a.openID()),
		UnionID:    r.keep(a.id("unionid")),
		Subscribed: subscribe == 1,
		Language:   r.keep(a.text("language")),
		Scene:      r.keep(a.text("subscribe_scene")),
		Raw:        a.raw,
	}
	if at, ok := a.number("subscribe_time"); ok && at > 0 {
		f.SubscribedAt = time.Unix(at, 0)
	}
	return f, r.err
}
