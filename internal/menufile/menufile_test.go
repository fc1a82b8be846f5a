package menufile_test

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"wxbridge/internal/menufile"
	"wxbridge/internal/yamlfile"
)

const base = "https://login.example.com/login?return_to="

// login makes links for paths that begin with a slash.
func login(to string) (string, error) {
	if !strings.HasPrefix(to, "/") {
		return "", errors.New("leads nowhere")
	}
	return base + to, nil
}

func loginOf(link string) (string, bool) { return strings.CutPrefix(link, base) }

const whole = `buttons:
  - name: 会员中心
    login: /member?a=1&b=2
  - name: 今日歌曲
    click: V1001_TODAY_MUSIC
  - name: 菜单
    buttons:
      - name: 搜索
        view: https://www.example.com/?a=1&b=2
      - name: wxa
        miniprogram:
          appid: wx286b93c14bbf93aa
          path: pages/lunar/index
          url: https://mp.example.com/fallback
      - name: "😀: #1"
        media_id: m-1_2
      - name: "2026"
        article_id: "7"
      - name: 扫一扫
        scancode_waitmsg: "yes"
`

func wholeMenu() menufile.Menu {
	return menufile.Menu{Buttons: []menufile.Button{
		{Name: "会员中心", Type: "view", URL: base + "/member?a=1&b=2"},
		{Name: "今日歌曲", Type: "click", Key: "V1001_TODAY_MUSIC"},
		{Name: "菜单", Sub: []menufile.Button{
			{Name: "搜索", Type: "view", URL: "https://www.example.com/?a=1&b=2"},
			{Name: "wxa", Type: "miniprogram", AppID: "wx286b93c14bbf93aa", PagePath: "pages/lunar/index", URL: "https://mp.example.com/fallback"},
			{Name: "😀: #1", Type: "media_id", MediaID: "m-1_2"},
			{Name: "2026", Type: "article_id", ArticleID: "7"},
			{Name: "扫一扫", Type: "scancode_waitmsg", Key: "yes"},
		}},
	}}
}

func TestParse_AndWrite(t *testing.T) {
	got, err := menufile.Parse([]byte(whole), login)
	if err != nil || !reflect.DeepEqual(got, wholeMenu()) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if text := menufile.Write(got, loginOf); string(text) != whole {
		t.Errorf("written:\n%s", text)
	}
}

func TestParse_EveryKind(t *testing.T) {
	for _, kind := range []string{"click", "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select"} {
		got := parse(t, "buttons:\n- name: a\n  "+kind+": K\n")
		if want := (menufile.Button{Name: "a", Type: kind, Key: "K"}); !reflect.DeepEqual(got.Buttons, []menufile.Button{want}) {
			t.Errorf("%s: got %+v", kind, got)
		}
	}
	for _, kind := range []string{"media_id", "view_limited"} {
		if got := parse(t, "buttons:\n- name: a\n  "+kind+": M\n").Buttons[0]; got.Type != kind || got.MediaID != "M" {
			t.Errorf("%s: got %+v", kind, got)
		}
	}
	for _, kind := range []string{"article_id", "article_view_limited"} {
		if got := parse(t, "buttons:\n- name: a\n  "+kind+": A\n").Buttons[0]; got.Type != kind || got.ArticleID != "A" {
			t.Errorf("%s: got %+v", kind, got)
		}
	}
}

func parse(t *testing.T, text string) menufile.Menu {
	t.Helper()
	got, err := menufile.Parse([]byte(text), login)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return got
}

