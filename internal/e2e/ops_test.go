package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wxbridge/internal/cli"
)

func TestKEY03_TheJWKSHoldsPublicMembersOnly(t *testing.T) {
	p := startDev(t, nil, "WXBRIDGE_JWKS_MAX_AGE=90s")
	h := p.get(t, "/.well-known/jwks.json")
	if h.status != http.StatusOK || !strings.Contains(h.header.Get("Cache-Control"), "max-age=90") {
		t.Errorf("%v, Cache-Control %q", h, h.header.Get("Cache-Control"))
	}
	keys := decode(t, h)["keys"].([]any)
	if len(keys) != 1 {
		t.Fatalf("%d keys at first start", len(keys))
	}
	wantKeys(t, "key", keys[0].(map[string]any), []string{"kty", "crv", "x", "y", "kid", "alg", "use"})
	p2 := startDev(t, nil)
	if got := p2.get(t, "/.well-known/jwks.json").header.Get("Cache-Control"); !strings.Contains(got, "max-age=600") {
		t.Errorf("Cache-Control is %q by default", got)
	}
}

func TestREL11_HealthNeverAsksWeChat(t *testing.T) {
	p := startDev(t, nil)
	for _, path := range []string{pathAccessToken, pathJSCode, pathUserInfo, pathRefresh} {
		p.fault(t, fault{Path: path, Mode: "reset"}.always())
	}
	before := p.calls(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		h := p.get(t, path)
		if h.status != http.StatusOK || len(h.body) > 200 || bytes.Contains(h.body, []byte("go1")) {
			t.Errorf("%v: %s", h, h.body)
		}
	}
	after := p.calls(t)
	if a, b := mustJSON(t, before), mustJSON(t, after); a != b {
		t.Errorf("health called WeChat: %s → %s", a, b)
	}
}

func mustJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWX20_DomainFilesAreServedByExactName(t *testing.T) {
	dir := t.TempDir()
	files := filepath.Join(dir, "files")
	for name, text := range map[string]string{"MP_verify_aBc123.txt": "aBc123", "WW_verify_xyz.txt": "xyz\n",
		"6ynZPDvfTF.txt": "of a web-view", "notes.txt": "private", "elevenchars.txt": "private", "MP_verify_x.html": "private", ".hidden": "private", "../MP_verify_outside.txt": "private"} {
		if err := os.MkdirAll(files, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(files, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := startDev(t, nil, "WXBRIDGE_DOMAIN_FILES="+files)
	for path, want := range map[string]string{"/MP_verify_aBc123.txt": "aBc123", "/WW_verify_xyz.txt": "xyz\n", "/6ynZPDvfTF.txt": "of a web-view"} {
		h := p.get(t, path)
		if h.status != http.StatusOK || string(h.body) != want || !strings.HasPrefix(h.header.Get("Content-Type"), "text/plain") {
			t.Errorf("%v: %q, Content-Type %q", h, h.body, h.header.Get("Content-Type"))
		}
	}
	for _, path := range []string{"/notes.txt", "/elevenchars.txt", "/6YNZPDVFTF.txt", "/MP_verify_x.html", "/.hidden", "/mp_verify_aBc123.txt", "/MP_verify_ABC123.txt",
		"/MP_verify_outside.txt", "/MP_verify_../MP_verify_outside.txt", "/MP_verify_..%2fMP_verify_outside.txt",
		"/MP_verify_%2e%2e%2fMP_verify_outside.txt", "/MP_verify_.txt", "/MP_verify_", "/MP_verify_aBc123.txt/",
		"/MP_verify_aBc123.txt%00", "/x/MP_verify_aBc123.txt", "/files/MP_verify_aBc123.txt", "/MP_verify_..%5cx.txt"} {
		if h := p.get(t, path); h.status != http.StatusNotFound || bytes.Contains(h.body, []byte("private")) {
			t.Errorf("%v: %s", h, h.body)
		}
	}
}

func TestServeRefusesAnUnsafeConfiguration(t *testing.T) {
	address := freeAddress(t)
	p := &product{bridge: "http://" + address}
	p.findApps(t, p.bridge)
	good := append(p.serveEnv(address, "http://localhost:1"), "WXBRIDGE_DATABASE=sqlite://"+t.TempDir()+"/w.db")
	for name, c := range map[string]struct {
		env  []string
		says string
	}{
		"no secret":                             {without(good, "WXBRIDGE_SECRET"), "WXBRIDGE_SECRET"},
		"KEY-02 a placeholder":                  {with(good, "WXBRIDGE_SECRET=secret"), "WXBRIDGE_SECRET"},
		"KEY-02 31 bytes":                       {with(good, "WXBRIDGE_SECRET="+sealingSecret[:31]), "WXBRIDGE_SECRET"},
		"no app":                                {without(good, "WXBRIDGE_OFFICIAL", "WXBRIDGE_MINIPROGRAM", "WXBRIDGE_WEBSITE", "WXBRIDGE_WECOM"), "APP_ID"},
		"REL-18 https with a loopback upstream": {with(good, "WXBRIDGE_PUBLIC_URL=https://login.example.com"), "WXBRIDGE_WECHAT_API_URL"},
		"WEB-03 plain http in public":           {with(good, "WXBRIDGE_PUBLIC_URL=http://login.example.com"), "WXBRIDGE_PUBLIC_URL"},
		"REL-14 an unknown variable":            {with(good, "WXBRIDGE_SECRETT=x"), "WXBRIDGE_SECRETT"},
		"both audiences equal":                  {with(good, "WXBRIDGE_JWT_AUDIENCE=wxbridge"), "WXBRIDGE_JWT_AUDIENCE"},
		"a return origin with a path":           {with(good, "WXBRIDGE_RETURN_ORIGINS=https://a.example/x"), "WXBRIDGE_RETURN_ORIGINS"},
		"a public URL with a path":              {with(good, "WXBRIDGE_PUBLIC_URL="+p.bridge+"/x"), "WXBRIDGE_PUBLIC_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			var stdout, stderr logBuffer
			if code := cli.Run(ctx, []string{"serve"}, c.env, &stdout, &stderr); code == 0 || ctx.Err() != nil {
				t.Errorf("serve started; exit code %d", code)
			}
			out := stdout.String() + stderr.String()
			if !strings.Contains(out, c.says) {
				t.Errorf("nothing says %s: %s", c.says, out)
			}
			if strings.Contains(out, sealingSecret[:31]) || strings.Contains(out, p.official.Secret) {
				t.Errorf("WX-01 a secret is shown: %s", out)
			}
		})
	}
}

func with(env []string, line string) []string { return append(slices.Clip(env), line) }

func without(env []string, prefixes ...string) []string {
	var left []string
	for _, line := range env {
		keep := true
		for _, prefix := range prefixes {
			keep = keep && !strings.HasPrefix(line, prefix)
		}
		if keep {
			left = append(left, line)
		}
	}
	return left
}

func TestKEY01_FilesAreForTheirOwnerOnly(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	args := []string{"--data", data}
	p := startDev(t, args)
	p.phone("bob").login(t)
	for _, name := range []string{"wxbridge.db", "secret"} {
		info, err := os.Stat(filepath.Join(data, name))
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o, want 600", name, mode)
		}
	}
	p.end()
	if err := os.WriteFile(filepath.Join(data, "secret"), []byte(sealingSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(data, "wxbridge.db"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var stdout, stderr logBuffer
	code := cli.Run(ctx, append([]string{"dev", "--listen", "127.0.0.1:0", "--simulator-listen", "127.0.0.1:0"}, args...), nil, &stdout, &stderr)
	if code == 0 || ctx.Err() != nil {
		t.Errorf("KEY-06 a start with another secret: exit code %d", code)
	}
	if !strings.Contains(strings.ToLower(stderr.String()), "secret") {
		t.Errorf("the log does not name the secret: %s", stderr.String())
	}
	after, err := os.ReadFile(filepath.Join(data, "wxbridge.db"))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the failed start changed the database (%v)", err)
	}
}

func TestDevLeavesNothingBehind(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	before := goleak.IgnoreCurrent()
	p := startDev(t, nil)
	p.phone("bob").login(t)
	p.miniToken(t, "bob")
	p.http.CloseIdleConnections()
	if code := p.end(); code != 0 {
		t.Errorf("dev ends with %d", code)
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) != 0 {
		t.Errorf("dev left %v behind (%v)", left, err)
	}
	if _, err := p.http.Get(p.bridge + "/healthz"); err == nil {
		t.Error("the bridge still answers")
	}
	goleak.VerifyNone(t, before)
}

func TestREL10_RequestsInFlightFinish(t *testing.T) {
	t.Parallel()
	p := startDev(t, nil)
	p.fault(t, fault{Path: pathJSCode, LatencyMS: 1500})
	code := p.jsCode(t, "bob")
	before := p.calls(t)[pathJSCode]
	answered := make(chan hop, 1)
	go func() {
		h, err := p.tryAPI(http.MethodPost, miniLogin, "", `{"code":"`+code+`"}`)
		if err != nil {
			h.body = []byte(err.Error())
		}
		answered <- h
	}()
	waitFor(t, 5*time.Second, "the request to be upstream", func() bool { return p.calls(t)[pathJSCode] > before })
	if code := p.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if h := <-answered; h.status != http.StatusOK {
		t.Errorf("the request in flight got %v: %s", h, h.body)
	}
}
