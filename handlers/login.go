package handlers

import (
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/templates"
	"wxbridge/wechat"
)

// loginRequest is a checked request to log in.
type loginRequest struct {
	returnTo string
	app      string
	scope    wechat.Scope
	force    bool // prompt=login: ask WeChat even if already logged in
}

// query is the query of a link to one of our login routes that asks for the same.
func (r loginRequest) query() url.Values {
	q := loginQuery(r.app, r.returnTo, r.scope)
	if r.force {
		q.Set("prompt", "login")
	}
	return q
}

// login picks the provider that the browser can log in with.
func (s *Server) login(c *gin.Context) error {
	request, err := s.loginRequest(c)
	if err != nil {
		return err
	}
	switch s.browserOf(c.Request) {
	case browserWeChat:
		if s.loggedInFromMiniProgram(c, request) {
			return redirect(c, request.returnTo)
		}
		return s.logIn(c, db.ProviderOfficialAccount, request)
	case browserWeCom:
		return s.logIn(c, db.ProviderWeCom, request)
	}
	if s.onlyWeCom() {
		return s.logIn(c, db.ProviderWeCom, request)
	}
	return s.loginDesktop(c, request)
}

// onlyWeCom reports whether WeCom's is the only login that a browser can have here.
func (s *Server) onlyWeCom() bool {
	return len(s.cfg.OfficialAccounts) == 0 && len(s.cfg.Websites) == 0 && len(s.cfg.WeCom) > 0
}

// leadsToWeCom reports whether /login leads this browser to WeCom.
func (s *Server) leadsToWeCom(r *http.Request) bool {
	return s.onlyWeCom() || len(s.cfg.WeCom) > 0 && s.browserOf(r) == browserWeCom
}

func (s *Server) loginRequest(c *gin.Context) (loginRequest, error) {
	p, err := query(c, "return_to", "app", "scope", "prompt")
	if err != nil {
		return loginRequest{}, err
	}
	request := loginRequest{returnTo: s.returnTo.Default(), app: DefaultApp, scope: wechat.ScopeBase}
	if to, given := p["return_to"]; given {
		if err := s.checkReturnTo(c, to); err != nil {
			return loginRequest{}, err
		}
		request.returnTo = to
	}
	if app, given := p["app"]; given {
		request.app = app
	}
	switch p["scope"] {
	case "", "base":
	case "userinfo":
		request.scope = wechat.ScopeUserinfo
	default:
		return loginRequest{}, invalidRequest("The scope is base or userinfo.")
	}
	switch p["prompt"] {
	case "":
	case "login":
		request.force = true
	default:
		return loginRequest{}, invalidRequest("The only prompt known here is login.")
	}
	return request, nil
}

// checkReturnTo refuses a return address that is not allowed and logs it, quoted (RET-06).
func (s *Server) checkReturnTo(c *gin.Context, to string) error {
	if err := s.returnTo.Check(to); err != nil {
		recordOf(c).noteEvent("return_to.refused", slog.LevelWarn, slog.String("return_to", strconv.QuoteToASCII(clip(to, 256))))
		return errReturnTo.because(err)
	}
	return nil
}

// logIn sends the browser to the provider's page, unless this login has happened already.
func (s *Server) logIn(c *gin.Context, provider string, request loginRequest) error {
	recordOf(c).provider = provider
	e, err := s.entrance(provider, request.app)
	if err != nil {
		return err
	}
	if !request.force && s.alreadyLoggedIn(c, e, request.scope) {
		return redirect(c, request.returnTo)
	}
	f := flow{ReturnTo: request.returnTo, Provider: provider, App: e.alias(), Scope: string(e.scope(request.scope))}
	if f.Scope == string(wechat.ScopeUserinfo) {
		// A tap on the register page: its time is kept with the fan, and a fan who is logged in may still say no.
		if mark, ok := s.newestFlow(c.Request, register); ok && mark.Provider == f.Provider && mark.App == f.App {
			f.Tapped, f.Known, f.Follower = s.cfg.Now().Unix(), mark.Known, mark.Follower
		}
	}
	return s.toWeChat(c, e, f)
}

