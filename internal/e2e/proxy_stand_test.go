package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"wxbridge/internal/testenv"
)

// stand is one of the shipped proxy configurations, in front of a bridge and of a site that echoes what reaches it. Browsers
// know it by the host names and ports of the file: https://app.example.com and so on.
type stand struct {
	*product // as browsers see it: the bridge by its public URL, and a client that finds the proxy
	proxy    string
	layout   layout
	site     *echoSite
	gate     *gate
	roots    *x509.CertPool
	address  string // of the proxy's https port
	output   *logBuffer
}

// layout is where the site and the bridge are.
type layout struct {
	name          string
	site, bridge  string // origins
	cookie        string // name of the access token's
	cookieDomain  string
	bridgeSetting []string
}

func layouts() []layout {
	return []layout{
		{name: "one-host", site: "https://www.example.com", bridge: "https://www.example.com", cookie: "__Host-wxbridge_token"},
		{name: "sub-domain", site: "https://app.example.com", bridge: "https://login.example.com", cookie: "wxbridge_token",
			cookieDomain:  "example.com",
			bridgeSetting: []string{"WXBRIDGE_COOKIE_DOMAIN=example.com", "WXBRIDGE_RETURN_ORIGINS=https://app.example.com"}},
	}
}

// startStand starts it all. The settings beside the public URL are those that the file's own comment names.
func startStand(t *testing.T, proxy string, l layout, env ...string) *stand {
	t.Helper()
	return startStandAsking(t, proxy, l, "", env...)
}

// startStandAsking is startStand with a requirement added to the proxy's question, as the README says where.
func startStandAsking(t *testing.T, proxy string, l layout, requirement string, env ...string) *stand {
	t.Helper()
	requireProxy(t, proxy)
	inner := startDev(t, nil, slices.Concat([]string{"WXBRIDGE_PUBLIC_URL=" + l.bridge, "WXBRIDGE_TRUSTED_PROXIES=127.0.0.1"},
		l.bridgeSetting, env)...)
	s := &stand{proxy: proxy, layout: l, site: newEchoSite(t), output: new(logBuffer)}
	s.gate = newGate(t, inner.bridge)
	p := proxyFiles{dir: t.TempDir(), layout: l.name, http: freeAddress(t), https: freeAddress(t),
		bridge: s.gate.address, site: s.site.address, requirement: requirement}
	s.address = p.https
	s.roots = p.writeCertificate(t)
	command := p.prepare(t, proxy)
	s.run(t, command)

	public := *inner
	public.bridge = l.bridge
	s.product = &public
	s.product.http = s.client(t, p.http)
	waitFor(t, 20*time.Second, proxy+" to answer", func() bool {
		if proxy == "caddy" { // its own authority makes the certificate
			if text, err := os.ReadFile(filepath.Join(p.dir, "data/caddy/pki/authorities/local/root.crt")); err == nil {
				s.roots.AppendCertsFromPEM(text)
			}
		}
		return s.answers(l.bridge+"/.well-known/jwks.json", http.StatusOK) && s.answers(l.site+"/", http.StatusUnauthorized)
	})
	s.site.forget()
	s.gate.forget()
	return s
}

func (s *stand) answers(address string, status int) bool {
	res, err := s.http.Get(address)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == status
}

// requireProxy skips the test where the program is absent. Traefik is in no Debian package, so only its own name demands it.
func requireProxy(t *testing.T, proxy string) {
	t.Helper()
	if _, err := exec.LookPath(proxyProgram(proxy)); err == nil {
		return
	}
	if proxy == "traefik" && !testenv.Requires(proxy) {
		t.Skip("skipped: traefik is not installed")
	}
	testenv.Missing(t, proxy, proxy)
}

// proxyProgram is the command; WXBRIDGE_TEST_TRAEFIK names one that is not in PATH.
func proxyProgram(proxy string) string {
	if path := os.Getenv("WXBRIDGE_TEST_TRAEFIK"); proxy == "traefik" && path != "" {
		return path
	}
	if proxy == "nginx" {
		if _, err := exec.LookPath("nginx"); err != nil {
			return "/usr/sbin/nginx" // not in everybody's PATH
		}
	}
	return proxy
}

// run starts the proxy in the foreground and ends it with the test.
func (s *stand) run(t *testing.T, command *exec.Cmd) {
	t.Helper()
	command.Stdout, command.Stderr = s.output, s.output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- command.Wait() }()
	t.Cleanup(func() {
		command.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			command.Process.Kill()
			<-done
		}
		if t.Failed() {
			t.Logf("end of the output of %s:\n%s", s.proxy, s.output.tail(30))
		}
	})
}

