package wecom

import (
	"net/url"
)

// Scope is what a member is asked to allow on the authorize page.
type Scope string

const (
	ScopeBase        Scope = "snsapi_base"        // the member sees nothing; gives the userid only
	ScopePrivateInfo Scope = "snsapi_privateinfo" // the member is asked; gives a Ticket for Detail too
)

// AuthorizeURL returns the link to send WeCom's own browser to; elsewhere it shows
// an error. Its parameters are in the order of Tencent's page, which an encoder that
// sorts would not keep, and agentid is always among them: without it
// ScopePrivateInfo gives an error, or no more than ScopeBase (wecom-protocol §2.1).
// At the end is the fragment that makes WeCom attach the identity.
//
// The host of redirectURI, with its port, must be a trusted domain of the app, to
// the letter: never write :443. state has at most 128 letters and digits; it comes
// back unchanged beside the code, or alone if the member refuses.
func (c *Client) AuthorizeURL(redirectURI string, s Scope, state string) string {
	return c.authorize + url.QueryEscape(redirectURI) + "&response_type=code&scope=" + url.QueryEscape(string(s)) +
		"&state=" + url.QueryEscape(state) + "&agentid=" + c.agentID + "#wechat_redirect"
}

// QRLoginURL returns the link of the page on which a PC shows a QR code for the
// phone, or a button if WeCom runs beside the browser (wecom-protocol §6.1). lang is
// "zh" or "en"; anything else leaves it to the browser. The codes it leads to give
// no Ticket. The rules for redirectURI are those of AuthorizeURL; its host may also
// be the app's login domain (授权回调域).
func (c *Client) QRLoginURL(redirectURI, state, lang string) string {
	link := c.qrLogin + url.QueryEscape(redirectURI) + "&state=" + url.QueryEscape(state)
	if lang == "zh" || lang == "en" {
		link += "&lang=" + lang
	}
	return link
}
