package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The proxy configurations under examples/, in front of a bridge and a site, with the real proxies.
func TestProxies(t *testing.T) {
	for _, proxy := range []string{"nginx", "caddy", "traefik"} {
		for _, l := range layouts() {
			t.Run(proxy+"/"+l.name, func(t *testing.T) {
				t.Parallel()
				s := startStand(t, proxy, l)
				for _, promise := range []struct {
					name string
					test func(*testing.T, *stand)
				}{
					{"a stranger gets in by a login only, and back to the very page", strangerGetsIn},
					{"FWD-07 a script gets 401 and the login's address", scriptGets401},
					{"FWD-06 identity headers of a browser never arrive", smuggledHeaders},
					{"FWD-04 nor where the bridge's own are empty or missing", smuggledBesideEmpty},
					{"FWD-01 a bridge in trouble is never a pass", bridgeInTrouble},
					{"FWD-02 what a browser says about forwarding is overwritten", forwardedIsOverwritten},
					{"FWD-08 a host that is not listed gets no redirect", foreignHost},
					{"TOK-11 a Bearer header wins over the cookie", bearerWins},
					{"every method passes with its body, which the bridge never sees", bodiesPass},
					{"a WebSocket", webSocket},
					{"answers of the site are left alone", siteAnswers},
					{"the bridge's routes are reached, and its own question is not", bridgeRoutes},
					{"server-sent events come as they are made", eventsComeAtOnce},
					{"without cookies there is no loop", withoutCookies},
					{"plain http leads to https", plainHTTP},
					{"logging out ends it", loggingOut},
					{"in a real browser", realBrowser},
					{"FWD-01 a bridge that is down is never a pass", bridgeDown},
				} {
					t.Run(promise.name, func(t *testing.T) { promise.test(t, s) })
				}
			})
		}
	}
}

const orderPage = "/orders/7?tab=open&q=%E4%BD%A0%20%26+1&back=%2Fa"

// enter opens a page of the site as somebody who has to log in first, and gives all hops.
func (s *stand) enter(t *testing.T, ph *phone, target string) trail {
	t.Helper()
	tr := ph.open(t, target)
	if tr.last().url.Path == "/login/register" {
		link, err := registerLink(tr.last())
		if err != nil {
			t.Fatal(err)
		}
		tr = append(tr, ph.open(t, link)...)
	}
	return tr
}

// person is somebody who is logged in.
func (s *stand) person(t *testing.T, name string) *phone {
	t.Helper()
	ph := s.phone(name)
	if tr := s.enter(t, ph, s.layout.site+"/"); tr.last().status != http.StatusOK || s.token(ph) == "" {
		t.Fatalf("%s is not logged in:%v", name, tr)
	}
	s.site.forget()
	s.gate.forget()
	return ph
}

// token is the access token that a phone would send to the site.
func (s *stand) token(ph *phone) string {
	u, _ := url.Parse(s.layout.site)
	for _, c := range ph.jar.Cookies(u) {
		if c.Name == s.layout.cookie {
			return c.Value
		}
	}
	return ""
}

func strangerGetsIn(t *testing.T, s *stand) {
	ph := s.phone("bob")
	first := ph.once(t, s.layout.site+orderPage)
	if first.status != http.StatusFound || !strings.HasPrefix(first.header.Get("Location"), s.layout.bridge+"/login?") {
		t.Fatalf("%v, want a redirect to the login", first)
	}
	tr := ph.open(t, s.layout.site+orderPage)
	if got := tr.last().url.Path; got != "/login/register" {
		t.Fatalf("a stranger ends at %s:%v", got, tr)
	}
	if n := len(s.site.requests()); n != 0 {
		t.Fatalf("%d requests reached the site before the login", n)
	}
	link, err := registerLink(tr.last())
	if err != nil {
		t.Fatal(err)
	}
	tr = ph.open(t, link)
	got := strings.TrimSuffix(tr.last().url.String(), "#wechat_redirect")
	if got != s.layout.site+orderPage || tr.last().status != http.StatusOK {
		t.Fatalf("the login ends at %s:%v", got, tr)
	}
	if !strings.Contains(s.authorizeHop(t, tr), authorize) {
		t.Errorf("nobody asked WeChat:%v", tr)
	}
	s.wantIdentity(t, s.token(ph), "bob")
	if got := s.site.last(t); got.URI != orderPage || "https://"+got.Host != s.layout.site {
		t.Errorf("the site was asked for %s on %s, want %s", got.URI, got.Host, orderPage)
	}
	if again := ph.open(t, s.layout.site+orderPage); len(again) != 1 || again[0].status != http.StatusOK {
		t.Errorf("the second visit is no single page:%v", again)
	}
}

