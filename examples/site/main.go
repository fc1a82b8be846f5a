// Command site is any site that knows nothing of logins: a proxy with one of the configurations beside it lets in only people
// who are logged in, and says who they are.
//
//	examples/try nginx one-host
//
// It believes its proxy, and so must listen where nobody else reaches it.
package main

import (
	"flag"
	"html/template"
	"log"
	"net/http"
	"net/url"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9000", "address to listen on, for the proxy alone")
	bridge := flag.String("bridge", "", "public URL of the bridge, if it is on a host of its own")
	flag.Parse()
	server := &http.Server{Addr: *listen, Handler: newHandler(*bridge), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// visitor is who the proxy says is there, and what it said beside that.
type visitor struct {
	Name    string
	ID      string
	Address string
	Header  http.Header
	Bridge  string
}

// newHandler greets whoever comes, at every address.
func newHandler(bridge string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := visitor{ID: r.Header.Get("Remote-User"), Address: r.URL.RequestURI(), Header: r.Header.Clone(), Bridge: bridge}
		if name, err := url.PathUnescape(r.Header.Get("Remote-Name")); err == nil {
			v.Name = name
		}
		for name := range v.Header { // credentials are nobody's to look at
			if name == "Cookie" || name == "Authorization" {
				v.Header.Set(name, "…")
			}
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := page.Execute(w, v); err != nil {
			log.Print(err)
		}
	})
}

var page = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>A site behind a proxy</title>
{{if .ID}}<h1>Hello {{or .Name "guest"}}</h1>
<p>You are <code id="user">{{.ID}}</code> and opened <code>{{.Address}}</code>.</p>
{{if .Bridge}}<p><a href="{{.Bridge}}/">Log out at the bridge</a></p>
{{else}}<form method="post" action="/logout"><button>Log out</button></form>
{{end}}{{else}}<h1>Hello nobody</h1><p>This request came without a proxy that asks the bridge.</p>
{{end}}<h2>What the proxy sent</h2>
<table>{{range $name, $values := .Header}}{{range $values}}<tr><td>{{$name}}<td><code>{{.}}</code>
{{end}}{{end}}</table>
`))
