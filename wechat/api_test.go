package wechat_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat"
)

func TestNew_RefusesWhatCannotWork(t *testing.T) {
	good := wechat.App{ID: appID, Secret: secret}
	link := func(raw string) *url.URL { return mustURL(t, raw) }
	tests := []struct {
		name string
		api  *wechat.API
		app  wechat.App
		want string
	}{
		{"no API", nil, good, "API is nil"},
		{"no appid", &wechat.API{}, wechat.App{Secret: secret}, "appid"},
		{"an appid with a parameter in it", &wechat.API{}, wechat.App{ID: "wx1&secret=x", Secret: secret}, "appid"},
		{"an appid with a line feed", &wechat.API{}, wechat.App{ID: appID + "\n", Secret: secret}, "appid"},
		{"no secret", &wechat.API{}, wechat.App{ID: appID}, "empty"},
		{"a secret with the line feed of its file", &wechat.API{}, wechat.App{ID: appID, Secret: secret + "\n"}, "white space"},
		{"a base that is no web address", &wechat.API{BaseURL: link("ftp://h")}, good, "BaseURL"},
		{"a base without a host", &wechat.API{BaseURL: link("https:///x")}, good, "BaseURL"},
		{"a base with a query", &wechat.API{BaseURL: link("https://h?x=y")}, good, "BaseURL"},
		{"a base with a password", &wechat.API{BaseURL: link("https://u:hunter2@h")}, good, "BaseURL"},
		{"a limit below zero", &wechat.API{CallTimeout: -1}, good, "CallTimeout"},
		{"SRV-08 a limit above 5 s", &wechat.API{CallTimeout: 6 * time.Second}, good, "CallTimeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, official := wechat.NewOfficial(tt.api, tt.app, wechat.OfficialOptions{})
			_, mini := wechat.NewMiniProgram(tt.api, tt.app)
			_, tokens := wechat.NewAppTokens(tt.api, tt.app, wechat.AppTokenOptions{})
			for _, err := range []error{official, mini, tokens} {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, want an error about %q", err, tt.want)
				}
				if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("a secret is shown in %q", err)
				}
			}
		})
	}
	t.Run("an address for browsers that is none", func(t *testing.T) {
		_, err := wechat.NewOfficial(&wechat.API{OpenURL: link("weixin://open")}, good, wechat.OfficialOptions{})
		if err == nil || !strings.Contains(err.Error(), "OpenURL") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAppID(t *testing.T) {
	if got := newOfficial(t, &wechat.API{}).AppID(); got != appID {
		t.Errorf("official account: %s", got)
	}
	if got := newMiniProgram(t, &wechat.API{}).AppID(); got != appID {
		t.Errorf("mini program: %s", got)
	}
	if got := newAppTokens(t, &wechat.API{}, wechat.AppTokenOptions{}).AppID(); got != appID {
		t.Errorf("app tokens: %s", got)
	}
}

func TestNew_LeavesTheCallersHTTPClientAlone(t *testing.T) {
	client := wechat.NewHTTPClient()
	client.CheckRedirect = nil
	newMiniProgram(t, &wechat.API{HTTP: client})
	if client.CheckRedirect != nil {
		t.Error("the redirect policy of the caller's client was changed")
	}
}
