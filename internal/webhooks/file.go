package webhooks

import (
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"wxbridge/internal/listfile"
)

// Endpoint is a backend that is told.
type Endpoint struct {
	Name    string
	URL     *url.URL
	Secrets []Secret // the one to sign with, then the one before it, if it is still known
	Events  []string // patterns: "login", "fan.*", "*"
	AppIDs  []string // events about other apps are not sent; none: all are
	Replier bool     // its answer to a user's message is the account's
}

// Address is the URL as logs show it, without its query.
func (e Endpoint) Address() string {
	return (&url.URL{Scheme: e.URL.Scheme, Host: e.URL.Host, Path: e.URL.Path}).String()
}

// Known is what a file may speak of.
type Known struct {
	Events   []string            // the types of events there are
	Answered []string            // of these, those whose person is shown a reply
	Apps     map[string][]string // appids by whatever names an app: an alias may be that of several; nil: any appid will do
}

// Parse reads an endpoints file: YAML with one list, unknown fields refused.
//
//	endpoints:
//	  - name: shop
//	    url: https://shop.example.com/wechat-events
//	    secret_file: /run/secrets/wxbridge-shop   # or secret: whsec_…
//	    events: [fan.*, login]
//	    apps: [shop]                              # aliases or appids
//
// A pattern that no known event fits, or an app that is not known, is a fault. readFile reads a secret_file; the files that
// were read are returned too. The error is of type [yamlfile.Faults].
func Parse(text []byte, known Known, readFile func(name string) ([]byte, error)) (endpoints []Endpoint, secretFiles []string, err error) {
	p := fileParser{known: known, readFile: readFile,
		Reader: listfile.Reader{List: "endpoints", Thing: "endpoint", Fields: []string{"name", "url", "secret", "secret_file", "secret_previous",
			"secret_previous_file", "events", "apps", "replier"}}}
	for _, e := range p.Entries(text) {
		p.add(e)
	}
	if faults := p.Faults(); len(faults) > 0 {
		return nil, nil, faults
	}
	return p.endpoints, p.files, nil
}

// fileParser checks one entry after another.
type fileParser struct {
	listfile.Reader
	known    Known
	readFile func(string) ([]byte, error)

	endpoints []Endpoint // of one with a fault, what is good of it
	lines     []int      // of the endpoints
	files     []string
}

func (p *fileParser) add(entry listfile.Entry) {
	e := Endpoint{Name: p.name(entry), URL: p.url(entry), Secrets: p.secrets(entry)}
	before := len(p.Faults())
	e.Events, e.Replier = p.events(entry), p.Yes(entry, "replier")
	if e.Replier && len(p.Faults()) == before && !slices.ContainsFunc(e.Events, p.isAnswered) {
		p.Fault(entry.LineOf("replier"), "replier is true, but events has nothing that people are shown a reply to; such are %s", strings.Join(p.known.Answered, ", "))
	}
	e.AppIDs = p.apps(entry)
	e.Replier = e.Replier && len(p.Faults()) == before // else nobody knows for whom
	p.compare(entry, e)
	p.endpoints, p.lines = append(p.endpoints, e), append(p.lines, entry.Line)
}

var endpointName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// name gives "" for none that is good.
func (p *fileParser) name(e listfile.Entry) string {
	name, ok := p.Text(e, "name")
	switch {
	case !e.Given("name"):
		p.Fault(e.Line, "name is missing; it is what the log calls the endpoint, such as shop")
	case ok && !endpointName.MatchString(name):
		p.Fault(e.LineOf("name"), "name is not 1 to 64 letters, digits, dots, dashes and underscores")
	case ok:
		return name
	}
	return ""
}

// url takes http on this machine only: what is sent is about people.
func (p *fileParser) url(e listfile.Entry) *url.URL {
	text, ok := p.Text(e, "url")
	if !ok && e.Given("url") {
		return nil
	}
	u, err := url.Parse(text)
	problem := ""
	switch {
	case text == "":
		problem = "is missing; it is where events are posted to, such as " + exampleURL
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		problem = "is not an absolute URL, such as " + exampleURL
	case u.User != nil:
		problem = "holds a user or a password; the signature proves who sends"
	case u.Fragment != "":
		problem = "has a fragment, which is never sent"
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		problem = "is http; beyond this machine it has to be https"
	case u.Scheme != "http" && u.Scheme != "https":
		problem = "is neither https nor http"
	}
	if problem != "" {
		p.Fault(e.LineOf("url"), "url %s", problem)
	}
	return u
}

const exampleURL = "https://shop.example.com/wechat-events"

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (p *fileParser) secrets(e listfile.Entry) []Secret {
	current, ok := p.secret(e, "secret")
	if !ok {
		if !e.Given("secret") && !e.Given("secret_file") {
			p.Fault(e.Line, "secret and secret_file are missing; %s", makeSecret)
		}
		p.secret(e, "secret_previous")
		return nil
	}
	if previous, ok := p.secret(e, "secret_previous"); ok {
		if previous.equal(current) {
			p.Fault(e.LineOf(source(e, "secret_previous")), "secret_previous is the same as secret")
		}
		return []Secret{current, previous}
	}
	return []Secret{current}
}

const makeSecret = "make one with: echo whsec_$(openssl rand -base64 32)"

