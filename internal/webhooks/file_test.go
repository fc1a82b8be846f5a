package webhooks_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wxbridge/internal/webhooks"
	"wxbridge/internal/yamlfile"
)

var known = webhooks.Known{
	Events:   []string{"login", "fan.registered", "fan.updated", "official_account.message"},
	Answered: []string{"official_account.message"},
	Apps: map[string][]string{"default": {"wx0123456789abcdef", "wx00000000000000aa"}, "shop": {"wx00000000000000bb"},
		"wx0123456789abcdef": {"wx0123456789abcdef"}, "wx00000000000000aa": {"wx00000000000000aa"}, "wx00000000000000bb": {"wx00000000000000bb"}},
}

func secret(label string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte((label + "-Wq7Zt2mXc9Lf4Rb8Ns6Kd1Hy3Gp5Jv0TuEaQoIiYz")[:40]))
}

func noFiles(name string) ([]byte, error) { return nil, os.ErrNotExist }

func TestAFileOfEndpoints(t *testing.T) {
	files := map[string]string{"shop.secret": secret("shop") + "\n", "old.secret": secret("old")}
	got, read, err := webhooks.Parse([]byte(`
endpoints:
  - name: shop
    url: https://shop.example.com/in?tenant=7
    secret_file: shop.secret
    secret_previous_file: old.secret
    events: [fan.*, login]
  - {name: chat-1, url: "http://[::1]:9000/", secret: `+secret("chat")+`, events: ["*"], apps: [wx0123456789abcdef], replier: true}
  - {name: chat-2, url: "http://localhost:9000/", secret: `+secret("chat2")+`, events: [official_account.message], apps: [wx00000000000000aa], replier: true}
  - {name: every-default, url: "https://all.example.com/", secret: `+secret("all")+`, events: [login], apps: [default, wx00000000000000aa, shop]}
`), known, func(name string) ([]byte, error) { return []byte(files[name]), nil })
	if err != nil {
		t.Fatal(err)
	}
	type brief struct {
		Name, Address  string
		Secrets        int
		Events, AppIDs []string
		Replier        bool
	}
	var all []brief
	for _, e := range got {
		all = append(all, brief{e.Name, e.Address(), len(e.Secrets), e.Events, e.AppIDs, e.Replier})
	}
	if diff := cmp.Diff([]brief{
		{"shop", "https://shop.example.com/in", 2, []string{"fan.*", "login"}, nil, false},
		{"chat-1", "http://[::1]:9000/", 1, []string{"*"}, []string{"wx0123456789abcdef"}, true},
		{"chat-2", "http://localhost:9000/", 1, []string{"official_account.message"}, []string{"wx00000000000000aa"}, true},
		{"every-default", "https://all.example.com/", 1, []string{"login"}, []string{"wx0123456789abcdef", "wx00000000000000aa", "wx00000000000000bb"}, false},
	}, all); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"shop.secret", "old.secret"}, read); diff != "" {
		t.Error(diff)
	}
	if printed := fmt.Sprintf("%v %+v %#v %s", got, got, got[0].Secrets, got[0].Secrets[0]); strings.Contains(printed, "Wq7Zt") || strings.Contains(printed, "0x") && strings.Contains(printed, "key:") {
		t.Errorf("a secret is printed: %s", printed)
	}
}

