package simulator

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const pathTicket = "/cgi-bin/ticket/getticket"

const (
	jsTicketLife = 2 * time.Hour // documented (wechat-protocol §3.1)
	// jsTicketGood is how long a page's signature with a ticket is accepted. One still worked three hours after it was
	// issued (observed), so a ticket that was fetched late and kept for 7200 seconds fails at the end.
	jsTicketGood = 3 * time.Hour
)

// jsTicket is one ticket of an official account.
type jsTicket struct {
	value  string
	issued time.Time
}

type ticketReply struct {
	errorReply
	Ticket    string `json:"ticket"`
	ExpiresIn int    `json:"expires_in"`
}

// handleTicket is GET /cgi-bin/ticket/getticket: the same ticket for two hours, with 7200 in every answer or, by switch,
// what is left (observed, wechat-protocol §3.1).
func (s *Server) handleTicket(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingAccount(r)
	kind := r.URL.Query().Get("type")
	if errcode == 0 && kind != "jsapi" && kind != "wx_card" {
		errcode = 40097 // assumed
	}
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	ticket, left := s.jsTicket(app.AppID, kind)
	reply := ticketReply{errorReply: okReply(), Ticket: ticket, ExpiresIn: int(jsTicketLife / time.Second)}
	if s.switches.choice(switchTicketLife) == "remaining" {
		reply.ExpiresIn = int(left / time.Second)
	}
	writeCGI(w, reply)
}

// jsTicket is the owner's current ticket of a kind, made if there is none, and what is left of its time. A new one does
// not kill the one before (observed).
func (s *Server) jsTicket(owner, kind string) (string, time.Duration) {
	now := s.now()
	var current jsTicket
	renew := func(tickets *[]jsTicket) {
		if len(*tickets) == 0 || now.Sub((*tickets)[0].issued) >= jsTicketLife {
			fresh := []jsTicket{{value: newJSTicket(), issued: now}}
			*tickets = append(fresh, (*tickets)[:min(len(*tickets), 1)]...)
		}
		current = (*tickets)[0]
	}
	s.jsTicketMaking.Lock() // so that two first calls at once get one ticket
	defer s.jsTicketMaking.Unlock()
	if key := owner + " " + kind; !s.jsTickets.change(key, renew) {
		var tickets []jsTicket
		renew(&tickets)
		s.jsTickets.put(key, tickets, now)
	}
	return current.value, jsTicketLife - now.Sub(current.issued)
}

// goodTickets lists the tickets that a page of the owner may have been signed with.
func (s *Server) goodTickets(owner, kind string) []string {
	tickets, _ := s.jsTickets.get(owner + " " + kind)
	var good []string
	for _, t := range tickets {
		if s.now().Sub(t.issued) < jsTicketGood {
			good = append(good, t.value)
		}
	}
	return good
}

// newJSTicket has 86 characters (observed, wechat-protocol §0.3).
func newJSTicket() string {
	var b [64]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// pageConfig is what wx.config of jweixin.js sends to POST /_simulator/jssdk-config.
type pageConfig struct {
	Call      string      `json:"call"`              // "config", or WeCom's "agentConfig"
	AppID     string      `json:"appId"`             // or corpid
	AgentID   json.Number `json:"agentid,omitempty"` // of agentConfig
	Timestamp json.Number `json:"timestamp"`         // WeChat takes a number; a text of digits works too (assumed)
	NonceStr  string      `json:"nonceStr"`
	Signature string      `json:"signature"`
	URL       string      `json:"url"` // of the page: without its fragment, and on iOS the one it was entered by
}

// pageVerdict is its answer.
type pageVerdict struct {
	ErrCode     int      `json:"errcode,omitempty"` // of WeCom
	ErrMsg      string   `json:"errMsg"`
	RealAuthURL []string `json:"realAuthUrl,omitempty"` // with a wrong signature: what was checked (observed)
}

// pageOwner is who a page of an appid belongs to.
type pageOwner struct {
	tickets []string // any of which may have signed it
	domains []string // its host must be one of these
}

// pageOwnerOf finds the owner for a call of the JS-SDK; ok is false if the appid has no such call.
func (s *Server) pageOwnerOf(c pageConfig) (owner pageOwner, ok bool) {
	app := s.apps[c.AppID]
	if c.Call != "config" || app == nil || app.Provider != ProviderOfficialAccount {
		return pageOwner{}, false
	}
	return pageOwner{tickets: s.goodTickets(app.AppID, "jsapi"), domains: app.JSDomains}, true
}

// handlePageConfig judges a page's wx.config. Any page may ask: it learns nothing that it did not send.
func (s *Server) handlePageConfig(w http.ResponseWriter, r *http.Request) {
	allowPages(w)
	var c pageConfig
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)) // further fields are the page's own affair
	if err := dec.Decode(&c); err != nil {
		badControl(w, fmt.Errorf("body: %w", err))
		return
	}
	if s.wecom.corps[c.AppID] != nil && (c.Call == "config" || c.Call == "agentConfig") {
		writeControl(w, http.StatusOK, s.judgeCorpPage(c))
		return
	}
	writeControl(w, http.StatusOK, s.judgePage(c))
}

