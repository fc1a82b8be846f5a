// Command h5 serves a page behind wxbridge and the API that the page calls.
//
//	WXBRIDGE_RETURN_ORIGINS=http://127.0.0.1:8081 go run . dev
//	go run ./examples/h5 -bridge http://127.0.0.1:8080 -listen 127.0.0.1:8081
//
// The API checks access tokens offline, with nothing but the bridge's public keys.
package main

import (
	"embed"
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"wxbridge/jwtauth"
)

func main() {
	bridge := flag.String("bridge", "http://127.0.0.1:8080", "public URL of the bridge")
	audience := flag.String("audience", "", "audience of its access tokens (default BRIDGE/api)")
	listen := flag.String("listen", "127.0.0.1:8081", "address to listen on")
	flag.Parse()

	handler, err := newHandler(strings.TrimSuffix(*bridge, "/"), *audience)
	if err != nil {
		fmt.Fprintln(os.Stderr, "h5:", err)
		os.Exit(2)
	}
	log.Printf("open http://%s/ (the bridge needs WXBRIDGE_RETURN_ORIGINS=http://%s)", *listen, *listen)
	server := &http.Server{Addr: *listen, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// newHandler serves the page and the API of one bridge.
func newHandler(bridge, audience string) (http.Handler, error) {
	if audience == "" {
		audience = bridge + "/api"
	}
	keys, err := jwtauth.NewRemoteKeySet(bridge+"/.well-known/jwks.json", jwtauth.RemoteOptions{})
	if err != nil {
		return nil, err
	}
	// The verifier checks the signature with the algorithm of the key, and iss, aud, typ and exp.
	verifier, err := jwtauth.NewVerifier(keys, jwtauth.Config{Issuer: bridge, Audience: audience})
	if err != nil {
		return nil, err
	}
	gate := jwtauth.Gate{Verifier: verifier, CookieNames: cookieNames(bridge)}

	mux := http.NewServeMux()
	mux.Handle("GET /api/hello", gate.Handler(http.HandlerFunc(hello)))
	mux.Handle("GET /app.js", http.FileServerFS(page))
	mux.Handle("GET /style.css", http.FileServerFS(page))
	mux.HandleFunc("GET /{$}", servePage(bridge))
	return mux, nil
}

// cookieNames are those the bridge uses: with https the prefixed one, or the other if it has a cookie domain.
func cookieNames(bridge string) []string {
	if strings.HasPrefix(bridge, "https:") {
		return []string{"__Host-wxbridge_token", "wxbridge_token"}
	}
	return []string{"wxbridge_token"}
}

// hello knows who is asking. It changes nothing: an API that does checks the Origin of requests with a cookie too.
func hello(w http.ResponseWriter, r *http.Request) {
	claims, ok := jwtauth.FromContext(r.Context())
	if !ok {
		http.Error(w, "the gate is missing", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(map[string]any{
		"hello":      claims.Subject,
		"provider":   claims.Provider,
		"expires_at": claims.ExpiresAt.UTC(),
	})
}

//go:embed index.html app.js style.css
var page embed.FS

// defaultBridge begins the addresses in index.html.
const defaultBridge = `src="http://127.0.0.1:8080/`

func servePage(bridge string) http.HandlerFunc {
	source, err := page.ReadFile("index.html")
	if err != nil {
		panic(err) // it is embedded above
	}
	index := strings.ReplaceAll(string(source), defaultBridge, `src="`+html.EscapeString(bridge)+`/`)
	// The JS-SDK comes from WeChat; beside a bridge on plain http, from a simulator on this machine, which it asks too.
	weChat, simulator := "https://res.wx.qq.com", ""
	if strings.HasPrefix(bridge, "http:") {
		weChat, simulator = "http://localhost:*", " http://localhost:*"
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		// Pictures: WeChat's, and those of a simulator on this machine.
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self' "+bridge+" "+weChat+"; style-src 'self'; "+
			"connect-src 'self' "+bridge+simulator+"; "+
			"img-src 'self' data: https: http://localhost:* http://127.0.0.1:*; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		fmt.Fprint(w, index)
	}
}
