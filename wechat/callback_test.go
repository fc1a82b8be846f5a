package wechat_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat"
)

const kitNow = 1409304348

// plainCallback has no key, secureCallback has one.
func plainCallback(t testing.TB) *wechat.Callback {
	return newCallback(t, wechat.CallbackConfig{AppID: kitApp, Token: kitToken, Now: at(kitNow)})
}

func secureCallback(t testing.TB) *wechat.Callback {
	return newCallback(t, wechat.CallbackConfig{AppID: kitApp, Token: kitToken, AESKey: kitKey, Now: at(kitNow)})
}

// signed is the query of a plain push at kitNow.
func signed() url.Values {
	return query("signature", wechat.MessageSignature(kitToken, kitTime, kitNonce), "timestamp", kitTime, "nonce", kitNonce, "openid", openID)
}

// sealed encrypts a message as WeChat does, and gives query and body of the push.
func sealed(t testing.TB, key wechat.Secret, app, message string) (url.Values, []byte) {
	t.Helper()
	ciphertext, err := newMessageCipher(t, key, app).Seal([]byte(message), [16]byte([]byte("aaaabbbbccccdddd")))
	if err != nil {
		t.Fatal(err)
	}
	return envelope(ciphertext)
}

func envelope(ciphertext string) (url.Values, []byte) {
	q := signed()
	q.Set("encrypt_type", "aes")
	q.Set("msg_signature", wechat.MessageSignature(kitToken, kitTime, kitNonce, ciphertext))
	return q, []byte("<xml><ToUserName><![CDATA[gh_7f083739789a]]></ToUserName><Encrypt><![CDATA[" + ciphertext + "]]></Encrypt></xml>")
}

// push is a message of plain XML with more elements in it.
func push(elements string) string {
	return "<xml><ToUserName><![CDATA[gh_7f083739789a]]></ToUserName><FromUserName><![CDATA[" + openID + "]]></FromUserName>" +
		"<CreateTime>1409304348</CreateTime>" + elements + "</xml>"
}

func event(name, elements string) string {
	return push("<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[" + name + "]]></Event>" + elements)
}

func text(content string) string {
	return push("<MsgType><![CDATA[text]]></MsgType><Content>" + content + "</Content><MsgId>1234567890123456</MsgId>")
}

// open gives a message to the callback in all modes, and wants the same of each.
func open(t *testing.T, message string) *wechat.Message {
	t.Helper()
	plain, err := plainCallback(t).Open(signed(), []byte(message))
	if err != nil {
		t.Fatal(err)
	}
	if plain.Encrypted {
		t.Error("a plain message says that it was encrypted")
	}
	q, body := sealed(t, kitKey, kitApp, message)
	secure, err := secureCallback(t).Open(q, body)
	if err != nil {
		t.Fatal(err)
	}
	if !secure.Encrypted {
		t.Error("an encrypted message says that it was not")
	}
	if secure.Key() != plain.Key() || !maps.Equal(secure.Fields, plain.Fields) || !bytes.Equal(secure.Raw, plain.Raw) {
		t.Errorf("plain %+v, encrypted %+v", plain, secure)
	}
	return secure
}

func wantCallbackError(t testing.TB, err, want error) {
	t.Helper()
	for _, sentinel := range []error{wechat.ErrSignature, wechat.ErrStale, wechat.ErrMalformed, wechat.ErrDecrypt} {
		if errors.Is(err, sentinel) != (sentinel == want) {
			t.Errorf("got %v, want only %v", err, want)
		}
	}
	if err != nil {
		wantNone(t, everyText(err), kitToken, kitKey, openID)
	}
}

func TestWX10_SignatureBeforeAnythingElse(t *testing.T) {
	changes := map[string]func(url.Values){
		"no signature":           func(q url.Values) { q.Del("signature") },
		"an empty one":           func(q url.Values) { q.Set("signature", "") },
		"a wrong one":            func(q url.Values) { q.Set("signature", strings.Repeat("0", 40)) },
		"one in upper case":      func(q url.Values) { q.Set("signature", strings.ToUpper(q.Get("signature"))) },
		"one that is cut":        func(q url.Values) { q.Set("signature", q.Get("signature")[:39]) },
		"one that is too long":   func(q url.Values) { q.Set("signature", q.Get("signature")+"0") },
		"a repeated one":         func(q url.Values) { q.Add("signature", q.Get("signature")) },
		"of another token":       func(q url.Values) { q.Set("signature", wechat.MessageSignature("other", kitTime, kitNonce)) },
		"of an empty token":      func(q url.Values) { q.Set("signature", wechat.MessageSignature("", kitTime, kitNonce)) },
		"over another timestamp": func(q url.Values) { q.Set("timestamp", "1409304349") },
		"over another nonce":     func(q url.Values) { q.Set("nonce", "xxxxxy") },
		"no timestamp":           func(q url.Values) { q.Del("timestamp") },
		"a repeated timestamp":   func(q url.Values) { q.Add("timestamp", kitTime) },
		"no nonce":               func(q url.Values) { q.Del("nonce") },
		"a repeated nonce":       func(q url.Values) { q.Add("nonce", kitNonce) },
		"no parameters at all":   func(q url.Values) { clear(q) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			q, body := sealed(t, kitKey, kitApp, kitEvent)
			change(q)
			_, err := secureCallback(t).Open(q, body)
			wantCallbackError(t, err, wechat.ErrSignature)

			q = signed()
			change(q)
			_, err = plainCallback(t).Open(q, []byte(kitEvent))
			wantCallbackError(t, err, wechat.ErrSignature)
			_, err = plainCallback(t).Open(q, []byte("<!DOCTYPE a>")) // not even looked at
			wantCallbackError(t, err, wechat.ErrSignature)
			q.Set("echostr", "1")
			echo, err := plainCallback(t).Verify(q)
			wantCallbackError(t, err, wechat.ErrSignature)
			if echo != "" {
				t.Errorf("echoed %q", echo)
			}
		})
	}
}

