package simulator

import (
	"net/http"
	"strconv"
	"time"
)

// This file ties the parts beyond login together: JS-SDK, menu, parametric QR codes, mini-program data and the login of
// websites. Each part has files of its own.

// mountAccount adds what an official account has beside users: tickets, menus and QR codes.
func (s *Server) mountAccount(mux *http.ServeMux) {
	mux.HandleFunc(pathTicket, s.wechat(pathTicket, s.getOnly(s.handleTicket)))
	mux.HandleFunc(pathMenuCreate, s.wechat(pathMenuCreate, s.postOnly(s.handleMenuCreate)))
	mux.HandleFunc(pathMenuGet, s.wechat(pathMenuGet, s.getOnly(s.handleMenuGet)))
	mux.HandleFunc(pathMenuDelete, s.wechat(pathMenuDelete, s.getOnly(s.handleMenuDelete)))
	mux.HandleFunc(pathMenuCurrent, s.wechat(pathMenuCurrent, s.getOnly(s.handleMenuCurrent)))
	mux.HandleFunc(pathQRCreate, s.wechat(pathQRCreate, s.postOnly(s.handleQRCreate)))
	mux.HandleFunc(pathQRShow, s.wechat(pathQRShow, s.handleQRShow))
}

// mountReachControl adds the control routes of these parts, and the scripts that pages load from WeChat.
func (s *Server) mountReachControl(mux *http.ServeMux) {
	mux.HandleFunc("POST /_simulator/scan", ownPagesOnly(s.handleScan))
	mux.HandleFunc("POST /_simulator/phone-code", ownPagesOnly(s.handlePhoneCode))
	mux.HandleFunc("POST /_simulator/encrypted-profile", ownPagesOnly(s.handleEncryptedProfile))
	mux.HandleFunc("POST /_simulator/session", ownPagesOnly(s.handleSessionState))
	mux.HandleFunc("GET /_simulator/menu", s.handleClientMenu)
	mux.HandleFunc("OPTIONS /_simulator/jssdk-config", handlePreflight)
	mux.HandleFunc("POST /_simulator/jssdk-config", s.handlePageConfig)
	for _, address := range []string{"/_simulator/jweixin.js", "/open/js/jweixin-1.6.0.js"} {
		mux.HandleFunc("GET "+address, handleScript("jweixin.js"))
	}
	for _, address := range []string{"/_simulator/wxLogin.js", "/connect/zh_CN/htmledition/js/wxLogin.js"} {
		mux.HandleFunc("GET "+address, handleScript("wxLogin.js"))
	}
}

// keepReachInMemory makes the shelves of these parts.
func (s *Server) keepReachInMemory() {
	const ever = 100 * 365 * 24 * time.Hour
	s.jsTickets = newShelf[[]jsTicket](1<<12, ever)
	s.menus = newShelf[menu](1<<12, ever)
	s.clientMenus = newShelf[clientMenu](1<<16, time.Hour)
	s.qrCodes = newShelf[qrCode](1<<17, ever)
	s.qrAddresses = newShelf[string](1<<17, ever)
	s.qrLogins = newShelf[*qrLogin](1<<14, time.Hour)
}

// reachDayLimit is dayLimit of these parts (observed, wechat-protocol §2.5; sec-check documented, §8.7).
func reachDayLimit(path string, testAccount bool) int64 {
	switch path {
	case pathMenuCreate:
		if testAccount {
			return 100
		}
		return 1_000
	case pathMenuGet:
		return 10_000
	case pathQRCreate:
		if testAccount {
			return 10_000
		}
		return 100_000
	case pathTextCheck:
		return 2_000_000
	}
	return 0
}

// reachErrorText is errorText of the codes that only these parts have (wechat-protocol §11).
func reachErrorText(errcode int) string {
	texts := map[int]string{
		40015: "invalid menu type", 40016: "invalid button size", 40017: "invalid button type",
		40018: "invalid button name size", 40019: "invalid button key size", 40020: "invalid button url size",
		40022: "invalid sub-menu level", 40023: "invalid sub button size", 40024: "invalid sub button type",
		40025: "invalid sub button name size", 40026: "invalid sub button key size", 40027: "invalid sub button url size",
		40033: "invalid charset. please check your request, if include \\uxxxx will create fail!", // assumed wording
		40007: "invalid media_id", 40035: "invalid parameter", 40052: "invalid action name", 40053: "invalid action info",
		40054: "invalid sub button url domain", 40055: "invalid button url domain", 40097: "invalid args",
		40119: "invalid use button type", 40120: "invalid use sub button type", // assumed wording
		40129: "invalid scene", 40226: "code blocked", 41007: "missing sub-menus data", 45002: "content size out of limit",
		45064: "no permission to use weapp in menu", // assumed wording
		61010: "code is expired",                    // assumed wording
		65317: "invalid url", 87009: "invalid signature",
	}
	if text, ok := texts[errcode]; ok {
		return text
	}
	return "error " + strconv.Itoa(errcode)
}