func (s *stand) authorizeHop(t *testing.T, tr trail) string {
	t.Helper()
	for _, h := range tr {
		if strings.HasPrefix(h.url.String(), s.simulator) {
			return h.url.String()
		}
	}
	return ""
}

// wantIdentity wants the newest request of the site to say who holds the token.
func (s *stand) wantIdentity(t *testing.T, token, person string) {
	t.Helper()
	claims := s.access(t, token) // with a standard client, from the keys behind the same proxy
	account := s.account(t, person, "official_account")
	got := s.site.last(t)
	for name, want := range map[string]string{"Remote-User": fmt.Sprint(claims["sub"]),
		"X-Auth-Request-Provider": "official_account", "X-Auth-Request-Openid": account.OpenID} {
		if values := got.Header[name]; len(values) != 1 || values[0] != want {
			t.Errorf("the site sees %s: %q, want %q", name, values, want)
		}
	}
	if name, err := url.PathUnescape(got.Header.Get("Remote-Name")); err != nil || name == "" {
		t.Errorf("the site sees Remote-Name: %q, %v", got.Header["Remote-Name"], err)
	}
}

func scriptGets401(t *testing.T, s *stand) {
	s.site.forget()
	for what, header := range map[string]http.Header{
		"fetch":                    {"Accept": {"*/*"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}},
		"fetch that wants HTML":    {"Sec-Fetch-Mode": {"cors"}},
		"a script of no browser":   {"Accept": {"application/json"}},
		"jQuery in an old browser": {"X-Requested-With": {"XMLHttpRequest"}},
	} {
		h := s.phone("").do(t, http.MethodGet, s.layout.site+orderPage, header, "")
		s.wantRefusal(t, what, h, s.layout.site+orderPage)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		h := s.phone("").do(t, method, s.layout.site+orderPage, http.Header{"Sec-Fetch-Mode": {"navigate"}, "Origin": {s.layout.site}}, "")
		s.wantRefusal(t, method, h, s.layout.site+orderPage)
	}
	if n := len(s.site.requests()); n != 0 {
		t.Errorf("%d requests reached the site", n)
	}
}

// wantRefusal wants 401 in JSON, with a login that leads back to that address.
func (s *stand) wantRefusal(t *testing.T, what string, h hop, back string) {
	t.Helper()
	var body struct {
		Error    string `json:"error"`
		LoginURL string `json:"login_url"`
	}
	if err := json.Unmarshal(h.body, &body); err != nil || h.status != http.StatusUnauthorized || body.Error != "invalid_token" {
		t.Errorf("%s: %v %s, want 401 invalid_token in JSON", what, h, h.body)
		return
	}
	login, err := url.Parse(body.LoginURL)
	if err != nil || !strings.HasPrefix(body.LoginURL, s.layout.bridge+"/login") || login.Query().Get("return_to") != back {
		t.Errorf("%s: the login is %q, want one that leads back to %s", what, body.LoginURL, back)
	}
	if !strings.HasPrefix(h.header.Get("WWW-Authenticate"), "Bearer") || !strings.Contains(h.header.Get("Content-Type"), "application/json") {
		t.Errorf("%s: WWW-Authenticate %q, Content-Type %q", what, h.header.Get("WWW-Authenticate"), h.header.Get("Content-Type"))
	}
}

// identityNames are the headers that the site believes, and those of other login proxies.
func identityNames() []string {
	return []string{"Remote-User", "Remote-Name", "X-Auth-Request-Provider", "X-Auth-Request-Openid", "X-Auth-Request-Role", "X-Auth-Request-Departments",
		"Remote-Email", "Remote-Groups", "X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Groups",
		"X-Auth-Request-Preferred-Username", "X-Forwarded-User", "X-Remote-User"}
}

// smuggled are the identity headers in every spelling of one separator, each line twice, with the value mallory.
func smuggled(separator string) (lines []string) {
	for _, name := range identityNames() {
		for _, spelled := range []string{strings.ReplaceAll(name, "-", separator), strings.Replace(name, "-", separator, 1),
			strings.Replace(name, "-", separator, strings.Count(name, "-")-1)} {
			for _, cased := range []string{spelled, strings.ToLower(spelled), strings.ToUpper(spelled), swapCase(spelled)} {
				if line := cased + ": mallory"; !slices.Contains(lines, line) {
					lines = append(lines, line, line)
				}
			}
		}
	}
	return lines
}

