package templates

import "strings"

// A View is the data of one page: one of the types below. Addresses in it may be absolute or paths; html/template
// escapes them and refuses every scheme but http, https and mailto.
type View interface {
	page() string     // name of the file in pages/
	titles() []string // keys of its title, best first
}

// Register asks a fan to allow snsapi_userinfo: unknown fans once, and known ones, who may say "not now", when their profile
// has grown old. Without a LoginURL (no login is in progress) it offers a
// button to /login instead.
type Register struct {
	LoginURL   string // /login/official-account?scope=userinfo&…: the one link to WeChat's consent (#register)
	NotNowURL  string // lands without a fresh profile (#not-now); "" for fans who have none yet
	PrivacyURL string // privacy policy (#privacy); "" if not configured
	TermsURL   string // terms of service (#terms); "" if not configured
}

// Refused follows a refusal on WeChat's consent sheet, or on WeCom's.
type Refused struct {
	RegisterURL string // the register page again (#again); without it a button to LoginURL (#login)
	LoginURL    string // default /login
	Member      bool   // a member of a WeCom corp, who is not asked for a nickname
	Outside     bool   // a Member who was to scan a code with WeCom
}

// Snapshot tells a visitor in WeChat's snapshot mode what to tap.
type Snapshot struct {
	LoginURL string // for when they have left that mode (#login); default /login
}

// NotMember turns away who may not log in with WeCom.
type NotMember struct {
	Member   bool   // a member of the corp, but disabled or one whom the administrator does not let see the app
	LoginURL string // #login; default /login
}

// CookiesOff tells how to let the browser keep cookies.
type CookiesOff struct {
	LoginURL string // #login; default /login
}

// Error says in words what an error answer says in JSON.
type Error struct {
	Status    int    // HTTP status of the answer
	Kind      string // its error code, such as "invalid_request"; an unknown one reads as "server_error"
	Detail    Detail // a more fitting sentence than the code's own; "" for none
	RequestID string // shown, so that a visitor can quote it; "" hides the line
	LoginURL  string // where the button leads (#login); default /login, and / where a new login would not help
	SelfURL   string // query of this page that the language switch keeps, such as "?app=shop"
	// There is no button where the link itself is at fault, and another login with it would end here again.
}

// Detail names a sentence for one cause among those that share an error code.
type Detail string

// The details that Error knows. An unknown one falls back to the sentence of the code.
const (
	DetailProviderNotConfigured Detail = "provider_not_configured" // this browser's login is not set up: open the link in WeChat
	DetailOpenInWeCom           Detail = "open_in_wecom"           // there is no login but WeCom's, and this browser is WeChat's
	DetailWeComUnavailable      Detail = "wecom_unavailable"       // of temporarily_unavailable, where WeCom was to answer
	DetailBlocked               Detail = "blocked"                 // the fan is blocked
	DetailReturnTo              Detail = "return_to"               // the return address is not allowed
	DetailCrossSite             Detail = "cross_site"              // the request came from another site
	DetailTicket                Detail = "ticket"                  // a mini program's ticket was used or has expired
	DetailWebViewOnly           Detail = "webview_only"            // only pages inside a mini program may do this
	DetailAppUnnamed            Detail = "app_unnamed"             // several apps, and the link names none
	DetailAppUnknown            Detail = "app_unknown"             // the link names an app that there is not
	DetailAppKind               Detail = "app_kind"                // the link names an app of another kind
)

// Scan shows the login address as a QR code to browsers that are not WeChat's.
type Scan struct {
	URL     string // the absolute login address: in the code, and as text to copy (#url)
	QR      QRCode // NewQRCode(URL); the zero value (the address was too long) shows the text alone
	SelfURL string // path and query of this page, so that the language switch keeps them; "" keeps the path alone
}

// Ticket asks the person in a mini program's web-view whether to go on as the one that the ticket names (#continue).
type Ticket struct {
	Nickname  string // "" for a guest
	Ticket    string // hidden field ticket of the form
	ReturnTo  string // hidden field return_to of the form
	FormToken string // hidden field form_token of the form
	SelfURL   string // path and query of this page, so that the language switch keeps them
}

// Home greets whoever the ID-token cookie names. Which half shows without a script is decided by SignedIn, with one by the
// cookie.
type Home struct {
	LoginURL     string   // #login; default /login?return_to=/
	LogoutURL    string   // action of the form #logout; default /logout
	FormToken    string   // hidden field form_token of #logout; "" leaves it out
	IDCookieName string   // the cookie that the page's script reads
	SignedIn     bool     // the request carried a good access token
	WeCom        bool     // with a login of WeCom's; not SignedIn: that is what the button leads to
	ImageHosts   []string // the img-src entries of avatars, "https://host" or "host"; a picture from elsewhere becomes a letter
}

func (Register) page() string   { return "register" }
func (Refused) page() string    { return "refused" }
func (Snapshot) page() string   { return "snapshot" }
func (NotMember) page() string  { return "not_member" }
func (CookiesOff) page() string { return "cookies_off" }
func (Error) page() string      { return "error" }
func (Scan) page() string       { return "scan" }
func (Ticket) page() string     { return "ticket" }
func (Home) page() string       { return "home" }

func (Refused) titles() []string    { return []string{"refused.title"} }
func (Snapshot) titles() []string   { return []string{"snapshot.title"} }
func (CookiesOff) titles() []string { return []string{"cookies_off.title"} }
func (Scan) titles() []string       { return []string{"scan.title"} }
func (Ticket) titles() []string     { return []string{"ticket.title"} }

func (h Home) titles() []string {
	if h.WeCom {
		return []string{"home.wecom_title"}
	}
	return []string{"home.title"}
}

func (n NotMember) titles() []string {
	if n.Member {
		return []string{"not_member.no_access_title"}
	}
	return []string{"not_member.title"}
}

func (r Register) titles() []string {
	switch {
	case r.LoginURL == "":
		return []string{"register.over_title"}
	case r.NotNowURL != "":
		return []string{"register.update_title"}
	}
	return []string{"register.title"}
}

func (e Error) titles() []string {
	return []string{"error.detail." + string(e.Detail) + ".title", "error." + e.Kind + ".title", "error.server_error.title"}
}

func (e Error) self() string  { return e.SelfURL }
func (s Scan) self() string   { return s.SelfURL }
func (t Ticket) self() string { return t.SelfURL }

// ImageHostList is ImageHosts as one attribute value.
func (h Home) ImageHostList() string { return strings.Join(h.ImageHosts, " ") }

// ContentSecurityPolicy is the strictest policy every page works under. imageSources ("https://thirdwx.qlogo.cn") are for
// the home page's avatar; the other pages load nothing from elsewhere. The data: images are icons inside weui's style
// sheet. Browsers hold the redirect of a form to form-action too, so a logout by form must come back to this origin.
func ContentSecurityPolicy(imageSources ...string) string { return policy(imageSources, "") }

// ContentSecurityPolicyOfForm is the policy of a page whose form leads on to target, "scheme://host[:port]", or "" to this
// origin.
func ContentSecurityPolicyOfForm(target string) string { return policy(nil, target) }

func policy(imageSources []string, formTarget string) string {
	images := strings.Join(append([]string{"'self'", "data:"}, imageSources...), " ")
	return "default-src 'none'; style-src 'self'; script-src 'self'; img-src " + images +
		"; form-action " + strings.TrimSpace("'self' "+formTarget) + "; base-uri 'none'; frame-ancestors 'none'"
}
