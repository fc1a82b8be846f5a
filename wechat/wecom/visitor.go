package wecom

import (
	"context"
	"errors"
	"strings"

	"wxbridge/wechat"
)

// Visitor is who came back from the authorize page or the QR code: a member of the
// organisation, or else of a linked one, or else somebody with OpenID,
// ExternalUserID or both.
type Visitor struct {
	// UserID is that of a member of the organisation, in WeCom's spelling; compare it
	// by [FoldUserID]. It is there for members who may not see the app, and for the
	// disabled too: [Client.Member] tells.
	UserID string
	// LinkedUserID is that of a member of another organisation which is linked with
	// this one, as "corpid/userid" (上下游, 互联企业).
	LinkedUserID string
	// OpenID is that of somebody who is no member. Only parents in a school's app have
	// none.
	OpenID string
	// ExternalUserID is how the organisation knows somebody who is no member but a
	// customer, or a parent; mostly empty.
	ExternalUserID string

	// Ticket is the user_ticket, good for [Client.Detail] for half an hour; empty
	// unless a member who may see the app came by [ScopePrivateInfo].
	Ticket wechat.Secret
}

// IsMember reports whether the visitor belongs to this organisation.
func (v Visitor) IsMember() bool { return v.UserID != "" }

// Detail is what a member lets the app see, as far as its administrator asks for
// it. What is withheld is empty; an avatar is then WeCom's default picture.
type Detail struct {
	UserID string
	Gender Gender
	Avatar string // ends with "/0"; "/100" in its place is a small one

	QRCode, Mobile, Email, BizMail, Address string
}

// Gender is as the member or the administrator entered it.
type Gender int

const (
	GenderUnknown Gender = iota
	GenderMale
	GenderFemale
)

// Session is a login of the organisation's mini program.
type Session struct {
	UserID string        // never empty, in WeCom's spelling
	Key    wechat.Secret // session_key; must never leave the server
}

const (
	opExchange = "cgi-bin/auth/getuserinfo"
	opDetail   = "cgi-bin/auth/getuserdetail"
	opLogin    = "cgi-bin/miniprogram/jscode2session"

	maxUserID = 64  // bytes (wecom-protocol §0.3)
	maxID     = 128 // of an openid or external userid, which have 64 at most
	maxOpaque = 512 // of a code or user_ticket
)

// Exchange turns the code of a callback into who came (wecom-protocol §3.1). The
// code is spent by it and sent once, whatever happens, unless WeCom refuses the
// app's token; one outside [A-Za-z0-9_-]{1,512} is [wechat.ErrInvalidCode] without a
// call.
//
// A member is named whether or not the administrator lets them see the app.
func (c *Client) Exchange(ctx context.Context, code string) (Visitor, error) {
	r := wechat.Request{Op: opExchange, Query: "code=" + code, Private: []string{code}, Once: true}
	if !within(code, maxOpaque, isCode) {
		return Visitor{}, c.malformed(r, wechat.ErrInvalidCode, "code")
	}
	a, err := c.call(ctx, r)
	if err != nil {
		return Visitor{}, err
	}
	v, err := visitor(a)
	if err != nil {
		return Visitor{}, c.useless(r, err)
	}
	return v, nil
}

// visitor reads the answer of wecom-protocol §3.1. What names nobody is no login.
func visitor(a wechat.Answer) (Visitor, error) {
	f := fields{Answer: a}
	v := Visitor{
		UserID:         f.text("userid"),
		OpenID:         f.id("openid"),
		ExternalUserID: f.id("external_userid"),
		Ticket:         wechat.Secret(f.text("user_ticket")),
	}
	switch corp, userID, linked := strings.Cut(v.UserID, "/"); {
	case f.err != nil:
	case linked && within(corp, maxUserID, isAlnum) && isUserID(userID):
		v = Visitor{LinkedUserID: v.UserID}
	case v.UserID != "":
		f.mustBeUserID(v.UserID)
		v.OpenID, v.ExternalUserID = "", ""
	case v.OpenID == "" && v.ExternalUserID == "":
		f.fail("the answer names nobody")
	}
	if !within(v.Ticket.Reveal(), maxOpaque, isVisible) {
		v.Ticket = "" // none, or none that could be used
	}
	return v, f.err
}

