package simulator

// The switches of JS-SDK, QR codes, mini-program data and website login (wechat-protocol §13.1 and the sections it names).
const (
	switchTicketLife     = "jsapi-ticket-expires-in"
	switchJSDomain       = "jssdk-domain"
	switchJSWording      = "jssdk-wording"
	switchEncryptionKey  = "encrypted-data-key"
	switchProfileData    = "profile-data"
	switchCountryCode    = "phone-country-code"
	switchFastLogin      = "fast-login"
	switchTextCheck      = "text-check"
	switchMenuURLDomain  = "menu-url-domain-codes"
	switchMenuUnicode    = "menu-unicode-escapes"
	switchLinkedPrograms = "linked-mini-programs"
)

func reachSwitches() []Switch {
	return []Switch{
		{Name: switchTicketLife, Choices: []string{"7200", "remaining"},
			About: "expires_in of a jsapi_ticket that is fetched again: 7200 each time, or the seconds that are left"},
		{Name: switchJSDomain, Choices: []string{"exact", "parent"},
			About: "a JS-SDK domain covers that host alone, or its sub-domains too"},
		{Name: switchJSWording, Choices: []string{"mixed", "short", "long"},
			About: "how wx.error words a refusal: a long text with an error code for the domain alone, never, or always"},
		{Name: switchEncryptionKey, Choices: []string{"current", "previous"},
			About: "a mini program's encryptedData is made with the current session_key, or with the one before"},
		{Name: switchProfileData, Choices: []string{"anonymous", "real"},
			About: "name and picture in a mini program's profile: 微信用户 and a grey head, or the real ones as old clients give"},
		{Name: switchCountryCode, Choices: []string{"string", "number"},
			About: `countryCode of a phone number as "86" or as 86`},
		{Name: switchFastLogin, Choices: []string{"off", "on"},
			About: "a website's login page offers one click instead of the QR code, as with a running desktop WeChat"},
		{Name: switchTextCheck, Choices: []string{"v2", "v1"},
			About: "risky text at msg_sec_check: a result that says risky, or errcode 87014 as the first version"},
		{Name: switchMenuURLDomain, Choices: []string{"40055-top", "40054-top"},
			About: "a malformed link of a menu: 40055 for a top-level button and 40054 for one below, or the reverse"},
		{Name: switchMenuUnicode, Choices: []string{"40033", "accepted"},
			About: `escapes such as \u0026 in the JSON of a menu: refused as it used to be, or accepted`},
		{Name: switchLinkedPrograms, Choices: []string{"all", "none"},
			About: "mini programs a menu may lead to: those configured here, or none, so that 45064 is the answer"},
	}
}
