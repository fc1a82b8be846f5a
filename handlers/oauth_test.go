package handlers_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/internal/clients"
)

const (
	clientSecret = "9c1185a5c5e9fc54612808977ee8f548b2258d31"
	oddSecret    = "a:b%c+d e&f=密"
)

// withClients registers orders (introspect), desk (both) and odd, whose secret needs form-encoding.
func withClients(t testing.TB) func(*handlers.Config) {
	hash := sha256Hex
	registry, err := clients.Parse([]byte("clients:\n" +
		"- {id: orders, secret_sha256: " + hash(clientSecret) + ", may: [introspect]}\n" +
		"- {id: desk, secret_sha256: " + hash("desk"+clientSecret) + ", may: [introspect, revoke]}\n" +
		"- {id: odd, secret_sha256: " + hash(oddSecret) + ", may: [introspect]}\n"))
	must(t, err)
	return func(c *handlers.Config) { c.Clients = registry }
}

// sha256Hex is a secret as a clients file has it.
func sha256Hex(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// basic is client_secret_basic: both values form-encoded, then joined (RFC 6749 §2.3.1).
func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// form posts a form.
func (b *bridge) form(path, body string, header ...string) page {
	b.t.Helper()
	return b.browser("").do("POST", path, body, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
}

// introspected asks about a token as the client orders does.
func (b *bridge) introspected(token string) (claims map[string]any) {
	b.t.Helper()
	p := b.form("/oauth/introspect", url.Values{"token": {token}}.Encode(), "Authorization", basic("orders", clientSecret))
	if p.StatusCode != http.StatusOK || p.Header.Get("Cache-Control") != "no-store" || json.Unmarshal([]byte(p.body), &claims) != nil {
		b.t.Fatalf("introspection: %d %s", p.StatusCode, p.body)
	}
	return claims
}

func TestIntrospect_AGoodTokenAnswersItsClaimsAndItsFan(t *testing.T) {
	b := newBridge(t, withClients(t))
	w := b.browser("alice")
	w.register()
	role := "editor"
	fan := w.mustClaims().Subject
	_, err := b.store.SetAccess(t.Context(), fan, db.Access{Role: &role}, time.Now().Add(time.Hour))
	must(t, err)
	claims := w.mustClaims()
	got := b.introspected(w.cookie("wxbridge_token"))
	want := map[string]any{"active": true, "client_id": "wxbridge", "token_type": "Bearer", "username": "Alice",
		"iss": b.public, "sub": fan, "aud": b.public + "/api", "exp": float64(claims.ExpiresAt.Unix()),
		"iat": float64(claims.IssuedAt.Unix()), "jti": claims.ID, "sid": claims.SessionID, "auth_time": float64(claims.AuthTime.Unix()),
		"provider": "official_account", "appid": b.official.AppID, "openid": claims.OpenID, "unionid": claims.UnionID, "role": "editor"}
	stored, err := b.store.Fan(t.Context(), fan)
	must(t, err)
	want["username"] = stored.Nickname
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestIntrospect_ATokenOfAnAliasAnswersTheSurvivingID(t *testing.T) {
	b := newBridge(t, withClients(t), func(c *handlers.Config) { c.ProfilePolicy.Never = true })
	older, younger, youngToken := b.mergeBob()
	got := b.introspected(youngToken)
	if got["active"] != true || got["sub"] != older || !cmp.Equal(got["aliases"], []any{younger}) {
		t.Errorf("%v, want sub %s with the alias %s", got, older, younger)
	}
}

// mergeBob makes two fans of bob, who follows nobody, and merges them. The token is one of the younger fan.
func (b *bridge) mergeBob() (older, younger, youngToken string) {
	b.t.Helper()
	phone := b.browser("bob")
	phone.visit("/login") // a guest: the base scope brings no unionid
	older = phone.mustClaims().Subject
	b.clock.Advance(time.Minute)
	younger, youngToken = b.miniLogin("bob")
	if younger == older {
		b.t.Fatal("one fan before the official account has shown a unionid")
	}
	phone.visit("/login/official-account?scope=userinfo")
	return older, younger, youngToken
}

func (b *bridge) miniLogin(person string) (fan, token string) {
	b.t.Helper()
	p := b.browser("").do("POST", "/miniprogram/login", `{"code":"`+b.jsCode(person)+`"}`, "Content-Type", "application/json")
	var login struct {
		AccessToken string `json:"access_token"`
		Fan         struct{ ID string }
	}
	if err := json.Unmarshal([]byte(p.body), &login); err != nil || login.AccessToken == "" {
		b.t.Fatalf("mini program: %d %s", p.StatusCode, p.body)
	}
	return login.Fan.ID, login.AccessToken
}

func TestOP17_AnythingElseIsInactiveAndSaysNoMore(t *testing.T) {
	b := newBridge(t, withClients(t))
	foreign := newBridge(t)
	other := foreign.browser("alice")
	other.register()
	token := func(person string) (fan, token string) {
		w := b.browser(person)
		w.register()
		return w.mustClaims().Subject, w.cookie("wxbridge_token")
	}
	ctx := t.Context()
	until := time.Now().Add(24 * time.Hour)
	blocked, blockedToken := token("alice")
	_, err := b.store.SetAccess(ctx, blocked, db.Access{Status: db.StatusBlocked}, until)
	must(t, err)
	onlyMarked, onlyMarkedToken := token("m" + stranger())
	_, err = b.store.UpdateFan(ctx, onlyMarked, func(f *db.Fan) error { f.Status = db.StatusBlocked; return nil })
	must(t, err)
	erased, erasedToken := token("e" + stranger())
	_, err = b.store.EraseFan(ctx, erased, until, until)
	must(t, err)
	cut, cutToken := token("c" + stranger())
	_, err = b.store.RevokeFan(ctx, cut, until)
	must(t, err)
	loggedOut := b.browser("bob")
	loggedOut.register()
	out := loggedOut.cookie("wxbridge_token")
	loggedOut.do("POST", "/logout", "", "Origin", b.url)
	fresh := b.browser("f" + stranger())
	fresh.register()
	good := fresh.cookie("wxbridge_token")

	rows := map[string]string{
		"nonsense": "x", "an ID token": fresh.cookie("wxbridge_id"), "another bridge's": other.cookie("wxbridge_token"),
		"of a blocked fan": blockedToken, "of a fan that is only marked blocked": onlyMarkedToken, "of an erased fan": erasedToken,
		"revoked by another process": cutToken, "logged out": out, "another signature": good[:len(good)-8] + "AAAAAAAA",
		"9 KiB": strings.Repeat("a", 9<<10), "a token and a space": good + " ",
	}
	for name, token := range rows {
		if got := b.introspected(token); !cmp.Equal(got, map[string]any{"active": false}) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := b.introspected(good); got["active"] != true {
		t.Errorf("a good one: %v", got)
	}
	b.clock.Advance(tokenTTL + time.Second) // the leeway of verifiers would still take it
	if got := b.introspected(good); !cmp.Equal(got, map[string]any{"active": false}) {
		t.Errorf("expired: %v", got)
	}
}

func TestOP10_ClientAuthentication(t *testing.T) {
	b := newBridge(t, withClients(t))
	nobody := newBridge(t)
	post := func(id, secret string) string {
		return url.Values{"token": {"x"}, "client_id": {id}, "client_secret": {secret}}.Encode()
	}
	raw := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, row := range map[string]struct {
		body   string
		header []string
		status int
	}{
		"basic":                                 {"token=x", []string{"Authorization", basic("orders", clientSecret)}, 200},
		"basic in lower case":                   {"token=x", []string{"Authorization", strings.Replace(basic("orders", clientSecret), "Basic", "basic", 1)}, 200},
		"basic, form-encoded":                   {"token=x", []string{"Authorization", basic("odd", oddSecret)}, 200},
		"basic, not form-encoded":               {"token=x", []string{"Authorization", raw("odd:" + oddSecret)}, 401},
		"basic, id encoded needlessly":          {"token=x", []string{"Authorization", raw("%6Frders:" + clientSecret)}, 200},
		"basic and the id in the form":          {"token=x&client_id=orders", []string{"Authorization", basic("orders", clientSecret)}, 200},
		"basic and another id in the form":      {"token=x&client_id=desk", []string{"Authorization", basic("orders", clientSecret)}, 400},
		"both":                                  {post("orders", clientSecret), []string{"Authorization", basic("orders", clientSecret)}, 400},
		"both, one of them wrong":               {post("orders", "wrong"), []string{"Authorization", basic("orders", clientSecret)}, 400},
		"post":                                  {post("orders", clientSecret), nil, 200},
		"post, odd characters":                  {post("odd", oddSecret), nil, 200},
		"post, wrong secret":                    {post("orders", "wrong"), nil, 401},
		"post, unknown client":                  {post("nobody", clientSecret), nil, 401},
		"post, no secret":                       {"token=x&client_id=orders", nil, 401},
		"post, empty secret":                    {post("orders", ""), nil, 401},
		"nothing":                               {"token=x", nil, 401},
		"in the query":                          {"token=x", []string{"?", "client_id=orders&client_secret=" + clientSecret}, 401},
		"a Bearer token":                        {"token=x", []string{"Authorization", "Bearer " + clientSecret}, 401},
		"no scheme":                             {"token=x", []string{"Authorization", clientSecret}, 401},
		"not base64":                            {"token=x", []string{"Authorization", "Basic ***"}, 401},
		"no colon":                              {"token=x", []string{"Authorization", raw("orders")}, 401},
		"a bad escape":                          {"token=x", []string{"Authorization", raw("orders:%zz")}, 401},
		"not UTF-8":                             {"token=x", []string{"Authorization", raw("orders:\xff")}, 401},
		"two headers":                           {"token=x", []string{"Authorization", basic("orders", clientSecret), "Authorization", basic("orders", clientSecret)}, 401},
		"two secrets":                           {post("orders", clientSecret) + "&client_secret=x", nil, 400},
		"two ids":                               {post("orders", clientSecret) + "&client_id=orders", nil, 400},
		"FLW-08 two tokens":                     {post("orders", clientSecret) + "&token=y", nil, 400},
		"something unknown twice":               {post("orders", clientSecret) + "&a=1&a=2", nil, 400},
		"something unknown once":                {post("orders", clientSecret) + "&a=1", nil, 200},
		"a hint":                                {post("orders", clientSecret) + "&token_type_hint=refresh_token", nil, 200},
		"a hint nobody knows":                   {post("orders", clientSecret) + "&token_type_hint=x", nil, 200},
		"no token":                              {"client_id=orders&client_secret=" + clientSecret, nil, 400},
		"an empty token":                        {"token=&client_id=orders&client_secret=" + clientSecret, nil, 400},
		"a malformed form":                      {"token=%zz", []string{"Authorization", basic("orders", clientSecret)}, 400},
		"JSON":                                  {`{"token":"x"}`, []string{"Content-Type", "application/json", "Authorization", basic("orders", clientSecret)}, 415},
		"SRV-02 a large form":                   {"token=" + strings.Repeat("a", 70<<10), []string{"Authorization", basic("orders", clientSecret)}, 413},
		"no token, and no client: client first": {"", nil, 401},
	} {
		for _, path := range []string{"/oauth/introspect", "/oauth/revoke"} {
			t.Run(name+path, func(t *testing.T) {
				address, header := path, row.header
				if len(header) > 1 && header[0] == "?" {
					address, header = path+"?"+header[1], nil
				}
				kind := []string{"Content-Type", "application/x-www-form-urlencoded"}
				if len(header) > 1 && header[0] == "Content-Type" {
					kind = nil
				}
				p := b.browser("").do("POST", address, row.body, append(kind, header...)...)
				want := row.status
				if path == "/oauth/revoke" && want == 200 {
					want = 403 // the client is registered for introspection only
				}
				if p.StatusCode != want {
					t.Fatalf("%d %s, want %d", p.StatusCode, p.body, want)
				}
				if p.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("TOK-14: Cache-Control %q", p.Header.Get("Cache-Control"))
				}
				switch want {
				case 401:
					if p.errorOf(t).Error != "invalid_client" || !strings.HasPrefix(p.Header.Get("WWW-Authenticate"), "Basic ") {
						t.Errorf("%s, challenge %q", p.body, p.Header.Get("WWW-Authenticate"))
					}
				case 400, 413, 415:
					if p.errorOf(t).Error != "invalid_request" {
						t.Errorf("%s", p.body)
					}
				case 403:
					if p.errorOf(t).Error != "access_denied" {
						t.Errorf("%s", p.body)
					}
				}
			})
		}
	}
	if p := nobody.form("/oauth/introspect", "token=x", "Authorization", basic("orders", clientSecret)); p.StatusCode != 401 {
		t.Errorf("a bridge without clients: %d %s", p.StatusCode, p.body)
	}
	if p := b.browser("").get("/oauth/introspect"); p.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", p.StatusCode)
	}
	if log := b.log.String(); !strings.Contains(log, `"event":"client.refused"`) || strings.Contains(log, clientSecret) { // LOG-03, LOG-01
		t.Error("the log names no refused client, or shows a secret")
	}
}

func TestOP17_RevokeEndsTheSession(t *testing.T) {
	b := newBridge(t, withClients(t))
	w, elsewhere := b.browser("alice"), b.browser("alice")
	w.register()
	elsewhere.visit("/login")
	token := w.cookie("wxbridge_token")
	revoke := func(token string) page {
		return b.form("/oauth/revoke", url.Values{"token": {token}, "token_type_hint": {"access_token"}}.Encode(),
			"Authorization", basic("desk", "desk"+clientSecret))
	}
	for name, token := range map[string]string{"nonsense": "x", "an ID token": w.cookie("wxbridge_id"), "the token": token, "again": token} {
		if p := revoke(token); p.StatusCode != http.StatusOK || p.body != "" || p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %q", name, p.StatusCode, p.body)
		}
	}
	if p := b.browser("").get("/me", "Authorization", "Bearer "+token); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("the revoked token: %d", p.StatusCode)
	}
	if got := b.introspected(token); got["active"] != false {
		t.Errorf("introspection: %v", got)
	}
	if p := elsewhere.get("/me"); p.StatusCode != http.StatusOK {
		t.Errorf("another session of the same fan: %d", p.StatusCode)
	}
	rows, err := b.store.Revocations(t.Context())
	must(t, err)
	if len(rows) != 1 || rows[0].Value == "" || rows[0].Kind != db.RevokedSession {
		t.Errorf("stored: %+v", rows)
	}
	if !strings.Contains(b.log.String(), `"event":"token.revoked"`) {
		t.Error("LOG-03: not logged")
	}
}

