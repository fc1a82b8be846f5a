package handlers

import "strings"

// maxUserAgent is how much of a User-Agent is looked at, in bytes.
const maxUserAgent = 512

// browserName says what a browser is, for people: "Firefox · Windows". It is made of words of ours alone, so that nobody can
// write a message into it; what is not known is left out.
func browserName(userAgent string) string {
	agent := strings.ToLower(userAgent[:min(len(userAgent), maxUserAgent)])
	browser := firstFound(agent, [][2]string{ // those that name others too come first
		{"micromessenger", "WeChat"}, {"edg/", "Edge"}, {"edga/", "Edge"}, {"edgios/", "Edge"}, {"opr/", "Opera"},
		{"qqbrowser", "QQ Browser"}, {"360se", "360"}, {"metasr", "Sogou"}, {"samsungbrowser", "Samsung Internet"},
		{"huaweibrowser", "Huawei Browser"}, {"firefox/", "Firefox"}, {"fxios/", "Firefox"},
		{"chrome/", "Chrome"}, {"crios/", "Chrome"}, {"chromium/", "Chromium"}, {"version/", "Safari"}, {"curl/", "curl"},
	})
	system := firstFound(agent, [][2]string{
		{"windows", "Windows"}, {"harmony", "HarmonyOS"}, {"android", "Android"}, {"iphone", "iPhone"}, {"ipad", "iPad"},
		{"mac os x", "macOS"}, {"cros", "ChromeOS"}, {"linux", "Linux"},
	})
	if browser == "" || system == "" {
		return browser + system
	}
	return browser + " · " + system
}

// isPhone tells a phone's or small tablet's browser from a computer's.
func isPhone(userAgent string) bool {
	agent := strings.ToLower(userAgent[:min(len(userAgent), maxUserAgent)])
	return firstFound(agent, [][2]string{{"android", "phone"}, {"iphone", "phone"}, {"ipod", "phone"}, {"mobile", "phone"}}) != ""
}

func firstFound(text string, names [][2]string) string {
	for _, name := range names {
		if strings.Contains(text, name[0]) {
			return name[1]
		}
	}
	return ""
}
