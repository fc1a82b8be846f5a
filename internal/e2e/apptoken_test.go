package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	pathAppToken    = "/internal/app-token"
	pathStableToken = "/cgi-bin/stable_token"
	pathToken       = "/cgi-bin/token"
	pathFollower    = "/cgi-bin/user/info"
)

// deskAsks is a request of the client desk.
func (p *product) deskAsks(path string) (hop, error) {
	auth := "Basic " + base64.StdEncoding.EncodeToString([]byte("desk:"+deskSecret))
	return (&phone{product: p}).send(http.MethodGet, p.bridge+path, http.Header{"Authorization": {auth}}, nil)
}

// appToken is the token that the client desk is given.
func (p *product) appToken(query string) (string, error) {
	h, err := p.deskAsks(pathAppToken + query)
	if err != nil {
		return "", err
	}
	var answer struct {
		Token     string `json:"access_token"`
		ExpiresIn int    `json:"expires_in"`
	}
	if err := json.Unmarshal(h.body, &answer); err != nil || h.status != http.StatusOK || answer.Token == "" || answer.ExpiresIn < 1 {
		return "", fmt.Errorf("%v: %s", h, h.body)
	}
	return answer.Token, nil
}

// crowdOfTokens asks each of the bridges n times, all at once, and gives the different tokens that they answered.
func crowdOfTokens(t *testing.T, n int, bridges ...*product) map[string]int {
	t.Helper()
	answers := make(chan string, n*len(bridges))
	var crowd errgroup.Group
	for range n {
		for _, p := range bridges {
			crowd.Go(func() error {
				token, err := p.appToken("")
				answers <- token
				return err
			})
		}
	}
	if err := crowd.Wait(); err != nil {
		t.Fatal(err)
	}
	close(answers)
	different := map[string]int{}
	for token := range answers {
		different[token]++
	}
	return different
}

func TestWX17_AThousandRequestsOnAColdStartFetchOneAppToken(t *testing.T) {
	p := startServe(t, nil, "WXBRIDGE_CLIENTS_FILE="+writeClients(t))
	p.fault(t, fault{Path: pathStableToken, LatencyMS: 300}) // so that all of them wait for it
	var tokens map[string]int
	if n := p.called(t, pathStableToken, func() { tokens = crowdOfTokens(t, 1000, p) }); n != 1 || len(tokens) != 1 {
		t.Errorf("%d fetches and %d different tokens for 1000 requests, want 1 and 1", n, len(tokens))
	}
}

func TestWX17_TwoProcessesOnOneStoreFetchOneAppToken(t *testing.T) {
	one, two := startPair(t, "WXBRIDGE_CLIENTS_FILE="+writeClients(t))
	one.fault(t, fault{Path: pathStableToken, LatencyMS: 300})
	var tokens map[string]int
	if n := one.called(t, pathStableToken, func() { tokens = crowdOfTokens(t, 250, one, two) }); n != 1 || len(tokens) != 1 {
		t.Errorf("%d fetches and %d different tokens for two processes, want 1 and 1", n, len(tokens))
	}
}

// A token lives in the store, so that neither a restart nor an operator's command fetches another.
func TestWX17_ARestartAndTheCommandLineFetchNoOtherAppToken(t *testing.T) {
	env := []string{"WXBRIDGE_CLIENTS_FILE=" + writeClients(t), "WXBRIDGE_DATABASE=sqlite://" + filepath.Join(t.TempDir(), "wxbridge.db")}
	p := startServe(t, nil, env...)
	first, err := p.appToken("")
	if err != nil {
		t.Fatal(err)
	}
	if code := p.end(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	address := freeAddress(t)
	env = append(with(p.serveEnv(address, p.simulator), "WXBRIDGE_LISTEN="+address), env...)
	if n := p.called(t, pathStableToken, func() {
		again := *p
		again.bridge, again.log = "http://"+address, new(logBuffer)
		again.end = runCommand(t, again.log, []string{"serve"}, env, io.Discard)
		again.waitReady(t)
		if token, err := again.appToken(""); err != nil || token != first {
			t.Errorf("another token after a restart (%v)", err)
		}
		shown := operate(t, env, "apptoken", "show", "--app", p.official.AppID)
		if !strings.Contains(shown, p.official.AppID) || strings.Contains(shown, first) || strings.Contains(shown, p.mini.AppID) {
			t.Errorf("apptoken show says\n%s", shown)
		}
		revealed := operate(t, env, "apptoken", "show", "--app", "default", "--reveal", "--json")
		var answer struct {
			Tokens []struct {
				Provider, App, AppID string
				Token                string    `json:"access_token"`
				ExpiresAt            time.Time `json:"expires_at"`
			} `json:"app_tokens"`
		}
		if err := json.Unmarshal([]byte(revealed), &answer); err != nil || len(answer.Tokens) != 2 || answer.Tokens[0].Token != first ||
			answer.Tokens[1].AppID != p.mini.AppID || time.Until(answer.Tokens[1].ExpiresAt) < time.Hour {
			t.Errorf("apptoken show --reveal --json says (%v)\n%s", err, revealed)
		}
		if token, err := again.appToken("?provider=mini_program"); err != nil || token != answer.Tokens[1].Token {
			t.Errorf("the bridge has another token than the command line (%v)", err)
		}
	}); n != 1 { // the mini program's, by the command
		t.Errorf("%d fetches after the first, want 1", n)
	}
}

// Somebody ends the token while logins need it: nobody notices, and one fetch mends it.
func TestWX17_ATokenEndedFromOutsideFailsNoLogin(t *testing.T) {
	p := startServe(t, nil)
	p.set(t, "force-refresh", "dies-at-once")
	login := func(n int) error { // of somebody unknown who does not follow: each asks WeChat with the app token
		tr, err := p.phone(fmt.Sprintf("passer-by-%d", n)).walk(p.bridge + "/login")
		if err == nil && tr.last().url.Path != "/login/register" {
			err = errors.New(tr.String())
		}
		return err
	}
	const logins = 120
	fetches := p.called(t, pathStableToken, func() {
		asked := p.called(t, pathFollower, func() {
			var crowd errgroup.Group
			crowd.SetLimit(12)
			for n := range logins {
				crowd.Go(func() error {
					if n == logins/2 {
						p.endAppToken(t)
					}
					return login(n)
				})
			}
			if err := crowd.Wait(); err != nil {
				t.Error(err)
			}
		})
		if asked < logins {
			t.Errorf("%d questions about %d people", asked, logins)
		}
	})
	if fetches != 3 { // the first, that of the outsider, and one to mend it
		t.Errorf("%d fetches, want 3", fetches)
	}
	for line := range strings.Lines(p.logged(t)) {
		if strings.Contains(line, "follower.failed") {
			t.Errorf("a question about a follower failed: %s", line)
		}
	}
}

// endAppToken forces a new stable token, as another system might that holds the AppSecret.
func (p *product) endAppToken(t *testing.T) {
	t.Helper()
	body := fmt.Sprintf(`{"grant_type":"client_credential","appid":%q,"secret":%q,"force_refresh":true}`, p.official.AppID, p.official.Secret)
	res, err := p.http.Post(p.simulator+pathStableToken, "application/json", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	defer res.Body.Close()
	if answer, _ := io.ReadAll(res.Body); !strings.Contains(string(answer), "access_token") {
		t.Errorf("force_refresh: %s", answer)
	}
}