// judgePage checks in this order: appid, domain, signature (assumed).
func (s *Server) judgePage(c pageConfig) pageVerdict {
	owner, ok := s.pageOwnerOf(c)
	if !ok {
		return pageVerdict{ErrMsg: c.Call + ":invalid appid"} // assumed wording
	}
	page, err := url.Parse(c.URL)
	if err != nil || !s.pageAllowed(owner.domains, page) {
		return pageVerdict{ErrMsg: s.pageRefusal(c.Call, "40048", "invalid url domain")}
	}
	signed, _, _ := strings.Cut(c.URL, "#")
	for _, ticket := range owner.tickets {
		want := jsSignature(ticket, c.NonceStr, c.Timestamp.String(), signed)
		if subtle.ConstantTimeCompare([]byte(want), []byte(c.Signature)) == 1 {
			return pageVerdict{ErrMsg: c.Call + ":ok"}
		}
	}
	return pageVerdict{ErrMsg: s.pageRefusal(c.Call, "63002", "invalid signature"), RealAuthURL: []string{signed}}
}

// pageRefusal is seen in a short form, and for the domain in a long one with its errcode (observed, wechat-protocol
// §3.3; the long form of the signature is assumed).
func (s *Server) pageRefusal(call, errcode, text string) string {
	wording := s.switches.choice(switchJSWording)
	if wording == "long" || wording != "short" && errcode == "40048" {
		return call + ":fail,Error: 系统错误,错误码:" + errcode + "," + text
	}
	return call + ":" + text
}

// pageAllowed compares the page's host with the configured ones; whether a domain covers its sub-domains is disputed
// (wechat-protocol §3.3). Ports are left out, as with redirect_uri.
func (s *Server) pageAllowed(domains []string, page *url.URL) bool {
	host := strings.ToLower(page.Hostname())
	if page.Scheme != "http" && page.Scheme != "https" || host == "" {
		return false
	}
	return slices.ContainsFunc(domains, func(domain string) bool {
		return host == domain || s.switches.choice(switchJSDomain) == "parent" && strings.HasSuffix(host, "."+domain)
	})
}

// jsSignature is documented: SHA-1 of the four pairs in this order, values raw (wechat-protocol §3.2).
func jsSignature(ticket, nonce, timestamp, page string) string {
	sum := sha1.Sum([]byte("jsapi_ticket=" + ticket + "&noncestr=" + nonce + "&timestamp=" + timestamp + "&url=" + page))
	return hex.EncodeToString(sum[:])
}

// allowPages lets pages of every origin call: WeChat's own browser asks from within.
func allowPages(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Headers", "Content-Type")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

func handlePreflight(w http.ResponseWriter, _ *http.Request) {
	allowPages(w)
	w.WriteHeader(http.StatusNoContent)
}

//go:embed scripts
var scriptFiles embed.FS

// handleScript serves a script that sites load from WeChat.
func handleScript(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		content, err := scriptFiles.ReadFile("scripts/" + name)
		if err != nil {
			http.Error(w, "simulator: "+err.Error(), http.StatusInternalServerError)
			return
		}
		allowPages(w)
		serveText(w, "text/javascript; charset=utf-8", content)
	}
}
