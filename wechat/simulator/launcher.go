package simulator

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// mountLauncher adds the phone page. There a developer is one of the people, taps the official account's menu, opens a
// link, and runs the mini program: its files are served from Config.MiniProgram, its wx is launcher/wx.js, and what it
// asks of wx.request goes out by POST /_simulator/wx-request.
func (s *Server) mountLauncher(mux *http.ServeMux) {
	l := &launcher{server: s, bridge: originOf(s.cfg.BridgeURL)}
	if l.bridge == nil && s.cfg.BridgeURL != "" {
		s.cfg.Logger.Warn("the launcher has no bridge: BridgeURL is not an http or https URL")
	}
	mux.HandleFunc("GET /{$}", l.handlePage)
	mux.HandleFunc("GET /_simulator/launcher/{file}", l.handleAsset)
	mux.HandleFunc("GET /_simulator/miniprogram/{$}", l.handleManifest)
	mux.HandleFunc("GET /_simulator/miniprogram/{path...}", l.handleProgramFile)
	mux.HandleFunc("POST /_simulator/wx-request", ownPagesOnly(l.handleRequest))
	l.mountReach(mux)
}

type launcher struct {
	server *Server
	bridge *url.URL // scheme and host of Config.BridgeURL; nil without one
}

//go:embed launcher
var launcherFiles embed.FS

// launcherPage is the data of launcher.html.
type launcherPage struct {
	Lang, OtherLang string
	T               map[string]string // texts of texts.json
	People          []launcherPerson
	Holder          string // who holds the phone, "" for nobody
	Stranger        bool   // the holder is not of the cast

	Bridge      string // its origin, or ""
	MenuLogin   string // links of the official account's menu, "" without bridge or account
	MenuProfile string
	MenuDirect  string

	AccountAppID string            // of the official account that the chat is with, "" if there is none
	AccountTitle string            // what its chat is headed with; "" for any
	Accounts     []launcherAccount // that the chat can be with
	ProgramAppID string            // "" if there is no mini program to run

	Browser  string            // what the launcher's links open in
	Browsers []launcherBrowser // what it can be

	Org orgPage
}

type launcherBrowser struct{ Name, About string }

type launcherAccount struct{ AppID, Label string }

type launcherPerson struct {
	Name, Nickname, Letter, About string
	Refuses                       bool
}

func (l *launcher) handlePage(w http.ResponseWriter, r *http.Request) {
	lang := launcherLanguage(r)
	texts, err := launcherTexts(lang)
	if err != nil {
		http.Error(w, "simulator: "+err.Error(), http.StatusInternalServerError)
		return
	}
	page := launcherPage{Lang: lang, OtherLang: otherLanguage(lang), T: texts, ProgramAppID: l.programAppID()}
	account := l.addAccounts(&page, r)
	page.Holder, _ = holderOf(r) // a bad name counts as nobody: the page then asks for one
	page.Stranger = page.Holder != ""
	page.Browser = browserWeChat
	if c, err := r.Cookie("simulator_browser"); err == nil && slices.Contains(launcherBrowsers(), c.Value) {
		page.Browser = c.Value
	}
	for _, name := range launcherBrowsers() {
		page.Browsers = append(page.Browsers, launcherBrowser{Name: name, About: texts["browser-"+name]})
	}
	for _, name := range castNames() {
		page.People = append(page.People, describe(name, texts))
		page.Stranger = page.Stranger && name != page.Holder
	}
	l.addLinks(&page, account)
	l.addOrg(&page)

	var html bytes.Buffer
	if err := launcherTemplate.Execute(&html, page); err != nil {
		http.Error(w, "simulator: "+err.Error(), http.StatusInternalServerError)
		return
	}
	l.guard(w)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept-Language, Cookie")
	w.Write(html.Bytes())
}

var launcherTemplate = template.Must(template.New("launcher.html").Option("missingkey=error").
	ParseFS(launcherFiles, "launcher/launcher.html"))

func describe(name string, texts map[string]string) launcherPerson {
	about, translated := texts["about-"+name]
	if !translated {
		about = lookup(name).about
	}
	p := lookup(name)
	return launcherPerson{Name: name, Nickname: p.nickname, Letter: strings.ToUpper(name[:1]), About: about, Refuses: p.refuses}
}

// accountCookie says which of several official accounts the chat is with.
const accountCookie = "simulator_account"

