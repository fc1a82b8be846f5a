package handlers

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/db"
	"wxbridge/wechat"
)

// callbackTime bounds one callback: the wait for its repeats, and all it asks of WeChat. So it does every other request that
// waits for WeChat or for an app token (REL-12).
const callbackTime = 9 * time.Second

// callback is a checked request of WeChat's redirect.
type callback struct {
	code    string // empty if refused
	state   string
	app     string // alias of the app the redirect was made for
	again   bool   // our marker of the one restart; it grants nothing
	refused bool
}

// callback ends a login that the provider's page sends back. Only the browser that holds the flow's cookie gets as far as the
// exchange.
func (s *Server) callback(provider string) handlerFunc {
	return func(c *gin.Context) error {
		recordOf(c).provider = provider
		request, err := readCallback(c)
		if err != nil {
			return err
		}
		f, err := s.flowOf(c.Request, request.state)
		if err != nil || f.Provider != provider || f.App != request.app { // FLW-09
			return s.strayCallback(c, provider, request)
		}
		e, err := s.entrance(provider, f.App)
		if err != nil {
			return err
		}
		if f.Outcome != pending {
			return s.markedCallback(c, e, f, request)
		}
		if request.refused {
			return s.refusedCallback(c, f)
		}
		return s.spend(c, e, f, request)
	}
}

// spend exchanges the code of a good flow, once however often it comes, and answers with what came of it.
func (s *Server) spend(c *gin.Context, e entrance, f flow, request callback) error {
	record := recordOf(c)
	ctx, cancel := context.WithTimeout(c.Request.Context(), callbackTime)
	defer cancel()
	deadline, _ := ctx.Deadline()
	end, repeated, err := s.repeats.do(ctx, f, request.code, func() (landing, error) {
		// WeChat's clients drop the first of two callbacks: what it started must end for the second.
		ctx, cancel := detached(c, deadline)
		defer cancel()
		return e.land(ctx, f, request.code)
	})
	if err == nil && repeated {
		end, err = s.recall(c.Request.Context(), f, end)
	}
	switch {
	case errors.Is(err, errSpent):
		record.noteEvent(codeReused, slog.LevelWarn)
		record.noteLogin("code_reused")
		return s.restart(c, e, f, request, errSpentPage)
	case errors.Is(err, wechat.ErrInvalidCode):
		record.noteEvent("login.code_refused", slog.LevelInfo, slog.String("cause", err.Error()))
		record.noteLogin("code_refused")
		return s.restart(c, e, f, request, err)
	case err != nil:
		return err
	}
	return s.arrive(c, f, end)
}

// codeReused names the security event of a code that was tried before.
const codeReused = "login.code_reused"

var errSpentPage = invalidGrant("This login was used before. Log in again.")

// readCallback takes what WeChat adds to the redirect. A refusal comes back as code=authdeny, or with a state and no code
// (wechat-protocol §1.1).
func readCallback(c *gin.Context) (callback, error) {
	p, err := query(c, "code", "state", "app", "again")
	if err != nil {
		return callback{}, err
	}
	request := callback{code: p["code"], state: p["state"], app: p["app"], again: p["again"] == "1"}
	if request.app == "" {
		request.app = DefaultApp
	}
	if request.state != "" && !only(request.state, 128, isAlphanumeric) {
		return callback{}, invalidRequest("The parameter state is malformed.")
	}
	if request.code == "" || request.code == "authdeny" {
		if request.code == "" && request.state == "" {
			return callback{}, invalidRequest("The parameters code and state are missing.")
		}
		request.code, request.refused = "", true
		return request, nil
	}
	if !only(request.code, 512, isCodeByte) {
		return callback{}, invalidRequest("The parameter code is malformed.")
	}
	return request, nil
}

