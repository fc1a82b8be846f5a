// Package menufile reads the file that describes the menu of an official account, and writes it. It finds every fault before
// WeChat is asked, with its line: WeChat answers one number, for the first.
package menufile

import (
	"slices"
)

// Menu is a menu: 1 to 3 buttons.
type Menu struct{ Buttons []Button }

// Button is a button in WeChat's words. One with Sub has nothing else but a Name.
type Button struct {
	Name      string
	Type      string // "click", "view", "miniprogram", …
	Key       string // of click and the types that open a camera, an album or a map
	URL       string // of view; of miniprogram, for a WeChat that is too old for it
	AppID     string // of miniprogram
	PagePath  string // of miniprogram
	MediaID   string // of media_id and view_limited
	ArticleID string // of article_id and article_view_limited
	Sub       []Button

	// Foreign is what a button holds that WeChat's console made and no menu file can say, such as a text.
	Foreign string
}

// Login makes the link of a `login:` button from the address it leads to after the login; the error says what is wrong with
// the address.
type Login func(to string) (link string, err error)

// WeChat's limits (wechat-protocol §4.1), in bytes of UTF-8.
const (
	maxName    = 16 // first level
	maxSubName = 60
	maxKey     = 128
	maxURL     = 1024
	maxButtons = 3
	maxSub     = 5

	maxFile = 64 << 10
	maxID   = 256 // of media and articles; WeChat names no limit
)

// Kinds of buttons, by what they hold; the type at WeChat has the same name. A login is a view whose link we make.
const (
	kindLogin       = "login"
	kindView        = "view"
	kindMiniProgram = "miniprogram"
	kindSub         = "buttons"
)

func keyKinds() []string {
	return []string{"click", "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select"}
}

func mediaKinds() []string { return []string{"media_id", "view_limited"} }

func articleKinds() []string { return []string{"article_id", "article_view_limited"} }

// kinds are all fields of which a button has exactly one, buttons below it included.
func kinds() []string {
	return slices.Concat([]string{kindLogin, kindView, kindMiniProgram}, keyKinds(), mediaKinds(), articleKinds(), []string{kindSub})
}