func TestCallback_EchoIsOnlyWhatCouldBeOne(t *testing.T) {
	c := plainCallback(t)
	for _, good := range []string{"4375120948345356249", "a", "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ==", strings.Repeat("9", 256)} {
		q := signed()
		q.Set("echostr", good)
		if echo, err := c.Verify(q); err != nil || echo != good {
			t.Errorf("%s: got %q, %v", good, echo, err)
		}
	}
	for _, bad := range []string{"", "<script>alert(1)</script>", "a b", "a\r\nX: y", `"`, "é", "\x00", strings.Repeat("9", 257)} {
		q := signed()
		q.Set("echostr", bad)
		_, err := c.Verify(q)
		wantCallbackError(t, err, wechat.ErrMalformed)
	}
	q := signed()
	_, err := c.Verify(q)
	wantCallbackError(t, err, wechat.ErrMalformed)
	q["echostr"] = []string{"1", "2"}
	_, err = c.Verify(q)
	wantCallbackError(t, err, wechat.ErrMalformed)
}

func TestWX11_WithAKeyOnlyTheEncryptedContentCounts(t *testing.T) {
	c := secureCallback(t)
	if !c.Encrypts() || plainCallback(t).Encrypts() {
		t.Error("Encrypts does not tell the modes apart")
	}
	t.Run("a captured URL with a plain body", func(t *testing.T) {
		_, err := c.Open(signed(), []byte(kitEvent))
		wantCallbackError(t, err, wechat.ErrSignature)
		q, _ := sealed(t, kitKey, kitApp, kitEvent)
		_, err = c.Open(q, []byte(kitEvent))
		wantCallbackError(t, err, wechat.ErrSignature)
	})
	t.Run("a captured URL with another ciphertext", func(t *testing.T) {
		q, _ := sealed(t, kitKey, kitApp, kitEvent)
		_, other := sealed(t, kitKey, kitApp, text("other"))
		_, err := c.Open(q, other)
		wantCallbackError(t, err, wechat.ErrSignature)
	})
	t.Run("wrong, missing and repeated msg_signature", func(t *testing.T) {
		for _, values := range [][]string{nil, {""}, {strings.Repeat("0", 40)}, {signed().Get("signature")}} {
			q, body := sealed(t, kitKey, kitApp, kitEvent)
			q["msg_signature"] = values
			_, err := c.Open(q, body)
			wantCallbackError(t, err, wechat.ErrSignature)
		}
		q, body := sealed(t, kitKey, kitApp, kitEvent)
		q.Add("msg_signature", q.Get("msg_signature"))
		_, err := c.Open(q, body)
		wantCallbackError(t, err, wechat.ErrSignature)
	})
	t.Run("compatible mode: the plain fields are ignored", func(t *testing.T) {
		q, body := sealed(t, kitKey, kitApp, event("subscribe", ""))
		forged := strings.Replace(string(body), "</xml>",
			"<FromUserName>oForged</FromUserName><CreateTime>1</CreateTime><MsgType>event</MsgType><Event>unsubscribe</Event></xml>", 1)
		m, err := c.Open(q, []byte(forged))
		if err != nil || m.From != openID || m.Event != wechat.EventSubscribe || strings.Contains(string(m.Raw), "oForged") {
			t.Errorf("got %+v, %v", m, err)
		}
	})
	t.Run("compatible mode without a key is plain", func(t *testing.T) {
		m, err := plainCallback(t).Open(signed(), []byte(event("subscribe", "<Encrypt><![CDATA[AAAA]]></Encrypt>")))
		if err != nil || m.Encrypted || m.Event != wechat.EventSubscribe {
			t.Errorf("got %+v, %v", m, err)
		}
	})
	t.Run("secure mode without a key", func(t *testing.T) {
		q, body := sealed(t, kitKey, kitApp, kitEvent)
		_, err := plainCallback(t).Open(q, body)
		wantCallbackError(t, err, wechat.ErrDecrypt)
	})
	t.Run("two ciphertexts", func(t *testing.T) {
		q, body := sealed(t, kitKey, kitApp, kitEvent)
		_, err := c.Open(q, bytes.Replace(body, []byte("</xml>"), []byte("<Encrypt>AAAA</Encrypt></xml>"), 1))
		wantCallbackError(t, err, wechat.ErrMalformed)
	})
}

