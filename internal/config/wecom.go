package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

// WeComApp is one app of a WeCom (企业微信) corp.
type WeComApp struct {
	App     // the corpid and the app's Secret
	AgentID int64

	Token          Secret // signs WeCom's callbacks; "" takes none
	EncodingAESKey Secret // encrypts them, 43 letters and digits; "" exactly if Token is
	Private        bool   // members are asked for what snsapi_privateinfo gives
	Guests         bool   // people who are not of the corp may log in
}

// corpID is ww and 16 hexadecimal digits, of old corps wx.
var corpID = regexp.MustCompile(`^w[wx][0-9a-f]{16}$`)

const (
	notACorpID  = "is not a corpid, which is ww (of old corps wx) and 16 digits or letters a to f"
	notAnAgent  = "is not an AgentId, which is a whole number such as 1000002"
	whereInCorp = "; WeCom's console has it on the app's page (应用管理)"
)

// agentNumber reads an AgentId, as WeCom's console shows it: digits alone.
func agentNumber(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n > 0 && n <= 1<<31-1 && strconv.FormatInt(n, 10) == text
}

func agentText(id int64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatInt(id, 10)
}

// anyWeCom reports whether anything of a WeCom app is set that would be without effect alone.
func (l *loader) anyWeCom(v variables) bool {
	return v.WeComCorpID != "" || v.WeComAgentID != "" || v.WeComSecret != "" || l.has(Prefix+"WECOM_SECRET")
}

// wecom checks the WeCom app, of which corpid, AgentId and Secret come together or not at all.
func (l *loader) wecom(v variables) WeComApp {
	agent, isAgent := agentNumber(v.WeComAgentID)
	some := l.anyWeCom(v)
	switch {
	case v.WeComCorpID != "" && !corpID.MatchString(v.WeComCorpID):
		l.fault("WECOM_CORP_ID", notACorpID+"; WeCom's console has it under 我的企业")
	case some && v.WeComCorpID == "":
		l.fault("WECOM_CORP_ID", "is not set, but other settings of the WeCom app are; WeCom's console has it under 我的企业")
	}
	switch {
	case v.WeComAgentID != "" && !isAgent:
		l.fault("WECOM_AGENT_ID", notAnAgent+whereInCorp)
	case some && v.WeComAgentID == "":
		l.fault("WECOM_AGENT_ID", "is not set, but other settings of the WeCom app are"+whereInCorp)
	}
	switch problem := appSecretProblem(v.WeComSecret); {
	case v.WeComSecret != "" && problem != "":
		l.fault("WECOM_SECRET", problem)
	case some && v.WeComSecret == "" && !l.has(Prefix+"WECOM_SECRET"):
		l.fault("WECOM_SECRET", "is not set, but other settings of the WeCom app are"+whereInCorp)
	}
	l.wecomCallback(v, some)
	return WeComApp{App: App{ID: v.WeComCorpID, Secret: Secret(v.WeComSecret)}, AgentID: agent,
		Token: Secret(v.WeComToken), EncodingAESKey: Secret(v.WeComEncodingAESKey), Private: v.WeComPrivate, Guests: v.WeComGuests}
}

// wecomCallback checks what WeCom's callbacks are signed and encrypted with: always both.
func (l *loader) wecomCallback(v variables, app bool) {
	token, key := v.WeComToken != "" || l.has(Prefix+"WECOM_TOKEN"), v.WeComEncodingAESKey != "" || l.has(Prefix+"WECOM_ENCODING_AES_KEY")
	if problem := callbackTokenProblem(v.WeComToken); v.WeComToken != "" && problem != "" {
		l.fault("WECOM_TOKEN", problem)
	}
	if problem := encodingAESKeyProblem(v.WeComEncodingAESKey); v.WeComEncodingAESKey != "" && problem != "" {
		l.fault("WECOM_ENCODING_AES_KEY", problem)
	}
	switch {
	case token && !app:
		l.fault("WECOM_TOKEN", "is set, but "+Prefix+"WECOM_CORP_ID is not")
	case token && !key:
		l.fault("WECOM_ENCODING_AES_KEY", "is not set, but "+Prefix+"WECOM_TOKEN is; WeCom encrypts every callback")
	case key && !token:
		l.fault("WECOM_TOKEN", "is not set, but "+Prefix+"WECOM_ENCODING_AES_KEY is; WeCom signs every callback with it")
	}
}

// unique is what no two apps share: the appid, of WeCom apps together with the AgentId.
func (a NamedApp) unique() string {
	if a.Provider == ProviderWeCom {
		return fmt.Sprintf("%s agent %d", a.ID, a.AgentID)
	}
	return a.ID
}

// wecom reads what only WeCom apps have.
func (r *appsReader) wecom(e appEntry, a *NamedApp) {
	a.Private, a.Guests = r.yes(e, "private"), r.yes(e, "guests")
	if a.Provider != ProviderWeCom {
		return
	}
	if _, ok := agentNumber(e.texts["agent_id"]); !ok {
		r.field(e, "agent_id", "is missing or "+notAnAgent)
	}
	token, key := e.source("callback_token"), e.source("encoding_aes_key")
	if e.Given(token) && !e.Given(key) {
		r.field(e, token, "is given without encoding_aes_key; WeCom encrypts every callback")
	}
}

// misplaced faults fields that mean nothing for apps of the provider.
func (r *appsReader) misplaced(e appEntry, provider string) {
	for _, name := range appFields {
		switch name {
		case "callback_token", "callback_token_file", "encoding_aes_key", "encoding_aes_key_file":
			r.only(e, name, provider, "official accounts and WeCom apps", ProviderOfficialAccount, ProviderWeCom)
		case "connect_redirect", "force_popup":
			r.only(e, name, provider, "official accounts", ProviderOfficialAccount)
		case "token_api":
			r.only(e, name, provider, "official accounts and mini programs", ProviderOfficialAccount, ProviderMiniProgram)
		case "open_account":
			r.only(e, name, provider, "apps of WeChat", ProviderOfficialAccount, ProviderMiniProgram, ProviderWebsite)
		case "agent_id", "private", "guests":
			r.only(e, name, provider, "WeCom apps", ProviderWeCom)
		}
	}
}

// only faults a field of an app that is of none of the providers. An app of no known provider has that fault already.
func (r *appsReader) only(e appEntry, name, provider, kinds string, of ...string) {
	if slices.Contains(providers, provider) && e.Given(name) && !slices.Contains(of, provider) {
		r.field(e, name, "is for "+kinds+" only")
	}
}
