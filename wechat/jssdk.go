package wechat

import (
	"crypto/sha1"
	"encoding/hex"
	"strconv"
	"strings"
)

// SignJSSDK is the signature that wx.config of the JS-SDK takes, and WeCom's
// wx.config and wx.agentConfig with theirs: the lower-case hex SHA-1 of ticket,
// nonce, timestamp (seconds since 1970) and url (wechat-protocol §3.2).
//
// url is the address of the page as the browser has it, with scheme, port and
// query, neither escaped again nor unescaped; the fragment, if there is one, is
// cut off. It is not checked: whose pages to sign for is for the caller to decide.
// The page hands the same timestamp to wx.config as a number, and the nonce as
// nonceStr.
func SignJSSDK(ticket Secret, nonce string, timestamp int64, url string) string {
	url, _, _ = strings.Cut(url, "#")
	sum := sha1.Sum([]byte("jsapi_ticket=" + ticket.Reveal() + "&noncestr=" + nonce +
		"&timestamp=" + strconv.FormatInt(timestamp, 10) + "&url=" + url))
	return hex.EncodeToString(sum[:])
}