// client finds the proxy behind the names of the example, and the simulator where it is.
func (s *stand) client(t *testing.T, plain string) *http.Client {
	client := newHTTPClient(t)
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{RootCAs: s.roots}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		switch host, port, _ := net.SplitHostPort(address); {
		case !strings.HasSuffix(host, ".example.com"):
		case port == "443":
			address = s.address
		case port == "80":
			address = plain
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return client
}

// ---- The shipped files ----------------------------------------------------------------------------------------------

// proxyFiles makes a runnable copy of a configuration: what ships but for addresses, ports and certificates.
type proxyFiles struct {
	dir, layout               string
	http, https, bridge, site string // addresses
	requirement               string // such as "role=editor"
}

func (p proxyFiles) prepare(t *testing.T, proxy string) *exec.Cmd {
	t.Helper()
	switch proxy {
	case "nginx":
		return p.nginx(t)
	case "caddy":
		return p.caddy(t)
	}
	return p.traefik(t)
}

// copy writes a shipped file with every edit made; one that finds nothing to edit fails the test.
func (p proxyFiles) copy(t *testing.T, from, to, before string, edits ...string) {
	t.Helper()
	shipped, err := os.ReadFile(filepath.Join("../../examples", from))
	if err != nil {
		t.Fatal(err)
	}
	text := string(shipped)
	if p.requirement != "" && strings.Contains(text, pathVerify) {
		if strings.HasPrefix(from, "nginx/") {
			edits = append(edits, "/auth/verify;", "/auth/verify?"+p.requirement+";")
		} else {
			edits = append(edits, "?redirect=1", "?redirect=1&"+p.requirement)
		}
	}
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("%s has no %q", from, edits[i])
		}
		text = strings.ReplaceAll(text, edits[i], edits[i+1])
	}
	p.write(t, to, before+text)
}

func (p proxyFiles) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// certificateFolder is where the files of one layout expect their certificate.
func (p proxyFiles) certificateFolder() string {
	if p.layout == "one-host" {
		return "/etc/letsencrypt/live/www.example.com"
	}
	return "/etc/letsencrypt/live/example.com"
}

func (p proxyFiles) nginx(t *testing.T) *exec.Cmd {
	p.copy(t, "nginx/"+p.layout+".conf", "site.conf", "",
		"127.0.0.1:8080", p.bridge, "127.0.0.1:9000", p.site,
		"listen 443 ssl;", "listen "+p.https+" ssl;", "listen 80;", "listen "+p.http+";", p.certificateFolder(), p.dir)
	// One process, so that nothing has to belong to another user.
	p.write(t, "nginx.conf", `daemon off; master_process off; pid nginx.pid; error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    include site.conf;
}
`)
	return exec.Command(proxyProgram("nginx"), "-p", p.dir, "-c", "nginx.conf", "-e", "stderr")
}

func (p proxyFiles) caddy(t *testing.T) *exec.Cmd {
	_, plain, _ := net.SplitHostPort(p.http)
	_, secure, _ := net.SplitHostPort(p.https)
	p.copy(t, "caddy/"+p.layout+".Caddyfile", "Caddyfile",
		"{\n admin off\n default_bind 127.0.0.1\n http_port "+plain+"\n https_port "+secure+"\n local_certs\n skip_install_trust\n}\n",
		"127.0.0.1:8080", p.bridge, "127.0.0.1:9000", p.site)
	command := exec.Command(proxyProgram("caddy"), "run", "--adapter", "caddyfile", "--config", filepath.Join(p.dir, "Caddyfile"))
	command.Env = append(os.Environ(), "HOME="+p.dir, "XDG_DATA_HOME="+p.dir+"/data", "XDG_CONFIG_HOME="+p.dir+"/config")
	return command
}

func (p proxyFiles) traefik(t *testing.T) *exec.Cmd {
	p.copy(t, "traefik/"+p.layout+".yml", "wxbridge.yml", "",
		"127.0.0.1:8080", p.bridge, "127.0.0.1:9000", p.site, p.certificateFolder(), p.dir)
	p.copy(t, "traefik/traefik.yml", "traefik.yml", "global:\n  checkNewVersion: false\n",
		`":80"`, `"`+p.http+`"`, `":443"`, `"`+p.https+`"`, "/etc/traefik/", p.dir+"/")
	return exec.Command(proxyProgram("traefik"), "--configFile="+filepath.Join(p.dir, "traefik.yml"))
}

// writeCertificate makes a certificate that signs itself, in the files' names.
func (p proxyFiles) writeCertificate(t *testing.T) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example.com"},
		DNSNames: []string{"www.example.com", "app.example.com", "login.example.com"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "fullchain.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	p.write(t, "privkey.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return roots
}

// ---- The site behind the proxy --------------------------------------------------------------------------------------

// echoed is a request as the site saw it.
type echoed struct {
	Method string
	URI    string
	Host   string
	Header http.Header
	Body   string
}

func echoOf(r *http.Request, body []byte) echoed {
	return echoed{Method: r.Method, URI: r.RequestURI, Host: r.Host, Header: r.Header.Clone(), Body: string(body)}
}

