package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wxbridge/internal/config"
)

// wrong lists values that stop the start, by variable. Every value must give exactly one fault, which names the
// variable and holds the text before the values.
func wrong(t *testing.T) map[string]map[string][]string {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", 64)
	badHosts := []string{
		"https://-a.example", "https://a-.example", "https://a..example", "https://.example", "https://example.",
		"https://" + long + ".example", "https://" + strings.Repeat("a.", 130) + "example", "https://a_b.example", "https://[login]",
		"https://[1.2.3.4]", "https://1.2.3", "https://127.1", "https://256.1.1.1", "https://0x7f.0x1", "https://a.1", "https://a.0xff",
		"https://2130706433", "https://a,b", "https://a;b", "https://a%2eb", "https://ok%00", "https://[::1%25lo]",
	}
	urls := map[string][]string{
		"quotes":               {`"https://a.example"`, `'https://a.example'`, `"https://a.example`},
		"space, backslash":     {" https://a.example", "https://a.example ", "https://a .example", "https://a.example\n", "https:\\\\a.example", "https://a\\b", "https://a.example\x00", "https://\x7fa", "https://微信.example", "https://a\u2028b"},
		"does not begin with":  {"login.example.com", "//login.example.com", "ftp://a.example", "ws://a.example", "/path", "a", "htps://a.example", "file:///etc/passwd", "weixin://a"},
		"has a user":           {"https://user@a.example", "https://user:pw@a.example", "https://@a.example", "https://:@a.example"},
		"has a query":          {"https://a.example?x=1", "https://a.example?", "https://a.example/?"},
		"has a fragment":       {"https://a.example#x", "https://a.example#", "https://a.example/#"},
		"has no host":          {"https://", "https:///", "https://:8443", "http://"},
		"colon without a port": {"https://a.example:"},
		"a port that":          {"https://a.example:0", "https://a.example:65536", "https://a.example:99999999999999999999", "https://a.example:0443"},
		"is plain http":        {"http://a.example", "http://10.0.0.1:8080", "http://192.168.1.2", "http://localhost.example", "http://127.0.0.1.example", "http://[2001:db8::1]", "http://notlocalhost", "HTTP://A.example"},
		"":                     append(badHosts, "https://a.example:x", "https://a.example:-1", "https://[::1", "https://%zz", "https:a.example", "http:", "javascript:alert(1)//"),
	}
	paths := []string{"https://a.example/x", "https://a.example/x/", "https://a.example/.."}
	publicURL := cloneWith(urls, "has a path", paths)
	upstream := cloneWith(urls, "PUBLIC_URL is https", []string{
		"http://localhost:8090", "http://127.0.0.1:8090", "https://localhost:8090", "https://127.0.0.1", "https://[::1]", "https://127.8.8.8",
		"https://[::ffff:127.0.0.1]", "https://0.0.0.0", "https://[::]", "https://api.localhost", "https://LOCALHOST", "http://[::1]:8090/x",
	})
	upstream["escaped"] = []string{"https://a.example/a%2Fb", "https://a.example/a%20b"}

	origins := map[string][]string{}
	for problem, values := range urls {
		for _, v := range values {
			if !strings.Contains(v, ",") && strings.TrimSpace(v) == v {
				origins[problem] = append(origins[problem], v)
			}
		}
	}
	origins["wildcard"] = []string{"*", "https://*.example.com", "https://*", "https://a.example:*"}
	origins["null"] = []string{"null"}
	origins["has a path"] = []string{"https://a.example/", "https://a.example/x", "https://a.example//"}
	origins["entry 2 is empty"] = []string{"https://a.example,", "https://a.example,,https://b.example", "https://a.example, "}
	origins["entry 1 is empty"] = []string{",https://a.example"}
	origins["entry 2 does not"] = []string{"https://a.example,b.example"}

	durations := func(least, most string) map[string][]string {
		return map[string][]string{
			"is not a duration": {"1", "2 hours", "1d", "forever", "h", "10", "1h,2h", "٣h", "9999999h9999999h9999999999h"},
			"between":           {least, most, "-1h", "-1s"},
			"whole seconds":     {"1500ms", "2.5s", "1h0.1s"},
		}
	}
	session, token, jwks := durations("0s", "9601h"), durations("999ms", "721h"), durations("-1s", "24h1s")
	booleans := map[string][]string{"is not true or false": {"yes", "no", "on", "2", "oui", "truee", " true"}}
	links := map[string][]string{
		"is not a URL":        {"https://a b", "https://a\nb", "https://a\\b", "https://%zz", "https://a\x7f", "https://a/\xff"},
		"does not begin with": {"javascript:alert(1)", "/privacy", "privacy", "data:text/html,x", "ftp://a", "//a.example/p", "weixin://dl"},
		"user name":           {"https://u@a.example/p", "https://u:p@a.example"},
		"host":                {"https://", "https:///p", "http://-a", "https://127.1/p"},
		"port":                {"https://a:0", "https://a:99999/p", "https://a:/p"},
	}
	appIDs := map[string][]string{"is not an appid": {
		"wx", "wx0123456789abcde", "wx0123456789abcdef0", "wx0123456789abcdeg", "WX0123456789abcdef", "wx0123456789ABCDEF", "gh_0123456789abcd", "ww0123456789abcdef",
		"0123456789abcdef", " wx0123456789abcdef", "wx0123456789abcdef ", "wx0123456789abcdef\n", "wx0123456789abcd\u00e9f", "wx-123456789abcdef", "wx0123456789abcdef,wx0123456789abcdee",
	}}
	appSecrets := map[string][]string{
		"placeholder":        {"changeme", "CHANGE-ME", "replace-me-with-the-appsecret", "your-app-secret", "placeholder", "your_secret_here", "put-your-secret-here", "<AppSecret of the official account>"},
		"has a space":        {"abc def", "abc\n", "\x00", "séc"},
		"more than 256 byte": {strings.Repeat("ab", 129)},
	}
	secrets := map[string][]string{
		"placeholder": {
			"changeme", "changeme-changeme-changeme-changeme", "CHANGE_ME_CHANGE_ME_CHANGE_ME_123456", "change-this-to-something-long-and-random!",
			"replace-me-with-the-output-of-openssl-rand-base64-32", "your-secret-key-goes-here-0123456789abcdef", "my-secret-my-secret-my-secret-my-secret",
			"placeholder", "supersecretsupersecretsupersecret!!", "$(openssl rand -base64 32)", "secretsecretsecretsecretsecretsecret", "openssl rand -base64 32 | tr -d '\\n' > x",
			"put-your-secret-here-put-your-secret-here", "insert-your-secret-here-0123456789012",
		},
		"bytes":   {"x", "secret", "password", goodSecret[:31], "correct horse battery staple", strings.Repeat("ab1X", 7) + "abc", strings.Repeat(goodSecret, 100)},
		"guessed": {strings.Repeat("a", 32), strings.Repeat("0", 64), strings.Repeat("ab", 20), strings.Repeat("passw0rd", 5), "12345678901234567890123456789012", strings.Repeat("aabbc", 10), "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbcccc", strings.Repeat(" ", 40)},
	}
	algorithms := map[string][]string{"is not ES256, EdDSA, RS256 or HS256": {
		"none", "es256", "Es256", "ES384", "ES512", "RS384", "RS512", "PS256", "HS384", "HS512", "Ed25519", "EDDSA", "ES256K", " ES256", "ES256,RS256", "RSA",
	}}
	keyAge := cloneWith(durations("59m59s", "26281h"), "keys would pile up", []string{"1h", "4h", "4h19m59s"})
	keyAge["whole seconds"] = []string{"100h0.5s", "4500m1ms"}
	return map[string]map[string][]string{
		"PUBLIC_URL": publicURL,
		"LISTEN": {
			"is not host:port": {"8080", "127.0.0.1", "localhost", "::1:8080", "[::1]", "a:b:c", "127.0.0.1:80:80"},
			"has a port":       {"127.0.0.1:", ":", "127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:080", "127.0.0.1:+80", ":8080 "},
			"has a host":       {"//127.0.0.1:8080", "a b:80", "-a:80", "256.1.1.1:80", "[localhost]:80", "*:80", "a/b:80"},
		},
		"DATABASE": {
			"sqlite://":      {"wxbridge.db", "sqlite:wxbridge.db", "postgres://localhost/x", "mysql://x", "SQLITE://x.db", "/var/lib/x.db", "redis://x"},
			"no file":        {"sqlite://", "sqlite:///", "sqlite://data/", "sqlite://:memory:", "sqlite://file:x.db"},
			"query":          {"sqlite://x.db?mode=memory", "sqlite://x.db#y", "sqlite://x\x00.db", "sqlite://x\n.db"},
			"does not exist": {"sqlite:///no/such/folder/x.db", "sqlite://no-such-folder/x.db", "sqlite://" + file + "/x.db"},
			"names a folder": {"sqlite://" + filepath.Dir(file)},
		},
		"SECRET":         secrets,
		"RETURN_ORIGINS": origins,
		"DEFAULT_RETURN_TO": {
			"more than 1024":   {"/" + strings.Repeat("a", 1024)},
			"space, backslash": {"/a b", "/a\tb", "/\\evil.example", "\\\\evil.example", "/a\nb", "/\x00", "/\x7f", "/a\\b", " /a", "/\xff"},
			"two slashes":      {"//evil.example", "///evil.example", "//", "/../x", "/a/..//evil.example", "/%2e%2e/x", "/./", "https://ok.example//evil.example", "https://ok.example/.."},
			"neither": {
				"home", "evil.example", "javascript:alert(1)", "https:evil.example", "https://", "?x=1", "#top", "https://u@ok.example/", "data:text/html,x", "https://[ok",
				"https://a@b@ok.example", "https://other.example/", "http://login.shop.example.com/home", "http://ok.example/", "https://ok.example.evil.example",
				"https://ok.example:444/", "https://ok.example:443/", "https://sub.ok.example/", "https://ok.example:/", "https://ok.example@evil.example/", "https://OK.example/",
				"weixin://ok.example", "/%zz",
			},
		},
		"COOKIE_DOMAIN": {
			"IP address":           {"127.0.0.1", "192.0.2.1", "::1", ".10.0.0.1"},
			"is not a domain name": {"https://example.com", "example.com:443", "example.com/", "*.example.com", "exa mple.com", "..example.com", "example..com", "例子.com", "example.com,other.com", "example.com;", "."},
			"public suffix":        {"com", "co.uk", "com.cn", "github.io", "localhost", "cn", "internal"},
			"neither the host of":  {"example.org", "other.example.com", "ample.com", "x.login.shop.example.com", "hop.example.com", "login.example.com"},
		},
		"TRUSTED_PROXIES": {
			"entry 1 is not": {"everyone", "*", "10.0.0.0/33", "10.0.0/8", "256.1.1.1", "localhost", "fe80::1%eth0", "10.0.0.1:80", "10.0.0.1-10.0.0.9", "/8", "::ffff:10.0.0.0/104", ",10.0.0.1"},
			"entry 2 is not": {"10.0.0.1,x", "10.0.0.1,", "10.0.0.1,,10.0.0.2", "10.0.0.1 , 10.0.0.0/a"},
			"whole internet": {"0.0.0.0/0", "::/0", "1.2.3.4/0"},
		},
		"DOMAIN_FILES": {"is not an existing folder": {"/no/such/folder", file, "no-such-folder", "\x00", strings.Repeat("x", 5000)}},
		"CLIENTS_FILE": {
			"no such file":   {"/no/such/file", "clients.yaml", file + "x"},
			"cannot be read": {filepath.Dir(file), file + "/x", "\x00"},
		},
		"APPS_FILE": {
			"no such file":   {"/no/such/file", "apps.yaml", file + "x"},
			"cannot be read": {filepath.Dir(file), file + "/x", "\x00"},
			"has no app":     {file},
		},
		"EVENT_WEBHOOKS": {
			"no such file":   {"/no/such/file", "webhooks.yaml", file + "x"},
			"cannot be read": {filepath.Dir(file), file + "/x", "\x00"},
		},
		"PROFILE_POLICY": {
			"is not unknown, never": {"always", "Unknown", "NEVER", "30", "30d", "unknown ", "1h 2h", "unknown,never"},
			"between":               {"0s", "-1h", "100000h", "1ms"},
			"whole seconds":         {"1500ms"},
		},
		"DESKTOP_LOGIN": {
			"is not auto, website, scan or qrcode": {"scna", "Scan", "auto ", "website,scan", "true"},
		},
		"PRIVACY_URL":            links,
		"TERMS_URL":              links,
		"SESSION_TTL":            session,
		"JWT_TTL":                token,
		"JWKS_MAX_AGE":           jwks,
		"JWT_ALG":                algorithms,
		"KEY_MAX_AGE":            keyAge,
		"JWT_HS256_SECRET":       cloneWith(secrets, "seals the store", []string{goodSecret}),
		"SECRET_PREVIOUS":        cloneWith(secrets, "is the same as", []string{goodSecret}),
		"OFFICIAL_APP_ID":        appIDs,
		"MINIPROGRAM_APP_ID":     cloneWith(appIDs, "official account too", []string{"wx1c2d3e4f5a6b7c8d"}),
		"WEBSITE_APP_ID":         cloneWith(appIDs, "of another app too", []string{"wx1c2d3e4f5a6b7c8d", "wx00112233445566ff"}),
		"OFFICIAL_APP_SECRET":    appSecrets,
		"WEBSITE_APP_SECRET":     appSecrets,
		"MINIPROGRAM_APP_SECRET": appSecrets,
		"OFFICIAL_TOKEN": {
			"placeholder": {"changeme", "replace-me-with-the-token", "your-key"},
			"3 to 32":     {"ab", "a b c", "abc\n", "\u4ee4\u724c\u4ee4", strings.Repeat("a1", 65)},
		},
		"OFFICIAL_ENCODING_AES_KEY": {
			"placeholder":           {"replace-me-with-the-encodingaeskey", "changeme"},
			"43 letters and digits": {"x", goodAESKey[:42], goodAESKey + "a", goodAESKey[:42] + "=", goodAESKey[:42] + "+", goodAESKey[:42] + "\n", " " + goodAESKey[:42]},
		},
		"WECOM_CORP_ID":  {"is not a corpid": {"ww0123456789ABCDEF", "ww0123456789abcde", "ww0123456789abcdef0", "1000002", "corp", "wz0123456789abcdef", " ww0123456789abcdef"}},
		"WECOM_AGENT_ID": {"is not an AgentId": {"agent", "0", "-1", "1000002.0", "01000002", "+1000002", "99999999999", " 1000002", "1e6"}},
		"WECOM_SECRET":   appSecrets,
		"WECOM_TOKEN": {
			"placeholder": {"changeme", "replace-me-with-the-token"},
			"3 to 32":     {"ab", "a b c", strings.Repeat("a1", 65)},
		},
		"WECOM_ENCODING_AES_KEY": {
			"placeholder":           {"replace-me-with-the-encodingaeskey"},
			"43 letters and digits": {"x", goodAESKey[:42], goodAESKey + "a", goodAESKey[:42] + "="},
		},
		"WECOM_PRIVATE":             booleans,
		"WECOM_GUESTS":              booleans,
		"OFFICIAL_CONNECT_REDIRECT": booleans,
		"OFFICIAL_FORCE_POPUP":      booleans,

		"MINIPROGRAM_CHECK_NICKNAME": booleans,
		"JWT_AUDIENCE": {
			"ID token":   {"wxbridge"},
			"255 bytes":  {strings.Repeat("a", 256)},
			"is not one": {"a b", "a,b", "a\nb", "观众", " a", "a\x7f"},
			"is no URI":  {":x", "1:x", "http://%zz", ":"},
		},
		"RATE_LIMIT": {
			"whole number": {"many", "1.5", "600/m", "1e3", " 600", "99999999999999999999"},
			"between":      {"-1", "1000001"},
		},
		"METRICS_LISTEN": {
			"is not host:port": {"9090", "127.0.0.1", "true"},
			"has a port":       {"127.0.0.1:", "127.0.0.1:65536", ":metrics"},
			"has a host":       {"*:9090", "a b:9090"},
			"the public":       {"127.0.0.1:8080"}, // WEB-13
		},
		"WECHAT_API_URL":  upstream,
		"WECHAT_OPEN_URL": upstream,
		"WECHAT_MP_URL":   upstream,
		"WECOM_API_URL":   upstream,
		"WECOM_LOGIN_URL": upstream,
	}
}

