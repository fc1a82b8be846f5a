package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// mountControl adds the control routes: JSON in, JSON out, 400 {"error": …} for what is not understood.
func (s *Server) mountControl(mux *http.ServeMux) {
	mux.HandleFunc("GET /_simulator/people", s.handlePeople)
	mux.HandleFunc("POST /_simulator/js-code", ownPagesOnly(s.handleJSCode))
	mux.HandleFunc("GET /_simulator/faults", s.handleListFaults)
	mux.HandleFunc("PUT /_simulator/faults", ownPagesOnly(s.handleSetFault))
	mux.HandleFunc("DELETE /_simulator/faults", ownPagesOnly(s.handleClearFaults))
	mux.HandleFunc("GET /_simulator/clock", s.handleReadClock)
	mux.HandleFunc("POST /_simulator/clock", ownPagesOnly(s.handleClock))
	mux.HandleFunc("GET /_simulator/calls", s.handleCalls)
	mux.HandleFunc("GET /_simulator/switches", s.handleListSwitches)
	mux.HandleFunc("PUT /_simulator/switches", ownPagesOnly(s.handleSetSwitches))
	mux.HandleFunc("GET /_simulator/user-agents", s.handleUserAgents)
}

// ownPagesOnly keeps other sites that the developer's browser shows from driving the simulator. Programs send no
// Sec-Fetch-Site and pass.
func ownPagesOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Sec-Fetch-Site") {
		case "", "same-origin", "none":
			next(w, r)
		default:
			writeControl(w, http.StatusForbidden, controlError{"requests from pages of other origins are refused"})
		}
	}
}

type controlError struct {
	Error string `json:"error"`
}

type peopleReply struct {
	Apps   []appEntryReply `json:"apps"`
	People []personReply   `json:"people"`
}

type appEntryReply struct {
	Provider string `json:"provider"`
	AppID    string `json:"appid"`
}

type personReply struct {
	Name     string         `json:"name"`
	Accounts []accountReply `json:"accounts"`
}

type accountReply struct {
	Provider string `json:"provider"`
	AppID    string `json:"appid"`
	OpenID   string `json:"openid"`
	UnionID  string `json:"unionid,omitempty"`
}

// handlePeople lists the cast; ?name=, once or more, adds other people.
func (s *Server) handlePeople(w http.ResponseWriter, r *http.Request) {
	names := append(castNames(), orgNames()[1:]...) // both have wei
	for _, name := range r.URL.Query()["name"] {
		if !validName(name) {
			badControl(w, errBadName)
			return
		}
		names = append(names, name)
	}
	apps := s.sortedApps()
	reply := peopleReply{Apps: []appEntryReply{}}
	for _, app := range apps {
		reply.Apps = append(reply.Apps, appEntryReply{Provider: app.Provider, AppID: app.AppID})
	}
	for _, c := range s.sortedCorps() {
		reply.Apps = append(reply.Apps, appEntryReply{Provider: ProviderWeCom, AppID: c.id})
	}
	for _, name := range names {
		p := personReply{Name: name}
		for _, app := range apps {
			who := account{person: name}
			s.meet(app, name)
			p.Accounts = append(p.Accounts, accountReply{
				Provider: app.Provider, AppID: app.AppID, OpenID: who.openID(app), UnionID: who.unionID(app),
			})
		}
		p.Accounts = append(p.Accounts, s.corpAccounts(name)...)
		reply.People = append(reply.People, p)
	}
	writeControl(w, http.StatusOK, reply)
}

// handleJSCode gives what wx.login() gives.
func (s *Server) handleJSCode(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Person string `json:"person"`
		AppID  string `json:"appid"`
	}
	if err := readControl(w, r, &body); err != nil {
		badControl(w, err)
		return
	}
	code, err := s.JSCode(body.AppID, body.Person)
	if err != nil {
		badControl(w, err)
		return
	}
	writeControl(w, http.StatusOK, struct {
		Code string `json:"code"`
	}{code})
}

func (s *Server) handleListFaults(w http.ResponseWriter, _ *http.Request) {
	s.faults.mu.Lock()
	list := []Fault{}
	for _, path := range wechatPaths() {
		if a := s.faults.list[path]; a != nil {
			f := a.Fault
			left := max(a.left, 0)
			f.Times = &left
			list = append(list, f)
		}
	}
	s.faults.mu.Unlock()
	writeControl(w, http.StatusOK, struct {
		Faults []Fault `json:"faults"`
	}{list})
}

func (s *Server) handleSetFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	err := readControl(w, r, &f)
	if err == nil {
		err = s.SetFault(f)
	}
	if err != nil {
		badControl(w, err)
		return
	}
	s.cfg.Logger.Info("fault set", "path", f.Path, "errcode", f.ErrCode, "mode", f.Mode, "latency_ms", f.LatencyMS)
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) handleClearFaults(w http.ResponseWriter, _ *http.Request) {
	s.ClearFaults()
	w.WriteHeader(http.StatusNoContent)
}

type clockReply struct {
	Now time.Time `json:"now"`
}

func (s *Server) handleReadClock(w http.ResponseWriter, _ *http.Request) {
	writeControl(w, http.StatusOK, clockReply{s.now().UTC()})
}

// handleClock moves the simulator's clock on. It never goes back, because codes and tokens are kept in order of time.
func (s *Server) handleClock(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Advance string `json:"advance"`
	}
	if err := readControl(w, r, &body); err != nil {
		badControl(w, err)
		return
	}
	d, err := time.ParseDuration(body.Advance)
	if err != nil || d <= 0 || d > 10*365*24*time.Hour {
		badControl(w, fmt.Errorf(`advance %q: want a duration such as "6m" or "31h", more than 0 and at most 87600h`, body.Advance))
		return
	}
	s.Advance(d)
	s.handleReadClock(w, r)
}

func (s *Server) handleCalls(w http.ResponseWriter, _ *http.Request) {
	writeControl(w, http.StatusOK, s.calls.counts())
}

func (s *Server) handleListSwitches(w http.ResponseWriter, _ *http.Request) {
	writeControl(w, http.StatusOK, struct {
		Switches []Switch `json:"switches"`
	}{s.switches.list()})
}

func (s *Server) handleSetSwitches(w http.ResponseWriter, r *http.Request) {
	var choices map[string]string
	err := readControl(w, r, &choices)
	if err == nil && len(choices) == 0 {
		err = errors.New(`no switch named; want {"name": "choice"}`)
	}
	ipBefore := s.switches.choice(switchWeComTrustedIP)
	if err == nil {
		err = s.switches.set(choices)
	}
	if err != nil {
		badControl(w, err)
		return
	}
	s.wecom.ipListedAt.note(ipBefore, s.switches.choice(switchWeComTrustedIP), s.now())
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) handleUserAgents(w http.ResponseWriter, _ *http.Request) {
	writeControl(w, http.StatusOK, struct {
		UserAgents []UserAgent `json:"user_agents"`
	}{UserAgents()})
}

// readControl decodes one JSON value of at most 64 KiB; unknown fields are refused. The content type is not looked at.
func readControl(w http.ResponseWriter, r *http.Request, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("body: want JSON, got nothing")
		}
		return fmt.Errorf("body: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("body: more than one JSON value")
	}
	return nil
}

func badControl(w http.ResponseWriter, err error) {
	writeControl(w, http.StatusBadRequest, controlError{err.Error()})
}

func writeControl(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // the XML of an event stays readable
	enc.Encode(v)
}
