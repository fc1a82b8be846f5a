package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"wxbridge/internal/listfile"
)

// appsFile reads the apps of APPS_FILE, YAML with one list named apps (examples/apps.yaml). Its faults name file and line
// and never quote the file, which holds secrets. others are the apps that are configured already. files are those that
// were read for it.
func (l *loader) appsFile(path string, others []NamedApp, readFile func(string) ([]byte, error)) (apps []NamedApp, files []string) {
	if path == "" {
		return nil, nil
	}
	text, err := readFile(path)
	if err != nil {
		l.fault("APPS_FILE", "names a file that cannot be read ("+reason(err)+")")
		return nil, nil
	}
	r := &appsReader{Reader: listfile.Reader{List: "apps", Thing: "app", Fields: appFields},
		loader: l, path: path, readFile: readFile, files: []string{path}, aliases: map[string]string{}, appIDs: map[string]string{}}
	for _, a := range others {
		r.aliases[a.Alias], r.appIDs[a.unique()] = "of an app that variables configure", "of an app that variables configure"
	}
	for _, e := range r.Entries(text) {
		apps = append(apps, r.app(r.entry(e)))
	}
	r.report()
	return apps, r.files
}

// appFields are the fields of an app in the file.
var appFields = []string{"alias", "provider", "appid", "secret", "secret_file", "open_account", "callback_token", "callback_token_file",
	"encoding_aes_key", "encoding_aes_key_file", "token_api", "connect_redirect", "force_popup", "agent_id", "private", "guests"}

// appsReader reads one file.
type appsReader struct {
	listfile.Reader
	loader   *loader
	path     string
	readFile func(string) ([]byte, error)
	files    []string

	aliases, appIDs map[string]string // where each was met first
}

// appEntry is one app of the list.
type appEntry struct {
	listfile.Entry
	texts  map[string]string
	faulty map[string]bool // a fault was noted; one will do
}

// entry reads the fields, all of which are texts.
func (r *appsReader) entry(e listfile.Entry) appEntry {
	read := appEntry{Entry: e, texts: map[string]string{}, faulty: map[string]bool{}}
	for _, name := range appFields {
		text, ok := r.Text(e, name)
		read.texts[name], read.faulty[name] = text, e.Given(name) && !ok
	}
	return read
}

// field notes a problem of a field, unless it has one already; of a field that is not there on the app's first line.
func (r *appsReader) field(e appEntry, name, problem string) {
	if !e.faulty[name] {
		r.Fault(e.LineOf(name), "%s %s", name, problem)
	}
	e.faulty[name] = e.Given(name)
}

// report gives the faults to the loader.
func (r *appsReader) report() {
	for _, f := range r.Faults() {
		where := r.path
		if f.Line > 0 {
			where = fmt.Sprintf("%s line %d", r.path, f.Line)
		}
		r.loader.faults = append(r.loader.faults, Fault{Variable: Prefix + "APPS_FILE", Problem: printable(where) + ": " + f.Problem, Example: "examples/apps.yaml"})
	}
}

var (
	aliasShape       = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)
	openAccountShape = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

// app checks one app and notes every fault of it.
func (r *appsReader) app(e appEntry) NamedApp {
	a := NamedApp{Alias: e.texts["alias"], Provider: e.texts["provider"], OpenAccount: DefaultApp}
	a.ID = e.texts["appid"]
	a.AgentID, _ = agentNumber(e.texts["agent_id"])
	r.checkNames(e, a)
	a.Secret = r.secret(e, "secret")
	if !e.Given("secret") && !e.Given("secret_file") {
		r.Fault(e.Line, "secret and secret_file are missing; one of them gives the AppSecret, and "+shownOnce)
	} else if problem := appSecretProblem(a.Secret.Reveal()); problem != "" {
		r.field(e, e.source("secret"), problem)
	}
	if e.Given("open_account") {
		if a.OpenAccount = e.texts["open_account"]; !openAccountShape.MatchString(a.OpenAccount) {
			r.field(e, "open_account", "is not 1 to 64 letters, digits, dots, dashes and underscores")
		}
	}
	switch e.texts["token_api"] {
	case "", "stable":
	case "plain":
		a.RotatingToken = true
	default:
		r.field(e, "token_api", "is neither stable nor plain")
	}
	a.ConnectRedirect, a.ForcePopup = r.yes(e, "connect_redirect"), r.yes(e, "force_popup")
	r.callback(e, &a)
	r.wecom(e, &a)
	r.misplaced(e, a.Provider)
	return a
}

