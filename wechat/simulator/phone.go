package simulator

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
)

// PhoneCode gives what a tap on the phone-number button gives in the mini program appID when name holds the phone: a code
// of its own kind, 64 hex digits (documented, wechat-protocol §0.3), good once and for five minutes.
func (s *Server) PhoneCode(appID, name string) (string, error) {
	app, err := s.miniProgramOf(holder{Person: name, AppID: appID})
	if err != nil {
		return "", err
	}
	s.meet(app, name)
	var b [32]byte
	rand.Read(b[:])
	code, now := hex.EncodeToString(b[:]), s.now()
	s.codes.put(code, grantedCode{kind: phoneCode, app: app, who: account{person: name}, issued: now}, now)
	return code, nil
}

// phoneReply is what the button's event gives: the code, and the older form beside it where there is a session to encrypt
// it with (documented: both).
type phoneReply struct {
	Code          string `json:"code"`
	EncryptedData string `json:"encryptedData,omitempty"`
	IV            string `json:"iv,omitempty"`
}

// handlePhoneCode is POST /_simulator/phone-code {"person", "appid"}.
func (s *Server) handlePhoneCode(w http.ResponseWriter, r *http.Request) {
	var body holder
	err := readControl(w, r, &body)
	var reply phoneReply
	if err == nil {
		reply.Code, err = s.PhoneCode(body.AppID, body.Person)
	}
	if err != nil {
		badControl(w, err)
		return
	}
	app := s.apps[body.AppID]
	if _, key, err := s.sealingKey(app, body.Person); err == nil {
		reply.EncryptedData, reply.IV = encryptData(key, s.phoneInfo(app, body.Person))
	}
	writeControl(w, http.StatusOK, reply)
}

// phoneInfo is a phone number as both forms carry it.
type phoneInfo struct {
	PhoneNumber     string    `json:"phoneNumber"`
	PurePhoneNumber string    `json:"purePhoneNumber"`
	CountryCode     any       `json:"countryCode"` // "86" (observed), or 86 as in the documentation's sample
	Watermark       watermark `json:"watermark"`
}

// watermark says when and for which app data was made.
type watermark struct {
	Timestamp int64  `json:"timestamp"`
	AppID     string `json:"appid"`
}

// phoneInfo derives the number from the name. odd-abroad has one of Hong Kong: then phoneNumber begins with the country
// code (documented).
func (s *Server) phoneInfo(app *App, name string) phoneInfo {
	digits := strings.NewReplacer("a", "0", "b", "1", "c", "2", "d", "3", "e", "4", "f", "5").Replace(label("phone", name))
	info := phoneInfo{PurePhoneNumber: "13" + digits[:9], CountryCode: "86", Watermark: s.watermark(app)}
	info.PhoneNumber = info.PurePhoneNumber
	var number any = 86
	if name == "odd-abroad" {
		info.PurePhoneNumber, info.PhoneNumber, info.CountryCode, number = "5"+digits[:7], "8525"+digits[:7], "852", 852
	}
	if s.switches.choice(switchCountryCode) == "number" {
		info.CountryCode = number
	}
	return info
}

func (s *Server) watermark(app *App) watermark {
	return watermark{Timestamp: s.now().Unix(), AppID: app.AppID}
}

// handlePhoneNumber is POST /wxa/business/getuserphonenumber (wechat-protocol §8.4). A code of another app is 40013
// (observed); an unknown, expired or used one, and one of wx.login, 40029 (observed for wx.login's, assumed for used).
func (s *Server) handlePhoneNumber(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingApp(r)
	var body struct {
		Code   string `json:"code"`
		OpenID string `json:"openid"`
	}
	if errcode == 0 {
		errcode = readPost(w, r, &body)
	}
	var name string
	if errcode == 0 {
		name, errcode = s.spendPhoneCode(app, body.Code, body.OpenID)
	}
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	writeCGI(w, struct {
		errorReply
		PhoneInfo phoneInfo `json:"phone_info"`
	}{okReply(), s.phoneInfo(app, name)})
}

func (s *Server) spendPhoneCode(app *App, code, id string) (name string, errcode int) {
	c, known := s.codes.get(code)
	switch {
	case !known || c.kind != phoneCode:
		return "", 40029
	case c.app != app:
		return "", 40013
	case id != "" && id != openID(app.AppID, c.who.person): // documented: checked; the errcode is assumed
		return "", 40003
	}
	if _, errcode := s.spend(code); errcode != 0 {
		return "", 40029
	}
	return c.who.person, 0
}
