package e2e

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wxbridge/internal/testenv"
)

const njsModule = "/usr/lib/nginx/modules/ngx_http_js_module.so"

// checkWithNJS runs nginx with the two files of docs/verify.md in front of a service that says whom it was told of.
func checkWithNJS(t *testing.T, p *product, tokens []string, replace ...string) []string {
	nginx := need(t, "nginx", "nginx with njs")
	if _, err := os.Stat(njsModule); err != nil {
		testenv.Missing(t, "nginx", "njs, nginx's JavaScript module, in "+njsModule)
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || len(r.Header.Values("X-Fan")) != 1 {
			t.Errorf("the service is told %v", r.Header)
		}
		_, _ = io.WriteString(w, r.Header.Get("X-Fan"))
	}))
	defer app.Close()
	folder, address, keys := nginxFolder(t), freeAddress(t), freeAddress(t)
	writeSnippet(t, p, folder, "fan.js", append(replace, "127.0.0.1:8099", keys)...)
	writeSnippet(t, p, folder, "fan.conf", "127.0.0.1:8099", keys, "127.0.0.1:9000", address, "127.0.0.1:9001", app.Listener.Addr().(*net.TCPAddr).String())
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n" // its workers could not read the test's folder
	}
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += "  " + kind + "_temp_path " + kind + ";\n"
	}
	writeFile(t, filepath.Join(folder, "nginx.conf"), "load_module "+njsModule+";\n"+user+`daemon off;
master_process off;
error_log stderr;
pid nginx.pid;
events {}
http {
  access_log off;
`+temp+`  include fan.conf;
}
`)
	serve(t, nginx, "-e", "stderr", "-p", folder, "-c", filepath.Join(folder, "nginx.conf"))
	verdicts := judgeOverHTTP(t, p, "http://"+address+"/", tokens)
	for i, v := range verdicts { // nginx answers 400 to a header of its own kind of nonsense
		if strings.HasPrefix(v, "400") {
			verdicts[i] = "refused"
		}
	}
	return verdicts
}

func nginxFolder(t *testing.T) string {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return folder
}