func TestWX12_WhatDoesNotDecrypt(t *testing.T) {
	other := wechat.Secret("ZYXWVUTSRQPONMLKJIHGFEDCBA0123456789abcdefg")
	good := encrypt(t, kitKey, plaintext(kitEvent, uint32(len(kitEvent)), kitApp, 0))
	raw, err := base64.StdEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(raw)
	damaged[len(damaged)-17] ^= 0xFF
	mixed := plaintext(kitEvent, uint32(len(kitEvent)), kitApp, 0)
	mixed[len(mixed)-2]++
	tests := map[string]string{
		"padding of different bytes":           encrypt(t, kitKey, mixed),
		"another app":                          encrypt(t, kitKey, plaintext(kitEvent, uint32(len(kitEvent)), appID, 0)),
		"no app":                               encrypt(t, kitKey, plaintext(kitEvent, uint32(len(kitEvent)), "", 0)),
		"an app that begins like ours":         encrypt(t, kitKey, plaintext(kitEvent, uint32(len(kitEvent)), kitApp+"0", 0)),
		"another key":                          encrypt(t, other, plaintext(kitEvent, uint32(len(kitEvent)), kitApp, 0)),
		"a length one over the end":            encrypt(t, kitKey, plaintext(kitEvent, uint32(len(kitEvent)+len(kitApp)+1), kitApp, 0)),
		"a length that wraps around":           encrypt(t, kitKey, plaintext(kitEvent, 0xFFFFFFFF, kitApp, 0)),
		"a length that cuts the app":           encrypt(t, kitKey, plaintext(kitEvent, uint32(len(kitEvent)+1), kitApp, 0)),
		"padding 0":                            encrypt(t, kitKey, padded(make([]byte, 32), 32, 0)),
		"padding 33":                           encrypt(t, kitKey, padded(make([]byte, 31), 33, 33)),
		"good but for padding 42":              encrypt(t, kitKey, plaintext(kitEvent, uint32(len(kitEvent)), kitApp, 10+32)),
		"padding 255":                          encrypt(t, kitKey, padded(make([]byte, 1), 255, 255)),
		"nothing but padding":                  encrypt(t, kitKey, padded(nil, 32, 32)),
		"one byte less than a head":            encrypt(t, kitKey, padded(make([]byte, 19), 13, 13)),
		"padding over the end":                 encrypt(t, kitKey, padded(nil, 16, 17)),
		"a block that is cut":                  base64.StdEncoding.EncodeToString(raw[:len(raw)-1]),
		"a message that is cut":                base64.StdEncoding.EncodeToString(raw[:len(raw)-32]),
		"a damaged last block":                 base64.StdEncoding.EncodeToString(damaged),
		"no base64":                            "!!!!",
		"base64 without its end":               strings.TrimRight(good, "=") + "A",
		"base64 for URLs":                      "-_-_",
		"an empty ciphertext in white space":   "\n",
		"one byte":                             "AA==",
		"a whole lot of zeroes, as ciphertext": base64.StdEncoding.EncodeToString(make([]byte, 640)),
	}
	for name, ciphertext := range tests {
		t.Run(name, func(t *testing.T) {
			q, body := envelope(ciphertext)
			_, err := secureCallback(t).Open(q, body)
			wantCallbackError(t, err, wechat.ErrDecrypt)
		})
	}
	t.Run("every cut", func(t *testing.T) {
		c := newMessageCipher(t, kitKey, kitApp)
		for n := range len(raw) {
			if _, err := c.Open(base64.StdEncoding.EncodeToString(raw[:n])); !errors.Is(err, wechat.ErrDecrypt) {
				t.Errorf("%d of %d bytes: %v", n, len(raw), err)
			}
		}
	})
}

func TestWX12_EveryPaddingFrom1To32(t *testing.T) {
	c := newMessageCipher(t, kitKey, kitApp)
	seen := map[int]bool{}
	for n := range 40 {
		message := strings.Repeat("m", n)
		size := 20 + n + len(kitApp)
		pad := 32 - size%32
		seen[pad] = true
		by := encrypt(t, kitKey, plaintext(message, uint32(n), kitApp, 0))
		sealed, err := c.Seal([]byte(message), [16]byte{})
		if err != nil || sealed != by {
			t.Errorf("padding %d: sealed %s, want %s", pad, sealed, by)
		}
		if got, err := c.Open(by); err != nil || string(got) != message {
			t.Errorf("padding %d: opened %q, %v", pad, got, err)
		}
	}
	if len(seen) != 32 {
		t.Errorf("only %d paddings tried", len(seen))
	}
}

// plaintext builds what WeChat encrypts, as wechat-protocol §5.3 says, with any
// length in it and the padding that fits, or another one.
func plaintext(message string, length uint32, app string, pad int) []byte {
	data := make([]byte, 16, 64)
	data = binary.BigEndian.AppendUint32(data, length)
	data = append(append(data, message...), app...)
	if pad == 0 {
		pad = 32 - len(data)%32
	}
	return padded(data, pad, byte(pad))
}

func padded(data []byte, count int, with byte) []byte {
	return append(data, bytes.Repeat([]byte{with}, count)...)
}

func encrypt(t testing.TB, key wechat.Secret, data []byte) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(key.Reveal() + "=")
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, len(data))
	cipher.NewCBCEncrypter(block, raw[:16]).CryptBlocks(out, data)
	return base64.StdEncoding.EncodeToString(out)
}

func TestWX13_FiveMinutes(t *testing.T) {
	for offset, want := range map[time.Duration]error{
		0: nil, 5 * time.Minute: nil, -5 * time.Minute: nil,
		5*time.Minute + time.Second: wechat.ErrStale, -5*time.Minute - time.Second: wechat.ErrStale,
		24 * time.Hour: wechat.ErrStale, -1000 * time.Hour: wechat.ErrStale,
	} {
		now := func() time.Time { return time.Unix(kitNow, 0).Add(offset) }
		plain := newCallback(t, wechat.CallbackConfig{AppID: kitApp, Token: kitToken, Now: now})
		_, err := plain.Open(signed(), []byte(kitEvent))
		wantCallbackError(t, err, want)
		q := signed()
		q.Set("echostr", "1")
		_, err = plain.Verify(q)
		wantCallbackError(t, err, want)
		q, body := sealed(t, kitKey, kitApp, kitEvent)
		_, err = newCallback(t, wechat.CallbackConfig{AppID: kitApp, Token: kitToken, AESKey: kitKey, Now: now}).Open(q, body)
		wantCallbackError(t, err, want)
	}
	for _, timestamp := range []string{"", "0", "-1", "1409304348.0", " 1409304348", "1e9", "99999999999999999999", "9223372036854775807", "-9223372036854775808"} {
		q := query("signature", wechat.MessageSignature(kitToken, timestamp, kitNonce), "timestamp", timestamp, "nonce", kitNonce)
		_, err := plainCallback(t).Open(q, []byte(kitEvent))
		wantCallbackError(t, err, wechat.ErrStale)
	}
}

