package config

import (
	"fmt"
	"log/slog"
	"strings"
)

// Secret is a text that no log, error text or dump shows: however it is printed, it says ***.
type Secret string

const redacted = "***"

// Reveal gives the secret itself, to the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// Format implements fmt.Formatter for every verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String implements fmt.Stringer.
func (s Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, which covers JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

const (
	minSecretBytes = 32
	maxSecretBytes = 4096
	howToMake      = "make one with `openssl rand -base64 32`"
)

// sealingSecret checks WXBRIDGE_SECRET, which everything the bridge seals depends on (KEY-02).
func (l *loader) sealingSecret(value string) Secret {
	switch {
	case value == "": // reported as not set
	case isPlaceholder(value):
		l.fault("SECRET", "is a placeholder, not a secret; "+howToMake)
	case len(value) < minSecretBytes:
		l.fault("SECRET", fmt.Sprintf("has %d bytes, fewer than the %d it takes; %s", len(value), minSecretBytes, howToMake))
	case len(value) > maxSecretBytes:
		l.fault("SECRET", fmt.Sprintf("has more than %d bytes; %s", maxSecretBytes, howToMake))
	case isGuessable(value):
		l.fault("SECRET", "repeats a short pattern and can be guessed; "+howToMake)
	}
	return Secret(value)
}

// isPlaceholder recognises what examples, ours too, put where a secret belongs. Random text in base64 begins with one
// of these words about once in 10^10 times.
func isPlaceholder(value string) bool {
	letters := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, strings.ToLower(value))
	for _, word := range []string{
		"changeme", "changethis", "changeit", "replaceme", "replacethis", "replacewith", "placeholder", "insertyour",
		"putyour", "putthe", "yoursecret", "yourappsecret", "yourkey", "mysecret", "examplesecret", "supersecret",
		"topsecret", "thisisasecret", "thisisnotasecret", "notasecret", "secretsecret", "opensslrand",
		"appsecretof",
	} {
		if strings.HasPrefix(letters, word) {
			return true
		}
	}
	return false
}

// isGuessable reports text of very few different bytes, and text that repeats a pattern of up to ten bytes
// ("aaaa…", "12345678901234567890…").
func isGuessable(value string) bool {
	seen := map[byte]bool{}
	for i := range len(value) {
		seen[value[i]] = true
	}
	if len(seen) < 6 {
		return true
	}
	for period := 1; period <= 10; period++ {
		if value[period:] == value[:len(value)-period] {
			return true
		}
	}
	return false
}
