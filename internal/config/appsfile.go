package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
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
	r := &appsReader{loader: l, path: path, readFile: readFile, files: []string{path}, aliases: map[string]string{}, appIDs: map[string]string{}}
	for _, a := range others {
		r.aliases[a.Alias], r.appIDs[a.unique()] = "of an app that variables configure", "of an app that variables configure"
	}
	for _, entry := range r.entries(text) {
		apps = append(apps, r.app(entry))
	}
	r.report()
	return apps, r.files
}

// appFields are the fields of an app in the file.
var appFields = []string{"alias", "provider", "appid", "secret", "secret_file", "open_account", "callback_token", "callback_token_file",
	"encoding_aes_key", "encoding_aes_key_file", "token_api", "connect_redirect", "force_popup", "agent_id", "private", "guests"}

// appsReader reads one file.
type appsReader struct {
	loader   *loader
	path     string
	readFile func(string) ([]byte, error)
	files    []string

	aliases, appIDs map[string]string // where each was met first
	faults          []lineFault
}

type lineFault struct {
	line    int // 0: the whole file
	problem string
}

// appEntry is one app of the list.
type appEntry struct {
	line   int
	fields map[string]appField
}

type appField struct {
	text   string
	line   int
	faulty bool // a fault was noted; one will do
}

func (r *appsReader) fault(line int, problem string) {
	r.faults = append(r.faults, lineFault{line, problem})
}

// field notes a problem of a field, unless it has one already; of a field that is not there on the app's first line.
func (r *appsReader) field(e appEntry, name, problem string) {
	f, given := e.fields[name]
	switch {
	case f.faulty:
		return
	case given:
		f.faulty = true
		e.fields[name] = f
		r.fault(f.line, name+" "+problem)
	default:
		r.fault(e.line, name+" "+problem)
	}
}

// report gives the faults to the loader, from the first line to the last.
func (r *appsReader) report() {
	slices.SortStableFunc(r.faults, func(a, b lineFault) int { return a.line - b.line })
	for _, f := range r.faults {
		where := r.path
		if f.line > 0 {
			where = fmt.Sprintf("%s line %d", r.path, f.line)
		}
		r.loader.faults = append(r.loader.faults, Fault{Variable: Prefix + "APPS_FILE", Problem: printable(where) + ": " + f.problem, Example: "examples/apps.yaml"})
	}
}

// entries takes the YAML apart. It is walked by hand so that one fault does not hide the others.
func (r *appsReader) entries(text []byte) []appEntry {
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		line, reason := 0, ""
		if at, ok := errors.AsType[yaml.Error](err); ok {
			if t := at.GetToken(); t != nil && t.Position != nil {
				line = t.Position.Line
			}
			reason, _, _ = strings.Cut(at.GetMessage(), `"`) // what stands in quotes is the file's
			reason = ": " + strings.TrimSpace(reason)
		}
		r.fault(line, "is not YAML"+reason)
		return nil
	}
	if len(file.Docs) > 1 {
		r.fault(lineOf(file.Docs[1].Body), "a second document begins; there is one")
		return nil
	}
	var list *ast.SequenceNode
	if len(file.Docs) == 1 && file.Docs[0].Body != nil {
		list = r.list(file.Docs[0].Body)
	}
	if list == nil || len(list.Values) == 0 {
		if len(r.faults) == 0 {
			r.fault(0, "has no app in a list named apps")
		}
		return nil
	}
	var entries []appEntry
	for _, item := range list.Values {
		if entry, ok := r.entry(item); ok {
			entries = append(entries, entry)
		}
	}
	return entries
}

// list finds the list named apps.
func (r *appsReader) list(body ast.Node) *ast.SequenceNode {
	members, ok := membersOf(body)
	if !ok {
		if _, empty := body.(*ast.NullNode); !empty {
			r.fault(lineOf(body), "is not a list named apps")
		}
		return nil
	}
	var list *ast.SequenceNode
	for i, m := range members {
		values, isList := m.Value.(*ast.SequenceNode)
		_, isNull := m.Value.(*ast.NullNode)
		switch {
		case keyOf(m) != "apps":
			r.fault(lineOf(m.Key), "there is "+shownField(keyOf(m))+" beside the list named apps")
		case slices.ContainsFunc(members[:i], func(o *ast.MappingValueNode) bool { return keyOf(o) == "apps" }):
			r.fault(lineOf(m.Key), "the list named apps is repeated")
		case !isList && !isNull:
			r.fault(lineOf(m.Key), "apps is not a list")
		default:
			list = values
		}
	}
	return list
}

