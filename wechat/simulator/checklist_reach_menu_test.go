package simulator_test

import (
	"fmt"
	"strings"
	"testing"
)

func (w *world) createMenu(body string) answer {
	w.t.Helper()
	return w.do("POST", "/cgi-bin/menu/create?access_token="+w.appToken(w.official), body, nil)
}

func (w *world) menuCall(name string) answer {
	w.t.Helper()
	return w.get("/cgi-bin/" + name + "?access_token=" + w.appToken(w.official))
}

func (w *world) wantMenu(body string) {
	w.t.Helper()
	a := w.createMenu(body)
	if a.body != `{"errcode":0,"errmsg":"ok"}` {
		w.t.Errorf("menu %s: %s", body, a.body)
	}
}

func TestChecklist17_TheMenuIsReadBackWithEmptySubButtons(t *testing.T) {
	w := newWorld(t)
	if text := w.menuCall("menu/get").errcode(t, 46003); !strings.HasPrefix(text, "menu no exist rid: ") {
		t.Errorf("errmsg %q", text)
	}
	if got := w.menuCall("get_current_selfmenu_info").body; got != `{"is_menu_open":0,"selfmenu_info":{"button":[]}}` {
		t.Errorf("no menu: %s", got)
	}
	w.wantMenu(`{"button":[
	  {"type":"click","name":"今日歌曲","key":"V1001_TODAY_MUSIC"},
	  {"name":"菜单","sub_button":[
	    {"type":"view","name":"搜索","url":"https://www.example.com/?a=1&b=2"},
	    {"type":"miniprogram","name":"wxa","url":"https://mp.example.com/fallback","appid":"` + w.mini.AppID + `","pagepath":"pages/lunar/index"},
	    {"type":"click","name":"赞一下我们","key":"V1001_GOOD"}]}]}`)
	const leaves = `{"type":"view","name":"搜索","url":"https:\/\/www.example.com\/?a=1&b=2"%[2]s},` +
		`{"type":"miniprogram","name":"wxa","url":"https:\/\/mp.example.com\/fallback","appid":"%[1]s","pagepath":"pages\/lunar\/index"%[2]s},` +
		`{"type":"click","name":"赞一下我们","key":"V1001_GOOD"%[2]s}`
	want := fmt.Sprintf(`{"menu":{"button":[{"type":"click","name":"今日歌曲","key":"V1001_TODAY_MUSIC"%[2]s},{"name":"菜单","sub_button":[`+leaves+`]}]}}`, w.mini.AppID, `,"sub_button":[]`)
	if got := w.menuCall("menu/get").body; got != want {
		t.Errorf("menu/get\n%s, want\n%s", got, want)
	}
	want = fmt.Sprintf(`{"is_menu_open":1,"selfmenu_info":{"button":[{"type":"click","name":"今日歌曲","key":"V1001_TODAY_MUSIC"},{"name":"菜单","sub_button":{"list":[`+leaves+`]}}]}}`, w.mini.AppID, "")
	if got := w.menuCall("get_current_selfmenu_info").body; got != want {
		t.Errorf("current\n%s, want\n%s", got, want)
	}
	t.Run("what was read can be pushed again", func(t *testing.T) {
		before := w.menuCall("menu/get").body
		w.wantMenu(strings.TrimSuffix(strings.TrimPrefix(before, `{"menu":`), "}"))
		if after := w.menuCall("menu/get").body; after != before {
			t.Errorf("before %s, after %s", before, after)
		}
	})
	t.Run("delete", func(t *testing.T) {
		if got := w.menuCall("menu/delete").body; got != `{"errcode":0,"errmsg":"ok"}` {
			t.Error(got)
		}
		w.menuCall("menu/get").errcode(t, 46003)
		w.menuCall("menu/delete").json(t)
	})
}

