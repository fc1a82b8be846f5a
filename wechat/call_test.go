package wechat_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wxbridge/wechat"
)

// Every way in which WeChat, or what stands before it, can misbehave. The
// answers try to give away what the request held.
func TestREL12_WX01_AFaultIsOneErrorThatShowsNothing(t *testing.T) {
	echo := func(r *http.Request) string { return r.URL.RequestURI() }
	faults := []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"status 500 with JSON", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, golden(t, "session.json"))
		}},
		{"status 502 with HTML", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "<html>"+echo(r)+"</html>")
		}},
		{"status 204", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }},
		{"status 201 with a good answer", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, golden(t, "session.json"))
		}},
		{"HTML with status 200", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "<!doctype html><title>"+echo(r)+"</title>")
		}},
		{"no body", func(w http.ResponseWriter, r *http.Request) {}},
		{"JSON cut in the middle", answers(golden(t, "session.json")[:60])},
		{"fewer bytes than announced", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "500")
			_, _ = io.WriteString(w, golden(t, "session.json"))
		}},
		{"text after the JSON", answers(golden(t, "session.json") + "x")},
		{"two JSON objects", answers(golden(t, "session.json") + golden(t, "session.json"))},
		{"not an object", answers(`["openid","o1"]`)},
		{"null", answers(`null`)},
		{"a string that quotes the request", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, `"`+echo(r)) }},
		{"openid is a number", answers(`{"access_token":"61_a","openid":1}`)},
		{"openid has spaces", answers(`{"access_token":"61_a","openid":"o 1"}`)},
		{"openid has 129 characters", answers(`{"access_token":"61_a","openid":"` + strings.Repeat("o", 129) + `"}`)},
		{"unionid is an object", answers(`{"access_token":"61_a","openid":"` + openID + `","unionid":{}}`)},
		{"errcode is a word", answers(`{"errcode":"bad","openid":"` + openID + `","access_token":"61_a"}`)},
		{"errcode is a list", answers(`{"errcode":[],"openid":"` + openID + `","access_token":"61_a"}`)},
		{"errcode is a fraction", answers(`{"errcode":0.5,"openid":"` + openID + `","access_token":"61_a"}`)},
		{"more than 1 MiB", answers(`{"access_token":"61_a","openid":"` + openID + `","pad":"` + strings.Repeat("x", 1<<20) + `"}`)},
		{"a redirect to another host", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.invalid"+echo(r), http.StatusFound)
		}},
		{"a redirect to itself", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, echo(r), http.StatusTemporaryRedirect)
		}},
		{"a redirect to nonsense", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://[::1"+echo(r))
			w.WriteHeader(http.StatusFound)
		}},
		{"the connection is reset", func(w http.ResponseWriter, r *http.Request) { hangUp(w, "") }},
		{"the answer is no HTTP", func(w http.ResponseWriter, r *http.Request) { hangUp(w, echo(r)+"\r\n\r\n") }},
		{"the header is malformed", func(w http.ResponseWriter, r *http.Request) {
			hangUp(w, "HTTP/1.1 200 OK\r\n"+echo(r)+"\r\n\r\n")
		}},
		{"the header begins with a space", func(w http.ResponseWriter, r *http.Request) {
			hangUp(w, "HTTP/1.1 200 OK\r\n "+echo(r)+": x\r\n\r\n")
		}},
		{"the status line is malformed", func(w http.ResponseWriter, r *http.Request) {
			hangUp(w, "HTTP/1.1 "+echo(r)+" OK\r\n\r\n")
		}},
		{"the length is malformed", func(w http.ResponseWriter, r *http.Request) {
			hangUp(w, "HTTP/1.1 200 OK\r\nContent-Length: "+echo(r)+"\r\n\r\n")
		}},
		{"the encoding is unknown", func(w http.ResponseWriter, r *http.Request) {
			hangUp(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: "+echo(r)+"\r\n\r\n")
		}},
	}
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			up := startUpstream(t, fault.answer)
			for _, call := range calls(t, up.api(t)) {
				before := len(up.seen())
				err := call.do()
				wantOnly(t, err, wechat.ErrBusy)
				wantNoSecrets(t, everyText(err))
				if got := len(up.seen()) - before; got != 1 {
					t.Errorf("%s was sent %d times", call.op, got)
				}
			}
		})
	}
}

