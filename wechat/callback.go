package wechat

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// What is wrong with a callback. Exactly one of these fits; the text after it is
// safe to log.
var (
	// ErrSignature: WeChat did not send this, or a configured token differs from
	// the console's. Answer 403 and do nothing.
	ErrSignature = errors.New("wechat: callback: signature not accepted")
	// ErrStale: the timestamp is more than five minutes from our clock: a replay,
	// or one of the clocks is wrong. Answer 403 and do nothing.
	ErrStale = errors.New("wechat: callback: timestamp too far from now")
	// ErrMalformed: signed, but no message. Answer 400.
	ErrMalformed = errors.New("wechat: callback: malformed")
	// ErrDecrypt: signed, but encrypted with another key or for another app.
	// Answer 403; an operator must compare appid and EncodingAESKey.
	ErrDecrypt = errors.New("wechat: callback: does not decrypt")
)

const (
	// MaxCallbackBody is the limit on the body of a push and on a reply, in bytes.
	// Read no more of a request than one byte over it.
	MaxCallbackBody = 64 << 10

	// CallbackSuccess is the answer that means "received, nothing to say" (§5.5).
	// WeChat wants it, or a reply, within 5 seconds.
	CallbackSuccess = "success"

	callbackWindow = 5 * time.Minute
)

// Callback is the server side of an account's messages and events
// (wechat-protocol §5). It does no I/O and remembers nothing: whether a message
// was seen before is for its user to know, by [Message.Key]. It is safe for
// concurrent use.
type Callback struct {
	token   *Secret          // a pointer, so that printing a Callback cannot show it
	ciphers []*MessageCipher // the current key's and the previous one's; none in plain mode
	now     func() time.Time
	random  func() [16]byte
}

// CallbackConfig is what the console has under 基本配置 → 服务器配置.
type CallbackConfig struct {
	AppID string
	Token Secret

	// AESKey is the EncodingAESKey, 43 letters and digits. With it only encrypted
	// pushes are accepted, in the modes 安全 and 兼容, and plain fields beside the
	// encrypted ones are ignored. Without it only the mode 明文 works, where anybody
	// who sees one URL can send any body for five minutes: set it.
	AESKey Secret
	// PreviousAESKey opens what was encrypted before the key was changed.
	PreviousAESKey Secret

	Now    func() time.Time // default time.Now
	Random func() [16]byte  // salt of a reply; default from crypto/rand
}

// NewCallback returns a Callback, or an error that says what is wrong with c.
func NewCallback(c CallbackConfig) (*Callback, error) {
	switch token := c.Token.Reveal(); {
	case !isToken(c.AppID, 64):
		return nil, fmt.Errorf("wechat: appid %q is not 1 to 64 letters and digits", c.AppID)
	case token == "" || len(token) > 128 || !isVisible(token):
		return nil, fmt.Errorf("wechat: the callback token of app %s is empty, too long or has white space", c.AppID)
	case c.AESKey == "" && c.PreviousAESKey != "":
		return nil, fmt.Errorf("wechat: app %s has a previous EncodingAESKey but no current one", c.AppID)
	}
	cb := &Callback{token: &c.Token, now: c.Now, random: c.Random}
	for _, key := range []Secret{c.AESKey, c.PreviousAESKey} {
		if key == "" {
			continue
		}
		opener, err := NewMessageCipher(key, c.AppID)
		if err != nil {
			return nil, err
		}
		cb.ciphers = append(cb.ciphers, opener)
	}
	if cb.now == nil {
		cb.now = time.Now
	}
	if cb.random == nil {
		cb.random = func() (salt [16]byte) { copy(salt[:], rand.Text()); return salt }
	}
	return cb, nil
}

// Encrypts reports whether an EncodingAESKey is configured, so that what a
// message says can be believed.
func (c *Callback) Encrypts() bool { return len(c.ciphers) > 0 }

// Authenticate checks the signature in the query of a push or a GET, without which
// nobody need read the body.
func (c *Callback) Authenticate(query url.Values) error {
	_, err := c.authenticate(query)
	return err
}

// Verify checks the GET by which the console tries the address, and returns the
// echostr, which must be the whole answer, as text/plain. It is not signed, so
// only what could be one is returned.
func (c *Callback) Verify(query url.Values) (echo string, err error) {
	if _, err := c.authenticate(query); err != nil {
		return "", err
	}
	echo, ok := only(query, "echostr")
	if !ok || !isEcho(echo) {
		return "", fmt.Errorf("%w: it has no echostr", ErrMalformed)
	}
	return echo, nil
}

