package handlers

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/jwtauth"
	"wxbridge/templates"
	"wxbridge/wechat"
	"wxbridge/wechat/wecom"
)

// WeComApp is one app of a WeCom (企业微信) corp. A corp may have several; its members are the same people in all of them.
type WeComApp struct {
	Alias    string // what app= names it; DefaultApp is used without app=
	Client   *wecom.Client
	Callback *wecom.Callback // takes its pushes; nil: /events/wecom does not know the app
	Private  bool            // ask members for what snsapi_privateinfo gives: their avatar
	Guests   bool            // let people log in who are not members
}

// wecomApp finds an app by its alias or its corpid. DefaultApp means the only one, whatever its alias.
func (s *Server) wecomApp(name string) (WeComApp, error) {
	return findApp(s.cfg.WeCom, name, func(a WeComApp) (string, string) { return a.Alias, a.Client.CorpID() })
}

// wecomEntrance logs members of a corp in: inside WeCom without a page, elsewhere by a code to scan.
type wecomEntrance struct {
	s   *Server
	app WeComApp
}

func (e wecomEntrance) provider() string { return db.ProviderWeCom }
func (e wecomEntrance) alias() string    { return e.app.Alias }
func (e wecomEntrance) appID() string    { return e.app.Client.CorpID() }

func (e wecomEntrance) scope(wechat.Scope) wechat.Scope {
	if e.app.Private {
		return wechat.Scope(wecom.ScopePrivateInfo)
	}
	return wechat.Scope(wecom.ScopeBase)
}

func (e wecomEntrance) address(callback string, f flow, lang string) string {
	if f.Outside {
		lang, _, _ = strings.Cut(lang, "-")
		return e.app.Client.QRLoginURL(callback, f.State, lang)
	}
	return e.app.Client.AuthorizeURL(callback, wecom.Scope(f.Scope), f.State)
}

// land finds who came. The code says only whose it is: whether that is a member who may come in, the directory says.
func (e wecomEntrance) land(ctx context.Context, _ flow, code string) (landing, error) {
	visitor, err := e.app.Client.Exchange(ctx, code)
	if err != nil {
		return landing{}, err
	}
	if !visitor.IsMember() && !e.app.Guests {
		recordFrom(ctx).noteEvent("login.not_member", slog.LevelInfo)
		recordFrom(ctx).noteLogin("not_member")
		return landing{outcome: landStranger}, nil
	}
	login := e.s.guestLogin(e.app, visitor)
	if visitor.IsMember() {
		var may bool
		if login, may, err = e.s.memberLogin(ctx, e.app, visitor); err != nil {
			return landing{}, err
		}
		if !may {
			return landing{outcome: landBarred}, nil
		}
	}
	session, err := e.s.signIn(ctx, login)
	return landing{outcome: landHome, session: session}, err
}

// guestMark begins the openid of everybody who is no member, so that none of them is ever taken for one: no userid has it.
const guestMark = "guest~"

func isCorpGuest(provider, openID string) bool {
	return provider == db.ProviderWeCom && strings.HasPrefix(openID, guestMark)
}

// guestLogin is the login of somebody who is not of the corp: known by an id alone.
func (s *Server) guestLogin(app WeComApp, v wecom.Visitor) db.Login {
	id := v.OpenID
	if id == "" {
		id = v.ExternalUserID
	}
	if v.LinkedUserID != "" {
		id = wecom.FoldUserID(v.LinkedUserID)
	}
	return db.Login{Identity: db.Identity{Provider: db.ProviderWeCom, AppID: app.Client.CorpID(), OpenID: guestMark + id,
		OpenAccount: DefaultApp, Scope: string(wecom.ScopeBase)}}
}

