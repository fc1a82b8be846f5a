package wechat_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"
	"unicode/utf8"

	"wxbridge/wechat"
)

// FuzzLogin gives arbitrary answers to a login. Whatever they are: a session
// only with an openid, else one error of ours, and nothing private in it.
func FuzzLogin(f *testing.F) {
	for _, seed := range []string{
		golden(f, "session.json"), golden(f, "session_sample.json"), golden(f, "session_unbound.json"),
		golden(f, "used_code.json"), golden(f, "used_code_2017.json"), golden(f, "invalid_code_string.json"),
		`{}`, `{"openid":""}`, `{"errcode":0}`, `null`, `[]`, ``, `<html>502</html>`, `{"openid":"o1"`, `{"openid":"o1"}x`,
		`{"errcode":-1,"errmsg":"system error"}`, `{"errcode":1e3}`, `{"errcode":"x","openid":"o1"}`, `{"errcode":99999999999999999999}`,
		"{\"openid\":\"o1\",\"session_key\":\"\x01\\\"\x02\\\\\"}", "\uFEFF{\"openid\":\"o1\"}",
		`{"errcode":40029,"errmsg":"` + secret + ` ` + code + `"}`, `{"openid":"o\u0031 2"}`, `{"openid":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := newMiniProgram(t, &wechat.API{HTTP: canned(body)}).Login(t.Context(), code)
		if err != nil {
			wantOneSentinel(t, err)
			wantNone(t, err.Error(), secret, code)
			if got != (wechat.Session{}) {
				t.Errorf("an error and a session: %v, %+v", err, got)
			}
			return
		}
		if got.OpenID == "" || len(got.OpenID) > 128 {
			t.Errorf("a session with openid %q", got.OpenID)
		}
	})
}

// FuzzUserInfo does the same for profiles, whose raw form must be storable.
func FuzzUserInfo(f *testing.F) {
	for _, seed := range []string{
		golden(f, "userinfo.json"), golden(f, "userinfo_unbound.json"), golden(f, "userinfo_control.json"),
		"{\"openid\":\"" + openID + "\",\"nickname\":\"\xff\x00\"}", `{"openid":"` + openID + `","nickname":7}`,
		`{"openid":"oOther"}`, `{"errcode":48001,"errmsg":"api unauthorized, rid: 62308e5d-0b0b697e-1db652eb"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		// A short limit, since an answer of -1 waits before it is asked again.
		api := &wechat.API{HTTP: canned(body), CallTimeout: 20 * time.Millisecond}
		got, err := newOfficial(t, api).UserInfo(t.Context(), userToken(), "en")
		if err != nil {
			wantOneSentinel(t, err)
			wantNone(t, err.Error(), userToken().AccessToken.Reveal(), openID)
			return
		}
		if got.OpenID != openID || !json.Valid(got.Raw) || !utf8.Valid(got.Raw) {
			t.Errorf("got openid %q and raw %q", got.OpenID, got.Raw)
		}
	})
}

// roundTrip is an http.RoundTripper without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// canned is a client that gets body for an answer, whatever it asks.
func canned(body []byte) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
	})}
}

// wantOneSentinel fails unless err is ours and has exactly one meaning.
func wantOneSentinel(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*wechat.Error](err); !ok {
		t.Fatalf("got %T %v, want a *wechat.Error", err, err)
	}
	var fits []string
	for name, sentinel := range sentinels() {
		if errors.Is(err, sentinel) {
			fits = append(fits, name)
		}
	}
	if len(fits) != 1 {
		t.Errorf("%v means %q, want exactly one", err, fits)
	}
}
