package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// request is one hostile request.
type request struct {
	name, method, path string
	header             http.Header
	body               string
	want               int // 0: any 4xx of the table, or a redirect or page that grants nothing
}

// tableStatus are the statuses a caller's fault may have (design §4).
var tableStatus = map[int]bool{400: true, 401: true, 403: true, 404: true, 405: true, 413: true, 415: true, 429: true}

func TestSRV07_MalformedRequestsAreTheCallersFault(t *testing.T) {
	p := startDev(t, nil)
	bob := p.phone("bob")
	session := bob.login(t)
	requests := hostileRequests(session.access, p.miniToken(t, "bob"))
	if len(requests) < 1000 {
		t.Fatalf("only %d hostile requests", len(requests))
	}
	var group errgroup.Group
	group.SetLimit(8)
	for _, r := range requests {
		group.Go(func() error {
			if fault := tryHostile(p, r); fault != "" {
				t.Errorf("%s: %s %.120s: %s", r.name, r.method, r.path, fault)
			}
			return nil
		})
	}
	_ = group.Wait()
	if h := p.api(t, http.MethodGet, "/me", session.access, ""); h.status != http.StatusOK {
		t.Errorf("after all that, a good request: %v: %s", h, h.body)
	}
	if log := p.logged(t); strings.Contains(log, "panic") {
		t.Error("SRV-06 something panicked")
	}
}

func tryHostile(p *product, r request) (fault string) {
	header := http.Header{"Accept": {"application/json"}}
	copyHeader(header, r.header)
	begun := time.Now()
	h, err := rawSend(p, r.method, r.path, header, r.body)
	if err != nil {
		return err.Error()
	}
	switch took := time.Since(begun); {
	case took > 5*time.Second:
		return fmt.Sprintf("answered after %v", took)
	case h.status >= 500:
		return fmt.Sprintf("%d: %.200s", h.status, h.body)
	case r.want != 0 && h.status != r.want:
		return fmt.Sprintf("%d, want %d: %.200s", h.status, r.want, h.body)
	case h.status >= 400 && !tableStatus[h.status]:
		return fmt.Sprintf("%d is not in the table: %.200s", h.status, h.body)
	case h.grants():
		return "grants a token"
	case h.status >= 400:
		return checkErrorShape(h)
	}
	return ""
}

func checkErrorShape(h hop) string {
	for _, leak := range []string{"goroutine", ".go:", "runtime error", "sqlite", "sql:", "panic", "strconv", "json:", "net/url", "gin-gonic", "invalid character", "unmarshal"} {
		if bytes.Contains(h.body, []byte(leak)) {
			return fmt.Sprintf("the answer says %q: %.300s", leak, h.body)
		}
	}
	if isHTML(h) || h.method == http.MethodHead {
		return ""
	}
	var answer struct {
		Error       string
		Description string `json:"error_description"`
		RequestID   string `json:"request_id"`
	}
	if err := json.Unmarshal(h.body, &answer); err != nil || answer.Error == "" || answer.Description == "" || answer.RequestID == "" {
		return fmt.Sprintf("%d without the one shape of errors: %.200s", h.status, h.body)
	}
	return ""
}

