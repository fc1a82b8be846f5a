package simulator_test

import (
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"wxbridge/internal/testenv"
	"wxbridge/wechat/simulator"
)

// bridge is the login server of these tests: it exchanges codes with the simulator as any backend would, and keeps what
// it was asked.
type bridge struct {
	t   *testing.T
	url string
	sim *world

	mu     sync.Mutex
	seen   []*http.Request // without their bodies
	bodies []string
	logins int
	good   string // the only token accepted
}

// newLauncher starts a bridge and a simulator that know each other.
func newLauncher(t *testing.T, program fs.FS) (*world, *bridge) {
	t.Helper()
	b := &bridge{t: t}
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	b.url = srv.URL
	b.sim = newWorld(t, func(c *simulator.Config) { c.BridgeURL, c.MiniProgram = srv.URL, program })
	return b.sim, b
}

func (b *bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen, b.bodies = append(b.seen, r), append(b.bodies, string(body))
	w.Header().Set("Content-Type", "application/json")
	switch r.Method + " " + r.URL.Path {
	case "POST /miniprogram/login":
		b.login(w, body)
	case "GET /me":
		if r.Header.Get("Authorization") != "Bearer "+b.good {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"error":"invalid_token"}`)
			return
		}
		io.WriteString(w, `{"id":"fan-of-`+b.good+`","nickname":"","avatar_url":"","registered":false,"identities":[{"provider":"mini_program"}]}`)
	case "POST /logout":
		b.good = "none"
		w.WriteHeader(http.StatusNoContent)
	case "GET /slow":
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute):
		}
	case "GET /elsewhere":
		http.Redirect(w, r, b.sim.url+"/_simulator/people", http.StatusFound)
	case "GET /big":
		w.Write(make([]byte, 5<<20))
	case "GET /text":
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<p>text</p>")
	case "GET /cookie":
		http.SetCookie(w, &http.Cookie{Name: "wxbridge_token", Value: "planted"})
		io.WriteString(w, `{}`)
	default:
		io.WriteString(w, "page of "+r.URL.RequestURI())
	}
}

// login exchanges the code and hands out a token that names the openid.
func (b *bridge) login(w http.ResponseWriter, body []byte) {
	var in struct{ Code string }
	if err := json.Unmarshal(body, &in); err != nil {
		b.t.Errorf("login body %q: %v", body, err)
	}
	session := b.sim.session(in.Code).json(b.t)
	openid, ok := session["openid"].(string)
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":"invalid_grant"}`)
		return
	}
	b.logins++
	b.good = openid
	json.NewEncoder(w).Encode(map[string]any{
		"access_token": openid, "token_type": "Bearer", "expires_in": 7200, "fan": map[string]any{"id": openid},
	})
}

func (b *bridge) lastRequest() (*http.Request, string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.seen) == 0 {
		b.t.Fatal("the bridge saw no request")
	}
	return b.seen[len(b.seen)-1], b.bodies[len(b.bodies)-1]
}

func (b *bridge) loginCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.logins
}

func (b *bridge) requests() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.seen)
}

var smallProgram = fstest.MapFS{
	"app.json":               {Data: []byte(`{"pages":["pages/one/one"]}`)},
	"app.js":                 {Data: []byte("App({});\n")},
	"config.js":              {Data: []byte("module.exports = { bridge: 'https://somewhere.example', apis: [] };")},
	"pages/one/one.wxss":     {Data: []byte(".a { width: 375rpx; margin: -1.5rpx .5rpx }")},
	"pages/one/one.wxml":     {Data: []byte("<view/>")},
	"pages/one/one.js":       {Data: []byte("Page({});")},
	"images/picture.png":     {Data: []byte("png")},
	"page.html":              {Data: []byte("<script>alert(1)</script>")},
	"project.config.json":    {Data: []byte(`{}`)},
	"utils/deep/quote'\".js": {Data: []byte("module.exports = 1; // no newline at the end")},
}

