package cli

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"wxbridge/db"
	"wxbridge/internal/config"
	"wxbridge/internal/seal"
	"wxbridge/wechat"
	"wxbridge/wechat/simulator"
)

// holders are the sources of app tokens of processes that share a database, before a simulated WeChat.
type holders struct {
	t    *testing.T
	path string // of the database
	app  config.NamedApp
	url  string // of the simulator
	sim  *simulator.Server
}

func newHolders(t *testing.T, rotating bool) *holders {
	t.Helper()
	dev := simulator.DevApps("localhost")[0]
	h := &holders{t: t, path: filepath.Join(t.TempDir(), "wxbridge.db"), app: config.NamedApp{Alias: "default", Provider: config.ProviderOfficialAccount,
		App: config.App{ID: dev.AppID, Secret: config.Secret(dev.Secret)}, OpenAccount: "default", RotatingToken: rotating}}
	var err error
	h.sim, err = simulator.New(simulator.Config{Apps: []simulator.App{dev}, Switches: map[string]string{"force-refresh": "dies-at-once", "minute-quota": "unlimited"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h.sim)
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

// start opens the database as another process does, and gives its source of tokens.
func (h *holders) start(secret []byte, previous ...[]byte) *wechat.AppTokens {
	h.t.Helper()
	store, err := db.Open(h.t.Context(), "sqlite://"+h.path, time.Now)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = store.Close() })
	box, err := seal.New(secret, previous...)
	if err != nil {
		h.t.Fatal(err)
	}
	base, err := url.Parse(h.url)
	if err != nil {
		h.t.Fatal(err)
	}
	api := weChatAPI(config.Config{WeChatAPIURL: base, WeChatOpenURL: base}, nil)
	m := clientMaker{api, nil, tokenStore{store, box}, slog.New(slog.NewTextHandler(testLog{h.t}, nil))}
	tokens, err := m.tokens(h.app)
	if err != nil {
		h.t.Fatal(err)
	}
	return tokens
}

// testLog fails the test when a store fails.
type testLog struct{ t *testing.T }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Errorf("log: %s", line)
	return len(line), nil
}

// calls is how often WeChat was asked at a path.
func (h *holders) calls(path string) int {
	h.t.Helper()
	response, err := http.Get(h.url + "/_simulator/calls")
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	var calls map[string]int
	if err := json.NewDecoder(response.Body).Decode(&calls); err != nil {
		h.t.Fatal(err)
	}
	return calls[path]
}

// openID is what the app calls a person.
func (h *holders) openID(name string) string {
	h.t.Helper()
	response, err := http.Get(h.url + "/_simulator/people")
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		People []struct {
			Name     string
			Accounts []struct{ OpenID string }
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		h.t.Fatal(err)
	}
	for _, person := range answer.People {
		if person.Name == name && len(person.Accounts) > 0 {
			return person.Accounts[0].OpenID
		}
	}
	h.t.Fatalf("no %s", name)
	return ""
}

// end ends the current token, as another system does that holds the AppSecret.
func (h *holders) end() error {
	body := fmt.Sprintf(`{"grant_type":"client_credential","appid":%q,"secret":%q,"force_refresh":true}`, h.app.ID, h.app.Secret.Reveal())
	response, err := http.Post(h.url+"/cgi-bin/stable_token", "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && !bytes.Contains(answer, []byte("access_token")) {
		err = fmt.Errorf("force_refresh: %s", answer)
	}
	return err
}

func secretOf(letter string) []byte { return []byte(strings.Repeat(letter+rand.Text()[:1], 20)) }

