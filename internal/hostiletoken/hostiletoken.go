// Package hostiletoken makes tokens that no verifier may accept: the tricks of RFC 8725 and of the published faults of
// JWT libraries, each applied to a genuine token. It is for tests: most of its tokens are signed with the bridge's own
// keys, so that each is refused for its one fault or not at all.
package hostiletoken

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Token is one token, in compact form as far as it has one.
type Token struct {
	Name string // what is wrong with it
	Raw  string
}

// Key is one of the bridge's signing keys: ECDSA on P-256, Ed25519 or RSA.
type Key struct {
	ID      string
	Private crypto.Signer
}

// Forger knows all that the bridge knows.
type Forger struct {
	Access string // a genuine access token with at least a minute to live; its claims and header are what is changed
	ID     string // a genuine ID token of the same fan
	Keys   []Key  // all of them good at the bridge
	JWKS   []byte // as the bridge publishes it
	Now    time.Time
	Trap   string // http URL that nobody may ever fetch, for jku and x5u

	header, claims object
	tokens         []Token
}

// Good are properly made tokens, one or more of each key, that a verifier must accept: they show that the tokens of All
// are refused for what is wrong with them.
func (f *Forger) Good() ([]Token, error) {
	if err := f.read(); err != nil {
		return nil, err
	}
	f.tokens = nil
	for _, k := range f.Keys {
		header := f.headerOf(k)
		f.add(algOf(k)+" as the bridge makes it", f.sign(k, header, f.claims))
		f.add(algOf(k)+" typ in full (RFC 9068 §4)", f.sign(k, header.with("typ", `"application/at+jwt"`), f.claims))
		f.add(algOf(k)+" members in another order", f.sign(k, header.reversed(), f.claims.reversed()))
		f.add(algOf(k)+" aud as a list", f.sign(k, header, f.claims.with("aud", "["+f.claims.get("aud")+`,"https://other.example"]`)))
		f.add(algOf(k)+" headers that ask for nothing", f.sign(k, header.with("cty", `"x"`).with("jku", quote(f.Trap)), f.claims))
	}
	return f.tokens, nil
}

// All are the hostile tokens. Names are unique.
func (f *Forger) All() ([]Token, error) {
	if err := f.read(); err != nil {
		return nil, err
	}
	f.tokens = nil
	for _, k := range f.Keys {
		f.algorithms(k)
		f.signatures(k)
		f.foreignKeys(k)
	}
	f.headers()
	f.claimTypes()
	f.claimValues()
	f.duplicates()
	f.encodings()
	f.documents()
	f.shapes()
	seen := map[string]bool{}
	for _, t := range f.tokens {
		if seen[t.Name] {
			return nil, fmt.Errorf("two tokens are named %q", t.Name)
		}
		seen[t.Name] = true
	}
	return f.tokens, nil
}

func (f *Forger) read() error {
	parts := strings.Split(f.Access, ".")
	if len(parts) != 3 || len(f.Keys) == 0 {
		return errors.New("a forger needs a genuine token and keys")
	}
	var err error
	if f.header, err = parse(parts[0]); err != nil {
		return err
	}
	f.claims, err = parse(parts[1])
	return err
}

func (f *Forger) add(name, raw string) { f.tokens = append(f.tokens, Token{name, raw}) }

// signed adds a token that the first key signs, whatever it says.
func (f *Forger) signed(name string, header, claims object) {
	f.add(name, f.sign(f.Keys[0], header, claims))
}

func (f *Forger) headerOf(k Key) object {
	return f.header.with("alg", quote(algOf(k))).with("kid", quote(k.ID))
}

// base is the header of the first key.
func (f *Forger) base() object { return f.headerOf(f.Keys[0]) }

func (f *Forger) sign(k Key, header, claims object) string {
	return signText(k.Private, encode(header.String())+"."+encode(claims.String()))
}

// object is a JSON object as raw text, so that it can say what no encoder would.
type object [][2]string

func parse(segment string) (object, error) {
	text, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		return nil, fmt.Errorf("genuine token: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("genuine token: %w", err)
	}
	var o object
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("genuine token: %w", err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("genuine token: %w", err)
		}
		o = append(o, [2]string{fmt.Sprint(name), string(value)})
	}
	return o, nil
}

func (o object) get(name string) string {
	for _, m := range o {
		if m[0] == name {
			return m[1]
		}
	}
	return ""
}

// with replaces a member, or adds it.
func (o object) with(name, raw string) object { return o.without(name).and(name, raw) }

// and adds a member, beside one of the same name.
func (o object) and(name, raw string) object {
	return append(append(object{}, o...), [2]string{name, raw})
}

func (o object) without(name string) object {
	var out object
	for _, m := range o {
		if m[0] != name {
			out = append(out, m)
		}
	}
	return out
}

func (o object) reversed() object {
	var out object
	for i := len(o) - 1; i >= 0; i-- {
		out = append(out, o[i])
	}
	return out
}

func (o object) String() string {
	var members []string
	for _, m := range o {
		members = append(members, `"`+m[0]+`":`+m[1])
	}
	return "{" + strings.Join(members, ",") + "}"
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always has a JSON text
	}
	return string(text)
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// at is a NumericDate, d from now.
func (f *Forger) at(d time.Duration) string { return fmt.Sprint(f.Now.Add(d).Unix()) }
