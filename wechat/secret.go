package wechat

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a string that must not be printed: an app secret, a token of a
// user, a session_key. Every way of formatting, logging or marshalling it
// gives "[redacted]"; Reveal gives the value.
//
// Two places do not ask its methods: fmt for unexported struct fields (keep a
// Secret in an exported one, or behind a pointer) and encoding/json for the
// keys of maps (do not use one as a key).
type Secret string

// Reveal returns the value, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

const redacted = "[redacted]"

func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// Format answers every verb, %x and %d included.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }
