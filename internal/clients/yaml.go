package clients

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// reader takes a file apart that is one named list of sets of fields. The YAML is walked by hand so that one fault does not
// hide the others, and so that each has the line of its field.
type reader struct {
	list   string   // the list's name
	thing  string   // what it lists
	fields []string // that one may have
	faults Faults
}

// item is one entry of the list.
type item struct {
	line   int
	fields map[string]field
}

type field struct {
	line int
	node ast.Node
}

// value is one text of a list, and where it stands.
type value struct {
	text string
	n    int // in the list, from 1
	line int
}

func (r *reader) fault(line int, problem string, args ...any) {
	r.faults = append(r.faults, Fault{line, fmt.Sprintf(problem, args...)})
}

// sorted gives the faults from the first line to the last.
func (r *reader) sorted() Faults {
	slices.SortStableFunc(r.faults, func(a, b Fault) int { return a.Line - b.Line })
	return r.faults
}

// items reads the file's list.
func (r *reader) items(text []byte) []item {
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.notYAML(err)
		return nil
	}
	if len(file.Docs) > 1 {
		r.fault(lineOf(file.Docs[1].Body), "a second document begins; there is one")
		return nil
	}
	var list *ast.SequenceNode
	if len(file.Docs) == 1 && file.Docs[0].Body != nil {
		list = r.named(file.Docs[0].Body)
	}
	if list == nil || len(list.Values) == 0 {
		if len(r.faults) == 0 {
			r.fault(0, "has no %s in a list named %s", r.thing, r.list)
		}
		return nil
	}
	var items []item
	for _, node := range list.Values {
		if i, ok := r.item(node); ok {
			items = append(items, i)
		}
	}
	return items
}

// notYAML tells the parser's reason, which names what it stumbled over but for a few words in quotes.
func (r *reader) notYAML(err error) {
	line, reason := 0, ""
	if at, ok := errors.AsType[yaml.Error](err); ok {
		if t := at.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
		reason, _, _ = strings.Cut(at.GetMessage(), `"`)
		reason = ": " + strings.TrimSpace(reason)
	}
	r.fault(line, "is not YAML%s", reason)
}

// named finds the list.
func (r *reader) named(body ast.Node) *ast.SequenceNode {
	members, ok := membersOf(body)
	if !ok {
		if _, empty := body.(*ast.NullNode); !empty {
			r.fault(lineOf(body), "is not a list named %s", r.list)
		}
		return nil
	}
	var list *ast.SequenceNode
	met := false
	for _, m := range members {
		values, isList := m.Value.(*ast.SequenceNode)
		_, isNull := m.Value.(*ast.NullNode)
		switch {
		case keyOf(m) != r.list:
			r.fault(lineOf(m.Key), "there is %s beside the list named %s", shown(keyOf(m)), r.list)
		case met:
			r.fault(lineOf(m.Key), "the list named %s is repeated", r.list)
		case !isList && !isNull:
			r.fault(lineOf(m.Key), "%s is not a list", r.list)
		default:
			list = values
		}
		met = met || keyOf(m) == r.list
	}
	return list
}

func (r *reader) item(node ast.Node) (item, bool) {
	members, ok := membersOf(node)
	if !ok {
		r.fault(lineOf(node), "each %s is a set of fields: %s", r.thing, strings.Join(r.fields, ", "))
		return item{}, false
	}
	i := item{line: lineOf(node), fields: map[string]field{}}
	if len(members) > 0 {
		i.line = lineOf(members[0].Key)
	}
	for _, m := range members {
		name, line := keyOf(m), lineOf(m.Key)
		_, repeated := i.fields[name]
		switch {
		case !slices.Contains(r.fields, name):
			r.fault(line, "there is %s, which no %s has; it has %s", shown(name), r.thing, strings.Join(r.fields, ", "))
		case repeated:
			r.fault(line, "%s is repeated", name)
		default:
			i.fields[name] = field{line, m.Value}
		}
	}
	return i, true
}

// plainName is what a field is called, rightly or nearly; anything longer or odder might be a secret.
var plainName = regexp.MustCompile(`^[A-Za-z_-]{1,24}$`)

func shown(name string) string {
	if !plainName.MatchString(name) {
		return "a field"
	}
	return "a field " + name
}

func (i item) given(name string) bool {
	_, ok := i.fields[name]
	return ok
}

// lineOf is where the field stands; of a field that is not there, where the item begins.
func (i item) lineOf(name string) int {
	if f, ok := i.fields[name]; ok {
		return f.line
	}
	return i.line
}

// text reads a field that is one text; ok is false if it is missing or noted as a fault.
func (r *reader) text(i item, name string) (text string, ok bool) {
	f, given := i.fields[name]
	if !given {
		return "", false
	}
	text, ok = scalar(f.node)
	if !ok {
		r.fault(f.line, "%s is not one text", name)
	}
	return text, ok
}

// texts reads a field that is a list of texts; ok is false if it is missing or noted as a fault.
func (r *reader) texts(i item, name, example string) (all []value, ok bool) {
	f, given := i.fields[name]
	if !given {
		return nil, false
	}
	list, isList := f.node.(*ast.SequenceNode)
	if _, null := f.node.(*ast.NullNode); null {
		return nil, true
	}
	if !isList {
		r.fault(f.line, "%s is not a list, such as %s", name, example)
		return nil, false
	}
	ok = true
	for n, node := range list.Values {
		text, isText := scalar(node)
		if !isText {
			r.fault(lineOf(node), "entry %d of %s is not one text", n+1, name)
			ok = false
			continue
		}
		all = append(all, value{text, n + 1, lineOf(node)})
	}
	return all, ok
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

// scalar is a value as it is written; nothing is "".
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