// toWeChat starts the flow and sends the browser to WeChat's page.
func (s *Server) toWeChat(c *gin.Context, e entrance, f flow) error {
	f.Outside = s.browserOf(c.Request) == browserOther
	f, err := s.startFlow(c, f)
	if err != nil {
		return err
	}
	marks := url.Values{}
	if f.Again {
		marks.Set("again", "1")
	}
	if f.App != DefaultApp {
		marks.Set("app", f.App)
	}
	callback := s.cfg.PublicURL.JoinPath("/callback", entrancePath(e.provider()))
	callback.RawQuery = marks.Encode()
	return redirect(c, e.address(callback.String(), f, s.language(c)))
}

// officialAccount finds an account by its alias or its appid. DefaultApp means the only one, whatever its alias.
func (s *Server) officialAccount(name string) (OfficialAccount, error) {
	return findApp(s, db.ProviderOfficialAccount, s.cfg.OfficialAccounts, name, func(a OfficialAccount) (string, string) { return a.Alias, a.Client.AppID() })
}

// alreadyLoggedIn reports whether the cookie's token is one that this login would end with. A token that is due is renewed.
func (s *Server) alreadyLoggedIn(c *gin.Context, e entrance, scope wechat.Scope) bool {
	claims, err := s.cookieClaims(c)
	if err != nil || claims.Provider != e.provider() || claims.AppID != e.appID() {
		return false
	}
	if e.scope(scope) == wechat.ScopeUserinfo {
		_, identity, err := s.cfg.Store.FanByIdentity(c.Request.Context(), claims.Provider, claims.AppID, claims.OpenID)
		if err != nil || wechat.Scope(identity.Scope) != wechat.ScopeUserinfo {
			return false
		}
	}
	return s.keepFresh(c, claims) == nil
}

// loggedInFromMiniProgram reports whether this is a mini program's web-view that a ticket has logged in: there the mini program
// is the provider this login would use.
func (s *Server) loggedInFromMiniProgram(c *gin.Context, request loginRequest) bool {
	if request.force || request.scope != wechat.ScopeBase || !s.inWebView(c.Request) {
		return false
	}
	claims, ok := s.miniProgramCookie(c)
	if !ok {
		return false
	}
	program, err := s.miniProgram(request.app)
	return err == nil && (request.app == DefaultApp || program.Client.AppID() == claims.AppID)
}

// scanPage shows a browser outside WeChat the login as a QR code.
func (s *Server) scanPage(c *gin.Context, request loginRequest) error {
	account, err := s.officialAccount(request.app)
	if err != nil {
		return err
	}
	link := s.cfg.PublicURL.JoinPath("/login")
	link.RawQuery = loginQuery(account.Alias, request.returnTo, request.scope).Encode()
	code, _ := templates.NewQRCode(link.String()) // of an address too long for any code, the page shows the text alone
	return s.page(c, http.StatusOK, templates.Scan{URL: link.String(), QR: code, SelfURL: link.RequestURI()})
}

// loginQuery is the query of a link to one of our login routes.
func loginQuery(app, returnTo string, scope wechat.Scope) url.Values {
	q := url.Values{"return_to": {returnTo}}
	if app != DefaultApp {
		q.Set("app", app)
	}
	if scope == wechat.ScopeUserinfo {
		q.Set("scope", "userinfo")
	}
	return q
}

type browser int

const (
	browserOther browser = iota
	browserWeChat
	browserWeCom
)

// simulatorBrowser is the cookie that says in dev which browser this is.
const simulatorBrowser = "simulator_browser"

// browserOf reads the User-Agent: it picks a flow and never grants trust. WeCom is asked first, since it carries
// MicroMessenger too (wechat-protocol §12.1).
func (s *Server) browserOf(r *http.Request) browser {
	if s.cfg.Dev {
		if cookie, err := r.Cookie(simulatorBrowser); err == nil {
			switch cookie.Value {
			case "wechat", "webview":
				return browserWeChat
			case "wecom":
				return browserWeCom
			case "desktop":
				return browserOther
			}
		}
	}
	agent := strings.ToLower(r.UserAgent())
	switch {
	case strings.Contains(agent, "wxwork"):
		return browserWeCom
	case strings.Contains(agent, "micromessenger"), s.cfg.Dev:
		return browserWeChat
	}
	return browserOther
}
