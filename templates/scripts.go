package templates

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

//go:embed scripts/jssdk.js
var jssdkSource []byte

// What stands in scripts/jssdk.js for the addresses that JSSDKScript puts there.
const (
	jssdkBridge = `'https://login.example.com'`
	jssdkWeixin = `'https://res.wx.qq.com/open/js/jweixin-1.6.0.js'`
)

// JSSDKScript serves the page side of the JS-SDK to GET and HEAD: for the bridge at this origin, and with WeChat's script from
// another address if weixin is not "".
func JSSDKScript(bridge, weixin string) (http.Handler, error) {
	script, err := putAddress(jssdkSource, jssdkBridge, bridge)
	if err == nil && weixin != "" {
		script, err = putAddress(script, jssdkWeixin, weixin)
	}
	if err != nil {
		return nil, fmt.Errorf("templates: jssdk.js: %w", err)
	}
	sum := sha256.Sum256(script)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", contentType("jssdk.js"))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(script))
	}), nil
}

// putAddress replaces a string literal of the script, which is there once.
func putAddress(script []byte, literal, address string) ([]byte, error) {
	if bytes.Count(script, []byte(literal)) != 1 {
		return nil, fmt.Errorf("%s is not there once", literal)
	}
	quoted, err := json.Marshal(address) // escapes <, > and & too
	if err != nil {
		return nil, err
	}
	return bytes.Replace(script, []byte(literal), quoted, 1), nil
}
