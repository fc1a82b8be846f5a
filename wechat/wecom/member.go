package wecom

import (
	"context"
	"net/url"

	"wxbridge/wechat"
)

// Member is what the organisation's directory says of a member, as far as the app
// may see it. Apps made since 20 June 2022 get no avatar here (wecom-protocol §5.1).
type Member struct {
	UserID         string // never empty, in WeCom's spelling
	Name           string
	Alias          string
	Departments    []int64 // those that the app may see
	MainDepartment int64
	Position       string
	Avatar         string
	Status         Status
}

// Status says whether a member can work.
type Status int

const (
	StatusActive      Status = 1
	StatusDisabled    Status = 2
	StatusInactive    Status = 4 // has not opened WeCom yet
	StatusLeft        Status = 5
	statusNotReported Status = 0
)

// Active reports whether the member may log in: only StatusActive may.
func (m Member) Active() bool { return m.Status == StatusActive }

const opMember = "cgi-bin/user/get"

// Member asks the directory who a member is. A member who was deleted or has left,
// and one whom the administrator does not let see the app, are [ErrNotMember]:
// WeCom does not tell them apart. A -1 is tried once more.
func (c *Client) Member(ctx context.Context, userID string) (Member, error) {
	r := wechat.Request{Op: opMember, Query: "userid=" + url.QueryEscape(userID), Private: []string{userID}}
	if !isUserID(userID) {
		return Member{}, c.malformed(r, ErrNotMember, "userid")
	}
	a, err := c.call(ctx, r)
	if err != nil {
		return Member{}, err
	}
	f := fields{Answer: a}
	m := Member{
		UserID: f.userID("userid"), Name: f.text("name"), Alias: f.text("alias"), Departments: f.ints("department"),
		MainDepartment: f.int("main_department"), Position: f.text("position"), Avatar: f.text("avatar"), Status: Status(f.int("status")),
	}
	switch {
	case f.err != nil:
	case FoldUserID(m.UserID) != FoldUserID(userID):
		f.fail("the answer is about another member")
	case m.Status == statusNotReported:
		f.fail("the answer has no status") // or nobody could tell a member from one who left
	}
	if f.err != nil {
		return Member{}, c.useless(r, f.err)
	}
	return m, nil
}
