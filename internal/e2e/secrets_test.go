package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"wxbridge/wechat/simulator"
)

// recorder stands between the bridge and WeChat and keeps every secret that passes.
type recorder struct {
	mu     sync.Mutex
	values map[string]map[string]bool // by field name
}

func (r *recorder) keep(field, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.values[field] == nil {
		r.values[field] = map[string]bool{}
	}
	r.values[field][value] = true
}

func (r *recorder) front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		for _, field := range []string{"secret", "corpsecret", "code", "js_code"} {
			if v := req.URL.Query().Get(field); v != "" {
				r.keep(field, v)
			}
		}
		answer := newAnswer(next, req)
		var fields map[string]any
		if json.Unmarshal(answer.body, &fields) == nil {
			for _, field := range []string{"access_token", "refresh_token", "session_key", "ticket", "user_ticket", "openid", "unionid", "url"} {
				if v, ok := fields[field].(string); ok && v != "" {
					r.keep(field, v)
				}
			}
		}
		answer.send(w)
	})
}

// answer is a recorded answer of a handler.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func newAnswer(h http.Handler, req *http.Request) *answer {
	a := &answer{status: http.StatusOK, header: http.Header{}}
	h.ServeHTTP(a, req)
	return a
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { a.body = append(a.body, b...); return len(b), nil }

func (a *answer) send(w http.ResponseWriter) {
	copyHeader(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// transcript collects every answer of the bridge.
type transcript struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (s *transcript) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(body))
	if !strings.HasPrefix(req.URL.Path, "/connect/") && !strings.HasPrefix(req.URL.Path, "/_simulator/") && !strings.HasPrefix(req.URL.Path, "/sns/") {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = res.Header.Write(&s.all)
		s.all.Write(body)
	}
	return res, err
}

func TestWX01_WX03_LOG01_SecretsStayInside(t *testing.T) {
	rec := &recorder{values: map[string]map[string]bool{}}
	data := t.TempDir()
	database := filepath.Join(data, "w.db")
	p := startServe(t, rec.front, "WXBRIDGE_DATABASE=sqlite://"+database, "WXBRIDGE_PROFILE_POLICY=1s")
	spy := new(transcript)
	p.http.Transport = spy
	driveEverything(t, p, rec)

	secrets := map[string][]string{
		"app secret":   {p.official.Secret, p.mini.Secret, p.website.Secret},
		"bridge's own": {sealingSecret},
	}
	for _, field := range []string{"code", "js_code", "access_token", "refresh_token", "session_key", "ticket", "state", "token"} {
		if len(rec.values[field]) == 0 {
			t.Fatalf("no %s passed by; this test shows nothing", field)
		}
		for v := range rec.values[field] {
			secrets[field] = append(secrets[field], v, url.QueryEscape(v))
			if escaped, err := json.Marshal(v); err == nil {
				secrets[field] = append(secrets[field], strings.Trim(string(escaped), `"`))
			}
		}
	}
	p.end()
	t.Run("LOG-01 the log", func(t *testing.T) {
		log := p.log.String()
		for kind, values := range secrets {
			refuse(t, log, kind, values)
		}
		for _, kind := range []string{"openid", "unionid"} {
			for v := range rec.values[kind] {
				refuse(t, log, kind, []string{v})
			}
		}
		refuse(t, log, "query", []string{"code=", "state=", "return_to="})
		checkLogLines(t, log)
	})
	t.Run("WX-01 the answers", func(t *testing.T) {
		for _, kind := range []string{"app secret", "bridge's own", "session_key", "access_token", "refresh_token", "ticket", "js_code"} {
			refuse(t, spy.all.String(), kind, secrets[kind])
		}
	})
	t.Run("WX-03 the database", func(t *testing.T) {
		for _, content := range contentsOf(t, data) {
			for kind, values := range secrets {
				refuse(t, content, kind, values)
			}
			refuse(t, content, "private key", []string{"PRIVATE KEY", `"d":`, "\x30\x81\x87\x02\x01\x00\x30\x13"})
		}
	})
	t.Run("TOK-13 the claims", func(t *testing.T) {
		for token := range rec.values["token"] {
			claims := mustJSON(t, payload(t, token))
			for _, kind := range []string{"session_key", "access_token", "refresh_token", "code", "js_code", "state"} {
				refuse(t, claims, kind, secrets[kind])
			}
		}
	})
}

