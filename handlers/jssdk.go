package handlers

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"wxbridge/wechat"
)

const maxPageAddress = 2048 // bytes, without the fragment

// pageSigner signs pages for one app.
type pageSigner interface {
	// signPage answers what the page hands to WeChat, for an address that is allowed and has no fragment.
	signPage(ctx context.Context, address string, now time.Time) (any, error)
}

// jssdkConfig signs a page's address for WeChat's JS-SDK.
func (s *Server) jssdkConfig(c *gin.Context) error {
	p, err := query(c, "url", "app", "agent")
	if err != nil {
		return err
	}
	address, err := s.pageAddress(c, p["url"])
	if err != nil {
		return err
	}
	if p["agent"] != "" && p["agent"] != "1" {
		return invalidRequest("The parameter agent is 1 or left out.")
	}
	signer, err := s.pageSigner(p["app"], p["agent"] == "1")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), callbackTime)
	defer cancel()
	signed, err := signer.signPage(ctx, address, s.cfg.Now())
	if err != nil {
		return err
	}
	return personal(c, 200, signed)
}

// pageSigner finds the app by its alias or its appid; "" is the default one. agent asks for the signature of wx.agentConfig, which
// WeCom alone has.
func (s *Server) pageSigner(app string, agent bool) (pageSigner, error) {
	if app == "" {
		app = DefaultApp
	}
	corp, noCorp := s.wecomApp(app)
	if agent {
		if noCorp != nil {
			return nil, invalidRequest("There is no WeCom app of this name, and agent=1 is for WeCom.")
		}
		return agentPages{corp}, nil
	}
	account, err := s.officialAccount(app)
	if err != nil && noCorp == nil {
		return corpPages{corp}, nil
	}
	if err != nil || account.Tickets == nil {
		return nil, invalidRequest("There is no official account and no WeCom app of this name, and the JS-SDK needs one. The parameter app names one of several.")
	}
	return officialPages{account}, nil
}

// pageAddress checks the address that is to be signed: a page on our origin or a listed one, to the letter. Its fragment is cut
// (wechat-protocol §3.2). Whoever signs pages of strangers lends them the account's rights.
func (s *Server) pageAddress(c *gin.Context, address string) (string, error) {
	address, _, _ = strings.Cut(address, "#")
	switch {
	case address == "":
		return "", invalidRequest("The parameter url is missing: the page's address, encoded once with encodeURIComponent.")
	case len(address) > maxPageAddress:
		return "", invalidRequest("The address in url is longer than 2,048 bytes.")
	case !utf8.ValidString(address) || hasForbiddenByte(address) || !s.returnTo.hasPage(address):
		page, _, _ := strings.Cut(address, "?") // its query is nobody's business
		recordOf(c).noteEvent("jssdk.refused", slog.LevelWarn, slog.String("url", strconv.QuoteToASCII(clip(page, 256))))
		return "", invalidRequest("The address in url is not on an origin of this service. WXBRIDGE_RETURN_ORIGINS lists the others.")
	}
	return address, nil
}

// hasPage reports whether an address lies on our own origin or a listed one: scheme, host and port to the letter.
func (p *ReturnPolicy) hasPage(address string) bool {
	path, ok := p.cutOrigin(address)
	return ok && len(path) < len(address)
}

// allowPages lets scripts of pages on the listed origins read the answer (WEB-10). Nothing in it depends on a cookie.
func (s *Server) allowPages(c *gin.Context) {
	header := c.Writer.Header()
	header.Add("Vary", "Origin")
	if origin := single(c.Request.Header, "Origin"); s.returnTo.Lists(origin) {
		header.Set("Access-Control-Allow-Origin", origin)
	}
}

// officialPages signs pages for an official account.
type officialPages struct{ account OfficialAccount }

// jssdkAnswer is what wx.config takes, under its names.
type jssdkAnswer struct {
	AppID     string `json:"appId"`
	Timestamp int64  `json:"timestamp"` // seconds since 1970
	NonceStr  string `json:"nonceStr"`
	Signature string `json:"signature"`
}

func (p officialPages) signPage(ctx context.Context, address string, now time.Time) (any, error) {
	ticket, err := p.account.Tickets.Ticket(ctx)
	if err != nil {
		return nil, err
	}
	answer := jssdkAnswer{AppID: p.account.Client.AppID(), Timestamp: now.Unix(), NonceStr: rand.Text()}
	answer.Signature = wechat.SignJSSDK(ticket.Value, answer.NonceStr, answer.Timestamp, address)
	return answer, nil
}
