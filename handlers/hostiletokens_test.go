package handlers_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http/httpguts"

	"wxbridge/handlers"
	"wxbridge/internal/hostiletoken"
	"wxbridge/jwtauth"
)

// door is a place where the bridge takes an access token.
type door struct {
	name    string
	request func(t testing.TB, raw string) *http.Request
	passed  func(page) bool          // the token was believed
	refused func(page) (fault error) // nil if it was refused as it should be
	cookie  bool                     // ";" ends the token
}

// tokenDoors are all of them. A new route that takes a token gets a line here.
func tokenDoors(b *bridge, goodToken string) []door {
	return []door{
		{"GET /me by header", b.withHeader("GET", "/me"), hasStatus(200), unauthorized, false},
		{"GET /me by cookie", b.withCookie("GET", "/me"), hasStatus(200), unauthorized, true},
		{"GET /me by a bad header beside a good cookie", b.withHeader("GET", "/me", "Cookie", "wxbridge_token="+goodToken), hasStatus(200), unauthorized, false},
		{"GET /me/export by header", b.withHeader("GET", "/me/export"), hasStatus(200), unauthorized, false},
		{"PATCH /me by header", b.withHeader("PATCH", "/me"), hasStatus(415), unauthorized, false}, // it has no body
		{"GET /auth/verify by header", b.withHeader("GET", "/auth/verify"), hasStatus(200), unauthorized, false},
		{"GET /auth/verify by cookie", b.withCookie("GET", "/auth/verify"), hasStatus(200), unauthorized, true},
		{"POST /oauth/introspect", b.introspecting, isActive(true), inactive, false},
		{"GET /login by cookie", b.withCookie("GET", "/login?return_to=/arrived"), landed, toWeChat, true},
	}
}

func (b *bridge) withHeader(method, path string, more ...string) func(testing.TB, string) *http.Request {
	return func(t testing.TB, raw string) *http.Request {
		r := newRequest(t, method, b.url+path, more)
		r.Header.Set("Authorization", "Bearer "+raw)
		return r
	}
}

func (b *bridge) withCookie(method, path string) func(testing.TB, string) *http.Request {
	return func(t testing.TB, raw string) *http.Request {
		return newRequest(t, method, b.url+path, []string{"Cookie", "wxbridge_token=" + raw})
	}
}

func (b *bridge) introspecting(t testing.TB, raw string) *http.Request {
	r, err := http.NewRequest("POST", b.url+"/oauth/introspect", strings.NewReader(url.Values{"token": {raw}}.Encode()))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("orders", clientSecret)
	return r
}

func isActive(want bool) func(page) bool {
	return func(p page) bool {
		var answer struct{ Active bool }
		return p.StatusCode == http.StatusOK && json.Unmarshal([]byte(p.body), &answer) == nil && answer.Active == want
	}
}

// inactive is all that introspection says of a token that is no good (RFC 7662 §2.2), unless no form may be as large, or
// the token is empty.
func inactive(p page) error {
	if strings.TrimSpace(p.body) != `{"active":false}` && p.StatusCode != http.StatusRequestEntityTooLarge && p.StatusCode != http.StatusBadRequest {
		return fmt.Errorf("%d: %.300s", p.StatusCode, p.body)
	}
	return nil
}

func newRequest(t testing.TB, method, address string, header []string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, address, nil)
	must(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func hasStatus(status int) func(page) bool {
	return func(p page) bool { return p.StatusCode == status }
}

// unauthorized is the one refusal of the contract (design §4, TOK-12).
func unauthorized(p page) error {
	if p.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(p.Header.Get("WWW-Authenticate"), "Bearer") || p.Header.Get("Cache-Control") != "no-store" {
		return fmt.Errorf("%d with %v: %.300s", p.StatusCode, p.Header, p.body)
	}
	return nil
}

// landed: /login took the cookie's bearer for logged in. toWeChat: it did not.
func landed(p page) bool {
	return p.StatusCode == http.StatusFound && p.Header.Get("Location") == "/arrived"
}

func toWeChat(p page) error {
	if p.StatusCode != http.StatusFound || !strings.Contains(p.Header.Get("Location"), "/connect/oauth2/authorize") {
		return fmt.Errorf("%d to %s: %.300s", p.StatusCode, p.Header.Get("Location"), p.body)
	}
	return nil
}

// Hundreds of hostile tokens at every door: none is believed, none is a 5xx, all are refused in the same words, and none
// costs memory (TOK-01 to TOK-06, TOK-08, TOK-09, TOK-11, TOK-12).
func TestHostileTokensAtEveryDoor(t *testing.T) {
	b, forger, trapped := newBesiegedBridge(t)
	good, err := forger.Good()
	must(t, err)
	hostile, err := forger.All()
	must(t, err)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	for _, d := range tokenDoors(b, forger.Access) {
		t.Run(d.name, func(t *testing.T) {
			for _, token := range good {
				p, err := send(client, d.request(t, token.Raw))
				must(t, err)
				if !d.passed(p) {
					t.Fatalf("%s: %d: %s; and so its likes prove nothing", token.Name, p.StatusCode, p.body)
				}
			}
			bodies := map[string]string{}
			sent := 0
			for _, token := range hostile {
				r := d.request(t, token.Raw)
				if !sendable(d, token.Raw, r) {
					continue
				}
				sent++
				p, err := send(client, r)
				if len(token.Raw) > 512<<10 && (err != nil || p.StatusCode == http.StatusRequestHeaderFieldsTooLarge) {
					continue // net/http's own limit on headers
				}
				must(t, err)
				if fault := d.refused(p); fault != nil || d.passed(p) {
					t.Errorf("%s: %v", token.Name, fault)
				}
				sameBody(t, bodies, r, token, p)
				if n := b.cost(r); n > 64<<10+uint64(len(token.Raw)) {
					t.Errorf("%s costs %d bytes", token.Name, n)
				}
			}
			if sent < 1500 {
				t.Errorf("only %d hostile tokens could be sent", sent)
			}
			t.Logf("%d tokens", sent)
		})
	}
	if n := trapped.Load(); n != 0 {
		t.Errorf("TOK-02: %d requests went where a token pointed", n)
	}
}

// sendable leaves out what is another token, or none, by the time it has passed through HTTP.
func sendable(d door, raw string, r *http.Request) bool {
	for _, values := range r.Header {
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return false
			}
		}
	}
	return strings.TrimSpace(raw) == raw && !(d.cookie && strings.Contains(raw, ";"))
}

