package jwtauth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"wxbridge/jwtauth"
)

const cookie = "wxbridge_token"

// request has the headers given as "Name: value" lines, as they are.
func request(lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/api", nil)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	return r
}

func TestTOK11_WhereTheTokenOfARequestComesFrom(t *testing.T) {
	long := strings.Repeat("a", jwtauth.MaxTokenBytes+1)
	for _, row := range []struct {
		name    string
		headers []string
		raw     string
		source  jwtauth.Source
		err     error
	}{
		{"nothing", nil, "", jwtauth.SourceNone, nil},
		{"a Bearer header", []string{"Authorization: Bearer a.b.c"}, "a.b.c", jwtauth.SourceBearer, nil},
		{"the scheme in small letters", []string{"Authorization: bearer a.b.c"}, "a.b.c", jwtauth.SourceBearer, nil},
		{"the scheme in odd letters", []string{"Authorization: bEARER a.b.c"}, "a.b.c", jwtauth.SourceBearer, nil},
		{"several spaces", []string{"Authorization: Bearer   a.b.c "}, "a.b.c", jwtauth.SourceBearer, nil},
		{"a cookie", []string{"Cookie: wxbridge_token=a.b.c"}, "a.b.c", jwtauth.SourceCookie, nil},
		{"a cookie among others", []string{"Cookie: x=1; wxbridge_token=a.b.c; wxbridge_tokens=z"}, "a.b.c", jwtauth.SourceCookie, nil},
		{"a cookie in a second header", []string{"Cookie: x=1", "Cookie: wxbridge_token=a.b.c"}, "a.b.c", jwtauth.SourceCookie, nil},
		{"header and cookie: the header wins", []string{"Authorization: Bearer h", "Cookie: wxbridge_token=c"}, "h", jwtauth.SourceBearer, nil},
		{"another scheme is not ours", []string{"Authorization: Basic YTpi"}, "", jwtauth.SourceNone, nil},
		{"another scheme beside a cookie", []string{"Authorization: Basic YTpi", "Cookie: wxbridge_token=c"}, "c", jwtauth.SourceCookie, nil},
		{"a scheme that begins like ours", []string{"Authorization: BearerX a.b.c", "Cookie: wxbridge_token=c"}, "c", jwtauth.SourceCookie, nil},
		{"an empty header", []string{"Authorization: "}, "", jwtauth.SourceNone, nil},

		{"two headers", []string{"Authorization: Bearer a", "Authorization: Bearer a"}, "", jwtauth.SourceBearer, jwtauth.ErrInvalid},
		{"two headers, one of another scheme", []string{"Authorization: Basic x", "Authorization: Bearer a"}, "", jwtauth.SourceBearer, jwtauth.ErrInvalid},
		{"two headers beside a cookie", []string{"Authorization: Basic x", "Authorization: Basic y", "Cookie: wxbridge_token=c"}, "", jwtauth.SourceBearer, jwtauth.ErrInvalid},
		{"two tokens in one header", []string{"Authorization: Bearer a, Bearer b"}, "", jwtauth.SourceBearer, jwtauth.ErrInvalid},
		{"Bearer alone", []string{"Authorization: Bearer"}, "", jwtauth.SourceBearer, jwtauth.ErrInvalid},
		{"Bearer alone beside a cookie", []string{"Authorization: Bearer ", "Cookie: wxbridge_token=c"}, "", jwtauth.SourceBearer, jwtauth.ErrInvalid},
		{"Bearer and a tab", []string{"Authorization: Bearer\ta.b.c"}, "", jwtauth.SourceBearer, jwtauth.ErrInvalid},
		{"Bearer and a comma", []string{"Authorization: Bearer,a.b.c"}, "", jwtauth.SourceBearer, jwtauth.ErrInvalid},
		{"Bearer and a quoted token", []string{`Authorization: Bearer "a.b.c"`}, "", jwtauth.SourceBearer, jwtauth.ErrInvalid},
		{"Bearer, token and more", []string{"Authorization: Bearer a.b.c d"}, "", jwtauth.SourceBearer, jwtauth.ErrInvalid},
		{"Bearer and a bad token beside a cookie", []string{"Authorization: Bearer !", "Cookie: wxbridge_token=c"}, "", jwtauth.SourceBearer, jwtauth.ErrInvalid},
		{"Bearer too long", []string{"Authorization: Bearer " + long}, "", jwtauth.SourceBearer, jwtauth.ErrInvalid},

		{"WEB-04 cookie without a value", []string{"Cookie: wxbridge_token"}, "", jwtauth.SourceNone, nil},
		{"WEB-04 cookie empty", []string{"Cookie: wxbridge_token="}, "", jwtauth.SourceNone, nil},
		{"WEB-04 cookie with an open quote", []string{`Cookie: wxbridge_token="`}, "", jwtauth.SourceNone, nil},
		{"WEB-04 cookie in quotes", []string{`Cookie: wxbridge_token="a.b.c"`}, "", jwtauth.SourceNone, nil},
		{"WEB-04 cookie with a space", []string{"Cookie: wxbridge_token=a b"}, "", jwtauth.SourceNone, nil},
		{"WEB-04 cookie with padding", []string{"Cookie: wxbridge_token=a.b.c="}, "", jwtauth.SourceNone, nil},
		{"WEB-04 cookie with a percent sign", []string{"Cookie: wxbridge_token=a%2eb"}, "", jwtauth.SourceNone, nil},
		{"WEB-04 cookie twice", []string{"Cookie: wxbridge_token=a; wxbridge_token=a"}, "", jwtauth.SourceNone, nil},
		{"WEB-04 cookie twice, once malformed", []string{`Cookie: wxbridge_token="; wxbridge_token=a`}, "", jwtauth.SourceNone, nil},
		{"WEB-04 cookie twice, once empty", []string{"Cookie: wxbridge_token=a; wxbridge_token"}, "", jwtauth.SourceNone, nil},
		{"WEB-04 cookie three times", []string{"Cookie: wxbridge_token=a; wxbridge_token=b; wxbridge_token=c"}, "", jwtauth.SourceNone, nil},
		{"WEB-04 cookie twice in two headers", []string{"Cookie: wxbridge_token=a", "Cookie: wxbridge_token=b"}, "", jwtauth.SourceNone, nil},
		{"WEB-04 cookie of 100 KB", []string{"Cookie: wxbridge_token=" + strings.Repeat("a", 100<<10)}, "", jwtauth.SourceNone, nil},
		{"cookie name in another case", []string{"Cookie: WXBRIDGE_TOKEN=a"}, "", jwtauth.SourceNone, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			raw, source, err := jwtauth.TokenFromRequest(request(row.headers...), cookie)
			if raw != row.raw || source != row.source || !errors.Is(err, row.err) {
				t.Errorf("got (%.40q, %v, %v), want (%q, %v, %v)", raw, source, err, row.raw, row.source, row.err)
			}
		})
	}
}

