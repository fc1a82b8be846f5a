package lazyconn

import (
	"bufio"
	"bytes"
	"net/http"
)

// scratch is what it takes to parse a request and to write its response.
type scratch struct {
	bytes    bytes.Reader
	reader   *bufio.Reader
	response []byte
}

func newScratch() any {
	s := &scratch{response: make([]byte, 0, 512)}
	s.reader = bufio.NewReader(&s.bytes)
	return s
}

// parse reads a whole request as net/http does. nil: net/http might refuse it, or it asks for more than a response.
func (s *scratch) parse(request []byte) *http.Request {
	if !isPlain(request) {
		return nil
	}
	s.bytes.Reset(request)
	s.reader.Reset(&s.bytes)
	r, err := http.ReadRequest(s.reader)
	if err != nil || r.Proto != "HTTP/1.1" || !isPlainHost(r.Host) || r.Close || r.ContentLength != 0 || r.Header["Expect"] != nil || r.Header["Upgrade"] != nil {
		return nil
	}
	return r
}

// isPlain reports whether a whole request has nothing but what is printed, in names of headers not even that: what an HTTP
// server takes from everybody.
func isPlain(request []byte) bool {
	inName := false
	for i, b := range request {
		switch {
		case b == '\n': // after '\r', since the request is whole
			inName = true
		case b == '\r':
			if request[i+1] != '\n' { // there is one, for the same reason
				return false
			}
		case b < ' ' || b > '~':
			return false
		case inName && b == ':':
			inName = false
		case inName && !isNameByte(b):
			return false
		}
	}
	return true
}

func isNameByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '_'
}

func isPlainHost(host string) bool {
	for i := range len(host) {
		if b := host[i]; !isNameByte(b) && b != '.' && b != ':' && b != '[' && b != ']' {
			return false
		}
	}
	return host != ""
}