func cloneWith(m map[string][]string, problem string, values []string) map[string][]string {
	clone := map[string][]string{problem: values}
	for k, v := range m {
		clone[k] = v
	}
	return clone
}

// TestREL14_WrongValuesNameTheirVariable also covers KEY-02 (weak secrets), WEB-03 (plain http) and REL-18 (a
// simulator as the upstream of a public bridge).
func TestREL14_WrongValuesNameTheirVariable(t *testing.T) {
	rows := 0
	table := wrong(t)
	for _, v := range config.Variables() {
		name := strings.TrimPrefix(v.Name, "WXBRIDGE_")
		if len(table[name]) == 0 {
			t.Errorf("no wrong value of %s is tried", name)
		}
		for problem, values := range table[name] {
			for _, value := range values {
				rows++
				environ := with("RETURN_ORIGINS=https://ok.example", "MINIPROGRAM_APP_ID=wx00112233445566ff",
					"MINIPROGRAM_APP_SECRET="+goodMiniSecret, "WEBSITE_APP_ID=wx00112233445566ee", "WEBSITE_APP_SECRET="+goodWebsiteSecret,
					"WECOM_CORP_ID="+corpID, "WECOM_AGENT_ID=1000002", "WECOM_SECRET="+goodMiniSecret,
					"WECOM_TOKEN=abc123", "WECOM_ENCODING_AES_KEY="+goodAESKey, name+"="+value)
				if name == "JWT_HS256_SECRET" {
					environ["WXBRIDGE_JWT_ALG"] = "HS256"
				}
				if name == "RETURN_ORIGINS" {
					delete(environ, "WXBRIDGE_DEFAULT_RETURN_TO")
				}
				_, err := config.Load(environ, os.ReadFile)
				faults, _ := err.(config.Faults)
				if len(faults) != 1 || faults[0].Variable != v.Name || !strings.Contains(faults[0].Problem, problem) || faults[0].Example == "" {
					t.Errorf("%s=%.80q: faults %v; want one of %s with %q and an example", name, value, err, name, problem)
				}
			}
		}
	}
	if rows < 400 {
		t.Errorf("only %d rows ran", rows)
	}
}

func TestREL18_SimulatorIsNoUpstreamOfAPublicBridge(t *testing.T) {
	faults := faultsOf(t, with("WECHAT_API_URL=http://localhost:8090", "WECHAT_OPEN_URL=http://localhost:8090", "WECHAT_MP_URL=https://127.0.0.1:8090"))
	assertFaults(t, faults, []string{"WECHAT_API_URL: simulator", "WECHAT_OPEN_URL: simulator", "WECHAT_MP_URL: simulator"})
}