func TestWX13_KeysTellRepeatsFromOthers(t *testing.T) {
	message := func(from, created, elements string) string {
		return "<xml><FromUserName>" + from + "</FromUserName><CreateTime>" + created + "</CreateTime>" + elements + "</xml>"
	}
	events := func(name, rest string) string { return "<MsgType>event</MsgType><Event>" + name + "</Event>" + rest }
	different := []string{
		message("oA", "1", "<MsgType>text</MsgType><MsgId>1</MsgId>"),
		message("oA", "1", "<MsgType>text</MsgType><MsgId>2</MsgId>"),
		message("oA", "1", "<MsgType>text</MsgType><MsgId>4363689963896700987</MsgId>"),
		message("oA", "1", "<MsgType>text</MsgType><MsgId>4363689963896700986</MsgId>"),
		message("oA", "1", events("CLICK", "<EventKey>a</EventKey>")),
		message("oA", "1", events("CLICK", "<EventKey>b</EventKey>")),
		message("oA", "2", events("CLICK", "<EventKey>a</EventKey>")),
		message("oB", "1", events("CLICK", "<EventKey>a</EventKey>")),
		message("oA", "1", events("VIEW", "<EventKey>a</EventKey>")),
		message("oA", "1", events("subscribe", "")),
		message("oA", "1", events("unsubscribe", "")),
		message("oA", "1", events("user_authorization_revoke", "<OpenID>o1</OpenID><RevokeInfo>205</RevokeInfo>")),
		message("oA", "1", events("user_authorization_revoke", "<OpenID>o2</OpenID><RevokeInfo>205</RevokeInfo>")),
		message("oA", "1", events("user_authorization_revoke", "<OpenID>o1</OpenID><RevokeInfo>206</RevokeInfo>")),
		message("oA", "1", events("TEMPLATESENDJOBFINISH", "<MsgID>7</MsgID>")),
		message("oA", "1", events("TEMPLATESENDJOBFINISH", "<MsgID>8</MsgID>")),
	}
	keys := map[string]string{}
	for _, m := range different {
		key := open(t, m).Key()
		if len(key) != 64 || keys[key] != "" {
			t.Errorf("key %s of %s is that of %s", key, m, keys[key])
		}
		keys[key] = m
	}
	// The same message once more, with its elements in another order, and as JSON.
	for _, m := range []string{
		"<xml><MsgId> 1 </MsgId><MsgType>text</MsgType><CreateTime>9</CreateTime><FromUserName>oA</FromUserName></xml>",
		`{"FromUserName":"oA","CreateTime":1,"MsgType":"text","MsgId":1}`,
		`{"FromUserName":"oA","CreateTime":1,"MsgType":"text","MsgId":"1"}`,
	} {
		if got := keys[open(t, m).Key()]; got != different[0] {
			t.Errorf("%s has the key of %q", m, got)
		}
	}
	if got := keys[open(t, `{"MsgType":"event","Event":"subscribe","FromUserName":"oA","CreateTime":"1","EventKey":null}`).Key()]; got != different[9] {
		t.Errorf("an event as JSON has the key of %q", got)
	}
}

