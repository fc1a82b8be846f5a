package simulator

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
)

// field is one member of a JSON object; objects keep their order here, because WeCom's do.
type field struct {
	name  string
	value any
}

// object encodes fields in their order, characters beyond ASCII raw (§0.1 leaves open which way).
func object(fields ...field) []byte {
	var b bytes.Buffer
	for i, f := range fields {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(strconv.Quote(f.name) + ":")
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(f.value); err != nil {
			panic(fmt.Sprintf("simulator: encode %s: %v", f.name, err)) // own values only: a programming fault
		}
		b.Truncate(b.Len() - 1) // the newline
	}
	b.WriteByte('}')
	return b.Bytes()
}

// errFields begin or end most answers.
func errFields(errcode int, errmsg string) []field {
	return []field{{"errcode", errcode}, {"errmsg", errmsg}}
}

// answerWeCom is a success: errcode first, as on most pages of the documentation.
func answerWeCom(w http.ResponseWriter, fields ...field) {
	writeWeCom(w, 0, "ok", object(append(errFields(0, "ok"), fields...)...))
}

// answerWeComLast is a success with errcode at the end (documented for the lists of addresses and jscode2session).
func answerWeComLast(w http.ResponseWriter, fields ...field) {
	writeWeCom(w, 0, "ok", object(append(fields, errFields(0, "ok")...)...))
}

// writeWeCom sends a body with the headers seen on qyapi (observed, §0.1), always with status 200.
func writeWeCom(w http.ResponseWriter, errcode int, errmsg string, body []byte) {
	h := w.Header()
	h.Set("Server", "nginx")
	h["Error-Code"] = []string{strconv.Itoa(errcode)}
	h["Error-Msg"] = []string{errmsg}
	h["X-W-No"] = []string{strconv.Itoa(int(randomDigits(1)[0] - '0'))}
	writeLabelled(w, "application/json; charset=UTF-8", body)
}

// refuseWeCom answers an error in the form of the path: with the empty fields that its answers have by default before or
// after errcode (observed, §0.1), and on the pages of the web login as a page.
func (s *Server) refuseWeCom(w http.ResponseWriter, r *http.Request, errcode int) {
	if !strings.HasPrefix(r.URL.Path, qyapiPrefix+"/") {
		s.showError(w, pageError{code: errcode, text: "该链接无法访问", hint: wecomErrorText(errcode)})
		return
	}
	errmsg := s.wecomErrMsg(r, errcode)
	fields := errFields(errcode, errmsg)
	none := []int{}
	switch r.URL.Path {
	case pathMember:
		fields = append(fields, field{"department", none}, field{"order", none},
			field{"is_leader_in_dept", none}, field{"direct_leader", none})
	case pathDomainIP, pathWeComPushIP:
		fields = append([]field{{"ip_list", none}}, fields...)
	}
	writeWeCom(w, errcode, errmsg, object(fields...))
}

// isWeCom tells the requests whose errors refuseWeCom words.
func isWeCom(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, qyapiPrefix+"/") || r.URL.Path == pathWebLogin || r.URL.Path == pathOldWebLogin
}

// wecomErrMsg is the wording with its suffix (observed, §0.2). A bad token is told without one, except where addresses
// are asked for.
func (s *Server) wecomErrMsg(r *http.Request, errcode int) string {
	text := wecomErrorText(errcode)
	if errcode == 40014 && r.URL.Path != pathDomainIP && r.URL.Path != pathWeComPushIP {
		return text
	}
	return fmt.Sprintf("%s, hint: [%s], from ip: %s, more info at https://open.work.weixin.qq.com/devtool/query?e=%d",
		text, s.wecomHint(), callerIP(r), errcode)
}

// wecomHint is 25 digits, the first ten of them the time (observed, §0.2).
func (s *Server) wecomHint() string {
	return fmt.Sprintf("%010d", s.now().Unix()) + randomDigits(15)
}

func randomDigits(n int) string {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
	number, err := rand.Int(rand.Reader, limit)
	if err != nil {
		panic(fmt.Sprintf("simulator: crypto/rand: %v", err)) // it never fails
	}
	return fmt.Sprintf("%0*d", n, number)
}

// wecomErrorText is the English wording of an errcode, without its suffix (§10): observed, or assumed where the comment
// says so.
func wecomErrorText(errcode int) string {
	texts := map[int]string{
		-1:     "system error", // assumed
		40001:  "invalid credential",
		40003:  "invalid userid", // assumed
		40013:  "invalid corpid",
		40014:  "invalid access_token",
		40029:  "invalid code",
		40056:  "invalid agentid", // assumed
		40058:  "invalid Request Parameter",
		40063:  "some parameters are empty", // assumed
		40091:  "secret is invalid",
		40093:  "invalid signature",
		41001:  "access_token missing",
		41002:  "corpid missing", // assumed
		41004:  "corpsecret missing",
		41008:  "missing auth code", // assumed
		41009:  "userid missing",    // assumed
		41011:  "agentid missing",   // assumed
		42001:  "access_token expired",
		42003:  "code expired",         // assumed
		42012:  "jsapi_ticket invalid", // assumed
		42013:  "session expired",      // assumed
		42022:  "code used",            // assumed
		45009:  "api freq out of limit",
		45033:  "api concurrent out of limit",
		48002:  "api forbidden",
		50001:  "redirect_uri unauthorized",
		50003:  "app disabled",                                       // assumed
		60011:  "no privilege to access/modify contact/party/agent ", // with a blank before the comma
		60020:  "not allow to access from your ip",
		60111:  "userid not found",
		84014:  "user_ticket expired", // assumed
		84015:  "user_ticket invalid", // assumed
		301002: "not allow operate another agent with this accesstoken.",
	}
	if text, ok := texts[errcode]; ok {
		return text
	}
	return "error " + strconv.Itoa(errcode)
}