func swapCase(text string) string {
	b := []byte(text)
	for i, c := range b {
		if i%2 == 0 && 'a' <= c && c <= 'z' || i%2 == 1 && 'A' <= c && c <= 'Z' {
			b[i] = c ^ 0x20
		}
	}
	return string(b)
}

// aliases are the characters of header names that CGI and its heirs turn into the underscore they turn "-" into.
const aliases = "-_.!#$%&'*+^`|~"

// raw sends a request byte by byte as given, on a connection of its own, and reads the status of the answer.
func (s *stand) raw(t *testing.T, method, uri string, lines ...string) (int, http.Header, string) {
	t.Helper()
	u, err := url.Parse(s.layout.site)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", s.address, &tls.Config{RootCAs: s.roots, ServerName: u.Hostname(), NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "Host:") }) {
		lines = append([]string{"Host: " + u.Host}, lines...)
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\n%s\r\n\r\n", method, uri, strings.Join(lines, "\r\n"))
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, uri, err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body) // a cut connection shows in what is missing
	return res.StatusCode, res.Header, string(body)
}

// cookieLine is the Cookie header of somebody: the access token, and the ID token, which has the name.
func (s *stand) cookieLine(ph *phone) string {
	idName := strings.Replace(s.layout.cookie, tokenCookie, idCookie, 1)
	return "Cookie: " + s.layout.cookie + "=" + s.token(ph) + "; " + idName + "=" + s.idToken(ph)
}

func smuggledHeaders(t *testing.T, s *stand) {
	ph := s.person(t, "alice")
	for _, separator := range strings.Split(aliases, "") {
		s.site.forget()
		lines := smuggled(separator)
		if status, _, _ := s.raw(t, "GET", "/", lines...); status != http.StatusUnauthorized {
			t.Errorf("%q: a stranger gets %d", separator, status)
		}
		if n := len(s.site.requests()); n != 0 {
			t.Fatalf("%q: a stranger reached the site", separator)
		}
		if status, _, _ := s.raw(t, "GET", "/", append(lines, s.cookieLine(ph))...); status != http.StatusOK {
			t.Errorf("%q: somebody logged in gets %d", separator, status)
			continue
		}
		s.wantNoMallory(t, separator)
		s.wantIdentity(t, s.token(ph), "alice")
	}
	for _, connection := range []string{"Remote-User", "close, Remote-User, Remote-Name", "X-Auth-Request-Openid",
		"X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Forwarded-Uri", "keep-alive, remote_user"} {
		s.site.forget()
		status, _, _ := s.raw(t, "GET", "/", append(smuggled("-"), "Connection: "+connection, s.cookieLine(ph))...)
		if status != http.StatusOK {
			t.Errorf("Connection: %s: %d", connection, status)
			continue
		}
		s.wantNoMallory(t, "Connection: "+connection)
		s.wantIdentity(t, s.token(ph), "alice")
		s.wantForwarded(t, s.site.last(t), "Connection: "+connection)
	}
}

// wantNoMallory wants the newest request of the site to carry nothing that was smuggled, nor two headers that a site
// cannot tell apart.
func (s *stand) wantNoMallory(t *testing.T, what string) {
	t.Helper()
	variables := map[string]string{}
	for name, values := range s.site.last(t).Header {
		if strings.Contains(strings.Join(values, " "), "mallory") {
			t.Errorf("%s: the site sees %s: %q", what, name, values)
		}
		if other, twice := variables[variable(name)]; twice {
			t.Errorf("%s: the site sees both %s and %s", what, name, other)
		}
		variables[variable(name)] = name
	}
}

func smuggledBesideEmpty(t *testing.T, s *stand) {
	ph := s.person(t, "alice")
	// A guest of the mini program has no name and no role.
	guest := s.miniToken(t, "guest-of-"+s.proxy)
	s.site.forget()
	if status, _, _ := s.raw(t, "GET", "/", append(smuggled("-"), "Authorization: Bearer "+guest)...); status != http.StatusOK {
		t.Fatalf("a guest gets %d", status)
	}
	s.wantNoMallory(t, "a guest")
	for name, want := range map[string]string{"Remote-User": subject(guest), "Remote-Name": "", "X-Auth-Request-Role": "", "X-Auth-Request-Departments": ""} {
		if got := s.site.last(t).Header.Get(name); got != want {
			t.Errorf("the site sees %s %q of a guest, want %q", name, got, want)
		}
	}
	s.gate.changes(func(h http.Header) {
		for _, name := range identityNames() {
			h.Del(name)
		}
	}, func() {
		for _, separator := range []string{"-", "_", "."} {
			s.site.forget()
			s.raw(t, "GET", "/", append(smuggled(separator), s.cookieLine(ph))...)
			for _, e := range s.site.requests() {
				if got := e.Header.Get("Remote-User"); got != "" {
					t.Errorf("without an answer of the bridge the site sees Remote-User %q", got)
				}
				s.wantNoMallory(t, "a bridge that says nothing")
			}
		}
	})
}

