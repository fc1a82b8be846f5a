package wecom

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"

	"wxbridge/wechat"
)

// What a failed call means beside the sentinels of package wechat. Of all of them
// exactly one fits an error, unless the caller cancelled.
var (
	// ErrNotMember: there is nobody of this userid whom the app may see. The member
	// has left or was deleted, or the administrator does not let them see the app.
	ErrNotMember = errors.New("wecom: not a member, or not one who may see this app")
	// ErrOtherCorp: the member belongs to another organisation that has linked the
	// same mini program.
	ErrOtherCorp = errors.New("wecom: a member of another organisation")
)

// dialect sets WeCom apart from WeChat.
func dialect() wechat.Dialect {
	return wechat.Dialect{
		Name:    "wecom",
		BaseURL: defaultBaseURL,
		Meaning: func(_ string, code int) error {
			if known, ok := errcodes[code]; ok {
				return known.kind
			}
			return wechat.ErrMisconfigured
		},
		Explain: explain,
		Split:   split,
	}
}

// explain adds to [Explain] what the error itself tells.
func explain(e *wechat.Error) (cause, fix string, ok bool) {
	cause, fix, ok = Explain(e.Code)
	if ok && e.Code == codeAddress && e.From != "" {
		cause = "The address this server calls from, " + e.From + ", is not one of the app's trusted ones."
		fix = "Add " + e.From + ": " + atAddress + addressTakes
	}
	return cause, fix, ok
}

// suffix is what WeCom adds to errmsg (wecom-protocol §0.2): a hint, then mostly the
// address of the caller, then where to read more.
var suffix = regexp.MustCompile(`^([0-9A-Za-z_]{1,64})\](?:, from ip: ([0-9A-Fa-f.:]{2,45})(?:,|$))?`)

// split takes an errmsg apart. Some have no suffix, some a space or full stop
// before it.
func split(errmsg string) (message, hint, from string) {
	message, rest, ok := strings.Cut(errmsg, ", hint: [")
	if !ok {
		return strings.TrimSpace(errmsg), "", ""
	}
	message = strings.TrimRight(message, " .")
	found := suffix.FindStringSubmatch(rest)
	if found == nil {
		return message, "", ""
	}
	if address, err := netip.ParseAddr(found[2]); err == nil {
		from = address.String()
	}
	return message, found[1], from
}
