package jwtauth

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// MaxDepartmentsBytes bounds the text of [Departments], so that it fits a header
// and leaves the token room in a cookie.
const MaxDepartmentsBytes = 1024

// Departments are the ids of the departments that a WeCom member belongs to: the
// claim "departments", an array of numbers in the token. It is kept as text,
// decimal ids in ascending order with commas between them, such as "1,12", so that
// claims stay comparable and cost no memory of their own; "" is none.
//
// An id means something inside one corp ([Claims].AppID) only.
type Departments string

// DepartmentsOf makes Departments of ids: sorted, each once. Ids that are not
// positive are left out, and so are the highest where all together would be longer
// than [MaxDepartmentsBytes].
func DepartmentsOf(ids ...int64) Departments {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	var text []byte
	for _, id := range slices.Compact(ids) {
		if id <= 0 {
			continue
		}
		longer := text
		if len(longer) > 0 {
			longer = append(longer, ',')
		}
		if longer = strconv.AppendInt(longer, id, 10); len(longer) > MaxDepartmentsBytes {
			break
		}
		text = longer
	}
	return Departments(text)
}

// IDs returns the ids, in ascending order.
func (d Departments) IDs() []int64 {
	if d == "" {
		return nil
	}
	ids := make([]int64, 0, 1+strings.Count(string(d), ","))
	for text := range strings.SplitSeq(string(d), ",") {
		if id, err := strconv.ParseInt(text, 10, 64); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// Has reports whether the id is among them.
func (d Departments) Has(id int64) bool {
	wanted := strconv.FormatInt(id, 10)
	for text := range strings.SplitSeq(string(d), ",") {
		if text == wanted {
			return true
		}
	}
	return false
}

// valid reports whether d is what [DepartmentsOf] makes.
func (d Departments) valid() bool { return d == "" || DepartmentsOf(d.IDs()...) == d }

// MarshalJSON implements json.Marshaler: an array of numbers.
func (d Departments) MarshalJSON() ([]byte, error) {
	if !d.valid() {
		return nil, errors.New("jwtauth: departments are not ids with commas between them")
	}
	return []byte("[" + string(d) + "]"), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *Departments) UnmarshalJSON(data []byte) error {
	var ids []int64
	if err := json.Unmarshal(data, &ids); err != nil {
		return err
	}
	*d = DepartmentsOf(ids...)
	return nil
}

// departments reads an array of positive whole numbers, which may be missing.
func (r *reader) departments(name string) Departments {
	value, ok := r.object.member(name)
	if !ok {
		return ""
	}
	var ids []int64
	if len(value) == 0 || value[0] != '[' || json.Unmarshal(value, &ids) != nil ||
		slices.ContainsFunc(ids, func(id int64) bool { return id <= 0 }) {
		r.refuse(refusal(name + " is not an array of positive whole numbers"))
		return ""
	}
	slices.Sort(ids)
	all := slices.Compact(ids)
	d := DepartmentsOf(all...)
	if len(d.IDs()) != len(all) {
		r.refuse(refusal(name + " has more ids than any bridge puts there"))
	}
	return d
}