func bridgeInTrouble(t *testing.T, s *stand) {
	ph := s.person(t, "alice")
	never := make(chan struct{})
	defer close(never)
	troubles := map[string]http.HandlerFunc{
		"500":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"503":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "busy", http.StatusServiceUnavailable) },
		"404":  func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		"300":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMultipleChoices) },
		"403":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"slow": func(_ http.ResponseWriter, r *http.Request) { waitEither(r.Context().Done(), never) },
		"a cut answer": func(w http.ResponseWriter, _ *http.Request) {
			speak(w, "HTTP/1.1 200 OK\r\nRemote-User: mall")
		},
		"no HTTP": func(w http.ResponseWriter, _ *http.Request) { speak(w, "200 OK, come in\r\n\r\n") },
		"a reset": func(w http.ResponseWriter, _ *http.Request) { speak(w, "") },
		"an early 1xx": func(w http.ResponseWriter, _ *http.Request) {
			speak(w, "HTTP/1.1 103 Early Hints\r\nRemote-User: m\r\n\r\n")
		},
		"a status of 99": func(w http.ResponseWriter, _ *http.Request) {
			speak(w, "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n")
		},
	}
	for what, trouble := range troubles {
		s.gate.breaks(trouble, func() { s.wantNoPass(t, ph, what) })
	}
	if h := ph.once(t, s.layout.site+"/"); h.status != http.StatusOK {
		t.Errorf("the bridge is well again, and still %v", h)
	}
}

// bridgeDown comes last: nobody starts it again.
func bridgeDown(t *testing.T, s *stand) {
	ph := s.person(t, "alice")
	s.gate.server.Close()
	s.wantNoPass(t, ph, "down")
}

// wantNoPass wants neither somebody logged in nor a stranger to reach the site.
func (s *stand) wantNoPass(t *testing.T, ph *phone, what string) {
	t.Helper()
	s.site.forget()
	var visits sync.WaitGroup
	for _, who := range []*phone{ph, s.phone("")} {
		impatient, client, visitor := *who.product, *who.product.http, *who
		client.Timeout = 6 * time.Second // longer than nginx and Caddy are told to wait
		impatient.http, visitor.product = &client, &impatient
		visits.Go(func() {
			if h, err := visitor.send(http.MethodGet, s.layout.site+"/", nil, nil); err == nil && h.status < 300 {
				t.Errorf("FWD-01 %s: %v", what, h)
			}
		})
	}
	visits.Wait()
	if n := len(s.site.requests()); n != 0 {
		t.Errorf("FWD-01 %s: %d requests reached the site", what, n)
	}
}

func waitEither(a, b <-chan struct{}) {
	select {
	case <-a:
	case <-b:
	}
}

// speak takes the connection over, says that and closes it.
func speak(w http.ResponseWriter, text string) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	io.WriteString(conn, text)
	conn.Close()
}

