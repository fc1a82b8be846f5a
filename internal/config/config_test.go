package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wxbridge/internal/config"
)

const (
	goodSecret         = "m3VZ0sXq1kB7cU9yTgHfJwLpRdNeAaKi5xQ2oW8vYtE="
	goodOfficialSecret = "5f4dcc3b5aa765d61d8327deb882cf99"
	otherSecret        = "Vw8eRt5yUq2iOp9aSd4fGh7jKl1zXc6vBn3mQwErTy0="
	goodMiniSecret     = "e10adc3949ba59abbe56e057f20f883e"
	goodWebsiteSecret  = "0cc175b9c0f1b6a831c399e269772661"
	goodToken          = "7c1f0a9be3d24865"
	goodAESKey         = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFR" // the last character has bits that count for nothing
)

// minimal is the smallest environment that loads.
func minimal() map[string]string {
	return map[string]string{
		"WXBRIDGE_PUBLIC_URL":          "https://login.shop.example.com",
		"WXBRIDGE_SECRET":              goodSecret,
		"WXBRIDGE_OFFICIAL_APP_ID":     "wx1c2d3e4f5a6b7c8d",
		"WXBRIDGE_OFFICIAL_APP_SECRET": goodOfficialSecret,
	}
}

func with(pairs ...string) map[string]string {
	environ := minimal()
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		environ["WXBRIDGE_"+name] = value
	}
	return environ
}

func without(names ...string) map[string]string {
	environ := minimal()
	for _, name := range names {
		delete(environ, "WXBRIDGE_"+name)
	}
	return environ
}

func load(t *testing.T, environ map[string]string) config.Config {
	t.Helper()
	c, err := config.Load(environ, os.ReadFile)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

func faultsOf(t *testing.T, environ map[string]string) config.Faults {
	t.Helper()
	_, err := config.Load(environ, os.ReadFile)
	var faults config.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("Load error = %v, want Faults", err)
	}
	return faults
}

func TestDefaults(t *testing.T) {
	t.Chdir(t.TempDir())
	c := load(t, minimal())
	got := strings.Split(c.String(), " ")
	want := []string{
		"WXBRIDGE_PUBLIC_URL=https://login.shop.example.com",
		"WXBRIDGE_LISTEN=127.0.0.1:8080",
		"WXBRIDGE_DATABASE=sqlite://wxbridge.db",
		"WXBRIDGE_SECRET=***",
		"WXBRIDGE_SECRET_PREVIOUS=",
		"WXBRIDGE_RETURN_ORIGINS=",
		"WXBRIDGE_DEFAULT_RETURN_TO=/",
		"WXBRIDGE_COOKIE_DOMAIN=",
		"WXBRIDGE_TRUSTED_PROXIES=",
		"WXBRIDGE_DOMAIN_FILES=",
		"WXBRIDGE_PROFILE_POLICY=unknown",
		"WXBRIDGE_DESKTOP_LOGIN=auto",
		"WXBRIDGE_PRIVACY_URL=",
		"WXBRIDGE_TERMS_URL=",
		"WXBRIDGE_SESSION_TTL=720h",
		"WXBRIDGE_OFFICIAL_APP_ID=wx1c2d3e4f5a6b7c8d",
		"WXBRIDGE_OFFICIAL_APP_SECRET=***",
		"WXBRIDGE_OFFICIAL_TOKEN=",
		"WXBRIDGE_OFFICIAL_ENCODING_AES_KEY=",
		"WXBRIDGE_OFFICIAL_CONNECT_REDIRECT=false",
		"WXBRIDGE_OFFICIAL_FORCE_POPUP=false",
		"WXBRIDGE_MINIPROGRAM_APP_ID=",
		"WXBRIDGE_MINIPROGRAM_APP_SECRET=",
		"WXBRIDGE_MINIPROGRAM_CHECK_NICKNAME=false",
		"WXBRIDGE_WEBSITE_APP_ID=",
		"WXBRIDGE_WEBSITE_APP_SECRET=",
		"WXBRIDGE_WECOM_CORP_ID=",
		"WXBRIDGE_WECOM_AGENT_ID=",
		"WXBRIDGE_WECOM_SECRET=",
		"WXBRIDGE_WECOM_TOKEN=",
		"WXBRIDGE_WECOM_ENCODING_AES_KEY=",
		"WXBRIDGE_WECOM_PRIVATE=false",
		"WXBRIDGE_WECOM_GUESTS=false",
		"WXBRIDGE_APPS_FILE=",
		"WXBRIDGE_JWT_TTL=2h",
		"WXBRIDGE_JWT_AUDIENCE=https://login.shop.example.com/api",
		"WXBRIDGE_JWKS_MAX_AGE=10m",
		"WXBRIDGE_JWT_ALG=ES256",
		"WXBRIDGE_JWT_HS256_SECRET=",
		"WXBRIDGE_KEY_MAX_AGE=2160h",
		"WXBRIDGE_RATE_LIMIT=600",
		"WXBRIDGE_METRICS_LISTEN=",
		"WXBRIDGE_CLIENTS_FILE=",
		"WXBRIDGE_EVENT_WEBHOOKS=",
		"WXBRIDGE_WECHAT_API_URL=https://api.weixin.qq.com",
		"WXBRIDGE_WECHAT_OPEN_URL=https://open.weixin.qq.com",
		"WXBRIDGE_WECHAT_MP_URL=https://mp.weixin.qq.com",
		"WXBRIDGE_WECOM_API_URL=https://qyapi.weixin.qq.com",
		"WXBRIDGE_WECOM_LOGIN_URL=https://login.work.weixin.qq.com",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the smallest environment loads otherwise than documented (-want +got):\n%s", diff)
	}
	if c.MiniProgram.Configured() || !c.Official.Configured() {
		t.Error("Configured() does not tell the app that is set from the one that is not")
	}
}