// downStore is a store whose disk goes away and comes back.
type downStore struct {
	db.Store
	down *atomic.Bool
}

func (s downStore) Fan(ctx context.Context, id string) (db.Fan, error) {
	if s.down.Load() {
		return db.Fan{}, db.ErrUnavailable
	}
	return s.Store.Fan(ctx, id)
}

func (s downStore) Revoked(ctx context.Context, sid, sub string, at time.Time) (bool, error) {
	if s.down.Load() {
		return false, db.ErrUnavailable
	}
	return s.Store.Revoked(ctx, sid, sub, at)
}

func (s downStore) AddRevocation(ctx context.Context, r db.Revocation) error {
	if s.down.Load() {
		return db.ErrUnavailable
	}
	return s.Store.AddRevocation(ctx, r)
}

func (s downStore) RevokeFan(ctx context.Context, id string, until time.Time) (db.Revoked, error) {
	if s.down.Load() {
		return db.Revoked{}, db.ErrUnavailable
	}
	return s.Store.RevokeFan(ctx, id, until)
}

func TestOAuth_WithoutTheStoreThereIsNoAnswer(t *testing.T) {
	down := &atomic.Bool{}
	b := newBridge(t, withClients(t), func(c *handlers.Config) { c.Store = downStore{c.Store, down} })
	w := b.browser("alice")
	w.register()
	token := url.Values{"token": {w.cookie("wxbridge_token")}}.Encode()
	desk := basic("desk", "desk"+clientSecret)
	down.Store(true)
	for _, path := range []string{"/oauth/introspect", "/oauth/revoke"} {
		p := b.form(path, token, "Authorization", desk)
		if p.StatusCode != http.StatusServiceUnavailable || p.errorOf(t).Error != "temporarily_unavailable" || p.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, p.StatusCode, p.body)
		}
		if p := b.form(path, "token=x", "Authorization", desk); p.StatusCode != http.StatusOK {
			t.Errorf("%s: nonsense needs no store: %d", path, p.StatusCode)
		}
	}
	down.Store(false)
	if p := w.get("/me"); p.StatusCode != http.StatusOK {
		t.Errorf("a token that could not be revoked is: %d", p.StatusCode)
	}
	if p := b.form("/oauth/revoke", token, "Authorization", desk); p.StatusCode != http.StatusOK {
		t.Errorf("revoke, once the store is back: %d", p.StatusCode)
	}
}