func forwardedIsOverwritten(t *testing.T, s *stand) {
	ph := s.person(t, "alice")
	claims := []string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http",
		"X-Forwarded-Uri: /mallory", "X-Forwarded-Method: OPTIONS", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /mallory",
		"Forwarded: for=203.0.113.9;host=evil.example", "X-Real-Ip: 203.0.113.9", "X-Request-Id: mallory-1234"}
	if status, _, _ := s.raw(t, "GET", orderPage, append(claims, s.cookieLine(ph))...); status != http.StatusOK {
		t.Fatalf("%d", status)
	}
	s.wantForwarded(t, s.site.last(t), "to the site")
	s.gate.forget()
	status, header, _ := s.raw(t, "GET", orderPage, append(claims, "Accept: text/html")...)
	want := s.layout.bridge + "/login?return_to=" + url.QueryEscape(s.layout.site+orderPage)
	if status != http.StatusFound || header.Get("Location") != want {
		t.Errorf("FWD-08 %d %s, want 302 %s", status, header.Get("Location"), want)
	}
	asked := s.gate.questions()
	if len(asked) == 0 {
		t.Fatal("the bridge was not asked")
	}
	for _, q := range asked {
		s.wantForwarded(t, q, "to the bridge")
		if got := q.Header["X-Forwarded-Uri"]; len(got) != 1 || got[0] != orderPage {
			t.Errorf("the bridge is told X-Forwarded-Uri %q", got)
		}
		if got := q.Header["X-Forwarded-Method"]; len(got) > 1 || len(got) == 1 && got[0] != "GET" {
			t.Errorf("the bridge is told X-Forwarded-Method %q", got)
		}
	}
	s.gate.forget()
	s.raw(t, "GET", "/login/register", append(claims, "Host: "+strings.TrimPrefix(s.layout.bridge, "https://"))...)
	for _, e := range s.gate.asked("/login/register") {
		if got := e.Header["X-Forwarded-For"]; len(got) != 1 || got[0] != "127.0.0.1" {
			t.Errorf("SRV-03 the bridge's own routes are told X-Forwarded-For %q", got)
		}
		if got := e.Header.Get("X-Request-Id"); strings.Contains(got, "mallory") {
			t.Errorf("the bridge's own routes are told X-Request-Id %q", got)
		}
		if got := e.Header.Get("X-Forwarded-Host"); "https://"+got != s.layout.bridge {
			t.Errorf("the bridge's own routes are told X-Forwarded-Host %q", got)
		}
	}
	if len(s.gate.asked("/login/register")) != 1 {
		t.Error("the bridge's own route was not reached")
	}
	login := s.layout.bridge + "/login?return_to=" + url.QueryEscape(s.layout.site+"/")
	for _, uri := range []string{"//evil.example/x", "/a/../../b", "/%2e%2e/x", "/a;b=c", "/a%5Cb", "/x?y=//evil.example",
		"/%0d%0aSet-Cookie:x=y"} {
		status, header, _ := s.raw(t, "GET", uri, "Accept: text/html")
		if to := header.Get("Location"); status < 300 || to != "" && !strings.HasPrefix(to, login) {
			t.Errorf("RET-02 %s: %d %s", uri, status, to)
		}
	}
}

// wantForwarded wants what a proxy says about the browser to be the truth.
func (s *stand) wantForwarded(t *testing.T, e echoed, what string) {
	t.Helper()
	host := strings.TrimPrefix(s.layout.site, "https://")
	for name, want := range map[string]string{"X-Forwarded-Host": host, "X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1"} {
		if got := e.Header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %s is %q, want %q", what, name, got, want)
		}
	}
	for name, refused := range map[string]string{"Forwarded": "for=", "X-Real-Ip": "203.", "X-Forwarded-Uri": "mallory",
		"X-Forwarded-Method": "OPTIONS", "X-Forwarded-Prefix": "mallory", "X-Request-Id": "mallory"} {
		if got := strings.Join(e.Header[name], " "); strings.Contains(got, refused) {
			t.Errorf("%s: %s is %q", what, name, got)
		}
	}
	if got := e.Header.Get("X-Forwarded-Port"); got == "1" {
		t.Errorf("%s: X-Forwarded-Port is %s", what, got)
	}
}

func foreignHost(t *testing.T, s *stand) {
	s.site.forget()
	for _, host := range []string{"evil.example", "www.example.com.evil.example", "127.0.0.1"} {
		status, header, body := s.raw(t, "GET", "/", "Host: "+host, "Accept: text/html")
		if strings.Contains(header.Get("Location"), host) || strings.Contains(body, "%2F%2F"+host) {
			t.Errorf("FWD-08 Host %s: %d leads to %s %s", host, status, header.Get("Location"), body)
		}
	}
	if n := len(s.site.requests()); n != 0 {
		t.Errorf("%d requests reached the site", n)
	}
}

func bearerWins(t *testing.T, s *stand) {
	ph := s.person(t, "alice")
	good := "Authorization: Bearer " + s.token(ph)
	for _, row := range []struct {
		what  string
		lines []string
		want  int
	}{
		{"a good header", []string{good}, 200},
		{"a good header in lower case", []string{strings.Replace(good, "Bearer", "bearer", 1)}, 200},
		{"a bad header beside a good cookie", []string{"Authorization: Bearer " + alter(s.token(ph)), s.cookieLine(ph)}, 401},
		{"an empty header beside a good cookie", []string{"Authorization: Bearer ", s.cookieLine(ph)}, 401},
		{"two headers", []string{good, good}, 401},
		{"a bad cookie", []string{"Cookie: " + s.layout.cookie + "=" + alter(s.token(ph))}, 401},
		{"the cookie twice", []string{s.cookieLine(ph) + "; " + s.layout.cookie + "=x"}, 401},
		{"the ID token", []string{"Cookie: " + s.layout.cookie + "=" + s.idToken(ph)}, 401},
		{"another scheme beside a good cookie", []string{"Authorization: Basic YTpi", s.cookieLine(ph)}, 200},
		{"a token in the query", nil, 401},
	} {
		s.site.forget()
		uri := "/"
		if row.lines == nil {
			uri = "/?access_token=" + s.token(ph)
		}
		status, header, body := s.raw(t, "GET", uri, append(row.lines, "Accept: text/html", "Sec-Fetch-Mode: cors")...)
		if status != row.want && !proxyRefusesEarly(row.what, status) {
			t.Errorf("%s: %d %v %s, want %d", row.what, status, header, body, row.want)
		}
		if reached := len(s.site.requests()) > 0; reached != (row.want == 200) {
			t.Errorf("%s: reached the site: %v", row.what, reached)
		}
	}
	s.raw(t, "GET", "/", "Authorization: Basic YTpi", s.cookieLine(ph))
	if got := s.site.last(t).Header["Authorization"]; len(got) != 1 || got[0] != "Basic YTpi" {
		t.Errorf("a password for the site arrives as %q", got)
	}
}

