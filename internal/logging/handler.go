// Package logging writes the log: JSON lines that cost a request next to nothing.
//
// Handler is a slog.Handler that builds a line without reflection, and Writer collects lines so that the hot path makes no
// system call. Lines of level WARN and above are written before the call that logs them returns.
package logging

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// Handler writes records as JSON lines with the members time (RFC 3339, UTC), level and msg before all others. No text
// can start a new line or act on a terminal: whatever is not printable is escaped.
type Handler struct {
	w      *Writer
	level  slog.Leveler
	prefix []byte // attributes of WithAttrs, encoded, each with a comma before it
	groups []string
	open   int // how many of groups are open in prefix
}

// NewHandler makes a handler for records of at least that level.
func NewHandler(w *Writer, level slog.Leveler) *Handler { return &Handler{w: w, level: level} }

// Enabled implements slog.Handler.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

// Handle implements slog.Handler.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	buffer := h.w.lines.Get().(*[]byte)
	line := (*buffer)[:0]
	line = append(line, '{')
	if !r.Time.IsZero() {
		line = append(line, `"time":"`...)
		line = h.w.clock.append(line, r.Time)
		line = append(line, `",`...)
	}
	line = append(line, `"level":`...)
	line = appendString(line, r.Level.String())
	line = append(line, `,"msg":`...)
	line = appendString(line, r.Message)
	line = append(line, h.prefix...)
	line = h.appendRecord(line, r)
	line = append(line, "}\n"...)
	h.w.add(line, r.Level >= slog.LevelWarn)
	if cap(line) <= maxKept {
		*buffer = line
		h.w.lines.Put(buffer)
	}
	return nil
}

// appendRecord appends the record's own attributes, inside the open groups. A group without any is left out.
func (h *Handler) appendRecord(line []byte, r slog.Record) []byte {
	bare := len(line)
	for _, name := range h.groups[h.open:] {
		line = appendKey(line, name)
		line = append(line, '{')
	}
	filled := len(line)
	r.Attrs(func(a slog.Attr) bool {
		line = appendAttr(line, a)
		return true
	})
	if len(line) == filled && len(h.groups) > h.open {
		line = line[:bare]
		return closeGroups(line, h.open)
	}
	return closeGroups(line, len(h.groups))
}

func closeGroups(line []byte, n int) []byte {
	for range n {
		line = append(line, '}')
	}
	return line
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var encoded []byte
	for _, a := range attrs {
		encoded = appendAttr(encoded, a)
	}
	if len(encoded) == 0 {
		return h
	}
	with := *h
	with.prefix = append([]byte(nil), h.prefix...)
	for _, name := range h.groups[h.open:] {
		with.prefix = append(appendKey(with.prefix, name), '{')
	}
	with.open = len(h.groups)
	if len(with.prefix) > 0 && with.prefix[len(with.prefix)-1] == '{' {
		encoded = encoded[1:]
	}
	with.prefix = append(with.prefix, encoded...)
	return &with
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.groups = append(append([]string(nil), h.groups...), name)
	return &with
}

// appendKey appends a member's name, and the comma that separates it from the member before.
func appendKey(line []byte, key string) []byte {
	if len(line) > 0 && line[len(line)-1] != '{' {
		line = append(line, ',')
	} else if len(line) == 0 {
		line = append(line, ',') // the beginning of a prefix
	}
	line = appendString(line, key)
	return append(line, ':')
}

// appendAttr appends a member. As slog has it, an empty attribute and an empty group are left out, and a group without a
// name is part of what holds it.
func appendAttr(line []byte, a slog.Attr) []byte {
	switch a.Value.Kind() { // most of them, before all that the others need
	case slog.KindString:
		return appendString(appendKey(line, a.Key), a.Value.String())
	case slog.KindInt64:
		return strconv.AppendInt(appendKey(line, a.Key), a.Value.Int64(), 10)
	}
	value := a.Value.Resolve()
	if a.Key == "" && value.Equal(slog.Value{}) {
		return line
	}
	if value.Kind() != slog.KindGroup {
		return appendValue(appendKey(line, a.Key), value)
	}
	bare := len(line)
	if a.Key != "" {
		line = append(appendKey(line, a.Key), '{')
	}
	filled := len(line)
	for _, member := range value.Group() {
		line = appendAttr(line, member)
	}
	switch {
	case len(line) == filled:
		return line[:bare]
	case a.Key != "":
		return append(line, '}')
	}
	return line
}

func appendValue(line []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindString:
		return appendString(line, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(line, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(line, v.Uint64(), 10)
	case slog.KindBool:
		return strconv.AppendBool(line, v.Bool())
	case slog.KindFloat64:
		if f := v.Float64(); !math.IsInf(f, 0) && !math.IsNaN(f) {
			return strconv.AppendFloat(line, f, 'g', -1, 64)
		}
	case slog.KindDuration:
		return strconv.AppendInt(line, int64(v.Duration()), 10) // nanoseconds, as slog's own
	case slog.KindTime:
		line = append(line, '"')
		line = v.Time().UTC().AppendFormat(line, time.RFC3339Nano)
		return append(line, '"')
	case slog.KindAny:
		return appendAny(line, v)
	}
	return appendString(line, v.String())
}

func appendAny(line []byte, v slog.Value) (with []byte) {
	bare := len(line)
	defer func() {
		if cause := recover(); cause != nil { // in a method of the value, such as that of a nil pointer
			with = append(line[:bare], `"unprintable"`...)
		}
	}()
	value := v.Any()
	if err, ok := value.(error); ok {
		if _, marshals := value.(json.Marshaler); !marshals {
			return appendString(line, err.Error())
		}
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return appendString(line, v.String())
	}
	return appendText(line, string(encoded), false)
}

// appendString appends text as a JSON string.
func appendString(line []byte, text string) []byte {
	line = append(line, '"')
	if isPlain(text) {
		line = append(line, text...)
	} else {
		line = appendText(line, text, true)
	}
	return append(line, '"')
}

func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

const hexDigits = "0123456789abcdef"

// appendText escapes what is not printable, and what JSON gives a meaning unless text is JSON already.
func appendText(line []byte, text string, quote bool) []byte {
	for _, r := range text {
		switch {
		case quote && (r == '"' || r == '\\'):
			line = append(line, '\\', byte(r))
		case quote && r == '\n':
			line = append(line, `\n`...)
		case quote && r == '\t':
			line = append(line, `\t`...)
		case r == ' ' || unicode.IsPrint(r):
			line = utf8.AppendRune(line, r)
		case r > 0xffff:
			r -= 0x10000
			line = appendEscape(appendEscape(line, 0xd800+r>>10), 0xdc00+r&0x3ff)
		default:
			line = appendEscape(line, r)
		}
	}
	return line
}

func appendEscape(line []byte, r rune) []byte {
	return append(line, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
