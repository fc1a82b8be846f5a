package handlers

import (
	"log/slog"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/wechat/wecom"
)

// wecomMiniProgram finds the WeCom app whose mini program it is: one that no mini program of WeChat's is called.
func (s *Server) wecomMiniProgram(name string) (WeComApp, bool) {
	if _, err := s.miniProgram(name); err == nil {
		return WeComApp{}, false
	}
	if name == "" {
		name = DefaultApp
	}
	app, err := s.wecomApp(name)
	return app, err == nil
}

// wecomMiniProgramLogin exchanges the code of wx.qy.login, which works in WeCom's mini programs. A member of another corp that
// has linked the same mini program is refused, and so is a member who is not active. The session key is not kept: nothing here
// needs it.
func (s *Server) wecomMiniProgramLogin(c *gin.Context, app WeComApp, code string) error {
	recordOf(c).provider = db.ProviderWeCom
	if err := s.firstUse(c, "wecom:"+app.Alias, code); err != nil {
		return err
	}
	ctx, cancel := detached(c, time.Now().Add(callbackTime))
	defer cancel()
	answer, err := app.Client.Login(ctx, code)
	if err != nil {
		return err
	}
	login, may, err := s.memberLogin(ctx, app, wecom.Visitor{UserID: answer.UserID})
	if err != nil {
		return err
	}
	if !may {
		return errNotMember
	}
	session, err := s.signIn(ctx, login)
	if err != nil {
		return err
	}
	recordOf(c).note(slog.String("app", app.Alias))
	return s.answerToken(ctx, c, session)
}
