package cli

import (
	"net/url"
	"strings"
	"testing"

	"wxbridge/internal/config"
)

func linksOf(t *testing.T, alias string) loginLinks {
	t.Helper()
	public, err := url.Parse("https://login.example.com")
	if err != nil {
		t.Fatal(err)
	}
	links, err := newLoginLinks(config.Config{PublicURL: public, ReturnOrigins: []string{"https://h5.example.com"}, DefaultReturnTo: "/"},
		config.NamedApp{Alias: alias})
	if err != nil {
		t.Fatal(err)
	}
	return links
}

func TestLoginLinks_ThereAndBack(t *testing.T) {
	for _, row := range []struct{ alias, to, link string }{
		{"default", "/member", "https://login.example.com/login?return_to=%2Fmember"},
		{"shop", "/member", "https://login.example.com/login?app=shop&return_to=%2Fmember"},
		{"default", "https://h5.example.com/a?b=1&c=汉#/route", "https://login.example.com/login?return_to=https%3A%2F%2Fh5.example.com%2Fa%3Fb%3D1%26c%3D%E6%B1%89%23%2Froute"},
	} {
		links := linksOf(t, row.alias)
		link, err := links.from(row.to)
		if err != nil || link != row.link {
			t.Errorf("%s: got %s, %v", row.to, link, err)
		}
		if to, ok := links.to(link); !ok || to != row.to {
			t.Errorf("%s reads back as %q, %t", link, to, ok)
		}
	}
}

// RET-01: a menu leads nowhere that a login may not.
func TestRET01_LoginLinksLeadOnlyWhereALoginMay(t *testing.T) {
	for _, to := range []string{"", "member", "//evil.example", "https://evil.example/", "https://h5.example.com.evil.example/", "/\\evil.example",
		"javascript:alert(1)", "/a b", "/../x", "/" + strings.Repeat("a", 1024)} {
		if link, err := linksOf(t, "default").from(to); err == nil || link != "" {
			t.Errorf("%q makes %s", to, link)
		}
	}
}

// Only what we made ourselves is shown as a login.
func TestLoginLinks_OthersAreNone(t *testing.T) {
	links := linksOf(t, "default")
	for _, link := range []string{"", "https://login.example.com/login", "https://login.example.com/login?return_to=/member",
		"https://login.example.com/login?return_to=%2Fmember&prompt=login", "https://login.example.com/login?return_to=%2",
		"https://login.example.com/login?app=shop&return_to=%2Fmember", "https://login.example.com/login?return_to=https%3A%2F%2Fevil.example%2F",
		"https://evil.example/login?return_to=%2Fmember"} {
		if to, ok := links.to(link); ok {
			t.Errorf("%s is shown as a login to %s", link, to)
		}
	}
}