// rawSend sends the path and query as they are, without the checks of net/url.
func rawSend(p *product, method, path string, header http.Header, body string) (hop, error) {
	u, err := url.Parse(p.bridge)
	if err != nil {
		return hop{}, err
	}
	u.Opaque = "//" + u.Host + path
	req := &http.Request{Method: method, URL: u, Header: header, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if body != "" {
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	res, err := p.http.Do(req)
	if err != nil {
		return hop{}, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return hop{method: method, url: &url.URL{Path: path}, status: res.StatusCode, header: res.Header, body: got}, err
}

func hostileRequests(token, mini string) []request {
	var all []request
	add := func(name, method, path string, header http.Header, body string, want int) {
		all = append(all, request{name, method, path, header, body, want})
	}
	webView := http.Header{"Cookie": {"simulator_browser=webview"}}
	for _, c := range []struct {
		path   string
		params []string
		header http.Header
	}{
		{path: "/login", params: []string{"return_to", "app", "scope", "prompt", "lang"}},
		{path: "/login/official-account", params: []string{"return_to", "app", "scope", "prompt"}},
		{path: callbackPath, params: []string{"code", "state", "again"}},
		{path: "/login/website", params: []string{"return_to", "app", "scope", "prompt", "lang"}}, {path: websiteCallback, params: []string{"code", "state", "again", "app"}},
		{path: "/jssdk/config", params: []string{"url", "app", "agent"}}, {path: "/wxbridge.js", params: []string{"v"}}, {path: "/jssdk.js", params: []string{"x"}},
		{path: "/login/scan", params: []string{"return_to", "app", "scope", "prompt", "lang", "new"}},
		{path: "/login/scan/confirm", params: []string{"scan", "lang", "again"}}, {path: "/login/scan/events", params: []string{"scan"}},
		{path: loginTicket, params: []string{"ticket", "return_to", "lang"}, header: webView},
		{path: "/login/register", params: []string{"lang", "x"}}, {path: "/login/refused", params: []string{"lang"}},
		{path: "/login/snapshot", params: []string{"lang"}}, {path: "/login/cookies-off", params: []string{"lang"}}, {path: "/", params: []string{"lang"}},
		{path: "/me", params: []string{"access_token"}}, {path: "/.well-known/jwks.json", params: []string{"kid"}},
		{path: "/auth/verify", params: []string{"redirect", "role", "provider"}},
	} {
		for _, param := range c.params {
			for name, value := range nastyValues() {
				add(param+" "+name, http.MethodGet, c.path+"?"+param+"="+value, c.header, "", 0)
			}
			add(param+" empty, twice", http.MethodGet, c.path+"?"+param+"=&"+param+"=", c.header, "", 0)
			add(param+" twice", http.MethodGet, c.path+"?"+param+"=a&"+param+"=b", c.header, "", wantIf(param != "role" && param != "provider" && param != "lang" && param != "x" && param != "v" && param != "access_token" && param != "kid" && param != "again", 400, 0))
			add(param+" as an array", http.MethodGet, c.path+"?"+param+"[]=a&"+param+"[0]=b", c.header, "", 0)
		}
		for name, q := range map[string]string{"bare &": "&&&&", "bare =": "=", "bad escape": "%zz=%zz", "semicolons": "a;b;c",
			"10,000 parameters": strings.Repeat("a=b&", 10_000), "a 60 KB query": strings.Repeat("a", 60_000)} {
			add(name, http.MethodGet, c.path+"?"+q, c.header, "", 0)
		}
	}
	all = append(all, hostileBodies(token, mini)...)
	all = append(all, hostileForms()...)
	all = append(all, hostilePageForms(webView)...)
	all = append(all, hostileHeaders(token)...)
	return all
}

func wantIf(yes bool, a, b int) int {
	if yes {
		return a
	}
	return b
}

// nastyValues are query values as they stand in the address.
func nastyValues() map[string]string {
	return map[string]string{
		"empty": "", "NUL": "%00", "bad escape": "%zz", "cut escape": "%a", "bad UTF-8": "%ff%fe", "overlong UTF-8": "%c0%af",
		"surrogate": "%ed%a0%80", "line ends": "%0d%0aSet-Cookie:%20a=b", "ESC": "%1b%5b31m", "U+2028": "%e2%80%a8",
		"U+202E": "%e2%80%ae", "markup": "%3Csvg%20onload%3D1%3E", "quotes": "%22%27%60", "SQL": "%27%20OR%201%3D1--",
		"path": "..%2f..%2f..%2fetc%2fpasswd", "template": "%7B%7B.%7D%7D$%7Bx%7D", "format": "%25s%25n%25x", "a minus": "-1",
		"a number": "9999999999999999999999", "Inf": "NaN", "null": "null", "2 KB": strings.Repeat("a", 2_000),
		"30 KB": strings.Repeat("a", 30_000), "30 KB escaped": strings.Repeat("%41", 10_000), "non-ASCII": "%E7%A0%81",
		"a URL": "http://127.0.0.1:1/", "plus": "a+b", "hash": "%23", "ampersand": "%26state%3Dx", "wildcard": "*", "dots": "....",
	}
}

// hostilePageForms are what pages of ours send, from our own origin.
func hostilePageForms(webView http.Header) []request {
	var all []request
	for path, fields := range map[string][]string{
		loginTicket: {"ticket", "return_to", "form_token"}, "/login/scan/confirm": {"scan", "answer", "form_token"}, "/login/scan/finish": {"scan"},
	} {
		header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"}}
		copyHeader(header, webView)
		for _, field := range fields {
			for name, value := range nastyValues() {
				all = append(all, request{field + " " + name, http.MethodPost, path, header, field + "=" + value, 0},
					request{field + " among others, " + name, http.MethodPost, path, header, "scan=x&ticket=x&answer=confirm&" + field + "=" + value, 0})
			}
			all = append(all, request{field + " twice", http.MethodPost, path, header, field + "=a&" + field + "=b", 400})
		}
	}
	return all
}

// hostileForms are for the routes of registered clients, of which this bridge has none.
func hostileForms() []request {
	var all []request
	for _, path := range []string{"/oauth/introspect", "/oauth/revoke"} {
		for name, value := range nastyValues() {
			for _, body := range []string{"token=" + value, "client_id=" + value + "&client_secret=x&token=x", "client_id=x&client_secret=" + value, value} {
				all = append(all, request{path + " " + name, http.MethodPost, path, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, body, 0})
			}
			all = append(all, request{path + " Basic " + name, http.MethodPost, path, http.Header{"Content-Type": {"application/x-www-form-urlencoded"},
				"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("x:"+value))}}, "token=x", 0})
		}
		for name, body := range map[string]string{"20,000 parameters": strings.Repeat("a=b&", 15_000), "70 KB": strings.Repeat("a", 70_000)} {
			all = append(all, request{path + " " + name, http.MethodPost, path, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, body, 0})
		}
	}
	return all
}

func hostileBodies(token, mini string) []request {
	var all []request
	bearer := func(token, contentType string) http.Header {
		h := http.Header{"Authorization": {"Bearer " + token}, "Accept": {"application/json"}}
		if contentType != "" {
			h.Set("Content-Type", contentType)
		}
		return h
	}
	const asJSON, asForm = "application/json", "application/x-www-form-urlencoded"
	for _, target := range []struct{ method, path, field, token string }{
		{http.MethodPost, miniLogin, "code", token}, {http.MethodPatch, "/me", "nickname", token},
		{http.MethodPost, miniPhone, "code", mini}, {http.MethodPost, miniProfile, "encrypted_data", mini},
	} {
		add := func(name, contentType, body string, want int) {
			all = append(all, request{target.path + " " + name, target.method, target.path, bearer(target.token, contentType), body, want})
		}
		for name, body := range map[string]string{
			"empty": "", "a blank": " ", "cut": `{"` + target.field + `":"a`, "text": "hello", "null": "null", "a number": "5", "a string": `"x"`,
			"an array": "[]", "nested array": `[{"code":"x"}]`, "field is null": `{"` + target.field + `":null}x`,
			"field is a number": `{"` + target.field + `":5}`, "field is an object": `{"` + target.field + `":{}}`,
			"field is an array": `{"` + target.field + `":["x"]}`, "field is true": `{"` + target.field + `":true}`,
			"two documents": `{}{}`, "trailing text": `{} x`, "a comma too many": `{"a":1,}`, "single quotes": `{'a':1}`,
			"bad UTF-8": "{\"" + target.field + "\":\"\xff\xfe\"}", "a NUL": "{\"" + target.field + "\":\"a\x00\"}",
			"20,000 levels": `{"` + target.field + `":` + strings.Repeat("[", 20_000), "a BOM": "\xef\xbb\xbf{}x",
			"UTF-16": "\xff\xfe{\x00}\x00", "field twice": `{"` + target.field + `":"a","` + target.field + `":"b"}`,
			"XML": "<xml><code>x</code></xml>", "NaN": `{"` + target.field + `":NaN}`,
		} {
			add(name+" as JSON", asJSON, body, 400)
		}
		add("10 MB", asJSON, `{"`+target.field+`":"`+strings.Repeat("a", 10<<20)+`"}`, 413)
		add("65 KB", asJSON, `{"`+target.field+`":"`+strings.Repeat("a", 65<<10)+`"}`, 413)
		for _, contentType := range []string{"text/plain", "application/xml", "text/html", "application/octet-stream",
			"multipart/form-data", "application/json+x", "garbage", "application/json; charset=utf-16", "application/", ";"} {
			add("as "+contentType, contentType, `{"`+target.field+`":"x"}`, 415)
		}
		add("without a content type", "", `{"`+target.field+`":"x"}`, 415)
		gz := bearer(target.token, asJSON)
		gz.Set("Content-Encoding", "gzip")
		all = append(all, request{target.path + " gzip", target.method, target.path, gz, gzipped(`{"` + target.field + `":"x"}`), 415})
		two := bearer(target.token, asJSON)
		two.Add("Content-Type", asForm)
		all = append(all, request{target.path + " two content types", target.method, target.path, two, `{}`, 0})
	}
	for name, value := range nastyValues() {
		add := func(contentType, body string, want int) {
			all = append(all, request{"code " + name + " as " + contentType, http.MethodPost, miniLogin, bearer(token, contentType), body, want})
		}
		if name != "null" && name != "Inf" && name != "2 KB" && name != "a number" && name != "a minus" && name != "30 KB escaped" && name != "30 KB" {
			add(asForm, "code="+value, 400)
		}
		if text, err := url.QueryUnescape(value); err == nil {
			encoded, _ := json.Marshal(text)
			add(asJSON, `{"code":`+string(encoded)+`}`, 400)
			all = append(all, request{"app " + name, http.MethodPost, miniLogin, bearer(token, asJSON), `{"code":"abc","app":` + string(encoded) + `}`, 0})
			all = append(all, request{"avatar " + name, http.MethodPatch, "/me", bearer(token, asJSON), `{"avatar_url":` + string(encoded) + `}`, 0})
			all = append(all, request{"nickname " + name, http.MethodPatch, "/me", bearer(token, asJSON), `{"nickname":` + string(encoded) + `}`, 0})
		}
	}
	all = append(all,
		request{"code twice in a form", http.MethodPost, miniLogin, bearer(token, asForm), "code=a&code=b", 400},
		request{"no code in a form", http.MethodPost, miniLogin, bearer(token, asForm), "x=y", 400},
		request{"a bad escape in a form", http.MethodPost, miniLogin, bearer(token, asForm), "code=%zz", 400},
		request{"a form of 1 MB", http.MethodPost, miniLogin, bearer(token, asForm), "code=a&x=" + strings.Repeat("b", 1<<20), 413},
		request{"a body of 1 MB to logout", http.MethodPost, "/logout", bearer(token, asForm), "return_to=/" + strings.Repeat("b", 1<<20), 413},
		request{"a script as avatar", http.MethodPatch, "/me", bearer(token, asJSON), `{"avatar_url":"javascript:alert(1)"}`, 400},
	)
	return all
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

func hostileHeaders(token string) []request {
	var all []request
	for _, c := range []struct{ method, path string }{
		{http.MethodGet, "/login"}, {http.MethodGet, callbackPath + "?code=a&state=b"}, {http.MethodGet, "/"}, {http.MethodGet, "/me"}, {http.MethodGet, "/auth/verify"}, {http.MethodGet, "/auth/verify?redirect=1"},
		{http.MethodGet, "/login/register"}, {http.MethodPost, "/logout"}, {http.MethodDelete, "/me"}, {http.MethodGet, "/me/export"},
	} {
		for name, header := range map[string]http.Header{
			"bad cookies":          {"Cookie": {`a=b; =; ;;; "x"; wxbridge_flow_=; wxbridge_flow_ABCDEFGH="\x"; wxbridge_token`}},
			"1,000 flow cookies":   {"Cookie": {manyCookies(1000)}},
			"a cookie of 30 KB":    {"Cookie": {tokenCookie + "=" + strings.Repeat("A", 30_000)}},
			"a 30 KB flow cookie":  {"Cookie": {flowPrefix + "ABCDEFGH=" + strings.Repeat("A", 30_000)}},
			"two Cookie headers":   {"Cookie": {tokenCookie + "=a", tokenCookie + "=b"}},
			"non-ASCII cookie":     {"Cookie": {tokenCookie + "=值"}},
			"a language of 30 KB":  {"Accept-Language": {strings.Repeat("en-US-x-a,", 3_000)}},
			"a bad language":       {"Accept-Language": {"*;q=x,,,;;;, \u2028"}},
			"lang cookie markup":   {"Cookie": {`lang=<svg/onload=1>; wxbridge_lang=%00`}},
			"a bad Accept":         {"Accept": {"text/html;q=,;;=,*/*/*", strings.Repeat("a/b,", 5_000)}},
			"X-Forwarded":          {"X-Forwarded-For": {strings.Repeat("1.2.3.4,", 3_000)}, "X-Forwarded-Host": {"a\u00e9b"}},
			"a bad Origin":         {"Origin": {"http://[::1", "%zz"}},
			"X-Http-Method":        {"X-Http-Method-Override": {"DELETE"}, "X-Original-Url": {"/me"}},
			"a user agent of 30KB": {"User-Agent": {strings.Repeat("wxwork MicroMessenger ", 1_500)}},
			"a bad Range":          {"Range": {"bytes=9999999999999999999-,0-0,-5"}},
			"If-None-Match":        {"If-None-Match": {strings.Repeat(`"x",`, 5_000)}},
			"Expect":               {"Expect": {"100-continue"}},
		} {
			all = append(all, request{c.path + " " + name, c.method, c.path, header, "", 0})
		}
	}
	for name, header := range map[string]http.Header{
		"TOK-08 1 MB of dots":    {"Authorization": {"Bearer " + strings.Repeat(".", 40_000)}},
		"no scheme":              {"Authorization": {token}},
		"control characters":     {"Authorization": {"Bearer \t\t"}},
		"TOK-11 two headers":     {"Authorization": {"Bearer " + token, "Bearer " + token}},
		"TOK-02 kid is a path":   {"Authorization": {"Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6Ii4uLy4uL2V0Yy9wYXNzd2QifQ.e30.AAAA"}},
		"TOK-02 kid is SQL":      {"Authorization": {"Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IicgT1IgMT0xLS0ifQ.e30.AAAA"}},
		"TOK-02 kid is a number": {"Authorization": {"Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6NX0.e30.AAAA"}},
	} {
		for _, path := range []string{"/me", "/me/export"} {
			all = append(all, request{name, http.MethodGet, path, header, "", 401})
		}
	}
	return all
}

func manyCookies(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%sABCD%04d=%d; ", flowPrefix, i, i)
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// What net/http's client refuses to send.
func TestSRV07_BrokenHTTP(t *testing.T) {
	p := startDev(t, nil)
	address := strings.TrimPrefix(p.bridge, "http://")
	for name, raw := range map[string]string{
		"not HTTP":                "hello\r\n\r\n",
		"TLS":                     "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"no Host":                 "GET /me HTTP/1.1\r\n\r\n",
		"two Hosts":               "GET /me HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"a bad Host":              "GET /me HTTP/1.1\r\nHost: a b\r\n\r\n",
		"HTTP/0.9":                "GET /me\r\n\r\n",
		"HTTP/3.0":                "GET /me HTTP/3.0\r\nHost: a\r\n\r\n",
		"two lengths":             "POST /miniprogram/login HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"length and chunked":      "POST /miniprogram/login HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"a negative length":       "POST /miniprogram/login HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
		"bad chunks":              "POST /miniprogram/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
		"a control in a header":   "GET /me HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
		"ESC in User-Agent":       "GET /me HTTP/1.1\r\nHost: a\r\nUser-Agent: \x1b[31m\r\n\r\n",
		"a folded header":         "GET /me HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
		"a blank before a colon":  "GET /me HTTP/1.1\r\nHost : a\r\n\r\n",
		"64 KiB of headers":       "GET /me HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: "+strings.Repeat("a", 1000)+"\r\n", 80) + "\r\n",
		"a raw blank in the path": "GET /me x HTTP/1.1\r\nHost: a\r\n\r\n",
		"raw bytes in the path":   "GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
		"raw bytes in the query":  "GET /login?return_to=\xff\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
		"an absolute address":     "GET http://evil.example/login HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"CONNECT":                 "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
		"a star":                  "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, raw); err != nil {
				return // cut off while sending: fine
			}
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				return // closed without an answer: fine
			}
			defer res.Body.Close()
			if location := res.Header.Get("Location"); res.StatusCode >= 500 && res.StatusCode != http.StatusHTTPVersionNotSupported && res.StatusCode != http.StatusNotImplemented ||
				strings.Contains(location, "evil") {
				t.Errorf("answers %s, Location %q", res.Status, location)
			}
		})
	}
	if h := p.get(t, "/healthz"); h.status != http.StatusOK {
		t.Errorf("after all that: %v", h)
	}
}

func TestSRV01_SlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	p := startDev(t, nil)
	address := strings.TrimPrefix(p.bridge, "http://")
	type drip struct {
		start string
		limit time.Duration
	}
	drips := map[string]drip{
		"headers that drip": {"GET /healthz HTTP/1.1\r\nHost: a\r\n", 12 * time.Second},
	}
	if soak() { // ReadTimeout may be 30 seconds
		drips["a body that drips"] = drip{"POST /miniprogram/login HTTP/1.1\r\nHost: a\r\n" +
			"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", 32 * time.Second}
	}
	var waiting waiters
	defer waiting.Wait()
	for name, c := range drips {
		waiting.run(t, true, name, func(t *testing.T) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, c.start); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = io.Copy(io.Discard, conn)
			}()
			begun := time.Now()
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-ended:
					return
				case <-tick.C:
					_, _ = io.WriteString(conn, "X")
					if took := time.Since(begun); took > c.limit {
						t.Fatalf("still open after %v", took)
					}
				}
			}
		})
	}
}

func TestHundredsOfIdleConnectionsLeaveRoom(t *testing.T) {
	p := startDev(t, nil)
	address := strings.TrimPrefix(p.bridge, "http://")
	for range 500 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nX-"); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	p.phone("bob").login(t)
	if took := time.Since(begun); took > within(3*time.Second) {
		t.Errorf("a login took %v", took)
	}
}
