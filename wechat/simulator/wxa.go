package simulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// The paths of wxa that are simulated.
const (
	pathPhoneNumber  = "/wxa/business/getuserphonenumber"
	pathCheckSession = "/wxa/checksession"
	pathResetSession = "/wxa/resetusersessionkey"
	pathTextCheck    = "/wxa/msg_sec_check"
)

func (s *Server) mountWXA(mux *http.ServeMux) {
	mux.HandleFunc(pathPhoneNumber, s.wechat(pathPhoneNumber, s.postOnly(s.handlePhoneNumber)))
	mux.HandleFunc(pathCheckSession, s.wechat(pathCheckSession, s.getOnly(s.handleCheckSession)))
	mux.HandleFunc(pathResetSession, s.wechat(pathResetSession, s.getOnly(s.handleResetSession)))
	mux.HandleFunc(pathTextCheck, s.wechat(pathTextCheck, s.postOnly(s.handleTextCheck)))
	mux.HandleFunc("/wxa/", func(w http.ResponseWriter, r *http.Request) { s.refuse(w, r, 40066) })
}

func isWXA(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/wxa/") }

// callingProgram is callingApp for calls that only mini programs have; others are answered 48001 (assumed).
func (s *Server) callingProgram(r *http.Request) (*App, int) {
	app, errcode := s.callingApp(r)
	if errcode == 0 && app.Provider != ProviderMiniProgram {
		return nil, 48001
	}
	return app, errcode
}

// okReply is a success of the APIs that say so.
func okReply() errorReply { return errorReply{ErrMsg: "ok"} }

// handleCheckSession is GET /wxa/checksession (wechat-protocol §8.2).
func (s *Server) handleCheckSession(w http.ResponseWriter, r *http.Request) {
	if _, _, errcode := s.sessionSigned(r); errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	writeCGI(w, okReply())
}

// sessionSigned finds whose session a call is about and checks that the caller has its key: the signature is the HMAC of
// nothing under the key's text (documented). That a key which was replaced gives 87009 like a wrong one is documented,
// that an unknown signature method does too is assumed.
func (s *Server) sessionSigned(r *http.Request) (*App, string, int) {
	app, errcode := s.callingProgram(r)
	if errcode != 0 {
		return nil, "", errcode
	}
	q := r.URL.Query()
	if q.Get("openid") == "" {
		return nil, "", 41009
	}
	name, known := s.nameOf(app, q.Get("openid"))
	if !known {
		return nil, "", 40003
	}
	if k, ok := s.session(app, name); !ok || !signedWith(k.key, q) {
		return nil, "", 87009
	}
	return app, name, 0
}

func signedWith(key string, q url.Values) bool {
	given, err := hex.DecodeString(q.Get("signature"))
	mac := hmac.New(sha256.New, []byte(key))
	return err == nil && q.Get("sig_method") == "hmac_sha256" && hmac.Equal(given, mac.Sum(nil))
}

// resetsAMinute is assumed: that frequent resets of one user are refused is documented, how many and how is not.
const resetsAMinute = 10

// handleResetSession is GET /wxa/resetusersessionkey (wechat-protocol §8.3).
func (s *Server) handleResetSession(w http.ResponseWriter, r *http.Request) {
	app, name, errcode := s.sessionSigned(r)
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	now, fresh := s.now(), newSessionKey()
	s.sessionKeys.change(app.AppID+" "+name, func(k *sessionKey) {
		if now.Sub(k.lastReset) >= time.Minute {
			k.resets = 0
		}
		if k.resets == resetsAMinute {
			errcode = 45011
			return
		}
		k.resets, k.lastReset = k.resets+1, now
		k.key, k.previous = fresh, k.key
	})
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	writeCGI(w, struct {
		errorReply
		OpenID     string `json:"openid"`
		SessionKey string `json:"session_key"`
	}{okReply(), openID(app.AppID, name), fresh})
}

// textCheck is the body of POST /wxa/msg_sec_check, version 2 (wechat-protocol §8.7).
type textCheck struct {
	Version   int    `json:"version"`
	OpenID    string `json:"openid"`
	Scene     int    `json:"scene"`
	Content   string `json:"content"`
	Nickname  string `json:"nickname"`
	Title     string `json:"title"`
	Signature string `json:"signature"`
}

type textVerdict struct {
	Strategy string `json:"strategy,omitempty"`
	ErrCode  *int   `json:"errcode,omitempty"`
	Suggest  string `json:"suggest"`
	Label    int    `json:"label"`
	Prob     int    `json:"prob,omitempty"`
}

type textCheckReply struct {
	errorReply
	Result  textVerdict   `json:"result"`
	Detail  []textVerdict `json:"detail"`
	TraceID string        `json:"trace_id"`
}

const (
	textMax    = 2500          // characters, documented
	openedLast = 2 * time.Hour // documented: the user must have been in the mini program that recently
)

// handleTextCheck has its own idea of what is risky, so that it can be provoked: see [verdictOn].
func (s *Server) handleTextCheck(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingProgram(r)
	var body textCheck
	if errcode == 0 {
		errcode = readPost(w, r, &body)
	}
	if errcode == 0 {
		errcode = s.checkTextCall(app, body)
	}
	verdict := verdictOn(body.Content + body.Nickname + body.Title + body.Signature)
	if errcode == 0 && verdict.Suggest != "pass" && s.switches.choice(switchTextCheck) == "v1" {
		errcode = 87014
	}
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	none := 0
	detail := verdict
	detail.Strategy, detail.ErrCode, detail.Prob = "content_model", &none, 90
	writeCGI(w, textCheckReply{errorReply: okReply(), Result: verdict, Detail: []textVerdict{detail}, TraceID: s.rid()})
}

func (s *Server) checkTextCall(app *App, body textCheck) int {
	name, known := s.nameOf(app, body.OpenID)
	session, _ := s.session(app, name)
	switch {
	case body.Content == "":
		return 44002 // assumed
	case body.Scene < 1 || body.Scene > 4:
		return 40129
	case !known:
		return 40003
	case utf8.RuneCountInString(body.Content) > textMax:
		return 45002 // assumed
	case s.now().Sub(session.opened) > openedLast:
		return 61010
	}
	return 0
}

// verdictOn finds risky any text with 违规 or the word risky in it, doubtful one with 疑似 or the word review, and all
// others normal. The labels are documented.
func verdictOn(text string) textVerdict {
	text = strings.ToLower(text)
	has := func(words ...string) bool {
		for _, word := range words {
			if strings.Contains(text, word) {
				return true
			}
		}
		return false
	}
	switch {
	case has("违规", "risky"):
		return textVerdict{Suggest: "risky", Label: 20006}
	case has("疑似", "review"):
		return textVerdict{Suggest: "review", Label: 21000}
	}
	return textVerdict{Suggest: "pass", Label: 100}
}
