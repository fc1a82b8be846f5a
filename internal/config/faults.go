package config

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Faults is everything wrong with a configuration. Its text has one line a fault.
type Faults []Fault

// Error implements error.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// Fault is one thing wrong. None of its fields holds a value of the environment, which might be a secret that was put
// into the wrong variable.
type Fault struct {
	Variable string // WXBRIDGE_…, or .env
	Problem  string // "is not set"
	Example  string // a value, or NAME=value where another variable is meant
}

// String is one line: variable, what is wrong, an example.
func (f Fault) String() string {
	line := printable(f.Variable) + ": " + f.Problem
	switch {
	case f.Example == "":
		return line
	case strings.HasPrefix(f.Example, Prefix):
		return line + " (example: " + f.Example + ")"
	default:
		return line + " (example: " + f.Variable + "=" + f.Example + ")"
	}
}

// loader collects faults while the checks go on.
type loader struct {
	faults Faults
}

// fault notes a problem of the variable Prefix + name, with the example of the variable list.
func (l *loader) fault(name, problem string) {
	f := Fault{Variable: Prefix + name, Problem: problem}
	for _, v := range Variables() {
		if v.Name == f.Variable {
			f.Example = v.Example
		}
	}
	l.faults = append(l.faults, f)
}

// has reports whether the variable, or its file, is at fault already.
func (l *loader) has(variable string) bool {
	return slices.ContainsFunc(l.faults, func(f Fault) bool {
		return f.Variable == variable || f.Variable == variable+"_FILE"
	})
}

// err gives the faults in the order of the variable list, then those of unknown names; nil if there are none.
func (l *loader) err() error {
	if len(l.faults) == 0 {
		return nil
	}
	rank := map[string]int{}
	for i, v := range Variables() {
		rank[v.Name], rank[v.Name+"_FILE"] = i, i
	}
	slices.SortStableFunc(l.faults, func(a, b Fault) int {
		return place(rank, a.Variable) - place(rank, b.Variable)
	})
	return l.faults
}

func place(rank map[string]int, variable string) int {
	if i, ok := rank[variable]; ok {
		return i
	}
	return reflect.TypeFor[variables]().NumField()
}

// printable keeps an odd variable name from starting a line of its own.
func printable(name string) string {
	for _, r := range name {
		if !strconv.IsPrint(r) {
			return strconv.QuoteToASCII(name)
		}
	}
	return name
}

// reason is the cause of a file error without the path, which might be a secret put into the wrong variable.
func reason(err error) string {
	var path *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such file"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied"
	case errors.As(err, &path):
		return path.Err.Error()
	default:
		return "it could not be read"
	}
}