func TestChecklist17_LimitsAreInBytesOfUTF8(t *testing.T) {
	w := newWorld(t)
	view := func(name, url string) string { return fmt.Sprintf(`{"type":"view","name":%q,"url":%q}`, name, url) }
	click := func(name, key string) string { return fmt.Sprintf(`{"type":"click","name":%q,"key":%q}`, name, key) }
	bar := func(buttons ...string) string { return `{"button":[` + strings.Join(buttons, ",") + `]}` }
	below := func(buttons ...string) string {
		return bar(`{"name":"菜单","sub_button":[` + strings.Join(buttons, ",") + `]}`)
	}
	longest := "https://a.example/" + strings.Repeat("x", 1024-len("https://a.example/"))
	program := func(appid, path string) string {
		return fmt.Sprintf(`{"type":"miniprogram","name":"m","url":"https://a.example/","appid":%q,"pagepath":%q}`, appid, path)
	}
	for _, good := range []string{
		bar(click("1234567890123456", strings.Repeat("k", 128))), bar(click("五个汉字名", "k")), bar(view("v", longest)),
		below(click(strings.Repeat("字", 20), "k")), below(view("v", longest)), bar(click("a", "k"), click("b", "k"), click("c", "k")),
		below(click("1", "k"), click("2", "k"), click("3", "k"), click("4", "k"), click("5", "k")),
		bar(`{"type":"media_id","name":"m","media_id":"x"}`, `{"type":"article_id","name":"m","article_id":"x"}`, `{"type":"location_select","name":"m","key":"x"}`),
		bar(program(w.mini.AppID, "pages/a")), bar(`{"type":"view","name":"v","url":"https:\/\/a.example\/","sub_button":[]}`),
	} {
		w.wantMenu(good)
	}
	for _, row := range []struct {
		what, body string
		errcode    int
	}{
		{"no body", "", 44002}, {"not JSON", "{", 47001}, {"a text for the list", `{"button":"x"}`, 47001},
		{"no button", `{}`, 40016}, {"an empty bar", bar(), 40016}, {"four buttons", bar(click("a", "k"), click("b", "k"), click("c", "k"), click("d", "k")), 40016},
		{"a name of 17 bytes", bar(click("12345678901234567", "k")), 40018}, {"a name of 6 Chinese characters", bar(click("六个汉字名字", "k")), 40018},
		{"no name", bar(click("", "k")), 40018}, {"a parent's name of 18 bytes", bar(`{"name":"六个汉字名字","sub_button":[` + click("a", "k") + `]}`), 40018},
		{"an unknown type", bar(`{"type":"link","name":"a"}`), 40017}, {"no type", bar(`{"name":"a"}`), 40017}, {"a parent without children", bar(`{"name":"a","sub_button":[]}`), 41007},
		{"a key of 129 bytes", bar(click("a", strings.Repeat("k", 129))), 40019}, {"no key", bar(click("a", "")), 40019},
		{"a url of 1025 bytes", bar(view("a", longest+"x")), 40020}, {"no url", bar(view("a", "")), 40020},
		{"a path for a url", bar(view("a", "/login")), 40055}, {"another scheme", bar(view("a", "weixin://dl/")), 40055},
		{"six below", below(click("1", "k"), click("2", "k"), click("3", "k"), click("4", "k"), click("5", "k"), click("6", "k")), 40023},
		{"a third level", below(`{"name":"a","sub_button":[` + click("b", "k") + `]}`), 40022},
		{"a name of 61 bytes below", below(click(strings.Repeat("x", 61), "k")), 40025}, {"a type below", below(`{"type":"link","name":"a"}`), 40024},
		{"a key of 129 bytes below", below(click("a", strings.Repeat("k", 129))), 40026}, {"a url of 1025 bytes below", below(view("a", longest+"x")), 40027},
		{"a path for a url below", below(view("a", "/login")), 40054}, {"a medium without id", bar(`{"type":"media_id","name":"m"}`), 40007},
		{"a foreign mini program", bar(program("wx0000000000000000", "pages/a")), 45064}, {"an official account for one", bar(program(w.official.AppID, "pages/a")), 45064},
		{"an escaped &", `{"button":[{"type":"view","name":"v","url":"https://a.example/?a=1\u0026b=2"}]}`, 40033},
		{"escaped Chinese", `{"button":[{"type":"click","name":"\u83dc\u5355","key":"k"}]}`, 40033},
	} {
		t.Run(row.what, func(t *testing.T) { w.createMenu(row.body).errcode(t, row.errcode) })
	}
	t.Run("a backslash before a u is no escape", func(t *testing.T) {
		w.wantMenu(`{"button":[{"type":"click","name":"a","key":"\\u0026"}]}`)
	})
	t.Run("switches", func(t *testing.T) {
		w.flip("menu-unicode-escapes", "accepted")
		w.wantMenu(`{"button":[{"type":"view","name":"v","url":"https://a.example/?a=1\u0026b=2"}]}`)
		w.flip("menu-url-domain-codes", "40054-top")
		w.createMenu(bar(view("a", "/login"))).errcode(t, 40054)
		w.createMenu(below(view("a", "/login"))).errcode(t, 40055)
		w.flip("linked-mini-programs", "none")
		w.createMenu(bar(program(w.mini.AppID, "pages/a"))).errcode(t, 45064)
	})
	t.Run("a refused menu leaves the one before", func(t *testing.T) {
		if got := w.menuCall("menu/get").body; !strings.Contains(got, `a=1&b=2`) {
			t.Error(got)
		}
	})
	t.Run("the API's doors", func(t *testing.T) {
		w.do("POST", "/cgi-bin/menu/create", "{}", nil).errcode(t, 41001)
		w.menuCall("menu/create").errcode(t, 43002)
		w.do("POST", "/cgi-bin/menu/create?access_token="+w.appToken(w.mini), bar(click("a", "k")), nil).errcode(t, 48001)
	})
}

