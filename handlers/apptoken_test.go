package handlers_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wxbridge/handlers"
	"wxbridge/internal/clients"
)

const appTokenPath = "/internal/app-token"

// withTokenClient registers desk for app tokens and orders for something else.
func withTokenClient(t testing.TB) func(*handlers.Config) {
	registry, err := clients.Parse([]byte("clients:\n" +
		"- {id: desk, secret_sha256: " + sha256Hex(clientSecret) + ", may: [app-token]}\n" +
		"- {id: orders, secret_sha256: " + sha256Hex("orders"+clientSecret) + ", may: [introspect, revoke]}\n"))
	must(t, err)
	return func(c *handlers.Config) { c.Clients = registry }
}

func TestAppToken_ARegisteredClientGetsTheSharedToken(t *testing.T) {
	b := newBridge(t, withTokenClient(t))
	type answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
		Provider    string `json:"provider"`
		App         string `json:"app"`
		AppID       string `json:"appid"`
	}
	ask := func(query string) (a answer) {
		t.Helper()
		p := b.browser("").get(appTokenPath+query, "Authorization", basic("desk", clientSecret))
		var members map[string]any
		if p.StatusCode != http.StatusOK || json.Unmarshal([]byte(p.body), &a) != nil || json.Unmarshal([]byte(p.body), &members) != nil || len(members) != 5 {
			t.Fatalf("%q: %d %s", query, p.StatusCode, p.body)
		}
		if p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("TOK-14 %q: Cache-Control %q", query, p.Header.Get("Cache-Control"))
		}
		if a.AccessToken == "" || a.ExpiresIn < 7000 || a.ExpiresIn > 7200 {
			t.Errorf("%q: %d bytes for %d seconds", query, len(a.AccessToken), a.ExpiresIn)
		}
		return a
	}
	official, second, mini := ask(""), ask("?app=second"), ask("?provider=mini_program")
	for what, row := range map[string][2]answer{
		"the default account":             {official, {Provider: "official_account", App: "default", AppID: b.official.AppID}},
		"another account":                 {second, {Provider: "official_account", App: "second", AppID: b.second.AppID}},
		"the default mini program":        {mini, {Provider: "mini_program", App: "default", AppID: b.mini.AppID}},
		"by alias, the account first":     {ask("?app=default"), official},
		"by appid":                        {ask("?app=" + b.official.AppID), official},
		"by the mini program's appid":     {ask("?app=" + b.mini.AppID), mini},
		"by alias and provider":           {ask("?app=default&provider=mini_program"), mini},
		"the account by alias, no others": {ask("?app=default&provider=official_account"), official},
	} {
		got, want := row[0], row[1]
		if want.AccessToken == "" {
			want.AccessToken = got.AccessToken
		}
		got.ExpiresIn, want.ExpiresIn = 0, 0
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	if n := b.calls(stableTokenPath); n != 3 {
		t.Errorf("WX-17 %d fetches for three apps", n)
	}
	for _, token := range []string{official.AccessToken, second.AccessToken, mini.AccessToken} {
		if strings.Contains(b.log.String(), token) {
			t.Error("LOG-01 an app token is in the log")
		}
	}
}