func TestREL14_EveryFaultHasItsLineAndQuotesNothing(t *testing.T) {
	good := "  - {name: shop, url: 'https://shop.example.com/', secret: " + secret("shop") + ", events: [login]}\n"
	entry := func(fields string) string { return "endpoints:\n" + good + "  - {" + fields + "}\n" }
	other := func(fields string) string {
		return entry("name: other, url: 'https://other.example.com/', secret: " + secret("other") + ", events: [login], " + fields)
	}
	url := func(url string) string {
		return entry("name: other, url: '" + url + "', secret: " + secret("other") + ", events: [login]")
	}
	key := func(text string) string {
		return entry("name: other, url: 'https://other.example.com/', secret: '" + text + "', events: [login]")
	}
	events := func(list string) string {
		return entry("name: other, url: 'https://other.example.com/', secret: " + secret("other") + ", events: " + list)
	}
	const plain = "a-secret-in-the-wrong-place"
	short := "whsec_" + base64.StdEncoding.EncodeToString([]byte("Wq7Zt2mXc9Lf4Rb8Ns6Kd1H"))
	zeros := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, row := range map[string]struct {
		text string
		want []string
	}{
		"empty":                      {"", []string{"0: has no endpoint"}},
		"no list":                    {"endpoints:\n", []string{"0: has no endpoint"}},
		"not YAML":                   {"endpoints: [\n", []string{"1: is not YAML: sequence end token ']' not found"}},
		"a text":                     {plain, []string{"1: is not a list named endpoints"}},
		"a text for an endpoint":     {"endpoints:\n" + good + "  - " + plain + "\n", []string{"3: each endpoint is a set of fields: name, "}},
		"another list":               {"endpoint:\n" + good, []string{"1: there is a field endpoint beside the list named endpoints"}},
		"an unknown field":           {other("password: " + plain), []string{"3: there is a field password, which no endpoint has; it has name, url, secret, "}},
		"a field twice":              {other("name: " + plain), []string{"3: name is repeated"}},
		"a text for a switch":        {other("replier: " + plain), []string{"3: replier is neither true nor false"}},
		"a text for a list":          {events("login"), []string{"3: events is not a list, such as [login, fan.*]"}},
		"nothing":                    {entry("apps: []"), []string{"3: name is missing", "3: url is missing", "3: secret and secret_file are missing", "3: events is missing", "3: apps is empty; leave it out"}},
		"a bad name":                 {entry("name: 'a b', url: 'https://o.example.com/', secret: " + secret("other") + ", events: [login]"), []string{"3: name is not 1 to 64"}},
		"the same name":              {entry("name: shop, url: 'https://o.example.com/', secret: " + secret("other") + ", events: [login]"), []string{"3: name is already that of the endpoint on line 2"}},
		"the same secret":            {key(secret("shop")), []string{"3: a secret is that of the endpoint on line 2"}},
		"plain http":                 {url("http://other.example.com/"), []string{"3: url is http; beyond this machine"}},
		"plain http in the network":  {url("http://192.168.1.2/"), []string{"3: url is http; beyond this machine"}},
		"a name like this machine's": {url("http://localhost.example.com/"), []string{"3: url is http; beyond this machine"}},
		"another scheme":             {url("ftp://other.example.com/"), []string{"3: url is neither https nor http"}},
		"no host":                    {url("https:///path"), []string{"3: url is not an absolute URL"}},
		"a path":                     {url("/in"), []string{"3: url is not an absolute URL"}},
		"not a URL":                  {url("https://a b/"), []string{"3: url is not an absolute URL"}},
		"a password":                 {url("https://u:" + plain + "@other.example.com/"), []string{"3: url holds a user or a password"}},
		"a fragment":                 {url("https://other.example.com/#x"), []string{"3: url has a fragment"}},
		"no prefix":                  {key(plain), []string{"3: secret does not begin with whsec_"}},
		"not base64":                 {key("whsec_" + plain + "!"), []string{"3: secret is not base64"}},
		"KEY-02 a short secret":      {key(short), []string{"3: secret has 23 bytes, not 32 to 64"}},
		"KEY-02 no random secret":    {key(zeros), []string{"3: secret is not random"}},
		"two secrets":                {other("secret_file: x"), []string{"3: secret_file is set together with secret"}},
		"no such file":               {entry("name: other, url: 'https://o.example.com/', secret_file: nowhere, events: [login]"), []string{"3: secret_file names a file that cannot be read (no such file); a path is relative to this file"}},
		"the same secret before":     {other("secret_previous: " + secret("other")), []string{"3: secret_previous is the same"}},
		"a bad secret before":        {other("secret_previous: " + plain), []string{"3: secret_previous does not begin"}},
		"an unknown event":           {events("[fan.register]"), []string{"3: entry 1 of events fits no event"}},
		"an unknown group":           {events("[login, 'fans.*']"), []string{"3: entry 2 of events fits no event"}},
		"a star in a word":           {events("['log*']"), []string{"3: entry 1 of events fits no event"}},
		"an event twice":             {events("[login, login]"), []string{"3: entry 2 of events is there twice"}},
		"a bad app":                  {other("apps: ['a b']"), []string{"3: entry 1 of apps is no app of this bridge; there are default, shop, wx0"}},
		"an app nobody configured":   {other("apps:\n    - shop\n    - wxffffffffffffffff"), []string{"5: entry 2 of apps is no app of this bridge; there are default, shop, wx0"}},
		"an app twice":               {other("apps: [shop, shop]"), []string{"3: entry 2 of apps is there twice"}},
		"two who answer": {"endpoints:\n  - {name: a, url: 'https://a.example.com/', secret: " + secret("a") + ", events: ['*'], replier: true, apps: [default]}\n" +
			"  - {name: b, url: 'https://b.example.com/', secret: " + secret("b") + ", events: [official_account.message], replier: true, apps: [wx00000000000000aa]}\n",
			[]string{"3: replier: the endpoint on line 2 answers for the same app already"}},
		"a replier that never hears": {other("replier: true, apps: [nobody]"), []string{"3: replier is true, but events has nothing that people are shown a reply to; such are official_account.message", "3: entry 1 of apps is no"}},
		"each on its field's line": {"endpoints:\n  - url: http://a.example.com/\n    name: a b\n    secret: " + plain + "\n    events:\n      - login\n      - logins\n      - {}\n    pass: x\n    replier: maybe\n    apps:\n      nobody\n",
			[]string{"2: url is http", "3: name is not", "4: secret does not begin with whsec_; make one with", "7: entry 2 of events fits", "8: entry 3 of events is not one text",
				"9: there is a field pass", "10: replier is neither", "11: apps is not a list"}},
		"a broken one hides nothing": {"endpoints:\n  - events: login\n  - {name: 'a b', url: 7}\n  - whsec_" + plain + ": x\n",
			[]string{"2: name is missing", "2: url is missing", "2: secret and", "2: events is not a list", "3: name is not", "3: url is not an absolute", "3: secret and", "3: events is missing",
				"4: there is a field, which no", "4: name", "4: url", "4: secret", "4: events"}},
	} {
		t.Run(name, func(t *testing.T) {
			endpoints, _, err := webhooks.Parse([]byte(row.text), known, noFiles)
			var faults yamlfile.Faults
			if !errors.As(err, &faults) || endpoints != nil {
				t.Fatalf("Parse: %v", err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(row.want) {
				t.Fatalf("%d faults, want %d:\n%v", len(lines), len(row.want), err)
			}
			for i, want := range row.want {
				if !strings.HasPrefix(lines[i], "line "+want) {
					t.Errorf("%q, want %q", lines[i], want)
				}
			}
			if strings.Contains(err.Error(), plain) || strings.Contains(err.Error(), "Wq7Z") {
				t.Errorf("the fault quotes the file: %v", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("endpoints:\n  - {name: a, url: 'https://a.example.com/', secret: " + secret("a") + ", events: [login]}\n")
	f.Add("endpoints: [&a [*a]]")
	f.Add("endpoints:\n  - name: a\n    <<: *b\n")
	f.Fuzz(func(t *testing.T, text string) {
		endpoints, _, err := webhooks.Parse([]byte(text), known, noFiles)
		var faults yamlfile.Faults
		if err == nil && len(endpoints) == 0 || err != nil && !errors.As(err, &faults) {
			t.Errorf("%d endpoints, error %v", len(endpoints), err)
		}
	})
}
