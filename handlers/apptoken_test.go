package handlers_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

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
	if p := w.do("POST", appTokenPath, ""); p.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", p.StatusCode)
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
