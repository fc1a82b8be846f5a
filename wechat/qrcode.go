package wechat

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
	"unicode/utf8"
)

// QRCode is a QR code of an official account that carries a scene
// (wechat-protocol §7). Who scans it gives a subscribe event with the key
// "qrscene_" and the scene, or, as a follower, a SCAN event with the scene; both
// carry Ticket too.
type QRCode struct {
	Ticket    string // names the code, proves nothing
	URL       string // what the code says, "http://weixin.qq.com/q/…": to draw it oneself
	ImageURL  string // WeChat's picture of it, for any browser
	ExpiresAt time.Time
}

const (
	opQRCode = "cgi-bin/qrcode/create"

	maxScene     = 64 // characters
	maxQRLife    = 30 * 24 * time.Hour
	minQRLife    = time.Second
	maxQRCodeURL = 1024 // bytes of a ticket or URL; real ones have about 100 and 50
)

// CreateQRCode makes a temporary QR code. scene has 1 to 64 characters and is
// best random; life is in whole seconds, up to 30 days. The account must be a
// verified service account. Each call makes a code, so a -1 is tried once more
// only because a code that nobody shows does no harm.
func (t *AppTokens) CreateQRCode(ctx context.Context, scene string, life time.Duration) (QRCode, error) {
	if scene == "" || !utf8.ValidString(scene) || utf8.RuneCountInString(scene) > maxScene || life < minQRLife || life > maxQRLife {
		return QRCode{}, unsendable(opQRCode, fmt.Sprintf("the scene has not 1 to %d characters, or the life is not from %v to %v",
			maxScene, minQRLife, maxQRLife))
	}
	type sceneOf struct {
		SceneStr string `json:"scene_str"`
	}
	type info struct {
		Scene sceneOf `json:"scene"`
	}
	now := t.caller.now()
	r := call{op: opQRCode, private: []string{scene}} // the scene of a login is nobody's business
	err := r.setBody(struct {
		ExpireSeconds int64  `json:"expire_seconds"`
		ActionName    string `json:"action_name"`
		ActionInfo    info   `json:"action_info"`
	}{int64(life / time.Second), "QR_STR_SCENE", info{sceneOf{scene}}})
	if err != nil {
		return QRCode{}, err
	}
	a, err := t.call(ctx, r)
	if err != nil {
		return QRCode{}, err
	}
	code, err := a.qrCode(t.showQR)
	if err != nil {
		return QRCode{}, r.busy(err.Error())
	}
	if told := a.lifetime("expire_seconds"); told > 0 {
		life = min(told, life)
	}
	code.ExpiresAt = now.Add(life.Truncate(time.Second))
	return code, nil
}

// qrCode reads the answer of wechat-protocol §7.1. The ticket is standard base64,
// whose "+" would become a space in a query.
func (a answer) qrCode(showQR string) (QRCode, error) {
	var r reading
	c := QRCode{Ticket: r.keep(a.text("ticket")), URL: r.keep(a.text("url"))}
	for _, text := range []string{c.Ticket, c.URL} {
		if r.err == nil && (text == "" || len(text) > maxQRCodeURL || !isVisible(text)) {
			r.err = errors.New("the answer's ticket or url is missing or has no possible shape")
		}
	}
	c.ImageURL = showQR + url.QueryEscape(c.Ticket)
	if r.err != nil {
		return QRCode{}, r.err
	}
	return c, nil
}

// unsendable is the error for a request that WeChat would refuse for certain.
func unsendable(op, message string) *Error {
	return &Error{Op: op, Message: message + "; WeChat was not asked", kind: ErrMisconfigured}
}
