package menufile

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"wxbridge/internal/yamlfile"
)

// Parse reads a menu file: YAML with one list named buttons, unknown fields refused.
//
//	buttons:
//	  - name: 会员
//	    login: /member            # logs in, then leads there
//	  - name: 更多
//	    buttons:
//	      - name: 官网
//	        view: https://www.example.com/?a=1&b=2
//
// The error is of type [yamlfile.Faults].
func Parse(text []byte, login Login) (Menu, error) {
	r := &reader{login: login}
	m := Menu{Buttons: r.list(r.root(text), 1)}
	if len(r.faults) > 0 {
		r.faults.Sort()
		return Menu{}, r.faults
	}
	return m, nil
}

// reader reads one file.
type reader struct {
	login  Login
	faults yamlfile.Faults
}

func (r *reader) fault(line int, problem string, args ...any) {
	r.faults.Note(line, problem, args...)
}

// root finds the list named buttons.
func (r *reader) root(text []byte) ast.Node {
	switch {
	case len(text) > maxFile:
		r.fault(0, "has more than %d KiB", maxFile>>10)
		return nil
	case !utf8.Valid(text):
		r.fault(0, "is not UTF-8")
		return nil
	}
	body := r.faults.Parse(text)
	if body == nil {
		if len(r.faults) == 0 {
			r.fault(0, "has no button in a list named buttons")
		}
		return nil
	}
	fields, ok := r.fields(body, "is not a list named buttons; examples/menu.yaml shows one", kindSub)
	if !ok {
		return nil
	}
	f, given := fields[kindSub]
	if !given && len(r.faults) == 0 {
		r.fault(0, "has no button in a list named buttons")
	}
	return f.value
}

// shown is a name from the file that is fit for a terminal.
func shown(name string) string {
	const most = 40 // bytes
	if len(name) > most {
		name = name[:most]
	}
	return strconv.QuoteToGraphic(name)
}

// field is a member of a mapping.
type field struct {
	line  int
	value ast.Node
}

// fields takes a mapping apart that may have the members named; what says what it is, for the fault that it is none.
func (r *reader) fields(node ast.Node, what string, names ...string) (map[string]field, bool) {
	members, ok := yamlfile.MembersOf(node)
	if !ok {
		r.fault(yamlfile.LineOf(node), "%s", what)
		return nil, false
	}
	fields := map[string]field{}
	for _, m := range members {
		name, line := yamlfile.KeyOf(m), yamlfile.LineOf(m.Key)
		_, repeated := fields[name]
		switch {
		case !slices.Contains(names, name):
			r.fault(line, "there is no field %s; there are %s", shown(name), strings.Join(names, ", "))
		case repeated:
			r.fault(line, "%s is repeated", name)
		default:
			fields[name] = field{line, m.Value}
		}
	}
	return fields, true
}

// list reads the buttons of a level, 1 or 2.
func (r *reader) list(node ast.Node, level int) (buttons []Button) {
	if node == nil {
		return nil
	}
	most := maxButtons
	if level == 2 {
		most = maxSub
	}
	list, ok := node.(*ast.SequenceNode)
	switch {
	case !ok:
		r.fault(yamlfile.LineOf(node), "buttons is not a list of buttons")
		return nil
	case len(list.Values) == 0:
		r.fault(yamlfile.LineOf(node), "buttons is empty; there are 1 to %d", most)
	case len(list.Values) > most:
		r.fault(yamlfile.LineOf(list.Values[most]), "there is a button too many; WeChat takes %d here", most)
	}
	for _, item := range list.Values {
		buttons = append(buttons, r.button(item, level))
	}
	return buttons
}

// button reads one button.
func (r *reader) button(node ast.Node, level int) (b Button) {
	before := len(r.faults)
	fields, ok := r.fields(node, "a button is a name and one of "+strings.Join(kinds(), ", "), append([]string{"name"}, kinds()...)...)
	if !ok {
		return b
	}
	unknown := len(r.faults) > before // which may be what the button should do
	line := yamlfile.LineOf(node)
	if members, ok := yamlfile.MembersOf(node); ok && len(members) > 0 {
		line = yamlfile.LineOf(members[0].Key)
	}
	r.name(&b, fields, line, level)
	var given []string
	for _, kind := range kinds() {
		if _, ok := fields[kind]; ok {
			given = append(given, kind)
		}
	}
	switch {
	case len(given) == 0 && unknown:
	case len(given) == 0:
		r.fault(line, "the button does nothing; it needs one of %s", strings.Join(kinds(), ", "))
	case len(given) > 1:
		r.fault(line, "the button has both %s and %s; it can do one thing", given[0], given[1])
	default:
		r.kind(&b, given[0], fields[given[0]], level)
	}
	return b
}

