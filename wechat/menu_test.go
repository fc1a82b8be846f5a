package wechat_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat"
)

func TestCreateMenu(t *testing.T) {
	up := startUpstream(t, tokenThen(t, `{"errcode":0,"errmsg":"ok"}`))
	tokens := newAppTokens(t, up.api(t), wechat.AppTokenOptions{})
	err := tokens.CreateMenu(t.Context(), []wechat.MenuButton{
		{Type: "click", Name: "今日歌曲", Key: "V1001_TODAY_MUSIC"},
		{Name: "菜单", Sub: []wechat.MenuButton{
			{Type: "view", Name: "搜索 <1>", URL: "https://www.example.com/?a=1&b=2"},
			{Type: "miniprogram", Name: "wxa", URL: "https://mp.example.com/", AppID: "wx286b93c14bbf93aa", PagePath: "pages/lunar/index"},
			{Type: "media_id", Name: "图 😀", MediaID: "m"},
			{Type: "article_id", Name: `a\u0026b"c`, ArticleID: "x"},
		}}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"button":[{"type":"click","name":"今日歌曲","key":"V1001_TODAY_MUSIC"},{"name":"菜单","sub_button":[` +
		`{"type":"view","name":"搜索 <1>","url":"https://www.example.com/?a=1&b=2"},` +
		`{"type":"miniprogram","name":"wxa","url":"https://mp.example.com/","appid":"wx286b93c14bbf93aa","pagepath":"pages/lunar/index"},` +
		`{"type":"media_id","name":"图 😀","media_id":"m"},{"type":"article_id","name":"a\\u0026b\"c","article_id":"x"}]}]}`
	if body, query := lastBody(t, up, "/cgi-bin/menu/create"); body != want || query != "" {
		t.Errorf("sent %s and %s\nwant %s", body, query, want)
	}
	before := len(up.seen())
	for _, bad := range []string{"a\u2028b", "a\nb", "a\x00b", "a\xffb"} {
		wantOnly(t, tokens.CreateMenu(t.Context(), []wechat.MenuButton{{Type: "click", Name: bad, Key: "k"}}), wechat.ErrMisconfigured)
	}
	wantCalls(t, up, before)
	if err := tokens.DeleteMenu(t.Context()); err != nil {
		t.Error(err)
	}
	if body, query := lastBody(t, up, "/cgi-bin/menu/delete"); body != "" || query != "" {
		t.Errorf("sent %s and %s", body, query)
	}
}

func TestMenu(t *testing.T) {
	tests := []struct {
		name, answer string
		want         wechat.Menu
	}{
		{"a leaf", `{"menu":{"button":[{"type":"click","name":"test","key":"test","sub_button":[]}]}}`,
			wechat.Menu{Buttons: []wechat.MenuButton{{Type: "click", Name: "test", Key: "test"}}}},
		{"two levels, and slashes escaped", `{"menu":{"button":[{"name":"a","sub_button":[{"type":"view","name":"b","url":"https:\/\/e.com\/?a=1\u0026b=2","sub_button":[]}]}],"menuid":208396938}}`,
			wechat.Menu{Buttons: []wechat.MenuButton{{Name: "a", Sub: []wechat.MenuButton{{Type: "view", Name: "b", URL: "https://e.com/?a=1&b=2"}}}}}},
		{"menus for some users", `{"menu":{"button":[{"type":"click","name":"a","key":"k"}]},"conditionalmenu":[{"button":[],"menuid":1},{"button":[],"menuid":"2"}]}`,
			wechat.Menu{Buttons: []wechat.MenuButton{{Type: "click", Name: "a", Key: "k"}}, Conditional: 2}},
		{"nothing", `{"menu":{"button":[]}}`, wechat.Menu{}},
		{"nothing at all", `{"menu":{}}`, wechat.Menu{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := newAppTokens(t, startUpstream(t, tokenThen(t, tt.answer)).api(t), wechat.AppTokenOptions{}).Menu(t.Context())
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	_, err := newAppTokens(t, startUpstream(t, tokenThen(t, `{"errcode":46003,"errmsg":"menu no exist hint: [mh2CUA0174vr21]"}`)).api(t), wechat.AppTokenOptions{}).Menu(t.Context())
	if !errors.Is(err, wechat.ErrNoMenu) {
		t.Errorf("got %v of an account without a menu", err)
	}
	for _, answer := range []string{`{}`, `{"menu":7}`, `{"menu":{"button":7}}`, `{"menu":{"button":[7]}}`, `{"menu":{"button":[{"name":7}]}}`,
		`{"menu":{"button":[{"name":"a","sub_button":[7]}]}}`, `{"menu":{"button":[]},"conditionalmenu":7}`} {
		_, err := newAppTokens(t, startUpstream(t, tokenThen(t, answer)).api(t), wechat.AppTokenOptions{}).Menu(t.Context())
		wantOnly(t, err, wechat.ErrBusy)
	}
}

func TestCurrentMenu(t *testing.T) {
	tests := []struct {
		name, answer string
		want         wechat.CurrentMenu
	}{
		{"in the console's form", `{"is_menu_open":1,"selfmenu_info":{"button":[{"name":"button","sub_button":{"list":[{"type":"view","name":"view_url","url":"http://www.qq.com"},{"type":"news","name":"n","value":"v","news_info":{"list":[]}}]}},{"type":"text","name":"t","value":"hello"}]}}`,
			wechat.CurrentMenu{Open: true, Buttons: []wechat.MenuButton{
				{Name: "button", Sub: []wechat.MenuButton{{Type: "view", Name: "view_url", URL: "http://www.qq.com"}, {Type: "news", Name: "n", Value: "v"}}},
				{Type: "text", Name: "t", Value: "hello"}}}},
		{"closed", `{"is_menu_open":0,"selfmenu_info":{"button":[{"type":"click","name":"a","key":"k"}]}}`,
			wechat.CurrentMenu{Buttons: []wechat.MenuButton{{Type: "click", Name: "a", Key: "k"}}}},
		{"none", `{"is_menu_open":0}`, wechat.CurrentMenu{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := startUpstream(t, tokenThen(t, tt.answer))
			got, err := newAppTokens(t, up.api(t), wechat.AppTokenOptions{}).CurrentMenu(t.Context())
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v", got, err)
			}
			lastBody(t, up, "/cgi-bin/get_current_selfmenu_info")
		})
	}
	for _, answer := range []string{`{"selfmenu_info":[]}`, `{"selfmenu_info":{"button":{}}}`, `{"selfmenu_info":{"button":[{"sub_button":{"list":7}}]}}`} {
		_, err := newAppTokens(t, startUpstream(t, tokenThen(t, answer)).api(t), wechat.AppTokenOptions{}).CurrentMenu(t.Context())
		wantOnly(t, err, wechat.ErrBusy)
	}
}

// FuzzMenu gives arbitrary answers to both questions: a menu that can be sent, or
// one error.
func FuzzMenu(f *testing.F) {
	for _, seed := range []string{
		`{"menu":{"button":[{"type":"click","name":"test","key":"test","sub_button":[]}]}}`,
		`{"is_menu_open":1,"selfmenu_info":{"button":[{"name":"b","sub_button":{"list":[{"type":"view","name":"v","url":"u"}]}}]}}`,
		`{"menu":{"button":[{"sub_button":[{"sub_button":[{}]}]}]}}`, `{"menu":null}`, `{"errcode":46003}`, `{"menu":{"button":[null]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		tokens := newAppTokens(t, &wechat.API{HTTP: tokenThenCanned(t, body), CallTimeout: 20 * time.Millisecond}, wechat.AppTokenOptions{})
		menu, err := tokens.Menu(t.Context())
		current, err2 := tokens.CurrentMenu(t.Context())
		for _, err := range []error{err, err2} {
			if err != nil && !errors.Is(err, wechat.ErrNoMenu) {
				wantOneSentinel(t, err)
			}
		}
		for _, b := range append(menu.Buttons, current.Buttons...) {
			if text, err := json.Marshal(b); err != nil || strings.Count(string(text), `"sub_button"`) > 1 {
				t.Errorf("%s, %v", text, err)
			}
		}
	})
}

// tokenThenCanned gives the app token, and body to everything else, without a
// network.
func tokenThenCanned(t testing.TB, body []byte) *http.Client {
	token, other := canned([]byte(golden(t, "app_token.json"))), canned(body)
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/cgi-bin/stable_token" {
			return token.Transport.RoundTrip(r)
		}
		return other.Transport.RoundTrip(r)
	})}
}
