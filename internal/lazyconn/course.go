package lazyconn

import (
	"bytes"
	"strconv"
)

// course follows what an HTTP server reads from a connection, to know where requests begin. It goes by the headers of GET and
// HEAD without a body, and of POST with or without one, if they tell its length plainly; where a server might see another end
// than it does, it is lost.
type course struct {
	header header
	line   []byte // what there is of the header's next line
	owed   int64  // how much is still to come of a body, or lost
}

const (
	lost    = -1 // where the next request begins is not known, and never will be
	lineMax = 64 << 10
)

// take notes what is read next. It reports whether that is one whole request without a body, and nothing else.
func (c *course) take(read []byte) (whole bool) {
	if c.owed != 0 {
		c.owed = follow(c.owed, read)
		return false
	}
	begins := c.header == header{} && len(c.line) == 0
	for {
		end := bytes.IndexByte(read, '\n')
		if end < 0 {
			c.keep(read)
			return false
		}
		line := read[:end]
		if len(c.line) > 0 {
			line = append(c.line, line...)
			c.line = nil
		}
		read = read[end+1:]
		ended, understood := c.header.add(line)
		if !understood {
			c.owed = lost
			return false
		}
		if ended {
			c.owed = follow(c.header.length, read)
			whole = begins && !c.header.post && c.owed == 0
			c.header = header{}
			return whole
		}
	}
}

// follow is what is still owed after these bytes. More than was owed are of a request that follows at once; it is lost.
func follow(owed int64, read []byte) int64 {
	if owed == lost {
		return lost
	}
	return max(owed-int64(len(read)), lost)
}

// keep keeps the beginning of a line.
func (c *course) keep(part []byte) {
	if c.line = append(c.line, part...); len(c.line) > lineMax {
		c.line, c.owed = nil, lost
	}
}

// header is what matters of the lines of a request's header so far.
type header struct {
	begun, post bool
	told        bool  // the length of the body
	length      int64 // of the body
}

// add adds a line, whose LF is cut off. ended: it was the empty one that ends a header.
func (h *header) add(line []byte) (ended, understood bool) {
	line, understood = bytes.CutSuffix(line, []byte{'\r'})
	switch {
	case !understood:
		return false, false
	case !h.begun:
		h.begun, h.post = true, bytes.HasPrefix(line, []byte("POST "))
		return false, h.post || bytes.HasPrefix(line, []byte("GET ")) || bytes.HasPrefix(line, []byte("HEAD "))
	case len(line) == 0:
		return true, true
	}
	switch line[0] {
	case 'c', 'C':
		return false, !hasPrefixFold(line, "content-length") || h.tell(line)
	case 't', 'T':
		return false, !hasPrefixFold(line, "transfer-encoding")
	case ' ', '\t':
		return false, false // it continues the line before, whatever that says (RFC 9112 §5.2)
	}
	return false, true
}

// tell takes the length from its line, in the one way in which proxies tell it.
func (h *header) tell(line []byte) (understood bool) {
	const name = "content-length: "
	if h.told || !hasPrefixFold(line, name) {
		return false
	}
	length, err := strconv.ParseUint(string(line[len(name):]), 10, 32)
	h.told, h.length = true, int64(length)
	return err == nil && (h.post || length == 0)
}

func hasPrefixFold(line []byte, prefix string) bool {
	return len(line) >= len(prefix) && bytes.EqualFold(line[:len(prefix)], []byte(prefix))
}
