package jwtauth

import (
	"math"
	"strings"
	"time"
)

// packed is a token and what it says, in two blocks of memory instead of a dozen:
// the garbage collector has one pointer to follow, and reading it all stays within
// a few cache lines.
type packed struct {
	text  string                  // the token, then the strings of its claims
	ends  [1 + packedTexts]uint16 // where each of them ends in text
	times [packedTimes]int64      // Unix seconds
}

const packedTexts = 10

// The places of times.
const (
	issuedAt = iota
	expiresAt
	authTime
	notBefore
	packedTimes
)

// noTime stands for the zero time.Time.
const noTime = math.MinInt64

// pack copies: raw may be part of a larger text, such as a Cookie header. All of it
// has less than 64 KiB, since a token has no more than 8.
func pack(raw string, times [packedTimes]time.Time, texts ...string) packed {
	var p packed
	size := len(raw)
	for _, s := range texts {
		size += len(s)
	}
	var all strings.Builder
	all.Grow(size)
	all.WriteString(raw)
	p.ends[0] = uint16(len(raw))
	for i := range packedTexts {
		if i < len(texts) {
			all.WriteString(texts[i])
		}
		p.ends[1+i] = uint16(all.Len())
	}
	p.text = all.String()
	for i, t := range times {
		p.times[i] = noTime
		if !t.IsZero() {
			p.times[i] = t.Unix()
		}
	}
	return p
}

func (p *packed) raw() string { return p.text[:p.ends[0]] }

// string returns the i-th of the texts.
func (p *packed) string(i int) string { return p.text[p.ends[i]:p.ends[1+i]] }

func (p *packed) time(i int) time.Time {
	if p.times[i] == noTime {
		return time.Time{}
	}
	return time.Unix(p.times[i], 0).UTC()
}
