package jwtauth

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Tokens are read with an object reader of our own. encoding/json into a struct
// matches names without regard to case, takes the last of repeated members, and
// golang-jwt's dates take quoted numbers; each of these has let two parsers read
// one token differently (RFC 8725 §2.4, RFC 7519 §4).

// maxMembers bounds the comparison of names for repetition.
const maxMembers = 64

// object is the members of one JSON object, in order; values are raw JSON.
type object []member

type member struct{ name, value []byte }

// member returns the raw value of the member with exactly this name.
func (o object) member(name string) ([]byte, bool) {
	for _, m := range o {
		if string(m.name) == name {
			return m.value, true
		}
	}
	return nil, false
}

// parseObject reads exactly one JSON object in valid UTF-8 whose names are all
// different.
func parseObject(data []byte) (object, error) {
	// Once the standard library has found the text valid, the walk below needs to
	// find only where things end.
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, refusal("segment is not JSON")
	}
	rest := skipSpace(data)
	if rest[0] != '{' {
		return nil, refusal("segment is not a JSON object")
	}
	o := make(object, 0, 20)
	for rest = skipSpace(rest[1:]); rest[0] != '}'; {
		if rest[0] == ',' {
			rest = skipSpace(rest[1:])
		}
		end := stringEnd(rest)
		name, ok := unquote(rest[:end])
		if !ok {
			return nil, refusal("malformed member name")
		}
		rest = skipSpace(skipSpace(rest[end:])[1:]) // the colon
		end = valueEnd(rest)
		if _, repeated := o.member(string(name)); repeated || len(o) == maxMembers {
			return nil, refusal("repeated or too many members")
		}
		o = append(o, member{name, rest[:end]})
		rest = skipSpace(rest[end:])
	}
	return o, nil
}

func skipSpace(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

// stringEnd returns the length of the string literal that b begins with.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// valueEnd returns the length of the JSON value that b begins with.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += stringEnd(b[i:]) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return i // the end of a number or literal
			}
			depth--
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(b)
}

// unquote decodes a string literal. A literal with half a surrogate pair is
// refused: decoding would make different strings equal.
func unquote(literal []byte) ([]byte, bool) {
	inner := literal[1 : len(literal)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner, true
	}
	var s string
	if json.Unmarshal(literal, &s) != nil {
		return nil, false
	}
	const replacement = "\ufffd" // what half a pair is decoded to
	if strings.Count(s, replacement) != bytes.Count(inner, []byte(replacement)) {
		return nil, false
	}
	return []byte(s), true
}

// reader takes typed members out of an object and keeps the first error.
type reader struct {
	object object
	err    error
}

func (r *reader) refuse(reason refusal) {
	if r.err == nil {
		r.err = reason
	}
}

// required reads a string that must be there.
func (r *reader) required(name string) string {
	s := r.optional(name)
	if s == "" {
		r.refuse(refusal(name + " is missing"))
	}
	return s
}

// optional reads a string that may be missing but, if there, is not empty.
func (r *reader) optional(name string) string {
	value, ok := r.object.member(name)
	if !ok {
		return ""
	}
	s, ok := nonEmptyString(value)
	if !ok {
		r.refuse(refusal(name + " is not a non-empty string"))
	}
	return s
}

// text reads a string that may be missing or empty.
func (r *reader) text(name string) string {
	if value, ok := r.object.member(name); ok && string(value) == `""` {
		return ""
	}
	return r.optional(name)
}

func (r *reader) requiredTime(name string) time.Time {
	t := r.optionalTime(name)
	if t.IsZero() {
		r.refuse(refusal(name + " is missing"))
	}
	return t
}

// lastSecond is the end of the year 9999; no date lies beyond it, so that no
// arithmetic on dates overflows.
const lastSecond = 253402300799

// optionalTime reads a NumericDate (RFC 7519 §2): a JSON number, never a string;
// fractions of a second are dropped.
func (r *reader) optionalTime(name string) time.Time {
	value, ok := r.object.member(name)
	if !ok {
		return time.Time{}
	}
	// Of all that is valid JSON, ParseFloat takes numbers only: a string still has
	// its quotes here, and NaN, Inf and hex are no JSON.
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil || seconds < 0 || seconds > lastSecond {
		r.refuse(refusal(name + " is not a date"))
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// audience requires wanted to be the string or one of the strings of an array
// (RFC 7519 §4.1.3).
func (r *reader) audience(name, wanted string) {
	value, _ := r.object.member(name)
	if s, ok := nonEmptyString(value); ok {
		if s != wanted {
			r.refuse("another audience")
		}
		return
	}
	var list []json.RawMessage
	if len(value) == 0 || value[0] != '[' || json.Unmarshal(value, &list) != nil {
		r.refuse("aud is missing or malformed")
		return
	}
	found := false
	for _, item := range list {
		s, ok := nonEmptyString(item)
		if !ok {
			r.refuse("aud is malformed")
		}
		found = found || s == wanted
	}
	if !found {
		r.refuse("another audience")
	}
}

func nonEmptyString(value []byte) (string, bool) {
	if len(value) < 3 || value[0] != '"' {
		return "", false
	}
	s, ok := unquote(value)
	return string(s), ok && len(s) > 0
}
