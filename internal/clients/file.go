package clients

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"wxbridge/internal/listfile"
)

// Parse reads a clients file: YAML with one list, unknown fields refused.
//
//	clients:
//	  - id: orders
//	    secret_sha256: 1f6b…          # SHA-256 of the secret, hexadecimal
//	    may: [introspect, revoke]
//
// The error is of type [yamlfile.Faults].
func Parse(text []byte) (*Registry, error) {
	p := fileParser{Reader: listfile.Reader{List: "clients", Thing: "client", Fields: []string{"id", "secret_sha256", "may"}},
		registry: Registry{byID: map[string]registered{}}, ids: map[string]int{}, hashes: map[[sha256.Size]byte]int{}}
	for _, e := range p.Entries(text) {
		p.add(e)
	}
	if faults := p.Faults(); len(faults) > 0 {
		return nil, faults
	}
	return &p.registry, nil
}

// fileParser checks one entry after another.
type fileParser struct {
	listfile.Reader
	registry Registry
	ids      map[string]int            // the line that a client with the id begins on
	hashes   map[[sha256.Size]byte]int // that of a client with the secret
}

func (p *fileParser) add(e listfile.Entry) {
	id, hash, may := p.id(e), p.hash(e), p.may(e)
	p.registry.byID[id] = registered{Client: Client{ID: id, may: may}, hash: hash}
}

var clientID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (p *fileParser) id(e listfile.Entry) string {
	id, ok := p.Text(e, "id")
	first, taken := p.ids[id]
	switch {
	case !e.Given("id"):
		p.Fault(e.Line, "id is missing; it is what the service calls itself, such as orders")
	case !ok:
	case !clientID.MatchString(id):
		p.Fault(e.LineOf("id"), "id is not 1 to 64 letters, digits, dots, dashes and underscores")
	case taken:
		p.Fault(e.LineOf("id"), "id is already that of the client on line %d", first)
	default:
		p.ids[id] = e.Line
	}
	return id
}

const makeHash = "printf %s \"$secret\" | sha256sum"

func (p *fileParser) hash(e listfile.Entry) (hash [sha256.Size]byte) {
	text, ok := p.Text(e, "secret_sha256")
	if !ok {
		if !e.Given("secret_sha256") {
			p.Fault(e.Line, "secret_sha256 is missing; it is the SHA-256 of the client's secret: %s", makeHash)
		}
		return hash
	}
	problem := hashProblem(text)
	if problem == "" {
		_, _ = hex.Decode(hash[:], []byte(text)) // whose shape was looked at
		first, taken := p.hashes[hash]
		switch {
		case isHashOfGuess(hash[:]):
			problem = "is the hash of nothing, or of a word that everybody tries; make a secret with: openssl rand -hex 32"
		case taken:
			problem = fmt.Sprintf("is that of the client on line %d; each client has a secret of its own", first)
		default:
			p.hashes[hash] = e.Line
		}
	}
	if problem != "" {
		p.Fault(e.LineOf("secret_sha256"), "secret_sha256 %s", problem)
	}
	return hash
}

const wantedHash = "the 64 hexadecimal digits of: " + makeHash

var (
	bareHash  = regexp.MustCompile(`^[0-9A-Fa-f]{64}$`)
	hexDigits = regexp.MustCompile(`^[0-9A-Fa-f]*$`)
	somewhere = regexp.MustCompile(`(^|[^0-9A-Fa-f])[0-9A-Fa-f]{64}([^0-9A-Fa-f]|$)`)
)

// hashProblem says what is wrong with what should be a hash; "" if nothing is.
func hashProblem(text string) string {
	switch {
	case bareHash.MatchString(text):
		return ""
	case text == "":
		return "is empty; it is " + wantedHash
	case somewhere.MatchString(text):
		return "has more than the hash; keep its 64 digits alone, without the dash or name that sha256sum writes beside them"
	case hexDigits.MatchString(text):
		return fmt.Sprintf("has %d hexadecimal digits, not 64; it is %s", len(text), wantedHash)
	}
	return "is no SHA-256, but maybe the secret itself, which does not belong here; it is " + wantedHash
}

func (p *fileParser) may(e listfile.Entry) (may []Permission) {
	entries, ok := p.Texts(e, "may", "[introspect, revoke]")
	if len(entries) == 0 && (ok || !e.Given("may")) {
		p.Fault(e.LineOf("may"), "may is missing or empty; it lists what the client may do: %s", permissionList())
	}
	for _, entry := range entries {
		permission := Permission(entry.Text)
		switch {
		case !slices.Contains(permissions(), permission):
			p.Fault(entry.Line, "entry %d of may is none of %s", entry.N, permissionList())
		case slices.Contains(may, permission):
			p.Fault(entry.Line, "entry %d of may is there twice", entry.N)
		}
		may = append(may, permission)
	}
	return may
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
