package wechat

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxNesting is the depth of elements, or of objects and arrays, that a push may
// have. The deepest documented one has four.
const maxNesting = 16

// fields are the values directly below the root of a push; what has elements or
// values of its own is left out.
type fields map[string]string

// readFields reads a push, which is XML, or JSON for some mini programs
// (wechat-protocol §5.2). The second result is the body as it was read, with
// characters that XML and JSON forbid replaced: user-typed text has them. Errors
// are ErrMalformed and say nothing of the content.
func readFields(body []byte) (fields, []byte, error) {
	if len(body) > MaxCallbackBody {
		return nil, nil, fmt.Errorf("%w: it has more than %d bytes", ErrMalformed, MaxCallbackBody)
	}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\uFEFF")))
	read := readXML
	if isJSON(body) {
		body, read = repair(body), readJSON
	} else {
		body = replaceForbidden(body)
	}
	f, err := read(body)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return f, body, nil
}

// isJSON reports whether a trimmed body is not XML but JSON.
func isJSON(body []byte) bool { return bytes.HasPrefix(body, []byte("{")) }

var (
	errNotXML    = errors.New("it is no XML document of this kind")
	errXMLTricks = errors.New("it has a DOCTYPE, a comment, a namespace or a processing instruction")
	errNested    = errors.New("it is nested too deeply")
	errRepeated  = errors.New("an element is repeated")
	errNotObject = errors.New("it is not one JSON object")
)

// replaceForbidden makes characters that XML does not allow (XML 1.0 §2.2)
// U+FFFD. None of them is markup, so nothing changes its meaning.
func replaceForbidden(body []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if isXMLChar(r) {
			return r
		}
		return utf8.RuneError
	}, body)
}

func isXMLChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r != 0xFFFE && r != 0xFFFF
}

// readXML refuses everything that two readers of XML could see differently.
// WeChat sends none of it.
func readXML(body []byte) (fields, error) {
	x := xmlReading{found: fields{}, seen: map[string]bool{}}
	decoder := xml.NewDecoder(bytes.NewReader(body))
	for first := true; ; first = false {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) && x.closed {
			return x.found, nil
		}
		if err != nil {
			return nil, errNotXML // not the decoder's own words: they quote the document
		}
		if err := x.take(token, first); err != nil {
			return nil, err
		}
	}
}

// xmlReading collects the direct children of the root.
type xmlReading struct {
	found  fields
	seen   map[string]bool
	depth  int
	closed bool // the root has been closed

	name   string // of the child we are in
	value  strings.Builder
	parent bool // it has elements of its own
}

func (x *xmlReading) take(token xml.Token, first bool) error {
	switch token := token.(type) {
	case xml.StartElement:
		return x.start(token.Name)
	case xml.EndElement:
		x.end()
	case xml.CharData:
		if x.depth == 2 {
			x.value.Write(token)
		} else if x.depth < 2 && len(bytes.TrimSpace(token)) > 0 {
			return errNotXML
		}
	case xml.ProcInst:
		if !first || token.Target != "xml" {
			return errXMLTricks
		}
	default: // a comment or a directive such as DOCTYPE
		return errXMLTricks
	}
	return nil
}

func (x *xmlReading) start(name xml.Name) error {
	x.depth++
	switch {
	case name.Space != "":
		return errXMLTricks
	case x.depth > maxNesting:
		return errNested
	case x.depth == 1 && (x.closed || name.Local != "xml"):
		return errNotXML
	case x.depth == 2 && x.seen[name.Local]:
		return errRepeated
	case x.depth == 2:
		x.seen[name.Local] = true
		x.name, x.parent = name.Local, false
		x.value.Reset()
	case x.depth > 2:
		x.parent = true
	}
	return nil
}

func (x *xmlReading) end() {
	if x.depth == 2 && !x.parent {
		x.found[x.name] = x.value.String()
	}
	x.depth--
	x.closed = x.depth == 0
}

// readJSON does the same for JSON. A name that comes twice is refused, which
// encoding/json would not do. Numbers keep their text: a MsgId does not fit a
// float64.
func readJSON(body []byte) (fields, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if opening, err := decoder.Token(); err != nil || opening != json.Delim('{') {
		return nil, errNotObject
	}
	found, seen := fields{}, map[string]bool{}
	for decoder.More() {
		name, err := decoder.Token()
		key, ok := name.(string)
		if err != nil || !ok {
			return nil, errNotObject
		}
		if seen[key] {
			return nil, errRepeated
		}
		seen[key] = true
		value, err := decoder.Token()
		if err != nil {
			return nil, errNotObject
		}
		switch value := value.(type) {
		case json.Delim:
			if err := skipNested(decoder); err != nil {
				return nil, err
			}
		case nil:
		default:
			found[key] = fmt.Sprint(value)
		}
	}
	if _, err := decoder.Token(); err != nil { // the closing brace
		return nil, errNotObject
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotObject
	}
	return found, nil
}

// skipNested reads on to the end of the object or array that has just begun
// below the root.
func skipNested(decoder *json.Decoder) error {
	for depth := 2; depth > 1; {
		token, err := decoder.Token()
		if err != nil {
			return errNotObject
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxNesting {
				return errNested
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return nil
}