// source is the field that a secret comes from: its own, or the one that names its file.
func source(e listfile.Entry, name string) string {
	if !e.Given(name) {
		return name + "_file"
	}
	return name
}

func (p *fileParser) secret(e listfile.Entry, name string) (Secret, bool) {
	twin, from := name+"_file", source(e, name)
	text, ok := p.Text(e, from)
	switch {
	case e.Given(name) && e.Given(twin):
		p.Fault(e.LineOf(twin), "%s is set together with %s; keep one of them", twin, name)
		return Secret{}, false
	case !ok:
		return Secret{}, false
	case text == "":
		p.Fault(e.LineOf(from), "%s is empty", from)
		return Secret{}, false
	case from == twin:
		content, err := p.readFile(text)
		if err != nil {
			p.Fault(e.LineOf(from), "%s names a file that cannot be read (%s); a path is relative to this file", from, reasonOf(err))
			return Secret{}, false
		}
		p.files = append(p.files, text)
		text = strings.TrimRight(string(content), "\r\n")
	}
	secret, err := ParseSecret(text)
	if err != nil {
		what := from
		if from == twin {
			what = "the file that " + from + " names"
		}
		p.Fault(e.LineOf(from), "%s %s; %s", what, err, makeSecret)
		return Secret{}, false
	}
	return secret, true
}

// reasonOf is why a file cannot be read, without its path, which might be a secret in the wrong place.
func reasonOf(err error) string {
	path, ok := errors.AsType[*fs.PathError](err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such file"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied"
	case ok:
		return path.Err.Error()
	}
	return "it could not be read"
}

func (p *fileParser) events(e listfile.Entry) (events []string) {
	entries, ok := p.Texts(e, "events", "[login, fan.*]")
	if len(entries) == 0 && (ok || !e.Given("events")) {
		p.Fault(e.LineOf("events"), "events is missing or empty; it lists what is sent, such as login, fan.* or *")
	}
	for _, entry := range entries {
		prefix, open := strings.CutSuffix(entry.Text, "*")
		switch {
		case slices.Contains(events, entry.Text):
			p.Fault(entry.Line, "entry %d of events is there twice", entry.N)
		case open && prefix != "" && !strings.HasSuffix(prefix, "."), !fitsOne(entry.Text, p.known.Events):
			p.Fault(entry.Line, "entry %d of events fits no event; there are %s, and a star may stand for all behind a dot, or for all", entry.N, strings.Join(p.known.Events, ", "))
		}
		events = append(events, entry.Text)
	}
	return events
}

// fitsOne reports whether the pattern is, or stands for, one of the types.
func fitsOne(pattern string, types []string) bool {
	prefix, open := strings.CutSuffix(pattern, "*")
	return slices.ContainsFunc(types, func(known string) bool { return known == pattern || open && strings.HasPrefix(known, prefix) })
}

var appID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// apps gives the appids of the apps that are named, by alias or appid.
func (p *fileParser) apps(e listfile.Entry) (ids []string) {
	entries, ok := p.Texts(e, "apps", "[default, wx0123456789abcdef]")
	if ok && len(entries) == 0 {
		p.Fault(e.LineOf("apps"), "apps is empty; leave it out to send events about all apps")
	}
	for _, entry := range entries {
		named, known := p.known.Apps[entry.Text]
		switch {
		case slices.ContainsFunc(entries, func(o listfile.Value) bool { return o.N < entry.N && o.Text == entry.Text }):
			p.Fault(entry.Line, "entry %d of apps is there twice", entry.N)
		case p.known.Apps == nil && appID.MatchString(entry.Text):
			named = []string{entry.Text}
		case !known:
			p.Fault(entry.Line, "entry %d of apps is no app of this bridge; there are %s", entry.N, strings.Join(slices.Sorted(maps.Keys(p.known.Apps)), ", "))
		}
		for _, id := range named {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// isAnswered reports whether the pattern fits something that people are shown a reply to.
func (p *fileParser) isAnswered(pattern string) bool { return fitsOne(pattern, p.known.Answered) }

// compare finds what an endpoint must not share with those before it.
func (p *fileParser) compare(entry listfile.Entry, e Endpoint) {
	for n, other := range p.endpoints {
		if e.Name != "" && other.Name == e.Name {
			p.Fault(entry.LineOf("name"), "name is already that of the endpoint on line %d", p.lines[n])
			continue
		}
		if sharesSecret(other, e) {
			p.Fault(entry.LineOf(source(entry, "secret")), "a secret is that of the endpoint on line %d; each endpoint has its own", p.lines[n])
		}
		if other.Replier && e.Replier && sharesApp(other, e) {
			p.Fault(entry.LineOf("replier"), "replier: the endpoint on line %d answers for the same app already; give each replier its own apps", p.lines[n])
		}
	}
}

func sharesSecret(a, b Endpoint) bool {
	for _, s := range a.Secrets {
		if slices.ContainsFunc(b.Secrets, s.equal) {
			return true
		}
	}
	return false
}

func sharesApp(a, b Endpoint) bool {
	return len(a.AppIDs) == 0 || len(b.AppIDs) == 0 ||
		slices.ContainsFunc(a.AppIDs, func(app string) bool { return slices.Contains(b.AppIDs, app) })
}