func refuse(t *testing.T, text, kind string, values []string) {
	t.Helper()
	for _, v := range values {
		if v != "" && strings.Contains(text, v) {
			i := strings.Index(text, v)
			t.Errorf("a %s is there: …%q…", kind, text[max(0, i-120):min(len(text), i+len(v)+40)])
			return
		}
	}
}

func checkLogLines(t *testing.T, log string) {
	t.Helper()
	for line := range strings.Lines(strings.TrimSpace(log)) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("LOG-02 not a JSON line: %q", line)
		}
		if entry["level"] == "fatal" {
			t.Errorf("LOG-02 a caller wrote into the log: %q", line)
		}
		if found := regexp.MustCompile("[\x00-\x08\x0b-\x1f\x7f\u2028\u2029\u202e]").FindString(line); found != "" {
			t.Errorf("LOG-02 %q in the log: %q", found, line)
		}
	}
}

// driveEverything goes through all flows, the good and the bad.
func driveEverything(t *testing.T, p *product, rec *recorder) {
	t.Helper()
	keepAll := func(tr trail) {
		for _, h := range tr {
			for _, at := range []*url.URL{h.url, h.next()} {
				if v := at.Query().Get("state"); len(v) > 20 {
					rec.keep("state", v)
				}
				if v := at.Query().Get("code"); len(v) > 20 {
					rec.keep("code", v)
				}
			}
			if c := h.setCookie(tokenCookie); c != nil && c.Value != "" {
				rec.keep("token", c.Value)
			}
		}
	}
	open := func(ph *phone, at string) trail {
		tr := ph.open(t, at)
		keepAll(tr)
		return tr
	}
	for _, person := range []string{"alice", "bob", "sunny", "nora", "odd-control", "odd-markup", "odd-rtl"} {
		ph := p.phone(person)
		if person == "sunny" || person == "nora" {
			ph.consent = ""
		}
		ph.header.Set("User-Agent", wechatAgent+" \u2028\",\"level\":\"fatal")
		tr, err := ph.signIn("/shop?token=kept#x")
		if err != nil {
			t.Fatal(err)
		}
		keepAll(tr)
		open(ph, "/")
		ph.once(t, "/me")
		ph.once(t, "/me/export")
		ph.once(t, "/me?access_token=x&code=y")
		ph.forgetSession()
		open(ph, "/login")
		open(ph, "/login?return_to="+url.QueryEscape("https://evil.example/\r\n\x1b\u2028\",\"level\":\"fatal"))
	}
	for range 3 {
		token := p.miniToken(t, "bob")
		rec.keep("token", token)
		p.api(t, http.MethodGet, "/me", token, "")
	}
	for _, path := range []string{pathAccessToken, pathUserInfo, pathRefresh, pathJSCode} {
		for _, f := range []fault{{ErrCode: 40125}, {ErrCode: 40164}, {ErrCode: 40029}, {ErrCode: -1}, {Mode: "malformed"},
			{Mode: "truncated"}, {Mode: "reset"}, {Mode: "html502"}, {ErrCode: 48001}} {
			f.Path = path
			p.fault(t, f.always())
			ph := p.phone("bob")
			open(ph, "/login?scope=userinfo")
			code := p.jsCode(t, "bob")
			rec.keep("js_code", code)
			p.api(t, http.MethodPost, miniLogin, "", `{"code":"`+code+`"}`)
			p.clearFaults(t)
		}
	}
	desktop := p.phone("bob")
	for range 2 {
		open(desktop, "/login/website?prompt=login&return_to=/shop%3Ftoken=kept%23x")
	}
	for _, page := range []string{p.bridge + "/?code=kept&token=kept#x", "https://evil.example/?code=kept"} {
		desktop.once(t, "/jssdk/config?url="+url.QueryEscape(page))
	}
	ph := p.phone("bob")
	ph.login(t)
	rec.keep("token", ph.session().access)
	ph.do(t, http.MethodPost, "/logout", http.Header{"Sec-Fetch-Site": {"same-origin"}}, "")
	ph.login(t)
	ph.do(t, http.MethodDelete, "/me", http.Header{"Sec-Fetch-Site": {"same-origin"}}, "")
	open(p.phone("bob"), callbackPath+"?code=a%26secret%3Db&state=%0d%0a")
}

