package simulator

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// errorReply is a failure. The status is 200 all the same (documented and observed, wechat-protocol §0.1).
type errorReply struct {
	ErrCode int    `json:"errcode"`
	ErrMsg  string `json:"errmsg"`
}

// refuse answers an error in the form of the path's subsystem: on sns the wording, then ", rid: …" with a comma before
// it; on cgi-bin " rid: …" without one; on wxa " hint: […] rid: …" (observed, wechat-protocol §0.2).
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, errcode int) {
	if isWeCom(r) {
		s.refuseWeCom(w, r, errcode)
		return
	}
	if isCGI(r) {
		writeCGI(w, errorReply{ErrCode: errcode, ErrMsg: cgiErrorText(errcode, r) + " rid: " + s.rid()})
		return
	}
	if isWXA(r) {
		writeCGI(w, errorReply{ErrCode: errcode, ErrMsg: cgiErrorText(errcode, r) + " hint: [" + newHint() + "] rid: " + s.rid()})
		return
	}
	writeSNS(w, errorReply{ErrCode: errcode, ErrMsg: errorText(errcode, r) + ", rid: " + s.rid()})
}

// rid is a request id: three groups of 8 hex digits, the first of them the time (observed, wechat-protocol §0.2).
func (s *Server) rid() string {
	var b [8]byte
	rand.Read(b[:])
	return fmt.Sprintf("%08x-%08x-%08x", uint32(s.now().Unix()), binary.BigEndian.Uint32(b[:4]), binary.BigEndian.Uint32(b[4:]))
}

// writeSNS sends v as sns/* does: JSON labelled text/plain without a charset, slashes escaped, other characters as
// raw UTF-8 (observed, wechat-protocol §0.1).
func writeSNS(w http.ResponseWriter, v any) { writeWire(w, wireJSON(v)) }

func writeWire(w http.ResponseWriter, body []byte) { writeLabelled(w, "text/plain", body) }

func writeLabelled(w http.ResponseWriter, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// wireJSON encodes v. A slash can only occur inside a string, so replacing them all is safe.
func wireJSON(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("simulator: encode %T: %v", v, err)) // own structs only: a programming fault
	}
	return bytes.ReplaceAll(bytes.TrimSuffix(buf.Bytes(), []byte("\n")), []byte("/"), []byte(`\/`))
}

// errorText is the English wording of an errcode without its suffix (wechat-protocol §1.2 to §1.5, §8.1, §11).
func errorText(errcode int, r *http.Request) string {
	switch errcode {
	case -1:
		return "system error"
	case 40001:
		return "invalid credential, access_token is invalid or not latest"
	case 40002:
		return "invalid grant_type"
	case 40003:
		return "invalid openid"
	case 40013:
		return "invalid appid"
	case 40014:
		return "invalid access_token"
	case 40029:
		return "invalid code"
	case 40030:
		return "invalid refresh_token"
	case 40031:
		return "invalid openid list"
	case 40032:
		return "invalid openid list size"
	case 40066:
		return "invalid url"
	case 40125:
		return "invalid appsecret"
	case 40163:
		return "code been used"
	case 40164:
		ip := callerIP(r)
		return "invalid ip " + ip + " ipv6 ::ffff:" + ip + ", not in whitelist"
	case 40226:
		return "code blocked"
	case 40243:
		return "appsecret is frozen" // assumed wording
	case 41001:
		return "access_token missing"
	case 41002:
		return "appid missing"
	case 41003:
		return "refresh_token missing"
	case 41004:
		return "appsecret missing"
	case 41008:
		return "missing code"
	case 41009:
		return "openid missing"
	}
	return laterErrorText(errcode, r)
}

func laterErrorText(errcode int, r *http.Request) string {
	switch errcode {
	case 42001:
		return "access_token expired"
	case 42002:
		return "refresh_token expired"
	case 42003:
		return "code expired" // assumed wording, after the documented oauth_code 超时
	case 42007:
		return "user changed password, access_token and refresh_token invalid" // assumed wording
	case 43001:
		return "require GET method"
	case 43002:
		return "require POST method"
	case 43003:
		return "require https"
	case 44002:
		return "empty post data"
	case 45009:
		return "reach max api daily quota limit"
	case 45011:
		if r.URL.Path == pathSession {
			return "api minute-quota reach limit  mustslower  retry next minute"
		}
		return "api minute-quota reach limit, must slower, retry next minute"
	case 46003:
		return "menu no exist"
	case 47001:
		return "data format error"
	case 48001:
		return "api unauthorized"
	case 50001:
		return "user unauthorized this api"
	case 50002:
		return "user limited"
	}
	return reachErrorText(errcode)
}