func TestTOK10_LogoutEverywhere(t *testing.T) {
	b := newBridge(t)
	w, elsewhere, other := b.browser("alice"), b.browser("alice"), b.browser("bob")
	w.register()
	elsewhere.visit("/login")
	other.register()
	mini, miniToken := b.miniLogin("alice")
	if mini != w.mustClaims().Subject {
		t.Fatal("alice is two fans")
	}
	old := []string{w.cookie("wxbridge_token"), elsewhere.cookie("wxbridge_token"), miniToken}
	for name, header := range map[string][]string{"cross-site": {"Origin", "https://evil.example"}, "no origin": nil} { // WEB-06
		if p := w.do("POST", "/me/logout-everywhere", "", header...); p.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", name, p.StatusCode)
		}
	}
	if p := w.get("/me/logout-everywhere"); p.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", p.StatusCode)
	}
	if p := b.browser("").do("POST", "/me/logout-everywhere", "", "Origin", b.url); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a session: %d", p.StatusCode)
	}
	p := w.do("POST", "/me/logout-everywhere", "", "Origin", b.url)
	if p.StatusCode != http.StatusNoContent || w.cookie("wxbridge_token") != "" || w.cookie("wxbridge_id") != "" {
		t.Fatalf("%d, cookies %v", p.StatusCode, w.jar.Cookies(mustURL(t, b.url)))
	}
	for i, token := range old {
		if p := b.browser("").get("/me", "Authorization", "Bearer "+token); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("token %d: %d", i, p.StatusCode)
		}
	}
	if p := other.get("/me"); p.StatusCode != http.StatusOK {
		t.Errorf("somebody else: %d", p.StatusCode)
	}
	if !strings.Contains(b.log.String(), `"event":"logout.everywhere"`) {
		t.Error("LOG-03: not logged")
	}
	// Again and again inside one second: a login works, and the next logout ends it too.
	for range 3 {
		_, token := b.miniLogin("alice")
		if p := b.browser("").get("/me", "Authorization", "Bearer "+token); p.StatusCode != http.StatusOK {
			t.Fatalf("a login in the second of the logout: %d %s", p.StatusCode, p.body)
		}
		if p := b.browser("").do("POST", "/me/logout-everywhere", "", "Authorization", "Bearer "+token); p.StatusCode != http.StatusNoContent {
			t.Errorf("with Bearer: %d %s", p.StatusCode, p.body)
		}
		if p := b.browser("").get("/me", "Authorization", "Bearer "+token); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("the token of that login: %d", p.StatusCode)
		}
	}
}