// The limits of wechat-protocol §4.1 are in bytes of UTF-8.
func TestParse_LimitsInBytes(t *testing.T) {
	top := "buttons:\n- name: %s\n  click: k\n"
	sub := "buttons:\n- name: a\n  buttons:\n  - name: %s\n    click: k\n"
	key := "buttons:\n- name: a\n  click: %s\n"
	view := "buttons:\n- name: a\n  view: https://e.com/%s\n"
	link := "buttons:\n- name: a\n  login: /%s\n"
	for _, row := range []struct {
		name, form, text string
		fits             bool
	}{
		{"16 letters", top, strings.Repeat("a", 16), true},
		{"17 letters", top, strings.Repeat("a", 17), false},
		{"5 Chinese characters and a letter", top, "今日歌曲呀a", true},
		{"5 Chinese characters and two letters", top, "今日歌曲呀ab", false},
		{"4 emoji", top, "😀😀😀😀", true},
		{"5 emoji", top, "😀😀😀😀😀", false},
		{"20 Chinese characters below", sub, strings.Repeat("字", 20), true},
		{"20 and a letter below", sub, strings.Repeat("字", 20) + "a", false},
		{"a key of 128", key, strings.Repeat("k", 128), true},
		{"a key of 129", key, strings.Repeat("k", 129), false},
		{"a key of 43 Chinese characters", key, strings.Repeat("字", 43), false},
		{"a URL of 1024", view, strings.Repeat("u", 1024-len("https://e.com/")), true},
		{"a URL of 1025", view, strings.Repeat("u", 1025-len("https://e.com/")), false},
		{"a login of 1024", link, strings.Repeat("u", 1024-len(base)-1), true},
		{"a login of 1025", link, strings.Repeat("u", 1024-len(base)), false},
	} {
		_, err := menufile.Parse(fmt.Appendf(nil, row.form, row.text), login)
		if (err == nil) != row.fits {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestParse_FaultsHaveTheirLine(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"nothing", "", "line 0: has no button in a list named buttons"},
		{"only a comment", "# a menu\n", "line 0: has no button"},
		{"null", "buttons:\n", "line 1: buttons is not a list"},
		{"an empty list", "buttons: []\n", "line 1: buttons is empty"},
		{"a text", "hello", "line 1: is not a list named buttons; examples/menu.yaml shows one"},
		{"a list", "- name: a\n", "line 1: is not a list named buttons"},
		{"WeChat's own word", "button:\n- name: a\n", `line 1: there is no field "button"; there are buttons`},
		{"a field beside", "buttons:\n- name: a\n  click: k\nmatchrule: 1\n", `line 4: there is no field "matchrule"; there are buttons`},
		{"twice", "buttons:\n- name: a\n  click: k\nbuttons: []\n", "line 4: buttons is repeated"},
		{"no YAML", "buttons:\n- name: [a\n", "is not YAML"},
		{"a tab", "buttons:\n- name: a\n\tclick: k\n", "line 3: is not YAML: a line begins with a tab; indent with spaces"},
		{"an open quote", "buttons:\n- name: \"a\n", "line 2: is not YAML: could not find end character of double-quoted text"},
		{"a colon in a text", "buttons:\n- name: 会员: 中心\n", "line 2: is not YAML: mapping value is not allowed"},
		{"a second document", "buttons:\n- name: a\n  click: k\n---\nbuttons: []\n", "line 5: a second document begins"},
		{"no UTF-8", "buttons:\n- name: \xff\n", "line 0: is not UTF-8"},
		{"far too long", "# " + strings.Repeat("x", 64<<10), "line 0: has more than 64 KiB"},
		{"four buttons", "buttons:\n" + strings.Repeat("- name: a\n  click: k\n", 4), "line 8: there is a button too many; WeChat takes 3 here"},
		{"six below", "buttons:\n- name: a\n  buttons:\n" + strings.Repeat("  - name: a\n    click: k\n", 6), "line 14: there is a button too many; WeChat takes 5 here"},
		{"none below", "buttons:\n- name: a\n  buttons: []\n", "line 3: buttons is empty; there are 1 to 5"},
		{"null below", "buttons:\n- name: a\n  buttons:\n", "line 3: buttons is empty; there are 1 to 5"},
		{"a third level", "buttons:\n- name: a\n  buttons:\n  - name: b\n    buttons:\n    - name: c\n      click: k\n", "line 5: a third level begins"},
		{"a button that is a text", "buttons:\n- hello\n", "line 2: a button is a name and one of login,"},
		{"no name", "buttons:\n- click: k\n", "line 2: name is missing"},
		{"an empty name", "buttons:\n- name: ''\n  click: k\n", "line 2: name is empty"},
		{"a name of spaces", "buttons:\n- name: '  '\n  click: k\n", "line 2: name is empty"},
		{"a name with a space behind", "buttons:\n- name: 'a '\n  click: k\n", "line 2: name begins or ends with a space"},
		{"a name of two lines", "buttons:\n- name: \"a\\nb\"\n  click: k\n", "line 2: name has a line end"},
		{"a name with U+2028", "buttons:\n- name: \"a\\u2028b\"\n  click: k\n", "line 2: name has a line end"},
		{"a name that is a list", "buttons:\n- name: [a]\n  click: k\n", "line 2: name is not one text"},
		{"an anchor", "buttons:\n- name: &a x\n  click: k\n", "line 2: name is not one text"},
		{"a name too long", "buttons:\n- click: k\n  name: 今日歌曲今日\n", "line 3: name has 18 bytes; WeChat takes 16 on the first level"},
		{"nothing to do", "buttons:\n- name: a\n", "line 2: the button does nothing"},
		{"two things to do", "buttons:\n- name: a\n  click: k\n  view: https://e.com\n", "line 2: the button has both view and click"},
		{"WeChat's form", "buttons:\n- name: a\n  type: click\n", `line 3: there is no field "type"; there are name, login,`},
		{"a field twice", "buttons:\n- name: a\n  click: k\n  click: l\n", "line 4: click is repeated"},
		{"an empty key", "buttons:\n- name: a\n  click:\n", "line 3: click is empty"},
		{"a path to view", "buttons:\n- name: a\n  view: /member\n", "line 3: view is not an absolute URL"},
		{"a script to view", "buttons:\n- name: a\n  view: javascript:alert(1)\n", "line 3: view is not an absolute URL"},
		{"a URL with a password", "buttons:\n- name: a\n  view: https://u:p@e.com/\n", "line 3: view is not an absolute URL"},
		{"a URL without a host", "buttons:\n- name: a\n  view: https:///x\n", "line 3: view is not an absolute URL"},
		{"a URL with a space", "buttons:\n- name: a\n  view: https://e.com/a b\n", "line 3: view is not an absolute URL"},
		{"a login elsewhere", "buttons:\n- name: a\n  login: https://evil.example/\n", "line 3: login leads nowhere"},
		{"an empty login", "buttons:\n- name: a\n  login: ''\n", "line 3: login is empty"},
		{"a mini program that is a text", "buttons:\n- name: a\n  miniprogram: wx286b93c14bbf93aa\n", "line 3: miniprogram has the fields appid, path and url"},
		{"a mini program without its path", "buttons:\n- name: a\n  miniprogram:\n    appid: wx286b93c14bbf93aa\n    url: https://e.com/\n", "line 3: miniprogram has no path"},
		{"a mini program of another kind of id", "buttons:\n- name: a\n  miniprogram:\n    appid: gh_7f083739789a\n    path: p\n    url: https://e.com/\n", "line 4: appid is not wx"},
		{"a mini program with more", "buttons:\n- name: a\n  miniprogram:\n    appid: wx286b93c14bbf93aa\n    path: p\n    url: https://e.com/\n    pagepath: p\n", `line 7: there is no field "pagepath"; there are appid, path, url`},
		{"a mini program's url", "buttons:\n- name: a\n  miniprogram:\n    appid: wx286b93c14bbf93aa\n    path: p\n    url: pages\n", "line 6: url is not an absolute URL"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := menufile.Parse([]byte(row.text), login)
			faults, ok := errors.AsType[yamlfile.Faults](err)
			if !ok || len(faults) != 1 || !strings.Contains(err.Error(), row.want) || got.Buttons != nil {
				t.Errorf("got %+v and\n%v\nwant %s", got, err, row.want)
			}
		})
	}
}