func TestWX05_AnAnswerWithoutOpenIDIsNoLogin(t *testing.T) {
	tests := []struct {
		body string
		want error
	}{
		{`{}`, wechat.ErrBusy},
		{`{"openid":""}`, wechat.ErrBusy},
		{`{"openid":null}`, wechat.ErrBusy},
		{`{"OpenID":"oA"}`, wechat.ErrBusy},
		{`{"errcode":0}`, wechat.ErrBusy},
		{`{"errcode":0,"errmsg":"ok"}`, wechat.ErrBusy},
		{`{"access_token":"61_a","session_key":"tiihtNczf5v6AKRyjwEUhQ==","unionid":"oU"}`, wechat.ErrBusy},
		{`{"errcode":40029,"errmsg":"invalid code, rid: 62308e5d-0b0b697e-1db652eb"}`, wechat.ErrInvalidCode},
		{`{"errcode":40029,"openid":"oA","access_token":"61_a"}`, wechat.ErrInvalidCode},
		{`{"errcode":"40029","openid":"oA","access_token":"61_a"}`, wechat.ErrInvalidCode},
	}
	for _, tt := range tests {
		t.Run(tt.body, func(t *testing.T) {
			for _, call := range calls(t, startUpstream(t, answers(tt.body)).api(t)) {
				wantOnly(t, call.do(), tt.want)
			}
		})
	}
	t.Run("a token without its access_token", func(t *testing.T) {
		up := startUpstream(t, answers(`{"openid":"oA","scope":"snsapi_base"}`))
		_, err := newOfficial(t, up.api(t)).Exchange(t.Context(), code)
		wantOnly(t, err, wechat.ErrBusy)
	})
}

func TestWX02_AMalformedCodeNeverReachesWeChat(t *testing.T) {
	up := startUpstream(t, answers(golden(t, "session.json")))
	api := up.api(t)
	bad := []string{
		"", "a&secret=b", `"abc"`, "../", "a b", "a+b", "a%20b", "a#b", "a=b", "a\x00b", "a\r\nX: y", "ä", "\xff",
		strings.Repeat("a", 513), strings.Repeat("a", 600),
	}
	for _, code := range bad {
		_, err := newMiniProgram(t, api).Login(t.Context(), code)
		wantOnly(t, err, wechat.ErrInvalidCode)
		_, err = newOfficial(t, api).Exchange(t.Context(), code)
		wantOnly(t, err, wechat.ErrInvalidCode)
	}
	wantCalls(t, up, 0)

	for _, code := range []string{"0", "_-aZ9", strings.Repeat("a", 512)} {
		if _, err := newMiniProgram(t, api).Login(t.Context(), code); err != nil {
			t.Errorf("code of %d characters: %v", len(code), err)
		}
	}
	wantCalls(t, up, 3)
}

func TestREL12_ASlowWeChatIsCutOffInTime(t *testing.T) {
	stall := make(chan struct{})
	slow := map[string]http.HandlerFunc{
		"no answer at all": func(w http.ResponseWriter, r *http.Request) { waitFor(stall, r) },
		"a header, then nothing": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			waitFor(stall, r)
		},
		"a body that drips": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-stall:
				case <-time.After(time.Millisecond):
				}
			}
		},
	}
	for name, answer := range slow {
		t.Run(name, func(t *testing.T) {
			up := startUpstream(t, answer)
			api := up.api(t)
			api.CallTimeout = 100 * time.Millisecond
			for _, call := range calls(t, api) {
				start := time.Now()
				err := call.do()
				wantOnly(t, err, wechat.ErrBusy)
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
					t.Errorf("%v does not say that time ran out", err)
				}
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("%s took %v", call.op, took)
				}
				wantNoSecrets(t, everyText(err))
			}
		})
	}
	close(stall)
}

func TestACallerWhoLeavesIsNotABusyWeChat(t *testing.T) {
	arrived, stall := make(chan struct{}, 4), make(chan struct{})
	up := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		waitFor(stall, r)
	})
	defer close(stall)
	m := newMiniProgram(t, up.api(t))

	t.Run("cancelled while WeChat thinks", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		_, err := m.Login(ctx, code)
		wantOnly(t, err, nil)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v is no context.Canceled", err)
		}
		wantNoSecrets(t, everyText(err))
	})
	t.Run("cancelled before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := m.Login(ctx, code)
		wantOnly(t, err, nil)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v is no context.Canceled", err)
		}
	})
	t.Run("the caller's own deadline counts as too slow", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := m.Login(ctx, code)
		wantOnly(t, err, wechat.ErrBusy)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v is no context.DeadlineExceeded", err)
		}
	})
}