// What another process has revoked is in the store and not yet in this one's memory.
func TestTOK10_RenewalNeverRevivesWhatAnotherProcessRevoked(t *testing.T) {
	until := func() time.Time { return time.Now().Add(24 * time.Hour) }
	none := ""
	for name, revoke := range map[string]func(t *testing.T, store db.Store, fan, sid string) error{
		"logout": func(t *testing.T, store db.Store, _, sid string) error {
			return store.AddRevocation(t.Context(), db.Revocation{Kind: db.RevokedSession, Value: sid, ExpiresAt: until()})
		},
		"logout everywhere": func(t *testing.T, store db.Store, fan, _ string) error {
			_, err := store.RevokeFan(t.Context(), fan, until())
			return err
		},
		"block": func(t *testing.T, store db.Store, fan, _ string) error {
			_, err := store.SetAccess(t.Context(), fan, db.Access{Status: db.StatusBlocked}, until())
			return err
		},
		"block and unblock": func(t *testing.T, store db.Store, fan, _ string) error {
			_, err := store.SetAccess(t.Context(), fan, db.Access{Status: db.StatusBlocked}, until())
			_, again := store.SetAccess(t.Context(), fan, db.Access{Status: db.StatusActive}, until())
			return errors.Join(err, again)
		},
		"a role taken away": func(t *testing.T, store db.Store, fan, _ string) error {
			_, err := store.SetAccess(t.Context(), fan, db.Access{Role: &none}, until())
			return err
		},
		"erase": func(t *testing.T, store db.Store, fan, _ string) error {
			_, err := store.EraseFan(t.Context(), fan, until(), until())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBridge(t)
			w := b.browser("alice")
			w.register()
			claims := w.mustClaims()
			role := "editor"
			_, err := b.store.SetAccess(t.Context(), claims.Subject, db.Access{Role: &role}, until())
			must(t, err)
			b.clock.Advance(tokenTTL/2 + time.Minute)
			must(t, revoke(t, b.store, claims.Subject, claims.SessionID))
			b.clock.Advance(2 * time.Second) // behind the cut, where a fresh iat would count as new
			token := w.cookie("wxbridge_token")
			for _, path := range []string{"/me", "/", "/login?return_to=/shop", "/me/export"} {
				w.jar.SetCookies(mustURL(t, b.url), []*http.Cookie{{Name: "wxbridge_token", Value: token, Path: "/"}})
				p := w.get(path)
				for _, cookie := range p.Cookies() {
					if cookie.Name == "wxbridge_token" && cookie.Value != "" {
						t.Errorf("%s renews the token: %d", path, p.StatusCode)
					}
				}
			}
		})
	}
}

