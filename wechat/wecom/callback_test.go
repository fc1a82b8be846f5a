package wecom_test

import (
	"encoding/xml"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat"
	"wxbridge/wechat/wecom"
)

// The known answers of wecom-protocol §9.6. Rows 1 and 2 are those of Tencent's own
// sample.
const (
	knownToken  = "QDG6eK"
	knownKey    = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
	knownCorp   = "wx5823bf96d3bd56c7"
	knownRandom = "0123456789abcdef" // of the rows that are not Tencent's

	row1Echo    = "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ=="
	row2Encrypt = "RypEvHKD8QQKFhvQ6QleEB4J58tiPdvo+rtK1I9qca6aM/wvqnLSV5zEPeusUiX5L5X/0lWfrf0QADHHhGd3QczcdCUpj911L3vg3W/sYYvuJTs3TUUkSUXxaccAS0qhxchrRYt66wiSpGLYL42aM6A8dTT+6k4aSknmPj48kzJs8qLjvd4Xgpue06DOdnLxAUHzM6+kDZ+HMZfJYuR+LtwGc2hgf5gsijff0ekUNXZiqATP7PF5mZxZ3Izoun1s4zG4LUMnvw2r+KqCKIw+3IQH03v+BCA9nMELNqbSf6tiWSrXJB3LAVGUcallcrw8V2t9EL4EhzJWrQUax5wLVMNS0+rUPA3k22Ncx4XXZS9o0MBH27Bo6BpNelZpS+/uh9KsNlY6bHCmJU9p8g7m3fVKn28H3KDYA5Pl/T8Z1ptDAVe0lXdQ2YoyyH2uyPIGHBZZIs2pDBS8R07+qN+E7Q=="
	row3Echo    = "sKqRbbiSUnDhFHOvPjtUMWzf2R8PrpMiTTPaicBgqZlYW/WsF6SiFd2z9CriX2YpWYzF1yrNNQ0SomM3ovdnfA=="
	row4Encrypt = "sKqRbbiSUnDhFHOvPjtUMZGyoR1r/GzKAbbgquGlaOgIlt+xQAi/JKk90aBApUWQUg5O+k5ZufIRKoqgtkAVwJKF1H3y/sfk7izzwSIp1tYTy01NHOGT9sTJ2jdv5sCT"
	row5Echo    = "sKqRbbiSUnDhFHOvPjtUMWzf2R8PrpMiTTPaicBgqZnwFQH9BDuIuX9ZyouzIBc7WZYOn40Ye7RpBK+sUt6liw=="
	row6Message = "<xml><ToUserName><![CDATA[mycreate]]></ToUserName><FromUserName><![CDATA[wx5823bf96d3bd56c7]]></FromUserName><CreateTime>1348831860</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[this is a test]]></Content></xml>"
	row6Encrypt = "sKqRbbiSUnDhFHOvPjtUMUNeky1yBjV3tIYfilQwj5fN/Js8KUsEWgVXPlHti2RHT6dIU70aNopY/r2YT/zocnNvNMINRv0id5aSeETI1s02SAEnZMIWt6fVqyK7irt5+LzsEgzU2+PBfYup8ovuaCu+9taHYr8YVF6U9Up9iZ16WlEmu/k1FJF4bI/LICkN8lVX/Q33kLnZ0DWcKwZMCKslSAq62JMlRf5YNUk+bnuHVW/OYk8e92Pbspu05Vey6KyBtAXHdWns7Z5HM4ri+Dx/5SqvZu0AjtIIoicwqzeadA2JeFdbjpMgCRTSX6F2ADH/rio9XbaiCvgpmF1qyjxSH4zOz32BCgpC46a07fWlqpD/+PxtMiWcMwSlrD+t"
	row7Message = "<xml><ToUserName><![CDATA[wx5823bf96d3bd56c7]]></ToUserName><FromUserName><![CDATA[zhangsan]]></FromUserName><CreateTime>1700000000</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[subscribe]]></Event><AgentID>1000002</AgentID></xml>"
	row7Encrypt = "sKqRbbiSUnDhFHOvPjtUMelUqJNhJe9DlW7lGU7c/Wrvahxj/58tCJCTGBCsCKSUPEofXuAPJ2e3kGFr/eISpOWCQP8kDoMZCKXGorhwGADl/RThHuozrl9E95zs5BHKdEG4zYyV+EJCtQL2s+W1REN25sgjeOfMdxgifhnSYgVzMWdctKvuZA8BLrCGpqu4LkSfPWRSdx/ePB3QaUfROSbjHmi4z6JpE33y512NFKqZN/YDGxZxkGAdc5imysiCJW5Yay6kQSQiFdDsob/hKTv/Jo7zVaFPShqZbIavqkyCyt2+ca6J5TsxLLBn+uIQW5ZgTQzuePdaYQZjqCGaSykYC+1UT9QfgX38BiyATI4xxl1eQP4F0Q5+PDL3QY5z"

	row2Message = "<xml><ToUserName><![CDATA[wx5823bf96d3bd56c7]]></ToUserName>\n<FromUserName><![CDATA[mycreate]]></FromUserName>\n" +
		"<CreateTime>1409659813</CreateTime>\n<MsgType><![CDATA[text]]></MsgType>\n<Content><![CDATA[hello]]></Content>\n" +
		"<MsgId>4561255354251345929</MsgId>\n<AgentID>218</AgentID>\n</xml>"
)