// The token is ended from outside in the middle of ten thousand calls of two processes that share a store: nobody sees an
// error, and one fetch mends it for both.
func TestWX17_TenThousandCallsOutliveAnEndedToken(t *testing.T) {
	h := newHolders(t, false)
	secret := secretOf("a")
	processes := []*wechat.AppTokens{h.start(secret), h.start(secret)}
	alice := h.openID("alice")
	const calls = 10_000
	var done atomic.Int32
	var crowd errgroup.Group
	crowd.SetLimit(50)
	for n := range calls {
		crowd.Go(func() error {
			if n == calls/2 {
				if err := h.end(); err != nil {
					return err
				}
			}
			follower, err := processes[n%2].Follower(t.Context(), alice)
			if err != nil || !follower.Subscribed {
				return fmt.Errorf("call %d: %+v, %w", n, follower, err)
			}
			done.Add(1)
			return nil
		})
	}
	if err := crowd.Wait(); err != nil {
		t.Error(err)
	}
	if got := h.calls("/cgi-bin/stable_token"); got != 3 || done.Load() != calls { // the first, the outsider's, the one that mends it
		t.Errorf("%d fetches and %d answers, want 3 and %d", got, done.Load(), calls)
	}
}

// Two processes on cgi-bin/token, where each fetch ends the token before, do not fight either.
func TestWX17_TwoProcessesShareARotatingToken(t *testing.T) {
	h := newHolders(t, true)
	secret, alice := secretOf("a"), h.openID("alice")
	processes := []*wechat.AppTokens{h.start(secret), h.start(secret)}
	var crowd errgroup.Group
	for n := range 200 {
		crowd.Go(func() error {
			_, err := processes[n%2].Follower(t.Context(), alice)
			return err
		})
	}
	if err := crowd.Wait(); err != nil {
		t.Error(err)
	}
	if plain, stable := h.calls("/cgi-bin/token"), h.calls("/cgi-bin/stable_token"); plain != 1 || stable != 0 {
		t.Errorf("%d fetches from token and %d from stable_token, want 1 and 0", plain, stable)
	}
}

// KEY-01: what lies in the file is of no use without the secret. A changed secret opens it as the previous one; when both
// are gone the row is replaced by a new token.
func TestAppTokensAreSealedAndOutliveAChangeOfTheSecret(t *testing.T) {
	h := newHolders(t, false)
	before, after := secretOf("a"), secretOf("b")
	token := h.token(h.start(before))
	for _, suffix := range []string{"", "-wal"} {
		if file, err := os.ReadFile(h.path + suffix); err == nil && bytes.Contains(file, []byte(token[:40])) {
			t.Errorf("the token stands in %s%s", h.path, suffix)
		}
	}
	if got := h.token(h.start(after, before)); got != token || h.calls("/cgi-bin/stable_token") != 1 {
		t.Error("a token sealed with the previous secret was not used")
	}
	other := h.start(secretOf("c"))
	if got := h.token(other); h.calls("/cgi-bin/stable_token") != 2 || got != token { // WeChat gives the same one while it lives
		t.Errorf("%d fetches with another secret, want one more", h.calls("/cgi-bin/stable_token"))
	}
	if _, err := other.Follower(t.Context(), h.openID("alice")); err != nil {
		t.Error(err)
	}
}

// A token is bound to its app: another app's row does not open.
func TestASealedTokenIsOfOneAppOnly(t *testing.T) {
	h := newHolders(t, false)
	store, err := db.Open(t.Context(), "sqlite://"+h.path, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	box, err := seal.New(secretOf("a"))
	if err != nil {
		t.Fatal(err)
	}
	s, ctx, now := tokenStore{store, box}, t.Context(), time.Now().Truncate(time.Millisecond)
	want := wechat.AppToken{Value: "84_token", FetchedAt: now, ExpiresAt: now.Add(time.Hour)}
	for _, key := range []string{"wx1", "wx2"} {
		if ok, err := s.Lock(ctx, key, "me", time.Minute); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if err := s.Save(ctx, "wx1", "me", want); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(ctx, "wx1"); err != nil || got.Value != want.Value || !got.FetchedAt.Equal(want.FetchedAt) || !got.ExpiresAt.Equal(want.ExpiresAt) {
		t.Errorf("%v %v", got, err)
	}
	sealed, err := store.SealedAppToken(ctx, "wx1")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.SaveAppToken(ctx, "wx2", "me", sealed); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(ctx, "wx2"); err != nil || got.Value != "" {
		t.Errorf("another app's token opens: %v %v", got, err)
	}
}

func (h *holders) token(tokens *wechat.AppTokens) string {
	h.t.Helper()
	token, err := tokens.Token(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return token.Value.Reveal()
}