func TestTOK10_ALoginInTheSecondOfAnotherProcessesCutWorks(t *testing.T) {
	b := newBridge(t)
	fan, _ := b.miniLogin("alice")
	revoked, err := b.store.RevokeFan(t.Context(), fan, time.Now().Add(24*time.Hour))
	must(t, err)
	_, token := b.miniLogin("alice")
	claims, err := b.verifier.Verify(t.Context(), token)
	must(t, err)
	if claims.IssuedAt.Before(revoked.Before) {
		t.Errorf("iat %v lies before the cut %v, of which this process has not heard", claims.IssuedAt, revoked.Before)
	}
}

// REL-15: after the clock was set back by an hour a revoked token stays revoked, and a fan whose cut lies in the future is told
// to wait rather than given a token that nobody takes.
func TestREL15_AClockSetBackRevivesNothing(t *testing.T) {
	b := newBridge(t)
	fan, token := b.miniLogin("alice")
	if p := b.browser("").do("POST", "/me/logout-everywhere", "", "Authorization", "Bearer "+token); p.StatusCode != http.StatusNoContent {
		t.Fatalf("%d %s", p.StatusCode, p.body)
	}
	b.clock.Advance(-time.Hour)
	if p := b.browser("").get("/me", "Authorization", "Bearer "+token); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old token: %d", p.StatusCode)
	}
	p := b.browser("").do("POST", "/miniprogram/login", `{"code":"`+b.jsCode("alice")+`"}`, "Content-Type", "application/json")
	if p.StatusCode != http.StatusServiceUnavailable || p.errorOf(t).Error != "temporarily_unavailable" {
		t.Errorf("a login of fan %s: %d %s", fan, p.StatusCode, p.body)
	}
	if p := b.browser("").do("POST", "/miniprogram/login", `{"code":"`+b.jsCode("bob")+`"}`, "Content-Type", "application/json"); p.StatusCode != http.StatusOK {
		t.Errorf("anybody else: %d %s", p.StatusCode, p.body)
	}
}

