package simulator

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// The paths of cgi-bin that are simulated.
const (
	pathToken         = "/cgi-bin/token"
	pathStableToken   = "/cgi-bin/stable_token"
	pathFollower      = "/cgi-bin/user/info"
	pathFollowerBatch = "/cgi-bin/user/info/batchget"
	pathFollowers     = "/cgi-bin/user/get"
	pathCallbackIP    = "/cgi-bin/getcallbackip"
)

func (s *Server) mountCGI(mux *http.ServeMux) {
	mux.HandleFunc(pathToken, s.wechat(pathToken, s.getOnly(s.handleToken)))
	mux.HandleFunc(pathStableToken, s.wechat(pathStableToken, s.postOnly(s.handleStableToken)))
	mux.HandleFunc(pathFollower, s.wechat(pathFollower, s.getOnly(s.handleFollower)))
	mux.HandleFunc(pathFollowerBatch, s.wechat(pathFollowerBatch, s.postOnly(s.handleFollowerBatch)))
	mux.HandleFunc(pathFollowers, s.wechat(pathFollowers, s.getOnly(s.handleFollowers)))
	mux.HandleFunc(pathCallbackIP, s.wechat(pathCallbackIP, s.getOnly(s.handleCallbackIP)))
	mux.HandleFunc("/cgi-bin/", func(w http.ResponseWriter, r *http.Request) { s.refuse(w, r, 40066) })
}

func isCGI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/cgi-bin/") }

// postOnly answers 43002 to anything but POST (documented, wechat-protocol §2.3).
func (s *Server) postOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			s.refuse(w, r, 43002)
			return
		}
		next(w, r)
	}
}

// writeCGI sends v as cgi-bin/* does: labelled with "encoding", not "charset"; otherwise like sns (observed,
// wechat-protocol §0.1).
func writeCGI(w http.ResponseWriter, v any) {
	writeLabelled(w, "application/json; encoding=utf-8", wireJSON(v))
}

// cgiErrorText is errorText where cgi-bin has another wording (observed, wechat-protocol §2.3, §2.4).
func cgiErrorText(errcode int, r *http.Request) string {
	switch errcode {
	case 40001:
		if r.URL.Path == pathToken || r.URL.Path == pathStableToken {
			return "invalid credential" // assumed wording for a wrong secret
		}
		return "invalid credential, access_token is invalid or not latest, could get access_token by " +
			"getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r"
	case 40125:
		return "invalid appsecret, view more at http://t.cn/RAEkdVq hint: [" + newHint() + "]"
	case 45011:
		return "api minute-quota reach limit mustslower retry next minute"
	}
	return errorText(errcode, r)
}

// newHint is 16 characters, as in the 40125 on record (observed, wechat-protocol §2.3).
func newHint() string {
	var b [12]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// readPost decodes the JSON of a POST, whatever its content type says (observed, wechat-protocol §0.1); unknown fields
// are ignored. An empty body is 44002, anything that is not one JSON value of the right shape 47001 (assumed).
func readPost(w http.ResponseWriter, r *http.Request, into any) (errcode int) {
	const limit = 1 << 20
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	tooLarge := (*http.MaxBytesError)(nil)
	switch {
	case errors.As(err, &tooLarge), err == nil && len(body) > 0 && json.Unmarshal(body, into) != nil:
		return 47001
	case err != nil || len(body) == 0:
		return 44002
	}
	return 0
}

// handleCallbackIP lists the addresses pushes come from: here always this machine (documented shape, §2.5).
func (s *Server) handleCallbackIP(w http.ResponseWriter, r *http.Request) {
	if _, errcode := s.callingApp(r); errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	writeCGI(w, struct {
		IPList []string `json:"ip_list"`
	}{[]string{"127.0.0.1"}})
}
