package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwk"

	"wxbridge/internal/testenv"
)

// checker is a program of docs/verify.md with a few lines around it. It judges tokens: "ok" and the person, or "refused".
// replace are pairs of what is to be exchanged in the program.
type checker func(t *testing.T, p *product, tokens []string, replace ...string) []string

// Every program of docs/verify.md, as it stands there but for the bridge's address, takes the access token and nothing else:
// not the ID token, nothing expired, of another audience or issuer, none, confused, changed or self-made.
func TestDocs_VerifySnippets(t *testing.T) {
	t.Parallel() // it mostly waits, for a token to expire
	p, tokens := tokensToJudge(t)
	var raws []string
	for _, token := range tokens {
		raws = append(raws, token.raw)
	}
	for language, check := range map[string]checker{
		"Go": checkWithGo, "Node": checkWithNode, "Python": checkWithPython, "PHP": checkWithPHP, "Java": checkWithJava, "njs": checkWithNJS,
	} {
		t.Run(language, func(t *testing.T) {
			verdicts := check(t, p, raws)
			if len(verdicts) != len(tokens) {
				t.Fatalf("%d verdicts on %d tokens: %q", len(verdicts), len(tokens), verdicts)
			}
			for i, token := range tokens {
				want := "refused"
				if token.good {
					want = "ok " + subject(token.raw)
				}
				if verdicts[i] != want {
					t.Errorf("%s: %q, want %q", token.what, verdicts[i], want)
				}
			}
			// Told that ID tokens are for it, the program still refuses them by their type.
			asID := []string{`ISSUER + '/api'`, `'wxbridge'`, `ISSUER + "/api"`, `"wxbridge"`, `ISSUER . '/api'`, `'wxbridge'`, `issuer + "/api"`, `"wxbridge"`}
			if v := check(t, p, []string{tokens[1].raw}, asID...); len(v) != 1 || v[0] != "refused" {
				t.Errorf("the ID token, by its audience: %q, want %q", v, "refused")
			}
		})
	}
}

func TestDocs_BothLanguagesShowTheSamePrograms(t *testing.T) {
	blocks := regexp.MustCompile("(?s)\n```[a-z]+\n.*?\n```\n")
	english, chinese := blocks.FindAllString(readDoc(t, "verify.md"), -1), blocks.FindAllString(readDoc(t, "verify.zh-CN.md"), -1)
	if len(english) < 7 || len(english) != len(chinese) {
		t.Fatalf("%d programs in English, %d in Chinese", len(english), len(chinese))
	}
	for i := range english {
		if english[i] != chinese[i] {
			t.Errorf("program %d differs:\n%s\n%s", i+1, english[i], chinese[i])
		}
	}
}

type judged struct {
	what, raw string
	good      bool
}

// tokensToJudge starts a bridge and makes tokens that its own key has signed, good ones and others: bridges that ran before on
// the same store, with another setting each, have left theirs.
func tokensToJudge(t *testing.T) (*product, []judged) {
	t.Helper()
	data, address, elsewhere := t.TempDir(), freeAddress(t), freeAddress(t)
	start := func(address string, env ...string) *product {
		return startDev(t, []string{"--data", data, "--listen", address}, env...)
	}
	once := func(address string, env ...string) string {
		before := start(address, env...)
		defer before.end()
		return before.phone("bob").login(t).access
	}
	expired := once(address, "WXBRIDGE_JWT_TTL=1s")
	otherAudience := once(address, "WXBRIDGE_JWT_AUDIENCE=https://other.example/api")
	otherIssuer := once(elsewhere, "WXBRIDGE_JWT_AUDIENCE=http://"+address+"/api")

	p := start(address)
	s := p.phone("bob").login(t)
	keys := p.get(t, "/.well-known/jwks.json").body
	header, body, signature := cutToken(t, s.access)
	tokens := []judged{
		{"the access token", s.access, true}, {"the ID token", s.id, false}, {"an expired token", expired, false},
		{"a token for another audience", otherAudience, false}, {"a token of another issuer", otherIssuer, false},
		{"a changed signature", alter(s.access), false}, {"a changed payload", header + "." + body[:len(body)-8] + "AAAA" + body[len(body)-4:] + "." + signature, false},
		{"an empty signature", header + "." + body + ".", false}, {"no signature", header + "." + body, false},
		{"a signature of zeros", header + "." + body + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)), false},
		{"the ID token's signature", header + "." + body + "." + s.id[strings.LastIndexByte(s.id, '.')+1:], false},
		{"nothing", "", false}, {"three letters", "a.b.c", false}, {"dots", strings.Repeat(".", 8000), false},
	}
	tokens = append(tokens, forgeries(t, s.access, keys)...)
	tokens = append(tokens, judged{"the access token again", s.access, true})
	end := numericDate(t, payload(t, expired), "exp").Add(5 * time.Second) // the leeway of jwtauth
	waitFor(t, 10*time.Second, "a token to expire", func() bool { return time.Now().After(end) })
	return p, tokens
}

