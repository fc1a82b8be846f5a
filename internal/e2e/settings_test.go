package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Behind TLS in production: nothing here reaches WeChat, a login start only points there.
func TestWEB01_CookiesOnHTTPSAreSecureAndHostBound(t *testing.T) {
	address := freeAddress(t)
	p := &product{bridge: "http://" + address, simulator: "http://localhost:1", log: new(logBuffer), http: newHTTPClient(t)}
	p.findApps(t, p.bridge)
	env := without(p.serveEnv(address, ""), "WXBRIDGE_WECHAT_", "WXBRIDGE_PUBLIC_URL")
	env = append(env, "WXBRIDGE_PUBLIC_URL=https://login.example.com", "WXBRIDGE_DATABASE=sqlite://"+t.TempDir()+"/w.db")
	runCommand(t, p.log, []string{"serve"}, env, new(logBuffer))
	p.waitReady(t)

	bob := p.phone("bob")
	bob.jar = nil
	h := bob.once(t, "/login?return_to=%2Fx")
	next := h.next()
	if next.Scheme != "https" || next.Host != "open.weixin.qq.com" || next.Path != authorize {
		t.Fatalf("a login starts at %s", next)
	}
	if got := next.Query().Get("redirect_uri"); got != "https://login.example.com"+callbackPath {
		t.Errorf("redirect_uri is %q", got)
	}
	c := h.setCookie("__Host-" + flowPrefix + next.Query().Get("state")[:8])
	if c == nil || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("WEB-02 flow cookie: %q", h.header["Set-Cookie"])
	}
	header := http.Header{"Origin": {"https://login.example.com"}, "Accept": {"application/json"},
		"Cookie": {"__Host-" + tokenCookie + "=x; __Host-" + idCookie + "=y"}}
	h = bob.do(t, http.MethodPost, "/logout", header, "")
	for _, name := range []string{"__Host-" + tokenCookie, "__Host-" + idCookie} {
		if c := h.setCookie(name); c == nil || c.MaxAge >= 0 || !c.Secure || c.Path != "/" || c.Domain != "" {
			t.Errorf("WEB-07 %s is not cleared: %q", name, h.header["Set-Cookie"])
		}
	}
	if h := bob.do(t, http.MethodPost, "/logout", http.Header{"Origin": {p.bridge}, "Cookie": header["Cookie"]}, ""); h.status != http.StatusForbidden {
		t.Errorf("WEB-06 the inner address counts as our origin: %v", h)
	}
	if h := p.get(t, "/_simulator/people"); h.status != http.StatusNotFound {
		t.Errorf("REL-18 %v", h)
	}
}

func TestExtraParametersStandWhereWeChatAllowsThem(t *testing.T) {
	p := startDev(t, nil, "WXBRIDGE_OFFICIAL_CONNECT_REDIRECT=true", "WXBRIDGE_OFFICIAL_FORCE_POPUP=true")
	p.set(t, "parameter-order", "strict")
	bob := p.phone("bob")
	link := toRegister(t, bob, "%2Fshop")
	tap := bob.once(t, link).next()
	base := bob.once(t, "/login?prompt=login").next()
	for scope, at := range map[string]*url.URL{"snsapi_userinfo": tap, "snsapi_base": base} {
		before, extra, _ := strings.Cut(at.RawQuery, "&state=")
		if !strings.HasPrefix(before, "appid=") || !strings.HasSuffix(before, "&response_type=code&scope="+scope) {
			t.Errorf("the documented parameters come first: %s", at.RawQuery)
		}
		if !strings.Contains(extra, "&connect_redirect=1") || at.Fragment != "wechat_redirect" {
			t.Errorf("connect_redirect=1 is not behind the state: %s", at)
		}
	}
	if !strings.Contains(tap.RawQuery, "forcePopup=true") {
		t.Errorf("no forcePopup in %s", tap.RawQuery)
	}
	bob.login(t)
	plain := startDev(t, nil).phone("bob")
	if got := plain.once(t, "/login").next().RawQuery; strings.Contains(got, "connect_redirect") || strings.Contains(got, "forcePopup") {
		t.Errorf("by default: %s", got)
	}
}
