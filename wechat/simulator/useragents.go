package simulator

import (
	"net/http"
	"strings"
)

// UserAgent is what one client of the WeChat family calls itself.
type UserAgent struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// UserAgents are presets for tests that drive a browser (observed, wechat-protocol §12.1).
func UserAgents() []UserAgent {
	return []UserAgent{
		{"wechat-ios", iosUserAgent()},
		{"wechat-android", "Mozilla/5.0 (Linux; Android 13; 21091116UC Build/TP1A.220624.014; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/111.0.5563.116 Mobile Safari/537.36 XWEB/5307 MMWEBSDK/20230504 MMWEBID/6808 MicroMessenger/8.0.37.2380(0x2800255B) WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64"},
		{"wechat-harmony", "Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile MicroMessenger/8.0.10.41(0xf3100a29) Weixin NetType/WIFI Language/zh_HK MMWEBID/2907 MMWEBSDK/202508070004 XWEB/1140319"},
		{"wechat-windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36 NetType/WIFI MicroMessenger/7.0.20.1781(0x6700143B) WindowsWechat(0x63090a13) UnifiedPCWindowsWechat(0xf2541022) XWEB/16467 Flue"},
		{"wechat-mac", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) MicroMessenger/6.8.0(0x16080000) MacWechat/3.3(0x13030013) NetType/WIFI WindowsWechat"},
		{"wecom-ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)  Mobile/15E148 wxwork/4.1.30 MicroMessenger/7.0.1 Language/zh ColorScheme/Light wwmver/3.26.13.714"},
		{"wecom-windows", "Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/107.0.5304.110 Safari/537.36 Language/zh wxwork/4.1.10 (MicroMessenger/6.2) WindowsWechat  MailPlugin_Electron WeMail embeddisk"},
		{"webview-ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.69(0x18004539) NetType/4G Language/zh_CN miniProgram/wx336dcaf6a1ecf632"},
		{"webview-windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 MicroMessenger/7.0.20.1781(0x6700143B) NetType/WIFI MiniProgramEnv/Windows WindowsWechat/WMPF WindowsWechat(0x63090a13) UnifiedPCWindowsWechat(0xf2540611) XWEB/14199"},
		{"devtools-miniprogram", devToolsUserAgent},
		{"devtools", "Mozilla/5.0 (Linux; Android 7.1.1; Nexus 6 Build/N6F26U) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/75.0.3770.142 Mobile Safari/537.36 wechatdevtools/1.05.2110290 MicroMessenger/8.0.5 webview/1637315156379193 webdebugger port/38472"},
	}
}

func iosUserAgent() string {
	return "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.68(0x1800442b) NetType/WIFI Language/zh_CN"
}

// outsideWeChat says whether the authorize page must send this browser away. WeCom carries MicroMessenger too, but an
// official account's login does not work there (documented, wechat-protocol §12.1), so it is tested first. A browser
// that is not WeChat at all passes by default, or there would be no developing with one; the cookie simulator_browser
// (wechat, webview, wecom, desktop) overrides the User-Agent.
func (s *Server) outsideWeChat(r *http.Request) bool {
	if c, err := r.Cookie("simulator_browser"); err == nil {
		switch c.Value {
		case browserWeChat, browserWebView:
			return false
		case browserWeCom, browserDesktop:
			return true
		}
	}
	agent := strings.ToLower(r.UserAgent())
	if strings.Contains(agent, "wxwork") {
		return true
	}
	return s.switches.choice(switchOutsideWeChat) == "refused" && !strings.Contains(agent, "micromessenger")
}
