package cli_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"wxbridge/internal/cli"
	"wxbridge/jwtauth"
)

// issuer signs tokens of a bridge that is not there, and serves its keys.
func issuer(t *testing.T, now func() time.Time) (issuer *jwtauth.Issuer, jwksURL string) {
	t.Helper()
	key, err := jwtauth.GenerateKey(jwtauth.ES256)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jwtauth.NewKeySet(key)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err = jwtauth.NewIssuer(keys, jwtauth.IssuerConfig{
		Issuer: "https://login.example.com", Audience: "https://login.example.com/api", ClientID: "wxbridge", TTL: 2 * time.Hour, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Write(keys.JWKS())
	}))
	t.Cleanup(server.Close)
	return issuer, server.URL
}

func accessToken(t *testing.T, i *jwtauth.Issuer) string {
	t.Helper()
	raw, _, err := i.AccessToken(jwtauth.Claims{
		Subject: "0192f3c4-0000-7000-8000-000000000001", SessionID: "SESSION", AuthTime: time.Now(),
		Provider: "mini_program", AppID: "wx00112233445566ff", OpenID: "oAlice",
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestTokenInspect(t *testing.T) {
	t.Chdir(t.TempDir())
	ours, jwks := issuer(t, time.Now)
	strangers, _ := issuer(t, time.Now)
	old, oldJWKS := issuer(t, func() time.Time { return time.Now().Add(-24 * time.Hour) })
	access := accessToken(t, ours)
	id, err := ours.IDToken(jwtauth.IDClaims{Subject: "fan", AuthTime: time.Now(), Nickname: "爱丽丝\x1b[2J\u202e"})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(access, ".")
	withAlg := func(alg string) string {
		header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"at+jwt"}`, alg, kidOf(t, access))
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + parts[1] + "." + parts[2]
	}
	for _, row := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"an access token with its keys", []string{access, "--jwks", jwks}, 0,
			[]string{"alg        ES256", "typ        at+jwt", "iss        https://login.example.com\n", "sid        SESSION", " (in ", "openid     oAlice", "  access token\n", "good, by a key of " + jwks}},
		{"with its scheme in front", []string{"Bearer " + access, "--jwks", jwks}, 0, []string{"good, by a key of"}},
		{"without keys", []string{access}, 0, []string{"access token", "not checked: give --jwks URL"}},
		{"an ID token", []string{id, "--jwks", jwks}, 0, []string{"ID token, for reading only, never a credential", `\x1b[2J\u202e`, "good"}},
		{"an expired token", []string{accessToken(t, old), "--jwks", oldJWKS}, 0, []string{"access token, expired", "ago)", "good"}},
		{"a stranger's token", []string{accessToken(t, strangers), "--jwks", jwks}, 1, []string{"BAD: no key of the set has this kid"}},
		{"a changed payload", []string{parts[0] + "." + strings.Split(accessToken(t, ours), ".")[1] + "." + parts[2], "--jwks", jwks}, 1, []string{"BAD: it does not fit"}},
		{"TOK-01 algorithm none", []string{withAlg("none"), "--jwks", jwks}, 1, []string{"BAD: it does not fit"}},
		{"TOK-01 algorithm HS256", []string{withAlg("HS256"), "--jwks", jwks}, 1, []string{"BAD: it does not fit"}},
		{"an unreachable key set", []string{access, "--jwks", "http://127.0.0.1:1/jwks.json"}, 1, []string{"BAD: the keys cannot be had"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := run(t, nil, append([]string{"token", "inspect"}, row.args...)...)
			if got.code != row.code {
				t.Errorf("exit code %d, want %d; stderr: %s", got.code, row.code, got.stderr)
			}
			for _, want := range row.want {
				if !strings.Contains(got.stdout, want) {
					t.Errorf("stdout lacks %q:\n%s", want, got.stdout)
				}
			}
			if strings.ContainsRune(got.stdout, 0x1b) {
				t.Error("LOG-02 a claim controls the terminal")
			}
			token := strings.TrimPrefix(row.args[0], "Bearer ")
			for _, part := range strings.Split(token, ".") {
				if strings.Contains(got.stdout+got.stderr, part) {
					t.Errorf("the output repeats a part of the token: %s", part)
				}
			}
		})
	}
}

func kidOf(t *testing.T, token string) string {
	t.Helper()
	header, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	_, kid, _ := strings.Cut(string(header), `"kid":"`)
	kid, _, _ = strings.Cut(kid, `"`)
	return kid
}

func TestTokenInspectRefusesWhatIsNoToken(t *testing.T) {
	t.Chdir(t.TempDir())
	b64 := base64.RawURLEncoding.EncodeToString
	for _, row := range []struct{ name, token, want string }{
		{"one part", "abc", "it has 1 part "},
		{"five parts, as an encrypted token has", "a.b.c.d.e", "it has 5 parts"},
		{"500 dots", strings.Repeat(".", 500), "it has 501 parts"},
		{"over 8 KiB", strings.Repeat("a", 9000), "longer than 8192 bytes"},
		{"padding", "e30=.e30.x", "its header is not base64url"},
		{"a header that is no JSON", b64([]byte("M4RK")) + ".e30.x", "its header is not a JSON object"},
		{"a payload that is null", "e30." + b64([]byte("null")) + ".x", "its payload is not a JSON object"},
		{"a payload of two objects", "e30." + b64([]byte("{}{}")) + ".x", "its payload is not a JSON object"},
		{"empty", "", "no token"},
		{"spaces", "   ", "no token"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := run(t, nil, "token", "inspect", row.token)
			if got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, row.want) || strings.Contains(got.stderr, "M4RK") {
				t.Errorf("exit code %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
			}
		})
	}
	if got := run(t, nil, "token", "inspect", "e30.e30.", "--jwks", "http://keys.example.com/"); got.code != 1 || !strings.Contains(got.stderr, "--jwks") {
		t.Errorf("a key set over plain http: exit code %d, %s", got.code, got.stderr)
	}
}

func TestTokenInspectReadsStdin(t *testing.T) {
	ours, jwks := issuer(t, time.Now)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"token", "inspect", "--jwks", jwks}, {"token", "inspect", "-", "--jwks", jwks}} {
		cmd := exec.Command(path, args...)
		cmd.Dir, cmd.Env = t.TempDir(), []string{"PATH=" + os.Getenv("PATH")}
		cmd.Stdin = strings.NewReader(accessToken(t, ours) + "\n")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "good, by a key of") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func TestTokenInspectUsesTheBridgesOwnKeys(t *testing.T) {
	wechat := startWeChat(t)
	environ := serveEnviron(t, wechat.url)
	dir := t.TempDir()
	b := startServe(t, dir, environ)
	var login loginAnswer
	code := wechat.jsCode(t, "alice", devApp(t, "mini_program").AppID)
	if status := postJSON(t, b.url+"/miniprogram/login", map[string]string{"code": code}, &login); status != http.StatusOK {
		t.Fatalf("login answered %d", status)
	}
	t.Chdir(dir)
	if got := run(t, environ, "token", "inspect", login.AccessToken); got.code != 0 || !strings.Contains(got.stdout, "good, by a key of sqlite://wxbridge.db") {
		t.Errorf("beside a running bridge: exit code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	b.stop(t)
	if got := run(t, append(environ, "WXBRIDGE_SECRET=another-"+sealingSecret), "token", "inspect", login.AccessToken); got.code != 0 || !strings.Contains(got.stdout, "not checked: ") {
		t.Errorf("with another secret: exit code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	if got := run(t, append(environ, "WXBRIDGE_DATABASE=sqlite://none.db"), "token", "inspect", login.AccessToken); got.code != 0 || !strings.Contains(got.stdout, "there is no database") {
		t.Errorf("without a database: exit code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	if _, err := os.Stat("none.db"); err == nil {
		t.Error("looking made a database")
	}
}

// FuzzTokenInspect gives the command any text: it ends with 0 or 1, and nothing the token holds controls the terminal.
func FuzzTokenInspect(f *testing.F) {
	b64 := base64.RawURLEncoding.EncodeToString
	f.Add("e30.e30.")
	f.Add(b64([]byte(`{"alg":"ES256","kid":7,"typ":null}`)) + "." + b64([]byte(`{"exp":1e400,"aud":["a"],"a\u001bb":{"c":[1]}}`)) + ".x")
	f.Add(b64([]byte(`{"typ":"at+JWT"}`)) + "." + b64([]byte(`{"exp":9223372036854775807,"iat":-9223372036854775808,"nbf":1.5}`)) + ".x")
	f.Add("Bearer  a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		if token == "-" {
			return // reads stdin
		}
		var stdout, stderr bytes.Buffer
		code := cli.Run(t.Context(), []string{"token", "inspect", "--", token}, nil, &stdout, &stderr)
		if code != 0 && code != 1 {
			t.Fatalf("exit code %d: %s", code, &stderr)
		}
		if i := bytes.IndexFunc(stdout.Bytes(), func(r rune) bool { return r != '\n' && !strconv.IsPrint(r) }); i >= 0 {
			t.Fatalf("stdout holds %q", stdout.Bytes()[i])
		}
	})
}

func TestTokenInspectKnowsTheSharedSecret(t *testing.T) {
	wechat := startWeChat(t)
	environ := append(serveEnviron(t, wechat.url), "WXBRIDGE_JWT_ALG=HS256", "WXBRIDGE_JWT_HS256_SECRET=n4Vb8Xc2Zl6Kj0Hg5Fd9Sa3Po7Iu1YtRe")
	dir := t.TempDir()
	b := startServe(t, dir, environ)
	var login loginAnswer
	code := wechat.jsCode(t, "alice", devApp(t, "mini_program").AppID)
	if status := postJSON(t, b.url+"/miniprogram/login", map[string]string{"code": code}, &login); status != http.StatusOK {
		t.Fatalf("login answered %d", status)
	}
	t.Chdir(dir)
	got := run(t, environ, "token", "inspect", login.AccessToken)
	if got.code != 0 || !strings.Contains(got.stdout, "good, by a key of") || !strings.Contains(got.stdout, "HS256") || strings.Contains(got.stdout, "n4Vb8Xc2") {
		t.Errorf("exit code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	signed := strings.LastIndex(login.AccessToken, ".") + 1
	if got := run(t, environ, "token", "inspect", login.AccessToken[:signed]+strings.Repeat("A", 43)); got.code != 1 || !strings.Contains(got.stdout, "BAD") {
		t.Errorf("another signature: exit code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
}
