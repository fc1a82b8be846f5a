package wechat

import (
	"context"
	"errors"
	"unicode/utf8"
)

// TextScene says where a text of a user's stands.
type TextScene int

const (
	TextProfile TextScene = 1 // names and the like
	TextComment TextScene = 2
	TextForum   TextScene = 3
	TextSocial  TextScene = 4
)

// UserText is a text that a user wants others to read.
type UserText struct {
	OpenID   string // of the user, who must have been in the mini program in the last two hours
	Scene    TextScene
	Content  string // 1 to 2,500 characters
	Nickname string // of the user; may be ""
}

// Verdict is what WeChat thinks of a text.
type Verdict struct {
	Suggest string // "pass", "review" or "risky"
	Label   int    // why: 100 is nothing, 20001 politics, 20002 pornography, …
	TraceID string // to show to WeChat
}

// Pass reports whether there is nothing against the text. One that a human should
// look at does not pass.
func (v Verdict) Pass() bool { return v.Suggest == "pass" }

const (
	opSecCheck = "wxa/msg_sec_check"

	maxUserText = 2500 // characters
)

// MsgSecCheck asks WeChat about a text (wechat-protocol §8.7, version 2). To check
// a nickname, give it as Content in TextProfile. The app must be a mini program. A
// user who has not been in it for two hours is [ErrSession]: wx.login comes first.
func (t *AppTokens) MsgSecCheck(ctx context.Context, text UserText) (Verdict, error) {
	switch n := utf8.RuneCountInString(text.Content); {
	case !isID(text.OpenID):
		return Verdict{}, unsendable(opSecCheck, "the openid is malformed")
	case n == 0 || n > maxUserText || !utf8.ValidString(text.Content) || !utf8.ValidString(text.Nickname):
		return Verdict{}, unsendable(opSecCheck, "the text has not 1 to 2500 characters of UTF-8")
	}
	r := call{op: opSecCheck, private: []string{text.OpenID, text.Content, text.Nickname}}
	err := r.setBody(struct {
		Version  int       `json:"version"`
		OpenID   string    `json:"openid"`
		Scene    TextScene `json:"scene"`
		Content  string    `json:"content"`
		Nickname string    `json:"nickname,omitempty"`
	}{2, text.OpenID, text.Scene, text.Content, text.Nickname})
	if err != nil {
		return Verdict{}, err
	}
	a, err := t.call(ctx, r)
	if err != nil {
		return Verdict{}, err
	}
	v, err := a.verdict()
	if err != nil {
		return Verdict{}, r.busy(err.Error())
	}
	return v, nil
}

// verdict reads the answer of wechat-protocol §8.7. One that says nothing is none.
func (a answer) verdict() (Verdict, error) {
	result, err := a.object("result")
	if err != nil {
		return Verdict{}, err
	}
	var r reading
	v := Verdict{Suggest: r.keep(result.text("suggest")), TraceID: r.keep(a.text("trace_id"))}
	label, _ := result.number("label")
	v.Label = int(label)
	if r.err == nil && v.Suggest == "" {
		r.err = errors.New("the answer's result has no suggest")
	}
	if r.err != nil {
		return Verdict{}, r.err
	}
	return v, nil
}
