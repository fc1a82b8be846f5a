// Package clients knows the services that may ask the bridge about tokens, and for those of WeChat's apps: who they are, how they prove it and what each
// of them may do. They are registered in a file (file.go).
package clients

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
)

// Permission is something a client may do.
type Permission string

const (
	Introspect Permission = "introspect" // POST /oauth/introspect
	Revoke     Permission = "revoke"     // POST /oauth/revoke
	AppToken   Permission = "app-token"  // GET /internal/app-token
)

// permissions is the closed set of them, in the order in which people are told.
func permissions() []Permission { return []Permission{Introspect, Revoke, AppToken} }

// Client is a registered service.
type Client struct {
	ID  string
	may []Permission
}

// May reports whether the client was given the permission.
func (c Client) May(p Permission) bool { return slices.Contains(c.may, p) }

// Registry is the set of registered clients. It does not change and is safe for concurrent use; nil knows nobody.
type Registry struct{ byID map[string]registered }

type registered struct {
	Client
	hash [sha256.Size]byte // of the secret
}

// Len is the number of clients.
func (r *Registry) Len() int {
	if r == nil {
		return 0
	}
	return len(r.byID)
}

// Authenticate finds the client that has this id and secret. An unknown id takes the same time as a wrong secret: both are
// one hash and one comparison in constant time (OP-10, SRV-05). Secrets are random and long, so a plain hash protects them.
func (r *Registry) Authenticate(id, secret string) (Client, bool) {
	given := sha256.Sum256([]byte(secret))
	var known registered // of an unknown client: a hash that no secret has
	found := false
	if r != nil {
		known, found = r.byID[id]
	}
	same := subtle.ConstantTimeCompare(given[:], known.hash[:]) == 1
	if !found || !same {
		return Client{}, false
	}
	return known.Client, true
}
