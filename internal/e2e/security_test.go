package e2e

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"wxbridge/internal/testenv"
)

// A real browser keeps our cookies out of another site's form, and takes the cookies of the answer all the same.
func TestWEB06_InABrowserAFormOfAnotherSiteLogsNobodyOut(t *testing.T) {
	browser := testenv.Chromium(t)
	p := startDev(t, nil)
	evil := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<form id="evil" method="post" action="%s/logout"><button id="go">go</button></form>`, p.bridge)
	})
	evil = strings.Replace(evil, "127.0.0.1", "localhost", 1) // another site than the bridge's
	tb := openTab(t, browser, p, true)
	tb.register("bob")
	tb.run("open the other site", chromedp.Navigate(evil))
	tb.tap("#go", "#home") // on the error page, and on the home page
	tb.visit("/", "#home")
	if shown := tb.text("body"); !strings.Contains(shown, "bob") && !strings.Contains(shown, "Bob") {
		t.Errorf("bob is logged out; the home page says %q", shown)
	}
}

func TestWX03_AStolenDatabaseHoldsNoSecretOfAnybody(t *testing.T) {
	rec := &recorder{values: map[string]map[string]bool{}}
	data := t.TempDir()
	p := startServe(t, rec.front, "WXBRIDGE_DATABASE=sqlite://"+filepath.Join(data, "w.db"))
	p.phone("bob").login(t) // userinfo: its refresh token is kept
	p.miniToken(t, "bob")
	p.miniToken(t, "alice") // its session key is kept
	p.end()

	var stored []byte
	files, err := filepath.Glob(filepath.Join(data, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, content...)
	}
	// Nobody was erased: else this would find nothing in a database that seals nothing.
	for openID := range rec.values["openid"] {
		if !bytes.Contains(stored, []byte(openID)) {
			t.Errorf("the identity %s is not in the database, so this shows little", openID)
		}
	}
	for _, field := range []string{"session_key", "refresh_token", "access_token"} {
		if len(rec.values[field]) == 0 {
			t.Errorf("no %s passed by, so this shows nothing", field)
		}
		for secret := range rec.values[field] {
			if bytes.Contains(stored, []byte(secret)) {
				t.Errorf("the database holds a %s as it is", field)
			}
			if raw, err := base64.StdEncoding.DecodeString(secret); err == nil && bytes.Contains(stored, raw) {
				t.Errorf("the database holds the bytes of a %s", field)
			}
		}
	}
}

// rawRequest sends a request line as it is and gives the status, or 0 if the connection closes without an answer.
func rawRequest(t *testing.T, p *product, line, header, body string) (status int, answer string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.bridge, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, line+"\r\nHost: a\r\nConnection: close\r\n"+header+"\r\n"+body); err != nil {
		return 0, ""
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			t.Errorf("%s: no answer in 10 s", line)
		}
		return 0, ""
	}
	defer res.Body.Close()
	content, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(content)
}

func TestSRV07_OddRequestTargets(t *testing.T) {
	p := startDev(t, nil)
	for line, want := range map[string]int{
		"GET * HTTP/1.1":                               404,
		"POST * HTTP/1.1":                              404,
		"GET //me HTTP/1.1":                            404,
		"GET /me/ HTTP/1.1":                            404,
		"GET /./me HTTP/1.1":                           404,
		"GET /x/../me HTTP/1.1":                        404,
		"GET /me;x=y HTTP/1.1":                         404,
		"GET /ME HTTP/1.1":                             404,
		"GET /me%00 HTTP/1.1":                          404,
		"GET /me%20 HTTP/1.1":                          404,
		"GET http://x@y/me HTTP/1.1":                   401,
		"GET ?x HTTP/1.1":                              400,
		"GET /%zz HTTP/1.1":                            400,
		"TRACE /me HTTP/1.1":                           405,
		"FOO /me HTTP/1.1":                             405,
		"HEAD /me HTTP/1.1":                            405,
		"OPTIONS /me HTTP/1.1":                         405,
		"PUT /.well-known/jwks.json HTTP/1.1":          405,
		"GET /miniprogram/login HTTP/1.1":              405,
		"GET /miniprogram/login?code=abc HTTP/1.1":     405, // WX-07
		"GET /logout HTTP/1.1":                         405, // WEB-07
		"POST /callback/official-account HTTP/1.1":     405,
		"GET /_simulator/people HTTP/1.1":              404, // REL-18
		"GET /connect/oauth2/authorize HTTP/1.1":       404, // REL-18
		"GET /sns/jscode2session HTTP/1.1":             404, // REL-18
		"GET /debug/pprof/ HTTP/1.1":                   404, // WEB-13
		"GET /metrics HTTP/1.1":                        404, // WEB-13
		"GET /static/ HTTP/1.1":                        404, // WEB-12
		"GET /static/vendor/ HTTP/1.1":                 404, // WEB-12
		"GET /static/../pages/home.html HTTP/1.1":      404, // WEB-12
		"GET /static/..%2fpages%2fhome.html HTTP/1.1":  404, // WEB-12
		"GET /static/%2e%2e/pages/home.html HTTP/1.1":  404, // WEB-12
		"GET /wxbridge.db HTTP/1.1":                    404, // WEB-12
		"GET /secret HTTP/1.1":                         404, // WEB-12
		"GET /.env HTTP/1.1":                           404, // WEB-12
		"GET /login?return_to=%2F%09%2Fevil HTTP/1.1":  400, // RET-02
		"GET /login?return_to=%2F%5Cevil HTTP/1.1":     400, // RET-02
		"GET /login?return_to=%2F%2Fevil HTTP/1.1":     400, // RET-01
		"GET /login?return_to=weixin:x HTTP/1.1":       400, // RET-03
		"GET /login?return_to=/a&return_to=/ HTTP/1.1": 400, // FLW-08
	} {
		t.Run(line, func(t *testing.T) {
			status, body := rawRequest(t, p, line, "", "")
			if status != want {
				t.Errorf("%d, want %d: %.200s", status, want, body)
			}
		})
	}
}
