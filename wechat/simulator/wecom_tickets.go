package simulator

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const wecomTicketLife = 2 * time.Hour // documented, §8

// jsTickets keeps the jsapi_tickets of corps and of apps.
type jsTickets struct {
	mu    sync.Mutex
	byOwn map[ticketOwner][]wecomTicket // newest last
}

// ticketOwner is a corp, or one app of it.
type ticketOwner struct {
	corpID string
	agent  *App // nil for the corp's ticket
}

type wecomTicket struct {
	value   string
	expires time.Time
}

func (t *jsTickets) init() { t.byOwn = map[ticketOwner][]wecomTicket{} }

// get gives the ticket that owner has, or a new one beside it.
func (t *jsTickets) get(owner ticketOwner, fresh bool, now time.Time) wecomTicket {
	t.mu.Lock()
	defer t.mu.Unlock()
	alive := slices.DeleteFunc(t.byOwn[owner], func(j wecomTicket) bool { return !now.Before(j.expires) })
	if len(alive) == 0 || fresh {
		alive = append(alive, wecomTicket{value: newWeComSecret(64), expires: now.Add(wecomTicketLife)}) // 86 characters, as observed
	}
	t.byOwn[owner] = alive
	return alive[len(alive)-1]
}

// alive lists the good tickets of each owner.
func (t *jsTickets) alive(now time.Time) map[ticketOwner][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	good := map[ticketOwner][]string{}
	for owner, list := range t.byOwn {
		for _, j := range list {
			if now.Before(j.expires) {
				good[owner] = append(good[owner], j.value)
			}
		}
	}
	return good
}

// handleCorpTicket is GET /cgi-bin/get_jsapi_ticket: the corp's, whichever of its apps asks (§8).
func (s *Server) handleCorpTicket(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingAgent(r)
	if errcode != 0 {
		s.refuseWeCom(w, r, errcode)
		return
	}
	s.answerTicket(w, r, app, ticketOwner{corpID: app.AppID})
}

// handleAgentTicket is GET /cgi-bin/ticket/get?type=agent_config: that of the app whose token it is.
func (s *Server) handleAgentTicket(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingAgent(r)
	if errcode == 0 && r.URL.Query().Get("type") != "agent_config" {
		errcode = 40058 // assumed
	}
	if errcode != 0 {
		s.refuseWeCom(w, r, errcode)
		return
	}
	s.answerTicket(w, r, app, ticketOwner{app.AppID, app})
}

// answerTicket counts, both kinds together (assumed): 100 an hour for an app, 400 for a corp (documented, §8).
func (s *Server) answerTicket(w http.ResponseWriter, r *http.Request, app *App, owner ticketOwner) {
	now := s.now()
	byApp := s.wecom.meters.hit(meterKey{"tickets of agent " + strconv.Itoa(app.AgentID), app.AppID}, 100, time.Hour, now)
	if byCorp := s.wecom.meters.hit(meterKey{"tickets", app.AppID}, 400, time.Hour, now); !byApp || !byCorp {
		s.refuseWeCom(w, r, 45009)
		return
	}
	ticket := s.wecom.jsTickets.get(owner, s.switches.choice(switchWeComTicket) == "fresh", now)
	answerWeCom(w, field{"ticket", ticket.value}, field{"expires_in", s.expiresIn(ticket.expires, wecomTicketLife, now)})
}

// JSConfig is what a page hands to wx.config or wx.agentConfig, as in POST /_simulator/wecom/js-config. AgentID is 0 for
// wx.config, which has none. URL is the page's own address.
type JSConfig struct {
	CorpID    string `json:"corpid"`
	AgentID   int    `json:"agentid,omitempty"`
	Timestamp string `json:"timestamp"`
	NonceStr  string `json:"nonceStr"`
	Signature string `json:"signature"`
	URL       string `json:"url"`
}

// JSVerdict is what the page is told: errcode 0 and "config:ok" or "agentConfig:ok", else why not.
type JSVerdict struct {
	ErrCode int    `json:"errcode"`
	ErrMsg  string `json:"errMsg"`
}

// CheckJSConfig judges a signature as WeCom's client does (§8): 40093 for a wrong one, 42012 for one made with the ticket
// of the corp instead of the app's, of another app, or the other way round, and "invalid url domain" for a page outside
// the trusted domain.
func (s *Server) CheckJSConfig(c JSConfig) JSVerdict {
	call, owner := "config", ticketOwner{corpID: c.CorpID}
	known := s.wecom.corps[c.CorpID]
	if c.AgentID != 0 {
		call = "agentConfig"
		if known != nil {
			owner.agent = known.agent(c.AgentID)
		}
	}
	page, err := url.Parse(c.URL)
	switch {
	case known == nil:
		return JSVerdict{40013, call + ":invalid corpid"}
	case c.AgentID != 0 && owner.agent == nil:
		return JSVerdict{40056, call + ":invalid agentid"}
	case err != nil || !trusts(known, owner.agent, page.Host):
		return JSVerdict{80001, call + ":invalid url domain"}
	}
	return s.judgeSignature(c, call, owner)
}

// trusts says whether the app, or any app of the corp, has the host as its trusted domain.
func trusts(c *corp, agent *App, host string) bool {
	return slices.ContainsFunc(c.agents, func(a *App) bool { return (agent == nil || a == agent) && a.hasDomain(host) })
}

func (s *Server) judgeSignature(c JSConfig, call string, owner ticketOwner) JSVerdict {
	const more = " more info at https://open.work.weixin.qq.com/devtool/query?e="
	verdict := JSVerdict{40093, call + ":invalid signature" + more + "40093"}
	for whose, tickets := range s.wecom.jsTickets.alive(s.now()) {
		for _, ticket := range tickets {
			if subtle.ConstantTimeCompare([]byte(wecomSignature(ticket, c)), []byte(c.Signature)) != 1 {
				continue
			}
			if whose == owner {
				return JSVerdict{0, call + ":ok"}
			}
			verdict = JSVerdict{42012, call + ":" + wecomErrorText(42012) + more + "42012"}
		}
	}
	return verdict
}

// wecomSignature is the lower-case hex SHA-1 over raw values in this order, the address without its fragment (documented).
func wecomSignature(ticket string, c JSConfig) string {
	address, _, _ := strings.Cut(c.URL, "#")
	sum := sha1.Sum([]byte("jsapi_ticket=" + ticket + "&noncestr=" + c.NonceStr + "&timestamp=" + c.Timestamp + "&url=" + address))
	return hex.EncodeToString(sum[:])
}
