package listfile_test

import (
	"fmt"

	"wxbridge/internal/listfile"
)

func ExampleReader() {
	r := listfile.Reader{List: "shops", Thing: "shop", Fields: []string{"name", "towns", "open"}}
	for _, e := range r.Entries([]byte(`
shops:
  - name: 茶馆
    towns: [杭州, 绍兴]
    open: true
  - towns: 宁波
    open: sometimes
    door: blue
`)) {
		name, ok := r.Text(e, "name")
		if !ok {
			r.Fault(e.Line, "name is missing")
		}
		towns, _ := r.Texts(e, "towns", "[杭州]")
		fmt.Println(e.Line, name, len(towns), r.Yes(e, "open"))
	}
	fmt.Println(r.Faults())
	// Output:
	// 3 茶馆 2 true
	// 6  0 false
	// line 6: name is missing
	// line 6: towns is not a list, such as [杭州]
	// line 7: open is neither true nor false
	// line 8: there is a field door, which no shop has; it has name, towns, open
}
