package config_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"wxbridge/internal/config"
)

// FuzzLoad gives any variable any value. Whatever it is, Load ends with a configuration whose promises hold, or with
// faults that have one line each, name our variables and do not repeat the value.
func FuzzLoad(f *testing.F) {
	variables := config.Variables()
	for i, v := range variables {
		f.Add(uint8(i), v.Example)
		f.Add(uint8(i), v.Default)
	}
	for _, value := range []string{"https://a.example:443", "http://[::1]:1", "https://*", "//x", "a,b,,c", "10.0.0.0/8", "-1h", "\xff", "1.5h"} {
		f.Add(uint8(0), value)
		f.Add(uint8(4), value)
		f.Add(uint8(5), value)
	}
	f.Fuzz(func(t *testing.T, which uint8, value string) {
		environ := minimal()
		name := variables[int(which)%len(variables)].Name
		environ[name] = value
		c, err := config.Load(environ, func(string) ([]byte, error) { return []byte(value), nil })
		if err != nil {
			var faults config.Faults
			if !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("error %v is not a list of faults", err)
			}
			if strings.Count(err.Error(), "\n")+1 != len(faults) {
				t.Fatalf("%d faults, text %q", len(faults), err)
			}
			for _, f := range faults {
				if !strings.HasPrefix(f.Variable, "WXBRIDGE_") {
					t.Fatalf("fault of %q", f.Variable)
				}
			}
			return
		}
		promises(t, c)
	})
}

func promises(t *testing.T, c config.Config) {
	if u := c.PublicURL; u.Host == "" || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		t.Fatalf("PublicURL = %s", u)
	}
	for _, origin := range append([]string{c.PublicURL.String()}, c.ReturnOrigins...) {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin || strings.Contains(origin, "*") {
			t.Fatalf("origin %q is not normal", origin)
		}
		if u.Scheme == "http" && !strings.Contains(u.Host, "localhost") && !strings.Contains(u.Host, "::") && u.Hostname() != "0.0.0.0" && !strings.HasPrefix(u.Host, "127.") {
			t.Fatalf("plain http in %q", origin)
		}
	}
	if !strings.HasPrefix(c.DefaultReturnTo, "/") && !strings.HasPrefix(c.DefaultReturnTo, "http") || strings.HasPrefix(c.DefaultReturnTo, "//") || strings.ContainsAny(c.DefaultReturnTo, "\\ \t\r\n\x00") {
		t.Fatalf("DefaultReturnTo = %q", c.DefaultReturnTo)
	}
	if len(c.Secret.Reveal()) < 32 || c.JWTAudience == config.ClientID || c.JWTAudience == "" || c.JWTTTL <= 0 || c.SessionTTL <= 0 {
		t.Fatalf("weak configuration: %s", c)
	}
	if c.PublicURL.Scheme == "https" && (c.WeChatAPIURL.Scheme != "https" || strings.Contains(c.WeChatAPIURL.Host, "127.0.0.1")) {
		t.Fatalf("WeChatAPIURL = %s beside %s", c.WeChatAPIURL, c.PublicURL)
	}
	if again, err := config.Load(map[string]string{
		"WXBRIDGE_PUBLIC_URL": c.PublicURL.String(), "WXBRIDGE_SECRET": c.Secret.Reveal(), "WXBRIDGE_RETURN_ORIGINS": strings.Join(c.ReturnOrigins, ","),
		"WXBRIDGE_OFFICIAL_APP_ID": c.Official.ID, "WXBRIDGE_OFFICIAL_APP_SECRET": c.Official.Secret.Reveal(),
	}, nil); err != nil || again.PublicURL.String() != c.PublicURL.String() || len(again.ReturnOrigins) != len(c.ReturnOrigins) {
		t.Fatalf("what was loaded does not load again: %v", err)
	}
}

// FuzzWithDotEnv reads arbitrary .env files: no crash, and no content in the fault.
func FuzzWithDotEnv(f *testing.F) {
	for _, seed := range []string{"", "A=1\nB=\"x\ny\"\n", "export A=$B", "A='\n", "=", "#", "A B", "\xff=\xff", "A=\"${A}\"", "A: 1"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, dotenv []byte) {
		if len(dotenv) > 1<<12 {
			return
		}
		merged, err := config.WithDotEnv(map[string]string{"A": "mine"}, dotenv)
		if err != nil {
			var faults config.Faults
			if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Variable != ".env" {
				t.Fatalf("error = %v", err)
			}
			return
		}
		if merged["A"] != "mine" {
			t.Fatalf(".env overrode the environment: %q", merged["A"])
		}
	})
}
