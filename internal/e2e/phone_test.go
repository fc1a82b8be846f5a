package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// phone is a browser in somebody's hand. It walks redirects itself and keeps every hop.
type phone struct {
	product *product
	person  string         // sent to the simulator only
	consent string         // "allow", "deny", or "" for the person's habit
	jar     http.CookieJar // nil keeps no cookies
	header  http.Header    // more headers for every request to the bridge
}

func (p *product) phone(person string) *phone {
	return &phone{product: p, person: person, consent: "allow", jar: newJar(), header: http.Header{}}
}

// twin holds the same cookies and goes its own way from here.
func (ph *phone) twin() *phone {
	twin := *ph
	twin.jar = newJar()
	twin.header = ph.header.Clone()
	for _, origin := range []string{ph.product.bridge, ph.product.simulator} {
		u, _ := url.Parse(origin)
		twin.jar.SetCookies(u, ph.jar.Cookies(u))
	}
	return &twin
}

func newJar() http.CookieJar {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // documented never to happen
	}
	return jar
}

// hop is one request and its answer.
type hop struct {
	method string
	url    *url.URL
	sent   string // the Cookie header
	status int
	header http.Header
	body   []byte
}

func (h hop) String() string {
	s := fmt.Sprintf("%s %s → %d", h.method, h.url, h.status)
	if l := h.header.Get("Location"); l != "" {
		s += " " + l
	}
	return s
}

func (h hop) redirects() bool {
	return h.status >= 300 && h.status < 400 && h.header.Get("Location") != ""
}

// next is where the answer leads.
func (h hop) next() *url.URL {
	u, err := h.url.Parse(h.header.Get("Location"))
	if err != nil {
		return &url.URL{Path: "unparsable:" + h.header.Get("Location")}
	}
	return u
}

// setCookie is the cookie of that name the answer sets, nil if it sets none.
func (h hop) setCookie(name string) *http.Cookie {
	for _, c := range (&http.Response{Header: h.header}).Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// grants says whether the answer hands out an access token.
func (h hop) grants() bool {
	c := h.setCookie(tokenCookie)
	return c != nil && c.Value != "" && c.MaxAge >= 0
}

// trail is every hop of one navigation.
type trail []hop

func (tr trail) last() hop { return tr[len(tr)-1] }

func (tr trail) String() string {
	var b strings.Builder
	for _, h := range tr {
		fmt.Fprintf(&b, "\n  %s", h)
	}
	return b.String()
}

// on gives the hops whose path is that one.
func (tr trail) on(path string) trail {
	var out trail
	for _, h := range tr {
		if h.url.Path == path {
			out = append(out, h)
		}
	}
	return out
}

func (tr trail) grants() bool {
	for _, h := range tr {
		if h.grants() {
			return true
		}
	}
	return false
}

const (
	tokenCookie  = "wxbridge_token"
	idCookie     = "wxbridge_id"
	flowPrefix   = "wxbridge_flow_"
	callbackPath = "/callback/official-account"
	authorize    = "/connect/oauth2/authorize"

	wechatAgent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) " +
		"Mobile/15E148 MicroMessenger/8.0.49(0x18003137) NetType/WIFI Language/zh_CN"
	maxHops = 20
)

// send makes one request and keeps the cookies of its answer.
func (ph *phone) send(method, address string, header http.Header, body []byte) (hop, error) {
	u, err := url.Parse(address)
	if err != nil {
		return hop{}, err
	}
	req, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return hop{}, err
	}
	req.Header.Set("User-Agent", wechatAgent)
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	if strings.HasPrefix(address, ph.product.simulator+"/") {
		if ph.person != "" {
			req.Header.Set("X-Simulator-Person", ph.person)
		}
		if ph.consent != "" {
			req.Header.Set("X-Simulator-Consent", ph.consent)
		}
	} else {
		copyHeader(req.Header, ph.header)
	}
	copyHeader(req.Header, header)
	if ph.jar != nil {
		for _, c := range ph.jar.Cookies(u) {
			req.AddCookie(c)
		}
	}
	h := hop{method: method, url: u, sent: req.Header.Get("Cookie")}
	res, err := ph.product.http.Do(req)
	if err != nil {
		return h, fmt.Errorf("%s %s: %w", method, address, err)
	}
	defer res.Body.Close()
	h.status, h.header = res.StatusCode, res.Header
	if h.body, err = io.ReadAll(res.Body); err != nil {
		return h, fmt.Errorf("%s %s: read the answer: %w", method, address, err)
	}
	if ph.jar != nil {
		ph.jar.SetCookies(u, res.Cookies())
	}
	return h, nil
}

func copyHeader(to, from http.Header) {
	for name, values := range from {
		to[http.CanonicalHeaderKey(name)] = values
	}
}

// walk opens an address and follows it to its end.
func (ph *phone) walk(address string) (trail, error) {
	return ph.walkUntil(address, func(*url.URL) bool { return false })
}

// walkUntil is walk that does not open an address for which stop is true.
func (ph *phone) walkUntil(address string, stop func(*url.URL) bool) (trail, error) {
	var tr trail
	for {
		h, err := ph.send(http.MethodGet, address, nil, nil)
		if err != nil {
			return tr, err
		}
		tr = append(tr, h)
		if !h.redirects() || stop(h.next()) {
			return tr, nil
		}
		if len(tr) == maxHops {
			return tr, fmt.Errorf("a loop of redirects:%v", tr)
		}
		address = h.next().String()
	}
}

