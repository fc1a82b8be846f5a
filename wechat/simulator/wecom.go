package simulator

import (
	"net"
	"net/http"
	"strings"
	"time"
)

// What follows in the files wecom_*.go is WeCom (企业微信). The section numbers there are those of "wecom-protocol".
// WeChat and WeCom share paths that mean different things, such as /cgi-bin/user/get. Behind a front with the real host
// names the host decides; on the simulator's own address qyapi.weixin.qq.com is the prefix /qyapi, and the pages of
// login.work.weixin.qq.com and open.work.weixin.qq.com have the paths they have there. The page
// /connect/oauth2/authorize is shared: a corpid as appid makes it WeCom's.

const (
	qyapiHost   = "qyapi.weixin.qq.com"
	qyapiPrefix = "/qyapi"
)

// The addresses of WeCom that are simulated, as GET /_simulator/calls and faults name them.
const (
	pathGetToken       = qyapiPrefix + "/cgi-bin/gettoken"
	pathAuthUserInfo   = qyapiPrefix + "/cgi-bin/auth/getuserinfo"
	pathOldUserInfo    = qyapiPrefix + "/cgi-bin/user/getuserinfo"
	pathAuthUserDetail = qyapiPrefix + "/cgi-bin/auth/getuserdetail"
	pathOldUserDetail  = qyapiPrefix + "/cgi-bin/user/getuserdetail"
	pathMember         = qyapiPrefix + "/cgi-bin/user/get"
	pathWeComSession   = qyapiPrefix + "/cgi-bin/miniprogram/jscode2session"
	pathCorpTicket     = qyapiPrefix + "/cgi-bin/get_jsapi_ticket"
	pathAgentTicket    = qyapiPrefix + "/cgi-bin/ticket/get"
	pathDomainIP       = qyapiPrefix + "/cgi-bin/get_api_domain_ip"
	pathWeComPushIP    = qyapiPrefix + "/cgi-bin/getcallbackip"

	pathWebLogin    = "/wwlogin/sso/login"
	pathOldWebLogin = "/wwopen/sso/qrConnect"
	pathURIConfirm  = "/wwopen/uriconfirm"
)

func wecomPaths() []string {
	return []string{
		pathGetToken, pathAuthUserInfo, pathOldUserInfo, pathAuthUserDetail, pathOldUserDetail, pathMember,
		pathWeComSession, pathCorpTicket, pathAgentTicket, pathDomainIP, pathWeComPushIP, pathWebLogin, pathOldWebLogin,
	}
}

// wecomState is everything the simulator keeps about corps.
type wecomState struct {
	corps map[string]*corp // by corpid

	tokens      agentTokens
	codes       *shelf[wecomCode]     // OAuth codes, codes of the web login, js_codes
	userTickets *shelf[userTicket]    // by user_ticket
	consents    *shelf[memberConsent] // agent and person → what they answered
	sheets      *shelf[wecomSheet]    // consent sheets and web logins on show
	members     *shelf[memberState]   // corp and person → what has changed since the start
	userIDs     *shelf[string]        // corp and folded userid → person, where it cannot be told from the userid
	jsTickets   corpTickets
	meters      meters
	ipListedAt  lateSwitch
}

func (s *Server) initWeCom() {
	s.wecom = &wecomState{
		corps:       indexCorps(s.cfg.Apps),
		codes:       newShelf[wecomCode](1<<17, time.Hour),
		userTickets: newShelf[userTicket](1<<16, 3*time.Hour),
		consents:    newShelf[memberConsent](1<<16, 100*365*24*time.Hour),
		sheets:      newShelf[wecomSheet](1<<12, 30*time.Minute),
		members:     newShelf[memberState](1<<17, 100*365*24*time.Hour),
		userIDs:     newShelf[string](1<<17, 100*365*24*time.Hour),
	}
	s.wecom.tokens.init()
	s.wecom.jsTickets.init()
	s.wecom.meters.init()
}

func (s *Server) mountWeCom(mux *http.ServeMux) {
	for path, handler := range map[string]http.HandlerFunc{
		pathGetToken:       s.handleGetToken,
		pathAuthUserInfo:   s.handleAuthUserInfo,
		pathOldUserInfo:    s.handleOldUserInfo,
		pathAuthUserDetail: s.handleUserDetail,
		pathOldUserDetail:  s.handleUserDetail,
		pathMember:         s.handleMember,
		pathWeComSession:   s.handleWeComSession,
		pathCorpTicket:     s.handleCorpTicket,
		pathAgentTicket:    s.handleAgentTicket,
		pathDomainIP:       s.handleDomainIP,
		pathWeComPushIP:    s.handleDomainIP,
		pathWebLogin:       s.handleWebLogin,
		pathOldWebLogin:    s.handleWebLogin,
	} {
		mux.HandleFunc(path, s.wechat(path, s.httpsOnly(handler)))
	}
	mux.HandleFunc("GET "+pathURIConfirm, s.handleURIConfirm)
	mux.HandleFunc("POST /wwlogin/person", s.handleWebLoginPerson)
	mux.HandleFunc("POST /wwlogin/confirm", s.handleWebLoginAnswer)
	mux.HandleFunc("POST /connect/oauth2/wecom-confirm", s.handleWeComConfirm)
	mux.HandleFunc(qyapiPrefix+"/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "nginx")
		w.WriteHeader(http.StatusNotFound) // with an empty body (observed, §0.1)
	})
	s.mountWeComControl(mux)
}

// toWeCom moves a request for WeCom's API host under the prefix it has here, and takes away a prefix /wwlogin that
// stands for the host of the web login. Everything else stays as it is.
func toWeCom(r *http.Request) *http.Request {
	path := r.URL.Path
	switch host := askedHost(r); {
	case host == qyapiHost:
		path = qyapiPrefix + path
	case strings.HasPrefix(path, "/wwlogin/wwlogin/"), strings.HasPrefix(path, "/wwlogin/wwopen/"):
		path = strings.TrimPrefix(path, "/wwlogin")
	default:
		return r
	}
	moved := r.Clone(r.Context())
	moved.URL.Path, moved.URL.RawPath = path, ""
	return moved
}

// askedHost is the host name that the caller asked for, before a front that names it in X-Forwarded-Host.
func askedHost(r *http.Request) string {
	host, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Host"), ",")
	if host = strings.TrimSpace(host); host == "" {
		host = r.Host
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(host)
}

// httpsOnly sends plain HTTP away with 301 where the switch says so, as WeCom does (observed, §0.1).
func (s *Server) httpsOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil && r.Header.Get("X-Forwarded-Proto") != "https" && s.switches.choice(switchWeComPlainHTTP) == "301" {
			h := w.Header()
			h.Set("Server", "nginx")
			h.Set("Content-Type", "text/html")
			h.Set("Location", "https://"+askedHost(r)+strings.TrimPrefix(r.URL.RequestURI(), qyapiPrefix))
			w.WriteHeader(http.StatusMovedPermanently)
			return
		}
		next(w, r)
	}
}
