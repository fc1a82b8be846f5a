package wechat_test

import (
	"testing"

	"wxbridge/wechat"
)

func TestKnownAnswers_JSSDK(t *testing.T) {
	const ticket = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
	for name, row := range map[string]struct {
		url  string
		same bool
	}{
		"the sample":                 {"http://mp.weixin.qq.com?params=value", true},
		"with a fragment":            {"http://mp.weixin.qq.com?params=value#/route?a=b", true},
		"with an empty fragment":     {"http://mp.weixin.qq.com?params=value#", true},
		"with two fragments":         {"http://mp.weixin.qq.com?params=value#a#b", true},
		"with a slash":               {"http://mp.weixin.qq.com/?params=value", false},
		"another scheme":             {"https://mp.weixin.qq.com?params=value", false},
		"escaped":                    {"http://mp.weixin.qq.com?params=value%20", false},
		"with another parameter":     {"http://mp.weixin.qq.com?params=value&from=singlemessage", false},
		"which HTML escaped":         {"http://mp.weixin.qq.com?params=value&amp;from=singlemessage", false},
		"the same without its query": {"http://mp.weixin.qq.com", false},
	} {
		got := wechat.SignJSSDK(ticket, "Wm3WZYTPz0wzccnW", 1414587457, row.url)
		if same := got == "0f9de62fce790f9a083d5c99e95740ceb90c27ed"; same != row.same || len(got) != 40 {
			t.Errorf("%s: got %s", name, got)
		}
	}
}