// open walks to the end and fails the test if the network does.
func (ph *phone) open(t testing.TB, pathOrURL string) trail {
	t.Helper()
	tr, err := ph.walk(ph.absolute(pathOrURL))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// once sends a single GET.
func (ph *phone) once(t testing.TB, pathOrURL string) hop {
	t.Helper()
	return ph.do(t, http.MethodGet, pathOrURL, nil, "")
}

// do sends a single request.
func (ph *phone) do(t testing.TB, method, pathOrURL string, header http.Header, body string) hop {
	t.Helper()
	h, err := ph.send(method, ph.absolute(pathOrURL), header, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (ph *phone) absolute(pathOrURL string) string {
	if strings.HasPrefix(pathOrURL, "/") {
		return ph.product.bridge + pathOrURL
	}
	return pathOrURL
}

// callback walks a login up to the callback, and gives its address without opening it.
func (ph *phone) callback(address string) (string, error) {
	tr, err := ph.walkUntil(ph.absolute(address), isCallback)
	if err != nil {
		return "", err
	}
	if h := tr.last(); h.redirects() {
		return h.next().String(), nil
	}
	return "", fmt.Errorf("the login never reached the callback:%v", tr)
}

func isCallback(u *url.URL) bool { return u.Path == callbackPath }

// signIn logs in from /login to the end, by way of the register page if it is shown.
func (ph *phone) signIn(returnTo string) (trail, error) {
	tr, err := ph.walk(ph.product.bridge + "/login?return_to=" + url.QueryEscape(cmp.Or(returnTo, "/")))
	if err != nil || tr.last().url.Path != "/login/register" {
		return tr, err
	}
	link, err := registerLink(tr.last())
	if err != nil {
		return tr, err
	}
	more, err := ph.walk(ph.absolute(link))
	return append(tr, more...), err
}

// login is signIn that must succeed.
func (ph *phone) login(t testing.TB) session {
	t.Helper()
	tr, err := ph.signIn("/")
	if err != nil {
		t.Fatal(err)
	}
	if !tr.grants() || tr.last().status != http.StatusOK {
		t.Fatalf("%s is not logged in:%v", ph.person, tr)
	}
	return ph.session()
}

// session is what the browser's cookies hold.
type session struct{ access, id string }

func (ph *phone) session() session {
	return session{access: ph.cookie(tokenCookie), id: ph.cookie(idCookie)}
}

func (ph *phone) cookie(name string) string {
	for _, c := range ph.bridgeCookies() {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (ph *phone) bridgeCookies() []*http.Cookie {
	u, _ := url.Parse(ph.product.bridge)
	return ph.jar.Cookies(u)
}

func (ph *phone) setCookie(name, value string) {
	u, _ := url.Parse(ph.product.bridge)
	ph.jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

func (ph *phone) dropCookies(prefixes ...string) {
	u, _ := url.Parse(ph.product.bridge)
	for _, c := range ph.jar.Cookies(u) {
		for _, prefix := range prefixes {
			if strings.HasPrefix(c.Name, prefix) {
				ph.jar.SetCookies(u, []*http.Cookie{{Name: c.Name, Path: "/", MaxAge: -1}})
			}
		}
	}
}

// forgetSession drops the tokens as their end of life does.
func (ph *phone) forgetSession() { ph.dropCookies(tokenCookie, idCookie) }

func (ph *phone) flowCookies() []*http.Cookie {
	var flows []*http.Cookie
	for _, c := range ph.bridgeCookies() {
		if strings.HasPrefix(c.Name, flowPrefix) {
			flows = append(flows, c)
		}
	}
	return flows
}

var (
	anchorPattern = regexp.MustCompile(`(?s)<a\s[^>]*>`)
	hrefPattern   = regexp.MustCompile(`\shref="([^"]*)"`)
)

// links are the addresses of all <a> of a page.
func links(h hop) []string {
	var out []string
	for _, tag := range anchorPattern.FindAllString(string(h.body), -1) {
		if m := hrefPattern.FindStringSubmatch(tag); m != nil {
			out = append(out, html.UnescapeString(m[1]))
		}
	}
	return out
}

// linkWithID is the address of the <a> with that id.
func linkWithID(h hop, id string) string {
	for _, tag := range anchorPattern.FindAllString(string(h.body), -1) {
		if m := hrefPattern.FindStringSubmatch(tag); m != nil && strings.Contains(tag, `id="`+id+`"`) {
			return html.UnescapeString(m[1])
		}
	}
	return ""
}

// registerLink is the one link of the register page that leads on to WeChat.
func registerLink(h hop) (string, error) {
	var found []string
	for _, link := range links(h) {
		if strings.HasPrefix(link, "/login/official-account?") && strings.Contains(link, "scope=userinfo") {
			found = append(found, link)
		}
	}
	if h.status != http.StatusOK || len(found) != 1 {
		return "", fmt.Errorf("%v: register links %q, want exactly one", h, found)
	}
	return found[0], nil
}

func hostOf(t testing.TB, origin string) string {
	t.Helper()
	u, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	return u.Hostname()
}