func TestREL12_BusyIsTriedOnceMoreUnlessACodeIsSpent(t *testing.T) {
	const busy = `{"errcode":-1,"errmsg":"system error"}`
	good := map[string]string{
		"sns/oauth2/access_token":  golden(t, "token_base.json"),
		"sns/oauth2/refresh_token": golden(t, "refresh.json"),
		"sns/userinfo":             golden(t, "userinfo.json"),
		"sns/jscode2session":       golden(t, "session.json"),
		"cgi-bin/stable_token":     golden(t, "app_token.json"),
		"cgi-bin/token":            golden(t, "app_token.json"),
	}
	tests := []struct {
		name, first string
		repeat      bool // of calls that spend no code
	}{
		{"-1 as a number", busy, true},
		{"-1 as a string", `{"errcode":"-1","errmsg":"system error"}`, true},
		{"a minute limit is not worth a repeat", `{"errcode":45011,"errmsg":"api minute-quota reach limit"}`, false},
		{"a day's quota is not", `{"errcode":45009,"errmsg":"reach max api daily quota limit"}`, false},
		{"a stale token is not", `{"errcode":40001,"errmsg":"invalid credential"}`, false},
		{"HTML is not", `<html>`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i := range calls(t, &wechat.API{}) {
				op := calls(t, &wechat.API{})[i].op
				up := startUpstream(t, answers(tt.first, good[op]))
				call := calls(t, up.api(t))[i]
				err := call.do()
				repeated := tt.repeat && !call.spend
				if (err == nil) != repeated {
					t.Errorf("%s: %v", op, err)
				}
				want := 1
				if repeated {
					want = 2
				}
				if got := len(up.seen()); got != want {
					t.Errorf("%s was sent %d times, want %d", op, got, want)
				}
			}
		})
	}
	t.Run("busy twice is busy", func(t *testing.T) {
		up := startUpstream(t, answers(busy))
		_, err := newOfficial(t, up.api(t)).UserInfo(t.Context(), userToken(), "en")
		wantOnly(t, err, wechat.ErrBusy)
		if e, ok := errors.AsType[*wechat.Error](err); !ok || e.Code != -1 {
			t.Errorf("got %v, want errcode -1", err)
		}
		wantCalls(t, up, 2)
	})
	t.Run("no repeat when time is nearly up", func(t *testing.T) {
		up := startUpstream(t, answers(busy))
		api := up.api(t)
		api.CallTimeout = 90 * time.Millisecond // less than the pause before a repeat
		_, err := newOfficial(t, api).UserInfo(t.Context(), userToken(), "en")
		wantOnly(t, err, wechat.ErrBusy)
		wantCalls(t, up, 1)
	})
}

// net/http repeats a GET by itself when a kept-alive connection breaks. A code
// must not be sent again even then.
func TestACodeIsSentOnceEvenIfAKeptConnectionBreaks(t *testing.T) {
	var requests, connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 {
			_, _ = io.WriteString(w, golden(t, "session.json"))
			return
		}
		hangUp(w, "")
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()

	client := wechat.NewHTTPClient()
	defer client.CloseIdleConnections()
	m := newMiniProgram(t, &wechat.API{BaseURL: mustURL(t, server.URL), HTTP: client})
	if _, err := m.Login(t.Context(), code); err != nil {
		t.Fatal(err)
	}
	_, err := m.Login(t.Context(), code)
	wantOnly(t, err, wechat.ErrBusy)
	if requests.Load() != 2 {
		t.Errorf("the second login was sent %d times", requests.Load()-1)
	}
	if connections.Load() != 1 {
		t.Errorf("the second login used a new connection, so this proves nothing")
	}
}

// What keeps net/http from repeating must not show on the wire.
func TestACodeTravelsInAPlainGET(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	received := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		var head strings.Builder
		for lines := bufio.NewScanner(conn); lines.Scan() && lines.Text() != ""; {
			head.WriteString(lines.Text() + "\n")
		}
		body := golden(t, "session.json")
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+body)
		received <- head.String()
	}()
	m := newMiniProgram(t, &wechat.API{BaseURL: mustURL(t, "http://"+listener.Addr().String())})
	if _, err := m.Login(t.Context(), code); err != nil {
		t.Fatal(err)
	}
	want := "GET /sns/jscode2session?appid=" + appID + "&secret=" + secret + "&js_code=" + code + "&grant_type=authorization_code HTTP/1.1\n" +
		"Host: " + listener.Addr().String() + "\nUser-Agent: Go-http-client/1.1\n"
	if got := <-received; got != want {
		t.Errorf("sent\n%s\nwant\n%s", got, want)
	}
}

