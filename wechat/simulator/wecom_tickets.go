package simulator

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const corpTicketLife = 2 * time.Hour // documented, §8

// corpTickets keeps the jsapi_tickets of corps and of apps.
type corpTickets struct {
	mu    sync.Mutex
	byOwn map[ticketOwner][]corpTicket // newest last
}

// ticketOwner is a corp, or one app of it.
type ticketOwner struct {
	corpID string
	agent  *App // nil for the corp's ticket
}

type corpTicket struct {
	value   string
	expires time.Time
}

func (t *corpTickets) init() { t.byOwn = map[ticketOwner][]corpTicket{} }

// get gives the ticket that owner has, or a new one beside it.
func (t *corpTickets) get(owner ticketOwner, fresh bool, now time.Time) corpTicket {
	t.mu.Lock()
	defer t.mu.Unlock()
	alive := slices.DeleteFunc(t.byOwn[owner], func(j corpTicket) bool { return !now.Before(j.expires) })
	if len(alive) == 0 || fresh {
		alive = append(alive, corpTicket{value: newWeComSecret(64), expires: now.Add(corpTicketLife)}) // 86 characters, as observed
	}
	t.byOwn[owner] = alive
	return alive[len(alive)-1]
}

// alive lists the good tickets of each owner.
func (t *corpTickets) alive(now time.Time) map[ticketOwner][]string {
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
	answerWeCom(w, field{"ticket", ticket.value}, field{"expires_in", s.expiresIn(ticket.expires, corpTicketLife, now)})
}

// judgeCorpPage judges the signature of wx.config or wx.agentConfig as WeCom's client does (§8): 40093 for a wrong one,
// 42012 for one made with the ticket of the corp instead of the app's, of another app, or the other way round, and
// "invalid url domain" for a page outside the trusted domain, whose port counts.
func (s *Server) judgeCorpPage(c pageConfig) pageVerdict {
	known := s.wecom.corps[c.AppID]
	owner := ticketOwner{corpID: known.id}
	if c.Call == "agentConfig" {
		id, err := strconv.Atoi(c.AgentID.String())
		if err != nil || id <= 0 || known.agent(id) == nil {
			return pageVerdict{ErrCode: 40056, ErrMsg: c.Call + ":" + wecomErrorText(40056)}
		}
		owner.agent = known.agent(id)
	}
	if page, err := url.Parse(c.URL); err != nil || !trusts(known, owner.agent, page.Host) {
		return pageVerdict{ErrCode: 80001, ErrMsg: c.Call + ":invalid url domain"}
	}
	address, _, _ := strings.Cut(c.URL, "#")
	errcode := 40093
	for whose, tickets := range s.wecom.jsTickets.alive(s.now()) {
		for _, ticket := range tickets {
			want := jsSignature(ticket, c.NonceStr, c.Timestamp.String(), address)
			switch same := subtle.ConstantTimeCompare([]byte(want), []byte(c.Signature)) == 1; {
			case same && whose == owner:
				return pageVerdict{ErrMsg: c.Call + ":ok"}
			case same:
				errcode = 42012
			}
		}
	}
	return pageVerdict{ErrCode: errcode, ErrMsg: fmt.Sprintf("%s:%s more info at https://open.work.weixin.qq.com/devtool/query?e=%d",
		c.Call, wecomErrorText(errcode), errcode)}
}

// trusts says whether the app, or any app of the corp, has the host as its trusted domain.
func trusts(c *corp, agent *App, host string) bool {
	return slices.ContainsFunc(c.agents, func(a *App) bool { return (agent == nil || a == agent) && a.hasDomain(host) })
}
