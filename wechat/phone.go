package wechat

import (
	"context"
	"errors"
	"strings"
)

// Phone is the number that a user of a mini program has bound to WeChat.
type Phone struct {
	Number      string // as people write it: abroad with the country code before it
	PureNumber  string // digits without the country code
	CountryCode string // digits, "86"
}

const (
	opPhone = "wxa/business/getuserphonenumber"

	maxPhone = 32 // characters
)

// PhoneNumber turns the code of a button with open-type getPhoneNumber, which is
// not the code of wx.login, into the user's number (wechat-protocol §8.4). The app
// must be a mini program. The code is spent by it and the answer is charged for,
// so it is sent at most once, unless it is the app token that WeChat does not
// accept. One outside [A-Za-z0-9_-]{1,512}, spent, old, or of wx.login is
// ErrInvalidCode. Of a code of another app's WeChat says 40013, which is
// ErrMisconfigured.
//
// openID, if not "", is the user the code has to be of: WeChat checks it.
func (t *AppTokens) PhoneNumber(ctx context.Context, code, openID string) (Phone, error) {
	switch {
	case !isCode(code):
		return Phone{}, malformedCode(opPhone)
	case openID != "" && !isID(openID):
		return Phone{}, unsendable(opPhone, "the openid is malformed")
	}
	r := call{op: opPhone, private: []string{code, openID}, once: true}
	err := r.setBody(struct {
		Code   string `json:"code"`
		OpenID string `json:"openid,omitempty"`
	}{code, openID})
	if err != nil {
		return Phone{}, err
	}
	a, err := t.call(ctx, r)
	if err != nil {
		return Phone{}, err
	}
	phone, err := a.phone(t.appID)
	if err != nil {
		return Phone{}, r.busy(err.Error())
	}
	return phone, nil
}

// phone reads the answer of wechat-protocol §8.4. Its countryCode is a string in
// practice and a number in the documents. The code is spent by now, so no more is
// asked of the answer than has to be there.
func (a answer) phone(appID string) (Phone, error) {
	info, err := a.object("phone_info")
	if err != nil {
		return Phone{}, err
	}
	mark, _ := info.watermark()
	var r reading
	p := Phone{
		Number:      r.keep(info.text("phoneNumber")),
		PureNumber:  r.keep(info.text("purePhoneNumber")),
		CountryCode: strings.Trim(string(info.fields["countryCode"]), `" `),
	}
	switch {
	case r.err != nil:
	case mark.appID != "" && mark.appID != appID:
		r.err = errors.New("the answer is about another app")
	case !isPhone(p.Number) || !isPhone(p.PureNumber) || !isPhone(p.CountryCode):
		r.err = errors.New("the answer's phone_info has no possible shape")
	}
	if r.err != nil {
		return Phone{}, r.err
	}
	return p, nil
}

// isPhone reports whether s has digits, perhaps after a "+", and nothing that a
// number is not written with.
func isPhone(s string) bool {
	return len(s) <= maxPhone && strings.ContainsAny(s, "0123456789") && strings.Trim(s, "+0123456789- ") == ""
}
