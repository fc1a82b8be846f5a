package wechat_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"wxbridge/wechat"
)

func TestLogin_SendsTheDocumentedRequest(t *testing.T) {
	up := startUpstream(t, answers(golden(t, "session.json")))
	if _, err := newMiniProgram(t, up.api(t)).Login(t.Context(), code); err != nil {
		t.Fatal(err)
	}
	wantRequest(t, up, "/sns/jscode2session", url.Values{
		"appid": {appID}, "secret": {secret}, "js_code": {code}, "grant_type": {"authorization_code"},
	})
}

func TestLogin_KeepsThePathOfTheBaseURL(t *testing.T) {
	up := startUpstream(t, answers(golden(t, "session.json")))
	api := up.api(t)
	api.BaseURL = up.URL.JoinPath("wx/")
	if _, err := newMiniProgram(t, api).Login(t.Context(), code); err != nil {
		t.Fatal(err)
	}
	if got := up.seen()[0].URL.Path; got != "/wx/sns/jscode2session" {
		t.Errorf("path is %s", got)
	}
}

func TestLogin_ReadsTheAnswer(t *testing.T) {
	const id, key = "o16wA0b4AZKzgVJR3MBwoUdTfU_E", "tiihtNczf5v6AKRyjwEUhQ=="
	tests := []struct {
		name, body string
		want       wechat.Session
	}{
		{"as in real logs", golden(t, "session.json"), wechat.Session{OpenID: id, UnionID: "or4zX05h_Ykt4ju0TUfx3CQsvfTo", Key: key}},
		{"as the official sample has it, with errcode 0", golden(t, "session_sample.json"), wechat.Session{OpenID: id, UnionID: "or4zX05h_Ykt4ju0TUfx3CQsvfTo", Key: key}},
		{"without an Open Platform account", golden(t, "session_unbound.json"), wechat.Session{OpenID: id, Key: key}},
		{"null for what is not there", `{"openid":"` + id + `","session_key":null,"unionid":null,"errcode":null}`, wechat.Session{OpenID: id}},
		{"field names in another case are other fields", `{"openid":"` + id + `","OpenID":"oEvil","OPENID":"oEvil","errCode":1}`, wechat.Session{OpenID: id}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := startUpstream(t, answers(tt.body))
			got, err := newMiniProgram(t, up.api(t)).Login(t.Context(), code)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %+v with key %q", got, got.Key.Reveal())
			}
		})
	}
}

// BenchmarkMiniProgramLogin is one whole call to an upstream without latency,
// and beside it the least that any client could do: the same GET, body read.
func BenchmarkMiniProgramLogin(b *testing.B) {
	base := startBareUpstream(b, golden(b, "session.json"))
	m := newMiniProgram(b, &wechat.API{BaseURL: base})
	b.Run("client", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32) // 64 callers on two cores
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := m.Login(b.Context(), code); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("bare", func(b *testing.B) {
		client := wechat.NewHTTPClient()
		defer client.CloseIdleConnections()
		link := base.String() + "/sns/jscode2session?appid=" + appID + "&secret=" + secret + "&js_code=" + code
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				resp, err := client.Get(link)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
		})
	})
}

// startBareUpstream answers without recording, so that a benchmark measures
// the client.
func startBareUpstream(b *testing.B, body string) *url.URL {
	b.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"text/plain"}
		_, _ = io.WriteString(w, body)
	}))
	b.Cleanup(server.Close)
	return mustURL(b, server.URL)
}