// strayCallback meets a callback without its flow cookie: an old menu link, a shared or bookmarked callback, a planted
// code, a browser that lost its cookies. The code is never spent; the silent login starts afresh, once.
func (s *Server) strayCallback(c *gin.Context, provider string, request callback) error {
	recordOf(c).noteEvent("login.state_mismatch", slog.LevelInfo, slog.Bool("again", request.again))
	recordOf(c).noteLogin("state_mismatch")
	if request.refused {
		return redirect(c, "/login/refused")
	}
	if request.again {
		return redirect(c, "/login/cookies-off")
	}
	e, err := s.entrance(provider, request.app)
	if err != nil {
		return err
	}
	return s.toWeChat(c, e, flow{ReturnTo: s.returnTo.Default(), Provider: provider,
		App: e.alias(), Scope: string(e.scope(wechat.ScopeBase)), Again: true})
}

// restart begins the silent login again, once, when the code of a good flow was refused. cause is the answer if this was the
// restart already.
func (s *Server) restart(c *gin.Context, e entrance, f flow, request callback, cause error) error {
	s.clearFlow(c, s.flowName(f.State))
	if f.Again || request.again {
		return cause
	}
	return s.toWeChat(c, e, flow{ReturnTo: f.ReturnTo, Provider: f.Provider, App: f.App,
		Scope: string(e.scope(wechat.ScopeBase)), Again: true})
}

// markedCallback meets a late repeat, whose flow has ended: Back, reload. The mark tells where it led and grants nothing.
func (s *Server) markedCallback(c *gin.Context, e entrance, f flow, request callback) error {
	if _, err := s.cookieClaims(c); err == nil {
		return redirect(c, f.ReturnTo)
	}
	switch {
	case request.refused:
		return redirect(c, "/login/refused")
	case f.Outcome == register:
		return redirect(c, "/login/register")
	}
	return s.restart(c, e, f, request, errSpentPage)
}

// refusedCallback leads a person who refused back to the choice. Who is known and logged in lands with the stored profile.
func (s *Server) refusedCallback(c *gin.Context, f flow) error {
	recordOf(c).noteLogin("refused")
	if f.Known {
		if _, err := s.cookieClaims(c); err == nil {
			if err := s.markFlow(c, f, landed); err != nil {
				return err
			}
			return redirect(c, f.ReturnTo)
		}
	}
	if err := s.markFlow(c, f, register); err != nil {
		return err
	}
	return redirect(c, "/login/refused")
}

// arrive answers a login that ended: fresh cookies if somebody is logged in, the mark, and on to where it leads.
func (s *Server) arrive(c *gin.Context, f flow, end landing) error {
	if end.session != nil {
		if err := s.setSession(c, *end.session); err != nil {
			return err
		}
	}
	mark, to := landed, f.ReturnTo
	switch end.outcome {
	case landRegister:
		mark, to = register, "/login/register"
		f.Known, f.Follower = end.session != nil, end.follower
	case landSnapshot:
		mark, to = register, "/login/snapshot"
	case landStranger:
		mark, to = stranger, "/login/not-member"
	case landBarred:
		mark, to = barred, "/login/not-member"
	}
	if err := s.markFlow(c, f, mark); err != nil {
		return err
	}
	return redirect(c, to)
}

// recall completes a remembered landing with what its fan is now. If the fan or the session is gone, so is the memory:
// errSpent.
func (s *Server) recall(ctx context.Context, f flow, end landing) (landing, error) {
	if end.session == nil {
		return end, nil
	}
	fan, err := s.cfg.Store.Fan(ctx, end.session.fan.ID)
	var revoked bool
	if err == nil {
		revoked, err = s.cfg.Store.Revoked(ctx, end.session.id, end.session.subject, end.session.since.Truncate(time.Second))
	}
	switch {
	case err != nil && !isNotFound(err):
		return landing{}, err
	case err != nil, fan.Status != db.StatusActive, revoked:
		s.repeats.forget(f.State)
		return landing{}, errSpent
	}
	session := *end.session
	session.fan = fan
	return landing{outcome: end.outcome, session: &session}, nil
}

func only(s string, longest int, allowed func(byte) bool) bool {
	if s == "" || len(s) > longest {
		return false
	}
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isCodeByte(c byte) bool { return isAlphanumeric(c) || c == '_' || c == '-' }