// proxyRefusesEarly says that a proxy may refuse what is no HTTP before the bridge can.
func proxyRefusesEarly(what string, status int) bool {
	return what == "two headers" && status == http.StatusBadRequest
}

func (s *stand) idToken(ph *phone) string {
	u, _ := url.Parse(s.layout.site)
	for _, c := range ph.jar.Cookies(u) {
		if strings.HasSuffix(c.Name, idCookie) {
			return c.Value
		}
	}
	return ""
}

func bodiesPass(t *testing.T, s *stand) {
	ph := s.person(t, "alice")
	big := strings.Repeat("0123456789abcdef", 40<<10/16)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		h := ph.do(t, method, s.layout.site+"/orders", http.Header{"Content-Type": {"text/plain"}, "Accept": {"application/json"}}, big)
		if got := s.site.last(t); h.status != http.StatusOK || got.Method != method || got.Body != big {
			t.Errorf("%v; the site got %s and %d of %d bytes", h, got.Method, len(got.Body), len(big))
		}
	}
	status, _, _ := s.raw(t, "POST", "/chunked", "Transfer-Encoding: chunked", s.cookieLine(ph)+"\r\n\r\n5\r\nhello\r\n0")
	if got := s.site.last(t); status != http.StatusOK || got.Body != "hello" {
		t.Errorf("in chunks: %d; the site got %q", status, got.Body)
	}
	s.site.forget()
	h := s.phone("").do(t, http.MethodPost, s.layout.site+"/orders", http.Header{"Content-Type": {"text/plain"}}, big)
	if h.status != http.StatusUnauthorized || len(s.site.requests()) > 0 {
		t.Errorf("a stranger's POST: %v", h)
	}
	for _, q := range s.gate.questions() {
		if q.Body != "" || q.Method != http.MethodGet {
			t.Errorf("the bridge was asked by %s with %d bytes", q.Method, len(q.Body))
		}
	}
}

func webSocket(t *testing.T, s *stand) {
	ph := s.person(t, "alice")
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	if status, _, _ := s.raw(t, "GET", "/socket", upgrade...); status != http.StatusUnauthorized || len(s.site.requests()) > 0 {
		t.Errorf("a stranger's WebSocket: %d", status)
	}
	upgrade[0] = "Connection: Upgrade, Remote-User"
	status, header, _ := s.raw(t, "GET", "/socket", append(append(upgrade, s.cookieLine(ph)), smuggled("-")...)...)
	if status != http.StatusSwitchingProtocols || header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("a WebSocket: %d %v", status, header)
	}
	s.wantNoMallory(t, "a WebSocket")
	s.wantIdentity(t, s.token(ph), "alice")
}

func siteAnswers(t *testing.T, s *stand) {
	ph := s.person(t, "alice")
	h := ph.once(t, s.layout.site+"/401")
	if h.status != http.StatusUnauthorized || !strings.Contains(string(h.body), "<pre id=echo>") {
		t.Errorf("a 401 of the site arrives as %v %.100s", h, h.body)
	}
	if h.setCookie("of_the_site") == nil {
		t.Error("a cookie of the site does not arrive")
	}
	if got := s.site.last(t).Header["Connection"]; slices.Contains(got, "upgrade") {
		t.Errorf("the site is told Connection %q for a plain request", got)
	}
	if n := len(h.header["Set-Cookie"]); n != 1 {
		t.Errorf("%d Set-Cookie, want the site's alone: %q", n, h.header["Set-Cookie"])
	}
}

