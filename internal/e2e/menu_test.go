package e2e

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wxbridge/internal/cli"
)

const (
	pathMenuCreate = "/cgi-bin/menu/create"

	menuText = `buttons:
  - name: 会员中心
    login: /?page=member&tab=1#top
  - name: 今日推荐
    click: TODAY
  - name: 更多
    buttons:
      - name: 官网
        view: https://www.example.com/?from=menu&lang=zh
      - name: 扫一扫
        scancode_waitmsg: SCAN
`
)

// menuStand is a bridge that runs, and its command line.
type menuStand struct {
	*product
	t    *testing.T
	env  []string
	file string
}

func newMenuStand(t *testing.T, more ...string) *menuStand {
	t.Helper()
	database := "WXBRIDGE_DATABASE=sqlite://" + filepath.Join(t.TempDir(), "wxbridge.db")
	p := startServe(t, nil, append([]string{database}, more...)...)
	u, err := url.Parse(p.bridge)
	if err != nil {
		t.Fatal(err)
	}
	env := append(append(p.serveEnv(u.Host, p.simulator), database), more...)
	return &menuStand{p, t, env, filepath.Join(t.TempDir(), "menu.yaml")}
}

// newMenuStandBehind is a stand whose command line gets some answers from a front before WeChat.
func newMenuStandBehind(t *testing.T, answers map[string]string) *menuStand {
	t.Helper()
	s := newMenuStand(t)
	base, err := url.Parse(s.simulator)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(base)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer, ok := answers[r.URL.Path]; ok {
			_, _ = io.WriteString(w, answer)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	s.env = append(s.env, "WXBRIDGE_WECHAT_API_URL="+front.URL)
	return s
}

func (s *menuStand) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// menu runs a command of the menu, with the file where it takes one.
func (s *menuStand) menu(want int, args ...string) (stdout, stderr string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	line := append([]string{"menu"}, args...)
	if args[0] != "show" {
		line = append(line, "--file", s.file)
	}
	var out, log logBuffer
	if code := cli.Run(ctx, line, s.env, &out, &log); code != want {
		s.t.Errorf("wxbridge %s: exit code %d, want %d\n%s%s", strings.Join(line, " "), code, want, out.String(), log.String())
	}
	return out.String(), log.String()
}

// shown is the menu on somebody's phone.
func (s *menuStand) shown(person string) (buttons []struct {
	Type, Name, URL string
	Sub             []struct{ Type, Name, URL, Key string } `json:"sub_button"`
}) {
	s.t.Helper()
	answer := struct{ Button any }{&buttons}
	s.control(s.t, "GET", "/_simulator/menu?person="+person+"&appid="+s.official.AppID, nil, &answer)
	return buttons
}

func TestMenu_PushShowDiff(t *testing.T) {
	s := newMenuStand(t)
	if _, stderr := s.menu(1, "show"); !strings.Contains(stderr, "has no menu") {
		t.Errorf("show without a menu: %s", stderr)
	}
	s.write(menuText)
	if stdout, _ := s.menu(1, "diff"); !strings.Contains(stdout, "+ buttons:\n") || !strings.Contains(stdout, "+     login: /?page=member&tab=1#top\n") && !strings.Contains(stdout, `+     login: "/?page=member&tab=1#top"`) {
		t.Errorf("diff without a menu:\n%s", stdout)
	}
	if n := s.called(t, pathMenuCreate, func() {
		stdout, stderr := s.menu(0, "push")
		if !strings.Contains(stdout, "+++ "+s.file) || !strings.Contains(stdout, "+         view: https://www.example.com/?from=menu&lang=zh\n") ||
			!strings.Contains(stderr, `"event":"menu.pushed"`) {
			t.Errorf("push:\n%s\n%s", stdout, stderr)
		}
	}); n != 1 {
		t.Errorf("%d menus were sent", n)
	}

	// What people see: & is &, and a login leads to our own /login.
	menu := s.shown("bob")
	if len(menu) != 3 || menu[2].Sub[0].URL != "https://www.example.com/?from=menu&lang=zh" || menu[2].Sub[1].Key != "SCAN" ||
		menu[0].URL != s.bridge+"/login?return_to="+url.QueryEscape("/?page=member&tab=1#top") {
		t.Errorf("the phone shows %+v", menu)
	}
	// Tapping it logs in and lands there.
	fan := s.phone("alice")
	tr, err := fan.walk(menu[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	if last := tr.last(); last.url.Path != "/" && last.url.Path != "/login/register" {
		t.Errorf("the tap leads to %s", tr)
	}

	// Nothing changes: nothing is sent, and the exit code says so.
	if n := s.called(t, pathMenuCreate, func() {
		if stdout, _ := s.menu(0, "diff"); stdout != "" {
			t.Errorf("diff of the same menu:\n%s", stdout)
		}
		if stdout, stderr := s.menu(0, "push"); stdout != "" || !strings.Contains(stderr, "nothing was sent") {
			t.Errorf("push of the same menu:\n%s%s", stdout, stderr)
		}
	}); n != 0 {
		t.Errorf("%d menus were sent", n)
	}

	// What show writes can be pushed.
	stdout, _ := s.menu(0, "show")
	s.write(stdout)
	s.menu(0, "diff")

	s.write(strings.Replace(menuText, "TODAY", "TOMORROW", 1))
	stdout, _ = s.menu(1, "diff")
	if !strings.Contains(stdout, "-     click: TODAY\n+     click: TOMORROW\n") || !strings.Contains(stdout, "--- WeChat: default ("+s.official.AppID+")") {
		t.Errorf("diff of one line:\n%s", stdout)
	}
	s.menu(0, "push")
	s.menu(0, "diff")
	if log := s.logged(t); strings.Contains(log, "panic") {
		t.Error(log)
	}
}

// Whatever is wrong is told with its line, all of it at once, and WeChat is not asked.
func TestMenu_AFaultyFileIsNotSent(t *testing.T) {
	s := newMenuStand(t)
	s.write(`buttons:
  - name: 会员中心会员中心
    login: https://evil.example/
  - name: 更多
    buttons:
      - name: 官网
        view: www.example.com
        key: k
`)
	before := s.calls(t)
	for _, command := range []string{"diff", "push"} {
		stdout, stderr := s.menu(2, command)
		for _, want := range []string{"4 faults in the menu file", "menu.yaml line 2: name has 24 bytes; WeChat takes 16", "menu.yaml line 3: login leads to an address that is not allowed",
			"menu.yaml line 7: view is not an absolute URL", `menu.yaml line 8: there is no field "key"`} {
			if !strings.Contains(stderr, want) {
				t.Errorf("%s: no %q in\n%s", command, want, stderr)
			}
		}
		if stdout != "" {
			t.Errorf("%s shows\n%s", command, stdout)
		}
	}
	if after := s.calls(t); after[pathMenuCreate] != 0 || after["/cgi-bin/menu/get"] != before["/cgi-bin/menu/get"] {
		t.Errorf("WeChat was asked: %v", after)
	}
	s.file = filepath.Join(t.TempDir(), "nowhere.yaml")
	if _, stderr := s.menu(2, "push"); !strings.Contains(stderr, "nowhere.yaml cannot be read") {
		t.Errorf("a file that is not there: %s", stderr)
	}
}

// What WeChat refuses is told with what it means, and shows no token.
func TestMenu_WhatWeChatRefuses(t *testing.T) {
	s := newMenuStand(t)
	s.write("buttons:\n- name: a\n  miniprogram:\n    appid: wx0123456789abcdef\n    path: p\n    url: https://e.com/\n")
	_, stderr := s.menu(1, "push")
	if !strings.Contains(stderr, "45064") || !strings.Contains(stderr, "关联小程序") || strings.Contains(stderr, "access_token=") {
		t.Errorf("a mini program that is not linked: %s", stderr)
	}
	s.fault(t, fault{Path: "/cgi-bin/menu/get", ErrCode: 48001})
	if _, stderr := s.menu(2, "diff"); !strings.Contains(stderr, "48001") || !strings.Contains(stderr, "接口权限") {
		t.Errorf("an account that may not: %s", stderr)
	}
	// A token that somebody else has ended is replaced, and nobody notices.
	s.set(t, "force-refresh", "dies-at-once")
	s.endAppToken(t)
	s.write(menuText)
	s.menu(0, "push")
}

// The app token is the one in the store: the command fetches none while it lives.
func TestWX17_TheMenuCommandUsesTheAppTokenOfTheStore(t *testing.T) {
	s := newMenuStand(t)
	s.write(menuText)
	if n := s.called(t, pathStableToken, func() {
		s.menu(0, "push")
		s.menu(0, "diff")
		s.menu(0, "show")
	}); n != 1 {
		t.Errorf("%d fetches of an app token, want 1", n)
	}
}

// With several official accounts one has to be named, and its logins name it too.
func TestMenu_OfOneOfSeveralAccounts(t *testing.T) {
	apps := filepath.Join(t.TempDir(), "apps.yaml")
	if err := os.WriteFile(apps, []byte("apps:\n- alias: club\n  provider: official_account\n  appid: wx0123456789abcdef\n  secret: 8f27d3c05ab94e16027cd9e1b35af684\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newMenuStand(t, "WXBRIDGE_APPS_FILE="+apps)
	s.write(menuText)
	s.menu(0, "push") // the one named default
	s.menu(0, "diff", "--app", s.official.AppID)
	if _, stderr := s.menu(1, "push", "--app", "club"); !strings.Contains(stderr, "40013") {
		t.Errorf("an account that WeChat does not know: %s", stderr)
	}
	if _, stderr := s.menu(1, "show", "--app", "shop"); !strings.Contains(stderr, "there is no official account shop; there are default, club") {
		t.Errorf("an unknown account: %s", stderr)
	}
}

// A menu that WeChat's console made, with what no file can say, is not replaced without a word.
func TestMenu_OfTheConsoleIsReplacedOnDemandOnly(t *testing.T) {
	s := newMenuStandBehind(t, map[string]string{
		"/cgi-bin/menu/get":                  `{"errcode":46003,"errmsg":"menu no exist hint: [mh2CUA0174vr21]"}`,
		"/cgi-bin/get_current_selfmenu_info": `{"is_menu_open":1,"selfmenu_info":{"button":[{"type":"text","name":"hello","value":"you\nthere"},{"name":"b","sub_button":{"list":[{"type":"view","name":"v","url":"https:\/\/e.com\/?a=1&b=2"}]}}]}}`,
	})
	s.write(menuText)
	if stdout, _ := s.menu(0, "show"); !strings.Contains(stdout, `# "text you\nthere", which a menu file cannot say`) || !strings.Contains(stdout, "view: https://e.com/?a=1&b=2") {
		t.Errorf("show:\n%s", stdout)
	}
	if n := s.called(t, pathMenuCreate, func() {
		if _, stderr := s.menu(1, "push"); !strings.Contains(stderr, "--replace") {
			t.Errorf("push: %s", stderr)
		}
	}); n != 0 {
		t.Errorf("%d menus were sent", n)
	}
	if n := s.called(t, pathMenuCreate, func() { s.menu(0, "push", "--replace") }); n != 1 {
		t.Errorf("%d menus were sent", n)
	}
}
