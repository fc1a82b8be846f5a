package simulator_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strings"
	"sync"
	"testing"

	"wxbridge/wechat/simulator"
)

// inbox is an account's server as somebody would write it from the protocol facts alone: it keeps what is pushed to it
// and answers what a test wants.
type inbox struct {
	app    simulator.App
	url    string
	answer func(w http.ResponseWriter, r *http.Request, body string)

	mu   sync.Mutex
	mail []letter
}

// letter is one request.
type letter struct {
	method, proto string
	header        http.Header
	query         url.Values
	rawQuery      string
	body          string
}

// newInbox starts a server and a simulator that pushes to it in a mode.
func newInbox(t *testing.T, mode string, changes ...func(*simulator.Config)) (*world, *inbox) {
	t.Helper()
	in := &inbox{answer: func(w http.ResponseWriter, _ *http.Request, _ string) { io.WriteString(w, "success") }}
	srv := httptest.NewServer(http.HandlerFunc(in.serve))
	t.Cleanup(srv.Close)
	in.url = srv.URL + "/events/official-account"
	w := newWorld(t, append([]func(*simulator.Config){func(c *simulator.Config) {
		c.Apps[0].EventsURL, c.Apps[0].EventsMode = in.url, mode
	}}, changes...)...)
	in.app = w.official
	return w, in
}

func (in *inbox) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	in.mu.Lock()
	in.mail = append(in.mail, letter{r.Method, r.Proto, r.Header, r.URL.Query(), r.URL.RawQuery, string(body)})
	answer := in.answer
	in.mu.Unlock()
	answer(w, r, string(body))
}

func (in *inbox) answers(f func(w http.ResponseWriter, r *http.Request, body string)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.answer = f
}

// replies answers every push with a text.
func (in *inbox) replies(text string) {
	in.answers(func(w http.ResponseWriter, _ *http.Request, _ string) { io.WriteString(w, text) })
}

func (in *inbox) letters() []letter {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]letter(nil), in.mail...)
}

// last is the newest request.
func (in *inbox) last(t *testing.T) letter {
	t.Helper()
	all := in.letters()
	if len(all) == 0 {
		t.Fatal("nothing was pushed")
	}
	return all[len(all)-1]
}

// message decodes elements that hold text alone.
type message map[string]string

func (m *message) UnmarshalXML(d *xml.Decoder, _ xml.StartElement) error {
	*m = message{}
	for {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch e := token.(type) {
		case xml.StartElement:
			var text string
			if err := d.DecodeElement(&text, &e); err != nil {
				return err
			}
			(*m)[e.Name.Local] = text
		case xml.EndElement:
			return nil
		}
	}
}

func parseMessage(t *testing.T, text string) message {
	t.Helper()
	var m message
	if err := xml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return m
}

// open checks a push's signatures and decrypts it where it is encrypted.
func (in *inbox) open(t *testing.T, l letter) message {
	t.Helper()
	q := l.query
	if want := sha1Of(in.app.Token, q.Get("timestamp"), q.Get("nonce")); q.Get("signature") != want {
		t.Errorf("signature %q, want %s", q.Get("signature"), want)
	}
	m := parseMessage(t, l.body)
	sealed, encrypted := m["Encrypt"]
	if encrypted != (q.Get("encrypt_type") == "aes") {
		t.Errorf("encrypt_type %q, Encrypt there: %t", q.Get("encrypt_type"), encrypted)
	}
	if !encrypted {
		return m
	}
	if want := sha1Of(in.app.Token, q.Get("timestamp"), q.Get("nonce"), sealed); q.Get("msg_signature") != want {
		t.Errorf("msg_signature %q, want %s", q.Get("msg_signature"), want)
	}
	plain, _ := in.decrypt(t, sealed)
	return parseMessage(t, plain)
}

func sha1Of(parts ...string) string {
	sort.Strings(parts)
	return fmt.Sprintf("%x", sha1.Sum([]byte(strings.Join(parts, ""))))
}

func (in *inbox) key(t *testing.T) []byte {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(in.app.EncodingAESKey + "=")
	if err != nil || len(key) != 32 {
		t.Fatalf("key of %d bytes: %v", len(key), err)
	}
	return key
}

func (in *inbox) decrypt(t *testing.T, sealed string) (plain string, pad byte) {
	t.Helper()
	key := in.key(t)
	data, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(data) == 0 || len(data)%32 != 0 {
		t.Fatalf("%d bytes: %v", len(data), err)
	}
	block, _ := aes.NewCipher(key)
	cipher.NewCBCDecrypter(block, key[:16]).CryptBlocks(data, data)
	pad = data[len(data)-1]
	data = data[:len(data)-int(pad)]
	length := binary.BigEndian.Uint32(data[16:20])
	if appID := string(data[20+length:]); appID != in.app.AppID {
		t.Errorf("the appid inside is %q", appID)
	}
	return string(data[20 : 20+length]), pad
}

// seal makes an encrypted reply.
func (in *inbox) seal(t *testing.T, plain, appID string) string {
	t.Helper()
	key := in.key(t)
	data := append([]byte("0123456789abcdef"), binary.BigEndian.AppendUint32(nil, uint32(len(plain)))...)
	data = append(append(data, plain...), appID...)
	pad := 32 - len(data)%32
	data = append(data, strings.Repeat(string(rune(pad)), pad)...)
	block, _ := aes.NewCipher(key)
	cipher.NewCBCEncrypter(block, key[:16]).CryptBlocks(data, data)
	sealed := base64.StdEncoding.EncodeToString(data)
	return fmt.Sprintf("<xml><Encrypt><![CDATA[%s]]></Encrypt><MsgSignature>%s</MsgSignature><TimeStamp>1409304348</TimeStamp><Nonce>n</Nonce></xml>",
		sealed, sha1Of(in.app.Token, "1409304348", "n", sealed))
}

// push lets an event happen and wants the control route to take it. event is a name or an object.
func (w *world) push(person string, event any) simulator.PushReport {
	w.t.Helper()
	a := w.control("POST", "events", map[string]any{"person": person, "appid": w.official.AppID, "event": event})
	var report simulator.PushReport
	if err := json.Unmarshal([]byte(a.body), &report); err != nil {
		w.t.Fatalf("%v in %s", err, a.body)
	}
	return report
}
