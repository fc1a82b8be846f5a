package handlers_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"wxbridge/handlers"
)

func returnPolicy(t testing.TB, origins ...string) *handlers.ReturnPolicy {
	t.Helper()
	public, err := url.Parse("https://login.example.com")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := handlers.NewReturnPolicy(public, origins, "/")
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

func TestReturnPolicy_Accepts(t *testing.T) {
	policy := returnPolicy(t, "https://h5.example.com", "http://127.0.0.1:8081", "https://shop.example.com:8443")
	for _, target := range []string{
		"/", "/shop", "/shop?a=1&b=2#part", "/商店?名=爱", "/a%20b", "/a//b", "/?next=//evil.example",
		"https://login.example.com", "https://login.example.com/shop",
		"https://h5.example.com", "https://h5.example.com/", "https://h5.example.com?x=1", "https://h5.example.com#/route",
		"https://h5.example.com/a?b=c&d=e#f", "https://h5.example.com/%252e%252e/x",
		"http://127.0.0.1:8081/page", "https://shop.example.com:8443/",
		"/" + strings.Repeat("a", 999), // RET-08: 1,000 bytes
	} {
		if err := policy.Check(target); err != nil {
			t.Errorf("%q is refused: %v", target, err)
		}
	}
}

func TestReturnPolicy_Refuses(t *testing.T) {
	policy := returnPolicy(t, "https://h5.example.com", "https://shop.example.com:8443")
	rows := map[string][]string{
		"RET-01 another origin": {
			"https://evil.example", "https://evil.example/https://h5.example.com", "https://h5.example.com.evil.example",
			"https://evil-h5.example.com", "https://sub.h5.example.com", "https://example.com", "https://h5.example.comevil",
			"http://h5.example.com", "https://h5.example.com:443", "https://h5.example.com:8443", "https://shop.example.com",
			"HTTPS://h5.example.com", "https://H5.example.com", "https://*.example.com", "https:h5.example.com", "https:/h5.example.com",
			"//h5.example.com", "///h5.example.com", "////evil.example", "h5.example.com", "shop", "?a=1", "#a", "",
		},
		"RET-02 bytes that browsers drop or read as a slash": hostileBytes(),
		"RET-02 non-ASCII in the authority":                  {"https://h5.example。com", "https://h5.examplé.com", "https://ｈ5.example.com"},
		"RET-03 userinfo, ports, brackets, schemes": {
			"https://h5.example.com@evil.example", "https://evil.example@h5.example.com", "https://a@b@h5.example.com",
			"https://h5.example.com:443@evil.example", "https://h5.example.com:", "https://h5.example.com:x", "https://[h5.example.com]",
			"https://[::1]", "javascript:alert(1)", "data:text/html,x", "weixin://dl/scan", "vbscript:x", "JaVaScRiPt:alert(1)",
			"file:///etc/passwd", "https://", "https:///evil.example",
		},
		"RET-08 more than 1,024 bytes": {"/" + strings.Repeat("a", 1024)},
		"dot segments": {
			"/..//evil.example", "/.//evil.example", "/a/../../evil.example", "/%2e%2e//evil.example", "/%2E./evil.example",
			"https://h5.example.com/..//evil.example",
		},
		"text that is no address": {"/%zz", "/\xff", "https://h5.example.com/%"},
	}
	for name, targets := range rows {
		t.Run(name, func(t *testing.T) {
			for _, target := range targets {
				if err := policy.Check(target); !errors.Is(err, handlers.ErrReturnTo) {
					t.Errorf("%q: got %v, want ErrReturnTo", target, err)
				}
			}
		})
	}
}

// hostileBytes puts every byte that RET-02 names where a parser could be misled by it.
func hostileBytes() []string {
	var targets []string
	for b := range 0x80 {
		if b > 0x20 && b != 0x7F && b != '\\' {
			continue
		}
		c := string(rune(b))
		targets = append(targets, c+"/shop", "/"+c+"/evil.example", "/"+c+"evil.example", "/shop"+c,
			"ht"+c+"tps://h5.example.com", "https:"+c+"//h5.example.com", "https://h5"+c+".example.com", "https://h5.example.com"+c)
	}
	return targets
}

func TestNewReturnPolicy_RefusesOriginsThatAreNotExact(t *testing.T) {
	public := &url.URL{Scheme: "https", Host: "login.example.com"}
	for _, origin := range []string{"https://h5.example.com/", "h5.example.com", "https://a@h5.example.com", "null", "*", ""} {
		if _, err := handlers.NewReturnPolicy(public, []string{origin}, "/"); err == nil {
			t.Errorf("origin %q is taken", origin)
		}
	}
	if _, err := handlers.NewReturnPolicy(public, nil, "https://evil.example/"); !errors.Is(err, handlers.ErrReturnTo) {
		t.Errorf("a default on a foreign origin: got %v, want ErrReturnTo", err)
	}
}

// FuzzReturnPolicy: whatever is accepted leads a browser to one of the listed origins.
func FuzzReturnPolicy(f *testing.F) {
	for _, seed := range append(hostileBytes(), "/", "/a?b#c", "https://h5.example.com/x", "//evil", "/..//x", "https://h5.example.com@evil") {
		f.Add(seed)
	}
	policy := returnPolicy(f, "https://h5.example.com")
	base := &url.URL{Scheme: "https", Host: "login.example.com", Path: "/callback/official-account"}
	f.Fuzz(func(t *testing.T, target string) {
		if policy.Check(target) != nil {
			return
		}
		resolved, err := base.Parse(target)
		if err != nil {
			t.Fatalf("%q is accepted and does not parse: %v", target, err)
		}
		origin := fmt.Sprintf("%s://%s", resolved.Scheme, resolved.Host)
		if resolved.User != nil || origin != "https://h5.example.com" && origin != "https://login.example.com" {
			t.Fatalf("%q is accepted and leads to %s", target, resolved)
		}
	})
}
