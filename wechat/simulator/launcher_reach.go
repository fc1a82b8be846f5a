package simulator

import (
	"errors"
	"image/png"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// The browsers that the launcher can be: what the cookie simulator_browser says to the simulator's own pages, to
// jweixin.js, and to a bridge in dev. Pages are shown by whatever browser the developer has, whose User-Agent nobody can
// change.
const (
	browserWeChat  = "wechat"
	browserWebView = "webview"
	browserWeCom   = "wecom"
	browserDesktop = "desktop"
)

func launcherBrowsers() []string {
	return []string{browserWeChat, browserWebView, browserWeCom, browserDesktop}
}

// mountReach adds what the launcher's page needs for scanning, for other browsers, and for pictures.
func (l *launcher) mountReach(mux *http.ServeMux) {
	mux.HandleFunc("GET /_simulator/open", l.handleOpen)
	mux.HandleFunc("GET /_simulator/scannable", l.handleScannable)
	mux.HandleFunc("GET /_simulator/avatar", l.handlePersonAvatar)
}

// handleOpen is GET ?url=&browser=: it sets the cookie simulator_browser for its own host name, and goes on to an address
// of that host name. Cookies do not know ports (RFC 6265 §8.5), so a bridge on the same machine gets it: the launcher
// comes here under the bridge's host name before it opens a page there. No other host is redirected to.
func (l *launcher) handleOpen(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	target, err := url.Parse(q.Get("url"))
	switch {
	case err != nil || target.Scheme != "http" && target.Scheme != "https" || target.User != nil || target.Hostname() != hostOnly(r.Host):
		badControl(w, errors.New("url: want an http or https address of the host this request came to"))
		return
	case !slices.Contains(launcherBrowsers(), q.Get("browser")):
		badControl(w, errors.New("browser: want wechat, webview, wecom or desktop"))
		return
	}
	cookie := http.Cookie{Name: "simulator_browser", Value: q.Get("browser"), Path: "/", SameSite: http.SameSiteLaxMode}
	if cookie.Value == browserWeChat {
		cookie.Value, cookie.MaxAge = "", -1 // what a browser without the cookie counts as
	}
	http.SetCookie(w, &cookie)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, target.String(), http.StatusFound)
}

// scannable is a QR code that waits for somebody.
type scannable struct {
	Kind    string    `json:"kind"` // as in a [ScanReport]
	Says    string    `json:"says"`
	About   string    `json:"about"` // the scene of an account's code, the host of a website
	Expires time.Time `json:"expires,omitzero"`
	made    time.Time
}

const scannableMax = 10

// handleScannable lists the newest codes that are still good, for a developer who has no camera.
func (l *launcher) handleScannable(w http.ResponseWriter, r *http.Request) {
	s, list := l.server, []scannable{}
	for _, ticket := range s.qrCodes.keys() {
		if code, ok := s.qrCodes.get(ticket); ok && !s.qrExpired(code) {
			list = append(list, scannable{Kind: scanAccount, Says: code.address, About: code.scene, Expires: code.expires, made: code.made})
		}
	}
	for _, uuid := range s.qrLogins.keys() {
		if login, ok := s.qrLogins.get(uuid); ok && s.qrLoginOpen(login) {
			list = append(list, scannable{Kind: scanWebsite, Says: s.qrLoginAddress(r, login), About: login.req.redirect.Host,
				Expires: login.expires, made: login.expires.Add(-qrLoginLife)})
		}
	}
	slices.SortFunc(list, func(a, b scannable) int { return b.made.Compare(a.made) })
	writeControl(w, http.StatusOK, struct {
		Codes []scannable `json:"codes"`
	}{list[:min(len(list), scannableMax)]})
}

// handlePersonAvatar is GET ?person=: the picture somebody has on their phone.
func (l *launcher) handlePersonAvatar(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("person")
	if !validName(name) {
		badControl(w, errBadName)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	png.Encode(w, drawAvatar(avatarSeed(lookup(name)), 132))
}
