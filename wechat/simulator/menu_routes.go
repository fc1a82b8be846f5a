package simulator

import (
	"encoding/json"
	"net/http"
	"time"
)

// The paths of menus.
const (
	pathMenuCreate  = "/cgi-bin/menu/create"
	pathMenuGet     = "/cgi-bin/menu/get"
	pathMenuDelete  = "/cgi-bin/menu/delete"
	pathMenuCurrent = "/cgi-bin/get_current_selfmenu_info"
)

// handleMenuCreate is POST /cgi-bin/menu/create: the menu takes the place of the one before (wechat-protocol §4.1).
func (s *Server) handleMenuCreate(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingAccount(r)
	var raw json.RawMessage
	if errcode == 0 {
		errcode = readPost(w, r, &raw)
	}
	var m menu
	switch {
	case errcode != 0:
	case unicodeEscape.Match(raw) && s.switches.choice(switchMenuUnicode) != "accepted":
		errcode = 40033 // observed years ago; a later report says it is accepted (wechat-protocol §0.1)
	case json.Unmarshal(raw, &m) != nil:
		errcode = 47001
	default:
		errcode = s.checkMenu(m)
	}
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	s.menus.put(app.AppID, m.normal(), s.now())
	writeCGI(w, okReply())
}

// handleMenuGet is GET /cgi-bin/menu/get; without a menu 46003 (observed wording, wechat-protocol §4.2).
func (s *Server) handleMenuGet(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingAccount(r)
	var m menu
	if errcode == 0 {
		var pushed bool
		if m, pushed = s.menus.get(app.AppID); !pushed {
			errcode = 46003
		}
	}
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	writeCGI(w, struct {
		Menu menu `json:"menu"`
	}{m})
}

// handleMenuDelete is GET /cgi-bin/menu/delete; without a menu it succeeds too (assumed).
func (s *Server) handleMenuDelete(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingAccount(r)
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	s.menus.take(app.AppID)
	writeCGI(w, okReply())
}

// currentButton is an entry in the shape of get_current_selfmenu_info: sub_button is an object with a list (documented,
// wechat-protocol §4.2), and leaves have none (observed).
type currentButton struct {
	menuButton
	SubButton *currentList `json:"sub_button,omitempty"`
}

type currentList struct {
	List []currentButton `json:"list"`
}

func currentButtons(buttons []menuButton) []currentButton {
	list := make([]currentButton, len(buttons))
	for i, b := range buttons {
		list[i].menuButton = b
		if len(b.SubButton) > 0 {
			list[i].SubButton = &currentList{List: currentButtons(b.SubButton)}
		}
	}
	return list
}

// handleMenuCurrent is GET /cgi-bin/get_current_selfmenu_info. Menus made by hand in the console are not simulated;
// without a menu is_menu_open is 0 (assumed).
func (s *Server) handleMenuCurrent(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingAccount(r)
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	m, pushed := s.menus.get(app.AppID)
	var reply struct {
		IsMenuOpen   int `json:"is_menu_open"`
		SelfMenuInfo struct {
			Button []currentButton `json:"button"`
		} `json:"selfmenu_info"`
	}
	if pushed {
		reply.IsMenuOpen = 1
	}
	reply.SelfMenuInfo.Button = currentButtons(m.Button)
	writeCGI(w, reply)
}

// handleClientMenu is GET /_simulator/menu?person=&appid= → {"pushed", "pulled", "button"}: the menu as the person's phone
// shows it, which may be five minutes behind. Asking is opening the chat.
func (s *Server) handleClientMenu(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	app, err := s.appOf(q.Get("appid"), ProviderOfficialAccount)
	if err == nil && !validName(q.Get("person")) {
		err = errBadName
	}
	if err != nil {
		badControl(w, err)
		return
	}
	shown := s.menuOn(app, q.Get("person"))
	writeControl(w, http.StatusOK, struct {
		Pushed bool      `json:"pushed"` // false: the account had no menu
		Pulled time.Time `json:"pulled"` // by the simulator's clock
		menu
	}{shown.pushed, shown.pulled.UTC(), shown.menu})
}