func TestTOK11_OneAuthorizationValueOfAnyCarrier(t *testing.T) {
	for _, row := range []struct {
		name   string
		values []string
		raw    string
		err    error
	}{
		{"one", []string{"Bearer a.b.c"}, "a.b.c", nil},
		{"the scheme in small letters", []string{"bearer a.b.c"}, "a.b.c", nil},
		{"none", nil, "", jwtauth.ErrNoToken},
		{"an empty one", []string{""}, "", jwtauth.ErrNoToken},
		{"another scheme", []string{"Basic YTpi"}, "", jwtauth.ErrNoToken},
		{"a bare token", []string{"a.b.c"}, "", jwtauth.ErrNoToken},
		{"the same twice", []string{"Bearer a.b.c", "Bearer a.b.c"}, "", jwtauth.ErrInvalid},
		{"a good one after another scheme", []string{"Basic YTpi", "Bearer a.b.c"}, "", jwtauth.ErrInvalid},
		{"a good one after an empty one", []string{"", "Bearer a.b.c"}, "", jwtauth.ErrInvalid},
		{"two in one value", []string{"Bearer a.b.c, Bearer a.b.c"}, "", jwtauth.ErrInvalid},
		{"no token", []string{"Bearer "}, "", jwtauth.ErrInvalid},
		{"too long", []string{"Bearer " + strings.Repeat("a", jwtauth.MaxTokenBytes+1)}, "", jwtauth.ErrInvalid},
	} {
		if raw, err := jwtauth.TokenFromAuthorization(row.values); raw != row.raw || !errors.Is(err, row.err) {
			t.Errorf("%s: got (%.40q, %v), want (%q, %v)", row.name, raw, err, row.raw, row.err)
		}
	}
}

func TestTOK11_TheQueryAndTheBodyAreNeverLookedAt(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/api?access_token=a.b.c&wxbridge_token=a.b.c", strings.NewReader("access_token=a.b.c"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if raw, source, err := jwtauth.TokenFromRequest(r, cookie); raw != "" || source != jwtauth.SourceNone || err != nil {
		t.Errorf("got (%q, %v, %v)", raw, source, err)
	}
}

func TestTOK11_TheFirstCookieNameThatIsPresentDecides(t *testing.T) {
	for _, row := range []struct{ name, header, raw string }{
		{"the second alone", "b=2", "2"},
		{"both", "b=2; a=1", "1"},
		{"a malformed first hides the second", `b=2; a="`, ""},
		{"a repeated first hides the second", "b=2; a=1; a=1", ""},
	} {
		raw, _, err := jwtauth.TokenFromRequest(request("Cookie: "+row.header), "a", "b")
		if raw != row.raw || err != nil {
			t.Errorf("%s: got %q, %v", row.name, raw, err)
		}
	}
	if raw, source, _ := jwtauth.TokenFromRequest(request("Cookie: a=1")); raw != "" || source != jwtauth.SourceNone {
		t.Error("a cookie was read though none was asked for")
	}
}

// A compact JWS is of base64url's characters and dots (RFC 7515 §3.1); whatever holds another byte is none.
func TestTOK11_ATokenHasNoOtherCharacters(t *testing.T) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
	for c := range 256 {
		raw := "a" + string([]byte{byte(c)}) + "z"
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+raw)
		found, source, err := jwtauth.TokenFromRequest(r)
		if source != jwtauth.SourceBearer {
			t.Errorf("byte %#x: source %v", c, source)
		}
		if strings.IndexByte(letters, byte(c)) >= 0 {
			if err != nil || found != raw {
				t.Errorf("byte %#x: %q, %v", c, found, err)
			}
		} else if !errors.Is(err, jwtauth.ErrInvalid) || found != "" {
			t.Errorf("byte %#x is taken: %q, %v", c, found, err)
		}
	}
}