func TestLauncherPage(t *testing.T) {
	w, b := newLauncher(t, smallProgram)

	t.Run("is in the language asked for, else the browser's, else Chinese", func(t *testing.T) {
		for _, row := range []struct{ path, accept, want string }{
			{"/?lang=en", "zh-CN", "en"},
			{"/?lang=zh-CN", "en", "zh-CN"},
			{"/", "en-GB,en;q=0.9", "en"},
			{"/", "zh-TW,zh;q=0.9,en;q=0.8", "zh-CN"},
			{"/", "fr", "zh-CN"},
			{"/", "", "zh-CN"},
			{"/?lang=<svg>", ";;;", "zh-CN"},
		} {
			page := w.do("GET", row.path, "", map[string]string{"Accept-Language": row.accept})
			if !strings.Contains(page.body, `<html lang="`+row.want+`">`) {
				t.Errorf("%s with Accept-Language %q: want %s", row.path, row.accept, row.want)
			}
		}
	})

	t.Run("WEB-08 runs its own scripts only and is in no frame", func(t *testing.T) {
		page := w.get("/")
		policy := page.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "img-src 'self' data: " + w.url} {
			if !strings.Contains(policy, want) {
				t.Errorf("policy %q lacks %q", policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || page.header.Get("X-Frame-Options") != "DENY" || page.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("headers: %v", page.header)
		}
		if regexp.MustCompile(`<script>|\son\w+=|<style|\sstyle=`).MatchString(page.body) {
			t.Error("the page has an inline script, handler or style, which its policy refuses")
		}
	})

	t.Run("offers the cast and the menu of the account", func(t *testing.T) {
		page := w.get("/")
		if diff := cmp.Diff([]string{"alice", "bob", "sunny", "nora", "wei", "guest", "dai", "yuan", "lian", "ke"}, page.attributes("<button", "data-person")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{b.url + "/login"}, page.attributes(`<a id="menu-login"`, "href")); diff != "" {
			t.Error(diff)
		}
		direct, err := url.Parse(page.attributes(`<a id="menu-direct"`, "href")[0])
		if err != nil {
			t.Fatal(err)
		}
		back := w.as("bob", direct.RequestURI()).back(t)
		if back.Get("state") != "STATE" || back.Get("code") == "" || direct.Fragment != "wechat_redirect" {
			t.Errorf("the old menu's link %s leads back with %v", direct, back)
		}
	})

	t.Run("shows who holds the phone, whatever the name", func(t *testing.T) {
		for _, row := range []struct{ cookie, want string }{
			{"bob", "bob"},
			{url.PathEscape("某人 \"><svg onload=alert(1)>"), "某人 \"><svg onload=alert(1)>"},
			{url.PathEscape("\x00"), ""},
			{"", ""},
		} {
			page := w.do("GET", "/", "", map[string]string{"Cookie": "simulator_person=" + row.cookie})
			if got := page.attributes("<body", "data-person"); got[0] != row.want {
				t.Errorf("cookie %q: got %q", row.cookie, got[0])
			}
			if strings.Contains(page.body, "<svg") {
				t.Error("the name is markup in the page")
			}
		}
	})

	t.Run("is no catch-all", func(t *testing.T) {
		if got := w.get("/favicon.ico").status; got != http.StatusNotFound {
			t.Errorf("status %d", got)
		}
	})
}

func TestLauncherWithoutABridge(t *testing.T) {
	for name, bridgeURL := range map[string]string{"none": "", "no URL": "://", "another scheme": "ftp://127.0.0.1/", "a path": "/login"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *simulator.Config) { c.BridgeURL, c.MiniProgram = bridgeURL, smallProgram })
			page := w.get("/")
			if page.status != http.StatusOK || len(page.attributes("<button", "data-person")) == 0 {
				t.Errorf("status %d", page.status)
			}
			if strings.Contains(page.body, "menu-login") || strings.Contains(page.body, `id="miniprogram-view"`) {
				t.Error("the page offers what needs a bridge")
			}
			if got := w.get("/_simulator/miniprogram/").status; got != http.StatusNotFound {
				t.Errorf("program without a bridge: status %d", got)
			}
			if got := w.do("POST", "/_simulator/wx-request", `{"url":"http://127.0.0.1/"}`, nil); got.status != http.StatusForbidden {
				t.Errorf("request without a bridge: %d %s", got.status, got.body)
			}
		})
	}
}

