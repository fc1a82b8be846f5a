package templates_test

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wxbridge/templates"
)

func TestStaticServesWhatPagesLinkTo(t *testing.T) {
	static := templates.Static()
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	seen := map[string]bool{}
	for name, view := range everyPage(t) {
		for _, address := range regexp.MustCompile(`"(/static/[^"]+)"`).FindAllStringSubmatch(render(t, templates.Chinese, view), -1) {
			seen[address[1]] = true
			answer := get(static, address[1])
			file, _, versioned := strings.Cut(address[1], "?v=")
			if answer.StatusCode != http.StatusOK || !versioned {
				t.Fatalf("%s links to %s: %s", name, address[1], answer.Status)
			}
			for header, want := range map[string]string{
				"Content-Type":           types[filepath.Ext(file)],
				"Cache-Control":          "public, max-age=31536000, immutable",
				"X-Content-Type-Options": "nosniff",
				"Vary":                   "Accept-Encoding",
			} {
				if got := answer.Header.Get(header); got != want {
					t.Errorf("%s: %s: %q, want %q", file, header, got, want)
				}
			}
			if !templates.IsStatic(file) {
				t.Errorf("IsStatic(%s) = false", file)
			}
			body, _ := io.ReadAll(answer.Body)
			want, err := os.ReadFile(strings.TrimPrefix(file, "/"))
			if err != nil || string(body) != string(want) {
				t.Errorf("%s: %d bytes, file has %d (%v)", file, len(body), len(want), err)
			}
		}
	}
	if len(seen) != 5 {
		t.Errorf("pages link to %v", seen)
	}
}

func TestStaticCaching(t *testing.T) {
	static := templates.Static()
	tag := get(static, "/static/wxbridge.css").Header.Get("ETag")
	for name, c := range map[string]struct {
		path, header, value string
		status              int
		cache               string
	}{
		"without a version it is revalidated":  {"/static/wxbridge.css", "", "", 200, "no-cache"},
		"with an old version too":              {"/static/wxbridge.css?v=0000000000000000", "", "", 200, "no-cache"},
		"an unchanged file is not sent again":  {"/static/wxbridge.css", "If-None-Match", tag, 304, "no-cache"},
		"a changed one is":                     {"/static/wxbridge.css", "If-None-Match", `"other"`, 200, "no-cache"},
		"compressed and plain have other tags": {"/static/wxbridge.css", "Accept-Encoding", "gzip", 200, "no-cache"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := get(static, c.path, c.header, c.value)
			if answer.StatusCode != c.status || answer.Header.Get("Cache-Control") != c.cache {
				t.Errorf("%d %q", answer.StatusCode, answer.Header.Get("Cache-Control"))
			}
			if c.header == "Accept-Encoding" && answer.Header.Get("ETag") == tag {
				t.Errorf("one ETag for both: %s", tag)
			}
		})
	}
}

func TestStaticCompresses(t *testing.T) {
	static := templates.Static()
	const css = "/static/vendor/weui/weui.min.css"
	plain, err := os.ReadFile("static/vendor/weui/weui.min.css")
	if err != nil {
		t.Fatal(err)
	}
	for accept, want := range map[string]string{
		"": "", "gzip": "gzip", "gzip, deflate, br": "gzip", "br;q=1.0, GZIP;q=0.8": "gzip", "gzip;q=0": "", "gzip; q=0.0": "", "br": "", "*": "",
	} {
		answer := get(static, css, "Accept-Encoding", accept)
		body, _ := io.ReadAll(answer.Body)
		if got := answer.Header.Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q: Content-Encoding %q, want %q", accept, got, want)
			continue
		}
		if want == "gzip" {
			if len(body) > 25_000 {
				t.Errorf("compressed to %d bytes", len(body))
			}
			reader, err := gzip.NewReader(strings.NewReader(string(body)))
			if err != nil {
				t.Fatal(err)
			}
			body, _ = io.ReadAll(reader)
		}
		if string(body) != string(plain) {
			t.Errorf("Accept-Encoding %q: %d bytes, file has %d", accept, len(body), len(plain))
		}
	}
	t.Run("a range is of the plain file", func(t *testing.T) {
		answer := get(static, css, "Accept-Encoding", "gzip", "Range", "bytes=0-3")
		body, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != http.StatusPartialContent || string(body) != string(plain[:4]) || answer.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s %q %q", answer.Status, body, answer.Header)
		}
	})
}

