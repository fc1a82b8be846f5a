package wechat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
)

// Menu is the custom menu of an official account (wechat-protocol §4). Its limits
// are WeChat's to check, and are in bytes.
type Menu struct {
	Buttons     []MenuButton // 1 to 3
	Conditional int          // how many menus for some users there are beside it; they are not read
}

// MenuButton is one button. One with Sub has nothing else but a Name.
type MenuButton struct {
	Type      string       `json:"type,omitempty"` // "click", "view", "miniprogram", …
	Name      string       `json:"name"`
	Key       string       `json:"key,omitempty"`
	URL       string       `json:"url,omitempty"`
	AppID     string       `json:"appid,omitempty"`    // of a linked mini program
	PagePath  string       `json:"pagepath,omitempty"` // in it
	MediaID   string       `json:"media_id,omitempty"`
	ArticleID string       `json:"article_id,omitempty"`
	Sub       []MenuButton `json:"sub_button,omitempty"`

	Value string `json:"-"` // in a CurrentMenu: the text or media of a button that WeChat's console made
}

// CurrentMenu is the menu that users see, whoever made it.
type CurrentMenu struct {
	Open    bool // users see a menu at all
	Buttons []MenuButton
}

// ErrNoMenu: the account has no menu that was made by a call.
var ErrNoMenu = errors.New("wechat: there is no menu")

const (
	opMenuCreate  = "cgi-bin/menu/create"
	opMenuGet     = "cgi-bin/menu/get"
	opMenuDelete  = "cgi-bin/menu/delete"
	opMenuCurrent = "cgi-bin/get_current_selfmenu_info"

	codeNoMenu = 46003
)

// CreateMenu replaces the account's menu. Sending the same menu twice is as good
// as once, so a -1 is tried once more. Users see it within five minutes, when they
// open the account anew.
func (t *AppTokens) CreateMenu(ctx context.Context, buttons []MenuButton) error {
	r := call{op: opMenuCreate}
	err := r.setBody(struct {
		Button []MenuButton `json:"button"`
	}{buttons})
	switch {
	case err != nil:
		return err
	case hasEscape(r.body): // of control characters and line separators, which JSON has to escape
		return unsendable(opMenuCreate, "a text has a character that menus cannot have")
	}
	_, err = t.call(ctx, r)
	return err
}

// Menu returns the menu that calls have made; one that was made in WeChat's console
// is no such menu. The error is [ErrNoMenu] if there is none.
func (t *AppTokens) Menu(ctx context.Context) (Menu, error) {
	r := call{op: opMenuGet}
	a, err := t.call(ctx, r)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == codeNoMenu {
		return Menu{}, ErrNoMenu
	}
	if err != nil {
		return Menu{}, err
	}
	inner, err := a.object("menu")
	if err != nil {
		return Menu{}, r.busy(err.Error())
	}
	m := Menu{}
	if m.Buttons, err = inner.buttons("button", answer.button); err != nil {
		return Menu{}, r.busy(err.Error())
	}
	if list, given := a.fields["conditionalmenu"]; given {
		var menus []json.RawMessage
		if err := json.Unmarshal(list, &menus); err != nil {
			return Menu{}, r.busy("the answer's conditionalmenu is not a list")
		}
		m.Conditional = len(menus)
	}
	return m, nil
}

// CurrentMenu returns the menu that users see now, made by a call or in WeChat's
// console.
func (t *AppTokens) CurrentMenu(ctx context.Context) (CurrentMenu, error) {
	r := call{op: opMenuCurrent}
	a, err := t.call(ctx, r)
	if err != nil {
		return CurrentMenu{}, err
	}
	m := CurrentMenu{Open: a.flag("is_menu_open")}
	if _, given := a.fields["selfmenu_info"]; !given {
		return m, nil
	}
	inner, err := a.object("selfmenu_info")
	if err != nil {
		return CurrentMenu{}, r.busy(err.Error())
	}
	if m.Buttons, err = inner.buttons("button", answer.button); err != nil {
		return CurrentMenu{}, r.busy(err.Error())
	}
	return m, nil
}

// DeleteMenu takes the menu away, and those for some users with it.
func (t *AppTokens) DeleteMenu(ctx context.Context) error {
	_, err := t.call(ctx, call{op: opMenuDelete})
	return err
}

// buttons reads a list of them; absent and null are none.
func (a answer) buttons(name string, read func(answer) (MenuButton, error)) (buttons []MenuButton, err error) {
	var list []map[string]json.RawMessage
	if raw, given := a.fields[name]; given && json.Unmarshal(raw, &list) != nil {
		return nil, errors.New("the answer's " + name + " is not a list of buttons")
	}
	for _, fields := range list {
		b, err := read(answer{fields: fields})
		if err != nil {
			return nil, err
		}
		buttons = append(buttons, b)
	}
	return buttons, nil
}

// button reads one in either form: menu/get has the buttons below it in a list,
// get_current_selfmenu_info in an object with a list (wechat-protocol §4.2). No
// button is more than two levels down, whatever an answer says.
func (a answer) button() (MenuButton, error) {
	b, err := a.leaf()
	if err != nil {
		return MenuButton{}, err
	}
	if inner, err := a.object("sub_button"); err == nil {
		b.Sub, err = inner.buttons("list", answer.leaf)
		return b, err
	}
	b.Sub, err = a.buttons("sub_button", answer.leaf)
	return b, err
}

func (a answer) leaf() (MenuButton, error) {
	var r reading
	b := MenuButton{
		Type:      r.keep(a.text("type")),
		Name:      r.keep(a.text("name")),
		Key:       r.keep(a.text("key")),
		URL:       r.keep(a.text("url")),
		AppID:     r.keep(a.text("appid")),
		PagePath:  r.keep(a.text("pagepath")),
		MediaID:   r.keep(a.text("media_id")),
		ArticleID: r.keep(a.text("article_id")),
		Value:     r.keep(a.text("value")),
	}
	return b, r.err
}

// hasEscape reports whether JSON holds an escape other than of a backslash or a
// quotation mark.
func hasEscape(body []byte) bool {
	body = bytes.ReplaceAll(body, []byte(`\\`), nil)
	return bytes.Contains(bytes.ReplaceAll(body, []byte(`\"`), nil), []byte(`\`))
}
