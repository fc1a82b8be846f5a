package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
)

// The simulator's control routes.

const (
	pathAccessToken = "/sns/oauth2/access_token"
	pathRefresh     = "/sns/oauth2/refresh_token"
	pathUserInfo    = "/sns/userinfo"
	pathJSCode      = "/sns/jscode2session"
)

type people struct {
	Apps   []struct{ Provider, AppID string } `json:"apps"`
	People []struct {
		Name     string    `json:"name"`
		Accounts []account `json:"accounts"`
	} `json:"people"`
}

type account struct {
	Provider string `json:"provider"`
	AppID    string `json:"appid"`
	OpenID   string `json:"openid"`
	UnionID  string `json:"unionid"`
}

// account is what an app of that provider calls a member of the cast.
func (p *product) account(t testing.TB, person, provider string) account {
	t.Helper()
	var all people
	p.control(t, http.MethodGet, "/_simulator/people", nil, &all)
	for _, candidate := range all.People {
		for _, a := range candidate.Accounts {
			if candidate.Name == person && a.Provider == provider {
				return a
			}
		}
	}
	t.Fatalf("the simulator lists no %s account of %s", provider, person)
	return account{}
}

type fault struct {
	Path      string `json:"path"`
	ErrCode   int    `json:"errcode,omitempty"`
	LatencyMS int    `json:"latency_ms,omitempty"`
	Mode      string `json:"mode,omitempty"`
	Times     *int   `json:"times,omitempty"`
	After     bool   `json:"after,omitempty"`
}

func (f fault) String() string {
	s := f.Path
	if f.ErrCode != 0 {
		s += fmt.Sprintf(" errcode %d", f.ErrCode)
	}
	if f.LatencyMS != 0 {
		s += fmt.Sprintf(" latency %d ms", f.LatencyMS)
	}
	if f.Mode != "" {
		s += " " + f.Mode
	}
	if f.After {
		s += " after"
	}
	return s
}

// always makes a fault stay until it is cleared.
func (f fault) always() fault {
	f.Times = new(int)
	return f
}

func (p *product) fault(t testing.TB, f fault) {
	t.Helper()
	p.control(t, http.MethodPut, "/_simulator/faults", f, nil)
}

func (p *product) clearFaults(t testing.TB) {
	t.Helper()
	p.control(t, http.MethodDelete, "/_simulator/faults", nil, nil)
}

func (p *product) advance(t testing.TB, by string) {
	t.Helper()
	p.control(t, http.MethodPost, "/_simulator/clock", map[string]string{"advance": by}, nil)
}

func (p *product) set(t testing.TB, name, choice string) {
	t.Helper()
	p.control(t, http.MethodPut, "/_simulator/switches", map[string]string{name: choice}, nil)
}

// calls is how often each WeChat path was called so far.
func (p *product) calls(t testing.TB) map[string]int {
	t.Helper()
	var calls map[string]int
	p.control(t, http.MethodGet, "/_simulator/calls", nil, &calls)
	return calls
}

// called runs do, and gives how many calls of path it caused.
func (p *product) called(t testing.TB, path string, do func()) int {
	t.Helper()
	before := p.calls(t)[path]
	do()
	return p.calls(t)[path] - before
}

// jsCode is what wx.login gives that person.
func (p *product) jsCode(t testing.TB, person string) string {
	t.Helper()
	code, err := p.newJSCode(person)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func (p *product) newJSCode(person string) (string, error) {
	var answer struct{ Code string }
	err := p.tryControl(http.MethodPost, "/_simulator/js-code",
		map[string]string{"person": person, "appid": p.mini.AppID}, &answer)
	if err == nil && answer.Code == "" {
		err = fmt.Errorf("no js code for %s", person)
	}
	return answer.Code, err
}

func (p *product) control(t testing.TB, method, path string, in, out any) {
	t.Helper()
	if err := p.tryControl(method, path, in, out); err != nil {
		t.Fatal(err)
	}
}

func (p *product) tryControl(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, p.simulator+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// exchange spends an official-account code as the app's own backend would, past the bridge.
func (p *product) exchange(code string) (openID string, err error) {
	answer, err := p.ask(pathAccessToken, url.Values{"appid": {p.official.AppID}, "secret": {p.official.Secret},
		"code": {code}, "grant_type": {"authorization_code"}})
	if err != nil {
		return "", err
	}
	if answer.OpenID == "" {
		return "", fmt.Errorf("code %.6s… is refused: %d %s", code, answer.ErrCode, answer.ErrMsg)
	}
	return answer.OpenID, nil
}

type snsAnswer struct {
	OpenID     string `json:"openid"`
	SessionKey string `json:"session_key"`
	ErrCode    int    `json:"errcode"`
	ErrMsg     string `json:"errmsg"`
}

// ask calls a WeChat path of the simulator.
func (p *product) ask(path string, query url.Values) (answer snsAnswer, err error) {
	res, err := p.http.Get(p.simulator + path + "?" + query.Encode())
	if err != nil {
		return answer, err
	}
	defer res.Body.Close()
	return answer, json.NewDecoder(res.Body).Decode(&answer)
}
