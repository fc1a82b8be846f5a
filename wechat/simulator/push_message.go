package simulator

import (
	"fmt"
	"net/url"
	"time"
)

// push is one message on its way to one app, with what signs it.
type push struct {
	app     *App
	mode    string
	key     callbackKey // if mode is not plain
	openID  string
	body    []byte // as sent
	sealed  string // its Encrypt element, if mode is not plain
	at      string // timestamp, Unix seconds
	nonce   string
	address *url.URL
}

// newPush encrypts and signs a message as the app's mode asks for.
func (s *Server) newPush(app *App, message []byte, openID string) (*push, error) {
	p := &push{app: app, mode: s.switches.choice(switchPushMode), openID: openID, body: message}
	if p.mode == "" || p.mode == "configured" {
		p.mode = app.EventsMode
	}
	var err error
	if p.address, err = url.Parse(app.EventsURL); err != nil {
		return nil, fmt.Errorf("events_url: %w", err) // New has checked it
	}
	if p.mode != ModePlain {
		if p.key, err = parseAESKey(app.EncodingAESKey); err != nil {
			return nil, fmt.Errorf("appid %s in %s mode: %w", app.AppID, p.mode, err)
		}
		p.sealed = p.key.encrypt(newCryptoRandom(), message, app.AppID)
		p.body = sealedBody(p.mode, app, message, p.sealed)
	}
	p.sign(s.now())
	return p, nil
}

// sealedBody is the message with Encrypt as one more element, or Encrypt with the receiver alone.
func sealedBody(mode string, app *App, message []byte, sealed string) []byte {
	encrypt := element{name: "Encrypt", text: sealed}
	if mode == ModeAES {
		return writeXML([]element{{name: "ToUserName", text: app.originalID()}, encrypt})
	}
	const end = "</xml>"
	head := message[:len(message)-len(end)]
	return append(append([]byte(nil), head...), writeXML([]element{encrypt})[len("<xml>"):]...)
}

func (p *push) sign(now time.Time) {
	p.at, p.nonce = fmt.Sprint(now.Unix()), newNonce()
}

// target is the app's address with the query of a push, in the order seen (observed, wechat-protocol §5.2).
func (p *push) target() *url.URL {
	added := "signature=" + signed(p.app.Token, p.at, p.nonce) + "&timestamp=" + p.at + "&nonce=" + p.nonce + "&openid=" + p.openID
	if p.mode != ModePlain {
		added += "&encrypt_type=aes&msg_signature=" + signed(p.app.Token, p.at, p.nonce, p.sealed)
	}
	return withQuery(p.address, added)
}

func withQuery(address *url.URL, added string) *url.URL {
	u := *address
	if u.RawQuery != "" {
		added = u.RawQuery + "&" + added
	}
	u.RawQuery, u.Fragment = added, ""
	return &u
}
