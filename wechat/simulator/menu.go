package simulator

import (
	"net/url"
	"regexp"
	"slices"
	"time"
)

// menu is an account's menu as it was pushed.
type menu struct {
	Button []menuButton `json:"button"`
}

// menuButton is one entry. Every leaf is read back with an empty sub_button (observed, wechat-protocol §4.2).
type menuButton struct {
	Type      string       `json:"type,omitempty"`
	Name      string       `json:"name"`
	Key       string       `json:"key,omitempty"`
	URL       string       `json:"url,omitempty"`
	AppID     string       `json:"appid,omitempty"`
	PagePath  string       `json:"pagepath,omitempty"`
	MediaID   string       `json:"media_id,omitempty"`
	ArticleID string       `json:"article_id,omitempty"`
	SubButton []menuButton `json:"sub_button"`
}

// The limits of a menu (documented, wechat-protocol §4.1); sizes are in bytes of UTF-8.
const (
	menuButtons    = 3
	menuSubButtons = 5
	menuName       = 16
	menuSubName    = 60
	menuKey        = 128
	menuURL        = 1024
)

// menuLevel is what differs between the buttons of the bar and those below one of them: the codes of their faults.
type menuLevel struct {
	name                                            int
	badName, badType, badKey, badURL, badURLAddress int
}

// menuLevels: which of 40054 and 40055 is for which level differs between lists of codes (wechat-protocol §4.1).
func (s *Server) menuLevels() (top, sub menuLevel) {
	top = menuLevel{name: menuName, badName: 40018, badType: 40017, badKey: 40019, badURL: 40020, badURLAddress: 40055}
	sub = menuLevel{name: menuSubName, badName: 40025, badType: 40024, badKey: 40026, badURL: 40027, badURLAddress: 40054}
	if s.switches.choice(switchMenuURLDomain) == "40054-top" {
		top.badURLAddress, sub.badURLAddress = 40054, 40055
	}
	return top, sub
}

// checkMenu refuses what WeChat refuses; the codes are documented, the order of the checks is assumed. A parent's own
// type and fields are ignored (assumed).
func (s *Server) checkMenu(m menu) int {
	if n := len(m.Button); n < 1 || n > menuButtons {
		return 40016
	}
	top, sub := s.menuLevels()
	for _, b := range m.Button {
		if len(b.SubButton) == 0 {
			if b.Type == "" && b.SubButton != nil {
				return 41007 // assumed: a parent without children
			}
			if errcode := s.checkLeaf(b, top); errcode != 0 {
				return errcode
			}
			continue
		}
		if b.Name == "" || len(b.Name) > top.name {
			return top.badName
		}
		if errcode := s.checkSubButtons(b.SubButton, sub); errcode != 0 {
			return errcode
		}
	}
	return 0
}

func (s *Server) checkSubButtons(buttons []menuButton, level menuLevel) int {
	if len(buttons) > menuSubButtons {
		return 40023
	}
	for _, b := range buttons {
		if len(b.SubButton) > 0 {
			return 40022
		}
		if errcode := s.checkLeaf(b, level); errcode != 0 {
			return errcode
		}
	}
	return 0
}

// keyTypes are the types of buttons that need a key (documented).
func keyTypes() []string {
	return []string{"click", "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select"}
}

func (s *Server) checkLeaf(b menuButton, level menuLevel) int {
	if b.Name == "" || len(b.Name) > level.name {
		return level.badName
	}
	switch {
	case slices.Contains(keyTypes(), b.Type):
		if b.Key == "" || len(b.Key) > menuKey {
			return level.badKey
		}
	case b.Type == "view":
		return checkMenuURL(b.URL, level)
	case b.Type == "miniprogram":
		return s.checkMenuProgram(b, level)
	case b.Type == "media_id" || b.Type == "view_limited":
		if b.MediaID == "" {
			return 40007
		}
	case b.Type == "article_id" || b.Type == "article_view_limited":
		if b.ArticleID == "" {
			return 40007 // assumed
		}
	default:
		return level.badType
	}
	return 0
}

func checkMenuURL(address string, level menuLevel) int {
	if address == "" || len(address) > menuURL {
		return level.badURL
	}
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return level.badURLAddress
	}
	return 0
}

// checkMenuProgram: a mini program must be linked to the account (documented); here those that are configured are.
func (s *Server) checkMenuProgram(b menuButton, level menuLevel) int {
	if errcode := checkMenuURL(b.URL, level); errcode != 0 {
		return errcode
	}
	app := s.apps[b.AppID]
	switch {
	case b.AppID == "":
		return 40013 // assumed
	case b.PagePath == "":
		return 40035 // assumed
	case app == nil || app.Provider != ProviderMiniProgram || s.switches.choice(switchLinkedPrograms) == "none":
		return 45064
	}
	return 0
}

// unicodeEscape is an escape sequence, not a backslash that is itself escaped.
var unicodeEscape = regexp.MustCompile(`(^|[^\\])(\\\\)*\\u[0-9a-fA-F]{4}`)

// normal is the menu as it is kept: no entry without its list.
func (m menu) normal() menu {
	buttons := slices.Clone(m.Button)
	for i := range buttons {
		if buttons[i].SubButton = (menu{buttons[i].SubButton}).normal().Button; len(buttons[i].SubButton) > 0 {
			buttons[i] = menuButton{Name: buttons[i].Name, SubButton: buttons[i].SubButton}
		}
	}
	if buttons == nil {
		buttons = []menuButton{}
	}
	return menu{buttons}
}

// menuRefresh is how old a phone's copy of the menu may be when the chat is opened (documented).
const menuRefresh = 5 * time.Minute

// clientMenu is the copy of an account's menu on somebody's phone.
type clientMenu struct {
	menu   menu
	pushed bool // false: the account had no menu
	pulled time.Time
}

// menuOn is what somebody sees who opens the chat now: the phone asks for the menu again if it last did so five minutes
// ago or more, and after a follow (documented, wechat-protocol §4.1).
func (s *Server) menuOn(app *App, name string) clientMenu {
	key, now := followKey(app, name), s.now()
	if c, ok := s.clientMenus.get(key); ok && now.Sub(c.pulled) < menuRefresh {
		return c
	}
	m, pushed := s.menus.get(app.AppID)
	c := clientMenu{menu: m.normal(), pushed: pushed, pulled: now}
	s.clientMenus.put(key, c, now)
	return c
}
