package wechat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// answer is WeChat's JSON object, whatever Content-Type it came with
// (wechat-protocol §0.1). Names are case-sensitive, which decoding into a
// struct would not be; unknown ones are ignored.
type answer struct {
	raw    []byte // valid JSON and UTF-8
	fields map[string]json.RawMessage
}

var (
	errNotJSON = errors.New("the answer is not one JSON object")
	errNoToken = errors.New("the answer has no access_token")
)

// parseAnswer refuses HTML, cut or trailing text and anything but an object.
func parseAnswer(body []byte) (answer, error) {
	a := answer{raw: repair(body)}
	if err := json.Unmarshal(a.raw, &a.fields); err != nil || a.fields == nil {
		// Not the decoder's own words: they quote the answer.
		return answer{}, errNotJSON
	}
	return a, nil
}

// repair makes valid what WeChat is known to send: raw control characters and
// broken UTF-8 inside strings, both from nicknames (wechat-protocol §0.1).
// Control characters are escaped, not dropped; whether to show them is for
// those who show the name.
func repair(body []byte) []byte {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\uFEFF")))
	if !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	}
	if bytes.IndexFunc(body, isControl) < 0 {
		return body
	}
	fixed := make([]byte, 0, len(body)+32)
	inString, escaped := false, false
	for _, b := range body {
		if inString && isControl(rune(b)) {
			fixed = fmt.Appendf(fixed, `\u%04x`, b)
			escaped = false
			continue
		}
		fixed = append(fixed, b)
		switch {
		case escaped:
			escaped = false
		case inString && b == '\\':
			escaped = true
		case b == '"':
			inString = !inString
		}
	}
	return fixed
}

func isControl(r rune) bool { return r < 0x20 }

// text returns a string field; absent and null are "".
func (a answer) text(name string) (string, error) {
	raw, ok := a.fields[name]
	if !ok {
		return "", nil
	}
	if n := len(raw); n >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : n-1]), nil // nothing to unescape, as with every id
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", fmt.Errorf("the answer's %s is not a string", name)
	}
	return s, nil
}

// errcode returns 0 for absent and for null. Documents show it as a string
// here and there (wechat-protocol §0.1), so both forms count.
func (a answer) errcode() (int, error) {
	code, ok := a.number("errcode")
	if !ok || int64(int(code)) != code {
		return 0, errors.New("the answer's errcode is not a number")
	}
	return int(code), nil
}

// number returns an integer given as a number or as a string; absent and null
// are 0. ok is false for anything else.
func (a answer) number(name string) (n int64, ok bool) {
	raw := string(a.fields[name])
	if raw == "" || raw == "null" {
		return 0, true
	}
	raw = strings.TrimSpace(strings.Trim(raw, `"`))
	n, err := strconv.ParseInt(raw, 10, 64)
	return n, err == nil
}

// numbers returns an array of integers, each a number or a string; absent and
// null are empty.
func (a answer) numbers(name string) ([]int64, error) {
	raw, ok := a.fields[name]
	if !ok {
		return nil, nil
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		return nil, fmt.Errorf("the answer's %s is no array", name)
	}
	list := make([]int64, 0, len(elements))
	for _, element := range elements {
		n, ok := answer{fields: map[string]json.RawMessage{"": element}}.number("")
		if !ok {
			return nil, fmt.Errorf("the answer's %s is no array of integers", name)
		}
		list = append(list, n)
	}
	return list, nil
}

// flag reads a 1 or 0 that may come as a number, a string or a boolean. What
// is not plainly a no is a yes: the one flag there is makes us refuse a login.
func (a answer) flag(name string) bool {
	switch strings.TrimSpace(strings.Trim(string(a.fields[name]), `"`)) {
	case "", "0", "false", "null":
		return false
	}
	return true
}

// lifetime reads a number of seconds. Nonsense counts as over already.
func (a answer) lifetime(name string) time.Duration {
	const longest = 30 * 24 * 60 * 60
	seconds, ok := a.number(name)
	if !ok || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, longest)) * time.Second
}

// openID returns the openid, without which no answer identifies anybody.
func (a answer) openID() (string, error) {
	id, err := a.id("openid")
	if err == nil && id == "" {
		err = errors.New("the answer has no openid")
	}
	return id, err
}

const maxID = 128 // characters of an openid or unionid

// id returns an openid or unionid, or "" if there is none. Real ones have 28
// characters of [A-Za-z0-9_-] (wechat-protocol §0.3); what is refused here
// could not be one in any future either.
func (a answer) id(name string) (string, error) {
	id, err := a.text(name)
	if err != nil {
		return "", err
	}
	if len(id) > maxID || !isVisible(id) {
		return "", fmt.Errorf("the answer's %s has no possible shape", name)
	}
	return id, nil
}

// object returns a field that is an object itself.
func (a answer) object(name string) (answer, error) {
	inner := answer{raw: a.fields[name]}
	if err := json.Unmarshal(inner.raw, &inner.fields); err != nil || inner.fields == nil {
		return answer{}, errors.New("the answer's " + name + " is not an object")
	}
	return inner, nil
}

// isVisible reports whether s has only printable ASCII characters other than the
// space.
func isVisible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// reading takes one field after another and keeps the first error.
type reading struct{ err error }

func (r *reading) keep(value string, err error) string {
	if err != nil && r.err == nil {
		r.err = err
	}
	return value
}