// memberLogin asks the directory about a member. may is false of one who is disabled, has left, or may not see the app; their
// tokens are revoked if that holds for every app of the corp.
func (s *Server) memberLogin(ctx context.Context, app WeComApp, v wecom.Visitor) (login db.Login, may bool, err error) {
	asked := s.cfg.Now()
	member, err := app.Client.Member(ctx, v.UserID)
	barred := notActive(member, err)
	if err != nil && !barred {
		return db.Login{}, false, err
	}
	identity := db.Identity{Provider: db.ProviderWeCom, AppID: app.Client.CorpID(), OpenID: wecom.FoldUserID(v.UserID),
		OpenAccount: DefaultApp, Scope: string(wecom.ScopeBase)}
	if barred {
		recordFrom(ctx).noteEvent("login.barred", slog.LevelInfo)
		recordFrom(ctx).noteLogin("barred")
		return db.Login{}, false, s.memberBarred(ctx, identity)
	}
	avatar := member.Avatar
	if v.Ticket != "" {
		identity.Scope = string(wecom.ScopePrivateInfo)
		if private := s.privateAvatar(ctx, app, v); private != "" {
			avatar = private
		}
	}
	return db.Login{Identity: identity, Profile: memberProfile(member, avatar),
		Member: &db.Membership{Departments: string(jwtauth.DepartmentsOf(member.Departments...)), ConfirmedAt: asked}}, true, nil
}

const (
	privateTime = 2 * time.Second // for an avatar, which no login waits for long
	landingTime = time.Second     // what an answer that came late leaves the store
)

// privateAvatar reads what the member has allowed. Without it the login goes on: who it is is known.
func (s *Server) privateAvatar(ctx context.Context, app WeComApp, v wecom.Visitor) string {
	end := time.Now().Add(privateTime)
	if deadline, limited := ctx.Deadline(); limited && deadline.Add(-landingTime).Before(end) {
		end = deadline.Add(-landingTime)
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	detail, err := app.Client.Detail(ctx, v)
	if err != nil {
		s.cfg.Logger.Warn("WeCom does not give a member's avatar; the login goes on without", "event", "member.private_failed",
			"request_id", requestIDFrom(ctx), "corpid", app.Client.CorpID(), "err", err)
		return ""
	}
	return detail.Avatar
}

// storedMember is what is kept of what WeCom tells, beside name and avatar: not more than a login needs.
type storedMember struct {
	UserID         string  `json:"userid"` // as WeCom spells it
	Name           string  `json:"name"`
	Departments    []int64 `json:"department"`
	MainDepartment int64   `json:"main_department,omitempty"`
	Position       string  `json:"position,omitempty"`
	Avatar         string  `json:"avatar,omitempty"`
}

func memberProfile(m wecom.Member, avatar string) *db.Profile {
	if secure, plain := strings.CutPrefix(avatar, "http://"); plain {
		avatar = "https://" + secure // its hosts serve both, and a page by https shows no other
	}
	kept := storedMember{UserID: m.UserID, Name: clip(m.Name, maxNickname), Departments: append([]int64{}, m.Departments...),
		MainDepartment: m.MainDepartment, Position: clip(m.Position, maxPosition), Avatar: fitting(avatar, maxAvatarURL)}
	text, err := json.Marshal(kept)
	if err != nil {
		text = nil // of numbers and texts, which cannot fail
	}
	return &db.Profile{Nickname: kept.Name, AvatarURL: kept.Avatar, JSON: text}
}

// maxPosition bounds a member's position, in characters; WeCom takes 128 bytes.
const maxPosition = 128

func departmentsOf(login db.Login) jwtauth.Departments {
	if login.Member == nil {
		return ""
	}
	return jwtauth.Departments(login.Member.Departments)
}

// notMemberPage meets people who may not log in: 403, and the way to try again as somebody else.
func (s *Server) notMemberPage(c *gin.Context) error {
	view := templates.NotMember{}
	mark, ok := s.newestFlow(c.Request, stranger)
	if barredMark, isBarred := s.newestFlow(c.Request, barred); isBarred && barredMark.Started >= mark.Started {
		mark, ok, view.Member = barredMark, true, true
	}
	if ok {
		q := loginQuery(mark.App, mark.ReturnTo, wechat.ScopeBase)
		view.LoginURL = "/login/" + entrancePath(mark.Provider) + "?" + q.Encode()
	}
	return s.page(c, http.StatusForbidden, view)
}