// Detail asks for what the member allowed on the authorize page (wecom-protocol
// §4). A visitor without a Ticket, or whose Ticket is over, is
// [wechat.ErrInvalidToken]: only another login by [ScopePrivateInfo] gives one.
func (c *Client) Detail(ctx context.Context, v Visitor) (Detail, error) {
	ticket := v.Ticket.Reveal()
	r := wechat.Request{Op: opDetail, Private: []string{ticket}, Body: struct {
		Ticket string `json:"user_ticket"`
	}{ticket}}
	if !v.IsMember() || !within(ticket, maxOpaque, isVisible) {
		return Detail{}, c.malformed(r, wechat.ErrInvalidToken, "user_ticket")
	}
	a, err := c.call(ctx, r)
	if err != nil {
		return Detail{}, err
	}
	f := fields{Answer: a}
	d := Detail{
		UserID: f.userID("userid"), Gender: f.gender(), Avatar: f.text("avatar"), QRCode: f.text("qr_code"),
		Mobile: f.text("mobile"), Email: f.text("email"), BizMail: f.text("biz_mail"), Address: f.text("address"),
	}
	if f.err == nil && FoldUserID(d.UserID) != FoldUserID(v.UserID) {
		f.fail("the answer is about another member")
	}
	if f.err != nil {
		return Detail{}, c.useless(r, f.err)
	}
	return d, nil
}

// Login turns a code of wx.qy.login into the member (wecom-protocol §7). The rules
// for the code are those of Exchange.
//
// Several organisations may link one mini program, and any of them can redeem the
// codes of all: a member of another one is [ErrOtherCorp].
func (c *Client) Login(ctx context.Context, code string) (Session, error) {
	r := wechat.Request{Op: opLogin, Query: "js_code=" + code + "&grant_type=authorization_code", Private: []string{code}, Once: true}
	if !within(code, maxOpaque, isCode) {
		return Session{}, c.malformed(r, wechat.ErrInvalidCode, "code")
	}
	a, err := c.call(ctx, r)
	if err != nil {
		return Session{}, err
	}
	f := fields{Answer: a}
	corp, userID, key := f.id("corpid"), f.text("userid"), f.text("session_key")
	switch {
	case f.err != nil:
	case corp == "":
		f.fail("the answer has no corpid")
	case corp != c.corpID: // before the userid, which is encrypted for other corps
		return Session{}, c.remote.Fail(r, ErrOtherCorp, "the member is one of "+corp)
	default:
		f.mustBeUserID(userID)
	}
	if f.err != nil {
		return Session{}, c.useless(r, f.err)
	}
	return Session{UserID: userID, Key: wechat.Secret(key)}, nil
}

// malformed is the error for what need not be sent to be refused.
func (c *Client) malformed(r wechat.Request, kind error, what string) error {
	return c.remote.Fail(r, kind, "the "+what+" is malformed, WeCom was not asked")
}

// fields reads one field of an answer after another and keeps the first error.
type fields struct {
	wechat.Answer
	err error
}

func (f *fields) fail(why string) {
	if f.err == nil {
		f.err = errors.New(why)
	}
}

func (f *fields) text(name string) string {
	value, err := f.Text(name)
	if err != nil {
		f.fail(err.Error())
	}
	return value
}

// id reads an id that need not be there.
func (f *fields) id(name string) string {
	value := f.text(name)
	if value != "" && !within(value, maxID, isVisible) {
		f.fail("the answer's " + name + " has no possible shape")
	}
	return value
}

// userID reads a userid that must be there.
func (f *fields) userID(name string) string {
	value := f.text(name)
	f.mustBeUserID(value)
	return value
}

func (f *fields) mustBeUserID(value string) {
	switch {
	case value == "":
		f.fail("the answer has no userid")
	case !isUserID(value):
		f.fail("the answer's userid has no possible shape")
	}
}

func (f *fields) int(name string) int64 {
	n, ok := f.Int(name)
	if !ok {
		f.fail("the answer's " + name + " is not a number")
	}
	return n
}

func (f *fields) ints(name string) []int64 {
	list, err := f.Ints(name)
	if err != nil {
		f.fail(err.Error())
	}
	return list
}

// gender is a number in a string; what is none of the two is unknown.
func (f *fields) gender() Gender {
	if n, ok := f.Int("gender"); ok && (n == int64(GenderMale) || n == int64(GenderFemale)) {
		return Gender(n)
	}
	return GenderUnknown
}