func TestLauncherTextsAreComplete(t *testing.T) {
	raw, err := os.ReadFile("launcher/texts.json")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("launcher/launcher.html")
	if err != nil {
		t.Fatal(err)
	}
	var texts map[string]map[string]string
	if err := json.Unmarshal(raw, &texts); err != nil {
		t.Fatal(err)
	}
	used := regexp.MustCompile(`index \.T "([^"]+)"`).FindAllStringSubmatch(string(page), -1)
	if len(used) == 0 {
		t.Fatal("the page uses no text")
	}
	for _, lang := range []string{"zh-CN", "en"} {
		for _, use := range used {
			if texts[lang][use[1]] == "" {
				t.Errorf("%s lacks %q", lang, use[1])
			}
		}
		for key := range texts["en"] {
			if texts[lang][key] == "" {
				t.Errorf("%s lacks %q", lang, key)
			}
			isUsed := slices.ContainsFunc(used, func(use []string) bool { return use[1] == key })
			if !isUsed && !strings.HasPrefix(key, "about-") && !strings.HasPrefix(key, "browser-") {
				t.Errorf("%q is used nowhere", key)
			}
		}
	}
}

func TestMiniProgramFiles(t *testing.T) {
	w, b := newLauncher(t, smallProgram)

	t.Run("the list names every module and the appid", func(t *testing.T) {
		want := map[string]any{
			"appid":   w.mini.AppID,
			"scripts": []any{"app.js", "config.js", "pages/one/one.js", "utils/deep/quote'\".js"},
		}
		if diff := cmp.Diff(want, w.get("/_simulator/miniprogram/").json(t)); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("modules are wrapped, the rest is as it is", func(t *testing.T) {
		for _, row := range []struct{ path, contentType, want string }{
			{"app.js", "text/javascript; charset=utf-8", `defineMiniProgramModule("app.js",function(require,module,exports,wx,App,Page,`},
			{"app.js", "text/javascript; charset=utf-8", "{App({});\n\n});\n"},
			{"utils/deep/quote'%22.js", "text/javascript; charset=utf-8", `defineMiniProgramModule("utils/deep/quote'\".js",`},
			{"utils/deep/quote'%22.js", "text/javascript; charset=utf-8", "at the end\n});"},
			{"pages/one/one.wxss", "text/css; charset=utf-8", "#miniprogram-view {\n.a { width: calc(375 * 100cqw / 750); margin: calc(-1.5 * 100cqw / 750) calc(.5 * 100cqw / 750) }\n}"},
			{"pages/one/one.wxml", "text/plain; charset=utf-8", "<view/>"},
			{"app.json", "application/json", `{"pages":["pages/one/one"]}`},
			{"images/picture.png", "image/png", "png"},
			{"page.html", "text/plain; charset=utf-8", "<script>"},
		} {
			got := w.get("/_simulator/miniprogram/" + row.path)
			if got.status != http.StatusOK || got.header.Get("Content-Type") != row.contentType || !strings.Contains(got.body, row.want) {
				t.Errorf("%s: %d %s\n%s", row.path, got.status, got.header.Get("Content-Type"), got.body)
			}
			if got.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s may be sniffed", row.path)
			}
		}
	})

	t.Run("config.js names the bridge the simulator was started with", func(t *testing.T) {
		got := w.get("/_simulator/miniprogram/config.js").body
		if !strings.Contains(got, "apis: []") || !strings.Contains(got, `;module.exports.bridge="`+b.url+`";`) {
			t.Error(got)
		}
	})

	t.Run("WEB-12 nothing outside the program is served", func(t *testing.T) {
		for _, path := range []string{"missing.js", "pages", "pages/one", "../simulator.go", "..%2fsimulator.go", "%2e%2e/%2e%2e/go.mod", "/etc/passwd", ".", "pages//one/one.js", "a%00.js"} {
			if got := w.get("/_simulator/miniprogram/" + path); got.status == http.StatusOK {
				t.Errorf("%q: %d %s", path, got.status, got.body)
			}
		}
		for _, path := range []string{"launcher.html", "texts.json", "../launcher.go", "..%2flauncher.go", "nothing.js"} {
			if got := w.get("/_simulator/launcher/" + path); got.status == http.StatusOK {
				t.Errorf("%q: %d %s", path, got.status, got.body)
			}
		}
	})
}

func TestWXRequest(t *testing.T) {
	w, b := newLauncher(t, smallProgram)
	send := func(body any, header map[string]string) answer {
		t.Helper()
		text, ok := body.(string)
		if !ok {
			raw, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			text = string(raw)
		}
		return w.do("POST", "/_simulator/wx-request", text, header)
	}
	type fields = map[string]any

	t.Run("the bridge sees what a phone sends", func(t *testing.T) {
		got := send(fields{
			"url": b.url + "/me?a=1", "method": "POST", "data": `{"n":1}`,
			"header": fields{"Authorization": "Bearer x", "content-type": "application/json", "X-Own": "y"},
		}, nil)
		if got.status != http.StatusOK {
			t.Fatal(got.status, got.body)
		}
		r, body := b.lastRequest()
		referer := "https://servicewechat.com/" + w.mini.AppID + "/devtools/page-frame.html"
		for name, want := range map[string]string{"Authorization": "Bearer x", "Content-Type": "application/json", "X-Own": "y", "Referer": referer} {
			if r.Header.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, r.Header.Get(name), want)
			}
		}
		if r.Method != "POST" || r.URL.RequestURI() != "/me?a=1" || body != `{"n":1}` || !strings.Contains(r.UserAgent(), "wechatdevtools") {
			t.Errorf("%s %s %q %q", r.Method, r.URL, body, r.UserAgent())
		}
	})

	t.Run("no cookie goes out, none is kept, and neither Referer nor Host can be set", func(t *testing.T) {
		cookie := map[string]string{"Cookie": "wxbridge_token=of-the-browser"}
		send(fields{"url": b.url + "/cookie"}, cookie)
		send(fields{"url": b.url + "/me", "header": fields{"Cookie": "a=b", "referer": "https://evil.example", "Host": "evil.example", "Transfer-Encoding": "x"}}, cookie)
		r, _ := b.lastRequest()
		if r.Header.Get("Cookie") != "" || strings.Contains(r.Referer(), "evil") || "http://"+r.Host != b.url {
			t.Errorf("Cookie %q, Referer %q, Host %q", r.Header.Get("Cookie"), r.Referer(), r.Host)
		}
	})

	t.Run("the program gets status, header and data", func(t *testing.T) {
		got := send(fields{"url": b.url + "/me"}, nil).json(t)
		if got["statusCode"] != json.Number("401") || !cmp.Equal(got["data"], any(fields{"error": "invalid_token"})) {
			t.Errorf("%v", got)
		}
		if got["header"].(fields)["Content-Type"] != "application/json" {
			t.Errorf("%v", got["header"])
		}
		text := send(fields{"url": b.url + "/me", "dataType": "text"}, nil).json(t)
		if text["data"] != `{"error":"invalid_token"}` {
			t.Errorf("dataType text: %v", text["data"])
		}
		html := send(fields{"url": b.url + "/text"}, nil).json(t)
		if html["data"] != "<p>text</p>" {
			t.Errorf("HTML: %v", html["data"])
		}
	})

	t.Run("only the bridge is reached, by scheme, host and port", func(t *testing.T) {
		before := b.requests()
		host := strings.TrimPrefix(b.url, "http://")
		for _, address := range []string{
			"", "/me", "//" + host + "/me", "https://" + host + "/me", "ftp://" + host, w.url + "/_simulator/people", "http://127.0.0.1:1/",
			"http://localhost" + host[strings.LastIndexByte(host, ':'):] + "/me", b.url + ".evil.example/", b.url + "@evil.example/",
			"http://user:pw@" + host + "/me", "http:" + host + "/me", "http://evil.example#" + b.url, "http://evil.example\\@" + host, "http://%31%32%37.0.0.1/", "file:///etc/passwd",
			b.url + "\r\nX: y/",
		} {
			got := send(fields{"url": address}, nil)
			if got.status != http.StatusForbidden || got.json(t)["errMsg"] != "request:fail url not in domain list" {
				t.Errorf("%q: %d %s", address, got.status, got.body)
			}
		}
		if b.requests() != before {
			t.Error("the bridge was asked")
		}
	})

	t.Run("a redirect to elsewhere is not followed", func(t *testing.T) {
		got := send(fields{"url": b.url + "/elsewhere"}, nil).json(t)
		if got["statusCode"] != json.Number("302") {
			t.Errorf("%v", got)
		}
	})

	t.Run("methods are those of wx.request", func(t *testing.T) {
		for _, method := range []string{"get", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"} {
			if got := send(fields{"url": b.url + "/x", "method": method}, nil); got.status != http.StatusOK {
				t.Errorf("%s: %d %s", method, got.status, got.body)
			}
		}
		for _, method := range []string{"PATCH", "CONNECT", "GE T", "<svg>"} {
			if got := send(fields{"url": b.url + "/x", "method": method}, nil); got.status != http.StatusForbidden || got.json(t)["errMsg"] != "request:fail method is invalid" {
				t.Errorf("%s: %d %s", method, got.status, got.body)
			}
		}
	})

	t.Run("time and sizes are bounded", func(t *testing.T) {
		slow := send(fields{"url": b.url + "/slow", "timeout": 50}, nil)
		if slow.status != http.StatusBadGateway || slow.json(t)["errMsg"] != "request:fail timeout" {
			t.Errorf("slow: %d %s", slow.status, slow.body)
		}
		if big := send(fields{"url": b.url + "/big"}, nil); big.status != http.StatusBadGateway {
			t.Errorf("big answer: %d", big.status)
		}
		if big := send(fields{"url": b.url + "/x", "data": strings.Repeat("x", 2<<20)}, nil); big.status != http.StatusRequestEntityTooLarge {
			t.Errorf("big body: %d", big.status)
		}
	})

	t.Run("what is no wx.request is refused", func(t *testing.T) {
		for _, body := range []string{"", "{", "[]", `"x"`, `{"url":1}`, `{"url":"x","header":{"a":1}}`} {
			if got := send(body, nil); got.status != http.StatusBadRequest {
				t.Errorf("%q: %d %s", body, got.status, got.body)
			}
		}
		if got := send(fields{"url": b.url + "/x", "header": fields{"bad\nname": "x"}}, nil); got.status != http.StatusBadGateway {
			t.Errorf("bad header: %d %s", got.status, got.body)
		}
		if got := w.get("/_simulator/wx-request"); got.status != http.StatusMethodNotAllowed {
			t.Errorf("GET: %d", got.status)
		}
	})

	t.Run("pages of other sites cannot use it", func(t *testing.T) {
		before := b.requests()
		for _, site := range []string{"cross-site", "same-site"} {
			if got := send(fields{"url": b.url + "/me"}, map[string]string{"Sec-Fetch-Site": site}); got.status != http.StatusForbidden {
				t.Errorf("%s: %d", site, got.status)
			}
		}
		if b.requests() != before {
			t.Error("the bridge was asked")
		}
	})

	t.Run("a bridge that is gone is an error of the network", func(t *testing.T) {
		gone := httptest.NewServer(nil)
		gone.Close()
		lonely := newWorld(t, func(c *simulator.Config) { c.BridgeURL, c.MiniProgram = gone.URL, smallProgram })
		got := lonely.do("POST", "/_simulator/wx-request", `{"url":"`+gone.URL+`/me"}`, nil)
		if got.status != http.StatusBadGateway || got.json(t)["errMsg"] != "request:fail the bridge did not answer" {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// The reader of WXML is a plain module: testdata/wxml_test.mjs asks it for trees under Node.
func TestWXML(t *testing.T) {
	node := testenv.Program(t, "node")
	dir := t.TempDir()
	for from, to := range map[string]string{"launcher/wxml.js": "wxml.mjs", "testdata/wxml_test.mjs": "wxml_test.mjs"} {
		source, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), source, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), node, filepath.Join(dir, "wxml_test.mjs")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all trees as expected") {
		t.Errorf("%v\n%s", err, out)
	}
}
