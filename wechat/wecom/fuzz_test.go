package wecom_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"wxbridge/wechat"
	"wxbridge/wechat/wecom"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// canned answers every call but gettoken with body.
func canned(t *testing.T, body []byte) *wecom.Client {
	t.Helper()
	return newClient(t, &wecom.API{Now: newClock().Now, HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		answer := body
		if strings.HasSuffix(r.URL.Path, "/gettoken") {
			answer = []byte(`{"errcode":0,"access_token":"lent-token-1","expires_in":7200}`)
		}
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(answer)), Request: r}, nil
	})}}, app(), wecom.Options{})
}

// FuzzAnswers: whatever WeCom answers is somebody of a possible shape or one error
// that is fit for a log.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		memberAnswer, `{}`, `[]`, `{"errcode":"0","userid":"ww1/a"}`, `{"openid":"o","external_userid":"wm"}`,
		refusal(40029, "invalid code"), refusal(60020, "not allow"), `{"errcode":-1}`, `{"errcode":42001}`,
		`{"corpid":"` + corpID + `","userid":"zhangsan","session_key":"x"}`,
		`{"userid":"zhangsan","status":1,"department":[1,"2"],"name":"\u0000张","gender":"1"}`, "\ufeff{\"userid\":\"a\n\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c := canned(t, body)
		v, err := c.Exchange(t.Context(), code)
		if err == nil {
			id := strings.TrimSpace(v.UserID + v.LinkedUserID + v.OpenID + v.ExternalUserID)
			if id == "" || v.UserID != "" && (v.LinkedUserID != "" || v.OpenID != "" || strings.Contains(v.UserID, "/")) || len(v.UserID) > 64 {
				t.Errorf("%q names %+v", body, v)
			}
		} else {
			wantOneMeaning(t, err)
		}
		if s, err := c.Login(t.Context(), code); err != nil {
			wantOneMeaning(t, err)
		} else if s.UserID == "" || !bytes.Contains(body, []byte("corpid")) {
			t.Errorf("%q logs %+v in", body, s)
		}
		if m, err := c.Member(t.Context(), userID); err != nil {
			wantOneMeaning(t, err)
		} else if wecom.FoldUserID(m.UserID) != wecom.FoldUserID(userID) || m.Status == 0 {
			t.Errorf("%q is member %+v", body, m)
		}
		if _, err := c.Detail(t.Context(), wecom.Visitor{UserID: userID, Ticket: ticket}); err != nil {
			wantOneMeaning(t, err)
		}
	})
}

func wantOneMeaning(t *testing.T, err error) {
	t.Helper()
	fits := 0
	for _, sentinel := range sentinels() {
		if errors.Is(err, sentinel) {
			fits++
		}
	}
	if fits != 1 {
		t.Errorf("%q has %d meanings", err, fits)
	}
	if text := err.Error(); len(text) > 2000 || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("%q is not fit for a log", text)
	}
}

// FuzzOpen: whatever comes with a good signature is a message or one of the four
// errors; what comes without is never a message.
func FuzzOpen(f *testing.F) {
	for _, seed := range []string{row7Message, row2Message, "", "<xml/>", `{"MsgType":"event"}`,
		event("sys", "<Event>change_contact</Event><ChangeType>update_user</ChangeType><UserID>a</UserID><Department>1,2</Department><Status>5</Status>")} {
		f.Add(seed, "1597212914")
	}
	f.Fuzz(func(t *testing.T, message, nonce string) {
		if len(message) > wechat.MaxCallbackBody {
			t.Skip()
		}
		query, body := push(t, message)
		c := newCallback(t, "1000002", 1700000000)
		m, err := c.Open(query, body)
		if err == nil {
			if m.UserID != "" && strings.ContainsAny(m.UserID, " /\n<") || len(m.Key()) != 64 || m.Gone() && m.UserID == "" {
				t.Errorf("%q is %+v", message, m)
			}
			if _, err := c.TextReply(m, message); err != nil {
				t.Errorf("no reply to %q: %v", message, err)
			}
		} else if !errors.Is(err, wechat.ErrMalformed) && !errors.Is(err, wechat.ErrDecrypt) {
			t.Errorf("%q: %v", message, err)
		}
		if nonce != "n" {
			query.Set("nonce", nonce)
			if m, err := c.Open(query, body); !errors.Is(err, wechat.ErrSignature) || m != nil {
				t.Errorf("another nonce: %+v, %v", m, err)
			}
		}
		query.Set("echostr", message)
		if echo, err := c.Verify(query); err == nil || echo != "" {
			t.Errorf("echoed %q", echo)
		}
	})
}