// Open checks a POST and returns its message. query is that of the URL, body the
// whole body. The signature in the query is checked before the body is looked
// at; in AES mode the one over the ciphertext before that is decrypted.
func (c *Callback) Open(query url.Values, body []byte) (*Message, error) {
	at, err := c.authenticate(query)
	if err != nil {
		return nil, err
	}
	if !c.Encrypts() {
		return openPlain(body)
	}
	if _, ok := only(query, "msg_signature"); !ok {
		return nil, fmt.Errorf("%w: the push is not encrypted, and an EncodingAESKey is configured", ErrSignature)
	}
	envelope, _, err := readFields(body)
	if err != nil {
		return nil, err
	}
	return c.openSealed(query, at, envelope)
}

// OpenSealed is Open for pushes as WeCom makes them (wecom-protocol §9.3): always
// encrypted, with msg_signature and no signature beside it. So the envelope has to
// be read before anything is known to come from WeCom.
func (c *Callback) OpenSealed(query url.Values, body []byte) (*Message, error) {
	at, err := c.stamp(query)
	if err != nil {
		return nil, err
	}
	envelope, _, err := readFields(body)
	if err != nil {
		return nil, fmt.Errorf("%w: nothing encrypted is in the body", ErrSignature)
	}
	return c.openSealed(query, at, envelope)
}

func (c *Callback) openSealed(query url.Values, at stamp, envelope fields) (*Message, error) {
	plain, opener, err := c.unseal(query, at, envelope["Encrypt"])
	if err != nil {
		return nil, err
	}
	m, err := parseMessage(plain)
	if err != nil {
		return nil, err
	}
	m.Encrypted, m.cipher, m.nonce = true, opener, at.nonce
	return m, nil
}

// VerifySealed is Verify for the GET as WeCom makes it (wecom-protocol §9.2): the
// echostr is encrypted and signed with the rest. What does not look like one, such
// as a message that somebody put in its place, is not returned.
func (c *Callback) VerifySealed(query url.Values) (echo string, err error) {
	at, err := c.stamp(query)
	if err != nil {
		return "", err
	}
	sealed, _ := only(query, "echostr")
	plain, _, err := c.unseal(query, at, sealed)
	if err != nil {
		return "", err
	}
	if !isEcho(string(plain)) {
		return "", fmt.Errorf("%w: it has no echostr", ErrMalformed)
	}
	return string(plain), nil
}

// unseal decrypts what msg_signature covers, if that is good.
func (c *Callback) unseal(query url.Values, at stamp, ciphertext string) ([]byte, *MessageCipher, error) {
	signature, ok := only(query, "msg_signature")
	if !ok || ciphertext == "" || !same(signature, MessageSignature(*c.token, at.timestamp, at.nonce, ciphertext)) {
		return nil, nil, fmt.Errorf("%w: msg_signature does not fit the encrypted content", ErrSignature)
	}
	if err := c.recent(at); err != nil {
		return nil, nil, err
	}
	return c.decrypt(ciphertext)
}

func openPlain(body []byte) (*Message, error) {
	m, err := parseMessage(body)
	if err != nil && isSealed(body) {
		return nil, fmt.Errorf("%w: the push is encrypted, and no EncodingAESKey is configured", ErrDecrypt)
	}
	return m, err
}

// isSealed reports whether a body has nothing but encrypted content.
func isSealed(body []byte) bool {
	envelope, _, err := readFields(body)
	return err == nil && envelope["Encrypt"] != "" && envelope["MsgType"] == ""
}