// checkNames checks what the app is called and of what it is.
func (r *appsReader) checkNames(e appEntry, a NamedApp) {
	here := fmt.Sprintf("of the app on line %d", e.Line)
	switch first, taken := r.aliases[a.Alias]; {
	case !aliasShape.MatchString(a.Alias):
		r.field(e, "alias", "is missing or is not 1 to 32 lower-case letters, digits, dashes and underscores, such as shop")
	case appID.MatchString(a.Alias), corpID.MatchString(a.Alias):
		r.field(e, "alias", "looks like an appid, which app= takes too")
	case taken:
		r.field(e, "alias", "is already that "+first)
	default:
		r.aliases[a.Alias] = here
	}
	if !slices.Contains(providers, a.Provider) {
		r.field(e, "provider", "is missing or is none of official_account, mini_program, website and wecom, which are all that this version knows")
	}
	switch first, taken := r.appIDs[a.unique()]; {
	case a.Provider == ProviderWeCom && !corpID.MatchString(a.ID):
		r.field(e, "appid", "is missing or is not a corpid, which is ww and 16 digits or letters a to f, such as ww0123456789abcdef")
	case a.Provider != ProviderWeCom && !appID.MatchString(a.ID):
		r.field(e, "appid", "is missing or is not wx and 16 digits or letters a to f, such as wx0123456789abcdef")
	case taken:
		r.field(e, "appid", "is already that "+first)
	default:
		r.appIDs[a.unique()] = here
	}
}

// callback reads what checks and decrypts WeChat's pushes.
func (r *appsReader) callback(e appEntry, a *NamedApp) {
	a.CallbackToken, a.EncodingAESKey = r.secret(e, "callback_token"), r.secret(e, "encoding_aes_key")
	token, key := e.source("callback_token"), e.source("encoding_aes_key")
	if problem := callbackTokenProblem(a.CallbackToken.Reveal()); e.Given(token) && problem != "" {
		r.field(e, token, problem)
	}
	switch problem := encodingAESKeyProblem(a.EncodingAESKey.Reveal()); {
	case e.Given(key) && problem != "":
		r.field(e, key, problem)
	case e.Given(key) && !e.Given(token):
		r.field(e, key, "is given without callback_token")
	}
}

// secret reads a field, or the file that its …_file twin names, relative to the apps file. It gives "" if neither is there,
// or one that is at fault.
func (r *appsReader) secret(e appEntry, name string) Secret {
	value, twin := e.texts[name], name+"_file"
	switch {
	case e.Given(name) && e.Given(twin):
		r.field(e, twin, "is given together with "+name+"; keep one of them")
		return ""
	case e.Given(name) && value == "":
		r.field(e, name, "is empty")
		return ""
	case !e.Given(twin):
		return Secret(value)
	case e.texts[twin] == "":
		r.field(e, twin, "is empty")
		return ""
	}
	path := e.texts[twin]
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(r.path), path)
	}
	content, err := r.readFile(path)
	if err != nil {
		r.field(e, twin, "names a file that cannot be read ("+reason(err)+")")
		return ""
	}
	r.files = append(r.files, path)
	secret := strings.TrimRight(string(content), "\r\n")
	if secret == "" {
		r.field(e, twin, "names an empty file")
	}
	return Secret(secret)
}

// yes reads a field that is true or false.
func (r *appsReader) yes(e appEntry, name string) bool {
	text := e.texts[name]
	if e.Given(name) && text != "true" && text != "false" {
		r.field(e, name, "is neither true nor false")
	}
	return text == "true"
}

// source is the field that a secret comes from: its own, or the one that names its file.
func (e appEntry) source(name string) string {
	if !e.Given(name) && e.Given(name+"_file") {
		return name + "_file"
	}
	return name
}
