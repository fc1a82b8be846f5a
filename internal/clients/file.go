package clients

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Fault is one thing wrong with a file. It never quotes a value, which might be a secret in the wrong place.
type Fault struct {
	Line    int // 0 if it is about the whole file
	Problem string
}

// Faults is everything wrong with a file.
type Faults []Fault

// Error implements error: one line a fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fmt.Sprintf("line %d: %s", fault.Line, fault.Problem)
	}
	return strings.Join(lines, "\n")
}

// Parse reads a clients file: YAML with one list, unknown fields refused.
//
//	clients:
//	  - id: orders
//	    secret_sha256: 1f6b…          # SHA-256 of the secret, hexadecimal
//	    may: [introspect, revoke]
//
// The error is of type [Faults].
func Parse(text []byte) (*Registry, error) {
	var file struct {
		Clients []entry `yaml:"clients"`
	}
	err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict())
	switch {
	case errors.Is(err, io.EOF), err == nil && len(file.Clients) == 0:
		return nil, Faults{{Problem: "has no client in a list named clients"}}
	case err != nil:
		return nil, Faults{faultOf(err, 0)}
	}
	return register(file.Clients)
}

func register(entries []entry) (*Registry, error) {
	r := &Registry{byID: map[string]registered{}}
	var faults Faults
	ids, hashes := map[string]int{}, map[string]int{} // the line each was first seen on
	for _, e := range entries {
		if e.broken != nil {
			faults = append(faults, *e.broken)
			continue
		}
		client, problems := e.check()
		hash := string(client.hash[:])
		switch {
		case ids[e.ID] > 0:
			problems = append(problems, fmt.Sprintf("the id is already that of the client on line %d", ids[e.ID]))
		case len(problems) == 0 && hashes[hash] > 0:
			problems = append(problems, fmt.Sprintf("the secret is that of the client on line %d; each client has its own", hashes[hash]))
		}
		for _, problem := range problems {
			faults = append(faults, Fault{e.line, problem})
		}
		if len(problems) == 0 {
			ids[e.ID], hashes[hash] = e.line, e.line
			r.byID[e.ID] = client
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return r, nil
}

// entry is one list item, with the line it starts on.
type entry struct {
	entryFields
	line   int
	broken *Fault // it cannot be read
}

type entryFields struct {
	ID     string       `yaml:"id"`
	Secret string       `yaml:"secret_sha256"`
	May    []Permission `yaml:"may"`
}

// UnmarshalYAML keeps the line, and what is wrong with this entry, so that the others are still looked at.
func (e *entry) UnmarshalYAML(node ast.Node) error {
	if t := node.GetToken(); t != nil && t.Position != nil {
		e.line = t.Position.Line
	}
	if err := yaml.NodeToValue(node, &e.entryFields, yaml.Strict()); err != nil {
		fault := faultOf(err, e.line)
		e.broken = &fault
	}
	return nil
}

var clientID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (e entry) check() (client registered, problems []string) {
	if !clientID.MatchString(e.ID) {
		problems = append(problems, "id is missing or is not 1 to 64 letters, digits, dots, dashes and underscores")
	}
	hash, err := hex.DecodeString(e.Secret)
	switch {
	case err != nil || len(hash) != sha256.Size:
		problems = append(problems, "secret_sha256 is missing or is not the 64 hexadecimal digits of a SHA-256")
	case isHashOfGuess(hash):
		problems = append(problems, "secret_sha256 is the hash of nothing, or of a word that everybody tries")
	}
	switch {
	case len(e.May) == 0:
		problems = append(problems, "may is missing or empty; it lists what the client may do: "+permissionList())
	default:
		for i, p := range e.May {
			if !slices.Contains(permissions(), p) || slices.Contains(e.May[:i], p) {
				problems = append(problems, "may holds something that is repeated or not one of: "+permissionList())
				break
			}
		}
	}
	client = registered{Client: Client{ID: e.ID, may: e.May}}
	copy(client.hash[:], hash)
	return client, problems
}

func permissionList() string {
	var names []string
	for _, p := range permissions() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// isHashOfGuess recognises what sha256sum answers when the secret did not reach it, and examples that were never replaced.
func isHashOfGuess(hash []byte) bool {
	for _, word := range []string{"", "secret", "password", "changeme", "change-me", "test", "client_secret", "123456"} {
		for _, end := range []string{"", "\n"} {
			if guess := sha256.Sum256([]byte(word + end)); string(guess[:]) == string(hash) {
				return true
			}
		}
	}
	return false
}

// faultOf keeps the line and the kind of a YAML error. Its text may quote the file, so of the text only what names a field
// is kept.
func faultOf(err error, line int) Fault {
	var at yaml.Error
	if errors.As(err, &at) {
		if t := at.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
	}
	var unknown *yaml.UnknownFieldError
	var kind *yaml.TypeError
	var node *yaml.UnexpectedNodeTypeError
	switch {
	case errors.As(err, &unknown):
		return Fault{line, "has a field that is none of id, secret_sha256 and may in a list named clients"}
	case errors.As(err, &kind), errors.As(err, &node):
		return Fault{line, "has a value of the wrong kind: id and secret_sha256 are texts, may and clients are lists"}
	}
	return Fault{line, "is not YAML, or a field is repeated"}
}
