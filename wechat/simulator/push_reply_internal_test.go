package simulator

import (
	"strings"
	"testing"
)

// FuzzReply: whatever a server answers, it is judged without a panic, and what counts as a message has the right
// sender, receiver and type.
func FuzzReply(f *testing.F) {
	app := DevApps("")[0]
	key, err := parseAESKey(app.EncodingAESKey)
	if err != nil {
		f.Fatal(err)
	}
	text := "<xml><ToUserName>o1</ToUserName><FromUserName>" + app.originalID() + "</FromUserName><CreateTime>1</CreateTime>" +
		"<MsgType>text</MsgType><Content><![CDATA[hi]]></Content></xml>"
	sealed := key.encrypt(newCryptoRandom(), []byte(text), app.AppID)
	encrypted := string(writeXML([]element{{name: "Encrypt", text: sealed}, {name: "MsgSignature", text: signed(app.Token, "1", "n", sealed)},
		{name: "TimeStamp", text: "1", bare: true}, {name: "Nonce", text: "n"}}))
	for _, seed := range []string{"", "success", text, encrypted, "<xml/>", "<xml><a><b>1</b><b>2</b></a></xml>", "<?xml version='1.0'?><xml></xml>",
		"<!DOCTYPE xml><xml/>", "<xml><![CDATA[", "<xml>&lol;</xml>", strings.Repeat("<xml>", 100), "</xml>", "<a:xml xmlns:a='b'/>"} {
		for mode := range 3 {
			f.Add(seed, mode)
		}
	}
	modes := []string{ModePlain, ModeCompatible, ModeAES}
	f.Fuzz(func(t *testing.T, body string, mode int) {
		p := &push{app: &app, mode: modes[(mode%3+3)%3], key: key, openID: "o1"}
		reply := p.readReply([]byte(body))
		switch reply.Kind {
		case ReplyNone:
			if body != "" && body != "success" {
				t.Errorf("%q counts as no reply", body)
			}
		case ReplyInvalid:
			if reply.Problem == "" {
				t.Errorf("%q is invalid for no reason", body)
			}
		case ReplyMessage:
			if reply.Fields["ToUserName"] != "o1" || reply.Fields["FromUserName"] != app.originalID() || reply.Type == "" ||
				reply.Encrypted != (p.mode == ModeAES) && p.mode != ModeCompatible {
				t.Errorf("%q counts as %+v", body, reply)
			}
		default:
			t.Errorf("%q is of kind %q", body, reply.Kind)
		}
	})
}

// FuzzDecrypt: no text makes decryption panic, and what opens also closes to something that opens the same.
func FuzzDecrypt(f *testing.F) {
	for _, v := range vectors() {
		f.Add(v.sealed)
	}
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, sealed string) {
		key, err := parseAESKey(vectors()[0].key)
		if err != nil {
			t.Fatal(err)
		}
		message, err := key.decrypt(sealed, vectors()[0].appID)
		if err != nil {
			return
		}
		again, err := key.decrypt(key.encrypt(newCryptoRandom(), message, vectors()[0].appID), vectors()[0].appID)
		if err != nil || string(again) != string(message) {
			t.Errorf("%q opens as %q, then as %q (%v)", sealed, message, again, err)
		}
	})
}