func bridgeRoutes(t *testing.T, s *stand) {
	s.site.forget()
	stranger := s.phone("lin")
	tr := stranger.open(t, s.layout.bridge+"/login?return_to="+url.QueryEscape(s.layout.site+"/"))
	if tr.last().url.Path != "/login/register" {
		t.Fatalf("ends at %v", tr.last())
	}
	// The register page loads as it does without a proxy.
	assets := 0
	for _, address := range assetPattern.FindAllStringSubmatch(string(tr.last().body), -1) {
		assets++
		if h := stranger.once(t, s.layout.bridge+strings.ReplaceAll(address[1], "&amp;", "&")); h.status != http.StatusOK {
			t.Errorf("the register page needs %v", h)
		}
	}
	if assets == 0 {
		t.Error("the register page loads nothing; this test shows nothing")
	}
	for path, want := range map[string]int{"/login/cookies-off": 400, "/login/refused": 200, "/login/snapshot": 403,
		"/callback/official-account": 400, "/me": 401, "/me/export": 401, "/.well-known/jwks.json": 200, "/miniprogram/login": 405,
		"/static/icon.svg": 200, "/MP_verify_none.txt": 404, "/6ynZPDvfTF.txt": 404, "/wxbridge.js": 200, "/jssdk.js": 200, "/jssdk/config": 400,
		"/callback/website": 400} {
		if h := stranger.once(t, s.layout.bridge+path); h.status != want {
			t.Errorf("%v, want %d", h, want)
		}
	}
	if n := len(s.site.requests()); n != 0 {
		t.Errorf("%d requests reached the site", n)
	}
	for _, path := range []string{"/oauth/introspect", "/oauth/revoke", eventsPath} { // a GET without credentials gets nothing
		if stranger.once(t, s.layout.bridge+path); len(s.gate.asked(path)) != 1 {
			t.Errorf("%s is not led to the bridge", path)
		}
	}
	// From outside the question is either not there or a page of the site's, which needs a login.
	s.gate.forget()
	h := stranger.do(t, http.MethodGet, s.layout.bridge+pathVerify, http.Header{"Accept": {"application/json"}}, "")
	if h.status != http.StatusNotFound && h.status != http.StatusUnauthorized {
		t.Errorf("%v", h)
	}
	if s.layout.site != s.layout.bridge {
		if n := len(s.gate.questions()); n != 0 {
			t.Error("anybody may ask the bridge from outside")
		}
		return
	}
	ph := s.person(t, "alice")
	for _, path := range []string{"/", "/static/site.css", "/static/vendor/jquery.js", "/loginhelp", "/members", "/me2", "/api/me",
		"/healthz", "/auth/verify"} {
		if h := ph.once(t, s.layout.site+path); h.status != http.StatusOK || s.site.last(t).URI != path {
			t.Errorf("%v does not reach the site", h)
		}
	}
	if s.proxy == "nginx" {
		for _, path := range []string{"/_wxbridge/verify", "/_wxbridge/login"} {
			if h := ph.once(t, s.layout.site+path); h.status != http.StatusNotFound {
				t.Errorf("from outside: %v", h)
			}
		}
	}
}

func withoutCookies(t *testing.T, s *stand) {
	s.site.forget()
	ph := s.phone("bob")
	ph.jar = nil
	tr := ph.open(t, s.layout.site+orderPage)
	if last := tr.last(); last.url.Path != "/login/cookies-off" || len(tr) > 12 {
		t.Errorf("ends after %d hops at %v", len(tr), last)
	}
	// Two cookies of one name count as none, and a login would not mend that.
	twice := "Cookie: " + s.layout.cookie + "=a; " + s.layout.cookie + "=b"
	if status, header, _ := s.raw(t, "GET", "/", twice, "Accept: text/html", "Sec-Fetch-Mode: navigate"); status != http.StatusUnauthorized {
		t.Errorf("the cookie twice: %d %s", status, header.Get("Location"))
	}
	if n := len(s.site.requests()); n != 0 {
		t.Errorf("%d requests reached the site", n)
	}
}

func plainHTTP(t *testing.T, s *stand) {
	plain := strings.Replace(s.layout.site, "https://", "http://", 1)
	h := s.phone("").once(t, plain+"/a?b=c")
	_, port, _ := net.SplitHostPort(s.address) // the test's own, where a proxy names the one it listens on
	if h.status < 301 || h.status > 308 || strings.Replace(h.header.Get("Location"), ":"+port, "", 1) != s.layout.site+"/a?b=c" {
		t.Errorf("%v", h)
	}
}