// echoSite answers every request with what it saw, pages as HTML around it, and keeps all of them.
type echoSite struct {
	address string

	mu   sync.Mutex
	seen []echoed
}

func newEchoSite(t *testing.T) *echoSite {
	t.Helper()
	s := &echoSite{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.address = strings.TrimPrefix(server.URL, "http://")
	return s
}

func (s *echoSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e := echoOf(r, body)
	s.mu.Lock()
	s.seen = append(s.seen, e)
	s.mu.Unlock()
	upgrade := strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && strings.EqualFold(r.Header.Get("Connection"), "upgrade")
	if upgrade && r.ProtoAtLeast(1, 1) {
		greetBySocket(w, r)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "of_the_site", Value: "1", Path: "/"})
	text, _ := json.Marshal(e) // strings only
	if r.URL.Path == "/401" {
		w.WriteHeader(http.StatusUnauthorized)
	}
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>site</title><h1 id=page>%s</h1><pre id=echo>", r.Header.Get("Remote-User"))
		template := strings.NewReplacer("<", "&lt;", "&", "&amp;").Replace(string(text))
		io.WriteString(w, template+"</pre>")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
}

// greetBySocket accepts a WebSocket (RFC 6455 §4.2.2) and sends one text message: who is there.
func greetBySocket(w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	message := "hello " + r.Header.Get("Remote-User")
	fmt.Fprintf(buffered, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n\x81%c%s",
		base64.StdEncoding.EncodeToString(sum[:]), len(message), message)
	buffered.Flush()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	io.Copy(io.Discard, buffered) // until the other side closes
}

func (s *echoSite) requests() []echoed { s.mu.Lock(); defer s.mu.Unlock(); return slices.Clone(s.seen) }
func (s *echoSite) forget()            { s.mu.Lock(); defer s.mu.Unlock(); s.seen = nil }

// last is the newest request the site saw.
func (s *echoSite) last(t *testing.T) echoed {
	t.Helper()
	all := s.requests()
	if len(all) == 0 {
		t.Fatal("nothing reached the site")
	}
	return all[len(all)-1]
}

// ---- The way from the proxy to the bridge ---------------------------------------------------------------------------

// gate stands before the bridge: it keeps the questions of the proxy, and can break their answers.
type gate struct {
	address string
	server  *httptest.Server

	mu   sync.Mutex
	seen []echoed
	// instead answers the proxy's questions; nil leaves them to the bridge.
	instead http.HandlerFunc
	// change changes the bridge's answers to them.
	change func(http.Header)
}

const pathVerify = "/auth/verify"

func newGate(t *testing.T, bridge string) *gate {
	t.Helper()
	target, err := url.Parse(bridge)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{}
	way := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			for name, values := range r.In.Header { // as they came, X-Forwarded-* too
				if strings.Contains(strings.ToLower(name), "forwarded") {
					r.Out.Header[name] = values
				}
			}
		},
		ModifyResponse: func(res *http.Response) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.change != nil && res.Request.URL.Path == pathVerify {
				g.change(res.Header)
			}
			return nil
		},
	}
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		g.mu.Lock()
		g.seen = append(g.seen, echoOf(r, body))
		instead := g.instead
		g.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		if instead != nil && r.URL.Path == pathVerify {
			instead(w, r)
			return
		}
		way.ServeHTTP(w, r)
	}))
	t.Cleanup(g.server.Close)
	g.address = strings.TrimPrefix(g.server.URL, "http://")
	return g
}

// asked are the requests to one path of the bridge.
func (g *gate) asked(path string) []echoed {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []echoed
	for _, e := range g.seen {
		if before, _, _ := strings.Cut(e.URI, "?"); before == path {
			out = append(out, e)
		}
	}
	return out
}

func (g *gate) questions() []echoed { return g.asked(pathVerify) }
func (g *gate) forget()             { g.mu.Lock(); defer g.mu.Unlock(); g.seen = nil }

// breaks answers the proxy's questions by h while do runs.
func (g *gate) breaks(h http.HandlerFunc, do func()) {
	g.set(h, nil)
	defer g.set(nil, nil)
	do()
}

// changes lets f change the bridge's answers while do runs.
func (g *gate) changes(f func(http.Header), do func()) {
	g.set(nil, f)
	defer g.set(nil, nil)
	do()
}

func (g *gate) set(h http.HandlerFunc, f func(http.Header)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.instead, g.change = h, f
}

// variable is the name under which CGI, WSGI or PHP show a header: what two names share, they cannot tell apart.
func variable(header string) string {
	return notAlphanumeric.ReplaceAllString(strings.ToUpper(header), "_")
}

var notAlphanumeric = regexp.MustCompile(`[^A-Z0-9]`)

// assetPattern finds what a page loads.
var assetPattern = regexp.MustCompile(`(?:href|src)="(/static/[^"]*)"`)
