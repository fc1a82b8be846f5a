package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wxbridge/internal/cli"
)

// startPair runs two serves on one database, as two processes behind one public address. Requests of a phone go to the first.
func startPair(t *testing.T, env ...string) (one, two *product) {
	t.Helper()
	env = append(env, "WXBRIDGE_DATABASE=sqlite://"+filepath.Join(t.TempDir(), "wxbridge.db"))
	one = startServe(t, nil, env...)
	second := *one
	two = &second
	two.log = new(logBuffer)
	address := freeAddress(t)
	env = append(with(one.serveEnv(address, one.simulator), "WXBRIDGE_LISTEN="+address), env...)
	two.end = runCommand(t, two.log, []string{"serve"}, env, io.Discard)
	two.bridge = "http://" + address
	two.waitReady(t)
	one.env, two.env = env, env
	return one, two
}

// admits reports whether the bridge takes the session, by a route that does not ask the store about it: /login sends who is
// logged in straight on.
func (p *product) admits(t *testing.T, s session) bool {
	t.Helper()
	h := p.send(t, http.MethodGet, "/login?return_to=%2Fthere", http.Header{"Cookie": {tokenCookie + "=" + s.access + "; " + idCookie + "=" + s.id}}, "")
	if h.status != http.StatusFound {
		t.Fatalf("/login: %v: %s", h, h.body)
	}
	return h.header.Get("Location") == "/there"
}

func (p *product) send(t *testing.T, method, path string, header http.Header, body string) hop {
	t.Helper()
	h, err := (&phone{product: p}).send(method, p.bridge+path, header, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// form posts a form, as a client of the API does.
func (p *product) form(t *testing.T, path string, form url.Values) hop {
	t.Helper()
	return p.send(t, http.MethodPost, path, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}, form.Encode())
}

const deskSecret = "c2f1a9d07b6e4f5d8a3b1c0e9f7d6a5b4c3d2e1f"

// writeClients registers a client desk that may do everything clients may.
func writeClients(t *testing.T) (file string) {
	t.Helper()
	sum := sha256.Sum256([]byte(deskSecret))
	file = filepath.Join(t.TempDir(), "clients.yaml")
	text := "clients:\n  - id: desk\n    secret_sha256: " + hex.EncodeToString(sum[:]) + "\n    may: [introspect, revoke, app-token]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// operate runs a command of an operator, beside the bridge that uses the same database.
func operate(t *testing.T, env []string, args ...string) (stdout string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out, log logBuffer
	if code := cli.Run(ctx, args, env, &out, &log); code != 0 {
		t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), code, log.String())
	}
	return out.String()
}

// TOK-10: whatever ends a token on one process ends it on the other within a second.
func TestTOK10_TwoProcessesFollowEachOthersRevocations(t *testing.T) {
	one, two := startPair(t, "WXBRIDGE_CLIENTS_FILE="+writeClients(t))
	stays := one.phone("stays").login(t)
	for name, end := range map[string]func(t *testing.T, p *product, s session) hop{
		"logout": func(t *testing.T, p *product, s session) hop {
			return p.api(t, http.MethodPost, "/logout", s.access, "")
		},
		"logout everywhere": func(t *testing.T, p *product, s session) hop {
			return p.api(t, http.MethodPost, "/me/logout-everywhere", s.access, "")
		},
		"erase": func(t *testing.T, p *product, s session) hop { return p.api(t, http.MethodDelete, "/me", s.access, "") },
		"revoke": func(t *testing.T, p *product, s session) hop {
			return p.form(t, "/oauth/revoke", url.Values{"token": {s.access}, "client_id": {"desk"}, "client_secret": {deskSecret}})
		},
	} {
		for direction, pair := range map[string][2]*product{"one to two": {one, two}, "two to one": {two, one}} {
			t.Run(name+", "+direction, func(t *testing.T) {
				gone := one.phone("p-" + strings.ReplaceAll(name+direction, " ", "-")).login(t)
				if !one.admits(t, gone) || !two.admits(t, gone) {
					t.Fatal("a good session is refused")
				}
				if h := end(t, pair[0], gone); h.status/100 != 2 {
					t.Fatalf("%v: %s", h, h.body)
				}
				if pair[0].admits(t, gone) {
					t.Error("not refused at once where it was ended")
				}
				waitFor(t, within(time.Second), "the other process to refuse", func() bool { return !pair[1].admits(t, gone) })
				if !one.admits(t, stays) || !two.admits(t, stays) {
					t.Error("somebody else is logged out")
				}
			})
		}
	}
}