func cutToken(t *testing.T, raw string) (header, body, signature string) {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("not a token: %q", raw)
	}
	return parts[0], parts[1], parts[2]
}

// forgeries are made with nothing but what everybody can know: a token and the JWKS.
func forgeries(t *testing.T, access string, jwks []byte) []judged {
	t.Helper()
	_, body, _ := cutToken(t, access)
	header := joseHeader(t, access)
	kid, _ := header["kid"].(string)
	with := func(more map[string]any) string {
		changed := map[string]any{}
		for name, value := range header {
			changed[name] = value
		}
		for name, value := range more {
			changed[name] = value
		}
		text, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text) + "." + body
	}
	var tokens []judged
	add := func(what, raw string) { tokens = append(tokens, judged{what, raw, false}) }
	for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
		add("alg "+alg+" without a signature", with(map[string]any{"alg": alg})+".")
		add("alg "+alg+" with one", with(map[string]any{"alg": alg})+"."+strings.Repeat("A", 86))
	}
	for what, secret := range publicKeyTexts(t, jwks, kid) {
		for _, alg := range []string{"HS256", "ES256"} {
			text := with(map[string]any{"alg": alg})
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(text))
			add(alg+" keyed with "+what, text+"."+base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
		}
	}
	attacker, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := jwk.Import(&attacker.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for what, more := range map[string]map[string]any{"our kid": {}, "its own key in the header": {"jwk": theirs}, "a kid of its own": {"kid": "theirs"},
		"no kid": {"kid": nil}, "a number for kid": {"kid": 0}, "a path for kid": {"kid": "../../../../dev/null"}, "__proto__ for kid": {"kid": "__proto__"}} {
		text := with(more)
		digest := sha256.Sum256([]byte(text))
		r, s, err := ecdsa.Sign(rand.Reader, attacker, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		signature := make([]byte, 64)
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
		add("signed by an attacker with "+what, text+"."+base64.RawURLEncoding.EncodeToString(signature))
	}
	return tokens
}

func publicKeyTexts(t *testing.T, jwks []byte, kid string) map[string][]byte {
	t.Helper()
	set, err := jwk.Parse(jwks)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := set.LookupKeyID(kid)
	if !ok {
		t.Fatalf("the JWKS has no key %q", kid)
	}
	var public ecdsa.PublicKey
	if err := jwk.Export(key, &public); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&public)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"the PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "the DER": der, "the JWKS": jwks, "nothing": {}}
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// writeSnippet puts the program whose first line names the file into the folder, with this bridge's address in it and
// whatever else is to be replaced.
func writeSnippet(t *testing.T, p *product, folder, name string, replace ...string) {
	t.Helper()
	doc := readDoc(t, "verify.md")
	at := regexp.MustCompile("(?m)^```[a-z]+\n[^\n]*\\b" + regexp.QuoteMeta(name) + "$").FindStringIndex(doc)
	if at == nil {
		t.Fatalf("docs/verify.md has no program %s", name)
	}
	_, program, _ := strings.Cut(doc[at[0]:], "\n")
	program, _, closed := strings.Cut(program, "\n```")
	if !closed {
		t.Fatalf("the program %s does not end", name)
	}
	replace = append([]string{"https://login.example.com", p.bridge}, replace...)
	writeFile(t, filepath.Join(folder, name), strings.NewReplacer(replace...).Replace(program)+"\n")
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// judge runs a program with the tokens as its arguments and gives the lines it prints.
func judge(t *testing.T, tokens []string, name string, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, append(args, tokens...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", filepath.Base(name), err, out, &stderr)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// need finds a program, or skips.
func need(t *testing.T, program, what string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		testenv.Missing(t, program, what)
	}
	return path
}

func checkWithNode(t *testing.T, p *product, tokens []string, replace ...string) []string {
	node, folder := need(t, "node", "node"), t.TempDir()
	linkNodeModules(t, folder)
	writeSnippet(t, p, folder, "fan.mjs", replace...)
	writeFile(t, filepath.Join(folder, "main.mjs"), `import { fanOf } from './fan.mjs';
for (const token of process.argv.slice(2)) {
  try { console.log('ok', (await fanOf(token)).sub); } catch { console.log('refused'); }
}`)
	return judge(t, tokens, node, filepath.Join(folder, "main.mjs"))
}

func checkWithPython(t *testing.T, p *product, tokens []string, replace ...string) []string {
	python, folder := pythonWithJWT(t), t.TempDir()
	writeSnippet(t, p, folder, "fan.py", replace...)
	writeFile(t, filepath.Join(folder, "main.py"), `import sys, jwt
from fan import fan_of
for token in sys.argv[1:]:
    try:
        print("ok", fan_of(token)["sub"])
    except jwt.PyJWTError:
        print("refused")
`)
	return judge(t, tokens, python, filepath.Join(folder, "main.py"))
}

func checkWithPHP(t *testing.T, p *product, tokens []string, replace ...string) []string {
	php, folder := need(t, "php", "php with openssl"), t.TempDir()
	writeSnippet(t, p, folder, "fan.php", replace...)
	writeFile(t, filepath.Join(folder, "main.php"), `<?php
require __DIR__ . '/fan.php';
foreach (array_slice($argv, 1) as $token) {
    try { echo 'ok ' . fanOf($token)['sub'] . "\n"; } catch (UnexpectedValueException) { echo "refused\n"; }
}`)
	return judge(t, tokens, php, "-d", "display_errors=stderr", filepath.Join(folder, "main.php"))
}

func checkWithJava(t *testing.T, p *product, tokens []string, replace ...string) []string {
	javac, java, folder := need(t, "javac", "a JDK"), need(t, "java", "a JDK"), t.TempDir()
	classpath := []string{folder}
	for _, jar := range []string{"core", "annotations", "databind"} {
		path := "/usr/share/java/jackson-" + jar + ".jar"
		if _, err := os.Stat(path); err != nil {
			testenv.Missing(t, "java", "jackson-databind in /usr/share/java")
		}
		classpath = append(classpath, path)
	}
	path := strings.Join(classpath, string(os.PathListSeparator))
	writeSnippet(t, p, folder, "Fan.java", replace...)
	writeFile(t, filepath.Join(folder, "Main.java"), `public class Main {
  public static void main(String[] tokens) throws Exception {
    for (String token : tokens) {
      try { System.out.println("ok " + Fan.of(token).path("sub").asText()); }
      catch (java.security.GeneralSecurityException e) { System.out.println("refused"); }
    }
  }
}`)
	judge(t, nil, javac, "-Xlint:all", "-Werror", "-cp", path, "-d", folder, filepath.Join(folder, "Fan.java"), filepath.Join(folder, "Main.java"))
	return judge(t, tokens, java, "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", path, "Main")
}

// checkWithGo builds the program as a module of its own that knows jwtauth by a replace directive.
func checkWithGo(t *testing.T, p *product, tokens []string, replace ...string) []string {
	goTool, folder := need(t, "go", "the Go tool"), t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	writeSnippet(t, p, folder, "main.go", append(replace, "127.0.0.1:9000", address)...)
	for _, args := range [][]string{{"mod", "init", "service"}, {"mod", "edit", "-require", "wxbridge@v0.0.0", "-replace", "wxbridge=" + root}} {
		inFolder(t, folder, goTool, args...)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(folder, "go.sum"), string(sums))
	inFolder(t, folder, goTool, "build", "-mod=mod", "-o", "service", ".")
	serve(t, filepath.Join(folder, "service"))
	return judgeOverHTTP(t, p, "http://"+address+"/api/hello", tokens)
}

func inFolder(t *testing.T, folder, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-buildvcs=false", "GOWORK=off") // what it needs is there: this repository uses it
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
}

// serve runs a program until the test ends.
func serve(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	log := new(logBuffer)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		timer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s says:\n%s", filepath.Base(name), log.tail(20))
		}
	})
}

// judgeOverHTTP asks a service that answers 200 and the person, or 401.
func judgeOverHTTP(t *testing.T, p *product, address string, tokens []string) []string {
	t.Helper()
	waitFor(t, 20*time.Second, "the service to listen", func() bool {
		res, err := p.http.Get(address)
		if err != nil {
			return false
		}
		res.Body.Close()
		return true
	})
	var verdicts []string
	for _, token := range tokens {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("X-Fan", "somebody-else")
		res, err := p.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		switch {
		case err != nil:
			t.Fatal(err)
		case res.StatusCode == http.StatusOK:
			verdicts = append(verdicts, "ok "+strings.TrimSpace(string(body)))
		case res.StatusCode == http.StatusUnauthorized:
			verdicts = append(verdicts, "refused")
		default:
			verdicts = append(verdicts, fmt.Sprintf("%d: %.100s", res.StatusCode, body))
		}
	}
	return verdicts
}
