package config

import (
	"regexp"
	"slices"
	"strings"
)

// What an app can be of, as an apps file names it.
const (
	ProviderOfficialAccount = "official_account"
	ProviderMiniProgram     = "mini_program"
	ProviderWebsite         = "website"
	ProviderWeCom           = "wecom"
)

// providers are all of them. Nobody changes the list.
var providers = []string{ProviderOfficialAccount, ProviderMiniProgram, ProviderWebsite, ProviderWeCom}

// Providers are all that an app can be of.
func Providers() []string { return slices.Clone(providers) }

// DefaultApp is the alias of the apps that the environment configures, and the name of the open account of apps that
// name none.
const DefaultApp = "default"

// NamedApp is one of the apps of an instance.
type NamedApp struct {
	Alias    string // what app= names it
	Provider string // ProviderOfficialAccount, ProviderMiniProgram, ProviderWebsite or ProviderWeCom
	App             // of a WeCom app the corpid and the app's Secret

	OpenAccount    string // unionids are compared inside it only
	CallbackToken  Secret // signs what WeChat pushes; "" has no pushes
	EncodingAESKey Secret // 43 letters and digits; "" takes pushes in plain mode
	RotatingToken  bool   // app tokens come from cgi-bin/token instead of stable_token

	ConnectRedirect bool // as of OfficialApp
	ForcePopup      bool

	AgentID int64 // of WeCom apps, as are Private and Guests
	Private bool
	Guests  bool
}

// AppsOf gives the apps of a provider, that of the environment first, then those of the apps file in its order.
func (c Config) AppsOf(provider string) []NamedApp {
	return slices.DeleteFunc(slices.Clone(c.Apps), func(a NamedApp) bool { return a.Provider != provider })
}

// environmentApps are those that variables configure.
func (c Config) environmentApps() []NamedApp {
	var apps []NamedApp
	if a := c.Official; a.Configured() {
		apps = append(apps, NamedApp{Alias: DefaultApp, Provider: ProviderOfficialAccount, App: a.App, OpenAccount: DefaultApp,
			CallbackToken: a.Token, EncodingAESKey: a.EncodingAESKey, ConnectRedirect: a.ConnectRedirect, ForcePopup: a.ForcePopup})
	}
	if a := c.MiniProgram; a.Configured() {
		apps = append(apps, NamedApp{Alias: DefaultApp, Provider: ProviderMiniProgram, App: a, OpenAccount: DefaultApp})
	}
	if a := c.Website; a.Configured() {
		apps = append(apps, NamedApp{Alias: DefaultApp, Provider: ProviderWebsite, App: a, OpenAccount: DefaultApp})
	}
	if a := c.WeCom; a.Configured() {
		apps = append(apps, NamedApp{Alias: DefaultApp, Provider: ProviderWeCom, App: a.App, OpenAccount: DefaultApp,
			CallbackToken: a.Token, EncodingAESKey: a.EncodingAESKey, AgentID: a.AgentID, Private: a.Private, Guests: a.Guests})
	}
	return apps
}

// app checks an appid and its secret, which come together or not at all.
func (l *loader) app(kind, id, secret string) App {
	idName, secretName := kind+"_APP_ID", kind+"_APP_SECRET"
	switch {
	case id != "" && !appID.MatchString(id):
		l.fault(idName, "is not an appid, which is wx and 16 digits or letters a to f")
	case id == "" && (secret != "" || l.has(Prefix+secretName)):
		l.fault(idName, "is not set, but "+Prefix+secretName+" is")
	}
	switch {
	case secret == "" && id != "" && !l.has(Prefix+secretName):
		l.fault(secretName, "is not set, but "+Prefix+idName+" is; "+shownOnce)
	case secret != "":
		if problem := appSecretProblem(secret); problem != "" {
			l.fault(secretName, problem)
		}
	}
	return App{ID: id, Secret: Secret(secret)}
}

var appID = regexp.MustCompile(`^wx[0-9a-f]{16}$`)

const shownOnce = "WeChat's console shows it once, when it is made"

// appSecretProblem says what is wrong with an AppSecret; "" if nothing is.
func appSecretProblem(secret string) string {
	switch {
	case isPlaceholder(secret):
		return "is a placeholder; WeChat's console shows the real one once, when it is made"
	case strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "has a space, control or non-ASCII character, which no AppSecret has"
	case len(secret) > 256:
		return "has more than 256 bytes"
	}
	return ""
}

// callbackToken checks the token that signs pushes. WeChat's console takes 3 to 32 letters and digits; what it may come to
// take is its business.
func (l *loader) callbackToken(kind, id, token string) Secret {
	name := kind + "_TOKEN"
	switch {
	case token == "":
		return ""
	case id == "" && !l.has(Prefix+kind+"_APP_ID"):
		l.fault(name, "is set, but "+Prefix+kind+"_APP_ID is not")
	}
	if problem := callbackTokenProblem(token); problem != "" {
		l.fault(name, problem)
	}
	return Secret(token)
}

func callbackTokenProblem(token string) string {
	switch {
	case isPlaceholder(token):
		return "is a placeholder; make one with `openssl rand -hex 16` and enter it in WeChat's console, too"
	case len(token) < 3 || len(token) > 128 || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "is not 3 to 32 letters and digits, which is what WeChat's console takes"
	}
	return ""
}

// encodingAESKey checks the key that encrypts pushes. Of its last character some bits count for nothing.
func (l *loader) encodingAESKey(kind, token, key string) Secret {
	name := kind + "_ENCODING_AES_KEY"
	switch problem := encodingAESKeyProblem(key); {
	case key == "":
		return ""
	case problem != "":
		l.fault(name, problem)
	case token == "" && !l.has(Prefix+kind+"_TOKEN"):
		l.fault(kind+"_TOKEN", "is not set, but "+Prefix+name+" is; pushes are signed with it in every mode")
	}
	return Secret(key)
}

func encodingAESKeyProblem(key string) string {
	switch {
	case isPlaceholder(key):
		return "is a placeholder; WeChat's console makes the real one"
	case !encodingAESKey.MatchString(key):
		return "is not 43 letters and digits, as WeChat's console makes them"
	}
	return ""
}

var encodingAESKey = regexp.MustCompile(`^[A-Za-z0-9]{43}$`)

// apps checks what concerns the apps together.
func (l *loader) apps(v variables) {
	official, mini, website := v.OfficialAppID, v.MiniProgramAppID, v.WebsiteAppID
	if official != "" && official == mini {
		l.fault("MINIPROGRAM_APP_ID", "is the appid of the official account too; each app has its own")
	}
	if website != "" && (website == official || website == mini) {
		l.fault("WEBSITE_APP_ID", "is the appid of another app too; each app has its own, a website app that of open.weixin.qq.com")
	}
	none := !l.anyWeCom(v) && v.OfficialAppSecret == "" && v.MiniProgramAppSecret == "" && v.WebsiteAppSecret == "" && v.AppsFile == "" &&
		!l.has(Prefix+"OFFICIAL_APP_SECRET") && !l.has(Prefix+"MINIPROGRAM_APP_SECRET") && !l.has(Prefix+"WEBSITE_APP_SECRET")
	if none && official == "" && mini == "" && website == "" {
		l.fault("OFFICIAL_APP_ID", "is not set, nor is "+Prefix+"MINIPROGRAM_APP_ID, "+Prefix+"WEBSITE_APP_ID, "+Prefix+"WECOM_CORP_ID or "+Prefix+"APPS_FILE: no app is configured; give the appid and the AppSecret of at least one")
	}
}