// REL-17: a merge into a blocked fan ends the tokens that the other fan has.
func TestREL17_AMergeIntoABlockedFanRevokesBoth(t *testing.T) {
	b := newBridge(t, func(c *handlers.Config) { c.ProfilePolicy.Never = true })
	phone := b.browser("bob")
	phone.visit("/login")
	older, oldToken := phone.mustClaims().Subject, phone.cookie("wxbridge_token")
	younger, youngToken := b.miniLogin("bob")
	_, err := b.store.UpdateFan(t.Context(), younger, func(f *db.Fan) error { f.Status = db.StatusBlocked; return nil })
	must(t, err)
	if p := phone.visit("/login/official-account?scope=userinfo"); p.StatusCode != http.StatusForbidden {
		t.Fatalf("the merging login: %d", p.StatusCode)
	}
	for name, token := range map[string]string{"older": oldToken, "younger": youngToken} {
		if _, err := b.verifier.Verify(t.Context(), token); err == nil {
			t.Errorf("the %s fan's token still verifies", name)
		}
	}
	rows, err := b.store.Revocations(t.Context())
	must(t, err)
	subjects := map[string]bool{}
	for _, r := range rows {
		subjects[r.Value] = r.Kind == db.RevokedSubject
	}
	if !subjects[older] || !subjects[younger] {
		t.Errorf("stored: %+v", rows)
	}
}
