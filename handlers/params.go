package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
)

// params are the named parameters of one request; each was given at most once (RFC 6749 §3.1).
type params map[string]string

// query reads the named parameters of the query. Others are ignored: WeChat and people who share links add their own.
func query(c *gin.Context, names ...string) (params, error) {
	values, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return nil, invalidRequest("The query of this address is malformed.")
	}
	return pick(values, names)
}

func pick(values url.Values, names []string) (params, error) {
	p := make(params, len(names))
	for _, name := range names {
		given := values[name]
		if len(given) > 1 {
			return nil, invalidRequest("The parameter " + name + " is given more than once.")
		}
		if len(given) == 1 {
			if !utf8.ValidString(given[0]) {
				return nil, invalidRequest("The parameter " + name + " is not valid UTF-8.")
			}
			p[name] = given[0]
		}
	}
	return p, nil
}

// body reads the named members of a JSON object or the named fields of a form. Members that are not named are ignored,
// named ones must be strings.
func body(c *gin.Context, names ...string) (params, error) {
	raw, err := readBody(c.Request)
	if err != nil {
		return nil, err
	}
	return parseBody(c.Request, raw, names...)
}

func parseBody(r *http.Request, raw []byte, names ...string) (params, error) {
	kind, err := bodyType(r)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "application/json":
		return jsonMembers(raw, names, false)
	case "application/x-www-form-urlencoded":
		values, err := url.ParseQuery(string(raw))
		if err != nil {
			return nil, invalidRequest("The form is malformed.")
		}
		return pick(values, names)
	}
	return nil, errMediaType
}

// jsonBody reads the named members of a JSON object and refuses any other member and any other type.
func jsonBody(c *gin.Context, names ...string) (params, error) {
	kind, err := bodyType(c.Request)
	if err != nil {
		return nil, err
	}
	if kind != "application/json" {
		return nil, errMediaType
	}
	raw, err := readBody(c.Request)
	if err != nil {
		return nil, err
	}
	return jsonMembers(raw, names, true)
}

func bodyType(r *http.Request) (string, error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return "", errMediaType
	}
	kind, given, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return "", errMediaType
	}
	if charset := given["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return "", errMediaType
	}
	return kind, nil
}

func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, errTooLarge
	}
	var raw bytes.Buffer
	raw.Grow(int(max(r.ContentLength, 0)) + bytes.MinRead) // the room ReadFrom wants at the end, so that it never grows
	_, err := raw.ReadFrom(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errTooLarge
	case err != nil:
		return nil, invalidRequest("The body could not be read.").because(err)
	}
	return raw.Bytes(), nil
}

// jsonMembers takes one JSON object apart. A repeated member is refused, in whatever case it is spelled: parsers disagree
// on which one counts.
func jsonMembers(raw []byte, names []string, strict bool) (params, error) {
	var members map[string]json.RawMessage
	if !utf8.Valid(raw) || json.Unmarshal(raw, &members) != nil || members == nil {
		return nil, invalidRequest("The body is not one JSON object.")
	}
	if namesRepeat(raw, members) {
		return nil, invalidRequest("A member of the body is given more than once.")
	}
	if strict {
		for name := range members {
			if !slices.Contains(names, name) {
				return nil, invalidRequest("The body has a member that is not known here.")
			}
		}
	}
	p := make(params, len(names))
	for _, name := range names {
		value, given := members[name]
		if !given {
			continue
		}
		text, err := jsonString(value)
		if err != nil {
			return nil, invalidRequest(fmt.Sprintf("The member %s is not a string.", name))
		}
		p[name] = text
	}
	return p, nil
}

// namesRepeat reports whether two members of the object have one name, in whatever case. Members are what decoding has left of
// them, so the object is valid JSON: outside strings, each colon at the first level stands for a member.
func namesRepeat(object []byte, members map[string]json.RawMessage) bool {
	count, depth := 0, 0
	for i := 0; i < len(object); i++ {
		switch object[i] {
		case '"':
			for i++; object[i] != '"'; i++ {
				if object[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ':':
			if depth == 1 {
				count++
			}
		}
	}
	if count < 2 {
		return false
	}
	folded := make(map[string]struct{}, len(members))
	for name := range members {
		folded[strings.ToLower(name)] = struct{}{}
	}
	return count != len(folded)
}

func jsonString(value json.RawMessage) (text string, err error) {
	if len(value) == 0 || value[0] != '"' {
		return "", errors.New("not a string")
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), nil
	}
	return text, json.Unmarshal(value, &text)
}
