package jwtauth

import (
	"strings"
	"sync/atomic"
)

// signatures remembers, of a few tokens that were refused last, whether their
// signatures are good, so that a request that is tried in two places does not cost
// its signature twice. It is no cache of tokens: everything but the signature is
// checked anew, and whoever sends other bad tokens pushes these out.
type signatures struct {
	last [memoryShards]atomic.Pointer[checkedSignature] // by tailHash
}

// checkedSignature is true for good: whether a key made a signature does not depend
// on when it is asked.
type checkedSignature struct {
	raw string
	key *keyMaterial
	err error
}

// check verifies the signature of a token that has been split.
func (s *signatures) check(raw string, p parts, key *keyMaterial) error {
	if s != nil {
		if last := s.last[tailHash(raw)].Load(); last != nil && last.key == key && last.raw == raw {
			return last.err
		}
	}
	err := key.verify(p.signed, p.signature)
	if err != nil {
		s.note(raw, key, err)
	}
	return err
}

// note remembers a token that is refused, whose signature is good if err is nil. A
// nil receiver remembers nothing.
func (s *signatures) note(raw string, key *keyMaterial, err error) {
	if s != nil {
		s.last[tailHash(raw)].Store(&checkedSignature{raw: strings.Clone(raw), key: key, err: err})
	}
}