func send(client *http.Client, r *http.Request) (page, error) {
	response, err := client.Do(r)
	if err != nil {
		return page{}, err
	}
	defer response.Body.Close()
	var body strings.Builder
	_, err = io.Copy(&body, response.Body)
	return page{Response: response, body: body.String()}, err
}

// sameBody holds all refusals of requests with a credential, and all of those without one, to one answer but for the
// request's id. A malformed cookie is no credential (WEB-04).
func sameBody(t *testing.T, bodies map[string]string, r *http.Request, token hostiletoken.Token, p page) {
	t.Helper()
	if p.StatusCode != http.StatusUnauthorized {
		return
	}
	_, source, err := jwtauth.TokenFromRequest(r, "wxbridge_token")
	class := "with a credential"
	if source == jwtauth.SourceNone && err == nil {
		class = "without a credential"
	}
	body := map[string]any{}
	must(t, json.Unmarshal([]byte(p.body), &body))
	delete(body, "request_id")
	text, err := json.Marshal(body)
	must(t, err)
	answer := p.Header.Get("WWW-Authenticate") + " " + string(text)
	if known, ok := bodies[class]; ok && known != answer {
		t.Errorf("%s, %s: answers %s\nothers %s", token.Name, class, answer, known)
	}
	bodies[class] = answer
}

// cost is how many bytes the bridge allocates for a request: the least of a few tries, since others allocate too.
func (b *bridge) cost(r *http.Request) uint64 {
	least := ^uint64(0)
	for range 5 {
		again := r.Clone(r.Context())
		if r.GetBody != nil {
			again.Body, _ = r.GetBody()
		}
		again.RemoteAddr = "192.0.2.1:1234"
		w := httptest.NewRecorder()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		b.handler.ServeHTTP(w, again)
		runtime.ReadMemStats(&after)
		if least = min(least, after.TotalAlloc-before.TotalAlloc); least < 32<<10 {
			break
		}
	}
	return least
}

// newBesiegedBridge has a key of each kind, and a forger who knows them all and a fan's tokens.
func newBesiegedBridge(t *testing.T) (*bridge, *hostiletoken.Forger, *atomic.Int64) {
	t.Helper()
	trapped := &atomic.Int64{}
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { trapped.Add(1) }))
	t.Cleanup(trap.Close)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	forger := &hostiletoken.Forger{Trap: trap.URL}
	b := newBridge(t, withClients(t), func(c *handlers.Config) {
		signing := c.Keys.Signing()
		der, err := signing.MarshalPrivate()
		must(t, err)
		private, err := x509.ParsePKCS8PrivateKey(der)
		must(t, err)
		all := []jwtauth.Key{signing}
		forger.Keys = []hostiletoken.Key{{ID: signing.ID(), Private: private.(crypto.Signer)}}
		for id, private := range map[string]crypto.Signer{"ed": ed, "rsa": rsaKey} {
			der, err := x509.MarshalPKCS8PrivateKey(private)
			must(t, err)
			key, err := jwtauth.ParsePrivateKey(id, der)
			must(t, err)
			all = append(all, key)
			forger.Keys = append(forger.Keys, hostiletoken.Key{ID: id, Private: private})
		}
		must(t, c.Keys.Replace(signing, all...))
		forger.JWKS = c.Keys.JWKS()
		c.Logger = slog.New(slog.DiscardHandler)
	})
	w := b.browser("bob")
	w.register()
	forger.Access, forger.ID, forger.Now = w.cookie("wxbridge_token"), w.cookie("wxbridge_id"), b.clock.Now()
	return b, forger, trapped
}