func TestOP10_AppTokensAreForRegisteredClientsOnly(t *testing.T) {
	b := newBridge(t, withTokenClient(t))
	w := b.browser("alice")
	w.register()
	fetches := b.calls(stableTokenPath)
	for name, row := range map[string]struct {
		query, header string
		status        int
		code          string
	}{
		"nobody":                    {"", "", 401, "invalid_client"},
		"a wrong secret":            {"", basic("desk", "wrong"), 401, "invalid_client"},
		"an unknown client":         {"", basic("nobody", clientSecret), 401, "invalid_client"},
		"credentials in the query":  {"?client_id=desk&client_secret=" + clientSecret, "", 401, "invalid_client"},
		"a fan":                     {"", "Bearer " + w.cookie("wxbridge_token"), 401, "invalid_client"},
		"malformed":                 {"", "Basic %%%", 401, "invalid_client"},
		"a client for other things": {"", basic("orders", "orders"+clientSecret), 403, "access_denied"},
		"an unknown app":            {"?app=nothing", basic("desk", clientSecret), 400, "invalid_request"},
		"an unknown provider":       {"?provider=wecom", basic("desk", clientSecret), 400, "invalid_request"},
		"an account of no such app": {"?app=" + b.mini.AppID + "&provider=official_account", basic("desk", clientSecret), 400, "invalid_request"},
		"app twice":                 {"?app=default&app=second", basic("desk", clientSecret), 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			var header []string
			if row.header != "" {
				header = []string{"Authorization", row.header}
			}
			p := w.get(appTokenPath+row.query, header...) // a browser with a good cookie, which counts for nothing here
			if e := p.errorOf(t); p.StatusCode != row.status || e.Error != row.code {
				t.Errorf("%d %s, want %d %s", p.StatusCode, e.Error, row.status, row.code)
			}
			if p.StatusCode == 401 && !strings.HasPrefix(p.Header.Get("WWW-Authenticate"), "Basic") {
				t.Errorf("WWW-Authenticate %q", p.Header.Get("WWW-Authenticate"))
			}
		})
	}
	if n := b.calls(stableTokenPath); n != fetches {
		t.Errorf("%d fetches for requests that were refused", n-fetches)
	}
	if !strings.Contains(b.log.String(), `"event":"client.refused"`) || strings.Contains(b.log.String(), clientSecret) {
		t.Error("LOG-03 refusals are not in the log, or the secret is")
	}
	if p := w.do("PUT", appTokenPath, ""); p.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("PUT: %d", p.StatusCode)
	}
}

// reportToken says as the client desk that WeChat refused a token.
func (b *bridge) reportToken(token string) page {
	b.t.Helper()
	body, err := json.Marshal(map[string]string{"refused": token})
	must(b.t, err)
	return b.browser("").do("POST", appTokenPath, string(body), "Content-Type", "application/json", "Authorization", basic("desk", clientSecret))
}

func (b *bridge) sharedToken() string {
	b.t.Helper()
	return tokenOf(b.t, b.browser("").get(appTokenPath, "Authorization", basic("desk", clientSecret)))
}

func tokenOf(t testing.TB, p page) string {
	t.Helper()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if p.StatusCode != http.StatusOK || json.Unmarshal([]byte(p.body), &answer) != nil || answer.AccessToken == "" {
		t.Fatalf("%d %s", p.StatusCode, p.body)
	}
	return answer.AccessToken
}

// endToken forces a new token, as another system might that holds the AppSecret.
func (b *bridge) endToken() {
	b.t.Helper()
	b.control("PUT", "/_simulator/switches", `{"force-refresh":"dies-at-once"}`)
	b.control("POST", stableTokenPath, `{"grant_type":"client_credential","appid":"`+b.official.AppID+`","secret":"`+b.official.Secret+`","force_refresh":true}`)
}

// accepted reports whether WeChat takes a token.
func (b *bridge) accepted(token string) bool {
	b.t.Helper()
	response, err := http.Get(b.simURL + "/cgi-bin/getcallbackip?access_token=" + url.QueryEscape(token))
	must(b.t, err)
	defer response.Body.Close()
	var answer struct{ ErrCode int }
	must(b.t, json.NewDecoder(response.Body).Decode(&answer))
	return answer.ErrCode == 0
}

