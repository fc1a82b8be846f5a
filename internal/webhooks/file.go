package webhooks

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
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

// Fault is one thing wrong with a file. It never quotes a value, which might be a secret in the wrong place.
type Fault struct {
	Line    int // 0 if it is about the whole file
	Problem string
}

// Faults is everything wrong with a file.
type Faults []Fault

// Error implements error: one line a fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fmt.Sprintf("line %d: %s", fault.Line, fault.Problem)
	}
	return strings.Join(lines, "\n")
}

// Parse reads an endpoints file: YAML with one list, unknown fields refused.
//
//	endpoints:
//	  - name: shop
//	    url: https://shop.example.com/wechat-events
//	    secret_file: /run/secrets/wxbridge-shop   # or secret: whsec_…
//	    events: [fan.*, login]
//
// known are the types of events there are: a pattern that none of them fits is a fault. readFile reads a secret_file; the
// files that were read are returned too. The error is of type [Faults].
func Parse(text []byte, known []string, readFile func(name string) ([]byte, error)) (endpoints []Endpoint, secretFiles []string, err error) {
	var file struct {
		Endpoints []entry `yaml:"endpoints"`
	}
	err = yaml.UnmarshalWithOptions(text, &file, yaml.Strict())
	switch {
	case errors.Is(err, io.EOF), err == nil && len(file.Endpoints) == 0:
		return nil, nil, Faults{{Problem: "has no endpoint in a list named endpoints"}}
	case err != nil:
		return nil, nil, Faults{faultOf(err, 0)}
	}
	p := parser{known: known, readFile: readFile}
	for _, e := range file.Endpoints {
		p.add(e)
	}
	if len(p.faults) > 0 {
		return nil, nil, p.faults
	}
	return p.endpoints, p.files, nil
}

// entry is one list item, with the line it starts on.
type entry struct {
	entryFields
	line   int
	broken *Fault // it cannot be read
}

type entryFields struct {
	Name               string   `yaml:"name"`
	URL                string   `yaml:"url"`
	Secret             string   `yaml:"secret"`
	SecretFile         string   `yaml:"secret_file"`
	SecretPrevious     string   `yaml:"secret_previous"`
	SecretPreviousFile string   `yaml:"secret_previous_file"`
	Events             []string `yaml:"events"`
	Apps               []string `yaml:"apps"`
	Replier            bool     `yaml:"replier"`
}

const fieldList = "name, url, secret, secret_file, secret_previous, secret_previous_file, events, apps and replier"

// UnmarshalYAML keeps the line, and what is wrong with this entry, so that the others are still looked at.
func (e *entry) UnmarshalYAML(node ast.Node) error {
	if t := node.GetToken(); t != nil && t.Position != nil {
		e.line = t.Position.Line
	}
	if err := yaml.NodeToValue(node, &e.entryFields, yaml.Strict()); err != nil {
		fault := faultOf(err, e.line)
		e.broken = &fault
	}
	return nil
}

// parser checks one entry after another.
type parser struct {
	known    []string
	readFile func(string) ([]byte, error)

	endpoints []Endpoint
	lines     []int // of the endpoints
	files     []string
	faults    Faults
}

func (p *parser) add(e entry) {
	if e.broken != nil {
		p.faults = append(p.faults, *e.broken)
		return
	}
	before := len(p.faults)
	endpoint := Endpoint{Name: p.name(e), URL: p.url(e), Secrets: p.secrets(e), Events: p.events(e), AppIDs: p.apps(e), Replier: e.Replier}
	if len(p.faults) > before {
		return
	}
	p.compare(e, endpoint)
	p.endpoints, p.lines = append(p.endpoints, endpoint), append(p.lines, e.line)
}

func (p *parser) fault(e entry, problem string, args ...any) {
	p.faults = append(p.faults, Fault{e.line, fmt.Sprintf(problem, args...)})
}

var endpointName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (p *parser) name(e entry) string {
	if !endpointName.MatchString(e.Name) {
		p.fault(e, "name is missing or is not 1 to 64 letters, digits, dots, dashes and underscores")
	}
	return e.Name
}

