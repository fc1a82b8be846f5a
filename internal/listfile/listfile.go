// Package listfile reads files of an operator's that are one named list of sets of fields, in YAML. It tells everything that is wrong
// with one at once, each fault with its line, and never quotes a value, which might be a secret in the wrong place.
package listfile

import (
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"wxbridge/internal/yamlfile"
)

// Reader takes a file apart and gathers its faults. The YAML is walked by hand so that one fault does not hide the others.
type Reader struct {
	List   string   // the list's name, such as apps
	Thing  string   // what it lists, such as app
	Fields []string // that one may have
	faults yamlfile.Faults
}

// Entry is one set of fields of the list.
type Entry struct {
	Line   int
	fields map[string]field
}

type field struct {
	line int
	node ast.Node
}

// Value is one text of a list, and where it stands.
type Value struct {
	Text string
	N    int // in the list, from 1
	Line int
}

// Fault notes something wrong.
func (r *Reader) Fault(line int, problem string, args ...any) {
	r.faults.Note(line, problem, args...)
}

// Faults gives what was noted, from the first line to the last.
func (r *Reader) Faults() yamlfile.Faults {
	r.faults.Sort()
	return r.faults
}

// Entries reads the file's list. What is no set of fields is noted and left out, and so is a field that no thing has.
func (r *Reader) Entries(text []byte) []Entry {
	var list *ast.SequenceNode
	if body := r.faults.Parse(text); body != nil {
		list = r.named(body)
	}
	if list == nil || len(list.Values) == 0 {
		if len(r.faults) == 0 {
			r.Fault(0, "has no %s in a list named %s", r.Thing, r.List)
		}
		return nil
	}
	var entries []Entry
	for _, node := range list.Values {
		if e, ok := r.entry(node); ok {
			entries = append(entries, e)
		}
	}
	return entries
}

// named finds the list.
func (r *Reader) named(body ast.Node) *ast.SequenceNode {
	members, ok := yamlfile.MembersOf(body)
	if !ok {
		if _, empty := body.(*ast.NullNode); !empty {
			r.Fault(yamlfile.LineOf(body), "is not a list named %s", r.List)
		}
		return nil
	}
	var list *ast.SequenceNode
	met := false
	for _, m := range members {
		values, isList := m.Value.(*ast.SequenceNode)
		_, isNull := m.Value.(*ast.NullNode)
		switch {
		case yamlfile.KeyOf(m) != r.List:
			r.Fault(yamlfile.LineOf(m.Key), "there is %s beside the list named %s", shown(yamlfile.KeyOf(m)), r.List)
		case met:
			r.Fault(yamlfile.LineOf(m.Key), "the list named %s is repeated", r.List)
		case !isList && !isNull:
			r.Fault(yamlfile.LineOf(m.Key), "%s is not a list", r.List)
		default:
			list = values
		}
		met = met || yamlfile.KeyOf(m) == r.List
	}
	return list
}

func (r *Reader) entry(node ast.Node) (Entry, bool) {
	members, ok := yamlfile.MembersOf(node)
	if !ok {
		r.Fault(yamlfile.LineOf(node), "each %s is a set of fields: %s", r.Thing, strings.Join(r.Fields, ", "))
		return Entry{}, false
	}
	e := Entry{Line: yamlfile.LineOf(node), fields: map[string]field{}}
	if len(members) > 0 {
		e.Line = yamlfile.LineOf(members[0].Key)
	}
	for _, m := range members {
		name, line := yamlfile.KeyOf(m), yamlfile.LineOf(m.Key)
		_, repeated := e.fields[name]
		switch {
		case !slices.Contains(r.Fields, name):
			r.Fault(line, "there is %s, which no %s has; it has %s", shown(name), r.Thing, strings.Join(r.Fields, ", "))
		case repeated:
			r.Fault(line, "%s is repeated", name)
		default:
			e.fields[name] = field{line, m.Value}
		}
	}
	return e, true
}

// plainName is what a field is called, rightly or nearly; anything longer or odder might be a secret.
var plainName = regexp.MustCompile(`^[A-Za-z_-]{1,24}$`)

func shown(name string) string {
	if !plainName.MatchString(name) {
		return "a field"
	}
	return "a field " + name
}

// Given reports whether the field is there.
func (e Entry) Given(name string) bool {
	_, ok := e.fields[name]
	return ok
}

// LineOf is where the field stands; of a field that is not there, where the entry begins.
func (e Entry) LineOf(name string) int {
	if f, ok := e.fields[name]; ok {
		return f.line
	}
	return e.Line
}

// Text reads a field that is one text; ok is false if it is missing or noted as a fault.
func (r *Reader) Text(e Entry, name string) (text string, ok bool) {
	f, given := e.fields[name]
	if !given {
		return "", false
	}
	text, ok = yamlfile.Scalar(f.node)
	if !ok {
		r.Fault(f.line, "%s is not one text", name)
	}
	return text, ok
}

// Texts reads a field that is a list of texts; ok is false if it is missing or noted as a fault.
func (r *Reader) Texts(e Entry, name, example string) (all []Value, ok bool) {
	f, given := e.fields[name]
	if !given {
		return nil, false
	}
	list, isList := f.node.(*ast.SequenceNode)
	if _, null := f.node.(*ast.NullNode); null {
		return nil, true
	}
	if !isList {
		r.Fault(f.line, "%s is not a list, such as %s", name, example)
		return nil, false
	}
	ok = true
	for n, node := range list.Values {
		text, isText := yamlfile.Scalar(node)
		if !isText {
			r.Fault(yamlfile.LineOf(node), "entry %d of %s is not one text", n+1, name)
			ok = false
			continue
		}
		all = append(all, Value{text, n + 1, yamlfile.LineOf(node)})
	}
	return all, ok
}

// Yes reads a field that is true or false.
func (r *Reader) Yes(e Entry, name string) bool {
	text, ok := r.Text(e, name)
	if ok && text != "true" && text != "false" {
		r.Fault(e.LineOf(name), "%s is neither true nor false", name)
	}
	return text == "true"
}
