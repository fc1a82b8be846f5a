package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// LoadApps reads the file of `wxbridge simulator --apps`: YAML with one list, unknown fields refused.
//
//	apps:
//	  - provider: official_account      # or mini_program, website
//	    appid: wx0123456789abcdef
//	    secret: 0123456789abcdef0123456789abcdef
//	    name: Shop                       # official_account: for the phone page; may be left out
//	    redirect_domain: www.example.com # official_account, website: the host of redirect_uri
//	    js_domains: [www.example.com]    # official_account: hosts whose pages may use the JS-SDK; left out: redirect_domain
//	    open_account: default            # apps of one name share unionids; leave out for an unbound app
//	    events_url: https://www.example.com/events/official-account # where pushes go; leave out for none
//	    token: 3To32LettersAndDigits     # signs pushes
//	    encoding_aes_key: 43LettersAndDigits # encrypts pushes
//	    events_mode: aes                 # or compatible, plain; left out: aes with a key, else plain
//	  - provider: wecom                  # secret, events_url, token and encoding_aes_key as above
//	    appid: ww0123456789abcdef        # the corpid; several apps of one corp may be listed
//	    agentid: 1000002
//	    redirect_domain: www.example.com # the trusted domain, with its port if it has one
//	    login_domain: pc.example.com     # another domain for the login on a PC; may be left out
//	    private_fields: [mobile, email]  # what the app may ask members for
//	    old_app: true                    # made before 2022-06-20; may be left out
//	    contact_events: true             # is told of changes of members; may be left out
//
// The error lists every fault with its line.
func LoadApps(r io.Reader) ([]App, error) {
	const limit = 1 << 20
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read apps file: %w", err)
	}
	if len(text) > limit {
		return nil, errors.New("apps file: larger than 1 MiB")
	}
	var file struct {
		Apps []appEntry `yaml:"apps"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict())
	if err := dec.Decode(&file); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("apps file: empty; want a list named apps")
		}
		return nil, fmt.Errorf("apps file: %s", yaml.FormatError(err, false, false))
	}
	if len(file.Apps) == 0 {
		return nil, errors.New("apps file: no app in the list named apps")
	}
	return checkedApps(file.Apps)
}

func checkedApps(entries []appEntry) ([]App, error) {
	var (
		apps   []App
		faults []error
		seen   = map[string]int{}
	)
	for _, e := range entries {
		app := e.app()
		id := app.AppID
		if app.Provider == ProviderWeCom {
			id = fmt.Sprint(app.AppID, ", agentid ", app.AgentID)
		}
		if err := app.check(); err != nil {
			faults = append(faults, fmt.Errorf("apps file: line %d: %w", e.line, err))
		} else if first, ok := seen[id]; ok {
			faults = append(faults, fmt.Errorf("apps file: line %d: appid %q is already on line %d", e.line, app.AppID, first))
		}
		needsDomain := app.Provider == ProviderOfficialAccount || app.Provider == ProviderWebsite || app.Provider == ProviderWeCom
		if needsDomain && app.RedirectDomain == "" {
			faults = append(faults, fmt.Errorf("apps file: line %d: redirect_domain is missing; without it WeChat refuses every login link", e.line))
		}
		seen[id] = e.line
		apps = append(apps, app)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if err := checkAgents(apps); err != nil {
		return nil, fmt.Errorf("apps file: %w", err)
	}
	return apps, nil
}

// appEntry is one list item, with the line it starts on.
type appEntry struct {
	appFields
	line int
}

type appFields struct {
	Provider       string `yaml:"provider"`
	AppID          string `yaml:"appid"`
	Secret         string `yaml:"secret"`
	Name           string `yaml:"name"`
	RedirectDomain string `yaml:"redirect_domain"`

	JSDomains []string `yaml:"js_domains"`

	EventsURL      string `yaml:"events_url"`
	Token          string `yaml:"token"`
	EncodingAESKey string `yaml:"encoding_aes_key"`
	EventsMode     string `yaml:"events_mode"`
	OpenAccount    string `yaml:"open_account"`

	AgentID       int      `yaml:"agentid"`
	LoginDomain   string   `yaml:"login_domain"`
	PrivateFields []string `yaml:"private_fields"`
	OldApp        bool     `yaml:"old_app"`
	ContactEvents bool     `yaml:"contact_events"`
}

// UnmarshalYAML keeps the line of the entry beside its fields.
func (e *appEntry) UnmarshalYAML(node ast.Node) error {
	if t := node.GetToken(); t != nil && t.Position != nil {
		e.line = t.Position.Line
	}
	return yaml.NodeToValue(node, &e.appFields, yaml.Strict())
}

func (e appEntry) app() App { return App(e.appFields) }