func TestWX01_NobodyListensAndNothingIsShown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	for _, base := range []string{"http://" + address, "https://" + address} {
		for _, call := range calls(t, &wechat.API{BaseURL: mustURL(t, base)}) {
			err := call.do()
			wantOnly(t, err, wechat.ErrBusy)
			wantNoSecrets(t, everyText(err))
		}
	}
}

func TestSRV08_OnlyVerifiedTLSFrom12On(t *testing.T) {
	server := httptest.NewUnstartedServer(answers(golden(t, "session.json")))
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	defer server.Close()
	old := httptest.NewUnstartedServer(answers(golden(t, "session.json")))
	old.Config.ErrorLog = quiet()
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	defer old.Close()
	trusting := func(s *httptest.Server) *http.Client {
		client := wechat.NewHTTPClient()
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		client.Transport.(*http.Transport).TLSClientConfig.RootCAs = roots
		return client
	}
	plain := startUpstream(t, answers(golden(t, "session.json")))

	tests := []struct {
		name, base string
		client     *http.Client
		want       error
	}{
		{"a trusted certificate", server.URL, trusting(server), nil},
		{"a certificate of nobody we trust", server.URL, wechat.NewHTTPClient(), wechat.ErrBusy},
		{"a certificate for another host", strings.Replace(server.URL, "127.0.0.1", "localhost", 1), trusting(server), wechat.ErrBusy},
		{"TLS 1.1", old.URL, trusting(old), wechat.ErrBusy},
		{"no TLS on the other side", "https://" + plain.URL.Host, wechat.NewHTTPClient(), wechat.ErrBusy},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer tt.client.CloseIdleConnections()
			m := newMiniProgram(t, &wechat.API{BaseURL: mustURL(t, tt.base), HTTP: tt.client})
			_, err := m.Login(t.Context(), code)
			if tt.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantOnly(t, err, tt.want)
			wantNoSecrets(t, everyText(err))
		})
	}
}

func TestSRV08_ARedirectIsNeverFollowed(t *testing.T) {
	other := startUpstream(t, answers(golden(t, "session.json")))
	for _, status := range []int{301, 302, 303, 307, 308} {
		up := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL.String()+"/sns/jscode2session", status)
		})
		for name, client := range map[string]*http.Client{"our client": wechat.NewHTTPClient(), "a client that follows": {Transport: wechat.NewHTTPClient().Transport}} {
			_, err := newMiniProgram(t, &wechat.API{BaseURL: up.URL, HTTP: client}).Login(t.Context(), code)
			wantOnly(t, err, wechat.ErrBusy)
			client.CloseIdleConnections()
			if got := len(other.seen()); got != 0 {
				t.Fatalf("%s followed a %d", name, status)
			}
		}
	}
}

func TestSRV08_AnEndlessAnswerIsCutOff(t *testing.T) {
	var sent atomic.Int64
	up := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := strings.Repeat(" ", 64<<10)
		for sent.Load() < 1<<30 {
			n, err := io.WriteString(w, chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	_, err := newMiniProgram(t, up.api(t)).Login(t.Context(), code)
	wantOnly(t, err, wechat.ErrBusy)
	if got := sent.Load(); got > 64<<20 {
		t.Errorf("read on for %d bytes", got)
	}
}

func TestSRV08_TheClientHasLimitsAndNoProxy(t *testing.T) {
	client := wechat.NewHTTPClient()
	transport := client.Transport.(*http.Transport)
	if transport.Proxy != nil {
		t.Error("takes a proxy from the environment")
	}
	if client.Timeout <= 0 || client.Timeout > 5*time.Second {
		t.Errorf("total limit is %v, want at most 5 s", client.Timeout)
	}
	if transport.TLSClientConfig.MinVersion < tls.VersionTLS12 || transport.TLSClientConfig.InsecureSkipVerify {
		t.Error("TLS is too weak")
	}
	if transport.MaxConnsPerHost < 64 || transport.MaxIdleConnsPerHost != transport.MaxConnsPerHost {
		t.Errorf("%d connections of which %d may idle: unbounded, too few, or reopened under load", transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost)
	}
}

// hangUp takes the connection from under the handler, says text and closes.
func hangUp(w http.ResponseWriter, text string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if text == "" {
		_ = conn.(*net.TCPConn).SetLinger(0) // a reset instead of an orderly end
	}
	_, _ = io.WriteString(conn, text)
	_ = conn.Close()
}

// waitFor returns when the test is over or the client has gone.
func waitFor(stall <-chan struct{}, r *http.Request) {
	select {
	case <-stall:
	case <-r.Context().Done():
	}
}
