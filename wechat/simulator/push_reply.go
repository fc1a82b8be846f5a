package simulator

import (
	"bytes"
	"crypto/subtle"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The kinds of answer to a push (documented, wechat-protocol §5.5).
const (
	ReplyNone    = "none"    // "success" or nothing: no message for the person
	ReplyMessage = "message" // a passive reply
	ReplyInvalid = "invalid" // anything else: the person is told that the account is out of service
)

// PushReply is what an app's server answered.
type PushReply struct {
	Kind      string            `json:"kind"`
	Encrypted bool              `json:"encrypted,omitempty"`
	Type      string            `json:"type,omitempty"`    // MsgType
	Content   string            `json:"content,omitempty"` // of a text
	Fields    map[string]string `json:"fields,omitempty"`  // every element with a text, nested ones as Image/MediaId
	Problem   string            `json:"problem,omitempty"` // what is wrong with an invalid one
}

func (r PushReply) shown() string {
	if r.Type == "text" {
		return r.Content
	}
	return "[" + r.Type + "]"
}

// readReply judges the body of an answer. A reply is encrypted where the push was: in AES mode it must be, in compatible
// mode it may be, in plain mode it must not (documented).
func (p *push) readReply(body []byte) PushReply {
	if len(body) == 0 || string(body) == "success" {
		return PushReply{Kind: ReplyNone}
	}
	reply, err := p.parseReply(body)
	if err != nil {
		return PushReply{Kind: ReplyInvalid, Encrypted: reply.Encrypted, Problem: err.Error()}
	}
	reply.Kind = ReplyMessage
	return reply
}

func (p *push) parseReply(body []byte) (PushReply, error) {
	fields, err := readXML(body)
	if err != nil {
		return PushReply{}, err
	}
	var reply PushReply
	switch _, reply.Encrypted = fields["Encrypt"]; {
	case reply.Encrypted && p.mode == ModePlain:
		return reply, errors.New("the reply is encrypted, but the push was plain")
	case !reply.Encrypted && p.mode == ModeAES:
		return reply, errors.New("the reply is not encrypted, as it must be in AES mode")
	case reply.Encrypted:
		if fields, err = p.openReply(fields); err != nil {
			return reply, err
		}
	}
	reply.Fields, reply.Type, reply.Content = fields, fields["MsgType"], fields["Content"]
	return reply, p.checkReply(fields)
}

// openReply checks the signature of an encrypted reply and decrypts it.
func (p *push) openReply(fields map[string]string) (map[string]string, error) {
	sealed := fields["Encrypt"]
	want := signed(p.app.Token, fields["TimeStamp"], fields["Nonce"], sealed)
	if subtle.ConstantTimeCompare([]byte(want), []byte(fields["MsgSignature"])) != 1 {
		return nil, errors.New("MsgSignature is wrong")
	}
	if _, err := strconv.ParseInt(fields["TimeStamp"], 10, 64); err != nil {
		return nil, errors.New("TimeStamp is not a number")
	}
	message, err := p.key.decrypt(sealed, p.app.AppID)
	if err != nil {
		return nil, err
	}
	return readXML(message)
}

// checkReply wants sender and receiver of the push the other way round, and what the type of message needs.
func (p *push) checkReply(fields map[string]string) error {
	needs := map[string]string{
		"text": "Content", "image": "Image/MediaId", "voice": "Voice/MediaId", "video": "Video/MediaId",
		"music": "Music/ThumbMediaId", "news": "Articles/item/Title", "transfer_customer_service": "MsgType",
	}
	need, known := needs[fields["MsgType"]]
	switch {
	case fields["ToUserName"] != p.openID:
		return errors.New("ToUserName is not the FromUserName of the push")
	case fields["FromUserName"] != p.app.originalID():
		return errors.New("FromUserName is not the ToUserName of the push")
	case !known:
		return fmt.Errorf("MsgType %q cannot be a reply", fields["MsgType"])
	case fields[need] == "": // for an empty text: assumed
		return fmt.Errorf("%s is missing", need)
	}
	if _, err := strconv.ParseInt(fields["CreateTime"], 10, 64); err != nil {
		return errors.New("CreateTime is not a number")
	}
	return nil
}

const (
	xmlDepth    = 8
	xmlElements = 500
)

// readXML reads <xml> with elements in it, which may nest, into the texts of those that hold none. The names of nested
// ones are joined with a slash; of several with one name below the first level the first counts. A document type, an
// entity of its own, a second root or a repeated element is refused (assumed).
func readXML(body []byte) (map[string]string, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("the answer is not UTF-8")
	}
	r := xmlReader{fields: map[string]string{}}
	dec := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = r.take(token)
		} else {
			err = errors.New("the answer is neither success nor the XML of a reply")
		}
		if err != nil {
			return nil, err
		}
	}
	if !r.closed {
		return nil, errors.New("the answer is neither success nor the XML of a reply")
	}
	return r.fields, nil
}

// xmlReader is where readXML is in its document.
type xmlReader struct {
	path     []string
	text     strings.Builder
	leaf     bool // nothing but text since the last start
	closed   bool // the root has ended
	elements int
	fields   map[string]string
}

func (r *xmlReader) take(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		return r.start(t.Name.Local)
	case xml.EndElement:
		return r.end()
	case xml.CharData:
		if len(r.path) == 0 && len(bytes.TrimSpace(t)) > 0 {
			return errors.New("the answer has text beside its XML")
		}
		r.text.Write(t)
	case xml.Directive:
		return errors.New("the answer has a document type")
	}
	return nil
}

func (r *xmlReader) start(name string) error {
	switch r.elements++; {
	case len(r.path) == 0 && (r.closed || name != "xml"):
		return errors.New("the answer is not one <xml> element")
	case len(r.path) == xmlDepth || r.elements > xmlElements:
		return errors.New("the answer has too many elements")
	}
	r.path = append(r.path, name)
	r.text.Reset()
	r.leaf = true
	return nil
}

func (r *xmlReader) end() error {
	name := strings.Join(r.path[1:], "/")
	if r.leaf && len(r.path) > 1 {
		_, repeated := r.fields[name]
		if repeated && len(r.path) == 2 {
			return fmt.Errorf("the element %s is repeated", name)
		}
		if !repeated {
			r.fields[name] = r.text.String()
		}
	}
	r.path = r.path[:len(r.path)-1]
	r.closed = len(r.path) == 0
	r.leaf = false
	return nil
}