// A client that WeChat refuses a token says so, and has another at once: as many as say so, one fetch.
func TestWX17_ATokenThatWeChatRefusesToAClientIsReplaced(t *testing.T) {
	b := newBridge(t, withTokenClient(t))
	dead := b.sharedToken()
	b.endToken()
	if b.accepted(dead) || b.sharedToken() != dead {
		t.Fatal("the token is not one that died without our notice")
	}
	fetches := b.calls(stableTokenPath)
	var crowd sync.WaitGroup
	fresh := make([]string, 20)
	for n := range fresh {
		crowd.Go(func() { fresh[n] = tokenOf(t, b.reportToken(dead)) })
	}
	crowd.Wait()
	for _, token := range fresh {
		if token == dead || token != fresh[0] || !b.accepted(token) {
			t.Fatal("not everybody who reported the dead token got the one that took its place")
		}
	}
	if b.sharedToken() != fresh[0] {
		t.Error("others get another token than those who reported")
	}
	if n := b.calls(stableTokenPath) - fetches; n != 1 {
		t.Errorf("%d fetches for one dead token", n)
	}
	if tokenOf(t, b.reportToken(dead)) != fresh[0] || tokenOf(t, b.reportToken("84_made-up")) != fresh[0] || b.calls(stableTokenPath)-fetches != 1 {
		t.Error("a token that is not the one we hold, or no more, costs a fetch")
	}
	for _, token := range []string{dead, fresh[0]} {
		if strings.Contains(b.log.String(), token) {
			t.Error("LOG-01 an app token is in the log")
		}
	}
	if !strings.Contains(b.log.String(), `"event":"app_token.reported"`) {
		t.Error("LOG-03 the report is not in the log")
	}
}

// A client that calls every token refused gets a new one ever more rarely, and everybody else keeps the good one.
func TestWX17_AClientCannotUseUpTheQuotaOfFetches(t *testing.T) {
	b := newBridge(t, withTokenClient(t))
	token := b.sharedToken()
	fetches := b.calls(stableTokenPath)
	const hours = 2
	for range hours * 360 {
		p := b.reportToken(token)
		switch p.StatusCode {
		case http.StatusOK:
			token = tokenOf(t, p)
		case http.StatusTooManyRequests:
			wait, err := strconv.Atoi(p.Header.Get("Retry-After"))
			if e := p.errorOf(t); err != nil || wait < 1 || wait > 240 || e.Error != "rate_limited" || strings.Contains(p.body, token) {
				t.Fatalf("Retry-After %q: %s", p.Header.Get("Retry-After"), p.body)
			}
			if b.sharedToken() != token {
				t.Fatal("a refused report changed the token")
			}
		default:
			t.Fatalf("%d %s", p.StatusCode, p.body)
		}
		b.clock.Advance(10 * time.Second)
	}
	const quota = 2000 // fetches of cgi-bin/token a day, the smaller of the two (wechat-protocol §2.1)
	if n := b.calls(stableTokenPath) - fetches; n < 2 || n*24/hours > quota*3/4 {
		t.Errorf("%d fetches in %d hours", n, hours)
	}
}

func TestAppToken_AReportIsCheckedLikeEverything(t *testing.T) {
	b := newBridge(t, withTokenClient(t))
	token := b.sharedToken()
	fetches := b.calls(stableTokenPath)
	desk, asJSON := basic("desk", clientSecret), "application/json"
	for name, row := range map[string]struct {
		query, body, kind, header string
		status                    int
		code                      string
	}{
		"nobody":                   {"", `{"refused":"` + token + `"}`, asJSON, "", 401, "invalid_client"},
		"a wrong secret":           {"", `{"refused":"` + token + `"}`, asJSON, basic("desk", "wrong"), 401, "invalid_client"},
		"credentials in the form":  {"", "refused=" + token + "&client_id=desk&client_secret=" + clientSecret, "application/x-www-form-urlencoded", "", 401, "invalid_client"},
		"a client of other rights": {"", `{"refused":"` + token + `"}`, asJSON, basic("orders", "orders"+clientSecret), 403, "access_denied"},
		"a token in the query":     {"?refused=" + token, `{}`, asJSON, desk, 400, "invalid_request"},
		"no token":                 {"", `{"app":"default"}`, asJSON, desk, 400, "invalid_request"},
		"an endless token":         {"", `{"refused":"` + strings.Repeat("x", 2049) + `"}`, asJSON, desk, 400, "invalid_request"},
		"a token of another kind":  {"", `{"refused":1}`, asJSON, desk, 400, "invalid_request"},
		"an unknown app":           {"", `{"refused":"x","app":"nothing"}`, asJSON, desk, 400, "invalid_request"},
		"no body that is known":    {"", token, "text/plain", desk, 415, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			header := []string{"Content-Type", row.kind}
			if row.header != "" {
				header = append(header, "Authorization", row.header)
			}
			p := b.browser("").do("POST", appTokenPath+row.query, row.body, header...)
			if e := p.errorOf(t); p.StatusCode != row.status || e.Error != row.code || strings.Contains(p.body, token) {
				t.Errorf("%d %s, want %d %s", p.StatusCode, p.body, row.status, row.code)
			}
		})
	}
	if b.sharedToken() != token || b.calls(stableTokenPath) != fetches {
		t.Error("one of them dropped the token")
	}
	form := url.Values{"refused": {"x"}, "app": {b.mini.AppID}}.Encode()
	if p := b.browser("").do("POST", appTokenPath, form, "Content-Type", "application/x-www-form-urlencoded", "Authorization", desk); !strings.Contains(p.body, b.mini.AppID) {
		t.Errorf("a form: %d %s", p.StatusCode, p.body)
	}
}