// TestDumpNamesEveryVariable keeps String in step with the list of variables.
func TestDumpNamesEveryVariable(t *testing.T) {
	dump := " " + load(t, minimal()).String()
	for _, v := range config.Variables() {
		if !strings.Contains(dump, " "+v.Name+"=") {
			t.Errorf("String() leaves out %s", v.Name)
		}
	}
}

func TestValuesThatLoadAreNormalised(t *testing.T) {
	dir := t.TempDir()
	for _, row := range []struct {
		name string
		set  []string
		want string // found in String
	}{
		{"host in capitals", []string{"PUBLIC_URL=HTTPS://Login.Example.COM"}, "PUBLIC_URL=https://login.example.com "},
		{"trailing slash", []string{"PUBLIC_URL=https://login.example.com/"}, "JWT_AUDIENCE=https://login.example.com/api "},
		{"default https port", []string{"PUBLIC_URL=https://login.example.com:443"}, "PUBLIC_URL=https://login.example.com "},
		{"default http port", []string{"PUBLIC_URL=http://localhost:80"}, "PUBLIC_URL=http://localhost "},
		{"other port", []string{"PUBLIC_URL=https://login.example.com:8443"}, "PUBLIC_URL=https://login.example.com:8443 "},
		{"plain http on IPv4 loopback", []string{"PUBLIC_URL=http://127.0.0.1:8080"}, "PUBLIC_URL=http://127.0.0.1:8080 "},
		{"plain http on another loopback address", []string{"PUBLIC_URL=http://127.9.8.7"}, "PUBLIC_URL=http://127.9.8.7 "},
		{"plain http on IPv6 loopback", []string{"PUBLIC_URL=http://[::1]:8080"}, "PUBLIC_URL=http://[::1]:8080 "},
		{"plain http on a name below localhost", []string{"PUBLIC_URL=http://bridge.localhost:1"}, "PUBLIC_URL=http://bridge.localhost:1 "},
		{"https on an IP address", []string{"PUBLIC_URL=https://192.0.2.7"}, "PUBLIC_URL=https://192.0.2.7 "},
		{"punycode", []string{"PUBLIC_URL=https://xn--fiq228c.example"}, "PUBLIC_URL=https://xn--fiq228c.example "},
		{"one return origin", []string{"RETURN_ORIGINS=https://H5.example.com:443"}, "RETURN_ORIGINS=https://h5.example.com "},
		{"return origins with spaces and repeats", []string{"RETURN_ORIGINS= https://a.example , https://b.example:444,https://a.example"}, "RETURN_ORIGINS=https://a.example,https://b.example:444 "},
		{"loopback return origin over plain http", []string{"RETURN_ORIGINS=http://localhost:5173"}, "RETURN_ORIGINS=http://localhost:5173 "},
		{"return path with query and fragment", []string{"DEFAULT_RETURN_TO=/home?a=1&b=2#top"}, "DEFAULT_RETURN_TO=/home?a=1&b=2#top "},
		{"return path in Chinese", []string{"DEFAULT_RETURN_TO=/首页"}, "DEFAULT_RETURN_TO=/首页 "},
		{"return URL on a listed origin", []string{"RETURN_ORIGINS=https://a.example", "DEFAULT_RETURN_TO=https://a.example/x"}, "DEFAULT_RETURN_TO=https://a.example/x "},
		{"return URL on our own origin", []string{"DEFAULT_RETURN_TO=https://login.shop.example.com/x?y#z"}, "DEFAULT_RETURN_TO=https://login.shop.example.com/x?y#z "},
		{"return path of 1,024 bytes", []string{"DEFAULT_RETURN_TO=/" + strings.Repeat("a", 1023)}, "DEFAULT_RETURN_TO=/aaaa"},
		{"cookie domain with dot and capitals", []string{"COOKIE_DOMAIN=.Example.com"}, "COOKIE_DOMAIN=example.com "},
		{"cookie domain equal to the host", []string{"COOKIE_DOMAIN=login.shop.example.com"}, "COOKIE_DOMAIN=login.shop.example.com "},
		{"cookie domain one label up", []string{"COOKIE_DOMAIN=shop.example.com"}, "COOKIE_DOMAIN=shop.example.com "},
		{"trusted proxies", []string{"TRUSTED_PROXIES=127.0.0.1, 10.1.2.3/8,::1, fd00::/8"}, "TRUSTED_PROXIES=127.0.0.1/32,10.0.0.0/8,::1/128,fd00::/8 "},
		{"mapped proxy address", []string{"TRUSTED_PROXIES=::ffff:192.0.2.1"}, "TRUSTED_PROXIES=192.0.2.1/32 "},
		{"domain files", []string{"DOMAIN_FILES=" + dir}, "DOMAIN_FILES=" + dir + " "},
		{"database in an existing folder", []string{"DATABASE=sqlite://" + dir + "/x.db"}, "DATABASE=sqlite://" + dir + "/x.db "},
		{"profile policy never", []string{"PROFILE_POLICY=never"}, "PROFILE_POLICY=never "},
		{"profile policy unknown", []string{"PROFILE_POLICY=unknown"}, "PROFILE_POLICY=unknown "},
		{"desktop login by a code of the account", []string{"DESKTOP_LOGIN=scan"}, "DESKTOP_LOGIN=scan "},
		{"desktop login as a code", []string{"DESKTOP_LOGIN=qrcode"}, "DESKTOP_LOGIN=qrcode "},
		{"profile policy by age", []string{"PROFILE_POLICY=480h"}, "PROFILE_POLICY=480h "},
		{"links", []string{"PRIVACY_URL=http://example.com/p?x=1#y", "TERMS_URL=https://example.com/条款"}, "PRIVACY_URL=http://example.com/p?x=1#y WXBRIDGE_TERMS_URL=https://example.com/条款 "},
		{"another algorithm", []string{"JWT_ALG=EdDSA", "KEY_MAX_AGE=24h"}, "JWT_ALG=EdDSA WXBRIDGE_JWT_HS256_SECRET= WXBRIDGE_KEY_MAX_AGE=24h "},
		{"a shared secret", []string{"JWT_ALG=HS256", "JWT_HS256_SECRET=" + otherSecret}, "JWT_ALG=HS256 WXBRIDGE_JWT_HS256_SECRET=*** "},
		{"a shared secret that is not in use", []string{"JWT_HS256_SECRET=" + otherSecret}, "JWT_ALG=ES256 WXBRIDGE_JWT_HS256_SECRET=*** "},
		{"a secret that was changed", []string{"SECRET_PREVIOUS=" + otherSecret}, "SECRET_PREVIOUS=*** "},
		{"a change of keys every hour", []string{"KEY_MAX_AGE=1h", "JWT_TTL=10m", "JWKS_MAX_AGE=10m"}, "KEY_MAX_AGE=1h "},
		{"short lives", []string{"JWT_TTL=1s", "SESSION_TTL=90s", "JWKS_MAX_AGE=0s"}, "JWT_TTL=1s "},
		{"an hour and a half", []string{"JWT_TTL=90m"}, "JWT_TTL=1h30m "},
		{"audience that is a URI", []string{"JWT_AUDIENCE=urn:example:api"}, "JWT_AUDIENCE=urn:example:api "},
		{"audience that is a name", []string{"JWT_AUDIENCE=shop"}, "JWT_AUDIENCE=shop "},
		{"all interfaces", []string{"LISTEN=:8080"}, "LISTEN=:8080 "},
		{"IPv6 listener", []string{"LISTEN=[::]:8080"}, "LISTEN=[::]:8080 "},
		{"any free port", []string{"LISTEN=127.0.0.1:0"}, "LISTEN=127.0.0.1:0 "},
		{"no rate limit", []string{"RATE_LIMIT=0"}, "RATE_LIMIT=0 "},
		{"metrics on loopback", []string{"METRICS_LISTEN=127.0.0.1:9090"}, "METRICS_LISTEN=127.0.0.1:9090 "},
		{"metrics on any free port, as the bridge", []string{"LISTEN=127.0.0.1:0", "METRICS_LISTEN=127.0.0.1:0"}, "METRICS_LISTEN=127.0.0.1:0 "},
		{"nicknames are checked", []string{"MINIPROGRAM_CHECK_NICKNAME=true"}, "MINIPROGRAM_CHECK_NICKNAME=true "},
		{"switches by number", []string{"OFFICIAL_CONNECT_REDIRECT=1", "OFFICIAL_FORCE_POPUP=true"}, "OFFICIAL_CONNECT_REDIRECT=true WXBRIDGE_OFFICIAL_FORCE_POPUP=true "},
		{"pushes in AES mode", []string{"OFFICIAL_TOKEN=" + goodToken, "OFFICIAL_ENCODING_AES_KEY=" + goodAESKey}, "OFFICIAL_TOKEN=*** WXBRIDGE_OFFICIAL_ENCODING_AES_KEY=*** "},
		{"pushes in plain mode", []string{"OFFICIAL_TOKEN=abc"}, "OFFICIAL_TOKEN=*** WXBRIDGE_OFFICIAL_ENCODING_AES_KEY= "},
		{"mini program beside the official account", []string{"MINIPROGRAM_APP_ID=wx00112233445566ff", "MINIPROGRAM_APP_SECRET=" + goodMiniSecret}, "MINIPROGRAM_APP_ID=wx00112233445566ff WXBRIDGE_MINIPROGRAM_APP_SECRET=*** "},
		{"simulator beside a loopback bridge", []string{"PUBLIC_URL=http://127.0.0.1:8080", "WECHAT_API_URL=http://localhost:8090/"}, "WECHAT_API_URL=http://localhost:8090 "},
		{"upstream with a path", []string{"WECHAT_API_URL=https://gateway.example.com/wechat/"}, "WECHAT_API_URL=https://gateway.example.com/wechat "},
		{"empty variables count as not set", []string{"LISTEN=", "JWT_TTL=", "OFFICIAL_FORCE_POPUP=", "MINIPROGRAM_APP_ID="}, "LISTEN=127.0.0.1:8080 "},
		{"variables for tests are ignored", []string{"TEST_REQUIRE=all", "TEST_SOAK=1"}, "LISTEN=127.0.0.1:8080 "},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := load(t, with(row.set...)).String() + " "; !strings.Contains(got, "WXBRIDGE_"+row.want) {
				t.Errorf("loaded as %s\nwant it to contain %s", got, row.want)
			}
		})
	}
}

