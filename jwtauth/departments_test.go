package jwtauth_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"wxbridge/jwtauth"
)

func TestDepartmentsAreAnArrayInTheTokenAndTextInTheClaims(t *testing.T) {
	w := newWorld(t)
	c := login()
	c.Provider, c.AppID, c.OpenID = "wecom", "ww0123456789abcdef", "zhangsan"
	c.Departments = jwtauth.DepartmentsOf(12, 1, 12, 0, -3, 7)
	raw, out, err := w.issuer.AccessToken(c)
	must(t, err)
	if out.Departments != "1,7,12" {
		t.Errorf("the issuer answers departments %q", out.Departments)
	}
	_, claims := decode(t, raw)
	if text := fmt.Sprint(claims["departments"]); text != "[1 7 12]" {
		t.Errorf("the token says departments %s", text)
	}
	for range 2 { // the second answer comes from memory
		got, err := w.verifier.Verify(background, raw)
		must(t, err)
		if got != out || !slices.Equal(got.Departments.IDs(), []int64{1, 7, 12}) {
			t.Errorf("verified %+v, issued %+v", got, out)
		}
	}
}

func TestDepartmentsReadBackFromTheirJSON(t *testing.T) {
	text, err := json.Marshal(jwtauth.DepartmentsOf(3, 1))
	must(t, err)
	var back jwtauth.Departments
	must(t, json.Unmarshal(text, &back))
	if string(text) != "[1,3]" || back != "1,3" {
		t.Errorf("%s came back as %q", text, back)
	}
}

func TestDepartmentsStayShort(t *testing.T) {
	many := make([]int64, 500)
	for i := range many {
		many[i] = 4_000_000_000 + int64(i)
	}
	d := jwtauth.DepartmentsOf(many...)
	if len(d) > jwtauth.MaxDepartmentsBytes || len(d.IDs()) < 90 || d.IDs()[0] != many[0] {
		t.Errorf("%d bytes with %d ids from %d on", len(d), len(d.IDs()), d.IDs()[0])
	}
}

func TestDepartmentsHasComparesWholeIDs(t *testing.T) {
	d := jwtauth.DepartmentsOf(12, 3)
	for id, is := range map[int64]bool{12: true, 3: true, 1: false, 2: false, 123: false, 0: false} {
		if d.Has(id) != is {
			t.Errorf("Has(%d) is %t", id, !is)
		}
	}
	if jwtauth.Departments("").Has(0) || len(jwtauth.Departments("").IDs()) != 0 {
		t.Error("no departments have one")
	}
}

func TestDepartmentsThatAreNoneAreNotIssued(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []jwtauth.Departments{"x", "1,", ",1", "1,,2", "2,1", "01", "-1", `1],"sub":"other`, "1 ", jwtauth.Departments(strings.Repeat("9,", 600))} {
		c := login()
		c.Departments = bad
		if raw, _, err := w.issuer.AccessToken(c); err == nil {
			t.Errorf("%q: got the token %s", bad, raw)
		}
	}
}

// TOK-03: a claim of the wrong type is refused, not guessed at.
func TestTOK03_DepartmentsOfAnotherShapeAreRefused(t *testing.T) {
	w := newWorld(t)
	var rows []refusal
	for _, value := range []string{`""`, `"1"`, `7`, `true`, `null`, `{}`, `["1"]`, `[1.5]`, `[0]`, `[-1]`, `[[1]]`, `[null]`, `[9223372036854775808]`} {
		rows = append(rows, refusal{"departments " + value, w.sign(t, goodHeader().String(), goodClaims().with("departments", value).String()),
			"departments is not an array of positive whole numbers"})
	}
	rows = append(rows, refusal{"thousands of departments", w.sign(t, goodHeader().String(),
		goodClaims().with("departments", "["+longList(300)+"]").String()), "departments has more ids than any bridge puts there"})
	checkRefusals(t, w.verifier, rows)
	raw := w.sign(t, goodHeader().String(), goodClaims().with("departments", "[ 9 , 2,2 ]").String())
	if c, err := w.verifier.Verify(background, raw); err != nil || c.Departments != "2,9" {
		t.Errorf("got %q, %v", c.Departments, err)
	}
}

func longList(n int) string {
	var list []string
	for i := range n {
		list = append(list, "100000"+string(rune('0'+i%10))+string(rune('0'+i/10%10))+string(rune('0'+i/100)))
	}
	return strings.Join(list, ",")
}

func TestRecallOfATokenWithDepartmentsAllocatesNoMoreThanOneWithout(t *testing.T) {
	w := newWorld(t)
	measure := func(d jwtauth.Departments) float64 {
		c := login()
		c.Departments = d
		raw, _, err := w.issuer.AccessToken(c)
		must(t, err)
		_, err = w.verifier.Verify(background, raw)
		must(t, err)
		return testing.AllocsPerRun(100, func() {
			if _, err := w.verifier.Verify(background, raw); err != nil {
				t.Error(err)
			}
		})
	}
	if with, without := measure("1,2,3"), measure(""); with > without {
		t.Errorf("%v allocations with departments, %v without", with, without)
	}
}
