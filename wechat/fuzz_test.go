package wechat_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
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

// FuzzOpen gives arbitrary bodies, rightly signed, to a callback in plain mode.
// Whatever they are: a message whose raw form says the same when it is read
// again, or one error that quotes nothing.
func FuzzOpen(f *testing.F) {
	for _, seed := range []string{
		kitEvent, officialEvent, text("a]]&gt;b"), event("SCAN", "<EventKey>1</EventKey>"), "<xml/>", "<xml>", "", "{", "{}", `{"a":[{}]}`,
		"<!DOCTYPE a>", `<?xml version="1.0"?>` + kitEvent, push("<a><b/></a>"), push("<x:a/>"), push("<!-- -->"), "\uFEFF" + kitEvent, push("\xff\x00"),
	} {
		f.Add([]byte(seed))
	}
	c := plainCallback(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := c.Open(signed(), body)
		if err != nil {
			wantOneCallbackError(t, err)
			return
		}
		if m.From == "" || m.User() == "" || m.Type == "" || len(m.Key()) != 64 || len(m.Raw) > 3*wechat.MaxCallbackBody {
			t.Errorf("got %+v", m)
		}
		if len(m.Raw) <= wechat.MaxCallbackBody {
			again, err := c.Open(signed(), m.Raw)
			if err != nil || again.Key() != m.Key() || !maps.Equal(again.Fields, m.Fields) {
				t.Errorf("read again: %+v, %v, first %+v", again, err, m)
			}
		}
		if _, err := c.TextReply(m, m.Content); err != nil {
			t.Error(err)
		}
		// Another reader of XML sees the same sender.
		if m.Raw[0] == '<' {
			var other struct{ FromUserName string }
			if err := xml.Unmarshal(m.Raw, &other); err != nil || other.FromUserName != m.From {
				t.Errorf("encoding/xml reads %q, %v from %q", other.FromUserName, err, m.Raw)
			}
		}
	})
}

// FuzzDecrypt gives arbitrary ciphertexts to the cipher: no panic, and ErrDecrypt
// or a message that seals and opens again. The plaintexts are encrypted here, or
// nothing would ever get past the padding.
func FuzzDecrypt(f *testing.F) {
	f.Add(plaintext("hello", 5, kitApp, 0), false)
	f.Add(plaintext("hello", 6, kitApp, 0), false)
	f.Add(plaintext("", 0xFFFFFFFF, kitApp, 0), false)
	f.Add(padded(nil, 32, 32), false)
	f.Add(padded(nil, 16, 17), false)
	f.Add([]byte("jn1L23DB+6ELqJ+6bruv25lSmEaVO4ORgC1nIVwu5AMEhwzSY4b+aQwtNQrIW7mZYhRkCl7KrITrHfTvdcKtuA=="), true)
	f.Add([]byte("AA=="), true)
	c := newMessageCipher(f, kitKey, kitApp)
	f.Fuzz(func(t *testing.T, data []byte, raw bool) {
		ciphertext := string(data)
		if !raw {
			ciphertext = encrypt(t, kitKey, data[:len(data)/16*16])
		}
		message, err := c.Open(ciphertext)
		if err != nil {
			if !errors.Is(err, wechat.ErrDecrypt) {
				t.Errorf("got %v, want ErrDecrypt", err)
			}
			return
		}
		sealed, err := c.Seal(message, [16]byte{1})
		if err != nil {
			return // too long
		}
		if again, err := c.Open(sealed); err != nil || !bytes.Equal(again, message) {
			t.Errorf("%q became %q, %v", message, again, err)
		}
	})
}

// FuzzCallback gives arbitrary requests to callbacks of both modes. Nobody gets
// in without the token, and with a key nobody without a msg_signature.
func FuzzCallback(f *testing.F) {
	q, body := sealed(f, kitKey, kitApp, kitEvent)
	f.Add(q.Encode(), body)
	f.Add(signed().Encode(), []byte(kitEvent))
	f.Add(signed().Encode()+"&echostr=1", []byte(nil))
	f.Add("signature=&timestamp=&nonce=", []byte("<xml>"))
	f.Add("signature=a;timestamp=%zz&signature=b", []byte("{}"))
	plain, secure := plainCallback(f), secureCallback(f)
	f.Fuzz(func(t *testing.T, rawQuery string, body []byte) {
		query, err := url.ParseQuery(rawQuery)
		if err != nil {
			return
		}
		authentic := query.Get("signature") == wechat.MessageSignature(kitToken, query.Get("timestamp"), query.Get("nonce"))
		for _, c := range []*wechat.Callback{plain, secure} {
			if echo, err := c.Verify(query); err != nil {
				wantOneCallbackError(t, err)
			} else if !authentic || strings.ContainsAny(echo, "<>&\"'\r\n ") {
				t.Errorf("echo %q of %q", echo, rawQuery)
			}
			m, err := c.Open(query, body)
			if err != nil {
				wantOneCallbackError(t, err)
				continue
			}
			if !authentic || m.Encrypted != c.Encrypts() || m.Encrypted && query.Get("msg_signature") == "" {
				t.Errorf("opened %+v of %q", m, rawQuery)
			}
		}
	})
}

func wantOneCallbackError(t *testing.T, err error) {
	t.Helper()
	fits := 0
	for _, sentinel := range []error{wechat.ErrSignature, wechat.ErrStale, wechat.ErrMalformed, wechat.ErrDecrypt} {
		if errors.Is(err, sentinel) {
			fits++
		}
	}
	if fits != 1 || len(err.Error()) > 200 {
		t.Errorf("%v means %d things, want one, in short", err, fits)
	}
}