func TestTypedValues(t *testing.T) {
	c := load(t, with("PROFILE_POLICY=480h", "JWT_TTL=30m", "SESSION_TTL=48h", "JWKS_MAX_AGE=5m"))
	if c.ProfilePolicy != (config.ProfilePolicy{MaxAge: 480 * time.Hour}) {
		t.Errorf("ProfilePolicy = %+v", c.ProfilePolicy)
	}
	if c.JWTTTL != 30*time.Minute || c.SessionTTL != 48*time.Hour || c.JWKSMaxAge != 5*time.Minute {
		t.Errorf("JWTTTL, SessionTTL, JWKSMaxAge = %v, %v, %v", c.JWTTTL, c.SessionTTL, c.JWKSMaxAge)
	}
	if c.Secret.Reveal() != goodSecret || c.Official.Secret.Reveal() != goodOfficialSecret {
		t.Error("Reveal does not give the secret")
	}
	if c.WeChatAPIURL.String() != "https://api.weixin.qq.com" {
		t.Errorf("WeChatAPIURL = %v", c.WeChatAPIURL)
	}
}

// TestREL14_EveryFaultIsReportedAtOnce gives many variables a wrong value and expects a line for each, in the
// documented order, with an example.
func TestREL14_EveryFaultIsReportedAtOnce(t *testing.T) {
	faults := faultsOf(t, map[string]string{
		"WXBRIDGE_PUBLIC_URL":          "ftp://x",
		"WXBRIDGE_LISTEN":              "8080",
		"WXBRIDGE_DATABASE":            "mysql://x",
		"WXBRIDGE_RETURN_ORIGINS":      "https://ok.example,https://*.example,null",
		"WXBRIDGE_DEFAULT_RETURN_TO":   "//evil.example",
		"WXBRIDGE_COOKIE_DOMAIN":       "co.uk",
		"WXBRIDGE_TRUSTED_PROXIES":     "everyone",
		"WXBRIDGE_DOMAIN_FILES":        "/no/such/folder",
		"WXBRIDGE_PROFILE_POLICY":      "sometimes",
		"WXBRIDGE_SESSION_TTL":         "a month",
		"WXBRIDGE_OFFICIAL_APP_ID":     "gh_0123",
		"WXBRIDGE_OFFICIAL_APP_SECRET": "",
		"WXBRIDGE_JWT_TTL":             "1y",
		"WXBRIDGE_JWT_AUDIENCE":        "wxbridge",
		"WXBRIDGE_WECHAT_API_URL":      "http://api.weixin.qq.com",
		"WXBRIDGE_JTW_TTL":             "1h",
		"WXBRIDGE_OFFICIAL_FORCEPOPUP": "1",
	})
	var got []string
	for _, f := range faults {
		got = append(got, strings.TrimPrefix(f.Variable, "WXBRIDGE_"))
		if f.Example == "" {
			t.Errorf("%s has no example", f)
		}
	}
	want := []string{"PUBLIC_URL", "LISTEN", "DATABASE", "SECRET", "RETURN_ORIGINS", "RETURN_ORIGINS", "DEFAULT_RETURN_TO",
		"COOKIE_DOMAIN", "TRUSTED_PROXIES", "DOMAIN_FILES", "PROFILE_POLICY", "SESSION_TTL", "OFFICIAL_APP_ID",
		"OFFICIAL_APP_SECRET", "JWT_TTL", "JWT_AUDIENCE", "WECHAT_API_URL", "JTW_TTL", "OFFICIAL_FORCEPOPUP"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s\n%v", diff, faults)
	}
	if lines := strings.Count(faults.Error(), "\n") + 1; lines != len(faults) {
		t.Errorf("%d faults make %d lines", len(faults), lines)
	}
}

