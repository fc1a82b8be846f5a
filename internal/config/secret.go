package config

import (
	"crypto/hmac"
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

// strongSecret checks a secret that the operator made, if it is set (KEY-02).
func (l *loader) strongSecret(name, value string) Secret {
	switch {
	case value == "": // reported elsewhere where it must be set
	case isPlaceholder(value):
		l.fault(name, "is a placeholder, not a secret; "+howToMake)
	case len(value) < minSecretBytes:
		l.fault(name, fmt.Sprintf("has %d bytes, fewer than the %d it takes; %s", len(value), minSecretBytes, howToMake))
	case len(value) > maxSecretBytes:
		l.fault(name, fmt.Sprintf("has more than %d bytes; %s", maxSecretBytes, howToMake))
	case isGuessable(value):
		l.fault(name, "repeats a short pattern and can be guessed; "+howToMake)
	}
	return Secret(value)
}

// previousSecret checks the secret that opens what was sealed before WXBRIDGE_SECRET was changed.
func (l *loader) previousSecret(v variables) Secret {
	if v.SecretPrevious != "" && same(v.SecretPrevious, v.Secret) {
		l.fault("SECRET_PREVIOUS", "is the same as "+Prefix+"SECRET; give the one before, or nothing")
		return ""
	}
	return l.strongSecret("SECRET_PREVIOUS", v.SecretPrevious)
}

// sharedSecret checks the HS256 secret. Whoever shares it must not be able to open what the bridge seals.
func (l *loader) sharedSecret(v variables) Secret {
	const name = "JWT_HS256_SECRET"
	secret := v.JWTHS256Secret
	switch {
	case v.JWTAlg == "HS256" && secret == "" && !l.has(Prefix+name):
		l.fault(name, "is not set, but "+Prefix+"JWT_ALG is HS256; "+howToMake)
	case secret != "" && (same(secret, v.Secret) || same(secret, v.SecretPrevious)):
		l.fault(name, "is the secret that seals the store, too; whoever checks tokens must not have that one")
	default:
		return l.strongSecret(name, secret)
	}
	return ""
}

func same(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

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
