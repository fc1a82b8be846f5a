package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	wxRequestTime  = 60 * time.Second // documented default of wx.request
	wxRequestBody  = 1 << 20
	wxResponseBody = 4 << 20
)

// wxRequest is what the launcher's wx.request sends to POST /_simulator/wx-request.
type wxRequest struct {
	URL      string            `json:"url"`
	Method   string            `json:"method"` // GET if empty
	Header   map[string]string `json:"header"`
	Data     json.RawMessage   `json:"data"`     // a string is the body itself; any other JSON is sent as JSON
	DataType string            `json:"dataType"` // "json" if empty: JSON is decoded; anything else: data is a string
	Timeout  int               `json:"timeout"`  // milliseconds; 60 s at most
}

// wxResponse is what the success callback of wx.request gets.
type wxResponse struct {
	StatusCode int               `json:"statusCode"`
	Header     map[string]string `json:"header"`
	Data       any               `json:"data"`
}

// wxFailure is what the fail callback of wx.request gets.
type wxFailure struct {
	ErrMsg string `json:"errMsg"`
	ErrNo  int    `json:"errno,omitempty"`
}

func (f wxFailure) Error() string { return f.ErrMsg }

// handleRequest plays the network of the mini program's phone. It reaches the bridge and nothing else, as a phone
// reaches only the domains listed in WeChat's console, and it keeps no cookies.
func (l *launcher) handleRequest(w http.ResponseWriter, r *http.Request) {
	var in wxRequest
	r.Body = http.MaxBytesReader(w, r.Body, wxRequestBody)
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		writeControl(w, status, wxFailure{ErrMsg: "request:fail the body is not the JSON of a wx.request"})
		return
	}
	out, err := l.outgoing(in)
	if err != nil {
		writeFailure(w, http.StatusForbidden, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeoutOf(in))
	defer cancel()
	reply, err := l.forward(out.WithContext(ctx), in.DataType)
	if err != nil {
		writeFailure(w, http.StatusBadGateway, err)
		return
	}
	writeControl(w, http.StatusOK, reply)
}

// outgoing makes the request that the bridge sees. Referer and User-Agent are those of WeChat's DevTools (documented,
// observed; wechat-protocol §12.1) and cannot be set by the program.
func (l *launcher) outgoing(in wxRequest) (*http.Request, error) {
	app := l.firstApp(ProviderMiniProgram)
	target, err := url.Parse(in.URL)
	if err != nil || app == nil || l.bridge == nil || !l.isBridge(target) {
		return nil, wxFailure{ErrMsg: "request:fail url not in domain list", ErrNo: 600002}
	}
	method, ok := wxMethod(in.Method)
	if !ok {
		return nil, wxFailure{ErrMsg: "request:fail method is invalid"}
	}
	out, err := http.NewRequest(method, target.String(), bytes.NewReader(bodyOf(in.Data)))
	if err != nil {
		return nil, wxFailure{ErrMsg: "request:fail invalid url"}
	}
	for name, value := range in.Header {
		if !ownedByPhone(name) {
			out.Header.Set(name, value)
		}
	}
	if out.Header.Get("Content-Type") == "" {
		out.Header.Set("Content-Type", "application/json") // documented default, sent with GET too
	}
	out.Header.Set("Referer", "https://servicewechat.com/"+app.AppID+"/devtools/page-frame.html")
	out.Header.Set("User-Agent", devToolsUserAgent)
	return out, nil
}

const devToolsUserAgent = "Mozilla/5.0 (iPhone; CPU iPhone OS 15_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.0 Mobile/15E148 Safari/604.1 wechatdevtools/1.06.2412050 MicroMessenger/8.0.5 Language/zh_CN webview/"

// isBridge compares scheme, host and port, with nothing in between that could mean another host.
func (l *launcher) isBridge(u *url.URL) bool {
	return u.Scheme == l.bridge.Scheme && strings.EqualFold(u.Host, l.bridge.Host) && u.User == nil && u.Opaque == ""
}

// wxMethod knows the methods of wx.request (documented): PATCH is not among them, on a phone either.
func wxMethod(method string) (string, bool) {
	if method == "" {
		return http.MethodGet, true
	}
	method = strings.ToUpper(method)
	known := []string{http.MethodOptions, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete}
	return method, slices.Contains(known, method)
}

// ownedByPhone says which headers a program cannot set here: Referer as on a phone (documented), Cookie because the
// simulator's phone has none, and those that belong to the connection.
func ownedByPhone(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Referer", "Cookie", "User-Agent", "Host", "Content-Length", "Connection", "Keep-Alive", "Transfer-Encoding",
		"Te", "Trailer", "Upgrade", "Accept-Encoding", "Expect":
		return true
	}
	return false
}

func bodyOf(data json.RawMessage) []byte {
	var text string
	switch {
	case len(data) == 0 || string(data) == "null":
		return nil
	case json.Unmarshal(data, &text) == nil:
		return []byte(text)
	}
	return data
}

func timeoutOf(in wxRequest) time.Duration {
	asked := time.Duration(in.Timeout) * time.Millisecond
	if asked <= 0 || asked > wxRequestTime {
		return wxRequestTime
	}
	return asked
}

func (l *launcher) forward(out *http.Request, dataType string) (wxResponse, error) {
	client := &http.Client{Transport: l.server.visitor, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if !l.isBridge(next.URL) || len(via) >= 5 {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	resp, err := client.Do(out)
	if err != nil {
		return wxResponse{}, failureOf(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, wxResponseBody+1))
	switch {
	case err != nil:
		return wxResponse{}, failureOf(err)
	case len(body) > wxResponseBody:
		return wxResponse{}, wxFailure{ErrMsg: "request:fail response data is too large"}
	}
	return wxResponse{StatusCode: resp.StatusCode, Header: joined(resp.Header), Data: dataOf(body, dataType)}, nil
}

// dataOf decodes JSON whatever its content type says (documented); what is none stays text.
func dataOf(body []byte, dataType string) any {
	if (dataType == "" || dataType == "json") && json.Valid(body) {
		return json.RawMessage(body)
	}
	return string(body)
}

func joined(h http.Header) map[string]string {
	flat := make(map[string]string, len(h))
	for name, values := range h {
		flat[name] = strings.Join(values, ",")
	}
	return flat
}

// failureOf keeps the cause short: addresses and wording of the library say nothing to the program.
func failureOf(err error) wxFailure {
	if errors.Is(err, context.DeadlineExceeded) {
		return wxFailure{ErrMsg: "request:fail timeout", ErrNo: 5}
	}
	return wxFailure{ErrMsg: "request:fail the bridge did not answer"}
}

func writeFailure(w http.ResponseWriter, status int, err error) {
	failure := wxFailure{ErrMsg: "request:fail"}
	errors.As(err, &failure)
	writeControl(w, status, failure)
}