// url takes http on this machine only: what is sent is about people.
func (p *parser) url(e entry) *url.URL {
	u, err := url.Parse(e.URL)
	switch {
	case e.URL == "":
		p.fault(e, "url is missing")
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		p.fault(e, "url is not an absolute URL, such as https://shop.example.com/wechat-events")
	case u.User != nil:
		p.fault(e, "url holds a user or a password; the signature proves who sends")
	case u.Fragment != "":
		p.fault(e, "url has a fragment, which is never sent")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		p.fault(e, "url is http; beyond this machine it has to be https")
	case u.Scheme != "http" && u.Scheme != "https":
		p.fault(e, "url is neither https nor http")
	}
	return u
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (p *parser) secrets(e entry) []Secret {
	current, ok := p.secret(e, "secret", e.Secret, e.SecretFile)
	if !ok {
		if e.Secret == "" && e.SecretFile == "" {
			p.fault(e, "secret or secret_file is missing; make one with: echo whsec_$(openssl rand -base64 32)")
		}
		return nil
	}
	if previous, ok := p.secret(e, "secret_previous", e.SecretPrevious, e.SecretPreviousFile); ok {
		if previous.equal(current) {
			p.fault(e, "secret_previous is the same as secret")
		}
		return []Secret{current, previous}
	}
	return []Secret{current}
}

func (p *parser) secret(e entry, field, text, file string) (Secret, bool) {
	switch {
	case text == "" && file == "":
		return Secret{}, false
	case text != "" && file != "":
		p.fault(e, "%s is set together with %s_file; keep one of them", field, field)
		return Secret{}, false
	case file != "":
		field += "_file"
		content, err := p.readFile(file)
		if err != nil {
			p.fault(e, "%s names a file that cannot be read", field)
			return Secret{}, false
		}
		p.files = append(p.files, file)
		text = strings.TrimRight(string(content), "\r\n")
	}
	secret, err := ParseSecret(text)
	if err != nil {
		p.fault(e, "%s %s; make one with: echo whsec_$(openssl rand -base64 32)", field, err)
		return Secret{}, false
	}
	return secret, true
}

func (p *parser) events(e entry) []string {
	if len(e.Events) == 0 {
		p.fault(e, "events is missing or empty; it lists what is sent, such as login, fan.* or *")
	}
	for i, pattern := range e.Events {
		prefix, open := strings.CutSuffix(pattern, "*")
		fits := func(known string) bool { return known == pattern || open && strings.HasPrefix(known, prefix) }
		switch {
		case slices.Contains(e.Events[:i], pattern):
			p.fault(e, "events holds an entry twice")
		case open && prefix != "" && !strings.HasSuffix(prefix, "."), !slices.ContainsFunc(p.known, fits):
			p.fault(e, "entry %d of events fits no event; there are %s, and a star may stand for all behind a dot, or for all", i+1, strings.Join(p.known, ", "))
		}
	}
	return e.Events
}

var appID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (p *parser) apps(e entry) []string {
	for i, app := range e.Apps {
		if !appID.MatchString(app) || slices.Contains(e.Apps[:i], app) {
			p.fault(e, "apps holds something that is repeated or is not an appid")
		}
	}
	return e.Apps
}

// compare finds what an endpoint must not share with those before it.
func (p *parser) compare(e entry, endpoint Endpoint) {
	for i, other := range p.endpoints {
		switch {
		case other.Name == endpoint.Name:
			p.fault(e, "the name is already that of the endpoint on line %d", p.lines[i])
		case sharesSecret(other, endpoint):
			p.fault(e, "a secret is that of the endpoint on line %d; each endpoint has its own", p.lines[i])
		case other.Replier && endpoint.Replier && sharesApp(other, endpoint):
			p.fault(e, "the endpoint on line %d answers for the same app already; give each replier its own apps", p.lines[i])
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

// faultOf keeps the line and the kind of a YAML error. Its text may quote the file, so none of it is kept.
func faultOf(err error, line int) Fault {
	var at yaml.Error
	if errors.As(err, &at) {
		if t := at.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
	}
	var unknown *yaml.UnknownFieldError
	var kind *yaml.TypeError
	var node *yaml.UnexpectedNodeTypeError
	switch {
	case errors.As(err, &unknown):
		return Fault{line, "has a field that is none of " + fieldList + " in a list named endpoints"}
	case errors.As(err, &kind), errors.As(err, &node):
		return Fault{line, "has a value of the wrong kind: events, apps and endpoints are lists, replier is true or false, the others are texts"}
	}
	return Fault{line, "is not YAML, or a field is repeated"}
}
