package simulator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ProviderWeCom apps belong to a corp: AppID is its corpid, AgentID the app in it.
const ProviderWeCom = "wecom"

// corp is an organisation with its apps, in the configured order. The first of them is the one its mini program is
// linked to.
type corp struct {
	id     string
	agents []*App
}

// agent finds an app of the corp; 0 is the first one.
func (c *corp) agent(id int) *App {
	for _, a := range c.agents {
		if id == 0 || a.AgentID == id {
			return a
		}
	}
	return nil
}

// indexCorps files WeCom apps, which New has checked, by corpid.
func indexCorps(apps []App) map[string]*corp {
	corps := map[string]*corp{}
	for _, app := range apps {
		if app.Provider != ProviderWeCom {
			continue
		}
		if corps[app.AppID] == nil {
			corps[app.AppID] = &corp{id: app.AppID}
		}
		app.RedirectDomain, app.LoginDomain = strings.ToLower(app.RedirectDomain), strings.ToLower(app.LoginDomain)
		corps[app.AppID].agents = append(corps[app.AppID].agents, &app)
	}
	return corps
}

// sortedCorps is the configured order.
func (s *Server) sortedCorps() []*corp {
	var list []*corp
	for _, app := range s.cfg.Apps {
		if c := s.wecom.corps[app.AppID]; app.Provider == ProviderWeCom && !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	return list
}

// corpAgent finds an app by corpid and agentid, 0 for the corp's first.
func (s *Server) corpAgent(corpID string, agentID int) (*App, error) {
	c := s.wecom.corps[corpID]
	if c == nil {
		return nil, fmt.Errorf("corpid %q is not configured", corpID)
	}
	if a := c.agent(agentID); a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("corpid %s has no agentid %d", corpID, agentID)
}

// sensitiveFields are those an app gets by consent only (documented, §4).
func sensitiveFields() []string {
	return []string{"gender", "avatar", "qr_code", "mobile", "email", "biz_mail", "address"}
}

// checkWeCom checks what only WeCom apps have. A corp's first corpid letters ("ww", or "wx" of old) are not asked for.
func (a App) checkWeCom() error {
	if a.Provider != ProviderWeCom {
		if a.AgentID != 0 || a.LoginDomain != "" || a.PrivateFields != nil || a.OldApp || a.ContactEvents {
			return fmt.Errorf("agentid, login_domain, private_fields, old_app and contact_events are for provider %s only", ProviderWeCom)
		}
		return nil
	}
	switch {
	case a.AgentID <= 0:
		return fmt.Errorf("agentid %d: want a number such as 1000002", a.AgentID)
	case a.OpenAccount != "":
		return errors.New("open_account: a WeCom app is bound to none")
	case a.EventsMode != "" && a.EventsMode != ModeAES:
		return fmt.Errorf("events_mode %q: WeCom encrypts always", a.EventsMode)
	case strings.ContainsAny(a.LoginDomain, "/?#@ "):
		return fmt.Errorf("login_domain %q: want a host name, with its port if it has one", a.LoginDomain)
	}
	for _, field := range a.PrivateFields {
		if !slices.Contains(sensitiveFields(), field) {
			return fmt.Errorf("private_fields: %q: want some of %s", field, strings.Join(sensitiveFields(), ", "))
		}
	}
	return nil
}

// checkAgents refuses an agentid or a secret that appears twice in a corp, and a corpid that is an appid as well.
func checkAgents(apps []App) error {
	type id struct {
		corp, what string
	}
	seen := map[id]bool{}
	for i, app := range apps {
		kind := id{app.AppID, "a corpid"}
		other := id{app.AppID, "an appid"}
		if app.Provider != ProviderWeCom {
			kind, other = other, kind
		} else {
			agent, secret := id{app.AppID, fmt.Sprint("agent ", app.AgentID)}, id{app.AppID, "secret " + app.Secret}
			if seen[agent] {
				return fmt.Errorf("app %d: corpid %q has agentid %d twice", i+1, app.AppID, app.AgentID)
			}
			if seen[secret] {
				return fmt.Errorf("app %d: corpid %q has one secret for two apps", i+1, app.AppID)
			}
			seen[agent], seen[secret] = true, true
		}
		if seen[other] {
			return fmt.Errorf("app %d: %q is a corpid and an appid", i+1, app.AppID)
		}
		seen[kind] = true
	}
	return nil
}

// hasDomain compares host and port as they are written (documented, §2.2): no default port, no parent domain.
func (a *App) hasDomain(host string) bool {
	return a.RedirectDomain != "" && strings.EqualFold(host, a.RedirectDomain)
}

// unreachableWeCom says why nothing can be pushed to a WeCom app's server; "" if something can.
func (a *App) unreachableWeCom() string {
	if problem := a.unreachable(); problem != "" {
		return problem
	}
	if a.EncodingAESKey == "" {
		return "the app has no encoding_aes_key to encrypt pushes with"
	}
	return ""
}

// The agents of the dev set.
const (
	devAgent       = 1000002
	devSecondAgent = 1000003
)

// devCorps are two corps: one with the app to use and a second app, whose tokens and codes do not work for the first,
// and another corp. The trusted domain is compared with its port.
func devCorps(trustedDomain string) []App {
	dev := func(corpName string, agentID int) App {
		name := fmt.Sprint(corpName, " ", agentID)
		return App{
			Provider:       ProviderWeCom,
			AppID:          "ww" + label("corpid", corpName)[:16],
			AgentID:        agentID,
			Secret:         label("corpsecret", name)[:43],
			RedirectDomain: trustedDomain,
			Token:          label("wecom token", name)[:32],
			EncodingAESKey: (label("wecom aes key", name) + label("wecom aes key", name, "more"))[:42] + "C",
			PrivateFields:  sensitiveFields(),
		}
	}
	return []App{dev("default", devAgent), dev("default", devSecondAgent), dev("other", devAgent)}
}
