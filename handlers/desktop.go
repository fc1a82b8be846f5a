package handlers

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// DesktopLogin is what /login does for a browser that is neither WeChat's nor WeCom's.
type DesktopLogin string

// The choices. The zero value is DesktopAuto.
const (
	DesktopAuto    DesktopLogin = "auto"    // DesktopWebsite, else DesktopScan, else DesktopQRCode: the first that the app is configured for
	DesktopWebsite DesktopLogin = "website" // WeChat's own page with a code, for a website app
	DesktopScan    DesktopLogin = "scan"    // a code of an official account: the phone confirms, and this browser is logged in
	DesktopQRCode  DesktopLogin = "qrcode"  // the login address as a code: the phone is logged in, this browser is not
)

// loginDesktop leads to the login that fits the configuration and, where that has several, the app which is asked for.
func (s *Server) loginDesktop(c *gin.Context, request loginRequest) error {
	choice := s.cfg.DesktopLogin
	if choice == "" || choice == DesktopAuto {
		choice = s.desktopChoice(c.Request, request.app)
	}
	switch choice {
	case DesktopWebsite:
		return redirect(c, "/login/website?"+request.query().Encode())
	case DesktopScan:
		return redirect(c, scanRoute+"?"+request.query().Encode())
	}
	return s.scanPage(c, request)
}

// desktopChoice leaves a phone the login address to open in WeChat: it cannot scan its own screen. It takes an account for
// DesktopScan by itself only if it takes pushes: its codes are then the account's own, and whoever scans one comes to follow
// it.
func (s *Server) desktopChoice(r *http.Request, app string) DesktopLogin {
	account, err := s.officialAccount(app)
	switch {
	case err == nil && s.onAPhone(r):
		return DesktopQRCode
	case s.hasWebsite(app):
		return DesktopWebsite
	case err == nil && account.Callback != nil:
		return DesktopScan
	}
	return DesktopQRCode
}

// onAPhone is whether the browser is a phone's. Under dev a phone may play a desktop.
func (s *Server) onAPhone(r *http.Request) bool {
	if cookie, err := r.Cookie(simulatorBrowser); s.cfg.Dev && err == nil && cookie.Value == "desktop" {
		return false
	}
	return isPhone(r.UserAgent())
}

func (s *Server) hasWebsite(app string) bool {
	_, err := s.website(app)
	return err == nil
}
