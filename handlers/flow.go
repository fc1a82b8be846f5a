package handlers

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

const (
	flowLife    = 10 * time.Minute // FLW-04
	maxFlows    = 3                // a browser may log in from so many tabs at once (FLW-03)
	maxClears   = 16               // flow cookies cleared by one answer
	flowPurpose = "flow"
)

// flow is one login attempt, sealed into a cookie of the browser that made it: whoever brings state back without this
// cookie did not start here (FLW-02). After it has ended the same cookie holds its mark: an outcome and where it led.
// A mark is never a credential.
type flow struct {
	State    string  `json:"s"`
	ReturnTo string  `json:"r"` // checked when the flow was made (RET-05)
	Provider string  `json:"p"`
	App      string  `json:"a"`
	Scope    string  `json:"c"`
	Started  int64   `json:"t"`           // Unix seconds
	Tapped   int64   `json:"g,omitempty"` // Unix seconds of the tap on the register page
	Known    bool    `json:"k,omitempty"` // the fan is known and logged in; WeChat is asked for a newer profile only
	Again    bool    `json:"n,omitempty"` // this flow is the one restart
	Outside  bool    `json:"x,omitempty"` // the browser is neither WeChat's nor WeCom's: a code to scan
	Outcome  outcome `json:"o,omitempty"`

	// Openid of a follower, as the silent login before the register page has learned. It says nothing of anybody else.
	Follower string `json:"f,omitempty"`

	// What the code of a scan says, if WeChat made it.
	Shows string `json:"q,omitempty"`
}

type outcome string

const (
	pending  outcome = ""
	landed   outcome = "landed"
	register outcome = "register"
	stranger outcome = "stranger" // not a member of the corp
	barred   outcome = "barred"   // a member who may not
)

// errNoFlow says that the browser has no such flow.
var errNoFlow = errors.New("no such flow in this browser")

// start gives the flow a state, and the browser its cookie. The oldest flows go when there are too many.
func (s *Server) startFlow(c *gin.Context, f flow) (flow, error) {
	f.State = rand.Text()
	f.Started = s.cfg.Now().Unix()
	f.Outcome = pending
	if err := s.putFlow(c, f); err != nil {
		return flow{}, err
	}
	s.trimFlows(c, maxFlows-1)
	return f, nil
}

// markFlow replaces a flow by its mark, for the rest of its life (WEB-02).
func (s *Server) markFlow(c *gin.Context, f flow, o outcome) error {
	f.Outcome = o
	return s.putFlow(c, f)
}

// flowOf finds the flow of this browser that state belongs to, or errNoFlow. A cookie that is repeated, altered, expired
// or sealed for another state counts as none.
func (s *Server) flowOf(r *http.Request, state string) (flow, error) {
	if len(state) < 8 {
		return flow{}, errNoFlow
	}
	var found *flow
	for _, cookie := range r.Cookies() {
		if cookie.Name != s.flowName(state) {
			continue
		}
		if found != nil {
			return flow{}, errNoFlow
		}
		f, err := s.openFlow(cookie)
		if err != nil || subtle.ConstantTimeCompare([]byte(f.State), []byte(state)) != 1 {
			return flow{}, errNoFlow
		}
		found = &f
	}
	if found == nil {
		return flow{}, errNoFlow
	}
	return *found, nil
}

// newestFlow is the latest flow of this browser with the given outcome.
func (s *Server) newestFlow(r *http.Request, o outcome) (flow, bool) {
	var newest flow
	for _, cookie := range r.Cookies() {
		f, err := s.openFlow(cookie)
		if err == nil && f.Outcome == o && f.Started >= newest.Started {
			newest = f
		}
	}
	return newest, newest.State != ""
}

func (s *Server) flowName(state string) string { return s.cookies.flow + state[:8] }

func (s *Server) putFlow(c *gin.Context, f flow) error {
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false) // \u0026 for & would make long return addresses six times as long
	if err := encoder.Encode(f); err != nil {
		return errServer.because(err)
	}
	name := s.flowName(f.State)
	left := flowLife - s.cfg.Now().Sub(time.Unix(f.Started, 0))
	s.setCookie(c, &http.Cookie{Name: name, Value: s.cfg.Box.SealText(flowPurpose, plain.Bytes(), []byte(name)),
		MaxAge: seconds(left), HttpOnly: true})
	return nil
}

func (s *Server) openFlow(cookie *http.Cookie) (flow, error) {
	if !strings.HasPrefix(cookie.Name, s.cookies.flow) {
		return flow{}, errNoFlow
	}
	plain, err := s.cfg.Box.OpenText(flowPurpose, cookie.Value, []byte(cookie.Name))
	if err != nil {
		return flow{}, errNoFlow
	}
	var f flow
	if err := json.Unmarshal(plain, &f); err != nil {
		return flow{}, errNoFlow
	}
	if age := s.cfg.Now().Sub(time.Unix(f.Started, 0)); age >= flowLife || age < -time.Minute {
		return flow{}, errNoFlow
	}
	return f, nil
}

// trimFlows clears all but the newest keep flows that the browser brought, and whatever only looks like one.
func (s *Server) trimFlows(c *gin.Context, keep int) {
	type named struct {
		name    string
		started int64
	}
	var flows []named
	for _, cookie := range c.Request.Cookies() {
		if strings.HasPrefix(cookie.Name, s.cookies.flow) {
			f, _ := s.openFlow(cookie) // a flow that does not open is as old as can be
			flows = append(flows, named{cookie.Name, f.Started})
		}
	}
	slices.SortStableFunc(flows, func(a, b named) int { return cmp.Compare(b.started, a.started) })
	for i, f := range flows {
		if f.started != 0 && i < keep {
			continue
		}
		if i-keep >= maxClears {
			return
		}
		s.clearFlow(c, f.name)
	}
}

func (s *Server) clearFlow(c *gin.Context, name string) {
	s.setCookie(c, &http.Cookie{Name: name, MaxAge: -1, HttpOnly: true})
}