func TestWX15_XMLTricksAreRefused(t *testing.T) {
	good := "<MsgType>text</MsgType><Content>hi</Content><MsgId>1</MsgId>"
	nested := func(levels int) string {
		return push(good + strings.Repeat("<a>", levels) + strings.Repeat("</a>", levels))
	}
	bomb := "<!DOCTYPE xml ["
	for i := range 10 {
		bomb += fmt.Sprintf(`<!ENTITY e%d "%s">`, i, strings.Repeat(fmt.Sprintf("&e%d;", i-1), 10))
	}
	tests := map[string]string{
		"an external entity":                    `<?xml version="1.0"?><!DOCTYPE xml [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + push("<MsgType>text</MsgType><Content>&x;</Content>"),
		"a DOCTYPE":                             "<!DOCTYPE xml>" + push(good),
		"a DOCTYPE after the root":              push(good) + "<!DOCTYPE xml>",
		"ten levels of entities":                bomb + "]>" + push("<MsgType>text</MsgType><Content>&e9;</Content>"),
		"an unknown entity":                     push("<MsgType>text</MsgType><Content>&nbsp;</Content>"),
		"a processing instruction":              push(good + "<?php echo 1 ?>"),
		"one before the root":                   `<?xml-stylesheet href="http://evil.example/"?>` + push(good),
		"a second declaration":                  `<?xml version="1.0"?><?xml version="1.0"?>` + push(good),
		"a declaration inside":                  push(good + `<?xml version="1.0"?>`),
		"a comment that parts a value":          push("<MsgType>te<!-- -->xt</MsgType>"),
		"17 levels of nesting":                  nested(16),
		"20,000 levels of nesting":              nested(4600) + strings.Repeat("<a>", 10),
		"FromUserName twice":                    push(good + "<FromUserName>oForged</FromUserName>"),
		"FromUserName twice, once with a child": push(good + "<FromUserName><a/></FromUserName>"),
		"FromUserName twice, once empty":        push(good + "<FromUserName/>"),
		"a prefix":                              push(good + `<x:Event xmlns:x="urn:x">subscribe</x:Event>`),
		"an undeclared prefix":                  push(good + "<x:Event>subscribe</x:Event>"),
		"a default namespace":                   `<xml xmlns="urn:x">` + push(good)[5:],
		"text beside the elements":              push(good + "text"),
		"CDATA beside the elements":             push(good + "<![CDATA[text]]>"),
		"two roots":                             push(good) + push(good),
		"an empty root after the root":          push(good) + "<xml/>",
		"text after the root":                   push(good) + "x",
		"another root":                          strings.ReplaceAll(push(good), "xml>", "msg>"),
		"a root inside another":                 "<a>" + push(good) + "</a>",
		"an end without a beginning":            push(good) + "</xml>",
		"no end":                                strings.TrimSuffix(push(good), "</xml>"),
		"ends in the wrong order":               push(good + "<a><b></a></b>"),
		"attributes without quotes":             push(good + "<a b=c></a>"),
		"another encoding":                      `<?xml version="1.0" encoding="UTF-7"?>` + push(good),
		"UTF-16":                                "\xff\xfe<\x00x\x00m\x00l\x00>\x00",
		"more than 64 KiB":                      push(good + "<Pad>" + strings.Repeat("x", 64<<10) + "</Pad>"),
		"nothing":                               "",
		"white space":                           " \r\n",
		"no XML":                                "signature=1&timestamp=2",
		"an empty document":                     "<xml></xml>",
		"no FromUserName":                       "<xml><CreateTime>1</CreateTime><MsgType>text</MsgType></xml>",
		"a FromUserName inside another element": "<xml><CreateTime>1</CreateTime><MsgType>text</MsgType><a><FromUserName>oA</FromUserName></a></xml>",
		"a FromUserName of another case":        "<xml><CreateTime>1</CreateTime><MsgType>text</MsgType><fromusername>oA</fromusername></xml>",
		"a FromUserName as an attribute":        `<xml FromUserName="oA"><CreateTime>1</CreateTime><MsgType>text</MsgType></xml>`,
		"a FromUserName with a space":           "<xml><FromUserName>o A</FromUserName><CreateTime>1</CreateTime><MsgType>text</MsgType></xml>",
		"a FromUserName of 129 characters":      "<xml><FromUserName>" + strings.Repeat("o", 129) + "</FromUserName><CreateTime>1</CreateTime><MsgType>text</MsgType></xml>",
		"no CreateTime":                         "<xml><FromUserName>oA</FromUserName><MsgType>text</MsgType></xml>",
		"a CreateTime in words":                 "<xml><FromUserName>oA</FromUserName><CreateTime>now</CreateTime><MsgType>text</MsgType></xml>",
		"a CreateTime before 1970":              "<xml><FromUserName>oA</FromUserName><CreateTime>-1</CreateTime><MsgType>text</MsgType></xml>",
		"a CreateTime beyond time":              "<xml><FromUserName>oA</FromUserName><CreateTime>9223372036854775807</CreateTime><MsgType>text</MsgType></xml>",
		"no MsgType":                            "<xml><FromUserName>oA</FromUserName><CreateTime>1</CreateTime></xml>",
		"an event without a name":               push("<MsgType>event</MsgType>"),
		"a revocation of nobody":                event("user_authorization_revoke", "<RevokeInfo>205</RevokeInfo>"),
		"JSON that is cut":                      `{"FromUserName":"oA","CreateTime":1,"MsgType":"text"`,
		"JSON with text after it":               `{"FromUserName":"oA","CreateTime":1,"MsgType":"text"}x`,
		"JSON with a name twice":                `{"FromUserName":"oA","CreateTime":1,"MsgType":"text","FromUserName":"oB"}`,
		"JSON with a name twice, once null":     `{"FromUserName":"oA","CreateTime":1,"MsgType":"text","FromUserName":null}`,
		"JSON with 17 levels of nesting":        `{"FromUserName":"oA","CreateTime":1,"MsgType":"text","a":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`,
		"JSON of another case":                  `{"fromusername":"oA","CreateTime":1,"MsgType":"text"}`,
		"a JSON list":                           `[{"FromUserName":"oA","CreateTime":1,"MsgType":"text"}]`,
		"JSON with an id that is an object":     `{"FromUserName":{"a":"oA"},"CreateTime":1,"MsgType":"text"}`,
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := plainCallback(t).Open(signed(), []byte(body))
			wantCallbackError(t, err, wechat.ErrMalformed)
			if m != nil {
				t.Errorf("an error and %+v", m)
			}
			if len(body) > 64<<10 {
				return
			}
			q, sealedBody := sealed(t, kitKey, kitApp, body)
			_, err = secureCallback(t).Open(q, sealedBody)
			wantCallbackError(t, err, wechat.ErrMalformed)

			if strings.HasPrefix(body, "<!") || strings.HasPrefix(body, "<?xml-") { // in the envelope too
				_, err = secureCallback(t).Open(q, []byte(strings.Replace(body, good, "<Encrypt>AAAA</Encrypt>", 1)))
				wantCallbackError(t, err, wechat.ErrMalformed)
			}
		})
	}
}

func TestWX15_OrdinaryXMLIsRead(t *testing.T) {
	good := "<MsgType>text</MsgType><Content>hi</Content><MsgId>1</MsgId>"
	for name, body := range map[string]string{
		"a declaration":             `<?xml version="1.0" encoding="UTF-8"?>` + push(good),
		"a byte order mark":         "\uFEFF" + push(good),
		"white space around":        "\r\n " + push(good) + "\n",
		"white space between":       strings.NewReplacer("<CreateTime>", "\n  <CreateTime>", "<MsgType>", "\r\n\t<MsgType>", "</xml>", "\n</xml>").Replace(push(good)),
		"16 levels of nesting":      push(good + strings.Repeat("<a>", 15) + strings.Repeat("</a>", 15)),
		"elements nobody knows":     push(good + "<New>1</New><Also/>"),
		"lists inside an element":   push(good + "<SendPicsInfo><PicList><item>1</item><item>2</item></PicList></SendPicsInfo>"),
		"attributes nobody knows":   strings.Replace(push(good), "<xml>", `<xml version="1">`, 1),
		"CDATA and text alike":      strings.ReplaceAll(push(good), "hi", "<![CDATA[h]]>i"),
		"nearly 64 KiB":             push(good + "<Pad>" + strings.Repeat("x", 64<<10-len(push(good))-len("<Pad></Pad>")) + "</Pad>"),
		"JSON":                      `{"ToUserName":"gh_7f083739789a","FromUserName":"` + openID + `","CreateTime":1409304348,"MsgType":"text","Content":"hi","MsgId":1}`,
		"JSON with 16 levels":       `{"a":` + strings.Repeat("[", 15) + strings.Repeat("]", 15) + `,"FromUserName":"` + openID + `","CreateTime":"1409304348","MsgType":"text","Content":"hi","MsgId":"1"}`,
		"JSON with other types":     `{"FromUserName":"` + openID + `","CreateTime":1409304348,"MsgType":"text","Content":"hi","MsgId":1,"detail":[],"result":{"a":[1,{"b":2}]},"is":true,"no":null}`,
		"JSON with white space":     "\uFEFF\n{ \"FromUserName\" : \"" + openID + "\", \"CreateTime\":1409304348, \"MsgType\":\"text\", \"Content\":\"hi\", \"MsgId\":1 }\n",
		"JSON with escaped slashes": `{"FromUserName":"` + openID + `","CreateTime":1409304348,"MsgType":"te\u0078t","Content":"hi","MsgId":1,"u":"http:\/\/a"}`,
	} {
		t.Run(name, func(t *testing.T) {
			m, err := plainCallback(t).Open(signed(), []byte(body))
			if err != nil || m.From != openID || m.Type != wechat.MessageText || m.Content != "hi" || m.ID != "1" || m.CreatedAt.Unix() != kitNow {
				t.Errorf("got %+v, %v", m, err)
			}
		})
	}
}

// Users type what XML does not allow. The message is read all the same, and what
// is passed on is valid.
func TestMessage_ForbiddenCharactersAreReplaced(t *testing.T) {
	for _, body := range []string{text("a\x00\x0b\xff\uFFFEb"), `{"FromUserName":"oA","CreateTime":1,"MsgType":"text","Content":"a` + "\x00\x0b\xff\uFFFE" + `b"}`} {
		m := open(t, body)
		if !strings.HasPrefix(m.Content, "a") || !strings.HasSuffix(m.Content, "b") {
			t.Errorf("got %q", m.Content)
		}
		var into struct{ Content string }
		if m.Raw[0] == '{' {
			if err := json.Unmarshal(m.Raw, &into); err != nil {
				t.Error(err)
			}
		} else if err := xml.Unmarshal(m.Raw, &into); err != nil {
			t.Error(err)
		}
	}
}

func TestMessage_FieldsAreDirectChildrenAlone(t *testing.T) {
	m := open(t, event("pic_weixin", "<SendPicsInfo>a<Count>1</Count>b</SendPicsInfo><EventKey>k</EventKey><New>1</New><Empty/>"))
	want := map[string]string{"ToUserName": "gh_7f083739789a", "FromUserName": openID, "CreateTime": "1409304348",
		"MsgType": "event", "Event": "pic_weixin", "EventKey": "k", "New": "1", "Empty": ""}
	if !maps.Equal(m.Fields, want) {
		t.Errorf("got %q, want %q", m.Fields, want)
	}
	m = open(t, `{"FromUserName":"oA","CreateTime":1,"MsgType":"text","MsgId":4363689963896700987,"detail":[{"errcode":7}],"is":true,"no":null}`)
	want = map[string]string{"FromUserName": "oA", "CreateTime": "1", "MsgType": "text", "MsgId": "4363689963896700987", "is": "true"}
	if !maps.Equal(m.Fields, want) || m.ID != "4363689963896700987" {
		t.Errorf("got %q, want %q", m.Fields, want)
	}
}

func TestMessage_KnowsItsKinds(t *testing.T) {
	const authorization = "<OpenID><![CDATA[oPerson]]></OpenID><AppID><![CDATA[wx4f4bc4dec97d474b]]></AppID><RevokeInfo><![CDATA[205]]></RevokeInfo><UnionID>oUnion</UnionID>"
	type want struct {
		user, scene, key, ticket, content, id string
	}
	tests := []struct {
		name, body string
		want       want
	}{
		{"text", text("<![CDATA[this is <a> test]]>"), want{user: openID, content: "this is <a> test", id: "1234567890123456"}},
		{"subscribe", event("subscribe", ""), want{user: openID}},
		{"subscribe with an empty key", event("subscribe", "<EventKey><![CDATA[]]></EventKey>"), want{user: openID}},
		{"subscribe by a QR code", event("subscribe", "<EventKey><![CDATA[qrscene_login_9f]]></EventKey><Ticket>T</Ticket>"),
			want{user: openID, scene: "login_9f", key: "qrscene_login_9f", ticket: "T"}},
		{"SCAN", event("SCAN", "<EventKey>login_9f</EventKey><Ticket>T</Ticket>"), want{user: openID, scene: "login_9f", key: "login_9f", ticket: "T"}},
		{"SCAN of a scene that looks like a prefix", event("SCAN", "<EventKey>qrscene_1</EventKey>"), want{user: openID, scene: "qrscene_1", key: "qrscene_1"}},
		{"unsubscribe", event("unsubscribe", "<EventKey/>"), want{user: openID}},
		{"CLICK", event("CLICK", "<EventKey>V1001</EventKey>"), want{user: openID, key: "V1001"}},
		{"VIEW", event("VIEW", "<EventKey>https://a.example/?a=1&amp;b=2</EventKey><MenuId>433418371</MenuId>"),
			want{user: openID, key: "https://a.example/?a=1&b=2"}},
		{"user_authorization_revoke", event("user_authorization_revoke", authorization), want{user: "oPerson"}},
		{"user_authorization_cancellation", event("user_authorization_cancellation", authorization), want{user: "oPerson"}},
		{"user_info_modified", event("user_info_modified", authorization), want{user: "oPerson"}},
		{"an event of another kind", event("LOCATION", "<Latitude>23.137466</Latitude><OpenID>oPerson</OpenID>"), want{user: openID}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := open(t, tt.body)
			got := want{m.User(), m.Scene(), m.EventKey, m.Ticket, m.Content, m.ID}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if m.To != "gh_7f083739789a" || !m.CreatedAt.Equal(time.Unix(kitNow, 0)) || m.Fields["FromUserName"] != openID {
				t.Errorf("got %+v", m)
			}
			if tt.want.user == "oPerson" && (m.AppID != "wx4f4bc4dec97d474b" || m.RevokeInfo != "205" || m.UnionID != "oUnion" || m.From != openID) {
				t.Errorf("got %+v", m)
			}
		})
	}
}

func TestCallback_ThePreviousKeyStillOpens(t *testing.T) {
	newer := wechat.Secret("ZYXWVUTSRQPONMLKJIHGFEDCBA0123456789abcdefg")
	c := newCallback(t, wechat.CallbackConfig{AppID: kitApp, Token: kitToken, AESKey: newer, PreviousAESKey: kitKey, Now: at(kitNow)})
	for _, key := range []wechat.Secret{kitKey, newer} {
		q, body := sealed(t, key, kitApp, kitEvent)
		m, err := c.Open(q, body)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := c.TextReply(m, "hello")
		if err != nil {
			t.Fatal(err)
		}
		// With the key that the message came with (§5.3).
		if _, err := newMessageCipher(t, key, kitApp).Open(readReply(t, reply).Encrypt); err != nil {
			t.Error(err)
		}
	}
	q, body := sealed(t, "0000000000000000000000000000000000000000000", kitApp, kitEvent)
	_, err := c.Open(q, body)
	wantCallbackError(t, err, wechat.ErrDecrypt)
}

// reply is what WeChat reads of an answer.
type reply struct {
	XMLName      xml.Name `xml:"xml" json:"-"`
	ToUserName   string
	FromUserName string
	CreateTime   int64
	MsgType      string
	Content      string

	Encrypt, MsgSignature, Nonce string
	TimeStamp                    int64
}

func readReply(t testing.TB, body []byte) (r reply) {
	t.Helper()
	decode := xml.Unmarshal
	if bytes.HasPrefix(body, []byte("{")) {
		decode = json.Unmarshal
	}
	if err := decode(body, &r); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return r
}

func TestWX16_RepliesSurviveAnyText(t *testing.T) {
	for _, content := range []string{
		"hello", "你好 🐼", "]]>", "]]><x>", "]]]]>>", "<![CDATA[x]]>", "a & b < c > d \"e\" 'f'", "</xml>", "line\nline", "]]", "",
	} {
		m, err := plainCallback(t).Open(signed(), []byte(text("hi")))
		if err != nil {
			t.Fatal(err)
		}
		body, err := plainCallback(t).TextReply(m, content)
		if err != nil {
			t.Fatal(err)
		}
		want := reply{XMLName: xml.Name{Local: "xml"}, ToUserName: openID, FromUserName: "gh_7f083739789a", CreateTime: kitNow, MsgType: "text", Content: content}
		if got := readReply(t, body); got != want {
			t.Errorf("got %+v\nwant %+v\nin %s", got, want, body)
		}
		if m.ContentType() != "text/xml; charset=utf-8" {
			t.Error(m.ContentType())
		}

		// Encrypted exactly when the message was.
		q, sealedBody := sealed(t, kitKey, kitApp, text("hi"))
		if m, err = secureCallback(t).Open(q, sealedBody); err != nil {
			t.Fatal(err)
		}
		if body, err = secureCallback(t).TextReply(m, content); err != nil {
			t.Fatal(err)
		}
		outer := readReply(t, body)
		if outer.ToUserName != "" || outer.Content != "" || outer.TimeStamp != kitNow || outer.Nonce == "" ||
			outer.MsgSignature != wechat.MessageSignature(kitToken, strconv.FormatInt(outer.TimeStamp, 10), outer.Nonce, outer.Encrypt) {
			t.Errorf("got %s", body)
		}
		plain, err := newMessageCipher(t, kitKey, kitApp).Open(outer.Encrypt)
		if err != nil {
			t.Fatal(err)
		}
		if got := readReply(t, plain); got != want {
			t.Errorf("got %+v\nwant %+v\nin %s", got, want, plain)
		}
	}
	t.Run("what XML does not allow is left out", func(t *testing.T) {
		m, err := plainCallback(t).Open(signed(), []byte(text("hi")))
		if err != nil {
			t.Fatal(err)
		}
		body, err := plainCallback(t).TextReply(m, "a\x00\x1b\xff\uFFFE]]>b")
		if err != nil || readReply(t, body).Content != "a]]>b" {
			t.Errorf("got %s, %v", body, err)
		}
	})
	t.Run("a push in JSON has a reply in JSON", func(t *testing.T) {
		m, err := plainCallback(t).Open(signed(), []byte(`{"ToUserName":"gh_1","FromUserName":"oA","CreateTime":1,"MsgType":"text","Content":"hi","MsgId":1}`))
		if err != nil {
			t.Fatal(err)
		}
		body, err := plainCallback(t).TextReply(m, `a & "b" <c>`)
		want := `{"ToUserName":"oA","FromUserName":"gh_1","CreateTime":1409304348,"MsgType":"text","Content":"a & \"b\" <c>"}`
		if err != nil || string(body) != want || m.ContentType() != "application/json; charset=utf-8" {
			t.Errorf("got %s, %v\nwant %s", body, err, want)
		}
	})
	t.Run("two replies have two salts", func(t *testing.T) {
		q, body := sealed(t, kitKey, kitApp, text("hi"))
		m, err := secureCallback(t).Open(q, body)
		if err != nil {
			t.Fatal(err)
		}
		one, err1 := secureCallback(t).TextReply(m, "same")
		two, err2 := secureCallback(t).TextReply(m, "same")
		if err1 != nil || err2 != nil || readReply(t, one).Encrypt == readReply(t, two).Encrypt {
			t.Errorf("%s and %s, %v, %v", one, two, err1, err2)
		}
	})
	t.Run("a reply too long to be one", func(t *testing.T) {
		q, body := sealed(t, kitKey, kitApp, text("hi"))
		m, err := secureCallback(t).Open(q, body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := secureCallback(t).TextReply(m, strings.Repeat("x", 64<<10)); err == nil {
			t.Error("it was encrypted")
		}
	})
}

func TestNewCallback_RefusesWhatCannotWork(t *testing.T) {
	good := wechat.CallbackConfig{AppID: kitApp, Token: kitToken, AESKey: kitKey}
	tests := []struct {
		name   string
		change func(*wechat.CallbackConfig)
		want   string
	}{
		{"no appid", func(c *wechat.CallbackConfig) { c.AppID = "" }, "appid"},
		{"an appid with a line feed", func(c *wechat.CallbackConfig) { c.AppID += "\n" }, "appid"},
		{"no token", func(c *wechat.CallbackConfig) { c.Token = "" }, "token"},
		{"a token with a line feed", func(c *wechat.CallbackConfig) { c.Token = kitToken + "\n" }, "token"},
		{"a key of 42 characters", func(c *wechat.CallbackConfig) { c.AESKey = wechat.Secret(kitKey[1:]) }, "EncodingAESKey"},
		{"a key of 44 characters", func(c *wechat.CallbackConfig) { c.AESKey = kitKey + "=" }, "EncodingAESKey"},
		{"a key with a line feed in it", func(c *wechat.CallbackConfig) { c.AESKey = wechat.Secret(kitKey[:42] + "\n") }, "EncodingAESKey"},
		{"a key that is no base64", func(c *wechat.CallbackConfig) { c.AESKey = wechat.Secret("!" + kitKey[1:]) }, "EncodingAESKey"},
		{"a previous key that is none", func(c *wechat.CallbackConfig) { c.PreviousAESKey = "x" }, "EncodingAESKey"},
		{"a previous key alone", func(c *wechat.CallbackConfig) { c.AESKey, c.PreviousAESKey = "", kitKey }, "previous"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config := good
			tt.change(&config)
			_, err := wechat.NewCallback(config)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want an error about %q", err, tt.want)
			}
			wantNone(t, err.Error(), kitToken, kitKey, kitKey[1:42])
		})
	}
	if _, err := wechat.NewMessageCipher(kitKey, ""); err == nil {
		t.Error("a cipher for nobody")
	}
}

func TestWX01_CallbackSecretsDoNotPrint(t *testing.T) {
	c := secureCallback(t)
	q, body := sealed(t, kitKey, kitApp, text("hi"))
	m, err := c.Open(q, body)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(kitKey + "=")
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.Trim(fmt.Sprint(raw[:4]), "[]") // as numbers
	opener := newMessageCipher(t, kitKey, kitApp)
	for _, carrier := range []any{c, *c, m, *m, opener, *opener, wechat.CallbackConfig{Token: kitToken, AESKey: kitKey}} {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3v"} {
			fmt.Fprintf(&out, verb+"\n", carrier)
		}
		wantNone(t, strings.ToLower(out.String()), kitToken, strings.ToLower(kitKey), listed, fmt.Sprintf("%x", raw[:8]), fmt.Sprintf("%x", kitToken))
	}
}
