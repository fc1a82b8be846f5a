package simulator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat/simulator"
)

const site = "http://127.0.0.1:9/callback" // nothing listens there; most tests only look at the redirect

// world is a simulator on a real port and a client that follows nothing.
type world struct {
	t              *testing.T
	sim            *simulator.Server
	url            string
	official, mini simulator.App
	website        simulator.App
}

func newWorld(t *testing.T, changes ...func(*simulator.Config)) *world {
	t.Helper()
	apps := simulator.DevApps("127.0.0.1")
	srv := httptest.NewUnstartedServer(nil)
	cfg := simulator.Config{
		Apps:      apps,
		PublicURL: "http://" + srv.Listener.Addr().String(),
		Logger:    slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, change := range changes {
		change(&cfg)
	}
	sim, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv.Config.Handler = sim
	srv.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(t.Output(), nil), slog.LevelError)
	srv.Start()
	t.Cleanup(srv.Close)
	return &world{t: t, sim: sim, url: srv.URL, official: apps[0], mini: apps[1], website: apps[2]}
}

// stoppedClock lets only the tests move the simulator's clock.
func stoppedClock(c *simulator.Config) {
	at := time.Date(2026, 9, 17, 10, 0, 0, 0, time.UTC)
	c.Now = func() time.Time { return at }
}

// answer is a reply read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

