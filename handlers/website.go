package handlers

import (
	"context"

	"wxbridge/db"
	"wxbridge/wechat"
)

// Website is one website app (网站应用) people log in with on a desktop: WeChat's page shows a QR code, and the person
// confirms on the phone.
type Website struct {
	Alias       string // what app= names it; DefaultApp is used without app=
	OpenAccount string // unionids are compared inside it only
	Client      *wechat.Website
}

// website finds a website app by its alias or its appid. DefaultApp means the only one, whatever its alias.
func (s *Server) website(name string) (Website, error) {
	return findApp(s, db.ProviderWebsite, s.cfg.Websites, name, func(w Website) (string, string) { return w.Alias, w.Client.AppID() })
}

// websiteEntrance logs in with a website app. Its one scope brings the profile along, so that nobody needs the register page.
type websiteEntrance struct {
	s    *Server
	site Website
}

func (e websiteEntrance) provider() string { return db.ProviderWebsite }
func (e websiteEntrance) alias() string    { return e.site.Alias }
func (e websiteEntrance) appID() string    { return e.site.Client.AppID() }

func (e websiteEntrance) scope(wechat.Scope) wechat.Scope { return wechat.ScopeLogin }

func (e websiteEntrance) address(callback string, f flow, lang string) string {
	return e.site.Client.AuthorizeURL(callback, f.State, lang)
}

func (e websiteEntrance) land(ctx context.Context, _ flow, code string) (landing, error) {
	token, err := e.site.Client.Exchange(ctx, code)
	if err != nil {
		return landing{}, err
	}
	if token.Snapshot { // WeChat has none on a desktop, but never is one stored
		return landing{outcome: landSnapshot}, nil
	}
	token, info, err := userInfo(ctx, e.site.Client, token)
	if err != nil {
		return landing{}, err
	}
	// The refresh token is not kept: whoever logs in here confirms each time, and so brings a new profile.
	session, err := e.s.signIn(ctx, db.Login{Profile: profileOf(info), Identity: db.Identity{Provider: db.ProviderWebsite,
		AppID: e.appID(), OpenID: token.OpenID, OpenAccount: e.site.OpenAccount, UnionID: unionOf(token, info),
		Scope: string(wechat.ScopeLogin)}})
	return landing{outcome: landHome, session: session}, err
}