func TestWEB12_NothingElseIsReachable(t *testing.T) {
	static := templates.Static()
	for _, path := range []string{
		"/static", "/static/", "/static/vendor", "/static/vendor/", "/static/vendor/weui/", "/static/vendor/weui", "/static/.", "/static/..",
		"/static/./wxbridge.css", "/static//wxbridge.css", "/static/wxbridge.css/", "/static/wxbridge.css/..", "/static/../static/wxbridge.css",
		"/static/../pages/home.html", "/static/../translations/en.json", "/static/../templates.go", "/static/%2e%2e/templates.go",
		"/static/..%2ftemplates.go", "/static/..%5ctemplates.go", `/static/..\templates.go`, "/static/....//templates.go", "/static/vendor/../../views.go",
		"/static/vendor/weui/SHA256SUMS", "/static/.env", "/static/.git/config", "/static/wxbridge.db", "/static/secret", "/static//etc/passwd",
		"/static/%2fetc%2fpasswd", "/static/../../../../etc/passwd", "/static/home.js%00.css", "/static/home.js.map", "/static/HOME.JS",
		"/static/home.js~", "/static/.home.js.swp", "/static/wxbridge.css.gz", "/static/index.html", "/static/pages/home.html",
		"/static/static/home.js", "/wxbridge.css", "/", "/static.css", "/staticwxbridge.css",
	} {
		request := httptest.NewRequest(http.MethodGet, "http://bridge.example/", nil)
		request.URL.Path = path
		recorder := httptest.NewRecorder()
		static.ServeHTTP(recorder, request)
		if recorder.Code != http.StatusNotFound || templates.IsStatic(path) {
			t.Errorf("%s: %d, IsStatic = %v", path, recorder.Code, templates.IsStatic(path))
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		recorder := httptest.NewRecorder()
		static.ServeHTTP(recorder, httptest.NewRequest(method, "/static/home.js", nil))
		if recorder.Code != http.StatusMethodNotAllowed || recorder.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, recorder.Code, recorder.Header().Get("Allow"))
		}
	}
}

func TestVendoredFilesAreTheirAuthors(t *testing.T) {
	sums, err := os.Open("static/vendor/weui/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	defer sums.Close()
	listed := map[string]bool{"SHA256SUMS": true}
	for lines := bufio.NewScanner(sums); lines.Scan(); {
		sum, name, _ := strings.Cut(lines.Text(), "  ")
		content, err := os.ReadFile(filepath.Join("static/vendor/weui", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(content); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s has changed: %x", name, got)
		}
		listed[name] = true
	}
	files, err := os.ReadDir("static/vendor/weui")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !listed[file.Name()] {
			t.Errorf("%s is not in SHA256SUMS", file.Name())
		}
	}
	if len(listed) != 3 {
		t.Errorf("SHA256SUMS lists %v", listed)
	}
}

func TestFLW11_StyleSheetsLoadNothingFromOtherOrigins(t *testing.T) {
	for _, file := range []string{"static/wxbridge.css", "static/vendor/weui/weui.min.css"} {
		css, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`@import|@font-face|expression\(`).Match(css) {
			t.Errorf("%s imports or has fonts", file)
		}
		for _, m := range regexp.MustCompile(`url\(["']?([^)"']{0,40})`).FindAllSubmatch(css, -1) {
			if target := string(m[1]); !strings.HasPrefix(target, "data:image/svg+xml") && !strings.HasPrefix(target, "%23") {
				t.Errorf("%s loads %s", file, target)
			}
		}
	}
}

// get asks handler for a path, with headers given as name, value pairs.
func get(handler http.Handler, path string, headers ...string) *http.Response {
	request := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] != "" {
			request.Header.Set(headers[i], headers[i+1])
		}
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder.Result()
}