func TestFaultLineReadsAsVariableProblemExample(t *testing.T) {
	got := faultsOf(t, with("PUBLIC_URL=https://login.example.com/wx")).Error()
	want := "WXBRIDGE_PUBLIC_URL: has a path; give scheme and host only (example: WXBRIDGE_PUBLIC_URL=https://login.example.com)"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMissingVariables(t *testing.T) {
	for _, row := range []struct {
		name    string
		environ map[string]string
		want    []string // "VARIABLE: part of the problem"
	}{
		{"nothing is set", map[string]string{}, []string{"PUBLIC_URL: is not set", "SECRET: openssl rand -base64 32", "OFFICIAL_APP_ID: no app is configured"}},
		{"foreign variables only", map[string]string{"PATH": "/bin", "SECRET": goodSecret}, []string{"PUBLIC_URL: is not set", "SECRET: is not set", "OFFICIAL_APP_ID: no app"}},
		{"HS256 without its secret", with("JWT_ALG=HS256"), []string{"JWT_HS256_SECRET: is not set, but WXBRIDGE_JWT_ALG is HS256"}},
		{"HS256 and a file that is not there", with("JWT_ALG=HS256", "JWT_HS256_SECRET_FILE=/no/such/file"), []string{"JWT_HS256_SECRET_FILE: no such file"}},
		{"an unknown algorithm beside a secret", with("JWT_ALG=HS512", "JWT_HS256_SECRET="+otherSecret), []string{"JWT_ALG: is not ES256, EdDSA, RS256 or HS256"}},
		{"the previous secret shared", with("JWT_ALG=HS256", "SECRET_PREVIOUS="+otherSecret, "JWT_HS256_SECRET="+otherSecret), []string{"JWT_HS256_SECRET: seals the store"}},
		{"keys younger than tokens", with("JWT_TTL=2h", "KEY_MAX_AGE=4h"), []string{"KEY_MAX_AGE: keys would pile up"}},
		{"no secret", without("SECRET"), []string{"SECRET: make one with `openssl rand -base64 32`"}},
		{"no public URL", without("PUBLIC_URL"), []string{"PUBLIC_URL: is not set"}},
		{"no app", without("OFFICIAL_APP_ID", "OFFICIAL_APP_SECRET"), []string{"OFFICIAL_APP_ID: no app is configured"}},
		{"appid without its secret", without("OFFICIAL_APP_SECRET"), []string{"OFFICIAL_APP_SECRET: is not set, but WXBRIDGE_OFFICIAL_APP_ID is"}},
		{"secret without its appid", without("OFFICIAL_APP_ID"), []string{"OFFICIAL_APP_ID: is not set, but WXBRIDGE_OFFICIAL_APP_SECRET is"}},
		{"pushes without an official account", onlyMini("OFFICIAL_TOKEN=" + goodToken), []string{"OFFICIAL_TOKEN: WXBRIDGE_OFFICIAL_APP_ID is not"}},
		{"a key for pushes without a token", with("OFFICIAL_ENCODING_AES_KEY=" + goodAESKey), []string{"OFFICIAL_TOKEN: is not set, but WXBRIDGE_OFFICIAL_ENCODING_AES_KEY is"}},
		{"mini program without its secret", with("MINIPROGRAM_APP_ID=wx00112233445566ff"), []string{"MINIPROGRAM_APP_SECRET: is not set"}},
		{"website login without a website app", with("DESKTOP_LOGIN=website"), []string{"DESKTOP_LOGIN: is website, but no website app is configured"}},
		{"website app without its secret", with("WEBSITE_APP_ID=wx00112233445566ee"), []string{"WEBSITE_APP_SECRET: is not set"}},
		{"website secret without its appid, and no app else", map[string]string{"WXBRIDGE_PUBLIC_URL": minimal()["WXBRIDGE_PUBLIC_URL"],
			"WXBRIDGE_SECRET": goodSecret, "WXBRIDGE_WEBSITE_APP_SECRET": goodMiniSecret}, []string{"WEBSITE_APP_ID: is not set"}},
		{"mini program secret without its appid", with("MINIPROGRAM_APP_SECRET=" + goodMiniSecret), []string{"MINIPROGRAM_APP_ID: is not set"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			assertFaults(t, faultsOf(t, row.environ), row.want)
		})
	}
}

// onlyMini is an environment with a mini program and no official account.
func onlyMini(pairs ...string) map[string]string {
	environ := with(append(pairs, "MINIPROGRAM_APP_ID=wx00112233445566ff", "MINIPROGRAM_APP_SECRET="+goodMiniSecret)...)
	delete(environ, "WXBRIDGE_OFFICIAL_APP_ID")
	delete(environ, "WXBRIDGE_OFFICIAL_APP_SECRET")
	return environ
}

func assertFaults(t *testing.T, faults config.Faults, want []string) {
	t.Helper()
	if len(faults) != len(want) {
		t.Fatalf("got %d faults, want %d:\n%v", len(faults), len(want), faults)
	}
	for i, w := range want {
		variable, part, _ := strings.Cut(w, ": ")
		if faults[i].Variable != "WXBRIDGE_"+variable || !strings.Contains(faults[i].Problem, part) {
			t.Errorf("fault %d is %q, want %s with %q", i, faults[i], variable, part)
		}
	}
}

func TestUnknownVariablesAreFaultsWithASuggestion(t *testing.T) {
	for _, row := range []struct{ name, want string }{
		{"PUBLIC_ULR", "did you mean WXBRIDGE_PUBLIC_URL?"},
		{"public_url", "did you mean WXBRIDGE_PUBLIC_URL?"},
		{"SECERT", "did you mean WXBRIDGE_SECRET?"},
		{"SECRET_FILES", "did you mean WXBRIDGE_SECRET_FILE?"},
		{"JWT_TTLS", "did you mean WXBRIDGE_JWT_TTL?"},
		{"RETURN_ORIGIN", "did you mean WXBRIDGE_RETURN_ORIGINS?"},
		{"MINI_PROGRAM_APP_ID", "did you mean WXBRIDGE_MINIPROGRAM_APP_ID?"},
		{"OFFICIAL_APPID", "did you mean WXBRIDGE_OFFICIAL_APP_ID?"},
		{"WECHAT_MP_URLL", "did you mean WXBRIDGE_WECHAT_MP_URL?"},
		{"DATABASE_FILE", "only secrets may come from a file"},
		{"OFFICIAL_APP_ID_FILE", "only secrets may come from a file"},
		{"WHATEVER_THIS_IS_MEANT_TO_BE", "remove it"},
		{"RATE_LIMITER_TABLE", "is not a setting of wxbridge"},
		{"", "is not a setting of wxbridge"},
		{"TESTING", "is not a setting of wxbridge"},
		{strings.Repeat("X", 5000), "is not a setting of wxbridge"},
	} {
		t.Run(row.name, func(t *testing.T) {
			faults := faultsOf(t, with(row.name+"=1"))
			if len(faults) != 1 || faults[0].Variable != "WXBRIDGE_"+row.name || !strings.Contains(faults[0].Problem, row.want) {
				t.Errorf("faults = %v, want one with %q", faults, row.want)
			}
		})
	}
}

func TestLOG02_OddVariableNamesStayOnTheirLine(t *testing.T) {
	faults := faultsOf(t, map[string]string{"WXBRIDGE_A\nWXBRIDGE_B: is fine\x1b[2J": "1"})
	if text := faults.Error(); strings.Count(text, "\n")+1 != len(faults) || strings.Contains(text, "\x1b") {
		t.Errorf("the name breaks out of its line:\n%q", text)
	}
}

func TestKEY07_SecretsFromFiles(t *testing.T) {
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Run("every secret may come from a file", func(t *testing.T) {
		const shared = "r4Jk8Wq1Zx6Cv3Bn9Mm2Lp7Oi5Uy0TtE"
		paths := []string{file(goodSecret + "\n"), file(otherSecret), file(goodOfficialSecret + "\r\n"), file(goodToken + "\n"), file(goodAESKey), file(goodMiniSecret), file(goodWebsiteSecret), file(shared + "\n")}
		environ := without("SECRET", "OFFICIAL_APP_SECRET")
		environ["WXBRIDGE_SECRET_FILE"] = paths[0]
		environ["WXBRIDGE_SECRET_PREVIOUS_FILE"] = paths[1]
		environ["WXBRIDGE_OFFICIAL_APP_SECRET_FILE"] = paths[2]
		environ["WXBRIDGE_OFFICIAL_TOKEN_FILE"] = paths[3]
		environ["WXBRIDGE_OFFICIAL_ENCODING_AES_KEY_FILE"] = paths[4]
		environ["WXBRIDGE_MINIPROGRAM_APP_ID"] = "wx00112233445566ff"
		environ["WXBRIDGE_MINIPROGRAM_APP_SECRET_FILE"] = paths[5]
		environ["WXBRIDGE_WEBSITE_APP_ID"] = "wx00112233445566ee"
		environ["WXBRIDGE_WEBSITE_APP_SECRET_FILE"] = paths[6]
		environ["WXBRIDGE_JWT_ALG"] = "HS256"
		environ["WXBRIDGE_JWT_HS256_SECRET_FILE"] = paths[7]
		c := load(t, environ)
		got := []string{c.Secret.Reveal(), c.SecretPrevious.Reveal(), c.Official.Secret.Reveal(), c.Official.Token.Reveal(), c.Official.EncodingAESKey.Reveal(), c.MiniProgram.Secret.Reveal(), c.Website.Secret.Reveal(), c.JWTHS256Secret.Reveal()}
		if diff := cmp.Diff([]string{goodSecret, otherSecret, goodOfficialSecret, goodToken, goodAESKey, goodMiniSecret, goodWebsiteSecret, shared}, got); diff != "" {
			t.Errorf("secrets (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(paths, c.SecretFiles); diff != "" {
			t.Errorf("SecretFiles (-want +got):\n%s", diff)
		}
	})
	for _, row := range []struct {
		name    string
		environ map[string]string
		want    []string
	}{
		{"both set", with("SECRET_FILE=" + file(goodSecret)), []string{"SECRET_FILE: is set together with WXBRIDGE_SECRET"}},
		{"both set for an app", with("OFFICIAL_APP_SECRET_FILE=" + file("x")), []string{"OFFICIAL_APP_SECRET_FILE: is set together with"}},
		{"no such file", withoutSecret("SECRET_FILE=/no/such/file"), []string{"SECRET_FILE: no such file"}},
		{"a folder", withoutSecret("SECRET_FILE=" + t.TempDir()), []string{"SECRET_FILE: is a directory"}},
		{"an empty file", withoutSecret("SECRET_FILE=" + file("")), []string{"SECRET_FILE: names an empty file"}},
		{"a file of line ends", withoutSecret("SECRET_FILE=" + file("\n\r\n")), []string{"SECRET_FILE: names an empty file"}},
		{"a short secret in a file", withoutSecret("SECRET_FILE=" + file("short\n")), []string{"SECRET: has 5 bytes"}},
		{"an unreadable file for an app without appid", with("MINIPROGRAM_APP_SECRET_FILE=/no/such/file"),
			[]string{"MINIPROGRAM_APP_SECRET_FILE: no such file", "MINIPROGRAM_APP_ID: is not set"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			faults := faultsOf(t, row.environ)
			if len(faults) == 2 && faults[0].Variable == "WXBRIDGE_MINIPROGRAM_APP_ID" {
				faults[0], faults[1] = faults[1], faults[0]
			}
			assertFaults(t, faults, row.want)
		})
	}
	t.Run("a reader's error text is not shown", func(t *testing.T) {
		_, err := config.Load(withoutSecret("SECRET_FILE=hunter2"), func(name string) ([]byte, error) {
			return nil, fmt.Errorf("open %s: %w", name, &fs.PathError{Op: "open", Path: name, Err: errors.New("too large")})
		})
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "too large") {
			t.Errorf("error = %v", err)
		}
	})
}

func withoutSecret(pairs ...string) map[string]string {
	environ := with(pairs...)
	delete(environ, "WXBRIDGE_SECRET")
	return environ
}

func TestKEY07_DumpsShowNoSecret(t *testing.T) {
	const shared = "r4Jk8Wq1Zx6Cv3Bn9Mm2Lp7Oi5Uy0TtE"
	c := load(t, with("MINIPROGRAM_APP_ID=wx00112233445566ff", "MINIPROGRAM_APP_SECRET="+goodMiniSecret, "SECRET_PREVIOUS="+otherSecret,
		"OFFICIAL_TOKEN="+goodToken, "OFFICIAL_ENCODING_AES_KEY="+goodAESKey, "JWT_ALG=HS256", "JWT_HS256_SECRET="+shared))
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("configuration", "config", c, "secret", c.Secret, "app", c.Official)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("configuration", "config", c, "pointer", &c, "official", c.Official)
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	dumps := map[string]string{"slog": logged.String(), "json": string(asJSON)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		dumps[verb] = fmt.Sprintf(verb+verb+verb+verb+verb, c, &c, c.Secret, c.Official, []any{c.MiniProgram, c.Secret})
	}
	for how, dump := range dumps {
		for _, secret := range []string{goodSecret, goodOfficialSecret, goodMiniSecret, otherSecret, shared, goodToken, goodAESKey} {
			if strings.Contains(dump, secret) || strings.Contains(strings.ToLower(dump), fmt.Sprintf("%x", secret)) {
				t.Errorf("%s shows a secret: %s", how, dump)
			}
		}
	}
	if !strings.Contains(dumps["slog"], "***") || !strings.Contains(dumps["%v"], "***") {
		t.Error("a dump should show that a secret is set")
	}
}

func TestFaultsNeverShowValues(t *testing.T) {
	const marked = "M4RK3D"
	for _, v := range config.Variables() {
		for _, value := range []string{marked, "https://u:" + marked + "@x/", "http://" + marked + ".example", marked + ",*" + marked, "%zz" + marked, "\x00" + marked} {
			for _, name := range []string{v.Name, v.Name + "_FILE", v.Name + "S"} {
				environ := maps.Clone(minimal())
				environ[name] = value
				if _, err := config.Load(environ, os.ReadFile); err != nil && strings.Contains(strings.ToUpper(err.Error()), marked) {
					t.Errorf("%s=%q is shown: %v", name, value, err)
				}
			}
		}
	}
}
