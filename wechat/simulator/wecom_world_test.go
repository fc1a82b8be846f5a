package simulator_test

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"wxbridge/wechat/simulator"
)

// office is a world seen from an app of a corp: agent, with second beside it in the same corp, and foreign in another.
type office struct {
	*world
	agent, second, foreign simulator.App
}

func newOffice(t *testing.T, changes ...func(*simulator.Config)) *office {
	t.Helper()
	o := &office{}
	trust := func(c *simulator.Config) {
		var corps []simulator.App
		for i := range c.Apps {
			if c.Apps[i].Provider == simulator.ProviderWeCom {
				c.Apps[i].RedirectDomain = "127.0.0.1:9"
				corps = append(corps, c.Apps[i])
			}
		}
		o.agent, o.second, o.foreign = corps[0], corps[1], corps[2]
	}
	o.world = newWorld(t, append([]func(*simulator.Config){stoppedClock, trust}, changes...)...)
	return o
}

// onAgent changes the app that the office is about.
func onAgent(change func(*simulator.App)) func(*simulator.Config) {
	return func(c *simulator.Config) {
		for i := range c.Apps {
			if c.Apps[i].Provider == simulator.ProviderWeCom {
				change(&c.Apps[i])
				return
			}
		}
	}
}

func (o *office) gettoken(app simulator.App) answer {
	o.t.Helper()
	return o.get("/qyapi/cgi-bin/gettoken?" + url.Values{"corpid": {app.AppID}, "corpsecret": {app.Secret}}.Encode())
}

func (o *office) token(app simulator.App) string {
	o.t.Helper()
	token, _ := o.gettoken(app).json(o.t)["access_token"].(string)
	if token == "" {
		o.t.Fatal("no access_token")
	}
	return token
}

// api calls a GET of qyapi with the app's token; more are further parameters, name and value in turn.
func (o *office) api(app simulator.App, path string, more ...string) answer {
	o.t.Helper()
	return o.get(o.apiPath(app, path, more...))
}

func (o *office) apiPath(app simulator.App, path string, more ...string) string {
	o.t.Helper()
	q := url.Values{"access_token": {o.token(app)}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return "/qyapi/cgi-bin/" + path + "?" + q.Encode()
}

// oauth is an authorize link as the documentation has it, with its fragment left out.
func (o *office) oauth(app simulator.App, scope, redirect, state string) string {
	return fmt.Sprintf("/connect/oauth2/authorize?appid=%s&redirect_uri=%s&response_type=code&scope=%s&state=%s&agentid=%d",
		app.AppID, url.QueryEscape(redirect), scope, state, app.AgentID)
}

// webLink is a link to the web login.
func (o *office) webLink(app simulator.App, redirect, state string) string {
	return fmt.Sprintf("/wwlogin/sso/login?login_type=CorpApp&appid=%s&agentid=%d&redirect_uri=%s&state=%s",
		app.AppID, app.AgentID, url.QueryEscape(redirect), state)
}

// code logs somebody in, consenting by header.
func (o *office) code(app simulator.App, name, scope string) string {
	o.t.Helper()
	code := o.as(name, o.oauth(app, scope, site, "s"), "X-Simulator-Consent", "allow").back(o.t).Get("code")
	if code == "" {
		o.t.Fatal("no code")
	}
	return code
}

// who redeems a fresh code of somebody.
func (o *office) who(name, scope string) map[string]any {
	o.t.Helper()
	return o.api(o.agent, "auth/getuserinfo", "code", o.code(o.agent, name, scope)).json(o.t)
}

// session redeems a js_code.
func (o *office) session(app simulator.App, code string) answer {
	o.t.Helper()
	return o.api(app, "miniprogram/jscode2session", "js_code", code, "grant_type", "authorization_code")
}

func (o *office) detail(app simulator.App, ticket any) answer {
	o.t.Helper()
	return o.do("POST", o.apiPath(app, "auth/getuserdetail"), fmt.Sprintf(`{"user_ticket":%q}`, ticket), nil)
}

// keys lists the names of an answer's members in their order. It is for flat answers.
func (a answer) keys() string {
	var names []string
	for _, part := range strings.Split(strings.Trim(a.body, "{}"), `,"`) {
		name, _, _ := strings.Cut(strings.Trim(part, `"`), `"`)
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func sha1Hex(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}