// TOK-10: what an operator's command does, every running process follows within a second.
func TestTOK10_OperatorsCommandsReachRunningProcesses(t *testing.T) {
	one, two := startPair(t)
	for name, args := range map[string][][]string{
		"block":             {{"block"}},
		"erase":             {{"erase", "--yes"}},
		"a role taken away": {{"role", "--none"}},
		"block and unblock": {{"block"}, {"unblock"}},
	} {
		t.Run(name, func(t *testing.T) {
			person := "p-" + strings.ReplaceAll(name, " ", "-")
			fan := subject(one.phone(person).login(t).access)
			operate(t, one.env, "fans", "role", fan, "editor")
			gone := one.phone(person).login(t)
			if claims := decode(t, one.api(t, http.MethodGet, "/me", gone.access, "")); claims["role"] != "editor" {
				t.Fatalf("no role: %v", claims)
			}
			for _, command := range args {
				operate(t, one.env, append([]string{"fans"}, append(command, fan)...)...)
			}
			for _, p := range []*product{one, two} {
				waitFor(t, within(time.Second), "a running process to refuse", func() bool { return !p.admits(t, gone) })
			}
		})
	}
}

// The same between real processes, again and again: the slowest counts.
func TestTOK10_AProcessOfItsOwnFollowsWithinASecond(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	besideOthers(t)
	binary := buildBinary(t)
	data := t.TempDir()
	one := &product{bridge: "http://" + freeAddress(t), log: new(logBuffer), http: newHTTPClient(t)}
	one.findApps(t, one.bridge)
	one.simulator = startSimulator(t, one.bridge).URL
	second := *one
	second.bridge = "http://" + freeAddress(t)
	for _, p := range []*product{one, &second} {
		env := append(one.serveEnv(strings.TrimPrefix(p.bridge, "http://"), one.simulator), "WXBRIDGE_DATABASE=sqlite://"+filepath.Join(data, "w.db"))
		child := startChild(t, p, binary, data, env)
		defer child.kill(t)
	}
	var slowest time.Duration
	for n := range times(8, 200) {
		gone := one.phone(fmt.Sprintf("p-%d", n)).login(t)
		if !second.admits(t, gone) {
			t.Fatal("a good session is refused")
		}
		one.api(t, http.MethodPost, "/logout", gone.access, "")
		ended := time.Now()
		waitFor(t, within(time.Second), "the other process to refuse", func() bool { return !second.admits(t, gone) })
		slowest = max(slowest, time.Since(ended))
	}
	t.Logf("the slowest took %v", slowest)
}

// A process that was not running when the token was revoked knows it before its first request.
func TestTOK10_ASecondProcessStartsWithWhatTheFirstRevoked(t *testing.T) {
	database := "WXBRIDGE_DATABASE=sqlite://" + filepath.Join(t.TempDir(), "wxbridge.db")
	one := startServe(t, nil, database)
	token := one.miniToken(t, "bob")
	one.api(t, http.MethodPost, "/logout", token, "")
	second := *one
	address := freeAddress(t)
	second.log, second.bridge = new(logBuffer), "http://"+address
	env := append(with(one.serveEnv(address, one.simulator), "WXBRIDGE_LISTEN="+address), database)
	second.end = runCommand(t, second.log, []string{"serve"}, env, io.Discard)
	var first hop
	waitFor(t, 20*time.Second, "the first answer", func() bool {
		var err error
		first, err = second.tryAPI(http.MethodGet, "/me", token, "")
		return err == nil
	})
	wantError(t, first, http.StatusUnauthorized, "invalid_token")
}