func loggingOut(t *testing.T, s *stand) {
	ph := s.person(t, "lin-"+s.proxy)
	stolen := s.cookieLine(ph)
	if status, _, _ := s.raw(t, "GET", "/", stolen); status != http.StatusOK {
		t.Fatalf("%d before logging out", status)
	}
	h := ph.do(t, http.MethodPost, s.layout.bridge+"/logout", http.Header{"Origin": {s.layout.bridge}, "Accept": {"*/*"}}, "")
	if h.status != http.StatusNoContent {
		t.Fatalf("%v", h)
	}
	s.site.forget()
	if status, _, _ := s.raw(t, "GET", "/", stolen); status != http.StatusUnauthorized || len(s.site.requests()) > 0 {
		t.Errorf("TOK-10 a token of a session that ended: %d", status)
	}
	if h := ph.once(t, s.layout.site+"/"); h.status != http.StatusFound {
		t.Errorf("after logging out: %v", h)
	}
}

// Renewal reaches the browser through every proxy, and the site's own cookies beside it.
func TestProxies_RenewTheCookie(t *testing.T) {
	for _, proxy := range []string{"nginx", "caddy", "traefik"} {
		for _, l := range layouts() {
			t.Run(proxy+"/"+l.name, func(t *testing.T) {
				t.Parallel()
				s := startStand(t, proxy, l, "WXBRIDGE_JWT_TTL=6s")
				ph := s.person(t, "alice")
				first := s.token(ph)
				var renewed hop
				waitFor(t, 6*time.Second, "a token past half its life", func() bool {
					renewed = ph.once(t, l.site+"/")
					return renewed.setCookie(l.cookie) != nil
				})
				c := renewed.setCookie(l.cookie)
				if renewed.status != http.StatusOK || !c.HttpOnly || !c.Secure || c.Path != "/" || c.Value == first {
					t.Errorf("%v: %v", renewed, c)
				}
				if c.Domain != l.cookieDomain {
					t.Errorf("the cookie's domain is %q, want %q", c.Domain, l.cookieDomain)
				}
				if renewed.setCookie("of_the_site") == nil {
					t.Error("the site's cookie is lost beside it")
				}
				if a, b := s.access(t, first), s.access(t, c.Value); a["sid"] != b["sid"] || a["jti"] == b["jti"] {
					t.Errorf("renewed from %v to %v", a, b)
				}
				s.wantIdentity(t, c.Value, "alice")
			})
		}
	}
}

// A requirement in the proxy's question keeps out who does not meet it, without sending anybody round in circles.
func TestProxies_Require(t *testing.T) {
	for _, proxy := range []string{"nginx", "caddy", "traefik"} {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			s := startStandAsking(t, proxy, layouts()[1], "provider=mini_program")
			ph := s.phone("alice")
			if tr := s.enter(t, ph, s.layout.site+"/"); tr.last().status != http.StatusForbidden || len(tr) > 12 {
				t.Errorf("somebody of the official account ends with%v", tr)
			}
			if h := ph.once(t, s.layout.site+"/"); h.status != http.StatusForbidden {
				t.Errorf("and then %v", h)
			}
			if n := len(s.site.requests()); n != 0 {
				t.Errorf("%d requests reached the site", n)
			}
			if h := s.phone("").once(t, s.layout.site+"/"); h.status != http.StatusFound {
				t.Errorf("a stranger: %v", h)
			}
			if status, _, _ := s.raw(t, "GET", "/", "Authorization: Bearer "+s.miniToken(t, "alice")); status != http.StatusOK {
				t.Errorf("somebody of the mini program gets %d", status)
			}
		})
	}
}

// HTTP/2 has lower-case names and no Connection header; the rest is the same.
func TestProxies_OverHTTP2(t *testing.T) {
	for _, proxy := range []string{"caddy", "traefik"} { // nginx speaks it where it is told to
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			s := startStand(t, proxy, layouts()[1])
			ph := s.person(t, "alice")
			client := s.client(t, "")
			client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
			for _, separator := range []string{"-", "_", ".", "~"} {
				req, err := http.NewRequest(http.MethodGet, s.layout.site+"/", nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, line := range smuggled(separator) {
					name, value, _ := strings.Cut(line, ": ")
					req.Header[name] = []string{value, value}
				}
				_, cookies, _ := strings.Cut(s.cookieLine(ph), ": ")
				req.Header.Set("Cookie", cookies)
				res, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.ProtoMajor != 2 || res.StatusCode != http.StatusOK {
					t.Errorf("%s: %s %d", separator, res.Proto, res.StatusCode)
				}
				s.wantNoMallory(t, separator)
				s.wantIdentity(t, s.token(ph), "alice")
			}
		})
	}
}