func TestParse_FindsAllFaultsInTheirOrder(t *testing.T) {
	_, err := menufile.Parse([]byte(`buttons:
- name: 今日歌曲今日
  click: k
- name: b
  buttons:
  - name: c
    view: nowhere
  - nome: d
- click: k
`), login)
	faults, ok := errors.AsType[yamlfile.Faults](err)
	if !ok {
		t.Fatal(err)
	}
	var at []int
	for _, f := range faults {
		at = append(at, f.Line)
	}
	if want := []int{2, 7, 8, 8, 9}; !slices.Equal(at, want) {
		t.Errorf("faults on lines %v, want %v\n%v", at, want, err)
	}
}

func TestWrite_WhatNoFileCanSayIsAComment(t *testing.T) {
	m := menufile.Menu{Buttons: []menufile.Button{
		{Name: "t", Type: "text", Foreign: "hello\n- name: injected\n  click: x"},
		{Name: "n", Sub: []menufile.Button{{Name: "v\x1b[31m\u202e", Type: "view", URL: base + "/x"}, {Name: "p", Type: "news"}}},
	}}
	want := `buttons:
  - name: t
    # "text hello\n- name: injected\n  click: x", which a menu file cannot say
  - name: "n"
    buttons:
      - name: "v\u001b[31m\u202e"
        login: /x
      - name: p
        # news, which a menu file cannot say
`
	if got := string(menufile.Write(m, loginOf)); got != want || !m.Foreign() {
		t.Errorf("got %s", got)
	}
	m.Buttons = m.Buttons[1:]
	if !m.Foreign() {
		t.Error("a foreign button on the second level")
	}
	if w := wholeMenu(); w.Foreign() {
		t.Error("a menu of a file is foreign")
	}
}