func (w *world) do(method, path string, body string, header map[string]string) answer {
	w.t.Helper()
	a, err := w.try(method, path, body, header)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) try(method, path string, body string, header map[string]string) (answer, error) {
	req, err := http.NewRequest(method, w.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	client := &http.Client{
		// No kept connections: net/http repeats a GET by itself when a kept connection is reset, and a fault would be
		// played on the repetition.
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

func (w *world) get(path string) answer { w.t.Helper(); return w.do("GET", path, "", nil) }

// control calls a control route and wants a 2xx.
func (w *world) control(method, path string, body any) answer {
	w.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := w.do(method, "/_simulator/"+path, string(text), nil)
	if a.status/100 != 2 {
		w.t.Fatalf("%s %s %s: %d %s", method, path, text, a.status, a.body)
	}
	return a
}

func (w *world) flip(name, choice string) {
	w.t.Helper()
	w.control("PUT", "switches", map[string]string{name: choice})
}
func (w *world) advance(d string) {
	w.t.Helper()
	w.control("POST", "clock", map[string]string{"advance": d})
}
func (w *world) fault(f map[string]any) { w.t.Helper(); w.control("PUT", "faults", f) }

// link is a documented authorize link, with extra parameters after state.
func (w *world) link(redirect, scope, state string, extra ...string) string {
	link := fmt.Sprintf("/connect/oauth2/authorize?appid=%s&redirect_uri=%s&response_type=code&scope=%s&state=%s",
		w.official.AppID, url.QueryEscape(redirect), scope, state)
	return strings.Join(append([]string{link}, extra...), "&")
}

// as opens an authorize link with somebody holding the phone; more are further headers, name and value in turn.
func (w *world) as(name, link string, more ...string) answer {
	w.t.Helper()
	header := map[string]string{"X-Simulator-Person": name}
	for i := 0; i < len(more); i += 2 {
		header[more[i]] = more[i+1]
	}
	return w.do("GET", link, "", header)
}

// back reads the callback out of a redirect.
func (a answer) back(t *testing.T) url.Values {
	t.Helper()
	if a.status != http.StatusFound && a.status != http.StatusSeeOther {
		t.Fatalf("want a redirect, got %d %s", a.status, a.body)
	}
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// page wants a page with the element id.
func (a answer) page(t *testing.T, id string) {
	t.Helper()
	if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		t.Fatalf("want a page, got %d %s", a.status, a.header.Get("Content-Type"))
	}
	if !strings.Contains(a.body, `id="`+id+`"`) {
		t.Fatalf("want the page %q, got\n%s", id, a.body)
	}
}

// errorPage wants the error page with a code; 0 is a page without one.
func (a answer) errorPage(t *testing.T, code int, text string) {
	t.Helper()
	a.page(t, "error")
	if !strings.Contains(a.body, fmt.Sprintf(`data-errcode="%d"`, code)) || !strings.Contains(a.body, text) {
		t.Fatalf("want error %d %q, got\n%s", code, text, a.body)
	}
}

// attributes lists the values of an attribute in a page, in order.
func (a answer) attributes(element, attribute string) []string {
	var values []string
	for _, m := range regexp.MustCompile(element+`[^>]*?\b`+attribute+`="([^"]*)"`).FindAllStringSubmatch(a.body, -1) {
		values = append(values, html.UnescapeString(m[1]))
	}
	return values
}

// json decodes the answer of an API; the content type is not looked at.
func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	dec := json.NewDecoder(bytes.NewReader([]byte(a.body)))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("decode %q: %v", a.body, err)
	}
	return v
}

// errcode wants a failure and returns its text.
func (a answer) errcode(t *testing.T, want int) string {
	t.Helper()
	v := a.json(t)
	if got := fmt.Sprint(v["errcode"]); got != fmt.Sprint(want) {
		t.Fatalf("want errcode %d, got %s", want, a.body)
	}
	return v["errmsg"].(string)
}

// granted goes through the authorize page, consenting by header, and returns the code.
func (w *world) granted(name, scope string, extra ...string) string {
	w.t.Helper()
	code := w.as(name, w.link(site, scope, "s", extra...), "X-Simulator-Consent", "allow").back(w.t).Get("code")
	if code == "" {
		w.t.Fatal("no code")
	}
	return code
}

func (w *world) exchangePath(code string) string {
	return "/sns/oauth2/access_token?" + url.Values{
		"appid": {w.official.AppID}, "secret": {w.official.Secret}, "code": {code}, "grant_type": {"authorization_code"},
	}.Encode()
}

func (w *world) exchange(code string) answer { w.t.Helper(); return w.get(w.exchangePath(code)) }

func (w *world) refresh(token any) answer {
	w.t.Helper()
	return w.get("/sns/oauth2/refresh_token?" + url.Values{
		"appid": {w.official.AppID}, "grant_type": {"refresh_token"}, "refresh_token": {fmt.Sprint(token)},
	}.Encode())
}

// bearer calls userinfo or auth with the token and openid of a token answer.
func (w *world) bearer(path string, token map[string]any) answer {
	w.t.Helper()
	return w.get(path + "?" + url.Values{
		"access_token": {fmt.Sprint(token["access_token"])}, "openid": {fmt.Sprint(token["openid"])}, "lang": {"zh_CN"},
	}.Encode())
}

func (w *world) jsCode(appid, name string) string {
	w.t.Helper()
	return w.control("POST", "js-code", map[string]string{"person": name, "appid": appid}).json(w.t)["code"].(string)
}

func (w *world) session(code string) answer {
	w.t.Helper()
	return w.get("/sns/jscode2session?" + url.Values{
		"appid": {w.mini.AppID}, "secret": {w.mini.Secret}, "js_code": {code}, "grant_type": {"authorization_code"},
	}.Encode())
}

// account is what /_simulator/people says of somebody in one app.
func (w *world) account(name, appid string) (openid, unionid string) {
	w.t.Helper()
	var reply struct {
		People []struct {
			Name     string
			Accounts []struct{ AppID, OpenID, UnionID string }
		}
	}
	if err := json.Unmarshal([]byte(w.get("/_simulator/people?name="+url.QueryEscape(name)).body), &reply); err != nil {
		w.t.Fatal(err)
	}
	for _, p := range reply.People {
		for _, a := range p.Accounts {
			if p.Name == name && a.AppID == appid {
				return a.OpenID, a.UnionID
			}
		}
	}
	w.t.Fatalf("no account of %s in %s", name, appid)
	return "", ""
}