// entry reads one app's fields.
func (r *appsReader) entry(item ast.Node) (appEntry, bool) {
	members, ok := membersOf(item)
	if !ok {
		r.fault(lineOf(item), "an app is a set of fields: "+strings.Join(appFields, ", "))
		return appEntry{}, false
	}
	e := appEntry{line: lineOf(item), fields: map[string]appField{}}
	if len(members) > 0 {
		e.line = lineOf(members[0].Key)
	}
	for _, m := range members {
		name, line := keyOf(m), lineOf(m.Key)
		_, repeated := e.fields[name]
		switch {
		case !slices.Contains(appFields, name):
			r.fault(line, "there is "+shownField(name)+", which no app has; it has "+strings.Join(appFields, ", "))
			continue
		case repeated:
			r.fault(line, name+" is repeated")
			continue
		}
		text, isText := scalar(m.Value)
		e.fields[name] = appField{text: text, line: line}
		if !isText {
			r.field(e, name, "is not one text")
		}
	}
	return e, true
}

// plainField is what a field is called, rightly or nearly; anything longer or odder might be a secret.
var plainField = regexp.MustCompile(`^[A-Za-z_-]{1,24}$`)

func shownField(name string) string {
	if !plainField.MatchString(name) {
		return "a field"
	}
	return "a field " + name
}

func lineOf(node ast.Node) int {
	if node == nil {
		return 0
	}
	if t := node.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

func keyOf(m *ast.MappingValueNode) string {
	if t := m.Key.GetToken(); t != nil {
		return t.Value
	}
	return ""
}

// membersOf gives the members of a mapping, which the parser may leave unwrapped if there is only one.
func membersOf(node ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// scalar is the text of a value as it was written: a secret may look like a number.
func scalar(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.NullNode:
		return "", true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return node.GetToken().Value, true
	}
	return "", false
}

var (
	aliasShape       = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)
	openAccountShape = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

// app checks one app and notes every fault of it.
func (r *appsReader) app(e appEntry) NamedApp {
	a := NamedApp{Alias: e.fields["alias"].text, Provider: e.fields["provider"].text, OpenAccount: DefaultApp}
	a.ID = e.fields["appid"].text
	a.AgentID, _ = agentNumber(e.fields["agent_id"].text)
	r.checkNames(e, a)
	a.Secret = r.secret(e, "secret")
	if !e.given("secret") && !e.given("secret_file") {
		r.fault(e.line, "secret and secret_file are missing; one of them gives the AppSecret, and "+shownOnce)
	} else if problem := appSecretProblem(a.Secret.Reveal()); problem != "" {
		r.field(e, e.source("secret"), problem)
	}
	if e.given("open_account") {
		if a.OpenAccount = e.fields["open_account"].text; !openAccountShape.MatchString(a.OpenAccount) {
			r.field(e, "open_account", "is not 1 to 64 letters, digits, dots, dashes and underscores")
		}
	}
	switch e.fields["token_api"].text {
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
	here := fmt.Sprintf("of the app on line %d", e.line)
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
	if problem := callbackTokenProblem(a.CallbackToken.Reveal()); e.given(token) && problem != "" {
		r.field(e, token, problem)
	}
	switch problem := encodingAESKeyProblem(a.EncodingAESKey.Reveal()); {
	case e.given(key) && problem != "":
		r.field(e, key, problem)
	case e.given(key) && !e.given(token):
		r.field(e, key, "is given without callback_token")
	}
}

// secret reads a field, or the file that its …_file twin names, relative to the apps file. It gives "" if neither is there,
// or one that is at fault.
func (r *appsReader) secret(e appEntry, name string) Secret {
	value, twin := e.fields[name].text, name+"_file"
	switch {
	case e.given(name) && e.given(twin):
		r.field(e, twin, "is given together with "+name+"; keep one of them")
		return ""
	case e.given(name) && value == "":
		r.field(e, name, "is empty")
		return ""
	case !e.given(twin):
		return Secret(value)
	case e.fields[twin].text == "":
		r.field(e, twin, "is empty")
		return ""
	}
	path := e.fields[twin].text
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
	text := e.fields[name].text
	if e.given(name) && text != "true" && text != "false" {
		r.field(e, name, "is neither true nor false")
	}
	return text == "true"
}

func (e appEntry) given(name string) bool {
	_, ok := e.fields[name]
	return ok
}

// source is the field that a secret comes from: its own, or the one that names its file.
func (e appEntry) source(name string) string {
	if !e.given(name) && e.given(name+"_file") {
		return name + "_file"
	}
	return name
}