func (r *reader) name(b *Button, fields map[string]field, line, level int) {
	most, where := maxName, "on the first level"
	if level == 2 {
		most, where = maxSubName, "on the second level"
	}
	f, given := fields["name"]
	if !given {
		r.fault(line, "name is missing")
		return
	}
	if text, ok := r.text("name", f); ok {
		if b.Name = text; len(text) > most {
			r.fault(f.line, "name has %d bytes; WeChat takes %d %s (a Chinese character has 3)", len(text), most, where)
		}
	}
}

// kind reads what the button does.
func (r *reader) kind(b *Button, kind string, f field, level int) {
	switch {
	case kind == kindSub && level == 2:
		r.fault(f.line, "a third level begins; a menu has two")
	case kind == kindSub:
		if _, isNull := f.value.(*ast.NullNode); isNull {
			r.fault(f.line, "buttons is empty; there are 1 to %d", maxSub)
			return
		}
		b.Sub = r.list(f.value, 2)
	case kind == kindMiniProgram:
		b.Type = kindMiniProgram
		r.miniProgram(b, f)
	case kind == kindLogin:
		b.Type = kindView
		b.URL = r.link(f)
	case kind == kindView:
		b.Type = kindView
		b.URL = r.url(kindView, f)
	case slices.Contains(keyKinds(), kind):
		b.Type, b.Key = kind, r.limited(kind, f, maxKey)
	case slices.Contains(mediaKinds(), kind):
		b.Type, b.MediaID = kind, r.limited(kind, f, maxID)
	default:
		b.Type, b.ArticleID = kind, r.limited(kind, f, maxID)
	}
}

var appID = regexp.MustCompile(`^wx[0-9a-f]{16}$`)

func (r *reader) miniProgram(b *Button, f field) {
	fields, ok := r.fields(f.value, "miniprogram has the fields appid, path and url", "appid", "path", "url")
	if !ok {
		return
	}
	for _, name := range []string{"appid", "path", "url"} {
		if _, given := fields[name]; !given {
			r.fault(f.line, "miniprogram has no %s; it has appid, path and url, which is for a WeChat that knows no mini programs", name)
		}
	}
	if id, given := fields["appid"]; given {
		if b.AppID, ok = r.text("appid", id); ok && !appID.MatchString(b.AppID) {
			r.fault(id.line, "appid is not wx and 16 digits or letters a to f, such as wx0123456789abcdef")
		}
	}
	if path, given := fields["path"]; given {
		b.PagePath = r.limited("path", path, maxURL)
	}
	if address, given := fields["url"]; given {
		b.URL = r.url("url", address)
	}
}

// link makes the URL of a login.
func (r *reader) link(f field) string {
	to, ok := r.text(kindLogin, f)
	if !ok {
		return ""
	}
	link, err := r.login(to)
	switch {
	case err != nil:
		r.fault(f.line, "login %s", err)
	case len(link) > maxURL:
		r.fault(f.line, "login makes a link of %d bytes; WeChat takes %d", len(link), maxURL)
	}
	return link
}

func (r *reader) url(name string, f field) string {
	text := r.limited(name, f, maxURL)
	u, err := url.Parse(text)
	if text != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil ||
		strings.ContainsFunc(text, unicode.IsSpace)) {
		r.fault(f.line, "%s is not an absolute URL, such as https://www.example.com/", name)
	}
	return text
}

// limited reads a text of a length in bytes.
func (r *reader) limited(name string, f field, most int) string {
	text, _ := r.text(name, f)
	if len(text) > most {
		r.fault(f.line, "%s has %d bytes; at most %d are allowed", name, len(text), most)
	}
	return text
}

// text reads a text that is not blank and has nothing in it that menus cannot have: WeChat refuses the escapes that JSON
// needs for control characters and line separators.
func (r *reader) text(name string, f field) (string, bool) {
	text, ok := yamlfile.Scalar(f.value)
	switch {
	case !ok:
		r.fault(f.line, "%s is not one text", name)
	case strings.TrimSpace(text) == "":
		r.fault(f.line, "%s is empty", name)
	case strings.ContainsFunc(text, func(c rune) bool { return unicode.In(c, unicode.Cc, unicode.Zl, unicode.Zp) }):
		r.fault(f.line, "%s has a line end or a control character", name)
	case strings.TrimSpace(text) != text:
		r.fault(f.line, "%s begins or ends with a space", name)
	default:
		return text, true
	}
	return "", false
}
