package wecom

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"wxbridge/wechat"
)

// Callback is the server side of what WeCom pushes to an app (wecom-protocol §9).
// It does no I/O and remembers nothing: whether a message was seen before is for
// its user to know, by [Message.Key]. It is safe for concurrent use. Its errors are
// those of [wechat.Callback].
type Callback struct {
	agentID string
	pushes  *wechat.Callback
}

// CallbackConfig is what the console has under 应用管理 → the app → 接收消息 → API接收.
type CallbackConfig struct {
	CorpID  string
	AgentID string        // digits; pushes for other agents are refused
	Token   wechat.Secret // up to 32 letters and digits
	AESKey  wechat.Secret // EncodingAESKey, 43 letters and digits; WeCom always encrypts
	// PreviousAESKey opens what was encrypted before the key was changed; may be empty.
	PreviousAESKey wechat.Secret

	Now    func() time.Time // default time.Now
	Random func() [16]byte  // salt of a reply; default from crypto/rand
}

// NewCallback returns a Callback, or an error that says what is wrong with c.
func NewCallback(c CallbackConfig) (*Callback, error) {
	switch {
	case c.AESKey == "":
		return nil, errors.New("wecom: the EncodingAESKey is empty, and WeCom encrypts all it pushes")
	case !within(c.AgentID, 20, isDigit):
		return nil, fmt.Errorf("wecom: agentid %q is no number", c.AgentID)
	}
	pushes, err := wechat.NewCallback(wechat.CallbackConfig{AppID: c.CorpID, Token: c.Token, AESKey: c.AESKey,
		PreviousAESKey: c.PreviousAESKey, Now: c.Now, Random: c.Random})
	if err != nil {
		return nil, fmt.Errorf("wecom: %w", err)
	}
	return &Callback{agentID: c.AgentID, pushes: pushes}, nil
}

// Verify checks the GET by which the console tries the address when the settings
// are saved, and returns the decrypted echostr. It must be the whole answer, as
// text/plain, within a second.
func (c *Callback) Verify(query url.Values) (echo string, err error) {
	return c.pushes.VerifySealed(query)
}

// Open checks a POST and returns its message. query is that of the URL, body the
// whole body. The signature covers the encrypted content, so the envelope around
// that is read first, and nothing more before the signature is good.
func (c *Callback) Open(query url.Values, body []byte) (*Message, error) {
	pushed, err := c.pushes.OpenSealed(query, body)
	if err != nil {
		return nil, err
	}
	m, err := readMessage(pushed)
	if err != nil {
		return nil, err
	}
	if !m.aboutDirectory() && m.AgentID != "" && m.AgentID != c.agentID {
		return nil, fmt.Errorf("%w: it is for agent %s, not %s", wechat.ErrDecrypt, m.AgentID, c.agentID)
	}
	return m, nil
}

// Seal encrypts and signs a passive reply to m, in plain XML.
func (c *Callback) Seal(m *Message, reply []byte) ([]byte, error) {
	return c.pushes.Seal(m.Message, reply)
}

// TextReply is the answer that shows content to the member who sent m, encrypted.
func (c *Callback) TextReply(m *Message, content string) ([]byte, error) {
	return c.pushes.TextReply(m.Message, content)
}