// Upstreams that fail below HTTP or beside it: WX-01 and SRV-08.
func TestWX01_BrokenUpstreamsLeakNothing(t *testing.T) {
	t.Parallel()
	var waiting waiters
	defer waiting.Wait()
	elsewhere := make(chan string, 100)
	other := newServer(t, func(w http.ResponseWriter, r *http.Request) { elsewhere <- r.URL.String() })
	for name, front := range map[string]http.HandlerFunc{
		"redirect to another host": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other+r.URL.RequestURI(), http.StatusFound)
		},
		"redirect to itself": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.RequestURI(), http.StatusFound)
		},
		"500":     func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) },
		"404":     func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		"an echo": func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.String()) },
		"an echo in errmsg": func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"errcode": 99999, "errmsg": r.URL.String() + "\r\n\x1b[31m"})
		},
		"an empty answer": func(w http.ResponseWriter, r *http.Request) {},
		"WX-05 {}":        func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, `{}`) },
		"WX-05 empty openid": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"openid":"","session_key":"","access_token":"x"}`)
		},
		"WX-05 errcode 0": func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, `{"errcode":0,"errmsg":"ok"}`) },
		"WX-05 openid is a number": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"openid":5,"session_key":"a","access_token":"x"}`)
		},
		"null":     func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, `null`) },
		"an array": func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, `[]`) },
		"SRV-08 an endless answer": func(w http.ResponseWriter, r *http.Request) {
			chunk := bytes.Repeat([]byte(`{"openid":"`), 10_000)
			for {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
		"SRV-08 a dripping answer": func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := io.WriteString(w, " "); err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
				select {
				case <-r.Context().Done():
					return
				case <-afterMillis(200):
				}
			}
		},
	} {
		waiting.run(t, true, name, func(t *testing.T) {
			p := startServe(t, func(http.Handler) http.Handler { return front }, "WXBRIDGE_DATABASE=sqlite://"+t.TempDir()+"/w.db")
			checkBrokenUpstream(t, p)
			if name == "redirect to another host" && len(elsewhere) > 0 {
				t.Errorf("SRV-08 followed to another host: %d calls", len(elsewhere))
			}
		})
	}
	for name, api := range map[string]string{"refused": "http://" + freeAddress(t), "TLS": strings.Replace(other, "http:", "https:", 1)} {
		waiting.run(t, true, name, func(t *testing.T) {
			p := startServe(t, nil, "WXBRIDGE_DATABASE=sqlite://"+t.TempDir()+"/w.db", "WXBRIDGE_WECHAT_API_URL="+api)
			checkBrokenUpstream(t, p)
		})
	}
}

func checkBrokenUpstream(t *testing.T, p *product) {
	t.Helper()
	code := p.jsCode(t, "bob")
	var text bytes.Buffer
	within10(t, func() {
		h := p.api(t, http.MethodPost, miniLogin, "", `{"code":"`+code+`"}`)
		if h.status != http.StatusServiceUnavailable && h.status != http.StatusInternalServerError {
			t.Errorf("%v: %s", h, h.body)
		}
		text.Write(h.body)
	})
	within10(t, func() {
		tr := p.phone("bob").open(t, "/login")
		if h := tr.last(); tr.grants() || h.status != http.StatusServiceUnavailable && h.status != http.StatusInternalServerError {
			t.Errorf("want a page of the table:%v", tr)
		}
		text.Write(tr.last().body)
	})
	text.WriteString(p.logged(t))
	for kind, values := range map[string][]string{"app secret": {p.official.Secret, p.mini.Secret}, "code": {code}} {
		refuse(t, text.String(), kind, values)
	}
}

func devSecrets(domain string) []string {
	var all []string
	for _, app := range simulator.DevApps(domain) {
		all = append(all, app.Secret)
	}
	return all
}

// contentsOf gives what stands in the files of the database's folder; there is at least one.
func contentsOf(t *testing.T, folder string) (contents []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no database", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, string(content))
	}
	return contents
}
