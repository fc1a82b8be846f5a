package simulator

import (
	"context"
	"crypto/rand"
	"html/template"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

// Snapshot mode (wechat-protocol §1.7) has two faces here.
//
// Somebody like sunny, in an ordinary browser, keeps its cookies: the callback comes with the flow's cookies and a
// code of a virtual account, and only is_snapshotuser in the token answer tells.
//
// The fault snapshot_jar keeps the other half of WeChat's behaviour, the separate storage: the simulator itself plays
// the snapshot browser. It visits the callback with an empty cookie jar and a virtual account, follows the redirects,
// and shows what it got as a page that can only be looked at. The real browser never sees the callback. The button
// 使用完整服务 asks for consent and then enters the callback for real. Like snapshot mode itself the fault leaves base
// links alone (observed) and waits for a userinfo link.

const (
	snapshotHops = 10
	snapshotTime = 15 * time.Second
	snapshotBody = 1 << 20
)

// step is one page the snapshot browser asked for.
type step struct {
	Path   string // without the query: it holds the code
	Status int
}

// showSnapshot visits the callback in a jar of its own and shows the result.
func (s *Server) showSnapshot(w http.ResponseWriter, r *http.Request, req authorizeRequest, name string) {
	ctx, cancel := context.WithTimeout(r.Context(), snapshotTime)
	defer cancel()
	jar, _ := cookiejar.New(nil) // cannot fail without options
	v := snapshotBrowser{server: s, jar: jar, language: r.Header.Get("Accept-Language"), who: s.newVirtual(req.app, name)}
	page := v.visit(ctx, req)
	page.Cookies = cookieNames(jar, req.redirect)
	page.Ticket = rand.Text()
	s.tickets.put(page.Ticket, consentTicket{req: req, person: name}, s.now())
	s.pages.show(w, "snapshot.html", page)
}

// handleFullService is the button of the snapshot page: consent, then the original page for real (documented).
func (s *Server) handleFullService(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	t, ok := s.tickets.take(r.URL.Query().Get("ticket"))
	if !ok {
		s.showError(w, pageError{text: "页面已过期，请重新打开"})
		return
	}
	s.showConsent(w, r, t.req, lookup(t.person))
}

// snapshotBrowser is the browser of one snapshot page.
type snapshotBrowser struct {
	server   *Server
	jar      http.CookieJar
	language string
	who      account // virtual: also for base links inside the snapshot (assumed), so that they cannot log in the real user
}

func (v snapshotBrowser) visit(ctx context.Context, req authorizeRequest) snapshotPage {
	var page snapshotPage
	next := v.server.callbackWithCode(req, v.who)
	for range snapshotHops {
		u, err := url.Parse(next)
		if err != nil {
			page.Problem = "a redirect to a malformed address"
			return page
		}
		if u.Path == pathAuthorize {
			again, fault := v.server.parseAuthorize(u.RawQuery)
			v.server.calls.add(pathAuthorize)
			page.Steps = append(page.Steps, step{Path: u.Path, Status: http.StatusFound})
			if fault != nil {
				page.Problem = fault.text
				return page
			}
			next = v.server.callbackWithCode(again, v.who)
			continue
		}
		if strings.ToLower(u.Hostname()) != req.app.RedirectDomain {
			page.Problem = "a redirect to another host, " + u.Host
			return page
		}
		if next = v.get(ctx, u, &page); next == "" {
			return page
		}
	}
	page.Problem = "too many redirects"
	return page
}

// get asks for one page of the site. It returns where to go on, or "" at the end.
func (v snapshotBrowser) get(ctx context.Context, u *url.URL, page *snapshotPage) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		page.Problem = "a redirect to a malformed address"
		return ""
	}
	req.Header.Set("User-Agent", iosUserAgent())
	req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	if v.language != "" {
		req.Header.Set("Accept-Language", v.language)
	}
	client := &http.Client{Jar: v.jar, Transport: v.server.visitor, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	resp, err := client.Do(req)
	if err != nil {
		page.Problem = "the site did not answer"
		return ""
	}
	defer resp.Body.Close()
	page.Steps = append(page.Steps, step{Path: u.Path, Status: resp.StatusCode})
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		if to, err := resp.Location(); err == nil {
			return to.String()
		}
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, snapshotBody))
	base := `<base href="` + template.HTMLEscapeString(u.Scheme+"://"+u.Host+u.Path) + `">`
	// The site's own page. It is shown in a sandboxed srcdoc frame: no script, no origin, no form.
	page.Content = base + string(body)
	return ""
}

// cookieNames lists what the site kept in the jar, names only.
func cookieNames(jar http.CookieJar, site *url.URL) []string {
	var names []string
	for _, c := range jar.Cookies(site) {
		names = append(names, c.Name)
	}
	return names
}