func TestChecklist17_APhoneAsksForTheMenuEveryFiveMinutes(t *testing.T) {
	w := newWorld(t, stoppedClock)
	shown := func(name string) string {
		v := w.get("/_simulator/menu?person=" + name + "&appid=" + w.official.AppID).json(t)
		return fmt.Sprint(v["pushed"], " ", len(v["button"].([]any)))
	}
	want := func(when, name, want string) {
		t.Helper()
		if got := shown(name); got != want {
			t.Errorf("%s %s sees %s, want %s", when, name, got, want)
		}
	}
	want("at first", "alice", "false 0")
	w.wantMenu(`{"button":[{"type":"click","name":"a","key":"k"}]}`)
	want("at once", "alice", "false 0")
	want("at once", "bob", "true 1")
	w.advance("4m59s")
	want("just before five minutes", "alice", "false 0")
	w.advance("1s")
	want("after five minutes", "alice", "true 1")
	w.wantMenu(`{"button":[{"type":"click","name":"a","key":"k"},{"type":"click","name":"b","key":"k"}]}`)
	want("at once", "alice", "true 1")
	w.push("alice", "unsubscribe")
	want("after leaving", "alice", "true 1")
	w.push("alice", "subscribe")
	want("after following again", "alice", "true 2")
	w.menuCall("menu/delete")
	w.advance("5m")
	want("after the menu was deleted", "alice", "false 0")
	w.get("/_simulator/menu?person=alice&appid=" + w.mini.AppID).json(t)
}

func TestMenuQuotas(t *testing.T) {
	w := newWorld(t, stoppedClock)
	w.flip("day-quota", "test-account")
	for range 100 {
		w.wantMenu(`{"button":[{"type":"click","name":"a","key":"k"}]}`)
	}
	w.createMenu(`{"button":[{"type":"click","name":"a","key":"k"}]}`).errcode(t, 45009)
}