func TestAppToken_WhatWeChatSaysIsAnAnswerOfTheContract(t *testing.T) {
	for errcode, want := range map[int]struct {
		status int
		code   string
	}{40125: {500, "server_error"}, 40164: {500, "server_error"}, 45009: {429, "rate_limited"}, -1: {503, "temporarily_unavailable"}} {
		b := newBridge(t, withTokenClient(t))
		fault, _ := json.Marshal(map[string]any{"path": stableTokenPath, "errcode": errcode, "times": 0})
		b.fault(string(fault))
		p := b.browser("").get(appTokenPath, "Authorization", basic("desk", clientSecret))
		e := p.errorOf(t)
		if p.StatusCode != want.status || e.Error != want.code || e.Errcode != errcode || strings.Contains(p.body, b.official.Secret) {
			t.Errorf("%d: %d %s", errcode, p.StatusCode, p.body)
		}
		if want.status != 500 && p.Header.Get("Retry-After") == "" {
			t.Errorf("%d: no Retry-After", errcode)
		}
		if log := b.log.String(); !strings.Contains(log, `"fix":`) || strings.Contains(log, b.official.Secret) {
			t.Errorf("%d: the log does not say what to do:\n%s", errcode, log)
		}
	}
}

// Several accounts, none of them called default: one is named by app=; the only mini program needs no name.
func TestWithoutADefaultAppTheOnlyOneIsMeant(t *testing.T) {
	b := newBridge(t, withTokenClient(t), func(c *handlers.Config) {
		c.OfficialAccounts[0].Alias = "shop"
		c.MiniPrograms[0].Alias = "shop-mini"
	})
	if p := b.browser("alice").get("/login"); p.StatusCode != http.StatusBadRequest || !strings.Contains(p.errorOf(t).Description, "several WeChat official accounts") {
		t.Errorf("two accounts, none meant: %d %s", p.StatusCode, p.body)
	}
	if p := b.browser("").get(appTokenPath, "Authorization", basic("desk", clientSecret)); p.StatusCode != http.StatusBadRequest {
		t.Errorf("a token of no app in particular: %d", p.StatusCode)
	}
	b.miniLogin("alice")

	single := newBridge(t, func(c *handlers.Config) {
		c.OfficialAccounts = c.OfficialAccounts[:1]
		c.OfficialAccounts[0].Alias = "shop"
	})
	w := single.browser("alice")
	w.register()
	if w.mustClaims().AppID != single.official.AppID {
		t.Error("the only account was not meant")
	}
}

func TestSRV04_AppTokensAreRateLimited(t *testing.T) {
	b, _ := limited(t, 5)
	for range 5 {
		b.from("203.0.113.9", "GET", appTokenPath)
	}
	if status := b.from("203.0.113.9", "GET", appTokenPath).Code; status != http.StatusTooManyRequests {
		t.Errorf("the sixth of five: %d", status)
	}
}