func TestDiff(t *testing.T) {
	for _, row := range []struct{ name, from, to, want string }{
		{"the same", "a\nb\n", "a\nb\n", ""},
		{"nothing before", "", "a\nb\n", "+ a\n+ b\n"},
		{"one line", "a\nb\nc\n", "a\nx\nc\n", "  a\n- b\n+ x\n  c\n"},
		{"far apart", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n", "x\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n",
			"- 1\n+ x\n  2\n  3\n  4\n  …\n  9\n  10\n  11\n- 12\n"},
		{"at the end", "1\n2\n3\n4\n5\n", "1\n2\n3\n4\n5\n6\n", "  …\n  3\n  4\n  5\n+ 6\n"},
		{"at the beginning", "1\n2\n3\n4\n5\n", "0\n1\n2\n3\n4\n5\n", "+ 0\n  1\n  2\n  3\n  …\n"},
	} {
		if got := menufile.Diff([]byte(row.from), []byte(row.to)); got != row.want {
			t.Errorf("%s: got\n%s", row.name, got)
		}
	}
}

func TestTheExampleIsAMenu(t *testing.T) {
	text, err := os.ReadFile("../../examples/menu.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if m := parse(t, string(text)); len(m.Buttons) != 3 || len(m.Buttons[2].Sub) != 4 {
		t.Errorf("got %+v", m)
	}
}

// FuzzParse gives arbitrary files: faults that are short and have a line, or a menu that reads back the same from what is
// written of it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("buttons:\n- name: \"\\U0001f600\\u200d\"\n  click: 0x10\n"))
	f.Add([]byte("buttons:\n- name: 'null'\n  click: ~\n- name: |\n    a\n  view: https://e.com/#x: y\n"))
	f.Add([]byte("buttons: {a: b}\n"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Add([]byte("buttons:\n- name: a: b\n  <<: *x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := menufile.Parse(text, login)
		if err != nil {
			faults, ok := errors.AsType[yamlfile.Faults](err)
			if !ok || len(faults) == 0 {
				t.Fatalf("%T %v", err, err)
			}
			for _, fault := range faults {
				if fault.Line < 0 || fault.Problem == "" || len(fault.Problem) > 500 {
					t.Errorf("%+v", fault)
				}
			}
			return
		}
		if len(m.Buttons) == 0 || len(m.Buttons) > 3 || m.Foreign() {
			t.Errorf("got %+v", m)
		}
		written := menufile.Write(m, loginOf)
		again, err := menufile.Parse(written, login)
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v was written\n%s\nand reads %+v, %v", m, written, again, err)
		}
	})
}

// FuzzWrite writes menus of arbitrary names, which WeChat may have, and reads them back.
func FuzzWrite(f *testing.F) {
	for _, name := range []string{"a", "- b", "yes", "~", "1e3", "a: b", "a #b", "'", "\"", "\\", "{", "今日", "😀‍😀", "a\u202eb", "!x", "&x", "*x", "%x", "@x", "`", "|", ">", "?", "0x1", ".5", "-", "=", "<<", "a\u00a0b", "\u0085"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		name = strings.ToValidUTF8(name, "?") // as everything that WeChat answers is made
		m := menufile.Menu{Buttons: []menufile.Button{{Name: name, Type: "click", Key: name}}}
		again, err := menufile.Parse(menufile.Write(m, loginOf), login)
		if err == nil && !reflect.DeepEqual(again, m) {
			t.Errorf("%q was written\n%s\nand reads %+v", name, menufile.Write(m, loginOf), again)
		}
	})
}
