package handlers

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxReturnTo bounds a return address, in bytes (RET-08): it travels in a cookie.
const maxReturnTo = 1024

// ErrReturnTo says that a return address is not allowed.
var ErrReturnTo = errors.New("return address not allowed")

// ReturnPolicy is the one check that every return address passes (RET-07). What it accepts is sent back byte for byte
// (RET-04), so nothing is parsed twice.
type ReturnPolicy struct {
	origins  []string
	fallback string
}

// NewReturnPolicy allows paths of ours and URLs on our own origin or one of origins, each "scheme://host[:port]".
// fallback is where a login without a return address leads.
func NewReturnPolicy(public *url.URL, origins []string, fallback string) (*ReturnPolicy, error) {
	p := &ReturnPolicy{origins: []string{public.Scheme + "://" + public.Host}}
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			return nil, fmt.Errorf("origin %q: want scheme://host or scheme://host:port", origin)
		}
		p.origins = append(p.origins, origin)
	}
	if err := p.Check(fallback); err != nil {
		return nil, fmt.Errorf("default return address %q: %w", fallback, err)
	}
	p.fallback = fallback
	return p, nil
}

// Default is where a login without a return address leads.
func (p *ReturnPolicy) Default() string { return p.fallback }

// Origin returns our own origin.
func (p *ReturnPolicy) Origin() string { return p.origins[0] }

// Lists reports whether an origin, "scheme://host[:port]" in lower case, is one that a return address may name.
func (p *ReturnPolicy) Lists(origin string) bool { return slices.Contains(p.origins, origin) }

// Check accepts an absolute path of ours or a URL whose scheme, host and port equal a listed origin to the letter. Anything
// else is ErrReturnTo. It looks at the bytes before any parser does, since browsers drop tabs and line ends and read a
// backslash as a slash (RET-02).
func (p *ReturnPolicy) Check(target string) error {
	if target == "" || len(target) > maxReturnTo || !utf8.ValidString(target) || hasForbiddenByte(target) {
		return ErrReturnTo
	}
	path, ok := p.cutOrigin(target)
	if !ok || !safePath(path) {
		return ErrReturnTo
	}
	if _, err := url.Parse(target); err != nil {
		return ErrReturnTo
	}
	return nil
}

// cutOrigin returns what follows a listed origin, or the target itself if it is a path. What follows the origin must
// begin a path, query or fragment: a digit, dot, colon or at sign there would make another host of it (RET-01, RET-03).
func (p *ReturnPolicy) cutOrigin(target string) (path string, ok bool) {
	if strings.HasPrefix(target, "/") {
		return target, true
	}
	for _, origin := range p.origins {
		rest, found := strings.CutPrefix(target, origin)
		if found && (rest == "" || strings.ContainsRune("/?#", rune(rest[0]))) {
			return rest, true
		}
	}
	return "", false
}

// safePath refuses what a browser or a proxy behind us could read as another host: a second leading slash, and dot
// segments, encoded or not, that could make one.
func safePath(path string) bool {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	if strings.HasPrefix(path, "//") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		decoded, err := url.PathUnescape(segment)
		if err != nil || decoded == "." || decoded == ".." {
			return false
		}
	}
	return true
}

func hasForbiddenByte(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] == 0x7F || s[i] == '\\' {
			return true
		}
	}
	return false
}

// location escapes the non-ASCII bytes of a checked return address, which a header cannot carry; all else stays as is.
func location(target string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(target) {
		if c := target[i]; c < utf8.RuneSelf {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
		}
	}
	return b.String()
}
