// Package yamlfile has what readers of an operator's YAML files have in common: a walk through the nodes, and faults with their lines.
// Such a reader walks by itself, so that one fault does not hide the others.
package yamlfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

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

// Note adds a fault.
func (f *Faults) Note(line int, problem string, args ...any) {
	*f = append(*f, Fault{line, fmt.Sprintf(problem, args...)})
}

// Sort puts them in order, from the first line to the last.
func (f Faults) Sort() { slices.SortStableFunc(f, func(a, b Fault) int { return a.Line - b.Line }) }

// Parse gives the one document of a file; nil for an empty file, and for one with a fault.
func (f *Faults) Parse(text []byte) ast.Node {
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	switch {
	case err != nil:
		f.notYAML(err)
	case len(file.Docs) > 1:
		f.Note(LineOf(file.Docs[1].Body), "a second document begins; there is one")
	case len(file.Docs) == 1:
		return file.Docs[0].Body
	}
	return nil
}

// notYAML tells the parser's reason, which names what it stumbled over but for a few words in quotes.
func (f *Faults) notYAML(err error) {
	line, reason := 0, ""
	if at, ok := errors.AsType[yaml.Error](err); ok {
		if t := at.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
		reason, _, _ = strings.Cut(at.GetMessage(), `"`) // what stands in quotes is the file's
		if strings.Contains(reason, "'\t'") {
			reason = "a line begins with a tab; indent with spaces"
		}
		reason = ": " + strings.TrimSpace(reason)
	}
	f.Note(line, "is not YAML%s", reason)
}

// LineOf is the line that a node begins on; 0 if it has none.
func LineOf(node ast.Node) int {
	if node == nil {
		return 0
	}
	if t := node.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// KeyOf is the name of a member.
func KeyOf(m *ast.MappingValueNode) string {
	if t := m.Key.GetToken(); t != nil {
		return t.Value
	}
	return ""
}

// MembersOf gives the members of a mapping, which the parser may leave unwrapped if there is only one.
func MembersOf(node ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// Scalar is a value as it is written, since a secret may look like a number; nothing is "".
func Scalar(node ast.Node) (string, bool) {
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
