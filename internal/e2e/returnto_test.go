package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const listedOrigin = "https://app.example.com:8443"

func TestRET01_AllowedReturnAddressesSurviveTheLogin(t *testing.T) {
	p := startDev(t, nil, "WXBRIDGE_RETURN_ORIGINS="+listedOrigin+",http://localhost:3000")
	p.phone("bob").login(t)
	for name, want := range map[string]string{
		"a path":                   "/shop",
		"& and # in the address":   "/shop?a=1&b=2#chapter-3",
		"Unicode in every part":    "/商店/鲍勃?名=值&x=é#第三章",
		"percent signs stay":       "/a%20b/c%2Fd?q=%26%3D%23",
		"RET-04 double encoding":   "/a%252Fb?q=%252F%2520",
		"a return address inside":  "/login2?return_to=%2Fx%3Fy%3D1%26z",
		"a listed origin":          listedOrigin + "/welcome?x=1&y=2#top",
		"a listed origin, no path": listedOrigin,
		"another listed origin":    "http://localhost:3000/é",
		"RET-08 1,024 bytes":       "/" + strings.Repeat("a", 1023),
	} {
		t.Run(name, func(t *testing.T) {
			ph := p.phone("bob")
			callback, err := ph.callback("/login?return_to=" + url.QueryEscape(want))
			if err != nil {
				t.Fatal(err)
			}
			h := ph.once(t, callback)
			if h.status != http.StatusFound || !h.grants() {
				t.Fatalf("%v: not logged in", h)
			}
			location := h.header.Get("Location")
			if !sameAddress(t, location, want) {
				t.Errorf("landed on\n     %q\nwant %q", location, want)
			}
			for i := range len(location) {
				if location[i] <= ' ' || location[i] >= 0x7f {
					t.Fatalf("RET-04 raw byte %#x in Location %q", location[i], location)
				}
			}
			again := ph.once(t, "/login?return_to="+url.QueryEscape(want))
			if got := again.header.Get("Location"); got != location {
				t.Errorf("already logged in leads to %q, the login to %q", got, location)
			}
		})
	}
}

func sameAddress(t *testing.T, a, b string) bool {
	t.Helper()
	x, err := url.Parse(a)
	if err != nil {
		t.Fatalf("Location %q: %v", a, err)
	}
	y, err := url.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if x.Path == "" {
		x.Path = "/"
	}
	if y.Path == "" {
		y.Path = "/"
	}
	return x.Scheme == y.Scheme && x.Host == y.Host && x.EscapedPath() == y.EscapedPath() &&
		x.Query().Encode() == y.Query().Encode() && x.Fragment == y.Fragment
}

func refusedReturnAddresses() map[string]string {
	refused := map[string]string{
		"RET-01 foreign origin":            "https://evil.example/",
		"RET-01 listed host, other port":   "https://app.example.com/",
		"RET-01 listed host, other scheme": "http://app.example.com:8443/",
		"RET-01 suffix":                    "https://app.example.com:8443.evil.example/",
		"RET-01 prefix":                    "https://evilapp.example.com:8443/",
		"RET-01 sub-domain":                "https://x.app.example.com:8443/",
		"RET-01 parent domain":             "https://example.com:8443/",
		"RET-01 trailing dot":              "https://app.example.com.:8443/",
		"RET-01 relative":                  "shop",
		"RET-01 dot":                       "./shop",
		"RET-01 query only":                "?x=1",
		"RET-01 two slashes":               "//evil.example/",
		"RET-01 three slashes":             "///evil.example/",
		"RET-01 slash backslash":           `/\evil.example/`,
		"RET-01 backslashes":               `\\evil.example`,
		"RET-01 scheme without slashes":    "https:evil.example",
		"RET-01 scheme with one slash":     "https:/evil.example",
		"RET-01 scheme with three slashes": "https:///evil.example",
		"RET-02 non-ASCII host":            "https://аpp.example.com:8443/",
		"RET-02 full-width dot":            "https://app。example.com:8443/",
		"RET-03 userinfo before":           "https://app.example.com:8443@evil.example/",
		"RET-03 userinfo in front":         "https://evil@app.example.com:8443/",
		"RET-03 two at signs":              "https://a@b@app.example.com:8443/",
		"RET-03 empty userinfo":            "https://@app.example.com:8443/",
		"RET-03 brackets":                  "https://[app.example.com]:8443/",
		"RET-03 empty port":                "https://app.example.com:/",
		"RET-03 port is text":              "https://app.example.com:https/",
		"RET-03 port and userinfo":         "https://app.example.com:443@evil.example:8443/",
		"RET-03 javascript":                "javascript:alert(1)",
		"RET-03 javascript with slashes":   "javascript://app.example.com:8443/%0aalert(1)",
		"RET-03 data":                      "data:text/html,x",
		"RET-03 weixin":                    "weixin://dl/business",
		"RET-08 1,025 bytes":               "/" + strings.Repeat("a", 1024),
	}
	for _, b := range []byte("\x00\x01\t\n\v\r\x1f \x7f\\") {
		c := string(b)
		refused["RET-02 "+url.QueryEscape(c)+" at the start"] = c + "/x"
		refused["RET-02 "+url.QueryEscape(c)+" after the slash"] = "/" + c + "/evil.example"
		refused["RET-02 "+url.QueryEscape(c)+" in the scheme"] = "ht" + c + "tps://app.example.com:8443/"
		refused["RET-02 "+url.QueryEscape(c)+" in the host"] = "https://app.exa" + c + "mple.com:8443/"
		refused["RET-02 "+url.QueryEscape(c)+" in the path"] = "/a" + c + "b"
	}
	return refused
}

