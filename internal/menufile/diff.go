package menufile

import "strings"

// context is the number of unchanged lines shown around a change.
const context = 3

// Diff shows what changes from one text to another, line by line: what goes with a "-", what comes with a "+", and some
// lines around it; "" if nothing does.
func Diff(from, to []byte) string {
	a, b := lines(from), lines(to)
	edits := script(a, b)
	near := make([]bool, len(edits))
	changed := false
	for i, e := range edits {
		if e.mark == ' ' {
			continue
		}
		changed = true
		for j := max(0, i-context); j <= min(len(edits)-1, i+context); j++ {
			near[j] = true
		}
	}
	if !changed {
		return ""
	}
	var out strings.Builder
	skipped := false
	for i, e := range edits {
		if !near[i] {
			skipped = true
			continue
		}
		if skipped {
			out.WriteString("  …\n")
		}
		skipped = false
		out.WriteString(string(e.mark) + " " + e.line + "\n")
	}
	if skipped {
		out.WriteString("  …\n")
	}
	return out.String()
}

func lines(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

type edit struct {
	mark byte // ' ', '-' or '+'
	line string
}

// script finds the fewest edits by the length of the longest common subsequence. A menu has some fifty lines.
func script(a, b []string) []edit {
	common := make([][]int, len(a)+1) // of a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var edits []edit
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			edits = append(edits, edit{' ', a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			edits = append(edits, edit{'-', a[i]})
			i++
		default:
			edits = append(edits, edit{'+', b[j]})
			j++
		}
	}
	return edits
}
