package handlers

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/templates"
	"wxbridge/wechat"
)

// registerPage asks an unknown fan for a profile. The tap makes the difference: WeChat shows a snapshot page to people who are
// sent to its consent sheet without one (wechat-protocol §1.7). Without a flow it shows one button to /login.
func (s *Server) registerPage(c *gin.Context) error {
	view := templates.Register{PrivacyURL: s.cfg.PrivacyURL, TermsURL: s.cfg.TermsURL}
	mark, ok := s.newestFlow(c.Request, register)
	if !ok {
		return s.page(c, http.StatusOK, view)
	}
	q := loginQuery(mark.App, mark.ReturnTo, wechat.ScopeUserinfo)
	if mark.Known {
		// This fan is logged in already; WeChat must be asked all the same.
		q.Set("prompt", "login")
		view.NotNowURL = location(mark.ReturnTo)
	}
	view.LoginURL = "/login/" + entrancePath(mark.Provider) + "?" + q.Encode()
	return s.page(c, http.StatusOK, view)
}

// refusedPage meets a person who refused, and offers the register page again.
func (s *Server) refusedPage(c *gin.Context) error {
	view := templates.Refused{}
	switch mark, ok := s.newestFlow(c.Request, register); {
	case !ok:
	case mark.Provider == db.ProviderOfficialAccount:
		view.RegisterURL = "/login/register"
	default: // who scans a code elsewhere has no use for a tap here
		view.LoginURL = "/login/" + entrancePath(mark.Provider) + "?" + loginQuery(mark.App, mark.ReturnTo, wechat.ScopeBase).Encode()
		view.Member, view.Outside = mark.Provider == db.ProviderWeCom, mark.Outside
	}
	return s.page(c, http.StatusOK, view)
}

// snapshotPage tells a snapshot user what to tap.
func (s *Server) snapshotPage(c *gin.Context) error {
	return s.page(c, http.StatusForbidden, templates.Snapshot{})
}

// cookiesOffPage ends the attempts of a browser that keeps no cookies.
func (s *Server) cookiesOffPage(c *gin.Context) error {
	return s.page(c, http.StatusBadRequest, templates.CookiesOff{})
}