func TestRET06_RefusedReturnAddressesStartNothing(t *testing.T) {
	p := startDev(t, nil, "WXBRIDGE_RETURN_ORIGINS="+listedOrigin)
	loggedIn := p.phone("bob")
	session := loggedIn.login(t)
	for name, value := range refusedReturnAddresses() {
		t.Run(name, func(t *testing.T) {
			query := "?return_to=" + url.QueryEscape(value)
			for _, path := range []string{"/login", "/login/official-account"} {
				for _, ph := range []*phone{p.phone("bob"), loggedIn.twin()} {
					h := ph.once(t, path+query)
					if h.status != http.StatusBadRequest || h.header.Get("Location") != "" || len(h.header["Set-Cookie"]) > 0 {
						t.Errorf("%s answers %d, Location %q, Set-Cookie %q", path, h.status, h.header.Get("Location"),
							h.header["Set-Cookie"])
					}
				}
			}
			// RET-07: the other address a caller may choose.
			header := http.Header{"Accept": {"text/html"}, "Sec-Fetch-Site": {"same-origin"},
				"Content-Type": {"application/x-www-form-urlencoded"}}
			for _, attempt := range []struct{ query, body string }{{query, ""}, {"", query[1:]}} {
				h := p.phone("bob").do(t, http.MethodPost, "/logout"+attempt.query, header, attempt.body)
				if location := h.header.Get("Location"); location != "" && location != "/" {
					t.Errorf("RET-07 logout leads to %q", location)
				}
			}
		})
	}
	if h := p.api(t, http.MethodGet, "/me", session.access, ""); h.status != http.StatusOK {
		t.Errorf("a refused address ended the session: %v", h)
	}
}

func TestRET05_TheCallbackIgnoresAReturnAddress(t *testing.T) {
	p := startDev(t, nil, "WXBRIDGE_RETURN_ORIGINS="+listedOrigin)
	p.phone("bob").login(t)
	ph := p.phone("bob")
	callback, err := ph.callback("/login?return_to=%2Fmine")
	if err != nil {
		t.Fatal(err)
	}
	h := ph.once(t, callback+"&return_to="+url.QueryEscape(listedOrigin+"/other"))
	if got := h.header.Get("Location"); got != "/mine" && got != p.bridge+"/mine" {
		t.Errorf("landed on %q, want /mine", got)
	}
}

func TestTheDefaultReturnAddressIsConfigured(t *testing.T) {
	p := startDev(t, nil, "WXBRIDGE_DEFAULT_RETURN_TO=/welcome?x=1")
	p.phone("bob").login(t)
	if tr := p.phone("bob").open(t, "/login"); tr.last().url.RequestURI() != "/welcome?x=1" {
		t.Errorf("landed on %v", tr.last())
	}
	if tr := p.phone("bob").open(t, menuLink(p, "snsapi_base", "STATE")); tr.last().url.RequestURI() != "/welcome?x=1" {
		t.Errorf("a menu link landed on %v", tr.last())
	}
}