// addAccounts lists the official accounts and answers the one that the chat is with: the one that was chosen, else the first;
// nil if there is none.
func (l *launcher) addAccounts(page *launcherPage, r *http.Request) *App {
	var chosen *App
	cookie, err := r.Cookie(accountCookie)
	for _, app := range l.server.sortedApps() {
		if app.Provider != ProviderOfficialAccount {
			continue
		}
		if chosen == nil || err == nil && cookie.Value == app.AppID {
			chosen = app
		}
		page.Accounts = append(page.Accounts, launcherAccount{AppID: app.AppID, Label: app.label()})
	}
	if chosen != nil {
		page.AccountAppID = chosen.AppID
		if len(page.Accounts) > 1 {
			page.AccountTitle = cmp.Or(chosen.Name, chosen.AppID)
		}
	}
	return chosen
}

// label tells an app from the others.
func (a *App) label() string {
	if a.Name == "" {
		return a.AppID
	}
	return a.Name + " · " + a.AppID
}

// addLinks makes the menu of the account. The direct link is what menus held before there was a bridge: straight to the
// authorize page, with one state for everybody. With several accounts the links name theirs to the bridge, by app=.
func (l *launcher) addLinks(page *launcherPage, app *App) {
	if l.bridge == nil || app == nil {
		return
	}
	page.Bridge = l.bridge.String()
	callback := page.Bridge + "/callback/official-account"
	login, profile := url.Values{}, url.Values{"scope": {"userinfo"}}
	if len(page.Accounts) > 1 {
		login.Set("app", app.AppID)
		profile.Set("app", app.AppID)
		callback += "?" + login.Encode()
	}
	page.MenuLogin = strings.TrimSuffix(page.Bridge+"/login?"+login.Encode(), "?")
	page.MenuProfile = page.Bridge + "/login?" + profile.Encode()
	page.MenuDirect = fmt.Sprintf("%s?appid=%s&redirect_uri=%s&response_type=code&scope=%s&state=STATE#wechat_redirect",
		pathAuthorize, app.AppID, url.QueryEscape(callback), scopeBase)
}

func (l *launcher) firstApp(provider string) *App {
	for _, app := range l.server.sortedApps() {
		if app.Provider == provider {
			return app
		}
	}
	return nil
}

// programAppID is the appid that the mini program runs under, "" if there is nothing to run.
func (l *launcher) programAppID() string {
	app := l.firstApp(ProviderMiniProgram)
	if app == nil || l.server.cfg.MiniProgram == nil || l.bridge == nil {
		return ""
	}
	return app.AppID
}

// guard sets what every page of the launcher is sent with: its own scripts only, no frame around it, pictures from
// where the simulated avatars are.
func (l *launcher) guard(w http.ResponseWriter) {
	images := "img-src 'self' data:"
	if own := originOf(l.server.cfg.PublicURL); own != nil {
		images += " " + own.String()
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "+
		images+"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

func (l *launcher) handleAsset(w http.ResponseWriter, r *http.Request) {
	types := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
	name := r.PathValue("file")
	contentType := types[extension(name)]
	content, err := launcherFiles.ReadFile("launcher/" + name)
	if contentType == "" || err != nil {
		http.NotFound(w, r)
		return
	}
	serveText(w, contentType, content)
}

func serveText(w http.ResponseWriter, contentType string, content []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store") // a developer who changes a file sees the change
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(content)
}

// extension is like path.Ext, without the surprise that ".js" alone is a name.
func extension(name string) string {
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		return name[i:]
	}
	return ""
}

// originOf keeps scheme, host and port of an http or https URL; nil if it is none.
func originOf(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}
}

// The languages of the launcher.
const (
	chinese = "zh-CN"
	english = "en"
)

// launcherLanguage is ?lang, else the first match of Accept-Language, else Chinese.
func launcherLanguage(r *http.Request) string {
	if lang := r.URL.Query().Get("lang"); lang == chinese || lang == english {
		return lang
	}
	tags, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if err != nil || len(tags) == 0 {
		return chinese
	}
	matcher := language.NewMatcher([]language.Tag{language.SimplifiedChinese, language.English})
	if _, i, confidence := matcher.Match(tags...); i == 1 && confidence != language.No {
		return english
	}
	return chinese
}

func otherLanguage(lang string) string {
	if lang == chinese {
		return english
	}
	return chinese
}

func launcherTexts(lang string) (map[string]string, error) {
	raw, err := fs.ReadFile(launcherFiles, "launcher/texts.json")
	if err != nil {
		return nil, err
	}
	var all map[string]map[string]string
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("texts.json: %w", err)
	}
	return all[lang], nil
}
