package simulator_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"wxbridge/wechat/simulator"
)

// FuzzAuthorizeLink: whatever the link, the browser stays here or goes to the configured host with the link's state.
func FuzzAuthorizeLink(f *testing.F) {
	apps := simulator.DevApps("www.example.com")
	sim, err := simulator.New(simulator.Config{Apps: apps})
	if err != nil {
		f.Fatal(err)
	}
	id := "appid=" + apps[0].AppID
	f.Add(id + "&redirect_uri=https%3A%2F%2Fwww.example.com%2Fcb%3Fa%3D1%23frag&response_type=code&scope=snsapi_base&state=s")
	f.Add(id + "&redirect_uri=https://www.example.com@evil.test/&response_type=code&scope=snsapi_base&state=s")
	f.Add(id + "&redirect_uri=//www.example.com\\@evil.test&response_type=code&scope=snsapi_userinfo")
	f.Add(id + "&redirect_uri=https://www.example.com:99999&response_type=code&scope=snsapi_base&state=%00%0d%0a")
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "/connect/oauth2/authorize", nil)
		r.URL.RawQuery = query
		r.Header.Set("X-Simulator-Person", "bob")
		r.Header.Set("X-Simulator-Consent", "allow")
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusOK:
		case http.StatusFound:
			to, err := url.Parse(w.Header().Get("Location"))
			if err != nil || !strings.EqualFold(to.Hostname(), "www.example.com") {
				t.Errorf("%q leads to %q (%v)", query, w.Header().Get("Location"), err)
			}
		default:
			t.Errorf("%q: status %d", query, w.Code)
		}
	})
}