func at(seconds int64) func() time.Time { return func() time.Time { return time.Unix(seconds, 0) } }

func newCallback(t testing.TB, agent string, now int64) *wecom.Callback {
	t.Helper()
	c, err := wecom.NewCallback(wecom.CallbackConfig{CorpID: knownCorp, AgentID: agent, Token: knownToken, AESKey: knownKey, Now: at(now),
		Random: func() [16]byte { return [16]byte([]byte(knownRandom)) }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func signedQuery(signature, timestamp, nonce string, more ...string) url.Values {
	q := url.Values{"msg_signature": {signature}, "timestamp": {timestamp}, "nonce": {nonce}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return q
}

func envelope(encrypt string) []byte {
	return []byte("<xml><ToUserName><![CDATA[" + knownCorp + "]]></ToUserName><Encrypt><![CDATA[" + encrypt + "]]></Encrypt><AgentID><![CDATA[218]]></AgentID></xml>")
}

// push encrypts and signs a message as WeCom does.
func push(t testing.TB, message string) (url.Values, []byte) {
	t.Helper()
	cipher, err := wechat.NewMessageCipher(knownKey, knownCorp)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := cipher.Seal([]byte(message), [16]byte([]byte(knownRandom)))
	if err != nil {
		t.Fatal(err)
	}
	return signedQuery(wechat.MessageSignature(knownToken, "1700000000", "n", sealed), "1700000000", "n"), envelope(sealed)
}

func open(t testing.TB, message string) (*wecom.Message, error) {
	t.Helper()
	query, body := push(t, message)
	return newCallback(t, "1000002", 1700000000).Open(query, body)
}

func TestKnownAnswers_Cipher(t *testing.T) {
	c, err := wechat.NewMessageCipher(knownKey, knownCorp)
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct{ name, random, message, ciphertext, timestamp, nonce, signature string }{
		{"1", "c41b64491c2468d0", "1616140317555161061", row1Echo, "1409659589", "263014780", "5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3"},
		{"2", "0960688932c47ef1", row2Message, row2Encrypt, "1409659813", "1372623149", "477715d11cdb4164915debcba66cb864d751f3e6"},
		{"3", knownRandom, "1616140317555161061", row3Echo, "1700000000", "1597212914", "43c2dcd0ba6733cdd0c1fb9774414ddad842fc8b"},
		{"4, a whole block of padding", knownRandom, "abcdefghijklmnopqrstuvwxyz", row4Encrypt, "1700000000", "1597212914", "7bb11eaf539f625f148ba316b141dbe3cea160b3"},
		{"6", knownRandom, row6Message, row6Encrypt, "1409659813", "1372623149", "68f5dc43743f9cc82ad8ea2a52b524c675af7803"},
		{"7", knownRandom, row7Message, row7Encrypt, "1700000000", "1597212914", "3bf52959e2f97575a4069ca33f0032884269df48"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := wechat.MessageSignature(knownToken, row.timestamp, row.nonce, row.ciphertext); got != row.signature {
				t.Errorf("signature %s", got)
			}
			if got, err := c.Open(row.ciphertext); err != nil || string(got) != row.message {
				t.Errorf("opened %q, %v", got, err)
			}
			if got, err := c.Seal([]byte(row.message), [16]byte([]byte(row.random))); err != nil || got != row.ciphertext {
				t.Errorf("sealed %s, %v", got, err)
			}
		})
	}
	// The last character of the key has two bits too many, which count for nothing.
	for _, last := range []string{"A", "B", "D"} {
		same, err := wechat.NewMessageCipher(wechat.Secret(strings.TrimSuffix(knownKey, "C")+last), knownCorp)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := same.Open(row1Echo); err != nil || string(got) != "1616140317555161061" {
			t.Errorf("a key that ends with %s opened %q, %v", last, got, err)
		}
	}
}

func TestKnownAnswers_Verify(t *testing.T) {
	tests := []struct {
		name string
		now  int64
		raw  string // as it is in the URL
		want string
		err  error
	}{
		{"row 1, Tencent's own", 1409659589, "msg_signature=5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3&timestamp=1409659589&nonce=263014780&echostr=" +
			strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(row1Echo), "1616140317555161061", nil},
		{"row 3", 1700000000, signedQuery("43c2dcd0ba6733cdd0c1fb9774414ddad842fc8b", "1700000000", "1597212914", "echostr", row3Echo).Encode(), "1616140317555161061", nil},
		{"row 5, signed but for another corp", 1700000000, signedQuery("8b853af0eb1086f2966cfcda799e437490d44604", "1700000000", "1597212914", "echostr", row5Echo).Encode(), "", wechat.ErrDecrypt},
		{"five minutes and a second later", 1700000301, signedQuery("43c2dcd0ba6733cdd0c1fb9774414ddad842fc8b", "1700000000", "1597212914", "echostr", row3Echo).Encode(), "", wechat.ErrStale},
		{"a plus sign that was not escaped", 1409659589, "msg_signature=5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3&timestamp=1409659589&nonce=263014780&echostr=" + row1Echo, "", wechat.ErrSignature},
		{"garbage", 1700000000, signedQuery("43c2dcd0ba6733cdd0c1fb9774414ddad842fc8b", "1700000000", "1597212914", "echostr", "garbage").Encode(), "", wechat.ErrSignature},
		{"signed garbage", 1700000000, signedQuery(wechat.MessageSignature(knownToken, "1700000000", "n", "garbage"), "1700000000", "n", "echostr", "garbage").Encode(), "", wechat.ErrDecrypt},
		// The signature of a push is good here too: what it carries must not come out.
		{"a push that somebody recorded", 1700000000, signedQuery("3bf52959e2f97575a4069ca33f0032884269df48", "1700000000", "1597212914", "echostr", row7Encrypt).Encode(), "", wechat.ErrMalformed},
		{"no echostr", 1700000000, signedQuery("43c2dcd0ba6733cdd0c1fb9774414ddad842fc8b", "1700000000", "1597212914").Encode(), "", wechat.ErrSignature},
		{"another signature", 1700000000, signedQuery("43c2dcd0ba6733cdd0c1fb9774414ddad842fc8c", "1700000000", "1597212914", "echostr", row3Echo).Encode(), "", wechat.ErrSignature},
		{"nothing", 1700000000, "", "", wechat.ErrSignature},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			query, err := url.ParseQuery(tt.raw)
			if err != nil {
				t.Fatal(err)
			}
			got, err := newCallback(t, "218", tt.now).Verify(query)
			if got != tt.want || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	for _, twice := range []string{"msg_signature", "timestamp", "nonce", "echostr"} {
		query := signedQuery("43c2dcd0ba6733cdd0c1fb9774414ddad842fc8b", "1700000000", "1597212914", "echostr", row3Echo)
		query.Add(twice, query.Get(twice))
		if _, err := newCallback(t, "218", 1700000000).Verify(query); !errors.Is(err, wechat.ErrSignature) {
			t.Errorf("%s twice: %v", twice, err)
		}
	}
}

func TestKnownAnswers_Open(t *testing.T) {
	m, err := newCallback(t, "218", 1409659813).Open(signedQuery("477715d11cdb4164915debcba66cb864d751f3e6", "1409659813", "1372623149"), envelope(row2Encrypt))
	if err != nil || m.From != "mycreate" || m.UserID != "mycreate" || m.Type != "text" || m.Content != "hello" || m.ID != "4561255354251345929" ||
		m.AgentID != "218" || m.To != knownCorp || !m.Encrypted || m.Gone() {
		t.Fatalf("row 2: %+v, %v", m, err)
	}
	c := newCallback(t, "1000002", 1700000000)
	m, err = c.Open(signedQuery("3bf52959e2f97575a4069ca33f0032884269df48", "1700000000", "1597212914"), envelope(row7Encrypt))
	if err != nil || m.UserID != "zhangsan" || m.Event != wecom.EventSubscribe || m.AgentID != "1000002" || m.CreatedAt.Unix() != 1700000000 || m.Gone() {
		t.Fatalf("row 7: %+v, %v", m, err)
	}
}

// Row 6 is the reply to row 2.
func TestKnownAnswers_Seal(t *testing.T) {
	c := newCallback(t, "218", 1409659813)
	m, err := c.Open(signedQuery("477715d11cdb4164915debcba66cb864d751f3e6", "1409659813", "1372623149"), envelope(row2Encrypt))
	if err != nil {
		t.Fatal(err)
	}
	reply, err := c.Seal(m, []byte(row6Message))
	if err != nil {
		t.Fatal(err)
	}
	const want = "<xml><Encrypt><![CDATA[" + row6Encrypt + "]]></Encrypt><MsgSignature><![CDATA[68f5dc43743f9cc82ad8ea2a52b524c675af7803]]></MsgSignature>" +
		"<TimeStamp>1409659813</TimeStamp><Nonce><![CDATA[1372623149]]></Nonce></xml>"
	if string(reply) != want {
		t.Errorf("got  %s\nwant %s", reply, want)
	}
	text, err := c.TextReply(m, "]]></Content><x>")
	if err != nil {
		t.Fatal(err)
	}
	var sealed struct{ Encrypt string }
	if err := xml.Unmarshal(text, &sealed); err != nil {
		t.Fatal(err)
	}
	cipher, err := wechat.NewMessageCipher(knownKey, knownCorp)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := cipher.Open(sealed.Encrypt)
	var inner struct{ ToUserName, FromUserName, Content string }
	if err != nil || xml.Unmarshal(plain, &inner) != nil || inner.ToUserName != "mycreate" || inner.FromUserName != knownCorp || inner.Content != "]]></Content><x>" {
		t.Errorf("%s, %v", plain, err)
	}
}

func TestWX10_WX11_ForgedPushesAreRefused(t *testing.T) {
	good := func() url.Values {
		return signedQuery("3bf52959e2f97575a4069ca33f0032884269df48", "1700000000", "1597212914")
	}
	without := func(name string) url.Values { q := good(); q.Del(name); return q }
	twice := func(name string) url.Values { q := good(); q.Add(name, q.Get(name)); return q }
	set := func(name, value string) url.Values { q := good(); q.Set(name, value); return q }
	otherCorp := func() (url.Values, []byte) {
		return signedQuery("8b853af0eb1086f2966cfcda799e437490d44604", "1700000000", "1597212914"), envelope(row5Echo)
	}
	foreign, foreignBody := otherCorp()
	tests := []struct {
		name  string
		query url.Values
		body  []byte
		want  error
	}{
		{"no signature", without("msg_signature"), envelope(row7Encrypt), wechat.ErrSignature},
		{"no timestamp", without("timestamp"), envelope(row7Encrypt), wechat.ErrSignature},
		{"no nonce", without("nonce"), envelope(row7Encrypt), wechat.ErrSignature},
		{"two signatures", twice("msg_signature"), envelope(row7Encrypt), wechat.ErrSignature},
		{"two timestamps", twice("timestamp"), envelope(row7Encrypt), wechat.ErrSignature},
		{"two nonces", twice("nonce"), envelope(row7Encrypt), wechat.ErrSignature},
		{"another timestamp", set("timestamp", "1700000001"), envelope(row7Encrypt), wechat.ErrSignature},
		{"another nonce", set("nonce", "1"), envelope(row7Encrypt), wechat.ErrSignature},
		{"upper-case hex", set("msg_signature", strings.ToUpper(good().Get("msg_signature"))), envelope(row7Encrypt), wechat.ErrSignature},
		{"the signature of a plain push", url.Values{"signature": {wechat.MessageSignature(knownToken, "1700000000", "1597212914")}, "timestamp": {"1700000000"},
			"nonce": {"1597212914"}}, []byte(row7Message), wechat.ErrSignature},
		{"another content", good(), envelope(row4Encrypt), wechat.ErrSignature},
		{"plain content", good(), []byte(row7Message), wechat.ErrSignature},
		{"no body", good(), nil, wechat.ErrSignature},
		{"no XML", good(), []byte("hello"), wechat.ErrSignature},
		{"a DOCTYPE", good(), append([]byte("<!DOCTYPE xml>"), envelope(row7Encrypt)...), wechat.ErrSignature},
		{"two contents", good(), []byte("<xml><Encrypt>" + row7Encrypt + "</Encrypt><Encrypt>x</Encrypt></xml>"), wechat.ErrSignature},
		{"64 KiB", good(), envelope(strings.Repeat("A", wechat.MaxCallbackBody)), wechat.ErrSignature},
		{"for another corp", foreign, foreignBody, wechat.ErrDecrypt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if m, err := newCallback(t, "1000002", 1700000000).Open(tt.query, tt.body); !errors.Is(err, tt.want) || m != nil {
				t.Errorf("got %+v, %v", m, err)
			} else if strings.Contains(err.Error(), knownToken) || strings.Contains(err.Error(), knownKey) {
				t.Errorf("%q shows a secret", err)
			}
		})
	}
	for now, want := range map[int64]error{1700000300: nil, 1699999700: nil, 1700000301: wechat.ErrStale, 1699999699: wechat.ErrStale} { // WX-13
		if _, err := newCallback(t, "1000002", now).Open(good(), envelope(row7Encrypt)); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("at %d: %v", now, err)
		}
	}
	if _, err := newCallback(t, "1000003", 1700000000).Open(good(), envelope(row7Encrypt)); !errors.Is(err, wechat.ErrDecrypt) {
		t.Errorf("for another agent: %v", err)
	}
	changed, err := wecom.NewCallback(wecom.CallbackConfig{CorpID: knownCorp, AgentID: "1000002", Token: knownToken,
		AESKey: wechat.Secret(strings.Repeat("x", 43)), PreviousAESKey: knownKey, Now: at(1700000000)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := changed.Open(good(), envelope(row7Encrypt)); err != nil {
		t.Errorf("with the previous key: %v", err)
	}
}

func event(from, more string) string {
	return "<xml><ToUserName><![CDATA[" + knownCorp + "]]></ToUserName><FromUserName><![CDATA[" + from + "]]></FromUserName>" +
		"<CreateTime>1700000000</CreateTime><MsgType><![CDATA[event]]></MsgType>" + more + "</xml>"
}

// The events of wecom-protocol §9.7, with CDATA and without.
func TestMessage_Events(t *testing.T) {
	const change = "<Event><![CDATA[change_contact]]></Event>"
	tests := []struct {
		name, message string
		want          wecom.Message // without what package wechat reads
		gone          bool
	}{
		{"subscribe", event("ZhangSan", "<Event><![CDATA[subscribe]]></Event><AgentID>1000002</AgentID>"), wecom.Message{AgentID: "1000002", UserID: "ZhangSan"}, false},
		{"unsubscribe", event("ZhangSan", "<Event>unsubscribe</Event><AgentID><![CDATA[1000002]]></AgentID>"), wecom.Message{AgentID: "1000002", UserID: "ZhangSan"}, true},
		{"enter_agent", event("zhangsan", "<Event><![CDATA[enter_agent]]></Event><EventKey><![CDATA[]]></EventKey><AgentID>1000002</AgentID>"),
			wecom.Message{AgentID: "1000002", UserID: "zhangsan"}, false},
		{"created", event("sys", change+"<ChangeType><![CDATA[create_user]]></ChangeType><UserID><![CDATA[zhangsan]]></UserID><Name><![CDATA[张三]]></Name>"+
			"<Department><![CDATA[1,2,3]]></Department><Status>1</Status><ExtAttr><Item><Type>0</Type></Item></ExtAttr>"),
			wecom.Message{UserID: "zhangsan", Change: wecom.ChangeCreateUser, Status: wecom.StatusActive, Departments: []int64{1, 2, 3}}, false},
		{"renamed", event("sys", change+"<ChangeType>update_user</ChangeType><UserID><![CDATA[zhangsan]]></UserID><NewUserID><![CDATA[zhangsan001]]></NewUserID>"),
			wecom.Message{UserID: "zhangsan", NewUserID: "zhangsan001", Change: wecom.ChangeUpdateUser}, false},
		{"disabled", event("sys", change+"<ChangeType>update_user</ChangeType><UserID>zhangsan</UserID><Status>2</Status>"),
			wecom.Message{UserID: "zhangsan", Change: wecom.ChangeUpdateUser, Status: wecom.StatusDisabled}, true},
		{"has left", event("sys", change+"<ChangeType>update_user</ChangeType><UserID>zhangsan</UserID><Status>5</Status>"),
			wecom.Message{UserID: "zhangsan", Change: wecom.ChangeUpdateUser, Status: wecom.StatusLeft}, true},
		{"deleted", event("sys", change+"<ChangeType><![CDATA[delete_user]]></ChangeType><UserID><![CDATA[zhangsan]]></UserID>"),
			wecom.Message{UserID: "zhangsan", Change: wecom.ChangeDeleteUser}, true},
		{"deleted, told to another agent", event("sys", change+"<ChangeType>delete_user</ChangeType><UserID>zhangsan</UserID><AgentID>0</AgentID>"),
			wecom.Message{AgentID: "0", UserID: "zhangsan", Change: wecom.ChangeDeleteUser}, true},
		{"a department", event("sys", change+"<ChangeType>delete_party</ChangeType><Id>2</Id>"), wecom.Message{Change: "delete_party"}, false},
		{"a list and a number that make no sense", event("sys", change+"<ChangeType>update_user</ChangeType><UserID>zhangsan</UserID><Department>1,x</Department><Status>two</Status>"),
			wecom.Message{UserID: "zhangsan", Change: wecom.ChangeUpdateUser}, false},
		{"an unsubscribe of nobody", event("sys", "<Event>unsubscribe</Event><AgentID>1000002</AgentID>"), wecom.Message{AgentID: "1000002"}, false},
		{"a text that says unsubscribe", strings.Replace(event("zhangsan", "<Event>unsubscribe</Event><MsgId>1</MsgId>"), "CDATA[event]", "CDATA[text]", 1),
			wecom.Message{UserID: "zhangsan"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := open(t, tt.message)
			if err != nil {
				t.Fatal(err)
			}
			if m.AgentID != tt.want.AgentID || m.UserID != tt.want.UserID || m.Change != tt.want.Change || m.NewUserID != tt.want.NewUserID ||
				m.Status != tt.want.Status || len(m.Departments) != len(tt.want.Departments) || m.Gone() != tt.gone {
				t.Errorf("got %+v, gone %t", m, m.Gone())
			}
		})
	}
	for name, message := range map[string]string{
		"no type":                 "<xml><FromUserName>a</FromUserName><CreateTime>1</CreateTime></xml>",
		"no time":                 "<xml><FromUserName>a</FromUserName><MsgType>event</MsgType><Event>subscribe</Event></xml>",
		"a userid with a slash":   event("a/b", "<Event>subscribe</Event>"),
		"an agent that is a word": event("a", "<Event>subscribe</Event><AgentID>x</AgentID>"),
		"a UserID with a space":   event("sys", "<Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>a b</UserID>"),
		"no XML":                  "hello",

		"WX-15 a DOCTYPE":       "<!DOCTYPE xml [<!ENTITY u \"zhangsan\">]>" + event("a", "<Event>subscribe</Event>"),
		"WX-15 an instruction":  "<?xml-stylesheet href=\"x\"?>" + event("a", "<Event>subscribe</Event>"),
		"WX-15 two senders":     event("a", "<FromUserName>b</FromUserName><Event>subscribe</Event>"),
		"WX-15 two userids":     event("sys", "<Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>a</UserID><UserID>b</UserID>"),
		"WX-15 nested too deep": event("a", "<Event>subscribe</Event>"+strings.Repeat("<x>", 2_000)+strings.Repeat("</x>", 2_000)),
	} {
		if m, err := open(t, message); !errors.Is(err, wechat.ErrMalformed) || m != nil {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// All that happens in the directory has one sender, and may happen in one second.
func TestWX13_KeysTellRepeatsFromOthers(t *testing.T) {
	seen := map[string]string{}
	for _, message := range []string{
		event("zhangsan", "<Event>subscribe</Event><AgentID>1000002</AgentID>"),
		event("zhangsan", "<Event>unsubscribe</Event><AgentID>1000002</AgentID>"),
		event("lisi", "<Event>unsubscribe</Event><AgentID>1000002</AgentID>"),
		event("sys", "<Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>zhangsan</UserID>"),
		event("sys", "<Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>lisi</UserID>"),
		event("sys", "<Event>change_contact</Event><ChangeType>create_user</ChangeType><UserID>lisi</UserID>"),
		event("sys", "<Event>change_contact</Event><ChangeType>update_user</ChangeType><UserID>lisi</UserID><Department>1</Department>"),
		event("sys", "<Event>change_contact</Event><ChangeType>update_user</ChangeType><UserID>lisi</UserID><Department>1,2</Department>"),
		event("sys", "<Event>change_contact</Event><ChangeType>update_user</ChangeType><UserID>lisi</UserID><Status>2</Status>"),
		event("sys", "<Event>change_contact</Event><ChangeType>delete_party</ChangeType><Id>1</Id>"),
		event("sys", "<Event>change_contact</Event><ChangeType>delete_party</ChangeType><Id>2</Id>"),
		event("sys", "<Event>change_contact</Event><ChangeType>update_tag</ChangeType><TagId>2</TagId>"),
	} {
		for range 2 {
			m, err := open(t, message)
			if err != nil {
				t.Fatal(err)
			}
			if other, ok := seen[m.Key()]; ok && other != message || len(m.Key()) != 64 {
				t.Errorf("%s has the key of %s", message, other)
			}
			seen[m.Key()] = message
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d keys of 12 messages, each twice", len(seen))
	}
}

func TestNewCallback_RefusesWhatCannotWork(t *testing.T) {
	good := wecom.CallbackConfig{CorpID: knownCorp, AgentID: "218", Token: knownToken, AESKey: knownKey}
	for i, change := range []func(*wecom.CallbackConfig){
		func(c *wecom.CallbackConfig) { c.CorpID = "" }, func(c *wecom.CallbackConfig) { c.CorpID = "a b" },
		func(c *wecom.CallbackConfig) { c.AgentID = "" }, func(c *wecom.CallbackConfig) { c.AgentID = "x" },
		func(c *wecom.CallbackConfig) { c.Token = "" }, func(c *wecom.CallbackConfig) { c.Token = "a b" },
		func(c *wecom.CallbackConfig) { c.AESKey = "" }, func(c *wecom.CallbackConfig) { c.AESKey = "short" },
		func(c *wecom.CallbackConfig) { c.AESKey = knownKey + "=" }, func(c *wecom.CallbackConfig) { c.PreviousAESKey = "short" },
	} {
		bad := good
		change(&bad)
		if c, err := wecom.NewCallback(bad); err == nil || c != nil {
			t.Errorf("change %s is accepted", strconv.Itoa(i))
		} else if text := err.Error(); strings.Contains(text, knownKey) || strings.Contains(text, knownToken) {
			t.Errorf("%q shows a secret", text)
		}
	}
}