// decrypt tries the current key, then the previous one.
func (c *Callback) decrypt(ciphertext string) ([]byte, *MessageCipher, error) {
	var first error
	for _, opener := range c.ciphers {
		plain, err := opener.Open(ciphertext)
		if err == nil {
			return plain, opener, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, nil, first
}

// stamp is what a signature covers beside the token.
type stamp struct{ timestamp, nonce string }

// authenticate checks signature, timestamp and nonce. A parameter that comes
// twice has no value: who else reads the request may have taken the other one.
func (c *Callback) authenticate(query url.Values) (stamp, error) {
	signature, ok := only(query, "signature")
	at, err := c.stamp(query)
	if !ok || err != nil {
		return stamp{}, fmt.Errorf("%w: signature, timestamp and nonce must be there, each once", ErrSignature)
	}
	if !same(signature, MessageSignature(*c.token, at.timestamp, at.nonce)) {
		return stamp{}, ErrSignature
	}
	return at, c.recent(at)
}

func (c *Callback) stamp(query url.Values) (stamp, error) {
	timestamp, okTime := only(query, "timestamp")
	nonce, okNonce := only(query, "nonce")
	if !okTime || !okNonce || nonce == "" {
		return stamp{}, fmt.Errorf("%w: timestamp and nonce must be there, each once", ErrSignature)
	}
	return stamp{timestamp, nonce}, nil
}

// recent refuses what was signed too long ago, or will be.
func (c *Callback) recent(at stamp) error {
	seconds, err := strconv.ParseInt(at.timestamp, 10, 64)
	if err != nil || seconds < 0 || seconds > maxUnix || c.now().Sub(time.Unix(seconds, 0)).Abs() > callbackWindow {
		return ErrStale
	}
	return nil
}

// only returns the value of a parameter that comes exactly once.
func only(query url.Values, name string) (string, bool) {
	if values := query[name]; len(values) == 1 {
		return values[0], true
	}
	return "", false
}

// same compares in a time that depends on the lengths alone.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// isEcho reports whether s could be an echostr: WeChat's are digits.
func isEcho(s string) bool {
	const more = "+/=.~" // of other encodings, and without meaning in a page
	return isToken(strings.Map(func(r rune) rune {
		if strings.ContainsRune(more, r) {
			return '_'
		}
		return r
	}, s), 256)
}

// TextReply is the answer that shows content to the user who sent m (§5.5), and
// is encrypted if m was. Characters that XML does not allow are left out.
func (c *Callback) TextReply(m *Message, content string) ([]byte, error) {
	reply := textReply{
		To: cdata(m.From), From: cdata(m.To), CreateTime: c.now().Unix(), Type: MessageText, Content: cdata(content),
	}
	plain, err := marshalLike(m, reply)
	if err != nil {
		return nil, err
	}
	return c.Seal(m, plain)
}

// Seal makes the answer to m of a passive reply in plain XML (or JSON, where m
// is): encrypted, with the key that m was encrypted with, exactly if m was.
func (c *Callback) Seal(m *Message, reply []byte) ([]byte, error) {
	if m.cipher == nil {
		return reply, nil
	}
	ciphertext, err := m.cipher.Seal(reply, c.random())
	if err != nil {
		return nil, err
	}
	now := c.now().Unix()
	return marshalLike(m, sealedReply{
		Encrypt: cdata(ciphertext), TimeStamp: now, Nonce: cdata(m.nonce),
		Signature: cdata(MessageSignature(*c.token, strconv.FormatInt(now, 10), m.nonce, ciphertext)),
	})
}

// textReply and sealedReply are the documents of wechat-protocol §5.5 and §5.3.
type textReply struct {
	XMLName    xml.Name `xml:"xml" json:"-"`
	To         cdata    `xml:"ToUserName" json:"ToUserName"`
	From       cdata    `xml:"FromUserName" json:"FromUserName"`
	CreateTime int64
	Type       cdata `xml:"MsgType" json:"MsgType"`
	Content    cdata
}

type sealedReply struct {
	XMLName   xml.Name `xml:"xml" json:"-"`
	Encrypt   cdata
	Signature cdata `xml:"MsgSignature" json:"MsgSignature"`
	TimeStamp int64
	Nonce     cdata
}

// cdata is a text that encoding/xml writes as CDATA, any "]]>" in it split over
// two.
type cdata string

// MarshalXML leaves out what XML does not allow: encoding/xml writes it into
// CDATA as it is.
func (c cdata) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	clean := strings.Map(func(r rune) rune {
		if isXMLChar(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(string(c), ""))
	return e.EncodeElement(struct {
		Text string `xml:",cdata"`
	}{clean}, start)
}

// marshalLike writes document in the format of m. In JSON for WeChat "&" stays
// as it is (wechat-protocol §0.1).
func marshalLike(m *Message, document any) ([]byte, error) {
	var out bytes.Buffer
	encode := xml.NewEncoder(&out).Encode
	if isJSON(m.Raw) {
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		encode = encoder.Encode
	}
	if err := encode(document); err != nil {
		return nil, fmt.Errorf("wechat: write a reply: %w", err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}
